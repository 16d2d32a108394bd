//! What callers are told while they wait: their place in line, how long it is going to take, and what the queue has to say.
//!
//! Each announcement is a whole recording, so that its grammar is right in every language.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The part of a queue's policy that says what waiting callers are told; the meaning of each is app_queue's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcements {
    /// From one announcement of place and wait to the next, the first after as long; zero: none.
    pub every: Duration,
    /// Whether the place in line is said.
    pub position: bool,
    /// Whether it is said how long it is going to take.
    pub hold_time: bool,
    /// Sounds that are played time and again, joined by `&`; empty: none.
    pub periodic: String,
    /// From one time to the next, the first after as long; zero: none.
    pub periodic_every: Duration,
}

impl Announcements {
    /// The pause between two announcements of place and wait; `None`: there are none.
    pub fn place_every(&self) -> Option<Duration> {
        ((self.position || self.hold_time) && !self.every.is_zero()).then_some(self.every)
    }

    /// The pause between two periodic announcements; `None`: there are none.
    pub fn sounds_every(&self) -> Option<Duration> {
        (!self.periodic.is_empty() && !self.periodic_every.is_zero()).then_some(self.periodic_every)
    }

    /// What is said to a caller at this place, from 1, who is expected to wait for so long, if that is known.
    pub fn place(&self, position: usize, expected: Option<Duration>) -> Vec<String> {
        let place = self.position.then(|| position_sound(position));
        let wait = expected.filter(|_| self.hold_time).map(|wait| wait_sound(wait).to_owned());
        place.into_iter().chain(wait).collect()
    }

    /// What is played time and again.
    pub fn sounds(&self) -> Vec<String> {
        self.periodic.split('&').filter(|sound| !sound.is_empty()).map(str::to_owned).collect()
    }

    /// Every sound that may be played for it.
    pub fn all_sounds(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.place_every().is_some() && self.position {
            all.extend((1..=LAST_NUMBERED + 1).map(position_sound));
        }
        if self.place_every().is_some() && self.hold_time {
            all.extend(WAITS.iter().map(|(_, sound)| (*sound).to_owned()));
            all.push(LONG_WAIT.to_owned());
        }
        if self.sounds_every().is_some() {
            all.extend(self.sounds());
        }
        all
    }
}

/// The last place that has a recording of its own.
const LAST_NUMBERED: usize = 20;

/// "You are first in line" to "you are number 20 in line"; beyond, that more than twenty are waiting before them.
fn position_sound(position: usize) -> String {
    if position > LAST_NUMBERED { "usher/position_many".to_owned() } else { format!("usher/position_{position}") }
}

/// Below so many seconds, this is said: the recording that is nearest.
const WAITS: [(u64, &str); 10] = [
    (60, "usher/wait_short"),
    (90, "usher/wait_1"),
    (150, "usher/wait_2"),
    (210, "usher/wait_3"),
    (270, "usher/wait_4"),
    (450, "usher/wait_5"),
    (750, "usher/wait_10"),
    (1_050, "usher/wait_15"),
    (1_500, "usher/wait_20"),
    (1_860, "usher/wait_30"),
];
const LONG_WAIT: &str = "usher/wait_long";

fn wait_sound(expected: Duration) -> &'static str {
    WAITS.iter().find(|(below, _)| expected.as_secs() < *below).map_or(LONG_WAIT, |(_, sound)| sound)
}

/// How many answered calls count.
const KEPT: usize = 20;
/// How long each of them counts: what the morning was like says nothing of the evening.
const FRESH: Duration = Duration::from_secs(3_600);

/// How long the last callers of a queue waited until they were answered, and from which place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits(VecDeque<Served>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Served {
    at: Instant,
    place: u32,
    waited: Duration,
}

impl Waits {
    /// A caller who entered at this place, from 1, was answered after so long.
    pub fn served(&mut self, place: usize, waited: Duration, at: Instant) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Served { at, place: u32::try_from(place).unwrap_or(u32::MAX).max(1), waited });
    }

    /// How long one at this place, from 1, is going to wait: as long for each place as it took lately. `None`: nobody knows.
    pub fn expected(&self, place: usize, now: Instant) -> Option<Duration> {
        let fresh = || self.0.iter().filter(|served| now.saturating_duration_since(served.at) < FRESH);
        let places = fresh().fold(0_u32, |sum, served| sum.saturating_add(served.place));
        let waited: Duration = fresh().map(|served| served.waited).sum();
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        waited.checked_div(places).map(|each| each.saturating_mul(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_place_has_its_recording_and_those_far_behind_one_for_all() {
        let all = Announcements { every: SECOND, position: true, ..Announcements::default() };
        assert_eq!(all.place(1, None), ["usher/position_1"]);
        assert_eq!(all.place(20, None), ["usher/position_20"]);
        assert_eq!(all.place(21, None), ["usher/position_many"]);
        assert_eq!(all.place(10_000, None), ["usher/position_many"]);
    }

    #[test]
    fn the_wait_that_is_said_is_the_nearest_that_there_is_a_recording_of() {
        let said = |seconds| wait_sound(Duration::from_secs(seconds)).strip_prefix("usher/wait_").unwrap();
        for (seconds, expected) in [
            (0, "short"),
            (59, "short"),
            (60, "1"),
            (89, "1"),
            (90, "2"),
            (200, "3"),
            (269, "4"),
            (300, "5"),
            (449, "5"),
            (450, "10"),
            (899, "15"),
            (1_200, "20"),
            (1_800, "30"),
            (1_860, "long"),
            (u64::MAX, "long"),
        ] {
            assert_eq!(said(seconds), expected, "{seconds} s");
        }
    }

    #[test]
    fn nothing_is_said_of_a_wait_that_nobody_knows_nor_of_what_is_switched_off() {
        let mut all = Announcements { every: SECOND, hold_time: true, ..Announcements::default() };
        assert_eq!(all.place(3, None), Vec::<String>::new());
        assert_eq!(all.place(3, Some(61 * SECOND)), ["usher/wait_1"]);
        (all.position, all.hold_time) = (true, false);
        assert_eq!(all.place(3, Some(61 * SECOND)), ["usher/position_3"]);
        all.hold_time = true;
        assert_eq!(all.place(3, Some(61 * SECOND)), ["usher/position_3", "usher/wait_1"]);
        assert_eq!(all.place_every(), Some(SECOND));
        (all.position, all.hold_time) = (false, false);
        assert_eq!((all.place_every(), all.sounds_every()), (None, None));
        all.periodic = "usher/one&usher/two".into();
        assert_eq!(all.sounds_every(), None, "no pause is no announcement");
        all.periodic_every = SECOND;
        assert_eq!((all.sounds_every(), all.sounds().len()), (Some(SECOND), 2));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a moment to count from can be had nowhere else; all others follow it"
    )]
    fn the_wait_is_guessed_from_the_last_calls_that_were_answered_and_the_place_in_line() {
        let now = Instant::now();
        let mut waits = Waits::default();
        assert_eq!(waits.expected(1, now), None, "nothing is known");
        waits.served(1, 30 * SECOND, now);
        waits.served(3, 90 * SECOND, now);
        assert_eq!(waits.expected(1, now), Some(30 * SECOND));
        assert_eq!(waits.expected(4, now), Some(120 * SECOND));
        // What is long ago does not count any more, neither do more than the last twenty.
        assert_eq!(waits.expected(1, now + FRESH), None);
        for _ in 0..KEPT {
            waits.served(2, 20 * SECOND, now);
        }
        assert_eq!((waits.expected(2, now), waits.0.len()), (Some(20 * SECOND), KEPT));
        assert_eq!(waits.expected(usize::MAX, now), Some(Duration::from_secs(10 * u64::from(u32::MAX))));
    }
}
