//! A phone that dies in a talk: SIP's session timers (RFC 4028) end it.

use std::time::{Duration, Instant};

use usher_rig::phones::Side;

use crate::{
    aid::{SOON, house, story, talk, talking, times},
    steps::{sql, wait_for_value},
};

/// Half of `timers_sess_expires` as shipped, the shortest that there is, and the two times 32 s for which SIP repeats itself.
const BOUND: Duration = Duration::from_secs(90 / 2 + 2 * 32);

/// For what comes after the leg's end.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_members_phone_dies_is_left_alone_for_no_longer_than_the_session_timer_and_other_talks_go_on() {
    let rig = house("cable").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let begun = Instant::now();
    let (caller, _dead) = talking(&rig, "5550001", "1000").await;
    // One that knows session timers, and one that does not.
    let mut others = Vec::new();
    for (from, member) in [("5550002", "2000"), ("5550003", "3000")] {
        let row = format!("INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '{member}', true)");
        sql(&rig, &row).await;
        others.push(talking(&rig, from, member).await);
    }
    let unplugged = Instant::now();
    rig.phones.phone("1000").unwrap().unplug();
    let ended = caller.hung_up(BOUND + SLACK).await.unwrap();
    assert_eq!(ended.by, Side::Them);
    println!("left alone for {:?}", unplugged.elapsed());
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    wait_for_value(&rig, "SELECT answered_by FROM calls WHERE caller_number = '5550001'", "1000").await;
    // Not a wait for anything: so long the others must talk on.
    tokio::time::sleep((BOUND + SLACK).saturating_sub(begun.elapsed())).await;
    for (caller, leg) in others {
        talk(&caller, &leg).await;
        leg.hang_up().await.unwrap();
        caller.hung_up(SOON).await.unwrap();
    }
}
