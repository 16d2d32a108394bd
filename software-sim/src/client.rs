//! Subscribes to nodes and tells what happens there, over reconnects, restarts and repetitions.
//!
//! Whenever the session is fresh or goes on after a break it subscribes and fetches what the node holds: what a server
//! sends by itself to a new subscriber is not relied upon.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_xmpp::stanzastream::{self, Connection, StanzaStream, StreamEvent};
use xmpp_parsers::{
    iq::{Iq, IqHeader, IqPayload},
    jid::Jid,
    message::Message,
    minidom::Element,
    ns,
    presence::{Presence, Show, Type as PresenceType},
    pubsub::{
        Event as PubsubEvent, NodeName, PubSub,
        event::Payload as Happening,
        pubsub::{Items, Subscribe},
    },
    stanza::Stanza,
    stanza_error::{DefinedCondition, ErrorType, StanzaError},
};

use crate::{
    login::{self, Account, Failure},
    pop::Pop,
    seen::{News, Seen},
};

/// Events that wait for the reader; beyond it the client waits, and the server with it.
const EVENTS: usize = 256;
const DEPTH: usize = 64;
/// How long a pubsub service may take to answer before it is asked again.
const ANSWER: Duration = Duration::from_secs(10);
/// How often the subscription and the items are looked at, whatever was heard.
const REFRESH: Duration = Duration::from_secs(60);
/// How long a node may be away before what it held counts as over: a server that keeps its nodes in memory has none after
/// a restart, until the service makes them again and shows its live pops once more, under the same revisions.
const ABSENCE: Duration = Duration::from_secs(20);
/// Requests on their way at once: no more than the stream takes while it has something for us.
const ASKED_AT_ONCE: usize = 16;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_CAP: Duration = Duration::from_secs(10);

/// What to watch.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As whom.
    pub account: Account,
    /// Address of the pubsub service.
    pub pubsub: Jid,
    /// Name of the node.
    pub node: String,
}

/// A node to watch, and what of it was told in an earlier run.
#[derive(Debug, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What was told.
    pub seen: Seen,
}

/// What happened, and on which node; `None`: to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The node's name.
    pub node: Option<String>,
    /// What.
    pub event: Event,
}

/// What happened.
#[expect(clippy::large_enum_variant, reason = "each is handled as it comes, and most are pops")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The connection stands.
    LinkUp,
    /// It does not.
    LinkDown {
        /// For a person to read.
        why: String,
    },
    /// The node is subscribed to, and what it holds was fetched.
    Subscribed,
    /// It cannot be subscribed to yet; it is tried again.
    Waiting {
        /// For a person to read.
        why: String,
    },
    /// A revision of a pop, each once.
    Pop(Pop),
    /// A pop was taken away.
    Closed {
        /// Which call's.
        call: String,
    },
    /// An item was skipped.
    Malformed {
        /// Which.
        item: String,
        /// For a person to read.
        why: String,
    },
}

/// Starts watching one node. The channel's last value is an error where no retry helps; dropping the receiver ends it.
pub fn watch(settings: Settings) -> mpsc::Receiver<Result<Event, String>> {
    let node = Node { name: settings.node, seen: Seen::default() };
    let mut told = watch_all(settings.account, settings.pubsub, vec![node]);
    let (out, events) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        loop {
            let told = tokio::select! {
                () = out.closed() => return,
                told = told.recv() => told,
            };
            let Some(told) = told else { return };
            let _gone = out.send(told.map(|told| told.event)).await;
        }
    });
    events
}

/// The same for several nodes, in one session.
pub fn watch_all(account: Account, pubsub: Jid, nodes: Vec<Node>) -> mpsc::Receiver<Result<Told, String>> {
    let (out, events) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        let trust = match login::trust(account.ca_file.as_deref()) {
            Ok(trust) => trust,
            Err(failure) => {
                let _gone = out.send(Err(failure.to_string())).await;
                return;
            }
        };
        let attempts = Arc::new(AtomicU32::new(0));
        let current = Arc::new(AtomicU32::new(0));
        let login = Login { account: account.clone(), trust, out: out.clone(), attempts: attempts.clone(), current };
        let make: Box<dyn Fn() -> StanzaStream + Send + Sync> = Box::new(move || {
            let (login, stream) = (login.clone(), login.current.fetch_add(1, Ordering::Relaxed) + 1);
            let feed = move |_location, slot| {
                tokio::spawn(login.clone().connect(stream, slot));
            };
            StanzaStream::new(Box::new(feed), DEPTH)
        });
        let stream = make();
        let own = account.jid.into();
        let nodes = nodes.into_iter().map(Place::from).collect();
        Watch { own, pubsub, nodes, stream, make, out, attempts, link: Link::Down, serial: 0 }.run().await;
    });
    events
}

/// Makes connections for the stream in use.
#[derive(Clone)]
struct Login {
    account: Account,
    trust: Arc<rustls::ClientConfig>,
    out: mpsc::Sender<Result<Told, String>>,
    attempts: Arc<AtomicU32>,
    /// Number of the stream in use: the ones before it get no connection any more.
    current: Arc<AtomicU32>,
}

impl Login {
    async fn connect(self, stream: u32, mut slot: oneshot::Sender<Connection>) {
        loop {
            let pause = match self.attempts.fetch_add(1, Ordering::Relaxed) {
                0 => Duration::ZERO,
                n => pause(n - 1),
            };
            tokio::select! {
                () = slot.closed() => return,
                () = self.out.closed() => break,
                () = tokio::time::sleep(pause) => {}
            }
            if self.current.load(Ordering::Relaxed) != stream {
                break;
            }
            match login::log_in(&self.account, self.trust.clone()).await {
                Ok(connection) => {
                    let _gone = slot.send(connection);
                    return;
                }
                Err(Failure::Passing(why)) => {
                    let _full = self.out.try_send(Ok(Told { node: None, event: Event::LinkDown { why } }));
                }
                Err(Failure::Final(why)) => {
                    let _gone = self.out.send(Err(why)).await;
                    break;
                }
            }
        }
        // The stream takes a dropped slot for a defect.
        slot.closed().await;
    }
}

fn pause(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.min(6)).min(RETRY_CAP)
}

/// Where the watch of a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Offline,
    /// To be subscribed to as soon as there is room.
    Due,
    /// Until the answer, or until it is asked for again.
    Subscribing {
        id: String,
        until: Instant,
    },
    /// The same.
    Fetching {
        id: String,
        until: Instant,
    },
    /// Until the next look, or the next try.
    Resting {
        until: Instant,
    },
}

impl Step {
    fn until(&self) -> Option<Instant> {
        match self {
            Self::Resting { until } | Self::Subscribing { until, .. } | Self::Fetching { until, .. } => Some(*until),
            Self::Offline | Self::Due => None,
        }
    }

    fn is_asked(&self, asked: &str) -> bool {
        match self {
            Self::Subscribing { id, .. } | Self::Fetching { id, .. } => id == asked,
            Self::Offline | Self::Due | Self::Resting { .. } => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down,
}

/// One node.
#[derive(Debug)]
struct Place {
    name: String,
    seen: Seen,
    step: Step,
    /// How often in a row it was refused; `None` while it is subscribed to.
    refusals: Option<u32>,
    /// Since when it is not there.
    absent: Option<Instant>,
}

impl From<Node> for Place {
    fn from(node: Node) -> Self {
        Self { name: node.name, seen: node.seen, step: Step::Offline, refusals: Some(0), absent: None }
    }
}

struct Watch {
    own: Jid,
    pubsub: Jid,
    nodes: Vec<Place>,
    stream: StanzaStream,
    make: Box<dyn Fn() -> StanzaStream + Send + Sync>,
    link: Link,
    out: mpsc::Sender<Result<Told, String>>,
    attempts: Arc<AtomicU32>,
    serial: u64,
}

impl Watch {
    async fn run(mut self) {
        loop {
            let rest = self.nodes.iter().filter_map(|place| place.step.until()).min();
            tokio::select! {
                () = self.out.closed() => break,
                event = self.stream.next() => match event {
                    Some(event) => self.handle(event).await,
                    None => self.stream = (self.make)(),
                },
                () = async { tokio::time::sleep_until(rest.unwrap_or_else(Instant::now)).await }, if rest.is_some() => {
                    let now = Instant::now();
                    for place in self.nodes.iter_mut().filter(|place| place.step.until().is_some_and(|until| until <= now)) {
                        place.step = Step::Due;
                    }
                }
            }
            self.ask().await;
        }
        let _late = tokio::time::timeout(Duration::from_secs(2), self.stream.close()).await;
    }

    async fn tell(&self, event: Event) {
        let _gone = self.out.send(Ok(Told { node: None, event })).await;
    }

    async fn tell_of(&self, at: usize, event: Event) {
        let _gone = self.out.send(Ok(Told { node: Some(self.nodes[at].name.clone()), event })).await;
    }

    async fn handle(&mut self, event: stanzastream::Event) {
        match event {
            stanzastream::Event::Stream(StreamEvent::Reset { .. }) => {
                // Notifications go to the bare address, and so to those who have said that they are there. With the account of a person
                // it must not look as if that person were.
                let presence = Presence::new(PresenceType::None).with_show(Show::Xa);
                self.stream.send(Box::new(presence.into())).await;
                self.up().await;
            }
            stanzastream::Event::Stream(StreamEvent::Resumed) => self.up().await,
            stanzastream::Event::Stream(StreamEvent::Suspended) => {
                for place in &mut self.nodes {
                    place.step = Step::Offline;
                }
                if self.link == Link::Up {
                    self.link = Link::Down;
                    self.tell(Event::LinkDown { why: "the connection broke".into() }).await;
                } else {
                    // Broken again before it was usable: a server that has forgotten the session, perhaps. The library
                    // would try to resume it for ever.
                    self.stream = (self.make)();
                }
            }
            stanzastream::Event::Stanza(Stanza::Message(message)) => self.message(message).await,
            stanzastream::Event::Stanza(Stanza::Iq(iq)) => self.iq(iq).await,
            stanzastream::Event::Stanza(Stanza::Presence(_)) => {}
        }
    }

    async fn up(&mut self) {
        self.attempts.store(0, Ordering::Relaxed);
        self.link = Link::Up;
        self.tell(Event::LinkUp).await;
        for place in &mut self.nodes {
            place.step = Step::Due;
            // What is not there may come with the server, which may just have started.
            place.absent = None;
        }
    }

    /// Asks for the nodes that are due, as many as there is room for.
    async fn ask(&mut self) {
        let is_asked = |place: &&Place| matches!(place.step, Step::Subscribing { .. } | Step::Fetching { .. });
        let room = ASKED_AT_ONCE.saturating_sub(self.nodes.iter().filter(is_asked).count());
        let due: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].step == Step::Due).take(room).collect();
        for at in due {
            let node = Some(NodeName(self.nodes[at].name.clone()));
            let subscribe = Subscribe { jid: self.own.clone(), node };
            let request = PubSub::Subscribe { subscribe: Some(subscribe), options: None };
            let id = self.request(IqPayload::Set(request.into())).await;
            self.nodes[at].step = Step::Subscribing { id, until: Instant::now() + ANSWER };
        }
    }

    async fn request(&mut self, payload: IqPayload) -> String {
        self.serial += 1;
        let id = format!("sim{}", self.serial);
        let to = Some(self.pubsub.clone());
        let iq = Iq::assemble(IqHeader { from: None, to, id: id.clone() }, payload);
        self.stream.send(Box::new(iq.into())).await;
        id
    }

    async fn iq(&mut self, iq: Iq) {
        let (header, payload) = iq.split();
        let is_from_service = header.from.as_ref() == Some(&self.pubsub);
        let asked = self.nodes.iter().position(|place| place.step.is_asked(&header.id));
        match (payload, asked) {
            (IqPayload::Get(_) | IqPayload::Set(_), _) => self.refuse(header).await,
            (IqPayload::Result(answer), Some(at)) if is_from_service => {
                if matches!(self.nodes[at].step, Step::Fetching { .. }) {
                    self.fetched(at, answer).await;
                } else {
                    let items = PubSub::Items(Items::new(&self.nodes[at].name));
                    let id = self.request(IqPayload::Get(items.into())).await;
                    self.nodes[at].step = Step::Fetching { id, until: Instant::now() + ANSWER };
                }
            }
            (IqPayload::Error(error), Some(at)) => self.refused(at, &error).await,
            (IqPayload::Result(_) | IqPayload::Error(_), _) => {}
        }
    }

    async fn refuse(&self, asked: IqHeader) {
        let error = StanzaError::new(ErrorType::Cancel, DefinedCondition::ServiceUnavailable, "en", "not offered here");
        let iq = Iq::assemble(IqHeader { from: None, to: asked.from, id: asked.id }, IqPayload::Error(error));
        self.stream.send(Box::new(iq.into())).await;
    }

    async fn fetched(&mut self, at: usize, answer: Option<Element>) {
        let items: Vec<Element> = answer
            .iter()
            .filter_map(|answer| answer.get_child("items", ns::PUBSUB))
            .flat_map(Element::children)
            .cloned()
            .collect();
        // What says of itself that it is over, is over, whether or not the server still lists it.
        let is_over = |item: &&Element| {
            item.children().next().is_some_and(|payload| Pop::read(payload).is_ok_and(|pop| pop.is_final()))
        };
        let (over, live): (Vec<&Element>, Vec<&Element>) = items.iter().partition(is_over);
        for item in over {
            let id = item.attr("id").unwrap_or_default();
            if self.nodes[at].seen.is_open(id) {
                self.item(at, id, item.children().next()).await;
            }
        }
        let held: BTreeSet<String> = live.iter().filter_map(|item| item.attr("id").map(str::to_owned)).collect();
        self.close_all_but(at, &held).await;
        self.nodes[at].absent = None;
        if self.nodes[at].refusals.take().is_some() {
            self.tell_of(at, Event::Subscribed).await;
        }
        for item in live {
            self.item(at, item.attr("id").unwrap_or_default(), item.children().next()).await;
        }
        self.nodes[at].step = Step::Resting { until: Instant::now() + REFRESH };
    }

    async fn refused(&mut self, at: usize, error: &StanzaError) {
        let now = Instant::now();
        let place = &mut self.nodes[at];
        let refusals = place.refusals.map_or(0, |refusals| refusals.saturating_add(1));
        place.refusals = Some(refusals);
        place.step = Step::Resting { until: now + pause(refusals) };
        let node = &place.name;
        let condition = &error.defined_condition;
        let closed_to_us = [DefinedCondition::Forbidden, DefinedCondition::NotAllowed, DefinedCondition::NotAuthorized];
        let (why, is_over) = if *condition == DefinedCondition::ItemNotFound {
            let since = *place.absent.get_or_insert(now);
            let why = format!("node {node} is not there: is the service up, and are extension and node prefix right?");
            (why, now.duration_since(since) >= ABSENCE)
        } else if closed_to_us.contains(condition) {
            (format!("{} may not see node {node}", self.own), true)
        } else {
            (format!("cannot subscribe to node {node}: {condition:?}"), true)
        };
        if is_over {
            self.close_all_but(at, &BTreeSet::new()).await;
        }
        self.tell_of(at, Event::Waiting { why }).await;
    }

    async fn message(&mut self, message: Message) {
        if message.from.as_ref() != Some(&self.pubsub) {
            return;
        }
        let Some(event) = message.payloads.into_iter().find(|payload| payload.is("event", ns::PUBSUB_EVENT)) else {
            return;
        };
        let happening = match PubsubEvent::try_from(event) {
            Ok(event) => event.payload,
            Err(error) => {
                let why = error.to_string();
                return self.tell(Event::Malformed { item: "?".into(), why }).await;
            }
        };
        let place = |node: &NodeName| self.nodes.iter().position(|place| place.name == node.0);
        match happening {
            Happening::Items { node, published, retracted } => {
                let Some(at) = place(&node) else { return };
                for item in published {
                    let id = item.id.map(|id| id.0).unwrap_or_default();
                    self.item(at, &id, item.payload.as_ref()).await;
                }
                for id in retracted {
                    self.closed(at, &id.0).await;
                }
            }
            Happening::Delete { node, .. } | Happening::Purge { node } => {
                let Some(at) = place(&node) else { return };
                self.close_all_but(at, &BTreeSet::new()).await;
                self.nodes[at].step = Step::Due;
            }
            Happening::Configuration { .. } | Happening::Subscription { .. } => {}
        }
    }

    async fn item(&mut self, at: usize, id: &str, payload: Option<&Element>) {
        let malformed = |why: String| Event::Malformed { item: id.into(), why };
        let pop = match payload.map(Pop::read) {
            Some(Ok(pop)) => pop,
            Some(Err(why)) => return self.tell_of(at, malformed(why.to_string())).await,
            None => return self.tell_of(at, malformed("it has no payload".into())).await,
        };
        if self.nodes[at].seen.revision(&pop.call, pop.revision) == News::New {
            self.tell_of(at, Event::Pop(pop)).await;
        }
    }

    async fn closed(&mut self, at: usize, call: &str) {
        if self.nodes[at].seen.closed(call) == News::New {
            self.tell_of(at, Event::Closed { call: call.into() }).await;
        }
    }

    async fn close_all_but(&mut self, at: usize, held: &BTreeSet<String>) {
        for call in self.nodes[at].seen.missing_from(held) {
            self.closed(at, &call).await;
        }
    }
}
