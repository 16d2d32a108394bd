//! The published form of a pop, version 1: see docs/screen-pop.md.

use jiff::Timestamp;
use xmpp_parsers::minidom::Element;
use xso::{AsXml, FromXml};

use crate::domain::pop::{
    Pop, PopState,
    link::{Filling, Template},
};

/// Namespace of the payload; another number is another contract.
pub const NAMESPACE: &str = "urn:usher:pop:1";

#[derive(Debug, FromXml, AsXml)]
#[xml(namespace = NAMESPACE, name = "pop")]
struct Payload {
    #[xml(attribute)]
    call: String,
    #[xml(attribute)]
    revision: u32,
    #[xml(attribute)]
    state: String,
    #[xml(attribute)]
    extension: String,
    #[xml(attribute)]
    queue: String,
    #[xml(attribute)]
    entered: String,
    #[xml(attribute)]
    changed: String,
    #[xml(child)]
    customer: CustomerPart,
    #[xml(child)]
    caller: CallerPart,
}

#[derive(Debug, FromXml, AsXml)]
#[xml(namespace = NAMESPACE, name = "customer")]
struct CustomerPart {
    #[xml(attribute)]
    id: i64,
    #[xml(attribute)]
    code: String,
    #[xml(attribute)]
    name: String,
    #[xml(attribute(default))]
    link: Option<String>,
}

#[derive(Debug, FromXml, AsXml)]
#[xml(namespace = NAMESPACE, name = "caller")]
struct CallerPart {
    #[xml(attribute)]
    number: String,
    #[xml(attribute)]
    name: String,
}

/// The payload of one revision, with the address of the customer's page if the queue has a template for it.
pub fn element(pop: &Pop, template: Option<&Template>) -> Element {
    let filling = Filling { customer: &pop.customer, caller: &pop.caller };
    Payload {
        call: pop.call.to_string(),
        revision: pop.revision,
        state: pop.state.as_str().into(),
        extension: pop.extension.to_string(),
        queue: pop.queue.to_string(),
        entered: time(pop.entered_at),
        changed: time(pop.changed_at),
        customer: CustomerPart {
            id: pop.customer.id,
            code: pop.customer.code.to_string(),
            name: sendable(&pop.customer.name),
            link: template.map(|template| template.fill(&filling)),
        },
        caller: CallerPart { number: sendable(&pop.caller.number), name: sendable(&pop.caller.name) },
    }
    .into()
}

/// The revision of a payload that was found on a node; `None`: not one of ours, or not readable.
pub fn revision(payload: &Element) -> Option<u32> {
    if !payload.is("pop", NAMESPACE) {
        return None;
    }
    payload.attr("revision")?.parse().ok()
}

/// The payload of an item that cannot be taken away as its last revision; `None`: it says already that it is over, or is not one
/// of ours.
pub fn withdrawn(payload: Element, at: Timestamp) -> Option<Element> {
    let mut last = Payload::try_from(payload).ok()?;
    if [PopState::Ended, PopState::Withdrawn].iter().any(|state| last.state == state.as_str()) {
        return None;
    }
    last.state = PopState::Withdrawn.as_str().into();
    last.revision = last.revision.saturating_add(1);
    last.changed = time(at);
    Some(last.into())
}

/// The text without characters that XML 1.0 section 2.2 forbids: one of them would end the whole stream.
pub fn sendable(text: &str) -> String {
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}

fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::{CallId, CustomerCode, Extension, QueueName},
        queue::roster::{CallerId, Customer},
    };
    use uuid::Uuid;

    fn pop(name: &str) -> Pop {
        Pop {
            call: CallId(Uuid::from_u128(7)),
            revision: 2,
            state: PopState::Ringing,
            extension: Extension::new("1000"),
            queue: QueueName::new("support"),
            customer: Customer { id: 1, code: CustomerCode::new("0071"), name: name.into() },
            caller: CallerId { number: "2000".into(), name: "\u{b}x".into() },
            entered_at: "2026-11-21T03:00:00.123456Z".parse().unwrap(),
            changed_at: "2026-11-21T03:00:00Z".parse().unwrap(),
        }
    }

    fn text(element: &Element) -> String {
        let mut text = Vec::new();
        element.write_to(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn written(pop: &Pop) -> String {
        text(&element(pop, None))
    }

    #[test]
    fn the_payload_has_the_promised_form() {
        let text = written(&pop("Customer & Co"));
        for part in [
            "urn:usher:pop:1",
            "call='00000000-0000-0000-0000-000000000007'",
            "revision='2'",
            "state='ringing'",
            "entered='2026-11-21T03:00:00.123Z'",
            "changed='2026-11-21T03:00:00.000Z'",
            "code='0071'",
            "Customer &amp; Co",
        ] {
            assert!(text.replace('"', "'").contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_name_with_commas_ampersands_quotes_and_utf8_comes_back_as_it_was() {
        let name = "X, Y & <Z> \"q\" 'a' é 日本 🙂\n\t";
        let back: Element = written(&pop(name)).parse().unwrap();
        assert_eq!(back.get_child("customer", NAMESPACE).unwrap().attr("name"), Some(name));
        assert_eq!(revision(&back), Some(2));
    }

    #[test]
    fn a_caller_id_with_a_control_character_cannot_end_the_stream() {
        let back: Element = written(&pop("C")).parse().unwrap();
        assert_eq!(back.get_child("caller", NAMESPACE).unwrap().attr("name"), Some("\u{fffd}x"));
    }

    #[test]
    fn a_link_stands_with_the_customer_where_the_queue_has_one() {
        let of = |element: &Element| element.get_child("customer", NAMESPACE).unwrap().attr("link").map(str::to_owned);
        let template: Template = "https://crm.example/{code}?n={name}".parse().unwrap();
        let written: Element = text(&element(&pop("A & \"B\""), Some(&template))).parse().unwrap();
        assert_eq!(of(&written).as_deref(), Some("https://crm.example/0071?n=A%20%26%20%22B%22"));
        assert_eq!(of(&element(&pop("A"), None)), None);
    }

    #[test]
    fn an_item_that_stays_becomes_withdrawn_once_and_keeps_everything_else() {
        let at = "2026-11-21T04:00:00Z".parse().unwrap();
        let template: Template = "https://crm.example/{code}?{name}".parse().unwrap();
        let last = withdrawn(element(&pop("C"), Some(&template)), at).unwrap();
        let expected = Pop { revision: 3, state: PopState::Withdrawn, changed_at: at, ..pop("C") };
        assert_eq!(last, element(&expected, Some(&template)));
        assert_eq!(withdrawn(last, at), None);
        assert_eq!(withdrawn("<pop xmlns='urn:usher:pop:2' revision='3'/>".parse().unwrap(), at), None);
    }

    #[test]
    fn the_payload_of_another_version_has_no_revision_for_us() {
        let other: Element = "<pop xmlns='urn:usher:pop:2' revision='3'/>".parse().unwrap();
        assert_eq!(revision(&other), None);
    }
}
