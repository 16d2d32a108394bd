//! What people ask of calls that went by.

use jiff::Timestamp;

use crate::{
    db::{Error, history},
    domain::{
        id::{CallId, Extension, QueueName},
        queue::callback::Lost,
    },
    ledger::{Handle, Past, PastCall, Unavailable},
};

impl Handle {
    /// Calls that an extension answered and that entered since then, within `database.timeout`: the last `most` of them, oldest first,
    /// and how many there are beside them.
    ///
    /// # Errors
    /// [`Unavailable`] when the database is away, or the calls cannot be read.
    pub async fn calls_of(
        &self,
        extension: &Extension,
        since: Timestamp,
        most: usize,
    ) -> Result<(Vec<PastCall>, usize), Unavailable> {
        self.look(async |client| history::calls_of(client, extension, since, most).await).await
    }

    /// What is known of a call, or (`None`) of the last one of the last day that was offered to `who`, within `database.timeout`.
    /// `None`: there is none.
    ///
    /// # Errors
    /// As [`Handle::calls_of`].
    pub async fn story(&self, call: Option<CallId>, who: Option<&Extension>) -> Result<Option<Past>, Unavailable> {
        let find = async |client: &deadpool_postgres::Object| {
            let call = match (call, who) {
                (Some(call), _) => Some(call),
                (None, Some(who)) => history::last_offered(client, who).await?,
                (None, None) => None,
            };
            match call {
                Some(call) => history::of(client, call).await,
                None => Ok(None),
            }
        };
        self.look(find).await
    }

    /// The last call of the last day for one of these queues that came to nothing, see [`history::lost`].
    ///
    /// # Errors
    /// As [`Handle::calls_of`].
    pub async fn lost(&self, queues: &[QueueName], whom: Option<&str>) -> Result<Option<Lost>, Unavailable> {
        self.look(async |client| history::lost(client, queues, whom).await).await
    }

    async fn look<T>(
        &self,
        read: impl AsyncFnOnce(&deadpool_postgres::Object) -> Result<T, Error>,
    ) -> Result<T, Unavailable> {
        self.shared.standing()?;
        let pool = &self.shared.pool;
        let work = async {
            let lease = pool.lease().await?;
            let found = read(&lease).await?;
            lease.done();
            Ok(found)
        };
        let found = pool.bounded(work).await;
        found.inspect_err(|_| self.shared.suspect.notify_one()).map_err(|error| Unavailable::new(error.to_string()))
    }
}
