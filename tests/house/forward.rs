//! Phones that forward their calls (SIP 302), and what enters the application without having come through a queue.

use std::{fs, time::Duration};

use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Side},
    rig::Rig,
};

use crate::{
    aid::{RECONNECTED, SOON, answers, app_queue_has, enter, house, is_served, key_in, log_says, times},
    steps::{heard, wait_for_value},
};

/// Nobody is called any more, and nobody rings.
async fn is_over(rig: &Rig) {
    rig.pbx.wait_until_empty(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_forwards_counts_as_one_that_is_not_there_and_the_next_one_rings() {
    let rig = house("forwards").sql(&times(15, 120)).logged_on(&["1000", "2000"]).start().await.unwrap();
    let [forwards, next, named] = ["1000", "2000", "3000"].map(|number| rig.phones.phone(number).unwrap());
    answers(named);
    for (from, to) in [("5550001", "3000"), ("5550002", "2000")] {
        let (forwarded, rung) = (forwards.rings_so_far(), next.rings_so_far());
        forwards.behave(Behaviour::Forward(to));
        answers(next);
        let caller = enter(&rig, from).await;
        is_served(&rig, from).await;
        assert_eq!((forwards.rings_so_far(), next.rings_so_far()), (forwarded + 1, rung + 1), "forwarded to {to}");
        caller.hang_up().await.unwrap();
        is_over(&rig).await;
    }
    assert_eq!(named.rings_so_far(), 0);
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE ended_at IS NOT NULL", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_only_member_forwards_waits_and_hanging_up_leaves_no_phone_ringing() {
    let rig = house("forwarded").sql(&times(30, 120)).logged_on(&["1000"]).start().await.unwrap();
    let [forwards, named] = ["1000", "3000"].map(|number| rig.phones.phone(number).unwrap());
    forwards.behave(Behaviour::Forward("3000"));
    let caller = enter(&rig, "5550001").await;
    forwards.rung(1, SOON).await.unwrap().hung_up(SOON).await.unwrap();
    let why = "SELECT detail ->> 'why' FROM call_events WHERE kind = 'offer_ended' ORDER BY at LIMIT 1";
    wait_for_value(&rig, why, "unavailable").await;
    caller.hang_up().await.unwrap();
    is_over(&rig).await;
    assert_eq!(named.rings_so_far(), 0);
    wait_for_value(&rig, "SELECT string_agg(outcome, ',') FROM calls", "abandoned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_the_dialplan_or_app_queue_rings_and_that_forwards_rings_nobody_else() {
    let rig = house("forwards-away")
        .sql(&times(15, 120))
        .logged_on(&["1000"])
        .global("USHER_KEY_2=ring/3000")
        .global("USHER_FALLBACK=3000")
        .global("USHER_QUEUE_SECONDS=4")
        .start()
        .await
        .unwrap();
    let [member, named, fallback] = ["1000", "2000", "3000"].map(|number| rig.phones.phone(number).unwrap());
    answers(named);
    member.behave(Behaviour::Forward("2000"));
    fallback.behave(Behaviour::Forward("2000"));
    let spec = CallSpec { from: Some("5550001".into()), to: "0000".into(), ears: Ears::Open };
    let caller = rig.phones.call(&spec).await.unwrap();
    caller.answered(SOON).await.unwrap();
    caller.press("2").await.unwrap();
    assert_eq!(caller.hung_up(RECONNECTED).await.unwrap().by, Side::Them);
    assert_eq!(heard(&rig, &caller).last().map(String::as_str), Some("bye"));
    assert_eq!((fallback.rings_so_far(), named.rings_so_far()), (1, 0));

    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().kill().await.unwrap();
    let caller = key_in(&rig, "5550002", "1111", Ears::Closed).await;
    member.rung(1, SOON).await.unwrap();
    assert_eq!(caller.hung_up(RECONNECTED).await.unwrap().by, Side::Them);
    is_over(&rig).await;
    assert_eq!((fallback.rings_so_far(), named.rings_so_far()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_enters_the_application_without_a_queue_is_no_call_and_its_dialplan_goes_on() {
    let rig = house("strays").sql(&times(15, 120)).logged_on(&["1000"]).start().await.unwrap();
    let dialplan = "[usher-incoming](+)\nexten => 0099,1,Stasis(usher)\n same => n,Playback(usher/taken)\n";
    fs::write(rig.pbx.folder().join("etc/site/extensions.conf"), dialplan).unwrap();
    rig.pbx.cli("dialplan reload").await.unwrap();
    let caller = rig.phones.call(&CallSpec::new("5550001", "0099")).await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    caller.wait_for_prompt(&prompts, "taken", SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    log_says(&rig, "set USHER_QUEUE before Stasis()", SOON).await;

    // One that Asterisk has made has no dialplan, and ends.
    let phone = rig.phones.phone("3000").unwrap();
    answers(phone);
    let query = [("endpoint", "PJSIP/3000"), ("app", "usher"), ("timeout", "20")];
    rig.pbx.ari().post("channels", &query).await.unwrap();
    let leg = phone.rung(1, SOON).await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    is_over(&rig).await;

    // Calls are written in their order: with the next one, whatever came before would be there.
    answers(rig.phones.phone("1000").unwrap());
    let caller = enter(&rig, "5550002").await;
    is_served(&rig, "5550002").await;
    caller.hang_up().await.unwrap();
    wait_for_value(&rig, "SELECT string_agg(queue || ' ' || outcome, ',') FROM calls", "support completed").await;
}
