//! The one task that writes, reloads and answers.

use std::{collections::VecDeque, future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    db::{
        Error, Remedy, customers,
        listen::Changes,
        members::{self, Change},
        records, roster,
    },
    domain::{fact::Stamped, queue::roster::Roster},
    ledger::{Command, Shared, Unavailable, Verb, outbox::Settled},
    link::Link,
};

/// Facts in one transaction: enough to write tens of thousands a second, few enough to be written well within the timeout.
const BATCH: usize = 1_000;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// How long the disk may take at the end.
const KEEP: Duration = Duration::from_secs(2);
/// Wait after a failure while the link stands; a new link ends it.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Task {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    rosters: mpsc::Sender<Arc<Roster>>,
    stop: CancellationToken,
    link: watch::Receiver<Link>,
    changes: watch::Receiver<Changes>,
    /// What was acted upon; what differs from `changes` is due.
    seen: Changes,
    /// Taken from the outbox and not written, oldest first; in pieces after a refusal, until the refused fact is alone.
    chunks: VecDeque<Vec<Stamped>>,
    retry_at: Option<Instant>,
    trouble: Option<String>,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        rosters: mpsc::Sender<Arc<Roster>>,
        stop: CancellationToken,
    ) -> Self {
        let (link, changes) = (shared.link.clone(), shared.changes.clone());
        Self {
            shared,
            commands,
            rosters,
            stop,
            link,
            changes,
            seen: Changes::default(),
            chunks: VecDeque::new(),
            retry_at: None,
            trouble: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut waiting = self.shared.outbox.pending();
        loop {
            let can = self.shared.standing().is_ok() && self.retry_at.is_none();
            let now = *self.changes.borrow_and_update();
            let roster_due = can && now.roster != self.seen.roster;
            let customers_due = can && now.customers != self.seen.customers;
            let retry_at = self.retry_at;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(command) = self.commands.recv() => self.member(command).await,
                Ok(()) = self.link.changed() => self.retry_at = None,
                () = at(retry_at) => self.retry_at = None,
                Ok(permit) = self.rosters.clone().reserve_owned(), if roster_due => {
                    // What waits first, so that the snapshot knows the calls that ended; one batch, so that it is not put off.
                    self.write().await;
                    if let Some(roster) = self.load().await {
                        permit.send(roster);
                    }
                }
                () = async {}, if customers_due => self.refresh_customers(now.customers).await,
                true = gathered(&mut waiting), if can => self.write().await,
                Ok(()) = self.changes.changed() => {}
            }
        }
        let left = *waiting.borrow();
        let shared = Arc::clone(&self.shared);
        // A panic in it has been logged.
        let _ = tokio::task::spawn_blocking(move || shared.outbox.keep(KEEP)).await;
        if left > 0 && self.shared.outbox.is_kept() {
            warn!(left, "stopping with records that could not be written: they are kept for the next start");
        } else if left > 0 {
            error!(left, "stopping with records that could not be written");
        }
    }

    /// Writes one batch, or what is left of one. A fact that the database refuses for its content is left out.
    async fn write(&mut self) {
        if self.chunks.is_empty() {
            let batch = self.shared.outbox.take(BATCH);
            if batch.is_empty() {
                return;
            }
            self.chunks.push_back(batch);
        }
        while let Some(mut chunk) = self.chunks.pop_front() {
            let Err(failure) = self.write_chunk(&chunk).await else {
                self.shared.outbox.settle(chunk.len(), Settled::Written);
                self.well();
                continue;
            };
            match (failure.remedy(), chunk.as_slice()) {
                (Remedy::Skip, [fact]) => {
                    error!(event.id = %fact.id, kind = ?std::mem::discriminant(&fact.fact), why = %failure, "record refused");
                    self.shared.outbox.settle(1, Settled::Refused);
                }
                (Remedy::Skip, _) => {
                    let later = chunk.split_off(chunk.len() / 2);
                    self.chunks.push_front(later);
                    self.chunks.push_front(chunk);
                }
                (Remedy::Wait | Remedy::Operator, _) => {
                    self.chunks.push_front(chunk);
                    self.failed(&failure);
                    return;
                }
            }
        }
    }

    async fn write_chunk(&self, chunk: &[Stamped]) -> Result<(), Error> {
        let pool = &self.shared.pool;
        let work = async {
            let mut lease = pool.lease().await?;
            records::write(&mut lease, chunk).await?;
            lease.done();
            Ok(())
        };
        pool.bounded(work).await
    }

    /// Loads a snapshot and takes note of what it covers.
    async fn load(&mut self) -> Option<Arc<Roster>> {
        // Before asking: a change that arrives while the answer is on its way is loaded again.
        let covers = self.changes.borrow().roster;
        let pool = &self.shared.pool;
        let work = async {
            let mut lease = pool.lease().await?;
            let roster = roster::load(&mut lease).await?;
            lease.done();
            Ok(roster)
        };
        match pool.bounded(work).await {
            Ok(roster) => {
                self.seen.roster = covers;
                self.well();
                debug!(agents = roster.agents.len(), queues = roster.queues.len(), "roster loaded");
                Some(Arc::new(roster))
            }
            Err(failure) => {
                self.failed(&failure);
                None
            }
        }
    }

    /// Asks again for the customers that are remembered: what changed about them must be known when the database is away.
    async fn refresh_customers(&mut self, covers: u64) {
        let codes = self.shared.cache.codes();
        let pool = &self.shared.pool;
        let work = async {
            let lease = pool.lease().await?;
            let found = customers::find_all(&lease, &codes).await?;
            lease.done();
            Ok(found)
        };
        match pool.bounded(work).await {
            Ok(found) => {
                self.seen.customers = covers;
                self.well();
                let known: std::collections::HashSet<_> = found.iter().map(|customer| customer.code.clone()).collect();
                codes.iter().filter(|code| !known.contains(*code)).for_each(|code| self.shared.cache.forget(code));
                found.into_iter().for_each(|customer| self.shared.cache.put(customer));
            }
            Err(failure) => self.failed(&failure),
        }
    }

    async fn member(&mut self, command: Command) {
        let Command { verb, queue, extension, reply } = command;
        if reply.is_closed() {
            // Whoever asked has given up and told the member so: doing it now would contradict that.
            return;
        }
        let pool = &self.shared.pool;
        let work = async {
            let lease = pool.lease().await?;
            let change = match verb {
                Verb::LogOn => members::log_on(&lease, &queue, &extension).await?,
                Verb::LogOff => members::log_off(&lease, &queue, &extension).await?,
            };
            lease.done();
            Ok(change)
        };
        let change = match pool.bounded(work).await {
            Ok(change) => change,
            // Removed by somebody else at this very moment.
            Err(failure) if failure.remedy() == Remedy::Skip => Change::Refused,
            Err(failure) => {
                self.failed(&failure);
                // Nobody listens any more if the asker's patience ended first.
                let _ = reply.send(Err(Unavailable { why: failure.to_string() }));
                return;
            }
        };
        info!(queue.name = %queue, extension = %extension, ?verb, ?change, "membership");
        let answer = match change {
            Change::Refused => Ok(Change::Refused),
            Change::Done => self.hand_over().await.map(|()| Change::Done),
        };
        let _ = reply.send(answer);
    }

    /// Loads the roster and hands it over now; if that fails it stays due, by the notice that the change itself caused.
    async fn hand_over(&mut self) -> Result<(), Unavailable> {
        let Some(roster) = self.load().await else {
            return Err(Unavailable { why: "the change is made, but could not be read back".into() });
        };
        let sent = tokio::time::timeout(self.shared.timeout, self.rosters.send(roster)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Unavailable { why: "the service is stopping".into() }),
            Err(_) => {
                // It was taken for handed over: have it loaded again.
                self.seen.roster = self.seen.roster.wrapping_sub(1);
                Err(Unavailable { why: "the floor is busy".into() })
            }
        }
    }

    fn failed(&mut self, failure: &Error) {
        let why = failure.to_string();
        if self.trouble.as_ref() != Some(&why) {
            warn!(%why, "the database failed; trying again");
        }
        self.trouble = Some(why);
        self.retry_at = Some(Instant::now() + RETRY);
        self.shared.suspect.notify_one();
    }

    fn well(&mut self) {
        if self.trouble.take().is_some() {
            info!("the database works again");
        }
    }
}

/// Returns when something waits; `false` if nothing ever will.
/// Waits until there are records, and a moment more: those of one call come together and are one transaction, and they are not
/// written in the very milliseconds in which a phone waits to ring.
async fn gathered(waiting: &mut watch::Receiver<usize>) -> bool {
    let are_there = waiting.wait_for(|count| *count > 0).await.is_ok();
    tokio::time::sleep(GATHER).await;
    are_there
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
