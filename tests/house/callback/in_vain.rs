//! Members who call back, by chat, somebody who had called in vain.

use usher_rig::phones::{Behaviour, Ears};

use super::{CUSTOMER, both_talk, customer_enters};
use crate::{
    aid::{SOON, answers, house, times},
    counter::Person,
    steps::{Crm, value, wait_for_value},
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
    assert_eq!(value(&rig, outcomes).await.unwrap(), "abandoned completed");
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
