//! What people are shown of the floor: who waits in a queue, and what an agent does.

use std::time::Duration;

use crate::domain::{
    id::{CallId, Extension, QueueName},
    queue::summary::Summary,
};

/// The most callers of a queue who are shown; the others are counted.
pub const SHOWN: usize = 20;
/// The most members of a queue who are shown one by one, as colleagues see them.
pub const SHOWN_MEMBERS: usize = 50;

/// A queue at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// Which.
    pub queue: QueueName,
    /// Who waits, in the order in which they are served; at most [`SHOWN`].
    pub waiting: Vec<WaiterView>,
    /// Who waits beside them.
    pub more: usize,
    /// Members who are logged on.
    pub members: usize,
    /// Those of them who would be offered a call now.
    pub ready: usize,
}

/// A caller who is not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiterView {
    /// Which call.
    pub call: CallId,
    /// Code of the customer.
    pub code: String,
    /// Name of the customer.
    pub name: String,
    /// Since they came into the queue.
    pub waited: Duration,
}

/// What an agent does at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkView {
    /// Nothing, and they could be offered a call if nothing else keeps them from it.
    Free,
    /// Their phone rings, or is about to.
    Offered(CallView),
    /// They talk.
    Talking(CallView),
    /// They wrap up for so long yet.
    WrapUp(Duration),
    /// Nothing of ours, but their phone is in use.
    PhoneInUse,
    /// Their phone cannot be reached.
    PhoneUnavailable,
}

impl WorkView {
    /// Whether they have a call of ours, or are just done with one: nobody is so and is not there.
    pub fn is_at_work(&self) -> bool {
        match self {
            Self::Offered(_) | Self::Talking(_) | Self::WrapUp(_) => true,
            Self::Free | Self::PhoneInUse | Self::PhoneUnavailable => false,
        }
    }
}

/// A call of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// Which.
    pub call: CallId,
    /// Queue of the call.
    pub queue: QueueName,
    /// Code of the customer.
    pub code: String,
    /// Name of the customer.
    pub name: String,
}

/// A queue at one moment, as those who serve it see it beside their work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineView {
    /// Which.
    pub queue: QueueName,
    /// Its numbers.
    pub summary: Summary,
    /// What each of its logged-on members does, by extension; nobody if there are more than [`SHOWN_MEMBERS`].
    pub members: Vec<(Extension, MemberView)>,
}

/// What a colleague sees of somebody's work in a queue: never with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberView {
    /// Would be offered a call of this queue now.
    Ready,
    /// Their phone rings, or is about to.
    Rung,
    /// They talk.
    Talking,
    /// They are paused here.
    Paused {
        /// Why; may be empty.
        reason: String,
    },
    /// They wrap up for so long yet.
    WrapUp(Duration),
    /// Nothing of ours, but their phone is in use.
    PhoneInUse,
    /// Their phone cannot be reached.
    PhoneUnavailable,
}
