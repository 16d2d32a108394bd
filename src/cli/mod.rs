//! The command line: one file for each command. Speaks to people; holds no rule of the call centre.
//!
//! Exit status: 0 done, 1 not done, 2 wrong usage or configuration.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, anyhow};
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio_postgres::{Client, types::ToSql};

use crate::{
    config::{self, Config},
    db::{
        self, migrate as schema,
        pool::{Connector, Single, Statements},
    },
};

mod callback;
mod check;
mod customer;
mod demo_pop;
mod extension;
mod import;
mod member;
mod migrate;
mod online;
mod pubsub;
mod queue;
mod report;
mod serve;
mod table;
mod why;

/// Exit status for wrong usage (clap's own) and for a configuration that cannot be used.
const USAGE: u8 = 2;

/// Call-centre middleware between Asterisk and XMPP: the customer's file is open before the phone rings.
#[derive(Debug, Parser)]
#[command(name = "usher", version, about)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, env = "USHER_CONFIG", default_value = "/etc/usher/usher.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service, until SIGTERM or SIGINT.
    Serve,
    /// Try every connection and setting, and say what is wrong and what to do.
    ///
    /// Classes of music on hold are not looked at: Asterisk does not tell which there are.
    Check,
    /// Bring the database's schema up to date.
    Migrate,
    /// Agents and their phones.
    #[command(subcommand)]
    Extension(extension::Command),
    /// Customers and their codes.
    #[command(subcommand)]
    Customer(customer::Command),
    /// Queues and their settings.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Who serves which queue.
    #[command(subcommand)]
    Member(member::Command),
    /// Who may see the pops, and the links in them.
    #[command(subcommand)]
    Pubsub(pubsub::Command),
    /// Publish a test pop, from the offer to the end, for who writes a CRM.
    DemoPop(demo_pop::Arguments),
    /// Callers who wait to be called back.
    #[command(subcommand)]
    Callback(callback::Command),
    /// What happened: by queue, by agent, call by call.
    #[command(subcommand)]
    Report(report::Command),
    /// Tell the story of a call: to whom it was offered, and why to them.
    Why(why::Arguments),
}

/// Runs the command that the arguments of the process ask for.
pub fn main() -> ExitCode {
    let mut command = with_negative_values(Cli::command());
    let cli =
        Cli::from_arg_matches(&command.get_matches_mut()).unwrap_or_else(|error| error.format(&mut command).exit());
    let Err(error) = run(cli) else { return ExitCode::SUCCESS };
    if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
        // The reader of the output has seen enough, as in `usher customer list | head`.
        return ExitCode::SUCCESS;
    }
    // An error of the configuration names its cause itself.
    let (text, status) = match error.downcast_ref::<config::Error>() {
        Some(error) => (error.to_string(), ExitCode::from(USAGE)),
        None => (format!("{error:#}"), ExitCode::FAILURE),
    };
    note(&text);
    status
}

/// Says something beside the output; nobody is left to tell when standard error is gone.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "usher: {text}");
}

/// Has `-1` and `-5s` taken for values where a number or a duration belongs, not for options: so that what is said about them is
/// which values are allowed.
fn with_negative_values(command: clap::Command) -> clap::Command {
    let takes_amount = |arg: &Arg| {
        let is_amount = |name: &clap::builder::Str| matches!(name.as_str(), "NUMBER" | "DURATION");
        arg.get_value_names().is_some_and(|names| names.iter().any(is_amount))
    };
    command
        .mut_args(|arg| if takes_amount(&arg) { arg.allow_hyphen_values(true) } else { arg })
        .mut_subcommands(with_negative_values)
}

fn run(cli: Cli) -> Result<()> {
    let Cli { config, command } = cli;
    match command {
        Command::Serve => serve::run(Config::load(&config)?),
        Command::Check => check::run(&config),
        Command::Migrate => managing(&config, async |database| migrate::run(database).await),
        Command::Extension(command) => managing(&config, async |database| extension::run(command, database).await),
        Command::Customer(command) => managing(&config, async |database| customer::run(command, database).await),
        Command::Queue(command) => {
            let run = async |config: &Config| queue::run(command, &config.database, config.service.language).await;
            managing_with(&config, run)
        }
        Command::Member(command) => managing(&config, async |database| member::run(command, database).await),
        Command::Pubsub(command) => pubsub::run(command, &config),
        Command::DemoPop(arguments) => demo_pop::run(&arguments, &config),
        Command::Callback(command) => managing(&config, async |database| callback::run(command, database).await),
        Command::Report(command) => managing(&config, async |database| report::run(command, database).await),
        Command::Why(arguments) => managing(&config, async |database| why::run(&arguments, database).await),
    }
}

/// Runs a command that needs the database alone, and no secret of anything else.
fn managing(path: &Path, command: impl AsyncFnOnce(&config::Database) -> Result<()>) -> Result<()> {
    managing_with(path, async |config: &Config| command(&config.database).await)
}

/// The same for one that looks at more of the configuration.
fn managing_with(path: &Path, command: impl AsyncFnOnce(&Config) -> Result<()>) -> Result<()> {
    let config = Config::load_for_database(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command(&config))
}

async fn connect(database: &config::Database, statements: Statements) -> Result<Single> {
    let connector = Connector::new(database).map_err(|error| anyhow!(error))?;
    connector.single(statements).await.map_err(|error| unusable(database, &error))
}

/// A connection to a database with the schema that this program needs.
async fn ready(database: &config::Database) -> Result<Single> {
    let single = connect(database, Statements::Bounded).await?;
    schema::check(&single.client).await.map_err(|error| unusable(database, &error))?;
    Ok(single)
}

fn unusable(database: &config::Database, error: &db::Error) -> anyhow::Error {
    let advice = match error.advice(&database.user).as_ref() {
        "" if error.remedy() == db::Remedy::Wait => "; is PostgreSQL running there?".into(),
        "" => String::new(),
        advice => format!("; {advice}"),
    };
    anyhow!("cannot use the database {}: {error}{advice}", database.target())
}

/// Runs a statement that changes one row. `missing` says which one it could not find.
async fn change_one(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)], missing: &str) -> Result<()> {
    let rows = client.execute(sql, values).await.map_err(explain)?;
    if rows == 0 { Err(anyhow!("{missing}")) } else { Ok(()) }
}

/// The texts of the first column.
async fn names(client: &Client, sql: &str, key: &str) -> Result<Vec<String>> {
    let rows = client.query(sql, &[&key]).await.map_err(explain)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Says what the names of constraints mean, and what to do.
fn explain(error: tokio_postgres::Error) -> anyhow::Error {
    let constraint = error.as_db_error().and_then(|db| db.constraint()).unwrap_or_default();
    let text = match constraint {
        "extensions_pkey" => "there is already an extension with this number: `usher extension change` changes it",
        "extensions_jid_key" => {
            "another extension has this JID, see `usher extension list`: each person needs one of their own"
        }
        "extensions_jid_check" => "the JID is not valid: expected the form name@domain, without a resource",
        "extensions_name_check" => "the name is too long: expected up to 200 characters",
        "extensions_interface_check" => "the interface is not valid: expected the form PJSIP/1000",
        "customers_code_key" => "there is already a customer with this code: `usher customer change` changes them",
        "customers_name_check" => "the name is not valid: expected 1 to 200 characters",
        "queues_pkey" => "there is already a queue with this name: `usher queue change` changes it",
        "queues_label_check" => "the label is not valid: expected 1 to 100 characters",
        "queues_number_check" => "the number is not valid: expected 1 to 20 of 0-9 * #",
        "queues_number_key" => "another queue has that number: see `usher queue list`",
        "queues_announcement_check" => "the announcement is too long: expected up to 1000 characters",
        "queues_greeting_check" => {
            "the greeting is not valid: expected a sound without extension such as usher/support_team, or nothing"
        }
        "queues_moh_class_check" => "the class of music is not valid: expected a name from musiconhold.conf",
        "queues_ring_time_check" => "the ring time is out of range: expected 1s to 10m",
        "queues_queue_timeout_check" => "the queue timeout is out of range: expected 1s to 24h",
        "queues_strategy_check" => "the strategy is not valid: see `usher queue change --help`",
        "queues_retry_check" => "the retry pause is out of range: expected 0s to 10m",
        "queues_max_waiting_check" => "the most that may wait is out of range: expected 1 to 1000000, or none",
        "queues_weight_check" => "the weight is out of range: expected 0 to 1000000",
        "queues_service_level_check" => "the service level is out of range: expected 1s to 24h",
        "queues_wrap_up_check" => "the wrap-up is out of range: expected 0s to 24h",
        "queues_auto_pause_after_check" => {
            "the number of unanswered offers is out of range: expected 1 to 1000, or never"
        }
        "queues_presence_away_check" | "queues_presence_offline_check" => {
            "the time of presence is out of range: expected 0s to 24h"
        }
        "queues_claim_check" => "the time for claims is out of range: expected 0s to 1h",
        "queues_sticky_check" => "the time of the sticky agent is out of range: expected 0s to 365d",
        "queues_announce_frequency_check" => {
            "the announce frequency is out of range: expected 5s to 24h, or 0s for never"
        }
        "queues_periodic_announce_check" => {
            "the periodic announcement is not valid: expected sounds without extension joined by '&', such as \
             usher/try_again&usher/wait_a_moment, or nothing"
        }
        "queues_periodic_announce_frequency_check" => {
            "the frequency of the periodic announcement is out of range: expected 5s to 24h, or 0s for never"
        }
        "queues_member_greeting_check" => {
            "the greeting to members is not valid: expected a sound without extension such as usher/wait_a_moment, or nothing"
        }
        "queues_recording_prompt_check" => {
            "the recording prompt is not valid: expected a sound without extension such as usher/recorded, or nothing"
        }
        "queues_link_check" => {
            "the link is not valid: expected the form https://crm.example/customers/{code}, or nothing"
        }
        "queues_overflow_check" => "the overflow is not valid: expected dialplan, another queue or an extension",
        "queues_callback_key_check" => {
            "the key of the callback is not valid: expected one of 0-9, '*' and '#', or nothing"
        }
        "queues_callback_tries_check" => "the number of tries is out of range: expected 1 to 100",
        "queues_callback_retry_check" => "the pause between tries is out of range: expected 1s to 24h",
        "queues_callback_ring_check" => "the ring time of callbacks is out of range: expected 5s to 2m",
        "queues_callback_keep_check" => "the time that callbacks are kept is out of range: expected 1m to 7d",
        "memberships_penalty_check" => "the penalty is out of range: expected 0 to 1000000",
        "pauses_reason_check" => "the reason is too long: expected up to 200 characters",
        "pauses_extension_fkey" => "there is no such extension: see `usher extension list`",
        "pauses_membership_fkey" => "the extension is not a member of this queue: see `usher member list`",
        "memberships_pkey" => "this extension is a member of this queue already",
        "memberships_queue_fkey" => {
            "there is no such queue: see `usher queue list`; or it still has members: see `usher member list`"
        }
        "memberships_extension_fkey" => {
            "there is no such extension, or it is still a member of a queue: see `usher extension list` and `usher member list`"
        }
        _ => return anyhow!("the database refused: {}", db::describe(&error)),
    };
    anyhow!(text)
}

/// Shared by all lists.
#[derive(Debug, clap::Args)]
struct ListOptions {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}
