//! Callers who asked to be called back: they keep their place without a leg, are offered as everybody is, and are called
//! when a member has answered.
//!
//! A caller is called by one leg at a time, and never after they have talked: the next try waits until the leg of the last
//! one is known to be gone, and who has answered is a caller like any other, on that leg.

use std::time::Duration;

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, OfferNo, QueueName, ServerId},
    now::Now,
    queue::{
        callback::{Callback, Missed, Reach, back_channel, is_callable, parse_back_channel},
        caller::{Arrival, Caller, OfferState, Stage},
        effect::{CallBack, Effect, Farewell},
        floor::{Floor, Leg, alarms::Alarm, earlier, offers::RETRY_FOR_CALLBACK},
        tries::{Try, TryEnd},
    },
};

/// How long a caller may hear that they will be called back before they are hung up all the same.
const PROMISE_BOUND: Duration = Duration::from_secs(20);

/// Who asked where: one customer, from one number, has one callback in a queue.
pub(super) type Asker = (QueueName, i64, String);

/// What becomes of the leg of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackLeg {
    Gone,
    ToBeDropped,
}

pub(super) fn asker(arrival: &Arrival) -> Asker {
    (arrival.queue.clone(), arrival.customer.id, arrival.caller.number.clone())
}

impl Floor {
    // ---- asking ----------------------------------------------------------------------------------------------------

    pub(super) fn caller_pressed(&mut self, call: CallId, key: char, now: Now, out: &mut Vec<Effect>) {
        let Some(policy) = self.queue_of(call).map(|queue| queue.callback.clone()) else { return };
        let Some(caller) = self.callers.get(&call) else { return };
        let waits = matches!(caller.stage, Stage::Waiting | Stage::Offered);
        if policy.key != Some(key) || !waits || caller.callback.is_some() {
            return;
        }
        if !is_callable(&caller.arrival.caller.number) {
            return out.push(Effect::Regret { call });
        }
        self.end_offers(call, OfferEnd::Withdrawn, now, out);
        self.take_over(call, now, out);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let keep_until = now.plus(policy.keep);
        // Who is on the leg of an earlier callback goes on with its number: each try has one of its own.
        let attempt = parse_back_channel(&caller.arrival.channel).map_or(0, |(_, attempt)| attempt);
        caller.callback = Some(Callback {
            reach: Reach::Leaving { until: now.steady + PROMISE_BOUND },
            attempt,
            tries: 0,
            pause: None,
            keep_until: keep_until.steady,
        });
        if caller.retry_at.is_none() && !caller.skipped.is_empty() {
            caller.retry_at = Some(now.steady + RETRY_FOR_CALLBACK);
        }
        let arrival = caller.arrival.clone();
        let waited = now.steady.saturating_duration_since(caller.since);
        self.asked.insert(asker(&arrival), call);
        out.push(Effect::Record(Fact::CallbackAsked {
            call,
            server: arrival.server,
            queue: arrival.queue,
            customer: arrival.customer,
            caller: arrival.caller,
            priority: arrival.priority,
            since: earlier(now, waited).utc,
            entered: caller.entered.utc,
            penalties: arrival.penalties,
            keep_until: keep_until.utc,
            told_of_recording: caller.told_of_recording,
        }));
        out.push(Effect::Promise { call });
        self.reschedule(call);
    }

    /// Gives a caller who waits the place of a callback that they asked for in an earlier call, if it is better, and ends that.
    /// Whether there was one.
    pub(super) fn take_over(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) -> bool {
        let Some(before) = self.callback_of(call) else { return false };
        let Some(old) = self.callers.get(&before).map(Caller::place) else { return false };
        self.end_callback(before, CallOutcome::CalledAgain, now, out);
        self.leave_line(call);
        if let Some(caller) = self.callers.get_mut(&call) {
            caller.arrival.priority = caller.arrival.priority.max(old.priority.0);
            (caller.since, caller.ticket) = (caller.since, caller.ticket).min((old.since, old.ticket));
        }
        let kept = self.callers.get(&call).and_then(|caller| self.kept_for_claims(caller));
        if kept.is_some_and(|until| until <= now.steady) {
            self.claims_are_over(call);
        }
        self.line_up(call);
        true
    }

    /// Has the place that a caller has taken over kept for a later run: it is on no callback any more.
    pub(super) fn mark_place(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let since = earlier(now, now.steady.saturating_duration_since(caller.since)).utc;
        caller.arrival.since = Some(since);
        let (server, channel, priority) =
            (caller.arrival.server.clone(), caller.arrival.channel.clone(), caller.arrival.priority);
        out.push(Effect::TakesPlace { call, server, channel, since, priority });
    }

    /// A callback that the same customer asked for in another call, and that has not led to a talk.
    pub(super) fn callback_of(&self, call: CallId) -> Option<CallId> {
        if self.asked.is_empty() {
            return None;
        }
        let caller = self.callers.get(&call)?;
        let other = *self.asked.get(&asker(&caller.arrival)).filter(|other| **other != call)?;
        match self.callers.get(&other)?.callback.as_ref()?.reach {
            Reach::Leaving { .. } | Reach::Away | Reach::Called { .. } | Reach::Clearing => Some(other),
            Reach::Back | Reach::Unsure { .. } => None,
        }
    }

    pub(super) fn asks_no_more(&mut self, caller: &Caller) {
        if caller.callback.is_some() {
            let asker = asker(&caller.arrival);
            if self.asked.get(&asker) == Some(&caller.arrival.call) {
                self.asked.remove(&asker);
            }
        }
    }

    /// A callback that has led to a talk is one no more.
    pub(super) fn is_called_no_more(&mut self, call: CallId) {
        let Some(caller) = self.callers.get(&call).cloned() else { return };
        self.asks_no_more(&caller);
        if let Some(caller) = self.callers.get_mut(&call) {
            caller.callback = None;
        }
        self.alarms.set(Alarm::Callback(call), None);
    }

    /// After a gap nobody knows whether they were told that they will be called back: they may hear nothing, and wait for it.
    pub(super) fn promise_again(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let callback = self.callers.get(&call).and_then(|caller| caller.callback.as_ref());
        if callback.is_some_and(|callback| matches!(callback.reach, Reach::Leaving { .. })) {
            self.set_reach(call, Reach::Leaving { until: now.steady + PROMISE_BOUND });
            out.push(Effect::Promise { call });
        }
    }

    pub(super) fn promised(&mut self, call: CallId, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        let Some(Reach::Leaving { .. }) = caller.callback.as_ref().map(|callback| &callback.reach) else { return };
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        out.push(Effect::HangUpCaller { call, server, channel });
        self.set_reach(call, Reach::Away);
    }

    /// The leg of a caller who asked to be called back is gone.
    pub(super) fn left(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(callback) = self.callers.get(&call).and_then(|caller| caller.callback.as_ref()) else { return };
        match callback.reach {
            Reach::Leaving { .. } => self.set_reach(call, Reach::Away),
            Reach::Back => self.missed(call, Missed::HungUp, BackLeg::Gone, now, out),
            Reach::Away | Reach::Called { .. } | Reach::Clearing | Reach::Unsure { .. } => {}
        }
    }

    pub(super) fn set_reach(&mut self, call: CallId, reach: Reach) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if let Some(callback) = &mut caller.callback {
            callback.reach = reach;
        }
        self.touched.insert(caller.arrival.queue.clone());
        self.reschedule(call);
    }

    /// What is due of a callback: see [`Callback::due`].
    pub(super) fn callback_due(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(callback) = &mut caller.callback else { return };
        match callback.reach {
            Reach::Leaving { .. } => self.promised(call, out),
            Reach::Called { .. } => self.missed(call, Missed::NoAnswer, BackLeg::ToBeDropped, now, out),
            Reach::Away => {
                callback.pause = None;
                self.touched.insert(caller.arrival.queue.clone());
            }
            Reach::Clearing | Reach::Back | Reach::Unsure { .. } => {}
        }
    }

    // ---- calling back ----------------------------------------------------------------------------------------------

    /// A member has answered for a caller who is away: now the caller is called.
    pub(super) fn call_back(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let queue = self.queue_of(call);
        let ring_time = queue.map_or(Duration::ZERO, |queue| queue.callback.ring_time);
        let greeting = queue.map(|queue| queue.talk.member_greeting.clone()).unwrap_or_default();
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.stage = Stage::Calling;
        let Some(offer) = caller.taken().cloned() else { return };
        let Some(callback) = &mut caller.callback else { return };
        callback.attempt += 1;
        callback.reach = Reach::Called { until: now.steady + ring_time };
        let attempt = callback.attempt;
        let (number, server) = (caller.arrival.caller.number.clone(), caller.arrival.server.clone());
        let (extension, offer) = (offer.extension, offer.number);
        self.has_answered(&extension);
        out.push(Effect::Record(Fact::CallbackCalled { call, attempt, offer, extension }));
        out.push(Effect::Remember { server: server.clone(), tried: Try { call, attempt, end: TryEnd::Open } });
        out.push(Effect::CallBack(CallBack { call, attempt, number, server, offer, ring_time, greeting }));
        self.reschedule(call);
    }

    pub(super) fn back_answered(
        &mut self,
        server: ServerId,
        call: CallId,
        attempt: u32,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let channel = back_channel(call, attempt);
        let Some(caller) = self.callers.get_mut(&call) else {
            return out.push(Effect::DropBack { call, attempt, server });
        };
        let is_known = caller.arrival.channel == channel && !caller.is_away();
        match &mut caller.callback {
            Some(callback) if callback.attempt == attempt && matches!(callback.reach, Reach::Called { .. }) => {
                callback.reach = Reach::Back;
                caller.arrival.channel = channel;
                self.join(call, now, out);
            }
            // Told twice.
            _ if is_known => {}
            // It is too late: nobody waits for them any more.
            _ => out.push(Effect::DropBack { call, attempt, server }),
        }
    }

    pub(super) fn back_gone(&mut self, call: CallId, attempt: u32, end: Missed, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        let reach = caller.callback.as_ref().filter(|callback| callback.attempt == attempt).map(|c| c.reach.clone());
        match reach {
            Some(Reach::Called { .. }) => self.missed(call, end, BackLeg::Gone, now, out),
            Some(Reach::Clearing) => self.set_reach(call, Reach::Away),
            // What it was is told when the link is up.
            Some(Reach::Away | Reach::Leaving { .. } | Reach::Unsure { .. }) => {}
            Some(Reach::Back) | None if caller.arrival.channel == back_channel(call, attempt) => {
                self.caller_gone(call, now, out);
            }
            Some(Reach::Back) | None => {}
        }
    }

    /// The member who waits for the caller has hung up.
    pub(super) fn member_left(
        &mut self,
        call: CallId,
        number: OfferNo,
        why: OfferEnd,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.end_offer(call, number, why, Leg::Gone, now, out);
        self.missed(call, Missed::MemberGone, BackLeg::ToBeDropped, now, out);
    }

    /// A try has come to nothing. The caller is in line again, in the old place, for after a pause; or it was the last try.
    pub(super) fn missed(&mut self, call: CallId, why: Missed, leg: BackLeg, now: Now, out: &mut Vec<Effect>) {
        let policy = self.queue_of(call).map(|queue| queue.callback.clone()).unwrap_or_default();
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let server = caller.arrival.server.clone();
        let Some(callback) = &mut caller.callback else { return };
        let pause = match why {
            // The caller has nothing to do with it: the next member who is free gets them.
            Missed::MemberGone | Missed::NotPlaced => Duration::ZERO,
            Missed::NoAnswer
            | Missed::Rejected
            | Missed::Unavailable
            | Missed::HungUp
            | Missed::Lost
            | Missed::Stopped => policy.retry,
        };
        callback.tries += u32::from(why != Missed::NotPlaced);
        callback.pause = (!pause.is_zero()).then(|| now.steady + pause);
        let (attempt, tries) = (callback.attempt, callback.tries);
        callback.reach = match leg {
            BackLeg::Gone => Reach::Away,
            BackLeg::ToBeDropped => Reach::Clearing,
        };
        if leg == BackLeg::ToBeDropped {
            out.push(Effect::DropBack { call, attempt, server });
        }
        let last = tries >= policy.tries;
        let again_at = (!last && !pause.is_zero()).then(|| now.plus(pause).utc);
        out.push(Effect::Record(Fact::CallbackMissed { call, attempt, tries, why, again_at }));
        // After the last of them the caller is in line.
        let offers: Vec<(OfferNo, OfferState)> =
            caller.offers.values().map(|offer| (offer.number, offer.state)).collect();
        for (number, state) in offers {
            let (end, farewell) = match state {
                OfferState::Answered => (OfferEnd::NotReached, Farewell::NotReached),
                OfferState::Popping { .. } | OfferState::Ringing { .. } => (OfferEnd::CallerGone, Farewell::None),
            };
            self.end_offer(call, number, end, Leg::ToBeDropped(farewell), now, out);
        }
        if last {
            return self.remove(call, None, CallOutcome::NotReached, out);
        }
        // While they were back on the line somebody called for the same customer, and asked as well: one of them is enough.
        if self.callback_of(call).is_some() {
            return self.remove(call, None, CallOutcome::CalledAgain, out);
        }
        self.touched.extend(self.callers.get(&call).map(|caller| caller.arrival.queue.clone()));
        self.reschedule(call);
    }

    // ---- ending ----------------------------------------------------------------------------------------------------

    /// Ends a callback that has not led to a talk.
    pub(super) fn end_callback(&mut self, call: CallId, outcome: CallOutcome, now: Now, out: &mut Vec<Effect>) {
        self.end_offers(call, OfferEnd::Withdrawn, now, out);
        self.let_legs_go(call, out);
        self.remove(call, None, outcome, out);
    }

    /// Somebody does not want it any more; a talk goes on.
    pub(super) fn cancelled(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        match caller.callback.as_ref().map(|callback| &callback.reach) {
            Some(Reach::Leaving { .. } | Reach::Away | Reach::Called { .. } | Reach::Clearing) => {
                self.end_callback(call, CallOutcome::Cancelled, now, out);
            }
            Some(Reach::Back | Reach::Unsure { .. }) | None => {}
        }
    }

    /// The service stops: the database keeps it for the next run, which has to find no leg of it.
    pub(super) fn let_go(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(callback) = self.callers.get(&call).and_then(|caller| caller.callback.as_ref()) else { return };
        match callback.reach {
            Reach::Called { .. } => self.missed(call, Missed::Stopped, BackLeg::ToBeDropped, now, out),
            Reach::Back => {
                self.let_legs_go(call, out);
                self.missed(call, Missed::Stopped, BackLeg::Gone, now, out);
            }
            Reach::Leaving { .. } | Reach::Away | Reach::Clearing | Reach::Unsure { .. } => {
                self.let_legs_go(call, out);
            }
        }
        self.end_offers(call, OfferEnd::Withdrawn, now, out);
        let Some(caller) = self.forget(call) else { return };
        out.push(Effect::ForgetAnnouncement { call });
        if caller.has_rung() {
            out.push(Effect::DropBridge { call, server: caller.arrival.server });
        }
    }

    fn let_legs_go(&mut self, call: CallId, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        let Some(callback) = &caller.callback else { return };
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        match callback.reach {
            Reach::Leaving { .. } | Reach::Back => out.push(Effect::HangUpCaller { call, server, channel }),
            Reach::Called { .. } => out.push(Effect::DropBack { call, attempt: callback.attempt, server }),
            // On its way already, or not there.
            Reach::Clearing | Reach::Away | Reach::Unsure { .. } => {}
        }
    }
}
