//! A waiting caller presses a key, hangs up, keeps the place, and is called back: once, and by one call at a time.

use std::time::Duration;

use software_sim::client::Event;
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Leg, Phone, PhoneEvent, Side},
    rig::{Builder, Rig},
    usher::Usher,
    wait,
};

use crate::{
    aid::{
        RECONNECTED, SOON, answers, enter, house, in_the_queue, log_says, log_says_times, ready_says, story, talk,
        times,
    },
    steps::{Crm, command, key_in, value, wait_for_value},
};

/// The customer: a phone of the house as well, so that it can be called without a trunk.
pub const CUSTOMER: &str = "3000";

/// How long the customer's phone rings where the member is to hear that they are called.
const HEARS: Duration = Duration::from_secs(6);

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

/// The bridge of a call whose service was killed is there until the next one comes.
async fn no_channel_is_left(rig: &Rig) {
    wait::until("no channel is left", SOON, || async {
        let channels = rig.pbx.channels().await?;
        anyhow::ensure!(channels.is_empty(), "{channels:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_presses_the_key_keeps_the_place_without_a_line_and_is_called_when_it_is_their_turn() {
    let rig = calls_back("cbturn", &["1000"]).start().await.unwrap();
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
    leg.wait_for_prompt(&prompts, "calling_back", SOON).await.unwrap();
    // North America's ringing is 440 Hz and 480 Hz.
    leg.audio().wait_for_tone(440, SOON).await.unwrap();
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
    let leg = member.rung(3, SOON).await.unwrap();
    let called = customer.rung(2, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
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
    let leg = two.rung(1, SOON).await.unwrap();
    let called = customer.rung(2, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
    called.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 2);
    assert_eq!(story(&rig, CUSTOMER).await.answered_by, "2000");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_callback_waits_the_service_calls_back_once_and_in_its_place() {
    let rig = calls_back("cbkillwait", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    let later = enter(&rig, "5550002").await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    log_says_times(&rig, "in step with Asterisk", 2).await;
    answers(customer);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
    assert_eq!(shown(member), ["5550001", CUSTOMER], "it has lost its place");
    called.hang_up().await.unwrap();
    later.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(customer.invites().len(), 1);
    assert_eq!(story(&rig, CUSTOMER).await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_customer_rings_the_service_lets_it_ring_on_and_both_talk() {
    let rig = calls_back("cbkillring", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    customer.behave(Behaviour::AnswerAfter(Duration::from_secs(12)));
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
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
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    customer.behave(Behaviour::Ignore);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    rig.usher().unwrap().kill().await.unwrap();
    called.hang_up().await.unwrap();
    leg.hang_up().await.unwrap();
    no_channel_is_left(&rig).await;
    rig.usher().unwrap().start_again().await.unwrap();
    answers(customer);
    let leg = member.rung(3, SOON).await.unwrap();
    let called = customer.rung(2, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_while_the_customer_rings_goes_on_with_that_call() {
    let rig = calls_back("cbstandby", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let mut spec = rig.spec.clone().unwrap();
    // On one machine each needs a port of its own.
    spec.agi_port = rig.instance.port().unwrap();
    let standby = Usher::stand_by(&rig.instance, &spec).await.unwrap();
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    customer.behave(Behaviour::AnswerAfter(Duration::from_secs(15)));
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
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
    let leg = member.rung(2, RECONNECTED).await.unwrap();
    assert_eq!(shown(member)[1], CUSTOMER);
    let called = customer.rung(1, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_is_sent_on_by_feature_code_and_by_the_phones_own_key() {
    let rig = calls_back("cbsenton", &["1000"]).start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let colleague = rig.phones.phone("2000").unwrap();
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    answers(customer);
    answers(colleague);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
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
    let leg = member.rung(3, SOON).await.unwrap();
    let called = customer.rung(2, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    assert_eq!(shown(customer), ["5559999", "5559999"]);
    talk(&called, &leg).await;
    called.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let told = story(&rig, "5551234").await;
    assert_eq!((told.outcome.as_str(), told.answered_by.as_str()), ("completed", "1000"));
    let why = "SELECT detail ->> 'why' FROM call_events WHERE kind = 'callback_missed'";
    assert_eq!(value(&rig, why).await.unwrap(), "rejected", "what the carrier says is understood");
}

/// Was called back by 1000, and is being sent on to 2000, whose phone rings: the customer's leg.
async fn sent_on(rig: &Rig) -> Leg {
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let colleague = rig.phones.phone("2000").unwrap();
    let other = keep_busy(rig, member).await;
    customer_asks(rig).await;
    answers(customer);
    colleague.behave(Behaviour::Ignore);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
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
    called.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(rig.phones.phone(CUSTOMER).unwrap().invites().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_was_called_back_and_is_with_the_dialplan_is_let_be_by_a_service_that_comes_back() {
    let rig = calls_back("cbletbe", &["1000"]).proxies().start().await.unwrap();
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let colleague = rig.phones.phone("2000").unwrap();
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    answers(customer);
    answers(colleague);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
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
    let (member, customer) = (rig.phones.phone("1000").unwrap(), rig.phones.phone(CUSTOMER).unwrap());
    let colleague = rig.phones.phone("2000").unwrap();
    let other = keep_busy(&rig, member).await;
    customer_asks(&rig).await;
    answers(customer);
    answers(colleague);
    other.hang_up().await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    let called = customer.rung(1, SOON).await.unwrap();
    called.answered(SOON).await.unwrap();
    talk(&called, &leg).await;
    called.transfer("2000", None).await.unwrap();
    called.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    no_channel_is_left(&rig).await;
    assert_eq!((colleague.rings_so_far(), story(&rig, CUSTOMER).await.answered_by.as_str()), (0, "1000"));
}
