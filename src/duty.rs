//! Service: which of two processes with one configuration is active. Owns the lease, and the gate before the outer world.
//!
//! ```text
//!   Candidate ──look, every 250 ms──▶ PostgreSQL        standby: nothing else is connected
//!      │ free, dead or silent: take
//!      ▼
//!   Office (1x) ──renew, every second──▶ PostgreSQL     active
//!      │ ▲ "replaced", proofs of Asterisk's connections
//!      ▼ │
//!     Gate ─▶ Fence (ari, xmpp, ledger)                 looked at right before anything is sent
//! ```
//!
//! What is to be done is decided by [`crate::domain::lease`].

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    config,
    db::{
        Error,
        lease::{self, Renewal, Renewed},
        pool::{Connector, Single, Statements},
    },
    domain::lease::{Ground, Heard, Hold, RENEW_EVERY, Seen, Standing, Token, Verdict, Watch},
    fence::{Fence, Gate},
    link::Link,
};

/// How often the standby looks. Its share of the time to take over.
const LOOK: Duration = Duration::from_millis(250);
/// How often the active one looks at its own state while nothing is heard: well within [`crate::domain::lease::ALONE`].
const TICK: Duration = Duration::from_millis(250);
/// How long the database may take to answer: shorter than a lease by so much that a second try fits in.
const ANSWER: Duration = Duration::from_secs(1);
/// Wait after a renewal that failed.
const RETRY: Duration = Duration::from_millis(250);

/// A process that would be active.
#[derive(Debug)]
pub struct Candidate {
    connector: Connector,
    /// This process, among all that were and will be.
    holder: Uuid,
    link: watch::Sender<Link>,
}

/// What the active one is given.
#[derive(Debug)]
pub struct Office {
    /// Grows with each change of hands.
    pub token: Token,
    /// Names this process and this term of it: no two are alike.
    pub mark: String,
    /// Whether it may act.
    pub fence: Fence,
    /// Ends when the office is lost, or given back when asked to stop.
    pub task: JoinHandle<End>,
}

/// How an office ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Another process is active.
    Lost,
    /// Given back.
    GivenBack,
}

impl Candidate {
    /// Takes over the settings; connects to nothing.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(config: &config::Database) -> Result<Self, Error> {
        let link = watch::Sender::new(Link::Down { since: Timestamp::now(), why: "not connected yet".into() });
        Ok(Self { connector: Connector::new(config)?, holder: Uuid::new_v4(), link })
    }

    /// Whether the database is there, as far as the standby can tell.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Waits until this process is to be active. Cancelling is safe: a lease that is taken and not used runs out.
    pub async fn elected(&self, stop: CancellationToken) -> Office {
        let mut watch = Watch::default();
        let mut single = None;
        let mut told = None;
        loop {
            match self.look(&mut single, &mut watch).await {
                Ok(Looked::Elected { asked, token, single }) => return self.office(asked, token, single, stop),
                Ok(Looked::Standby) => {
                    self.link.send_if_modified(|link| {
                        let news = !link.is_up();
                        if news {
                            *link = Link::Up { since: Timestamp::now() };
                        }
                        news
                    });
                    if told != Some(Told::Standby) {
                        tracing::info!("another process is active: standing by");
                        told = Some(Told::Standby);
                    }
                }
                Err(error) => {
                    single = None;
                    watch.blind();
                    let why = error.to_string();
                    if told != Some(Told::Away) {
                        tracing::warn!(%why, "waiting for the database: without it nobody knows who is active");
                        told = Some(Told::Away);
                    }
                    self.link.send_replace(Link::Down { since: Timestamp::now(), why });
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&self, single: &mut Option<Single>, watch: &mut Watch<Renewal>) -> Result<Looked, Error> {
        let connected = match single.take() {
            Some(connected) => connected,
            None => self.connector.single(Statements::Bounded).await?,
        };
        let row = in_time(lease::look(&connected.client)).await?;
        let verdict = watch.step(row.seen, Instant::now());
        if verdict == Verdict::Take {
            let asked = Instant::now();
            if let Some(token) = in_time(lease::take(&connected.client, self.holder, &row)).await? {
                let from = match row.seen {
                    Seen::Free => "nobody held it",
                    Seen::Held { .. } => "its holder is dead or silent",
                };
                tracing::info!(lease.token = token.0, "active: the lease is ours, {from}");
                return Ok(Looked::Elected { asked, token, single: connected });
            }
        }
        *single = Some(connected);
        Ok(Looked::Standby)
    }

    fn office(&self, asked: Instant, token: Token, single: Single, stop: CancellationToken) -> Office {
        let hold = Hold::new(asked);
        let (gate, fence) = Gate::new(asked + crate::domain::lease::LEASE);
        let keeper = Keeper { connector: self.connector.clone(), holder: self.holder, token, hold, gate };
        let task = tokio::spawn(keeper.run(single, asked, stop));
        Office { token, mark: format!("{}-{}", self.holder, token.0), fence, task }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Standby,
    Away,
}

enum Looked {
    Elected { asked: Instant, token: Token, single: Single },
    Standby,
}

struct Keeper {
    connector: Connector,
    holder: Uuid,
    token: Token,
    hold: Hold,
    gate: Gate,
}

/// A renewal under way; it has the connection meanwhile, and gives it back if it still works.
type Asking = Pin<Box<dyn Future<Output = (Heard, Option<Single>)> + Send>>;

impl Keeper {
    async fn run(mut self, single: Single, asked: Instant, stop: CancellationToken) -> End {
        let mut idle = Some(single);
        let mut asking: Option<Asking> = None;
        let mut next = asked + RENEW_EVERY;
        let mut tick = interval(TICK);
        let mut shown = Standing::Sure { until: asked, ground: Ground::Lease };
        loop {
            if idle.as_ref().is_some_and(|single| single.client.is_closed()) {
                // At once: a holder whose connection is gone counts as dead soon.
                idle = None;
                next = Instant::now();
            }
            if asking.is_none() && Instant::now() >= next {
                asking = Some(Box::pin(renew(self.connector.clone(), idle.take(), self.holder, self.token)));
            }
            let heard = tokio::select! {
                () = stop.cancelled() => {
                    self.give_back(idle).await;
                    return End::GivenBack;
                }
                () = self.gate.replaced() => {
                    tracing::warn!("another program has taken our place on an Asterisk: asking the database who is active");
                    next = Instant::now();
                    Heard::Replaced
                }
                (heard, single) = answered(&mut asking) => {
                    asking = None;
                    idle = single;
                    next = Instant::now() + if heard == Heard::Unreachable { RETRY } else { RENEW_EVERY };
                    heard
                }
                _ = tick.tick() => Heard::Tick,
            };
            let mut standing = self.hold.step(heard, Instant::now());
            if let Some(asked) = self.gate.proven()
                && standing == Standing::Doubtful
            {
                standing = self.hold.step(Heard::Proven { asked }, Instant::now());
            }
            if self.show(standing, &mut shown) == Some(End::Lost) {
                return End::Lost;
            }
        }
    }

    /// Moves the gate, and says what has changed.
    fn show(&self, standing: Standing, shown: &mut Standing) -> Option<End> {
        let changed = std::mem::discriminant(shown) != std::mem::discriminant(&standing);
        *shown = standing;
        match standing {
            Standing::Sure { until, ground } => {
                match ground {
                    Ground::Lease => self.gate.set(until),
                    Ground::Alone => self.gate.set_alone(until),
                }
                if changed {
                    tracing::info!(lease.token = self.token.0, "it is certain again that nobody else is active");
                }
                None
            }
            Standing::Doubtful => {
                self.gate.set(Instant::now());
                if changed {
                    tracing::warn!(
                        lease.token = self.token.0,
                        "another process may be active: nothing is sent until it is known"
                    );
                }
                None
            }
            Standing::Lost => {
                self.gate.set(Instant::now());
                tracing::warn!(lease.token = self.token.0, "another process is active");
                Some(End::Lost)
            }
        }
    }

    async fn give_back(&self, single: Option<Single>) {
        let given = async {
            let single = match single {
                Some(single) => single,
                None => self.connector.single(Statements::Bounded).await?,
            };
            lease::give_back(&single.client, self.holder, self.token).await
        };
        if let Err(error) = in_time(given).await {
            tracing::warn!(%error, "the lease could not be given back: the next one waits until it is over");
        }
    }
}

async fn answered(asking: &mut Option<Asking>) -> (Heard, Option<Single>) {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn renew(connector: Connector, single: Option<Single>, holder: Uuid, token: Token) -> (Heard, Option<Single>) {
    let single = match single {
        Some(single) => single,
        None => match in_time(connector.single(Statements::Bounded)).await {
            Ok(single) => single,
            Err(error) => {
                tracing::debug!(%error, "the lease could not be renewed");
                return (Heard::Unreachable, None);
            }
        },
    };
    let asked = Instant::now();
    match in_time(lease::renew(&single.client, holder, token)).await {
        Ok(Renewed::Yes) => (Heard::Renewed { asked }, Some(single)),
        Ok(Renewed::Taken) => (Heard::Taken, Some(single)),
        Err(error) => {
            tracing::debug!(%error, "the lease could not be renewed");
            (Heard::Unreachable, None)
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(ANSWER, work).await.map_err(|_| Error::Timeout(ANSWER))?
}
