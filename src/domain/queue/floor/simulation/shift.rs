//! One shift: the floor and its world, run in virtual time until both are at rest.
//!
//! Longer than 600 lines: every event, effect and fact has its arm here, so that a new one cannot be forgotten in a shift.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    chance::Chance,
    rules,
    witness::Witness,
    world::{LegState, Link, Server, Told, World},
};
use crate::domain::{
    fact::Fact,
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::PopOutcome,
    queue::{
        callback::{Kept, KeptState, Missed, Reach},
        caller::{Arrival, Caller, OfferState, Stage},
        effect::{Effect, Event, LegEnd},
        floor::{Floor, fixture},
        member::Work,
        roster::{self, Roster},
    },
};

/// How long a phone waits for its pop, in milliseconds.
const PUBLISH_BOUND: u64 = 500;
/// How long a caller may hear nothing while all links stand: the bound on joins, and the time that requests take.
const SILENCE: u64 = 2_500;
/// How long a member hears a greeting at most, in milliseconds.
const GREETING: u64 = 10_000;
/// The longest that a phone rings, in milliseconds.
const RING_TIME: u64 = 15_000;
/// The longest that a party outside is rung.
pub(super) const RING_OUTSIDE: u64 = 40_000;
/// Far more than any shift needs.
const TOO_MANY: usize = 20_000;

/// What is going to happen.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    CallerComes,
    CallerLeaves(CallId),
    CallerPresses(CallId),
    PromiseSpoken(CallId),
    BackActs {
        call: CallId,
        attempt: u32,
        deed: BackDeed,
    },
    /// Somebody cancels a callback.
    Cancels,
    RequestArrives {
        server: usize,
        epoch: u32,
    },
    WordArrives {
        server: usize,
        epoch: u32,
    },
    ReplyArrives {
        run: u32,
        event: Event,
    },
    /// What a caller was told is said.
    Said {
        call: CallId,
        number: u32,
    },
    /// A greeting to a member is over.
    MemberGreeted {
        call: CallId,
        offer: OfferNo,
    },
    PhoneActs {
        call: CallId,
        offer: OfferNo,
        deed: Deed,
    },
    /// Whoever is at that phone sends the caller on.
    SendsOn {
        call: CallId,
        offer: OfferNo,
    },
    RosterChanges,
    /// What the floor has decided is in the database.
    Written(Fact),
    /// An agent who was paused by the floor is back.
    Resumes(Extension),
    OutsideCall(Extension),
    OutsideCallEnds(Extension),
    Unplugged(Extension),
    Plugged(Extension),
    LinkDies(usize),
    LinkDeathIsNoticed {
        server: usize,
        epoch: u32,
    },
    LinkReturns {
        server: usize,
        epoch: u32,
    },
    Killed,
    Stopped,
}

/// What becomes of a leg.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    Answer,
    HangUp,
    Fail(LegEnd),
}

/// What becomes of the leg of a caller who is called back.
#[derive(Debug, Clone, Copy)]
pub(super) enum BackDeed {
    Answer,
    HangUp,
    Fail(Missed),
}

/// Rows of memberships and extensions.
#[derive(Debug)]
struct Member {
    row: roster::Agent,
    listed: bool,
    /// Since when they are logged on.
    queues: BTreeMap<QueueName, Timestamp>,
    penalty: u32,
    place: i32,
    /// As the ledger has written it.
    wrap_up_until: Option<Timestamp>,
}

pub(super) struct Shift {
    pub(super) chance: Chance,
    start: Now,
    /// Milliseconds since the start.
    pub(super) clock: u64,
    pub(super) floor: Floor,
    pub(super) world: World,
    pub(super) witness: Witness,
    agenda: BTreeMap<(u64, u64), Plan>,
    planned: u64,
    pub(super) run: u32,
    /// Callers whose channel the service knows.
    pub(super) known: BTreeSet<CallId>,
    /// Callers who were hung up and are not known to be gone.
    pub(super) dismissed: BTreeSet<CallId>,
    /// Who asked to be called back, as they came, and when they entered.
    pub(super) asked: BTreeMap<CallId, (Arrival, u64)>,
    /// The rows of callbacks that are open, as the ledger has written them.
    kept: BTreeMap<CallId, Kept>,
    /// Since when the leg of a callback is being taken down.
    clearing: BTreeMap<CallId, u64>,
    members: Vec<Member>,
    queues: Vec<(roster::Queue, bool)>,
    /// What the service has read of these last.
    told: Roster,
    came: u64,
    pub(super) log: Option<Vec<String>>,
}

impl Shift {
    pub(super) fn new(seed: u64, log: Option<Vec<String>>) -> Self {
        let mut chance = Chance::from(seed);
        let mut world = World::default();
        for number in 1..=chance.between(1, 2) {
            world.servers.push(Server::new(&format!("pbx{number}")));
        }
        let mut queues = Vec::new();
        for name in ["support", "sales"].into_iter().take(chance.place(2) + 1) {
            let ring_time = Duration::from_millis(chance.between(3_000, RING_TIME));
            let queue_timeout = Duration::from_secs(chance.between(10, 60));
            let policy = rules::any_policy(&mut chance);
            let callback = rules::any_callback(&mut chance);
            let announcements = rules::any_announcements(&mut chance);
            let greeting = if chance.percent(20) { String::new() } else { "usher/support_team".into() };
            let talk = rules::any_talk(&mut chance);
            let row = fixture::queue(name);
            queues.push((
                roster::Queue { ring_time, queue_timeout, policy, callback, announcements, greeting, talk, ..row },
                true,
            ));
        }
        let start = fixture::midnight();
        let mut members = Vec::new();
        for number in 1..=chance.between(1, 5) {
            let mut row = fixture::agent(&format!("{number}000"));
            if chance.percent(10) {
                row.interface = Interface::new(format!("Local/{number}000"));
            }
            world.add_phone(&row);
            let queues =
                queues.iter().filter(|_| chance.percent(80)).map(|(q, _)| (q.name.clone(), start.utc)).collect();
            let penalty = if chance.percent(70) { 0 } else { rules::small(&mut chance, 2) };
            let place = i32::try_from(chance.between(0, 3)).unwrap();
            members.push(Member { row, listed: true, queues, penalty, place, wrap_up_until: None });
        }
        let mut shift = Self {
            chance,
            start,
            clock: 0,
            floor: Floor::new(Duration::from_millis(PUBLISH_BOUND), seed).with_transfer_code("##"),
            world,
            witness: Witness::default(),
            agenda: BTreeMap::new(),
            planned: 0,
            run: 0,
            known: BTreeSet::new(),
            dismissed: BTreeSet::new(),
            asked: BTreeMap::new(),
            kept: BTreeMap::new(),
            clearing: BTreeMap::new(),
            members,
            queues,
            told: Roster::default(),
            came: 0,
            log,
        };
        shift.plan_the_day();
        shift
    }

    fn plan_the_day(&mut self) {
        self.load_all();
        for server in 0..self.world.servers.len() {
            let within = self.chance.between(0, 50);
            self.later(within, Plan::LinkReturns { server, epoch: 0 });
        }
        let length = self.chance.between(5_000, 90_000);
        for _ in 0..self.chance.between(1, 8) {
            let at = self.chance.between(0, length);
            self.later(at, Plan::CallerComes);
        }
        // Some shifts are quiet: what only trouble hides would hide in all of them otherwise.
        if self.chance.percent(30) {
            return;
        }
        for _ in 0..self.chance.between(0, 4) {
            let at = self.chance.between(0, length);
            let member = self.chance.place(self.members.len());
            let extension = self.members[member].row.extension.clone();
            let plan = match self.chance.between(0, 9) {
                9 => Plan::Cancels,
                0 | 1 => Plan::RosterChanges,
                8 => Plan::Resumes(extension),
                2 => Plan::OutsideCall(extension),
                3 => Plan::Unplugged(extension),
                4 | 5 => Plan::LinkDies(self.chance.place(self.world.servers.len())),
                6 => Plan::Killed,
                _ => Plan::Stopped,
            };
            self.later(at, plan);
        }
    }

    pub(super) fn later(&mut self, after: u64, plan: Plan) {
        self.planned += 1;
        self.agenda.insert((self.clock + after, self.planned), plan);
    }

    /// A reply to a request, for the run of the service that asked.
    pub(super) fn reply(&mut self, after: u64, event: Event) {
        self.later(after, Plan::ReplyArrives { run: self.run, event });
    }

    pub(super) fn now(&self) -> Now {
        self.start.plus(Duration::from_millis(self.clock))
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>7} {}", self.clock, line()));
        }
    }

    // ---- running -----------------------------------------------------------------------------------------------

    pub(super) fn run(&mut self) {
        for _ in 0..TOO_MANY {
            let due = self.floor.deadline().map(|(at, _)| self.millis(at));
            let next = self.agenda.keys().next().copied();
            match (due, next) {
                (None, None) => return self.rest(),
                (Some(due), next) if next.is_none_or(|(at, _)| due <= at) => {
                    self.clock = self.clock.max(due);
                    self.step(Event::Tick);
                    let now = self.now().steady;
                    assert!(self.floor.deadline().is_none_or(|(at, _)| at > now), "a deadline that is never met");
                }
                (_, Some(key)) => {
                    let Some(plan) = self.agenda.remove(&key) else { continue };
                    self.clock = key.0;
                    self.note(|| format!("-- {plan:?}"));
                    self.happens(plan);
                }
                (Some(_), None) => {}
            }
            self.nobody_is_left_in_silence();
            self.no_leg_is_waited_for_in_vain();
        }
        panic!("never at rest");
    }

    fn millis(&self, at: std::time::Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start.steady).as_millis()).unwrap()
    }

    fn rest(&self) {
        self.witness.at_rest(&self.floor);
        assert!(self.world.callers.is_empty(), "callers are left in Asterisk: {:?}", self.world.callers);
        assert!(self.world.legs.is_empty(), "legs are left in Asterisk: {:?}", self.world.legs);
        assert!(self.world.backs.is_empty(), "callers are still called back: {:?}", self.world.backs);
        assert!(self.kept.is_empty(), "callbacks are left: {:?}", self.kept);
        assert!(self.world.bridges.is_empty(), "bridges are left in Asterisk: {:?}", self.world.bridges);
    }

    fn nobody_is_left_in_silence(&self) {
        for caller in self.world.callers.values() {
            let server = &self.world.servers[self.world.index(&caller.arrival.server)];
            let Some(since) = caller.ears.silence else { continue };
            if server.link == Link::Up {
                assert!(self.clock - since.max(server.up_since) <= SILENCE, "left in silence: {caller:?}");
            }
        }
        for leg in self.world.legs.values().filter(|leg| !leg.lost) {
            let longest = match leg.state {
                LegState::Ringing if leg.extension.number_outside().is_some() => RING_OUTSIDE + 100,
                LegState::Ringing => RING_TIME + 100,
                LegState::Answered if leg.greeted => GREETING + SILENCE,
                LegState::Answered => SILENCE,
                LegState::Hearing => rules::CALLED + SILENCE,
                LegState::Listening => SILENCE + 2_000,
                LegState::Bridged => continue,
            };
            let server = &self.world.servers[leg.server];
            assert!(self.clock - leg.since.max(server.up_since) <= longest, "a leg forgotten: {leg:?}");
        }
    }

    /// A callback whose last leg is gone does not wait for it.
    fn no_leg_is_waited_for_in_vain(&mut self) {
        let is_clearing = |caller: &&Caller| caller.callback.as_ref().is_some_and(|c| c.reach == Reach::Clearing);
        let clearing: Vec<&Caller> = self.floor.callers().values().filter(is_clearing).collect();
        self.clearing.retain(|call, _| clearing.iter().any(|caller| caller.arrival.call == *call));
        for caller in clearing {
            let since = *self.clearing.entry(caller.arrival.call).or_insert(self.clock);
            let server = &self.world.servers[self.world.index(&caller.arrival.server)];
            let waits = self.clock - since.max(server.up_since);
            assert!(server.link != Link::Up || waits <= 500, "waits for a leg that is gone: {caller:?}");
        }
    }

    /// One step of the machine, with everything it asks for.
    pub(super) fn step(&mut self, event: Event) {
        let now = self.now();
        self.note(|| format!("{event:?}"));
        match &event {
            Event::DeviceChanged { server, interface, device } => self.witness.device(server, interface, *device),
            Event::ServerUp { server } => self.witness.link_up(server),
            Event::ServerDown { server } => self.witness.link_down(server),
            Event::PopSettled { call, offer, outcome } => {
                self.witness.settled(*call, *offer);
                self.witness.pop_outcome(*outcome);
            }
            Event::TalkFound { arrival, age, offer, extension } => {
                self.witness.comes(arrival.call, (now.steady.checked_sub(*age)).unwrap());
                self.witness.talk_found(arrival, *offer, extension);
            }
            Event::CallerFound(arrival, age) => {
                self.witness.comes(arrival.call, now.steady.checked_sub(*age).unwrap());
                self.witness.tally.count("callers found");
                if let Some(agent) = &arrival.returns_to {
                    self.witness.tally.count("transfers found");
                    self.witness.returns(arrival.call, agent);
                }
            }
            Event::CallerEntered(arrival) => self.witness.comes(arrival.call, now.steady),
            Event::Kept(kept) => {
                for kept in kept {
                    self.witness.kept(kept, now);
                }
            }
            Event::LegAnswered { call, offer, .. } => self.tally_answer(*call, *offer),
            Event::MemberGreeted { call, offer } => self.witness.greeted(*call, *offer),
            Event::Stop => self.witness.no_greeting_is_waited_for(),
            Event::Roster(_) | Event::RosterChanged(_) => self.witness.rules(&self.told),
            Event::TransferAsked { .. } => self.witness.tally.count("transfers asked for"),
            Event::HandedOver { .. } => self.witness.tally.count("callers handed over"),
            Event::PastTalks(_)
            | Event::TalkOver { .. }
            | Event::CallerPressed { .. }
            | Event::Promised { .. }
            | Event::Cancelled { .. }
            | Event::BackAnswered { .. }
            | Event::BackGone { .. }
            | Event::BackFound { .. }
            | Event::CallerGone { .. }
            | Event::LegGone { .. }
            | Event::Joined { .. }
            | Event::KeyPressed { .. }
            | Event::HoldChanged { .. }
            | Event::Said { .. }
            | Event::RecordingBegun { .. }
            | Event::Tick => {}
        }
        let handed_over = if let Event::HandedOver { call, offer, .. } = event { Some((call, offer)) } else { None };
        let gone = if let Event::LegGone { call, offer, .. } = event { Some((call, offer)) } else { None };
        let found = if let Event::BackFound { call, member: Some(member), .. } = &event {
            let known = self.floor.callers().get(call).is_some_and(|caller| caller.has_out(member.0));
            (!known).then(|| (*call, member.clone()))
        } else {
            None
        };
        let effects = self.floor.step(event, now);
        if let Some((call, (offer, extension))) = found
            && self.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer))
        {
            self.witness.back_found(call, offer, &extension);
        }
        for effect in effects {
            self.note(|| format!("      {}", fixture::words(&effect)));
            self.perform(effect);
        }
        if let Some((call, offer)) = handed_over {
            self.stands_in(call, offer);
        }
        self.witness.look(&self.floor, now);
        let cleared = |work: Work| matches!(work, Work::Clearing { call, offer, .. } if gone == Some((call, offer)));
        assert!(!self.floor.agents.values().any(|agent| cleared(agent.work)), "kept for a leg that is gone");
    }

    fn tally_answer(&mut self, call: CallId, offer: OfferNo) {
        let offer = self.floor.callers().get(&call).and_then(|caller| caller.offers.get(&offer));
        self.witness.tally.count(match offer.map(|offer| offer.state) {
            Some(OfferState::Ringing { .. }) => "answers in time",
            Some(OfferState::Answered) => "answers told twice",
            Some(OfferState::Popping { .. }) | None => "answers too late",
        });
    }

    fn perform(&mut self, effect: Effect) {
        let server = match &effect {
            Effect::Announce { .. } | Effect::ForgetAnnouncement { .. } | Effect::TellMember { .. } => return,
            Effect::Record(fact) => {
                if let Fact::OfferEnded { call, why, .. } = fact {
                    self.witness.offer_ends(&self.world.servers[self.world.server_of[call]].id, *why);
                }
                if matches!(fact, Fact::AutoPaused { .. } | Fact::WrapUp { .. }) {
                    let after = self.chance.between(0, 500);
                    self.later(after, Plan::Written(fact.clone()));
                }
                self.write_callback(fact);
                return self.witness.recorded(fact, self.now());
            }
            Effect::Update { pop } => return self.witness.updated(pop),
            Effect::Retire { pop } => return self.witness.retired(pop),
            Effect::Publish { offer, pop } => {
                self.witness.published(*offer, pop, self.clock + PUBLISH_BOUND);
                return self.pop_on_its_way(pop.call, *offer);
            }
            Effect::Say { call, sounds, .. } => {
                self.witness.said(&self.floor, *call, sounds, self.start.plus(Duration::from_millis(self.clock)));
                self.world.server_of[call]
            }
            Effect::Greet { call, .. }
            | Effect::Music { call }
            | Effect::Promise { call }
            | Effect::Regret { call } => self.world.server_of[call],
            Effect::GreetMember { call, offer, server, sound } => {
                self.witness.greets_member(*call, *offer, sound, self.start.plus(Duration::from_millis(self.clock)));
                self.world.index(server)
            }
            Effect::CallBack(back) => self.world.index(&back.server),
            Effect::HangUpCaller { call, server, .. } => {
                self.known.remove(call);
                self.dismissed.insert(*call);
                self.world.index(server)
            }
            Effect::Join { call, offer } => {
                // Not for those who answered in a gap, or for a caller who was called back: they have waited long enough.
                let server = &self.world.servers[self.world.server_of[call]].id;
                let back = self.floor.callers().get(call).is_some_and(|caller| caller.callback.is_some());
                let greets = self.witness.is_up(server) && !back;
                self.witness.joins(*call, *offer, greets, self.start.plus(Duration::from_millis(self.clock)));
                let leg = self.world.legs.get(&(*call, *offer));
                assert!(leg.is_none_or(|leg| leg.state != LegState::Ringing), "joined with a leg that only rings");
                self.world.server_of[call]
            }
            Effect::Ring(ring) => {
                self.witness.rang(ring, self.clock);
                let outside = ring.extension.number_outside().is_some();
                let live = self.world.legs.values().any(|leg| leg.extension == ring.extension && !leg.lost);
                assert!(!live || outside, "a second phone rings for {}", ring.extension);
                self.world.index(&ring.server)
            }
            Effect::Moved { call, server, queue, .. } => {
                self.witness.moved(*call, queue);
                self.world.index(server)
            }
            Effect::GiveBack { call, server, .. } => {
                self.known.remove(call);
                self.world.index(server)
            }
            Effect::RecordTalk { call, server } => {
                self.witness.records(*call);
                self.world.index(server)
            }
            Effect::DropLeg { server, .. }
            | Effect::DropBack { server, .. }
            | Effect::ReturnsTo { server, .. }
            | Effect::DropBridge { server, .. } => self.world.index(server),
        };
        self.request(server, effect);
    }

    fn pop_on_its_way(&mut self, call: CallId, offer: OfferNo) {
        let (after, outcome) = match self.chance.between(0, 99) {
            0..70 => (self.chance.between(1, 100), PopOutcome::Confirmed),
            70..78 => (self.chance.between(1, 100), PopOutcome::Refused),
            78..84 => (1, PopOutcome::LinkDown),
            84..90 => (PUBLISH_BOUND, PopOutcome::TimedOut),
            90..95 => (self.chance.between(PUBLISH_BOUND, 20_000), PopOutcome::Confirmed),
            _ => return,
        };
        self.reply(after, Event::PopSettled { call, offer, outcome });
    }

    // ---- what happens ------------------------------------------------------------------------------------------

    fn happens(&mut self, plan: Plan) {
        match plan {
            Plan::CallerComes => {
                self.came += 1;
                let server = self.chance.place(self.world.servers.len());
                let queue = self.chance.place(self.queues.len());
                let queue = self.queues[queue].0.name.clone();
                if let Some(patience) = self.caller_comes(self.came, server, &queue) {
                    self.later(patience, Plan::CallerLeaves(fixture::call(self.came)));
                }
            }
            Plan::CallerLeaves(call) => self.caller_leaves(call),
            Plan::CallerPresses(call) => self.caller_presses(call),
            Plan::PromiseSpoken(call) => self.promise_spoken(call),
            Plan::BackActs { call, attempt, deed } => self.back_acts(call, attempt, deed),
            Plan::Cancels => {
                let calls: Vec<CallId> = self.kept.keys().copied().collect();
                if !calls.is_empty() {
                    let call = calls[self.chance.place(calls.len())];
                    self.step(Event::Cancelled { call });
                }
            }
            Plan::RequestArrives { server, epoch } => {
                if self.world.servers[server].epoch == epoch
                    && let Some(request) = self.world.servers[server].requests.pop_front()
                {
                    self.carry_out(server, request);
                }
            }
            Plan::WordArrives { server, epoch } => {
                if self.world.servers[server].epoch == epoch
                    && let Some(told) = self.world.servers[server].wire.pop_front()
                {
                    self.hear(told);
                }
            }
            Plan::ReplyArrives { run, event } => {
                if run == self.run {
                    self.step(event);
                }
            }
            Plan::Said { call, number } => self.said(call, number),
            Plan::MemberGreeted { call, offer } => self.member_greeted(call, offer),
            Plan::PhoneActs { call, offer, deed } => self.phone_acts(call, offer, deed),
            Plan::SendsOn { call, offer } => self.sends_on(call, offer),
            Plan::RosterChanges => self.roster_changes(),
            Plan::Written(fact) => self.written(&fact),
            Plan::Resumes(extension) => {
                let member = self.members.iter_mut().find(|member| member.row.extension == extension).unwrap();
                member.row.pauses.clear();
                self.tell_roster();
            }
            Plan::OutsideCall(extension) => {
                if !self.world.is_taken(&extension) {
                    let server = self.chance.place(self.world.servers.len());
                    let after = self.chance.between(500, 30_000);
                    self.set_outside(&extension, Some(server));
                    self.later(after, Plan::OutsideCallEnds(extension));
                }
            }
            Plan::OutsideCallEnds(extension) => self.set_outside(&extension, None),
            Plan::Unplugged(extension) => {
                let after = self.chance.between(500, 30_000);
                self.set_plugged(&extension, false);
                self.later(after, Plan::Plugged(extension));
            }
            Plan::Plugged(extension) => self.set_plugged(&extension, true),
            Plan::LinkDies(server) => self.link_dies(server),
            Plan::LinkDeathIsNoticed { server, epoch } => {
                if self.world.servers[server].epoch == epoch {
                    self.world.servers[server].link = Link::Down;
                    let id = self.world.servers[server].id.clone();
                    self.step(Event::ServerDown { server: id });
                    let after = self.chance.between(100, 20_000);
                    self.later(after, Plan::LinkReturns { server, epoch });
                }
            }
            Plan::LinkReturns { server, epoch } => {
                if self.world.servers[server].epoch == epoch {
                    self.link_returns(server);
                }
            }
            Plan::Killed => self.restarts(),
            Plan::Stopped => {
                self.witness.tally.count("stops");
                self.step(Event::Stop);
                let left = self.floor.callers().values();
                assert!(left.into_iter().all(|c| matches!(c.stage, Stage::Joining | Stage::Talking)));
                for server in 0..self.world.servers.len() {
                    while self.world.servers[server].link == Link::Up
                        && let Some(request) = self.world.servers[server].requests.pop_front()
                    {
                        self.carry_out(server, request);
                    }
                }
                // What comes until then must not be taken on.
                let after = self.chance.between(1, 3_000);
                self.later(after, Plan::Killed);
            }
        }
    }

    /// The service is gone, and comes again.
    fn restarts(&mut self) {
        self.witness.tally.count("restarts");
        self.run += 1;
        self.known.clear();
        self.dismissed.clear();
        self.clearing.clear();
        self.witness.restart();
        let seed = self.chance.between(0, u64::MAX - 1);
        self.floor = Floor::new(Duration::from_millis(PUBLISH_BOUND), seed).with_transfer_code("##");
        for server in 0..self.world.servers.len() {
            self.cut(server);
            self.world.servers[server].link = Link::Down;
            let after = self.chance.between(200, 8_000);
            let epoch = self.world.servers[server].epoch;
            self.later(after, Plan::LinkReturns { server, epoch });
        }
        self.write_what_waits();
        self.load_all();
        self.step(Event::Kept(self.kept.values().cloned().collect()));
        self.step(Event::PastTalks(Arc::new(self.witness.talks())));
    }

    fn roster(&self) -> Roster {
        let listed = |queue: &QueueName| self.queues.iter().any(|(q, listed)| q.name == *queue && *listed);
        Roster {
            agents: self.members.iter().filter(|m| m.listed).map(|m| m.row.clone()).collect(),
            queues: self.queues.iter().filter(|(_, listed)| *listed).map(|(queue, _)| queue.clone()).collect(),
            memberships: self
                .members
                .iter()
                .filter(|m| m.listed)
                .flat_map(|m| {
                    m.queues.iter().filter(|(q, _)| listed(q)).map(|(q, since)| roster::Membership {
                        penalty: m.penalty,
                        place: m.place,
                        joined_at: *since,
                        wrap_up_until: m.wrap_up_until,
                        ..fixture::member(q.as_str(), m.row.extension.as_str())
                    })
                })
                .collect(),
        }
    }

    fn load_all(&mut self) {
        self.told = self.roster();
        self.step(Event::Roster(fixture::shared(self.told.clone())));
    }

    /// The rows that were changed are loaded, or for once all of them. Both ways lead to the same floor, by the same effects.
    fn tell_roster(&mut self) {
        let roster = self.roster();
        let change = Event::RosterChanged(Arc::new(fixture::difference(&self.told, &roster)));
        let whole = Event::Roster(fixture::shared(roster.clone()));
        self.told = roster;
        let [(by_change, first), (by_all, second)] = [change.clone(), whole.clone()].map(|event| {
            let mut floor = self.floor.clone();
            let effects = floor.step(event, self.now());
            (floor, effects)
        });
        let lines = |effects: &[Effect]| effects.iter().map(fixture::words).collect::<Vec<_>>();
        assert_eq!(lines(&first), lines(&second), "done otherwise for {change:?}");
        assert!(by_change == by_all, "{change:?} leads to\n{by_change:?}\nand everything to\n{by_all:?}");
        let event = if self.chance.percent(20) { whole } else { change };
        self.step(event);
    }

    /// What an earlier run has recorded is written before anything is read.
    fn write_what_waits(&mut self) {
        let waits = |plan: &Plan| matches!(plan, Plan::Written(Fact::WrapUp { .. }));
        let due: Vec<_> = self.agenda.iter().filter(|(_, plan)| waits(plan)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(Plan::Written(fact)) = self.agenda.remove(&key) {
                self.write(&fact);
            }
        }
    }

    /// The ledger writes. What the service knows already is not announced, and so not read again.
    fn written(&mut self, fact: &Fact) {
        self.write(fact);
        if matches!(fact, Fact::AutoPaused { .. }) {
            self.tell_roster();
        }
    }

    fn write(&mut self, fact: &Fact) {
        match fact {
            Fact::AutoPaused { extension, queue, .. } => {
                let since = self.now().utc;
                let member = self.members.iter_mut().find(|member| member.row.extension == *extension).unwrap();
                let (queue, kind) = (Some(queue.clone()), roster::PauseKind::Auto);
                member.row.pauses.push(roster::Pause { queue, kind, reason: String::new(), since });
                let after = self.chance.between(1, 20_000);
                self.later(after, Plan::Resumes(extension.clone()));
            }
            Fact::WrapUp { extension, until, .. } => {
                let member = self.members.iter_mut().find(|member| member.row.extension == *extension).unwrap();
                member.wrap_up_until = member.wrap_up_until.max(Some(*until));
            }
            Fact::CallEntered { .. }
            | Fact::CallOffered { .. }
            | Fact::CallRinging { .. }
            | Fact::OfferEnded { .. }
            | Fact::CallAnswered { .. }
            | Fact::CallOverflowed { .. }
            | Fact::CallbackAsked { .. }
            | Fact::CallbackCalled { .. }
            | Fact::CallbackMissed { .. }
            | Fact::CallTransferred { .. }
            | Fact::TransferFailed { .. }
            | Fact::CallHeld { .. }
            | Fact::Recording { .. }
            | Fact::CallEnded { .. } => {}
        }
    }

    /// What the ledger writes of callbacks.
    fn write_callback(&mut self, fact: &Fact) {
        match fact {
            Fact::CallbackAsked {
                call,
                server,
                queue,
                customer,
                caller,
                priority,
                since,
                entered,
                penalties,
                keep_until,
            } => {
                let kept = Kept {
                    call: *call,
                    server: server.clone(),
                    queue: queue.clone(),
                    customer: customer.clone(),
                    caller: caller.clone(),
                    priority: *priority,
                    since: *since,
                    penalties: *penalties,
                    entered: *entered,
                    keep_until: *keep_until,
                    attempt: 0,
                    tries: 0,
                    again_at: None,
                    state: KeptState::Waiting,
                };
                self.kept.insert(*call, kept);
                let asker = &self.floor.callers()[call];
                let entered = self.millis(asker.entered.steady);
                self.asked.insert(*call, (asker.arrival.clone(), entered));
            }
            Fact::CallbackCalled { call, attempt, .. } => {
                let kept = self.kept.get_mut(call).unwrap();
                (kept.attempt, kept.state, kept.again_at) = (*attempt, KeptState::Called, None);
            }
            Fact::CallbackMissed { call, tries, again_at, .. } => {
                let kept = self.kept.get_mut(call).unwrap();
                (kept.tries, kept.again_at, kept.state) = (*tries, *again_at, KeptState::Waiting);
            }
            Fact::CallAnswered { call, extension, .. } => {
                if let Some(kept) = self.kept.get_mut(call) {
                    kept.state = KeptState::Talking(extension.clone());
                }
            }
            Fact::CallEnded { call, .. } => drop(self.kept.remove(call)),
            Fact::CallEntered { .. }
            | Fact::Recording { .. }
            | Fact::CallOffered { .. }
            | Fact::CallRinging { .. }
            | Fact::OfferEnded { .. }
            | Fact::CallOverflowed { .. }
            | Fact::CallTransferred { .. }
            | Fact::TransferFailed { .. }
            | Fact::CallHeld { .. }
            | Fact::WrapUp { .. }
            | Fact::AutoPaused { .. } => {}
        }
    }

    fn roster_changes(&mut self) {
        let member = self.chance.place(self.members.len());
        let queue = self.chance.place(self.queues.len());
        let name = self.queues[queue].0.name.clone();
        let now = self.now().utc;
        match self.chance.between(0, 15) {
            0..5 => {
                let queues = &mut self.members[member].queues;
                if queues.remove(&name).is_none() {
                    queues.insert(name, now);
                }
            }
            10 => self.queues[queue].0.policy = rules::any_policy(&mut self.chance),
            14 => self.queues[queue].0.announcements = rules::any_announcements(&mut self.chance),
            15 => self.queues[queue].0.talk = rules::any_talk(&mut self.chance),
            11 => self.members[member].penalty = rules::small(&mut self.chance, 2),
            12 | 13 => {
                let queue = self.chance.percent(50).then_some(name);
                let pauses = &mut self.members[member].row.pauses;
                if pauses.pop().is_none() {
                    let kind = roster::PauseKind::Manual;
                    pauses.push(roster::Pause { queue, kind, reason: "lunch".into(), since: now });
                }
            }
            5..8 => self.members[member].listed = !self.members[member].listed,
            8 => self.queues[queue].1 = !self.queues[queue].1,
            _ => self.queues[queue].0.queue_timeout = Duration::from_secs(self.chance.between(5, 60)),
        }
        self.witness.tally.count("changes of the roster");
        self.tell_roster();
        if self.chance.percent(60) {
            let after = self.chance.between(10, 20_000);
            self.later(after, Plan::RosterChanges);
        }
    }

    /// Tells all servers that listen what has become of a phone.
    pub(super) fn phone_changed(&mut self, extension: &Extension) {
        let Some(phone) = self.world.phones.get(extension) else { return };
        let interface = phone.interface.clone();
        if !interface.is_watched() {
            return;
        }
        for server in 0..self.world.servers.len() {
            let device = self.world.device(extension, server);
            let id: ServerId = self.world.servers[server].id.clone();
            let event = Event::DeviceChanged { server: id, interface: interface.clone(), device };
            self.tell(server, Told::Event(event));
        }
    }
}
