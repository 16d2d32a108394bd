//! What an Asterisk is told of the callbacks that it places, so that a run of the service knows of them whatever became of the
//! run before it.
//!
//! The database may not know of a try: a process that it cannot reach goes on until another one takes its place, and what it did
//! meanwhile is written by nobody. Its legs tell the next run as long as they are there. Of a talk that is over only Asterisk can
//! tell, and it remembers for us: the last few tries in one global variable.

use std::{collections::VecDeque, fmt};

use crate::domain::{
    fact::CallOutcome,
    id::{CallId, Extension, OfferNo},
};

/// How many are remembered on one Asterisk: more than are begun before a silent process is replaced, and few enough for a request.
const MOST: usize = 16;

/// One try to call somebody back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Of this call,
    pub call: CallId,
    /// the n-th; 0: none was made.
    pub attempt: u32,
    /// What has become of it.
    pub end: TryEnd,
}

/// What has become of a try, or of the callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryEnd {
    /// Nothing yet that anybody has told.
    Open,
    /// They talked, by this offer with this member.
    Talked(OfferNo, Extension),
    /// Nobody is called back any more: the callback ended without a talk.
    Over(CallOutcome),
}

/// The last tries on one Asterisk, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries(VecDeque<Try>);

impl Tries {
    /// As [`fmt::Display`] has written it; what cannot be read is left out.
    pub fn parse(value: &str) -> Self {
        Self(value.split(',').filter_map(parse).collect())
    }

    /// Takes in one, or what has become of it.
    pub fn note(&mut self, news: Try) {
        self.0.retain(|known| known.call != news.call);
        self.0.push_back(news);
        while self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// The oldest first; one for each call.
    pub fn iter(&self) -> impl Iterator<Item = &Try> {
        self.0.iter()
    }
}

/// `CALL/ATTEMPT`, `CALL/ATTEMPT/OFFER/EXTENSION` of those who have talked, `CALL/ATTEMPT/OUTCOME` of callbacks that are over; with a
/// comma between them.
impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Try { call, attempt, end }) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{call}/{attempt}")?;
            match end {
                TryEnd::Open => {}
                TryEnd::Talked(offer, extension) => write!(f, "/{}/{extension}", offer.0)?,
                TryEnd::Over(outcome) => write!(f, "/{}", outcome.as_str())?,
            }
        }
        Ok(())
    }
}

fn parse(entry: &str) -> Option<Try> {
    let mut parts = entry.splitn(4, '/');
    let call = CallId(parts.next()?.parse().ok()?);
    let attempt = parts.next()?.parse().ok()?;
    let end = match (parts.next(), parts.next()) {
        (None, _) => TryEnd::Open,
        (Some(offer), Some(extension)) => TryEnd::Talked(OfferNo(offer.parse().ok()?), Extension::new(extension)),
        (Some(outcome), None) => TryEnd::Over(CallOutcome::parse(outcome)?),
    };
    Some(Try { call, attempt, end })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn attempt(call: u128, attempt: u32, talk: Option<(u32, &str)>) -> Try {
        let talked = |(offer, extension)| TryEnd::Talked(OfferNo(offer), Extension::new(extension));
        Try { call: CallId(Uuid::from_u128(call)), attempt, end: talk.map_or(TryEnd::Open, talked) }
    }

    #[test]
    fn what_was_written_is_read_again_and_what_is_no_try_is_passed_over() {
        let mut tries = Tries::default();
        assert_eq!(Tries::parse(&tries.to_string()), tries);
        tries.note(attempt(1, 1, None));
        tries.note(attempt(2, 3, None));
        tries.note(attempt(1, 1, Some((4, "1000"))));
        let over = Try { end: TryEnd::Over(CallOutcome::CalledAgain), ..attempt(3, 0, None) };
        tries.note(over.clone());
        assert_eq!(Tries::parse(&tries.to_string()), tries);
        let expected = [attempt(2, 3, None), attempt(1, 1, Some((4, "1000"))), over];
        assert_eq!(tries.iter().cloned().collect::<Vec<_>>(), expected);
        let spoilt = format!("nothing,{tries},{0}/x,{0}/1/gone,,/", Uuid::nil());
        assert_eq!(Tries::parse(&spoilt), tries);
    }

    #[test]
    fn only_the_last_are_remembered_in_less_than_a_request_may_hold() {
        let mut tries = Tries::default();
        for call in 0..1_000 {
            tries.note(attempt(call, 99, Some((999, "1234567890"))));
        }
        assert_eq!(tries.iter().count(), MOST);
        assert_eq!(tries.iter().last(), Some(&attempt(999, 99, Some((999, "1234567890")))));
        assert!(tries.to_string().len() < 1_024);
    }
}
