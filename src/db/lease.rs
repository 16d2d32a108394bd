//! The row of the lease: looked at, taken, renewed, given back. When to do which is decided elsewhere.

use jiff::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    db::{Error, statements},
    domain::lease::{Holder, LEASE, Seen, Term, Token},
};

/// One renewal: no two are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    token: i64,
    at: Timestamp,
}

/// The row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// As it is judged.
    pub seen: Seen<Renewal>,
    renewal: Renewal,
}

/// How it stands.
///
/// # Errors
/// What the server said.
pub async fn look(client: &Client) -> Result<Row, Error> {
    let row = client.query_one(statements::LEASE_LOOK, &[]).await?;
    let renewal = Renewal { token: row.get(0), at: row.get(1) };
    let holder = if row.get(4) { Holder::Present } else { Holder::Gone };
    let term = if row.get(3) { Term::Over } else { Term::Running };
    let seen = if row.get(2) { Seen::Held { renewal, holder, term } } else { Seen::Free };
    Ok(Row { seen, renewal })
}

/// Takes it, if nothing has changed since it was looked at; `None` if something has.
///
/// # Errors
/// What the server said; it may have been taken all the same.
pub async fn take(client: &Client, holder: Uuid, row: &Row) -> Result<Option<Token>, Error> {
    let Renewal { token, at } = row.renewal;
    let taken = client.query_opt(statements::LEASE_TAKE, &[&holder, &LEASE.as_secs_f64(), &token, &at]).await?;
    Ok(taken.map(|row| Token(row.get(0))))
}

/// Whether it is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// For another term.
    Yes,
    /// Another one has it.
    Taken,
}

/// Renews it.
///
/// # Errors
/// What the server said; it may have been renewed all the same.
pub async fn renew(client: &Client, holder: Uuid, token: Token) -> Result<Renewed, Error> {
    let rows = client.execute(statements::LEASE_RENEW, &[&holder, &LEASE.as_secs_f64(), &token.0]).await?;
    Ok(if rows == 0 { Renewed::Taken } else { Renewed::Yes })
}

/// Gives it back, so that the next one need not wait. Nothing happens if it is another one's.
///
/// # Errors
/// What the server said.
pub async fn give_back(client: &Client, holder: Uuid, token: Token) -> Result<(), Error> {
    client.execute(statements::LEASE_GIVE_BACK, &[&holder, &token.0]).await?;
    Ok(())
}
