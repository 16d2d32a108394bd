//! The service itself was stopped while the database is away: what it may do when it goes on, and whom it believes.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Ears},
    usher::Usher,
    wait,
};

use crate::aid::{self, RECONNECTED, SOON, beside, enter, house, log_says, ready_body, ready_says, says, talk, times};

/// Longer than silence may last on a link: whoever is stopped for so long has lost its connections.
const STOPPED: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_while_the_database_is_frozen_reconnects_to_asterisk_and_goes_on_from_memory() {
    let rig = house("doubt").own_postgres().logged_on(&["1000", "2000"]).sql(&times(60, 300)).start().await.unwrap();
    let usher = rig.usher().unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    two.behave(Behaviour::Reject);
    let (talking, leg) = aid::talking(&rig, "5550001", "1000").await;
    one.set_ears(Ears::Closed);
    let waiting = enter(&rig, "5550002").await;
    rig.pg.freeze().unwrap();
    ready_says(&rig, 503, RECONNECTED).await;
    usher.freeze().unwrap();
    // Not a wait for anything: the length is what is tried.
    tokio::time::sleep(STOPPED).await;
    usher.thaw();

    wait::until("it is connected to Asterisk, and the database is still away", RECONNECTED, || async {
        let links = ready_body(&rig).await["links"].clone();
        anyhow::ensure!(links["asterisk pbx"]["up"] == true && links["database"]["up"] == false, "{links}");
        Ok(())
    })
    .await
    .unwrap();
    log_says(&rig, "it is certain again that nobody else is active", SOON).await;
    talk(&talking, &leg).await;
    // The next one in line is served by whoever becomes free.
    leg.hang_up().await.unwrap();
    one.rung(2, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert!(ready_body(&rig).await["links"]["database"]["up"] == false);
    waiting.hang_up().await.unwrap();
    rig.pg.thaw();
    ready_says(&rig, 200, RECONNECTED).await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_and_cut_off_does_not_take_asterisk_from_the_one_that_has_taken_over() {
    let rig = house("doubttaken").logged_on(&["1000"]).sql(&times(60, 300)).proxies().start().await.unwrap();
    let (first, proxies) = (rig.usher().unwrap(), rig.proxies.as_ref().unwrap());
    proxies.postgres.blackhole();
    ready_says(&rig, 503, RECONNECTED).await;
    first.freeze().unwrap();
    // Asterisk's word that it was replaced will not reach it.
    proxies.ari.refuse();
    proxies.ari.cut();
    let second = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    says(&second, 200, RECONNECTED).await;
    proxies.ari.heal();
    first.thaw();
    wait::until("the first one stands by", RECONNECTED, || first.is("standby")).await.unwrap();
    assert_eq!(second.ready().await.unwrap(), 200, "the second one was disturbed");
    assert!(!second.log().unwrap().contains("another program has taken over"), "the first one fought for Asterisk");
    let caller = enter(&rig, "5550001").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
