//! Looks up customers by the code that callers key in.

use deadpool_postgres::Object;
use tokio_postgres::Row;

use crate::{
    db::{Error, statements},
    domain::{id::CustomerCode, queue::roster::Customer},
};

/// The customer with this code, if there is one.
///
/// # Errors
/// What the server said.
pub async fn find(client: &Object, code: &CustomerCode) -> Result<Option<Customer>, Error> {
    let statement = client.prepare_cached(statements::CUSTOMER_BY_CODE).await?;
    let row = client.query_opt(&statement, &[&code.as_str()]).await?;
    Ok(row.as_ref().map(customer).transpose()?)
}

/// Those of these codes that there are.
///
/// # Errors
/// What the server said.
pub async fn find_all(client: &Object, codes: &[CustomerCode]) -> Result<Vec<Customer>, Error> {
    let codes: Vec<&str> = codes.iter().map(CustomerCode::as_str).collect();
    let statement = client.prepare_cached(statements::CUSTOMERS_BY_CODES).await?;
    let rows = client.query(&statement, &[&codes]).await?;
    Ok(rows.iter().map(customer).collect::<Result<_, _>>()?)
}

fn customer(row: &Row) -> Result<Customer, tokio_postgres::Error> {
    Ok(Customer {
        id: row.try_get("id")?,
        code: CustomerCode::new(row.try_get::<_, &str>("code")?),
        name: row.try_get("name")?,
    })
}
