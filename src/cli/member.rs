//! `usher member`

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use tokio_postgres::Client;

use crate::{
    cli::{ListOptions, change_one, explain, names, ready, say, table},
    config,
    db::statements,
    domain::{
        id::{Extension, QueueName},
        name,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who serves which queue, and how they stand.
    List(ListOptions),
    /// Make an extension a member of a queue, logged off, or logged on with --static.
    Add {
        #[command(flatten)]
        member: Member,
        /// Callers get members with a lower penalty first; from 0.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        penalty: i32,
        /// Place in the order of the strategies linear and rrordered: lower first, then by extension.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        place: i32,
        /// Set up for good: logged on from the start.
        #[arg(long = "static")]
        is_static: bool,
    },
    /// Change a membership; what is not given stays.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["penalty", "place", "kind"]))]
    Change {
        #[command(flatten)]
        member: Member,
        /// Callers get members with a lower penalty first; from 0.
        #[arg(long, value_name = "NUMBER")]
        penalty: Option<i32>,
        /// Place in the order of the strategies linear and rrordered: lower first, then by extension.
        #[arg(long, value_name = "NUMBER")]
        place: Option<i32>,
        /// Whether it is set up for good, or was made by a log-on.
        #[arg(long)]
        kind: Option<Kind>,
    },
    /// End a membership.
    Remove(Member),
    /// Log a member on, making it one if need be.
    LogOn(Member),
    /// Log a member off. The membership stays.
    LogOff(Member),
    /// Offer an agent nothing until they resume, everywhere or in one queue.
    Pause {
        #[command(flatten)]
        agent: Agent,
        /// Why, as others read it: up to 200 characters.
        #[arg(long, value_name = "TEXT", default_value = "", value_parser = name::reason)]
        reason: String,
    },
    /// End an agent's pauses, those after unanswered offers too: all of them, or those in one queue.
    Resume(Agent),
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

#[derive(Debug, Args)]
pub(super) struct Agent {
    /// Number of the extension.
    #[arg(value_parser = Extension::parse)]
    extension: Extension,
    /// In this queue only.
    #[arg(long, value_parser = QueueName::parse)]
    queue: Option<QueueName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    Static,
    Dynamic,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }
}

pub(super) async fn run(command: Command, database: &config::Database) -> Result<()> {
    let single = ready(database).await?;
    let client = &single.client;
    match command {
        Command::List(options) => table::print(client, statements::MEMBER_LIST, &options).await,
        Command::Add { member: Member { queue, extension }, penalty, place, is_static } => {
            let (kind, state) = if is_static { (Kind::Static, "on") } else { (Kind::Dynamic, "off") };
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&queue.as_str(), &extension.as_str(), &penalty, &place, &kind.as_str()];
            client.execute(statements::MEMBER_ADD, &values).await.map_err(explain)?;
            say(&format!("extension {extension} is a member of {queue}, logged {state}"))
        }
        Command::Change { member, penalty, place, kind } => {
            let kind = kind.map(Kind::as_str);
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&member.queue.as_str(), &member.extension.as_str(), &penalty, &place, &kind];
            change_one(client, statements::MEMBER_CHANGE, &values, &member.missing()).await?;
            say(&format!("membership of {} in {} changed", member.extension, member.queue))
        }
        Command::Remove(member) => member.change(client, statements::MEMBER_REMOVE, "is no longer a member of").await,
        Command::LogOn(Member { queue, extension }) => {
            let missing = format!(
                "there is no queue {queue} or no extension {extension}: see `usher queue list` and `usher extension list`"
            );
            change_one(client, statements::LOG_ON, &[&queue.as_str(), &extension.as_str()], &missing).await?;
            say(&format!("extension {extension} is logged on to {queue}"))
        }
        Command::LogOff(member) => member.change(client, statements::MEMBER_LOG_OFF, "is logged off from").await,
        Command::Pause { agent, reason } => {
            let queue = agent.queue.as_ref().map(QueueName::as_str);
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&agent.extension.as_str(), &queue, &reason];
            client.execute(statements::PAUSE, &values).await.map_err(explain)?;
            let place = queue.map_or("everywhere".to_owned(), |queue| format!("in {queue}"));
            say(&format!("extension {} is paused {place}", agent.extension))
        }
        Command::Resume(agent) => resume(client, &agent).await,
    }
}

async fn resume(client: &Client, Agent { extension, queue }: &Agent) -> Result<()> {
    let number = extension.as_str();
    let queue = queue.as_ref().map(QueueName::as_str);
    if names(client, statements::EXTENSION_FIND, number).await?.is_empty() {
        bail!("there is no extension {number}: see `usher extension list`");
    }
    if let Some(queue) = queue
        && client.query_opt(statements::MEMBER_FIND, &[&number, &queue]).await.map_err(explain)?.is_none()
    {
        bail!("extension {number} is not a member of {queue}: see `usher member list`");
    }
    let ended = client.execute(statements::RESUME, &[&number, &queue]).await.map_err(explain)?;
    let left = client.query(statements::PAUSES, &[&number, &queue]).await.map_err(explain)?;
    let place = queue.map_or(String::new(), |queue| format!(" in {queue}"));
    let done = if ended == 0 { "had no pause to end" } else { "is resumed" };
    say(&format!("extension {number} {done}{place}"))?;
    for row in left {
        let pause = table::cell(&row.get::<_, String>(0).into());
        say(&format!("it stays paused: {pause}"))?;
    }
    Ok(())
}

impl Member {
    fn missing(&self) -> String {
        format!("extension {} is not a member of {}: see `usher member list`", self.extension, self.queue)
    }

    async fn change(self, client: &Client, sql: &str, done: &str) -> Result<()> {
        change_one(client, sql, &[&self.queue.as_str(), &self.extension.as_str()], &self.missing()).await?;
        say(&format!("extension {} {done} {}", self.extension, self.queue))
    }
}
