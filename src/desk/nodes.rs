//! What the board wants done on a node, as requests to the server.

use std::{collections::BTreeSet, str::FromStr};

use jiff::Timestamp;
use xmpp_parsers::{jid::BareJid, minidom::Element};

use super::payload;
use crate::{
    domain::queue::board::Done,
    xmpp::pubsub::{Error as PubsubError, Pubsub},
};

/// A [`Task`](crate::domain::queue::board::Task) in the form of the protocol.
pub(super) enum Work {
    Ensure(BTreeSet<String>),
    Look,
    Publish(String, Element),
    Retract(String),
}

pub(super) async fn carry_out(pubsub: &Pubsub, node: &str, work: Work) -> Done {
    let result = match work {
        Work::Ensure(readers) => {
            let readers = readers.iter().filter_map(|jid| reader(node, jid)).collect();
            pubsub.ensure(node, &readers).await.map(|()| Done::Well)
        }
        Work::Look => pubsub.items(node).await.map(|items| {
            let read = |(id, payload): (String, Option<Element>)| (id, payload.as_ref().and_then(payload::revision));
            Done::Holds(items.into_iter().map(read).collect())
        }),
        Work::Publish(item, payload) => pubsub.publish(node, &item, payload).await.map(|()| Done::Well),
        Work::Retract(item) => take_away(pubsub, node, &item).await.map(|()| Done::Well),
    };
    result.unwrap_or_else(|error| {
        match &error {
            PubsubError::Refused(_) | PubsubError::NotAsAsked => tracing::warn!(node.name = node, "{error}"),
            PubsubError::NotFound | PubsubError::NotSent | PubsubError::NoAnswer => {
                tracing::debug!(node.name = node, "{error}");
            }
        }
        match error {
            // Made anew, or set right again, before anything is shown there.
            PubsubError::NotFound | PubsubError::NotAsAsked => Done::NoNode,
            PubsubError::Refused(_) => Done::Refused,
            PubsubError::NotSent => Done::NotSent,
            PubsubError::NoAnswer => Done::Unknown,
        }
    })
}

/// Takes an item away. Where the server denies that there is one and lists it all the same, it is given a last word, so that
/// whoever fetches it does not take the call for a live one.
async fn take_away(pubsub: &Pubsub, node: &str, item: &str) -> Result<(), PubsubError> {
    match pubsub.retract(node, item).await {
        Err(PubsubError::NotFound) => {}
        done @ (Ok(())
        | Err(
            PubsubError::Refused(_) | PubsubError::NotAsAsked | PubsubError::NotSent | PubsubError::NoAnswer,
        )) => {
            return done;
        }
    }
    let listed = pubsub.items(node).await?.into_iter().find(|(id, _)| id == item);
    match listed.and_then(|(_, payload)| payload::withdrawn(payload?, Timestamp::now())) {
        Some(last) => {
            tracing::info!(
                node.name = node,
                item,
                "the server lists an item that it cannot take away: it is marked as withdrawn"
            );
            pubsub.publish(node, item, last).await
        }
        None => Ok(()),
    }
}

fn reader(node: &str, jid: &str) -> Option<BareJid> {
    let parsed = BareJid::from_str(jid).ok();
    if parsed.is_none() {
        tracing::warn!(node.name = node, jid, "not an XMPP address: it gets no access to the node; correct it");
    }
    parsed
}
