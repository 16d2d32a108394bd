//! Which of the free members gets the next caller.

use jiff::Timestamp;

use crate::domain::id::Extension;

/// A member who could take the call now.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Who.
    pub extension: &'a Extension,
    /// When their last call ended, or they last let one go by; `None`: never had one.
    pub last_turn: Option<Timestamp>,
}

/// The member whose last turn is longest ago: never-called members first, then the oldest end of call, then the
/// lower extension, so that the choice is stable.
///
/// (Asterisk's `leastrecent` means the same; the 2016 original put never-called members last, because NULLs sort last.)
pub fn least_recent<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> Option<&'a Extension> {
    candidates.min_by_key(|c| (c.last_turn, c.extension)).map(|c| c.extension)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pick(members: &[(&str, Option<i64>)]) -> Option<String> {
        let members: Vec<_> =
            members.iter().map(|(e, s)| (Extension::new(e), s.map(|s| Timestamp::from_second(s).unwrap()))).collect();
        least_recent(members.iter().map(|(e, t)| Candidate { extension: e, last_turn: *t })).map(ToString::to_string)
    }

    #[test]
    fn p14_a_member_who_never_took_a_call_is_offered_first() {
        assert_eq!(pick(&[("1000", Some(36_000)), ("3000", None)]).as_deref(), Some("3000"));
    }

    #[test]
    fn the_oldest_end_of_call_is_offered_next() {
        assert_eq!(pick(&[("1000", Some(30)), ("2000", Some(10)), ("3000", Some(20))]).as_deref(), Some("2000"));
    }

    #[test]
    fn equals_are_offered_in_the_order_of_their_extensions() {
        assert_eq!(pick(&[("3000", None), ("1000", None), ("2000", None)]).as_deref(), Some("1000"));
        assert_eq!(pick(&[]), None);
    }

    proptest! {
        #[test]
        fn nobody_is_chosen_while_another_has_waited_longer(times in prop::collection::vec(prop::option::of(0i64..50), 1..20)) {
            let members: Vec<_> = times
                .iter()
                .enumerate()
                .map(|(i, s)| (Extension::new(format!("{i:03}")), s.map(|s| Timestamp::from_second(s).unwrap())))
                .collect();
            let chosen = least_recent(members.iter().map(|(e, t)| Candidate { extension: e, last_turn: *t })).unwrap();
            let when = members.iter().find(|(e, _)| e == chosen).unwrap().1;
            prop_assert!(members.iter().all(|(_, t)| *t >= when));
        }
    }
}
