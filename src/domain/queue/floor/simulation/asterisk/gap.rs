//! What is asked and told after a gap, as the service does it each time.

use std::time::Duration;

use super::super::{
    shift::Shift,
    world::{Leg, LegState, Link},
};
use crate::domain::{
    id::{CallId, Extension, OfferNo},
    queue::{
        callback::Missed,
        effect::{Effect, Farewell},
        event::{Event, LegEnd},
    },
};

impl Shift {
    /// Everything that was missed is told, as the service does after each gap.
    pub(in super::super) fn link_returns(&mut self, server: usize) {
        let link = &mut self.world.servers[server];
        link.link = Link::Up;
        link.epoch += 1;
        link.up_since = self.clock;
        let id = link.id.clone();
        self.step(Event::ServerDown { server: id.clone() });
        self.tell_of_the_gone(server);
        let phones: Vec<Extension> = self.world.phones.keys().cloned().collect();
        for extension in phones {
            let interface = self.world.phones[&extension].interface.clone();
            if interface.is_watched() {
                let device = self.world.device(&extension, server);
                self.step(Event::DeviceChanged { server: id.clone(), interface, device });
            }
        }
        self.tell_of_the_found(server);
        for tried in self.world.servers[server].tries.clone().iter() {
            self.step(Event::BackRemembered { server: id.clone(), tried: tried.clone() });
        }
        self.hang_up_again(server);
        self.drop_orphans(server);
        self.step(Event::ServerUp { server: id });
    }

    fn tell_of_the_gone(&mut self, server: usize) {
        let gone: Vec<CallId> = self
            .known
            .iter()
            .filter(|call| self.world.server_of[*call] == server && !self.world.callers.contains_key(*call))
            .copied()
            .collect();
        for call in gone {
            self.known.remove(&call);
            self.step(Event::CallerGone { call });
        }
        let gone: Vec<(CallId, OfferNo)> = self
            .floor
            .callers()
            .values()
            .filter(|caller| self.world.server_of[&caller.arrival.call] == server)
            .flat_map(|caller| caller.offers.keys().map(|offer| (caller.arrival.call, *offer)))
            .filter(|leg| !self.world.legs.contains_key(leg))
            .collect();
        for (call, offer) in gone {
            self.step(Event::LegGone { call, offer, end: LegEnd::Lost });
        }
        let called =
            self.floor.callers().values().filter(|caller| self.world.server_of[&caller.arrival.call] == server);
        let gone: Vec<(CallId, u32)> = called
            .filter_map(|caller| Some((caller.arrival.call, caller.callback.as_ref()?.attempt)))
            .filter(|(call, attempt)| {
                let is_there = self.world.callers.get(call).is_some_and(|caller| caller.back == Some(*attempt));
                !is_there && !self.world.backs.contains_key(&(*call, *attempt))
            })
            .collect();
        for (call, attempt) in gone {
            self.step(Event::BackGone { call, attempt, end: Missed::Lost });
        }
    }

    /// The order to hang up may not have reached them.
    fn hang_up_again(&mut self, server: usize) {
        self.dismissed.retain(|call| self.world.callers.contains_key(call));
        let id = self.world.servers[server].id.clone();
        let dismissed: Vec<CallId> =
            self.dismissed.iter().filter(|call| self.world.server_of[*call] == server).copied().collect();
        for call in dismissed {
            let channel = self.world.callers[&call].arrival.channel.clone();
            self.request(server, Effect::HangUpCaller { call, server: id.clone(), channel });
        }
    }

    fn tell_of_the_found(&mut self, server: usize) {
        let id = self.world.servers[server].id.clone();
        let out = |shift: &Self, (call, offer): (CallId, OfferNo)| {
            shift.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer))
        };
        let legs: Vec<_> =
            self.world.legs.iter().filter(|(_, leg)| leg.server == server).map(|(id, l)| (*id, l.state)).collect();
        for (leg, state) in legs {
            if out(self, leg) {
                self.world.legs.get_mut(&leg).unwrap().lost = false;
                if state != LegState::Ringing {
                    self.step(Event::LegAnswered { server: id.clone(), call: leg.0, offer: leg.1 });
                }
            }
        }
        self.tell_of_those_called_back(server);
        let mut found: Vec<(Option<u64>, CallId)> = self
            .world
            .callers
            .iter()
            .filter(|(call, _)| self.world.server_of[*call] == server)
            .filter(|(call, _)| !self.known.contains(*call) && !self.dismissed.contains(*call))
            .map(|(call, caller)| (caller.marked, *call))
            .collect();
        found.sort_by_key(|(marked, call)| (marked.unwrap_or(u64::MAX), *call));
        for (marked, call) in found {
            self.known.insert(call);
            let arrival = self.world.callers[&call].arrival.clone();
            let Some(marked) = marked else {
                self.world.callers.get_mut(&call).unwrap().marked = Some(self.clock);
                self.step(Event::CallerEntered(arrival));
                continue;
            };
            let age = Duration::from_millis(self.clock - marked);
            let parted = self.parted(call);
            let talk = self.world.legs.iter_mut().find(|((of, _), leg)| *of == call && leg.state == LegState::Bridged);
            let event = match talk {
                Some(((_, offer), leg)) => {
                    leg.lost = false;
                    Event::TalkFound { arrival, age, offer: *offer, extension: leg.extension.clone() }
                }
                None if parted.is_some() => {
                    let (offer, extension) = parted.unwrap();
                    self.world.legs.get_mut(&(call, offer)).unwrap().lost = false;
                    Event::PartedFound { arrival, age, offer, extension }
                }
                // Their callback is over.
                None if self.world.callers[&call].back.is_some() && !self.floor.callers().contains_key(&call) => {
                    let attempt = self.world.callers[&call].back.unwrap();
                    self.request(server, Effect::DropBack { call, attempt, server: id.clone() });
                    continue;
                }
                None => Event::CallerFound(arrival, age),
            };
            self.step(event);
        }
    }

    /// Who is in the bridge without a caller who was joined before: whoever had the talk, or else whom they asked.
    fn parted(&self, call: CallId) -> Option<(OfferNo, Extension)> {
        let member = self.world.callers[&call].joined_with.as_ref()?;
        let legs = || self.world.legs.iter().filter(|((of, _), leg)| *of == call && leg.state == LegState::Parted);
        let leg = legs().find(|(_, leg)| leg.extension == *member).or_else(|| legs().next());
        leg.map(|((_, offer), leg)| (*offer, leg.extension.clone()))
    }

    fn tell_of_those_called_back(&mut self, server: usize) {
        let id = self.world.servers[server].id.clone();
        let backs: Vec<(CallId, u32)> =
            self.world.backs.iter().filter(|(_, back)| back.server == server).map(|(back, _)| *back).collect();
        for (call, attempt) in backs {
            let waits = |(of, _): &(CallId, OfferNo), leg: &Leg| *of == call && leg.state != LegState::Ringing;
            let waits = self.world.legs.iter().find(|(id, leg)| waits(id, leg));
            let member = waits.map(|((_, offer), leg)| (*offer, leg.extension.clone()));
            self.step(Event::BackFound { server: id.clone(), call, attempt, member: member.clone() });
            if let Some((offer, _)) = member
                && self.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer))
            {
                self.world.legs.get_mut(&(call, offer)).unwrap().lost = false;
            }
        }
    }

    fn drop_orphans(&mut self, server: usize) {
        let id = self.world.servers[server].id.clone();
        let legs: Vec<_> =
            self.world.legs.iter().filter(|(_, leg)| leg.server == server).map(|(leg, _)| *leg).collect();
        for (call, offer) in legs {
            if !self.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer)) {
                self.witness.tally.count("orphaned legs");
                let farewell = Farewell::None;
                self.request(server, Effect::DropLeg { call, offer, server: id.clone(), farewell });
            }
        }
        let bridges: Vec<_> =
            self.world.bridges.iter().filter(|call| self.world.server_of[*call] == server).copied().collect();
        for call in bridges {
            if self.floor.callers().get(&call).is_none_or(|caller| caller.offers.is_empty()) {
                self.request(server, Effect::DropBridge { call, server: id.clone() });
            }
        }
    }
}
