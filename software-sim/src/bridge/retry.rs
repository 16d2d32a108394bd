//! What becomes of a request after a try. Pure.

use std::time::Duration;

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause, also of those that a receiver asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a receiver is asked for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How often at most.
    pub tries: u32,
    /// How long at most, from the first try of this run on.
    pub lasting: Duration,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There was an answer.
    Answered {
        /// Its status.
        status: u16,
        /// How long the receiver wants to be left alone.
        wait: Option<Duration>,
    },
    /// There was no connection.
    NotSent {
        /// For a person to read.
        why: String,
    },
    /// The request was sent, and there was no answer.
    Unknown {
        /// For a person to read.
        why: String,
    },
}

impl Outcome {
    /// Whether the receiver may have taken the request without having said so.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Unknown { .. } => true,
            Self::Answered { .. } | Self::NotSent { .. } => false,
        }
    }
}

/// What a receiver does with a request that it has taken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repetition {
    /// It takes it again, or says nothing special.
    Taken,
    /// It refuses it with 422 or 500.
    Refused,
}

/// What was tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// How often.
    pub tries: u32,
    /// For how long.
    pub lasting: Duration,
    /// Whether an earlier try may have arrived.
    pub may_have_arrived: bool,
    /// What the receiver does with a request that it has taken before.
    pub repetition: Repetition,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It has arrived.
    Done,
    /// An earlier try has arrived.
    TakenBefore {
        /// How the receiver refused this one.
        status: u16,
    },
    /// To be sent again.
    Again {
        /// How much later.
        after: Duration,
        /// For a person to read.
        why: String,
    },
    /// To be dropped.
    GiveUp {
        /// For a person to read.
        why: String,
    },
}

/// Decides; `chance` lies in 0 to 1 and spreads the pauses over their upper half.
pub fn decide(outcome: &Outcome, history: History, policy: &Policy, chance: f64) -> Decision {
    let (why, wait) = match outcome {
        Outcome::Answered { status: 200..=299, .. } => return Decision::Done,
        Outcome::Answered { status: status @ (422 | 500), .. }
            if history.may_have_arrived && history.repetition == Repetition::Refused =>
        {
            return Decision::TakenBefore { status: *status };
        }
        Outcome::Answered { status: status @ 300..=399, .. } => {
            let why = format!("the receiver answers {status}, a redirection: give the address that it leads to");
            return Decision::GiveUp { why };
        }
        Outcome::Answered { status, wait } if matches!(status, 408 | 429 | 500..) => {
            (format!("the receiver answers {status}"), *wait)
        }
        Outcome::Answered { status, .. } => {
            return Decision::GiveUp { why: format!("the receiver refuses it with {status}") };
        }
        Outcome::NotSent { why } | Outcome::Unknown { why } => (why.clone(), None),
    };
    let doubled = FIRST_PAUSE.saturating_mul(1 << history.tries.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let spread = doubled.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
    let after = spread.max(wait.unwrap_or_default().min(LONGEST_PAUSE));
    if history.tries >= policy.tries {
        Decision::GiveUp { why: format!("{why}, after {} tries", history.tries) }
    } else if history.lasting + after > policy.lasting {
        Decision::GiveUp { why: format!("{why}, for {:.0?}", history.lasting) }
    } else {
        Decision::Again { after, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { tries: 12, lasting: Duration::from_secs(600) };

    fn history(tries: u32, seconds: u64) -> History {
        let lasting = Duration::from_secs(seconds);
        History { tries, lasting, may_have_arrived: false, repetition: Repetition::Taken }
    }

    fn answered(status: u16) -> Decision {
        decide(&Outcome::Answered { status, wait: None }, history(1, 0), &POLICY, 1.0)
    }

    fn again(outcome: &Outcome, tries: u32, chance: f64) -> Duration {
        match decide(outcome, history(tries, 0), &POLICY, chance) {
            Decision::Again { after, .. } => after,
            other @ (Decision::Done | Decision::TakenBefore { .. } | Decision::GiveUp { .. }) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_does_not_is_not() {
        for status in [200, 201, 202, 204] {
            assert_eq!(answered(status), Decision::Done, "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(answered(status), Decision::Again { .. }), "{status}");
        }
        for status in [100, 301, 302, 307, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(answered(status), Decision::GiveUp { .. }), "{status}");
        }
    }

    #[test]
    fn pauses_double_to_a_minute_and_are_spread_over_their_upper_half() {
        let gone = Outcome::NotSent { why: "no connection".into() };
        let millis = |tries, chance| again(&gone, tries, chance).as_millis();
        assert_eq!((millis(1, 0.0), millis(1, 1.0)), (250, 500));
        assert_eq!((millis(2, 0.0), millis(2, 1.0)), (500, 1000));
        assert_eq!((millis(8, 1.0), millis(11, 1.0)), (60_000, 60_000));
    }

    #[test]
    fn a_receiver_that_asks_for_time_has_it_up_to_a_minute() {
        let busy = |seconds| Outcome::Answered { status: 503, wait: Some(Duration::from_secs(seconds)) };
        assert_eq!(again(&busy(7), 1, 1.0), Duration::from_secs(7));
        assert_eq!(again(&busy(7000), 1, 1.0), Duration::from_secs(60));
        assert_eq!(again(&busy(0), 1, 1.0), Duration::from_millis(500));
    }

    #[test]
    fn it_ends_by_count_and_by_time() {
        let late = Outcome::Unknown { why: "no answer".into() };
        let at = |tries, seconds| decide(&late, history(tries, seconds), &POLICY, 1.0);
        assert!(matches!(at(11, 0), Decision::Again { .. }));
        assert_eq!(at(12, 0), Decision::GiveUp { why: "no answer, after 12 tries".into() });
        assert!(matches!(at(1, 599), Decision::Again { .. }));
        assert_eq!(at(2, 600), Decision::GiveUp { why: "no answer, for 600s".into() });
    }

    #[test]
    fn a_refused_repetition_of_what_may_have_arrived_has_arrived() {
        let refused = |status, may_have_arrived, repetition| {
            let history = History { may_have_arrived, repetition, ..history(2, 1) };
            decide(&Outcome::Answered { status, wait: None }, history, &POLICY, 1.0)
        };
        assert_eq!(refused(500, true, Repetition::Refused), Decision::TakenBefore { status: 500 });
        assert_eq!(refused(422, true, Repetition::Refused), Decision::TakenBefore { status: 422 });
        for (status, arrived, repetition) in
            [(500, false, Repetition::Refused), (500, true, Repetition::Taken), (503, true, Repetition::Refused)]
        {
            assert!(matches!(refused(status, arrived, repetition), Decision::Again { .. }));
        }
    }
}
