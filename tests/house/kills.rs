//! The service is killed at random moments, again and again, with callers coming, waiting, ringing and talking.
//!
//! `USHER_KILLS` says how often, `USHER_SEED` which moments; `make kills ROUNDS=200` is a long run.

use crate::{
    aid::{app_queue_has, house, ready_says},
    storm::{Counts, MEMBERS, SETTLED, Storm, TIMES, number},
};

/// After so many kills everybody is let go, and what is left is counted.
const ROUND: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_the_service_loses_no_call_rings_nobody_twice_and_leaves_nothing_behind() {
    let kills = number("USHER_KILLS", 6);
    let rig = house("kills").members(4).logged_on(&MEMBERS).sql(TIMES).start().await.unwrap();
    app_queue_has(&rig, &["1000", "1001", "2000"]).await;
    let mut storm = Storm::new(&rig);
    for kill in 1..=kills {
        storm.goes_on().await;
        if storm.dice.between(1, 4) == 1 {
            storm.comes_early().await;
        }
        storm.some_moment().await;
        rig.usher().unwrap().kill().await.unwrap();
        if storm.dice.between(1, 4) == 1 {
            // Not back at once: what happens meanwhile nobody sees.
            tokio::time::sleep(storm.dice.millis(0, 4000)).await;
        }
        rig.usher().unwrap().spawn().unwrap();
        ready_says(&rig, 200, SETTLED).await;
        if kill % ROUND == 0 || kill == kills {
            storm.comes_to_rest().await;
            println!("after {kill} kills: {}", storm.counts);
        }
    }
    let calls = storm.counts.calls;
    assert_eq!(storm.counts, Counts { calls, ..Counts::default() });
}
