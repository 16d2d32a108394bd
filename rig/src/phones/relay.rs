//! The cable of one desk phone: its SIP goes through here, so that it can be pulled without the phone saying goodbye.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;
use tokio::{net::UdpSocket, task::JoinHandle};

/// Larger than any SIP message over UDP.
const PACKET: usize = 65_536;

#[derive(Debug)]
pub(super) struct Relay {
    plugged: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// The phone talks to `port`; the switchboard sees another port of ours as the phone.
    pub(super) async fn start(port: u16, phones: SocketAddr, pbx: SocketAddr) -> Result<Self> {
        let inner = UdpSocket::bind(("127.0.0.1", port)).await?;
        let outer = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let plugged = Arc::new(AtomicBool::new(true));
        let through = Arc::clone(&plugged);
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
                    // A packet that cannot be sent is lost, as on any wire.
                    let _ = socket.send_to(packet, to).await;
                }
            }
        });
        Ok(Self { plugged, task })
    }

    pub(super) fn set_plugged(&self, plugged: Plug) {
        self.plugged.store(plugged == Plug::In, Ordering::Relaxed);
    }
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
