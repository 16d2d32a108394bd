//! Service: presence. Members who are away from their XMPP clients are paused, or warned and logged off, as each queue wants it.
//!
//! ```text
//!   xmpp ──Sight──▶ presence (1x) ──every second──▶ Watch (domain): what is to be done
//!                      ├─ pause, resume, log off ──▶ ledger (at most 16 at once)
//!                      ├─ do they talk? ───────────▶ floor
//!                      └─ a word to whom it concerns ▶ desk, xmpp
//! ```
//!
//! It sees whom the agents let the account see: agents of queues with such a policy are asked once in each run. What it cannot see it
//! leaves as it is, and while the link is down it does nothing. What it knows comes anew with each session, and with it for how long
//! somebody has been away, where their server says so.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::Pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use xmpp_parsers::{jid::BareJid, message::Message, minidom::Element};

use crate::{
    desk::{self, payload::sendable},
    domain::{
        id::{Extension, QueueName},
        now::Now,
        presence::{Deed, Step, Watch},
        queue::roster::{Agent, Register},
        words::{Language, Words},
    },
    floor, ledger,
    worker::Worker,
    xmpp::{
        session::Session,
        sight::{self, Contact, Sight},
    },
};

/// How often it is looked what is to be done.
const LOOK: Duration = Duration::from_secs(1);
/// How long after the log-in somebody who may be seen, and of whom nothing was heard, counts as offline.
const SETTLE: Duration = Duration::from_secs(5);
/// How long what did not work, or was not to be done, rests.
const REST: Duration = Duration::from_secs(5);
/// How long the server may take to say whom the account may see.
const PATIENCE: Duration = Duration::from_secs(10);
/// Changes at once.
const AT_ONCE: usize = 16;
/// People asked at each look: none of them is in a hurry.
const ASKED_AT_ONCE: usize = 10;
/// XEP-0334: whom this is for is at no client now.
const HINTS: &str = "urn:xmpp:hints";

/// What it has done since the start, and how many people it sees.
#[derive(Debug, Default)]
pub struct Counts {
    /// People whose presence is known now.
    pub seen: AtomicU64,
    /// Pauses set,
    pub paused: AtomicU64,
    /// and ended.
    pub resumed: AtomicU64,
    /// Memberships logged off.
    pub logged_off: AtomicU64,
}

/// Presence, to others.
#[derive(Debug)]
pub struct Handle {
    counts: Arc<Counts>,
    worker: Worker,
}

impl Handle {
    /// What it has done.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Does no more, and ends when what was begun is answered.
    pub async fn stop(self) {
        self.worker.stop().await;
    }

    /// Ends where it stands: another process looks now.
    pub async fn abandon(self) {
        self.worker.abandon().await;
    }
}

/// What it speaks to.
#[derive(Debug)]
pub struct Outlets {
    /// What the account sees.
    pub sights: mpsc::Receiver<Sight>,
    /// The account.
    pub own: BareJid,
    /// Who is an agent, where, and what each queue wants.
    pub roster: watch::Receiver<Register>,
    /// Bare JIDs of those who hear of warnings as well.
    pub supervisors: Vec<String>,
    /// Pauses and log-offs.
    pub ledger: ledger::Handle,
    /// Words to whom it concerns.
    pub desk: desk::Handle,
    /// Who talks.
    pub floor: floor::Questions,
    /// Of all that is said.
    pub language: Language,
    /// From a warning to the log-off.
    pub grace: Duration,
}

/// Starts to look.
pub fn spawn(outlets: Outlets) -> Handle {
    let (counts, stop) = (Arc::new(Counts::default()), CancellationToken::new());
    let Outlets { sights, own, roster, supervisors, ledger, desk, floor, language, grace } = outlets;
    let presence = Presence {
        watch: Watch::new(grace),
        own,
        roster,
        known: None,
        addresses: HashMap::new(),
        supervisors,
        tools: Tools { ledger, desk, floor },
        language,
        session: None,
        contacts: HashMap::new(),
        unheard: VecDeque::new(),
        asked: HashSet::new(),
        rests: HashMap::new(),
        work: FuturesUnordered::new(),
        fetching: None,
        counts: counts.clone(),
    };
    let task = tokio::spawn(presence.run(sights, stop.clone()));
    Handle { counts, worker: Worker::new("the service of presence", stop, task) }
}

#[derive(Debug, Clone)]
struct Tools {
    ledger: ledger::Handle,
    desk: desk::Handle,
    floor: floor::Questions,
}

/// What is under way or rests, of one agent.
type Matter = (Extension, Option<QueueName>);

/// A step that was gone about.
struct Gone {
    step: Step,
    result: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is done.
    Done,
    /// Not now: they talk, the database is away, or it was not to be done any more.
    Later,
}

type Fetching = Pin<Box<dyn Future<Output = Option<Vec<Contact>>> + Send>>;

struct Presence {
    watch: Watch<BareJid>,
    own: BareJid,
    roster: watch::Receiver<Register>,
    /// The revision that `addresses` is of.
    known: Option<u64>,
    addresses: HashMap<Extension, BareJid>,
    supervisors: Vec<String>,
    tools: Tools,
    language: Language,
    session: Option<Session>,
    /// Whom the account may see, as far as the server has said.
    contacts: HashMap<BareJid, Contact>,
    /// Who may be seen, and counts as offline from then on unless something is heard of them.
    unheard: VecDeque<(Instant, BareJid)>,
    /// Who was asked in this run.
    asked: HashSet<BareJid>,
    /// What is under way (`None`), and what rests until then.
    rests: HashMap<Matter, Option<Instant>>,
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Gone> + Send>>>,
    fetching: Option<Fetching>,
    counts: Arc<Counts>,
}

impl Presence {
    async fn run(mut self, mut sights: mpsc::Receiver<Sight>, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(gone) = self.work.next() => self.gone(gone),
                contacts = fetched(&mut self.fetching) => self.fetched(contacts),
                sight = sights.recv() => match sight {
                    Some(sight) => self.see(sight),
                    None => break,
                },
                _ = look.tick() => self.look().await,
            }
        }
        while self.work.next().await.is_some() {}
    }

    fn see(&mut self, sight: Sight) {
        let now = Instant::now();
        match sight {
            Sight::Online(session) => {
                self.forget();
                self.fetch(session.clone());
                self.session = Some(session);
                self.watch.sees(true);
            }
            Sight::Suspended => self.watch.sees(false),
            Sight::Resumed => self.watch.sees(true),
            Sight::Missed => {
                tracing::error!("too much is shown by clients at once: whose presence was missed is left as it is");
                self.forget();
            }
            Sight::Shows { who, resource, show, text, ago } => {
                self.watch.shows(&who, &resource, show, &text, sight::before(now, ago));
            }
            Sight::Gone { who, resource, ago } => self.watch.leaves(&who, &resource, sight::before(now, ago)),
            Sight::Contact(contact) => self.learn(contact, now),
        }
    }

    fn forget(&mut self) {
        self.watch.forget_all();
        self.contacts.clear();
        self.unheard.clear();
    }

    fn fetch(&mut self, session: Session) {
        let own = self.own.clone();
        self.fetching = Some(Box::pin(async move {
            match sight::contacts(&session, own, PATIENCE).await {
                Ok(contacts) => Some(contacts),
                Err(error) => {
                    tracing::warn!(%error, "the XMPP server does not say whose presence the account may see: nobody is paused by it");
                    None
                }
            }
        }));
    }

    fn fetched(&mut self, contacts: Option<Vec<Contact>>) {
        self.fetching = None;
        let now = Instant::now();
        contacts.into_iter().flatten().for_each(|contact| self.learn(contact, now));
    }

    fn learn(&mut self, contact: Contact, now: Instant) {
        if contact.may_be_seen {
            self.watch.agrees(&contact.who);
            self.unheard.push_back((now + SETTLE, contact.who.clone()));
        } else {
            self.watch.unseen(&contact.who);
        }
        self.contacts.insert(contact.who.clone(), contact);
    }

    async fn look(&mut self) {
        let now = Now { steady: Instant::now(), utc: Timestamp::now() };
        self.learn_addresses();
        while self.unheard.front().is_some_and(|(at, _)| *at <= now.steady) {
            let Some((_, who)) = self.unheard.pop_front() else { break };
            if self.contacts.get(&who).is_some_and(|contact| contact.may_be_seen) {
                self.watch.is_offline(&who, now.steady);
            }
        }
        self.counts.seen.store(self.watch.seen() as u64, Ordering::Relaxed);
        self.ask_some().await;
        self.rests.retain(|_, until| until.is_none_or(|until| until > now.steady));
        let steps = {
            let (books, addresses) = (self.roster.borrow(), &self.addresses);
            self.watch.steps(&books, |agent| addresses.get(&agent.extension).cloned(), now)
        };
        for step in steps {
            self.go_about(step);
        }
    }

    fn learn_addresses(&mut self) {
        let books = self.roster.borrow();
        if self.known == Some(books.revision()) {
            return;
        }
        self.known = Some(books.revision());
        let address = |agent: &Agent| Some((agent.extension.clone(), BareJid::from_str(&agent.jid).ok()?));
        self.addresses = books.agents().filter_map(address).collect();
    }

    /// Asks agents of queues with such a policy to be seen, once in each run.
    async fn ask_some(&mut self) {
        let Some(session) = self.session.clone().filter(|_| self.fetching.is_none()) else { return };
        let mut whom = Vec::new();
        {
            let books = self.roster.borrow();
            for agent in books.agents() {
                let Some(who) = self.addresses.get(&agent.extension) else { continue };
                let known = self.contacts.get(who).is_some_and(|contact| contact.may_be_seen || contact.is_asked);
                if known || self.asked.contains(who) {
                    continue;
                }
                let queues = books.queues_of(&agent.extension).filter_map(|member| books.queue(&member.queue));
                let labels: Vec<&str> = queues.filter(|q| q.presence.is_on()).map(|q| q.label.as_str()).collect();
                if !labels.is_empty() {
                    let why = self.language.say(Words::MayISee { queues: &labels.join(", ") });
                    whom.push((agent.extension.clone(), who.clone(), why));
                }
                if whom.len() == ASKED_AT_ONCE {
                    break;
                }
            }
        }
        for (extension, who, why) in whom {
            tracing::info!(%extension, "the presence of this agent cannot be seen: they are asked to allow it");
            sight::ask(&session, who.clone(), &why).await;
            self.asked.insert(who);
        }
    }

    fn go_about(&mut self, step: Step) {
        let matter = matter(&step);
        if self.work.len() >= AT_ONCE || self.rests.contains_key(&matter) {
            return;
        }
        self.rests.insert(matter, None);
        let tools = self.tools.clone();
        self.work.push(Box::pin(async move {
            let result = tools.carry_out(&step).await;
            Gone { step, result }
        }));
    }

    fn gone(&mut self, Gone { step, result }: Gone) {
        let matter = matter(&step);
        if result == Outcome::Later {
            self.rests.insert(matter, Some(Instant::now() + REST));
            return;
        }
        self.rests.remove(&matter);
        match step {
            Step::Warn(extension, queues) => self.warn(&extension, &queues),
            Step::Change(extension, deed) => self.told(&extension, &deed),
        }
    }

    fn warn(&mut self, extension: &Extension, queues: &[QueueName]) {
        let Some(who) = self.addresses.get(extension).cloned() else { return };
        self.watch.warned(&who, queues, Instant::now());
        tracing::info!(%extension, "at no XMPP client for too long: they are warned");
        let labels = self.labels(queues);
        let (shown, language) = (self.shown(extension), self.language);
        self.leave_word(&who, &language.say(Words::OfflineSoon { queues: &labels, extension: &shown }));
        for supervisor in &self.supervisors {
            let text = language.say(Words::OfflineSoon { queues: &labels, extension: &shown });
            self.tools.desk.tell(supervisor.clone(), text);
        }
    }

    fn told(&self, extension: &Extension, deed: &Deed) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let Some(who) = self.addresses.get(extension).cloned() else { return };
        let queues: Vec<QueueName> = deed.queue().into_iter().cloned().collect();
        let queue = &self.labels(&queues);
        let tell = |words: Words<'_>| self.tools.desk.tell(who.to_string(), self.language.say(words));
        match deed {
            Deed::Pause { reason, .. } => {
                count(&self.counts.paused);
                tell(Words::PausedByPresence { queue, reason });
            }
            Deed::Resume { queue: resumed } => {
                count(&self.counts.resumed);
                let books = self.roster.borrow();
                // Who has logged off takes no calls there.
                if books.queues_of(extension).any(|member| member.logged_on && Some(&member.queue) == resumed.as_ref())
                {
                    tell(Words::ResumedByPresence { queue });
                }
            }
            Deed::LogOff { .. } => {
                count(&self.counts.logged_off);
                self.leave_word(&who, &self.language.say(Words::LoggedOff { queue, extension: extension.as_str() }));
            }
        }
    }

    /// Writes to somebody who is at no client, for when they come back.
    fn leave_word(&self, who: &BareJid, text: &str) {
        let Some(session) = &self.session else { return };
        let mut message = Message::chat(Some(who.clone().into()));
        message.bodies.insert(Default::default(), sendable(text));
        message.payloads = vec![Element::bare("store", HINTS)];
        session.try_send(message.into());
    }

    fn labels(&self, queues: &[QueueName]) -> String {
        let books = self.roster.borrow();
        let label = |name: &QueueName| books.queue(name).map_or_else(|| name.to_string(), |queue| queue.label.clone());
        queues.iter().map(label).collect::<Vec<_>>().join(", ")
    }

    fn shown(&self, extension: &Extension) -> String {
        self.roster.borrow().agent(extension).map_or_else(|| extension.to_string(), Agent::shown)
    }
}

impl Tools {
    async fn carry_out(&self, step: &Step) -> Outcome {
        let deed = match step {
            Step::Change(extension, deed @ (Deed::Pause { .. } | Deed::Resume { .. })) => Some((extension, deed)),
            Step::Change(extension, deed @ Deed::LogOff { .. }) if !self.is_at_work(extension).await => {
                Some((extension, deed))
            }
            Step::Warn(extension, _) if !self.is_at_work(extension).await => None,
            // Nobody talks with a customer and is not there.
            Step::Change(..) | Step::Warn(..) => return Outcome::Later,
        };
        let Some((extension, deed)) = deed else { return Outcome::Done };
        match self.ledger.by_presence(extension, deed).await {
            Ok(ledger::Change::Done) => Outcome::Done,
            Ok(ledger::Change::Refused) | Err(_) => Outcome::Later,
        }
    }

    /// Whether they have a call of ours, or are just done with one.
    async fn is_at_work(&self, extension: &Extension) -> bool {
        // What is not known is asked again.
        self.floor.work(extension.clone()).await.map_or(true, |work| work.is_some_and(|work| work.is_at_work()))
    }
}

fn matter(step: &Step) -> Matter {
    match step {
        Step::Change(extension, deed) => (extension.clone(), deed.queue().cloned()),
        // Of all at once.
        Step::Warn(extension, _) => (extension.clone(), None),
    }
}

async fn fetched(fetching: &mut Option<Fetching>) -> Option<Vec<Contact>> {
    match fetching {
        Some(fetching) => fetching.await,
        None => std::future::pending().await,
    }
}
