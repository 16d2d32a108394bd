//! Shell: one Asterisk's ARI (REST and events).
//!
//! Owns the WebSocket, the way requests travel, and the wire's forms. Knows nothing of queues: what an event means is
//! decided elsewhere. [`spawn`] keeps one server connected for ever; what it sees goes to one channel as [`Incoming`].

mod error;
mod event;
mod globals;
mod http;
mod link;
mod probe;
mod request;
mod socket;
pub mod wire;

pub use error::Error;
pub use event::{Event, Incoming};
pub use globals::Global;
pub use link::{Answer, Ari, EVENT_BACKLOG, Terms, spawn};
pub use probe::{Findings, explain, log_in, probe};
pub use request::{Method, Originate, Request, Response};
