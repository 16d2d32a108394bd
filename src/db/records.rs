//! Writes facts: many at a time, whole or not at all, and each once however often it is tried.

mod callbacks;

use deadpool_postgres::{Object, Transaction};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use self::callbacks::{Callbacks, Step};
use crate::{
    db::{Error, statements},
    domain::{
        fact::{Fact, Stamped},
        id::{CallId, Extension, OfferNo},
        queue::roster::{CallerId, Customer},
    },
};

/// Writes these facts in one transaction. Their order among each other within one call is kept.
///
/// # Errors
/// What the server said; then none of them is written.
pub async fn write(client: &mut Object, facts: &[Stamped]) -> Result<(), Error> {
    let mut columns = Columns::default();
    for fact in facts {
        columns.add(fact);
    }
    let transaction = client.transaction().await?;
    let Columns { calls, answers, renumbered, recordings, ends, last_calls, wrap_ups, auto_pauses, callbacks, events } =
        &columns;
    run(
        &transaction,
        statements::RECORD_CALLS,
        calls.call.len(),
        &[
            &calls.call,
            &calls.server,
            &calls.channel,
            &calls.queue,
            &calls.who.customer_id,
            &calls.who.customer_code,
            &calls.who.customer_name,
            &calls.who.caller_number,
            &calls.who.caller_name,
            &calls.at,
        ],
    )
    .await?;
    let count = answers.call.len();
    run(&transaction, statements::RECORD_ANSWERS, count, &[&answers.call, &answers.at, &answers.word]).await?;
    let count = recordings.call.len();
    run(&transaction, statements::RECORD_RECORDINGS, count, &[&recordings.call, &recordings.word]).await?;
    run(&transaction, statements::RECORD_ENDS, ends.call.len(), &[&ends.call, &ends.at, &ends.word]).await?;
    let count = last_calls.extension.len();
    run(&transaction, statements::RECORD_LAST_CALLS, count, &[&last_calls.extension, &last_calls.at]).await?;
    let count = wrap_ups.queue.len();
    run(&transaction, statements::RECORD_WRAP_UPS, count, &[&wrap_ups.queue, &wrap_ups.extension, &wrap_ups.until])
        .await?;
    callbacks.write(&transaction).await?;
    let count = renumbered.call.len();
    run(&transaction, statements::RECORD_RENUMBERED, count, &[&renumbered.call, &renumbered.from, &renumbered.to])
        .await?;
    // Before the events: what was written before may be resumed meanwhile, and its event tells.
    run(
        &transaction,
        statements::RECORD_AUTO_PAUSES,
        auto_pauses.event.len(),
        &[&auto_pauses.event, &auto_pauses.queue, &auto_pauses.extension, &auto_pauses.reason, &auto_pauses.at],
    )
    .await?;
    run(
        &transaction,
        statements::RECORD_EVENTS,
        events.id.len(),
        &[&events.id, &events.call, &events.at, &events.kind, &events.extension, &events.offer, &events.detail],
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

async fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    count: usize,
    columns: &[&(dyn ToSql + Sync)],
) -> Result<(), tokio_postgres::Error> {
    if count > 0 {
        let statement = transaction.prepare_cached(sql).await?;
        transaction.execute(&statement, columns).await?;
    }
    Ok(())
}

#[derive(Default)]
struct Columns {
    calls: Calls,
    answers: Marks,
    renumbered: Renumbered,
    recordings: Marks,
    ends: Marks,
    last_calls: LastCalls,
    wrap_ups: WrapUps,
    auto_pauses: AutoPauses,
    callbacks: Callbacks,
    events: Events,
}

#[derive(Default)]
struct Calls {
    call: Vec<Uuid>,
    server: Vec<String>,
    channel: Vec<String>,
    queue: Vec<String>,
    who: Who,
    at: Vec<Timestamp>,
}

/// What each row of a call says of who called.
#[derive(Default)]
struct Who {
    customer_id: Vec<i64>,
    customer_code: Vec<String>,
    customer_name: Vec<String>,
    caller_number: Vec<String>,
    caller_name: Vec<String>,
}

impl Who {
    fn add(&mut self, customer: &Customer, caller: &CallerId) {
        self.customer_id.push(customer.id);
        self.customer_code.push(clean(customer.code.as_str()));
        self.customer_name.push(clean(&customer.name));
        self.caller_number.push(clean(&caller.number));
        self.caller_name.push(clean(&caller.name));
    }
}

#[derive(Default)]
struct Marks {
    call: Vec<Uuid>,
    at: Vec<Timestamp>,
    word: Vec<String>,
}

impl Marks {
    fn add(&mut self, call: CallId, at: Timestamp, word: &str) {
        self.call.push(call.0);
        self.at.push(at);
        self.word.push(clean(word));
    }
}

#[derive(Default)]
struct Renumbered {
    call: Vec<Uuid>,
    from: Vec<String>,
    to: Vec<String>,
}

#[derive(Default)]
struct LastCalls {
    extension: Vec<String>,
    at: Vec<Timestamp>,
}

#[derive(Default)]
struct WrapUps {
    queue: Vec<String>,
    extension: Vec<String>,
    until: Vec<Timestamp>,
}

#[derive(Default)]
struct AutoPauses {
    event: Vec<Uuid>,
    queue: Vec<String>,
    extension: Vec<String>,
    reason: Vec<String>,
    at: Vec<Timestamp>,
}

#[derive(Default)]
struct Events {
    id: Vec<Uuid>,
    call: Vec<Uuid>,
    at: Vec<Timestamp>,
    kind: Vec<&'static str>,
    extension: Vec<Option<String>>,
    offer: Vec<Option<i32>>,
    detail: Vec<Value>,
}

impl Columns {
    fn add(&mut self, stamped: &Stamped) {
        let Stamped { id, at, fact } = stamped;
        match fact {
            Fact::CallEntered { call, server, channel, queue, customer, caller } => {
                let calls = &mut self.calls;
                calls.call.push(call.0);
                calls.server.push(clean(server.as_str()));
                calls.channel.push(clean(channel.as_str()));
                calls.queue.push(clean(queue.as_str()));
                calls.who.add(customer, caller);
                calls.at.push(*at);
                let detail = json!({
                    "server": clean(server.as_str()), "channel": clean(channel.as_str()), "queue": clean(queue.as_str()),
                });
                self.event(*id, *at, *call, "entered", None, None, detail);
            }
            Fact::CallOffered { call, offer, extension, choice } => {
                self.event(*id, *at, *call, "offered", member(extension), Some(*offer), json!({ "why": choice }));
            }
            Fact::CallRinging { call, offer, extension, pop } => {
                self.event(*id, *at, *call, "ringing", member(extension), Some(*offer), json!({ "pop": pop.as_str() }));
            }
            Fact::OfferEnded { call, offer, extension, why } => {
                self.event(
                    *id,
                    *at,
                    *call,
                    "offer_ended",
                    member(extension),
                    Some(*offer),
                    json!({ "why": why.as_str() }),
                );
            }
            Fact::CallDeclined { call, extension, reason } => {
                let detail = json!({ "reason": clean(reason) });
                self.event(*id, *at, *call, "declined", Some(extension), None, detail);
            }
            Fact::CallAnswered { call, offer, extension } => {
                if member(extension).is_some() {
                    self.answers.add(*call, *at, extension.as_str());
                }
                self.callbacks.step(*id, *call, "talking", Step { extension: Some(extension), ..Step::default() });
                self.event(*id, *at, *call, "answered", member(extension), Some(*offer), json!({}));
            }
            // The file is in the call's row; that it was begun is no step of its own.
            Fact::Recording { call, file } => self.recordings.add(*call, *at, file),
            Fact::CallOverflowed { call, queue, why, to } => {
                let detail =
                    json!({ "queue": clean(queue.as_str()), "why": why.as_str(), "to": clean(&to.to_string()) });
                self.event(*id, *at, *call, "overflowed", None, None, detail);
            }
            Fact::CallbackAsked { call, queue, keep_until, .. } => {
                self.callbacks.asked(*id, *at, fact);
                let detail = json!({ "queue": clean(queue.as_str()), "keep_until": keep_until });
                self.event(*id, *at, *call, "callback_asked", None, None, detail);
            }
            Fact::CallbackCalled { call, attempt, offer, extension } => {
                let step = Step { attempt: *attempt, extension: Some(extension), ..Step::default() };
                self.callbacks.step(*id, *call, "called", step);
                let detail = json!({ "try": attempt });
                self.event(*id, *at, *call, "callback_called", Some(extension), Some(*offer), detail);
            }
            Fact::CallbackMissed { call, attempt, tries, why, again_at } => {
                let step = Step { attempt: *attempt, tries: *tries, again_at: *again_at, extension: None };
                self.callbacks.step(*id, *call, "waiting", step);
                let detail = json!({ "try": attempt, "why": why.as_str(), "again_at": again_at });
                self.event(*id, *at, *call, "callback_missed", None, None, detail);
            }
            Fact::CallTransferred { call, from, to, how } => {
                self.last_calls.extension.push(clean(from.as_str()));
                self.last_calls.at.push(*at);
                let detail = json!({ "to": clean(&to.to_string()), "how": how.as_str() });
                self.event(*id, *at, *call, "transferred", Some(from), None, detail);
            }
            Fact::TransferFailed { call, from, why } => {
                self.event(*id, *at, *call, "transfer_failed", Some(from), None, json!({ "why": why.as_str() }));
            }
            Fact::Renumbered { call, from, to } => {
                self.renumbered.call.push(call.0);
                self.renumbered.from.push(clean(from.as_str()));
                self.renumbered.to.push(clean(to.as_str()));
            }
            Fact::CallHeld { call, extension, hold } => {
                self.event(*id, *at, *call, hold.as_str(), member(extension), None, json!({}));
            }
            Fact::WrapUp { call, extension, queue, until } => {
                self.wrap_ups.queue.push(clean(queue.as_str()));
                self.wrap_ups.extension.push(clean(extension.as_str()));
                self.wrap_ups.until.push(*until);
                let detail = json!({ "queue": clean(queue.as_str()), "until": until });
                self.event(*id, *at, *call, "wrap_up", Some(extension), None, detail);
            }
            Fact::AutoPaused { call, extension, queue, unanswered } => {
                self.auto_pauses.event.push(*id);
                self.auto_pauses.queue.push(clean(queue.as_str()));
                self.auto_pauses.extension.push(clean(extension.as_str()));
                self.auto_pauses.reason.push(format!("{unanswered} unanswered in a row"));
                self.auto_pauses.at.push(*at);
                let detail = json!({ "queue": clean(queue.as_str()), "unanswered": unanswered });
                self.event(*id, *at, *call, "auto_paused", Some(extension), None, detail);
            }
            Fact::CallEnded { call, extension, outcome } => {
                self.ends.add(*call, *at, outcome.as_str());
                self.callbacks.step(*id, *call, "ended", Step::default());
                if let Some(extension) = extension {
                    self.last_calls.extension.push(clean(extension.as_str()));
                    self.last_calls.at.push(*at);
                }
                self.event(*id, *at, *call, "ended", extension.as_ref(), None, json!({ "outcome": outcome.as_str() }));
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of one row")]
    fn event(
        &mut self,
        id: Uuid,
        at: Timestamp,
        call: CallId,
        kind: &'static str,
        extension: Option<&Extension>,
        offer: Option<OfferNo>,
        detail: Value,
    ) {
        let events = &mut self.events;
        events.id.push(id);
        events.call.push(call.0);
        events.at.push(at);
        events.kind.push(kind);
        events.extension.push(extension.map(|e| clean(e.as_str())));
        events.offer.push(offer.map(|OfferNo(n)| i32::try_from(n).unwrap_or(i32::MAX)));
        events.detail.push(detail);
    }
}

/// Whom a step is about, unless it is a party outside.
fn member(extension: &Extension) -> Option<&Extension> {
    Some(extension).filter(|extension| extension.number_outside().is_none())
}

/// A text as PostgreSQL can hold it: a caller id may contain the one character that it cannot, U+0000.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}
