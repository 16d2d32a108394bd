//! What app_queue does with the same calls: whom each strategy rings, in which order. The yardstick for the floor's.
//!
//! Where app_queue has no rule (members who tie are rung in the order of its hash table) only what it has a rule for is held.

use std::{fs, time::Duration};

use usher_rig::{
    phones::{Behaviour, CallSpec, Ears},
    rig::Rig,
};

use crate::{aid::SOON, steps::ringings};

/// A call, by who rejects it; the others answer.
type Script<'a> = &'a [&'a [&'a str]];

/// Three members and a fourth with a penalty; calls that all would answer, and some that are rejected.
const MEMBERS: [(&str, u32); 4] = [("1000", 0), ("2000", 0), ("3000", 0), ("1001", 1)];
const SCRIPT: Script<'_> = &[&[], &[], &[], &[], &["1000", "2000"], &[], &["1000", "2000", "3000"], &[]];

/// Talks last longer than the second that app_queue counts in.
const TALK: Duration = Duration::from_millis(1_100);

/// Whom app_queue rings for each call of the script, in the order in which it does; members joined in the order given.
pub async fn app_queue_rings(strategy: &str, members: &[(&str, u32)], script: Script<'_>) -> Vec<Vec<String>> {
    let rig = Rig::builder().name("compare").members(4).start().await.unwrap();
    let site = rig.pbx.folder().join("etc/site");
    fs::write(site.join("queues.conf"), format!("[compare](usher-any)\nstrategy={strategy}\n")).unwrap();
    fs::write(site.join("extensions.conf"), "[usher-incoming](+)\nexten => 8000,1,Queue(compare,,,,60)\n").unwrap();
    rig.pbx.cli("queue reload all").await.unwrap();
    rig.pbx.cli("dialplan reload").await.unwrap();
    for (number, penalty) in members {
        let command = format!("queue add member PJSIP/{number} to compare penalty {penalty} as {number}");
        rig.pbx.cli(&command).await.unwrap();
    }
    let shown = rig.pbx.cli("queue show compare").await.unwrap();
    assert!(shown.contains(&format!("'{strategy}' strategy")), "{shown}");
    let mut all = Vec::new();
    for (call, rejecting) in script.iter().enumerate() {
        for phone in rig.phones.all() {
            phone.set_ears(Ears::Closed);
            let ringing = Duration::ZERO;
            phone.behave(match rejecting.contains(&phone.number()) {
                true => Behaviour::Reject,
                false => Behaviour::AnswerThenHangUp { ringing, talking: TALK },
            });
        }
        let from = format!("55510{call:02}");
        let spec = CallSpec { from: Some(from.clone()), to: "8000".into(), ears: Ears::Closed };
        let caller = rig.phones.call(&spec).await.unwrap();
        caller.hung_up(SOON).await.unwrap();
        rig.pbx.wait_until_empty(SOON).await.unwrap();
        let mut rung = Vec::new();
        for phone in rig.phones.all() {
            let theirs = ringings(phone).into_iter().filter(|(_, number, _)| *number == from);
            rung.extend(theirs.map(|(at, ..)| (at, phone.number().to_owned())));
        }
        rung.sort();
        all.push(rung.into_iter().map(|(_, number)| number).collect());
    }
    all
}

/// What `rings` are, as one line a call.
async fn app_queue_rings_so(strategy: &str, expected: [&str; 8]) {
    let rings = app_queue_rings(strategy, &MEMBERS, SCRIPT).await;
    let rings: Vec<String> = rings.iter().map(|rung| rung.join(" ")).collect();
    assert_eq!(rings, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_ringall_rings_all_of_the_lowest_penalty_and_the_next_when_all_of_them_reject() {
    let rings = app_queue_rings("ringall", &MEMBERS, SCRIPT).await;
    for (call, rung) in rings.iter().enumerate() {
        let (first, later) = rung.split_at(3);
        let mut first = first.to_vec();
        first.sort();
        assert_eq!(first, ["1000", "2000", "3000"], "call {call}");
        assert_eq!(later.join(" "), if call == 6 { "1001" } else { "" }, "call {call}");
    }
}

// Of those who never had a call app_queue takes any; that it is the order of their numbers here is the luck of its hashes.

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_leastrecent_takes_whose_last_call_is_longest_ago_whatever_they_rejected() {
    app_queue_rings_so(
        "leastrecent",
        ["1000", "2000", "3000", "1000", "2000 3000", "2000", "1000 3000 2000 1001", "1000"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_fewestcalls_takes_who_has_answered_the_fewest() {
    app_queue_rings_so(
        "fewestcalls",
        ["1000", "2000", "3000", "1000", "2000 3000", "2000", "1000 2000 3000 1001", "1000"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_rrmemory_goes_on_after_who_answered_last() {
    app_queue_rings_so(
        "rrmemory",
        ["1000", "2000", "3000", "1000", "2000 3000", "1000", "2000 3000 1000 1001", "1000"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_rrordered_goes_on_after_who_answered_last() {
    app_queue_rings_so(
        "rrordered",
        ["1000", "2000", "3000", "1000", "2000 3000", "1000", "2000 3000 1000 1001", "1000"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_linear_begins_with_the_first_for_each_caller() {
    app_queue_rings_so(
        "linear",
        ["1000", "1000", "1000", "1000", "1000 2000 3000", "1000", "1000 2000 3000 1001", "1000"],
    )
    .await;
}
