//! The life of an offer: who gets whom, the pop, the ringing, the joining, the talk, and each way it can end.

use std::time::{Duration, Instant};

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, Interface, OfferNo, ServerId},
    now::Now,
    pop::{PopOutcome, PopState},
    queue::{
        caller::{Offer, Stage},
        effect::{Effect, LegEnd, Ring},
        floor::{Floor, Leg},
        member::{Device, Work},
        strategy::{Candidate, least_recent},
    },
};

/// How long a leg that was hung up may stay unaccounted for before its member is free again all the same.
const CLEARING: Duration = Duration::from_secs(5);
/// How long a join may stay unaccounted for before it is asked for again: the two wait in silence meanwhile.
const JOIN_BOUND: Duration = Duration::from_secs(2);

impl Floor {
    /// Gives back the callers in line whom nobody can serve, and every free member the first caller they may have.
    pub(super) fn dispatch(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.give_back_the_hopeless(now, out);
        let waiting: Vec<CallId> = self.line.values().copied().collect();
        for call in waiting {
            let Some(extension) = self.choose(call) else { continue };
            let (Some(caller), Some(agent)) = (self.callers.get_mut(&call), self.agents.get_mut(&extension)) else {
                continue;
            };
            let offer = caller.next_offer(extension.clone());
            caller.stage = Stage::Popping { until: now.steady + self.publish_bound };
            agent.work = Work::Busy { call, offer: offer.number };
            self.line.remove(&(caller.entered.steady, caller.ticket));
            out.push(Effect::Publish { offer: offer.number, pop: caller.pop(&extension, PopState::Offered, now) });
            out.push(Effect::Record(Fact::CallOffered { call, offer: offer.number, extension }));
        }
    }

    fn choose(&self, call: CallId) -> Option<Extension> {
        let caller = self.callers.get(&call)?;
        if !self.up.contains(&caller.arrival.server) {
            return None;
        }
        let free = self.agents.iter().filter(|(extension, agent)| {
            agent.logged_on.contains(&caller.arrival.queue)
                && agent.work == Work::Free
                && !caller.skipped.contains(*extension)
                && self.is_idle(&caller.arrival.server, &agent.row.interface)
        });
        least_recent(free.map(|(extension, agent)| Candidate { extension, last_turn: agent.last_turn() })).cloned()
    }

    /// Whether the phone can be rung from there, and its owner is in a call nowhere.
    fn is_idle(&self, server: &ServerId, interface: &Interface) -> bool {
        let seen_by = |server: &ServerId| self.devices.get(&(server.clone(), interface.clone()));
        let reachable = match seen_by(server) {
            Some(Device::Idle) => true,
            Some(Device::Busy | Device::Unavailable) => false,
            None => !interface.is_watched(),
        };
        reachable && !self.up.iter().any(|server| seen_by(server) == Some(&Device::Busy))
    }

    pub(super) fn pop_settled(
        &mut self,
        call: CallId,
        number: OfferNo,
        outcome: PopOutcome,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.get(&call) else { return };
        match caller.stage {
            Stage::Popping { .. } if caller.has_out(number) => {}
            Stage::Popping { .. } | Stage::Waiting | Stage::Ringing { .. } | Stage::Joining | Stage::Talking => return,
        }
        // The phone may have been taken meanwhile; it is not rung into another call, and not skipped for it either.
        let Some(ring) = self.ring(call) else {
            return self.end_offer(call, OfferEnd::Withdrawn, Leg::NeverMade, now, out);
        };
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let (offer, extension) = (ring.offer, ring.extension.clone());
        caller.stage = Stage::Ringing { until: now.steady + ring.ring_time };
        caller.mark_rung();
        out.push(Effect::Ring(ring));
        out.push(Effect::Update { pop: caller.pop(&extension, PopState::Ringing, now) });
        out.push(Effect::Record(Fact::CallRinging { call, offer, extension, pop: outcome }));
    }

    /// How to ring the member who has the offer; `None` when it cannot be done now.
    fn ring(&self, call: CallId) -> Option<Ring> {
        let caller = self.callers.get(&call)?;
        let offer = caller.offer.as_ref()?;
        let agent = self.agents.get(&offer.extension)?;
        let queue = self.queues.get(&caller.arrival.queue)?;
        let server = &caller.arrival.server;
        if !self.up.contains(server) || !self.is_idle(server, &agent.row.interface) {
            return None;
        }
        Some(Ring {
            call,
            offer: offer.number,
            extension: offer.extension.clone(),
            interface: agent.row.interface.clone(),
            server: server.clone(),
            originator: caller.arrival.channel.clone(),
            caller: caller.arrival.caller.clone(),
            queue: queue.name.clone(),
            ring_time: queue.ring_time,
        })
    }

    pub(super) fn leg_answered(
        &mut self,
        server: ServerId,
        call: CallId,
        offer: OfferNo,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if let Some(caller) = self.callers.get(&call).filter(|caller| caller.has_out(offer)) {
            match caller.stage {
                Stage::Ringing { .. } => return self.join(call, now, out),
                // Told twice.
                Stage::Joining | Stage::Talking => return,
                Stage::Waiting | Stage::Popping { .. } => {}
            }
        }
        // The answer comes too late: the offer has gone elsewhere. Nobody is left in silence.
        out.push(Effect::DropLeg { call, offer, server });
    }

    /// Asks for both to be joined, for the first time or again.
    pub(super) fn join(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(offer) = caller.offer.as_ref().map(|offer| offer.number) else { return };
        caller.join_until(now.steady + JOIN_BOUND);
        out.push(Effect::Join { call, offer });
    }

    pub(super) fn joined(&mut self, call: CallId, offer: OfferNo, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        match caller.stage {
            Stage::Joining if caller.has_out(offer) => {}
            Stage::Joining | Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } | Stage::Talking => return,
        }
        let Some(extension) = caller.offer.as_ref().map(|offer| offer.extension.clone()) else { return };
        caller.stage = Stage::Talking;
        out.push(Effect::ForgetAnnouncement { call });
        out.push(Effect::Update { pop: caller.pop(&extension, PopState::Answered, now) });
        out.push(Effect::Record(Fact::CallAnswered { call, offer, extension }));
    }

    pub(super) fn leg_gone(&mut self, call: CallId, offer: OfferNo, end: LegEnd, now: Now, out: &mut Vec<Effect>) {
        for agent in self.agents.values_mut() {
            match agent.work {
                Work::Clearing { call: c, offer: o, .. } if c == call && o == offer => agent.work = Work::Free,
                Work::Clearing { .. } | Work::Free | Work::Busy { .. } => {}
            }
        }
        self.forget_unlisted();
        let Some(caller) = self.callers.get(&call).filter(|caller| caller.has_out(offer)) else { return };
        match caller.stage {
            Stage::Waiting => {}
            Stage::Popping { .. } | Stage::Ringing { .. } => {
                let why = match end {
                    LegEnd::NoAnswer => OfferEnd::RingNoAnswer,
                    LegEnd::Rejected | LegEnd::HungUp => OfferEnd::Rejected,
                    LegEnd::Unavailable => OfferEnd::Unavailable,
                    // Not the member's doing: they are not skipped for it.
                    LegEnd::NotPlaced | LegEnd::Lost => OfferEnd::Withdrawn,
                };
                self.end_offer(call, why, Leg::Gone, now, out);
            }
            Stage::Joining => {
                let why = match end {
                    LegEnd::NotPlaced | LegEnd::Lost => OfferEnd::Withdrawn,
                    LegEnd::HungUp | LegEnd::Rejected | LegEnd::NoAnswer | LegEnd::Unavailable => OfferEnd::MemberGone,
                };
                self.end_offer(call, why, Leg::Gone, now, out);
                // Greeting and music were ended for the member who is gone.
                out.push(Effect::Music { call });
            }
            Stage::Talking => self.finish_talk(call, Leg::Gone, now, out),
        }
    }

    /// The end of a call in which caller and member talked.
    pub(super) fn finish_talk(&mut self, call: CallId, leg: Leg, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(offer) = caller.offer.take() else { return };
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        let pop = caller.pop(&offer.extension, PopState::Ended, now);
        if let Some(agent) = self.agents.get_mut(&offer.extension) {
            agent.last_call = agent.last_call.max(Some(now.utc));
        }
        self.release(call, &offer, leg, now.steady + CLEARING, out);
        if leg == Leg::Gone {
            out.push(Effect::HangUpCaller { call, server, channel });
        }
        out.push(Effect::Retire { pop });
        self.remove(call, Some(offer.extension), CallOutcome::Completed, out);
    }

    /// Takes an offer back: the caller is in line again in the old place, the member is free or being cleared.
    pub(super) fn end_offer(&mut self, call: CallId, why: OfferEnd, leg: Leg, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(offer) = caller.offer.take() else { return };
        let (leg, until) = match caller.stage {
            Stage::Popping { .. } => (Leg::NeverMade, now.steady),
            // It cannot be dropped, but rings no longer than Asterisk was told.
            Stage::Ringing { until } if !self.up.contains(&caller.arrival.server) => (leg, until.max(now.steady)),
            Stage::Waiting | Stage::Ringing { .. } | Stage::Joining | Stage::Talking => (leg, now.steady),
        };
        caller.stage = Stage::Waiting;
        self.line.insert((caller.entered.steady, caller.ticket), call);
        match why {
            OfferEnd::RingNoAnswer | OfferEnd::Rejected | OfferEnd::Unavailable | OfferEnd::MemberGone => {
                caller.skipped.insert(offer.extension.clone());
                if let Some(agent) = self.agents.get_mut(&offer.extension) {
                    agent.last_refusal = agent.last_refusal.max(Some(now.utc));
                }
            }
            OfferEnd::CallerGone | OfferEnd::LoggedOff | OfferEnd::Withdrawn => {}
        }
        let pop = caller.pop(&offer.extension, PopState::Withdrawn, now);
        self.release(call, &offer, leg, until + CLEARING, out);
        out.push(Effect::Retire { pop });
        out.push(Effect::Record(Fact::OfferEnded { call, offer: offer.number, extension: offer.extension, why }));
    }

    /// Ends a member's reservation; a leg that may still be there is dropped, and waited for until then.
    fn release(&mut self, call: CallId, offer: &Offer, leg: Leg, until: Instant, out: &mut Vec<Effect>) {
        let number = offer.number;
        let at_rest = match leg {
            Leg::NeverMade | Leg::Gone => Work::Free,
            Leg::ToBeDropped => {
                let server = self.callers.get(&call).map(|caller| caller.arrival.server.clone());
                out.extend(server.map(|server| Effect::DropLeg { call, offer: number, server }));
                Work::Clearing { call, offer: number, until }
            }
        };
        // After a restart a second talk of the same person may have been found.
        let other = self.engagement(&offer.extension).map(|(call, offer)| Work::Busy { call, offer });
        if let Some(agent) = self.agents.get_mut(&offer.extension) {
            agent.work = other.unwrap_or(at_rest);
        }
        self.forget_unlisted();
    }
}
