//! The PostgreSQL shell: connections, the schema, and every statement. Knows tables and rows, no rules of the call centre.
//!
//! * [`pool`]: connections, one alone or pooled.
//! * [`migrate`]: brings the schema up to date, and refuses one that is newer than the program.
//! * [`statements`]: all SQL.
//! * [`roster`], [`customers`], [`members`], [`records`], [`talks`]: rows to and from domain types.
//! * [`moment`]: times, those too that the program does not know.
//! * [`callbacks`]: those that are open, for a start.
//! * [`rights`]: what the role may do.
//! * [`report`]: the history of calls, row by row.
//! * [`lease`]: which of two services is active.
//! * [`listen`]: hears of changes, and knows whether the server is there; [`heard`]: what it heard.

use std::{borrow::Cow, time::Duration};

use tokio_postgres::error::{DbError, SqlState};

pub mod callbacks;
pub mod customers;
pub mod heard;
pub mod history;
pub mod lease;
pub mod left;
pub mod listen;
pub mod members;
pub mod migrate;
pub mod moment;
pub mod pool;
pub mod records;
pub mod report;
pub mod rights;
pub mod roster;
pub mod statements;
pub mod talks;

/// Why something could not be asked of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server, or a free connection to it, took too long. What was asked may still have been done.
    #[error("the database did not answer within {0:?}")]
    Timeout(Duration),
    /// The server refused, or the connection broke. The message has the whole chain of causes, so there is no source.
    #[error("{}", describe(.0))]
    Postgres(tokio_postgres::Error),
    /// No connection could be made ready.
    #[error("no database connection: {0}")]
    Connection(String),
    /// The files of the configuration cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The schema is not the one that this program needs.
    #[error(transparent)]
    Schema(#[from] migrate::Mismatch),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Try again later: the server is away, starting or overloaded.
    Wait,
    /// Leave this record out: its content is refused, now and always.
    Skip,
    /// Nothing without an operator: wrong password, no such database, certificate not trusted.
    Operator,
}

impl Error {
    /// What can be done about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Timeout(_) | Self::Connection(_) => Remedy::Wait,
            Self::Tls(_) | Self::Schema(_) => Remedy::Operator,
            Self::Postgres(error) => remedy(error),
        }
    }
}

impl Error {
    /// What an operator can do about it, who wanted to log on as this role; empty if the message says it, or if waiting is all.
    pub fn advice(&self, role: &str) -> Cow<'static, str> {
        let Self::Postgres(error) = self else { return "".into() };
        // In whichever language the server speaks, its method is called peer.
        let is_peer = |db: &DbError| db.message().to_lowercase().contains("peer");
        if error.as_db_error().is_some_and(|db| db.code().code().starts_with("28") && is_peer(db)) {
            return format!(
                "PostgreSQL knows who asks by their account, and lets in as {role} the account {role} alone: run it as that, with \
                 `runuser -u {role} -- usher …`, or give the role a password"
            )
            .into();
        }
        let Some(code) = error.code() else {
            let advice = match (is_tls(error), is_login(error)) {
                (true, _) => "check database.tls and database.ca_file",
                (false, true) => {
                    "check database.user and the password: database.password_file or USHER_DATABASE_PASSWORD"
                }
                (false, false) => "",
            };
            return advice.into();
        };
        let advice = if *code == SqlState::INVALID_CATALOG_NAME {
            "create the database, or check database.name"
        } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
            "does the role of database.user exist (`createuser` makes it), and does pg_hba.conf on the server let it in?"
        } else if code.code().starts_with("28") {
            "check database.user, the password, and pg_hba.conf on the server"
        } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            "let the role of database.user own the tables"
        } else {
            ""
        };
        advice.into()
    }
}

fn remedy(error: &tokio_postgres::Error) -> Remedy {
    let Some(code) = error.code() else {
        return if is_tls(error) || is_login(error) { Remedy::Operator } else { Remedy::Wait };
    };
    let class = code.code().get(..2).unwrap_or_default();
    match class {
        // Data exception, integrity constraint violation.
        "22" | "23" => Remedy::Skip,
        // Invalid authorization, invalid catalogue (no such database), invalid schema.
        "28" | "3D" | "3F" => Remedy::Operator,
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => Remedy::Operator,
        _ => Remedy::Wait,
    }
}

/// Whether this side could not log on: no password though one is asked for, or a method that it does not know. The library
/// shows what kind of error it is by its words alone.
fn is_login(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    text.starts_with("invalid configuration") || text.starts_with("authentication error")
}

/// Whether the TLS handshake itself was refused, by either side: time will not mend it.
fn is_tls(error: &tokio_postgres::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
            return true;
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(rustls::Error::InvalidCertificate(_)) = io.get_ref().and_then(|e| e.downcast_ref())
        {
            return true;
        }
        source = error.source();
    }
    // These words are those of a cause, which the error itself does not repeat.
    describe(error).contains("server does not support TLS")
}

/// The server's own words if there are any, else the whole chain of causes.
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
