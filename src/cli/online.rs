//! A session with the XMPP server for a command, beside the running service.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use xmpp_parsers::jid::{BareJid, Jid};

use crate::{
    config::Xmpp,
    xmpp::{
        Account, Fatal,
        pubsub::Pubsub,
        session::{Event, Session},
    },
};

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// A session that is logged in. Ends when it is dropped.
pub(super) struct Online {
    /// Our full address.
    pub(super) jid: Jid,
    /// The pubsub service.
    pub(super) pubsub: Pubsub,
    /// For all else.
    pub(super) session: Session,
    // Dropped, it would end the session.
    events: mpsc::Receiver<Event>,
    guard: DropGuard,
}

impl Online {
    /// Logs in.
    ///
    /// # Errors
    /// What is wrong and what to do, after `patience` at the latest.
    pub(super) async fn start(config: &Xmpp, patience: Duration) -> Result<Self, String> {
        let account = Account::new(config).map_err(|error| error.to_string())?;
        let owner: BareJid = account.jid.clone();
        let service = config.pubsub_jid();
        let service: Jid = service.parse().map_err(|_| Fatal::PubsubJid(service.clone()).to_string())?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let (session, mut events) = Session::aside(account, stop).map_err(|error| error.to_string())?;
        let mut last = "no answer".to_owned();
        let online = timeout(patience, async {
            loop {
                match events.recv().await {
                    Some(Event::Online { jid }) => return Ok(jid),
                    Some(Event::Fatal(error)) => return Err(error.to_string()),
                    Some(Event::Retrying { why }) => last = why,
                    Some(Event::Suspended | Event::Resumed | Event::Returned { .. } | Event::Confirmed { .. }) => {}
                    None => return Err("the session ended".into()),
                }
            }
        });
        let jid = match online.await {
            Ok(jid) => jid?,
            Err(_) => {
                return Err(format!(
                    "not reached within {patience:?}: {last}; is the server running, is xmpp.address right?"
                ));
            }
        };
        Ok(Self { jid, pubsub: Pubsub::new(session.clone(), service, owner), session, events, guard })
    }

    /// Logs off, so that the server does not keep the session to be resumed.
    pub(super) async fn close(mut self) {
        drop(self.guard);
        while let Ok(Some(_)) = timeout(GOODBYE, self.events.recv()).await {}
    }
}
