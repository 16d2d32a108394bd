//! Where customers' pages are, by queue, as the roster says it at this moment.

use std::collections::HashMap;

use crate::domain::{
    id::QueueName,
    pop::link::Template,
    queue::roster::{Queue, Roster, RosterChange},
};

/// The templates of the queues that have one.
#[derive(Debug, Default)]
pub struct Links(HashMap<QueueName, Template>);

impl Links {
    /// These queues alone are there.
    pub fn set(&mut self, roster: &Roster) {
        let of = |queue: &Queue| Some((queue.name.clone(), queue.link.clone()?));
        self.0 = roster.queues.iter().filter_map(of).collect();
    }

    /// These queues have changed.
    pub fn change(&mut self, change: &RosterChange) {
        for (name, row) in &change.queues {
            match row.as_ref().and_then(|row| row.link.clone()) {
                Some(link) => drop(self.0.insert(name.clone(), link)),
                None => drop(self.0.remove(name)),
            }
        }
    }

    /// The template of a queue.
    pub fn of(&self, queue: &QueueName) -> Option<&Template> {
        self.0.get(queue)
    }
}
