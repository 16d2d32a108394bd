//! The pubsub verbs (XEP-0060) that a publisher needs, each as one typed call.
//!
//! Owns the requests' form and what their errors mean. Own types stand where `xmpp_parsers` keeps fields private.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::OnceCell;

use xmpp_parsers::{
    data_forms::{DataForm, DataFormType, Field, FieldType},
    disco::{DiscoInfoQuery, DiscoInfoResult},
    iq::IqPayload,
    jid::{BareJid, Jid},
    minidom::Element,
    ns,
    pubsub::{
        AffiliationAttribute, ItemId, NodeName, Owner, PubSub, owner,
        pubsub::{Configure, Create, Item, Items, Publish, PublishOptions, Retract},
    },
    stanza_error::{DefinedCondition, StanzaError},
};
use xso::{AsXml, FromXml};

mod access;

use crate::{
    domain::pop::access::same_value,
    xmpp::session::{RequestError, Session, describe},
};

/// The longest wait for one answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Items that a node keeps: more than the calls one person can have.
pub const MAX_ITEMS: u32 = 16;

const ACCESS_MODEL: &str = "pubsub#access_model";
const WHITELIST: &str = "whitelist";
/// What a publish asks of its node (XEP-0060 section 7.1.5); by the same name a service says that it looks at that.
const PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
const AUTO_CREATE: &str = "http://jabber.org/protocol/pubsub#auto-create";

/// Why a verb did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such node or item.
    #[error("there is no such node or item")]
    NotFound,
    /// The node is not as it was asked to be: somebody has configured it otherwise.
    #[error("the node is configured otherwise")]
    NotAsAsked,
    /// The server does not want it.
    #[error("the pubsub service refused: {0}")]
    Refused(String),
    /// It was not sent.
    #[error("not sent: no link to the XMPP server")]
    NotSent,
    /// It may have been carried out or not.
    #[error("no answer from the pubsub service")]
    NoAnswer,
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(error) if error.defined_condition == DefinedCondition::ItemNotFound => Self::NotFound,
            RequestError::Refused(error) if is_precondition(&error) => Self::NotAsAsked,
            RequestError::Refused(error) => Self::Refused(describe(&error)),
            RequestError::NotSent => Self::NotSent,
            RequestError::NoAnswer => Self::NoAnswer,
        }
    }
}

/// Whether it says that a precondition of a publish was not met (XEP-0060 section 7.1.5).
fn is_precondition(error: &StanzaError) -> bool {
    error.other.as_ref().is_some_and(|other| other.is("precondition-not-met", ns::PUBSUB_ERRORS))
}

/// What was there before a node was ensured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Node,
}

/// `<affiliations/>` of an owner (XEP-0060 section 8.9); the library's own has no way to its fields.
#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::PUBSUB_OWNER, name = "pubsub")]
struct OwnerAffiliations {
    #[xml(child)]
    affiliations: Affiliations,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::PUBSUB_OWNER, name = "affiliations")]
struct Affiliations {
    #[xml(attribute)]
    node: String,
    #[xml(child(n = ..))]
    list: Vec<Affiliation>,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::PUBSUB_OWNER, name = "affiliation")]
struct Affiliation {
    #[xml(attribute)]
    jid: Jid,
    #[xml(attribute)]
    affiliation: AffiliationAttribute,
}

/// `<subscriptions/>` of an owner (XEP-0060 section 8.8), read tolerantly.
#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::PUBSUB_OWNER, name = "pubsub")]
struct OwnerSubscriptions {
    #[xml(child)]
    subscriptions: Subscriptions,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::PUBSUB_OWNER, name = "subscriptions")]
struct Subscriptions {
    #[xml(attribute(default))]
    node: Option<String>,
    #[xml(child(n = ..))]
    list: Vec<SubscriptionOf>,
}

#[derive(Debug, Clone, FromXml, AsXml)]
#[xml(namespace = ns::PUBSUB_OWNER, name = "subscription")]
struct SubscriptionOf {
    #[xml(attribute)]
    jid: Jid,
    /// A word, because the library's type leaves out `none`, which is what has to be said.
    #[xml(attribute)]
    subscription: String,
    #[xml(attribute(default))]
    subid: Option<String>,
}

/// A pubsub service as seen through a session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pubsub {
    session: Session,
    service: Jid,
    owner: BareJid,
    /// Whether the server looks at what a publish asks of its node, as far as it was asked.
    takes_options: Arc<OnceCell<bool>>,
}

impl Pubsub {
    /// `owner` is the session's own account.
    pub fn new(session: Session, service: Jid, owner: BareJid) -> Self {
        Self { session, service, owner, takes_options: Arc::default() }
    }

    /// Makes sure that the node exists, is configured as a desk has to be, and is open to exactly `readers`
    /// (bare addresses) beside ourselves. What is right already is left alone.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ensure(&self, node: &str, readers: &BTreeSet<BareJid>) -> Result<(), Error> {
        self.takes_options.get_or_try_init(|| self.looks_at_options()).await?;
        let create = PubSub::Create {
            create: Create { node: Some(NodeName(node.into())) },
            configure: Some(Configure { form: Some(form(&wanted_settings())) }),
        };
        let before = match self.session.request(self.service.clone(), set(create), ANSWER_WITHIN).await {
            Ok(_) => Before::Nothing,
            Err(RequestError::Refused(error)) if error.defined_condition == DefinedCondition::Conflict => Before::Node,
            Err(error) => return Err(error.into()),
        };
        if before == Before::Node {
            self.repair_settings(node).await?;
            self.end_other_subscriptions(node, readers).await?;
        }
        self.repair_affiliations(node, readers, before).await
    }

    async fn repair_settings(&self, node: &str) -> Result<(), Error> {
        let ask = owner::Payload::Configure { node: Some(NodeName(node.into())), form: None };
        let answer = self.ask(IqPayload::Get(Owner { payload: ask }.into())).await?;
        let Ok(Owner { payload: owner::Payload::Configure { form: Some(found), .. } }) = Owner::try_from(answer) else {
            return Err(Error::Refused("the node's configuration came in an unknown form".into()));
        };
        let differing: Vec<_> = wanted_settings()
            .into_iter()
            // A setting that the server does not know cannot be repaired.
            .filter(|(name, wanted)| {
                let field = found.fields.iter().find(|field| field.var.as_deref() == Some(*name));
                field.is_some_and(|field| field.values.first().is_none_or(|value| !same_value(value, wanted)))
            })
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        tracing::info!(node.name = node, settings = ?differing, "the node is configured otherwise: repairing it");
        let submit =
            owner::Payload::Configure { node: Some(NodeName(node.into())), form: Some(form(&wanted_settings())) };
        self.session.request(self.service.clone(), set(Owner { payload: submit }), ANSWER_WITHIN).await?;
        Ok(())
    }

    async fn repair_affiliations(&self, node: &str, readers: &BTreeSet<BareJid>, before: Before) -> Result<(), Error> {
        let ask = OwnerAffiliations { affiliations: Affiliations { node: node.into(), list: vec![] } };
        let answer = self.ask(IqPayload::Get(ask.into())).await?;
        let found = OwnerAffiliations::try_from(answer)
            .map_err(|_| Error::Refused("the node's affiliations came in an unknown form".into()))?;
        let found: BTreeMap<BareJid, AffiliationAttribute> =
            found.affiliations.list.into_iter().map(|one| (one.jid.to_bare(), one.affiliation)).collect();
        let entitled = readers.iter().filter(|reader| **reader != self.owner);
        let mut changes: Vec<Affiliation> = entitled
            .filter(|reader| found.get(*reader) != Some(&AffiliationAttribute::Member))
            .map(|reader| Affiliation { jid: reader.clone().into(), affiliation: AffiliationAttribute::Member })
            .collect();
        changes.extend(
            found
                .iter()
                .filter(|(jid, affiliation)| {
                    **affiliation != AffiliationAttribute::None && **jid != self.owner && !readers.contains(*jid)
                })
                .map(|(jid, _)| Affiliation { jid: jid.clone().into(), affiliation: AffiliationAttribute::None }),
        );
        if changes.is_empty() {
            return Ok(());
        }
        match before {
            Before::Nothing => {
                let readers: Vec<_> = changes.iter().map(|change| change.jid.as_str()).collect();
                tracing::info!(node.name = node, ?readers, "the node is made and opened to its readers");
            }
            Before::Node => {
                tracing::info!(node.name = node, ?changes, "the node's access is not as it should be: setting it anew");
            }
        }
        let submit = OwnerAffiliations { affiliations: Affiliations { node: node.into(), list: changes } };
        self.session.request(self.service.clone(), IqPayload::Set(submit.into()), ANSWER_WITHIN).await?;
        Ok(())
    }

    /// Deletes a node. One that is not there is deleted.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, node: &str) -> Result<(), Error> {
        let payload = owner::Payload::Delete { node: NodeName(node.into()), redirect_uri: None };
        match self.session.request(self.service.clone(), set(Owner { payload }), ANSWER_WITHIN).await {
            Ok(_) => Ok(()),
            Err(error) => match Error::from(error) {
                Error::NotFound => Ok(()),
                error @ (Error::Refused(_) | Error::NotAsAsked | Error::NotSent | Error::NoAnswer) => Err(error),
            },
        }
    }

    /// Ends the subscriptions of all but these and ourselves: servers differ in whether taking the affiliation does (with
    /// Prosody 0.12 it does not, and is refused), and whoever came in while a node was open stays in where ejabberd 23.01 closes it.
    async fn end_other_subscriptions(&self, node: &str, readers: &BTreeSet<BareJid>) -> Result<(), Error> {
        let ask = OwnerSubscriptions { subscriptions: Subscriptions { node: Some(node.into()), list: vec![] } };
        let answer = self.ask(IqPayload::Get(ask.into())).await?;
        let found = OwnerSubscriptions::try_from(answer)
            .map_err(|_| Error::Refused("the node's subscriptions came in an unknown form".into()))?;
        let is_due = |who: &BareJid| readers.contains(who) || *who == self.owner;
        let ended: Vec<_> = found
            .subscriptions
            .list
            .into_iter()
            .filter(|one| !is_due(&one.jid.to_bare()) && one.subscription != "none")
            .map(|one| SubscriptionOf { subscription: "none".into(), ..one })
            .collect();
        if ended.is_empty() {
            return Ok(());
        }
        let who: Vec<_> = ended.iter().map(|one| one.jid.as_str()).collect();
        tracing::info!(node.name = node, ?who, "subscribed without a right to it: the subscription is ended");
        let submit = OwnerSubscriptions { subscriptions: Subscriptions { node: Some(node.into()), list: ended } };
        self.session.request(self.service.clone(), IqPayload::Set(submit.into()), ANSWER_WITHIN).await?;
        Ok(())
    }

    /// Whether the service looks at what a publish asks of its node, by what it announces (XEP-0030). Not asked is one that makes nodes by
    /// itself: of a node that vanished it would make one that nobody may read.
    async fn looks_at_options(&self) -> Result<bool, Error> {
        let query = DiscoInfoQuery { node: None };
        match self.ask(IqPayload::Get(query.into())).await {
            Ok(answer) => Ok(DiscoInfoResult::try_from(answer)
                .is_ok_and(|info| info.features.contains(PUBLISH_OPTIONS) && !info.features.contains(AUTO_CREATE))),
            Err(Error::NotFound | Error::Refused(_) | Error::NotAsAsked) => Ok(false),
            Err(error @ (Error::NotSent | Error::NoAnswer)) => Err(error),
        }
    }

    /// Publishes one item, or replaces the one with the same id; only on a node that the listed alone may read, where the server can see to
    /// that.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no such node. [`Error::NotAsAsked`]: everybody might read it.
    pub async fn publish(&self, node: &str, item: &str, payload: Element) -> Result<(), Error> {
        let item = Item { id: Some(ItemId(item.into())), publisher: None, payload: Some(payload) };
        let publish = Publish { node: NodeName(node.into()), items: vec![item] };
        let options = self.takes_options.get().is_some_and(|takes| *takes).then(|| PublishOptions {
            form: Some(DataForm::new(
                DataFormType::Submit,
                PUBLISH_OPTIONS,
                vec![Field::new(ACCESS_MODEL, FieldType::ListSingle).with_value(WHITELIST)],
            )),
        });
        let publish = PubSub::Publish { publish, publish_options: options };
        self.session.request(self.service.clone(), set(publish), ANSWER_WITHIN).await?;
        Ok(())
    }

    /// Takes an item away and has the subscribers told.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no such node or item. ejabberd says so of items, too, that it goes on listing: its table
    /// of items and that of who published them are on disk at different times, and a kill comes in between.
    pub async fn retract(&self, node: &str, item: &str) -> Result<(), Error> {
        let item = Item { id: Some(ItemId(item.into())), publisher: None, payload: None };
        let retract = PubSub::Retract(Retract { node: NodeName(node.into()), notify: true, items: vec![item] });
        self.session.request(self.service.clone(), set(retract), ANSWER_WITHIN).await?;
        Ok(())
    }

    /// The items that the node holds: id and payload.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no such node.
    pub async fn items(&self, node: &str) -> Result<Vec<(String, Option<Element>)>, Error> {
        let answer = self.ask(IqPayload::Get(PubSub::Items(Items::new(node)).into())).await?;
        // Read by hand: the library's type refuses a result that was cut into pages (XEP-0059).
        let items = answer.get_child("items", ns::PUBSUB).map(Element::children).into_iter().flatten();
        Ok(items.filter_map(|item| Some((item.attr("id")?.to_owned(), item.children().next().cloned()))).collect())
    }

    async fn ask(&self, payload: IqPayload) -> Result<Element, Error> {
        let answer = self.session.request(self.service.clone(), payload, ANSWER_WITHIN).await?;
        answer.ok_or_else(|| Error::Refused("an empty answer".into()))
    }
}

fn set(payload: impl Into<Element>) -> IqPayload {
    IqPayload::Set(payload.into())
}

/// How a desk's node is set up: seen by the listed only, written by its owner only, and told of every change.
/// `send_last_published_item` is switched off where that is known: readers fetch, which every server gets right.
fn wanted_settings() -> Vec<(&'static str, String)> {
    [
        (ACCESS_MODEL, WHITELIST),
        ("pubsub#publish_model", "publishers"),
        ("pubsub#persist_items", "1"),
        ("pubsub#deliver_payloads", "1"),
        ("pubsub#notify_retract", "1"),
        ("pubsub#send_last_published_item", "never"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into_iter()
    .chain([("pubsub#max_items", MAX_ITEMS.to_string())])
    .collect()
}

fn form(settings: &[(&str, String)]) -> DataForm {
    // The type is left to the server, which knows it: a submitted form need not carry it (XEP-0004 section 3.2).
    let fields =
        settings.iter().map(|(name, value)| Field::new(name, FieldType::TextSingle).with_value(value)).collect();
    DataForm::new(DataFormType::Submit, ns::PUBSUB_CONFIGURE, fields)
}
