//! How often a complaint is made: of each kind the first at once, what follows within a minute as one number. A peer that
//! connects a thousand times a second would otherwise fill the disk with its story.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// For how long further complaints of a kind are only counted.
pub(super) const QUIET: Duration = Duration::from_secs(60);

/// What is complained of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A peer that is not on the allow list.
    NotAllowed,
    /// More connections than may be open.
    TooMany,
    /// A request that was not done in time.
    TooSlow,
    /// A request with lines that are not Asterisk's.
    Smuggled,
    /// A connection that was given up.
    GivenUp,
    /// No descriptor was left to accept one.
    NotAccepted,
}

/// Which complaints were made and which were only counted.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<Kind, Window>);

#[derive(Debug)]
struct Window {
    end: Instant,
    more: u64,
}

impl Complaints {
    /// Takes in one; whether it is to be made now.
    pub(super) fn take(&mut self, kind: Kind, now: Instant) -> bool {
        if let Some(window) = self.0.get_mut(&kind) {
            window.more += 1;
            return false;
        }
        self.0.insert(kind, Window { end: now + QUIET, more: 0 });
        true
    }

    /// When [`Complaints::counted`] has something to do next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|window| window.end).min()
    }

    /// How many there were of each kind whose minute is over. After a minute without any, the next is made at once again.
    pub(super) fn counted(&mut self, now: Instant) -> Vec<(Kind, u64)> {
        let mut counts = Vec::new();
        self.0.retain(|kind, window| {
            if window.end > now {
                return true;
            }
            let more = std::mem::take(&mut window.more);
            window.end = now + QUIET;
            if more > 0 {
                counts.push((*kind, more));
            }
            more > 0
        });
        counts
    }

    /// What was counted and not said yet: for the end.
    pub(super) fn rest(self) -> Vec<(Kind, u64)> {
        self.0.into_iter().map(|(kind, window)| (kind, window.more)).filter(|(_, more)| *more > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_thousand_bad_peers_in_a_minute_one_is_named_and_the_others_are_counted() {
        let (mut complaints, begin) = (Complaints::default(), Instant::now());
        let said = (0..1000u64).filter(|n| complaints.take(Kind::GivenUp, begin + Duration::from_millis(*n))).count();
        assert_eq!(said, 1);
        assert!(complaints.take(Kind::NotAllowed, begin + QUIET / 2), "another kind is another story");
        assert_eq!(complaints.deadline(), Some(begin + QUIET));
        assert_eq!(complaints.counted(begin + QUIET), [(Kind::GivenUp, 999)]);
        // It goes on: counted again, a minute later.
        assert!(!complaints.take(Kind::GivenUp, begin + QUIET));
        assert_eq!(complaints.counted(begin + QUIET * 2), [(Kind::GivenUp, 1)]);
        assert_eq!(complaints.counted(begin + QUIET * 3), []);
        assert_eq!(complaints.deadline(), None);
        assert!(complaints.take(Kind::GivenUp, begin + QUIET * 3), "after a quiet minute it is news again");
    }
}
