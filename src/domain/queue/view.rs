//! What people are shown of the floor: who waits in a queue, and what an agent does.

use std::time::Duration;

use crate::domain::id::{CallId, QueueName};

/// The most callers of a queue who are shown; the others are counted.
pub const SHOWN: usize = 20;

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
