//! `/live` and `/ready`: for systemd, load balancers, monitoring, and people with curl.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::link::Link;

/// Connections at once; further ones are closed at once. They are never to take the descriptors that calls need.
const MOST: usize = 64;
/// The longest time from a connection to its one answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long accepting pauses when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// All links, by the name under which they are shown.
pub type Links = BTreeMap<String, watch::Receiver<Link>>;

/// Numbers that only grow, asked for when somebody looks: by subject, then name.
pub type Counters = Arc<dyn Fn() -> BTreeMap<String, BTreeMap<&'static str, u64>> + Send + Sync>;

/// Whether this process does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duty {
    /// It does.
    Active,
    /// Another one does, or nobody; this one waits for its turn.
    Standby,
}

/// What is shown at the moment.
#[derive(Clone)]
pub struct Sources {
    /// Whether this process does the work.
    pub duty: Duty,
    /// Where its FastAGI server listens, if it does.
    pub agi: Option<SocketAddr>,
    /// Its links.
    pub links: Links,
    /// Its counters.
    pub counters: Counters,
}

impl Sources {
    /// Of a process that waits for its turn.
    pub fn standby(links: Links) -> Self {
        Self { duty: Duty::Standby, agi: None, links, counters: Arc::new(BTreeMap::new) }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("duty", &self.duty).finish_non_exhaustive()
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    up: bool,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    duty: Duty,
    #[serde(skip_serializing_if = "Option::is_none")]
    agi: Option<SocketAddr>,
    links: BTreeMap<String, Shown>,
    counters: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

/// Answers until asked to stop: one request for each connection.
pub async fn serve(listener: TcpListener, sources: watch::Receiver<Sources>, stop: CancellationToken) {
    let router =
        Router::new().route("/live", get(|| async { "live\n" })).route("/ready", get(ready)).with_state(sources);
    let slots = Arc::new(Semaphore::new(MOST));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for /live and /ready; raise the limit of open files if this goes on");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.keep_alive(false).timer(TokioTimer::new());
            // Whoever is gone, too slow, or speaks something else has no answer.
            let _ended = timeout(DEADLINE, http.serve_connection(TokioIo::new(stream), service)).await;
            drop(slot);
        });
    }
}

/// Opens the socket.
///
/// # Errors
/// When the address cannot be had; the text says which.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|e| anyhow::anyhow!("cannot listen on {address} (service.health_listen): {e}"))
}

/// What a running usher says of itself.
#[derive(Debug, Deserialize)]
pub struct Running {
    /// Whether it does the work.
    pub duty: Duty,
    /// Where its FastAGI server listens, if it does.
    pub agi: Option<SocketAddr>,
}

/// Asks the usher at this address; `None` if none answers there in this time.
pub async fn ask(address: SocketAddr, within: Duration) -> Option<Running> {
    let client = reqwest::Client::builder().timeout(within).no_proxy().build().ok()?;
    client.get(format!("http://{address}/ready")).send().await.ok()?.json().await.ok()
}

/// 200 when this process is active and every link is up, else 503; the body says what is not, since when, and why.
async fn ready(State(sources): State<watch::Receiver<Sources>>) -> (StatusCode, Json<Ready>) {
    let sources = sources.borrow().clone();
    let links: BTreeMap<String, Shown> =
        sources.links.iter().map(|(name, link)| (name.clone(), show(&link.borrow()))).collect();
    let ready = sources.duty == Duty::Active && links.values().all(|link| link.up);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, duty: sources.duty, agi: sources.agi, links, counters: (sources.counters)() }))
}

fn show(link: &Link) -> Shown {
    match link {
        Link::Up { since } => Shown { up: true, since: since.to_string(), why: None },
        Link::Down { since, why } => Shown { up: false, since: since.to_string(), why: Some(why.clone()) },
    }
}

/// One line for `systemctl status`.
pub fn summary(links: &Links) -> String {
    let down: Vec<&str> =
        links.iter().filter(|(_, link)| !link.borrow().is_up()).map(|(name, _)| name.as_str()).collect();
    if down.is_empty() { "all links are up".into() } else { format!("down: {}", down.join(", ")) }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    /// What comes until the other side closes.
    async fn all(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        timeout(DEADLINE * 4, stream.read_to_string(&mut text)).await.unwrap().unwrap();
        text
    }

    #[tokio::test]
    async fn connections_that_say_nothing_are_closed_and_never_take_more_than_their_share() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, sources) = watch::channel(Sources::standby(Links::new()));
        tokio::spawn(serve(listener, sources, CancellationToken::new()));
        let mut silent = Vec::new();
        for _ in 0..MOST {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut further = TcpStream::connect(address).await.unwrap();
        let shut = timeout(DEADLINE / 2, further.read(&mut [0])).await.expect("closed at once");
        assert_eq!(shut.unwrap_or(0), 0);
        for stream in &mut silent {
            all(stream).await;
        }
        let mut asks = TcpStream::connect(address).await.unwrap();
        asks.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let answer = all(&mut asks).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("live\n"), "{answer}");
    }
}
