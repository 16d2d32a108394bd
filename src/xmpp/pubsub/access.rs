//! What the server says of a node's configuration, affiliations and subscriptions, and which nodes there are.

use std::collections::BTreeSet;

use xmpp_parsers::{
    disco::{DiscoItemsQuery, DiscoItemsResult},
    iq::IqPayload,
    jid::BareJid,
    minidom::Element,
    pubsub::{AffiliationAttribute, NodeName, Owner, owner},
};

use super::{Affiliations, Error, OwnerAffiliations, OwnerSubscriptions, Pubsub, Subscriptions, wanted_settings};
use crate::domain::pop::access::{Affiliation, Found, Wanted};

impl Pubsub {
    /// How a node has to be that is open to these readers.
    pub fn wanted(&self, readers: &BTreeSet<BareJid>) -> Wanted {
        Wanted {
            owner: self.owner.to_string(),
            readers: readers.iter().map(ToString::to_string).filter(|reader| *reader != self.owner.as_str()).collect(),
            settings: wanted_settings(),
        }
    }

    /// How a node is.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no such node. [`Error::Refused`]: it is somebody else's.
    pub async fn found(&self, node: &str) -> Result<Found, Error> {
        let unknown = |what: &str| Error::Refused(format!("the node's {what} came in an unknown form"));
        let ask = owner::Payload::Configure { node: Some(NodeName(node.into())), form: None };
        let answer = self.ask(IqPayload::Get(Owner { payload: ask }.into())).await?;
        let Ok(Owner { payload: owner::Payload::Configure { form: Some(form), .. } }) = Owner::try_from(answer) else {
            return Err(unknown("configuration"));
        };
        let ask = OwnerAffiliations { affiliations: Affiliations { node: node.into(), list: vec![] } };
        let answer = self.ask(IqPayload::Get(ask.into())).await?;
        let affiliations = OwnerAffiliations::try_from(answer).map_err(|_| unknown("affiliations"))?;
        let ask = OwnerSubscriptions { subscriptions: Subscriptions { node: Some(node.into()), list: vec![] } };
        let answer = self.ask(IqPayload::Get(ask.into())).await?;
        let subscriptions = OwnerSubscriptions::try_from(answer).map_err(|_| unknown("subscriptions"))?;
        let setting = |field: xmpp_parsers::data_forms::Field| Some((field.var?, field.values.into_iter().next()?));
        Ok(Found {
            settings: form.fields.into_iter().filter_map(setting).collect(),
            affiliations: affiliations
                .affiliations
                .list
                .into_iter()
                .map(|one| (one.jid.to_bare().to_string(), affiliation(&one.affiliation)))
                .collect(),
            subscribers: subscriptions
                .subscriptions
                .list
                .into_iter()
                .filter(|one| one.subscription != "none")
                .map(|one| one.jid.to_bare().to_string())
                .collect(),
        })
    }

    /// The names of the nodes that there are, as far as the server tells us.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn nodes(&self) -> Result<Vec<String>, Error> {
        let ask: Element = DiscoItemsQuery { node: None, rsm: None }.into();
        let answer = self.ask(IqPayload::Get(ask)).await?;
        let found = DiscoItemsResult::try_from(answer)
            .map_err(|_| Error::Refused("the list of nodes came in an unknown form".into()))?;
        Ok(found.items.into_iter().filter_map(|item| item.node).collect())
    }
}

fn affiliation(found: &AffiliationAttribute) -> Affiliation {
    match found {
        AffiliationAttribute::Owner => Affiliation::Owner,
        AffiliationAttribute::Publisher => Affiliation::Publisher,
        AffiliationAttribute::PublishOnly => Affiliation::PublishOnly,
        AffiliationAttribute::Member => Affiliation::Member,
        AffiliationAttribute::None => Affiliation::None,
        AffiliationAttribute::Outcast => Affiliation::Outcast,
    }
}
