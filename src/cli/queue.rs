//! `usher queue`

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use tokio_postgres::Client;

use crate::domain::queue::announce::Template;
use crate::{
    cli::{ListOptions, change_one, explain, names, ready, say, table},
    config::{self, parse_duration},
    db::statements,
    domain::id::QueueName,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all queues.
    List(ListOptions),
    /// Add a queue.
    Add {
        /// Name as the dialplan gives it: 1 to 50 letters, digits, '_' or '-'.
        #[arg(value_parser = QueueName::parse)]
        name: QueueName,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a queue; what is not given stays.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
        .args(["label", "announcement", "greeting", "moh_class", "ring_time", "queue_timeout"]))]
    Change {
        /// Which one.
        #[arg(value_parser = QueueName::parse)]
        name: QueueName,
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove a queue that has no members. The history of calls stays.
    Remove {
        /// Which one.
        #[arg(value_parser = QueueName::parse)]
        name: QueueName,
    },
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// Name as people read it [default of a new queue: its name].
    #[arg(long)]
    label: Option<String>,
    /// Message to every logged-on member: {queue}, {code}, {name}, {number}, {position} are filled in; '' for none.
    #[arg(long)]
    announcement: Option<String>,
    /// Sound that a caller hears on entering, without extension; '' for none.
    #[arg(long)]
    greeting: Option<String>,
    /// Class of music on hold.
    #[arg(long, value_name = "CLASS")]
    moh_class: Option<String>,
    /// How long one member's phone rings, such as 15s.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ring_time: Option<Duration>,
    /// How long a caller waits before the fallback, such as 60s or 5m.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    queue_timeout: Option<Duration>,
}

pub(super) async fn run(command: Command, database: &config::Database) -> Result<()> {
    let single = ready(database).await?;
    let client = &single.client;
    let missing = |name: &QueueName| format!("there is no queue {name}: see `usher queue list`");
    match command {
        Command::List(options) => table::print(client, statements::QUEUE_LIST, &options).await,
        Command::Add { name, settings } => {
            // Whole or not at all: wrong settings leave no half-made queue behind.
            client.batch_execute("BEGIN").await.map_err(explain)?;
            client.execute(statements::QUEUE_ADD, &[&name.as_str(), &settings.label]).await.map_err(explain)?;
            change(client, &name, settings, &missing(&name)).await?;
            client.batch_execute("COMMIT").await.map_err(explain)?;
            say(&format!("queue {name} added"))
        }
        Command::Change { name, settings } => {
            change(client, &name, settings, &missing(&name)).await?;
            say(&format!("queue {name} changed"))
        }
        Command::Remove { name } => {
            let members = names(client, statements::QUEUE_MEMBERS, name.as_str()).await?;
            if let Some(first) = members.first() {
                let members = members.join(", ");
                bail!("queue {name} has members, {members}: first `usher member remove {name} {first}`");
            }
            change_one(client, statements::QUEUE_REMOVE, &[&name.as_str()], &missing(&name)).await?;
            say(&format!("queue {name} removed"))
        }
    }
}

async fn change(client: &Client, name: &QueueName, settings: Settings, missing: &str) -> Result<()> {
    let Settings { label, announcement, greeting, moh_class, ring_time, queue_timeout } = settings;
    if let Some(text) = announcement.as_deref().filter(|text| !text.is_empty()) {
        text.parse::<Template>().map_err(|error| anyhow::anyhow!("--announcement {text:?}: {error}"))?;
    }
    let ring_time = ring_time.map(|time| seconds("--ring-time", time)).transpose()?;
    let queue_timeout = queue_timeout.map(|time| seconds("--queue-timeout", time)).transpose()?;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&name.as_str(), &label, &announcement, &greeting, &moh_class, &ring_time, &queue_timeout];
    change_one(client, statements::QUEUE_CHANGE, &values, missing).await
}

fn seconds(option: &str, time: Duration) -> Result<i32> {
    if time.subsec_nanos() > 0 {
        return Err(anyhow!("{option}: expected whole seconds, such as 15s"));
    }
    i32::try_from(time.as_secs()).map_err(|_| anyhow!("{option}: too long"))
}
