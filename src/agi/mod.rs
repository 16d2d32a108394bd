//! The FastAGI shell: a server that a dialplan asks, and that answers with channel variables.
//!
//! Owns the connection, its limits and the wire format. Knows nothing of customers or queues: a [`Handler`] turns a
//! [`Request`] into the variables to set. Whatever happens, a connection is over within its deadline.

mod complaints;
pub mod protocol;
pub mod server;

use std::future::Future;

use crate::domain::id::ChannelId;

pub use server::{Counters, Limits, serve};

/// The variable that a dialplan branches on. The server sets it by itself only when the handler was too slow.
pub const RESULT: &str = "USHER_RESULT";
/// Its value then.
pub const UNAVAILABLE: &str = "UNAVAILABLE";

/// What a dialplan asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What follows host and port in the URL, with its leading slash: `/customer`.
    pub path: String,
    /// The arguments of `AGI()`, in order; a missing one in between is empty.
    pub args: Vec<String>,
    /// The caller's number as Asterisk shows it, not proven by anything.
    pub caller_number: Option<String>,
    /// The channel's name, `PJSIP/1000-00000001`.
    pub channel: String,
    /// The channel's id, the same that ARI uses.
    pub unique_id: ChannelId,
}

impl Request {
    /// The argument at `index`, from 0; empty when there is none.
    pub fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }
}

/// The variables to set on the channel, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    variables: Vec<(&'static str, String)>,
}

impl Reply {
    /// Sets nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the result.
    pub fn result(value: &str) -> Self {
        Self::new().set(RESULT, value)
    }

    /// Adds a variable. Set [`RESULT`] last: a dialplan that sees it then sees everything.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Name and value, in order.
    pub fn variables(&self) -> &[(&'static str, String)] {
        &self.variables
    }
}

/// Who answers requests. Its future is dropped when the deadline has come.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request) -> impl Future<Output = Reply> + Send;
}
