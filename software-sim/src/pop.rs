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
    /// What tells the person is left out; the link leads to it.
    #[serde(default, skip_serializing_if = "is_not")]
    pub private: bool,
    /// Nobody calls: somebody tries their software.
    #[serde(default, skip_serializing_if = "is_not")]
    pub test: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_not(value: &bool) -> bool {
    !value
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
    /// Address of the customer's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
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
                link: customer.attr("link").map(str::to_owned),
            },
            caller: Caller { number: of_caller("number"), name: of_caller("name") },
            entered: value(payload, "entered")?,
            changed: value(payload, "changed")?,
            private: flag(payload, "private"),
            test: flag(payload, "test"),
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

/// A flag of XML Schema; one that is not there is not set.
fn flag(element: &Element, name: &str) -> bool {
    matches!(element.attr(name), Some("true" | "1"))
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
        assert_eq!((pop.private, pop.test, pop.customer.link), (false, false, None));
        let marked =
            FULL.replace("colour='red'", "private='true' test='true'").replace("tier='gold'", "link='https://c/1'");
        let marked = read(&marked).unwrap();
        assert_eq!((marked.private, marked.test, marked.customer.link.as_deref()), (true, true, Some("https://c/1")));
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
