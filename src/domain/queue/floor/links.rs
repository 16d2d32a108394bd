//! Asterisk servers and phones as they come and go.

use crate::domain::{
    fact::OfferEnd,
    id::{CallId, Extension, Interface, OfferNo, ServerId},
    now::Now,
    queue::{
        caller::{ConsultStep, OfferState, Stage},
        effect::Effect,
        floor::{Floor, Leg},
        member::Device,
    },
};

impl Floor {
    pub(super) fn device_changed(&mut self, server: ServerId, interface: Interface, device: Device) {
        let before = self.devices.entry(interface.clone()).or_default().insert(server, device);
        if before != Some(device) {
            self.look_after_owners(&interface);
        }
    }

    fn look_after_owners(&mut self, interface: &Interface) {
        let owners: Vec<Extension> = self.owners.get(interface).into_iter().flatten().cloned().collect();
        for extension in owners {
            self.look_after(&extension);
        }
    }

    pub(super) fn server_up(&mut self, server: ServerId, now: Now, out: &mut Vec<Effect>) {
        self.settle_the_unsure(&server, now, out);
        self.end_the_lost(&server, now, out);
        let calls = self.callers_on(&server);
        for call in &calls {
            // Before a hold, with which it pauses.
            self.record_again(*call, out);
            self.promise_again(*call, now, out);
            let Some(caller) = self.callers.get_mut(call) else { continue };
            if caller.may_hear_nothing() {
                let member = caller.taken().map(|offer| offer.number);
                match (caller.consulted().map(|consulted| consulted.step), member) {
                    (Some(ConsultStep::Ringing { .. }), Some(offer)) => {
                        out.extend([Effect::Hold { call: *call }, Effect::RingTone { call: *call, offer }]);
                    }
                    (Some(_), _) => out.push(Effect::Hold { call: *call }),
                    (None, _) => out.push(Effect::Music { call: *call }),
                }
            }
        }
        self.up.insert(server);
        // What could not be done without the link is due now.
        for call in calls {
            self.reschedule(call);
            self.touched.extend(self.callers.get(&call).map(|caller| caller.arrival.queue.clone()));
        }
        self.look_after_all();
    }

    pub(super) fn server_down(&mut self, server: &ServerId, now: Now, out: &mut Vec<Effect>) {
        self.up.remove(server);
        self.devices.retain(|_, seen| {
            seen.remove(server);
            !seen.is_empty()
        });
        for call in self.callers_on(server) {
            let Some(caller) = self.callers.get_mut(&call) else { continue };
            caller.doubt_sound();
            caller.doubt_consultation(now.steady);
            if caller.stage == Stage::Joining {
                // Whether they were joined may never be told: it is asked for again when the link is back.
                caller.join_until(now.steady);
            }
            // Phones that ring ring on, and so do we until the ring time is over; the others could not be rung.
            let popping: Vec<OfferNo> = caller
                .offers
                .values()
                .filter(|offer| matches!(offer.state, OfferState::Popping { .. }))
                .map(|offer| offer.number)
                .collect();
            for offer in popping {
                self.end_offer(call, offer, OfferEnd::Withdrawn, Leg::Gone, now, out);
            }
            self.reschedule(call);
        }
        self.look_after_all();
    }

    fn callers_on(&self, server: &ServerId) -> Vec<CallId> {
        self.callers.values().filter(|c| c.arrival.server == *server).map(|c| c.arrival.call).collect()
    }

    /// Whether the phone can be rung from there, and its owner is in a call nowhere.
    pub(super) fn is_idle(&self, server: &ServerId, interface: &Interface) -> bool {
        let seen = self.devices.get(interface);
        let by = |server: &ServerId| seen.and_then(|seen| seen.get(server));
        let reachable = match by(server) {
            Some(Device::Idle) => true,
            Some(Device::Busy | Device::Unavailable) => false,
            None => !interface.is_watched(),
        };
        reachable && !self.up.iter().any(|server| by(server) == Some(&Device::Busy))
    }

    /// What the phone does as far as any Asterisk sees it, whether its link stands or not.
    pub(super) fn device(&self, interface: &Interface) -> Device {
        let seen = |device| self.devices.get(interface).is_some_and(|seen| seen.values().any(|d| *d == device));
        if seen(Device::Busy) {
            Device::Busy
        } else if seen(Device::Idle) || (!interface.is_watched() && !seen(Device::Unavailable)) {
            Device::Idle
        } else {
            Device::Unavailable
        }
    }
}
