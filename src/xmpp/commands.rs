//! Ad-hoc commands on the wire: requests and answers of XEP-0050, its errors, and tables of XEP-0004.

use xmpp_parsers::{
    data_forms::{DataForm, DataFormType, Field},
    minidom::{
        Element,
        rxml::{Namespace, NcName},
    },
    ns,
    stanza_error::{DefinedCondition, ErrorType, StanzaError},
};
use xso::{AsXml, FromXml};

use crate::{domain::command::dialog::Action, xmpp::disco::COMMANDS};

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = COMMANDS, name = "command", on_unknown_attribute = Discard)]
struct Wire {
    #[xml(attribute)]
    node: String,
    #[xml(attribute(default))]
    sessionid: Option<String>,
    #[xml(attribute(default))]
    action: Option<String>,
    #[xml(attribute(default))]
    status: Option<String>,
    #[xml(lang(default))]
    lang: Option<String>,
    #[xml(element(n = ..))]
    payloads: Vec<Element>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which command.
    pub node: String,
    /// Which dialogue goes on; `None`: one begins.
    pub session: Option<String>,
    /// What is wanted.
    pub action: Action,
    /// In which language (RFC 5646); empty: not said.
    pub lang: String,
    /// The form that was filled in, if there is one.
    pub form: Option<DataForm>,
}

/// How far a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A form is to be filled in.
    Executing,
    /// It is done.
    Completed,
    /// It was not, and is over.
    Cancelled,
}

/// What a client may do with a form, and what it does if it only goes on.
#[derive(Debug, Clone, PartialEq, Eq, FromXml, AsXml)]
#[xml(namespace = COMMANDS, name = "actions")]
pub struct Actions {
    #[xml(attribute)]
    execute: String,
    #[xml(flag)]
    prev: bool,
    #[xml(flag)]
    next: bool,
    #[xml(flag)]
    complete: bool,
}

impl Actions {
    /// Another form follows.
    pub fn more() -> Self {
        Self { execute: "next".into(), prev: false, next: true, complete: false }
    }

    /// It is done then; there is no form before this one.
    pub fn last() -> Self {
        Self { execute: "complete".into(), prev: false, next: false, complete: true }
    }

    /// It is done then; the form before this one can be shown again.
    pub fn last_of_several() -> Self {
        Self { prev: true, ..Self::last() }
    }
}

/// How a note is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// For information.
    Info,
    /// Something was not done.
    Warn,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = COMMANDS, name = "note")]
struct Note {
    #[xml(attribute = "type")]
    tone: String,
    #[xml(text)]
    text: String,
}

/// A note for the person.
pub fn note(tone: Tone, text: &str) -> Element {
    let tone = match tone {
        Tone::Info => "info",
        Tone::Warn => "warn",
    };
    Note { tone: tone.into(), text: text.into() }.into()
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::DATA_FORMS, name = "x")]
struct Table {
    #[xml(attribute = "type")]
    kind: String,
    #[xml(extract(name = "title", default, fields(text(type_ = String))))]
    title: Option<String>,
    #[xml(child)]
    reported: Reported,
    #[xml(child(n = ..))]
    items: Vec<Item>,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::DATA_FORMS, name = "reported")]
struct Reported {
    #[xml(child(n = ..))]
    fields: Vec<Field>,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::DATA_FORMS, name = "item")]
struct Item {
    #[xml(child(n = ..))]
    fields: Vec<Field>,
}

/// A form to be filled in. Each field says its type: a field of text need not (XEP-0004, section 3.3), but some clients (profanity 0.13) let
/// nobody fill in one that does not.
pub fn form(form: DataForm) -> Element {
    let name = NcName::try_from("type").expect("a plain word");
    let mut element = Element::from(form);
    for field in element.children_mut().filter(|child| child.is("field", ns::DATA_FORMS)) {
        if field.attr("type").is_none() {
            field.set_attr(Namespace::NONE, name.clone(), "text-single");
        }
    }
    element
}

/// A table (XEP-0004, section 3.4): `columns` are the names of its fields and what people read, each row has a value for each.
pub fn table(title: &str, columns: &[(&str, &str)], rows: Vec<Vec<String>>) -> Element {
    let head = |(var, label): &(&str, &str)| Field {
        label: Some((*label).to_owned()),
        ..Field::new(var, xmpp_parsers::data_forms::FieldType::TextSingle)
    };
    let item = |row: Vec<String>| Item {
        fields: columns.iter().zip(row).map(|((var, _), value)| Field::text_single(var, &value)).collect(),
    };
    Table {
        kind: "result".into(),
        title: Some(title.into()),
        reported: Reported { fields: columns.iter().map(head).collect() },
        items: rows.into_iter().map(item).collect(),
    }
    .into()
}

/// An answer that is no error.
pub fn answer(node: &str, session: &str, status: Status, payloads: Vec<Element>) -> Element {
    let status = match status {
        Status::Executing => "executing",
        Status::Completed => "completed",
        Status::Cancelled => "canceled",
    };
    Wire {
        node: node.into(),
        sessionid: Some(session.into()),
        action: None,
        status: Some(status.into()),
        lang: None,
        payloads,
    }
    .into()
}

/// What is wrong with a request (XEP-0050, section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The action is none.
    MalformedAction,
    /// The action is not possible now.
    BadAction,
    /// There is no such dialogue.
    BadSession,
    /// The dialogue took too long.
    SessionExpired,
    /// What was filled in cannot be used.
    BadPayload,
}

impl Fault {
    /// The error, with a text for people.
    pub fn error(self, text: &str) -> StanzaError {
        let (kind, condition, name) = match self {
            Self::MalformedAction => (ErrorType::Modify, DefinedCondition::BadRequest, "malformed-action"),
            Self::BadAction => (ErrorType::Modify, DefinedCondition::BadRequest, "bad-action"),
            Self::BadSession => (ErrorType::Modify, DefinedCondition::BadRequest, "bad-sessionid"),
            Self::SessionExpired => (ErrorType::Cancel, DefinedCondition::NotAllowed, "session-expired"),
            Self::BadPayload => (ErrorType::Modify, DefinedCondition::BadRequest, "bad-payload"),
        };
        let mut error = StanzaError::new(kind, condition, "en", text);
        error.other = Some(Element::bare(name, COMMANDS));
        error
    }
}

/// Takes a request apart.
///
/// # Errors
/// What is wrong with it.
pub fn request(element: Element) -> Result<Request, Fault> {
    let wire = Wire::try_from(element).map_err(|_| Fault::BadPayload)?;
    let action = match wire.action.as_deref() {
        None | Some("execute") => Action::Execute,
        Some("next") => Action::Next,
        Some("prev") => Action::Prev,
        Some("complete") => Action::Complete,
        Some("cancel") => Action::Cancel,
        Some(_) => return Err(Fault::MalformedAction),
    };
    let form = wire.payloads.into_iter().find(|payload| payload.is("x", ns::DATA_FORMS));
    let form = form.map(DataForm::try_from).transpose().map_err(|_| Fault::BadPayload)?;
    let form = form.filter(|form| form.type_ == DataFormType::Submit);
    Ok(Request { node: wire.node, session: wire.sessionid, action, lang: wire.lang.unwrap_or_default(), form })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(attributes: &str, inside: &str) -> Result<Request, Fault> {
        request(format!("<command xmlns='{COMMANDS}' {attributes}>{inside}</command>").parse().unwrap())
    }

    #[test]
    fn a_request_is_taken_apart_or_its_fault_is_named() {
        let plain = asked("node='n'", "").unwrap();
        assert_eq!((plain.action, plain.session, plain.form), (Action::Execute, None, None));
        let form =
            "<x xmlns='jabber:x:data' type='submit'><field var='queues'><value>a</value><value>b</value></field></x>";
        let full = asked("node='n' sessionid='s' action='complete' xml:lang='es' extra='x'", form).unwrap();
        assert_eq!((full.action, full.session.as_deref(), full.lang.as_str()), (Action::Complete, Some("s"), "es"));
        assert_eq!(full.form.unwrap().fields[0].values, ["a", "b"]);
        assert_eq!(asked("node='n' action='dance'", "").unwrap_err(), Fault::MalformedAction);
        assert_eq!(asked("action='next'", "").unwrap_err(), Fault::BadPayload);
        assert_eq!(asked("node='n'", "<x xmlns='jabber:x:data' type='nonsense'/>").unwrap_err(), Fault::BadPayload);
        assert_eq!(asked("node='n'", "<x xmlns='jabber:x:data' type='cancel'/>").unwrap().form, None);
    }

    #[test]
    fn answers_have_the_form_of_the_specification() {
        let element = answer("n", "s", Status::Executing, vec![Actions::last_of_several().into()]);
        assert_eq!((element.attr("status"), element.attr("sessionid")), (Some("executing"), Some("s")));
        let actions = element.get_child("actions", COMMANDS).unwrap();
        assert_eq!(actions.attr("execute"), Some("complete"));
        assert!(actions.has_child("prev", COMMANDS) && actions.has_child("complete", COMMANDS));
        assert!(!actions.has_child("next", COMMANDS));
        let table = table("T", &[("a", "A"), ("b", "B")], vec![vec!["1".into(), "<2>".into()]]);
        let reported = table.get_child("reported", ns::DATA_FORMS).unwrap();
        assert_eq!(reported.children().map(|field| field.attr("var").unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        let item = table.get_child("item", ns::DATA_FORMS).unwrap();
        assert_eq!(item.children().flat_map(Element::children).map(Element::text).collect::<Vec<_>>(), ["1", "<2>"]);
        let asks = DataForm {
            title: None,
            instructions: None,
            type_: DataFormType::Form,
            fields: vec![Field::text_single("a", "1")],
        };
        assert_eq!(form(asks).get_child("field", ns::DATA_FORMS).unwrap().attr("type"), Some("text-single"));
        let error = Fault::BadAction.error("no");
        assert_eq!(error.other.unwrap().name(), "bad-action");
    }
}
