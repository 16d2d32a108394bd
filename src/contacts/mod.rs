//! Service: the contacts. Each queue is a contact of its own, whose presence shows how many wait and what its agents do.
//!
//! ```text
//!   component (xmpp) ──presence──▶ ┌──────────┐ ◀──once a second── floor
//!                    ──the rest──▶ │ contacts │ ──step──▶ Board (domain): who is to be told what
//!                    ◀──presence── └──────────┘
//!                    ◀── answers ── counter ◀──Incoming──┘
//! ```
//!
//! One task. It looks at the floor when the last look is sent, so that a slow server gets fewer differences and not more. Whatever becomes
//! of it or of its connection, pops, announcements and calls go on: they are the account's. What people write to a contact is the
//! counter's, which answers from there. Who may see a contact is asked of [`crate::domain::contact`].

mod answers;

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use xmpp_parsers::{
    jid::{BareJid, Jid},
    presence::{Presence, Show as XmppShow, Type},
    stanza::Stanza,
};

use crate::{
    counter::people::People,
    desk::payload::sendable,
    domain::{
        contact::{
            Show, Shown,
            board::{Board, Now, What, Wish, Word},
            may_see, name_of, place, queue_at, resources, resources_gone,
        },
        id::QueueName,
        queue::{roster::Register, view::LineView},
        words::Language,
    },
    fence::Fence,
    floor,
    link::Link,
    xmpp::{
        component::{Component, Event, Failure, Settings},
        incoming::Incoming,
    },
};

/// How often the floor is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Presences that wait to be sent, beyond which nothing that comes is read: a contact's whole news to five hundred people.
const WAITING: usize = 30_000;
/// How long the last words may take to be handed over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The contacts, to others.
#[derive(Debug)]
pub struct Handle {
    stop: CancellationToken,
    task: JoinHandle<()>,
    shell: JoinHandle<()>,
    link: watch::Receiver<Link>,
}

impl Handle {
    /// Whether the component is connected.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Says that every contact is gone, and ends.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in [self.task, self.shell] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the contacts ended badly");
            }
        }
    }

    /// Ends where it stands: another process has the contacts now.
    pub async fn abandon(self) {
        for task in [self.task, self.shell] {
            task.abort();
            // Cancelled is what was asked for.
            let _ = task.await;
        }
    }
}

/// What the contacts speak to.
#[derive(Debug)]
pub struct Outlets {
    /// How to connect.
    pub settings: Settings,
    /// Queues, and who serves them.
    pub roster: watch::Receiver<Register>,
    /// Bare JIDs that may see every contact.
    pub supervisors: Vec<String>,
    /// Who waits, and what agents do.
    pub floor: floor::Questions,
    /// Where what people write is answered.
    pub visitors: mpsc::Sender<Incoming>,
    /// Of what contacts show.
    pub language: Language,
    /// Whether this process may act.
    pub fence: Fence,
}

/// Starts the contacts.
pub fn spawn(outlets: Outlets) -> Handle {
    let Outlets { settings, roster, supervisors, floor, visitors, language, fence } = outlets;
    let stop = CancellationToken::new();
    // The connection ends when the last words are handed over to it.
    let closed = CancellationToken::new();
    let domain = settings.domain.clone();
    let (component, events, shell) = Component::start(settings, fence, closed.clone());
    let down = Link::Down { since: Timestamp::now(), why: "connecting".into() };
    let (shown, link) = watch::channel(down);
    let service = Service {
        domain,
        component,
        people: People::new(&supervisors),
        supervisors: supervisors.iter().filter_map(|jid| jid.parse().ok()).collect(),
        roster,
        reviewed: None,
        floor,
        visitors,
        language,
        link: shown,
        board: Board::default(),
        outbox: VecDeque::new(),
    };
    let task = tokio::spawn(service.run(events, stop.clone(), closed));
    Handle { stop, task, shell, link }
}

type Look = Pin<Box<dyn Future<Output = Result<Vec<LineView>, floor::NoAnswer>> + Send>>;

struct Service {
    domain: String,
    component: Component,
    people: People,
    supervisors: Vec<BareJid>,
    roster: watch::Receiver<Register>,
    /// The revision of the roster by which watchers were looked through.
    reviewed: Option<u64>,
    floor: floor::Questions,
    visitors: mpsc::Sender<Incoming>,
    language: Language,
    link: watch::Sender<Link>,
    board: Board<BareJid>,
    /// Filled without waiting: who waited for the connection could not hear that it is gone.
    outbox: VecDeque<Out>,
}

/// Something to be sent.
enum Out {
    /// A contact's presence.
    Word(Word<BareJid>),
    /// An answer.
    Stanza(Box<Stanza>),
}

impl Service {
    async fn run(mut self, mut events: mpsc::Receiver<Event>, stop: CancellationToken, closed: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The floor is being asked.
        let mut looking: Option<Look> = None;
        loop {
            let up = self.link.borrow().is_up();
            if up && self.outbox.is_empty() {
                let words = self.board.next(Instant::now());
                self.tell(words);
            }
            let component = self.component.clone();
            tokio::select! {
                () = stop.cancelled() => break,
                event = events.recv(), if self.outbox.len() < WAITING => match event {
                    Some(event) => self.handle(event),
                    None => break,
                },
                room = component.room(), if !self.outbox.is_empty() => {
                    let (Some(room), Some(out)) = (room, self.outbox.pop_front()) else { break };
                    match out {
                        Out::Word(word) => if let Some(stanza) = self.put(word) { room.send(stanza) },
                        Out::Stanza(stanza) => room.send(*stanza),
                    }
                }
                _ = tick.tick(), if up && self.outbox.is_empty() && looking.is_none() => {
                    let floor = self.floor.clone();
                    looking = Some(Box::pin(async move { floor.lines().await }));
                }
                views = look(&mut looking), if looking.is_some() => {
                    looking = None;
                    // Busy with what matters more: what was last seen stays.
                    if let Ok(views) = views {
                        self.seen(&views);
                    }
                }
            }
        }
        let _late = timeout(LAST_WORDS, self.last_words()).await;
        closed.cancel();
    }

    /// What is on its way is overtaken by the goodbye.
    async fn last_words(&mut self) {
        if !self.link.borrow().is_up() {
            return;
        }
        loop {
            let words = self.board.goodbye();
            if words.is_empty() {
                return;
            }
            for word in words {
                if let Some(stanza) = self.put(word) {
                    self.component.send(stanza).await;
                }
            }
        }
    }

    fn tell(&mut self, words: Vec<Word<BareJid>>) {
        self.outbox.extend(words.into_iter().map(Out::Word));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Online => {
                let books = self.roster.borrow().clone();
                self.people.learn(&books);
                self.outbox.clear();
                self.board.connected(entitled(&books, &self.supervisors));
                self.link.send_replace(Link::Up { since: Timestamp::now() });
                tracing::info!(component = %self.domain, "the component is connected: queues are contacts");
            }
            Event::Offline(failure) => {
                match &failure {
                    Failure::Refused(why) => {
                        tracing::error!("{why}; until then queues are no contacts, and all else goes on")
                    }
                    Failure::Passing(why) => {
                        tracing::warn!("queues are no contacts for now, and all else goes on: {why}")
                    }
                }
                self.outbox.clear();
                let why = failure.to_string();
                self.link.send_modify(|link| {
                    let since = match link {
                        Link::Down { since, .. } => *since,
                        Link::Up { .. } => Timestamp::now(),
                    };
                    *link = Link::Down { since, why };
                });
            }
            Event::Came(stanza) => match *stanza {
                Stanza::Presence(presence) => self.presence(presence),
                stanza @ (Stanza::Message(_) | Stanza::Iq(_)) => self.written(stanza),
            },
        }
    }

    fn seen(&mut self, views: &[LineView]) {
        let books = self.roster.borrow();
        self.people.learn(&books);
        let contacts = views.iter().filter(|view| name_of(&view.queue, &books).is_some()).map(|view| {
            let now =
                Now { resources: resources(view, &books, self.language), gone: resources_gone(&view.queue, &books) };
            (place(&view.queue), now)
        });
        self.board.look(contacts.collect::<BTreeMap<_, _>>(), Instant::now());
        if self.reviewed != Some(books.revision()) {
            self.reviewed = Some(books.revision());
            let may = |person: &BareJid, queue: &QueueName| {
                let queue = queue_at(queue.as_str(), &books);
                queue.zip(self.people.find(person)).is_some_and(|(queue, person)| may_see(&person, &queue.name, &books))
            };
            let words = self.board.review(may);
            drop(books);
            self.tell(words);
        }
    }

    /// Somebody wants to see a contact, or not any more.
    fn presence(&mut self, presence: Presence) {
        let (Some(from), Some(to)) = (presence.from, presence.to) else { return };
        let (person, wish) = (
            from.to_bare(),
            match presence.type_ {
                Type::Subscribe => Some(Wish::Subscribe),
                Type::Probe => Some(Wish::Probe),
                Type::Unsubscribe | Type::Error => None,
                // How they are themselves is nobody's business here.
                Type::None | Type::Unavailable | Type::Subscribed | Type::Unsubscribed => return,
            },
        );
        let books = self.roster.borrow();
        self.people.learn(&books);
        let queue = to.node().and_then(|name| queue_at(name.as_str(), &books)).map(|queue| queue.name.clone());
        let queue = queue.filter(|queue| name_of(queue, &books).is_some());
        let words = match (queue, wish) {
            (Some(queue), Some(wish)) => {
                let may = self.people.find(&person).is_some_and(|person| may_see(&person, &queue, &books));
                self.board.wishes(wish, &place(&queue), person, may)
            }
            (Some(queue), None) if presence.type_ == Type::Unsubscribe => self.board.leaves(&place(&queue), &person),
            (Some(queue), None) => {
                self.board.unreachable(&place(&queue), &person);
                vec![]
            }
            (None, Some(_)) => {
                // There is no such contact.
                let mut refused = Presence::new(Type::Unsubscribed);
                (refused.from, refused.to) = (Some(to.to_bare().into()), Some(person.into()));
                self.outbox.push_back(Out::Stanza(Box::new(refused.into())));
                vec![]
            }
            (None, None) => vec![],
        };
        drop(books);
        self.tell(words);
    }

    /// A presence as it is sent; `None`: it has no address that could send it.
    fn put(&self, Word { queue, to, what }: Word<BareJid>) -> Option<Stanza> {
        // A queue that is gone has to say so all the same.
        let own: BareJid = format!("{queue}@{}", self.domain).parse().ok()?;
        let resource = |resource: &str| own.with_resource_str(resource).ok().map(Jid::from);
        let (from, presence) = match what {
            What::Here { resource: name, shown } => (resource(&name)?, here(&shown, self.language)),
            What::Away(Some(name)) => (resource(&name)?, Presence::new(Type::Unavailable)),
            What::Away(None) => (own.into(), Presence::new(Type::Unavailable)),
            What::Let => (own.into(), Presence::new(Type::Subscribed)),
            What::Refuse => (own.into(), Presence::new(Type::Unsubscribed)),
        };
        Some(Presence { from: Some(from), to: Some(to.into()), ..presence }.into())
    }
}

fn here(shown: &Shown, language: Language) -> Presence {
    let mut presence = Presence::new(Type::None);
    presence.show = match shown.show {
        Show::Available => None,
        Show::Away => Some(XmppShow::Away),
        Show::Busy => Some(XmppShow::Dnd),
        Show::LongAway => Some(XmppShow::Xa),
    };
    presence.set_status(language.tag(), sendable(&shown.text));
    presence
}

/// Everybody who may see a contact, by contact.
fn entitled(books: &Register, supervisors: &[BareJid]) -> Vec<(QueueName, BareJid)> {
    let of = |queue: &QueueName| {
        let jids = books.members(queue).filter_map(|row| books.agent(&row.extension)?.jid.parse().ok());
        jids.chain(supervisors.iter().cloned()).map(|jid| (place(queue), jid)).collect::<Vec<_>>()
    };
    let queues = books.queues().map(|queue| &queue.name).filter(|queue| name_of(queue, books).is_some());
    queues.flat_map(of).collect()
}

async fn look(looking: &mut Option<Look>) -> Result<Vec<LineView>, floor::NoAnswer> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}
