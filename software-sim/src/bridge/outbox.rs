//! What waits to be sent: a line for each call on a desk, whose head is tried until it is settled. Pure.
//!
//! A head that fails rests, and only its own line waits for it. The room is shared by all lines.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    bridge::{calls::Key, request::Content, retry::History},
    pop::Pop,
};

/// One request to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same in every try, and after a restart.
    pub id: String,
    /// Whose line it stands in.
    pub key: Key,
    /// What to say.
    pub content: Content,
    /// The revision of which it is said.
    pub pop: Pop,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of call {} at {}", self.content, self.key.call, self.pop.extension)
    }
}

/// A request to send now.
#[derive(Debug)]
pub struct Try {
    /// Its number in the store.
    pub number: u64,
    /// What to send.
    pub delivery: Delivery,
}

/// A request in its line.
#[derive(Debug)]
pub struct Waiting {
    number: u64,
    /// What to send.
    pub delivery: Delivery,
    tries: u32,
    first_try: Option<Instant>,
    may_have_arrived: bool,
}

impl Waiting {
    /// What has been tried.
    pub fn history(&self, now: Instant) -> History {
        let lasting = self.first_try.map_or(Duration::ZERO, |first| now.duration_since(first));
        History {
            tries: self.tries,
            lasting,
            may_have_arrived: self.may_have_arrived,
            repetition: self.delivery.content.repetition(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Ready,
    Flying,
    Resting(Instant),
}

#[derive(Debug)]
struct Line {
    head: Head,
    waiting: VecDeque<Waiting>,
}

/// All lines.
#[derive(Debug)]
pub struct Outbox {
    lines: BTreeMap<Key, Line>,
    room: usize,
    at_once: usize,
}

impl Outbox {
    /// `room`: how many requests may wait; `at_once`: how many may be on their way.
    pub fn new(room: usize, at_once: usize) -> Self {
        Self { lines: BTreeMap::new(), room, at_once }
    }

    /// How many wait, those on their way included.
    pub fn waiting(&self) -> usize {
        self.lines.values().map(|line| line.waiting.len()).sum()
    }

    /// Puts a request at the end of its line. Yields what had to go for it: the oldest that says no end, or else the oldest.
    pub fn push(&mut self, number: u64, delivery: Delivery) -> Option<(u64, Delivery)> {
        let line = self
            .lines
            .entry(delivery.key.clone())
            .or_insert_with(|| Line { head: Head::Ready, waiting: VecDeque::new() });
        line.waiting.push_back(Waiting { number, delivery, tries: 0, first_try: None, may_have_arrived: false });
        if self.waiting() <= self.room {
            return None;
        }
        let (_, _, key, at) = self
            .lines
            .iter()
            .flat_map(|(key, line)| line.waiting.iter().enumerate().map(move |(at, waiting)| (key, line, at, waiting)))
            .filter(|(_, line, at, _)| *at > 0 || line.head != Head::Flying)
            .map(|(key, _, at, waiting)| (waiting.delivery.content.is_end(), waiting.number, key.clone(), at))
            .min()?;
        let dropped = self.take(&key, at)?;
        Some((dropped.number, dropped.delivery))
    }

    /// The next request to send now, if there is one; counts as on its way.
    pub fn next(&mut self, now: Instant) -> Option<Try> {
        if self.lines.values().filter(|line| line.head == Head::Flying).count() >= self.at_once {
            return None;
        }
        let is_due = |line: &&mut Line| match line.head {
            Head::Ready => true,
            Head::Flying => false,
            Head::Resting(until) => until <= now,
        };
        let line = self.lines.values_mut().filter(is_due).min_by_key(|line| line.waiting.front().map(|w| w.number))?;
        let first = line.waiting.front_mut()?;
        first.tries += 1;
        first.first_try.get_or_insert(now);
        line.head = Head::Flying;
        Some(Try { number: first.number, delivery: first.delivery.clone() })
    }

    /// When the next one that rests may go, if there is room for it.
    pub fn deadline(&self) -> Option<Instant> {
        if self.lines.values().filter(|line| line.head == Head::Flying).count() >= self.at_once {
            return None;
        }
        let rests = |line: &Line| match line.head {
            Head::Resting(until) => Some(until),
            Head::Ready | Head::Flying => None,
        };
        self.lines.values().filter_map(rests).min()
    }

    /// The head of a line that is on its way.
    pub fn flown(&self, key: &Key) -> Option<&Waiting> {
        self.lines.get(key).filter(|line| line.head == Head::Flying)?.waiting.front()
    }

    /// The head that is on its way has failed, and is to be tried again then.
    pub fn again(&mut self, key: &Key, at: Instant, may_have_arrived: bool) {
        if let Some(line) = self.lines.get_mut(key) {
            line.head = Head::Resting(at);
            if let Some(head) = line.waiting.front_mut() {
                head.may_have_arrived |= may_have_arrived;
            }
        }
    }

    /// The head that is on its way is done with; yields its number.
    pub fn settle(&mut self, key: &Key) -> Option<u64> {
        self.take(key, 0).map(|waiting| waiting.number)
    }

    fn take(&mut self, key: &Key, at: usize) -> Option<Waiting> {
        let line = self.lines.get_mut(key)?;
        let taken = line.waiting.remove(at);
        if at == 0 {
            line.head = Head::Ready;
        }
        if line.waiting.is_empty() {
            self.lines.remove(key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::calls::{Kind, tests::pop};

    fn delivery(call: &str, revision: u32, kind: Kind) -> Delivery {
        let key = Key { node: "n".into(), call: call.into() };
        let content = Content::Json { kind };
        Delivery { id: format!("{call}-{revision}"), key, content, pop: pop(revision, "ringing") }
    }

    fn outbox(room: usize, at_once: usize, calls: &[&str]) -> Outbox {
        let mut outbox = Outbox::new(room, at_once);
        for (number, call) in (1..).zip(calls) {
            assert_eq!(outbox.push(number, delivery(call, u32::try_from(number).unwrap(), Kind::Went)), None);
        }
        outbox
    }

    fn key(call: &str) -> Key {
        Key { node: "n".into(), call: call.into() }
    }

    fn next(outbox: &mut Outbox, now: Instant) -> Option<String> {
        outbox.next(now).map(|next| next.delivery.id)
    }

    #[test]
    fn a_call_has_one_request_on_its_way_and_its_requests_keep_their_order() {
        let now = Instant::now();
        let mut outbox = outbox(9, 9, &["a", "a", "b"]);
        assert_eq!(next(&mut outbox, now).as_deref(), Some("a-1"));
        assert_eq!(next(&mut outbox, now).as_deref(), Some("b-3"));
        assert_eq!(next(&mut outbox, now), None);
        assert_eq!(outbox.settle(&key("a")), Some(1));
        assert_eq!(next(&mut outbox, now).as_deref(), Some("a-2"));
    }

    #[test]
    fn who_rests_holds_up_nobody_else_and_comes_again_when_it_is_time() {
        let now = Instant::now();
        let mut outbox = outbox(9, 1, &["a", "b"]);
        assert_eq!(next(&mut outbox, now).as_deref(), Some("a-1"));
        assert_eq!((next(&mut outbox, now), outbox.deadline()), (None, None));
        let later = now + Duration::from_secs(1);
        outbox.again(&key("a"), later, false);
        assert_eq!(outbox.deadline(), Some(later));
        assert_eq!(next(&mut outbox, now).as_deref(), Some("b-2"));
        outbox.settle(&key("b"));
        assert_eq!(next(&mut outbox, now), None);
        assert_eq!(next(&mut outbox, later).as_deref(), Some("a-1"));
        let history = outbox.flown(&key("a")).unwrap().history(later);
        assert_eq!((history.tries, history.lasting), (2, Duration::from_secs(1)));
    }

    #[test]
    fn when_there_is_no_room_the_oldest_that_says_no_end_goes_and_what_is_on_its_way_stays() {
        let now = Instant::now();
        let mut outbox = outbox(3, 9, &["a"]);
        outbox.push(2, delivery("b", 2, Kind::Ended));
        outbox.push(3, delivery("b", 3, Kind::Went));
        assert_eq!(next(&mut outbox, now).as_deref(), Some("a-1"));
        let dropped = outbox.push(4, delivery("c", 4, Kind::Ended)).map(|(number, _)| number);
        assert_eq!(dropped, Some(3));
        let dropped = outbox.push(5, delivery("c", 5, Kind::Ended)).map(|(number, _)| number);
        assert_eq!((dropped, outbox.waiting()), (Some(2), 3));
        assert_eq!(outbox.settle(&key("a")), Some(1));
    }
}
