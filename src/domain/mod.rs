//! The rules of the call centre, and nothing else.
//!
//! Pure: no tokio, no network, no database, no clock, no randomness. Time, ids and chance are arguments.
//! A machine has two verbs, `step(&mut self, event, now) -> Vec<Effect>` and `deadline()`.
#![deny(clippy::disallowed_methods)]

pub mod command;
pub mod contact;
pub mod fact;
pub mod id;
pub mod lease;
pub mod name;
pub mod now;
pub mod pop;
pub mod presence;
pub mod queue;
pub mod report;
pub mod room;
pub mod words;
