//! The one task that writes, reloads and answers.

use std::{
    collections::{HashSet, VecDeque},
    future::pending,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    db::{
        Error, Remedy, customers,
        heard::{Due, Heard},
        members::{self, Change},
        records, roster, talks,
    },
    domain::{
        fact::Stamped,
        id::{CustomerCode, Extension, QueueName},
        queue::{
            floor::REMEMBERED,
            roster::{Keys, RosterChange},
        },
    },
    ledger::{Command, News, Shared, Unavailable, Verb, outbox::Settled},
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

/// How long the first of several changed rows waits for others.
const MOMENT: Duration = Duration::from_millis(3);
/// How often rows are loaded with more of them before it is simpler to load all.
const ROUNDS: usize = 8;

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
            retry_at: None,
            trouble: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut waiting = self.shared.outbox.pending();
        loop {
            let can = self.shared.standing().is_ok() && self.retry_at.is_none();
            let (roster_due, customers_due) = {
                let heard = self.heard.borrow_and_update();
                (can && heard.is_roster_due(), can && heard.are_customers_due())
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
                true = gathered(&mut waiting), if can => self.write().await,
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

    /// Loads what is due.
    async fn hear(&mut self) -> Option<News> {
        let everything = self.begun == Begun::NotYet || *self.heard.borrow().roster() == Due::Everything;
        if everything {
            // What waits first, so that the snapshot knows the calls that ended; one batch, so that it is not put off.
            self.write().await;
            return self.load().await;
        }
        // The rows of one command come within moments.
        sleep(MOMENT).await;
        match self.take_roster() {
            Due::These(keys) => self.load_rows(keys).await,
            Due::Everything => self.load().await,
        }
    }

    fn take_roster(&self) -> Due<Keys> {
        let mut taken = Due::default();
        self.shared.heard.send_if_modified(|heard| {
            taken = heard.take_roster();
            false
        });
        taken
    }

    /// These rows must be loaded yet, or all.
    fn put_back(&self, due: &Due<Keys>) {
        self.shared.heard.send_modify(|heard| match due {
            Due::These(keys) => heard.rows_changed(keys),
            Due::Everything => heard.all_rows_changed(),
        });
    }

    /// Loads everything.
    async fn load(&mut self) -> Option<News> {
        // Before asking: a change that is announced while the answer is on its way is loaded again.
        drop(self.take_roster());
        let pool = &self.shared.pool;
        let work = async {
            let mut lease = pool.lease().await?;
            let roster = roster::load(&mut lease).await?;
            lease.done();
            Ok(roster)
        };
        match pool.bounded(work).await {
            Ok(roster) => {
                self.well();
                debug!(agents = roster.agents.len(), queues = roster.queues.len(), "roster loaded");
                Some(News::Whole(Arc::new(roster)))
            }
            Err(failure) => {
                self.put_back(&Due::Everything);
                self.failed(&failure);
                None
            }
        }
    }

    /// Loads these rows, and with them those that are announced before it can be known that they do not belong together; if there
    /// is no end to these, everything.
    async fn load_rows(&mut self, mut keys: Keys) -> Option<News> {
        for _ in 0..ROUNDS {
            if self.begun == Begun::NotYet {
                break;
            }
            match self.load_marked(keys.clone()).await {
                Ok(change) => {
                    let more = match self.heard.borrow().roster() {
                        Due::Everything => break,
                        // They may have been announced before they were loaded, or since: in that case they are loaded again.
                        Due::These(more) if more.is_within(&keys) => None,
                        Due::These(more) => Some(more.clone()),
                    };
                    let Some(more) = more else {
                        self.well();
                        debug!(rows = keys.len(), "roster loaded, the rows that changed");
                        return Some(News::Change(Arc::new(change)));
                    };
                    drop(self.take_roster());
                    keys.extend(&more);
                }
                Err(failure) => {
                    self.put_back(&Due::These(keys));
                    self.failed(&failure);
                    return None;
                }
            }
        }
        self.load().await
    }

    /// Loads these rows, and waits until everything was heard that was announced before.
    async fn load_marked(&mut self, keys: Keys) -> Result<RosterChange, Error> {
        self.marks += 1;
        let (mark, pool, mut heard) = (self.marks, &self.shared.pool, self.heard.clone());
        let work = async {
            let mut lease = pool.lease().await?;
            let change = roster::load_rows(&mut lease, keys, &format!("{} {mark}", self.shared.listener)).await?;
            lease.done();
            // The sender is in our own hands.
            let _ = heard.wait_for(|heard| heard.mark() >= mark).await;
            Ok(change)
        };
        pool.bounded(work).await
    }

    /// After the first roster: tells with whom customers spoke last.
    async fn recall(&mut self) {
        if self.begun == Begun::Yes {
            return;
        }
        self.begun = Begun::Yes;
        let pool = &self.shared.pool;
        let work = async {
            let lease = pool.lease().await?;
            let talks = talks::last(&lease, REMEMBERED).await?;
            lease.done();
            Ok(talks)
        };
        let talks = match pool.bounded(work).await {
            Ok(talks) => talks,
            Err(error) => {
                warn!(%error, "the last talks could not be read: no customer is given the same agent again, until their next talk");
                return;
            }
        };
        debug!(talks = talks.len(), "last talks loaded");
        // Nobody reads any more when the service stops.
        let _ = self.news.send(News::PastTalks(Arc::new(talks))).await;
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
            Change::Done => self.hand_over(queue, extension).await.map(|()| Change::Done),
        };
        let _ = reply.send(answer);
    }

    /// Loads the member's rows and hands them over now; if that fails they stay due.
    async fn hand_over(&mut self, queue: QueueName, extension: Extension) -> Result<(), Unavailable> {
        let news = match self.take_roster() {
            Due::These(mut keys) => {
                keys.extend(&Keys::of_agent(extension.clone()));
                keys.extend(&Keys::of_membership(queue, extension));
                self.load_rows(keys).await
            }
            Due::Everything => self.load().await,
        };
        let Some(news) = news else {
            return Err(Unavailable { why: "the change is made, but could not be read back".into() });
        };
        let sent = tokio::time::timeout(self.shared.timeout, self.news.send(news)).await;
        match sent {
            Ok(Ok(())) => {
                self.recall().await;
                Ok(())
            }
            Ok(Err(_)) => Err(Unavailable { why: "the service is stopping".into() }),
            Err(_) => {
                // It was taken for handed over: have all of it loaded again.
                self.put_back(&Due::Everything);
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
