//! What must be true whatever happens: watches each effect, and looks over the floor after each step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use jiff::Timestamp;

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, Interface, OfferNo, ServerId},
    pop::{Pop, PopOutcome, PopState},
    queue::{
        caller::{Caller, Stage},
        effect::Ring,
        floor::{Doors, Floor},
        member::{Agent, Device, Listed, Work},
    },
};

/// How often what happened, over many shifts: proves that the shifts are not dull.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally(pub(super) BTreeMap<&'static str, u64>);

impl Tally {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) tally: Tally,
    /// Phones as this run of the service was told.
    devices: BTreeMap<(ServerId, Interface), Device>,
    up: BTreeSet<ServerId>,
    /// Items on nodes now.
    items: BTreeMap<CallId, Pop>,
    revisions: BTreeMap<CallId, u32>,
    offer_numbers: BTreeMap<CallId, OfferNo>,
    /// Offers that have not ended.
    open: BTreeMap<(CallId, OfferNo), Extension>,
    /// Offers whose pop is under way: phones must not ring yet before this moment.
    unsettled: BTreeMap<(CallId, OfferNo), u64>,
    on_the_floor: BTreeSet<CallId>,
    offered_now: Vec<(CallId, Extension)>,
    /// When each caller who is on the floor came.
    entered: BTreeMap<CallId, Instant>,
    /// Who let a call go by, and is not to be offered it again.
    skipped: BTreeSet<(CallId, Extension)>,
    /// When it last was each member's turn.
    turns: BTreeMap<Extension, Timestamp>,
}

impl Witness {
    /// The service died: what only it knew is gone. The desk takes items nobody owns off the nodes when it starts.
    pub(super) fn restart(&mut self) {
        self.devices.clear();
        self.up.clear();
        self.items.clear();
        self.open.clear();
        self.unsettled.clear();
        self.on_the_floor.clear();
        self.entered.clear();
        self.skipped.clear();
        self.turns.clear();
    }

    /// A caller comes to the floor who is not on it.
    pub(super) fn comes(&mut self, call: CallId, entered: Instant) {
        if !self.on_the_floor.contains(&call) {
            self.entered.insert(call, entered);
        }
    }

    pub(super) fn link_up(&mut self, server: &ServerId) {
        self.up.insert(server.clone());
    }

    pub(super) fn link_down(&mut self, server: &ServerId) {
        self.up.remove(server);
        self.devices.retain(|(of, _), _| of != server);
    }

    pub(super) fn device(&mut self, server: &ServerId, interface: &Interface, device: Device) {
        self.devices.insert((server.clone(), interface.clone()), device);
    }

    pub(super) fn settled(&mut self, call: CallId, offer: OfferNo) {
        self.unsettled.remove(&(call, offer));
    }

    pub(super) fn talk_found(&mut self, call: CallId, offer: OfferNo, extension: &Extension) {
        self.tally.count("talks found");
        self.on_the_floor.insert(call);
        self.open.insert((call, offer), extension.clone());
    }

    // ---- effects -----------------------------------------------------------------------------------------------

    fn revised(&mut self, pop: &Pop) {
        let last = self.revisions.insert(pop.call, pop.revision).unwrap_or(0);
        assert!(pop.revision > last, "revision {} after {last}", pop.revision);
    }

    pub(super) fn published(&mut self, offer: OfferNo, pop: &Pop, bound: u64) {
        self.revised(pop);
        assert_eq!(pop.state, PopState::Offered);
        let before = self.items.insert(pop.call, pop.clone());
        assert!(before.is_none(), "published over an item that is not retired: {before:?}");
        self.unsettled.insert((pop.call, offer), bound);
    }

    pub(super) fn updated(&mut self, pop: &Pop) {
        self.revised(pop);
        assert!(!pop.state.is_final());
        let found = self.open.iter().any(|((call, _), e)| *call == pop.call && *e == pop.extension);
        assert!(found, "an update on {} without an offer there", pop.extension);
        if let Some(before) = self.items.insert(pop.call, pop.clone()) {
            assert_eq!(before.extension, pop.extension, "an update on another node");
            assert!(before.state < pop.state, "{:?} after {:?}", pop.state, before.state);
        } else {
            assert_eq!(pop.state, PopState::Answered, "an update of nothing");
        }
    }

    pub(super) fn retired(&mut self, pop: &Pop) {
        self.revised(pop);
        assert!(pop.state.is_final());
        let before = self.items.remove(&pop.call).expect("retired twice or never published");
        assert_eq!(before.extension, pop.extension, "retired on another node");
        assert_eq!(pop.state == PopState::Ended, before.state == PopState::Answered, "an untrue end");
    }

    pub(super) fn rang(&mut self, ring: &Ring, now: u64) {
        let Ring { call, offer, server, interface, .. } = ring;
        assert!(self.items.contains_key(call), "rung before its pop was published");
        assert!(self.up.contains(server), "rung over a link that is down");
        assert!(self.is_idle(server, interface), "rung although not idle");
        if let Some(bound) = self.unsettled.remove(&(*call, *offer)) {
            assert!(now >= bound, "rung before its pop was settled");
            self.tally.count("pops not settled in time");
        }
    }

    pub(super) fn recorded(&mut self, fact: &Fact, now: Timestamp) {
        match fact {
            Fact::CallEntered { call, .. } => assert!(self.on_the_floor.insert(*call), "entered twice"),
            Fact::CallOffered { call, offer, extension } => {
                self.tally.count("offers");
                assert!(self.on_the_floor.contains(call));
                let last = self.offer_numbers.insert(*call, *offer);
                assert!(last.is_none_or(|last| last < *offer), "offer {offer:?} after {last:?}");
                assert!(!self.open.keys().any(|(of, _)| of == call), "two offers of one call");
                assert!(!self.skipped.contains(&(*call, extension.clone())), "offered to one who let it go by");
                self.open.insert((*call, *offer), extension.clone());
                self.offered_now.push((*call, extension.clone()));
            }
            Fact::CallRinging { call, offer, extension, .. } => {
                assert_eq!(self.open.get(&(*call, *offer)), Some(extension), "ringing without an offer");
            }
            Fact::CallAnswered { call, offer, extension } => {
                self.tally.count("answers");
                assert_eq!(self.open.get(&(*call, *offer)), Some(extension), "answered without an offer");
            }
            Fact::OfferEnded { call, offer, extension, why } => {
                self.tally.count(end_of_offer(*why));
                match why {
                    OfferEnd::RingNoAnswer | OfferEnd::Rejected | OfferEnd::Unavailable | OfferEnd::MemberGone => {
                        self.skipped.insert((*call, extension.clone()));
                        self.turns.insert(extension.clone(), now);
                    }
                    OfferEnd::CallerGone | OfferEnd::LoggedOff | OfferEnd::Withdrawn => {}
                }
                assert_eq!(self.open.remove(&(*call, *offer)).as_ref(), Some(extension), "an offer that ended twice");
            }
            Fact::CallEnded { call, extension, outcome } => {
                self.tally.count(end_of_call(*outcome));
                assert!(self.on_the_floor.remove(call), "ended twice");
                self.skipped.retain(|(of, _)| of != call);
                self.turns.extend(extension.iter().map(|extension| (extension.clone(), now)));
                let open = self.open.keys().find(|(of, _)| of == call).copied().and_then(|key| self.open.remove(&key));
                assert_eq!(open, *extension, "the offer of a call that ended");
                assert_eq!(*outcome == CallOutcome::Completed, extension.is_some());
            }
        }
    }

    pub(super) fn pop_outcome(&mut self, outcome: PopOutcome) {
        self.tally.count(match outcome {
            PopOutcome::Confirmed => "pops confirmed",
            PopOutcome::Refused => "pops refused",
            PopOutcome::LinkDown => "pops without a link",
            PopOutcome::TimedOut => "pops timed out by the desk",
        });
    }

    // ---- the floor ---------------------------------------------------------------------------------------------

    /// After every step.
    pub(super) fn look(&mut self, floor: &Floor, now: Instant) {
        assert_eq!(self.on_the_floor, floor.callers.keys().copied().collect(), "facts and floor differ");
        self.callers_stand_in_one_place(floor);
        self.members_do_one_thing(floor);
        self.nobody_waits_in_vain(floor, now);
        self.offers_are_fair(floor);
        self.turns.retain(|extension, _| floor.agents.contains_key(extension));
        assert!(
            floor.agents.values().all(|agent| agent.listed == Listed::Yes || agent.work != Work::Free),
            "an agent who is gone and free is kept"
        );
    }

    fn callers_stand_in_one_place(&self, floor: &Floor) {
        for (call, caller) in &floor.callers {
            let in_line = floor.line.get(&(caller.entered.steady, caller.ticket)) == Some(call);
            let expected = match caller.stage {
                Stage::Waiting => None,
                Stage::Popping { .. } => Some(PopState::Offered),
                Stage::Ringing { .. } | Stage::Joining => Some(PopState::Ringing),
                Stage::Talking => Some(PopState::Answered),
            };
            assert_eq!(self.entered.get(call), Some(&caller.entered.steady), "another place in line: {caller:?}");
            assert_eq!(in_line, expected.is_none(), "in line and elsewhere: {caller:?}");
            assert_eq!(caller.offer.is_none(), expected.is_none(), "{caller:?}");
            let item = self.items.get(call);
            assert_eq!(item.map(|pop| pop.state), expected, "the pop of {caller:?}");
            assert_eq!(item.map(|pop| &pop.extension), caller.offer.as_ref().map(|offer| &offer.extension));
        }
        assert_eq!(floor.line.len(), floor.callers.values().filter(|c| c.stage == Stage::Waiting).count());
        assert_eq!(
            self.items.len(),
            floor.callers.values().filter(|c| c.offer.is_some()).count(),
            "a pop without a call"
        );
    }

    fn members_do_one_thing(&self, floor: &Floor) {
        let mut offers: BTreeMap<&Extension, (usize, usize)> = BTreeMap::new();
        for caller in floor.callers.values() {
            let Some(offer) = &caller.offer else { continue };
            let (talks, others) = offers.entry(&offer.extension).or_default();
            match caller.stage {
                // Two talks of one person can be found after a restart, and one that was being joined.
                Stage::Talking | Stage::Joining => *talks += 1,
                Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } => *others += 1,
            }
            if let Some(agent) = floor.agents.get(&offer.extension) {
                assert!(matches!(agent.work, Work::Busy { .. }), "an offer to one who is {:?}", agent.work);
            }
        }
        for (extension, (talks, others)) in offers {
            assert!(others == 0 || talks + others == 1, "two reservations of {extension}");
        }
        for (extension, agent) in &floor.agents {
            let Work::Busy { call, offer } = agent.work else { continue };
            let caller = floor.callers.get(&call).expect("busy with a call that is gone");
            assert!(caller.has_out(offer), "busy with an offer that is gone");
            assert_eq!(caller.offer.as_ref().map(|offer| &offer.extension), Some(extension));
        }
    }

    fn is_idle(&self, server: &ServerId, interface: &Interface) -> bool {
        let seen = |server: &ServerId| self.devices.get(&(server.clone(), interface.clone()));
        let reachable = match seen(server) {
            Some(device) => *device == Device::Idle,
            None => interface.as_str().starts_with("Local/"),
        };
        reachable && !self.up.iter().any(|server| seen(server) == Some(&Device::Busy))
    }

    /// Whether the member could be given to the caller, were they free.
    fn may_have(&self, caller: &Caller, extension: &Extension, agent: &Agent) -> bool {
        self.up.contains(&caller.arrival.server)
            && agent.logged_on.contains(&caller.arrival.queue)
            && !self.skipped.contains(&(caller.arrival.call, extension.clone()))
            && self.is_idle(&caller.arrival.server, &agent.row.interface)
    }

    fn nobody_waits_in_vain(&self, floor: &Floor, now: Instant) {
        for caller in floor.line.values().map(|call| &floor.callers[call]) {
            for (extension, agent) in floor.agents.iter().filter(|(_, agent)| agent.work == Work::Free) {
                assert!(!self.may_have(caller, extension, agent), "{extension} is free while {caller:?} waits");
            }
            if self.up.contains(&caller.arrival.server) {
                let queue = floor.queues.get(&caller.arrival.queue).expect("waiting for a queue that is gone");
                assert!(caller.entered.steady + queue.queue_timeout > now, "waiting too long: {caller:?}");
                assert!(floor.agents.values().any(|a| a.logged_on.contains(&queue.name)), "waiting for nobody");
                assert_eq!(floor.doors, Doors::Open, "waiting at closed doors");
            }
        }
    }

    /// The first who could have the member got them, and got the one whose turn it was.
    fn offers_are_fair(&mut self, floor: &Floor) {
        for (call, extension) in std::mem::take(&mut self.offered_now) {
            let (Some(served), Some(agent)) = (floor.callers.get(&call), floor.agents.get(&extension)) else {
                continue;
            };
            assert!(self.may_have(served, &extension, agent), "{extension} is not free for {served:?}");
            for earlier in floor.line.range(..(served.entered.steady, served.ticket)).map(|(_, c)| &floor.callers[c]) {
                assert!(!self.may_have(earlier, &extension, agent), "{call} was served before {earlier:?}");
            }
            let turn = (self.turns.get(&extension), &extension);
            for (other, agent) in floor.agents.iter().filter(|(_, agent)| agent.work == Work::Free) {
                let before = (self.turns.get(other), other) < turn;
                assert!(!(before && self.may_have(served, other, agent)), "{extension} rang before {other}");
            }
        }
    }

    /// When everyone is gone.
    pub(super) fn at_rest(&self, floor: &Floor) {
        assert!(floor.callers.is_empty() && floor.line.is_empty(), "callers are left: {:?}", floor.callers);
        assert!(floor.agents.values().all(|agent| agent.work == Work::Free), "members are left: {:?}", floor.agents);
        assert!(self.items.is_empty(), "pops are left: {:?}", self.items);
        assert!(self.open.is_empty(), "offers are left: {:?}", self.open);
    }
}

fn end_of_offer(why: OfferEnd) -> &'static str {
    match why {
        OfferEnd::RingNoAnswer => "offers not answered",
        OfferEnd::Rejected => "offers rejected",
        OfferEnd::Unavailable => "offers to phones not there",
        OfferEnd::CallerGone => "offers whose caller went",
        OfferEnd::MemberGone => "offers whose member went",
        OfferEnd::LoggedOff => "offers to members logged off",
        OfferEnd::Withdrawn => "offers withdrawn",
    }
}

fn end_of_call(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Completed => "calls completed",
        CallOutcome::Abandoned => "calls abandoned",
        CallOutcome::TimedOut => "calls timed out",
        CallOutcome::NoMembers => "calls without members",
        CallOutcome::UnknownQueue => "calls to no queue",
        CallOutcome::Stopped => "calls given back at a stop",
        CallOutcome::Lost => "calls lost",
    }
}
