//! The member's leg ends while the service is away: whom it leaves does not stay alone in silence.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Leg, Side},
    rig::{Builder, Rig},
};

use crate::{
    aid::{
        RECONNECTED, SOON, a_call_works, answers, hands_over, house, no_channel_is_left, ready_says, talk, talking,
        times,
    },
    callback::{CUSTOMER, called_back, calls_back},
    steps::{heard, value, wait_for_value},
};

/// How long callers stay with a service that does nothing about it here.
const ALONE: Duration = Duration::from_secs(2);

/// An agent in `support`, and colleagues who serve nobody.
fn floor(name: &str) -> Builder {
    house(name).global("USHER_ALONE_SECONDS=2").logged_on(&["1000"]).sql(&times(15, 60))
}

/// The agent calls 2000 and asks them to take the caller: the legs of caller, agent, the agent's second call, and 2000.
pub async fn asking(rig: &Rig) -> (Leg, Leg, Leg, Leg) {
    let (agent, colleague) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(colleague);
    let (caller, leg) = talking(rig, "5550001", "1000").await;
    let second = agent.dial("2000").await.unwrap();
    let other = colleague.rung(1, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    talk(&second, &other).await;
    (caller, leg, second, other)
}

/// The agent 1000 hands the caller over.
pub async fn gives(rig: &Rig, leg: &Leg, second: &Leg) -> u16 {
    hands_over(rig.phones.phone("1000").unwrap(), leg, second).await
}

/// One of the two hangs up, and so the call is over for the other one, although no service sees to it.
async fn ends_for_both(rig: &Rig, leg: &Leg, caller: &Leg) {
    leg.hang_up().await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    no_channel_is_left(rig).await;
}

/// How the call ended, and who answered it.
async fn ended(rig: &Rig, how: &str) {
    let sql = "SELECT outcome || ' ' || answered_by FROM calls WHERE caller_number = '5550001'";
    wait_for_value(rig, sql, how).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_hangs_up_on_a_dead_service_ends_the_call_for_the_caller() {
    let rig = floor("alonedead").start().await.unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    rig.usher().unwrap().kill().await.unwrap();
    ends_for_both(&rig, &leg, &caller).await;
    rig.usher().unwrap().start_again().await.unwrap();
    ended(&rig, "lost 1000").await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_hangs_up_on_a_service_that_hangs_ends_the_call_for_the_caller() {
    let rig = floor("alonehangs").start().await.unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    rig.usher().unwrap().freeze().unwrap();
    ends_for_both(&rig, &leg, &caller).await;
    rig.usher().unwrap().thaw();
    ready_says(&rig, 200, RECONNECTED).await;
    ended(&rig, "completed 1000").await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_a_phone_hands_over_on_a_dead_service_goes_the_way_for_when_it_is_away() {
    let rig = floor("alonerefer").global("USHER_QUEUE_WHEN_AWAY=no").start().await.unwrap();
    let fallback = rig.phones.phone("3000").unwrap();
    answers(fallback);
    let (caller, leg, second, other) = asking(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    let status = rig.phones.phone("1000").unwrap().hand_over(&leg, "2000", &second, SOON).await.unwrap();
    assert_eq!(status, 500, "Asterisk cannot carry it out");
    // What the agent cannot be rid of stays theirs, until they hang up.
    other.hung_up(SOON).await.unwrap();
    let channels = rig.pbx.bridges().await.unwrap()[0]["channels"].as_array().map(Vec::len);
    assert_eq!(channels, Some(2), "caller and agent");
    leg.hang_up().await.unwrap();
    let last = fallback.rung(1, SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    talk(&caller, &last).await;
    rig.usher().unwrap().start_again().await.unwrap();
    ended(&rig, "lost 1000").await;
    talk(&caller, &last).await;
    caller.hang_up().await.unwrap();
    last.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_a_phone_hands_over_on_a_dead_service_that_comes_back_is_the_agents_again() {
    let rig = house("alonereferback").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let (caller, leg, second, other) = asking(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    gives(&rig, &leg, &second).await;
    other.hung_up(SOON).await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    let leg = rig.phones.phone("1000").unwrap().rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    stays(&caller, &leg).await;
    leg.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    ended(&rig, "completed 1000").await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

/// The two talk for longer than a caller is ever left alone.
async fn stays(caller: &Leg, leg: &Leg) {
    // Not a wait for anything: so long nothing must happen.
    tokio::time::sleep(ALONE * 2).await;
    talk(caller, leg).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_caller_was_handed_to_by_a_phone_is_not_cut_off_and_ends_the_call_for_both_on_a_dead_service() {
    let rig = floor("alonehanded").start().await.unwrap();
    let (caller, leg, second, other) = asking(&rig).await;
    gives(&rig, &leg, &second).await;
    talk(&caller, &other).await;
    stays(&caller, &other).await;
    rig.usher().unwrap().kill().await.unwrap();
    stays(&caller, &other).await;
    ends_for_both(&rig, &other, &caller).await;
    rig.usher().unwrap().start_again().await.unwrap();
    ended(&rig, "lost 1000").await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_caller_is_handed_to_while_the_service_hangs_is_not_cut_off_and_ends_the_call_for_both() {
    let rig = floor("alonehandedhangs").sql("UPDATE queues SET recording = true").start().await.unwrap();
    let (caller, leg, second, other) = asking(&rig).await;
    rig.usher().unwrap().freeze().unwrap();
    gives(&rig, &leg, &second).await;
    talk(&caller, &other).await;
    stays(&caller, &other).await;
    ends_for_both(&rig, &other, &caller).await;
    rig.usher().unwrap().thaw();
    ready_says(&rig, 200, RECONNECTED).await;
    ended(&rig, "completed 1000").await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_living_service_gives_the_caller_to_is_not_cut_off() {
    let rig = floor("aloneliving").start().await.unwrap();
    let (agent, colleague) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(colleague);
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    // By the phone's key, by a code, after a word by a code, and back.
    leg.transfer("2000", None).await.unwrap();
    let other = colleague.rung(1, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    drop(leg.hang_up().await);
    talk(&caller, &other).await;
    stays(&caller, &other).await;
    other.press("##1000#").await.unwrap();
    let leg = agent.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    stays(&caller, &leg).await;
    caller.audio().say_tone(0);
    leg.press("*22000#").await.unwrap();
    let other = colleague.rung(2, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    talk(&leg, &other).await;
    leg.hang_up().await.unwrap();
    talk(&caller, &other).await;
    stays(&caller, &other).await;
    rig.usher().unwrap().kill().await.unwrap();
    ends_for_both(&rig, &other, &caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_sent_on_without_the_service_waits_for_a_phone_and_is_not_cut_off() {
    let rig = floor("alonesenton").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    rig.usher().unwrap().kill().await.unwrap();
    colleague.behave(Behaviour::AnswerAfter(ALONE * 2));
    leg.transfer("2000", None).await.unwrap();
    let other = colleague.rung(1, SOON).await.unwrap();
    drop(leg.hang_up().await);
    other.answered(SOON).await.unwrap();
    talk(&caller, &other).await;
    stays(&caller, &other).await;
    caller.hang_up().await.unwrap();
    other.hung_up(SOON).await.unwrap();
    no_channel_is_left(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_sent_on_to_the_fallback_without_the_service_does_not_ring_it_twice() {
    let rig = floor("alonefallback").start().await.unwrap();
    let fallback = rig.phones.phone("3000").unwrap();
    fallback.behave(Behaviour::Reject);
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    rig.usher().unwrap().kill().await.unwrap();
    leg.transfer("3000", None).await.unwrap();
    drop(leg.hang_up().await);
    assert_eq!(caller.hung_up(RECONNECTED).await.unwrap().by, Side::Them);
    assert_eq!(heard(&rig, &caller).last().map(String::as_str), Some("bye"));
    assert_eq!(fallback.rings_so_far(), 1);
    no_channel_is_left(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_that_is_recorded_ends_for_the_caller_too_when_the_member_hangs_up_on_a_dead_service() {
    let rig = floor("alonerecorded").sql("UPDATE queues SET recording = true").start().await.unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    rig.usher().unwrap().kill().await.unwrap();
    stays(&caller, &leg).await;
    leg.hang_up().await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
}

fn calls_back_alone(name: &str) -> Builder {
    calls_back(name, &["1000"])
        .global("USHER_ALONE_SECONDS=2")
        .global("USHER_SILENCE_SECONDS=4")
        .global("USHER_QUEUE_WHEN_AWAY=no")
        .global("USHER_FALLBACK=2000")
}

/// The fallback, with this ring, has the customer, and nobody calls them again.
async fn fallback_has(rig: &Rig, called: &Leg, rings: usize) {
    let fallback = rig.phones.phone("2000").unwrap();
    let last = fallback.rung(rings, SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    talk(called, &last).await;
    rig.usher().unwrap().start_again().await.unwrap();
    wait_for_value(rig, "SELECT string_agg(state, ',') FROM callbacks", "ended").await;
    stays(called, &last).await;
    called.hang_up().await.unwrap();
    last.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(rig.phones.phone(CUSTOMER).unwrap().invites().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_is_let_go_when_the_member_hangs_up_on_a_dead_service() {
    let rig = calls_back_alone("aloneback").start().await.unwrap();
    let (called, leg) = called_back(&rig).await;
    stays(&called, &leg).await;
    rig.usher().unwrap().kill().await.unwrap();
    ends_for_both(&rig, &leg, &called).await;
    assert_eq!(rig.phones.phone("2000").unwrap().rings_so_far(), 0);
    rig.usher().unwrap().start_again().await.unwrap();
    wait_for_value(&rig, "SELECT string_agg(state, ',') FROM callbacks", "ended").await;
    let how = format!("SELECT outcome || ' ' || answered_by FROM calls WHERE caller_number = '{CUSTOMER}'");
    assert_eq!(value(&rig, &how).await.unwrap(), "completed 1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_and_waits_for_a_dead_service_goes_the_way_for_when_it_is_away() {
    let rig = calls_back_alone("alonebackwaits").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (called, leg) = called_back(&rig).await;
    answers(colleague);
    called.audio().say_tone(1500);
    leg.press("*22000#").await.unwrap();
    let other = colleague.rung(1, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    talk(&leg, &other).await;
    rig.usher().unwrap().kill().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    fallback_has(&rig, &called, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_and_could_not_be_handed_over_goes_the_way_for_when_the_service_is_away() {
    let rig = calls_back_alone("alonebackrefer").start().await.unwrap();
    let (agent, colleague) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    let (called, leg) = called_back(&rig).await;
    answers(colleague);
    let second = agent.dial("2000").await.unwrap();
    let other = colleague.rung(1, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    rig.usher().unwrap().kill().await.unwrap();
    gives(&rig, &leg, &second).await;
    fallback_has(&rig, &called, 2).await;
}
