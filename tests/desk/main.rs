//! The desk against a real Prosody, and the same against a real ejabberd.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod counter;
mod ejabberd;
mod forms;
mod patience;
mod prosody;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patience::{BOUND, PATIENCE, before};
use prosody::{Brand, DOMAIN, Prosody, Relay};
use software_sim::{
    client::{Event, Settings, watch},
    login::Tls,
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use usher::{
    config::{Pops, Xmpp, XmppTls},
    desk::{
        self, Handle, Terms,
        payload::{Kind, Style},
        quiet::Spans,
    },
    domain::{
        id::{CallId, CustomerCode, Extension, Interface, QueueName},
        pop::{Pop, PopOutcome, PopState},
        queue::roster::{Agent, CallerId, Customer, Queue, Roster, RosterChange},
    },
    fence::{Fence, Gate},
    link::Link,
    xmpp::{
        Account, Fatal,
        pubsub::{Error as PubsubError, Pubsub},
        session::{Event as SessionEvent, Session},
    },
};
use uuid::Uuid;
use xmpp_parsers::minidom::Element;

struct Desk {
    handle: Handle,
    task: JoinHandle<Result<(), Fatal>>,
    stop: CancellationToken,
}

fn config(prosody: &Prosody, address: String) -> Xmpp {
    Xmpp {
        jid: format!("usher@{DOMAIN}"),
        password_file: None,
        address: Some(address),
        tls: XmppTls::Starttls,
        ca_file: Some(prosody.ca_file()),
        pubsub: None,
        node_prefix: "extension".into(),
        crm: vec![format!("crm@{DOMAIN}")],
        supervisors: vec![],
        // How fast a server is on this machine is not what is tested.
        publish_bound: PATIENCE,
        password: Some("usher".into()),
    }
}

fn start(config: &Xmpp) -> Desk {
    start_behind(config, Fence::open())
}

fn start_behind(config: &Xmpp, fence: Fence) -> Desk {
    start_with(config, &Pops::default(), fence, Spans::default())
}

fn start_with(config: &Xmpp, pops: &Pops, fence: Fence, spans: Spans) -> Desk {
    let _already = tracing_subscriber::fmt().with_env_filter("usher=debug").with_test_writer().try_init();
    let stop = CancellationToken::new();
    let (handle, task) = desk::spawn_with(config, pops, fence, Terms { spans, visitors: None }, stop.clone());
    Desk { handle, task, stop }
}

impl Desk {
    async fn up(prosody: &Prosody, address: String) -> Self {
        Self::up_with(&config(prosody, address)).await
    }

    async fn up_with(config: &Xmpp) -> Self {
        start(config).once_ready().await
    }

    async fn once_ready(self) -> Self {
        let desk = self;
        desk.handle.roster(Arc::new(roster(&["1000", "2000"])));
        desk.link_is(|link| matches!(link, Link::Up { .. })).await;
        desk.handle.ensure_node(ext("1000")).await.unwrap().unwrap();
        desk
    }

    async fn link_is(&self, wanted: impl Fn(&Link) -> bool) {
        let mut link = self.handle.link();
        timeout(PATIENCE, link.wait_for(|link| wanted(link))).await.expect("the link changes").unwrap();
    }

    async fn publish(&self, pop: &Pop) -> PopOutcome {
        self.handle.publish(pop.clone()).await.unwrap()
    }
}

fn ext(text: &str) -> Extension {
    Extension::new(text)
}

fn roster(extensions: &[&str]) -> Roster {
    let agent = |extension: &&str| Agent {
        extension: ext(extension),
        name: format!("Agent {extension}"),
        jid: format!("user{}@{DOMAIN}", &extension[..1]),
        interface: Interface::new(format!("PJSIP/{extension}")),
        pauses: vec![],
    };
    Roster { agents: extensions.iter().map(agent).collect(), queues: vec![], memberships: vec![] }
}

/// The queue of every pop here.
fn queue(link: &str) -> Queue {
    Queue {
        name: QueueName::new("support"),
        label: "Support".into(),
        number: None,
        announcement: String::new(),
        greeting: String::new(),
        moh_class: String::new(),
        ring_time: Duration::ZERO,
        queue_timeout: Duration::ZERO,
        policy: Default::default(),
        callback: Default::default(),
        announcements: Default::default(),
        talk: Default::default(),
        link: Some(link.parse().unwrap()),
    }
}

fn pop(call: u128, revision: u32, state: PopState, name: &str) -> Pop {
    Pop {
        call: CallId(Uuid::from_u128(call)),
        revision,
        state,
        extension: ext("1000"),
        queue: QueueName::new("support"),
        customer: Customer { id: 1, code: CustomerCode::new("1111"), name: name.into() },
        caller: CallerId { number: "2000".into(), name: String::new() },
        entered_at: Timestamp::now(),
        changed_at: Timestamp::now(),
    }
}

/// As the service writes it.
fn written(pop: &Pop) -> Element {
    Style::new(&Pops::default()).element(pop, Kind::Real, None, Timestamp::now())
}

type Events = mpsc::Receiver<Result<Event, String>>;

fn crm(prosody: &Prosody, address: String, extension: &str) -> Events {
    watcher(prosody, address, extension, "crm")
}

fn watcher(prosody: &Prosody, address: String, extension: &str, user: &str) -> Events {
    let account = software_sim::login::Account {
        jid: format!("{user}@{DOMAIN}").parse().unwrap(),
        password: user.into(),
        address: Some(address),
        tls: Tls::Starttls,
        ca_file: Some(prosody.ca_file()),
    };
    let pubsub = format!("pubsub.{DOMAIN}").parse().unwrap();
    watch(Settings { account, pubsub, node: format!("extension{extension}") })
}

async fn next(events: &mut Events) -> Event {
    timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("still watching").expect("no final error")
}

async fn until(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = next(events).await;
        if wanted(&event) {
            return event;
        }
        assert!(Instant::now() < deadline, "it does not come");
    }
}

/// States and ends of pops up to and including the first that is wanted.
async fn story(events: &mut Events, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        match next(events).await {
            Event::Pop(pop) => told.push(pop.state),
            Event::Closed { .. } => told.push("closed".into()),
            Event::LinkUp | Event::LinkDown { .. } | Event::Subscribed | Event::Waiting { .. } => {}
            Event::Malformed { why, .. } => panic!("{why}"),
        }
        if told.last().is_some_and(|word| word == last) {
            return told;
        }
    }
}

async fn session(prosody: &Prosody, user: &str) -> (Session, Pubsub, mpsc::Receiver<SessionEvent>) {
    let mut config = config(prosody, prosody.address());
    config.jid = format!("{user}@{DOMAIN}");
    config.password = Some(user.to_owned().into());
    let account = Account::new(&config).unwrap();
    let own = account.jid.clone();
    let (session, mut events) = Session::start(account, Fence::open(), CancellationToken::new()).unwrap();
    let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, SessionEvent::Online { .. }), "{event:?}");
    let pubsub = Pubsub::new(session.clone(), format!("pubsub.{DOMAIN}").parse().unwrap(), own);
    (session, pubsub, events)
}

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
async fn a_wrong_password_ends_the_service_with_a_clear_word() {
    let prosody = Prosody::start().await;
    let mut config = config(&prosody, prosody.address());
    config.password = Some("wrong".to_owned().into());
    let error = timeout(PATIENCE, start(&config).task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Fatal::Login { .. }), "{error}");
    let mut crm = watcher(&prosody, prosody.address(), "1000", "nobody");
    let error = timeout(PATIENCE, crm.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(error.contains("wrong password"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_ends_the_service_with_a_clear_word() {
    let prosody = Prosody::start().await;
    let other = Prosody::start().await;
    let mut config = config(&prosody, prosody.address());
    config.ca_file = Some(other.ca_file());
    let error = timeout(PATIENCE, start(&config).task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Fatal::Certificate { .. }), "{error}");
}

#[tokio::test]
async fn a_password_that_is_changed_while_running_ends_the_service_at_the_next_log_in() {
    let mut prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    prosody.kill();
    prosody.set_password("usher", "changed");
    prosody.run().await;
    let error = timeout(PATIENCE, desk.task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Fatal::Login { .. }), "{error}");
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

/// A member's chat client: the bodies of what it gets.
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
            if let Event::Stanza(Stanza::Message(message)) = event
                && let Some((_, body)) = message.get_best_body(vec![])
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
    desk.handle.announce(CallId(Uuid::from_u128(1)), all(), text.into());
    assert_eq!(timeout(PATIENCE, one.recv()).await.unwrap().unwrap(), text);
    assert_eq!(timeout(PATIENCE, two.recv()).await.unwrap().unwrap(), text);
    // user3 was away: what is first to reach them is what is said now.
    let mut three = chat(&prosody, "user3").await;
    desk.handle.tell(format!("user3@{DOMAIN}"), "logged on".into());
    assert_eq!(timeout(PATIENCE, three.recv()).await.unwrap().unwrap(), "logged on");
    // While the link is down one caller hangs up and one goes on waiting.
    prosody.kill();
    desk.link_is(|link| matches!(link, Link::Down { .. })).await;
    desk.handle.announce(CallId(Uuid::from_u128(2)), all(), "gone".into());
    desk.handle.announce(CallId(Uuid::from_u128(3)), all(), "waits".into());
    desk.handle.forget(CallId(Uuid::from_u128(2)));
    prosody.run().await;
    let mut one = chat(&prosody, "user1").await;
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
    desk.handle.tell(format!("user1@{DOMAIN}"), "end".into());
    let first = timeout(PATIENCE, one.recv()).await.unwrap().unwrap();
    assert!(first == "waits" || first == "end", "{first}");
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

/// Runs this program's tests again, with the other server in Prosody's place.
#[test]
fn everything_holds_on_ejabberd_too() {
    if Brand::wanted() == Brand::Ejabberd {
        return;
    }
    if !ejabberd::is_installed() {
        tracing::warn!("not tested: ejabberd is not installed here");
        return;
    }
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads=2"])
        .env("USHER_TEST_XMPP", "ejabberd")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("test result: ok") && !text.contains(" 0 passed"), "{text}");
}
