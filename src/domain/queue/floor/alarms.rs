//! What the machine has to be woken for, in the order of time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::domain::id::{CallId, Extension, OfferNo};

/// Why the machine wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    /// The bound on confirming a pop.
    Pop,
    /// The end of a member's ring time.
    RingTime,
    /// The end of a caller's wait.
    QueueTimeout,
    /// Asterisk never said that a leg is gone.
    Clearing,
    /// Asterisk never said that caller and member are joined.
    Join,
    /// The next round of offers to members who missed or refused a call.
    Retry,
    /// The end of the wait for an agent's phone, when a transfer has failed.
    Transfer,
    /// A member presses no further key.
    Keys,
    /// The end of the ringing at who is consulted, or Asterisk never said who is joined.
    Consultation,
    /// The end of a member's wrap-up.
    WrapUp,
    /// Of a callback: the end of the prompt, of the ringing, or of the pause before the next try.
    Callback,
    /// A caller who waits is told something.
    Say,
    /// A caller whom nobody has asked for is the strategy's.
    Claim,
}

/// One of them, and whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Pop(CallId, OfferNo),
    RingTime(CallId, OfferNo),
    QueueTimeout(CallId),
    Clearing(Extension),
    Join(CallId),
    Retry(CallId),
    Transfer(CallId),
    Keys(CallId),
    Consultation(CallId),
    WrapUp(Extension),
    Callback(CallId),
    Say(CallId),
    Claim(CallId),
}

impl Alarm {
    fn deadline(&self) -> Deadline {
        match self {
            Self::Pop(..) => Deadline::Pop,
            Self::RingTime(..) => Deadline::RingTime,
            Self::QueueTimeout(_) => Deadline::QueueTimeout,
            Self::Clearing(_) => Deadline::Clearing,
            Self::Join(_) => Deadline::Join,
            Self::Retry(_) => Deadline::Retry,
            Self::Transfer(_) => Deadline::Transfer,
            Self::Keys(_) => Deadline::Keys,
            Self::Consultation(_) => Deadline::Consultation,
            Self::WrapUp(_) => Deadline::WrapUp,
            Self::Callback(_) => Deadline::Callback,
            Self::Say(_) => Deadline::Say,
            Self::Claim(_) => Deadline::Claim,
        }
    }
}

/// All that are set. Each is there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Alarms {
    in_order: BTreeSet<(Instant, Alarm)>,
    set: BTreeMap<Alarm, Instant>,
}

impl Alarms {
    /// Sets an alarm to that moment, or takes it off.
    pub(super) fn set(&mut self, alarm: Alarm, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.set.insert(alarm.clone(), at),
            None => self.set.remove(&alarm),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.in_order.remove(&(before, alarm.clone()));
        }
        if let Some(at) = at {
            self.in_order.insert((at, alarm));
        }
    }

    /// The next one.
    pub(super) fn next(&self) -> Option<(Instant, Deadline)> {
        self.in_order.first().map(|(at, alarm)| (*at, alarm.deadline()))
    }

    /// Takes off the next one that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Alarm> {
        self.in_order.first().filter(|(at, _)| *at <= now)?;
        let (_, alarm) = self.in_order.pop_first()?;
        self.set.remove(&alarm);
        Some(alarm)
    }
}
