//! Pops: seen in order, through whatever happens to the link and the server meanwhile.

use std::{sync::Arc, time::Duration};

use software_sim::client::Event;
use tokio::time::{Instant, timeout};
use usher::{
    config::{Pops, Xmpp},
    desk::quiet::Spans,
    domain::pop::{PopOutcome, PopState},
    fence::{Fence, Gate},
    link::Link,
};
use uuid::Uuid;

use crate::{
    fixture::{Desk, config, crm, ext, next, pop, roster, session, start_behind, start_with, story, until, written},
    patience::{BOUND, PATIENCE, before},
    prosody::{Brand, Prosody, Relay},
};

#[tokio::test]
async fn a_pop_is_seen_through_its_whole_life_with_its_name_intact_and_by_scram() {
    let prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    let mut crm = crm(&prosody, prosody.address(), "1000");
    until(&mut crm, |event| *event == Event::Subscribed).await;
    let name = "A, B & <C> \"D\" 'é' 日本";
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, name)).await, PopOutcome::Confirmed);
    let Event::Pop(seen) = next(&mut crm).await else { panic!() };
    assert_eq!((seen.customer.name.as_str(), seen.state.as_str()), (name, "offered"));
    assert_eq!(desk.publish(&pop(1, 2, PopState::Ringing, name)).await, PopOutcome::Confirmed);
    assert_eq!(desk.publish(&pop(1, 3, PopState::Answered, name)).await, PopOutcome::Confirmed);
    desk.handle.retire(pop(1, 4, PopState::Ended, name));
    assert_eq!(story(&mut crm, "closed").await, ["ringing", "answered", "ended", "closed"]);
    let (_, pubsub, _events) = session(&prosody, "crm").await;
    assert_eq!(pubsub.items("extension1000").await.unwrap().len(), 0);
    prosody.logs(&["SCRAM-SHA"]).await;
    assert!(!prosody.log().contains("mechanism='PLAIN'") && !prosody.log().contains("c2s PLAIN authentication"));
    desk.stop.cancel();
    assert_eq!(timeout(PATIENCE, desk.task).await.unwrap().unwrap(), Ok(()));
}

#[tokio::test]
async fn that_a_phone_rings_stands_back_and_is_shown_unless_it_was_answered_already() {
    let prosody = Prosody::start().await;
    // Long enough for the answer to come meanwhile, however slow the machine is.
    let spans = Spans { at_most: PATIENCE, after_pop: BOUND };
    let desk =
        start_with(&config(&prosody, prosody.address()), &Pops::default(), Fence::open(), spans).once_ready().await;
    let mut crm = crm(&prosody, prosody.address(), "1000");
    until(&mut crm, |event| *event == Event::Subscribed).await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, "one")).await, PopOutcome::Confirmed);
    drop(desk.handle.publish(pop(1, 2, PopState::Ringing, "one")));
    assert_eq!(story(&mut crm, "ringing").await, ["offered", "ringing"]);
    assert_eq!(desk.publish(&pop(2, 1, PopState::Offered, "two")).await, PopOutcome::Confirmed);
    drop(desk.handle.publish(pop(2, 2, PopState::Ringing, "two")));
    assert_eq!(desk.publish(&pop(2, 3, PopState::Answered, "two")).await, PopOutcome::Confirmed);
    desk.handle.retire(pop(2, 4, PopState::Ended, "two"));
    assert_eq!(story(&mut crm, "closed").await, ["offered", "answered", "ended", "closed"]);
}

#[tokio::test]
async fn after_a_restart_that_forgot_everything_nodes_and_live_pops_are_there_again() {
    let mut prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    let mut crm = crm(&prosody, prosody.address(), "1000");
    assert_eq!(desk.publish(&pop(1, 1, PopState::Ringing, "one")).await, PopOutcome::Confirmed);
    assert_eq!(desk.publish(&pop(2, 1, PopState::Ringing, "two")).await, PopOutcome::Confirmed);
    until(&mut crm, |event| matches!(event, Event::Pop(pop) if pop.customer.name == "two")).await;
    prosody.kill();
    desk.link_is(|link| matches!(link, Link::Down { .. })).await;
    assert_eq!(desk.publish(&pop(1, 2, PopState::Answered, "one")).await, PopOutcome::LinkDown);
    desk.handle.retire(pop(2, 2, PopState::Withdrawn, "two"));
    assert_eq!(desk.publish(&pop(3, 1, PopState::Offered, "three")).await, PopOutcome::LinkDown);
    desk.handle.retire(pop(3, 2, PopState::Withdrawn, "three"));
    prosody.run().await;
    let is_last_word =
        |event: &Event| matches!(event, Event::Pop(pop) if pop.customer.name == "two" && pop.state == "withdrawn");
    let event = until(&mut crm, |event| matches!(event, Event::Pop(_)) && !is_last_word(event)).await;
    assert!(matches!(event, Event::Pop(pop) if pop.customer.name == "one" && pop.state == "answered"));
    desk.handle.retire(pop(1, 3, PopState::Ended, "one"));
    if Brand::wanted() == Brand::Prosody {
        assert_eq!(story(&mut crm, "closed").await.last().unwrap(), "closed");
        let (_, pubsub, _events) = session(&prosody, "crm").await;
        assert_eq!(pubsub.items("extension1000").await.unwrap().len(), 0, "nothing stale was sent");
        return;
    }
    // Killed within seconds of a publish, ejabberd has the items on disk and not who published them: it lists them, and denies that they
    // are there when they are taken away (docs/screen-pop.md, rule 2). So all of them say that they are over.
    assert_eq!(story(&mut crm, "ended").await.last().unwrap(), "ended");
    let (_, pubsub, _events) = session(&prosody, "crm").await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let items = pubsub.items("extension1000").await.unwrap();
        let states: Vec<_> = items.iter().filter_map(|(_, payload)| payload.as_ref()?.attr("state")).collect();
        if states.iter().all(|state| matches!(*state, "ended" | "withdrawn")) {
            break;
        }
        assert!(Instant::now() < deadline, "{states:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut late = self::crm(&prosody, prosody.address(), "1000");
    until(&mut late, |event| *event == Event::Subscribed).await;
    assert_eq!(desk.publish(&pop(4, 1, PopState::Offered, "four")).await, PopOutcome::Confirmed);
    let event = until(&mut late, |event| matches!(event, Event::Pop(_))).await;
    assert!(matches!(&event, Event::Pop(pop) if pop.customer.name == "four"), "what is over is not shown: {event:?}");
}

#[tokio::test]
async fn a_cut_connection_is_resumed_and_what_changed_meanwhile_is_shown() {
    let prosody = Prosody::start().await;
    let relay = Relay::start(prosody.address()).await;
    let desk = Desk::up(&prosody, relay.address.to_string()).await;
    let mut crm = crm(&prosody, prosody.address(), "1000");
    until(&mut crm, |event| *event == Event::Subscribed).await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, "one")).await, PopOutcome::Confirmed);
    assert_eq!(desk.publish(&pop(2, 1, PopState::Offered, "two")).await, PopOutcome::Confirmed);
    relay.cut();
    desk.link_is(|link| matches!(link, Link::Down { .. })).await;
    desk.handle.retire(pop(1, 2, PopState::Withdrawn, "one"));
    let _outcome = desk.handle.publish(pop(2, 2, PopState::Ringing, "two"));
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
    let mut told = Vec::new();
    while told.len() < 4 {
        match next(&mut crm).await {
            Event::Pop(pop) => told.push(format!("{} {}", pop.customer.name, pop.state)),
            Event::Closed { call } => told.push(format!("{} closed", &call[35..])),
            Event::LinkUp | Event::Subscribed => {}
            Event::LinkDown { why } | Event::Waiting { why } | Event::Malformed { why, .. } => panic!("{why}"),
        }
    }
    told.sort();
    assert_eq!(told, ["1 closed", "one offered", "two offered", "two ringing"]);
    prosody.logs(&["resum", "Resumed session"]).await;
}

#[tokio::test]
async fn a_publish_to_a_frozen_server_is_answered_at_its_bound() {
    let prosody = Prosody::start().await;
    let desk = Desk::up_with(&Xmpp { publish_bound: BOUND, ..config(&prosody, prosody.address()) }).await;
    prosody.freeze();
    let from = Instant::now();
    let outcome = before(BOUND + Duration::from_millis(200), desk.publish(&pop(1, 1, PopState::Offered, "one"))).await;
    let took = from.elapsed();
    prosody.thaw();
    assert_eq!(outcome, Some(PopOutcome::TimedOut), "not at the bound: {took:?}");
    assert!(took >= BOUND, "{took:?}");
    desk.handle.retire(pop(1, 2, PopState::Withdrawn, "one"));
    let (_, pubsub, _events) = session(&prosody, "crm").await;
    let deadline = Instant::now() + PATIENCE;
    assert_eq!(desk.publish(&pop(2, 1, PopState::Offered, "two")).await, PopOutcome::Confirmed);
    while pubsub.items("extension1000").await.unwrap().len() != 1 {
        assert!(Instant::now() < deadline, "the late pop stays");
    }
}

#[tokio::test]
async fn what_is_published_while_another_service_may_be_active_is_not_seen_before_it_is_known_that_none_is() {
    let prosody = Prosody::start().await;
    let now = std::time::Instant::now;
    let later = || now() + Duration::from_secs(3_600);
    let (gate, fence) = Gate::new(later());
    let desk = start_behind(&Xmpp { publish_bound: BOUND, ..config(&prosody, prosody.address()) }, fence);
    desk.handle.roster(Arc::new(roster(&["1000"])));
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
    desk.handle.ensure_node(ext("1000")).await.unwrap().unwrap();
    let (_, crm, _events) = session(&prosody, "crm").await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, "one")).await, PopOutcome::Confirmed);

    // As a process that was stopped finds it when it wakes up.
    gate.set(now());
    assert_eq!(desk.publish(&pop(2, 1, PopState::Offered, "two")).await, PopOutcome::TimedOut);
    let shown = crm.items("extension1000").await.unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0].0, Uuid::from_u128(1).to_string());

    gate.set(later());
    assert_eq!(desk.publish(&pop(3, 1, PopState::Offered, "three")).await, PopOutcome::Confirmed);
    let shown = crm.items("extension1000").await.unwrap();
    assert_eq!(shown.len(), 3, "in their order: what was held first: {shown:?}");
}

#[tokio::test]
async fn a_subscriber_who_comes_late_gets_the_current_pop_once() {
    let prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, "one")).await, PopOutcome::Confirmed);
    assert_eq!(desk.publish(&pop(1, 2, PopState::Ringing, "one")).await, PopOutcome::Confirmed);
    let mut crm = crm(&prosody, prosody.address(), "1000");
    until(&mut crm, |event| matches!(event, Event::Pop(pop) if pop.revision == 2)).await;
    // The server repeats it; the reader does not.
    let (_, owner, _events) = session(&prosody, "usher").await;
    let again = written(&pop(1, 2, PopState::Ringing, "one"));
    owner.publish("extension1000", &Uuid::from_u128(1).to_string(), again).await.unwrap();
    assert_eq!(desk.publish(&pop(1, 3, PopState::Answered, "one")).await, PopOutcome::Confirmed);
    assert_eq!(story(&mut crm, "answered").await, ["answered"]);
}

#[tokio::test]
async fn a_pop_that_a_killed_service_left_behind_is_retracted_by_the_next() {
    let prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Ringing, "stale")).await, PopOutcome::Confirmed);
    desk.task.abort();
    let desk = Desk::up(&prosody, prosody.address()).await;
    let (_, pubsub, _crm) = session(&prosody, "crm").await;
    let deadline = Instant::now() + PATIENCE;
    while !pubsub.items("extension1000").await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the stale pop stays");
    }
    drop(desk);
}
