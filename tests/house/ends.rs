//! The record of each call has an end, also when its caller hangs up while the service is dead.

use tokio::net::TcpListener;
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Leg},
    rig::Rig,
    usher::Usher,
    wait,
};

use crate::{
    aid::{SOON, answers, enter, house, log_says, talk, times},
    steps::{command, sql, value, wait_for_value},
};

/// How a call of this number ended, by whom it was answered, and whether its end is an event as well, as `psql` would say it.
fn end_of(number: &str) -> String {
    format!(
        "SELECT coalesce(outcome, 'open') || ' ' || coalesce(answered_by, '') || ' ' || \
         (SELECT count(*) FROM call_events WHERE call_id = calls.id AND kind = 'ended' AND at = calls.ended_at \
          AND detail ->> 'outcome' = calls.outcome) FROM calls WHERE caller_number = '{number}'"
    )
}

/// Asterisk has no channel of this caller any more.
async fn is_gone(rig: &Rig, number: &str) {
    wait::until(&format!("{number} is gone"), SOON, || async {
        let channels = rig.pbx.channels().await?;
        anyhow::ensure!(!channels.iter().any(|channel| channel["caller"]["number"] == number), "{channels:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn report(rig: &Rig) -> serde_json::Value {
    let report = command(rig, &["report", "queue", "--format", "json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    report.as_array().unwrap()[0].clone()
}

/// Who hangs up while nobody looks, by number: one who waits.
async fn waits(rig: &Rig, number: &str) -> Leg {
    let leg = enter(rig, number).await;
    wait_for_value(rig, &format!("SELECT count(*) FROM calls WHERE caller_number = '{number}'"), "1").await;
    leg
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_while_the_service_is_dead_has_an_end_after_its_start_and_who_stays_is_open() {
    let rig = house("endslost")
        .logged_on(&["1000"])
        .sql(&times(60, 600))
        .sql("UPDATE queues SET callback_key = '*'")
        .start()
        .await
        .unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    answers(phone);
    let talking =
        rig.phones.call(&CallSpec { from: Some("5550001".into()), to: "0000".into(), ears: Ears::Open }).await.unwrap();
    talking.answered(SOON).await.unwrap();
    talking.press("11111").await.unwrap();
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&talking, &leg).await;
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE answered_by = '1000'", "1").await;
    phone.behave(Behaviour::Ignore);
    let waiting = waits(&rig, "5550002").await;
    let asks = waits(&rig, "5550003").await;
    asks.press("*").await.unwrap();
    asks.hung_up(SOON).await.unwrap();
    wait_for_value(&rig, "SELECT count(*) FROM callbacks WHERE state = 'waiting'", "1").await;
    let stays = waits(&rig, "5550004").await;
    let before = value(&rig, "SELECT last_call_at FROM memberships").await.unwrap();

    rig.usher().unwrap().kill().await.unwrap();
    waiting.hang_up().await.unwrap();
    talking.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    is_gone(&rig, "5550001").await;
    is_gone(&rig, "5550002").await;
    let died = value(&rig, "SELECT now()").await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    wait_for_value(&rig, &end_of("5550001"), "lost 1000 1").await;
    wait_for_value(&rig, &end_of("5550002"), "lost  1").await;
    let found = format!("SELECT count(*) FROM calls WHERE outcome = 'lost' AND ended_at > '{died}'");
    assert_eq!(value(&rig, &found).await.unwrap(), "2", "ended when that was found, and not before");
    assert_ne!(value(&rig, "SELECT last_call_at FROM memberships").await.unwrap(), before);
    for open in ["5550003", "5550004"] {
        assert_eq!(value(&rig, &end_of(open)).await.unwrap(), "open  0", "{open}");
    }
    let queue = report(&rig).await;
    assert_eq!(
        (&queue["offered"], &queue["answered"], &queue["lost"], &queue["open"]),
        (&4.into(), &1.into(), &2.into(), &2.into())
    );
    assert!(queue["average_talk_seconds"].is_null(), "nobody knows how long they talked: {queue}");

    stays.hang_up().await.unwrap();
    wait_for_value(&rig, &end_of("5550004"), "abandoned  1").await;
    assert_eq!(value(&rig, "SELECT state FROM callbacks").await.unwrap(), "waiting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_ends_the_calls_that_were_lost_with_the_active_one() {
    let rig = house("endsstandby").logged_on(&["1000"]).sql(&times(60, 600)).start().await.unwrap();
    rig.phones.phone("1000").unwrap().behave(Behaviour::Ignore);
    let mut spec = rig.spec.clone().unwrap();
    // On one machine each needs a port of its own.
    spec.agi_port = rig.instance.port().unwrap();
    let standby = Usher::stand_by(&rig.instance, &spec).await.unwrap();
    let gone = waits(&rig, "5550001").await;
    let stays = waits(&rig, "5550002").await;
    // The active one does not see them go.
    rig.usher().unwrap().freeze().unwrap();
    gone.hang_up().await.unwrap();
    is_gone(&rig, "5550001").await;
    rig.usher().unwrap().kill().await.unwrap();
    wait::until("the standby is active", SOON, || standby.is("active")).await.unwrap();
    wait_for_value(&rig, &end_of("5550001"), "lost  1").await;
    assert_eq!(value(&rig, &end_of("5550002")).await.unwrap(), "open  0");
    stays.hang_up().await.unwrap();
    wait_for_value(&rig, &end_of("5550002"), "abandoned  1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_server_that_is_not_in_the_configuration_any_more_is_ended_as_well() {
    let rig = house("endsrenamed").logged_on(&["1000"]).start().await.unwrap();
    rig.usher().unwrap().stop().await.unwrap();
    sql(
        &rig,
        "INSERT INTO calls (id, server, channel, queue, customer_id, customer_code, customer_name, caller_number, caller_name, \
         entered_at) VALUES (gen_random_uuid(), 'taken-down', '1.1', 'support', 1, '1111', 'One', '5550001', '', now() - interval '2 days')",
    )
    .await;
    rig.usher().unwrap().start_again().await.unwrap();
    wait_for_value(&rig, &end_of("5550001"), "lost  1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_at_the_start_is_said_once() {
    let rig = house("startwarns").own_postgres().start().await.unwrap();
    let usher = rig.usher().unwrap();
    assert!(usher.stop().await.unwrap().success());
    rig.pg.stop().await.unwrap();
    let before = usher.log().unwrap().matches(" WARN ").count();
    // Where the database was, somebody hangs up on everyone.
    let absent = TcpListener::bind(("127.0.0.1", rig.pg.port())).await.unwrap();
    let (look, mut looks) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move { while absent.accept().await.is_ok_and(|_| look.send(()).is_ok()) {} });
    let _process = usher.spawn().unwrap();
    log_says(&rig, "waiting for the database", SOON).await;
    while looks.try_recv().is_ok() {}
    // What the next two looks have to say is said before the third.
    for _ in 0..3 {
        tokio::time::timeout(SOON, looks.recv()).await.expect("it looks again").unwrap();
    }
    let log = usher.log().unwrap();
    let said: Vec<&str> = log.lines().filter(|line| line.contains(" WARN ")).skip(before).collect();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talked_with_a_caller_that_hung_up_while_the_service_was_dead_wraps_up_before_the_next_one() {
    let wrap_up = "UPDATE queues SET wrap_up_seconds = 600";
    let rig = house("endswrapup").logged_on(&["1000"]).sql(&times(15, 600)).sql(wrap_up).start().await.unwrap();
    let agent = rig.phones.phone("1000").unwrap();
    let (caller, leg) = crate::aid::talking(&rig, "5550001", "1000").await;
    let next = waits(&rig, "5550002").await;
    rig.usher().unwrap().kill().await.unwrap();
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    is_gone(&rig, "5550001").await;
    rig.usher().unwrap().start_again().await.unwrap();
    let until = "SELECT wrap_up_until > now() + interval '500 s' FROM memberships WHERE extension = '1000'";
    wait_for_value(&rig, until, "t").await;
    // The floor does all of this in one step: who is going to be rung has been offered the caller by now.
    wait_for_value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'offered'", "1").await;
    assert_eq!(agent.rings_so_far(), 1);
    next.hang_up().await.unwrap();
}
