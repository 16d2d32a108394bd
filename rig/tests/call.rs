//! A real call between the two servers, with everything that scenarios rely on.
use std::time::{Duration, Instant};

use usher_rig::{
    instance::Instance,
    pbx::{Pbx, PbxSpec, PhoneState},
    phones::{Behaviour, CallSpec, Phones, Side},
};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn phones_register_callers_hear_the_menu_and_both_sides_hear_each_other() {
    let begin = Instant::now();
    let instance = Instance::new().unwrap();
    let agi = instance.port().unwrap();
    let pbx = Pbx::start(&instance, &PbxSpec::shipped(agi)).await.unwrap();
    println!("pbx up after {:?}", begin.elapsed());
    let phones = Phones::start(&instance, &pbx).await.unwrap();
    println!("phones up after {:?}", begin.elapsed());
    for number in ["1000", "2000", "3000"] {
        pbx.wait_for_phone(number, PhoneState::Online, SOON).await.unwrap();
    }
    println!("registered after {:?}", begin.elapsed());
    let prompts = pbx.prompts("en").unwrap();

    // The menu, then key 2 rings 2000.
    let desk = phones.phone("2000").unwrap();
    desk.behave(Behaviour::AnswerAfter(Duration::from_millis(200)));
    let caller = phones.call(&CallSpec::new("5551001", "0000")).await.unwrap();
    caller.answered(SOON).await.unwrap();
    for name in ["welcome", "ivr", "ivr_option1", "ivr_option2"] {
        let heard = caller.wait_for_prompt(&prompts, name, SOON).await.unwrap();
        println!("heard {heard:?}");
    }
    caller.press("2").await.unwrap();
    let leg = desk.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    println!("{:?}", desk.events());
    assert!(format!("{:?}", desk.events()).contains("5551001"), "the caller's number is shown");
    caller.audio().say_tone(1100);
    leg.audio().say_tone(700);
    leg.wait_for_tone(1100, SOON).await.unwrap();
    caller.wait_for_tone(700, SOON).await.unwrap();

    // Keys arrive, each once.
    caller.press("1234*#").await.unwrap();
    leg.wait_for("keys", SOON, |state| state.digits.len() >= 6).await.unwrap();
    assert_eq!(leg.state().digits, "1234*#");

    leg.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Us);
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    pbx.wait_until_empty(SOON).await.unwrap();
}
