//! What people write to a contact, or to the component: the counter's, or answered at once.

use xmpp_parsers::{
    disco::{DiscoItemsResult, Item},
    iq::{Iq, IqHeader, IqPayload},
    jid::{BareJid, Jid},
    message::{Message, MessageType},
    minidom::Element,
    ns,
    stanza::Stanza,
    stanza_error::{DefinedCondition, ErrorType, StanzaError},
};

use super::{Out, Service};
use crate::{
    domain::{
        contact::{OWN, may_see, name_of, queue_at},
        queue::roster::Queue,
    },
    xmpp::{
        disco::{COMMANDS, Kind, answer_as},
        incoming::Asked,
    },
};

impl Service {
    /// A message or a request.
    pub(super) fn written(&mut self, stanza: Stanza) {
        let to = match &stanza {
            Stanza::Message(message) => message.to.clone(),
            Stanza::Iq(iq) => iq.to().cloned(),
            Stanza::Presence(_) => None,
        };
        let Some(to) = to else { return };
        let label = self.label(&to);
        let Some(label) = label else { return self.nobody(stanza) };
        let is_ours = matches!(&stanza, Stanza::Iq(Iq::Get { payload, .. }) if lists_contacts(payload, &to));
        let taken = if is_ours { Err(Box::new(stanza)) } else { self.component.take(stanza, answering(&to)) };
        match taken.map_err(|rest| *rest) {
            Err(Stanza::Iq(iq)) => self.request(iq, label.as_deref()),
            Err(Stanza::Message(_) | Stanza::Presence(_)) => {}
            Ok(incoming) => {
                if let Err(full) = self.visitors.try_send(incoming) {
                    tracing::debug!("too much is written to the contacts: a stanza is refused");
                    full.into_inner().refuse(crate::xmpp::incoming::busy());
                }
            }
        }
    }

    /// Label of the queue at an address; `Some(None)`: it is the component's own; `None`: nobody's.
    fn label(&self, to: &Jid) -> Option<Option<String>> {
        let books = self.roster.borrow();
        match to.node() {
            None => Some(None),
            Some(name) => {
                let queue = queue_at(name.as_str(), &books).filter(|queue| name_of(&queue.name, &books).is_some())?;
                Some(Some(queue.label.clone()))
            }
        }
    }

    /// A request that no service answers.
    fn request(&mut self, iq: Iq, label: Option<&str>) {
        let (header, payload) = iq.split();
        let (asked, element) = match payload {
            IqPayload::Get(element) => (Asked::Get, element),
            IqPayload::Set(element) => (Asked::Set, element),
            // We ask nobody.
            IqPayload::Result(_) | IqPayload::Error(_) => return,
        };
        let answer = match (label, &header.to, &header.from) {
            (None, Some(to), Some(from)) if lists_contacts(&element, to) => {
                IqPayload::Result(Some(self.contacts(&from.to_bare()).into()))
            }
            (None, _, _) => answer_as(Kind::Component, &element, asked),
            // Whoever may not see a contact is told what they are told where there is none.
            (Some(_), _, Some(from)) if !self.sees(from, header.to.as_ref()) => IqPayload::Error(no_contact()),
            (Some(label), _, _) => answer_as(Kind::Contact(label), &element, asked),
        };
        self.answer(header, answer);
    }

    /// Whether somebody may see the contact at an address.
    fn sees(&mut self, who: &Jid, to: Option<&Jid>) -> bool {
        let books = self.roster.borrow();
        self.people.learn(&books);
        let queue = to.and_then(Jid::node).and_then(|name| queue_at(name.as_str(), &books));
        queue.zip(self.people.find(&who.to_bare())).is_some_and(|(queue, person)| may_see(&person, &queue.name, &books))
    }

    /// The contacts that somebody may see, and the commands.
    fn contacts(&mut self, person: &BareJid) -> DiscoItemsResult {
        let books = self.roster.borrow();
        self.people.learn(&books);
        let Some(person) = self.people.find(person) else { return items(vec![]) };
        let contact = |queue: &Queue| {
            let name = name_of(&queue.name, &books).filter(|_| may_see(&person, &queue.name, &books))?;
            let jid = format!("{name}@{}", self.domain).parse().ok()?;
            Some(Item { jid, node: None, name: Some(queue.label.clone()) })
        };
        let commands = self.domain.parse().ok().map(|jid| Item { jid, node: Some(COMMANDS.into()), name: None });
        items(books.queues().filter_map(contact).chain(commands).collect())
    }

    /// What is written to an address at which nobody is.
    fn nobody(&mut self, stanza: Stanza) {
        let error = no_contact();
        match stanza {
            Stanza::Iq(iq) => {
                let (header, payload) = iq.split();
                if matches!(payload, IqPayload::Get(_) | IqPayload::Set(_)) {
                    self.answer(header, IqPayload::Error(error));
                }
            }
            // Nobody has us write to others whom we do not know.
            Stanza::Message(message) if message.type_ != MessageType::Error && !message.bodies.is_empty() => {
                let Some(from) = message.from else { return };
                let known = {
                    let books = self.roster.borrow();
                    self.people.learn(&books);
                    self.people.find(&from.to_bare()).is_some()
                };
                if known {
                    let mut bounced = Message::new_with_type(MessageType::Error, Some(from));
                    (bounced.from, bounced.id) = (message.to, message.id);
                    self.outbox.push_back(Out::Stanza(Box::new(bounced.with_payload(error).into())));
                }
            }
            Stanza::Message(_) | Stanza::Presence(_) => {}
        }
    }

    fn answer(&mut self, asked: IqHeader, payload: IqPayload) {
        let header = IqHeader { from: asked.to, to: asked.from, id: asked.id };
        self.outbox.push_back(Out::Stanza(Box::new(Iq::assemble(header, payload).into())));
    }
}

fn no_contact() -> StanzaError {
    StanzaError::new(ErrorType::Cancel, DefinedCondition::ItemNotFound, "en", "there is no such contact")
}

/// The address that answers what is written to this one.
fn answering(to: &Jid) -> Jid {
    match to.node() {
        Some(_) => to.to_bare().with_resource_str(OWN).map_or_else(|_| to.clone(), Jid::from),
        None => to.to_bare().into(),
    }
}

/// Whether somebody looks for contacts at the component's own address.
fn lists_contacts(element: &Element, to: &Jid) -> bool {
    to.node().is_none() && element.is("query", ns::DISCO_ITEMS) && element.attr("node").is_none()
}

fn items(items: Vec<Item>) -> DiscoItemsResult {
    DiscoItemsResult { node: None, items, rsm: None }
}
