//! Queues, their members and their callers.

pub mod roster;
