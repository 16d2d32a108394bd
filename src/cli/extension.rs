//! `usher extension`

use anyhow::{Result, bail};
use clap::Subcommand;
use tokio_postgres::{Client, types::ToSql};
use xmpp_parsers::jid::BareJid;

use crate::{
    cli::{ListOptions, change_one, explain, names, ready, say, table},
    config,
    db::statements,
    domain::{id::Extension, name},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all extensions.
    List(ListOptions),
    /// Add an extension.
    Add {
        /// Short number, 1 to 20 letters, digits, '_' or '-'.
        #[arg(value_parser = Extension::parse)]
        number: Extension,
        /// Bare JID of the person: name@domain.
        #[arg(long, value_parser = bare_jid)]
        jid: BareJid,
        /// The person's name, up to 200 characters.
        #[arg(long, default_value = "", value_parser = name::agent)]
        name: String,
        /// What Asterisk rings [default: PJSIP/NUMBER].
        #[arg(long)]
        interface: Option<String>,
    },
    /// Change an extension; what is not given stays.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Change {
        /// Which one.
        #[arg(value_parser = Extension::parse)]
        number: Extension,
        /// Bare JID of the person: name@domain.
        #[arg(long, group = "what", value_parser = bare_jid)]
        jid: Option<BareJid>,
        /// The person's name.
        #[arg(long, group = "what", value_parser = name::agent)]
        name: Option<String>,
        /// What Asterisk rings.
        #[arg(long, group = "what")]
        interface: Option<String>,
    },
    /// Remove an extension that is a member of no queue. The history of calls stays.
    Remove {
        /// Which one.
        #[arg(value_parser = Extension::parse)]
        number: Extension,
    },
}

pub(super) async fn run(command: Command, database: &config::Database) -> Result<()> {
    let single = ready(database).await?;
    let client = &single.client;
    let missing = |number: &Extension| format!("there is no extension {number}: see `usher extension list`");
    match command {
        Command::List(options) => table::print(client, statements::EXTENSION_LIST, &options).await,
        Command::Add { number, jid, name, interface } => {
            if let Some(queue) = names(client, statements::QUEUE_BY_NUMBER, number.as_str()).await?.first() {
                bail!(
                    "{number} is the number of queue {queue} already: choose another, or `usher queue change {queue} --number`"
                );
            }
            let rung = interface.clone().unwrap_or_else(|| format!("PJSIP/{number}"));
            alone(client, &rung, &number).await?;
            let values: [&(dyn ToSql + Sync); 4] = [&number.as_str(), &name, &jid.as_str(), &interface];
            client.execute(statements::EXTENSION_ADD, &values).await.map_err(explain)?;
            say(&format!("extension {number} added"))
        }
        Command::Change { number, jid, name, interface } => {
            if let Some(interface) = &interface {
                alone(client, interface, &number).await?;
            }
            let jid = jid.as_ref().map(|jid| jid.as_str());
            let values: [&(dyn ToSql + Sync); 4] = [&number.as_str(), &name, &jid, &interface];
            change_one(client, statements::EXTENSION_CHANGE, &values, &missing(&number)).await?;
            say(&format!("extension {number} changed"))
        }
        Command::Remove { number } => {
            let queues = names(client, statements::EXTENSION_QUEUES, number.as_str()).await?;
            if let Some(first) = queues.first() {
                let queues = queues.join(", ");
                bail!("extension {number} is a member of {queues}: first `usher member remove {first} {number}`");
            }
            change_one(client, statements::EXTENSION_REMOVE, &[&number.as_str()], &missing(&number)).await?;
            say(&format!("extension {number} removed"))
        }
    }
}

/// Refuses a phone that is somebody else's: two people with one phone would be two members who can both be rung on it.
async fn alone(client: &Client, interface: &str, number: &Extension) -> Result<()> {
    let sharing: [&(dyn ToSql + Sync); 2] = [&interface, &number.as_str()];
    match client.query_opt(statements::EXTENSION_SHARING, &sharing).await.map_err(explain)? {
        Some(row) => bail!(
            "extension {} is rung at {interface} already, and a phone is one person's: give {number} another --interface, or \
             change the other one's",
            row.get::<_, String>(0)
        ),
        None => Ok(()),
    }
}

/// A person's address, in the form in which servers compare it: without capital letters.
fn bare_jid(text: &str) -> Result<BareJid, String> {
    let wrong = |why: &str| format!("not a JID ({why}): expected the form name@domain, without a resource");
    match text.parse::<BareJid>() {
        Ok(jid) if jid.node().is_some() => Ok(jid),
        Ok(_) => Err(wrong("there is no name before the domain")),
        Err(error) => Err(wrong(&error.to_string())),
    }
}
