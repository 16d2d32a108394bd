//! Logs members on and off.

use deadpool_postgres::Object;

use crate::{
    db::{Error, statements},
    domain::id::{Extension, QueueName},
};

/// Whether there was something to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The member is now as asked, or was before.
    Done,
    /// There is no such extension or queue.
    Refused,
}

/// Makes the extension a logged-on member of the queue.
///
/// # Errors
/// What the server said.
pub async fn log_on(client: &Object, queue: &QueueName, extension: &Extension) -> Result<Change, Error> {
    change(client, statements::LOG_ON, queue, extension).await
}

/// Takes the extension off the queue; one that never was a member is off it already.
///
/// # Errors
/// What the server said.
pub async fn log_off(client: &Object, queue: &QueueName, extension: &Extension) -> Result<Change, Error> {
    change(client, statements::LOG_OFF, queue, extension).await
}

async fn change(client: &Object, sql: &str, queue: &QueueName, extension: &Extension) -> Result<Change, Error> {
    let statement = client.prepare_cached(sql).await?;
    let rows = client.execute(&statement, &[&queue.as_str(), &extension.as_str()]).await?;
    Ok(if rows == 0 { Change::Refused } else { Change::Done })
}
