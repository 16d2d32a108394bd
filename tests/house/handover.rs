//! Agents who ask for a queue on a second line, and hand their customer over to it: to who waits there, and to the colleague who
//! has answered there.

use usher_rig::{
    phones::{CallSpec, Ears, Leg, Phone},
    rig::{Builder, Rig},
};

use crate::{
    aid::{
        self, RECONNECTED, SOON, answers, enter_with, hands_over, house, in_the_queue, log_says, log_says_times,
        ready_says, story, talk, times,
    },
    steps::{command, sql, wait_for_value},
};

/// With recording: what Asterisk puts in the place of a line translates then, and is heard only if it does so from the beginning.
fn floor(name: &str) -> Builder {
    let recording = "UPDATE queues SET recording = true";
    house(name).logged_on(&["1000", "2000"]).sql(&times(15, 60)).sql(recording)
}

/// `member pause` or `member resume` of an extension.
async fn member(rig: &Rig, what: &str, extension: &str) {
    assert!(command(rig, &["member", what, extension]).await.status.success());
    let paused = format!("SELECT count(*) FROM pauses WHERE extension = '{extension}'");
    wait_for_value(rig, &paused, if what == "pause" { "1" } else { "0" }).await;
}

/// A caller who talks with 1000, while 2000 is paused.
async fn talking(rig: &Rig) -> (Leg, Leg) {
    member(rig, "pause", "2000").await;
    aid::talking(rig, "5550001", "1000").await
}

/// The agent has answered the customer, and 2000 the agent's own call in the queue; nobody was rung for anything else.
async fn each_has_answered_one(rig: &Rig) {
    let rings = ["1000", "2000"].map(|number| rig.phones.phone(number).unwrap().rings_so_far());
    assert_eq!(rings, [1, 1]);
    let (line, customer) = (story(rig, "1000").await, story(rig, "5550001").await);
    assert_eq!((line.outcome.as_str(), line.answered_by.as_str()), ("completed", "2000"));
    assert_eq!((customer.outcome.as_str(), customer.answered_by.as_str()), ("completed", "1000"));
}

/// A second line of a phone, which waits in the queue with the customer's code.
async fn asks_for_the_queue(rig: &Rig, phone: &Phone) -> Leg {
    let second = phone.dial("0000").await.unwrap();
    second.answered(SOON).await.unwrap();
    second.press("11111").await.unwrap();
    in_the_queue(rig, phone.number()).await;
    second
}

/// The service has seen that the place of a second line was handed over.
async fn is_handed_over(rig: &Rig) {
    log_says(rig, "a phone has handed its place in the queue over", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_handed_over_to_a_line_that_waits_has_its_place_also_after_kill_9() {
    let rig = floor("secondline").start().await.unwrap();
    let (agent, colleague) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(colleague);
    let (caller, leg) = talking(&rig).await;
    let second = asks_for_the_queue(&rig, agent).await;
    let later = enter_with(&rig, "5550002", Ears::Open).await;
    // The agent is free afterwards, and is not to be the one who gets the customer.
    member(&rig, "pause", "1000").await;
    hands_over(agent, &leg, &second).await;
    is_handed_over(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    ready_says(&rig, 200, RECONNECTED).await;
    member(&rig, "resume", "2000").await;
    let other = colleague.rung(1, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    talk(&caller, &other).await;
    later.hang_up().await.unwrap();
    caller.hang_up().await.unwrap();
    other.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    each_has_answered_one(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_handed_over_to_a_colleague_reached_through_the_queue_talks_with_them() {
    let rig = floor("throughqueue").start().await.unwrap();
    let (agent, colleague) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(colleague);
    let (caller, leg) = talking(&rig).await;
    member(&rig, "resume", "2000").await;
    let second = asks_for_the_queue(&rig, agent).await;
    let other = colleague.rung(1, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    talk(&second, &other).await;
    hands_over(agent, &leg, &second).await;
    is_handed_over(&rig).await;
    let to = "SELECT detail ->> 'to' FROM call_events WHERE kind = 'transferred'";
    wait_for_value(&rig, to, "queue/support").await;
    talk(&caller, &other).await;
    other.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    each_has_answered_one(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receptionist_hands_a_caller_over_to_the_queue_and_who_is_not_served_there_reaches_the_fallback() {
    let rig = house("reception").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let (agent, reception) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(reception);
    answers(agent);
    member(&rig, "pause", "1000").await;
    let mut legs = Vec::new();
    for number in ["5550001", "5550002"] {
        let caller = rig.phones.call(&CallSpec::new(number, "0000")).await.unwrap();
        caller.answered(SOON).await.unwrap();
        caller.press("2").await.unwrap();
        let leg = reception.rung(legs.len() + 1, SOON).await.unwrap();
        leg.answered(SOON).await.unwrap();
        talk(&caller, &leg).await;
        let second = asks_for_the_queue(&rig, reception).await;
        // Their talk is in a bridge of the dialplan's, from which Asterisk takes the caller's own channel.
        hands_over(reception, &leg, &second).await;
        log_says_times(&rig, "a phone has handed its place in the queue over", legs.len() + 1).await;
        legs.push(caller);
    }
    member(&rig, "resume", "1000").await;
    let leg = agent.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&legs[0], &leg).await;
    // Nobody is logged on any more: the other one is given back to the dialplan.
    let fallback = rig.phones.phone("3000").unwrap();
    answers(fallback);
    sql(&rig, "UPDATE memberships SET logged_on = false").await;
    let last = fallback.rung(1, SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    talk(&legs[1], &last).await;
    for (caller, other) in [(&legs[0], &leg), (&legs[1], &last)] {
        caller.hang_up().await.unwrap();
        other.hung_up(SOON).await.unwrap();
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
