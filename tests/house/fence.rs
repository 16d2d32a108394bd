//! What an active service that was stopped, and wakes up after another one has taken over, says to anybody: nothing.

use std::{collections::BTreeMap, time::Duration};

use usher_rig::{
    phones::{Behaviour, Ears},
    proxy::{Direction, Proxy},
    rig::Rig,
    usher::Usher,
    wait,
    xmpp::Client,
};
use xmpp_parsers::minidom::Element;

use crate::{
    aid::{RECONNECTED, SOON, answers, beside, enter, enter_with, house, joined, says, talk, times},
    steps::wait_for_value,
};

/// How much longer every word of the database takes for the one that wakes up: so long it does not know that it was replaced,
/// and only the fence stands between what it has heard and what it would do.
const SLOW: Duration = Duration::from_millis(400);
/// Acknowledgements of XEP-0198 (some 50 bytes each in TLS 1.3) and the end of the stream (some 60) come to less, with the shortest
/// order to the server, a retraction, to more.
const NO_STANZA: usize = 250;

/// What came out of a process through a proxy since its tap was opened, as it was written.
fn sent(proxy: &Proxy) -> Vec<Vec<u8>> {
    let tapped = proxy.tapped().into_iter();
    tapped.filter(|tapped| tapped.direction == Direction::ToServer).map(|tapped| tapped.bytes).collect()
}

/// How many bytes of TLS records with application data there are, alerts and ends of streams among them.
fn inside_tls(mut bytes: &[u8]) -> usize {
    let mut inside = 0;
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        inside += if *kind == 23 { length } else { 0 };
        bytes = &rest[length..];
    }
    inside
}

/// The texts in WebSocket frames of a client (RFC 6455, section 5.2), all of them masked. Pings, pongs and closing have none.
fn requests(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert!(second & 0x80 != 0, "no frame of a client: {:?}", String::from_utf8_lossy(bytes));
        let (extended, mut length) = match second & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            length => (0, usize::from(length)),
        };
        for byte in &rest[..extended] {
            length = length << 8 | usize::from(*byte);
        }
        let (mask, rest) = rest[extended..].split_at(4);
        let (payload, rest) = rest.split_at(length);
        if !matches!(first & 0x0f, 8..=10) {
            let text = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect::<Vec<_>>();
            texts.push(String::from_utf8_lossy(&text).into_owned());
        }
        bytes = rest;
    }
    texts
}

/// What was asked of Asterisk but for questions about itself: whether it answers, and whose it is.
fn orders(sent: Vec<Vec<u8>>) -> Vec<String> {
    let (http, frames): (Vec<_>, Vec<_>) = sent.into_iter().partition(|bytes| bytes.starts_with(b"GET /"));
    let http = http.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let is_question = |request: &String| {
        request.starts_with("GET /ari/asterisk/")
            || (request.contains("\"method\":\"GET\"") && request.contains("\"uri\":\"asterisk/"))
    };
    requests(&frames.concat()).into_iter().chain(http).filter(|request| !is_question(request)).collect()
}

/// Every row about calls, with the transaction that wrote it: one that is written again unchanged is another.
async fn rows(rig: &Rig) -> Vec<String> {
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    let mut all = Vec::new();
    for table in ["calls", "call_events", "callbacks", "memberships"] {
        let sql = format!("SELECT xmin::text || ' ' || {table}::text FROM {table} ORDER BY 1");
        all.extend(
            client.query(&sql, &[]).await.unwrap().iter().map(|row| format!("{table} {}", row.get::<_, &str>(0))),
        );
    }
    all
}

/// What is on the members' nodes.
async fn shown(agents: &BTreeMap<&str, Client>) -> Vec<(String, Vec<Element>)> {
    let mut all = Vec::new();
    for (number, agent) in agents {
        let node = format!("extension{number}");
        let items = agent.items(&node).await.unwrap();
        all.push((node, items));
    }
    all
}

/// Waits until the one pop on a member's node is in this state.
async fn pop_says(agents: &BTreeMap<&str, Client>, number: &str, state: &str) {
    wait::until(&format!("the pop at {number} says: {state}"), SOON, || async {
        let items = agents[number].items(&format!("extension{number}")).await?;
        let is_there = items.len() == 1 && format!("{items:?}").contains(state);
        anyhow::ensure!(is_there, "{items:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// One caller talks with 1000, one rings at 2000, one waits. While the active service is stopped 1000 hangs up and 2000 answers:
/// it has been told of both, and would join, retract, record, offer the third caller to 1000 and publish that, when it wakes up.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_wakes_up_after_it_was_replaced_sends_no_pop_no_message_no_order_and_writes_nothing() {
    let rig = house("fence").logged_on(&["1000", "2000"]).sql(&times(50, 300)).proxies().start().await.unwrap();
    let (first, proxies) = (rig.usher().unwrap(), rig.proxies.as_ref().unwrap());
    let second = Usher::stand_by(&rig.instance, &beside(&rig)).await.unwrap();
    let mut agents = BTreeMap::new();
    for (number, account) in [("1000", "user1"), ("2000", "user2")] {
        agents.insert(number, Client::connect(&rig.prosody, account).await.unwrap());
    }
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(one);
    let talking = enter_with(&rig, "5550001", Ears::Open).await;
    let leg = one.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&talking, &leg).await;
    // Whom it gets next rings there until the end of this test.
    one.behave(Behaviour::Ignore);
    two.behave(Behaviour::Ignore);
    let ringing = enter(&rig, "5550002").await;
    let rung = two.rung(1, SOON).await.unwrap();
    let waiting = enter(&rig, "5550003").await;

    // The other one stands still too, until the first has been told all that it is not going to do.
    second.freeze().unwrap();
    proxies.ari.tap();
    first.freeze().unwrap();
    leg.hang_up().await.unwrap();
    rung.answer().await.unwrap();
    let heard = |kind: &str, of: &str| {
        let told: Vec<u8> = proxies.ari.tapped().into_iter().flat_map(|tapped| tapped.bytes).collect();
        let told = String::from_utf8_lossy(&told).into_owned();
        told.split("\"type\"").any(|event| event.contains(kind) && event.contains(of))
    };
    wait::until("all of it is on its way to the first one", SOON, || async {
        for (kind, of) in [("ChannelDestroyed", "PJSIP/1000"), ("StasisStart", "PJSIP/2000")] {
            anyhow::ensure!(heard(kind, of), "no {kind} of {of}");
        }
        Ok(())
    })
    .await
    .unwrap();
    answers(two);
    second.thaw();
    wait::until("the second one is active", RECONNECTED, || second.is("active")).await.unwrap();
    says(&second, 200, RECONNECTED).await;
    // Of those who are left one talks with 2000, and one rings at 1000.
    one.rung(2, SOON).await.unwrap();
    wait::until("2000 talks", SOON, || async {
        let joined = joined(&rig).await?;
        anyhow::ensure!(!joined.is_empty(), "nobody does");
        Ok(())
    })
    .await
    .unwrap();
    pop_says(&agents, "1000", "ringing").await;

    // What the second one has to write and to show it writes and shows some milliseconds later.
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE answered_by = '2000'", "1").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE ended_at IS NOT NULL", "1").await;
    wait_for_value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'ringing' AND extension = '1000'", "2").await;
    pop_says(&agents, "2000", "answered").await;
    let messages = || agents.values().map(|agent| agent.messages().len()).collect::<Vec<_>>();
    let rings = || (one.rings_so_far(), two.rings_so_far());
    let before = (rows(&rig).await, shown(&agents).await, messages(), rings());
    proxies.postgres.delay(SLOW);
    proxies.xmpp.tap();
    proxies.ari.tap();
    first.thaw();
    wait::until("the first one stands by", RECONNECTED, || first.is("standby")).await.unwrap();
    let stanzas = inside_tls(&sent(&proxies.xmpp).concat());
    assert!(stanzas < NO_STANZA, "it sent {stanzas} bytes over XMPP");
    let orders = orders(sent(&proxies.ari));
    assert_eq!(orders, [""; 0], "it gave orders to Asterisk");
    assert_eq!((rows(&rig).await, shown(&agents).await, messages(), rings()), before);
    assert!(!second.log().unwrap().contains("another program has taken over"), "the old one fought for Asterisk");
    assert_eq!(second.ready().await.unwrap(), 200, "the new one was disturbed");

    for caller in [&ringing, &waiting] {
        assert!(caller.state().ended.is_none());
        caller.hang_up().await.unwrap();
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
