//! Reads the calls that an earlier run of the service has left without an end.

use deadpool_postgres::Object;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    db::{Error, statements},
    domain::{
        id::{CallId, Extension, QueueName, ServerId},
        queue::left::LeftOpen,
    },
};

/// The latest `most` of them.
///
/// # Errors
/// What the server said.
pub async fn open(client: &Object, most: usize) -> Result<Vec<LeftOpen>, Error> {
    let statement = client.prepare_cached(statements::CALLS_LEFT_OPEN).await?;
    let rows = client.query(&statement, &[&i64::try_from(most).unwrap_or(i64::MAX)]).await?;
    Ok(rows.iter().map(left).collect::<Result<_, _>>()?)
}

fn left(row: &Row) -> Result<LeftOpen, tokio_postgres::Error> {
    Ok(LeftOpen {
        call: CallId(row.try_get::<_, Uuid>("id")?),
        server: ServerId::new(row.try_get::<_, &str>("server")?),
        queue: QueueName::new(row.try_get::<_, &str>("queue")?),
        customer: row.try_get("customer_id")?,
        talked_with: row.try_get::<_, Option<&str>>("extension")?.map(Extension::new),
    })
}
