//! Which calls are open on which desk, and what each thing that happens means to somebody who was told the rest. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::pop::Pop;

/// How long the last revision of a call that is over is remembered, so that a late repetition is not told.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// A call on a desk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Name of the desk's node.
    pub node: String,
    /// The call.
    pub call: String,
}

/// A call's stay on a desk, from the first revision that was told to its end. A call that comes back begins another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The revision it began with.
    pub first: u32,
    /// Whether the phone has rung.
    pub has_rung: bool,
    /// Whether they have talked.
    pub has_talked: bool,
    /// The last revision that was told.
    pub pop: Pop,
}

/// What is kept of a life that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// Its last revision.
    pub last: u32,
    /// When it ended.
    pub at: Timestamp,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which call.
    pub key: Key,
    /// What.
    pub kind: Kind,
    /// The life as it is now, with the revision that was read last.
    pub life: Life,
    /// Whether they had talked before this.
    pub had_talked: bool,
    /// What is kept of it, if it is over now.
    pub over: Option<Over>,
}

/// What happened to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its first revision here.
    Began,
    /// A further one.
    Went,
    /// Its last one.
    Ended,
    /// It was taken away without a last one.
    Closed,
}

/// The calls of all desks.
#[derive(Debug, Default)]
pub struct Calls {
    open: BTreeMap<Key, Life>,
    over: BTreeMap<Key, Over>,
}

impl Calls {
    /// Those of an earlier run.
    pub fn new(open: BTreeMap<Key, Life>, over: BTreeMap<Key, Over>) -> Self {
        Self { open, over }
    }

    /// Those that are open.
    pub fn open(&self) -> impl Iterator<Item = (&Key, &Life)> {
        self.open.iter()
    }

    /// Those that are over and remembered.
    pub fn over(&self) -> impl Iterator<Item = (&Key, &Over)> {
        self.over.iter()
    }

    /// A revision was read. `None`: it is not news, or the end of something whose beginning was never told.
    pub fn revision(&mut self, node: &str, pop: Pop, now: Timestamp) -> Option<Step> {
        let key = Key { node: node.into(), call: pop.call.clone() };
        let before = self.open.get(&key);
        let last = before.map(|life| life.pop.revision).max(self.over.get(&key).map(|over| over.last));
        if last.is_some_and(|last| pop.revision <= last) || (before.is_none() && pop.is_final()) {
            return None;
        }
        let had_talked = before.is_some_and(|life| life.has_talked);
        let has_talked = had_talked || matches!(pop.state.as_str(), "answered" | "ended");
        let has_rung = has_talked || before.is_some_and(|life| life.has_rung) || pop.state == "ringing";
        let first = before.map_or(pop.revision, |life| life.first);
        let kind = match before {
            None => Kind::Began,
            Some(_) if pop.is_final() => Kind::Ended,
            Some(_) => Kind::Went,
        };
        let life = Life { first, has_rung, has_talked, pop };
        let over = (kind == Kind::Ended).then_some(Over { last: life.pop.revision, at: now });
        if let Some(over) = over {
            self.open.remove(&key);
            self.over.insert(key.clone(), over);
        } else {
            self.open.insert(key.clone(), life.clone());
        }
        Some(Step { key, kind, life, had_talked, over })
    }

    /// A call was taken away. `None`: it is over already.
    pub fn closed(&mut self, key: &Key, now: Timestamp) -> Option<Step> {
        let life = self.open.remove(key)?;
        let over = Over { last: life.pop.revision, at: now };
        self.over.insert(key.clone(), over);
        Some(Step { key: key.clone(), kind: Kind::Closed, had_talked: life.has_talked, life, over: Some(over) })
    }

    /// Forgets what ended long ago, and says what.
    pub fn forget(&mut self, now: Timestamp) -> Vec<Key> {
        let is_old = |over: &Over| now.duration_since(over.at) > REMEMBERED;
        let old: Vec<Key> = self.over.iter().filter(|(_, over)| is_old(over)).map(|(key, _)| key.clone()).collect();
        self.over.retain(|_, over| !is_old(over));
        old
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::pop::{Caller, Customer};

    /// Call `c` on desk 1000.
    pub fn pop(revision: u32, state: &str) -> Pop {
        Pop {
            state: state.into(),
            call: "c".into(),
            revision,
            extension: "1000".into(),
            queue: "support".into(),
            customer: Customer { id: 1, code: "0071".into(), name: "A, \"B\" & Ção".into(), link: None },
            caller: Caller { number: "2000".into(), name: String::new() },
            entered: at(0),
            changed: at(i64::from(revision)),
            private: false,
            test: false,
        }
    }

    /// So many seconds into a day.
    pub fn at(seconds: i64) -> Timestamp {
        Timestamp::new(1_795_000_000 + seconds, 0).unwrap()
    }

    /// What each revision is told as.
    fn told(calls: &mut Calls, revisions: &[(u32, &str)]) -> Vec<Option<Kind>> {
        let mut tell =
            |(revision, state): &(u32, &str)| calls.revision("n", pop(*revision, state), at(0)).map(|step| step.kind);
        revisions.iter().map(&mut tell).collect()
    }

    fn key() -> Key {
        Key { node: "n".into(), call: "c".into() }
    }

    #[test]
    fn a_call_begins_goes_on_and_ends_and_its_retraction_is_no_second_end() {
        let mut calls = Calls::default();
        let kinds =
            told(&mut calls, &[(1, "offered"), (2, "ringing"), (2, "ringing"), (1, "offered"), (4, "withdrawn")]);
        assert_eq!(kinds, [Some(Kind::Began), Some(Kind::Went), None, None, Some(Kind::Ended)]);
        assert_eq!(calls.closed(&key(), at(0)), None);
        assert_eq!(told(&mut calls, &[(4, "withdrawn"), (3, "answered")]), [None, None]);
    }

    #[test]
    fn a_call_that_is_taken_away_without_a_last_revision_is_closed_with_what_was_told_last() {
        let mut calls = Calls::default();
        told(&mut calls, &[(1, "offered"), (2, "answered")]);
        let step = calls.closed(&key(), at(0)).unwrap();
        assert_eq!((step.kind, step.life.pop.state.as_str(), step.life.has_talked), (Kind::Closed, "answered", true));
    }

    #[test]
    fn a_call_that_comes_back_begins_another_life() {
        let mut calls = Calls::default();
        told(&mut calls, &[(1, "offered"), (2, "withdrawn")]);
        let step = calls.revision("n", pop(5, "answered"), at(0)).unwrap();
        assert_eq!((step.kind, step.life.first, step.had_talked, step.life.has_rung), (Kind::Began, 5, false, true));
    }

    #[test]
    fn the_end_of_something_that_was_never_told_is_not_told() {
        assert_eq!(told(&mut Calls::default(), &[(3, "ended")]), [None]);
    }

    #[test]
    fn one_call_on_two_desks_is_two_lives() {
        let mut calls = Calls::default();
        told(&mut calls, &[(1, "offered")]);
        assert_eq!(calls.revision("m", pop(2, "offered"), at(0)).unwrap().kind, Kind::Began);
        assert!(calls.closed(&key(), at(0)).is_some());
        assert_eq!(calls.open().count(), 1);
    }

    #[test]
    fn what_is_over_is_forgotten_after_a_day_and_not_before() {
        let mut calls = Calls::default();
        told(&mut calls, &[(1, "offered"), (2, "withdrawn")]);
        assert_eq!(calls.forget(at(86_400)), []);
        assert_eq!(calls.forget(at(86_401)), [key()]);
        assert_eq!(calls.over().count(), 0);
    }
}
