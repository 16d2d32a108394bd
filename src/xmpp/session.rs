//! One session: an actor around the stanza stream that tracks requests and says how the link is.
//!
//! Owns reconnecting, the requests under way and the answers to requests of others. A request is answered only by the
//! address that was asked. What a reset of the session makes unanswerable is failed at once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tokio_xmpp::{
    stanzastream::{self, StanzaStage, StanzaStream, StanzaToken, StreamEvent},
    xmlstream::Timeouts,
};
use xmpp_parsers::{
    iq::{Iq, IqHeader, IqPayload},
    jid::{BareJid, Jid},
    message::{Message, MessageType},
    minidom::Element,
    receipts::Received,
    stanza::Stanza,
    stanza_error::StanzaError,
};

use crate::{
    fence::Fence,
    xmpp::{
        Account, Fatal,
        connector::Connector,
        disco::{self, Answers},
        incoming::{self, Asked, Incoming, Way},
        muc,
        reconnect::Reconnect,
        sight::{self, Sight},
    },
};

/// Silence of the server after which it is asked whether it is there.
pub const SILENCE: Duration = Duration::from_secs(10);
/// How long it may then stay silent before the connection counts as dead.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Requests and messages waiting for the actor; more than the desk ever has under way (32 requests, 4 messages).
const COMMANDS: usize = 256;
/// Events waiting for the owner of the session, who handles each in microseconds.
const EVENTS: usize = 64;
/// How often requests that nobody waits for any more are dropped.
const SWEEP: Duration = Duration::from_secs(5);
/// From the log-in to a session that can be used: binding and stream management, two round trips.
const NEGOTIATION: Duration = Duration::from_secs(10);
/// How long the goodbye to the server may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What happened to the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A fresh session: whatever was under way is lost.
    Online {
        /// Our full address.
        jid: Jid,
    },
    /// The connection broke; it may be resumed.
    Suspended,
    /// The connection stands again, nothing was lost.
    Resumed,
    /// A message that was sent comes back: it did not reach whom it was for.
    Returned {
        /// Whom.
        to: BareJid,
        /// What the server says, for a person to read.
        why: String,
    },
    /// A message that was sent has reached a client, which confirms it (XEP-0184).
    Confirmed {
        /// Whose client.
        from: BareJid,
        /// Which message.
        id: String,
    },
    /// An attempt to connect failed; the next follows.
    Retrying {
        /// For a person to read.
        why: String,
    },
    /// The session is over for good: its very first log-in was refused, or it is broken.
    Fatal(Fatal),
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The other side said no.
    #[error("refused: {}", describe(.0))]
    Refused(Box<StanzaError>),
    /// It was not sent: there is no link.
    #[error("not sent: no link to the XMPP server")]
    NotSent,
    /// It was sent; whether it was carried out is not known.
    #[error("no answer from the XMPP server")]
    NoAnswer,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The server has it.
    Taken,
    /// It was not sent, or got lost with the session.
    Lost,
}

enum Command {
    Request {
        to: Jid,
        id: String,
        payload: Box<IqPayload>,
        answer: oneshot::Sender<Result<Option<Element>, RequestError>>,
    },
    Message {
        message: Box<Message>,
        token: oneshot::Sender<(StanzaToken, StanzaStage, CancellationToken)>,
    },
    /// Nobody waits to hear what became of it.
    Send(Box<Stanza>),
}

/// Who hears what others do. Nobody is waited for: what does not fit into a channel is refused, or lost.
#[derive(Debug, Default)]
pub struct Ears {
    /// Who answers what others write to the account; `None`: nobody.
    pub visitors: Option<mpsc::Sender<Incoming>>,
    /// Who looks at their presence; `None`: nobody.
    pub sights: Option<mpsc::Sender<Sight>>,
    /// Who keeps rooms with it; `None`: nobody.
    pub rooms: Option<muc::Ear>,
}

/// The way into a session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    ids: Arc<AtomicU64>,
}

/// The same for those who do not keep it from ending.
#[derive(Debug, Clone)]
pub struct WeakSession {
    commands: mpsc::WeakSender<Command>,
    ids: Arc<AtomicU64>,
}

impl WeakSession {
    /// The way in; `None`: the session is over.
    pub fn upgrade(&self) -> Option<Session> {
        Some(Session { commands: self.commands.upgrade()?, ids: self.ids.clone() })
    }
}

impl Session {
    /// Starts connecting. The session ends after a fatal event, or when `stop` is cancelled. While the fence is closed nothing
    /// is sent, and no connection is made.
    ///
    /// # Errors
    /// When the authorities to trust cannot be used.
    pub fn start(
        account: Account,
        fence: Fence,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<Event>), Fatal> {
        Self::begin(account, fence, Ears::default(), stop, Standing::Available)
    }

    /// The same, and what others do is heard.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn start_for(
        account: Account,
        fence: Fence,
        ears: Ears,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<Event>), Fatal> {
        Self::begin(account, fence, ears, stop, Standing::Available)
    }

    /// The same beside a session of the service, which may be logged on with the same account: under a resource of its own, which
    /// the server gives, and without presence, so that nothing that is written to the account comes here instead.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn aside(account: Account, stop: CancellationToken) -> Result<(Self, mpsc::Receiver<Event>), Fatal> {
        Self::begin(account, Fence::open(), Ears::default(), stop, Standing::Aside)
    }

    fn begin(
        account: Account,
        fence: Fence,
        ears: Ears,
        stop: CancellationToken,
        standing: Standing,
    ) -> Result<(Self, mpsc::Receiver<Event>), Fatal> {
        let own = account.jid.clone();
        let timeouts = Timeouts { read_timeout: SILENCE, response_timeout: PATIENCE };
        let connector = Connector::new(&account, timeouts)?;
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (events, outbox) = mpsc::channel(EVENTS);
        let failures = Arc::new(AtomicU32::new(0));
        let logged_in = Arc::new(Notify::new());
        let reconnect = Arc::new(Reconnect {
            connector,
            account,
            fence: fence.clone(),
            events: events.clone(),
            failures,
            logged_in,
            accepted: AtomicBool::new(false),
        });
        let abandoned = CancellationToken::new();
        let stream = reconnect.stream(&abandoned);
        let pending = HashMap::new();
        let ids = Arc::default();
        let session = Self { commands, ids };
        let actor = Actor {
            own,
            ears,
            has_missed: false,
            // Weak: the session ends when nobody else holds it.
            back: WeakSession { commands: session.commands.downgrade(), ids: session.ids.clone() },
            stream,
            abandoned,
            reconnect,
            fence,
            standing,
            held: None,
            inbox,
            events,
            pending,
            link: Up::No,
            usable_by: None,
        };
        tokio::spawn(actor.run(stop));
        Ok((session, outbox))
    }

    /// Asks `to` and waits for the answer, at most `within`.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(
        &self,
        to: Jid,
        payload: IqPayload,
        within: Duration,
    ) -> Result<Option<Element>, RequestError> {
        let id = format!("u{:x}", self.ids.fetch_add(1, Ordering::Relaxed));
        let (answer, result) = oneshot::channel();
        let asked = async {
            let sent = self.commands.send(Command::Request { to, id, payload: Box::new(payload), answer }).await;
            sent.map_err(|_| RequestError::NotSent)?;
            result.await.unwrap_or(Err(RequestError::NoAnswer))
        };
        tokio::time::timeout(within, asked).await.unwrap_or(Err(RequestError::NoAnswer))
    }

    /// Sends a stanza of which nobody needs to know what became of it; without a link it is dropped.
    pub async fn send(&self, stanza: Stanza) {
        // The session has ended.
        let _gone = self.commands.send(Command::Send(Box::new(stanza))).await;
    }

    /// The same without waiting: dropped as well when there is no room.
    pub fn try_send(&self, stanza: Stanza) {
        if self.commands.try_send(Command::Send(Box::new(stanza))).is_err() {
            tracing::debug!("an answer is dropped: the XMPP session does not keep up");
        }
    }

    /// Sends a message and waits until the server has it (XEP-0198), or until it is written where the server cannot say.
    pub async fn message(&self, message: Message) -> Delivery {
        let (token, sent) = oneshot::channel();
        if self.commands.send(Command::Message { message: Box::new(message), token }).await.is_err() {
            return Delivery::Lost;
        }
        let Ok((mut token, enough, abandoned)) = sent.await else { return Delivery::Lost };
        tokio::select! {
            state = token.wait_for(enough) => match state {
                Some(state) if state == StanzaStage::Sent || state == StanzaStage::Acked => Delivery::Taken,
                Some(_) | None => Delivery::Lost,
            },
            // The library tells nothing more of what was under way in a session that was given up.
            () = abandoned.cancelled() => Delivery::Lost,
        }
    }
}

/// The first defined word of an error and the server's text.
pub fn describe(error: &StanzaError) -> String {
    let condition = format!("{:?}", error.defined_condition);
    error.texts.values().next().map_or(condition.clone(), |text| format!("{condition} ({text})"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Up {
    No,
    /// The server acknowledges stanzas or does not.
    Yes {
        enough: StanzaStage,
    },
    /// Broken, perhaps to be resumed.
    Broken {
        enough: StanzaStage,
    },
}

/// Whether a session gets what is written to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Available,
    Aside,
}

struct Pending {
    to: Jid,
    answer: oneshot::Sender<Result<Option<Element>, RequestError>>,
}

struct Actor {
    own: BareJid,
    ears: Ears,
    /// Something that was seen could not be handed over.
    has_missed: bool,
    back: WeakSession,
    stream: StanzaStream,
    abandoned: CancellationToken,
    reconnect: Arc<Reconnect>,
    fence: Fence,
    standing: Standing,
    /// Was about to be sent when the fence was found closed.
    held: Option<Command>,
    inbox: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    pending: HashMap<String, Pending>,
    link: Up,
    /// When a connection that is logged in has to have become a session.
    usable_by: Option<Instant>,
}

impl Actor {
    async fn run(mut self, stop: CancellationToken) {
        let mut sweep = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
        loop {
            let usable_by = self.usable_by;
            let mut fence = self.fence.clone();
            let open = fence.holds();
            // In order: what the stream says first, so that a log-in is judged by what became of it.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.events.closed() => break,
                event = self.stream.next() => match event {
                    Some(event) => self.handle(event).await,
                    None => self.start_afresh().await,
                },
                () = self.reconnect.logged_in.notified(), if !matches!(self.link, Up::Yes { .. }) => {
                    self.usable_by = Some(Instant::now() + NEGOTIATION);
                },
                () = tokio::time::sleep_until(usable_by.unwrap_or_else(Instant::now)), if usable_by.is_some() => {
                    self.start_afresh().await;
                }
                () = fence.opened(), if !open => {}
                command = next(&mut self.held, &mut self.inbox), if open => match command {
                    // Looked at again: between the last look and this line the process may have been stopped.
                    Some(command) if !self.fence.holds() => self.held = Some(command),
                    Some(command) => self.command(command).await,
                    None => break,
                },
                _ = sweep.tick() => self.pending.retain(|_, pending| !pending.answer.is_closed()),
            }
        }
        drop(self.pending);
        let _late = tokio::time::timeout(GOODBYE, self.stream.close()).await;
    }

    /// Leaves a stream that cannot go on and begins another: resuming is lost, the link is not.
    ///
    /// The library takes a server's `<failed/>` without `h` (XEP-0198 section 5 lets it out) for a broken stream and
    /// tries to resume for ever, and it has no deadline from log-in to session.
    async fn start_afresh(&mut self) {
        tracing::debug!("the XMPP session cannot go on where it broke: beginning a fresh one");
        match self.link {
            Up::Yes { .. } => self.tell(Event::Suspended).await,
            // The server is there, which no pause need wait for: only the session of before is not. A fresh one that fails as well
            // is a failure like any other.
            Up::Broken { .. } => self.reconnect.failures.store(0, Ordering::Relaxed),
            Up::No => {}
        }
        self.link = Up::No;
        self.see(Sight::Suspended);
        self.abandoned.cancel();
        self.abandoned = CancellationToken::new();
        self.stream = self.reconnect.stream(&self.abandoned);
        self.usable_by = None;
        self.fail_pending();
    }

    fn fail_pending(&mut self) {
        for (_, pending) in self.pending.drain() {
            let _gone = pending.answer.send(Err(RequestError::NoAnswer));
        }
    }

    async fn handle(&mut self, event: stanzastream::Event) {
        match event {
            stanzastream::Event::Stream(StreamEvent::Reset { bound_jid, features }) => {
                self.fail_pending();
                self.usable_by = None;
                let enough = if features.stream_management.is_some() { StanzaStage::Acked } else { StanzaStage::Sent };
                self.link = Up::Yes { enough };
                self.reconnect.failures.store(0, Ordering::Relaxed);
                // Whoever writes to the account reaches us, instead of a store that grows until the next log-in.
                if self.standing == Standing::Available {
                    let presence = disco::presence(self.answers());
                    self.stream.send(Box::new(presence.into())).await;
                }
                if let Some(session) = self.back.upgrade() {
                    self.see(Sight::Online(session));
                }
                self.tell(Event::Online { jid: bound_jid }).await;
            }
            stanzastream::Event::Stream(StreamEvent::Suspended) => {
                match self.link {
                    Up::Yes { enough } => {
                        self.link = Up::Broken { enough };
                        self.see(Sight::Suspended);
                        self.tell(Event::Suspended).await;
                    }
                    // Broken again before it was usable.
                    Up::No | Up::Broken { .. } => self.start_afresh().await,
                }
            }
            stanzastream::Event::Stream(StreamEvent::Resumed) => {
                self.usable_by = None;
                if let Up::Broken { enough } = self.link {
                    self.link = Up::Yes { enough };
                }
                self.reconnect.failures.store(0, Ordering::Relaxed);
                self.see(Sight::Resumed);
                self.tell(Event::Resumed).await;
            }
            stanzastream::Event::Stanza(stanza) => match self.hand_in(stanza) {
                Some(Stanza::Iq(iq)) => self.iq(iq).await,
                Some(Stanza::Message(message)) => self.returned(message),
                Some(Stanza::Presence(presence)) => {
                    if let Some(sight) = sight::of_presence(&presence, Timestamp::now()) {
                        self.see(sight);
                    }
                }
                None => {}
            },
        }
    }

    /// Tells of a message that did not reach whom it was for, or did. Nobody waits for that: when there is no room it is not told.
    fn returned(&self, message: Message) {
        let Some(to) = message.from.map(|from| from.to_bare()) else { return };
        if message.type_ != MessageType::Error {
            let receipt = message.payloads.into_iter().find_map(|payload| Received::try_from(payload).ok());
            if let Some(Received { id }) = receipt {
                let _full = self.events.try_send(Event::Confirmed { from: to, id });
            }
            return;
        }
        let error = message.payloads.into_iter().find_map(|payload| StanzaError::try_from(payload).ok());
        let why = error.map_or_else(|| "the server does not say why".into(), |error| describe(&error));
        let _full = self.events.try_send(Event::Returned { to, why });
    }

    /// Hands over what was seen.
    fn see(&mut self, sight: Sight) {
        let Some(sights) = &self.ears.sights else { return };
        if self.has_missed && sights.try_send(Sight::Missed).is_err() {
            return;
        }
        self.has_missed = sights.try_send(sight).is_err();
    }

    fn answers(&self) -> Answers {
        if self.ears.visitors.is_some() { Answers::Commands } else { Answers::Nothing }
    }

    /// Hands a stanza to whoever answers it; gives it back if nobody does.
    fn hand_in(&self, stanza: Stanza) -> Option<Stanza> {
        let stanza = match &self.ears.rooms {
            Some(rooms) => rooms.take(stanza)?,
            None => stanza,
        };
        let (Some(visitors), Some(session)) = (&self.ears.visitors, self.back.upgrade()) else { return Some(stanza) };
        let (from, what) = match incoming::take(stanza, &self.own) {
            Ok(taken) => taken,
            Err(stanza) => return Some(*stanza),
        };
        if let Err(refused) = visitors.try_send(Incoming { at: Instant::now(), from, what, way: Way::Account(session) })
        {
            tracing::debug!("too much is written to the account: a stanza is refused");
            let (mpsc::error::TrySendError::Full(incoming) | mpsc::error::TrySendError::Closed(incoming)) = refused;
            incoming.refuse(incoming::busy());
        }
        None
    }

    async fn tell(&self, event: Event) {
        if let Some(rooms) = &self.ears.rooms {
            rooms.hear(&event, &self.back);
        }
        // The owner leaving is seen in the loop.
        let _gone = self.events.send(event).await;
    }

    async fn command(&mut self, command: Command) {
        let Up::Yes { enough } = self.link else {
            match command {
                Command::Request { answer, .. } => {
                    let _gone = answer.send(Err(RequestError::NotSent));
                }
                Command::Message { token, .. } => drop(token),
                Command::Send(_) => {}
            }
            return;
        };
        match command {
            Command::Request { to, id, payload, answer } => {
                let iq = Iq::assemble(IqHeader { from: None, to: Some(to.clone()), id: id.clone() }, *payload);
                self.pending.insert(id, Pending { to, answer });
                self.stream.send(Box::new(iq.into())).await;
            }
            Command::Message { message, token } => {
                let tracked = self.stream.send(Box::new(Stanza::Message(*message))).await;
                let _gone = token.send((tracked, enough, self.abandoned.clone()));
            }
            Command::Send(stanza) => drop(self.stream.send(stanza).await),
        }
    }

    async fn iq(&mut self, iq: Iq) {
        let (header, payload) = iq.split();
        let result = match payload {
            IqPayload::Result(element) => Ok(element),
            IqPayload::Error(error) => Err(RequestError::Refused(Box::new(error))),
            IqPayload::Get(element) => {
                return self.reply(header, disco::answer_to(&element, Asked::Get, self.answers())).await;
            }
            IqPayload::Set(element) => {
                if let Some(contacts) = sight::of_push(&element, header.from.as_ref(), &self.own) {
                    contacts.into_iter().for_each(|contact| self.see(Sight::Contact(contact)));
                    return self.reply(header, IqPayload::Result(None)).await;
                }
                return self.reply(header, disco::answer_to(&element, Asked::Set, self.answers())).await;
            }
        };
        // Who names nobody speaks for the account itself (RFC 6120 section 8.1.2.1), as Prosody does.
        let from = header.from.unwrap_or_else(|| self.own.clone().into());
        let from_the_one_asked = self.pending.get(&header.id).is_some_and(|pending| from == pending.to);
        if !from_the_one_asked {
            tracing::debug!("an answer to nothing that was asked is ignored");
            return;
        }
        if let Some(pending) = self.pending.remove(&header.id) {
            let _gone = pending.answer.send(result);
        }
    }

    async fn reply(&self, asked: IqHeader, payload: IqPayload) {
        let iq = Iq::assemble(IqHeader { from: None, to: asked.from, id: asked.id }, payload);
        self.stream.send(Box::new(iq.into())).await;
    }
}

/// The next thing to send.
async fn next(held: &mut Option<Command>, inbox: &mut mpsc::Receiver<Command>) -> Option<Command> {
    match held.take() {
        Some(command) => Some(command),
        None => inbox.recv().await,
    }
}
