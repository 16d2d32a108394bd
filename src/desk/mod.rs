//! The desk: lays the caller's file on the right desk before the phone rings, and tells the members who waits.
//!
//! ```text
//!  Handle ──Request──▶ ┌──────┐ ◀──Event── session (xmpp): online, suspended, resumed, fatal
//!                      │ Desk │ ──step──▶ Board (domain): what to do on which node
//!  oneshot ◀──outcome──└──────┘ ──Task──▶ at most 32 requests and 64 messages under way, reports come back
//! ```
//!
//! One task owns all of it and never waits for the server. Routing is never held up: a publish is answered within its
//! bound whatever the server does. What got stale while the link was down is not sent.

mod links;
mod outbox;
pub mod payload;
pub mod quiet;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    pin::Pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xmpp_parsers::{
    jid::{BareJid, Jid},
    message::{Id, Message},
    minidom::Element,
};

use crate::{
    config,
    desk::{
        links::Links,
        outbox::{Life, NOTICE_LIFE, Note, Outbox},
        payload::{Kind, Style},
        quiet::{Quiet, Spans},
    },
    domain::{
        id::{CallId, Extension},
        pop::{Pop, PopOutcome, PopState},
        queue::{
            board::{Board, Done, Effect, Event as BoardEvent, NodeState, Task, Ticket},
            roster::{Agent, Roster, RosterChange},
        },
    },
    fence::Fence,
    link::Link,
    xmpp::{
        Account, Fatal,
        incoming::Incoming,
        pubsub::{Error as PubsubError, Pubsub},
        session::{Delivery, Event, Session},
    },
};

/// Requests waiting for the task, which takes microseconds for each: a burst of 1,000 calls with all their revisions.
const REQUESTS: usize = 16_384;
/// How often a node that could not be set up is tried again.
const TICK: Duration = Duration::from_secs(30);
/// How long what is under way may take to finish when the service stops.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// XEP-0334: a message that means nothing later is not to be kept for later.
const HINTS: &str = "urn:xmpp:hints";

/// Why a node is not known to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The server would not make it, or not give it its access list.
    #[error("the extension's pubsub node could not be set up: see the log, and allow the account to create nodes")]
    Failed,
    /// Nothing could be asked.
    #[error("there is no link to the XMPP server")]
    LinkDown,
}

enum Request {
    Show { pop: Box<Pop>, answer: Option<oneshot::Sender<PopOutcome>> },
    Say { to: Vec<String>, body: String, life: Life },
    Forget(CallId),
    Roster(Arc<Roster>),
    RosterChanged(Arc<RosterChange>),
    Need { extension: Extension, answer: oneshot::Sender<Result<(), NodeError>> },
}

/// The way to the desk. Cheap to clone; no method waits.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    link: watch::Receiver<Link>,
    /// Whether a roster, or a change of it, could not be handed over.
    behind: Arc<AtomicBool>,
}

impl Handle {
    /// Publishes a revision. The receiver gets the outcome within `xmpp.publish_bound`; revisions of a node keep their
    /// order, and one that is overtaken before it was sent is not sent.
    pub fn publish(&self, pop: Pop) -> oneshot::Receiver<PopOutcome> {
        let (answer, outcome) = oneshot::channel();
        if let Err(Request::Show { answer: Some(answer), .. }) =
            self.send(Request::Show { pop: Box::new(pop), answer: Some(answer) })
        {
            let _gone = answer.send(PopOutcome::LinkDown);
        }
        outcome
    }

    /// Publishes the final revision, then retracts the item. Of a pop that nobody has seen nothing is sent.
    pub fn retire(&self, pop: Pop) {
        let _dropped = self.send(Request::Show { pop: Box::new(pop), answer: None });
    }

    /// Sends one message to each of these bare addresses; kept while the link is down, until the call is forgotten.
    pub fn announce(&self, call: CallId, to: Vec<String>, body: String) {
        let _dropped = self.send(Request::Say { to, body, life: Life::Call(call) });
    }

    /// The caller does not wait any more: what was not sent yet about the call is dropped.
    pub fn forget(&self, call: CallId) {
        let _dropped = self.send(Request::Forget(call));
    }

    /// Sends one notice; dropped when it cannot be sent within 30 s.
    pub fn tell(&self, jid: String, body: String) {
        let life = Life::Until(Instant::now() + NOTICE_LIFE);
        let _dropped = self.send(Request::Say { to: vec![jid], body, life });
    }

    /// Says whose nodes must exist, and who may see them. Only differences to the last one do work.
    pub fn roster(&self, roster: Arc<Roster>) {
        let dropped = self.send(Request::Roster(roster)).is_err();
        self.behind.store(dropped, Ordering::Relaxed);
    }

    /// The same of those only whose rows have changed.
    pub fn roster_changed(&self, change: Arc<RosterChange>) {
        if self.send(Request::RosterChanged(change)).is_err() {
            self.behind.store(true, Ordering::Relaxed);
        }
    }

    /// Whether something of the roster could not be handed over: the next time all of it has to be.
    pub fn has_missed_the_roster(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Asks whether the extension's node exists with the right access, and makes it if not. Has no bound of its own.
    pub fn ensure_node(&self, extension: Extension) -> oneshot::Receiver<Result<(), NodeError>> {
        let (answer, result) = oneshot::channel();
        if let Err(Request::Need { answer, .. }) = self.send(Request::Need { extension, answer }) {
            let _gone = answer.send(Err(NodeError::LinkDown));
        }
        result
    }

    /// How the link is, for readiness.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    fn send(&self, request: Request) -> Result<(), Request> {
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(request) => {
                tracing::error!(requests = REQUESTS, "the desk does not keep up: a request is dropped");
                request
            }
            mpsc::error::TrySendError::Closed(request) => request,
        })
    }
}

/// Starts the desk, which sends nothing while the fence is closed. Its task ends well when `stop` is cancelled, and with an error that no retry cures.
pub fn spawn(
    config: &config::Xmpp,
    pops: &config::Pops,
    fence: Fence,
    stop: CancellationToken,
) -> (Handle, JoinHandle<Result<(), Fatal>>) {
    spawn_with(config, pops, fence, Terms::default(), stop)
}

/// What else the desk is to know.
#[derive(Debug, Default)]
pub struct Terms {
    /// How long what is not urgent stands back.
    pub spans: Spans,
    /// Where that goes which others write to the account; `None`: nobody reads it.
    pub visitors: Option<mpsc::Sender<Incoming>>,
}

/// The same, on other terms.
pub fn spawn_with(
    config: &config::Xmpp,
    pops: &config::Pops,
    fence: Fence,
    Terms { spans, visitors }: Terms,
    stop: CancellationToken,
) -> (Handle, JoinHandle<Result<(), Fatal>>) {
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (link, seen) = watch::channel(Link::Down { since: Timestamp::now(), why: "not connected yet".into() });
    let (config, style) = (config.clone(), Style::new(pops));
    let task = tokio::spawn(async move {
        let account = Account::new(&config)?;
        let service = Jid::from_str(&config.pubsub_jid()).map_err(|_| Fatal::PubsubJid(config.pubsub_jid()))?;
        let goodbye = CancellationToken::new();
        let owner = account.jid.clone();
        let (session, events) = Session::start_for(account, fence, visitors, goodbye.clone())?;
        let desk = Desk {
            board: Board::default(),
            outbox: Outbox::default(),
            pubsub: Pubsub::new(session.clone(), service, owner),
            session,
            prefix: config.node_prefix.clone().into(),
            everywhere: config.crm.iter().cloned().collect(),
            bound: config.publish_bound,
            link,
            reports: FuturesUnordered::new(),
            tickets: 0,
            publishes: HashMap::new(),
            bounds: VecDeque::new(),
            needs: HashMap::new(),
            jids: HashMap::new(),
            links: Links::default(),
            style,
            quiet: Quiet::new(spans),
            quiet_until: None,
            ringing: BTreeMap::new(),
        };
        desk.run(inbox, events, stop, goodbye).await
    });
    (Handle { requests, link: seen, behind: Arc::default() }, task)
}

enum Report {
    Node { extension: Extension, epoch: u64, result: Done },
    Message { note: Note, delivery: Delivery },
}

/// A [`Task`] in the form of the protocol.
enum Work {
    Ensure(BTreeSet<String>),
    Look,
    Publish(String, Element),
    Retract(String),
}

struct Desk {
    board: Board,
    outbox: Outbox,
    pubsub: Pubsub,
    session: Session,
    prefix: Arc<str>,
    everywhere: BTreeSet<String>,
    bound: Duration,
    link: watch::Sender<Link>,
    reports: FuturesUnordered<Pin<Box<dyn Future<Output = Report> + Send>>>,
    tickets: u64,
    publishes: HashMap<Ticket, oneshot::Sender<PopOutcome>>,
    /// When each publish has to be answered; all have the same bound, so the first is the next.
    bounds: VecDeque<(Instant, Ticket)>,
    needs: HashMap<Ticket, oneshot::Sender<Result<(), NodeError>>>,
    jids: HashMap<Extension, BareJid>,
    links: Links,
    style: Style,
    quiet: Quiet,
    /// When what stands back is looked at again.
    quiet_until: Option<Instant>,
    /// Offers whose phones ring, to be shown then.
    ringing: BTreeMap<(CallId, Extension), Pop>,
}

impl Desk {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Request>,
        mut events: mpsc::Receiver<Event>,
        stop: CancellationToken,
        goodbye: CancellationToken,
    ) -> Result<(), Fatal> {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        let mut last: Option<tokio::time::Instant> = None;
        loop {
            let bound = self.bounds.front().map(|(at, _)| tokio::time::Instant::from_std(*at));
            let quiet = self.quiet_until.map(tokio::time::Instant::from_std);
            // In order: what the link does first, so that nothing is sent into a gap that is already known.
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(Event::Fatal(fatal)) => return Err(fatal),
                    Some(event) => self.link_event(event),
                    None => return Err(Fatal::Broken),
                },
                () = until(bound) => self.expire(),
                () = until(quiet) => self.quiet_until = None,
                Some(report) = self.reports.next() => self.report(report),
                () = stop.cancelled(), if last.is_none() => {
                    last = Some(tokio::time::Instant::now() + LAST_WORDS);
                }
                request = inbox.recv() => match request {
                    Some(request) => {
                        self.handle(request);
                        // A pop that was asked for right after an announcement goes out before it.
                        while let Ok(request) = inbox.try_recv() {
                            self.handle(request);
                        }
                    }
                    None => break,
                },
                () = until(last) => break,
                // Reached only when nothing else is ready: all that was asked for has been taken in.
                () = std::future::ready(()), if last.is_some() && self.is_idle() => break,
                _ = tick.tick() => self.step(BoardEvent::Tick),
            }
            self.send_rest();
        }
        goodbye.cancel();
        while let Ok(Some(_)) = tokio::time::timeout(LAST_WORDS, events.recv()).await {}
        Ok(())
    }

    fn is_idle(&self) -> bool {
        let is_down = matches!(*self.link.borrow(), Link::Down { .. });
        is_down || (self.board.is_idle() && self.outbox.is_idle() && self.ringing.is_empty())
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Show { pop, answer } => {
                let offer = (pop.call, pop.extension.clone());
                // Overtaken by this one.
                self.ringing.remove(&offer);
                let awaited = answer.as_ref().is_some_and(|answer| !answer.is_closed());
                if pop.state == PopState::Ringing && !awaited && self.quiet_until.is_some() {
                    self.ringing.insert(offer, *pop);
                    return;
                }
                let announced = (answer.is_some() && pop.state == PopState::Offered).then_some(offer);
                let ticket = answer.map(|answer| {
                    let ticket = self.ticket();
                    self.publishes.insert(ticket, answer);
                    self.bounds.push_back((Instant::now() + self.bound, ticket));
                    ticket
                });
                self.step(BoardEvent::Show { pop: *pop, ticket });
                if let Some((call, extension)) = announced {
                    self.announce_to(call, &extension);
                }
            }
            Request::Say { to, body, life } => {
                for jid in to {
                    let Ok(to) = BareJid::from_str(&jid) else {
                        tracing::warn!(jid, "not an XMPP address: no message is sent to it; correct the extension");
                        continue;
                    };
                    self.outbox.push(Note::new(to, body.clone(), Uuid::new_v4().to_string(), life));
                }
            }
            Request::Forget(call) => self.outbox.forget(call),
            Request::Roster(roster) => {
                self.links.set(&roster);
                let jid = |agent: &Agent| Some((agent.extension.clone(), BareJid::from_str(&agent.jid).ok()?));
                self.jids = roster.agents.iter().filter_map(jid).collect();
                let nodes: BTreeMap<_, _> =
                    roster.agents.iter().map(|a| (a.extension.clone(), BTreeSet::from([a.jid.clone()]))).collect();
                self.step(BoardEvent::Access { nodes, everywhere: self.everywhere.clone() });
            }
            Request::RosterChanged(change) => {
                self.links.change(&change);
                for (extension, row) in &change.agents {
                    match row.as_ref().and_then(|row| BareJid::from_str(&row.jid).ok()) {
                        Some(jid) => drop(self.jids.insert(extension.clone(), jid)),
                        None => drop(self.jids.remove(extension)),
                    }
                    let readers = row.iter().map(|row| row.jid.clone()).collect();
                    self.step(BoardEvent::AccessChanged { extension: extension.clone(), readers });
                }
            }
            Request::Need { extension, answer } => {
                let ticket = self.ticket();
                self.needs.insert(ticket, answer);
                self.step(BoardEvent::Need { extension, ticket });
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn link_event(&mut self, event: Event) {
        match event {
            Event::Online { jid } => {
                tracing::info!(%jid, "the XMPP link is up");
                self.link.send_replace(Link::Up { since: Timestamp::now() });
                self.step(BoardEvent::Online);
            }
            Event::Resumed => {
                tracing::info!("the XMPP link is up again, nothing was lost");
                self.link.send_replace(Link::Up { since: Timestamp::now() });
                self.step(BoardEvent::Resumed);
            }
            Event::Suspended => {
                self.down("the connection to the XMPP server broke".into());
                self.step(BoardEvent::Down);
            }
            Event::Retrying { why } => self.down(why),
            // Ends the task before it gets here.
            Event::Fatal(fatal) => self.down(fatal.to_string()),
        }
    }

    fn down(&self, reason: String) {
        self.link.send_if_modified(|link| {
            let since = match link {
                Link::Up { .. } => Timestamp::now(),
                Link::Down { why, .. } if *why == reason => return false,
                Link::Down { since, .. } => *since,
            };
            tracing::warn!("the XMPP link is down: {reason}; trying again");
            *link = Link::Down { since, why: reason };
            true
        });
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Node { extension, epoch, result } => self.step(BoardEvent::Done { extension, epoch, result }),
            Report::Message { delivery: Delivery::Taken, .. } => self.outbox.sent(),
            Report::Message { note, delivery: Delivery::Lost } => self.outbox.lost(note, Instant::now()),
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((at, ticket)) = self.bounds.front().copied() {
            if at > now {
                return;
            }
            self.bounds.pop_front();
            if let Some(answer) = self.publishes.remove(&ticket) {
                let _gone = answer.send(PopOutcome::TimedOut);
            }
        }
    }

    fn step(&mut self, event: BoardEvent) {
        for effect in self.board.step(event) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Run { extension, epoch, task } => {
                let pubsub = self.pubsub.clone();
                let node = format!("{}{extension}", self.prefix);
                let work = self.work(task);
                self.reports.push(Box::pin(async move {
                    let result = carry_out(&pubsub, &node, work).await;
                    Report::Node { extension, epoch, result }
                }));
            }
            Effect::Answer(ticket, outcome) => {
                if let Some(answer) = self.publishes.remove(&ticket) {
                    let _gone = answer.send(outcome);
                }
            }
            Effect::NodeIs(ticket, state) => {
                let result = match state {
                    NodeState::There => Ok(()),
                    NodeState::Failed => Err(NodeError::Failed),
                    NodeState::LinkDown => Err(NodeError::LinkDown),
                };
                if let Some(answer) = self.needs.remove(&ticket) {
                    let _gone = answer.send(result);
                }
            }
        }
    }

    /// A task with what it sends, as it is to be written at this moment.
    fn work(&self, task: Task) -> Work {
        match task {
            Task::Ensure(readers) => Work::Ensure(readers),
            Task::Look => Work::Look,
            Task::Publish(pop) => Work::Publish(
                pop.call.to_string(),
                self.style.element(&pop, Kind::Real, self.links.of(&pop.queue), Timestamp::now()),
            ),
            Task::Retract(item) => Work::Retract(item),
        }
    }

    /// Whoever is offered the call reads of it before the phone rings; the others when the pop is there.
    fn announce_to(&mut self, call: CallId, extension: &Extension) {
        let jid = self.jids.get(extension).filter(|_| self.link.borrow().is_up());
        if let Some(note) = jid.and_then(|jid| self.outbox.pick(call, jid)) {
            self.send(note);
        }
    }

    /// What stands back while a phone is about to ring.
    fn send_rest(&mut self) {
        let now = Instant::now();
        let is_up = self.link.borrow().is_up();
        // Of those whom nobody waits for any more the receiver is gone: they hold nobody up.
        let pops = self.publishes.values().any(|answer| !answer.is_closed());
        self.quiet_until = self.quiet.until(pops, self.outbox.waiting(), now).filter(|_| is_up);
        if self.quiet_until.is_some() {
            return;
        }
        while let Some((_, pop)) = self.ringing.pop_first() {
            self.step(BoardEvent::Show { pop, ticket: None });
        }
        if is_up {
            while let Some(note) = self.outbox.next(now) {
                self.send(note);
            }
        }
    }

    fn send(&mut self, note: Note) {
        let session = self.session.clone();
        self.reports.push(Box::pin(async move {
            let delivery = session.message(message(&note)).await;
            Report::Message { note, delivery }
        }));
    }
}

/// Sleeps until then; for ever without a time.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn message(note: &Note) -> Message {
    let mut message = Message::chat(Some(Jid::from(note.to.clone())));
    message.id = Some(Id(note.id.clone()));
    message.bodies.insert(Default::default(), payload::sendable(&note.body));
    message.with_payloads(vec![Element::bare("no-store", HINTS), Element::bare("no-permanent-store", HINTS)])
}

async fn carry_out(pubsub: &Pubsub, node: &str, work: Work) -> Done {
    let result = match work {
        Work::Ensure(readers) => {
            let readers = readers.iter().filter_map(|jid| reader(node, jid)).collect();
            pubsub.ensure(node, &readers).await.map(|()| Done::Well)
        }
        Work::Look => pubsub.items(node).await.map(|items| {
            let read = |(id, payload): (String, Option<Element>)| (id, payload.as_ref().and_then(payload::revision));
            Done::Holds(items.into_iter().map(read).collect())
        }),
        Work::Publish(item, payload) => pubsub.publish(node, &item, payload).await.map(|()| Done::Well),
        Work::Retract(item) => take_away(pubsub, node, &item).await.map(|()| Done::Well),
    };
    result.unwrap_or_else(|error| {
        match &error {
            PubsubError::Refused(_) => tracing::warn!(node.name = node, "{error}"),
            PubsubError::NotFound | PubsubError::NotSent | PubsubError::NoAnswer => {
                tracing::debug!(node.name = node, "{error}");
            }
        }
        match error {
            PubsubError::NotFound => Done::NoNode,
            PubsubError::Refused(_) => Done::Refused,
            PubsubError::NotSent => Done::NotSent,
            PubsubError::NoAnswer => Done::Unknown,
        }
    })
}

/// Takes an item away. Where the server denies that there is one and lists it all the same, it is given a last word, so that
/// whoever fetches it does not take the call for a live one.
async fn take_away(pubsub: &Pubsub, node: &str, item: &str) -> Result<(), PubsubError> {
    match pubsub.retract(node, item).await {
        Err(PubsubError::NotFound) => {}
        done @ (Ok(()) | Err(PubsubError::Refused(_) | PubsubError::NotSent | PubsubError::NoAnswer)) => return done,
    }
    let listed = pubsub.items(node).await?.into_iter().find(|(id, _)| id == item);
    match listed.and_then(|(_, payload)| payload::withdrawn(payload?, Timestamp::now())) {
        Some(last) => {
            tracing::info!(
                node.name = node,
                item,
                "the server lists an item that it cannot take away: it is marked as withdrawn"
            );
            pubsub.publish(node, item, last).await
        }
        None => Ok(()),
    }
}

fn reader(node: &str, jid: &str) -> Option<BareJid> {
    let parsed = BareJid::from_str(jid).ok();
    if parsed.is_none() {
        tracing::warn!(node.name = node, jid, "not an XMPP address: it gets no access to the node; correct it");
    }
    parsed
}
