//! Reads what people ask of calls that went by.

use std::collections::VecDeque;

use deadpool_postgres::Object;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    db::{
        Error,
        moment::Moment,
        report::{self, Call, Filter, Steps, Unread},
        statements,
    },
    domain::{
        id::{CallId, CustomerCode, Extension, QueueName, ServerId},
        queue::{
            callback::Lost,
            roster::{CallerId, Customer},
        },
    },
};

/// What is known of a call.
#[derive(Debug, Clone)]
pub struct Past {
    /// Which.
    pub call: CallId,
    /// Its row in `calls`; `Null`: only its steps are known.
    pub row: Value,
    /// Its steps, in the order of time.
    pub events: Vec<PastEvent>,
}

/// A step of a call: a row of `call_events`.
#[derive(Debug, Clone)]
pub struct PastEvent {
    /// When.
    pub at: Timestamp,
    /// What: the column `kind`.
    pub kind: String,
    /// Member concerned.
    pub extension: Option<String>,
    /// Which offer, from 1.
    pub offer: Option<i32>,
    /// Further words, by kind.
    pub detail: Value,
}

/// The last `most` calls in which an extension talked and that entered since then, oldest first, and how many there are beside them.
///
/// # Errors
/// What the server said.
pub async fn calls_of(
    client: &Object,
    extension: &Extension,
    since: Timestamp,
    most: usize,
) -> Result<(Vec<Call>, usize), Error> {
    let talked = Some(extension.clone());
    let filter = Filter { from: since, to: None, queue: None, talked, steps: Steps::Talks };
    let mut calls = Box::pin(report::calls(client, &filter).await?);
    let (mut last, mut more) = (VecDeque::new(), 0);
    while let Some(call) = calls.next().await {
        let call = match call {
            Ok(call) => call,
            Err(Unread::Database(error)) => return Err(error),
            Err(error @ (Unread::Outcome { .. } | Unread::Time { .. })) => {
                tracing::warn!(%error, "a call is left out of a list");
                continue;
            }
        };
        last.push_back(call);
        if last.len() > most {
            last.pop_front();
            more += 1;
        }
    }
    Ok((last.into(), more))
}

/// The last call of the last day that was offered to an extension.
///
/// # Errors
/// What the server said.
pub async fn last_offered(client: &Object, extension: &Extension) -> Result<Option<CallId>, Error> {
    let statement = client.prepare_cached(statements::WHY_LAST).await?;
    let row = client.query_opt(&statement, &[&extension.as_str()]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(CallId))
}

/// The last call of the last day for one of these queues that came to nothing, of this customer's code or from this number if one is given.
///
/// # Errors
/// What the server said.
pub async fn lost(client: &Object, queues: &[QueueName], whom: Option<&str>) -> Result<Option<Lost>, Error> {
    let statement = client.prepare_cached(statements::LOST_CALL).await?;
    let queues: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let row = client.query_opt(&statement, &[&queues, &whom]).await?;
    let lost = |row: tokio_postgres::Row| {
        Ok::<_, tokio_postgres::Error>(Lost {
            server: ServerId::new(row.try_get::<_, &str>("server")?),
            queue: QueueName::new(row.try_get::<_, &str>("queue")?),
            customer: Customer {
                id: row.try_get("customer_id")?,
                code: CustomerCode::new(row.try_get::<_, &str>("customer_code")?),
                name: row.try_get("customer_name")?,
            },
            caller: CallerId { number: row.try_get("caller_number")?, name: row.try_get("caller_name")? },
        })
    };
    Ok(row.map(lost).transpose()?)
}

/// What is known of a call; `None`: nothing.
///
/// # Errors
/// What the server said.
pub async fn of(client: &Object, call: CallId) -> Result<Option<Past>, Error> {
    let id: Uuid = call.0;
    let known = client.prepare_cached(statements::WHY_CALL).await?;
    let steps = client.prepare_cached(statements::WHY_EVENTS).await?;
    let row: Option<Value> = client.query_opt(&known, &[&id]).await?.map(|row| row.try_get(0)).transpose()?;
    let mut events = Vec::new();
    for row in client.query(&steps, &[&id]).await? {
        let at: Moment = row.try_get("at")?;
        let before = events.last().map_or_else(Timestamp::default, |event: &PastEvent| event.at);
        events.push(PastEvent {
            at: at.or(before, "call_events", &format!("of call {call}"), "at"),
            kind: row.try_get("kind")?,
            extension: row.try_get("extension")?,
            offer: row.try_get("offer")?,
            detail: row.try_get("detail")?,
        });
    }
    Ok((row.is_some() || !events.is_empty()).then(|| Past { call, row: row.unwrap_or_default(), events }))
}
