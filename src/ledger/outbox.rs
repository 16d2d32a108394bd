//! What waits to be written: in order, bounded, and never in the way of whoever records.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use tracing::warn;

use crate::domain::fact::Stamped;

/// Facts on their way to the database.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
    /// How many wait or are being written.
    pending: watch::Sender<usize>,
    most: usize,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Stamped>,
    /// Taken out and not settled yet.
    taken: usize,
    counts: Counts,
}

/// What became of all facts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Are in the database.
    pub written: u64,
    /// Were the oldest when there was no more room.
    pub dropped: u64,
    /// Were refused by the database for their content.
    pub refused: u64,
}

/// How taken facts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// In the database.
    Written,
    /// Left out.
    Refused,
}

impl Outbox {
    /// With room for `most` facts.
    pub fn new(most: usize) -> Self {
        Self { inner: Mutex::default(), pending: watch::Sender::new(0), most }
    }

    /// Puts a fact at the end; when there is no room, the oldest is dropped for it.
    pub fn push(&self, fact: Stamped) {
        let mut inner = self.lock();
        if inner.waiting.len() + inner.taken >= self.most
            && let Some(oldest) = inner.waiting.pop_front()
        {
            inner.counts.dropped += 1;
            let dropped = inner.counts.dropped;
            // One line for the first, then at each power of two: an outage must not fill the log as well.
            if dropped.is_power_of_two() {
                warn!(event.id = %oldest.id, dropped, most = self.most, "record dropped: the database is away for too long");
            }
        }
        inner.waiting.push_back(fact);
        self.publish(&inner);
    }

    /// Takes out the oldest, at most `most` of them. Each is to be settled.
    pub fn take(&self, most: usize) -> Vec<Stamped> {
        let mut inner = self.lock();
        let count = most.min(inner.waiting.len());
        inner.taken += count;
        inner.waiting.drain(..count).collect()
    }

    /// Says how `count` of the taken ended.
    pub fn settle(&self, count: usize, how: Settled) {
        let mut inner = self.lock();
        inner.taken = inner.taken.saturating_sub(count);
        match how {
            Settled::Written => inner.counts.written += count as u64,
            Settled::Refused => inner.counts.refused += count as u64,
        }
        self.publish(&inner);
    }

    /// How many wait or are being written, to watch.
    pub fn pending(&self) -> watch::Receiver<usize> {
        self.pending.subscribe()
    }

    /// What became of all facts since the start.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn publish(&self, inner: &Inner) {
        self.pending.send_replace(inner.waiting.len() + inner.taken);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way, so what a poisoned lock holds is sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        fact::{CallOutcome, Fact},
        id::CallId,
    };

    fn fact(n: u128) -> Stamped {
        let fact = Fact::CallEnded { call: CallId(Uuid::nil()), extension: None, outcome: CallOutcome::Lost };
        Stamped { id: Uuid::from_u128(n), at: Timestamp::UNIX_EPOCH, fact }
    }

    fn ids(facts: &[Stamped]) -> Vec<u128> {
        facts.iter().map(|fact| fact.id.as_u128()).collect()
    }

    #[test]
    fn what_is_taken_is_the_oldest_in_order_and_counts_as_pending_until_settled() {
        let outbox = Outbox::new(100);
        (1..=5).for_each(|n| outbox.push(fact(n)));
        assert_eq!(ids(&outbox.take(3)), [1, 2, 3]);
        assert_eq!(*outbox.pending().borrow(), 5);
        outbox.settle(2, Settled::Written);
        outbox.settle(1, Settled::Refused);
        assert_eq!(*outbox.pending().borrow(), 2);
        assert_eq!(outbox.counts(), Counts { written: 2, dropped: 0, refused: 1 });
        assert_eq!(ids(&outbox.take(10)), [4, 5]);
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_that_is_not_being_written_and_counts_it() {
        let outbox = Outbox::new(4);
        (1..=4).for_each(|n| outbox.push(fact(n)));
        assert_eq!(ids(&outbox.take(1)), [1]);
        outbox.push(fact(5));
        outbox.push(fact(6));
        assert_eq!(outbox.counts().dropped, 2);
        assert_eq!(*outbox.pending().borrow(), 4);
        assert_eq!(ids(&outbox.take(10)), [4, 5, 6]);
    }
}
