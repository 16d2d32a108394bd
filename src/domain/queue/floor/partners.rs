//! With whom each customer spoke last, for queues that give them the same member again.
//!
//! Bounded, and kept in memory; at the start those of the last time are told from the database.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::{id::Extension, queue::roster::PastTalk};

/// Customers who are remembered: about a day's distinct callers of a large floor.
pub const REMEMBERED: usize = 10_000;

/// The memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Partners {
    last: BTreeMap<i64, (Timestamp, Extension)>,
    oldest: BTreeSet<(Timestamp, i64)>,
}

impl Partners {
    /// A talk of the customer with that member has ended. Customer 0 is nobody.
    pub(super) fn spoke(&mut self, customer: i64, extension: &Extension, ended: Timestamp) {
        if customer == 0 {
            return;
        }
        if let Some((before, _)) = self.last.insert(customer, (ended, extension.clone())) {
            self.oldest.remove(&(before, customer));
        }
        self.oldest.insert((ended, customer));
        if self.last.len() > REMEMBERED
            && let Some((_, forgotten)) = self.oldest.pop_first()
        {
            self.last.remove(&forgotten);
        }
    }

    /// A talk from before the start.
    pub(super) fn recall(&mut self, talk: &PastTalk) {
        if !self.last.contains_key(&talk.customer) {
            self.spoke(talk.customer, &talk.extension, talk.ended);
        }
    }

    /// Whom the customer spoke with last, and when that ended.
    pub(super) fn of(&self, customer: i64) -> Option<(&Extension, Timestamp)> {
        self.last.get(&customer).map(|(ended, extension)| (extension, *ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_talk_from_before_the_start_does_not_stand_against_one_since() {
        let mut partners = Partners::default();
        let (one, two) = (Extension::new("1000"), Extension::new("2000"));
        let at = |second| Timestamp::from_second(second).unwrap();
        partners.spoke(1, &one, at(5));
        for (customer, ended) in [(1, at(9)), (2, at(3)), (0, at(3))] {
            partners.recall(&PastTalk { customer, extension: two.clone(), ended });
        }
        assert_eq!((partners.of(1), partners.of(2), partners.of(0)), (Some((&one, at(5))), Some((&two, at(3))), None));
    }

    #[test]
    fn only_the_last_partner_counts_and_the_oldest_customers_are_forgotten() {
        let mut partners = Partners::default();
        let (one, two) = (Extension::new("1000"), Extension::new("2000"));
        let at = |second| Timestamp::from_second(second).unwrap();
        partners.spoke(0, &one, at(0));
        partners.spoke(1, &one, at(1));
        partners.spoke(1, &two, at(3));
        assert_eq!((partners.of(0), partners.of(1)), (None, Some((&two, at(3)))));
        for customer in 2..=10_001 {
            partners.spoke(customer, &one, at(customer + 10));
        }
        assert_eq!(partners.of(1), None);
        assert!(partners.of(2).is_some() && partners.last.len() == partners.oldest.len());
    }
}
