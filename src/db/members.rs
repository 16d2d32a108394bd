//! Logs members on and off, pauses and resumes them.

use deadpool_postgres::Object;

use crate::{
    db::{Error, roster, statements},
    domain::{
        id::{Extension, QueueName},
        presence::Deed,
        queue::roster::Pause,
    },
};

/// Whether there was something to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The member is now as asked, or was before.
    Done,
    /// There is no such extension or queue.
    Refused,
}

/// What became of an agent's pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// So many ended.
    pub ended: u64,
    /// These are left, those of other queues than the one that was asked for not among them.
    pub left: Vec<Pause>,
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

/// Sets an agent's pause by hand, or changes its reason. `queue`: there only; `None`: everywhere.
///
/// # Errors
/// What the server said; [`crate::db::Remedy::Skip`] when there is no such extension or queue.
pub async fn pause(
    client: &Object,
    extension: &Extension,
    queue: Option<&QueueName>,
    reason: &str,
) -> Result<(), Error> {
    let statement = client.prepare_cached(statements::PAUSE).await?;
    client.execute(&statement, &[&extension.as_str(), &queue.map(QueueName::as_str), &reason]).await?;
    Ok(())
}

/// Ends an agent's pauses: all, or those in one queue.
///
/// # Errors
/// What the server said.
pub async fn resume(client: &Object, extension: &Extension, queue: Option<&QueueName>) -> Result<Resumed, Error> {
    let resume = client.prepare_cached(statements::RESUME).await?;
    let ended = client.execute(&resume, &[&extension.as_str(), &queue.map(QueueName::as_str)]).await?;
    let left = roster::pauses_of(client, extension).await?;
    let counts = |pause: &Pause| queue.is_none() || pause.queue.is_none() || pause.queue.as_ref() == queue;
    Ok(Resumed { ended, left: left.into_iter().filter(counts).collect() })
}

/// Does what an agent's presence asks for, if it still does: who has logged on, resumed or been paused by hand in this moment is left
/// alone. [`Change::Refused`]: nothing was to be done.
///
/// # Errors
/// What the server said.
pub async fn by_presence(client: &Object, extension: &Extension, deed: &Deed) -> Result<Change, Error> {
    let extension = extension.as_str();
    let rows = match deed {
        Deed::Pause { queue, reason } => {
            let statement = client.prepare_cached(statements::PRESENCE_PAUSE).await?;
            client.execute(&statement, &[&extension, &queue.as_str(), &reason]).await?
        }
        Deed::Resume { queue } => {
            let statement = client.prepare_cached(statements::PRESENCE_RESUME).await?;
            client.execute(&statement, &[&extension, &queue.as_ref().map(QueueName::as_str)]).await?
        }
        Deed::LogOff { queue } => {
            let statement = client.prepare_cached(statements::PRESENCE_LOG_OFF).await?;
            client.execute(&statement, &[&extension, &queue.as_str()]).await?
        }
    };
    Ok(if rows == 0 { Change::Refused } else { Change::Done })
}
