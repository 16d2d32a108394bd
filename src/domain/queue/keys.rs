//! The keys that an agent presses in a talk: a feature code, and then the number where the caller is to go.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

/// After this long without a key a number is whole, and half a code is forgotten.
pub const PAUSE: Duration = Duration::from_secs(3);

/// No phone ends the same key twice in less time: 40 ms of tone and 40 ms of silence (ITU-T Q.24).
const SAME_KEY: Duration = Duration::from_millis(80);

/// How many keys of a leg are remembered: more than anybody presses while Asterisk is late.
const REMEMBERED: usize = 64;

/// The keys that were told of a leg. Asterisk tells each once for the channel and once for its phone, each in order, but from two
/// threads: when it is busy the one tells the next keys before the other has told this. And a key on a leg to which it has sent keys
/// itself, because the caller pressed some, it ends twice: once more when the phone says again (RFC 4733) that it is over. That is up to
/// 50 ms later (22.10), and more when the machine stands still meanwhile.
#[derive(Debug, Default)]
pub struct Told {
    recent: VecDeque<(Timestamp, char, Duration)>,
}

impl Told {
    /// Whether this key, held for so long, was not told before. Whoever presses the same key again has held it before it ends: sooner
    /// than that, one that was held as long as the last one is the last one.
    pub fn is_new(&mut self, at: Timestamp, key: char, held: Duration) -> bool {
        let again = self.recent.iter().any(|(before, same, was_held)| {
            let apart = at.duration_since(*before).unsigned_abs();
            *same == key && (apart < SAME_KEY || (*was_held == held && apart < held))
        });
        if !again {
            self.recent.truncate(REMEMBERED - 1);
            self.recent.push_front((at, key, held));
        }
        !again
    }
}

/// What an agent can ask for by a code and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Send the caller there.
    Transfer,
    /// Speak with whoever is there first, while the caller hears music.
    Consult,
}

/// The codes of the features; an empty one is off. None begins with the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codes {
    /// Of [`Feature::Transfer`].
    pub transfer: String,
    /// Of [`Feature::Consult`].
    pub consult: String,
}

impl Codes {
    /// Whether keys would be understood: the one code does not begin with the other.
    pub fn can_be_told_apart(&self) -> bool {
        let (one, other) = (&self.transfer, &self.consult);
        one.is_empty() || other.is_empty() || !(one.starts_with(other) || other.starts_with(one))
    }

    fn each(&self) -> impl Iterator<Item = (Feature, &str)> {
        let both = [(Feature::Transfer, self.transfer.as_str()), (Feature::Consult, self.consult.as_str())];
        both.into_iter().filter(|(_, code)| !code.is_empty())
    }
}

/// What was pressed in one talk, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keys {
    /// Nothing that is a code or the beginning of one.
    #[default]
    None,
    /// The last keys, fewer than a code has.
    Code(String),
    /// A code, and these keys of the number.
    Number(Feature, String),
}

impl Keys {
    /// One key more; yields the number when the key ends it: `#`. Another key that is no digit calls it off.
    pub fn press(&mut self, key: char, codes: &Codes) -> Option<(Feature, String)> {
        match std::mem::take(self) {
            Self::None => self.of_code(String::new(), key, codes),
            Self::Code(before) => self.of_code(before, key, codes),
            Self::Number(feature, mut number) => match key {
                '#' => return Some((feature, number)).filter(|(_, number)| !number.is_empty()),
                '0'..='9' => {
                    number.push(key);
                    *self = Self::Number(feature, number);
                }
                _ => {}
            },
        }
        None
    }

    /// No key has come for [`PAUSE`]; yields the number if one was begun.
    pub fn pause(&mut self) -> Option<(Feature, String)> {
        match std::mem::take(self) {
            Self::None | Self::Code(_) => None,
            Self::Number(feature, number) => Some((feature, number)).filter(|(_, number)| !number.is_empty()),
        }
    }

    fn of_code(&mut self, mut before: String, key: char, codes: &Codes) {
        before.push(key);
        // The longest end of what was pressed with which a code begins.
        while !before.is_empty() && !codes.each().any(|(_, code)| code.starts_with(&before)) {
            before.remove(0);
        }
        let whole = codes.each().find(|(_, code)| *code == before);
        *self = match whole {
            Some((feature, _)) => Self::Number(feature, String::new()),
            None if before.is_empty() => Self::None,
            None => Self::Code(before),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes(transfer: &str, consult: &str) -> Codes {
        Codes { transfer: transfer.into(), consult: consult.into() }
    }

    fn pressed(keys: &str) -> (Option<(Feature, String)>, Keys) {
        let mut state = Keys::default();
        let number = keys.chars().filter_map(|key| state.press(key, &codes("##", "*2"))).last();
        (number, state)
    }

    #[test]
    fn a_number_follows_the_code_and_ends_with_a_key_or_a_pause() {
        for (code, feature) in [("##", Feature::Transfer), ("*2", Feature::Consult)] {
            assert_eq!(pressed(&format!("{code}2000#")), (Some((feature, "2000".into())), Keys::None));
            let (number, mut state) = pressed(&format!("1#5{code}2000"));
            assert_eq!((number, state.pause(), state), (None, Some((feature, "2000".into())), Keys::None));
        }
    }

    #[test]
    fn a_code_without_a_number_or_with_a_wrong_key_is_called_off() {
        for keys in ["###", "##*", "##20*", "#", "2#000#", "*#", "*2#", "*2*"] {
            let (number, mut state) = pressed(keys);
            assert_eq!((number, state.pause()), (None, None), "{keys}");
        }
    }

    #[test]
    fn a_code_that_begins_anew_in_its_own_middle_is_heard() {
        let mut state = Keys::default();
        for key in "1*1*2".chars() {
            assert_eq!(state.press(key, &codes("1*2", "")), None);
        }
        assert_eq!(state, Keys::Number(Feature::Transfer, String::new()));
    }

    #[test]
    fn a_key_that_asterisk_tells_twice_is_one_and_the_same_key_pressed_twice_is_two() {
        for (before, now, again) in [
            ((0, '#'), (0, '#'), true),
            ((0, '#'), (38, '#'), true),
            ((0, '#'), (0, '2'), false),
            ((0, '#'), (85, '#'), false),
            ((0, '#'), (210, '#'), false),
        ] {
            let expected = if again { vec![before.1] } else { vec![before.1, now.1] };
            assert_eq!(heard(&[before, now]), expected, "{before:?} {now:?}");
        }
    }

    /// What was pressed where these keys are told, each with its milliseconds.
    fn heard(told: &[(i64, char)]) -> Vec<char> {
        let mut before = Told::default();
        let new = told.iter().filter(|(at, key)| before.is_new(moment(*at), *key, Duration::from_millis(60)));
        new.map(|(_, key)| *key).collect()
    }

    fn moment(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_key_that_ends_again_before_it_could_be_held_so_long_is_the_same_one() {
        let heard = |apart: i64, first: u64, second: u64| {
            let mut told = Told::default();
            told.is_new(moment(0), '0', Duration::from_millis(first));
            told.is_new(moment(apart), '0', Duration::from_millis(second))
        };
        // The machine stood still between the two ends of one key.
        assert!(!heard(120, 160, 160));
        assert!(heard(160, 160, 160), "pressed again at once");
        assert!(heard(120, 180, 160), "the first was told late");
        assert!(heard(120, 60, 60), "pressed by a machine");
    }

    #[test]
    fn keys_that_are_told_once_more_when_later_ones_have_been_told_are_not_pressed_again() {
        let keys = [(0, '2'), (210, '0'), (420, '0'), (630, '0'), (840, '#')];
        let expected: Vec<char> = "2000#".chars().collect();
        // Told from two threads, of which the second is so many keys late.
        for late in 0..=keys.len() {
            let mut told = Vec::new();
            for n in 0..keys.len() + late {
                told.extend(keys.get(n));
                told.extend(n.checked_sub(late).and_then(|n| keys.get(n)));
            }
            assert_eq!(told.len(), 2 * keys.len());
            assert_eq!(heard(&told), expected, "{late} late: {told:?}");
        }
        let many: Vec<_> = (0..500).map(|n| (n * 210, '5')).collect();
        assert_eq!(heard(&many).len(), 500);
    }

    #[test]
    fn a_code_that_is_off_is_never_heard_and_two_that_begin_alike_are_told() {
        let mut state = Keys::default();
        for key in "##*2*2##".chars() {
            assert_eq!((state.press(key, &codes("", "")), &state), (None, &Keys::None));
        }
        for (one, other, apart) in [("##", "*2", true), ("*2", "*21", false), ("*", "*2", false), ("*2", "*2", false)] {
            assert_eq!(codes(one, other).can_be_told_apart(), apart, "{one} {other}");
        }
        assert!(codes("", "*2").can_be_told_apart() && codes("##", "").can_be_told_apart());
    }

    proptest! {
        #[test]
        fn what_is_yielded_is_a_number_whatever_is_pressed(keys in "[0-9*#A-D]{0,30}", one in "[0-9*#]{0,4}", other in "[0-9*#]{0,4}") {
            let mut state = Keys::default();
            for key in keys.chars() {
                if let Some((_, number)) = state.press(key, &codes(&one, &other)) {
                    prop_assert!(!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
                }
            }
        }
    }
}
