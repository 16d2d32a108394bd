//! The roster to be looked up in: its rows by their keys, and which queues were touched by the latest changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    id::{Extension, Interface, QueueName},
    queue::roster::{Agent, Membership, Queue, Roster, RosterChange},
};

/// All rows. To take in a change costs what the change names.
#[derive(Debug, Clone, Default)]
pub struct Register {
    agents: BTreeMap<Extension, Agent>,
    queues: BTreeMap<QueueName, Queue>,
    memberships: BTreeMap<(QueueName, Extension), Membership>,
    /// Queues that each extension is a member of, logged on or not.
    serves: BTreeMap<Extension, BTreeSet<QueueName>>,
    /// Counts the changes.
    revision: u64,
    /// Which change touched each queue last, those that are gone among them.
    touched: BTreeMap<QueueName, u64>,
    in_order: BTreeSet<(u64, QueueName)>,
}

impl From<&Roster> for Register {
    fn from(roster: &Roster) -> Self {
        let mut register = Self::default();
        register.replace(roster);
        register
    }
}

impl Register {
    /// Takes in everything anew: every queue counts as touched.
    pub fn replace(&mut self, roster: &Roster) {
        self.revision += 1;
        let mut touched = self.names();
        self.agents = roster.agents.iter().map(|row| (row.extension.clone(), row.clone())).collect();
        self.queues = roster.queues.iter().map(|row| (row.name.clone(), row.clone())).collect();
        self.memberships.clear();
        self.serves.clear();
        for row in &roster.memberships {
            self.enrol(row.clone());
        }
        touched.extend(self.names());
        touched.iter().for_each(|queue| self.touch(queue));
    }

    /// All queues that there are rows of.
    fn names(&self) -> BTreeSet<QueueName> {
        self.queues.keys().chain(self.memberships.keys().map(|(queue, _)| queue)).cloned().collect()
    }

    /// Takes in a change.
    pub fn apply(&mut self, change: &RosterChange) {
        self.revision += 1;
        for (key, row) in &change.memberships {
            match row {
                Some(row) => self.enrol(row.clone()),
                None => self.dismiss(key),
            }
            self.touch(&key.0);
        }
        for (name, row) in &change.queues {
            match row {
                Some(row) => drop(self.queues.insert(name.clone(), row.clone())),
                None => drop(self.queues.remove(name)),
            }
            self.touch(name);
        }
        for (extension, row) in &change.agents {
            match row {
                Some(row) => drop(self.agents.insert(extension.clone(), row.clone())),
                None => drop(self.agents.remove(extension)),
            }
            let serves = self.serves.get(extension).cloned().unwrap_or_default();
            serves.iter().for_each(|queue| self.touch(queue));
        }
    }

    fn enrol(&mut self, row: Membership) {
        self.serves.entry(row.extension.clone()).or_default().insert(row.queue.clone());
        self.memberships.insert((row.queue.clone(), row.extension.clone()), row);
    }

    fn dismiss(&mut self, key: &(QueueName, Extension)) {
        self.memberships.remove(key);
        if let Some(queues) = self.serves.get_mut(&key.1) {
            queues.remove(&key.0);
            if queues.is_empty() {
                self.serves.remove(&key.1);
            }
        }
    }

    fn touch(&mut self, queue: &QueueName) {
        if let Some(before) = self.touched.insert(queue.clone(), self.revision) {
            self.in_order.remove(&(before, queue.clone()));
        }
        self.in_order.insert((self.revision, queue.clone()));
    }

    /// Counts the changes that were taken in.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Queues that were changed after that revision, or one of whose memberships or members was; those that are gone as well.
    pub fn touched_since(&self, revision: u64) -> impl Iterator<Item = &QueueName> {
        let from = (revision.saturating_add(1), QueueName::new(""));
        self.in_order.range(from..).map(|(_, queue)| queue)
    }

    /// That agent.
    pub fn agent(&self, extension: &Extension) -> Option<&Agent> {
        self.agents.get(extension)
    }

    /// Whose phone that is.
    pub fn agent_at(&self, phone: &Interface) -> Option<&Agent> {
        self.agents.values().find(|agent| agent.interface.is_same_phone(phone))
    }

    /// Whether the phone is an agent's.
    pub fn is_of_agent(&self, phone: &Interface) -> bool {
        self.agent_at(phone).is_some()
    }

    /// That queue.
    pub fn queue(&self, name: &QueueName) -> Option<&Queue> {
        self.queues.get(name)
    }

    /// All agents, by extension.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// The memberships of an agent, by queue; those of queues that are there.
    pub fn queues_of<'a>(&'a self, extension: &'a Extension) -> impl Iterator<Item = &'a Membership> {
        let queues = self.serves.get(extension).into_iter().flatten();
        let rows = queues.filter_map(|queue| self.memberships.get(&(queue.clone(), extension.clone())));
        rows.filter(|row| self.queues.contains_key(&row.queue))
    }

    /// All queues.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// The memberships of a queue, by extension.
    pub fn members<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a Membership> {
        let from = (queue.clone(), Extension::new(""));
        self.memberships.range(from..).map(|(_, row)| row).take_while(move |row| row.queue == *queue)
    }

    /// All rows, as they would be loaded.
    pub fn to_roster(&self) -> Roster {
        Roster {
            agents: self.agents.values().cloned().collect(),
            queues: self.queues.values().cloned().collect(),
            memberships: self.memberships.values().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
