//! The way from the session to whoever keeps the rooms: how the session is, and what the rooms say.

use tokio::sync::{mpsc, watch};
use xmpp_parsers::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

use crate::xmpp::{
    muc::{Heard, read},
    session::{Event, WeakSession},
};

/// Stanzas of rooms that wait to be read: the occupants of many rooms that are entered at once. Beyond it the rooms are entered anew.
const WAITING: usize = 8192;

/// How the session is.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Grows with each session, and when something that a room has said was lost: whoever was in a room has to enter it again.
    pub epoch: u64,
    /// Whether something can be sent.
    pub is_up: bool,
    /// By which; `None`: there was none yet.
    pub session: Option<WeakSession>,
}

/// What the session hands stanzas of rooms to.
#[derive(Debug)]
pub struct Ear {
    service: BareJid,
    link: watch::Sender<Link>,
    stanzas: mpsc::Sender<(u64, BareJid, Heard)>,
}

/// What hears them.
#[derive(Debug)]
pub struct Hearing {
    /// How the session is.
    pub link: watch::Receiver<Link>,
    /// In which epoch which room has said what.
    pub stanzas: mpsc::Receiver<(u64, BareJid, Heard)>,
}

/// Both ends, for the rooms of this service.
pub fn channel(service: BareJid) -> (Ear, Hearing) {
    let (link, seen) = watch::channel(Link::default());
    let (sender, stanzas) = mpsc::channel(WAITING);
    (Ear { service, link, stanzas: sender }, Hearing { link: seen, stanzas })
}

impl Ear {
    /// Takes a stanza of a room; gives back any other. What nobody reads is dropped.
    pub(in crate::xmpp) fn take(&self, stanza: Stanza) -> Option<Stanza> {
        let from = match &stanza {
            Stanza::Message(message) => message.from.as_ref(),
            Stanza::Presence(presence) => presence.from.as_ref(),
            Stanza::Iq(_) => None,
        };
        let Some(room) = from.filter(|from| from.domain() == self.service.domain()).map(Jid::to_bare) else {
            return Some(stanza);
        };
        let epoch = self.link.borrow().epoch;
        if let Some(heard) = read(stanza)
            && let Err(mpsc::error::TrySendError::Full(_)) = self.stanzas.try_send((epoch, room, heard))
        {
            tracing::warn!(waiting = WAITING, "rooms say more than is read: they are entered anew");
            self.link.send_modify(|link| link.epoch += 1);
        }
        None
    }

    /// Takes in what has become of the session.
    pub(in crate::xmpp) fn hear(&self, event: &Event, session: &WeakSession) {
        match event {
            Event::Online { .. } => self.link.send_modify(|link| {
                *link = Link { epoch: link.epoch + 1, is_up: true, session: Some(session.clone()) };
            }),
            Event::Resumed => self.link.send_modify(|link| link.is_up = true),
            Event::Suspended | Event::Fatal(_) => self.link.send_modify(|link| link.is_up = false),
            Event::Returned { .. } | Event::Confirmed { .. } | Event::Retrying { .. } => {}
        }
    }
}
