//! Subscribes to one node and tells what happens there, over reconnects, restarts and repetitions.
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
    presence::{Presence, Type as PresenceType},
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

/// What happened.
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

/// Starts watching. The channel's last value is an error where no retry helps; dropping the receiver ends it.
pub fn watch(settings: Settings) -> mpsc::Receiver<Result<Event, String>> {
    let (out, events) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        let trust = match login::trust(&settings.account) {
            Ok(trust) => trust,
            Err(failure) => {
                let _gone = out.send(Err(failure.to_string())).await;
                return;
            }
        };
        let attempts = Arc::new(AtomicU32::new(0));
        let current = Arc::new(AtomicU32::new(0));
        let login =
            Login { account: settings.account.clone(), trust, out: out.clone(), attempts: attempts.clone(), current };
        let make: Box<dyn Fn() -> StanzaStream + Send + Sync> = Box::new(move || {
            let (login, stream) = (login.clone(), login.current.fetch_add(1, Ordering::Relaxed) + 1);
            let feed = move |_location, slot| {
                tokio::spawn(login.clone().connect(stream, slot));
            };
            StanzaStream::new(Box::new(feed), DEPTH)
        });
        let stream = make();
        let seen = Seen::default();
        Watch {
            settings,
            stream,
            make,
            out,
            attempts,
            seen,
            link: Link::Down,
            step: Step::Offline,
            serial: 0,
            refusals: 0,
        }
        .run()
        .await;
    });
    events
}

/// Makes connections for the stream in use.
#[derive(Clone)]
struct Login {
    account: Account,
    trust: Arc<rustls::ClientConfig>,
    out: mpsc::Sender<Result<Event, String>>,
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
                    let _full = self.out.try_send(Ok(Event::LinkDown { why }));
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

/// Where the watch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Offline,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down,
}

struct Watch {
    settings: Settings,
    stream: StanzaStream,
    make: Box<dyn Fn() -> StanzaStream + Send + Sync>,
    link: Link,
    out: mpsc::Sender<Result<Event, String>>,
    attempts: Arc<AtomicU32>,
    seen: Seen,
    step: Step,
    serial: u64,
    refusals: u32,
}

impl Watch {
    async fn run(mut self) {
        loop {
            let rest = match &self.step {
                Step::Resting { until } | Step::Subscribing { until, .. } | Step::Fetching { until, .. } => {
                    Some(*until)
                }
                Step::Offline => None,
            };
            tokio::select! {
                () = self.out.closed() => break,
                event = self.stream.next() => match event {
                    Some(event) => self.handle(event).await,
                    None => self.stream = (self.make)(),
                },
                () = async { tokio::time::sleep_until(rest.unwrap_or_else(Instant::now)).await }, if rest.is_some() => {
                    self.subscribe().await;
                }
            }
        }
        let _late = tokio::time::timeout(Duration::from_secs(2), self.stream.close()).await;
    }

    async fn tell(&self, event: Event) {
        let _gone = self.out.send(Ok(event)).await;
    }

    async fn handle(&mut self, event: stanzastream::Event) {
        match event {
            stanzastream::Event::Stream(StreamEvent::Reset { .. }) => {
                self.attempts.store(0, Ordering::Relaxed);
                self.link = Link::Up;
                // Notifications go to the bare address, and so to those who have said that they are there.
                self.stream.send(Box::new(Presence::new(PresenceType::None).into())).await;
                self.tell(Event::LinkUp).await;
                self.subscribe().await;
            }
            stanzastream::Event::Stream(StreamEvent::Resumed) => {
                self.attempts.store(0, Ordering::Relaxed);
                self.link = Link::Up;
                self.tell(Event::LinkUp).await;
                self.subscribe().await;
            }
            stanzastream::Event::Stream(StreamEvent::Suspended) => {
                self.step = Step::Offline;
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

    async fn subscribe(&mut self) {
        let own = Jid::from(self.settings.account.jid.clone());
        let subscribe = Subscribe { jid: own, node: Some(NodeName(self.settings.node.clone())) };
        let request = PubSub::Subscribe { subscribe: Some(subscribe), options: None };
        let id = self.request(IqPayload::Set(request.into())).await;
        self.step = Step::Subscribing { id, until: Instant::now() + ANSWER };
    }

    async fn request(&mut self, payload: IqPayload) -> String {
        self.serial += 1;
        let id = format!("sim{}", self.serial);
        let to = Some(self.settings.pubsub.clone());
        let iq = Iq::assemble(IqHeader { from: None, to, id: id.clone() }, payload);
        self.stream.send(Box::new(iq.into())).await;
        id
    }

    async fn iq(&mut self, iq: Iq) {
        let (header, payload) = iq.split();
        let is_from_service = header.from.as_ref() == Some(&self.settings.pubsub);
        match (payload, &self.step) {
            (IqPayload::Get(_) | IqPayload::Set(_), _) => self.refuse(header).await,
            (IqPayload::Result(_), Step::Subscribing { id, .. }) if is_from_service && *id == header.id => {
                let items = PubSub::Items(Items::new(&self.settings.node));
                let id = self.request(IqPayload::Get(items.into())).await;
                self.step = Step::Fetching { id, until: Instant::now() + ANSWER };
            }
            (IqPayload::Result(answer), Step::Fetching { id, .. }) if is_from_service && *id == header.id => {
                self.fetched(answer).await;
            }
            (IqPayload::Error(error), Step::Subscribing { id, .. } | Step::Fetching { id, .. }) if *id == header.id => {
                self.refused(&error).await;
            }
            (IqPayload::Result(_) | IqPayload::Error(_), _) => {}
        }
    }

    async fn refuse(&self, asked: IqHeader) {
        let error = StanzaError::new(ErrorType::Cancel, DefinedCondition::ServiceUnavailable, "en", "not offered here");
        let iq = Iq::assemble(IqHeader { from: None, to: asked.from, id: asked.id }, IqPayload::Error(error));
        self.stream.send(Box::new(iq.into())).await;
    }

    async fn fetched(&mut self, answer: Option<Element>) {
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
            if self.seen.is_open(id) {
                self.item(id, item.children().next()).await;
            }
        }
        let held: BTreeSet<String> = live.iter().filter_map(|item| item.attr("id").map(str::to_owned)).collect();
        for call in self.seen.missing_from(&held) {
            self.closed(&call).await;
        }
        let is_first = self.refusals != u32::MAX;
        self.refusals = u32::MAX;
        if is_first {
            self.tell(Event::Subscribed).await;
        }
        for item in live {
            self.item(item.attr("id").unwrap_or_default(), item.children().next()).await;
        }
        self.step = Step::Resting { until: Instant::now() + REFRESH };
    }

    async fn refused(&mut self, error: &StanzaError) {
        self.refusals = if self.refusals == u32::MAX { 0 } else { self.refusals.saturating_add(1) };
        let node = &self.settings.node;
        let condition = &error.defined_condition;
        let closed_to_us = [DefinedCondition::Forbidden, DefinedCondition::NotAllowed, DefinedCondition::NotAuthorized];
        let why = if *condition == DefinedCondition::ItemNotFound {
            format!("node {node} is not there: is the service up, and are extension and node prefix right?")
        } else if closed_to_us.contains(condition) {
            format!("{} may not see node {node}", self.settings.account.jid)
        } else {
            format!("cannot subscribe to node {node}: {condition:?}")
        };
        for call in self.seen.missing_from(&BTreeSet::new()) {
            self.closed(&call).await;
        }
        self.tell(Event::Waiting { why }).await;
        self.step = Step::Resting { until: Instant::now() + pause(self.refusals) };
    }

    async fn message(&mut self, message: Message) {
        if message.from.as_ref() != Some(&self.settings.pubsub) {
            return;
        }
        let Some(event) = message.payloads.into_iter().find(|payload| payload.is("event", ns::PUBSUB_EVENT)) else {
            return;
        };
        match PubsubEvent::try_from(event).map(|event| event.payload) {
            Ok(Happening::Items { node, published, retracted }) if node.0 == self.settings.node => {
                for item in published {
                    let id = item.id.map(|id| id.0).unwrap_or_default();
                    self.item(&id, item.payload.as_ref()).await;
                }
                for id in retracted {
                    self.closed(&id.0).await;
                }
            }
            Ok(Happening::Delete { node, .. } | Happening::Purge { node }) if node.0 == self.settings.node => {
                for call in self.seen.missing_from(&BTreeSet::new()) {
                    self.closed(&call).await;
                }
                self.subscribe().await;
            }
            Ok(_) => {}
            Err(error) => {
                self.tell(Event::Malformed { item: "?".into(), why: error.to_string() }).await;
            }
        }
    }

    async fn item(&mut self, id: &str, payload: Option<&Element>) {
        let pop = match payload.map(Pop::read) {
            Some(Ok(pop)) => pop,
            Some(Err(why)) => return self.tell(Event::Malformed { item: id.into(), why: why.to_string() }).await,
            None => return self.tell(Event::Malformed { item: id.into(), why: "it has no payload".into() }).await,
        };
        if self.seen.revision(&pop.call, pop.revision) == News::New {
            self.tell(Event::Pop(pop)).await;
        }
    }

    async fn closed(&mut self, call: &str) {
        if self.seen.closed(call) == News::New {
            self.tell(Event::Closed { call: call.into() }).await;
        }
    }
}
