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
use tokio::{net::UdpSocket, task::JoinHandle};

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

#[derive(Debug)]
pub(super) struct Relay {
    plugged: Arc<AtomicBool>,
    invites: Arc<Mutex<Vec<Invite>>>,
    byes: Arc<Mutex<Vec<Instant>>>,
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
                    if to == pbx && packet.starts_with(b"BYE ") {
                        ended.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                    }
                    // A packet that cannot be sent is lost, as on any wire.
                    let _ = socket.send_to(packet, to).await;
                }
            }
        });
        Ok(Self { plugged, invites, byes, task })
    }

    pub(super) fn invites(&self) -> Vec<Invite> {
        self.invites.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn byes(&self) -> Vec<Instant> {
        self.byes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_plugged(&self, plugged: Plug) {
        self.plugged.store(plugged == Plug::In, Ordering::Relaxed);
    }
}

/// The number in the `From` of a packet that is an INVITE, and its `Call-ID`.
fn invited_by(packet: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(packet).ok().filter(|text| text.starts_with("INVITE "))?;
    let from = text.lines().find_map(|line| line.strip_prefix("From:"))?;
    let call = text.lines().find_map(|line| line.strip_prefix("Call-ID:"))?;
    let (_, uri) = from.split_once("<sip:")?;
    Some((uri.split(['@', '>']).next().unwrap_or_default().to_owned(), call.trim().to_owned()))
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
