//! The columns of callbacks.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Who, clean, run};
use crate::{
    db::statements,
    domain::{
        fact::Fact,
        id::{CallId, Extension},
    },
};

#[derive(Default)]
pub(super) struct Callbacks {
    asked: Asked,
    steps: Steps,
}

#[derive(Default)]
struct Asked {
    step: Vec<Uuid>,
    call: Vec<Uuid>,
    queue: Vec<String>,
    server: Vec<String>,
    who: Who,
    priority: Vec<i32>,
    since: Vec<Timestamp>,
    entered_at: Vec<Timestamp>,
    penalty_least: Vec<i64>,
    penalty_most: Vec<Option<i64>>,
    asked_at: Vec<Timestamp>,
    keep_until: Vec<Timestamp>,
    told_of_recording: Vec<bool>,
}

#[derive(Default)]
struct Steps {
    step: Vec<Uuid>,
    call: Vec<Uuid>,
    state: Vec<&'static str>,
    attempt: Vec<i32>,
    tries: Vec<i32>,
    again_at: Vec<Option<Timestamp>>,
    extension: Vec<Option<String>>,
}

/// What a step says beside the state; 0 and `None`: nothing.
#[derive(Default)]
pub(super) struct Step<'a> {
    pub(super) attempt: u32,
    pub(super) tries: u32,
    pub(super) again_at: Option<Timestamp>,
    pub(super) extension: Option<&'a Extension>,
}

impl Callbacks {
    /// A fact of the one kind that makes a row.
    pub(super) fn asked(&mut self, id: Uuid, at: Timestamp, fact: &Fact) {
        let Fact::CallbackAsked {
            call,
            server,
            queue,
            customer,
            caller,
            priority,
            since,
            entered,
            penalties,
            keep_until,
            told_of_recording,
        } = fact
        else {
            return;
        };
        let asked = &mut self.asked;
        asked.step.push(id);
        asked.call.push(call.0);
        asked.queue.push(clean(queue.as_str()));
        asked.server.push(clean(server.as_str()));
        asked.who.add(customer, caller);
        asked.priority.push(*priority);
        asked.since.push(*since);
        asked.entered_at.push(*entered);
        asked.penalty_least.push(penalties.least.into());
        asked.penalty_most.push((penalties.most < u32::MAX).then_some(penalties.most.into()));
        asked.asked_at.push(at);
        asked.keep_until.push(*keep_until);
        asked.told_of_recording.push(*told_of_recording);
    }

    pub(super) fn step(&mut self, id: Uuid, call: CallId, state: &'static str, step: Step<'_>) {
        let steps = &mut self.steps;
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        steps.step.push(id);
        steps.call.push(call.0);
        steps.state.push(state);
        steps.attempt.push(count(step.attempt));
        steps.tries.push(count(step.tries));
        steps.again_at.push(step.again_at);
        steps.extension.push(step.extension.map(|extension| clean(extension.as_str())));
    }

    pub(super) async fn write(&self, transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        let Self { asked, steps } = self;
        run(
            transaction,
            statements::RECORD_CALLBACKS,
            asked.call.len(),
            &[
                &asked.step,
                &asked.call,
                &asked.queue,
                &asked.server,
                &asked.who.customer_id,
                &asked.who.customer_code,
                &asked.who.customer_name,
                &asked.who.caller_number,
                &asked.who.caller_name,
                &asked.priority,
                &asked.since,
                &asked.entered_at,
                &asked.penalty_least,
                &asked.penalty_most,
                &asked.asked_at,
                &asked.keep_until,
                &asked.told_of_recording,
            ],
        )
        .await?;
        run(
            transaction,
            statements::RECORD_CALLBACK_STEPS,
            steps.call.len(),
            &[&steps.step, &steps.call, &steps.state, &steps.attempt, &steps.tries, &steps.again_at, &steps.extension],
        )
        .await
    }
}
