//! Who works where, as the database says: agents, queues, and who is a member of which.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{CustomerCode, Extension, Interface, QueueName};

/// A person with a phone: one row of `extensions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Short number, unique.
    pub extension: Extension,
    /// The person's name.
    pub name: String,
    /// Bare JID of the person, unique; also who may see the extension's node.
    pub jid: String,
    /// What rings: `PJSIP/1000`.
    pub interface: Interface,
}

/// One row of `queues`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Name as the dialplan gives it.
    pub name: QueueName,
    /// Name as people read it: `Support`.
    pub label: String,
    /// Text of the message to every logged-on member; see [`crate::domain::queue::announce`].
    pub announcement: String,
    /// Sound that a caller hears on entering, in Asterisk's form without extension: `usher/support_team`. Empty: none.
    pub greeting: String,
    /// Class of the music that follows it.
    pub moh_class: String,
    /// How long one member's phone rings.
    pub ring_time: Duration,
    /// How long a caller waits before the fallback.
    pub queue_timeout: Duration,
}

/// One row of `memberships`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// In this queue
    pub queue: QueueName,
    /// this agent
    pub extension: Extension,
    /// is logged on or not, and
    pub logged_on: bool,
    /// last ended a call of any queue at this time; `None`: never had one.
    pub last_call_at: Option<Timestamp>,
}

/// A consistent snapshot of all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// By extension, ascending.
    pub agents: Vec<Agent>,
    /// By name, ascending.
    pub queues: Vec<Queue>,
    /// By queue, then extension, ascending.
    pub memberships: Vec<Membership>,
}

/// A customer: one row of `customers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Key in the database.
    pub id: i64,
    /// What is keyed in.
    pub code: CustomerCode,
    /// Any UTF-8, `,&<"` included.
    pub name: String,
}

/// Who calls, as shown to people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerId {
    /// Number; empty when withheld.
    pub number: String,
    /// Name; mostly empty.
    pub name: String,
}
