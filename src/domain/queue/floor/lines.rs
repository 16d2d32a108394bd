//! One queue on the floor: who waits in it, and which of its members are free.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    id::{CallId, Extension},
    queue::{caller::Place, roster, strategy::LastRung, waiting::Waits},
};

/// A queue. One that the database has no more stays until nobody waits in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// From the database.
    pub(super) row: Option<roster::Queue>,
    /// Callers who are not being offered, in the order in which they are served.
    pub(super) waiting: BTreeMap<Place, CallId>,
    /// The places of callers who are being offered.
    pub(super) offered: BTreeSet<Place>,
    /// Of those who wait: those who may not be given any member.
    pub(super) choosy: BTreeSet<Place>,
    /// Members who are logged on.
    pub(super) members: BTreeSet<Extension>,
    /// Members who are not.
    pub(super) away: BTreeSet<Extension>,
    /// Of those who are logged on: who can be offered a call, by at least one Asterisk.
    pub(super) free: BTreeSet<Extension>,
    /// Where the round of its strategy has come to.
    pub(super) last_rung: Option<LastRung>,
    /// How long its last callers waited.
    pub(super) waits: Waits,
}

impl Line {
    /// How many callers are not answered yet.
    pub(super) fn length(&self) -> usize {
        self.waiting.len() + self.offered.len()
    }

    /// Place among those who wait, from 1.
    pub(super) fn position(&self, place: &Place) -> usize {
        match self.waiting.last_key_value() {
            Some((last, _)) if last == place => self.waiting.len(),
            Some(_) | None => self.waiting.range(..=*place).count(),
        }
    }

    /// Place among those who are not answered yet, from 1.
    pub(super) fn place_in_line(&self, place: &Place) -> usize {
        self.waiting.range(..*place).count() + self.offered.range(..*place).count() + 1
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.row.is_none() && self.length() == 0
    }
}
