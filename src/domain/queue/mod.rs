//! Queues, their members and their callers.

pub mod announce;
pub mod board;
pub mod callback;
pub mod caller;
pub mod choice;
pub mod claim;
pub mod effect;
pub mod event;
pub mod floor;
pub mod keys;
pub mod left;
pub mod member;
pub mod mirror;
pub mod policy;
pub mod roster;
pub mod standing;
pub mod strategy;
pub mod summary;
pub mod talk;
pub mod transfer;
pub mod tries;
pub mod view;
pub mod waiting;
