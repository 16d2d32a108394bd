//! Rooms (XEP-0045): what an occupant and owner of rooms says to them, and what comes from them, by the session of the service's account.
//!
//! Owns the forms on the wire. What comes from the service that has the rooms goes to whoever holds the [`Hearing`], with how the session is,
//! so that nobody else has to read it, and no event of the session is waited for twice.

mod ear;
mod owner;

pub use self::{
    ear::{Ear, Hearing, Link, channel},
    owner::{Trouble, Wanted, has_rooms, is_there, settle},
};

use uuid::Uuid;
use xmpp_parsers::{
    jid::{BareJid, Jid, ResourcePart},
    message::{Id, Lang, Message, MessageType},
    minidom::Element,
    muc::{Muc, muc::History},
    ns,
    presence::{Presence, Type as PresenceType},
    stanza::Stanza,
    stanza_error::StanzaError,
};

/// How much of what was said before is asked for on entering: what was said so lately may be ours.
const HISTORY: (u32, u32) = (20, 120);

/// Something that a room says.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Somebody is there.
    Here {
        /// Their name in the room.
        nick: String,
        /// Who they are, if the room tells.
        jid: Option<BareJid>,
        /// It is us.
        is_self: bool,
        /// We own the room.
        is_owner: bool,
    },
    /// Somebody is not there any more.
    Gone {
        /// Their name in the room.
        nick: String,
        /// They have another name there now.
        is_renamed: bool,
    },
    /// We are not let in.
    Refused(Box<StanzaError>),
    /// Something was said, by an occupant or, without a name, by the room.
    Said {
        /// Who.
        nick: String,
        /// Id of the message.
        id: String,
        /// What; empty: nothing, as in what is no text.
        text: String,
        /// It was said before we came.
        is_history: bool,
        /// It corrects what was said before (XEP-0308).
        is_correction: bool,
    },
    /// This is the subject. The first one says that all that was before has been told.
    Subject {
        /// Who set it.
        nick: String,
        /// The text; may be empty.
        text: String,
    },
    /// What we have said was not taken.
    Bounced {
        /// Id of the message.
        id: String,
        /// Why.
        error: Box<StanzaError>,
    },
}

/// Enters a room, or asks anew who is there.
pub fn enter(room: &BareJid, nick: &str) -> Option<Stanza> {
    let (most, seconds) = HISTORY;
    let history = History::new().with_maxstanzas(most).with_seconds(seconds);
    Some(Presence::available().with_to(occupant(room, nick)?).with_payload(Muc::new().with_history(history)).into())
}

/// Leaves a room.
pub fn leave(room: &BareJid, nick: &str) -> Option<Stanza> {
    Some(Presence::unavailable().with_to(occupant(room, nick)?).into())
}

/// Says something in a room; with the id of the message, by which it is known when it comes back.
pub fn say(room: &BareJid, text: &str) -> (String, Stanza) {
    let (id, mut message) = message(room);
    message.bodies.insert(Lang::default(), text.to_owned());
    (id, message.into())
}

/// Sets the subject of a room.
pub fn set_subject(room: &BareJid, text: &str) -> (String, Stanza) {
    let (id, mut message) = message(room);
    message.subjects.insert(Lang::default(), text.to_owned());
    (id, message.into())
}

fn message(room: &BareJid) -> (String, Message) {
    let mut message = Message::groupchat(Some(Jid::from(room.clone())));
    let id = Uuid::new_v4().to_string();
    message.id = Some(Id(id.clone()));
    (id, message)
}

/// The address of an occupant; `None`: the name cannot be one.
fn occupant(room: &BareJid, nick: &str) -> Option<Jid> {
    Some(room.with_resource(&ResourcePart::new(nick).ok()?).into())
}

/// What a stanza of a room says; `None`: nothing that anybody here is to know.
fn read(stanza: Stanza) -> Option<Heard> {
    match stanza {
        Stanza::Presence(presence) => presence_of(presence),
        Stanza::Message(message) => message_of(message),
        Stanza::Iq(_) => None,
    }
}

fn presence_of(presence: Presence) -> Option<Heard> {
    let nick = presence.from.as_ref()?.resource().map(ToString::to_string).unwrap_or_default();
    let user = presence.payloads.iter().find(|payload| payload.is("x", ns::MUC_USER));
    // By hand: the library refuses all of it for a status that it does not know.
    let has_status = |code: &str| {
        let mut statuses = user.into_iter().flat_map(Element::children);
        statuses.any(|child| child.is("status", ns::MUC_USER) && child.attr("code") == Some(code))
    };
    let item = user.and_then(|user| user.get_child("item", ns::MUC_USER));
    let is_self = has_status("110");
    match presence.type_ {
        PresenceType::None => {
            let jid = item.and_then(|item| item.attr("jid")).and_then(|jid| Jid::new(jid).ok());
            let is_owner = item.and_then(|item| item.attr("affiliation")) == Some("owner");
            user?;
            Some(Heard::Here { nick, jid: jid.map(Jid::into_bare), is_self, is_owner })
        }
        PresenceType::Unavailable => Some(Heard::Gone { nick, is_renamed: has_status("303") }),
        PresenceType::Error => {
            let error = presence.payloads.into_iter().find_map(|payload| StanzaError::try_from(payload).ok())?;
            Some(Heard::Refused(Box::new(error)))
        }
        PresenceType::Probe
        | PresenceType::Subscribe
        | PresenceType::Subscribed
        | PresenceType::Unsubscribe
        | PresenceType::Unsubscribed => None,
    }
}

fn message_of(message: Message) -> Option<Heard> {
    let nick = message.from.as_ref()?.resource().map(ToString::to_string).unwrap_or_default();
    let id = message.id.as_ref().map(|Id(id)| id.clone()).unwrap_or_default();
    match message.type_ {
        MessageType::Groupchat => {}
        MessageType::Error => {
            let error = message.payloads.into_iter().find_map(|payload| StanzaError::try_from(payload).ok())?;
            return Some(Heard::Bounced { id, error: Box::new(error) });
        }
        // Between two occupants, or an invitation.
        MessageType::Chat | MessageType::Normal | MessageType::Headline => return None,
    }
    let body = message.get_best_body(vec![]).map(|(_, body)| body.clone());
    match (message.get_best_subject(vec![]), body) {
        (Some((_, subject)), None) => Some(Heard::Subject { nick, text: subject.clone() }),
        (_, body) => Some(Heard::Said {
            nick,
            id,
            text: body.unwrap_or_default(),
            is_history: message.payloads.iter().any(|payload| payload.is("delay", ns::DELAY)),
            is_correction: message.payloads.iter().any(|payload| payload.is("replace", ns::MESSAGE_CORRECT)),
        }),
    }
}

#[cfg(test)]
mod tests;
