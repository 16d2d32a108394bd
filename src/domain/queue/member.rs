//! An agent on the floor: one person, whatever number of queues they serve.

use std::{collections::BTreeSet, time::Instant};

use jiff::Timestamp;

use crate::domain::{
    id::{CallId, Interface, OfferNo, QueueName},
    queue::roster,
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
#[derive(Debug, Clone)]
pub struct Agent {
    /// From the database.
    pub row: roster::Agent,
    /// Queues logged on to.
    pub logged_on: BTreeSet<QueueName>,
    /// End of the last call, the later of ours and the database's.
    pub last_call: Option<Timestamp>,
    /// When an offer last came to nothing because of them.
    pub last_refusal: Option<Timestamp>,
    /// What they do.
    pub work: Work,
    /// Whether the database still has them; one who is gone stays until their call is over.
    pub listed: Listed,
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
}

impl Interface {
    /// Whether Asterisk tells us what this interface does. Of others (`Local/…`) we only know what we gave them to do.
    pub fn is_watched(&self) -> bool {
        self.as_str().starts_with("PJSIP/")
    }
}
