//! Connections for a session, one after the other: each is logged in, and pauses between attempts grow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_xmpp::stanzastream::{Connection, StanzaStream};

use crate::{
    fence::Fence,
    xmpp::{
        Account,
        connector::Connector,
        login::{self, Failure},
        session::Event,
    },
};

/// Stanzas in the stream's own queues, either way.
const DEPTH: usize = 256;
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
pub(super) const BACKOFF_CAP: Duration = Duration::from_secs(15);

/// What it takes to connect.
pub(super) struct Reconnect {
    pub(super) connector: Connector,
    pub(super) account: Account,
    pub(super) fence: Fence,
    pub(super) events: mpsc::Sender<Event>,
    /// Attempts since the session last worked, or one that could not go on began afresh; the actor sets it back.
    pub(super) failures: Arc<AtomicU32>,
    pub(super) logged_in: Arc<Notify>,
    /// Whether the server has ever let the account in.
    pub(super) accepted: AtomicBool,
}

impl Reconnect {
    /// A stream of its own, fed with connections until it is `abandoned`.
    pub(super) fn stream(self: &Arc<Self>, abandoned: &CancellationToken) -> StanzaStream {
        let (this, abandoned) = (self.clone(), abandoned.clone());
        let feed = move |_location: Option<String>, slot: oneshot::Sender<Connection>| {
            tokio::spawn(this.clone().fill(slot, abandoned.clone()));
        };
        StanzaStream::new(Box::new(feed), DEPTH)
    }

    async fn fill(self: Arc<Self>, mut slot: oneshot::Sender<Connection>, abandoned: CancellationToken) {
        let mut fence = self.fence.clone();
        let mut refused = false;
        loop {
            let usual = backoff(self.failures.fetch_add(1, Ordering::Relaxed));
            // Servers shut out who tries a wrong password often.
            let pause = if refused { BACKOFF_CAP } else { usual };
            tokio::select! {
                () = slot.closed() => return,
                () = abandoned.cancelled() => break,
                () = self.events.closed() => break,
                () = async { tokio::time::sleep(pause).await; fence.opened().await } => {}
            }
            match login::log_in(&self.connector, &self.account).await {
                Ok(connection) => {
                    self.accepted.store(true, Ordering::Relaxed);
                    let _gone = slot.send(connection);
                    self.logged_in.notify_one();
                    return;
                }
                Err(Failure::Passing(why)) => {
                    tracing::debug!(%why, "no XMPP connection yet");
                    let _full = self.events.try_send(Event::Retrying { why });
                }
                // A password that was changed or a certificate that has run out must not take a floor at work off the phones.
                Err(Failure::Final(fatal)) if self.accepted.load(Ordering::Relaxed) => {
                    if !std::mem::replace(&mut refused, true) {
                        tracing::error!("{fatal}; until then calls go on without the XMPP server");
                    }
                    let _full = self.events.try_send(Event::Retrying { why: fatal.to_string() });
                }
                Err(Failure::Final(fatal)) => {
                    let _closed = self.events.send(Event::Fatal(fatal)).await;
                    break;
                }
            }
        }
        // The stream's worker panics when the slot is dropped, so it is held until the worker has gone.
        slot.closed().await;
    }
}

/// Nothing before the first attempt; then doubling up to the cap, each shortened by chance by up to half.
pub(super) fn backoff(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let full = BACKOFF_FIRST.saturating_mul(1 << doublings.min(8)).min(BACKOFF_CAP);
    let chance = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    full / 2 + full / 512 * chance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_attempts_grows_to_a_cap_and_never_gives_up() {
        assert_eq!(backoff(0), Duration::ZERO);
        for failures in 1..40 {
            let pause = backoff(failures);
            assert!(pause <= BACKOFF_CAP, "{failures}: {pause:?}");
            assert!(pause >= BACKOFF_FIRST / 2, "{failures}: {pause:?}");
        }
        assert!(backoff(u32::MAX) >= BACKOFF_CAP / 2);
    }
}
