//! An agent on the floor: one person, whatever number of queues they serve.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use jiff::Timestamp;

use crate::domain::{
    id::{CallId, Interface, OfferNo, QueueName},
    queue::roster::{self, Pause, PauseKind},
};

/// What a phone does, as its Asterisk sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// Registered and without a call.
    Idle,
    /// In a call, ringing or dialling.
    Busy,
    /// Not registered or not reachable.
    Unavailable,
}

/// What the floor has given the agent to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    Free,
    /// Reserved for, ringing for or talking in a call.
    Busy {
        /// Which call,
        call: CallId,
        /// by which offer.
        offer: OfferNo,
    },
    /// The leg is being taken down; the phone may still ring for a moment.
    Clearing {
        /// Which call,
        call: CallId,
        /// by which offer.
        offer: OfferNo,
        /// Given up waiting for Asterisk's word then.
        until: Instant,
    },
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// From the database.
    pub row: roster::Agent,
    /// Queues logged on to.
    pub seats: BTreeMap<QueueName, Seat>,
    /// Pauses that the floor has set and the database does not know yet.
    pub auto_pauses: BTreeSet<(QueueName, Timestamp)>,
    /// Until when they are in wrap-up.
    pub wrap_up: Option<Instant>,
    /// End of the last call, the later of ours and the database's.
    pub last_call: Option<Timestamp>,
    /// When an offer last came to nothing because of them.
    pub last_refusal: Option<Timestamp>,
    /// What they do.
    pub work: Work,
    /// Whether the database still has them; one who is gone stays until their call is over.
    pub listed: Listed,
}

/// An agent's place in a queue that they are logged on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Lower is offered first.
    pub penalty: u32,
    /// In the order of the configuration.
    pub place: i32,
    /// When they logged on last.
    pub joined_at: Timestamp,
    /// When they last said to be there, by logging on or resuming.
    pub back_at: Timestamp,
    /// Calls of this queue that they took, the more of ours and the database's.
    pub calls_taken: u64,
    /// Offers of this queue that they did not answer, since they last took a call.
    pub unanswered: u32,
}

/// Whether an agent is in the current roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Yes.
    Yes,
    /// No: to be forgotten when free.
    No,
}

impl Agent {
    /// When it last was their turn, whether they took the call or not: one who does not answer goes behind the others,
    /// and is not the first to be rung by every caller.
    pub fn last_turn(&self) -> Option<Timestamp> {
        self.last_call.max(self.last_refusal)
    }

    /// Why they are not offered calls of this queue, as the database knows or the floor has decided.
    pub fn pause(&self, queue: &QueueName) -> Option<(PauseKind, &str)> {
        let in_force = |pause: &&Pause| {
            pause.queue.as_ref().is_none_or(|of| of == queue) && !(pause.kind == PauseKind::Auto && self.is_over(pause))
        };
        let ours = self.auto_pauses.iter().any(|(of, _)| of == queue).then_some((PauseKind::Auto, ""));
        self.row.pauses.iter().find(in_force).map(|pause| (pause.kind, pause.reason.as_str())).or(ours)
    }

    /// Who logs on or resumes after the floor has paused them is back.
    fn is_over(&self, pause: &Pause) -> bool {
        pause.queue.as_ref().and_then(|queue| self.seats.get(queue)).is_some_and(|seat| seat.back_at > pause.since)
    }
}

impl Interface {
    /// Whether Asterisk tells us what this interface does. Of others (`Local/…`) we only know what we gave them to do.
    pub fn is_watched(&self) -> bool {
        self.as_str().starts_with("PJSIP/")
    }

    /// Whether Asterisk rings the same phone for both: it takes the technology in capital letters or not.
    pub fn is_same_phone(&self, other: &Self) -> bool {
        match (self.as_str().split_once('/'), other.as_str().split_once('/')) {
            (Some((technology, phone)), Some((other, others))) => {
                technology.eq_ignore_ascii_case(other) && phone == others
            }
            _ => self == other,
        }
    }
}
