//! `usher member`

use anyhow::Result;
use clap::{Args, Subcommand};
use tokio_postgres::Client;

use crate::{
    cli::{ListOptions, change_one, explain, ready, say, table},
    config,
    db::statements,
    domain::id::{Extension, QueueName},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who serves which queue.
    List(ListOptions),
    /// Make an extension a member of a queue, logged off.
    Add(Member),
    /// End a membership.
    Remove(Member),
    /// Log a member on, making it one if need be.
    LogOn(Member),
    /// Log a member off.
    LogOff(Member),
}

#[derive(Debug, Args)]
pub(super) struct Member {
    /// Name of the queue.
    #[arg(value_parser = QueueName::parse)]
    queue: QueueName,
    /// Number of the extension.
    #[arg(value_parser = Extension::parse)]
    extension: Extension,
}

pub(super) async fn run(command: Command, database: &config::Database) -> Result<()> {
    let single = ready(database).await?;
    let client = &single.client;
    match command {
        Command::List(options) => table::print(client, statements::MEMBER_LIST, &options).await,
        Command::Add(Member { queue, extension }) => {
            client.execute(statements::MEMBER_ADD, &[&queue.as_str(), &extension.as_str()]).await.map_err(explain)?;
            say(&format!("extension {extension} is a member of {queue}, logged off"))
        }
        Command::Remove(member) => member.change(client, statements::MEMBER_REMOVE, "is no longer a member of").await,
        Command::LogOn(Member { queue, extension }) => {
            let missing = format!(
                "there is no queue {queue} or no extension {extension}: see `usher queue list` and `usher extension list`"
            );
            change_one(client, statements::LOG_ON, &[&queue.as_str(), &extension.as_str()], &missing).await?;
            say(&format!("extension {extension} is logged on to {queue}"))
        }
        Command::LogOff(member) => member.change(client, statements::LOG_OFF, "is logged off from").await,
    }
}

impl Member {
    async fn change(self, client: &Client, sql: &str, done: &str) -> Result<()> {
        let Self { queue, extension } = self;
        let missing = format!("extension {extension} is not a member of {queue}: see `usher member list`");
        change_one(client, sql, &[&queue.as_str(), &extension.as_str()], &missing).await?;
        say(&format!("extension {extension} {done} {queue}"))
    }
}
