//! The life of an offer: the pop, the ringing, the joining, the talk, and each way it can end.

use std::time::{Duration, Instant};

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, Interface, OfferNo, ServerId},
    now::Now,
    pop::{PopOutcome, PopState},
    queue::{
        callback::parse_back_channel,
        caller::{Caller, Consultation, Offer, OfferState, Recording, Stage},
        choice::Choice,
        effect::{Effect, Farewell, Ring},
        event::LegEnd,
        floor::{Floor, Leg, alarms::Alarm},
        member::Work,
        tries::{Try, TryEnd},
    },
};

/// How long a leg that was hung up may stay unaccounted for before its member is free again all the same.
pub(super) const CLEARING: Duration = Duration::from_secs(5);
/// How long a phone rings for a transferred caller whose queue is gone.
const RING_TIME: Duration = Duration::from_secs(15);
/// The dialplan's context for numbers that are none of ours.
const OUTSIDE_CONTEXT: &str = "usher-outside";
/// How long a join may stay unaccounted for before it is asked for again: the two wait in silence meanwhile.
pub(super) const JOIN_BOUND: Duration = Duration::from_secs(2);
/// How long a member who lets a callback go by is not tried for it again, where the queue says: not before another call.
pub(super) const RETRY_FOR_CALLBACK: Duration = Duration::from_secs(30);
/// How much of a greeting a member hears before they are joined with the caller: its end may never be told.
const GREETING_BOUND: Duration = Duration::from_secs(10);

impl Floor {
    /// Reserves a member for a caller, and sends the pop on its way.
    pub(super) fn make_offer(
        &mut self,
        call: CallId,
        extension: Extension,
        choice: Choice,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let number = caller.next_offer();
        let until = now.steady + self.publish_bound;
        let state = OfferState::Popping { until };
        caller.offers.insert(number, Offer { number, extension: extension.clone(), state });
        let pop = caller.pop(&extension, PopState::Offered, now);
        out.extend(pop.map(|pop| Effect::Publish { offer: number, pop }));
        self.engaged.entry(extension.clone()).or_default().insert((call, number));
        self.alarms.set(Alarm::Pop(call, number), Some(until));
        self.set_work(&extension, Work::Busy { call, offer: number });
        out.push(Effect::Record(Fact::CallOffered { call, offer: number, extension, choice: Box::new(choice) }));
    }

    pub(super) fn pop_settled(
        &mut self,
        call: CallId,
        number: OfferNo,
        outcome: PopOutcome,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(offer) = self.callers.get(&call).and_then(|caller| caller.offers.get(&number)) else { return };
        match offer.state {
            OfferState::Popping { .. } => self.alarms.set(Alarm::Pop(call, number), None),
            OfferState::Ringing { .. } | OfferState::Answered => return,
        }
        // The phone may have been taken meanwhile; it is not rung into another call, and not skipped for it either.
        let Some(ring) = self.ring(call, number) else {
            return self.end_offer(call, number, OfferEnd::Withdrawn, Leg::Gone, now, out);
        };
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let extension = ring.extension.clone();
        let until = now.steady + ring.ring_time;
        if let Some(offer) = caller.offers.get_mut(&number) {
            offer.state = OfferState::Ringing { until };
        }
        self.alarms.set(Alarm::RingTime(call, number), Some(until));
        caller.mark_rung();
        out.push(Effect::Ring(ring));
        out.extend(caller.pop(&extension, PopState::Ringing, now).map(|pop| Effect::Update { pop }));
        out.push(Effect::Record(Fact::CallRinging { call, offer: number, extension, pop: outcome }));
    }

    /// How to ring the member who has the offer; `None` when it cannot be done now.
    pub(super) fn ring(&self, call: CallId, number: OfferNo) -> Option<Ring> {
        let party = self.callers.get(&call)?.offers.get(&number)?.extension.clone();
        self.ring_for(call, number, &party)
    }

    /// How to ring a party by a leg of that number; `None` when it cannot be done now.
    pub(super) fn ring_for(&self, call: CallId, number: OfferNo, party: &Extension) -> Option<Ring> {
        let caller = self.callers.get(&call)?;
        let server = &caller.arrival.server;
        let ring_time = match (self.queue(&caller.arrival.queue), caller.stage) {
            (Some(queue), _) => queue.ring_time,
            // They do not wait for a queue.
            (None, Stage::Transferred | Stage::Talking) => RING_TIME,
            (None, Stage::Waiting | Stage::Offered | Stage::Calling | Stage::Joining) => return None,
        };
        let interface = match party.number_outside() {
            Some(number) => Interface::new(format!("Local/{number}@{OUTSIDE_CONTEXT}/n")),
            None => {
                let agent = self.agents.get(party)?;
                if !self.is_idle(server, &agent.row.interface) {
                    return None;
                }
                agent.row.interface.clone()
            }
        };
        if !self.up.contains(server) {
            return None;
        }
        Some(Ring {
            call,
            offer: number,
            extension: party.clone(),
            interface,
            server: server.clone(),
            originator: (!caller.is_away()).then(|| caller.arrival.channel.clone()),
            caller: caller.arrival.caller.clone(),
            queue: caller.arrival.queue.clone(),
            ring_time,
        })
    }

    /// The phone has rung as long as it may. What its owner did is not known without a link: then nobody is blamed.
    pub(super) fn ring_time_over(&mut self, call: CallId, number: OfferNo, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        let linked = self.up.contains(&caller.arrival.server);
        let why = if linked { OfferEnd::RingNoAnswer } else { OfferEnd::Withdrawn };
        self.end_offer(call, number, why, Leg::ToBeDropped(Farewell::None), now, out);
    }

    pub(super) fn leg_answered(
        &mut self,
        server: ServerId,
        call: CallId,
        number: OfferNo,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let caller = self.callers.get(&call);
        if caller.and_then(Caller::consulted).is_some_and(|consulted| consulted.number == number) {
            return self.consulted_answered(call, now, out);
        }
        match caller.and_then(|caller| caller.offers.get(&number)).map(|offer| offer.state) {
            Some(OfferState::Ringing { .. }) => self.first_answer(call, number, now, out),
            // Told twice.
            Some(OfferState::Answered) => {}
            // The answer comes too late: the offer has gone elsewhere. Nobody is left in silence.
            Some(OfferState::Popping { .. }) | None => {
                let taken = caller.is_some_and(|caller| caller.taken().is_some());
                let farewell = if taken { Farewell::Taken } else { Farewell::None };
                out.push(Effect::DropLeg { call, offer: number, server, farewell });
            }
        }
    }

    /// The first of those who were rung has answered: they are joined, and all others stop ringing.
    fn first_answer(&mut self, call: CallId, number: OfferNo, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        self.alarms.set(Alarm::RingTime(call, number), None);
        if let Some(offer) = caller.offers.get_mut(&number) {
            offer.state = OfferState::Answered;
            let extension = offer.extension.clone();
            // Whoever is in a call does not ring any more: a queue may count as empty for that.
            self.touched.extend(self.agents.get(&extension).into_iter().flat_map(|agent| agent.seats.keys().cloned()));
        }
        if caller.stage == Stage::Offered
            && let Some(line) = self.lines.get_mut(&caller.arrival.queue)
        {
            line.offered.remove(&caller.place());
        }
        caller.stage = Stage::Joining;
        let away = caller.is_away();
        let queue = caller.arrival.queue.clone();
        let others: Vec<OfferNo> = caller.offers.keys().filter(|other| **other != number).copied().collect();
        self.forget_line(&queue);
        // Who has answered for a caller who is away hears that they are being called.
        if !away {
            self.greet_member(call, number, now, out);
        }
        for other in others {
            self.end_offer(call, other, OfferEnd::Taken, Leg::ToBeDropped(Farewell::Taken), now, out);
        }
        if away {
            self.call_back(call, now, out);
        }
    }

    /// Plays the greeting to the member if the queue has one; else the two are joined at once.
    fn greet_member(&mut self, call: CallId, offer: OfferNo, now: Now, out: &mut Vec<Effect>) {
        let sound = self.queue_of(call).map(|queue| queue.talk.member_greeting.clone()).unwrap_or_default();
        let Some(caller) = self.callers.get_mut(&call) else { return };
        // Who answered in a gap has waited long enough; the link counts as up a moment later.
        if sound.is_empty() || !self.up.contains(&caller.arrival.server) {
            return self.join(call, now, out);
        }
        caller.greet_member_until(now.steady + GREETING_BOUND);
        let server = caller.arrival.server.clone();
        out.push(Effect::GreetMember { call, offer, server, sound });
        self.reschedule(call);
    }

    pub(super) fn member_greeted(&mut self, call: CallId, offer: OfferNo, now: Now, out: &mut Vec<Effect>) {
        if self.callers.get(&call).is_some_and(|caller| caller.greets_member() && caller.has_out(offer)) {
            self.join(call, now, out);
        }
    }

    /// Asks for both to be joined, for the first time or again.
    pub(super) fn join(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let answered = caller.offers.values().find(|offer| offer.state == OfferState::Answered);
        let Some(Offer { number: offer, extension, .. }) = answered.cloned() else { return };
        if let Some((_, attempt)) = parse_back_channel(&caller.arrival.channel) {
            let tried = Try { call, attempt, end: TryEnd::Talked(offer, extension) };
            out.push(Effect::Remember { server: caller.arrival.server.clone(), tried });
        }
        caller.join_until(now.steady + JOIN_BOUND);
        out.push(Effect::Join { call, offer });
        self.reschedule(call);
    }

    pub(super) fn joined(&mut self, call: CallId, offer: OfferNo, now: Now, out: &mut Vec<Effect>) {
        if self.joined_again(call, offer, out) {
            return;
        }
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if caller.stage != Stage::Joining || !caller.has_out(offer) {
            return;
        }
        let Some(extension) = caller.taken().map(|offer| offer.extension.clone()) else { return };
        caller.stage = Stage::Talking;
        out.push(Effect::ForgetAnnouncement { call });
        out.extend(caller.pop(&extension, PopState::Answered, now).map(|pop| Effect::Update { pop }));
        self.has_waited(call, now);
        self.transfer_done(call, out);
        self.reschedule(call);
        self.has_answered(&extension);
        self.has_taken(call, &extension);
        out.push(Effect::Record(Fact::CallAnswered { call, offer, extension }));
        self.record_talk(call, out);
    }

    /// Has the talk recorded if the queue says so now and said so when the caller entered.
    pub(super) fn record_talk(&mut self, call: CallId, out: &mut Vec<Effect>) {
        let records = self.queue_of(call).is_some_and(|queue| queue.talk.recording);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if records && caller.told_of_recording && caller.recording == Recording::Not {
            caller.recording = Recording::Asked;
            out.push(Effect::RecordTalk { call, server: caller.arrival.server.clone() });
        }
    }

    /// The link is back: a recording that was asked for and not heard of is asked for again. Twice does no harm.
    pub(super) fn record_again(&mut self, call: CallId, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        if caller.recording == Recording::Asked && caller.stage == Stage::Talking {
            out.push(Effect::RecordTalk { call, server: caller.arrival.server.clone() });
        }
    }

    pub(super) fn recording_begun(&mut self, call: CallId, file: String, out: &mut Vec<Effect>) {
        // Not what is told of a talk that is over: the next one is recorded anew.
        if let Some(caller) = self.callers.get_mut(&call).filter(|caller| caller.recording == Recording::Asked) {
            caller.recording = Recording::Begun;
        }
        out.push(Effect::Record(Fact::Recording { call, file }));
    }

    pub(super) fn leg_gone(&mut self, call: CallId, number: OfferNo, end: LegEnd, now: Now, out: &mut Vec<Effect>) {
        if let Some(extension) = self.clearing.get(&(call, number)).cloned() {
            match self.hanging_up.get(&extension).copied().filter(|at| *at > now.steady) {
                Some(at) => self.alarms.set(Alarm::Clearing(extension), Some(at)),
                None => self.set_work(&extension, Work::Free),
            }
        }
        let Some(caller) = self.callers.get(&call) else { return };
        if caller.consulted().is_some_and(|consulted| consulted.number == number) {
            return self.consulted_gone(call, end, now, out);
        }
        let Some(offer) = caller.offers.get(&number) else { return };
        match (caller.stage, offer.state) {
            (Stage::Talking, _) => match &caller.consultation {
                Consultation::None => self.finish_talk(call, Leg::Gone, now, out),
                Consultation::With(_) => self.complete_consultation((call, number), Leg::Gone, now, out),
                Consultation::Over { .. } => self.gone_before_joined((call, number), now, out),
            },
            (Stage::Calling, _) => {
                let why = match end {
                    LegEnd::NotPlaced | LegEnd::Lost => OfferEnd::Withdrawn,
                    LegEnd::HungUp | LegEnd::Rejected | LegEnd::NoAnswer | LegEnd::Unavailable => OfferEnd::MemberGone,
                };
                self.member_left(call, number, why, now, out);
            }
            (_, OfferState::Answered) => {
                let why = match end {
                    LegEnd::NotPlaced | LegEnd::Lost => OfferEnd::Withdrawn,
                    LegEnd::HungUp | LegEnd::Rejected | LegEnd::NoAnswer | LegEnd::Unavailable => OfferEnd::MemberGone,
                };
                self.end_offer(call, number, why, Leg::Gone, now, out);
                // Greeting and music were ended for the member who is gone.
                out.push(Effect::Music { call });
            }
            (_, OfferState::Popping { .. } | OfferState::Ringing { .. }) => {
                let why = match end {
                    // A number that the dialplan does not know ends like any call.
                    LegEnd::HungUp if offer.extension.number_outside().is_some() => OfferEnd::Unavailable,
                    LegEnd::NoAnswer => OfferEnd::RingNoAnswer,
                    LegEnd::Rejected | LegEnd::HungUp => OfferEnd::Rejected,
                    LegEnd::Unavailable => OfferEnd::Unavailable,
                    // Not the member's doing: they are not skipped for it.
                    LegEnd::NotPlaced | LegEnd::Lost => OfferEnd::Withdrawn,
                };
                self.end_offer(call, number, why, Leg::Gone, now, out);
            }
        }
    }

    /// The end of a call in which caller and member talked.
    pub(super) fn finish_talk(&mut self, call: CallId, leg: Leg, now: Now, out: &mut Vec<Effect>) {
        let Some(offer) = self.take_offer(call, None) else { return };
        self.let_consulted_go(call, Leg::ToBeDropped(Farewell::None), now, out);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.consultation = Consultation::None;
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        let pop = caller.pop(&offer.extension, PopState::Ended, now);
        let mut facts = Vec::new();
        self.talk_ended(call, &offer.extension, now, &mut facts);
        self.release(call, &offer, leg, now.steady + CLEARING, out);
        if leg == Leg::Gone {
            out.push(Effect::HangUpCaller { call, server, channel });
        }
        out.extend(pop.map(|pop| Effect::Retire { pop }));
        out.append(&mut facts);
        let extension = Some(offer.extension).filter(|extension| extension.number_outside().is_none());
        self.remove(call, extension, CallOutcome::Completed, out);
    }

    /// Takes back all offers of a caller.
    pub(super) fn end_offers(&mut self, call: CallId, why: OfferEnd, now: Now, out: &mut Vec<Effect>) {
        let offers = self.callers.get(&call).map(|caller| caller.offers.keys().copied().collect::<Vec<_>>());
        for number in offers.into_iter().flatten() {
            self.end_offer(call, number, why, Leg::ToBeDropped(Farewell::None), now, out);
        }
    }

    /// Takes an offer back: the member is free or being cleared, and after the last one the caller is in line again in the
    /// old place.
    pub(super) fn end_offer(
        &mut self,
        call: CallId,
        number: OfferNo,
        why: OfferEnd,
        leg: Leg,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(offer) = self.take_offer(call, Some(number)) else { return };
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let (leg, until) = match offer.state {
            OfferState::Popping { .. } => (Leg::Gone, now.steady),
            // It cannot be dropped, but rings no longer than Asterisk was told.
            OfferState::Ringing { until } if !self.up.contains(&caller.arrival.server) => (leg, until.max(now.steady)),
            OfferState::Ringing { .. } | OfferState::Answered => (leg, now.steady),
        };
        let pop = caller.pop(&offer.extension, PopState::Withdrawn, now);
        let mut told = Vec::new();
        // A transfer is no offer of the queue: nobody is blamed for not being there.
        if caller.transfer.is_none() {
            match why {
                OfferEnd::RingNoAnswer | OfferEnd::Rejected | OfferEnd::Unavailable | OfferEnd::MemberGone => {
                    self.blame(call, &offer.extension, now);
                }
                OfferEnd::CallerGone
                | OfferEnd::LoggedOff
                | OfferEnd::Withdrawn
                | OfferEnd::Taken
                | OfferEnd::NotReached => {}
            }
            if why == OfferEnd::RingNoAnswer {
                self.has_not_answered(call, &offer.extension, now, &mut told);
            }
        }
        self.release(call, &offer, leg, until + CLEARING, out);
        out.extend(pop.map(|pop| Effect::Retire { pop }));
        out.push(Effect::Record(Fact::OfferEnded { call, offer: number, extension: offer.extension, why }));
        out.append(&mut told);
        self.wait_again(call, why, now, out);
    }

    /// The caller is not offered to this member again, or not before the next round.
    pub(super) fn blame(&mut self, call: CallId, extension: &Extension, now: Now) {
        let retry = self.queue_of(call).map_or(Duration::ZERO, |queue| queue.policy.retry);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        // No timeout ends the wait of who is to be called back: what the queue says is for those who hold the line.
        let retry = if caller.callback.is_some() && retry.is_zero() { RETRY_FOR_CALLBACK } else { retry };
        caller.skipped.insert(extension.clone());
        caller.retry_at = (!retry.is_zero()).then(|| now.steady + retry);
        if let Some(agent) = self.agents.get_mut(extension) {
            agent.last_refusal = agent.last_refusal.max(Some(now.utc));
        }
    }

    /// Puts a caller without an offer back in line, unless they are for one party only.
    fn wait_again(&mut self, call: CallId, why: OfferEnd, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call).filter(|caller| caller.offers.is_empty()) else { return };
        if caller.transfer.is_some() {
            return self.came_to_nothing(call, why, now, out);
        }
        if caller.stage == Stage::Offered
            && let Some(line) = self.lines.get_mut(&caller.arrival.queue)
        {
            line.offered.remove(&caller.place());
        }
        self.line_up(call);
    }

    /// Takes an offer out of all books: that one, or the one that was answered.
    pub(super) fn take_offer(&mut self, call: CallId, number: Option<OfferNo>) -> Option<Offer> {
        let caller: &mut Caller = self.callers.get_mut(&call)?;
        let number = number.or_else(|| caller.taken().map(|offer| offer.number))?;
        let offer = caller.offers.remove(&number)?;
        self.alarms.set(Alarm::Pop(call, number), None);
        self.alarms.set(Alarm::RingTime(call, number), None);
        self.disengage(&offer.extension, (call, number));
        Some(offer)
    }

    /// Notes that a party has nothing to do with this leg any more.
    pub(super) fn disengage(&mut self, extension: &Extension, leg: (CallId, OfferNo)) {
        if let Some(out) = self.engaged.get_mut(extension) {
            out.remove(&leg);
            if out.is_empty() {
                self.engaged.remove(extension);
            }
        }
    }

    /// Ends a member's reservation; a leg that may still be there is dropped, and waited for until then.
    pub(super) fn release(&mut self, call: CallId, offer: &Offer, leg: Leg, until: Instant, out: &mut Vec<Effect>) {
        let number = offer.number;
        let at_rest = match leg {
            Leg::Gone => Work::Free,
            Leg::ToBeDropped(farewell) => {
                let server = self.callers.get(&call).map(|caller| caller.arrival.server.clone());
                out.extend(server.map(|server| Effect::DropLeg { call, offer: number, server, farewell }));
                Work::Clearing { call, offer: number, until }
            }
        };
        self.set_work(&offer.extension, at_rest);
    }
}
