//! The one task that writes, answers, and hears what has changed.

mod hear;

use std::{
    collections::{HashSet, VecDeque},
    future::pending,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    db::{
        Error, Remedy, customers,
        heard::{Due, Heard},
        members::{self, Change},
        records,
    },
    domain::{
        fact::Stamped,
        id::{CustomerCode, QueueName},
    },
    ledger::{Command, Done, News, Shared, Unavailable, Verb, outbox::Settled},
    link::Link,
};

/// Facts in one transaction at most: enough to write tens of thousands a second, few enough to be written well within the timeout by
/// a database that is not overloaded. One that is gets fewer, until it writes them in time.
const BATCH: usize = 1_000;
/// How long the first of a batch waits for others: those of one call come together and are one transaction, and they are not
/// written in the very milliseconds in which a phone waits to ring.
const GATHER: Duration = Duration::from_millis(20);
/// How long the disk may take at the end.
const KEEP: Duration = Duration::from_secs(2);
/// Wait after a failure while the link stands; a new link ends it.
const RETRY: Duration = Duration::from_millis(500);

/// Whether the floor has been told everything once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Yes,
    NotYet,
}

pub(super) struct Task {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    news: mpsc::Sender<News>,
    stop: CancellationToken,
    link: watch::Receiver<Link>,
    heard: watch::Receiver<Heard>,
    /// Whether the floor has been told everything once.
    begun: Begun,
    /// Numbers the marks.
    marks: u64,
    /// Taken from the outbox and not written, oldest first; in pieces after a refusal, until the refused fact is alone.
    chunks: VecDeque<Vec<Stamped>>,
    /// How many the database is given at a time: half of what took it too long, and a tenth more after each that did not.
    most: usize,
    retry_at: Option<Instant>,
    trouble: Option<String>,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        news: mpsc::Sender<News>,
        stop: CancellationToken,
    ) -> Self {
        let (link, heard) = (shared.link.clone(), shared.heard.subscribe());
        Self {
            shared,
            commands,
            news,
            stop,
            link,
            heard,
            begun: Begun::NotYet,
            marks: 0,
            chunks: VecDeque::new(),
            most: BATCH,
            retry_at: None,
            trouble: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut waiting = self.shared.outbox.pending();
        // When what waits is written: counted from the first of it, whatever else there is to do.
        let mut due = None;
        loop {
            if due.is_none() && *waiting.borrow_and_update() > 0 {
                due = Some(Instant::now() + GATHER);
            }
            let can = self.shared.standing().is_ok() && self.retry_at.is_none();
            let (roster_due, customers_due, callbacks_due) = {
                let heard = self.heard.borrow_and_update();
                (can && heard.is_roster_due(), can && heard.are_customers_due(), can && heard.are_callbacks_due())
            };
            let retry_at = self.retry_at;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(command) = self.commands.recv() => self.member(command).await,
                Ok(()) = self.link.changed() => self.retry_at = None,
                () = at(retry_at) => self.retry_at = None,
                Ok(permit) = self.news.clone().reserve_owned(), if roster_due => {
                    if let Some(news) = self.hear().await {
                        permit.send(news);
                        self.recall().await;
                    }
                }
                () = async {}, if customers_due => self.refresh_customers().await,
                () = async {}, if callbacks_due => self.refresh_cancelled().await,
                () = at(due), if can && due.is_some() => {
                    due = None;
                    self.write().await;
                }
                Ok(()) = waiting.changed(), if due.is_none() => {}
                Ok(()) = self.heard.changed() => {}
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
            let batch = self.shared.outbox.take(self.most);
            if batch.is_empty() {
                return;
            }
            self.chunks.push_back(batch);
        }
        while let Some(mut chunk) = self.chunks.pop_front() {
            if chunk.len() > self.most {
                self.chunks.push_front(chunk.split_off(self.most));
            }
            let Err(failure) = self.write_chunk(&chunk).await else {
                if chunk.len() == self.most {
                    self.most = (self.most + self.most / 10 + 1).min(BATCH);
                }
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
                    if matches!(failure, Error::Timeout(_)) {
                        // As many again would take it too long again, for ever.
                        self.most = chunk.len().div_ceil(2);
                    }
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

    /// Whether what an earlier run has left open has been loaded, which is done once: before anybody may change it.
    async fn what_was_left_is_known(&mut self) -> bool {
        if self.shared.callbacks.borrow().open.is_some() {
            return true;
        }
        let waiting = self.shared.outbox.pending();
        while *waiting.borrow() > 0 && self.retry_at.is_none() {
            self.write().await;
        }
        if self.retry_at.is_some() {
            return false;
        }
        match self.shared.load_what_was_left().await {
            Ok(()) => true,
            Err(failure) => {
                self.failed(&failure);
                false
            }
        }
    }

    async fn refresh_cancelled(&mut self) {
        self.shared.heard.send_if_modified(|heard| {
            heard.take_callbacks();
            false
        });
        match self.shared.load_cancelled().await {
            Ok(()) => self.well(),
            Err(failure) => {
                self.shared.heard.send_modify(Heard::callbacks_changed);
                self.failed(&failure);
            }
        }
    }

    /// Asks again for customers that are remembered: what changed about them must be known when the database is away.
    async fn refresh_customers(&mut self) {
        let mut due = Due::default();
        self.shared.heard.send_if_modified(|heard| {
            due = heard.take_customers();
            false
        });
        let cache = &self.shared.cache;
        let codes: Vec<CustomerCode> = match &due {
            Due::These(codes) => codes.iter().filter(|code| cache.holds(code)).cloned().collect(),
            Due::Everything => cache.codes(),
        };
        if codes.is_empty() {
            return;
        }
        let pool = &self.shared.pool;
        let work = async {
            let lease = pool.lease().await?;
            let found = customers::find_all(&lease, &codes).await?;
            lease.done();
            Ok(found)
        };
        match pool.bounded(work).await {
            Ok(found) => {
                let known: HashSet<_> = found.iter().map(|customer| customer.code.clone()).collect();
                codes.iter().filter(|code| !known.contains(*code)).for_each(|code| cache.forget(code));
                found.into_iter().for_each(|customer| cache.put(customer));
                self.well();
            }
            Err(failure) => {
                self.shared.heard.send_modify(|heard| heard.customers_changed(due));
                self.failed(&failure);
            }
        }
    }

    async fn member(&mut self, command: Command) {
        let Command { verb, extension, reply } = command;
        if reply.is_closed() {
            // Whoever asked has given up and told the member so: doing it now would contradict that.
            return;
        }
        let pool = &self.shared.pool;
        let work = async {
            let lease = pool.lease().await?;
            let done = match &verb {
                Verb::LogOn(queue) => Done::Changed(members::log_on(&lease, queue, &extension).await?),
                Verb::LogOff(queue) => Done::Changed(members::log_off(&lease, queue, &extension).await?),
                Verb::Pause { queue, reason } => {
                    members::pause(&lease, &extension, queue.as_ref(), reason).await?;
                    Done::Changed(Change::Done)
                }
                Verb::Presence(deed) => Done::Changed(members::by_presence(&lease, &extension, deed).await?),
                Verb::Resume { queue } => Done::Resumed(members::resume(&lease, &extension, queue.as_ref()).await?),
            };
            lease.done();
            Ok(done)
        };
        let done = match pool.bounded(work).await {
            Ok(done) => done,
            // Removed by somebody else at this very moment.
            Err(failure) if failure.remedy() == Remedy::Skip => Done::Changed(Change::Refused),
            Err(failure) => {
                self.failed(&failure);
                // Nobody listens any more if the asker's patience ended first.
                let _ = reply.send(Err(Unavailable::new(failure.to_string())));
                return;
            }
        };
        info!(
            extension = %extension, what = verb.word(), queue.name = verb.queue().map(QueueName::as_str), outcome = done.word(),
            "membership"
        );
        let answer = match done {
            Done::Changed(Change::Refused) => Ok(done),
            Done::Changed(Change::Done) | Done::Resumed(_) => {
                self.hand_over(verb.queue().cloned(), extension).await.map(|()| done)
            }
        };
        let _ = reply.send(answer);
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

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
