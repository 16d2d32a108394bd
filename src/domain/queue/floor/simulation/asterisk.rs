//! What Asterisk and the phones do in a shift: requests in, words out, and what is lost between.
//!
//! Longer than 600 lines: the other side of every effect, callbacks and transfers included, of one world.

use std::time::Duration;

use super::{
    rules,
    shift::{BackDeed, Deed, Plan, Shift},
    world::{Back, Caller, Ears, Leg, LegState, Link, Server, Told, World},
};
use crate::domain::{
    fact::Hold,
    id::{CallId, Extension, OfferNo, QueueName, ServerId},
    queue::{
        callback::{Missed, back_channel},
        caller::Arrival,
        effect::{CallBack, Effect, Event, Farewell, LegEnd, Ring},
        floor::fixture,
        roster,
        transfer::TransferMeans,
    },
};

/// What Asterisk is given on top of the ring time, in milliseconds.
const RING_SLACK: u64 = 5_000;

impl Server {
    pub(super) fn new(name: &str) -> Self {
        Self {
            id: ServerId::new(name),
            link: Link::Down,
            epoch: 0,
            up_since: 0,
            requests: Default::default(),
            wire: Default::default(),
            request_clock: 0,
            wire_clock: 0,
        }
    }
}

impl World {
    pub(super) fn add_phone(&mut self, row: &roster::Agent) {
        let phone = super::world::Phone { interface: row.interface.clone(), plugged: true, outside: None };
        self.phones.insert(row.extension.clone(), phone);
    }
}

impl Shift {
    // ---- the link ----------------------------------------------------------------------------------------------

    /// Sends a request, which arrives after all before it.
    pub(super) fn request(&mut self, server: usize, request: Effect) {
        let link = &mut self.world.servers[server];
        if link.link != Link::Up {
            // Silently into a dead link; refused at once by one that is known to be down.
            if link.link == Link::Down {
                if let Effect::Ring(Ring { call, offer, .. }) = request {
                    self.reply(0, Event::LegGone { call, offer, end: LegEnd::Unavailable });
                } else if let Effect::CallBack(CallBack { call, attempt, .. }) = request {
                    self.reply(0, Event::BackGone { call, attempt, end: Missed::NotPlaced });
                }
            }
            return;
        }
        link.request_clock = link.request_clock.max(self.clock) + self.chance.between(1, 8);
        link.requests.push_back(request);
        let (after, epoch) = (link.request_clock - self.clock, link.epoch);
        self.later(after, Plan::RequestArrives { server, epoch });
    }

    /// Tells an event, which arrives after all before it.
    pub(super) fn tell(&mut self, server: usize, told: Told) {
        let link = &mut self.world.servers[server];
        if link.link != Link::Up {
            return;
        }
        link.wire_clock = link.wire_clock.max(self.clock) + self.chance.between(1, 8);
        link.wire.push_back(told);
        let (after, epoch) = (link.wire_clock - self.clock, link.epoch);
        self.later(after, Plan::WordArrives { server, epoch });
    }

    /// What was asked is carried out up to some point; what was told is lost.
    pub(super) fn cut(&mut self, server: usize) {
        let asked = self.world.servers[server].requests.len();
        for _ in 0..self.chance.between(0, u64::try_from(asked).unwrap()) {
            if let Some(request) = self.world.servers[server].requests.pop_front() {
                // A reply or a word of it does not get through: both end with this link.
                self.carry_out(server, request);
            }
        }
        let link = &mut self.world.servers[server];
        link.epoch += 1;
        link.requests.clear();
        link.wire.clear();
        for leg in self.world.legs.values_mut().filter(|leg| leg.server == server) {
            leg.lost = true;
        }
    }

    pub(super) fn link_dies(&mut self, server: usize) {
        if self.world.servers[server].link != Link::Up {
            return;
        }
        self.witness.tally.count("links lost");
        self.cut(server);
        self.world.servers[server].link = Link::Dead;
        let epoch = self.world.servers[server].epoch;
        let after = if self.chance.percent(50) { 0 } else { self.chance.between(1, 6_000) };
        self.later(after, Plan::LinkDeathIsNoticed { server, epoch });
    }

    /// Everything that was missed is told, as the service does after each gap.
    pub(super) fn link_returns(&mut self, server: usize) {
        let link = &mut self.world.servers[server];
        link.link = Link::Up;
        link.epoch += 1;
        link.up_since = self.clock;
        let id = link.id.clone();
        self.step(Event::ServerDown { server: id.clone() });
        self.tell_of_the_gone(server);
        let phones: Vec<Extension> = self.world.phones.keys().cloned().collect();
        for extension in phones {
            let interface = self.world.phones[&extension].interface.clone();
            if interface.is_watched() {
                let device = self.world.device(&extension, server);
                self.step(Event::DeviceChanged { server: id.clone(), interface, device });
            }
        }
        self.tell_of_the_found(server);
        self.hang_up_again(server);
        self.drop_orphans(server);
        self.step(Event::ServerUp { server: id });
    }

    fn tell_of_the_gone(&mut self, server: usize) {
        let gone: Vec<CallId> = self
            .known
            .iter()
            .filter(|call| self.world.server_of[*call] == server && !self.world.callers.contains_key(*call))
            .copied()
            .collect();
        for call in gone {
            self.known.remove(&call);
            self.step(Event::CallerGone { call });
        }
        let gone: Vec<(CallId, OfferNo)> = self
            .floor
            .callers()
            .values()
            .filter(|caller| self.world.server_of[&caller.arrival.call] == server)
            .flat_map(|caller| caller.offers.keys().map(|offer| (caller.arrival.call, *offer)))
            .filter(|leg| !self.world.legs.contains_key(leg))
            .collect();
        for (call, offer) in gone {
            self.step(Event::LegGone { call, offer, end: LegEnd::Lost });
        }
        let called =
            self.floor.callers().values().filter(|caller| self.world.server_of[&caller.arrival.call] == server);
        let gone: Vec<(CallId, u32)> = called
            .filter_map(|caller| Some((caller.arrival.call, caller.callback.as_ref()?.attempt)))
            .filter(|(call, attempt)| {
                let is_there = self.world.callers.get(call).is_some_and(|caller| caller.back == Some(*attempt));
                !is_there && !self.world.backs.contains_key(&(*call, *attempt))
            })
            .collect();
        for (call, attempt) in gone {
            self.step(Event::BackGone { call, attempt, end: Missed::Lost });
        }
    }

    /// The order to hang up may not have reached them.
    fn hang_up_again(&mut self, server: usize) {
        self.dismissed.retain(|call| self.world.callers.contains_key(call));
        let id = self.world.servers[server].id.clone();
        let dismissed: Vec<CallId> =
            self.dismissed.iter().filter(|call| self.world.server_of[*call] == server).copied().collect();
        for call in dismissed {
            let channel = self.world.callers[&call].arrival.channel.clone();
            self.request(server, Effect::HangUpCaller { call, server: id.clone(), channel });
        }
    }

    fn tell_of_the_found(&mut self, server: usize) {
        let id = self.world.servers[server].id.clone();
        let out = |shift: &Self, (call, offer): (CallId, OfferNo)| {
            shift.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer))
        };
        let legs: Vec<_> =
            self.world.legs.iter().filter(|(_, leg)| leg.server == server).map(|(id, l)| (*id, l.state)).collect();
        for (leg, state) in legs {
            if out(self, leg) {
                self.world.legs.get_mut(&leg).unwrap().lost = false;
                if state != LegState::Ringing {
                    self.step(Event::LegAnswered { server: id.clone(), call: leg.0, offer: leg.1 });
                }
            }
        }
        self.tell_of_those_called_back(server);
        let mut found: Vec<(Option<u64>, CallId)> = self
            .world
            .callers
            .iter()
            .filter(|(call, _)| self.world.server_of[*call] == server)
            .filter(|(call, _)| !self.known.contains(*call) && !self.dismissed.contains(*call))
            .map(|(call, caller)| (caller.marked, *call))
            .collect();
        found.sort_by_key(|(marked, call)| (marked.unwrap_or(u64::MAX), *call));
        for (marked, call) in found {
            self.known.insert(call);
            let arrival = self.world.callers[&call].arrival.clone();
            let Some(marked) = marked else {
                self.world.callers.get_mut(&call).unwrap().marked = Some(self.clock);
                self.step(Event::CallerEntered(arrival));
                continue;
            };
            let age = Duration::from_millis(self.clock - marked);
            let talk = self.world.legs.iter_mut().find(|((of, _), leg)| *of == call && leg.state == LegState::Bridged);
            let event = match talk {
                Some(((_, offer), leg)) => {
                    leg.lost = false;
                    Event::TalkFound { arrival, age, offer: *offer, extension: leg.extension.clone() }
                }
                // Their callback is over.
                None if self.world.callers[&call].back.is_some() && !self.floor.callers().contains_key(&call) => {
                    let attempt = self.world.callers[&call].back.unwrap();
                    self.request(server, Effect::DropBack { call, attempt, server: id.clone() });
                    continue;
                }
                None => Event::CallerFound(arrival, age),
            };
            self.step(event);
        }
    }

    fn tell_of_those_called_back(&mut self, server: usize) {
        let id = self.world.servers[server].id.clone();
        let backs: Vec<(CallId, u32)> =
            self.world.backs.iter().filter(|(_, back)| back.server == server).map(|(back, _)| *back).collect();
        for (call, attempt) in backs {
            let waits = |(of, _): &(CallId, OfferNo), leg: &Leg| *of == call && leg.state != LegState::Ringing;
            let waits = self.world.legs.iter().find(|(id, leg)| waits(id, leg));
            let member = waits.map(|((_, offer), leg)| (*offer, leg.extension.clone()));
            self.step(Event::BackFound { server: id.clone(), call, attempt, member: member.clone() });
            if let Some((offer, _)) = member
                && self.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer))
            {
                self.world.legs.get_mut(&(call, offer)).unwrap().lost = false;
            }
        }
    }

    fn drop_orphans(&mut self, server: usize) {
        let id = self.world.servers[server].id.clone();
        let legs: Vec<_> =
            self.world.legs.iter().filter(|(_, leg)| leg.server == server).map(|(leg, _)| *leg).collect();
        for (call, offer) in legs {
            if !self.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer)) {
                self.witness.tally.count("orphaned legs");
                let farewell = Farewell::None;
                self.request(server, Effect::DropLeg { call, offer, server: id.clone(), farewell });
            }
        }
        let bridges: Vec<_> =
            self.world.bridges.iter().filter(|call| self.world.server_of[*call] == server).copied().collect();
        for call in bridges {
            if self.floor.callers().get(&call).is_none_or(|caller| caller.offers.is_empty()) {
                self.request(server, Effect::DropBridge { call, server: id.clone() });
            }
        }
    }

    /// An event as the service hears it, now and then twice.
    pub(super) fn hear(&mut self, told: Told) {
        let times = if self.chance.percent(4) { 2 } else { 1 };
        for _ in 0..times {
            match told.clone() {
                Told::CallerStart(call) => {
                    let Some(caller) = self.world.callers.get_mut(&call) else { continue };
                    if self.known.insert(call) {
                        caller.marked = Some(self.clock);
                        let arrival = caller.arrival.clone();
                        self.step(Event::CallerEntered(arrival));
                    }
                }
                Told::CallerGone(call) => {
                    if self.known.remove(&call) {
                        self.step(Event::CallerGone { call });
                    }
                }
                Told::Event(event) => {
                    // One who was told of a leg may be told again much later.
                    if let Event::BackAnswered { call, .. } = &event {
                        self.known.insert(*call);
                    } else if let Event::BackGone { call, .. } = &event {
                        self.known.remove(call);
                    }
                    let of_a_leg = matches!(
                        event,
                        Event::LegAnswered { .. }
                            | Event::LegGone { .. }
                            | Event::BackAnswered { .. }
                            | Event::BackGone { .. }
                    );
                    if of_a_leg && self.chance.percent(4) {
                        let after = self.chance.between(1, 5_000);
                        self.reply(after, event.clone());
                    }
                    self.step(event);
                }
            }
        }
    }

    // ---- requests ----------------------------------------------------------------------------------------------

    /// Takes a caller out of the bridge, if they are in it.
    fn out_of_the_bridge(&mut self, call: CallId) {
        for ((of, _), leg) in &mut self.world.legs {
            if *of == call && leg.state == LegState::Bridged {
                (leg.state, leg.since) = (LegState::Answered, self.clock);
            }
        }
    }

    pub(super) fn carry_out(&mut self, server: usize, request: Effect) {
        match request {
            Effect::Greet { call, number } | Effect::Say { call, number, .. } => {
                self.out_of_the_bridge(call);
                self.is_said(call, number);
            }
            Effect::Music { call } => {
                self.out_of_the_bridge(call);
                if let Some(caller) = self.world.callers.get_mut(&call) {
                    caller.ears.music = true;
                    caller.ears.listen(self.clock);
                }
            }
            Effect::Promise { call } => {
                self.is_said_instead(call);
                if self.world.callers.contains_key(&call) {
                    self.later(3_000, Plan::PromiseSpoken(call));
                }
            }
            Effect::Regret { call } => {
                self.witness.tally.count("callers who cannot be called back");
                self.is_said_instead(call);
            }
            Effect::CallBack(back) => self.customer_is_called(server, &back),
            Effect::DropBack { call, attempt, .. } => {
                if !self.back_ends((call, attempt), Missed::NoAnswer) {
                    self.reply(1, Event::BackGone { call, attempt, end: Missed::Lost });
                }
            }
            Effect::Ring(ring) => self.phone_rings(server, &ring),
            Effect::DropLeg { call, offer, farewell: farewell @ (Farewell::Taken | Farewell::NotReached), .. }
                if self.is_answered(call, offer) =>
            {
                // They hear it to the end.
                self.witness.tally.count(match farewell {
                    Farewell::NotReached => "members told that nobody was reached",
                    Farewell::Taken | Farewell::None => "answers that were told they are too late",
                });
                let leg = self.world.legs.get_mut(&(call, offer)).unwrap();
                (leg.state, leg.since) = (LegState::Listening, self.clock);
                self.later(2_000, Plan::PhoneActs { call, offer, deed: Deed::HangUp });
            }
            Effect::DropLeg { call, offer, .. } => {
                if !self.leg_ends((call, offer), LegEnd::HungUp) {
                    self.reply(1, Event::LegGone { call, offer, end: LegEnd::HungUp });
                }
            }
            Effect::GreetMember { call, offer, .. } => self.member_is_greeted(call, offer),
            Effect::Join { call, offer } => self.legs_are_joined(call, offer),
            Effect::RecordTalk { call, .. } => {
                // One whose talk ended while the service was dead may talk again: there is a file of that name already.
                let is_first = self.world.recorded.insert(call);
                // Some are refused for other reasons.
                if is_first && self.world.bridges.contains(&call) && self.chance.percent(90) {
                    self.reply(1, Event::RecordingBegun { call, file: call.to_string() });
                }
            }
            Effect::GiveBack { call, .. } => {
                self.world.callers.remove(&call);
            }
            Effect::Moved { call, queue, .. } => {
                if let Some(caller) = self.world.callers.get_mut(&call) {
                    caller.arrival.queue = queue;
                    caller.marked = Some(self.clock);
                }
            }
            Effect::HangUpCaller { call, channel, .. } => {
                if self.world.callers.get(&call).is_some_and(|caller| caller.arrival.channel == channel) {
                    self.caller_leaves(call);
                }
            }
            Effect::ReturnsTo { call, agent, .. } => {
                if let Some(caller) = self.world.callers.get_mut(&call) {
                    caller.arrival.returns_to = agent;
                }
            }
            Effect::DropBridge { call, .. } => {
                self.world.bridges.remove(&call);
            }
            Effect::Announce { .. }
            | Effect::ForgetAnnouncement { .. }
            | Effect::Publish { .. }
            | Effect::Update { .. }
            | Effect::Retire { .. }
            | Effect::TellMember { .. }
            | Effect::Record(_) => unreachable!("not for Asterisk"),
        }
    }

    fn is_said(&mut self, call: CallId, number: u32) {
        let Some(caller) = self.world.callers.get_mut(&call) else { return };
        caller.ears.music = false;
        assert!(caller.ears.said.insert(number), "said twice: {number} in {call}");
        caller.ears.listen(self.clock);
        let length = self.chance.between(100, 9_000);
        self.later(length, Plan::Said { call, number });
    }

    /// What is said of a callback ends what else is said. After it comes music, or they are hung up.
    fn is_said_instead(&mut self, call: CallId) {
        let numbers = self.world.callers.get(&call).map(|caller| caller.ears.said.clone());
        for number in numbers.into_iter().flatten() {
            self.said(call, number);
        }
        if let Some(caller) = self.world.callers.get_mut(&call) {
            caller.ears.music = true;
            caller.ears.listen(self.clock);
        }
    }

    /// It is said to the end, or cut short.
    pub(super) fn said(&mut self, call: CallId, number: u32) {
        let Some(caller) = self.world.callers.get_mut(&call) else { return };
        if caller.ears.said.remove(&number) {
            caller.ears.listen(self.clock);
            self.tell(self.world.server_of[&call], Told::Event(Event::Said { call, number }));
        }
    }

    fn member_is_greeted(&mut self, call: CallId, offer: OfferNo) {
        let Some(leg) = self.world.legs.get_mut(&(call, offer)) else { return };
        assert_eq!(leg.state, LegState::Answered, "a greeting to one who does not listen");
        leg.greeted = true;
        self.witness.tally.count("greetings to members");
        // Some are longer than their bound, and the end of some is never told.
        let length = self.chance.between(100, 14_000);
        if self.chance.percent(95) {
            self.later(length, Plan::MemberGreeted { call, offer });
        }
    }

    pub(super) fn member_greeted(&mut self, call: CallId, offer: OfferNo) {
        if let Some(leg) = self.world.legs.get(&(call, offer)) {
            self.tell(leg.server, Told::Event(Event::MemberGreeted { call, offer }));
        }
    }

    fn is_answered(&self, call: CallId, offer: OfferNo) -> bool {
        let leg = self.world.legs.get(&(call, offer));
        leg.is_some_and(|leg| matches!(leg.state, LegState::Answered | LegState::Hearing))
    }

    fn phone_rings(&mut self, server: usize, ring: &Ring) {
        let Ring { call, offer, extension, .. } = ring;
        self.world.bridges.insert(*call);
        let outside = extension.number_outside().is_some();
        let taken = !outside && self.world.is_taken(extension);
        let unplugged = !outside && !self.world.phones[extension].plugged;
        let leg = Leg {
            extension: extension.clone(),
            server,
            state: LegState::Ringing,
            since: self.clock,
            greeted: false,
            lost: false,
            join_lost: false,
        };
        self.world.legs.insert((*call, *offer), leg);
        self.phone_changed(extension);
        let ring_time = u64::try_from(ring.ring_time.as_millis()).unwrap();
        let (after, deed) = match self.chance.between(0, 99) {
            _ if unplugged => (self.chance.between(1, 50), Deed::Fail(LegEnd::Unavailable)),
            // Some phones have call waiting.
            _ if taken && self.chance.percent(50) => (self.chance.between(1, 50), Deed::Fail(LegEnd::Rejected)),
            0..55 => (self.chance.between(100, ring_time), Deed::Answer),
            // In the very moment in which the ring time is over, and after it.
            55..62 => (self.chance.between(ring_time - 5, ring_time + 40), Deed::Answer),
            62..75 => (self.chance.between(50, ring_time), Deed::Fail(LegEnd::Rejected)),
            75..78 => (self.chance.between(1, 50), Deed::Fail(LegEnd::Unavailable)),
            _ => (ring_time + RING_SLACK, Deed::Fail(LegEnd::NoAnswer)),
        };
        self.later(after, Plan::PhoneActs { call: *call, offer: *offer, deed });
        if matches!(deed, Deed::Answer) {
            // Asterisk gives up in any case; an answered leg is hung up by somebody in the end.
            let talk =
                if self.chance.percent(25) { self.chance.between(1, 20) } else { self.chance.between(500, 40_000) };
            self.later(after + talk, Plan::PhoneActs { call: *call, offer: *offer, deed: Deed::HangUp });
            if !outside && self.chance.percent(30) {
                let moment = self.chance.between(0, talk);
                self.later(after + moment, Plan::SendsOn { call: *call, offer: *offer });
            }
        }
    }

    /// A caller's phone is asked to ring; the member hears that.
    fn customer_is_called(&mut self, server: usize, back: &CallBack) {
        let CallBack { call, attempt, offer, .. } = *back;
        if let Some(leg) = self.world.legs.get_mut(&(call, offer)) {
            (leg.state, leg.since) = (LegState::Hearing, self.clock);
        }
        let called = self.world.backs.keys().any(|(of, _)| *of == call);
        assert!(!called && !self.world.callers.contains_key(&call), "called while they are on a leg: {call}");
        let Some((arrival, marked)) = self.asked.get(&call).cloned() else { panic!("called who did not ask") };
        let arrival = Arrival { channel: back_channel(call, attempt), ..arrival };
        self.world.backs.insert((call, attempt), Back { server, arrival, marked });
        self.witness.tally.count("callers called back");
        let ring_time = u64::try_from(back.ring_time.as_millis()).unwrap();
        let (after, deed) = match self.chance.between(0, 99) {
            0..50 => (self.chance.between(100, ring_time), BackDeed::Answer),
            50..60 => (self.chance.between(ring_time - 5, ring_time + 40), BackDeed::Answer),
            60..75 => (self.chance.between(20, ring_time), BackDeed::Fail(Missed::Rejected)),
            75..80 => (self.chance.between(1, 50), BackDeed::Fail(Missed::Unavailable)),
            _ => (ring_time + RING_SLACK, BackDeed::Fail(Missed::NoAnswer)),
        };
        self.later(after, Plan::BackActs { call, attempt, deed });
        // The service dies, or loses the link, while it rings or just after.
        if self.chance.percent(10) {
            let after = self.chance.between(0, after + 100);
            let plan = if self.chance.percent(60) { Plan::Killed } else { Plan::LinkDies(server) };
            self.later(after, plan);
        }
        if matches!(deed, BackDeed::Answer) {
            let talk =
                if self.chance.percent(20) { self.chance.between(0, 20) } else { self.chance.between(500, 60_000) };
            self.later(after + talk, Plan::BackActs { call, attempt, deed: BackDeed::HangUp });
        }
    }

    pub(super) fn back_acts(&mut self, call: CallId, attempt: u32, deed: BackDeed) {
        match deed {
            BackDeed::Answer => {
                let Some(Back { server, arrival, marked }) = self.world.backs.remove(&(call, attempt)) else { return };
                let id = arrival.server.clone();
                let ears = Ears::new(self.clock);
                let caller = Caller { arrival, marked: Some(marked), ears, back: Some(attempt) };
                self.world.callers.insert(call, caller);
                self.tell(server, Told::Event(Event::BackAnswered { server: id, call, attempt }));
            }
            BackDeed::HangUp => drop(self.back_ends((call, attempt), Missed::HungUp)),
            BackDeed::Fail(end) => {
                if self.world.backs.contains_key(&(call, attempt)) {
                    self.back_ends((call, attempt), end);
                }
            }
        }
    }

    /// Whether there was such a leg, ringing or answered.
    fn back_ends(&mut self, (call, attempt): (CallId, u32), end: Missed) -> bool {
        if let Some(back) = self.world.backs.remove(&(call, attempt)) {
            self.tell(back.server, Told::Event(Event::BackGone { call, attempt, end }));
            return true;
        }
        let is_theirs = self.world.callers.get(&call).is_some_and(|caller| caller.back == Some(attempt));
        if is_theirs {
            self.caller_leaves(call);
        }
        is_theirs
    }

    /// A caller presses the key, and may not wait for the answer.
    pub(super) fn caller_presses(&mut self, call: CallId) {
        let Some(caller) = self.world.callers.get(&call).filter(|caller| caller.back.is_none()) else { return };
        let server = self.world.index(&caller.arrival.server);
        self.tell(server, Told::Event(Event::CallerPressed { call, key: '*' }));
        if self.chance.percent(30) {
            let after = self.chance.between(0, 4_000);
            self.later(after, Plan::CallerLeaves(call));
        }
    }

    pub(super) fn promise_spoken(&mut self, call: CallId) {
        if let Some(caller) = self.world.callers.get(&call) {
            let server = self.world.index(&caller.arrival.server);
            self.tell(server, Told::Event(Event::Promised { call }));
        }
    }

    /// By their phone's own means, which takes it out of the bridge, or by a feature code. Nobody but the dialplan hears of it
    /// while the service is away: it puts the caller through by itself.
    pub(super) fn sends_on(&mut self, call: CallId, offer: OfferNo) {
        let Some(leg) = self.world.legs.get_mut(&(call, offer)).filter(|leg| leg.state == LegState::Bridged) else {
            return;
        };
        let server = leg.server;
        if self.world.servers[server].link != Link::Up || !self.world.callers.contains_key(&call) {
            return;
        }
        let colleague = 1 + self.chance.between(0, 4);
        let to = match self.chance.between(0, 9) {
            0..5 => format!("{colleague}000"),
            5 | 6 => "77".to_owned(),
            7 => "75".to_owned(),
            8 => "00123".to_owned(),
            _ => "no such, number".to_owned(),
        };
        match self.chance.between(0, 9) {
            0..4 => {
                let how = TransferMeans::Phone;
                self.leaves_bridge((call, offer));
                self.tell(server, Told::Event(Event::TransferAsked { call, offer, to, how }));
            }
            4..8 => {
                let end = if self.chance.percent(50) { "#" } else { "" };
                for key in format!("##{to}{end}").chars() {
                    self.tell(server, Told::Event(Event::KeyPressed { call, offer, key }));
                }
                return;
            }
            8 => return self.tell(server, Told::Event(Event::HoldChanged { call, offer, hold: Hold::Held })),
            _ => {
                // Whom they had called is there already; with them the talk goes on.
                let extension = Extension::new(&to);
                if self.world.phones.get(&extension).is_some_and(|_| !self.world.is_taken(&extension)) {
                    self.leaves_bridge((call, offer));
                    self.tell(server, Told::Event(Event::HandedOver { call, offer, to }));
                }
                return;
            }
        }
        // Some phones hang up by themselves, some wait to be hung up.
        let after = self.chance.between(5, 3_000);
        self.later(after, Plan::PhoneActs { call, offer, deed: Deed::HangUp });
    }

    /// Asterisk has put something else in its place.
    fn leaves_bridge(&mut self, leg: (CallId, OfferNo)) {
        let clock = self.clock;
        if let Some(leg) = self.world.legs.get_mut(&leg) {
            (leg.state, leg.since) = (LegState::Answered, clock);
        }
    }

    /// Another channel is in the bridge in the place of a leg, for the party that the floor knows now.
    pub(super) fn stands_in(&mut self, call: CallId, before: OfferNo) {
        let Some(new) = self.floor.callers().get(&call).and_then(|caller| caller.taken()).cloned() else { return };
        if new.number == before || self.world.legs.contains_key(&(call, new.number)) {
            return;
        }
        let server = self.world.server_of[&call];
        let (extension, since) = (new.extension.clone(), self.clock);
        let leg =
            Leg { extension, server, state: LegState::Bridged, since, lost: false, join_lost: false, greeted: false };
        self.world.legs.insert((call, new.number), leg);
        self.phone_changed(&new.extension);
        let talk = self.chance.between(500, 20_000);
        self.later(talk, Plan::PhoneActs { call, offer: new.number, deed: Deed::HangUp });
    }

    pub(super) fn phone_acts(&mut self, call: CallId, offer: OfferNo, deed: Deed) {
        let Some(leg) = self.world.legs.get_mut(&(call, offer)) else { return };
        match deed {
            Deed::Answer => {
                (leg.state, leg.since) = (LegState::Answered, self.clock);
                let server = leg.server;
                let id = self.world.servers[server].id.clone();
                self.tell(server, Told::Event(Event::LegAnswered { server: id, call, offer }));
            }
            Deed::HangUp => {
                self.leg_ends((call, offer), LegEnd::HungUp);
            }
            Deed::Fail(end) => {
                self.leg_ends((call, offer), end);
            }
        }
    }

    /// Whether there was such a leg.
    fn leg_ends(&mut self, (call, offer): (CallId, OfferNo), end: LegEnd) -> bool {
        let Some(leg) = self.world.legs.remove(&(call, offer)) else { return false };
        if leg.state == LegState::Bridged
            && let Some(caller) = self.world.callers.get_mut(&call)
        {
            caller.ears.talk = false;
            caller.ears.listen(self.clock);
        }
        self.tell(leg.server, Told::Event(Event::LegGone { call, offer, end }));
        self.phone_changed(&leg.extension);
        true
    }

    fn legs_are_joined(&mut self, call: CallId, offer: OfferNo) {
        // What is said and music are ended by requests of their own, whatever becomes of the join.
        let numbers = self.world.callers.get(&call).map(|caller| caller.ears.said.clone());
        for number in numbers.into_iter().flatten() {
            self.said(call, number);
        }
        if let Some(caller) = self.world.callers.get_mut(&call) {
            caller.ears.music = false;
            caller.ears.listen(self.clock);
        }
        let mut leg = self.world.legs.get_mut(&(call, offer)).filter(|leg| leg.state != LegState::Ringing);
        let unheard_of =
            self.chance.percent(4) && leg.as_mut().is_some_and(|leg| !std::mem::replace(&mut leg.join_lost, true));
        if unheard_of && self.chance.percent(50) {
            self.witness.tally.count("joins not carried out");
            return;
        }
        let reply = match (self.world.callers.get_mut(&call), leg) {
            (Some(caller), Some(leg)) => {
                caller.ears.talk = true;
                caller.ears.listen(self.clock);
                leg.state = LegState::Bridged;
                Event::Joined { call, offer }
            }
            (_, leg) => {
                if leg.is_some() {
                    self.leg_ends((call, offer), LegEnd::HungUp);
                }
                Event::LegGone { call, offer, end: LegEnd::HungUp }
            }
        };
        if unheard_of {
            self.witness.tally.count("joins not told of");
        } else {
            self.reply(1, reply);
        }
    }

    // ---- people ------------------------------------------------------------------------------------------------

    /// How long they are going to wait, if not for ever; and nobody comes where the service cannot be reached.
    pub(super) fn caller_comes(&mut self, number: u64, server: usize, queue: &QueueName) -> Option<u64> {
        if self.world.servers[server].link == Link::Down {
            return None;
        }
        let mut arrival = fixture::arrival(number, &self.world.servers[server].id, queue);
        rules::any_claim(&mut self.chance, &mut arrival);
        let call = arrival.call;
        let caller = Caller { arrival, marked: None, ears: Ears::new(self.clock), back: None };
        if self.chance.percent(35) {
            let after = self.chance.between(50, 25_000);
            self.later(after, Plan::CallerPresses(call));
        }
        self.world.callers.insert(call, caller);
        self.world.server_of.insert(call, server);
        self.tell(server, Told::CallerStart(call));
        self.chance.percent(50).then(|| self.chance.between(0, 60_000))
    }

    pub(super) fn caller_leaves(&mut self, call: CallId) {
        let Some(caller) = self.world.callers.remove(&call) else { return };
        let told = match caller.back {
            None => Told::CallerGone(call),
            Some(attempt) => Told::Event(Event::BackGone { call, attempt, end: Missed::HungUp }),
        };
        self.tell(self.world.server_of[&call], told);
    }

    pub(super) fn set_outside(&mut self, extension: &Extension, by: Option<usize>) {
        self.world.phones.get_mut(extension).unwrap().outside = by;
        self.phone_changed(extension);
    }

    pub(super) fn set_plugged(&mut self, extension: &Extension, plugged: bool) {
        self.world.phones.get_mut(extension).unwrap().plugged = plugged;
        self.phone_changed(extension);
    }
}
