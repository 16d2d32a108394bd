//! The state of a link to another server, as readiness and people see it.

use jiff::Timestamp;

/// Whether a link is up, since when, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It is up.
    Up {
        /// Since then.
        since: Timestamp,
    },
    /// It is down.
    Down {
        /// Since then.
        since: Timestamp,
        /// For people.
        why: String,
    },
}

impl Link {
    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        match self {
            Self::Up { .. } => true,
            Self::Down { .. } => false,
        }
    }
}
