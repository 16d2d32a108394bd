//! What becomes of each request, in the order in which they come.

use super::super::{
    shift::{Deed, Plan, Shift},
    world::{LegState, Told},
};
use crate::domain::{
    id::{CallId, OfferNo},
    queue::{
        callback::Missed,
        effect::{Effect, Farewell},
        event::{Event, LegEnd},
    },
};

impl Shift {
    pub(in super::super) fn carry_out(&mut self, server: usize, request: Effect) {
        match request {
            Effect::Greet { call, number } | Effect::Say { call, number, .. } => {
                self.out_of_the_bridge(call);
                self.is_said(call, number);
            }
            Effect::Music { call } => {
                self.out_of_the_bridge(call);
                if let Some(caller) = self.world.callers.get_mut(&call) {
                    caller.joined_with = None;
                    caller.ears.music = true;
                    caller.ears.listen(self.clock);
                }
            }
            Effect::Hold { call } => {
                self.parts(call);
                if let Some(caller) = self.world.callers.get_mut(&call) {
                    (caller.ears.music, caller.ears.talk) = (true, false);
                    caller.ears.listen(self.clock);
                }
            }
            Effect::Connect { call, offer: _, party } => self.party_is_connected(call, party),
            Effect::JoinAgain { call, offer } => self.legs_are_joined(call, offer),
            Effect::RingTone { .. } | Effect::TellBack { .. } | Effect::Renamed { .. } => {}
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
            Effect::Remember { tried, .. } => self.world.servers[server].tries.note(tried),
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
                // Some are refused for other reasons. A file that is there is gone on with.
                if self.world.bridges.contains(&call) && self.chance.percent(90) {
                    self.reply(1, Event::RecordingBegun { call, file: call.to_string() });
                }
            }
            Effect::GiveBack { call, .. } => {
                self.world.callers.remove(&call);
            }
            Effect::Moved { call, queue, .. } => {
                if let Some(caller) = self.world.callers.get_mut(&call) {
                    caller.arrival.queue = queue;
                    caller.arrival.since = None;
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
            Effect::TakesPlace { call, since, priority, .. } => {
                if let Some(caller) = self.world.callers.get_mut(&call) {
                    (caller.arrival.since, caller.arrival.priority) = (Some(since), priority);
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

    /// The caller is taken out of the bridge, and the member stays.
    fn parts(&mut self, call: CallId) {
        for ((of, _), leg) in &mut self.world.legs {
            if *of == call && leg.state == LegState::Bridged {
                (leg.state, leg.since) = (LegState::Parted, self.clock);
            }
        }
    }

    fn party_is_connected(&mut self, call: CallId, party: OfferNo) {
        let clock = self.clock;
        let lost = self.chance.percent(4);
        let reply = match self.world.legs.get_mut(&(call, party)) {
            Some(leg) => {
                assert_ne!(leg.state, LegState::Ringing, "connected with a phone that only rings");
                // No more than one goes astray over a link that stands.
                if lost && !std::mem::replace(&mut leg.join_lost, true) {
                    return;
                }
                (leg.state, leg.since) = (LegState::Parted, clock);
                Event::Connected { call, party }
            }
            None => Event::LegGone { call, offer: party, end: LegEnd::HungUp },
        };
        self.reply(1, reply);
        let agent = self.world.legs.keys().find(|leg| leg.0 == call && leg.1 != party).copied();
        // Some give the caller away as soon as somebody is there.
        if let Some((call, offer)) = agent.filter(|_| self.chance.percent(60)) {
            let after = self.chance.between(1, 3_000);
            self.later(after, Plan::PhoneActs { call, offer, deed: Deed::HangUp });
        }
    }

    /// Takes a caller out of the bridge, if they are in it.
    fn out_of_the_bridge(&mut self, call: CallId) {
        for ((of, _), leg) in &mut self.world.legs {
            if *of == call && leg.state == LegState::Bridged {
                (leg.state, leg.since) = (LegState::Answered, self.clock);
            }
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
    pub(in super::super) fn said(&mut self, call: CallId, number: u32) {
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

    pub(in super::super) fn member_greeted(&mut self, call: CallId, offer: OfferNo) {
        if let Some(leg) = self.world.legs.get(&(call, offer)) {
            self.tell(leg.server, Told::Event(Event::MemberGreeted { call, offer }));
        }
    }

    fn is_answered(&self, call: CallId, offer: OfferNo) -> bool {
        let leg = self.world.legs.get(&(call, offer));
        leg.is_some_and(|leg| matches!(leg.state, LegState::Answered | LegState::Hearing))
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
                caller.joined_with = Some(leg.extension.clone());
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
}
