//! What the owner of a room sets: its configuration, by the fields that the server's form offers, and who may enter.

use std::{collections::BTreeMap, time::Duration};

use xmpp_parsers::{
    data_forms::{DataForm, DataFormType, Field, FieldType},
    disco::{DiscoInfoQuery, DiscoInfoResult},
    iq::IqPayload,
    jid::{BareJid, Jid},
    minidom::Element,
    ns,
    ping::Ping,
    stanza_error::DefinedCondition,
};
use xso::{AsXml, FromXml};

use crate::{
    domain::room::access::{self, Affiliation},
    xmpp::session::{RequestError, Session, describe},
};

/// The longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const OWNER: &str = "http://jabber.org/protocol/muc#owner";
const ADMIN: &str = "http://jabber.org/protocol/muc#admin";
const NAME: &str = "muc#roomconfig_roomname";
const MEMBERS_ONLY: &str = "muc#roomconfig_membersonly";

/// What each field is set to, where the form has it. The first ones are the standard's (XEP-0045, section 16.5), the others of single servers.
const SETTINGS: [(&str, &str); 10] = [
    (MEMBERS_ONLY, "1"),
    ("muc#roomconfig_persistentroom", "1"),
    ("muc#roomconfig_publicroom", "0"),
    ("muc#roomconfig_changesubject", "0"),
    ("muc#roomconfig_whois", "anyone"),
    ("muc#roomconfig_passwordprotectedroom", "0"),
    ("muc#roomconfig_moderatedroom", "0"),
    // Whoever is invited by a member would become one.
    ("muc#roomconfig_allowinvites", "0"),
    ("{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites", "0"),
    ("public_list", "0"),
];

/// What a room is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name as people read it.
    pub label: String,
    /// Who may enter, and as what; not the service itself.
    pub people: BTreeMap<BareJid, Affiliation>,
}

/// Why a room is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The service that has the rooms said no.
    #[error("the rooms' service refused: {0}; may the account make rooms there, and is xmpp.rooms right?")]
    Refused(String),
    /// It is somebody else's.
    #[error(
        "the room is not the service's: have its owner, or the server's administrator, destroy it or make the account an owner"
    )]
    NotOurs,
    /// It was destroyed, and the server keeps it so.
    #[error("the room was destroyed, and the server does not let it be made again: see INSTALL.md, step 3")]
    Destroyed,
    /// Strangers could enter.
    #[error("the server does not let the room be for its members alone, so nothing is said there")]
    NotPrivate,
    /// All names that were tried are somebody else's there.
    #[error("others have all the names that the service would have in the room")]
    NoName,
    /// It was not sent, or not answered.
    #[error("no answer from the rooms' service; is xmpp.rooms right?")]
    NoAnswer,
}

impl From<RequestError> for Trouble {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(error) if error.defined_condition == DefinedCondition::Forbidden => Self::NotOurs,
            RequestError::Refused(error) => Self::Refused(describe(&error)),
            RequestError::NotSent | RequestError::NoAnswer => Self::NoAnswer,
        }
    }
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = OWNER, name = "query", on_unknown_child = Discard)]
struct OwnerQuery {
    #[xml(child(default))]
    form: Option<DataForm>,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ADMIN, name = "query", on_unknown_child = Discard)]
struct AdminQuery {
    #[xml(child(n = ..))]
    items: Vec<AdminItem>,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ADMIN, name = "item", on_unknown_attribute = Discard, on_unknown_child = Discard)]
struct AdminItem {
    #[xml(attribute(default))]
    affiliation: Option<String>,
    #[xml(attribute(default))]
    jid: Option<Jid>,
}

/// Makes a room that we are in what it is to be; asks first, and changes only what is otherwise.
///
/// # Errors
/// See [`Trouble`]. What was changed before stays so.
pub async fn settle(session: &Session, room: &BareJid, wanted: &Wanted) -> Result<(), Trouble> {
    if let Some(filled) = fill(&form(session, room).await?, &wanted.label)? {
        let query = OwnerQuery { form: Some(filled) };
        ask(session, room, IqPayload::Set(query.into())).await?;
        // Servers pass over what they do not like.
        if !is_for_members(&form(session, room).await?) {
            return Err(Trouble::NotPrivate);
        }
    }
    let mut found = BTreeMap::new();
    for affiliation in Affiliation::LISTED {
        for person in listed(session, room, affiliation).await? {
            found.insert(person, affiliation);
        }
    }
    for (person, affiliation) in access::changes(&found, &wanted.people) {
        let item = AdminItem { affiliation: Some(affiliation.as_str().into()), jid: Some(person.into()) };
        // One by one: some servers read the first of several alone.
        ask(session, room, IqPayload::Set(AdminQuery { items: vec![item] }.into())).await?;
    }
    Ok(())
}

/// Asks a service whether it has rooms; its own word for itself if it has not.
///
/// # Errors
/// See [`Trouble`].
pub async fn has_rooms(session: &Session, service: &BareJid) -> Result<bool, Trouble> {
    let asked = IqPayload::Get(DiscoInfoQuery { node: None }.into());
    let answer = ask(session, service, asked).await?.ok_or(Trouble::NoAnswer)?;
    let info = DiscoInfoResult::try_from(answer).map_err(|_| Trouble::NoAnswer)?;
    Ok(info.features.contains(ns::MUC))
}

/// Whether we are in a room under this name (XEP-0410). Who gets no answer may be.
pub async fn is_there(session: &Session, room: &BareJid, nick: &str, within: Duration) -> bool {
    let Some(own) = super::occupant(room, nick) else { return false };
    match session.request(own, IqPayload::Get(Ping.into()), within).await {
        Ok(_) | Err(RequestError::NotSent | RequestError::NoAnswer) => true,
        // Whoever is there answers, if only that it does not know the question.
        Err(RequestError::Refused(error)) => matches!(
            error.defined_condition,
            DefinedCondition::ServiceUnavailable | DefinedCondition::FeatureNotImplemented
        ),
    }
}

async fn ask(session: &Session, room: &BareJid, payload: IqPayload) -> Result<Option<Element>, RequestError> {
    session.request(room.clone().into(), payload, ANSWER_WITHIN).await
}

async fn form(session: &Session, room: &BareJid) -> Result<DataForm, Trouble> {
    let answer = ask(session, room, IqPayload::Get(OwnerQuery { form: None }.into())).await?;
    let query = answer.and_then(|answer| OwnerQuery::try_from(answer).ok());
    query.and_then(|query| query.form).ok_or_else(|| Trouble::Refused("it has no form for the room".into()))
}

async fn listed(session: &Session, room: &BareJid, affiliation: Affiliation) -> Result<Vec<BareJid>, Trouble> {
    let item = AdminItem { affiliation: Some(affiliation.as_str().into()), jid: None };
    let answer = ask(session, room, IqPayload::Get(AdminQuery { items: vec![item] }.into())).await?;
    let query = answer.and_then(|answer| AdminQuery::try_from(answer).ok());
    let items = query.map(|query| query.items).unwrap_or_default();
    Ok(items.into_iter().filter_map(|item| item.jid).map(Jid::into_bare).collect())
}

fn value(field: &Field) -> &str {
    match field.values.first().map_or("", String::as_str) {
        "true" => "1",
        "false" => "0",
        other => other,
    }
}

fn is_for_members(form: &DataForm) -> bool {
    form.fields.iter().any(|field| field.var.as_deref() == Some(MEMBERS_ONLY) && value(field) == "1")
}

/// The form, filled in as the room is to be; `None`: it is so already.
fn fill(form: &DataForm, label: &str) -> Result<Option<DataForm>, Trouble> {
    if !form.fields.iter().any(|field| field.var.as_deref() == Some(MEMBERS_ONLY)) {
        return Err(Trouble::NotPrivate);
    }
    let mut changed = false;
    let mut fields = Vec::new();
    for field in form.fields.iter().filter(|field| field.type_ != FieldType::Fixed) {
        let Some(var) = field.var.as_deref() else { continue };
        let wanted = match var {
            NAME => Some(label),
            _ => SETTINGS.iter().find(|(name, _)| *name == var).map(|(_, value)| *value),
        };
        // A choice that the server does not offer is not made.
        let wanted = wanted
            .filter(|wanted| field.options.is_empty() || field.options.iter().any(|option| option.value == *wanted));
        let mut filled = Field::new(var, field.type_.clone());
        filled.values.clone_from(&field.values);
        if let Some(wanted) = wanted
            && value(field) != wanted
        {
            changed = true;
            filled.values = vec![wanted.to_owned()];
        }
        // So that a list of choices is a list yet; a server has no need of them.
        fields.push(filled);
    }
    let submitted = DataForm { type_: DataFormType::Submit, title: None, instructions: None, fields };
    Ok(changed.then_some(submitted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &str) -> DataForm {
        let xml = format!(
            "<x xmlns='jabber:x:data' type='form'><title>t</title>\
             <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/muc#roomconfig</value></field>{fields}</x>"
        );
        DataForm::try_from(xml.parse::<Element>().unwrap()).unwrap()
    }

    fn submitted(form: &DataForm) -> Vec<(String, String)> {
        let fields = form.fields.iter().map(|field| (field.var.clone().unwrap(), field.values.join("|")));
        fields.filter(|(var, _)| var != "FORM_TYPE").collect()
    }

    const OPEN: &str = "<field type='fixed'><value>About</value></field>\
        <field var='muc#roomconfig_roomname' type='text-single'><value/></field>\
        <field var='muc#roomconfig_membersonly' type='boolean'><value>false</value></field>\
        <field var='muc#roomconfig_publicroom' type='boolean'><value>1</value></field>\
        <field var='muc#roomconfig_whois' type='list-single'><value>moderators</value>\
        <option label='x'><value>moderators</value></option><option label='y'><value>anyone</value></option></field>\
        <field var='muc#roomconfig_historylength' type='text-single'><value>20</value></field>";

    #[test]
    fn what_a_server_offers_is_set_and_what_else_stands_in_its_form_is_sent_back() {
        let filled = fill(&form(OPEN), "Support & <Co>").unwrap().unwrap();
        assert_eq!(filled.type_, DataFormType::Submit);
        assert_eq!(
            submitted(&filled),
            [
                ("muc#roomconfig_roomname", "Support & <Co>"),
                ("muc#roomconfig_membersonly", "1"),
                ("muc#roomconfig_publicroom", "0"),
                ("muc#roomconfig_whois", "anyone"),
                ("muc#roomconfig_historylength", "20"),
            ]
            .map(|(var, value)| (var.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_room_that_is_as_it_is_to_be_is_left_alone() {
        let settled = OPEN
            .replace("<value/>", "<value>Support</value>")
            .replace("<value>false</value>", "<value>true</value>")
            .replace("'boolean'><value>1", "'boolean'><value>0")
            .replace("single'><value>moderators", "single'><value>anyone");
        assert_eq!(fill(&form(&settled), "Support"), Ok(None));
        assert!(is_for_members(&form(&settled)) && !is_for_members(&form(OPEN)));
    }

    #[test]
    fn a_server_that_cannot_shut_strangers_out_is_trouble_and_a_choice_it_does_not_offer_is_not_made() {
        assert_eq!(fill(&form(""), "Support"), Err(Trouble::NotPrivate));
        let without = OPEN.replace("<option label='y'><value>anyone</value></option>", "");
        let filled = fill(&form(&without), "Support").unwrap().unwrap();
        assert!(submitted(&filled).contains(&("muc#roomconfig_whois".into(), "moderators".into())));
    }
}
