//! Messages to members.

use std::sync::atomic::Ordering;

use tokio::{sync::mpsc, time::timeout};
use usher::{domain::id::CallId, link::Link, xmpp::Account};
use usher_rig::wait;
use uuid::Uuid;
use xmpp_parsers::{
    message::{Id, Message},
    ns,
    receipts::Received,
};

use crate::{
    fixture::{Desk, config},
    patience::PATIENCE,
    prosody::{DOMAIN, Prosody},
};

/// What a client sends back for a message that asks for it (XEP-0184).
fn receipt(message: &Message) -> Option<Message> {
    let is_asked = message.payloads.iter().any(|payload| payload.is("request", ns::RECEIPTS));
    let Id(id) = message.id.clone().filter(|_| is_asked)?;
    Some(Message::new_with_type(message.type_.clone(), message.from.clone()).with_payload(Received { id }))
}

/// A member's chat client, which confirms what asks for it: the bodies of what it gets.
async fn chat(prosody: &Prosody, user: &str) -> mpsc::Receiver<String> {
    use futures_util::StreamExt as _;
    use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent};
    use xmpp_parsers::{presence, stanza::Stanza};
    let mut config = config(prosody, prosody.address());
    config.jid = format!("{user}@{DOMAIN}");
    config.password = Some(user.to_owned().into());
    let account = Account::new(&config).unwrap();
    let connector = usher::xmpp::connector::Connector::new(&account, Default::default()).unwrap();
    let connection = usher::xmpp::login::log_in(&connector, &account).await.unwrap();
    let mut once = Some(connection);
    let feed = move |_, slot: tokio::sync::oneshot::Sender<_>| drop(slot.send(once.take().unwrap()));
    let mut stream = StanzaStream::new(Box::new(feed), 16);
    assert!(matches!(stream.next().await, Some(Event::Stream(StreamEvent::Reset { .. }))));
    let here = stream.send(Box::new(presence::Presence::new(presence::Type::None).into())).await;
    let (bodies, received) = mpsc::channel(64);
    let mut here = here;
    here.wait_for(tokio_xmpp::stanzastream::StanzaStage::Acked).await.unwrap();
    tokio::spawn(async move {
        while let Some(event) = stream.next().await {
            let Event::Stanza(Stanza::Message(message)) = event else { continue };
            if let Some(receipt) = receipt(&message) {
                stream.send(Box::new(receipt.into())).await;
            }
            if let Some((_, body)) = message.get_best_body(vec![])
                && bodies.send(body.clone()).await.is_err()
            {
                break;
            }
        }
    });
    received
}

#[tokio::test]
async fn members_who_are_there_get_the_announcement_and_nobody_gets_it_when_it_means_nothing_any_more() {
    let mut prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    let all = || ["user1", "user2", "user3"].map(|user| format!("{user}@{DOMAIN}")).to_vec();
    let mut one = chat(&prosody, "user1").await;
    let mut two = chat(&prosody, "user2").await;
    let text = "Support: Customer A & <B>, \"C\" é";
    desk.handle.announce(CallId(Uuid::from_u128(1)), all(), text.into(), vec![]);
    assert_eq!(timeout(PATIENCE, one.recv()).await.unwrap().unwrap(), text);
    assert_eq!(timeout(PATIENCE, two.recv()).await.unwrap().unwrap(), text);
    // Their clients confirm it; there is nobody to do so for user3.
    wait::until("both confirm it", PATIENCE, async || {
        let confirmed = desk.handle.counts().confirmed.load(Ordering::Relaxed);
        anyhow::ensure!(confirmed == 2, "{confirmed}");
        Ok(())
    })
    .await
    .unwrap();
    // user3 was away: what is first to reach them is what is said now.
    let mut three = chat(&prosody, "user3").await;
    desk.handle.tell(format!("user3@{DOMAIN}"), "logged on".into());
    assert_eq!(timeout(PATIENCE, three.recv()).await.unwrap().unwrap(), "logged on");
    // While the link is down one caller hangs up and one goes on waiting.
    prosody.kill();
    desk.link_is(|link| matches!(link, Link::Down { .. })).await;
    desk.handle.announce(CallId(Uuid::from_u128(2)), all(), "gone".into(), vec![]);
    desk.handle.announce(CallId(Uuid::from_u128(3)), all(), "waits".into(), vec![]);
    desk.handle.forget(CallId(Uuid::from_u128(2)));
    prosody.run().await;
    let mut one = chat(&prosody, "user1").await;
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
    desk.handle.tell(format!("user1@{DOMAIN}"), "end".into());
    let first = timeout(PATIENCE, one.recv()).await.unwrap().unwrap();
    assert!(first == "waits" || first == "end", "{first}");
}

#[tokio::test]
async fn messages_that_were_under_way_to_a_server_that_hung_and_died_hold_up_none_of_the_later_ones() {
    let mut prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    let all = || ["user1", "user2", "user3"].map(|user| format!("{user}@{DOMAIN}")).to_vec();
    let mut two = chat(&prosody, "user2").await;
    // As many as are ever under way at once are known to have gone out: the next waits for them.
    prosody.freeze();
    desk.handle.announce(CallId(Uuid::from_u128(1)), all(), "first".into(), vec![]);
    desk.handle.announce(CallId(Uuid::from_u128(2)), all(), "second".into(), vec![]);
    desk.link_is(|link| matches!(link, Link::Down { .. })).await;
    prosody.kill();
    assert!(two.recv().await.is_none_or(|body| body == "first"));
    prosody.run().await;
    let mut one = chat(&prosody, "user1").await;
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
    desk.handle.forget(CallId(Uuid::from_u128(1)));
    desk.handle.forget(CallId(Uuid::from_u128(2)));
    desk.handle.announce(CallId(Uuid::from_u128(3)), all(), "third".into(), vec![]);
    loop {
        match timeout(PATIENCE, one.recv()).await.unwrap().unwrap().as_str() {
            "third" => break,
            "first" | "second" => {}
            other => panic!("{other}"),
        }
    }
}
