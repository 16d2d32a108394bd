//! The floor after each step, and at rest: everybody is in one place, nobody waits in vain, and offers are fair.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Offered, Witness};
use crate::domain::{
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::PopState,
    queue::{
        callback::Reach,
        caller::{Caller, OfferState, Stage, Turn},
        floor::{Doors, Floor},
        member::{Agent, Device, Listed, Work},
        policy::Emptiness,
    },
};

impl Witness {
    /// After every step.
    pub(in super::super) fn look(&mut self, floor: &Floor, now: Now) {
        if floor.doors == Doors::Closed {
            // The next run has them from the database.
            self.on_the_floor.retain(|call| floor.callers.contains_key(call) || !self.asked.contains_key(call));
        }
        self.found_now.clear();
        self.told_of = None;
        assert_eq!(self.on_the_floor, floor.callers.keys().copied().collect(), "facts and floor differ");
        self.callers_stand_in_one_place(floor);
        self.callbacks_are_one_each(floor);
        self.members_do_one_thing(floor);
        self.nobody_waits_in_vain(floor, now);
        self.offers_are_fair(floor, now);
        self.everybody_is_told(floor, now);
        assert!(self.talks.to_be_recorded.is_empty(), "not recorded: {:?}", self.talks.to_be_recorded);
        self.turns.retain(|extension, _| floor.agents.contains_key(extension));
        assert!(
            floor
                .agents
                .values()
                .all(|agent| { agent.listed == Listed::Yes || agent.work != Work::Free || agent.wrap_up.is_some() }),
            "an agent who is gone and free is kept"
        );
    }

    fn callers_stand_in_one_place(&mut self, floor: &Floor) {
        let mut waiting = 0;
        for (call, caller) in &floor.callers {
            let line = floor.lines.get(&caller.arrival.queue);
            let in_line = line.is_some_and(|line| line.waiting.get(&caller.place()) == Some(call));
            assert_eq!(self.entered.get(call), Some(&caller.entered.steady), "another time of entering: {caller:?}");
            let place = (caller.arrival.queue.clone(), caller.since, caller.ticket);
            if let Some(since) = self.kept_places.remove(call) {
                assert!(caller.since <= since || caller.arrival.since.is_none(), "a place that was lost: {caller:?}");
            }
            // Who was sent on has no place until they are somebody's, or the first of their line.
            let before = self.places.insert(*call, place.clone()).filter(|_| !self.sent_on.contains_key(call));
            let stays = before.is_none_or(|before| before.0 != place.0 || before == place);
            assert!(stays || self.taken_over_now || caller.stage == Stage::Talking, "another place: {caller:?}");
            assert_eq!(in_line, caller.stage == Stage::Waiting, "in line and elsewhere: {caller:?}");
            let alone = caller.stage == Stage::Transferred || caller.stage == Stage::Waiting;
            assert!(if caller.offers.is_empty() { alone } else { caller.stage != Stage::Waiting }, "{caller:?}");
            assert_eq!(floor.transferred.contains(call), caller.transfer.is_some(), "{caller:?}");
            let sent_on = self.sent_on.get(call);
            assert!(caller.transfer.as_ref().is_none_or(|transfer| sent_on == Some(&transfer.from)), "{caller:?}");
            assert!(caller.turn == Turn::Usual || sent_on.is_some(), "first in line for nothing: {caller:?}");
            waiting += usize::from(in_line);
            let answered = caller.offers.values().filter(|offer| offer.state == OfferState::Answered).count();
            match caller.stage {
                Stage::Waiting | Stage::Offered => assert_eq!(answered, 0, "{caller:?}"),
                Stage::Transferred => {
                    assert!(answered == 0 && caller.offers.len() < 2 && caller.transfer.is_some(), "{caller:?}");
                }
                Stage::Calling | Stage::Joining | Stage::Talking => {
                    assert_eq!((answered, caller.offers.len()), (1, 1), "{caller:?}")
                }
            }
            for offer in caller.offers.values().filter(|offer| offer.extension.number_outside().is_none()) {
                let expected = match (caller.stage, offer.state) {
                    (Stage::Talking, _) => PopState::Answered,
                    (_, OfferState::Popping { .. }) => PopState::Offered,
                    (_, OfferState::Ringing { .. } | OfferState::Answered) => PopState::Ringing,
                };
                let item = self.items.get(&(*call, offer.extension.clone()));
                assert_eq!(item.map(|pop| pop.state), Some(expected), "the pop of {caller:?}");
            }
        }
        self.taken_over_now = false;
        assert_eq!(floor.lines.values().map(|line| line.waiting.len()).sum::<usize>(), waiting, "in line and gone");
        let offers = floor.callers.values().flat_map(|c| c.offers.values());
        let offers = offers.filter(|offer| offer.extension.number_outside().is_none()).count();
        assert_eq!(self.items.len(), offers, "a pop without a call");
        for (queue, line) in &floor.lines {
            let offered = |c: &&Caller| c.stage == Stage::Offered && c.arrival.queue == *queue;
            assert_eq!(line.offered.len(), floor.callers.values().filter(offered).count(), "{queue} counts badly");
            assert!(line.choosy.iter().all(|place| line.waiting.contains_key(place)));
        }
    }

    /// One customer has one callback in a queue, in the place that they had when they asked, and a leg only as it is said.
    fn callbacks_are_one_each(&self, floor: &Floor) {
        let mut askers = BTreeSet::new();
        for caller in floor.callers.values() {
            let Some(callback) = &caller.callback else { continue };
            let arrival = &caller.arrival;
            assert_eq!(self.asked[&arrival.call].0, caller.since, "another place: {caller:?}");
            match (&callback.reach, caller.stage) {
                (Reach::Called { .. }, Stage::Calling)
                | (Reach::Back, Stage::Waiting | Stage::Offered | Stage::Joining | Stage::Talking)
                | (Reach::Away, Stage::Waiting | Stage::Offered)
                | (Reach::Leaving { .. } | Reach::Clearing | Reach::Unsure { .. }, Stage::Waiting) => {}
                _ => panic!("a callback in no state: {caller:?}"),
            }
            if !matches!(callback.reach, Reach::Back | Reach::Unsure { .. }) {
                let asker = (&arrival.queue, arrival.customer.id, &arrival.caller.number);
                assert!(askers.insert(asker), "two callbacks of one customer: {caller:?}");
            }
        }
    }

    fn members_do_one_thing(&self, floor: &Floor) {
        let mut offers: BTreeMap<&Extension, (usize, usize)> = BTreeMap::new();
        for caller in floor.callers.values() {
            for offer in caller.offers.values().filter(|offer| offer.extension.number_outside().is_none()) {
                let (talks, others) = offers.entry(&offer.extension).or_default();
                match offer.state {
                    // Two talks of one person can be found after a restart, and one that was being joined.
                    OfferState::Answered => *talks += 1,
                    OfferState::Popping { .. } | OfferState::Ringing { .. } => *others += 1,
                }
                self.is_booked(floor, &offer.extension, (caller.arrival.call, offer.number));
            }
            if let Some(consulted) = caller.consulted().filter(|c| c.extension.number_outside().is_none()) {
                assert_eq!(caller.stage, Stage::Talking, "{caller:?}");
                let (talks, others) = offers.entry(&consulted.extension).or_default();
                *(if consulted.is_rung() { others } else { talks }) += 1;
                self.is_booked(floor, &consulted.extension, (caller.arrival.call, consulted.number));
                let item = self.items.get(&(caller.arrival.call, consulted.extension.clone()));
                assert!(item.is_none(), "a pop for one who is only asked");
            }
        }
        assert_eq!(
            floor.engaged.values().map(BTreeSet::len).sum::<usize>(),
            offers.values().map(|(t, o)| t + o).sum::<usize>()
        );
        for (extension, (talks, others)) in offers {
            assert!(others == 0 || talks + others == 1, "two reservations of {extension}");
        }
        for (extension, agent) in &floor.agents {
            let Work::Busy { call, offer } = agent.work else { continue };
            let caller = floor.callers.get(&call).expect("busy with a call that is gone");
            if let Some(consulted) = caller.consulted().filter(|consulted| consulted.number == offer) {
                assert_eq!(consulted.extension, *extension);
                continue;
            }
            let offer = caller.offers.get(&offer).expect("busy with an offer that is gone");
            assert_eq!(offer.extension, *extension);
        }
    }

    fn is_booked(&self, floor: &Floor, extension: &Extension, leg: (CallId, OfferNo)) {
        if let Some(agent) = floor.agents.get(extension) {
            assert!(matches!(agent.work, Work::Busy { .. }), "a leg to one who is {:?}", agent.work);
        }
        let booked = floor.engaged.get(extension);
        assert!(booked.is_some_and(|out| out.contains(&leg)), "not in the books");
    }

    pub(super) fn is_idle(&self, server: &ServerId, interface: &Interface) -> bool {
        let seen = |server: &ServerId| self.devices.get(&(server.clone(), interface.clone()));
        let reachable = match seen(server) {
            Some(device) => *device == Device::Idle,
            None => interface.as_str().starts_with("Local/"),
        };
        reachable && !self.up.iter().any(|server| seen(server) == Some(&Device::Busy))
    }

    /// Whether the member could be given to the caller, were they free.
    fn may_have(&self, caller: &Caller, extension: &Extension, agent: &Agent, now: Now) -> bool {
        self.may_claim(caller, extension, agent, now)
            && !self.is_kept_for_claims(caller, now)
            && !self.is_skipped(caller.arrival.call, extension, now.steady)
    }

    /// Whether the caller goes to nobody yet who does not ask for them.
    fn is_kept_for_claims(&self, caller: &Caller, now: Now) -> bool {
        let claim = self.policies.get(&caller.arrival.queue).map_or(Duration::ZERO, |policy| policy.claim);
        !caller.is_answered && caller.callback.is_none() && now.steady < caller.since + claim
    }

    /// The same of a member who asks for the caller.
    fn may_claim(&self, caller: &Caller, extension: &Extension, agent: &Agent, now: Now) -> bool {
        let queue = &caller.arrival.queue;
        caller.is_servable()
            && self.up.contains(&caller.arrival.server)
            && agent.seats.get(queue).is_some_and(|seat| caller.arrival.penalties.contains(seat.penalty))
            && agent.pause(queue).is_none()
            && self.wrap_up.get(extension).is_none_or(|until| *until <= now.utc)
            && self.is_idle(&caller.arrival.server, &agent.row.interface)
    }

    /// No wake-up is lost: nobody waits while somebody who may have them is free.
    fn nobody_waits_in_vain(&self, floor: &Floor, now: Now) {
        for (queue, line) in &floor.lines {
            for caller in line.waiting.values().map(|call| &floor.callers[call]) {
                for (extension, agent) in floor.agents.iter().filter(|(_, agent)| agent.work == Work::Free) {
                    assert!(
                        !self.may_have(caller, extension, agent, now),
                        "{extension} is free while {caller:?} waits"
                    );
                }
                if let Some(callback) = &caller.callback {
                    // What has become of one that an earlier run has begun, only their Asterisk knows.
                    let unsure = matches!(callback.reach, Reach::Unsure { .. });
                    assert!(unsure || callback.keep_until > now.steady, "kept too long: {caller:?}");
                    assert!(callback.due().is_none_or(|at| at > now.steady), "overdue: {caller:?}");
                    assert_eq!(floor.doors, Doors::Open, "waiting at closed doors");
                } else if self.up.contains(&caller.arrival.server) {
                    let row = line.row.as_ref().expect("waiting for a queue that is gone");
                    assert!(caller.timed_from + row.queue_timeout > now.steady, "waiting too long: {caller:?}");
                    assert_eq!(floor.doors, Doors::Open, "waiting at closed doors");
                    let anybody = floor.agents.values().any(|a| a.seats.contains_key(queue));
                    let penalties = caller.arrival.penalties;
                    match &row.policy.leave_empty {
                        Emptiness::Never => {}
                        Emptiness::NoMembers => assert!(anybody, "waiting for nobody"),
                        Emptiness::Unless(absences) => {
                            let there =
                                |e: &Extension| !absences.iter().any(|a| floor.is_absent(e, queue, *a, penalties));
                            assert!(line.members.iter().any(there), "waiting in an empty queue");
                        }
                    }
                }
            }
        }
    }

    /// First come, first served: nobody who comes before the served one, and could have had the member, still waits. Before
    /// comes who waits in a heavier queue, else has the higher priority, else waits longer. And of all members whom the
    /// caller could have, it was the turn of the one who was chosen.
    fn offers_are_fair(&mut self, floor: &Floor, now: Now) {
        let weight = |queue: &QueueName| floor.queue(queue).map_or(0, |queue| queue.policy.weight);
        let moved = std::mem::take(&mut self.moved_now);
        for Offered { call, extension, rule, moved_before } in std::mem::take(&mut self.offered_now) {
            let (Some(served), Some(agent)) = (floor.callers.get(&call), floor.agents.get(&extension)) else {
                continue;
            };
            if !served.has_offer_to(&extension) {
                continue;
            }
            if rule == "claimed" {
                self.tally.count("callers taken");
                assert!(self.may_claim(served, &extension, agent, now), "{extension} may not take {served:?}");
                continue;
            }
            assert!(self.may_have(served, &extension, agent, now), "{extension} is not free for {served:?}");
            let key = |caller: &Caller| {
                let (weight, priority) = (weight(&caller.arrival.queue), caller.arrival.priority);
                (Reverse(weight), caller.turn, Reverse(priority), caller.since, caller.ticket)
            };
            for waiting in floor.lines.values().flat_map(|line| line.waiting.values()).map(|c| &floor.callers[c]) {
                let before = key(waiting) < key(served) && self.may_have(waiting, &extension, agent, now);
                let came_later = moved[moved_before..].contains(&waiting.arrival.call);
                assert!(!before || came_later, "{call} was served before {waiting:?}");
            }
            let queue = &served.arrival.queue;
            let penalty = |agent: &Agent| agent.seats.get(queue).map_or(0, |seat| seat.penalty);
            let turn = (self.turns.get(&extension), &extension);
            for (other, rival) in floor.agents.iter().filter(|(_, agent)| agent.work == Work::Free) {
                if !self.may_have(served, other, rival, now) || rule == "sticky" || rule == "wrandom" {
                    continue;
                }
                assert!(penalty(rival) >= penalty(agent), "{extension} rang before {other} of a lower penalty");
                if penalty(rival) == penalty(agent) {
                    assert_ne!(rule, "ringall", "{other} was left out");
                    let before = rule == "leastrecent" && (self.turns.get(other), other) < turn;
                    assert!(!before, "{extension} rang before {other}");
                }
            }
        }
    }

    /// When everyone is gone.
    pub(in super::super) fn at_rest(&self, floor: &Floor) {
        assert!(floor.callers.is_empty(), "callers are left: {:?}", floor.callers);
        assert!(floor.lines.values().all(|line| line.length() == 0), "lines are left");
        assert!(floor.agents.values().all(|agent| agent.work == Work::Free), "members are left: {:?}", floor.agents);
        let known = |agent: &Agent| agent.auto_pauses.is_empty();
        assert!(floor.agents.values().all(known), "pauses are left that nobody else knows: {:?}", floor.agents);
        assert!(self.items.is_empty(), "pops are left: {:?}", self.items);
        assert!(self.open.is_empty(), "offers are left: {:?}", self.open);
    }
}
