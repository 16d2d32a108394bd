//! The database shell, the ledger and the management commands against a real PostgreSQL, private to this run.
#![expect(clippy::unwrap_used, reason = "in a test, and in what tests share, a panic is the report")]

mod callbacks;
mod changes;
mod cli;
mod fixture;
mod import;
mod lease;
mod ledger;
mod outage;
mod presence;
mod report;
mod roster;
mod schema;
mod times;
mod tls;
