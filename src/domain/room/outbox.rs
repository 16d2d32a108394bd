//! Lines that wait to be said in a room: at most one message a second, which takes all that came meanwhile, and nothing that got old.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The least time between two messages in a room.
pub const REST: Duration = Duration::from_secs(1);
/// How long the first line waits for others: a call that comes in rings somewhere at once, and its pop comes first.
pub const MOMENT: Duration = Duration::from_millis(200);
/// How old a line may get: whoever reads it later is misled.
pub const LIFE: Duration = Duration::from_secs(60);
/// Lines kept for one room while nothing can be said: beyond it the oldest go.
pub const KEPT: usize = 200;
/// Lines in one message.
pub const AT_ONCE: usize = 20;

/// A line, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// What it says.
    pub text: String,
}

/// What waits for one room.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Line>,
    next: Option<Instant>,
    dropped: u64,
}

impl Outbox {
    /// Adds a line at the end.
    pub fn push(&mut self, line: Line) {
        if self.waiting.len() >= KEPT {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(line);
    }

    /// Puts lines back that were not said after all.
    pub fn put_back(&mut self, lines: Vec<Line>) {
        for line in lines.into_iter().rev() {
            if self.waiting.len() >= KEPT {
                self.dropped += 1;
            } else {
                self.waiting.push_front(line);
            }
        }
    }

    /// When there is something to say, which may be in the past; `None`: nothing waits.
    pub fn due(&self) -> Option<Instant> {
        let first = self.waiting.front()?;
        let rested = first.at + MOMENT;
        Some(self.next.map_or(rested, |next| next.max(rested)))
    }

    /// What is to be said now, as one message; empty: nothing.
    pub fn take(&mut self, now: Instant) -> Vec<Line> {
        self.forget_the_old(now);
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.next = Some(now + REST);
        let count = self.waiting.len().min(AT_ONCE);
        self.waiting.drain(..count).collect()
    }

    /// Drops what got old.
    pub fn forget_the_old(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|line| now.saturating_duration_since(line.at) > LIFE) {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    /// How many were dropped since this was asked last.
    pub fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a moment to count from can be had nowhere else")]
    fn begin() -> Instant {
        Instant::now()
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    fn push(outbox: &mut Outbox, text: &str, at: Instant) {
        outbox.push(Line { at, text: text.into() });
    }

    #[test]
    fn the_first_line_is_said_after_a_moment_and_what_comes_within_the_second_is_one_message() {
        let (mut outbox, begin) = (Outbox::default(), begin());
        push(&mut outbox, "one", begin);
        assert_eq!((outbox.take(begin), outbox.due()), (vec![], Some(begin + MOMENT)));
        let now = begin + MOMENT;
        assert_eq!(texts(&outbox.take(now)), ["one"]);
        push(&mut outbox, "two", now);
        push(&mut outbox, "three", now);
        assert_eq!((outbox.take(now + REST / 2), outbox.due()), (vec![], Some(now + REST)));
        assert_eq!(texts(&outbox.take(now + REST)), ["two", "three"]);
        assert!(outbox.is_empty() && outbox.due().is_none());
    }

    #[test]
    fn a_burst_is_some_messages_and_the_oldest_of_too_many_go_and_are_counted() {
        let (mut outbox, now) = (Outbox::default(), begin());
        (0..KEPT + 3).for_each(|n| push(&mut outbox, &n.to_string(), now));
        assert_eq!((outbox.dropped(), outbox.dropped()), (3, 0));
        let now = now + MOMENT;
        let first = outbox.take(now);
        assert_eq!((first.len(), first[0].text.as_str()), (AT_ONCE, "3"));
        assert_eq!(outbox.take(now + REST).len(), AT_ONCE);
    }

    #[test]
    fn what_got_old_while_nothing_could_be_said_is_not_said() {
        let (mut outbox, now) = (Outbox::default(), begin());
        push(&mut outbox, "old", now);
        push(&mut outbox, "new", now + LIFE / 2);
        assert_eq!(texts(&outbox.take(now + LIFE + REST)), ["new"]);
        assert_eq!(outbox.dropped(), 1);
        let mut outbox = Outbox::default();
        push(&mut outbox, "on the edge", now);
        assert_eq!(texts(&outbox.take(now + LIFE)), ["on the edge"]);
    }

    #[test]
    fn what_was_not_said_after_all_keeps_its_place() {
        let (mut outbox, now) = (Outbox::default(), begin());
        push(&mut outbox, "one", now);
        push(&mut outbox, "two", now);
        let now = now + MOMENT;
        let taken = outbox.take(now);
        push(&mut outbox, "three", now);
        outbox.put_back(taken);
        assert_eq!(texts(&outbox.take(now + REST)), ["one", "two", "three"]);
    }
}
