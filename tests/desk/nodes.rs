//! Nodes: who may see them and write to them, and that they are there.

use std::{sync::Arc, time::Duration};

use software_sim::client::Event;
use tokio::time::{Instant, timeout};
use usher::{
    domain::{
        pop::{PopOutcome, PopState},
        queue::roster::RosterChange,
    },
    link::Link,
    xmpp::pubsub::Error as PubsubError,
};
use uuid::Uuid;

use crate::{
    fixture::{Desk, config, ext, pop, roster, session, start, until, watcher, written},
    patience::PATIENCE,
    prosody::{Brand, DOMAIN, Prosody},
};

#[tokio::test]
async fn a_stranger_on_the_same_server_can_neither_see_nor_publish() {
    let prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, "one")).await, PopOutcome::Confirmed);
    let element = || written(&pop(9, 1, PopState::Offered, "forged"));
    let mut watching = watcher(&prosody, prosody.address(), "1000", "stranger");
    let Event::Waiting { why } = until(&mut watching, |event| matches!(event, Event::Waiting { .. })).await else {
        panic!()
    };
    assert!(why.contains("may not see"), "{why}");
    for (user, sees) in [("stranger", false), ("user2", false), ("user1", true), ("crm", true)] {
        let (_, pubsub, _events) = session(&prosody, user).await;
        assert_eq!(pubsub.items("extension1000").await.is_ok(), sees, "{user}");
        let refused = pubsub.publish("extension1000", "forged", element()).await;
        assert!(matches!(refused, Err(PubsubError::Refused(_))), "{user}: {refused:?}");
        let refused = pubsub.retract("extension1000", &Uuid::from_u128(1).to_string()).await;
        assert!(matches!(refused, Err(PubsubError::Refused(_))), "{user}: {refused:?}");
        let refused = pubsub.ensure("extension1000", &Default::default()).await;
        assert!(refused.is_err(), "{user}");
    }
}

#[tokio::test]
async fn access_that_was_widened_by_hand_or_is_no_longer_due_is_taken_back() {
    let prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    let mut one = watcher(&prosody, prosody.address(), "1000", "user1");
    until(&mut one, |event| *event == Event::Subscribed).await;
    let mut changed = roster(&["1000"]).agents.remove(0);
    changed.jid = format!("user3@{DOMAIN}");
    let agents = [(changed.extension.clone(), Some(changed))].into();
    desk.handle.roster_changed(Arc::new(RosterChange { agents, ..RosterChange::default() }));
    desk.handle.ensure_node(ext("1000")).await.unwrap().unwrap();
    let (_, of_three, _three) = session(&prosody, "user3").await;
    let (_, of_one, _one) = session(&prosody, "user1").await;
    assert!(of_three.items("extension1000").await.is_ok());
    assert!(of_one.items("extension1000").await.is_err());
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, "secret")).await, PopOutcome::Confirmed);
    // A round trip on the same connection as the notification would have come by.
    assert!(of_one.items("extension1000").await.is_err());
    let nothing = timeout(Duration::from_millis(300), one.recv()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test]
async fn a_node_that_vanished_is_made_again_within_the_bound() {
    let prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    let (owner, _, _events) = session(&prosody, "usher").await;
    let delete = "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><delete node='extension1000'/></pubsub>";
    let delete = xmpp_parsers::iq::IqPayload::Set(delete.parse().unwrap());
    owner.request(format!("pubsub.{DOMAIN}").parse().unwrap(), delete, PATIENCE).await.unwrap();
    assert_eq!(desk.publish(&pop(1, 1, PopState::Offered, "one")).await, PopOutcome::Confirmed);
    let (_, pubsub, _crm) = session(&prosody, "crm").await;
    assert_eq!(pubsub.items("extension1000").await.unwrap().len(), 1);
}

#[tokio::test]
async fn hundreds_of_nodes_are_made_many_at_a_time() {
    let prosody = Prosody::start().await;
    // How long one takes by itself, on this machine and now.
    let (_, pubsub, _events) = session(&prosody, "usher").await;
    let readers = ["crm", "user1"].map(|user| format!("{user}@{DOMAIN}").parse().unwrap()).into();
    let from = Instant::now();
    for n in 0..20 {
        pubsub.ensure(&format!("single{n}"), &readers).await.unwrap();
    }
    let one = from.elapsed() / 20;
    let desk = start(&config(&prosody, prosody.address()));
    // ejabberd makes each node in a transaction on its disk.
    let count = if Brand::wanted() == Brand::Ejabberd { 30 } else { 500 };
    let extensions: Vec<String> = (1000..1000 + count).map(|n| n.to_string()).collect();
    let names: Vec<&str> = extensions.iter().map(String::as_str).collect();
    desk.handle.roster(Arc::new(roster(&names)));
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
    let from = Instant::now();
    for extension in &names {
        desk.handle.ensure_node(ext(extension)).await.unwrap().unwrap();
    }
    let took = from.elapsed();
    tracing::info!("{count} nodes in {took:?}, one in {one:?}");
    // Twice, since the machine may have become busier meanwhile.
    assert!(took < one * 2 * count, "{took:?}, and one takes {one:?}");
}
