//! What happens while nobody sees it: the link to Asterisk is down, or the service is dead or does not read (F2, F17).

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use usher_rig::{
    phones::{Behaviour, Ears, Side},
    rig::Rig,
    wait,
};

use crate::aid::{
    self, RECONNECTED, SEEN, SOON, a_call_works, answers, enter, enter_with, house, is_served, log_says_times,
    ready_says, story, talk, times,
};

/// What 2000 does in the gap.
#[derive(Clone, Copy)]
enum InTheGap {
    Answers,
    RingsOn,
}

/// One talks with 1000, one rings at 2000, two wait, of whom one hangs up in the gap. 2000 answers in the gap, or rings on.
async fn a_gap(rig: &Rig, in_the_gap: InTheGap, lose: impl AsyncFnOnce(), find: impl AsyncFnOnce()) {
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    let (talking, leg) = aid::talking(rig, "5550001", "1000").await;
    one.set_ears(Ears::Closed);
    two.behave(Behaviour::Ignore);
    let ringing = enter(rig, "5550002").await;
    let first_leg = two.rung(1, SOON).await.unwrap();
    let waiting = enter(rig, "5550003").await;
    let leaving = enter(rig, "5550004").await;

    lose().await;
    talk(&talking, &leg).await;
    leaving.hang_up().await.unwrap();
    leaving.hung_up(SOON).await.unwrap();
    if let InTheGap::Answers = in_the_gap {
        first_leg.answer().await.unwrap();
        first_leg.answered(SOON).await.unwrap();
    }
    answers(two);
    find().await;

    talk(&talking, &leg).await;
    // By the first leg, or by another one after that was hung up as an orphan: the first in line is served first.
    is_served(rig, "5550002").await;
    assert!(waiting.state().ended.is_none());
    assert!(first_leg.id() == two.leg().unwrap().id() || first_leg.state().ended.is_some(), "an orphan was left");
    // The end of the old talk is still the end for both, and frees the member.
    leg.hang_up().await.unwrap();
    assert_eq!(talking.hung_up(SOON).await.unwrap().by, Side::Them);
    one.rung(2, SOON).await.unwrap().answered(SOON).await.unwrap();
    is_served(rig, "5550003").await;
    ringing.hang_up().await.unwrap();
    waiting.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(one.rings_so_far(), 2);
}

/// The same, with a service that is killed and started again.
async fn a_gap_without_a_service(name: &str, in_the_gap: InTheGap) {
    let rig = house(name).logged_on(&["1000", "2000"]).sql(&times(30, 60)).start().await.unwrap();
    let usher = rig.usher().unwrap();
    let (lose, find) = (async || usher.kill().await.unwrap(), async || usher.start_again().await.unwrap());
    a_gap(&rig, in_the_gap, lose, find).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_in_a_gap_of_the_link_talks_go_on_nobody_is_blamed_and_the_waiting_are_served_in_order() {
    let rig = house("f2gap").logged_on(&["1000", "2000"]).sql(&times(30, 60)).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    let lose = async || {
        ari.refuse();
        ari.cut();
        ready_says(&rig, 503, SEEN).await;
    };
    let find = async || {
        ari.heal();
        ready_says(&rig, 200, RECONNECTED).await;
    };
    a_gap(&rig, InTheGap::Answers, lose, find).await;
    for (from, outcome) in
        [("5550001", "completed"), ("5550002", "completed"), ("5550003", "completed"), ("5550004", "abandoned")]
    {
        assert_eq!(story(&rig, from).await.outcome, outcome, "{from}");
    }
    // Asterisk hung up on 2000, who answered while the application was away: that is not held against them.
    assert_eq!(rig.phones.phone("2000").unwrap().rings_so_far(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_after_the_service_was_killed_a_phone_that_still_rings_stops_and_the_waiting_keep_their_order() {
    a_gap_without_a_service("f2kill", InTheGap::RingsOn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_member_who_answered_while_the_service_was_dead_is_not_left_in_silence() {
    a_gap_without_a_service("f2dead", InTheGap::Answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_caller_whose_data_were_on_their_way_when_the_link_fell_is_served() {
    // An Asterisk whose events do not carry the data: they are asked for.
    let conf = tempfile::tempdir().unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/asterisk-conf/.");
    assert!(Command::new("cp").arg("-r").arg(shipped).arg(conf.path()).status().unwrap().success());
    let file = conf.path().join("ari.conf");
    let text = fs::read_to_string(&file).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("channelvars=")).map(|l| format!("{l}\n")).collect();
    assert_ne!(text, without);
    fs::write(&file, without).unwrap();
    let rig =
        house("f2read").conf(conf.path()).logged_on(&["1000"]).sql(&times(15, 60)).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    ari.delay(Duration::from_millis(300));
    // Asterisk has the service's mark and its questions; the answers take 300 ms.
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    ari.cut();
    assert_eq!(member.rings_so_far(), 0, "the link was to fall before");
    ari.heal();
    let leg = member.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_a_service_that_reads_nothing_for_three_seconds_of_flood_loses_no_call() {
    let rig = house("f17").logged_on(&["1000", "2000"]).sql(&times(50, 60)).start().await.unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(one);
    one.set_ears(Ears::Closed);
    let talking = enter(&rig, "5550001").await;
    let talk = one.rung(1, SOON).await.unwrap();
    talk.answered(SOON).await.unwrap();
    two.behave(Behaviour::Ignore);
    let ringing = enter(&rig, "5550002").await;
    let rung = two.rung(1, SOON).await.unwrap();
    let leaving = enter(&rig, "5550003").await;

    // Everything is sent, and more than any buffer between the two holds.
    let ari = rig.pbx.ari();
    let all = serde_json::json!({ "allowed": [], "disallowed": [] });
    let answer = ari.request(reqwest::Method::PUT, "applications/usher/eventFilter", &[], Some(all)).await.unwrap();
    assert!(answer.status < 300, "{} {}", answer.status, answer.body);
    let begin = Instant::now();
    rig.usher().unwrap().freeze().unwrap();
    talk.hang_up().await.unwrap();
    leaving.hang_up().await.unwrap();
    let noise = "n".repeat(8000);
    let mut flood = 0;
    while flood < 1500 || begin.elapsed() < Duration::from_secs(3) {
        let body = serde_json::json!({ "variables": { "noise": noise } });
        let path = "events/user/noise";
        let answer = ari.request(reqwest::Method::POST, path, &[("application", "usher")], Some(body)).await.unwrap();
        assert!(answer.status < 500, "{} {}", answer.status, answer.body);
        flood += 1;
    }
    rig.usher().unwrap().thaw();

    // What happened meanwhile is known: the talk is over, one has left, the third still rings and is answered.
    assert_eq!(talking.hung_up(SOON).await.unwrap().by, Side::Them);
    ready_says(&rig, 200, RECONNECTED).await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    assert_eq!(story(&rig, "5550003").await.outcome, "abandoned");
    assert!(ringing.state().ended.is_none());
    assert!(rung.state().ended.is_none(), "the phone of the caller who waits rings on");
    ringing.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550004").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_leg_that_asterisk_hangs_up_because_of_a_gap_is_not_held_against_the_member() {
    let rig = house("f2unsure").logged_on(&["1000"]).sql(&times(30, 60)).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    let member = rig.phones.phone("1000").unwrap();
    member.behave(Behaviour::Ignore);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    member.rung(1, SOON).await.unwrap();
    ari.refuse();
    ari.cut();
    ready_says(&rig, 503, SEEN).await;
    ari.heal();
    ready_says(&rig, 200, RECONNECTED).await;
    log_says_times(&rig, "in step with Asterisk", 2).await;
    // What Asterisk does to a leg that was answered while the application was away, only later.
    answers(member);
    let channels = rig.pbx.channels().await.unwrap();
    let leg = channels.iter().find(|c| c["name"].as_str().is_some_and(|name| name.starts_with("PJSIP/1000-"))).unwrap();
    let leg = leg["id"].as_str().unwrap();
    rig.pbx.ari().delete(&format!("channels/{leg}"), &[("reason_code", "16")]).await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_at_once_after_the_join_has_talked_however_late_both_are_heard() {
    let rig = house("atonce").logged_on(&["1000"]).sql(&times(30, 60)).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    let member = rig.phones.phone("1000").unwrap();
    member.behave(Behaviour::Ignore);
    let caller = enter(&rig, "5550001").await;
    let leg = member.rung(1, SOON).await.unwrap();
    ari.delay(Duration::from_millis(600));
    leg.answer().await.unwrap();
    is_served(&rig, "5550001").await;
    // The answer to the order to join is on its way, and is read together with the end of the call.
    rig.usher().unwrap().freeze().unwrap();
    ari.tap();
    caller.hang_up().await.unwrap();
    wait::until("the end of the caller's leg is on its way", SOON, || async {
        let passed: Vec<u8> = ari.tapped().into_iter().flat_map(|tapped| tapped.bytes).collect();
        anyhow::ensure!(String::from_utf8_lossy(&passed).contains("ChannelDestroyed"), "not yet");
        Ok(())
    })
    .await
    .unwrap();
    rig.usher().unwrap().thaw();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
