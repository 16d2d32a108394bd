//! Callers whom no queue serves: the phone of the overflow, then the fallback phone, neither of them in a second call.

use std::{fs, time::Duration};

use usher_rig::{
    pbx::PhoneState,
    phones::{Behaviour, CallSpec, Ears, Leg, Side},
    rig::{Builder, Rig},
    wait,
};

use crate::{
    aid::{RECONNECTED, SOON, answers, house, key_in, times},
    fallback::Witness,
    steps::{heard, ringings},
};

/// Nobody is logged on, and whoever comes goes to this phone.
fn empty(name: &str, overflow: &str) -> Builder {
    house(name)
        .members(4)
        .sql("INSERT INTO extensions (number, name, jid) VALUES ('1001', 'Overflow', 'user1001@usher.test')")
        .sql(&format!("UPDATE queues SET greeting = '', overflow = 'extension/{overflow}'"))
}

/// Who rang for a caller, in order.
fn rung_for(rig: &Rig, from: &str) -> Vec<String> {
    let mut rung: Vec<_> = rig
        .phones
        .all()
        .flat_map(|phone| ringings(phone).into_iter().map(|(at, number, _)| (at, number, phone.number().to_owned())))
        .filter(|(_, number, _)| number == from)
        .collect();
    rung.sort();
    rung.into_iter().map(|(.., phone)| phone).collect()
}

/// Calls and presses 2, which leads to the fallback phone where the house says so.
async fn press_2(rig: &Rig, from: &str) -> Leg {
    let spec = CallSpec { from: Some(from.into()), to: "0000".into(), ears: Ears::Open };
    let caller = rig.phones.call(&spec).await.unwrap();
    caller.answered(SOON).await.unwrap();
    caller.press("2").await.unwrap();
    caller
}

const KEY_2: &str = "USHER_KEY_2=ring/3000";

async fn let_down(rig: &Rig, caller: &Leg) {
    assert_eq!(caller.hung_up(RECONNECTED).await.unwrap().by, Side::Them);
    assert_eq!(heard(rig, caller).last().map(String::as_str), Some("bye"));
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_phone_of_the_overflow_is_silent_refuses_or_is_offline_the_fallback_phone_rings() {
    let rig = empty("overdue", "1001").global("USHER_RING_SECONDS=3").start().await.unwrap();
    let [target, fallback] = ["1001", "3000"].map(|number| rig.phones.phone(number).unwrap());
    answers(fallback);
    let prompts = rig.pbx.prompts("en").unwrap();
    for (from, behaviour) in
        [("5550001", Behaviour::Ignore), ("5550002", Behaviour::Reject), ("5550003", Behaviour::Busy)]
    {
        target.behave(behaviour);
        let rings = fallback.rings_so_far();
        let caller = key_in(&rig, from, "1111", Ears::Open).await;
        caller.wait_for_prompt(&prompts, "no_members", SOON).await.unwrap();
        fallback.rung(rings + 1, SOON).await.unwrap().answered(SOON).await.unwrap();
        assert_eq!(rung_for(&rig, from), ["1001", "3000"]);
        caller.hang_up().await.unwrap();
        rig.pbx.wait_until_empty(SOON).await.unwrap();
    }
    target.unplug();
    rig.pbx.wait_for_phone("1001", PhoneState::Offline, SOON).await.unwrap();
    let caller = key_in(&rig, "5550004", "1111", Ears::Closed).await;
    fallback.rung(4, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert_eq!(rung_for(&rig, "5550004"), ["3000"]);
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    // Nobody is left.
    fallback.behave(Behaviour::Reject);
    let caller = key_in(&rig, "5550005", "1111", Ears::Open).await;
    let_down(&rig, &caller).await;
    assert_eq!(rung_for(&rig, "5550005"), ["3000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_phone_that_is_the_overflow_as_well_is_not_tried_twice() {
    let rig = empty("overboth", "3000").global("USHER_RING_SECONDS=3").start().await.unwrap();
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    let_down(&rig, &caller).await;
    assert_eq!(rung_for(&rig, "5550001"), ["3000"]);
}

/// Waits until so many callers wait for a phone to be free.
async fn wait_for_a_phone(rig: &Rig, count: usize) {
    wait::until(&format!("{count} callers wait for a phone"), SOON, || async {
        let channels = rig.pbx.channels().await?;
        let waits = |channel: &&serde_json::Value| {
            channel["dialplan"]["context"] == "usher-try" && channel["dialplan"]["app_name"] == "Wait"
        };
        let waiting = channels.iter().filter(waits).count();
        anyhow::ensure!(waiting == count, "{waiting} do: {channels:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_phone_that_rings_or_talks_for_the_queue_is_waited_for_and_never_in_two_calls() {
    let rig = house("overbusy").global(KEY_2).logged_on(&["3000"]).sql(&times(30, 60)).start().await.unwrap();
    let mut witness = Witness::start(&rig).await;
    let phone = rig.phones.phone("3000").unwrap();
    let member = key_in(&rig, "5550001", "1111", Ears::Closed).await;
    let leg = phone.rung(1, SOON).await.unwrap();
    let mut waiting = Vec::new();
    for from in ["5550002", "5550003"] {
        waiting.push(press_2(&rig, from).await);
    }
    wait_for_a_phone(&rig, 2).await;
    leg.answer().await.unwrap();
    leg.answered(SOON).await.unwrap();
    wait_for_a_phone(&rig, 2).await;
    assert_eq!(phone.rings_so_far(), 1);
    // One after the other, each as soon as the phone is free.
    member.hang_up().await.unwrap();
    for count in [2, 3] {
        let leg = phone.rung(count, SOON).await.unwrap();
        leg.answer().await.unwrap();
        leg.answered(SOON).await.unwrap();
        wait_for_a_phone(&rig, 3 - count).await;
        assert_eq!(phone.rings_so_far(), count);
        leg.hang_up().await.unwrap();
    }
    for caller in waiting {
        assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    witness.saw_nobody_rung_twice();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_in_vain_for_a_busy_fallback_phone_hears_goodbye() {
    let rig = house("overlong")
        .global(KEY_2)
        .logged_on(&["3000"])
        .global("USHER_RING_SECONDS=2")
        .sql(&times(30, 60))
        .start()
        .await
        .unwrap();
    let phone = rig.phones.phone("3000").unwrap();
    let member = key_in(&rig, "5550001", "1111", Ears::Closed).await;
    phone.rung(1, SOON).await.unwrap();
    let caller = press_2(&rig, "5550002").await;
    assert_eq!(caller.hung_up(RECONNECTED).await.unwrap().by, Side::Them);
    assert_eq!(heard(&rig, &caller).last().map(String::as_str), Some("bye"));
    assert_eq!(phone.rings_so_far(), 1);
    member.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_come_at_once_are_put_through_to_the_one_phone_one_after_the_other() {
    let rig = house("overcrowd").start().await.unwrap();
    // They wait at one gate, so that they come to the phone in the same moment.
    let dialplan = "[usher-incoming](+)\nexten => 8000,1,Gosub(usher-answer,s,1)\n \
         same => n(gate),GotoIf($[\"${GLOBAL(GATE)}\" = \"\"]?gate)\n \
         same => n,Gosub(usher-ring,s,1(3000))\n same => n,Hangup()\n";
    fs::write(rig.pbx.folder().join("etc/site/extensions.conf"), dialplan).unwrap();
    rig.pbx.cli("dialplan reload").await.unwrap();
    let mut witness = Witness::start(&rig).await;
    let phone = rig.phones.phone("3000").unwrap();
    let [ringing, talking] = [50, 200].map(Duration::from_millis);
    phone.behave(Behaviour::AnswerThenHangUp { ringing, talking });
    let from = ["5550001", "5550002", "5550003"];
    let calls = from.map(|from| {
        let spec = CallSpec { from: Some(from.into()), to: "8000".into(), ears: Ears::Closed };
        let phones = &rig.phones;
        async move {
            let caller = phones.call(&spec).await.unwrap();
            caller.answered(SOON).await.unwrap();
            caller
        }
    });
    let callers = futures_util::future::join_all(calls).await;
    rig.pbx.cli("dialplan set global GATE open").await.unwrap();
    for caller in callers {
        assert_eq!(caller.hung_up(Duration::from_secs(30)).await.unwrap().by, Side::Them);
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    for from in from {
        assert_eq!(rung_for(&rig, from), ["3000"], "{from}");
    }
    witness.saw_nobody_rung_twice();
}
