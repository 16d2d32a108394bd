//! The keys that an agent presses in a talk: a feature code, and then the number where the caller is to go.

use std::time::Duration;

/// After this long without a key a number is whole, and half a code is forgotten.
pub const PAUSE: Duration = Duration::from_secs(3);

/// What was pressed in one talk, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keys {
    /// Nothing that is a code or the beginning of one.
    #[default]
    None,
    /// The last keys, fewer than a code has.
    Code(String),
    /// The code, and these keys of the number.
    Number(String),
}

impl Keys {
    /// One key more; yields the number when the key ends it: `#`. Another key that is no digit calls it off.
    pub fn press(&mut self, key: char, code: &str) -> Option<String> {
        match std::mem::take(self) {
            Self::None => self.of_code(String::new(), key, code),
            Self::Code(before) => self.of_code(before, key, code),
            Self::Number(mut number) => match key {
                '#' => return Some(number).filter(|number| !number.is_empty()),
                '0'..='9' => {
                    number.push(key);
                    *self = Self::Number(number);
                }
                _ => {}
            },
        }
        None
    }

    /// No key has come for [`PAUSE`]; yields the number if one was begun.
    pub fn pause(&mut self) -> Option<String> {
        match std::mem::take(self) {
            Self::None | Self::Code(_) => None,
            Self::Number(number) => Some(number).filter(|number| !number.is_empty()),
        }
    }

    fn of_code(&mut self, mut before: String, key: char, code: &str) {
        before.push(key);
        // The longest end of what was pressed with which the code begins.
        while !code.starts_with(&before) {
            before.remove(0);
        }
        *self = match before {
            whole if whole == code => Self::Number(String::new()),
            none if none.is_empty() => Self::None,
            part => Self::Code(part),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pressed(keys: &str) -> (Option<String>, Keys) {
        let mut state = Keys::default();
        let number = keys.chars().filter_map(|key| state.press(key, "##")).last();
        (number, state)
    }

    #[test]
    fn a_number_follows_the_code_and_ends_with_a_key_or_a_pause() {
        assert_eq!(pressed("##2000#"), (Some("2000".into()), Keys::None));
        let (number, mut state) = pressed("1#5##2000");
        assert_eq!((number, state.pause(), state), (None, Some("2000".into()), Keys::None));
    }

    #[test]
    fn a_code_without_a_number_or_with_a_wrong_key_is_called_off() {
        for keys in ["###", "##*", "##20*", "#", "2#000#", "*#"] {
            let (number, mut state) = pressed(keys);
            assert_eq!((number, state.pause()), (None, None), "{keys}");
        }
    }

    #[test]
    fn a_code_that_begins_anew_in_its_own_middle_is_heard() {
        let mut state = Keys::default();
        for key in "1*1*2".chars() {
            assert_eq!(state.press(key, "1*2"), None);
        }
        assert_eq!(state, Keys::Number(String::new()));
    }

    proptest! {
        #[test]
        fn what_is_yielded_is_a_number_whatever_is_pressed(keys in "[0-9*#A-D]{0,30}", code in "[0-9*#]{1,4}") {
            let mut state = Keys::default();
            for key in keys.chars() {
                if let Some(number) = state.press(key, &code) {
                    prop_assert!(!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
                }
            }
        }
    }
}
