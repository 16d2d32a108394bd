//! Which pops are on the screen, and whether what comes in is news: a server may repeat items, send them late, or send
//! a stored one again to whoever subscribes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Calls remembered after they were closed, so that a late repetition does not open them again.
const REMEMBERED: usize = 1024;

/// What is on the screen.
#[derive(Debug, Default)]
pub struct Seen {
    open: BTreeMap<String, u32>,
    closed: VecDeque<(String, u32)>,
}

/// Whether to show something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Yes.
    New,
    /// It is shown already, or something newer is.
    Old,
}

impl Seen {
    /// What an earlier run had told: open calls and closed ones, each with its highest revision.
    pub fn resumed(
        open: impl IntoIterator<Item = (String, u32)>,
        closed: impl IntoIterator<Item = (String, u32)>,
    ) -> Self {
        let mut seen = Self { open: open.into_iter().collect(), closed: VecDeque::new() };
        for (call, last) in closed {
            seen.remember(call, last);
        }
        seen
    }

    /// A revision has come in.
    pub fn revision(&mut self, call: &str, revision: u32) -> News {
        let closed = self.closed.iter().find(|(other, _)| other == call).map(|(_, last)| *last);
        let last = self.open.get(call).copied().max(closed);
        if last.is_some_and(|last| revision <= last) {
            return News::Old;
        }
        self.open.insert(call.into(), revision);
        News::New
    }

    /// An item was taken away.
    pub fn closed(&mut self, call: &str) -> News {
        let Some(last) = self.open.remove(call) else { return News::Old };
        self.remember(call.into(), last);
        News::New
    }

    fn remember(&mut self, call: String, last: u32) {
        self.closed.retain(|(other, _)| *other != call);
        if self.closed.len() >= REMEMBERED {
            self.closed.pop_front();
        }
        self.closed.push_back((call, last));
    }

    /// Whether a call is on the screen.
    pub fn is_open(&self, call: &str) -> bool {
        self.open.contains_key(call)
    }

    /// The calls that are open although the node does not hold them.
    pub fn missing_from(&self, held: &BTreeSet<String>) -> Vec<String> {
        self.open.keys().filter(|call| !held.contains(*call)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_item_twice_is_shown_once() {
        let mut seen = Seen::default();
        assert_eq!(seen.revision("a", 1), News::New);
        assert_eq!(seen.revision("a", 1), News::Old);
        assert_eq!(seen.revision("a", 2), News::New);
    }

    #[test]
    fn an_older_revision_that_comes_late_is_not_shown() {
        let mut seen = Seen::default();
        seen.revision("a", 3);
        assert_eq!(seen.revision("a", 2), News::Old);
    }

    #[test]
    fn a_repetition_after_the_end_does_not_open_the_pop_again_but_a_new_offer_does() {
        let mut seen = Seen::default();
        seen.revision("a", 2);
        assert_eq!(seen.closed("a"), News::New);
        assert_eq!(seen.closed("a"), News::Old);
        assert_eq!(seen.revision("a", 2), News::Old);
        assert_eq!(seen.revision("a", 3), News::New);
    }

    #[test]
    fn a_later_run_knows_what_an_earlier_one_told() {
        let mut seen = Seen::resumed([("a".into(), 2)], [("b".into(), 4)]);
        assert_eq!((seen.revision("a", 2), seen.revision("b", 4)), (News::Old, News::Old));
        assert_eq!((seen.closed("a"), seen.closed("b")), (News::New, News::Old));
        assert_eq!(seen.revision("b", 5), News::New);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = Seen::default();
        for n in 0..3 * REMEMBERED {
            seen.revision(&n.to_string(), 1);
            seen.closed(&n.to_string());
        }
        assert_eq!((seen.open.len(), seen.closed.len()), (0, REMEMBERED));
    }
}
