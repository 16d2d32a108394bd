//! The screen pop: what is published on an extension's node, and the states of its life.

pub mod access;
pub mod link;
pub mod token;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{CallId, Extension, QueueName},
    queue::roster::{CallerId, Customer},
};

/// Where a pop stands. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PopState {
    /// The member is reserved; the phone does not ring yet.
    Offered,
    /// The phone rings.
    Ringing,
    /// The two talk.
    Answered,
    /// They talked, and the call is over.
    Ended,
    /// The call left this extension without having been answered there (caller gone, next member, refused).
    Withdrawn,
}

impl PopState {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Offered, Self::Ringing, Self::Answered, Self::Ended, Self::Withdrawn];

    /// The word in the published payload.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Ended => "ended",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether nothing follows this state, so that the item is retracted after it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Withdrawn)
    }
}

/// One revision of one pop on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pop {
    /// Also the id of the pubsub item.
    pub call: CallId,
    /// Counts up over the whole call, from 1, also when the call goes to another extension.
    pub revision: u32,
    /// What happens now.
    pub state: PopState,
    /// On whose node.
    pub extension: Extension,
    /// Queue the caller waits in.
    pub queue: QueueName,
    /// Whose file to open.
    pub customer: Customer,
    /// Who calls.
    pub caller: CallerId,
    /// When the caller entered the queue.
    pub entered_at: Timestamp,
    /// When this revision was made.
    pub changed_at: Timestamp,
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PopOutcome {
    /// The server said yes.
    Confirmed,
    /// The server said no.
    Refused,
    /// There is no link to the server, so it was not sent.
    LinkDown,
    /// No answer within the bound; it may still arrive.
    TimedOut,
}

impl PopOutcome {
    /// The word in logs and call events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::LinkDown => "link_down",
            Self::TimedOut => "timed_out",
        }
    }
}
