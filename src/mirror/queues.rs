//! app_queue of one Asterisk, over ARI and a few lines of dialplan.
//!
//! ARI knows nothing of app_queue, but reads any dialplan function on any channel, and can run the dialplan on a Local
//! channel. So a look is a channel that waits in `look@usher-mirror` while functions are read on it, and a change is
//! one that runs `add`, `change` or `remove` there, with its data in channel variables. AMI would do as well, with a
//! second connection, a second password and a second protocol.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::{
    ari::{Ari, Error, Request, wire::Variable},
    domain::{
        id::{ChannelId, Interface, QueueName, ServerId},
        queue::mirror::{Entry, Found, Listing, Member, Members, Paused, Queues, Step, steps},
    },
};

/// The part of the dialplan that is run.
const CONTEXT: &str = "usher-mirror";
/// Reads under way: few enough that the floor's requests, which travel on the same connection, do not wait for them.
const READS: usize = 64;
/// Changes under way: each is a channel for a moment.
const CHANGES: usize = 16;
/// Asterisk cuts what a function yields to fewer characters than this (measured with 22.10: 4,095).
const LONGEST: usize = 4_095;

/// Why a server's queues could not be compared.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No answer, or one that was not expected: asking again may help.
    Link(Error),
    /// There is nothing to be compared, and why.
    Nothing(&'static str),
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Queues that app_queue does not know.
    pub(super) missing: BTreeSet<QueueName>,
    /// Queues that are being changed: to be looked at again.
    pub(super) changing: BTreeSet<QueueName>,
    /// Changes asked for.
    pub(super) changes: usize,
}

/// app_queue of one server.
#[derive(Debug)]
pub(super) struct AppQueue {
    ari: Ari,
}

impl AppQueue {
    pub(super) fn new(ari: Ari) -> Self {
        Self { ari }
    }

    pub(super) fn server(&self) -> &ServerId {
        self.ari.server()
    }

    /// Asks what these queues hold, and for the changes that make it what is wanted.
    pub(super) async fn compare(
        &self,
        queues: &BTreeSet<QueueName>,
        wanted: &Queues,
        told: &Queues,
    ) -> Result<Compared, Trouble> {
        let found = self.look(queues).await?;
        let nobody = Members::new();
        let of = |all: &'_ Queues, queue: &QueueName| all.get(queue).unwrap_or(&nobody).clone();
        let mut compared = Compared::default();
        let mut orders = Vec::new();
        for queue in queues {
            let Some(found) = found.get(queue) else {
                compared.missing.insert(queue.clone());
                continue;
            };
            let steps = steps(&of(wanted, queue), &of(told, queue), found);
            compared.changes += steps.len();
            // What a list does not show cannot be looked at again.
            if !steps.is_empty() && found.listing == Listing::Whole {
                compared.changing.insert(queue.clone());
            }
            orders.extend(steps.into_iter().map(|step| order(queue, step)));
        }
        for orders in orders.chunks(CHANGES) {
            let sent: Vec<_> = orders.iter().map(|order| self.ari.send(order.clone())).collect();
            for answer in sent {
                answer.wait().await.map_err(Trouble::Link)?;
            }
        }
        Ok(compared)
    }

    /// What app_queue says of these queues; those that it does not know are left out.
    async fn look(&self, queues: &BTreeSet<QueueName>) -> Result<BTreeMap<QueueName, Found>, Trouble> {
        let channel = fresh_channel();
        self.ari.ask(Request::run(&channel, CONTEXT, "look", json!({}))).await.map_err(Trouble::Link)?;
        let found = self.look_on(&channel, queues).await;
        drop(self.ari.send(Request::hang_up(&channel)));
        found
    }

    async fn look_on(
        &self,
        channel: &ChannelId,
        queues: &BTreeSet<QueueName>,
    ) -> Result<BTreeMap<QueueName, Found>, Trouble> {
        let names: Vec<&QueueName> = queues.iter().collect();
        let exist =
            self.read(channel, names.iter().map(|queue| format!("QUEUE_EXISTS({queue})"))).await.map_err(trouble)?;
        let names: Vec<_> = names.into_iter().zip(exist).filter(|(_, exists)| exists == "1").map(|(q, _)| q).collect();
        let lists = self.read(channel, names.iter().map(|queue| format!("QUEUE_MEMBER_LIST({queue})")));
        // From here on a channel that is gone has waited too long: the dialplan ends it, should we die meanwhile.
        let lists = lists.await.map_err(Trouble::Link)?;
        let mut found = BTreeMap::new();
        for (queue, list) in names.into_iter().zip(lists) {
            let (interfaces, listing) = parse(&list);
            let functions = interfaces.iter().flat_map(|interface| {
                ["penalty", "paused"].map(|what| format!("QUEUE_MEMBER({queue},{what},{interface})"))
            });
            let values = self.read(channel, functions).await.map_err(Trouble::Link)?;
            let entry = |pair: &[String]| match pair {
                [penalty, paused] => Entry {
                    penalty: penalty.parse().unwrap_or(0),
                    paused: if paused == "1" { Paused::Yes } else { Paused::No },
                },
                _ => Entry { penalty: 0, paused: Paused::No },
            };
            let members = interfaces.into_iter().zip(values.chunks(2).map(entry)).collect();
            found.insert(queue.clone(), Found { members, listing });
        }
        Ok(found)
    }

    async fn read(&self, channel: &ChannelId, functions: impl Iterator<Item = String>) -> Result<Vec<String>, Error> {
        let functions: Vec<String> = functions.collect();
        let mut values = Vec::with_capacity(functions.len());
        for functions in functions.chunks(READS) {
            let asked: Vec<_> = functions.iter().map(|name| self.ari.send(Request::variable(channel, name))).collect();
            for answer in asked {
                let value = answer.wait().await.and_then(|response| response.json::<Variable>());
                values.push(value?.value);
            }
        }
        Ok(values)
    }
}

fn trouble(error: Error) -> Trouble {
    match error {
        // The channel ended as soon as it began.
        Error::Gone(_) => Trouble::Nothing("its dialplan has no context usher-mirror"),
        Error::Refused { status: 500, .. } => Trouble::Nothing("the module app_queue.so is not loaded there"),
        Error::Conflict(_) | Error::Refused { .. } | Error::NotSent | Error::OutcomeUnknown => Trouble::Link(error),
    }
}

/// The interfaces in a list of app_queue.
fn parse(list: &str) -> (Vec<Interface>, Listing) {
    let (list, listing) = match list.len() {
        // The last one may have been cut in its middle.
        LONGEST.. => (list.rsplit_once(',').map_or("", |(whole, _)| whole), Listing::Cut),
        _ => (list, Listing::Whole),
    };
    (list.split(',').filter(|interface| !interface.is_empty()).map(Interface::new).collect(), listing)
}

fn order(queue: &QueueName, step: Step) -> Request {
    let (extension, interface, member) = match step {
        Step::Add(interface, member) => ("add", interface, Some(member)),
        Step::Change(interface, member) => ("change", interface, Some(member)),
        Step::Remove(interface) => ("remove", interface, None),
    };
    let mut variables = json!({ "USHER_QUEUE": queue.as_str(), "USHER_INTERFACE": interface.as_str() });
    if let Some(Member { extension, entry }) = member {
        variables["USHER_EXTENSION"] = extension.as_str().into();
        variables["USHER_PENALTY"] = entry.penalty.to_string().into();
        variables["USHER_PAUSED"] = match entry.paused {
            Paused::Yes => "1".into(),
            Paused::No => "0".into(),
        };
    }
    Request::run(&fresh_channel(), CONTEXT, extension, variables)
}

fn fresh_channel() -> ChannelId {
    ChannelId::new(format!("usher-mirror-{}", uuid::Uuid::new_v4().simple()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_asterisk_cut_is_known_as_such_and_its_torn_end_is_nobody() {
        let whole = "PJSIP/1000,PJSIP/2000";
        assert_eq!(parse(whole), (vec![Interface::new("PJSIP/1000"), Interface::new("PJSIP/2000")], Listing::Whole));
        assert_eq!(parse(""), (vec![], Listing::Whole));
        let long: String = "PJSIP/1000,".repeat(400).chars().take(LONGEST).collect();
        let (interfaces, listing) = parse(&long);
        assert_eq!((interfaces.len(), listing), (372, Listing::Cut));
        assert!(interfaces.iter().all(|interface| interface.as_str() == "PJSIP/1000"));
    }
}
