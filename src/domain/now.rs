//! The time as the core is told it.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// One moment on both clocks: the steady one for deadlines, UTC for what is recorded and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Steady clock: never goes back, unrelated to the date.
    pub steady: Instant,
    /// Wall clock in UTC.
    pub utc: Timestamp,
}

impl Now {
    /// The moment `later` after this one, on both clocks.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        let utc = self.utc.checked_add(later).unwrap_or(Timestamp::MAX);
        Self { steady: self.steady + later, utc }
    }
}
