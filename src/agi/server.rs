//! The FastAGI server: accepts, limits, answers, and is done with every connection in time.
//!
//! A peer that is not on the list, one too many, garbage, silence or a hung-up channel ends that connection and is
//! counted; no other connection notices.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{
    Handler, RESULT, Reply, Request, UNAVAILABLE,
    protocol::{Answer, Answers, Lines, Malformed, Prelude, set_variable},
};
use crate::config;

/// The longest part of the deadline that is kept to tell the dialplan that the handler was too slow.
const RESERVE_MOST: Duration = Duration::from_millis(500);
/// How long accepting pauses when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How much is read at once: headers and arguments of a usual request are shorter.
const CHUNK: usize = 2048;

/// What one peer, and all together, may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest time from connection to the last answer.
    pub deadline: Duration,
    /// Connections at once; further ones are closed at once.
    pub most: usize,
}

impl From<&config::Agi> for Limits {
    fn from(config: &config::Agi) -> Self {
        Self { deadline: config.deadline, most: config.most }
    }
}

/// What became of the connections, each counted once.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answered in full.
    pub served: AtomicU64,
    /// The handler was too slow; the dialplan was told so.
    pub too_slow: AtomicU64,
    /// The channel hung up before its answer.
    pub hung_up: AtomicU64,
    /// Not on the allow list.
    pub not_allowed: AtomicU64,
    /// One too many.
    pub too_many: AtomicU64,
    /// Said what is not AGI, or refused a command.
    pub malformed: AtomicU64,
    /// Said too little in time, or the connection broke.
    pub broken: AtomicU64,
    /// The handler panicked: a defect.
    pub panicked: AtomicU64,
}

/// Serves until `stop`, then lets the open connections end, each within its deadline.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    limits: Limits,
    allow: Vec<IpAddr>,
    handler: Arc<H>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.most));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                count_panic(&counters, ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a FastAGI connection; raise the limit of open files if this goes on");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !allow.iter().any(|allowed| allowed.to_canonical() == peer.ip().to_canonical()) {
            add(&counters.not_allowed);
            warn!(%peer, "refused a FastAGI connection: add the address to agi.allow if it is an Asterisk server");
            continue;
        }
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            add(&counters.too_many);
            warn!(%peer, limit = limits.most, "refused a FastAGI connection: agi.most are open");
            continue;
        };
        let (handler, counters) = (Arc::clone(&handler), Arc::clone(&counters));
        connections.spawn(async move {
            attend(stream, peer, limits, &*handler, &counters).await;
            drop(slot);
        });
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        count_panic(&counters, ended);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn count_panic(counters: &Counters, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        add(&counters.panicked);
        error!(%error, "a FastAGI request panicked; the dialplan goes on as if the service were away");
    }
}

/// How a connection ended that was not answered as it should be.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("asterisk refused a command: {0}")]
    Refused(String),
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer said too little in time")]
    Silent,
    #[error("the channel hung up")]
    HungUp,
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

enum Pace {
    InTime,
    TooSlow,
}

async fn attend<H: Handler>(stream: TcpStream, peer: SocketAddr, limits: Limits, handler: &H, counters: &Counters) {
    match converse(stream, limits.deadline, handler).await {
        Ok(Pace::InTime) => add(&counters.served),
        Ok(Pace::TooSlow) => {
            add(&counters.too_slow);
            warn!(%peer, deadline = ?limits.deadline, "a FastAGI request was not done in time; answered {UNAVAILABLE}");
        }
        Err(Trouble::HungUp) => {
            add(&counters.hung_up);
            debug!(%peer, "the caller hung up during a FastAGI request");
        }
        Err(trouble @ (Trouble::Malformed(_) | Trouble::Refused(_))) => {
            add(&counters.malformed);
            warn!(%peer, %trouble, "gave up a FastAGI connection");
        }
        Err(trouble @ (Trouble::Closed | Trouble::Silent | Trouble::Io(_))) => {
            add(&counters.broken);
            warn!(%peer, %trouble, "gave up a FastAGI connection");
        }
    }
}

async fn converse<H: Handler>(stream: TcpStream, deadline: Duration, handler: &H) -> Result<Pace, Trouble> {
    let end = Instant::now() + deadline;
    let last_word = end - RESERVE_MOST.min(deadline / 4);
    // An answer is one short line, and the next command waits for it.
    stream.set_nodelay(true)?;
    let mut peer = Peer { stream, lines: Lines::default() };
    let request = timeout_at(last_word, peer.request()).await.map_err(|_| Trouble::Silent)??;
    let (reply, pace) = match timeout_at(last_word, handler.handle(request)).await {
        Ok(reply) => (reply, Pace::InTime),
        Err(_) => (Reply::new().set(RESULT, UNAVAILABLE), Pace::TooSlow),
    };
    timeout_at(end, peer.answer(&reply)).await.map_err(|_| Trouble::Silent)??;
    Ok(pace)
}

/// One connection.
struct Peer {
    stream: TcpStream,
    lines: Lines,
}

impl Peer {
    async fn request(&mut self) -> Result<Request, Trouble> {
        let mut prelude = Prelude::default();
        loop {
            let line = self.line().await?;
            if let Some(request) = prelude.line(&line)? {
                return Ok(request);
            }
        }
    }

    /// Sets the variables one by one: Asterisk overlooks a second command that comes in the packet of the first.
    async fn answer(&mut self, reply: &Reply) -> Result<(), Trouble> {
        let mut answers = Answers::default();
        for (name, value) in reply.variables() {
            self.stream.write_all(set_variable(name, value).as_bytes()).await?;
            let answer = loop {
                let line = self.line().await?;
                if let Some(answer) = answers.line(&line) {
                    break answer;
                }
            };
            match answer {
                Answer::Done { .. } => {}
                Answer::HungUp => return Err(Trouble::HungUp),
                Answer::Refused(line) => return Err(Trouble::Refused(line)),
            }
        }
        self.stream.shutdown().await?;
        Ok(())
    }

    async fn line(&mut self) -> Result<String, Trouble> {
        let mut chunk = [0; CHUNK];
        loop {
            if let Some(line) = self.lines.next_line()? {
                return Ok(line);
            }
            let count = self.stream.read(&mut chunk).await?;
            if count == 0 {
                return Err(Trouble::Closed);
            }
            self.lines.push(chunk.get(..count).unwrap_or_default());
        }
    }
}
