//! Turns pops into HTTP requests, for software that speaks no XMPP.
//!
//! ```text
//!   XMPP ──▶ client ──events──▶ Bridge ──▶ one request a call at a time ──▶ receiver
//!                                 │  ▲            │
//!                                 ▼  └──outcomes──┘
//!                               Store
//! ```
//!
//! One task owns what is open ([`calls`]) and what waits ([`outbox`]), both pure. What happened is in the [`store`], together
//! with the requests that follow from it, before any of them goes out; a request leaves the store when its receiver has
//! taken it, or when it is given up. So each is sent at least once, whatever dies.

pub mod calls;
pub mod config;
pub mod outbox;
pub mod request;
pub mod retry;
pub mod sender;
pub mod sign;
pub mod store;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bridge::{
        calls::{Calls, Key, Step},
        config::Config,
        outbox::{Delivery, Outbox, Try},
        retry::{Decision, Outcome, Policy},
        sender::Sender,
        store::{Change, Store},
    },
    client::{Event, Node, Told, watch_all},
    seen::Seen,
};

/// How long requests that are on their way may take when the bridge is told to stop. What has no answer then is sent again
/// by the next run.
const GRACE: Duration = Duration::from_secs(5);

/// Why a bridge ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The other side of XMPP wants something that a person has to see to.
    #[error("{0}")]
    Xmpp(String),
    /// What happened cannot be kept.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A request cannot be made at all.
    #[error(transparent)]
    Sender(#[from] sender::Error),
    /// A task died.
    #[error("a task of the bridge died")]
    Task(#[from] JoinError),
}

/// Runs a bridge until it is told to stop, or until something that no retry helps against.
///
/// # Errors
/// See [`Failure`].
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failure> {
    let nodes: Vec<String> =
        config.extensions.iter().map(|extension| format!("{}{extension}", config.node_prefix)).collect();
    let mut bridge = Bridge::open(&config, &nodes).await?;
    let nodes = nodes.into_iter().map(|name| Node { seen: bridge.seen(&name), name }).collect();
    let events = watch_all(config.account, config.pubsub, nodes);
    let end = bridge.work(events, &stop).await;
    bridge.finish().await?;
    end
}

/// What is open, what waits, and what is on its way.
#[derive(Debug)]
pub struct Bridge {
    calls: Calls,
    outbox: Outbox,
    policy: Policy,
    sender: Arc<Sender>,
    store: Arc<Store>,
    flying: JoinSet<(Key, Outcome)>,
}

impl Bridge {
    /// Goes on where an earlier run ended. Calls that are open on a node that is not watched any more get their end.
    ///
    /// # Errors
    /// When the store cannot be used, or the receiver's settings.
    pub async fn open(config: &Config, nodes: &[String]) -> Result<Self, Failure> {
        let sender = Arc::new(Sender::new(&config.receiver)?);
        let (folder, format) = (config.state.clone(), config.receiver.format.name());
        let (store, kept) = tokio::task::spawn_blocking(move || Store::open(&folder, format)).await??;
        let mut outbox = Outbox::new(config.receiver.room, config.receiver.at_once);
        if !kept.waiting.is_empty() {
            tracing::info!("{} requests wait from an earlier run", kept.waiting.len());
        }
        let mut dropped = Vec::new();
        for (number, delivery) in kept.waiting {
            dropped.extend(outbox.push(number, delivery));
        }
        let calls = Calls::new(kept.open, kept.over);
        let store = Arc::new(store);
        let mut bridge = Self { calls, outbox, policy: config.receiver.policy, sender, store, flying: JoinSet::new() };
        bridge.forget(dropped).await?;
        let watched: BTreeSet<&String> = nodes.iter().collect();
        for key in bridge.calls.open().map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            if !watched.contains(&key.node) {
                let step = bridge.calls.closed(&key, Timestamp::now());
                bridge.tell(step).await?;
            }
        }
        Ok(bridge)
    }

    /// What was told of a node by earlier runs.
    pub fn seen(&self, node: &str) -> Seen {
        let open = self.calls.open().filter(|(key, _)| key.node == node);
        let over = self.calls.over().filter(|(key, _)| key.node == node);
        Seen::resumed(
            open.map(|(key, life)| (key.call.clone(), life.pop.revision)),
            over.map(|(key, over)| (key.call.clone(), over.last)),
        )
    }

    /// Turns events into requests until told to stop, or until the events end.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn work(
        &mut self,
        mut events: mpsc::Receiver<Result<Told, String>>,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        loop {
            self.launch();
            let due = self.outbox.deadline();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = events.recv() => match event {
                    Some(Ok(told)) => self.event(told).await?,
                    Some(Err(why)) => return Err(Failure::Xmpp(why)),
                    None => return Ok(()),
                },
                Some(outcome) = self.flying.join_next() => {
                    let (key, outcome) = outcome?;
                    self.outcome(&key, outcome).await?;
                }
                () = async { tokio::time::sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            }
        }
    }

    /// Waits a moment for what is on its way; the rest stays in the store.
    ///
    /// # Errors
    /// When the store does not take what was answered.
    pub async fn finish(mut self) -> Result<(), Failure> {
        let end = Instant::now() + GRACE;
        while let Ok(Some(outcome)) = tokio::time::timeout_at(end, self.flying.join_next()).await {
            let (key, outcome) = outcome?;
            self.outcome(&key, outcome).await?;
        }
        if self.outbox.waiting() > 0 {
            tracing::info!("{} requests wait for the next run", self.outbox.waiting());
        }
        Ok(())
    }

    async fn event(&mut self, told: Told) -> Result<(), Failure> {
        let node = told.node.unwrap_or_default();
        let now = Timestamp::now();
        let step = match told.event {
            Event::Pop(pop) => self.calls.revision(&node, pop, now),
            Event::Closed { call } => self.calls.closed(&Key { node, call }, now),
            Event::LinkUp => {
                tracing::info!("connected");
                None
            }
            Event::LinkDown { why } => {
                tracing::warn!("not connected: {why}");
                None
            }
            Event::Subscribed => {
                tracing::info!(node, "subscribed");
                None
            }
            Event::Waiting { why } => {
                tracing::warn!(node, "{why}");
                None
            }
            Event::Malformed { item, why } => {
                tracing::warn!(node, item, "an item is passed over: {why}");
                None
            }
        };
        self.tell(step).await
    }

    /// Keeps what happened, with the requests that follow from it, and puts these in line.
    async fn tell(&mut self, step: Option<Step>) -> Result<(), Failure> {
        let Some(step) = step else { return Ok(()) };
        let deliveries = self.sender.format().deliveries(&step);
        let change = Change { step, forgotten: self.calls.forget(Timestamp::now()), deliveries: deliveries.clone() };
        let store = Arc::clone(&self.store);
        let first = tokio::task::spawn_blocking(move || store.happened(&change)).await??;
        let mut dropped = Vec::new();
        for (number, delivery) in (first..).zip(deliveries) {
            dropped.extend(self.outbox.push(number, delivery));
        }
        self.forget(dropped).await
    }

    /// What is given up leaves the store, and the log says so.
    async fn forget(&mut self, dropped: Vec<(u64, Delivery)>) -> Result<(), Failure> {
        for (number, delivery) in dropped {
            tracing::error!(
                event.id = delivery.id,
                call.id = delivery.key.call,
                "too many requests wait: {delivery} is dropped"
            );
            self.settled(number).await?;
        }
        Ok(())
    }

    async fn settled(&self, number: u64) -> Result<(), Failure> {
        let store = Arc::clone(&self.store);
        Ok(tokio::task::spawn_blocking(move || store.settled(number)).await??)
    }

    /// Sends what may go out now.
    fn launch(&mut self) {
        while let Some(Try { delivery, number: _ }) = self.outbox.next(Instant::now()) {
            let sender = Arc::clone(&self.sender);
            self.flying.spawn(async move {
                let outcome = sender.send(&delivery).await;
                (delivery.key, outcome)
            });
        }
    }

    async fn outcome(&mut self, key: &Key, outcome: Outcome) -> Result<(), Failure> {
        let now = Instant::now();
        let Some(head) = self.outbox.flown(key) else { return Ok(()) };
        let decision = retry::decide(&outcome, head.history(now), &self.policy, rand::random());
        let (id, delivery) = (head.delivery.id.clone(), head.delivery.to_string());
        if let Decision::Again { after, why } = decision {
            tracing::warn!(event.id = id, "{delivery} is tried again in {after:.1?}: {why}");
            self.outbox.again(key, now + after, outcome.may_have_arrived());
            return Ok(());
        }
        if let Some(number) = self.outbox.settle(key) {
            self.settled(number).await?;
        }
        // Only now: what the log calls delivered is not sent again.
        match decision {
            Decision::Done => tracing::info!(event.id = id, "{delivery} is delivered"),
            Decision::TakenBefore { status } => {
                tracing::info!(event.id = id, "{delivery} is answered {status}: an earlier try must have arrived");
            }
            Decision::GiveUp { why } => tracing::error!(event.id = id, "{delivery} is dropped: {why}"),
            Decision::Again { .. } => {}
        }
        Ok(())
    }
}
