//! The desk: lays the caller's file on the right desk before the phone rings, and tells the members who waits.
//!
//! ```text
//!  Handle ──Request──▶ ┌──────┐ ◀──Event── session (xmpp): online, suspended, resumed, fatal
//!                      │ Desk │ ──step──▶ Board (domain): what to do on which node
//!  oneshot ◀──outcome──└──────┘ ──Task──▶ at most 32 requests and 4 messages under way, reports come back
//! ```
//!
//! One task owns all of it and never waits for the server. Routing is never held up: a publish is answered within its
//! bound whatever the server does. What got stale while the link was down is not sent.

mod links;
mod nodes;
mod outbox;
pub mod payload;
pub mod quiet;
mod receipts;
mod task;

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use xmpp_parsers::jid::Jid;

pub use self::outbox::QuickResponse;
use crate::{
    config,
    desk::{
        outbox::{Life, NOTICE_LIFE},
        payload::Style,
        quiet::{Quiet, Spans},
        task::Desk,
    },
    domain::{
        id::{CallId, Extension},
        pop::{Pop, PopOutcome},
        queue::roster::{Roster, RosterChange},
    },
    fence::Fence,
    link::Link,
    xmpp::{
        Account, Fatal,
        pubsub::Pubsub,
        session::{Ears, Session},
    },
};

/// Requests waiting for the task, which takes microseconds for each: a burst of 1,000 calls with all their revisions.
const REQUESTS: usize = 16_384;

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
    Say { to: Vec<String>, body: String, responses: Vec<QuickResponse>, life: Life },
    Correct { call: CallId, body: String, last: bool },
    Forget(CallId),
    Roster(Arc<Roster>),
    RosterChanged(Arc<RosterChange>),
    Need { extension: Extension, answer: oneshot::Sender<Result<(), NodeError>> },
}

/// What became of messages since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken by the server: announcements and notices,
    pub messages: AtomicU64,
    /// and corrections of them.
    pub corrections: AtomicU64,
    /// Confirmed by a client (XEP-0184); many confirm nothing.
    pub confirmed: AtomicU64,
    /// Not confirmed, to somebody who had confirmed those before.
    pub unconfirmed: AtomicU64,
    /// Came back: they did not reach whom they were for.
    pub returned: AtomicU64,
    /// Got lost with a connection; sent again where that still made sense.
    pub lost: AtomicU64,
}

/// The way to the desk. Cheap to clone; no method waits.
#[derive(Debug, Clone)]
pub struct Handle {
    counts: Arc<Counts>,
    requests: mpsc::Sender<Request>,
    link: watch::Receiver<Link>,
    calm: watch::Receiver<bool>,
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
    pub fn announce(&self, call: CallId, to: Vec<String>, body: String, responses: Vec<QuickResponse>) {
        let _dropped = self.send(Request::Say { to, body, responses, life: Life::Call(call) });
    }

    /// What was announced of a call reads like this now (XEP-0308); `last`: nothing more will be said of it. Changes within a second are
    /// sent as one. Nothing is sent where the house has switched corrections off.
    pub fn correct(&self, call: CallId, body: String, last: bool) {
        let _dropped = self.send(Request::Correct { call, body, last });
    }

    /// The caller does not wait any more: what was not sent yet about the call is dropped.
    pub fn forget(&self, call: CallId) {
        let _dropped = self.send(Request::Forget(call));
    }

    /// Sends one notice; dropped when it cannot be sent within 30 s.
    pub fn tell(&self, jid: String, body: String) {
        let life = Life::Until(Instant::now() + NOTICE_LIFE);
        let _dropped = self.send(Request::Say { to: vec![jid], body, responses: Vec::new(), life });
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

    /// What became of messages since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How the link is, for readiness.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Whether no phone waits for its pop and no message waits to be sent: what others say by the same session stands back until then.
    pub fn calm(&self) -> watch::Receiver<bool> {
        self.calm.clone()
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
    /// Who hears what others write to the account, and show.
    pub ears: Ears,
}

/// The same, on other terms.
pub fn spawn_with(
    config: &config::Xmpp,
    pops: &config::Pops,
    fence: Fence,
    Terms { spans, ears }: Terms,
    stop: CancellationToken,
) -> (Handle, JoinHandle<Result<(), Fatal>>) {
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (link, seen) = watch::channel(Link::Down { since: Timestamp::now(), why: "not connected yet".into() });
    let (config, style) = (config.clone(), Style::new(pops));
    let counts = Arc::new(Counts::default());
    let counted = counts.clone();
    let (calm, is_calm) = watch::channel(true);
    let task = tokio::spawn(async move {
        let account = Account::new(&config)?;
        let service = Jid::from_str(&config.pubsub_jid()).map_err(|_| Fatal::PubsubJid(config.pubsub_jid()))?;
        let goodbye = CancellationToken::new();
        let owner = account.jid.clone();
        let (session, events) = Session::start_for(account, fence, ears, goodbye.clone())?;
        let pubsub = Pubsub::new(session.clone(), service, owner);
        let desk = Desk::new(&config, session, pubsub, link, style, Quiet::new(spans), counted).telling(calm);
        desk.run(inbox, events, stop, goodbye).await
    });
    (Handle { counts, requests, link: seen, calm: is_calm, behind: Arc::default() }, task)
}
