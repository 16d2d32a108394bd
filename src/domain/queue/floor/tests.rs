//! The floor, case by case. What is said of a case number: `P…` are cases of the original, `F…` known failures of others.

use std::time::Duration;

use super::*;
use crate::domain::{
    id::ChannelId,
    pop::PopOutcome,
    queue::{
        caller::{Arrival, OfferState, leg_channel},
        event::LegEnd,
        floor::fixture::{agent, arrival, call, difference, member, midnight, queue, shared, support, words},
        roster::Roster,
    },
};

mod callbacks;
mod calls;
mod claims;
mod free;
mod going;
mod left;
mod links;
mod pairs;
mod policies;
mod returns;
mod say;
mod talk;
mod view;

const BOUND: Duration = Duration::from_millis(500);

/// A floor with one Asterisk, whose phones are idle.
pub(super) struct Bench {
    pub(super) floor: Floor,
    pub(super) now: Now,
    pub(super) server: ServerId,
}

impl Bench {
    pub(super) fn with(extensions: &[&str]) -> Self {
        Self::of(support(extensions))
    }

    fn of(roster: Roster) -> Self {
        let mut bench = Self { floor: Floor::new(BOUND, 1), now: midnight(), server: ServerId::new("pbx") };
        let interfaces: Vec<Interface> = roster.agents.iter().map(|agent| agent.interface.clone()).collect();
        bench.step(Event::Roster(shared(roster)));
        for interface in interfaces {
            bench.device(interface.as_str(), Device::Idle);
        }
        bench.step(Event::ServerUp { server: bench.server.clone() });
        bench
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<String> {
        // What Asterisk remembers goes with every step of a callback, and has a test of its own.
        let effects = self.floor.step(event, self.now);
        effects.iter().filter(|effect| !matches!(effect, Effect::Remember { .. })).map(words).collect()
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now = self.now.plus(time);
        self.step(Event::Tick)
    }

    /// Lets time pass until the next deadline, which must be this one.
    fn due(&mut self, expected: Deadline) -> Vec<String> {
        let (at, deadline) = self.floor.deadline().unwrap();
        assert_eq!(deadline, expected);
        self.wait(at - self.now.steady)
    }

    pub(super) fn arrival(&self, number: u64) -> Arrival {
        arrival(number, &self.server, &QueueName::new("support"))
    }

    fn enters(&mut self, number: u64) -> Vec<String> {
        let arrival = self.arrival(number);
        self.step(Event::CallerEntered(arrival))
    }

    fn hangs_up(&mut self, number: u64) -> Vec<String> {
        self.step(Event::CallerGone { call: call(number) })
    }

    fn confirmed(&mut self, number: u64, offer: u32) -> Vec<String> {
        self.settled(number, offer, PopOutcome::Confirmed)
    }

    fn settled(&mut self, number: u64, offer: u32, outcome: PopOutcome) -> Vec<String> {
        self.step(Event::PopSettled { call: call(number), offer: OfferNo(offer), outcome })
    }

    fn answers(&mut self, number: u64, offer: u32) -> Vec<String> {
        let server = self.server.clone();
        self.step(Event::LegAnswered { server, call: call(number), offer: OfferNo(offer) })
    }

    fn joined(&mut self, number: u64, offer: u32) -> Vec<String> {
        self.step(Event::Joined { call: call(number), offer: OfferNo(offer) })
    }

    fn leg_gone(&mut self, number: u64, offer: u32, end: LegEnd) -> Vec<String> {
        self.step(Event::LegGone { call: call(number), offer: OfferNo(offer), end })
    }

    fn device(&mut self, interface: &str, device: Device) -> Vec<String> {
        let (server, interface) = (self.server.clone(), Interface::new(interface));
        self.step(Event::DeviceChanged { server, interface, device })
    }

    fn link_down(&mut self) -> Vec<String> {
        self.step(Event::ServerDown { server: self.server.clone() })
    }

    fn link_up(&mut self, interfaces: &[&str]) -> Vec<String> {
        for interface in interfaces {
            self.device(interface, Device::Idle);
        }
        self.step(Event::ServerUp { server: self.server.clone() })
    }

    /// A caller whose member's phone rings.
    fn rings(&mut self, number: u64) {
        self.enters(number);
        self.confirmed(number, 1);
    }

    /// A caller and a member who talk.
    fn talks(&mut self, number: u64) {
        self.rings(number);
        self.answers(number, 1);
        self.joined(number, 1);
    }

    pub(super) fn stage(&self, number: u64) -> Option<Stage> {
        self.floor.callers().get(&call(number)).map(|caller| caller.stage)
    }

    /// Whether a phone rings for a caller.
    fn is_ringing(&self, number: u64) -> bool {
        let caller = self.floor.callers().get(&call(number));
        caller.is_some_and(|c| c.offers.values().any(|offer| matches!(offer.state, OfferState::Ringing { .. })))
    }

    /// Whose phone a caller's offer is for.
    fn offered_to(&self, number: u64) -> Option<&str> {
        self.floor.callers().get(&call(number))?.offers.values().next().map(|offer| offer.extension.as_str())
    }

    /// Who waits, in order.
    fn line(&self) -> Vec<CallId> {
        self.floor.lines.values().flat_map(|line| line.waiting.values().copied()).collect()
    }

    fn nothing_is_left(&self) {
        assert!(self.floor.callers().is_empty() && self.line().is_empty());
        assert!(self.floor.agents().values().all(|agent| agent.work == Work::Free));
        assert_eq!(self.floor.deadline(), None);
    }
}

fn has(effects: &[String], word: &str) -> bool {
    effects.iter().any(|effect| effect.starts_with(word))
}
