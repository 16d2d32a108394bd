//! What the database has announced and nobody has acted upon yet.

use std::{collections::BTreeSet, mem};

use crate::domain::{
    id::{CustomerCode, Extension, QueueName},
    queue::roster::Keys,
};

/// Beyond so many rows all of them are loaded: that is one look at each table, and no slower.
const ROWS: usize = 500;

/// Rows that have to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due<K> {
    /// These.
    These(K),
    /// All there are.
    Everything,
}

impl<K: Default> Default for Due<K> {
    fn default() -> Self {
        Self::These(K::default())
    }
}

/// What was heard.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Rows of agents, queues and memberships that have changed since they were taken.
    roster: Due<Keys>,
    /// Customers that have, by the codes that they had.
    customers: Due<BTreeSet<CustomerCode>>,
    /// Whether callbacks have been cancelled.
    callbacks: bool,
    /// Counts the announcements that concern customers.
    customer_changes: u64,
    /// The last mark that came back.
    mark: u64,
}

impl Heard {
    /// Takes in an announcement. One that is not understood, as from a later migration, stands for everything.
    pub(super) fn announced(&mut self, payload: &str) {
        let words: Vec<&str> = payload.split(' ').collect();
        match words.as_slice() {
            ["callbacks"] => self.callbacks_changed(),
            ["customers"] => self.customers_changed(Due::Everything),
            ["customers", code] => self.customers_changed(Due::These(BTreeSet::from([CustomerCode::new(code)]))),
            ["extensions" | "pauses", number] => self.rows_changed(&Keys::of_agent(Extension::new(number))),
            ["queues", name] => self.rows_changed(&Keys::of_queue(QueueName::new(name))),
            ["memberships", queue, extension] => {
                self.rows_changed(&Keys::of_membership(QueueName::new(queue), Extension::new(extension)));
            }
            ["extensions" | "pauses" | "queues" | "memberships"] => self.roster = Due::Everything,
            _ => self.missed(),
        }
    }

    /// A mark came back that was sent when rows were loaded.
    pub(super) fn marked(&mut self, mark: u64) {
        self.mark = self.mark.max(mark);
    }

    /// Nothing was heard for a while: everything may have changed.
    pub fn missed(&mut self) {
        self.roster = Due::Everything;
        self.callbacks_changed();
        self.customers_changed(Due::Everything);
    }

    /// All rows of the roster are due, perhaps again.
    pub fn all_rows_changed(&mut self) {
        self.roster = Due::Everything;
    }

    /// What was cancelled of callbacks is due, perhaps again.
    pub fn callbacks_changed(&mut self) {
        self.callbacks = true;
    }

    /// Whether it is.
    pub fn are_callbacks_due(&self) -> bool {
        self.callbacks
    }

    /// From now on it is not, until it is announced again.
    pub fn take_callbacks(&mut self) {
        self.callbacks = false;
    }

    /// These rows are due, perhaps again.
    pub fn rows_changed(&mut self, keys: &Keys) {
        if let Due::These(rows) = &mut self.roster {
            rows.extend(keys);
            if rows.len() > ROWS {
                self.roster = Due::Everything;
            }
        }
    }

    /// These customers are due, perhaps again.
    pub fn customers_changed(&mut self, due: Due<BTreeSet<CustomerCode>>) {
        self.customer_changes += 1;
        match (&mut self.customers, due) {
            (Due::These(codes), Due::These(more)) if codes.len() < ROWS => codes.extend(more),
            (customers, _) => *customers = Due::Everything,
        }
    }

    /// Rows of the roster that are due.
    pub fn roster(&self) -> &Due<Keys> {
        &self.roster
    }

    /// Whether there are any.
    pub fn is_roster_due(&self) -> bool {
        !matches!(&self.roster, Due::These(keys) if keys.is_empty())
    }

    /// Whether customers are due.
    pub fn are_customers_due(&self) -> bool {
        !matches!(&self.customers, Due::These(codes) if codes.is_empty())
    }

    /// Rows of the roster that are due; from now on they are not, until they are announced again.
    pub fn take_roster(&mut self) -> Due<Keys> {
        mem::take(&mut self.roster)
    }

    /// Customers, likewise.
    pub fn take_customers(&mut self) -> Due<BTreeSet<CustomerCode>> {
        mem::take(&mut self.customers)
    }

    /// Counts the announcements that concern customers.
    pub fn customer_changes(&self) -> u64 {
        self.customer_changes
    }

    /// The last mark that came back.
    pub fn mark(&self) -> u64 {
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(payloads: &[&str]) -> Heard {
        let mut heard = Heard::default();
        payloads.iter().for_each(|payload| heard.announced(payload));
        heard
    }

    #[test]
    fn each_row_is_due_once_and_a_pause_is_its_agents() {
        let heard = after(&["extensions 1000", "pauses 1000", "queues support", "memberships support 1000"]);
        let Due::These(keys) = heard.roster() else { panic!("{heard:?}") };
        assert_eq!((keys.agents.len(), keys.queues.len(), keys.memberships.len()), (1, 1, 1));
        assert!(!heard.are_customers_due());
        assert_eq!(
            after(&["customers 1", "customers 2"]).customers,
            Due::These(["1", "2"].map(CustomerCode::new).into())
        );
    }

    #[test]
    fn what_is_not_understood_or_too_much_stands_for_everything() {
        for payload in ["", "memberships support", "memberships a b c", "queues two words", "callbacks 1", "extensions"]
        {
            assert_eq!(*after(&[payload, "queues support"]).roster(), Due::Everything, "{payload:?}");
        }
        let mut heard = Heard::default();
        (0..=ROWS).for_each(|n| heard.announced(&format!("extensions {n}")));
        assert_eq!(heard.take_roster(), Due::Everything);
        assert!(!heard.is_roster_due());
        (0..=ROWS).for_each(|n| heard.announced(&format!("customers {n}")));
        assert_eq!(heard.take_customers(), Due::Everything);
    }
}
