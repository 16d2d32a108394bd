//! The cable of one desk phone: its SIP goes through here, so that it can be pulled without the phone saying goodbye, and
//! so that the very moment is known at which a call leaves the switchboard, and at which the phone ends it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::Result;
use tokio::{net::UdpSocket, sync::watch, task::JoinHandle};

/// Larger than any SIP message over UDP.
const PACKET: usize = 65_536;

/// A call on its way to the phone: its first INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// When it left the switchboard.
    pub at: Instant,
    /// Number in its `From`.
    pub from: String,
    /// Its `Call-ID`. An INVITE that is not answered within half a second is repeated (RFC 3261, section 17.1.1.2): that is no other call.
    call: String,
}

/// What the switchboard has told the phone of a transfer that the phone asked for (RFC 3515, section 2.4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Status as of SIP: 200 when it is done.
    pub(super) status: u16,
    /// `Call-ID` and `CSeq`: what is told again is the same.
    message: (String, String),
}

#[derive(Debug)]
pub(super) struct Relay {
    plugged: Arc<AtomicBool>,
    invites: Arc<Mutex<Vec<Invite>>>,
    byes: Arc<Mutex<Vec<Instant>>>,
    outcomes: watch::Sender<Vec<Outcome>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// The phone talks to `port`; the switchboard sees another port of ours as the phone.
    pub(super) async fn start(port: u16, phones: SocketAddr, pbx: SocketAddr) -> Result<Self> {
        let inner = UdpSocket::bind(("127.0.0.1", port)).await?;
        let outer = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let plugged = Arc::new(AtomicBool::new(true));
        let through = Arc::clone(&plugged);
        let invites = Arc::new(Mutex::new(Vec::new()));
        let byes = Arc::new(Mutex::new(Vec::new()));
        let (seen, ended) = (Arc::clone(&invites), Arc::clone(&byes));
        let (outcomes, _) = watch::channel(Vec::new());
        let told = outcomes.clone();
        let task = tokio::spawn(async move {
            let (mut from_phone, mut from_pbx) = (vec![0; PACKET], vec![0; PACKET]);
            loop {
                let (socket, to, packet) = tokio::select! {
                    got = inner.recv_from(&mut from_phone) => (&outer, pbx, got.ok().and_then(|(n, _)| from_phone.get(..n))),
                    got = outer.recv_from(&mut from_pbx) => (&inner, phones, got.ok().and_then(|(n, _)| from_pbx.get(..n))),
                };
                if let Some(packet) = packet
                    && through.load(Ordering::Relaxed)
                {
                    if to == phones
                        && let Some((from, call)) = invited_by(packet)
                    {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        if seen.iter().all(|invite: &Invite| invite.call != call) {
                            seen.push(Invite { at: Instant::now(), from, call });
                        }
                    }
                    if to == phones
                        && let Some(outcome) = told_of_transfer(packet)
                    {
                        told.send_if_modified(|told| {
                            let is_new = told.iter().all(|earlier: &Outcome| earlier.message != outcome.message);
                            told.extend(is_new.then_some(outcome));
                            is_new
                        });
                    }
                    if to == pbx && packet.starts_with(b"BYE ") {
                        ended.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                    }
                    // A packet that cannot be sent is lost, as on any wire.
                    let _ = socket.send_to(packet, to).await;
                }
            }
        });
        Ok(Self { plugged, invites, byes, outcomes, task })
    }

    pub(super) fn invites(&self) -> Vec<Invite> {
        self.invites.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn byes(&self) -> Vec<Instant> {
        self.byes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the transfers ended that the phone has asked for.
    pub(super) fn outcomes(&self) -> watch::Receiver<Vec<Outcome>> {
        self.outcomes.subscribe()
    }

    pub(super) fn set_plugged(&self, plugged: Plug) {
        self.plugged.store(plugged == Plug::In, Ordering::Relaxed);
    }
}

/// The number in the `From` of a packet that is an INVITE, and its `Call-ID`.
fn invited_by(packet: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(packet).ok().filter(|text| text.starts_with("INVITE "))?;
    let (_, uri) = header(text, "From")?.split_once("<sip:")?;
    Some((uri.split(['@', '>']).next().unwrap_or_default().to_owned(), header(text, "Call-ID")?.to_owned()))
}

/// What a packet says of a transfer, if that is the last that there is to say.
fn told_of_transfer(packet: &[u8]) -> Option<Outcome> {
    let text = std::str::from_utf8(packet).ok().filter(|text| text.starts_with("NOTIFY "))?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    let status =
        body.strip_prefix("SIP/2.0 ")?.split_whitespace().next()?.parse().ok().filter(|status| *status >= 200)?;
    Some(Outcome { status, message: (header(text, "Call-ID")?.to_owned(), header(text, "CSeq")?.to_owned()) })
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plug {
    In,
    Out,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait;

    #[test]
    fn the_end_of_a_transfer_is_told_from_its_progress() {
        let told = |body: &str| {
            let head = "NOTIFY sip:1000@h SIP/2.0\r\nCall-ID: a\r\nEvent: refer\r\nCSeq: 7 NOTIFY\r\n\r\n";
            told_of_transfer(format!("{head}{body}").as_bytes())
        };
        assert_eq!(told("SIP/2.0 100 Trying\r\n"), None);
        assert_eq!(told("Messages-Waiting: no\r\n"), None);
        for status in [200, 503] {
            let outcome = told(&format!("SIP/2.0 {status} As It Is\r\n")).unwrap();
            assert_eq!(outcome, Outcome { status, message: ("a".into(), "7 NOTIFY".into()) });
        }
    }

    #[tokio::test]
    async fn an_invite_that_is_repeated_is_one_call() {
        let (phone, pbx) =
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let claim = crate::ports::Claim::single().unwrap();
        let relay = Relay::start(claim.port(), phone.local_addr().unwrap(), pbx.local_addr().unwrap()).await.unwrap();
        // What the phone says first tells the switchboard's side where the phone is.
        phone.send_to(b"REGISTER", ("127.0.0.1", claim.port())).await.unwrap();
        let mut buffer = [0; 512];
        let (_, outer) = pbx.recv_from(&mut buffer).await.unwrap();
        let invite = |from: &str, call: &str| {
            format!("INVITE sip:1000 SIP/2.0\r\nFrom: \"x\" <sip:{from}@h>;tag=1\r\nCall-ID: {call}\r\n")
        };
        for packet in [invite("5551", "a"), invite("5551", "a"), invite("5551", "b"), invite("5552", "c")] {
            pbx.send_to(packet.as_bytes(), outer).await.unwrap();
            phone.recv_from(&mut buffer).await.unwrap();
        }
        wait::until("three calls", Duration::from_secs(10), || async {
            let calls: Vec<_> = relay.invites().into_iter().map(|invite| (invite.from, invite.call)).collect();
            let expected = [("5551", "a"), ("5551", "b"), ("5552", "c")].map(|(from, call)| (from.into(), call.into()));
            anyhow::ensure!(calls == expected, "{calls:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}
