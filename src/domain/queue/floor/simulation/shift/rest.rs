//! What is looked at in the world after each event, and when nothing is left to happen.

use super::{
    super::{
        rules,
        world::{LegState, Link},
    },
    GREETING, RING_OUTSIDE, RING_TIME, SILENCE, Shift,
};
use crate::domain::queue::{callback::Reach, caller::Caller};

impl Shift {
    /// As long as a consultation goes on, those in it hear the tone of ringing, or each other.
    pub(super) fn consultations_are_heard(&mut self) {
        for ((call, _), leg) in &mut self.world.legs {
            let consults = self.floor.callers().get(call).is_some_and(|caller| caller.consulted().is_some());
            if leg.state == LegState::Parted && consults {
                leg.since = self.clock;
            }
        }
    }

    pub(super) fn nobody_is_left_in_silence(&mut self) {
        self.consultations_are_heard();
        for caller in self.world.callers.values() {
            let server = &self.world.servers[self.world.index(&caller.arrival.server)];
            let Some(since) = caller.ears.silence else { continue };
            if server.link == Link::Up {
                assert!(self.clock - since.max(server.up_since) <= SILENCE, "left in silence: {caller:?}");
            }
        }
        for leg in self.world.legs.values().filter(|leg| !leg.lost) {
            let longest = match leg.state {
                LegState::Ringing if leg.extension.number_outside().is_some() => RING_OUTSIDE + 100,
                LegState::Ringing => RING_TIME + 100,
                LegState::Answered if leg.greeted => GREETING + SILENCE,
                LegState::Answered => SILENCE,
                LegState::Hearing => rules::CALLED + SILENCE,
                LegState::Listening => SILENCE + 2_000,
                LegState::Bridged => continue,
                LegState::Parted => SILENCE,
            };
            let server = &self.world.servers[leg.server];
            assert!(self.clock - leg.since.max(server.up_since) <= longest, "a leg forgotten: {leg:?}");
        }
    }

    /// A callback whose last leg is gone does not wait for it.
    pub(super) fn no_leg_is_waited_for_in_vain(&mut self) {
        let is_clearing = |caller: &&Caller| caller.callback.as_ref().is_some_and(|c| c.reach == Reach::Clearing);
        let clearing: Vec<&Caller> = self.floor.callers().values().filter(is_clearing).collect();
        self.clearing.retain(|call, _| clearing.iter().any(|caller| caller.arrival.call == *call));
        for caller in clearing {
            let since = *self.clearing.entry(caller.arrival.call).or_insert(self.clock);
            let server = &self.world.servers[self.world.index(&caller.arrival.server)];
            let waits = self.clock - since.max(server.up_since);
            assert!(server.link != Link::Up || waits <= 500, "waits for a leg that is gone: {caller:?}");
        }
    }

    pub(super) fn rest(&self) {
        self.witness.at_rest(&self.floor);
        assert!(self.world.callers.is_empty(), "callers are left in Asterisk: {:?}", self.world.callers);
        assert!(self.world.legs.is_empty(), "legs are left in Asterisk: {:?}", self.world.legs);
        assert!(self.world.backs.is_empty(), "callers are still called back: {:?}", self.world.backs);
        assert!(self.kept.is_empty(), "callbacks are left: {:?}", self.kept);
        assert!(self.open.is_empty(), "calls without an end: {:?}", self.open);
        assert!(self.world.bridges.is_empty(), "bridges are left in Asterisk: {:?}", self.world.bridges);
    }
}
