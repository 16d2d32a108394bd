//! What is over is over: talks that end while the service is dead, callers who come in a second time or go at any moment,
//! and an application that another program has taken.

use std::time::{Duration, Instant};

use rand::Rng;
use usher_rig::{
    phones::{CallSpec, Ears},
    usher::Usher,
    wait,
};

use crate::{
    aid::{
        SOON, a_call_works, answers, enter, enter_with, house, in_the_queue, log_says, log_says_times, ready_says,
        story, talk, talking, times,
    },
    steps::{Crm, dial_and_hear},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_member_hung_up_while_the_service_was_dead_is_hung_up_and_not_queued_again() {
    let rig = house("over").logged_on(&["1000", "2000"]).sql(&times(15, 60)).start().await.unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(one);
    answers(two);
    let crm = (Crm::watch(&rig, "1000").await, Crm::watch(&rig, "2000").await);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let (member, crm) = tokio::select! {
        rung = one.rung(1, SOON) => { rung.unwrap(); (one, crm.0) }
        rung = two.rung(1, SOON) => { rung.unwrap(); (two, crm.1) }
    };
    let leg = member.leg().unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    let (_, pop) = crm.pop("answered").await;

    rig.usher().unwrap().kill().await.unwrap();
    leg.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    assert!(caller.state().ended.is_none(), "Asterisk keeps the caller");
    rig.usher().unwrap().start_again().await.unwrap();

    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    crm.closed(&pop.call).await;
    let story = story(&rig, "5550001").await;
    assert_eq!(story.outcome, "completed");
    assert_eq!(story.events, ["entered", "offered", "ringing", "answered", "ended"]);
    assert_eq!(one.rings_so_far() + two.rings_so_far(), 1, "nobody is rung for a talk that is over");
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_talks_on_while_the_service_is_restarted_is_not_hung_up() {
    let rig = house("talkson").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    log_says(&rig, "in step with Asterisk", SOON).await;
    talk(&caller, &leg).await;
    leg.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_sent_into_the_queue_a_second_time_is_served_again() {
    let rig = house("again").logged_on(&["1000"]).sql(&times(2, 3)).start().await.unwrap();
    let (member, fallback) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("3000").unwrap());
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    // Nobody answers: the caller is given back, and the one who is on duty sends them into the queue once more.
    fallback.rung(1, SOON).await.unwrap();
    let channels = rig.pbx.channels().await.unwrap();
    let channel = channels.iter().find(|channel| channel["caller"]["number"] == "5550001").unwrap();
    answers(member);
    let rings = member.rings_so_far();
    rig.pbx.cli("module load res_clioriginate.so").await.unwrap();
    let redirect = format!("channel redirect {} usher-queue,s,2", channel["name"].as_str().unwrap());
    rig.pbx.cli(&redirect).await.unwrap();
    in_the_queue(&rig, "5550001").await;
    let leg = member.rung(rings + 1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    leg.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    let client = &client;
    wait::until("both ways through the queue are on record", SOON, || async move {
        let rows = client.query("SELECT outcome FROM calls WHERE outcome IS NOT NULL ORDER BY entered_at", &[]).await?;
        let outcomes: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        anyhow::ensure!(outcomes == ["timed_out", "completed"], "{outcomes:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_hang_up_at_any_moment_leave_nothing_behind() {
    let rig = house("anymoment").logged_on(&["1000", "2000"]).sql(&times(2, 20)).start().await.unwrap();
    for number in ["1000", "2000"] {
        answers(rig.phones.phone(number).unwrap());
    }
    let begin = Instant::now();
    let mut entered = 0;
    while begin.elapsed() < Duration::from_secs(12) {
        let spec = CallSpec::new(&format!("555{entered:04}"), "0000");
        let caller = rig.phones.call(&spec).await.unwrap();
        entered += 1;
        caller.answered(SOON).await.unwrap();
        caller.press("11111").await.unwrap();
        // The keys take 1 s to arrive; from then on the whole way to the talk takes about another.
        let moment = Duration::from_millis(rand::rng().random_range(800..2500));
        tokio::time::sleep(moment).await;
        caller.hang_up().await.unwrap();
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    let client = &client;
    wait::until("every call that entered has ended", SOON, || async move {
        let sql = "SELECT count(*) FROM calls WHERE outcome IS NULL OR outcome NOT IN ('abandoned', 'completed')";
        let open: i64 = client.query_one(sql, &[]).await?.get(0);
        anyhow::ensure!(open == 0, "{open} of {entered} calls");
        Ok(())
    })
    .await
    .unwrap();
    a_call_works(&rig, "5559999").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_another_usher_takes_the_application_it_is_said_and_no_call_is_cut_when_it_is_taken_back() {
    let rig = house("replaced").logged_on(&["1000", "2000"]).sql(&times(50, 120)).start().await.unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    one.set_ears(Ears::Open);
    two.set_ears(Ears::Open);
    answers(one);
    let first = enter_with(&rig, "5550001", Ears::Open).await;
    let first_leg = one.rung(1, SOON).await.unwrap();
    first_leg.answered(SOON).await.unwrap();
    // 2000 rings, and does not answer before the other one has the application.
    let second = enter_with(&rig, "5550002", Ears::Open).await;
    two.rung(1, SOON).await.unwrap();
    let waiting = enter(&rig, "5550003").await;

    let mut spec = rig.spec.clone().unwrap();
    spec.agi_port = rig.instance.port().unwrap();
    // Somebody else's, with a database of its own: with the same one it would stand by.
    spec.database = rig.pg.database("rival", &spec.binary, None).await.unwrap();
    let rivals = spec.database.connect().await.unwrap();
    rivals.batch_execute(&times(50, 120)).await.unwrap();
    let members = "INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '1000', true), ('support', '2000', true)";
    rivals.batch_execute(members).await.unwrap();
    answers(two);
    let other = Usher::start(&rig.instance, &spec).await.unwrap();
    log_says(&rig, "another program has taken over the application", SOON).await;
    let second_leg = two.rung(2, SOON).await.unwrap();
    second_leg.answered(SOON).await.unwrap();
    talk(&first, &first_leg).await;
    talk(&second, &second_leg).await;

    // Taken back after half a minute: the one that has it back finds the talk that the other has made.
    log_says_times(&rig, "in step with Asterisk", 3).await;
    drop(other);
    talk(&first, &first_leg).await;
    talk(&second, &second_leg).await;
    assert!(waiting.state().ended.is_none());
    assert_eq!((one.rings_so_far(), two.rings_so_far()), (1, 2), "nobody is rung for a caller who talks");
    second_leg.hang_up().await.unwrap();
    second.hung_up(SOON).await.unwrap();
    two.rung(3, SOON).await.unwrap().answered(SOON).await.unwrap();
    waiting.hang_up().await.unwrap();
    first.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    assert_eq!(story(&rig, "5550002").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_who_logs_on_while_the_database_is_frozen_hears_that_it_did_not_work_and_can_try_again() {
    let rig = house("frozenlogon").own_postgres().start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    rig.pg.freeze().unwrap();
    dial_and_hear(&rig, phone, "*56466*", "not_available").await;
    rig.pg.thaw();
    // The database is back.
    ready_says(&rig, 200, SOON).await;
    dial_and_hear(&rig, phone, "*56466*", "logon").await;
    a_call_works(&rig, "5550001").await;
}
