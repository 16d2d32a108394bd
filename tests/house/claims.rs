//! Calls that agents take, or leave to others, from their clients.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Ears, Phone},
    rig::Rig,
    xmpp::Received,
};
use xmpp_parsers::minidom::Element;

use crate::{
    aid::{SOON, answers, enter_with, house, log_says, story, talk, times},
    counter::Person,
    steps::{command, value, wait_for_value},
};

const QUICK_RESPONSE: &str = "urn:xmpp:tmp:quick-response";
const MESSAGE_CORRECT: &str = "urn:xmpp:message-correct:0";

/// Two members; callers are kept for claims for a minute.
async fn kept_for_claims(name: &str) -> Rig {
    let claim = "UPDATE queues SET claim_seconds = 60";
    house(name).logged_on(&["1000", "2000"]).sql(&times(30, 300)).sql(claim).start().await.unwrap()
}

fn phones(rig: &Rig) -> (&Phone, &Phone) {
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    for phone in [one, two] {
        answers(phone);
        phone.set_ears(Ears::Open);
    }
    (one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_kept_for_claims_is_the_first_agents_who_says_take_and_the_others_are_told() {
    let rig = kept_for_claims("claimtake").await;
    let (one, two) = phones(&rig);
    let (mut first, mut second) = (Person::connect(&rig, "user2").await, Person::connect(&rig, "user1").await);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let announced = first.client.wait_for_message(SOON, |message| message.body.is_some()).await.unwrap();
    assert_eq!(announced.body.unwrap(), "Support: Customer Company 1\nAnswer \"take 1111\" or \"decline 1111\".");
    let buttons: Vec<(&str, &str)> = announced
        .message
        .payloads
        .iter()
        .filter(|payload| payload.is("response", QUICK_RESPONSE))
        .map(|payload: &Element| (payload.attr("value").unwrap(), payload.attr("label").unwrap()))
        .collect();
    assert_eq!(buttons, [("take 1111", "Take"), ("decline 1111", "Decline")]);
    assert_eq!((one.rings_so_far(), two.rings_so_far()), (0, 0), "rung before anybody has asked");

    first.is_told("take 1111", "Company 1 (1111) is yours: your phone rings.").await;
    let leg = two.rung(1, SOON).await.unwrap();
    second.is_told("take", "Too late: 2000 has it.").await;
    talk(&caller, &leg).await;
    second.is_told("Tomar 1111", "Tarde: la tiene 2000.").await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    second.is_told("take", "Nobody waits for you to take.").await;
    assert_eq!(one.rings_so_far(), 0);
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    let rule = "SELECT detail->'why'->>'rule' FROM call_events WHERE kind = 'offered'";
    wait_for_value(&rig, rule, "claimed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_takes_is_rung_by_the_strategy_when_the_time_is_over() {
    let rig = kept_for_claims("claimover").await;
    let (one, _) = phones(&rig);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let changed = command(&rig, &["queue", "change", "support", "--claim", "1s"]).await;
    assert!(changed.status.success(), "{changed:?}");
    talk(&caller, &one.rung(1, SOON).await.unwrap()).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_declined_while_it_rings_goes_to_the_next_with_the_reason_in_its_story() {
    let rig = house("claimdecline").logged_on(&["1000", "2000"]).sql(&times(30, 300)).start().await.unwrap();
    let (one, two) = phones(&rig);
    one.behave(Behaviour::Ignore);
    let mut agent = Person::connect(&rig, "user1").await;
    agent.is_told("decline", "Nothing is offered to you.").await;
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let rung = one.rung(1, SOON).await.unwrap();
    agent.is_told("decline café & <té>", "Company 1 (1111) goes to the others.").await;
    rung.hung_up(SOON).await.unwrap();
    talk(&caller, &two.rung(1, SOON).await.unwrap()).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(one.rings_so_far(), 1);
    let declined = "SELECT extension || ': ' || (detail->>'reason') FROM call_events WHERE kind = 'declined'";
    wait_for_value(&rig, declined, "1000: café & <té>").await;
    let call = value(&rig, "SELECT id FROM calls").await.unwrap();
    let why = String::from_utf8(command(&rig, &["why", &call]).await.stdout).unwrap();
    assert!(why.contains("1000 declined it: café & <té>"), "{why}");
}

/// What an agent's client shows of a caller: the first message, and in its place what corrects it.
async fn shows(agent: &Person, last: &str) -> Vec<String> {
    let about = |message: &Received| message.body.as_ref().is_some_and(|body| body.starts_with("Support: Customer"));
    agent
        .client
        .wait_for_message(SOON, |message| about(message) && message.body.as_ref().unwrap().ends_with(last))
        .await
        .unwrap();
    let all: Vec<Received> = agent.client.messages().into_iter().filter(about).collect();
    let first = all[0].message.id.clone().unwrap().0;
    for message in &all[1..] {
        let replaces = message.message.payloads.iter().find(|payload| payload.is("replace", MESSAGE_CORRECT));
        assert_eq!(replaces.and_then(|replace| replace.attr("id")), Some(first.as_str()), "{message:?}");
        let has_buttons = message.message.payloads.iter().any(|payload| payload.is("response", QUICK_RESPONSE));
        assert_eq!(has_buttons, message.body.as_ref().unwrap().contains("Answer"), "{message:?}");
    }
    all.into_iter().map(|message| message.body.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_about_a_caller_says_where_it_rings_and_then_who_has_taken_them() {
    let names = "UPDATE extensions SET name = 'Ana, \"<&> ñ' WHERE number = '2000'";
    let rig = house("corrected").logged_on(&["1000", "2000"]).sql(&times(3, 300)).sql(names).start().await.unwrap();
    let (one, two) = phones(&rig);
    one.behave(Behaviour::Ignore);
    two.behave(Behaviour::AnswerAfter(Duration::from_secs(2)));
    let (first, second) = (Person::connect(&rig, "user1").await, Person::connect(&rig, "user2").await);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    talk(&caller, &two.rung(1, SOON).await.unwrap()).await;
    for agent in [&first, &second] {
        assert_eq!(
            shows(agent, "taken by 2000 (Ana, \"<&> ñ)").await,
            [
                "Support: Customer Company 1",
                "Support: Customer Company 1\n→ rings at 1000 (Agent One)",
                "Support: Customer Company 1\n→ rings at 2000 (Ana, \"<&> ñ)",
                "Support: Customer Company 1\n→ taken by 2000 (Ana, \"<&> ñ)",
            ]
        );
    }
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_about_a_caller_who_hangs_up_says_so_and_can_be_answered_no_more() {
    let rig = kept_for_claims("correctedgone").await;
    phones(&rig);
    let agent = Person::connect(&rig, "user1").await;
    let caller = enter_with(&rig, "5550001", Ears::Closed).await;
    agent.client.wait_for_message(SOON, |message| message.body.is_some()).await.unwrap();
    caller.hang_up().await.unwrap();
    assert_eq!(
        shows(&agent, "→ hung up").await,
        [
            "Support: Customer Company 1\nAnswer \"take 1111\" or \"decline 1111\".",
            "Support: Customer Company 1\n→ hung up"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_corrections_are_off_the_first_message_is_the_only_one() {
    let rig = house("uncorrected").config("xmpp", "corrections = false").logged_on(&["1000"]).start().await.unwrap();
    let (one, _) = phones(&rig);
    let mut agent = Person::connect(&rig, "user1").await;
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    talk(&caller, &one.rung(1, SOON).await.unwrap()).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    // A second call is announced long after a correction of the first would have come.
    let caller = enter_with(&rig, "5550002", Ears::Open).await;
    talk(&caller, &one.rung(2, SOON).await.unwrap()).await;
    agent.is_told("take", "Nobody waits for you to take.").await;
    let bodies = agent.client.messages().into_iter().filter_map(|message| message.body);
    let about: Vec<String> = bodies.filter(|body| body.starts_with("Support: Customer")).collect();
    assert_eq!(about, ["Support: Customer Company 1", "Support: Customer Company 1"]);
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_is_at_no_client_is_rung_all_the_same_and_it_is_counted_that_messages_do_not_reach_them() {
    let rig = house("atnoclient").logged_on(&["1000"]).start().await.unwrap();
    let (one, _) = phones(&rig);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    talk(&caller, &one.rung(1, SOON).await.unwrap()).await;
    log_says(&rig, "messages do not reach this address", SOON).await;
    let shown: serde_json::Value = rig.usher().unwrap().ready_body().await.unwrap();
    let count = |name: &str| shown["counters"]["xmpp"][name].as_u64().unwrap();
    assert!(count("messages") >= 1 && count("returned") >= 1 && count("lost") == 0, "{shown}");
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
