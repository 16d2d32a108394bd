//! Around the talk: a member hears the greeting of the queue to its end, and for no longer than its bound; recorded is who was
//! told so, once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::Witness;
use crate::domain::{
    fact::Fact,
    id::{CallId, OfferNo, QueueName},
    now::Now,
    queue::{policy::Overflow, talk::TalkPolicy},
};

/// How long a greeting is waited for.
const BOUND: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Talks {
    /// The queues as the floor was told of them.
    pub(super) rules: BTreeMap<QueueName, TalkPolicy>,
    /// Greetings that are being played, since when.
    pub(super) greeting: BTreeMap<(CallId, OfferNo), Instant>,
    /// Offers for which a greeting or a join was asked for.
    answered: BTreeSet<(CallId, OfferNo)>,
    /// Callers who came while their queue recorded.
    told: BTreeSet<CallId>,
    /// Those of them who asked to be called back since; a restart does not forget them.
    told_and_asked: BTreeSet<CallId>,
    /// Talks that began in this step and are to be recorded.
    pub(super) to_be_recorded: BTreeSet<CallId>,
    /// Talks that are recorded, as far as this run of the service knows.
    pub(super) recorded: BTreeSet<CallId>,
    /// Those of them of which Asterisk has said that it has begun.
    begun: BTreeSet<CallId>,
    queue_of: BTreeMap<CallId, QueueName>,
}

impl Talks {
    fn records(&self, call: CallId) -> bool {
        self.queue_of.get(&call).and_then(|queue| self.rules.get(queue)).is_some_and(|rules| rules.recording)
    }

    pub(super) fn recorded(&mut self, fact: &Fact) {
        let (call, queue) = match fact {
            Fact::CallEntered { call, queue, .. } => (*call, queue),
            Fact::CallOverflowed { call, to: Overflow::Queue(queue), .. } => (*call, queue),
            Fact::CallAnswered { call, .. } => {
                if self.told.contains(call) && self.records(*call) && !self.recorded.contains(call) {
                    self.to_be_recorded.insert(*call);
                }
                return;
            }
            Fact::CallbackAsked { call, .. } => {
                if self.told.contains(call) {
                    self.told_and_asked.insert(*call);
                } else {
                    self.told_and_asked.remove(call);
                }
                return;
            }
            // Whoever has the caller next is recorded anew, in the same file.
            Fact::CallEnded { call, .. } | Fact::CallTransferred { call, .. } => {
                self.recorded.remove(call);
                self.begun.remove(call);
                return;
            }
            Fact::CallOverflowed { .. }
            | Fact::Recording { .. }
            | Fact::CallOffered { .. }
            | Fact::CallRinging { .. }
            | Fact::OfferEnded { .. }
            | Fact::CallDeclined { .. }
            | Fact::CallbackCalled { .. }
            | Fact::CallbackMissed { .. }
            | Fact::TransferFailed { .. }
            | Fact::Renumbered { .. }
            | Fact::CallHeld { .. }
            | Fact::WrapUp { .. }
            | Fact::AutoPaused { .. } => return,
        };
        self.enters(call, queue);
    }

    pub(super) fn restart(&mut self) {
        *self = Self { told_and_asked: std::mem::take(&mut self.told_and_asked), ..Self::default() };
    }

    /// A callback from before the restart.
    pub(super) fn kept(&mut self, call: CallId, queue: &QueueName) {
        self.queue_of.insert(call, queue.clone());
        if self.told_and_asked.contains(&call) {
            self.told.insert(call);
        }
    }

    /// A talk was found of which this run knows nothing: what the caller was told is not known either.
    pub(super) fn is_not_known(&mut self, call: CallId) {
        self.told.remove(&call);
    }

    /// A caller comes into a queue, and hears whether it records.
    pub(super) fn enters(&mut self, call: CallId, queue: &QueueName) {
        self.queue_of.insert(call, queue.clone());
        if self.records(call) {
            self.told.insert(call);
        } else {
            self.told.remove(&call);
        }
    }
}

impl Witness {
    pub(in super::super) fn greets_member(&mut self, call: CallId, offer: OfferNo, sound: &str, now: Now) {
        let queue = &self.queue_of[&call];
        assert_eq!(self.talks.rules[queue].member_greeting, sound);
        assert!(self.talks.answered.insert((call, offer)), "greeted twice");
        self.talks.greeting.insert((call, offer), now.steady);
    }

    pub(in super::super) fn greeted(&mut self, call: CallId, offer: OfferNo) {
        self.talks.greeting.remove(&(call, offer));
    }

    pub(in super::super) fn no_greeting_is_waited_for(&mut self) {
        self.talks.greeting.clear();
    }

    /// A caller who has come to the queue without a leg: they were not told that it records.
    pub(in super::super) fn heard_nothing(&mut self, call: CallId) {
        self.talks.told.remove(&call);
        self.talks.told_and_asked.remove(&call);
    }

    pub(in super::super) fn records(&mut self, call: CallId) {
        assert!(self.talks.to_be_recorded.remove(&call), "recorded without being told, or twice: {call}");
        self.talks.recorded.insert(call);
    }

    pub(in super::super) fn recording_begun(&mut self, call: CallId) {
        if self.talks.recorded.contains(&call) {
            self.talks.begun.insert(call);
        }
    }

    /// The link is back during a talk: what is not known to be recorded is asked for again.
    pub(in super::super) fn records_again(&mut self, call: CallId) {
        if self.talks.recorded.contains(&call) && !self.talks.begun.contains(&call) {
            self.tally.count("recordings asked for again");
            self.talks.to_be_recorded.insert(call);
        }
    }

    pub(in super::super) fn joins(&mut self, call: CallId, offer: OfferNo, greets: bool, now: Now) {
        if let Some(since) = self.talks.greeting.remove(&(call, offer)) {
            assert!(now.steady - since >= BOUND, "joined in the middle of the greeting");
        }
        if self.talks.answered.insert((call, offer)) && greets {
            let rules = self.queue_of.get(&call).and_then(|queue| self.talks.rules.get(queue));
            assert!(rules.is_none_or(|rules| rules.member_greeting.is_empty()), "joined without a greeting");
        }
    }
}
