//! What is recorded: each fact fits what was recorded before it.

use std::time::{Duration, Instant};

use super::{Directed, Offered, Told, Witness};
use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, QueueName, ServerId},
    now::Now,
    queue::{
        callback::Missed,
        floor::offers::RETRY_FOR_CALLBACK,
        policy::Overflow,
        roster::{Pause, PauseKind},
        transfer::{TransferMeans, TransferTarget},
    },
};

/// How long a caller whose transfer failed is for the agent alone.
const RETURN: Duration = Duration::from_secs(5);
/// A refusal within this time is not a person's.
const AT_ONCE: Duration = Duration::from_secs(1);

impl Witness {
    pub(in super::super) fn recorded(&mut self, fact: &Fact, now: Now) {
        if self.is_of_a_talk_told_of(fact) {
            return;
        }
        self.told.recorded(fact, now.steady);
        self.talks.recorded(fact);
        match fact {
            Fact::CallEntered { call, queue, customer, .. } => {
                self.customers.insert(*call, customer.id);
                assert!(self.on_the_floor.insert(*call), "entered twice");
                // Found on their leg after their callback was cancelled, they wait like anybody.
                self.asked.remove(call);
                self.queue_of.insert(*call, queue.clone());
            }
            Fact::CallOverflowed { call, queue, to, .. } => self.overflowed(*call, queue, to),
            Fact::CallTransferred { call, from, to, how } => {
                self.transferred(*call, from, to, now);
                if self.rings_on.get(call).is_some_and(|asked| *to == TransferTarget::of(asked)) {
                    self.tally.count(match how {
                        TransferMeans::Attended => "consultations completed",
                        TransferMeans::Code | TransferMeans::Phone | TransferMeans::Command => {
                            "consultations left while it rings"
                        }
                    });
                }
                self.handed_over = (*how == TransferMeans::Attended).then_some(*call);
            }
            Fact::TransferFailed { call, from, .. } => {
                if self.open.iter().any(|((of, _), extension)| of == call && extension == from) {
                    // They have asked somebody else, and talk with the caller.
                    return self.tally.count("consultations that failed");
                }
                self.tally.count("transfers that failed");
                self.back_until.insert(*call, now.steady + RETURN);
                assert_eq!(self.sent_on.get(call), Some(from), "a transfer that nobody asked for");
                assert!(!self.open.keys().any(|(of, _)| of == call), "failed with an offer out");
            }
            Fact::Renumbered { .. } => unreachable!("nobody gets another number here"),
            Fact::CallHeld { call, extension, .. } => {
                self.tally.count("callers put on hold");
                let talks = self.open.iter().any(|((of, _), with)| of == call && with == extension);
                assert!(talks, "on hold by one who does not talk with them");
            }
            Fact::CallOffered { call, offer, extension, choice } => {
                self.tally.count("offers");
                assert!(self.on_the_floor.contains(call));
                let last = self.offer_numbers.insert(*call, *offer);
                assert!(last.is_none_or(|last| last < *offer), "offer {offer:?} after {last:?}");
                let others = self.open.keys().filter(|(of, _)| of == call).count();
                let now_too = self.offered_now.iter().filter(|offered| offered.call == *call).count();
                assert_eq!(others, now_too, "an offer of a call that has one out already");
                assert_eq!(choice.chosen, *extension);
                let rule = choice.rule.to_string();
                if let "transfer" | "returned" = rule.as_str() {
                    self.tally.count(if rule == "transfer" {
                        "transfers rung"
                    } else {
                        "callers returned to their agent"
                    });
                    let agent = self.sent_on.get(call).expect("a transfer that nobody asked for");
                    assert!(rule == "transfer" || agent == extension, "returned to another one");
                    self.open.insert((*call, *offer), extension.clone());
                    let directed = if rule == "returned" { Directed::Back(now.steady) } else { Directed::On };
                    self.directed.insert((*call, *offer), directed);
                    return;
                }
                // The next round begins while they wait, not during the offers of this one.
                self.next_round_of(*call, now);
                let let_go = rule != "claimed" && self.is_skipped(*call, extension, now.steady);
                assert!(!let_go, "offered to one who let it go by");
                let queue = &self.queue_of[call];
                let bars = |pause: &Pause| {
                    pause.kind == PauseKind::Manual && pause.queue.as_ref().is_none_or(|of| of == queue)
                };
                assert!(!self.paused.get(extension).into_iter().flatten().any(bars), "offered to one who is paused");
                let wraps_up = self.wrap_up.get(extension).is_some_and(|until| *until > now.utc);
                assert!(!wraps_up, "offered to one who is in wrap-up");
                if rule == "sticky" {
                    self.tally.count("offers to the last partner");
                    assert_eq!(
                        self.partners.get(&self.customers[call]).map(|(partner, _)| partner),
                        Some(extension),
                        "another one spoke with them last"
                    );
                }
                if others == 0 {
                    let verdict = choice.candidates.iter().find(|c| c.extension == *extension).map(|c| &*c.verdict);
                    assert_eq!(verdict, Some("chosen"));
                }
                self.open.insert((*call, *offer), extension.clone());
                let offered =
                    Offered { call: *call, extension: extension.clone(), rule, moved_before: self.moved_now.len() };
                self.offered_now.push(offered);
            }
            Fact::Recording { .. } => self.tally.count("recordings"),
            Fact::CallRinging { call, offer, extension, .. } => {
                assert_eq!(self.open.get(&(*call, *offer)), Some(extension), "ringing without an offer");
            }
            Fact::CallDeclined { call, extension, .. } => {
                self.tally.count("calls declined");
                if !self.open.keys().any(|(of, _)| of == call) {
                    self.next_round_of(*call, now);
                }
                self.let_go_by(*call, extension, now, OfferEnd::Rejected, None);
            }
            Fact::CallAnswered { call, offer, extension } => {
                self.tally.count("answers");
                if self.handed_over.take() == Some(*call) {
                    self.offer_numbers.insert(*call, *offer);
                    self.open.insert((*call, *offer), extension.clone());
                }
                assert_eq!(self.open.get(&(*call, *offer)), Some(extension), "answered without an offer");
                if self.sent_on.remove(call).is_some() {
                    self.tally.count("transfers answered");
                }
                self.unanswered.retain(|(of, _), _| of != extension);
                self.talked.insert(*call);
            }
            Fact::CallbackAsked { call, since, .. } => {
                self.tally.count("callbacks asked for");
                let ago = Duration::try_from(now.utc.duration_since(*since)).unwrap();
                let before = self.asked.insert(*call, (now.steady.checked_sub(ago).unwrap(), 0));
                assert!(before.is_none(), "asked twice");
                // Found on their leg after a talk whose end nobody saw, they may ask.
                self.talked.remove(call);
                if self.skipped.iter().any(|(of, _)| of == call) {
                    self.next_round.entry(*call).or_insert(now.steady + RETRY_FOR_CALLBACK);
                }
            }
            Fact::CallbackCalled { call, attempt, extension, .. } => {
                self.unanswered.retain(|(of, _), _| of != extension);
                assert!(!self.talked.contains(call), "called back after a talk");
                let last = self.attempts.insert(*call, *attempt);
                assert!(last.is_none_or(|last| last < *attempt), "try {attempt} after {last:?}");
                if let Some(policy) = self.callbacks.get(&self.queue_of[call]) {
                    assert!(self.asked[call].1 < policy.tries, "called back too often");
                }
            }
            Fact::CallbackMissed { call, tries, why, .. } => {
                self.tally.count(miss(*why));
                let counted = &mut self.asked.get_mut(call).unwrap().1;
                *counted += u32::from(*why != Missed::NotPlaced);
                assert_eq!(counted, tries, "counts tries badly");
            }
            Fact::OfferEnded { call, offer, extension, why } => {
                self.tally.count(end_of_offer(*why));
                let directed = self.directed.remove(&(*call, *offer));
                match why {
                    OfferEnd::RingNoAnswer | OfferEnd::Rejected | OfferEnd::Unavailable | OfferEnd::MemberGone => {
                        self.let_go_by(*call, extension, now, *why, directed);
                    }
                    OfferEnd::CallerGone
                    | OfferEnd::LoggedOff
                    | OfferEnd::Withdrawn
                    | OfferEnd::Taken
                    | OfferEnd::NotReached => {}
                }
                assert_eq!(self.open.remove(&(*call, *offer)).as_ref(), Some(extension), "an offer that ended twice");
            }
            Fact::AutoPaused { extension, queue, unanswered, .. } => {
                self.tally.count("members paused by the floor");
                let count = self.unanswered.remove(&(extension.clone(), queue.clone()));
                assert_eq!(count, Some(*unanswered), "paused after another number of calls");
            }
            Fact::WrapUp { extension, until, .. } => {
                self.tally.count("wrap-ups");
                let known = self.wrap_up.entry(extension.clone()).or_insert(*until);
                *known = (*known).max(*until);
            }
            Fact::CallEnded { call, extension, outcome: CallOutcome::Lost } => {
                self.tally.count(end_of_call(CallOutcome::Lost));
                assert!(!self.on_the_floor.contains(call), "lost on the floor");
                if let (Some(extension), Some(customer)) = (extension, self.customers.get(call)) {
                    self.partners.insert(*customer, (extension.clone(), now.utc));
                }
                self.turns.extend(extension.iter().map(|extension| (extension.clone(), now.utc)));
            }
            Fact::CallEnded { call, extension, outcome } => {
                self.tally.count(end_of_call(*outcome));
                self.taken_over_now |= *outcome == CallOutcome::CalledAgain;
                assert!(self.on_the_floor.remove(call), "ended twice");
                self.forget(*call);
                if let (Some(extension), Some(customer)) = (extension, self.customers.get(call)) {
                    self.partners.insert(*customer, (extension.clone(), now.utc));
                }
                self.turns.extend(extension.iter().map(|extension| (extension.clone(), now.utc)));
                let open: Vec<_> = self.open.keys().filter(|(of, _)| of == call).copied().collect();
                let open: Vec<_> = open.into_iter().filter_map(|key| self.open.remove(&key)).collect();
                // One who was called back may have talked to the end while the service was dead.
                let unseen = open.is_empty() && self.asked.contains_key(call) && self.talked.contains(call);
                let member = open.first().filter(|extension| extension.number_outside().is_none());
                assert!(unseen || member == extension.as_ref(), "the offer of a call that ended");
                assert!(open.len() < 2, "offers that never end");
                let talks = !open.is_empty() || extension.is_some();
                assert!(!talks || *outcome == CallOutcome::Completed, "a talk that ended as {outcome:?}");
                assert!(*outcome != CallOutcome::Completed || talks || self.talked.contains(call), "no talk");
            }
        }
    }

    /// What is recorded of a talk of which Asterisk tells, in the step in which it does: nothing begins then.
    fn is_of_a_talk_told_of(&mut self, fact: &Fact) -> bool {
        let Some((of, told)) = self.told_of else { return false };
        if let Fact::CallAnswered { call, offer, extension } = fact
            && *call == of
        {
            match told {
                Told::Goes => {
                    assert_eq!(self.open.get(&(of, *offer)), Some(extension), "a talk with somebody else");
                    self.tally.count("talks found on no record");
                }
                Told::Remembered => {
                    self.tally.count("talks remembered on no record");
                    self.talked.insert(of);
                }
            }
            return true;
        }
        matches!(fact, Fact::CallEntered { call, .. } if *call == of && told == Told::Goes)
    }

    /// Nobody is held to have let it ring whom the floor could not hear.
    pub(in super::super) fn offer_ends(&mut self, server: &ServerId, why: OfferEnd) {
        let heard = self.up.contains(server);
        assert!(heard || why != OfferEnd::RingNoAnswer, "blamed for a ring over a link that is down");
        if !heard && why == OfferEnd::Withdrawn {
            self.tally.count("offers withdrawn without a link");
        }
    }

    fn transferred(&mut self, call: CallId, from: &Extension, to: &TransferTarget, now: Now) {
        self.tally.count(match to {
            TransferTarget::Extension(_) => "transfers to an extension",
            TransferTarget::Queue(_) => "transfers to a queue",
            TransferTarget::Outside(_) => "transfers outside",
        });
        let open: Vec<_> = self.open.keys().filter(|(of, _)| *of == call).copied().collect();
        let open: Vec<_> = open.into_iter().filter_map(|key| self.open.remove(&key)).collect();
        assert_eq!(open, std::slice::from_ref(from), "sent on by somebody else");
        if let Some(customer) = self.customers.get(&call) {
            self.partners.insert(*customer, (from.clone(), now.utc));
        }
        self.turns.insert(from.clone(), now.utc);
        if let Some(customer) = self.customers.get(&call) {
            self.partners.insert(*customer, (from.clone(), now.utc));
        }
        self.skipped.retain(|(of, _)| *of != call);
        self.next_round.remove(&call);
        self.been.remove(&call);
        self.sent_on.insert(call, from.clone());
    }

    /// A caller is in another queue from now on.
    pub(in super::super) fn moved(&mut self, call: CallId, queue: &QueueName) {
        self.talks.enters(call, queue);
        if self.sent_on.remove(&call).is_some() && self.queue_of.get(&call) != Some(queue) {
            self.moved_now.push(call);
        }
        self.queue_of.insert(call, queue.clone());
        self.places.remove(&call);
    }

    /// A caller was being transferred when the service died.
    pub(in super::super) fn returns(&mut self, call: CallId, agent: &Extension, now: Now) {
        self.sent_on.insert(call, agent.clone());
        self.back_until.insert(call, now.steady + RETURN);
        // They are told again whether their queue records.
        if let Some(queue) = self.queue_of.get(&call) {
            self.talks.enters(call, queue);
        }
    }

    fn next_round_of(&mut self, call: CallId, now: Now) {
        if self.next_round.get(&call).is_some_and(|at| *at <= now.steady) {
            self.next_round.remove(&call);
            self.skipped.retain(|(of, _)| *of != call);
        }
    }

    fn let_go_by(&mut self, call: CallId, extension: &Extension, now: Now, why: OfferEnd, directed: Option<Directed>) {
        if directed == Some(Directed::On) {
            return;
        }
        // It is the phone that refuses at once, and not its owner.
        let at_once = matches!(directed, Some(Directed::Back(since)) if now.steady < since + AT_ONCE);
        if at_once && why == OfferEnd::Rejected && self.back_until.get(&call).is_some_and(|until| now.steady < *until) {
            self.tally.count("agents who were still in their old call");
            return;
        }
        self.skipped.insert((call, extension.clone()));
        self.turns.insert(extension.clone(), now.utc);
        let Some(queue) = self.queue_of.get(&call) else { return };
        if why == OfferEnd::RingNoAnswer && directed.is_none() {
            *self.unanswered.entry((extension.clone(), queue.clone())).or_default() += 1;
        }
        let callback = self.asked.contains_key(&call) && !self.talked.contains(&call);
        let retry = self.policies.get(queue).map(|policy| policy.retry).filter(|retry| !retry.is_zero());
        match retry.or(callback.then_some(RETRY_FOR_CALLBACK)) {
            Some(retry) => self.next_round.insert(call, now.steady + retry),
            None => self.next_round.remove(&call),
        };
    }

    pub(super) fn is_skipped(&self, call: CallId, extension: &Extension, now: Instant) -> bool {
        self.skipped.contains(&(call, extension.clone())) && self.next_round.get(&call).is_none_or(|at| *at > now)
    }

    fn overflowed(&mut self, call: CallId, queue: &QueueName, to: &Overflow) {
        self.tally.count("calls that overflowed");
        assert_eq!(self.queue_of.get(&call), Some(queue), "overflowed out of another queue");
        assert!(!self.open.keys().any(|(of, _)| *of == call), "overflowed with an offer out");
        match to {
            Overflow::Dialplan => panic!("that is no overflow"),
            Overflow::Queue(next) => {
                let been = self.been.entry(call).or_default();
                been.insert(queue.clone());
                assert!(!been.contains(next), "in a circle");
                self.moved_now.push(call);
                self.queue_of.insert(call, next.clone());
                self.skipped.retain(|(of, _)| *of != call);
                self.next_round.remove(&call);
            }
            Overflow::Extension(_) => {}
        }
    }

    /// At closed doors: those who cannot be reached are the next run's.
    pub(in super::super) fn leaves<'a>(
        &mut self,
        is_gone: impl Fn(CallId) -> bool,
        server: impl Fn(CallId) -> &'a ServerId,
    ) {
        let is_left = |call: &CallId| is_gone(*call) && !self.asked.contains_key(call);
        let left: Vec<CallId> = self.on_the_floor.iter().copied().filter(is_left).collect();
        for call in left {
            assert!(!self.up.contains(server(call)), "left although they can be reached");
            self.tally.count("callers out of reach at a stop");
            self.on_the_floor.remove(&call);
            self.entered.remove(&call);
            self.forget(call);
        }
    }

    fn forget(&mut self, call: CallId) {
        self.skipped.retain(|(of, _)| *of != call);
        self.next_round.remove(&call);
        self.queue_of.remove(&call);
        self.been.remove(&call);
        self.places.remove(&call);
        self.sent_on.remove(&call);
    }
}

fn end_of_offer(why: OfferEnd) -> &'static str {
    match why {
        OfferEnd::RingNoAnswer => "offers not answered",
        OfferEnd::Rejected => "offers rejected",
        OfferEnd::Unavailable => "offers to phones not there",
        OfferEnd::CallerGone => "offers whose caller went",
        OfferEnd::MemberGone => "offers whose member went",
        OfferEnd::LoggedOff => "offers to members logged off",
        OfferEnd::Taken => "offers taken by another member",
        OfferEnd::Withdrawn => "offers withdrawn",
        OfferEnd::NotReached => "offers whose caller was not reached",
    }
}

fn end_of_call(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Completed => "calls completed",
        CallOutcome::Abandoned => "calls abandoned",
        CallOutcome::TimedOut => "calls timed out",
        CallOutcome::NoMembers => "calls without members",
        CallOutcome::Full => "calls to a full queue",
        CallOutcome::Empty => "calls to an empty queue",
        CallOutcome::Overflowed => "calls sent to a phone",
        CallOutcome::UnknownQueue => "calls to no queue",
        CallOutcome::Stopped => "calls given back at a stop",
        CallOutcome::Lost => "calls lost",
        CallOutcome::NotReached => "calls not reached",
        CallOutcome::CalledAgain => "calls that came again",
        CallOutcome::Cancelled => "calls cancelled",
    }
}

fn miss(why: Missed) -> &'static str {
    match why {
        Missed::NoAnswer => "calls back not answered",
        Missed::Rejected => "calls back rejected",
        Missed::Unavailable => "calls back to nobody",
        Missed::MemberGone => "calls back whose member went",
        Missed::HungUp => "calls back answered and hung up",
        Missed::NotPlaced => "calls back not placed",
        Missed::Lost => "calls back lost",
        Missed::Stopped => "calls back at a stop",
    }
}
