//! Queues as contacts: who sees them, what they show of calls and agents, and what becomes of that when somebody dies.

use std::time::Duration;

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use usher_rig::{
    phones::{Behaviour, Ears},
    prosody::{COMPONENT, DOMAIN},
    rig::{Builder, Rig},
    usher::Usher,
    wait,
    xmpp::{Client, Received, encrypted},
};
use xmpp_parsers::{
    iq::IqPayload,
    jid::Jid,
    message::{Lang, Message},
    minidom::Element,
    ns,
    presence::{Presence, Show, Type},
};

use crate::{
    aid::{RECONNECTED, SOON, a_call_works, beside, enter_with, house, log_says, ready_body, says, talk, times},
    steps::{sql, value},
};

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
    let without_clocks =
        text.split(|c: char| !c.is_ascii_digit() && c != ':').filter(|part| part.trim_matches(':').contains(':'));
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

/// What a chat message to a contact is answered, and by which address.
async fn asks(client: &Client, to: &str, text: &str) -> (String, String) {
    let before = client.messages().len();
    let mut message = Message::chat(Some(to.parse::<Jid>().unwrap()));
    message.bodies.insert(Lang::default(), text.into());
    client.send(message.into()).await.unwrap();
    let is = |all: &[Received]| all.iter().skip(before).find(|message| message.body.is_some()).cloned();
    wait::until("the contact answers", SOON, || async { is(&client.messages()).context("no answer") }).await.unwrap();
    let answer = is(&client.messages()).unwrap();
    (answer.from.unwrap().to_string(), answer.body.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_a_contact_is_answered_by_it_and_means_its_queue() {
    let sales = "INSERT INTO queues (name, label) VALUES ('Sales', 'Sales'); \
        INSERT INTO memberships (queue, extension) VALUES ('Sales', '1000')";
    let rig = contacts("contactsay").sql(sales).start().await.unwrap();
    let ana = Client::connect(&rig.prosody, "user1").await.unwrap();
    let sales = format!("sales@{COMPONENT}");
    for (to, text, expected) in [
        (&sales, "login", "Extension 1000 is logged on to Sales."),
        (&sales, "waiting", "Sales: 0 waiting, 1 of 1 members ready"),
        (&sales, "pause lunch", "Extension 1000 is paused in Sales: lunch."),
        (&support(), "waiting", "Support: 0 waiting, 1 of 1 members ready"),
        (&sales, "resume", "Extension 1000 is resumed in Sales."),
        (&sales, "logout", "Extension 1000 is logged off from Sales."),
    ] {
        let answer = asks(&ana, to, text).await;
        assert_eq!(answer, (format!("{to}/Usher"), expected.to_owned()), "{text:?}");
    }
    let on = value(&rig, "SELECT string_agg(queue, ' ') FROM memberships WHERE logged_on").await.unwrap();
    assert_eq!(on, "support");
    // The whole service has an address there as well.
    let (from, answer) = asks(&ana, COMPONENT, "pause lunch").await;
    assert_eq!((from.as_str(), answer.as_str()), (COMPONENT, "Extension 1000 is paused everywhere: lunch."));

    // Ad-hoc commands, from the very address that was asked.
    let command = "<command xmlns='http://jabber.org/protocol/commands' node='urn:usher:command:log-on'/>";
    let form = ana.request(&format!("{sales}/Usher"), IqPayload::Set(command.parse().unwrap())).await.unwrap().unwrap();
    let field = form.get_child("x", ns::DATA_FORMS).unwrap().get_child("field", ns::DATA_FORMS).unwrap();
    let chosen: Vec<String> = field.children().filter(|child| child.name() == "value").map(Element::text).collect();
    assert_eq!((field.attr("var"), chosen), (Some("queues"), vec!["Sales".to_owned()]));

    let names = |answer: Option<Element>, child: &str, attribute: &str| -> Vec<String> {
        let answer = answer.unwrap();
        let found = answer.children().filter(|found| found.name() == child);
        found.filter_map(|found| found.attr(attribute).map(str::to_owned)).collect()
    };
    let get = |query: &str| IqPayload::Get(query.parse().unwrap());
    let info = ana.request(&sales, get("<query xmlns='http://jabber.org/protocol/disco#info'/>")).await.unwrap();
    assert_eq!(names(info, "identity", "name"), ["Sales"]);
    let info = ana.request(COMPONENT, get("<query xmlns='http://jabber.org/protocol/disco#info'/>")).await.unwrap();
    assert_eq!(names(info, "identity", "category"), ["component"]);
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let found = names(ana.request(COMPONENT, get(items)).await.unwrap(), "item", "jid");
    assert_eq!(found, [sales.as_str(), &support(), COMPONENT]);
    assert!(ana.request(&support(), get("<ping xmlns='urn:xmpp:ping'/>")).await.unwrap().is_none());

    // Who is nobody here finds nothing and is told nothing; and an address of nobody is nobody's.
    let stranger = Client::connect(&rig.prosody, "crm").await.unwrap();
    assert!(names(stranger.request(COMPONENT, get(items)).await.unwrap(), "item", "jid").is_empty());
    let refused = stranger.request(&support(), IqPayload::Set(command.parse().unwrap())).await.unwrap_err();
    assert_eq!(refused.to_string(), "refused: Forbidden");
    let nobody = format!("nobody@{COMPONENT}");
    let refused = ana.request(&nobody, get(items)).await.unwrap_err();
    assert_eq!(refused.to_string(), "refused: ItemNotFound");
    assert!(stranger.messages().is_empty());
}

/// Sends the contact what no client sends, ends with a ping, and waits for the answer to that.
async fn says_raw(rig: &Rig, account: &str) {
    async fn says(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &str, until: &str) {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(until) {
            let mut buffer = [0; 4096];
            let count = timeout(SOON, stream.read(&mut buffer)).await.expect(until).unwrap();
            assert!(count > 0, "it hung up after {text:?}: {}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&buffer[..count]);
        }
    }
    let mut stream = encrypted(&rig.prosody).await.unwrap();
    let header = format!(
        "<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    says(&mut stream, &header, "</stream:features>").await;
    let plain = BASE64_STANDARD.encode(format!("\0{account}\0{}", rig.prosody.password(account).unwrap()));
    let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>");
    says(&mut stream, &auth, "<success").await;
    says(&mut stream, &header, "</stream:features>").await;
    says(&mut stream, "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>").await;
    let to = support();
    let deep = format!("{}{}", "<a xmlns='urn:a'>".repeat(400), "</a>".repeat(400));
    let stanzas = [
        format!("<message to='{to}' type='bogus'><body>x</body></message>"),
        format!("<presence to='{to}' type='bogus'/>"),
        format!("<presence to='{to}'><show>bogus</show><priority>many</priority></presence>"),
        format!("<iq to='{to}' type='get' id='2'><query xmlns='jabber:iq:nothing'/></iq>"),
        format!("<message to='{to}' type='chat'><body>help</body>{deep}</message>"),
        format!("<message to='{to}' type='chat'><body>help</body><a b='{}'/></message>", "x".repeat(9000)),
        format!("<iq to='{to}' type='get' id='last'><ping xmlns='urn:xmpp:ping'/></iq>"),
    ];
    says(&mut stream, &stanzas.concat(), "id='last'").await;
}

/// Whether the component is connected, as `/ready` says it.
async fn component_is(rig: &Rig, up: bool) {
    wait::until(&format!("the component is up: {up}"), RECONNECTED + SOON, || async {
        let body = rig.usher()?.ready_body().await?;
        anyhow::ensure!(body["links"]["component"]["up"] == up, "{body}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_that_were_away_come_back_with_what_is_true_then() {
    let rig = contacts("contactsaway").start().await.unwrap();
    let usher = rig.usher().unwrap();
    let mut ana = Colleague::connect(&rig, "user1").await;
    ana.subscribe().await;
    ana.sees("", "subscribed", "").await;
    ana.seen = 0;
    ana.sees("Usher", "available", "nobody waits, 1 of 1 ready").await;

    // The service dies, and somebody logs off before it is back: nobody has said so.
    usher.kill().await.unwrap();
    sql(&rig, "UPDATE memberships SET logged_on = false").await;
    ana.seen = ana.client.presences().len();
    usher.start_again().await.unwrap();
    ana.sees("", "unavailable", "").await;
    ana.sees("1000 (Agent One)", "unavailable", "").await;
    ana.sees("Usher", "xa", "nobody waits, 0 of 0 ready").await;
    sql(&rig, "UPDATE memberships SET logged_on = true").await;
    ana.sees("1000 (Agent One)", "available", "ready").await;

    // The XMPP server freezes.
    rig.prosody.freeze().unwrap();
    component_is(&rig, false).await;
    sql(&rig, "INSERT INTO pauses (extension, queue, kind, reason) VALUES ('1000', NULL, 'manual', 'lunch')").await;
    rig.prosody.thaw();
    component_is(&rig, true).await;
    ana.sees("1000 (Agent One)", "xa", "paused: lunch").await;

    // The XMPP server dies, and forgets who was subscribed: its rosters are in memory here.
    rig.prosody.kill().await.unwrap();
    component_is(&rig, false).await;
    sql(&rig, "DELETE FROM pauses").await;
    rig.prosody.start_again().await.unwrap();
    let mut ana = Colleague::connect(&rig, "user1").await;
    component_is(&rig, true).await;
    ana.subscribe().await;
    ana.sees("", "subscribed", "").await;
    ana.seen = 0;
    ana.sees("1000 (Agent One)", "available", "ready").await;

    // What is malformed, or meant to end it, does not: Prosody passes it on.
    says_raw(&rig, "user1").await;
    assert_eq!(asks(&ana.client, &support(), "waiting").await.1, "Support: 0 waiting, 1 of 1 members ready");
    let log = usher.log().unwrap();
    assert_eq!(log.matches("queues are contacts").count(), 4, "one connection for each start of either");

    // Who does not serve the queue any more does not see it any more.
    sql(&rig, "INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '2000', true)").await;
    ana.sees("2000 (Agent Two)", "available", "ready").await;
    let mut luis = Colleague::connect(&rig, "user2").await;
    luis.subscribe().await;
    luis.sees("", "subscribed", "").await;
    luis.seen = 0;
    luis.sees("1000 (Agent One)", "available", "ready").await;
    sql(&rig, "DELETE FROM memberships WHERE extension = '2000'").await;
    luis.sees("1000 (Agent One)", "unavailable", "").await;
    luis.sees("", "unsubscribed", "").await;

    // An orderly end is said.
    ana.seen = ana.client.presences().len();
    usher.stop().await.unwrap();
    ana.sees("1000 (Agent One)", "unavailable", "").await;
    ana.sees("Usher", "unavailable", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_said_and_everything_else_goes_on() {
    let rig = contacts("contactsecret").start().await.unwrap();
    let usher = rig.usher().unwrap();
    usher.stop().await.unwrap();
    let secret = usher.config().parent().unwrap().join("component.secret");
    let right = std::fs::read_to_string(&secret).unwrap();
    std::fs::write(&secret, "wrong\n").unwrap();
    usher.spawn().unwrap();
    log_says(&rig, "the secret is wrong", SOON).await;
    a_call_works(&rig, "5550001").await;
    let body = ready_body(&rig).await;
    let links = body["links"].as_object().unwrap();
    let down: Vec<&String> = links.iter().filter(|(_, link)| link["up"] == false).map(|(name, _)| name).collect();
    assert_eq!(down, ["component"], "{body}");
    let why = body["links"]["component"]["why"].as_str().unwrap().to_owned();
    assert!(why.contains(COMPONENT) && why.contains("xmpp.component_secret_file"), "{why}");
    let log = usher.log().unwrap();
    assert_eq!(log.matches("the secret is wrong").count(), 1, "said once");
    assert!(!log.contains(right.trim()), "and never what it is");
    std::fs::write(&secret, right).unwrap();
    usher.stop().await.unwrap();
    usher.start_again().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_that_takes_over_has_the_contacts_and_the_one_that_wakes_up_keeps_still() {
    let rig = contacts("contactstwo").proxies().start().await.unwrap();
    let usher = rig.usher().unwrap();
    let other = Usher::stand_by(&rig.instance, &beside(&rig)).await.unwrap();
    let mut ana = Colleague::connect(&rig, "user1").await;
    ana.subscribe().await;
    ana.sees("", "subscribed", "").await;
    usher.freeze().unwrap();
    // The old connection stands, and nobody answers on it.
    says(&other, 200, RECONNECTED).await;
    ana.sees("", "unavailable", "").await;
    ana.sees("Usher", "available", "nobody waits, 1 of 1 ready").await;
    sql(&rig, "UPDATE memberships SET logged_on = false").await;
    ana.sees("1000 (Agent One)", "unavailable", "").await;
    ana.sees("Usher", "xa", "nobody waits, 0 of 0 ready").await;
    let before = ana.seen;
    // Every word of the database takes so long for the one that wakes up: it does not know yet that it was replaced, and finds its
    // connection closed.
    rig.proxies.as_ref().unwrap().postgres.delay(Duration::from_millis(800));
    usher.thaw();
    wait::until("it stands by", RECONNECTED, || usher.is("standby")).await.unwrap();
    sql(&rig, "UPDATE memberships SET logged_on = true").await;
    ana.sees("1000 (Agent One)", "available", "ready").await;
    ana.sees("Usher", "available", "nobody waits, 1 of 1 ready").await;
    assert_eq!(ana.seen - before, 2, "and nothing else: {:?}", &ana.client.presences()[before..]);
}
