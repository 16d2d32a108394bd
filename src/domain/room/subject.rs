//! When the subject of a room is set again: it changes with each second that somebody waits, and is not said that often.

use std::time::{Duration, Instant};

use crate::domain::{queue::summary::Summary, words::Language};

/// The least time between two subjects.
pub const REST: Duration = Duration::from_secs(5);
/// The same where only the longest wait has grown.
pub const GROWS: Duration = Duration::from_secs(30);

/// When it is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It says what there is to say.
    Not,
    /// Now.
    Now,
    /// Not before this.
    At(Instant),
}

/// What was set last.
#[derive(Debug, Clone, Default)]
pub struct Subject(Option<(Summary, Instant)>);

impl Subject {
    /// When the room, which shows this, is to show these numbers.
    pub fn due(&self, shown: &str, summary: &Summary, language: Language, now: Instant) -> Due {
        if shown == summary.line(language) {
            return Due::Not;
        }
        let Some((before, at)) = &self.0 else { return Due::Now };
        let only_grows = Summary { longest: before.longest, ..*summary } == *before && shown == before.line(language);
        let due = *at + if only_grows { GROWS } else { REST };
        if due <= now { Due::Now } else { Due::At(due) }
    }

    /// These were set.
    pub fn set(&mut self, summary: Summary, now: Instant) {
        self.0 = Some((summary, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: Language = Language::English;

    #[expect(clippy::disallowed_methods, reason = "a moment to count from can be had nowhere else")]
    fn begin() -> Instant {
        Instant::now()
    }

    fn waiting(waiting: usize, longest: u64) -> Summary {
        Summary { waiting, longest: Duration::from_secs(longest), ready: 1, members: 2 }
    }

    #[test]
    fn what_the_room_shows_already_is_not_set_by_a_later_run() {
        let subject = Subject::default();
        let empty = waiting(0, 0);
        assert_eq!(subject.due(&empty.line(EN), &empty, EN, begin()), Due::Not);
        assert_eq!(subject.due("", &empty, EN, begin()), Due::Now);
        assert_eq!(subject.due(&waiting(1, 3).line(EN), &empty, EN, begin()), Due::Now);
    }

    #[test]
    fn numbers_that_change_are_shown_after_five_seconds_and_a_wait_that_grows_after_thirty() {
        let (mut subject, now) = (Subject::default(), begin());
        let first = waiting(1, 3);
        subject.set(first, now);
        let shown = first.line(EN);
        let second = Duration::from_secs(1);
        assert_eq!(subject.due(&shown, &waiting(1, 4), EN, now + second), Due::At(now + GROWS));
        assert_eq!(subject.due(&shown, &waiting(1, 33), EN, now + GROWS), Due::Now);
        for changed in [waiting(2, 4), waiting(0, 0), Summary { ready: 0, ..first }, Summary { members: 3, ..first }] {
            assert_eq!(subject.due(&shown, &changed, EN, now + second), Due::At(now + REST), "{changed:?}");
            assert_eq!(subject.due(&shown, &changed, EN, now + REST), Due::Now, "{changed:?}");
        }
    }

    #[test]
    fn what_somebody_else_has_set_is_set_back_no_faster_than_any_change() {
        let (mut subject, now) = (Subject::default(), begin());
        subject.set(waiting(0, 0), now);
        assert_eq!(subject.due("Lunch!", &waiting(0, 0), EN, now), Due::At(now + REST));
        assert_eq!(subject.due("Lunch!", &waiting(0, 0), EN, now + REST), Due::Now);
    }
}
