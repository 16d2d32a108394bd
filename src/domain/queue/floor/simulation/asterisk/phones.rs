//! The phones of members, and what people do with them.

use super::{
    super::{
        shift::{Deed, Plan, Shift},
        world::{Leg, LegState, Link, Told},
    },
    RING_SLACK,
};
use crate::domain::{
    fact::Hold,
    id::{CallId, Extension, OfferNo},
    queue::{
        effect::Ring,
        event::{Event, LegEnd},
        transfer::{HandedTo, TransferMeans},
    },
};

impl Shift {
    pub(super) fn phone_rings(&mut self, server: usize, ring: &Ring) {
        let Ring { call, offer, extension, .. } = ring;
        self.world.bridges.insert(*call);
        let outside = extension.number_outside().is_some();
        let taken = !outside && self.world.is_taken(extension);
        let unplugged = !outside && !self.world.phones[extension].plugged;
        let leg = Leg {
            extension: extension.clone(),
            server,
            state: LegState::Ringing,
            since: self.clock,
            greeted: false,
            lost: false,
            join_lost: false,
        };
        self.world.legs.insert((*call, *offer), leg);
        self.phone_changed(extension);
        let ring_time = u64::try_from(ring.ring_time.as_millis()).unwrap();
        let (after, deed) = match self.chance.between(0, 99) {
            _ if unplugged => (self.chance.between(1, 50), Deed::Fail(LegEnd::Unavailable)),
            // Some phones have call waiting.
            _ if taken && self.chance.percent(50) => (self.chance.between(1, 50), Deed::Fail(LegEnd::Rejected)),
            0..55 => (self.chance.between(100, ring_time), Deed::Answer),
            // In the very moment in which the ring time is over, and after it.
            55..62 => (self.chance.between(ring_time - 5, ring_time + 40), Deed::Answer),
            62..75 => (self.chance.between(50, ring_time), Deed::Fail(LegEnd::Rejected)),
            75..78 => (self.chance.between(1, 50), Deed::Fail(LegEnd::Unavailable)),
            _ => (ring_time + RING_SLACK, Deed::Fail(LegEnd::NoAnswer)),
        };
        self.later(after, Plan::PhoneActs { call: *call, offer: *offer, deed });
        if matches!(deed, Deed::Answer) {
            // Asterisk gives up in any case; an answered leg is hung up by somebody in the end.
            let talk =
                if self.chance.percent(25) { self.chance.between(1, 20) } else { self.chance.between(500, 40_000) };
            self.later(after + talk, Plan::PhoneActs { call: *call, offer: *offer, deed: Deed::HangUp });
            if !outside && self.chance.percent(30) {
                let moment = self.chance.between(0, talk);
                self.later(after + moment, Plan::SendsOn { call: *call, offer: *offer });
            }
        }
    }

    pub(in super::super) fn phone_acts(&mut self, call: CallId, offer: OfferNo, deed: Deed) {
        let Some(leg) = self.world.legs.get_mut(&(call, offer)) else { return };
        match deed {
            Deed::Answer => {
                (leg.state, leg.since) = (LegState::Answered, self.clock);
                let server = leg.server;
                let id = self.world.servers[server].id.clone();
                self.tell(server, Told::Event(Event::LegAnswered { server: id, call, offer }));
            }
            Deed::HangUp => {
                self.leg_ends((call, offer), LegEnd::HungUp);
            }
            Deed::Fail(end) => {
                self.leg_ends((call, offer), end);
            }
        }
    }

    /// Whether there was such a leg.
    pub(super) fn leg_ends(&mut self, (call, offer): (CallId, OfferNo), end: LegEnd) -> bool {
        let Some(leg) = self.world.legs.remove(&(call, offer)) else { return false };
        if leg.state == LegState::Bridged
            && let Some(caller) = self.world.callers.get_mut(&call)
        {
            caller.ears.talk = false;
            caller.ears.listen(self.clock);
        }
        self.tell(leg.server, Told::Event(Event::LegGone { call, offer, end }));
        self.phone_changed(&leg.extension);
        true
    }

    /// By their phone's own means, which takes it out of the bridge, or by a feature code. Nobody but the dialplan hears of it
    /// while the service is away: it puts the caller through by itself.
    pub(in super::super) fn sends_on(&mut self, call: CallId, offer: OfferNo) {
        let in_a_talk = |leg: &&mut Leg| matches!(leg.state, LegState::Bridged | LegState::Parted);
        let Some(leg) = self.world.legs.get_mut(&(call, offer)).filter(in_a_talk) else { return };
        let (server, parted) = (leg.server, leg.state == LegState::Parted);
        if self.world.servers[server].link != Link::Up || !self.world.callers.contains_key(&call) {
            return;
        }
        let colleague = 1 + self.chance.between(0, 4);
        let to = match self.chance.between(0, 9) {
            0..5 => format!("{colleague}000"),
            5 | 6 => "77".to_owned(),
            7 => "75".to_owned(),
            8 => "00123".to_owned(),
            _ => "no such, number".to_owned(),
        };
        let comes_back = parted && self.chance.percent(60);
        match self.chance.between(0, 13) {
            _ if comes_back => {
                for key in "*2".chars() {
                    self.tell(server, Told::Event(Event::KeyPressed { call, offer, key }));
                }
                return;
            }
            10..=13 => {
                let keys = match self.chance.between(0, 2) {
                    0 => format!("*2{to}"),
                    _ => format!("*2{to}#"),
                };
                for key in keys.chars() {
                    self.tell(server, Told::Event(Event::KeyPressed { call, offer, key }));
                }
                return self.then((call, offer));
            }
            0..4 => {
                let how = TransferMeans::Phone;
                self.leaves_bridge((call, offer));
                self.tell(server, Told::Event(Event::TransferAsked { call, offer, to, how }));
            }
            4..8 => {
                let end = if self.chance.percent(50) { "#" } else { "" };
                for key in format!("##{to}{end}").chars() {
                    self.tell(server, Told::Event(Event::KeyPressed { call, offer, key }));
                }
                return;
            }
            8 => return self.tell(server, Told::Event(Event::HoldChanged { call, offer, hold: Hold::Held })),
            // The service takes it for the end of the agent's leg.
            _ if parted => return self.phone_acts(call, offer, Deed::HangUp),
            _ => {
                // Whom they had called is there already; with them the talk goes on.
                let extension = Extension::new(&to);
                if self.world.phones.get(&extension).is_some_and(|_| !self.world.is_taken(&extension)) {
                    self.leaves_bridge((call, offer));
                    self.tell(server, Told::Event(Event::HandedOver { call, offer, to: HandedTo::Number(to) }));
                }
                return;
            }
        }
        // Some phones hang up by themselves, some wait to be hung up.
        let after = self.chance.between(5, 3_000);
        self.later(after, Plan::PhoneActs { call, offer, deed: Deed::HangUp });
    }

    /// What the agent does who has asked somebody else.
    fn then(&mut self, (call, offer): (CallId, OfferNo)) {
        let after = self.chance.between(10, 15_000);
        match self.chance.between(0, 9) {
            0 | 1 => self.later(after, Plan::PhoneActs { call, offer, deed: Deed::HangUp }),
            2..5 => self.later(after, Plan::SendsOn { call, offer }),
            5 => self.later(after, Plan::CallerLeaves(call)),
            6 => self.later(after, Plan::Killed),
            _ => {}
        }
    }

    /// Asterisk has put something else in its place.
    fn leaves_bridge(&mut self, leg: (CallId, OfferNo)) {
        let clock = self.clock;
        if let Some(leg) = self.world.legs.get_mut(&leg) {
            (leg.state, leg.since) = (LegState::Answered, clock);
        }
    }

    /// Another channel is in the bridge in the place of a leg, for the party that the floor knows now.
    pub(in super::super) fn stands_in(&mut self, call: CallId, before: OfferNo) {
        let Some(new) = self.floor.callers().get(&call).and_then(|caller| caller.taken()).cloned() else { return };
        if new.number == before || self.world.legs.contains_key(&(call, new.number)) {
            return;
        }
        let server = self.world.server_of[&call];
        let (extension, since) = (new.extension.clone(), self.clock);
        let leg =
            Leg { extension, server, state: LegState::Bridged, since, lost: false, join_lost: false, greeted: false };
        self.world.legs.insert((call, new.number), leg);
        self.phone_changed(&new.extension);
        let talk = self.chance.between(500, 20_000);
        self.later(talk, Plan::PhoneActs { call, offer: new.number, deed: Deed::HangUp });
    }

    pub(in super::super) fn set_outside(&mut self, extension: &Extension, by: Option<usize>) {
        self.world.phones.get_mut(extension).unwrap().outside = by;
        self.phone_changed(extension);
    }

    pub(in super::super) fn set_plugged(&mut self, extension: &Extension, plugged: bool) {
        self.world.phones.get_mut(extension).unwrap().plugged = plugged;
        self.phone_changed(extension);
    }
}
