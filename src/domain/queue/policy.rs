//! The policy of a queue: how its callers and members are brought together. One row of `queues`, beyond its names.
//!
//! The words and their meaning are those of Asterisk's `queues.conf`, so that an administrator who comes from there finds
//! what they know.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::id::{Extension, QueueName};

/// What is wrong with a word of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind}: {expected}")]
pub struct InvalidWord {
    text: String,
    kind: &'static str,
    expected: &'static str,
}

impl InvalidWord {
    /// The words that there are.
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

/// Which of the free members is rung; the meaning of each is app_queue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Strategy {
    /// Everybody at once; the first answer wins.
    RingAll,
    /// Whose last call is longest ago.
    #[default]
    LeastRecent,
    /// Who has taken the fewest calls of this queue.
    FewestCalls,
    /// Anybody.
    Random,
    /// One after the other, in the order of their joining, from the one after the last that was rung.
    RrMemory,
    /// The same in the order of the configuration.
    RrOrdered,
    /// In the order of the configuration, from the first for each caller.
    Linear,
    /// Anybody, those with a lower penalty more likely.
    WRandom,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RingAll,
        Self::LeastRecent,
        Self::FewestCalls,
        Self::Random,
        Self::RrMemory,
        Self::RrOrdered,
        Self::Linear,
        Self::WRandom,
    ];

    /// The word of `queues.conf`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RingAll => "ringall",
            Self::LeastRecent => "leastrecent",
            Self::FewestCalls => "fewestcalls",
            Self::Random => "random",
            Self::RrMemory => "rrmemory",
            Self::RrOrdered => "rrordered",
            Self::Linear => "linear",
            Self::WRandom => "wrandom",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Strategy {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == text).ok_or_else(|| InvalidWord {
            text: text.into(),
            kind: "a strategy",
            expected: "ringall, leastrecent, fewestcalls, random, rrmemory, rrordered, linear or wrandom",
        })
    }
}

/// A reason why a member does not count as there, for joining or leaving an empty queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absence {
    /// Is paused.
    Paused,
    /// Has a penalty outside of what the caller allows.
    Penalty,
    /// Is in a call.
    InUse,
    /// Has a phone that rings.
    Ringing,
    /// Has a phone that is not registered or cannot be reached.
    Unavailable,
    /// Is in wrap-up.
    WrapUp,
}

impl Absence {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Paused, Self::Penalty, Self::InUse, Self::Ringing, Self::Unavailable, Self::WrapUp];

    /// The word of `queues.conf`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Penalty => "penalty",
            Self::InUse => "inuse",
            Self::Ringing => "ringing",
            Self::Unavailable => "unavailable",
            Self::WrapUp => "wrapup",
        }
    }
}

/// When a queue counts as empty: when for each of its members one of these is true. A member who is not logged on does
/// not count at all, so that with none of these a queue is empty only when nobody is logged on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Emptiness {
    /// Never.
    Never,
    /// When nobody is logged on.
    #[default]
    NoMembers,
    /// When nobody is logged on, or each who is has one of these.
    Unless(BTreeSet<Absence>),
}

impl Emptiness {
    fn words(&self) -> Vec<&'static str> {
        match self {
            Self::Never => vec!["never"],
            Self::NoMembers => vec!["nobody"],
            Self::Unless(absences) => absences.iter().map(|absence| absence.as_str()).collect(),
        }
    }
}

impl fmt::Display for Emptiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(","))
    }
}

impl FromStr for Emptiness {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let refused = || InvalidWord {
            text: text.into(),
            kind: "a condition of emptiness",
            expected: "never, nobody, or words of paused, penalty, inuse, ringing, unavailable, wrapup joined by commas",
        };
        match text {
            "never" => Ok(Self::Never),
            "nobody" => Ok(Self::NoMembers),
            words => words
                .split(',')
                .map(|word| {
                    Absence::ALL.into_iter().find(|absence| absence.as_str() == word.trim()).ok_or_else(refused)
                })
                .collect::<Result<_, _>>()
                .map(Self::Unless),
        }
    }
}

/// Where a caller goes whom a queue does not take or does not keep.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// On in the dialplan, after the call of the service: the fallback that is shipped.
    #[default]
    Dialplan,
    /// Into another queue, at its end.
    Queue(QueueName),
    /// To a phone.
    Extension(Extension),
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialplan => f.write_str("dialplan"),
            Self::Queue(queue) => write!(f, "queue/{queue}"),
            Self::Extension(extension) => write!(f, "extension/{extension}"),
        }
    }
}

impl FromStr for Overflow {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let refused = || InvalidWord {
            text: text.into(),
            kind: "a target of overflow",
            expected: "dialplan, queue/NAME or extension/NUMBER",
        };
        match text.split_once('/') {
            None if text == "dialplan" => Ok(Self::Dialplan),
            Some(("queue", name)) => QueueName::parse(name).map(Self::Queue).map_err(|_| refused()),
            Some(("extension", number)) => Extension::parse(number).map(Self::Extension).map_err(|_| refused()),
            None | Some(_) => Err(refused()),
        }
    }
}

/// The policy of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who is rung.
    pub strategy: Strategy,
    /// How long a caller is not offered again after an offer that came to nothing.
    pub retry: Duration,
    /// How many may wait; `None`: any number.
    pub max_waiting: Option<u32>,
    /// Nobody may enter while the queue is empty in this sense.
    pub join_empty: Emptiness,
    /// Those who wait are sent on when it becomes empty in this sense.
    pub leave_empty: Emptiness,
    /// Whose callers get a member of several queues first: higher before lower.
    pub weight: u32,
    /// An answer within this time counts as in time.
    pub service_level: Duration,
    /// How long a member is not offered anything after a talk.
    pub wrap_up: Duration,
    /// After how many unanswered offers in a row a member is paused; `None`: never.
    pub auto_pause_after: Option<u32>,
    /// How long the member whom a customer spoke with last is preferred for them; zero: not at all.
    pub sticky: Duration,
    /// How long callers are given to nobody but who asks for them, before the strategy has them; zero: not at all.
    pub claim: Duration,
    /// Where callers go who may not enter, have waited too long, or wait in an empty queue.
    pub overflow: Overflow,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            retry: Duration::ZERO,
            max_waiting: None,
            join_empty: Emptiness::default(),
            leave_empty: Emptiness::default(),
            weight: 0,
            service_level: Duration::from_secs(20),
            wrap_up: Duration::ZERO,
            auto_pause_after: None,
            sticky: Duration::ZERO,
            claim: Duration::ZERO,
            overflow: Overflow::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_policy_can_be_read_back() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        for text in ["never", "nobody", "paused,unavailable,wrapup", "penalty,inuse,ringing"] {
            assert_eq!(text.parse::<Emptiness>().unwrap().to_string(), text);
        }
        for text in ["dialplan", "queue/sales", "extension/3000"] {
            assert_eq!(text.parse::<Overflow>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_word_is_refused_with_what_is_expected() {
        assert!("leastrecently".parse::<Strategy>().unwrap_err().to_string().contains("rrmemory"));
        for text in ["", "paused,", "yes"] {
            assert!(text.parse::<Emptiness>().is_err(), "{text:?}");
        }
        for text in ["", "queue/", "queue/a b", "extension/", "sales"] {
            assert!(text.parse::<Overflow>().is_err(), "{text:?}");
        }
    }
}
