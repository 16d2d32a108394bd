//! Service: what a process that stands by tries meanwhile, so that a wrong secret or address is found before it counts.
//!
//! ```text
//!   Rehearsal (1x, in the task of whoever waits) ──log-in, nothing more──▶ XMPP server
//!                 │                              ──one GET over HTTP─────▶ Asterisk (Nx)
//!                 │                              ──the address of FastAGI, bound and let go
//!                 └──▶ Links, as /ready shows them
//! ```
//!
//! None of it disturbs the active one: no XMPP session is begun, and no Stasis application is taken.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use tokio::{net::TcpSocket, sync::watch, time::sleep};

use crate::{
    ari,
    config::Config,
    link::Link,
    xmpp::{
        Fatal,
        login::{self, Failure},
    },
};

/// Between two rounds when everything would work.
const EVERY: Duration = Duration::from_secs(60);
/// The same when something would not: whoever mends it wants to see it.
const AGAIN: Duration = Duration::from_secs(10);

/// Name of the link for the address of FastAGI.
const AGI: &str = "agi";

/// Tries every log-in of a process that stands by.
#[derive(Debug)]
pub struct Rehearsal<'a> {
    config: &'a Config,
    xmpp: watch::Sender<Link>,
    agi: watch::Sender<Link>,
    /// In the order of the configuration.
    asterisks: Vec<watch::Sender<Link>>,
    round: Round,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Later,
}

impl<'a> Rehearsal<'a> {
    /// Takes over the settings; connects to nothing.
    pub fn new(config: &'a Config) -> Self {
        let untried = || watch::Sender::new(Link::Down { since: Timestamp::now(), why: "not tried yet".into() });
        let asterisks = config.asterisk.iter().map(|_| untried()).collect();
        Self { config, xmpp: untried(), agi: untried(), asterisks, round: Round::First }
    }

    /// Whether each server would let us in, by the name that its link has when we are active.
    pub fn links(&self) -> BTreeMap<String, watch::Receiver<Link>> {
        let asterisks = self.config.asterisk.iter().zip(&self.asterisks);
        asterisks
            .map(|(server, link)| (format!("asterisk {}", server.name), link.subscribe()))
            .chain([("xmpp".to_owned(), self.xmpp.subscribe()), (AGI.to_owned(), self.agi.subscribe())])
            .collect()
    }

    /// Tries them again and again, as soon as `standing_by` is up: then it is known that another process is active. Returns
    /// only if the very first round finds what would end an active one; later that is shown, and said in the log. May be
    /// cancelled at any time.
    pub async fn run(&mut self, mut standing_by: watch::Receiver<Link>) -> Fatal {
        // The sender lives as long as the process.
        let _ = standing_by.wait_for(Link::is_up).await;
        loop {
            let fatal = self.once().await;
            if let (Round::First, Some(fatal)) = (std::mem::replace(&mut self.round, Round::Later), fatal) {
                return fatal;
            }
            let all_well = self.asterisks.iter().chain([&self.xmpp, &self.agi]).all(|link| link.borrow().is_up());
            sleep(if all_well { EVERY } else { AGAIN }).await;
        }
    }

    async fn once(&self) -> Option<Fatal> {
        let knocking = join_all(self.config.asterisk.iter().map(ari::log_in));
        let (xmpp, asterisks) = join(login::rehearse(&self.config.xmpp), knocking).await;
        for ((server, link), tried) in self.config.asterisk.iter().zip(&self.asterisks).zip(asterisks) {
            let tried = tried.map_err(|error| ari::explain(&error, server));
            show(&format!("asterisk {}", server.name), link, tried);
        }
        show("xmpp", &self.xmpp, xmpp.as_ref().copied().map_err(ToString::to_string));
        let listen = self.config.agi.listen;
        let bound = bind(listen).map_err(|error| format!("cannot listen on {listen} (agi.listen): {error}"));
        show(AGI, &self.agi, bound);
        match xmpp {
            Err(Failure::Final(fatal)) => Some(fatal),
            Ok(()) | Err(Failure::Passing(_)) => None,
        }
    }
}

/// Whether FastAGI could be served there. An address in use counts as well: it is the active one's when both run on one machine. Nobody
/// is kept from listening meanwhile, since this socket does not.
fn bind(address: SocketAddr) -> io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
        bound => bound,
    }
}

/// Says what is new.
fn show(name: &str, link: &watch::Sender<Link>, tried: Result<(), String>) {
    let since = Timestamp::now();
    let now = match tried {
        Ok(()) => Link::Up { since },
        Err(why) => Link::Down { since, why },
    };
    let news = link.send_if_modified(|shown| {
        let news = match (&*shown, &now) {
            (Link::Up { .. }, Link::Up { .. }) => false,
            (Link::Down { why: before, .. }, Link::Down { why, .. }) => before != why,
            (Link::Up { .. }, Link::Down { .. }) | (Link::Down { .. }, Link::Up { .. }) => true,
        };
        if news {
            *shown = now.clone();
        }
        news
    });
    match (news, now) {
        (true, Link::Down { why, .. }) => {
            tracing::warn!("standing by, and could not take over as it should: {name}: {why}");
        }
        (true, Link::Up { .. }) => tracing::info!("standing by: {name} would work"),
        (false, _) => {}
    }
}
