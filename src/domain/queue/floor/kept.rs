//! Callbacks of an earlier run: taken up in their places from the database, and brought together with what Asterisk still has of
//! them.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::domain::{
    fact::{CallOutcome, Fact},
    id::{CallId, Extension, OfferNo, ServerId},
    now::Now,
    pop::PopState,
    queue::{
        callback::{Callback, Kept, KeptState, Missed, Reach, back_channel, parse_back_channel},
        caller::{Arrival, Caller, Offer, OfferState, Stage},
        effect::Effect,
        floor::{
            Doors, Floor,
            callbacks::{BackLeg, asker},
            earlier,
        },
        member::Work,
        tries::{Try, TryEnd},
    },
};

impl Floor {
    /// Takes up the callbacks of an earlier run, in their places.
    pub(super) fn kept(&mut self, mut kept: Vec<Kept>, now: Now, out: &mut Vec<Effect>) {
        kept.sort_by_key(|kept| (kept.since, kept.call));
        for kept in kept {
            if !self.callers.contains_key(&kept.call) {
                self.keep(kept, now, out);
            }
        }
    }

    pub(super) fn keep(&mut self, kept: Kept, now: Now, out: &mut Vec<Effect>) {
        let call = kept.call;
        let moment = |at: Timestamp| at_steady(now, at);
        let reach = match &kept.state {
            KeptState::Waiting | KeptState::Cancelled => Reach::Away,
            KeptState::Called => Reach::Unsure { talked_with: None },
            KeptState::Talking(extension) => Reach::Unsure { talked_with: Some(extension.clone()) },
        };
        let arrival = Arrival {
            call,
            server: kept.server,
            // As if they were on the leg of the last try: if there is one, that is how it is found.
            channel: back_channel(call, kept.attempt),
            queue: kept.queue,
            customer: kept.customer,
            caller: kept.caller,
            priority: kept.priority,
            penalties: kept.penalties,
            returns_to: None,
            since: None,
        };
        let age = age(now, kept.entered);
        self.tickets += 1;
        let mut caller = Caller::new(arrival, earlier(now, age), age, self.tickets);
        caller.since = moment(kept.since);
        caller.told_of_recording = kept.told_of_recording;
        caller.callback = Some(Callback {
            reach,
            attempt: kept.attempt,
            tries: kept.tries,
            pause: kept.again_at.map(moment).filter(|at| *at > now.steady),
            keep_until: moment(kept.keep_until),
        });
        // Some phone may have rung for it.
        caller.mark_rung();
        caller.is_answered = matches!(kept.state, KeptState::Talking(_));
        self.asked.insert(asker(&caller.arrival), call);
        self.callers.insert(call, caller);
        self.line_up(call);
        if kept.state == KeptState::Cancelled {
            self.end_callback(call, CallOutcome::Cancelled, now, out);
        }
    }

    /// A leg of somebody whose callback is known was found, and nobody is with them. By the leg of the last try they are back,
    /// and wait on it; one on which they asked is to be hung up, as they were told.
    pub(super) fn back_on_the_line(&mut self, arrival: &Arrival, now: Now, out: &mut Vec<Effect>) {
        let (call, server, channel) = (arrival.call, arrival.server.clone(), arrival.channel.clone());
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(callback) = &mut caller.callback else { return };
        let last = parse_back_channel(&channel).filter(|(_, attempt)| *attempt >= callback.attempt);
        match (&callback.reach, last) {
            // They have talked, and were sent on: from then on they are a caller like any other.
            (Reach::Unsure { talked_with: Some(_) }, Some(_)) => {
                (caller.arrival.channel, caller.arrival.server) = (channel, server);
                // They have the place that they waited for, and all the time that the queue allows.
                caller.timed_from = now.steady;
                self.is_called_no_more(call);
                if let Some(agent) = arrival.returns_to.clone().filter(|_| self.doors == Doors::Open) {
                    self.leave_line(call);
                    return self.transfer_found(call, agent, now, out);
                }
                out.push(Effect::Music { call });
                self.begin_to_wait(call, now);
            }
            (Reach::Unsure { .. } | Reach::Away, Some((_, attempt))) => {
                (callback.attempt, callback.pause) = (attempt, None);
                (caller.arrival.channel, caller.arrival.server) = (channel, server);
                self.set_reach(call, Reach::Back);
                out.push(Effect::Music { call });
            }
            (Reach::Called { .. }, Some((_, attempt))) => self.back_answered(server, call, attempt, now, out),
            (Reach::Leaving { .. } | Reach::Back, _) if caller.arrival.channel == channel => {}
            _ => out.push(Effect::HangUpCaller { call, server, channel }),
        }
    }

    /// The leg by which they are being called was found ringing. If a member waits for them, all goes on as before.
    pub(super) fn back_found(
        &mut self,
        server: ServerId,
        (call, attempt): (CallId, u32),
        member: Option<(OfferNo, Extension)>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let ring_time = self.queue_of(call).map_or(Duration::ZERO, |queue| queue.callback.ring_time);
        let member = member.filter(|(_, extension)| !self.engaged.contains_key(extension));
        let caller = self.callers.get_mut(&call);
        let Some((caller, callback)) = caller.and_then(|c| c.callback.clone().map(|callback| (c, callback))) else {
            return out.push(Effect::DropBack { call, attempt, server });
        };
        let is_news = match callback.reach {
            Reach::Called { .. } if attempt == callback.attempt => return,
            Reach::Unsure { .. } | Reach::Away => attempt >= callback.attempt && caller.stage == Stage::Waiting,
            Reach::Leaving { .. } | Reach::Called { .. } | Reach::Clearing | Reach::Back => false,
        };
        if !is_news {
            return out.push(Effect::DropBack { call, attempt, server });
        }
        caller.arrival.server = server;
        let reach = Reach::Called { until: now.steady + ring_time };
        caller.callback = Some(Callback { attempt, reach, ..callback });
        let Some((offer, extension)) = member else {
            return self.missed(call, Missed::Lost, BackLeg::ToBeDropped, now, out);
        };
        let state = OfferState::Answered;
        caller.offers.insert(offer, Offer { number: offer, extension: extension.clone(), state });
        out.extend(caller.pop(&extension, PopState::Ringing, now).map(|pop| Effect::Update { pop }));
        self.leave_line(call);
        if let Some(caller) = self.callers.get_mut(&call) {
            caller.stage = Stage::Calling;
        }
        self.engaged.entry(extension.clone()).or_default().insert((call, offer));
        self.set_work(&extension, Work::Busy { call, offer });
        self.reschedule(call);
    }

    /// Asterisk remembers a try of which the database may know nothing: it was begun by a run that could not write any more. If
    /// nothing of it was found, it is over, and what became of it is said when all has been looked at.
    pub(super) fn back_remembered(&mut self, server: &ServerId, tried: Try, now: Now, out: &mut Vec<Effect>) {
        let Try { call, attempt, end } = tried;
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(callback) = &mut caller.callback else { return };
        let least = match (&callback.reach, &end) {
            // It has an end, which says more than the number of its last try.
            (Reach::Away | Reach::Unsure { talked_with: None }, TryEnd::Over(_)) => callback.attempt,
            (Reach::Away, TryEnd::Open | TryEnd::Talked(..)) => callback.attempt + 1,
            (Reach::Unsure { talked_with: None }, TryEnd::Open | TryEnd::Talked(..)) => callback.attempt,
            // A leg that is there tells more, and so does a database that knows of a talk.
            (
                Reach::Leaving { .. }
                | Reach::Called { .. }
                | Reach::Clearing
                | Reach::Back
                | Reach::Unsure { talked_with: Some(_) },
                _,
            ) => return,
        };
        if attempt < least {
            return;
        }
        caller.arrival.server = server.clone();
        // Those in between came to nothing, and are over.
        callback.tries += attempt.saturating_sub(callback.attempt + 1);
        (callback.attempt, callback.pause) = (attempt, None);
        match end {
            TryEnd::Over(outcome) => self.end_callback(call, outcome, now, out),
            TryEnd::Open => self.set_reach(call, Reach::Unsure { talked_with: None }),
            TryEnd::Talked(offer, extension) => {
                caller.is_answered = true;
                out.push(Effect::Record(Fact::CallAnswered { call, offer, extension: extension.clone() }));
                self.set_reach(call, Reach::Unsure { talked_with: Some(extension) });
            }
        }
    }

    /// Whether a talk of theirs may still be found.
    pub(super) fn is_unsure(&self, call: CallId) -> bool {
        let callback = self.callers.get(&call).and_then(|caller| caller.callback.as_ref());
        callback.is_some_and(|callback| matches!(callback.reach, Reach::Unsure { .. }))
    }

    /// What an earlier run had begun on this Asterisk, and what was not found there, is over.
    pub(super) fn settle_the_unsure(&mut self, server: &ServerId, now: Now, out: &mut Vec<Effect>) {
        let unsure: Vec<(CallId, Option<Extension>)> = self
            .callers
            .values()
            .filter(|caller| caller.arrival.server == *server)
            .filter_map(|caller| match &caller.callback.as_ref()?.reach {
                Reach::Unsure { talked_with } => Some((caller.arrival.call, talked_with.clone())),
                Reach::Leaving { .. } | Reach::Away | Reach::Called { .. } | Reach::Clearing | Reach::Back => None,
            })
            .collect();
        for (call, talked_with) in unsure {
            match talked_with {
                None => self.missed(call, Missed::Lost, BackLeg::Gone, now, out),
                Some(extension) => {
                    self.talk_ended(call, &extension, now, out);
                    self.remove(call, Some(extension), CallOutcome::Completed, out);
                }
            }
        }
    }
}

/// How long ago that was.
fn age(now: Now, at: Timestamp) -> Duration {
    Duration::try_from(now.utc.duration_since(at)).unwrap_or_default()
}

/// The same moment on the steady clock, as far as it goes.
pub(super) fn at_steady(now: Now, at: Timestamp) -> Instant {
    match Duration::try_from(at.duration_since(now.utc)) {
        Ok(ahead) => now.steady.checked_add(ahead).unwrap_or(now.steady),
        Err(_) => earlier(now, age(now, at)).steady,
    }
}
