//! The world outside the service, as far as the floor can feel it: Asterisks, phones, callers, bridges.
//!
//! It carries out requests in their order and tells events in theirs; what it says while a link is dead is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::domain::{
    id::{CallId, Extension, Interface, OfferNo, ServerId},
    queue::{caller::Arrival, effect::Effect, event::Event, member::Device, tries::Tries},
};

/// A leg is known by call and offer, as its channel id is.
pub(super) type LegId = (CallId, OfferNo);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// Nothing gets through, and the service has not noticed.
    Dead,
    Down,
}

/// What Asterisk tells.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "few at a time, in a test")]
pub(super) enum Told {
    CallerStart(CallId),
    CallerGone(CallId),
    Event(Event),
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) link: Link,
    /// Counts links, so that what was on its way over an old one is not taken from the new one.
    pub(super) epoch: u32,
    pub(super) up_since: u64,
    pub(super) requests: VecDeque<Effect>,
    pub(super) wire: VecDeque<Told>,
    pub(super) request_clock: u64,
    pub(super) wire_clock: u64,
    /// What it remembers of callers who were called back.
    pub(super) tries: Tries,
}

/// What a caller hears.
#[derive(Debug)]
pub(super) struct Ears {
    /// Of all that is said in the call, what is being said or is still to be said.
    pub(super) said: BTreeSet<u32>,
    pub(super) music: bool,
    pub(super) talk: bool,
    /// Since when none of it.
    pub(super) silence: Option<u64>,
}

impl Ears {
    pub(super) fn new(clock: u64) -> Self {
        Self { said: BTreeSet::new(), music: false, talk: false, silence: Some(clock) }
    }

    /// To be called when any of it has changed.
    pub(super) fn listen(&mut self, clock: u64) {
        let silent = self.said.is_empty() && !self.music && !self.talk;
        self.silence = silent.then(|| self.silence.unwrap_or(clock));
    }
}

/// A caller in the application.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) arrival: Arrival,
    /// When the service marked the channel as its own.
    pub(super) marked: Option<u64>,
    pub(super) ears: Ears,
    /// They are on the leg of this try to call them back.
    pub(super) back: Option<u32>,
    /// The mark on their channel: with whom they were joined last.
    pub(super) joined_with: Option<Extension>,
}

/// The leg of a caller who is called back and has not answered.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) server: usize,
    /// As the caller was, for when they answer.
    pub(super) arrival: Arrival,
    pub(super) marked: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegState {
    Ringing,
    Answered,
    /// Hears that the caller is being called back.
    Hearing,
    /// Is told that the call was taken by somebody else, or that the caller was not reached.
    Listening,
    Bridged,
    /// In the bridge without the caller: an agent who asks somebody else, or who was asked.
    Parted,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) extension: Extension,
    pub(super) server: usize,
    pub(super) state: LegState,
    /// Since when, in milliseconds.
    pub(super) since: u64,
    /// Whether a greeting is or was played on it.
    pub(super) greeted: bool,
    /// The service cannot know of it: the link broke or the service died since.
    pub(super) lost: bool,
    /// Whether a join was lost already: no more than one goes astray over a link that stands.
    pub(super) join_lost: bool,
}

#[derive(Debug)]
pub(super) struct Phone {
    pub(super) interface: Interface,
    pub(super) plugged: bool,
    /// In a call that has nothing to do with any queue, by this server.
    pub(super) outside: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) servers: Vec<Server>,
    pub(super) callers: BTreeMap<CallId, Caller>,
    /// Also of callers who are gone.
    pub(super) server_of: BTreeMap<CallId, usize>,
    pub(super) legs: BTreeMap<LegId, Leg>,
    /// By call and try.
    pub(super) backs: BTreeMap<(CallId, u32), Back>,
    pub(super) bridges: BTreeSet<CallId>,
    pub(super) phones: BTreeMap<Extension, Phone>,
}

impl World {
    /// What a server sees of a phone.
    pub(super) fn device(&self, extension: &Extension, server: usize) -> Device {
        let phone = &self.phones[extension];
        let rung = self.legs.values().any(|leg| leg.server == server && leg.extension == *extension);
        if rung || phone.outside == Some(server) {
            Device::Busy
        } else if phone.plugged {
            Device::Idle
        } else {
            Device::Unavailable
        }
    }

    /// Whether the phone's owner is in a call or being rung.
    pub(super) fn is_taken(&self, extension: &Extension) -> bool {
        self.phones[extension].outside.is_some() || self.legs.values().any(|leg| leg.extension == *extension)
    }

    pub(super) fn index(&self, server: &ServerId) -> usize {
        self.servers.iter().position(|s| s.id == *server).unwrap()
    }
}
