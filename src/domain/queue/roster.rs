//! Who works where, as the database says: agents, queues, and who is a member of which.

mod change;
mod register;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    change::{Keys, RosterChange},
    register::Register,
};
use crate::domain::{
    id::{CustomerCode, Extension, Interface, QueueName},
    pop::link::Template,
    presence::PresencePolicy,
    queue::{callback::CallbackPolicy, policy::Policy, talk::TalkPolicy, waiting::Announcements},
};

/// A person with a phone: one row of `extensions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Short number, unique.
    pub extension: Extension,
    /// The person's name.
    pub name: String,
    /// Bare JID of the person, unique; also who may see the extension's node.
    pub jid: String,
    /// What rings: `PJSIP/1000`.
    pub interface: Interface,
    /// Why they are not to be offered anything; empty: they may be.
    pub pauses: Vec<Pause>,
}

impl Agent {
    /// The agent as people read it, in one line: `1000 (Ana)`.
    pub fn shown(&self) -> String {
        let name = self.name.split(char::is_control).map(str::trim).filter(|part| !part.is_empty());
        match name.collect::<Vec<_>>().join(" ").as_str() {
            "" => self.extension.to_string(),
            name => format!("{} ({name})", self.extension),
        }
    }
}

/// A pause of an agent: one row of `pauses`. Several may be there at once; each is taken back by who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// In this queue only; `None`: everywhere.
    pub queue: Option<QueueName>,
    /// Who set it.
    pub kind: PauseKind,
    /// Why, in the agent's words; may be empty.
    pub reason: String,
    /// When it began.
    pub since: Timestamp,
}

/// Who set a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseKind {
    /// The agent or a supervisor: only they end it.
    Manual,
    /// The floor, after unanswered offers: the agent ends it by resuming.
    Auto,
    /// The agent's presence: ended by it, or by the agent.
    Presence,
}

impl PauseKind {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Auto => "auto",
            Self::Presence => "presence",
        }
    }
}

/// One row of `queues`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Name as the dialplan gives it.
    pub name: QueueName,
    /// Name as people read it: `Support`.
    pub label: String,
    /// What agents dial to transfer a caller here; `None`: no number.
    pub number: Option<String>,
    /// Text of the message to every logged-on member; see [`crate::domain::queue::announce`].
    pub announcement: String,
    /// Sound that a caller hears on entering, in Asterisk's form without extension: `usher/support_team`. Empty: none.
    pub greeting: String,
    /// Class of the music that follows it.
    pub moh_class: String,
    /// How long one member's phone rings.
    pub ring_time: Duration,
    /// How long a caller waits before the fallback.
    pub queue_timeout: Duration,
    /// How callers and members are brought together.
    pub policy: Policy,
    /// How callers are called back.
    pub callback: CallbackPolicy,
    /// What callers are told while they wait.
    pub announcements: Announcements,
    /// What belongs to their talks.
    pub talk: TalkPolicy,
    /// What becomes of members who are not there.
    pub presence: PresencePolicy,
    /// Where a customer's page is, for whoever shows a pop; `None`: nowhere.
    pub link: Option<Template>,
}

impl Queue {
    /// One of which no more than the name is said: it greets nobody, rings nobody and keeps nobody.
    pub fn new(name: QueueName) -> Self {
        Self {
            name,
            label: String::new(),
            number: None,
            announcement: String::new(),
            greeting: String::new(),
            moh_class: String::new(),
            ring_time: Duration::ZERO,
            queue_timeout: Duration::ZERO,
            policy: Policy::default(),
            callback: CallbackPolicy::default(),
            announcements: Announcements::default(),
            talk: TalkPolicy::default(),
            presence: PresencePolicy::default(),
            link: None,
        }
    }

    /// What a caller hears on entering, one after the other: that they are recorded comes before they say anything.
    pub fn greetings(&self) -> Vec<&str> {
        let greeting = Some(self.greeting.as_str()).filter(|sound| !sound.is_empty());
        self.talk.says_recorded().into_iter().chain(greeting).collect()
    }
}

/// One row of `memberships`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// In this queue
    pub queue: QueueName,
    /// this agent
    pub extension: Extension,
    /// is logged on or not, and
    pub logged_on: bool,
    /// last ended a call of any queue at this time; `None`: never had one.
    pub last_call_at: Option<Timestamp>,
    /// Callers get members with a lower penalty first; those of a higher one only when none of the lower ones is there.
    pub penalty: u32,
    /// Place in the order of the configuration, for the strategies that go by it: lower first, then by extension.
    pub place: i32,
    /// When they logged on last, for the strategy that goes by the order of joining.
    pub joined_at: Timestamp,
    /// When they last said to be there, by logging on or resuming; `None`: not known. A pause of ours that is older is over.
    pub back_at: Option<Timestamp>,
    /// Calls of this queue that they took so far.
    pub calls_taken: u64,
    /// The end of wrap-up, if it is still to come.
    pub wrap_up_until: Option<Timestamp>,
    /// Whether a log-off takes the membership away.
    pub kind: MembershipKind,
}

impl Membership {
    /// One that began with a log-on at the epoch, and has had no call yet.
    pub fn new(queue: QueueName, extension: Extension) -> Self {
        Self {
            queue,
            extension,
            logged_on: true,
            last_call_at: None,
            penalty: 0,
            place: 0,
            joined_at: Timestamp::UNIX_EPOCH,
            back_at: None,
            calls_taken: 0,
            wrap_up_until: None,
            kind: MembershipKind::Dynamic,
        }
    }
}

/// Where a membership comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum MembershipKind {
    /// From the first log-on.
    #[default]
    Dynamic,
    /// From an administrator; logged on from the start.
    Static,
}

/// A consistent snapshot of all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// By extension, ascending.
    pub agents: Vec<Agent>,
    /// By name, ascending.
    pub queues: Vec<Queue>,
    /// By queue, then extension, ascending.
    pub memberships: Vec<Membership>,
}

/// A talk of a customer with an agent that is over, from before the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastTalk {
    /// Key of the customer.
    pub customer: i64,
    /// Who spoke with them.
    pub extension: Extension,
    /// When it ended.
    pub ended: Timestamp,
}

/// A customer: one row of `customers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Key in the database.
    pub id: i64,
    /// What is keyed in.
    pub code: CustomerCode,
    /// Any UTF-8, `,&<"` included.
    pub name: String,
}

/// Who calls, as shown to people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerId {
    /// Number; empty when withheld.
    pub number: String,
    /// Name; mostly empty.
    pub name: String,
}
