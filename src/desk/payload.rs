//! The published form of a pop, version 1: see docs/screen-pop.md.

mod style;

use jiff::Timestamp;
use serde::Serialize;
use xmpp_parsers::{minidom::Element, ns};
use xso::{AsXml, FromXml};

pub use self::style::{Kind, Style};
use crate::domain::pop::PopState;

/// Namespace of the payload; another number is another contract.
pub const NAMESPACE: &str = "urn:usher:pop:1";

#[derive(Debug, FromXml, AsXml, Serialize)]
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
    /// Left out where it is not so.
    #[xml(attribute(default))]
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<bool>,
    #[xml(attribute(default))]
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<bool>,
    #[xml(child)]
    customer: CustomerPart,
    #[xml(child)]
    caller: CallerPart,
    #[xml(child(default))]
    #[serde(skip)]
    json: Option<Json>,
}

#[derive(Debug, FromXml, AsXml, Serialize)]
#[xml(namespace = NAMESPACE, name = "customer")]
struct CustomerPart {
    #[xml(attribute)]
    id: i64,
    #[xml(attribute)]
    code: String,
    #[xml(attribute)]
    name: String,
    #[xml(attribute(default))]
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

#[derive(Debug, FromXml, AsXml, Serialize)]
#[xml(namespace = NAMESPACE, name = "caller")]
struct CallerPart {
    #[xml(attribute)]
    number: String,
    #[xml(attribute)]
    name: String,
}

/// The same once more, for who would rather read that (XEP-0335). The library's own type keeps its field private.
#[derive(Debug, FromXml, AsXml)]
#[xml(namespace = ns::JSON_CONTAINERS, name = "json")]
struct Json {
    #[xml(text)]
    text: String,
}

impl Payload {
    fn as_json(&self) -> Json {
        #[derive(Serialize)]
        struct Object<'a> {
            schema: &'static str,
            #[serde(flatten)]
            pop: &'a Payload,
        }
        let object = Object { schema: NAMESPACE, pop: self };
        Json { text: serde_json::to_string(&object).expect("these types have a JSON form") }
    }
}

/// What is read of a payload that was found on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// Counts up over the call.
    pub revision: u32,
    /// `None`: a word that is not known here.
    pub state: Option<PopState>,
    /// Whether it is a test.
    pub kind: Kind,
}

/// Looks at a payload; `None`: not one of ours, or not readable.
pub fn glance(payload: &Element) -> Option<Glance> {
    if !payload.is("pop", NAMESPACE) {
        return None;
    }
    let state = payload.attr("state")?;
    Some(Glance {
        revision: payload.attr("revision")?.parse().ok()?,
        state: PopState::ALL.into_iter().find(|known| known.as_str() == state),
        kind: if payload.attr("test") == Some("true") { Kind::Test } else { Kind::Real },
    })
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
    last.json = last.json.is_some().then(|| last.as_json());
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
mod tests;
