//! Keeps one Asterisk connected, and carries requests to it in the order in which they were made.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::SplitSink};
use jiff::Timestamp;
use rand::Rng;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use crate::{
    ari::{
        Error, Incoming, Request, Response,
        event::WANTED,
        globals::{Asked, Global, Globals, Looks},
        http::Http,
        socket::{self, Ended, Heard, Job, Proof, Waiting},
        wire::Info,
    },
    config::{self, Requests},
    domain::id::ServerId,
    fence::Fence,
    link::Link,
};

/// Events that may wait to be handled: about a minute of the busiest Asterisk. Beyond it, everything is asked anew.
pub const EVENT_BACKLOG: usize = 65_536;
/// Requests that may wait to be written; beyond it a request is refused as not sent.
const REQUEST_BACKLOG: usize = 65_536;
/// How long a server may take to answer the first request over its WebSocket before HTTP is used.
const PROBE: Duration = Duration::from_secs(1);
/// How long an asker waits for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The first pause before connecting anew, and the longest one; doubled in between, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause when another program has our application: taking it back at once would be a tug-of-war.
const REPLACED_PAUSE: Duration = Duration::from_secs(30);

type Sink = SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;

/// One Asterisk, to ask and to tell.
#[derive(Debug, Clone)]
pub struct Ari {
    server: ServerId,
    app: Arc<str>,
    jobs: mpsc::Sender<Job>,
    link: watch::Receiver<Link>,
    unknown: Arc<AtomicU64>,
}

impl Ari {
    /// Which server.
    pub fn server(&self) -> &ServerId {
        &self.server
    }

    /// The application's name.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Whether the link is up.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Events passed over since the start, because nobody acts on their type or their form was not understood.
    pub fn events_passed_over(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Sends a request. It is on its way, in order, when this returns; the answer comes to the receiver.
    pub fn send(&self, request: Request) -> Answer {
        let (reply, answer) = oneshot::channel();
        let answer = match self.jobs.try_send(Job { request, reply }) {
            Ok(()) => Some(answer),
            Err(_) => None,
        };
        Answer(answer)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask(&self, request: Request) -> Result<Response, Error> {
        self.send(request).wait().await
    }
}

/// The answer to come.
#[derive(Debug)]
pub struct Answer(Option<oneshot::Receiver<Result<Response, Error>>>);

impl Answer {
    /// Waits for it, in bounded time.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::OutcomeUnknown`] when none came.
    pub async fn wait(self) -> Result<Response, Error> {
        let Some(answer) = self.0 else { return Err(Error::NotSent) };
        match timeout(ANSWER, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::OutcomeUnknown),
        }
    }
}

/// On what terms a server is served.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Requests wait while it is closed.
    pub fence: Fence,
    /// Left on the server by whoever serves it; no two processes have the same.
    pub mark: String,
    /// To be kept in its dialplan.
    pub globals: Vec<Global>,
}

/// Starts to keep a server connected. Never gives up; what it sees goes to the receiver.
///
/// # Errors
/// When the settings cannot be used.
pub fn spawn(
    config: config::Asterisk,
    terms: Terms,
    stop: CancellationToken,
) -> Result<(Ari, mpsc::Receiver<Incoming>, JoinHandle<()>), reqwest::Error> {
    let (jobs, job_queue) = mpsc::channel(REQUEST_BACKLOG);
    let (backlog, incoming) = mpsc::channel(EVENT_BACKLOG);
    let (state, link) = watch::channel(Link::Down { since: Timestamp::now(), why: "not connected yet".into() });
    let unknown = Arc::new(AtomicU64::new(0));
    let http = Http::new(&config)?;
    let ari = Ari { server: config.server(), app: config.app.as_str().into(), jobs, link, unknown: unknown.clone() };
    let Terms { fence, mark, globals } = terms;
    fence.report_unknown(&config.name);
    let globals = Globals::new(mark, globals);
    let keeper = Keeper { config, globals, http, fence, held: None, jobs: job_queue, backlog, state, unknown, stop };
    Ok((ari, incoming, tokio::spawn(keeper.run())))
}

struct Keeper {
    config: config::Asterisk,
    globals: Globals,
    http: Http,
    fence: Fence,
    /// Was about to be sent when the fence was found closed.
    held: Option<Job>,
    jobs: mpsc::Receiver<Job>,
    backlog: mpsc::Sender<Incoming>,
    state: watch::Sender<Link>,
    unknown: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let (ended, was_up) = self.connection().await;
            self.fence.report_unknown(&self.config.name);
            if matches!(ended, Ended::Replaced) {
                self.fence.report_replaced();
            }
            let why = ended.to_string();
            self.state.send_replace(Link::Down { since: Timestamp::now(), why: why.clone() });
            if matches!(ended, Ended::Stopped) || self.backlog.send(Incoming::Down { why: why.clone() }).await.is_err()
            {
                return;
            }
            if was_up == WasUp::Yes {
                pause = FIRST_PAUSE;
            }
            let jittered = match ended {
                Ended::Replaced => REPLACED_PAUSE,
                Ended::ConnectTimeout
                | Ended::Credentials(_)
                | Ended::NoAri { .. }
                | Ended::ReadOnly
                | Ended::Socket(_)
                | Ended::Silent
                | Ended::Closed
                | Ended::Doubtful
                | Ended::Overflow(_)
                | Ended::WriteTimeout
                | Ended::Stopped => pause.mul_f64(rand::rng().random_range(0.5..1.0)),
            };
            tracing::warn!(server.name = %self.config.name, "the link to Asterisk is down: {why}; next try in {jittered:?}");
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.pause(jittered).await == Paused::Stopped {
                return;
            }
        }
    }

    /// Waits, refusing requests meanwhile.
    async fn pause(&mut self, how_long: Duration) -> Paused {
        let end = sleep(how_long);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Paused::Over,
                () = self.stop.cancelled() => return Paused::Stopped,
                job = self.jobs.recv() => match job {
                    Some(job) => drop(job.reply.send(Err(Error::NotSent))),
                    None => return Paused::Stopped,
                },
            }
        }
    }

    /// One connection, from its making to its end.
    async fn connection(&mut self) -> (Ended, WasUp) {
        let connected = tokio::select! {
            connected = self.take_place() => connected,
            () = self.stop.cancelled() => return (Ended::Stopped, WasUp::No),
        };
        let (mut sink, stream) = match connected {
            Ok(ws) => ws.split(),
            Err(ended) => return (ended, WasUp::No),
        };
        let waiting = Waiting::default();
        let heard = Heard {
            backlog: self.backlog.clone(),
            waiting: waiting.clone(),
            unknown: self.unknown.clone(),
            proof: Proof::new(&self.config.name, self.fence.clone()),
        };
        let proof = heard.proof.clone();
        let mut reader = tokio::spawn(socket::read(stream, heard));
        let ended = self.serve(&mut sink, &waiting, &proof, &mut reader).await;
        reader.abort();
        waiting.give_up();
        ended
    }

    async fn serve(
        &mut self,
        sink: &mut Sink,
        waiting: &Waiting,
        proof: &Proof,
        reader: &mut JoinHandle<Ended>,
    ) -> (Ended, WasUp) {
        if let Err(ended) = self.until_open(sink, proof, reader).await {
            return (ended, WasUp::No);
        }
        let way = match self.choose_way(sink, waiting).await {
            Ok(way) => way,
            Err(ended) => return (ended, WasUp::No),
        };
        // What was asked while the link was down was answered then; anything left over is stale.
        let held = self.held.take();
        for job in held.into_iter().chain(std::iter::from_fn(|| self.jobs.try_recv().ok())) {
            let _ = job.reply.send(Err(Error::NotSent));
        }
        self.state.send_replace(Link::Up { since: Timestamp::now() });
        if self.backlog.send(Incoming::Up).await.is_err() {
            return (Ended::Stopped, WasUp::Yes);
        }
        let mut ping = socket::next_ping();
        let mut looks = Looks::default();
        loop {
            let mut fence = self.fence.clone();
            let open = fence.holds();
            let done = tokio::select! {
                ended = &mut *reader => return (ended.unwrap_or(Ended::Closed), WasUp::Yes),
                () = self.stop.cancelled() => {
                    // Bounded, and of no consequence if it fails: Asterisk sees the end of the connection anyway.
                    let _ = socket::put(sink, Message::Close(None)).await;
                    return (Ended::Stopped, WasUp::Yes);
                }
                () = sleep_until(ping) => {
                    ping = socket::next_ping();
                    match self.look_at_globals(way, sink, waiting, &mut looks).await {
                        Ok(()) => socket::put(sink, proof.ask()).await,
                        Err(ended) => Err(ended),
                    }
                }
                Some(wrong) = looks.next(&self.globals) => match wrong {
                    Some((name, request)) if self.fence.holds() => {
                        tracing::warn!(server.name = %self.config.name, "{name} was changed on this Asterisk: setting it again");
                        self.ask(way, sink, waiting, request).await.map(|asked| looks.add(None, asked))
                    }
                    Some(_) | None => Ok(()),
                },
                // Asked for by a process that may have been stopped since: it waits until that is known to be of no harm.
                () = fence.opened(), if !open => Ok(()),
                job = next(&mut self.held, &mut self.jobs), if open => match job {
                    None => return (Ended::Stopped, WasUp::Yes),
                    // Looked at again: between the last look and this line the process may have been stopped.
                    Some(job) if !self.fence.holds() => {
                        self.held = Some(job);
                        Ok(())
                    }
                    Some(job) => match way {
                        Way::Socket => socket::write(sink, waiting, job).await,
                        Way::Http => {
                            // One after the other, so that they keep their order.
                            let result = self.http.send(&job.request).await;
                            let _ = job.reply.send(result);
                            Ok(())
                        }
                    },
                },
            };
            if let Err(ended) = done {
                return (ended, WasUp::Yes);
            }
        }
    }

    /// Finds out how this server takes requests, and asks it for the events that count.
    async fn choose_way(&self, sink: &mut Sink, waiting: &Waiting) -> Result<Way, Ended> {
        let mut way = Way::Http;
        if self.config.requests != Requests::Http {
            let asked = self.over_socket(sink, waiting, Request::info()).await?;
            match (asked, self.config.requests) {
                (Some(_), _) => way = Way::Socket,
                (None, Requests::Websocket) => tracing::warn!(
                    server.name = %self.config.name,
                    "this Asterisk does not answer over its WebSocket (needs 20.14, 21.9 or 22.4): using HTTP"
                ),
                (None, Requests::Auto | Requests::Http) => {}
            }
        }
        let app = &self.config.app;
        let set_up = [Request::filter_events(app, &WANTED), Request::subscribe(app, "endpoint:PJSIP")];
        for request in set_up.into_iter().chain(self.globals.set()) {
            let result = match way {
                Way::Socket => self.over_socket(sink, waiting, request).await?.unwrap_or(Err(Error::OutcomeUnknown)),
                Way::Http => self.http.send(&request).await,
            };
            if matches!(result, Err(Error::Refused { status: 403, .. })) {
                tracing::error!(server.name = %self.config.name, "{}", Ended::ReadOnly);
                return Err(Ended::ReadOnly);
            }
            if let Err(error) = result {
                tracing::warn!(server.name = %self.config.name, %error, "Asterisk would not be set up as it should");
            }
        }
        let version = match way {
            Way::Socket => {
                self.over_socket(sink, waiting, Request::info()).await?.unwrap_or(Err(Error::OutcomeUnknown))
            }
            Way::Http => self.http.send(&Request::info()).await,
        };
        let version = version.and_then(|r| r.json::<Info>()).map(|info| info.system.version).unwrap_or_default();
        tracing::info!(server.name = %self.config.name, asterisk.version = version, requests = ?way, "the link to Asterisk is up");
        Ok(way)
    }

    async fn look_at_globals(
        &self,
        way: Way,
        sink: &mut Sink,
        waiting: &Waiting,
        looks: &mut Looks,
    ) -> Result<(), Ended> {
        for (place, request) in self.globals.look() {
            looks.add(Some(place), self.ask(way, sink, waiting, request).await?);
        }
        Ok(())
    }

    /// Asks something of the link's own, and does not wait for the answer.
    async fn ask(&self, way: Way, sink: &mut Sink, waiting: &Waiting, request: Request) -> Result<Asked, Ended> {
        match way {
            Way::Socket => {
                let (reply, answer) = oneshot::channel();
                socket::write(sink, waiting, Job { request, reply }).await?;
                Ok(Box::pin(async move { answer.await.unwrap_or(Err(Error::OutcomeUnknown)) }))
            }
            Way::Http => {
                let http = self.http.clone();
                Ok(Box::pin(async move { http.send(&request).await }))
            }
        }
    }

    async fn over_socket(
        &self,
        sink: &mut Sink,
        waiting: &Waiting,
        request: Request,
    ) -> Result<Option<Result<Response, Error>>, Ended> {
        let (reply, answer) = oneshot::channel();
        socket::write(sink, waiting, Job { request, reply }).await?;
        let deadline = Instant::now() + PROBE;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(result)) => Ok(Some(result)),
            Ok(Err(_)) => Err(Ended::Closed),
            Err(_) => Ok(None),
        }
    }
}

/// The next request to send.
async fn next(held: &mut Option<Job>, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
    match held.take() {
        Some(job) => Some(job),
        None => jobs.recv().await,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WasUp {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paused {
    Over,
    Stopped,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Socket,
    Http,
}

mod place;
#[cfg(test)]
mod tests;
