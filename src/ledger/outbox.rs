//! What waits to be written: in order, bounded, and never in the way of whoever records.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, oneshot, watch};
use tracing::warn;

use crate::{
    domain::fact::Stamped,
    fence::Fence,
    ledger::spool::{Number, Spool},
};

/// Facts on their way to the database.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
    /// How many wait or are being written.
    pending: watch::Sender<usize>,
    most: usize,
    fence: Fence,
    /// Told when something was recorded that may turn out to be a dream.
    doubted: Notify,
    spool: Option<Spool>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<(Number, Stamped)>,
    /// Taken out and not settled yet, in order.
    taken: VecDeque<Number>,
    /// Recorded while another process may have been active.
    doubtful: Vec<Stamped>,
    next: Number,
    counts: Counts,
}

impl Inner {
    /// The number of the oldest that is not settled; of the next one that comes if all are.
    fn oldest(&self) -> Number {
        let taken = self.taken.front();
        taken.or_else(|| self.waiting.front().map(|(number, _)| number)).copied().unwrap_or(self.next)
    }
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
    /// Were in memory alone, because the disk was too slow; counted among the others as well.
    pub unkept: u64,
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
    /// With room for `most` facts, and what an earlier process had kept in the spool.
    pub fn new(most: usize, fence: Fence, spool: Option<Spool>, kept: Vec<Stamped>) -> Self {
        let waiting: VecDeque<_> = (0..).zip(kept).collect();
        let inner = Inner { next: waiting.len() as Number, waiting, ..Inner::default() };
        let outbox = Self {
            pending: watch::Sender::new(0),
            inner: Mutex::new(inner),
            most,
            fence,
            doubted: Notify::new(),
            spool,
        };
        let mut inner = outbox.lock();
        while inner.waiting.len() > most {
            outbox.drop_oldest(&mut inner);
        }
        outbox.publish(&inner);
        drop(inner);
        outbox
    }

    /// Puts a fact at the end; when there is no room, the oldest is dropped for it. While another process may be active it is
    /// held back: see [`Outbox::believe`].
    pub fn push(&self, fact: Stamped) {
        let mut inner = self.lock();
        if !self.fence.holds() {
            inner.doubtful.push(fact);
            self.doubted.notify_one();
            return;
        }
        // In their order.
        for doubtful in std::mem::take(&mut inner.doubtful) {
            self.admit(&mut inner, doubtful);
        }
        self.admit(&mut inner, fact);
        self.publish(&inner);
    }

    /// Admits what was held back whenever it is certain again that no other process was active. Never ends; what is held back
    /// when this process is relieved did not happen.
    pub async fn believe(&self) {
        let mut fence = self.fence.clone();
        loop {
            self.doubted.notified().await;
            fence.opened().await;
            let mut inner = self.lock();
            for doubtful in std::mem::take(&mut inner.doubtful) {
                self.admit(&mut inner, doubtful);
            }
            self.publish(&inner);
        }
    }

    fn admit(&self, inner: &mut Inner, fact: Stamped) {
        if inner.waiting.len() + inner.taken.len() >= self.most {
            self.drop_oldest(inner);
        }
        let number = inner.next;
        inner.next += 1;
        if let Some(spool) = &self.spool
            && !spool.append(number, &fact)
        {
            inner.counts.unkept += 1;
            if inner.counts.unkept.is_power_of_two() {
                warn!(unkept = inner.counts.unkept, "record kept in memory alone: the disk is too slow");
            }
        }
        inner.waiting.push_back((number, fact));
    }

    fn drop_oldest(&self, inner: &mut Inner) {
        let Some((_, oldest)) = inner.waiting.pop_front() else { return };
        inner.counts.dropped += 1;
        let dropped = inner.counts.dropped;
        // One line for the first, then at each power of two: an outage must not fill the log as well.
        if dropped.is_power_of_two() {
            warn!(event.id = %oldest.id, dropped, most = self.most, "record dropped: the database is away for too long");
        }
        self.tell_spool(inner);
    }

    /// Takes out the oldest, at most `most` of them. Each is to be settled.
    pub fn take(&self, most: usize) -> Vec<Stamped> {
        let mut inner = self.lock();
        let count = most.min(inner.waiting.len());
        let (numbers, facts): (Vec<_>, Vec<_>) = inner.waiting.drain(..count).unzip();
        inner.taken.extend(numbers);
        facts
    }

    /// Says how `count` of the taken ended, the oldest first.
    pub fn settle(&self, count: usize, how: Settled) {
        let mut inner = self.lock();
        let count = count.min(inner.taken.len());
        inner.taken.drain(..count);
        match how {
            Settled::Written => inner.counts.written += count as u64,
            Settled::Refused => inner.counts.refused += count as u64,
        }
        self.tell_spool(&inner);
        self.publish(&inner);
    }

    /// Whether this process may write.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// How many wait or are being written, to watch.
    pub fn pending(&self) -> watch::Receiver<usize> {
        self.pending.subscribe()
    }

    /// What became of all facts since the start.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Told when all that was recorded so far outlives the process; `None` if nothing does.
    pub fn kept(&self) -> Option<oneshot::Receiver<()>> {
        self.spool.as_ref().map(Spool::kept)
    }

    /// Waits until nothing of what was recorded so far is left here. What is held back, and turns out to be a dream, is waited for
    /// for ever.
    pub async fn written(&self) {
        let mut pending = self.pending();
        let last = {
            let inner = self.lock();
            // What is held back comes next, if it comes.
            inner.next + inner.doubtful.len() as Number
        };
        loop {
            pending.mark_unchanged();
            if self.lock().oldest() >= last {
                return;
            }
            if pending.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits, at most so long, until all that waits is in the folder. Blocks.
    pub fn keep(&self, within: Duration) {
        if let Some(spool) = &self.spool {
            spool.finish(within);
        }
    }

    /// Whether what waits outlives the process.
    pub fn is_kept(&self) -> bool {
        self.spool.is_some()
    }

    fn tell_spool(&self, inner: &Inner) {
        if let Some(spool) = &self.spool {
            spool.done(inner.oldest());
        }
    }

    fn publish(&self, inner: &Inner) {
        self.pending.send_replace(inner.waiting.len() + inner.taken.len());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way, so what a poisoned lock holds is sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
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
        let outbox = Outbox::new(100, Fence::open(), None, Vec::new());
        (1..=5).for_each(|n| outbox.push(fact(n)));
        assert_eq!(ids(&outbox.take(3)), [1, 2, 3]);
        assert_eq!(*outbox.pending().borrow(), 5);
        outbox.settle(2, Settled::Written);
        outbox.settle(1, Settled::Refused);
        assert_eq!(*outbox.pending().borrow(), 2);
        assert_eq!(outbox.counts(), Counts { written: 2, dropped: 0, refused: 1, unkept: 0 });
        assert_eq!(ids(&outbox.take(10)), [4, 5]);
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_that_is_not_being_written_and_counts_it() {
        let outbox = Outbox::new(4, Fence::open(), None, Vec::new());
        (1..=4).for_each(|n| outbox.push(fact(n)));
        assert_eq!(ids(&outbox.take(1)), [1]);
        outbox.push(fact(5));
        outbox.push(fact(6));
        assert_eq!(outbox.counts().dropped, 2);
        assert_eq!(*outbox.pending().borrow(), 4);
        assert_eq!(ids(&outbox.take(10)), [4, 5, 6]);
    }
    #[tokio::test]
    async fn what_is_recorded_in_doubt_counts_when_the_doubt_is_over_and_not_before() {
        let (gate, fence) = crate::fence::Gate::new(std::time::Instant::now());
        let outbox = std::sync::Arc::new(Outbox::new(100, fence, None, Vec::new()));
        (1..=2).for_each(|n| outbox.push(fact(n)));
        assert_eq!(*outbox.pending().borrow(), 0);
        let believer = std::sync::Arc::clone(&outbox);
        let believing = tokio::spawn(async move { believer.believe().await });
        gate.set(std::time::Instant::now() + Duration::from_secs(3600));
        outbox.pending().wait_for(|count| *count == 2).await.unwrap();
        outbox.push(fact(3));
        assert_eq!(ids(&outbox.take(10)), [1, 2, 3]);
        believing.abort();
    }

    #[tokio::test]
    async fn written_is_what_was_recorded_before_it_was_asked_and_not_what_is_held_back() {
        let (gate, fence) = crate::fence::Gate::new(std::time::Instant::now() + Duration::from_secs(3600));
        let outbox = Outbox::new(100, fence, None, Vec::new());
        outbox.written().await;
        outbox.push(fact(1));
        {
            let mut written = pin!(outbox.written());
            assert!(poll!(&mut written).is_pending());
            outbox.push(fact(2));
            outbox.take(2);
            outbox.settle(1, Settled::Written);
            written.await;
        }
        outbox.settle(1, Settled::Refused);
        gate.set(std::time::Instant::now());
        outbox.push(fact(3));
        let mut written = pin!(outbox.written());
        assert!(poll!(&mut written).is_pending());
        gate.set(std::time::Instant::now() + Duration::from_secs(3600));
        outbox.push(fact(4));
        assert!(poll!(&mut written).is_pending());
        assert_eq!(ids(&outbox.take(2)), [3, 4]);
        outbox.settle(1, Settled::Written);
        written.await;
    }

    #[test]
    fn what_was_kept_comes_first_and_only_what_is_settled_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let (spool, kept) = Spool::open(folder.path()).unwrap();
            Outbox::new(5, Fence::open(), Some(spool), kept)
        };
        let outbox = open();
        (1..=4).for_each(|n| outbox.push(fact(n)));
        assert_eq!(ids(&outbox.take(2)), [1, 2]);
        outbox.settle(1, Settled::Written);
        outbox.keep(Duration::from_secs(20));
        drop(outbox);
        let outbox = open();
        // 1 is in the same file as the others: it is written again, and counts once.
        outbox.push(fact(5));
        outbox.push(fact(6));
        assert_eq!(ids(&outbox.take(10)), [2, 3, 4, 5, 6], "the oldest was dropped for want of room");
        outbox.settle(5, Settled::Written);
        outbox.keep(Duration::from_secs(20));
        drop(outbox);
        assert_eq!(ids(&open().take(10)), []);
    }
}
