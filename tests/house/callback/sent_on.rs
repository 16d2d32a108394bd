//! Customers who were called back, and are sent on from there.

use usher_rig::{
    phones::{Behaviour, Leg, Side},
    rig::Rig,
};

use super::{CUSTOMER, called_back, calls_back, shown};
use crate::{
    aid::{RECONNECTED, SOON, answers, ends, log_says_times, no_channel_is_left, ready_says, story, talk},
    steps::{sql, value, wait_for_value},
};

/// A second queue, of 2000 alone, who is paused; it calls back as well.
pub const SALES: &str = "INSERT INTO queues (name, label, number) VALUES ('sales', 'Sales', '700'); \
                     UPDATE queues SET greeting = '', callback_key = '*', ring_time_seconds = 30, queue_timeout_seconds = 600 \
                     WHERE name = 'sales'; INSERT INTO memberships (queue, extension, logged_on) VALUES ('sales', '2000', true); \
                     INSERT INTO pauses (extension) VALUES ('2000')";

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_is_sent_on_by_feature_code_and_by_the_phones_own_key() {
    let rig = calls_back("cbsenton", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let colleague = rig.phones.phone("2000").unwrap();
    answers(colleague);
    let (called, leg) = called_back(&rig).await;
    assert!(shown(customer).iter().all(|number| number != CUSTOMER), "called from their own number");
    leg.press("##2000#").await.unwrap();
    let second = colleague.rung(1, SOON).await.unwrap();
    second.answered(SOON).await.unwrap();
    talk(&called, &second).await;
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    // And back again, by the phone's own key.
    second.transfer("1000", None).await.unwrap();
    let third = member.rung(3, SOON).await.unwrap();
    third.answered(SOON).await.unwrap();
    second.hang_up().await.unwrap();
    talk(&called, &third).await;
    // The caller hangs up while the service is away: the member is let go.
    rig.usher().unwrap().kill().await.unwrap();
    called.hang_up().await.unwrap();
    assert_eq!(third.hung_up(SOON).await.unwrap().by, Side::Them);
    no_channel_is_left(&rig).await;
    rig.usher().unwrap().start_again().await.unwrap();
    let told = story(&rig, CUSTOMER).await;
    assert_eq!((told.outcome.as_str(), told.answered_by.as_str()), ("completed", "1000"));
    let ways = "SELECT string_agg(detail ->> 'how', ' ' ORDER BY at) FROM call_events WHERE kind = 'transferred'";
    assert_eq!(value(&rig, ways).await.unwrap(), "code phone");
    assert_eq!(customer.invites().len(), 1);
}

/// Was called back by 1000, and is being sent on to 2000, whose phone rings: the customer's leg.
async fn sent_on(rig: &Rig) -> Leg {
    let colleague = rig.phones.phone("2000").unwrap();
    colleague.behave(Behaviour::Ignore);
    let (called, leg) = called_back(rig).await;
    leg.press("##2000#").await.unwrap();
    colleague.rung(1, SOON).await.unwrap();
    called
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_and_sent_on_when_the_service_stops_is_served_by_asterisk() {
    let rig = calls_back("cbstop", &["1000"]).start().await.unwrap();
    let called = sent_on(&rig).await;
    assert!(rig.usher().unwrap().stop().await.unwrap().success());
    called.wait_for_prompt(&rig.pbx.prompts("en").unwrap(), "unavailable", SOON).await.unwrap();
    // By app_queue; the customer is not called a second time.
    let leg = rig.phones.phone("1000").unwrap().rung(3, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
    ends(&rig, &leg, &called).await;
    assert_eq!(rig.phones.phone(CUSTOMER).unwrap().invites().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_and_is_with_the_dialplan_is_let_be_by_a_service_that_comes_back() {
    let rig = calls_back("cbletbe", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let colleague = rig.phones.phone("2000").unwrap();
    answers(colleague);
    let (called, leg) = called_back(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    leg.transfer("2000", None).await.unwrap();
    leg.hang_up().await.unwrap();
    let second = colleague.rung(1, SOON).await.unwrap();
    second.answered(SOON).await.unwrap();
    talk(&called, &second).await;
    rig.usher().unwrap().start_again().await.unwrap();
    ready_says(&rig, 200, RECONNECTED).await;
    talk(&called, &second).await;
    // Nor when the link falls and comes back.
    rig.proxies.as_ref().unwrap().ari.cut();
    log_says_times(&rig, "in step with Asterisk", 3).await;
    talk(&called, &second).await;
    called.hang_up().await.unwrap();
    second.hung_up(SOON).await.unwrap();
    no_channel_is_left(&rig).await;
    assert_eq!((customer.invites().len(), member.rings_so_far()), (1, 2), "called once, and the member not rung again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_transfers_nobody_by_their_own_phone() {
    let rig = calls_back("cbrefers", &["1000"]).start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    answers(colleague);
    let (called, leg) = called_back(&rig).await;
    called.transfer("2000", None).await.unwrap();
    called.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    no_channel_is_left(&rig).await;
    assert_eq!((colleague.rings_so_far(), story(&rig, CUSTOMER).await.answered_by.as_str()), (0, "1000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_is_sent_on_and_asks_again_keeps_the_new_place_also_after_kill_9() {
    let rig = calls_back("cbagain", &["1000"]).sql(SALES).start().await.unwrap();
    let (colleague, customer) = (rig.phones.phone("2000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    answers(colleague);
    let (called, leg) = called_back(&rig).await;
    leg.press("##700#").await.unwrap();
    wait_for_value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'transferred'", "1").await;
    called.press("*").await.unwrap();
    called.hung_up(SOON).await.unwrap();
    wait_for_value(&rig, "SELECT queue || ' ' || state FROM callbacks", "sales waiting").await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    ready_says(&rig, 200, RECONNECTED).await;
    customer.behave(Behaviour::AnswerAfter(std::time::Duration::ZERO));
    sql(&rig, "DELETE FROM pauses").await;
    let second = colleague.rung(1, SOON).await.unwrap();
    second.answered(SOON).await.unwrap();
    let called = customer.rung(2, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &second).await;
    ends(&rig, &second, &called).await;
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
}
