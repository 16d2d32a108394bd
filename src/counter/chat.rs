//! Commands by chat: receipts, corrections, and answers.

use std::time::Instant;

use uuid::Uuid;
use xmpp_parsers::{
    jid::BareJid,
    message::{Id, Message},
    message_correct::Replace,
    minidom::Element,
    ns,
    receipts::Received,
};

use crate::{
    counter::{Counter, Errand, Finished, STALE, here, nothing},
    desk::payload::sendable,
    domain::{
        command::{
            Person,
            answer::{Answer, Trouble},
            spoken, understand_at,
            vocabulary::{answered_in, tagged},
        },
        words::Language,
    },
    xmpp::incoming::{Incoming, What},
};

/// XEP-0334: an answer means nothing later.
const HINTS: &str = "urn:xmpp:hints";

impl Counter {
    /// What is to be done with a message of somebody who may write.
    pub(super) fn chat(&mut self, person: BareJid, who: Person, incoming: Incoming) -> Errand {
        let What::Message(message) = &incoming.what else { return nothing(person) };
        let last = self.door.language(&person);
        let wished = last.unwrap_or(self.language);
        let Some((tag, body)) = message.get_best_body_cloned(vec![wished.tag()]) else { return nothing(person) };
        let tag = tagged(&tag);
        let corrected = replaced(message);
        let id = message.id.as_ref().map(|Id(id)| id.clone());
        let said = spoken(&body);
        let used = answered_in(said.map_or(&[], |said| said.languages), last, tag, self.language);
        if said.is_some() {
            self.door.speaks(&person, used, Instant::now());
        }
        let language = self.door.chosen(&person).unwrap_or(used);
        let undone = corrected.as_ref().is_none_or(|id| !self.door.has_done(&person, id));
        let command = if incoming.at.elapsed() > STALE {
            Err(Answer::Trouble(Trouble::TooLate))
        } else if !undone {
            Err(Answer::AlreadyDone)
        } else {
            let books = self.roster.borrow();
            let here = here(&incoming, &books);
            let understood = said.map(|said| understand_at(said, &who, here.as_ref(), &books));
            understood.ok_or(Answer::ShortHelp).and_then(|command| command.map_err(Answer::Refused))
        };
        let language = match &command {
            Ok(crate::domain::command::Command::Language(Some(wanted))) => {
                self.door.chooses(&person, *wanted, Instant::now());
                *wanted
            }
            Ok(_) | Err(_) => language,
        };
        tracing::debug!(verb = ?said.map(|said| said.verb), understood = command.is_ok(), "a message to the counter");
        let desks = self.desks.clone();
        Box::pin(async move {
            let acknowledged = receipt(&incoming);
            if let Some(received) = acknowledged {
                incoming.say(received).await;
            }
            let (answer, did) = match command {
                Ok(command) => {
                    let consequences = command.verb().has_consequences();
                    let answer = desks.carry_out(command, &who).await;
                    // What a correction corrects next has the id of the first message (XEP-0308, section 3).
                    let ids = if consequences && !answer.is_failure() { [id, corrected] } else { [None, None] };
                    (answer, ids.into_iter().flatten().collect())
                }
                Err(answer) => (answer, vec![]),
            };
            incoming.say(reply(&incoming, &answer.say(language))).await;
            Finished { person, did }
        })
    }
}

/// Tells somebody that they write too fast.
pub(super) fn too_fast(incoming: &Incoming, language: Language) {
    incoming.say_now(reply(incoming, &Answer::Trouble(Trouble::TooFast).say(language)));
}

/// The id of the message that this one corrects.
fn replaced(message: &Message) -> Option<String> {
    let replace = message.payloads.iter().find(|payload| payload.is("replace", ns::MESSAGE_CORRECT))?;
    let Replace { id: Id(id) } = Replace::try_from(replace.clone()).ok()?;
    Some(id)
}

/// The receipt that a message asks for (XEP-0184).
fn receipt(incoming: &Incoming) -> Option<Message> {
    let What::Message(message) = &incoming.what else { return None };
    let Id(id) = message.id.clone()?;
    let is_asked = message.payloads.iter().any(|payload| payload.is("request", ns::RECEIPTS));
    let mut received = Message::new_with_type(message.type_.clone(), None);
    received.payloads = vec![Received { id }.into(), Element::bare("no-store", HINTS)];
    is_asked.then_some(received)
}

fn reply(incoming: &Incoming, text: &str) -> Message {
    let mut reply = Message::chat(None);
    if let What::Message(message) = &incoming.what {
        reply.type_ = message.type_.clone();
        reply.thread = message.thread.clone();
    }
    reply.id = Some(Id(Uuid::new_v4().to_string()));
    reply.bodies.insert(Default::default(), sendable(text));
    reply.with_payloads(vec![Element::bare("no-store", HINTS), Element::bare("no-permanent-store", HINTS)])
}
