//! What others write to the account: messages, requests and wishes to see it, for a service to answer.
//!
//! What must never be answered does not get in: errors, groups, news, what was delivered late, and copies of what was said elsewhere.
//! So two programs that answer whatever they read cannot keep each other busy by them.

use tokio::time::Instant;
use xmpp_parsers::{
    iq::{Iq, IqHeader, IqPayload},
    jid::{BareJid, Jid},
    message::{Message, MessageType},
    minidom::Element,
    ns,
    presence::{Presence, Type as PresenceType},
    stanza::Stanza,
    stanza_error::{DefinedCondition, ErrorType, StanzaError},
};

use crate::xmpp::{component::Component, session::Session};

/// Stanzas that wait for who answers them: every agent of a large floor at once. Beyond it requests are refused and messages dropped.
pub const WAITING: usize = 1024;

/// Something that somebody wrote to us.
#[derive(Debug)]
pub struct Incoming {
    /// When it came.
    pub at: Instant,
    /// Who wrote it: the server vouches for it.
    pub from: Jid,
    /// What.
    pub what: What,
    /// By which it came, and is answered.
    pub(super) way: Way,
}

/// A way back to whoever wrote.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// They wrote to the account.
    Account(Session),
    /// They wrote to the component, and are answered by this address of it.
    Contact { component: Component, own: Jid },
}

impl Way {
    /// The address that answers; `None`: the account's, which the server knows.
    fn own(&self) -> Option<&Jid> {
        match self {
            Self::Account(_) => None,
            Self::Contact { own, .. } => Some(own),
        }
    }

    async fn send(&self, stanza: Stanza) {
        match self {
            Self::Account(session) => session.send(stanza).await,
            Self::Contact { component, .. } => component.send(stanza).await,
        }
    }

    fn try_send(&self, stanza: Stanza) {
        match self {
            Self::Account(session) => session.try_send(stanza),
            Self::Contact { component, .. } => component.try_send(stanza),
        }
    }
}

/// What somebody wrote.
#[derive(Debug)]
pub enum What {
    /// A text.
    Message(Box<Message>),
    /// A request, to be answered exactly once.
    Request {
        /// Its id.
        id: String,
        /// Our own address, as they wrote to it.
        to: Option<Jid>,
        /// Whether it may change something.
        asked: Asked,
        /// What is asked.
        element: Element,
    },
    /// They want to see whether the account is there, and its address with it.
    Subscribe,
}

/// The type of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To know something.
    Get,
    /// To have something done.
    Set,
}

impl Incoming {
    /// The address of the component to which they wrote; `None`: they wrote to the account.
    pub fn contact(&self) -> Option<&Jid> {
        self.way.own()
    }

    /// Sends a message to them, by the way it came.
    pub async fn say(&self, message: Message) {
        self.way.send(self.addressed(message)).await;
    }

    /// Sends a message to them without waiting: dropped when there is no room for it.
    pub fn say_now(&self, message: Message) {
        self.way.try_send(self.addressed(message));
    }

    fn addressed(&self, mut message: Message) -> Stanza {
        message.from = self.way.own().cloned();
        message.to = Some(self.from.clone());
        message.into()
    }

    /// Answers a request. Of anything else nothing is sent.
    pub async fn answer(&self, payload: IqPayload) {
        if let Some(answer) = self.answered(payload) {
            self.way.send(answer).await;
        }
    }

    /// Refuses a request without waiting. Of anything else nothing is sent.
    pub fn refuse(&self, error: StanzaError) {
        if let Some(answer) = self.answered(IqPayload::Error(error)) {
            self.way.try_send(answer);
        }
    }

    /// An answer comes from the very address that was asked, or clients do not take it for one.
    fn answered(&self, payload: IqPayload) -> Option<Stanza> {
        let What::Request { id, to, .. } = &self.what else { return None };
        let from = self.way.own().and(to.clone());
        Some(Iq::assemble(IqHeader { from, to: Some(self.from.clone()), id: id.clone() }, payload).into())
    }

    /// Lets them see the account.
    pub async fn let_see(&self) {
        let mut presence = Presence::new(PresenceType::Subscribed);
        presence.to = Some(self.from.to_bare().into());
        self.way.send(presence.into()).await;
    }
}

/// What a stanza brings that is to be answered by a service; the stanza itself if it is not.
pub(super) fn take(stanza: Stanza, own: &BareJid) -> Result<(Jid, What), Box<Stanza>> {
    match stanza {
        Stanza::Message(message) => match message.from.clone() {
            Some(from) if is_to_be_read(&message, &from, own) => Ok((from, What::Message(Box::new(message)))),
            Some(_) | None => Err(Box::new(Stanza::Message(message))),
        },
        Stanza::Presence(presence) => match presence.from.clone() {
            Some(from) if presence.type_ == PresenceType::Subscribe => Ok((from, What::Subscribe)),
            Some(_) | None => Err(Box::new(Stanza::Presence(presence))),
        },
        Stanza::Iq(Iq::Get { from: Some(from), to, id, payload }) if is_of_commands(&payload) => {
            Ok((from, What::Request { id, to, asked: Asked::Get, element: payload }))
        }
        Stanza::Iq(Iq::Set { from: Some(from), to, id, payload }) if is_of_commands(&payload) => {
            Ok((from, What::Request { id, to, asked: Asked::Set, element: payload }))
        }
        Stanza::Iq(iq) => Err(Box::new(Stanza::Iq(iq))),
    }
}

/// What a request is told that comes while too many wait.
pub fn busy() -> StanzaError {
    let text = "too many requests: try again in a moment";
    StanzaError::new(ErrorType::Wait, DefinedCondition::ResourceConstraint, "en", text)
}

fn is_of_commands(element: &Element) -> bool {
    let of_command = |node: &str| node == super::disco::COMMANDS || node.starts_with(super::disco::COMMAND_PREFIX);
    element.is("command", super::disco::COMMANDS)
        || element.is("query", ns::DISCO_ITEMS)
        || (element.is("query", ns::DISCO_INFO) && element.attr("node").is_some_and(of_command))
}

fn is_to_be_read(message: &Message, from: &Jid, own: &BareJid) -> bool {
    let is_of_people = match message.type_ {
        MessageType::Chat | MessageType::Normal => true,
        MessageType::Error | MessageType::Groupchat | MessageType::Headline => false,
    };
    let is_copy = |payload: &Element| payload.has_ns(ns::CARBONS) || payload.is("delay", ns::DELAY);
    is_of_people && from.to_bare() != *own && !message.bodies.is_empty() && !message.payloads.iter().any(is_copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> BareJid {
        "usher@localhost".parse().unwrap()
    }

    fn taken(xml: &str) -> bool {
        let xml = xml.replacen(' ', " xmlns='jabber:client' ", 1);
        let stanza = Stanza::try_from(xml.parse::<Element>().unwrap()).unwrap();
        take(stanza, &own()).is_ok()
    }

    #[test]
    fn a_message_of_a_person_is_read_and_what_a_program_would_answer_for_ever_is_not() {
        let from = "from='user1@localhost/x'";
        for (kind, inside, expected) in [
            ("type='chat'", "<body>login</body>", true),
            ("", "<body>login</body>", true),
            ("type='normal'", "<body>login</body>", true),
            ("type='error'", "<body>login</body>", false),
            ("type='groupchat'", "<body>login</body>", false),
            ("type='headline'", "<body>login</body>", false),
            ("type='chat'", "", false),
            ("type='chat'", "<active xmlns='http://jabber.org/protocol/chatstates'/>", false),
            ("type='chat'", "<received xmlns='urn:xmpp:receipts' id='a'/>", false),
            ("type='chat'", "<body>login</body><delay xmlns='urn:xmpp:delay' stamp='2026-11-21T00:00:00Z'/>", false),
            ("type='chat'", "<body>login</body><sent xmlns='urn:xmpp:carbons:2'/>", false),
            ("type='chat'", "<body>login</body><received xmlns='urn:xmpp:carbons:2'/>", false),
        ] {
            assert_eq!(taken(&format!("<message {from} {kind}>{inside}</message>")), expected, "{kind} {inside}");
        }
        assert!(!taken("<message from='usher@localhost/other' type='chat'><body>login</body></message>"));
        assert!(!taken("<message type='chat'><body>login</body></message>"));
    }

    #[test]
    fn requests_about_commands_are_handed_on_and_all_others_are_not() {
        let iq = |kind: &str, inside: &str| {
            taken(&format!("<iq from='user1@localhost/x' id='1' type='{kind}'>{inside}</iq>"))
        };
        let commands = "http://jabber.org/protocol/commands";
        assert!(iq("set", &format!("<command xmlns='{commands}' node='x' action='execute'/>")));
        assert!(iq("get", &format!("<query xmlns='http://jabber.org/protocol/disco#items' node='{commands}'/>")));
        assert!(iq("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"));
        assert!(iq("get", &format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{commands}'/>")));
        assert!(iq("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:usher:command:status'/>"));
        assert!(!iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"));
        assert!(!iq("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:usher:client#abc'/>"));
        assert!(!iq("get", "<ping xmlns='urn:xmpp:ping'/>"));
        assert!(taken("<presence from='user1@localhost' type='subscribe'/>"));
        assert!(!taken("<presence from='user1@localhost/x'/>"));
    }
}
