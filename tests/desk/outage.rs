//! What an outage of the server leaves behind.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, sleep};
use usher::link::Link;

use crate::{
    fixture::Desk,
    patience::PATIENCE,
    prosody::{Prosody, Relay},
};

/// Waits until so many connections were passed on to the server, or were not.
async fn tried(relay: &Relay, there: bool, count: usize) -> Vec<std::time::Instant> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found: Vec<_> =
            relay.tried.lock().unwrap().iter().filter(|(_, was)| *was == there).map(|(at, _)| *at).collect();
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < end, "{} of {count} connections", found.len());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn after_an_outage_that_lost_the_session_a_log_in_that_works_is_followed_by_a_fresh_session_at_once() {
    let mut prosody = Prosody::start().await;
    let relay = Relay::start(prosody.address()).await;
    let desk = Desk::up(&prosody, relay.address.to_string()).await;
    let before = tried(&relay, true, 1).await.len();
    relay.open.store(false, Ordering::Relaxed);
    prosody.kill();
    prosody.run().await;
    desk.link_is(|link| matches!(link, Link::Down { .. })).await;
    // The pause after so many is between 4 and 8 s, and that after one more at least 7.5 s.
    tried(&relay, false, 6).await;
    relay.open.store(true, Ordering::Relaxed);
    let found = tried(&relay, true, before + 2).await;
    let pause = found[before + 1].duration_since(found[before]);
    assert!(pause < Duration::from_secs(5), "{pause:?}");
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
}
