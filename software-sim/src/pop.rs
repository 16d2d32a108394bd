//! The payload of a pop, read as docs/screen-pop.md promises it: unknown attributes and children are passed over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use xmpp_parsers::minidom::Element;

/// Namespace of the version that is understood here.
pub const NAMESPACE: &str = "urn:usher:pop:1";

/// One revision of one pop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pop {
    /// `offered`, `ringing`, `answered`, `ended` or `withdrawn`; a word of the future is shown as it is.
    pub state: String,
    /// Which call.
    pub call: String,
    /// Counts up over the whole call.
    pub revision: u32,
    /// Whose desk.
    pub extension: String,
    /// In which queue the caller waited.
    pub queue: String,
    /// Whose file to open.
    pub customer: Customer,
    /// Who calls.
    pub caller: Caller,
    /// When the caller entered the queue.
    pub entered: Timestamp,
    /// When this revision was made.
    pub changed: Timestamp,
}

/// Whose file to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Key in the database.
    pub id: i64,
    /// What was keyed in.
    pub code: String,
    /// Name.
    pub name: String,
}

/// Who calls; empty where withheld.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Number.
    pub number: String,
    /// Name.
    pub name: String,
}

/// Why a payload was skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another element, or another version.
    #[error("expected <pop xmlns='{NAMESPACE}'>, found <{name} xmlns='{namespace}'>")]
    Foreign {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// Something is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Something cannot be read.
    #[error("{name} {value:?} cannot be read")]
    Unreadable {
        /// What.
        name: &'static str,
        /// As it came.
        value: String,
    },
}

impl Pop {
    /// Reads a payload.
    ///
    /// # Errors
    /// When it is of another namespace, or something that is promised is missing or cannot be read.
    pub fn read(payload: &Element) -> Result<Self, Malformed> {
        if !payload.is("pop", NAMESPACE) {
            return Err(Malformed::Foreign { name: payload.name().into(), namespace: payload.ns() });
        }
        let customer = payload.get_child("customer", NAMESPACE).ok_or(Malformed::Missing("customer"))?;
        let caller = payload.get_child("caller", NAMESPACE);
        let of_caller = |name| caller.and_then(|caller| caller.attr(name)).unwrap_or_default().to_owned();
        Ok(Self {
            state: text(payload, "state")?,
            call: text(payload, "call")?,
            revision: value(payload, "revision")?,
            extension: text(payload, "extension")?,
            queue: text(payload, "queue")?,
            customer: Customer {
                id: value(customer, "id")?,
                code: text(customer, "code")?,
                name: text(customer, "name")?,
            },
            caller: Caller { number: of_caller("number"), name: of_caller("name") },
            entered: value(payload, "entered")?,
            changed: value(payload, "changed")?,
        })
    }

    /// Whether nothing follows.
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "ended" | "withdrawn")
    }
}

fn text(element: &Element, name: &'static str) -> Result<String, Malformed> {
    element.attr(name).map(str::to_owned).ok_or(Malformed::Missing(name))
}

fn value<T: std::str::FromStr>(element: &Element, name: &'static str) -> Result<T, Malformed> {
    let value = text(element, name)?;
    value.parse().map_err(|_| Malformed::Unreadable { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "<pop xmlns='urn:usher:pop:1' call='c' revision='2' state='ringing' extension='1000'
        queue='support' entered='2026-11-21T03:00:00.123Z' changed='2026-11-21T03:00:00.456Z' colour='red'>
        <customer id='1' code='0071' name='Customer &amp; Co' tier='gold'/><caller number='2000' name=''/><more/></pop>";

    fn read(text: &str) -> Result<Pop, Malformed> {
        Pop::read(&text.parse().unwrap())
    }

    #[test]
    fn attributes_and_children_of_the_future_are_passed_over() {
        let pop = read(FULL).unwrap();
        assert_eq!((pop.revision, pop.state.as_str(), pop.customer.code.as_str()), (2, "ringing", "0071"));
        assert_eq!(pop.customer.name, "Customer & Co");
    }

    #[test]
    fn a_payload_without_a_caller_is_a_withheld_number() {
        assert_eq!(read(&FULL.replace("<caller number='2000' name=''/>", "")).unwrap().caller.number, "");
    }

    #[test]
    fn what_is_missing_or_unreadable_is_named() {
        assert_eq!(read(&FULL.replace("state='ringing'", "")), Err(Malformed::Missing("state")));
        let odd = read(&FULL.replace("revision='2'", "revision='two'"));
        assert_eq!(odd, Err(Malformed::Unreadable { name: "revision", value: "two".into() }));
        assert!(matches!(read("<test xmlns='test'>1|Company</test>"), Err(Malformed::Foreign { .. })));
    }
}
