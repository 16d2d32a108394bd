//! Reads the history of calls for reports: one row at a time, as much as the reader takes.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tokio_postgres::{Client, Row, types::ToSql};
use uuid::Uuid;

use crate::{
    db::{Error, moment::Moment, roster::Unreadable, statements},
    domain::{
        id::{CallId, Extension, QueueName},
        report::{History, Step, StepKind, UnknownOutcome},
    },
};

/// Which calls.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Entered at this moment or later,
    pub from: Timestamp,
    /// and before this one; `None`: up to now.
    pub to: Option<Timestamp>,
    /// Of this queue only.
    pub queue: Option<QueueName>,
    /// Only those in which this extension talked.
    pub talked: Option<Extension>,
    /// Which steps of members are wanted.
    pub steps: Steps,
}

/// Which steps of members are wanted: fewer are read faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// Answers, transfers and wrap-up.
    Talks,
    /// Offers, answers, transfers and wrap-up.
    All,
}

impl Steps {
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Talks => &["wrap_up", "answered", "transferred"],
            Self::All => &["wrap_up", "offered", "offer_ended", "answered", "transferred"],
        }
    }
}

/// A call as a list of calls shows it.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is counted.
    pub history: History,
    /// Code that was keyed in.
    pub customer_code: String,
    /// Name of the customer at the time.
    pub customer_name: String,
    /// Number of the caller; empty when withheld.
    pub caller_number: String,
    /// File with the recording, if there is one.
    pub recording: Option<String>,
}

/// Why the history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// What the server said.
    #[error(transparent)]
    Database(#[from] Error),
    /// A newer program wrote it.
    #[error("table calls, row {call}, column outcome: {source}")]
    Outcome {
        /// Which call.
        call: CallId,
        /// The word.
        source: UnknownOutcome,
    },
    /// Nothing can be counted of a call of which it is not known when it was what.
    #[error("{0}")]
    Time(Box<Unreadable>),
}

impl From<tokio_postgres::Error> for Unread {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// These calls, oldest first, all as they were at one moment.
///
/// # Errors
/// What the server said.
pub async fn calls(
    client: &Client,
    filter: &Filter,
) -> Result<impl Stream<Item = Result<Call, Unread>> + use<>, Error> {
    let statement = client.prepare(statements::REPORT_CALLS).await?;
    let queue = filter.queue.as_ref().map(QueueName::as_str);
    let talked = filter.talked.as_ref().map(Extension::as_str);
    let kinds = filter.steps.kinds();
    let values: [&(dyn ToSql + Sync); 5] = [&filter.from, &filter.to, &queue, &talked, &kinds];
    let rows = client.query_raw(&statement, values).await?;
    let now = Timestamp::now();
    Ok(rows.map(move |row| call(&row?, now)))
}

fn call(row: &Row, now: Timestamp) -> Result<Call, Unread> {
    let id = CallId(row.try_get::<_, Uuid>("id")?);
    let outcome: Option<&str> = row.try_get("outcome")?;
    let mut times = [None; 3];
    for (time, column) in times.iter_mut().zip(["entered_at", "answered_at", "ended_at"]) {
        let Some(moment) = row.try_get::<_, Option<Moment>>(column)? else { continue };
        if let Some(complaint) = moment.complaint("calls", &id.to_string(), column, "nothing of the row") {
            return Err(Unread::Time(Box::new(complaint)));
        }
        *time = moment.known();
    }
    let [entered_at, answered_at, ended_at] = times;
    let level: i32 = row.try_get("service_level_seconds")?;
    let history = History {
        call: id,
        queue: QueueName::new(row.try_get::<_, &str>("queue")?),
        entered_at: entered_at.unwrap_or_default(),
        answered_at,
        answered_by: row.try_get::<_, Option<&str>>("answered_by")?.map(Extension::new),
        ended_at,
        outcome: outcome.map(str::parse).transpose().map_err(|source| Unread::Outcome { call: id, source })?,
        service_level: Duration::from_secs(u64::try_from(level).unwrap_or(0)),
        steps: steps(row, now)?,
    };
    Ok(Call {
        history,
        customer_code: row.try_get("customer_code")?,
        customer_name: row.try_get("customer_name")?,
        caller_number: row.try_get("caller_number")?,
        recording: row.try_get("recording")?,
    })
}

fn steps(row: &Row, now: Timestamp) -> Result<Vec<Step>, tokio_postgres::Error> {
    // NULL when there are none.
    let Some(extensions) = row.try_get::<_, Option<Vec<&str>>>("extensions")? else { return Ok(Vec::new()) };
    let kinds: Vec<&str> = row.try_get("kinds")?;
    let whys: Vec<Option<&str>> = row.try_get("whys")?;
    let moments: Vec<Moment> = row.try_get("moments")?;
    let ends: Vec<Option<&str>> = row.try_get("ends")?;
    let nexts: Vec<Option<Moment>> = row.try_get("nexts")?;
    let columns = extensions.into_iter().zip(kinds).zip(whys).zip(moments).zip(ends).zip(nexts);
    Ok(columns
        .filter_map(|(((((extension, kind), why), at), until), next)| {
            let next = next.and_then(|next| next.known());
            Some(Step { extension: Extension::new(extension), kind: step(kind, why, at.known(), (until, next), now)? })
        })
        .collect())
}

/// `None`: when it was is not known, and matters.
fn step(
    kind: &str,
    why: Option<&str>,
    at: Option<Timestamp>,
    (until, next): (Option<&str>, Option<Timestamp>),
    now: Timestamp,
) -> Option<StepKind> {
    Some(match (kind, why) {
        ("offered", _) => StepKind::Offered,
        ("answered", _) => StepKind::Answered(at?),
        ("transferred", _) => StepKind::SentOn(at?),
        ("wrap_up", _) => {
            // Without a readable beginning or end it is one of no length.
            let until: Option<Timestamp> = until.and_then(|text| text.parse().ok());
            // As far as it has come, and not beyond what they did next.
            let until = until.map(|until| until.min(now).min(next.unwrap_or(until)));
            let milliseconds = at.zip(until).map_or(0, |(at, until)| until.duration_since(at).as_millis());
            StepKind::WrappedUp(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
        }
        (_, Some("ring_no_answer")) => StepKind::Missed,
        (_, Some("rejected")) => StepKind::Refused,
        (_, _) => StepKind::Withdrawn,
    })
}
