//! One step of the machine, with everything that it asks for: whom each event and each effect concerns.

use std::time::Duration;

use super::{super::world::LegState, PUBLISH_BOUND, Plan, Shift};
use crate::domain::{
    fact::Fact,
    id::{CallId, OfferNo},
    pop::PopOutcome,
    queue::{
        callback::Reach,
        caller::{Caller, OfferState, Stage},
        effect::Effect,
        event::Event,
        floor::{Doors, fixture},
        member::Work,
        tries::TryEnd,
    },
};

impl Shift {
    /// One step of the machine, with everything it asks for.
    pub(in super::super) fn step(&mut self, event: Event) {
        let now = self.now();
        self.note(|| format!("{event:?}"));
        self.consultations_are_heard();
        match &event {
            Event::DeviceChanged { server, interface, device } => self.witness.device(server, interface, *device),
            Event::ServerUp { server } => {
                self.witness.link_up(server);
                let talks = self.floor.callers().values();
                let talks = talks.filter(|c| c.stage == Stage::Talking && c.arrival.server == *server);
                talks.for_each(|caller| self.witness.records_again(caller.arrival.call));
            }
            Event::ServerDown { server } => self.witness.link_down(server),
            Event::PopSettled { call, offer, outcome } => {
                self.witness.settled(*call, *offer);
                self.witness.pop_outcome(*outcome);
            }
            Event::TalkFound { arrival, age, offer, extension } => {
                let known = self.floor.callers().get(&arrival.call);
                let talks = known.is_some_and(|caller| caller.stage == Stage::Talking || caller.has_out(*offer));
                self.witness.talk_found(arrival, now.steady.checked_sub(*age).filter(|_| !talks), *offer, extension);
            }
            Event::PartedFound { arrival, age, offer, extension } => {
                let known = self.floor.callers().get(&arrival.call);
                let talks = known.is_some_and(|caller| caller.stage == Stage::Talking || caller.has_out(*offer));
                self.witness.talk_found(arrival, now.steady.checked_sub(*age).filter(|_| !talks), *offer, extension);
                self.witness.tally.count("parted callers found");
            }
            Event::CallerFound(arrival, age) => {
                self.witness.comes(arrival.call, now.steady.checked_sub(*age).unwrap());
                self.witness.tally.count("callers found");
                if let Some(since) = arrival.since.filter(|_| !self.floor.callers().contains_key(&arrival.call)) {
                    let ago = Duration::try_from(now.utc.duration_since(since)).unwrap();
                    self.witness.has_place(arrival.call, now.steady.checked_sub(ago).unwrap());
                }
                if let Some(agent) = &arrival.returns_to {
                    // Of a callback of which only Asterisk knows what has become, the mark on the channel counts.
                    let known = self.floor.callers().get(&arrival.call);
                    let reach = known.and_then(|caller| caller.callback.as_ref()).map(|callback| &callback.reach);
                    let is_news = known.is_none() || matches!(reach, Some(Reach::Unsure { talked_with: Some(_) }));
                    self.witness.tally.count("transfers found");
                    if is_news {
                        self.witness.returns(arrival.call, agent, now);
                    }
                }
            }
            Event::BackRemembered { tried, .. } => {
                if let TryEnd::Talked(..) = tried.end {
                    self.witness.talk_remembered(tried.call);
                }
            }
            Event::RecordingBegun { call, .. } => self.witness.recording_begun(*call),
            Event::CalledInVain { arrival, .. } => self.witness.comes(arrival.call, now.steady),
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
            Event::TransferAsked { .. } | Event::SentOn { .. } => self.witness.tally.count("transfers asked for"),
            Event::HandedOver { .. } => self.witness.tally.count("callers handed over"),
            Event::PastTalks(_)
            | Event::TalkOver { .. }
            | Event::LeftOpen { .. }
            | Event::CallerPressed { .. }
            | Event::Claimed { .. }
            | Event::Declined { .. }
            | Event::Promised { .. }
            | Event::Cancelled { .. }
            | Event::BackAnswered { .. }
            | Event::BackGone { .. }
            | Event::BackFound { .. }
            | Event::CallerGone { .. }
            | Event::LegGone { .. }
            | Event::Joined { .. }
            | Event::Connected { .. }
            | Event::CallerParted { .. }
            | Event::HandOverFound { .. }
            | Event::CallerReplaced { .. }
            | Event::KeyPressed { .. }
            | Event::HoldChanged { .. }
            | Event::Said { .. }
            | Event::Tick => {}
        }
        let handed_over = if let Event::HandedOver { call, offer, .. } = event { Some((call, offer)) } else { None };
        // What an agent who has asked somebody may complete: by hanging up, or by sending the caller on to them.
        let completes = |caller: &Caller| {
            let is = |of: &CallId| caller.arrival.call == *of;
            if let Event::LegGone { call, offer, .. } = &event {
                is(call) && caller.offers.contains_key(offer)
            } else if let Event::KeyPressed { call, .. } | Event::TransferAsked { call, .. } = &event {
                is(call)
            } else if let Event::SentOn { extension, .. } = &event {
                caller.has_offer_to(extension)
            } else {
                matches!(event, Event::Tick)
            }
        };
        let asked = self.floor.callers().values().filter(|caller| completes(caller));
        self.witness.rings_on =
            asked.filter_map(|caller| Some((caller.arrival.call, caller.consulted()?.extension.clone()))).collect();
        let asks =
            |shift: &Self, call: CallId| shift.floor.callers().get(&call).is_some_and(|c| c.consulted().is_some());
        let pressed = if let Event::KeyPressed { call, .. } = event { Some(call) } else { None };
        let pressed = pressed.filter(|call| asks(self, *call));
        let gone = if let Event::LegGone { call, offer, .. } = event { Some((call, offer)) } else { None };
        let in_vain = if let Event::CalledInVain { arrival, .. } = &event { Some(arrival.call) } else { None };
        let found = if let Event::BackFound { call, member: Some(member), .. } = &event {
            let known = self.floor.callers().get(call).is_some_and(|caller| caller.has_out(member.0));
            (!known).then(|| (*call, member.clone()))
        } else {
            None
        };
        let effects = self.floor.step(event, now);
        // Also when their queue is gone, and they with it in the same step.
        let rings_on = |effect: &Effect, call| matches!(effect, Effect::Update { pop } if pop.call == call);
        if let Some((call, (offer, extension))) = found
            && (self.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer))
                || effects.iter().any(|effect| rings_on(effect, call)))
        {
            self.witness.back_found(call, offer, &extension);
        }
        for effect in effects {
            self.note(|| format!("      {}", fixture::words(&effect)));
            self.perform(effect);
        }
        if let Some(call) = in_vain {
            self.witness.heard_nothing(call);
        }
        if pressed.is_some_and(|call| !asks(self, call)) {
            self.witness.tally.count("consultations ended by the agent");
        }
        if let Some((call, offer)) = handed_over {
            self.stands_in(call, offer);
        }
        if self.floor.doors == Doors::Closed {
            let (floor, world) = (&self.floor, &self.world);
            let server = |call: CallId| &world.servers[world.server_of[&call]].id;
            self.witness.leaves(|call| !floor.callers().contains_key(&call), server);
        }
        self.witness.look(&self.floor, now);
        let cleared = |work: Work| matches!(work, Work::Clearing { call, offer, .. } if gone == Some((call, offer)));
        // A phone that has transferred by itself is in its old call for a moment.
        let hangs_up = |extension| self.floor.hanging_up.get(extension).is_some_and(|until| *until > now.steady);
        let kept = self.floor.agents.iter().any(|(extension, agent)| cleared(agent.work) && !hangs_up(extension));
        assert!(!kept, "kept for a leg that is gone");
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
                    let mut longest = 500;
                    if let Fact::AutoPaused { extension, .. } = fact
                        && self.chance.percent(30)
                    {
                        // The ledger cannot reach the database for a while, and the member resumes from elsewhere.
                        longest = 30_000;
                        let after = self.chance.between(1, longest);
                        self.later(after, Plan::Resumes(extension.clone()));
                    }
                    let after = self.chance.between(0, longest);
                    self.later(after, Plan::Written(self.now().utc, fact.clone()));
                }
                self.write_callback(fact);
                self.write_call(fact);
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
            | Effect::Hold { call }
            | Effect::RingTone { call, .. }
            | Effect::Connect { call, .. }
            | Effect::JoinAgain { call, .. }
            | Effect::TellBack { call, .. }
            | Effect::Renamed { call, .. }
            | Effect::Promise { call }
            | Effect::Regret { call } => self.world.server_of[call],
            Effect::GreetMember { call, offer, server, sound } => {
                self.witness.greets_member(*call, *offer, sound, self.start.plus(Duration::from_millis(self.clock)));
                self.world.index(server)
            }
            Effect::CallBack(back) => self.world.index(&back.server),
            Effect::Remember { server, .. } => self.world.index(server),
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
                let caller = self.floor.callers().get(&ring.call);
                let is_asked = caller.and_then(Caller::consulted).is_some_and(|asked| asked.number == ring.offer);
                if is_asked {
                    self.witness.asks(ring);
                } else {
                    self.witness.rang(ring, self.clock);
                }
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
            | Effect::TakesPlace { server, .. }
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
}
