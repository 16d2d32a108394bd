//! What the account says of itself (XEP-0030), and the short form of it in its presence (XEP-0115).

use xmpp_parsers::{
    caps::{Caps, compute_disco, hash_caps},
    disco::{DiscoInfoResult, Identity},
    hashes::Algo,
    iq::IqPayload,
    minidom::Element,
    ns,
    presence::{Presence, Type as PresenceType},
    stanza_error::{DefinedCondition, ErrorType, StanzaError},
};

use crate::xmpp::incoming::Asked;

/// Namespace of ad-hoc commands (XEP-0050), and the node that lists them.
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// What the nodes of our commands begin with.
pub const COMMAND_PREFIX: &str = "urn:usher:command:";
/// Names the program in the short form.
const NODE: &str = "urn:usher:client";

/// Whether somebody answers what is written to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// Messages and commands are answered.
    Commands,
    /// Nobody reads them.
    Nothing,
}

/// What an address of the component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// The component itself.
    Component,
    /// A contact, by the name that people read.
    Contact(&'a str),
}

/// The answer of an address of the component to a request that no service answers.
pub fn answer_as(kind: Kind<'_>, element: &Element, asked: Asked) -> IqPayload {
    let identity = match kind {
        Kind::Component => Identity::new("component", "generic", "en", "Usher"),
        Kind::Contact(name) => Identity::new("client", "bot", "en", name),
    };
    answer_with(DiscoInfoResult { identities: vec![identity], ..info(Answers::Commands) }, element, asked)
}

/// What the account is, and can.
fn info(answers: Answers) -> DiscoInfoResult {
    let always = [ns::DISCO_INFO, ns::PING];
    let commands = [ns::DISCO_ITEMS, COMMANDS, ns::DATA_FORMS, ns::RECEIPTS, ns::MESSAGE_CORRECT, ns::CAPS];
    let features = match answers {
        Answers::Commands => always.into_iter().chain(commands).map(str::to_owned).collect(),
        Answers::Nothing => always.map(str::to_owned).into(),
    };
    DiscoInfoResult {
        node: None,
        identities: vec![Identity::new("client", "bot", "en", "Usher")],
        features,
        extensions: vec![],
    }
}

/// That the account is there: whoever writes to it reaches us, instead of a store that grows until the next log-in.
pub(super) fn presence(answers: Answers) -> Presence {
    let presence = Presence::new(PresenceType::None);
    match answers {
        Answers::Nothing => presence,
        Answers::Commands => match hash_caps(&compute_disco(&info(answers)), Algo::Sha_1) {
            Ok(hash) => presence.with_payload(Caps::new(NODE, hash)),
            // SHA-1 is what XEP-0115 has to have; without it clients ask instead.
            Err(_) => presence,
        },
    }
}

/// The answer to a request that no service answers: a ping and "what are you" are answered, everything else is refused, so that nobody
/// waits for us.
pub(super) fn answer_to(element: &Element, asked: Asked, answers: Answers) -> IqPayload {
    answer_with(info(answers), element, asked)
}

fn answer_with(info: DiscoInfoResult, element: &Element, asked: Asked) -> IqPayload {
    match asked {
        Asked::Get if element.is("ping", ns::PING) => IqPayload::Result(None),
        Asked::Get if element.is("query", ns::DISCO_INFO) => {
            let node = element.attr("node").map(str::to_owned);
            IqPayload::Result(Some(DiscoInfoResult { node, ..info }.into()))
        }
        Asked::Get | Asked::Set => IqPayload::Error(unavailable()),
    }
}

/// That the account does not offer what was asked for.
pub fn unavailable() -> StanzaError {
    StanzaError::new(ErrorType::Cancel, DefinedCondition::ServiceUnavailable, "en", "this account does not offer that")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_who_asks_for_something_unknown_is_refused_and_does_not_hang() {
        for answers in [Answers::Commands, Answers::Nothing] {
            let element: Element = "<query xmlns='jabber:iq:version'/>".parse().unwrap();
            assert!(matches!(answer_to(&element, Asked::Get, answers), IqPayload::Error(_)));
            let ping: Element = "<ping xmlns='urn:xmpp:ping'/>".parse().unwrap();
            assert!(matches!(answer_to(&ping, Asked::Get, answers), IqPayload::Result(None)));
            assert!(matches!(answer_to(&ping, Asked::Set, answers), IqPayload::Error(_)));
        }
    }

    #[test]
    fn commands_are_announced_only_where_somebody_answers_them() {
        assert!(info(Answers::Commands).features.contains(COMMANDS));
        assert!(!info(Answers::Nothing).features.contains(COMMANDS));
        let payloads = |answers| presence(answers).payloads.len();
        assert_eq!((payloads(Answers::Commands), payloads(Answers::Nothing)), (1, 0));
    }
}
