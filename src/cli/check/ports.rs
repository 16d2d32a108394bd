//! Where we listen, and whether Asterisk's questions come there.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, lookup_host},
    time::timeout,
};

use super::{Report, Verdict};
use crate::{
    config::{self, Config},
    health::{self, Duty},
};

/// How long a neighbour on this machine, or the DNS, may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The ports that a service would listen on: free, or a running service's.
pub(super) async fn listened_on(config: &Config, report: &mut Report) {
    let (agi, ready) = (config.agi.listen, config.service.health_listen);
    let running = health::ask(ready, PATIENCE).await;
    let in_use = |by_it: bool, duty: Option<Duty>| match (by_it, duty) {
        (true, _) => (Verdict::Warning, "in use: by a running usher".to_owned()),
        (false, Some(Duty::Standby)) => {
            (Verdict::Wrong, format!("in use by another program than the usher that stands by here: {WHICH}"))
        }
        (false, Some(Duty::Active)) => (
            Verdict::Wrong,
            format!("in use by another program than the usher that runs here with another agi.listen: {WHICH}"),
        ),
        (false, None) => (
            Verdict::Wrong,
            format!(
                "in use by another program, or by an usher that was started with another service.health_listen: {WHICH}"
            ),
        ),
    };
    let duty = running.as_ref().map(|running| running.duty);
    for (key, address, by_it) in [
        ("agi.listen", agi, running.as_ref().is_some_and(|running| running.agi == Some(agi))),
        ("service.health_listen", ready, running.is_some()),
    ] {
        let what = format!("{key} {address}");
        match TcpListener::bind(address).await {
            Ok(_) => report.good(what, "free"),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let (verdict, note) = in_use(by_it, duty);
                report.add(what, verdict, note);
            }
            Err(error) => report.wrong(what, format!("cannot be listened on: {error}")),
        }
    }
}

const WHICH: &str = "`ss -ltnp` as root names it. Stop it, or choose another port";

/// Why the questions of this Asterisk's dialplan would not come here, or be refused; `None` if there is no doubt. `told` is its `USHER_AGI`.
pub(super) async fn questions(server: &config::Asterisk, agi: &config::Agi, told: &str) -> Option<String> {
    let (asked, key) = match &agi.announce {
        Some(announce) => (announce.as_str(), "agi.announce"),
        None => (told, "USHER_AGI"),
    };
    if asked.is_empty() {
        return Some(
            "its dialplan has no USHER_AGI, and the shipped one asks nobody then: is our extensions.conf in its place, or included, with \
             site/globals.conf?"
                .into(),
        );
    }
    let (host, port) = place(asked);
    let addresses = match found(host).await {
        Some(addresses) => addresses,
        None => {
            return Some(format!("{key} is {asked}, and {host} is nobody's name here: is it one where Asterisk runs?"));
        }
    };
    let theirs = theirs(server).await;
    let doubt = astray(&Question { asked, key, port, addresses: &addresses }, agi.listen, theirs, is_ours);
    doubt.or_else(|| refused(&addresses, &agi.allow, theirs?, is_ours))
}

/// Host and port of `agi://HOST[:PORT][/...]`; `None` if the port is no number.
fn place(asked: &str) -> (&str, Option<u16>) {
    let place = asked.strip_prefix("agi://").unwrap_or(asked).split('/').next().unwrap_or_default();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse().ok()),
        Some(_) | None => (place, Some(4573)),
    };
    (host.trim_matches(['[', ']']), port)
}

async fn found(host: &str) -> Option<Vec<IpAddr>> {
    let found = timeout(PATIENCE, lookup_host((host, 0))).await.ok()?.ok()?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
    (!addresses.is_empty()).then_some(addresses)
}

/// The address at which Asterisk is reached.
async fn theirs(server: &config::Asterisk) -> Option<IpAddr> {
    let url = url::Url::parse(&server.url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let stream = timeout(PATIENCE, TcpStream::connect((host, url.port_or_known_default()?))).await.ok()?.ok()?;
    Some(stream.peer_addr().ok()?.ip().to_canonical())
}

/// Whether this machine has the address.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Where the dialplan asks, and by which setting.
struct Question<'a> {
    asked: &'a str,
    key: &'a str,
    port: Option<u16>,
    addresses: &'a [IpAddr],
}

fn astray(
    question: &Question<'_>,
    listen: SocketAddr,
    theirs: Option<IpAddr>,
    is_ours: impl Fn(IpAddr) -> bool,
) -> Option<String> {
    let Question { asked, key, port, addresses } = *question;
    let comes = |ip: &IpAddr| {
        let elsewhere = ip.is_loopback() && theirs.is_some_and(|theirs| !is_ours(theirs));
        let to_us = if listen.ip().is_unspecified() { is_ours(*ip) } else { *ip == listen.ip().to_canonical() };
        to_us && !elsewhere
    };
    if port == Some(listen.port()) && addresses.iter().any(comes) {
        return None;
    }
    let cure = if key == "USHER_AGI" {
        "Set USHER_AGI in site/globals.conf; what an earlier agi.announce has left there goes with `asterisk -rx 'dialplan reload'`"
    } else {
        "Right only if something passes it on to here"
    };
    Some(format!(
        "its dialplan asks {asked} ({key}), and agi.listen is {listen} on this machine: customer codes and log-ons would not come here. {cure}"
    ))
}

/// A question comes from the address that it goes to when both are on one machine, else from where Asterisk is reached.
fn refused(asked: &[IpAddr], allow: &[IpAddr], theirs: IpAddr, is_ours: impl Fn(IpAddr) -> bool) -> Option<String> {
    let from: Vec<IpAddr> = if is_ours(theirs) { asked.to_vec() } else { vec![theirs] };
    let allowed = |from: &IpAddr| allow.iter().any(|allowed| allowed.to_canonical() == *from);
    let first = from.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    (!from.iter().any(allowed)).then(|| {
        format!("its questions seem to come from {first}, which agi.allow does not have: they would be refused. Add it there")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// We have 127.0.0.1, ::1 and 192.0.2.1.
    fn ours(address: IpAddr) -> bool {
        address.is_loopback() || address == ip("192.0.2.1")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_dialplan_that_asks_elsewhere_is_told_from_one_that_asks_here() {
        for (asked, at, theirs, here) in [
            ("agi://127.0.0.1:4573", "127.0.0.1:4573", "127.0.0.1", true),
            ("agi://127.0.0.1", "127.0.0.1:4573", "127.0.0.1", true),
            ("agi://127.0.0.1/x:1", "127.0.0.1:4573", "127.0.0.1", true),
            ("agi://192.0.2.1:4573", "0.0.0.0:4573", "192.0.2.7", true),
            ("agi://192.0.2.1:4573", "192.0.2.1:4573", "192.0.2.7", true),
            ("agi://[::1]:4573", "[::1]:4573", "127.0.0.1", true),
            ("agi://[::1]", "[::1]:4573", "127.0.0.1", true),
            ("agi://127.0.0.1:4573", "127.0.0.1:4574", "127.0.0.1", false),
            ("agi://192.0.2.1:4573", "127.0.0.1:4573", "127.0.0.1", false),
            ("agi://127.0.0.1:x", "127.0.0.1:4573", "127.0.0.1", false),
            // Nobody's here; and the Asterisk's own.
            ("agi://192.0.2.9:4573", "0.0.0.0:4573", "192.0.2.7", false),
            ("agi://127.0.0.1:4573", "0.0.0.0:4573", "192.0.2.7", false),
        ] {
            let (host, port) = place(asked);
            let addresses = [ip(host)];
            for key in ["USHER_AGI", "agi.announce"] {
                let question = Question { asked, key, port, addresses: &addresses };
                let doubt = astray(&question, at.parse().unwrap(), Some(ip(theirs)), ours);
                assert_eq!(doubt.is_none(), here, "{asked} {at}: {doubt:?}");
                assert!(doubt.is_none_or(|doubt| doubt.contains(key)), "{asked}");
            }
        }
    }

    #[test]
    fn an_asterisk_that_would_be_refused_is_told_from_one_that_may_ask() {
        for (asked, allow, theirs, may) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.1", true),
            // It is reached at another address of this machine than the one it asks from.
            ("127.0.0.1", "127.0.0.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.1", "127.0.0.1", true),
            ("192.0.2.1", "192.0.2.7", "192.0.2.7", true),
            ("192.0.2.1", "::ffff:192.0.2.7", "192.0.2.7", true),
            ("127.0.0.1", "192.0.2.7", "127.0.0.1", false),
            ("192.0.2.1", "127.0.0.1", "192.0.2.1", false),
            ("192.0.2.1", "127.0.0.1", "192.0.2.7", false),
        ] {
            let doubt = refused(&[ip(asked)], &[ip(allow)], ip(theirs), ours);
            assert_eq!(doubt.is_none(), may, "{asked} {allow} {theirs}: {doubt:?}");
        }
    }
}
