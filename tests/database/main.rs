//! The database shell, the ledger and the management commands against a real PostgreSQL, private to this run.

mod cli;
mod fixture;
mod ledger;
mod outage;
mod schema;
