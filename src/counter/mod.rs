//! Service: the counter. What agents and supervisors ask for by chat or by ad-hoc command is done, or said why not.
//!
//! ```text
//!   xmpp ──Incoming──▶ counter (1x) ──▶ errands (at most 64, one at a time for each person) ──answer──▶ xmpp, rooms
//!   rooms ──Asked──────┘                   ├─ log on, pause, today's calls ──▶ ledger
//!                                          ├─ who waits, what somebody does ─▶ floor
//!                                          └─ a word to whom it concerns ────▶ desk
//! ```
//!
//! It holds no rule of the call centre: [`crate::domain::command`] says who may ask what and what a text means, and ledger and floor
//! are asked as FastAGI and the command line ask them. It acts only while this process does: it starts with the floor, looks at the
//! fence before each errand, and what it writes carries the lease's token. What people write is never logged above debug.

mod adhoc;
mod carry_out;
mod chat;
mod forms;
pub(crate) mod people;
mod room;

pub use self::room::{Reply, Window};

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use xmpp_parsers::{
    jid::{BareJid, Jid},
    stanza_error::{DefinedCondition, ErrorType, StanzaError},
};

use self::{carry_out::Desks, people::People, room::Asked};
use crate::{
    desk,
    domain::{
        command::{
            dialog::Dialogues,
            door::{Door, Heard},
        },
        contact::queue_at,
        id::QueueName,
        queue::roster::Register,
        words::Language,
    },
    fence::Fence,
    floor, ledger,
    worker::Worker,
    xmpp::incoming::{Incoming, What},
};

/// Errands at once: most wait for one answer of the database, whose connections are fewer.
const AT_ONCE: usize = 64;
/// What came longer ago is not done any more: whoever wrote it has gone another way.
const STALE: Duration = Duration::from_secs(10);
/// How long a closed fence may hold up an errand, and how long an answer may take to be handed to the session.
const PATIENCE: Duration = Duration::from_secs(5);

/// The counter, to others.
#[derive(Debug)]
pub struct Handle {
    window: Window,
    worker: Worker,
}

impl Handle {
    /// Where rooms hand in what was said to the service in them.
    pub fn window(&self) -> Window {
        self.window.clone()
    }

    /// Takes no further errands, and ends when those that were begun are answered; they are bounded.
    pub async fn stop(self) {
        self.worker.stop().await;
    }

    /// Ends where it stands: another process answers now.
    pub async fn abandon(self) {
        self.worker.abandon().await;
    }
}

/// What the counter speaks to.
#[derive(Debug)]
pub struct Outlets {
    /// What people write.
    pub incoming: mpsc::Receiver<Incoming>,
    /// Who is an agent, and where.
    pub roster: watch::Receiver<Register>,
    /// Bare JIDs that may ask for everybody.
    pub supervisors: Vec<String>,
    /// Log-ons, pauses, calls.
    pub ledger: ledger::Handle,
    /// Nodes, and words to those whom it concerns.
    pub desk: desk::Handle,
    /// Who waits, and what somebody does.
    pub floor: floor::Questions,
    /// Of whoever has used none yet.
    pub language: Language,
    /// Whether this process may act.
    pub fence: Fence,
}

/// Starts the counter.
pub fn spawn(outlets: Outlets) -> Handle {
    let stop = CancellationToken::new();
    let Outlets { incoming, roster, supervisors, ledger, desk, floor, language, fence } = outlets;
    let counter = Counter {
        people: People::new(&supervisors),
        desks: Arc::new(Desks { ledger, desk, floor, roster: roster.clone(), language }),
        roster,
        language,
        fence,
        door: Door::default(),
        dialogues: Dialogues::default(),
        lines: HashMap::new(),
        errands: FuturesUnordered::new(),
        ready: VecDeque::new(),
    };
    let (rooms, asked) = mpsc::channel(room::WAITING);
    let task = tokio::spawn(counter.run(incoming, asked, stop.clone()));
    Handle { worker: Worker::new("the counter", stop, task), window: Window(rooms) }
}

/// An errand that is over.
struct Finished {
    person: BareJid,
    /// Ids of the messages that it has carried out with consequences.
    did: Vec<String>,
}

/// What somebody wants.
enum Work {
    /// They wrote it to the account.
    Written(Incoming),
    /// They said it in a room.
    InRoom(Asked),
}

type Errand = Pin<Box<dyn Future<Output = Finished> + Send>>;

struct Counter {
    people: People,
    desks: Arc<Desks>,
    roster: watch::Receiver<Register>,
    language: Language,
    fence: Fence,
    door: Door<BareJid>,
    /// Of ad-hoc commands, by clients.
    dialogues: Dialogues<Jid>,
    /// What waits behind the errand of each person who has one.
    lines: HashMap<BareJid, VecDeque<Work>>,
    errands: FuturesUnordered<Errand>,
    /// Whose turn it is when there is room.
    ready: VecDeque<BareJid>,
}

impl Counter {
    async fn run(
        mut self,
        mut incoming: mpsc::Receiver<Incoming>,
        mut asked: mpsc::Receiver<Asked>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(finished) = self.errands.next() => self.finished(finished),
                Some(one) = incoming.recv() => self.receive(one),
                Some(asked) = asked.recv() => self.receive_from_room(asked),
                else => break,
            }
            while self.errands.len() < AT_ONCE
                && let Some(person) = self.ready.pop_front()
            {
                self.begin(person);
            }
        }
        while self.errands.next().await.is_some() {}
    }

    /// Lets in who may, as often as they may.
    fn receive(&mut self, incoming: Incoming) {
        self.people.learn(&self.roster.borrow());
        let person = incoming.from.to_bare();
        if self.people.find(&person).is_none() {
            return stranger(&incoming);
        }
        match self.door.knock(&person, Instant::now()) {
            Heard::Yes => {}
            Heard::TellThem if matches!(incoming.what, What::Message(_)) => {
                let language = self.door.language(&person).unwrap_or(self.language);
                return chat::too_fast(&incoming, language);
            }
            Heard::TellThem | Heard::No => return incoming.refuse(too_many()),
        }
        self.line_up(person, Work::Written(incoming));
    }

    fn line_up(&mut self, person: BareJid, work: Work) {
        match self.lines.get_mut(&person) {
            Some(line) => line.push_back(work),
            None => {
                self.lines.insert(person.clone(), VecDeque::from([work]));
                self.ready.push_back(person);
            }
        }
    }

    /// The next errand of somebody who has none.
    fn begin(&mut self, person: BareJid) {
        let Some(work) = self.lines.get_mut(&person).and_then(VecDeque::pop_front) else {
            self.lines.remove(&person);
            return;
        };
        // Looked up again: the roster may have changed while it waited.
        self.people.learn(&self.roster.borrow());
        let Some(who) = self.people.find(&person) else {
            if let Work::Written(incoming) = work {
                stranger(&incoming);
            }
            self.ready.push_back(person);
            return;
        };
        let of = person.clone();
        let errand = match work {
            Work::InRoom(asked) => self.in_room(who, asked),
            Work::Written(incoming) => match &incoming.what {
                What::Message(_) => self.chat(person, who, incoming),
                What::Request { .. } => self.request(person, who, incoming),
                What::Subscribe => Box::pin(async move {
                    incoming.let_see().await;
                    Finished { person, did: vec![] }
                }),
            },
        };
        let mut fence = self.fence.clone();
        self.errands.push(Box::pin(async move {
            // Closed, nothing can be said either. What is done once it opens has to be what is still wanted.
            if tokio::time::timeout(PATIENCE, fence.opened()).await.is_err() {
                return Finished { person: of, did: vec![] };
            }
            errand.await
        }));
    }

    fn finished(&mut self, Finished { person, did }: Finished) {
        for message in did {
            self.door.did(&person, &message, Instant::now());
        }
        self.ready.push_back(person);
    }
}

/// The queue to whose contact somebody wrote; `None`: they wrote to the service as a whole.
fn here(incoming: &Incoming, books: &Register) -> Option<QueueName> {
    let name = incoming.contact()?.node()?;
    queue_at(name.as_str(), books).map(|queue| queue.name.clone())
}

fn nothing(person: BareJid) -> Errand {
    Box::pin(std::future::ready(Finished { person, did: vec![] }))
}

/// Who is nobody here. A message is not answered, so that nobody can have us write to others or keep us busy; a request has to be.
fn stranger(incoming: &Incoming) {
    tracing::debug!("somebody who is neither an agent nor a supervisor is not heard");
    let text = "only the JID of an extension, or a supervisor, may use these commands";
    incoming.refuse(StanzaError::new(ErrorType::Auth, DefinedCondition::Forbidden, "en", text));
}

fn too_many() -> StanzaError {
    let text = "too many requests: wait a few seconds";
    StanzaError::new(ErrorType::Wait, DefinedCondition::PolicyViolation, "en", text)
}
