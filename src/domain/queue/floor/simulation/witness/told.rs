//! What callers are told while they wait: neither too often nor too seldom, and the truth about their place.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::Witness;
use crate::domain::{
    fact::Fact,
    id::{CallId, QueueName},
    now::Now,
    queue::{
        caller::{Caller, Stage},
        floor::Floor,
    },
};

#[derive(Debug, Default)]
pub(super) struct Told {
    /// When each caller was last told their place, and heard the periodic announcement; before that, when they came.
    last: BTreeMap<CallId, (Instant, Instant)>,
    /// The places that were said in this step.
    places: Vec<(CallId, String)>,
    /// Whether somebody has left the line in this step.
    left: bool,
    /// Queues that announce otherwise since this step or since this moment: what was due by the rules before is no matter.
    changed_now: Vec<QueueName>,
    changed: BTreeMap<QueueName, Instant>,
    /// Those who were sent on to one party.
    apart: BTreeSet<CallId>,
}

impl Told {
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(super) fn changed(&mut self, queues: Vec<QueueName>) {
        self.changed_now = queues;
    }

    pub(super) fn recorded(&mut self, fact: &Fact, now: Instant) {
        match fact {
            Fact::CallEntered { call, .. } => {
                self.last.insert(*call, (now, now));
            }
            // Perhaps into another queue.
            Fact::CallOverflowed { call, .. } | Fact::CallTransferred { call, .. } => {
                self.last.insert(*call, (now, now));
                self.left = true;
            }
            Fact::CallEnded { call, .. } => {
                self.last.remove(call);
                self.left = true;
            }
            Fact::CallOffered { .. }
            | Fact::CallRinging { .. }
            | Fact::OfferEnded { .. }
            | Fact::CallDeclined { .. }
            | Fact::CallAnswered { .. }
            | Fact::Recording { .. }
            | Fact::CallbackAsked { .. }
            | Fact::CallbackCalled { .. }
            | Fact::CallbackMissed { .. }
            | Fact::TransferFailed { .. }
            | Fact::Renumbered { .. }
            | Fact::CallHeld { .. }
            | Fact::WrapUp { .. }
            | Fact::AutoPaused { .. } => {}
        }
    }
}

impl Witness {
    /// A caller is told something.
    pub(in super::super) fn said(&mut self, floor: &Floor, call: CallId, sounds: &[String], now: Now) {
        // Those who are found hear it before their link counts as up.
        if sounds == ["usher/recorded"] {
            return self.tally.count("prompts to those who were found");
        }
        self.tally.count("announcements");
        // They may be sent away in the same moment.
        let Some(caller) = floor.callers.get(&call) else { return };
        assert!(caller.is_unanswered(), "told while they talk: {caller:?}");
        assert!(self.up.contains(&caller.arrival.server), "told over a link that is down");
        // They may be in another queue by the end of this step.
        let rules = &self.announcements[&self.queue_of[&call]];
        let (place, periodic) = self.told.last.get_mut(&call).expect("told before they came");
        for sound in sounds {
            if sound.starts_with("usher/position_") {
                assert!(now.steady - *place >= rules.every, "told the place too soon");
                *place = now.steady;
                self.told.places.push((call, sound.clone()));
            } else if sound == "usher/periodic" {
                assert!(now.steady - *periodic >= rules.periodic_every, "told again too soon");
                *periodic = now.steady;
            } else {
                assert!(sound.starts_with("usher/wait_"), "{sound}");
                self.tally.count("announcements of the wait");
            }
        }
    }

    /// After a step: the places were true, and nobody was passed over.
    pub(super) fn everybody_is_told(&mut self, floor: &Floor, now: Now) {
        let left = std::mem::take(&mut self.told.left);
        for (call, said) in std::mem::take(&mut self.told.places) {
            let caller = &floor.callers.get(&call);
            let Some(caller) = caller.filter(|caller| caller.is_unanswered() && !left) else { continue };
            let key = |caller: &Caller| (caller.turn, Reverse(caller.arrival.priority), caller.since, caller.ticket);
            let before = floor.callers.values().filter(|other| {
                other.is_unanswered()
                    && other.stage != Stage::Transferred
                    && other.arrival.queue == caller.arrival.queue
                    && key(other) < key(caller)
            });
            assert_eq!(said, format!("usher/position_{}", before.count() + 1), "another place: {caller:?}");
        }
        let changed = std::mem::take(&mut self.told.changed_now);
        self.told.changed.extend(changed.into_iter().map(|queue| (queue, now.steady)));
        for (call, caller) in &floor.callers {
            // For one party, and in no line: in which they begin anew.
            if caller.stage == Stage::Transferred {
                self.told.apart.insert(*call);
                continue;
            }
            if caller.is_unanswered() && self.told.apart.remove(call) {
                self.told.last.insert(*call, (now.steady, now.steady));
            }
            // Called back, sent on after that, and found after a restart.
            if caller.is_unanswered() && caller.callback.is_none() {
                self.told.last.entry(*call).or_insert((now.steady, now.steady));
            }
            let since = self.told.changed.get(&caller.arrival.queue).copied();
            let quiet = caller.is_unanswered() && caller.callback.is_none() && caller.told.now.is_none();
            let (Some(rules), Some((place, periodic))) =
                (self.announcements.get(&caller.arrival.queue), self.told.last.get(call))
            else {
                continue;
            };
            if !quiet || !self.up.contains(&caller.arrival.server) {
                continue;
            }
            if rules.position && !rules.every.is_zero() {
                assert!(
                    now.steady - since.map_or(*place, |since| since.max(*place)) < rules.every,
                    "not told their place: {caller:?}"
                );
            }
            if !rules.periodic.is_empty() && !rules.periodic_every.is_zero() {
                assert!(
                    now.steady - since.map_or(*periodic, |since| since.max(*periodic)) < rules.periodic_every,
                    "not told again: {caller:?}"
                );
            }
        }
    }
}
