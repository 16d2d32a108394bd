//! What the database's role may do.

use tokio_postgres::Client;

use crate::db::{Error, statements};

/// What the service does to its tables and this role may not do, each as `INSERT on calls`.
///
/// # Errors
/// What the server said; also when a table is not there.
pub async fn missing(client: &Client) -> Result<Vec<String>, Error> {
    let rows = client.query(statements::RIGHTS_MISSING, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
