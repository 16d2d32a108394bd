//! Callbacks as the floor is told of them: those that were open at the start, and those that are not wanted any more.

use std::sync::Arc;

use crate::{
    db::{Error, callbacks},
    domain::{id::CallId, queue::callback::Kept},
    ledger::Shared,
};

/// What the database says of callbacks.
#[derive(Debug, Clone, Default)]
pub struct Callbacks {
    /// Those that were open at the start; what becomes of them is the floor's to say. `None`: not known yet.
    pub open: Option<Arc<Vec<Kept>>>,
    /// Those that somebody does not want any more.
    pub cancelled: Arc<Vec<CallId>>,
}

impl Shared {
    /// Loads the open ones. All that an earlier process left must have been written before: what it had begun counts.
    pub(super) async fn load_callbacks(&self) -> Result<(), Error> {
        let work = async {
            let lease = self.pool.lease().await?;
            let open = callbacks::open(&lease).await?;
            lease.done();
            Ok(open)
        };
        let open = Some(Arc::new(self.pool.bounded(work).await?));
        self.callbacks.send_modify(|callbacks| callbacks.open = open);
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
