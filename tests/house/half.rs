//! Agents whose phone hands a caller over while the colleague's still rings, as phones do whose owner does not wait.

use usher_rig::{
    phones::{Behaviour, Leg},
    rig::{Builder, Rig},
};

use crate::{
    aid::{RECONNECTED, SEEN, SOON, answers, ends, house, ready_says, story, talk, talking, times},
    steps::{Crm, wait_for_value},
};

/// 1000 serves `support`; 2000 and 3000 are phones.
fn floor(name: &str) -> Builder {
    house(name).logged_on(&["1000"]).sql(&times(6, 60))
}

/// A phone calls another one, which rings and does nothing else: the line that waits for it.
async fn calls(rig: &Rig, from: &str, to: &str) -> Leg {
    let (phone, other) = (rig.phones.phone(from).unwrap(), rig.phones.phone(to).unwrap());
    other.behave(Behaviour::Ignore);
    let rung = other.rings_so_far();
    let second = phone.dial(to).await.unwrap();
    other.rung(rung + 1, SOON).await.unwrap();
    // Asterisk refuses to hand over to a line that it has not told of the ringing.
    second.wait_for("it is told of the ringing", SOON, |state| state.ringing.is_some()).await.unwrap();
    second
}

/// The phone hands the caller over to the line that rings.
async fn gives(rig: &Rig, from: &str, to: &str, leg: &Leg, second: &Leg) {
    assert_eq!(rig.phones.phone(from).unwrap().hand_over(leg, to, second, SOON).await.unwrap(), 200);
    drop(leg.hang_up().await);
    drop(second.hang_up().await);
}

/// The agent has the caller again, and the call ends with that.
async fn comes_back(rig: &Rig, caller: &Leg, rung: usize) {
    let again = rig.phones.phone("1000").unwrap().rung(rung, SOON).await.unwrap();
    again.answered(SOON).await.unwrap();
    talk(caller, &again).await;
    ends(rig, caller, &again).await;
    assert_eq!(story(rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_handed_a_caller_while_their_phone_rings_has_the_pop_answers_and_sends_them_on() {
    let rig = floor("halfanswered").start().await.unwrap();
    let (colleague, third) = (rig.phones.phone("2000").unwrap(), rig.phones.phone("3000").unwrap());
    let to = Crm::watch(&rig, "2000").await;
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let second = calls(&rig, "1000", "2000").await;
    answers(colleague);
    gives(&rig, "1000", "2000", &leg, &second).await;
    let other = colleague.rung(2, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    to.pop("answered").await;
    talk(&caller, &other).await;
    answers(third);
    other.transfer("3000", None).await.unwrap();
    let last = third.rung(1, SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    drop(other.hang_up().await);
    talk(&caller, &last).await;
    ends(&rig, &caller, &last).await;
    let sent = "SELECT string_agg(detail ->> 'to', ', ' ORDER BY at) FROM call_events WHERE kind = 'transferred'";
    wait_for_value(&rig, sent, "extension/2000, extension/3000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_handed_over_to_a_phone_that_rings_and_is_not_answered_comes_back_to_the_agent() {
    let rig = floor("halfsilent").start().await.unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let second = calls(&rig, "1000", "2000").await;
    gives(&rig, "1000", "2000", &leg, &second).await;
    comes_back(&rig, &caller, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_handed_over_to_a_phone_that_refuses_in_that_moment_comes_back_to_the_agent() {
    let rig = floor("halfrefused").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let second = calls(&rig, "1000", "2000").await;
    let other = colleague.leg().unwrap();
    gives(&rig, "1000", "2000", &leg, &second).await;
    drop(other.hang_up().await);
    comes_back(&rig, &caller, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_handed_over_to_a_phone_that_rings_comes_back_to_the_agent_after_kill_9() {
    let rig = floor("halfkilled").start().await.unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let second = calls(&rig, "1000", "2000").await;
    rig.usher().unwrap().freeze().unwrap();
    gives(&rig, "1000", "2000", &leg, &second).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    comes_back(&rig, &caller, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_handed_over_to_a_phone_that_rings_in_a_silence_of_the_link_is_rung_for_when_it_is_back() {
    let rig = floor("halfgap").proxies().start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let second = calls(&rig, "1000", "2000").await;
    let ari = &rig.proxies.as_ref().unwrap().ari;
    ari.blackhole();
    gives(&rig, "1000", "2000", &leg, &second).await;
    answers(colleague);
    ari.refuse();
    ari.cut();
    ready_says(&rig, 503, SEEN).await;
    ari.heal();
    ready_says(&rig, 200, RECONNECTED).await;
    let other = colleague.rung(2, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    talk(&caller, &other).await;
    ends(&rig, &other, &caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_the_handed_one_hands_over_to_a_phone_that_rings_in_vain_comes_back_to_them() {
    let rig = floor("halftwice").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let second = calls(&rig, "1000", "2000").await;
    let other = colleague.leg().unwrap();
    other.answer().await.unwrap();
    second.answered(SOON).await.unwrap();
    gives(&rig, "1000", "2000", &leg, &second).await;
    wait_for_value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'answered'", "2").await;
    let second = calls(&rig, "2000", "3000").await;
    gives(&rig, "2000", "3000", &other, &second).await;
    answers(colleague);
    let again = colleague.rung(2, SOON).await.unwrap();
    again.answered(SOON).await.unwrap();
    talk(&caller, &again).await;
    ends(&rig, &caller, &again).await;
}
