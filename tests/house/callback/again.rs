//! The second callback of one call: a customer who was called back, was sent on, and asked once more. Each try has a number of its own.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Leg},
    rig::Rig,
    usher::Usher,
};

use super::{CUSTOMER, calls_back, customer_asks, cut_off::is_replaced, keep_busy, sent_on::SALES};
use crate::{
    aid::{RECONNECTED, SOON, answers, beside, ends, story, talk},
    steps::{sql, value, wait_for_value},
};

/// The first callback took two tries; then 1000 has sent them on to sales, where they have asked again and wait.
async fn asks_again(rig: &Rig) {
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(rig, member).await;
    customer_asks(rig).await;
    customer.behave(Behaviour::Busy);
    other.hang_up().await.unwrap();
    customer.rung(1, SOON).await.unwrap();
    answers(customer);
    let called = customer.rung(2, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    let leg = member.rung(3, SOON).await.unwrap();
    talk(&called, &leg).await;
    leg.press("##700#").await.unwrap();
    wait_for_value(rig, "SELECT count(*) FROM call_events WHERE kind = 'transferred'", "1").await;
    called.press("*").await.unwrap();
    called.hung_up(SOON).await.unwrap();
    wait_for_value(rig, "SELECT queue || ' ' || state FROM callbacks", "sales waiting").await;
}

/// 2000 answers for them, and their phone rings, which does this: the legs of customer and member.
async fn is_called(rig: &Rig, does: Behaviour) -> (Leg, Leg) {
    let (colleague, customer) = (rig.phones.phone("2000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    customer.behave(does);
    answers(colleague);
    sql(rig, "DELETE FROM pauses").await;
    let second = colleague.rung(1, SOON).await.unwrap();
    second.answered(SOON).await.unwrap();
    (customer.rung(3, SOON).await.unwrap(), second)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_customer_rings_for_the_second_callback_the_service_lets_it_ring_on() {
    let rig = calls_back("cbtwicering", &["1000"]).sql(SALES).start().await.unwrap();
    asks_again(&rig).await;
    let (called, second) = is_called(&rig, Behaviour::AnswerAfter(Duration::from_secs(12))).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    called.answered(RECONNECTED).await.unwrap();
    talk(&called, &second).await;
    ends(&rig, &second, &called).await;
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
    let tries = "SELECT string_agg(detail->>'try', ' ' ORDER BY at) FROM call_events WHERE kind = 'callback_called'";
    assert_eq!(value(&rig, tries).await.unwrap(), "1 2 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_callback_that_the_database_was_not_told_of_is_not_made_again() {
    let rig = calls_back("cbtwicecut", &["1000"]).sql(SALES).proxies().start().await.unwrap();
    let (colleague, customer) = (rig.phones.phone("2000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    asks_again(&rig).await;
    answers(customer);
    colleague.behave(Behaviour::AnswerAfter(Duration::from_secs(2)));
    sql(&rig, "DELETE FROM pauses").await;
    let second = colleague.rung(1, SOON).await.unwrap();
    rig.proxies.as_ref().unwrap().postgres.blackhole();
    second.answered(SOON).await.unwrap();
    let called = customer.rung(3, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &second).await;
    called.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let next = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    is_replaced(&rig, &next).await;
    wait_for_value(&rig, "SELECT state FROM callbacks", "ended").await;
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
    assert_eq!((customer.invites().len(), colleague.rings_so_far()), (3, 1));
}
