//! What an earlier run has left, as the floor is told of it: callbacks that were open at the start, calls that had no end, and
//! callbacks that are not wanted any more.

use std::sync::Arc;

use crate::{
    db::{Error, callbacks, left},
    domain::{
        id::CallId,
        queue::{callback::Kept, left::LeftOpen},
    },
    ledger::Shared,
};

/// How many calls without an end are looked after at a start: far more than go on at once, and fewer than the smallest outbox of a
/// large site holds. What is over that is for the next start.
const MOST_LEFT: usize = 10_000;

/// What the database says of callbacks, and of calls that an earlier run has left.
#[derive(Debug, Clone, Default)]
pub struct Callbacks {
    /// Those that were open at the start; what becomes of them is the floor's to say. `None`: not known yet.
    pub open: Option<Arc<Vec<Kept>>>,
    /// The other calls that had no end at the start; known as soon as `open` is.
    pub left: Arc<Vec<LeftOpen>>,
    /// Those that somebody does not want any more.
    pub cancelled: Arc<Vec<CallId>>,
}

impl Shared {
    /// Loads what is open. All that an earlier process left must have been written before: what it had begun and ended counts.
    pub(super) async fn load_what_was_left(&self) -> Result<(), Error> {
        let work = async {
            let lease = self.pool.lease().await?;
            let open = callbacks::open(&lease).await?;
            let left = left::open(&lease, MOST_LEFT).await?;
            lease.done();
            Ok((Arc::new(open), Arc::new(left)))
        };
        let (open, left) = self.pool.bounded(work).await?;
        self.callbacks.send_modify(|callbacks| (callbacks.open, callbacks.left) = (Some(open), left));
        Ok(())
    }

    /// Loads which were cancelled.
    pub(super) async fn load_cancelled(&self) -> Result<(), Error> {
        let work = async {
            let lease = self.pool.lease().await?;
            let cancelled = callbacks::cancelled(&lease).await?;
            lease.done();
            Ok(cancelled)
        };
        let cancelled = Arc::new(self.pool.bounded(work).await?);
        self.callbacks.send_if_modified(|callbacks| {
            let is_news = callbacks.cancelled != cancelled;
            callbacks.cancelled = cancelled;
            is_news
        });
        Ok(())
    }
}
