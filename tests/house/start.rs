//! The start of the service: when it takes callers, and what they have by then.

use std::time::Duration;

use usher_rig::wait;

use crate::{
    aid::{RECONNECTED, SOON, a_call_works, answers, enter, house, ready_body, ready_says, times},
    steps::{Crm, ringings, sql},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_found_waiting_at_the_start_has_their_pop_before_the_phone_rings() {
    let rig = house("startpop")
        .logged_on(&["2000"])
        .sql(&times(15, 60))
        .config("xmpp", "publish_bound = \"5s\"")
        .proxies()
        .start()
        .await
        .unwrap();
    let (free, busy) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(busy);
    let _talking = enter(&rig, "5550001").await;
    busy.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    let _waiting = enter(&rig, "5550002").await;
    rig.usher().unwrap().kill().await.unwrap();
    sql(&rig, "INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '1000', true)").await;
    let crm = Crm::watch(&rig, "1000").await;
    // To log in to the XMPP server takes many turns, and much longer than to connect to Asterisk.
    rig.proxies.as_ref().unwrap().xmpp.delay(Duration::from_millis(30));
    rig.usher().unwrap().start_again().await.unwrap();
    free.rung(1, SOON).await.unwrap();
    let (offered, pop) = crm.pop("offered").await;
    let (invite, number, _) = ringings(free).remove(0);
    assert!(offered < invite, "the pop came {:?} after the INVITE", offered - invite);
    assert_eq!((pop.caller.number, number), ("5550002".into(), "5550002".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xmpp_server_that_is_away_at_the_start_keeps_no_caller_from_being_served() {
    let rig = house("startalone").logged_on(&["1000"]).sql(&times(15, 60)).proxies().start().await.unwrap();
    let usher = rig.usher().unwrap();
    assert!(usher.stop().await.unwrap().success());
    let xmpp = &rig.proxies.as_ref().unwrap().xmpp;
    // Silence: what is longest in being noticed.
    xmpp.blackhole();
    let process = usher.spawn().unwrap();
    wait::until("Asterisk is connected without XMPP", SOON, || async {
        anyhow::ensure!(usher.ready().await? == 503, "/ready does not say 503");
        let body = ready_body(&rig).await;
        let links = &body["links"];
        anyhow::ensure!(links["asterisk pbx"]["up"] == true && links["xmpp"]["up"] == false, "{body}");
        Ok(())
    })
    .await
    .unwrap();
    a_call_works(&rig, "5550001").await;
    assert!(process.ended().is_none());
    xmpp.heal();
    ready_says(&rig, 200, RECONNECTED * 2).await;
}
