//! The customers that called lately, for when the database is away.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{id::CustomerCode, queue::roster::Customer};

/// A bounded memory of customers. Roughly the least recently used go first: entries live in a young and an old half; a
/// used one moves to the young half, and when that is full, the old half is forgotten and the young one becomes it.
#[derive(Debug)]
pub struct Cache {
    halves: Mutex<Halves>,
    half: usize,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<CustomerCode, Customer>,
    old: HashMap<CustomerCode, Customer>,
}

impl Cache {
    /// For at most `most` customers.
    pub fn new(most: usize) -> Self {
        Self { halves: Mutex::default(), half: (most / 2).max(1) }
    }

    /// Remembers a customer, or what is new about one.
    pub fn put(&self, customer: Customer) {
        let mut halves = self.lock();
        halves.old.remove(&customer.code);
        if halves.young.len() >= self.half && !halves.young.contains_key(&customer.code) {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(customer.code.clone(), customer);
    }

    /// The customer with this code, if remembered.
    pub fn get(&self, code: &CustomerCode) -> Option<Customer> {
        let found = {
            let mut halves = self.lock();
            if let Some(found) = halves.young.get(code) {
                return Some(found.clone());
            }
            halves.old.remove(code)?
        };
        self.put(found.clone());
        Some(found)
    }

    /// Forgets a customer that is no more.
    pub fn forget(&self, code: &CustomerCode) {
        let mut halves = self.lock();
        halves.young.remove(code);
        halves.old.remove(code);
    }

    /// Whether this code is remembered.
    pub fn holds(&self, code: &CustomerCode) -> bool {
        let halves = self.lock();
        halves.young.contains_key(code) || halves.old.contains_key(code)
    }

    /// Which codes are remembered.
    pub fn codes(&self) -> Vec<CustomerCode> {
        let halves = self.lock();
        halves.young.keys().chain(halves.old.keys()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        // Nothing in here panics half-way, so what a poisoned lock holds is sound.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(n: i64) -> Customer {
        Customer { id: n, code: CustomerCode::new(n.to_string()), name: format!("Company {n}") }
    }

    #[test]
    fn the_cache_never_holds_more_than_its_bound() {
        let cache = Cache::new(10);
        for n in 0..1000 {
            cache.put(customer(n));
            assert!(cache.codes().len() <= 10, "after {n}");
        }
        assert_eq!(cache.get(&CustomerCode::new("999")), Some(customer(999)));
    }

    #[test]
    fn a_customer_who_keeps_calling_is_not_forgotten_for_those_who_called_once() {
        let cache = Cache::new(10);
        cache.put(customer(7));
        for n in 100..200 {
            cache.put(customer(n));
            assert_eq!(cache.get(&CustomerCode::new("7")), Some(customer(7)), "after {n}");
        }
    }

    #[test]
    fn a_removed_customer_is_forgotten_in_both_halves() {
        let cache = Cache::new(2);
        cache.put(customer(1));
        cache.put(customer(2));
        cache.forget(&CustomerCode::new("1"));
        cache.forget(&CustomerCode::new("2"));
        assert_eq!(cache.codes(), []);
    }
}
