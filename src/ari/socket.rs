//! One WebSocket to Asterisk, from the handshake to its end.
//!
//! ```text
//!   Asterisk ══▶ reader (1x) ──Event──▶ backlog ──▶ whoever called spawn()
//!                   │ RESTResponse ──▶ waiting (id → oneshot)
//!   Asterisk ◀══ writer (1x) ◀── requests in order, pings
//! ```
//!
//! The reader never waits: Asterisk cuts a reader that is slower than 100 ms. If the backlog is full, the connection is
//! ended, which makes it a gap and everything is asked for anew: no event is lost unseen.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::Engine;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use secrecy::ExposeSecret;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

use crate::{
    ari::{
        Error, Event, Incoming, Request, Response,
        request::encode,
        wire::{AnyEvent, RestRequest},
    },
    config,
    fence::Fence,
};

/// How often Asterisk is asked for a sign of life.
pub(super) const PING_EVERY: Duration = Duration::from_secs(2);
/// How long nothing at all may arrive before the link counts as dead. A silent death is seen within this time.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// The longest time for TCP, TLS and the WebSocket handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest time for the socket to take what is written to it.
const WRITE: Duration = Duration::from_secs(3);

pub(super) type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where an answer goes.
type Reply = oneshot::Sender<Result<Response, Error>>;

/// Requests that were sent and not answered yet.
#[derive(Debug, Default, Clone)]
pub(super) struct Waiting {
    map: Arc<Mutex<HashMap<u64, Reply>>>,
    next: Arc<AtomicU64>,
}

impl Waiting {
    pub(super) fn add(&self, reply: Reply) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        map.retain(|_, reply| !reply.is_closed());
        map.insert(id, reply);
        id
    }

    fn answer(&self, id: u64, result: Result<Response, Error>) {
        let reply = self.map.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(reply) = reply {
            // The asker may have given up: then nobody listens.
            let _ = reply.send(result);
        }
    }

    /// Everything that was sent may or may not have been executed.
    pub(super) fn give_up(&self) {
        for (_, reply) in self.map.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            let _ = reply.send(Err(Error::OutcomeUnknown));
        }
    }
}

/// What the status 403 to a request that changes something says.
pub(super) const READ_ONLY: &str = "the user of ari.conf may only read, so that no call can be taken there: set read_only=no for \
    asterisk.user in ari.conf, and run `asterisk -rx 'module reload res_ari.so'`";

/// What ends a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("cannot connect within {CONNECT:?}")]
    ConnectTimeout,
    #[error("the user or the password of ari.conf is wrong (status {0}): check asterisk.user and its password file")]
    Credentials(u16),
    #[error(
        "there is no ARI at {url} (status {status}): check http.conf (enabled, prefix), ari.conf (enabled) and asterisk.url"
    )]
    NoAri { url: String, status: u16 },
    #[error("{READ_ONLY}")]
    ReadOnly,
    #[error("{0}")]
    Socket(#[source] Box<tungstenite::Error>),
    #[error("nothing was heard for {SILENCE:?}")]
    Silent,
    #[error("the server closed the connection")]
    Closed,
    #[error("another program has taken over the application: only one usher may serve an Asterisk")]
    Replaced,
    #[error("whether it is our place is not known")]
    Doubtful,
    #[error("{0} events are waiting to be handled; starting afresh")]
    Overflow(usize),
    #[error("the socket took nothing for {WRITE:?}")]
    WriteTimeout,
    #[error("asked to stop")]
    Stopped,
}

impl From<tungstenite::Error> for Ended {
    fn from(error: tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}

/// Opens the event WebSocket.
pub(super) async fn connect(config: &config::Asterisk) -> Result<Ws, Ended> {
    let base = config.url.replacen("http", "ws", 1);
    let url = format!("{base}/ari/events?app={}&subscribeAll=false", encode(&config.app));
    let mut request = url.as_str().into_client_request()?;
    let password = config.password.as_ref().map_or("", |secret| secret.expose_secret());
    let token = base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", config.user));
    let mut header = HeaderValue::from_str(&format!("Basic {token}"))
        .map_err(tungstenite::http::Error::from)
        .map_err(tungstenite::Error::from)?;
    header.set_sensitive(true);
    request.headers_mut().insert("Authorization", header);
    let limits = WebSocketConfig::default().max_message_size(Some(64 << 20)).max_frame_size(Some(64 << 20));
    let connecting = tokio_tungstenite::connect_async_with_config(request, Some(limits), true);
    match timeout(CONNECT, connecting).await {
        Err(_) => Err(Ended::ConnectTimeout),
        Ok(Ok((ws, _))) => Ok(ws),
        Ok(Err(tungstenite::Error::Http(response))) => Err(match response.status().as_u16() {
            status @ (401 | 403) => Ended::Credentials(status),
            status => Ended::NoAri { url: config.url.clone(), status },
        }),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// Where what is read goes.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) backlog: mpsc::Sender<Incoming>,
    pub(super) waiting: Waiting,
    pub(super) unknown: Arc<AtomicU64>,
    pub(super) proof: Proof,
}

/// That the application is still ours. Asterisk tells a replaced connection so before it answers anything asked later: whatever
/// ping is answered, nobody had taken our place when it was sent.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    server: String,
    fence: Fence,
    start: std::time::Instant,
}

impl Proof {
    pub(super) fn new(server: &str, fence: Fence) -> Self {
        Self { server: server.into(), fence, start: std::time::Instant::now() }
    }

    /// A ping that says when it was sent.
    pub(super) fn ask(&self) -> Message {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Message::Ping(micros.to_be_bytes().to_vec().into())
    }

    /// Takes in the answer to one.
    fn answered(&self, payload: &[u8]) {
        if let Ok(micros) = payload.try_into().map(u64::from_be_bytes) {
            self.fence.report_proof(&self.server, self.start + Duration::from_micros(micros));
        }
    }
}

/// Reads until the end of the connection.
pub(super) async fn read(mut stream: SplitStream<Ws>, heard: Heard) -> Ended {
    let Heard { backlog, waiting, unknown, proof } = heard;
    loop {
        let message = match timeout(SILENCE, stream.next()).await {
            Err(_) => return Ended::Silent,
            Ok(None) => return Ended::Closed,
            Ok(Some(Err(error))) => return error.into(),
            Ok(Some(Ok(message))) => message,
        };
        let text = match &message {
            Message::Text(text) => text.as_str(),
            Message::Close(_) => return Ended::Closed,
            Message::Pong(payload) => {
                proof.answered(payload);
                continue;
            }
            Message::Binary(_) | Message::Ping(_) | Message::Frame(_) => continue,
        };
        let any: AnyEvent = match serde_json::from_str(text) {
            Ok(any) => any,
            Err(error) => {
                unknown.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "an event of a form that is not understood was passed over");
                continue;
            }
        };
        match any.kind.as_str() {
            "RESTResponse" => {
                let Ok(id) = any.request_id.parse() else { continue };
                waiting.answer(id, sort(any.status_code, any.message_body));
            }
            "ApplicationReplaced" => return Ended::Replaced,
            _ => match Event::from_wire(any) {
                None => {
                    unknown.fetch_add(1, Ordering::Relaxed);
                }
                Some(event) => {
                    if backlog.try_send(Incoming::Event(event)).is_err() {
                        return Ended::Overflow(backlog.max_capacity());
                    }
                }
            },
        }
    }
}

/// Sorts an answer by its status.
pub(super) fn sort(status: u16, body: String) -> Result<Response, Error> {
    if (200..300).contains(&status) {
        return Ok(Response { body });
    }
    let message = serde_json::from_str::<serde_json::Value>(&body)
        .ok()
        .and_then(|value| value.get("message").and_then(|m| m.as_str()).map(str::to_owned))
        .unwrap_or(body);
    Err(Error::from_status(status, message))
}

/// A request on its way, with whom to answer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: Reply,
}

/// Writes one request.
pub(super) async fn write(sink: &mut SplitSink<Ws, Message>, waiting: &Waiting, job: Job) -> Result<(), Ended> {
    let Job { request, reply } = job;
    let id = waiting.add(reply).to_string();
    let wire = RestRequest {
        kind: "RESTRequest",
        transaction_id: "usher",
        request_id: &id,
        method: request.method.as_str(),
        uri: &request.uri(),
        content_type: request.body.as_ref().map(|_| "application/json"),
        message_body: request.body.as_ref().map(ToString::to_string),
    };
    let text = serde_json::to_string(&wire).unwrap_or_default();
    put(sink, Message::text(text)).await
}

/// Writes a message, in bounded time.
pub(super) async fn put(sink: &mut SplitSink<Ws, Message>, message: Message) -> Result<(), Ended> {
    match timeout(WRITE, sink.send(message)).await {
        Err(_) => Err(Ended::WriteTimeout),
        Ok(result) => Ok(result?),
    }
}

/// The next moment for a ping.
pub(super) fn next_ping() -> Instant {
    Instant::now() + PING_EVERY
}
