//! `usher queue`

use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use serde_json::Value;
use tokio_postgres::Client;

use crate::{
    cli::{
        ListOptions, change_one, explain, names,
        queue::settings::{Settings, WORDS},
        ready, say, table,
    },
    config,
    db::statements,
    domain::{id::QueueName, queue::policy::Overflow, words::Language},
};

mod settings;
mod show;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all queues.
    List(ListOptions),
    /// Show one queue with all its settings.
    Show {
        /// Which one.
        #[arg(value_parser = QueueName::parse)]
        name: QueueName,
        #[command(flatten)]
        options: ListOptions,
    },
    /// Add a queue.
    Add {
        /// Name as the dialplan gives it: 1 to 50 letters, digits, '_' or '-'.
        #[arg(value_parser = QueueName::parse)]
        name: QueueName,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Change a queue; what is not given stays.
    #[command(override_usage = "usher queue change <NAME> <OPTION>...",
        group = clap::ArgGroup::new("what").required(true).multiple(true).args(WORDS))]
    Change {
        /// Which one.
        #[arg(value_parser = QueueName::parse)]
        name: QueueName,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Remove a queue that has no members. The history of calls stays.
    Remove {
        /// Which one.
        #[arg(value_parser = QueueName::parse)]
        name: QueueName,
    },
}

pub(super) async fn run(command: Command, database: &config::Database, language: Language) -> Result<()> {
    let single = ready(database).await?;
    let client = &single.client;
    let missing = |name: &QueueName| format!("there is no queue {name}: see `usher queue list`");
    match command {
        Command::List(ListOptions { json: true }) => {
            let rows = client.query(statements::QUEUE_LIST_ALL, &[]).await.map_err(explain)?;
            say(&format!("{:#}", Value::Array(rows.iter().map(|row| row.get(0)).collect())))
        }
        Command::List(options) => table::print(client, statements::QUEUE_LIST, &options).await,
        Command::Show { name, options } => {
            let row = client.query_opt(statements::QUEUE_SHOW, &[&name.as_str()]).await.map_err(explain)?;
            let queue: Value = row.ok_or_else(|| anyhow!(missing(&name)))?.get(0);
            say(&if options.json { format!("{queue:#}") } else { show::table(&queue) })
        }
        Command::Add { name, mut settings } => {
            settings.announcement.get_or_insert_with(|| language.announcement().into());
            // Whole or not at all: wrong settings leave no half-made queue behind.
            client.batch_execute("BEGIN").await.map_err(explain)?;
            client.execute(statements::QUEUE_ADD, &[&name.as_str(), &settings.label]).await.map_err(explain)?;
            change(client, &name, *settings, &missing(&name)).await?;
            client.batch_execute("COMMIT").await.map_err(explain)?;
            say(&format!("queue {name} added"))
        }
        Command::Change { name, settings } => {
            change(client, &name, *settings, &missing(&name)).await?;
            say(&format!("queue {name} changed"))
        }
        Command::Remove { name } => {
            let members = names(client, statements::QUEUE_MEMBERS, name.as_str()).await?;
            if let Some(first) = members.first() {
                let members = members.join(", ");
                bail!("queue {name} has members, {members}: first `usher member remove {name} {first}`");
            }
            let sources = names(client, statements::QUEUE_SOURCES, name.as_str()).await?;
            if let Some(first) = sources.first() {
                let sources = sources.join(", ");
                bail!(
                    "callers of {sources} overflow into {name}: first `usher queue change {first} --overflow dialplan`"
                );
            }
            change_one(client, statements::QUEUE_REMOVE, &[&name.as_str()], &missing(&name)).await?;
            say(&format!("queue {name} removed"))
        }
    }
}

async fn change(client: &Client, name: &QueueName, settings: Settings, missing: &str) -> Result<()> {
    let target = match &settings.overflow {
        Some(Overflow::Queue(queue)) => Some((statements::QUEUE_FIND, "queue", queue.as_str())),
        Some(Overflow::Extension(extension)) => Some((statements::EXTENSION_FIND, "extension", extension.as_str())),
        Some(Overflow::Dialplan) | None => None,
    };
    if let Some((sql, kind, target)) = target
        && names(client, sql, target).await?.is_empty()
    {
        bail!("--overflow {kind}/{target}: there is no {kind} {target}: see `usher {kind} list`");
    }
    if let Some(number) = &settings.number
        && !names(client, statements::EXTENSION_FIND, number).await?.is_empty()
    {
        bail!(
            "--number {number}: extension {number} is dialled so: who sends a caller there means that phone; choose another"
        );
    }
    let object = settings.object()?;
    change_one(client, statements::QUEUE_CHANGE, &[&name.as_str(), &object], missing).await
}
