//! `usher report`

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use futures_util::StreamExt;
use jiff::{Timestamp, Zoned, civil::DateTime, tz::TimeZone};
use tokio_postgres::Client;

use crate::{
    cli::{
        connect, names, note,
        report::{
            columns::{AGENT, CALL, CALL_WIDTHS, PERIOD, QUEUE, agent, call, queue},
            print::{Cell, Format, Printer, Shape},
        },
        unusable,
    },
    config,
    db::{
        migrate as schema,
        pool::Statements,
        report::{self, Filter, Steps},
        statements,
    },
    domain::{
        id::{Extension, QueueName},
        report::{Agents, Every, Group, Queues},
    },
};

mod columns;
pub(super) mod print;

/// What the numbers mean, for the end of the long help.
const MEANING: &str = "\
A call counts where and when it entered, whatever happened to it later, and for the member who answered first; so the reports \
agree with one another to the call.

Service level: calls answered within the queue's service level (as it was at the time), as a percentage of all calls offered. \
app_queue's ServicelevelPerf is the same of those answered, and its ServicelevelPerf2 counts callers who hung up in that time \
with those in time: both are never lower.

Wait: from entering to the answer, or to the end of a call without one. Talk: from the answer to the end. What is still going \
on counts in neither.

Times: hours, days and --from and --to without a zone are those of this machine's time zone (or of the environment variable \
TZ). Tables show local time, CSV local time with its offset, JSON UTC (ISO 8601). In CSV and JSON durations are seconds.

CSV is that of RFC 4180. A text that a spreadsheet could take for a formula (it begins with = + - @ or a control character) \
gets an apostrophe in front.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Calls by queue: offered, answered and each other end, service level, wait, talk and wrap-up.
    #[command(after_long_help = MEANING)]
    Queue(Grouped),
    /// Offers and answered calls by agent, and how long they talked and wrapped up.
    #[command(after_long_help = MEANING)]
    Agent(Grouped),
    /// Every call, oldest first. `usher why CALL` tells the story of one.
    #[command(after_long_help = MEANING)]
    Calls(Range),
}

#[derive(Debug, Args)]
pub(super) struct Grouped {
    #[command(flatten)]
    range: Range,
    /// A line for each hour or day.
    #[arg(long, value_name = "PERIOD")]
    by: Option<By>,
}

#[derive(Debug, Args)]
pub(super) struct Range {
    /// Calls that entered at this time or later: 2026-11-01, 2026-11-01T08:00 or 2026-11-01T07:00Z [default: today].
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// And before this time; a day alone stands for its beginning [default: now].
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// Calls of this queue only.
    #[arg(long, value_name = "NAME", value_parser = QueueName::parse)]
    queue: Option<QueueName>,
    /// Only calls in which this extension talked; in the report by agent, this agent only.
    #[arg(long, value_name = "NUMBER", value_parser = Extension::parse)]
    extension: Option<Extension>,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Hour,
    Day,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong = || format!("{text:?} is not a time: expected 2026-11-01, 2026-11-01T08:00 or 2026-11-01T07:00Z");
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    local.to_zoned(TimeZone::system()).map(|zoned| zoned.timestamp()).map_err(|_| wrong())
}

pub(super) async fn run(command: Command, database: &config::Database) -> Result<()> {
    // A long range takes longer than one answer usually may.
    let single = connect(database, Statements::Unbounded).await?;
    let client = &single.client;
    schema::check(client).await.map_err(|error| unusable(database, &error))?;
    match command {
        Command::Queue(Grouped { range, by }) => {
            let filter = range.filter(client, Steps::Talks).await?;
            let mut queues = Queues::new(group(by));
            each(client, &filter, |call| {
                queues.add(&call.history);
                Ok(())
            })
            .await?;
            let mut printer = Printer::new(range.format, Shape::Table, &headings(by, &QUEUE));
            for ((period, name), tally) in queues.lines() {
                printer.row(&line(by, *period, queue(name.as_str(), tally)))?;
            }
            printer.end(Some(&line(by, None, queue("all", &queues.total()))))
        }
        Command::Agent(Grouped { range, by }) => {
            let mut filter = range.filter(client, Steps::All).await?;
            let mut agents = Agents::new(group(by), filter.talked.take());
            each(client, &filter, |call| {
                agents.add(&call.history);
                Ok(())
            })
            .await?;
            let mut printer = Printer::new(range.format, Shape::Table, &headings(by, &AGENT));
            for ((period, extension), tally) in agents.lines() {
                printer.row(&line(by, *period, agent(extension.as_str(), tally)))?;
            }
            printer.end(Some(&line(by, None, agent("all", &agents.total()))))
        }
        Command::Calls(range) => {
            let filter = range.filter(client, Steps::All).await?;
            let mut printer = Printer::new(range.format, Shape::Lines(&CALL_WIDTHS), &CALL);
            each(client, &filter, |found| printer.row(&call(found))).await?;
            printer.end(None)
        }
    }
}

/// Reads call by call: what is in memory does not grow with the range.
async fn each(client: &Client, filter: &Filter, mut take: impl FnMut(&report::Call) -> Result<()>) -> Result<()> {
    let mut calls = Box::pin(report::calls(client, filter).await?);
    while let Some(call) = calls.next().await {
        match call {
            Ok(call) => take(&call)?,
            Err(error @ report::Unread::Time(_)) => note(&format!("a call is left out: {error}")),
            Err(error @ (report::Unread::Database(_) | report::Unread::Outcome { .. })) => return Err(error.into()),
        }
    }
    Ok(())
}

fn group(by: Option<By>) -> Group {
    let every = by.map(|by| match by {
        By::Hour => Every::Hour,
        By::Day => Every::Day,
    });
    Group { every, zone: TimeZone::system() }
}

fn headings(by: Option<By>, columns: &[&'static str]) -> Vec<&'static str> {
    by.map(|_| PERIOD).into_iter().chain(columns.iter().copied()).collect()
}

fn line(by: Option<By>, period: Option<Timestamp>, cells: Vec<Cell>) -> Vec<Cell> {
    by.map(|_| period.map_or(Cell::Nothing, Cell::Moment)).into_iter().chain(cells).collect()
}

impl Range {
    async fn filter(&self, client: &Client, steps: Steps) -> Result<Filter> {
        let from = match self.from {
            Some(from) => from,
            None => Zoned::now().start_of_day()?.timestamp(),
        };
        if self.to.is_some_and(|to| to <= from) {
            bail!("--to is not after --from, so that no call lies between");
        }
        if let Some(queue) = &self.queue
            && names(client, statements::REPORT_QUEUE, queue.as_str()).await?.is_empty()
        {
            bail!("there is no queue {queue}, and no call ever entered it: see `usher queue list`");
        }
        if let Some(extension) = &self.extension
            && names(client, statements::REPORT_EXTENSION, extension.as_str()).await?.is_empty()
        {
            bail!("there is no extension {extension}, and it never answered a call: see `usher extension list`");
        }
        Ok(Filter { from, to: self.to, queue: self.queue.clone(), talked: self.extension.clone(), steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_local_unless_it_says_otherwise_and_a_day_stands_for_its_beginning() {
        assert_eq!(moment("2026-11-01T07:00Z").unwrap().to_string(), "2026-11-01T07:00:00Z");
        assert_eq!(moment("2026-11-01T07:00+02:00").unwrap().to_string(), "2026-11-01T05:00:00Z");
        let local = |text: &str| text.parse::<DateTime>().unwrap().to_zoned(TimeZone::system()).unwrap().timestamp();
        assert_eq!(moment("2026-11-01"), Ok(local("2026-11-01T00:00")));
        assert_eq!(moment("2026-11-01 08:30"), Ok(local("2026-11-01T08:30")));
        assert!(moment("yesterday").unwrap_err().contains("2026-11-01"));
        assert!(moment("2026-13-01").is_err());
    }
}
