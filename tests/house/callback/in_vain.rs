//! Members who call back, by chat, somebody who had called in vain.

use usher_rig::phones::{Behaviour, Ears};

use super::{CUSTOMER, both_talk, calls_back, customer_asks, customer_enters};
use crate::{
    aid::{SOON, answers, house, no_channel_is_left, times},
    counter::Person,
    steps::{Crm, wait_for_value},
};

const NOBODY: &str = "In your queues nobody has called in vain since yesterday whom nobody has talked with after that.";

#[tokio::test(flavor = "multi_thread")]
async fn who_hung_up_in_the_queue_is_called_back_by_the_first_member_who_says_so() {
    let rig = house("invain").logged_on(&["1000", "2000"]).sql(&times(30, 600)).start().await.unwrap();
    let phone = |number: &str| rig.phones.phone(number).unwrap();
    let (one, two, customer) = (phone("1000"), phone("2000"), phone(CUSTOMER));
    one.behave(Behaviour::Ignore);
    let mut first = Person::connect(&rig, "user1").await;
    let mut second = Person::connect(&rig, "user2").await;
    let mut stranger = Person::connect(&rig, "user3").await;
    first.is_told("callback", NOBODY).await;
    let caller = customer_enters(&rig).await;
    let rung = one.rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rung.hung_up(SOON).await.unwrap();
    wait_for_value(&rig, "SELECT outcome FROM calls", "abandoned").await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    stranger.is_told("callback", "Not done: you are logged on to no queue. \"login\" first.").await;
    second.is_told("callback 2222", NOBODY).await;
    let crm = Crm::watch(&rig, "2000").await;
    for phone in [two, customer] {
        answers(phone);
        phone.set_ears(Ears::Open);
    }
    second.is_told("Call back 1111", "Your phone rings, and then Company 1 (1111) is called at 3000.").await;
    first.is_told("callback", "Too late: 2000 has it.").await;
    let (called, leg) = both_talk((two, 1), (customer, 1)).await;
    let (_, pop) = crm.pop("answered").await;
    assert_eq!((pop.customer.code.as_str(), pop.queue.as_str()), ("1111", "support"));
    leg.hang_up().await.unwrap();
    called.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    first
        .is_told("retornar", "Nas suas filas ninguém ligou em vão desde ontem sem que se falasse com ele depois.")
        .await;
    assert_eq!((one.rings_so_far(), two.rings_so_far(), customer.rings_so_far()), (1, 1, 1));
    let outcomes = "SELECT string_agg(outcome, ' ' ORDER BY entered_at) FROM calls";
    wait_for_value(&rig, outcomes, "abandoned completed").await;
}

/// The member who has asked is dead by the time: the callback is in the database, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_a_member_asked_for_outlives_the_service_and_calls_once() {
    let rig = house("invainkill").logged_on(&["1000"]).sql(&times(30, 600)).start().await.unwrap();
    let (one, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    one.behave(Behaviour::Ignore);
    let mut agent = Person::connect(&rig, "user1").await;
    let caller = customer_enters(&rig).await;
    one.rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    wait_for_value(&rig, "SELECT outcome FROM calls", "abandoned").await;
    agent.is_told("callback", "Your phone rings, and then Company 1 (1111) is called at 3000.").await;
    one.rung(2, SOON).await.unwrap();
    wait_for_value(&rig, "SELECT state FROM callbacks", "waiting").await;
    for phone in [one, customer] {
        answers(phone);
        phone.set_ears(Ears::Open);
    }
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    let (called, leg) = both_talk((one, 3), (customer, 1)).await;
    called.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.rings_so_far(), 1);
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE outcome = 'completed'", "1").await;
}

/// They asked for it themselves, were busy, and would be tried again in five minutes.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_be_called_back_is_called_at_once_when_a_member_says_so() {
    let retry = "UPDATE queues SET callback_retry_seconds = 300";
    let rig = calls_back("invainwaits", &["1000"]).sql(retry).start().await.unwrap();
    let (one, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let mut agent = Person::connect(&rig, "user1").await;
    one.behave(Behaviour::Ignore);
    customer_asks(&rig).await;
    customer.behave(Behaviour::Busy);
    one.set_ears(Ears::Open);
    one.rung(2, SOON).await.unwrap().answer().await.unwrap();
    wait_for_value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'callback_missed'", "1").await;
    no_channel_is_left(&rig).await;
    for phone in [one, customer] {
        answers(phone);
        phone.set_ears(Ears::Open);
    }
    agent.is_told("callback 1111", "Your phone rings, and then Company 1 (1111) is called at 3000.").await;
    let (called, leg) = both_talk((one, 3), (customer, 2)).await;
    leg.hang_up().await.unwrap();
    called.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    agent.is_told("callback", NOBODY).await;
    wait_for_value(&rig, "SELECT outcome FROM calls", "completed").await;
}

/// Each of these is a call that nobody answered in the queue, and none is one that came to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whom_somebody_has_talked_with_in_another_way_is_not_called_back() {
    let rig = house("invainserved").logged_on(&["1000"]).start().await.unwrap();
    let mut agent = Person::connect(&rig, "user1").await;
    let call = |id: u32, customer: u32, number: &str, minutes: u32, more: &str| {
        format!(
            "INSERT INTO calls (id, server, channel, queue, customer_id, customer_code, customer_name, caller_number, caller_name, entered_at, \
             ended_at, answered_at, answered_by, outcome) SELECT lpad('{id}', 32, '0')::uuid, 'pbx', '1.1', 'support', {customer}, '{customer}', 'C', \
             '{number}', '', now() - interval '{minutes} min', now(), {more}"
        )
    };
    let none = "NULL, NULL, 'abandoned'";
    for (sql, expected) in [
        // Sent on to a phone; withheld; cancelled.
        (call(1, 11, "5550001", 50, "NULL, NULL, 'overflowed'"), NOBODY),
        (call(2, 12, "", 49, none), NOBODY),
        (call(3, 13, "5550003", 48, "NULL, NULL, 'cancelled'"), NOBODY),
        // Two lines at once, and it was the other that was answered; and one from elsewhere, later.
        (call(4, 14, "5550004", 47, "now() - interval '20 min', '1000', 'completed'"), NOBODY),
        (call(5, 14, "5550004", 46, none), NOBODY),
        (call(6, 14, "5550005", 45, none), NOBODY),
        // The fallback may have answered them: only by name.
        (call(7, 15, "5550007", 44, "NULL, NULL, 'no_members'"), NOBODY),
    ] {
        crate::steps::sql(&rig, &sql).await;
        agent.is_told("callback", expected).await;
    }
    crate::steps::sql(&rig, &call(8, 16, "5550008", 43, none)).await;
    let moved = "INSERT INTO call_events (id, call_id, at, kind, detail) SELECT gen_random_uuid(), id, now(), 'overflowed', '{\"to\": \"queue/sales\"}' \
        FROM calls WHERE customer_id = 16";
    crate::steps::sql(&rig, moved).await;
    agent.is_told("callback", NOBODY).await;
    agent.is_told("callback 15", "Your phone rings, and then C (15) is called at 5550007.").await;
}
