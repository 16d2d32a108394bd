//! What is over is over: talks that end while the service is dead, and callers who come in a second time.

use usher_rig::{phones::Ears, wait};

use crate::{
    aid::{SOON, a_call_works, answers, enter_with, house, in_the_queue, log_says, story, talk, times},
    steps::Crm,
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
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let leg = member.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
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
