//! Queues as contacts: who sees them, what they show of calls and agents, and what becomes of that when somebody dies.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Ears},
    prosody::COMPONENT,
    rig::{Builder, Rig},
    xmpp::Client,
};
use xmpp_parsers::{
    iq::IqPayload,
    presence::{Presence, Show, Type},
};

use crate::aid::{SOON, enter_with, house, talk, times};

/// 1000 serves the queue; the owners of 2000 and 3000 do not.
fn contacts(name: &str) -> Builder {
    house(name).component().logged_on(&["1000"]).sql(&times(30, 300))
}

/// Somebody's client, and how much of what contacts have shown it has looked at.
struct Colleague {
    client: Client,
    seen: usize,
}

/// `available`, `away`, `dnd`, `xa`, or the type of the presence; and its text.
fn shown(presence: &Presence) -> (String, String) {
    let word = match (&presence.type_, &presence.show) {
        (Type::None, None) => "available".to_owned(),
        (Type::None, Some(show)) => match show {
            Show::Away => "away".into(),
            Show::Dnd => "dnd".into(),
            Show::Xa => "xa".into(),
            Show::Chat => "chat".into(),
        },
        (other, _) => format!("{other:?}").to_lowercase(),
    };
    (word, presence.statuses.values().next().cloned().unwrap_or_default())
}

/// Whether a text is like that, with any clock in the place of each `…`.
fn matches(text: &str, like: &str) -> bool {
    let without_clocks = text.split(|c: char| !c.is_ascii_digit() && c != ':').filter(|part| part.contains(':'));
    let text = without_clocks.fold(text.to_owned(), |text, clock| text.replace(clock, "…"));
    text == like
}

impl Colleague {
    async fn connect(rig: &Rig, account: &str) -> Self {
        let client = Client::connect(&rig.prosody, account).await.unwrap();
        // Who has not asked for their roster is not told of subscriptions (RFC 6121, 2.1.6).
        let roster = "<query xmlns='jabber:iq:roster'/>".parse().unwrap();
        client.request(client.jid().as_str(), IqPayload::Get(roster)).await.unwrap();
        Self { client, seen: 0 }
    }

    async fn send(&self, kind: Type, to: &str) {
        let presence = Presence { to: Some(to.parse().unwrap()), ..Presence::new(kind) };
        self.client.set_presence(presence).await.unwrap();
    }

    async fn subscribe(&self) {
        self.send(Type::Subscribe, &support()).await;
    }

    /// The next presence of the contact's that is so; the text has these parts, with a clock at each `…`.
    async fn sees(&mut self, resource: &str, word: &str, text: &str) {
        let from = if resource.is_empty() { support() } else { format!("{}/{resource}", support()) };
        let is = |presence: &Presence| {
            presence.from.as_ref().is_some_and(|jid| jid.as_str() == from)
                && shown(presence).0 == word
                && matches(&shown(presence).1, text)
        };
        let (_, seen) = self.client.wait_for_presence(SOON, self.seen, is).await.unwrap();
        self.seen = seen;
    }

    /// How many presences of contacts it got.
    fn of_contacts(&self) -> usize {
        let domain = |presence: &Presence| presence.from.as_ref().is_some_and(|jid| jid.domain().as_str() == COMPONENT);
        self.client.presences().iter().filter(|presence| domain(presence)).count()
    }
}

fn support() -> String {
    format!("support@{COMPONENT}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_sees_who_waits_and_what_each_agent_does_and_a_stranger_nothing() {
    let rig = contacts("contacts").sql("UPDATE queues SET wrap_up_seconds = 60").start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.set_ears(Ears::Open);
    // Longer than from one look at the floor to the next.
    phone.behave(Behaviour::AnswerAfter(Duration::from_millis(2500)));
    let mut ana = Colleague::connect(&rig, "user1").await;
    let mut stranger = Colleague::connect(&rig, "user3").await;
    ana.subscribe().await;
    ana.sees("", "subscribed", "").await;
    ana.seen = 0;
    ana.sees("Usher", "available", "nobody waits, 1 of 1 ready").await;
    stranger.subscribe().await;
    stranger.sees("", "unsubscribed", "").await;
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    ana.sees("1000 (Agent One)", "away", "the phone rings").await;
    ana.sees("Usher", "dnd", "1 waiting, longest …, 0 of 1 ready").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    talk(&caller, &leg).await;
    ana.sees("1000 (Agent One)", "dnd", "in a call").await;
    ana.sees("Usher", "away", "nobody waits, 0 of 1 ready").await;
    caller.hang_up().await.unwrap();
    ana.sees("1000 (Agent One)", "away", "wrap-up, … left").await;
    assert_eq!(stranger.of_contacts(), 1, "{:?}", stranger.client.presences());
}
