//! An operator stops the service, and what callers meet while it is away.

use std::time::Duration;

use usher_rig::phones::{Behaviour, CallSpec};

use crate::steps::{SOON, call_support, house, wait_for_value};

const WITHIN: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_gives_waiting_callers_to_app_queue_leaves_talks_alone_and_ends_well() {
    let rig = house("sigterm").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let talking = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    let waiting = call_support(&rig, "5551002", "2222").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls", "2").await;

    let begin = std::time::Instant::now();
    let status = rig.usher().unwrap().stop().await.unwrap();
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < WITHIN, "{:?}", begin.elapsed());
    waiting.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    leg.audio().say_tone(700);
    talking.wait_for_tone(700, SOON).await.unwrap();
    assert_eq!(phone.rings_so_far(), 1);
    talking.hang_up().await.unwrap();
    leg.hang_up().await.unwrap();
    phone.rung(2, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert_eq!(crate::steps::ringings(phone).pop().unwrap().1, "5551002");
    wait_for_value(&rig, "SELECT outcome FROM calls WHERE caller_number = '5551002'", "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_service_is_away_callers_are_told_and_3000_rings_and_members_are_told_too() {
    let rig = house("away").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    rig.usher().unwrap().kill().await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    let member = rig.phones.phone("1000").unwrap().dial("*56466*").await.unwrap();
    member.wait_for_prompt(&prompts, "not_available", SOON).await.unwrap();
    member.hung_up(SOON).await.unwrap();
    let sales = rig.phones.call(&CallSpec::new("5551002", "0000")).await.unwrap();
    sales.wait_for_prompt(&prompts, "welcome", SOON).await.unwrap();
    sales.press("2").await.unwrap();
    rig.phones.phone("2000").unwrap().rung(1, SOON).await.unwrap();
}
