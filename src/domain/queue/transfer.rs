//! Words of a transfer: where to, by which means, and why it came to nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{
    fact::OfferEnd,
    id::{Extension, QueueName},
};

/// Longest number that is dialled (E.164 allows 15 digits, with what stands before them).
const LONGEST_NUMBER: usize = 40;

/// Whether this can be dialled: nothing in it means anything else to Asterisk.
pub fn is_number(text: &str) -> bool {
    (1..=LONGEST_NUMBER).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b"+*#".contains(&b))
}

/// Where a caller is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferTarget {
    /// To an agent's phone, whether they serve a queue now or not.
    Extension(Extension),
    /// To the end of a queue.
    Queue(QueueName),
    /// To a number that is none of ours.
    Outside(String),
}

impl TransferTarget {
    /// One party.
    pub fn of(party: &Extension) -> Self {
        party.number_outside().map_or_else(|| Self::Extension(party.clone()), |number| Self::Outside(number.to_owned()))
    }
}

impl fmt::Display for TransferTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension(extension) => write!(f, "extension/{extension}"),
            Self::Queue(queue) => write!(f, "queue/{queue}"),
            Self::Outside(number) => write!(f, "outside/{number}"),
        }
    }
}

/// Whom a member's phone has given a caller to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandedTo {
    /// Whoever has this number: an agent, or somebody outside; empty when nobody knows.
    Number(String),
    /// The place of another caller in this queue, or their talk: a second line of the member's.
    Line(QueueName),
}

impl HandedTo {
    /// Nobody knows whom.
    pub fn nobody() -> Self {
        Self::Number(String::new())
    }
}

/// How an agent asks for a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferMeans {
    /// By the phone's own transfer key, without speaking to the new party first.
    Phone,
    /// By a feature code, without speaking to the new party first.
    Code,
    /// By the phone's own transfer key, after they spoke to the new party.
    Attended,
    /// By chat or ad-hoc command.
    Command,
}

impl TransferMeans {
    /// The word in logs and call events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Code => "code",
            Self::Attended => "attended",
            Self::Command => "command",
        }
    }
}

/// Why a transfer came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferFailure {
    /// The new party does something else.
    Busy,
    /// They declined.
    Rejected,
    /// They did not answer in the ring time.
    NoAnswer,
    /// Their phone, or the number, cannot be reached.
    Unavailable,
    /// The queue does not take callers now.
    QueueClosed,
}

impl TransferFailure {
    /// The word in logs and call events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::QueueClosed => "queue_closed",
        }
    }
}

impl From<OfferEnd> for TransferFailure {
    fn from(end: OfferEnd) -> Self {
        match end {
            OfferEnd::RingNoAnswer | OfferEnd::MemberGone => Self::NoAnswer,
            OfferEnd::Rejected => Self::Rejected,
            OfferEnd::Taken => Self::Busy,
            OfferEnd::Unavailable
            | OfferEnd::CallerGone
            | OfferEnd::LoggedOff
            | OfferEnd::Withdrawn
            | OfferEnd::NotReached => Self::Unavailable,
        }
    }
}
