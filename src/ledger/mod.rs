//! The ledger: what the database keeps. Who works where, who calls, what happened.
//!
//! ```text
//!  any service ── record(fact) ──▶ outbox ─┐   (and a spool on disk, by a thread of its own)
//!  agi, counter ─ log_on, pause, … ────────┤──▶ task ──▶ PostgreSQL
//!  listener ───── which rows changed ──────┘     └─────▶ News ──▶ floor
//!  agi ────────── customer(code) ──────────────────────▶ PostgreSQL, or the cache while it is away
//!  counter ────── today's calls, one call's story ─────▶ PostgreSQL
//! ```
//!
//! One task owns what is written and its order, and hands out every piece of [`News`], so that an older one never overtakes a
//! newer one. At the start and after a gap it is the whole roster; otherwise the rows that were announced, by their keys and as
//! they were at one moment. Rows of a transaction never come apart: what is loaded carries a mark through the listener, and what
//! was announced before the mark came back is loaded with it. Calls go on without the database: facts wait in the outbox and are written once, customers who called lately are known.
//! It holds no rule of the call centre.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{debug, info, warn};
use uuid::Uuid;

pub use self::{callbacks::Callbacks, outbox::Counts, spool::check as check_folder};
pub use crate::db::{
    history::{Past, PastEvent},
    members::{Change, Resumed},
    report::Call as PastCall,
};
use crate::{
    config,
    db::{
        Error, Remedy, customers,
        heard::Heard,
        listen, migrate,
        pool::{Connector, Pool, Statements},
    },
    domain::{
        fact::Stamped,
        id::{CustomerCode, Extension, QueueName},
        lease::{TAKEN_OVER, Token},
        presence::Deed,
        queue::roster::{Customer, PastTalk, Roster, RosterChange},
    },
    fence::Fence,
    link::Link,
};

mod cache;
mod callbacks;
mod history;
mod members;
mod outbox;
mod spool;
mod task;

/// How long a disk that takes nothing may hold up what comes after a record.
const KEPT: Duration = Duration::from_millis(100);
/// How long a fact may take to be known to the next process: as long as one needs to notice that the database is gone, and another to take
/// over.
const PASSED_ON: Duration = Duration::from_secs(8);
/// Log-ons and log-offs under way. Few people press a key within one answer time of the database; more than this is a fault.
const COMMANDS: usize = 256;
/// Pieces handed over and not yet read. More than one only while the reader is busy; then changes wait and become one.
const NEWS: usize = 4;
/// Customers remembered for an outage: about a day's distinct callers of a large floor, and some megabytes.
const CACHED_CUSTOMERS: usize = 10_000;

/// Why the ledger cannot start, and only an operator can help.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the database {target}: {error}{}{advice}", if .advice.is_empty() { "" } else { "; " })]
pub struct Fatal {
    target: String,
    advice: String,
    /// Not its source in the sense of the standard library: it is in the message already, and would be said again behind it.
    error: Error,
}

impl Fatal {
    fn new(config: &config::Database, error: Error) -> Self {
        Self { target: config.target(), advice: error.advice(&config.user).into_owned(), error }
    }
}

/// The database did not answer in time, or is known to be away. What was asked may have been done or not; asking again is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database is not available: {why}")]
pub struct Unavailable {
    why: String,
    asked: Asked,
}

/// Whether the database was asked before it was found away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Perhaps,
}

impl Unavailable {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), asked: Asked::Perhaps }
    }

    /// Whether it is certain that nothing was done.
    pub fn is_certain(&self) -> bool {
        self.asked == Asked::No
    }
}

/// What the floor has to know of the database.
#[derive(Debug, Clone)]
pub enum News {
    /// Everything: the first piece of all, and again after a gap.
    Whole(Arc<Roster>),
    /// With whom customers spoke last before the start: once, right after the first.
    PastTalks(Arc<Vec<PastTalk>>),
    /// What differs from the state that was told before.
    Change(Arc<RosterChange>),
}

/// What other services hold of the ledger.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("pending", &*self.shared.outbox.pending().borrow()).finish_non_exhaustive()
    }
}

/// What handles and task have in common; none of it is state of the call centre.
struct Shared {
    pool: Pool,
    timeout: Duration,
    outbox: outbox::Outbox,
    cache: cache::Cache,
    link: watch::Receiver<Link>,
    heard: watch::Sender<Heard>,
    /// Who hears the marks.
    listener: Uuid,
    suspect: Arc<tokio::sync::Notify>,
    callbacks: watch::Sender<Callbacks>,
}

/// What the task is asked to do.
struct Command {
    verb: Verb,
    extension: Extension,
    reply: oneshot::Sender<Result<Done, Unavailable>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verb {
    LogOn(QueueName),
    LogOff(QueueName),
    Pause { queue: Option<QueueName>, reason: String },
    Resume { queue: Option<QueueName> },
    Presence(Deed),
}

/// What became of a command: of a resumption, which pauses ended and which are left.
#[derive(Debug)]
enum Done {
    Changed(Change),
    Resumed(Resumed),
}

/// On what terms the ledger writes.
#[derive(Debug)]
pub struct Terms {
    /// Sent with everything that is written: refused once another process has a newer one. `None`: nobody else writes.
    pub token: Option<Token>,
    /// Whether this process may act.
    pub fence: Fence,
    /// Where what waits is kept over a restart; `None`: nowhere.
    pub folder: Option<PathBuf>,
}

impl Terms {
    /// Of a program that shares nothing and keeps nothing.
    pub fn alone() -> Self {
        Self { token: None, fence: Fence::open(), folder: None }
    }
}

/// Whether the database can be used, or at least waited for.
///
/// # Errors
/// As [`spawn`].
pub async fn probe(config: &config::Database) -> Result<(), Fatal> {
    let fatal = |error| Fatal::new(config, error);
    match ask(&Connector::new(config).map_err(fatal)?).await {
        Ok(()) => Ok(()),
        Err(error) if error.remedy() == Remedy::Operator => Err(fatal(error)),
        Err(error) => {
            // Whoever waits for it says so.
            debug!(why = %error, "the database is not there yet");
            Ok(())
        }
    }
}

/// Starts the ledger. A server that cannot be reached is waited for: the link is down, and stays under trial.
///
/// The receiver gets the whole [`Roster`] first and after each reconnect, and each change of it, whoever made the change.
///
/// # Errors
/// [`Fatal`] when waiting would not help: wrong password, no such database, certificate not trusted, a schema that is newer or
/// older than the program.
pub async fn spawn(
    config: &config::Database,
    terms: Terms,
    stop: CancellationToken,
) -> Result<(Handle, mpsc::Receiver<News>, JoinHandle<()>), Fatal> {
    let fatal = |error| Fatal::new(config, error);
    probe(config).await?;
    let mut connector = Connector::new(config).map_err(fatal)?;
    if let Some(token) = terms.token {
        connector = connector.fenced(token);
    }
    let pool = Pool::new(&connector, config.pool_size).map_err(fatal)?;
    let listener = listen::spawn(connector, stop.clone());
    let shared = Arc::new(Shared {
        pool,
        timeout: config.timeout,
        outbox: outbox(config.outbox, &terms),
        cache: cache::Cache::new(CACHED_CUSTOMERS),
        link: listener.link,
        heard: listener.heard,
        listener: listener.id,
        suspect: listener.suspect,
        callbacks: watch::Sender::default(),
    });
    let (commands, commands_rx) = mpsc::channel(COMMANDS);
    let (news, news_rx) = mpsc::channel(NEWS);
    let task = task::Task::new(Arc::clone(&shared), commands_rx, news, stop);
    let believer = Arc::clone(&shared);
    let believing = AbortOnDropHandle::new(tokio::spawn(async move { believer.outbox.believe().await }));
    let task = tokio::spawn(async move {
        let _believing = believing;
        task.run().await;
        // It ends by the same token; a panic in it is already logged and must not pass for a clean end.
        if let Err(error) = listener.task.await {
            warn!(%error, "the database listener ended badly");
        }
    });
    Ok((Handle { shared, commands }, news_rx, task))
}

/// What waits, with what an earlier process has left. Without a folder that can be written, calls go on all the same.
fn outbox(most: usize, terms: &Terms) -> outbox::Outbox {
    let opened = terms.folder.as_ref().map(|folder| (folder, spool::Spool::open(folder)));
    let (spool, kept) = match opened {
        None => (None, Vec::new()),
        Some((folder, Ok((spool, kept)))) => {
            if !kept.is_empty() {
                info!(records = kept.len(), folder = %folder.display(), "records from before the start wait for the database");
            }
            (Some(spool), kept)
        }
        Some((folder, Err(error))) => {
            warn!(
                %error, folder = %folder.display(),
                "the folder of service.state cannot be used: records wait in memory alone, and are lost if the service ends \
                 while the database is away"
            );
            (None, Vec::new())
        }
    };
    outbox::Outbox::new(most, terms.fence.clone(), spool, kept)
}

async fn ask(connector: &Connector) -> Result<(), Error> {
    let single = connector.single(Statements::Bounded).await?;
    let within = connector.timeout();
    timeout(within, migrate::check(&single.client)).await.map_err(|_| Error::Timeout(within))?
}

impl Handle {
    /// Has a fact written, after all earlier ones. Never waits and never fails: while the database is away it is kept, over a
    /// restart as well, and beyond `database.outbox` the oldest is dropped and counted.
    pub fn record(&self, fact: Stamped) {
        self.shared.outbox.push(fact);
    }

    /// Waits until all that was recorded so far outlives this process: moments, and never longer than a bound of its own, whatever the disk does.
    pub async fn kept(&self) {
        if let Some(told) = self.shared.outbox.kept() {
            // Too late, or not at all: then it is in memory alone, which the log says.
            let _ = timeout(KEPT, told).await;
        }
    }

    /// Waits until all that was recorded so far is known to whichever process is active next: it is in the database, or nobody has
    /// taken the place of this one for so long after the database was lost that nobody will while it is away. No longer than a bound of
    /// its own: a database that takes nothing for another reason, such as a lock, has no say in what people hear.
    pub async fn passed_on(&self) {
        let mut fence = self.shared.outbox.fence();
        tokio::select! {
            () = self.shared.outbox.written() => {}
            () = fence.alone_for(TAKEN_OVER) => {}
            () = sleep(PASSED_ON) => {}
        }
    }

    /// The customer with this code, within `database.timeout`. While the database is away: one that called lately.
    ///
    /// # Errors
    /// [`Unavailable`] when the database is away and the customer is not remembered.
    pub async fn customer(&self, code: &CustomerCode) -> Result<Option<Customer>, Unavailable> {
        let why = match self.shared.standing() {
            Ok(()) => match self.shared.find(code).await {
                Ok(found) => return Ok(found),
                Err(error) => error.to_string(),
            },
            Err(Unavailable { why, .. }) => why,
        };
        match self.shared.cache.get(code) {
            Some(known) => Ok(Some(known)),
            None => Err(Unavailable::new(why)),
        }
    }

    /// The callbacks that were open at the start and the other calls that had no end then, known before the first [`Roster`] is, and
    /// the callbacks that were cancelled since.
    pub fn callbacks(&self) -> watch::Receiver<Callbacks> {
        self.shared.callbacks.subscribe()
    }

    /// Whether the database is there.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.clone()
    }

    /// What became of all facts since the start.
    pub fn counts(&self) -> Counts {
        self.shared.outbox.counts()
    }

    /// Facts that wait, to watch.
    pub fn pending(&self) -> watch::Receiver<usize> {
        self.shared.outbox.pending()
    }

    /// Whether what waits outlives the process.
    pub fn is_kept(&self) -> bool {
        self.shared.outbox.is_kept()
    }

    /// Waits until all is written, for a clean stop; before the task is told to stop. How many facts could not be.
    pub async fn flush(&self, within: Duration) -> usize {
        let mut pending = self.shared.outbox.pending();
        // Late or not, the number that is left is the answer.
        let _ = timeout(within, pending.wait_for(|count| *count == 0)).await;
        *pending.borrow()
    }
}

impl Shared {
    fn standing(&self) -> Result<(), Unavailable> {
        match &*self.link.borrow() {
            Link::Up { .. } => Ok(()),
            Link::Down { why, .. } => Err(Unavailable { why: why.clone(), asked: Asked::No }),
        }
    }

    async fn find(&self, code: &CustomerCode) -> Result<Option<Customer>, Error> {
        let heard = self.heard.borrow().customer_changes();
        let asked = self.pool.bounded(async {
            let lease = self.pool.lease().await?;
            let found = customers::find(&lease, code).await?;
            lease.done();
            Ok(found)
        });
        let found = asked.await.inspect_err(|_| self.suspect.notify_one())?;
        match &found {
            // Not after a change meanwhile: the answer may be from before it, and nobody would correct it.
            Some(customer) if self.heard.borrow().customer_changes() == heard => self.cache.put(customer.clone()),
            Some(_) => {}
            None => self.cache.forget(code),
        }
        Ok(found)
    }
}
