//! The service falls silent for good: what the dialplan does for those whom it had taken over.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Ears, Side},
    rig::Rig,
    sound::Prompts,
    wait,
};

use crate::aid::{
    RECONNECTED, SOON, a_call_works, answers, app_queue_has, enter_with, house, key_in, ready_says, story, talk, times,
};

/// How long callers who wait stay with a silent service here.
const BOUND: Duration = Duration::from_secs(3);

async fn short(name: &str) -> Rig {
    let rig = house(name).global("USHER_SILENCE_SECONDS=3").logged_on(&["1000"]).sql(&times(2, 300));
    let rig = rig.start().await.unwrap();
    app_queue_has(&rig, &["1000"]).await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_kept_as_long_as_the_service_lives_and_rung_for_by_app_queue_when_it_is_dead_for_good() {
    let rig = short("silentwait").await;
    let prompts = rig.pbx.prompts("en").unwrap();
    let member = rig.phones.phone("1000").unwrap();
    member.behave(Behaviour::Reject);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    member.rung(1, SOON).await.unwrap();
    // Not a wait for anything: so long nothing must happen.
    tokio::time::sleep(BOUND * 3).await;
    let channels = rig.pbx.channels().await.unwrap();
    let inside = channels.iter().filter(|channel| channel["dialplan"]["app_name"] == "Stasis").count();
    assert_eq!(inside, 1, "{channels:?}");

    answers(member);
    rig.usher().unwrap().kill().await.unwrap();
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    // That call is app_queue's: the service leaves it alone, and its own record of it ends.
    rig.usher().unwrap().start_again().await.unwrap();
    tokio::time::sleep(BOUND * 2).await;
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_is_never_cut_and_ends_for_the_member_as_well_when_the_caller_hangs_up_on_a_dead_service() {
    let rig = short("silenttalk").await;
    let member = rig.phones.phone("1000").unwrap();
    for round in 1..=2 {
        answers(member);
        let from = format!("555000{round}");
        let caller = enter_with(&rig, &from, Ears::Open).await;
        let leg = member.rung(round, SOON).await.unwrap();
        leg.answered(SOON).await.unwrap();
        talk(&caller, &leg).await;
        if round == 1 {
            rig.usher().unwrap().kill().await.unwrap();
        } else {
            assert!(rig.usher().unwrap().stop().await.unwrap().success());
        }
        // Longer than any bound: the talk has none.
        tokio::time::sleep(BOUND * 4).await;
        talk(&caller, &leg).await;
        caller.hang_up().await.unwrap();
        assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
        // The bridge has nobody in it, and goes when the service is back.
        rig.usher().unwrap().start_again().await.unwrap();
        rig.pbx.wait_until_empty(SOON).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_answers_a_service_that_hangs_is_let_go_and_so_is_the_caller() {
    let rig = short("silentleg").await;
    let member = rig.phones.phone("1000").unwrap();
    member.behave(Behaviour::Ignore);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let leg = member.rung(1, SOON).await.unwrap();
    rig.usher().unwrap().freeze().unwrap();
    leg.answer().await.unwrap();
    leg.answered(SOON).await.unwrap();
    wait::until("the dialplan has the caller back", SOON, || async {
        let channels = rig.pbx.channels().await?;
        anyhow::ensure!(channels.iter().any(|c| c["dialplan"]["context"] == "usher-away"), "{channels:?}");
        Ok(())
    })
    .await
    .unwrap();
    // The ring time of 2 s, Asterisk's 5 s on top, and the bound.
    assert_eq!(leg.hung_up(Duration::from_secs(15)).await.unwrap().by, Side::Them);
    caller.hang_up().await.unwrap();
    rig.usher().unwrap().thaw();
    ready_says(&rig, 200, RECONNECTED).await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_dialplan_took_back_while_the_link_was_cut_is_in_no_line_any_more() {
    let rig = house("silentlink").global("USHER_SILENCE_SECONDS=3").logged_on(&["1000"]).sql(&times(2, 300)).proxies();
    let rig = rig.start().await.unwrap();
    app_queue_has(&rig, &["1000"]).await;
    let ari = &rig.proxies.as_ref().unwrap().ari;
    let member = rig.phones.phone("1000").unwrap();
    member.behave(Behaviour::Reject);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    member.rung(1, SOON).await.unwrap();
    answers(member);
    ari.refuse();
    ari.cut();
    // app_queue rings the same member.
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    ari.heal();
    ready_says(&rig, 200, RECONNECTED).await;
    // The service's own record of the call ends, and the talk goes on.
    assert_eq!(story(&rig, "5550001").await.outcome, "abandoned");
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(member.rings_so_far(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_the_link_is_silent_hears_music_until_the_service_is_back() {
    let rig = house("silentmusic").proxies().logged_on(&["1000"]).sql(&times(15, 300)).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    rig.proxies.as_ref().unwrap().ari.blackhole();
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    let music = Prompts::load(&usher_rig::pbx::shipped_conf().join("sounds/usher-music")).unwrap();
    caller.wait_for_prompt(&music, "tune", SOON).await.unwrap();
    ready_says(&rig, 503, RECONNECTED).await;
    rig.proxies.as_ref().unwrap().ari.heal();
    let leg = member.rung(1, RECONNECTED).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
