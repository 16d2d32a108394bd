//! `usher migrate`

use anyhow::Result;

use crate::{
    cli::{connect, say},
    config,
    db::{migrate, pool::Statements},
};

pub(super) async fn run(database: &config::Database) -> Result<()> {
    let mut single = connect(database, Statements::Unbounded).await?;
    let applied = migrate::run(&mut single.client).await?;
    if applied.is_empty() {
        return say("the schema is up to date");
    }
    applied.iter().try_for_each(|name| say(&format!("applied {name}")))
}
