//! Callbacks through deaths of the service and of Asterisk: none is lost, and none is made twice.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Side},
    usher::Usher,
    wait,
};

use super::{CUSTOMER, both_talk, called, calls_back, customer_asks, customer_enters, keep_busy, shown};
use crate::{
    aid::{RECONNECTED, SOON, answers, enter, log_says, log_says_times, no_channel_is_left, story, talk},
    steps::{value, wait_for_value},
};

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_callback_waits_the_service_calls_back_once_and_in_its_place() {
    let rig = calls_back("cbkillwait", &["1000"]).sql("UPDATE queues SET recording = true").start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    let later = enter(&rig, "5550002").await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    log_says_times(&rig, "in step with Asterisk", 2).await;
    answers(customer);
    other.hang_up().await.unwrap();
    let (called, _) = both_talk((member, 2), (customer, 1)).await;
    assert_eq!(shown(member), ["5550001", CUSTOMER], "it has lost its place");
    called.hang_up().await.unwrap();
    later.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 1);
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
    // They were told so before they asked.
    let recorded = "SELECT count(*) FROM calls WHERE recording = 'usher-' || id || '.wav' AND caller_number = '3000'";
    wait_for_value(&rig, recorded, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_customer_rings_the_service_lets_it_ring_on_and_both_talk() {
    let rig = calls_back("cbkillring", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let (called, leg) = called(&rig, Behaviour::AnswerAfter(Duration::from_secs(12))).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    called.answered(RECONNECTED).await.unwrap();
    talk(&called, &leg).await;
    // The end of the talk is known as well.
    rig.usher().unwrap().kill().await.unwrap();
    leg.hang_up().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    assert_eq!(called.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!((customer.invites().len(), member.rings_so_far()), (1, 2));
    let told = story(&rig, CUSTOMER).await;
    assert_eq!((told.outcome.as_str(), told.answered_by.as_str()), ("completed", "1000"));
    assert_eq!(value(&rig, "SELECT string_agg(state, ',') FROM callbacks").await.unwrap(), "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_was_begun_and_is_found_no_more_counts_and_nobody_is_called_after_a_talk() {
    let rig = calls_back("cbdead", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let (called, leg) = called(&rig, Behaviour::Ignore).await;
    rig.usher().unwrap().kill().await.unwrap();
    called.hang_up().await.unwrap();
    leg.hang_up().await.unwrap();
    no_channel_is_left(&rig).await;
    rig.usher().unwrap().start_again().await.unwrap();
    answers(customer);
    let (called, leg) = both_talk((member, 3), (customer, 2)).await;
    wait_for_value(&rig, "SELECT attempt || ' ' || tries FROM callbacks", "2 1").await;
    rig.usher().unwrap().kill().await.unwrap();
    called.hang_up().await.unwrap();
    leg.hang_up().await.unwrap();
    no_channel_is_left(&rig).await;
    rig.usher().unwrap().start_again().await.unwrap();
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
    assert_eq!(customer.invites().len(), 2, "called again after a talk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_while_the_customer_rings_goes_on_with_that_call() {
    let rig = calls_back("cbstandby", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let mut spec = rig.spec.clone().unwrap();
    // On one machine each needs a port of its own.
    spec.agi_port = rig.instance.port().unwrap();
    let standby = Usher::stand_by(&rig.instance, &spec).await.unwrap();
    let (called, leg) = called(&rig, Behaviour::AnswerAfter(Duration::from_secs(15))).await;
    wait_for_value(&rig, "SELECT state FROM callbacks", "called").await;
    rig.usher().unwrap().kill().await.unwrap();
    wait::until("the standby is active", SOON, || standby.is("active")).await.unwrap();
    called.answered(RECONNECTED).await.unwrap();
    talk(&called, &leg).await;
    called.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!((customer.invites().len(), member.rings_so_far()), (1, 2));
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_dies_while_a_callback_waits_and_the_customer_is_called_once_when_it_is_back() {
    let rig = calls_back("cbdown", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    answers(customer);
    rig.pbx.kill().await.unwrap();
    log_says(&rig, "the link to Asterisk is down", SOON).await;
    rig.pbx.start_again().await.unwrap();
    member.rung(2, RECONNECTED).await.unwrap();
    assert_eq!(shown(member)[1], CUSTOMER);
    let (called, leg) = both_talk((member, 2), (customer, 1)).await;
    called.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
    assert_eq!(customer.invites().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_customer_called_again_the_service_still_gives_that_call_the_old_place() {
    let rig = calls_back("cbagainkill", &["1000"]).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    let later = enter(&rig, "5550002").await;
    let caller = customer_enters(&rig).await;
    wait_for_value(&rig, "SELECT outcome FROM calls WHERE caller_number = '3000' AND outcome <> ''", "called_again")
        .await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    log_says_times(&rig, "in step with Asterisk", 2).await;
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    assert_eq!(shown(member), ["5550001", CUSTOMER], "it has lost its place");
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    later.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
