//! Callers: how they come, press keys and leave, and how they are called back.

use super::{
    super::{
        rules,
        shift::{BackDeed, Plan, Shift},
        world::{Back, Caller, Ears, LegState, Link, Told},
    },
    RING_SLACK,
};
use crate::domain::{
    id::{CallId, QueueName},
    queue::{
        callback::{Missed, back_channel},
        caller::Arrival,
        effect::CallBack,
        event::Event,
        floor::fixture,
    },
};

impl Shift {
    /// How long they are going to wait, if not for ever; and nobody comes where the service cannot be reached.
    pub(in super::super) fn caller_comes(&mut self, number: u64, server: usize, queue: &QueueName) -> Option<u64> {
        if self.world.servers[server].link == Link::Down {
            return None;
        }
        let mut arrival = fixture::arrival(number, &self.world.servers[server].id, queue);
        rules::any_claim(&mut self.chance, &mut arrival);
        let call = arrival.call;
        let caller = Caller { arrival, marked: None, ears: Ears::new(self.clock), back: None, joined_with: None };
        if self.chance.percent(35) {
            let after = self.chance.between(50, 25_000);
            self.later(after, Plan::CallerPresses(call));
        }
        self.world.callers.insert(call, caller);
        self.world.server_of.insert(call, server);
        self.tell(server, Told::CallerStart(call));
        self.chance.percent(50).then(|| self.chance.between(0, 60_000))
    }

    /// A caller presses the key, and may not wait for the answer.
    pub(in super::super) fn caller_presses(&mut self, call: CallId) {
        let Some(caller) = self.world.callers.get(&call).filter(|caller| caller.back.is_none()) else { return };
        let server = self.world.index(&caller.arrival.server);
        self.tell(server, Told::Event(Event::CallerPressed { call, key: '*' }));
        if self.chance.percent(30) {
            let after = self.chance.between(0, 4_000);
            self.later(after, Plan::CallerLeaves(call));
        }
    }

    pub(in super::super) fn caller_leaves(&mut self, call: CallId) {
        let Some(caller) = self.world.callers.remove(&call) else { return };
        let told = match caller.back {
            None => Told::CallerGone(call),
            Some(attempt) => Told::Event(Event::BackGone { call, attempt, end: Missed::HungUp }),
        };
        self.tell(self.world.server_of[&call], told);
    }

    pub(in super::super) fn promise_spoken(&mut self, call: CallId) {
        if let Some(caller) = self.world.callers.get(&call) {
            let server = self.world.index(&caller.arrival.server);
            self.tell(server, Told::Event(Event::Promised { call }));
        }
    }

    /// A caller's phone is asked to ring; the member hears that.
    pub(super) fn customer_is_called(&mut self, server: usize, back: &CallBack) {
        let CallBack { call, attempt, offer, .. } = *back;
        if let Some(leg) = self.world.legs.get_mut(&(call, offer)) {
            (leg.state, leg.since) = (LegState::Hearing, self.clock);
        }
        let called = self.world.backs.keys().any(|(of, _)| *of == call);
        assert!(!called && !self.world.callers.contains_key(&call), "called while they are on a leg: {call}");
        let Some((arrival, marked)) = self.asked.get(&call).cloned() else { panic!("called who did not ask") };
        let arrival = Arrival { channel: back_channel(call, attempt), ..arrival };
        self.world.backs.insert((call, attempt), Back { server, arrival, marked });
        self.witness.tally.count("callers called back");
        let ring_time = u64::try_from(back.ring_time.as_millis()).unwrap();
        let (after, deed) = match self.chance.between(0, 99) {
            0..50 => (self.chance.between(100, ring_time), BackDeed::Answer),
            50..60 => (self.chance.between(ring_time - 5, ring_time + 40), BackDeed::Answer),
            60..75 => (self.chance.between(20, ring_time), BackDeed::Fail(Missed::Rejected)),
            75..80 => (self.chance.between(1, 50), BackDeed::Fail(Missed::Unavailable)),
            _ => (ring_time + RING_SLACK, BackDeed::Fail(Missed::NoAnswer)),
        };
        self.later(after, Plan::BackActs { call, attempt, deed });
        // The service dies, or loses the link, while it rings or just after.
        if self.chance.percent(10) {
            let after = self.chance.between(0, after + 100);
            let plan = if self.chance.percent(60) { Plan::Killed } else { Plan::LinkDies(server) };
            self.later(after, plan);
        }
        if matches!(deed, BackDeed::Answer) {
            let talk =
                if self.chance.percent(20) { self.chance.between(0, 20) } else { self.chance.between(500, 60_000) };
            self.later(after + talk, Plan::BackActs { call, attempt, deed: BackDeed::HangUp });
        }
    }

    pub(in super::super) fn back_acts(&mut self, call: CallId, attempt: u32, deed: BackDeed) {
        match deed {
            BackDeed::Answer => {
                let Some(Back { server, arrival, marked }) = self.world.backs.remove(&(call, attempt)) else { return };
                let id = arrival.server.clone();
                let ears = Ears::new(self.clock);
                let caller = Caller { arrival, marked: Some(marked), ears, back: Some(attempt), joined_with: None };
                self.world.callers.insert(call, caller);
                self.tell(server, Told::Event(Event::BackAnswered { server: id, call, attempt }));
            }
            BackDeed::HangUp => drop(self.back_ends((call, attempt), Missed::HungUp)),
            BackDeed::Fail(end) => {
                if self.world.backs.contains_key(&(call, attempt)) {
                    self.back_ends((call, attempt), end);
                }
            }
        }
    }

    /// Whether there was such a leg, ringing or answered.
    pub(super) fn back_ends(&mut self, (call, attempt): (CallId, u32), end: Missed) -> bool {
        if let Some(back) = self.world.backs.remove(&(call, attempt)) {
            self.tell(back.server, Told::Event(Event::BackGone { call, attempt, end }));
            return true;
        }
        let is_theirs = self.world.callers.get(&call).is_some_and(|caller| caller.back == Some(attempt));
        if is_theirs {
            self.caller_leaves(call);
        }
        is_theirs
    }
}
