//! The task that owns the desk's state: what is asked for, what the link does and what comes back, one at a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    pin::Pin,
    str::FromStr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xmpp_parsers::{
    jid::{BareJid, Jid},
    message::{Id, Message},
    message_correct::Replace,
    minidom::Element,
    receipts,
};

use super::{
    Counts, NodeError, Request,
    links::Links,
    nodes::{Work, carry_out},
    outbox::{Life, Note, Outbox},
    payload::{self, Kind, Style},
    quiet::Quiet,
    receipts::Receipts,
};
use crate::{
    config,
    domain::{
        id::{CallId, Extension},
        pop::{Pop, PopOutcome, PopState},
        queue::{
            board::{Board, Done, Effect, Event as BoardEvent, NodeState, Task, Ticket},
            roster::Agent,
        },
    },
    link::Link,
    xmpp::{
        Fatal,
        pubsub::Pubsub,
        session::{Delivery, Event, Session},
    },
};

/// How often a node that could not be set up is tried again.
const TICK: Duration = Duration::from_secs(30);
/// How long what is under way may take to finish when the service stops.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often the log says of the same address that messages do not reach it.
const SAID_AGAIN: Duration = Duration::from_secs(3600);
/// XEP-0334: a message that means nothing later is not to be kept for later.
const HINTS: &str = "urn:xmpp:hints";

enum Report {
    Node { extension: Extension, epoch: u64, result: Done },
    Message { note: Note, delivery: Delivery },
}

pub(super) struct Desk {
    board: Board,
    outbox: Outbox,
    pubsub: Pubsub,
    session: Session,
    prefix: Arc<str>,
    everywhere: BTreeSet<String>,
    bound: Duration,
    link: watch::Sender<Link>,
    /// Whether nothing stands back and nothing waits; `None`: nobody asks.
    calm: Option<watch::Sender<bool>>,
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
    counts: Arc<Counts>,
    receipts: Receipts,
    /// Whom messages did not reach, and when the log said so.
    deaf: HashMap<BareJid, Instant>,
    /// When what stands back is looked at again.
    quiet_until: Option<Instant>,
    /// Offers whose phones ring, to be shown then.
    ringing: BTreeMap<(CallId, Extension), Pop>,
}

impl Desk {
    pub(super) fn new(
        config: &config::Xmpp,
        session: Session,
        pubsub: Pubsub,
        link: watch::Sender<Link>,
        style: Style,
        quiet: Quiet,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            board: Board::default(),
            outbox: if config.corrections { Outbox::default() } else { Outbox::without_corrections() },
            pubsub,
            session,
            prefix: config.node_prefix.clone().into(),
            everywhere: config.crm.iter().cloned().collect(),
            bound: config.publish_bound,
            link,
            calm: None,
            reports: FuturesUnordered::new(),
            tickets: 0,
            publishes: HashMap::new(),
            bounds: VecDeque::new(),
            needs: HashMap::new(),
            jids: HashMap::new(),
            links: Links::default(),
            style,
            quiet,
            counts,
            receipts: Receipts::default(),
            deaf: HashMap::new(),
            quiet_until: None,
            ringing: BTreeMap::new(),
        }
    }

    /// Tells whether it is calm.
    pub(super) fn telling(self, calm: watch::Sender<bool>) -> Self {
        Self { calm: Some(calm), ..self }
    }

    pub(super) async fn run(
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
            let due = self.outbox.next_due().filter(|_| quiet.is_none() && self.link.borrow().is_up());
            let due = due.map(tokio::time::Instant::from_std);
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
                () = until(due) => {}
                Some(report) = self.reports.next() => self.report(report),
                () = stop.cancelled(), if last.is_none() => {
                    last = Some(tokio::time::Instant::now() + LAST_WORDS);
                    self.outbox.hurry(Instant::now());
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
                _ = tick.tick() => {
                    self.step(BoardEvent::Tick);
                    self.unconfirmed();
                }
            }
            self.send_rest();
            self.tell_calm();
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
            Request::Say { to, body, responses, life } => {
                for jid in to {
                    let Ok(to) = BareJid::from_str(&jid) else {
                        tracing::warn!(jid, "not an XMPP address: no message is sent to it; correct the extension");
                        continue;
                    };
                    let id = Uuid::new_v4().to_string();
                    self.outbox.push(Note::new(to, body.clone(), id, life).with(responses.clone()));
                }
            }
            Request::Correct { call, body, last } => self.outbox.correct(call, &body, last, Instant::now()),
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
            Event::Returned { to, why } => self.returned(to, &why),
            Event::Confirmed { from, id } => {
                if self.receipts.came(&id, &from) {
                    self.counts.confirmed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Retrying { why } => self.down(why),
            // Ends the task before it gets here.
            Event::Fatal(fatal) => self.down(fatal.to_string()),
        }
    }

    /// A message did not reach a member, such as one who is at no client. They are rung all the same; the log says so now and then. What
    /// others send back is none of ours.
    fn returned(&mut self, to: BareJid, why: &str) {
        if !self.jids.values().any(|jid| *jid == to) {
            return;
        }
        self.counts.returned.fetch_add(1, Ordering::Relaxed);
        self.is_deaf(to, why);
    }

    /// Announcements that a client confirmed before, and does not now.
    fn unconfirmed(&mut self) {
        for to in self.receipts.overdue(Instant::now()) {
            self.counts.unconfirmed.fetch_add(1, Ordering::Relaxed);
            self.is_deaf(to, "the client confirms nothing any more");
        }
    }

    fn is_deaf(&mut self, who: BareJid, why: &str) {
        let now = Instant::now();
        if self.deaf.get(&who).is_none_or(|said| now.duration_since(*said) >= SAID_AGAIN) {
            tracing::warn!(jid = %who, why, "messages do not reach this address: is anybody there at a client?");
            self.deaf.insert(who, now);
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
            Report::Message { note, delivery: Delivery::Taken } => {
                let count = if note.replaces.is_some() { &self.counts.corrections } else { &self.counts.messages };
                count.fetch_add(1, Ordering::Relaxed);
                self.outbox.sent();
            }
            Report::Message { note, delivery: Delivery::Lost } => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                self.receipts.lost(&note.id);
                self.outbox.lost(note, Instant::now());
            }
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

    fn tell_calm(&self) {
        let is_calm = self.quiet_until.is_none() && self.outbox.waiting() == 0;
        if let Some(calm) = &self.calm {
            calm.send_if_modified(|calm| std::mem::replace(calm, is_calm) != is_calm);
        }
    }

    fn send(&mut self, note: Note) {
        if asks_for_receipt(&note) {
            self.receipts.sent(note.id.clone(), note.to.clone(), Instant::now());
        }
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

/// Whether a client is asked to confirm it: what a caller is announced by, once.
fn asks_for_receipt(note: &Note) -> bool {
    matches!(note.life, Life::Call(_)) && note.replaces.is_none()
}

fn message(note: &Note) -> Message {
    let mut message = Message::chat(Some(Jid::from(note.to.clone())));
    message.id = Some(Id(note.id.clone()));
    message.bodies.insert(Default::default(), payload::sendable(&note.body));
    let hints = ["no-store", "no-permanent-store"].map(|hint| Element::bare(hint, HINTS));
    let receipt = asks_for_receipt(note).then(|| Element::from(receipts::Request));
    let replaces = note.replaces.clone().map(|id| Element::from(Replace { id: Id(id) }));
    message.with_payloads(
        note.responses.iter().cloned().map(Element::from).chain(replaces).chain(receipt).chain(hints).collect(),
    )
}
