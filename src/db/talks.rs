//! Reads who spoke with whom before the start.

use deadpool_postgres::Object;

use crate::{
    db::{Error, moment::Moment, statements},
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
        // Whose end cannot be read is none to go by; reports name the call.
        let Some(ended) = row.try_get::<_, Moment>("ended_at")?.known() else { return Ok(None) };
        let extension = Extension::new(row.try_get::<_, &str>("answered_by")?);
        Ok(Some(PastTalk { customer: row.try_get("customer_id")?, extension, ended }))
    };
    let talks: Vec<Option<PastTalk>> = rows.iter().map(talk).collect::<Result<_, tokio_postgres::Error>>()?;
    Ok(talks.into_iter().flatten().collect())
}
