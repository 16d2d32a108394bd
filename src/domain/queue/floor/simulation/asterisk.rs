//! What Asterisk and the phones do in a shift: requests in, words out, and what is lost between.

mod callers;
mod gap;
mod phones;
mod requests;

use super::{
    shift::{Plan, Shift},
    world::{Link, Server, Told, World},
};
use crate::domain::{
    id::ServerId,
    queue::{
        callback::Missed,
        effect::{CallBack, Effect, Ring},
        event::{Event, LegEnd},
        roster,
        tries::Tries,
    },
};

/// What Asterisk is given on top of the ring time, in milliseconds.
const RING_SLACK: u64 = 5_000;

impl Server {
    pub(super) fn new(name: &str) -> Self {
        Self {
            id: ServerId::new(name),
            link: Link::Down,
            epoch: 0,
            up_since: 0,
            requests: Default::default(),
            wire: Default::default(),
            request_clock: 0,
            wire_clock: 0,
            tries: Tries::default(),
        }
    }
}

impl World {
    pub(super) fn add_phone(&mut self, row: &roster::Agent) {
        let phone = super::world::Phone { interface: row.interface.clone(), plugged: true, outside: None };
        self.phones.insert(row.extension.clone(), phone);
    }
}

impl Shift {
    /// Sends a request, which arrives after all before it.
    pub(super) fn request(&mut self, server: usize, request: Effect) {
        let link = &mut self.world.servers[server];
        if link.link != Link::Up {
            // Silently into a dead link; refused at once by one that is known to be down.
            if link.link == Link::Down {
                if let Effect::Ring(Ring { call, offer, .. }) = request {
                    self.reply(0, Event::LegGone { call, offer, end: LegEnd::Unavailable });
                } else if let Effect::CallBack(CallBack { call, attempt, .. }) = request {
                    self.reply(0, Event::BackGone { call, attempt, end: Missed::NotPlaced });
                }
            }
            return;
        }
        link.request_clock = link.request_clock.max(self.clock) + self.chance.between(1, 8);
        link.requests.push_back(request);
        let (after, epoch) = (link.request_clock - self.clock, link.epoch);
        self.later(after, Plan::RequestArrives { server, epoch });
    }

    /// Tells an event, which arrives after all before it.
    pub(super) fn tell(&mut self, server: usize, told: Told) {
        let link = &mut self.world.servers[server];
        if link.link != Link::Up {
            return;
        }
        link.wire_clock = link.wire_clock.max(self.clock) + self.chance.between(1, 8);
        link.wire.push_back(told);
        let (after, epoch) = (link.wire_clock - self.clock, link.epoch);
        self.later(after, Plan::WordArrives { server, epoch });
    }

    /// What was asked is carried out up to some point; what was told is lost.
    pub(super) fn cut(&mut self, server: usize) {
        let asked = self.world.servers[server].requests.len();
        for _ in 0..self.chance.between(0, u64::try_from(asked).unwrap()) {
            if let Some(request) = self.world.servers[server].requests.pop_front() {
                // A reply or a word of it does not get through: both end with this link.
                self.carry_out(server, request);
            }
        }
        let link = &mut self.world.servers[server];
        link.epoch += 1;
        link.requests.clear();
        link.wire.clear();
        for leg in self.world.legs.values_mut().filter(|leg| leg.server == server) {
            leg.lost = true;
        }
    }

    pub(super) fn link_dies(&mut self, server: usize) {
        if self.world.servers[server].link != Link::Up {
            return;
        }
        self.witness.tally.count("links lost");
        self.cut(server);
        self.world.servers[server].link = Link::Dead;
        let epoch = self.world.servers[server].epoch;
        let after = if self.chance.percent(50) { 0 } else { self.chance.between(1, 6_000) };
        self.later(after, Plan::LinkDeathIsNoticed { server, epoch });
    }

    /// An event as the service hears it, now and then twice.
    pub(super) fn hear(&mut self, told: Told) {
        let times = if self.chance.percent(4) { 2 } else { 1 };
        for _ in 0..times {
            match told.clone() {
                Told::CallerStart(call) => {
                    let Some(caller) = self.world.callers.get_mut(&call) else { continue };
                    if self.known.insert(call) {
                        caller.marked = Some(self.clock);
                        let arrival = caller.arrival.clone();
                        self.step(Event::CallerEntered(arrival));
                    }
                }
                Told::CallerGone(call) => {
                    if self.known.remove(&call) {
                        self.step(Event::CallerGone { call });
                    }
                }
                Told::Event(event) => {
                    // One who was told of a leg may be told again much later.
                    if let Event::BackAnswered { call, .. } = &event {
                        self.known.insert(*call);
                    } else if let Event::BackGone { call, .. } = &event {
                        self.known.remove(call);
                    }
                    let of_a_leg = matches!(
                        event,
                        Event::LegAnswered { .. }
                            | Event::LegGone { .. }
                            | Event::BackAnswered { .. }
                            | Event::BackGone { .. }
                    );
                    if of_a_leg && self.chance.percent(4) {
                        let after = self.chance.between(1, 5_000);
                        self.reply(after, event.clone());
                    }
                    self.step(event);
                }
            }
        }
    }
}
