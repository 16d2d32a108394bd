//! The same calls given to app_queue and to the service, on one Asterisk, with each strategy: whom each rings, in which order.
//!
//! Where app_queue has no rule (members who tie are rung in the order of its hash table) only what it has a rule for is held.

use std::{fs, time::Duration};

use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Leg},
    rig::Rig,
};

use crate::{
    aid::{SOON, house},
    steps::{ringings, value, wait_for_value},
};

/// A call, by who rejects it; the others answer.
type Script<'a> = &'a [&'a [&'a str]];

/// Three members and a fourth with a penalty; calls that all would answer, and some that are rejected.
const MEMBERS: [(&str, u32); 4] = [("1000", 0), ("2000", 0), ("3000", 0), ("1001", 1)];
/// The same, joined in another order than that of their numbers: for the strategies that go by it.
const JOINED: [(&str, u32); 4] = [("2000", 0), ("1000", 0), ("3000", 0), ("1001", 1)];
const SCRIPT: Script<'_> = &[&[], &[], &[], &[], &["1000", "2000"], &[], &["1000", "2000", "3000"], &[]];

/// The same for `ringall`, and who has to ring before anybody answers.
const RINGALL: &[(&[&str], &[&str])] = &[
    (&[], &ALL),
    (&[], &ALL),
    (&["1000", "2000"], &ALL),
    (&[], &ALL),
    (&ALL, &["1000", "2000", "3000", "1001"]),
    (&[], &ALL),
];
/// Those without a penalty.
const ALL: [&str; 3] = ["1000", "2000", "3000"];

/// Talks last longer than the second that app_queue counts in.
const TALK: Duration = Duration::from_millis(1_100);

/// What is dialled to come to app_queue, and to the service.
const APP_QUEUE: &str = "8000";
const USHER: &str = "8001";
/// app_queue's is named otherwise, so that the service leaves its members alone.
const DIALPLAN: &str = "\
[usher-incoming](+)
exten => 8000,1,Queue(theirs,,,,60)
exten => 8001,1,Set(USHER_QUEUE=ours)
 same => n,Stasis(usher)
 same => n,Hangup()
";

/// A switchboard on which app_queue and the service each have a queue of that strategy with the same members, who joined in
/// the order given.
async fn both(strategy: &str, members: &[(&str, u32)]) -> Rig {
    let mut builder = house("compare").members(4).sql(&format!(
        "INSERT INTO queues (name, label, greeting, strategy) VALUES ('ours', 'Ours', '', '{strategy}'); \
         INSERT INTO extensions (number, name, jid) VALUES ('1001', 'Agent Four', 'user1001@usher.test')"
    ));
    for (place, (number, penalty)) in members.iter().enumerate() {
        // Each a statement of its own: they join one after the other.
        builder = builder.sql(&format!(
            "INSERT INTO memberships (queue, extension, logged_on, penalty, place) \
             VALUES ('ours', '{number}', true, {penalty}, {place})"
        ));
    }
    let rig = builder.start().await.unwrap();
    let site = rig.pbx.folder().join("etc/site");
    fs::write(site.join("queues.conf"), format!("[theirs](usher-any)\nstrategy={strategy}\n")).unwrap();
    fs::write(site.join("extensions.conf"), DIALPLAN).unwrap();
    rig.pbx.cli("queue reload all").await.unwrap();
    rig.pbx.cli("dialplan reload").await.unwrap();
    for (number, penalty) in members {
        let command = format!("queue add member PJSIP/{number} to theirs penalty {penalty} as {number}");
        rig.pbx.cli(&command).await.unwrap();
    }
    let shown = rig.pbx.cli("queue show theirs").await.unwrap();
    assert!(shown.contains(&format!("'{strategy}' strategy")), "{shown}");
    rig
}

/// Whom a queue rings for each call of the script, in the order in which it does; who does not reject it answers.
async fn rings(rig: &Rig, entry: &str, script: Script<'_>) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (call, rejecting) in script.iter().enumerate() {
        let answers = Behaviour::AnswerThenHangUp { ringing: Duration::ZERO, talking: TALK };
        let (caller, from) = calls(rig, entry, call, rejecting, answers).await;
        caller.hung_up(SOON).await.unwrap();
        all.push(rung(rig, &from).await);
    }
    all
}

/// The same, but that nobody answers before all have rung who are named for that call.
async fn rings_until(rig: &Rig, entry: &str, script: &[(&[&str], &[&str])]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (call, (rejecting, until)) in script.iter().enumerate() {
        let so_far: Vec<usize> = until.iter().map(|number| rig.phones.phone(number).unwrap().rings_so_far()).collect();
        let (caller, from) = calls(rig, entry, call, rejecting, Behaviour::Ignore).await;
        let mut legs = Vec::new();
        for (number, so_far) in until.iter().zip(so_far) {
            legs.push(rig.phones.phone(number).unwrap().rung(so_far + 1, SOON).await.unwrap());
        }
        let willing = until.iter().zip(&legs).find(|(number, _)| !rejecting.contains(number));
        let (_, leg) = willing.expect("somebody answers");
        leg.answer().await.unwrap();
        leg.answered(SOON).await.unwrap();
        caller.hang_up().await.unwrap();
        all.push(rung(rig, &from).await);
    }
    all
}

/// Has somebody call, of whom nobody knows but by the number that this returns.
async fn calls(rig: &Rig, entry: &str, call: usize, rejecting: &[&str], others: Behaviour) -> (Leg, String) {
    for phone in rig.phones.all() {
        phone.set_ears(Ears::Closed);
        phone.behave(if rejecting.contains(&phone.number()) { Behaviour::Reject } else { others });
    }
    let from = format!("555{entry}{call:02}");
    let spec = CallSpec { from: Some(from.clone()), to: entry.into(), ears: Ears::Closed };
    (rig.phones.call(&spec).await.unwrap(), from)
}

/// Who has rung for a call that is over, in the order in which they did.
async fn rung(rig: &Rig, from: &str) -> Vec<String> {
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let mut rung = Vec::new();
    for phone in rig.phones.all() {
        let theirs = ringings(phone).into_iter().filter(|(_, number, _)| number == from);
        rung.extend(theirs.map(|(at, ..)| (at, phone.number().to_owned())));
    }
    rung.sort();
    rung.into_iter().map(|(_, number)| number).collect()
}

/// Whom app_queue and the service ring, as one line a call, and why the service did.
struct Rung {
    theirs: Vec<String>,
    ours: Vec<String>,
    why: String,
}

/// Gives the calls of the script to both; each call of the service was answered in the end.
async fn both_ring(strategy: &str, members: &[(&str, u32)]) -> Rung {
    let rig = both(strategy, members).await;
    let theirs = rings(&rig, APP_QUEUE, SCRIPT).await;
    let ours = rings(&rig, USHER, SCRIPT).await;
    let answered = "SELECT count(*) FROM call_events WHERE kind = 'answered'";
    wait_for_value(&rig, answered, &SCRIPT.len().to_string()).await;
    let why = "SELECT string_agg(detail::text, chr(10) ORDER BY at, id) FROM call_events WHERE kind = 'offered'";
    let why = value(&rig, why).await.unwrap();
    let [theirs, ours] = [theirs, ours].map(|rings| rings.iter().map(|rung| rung.join(" ")).collect());
    Rung { theirs, ours, why }
}

#[tokio::test(flavor = "multi_thread")]
async fn ringall_rings_all_of_the_lowest_penalty_and_the_next_when_all_of_them_reject_as_app_queue_does() {
    let rig = both("ringall", &MEMBERS).await;
    for entry in [APP_QUEUE, USHER] {
        let rings = rings_until(&rig, entry, RINGALL).await;
        for (call, rung) in rings.iter().enumerate() {
            assert!(rung.len() >= 3, "{entry}, call {call}: {rung:?}");
            let (first, later) = rung.split_at(3);
            let mut first = first.to_vec();
            first.sort();
            assert_eq!(first, ["1000", "2000", "3000"], "{entry}, call {call}");
            assert_eq!(later.join(" "), if call == 4 { "1001" } else { "" }, "{entry}, call {call}");
        }
    }
}

// Of those who never had a call app_queue takes any; that it is the order of their numbers here is the luck of its hashes.
// The service takes them in the order of their numbers by rule.

#[tokio::test(flavor = "multi_thread")]
async fn leastrecent_takes_whose_last_call_is_longest_ago_and_a_refusal_is_a_turn_with_the_service_alone() {
    let Rung { theirs, ours, why } = both_ring("leastrecent", &MEMBERS).await;
    // app_queue goes by answered calls alone: who rejects stays at the front, and is rung first by the next caller, too.
    assert_eq!(theirs, ["1000", "2000", "3000", "1000", "2000 3000", "2000", "1000 3000 2000 1001", "1000"]);
    // The service gives 2000 the end of the line for rejecting the fifth call, as 1000, 2000 and 3000 for the seventh: a
    // silent phone is not rung first by every caller. So the orders part at the sixth call.
    let expected = ["1000", "2000", "3000", "1000", "2000 3000", "1000", "2000 3000 1000 1001", "2000"];
    assert_eq!(ours, expected, "the service: {why}");
}

/// The service rings the same members in the same order as app_queue.
async fn both_ring_so(strategy: &str, members: &[(&str, u32)], expected: [&str; 8]) {
    let Rung { theirs, ours, why } = both_ring(strategy, members).await;
    assert_eq!(theirs, expected, "app_queue");
    assert_eq!(ours, expected, "the service: {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fewestcalls_takes_who_has_answered_the_fewest_as_app_queue_does() {
    let expected = ["1000", "2000", "3000", "1000", "2000 3000", "2000", "1000 2000 3000 1001", "1000"];
    both_ring_so("fewestcalls", &MEMBERS, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rrmemory_goes_on_after_who_answered_last_as_app_queue_does() {
    let expected = ["2000", "1000", "3000", "2000", "1000 3000", "2000", "1000 3000 2000 1001", "2000"];
    both_ring_so("rrmemory", &JOINED, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rrordered_goes_on_after_who_answered_last_as_app_queue_does() {
    let expected = ["2000", "1000", "3000", "2000", "1000 3000", "2000", "1000 3000 2000 1001", "2000"];
    both_ring_so("rrordered", &JOINED, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn linear_begins_with_the_first_for_each_caller_as_app_queue_does() {
    let expected = ["2000", "2000", "2000", "2000", "2000 1000 3000", "2000", "2000 1000 3000 1001", "2000"];
    both_ring_so("linear", &JOINED, expected).await;
}
