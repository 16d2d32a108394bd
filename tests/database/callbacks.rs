//! Callbacks in the database: what the service records of them, and what its next run is told.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio_postgres::Client;
use usher::{
    domain::{
        fact::{CallOutcome, Fact, Stamped},
        id::{CallId, ChannelId, CustomerCode, Extension, OfferNo, QueueName, ServerId},
        queue::{
            callback::{Kept, KeptState, Missed},
            caller::Penalties,
            left::LeftOpen,
            roster::{CallerId, Customer},
            transfer::{TransferMeans, TransferTarget},
        },
    },
    ledger::Handle,
};
use uuid::Uuid;

use crate::{
    fixture::{connect, shared, soon},
    ledger::Running,
};

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_763_700_000 + seconds).unwrap()
}

fn asked(call: CallId) -> Fact {
    Fact::CallbackAsked {
        call,
        server: ServerId::new("pbx"),
        queue: QueueName::new("support"),
        customer: Customer { id: 7, code: CustomerCode::new("0071"), name: "Customer & Co".into() },
        caller: CallerId { number: "+15550100".into(), name: String::new() },
        priority: -2,
        since: moment(10),
        entered: moment(0),
        penalties: Penalties { least: 1, most: u32::MAX },
        keep_until: moment(3600),
        told_of_recording: true,
    }
}

fn called(call: CallId, attempt: u32) -> Fact {
    Fact::CallbackCalled { call, attempt, offer: OfferNo(attempt), extension: Extension::new("1000") }
}

fn missed(call: CallId, attempt: u32) -> Fact {
    let again_at = Some(moment(600));
    Fact::CallbackMissed { call, attempt, tries: attempt, why: Missed::Rejected, again_at }
}

fn answered(call: CallId) -> Fact {
    Fact::CallAnswered { call, offer: OfferNo(1), extension: Extension::new("1000") }
}

fn ended(call: CallId) -> Fact {
    Fact::CallEnded { call, extension: None, outcome: CallOutcome::Completed }
}

fn stamp(fact: Fact) -> Stamped {
    Stamped { id: Uuid::now_v7(), at: moment(20), fact }
}

async fn record(handle: &Handle, facts: impl IntoIterator<Item = Stamped>) {
    facts.into_iter().for_each(|fact| handle.record(fact));
    assert_eq!(handle.flush(Duration::from_secs(10)).await, 0);
    assert_eq!(handle.counts().refused, 0);
}

/// What a service that starts now is told.
async fn open(database: &usher::config::Database) -> BTreeMap<CallId, Kept> {
    let (running, _) = Running::ready(database).await;
    let open = running.handle.callbacks().borrow().open.clone().expect("known before the first roster");
    open.iter().map(|kept| (kept.call, kept.clone())).collect()
}

async fn cancel(client: &Client, call: CallId) {
    let sql = "UPDATE callbacks SET cancelled_at = now() WHERE call = $1";
    assert_eq!(client.execute(sql, &[&call.0]).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_is_told_how_each_callback_stands_and_of_none_that_is_over() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let calls = [0; 6].map(|_| CallId(Uuid::now_v7()));
    let [waits, rings, missed_once, talks, over, unwanted] = calls;
    let facts = calls.map(asked).into_iter().chain([
        called(rings, 1),
        called(missed_once, 1),
        missed(missed_once, 1),
        called(talks, 1),
        answered(talks),
        called(over, 1),
        answered(over),
        ended(over),
        ended(CallId(Uuid::now_v7())),
    ]);
    record(&running.handle, facts.map(stamp)).await;
    cancel(&connect(&database).await.client, unwanted).await;
    drop(running);
    let open = open(&database).await;
    let state = |call: CallId| open.get(&call).map(|kept| (kept.state.clone(), kept.attempt, kept.tries));
    assert_eq!(state(waits), Some((KeptState::Waiting, 0, 0)));
    assert_eq!(state(rings), Some((KeptState::Called, 1, 0)));
    assert_eq!(state(missed_once), Some((KeptState::Waiting, 1, 1)));
    assert_eq!(open[&missed_once].again_at, Some(moment(600)));
    assert_eq!(state(talks), Some((KeptState::Talking(Extension::new("1000")), 1, 0)));
    assert_eq!(state(over), None);
    assert_eq!(state(unwanted), Some((KeptState::Cancelled, 0, 0)));
    let kept = &open[&waits];
    assert_eq!((kept.priority, kept.since, kept.entered), (-2, moment(10), moment(0)));
    assert!(kept.told_of_recording);
    assert_eq!((kept.penalties, kept.keep_until), (Penalties { least: 1, most: u32::MAX }, moment(3600)));
    assert_eq!((kept.customer.code.as_str(), kept.caller.number.as_str()), ("0071", "+15550100"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_comes_late_or_twice_takes_no_step_back() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let (rings, over) = (CallId(Uuid::now_v7()), CallId(Uuid::now_v7()));
    let early = [stamp(asked(rings)), stamp(called(rings, 1)), stamp(missed(rings, 1)), stamp(called(rings, 2))];
    let gone = [stamp(asked(over)), stamp(called(over, 1)), stamp(ended(over))];
    record(&running.handle, early.clone()).await;
    record(&running.handle, gone.clone()).await;
    // As the spool of another process that is read again.
    record(&running.handle, early[..3].iter().chain(&gone[..2]).cloned()).await;
    drop(running);
    let open = open(&database).await;
    assert_eq!(open.len(), 1);
    assert_eq!((&open[&rings].state, open[&rings].attempt, open[&rings].tries), (&KeptState::Called, 2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_told_to_the_service_that_runs() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let call = CallId(Uuid::now_v7());
    record(&running.handle, [stamp(asked(call))]).await;
    let mut callbacks = running.handle.callbacks();
    cancel(&connect(&database).await.client, call).await;
    soon("it is told", callbacks.wait_for(|told| told.cancelled.contains(&call))).await.unwrap();
}

fn entered(call: CallId) -> Fact {
    Fact::CallEntered {
        call,
        server: ServerId::new("pbx"),
        channel: ChannelId::new("1.1"),
        queue: QueueName::new("support"),
        customer: Customer { id: 7, code: CustomerCode::new("0071"), name: "Customer & Co".into() },
        caller: CallerId { number: "+15550100".into(), name: String::new() },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_is_told_of_each_call_without_an_end_but_of_no_callback_and_a_late_end_counts_more_than_lost() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let calls = [0; 5].map(|_| CallId(Uuid::now_v7()));
    let [waits, talks, sent_on, over, back] = calls;
    let from = Extension::new("1000");
    let to = TransferTarget::Extension(Extension::new("2000"));
    let facts = calls.map(entered).into_iter().chain([
        answered(talks),
        answered(sent_on),
        Fact::CallTransferred { call: sent_on, from: from.clone(), to, how: TransferMeans::Code },
        answered(over),
        ended(over),
        asked(back),
    ]);
    record(&running.handle, facts.map(stamp)).await;
    drop(running);

    let (running, _) = Running::ready(&database).await;
    let left = running.handle.callbacks().borrow().left.clone();
    let left: BTreeMap<CallId, LeftOpen> = left.iter().map(|left| (left.call, left.clone())).collect();
    let of = |call, talked_with| {
        let (server, queue) = (ServerId::new("pbx"), QueueName::new("support"));
        LeftOpen { call, server, queue, customer: 7, talked_with }
    };
    assert_eq!(left.values().cloned().collect::<Vec<_>>(), [of(waits, None), of(talks, Some(from)), of(sent_on, None)]);

    let at = |at: i64, outcome| {
        let fact = Fact::CallEnded { call: waits, extension: None, outcome };
        Stamped { id: Uuid::now_v7(), at: moment(at), fact }
    };
    let single = connect(&database).await;
    let end = async || {
        let row =
            single.client.query_one("SELECT outcome, ended_at FROM calls WHERE id = $1", &[&waits.0]).await.unwrap();
        (row.get::<_, String>(0), row.get::<_, Timestamp>(1))
    };
    record(&running.handle, [at(100, CallOutcome::Lost)]).await;
    assert_eq!(end().await, ("lost".to_owned(), moment(100)));
    // The dead service had seen it, and its folder is read late.
    record(&running.handle, [at(30, CallOutcome::Abandoned)]).await;
    assert_eq!(end().await, ("abandoned".to_owned(), moment(30)));
    for late in [at(20, CallOutcome::Lost), at(10, CallOutcome::Completed)] {
        record(&running.handle, [late]).await;
        assert_eq!(end().await, ("abandoned".to_owned(), moment(30)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_could_not_be_given_back_at_a_stop_ends_as_the_next_run_sees_it() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let call = CallId(Uuid::now_v7());
    let ends = |at: i64, outcome| Stamped {
        id: Uuid::now_v7(),
        at: moment(at),
        fact: Fact::CallEnded { call, extension: None, outcome },
    };
    record(&running.handle, [stamp(entered(call)), ends(30, CallOutcome::Stopped)]).await;
    record(&running.handle, [ends(60, CallOutcome::Completed), ends(20, CallOutcome::Abandoned)]).await;
    let single = connect(&database).await;
    let row = single.client.query_one("SELECT outcome, ended_at FROM calls WHERE id = $1", &[&call.0]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, Timestamp>(1)), ("completed", moment(60)));
}
