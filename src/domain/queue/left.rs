//! Calls that an earlier run of the service has left without an end: in the database they are not over.

use crate::domain::id::{CallId, Extension, QueueName, ServerId};

/// A call of an earlier run whose end is not in the database, and which is no open callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOpen {
    /// Which,
    pub call: CallId,
    /// on which Asterisk.
    pub server: ServerId,
    /// Where they entered.
    pub queue: QueueName,
    /// Id of the customer.
    pub customer: i64,
    /// The member whom they talked with when it was last heard of.
    pub talked_with: Option<Extension>,
}
