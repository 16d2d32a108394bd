//! A waiting caller presses a key, hangs up, keeps the place, and is called back: once, and by one call at a time.

mod again;
mod cut_off;
mod in_vain;
mod killed;
mod sent_on;

use std::time::Duration;

use software_sim::client::Event;
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Leg, Phone, PhoneEvent, Side},
    rig::{Builder, Rig},
    wait,
};

use crate::{
    aid::{ANSWERS, SOON, answers, enter, house, in_the_queue, story, talk, times},
    steps::{Crm, command, key_in, value, wait_for_value},
};

/// The customer: a phone of the house as well, so that it can be called without a trunk.
pub const CUSTOMER: &str = "3000";

/// How long the customer's phone rings where the member is to hear that they are called.
const HEARS: Duration = Duration::from_secs(9);

/// A house whose callers press star; the second try follows after 2 s.
pub fn calls_back(name: &str, members: &[&str]) -> Builder {
    house(name).logged_on(members).sql(&times(30, 600)).sql(
        "UPDATE queues SET callback_key = '*', callback_retry_seconds = 2, callback_ring_seconds = 30, callback_tries = 3",
    )
}

/// The customer's phone goes to the queue.
async fn customer_enters(rig: &Rig) -> Leg {
    let caller = rig.phones.phone(CUSTOMER).unwrap().dial("0000").await.unwrap();
    caller.answered(SOON).await.unwrap();
    caller.press("11111").await.unwrap();
    in_the_queue(rig, CUSTOMER).await;
    caller
}

/// The customer asks to be called back, is told so and hung up.
pub async fn customer_asks(rig: &Rig) {
    let caller = customer_enters(rig).await;
    caller.press("*").await.unwrap();
    caller.wait_for_prompt(&rig.pbx.prompts("en").unwrap(), "call_back", SOON).await.unwrap();
    assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
}

/// The member is kept busy by another caller.
pub async fn keep_busy(rig: &Rig, member: &Phone) -> Leg {
    answers(member);
    let before = member.rings_so_far();
    member.set_ears(Ears::Closed);
    let other = enter(rig, "5550001").await;
    member.rung(before + 1, SOON).await.unwrap().answered(SOON).await.unwrap();
    member.set_ears(Ears::Open);
    other
}

/// The numbers that a phone has shown, in their order.
fn shown(phone: &Phone) -> Vec<String> {
    let number = |event: PhoneEvent| match event {
        PhoneEvent::Ringing { number, .. } => Some(number),
        PhoneEvent::Answered { .. } | PhoneEvent::Ended(_) => None,
    };
    phone.events().into_iter().filter_map(number).collect()
}

/// The member is rung for this time about the customer, who is called for that time and answers: the legs of customer and member.
async fn both_talk((member, rings): (&Phone, usize), (customer, calls): (&Phone, usize)) -> (Leg, Leg) {
    let leg = member.rung(rings, SOON).await.unwrap();
    let called = customer.rung(calls, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
    (called, leg)
}

/// The customer has asked, 1000 has answered, and the customer's phone rings, which does this: the legs of customer and member.
async fn called(rig: &Rig, does: Behaviour) -> (Leg, Leg) {
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(rig, member).await;
    customer_asks(rig).await;
    customer.behave(does);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    (customer.rung(1, SOON).await.unwrap(), leg)
}

/// A customer who has asked, was called back and talks with 1000: the legs of the two.
pub async fn called_back(rig: &Rig) -> (Leg, Leg) {
    let (called, leg) = called(rig, ANSWERS).await;
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
    (called, leg)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_presses_the_key_keeps_the_place_without_a_line_and_is_called_when_it_is_their_turn() {
    let greeting = "UPDATE queues SET member_greeting = 'usher/recorded'";
    let rig = calls_back("cbturn", &["1000"]).sql(greeting).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let crm = Crm::watch(&rig, "1000").await;
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    let later = enter(&rig, "5550002").await;
    assert_eq!(customer.invites().len(), 0, "called before a member was there");

    customer.behave(Behaviour::AnswerAfter(HEARS));
    member.behave(Behaviour::AnswerAfter(Duration::from_millis(500)));
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    assert_eq!(shown(member), ["5550001", CUSTOMER], "who asked first is served first");
    assert_eq!(customer.invites().len(), 0, "called before the member has answered");
    leg.wait_for_prompt(&prompts, "recorded", SOON).await.unwrap();
    leg.wait_for_prompt(&prompts, "calling_back", SOON).await.unwrap();
    // North America's ringing is 440 Hz and 480 Hz.
    leg.wait_for_tone(440, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
    crm.wait(
        "the pop of the customer",
        |event| matches!(event, Event::Pop(pop) if pop.caller.number == CUSTOMER && pop.state == "answered"),
    )
    .await;
    let offered = crm.pops().iter().find(|pop| pop.caller.number == CUSTOMER).map(|pop| pop.state.clone());
    assert_eq!(offered.as_deref(), Some("offered"));
    called.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    // The line goes on.
    member.rung(3, SOON).await.unwrap();
    assert_eq!(shown(member)[2], "5550002");
    later.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 1);
    let story = story(&rig, CUSTOMER).await;
    assert_eq!((story.outcome.as_str(), story.answered_by.as_str()), ("completed", "1000"));
    assert_eq!(
        story.events,
        ["entered", "callback_asked", "offered", "ringing", "callback_called", "answered", "ended"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_busy_is_tried_again_after_a_pause_and_never_by_two_calls_at_once() {
    let rig = calls_back("cbbusy", &["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    customer.behave(Behaviour::Busy);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.wait_for_prompt(&prompts, "not_reached", SOON).await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    answers(customer);
    let (called, leg) = both_talk((member, 3), (customer, 2)).await;
    leg.hang_up().await.unwrap();
    assert_eq!(called.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let invites = customer.invites();
    assert_eq!(invites.len(), 2);
    assert!(invites[1].at - invites[0].at >= Duration::from_secs(2), "tried again before the pause was over");
    let story = story(&rig, CUSTOMER).await;
    assert_eq!(story.outcome, "completed");
    assert_eq!(story.events.iter().filter(|kind| *kind == "callback_missed").count(), 1, "{story:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_never_there_is_tried_as_often_as_the_queue_says_and_no_more() {
    let rig = calls_back("cbnever", &["1000"])
        .sql("UPDATE queues SET callback_tries = 2, callback_retry_seconds = 1, callback_ring_seconds = 5")
        .start()
        .await
        .unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    customer.behave(Behaviour::Ignore);
    other.hang_up().await.unwrap();
    let first = member.rung(2, SOON).await.unwrap();
    first.hung_up(Duration::from_secs(30)).await.unwrap();
    member.rung(3, SOON).await.unwrap().hung_up(Duration::from_secs(30)).await.unwrap();
    let told = story(&rig, CUSTOMER).await;
    assert_eq!((told.outcome.as_str(), told.answered_by.as_str()), ("not_reached", ""));
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 2);
    let report = command(&rig, &["report", "queue", "--format", "json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let queue = &report.as_array().unwrap()[0];
    assert_eq!((&queue["offered"], &queue["answered"], &queue["not_reached"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!(queue["abandoned"], 0, "{queue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_hangs_up_before_the_customer_answers_ends_the_ringing_and_the_next_member_calls() {
    let rig = calls_back("cbnext", &["1000", "2000"]).start().await.unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    let customer = rig.phones.phone(CUSTOMER).unwrap();
    two.behave(Behaviour::Ignore);
    let waits = keep_busy(&rig, one).await;
    // The second member is rung by nobody until the first has hung up: they are paused.
    let paused = command(&rig, &["member", "pause", "2000"]).await;
    assert!(paused.status.success());
    customer_asks(&rig).await;
    customer.behave(Behaviour::Ignore);
    waits.hang_up().await.unwrap();
    let leg = one.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    answers(customer);
    answers(two);
    assert!(command(&rig, &["member", "resume", "2000"]).await.status.success());
    leg.hang_up().await.unwrap();
    assert_eq!(called.hung_up(SOON).await.unwrap().by, Side::Them);
    let (called, _) = both_talk((two, 1), (customer, 2)).await;
    called.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 2);
    assert_eq!(story(&rig, CUSTOMER).await.answered_by, "2000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_number_hears_that_it_cannot_be_done_and_waits_on() {
    let rig = calls_back("cbnone", &["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let member = rig.phones.phone("1000").unwrap();
    let other = keep_busy(&rig, member).await;
    let spec = CallSpec { from: None, to: "0000".into(), ears: Ears::Open };
    let caller = key_in(&rig, &spec, "1111").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls", "2").await;
    caller.press("*").await.unwrap();
    caller.wait_for_prompt(&prompts, "no_call_back", SOON).await.unwrap();
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(value(&rig, "SELECT count(*) FROM callbacks").await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_calls_again_has_the_place_and_is_not_called_back_as_well() {
    let rig = calls_back("cbagain", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    let later = enter(&rig, "5550002").await;
    let caller = customer_enters(&rig).await;
    wait_for_value(&rig, "SELECT outcome FROM calls WHERE caller_number = '3000' AND outcome <> ''", "called_again")
        .await;
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    assert_eq!(shown(member), ["5550001", CUSTOMER]);
    caller.hang_up().await.unwrap();
    member.rung(3, SOON).await.unwrap();
    later.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_cancelled_is_listed_no_more_and_nobody_is_called() {
    let rig = calls_back("cbcancel", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    // The line ends when the wish is kept, and the database has it a moment later.
    wait_for_value(&rig, "SELECT count(*) FROM callbacks", "1").await;
    let list = async || {
        let output = command(&rig, &["callback", "list", "--json"]).await;
        serde_json::from_slice::<Vec<serde_json::Value>>(&output.stdout).unwrap()
    };
    let listed = list().await;
    assert_eq!(
        (&listed[0]["number"], &listed[0]["state"], &listed[0]["tries"]),
        (&CUSTOMER.into(), &"waiting".into(), &0.into())
    );
    let call = listed[0]["call"].as_str().unwrap();
    let cancelled = command(&rig, &["callback", "cancel", call]).await;
    assert!(cancelled.status.success(), "{}", String::from_utf8_lossy(&cancelled.stderr));
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "cancelled");
    assert_eq!(list().await.len(), 0);
    let again = command(&rig, &["callback", "cancel", call]).await;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("is over"));
    other.hang_up().await.unwrap();
    // The next one is served as if there never had been another.
    let next = enter(&rig, "5550003").await;
    member.rung(2, SOON).await.unwrap();
    assert_eq!(shown(member)[1], "5550003");
    next.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 0);
}

/// A carrier: what the house dials over it rings at this phone. It is where the desk phones are: a call that comes in at another
/// address has its sound at the desk phones' all the same.
async fn connect_carrier(rig: &Rig, number: &str, phone: &str) {
    let places = std::fs::read_to_string(rig.phones.folder().join("etc/pjsip.conf")).unwrap();
    let address = places.lines().filter_map(|line| line.strip_prefix("bind=")).find(|at| at.starts_with("127.0.0.1"));
    let site = rig.pbx.folder().join("etc/site/pjsip.conf");
    let before = std::fs::read_to_string(&site).unwrap();
    let carrier = format!(
        "[carrier]\ntype=endpoint\ncontext=usher-incoming\ntransport=transport-udp\ndisallow=all\nallow=ulaw,alaw\n\
         direct_media=no\ndtmf_mode=rfc4733\naors=carrier\n[carrier]\ntype=aor\ncontact=sip:{}\n",
        address.unwrap()
    );
    std::fs::write(&site, before + &carrier).unwrap();
    rig.pbx.cli("module reload res_pjsip.so").await.unwrap();
    wait::until("the carrier is known", SOON, || async {
        let shown = rig.pbx.cli("pjsip show endpoint carrier").await?;
        anyhow::ensure!(shown.contains("Contact:"), "{shown}");
        Ok(())
    })
    .await
    .unwrap();
    let added =
        rig.phones.cli(&format!("dialplan add extension {number},1,Stasis,phones,desk,{phone} into desk")).await;
    added.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_outside_is_called_back_over_the_trunk_and_sees_the_number_of_the_house() {
    let rig = calls_back("cbtrunk", &["1000"])
        .global("USHER_CALLBACK_TRUNK=carrier")
        .global("USHER_CALLBACK_NUMBER=5559999")
        .start()
        .await
        .unwrap();
    connect_carrier(&rig, "5551234", CUSTOMER).await;
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    let asks = enter(&rig, "5551234").await;
    asks.press("*").await.unwrap();
    asks.hung_up(SOON).await.unwrap();
    customer.behave(Behaviour::Busy);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    customer.rung(1, SOON).await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    answers(customer);
    let (called, leg) = both_talk((member, 3), (customer, 2)).await;
    assert_eq!(shown(customer), ["5559999", "5559999"]);
    called.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let told = story(&rig, "5551234").await;
    assert_eq!((told.outcome.as_str(), told.answered_by.as_str()), ("completed", "1000"));
    let why = "SELECT detail ->> 'why' FROM call_events WHERE kind = 'callback_missed'";
    assert_eq!(value(&rig, why).await.unwrap(), "rejected", "what the carrier says is understood");
}
