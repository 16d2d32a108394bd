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
    fs::write(site.join("queues.conf"), format!("[compare](usher-default)\nstrategy={strategy}\n")).unwrap();
    fs::write(site.join("extensions.conf"), "[usher-incoming](+)\nexten => 8000,1,Queue(compare,,,,60)\n").unwrap();
    rig.pbx.cli("queue reload all").await.unwrap();
    rig.pbx.cli("dialplan reload").await.unwrap();
    for (number, penalty) in members {
        let command = format!("queue add member PJSIP/{number} to compare penalty {penalty} as {number}");
        rig.pbx.cli(&command).await.unwrap();
    }
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
    println!("{strategy}: {all:?}");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_ringall_rings_everybody_of_the_lowest_penalty_at_once() {
    app_queue_rings("ringall", &MEMBERS, SCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_leastrecent() {
    app_queue_rings("leastrecent", &MEMBERS, SCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_fewestcalls() {
    app_queue_rings("fewestcalls", &MEMBERS, SCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_rrmemory() {
    app_queue_rings("rrmemory", &MEMBERS, SCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_rrordered() {
    app_queue_rings("rrordered", &MEMBERS, SCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_queue_linear() {
    app_queue_rings("linear", &MEMBERS, SCRIPT).await;
}
