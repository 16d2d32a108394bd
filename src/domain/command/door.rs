//! Who is heard, and how often: a bound for each person, the language they are answered in, and what was carried out already.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::{Duration, Instant},
};

use crate::domain::words::Language;

/// Commands in a row before the bound is felt: a client that shows a menu asks for each of its entries.
pub const BURST: u32 = 30;
/// And how long until one more is heard.
pub const REFILL: Duration = Duration::from_secs(1);
/// People remembered: every agent of a large floor. Beyond it, who was not heard for longest is forgotten.
pub const PEOPLE: usize = 10_000;
/// Messages of one person that were carried out and may be corrected yet. Clients let the last one be corrected.
const DONE: usize = 16;

/// Whether somebody is heard now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Yes.
    Yes,
    /// No, and they are to be told so.
    TellThem,
    /// No, and they have been told: a program that answers every answer is not answered for ever.
    No,
}

/// What is remembered of one person.
#[derive(Debug, Clone)]
struct Memory {
    left: u32,
    since: Instant,
    told: bool,
    /// The one they used last.
    used: Option<Language>,
    /// The one they asked for.
    chosen: Option<Language>,
    /// Ids of messages whose commands had consequences, oldest first.
    done: VecDeque<String>,
    last: Instant,
}

/// Everybody who was heard.
#[derive(Debug)]
pub struct Door<P> {
    people: HashMap<P, Memory>,
}

impl<P> Default for Door<P> {
    fn default() -> Self {
        Self { people: HashMap::new() }
    }
}

impl<P: Clone + Eq + Hash> Door<P> {
    /// Somebody asks for something.
    pub fn knock(&mut self, person: &P, now: Instant) -> Heard {
        let memory = self.memory(person, now);
        let passed = now.saturating_duration_since(memory.since).as_millis() / REFILL.as_millis();
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        if more > 0 {
            memory.left = memory.left.saturating_add(more).min(BURST);
            memory.since = now;
        }
        match (memory.left.checked_sub(1), memory.told) {
            (Some(left), _) => {
                memory.left = left;
                memory.told = false;
                Heard::Yes
            }
            (None, false) => {
                memory.told = true;
                Heard::TellThem
            }
            (None, true) => Heard::No,
        }
    }

    /// The language that they asked for, or else the one that they used last.
    pub fn language(&self, person: &P) -> Option<Language> {
        let memory = self.people.get(person)?;
        memory.chosen.or(memory.used)
    }

    /// The language that they asked for: it stays, whatever they use.
    pub fn chosen(&self, person: &P) -> Option<Language> {
        self.people.get(person)?.chosen
    }

    /// They use this one.
    pub fn speaks(&mut self, person: &P, language: Language, now: Instant) {
        self.memory(person, now).used = Some(language);
    }

    /// They want to be answered in this one.
    pub fn chooses(&mut self, person: &P, language: Language, now: Instant) {
        self.memory(person, now).chosen = Some(language);
    }

    /// The message of this id was carried out, and had consequences.
    pub fn did(&mut self, person: &P, message: &str, now: Instant) {
        let done = &mut self.memory(person, now).done;
        if done.len() >= DONE {
            done.pop_front();
        }
        done.push_back(message.to_owned());
    }

    /// Whether it was.
    pub fn has_done(&self, person: &P, message: &str) -> bool {
        self.people.get(person).is_some_and(|memory| memory.done.iter().any(|done| done == message))
    }

    fn memory(&mut self, person: &P, now: Instant) -> &mut Memory {
        if !self.people.contains_key(person) && self.people.len() >= PEOPLE {
            let oldest = self.people.iter().min_by_key(|(_, memory)| memory.last).map(|(person, _)| person.clone());
            oldest.and_then(|oldest| self.people.remove(&oldest));
        }
        let memory = self.people.entry(person.clone()).or_insert(Memory {
            left: BURST,
            since: now,
            told: false,
            used: None,
            chosen: None,
            done: VecDeque::new(),
            last: now,
        });
        memory.last = now;
        memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a moment to count from can be had nowhere else")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn two_programs_that_answer_each_other_fall_silent() {
        let (mut door, now) = (Door::default(), begin());
        let heard: Vec<Heard> = (0..100).map(|_| door.knock(&1, now)).collect();
        assert_eq!(heard.iter().filter(|heard| **heard == Heard::Yes).count(), BURST as usize);
        assert_eq!(heard.iter().filter(|heard| **heard == Heard::TellThem).count(), 1);
        assert_eq!(heard.last(), Some(&Heard::No));
        assert_eq!(door.knock(&2, now), Heard::Yes, "another person is heard");
    }

    #[test]
    fn who_waits_a_second_is_heard_once_more_and_after_a_minute_as_before() {
        let (mut door, now) = (Door::default(), begin());
        (0..BURST + 2).for_each(|_| {
            door.knock(&1, now);
        });
        assert_eq!(door.knock(&1, now + Duration::from_millis(999)), Heard::No);
        assert_eq!(door.knock(&1, now + REFILL), Heard::Yes);
        assert_eq!(door.knock(&1, now + REFILL), Heard::TellThem);
        let later = now + REFILL * 60;
        assert_eq!((0..100).filter(|_| door.knock(&1, later) == Heard::Yes).count(), BURST as usize);
    }

    #[test]
    fn a_correction_is_known_by_the_message_it_corrects_and_the_oldest_are_forgotten() {
        let (mut door, now) = (Door::default(), begin());
        assert!(!door.has_done(&1, "m0"));
        (0..=DONE).for_each(|n| door.did(&1, &format!("m{n}"), now));
        assert!(!door.has_done(&1, "m0"));
        assert!(door.has_done(&1, "m1"));
        assert!(!door.has_done(&2, "m1"), "ids are of one person");
    }

    #[test]
    fn a_language_that_was_asked_for_stays_whatever_is_used() {
        let (mut door, now) = (Door::default(), begin());
        door.speaks(&1, Language::English, now);
        assert_eq!((door.language(&1), door.chosen(&1)), (Some(Language::English), None));
        door.chooses(&1, Language::Spanish, now);
        door.speaks(&1, Language::English, now);
        assert_eq!((door.language(&1), door.chosen(&1)), (Some(Language::Spanish), Some(Language::Spanish)));
        door.chooses(&1, Language::Portuguese, now);
        assert_eq!(door.language(&1), Some(Language::Portuguese));
        assert_eq!(door.language(&2), None);
    }

    #[test]
    fn no_more_people_are_remembered_than_there_is_room_for() {
        let (mut door, now) = (Door::default(), begin());
        for person in 0..=PEOPLE {
            door.speaks(&person, Language::Spanish, now + Duration::from_millis(person as u64));
        }
        assert_eq!(door.people.len(), PEOPLE);
        assert_eq!(door.language(&0), None);
        assert_eq!(door.language(&PEOPLE), Some(Language::Spanish));
    }
}
