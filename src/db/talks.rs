//! Reads who spoke with whom before the start.

use deadpool_postgres::Object;

use crate::{
    db::{Error, statements},
    domain::{id::Extension, queue::roster::PastTalk},
};

/// The last talk of each customer, out of the latest `most` of all; none when no queue gives customers the same member again.
///
/// # Errors
/// What the server said.
pub async fn last(client: &Object, most: usize) -> Result<Vec<PastTalk>, Error> {
    let statement = client.prepare_cached(statements::LAST_TALKS).await?;
    let rows = client.query(&statement, &[&i64::try_from(most).unwrap_or(i64::MAX)]).await?;
    let talk = |row: &tokio_postgres::Row| {
        Ok(PastTalk {
            customer: row.try_get("customer_id")?,
            extension: Extension::new(row.try_get::<_, &str>("answered_by")?),
            ended: row.try_get("ended_at")?,
        })
    };
    Ok(rows.iter().map(talk).collect::<Result<_, tokio_postgres::Error>>()?)
}
