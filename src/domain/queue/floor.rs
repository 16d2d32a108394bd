//! The floor: all queues, members and callers in one deterministic machine with one writer.
//!
//! A member is one person. A second offer to them is impossible by construction: [`Work`] holds one call.
//! Every event ends in [`Floor::dispatch`], so that no free member and eligible caller are ever left side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::{PopOutcome, PopState},
    queue::{
        caller::{Arrival, Caller, Offer, Stage},
        effect::{Effect, Event, LegEnd, Ring},
        member::{Agent, Device, Listed, Work},
        roster::{Queue, Roster},
        strategy::{Candidate, least_recent},
    },
};

/// How long a leg that was hung up may stay unaccounted for before its member is free again all the same.
const CLEARING: Duration = Duration::from_secs(5);

/// Why the machine wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    /// The bound on confirming a pop.
    Pop,
    /// The end of a member's ring time.
    RingTime,
    /// The end of a caller's wait.
    QueueTimeout,
    /// Asterisk never said that a leg is gone.
    Clearing,
}

/// Whether callers are still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doors {
    Open,
    Closed,
}

/// Whether a member's leg may still exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    NeverMade,
    Gone,
    ToBeDropped,
}

/// The floor.
#[derive(Debug)]
pub struct Floor {
    publish_bound: Duration,
    queues: BTreeMap<QueueName, Queue>,
    agents: BTreeMap<Extension, Agent>,
    callers: BTreeMap<CallId, Caller>,
    /// Callers in [`Stage::Waiting`], in the order of their coming.
    line: BTreeMap<(Instant, u64), CallId>,
    devices: BTreeMap<(ServerId, Interface), Device>,
    up: BTreeSet<ServerId>,
    tickets: u64,
    doors: Doors,
}

impl Floor {
    /// An empty floor. `publish_bound`: how long a phone waits for its pop to be confirmed.
    pub fn new(publish_bound: Duration) -> Self {
        Self {
            publish_bound,
            queues: BTreeMap::new(),
            agents: BTreeMap::new(),
            callers: BTreeMap::new(),
            line: BTreeMap::new(),
            devices: BTreeMap::new(),
            up: BTreeSet::new(),
            tickets: 0,
            doors: Doors::Open,
        }
    }

    /// Takes in what happened; returns what is to be done, in order.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Roster(roster) => self.roster(&roster, now, &mut out),
            Event::CallerEntered(arrival) => self.caller_entered(arrival, now, &mut out),
            Event::CallerFound(arrival, age) => self.caller_found(arrival, age, now, &mut out),
            Event::TalkFound { arrival, age, offer, extension } => {
                self.talk_found(arrival, age, offer, extension, now, &mut out);
            }
            Event::CallerGone { call } => self.caller_gone(call, now, &mut out),
            Event::PopSettled { call, offer, outcome } => self.pop_settled(call, offer, outcome, now, &mut out),
            Event::LegAnswered { server, call, offer } => self.leg_answered(server, call, offer, &mut out),
            Event::LegGone { call, offer, end } => self.leg_gone(call, offer, end, now, &mut out),
            Event::Joined { call, offer } => self.joined(call, offer, now, &mut out),
            Event::DeviceChanged { server, interface, device } => {
                self.devices.insert((server, interface), device);
            }
            Event::ServerUp { server } => {
                self.up.insert(server);
            }
            Event::ServerDown { server } => {
                self.up.remove(&server);
                self.devices.retain(|(of, _), _| *of != server);
            }
            Event::Tick => self.tick(now, &mut out),
            Event::Stop => self.stop(now, &mut out),
        }
        self.dispatch(now, &mut out);
        out
    }

    /// The next moment at which [`Event::Tick`] is due, and what for.
    pub fn deadline(&self) -> Option<(Instant, Deadline)> {
        let callers = self.callers.values().flat_map(|caller| {
            let stage = match caller.stage {
                Stage::Waiting | Stage::Joining | Stage::Talking => None,
                Stage::Popping { until } => Some((until, Deadline::Pop)),
                Stage::Ringing { until } => Some((until, Deadline::RingTime)),
            };
            let queue = self.timeout_of(caller).map(|at| (at, Deadline::QueueTimeout));
            stage.into_iter().chain(queue)
        });
        let agents = self.agents.values().filter_map(|agent| match agent.work {
            Work::Free | Work::Busy { .. } => None,
            Work::Clearing { until, .. } => Some((until, Deadline::Clearing)),
        });
        callers.chain(agents).min()
    }

    /// The callers, by call.
    pub fn callers(&self) -> &BTreeMap<CallId, Caller> {
        &self.callers
    }

    /// The agents, by extension.
    pub fn agents(&self) -> &BTreeMap<Extension, Agent> {
        &self.agents
    }

    /// The queue of that name.
    pub fn queue(&self, name: &QueueName) -> Option<&Queue> {
        self.queues.get(name)
    }

    /// Members logged on to a queue, by extension.
    fn logged_on<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a Extension> {
        self.agents.iter().filter(move |(_, agent)| agent.logged_on.contains(queue)).map(|(extension, _)| extension)
    }

    /// When the caller has waited too long; `None` once they are being joined or talk.
    fn timeout_of(&self, caller: &Caller) -> Option<Instant> {
        match caller.stage {
            Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } => {
                self.queues.get(&caller.arrival.queue).map(|queue| caller.entered.steady + queue.queue_timeout)
            }
            Stage::Joining | Stage::Talking => None,
        }
    }

    // ---- callers -----------------------------------------------------------------------------------------------

    fn caller_entered(&mut self, arrival: Arrival, now: Now, out: &mut Vec<Effect>) {
        if self.callers.contains_key(&arrival.call) {
            return;
        }
        let call = arrival.call;
        self.admit(arrival, now, Duration::ZERO, now, out);
        let Some(caller) = self.callers.get(&call) else { return };
        let position = self.line.values().filter(|c| self.callers[*c].arrival.queue == caller.arrival.queue).count();
        let to = self.logged_on(&caller.arrival.queue).cloned().collect();
        out.push(Effect::Announce { call, position, to });
        out.push(Effect::Greet { call });
    }

    fn caller_found(&mut self, arrival: Arrival, age: Duration, now: Now, out: &mut Vec<Effect>) {
        if self.callers.contains_key(&arrival.call) {
            return;
        }
        let call = arrival.call;
        self.admit(arrival, earlier(now, age), age, now, out);
        if self.callers.contains_key(&call) {
            out.push(Effect::Music { call });
        }
    }

    /// Puts a caller in line, or gives them back at once when the queue cannot serve anybody.
    fn admit(&mut self, arrival: Arrival, entered: Now, age: Duration, now: Now, out: &mut Vec<Effect>) {
        let call = arrival.call;
        self.tickets += 1;
        let caller = Caller::new(arrival.clone(), entered, age, self.tickets);
        out.push(Effect::Record(Fact::CallEntered {
            call,
            server: arrival.server,
            channel: arrival.channel,
            queue: arrival.queue.clone(),
            customer: arrival.customer,
            caller: arrival.caller,
        }));
        self.line.insert((caller.entered.steady, caller.ticket), call);
        self.callers.insert(call, caller);
        if let Some(outcome) = self.reason_to_give_back(&arrival.queue) {
            self.give_back(call, outcome, now, out);
        }
    }

    fn reason_to_give_back(&self, queue: &QueueName) -> Option<CallOutcome> {
        if self.doors == Doors::Closed {
            Some(CallOutcome::Stopped)
        } else if !self.queues.contains_key(queue) {
            Some(CallOutcome::UnknownQueue)
        } else if self.logged_on(queue).next().is_none() {
            Some(CallOutcome::NoMembers)
        } else {
            None
        }
    }

    fn talk_found(
        &mut self,
        arrival: Arrival,
        age: Duration,
        offer: OfferNo,
        extension: Extension,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let call = arrival.call;
        if self.callers.contains_key(&call) {
            return;
        }
        // An agent who is not in the roster any more talks on: only the end of the call is ours to see to.
        if let Some(agent) = self.agents.get_mut(&extension) {
            agent.work = Work::Busy { call, offer };
        }
        self.tickets += 1;
        let mut caller = Caller::new(arrival, earlier(now, age), age, self.tickets);
        caller.offer = Some(Offer { number: offer, extension: extension.clone() });
        caller.mark_rung();
        caller.stage = Stage::Talking;
        out.push(Effect::Update { pop: caller.pop(&extension, PopState::Answered, now) });
        self.callers.insert(call, caller);
    }

    fn caller_gone(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        let talked = match caller.stage {
            Stage::Talking => true,
            Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } | Stage::Joining => false,
        };
        if talked {
            self.finish_talk(call, Leg::ToBeDropped, now, out);
        } else {
            self.end_offer(call, OfferEnd::CallerGone, Leg::ToBeDropped, now, out);
            self.remove(call, None, CallOutcome::Abandoned, out);
        }
    }

    /// Lets the dialplan go on with a caller.
    fn give_back(&mut self, call: CallId, outcome: CallOutcome, now: Now, out: &mut Vec<Effect>) {
        self.end_offer(call, OfferEnd::Withdrawn, Leg::ToBeDropped, now, out);
        let Some(caller) = self.callers.get(&call) else { return };
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        out.push(Effect::GiveBack { call, server, channel, outcome });
        self.remove(call, None, outcome, out);
    }

    /// Forgets a caller and says how it ended.
    fn remove(&mut self, call: CallId, extension: Option<Extension>, outcome: CallOutcome, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.remove(&call) else { return };
        self.line.remove(&(caller.entered.steady, caller.ticket));
        out.push(Effect::ForgetAnnouncement { call });
        if caller.has_rung() {
            out.push(Effect::DropBridge { call, server: caller.arrival.server });
        }
        out.push(Effect::Record(Fact::CallEnded { call, extension, outcome }));
    }

    // ---- offers ------------------------------------------------------------------------------------------------

    fn pop_settled(&mut self, call: CallId, offer: OfferNo, outcome: PopOutcome, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        match caller.stage {
            Stage::Popping { .. } if caller.has_out(offer) => {}
            Stage::Popping { .. } | Stage::Waiting | Stage::Ringing { .. } | Stage::Joining | Stage::Talking => return,
        }
        let Some(extension) = caller.offer.as_ref().map(|offer| offer.extension.clone()) else { return };
        let (Some(agent), Some(queue)) = (self.agents.get(&extension), self.queues.get(&caller.arrival.queue)) else {
            return;
        };
        caller.stage = Stage::Ringing { until: now.steady + queue.ring_time };
        caller.mark_rung();
        out.push(Effect::Ring(Ring {
            call,
            offer,
            extension: extension.clone(),
            interface: agent.row.interface.clone(),
            server: caller.arrival.server.clone(),
            originator: caller.arrival.channel.clone(),
            caller: caller.arrival.caller.clone(),
            queue: queue.name.clone(),
            ring_time: queue.ring_time,
        }));
        out.push(Effect::Update { pop: caller.pop(&extension, PopState::Ringing, now) });
        out.push(Effect::Record(Fact::CallRinging { call, offer, extension, pop: outcome }));
    }

    fn leg_answered(&mut self, server: ServerId, call: CallId, offer: OfferNo, out: &mut Vec<Effect>) {
        if let Some(caller) = self.callers.get_mut(&call) {
            match (caller.stage, caller.has_out(offer)) {
                (Stage::Ringing { .. }, true) => {
                    caller.stage = Stage::Joining;
                    out.push(Effect::Join { call, offer });
                    return;
                }
                // Told twice.
                (Stage::Joining | Stage::Talking, true) => return,
                (Stage::Waiting | Stage::Popping { .. }, true) | (_, false) => {}
            }
        }
        // The answer comes too late: the offer has gone elsewhere. Nobody is left in silence.
        out.push(Effect::DropLeg { call, offer, server });
    }

    fn joined(&mut self, call: CallId, offer: OfferNo, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        match caller.stage {
            Stage::Joining if caller.has_out(offer) => {}
            Stage::Joining | Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } | Stage::Talking => return,
        }
        let Some(extension) = caller.offer.as_ref().map(|offer| offer.extension.clone()) else { return };
        caller.stage = Stage::Talking;
        out.push(Effect::ForgetAnnouncement { call });
        out.push(Effect::Update { pop: caller.pop(&extension, PopState::Answered, now) });
        out.push(Effect::Record(Fact::CallAnswered { call, offer, extension }));
    }

    fn leg_gone(&mut self, call: CallId, offer: OfferNo, end: LegEnd, now: Now, out: &mut Vec<Effect>) {
        for agent in self.agents.values_mut() {
            match agent.work {
                Work::Clearing { call: c, offer: o, .. } if c == call && o == offer => agent.work = Work::Free,
                Work::Clearing { .. } | Work::Free | Work::Busy { .. } => {}
            }
        }
        self.forget_unlisted();
        let Some(caller) = self.callers.get(&call) else { return };
        if !caller.has_out(offer) {
            return;
        }
        match caller.stage {
            Stage::Waiting => {}
            Stage::Popping { .. } | Stage::Ringing { .. } => {
                let why = match end {
                    LegEnd::NoAnswer => OfferEnd::RingNoAnswer,
                    LegEnd::Rejected | LegEnd::HungUp => OfferEnd::Rejected,
                    LegEnd::Unavailable => OfferEnd::Unavailable,
                };
                self.end_offer(call, why, Leg::Gone, now, out);
            }
            Stage::Joining => {
                self.end_offer(call, OfferEnd::MemberGone, Leg::Gone, now, out);
                // Greeting and music were ended for the member who is gone.
                out.push(Effect::Music { call });
            }
            Stage::Talking => self.finish_talk(call, Leg::Gone, now, out),
        }
    }

    /// The end of a call in which caller and member talked.
    fn finish_talk(&mut self, call: CallId, leg: Leg, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(offer) = caller.offer.clone() else { return };
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        let pop = caller.pop(&offer.extension, PopState::Ended, now);
        if let Some(agent) = self.agents.get_mut(&offer.extension) {
            agent.last_call = agent.last_call.max(Some(now.utc));
        }
        self.release(call, &offer.extension, offer.number, leg, server.clone(), now, out);
        if leg == Leg::Gone {
            out.push(Effect::HangUpCaller { call, server, channel });
        }
        out.push(Effect::Retire { pop });
        self.remove(call, Some(offer.extension), CallOutcome::Completed, out);
        self.forget_unlisted();
    }

    /// Takes an offer back: the caller is in line again in the old place, the member is free or being cleared.
    fn end_offer(&mut self, call: CallId, why: OfferEnd, leg: Leg, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(offer) = caller.offer.take() else { return };
        let leg = match caller.stage {
            Stage::Popping { .. } => Leg::NeverMade,
            Stage::Waiting | Stage::Ringing { .. } | Stage::Joining | Stage::Talking => leg,
        };
        caller.stage = Stage::Waiting;
        self.line.insert((caller.entered.steady, caller.ticket), call);
        match why {
            OfferEnd::RingNoAnswer | OfferEnd::Rejected | OfferEnd::Unavailable | OfferEnd::MemberGone => {
                caller.skipped.insert(offer.extension.clone());
            }
            OfferEnd::CallerGone | OfferEnd::LoggedOff | OfferEnd::Withdrawn => {}
        }
        let pop = caller.pop(&offer.extension, PopState::Withdrawn, now);
        let server = caller.arrival.server.clone();
        self.release(call, &offer.extension, offer.number, leg, server, now, out);
        out.push(Effect::Retire { pop });
        out.push(Effect::Record(Fact::OfferEnded { call, offer: offer.number, extension: offer.extension, why }));
    }

    /// Ends a member's reservation; a leg that may still be there is dropped and waited for.
    #[expect(clippy::too_many_arguments, reason = "one place that frees a member, told everything it must know")]
    fn release(
        &mut self,
        call: CallId,
        extension: &Extension,
        offer: OfferNo,
        leg: Leg,
        server: ServerId,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let work = match leg {
            Leg::NeverMade | Leg::Gone => Work::Free,
            Leg::ToBeDropped => {
                out.push(Effect::DropLeg { call, offer, server });
                Work::Clearing { call, offer, until: now.steady + CLEARING }
            }
        };
        if let Some(agent) = self.agents.get_mut(extension) {
            agent.work = work;
        }
    }

    // ---- members -----------------------------------------------------------------------------------------------

    fn roster(&mut self, roster: &Arc<Roster>, now: Now, out: &mut Vec<Effect>) {
        self.queues = roster.queues.iter().map(|queue| (queue.name.clone(), queue.clone())).collect();
        for agent in self.agents.values_mut() {
            agent.listed = Listed::No;
            agent.logged_on.clear();
        }
        for row in &roster.agents {
            let agent = self.agents.entry(row.extension.clone()).or_insert_with(|| Agent {
                row: row.clone(),
                logged_on: BTreeSet::new(),
                last_call: None,
                work: Work::Free,
                listed: Listed::Yes,
            });
            agent.row = row.clone();
            agent.listed = Listed::Yes;
        }
        for membership in &roster.memberships {
            let Some(agent) = self.agents.get_mut(&membership.extension) else { continue };
            agent.last_call = agent.last_call.max(membership.last_call_at);
            if membership.logged_on && self.queues.contains_key(&membership.queue) {
                agent.logged_on.insert(membership.queue.clone());
            }
        }
        self.forget_unlisted();
        let withdrawn: Vec<CallId> = self
            .callers
            .iter()
            .filter(|(_, caller)| matches!(caller.stage, Stage::Popping { .. } | Stage::Ringing { .. }))
            .filter(|(_, caller)| {
                let agent = caller.offer.as_ref().and_then(|offer| self.agents.get(&offer.extension));
                !agent.is_some_and(|agent| agent.logged_on.contains(&caller.arrival.queue))
            })
            .map(|(call, _)| *call)
            .collect();
        for call in withdrawn {
            self.end_offer(call, OfferEnd::LoggedOff, Leg::ToBeDropped, now, out);
        }
        let hopeless: Vec<(CallId, CallOutcome)> = self
            .line
            .values()
            .filter_map(|call| Some((*call, self.reason_to_give_back(&self.callers.get(call)?.arrival.queue)?)))
            .collect();
        for (call, outcome) in hopeless {
            self.give_back(call, outcome, now, out);
        }
    }

    fn forget_unlisted(&mut self) {
        self.agents.retain(|_, agent| agent.listed == Listed::Yes || agent.work != Work::Free);
    }

    // ---- time and the end --------------------------------------------------------------------------------------

    fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        for agent in self.agents.values_mut() {
            match agent.work {
                Work::Clearing { until, .. } if until <= now.steady => agent.work = Work::Free,
                Work::Clearing { .. } | Work::Free | Work::Busy { .. } => {}
            }
        }
        self.forget_unlisted();
        let calls: Vec<CallId> = self.callers.keys().copied().collect();
        for call in calls {
            let Some(caller) = self.callers.get(&call) else { continue };
            if self.timeout_of(caller).is_some_and(|at| at <= now.steady) {
                self.give_back(call, CallOutcome::TimedOut, now, out);
                continue;
            }
            match (caller.stage, caller.offer.as_ref().map(|offer| offer.number)) {
                (Stage::Popping { until }, Some(offer)) if until <= now.steady => {
                    self.pop_settled(call, offer, PopOutcome::TimedOut, now, out);
                }
                (Stage::Ringing { until }, Some(_)) if until <= now.steady => {
                    self.end_offer(call, OfferEnd::RingNoAnswer, Leg::ToBeDropped, now, out);
                }
                (
                    Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } | Stage::Joining | Stage::Talking,
                    _,
                ) => {}
            }
        }
    }

    fn stop(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.doors = Doors::Closed;
        let calls: Vec<CallId> = self.callers.keys().copied().collect();
        for call in calls {
            match self.callers.get(&call).map(|caller| caller.stage) {
                Some(Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. }) => {
                    self.give_back(call, CallOutcome::Stopped, now, out);
                }
                // They talk on without us; the next run finds them.
                Some(Stage::Joining | Stage::Talking) | None => {}
            }
        }
    }

    // ---- the match ---------------------------------------------------------------------------------------------

    /// Gives every free member the first caller in line they may have.
    fn dispatch(&mut self, now: Now, out: &mut Vec<Effect>) {
        let waiting: Vec<CallId> = self.line.values().copied().collect();
        for call in waiting {
            let Some(extension) = self.choose(call) else { continue };
            let (Some(caller), Some(agent)) = (self.callers.get_mut(&call), self.agents.get_mut(&extension)) else {
                continue;
            };
            let offer = caller.next_offer(extension.clone());
            caller.stage = Stage::Popping { until: now.steady + self.publish_bound };
            agent.work = Work::Busy { call, offer: offer.number };
            self.line.remove(&(caller.entered.steady, caller.ticket));
            out.push(Effect::Publish { offer: offer.number, pop: caller.pop(&extension, PopState::Offered, now) });
            out.push(Effect::Record(Fact::CallOffered { call, offer: offer.number, extension }));
        }
    }

    fn choose(&self, call: CallId) -> Option<Extension> {
        let caller = self.callers.get(&call)?;
        if !self.up.contains(&caller.arrival.server) {
            return None;
        }
        let free = self.agents.iter().filter(|(extension, agent)| {
            agent.logged_on.contains(&caller.arrival.queue)
                && agent.work == Work::Free
                && !caller.skipped.contains(*extension)
                && self.is_idle(&caller.arrival.server, &agent.row.interface)
        });
        least_recent(free.map(|(extension, agent)| Candidate { extension, last_call: agent.last_call })).cloned()
    }

    fn is_idle(&self, server: &ServerId, interface: &Interface) -> bool {
        match self.devices.get(&(server.clone(), interface.clone())) {
            Some(Device::Idle) => true,
            Some(Device::Busy | Device::Unavailable) => false,
            None => !interface.is_watched(),
        }
    }
}

/// The moment `age` before `now`, as far back as the clocks go.
fn earlier(now: Now, age: Duration) -> Now {
    Now { steady: now.steady.checked_sub(age).unwrap_or(now.steady), utc: now.utc.checked_sub(age).unwrap_or(now.utc) }
}
