//! `usher callback`

use anyhow::{Result, bail};
use clap::Subcommand;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    cli::{ListOptions, explain, ready, say, table},
    config,
    db::statements,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who waits to be called back, in the order in which they are served.
    List(ListOptions),
    /// Call somebody back no more. A talk that has begun goes on.
    Cancel {
        /// Which call: `usher callback list` shows it.
        #[arg(value_parser = call_id)]
        call: Uuid,
    },
}

pub(super) async fn run(command: Command, database: &config::Database) -> Result<()> {
    let single = ready(database).await?;
    let client = &single.client;
    match command {
        Command::List(options) => table::print(client, statements::CALLBACK_LIST, &options).await,
        Command::Cancel { call } => cancel(client, call).await,
    }
}

fn call_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "expected the id of a call: `usher callback list` shows them".to_owned())
}

async fn cancel(client: &Client, call: Uuid) -> Result<()> {
    if client.execute(statements::CALLBACK_CANCEL, &[&call]).await.map_err(explain)? > 0 {
        return say(&format!("callback {call} is cancelled"));
    }
    let row = client.query_opt(statements::CALLBACK_FIND, &[&call]).await.map_err(explain)?;
    match row.map(|row| row.get::<_, String>(0)).as_deref() {
        None => bail!("there is no callback {call}: see `usher callback list`"),
        Some("talking") => bail!("callback {call}: the caller has been reached, and talks"),
        Some(_) => bail!("callback {call} is over: `usher why {call}` tells how"),
    }
}
