//! What differs between one state of the roster and the next: which rows to read, and what they are now.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    id::{Extension, QueueName},
    queue::roster::{Agent, Membership, Queue},
};

/// Rows, by their keys. A pause is part of its agent's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Of agents.
    pub agents: BTreeSet<Extension>,
    /// Of queues.
    pub queues: BTreeSet<QueueName>,
    /// Of memberships.
    pub memberships: BTreeSet<(QueueName, Extension)>,
}

impl Keys {
    /// That agent's alone.
    pub fn of_agent(extension: Extension) -> Self {
        Self { agents: BTreeSet::from([extension]), ..Self::default() }
    }

    /// That queue's alone.
    pub fn of_queue(name: QueueName) -> Self {
        Self { queues: BTreeSet::from([name]), ..Self::default() }
    }

    /// That membership's alone.
    pub fn of_membership(queue: QueueName, extension: Extension) -> Self {
        Self { memberships: BTreeSet::from([(queue, extension)]), ..Self::default() }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.agents.len() + self.queues.len() + self.memberships.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all of these are among the others.
    pub fn is_within(&self, others: &Self) -> bool {
        self.agents.is_subset(&others.agents)
            && self.queues.is_subset(&others.queues)
            && self.memberships.is_subset(&others.memberships)
    }

    /// Adds these.
    pub fn extend(&mut self, others: &Self) {
        self.agents.extend(others.agents.iter().cloned());
        self.queues.extend(others.queues.iter().cloned());
        self.memberships.extend(others.memberships.iter().cloned());
    }
}

/// What leads from one consistent state of the roster to a later one: each row as it is now, `None` where there is none any
/// more. What is not named is as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// Agents with all their pauses.
    pub agents: BTreeMap<Extension, Option<Agent>>,
    /// Queues.
    pub queues: BTreeMap<QueueName, Option<Queue>>,
    /// Memberships.
    pub memberships: BTreeMap<(QueueName, Extension), Option<Membership>>,
}

impl RosterChange {
    /// That none of these rows is there any more; to be filled with those that are.
    pub fn without(keys: Keys) -> Self {
        Self {
            agents: keys.agents.into_iter().map(|key| (key, None)).collect(),
            queues: keys.queues.into_iter().map(|key| (key, None)).collect(),
            memberships: keys.memberships.into_iter().map(|key| (key, None)).collect(),
        }
    }

    /// Everybody whom it concerns, by a row of theirs or of a membership.
    pub fn concerned(&self) -> BTreeSet<&Extension> {
        self.agents.keys().chain(self.memberships.keys().map(|(_, extension)| extension)).collect()
    }
}
