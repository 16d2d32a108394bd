//! What the tests of the desk have in common: a desk on a server, pops, and what others on that server see.

use std::sync::Arc;

use jiff::Timestamp;
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
        queue::roster::{Agent, CallerId, Customer, Queue, Roster},
    },
    fence::Fence,
    link::Link,
    xmpp::{
        Account, Fatal,
        pubsub::Pubsub,
        session::{Event as SessionEvent, Session},
    },
};
use uuid::Uuid;
use xmpp_parsers::minidom::Element;

use crate::{
    patience::PATIENCE,
    prosody::{DOMAIN, Prosody},
};

pub struct Desk {
    pub handle: Handle,
    pub task: JoinHandle<Result<(), Fatal>>,
    pub stop: CancellationToken,
}

pub fn config(prosody: &Prosody, address: String) -> Xmpp {
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
        rooms: None,
        // How fast a server is on this machine is not what is tested.
        publish_bound: PATIENCE,
        corrections: true,
        component: None,
        component_secret_file: None,
        component_address: "127.0.0.1:5347".into(),
        component_secret: None,
        password: Some("usher".into()),
    }
}

pub fn start(config: &Xmpp) -> Desk {
    start_behind(config, Fence::open())
}

pub fn start_behind(config: &Xmpp, fence: Fence) -> Desk {
    start_with(config, &Pops::default(), fence, Spans::default())
}

pub fn start_with(config: &Xmpp, pops: &Pops, fence: Fence, spans: Spans) -> Desk {
    let _already = tracing_subscriber::fmt().with_env_filter("usher=debug").with_test_writer().try_init();
    let stop = CancellationToken::new();
    let (handle, task) = desk::spawn_with(config, pops, fence, Terms { spans, ..Terms::default() }, stop.clone());
    Desk { handle, task, stop }
}

impl Desk {
    pub async fn up(prosody: &Prosody, address: String) -> Self {
        Self::up_with(&config(prosody, address)).await
    }

    pub async fn up_with(config: &Xmpp) -> Self {
        start(config).once_ready().await
    }

    pub async fn once_ready(self) -> Self {
        let desk = self;
        desk.handle.roster(Arc::new(roster(&["1000", "2000"])));
        desk.link_is(|link| matches!(link, Link::Up { .. })).await;
        desk.handle.ensure_node(ext("1000")).await.unwrap().unwrap();
        desk
    }

    pub async fn link_is(&self, wanted: impl Fn(&Link) -> bool) {
        let mut link = self.handle.link();
        timeout(PATIENCE, link.wait_for(|link| wanted(link))).await.expect("the link changes").unwrap();
    }

    pub async fn publish(&self, pop: &Pop) -> PopOutcome {
        self.handle.publish(pop.clone()).await.unwrap()
    }
}

pub fn ext(text: &str) -> Extension {
    Extension::new(text)
}

pub fn roster(extensions: &[&str]) -> Roster {
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
pub fn queue(link: &str) -> Queue {
    Queue { label: "Support".into(), link: Some(link.parse().unwrap()), ..Queue::new(QueueName::new("support")) }
}

pub fn pop(call: u128, revision: u32, state: PopState, name: &str) -> Pop {
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
pub fn written(pop: &Pop) -> Element {
    Style::new(&Pops::default()).element(pop, Kind::Real, None, Timestamp::now())
}

pub type Events = mpsc::Receiver<Result<Event, String>>;

pub fn crm(prosody: &Prosody, address: String, extension: &str) -> Events {
    watcher(prosody, address, extension, "crm")
}

pub fn watcher(prosody: &Prosody, address: String, extension: &str, user: &str) -> Events {
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

pub async fn next(events: &mut Events) -> Event {
    timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("still watching").expect("no final error")
}

pub async fn until(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
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
pub async fn story(events: &mut Events, last: &str) -> Vec<String> {
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

pub async fn session(prosody: &Prosody, user: &str) -> (Session, Pubsub, mpsc::Receiver<SessionEvent>) {
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
