//! What a caller lives through: the menu, the customer code, the queue and its ways out.

use std::time::Duration;

use serde_json::Value;
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Side},
    xmpp::Client,
};

use crate::steps::{Crm, SOON, ask_for_code, call_support, heard, house, key_in, ringings, variable, wait_for_value};

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_caller_who_presses_nothing_reaches_3000_and_hears_goodbye_if_nobody_answers() {
    let rig = house("p1").global("USHER_RING_SECONDS=2").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let caller = rig.phones.call(&CallSpec::new("5551001", "0000")).await.unwrap();
    caller.wait_for_prompt(&prompts, "ivr_nooption", SOON).await.unwrap();
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "bye", SOON).await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    assert_eq!(rig.phones.phone("2000").unwrap().rings_so_far(), 0);
    assert_eq!(rig.pbx.cli("dialplan show globals").await.unwrap().matches("USHER_NO_KEY_SECONDS=3").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_caller_who_presses_2_reaches_2000() {
    let rig = house("p2").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let sales = rig.phones.phone("2000").unwrap();
    sales.behave(Behaviour::AnswerAfter(Duration::from_millis(200)));
    let caller = rig.phones.call(&CallSpec::new("5551001", "0000")).await.unwrap();
    caller.wait_for_prompt(&prompts, "welcome", SOON).await.unwrap();
    caller.press("2").await.unwrap();
    let leg = sales.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    caller.audio().say_tone(1100);
    leg.wait_for_tone(1100, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_wrong_key_leads_back_to_the_menu_without_welcome_and_the_third_to_goodbye() {
    let rig = house("p3").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let caller = rig.phones.call(&CallSpec::new("5551001", "0000")).await.unwrap();
    caller.wait_for_prompt(&prompts, "welcome", SOON).await.unwrap();
    for _ in 0..2 {
        caller.press("9").await.unwrap();
        caller.wait_for_prompt(&prompts, "invalid_option", SOON).await.unwrap();
        caller.wait_for_prompt(&prompts, "ivr_option1", SOON).await.unwrap();
    }
    caller.press("9").await.unwrap();
    caller.wait_for_prompt(&prompts, "invalid_option", SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "bye", SOON).await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    let count = |name: &str| heard(&rig, &caller).iter().filter(|prompt| *prompt == name).count();
    assert_eq!((count("welcome"), count("invalid_option"), count("bye")), (1, 3, 1));
    assert_eq!(rig.phones.all().map(usher_rig::phones::Phone::rings_so_far).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_the_code_1111_is_customer_1_company_1() {
    let rig = house("p4").logged_on(&["1000"]).start().await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    assert_eq!(variable(&rig, "5551001", "CUSTOMER_ID").await.unwrap(), "1");
    assert_eq!(variable(&rig, "5551001", "CUSTOMER_NAME").await.unwrap(), "Company 1");
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_an_unknown_code_is_asked_for_three_times_looked_up_three_times_and_ends_in_goodbye() {
    let rig = house("p5").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let (mut events, _reader) = rig.pbx.ari().events("witness").await.unwrap();
    let caller = ask_for_code(&rig, &CallSpec::new("5551001", "0000")).await;
    for _ in 0..2 {
        caller.press("9999").await.unwrap();
        for prompt in ["invalid_code", "try_again", "inform_code"] {
            caller.wait_for_prompt(&prompts, prompt, SOON).await.unwrap();
        }
    }
    caller.press("9999").await.unwrap();
    caller.wait_for_prompt(&prompts, "invalid_code", SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "bye", SOON).await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    assert_eq!(heard(&rig, &caller).iter().filter(|prompt| *prompt == "try_again").count(), 2);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let mut answers = Vec::new();
    while let Ok(event) = events.try_recv() {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("type") == "ChannelVarset" && text("variable") == "USHER_RESULT" && !text("value").is_empty() {
            answers.push(text("value"));
        }
    }
    assert_eq!(answers, ["UNKNOWN", "UNKNOWN", "UNKNOWN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_caller_who_mistyped_goes_on_with_the_right_code() {
    let rig = house("p6").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let caller = call_support(&rig, "5551001", "9999").await;
    caller.wait_for_prompt(&prompts, "try_again", SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "inform_code", SOON).await.unwrap();
    caller.press("2222").await.unwrap();
    let (_, pop) = crm.pop("ringing").await;
    assert_eq!((pop.customer.id, pop.customer.code.as_str(), pop.customer.name.as_str()), (2, "2222", "Company 2"));
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_with_nobody_logged_on_the_caller_is_told_and_3000_rings_and_nothing_is_published() {
    let rig = house("p16").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    caller.wait_for_prompt(&prompts, "no_members", SOON).await.unwrap();
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    wait_for_value(&rig, "SELECT outcome FROM calls", "no_members").await;
    assert_eq!(crm.pops(), []);
    for extension in ["1000", "2000", "3000"] {
        let crm = Client::connect(&rig.prosody, "crm").await.unwrap();
        assert_eq!(crm.items(&format!("extension{extension}")).await.unwrap(), []);
    }
    assert!(agent.messages().iter().all(|message| message.body.is_none()), "{:?}", agent.messages());
}

#[tokio::test(flavor = "multi_thread")]
async fn p18_a_caller_who_hides_the_number_is_delivered_like_another() {
    let rig = house("p18").logged_on(&["1000"]).start().await.unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let spec = CallSpec { from: None, to: "0000".into(), ears: Ears::Open };
    let caller = key_in(&rig, &spec, "1111").await;
    let phone = rig.phones.phone("1000").unwrap();
    phone.rung(1, SOON).await.unwrap();
    let (_, number, name) = ringings(phone).remove(0);
    assert_eq!(name, "Company 1");
    assert!(!number.contains("anonymous") && number.parse::<u64>().is_err(), "{number}");
    assert_eq!(crm.pop("ringing").await.1.caller.number, "");
    caller.hang_up().await.unwrap();
    wait_for_value(&rig, "SELECT caller_number || outcome FROM calls", "abandoned").await;
}

/// The number that reaches the switchboard, as `number` on its channel shows it, and what of it is a line of the caller's own.
const TWO_LINES: &str = "\"5551001\" <5551001\nagi_arg_1: 9999>";

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_number_holds_a_line_end_is_asked_for_the_code_and_served_like_one_who_hides_the_number() {
    let rig = house("lineend").logged_on(&["1000"]).start().await.unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let (mut events, _reader) = rig.pbx.ari().events("witness").await.unwrap();
    let caller = call_support(&rig, TWO_LINES, "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    let (_, pop) = crm.pop("ringing").await;
    assert_eq!((pop.customer.code.as_str(), pop.caller.number.as_str()), ("1111", ""));
    let mut came = false;
    while let Ok(event) = events.try_recv() {
        came |= event.pointer("/channel/caller/number").and_then(Value::as_str).is_some_and(|it| it.contains('\n'));
    }
    assert!(came, "the number never reached Asterisk with its line end: this test shows nothing");
    caller.hang_up().await.unwrap();
    wait_for_value(&rig, "SELECT caller_number || outcome FROM calls", "abandoned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialplan_that_lets_line_ends_through_gets_no_answer_to_what_the_caller_made_of_the_request() {
    let rig = house("smuggle").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    rig.pbx.cli("dialplan add extension s,2,NoOp into usher-caller replace").await.unwrap();
    for (lines, why) in
        [("agi_arg_1: 9999", "a header comes twice"), ("agi_arg_1: 9999\n\n200 result=1", "the headers end too early")]
    {
        let caller = call_support(&rig, &format!("\"5551001\" <5551001\n{lines}>"), "1111").await;
        caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
        caller.hang_up().await.unwrap();
        crate::aid::log_says(&rig, &format!("{why}: the caller's number or name holds line ends"), SOON).await;
        rig.pbx.wait_until_empty(SOON).await.unwrap();
    }
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p19_a_customers_name_is_delivered_as_it_is_written() {
    let rig = house("p19").logged_on(&["1000"]).start().await.unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let names = [("3333", "A & B <C>"), ("4444", "X,Y"), ("5555", "X|Y"), ("6666", "Šárka \"Ünïcode\" 株式会社")];
    let phone = rig.phones.phone("1000").unwrap();
    for (count, (code, name)) in names.into_iter().enumerate() {
        let crm = Crm::watch(&rig, "1000").await;
        let caller = call_support(&rig, "5551001", code).await;
        let body = format!("Support: Customer {name}");
        agent.wait_for_message(SOON, |message| message.body.as_deref() == Some(&body)).await.unwrap();
        let (_, pop) = crm.pop("ringing").await;
        assert_eq!((pop.customer.code.as_str(), pop.customer.name.as_str()), (code, name));
        phone.rung(count + 1, SOON).await.unwrap();
        assert_eq!(variable(&rig, "5551001", "CUSTOMER_NAME").await.unwrap(), name);
        // A SIP display name stands in quotes; what could end them is left out there, and only there.
        let shown = name.replace(['"', '<', '>'], "");
        assert_eq!(ringings(phone).pop().unwrap().2, shown, "what the phone shows");
        caller.hang_up().await.unwrap();
        crm.closed(&pop.call).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_nobody_answers_in_time_is_told_and_3000_rings() {
    let rig =
        house("timeout").logged_on(&["1000"]).sql("UPDATE queues SET queue_timeout_seconds = 4").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "timed_out", SOON).await.unwrap();
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    crm.pop("withdrawn").await;
    wait_for_value(&rig, "SELECT outcome FROM calls", "timed_out").await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_reach_the_fallback_when_the_last_member_logs_off() {
    let rig = house("lastoff").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    let phone = rig.phones.phone("1000").unwrap();
    let leg = phone.rung(1, SOON).await.unwrap();
    crate::steps::sql(&rig, "UPDATE memberships SET logged_on = false").await;
    leg.hung_up(SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "no_members", SOON).await.unwrap();
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greeting_goes_on_while_the_phone_rings_music_follows_and_an_answer_cuts_either_short() {
    let rig = house("greeting").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    caller.wait_for_prompt(&prompts, "support_team", SOON).await.unwrap();
    let leg = phone.rung(1, SOON).await.unwrap();
    let music = usher_rig::sound::Prompts::load(&usher_rig::pbx::shipped_conf().join("sounds/usher-music")).unwrap();
    caller.wait_for_prompt(&music, "tune", SOON).await.unwrap();
    assert!(leg.state().ended.is_none() && leg.state().answered.is_none());
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let second = call_support(&rig, "5551002", "1111").await;
    let leg = phone.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    leg.audio().say_tone(700);
    second.wait_for_tone(700, Duration::from_secs(2)).await.unwrap();
    assert!(!heard(&rig, &second).contains(&"tune".to_owned()));
}
