//! Reads the callbacks that are open.

use deadpool_postgres::Object;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    db::{Error, moment::Moment, statements},
    domain::{
        id::{CallId, CustomerCode, Extension, QueueName, ServerId},
        queue::{
            callback::{Kept, KeptState},
            caller::Penalties,
            roster::{CallerId, Customer},
        },
    },
};

/// All that are not over.
///
/// # Errors
/// What the server said.
pub async fn open(client: &Object) -> Result<Vec<Kept>, Error> {
    let statement = client.prepare_cached(statements::CALLBACKS_OPEN).await?;
    let rows = client.query(&statement, &[]).await?;
    Ok(rows.iter().map(kept).collect::<Result<_, _>>()?)
}

/// Those of them that somebody does not want any more.
///
/// # Errors
/// What the server said.
pub async fn cancelled(client: &Object) -> Result<Vec<CallId>, Error> {
    let statement = client.prepare_cached(statements::CALLBACKS_CANCELLED).await?;
    let rows = client.query(&statement, &[]).await?;
    Ok(rows.iter().map(|row| row.try_get(0).map(CallId)).collect::<Result<_, _>>()?)
}

/// How long a callback is kept of which that cannot be read, from the start of the service on.
const KEPT: SignedDuration = SignedDuration::from_hours(8);

fn kept(row: &Row) -> Result<Kept, tokio_postgres::Error> {
    let text = |column: &str| row.try_get::<_, &str>(column);
    let count = |column: &str| row.try_get::<_, i32>(column).map(|n| u32::try_from(n).unwrap_or(0));
    let penalty = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let call = CallId(row.try_get::<_, Uuid>("call")?);
    let key = call.to_string();
    let now = Timestamp::now();
    let moment = |column: &'static str, instead: Timestamp| {
        row.try_get::<_, Moment>(column).map(|moment| moment.or(instead, "callbacks", &key, column))
    };
    let extension: Option<&str> = row.try_get("extension")?;
    let state = match (row.try_get::<_, bool>("cancelled")?, text("state")?, extension) {
        (_, "talking", Some(extension)) => KeptState::Talking(Extension::new(extension)),
        (true, _, _) => KeptState::Cancelled,
        (false, "called", _) => KeptState::Called,
        // The schema knows no other word.
        (false, _, _) => KeptState::Waiting,
    };
    Ok(Kept {
        call,
        server: ServerId::new(text("server")?),
        queue: QueueName::new(text("queue")?),
        customer: Customer {
            id: row.try_get("customer_id")?,
            code: CustomerCode::new(text("customer_code")?),
            name: text("customer_name")?.to_owned(),
        },
        caller: CallerId { number: text("caller_number")?.to_owned(), name: text("caller_name")?.to_owned() },
        priority: row.try_get("priority")?,
        since: moment("since", now)?,
        penalties: Penalties {
            least: penalty(row.try_get("penalty_least")?),
            most: row.try_get::<_, Option<i64>>("penalty_most")?.map_or(u32::MAX, penalty),
        },
        entered: moment("entered_at", now)?,
        keep_until: moment("keep_until", now + KEPT)?,
        told_of_recording: row.try_get("told_of_recording")?,
        attempt: count("attempt")?,
        tries: count("tries")?,
        again_at: row
            .try_get::<_, Option<Moment>>("again_at")?
            .map(|again| again.or(now, "callbacks", &key, "again_at")),
        state,
    })
}
