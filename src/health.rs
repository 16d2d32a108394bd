//! `/live` and `/ready`: for systemd, load balancers, monitoring, and people with curl.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde::Serialize;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::link::Link;

/// All links, by the name under which they are shown.
pub type Links = BTreeMap<String, watch::Receiver<Link>>;

/// Numbers that only grow, asked for when somebody looks: by subject, then name.
pub type Counters = Arc<dyn Fn() -> BTreeMap<String, BTreeMap<&'static str, u64>> + Send + Sync>;

#[derive(Clone)]
struct Sources {
    links: Links,
    counters: Counters,
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
    links: BTreeMap<String, Shown>,
    counters: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

/// Answers until asked to stop.
pub async fn serve(
    listener: TcpListener,
    links: Links,
    counters: Counters,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let sources = Sources { links, counters };

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

/// 200 when every link is up, else 503; the body says which are not, since when, and why.
async fn ready(State(sources): State<Sources>) -> (StatusCode, Json<Ready>) {
    let links: BTreeMap<String, Shown> =
        sources.links.iter().map(|(name, link)| (name.clone(), show(&link.borrow()))).collect();
    let ready = links.values().all(|link| link.up);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, links, counters: (sources.counters)() }))
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
