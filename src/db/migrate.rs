//! The schema's version: brings it up to date under a lock, and refuses one that the program does not know.

use refinery::{Migration, Runner};
use tokio_postgres::{Client, error::SqlState};

use crate::db::{Error, describe, statements};

/// Every migration, oldest first. A test compares this with the folder.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__initial", include_str!("../../sql/migrations/V1__initial.sql")),
    ("V2__floor", include_str!("../../sql/migrations/V2__floor.sql")),
    ("V3__lease", include_str!("../../sql/migrations/V3__lease.sql")),
    ("V4__waiting", include_str!("../../sql/migrations/V4__waiting.sql")),
    ("V5__talk", include_str!("../../sql/migrations/V5__talk.sql")),
    ("V6__transfer", include_str!("../../sql/migrations/V6__transfer.sql")),
    ("V7__callback", include_str!("../../sql/migrations/V7__callback.sql")),
    ("V8__changes", include_str!("../../sql/migrations/V8__changes.sql")),
    ("V9__back", include_str!("../../sql/migrations/V9__back.sql")),
    ("V10__link", include_str!("../../sql/migrations/V10__link.sql")),
    ("V11__times", include_str!("../../sql/migrations/V11__times.sql")),
    ("V12__recorded", include_str!("../../sql/migrations/V12__recorded.sql")),
    ("V13__queue_names", include_str!("../../sql/migrations/V13__queue_names.sql")),
    ("V14__claims", include_str!("../../sql/migrations/V14__claims.sql")),
    ("V15__work", include_str!("../../sql/migrations/V15__work.sql")),
    ("V16__presence", include_str!("../../sql/migrations/V16__presence.sql")),
];

/// Key of the advisory lock: “usher” in ASCII, so that several starting at once do not migrate at once.
const LOCK: i64 = 0x75_7368_6572;

/// Why the schema is not the one that this program needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A newer program was here.
    #[error(
        "the database's schema has version {found}, this program knows versions up to {known}: \
         install the newer program, or restore the backup from before its `usher migrate` into a database that is made anew, as \
         INSTALL.md says under \"Going back\""
    )]
    Newer {
        /// Version in the database.
        found: i32,
        /// Newest version in the program.
        known: i32,
    },
    /// Migrations are waiting.
    #[error("the database's schema lacks {}: run `usher migrate`", .pending.join(", "))]
    Older {
        /// Their names, oldest first.
        pending: Vec<String>,
    },
}

/// Why migrating failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database could not be asked, or its schema is newer than the program.
    #[error(transparent)]
    Database(#[from] Error),
    /// A migration was refused, or one that was applied is not the one in the program.
    #[error("migration refused: {0}")]
    Refused(String),
    /// What is in the database is not what its version says: things of that name are there already, or are missing.
    #[error("migration refused: {problem}; {}", advice(*.found))]
    Mixed {
        /// The server's words.
        problem: String,
        /// The version that the database says it has.
        found: Option<i32>,
    },
}

/// Applies what is missing; the names of what was applied, oldest first.
///
/// # Errors
/// [`Mismatch::Newer`] when the schema is newer than the program, else what the server said. Each migration is applied whole or
/// not at all.
pub async fn run(client: &mut Client) -> Result<Vec<String>, Failure> {
    client.execute(statements::MIGRATION_LOCK, &[&LOCK]).await.map_err(Error::from)?;
    let outcome = run_locked(client).await;
    client.execute(statements::MIGRATION_UNLOCK, &[&LOCK]).await.map_err(Error::from)?;
    outcome
}

async fn run_locked(client: &mut Client) -> Result<Vec<String>, Failure> {
    match check(client).await {
        Ok(()) => return Ok(Vec::new()),
        Err(Error::Schema(Mismatch::Older { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    let found = applied(client).await?.into_iter().max();
    let refused = |error: refinery::Error| {
        let mut text = error.to_string();
        let mut is_mixed = false;
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = cause.downcast_ref().map_or_else(|| cause.to_string(), describe);
            is_mixed |= cause.downcast_ref().is_some_and(does_not_fit);
            source = cause.source();
        }
        if is_mixed { Failure::Mixed { problem: text, found } } else { Failure::Refused(text) }
    };
    let migrations: Result<Vec<_>, _> = MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect();
    let report = Runner::new(&migrations.map_err(refused)?).run_async(client).await.map_err(refused)?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Whether a statement met something that it did not expect, or did not find what it did.
fn does_not_fit(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("42") && *code != SqlState::INSUFFICIENT_PRIVILEGE)
}

fn advice(found: Option<i32>) -> String {
    let why = match found {
        Some(version) => format!(
            "the database says that its schema has version {version}, and what is in it does not fit that: was an older dump restored \
             beside the tables of a newer program?"
        ),
        None => "the database is not empty, and what is in it is not usher's schema".into(),
    };
    format!(
        "{why} Restore into a database that was made anew: `dropdb`, `createdb`, `pg_restore` as INSTALL.md says under \"Going back\", \
         then `usher migrate`"
    )
}

/// Whether the schema is the one that this program needs.
///
/// # Errors
/// [`Error::Schema`] when it is not, else what the server said.
pub async fn check(client: &Client) -> Result<(), Error> {
    let pending = pending(client).await?;
    if pending.is_empty() { Ok(()) } else { Err(Mismatch::Older { pending }.into()) }
}

/// Names of the migrations that are still to be applied, oldest first.
///
/// # Errors
/// [`Mismatch::Newer`] when the schema is newer than the program, else what the server said.
pub async fn pending(client: &Client) -> Result<Vec<String>, Error> {
    let applied = applied(client).await?;
    let known = MIGRATIONS.iter().filter_map(|(name, _)| version(name)).max().unwrap_or(0);
    if let Some(found) = applied.iter().copied().max().filter(|found| *found > known) {
        return Err(Mismatch::Newer { found, known }.into());
    }
    let missing = MIGRATIONS.iter().filter(|(name, _)| version(name).is_some_and(|v| !applied.contains(&v)));
    Ok(missing.map(|(name, _)| (*name).to_owned()).collect())
}

/// The versions of the migrations that the database says it has.
async fn applied(client: &Client) -> Result<Vec<i32>, Error> {
    let exists: bool = client.query_one(statements::MIGRATION_TABLE_EXISTS, &[]).await?.get(0);
    if !exists {
        return Ok(Vec::new());
    }
    Ok(client.query(statements::MIGRATIONS_APPLIED, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// The number in `V1__initial`.
fn version(name: &str) -> Option<i32> {
    name.strip_prefix('V')?.split_once("__")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_folder_of_migrations_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations");
        let mut files: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        files.sort_by_key(|file| version(file));
        let embedded: Vec<String> = MIGRATIONS.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(files, embedded);
    }

    #[test]
    fn the_versions_count_up_without_a_gap() {
        let versions: Vec<_> = MIGRATIONS.iter().map(|(name, _)| version(name)).collect();
        let expected: Vec<_> = (1..).take(MIGRATIONS.len()).map(Some).collect();
        assert_eq!(versions, expected);
    }
}
