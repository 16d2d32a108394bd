//! Service: the rooms. Each queue has one (XEP-0045), in which its members read who waits and what becomes of each call, and supervisors command.
//!
//! ```text
//!   xmpp ──Link, what rooms say──▶ rooms (1x) ──enter, settle, say──▶ xmpp
//!   floor ──News────────────────────┘ │ ├──once a second: who waits──▶ floor
//!   ledger ──roster─────────────────┘ │ └──commands of supervisors───▶ counter
//!   desk ──whether it is calm───────┘
//! ```
//!
//! Nothing waits for it: news that it cannot take in is left out. What it says stands back while phones wait for their pops, and two rooms
//! at once are spoken to. In a room that strangers could enter, or that is somebody else's, nothing is said.

mod room;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    pin::Pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use xmpp_parsers::jid::BareJid;

use self::room::{Next, Room};
use crate::{
    counter::{self, Reply},
    desk::payload::sendable,
    domain::{
        contact::{name_of, place},
        id::QueueName,
        queue::{
            roster::{Queue, Register},
            view::QueueView,
        },
        room::{
            access::Affiliation,
            lines::{Calls, News},
        },
        words::Language,
    },
    fence::Fence,
    floor,
    worker::Worker,
    xmpp::{
        muc::{self, Heard, Hearing, Link, Trouble, Wanted},
        session::Session,
    },
};

/// News that may wait for the task, which takes microseconds for each: a burst of 1,000 calls with all their events.
pub const NEWS: usize = 16_384;
/// Rooms that are spoken to at once: the server sends each message to everybody there, and a pop that comes after it waits for that.
const UNDER_WAY: usize = 2;
/// Rooms that are entered at once, and those that are set up.
const ENTERING: usize = 8;
const SETTLING: usize = 2;
/// How long what is said stands back at most while phones wait for their pops.
const STANDS_BACK: Duration = Duration::from_secs(1);
/// How often the floor is asked who waits, and all rooms are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long the last lines may take when the service stops.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a room may take to answer whether we are in it.
const PONG: Duration = Duration::from_secs(10);

/// The rooms, to others.
#[derive(Debug)]
pub struct Handle {
    worker: Worker,
}

impl Handle {
    /// Says what there is yet to say, in bounded time, and ends.
    pub async fn stop(self) {
        self.worker.stop().await;
    }

    /// Ends where it stands: another process speaks now.
    pub async fn abandon(self) {
        self.worker.abandon().await;
    }
}

/// What was done since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// How often a room was entered and set up,
    pub opened: AtomicU64,
    /// and how often one could not be, or we were put out.
    pub refused: AtomicU64,
    /// Lines that were said,
    pub lines: AtomicU64,
    /// and those that were not: they got old, were too many, or the room did not take them.
    pub dropped: AtomicU64,
    /// Subjects that were set.
    pub subjects: AtomicU64,
    /// Commands that were answered.
    pub answers: AtomicU64,
}

/// What the rooms speak to.
#[derive(Debug)]
pub struct Outlets {
    /// The service that has the rooms.
    pub service: BareJid,
    /// The account of ours.
    pub own: BareJid,
    /// Bare JIDs that keep order in every room.
    pub supervisors: Vec<String>,
    /// Of what is said.
    pub language: Language,
    /// What the session and the rooms say.
    pub ears: Hearing,
    /// What happens on the floor.
    pub news: mpsc::Receiver<News>,
    /// Queues and their members.
    pub roster: watch::Receiver<Register>,
    /// Whether no phone waits for its pop.
    pub calm: watch::Receiver<bool>,
    /// Who waits.
    pub floor: floor::Questions,
    /// Who does what supervisors say.
    pub counter: counter::Window,
    /// Whether this process may act.
    pub fence: Fence,
    /// What is counted.
    pub counts: Arc<Counts>,
}

/// Starts the rooms.
pub fn spawn(outlets: Outlets) -> Handle {
    let stop = CancellationToken::new();
    let Outlets { service, own, supervisors, language, ears, news, roster, calm, floor, counter, fence, counts } =
        outlets;
    let Hearing { link, stanzas } = ears;
    let rooms = Rooms {
        service,
        own,
        supervisors: supervisors.iter().filter_map(|jid| BareJid::from_str(jid).ok()).collect(),
        language,
        link,
        now: Link::default(),
        stanzas,
        news,
        roster,
        revision: 0,
        calm,
        stands_back: None,
        floor,
        looking: false,
        counter,
        fence,
        counts,
        calls: Calls::default(),
        rooms: BTreeMap::new(),
        names: HashMap::new(),
        troubles: HashSet::new(),
        work: FuturesUnordered::new(),
    };
    let task = tokio::spawn(rooms.run(stop.clone()));
    Handle { worker: Worker::new("the service of rooms", stop, task) }
}

/// What was waited for.
enum Report {
    /// A room was set up, or not, after it was entered for the n-th time.
    Settled { queue: QueueName, entry: u64, wanted: Wanted, result: Result<(), Trouble> },
    /// Who waits.
    Looked(Vec<QueueView>),
    /// What is answered to somebody in a room.
    Answered { queue: QueueName, nick: String, reply: Option<Reply> },
    /// Whether we are in a room.
    Pinged { queue: QueueName, entry: u64, is_there: bool },
    /// Nothing is to be done about it.
    Done,
}

type Work = Pin<Box<dyn Future<Output = Report> + Send>>;

struct Rooms {
    service: BareJid,
    own: BareJid,
    supervisors: Vec<BareJid>,
    language: Language,
    link: watch::Receiver<Link>,
    /// The same, as it was taken in.
    now: Link,
    stanzas: mpsc::Receiver<(u64, BareJid, Heard)>,
    news: mpsc::Receiver<News>,
    roster: watch::Receiver<Register>,
    revision: u64,
    calm: watch::Receiver<bool>,
    /// Since when it is not calm.
    stands_back: Option<Instant>,
    floor: floor::Questions,
    looking: bool,
    counter: counter::Window,
    fence: Fence,
    counts: Arc<Counts>,
    calls: Calls,
    rooms: BTreeMap<QueueName, Room>,
    /// Of which queue each room is.
    names: HashMap<BareJid, QueueName>,
    /// What was said in the log of rooms that are shut.
    troubles: HashSet<String>,
    work: FuturesUnordered<Work>,
}

impl Rooms {
    async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<Instant> = None;
        self.link.mark_changed();
        self.roster.mark_changed();
        let mut wake = None;
        loop {
            // In order: how the session is, then what rooms say, so that an answer is taken in after what came before it.
            tokio::select! {
                biased;
                () = stop.cancelled(), if last.is_none() => last = Some(Instant::now() + LAST_WORDS),
                Ok(()) = self.link.changed() => self.link_changed(Instant::now()),
                Some((epoch, room, heard)) = self.stanzas.recv() => self.hear(epoch, &room, heard, Instant::now()),
                Some(report) = self.work.next() => self.report(report, Instant::now()),
                Some(news) = self.news.recv() => {
                    let now = Instant::now();
                    self.take_in(news, now);
                    // All that is there, before all rooms are looked at.
                    while let Ok(news) = self.news.try_recv() {
                        self.take_in(news, now);
                    }
                }
                Ok(()) = self.roster.changed() => self.roster_changed(Instant::now()),
                Ok(()) = self.calm.changed() => {}
                () = until(wake) => {}
                () = until(last) => break,
                _ = tick.tick() => self.look(),
            }
            wake = self.go_on(Instant::now());
            if last.is_some() && self.rooms.values().all(Room::has_said_all) {
                break;
            }
        }
    }

    /// A way into the session, if something can be sent by it.
    fn session(&self) -> Option<Session> {
        self.now.session.as_ref().filter(|_| self.now.is_up)?.upgrade()
    }

    fn link_changed(&mut self, now: Instant) {
        let link = self.link.borrow_and_update().clone();
        let (is_new, is_back) = (link.epoch != self.now.epoch, link.is_up && !self.now.is_up);
        self.now = link;
        for room in self.rooms.values_mut() {
            if is_new {
                room.is_outside(now);
            } else if is_back {
                room.has_waited_for_the_link(now);
            }
        }
    }

    fn hear(&mut self, epoch: u64, room: &BareJid, heard: Heard, now: Instant) {
        if epoch != self.now.epoch {
            return;
        }
        let Some(room) = self.names.get(room).and_then(|queue| self.rooms.get_mut(queue)) else { return };
        let queue = room.queue.clone();
        match room.hear(heard, now) {
            Next::Nothing => {}
            Next::Said(count) => {
                self.counts.lines.fetch_add(count, Ordering::Relaxed);
            }
            Next::SubjectSet => {
                self.counts.subjects.fetch_add(1, Ordering::Relaxed);
            }
            Next::Dropped(count) => {
                self.counts.dropped.fetch_add(count, Ordering::Relaxed);
            }
            Next::Shut(trouble) => self.shut(&queue, &trouble, now),
            Next::PutOut => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(queue.name = %queue, "put out of the queue's room: entering it again in a while");
            }
            Next::Command { jid, nick, text } if jid != self.own => {
                let window = self.counter.clone();
                self.work.push(Box::pin(async move {
                    let reply = window.ask(jid, queue.clone(), text).await;
                    Report::Answered { queue, nick, reply }
                }));
            }
            Next::Command { .. } => room.needs_no_answer(),
        }
    }

    fn report(&mut self, report: Report, now: Instant) {
        match report {
            Report::Settled { queue, entry, wanted, result } => {
                let Some(room) = self.rooms.get_mut(&queue).filter(|room| room.entry == entry) else { return };
                match result {
                    Ok(()) if room.is_settled(wanted, now) => {
                        self.counts.opened.fetch_add(1, Ordering::Relaxed);
                        self.troubles.clear();
                        tracing::info!(queue.name = %queue, room = %room.address, "the queue's room is open");
                    }
                    Ok(()) => {}
                    Err(trouble) => self.shut(&queue, &trouble, now),
                }
            }
            Report::Looked(views) => {
                self.looking = false;
                for view in views {
                    if let Some(room) = self.rooms.get_mut(&view.queue) {
                        room.summary = Some((&view).into());
                    }
                }
            }
            Report::Answered { queue, nick, reply } => {
                if let Some(room) = self.rooms.get_mut(&queue) {
                    room.answer(&nick, reply, now);
                    self.counts.answers.fetch_add(1, Ordering::Relaxed);
                }
            }
            Report::Pinged { queue, entry, is_there } => {
                if let Some(room) = self.rooms.get_mut(&queue).filter(|room| room.entry == entry) {
                    room.was_pinged(is_there, now);
                }
            }
            Report::Done => {}
        }
    }

    /// A room is not as it is to be: it is left and tried again later. The log says each trouble once, until a room is open again.
    fn shut(&mut self, queue: &QueueName, trouble: &Trouble, now: Instant) {
        let Some(room) = self.rooms.get_mut(queue) else { return };
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        let (goodbye, address) = (room.shut(trouble, now), room.address.clone());
        if self.troubles.insert(trouble.to_string()) {
            tracing::warn!(queue.name = %queue, room = %address, "the queue's room cannot be used: {trouble}");
        }
        if let Some(session) = self.session() {
            goodbye.into_iter().for_each(|stanza| session.try_send(stanza));
        }
    }

    fn take_in(&mut self, news: News, now: Instant) {
        let books = self.roster.borrow();
        for line in self.calls.hear(news) {
            if let Some(room) = self.rooms.get_mut(&line.queue) {
                room.add(line.say(self.language, &books), now);
            }
        }
    }

    fn roster_changed(&mut self, now: Instant) {
        self.roster.mark_unchanged();
        let touched: Vec<(QueueName, Option<Wanted>)> = {
            let books = self.roster.borrow();
            let touched: BTreeSet<QueueName> = books.touched_since(self.revision).map(place).collect();
            // An address may have gone from one queue to another whose name differs by capital letters alone.
            let at_these = books.queues().map(|row| &row.name).chain(self.rooms.keys());
            let at_these: BTreeSet<&QueueName> = at_these.filter(|queue| touched.contains(&place(queue))).collect();
            let of = |queue: &QueueName| {
                let has_the_address = name_of(queue, &books).is_some();
                let wanted = |row: &Queue| Wanted { label: sendable(&row.label), people: self.people(queue, &books) };
                (queue.clone(), books.queue(queue).filter(|_| has_the_address).map(wanted))
            };
            let mut touched: Vec<_> = at_these.into_iter().map(of).collect();
            for (queue, _) in touched.iter().filter(|(queue, wanted)| wanted.is_none() && books.queue(queue).is_some())
            {
                tracing::debug!(queue.name = %queue, "no room: that of another queue has its address");
            }
            // Who leaves an address does so before the next one comes.
            touched.sort_by_key(|(_, wanted)| wanted.is_some());
            self.revision = books.revision();
            touched
        };
        for (queue, wanted) in touched {
            let Some(wanted) = wanted else {
                self.close(&queue);
                continue;
            };
            if let Some(room) = self.rooms.get_mut(&queue) {
                room.wanted = wanted;
                continue;
            }
            let Ok(address) = BareJid::from_str(&format!("{queue}@{}", self.service)) else { continue };
            self.names.insert(address.clone(), queue.clone());
            self.rooms.insert(queue.clone(), Room::new(queue, address, wanted, now));
        }
    }

    /// Who may enter: members of the queue, and supervisors.
    fn people(&self, queue: &QueueName, books: &Register) -> BTreeMap<BareJid, Affiliation> {
        let agents = books.members(queue).filter_map(|row| books.agent(&row.extension));
        let members = agents.filter_map(|agent| BareJid::from_str(&agent.jid).ok());
        let mut people: BTreeMap<_, _> = members.map(|jid| (jid, Affiliation::Member)).collect();
        people.extend(self.supervisors.iter().map(|jid| (jid.clone(), Affiliation::Admin)));
        people.remove(&self.own);
        people
    }

    /// The queue is no more: nobody is a member of its room.
    fn close(&mut self, queue: &QueueName) {
        let Some(room) = self.rooms.remove(queue) else { return };
        self.names.remove(&room.address);
        let (Some(session), true) = (self.session(), room.is_inside()) else { return };
        let supervisors = self.supervisors.iter().filter(|jid| **jid != self.own);
        let people = supervisors.map(|jid| (jid.clone(), Affiliation::Admin)).collect();
        self.work.push(Box::pin(async move {
            let wanted = Wanted { people, ..room.wanted.clone() };
            if let Err(trouble) = muc::settle(&session, &room.address, &wanted).await {
                tracing::warn!(room = %room.address, "the room of a queue that is no more stays as it is: {trouble}");
            }
            if let Some(goodbye) = room.goodbye() {
                session.send(goodbye).await;
            }
            Report::Done
        }));
    }

    /// Asks the floor who waits.
    fn look(&mut self) {
        let names: Vec<QueueName> =
            self.rooms.values().filter(|room| room.is_open()).map(|room| room.queue.clone()).collect();
        if names.is_empty() || self.looking {
            return;
        }
        self.looking = true;
        let floor = self.floor.clone();
        self.work.push(Box::pin(async move { Report::Looked(floor.queues(names).await.unwrap_or_default()) }));
    }

    /// Does what is due; when something is due next, if that is before the next tick.
    fn go_on(&mut self, now: Instant) -> Option<Instant> {
        let session = self.session().filter(|_| self.fence.holds())?;
        let mut entering = self.rooms.values().filter(|room| room.is_entering()).count();
        let mut settling = self.rooms.values().filter(|room| room.settling).count();
        for room in self.rooms.values_mut() {
            self.counts.dropped.fetch_add(room.forget_the_old(now), Ordering::Relaxed);
            if room.is_to_be_entered(now) && entering < ENTERING {
                entering += 1;
                room.enter(now).into_iter().for_each(|stanza| session.try_send(stanza));
            }
            if room.is_to_be_settled(now) && settling < SETTLING {
                settling += 1;
                room.settling = true;
                self.work.push(settle(&session, room));
            }
            if let Some(nick) = room.is_to_be_pinged(now) {
                self.work.push(ping(&session, room, nick));
            }
        }
        let late: Vec<QueueName> =
            self.rooms.values().filter(|room| room.is_late(now)).map(|room| room.queue.clone()).collect();
        for queue in late {
            self.shut(&queue, &Trouble::NoAnswer, now);
        }
        self.speak(&session, now)
    }

    fn speak(&mut self, session: &Session, now: Instant) -> Option<Instant> {
        if *self.calm.borrow_and_update() {
            self.stands_back = None;
        } else {
            let until = *self.stands_back.get_or_insert(now) + STANDS_BACK;
            if now < until {
                return Some(until);
            }
        }
        let mut under_way = self.rooms.values().filter(|room| room.is_speaking()).count();
        // Who has waited longest speaks first.
        let mut due: Vec<(Instant, QueueName)> =
            self.rooms.values().filter_map(|room| Some((room.due(self.language, now)?, room.queue.clone()))).collect();
        due.sort_unstable();
        for (at, queue) in due {
            if at > now {
                return Some(at);
            }
            if under_way >= UNDER_WAY {
                return None;
            }
            let said = self.rooms.get_mut(&queue).and_then(|room| room.speak(self.language, now));
            if let Some(stanza) = said {
                under_way += 1;
                session.try_send(stanza);
            }
        }
        None
    }
}

fn settle(session: &Session, room: &Room) -> Work {
    let (session, entry, wanted) = (session.clone(), room.entry, room.wanted.clone());
    let (queue, address) = (room.queue.clone(), room.address.clone());
    Box::pin(async move {
        let result = muc::settle(&session, &address, &wanted).await;
        Report::Settled { queue, entry, wanted, result }
    })
}

/// Asks the room whether we are in it (XEP-0410).
fn ping(session: &Session, room: &Room, nick: String) -> Work {
    let (session, entry) = (session.clone(), room.entry);
    let (queue, address) = (room.queue.clone(), room.address.clone());
    Box::pin(async move {
        let is_there = muc::is_there(&session, &address, &nick, PONG).await;
        Report::Pinged { queue, entry, is_there }
    })
}

/// Sleeps until then; for ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
