//! `/live` and `/ready`: for systemd, load balancers, monitoring, and people with curl.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::link::Link;

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

/// Answers until asked to stop.
pub async fn serve(
    listener: TcpListener,
    sources: watch::Receiver<Sources>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router =
        Router::new().route("/live", get(|| async { "live\n" })).route("/ready", get(ready)).with_state(sources);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
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
