//! Why an offer went to whom it went: kept with the call, so that the question can be answered afterwards.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::Extension;

/// Members of a queue who are listed by name; the others are counted.
pub const LISTED: usize = 50;

/// How one offer came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The rule that chose: a strategy, `sticky`, or `claimed` of a member who asked for the caller.
    pub rule: Cow<'static, str>,
    /// Whom.
    pub chosen: Extension,
    /// Members of the queue, by extension; at most [`LISTED`].
    pub candidates: Vec<Considered>,
    /// Members who are not among them.
    pub more: usize,
}

/// A member, and what spoke for or against them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// Who.
    pub extension: Extension,
    /// `chosen`, `not their turn`, or what excluded them, for people.
    pub verdict: Cow<'static, str>,
    /// What the rule went by; left out for who is not logged on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
}

/// The figures that the rules go by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Lower first.
    pub penalty: u32,
    /// When it last was their turn.
    pub last_turn: Option<Timestamp>,
    /// Calls of this queue that they took.
    pub calls_taken: u64,
    /// In the order of the configuration.
    pub place: i32,
    /// When they logged on.
    pub joined_at: Timestamp,
}
