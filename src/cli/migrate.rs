//! `usher migrate`

use anyhow::Result;

use crate::{
    cli::say,
    db::{migrate, pool::Single},
};

pub(super) async fn run(mut single: Single) -> Result<()> {
    let applied = migrate::run(&mut single.client).await?;
    if applied.is_empty() {
        return say("the schema is up to date");
    }
    applied.iter().try_for_each(|name| say(&format!("applied {name}")))
}
