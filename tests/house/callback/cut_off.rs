//! Callbacks of a service that is cut off from the database, alone: whoever takes its place knows what it has promised and done.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Leg, Side},
    rig::Rig,
    sound::heard,
    usher::Usher,
    wait,
};

use super::{CUSTOMER, both_talk, calls_back, customer_asks, customer_enters, keep_busy};
use crate::{
    aid::{SOON, answers, beside, enter, house, in_the_queue, is_served, log_says, says, story, talk, talking, times},
    steps::{ringings, value, wait_for_value},
};

/// Until another one is active, and has looked around.
const TAKEN_OVER: Duration = Duration::from_secs(15);

/// Another one, which reaches the database, takes the place of the first.
pub async fn is_replaced(rig: &Rig, by: &Usher) {
    wait::until("the other one is active", TAKEN_OVER, || by.is("active")).await.unwrap();
    says(by, 200, TAKEN_OVER).await;
    // The link is up a moment before it has looked: who hangs up in between is found by nobody.
    wait::until("the other one has looked at Asterisk", TAKEN_OVER, || async {
        anyhow::ensure!(by.log()?.contains("in step with Asterisk"), "not yet");
        Ok(())
    })
    .await
    .unwrap();
    wait::until("the first one stands by", TAKEN_OVER, || rig.usher().unwrap().is("standby")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_has_talked_is_not_called_again_by_one_that_could_not_be_told() {
    let rig = calls_back("cbcuttalk", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    rig.proxies.as_ref().unwrap().postgres.blackhole();
    answers(customer);
    other.hang_up().await.unwrap();
    let (called, _) = both_talk((member, 2), (customer, 1)).await;
    called.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(value(&rig, "SELECT string_agg(state, ',') FROM callbacks").await.unwrap(), "waiting");

    let second = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    is_replaced(&rig, &second).await;
    wait_for_value(&rig, "SELECT string_agg(state, ',') FROM callbacks", "ended").await;
    let told = story(&rig, CUSTOMER).await;
    assert_eq!((told.outcome.as_str(), told.answered_by.as_str()), ("completed", "1000"));
    assert_eq!((customer.invites().len(), member.rings_so_far()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_that_the_database_was_not_told_of_count() {
    let rig = calls_back("cbcuttries", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    rig.proxies.as_ref().unwrap().postgres.blackhole();
    customer.behave(Behaviour::Busy);
    other.hang_up().await.unwrap();
    // The second follows 2 s after the first.
    customer.rung(2, SOON).await.unwrap();
    let second = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    is_replaced(&rig, &second).await;
    wait_for_value(&rig, "SELECT string_agg(state, ',') FROM callbacks", "ended").await;
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "not_reached");
    assert_eq!(customer.invites().len(), 3, "it was to be tried three times");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_promised_what_the_next_one_would_not_know_of() {
    let rig = calls_back("cbcutasks", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let second = Usher::stand_by(&rig.instance, &beside(&rig)).await.unwrap();
    let other = keep_busy(&rig, member).await;
    let caller = customer_enters(&rig).await;
    rig.proxies.as_ref().unwrap().postgres.blackhole();
    caller.press("*").await.unwrap();
    log_says(&rig, "is to be called back", SOON).await;
    is_replaced(&rig, &second).await;
    // Nobody has told them anything, and they wait as before.
    let prompts = rig.pbx.prompts("en").unwrap();
    let told = heard(&caller.audio().recording(), &prompts.only("call_back").unwrap());
    assert!(told.is_empty(), "promised by the one that was replaced: {told:?}");
    caller.press("*").await.unwrap();
    caller.wait_for_prompt(&prompts, "call_back", SOON).await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    answers(customer);
    other.hang_up().await.unwrap();
    let (called, _) = both_talk((member, 2), (customer, 1)).await;
    called.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_for_everybody_callers_are_promised_and_called_all_the_same() {
    let rig = calls_back("cbcutall", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    let postgres = &rig.proxies.as_ref().unwrap().postgres;
    let caller = customer_enters(&rig).await;
    postgres.blackhole();
    caller.press("*").await.unwrap();
    caller.wait_for_prompt(&rig.pbx.prompts("en").unwrap(), "call_back", TAKEN_OVER).await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    answers(customer);
    other.hang_up().await.unwrap();
    let (called, _) = both_talk((member, 2), (customer, 1)).await;
    called.hang_up().await.unwrap();
    postgres.heal();
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
}

/// A customer who has asked calls again, which the database is not told of any more.
async fn calls_again(rig: &Rig) -> Leg {
    let caller = rig.phones.phone(CUSTOMER).unwrap().dial("0000").await.unwrap();
    caller.answered(SOON).await.unwrap();
    caller.press("1111").await.unwrap();
    rig.proxies.as_ref().unwrap().postgres.blackhole();
    caller.press("1").await.unwrap();
    in_the_queue(rig, CUSTOMER).await;
    caller
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_has_called_again_and_talked_is_not_called_by_one_that_could_not_be_told() {
    let rig = calls_back("cbcutagain", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    wait_for_value(&rig, "SELECT state FROM callbacks", "waiting").await;
    let caller = calls_again(&rig).await;
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    answers(customer);
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let next = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    is_replaced(&rig, &next).await;
    wait_for_value(&rig, "SELECT string_agg(state, ',') FROM callbacks", "ended").await;
    wait_for_value(&rig, "SELECT string_agg(outcome, ',') FROM calls WHERE outcome = 'called_again'", "called_again")
        .await;
    assert_eq!((customer.invites().len(), member.rings_so_far()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_has_called_again_and_waits_at_the_takeover_is_served_once() {
    let rig = calls_back("cbcutwaits", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    wait_for_value(&rig, "SELECT state FROM callbacks", "waiting").await;
    let later = enter(&rig, "5550002").await;
    let caller = calls_again(&rig).await;
    let next = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    is_replaced(&rig, &next).await;
    answers(customer);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    member.rung(3, SOON).await.unwrap().answered(SOON).await.unwrap();
    let shown: Vec<String> = ringings(member).into_iter().map(|(_, number, _)| number).collect();
    assert_eq!(shown, ["5550001", CUSTOMER, "5550002"]);
    later.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(value(&rig, "SELECT string_agg(state, ',') FROM callbacks").await.unwrap(), "ended");
    assert_eq!(customer.invites().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_a_table_is_locked_is_told_and_hung_up_all_the_same() {
    let rig = calls_back("cbcutlock", &["1000"]).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    let other = keep_busy(&rig, member).await;
    let caller = customer_enters(&rig).await;
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    // What an index takes while it is made.
    client.batch_execute("BEGIN; LOCK TABLE call_events IN SHARE MODE").await.unwrap();
    caller.press("*").await.unwrap();
    caller.wait_for_prompt(&rig.pbx.prompts("en").unwrap(), "call_back", TAKEN_OVER).await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    client.batch_execute("COMMIT").await.unwrap();
    wait_for_value(&rig, "SELECT state FROM callbacks", "waiting").await;
    other.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_that_began_while_nothing_could_be_written_is_on_record_when_it_was_taken_over() {
    let rig = house("cuttalk").logged_on(&["1000"]).sql(&times(15, 600)).proxies().start().await.unwrap();
    // The customer is known from before.
    let before = talking(&rig, "5550009", "1000").await;
    before.0.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    rig.proxies.as_ref().unwrap().postgres.blackhole();
    let (first, leg) = talking(&rig, "5550001", "1000").await;
    let waiting = enter(&rig, "5550002").await;
    let next = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    is_replaced(&rig, &next).await;
    first.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    is_served(&rig, "5550002").await;
    waiting.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    for from in ["5550001", "5550002"] {
        let told = story(&rig, from).await;
        assert_eq!((told.outcome.as_str(), told.answered_by.as_str()), ("completed", "1000"), "{from}");
        assert_eq!(told.events.iter().filter(|kind| *kind == "entered").count(), 1, "{from}: {:?}", told.events);
    }
}
