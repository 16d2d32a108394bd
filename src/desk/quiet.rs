//! When announcements, and that a phone rings, stand back: so that a phone that is about to ring does not wait for twenty
//! messages to others.

use std::time::{Duration, Instant};

/// How long they stand back.
#[derive(Debug, Clone, Copy)]
pub struct Spans {
    /// At most, while phones wait for their pops. The server takes what it is sent in its order, and twenty messages take it longer
    /// than a pop.
    pub at_most: Duration,
    /// After the last of these pops: the phone is being called.
    pub after_pop: Duration,
}

impl Default for Spans {
    fn default() -> Self {
        Self { at_most: Duration::from_millis(100), after_pop: Duration::from_millis(20) }
    }
}

/// With more messages than this there is no quiet moment to wait for.
const BACKLOG: usize = 200;

/// Since when they have stood back.
#[derive(Debug, Default)]
pub struct Quiet {
    spans: Spans,
    since: Option<Instant>,
    settled: Option<Instant>,
}

impl Quiet {
    /// Nothing stands back yet.
    pub fn new(spans: Spans) -> Self {
        Self { spans, ..Self::default() }
    }

    /// Until when nothing of this is to be sent; `None`: now is the time. `pops`: whether a phone waits for one; `backlog`:
    /// messages that wait.
    pub fn until(&mut self, pops: bool, backlog: usize, now: Instant) -> Option<Instant> {
        let Spans { at_most, after_pop } = self.spans;
        let end = if backlog > BACKLOG {
            now
        } else if pops {
            self.settled = None;
            *self.since.get_or_insert(now) + at_most
        } else {
            let since = self.since?;
            (*self.settled.get_or_insert(now) + after_pop).min(since + at_most)
        };
        if now < end {
            return Some(end);
        }
        if !pops {
            *self = Self::new(self.spans);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn announcements_wait_for_the_pop_and_for_the_call_to_the_phone() {
        let (mut quiet, now) = (Quiet::default(), Instant::now());
        assert_eq!(quiet.until(false, 20, now), None, "nobody waits for a pop");
        assert_eq!(quiet.until(true, 20, now), Some(now + ms(100)));
        assert_eq!(quiet.until(false, 20, now + ms(3)), Some(now + ms(23)));
        assert_eq!(quiet.until(false, 20, now + ms(10)), Some(now + ms(23)), "counted from the pop");
        assert_eq!(quiet.until(false, 20, now + ms(23)), None);
    }

    #[test]
    fn a_server_that_does_not_confirm_and_callers_without_end_hold_announcements_up_for_a_moment_only() {
        let (mut quiet, now) = (Quiet::default(), Instant::now());
        assert!(quiet.until(true, 20, now).is_some());
        assert_eq!(quiet.until(true, 20, now + ms(100)), None);
        assert_eq!(quiet.until(true, 20, now + ms(300)), None);
        assert_eq!(quiet.until(false, 20, now + ms(301)), None);
        assert!(quiet.until(true, 20, now + ms(400)).is_some());
        assert!(quiet.until(false, 20, now + ms(490)).is_some_and(|end| end == now + ms(500)));
        assert_eq!(quiet.until(true, 201, now + ms(495)), None, "too many wait");
    }
}
