//! The main job.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, CallSpec, Side},
    rig::Rig,
};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_calls_enters_1111_and_gets_the_member_who_logged_on() {
    let rig = Rig::builder().name("first").usher(env!("CARGO_BIN_EXE_usher")).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();

    let agent = rig.phones.phone("1000").unwrap();
    let feature = agent.dial("*56466*").await.unwrap();
    feature.wait_for_prompt(&prompts, "logon", SOON).await.unwrap();
    feature.hung_up(SOON).await.unwrap();

    agent.behave(Behaviour::AnswerAfter(Duration::from_millis(300)));
    let caller = rig.phones.call(&CallSpec::new("5551001", "0000")).await.unwrap();
    caller.wait_for_prompt(&prompts, "welcome", SOON).await.unwrap();
    caller.press("1").await.unwrap();
    caller.wait_for_prompt(&prompts, "inform_code", SOON).await.unwrap();
    caller.press("1111").await.unwrap();
    let leg = agent.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    caller.audio().say_tone(1100);
    leg.audio().say_tone(700);
    leg.wait_for_tone(1100, SOON).await.unwrap();
    caller.wait_for_tone(700, SOON).await.unwrap();
    leg.hang_up().await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
