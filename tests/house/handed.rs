//! Whoever was handed a caller, phone to phone, sends them on with their own phone: that is a transfer like any other.

use usher_rig::{
    phones::{Behaviour, Ears, Leg},
    rig::{Builder, Rig},
};

use crate::{
    aid::{
        RECONNECTED, SOON, answers, enter_with, house, log_says, no_channel_is_left, ready_says, story, talk, times,
    },
    alone::{asking, gives},
    steps::{Crm, command, variable, wait_for_value},
};

/// 1000 serves `support`; 2000 does not yet; 3000 is a phone.
fn floor(name: &str) -> Builder {
    house(name).logged_on(&["1000"]).sql(&times(15, 60))
}

fn recorded(name: &str) -> Builder {
    floor(name).sql("UPDATE queues SET recording = true")
}

/// 1000 has handed a caller over to 2000, and Asterisk knows where that one's phone transfers to: the legs of the caller and of 2000.
async fn handed(rig: &Rig) -> (Leg, Leg) {
    let (caller, leg, second, other) = asking(rig).await;
    gives(rig, &leg, &second).await;
    talk(&caller, &other).await;
    is_heard_of(rig, "2000").await;
    (caller, other)
}

/// The service hears of it when this phone transfers.
async fn is_heard_of(rig: &Rig, number: &str) {
    usher_rig::wait::until("the service hears of transfers of that phone", SOON, || async {
        anyhow::ensure!(variable(rig, number, "TRANSFER_CONTEXT").await? == "usher-handed");
        Ok(())
    })
    .await
    .unwrap();
}

/// Whoever was handed the caller calls another one and hands them over in turn: the leg of that one.
async fn hands_on(rig: &Rig, caller: &Leg, leg: &Leg, from: &str, to: &str) -> Leg {
    let (phone, third) = (rig.phones.phone(from).unwrap(), rig.phones.phone(to).unwrap());
    answers(third);
    let rung = third.rings_so_far();
    let second = phone.dial(to).await.unwrap();
    let last = third.rung(rung + 1, SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    talk(&second, &last).await;
    assert_eq!(phone.hand_over(leg, to, &second, SOON).await.unwrap(), 200);
    drop(leg.hang_up().await);
    drop(second.hang_up().await);
    talk(caller, &last).await;
    last
}

/// 3000 sends the caller on to 1000, who refuses, and has them back: the leg of 3000.
async fn has_them_back(rig: &Rig, caller: &Leg, last: &Leg) -> Leg {
    let (agent, third) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("3000").unwrap());
    agent.behave(Behaviour::Reject);
    let rung = (agent.rings_so_far(), third.rings_so_far());
    last.transfer("1000", None).await.unwrap();
    agent.rung(rung.0 + 1, SOON).await.unwrap();
    let again = third.rung(rung.1 + 1, SOON).await.unwrap();
    drop(last.hang_up().await);
    again.answered(SOON).await.unwrap();
    talk(caller, &again).await;
    again
}

/// Whom the caller was given to, in order, and how.
async fn given_to(rig: &Rig, whom: &str) {
    let sent = "SELECT string_agg(detail ->> 'to' || ' ' || (detail ->> 'how'), ', ' ORDER BY at) FROM call_events \
        WHERE kind = 'transferred' AND call_id = (SELECT id FROM calls WHERE caller_number = '5550001')";
    wait_for_value(rig, sent, whom).await;
}

/// The caller talks with whom the dialplan or the service has put them through to, once, and nothing is left afterwards.
async fn ends_with(rig: &Rig, caller: &Leg, last: &Leg) {
    talk(caller, last).await;
    last.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    no_channel_is_left(rig).await;
    assert_eq!(rig.phones.phone("3000").unwrap().rings_so_far(), 1);
}

/// 2000, who has given the caller away, is free: the next one is theirs.
async fn is_served_by_2000(rig: &Rig) -> Leg {
    // 1000 may be free as well.
    assert!(command(rig, &["member", "pause", "1000"]).await.status.success());
    assert!(command(rig, &["member", "log-on", "support", "2000"]).await.status.success());
    let next = enter_with(rig, "5550002", Ears::Open).await;
    let served = rig.phones.phone("2000").unwrap().rung(2, SOON).await.unwrap();
    served.answered(SOON).await.unwrap();
    talk(&next, &served).await;
    next
}

/// 2000 sends the caller on to 3000, who answers.
async fn sends_on(rig: &Rig, other: &Leg) -> Leg {
    let third = rig.phones.phone("3000").unwrap();
    answers(third);
    other.transfer("3000", None).await.unwrap();
    let last = third.rung(1, SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    other.hang_up().await.unwrap();
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_handed_a_caller_and_sends_them_on_is_free_and_the_pop_goes_along() {
    let rig = recorded("handedon").start().await.unwrap();
    let third = rig.phones.phone("3000").unwrap();
    let (from, to) = (Crm::watch(&rig, "2000").await, Crm::watch(&rig, "3000").await);
    let (caller, other) = handed(&rig).await;
    let (_, first) = from.pop("answered").await;
    answers(third);
    other.transfer("3000", None).await.unwrap();
    let last = third.rung(1, SOON).await.unwrap();
    let (_, pop) = to.pop("offered").await;
    assert_eq!((pop.call.as_str(), pop.customer.code.as_str()), (first.call.as_str(), "1111"));
    last.answered(SOON).await.unwrap();
    other.hang_up().await.unwrap();
    talk(&caller, &last).await;
    from.closed(&first.call).await;
    let next = is_served_by_2000(&rig).await;
    talk(&caller, &last).await;
    next.hang_up().await.unwrap();
    last.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    given_to(&rig, "extension/2000 attended, extension/3000 phone").await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_they_send_to_a_phone_that_refuses_comes_back_to_them_also_after_kill_9() {
    let rig = recorded("handedback").start().await.unwrap();
    let (colleague, third) = (rig.phones.phone("2000").unwrap(), rig.phones.phone("3000").unwrap());
    let (caller, other) = handed(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    ready_says(&rig, 200, RECONNECTED).await;
    third.behave(Behaviour::Reject);
    other.transfer("3000", None).await.unwrap();
    third.rung(1, SOON).await.unwrap();
    let again = colleague.rung(2, SOON).await.unwrap();
    again.answered(SOON).await.unwrap();
    talk(&caller, &again).await;
    again.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!((third.rings_so_far(), story(&rig, "5550001").await.outcome.as_str()), (1, "completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_they_send_on_without_the_service_is_put_through_by_the_dialplan() {
    let rig = floor("handedaway").start().await.unwrap();
    let (caller, other) = handed(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    let last = sends_on(&rig, &other).await;
    talk(&caller, &last).await;
    rig.usher().unwrap().start_again().await.unwrap();
    log_says(&rig, "in step with Asterisk", SOON).await;
    ends_with(&rig, &caller, &last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_they_send_on_while_the_service_hangs_is_put_through_after_its_time() {
    let rig = floor("handedhangs").start().await.unwrap();
    let (caller, other) = handed(&rig).await;
    rig.usher().unwrap().freeze().unwrap();
    let last = sends_on(&rig, &other).await;
    talk(&caller, &last).await;
    rig.usher().unwrap().thaw();
    ends_with(&rig, &caller, &last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_was_handed_over_in_a_gap_that_kill_9_ended_is_sent_on_like_any_other() {
    let rig = floor("handedgap").start().await.unwrap();
    let (caller, leg, second, other) = asking(&rig).await;
    rig.usher().unwrap().freeze().unwrap();
    gives(&rig, &leg, &second).await;
    talk(&caller, &other).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    is_heard_of(&rig, "2000").await;
    let last = sends_on(&rig, &other).await;
    ends_with(&rig, &caller, &last).await;
    let to = "SELECT string_agg(detail ->> 'to', ', ') FROM call_events WHERE kind = 'transferred'";
    wait_for_value(&rig, to, "extension/2000, extension/3000").await;
    let talks = "SELECT string_agg(extension, ', ' ORDER BY id) FROM call_events WHERE kind = 'answered'";
    wait_for_value(&rig, talks, "1000, 2000, 3000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_handed_a_caller_and_hands_them_over_in_turn_is_free_and_the_pop_goes_along() {
    let rig = recorded("handedagain").start().await.unwrap();
    let (from, to) = (Crm::watch(&rig, "2000").await, Crm::watch(&rig, "3000").await);
    let (caller, other) = handed(&rig).await;
    let (_, first) = from.pop("answered").await;
    let last = hands_on(&rig, &caller, &other, "2000", "3000").await;
    let (_, pop) = to.pop("answered").await;
    assert_eq!((pop.call.as_str(), pop.customer.code.as_str()), (first.call.as_str(), "1111"));
    from.closed(&first.call).await;
    let next = is_served_by_2000(&rig).await;
    is_heard_of(&rig, "3000").await;
    let last = has_them_back(&rig, &caller, &last).await;
    next.hang_up().await.unwrap();
    last.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    given_to(&rig, "extension/2000 attended, extension/3000 attended, extension/1000 phone").await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_handed_over_a_second_time_in_a_gap_that_kill_9_ended_is_with_the_third_one() {
    let rig = floor("handedtwice").start().await.unwrap();
    let (caller, other) = handed(&rig).await;
    rig.usher().unwrap().freeze().unwrap();
    let last = hands_on(&rig, &caller, &other, "2000", "3000").await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    is_heard_of(&rig, "3000").await;
    let last = has_them_back(&rig, &caller, &last).await;
    caller.hang_up().await.unwrap();
    last.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    given_to(&rig, "extension/2000 attended, extension/3000 attended, extension/1000 phone").await;
}

/// Of the voices that Asterisk translates, as it does in a recorded talk, it threw each second one away.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_those_to_whom_a_recorded_caller_is_handed_over_is_heard() {
    let rig = recorded("handedround").start().await.unwrap();
    let (caller, mut leg) = handed(&rig).await;
    for (from, to) in [("2000", "3000"), ("3000", "1000"), ("1000", "2000"), ("2000", "1000")] {
        leg = hands_on(&rig, &caller, &leg, from, to).await;
    }
    leg.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    given_to(
        &rig,
        "extension/2000 attended, extension/3000 attended, extension/1000 attended, extension/2000 attended, \
        extension/1000 attended",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_caller_whom_they_sent_on_without_the_service_hears_the_other_one_when_it_is_back() {
    let rig = recorded("handedheals").start().await.unwrap();
    let (caller, other) = handed(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    let last = sends_on(&rig, &other).await;
    rig.usher().unwrap().start_again().await.unwrap();
    is_heard_of(&rig, "3000").await;
    ends_with(&rig, &caller, &last).await;
    given_to(&rig, "extension/2000 attended, extension/3000 attended").await;
}
