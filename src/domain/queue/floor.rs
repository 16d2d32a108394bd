//! The floor: all queues, members and callers in one deterministic machine with one writer.
//!
//! A member is one person. A second offer to them is impossible by construction: [`Work`] holds one call.
//! Every event ends in `dispatch`, so that no free member and eligible caller are ever left side by side.
//!
//! Here: the state, the events, callers who come and go, time. In `offers`: the life of an offer. In `members`: the roster.

#[cfg(test)]
mod fixture;
mod members;
mod offers;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::{PopOutcome, PopState},
    queue::{
        caller::{Arrival, Caller, Offer, Stage},
        effect::{Effect, Event},
        member::{Agent, Device, Work},
        roster::Queue,
    },
};

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
    /// Asterisk never said that caller and member are joined.
    Join,
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
            Event::TalkOver { arrival, age, extension } => self.talk_over(arrival, age, extension, now, &mut out),
            Event::CallerGone { call } => self.caller_gone(call, now, &mut out),
            Event::PopSettled { call, offer, outcome } => self.pop_settled(call, offer, outcome, now, &mut out),
            Event::LegAnswered { server, call, offer } => self.leg_answered(server, call, offer, now, &mut out),
            Event::LegGone { call, offer, end } => self.leg_gone(call, offer, end, now, &mut out),
            Event::Joined { call, offer } => self.joined(call, offer, now, &mut out),
            Event::DeviceChanged { server, interface, device } => {
                self.devices.insert((server, interface), device);
            }
            Event::ServerUp { server } => self.server_up(server, now, &mut out),
            Event::ServerDown { server } => self.server_down(&server, now, &mut out),
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
                Stage::Waiting | Stage::Talking => None,
                Stage::Joining => self.join_due(caller).map(|due| (due, Deadline::Join)),
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

    /// When the caller has to be given back; `None` once they are being joined or talk, and without a link to do it by.
    fn timeout_of(&self, caller: &Caller) -> Option<Instant> {
        match caller.stage {
            Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } => {
                self.end_of_wait(caller).filter(|_| self.up.contains(&caller.arrival.server))
            }
            Stage::Joining | Stage::Talking => None,
        }
    }

    /// When the caller has waited as long as the queue allows.
    fn end_of_wait(&self, caller: &Caller) -> Option<Instant> {
        self.queues.get(&caller.arrival.queue).map(|queue| caller.entered.steady + queue.queue_timeout)
    }

    /// When a join is asked for again; `None` without a link to do it by.
    fn join_due(&self, caller: &Caller) -> Option<Instant> {
        caller.join_due().filter(|_| self.up.contains(&caller.arrival.server))
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
        if let Some(outcome) = self.reason_to_give_back(call, now) {
            self.give_back(call, outcome, now, out);
        }
    }

    /// Why it is of no use that this caller waits on.
    fn reason_to_give_back(&self, call: CallId, now: Now) -> Option<CallOutcome> {
        let caller = self.callers.get(&call)?;
        let queue = &caller.arrival.queue;
        if self.doors == Doors::Closed {
            Some(CallOutcome::Stopped)
        } else if !self.queues.contains_key(queue) {
            Some(CallOutcome::UnknownQueue)
        } else if self.logged_on(queue).next().is_none() {
            Some(CallOutcome::NoMembers)
        } else if self.end_of_wait(caller).is_some_and(|at| at <= now.steady) {
            Some(CallOutcome::TimedOut)
        } else {
            None
        }
    }

    /// Gives back the callers in line whom nobody can serve; without a link they wait for it.
    fn give_back_the_hopeless(&mut self, now: Now, out: &mut Vec<Effect>) {
        let hopeless: Vec<(CallId, CallOutcome)> = self
            .line
            .values()
            .filter(|call| self.callers.get(*call).is_some_and(|caller| self.up.contains(&caller.arrival.server)))
            .filter_map(|call| Some((*call, self.reason_to_give_back(*call, now)?)))
            .collect();
        for (call, outcome) in hopeless {
            self.give_back(call, outcome, now, out);
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
        match self.callers.get(&call).map(|known| (known.stage, known.has_out(offer))) {
            None => {}
            Some((_, true) | (Stage::Talking, _)) => return,
            // Joined by somebody else while we were not looking: they talk, and wait for nobody any more.
            Some((Stage::Waiting | Stage::Popping { .. } | Stage::Ringing { .. } | Stage::Joining, false)) => {
                self.end_offer(call, OfferEnd::Withdrawn, Leg::ToBeDropped, now, out);
                if let Some(known) = self.callers.remove(&call) {
                    self.line.remove(&(known.entered.steady, known.ticket));
                }
            }
        }
        // The member was taken for free because this Asterisk had not been heard yet.
        let rivals: Vec<CallId> = self
            .callers
            .iter()
            .filter(|(_, caller)| matches!(caller.stage, Stage::Popping { .. } | Stage::Ringing { .. }))
            .filter(|(_, caller)| caller.offer.as_ref().is_some_and(|offer| offer.extension == extension))
            .map(|(call, _)| *call)
            .collect();
        for rival in rivals {
            self.end_offer(rival, OfferEnd::Withdrawn, Leg::ToBeDropped, now, out);
        }
        // An agent who is not in the roster any more talks on: only the end of the call is ours to see to.
        if let Some(agent) = self.agents.get_mut(&extension) {
            match agent.work {
                Work::Free | Work::Clearing { .. } => agent.work = Work::Busy { call, offer },
                // Two talks at once: this one keeps them busy when the other is over.
                Work::Busy { .. } => {}
            }
        }
        self.tickets += 1;
        let mut caller = Caller::new(arrival, earlier(now, age), age, self.tickets);
        caller.offer = Some(Offer { number: offer, extension: extension.clone() });
        caller.mark_rung();
        caller.stage = Stage::Talking;
        out.push(Effect::Update { pop: caller.pop(&extension, PopState::Answered, now) });
        self.callers.insert(call, caller);
    }

    /// Ends a call of which only the caller is left. Whatever else the member does now is not touched.
    fn talk_over(&mut self, arrival: Arrival, age: Duration, extension: Extension, now: Now, out: &mut Vec<Effect>) {
        let call = arrival.call;
        if self.callers.contains_key(&call) {
            return;
        }
        if let Some(agent) = self.agents.get_mut(&extension) {
            agent.last_call = agent.last_call.max(Some(now.utc));
        }
        let (server, channel) = (arrival.server.clone(), arrival.channel.clone());
        self.tickets += 1;
        let pop = Caller::new(arrival, earlier(now, age), age, self.tickets).pop(&extension, PopState::Ended, now);
        out.push(Effect::HangUpCaller { call, server: server.clone(), channel });
        out.push(Effect::Retire { pop });
        out.push(Effect::DropBridge { call, server });
        out.push(Effect::Record(Fact::CallEnded { call, extension: Some(extension), outcome: CallOutcome::Completed }));
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

    // ---- links, time and the end --------------------------------------------------------------------------------------

    fn server_up(&mut self, server: ServerId, now: Now, out: &mut Vec<Effect>) {
        for (call, caller) in self.callers.iter_mut().filter(|(_, caller)| caller.arrival.server == server) {
            if caller.may_hear_nothing() {
                out.push(Effect::Music { call: *call });
            }
        }
        self.up.insert(server);
        // What could not be done without the link is due now.
        self.tick(now, out);
    }

    fn server_down(&mut self, server: &ServerId, now: Now, out: &mut Vec<Effect>) {
        self.up.remove(server);
        self.devices.retain(|(of, _), _| of != server);
        let calls: Vec<CallId> =
            self.callers.values().filter(|c| c.arrival.server == *server).map(|c| c.arrival.call).collect();
        for call in calls {
            let Some(caller) = self.callers.get_mut(&call) else { continue };
            caller.doubt_sound();
            match caller.stage {
                // It could not be rung for.
                Stage::Popping { .. } => self.end_offer(call, OfferEnd::Withdrawn, Leg::NeverMade, now, out),
                // Whether they were joined may never be told: it is asked for again when the link is back.
                Stage::Joining => caller.join_until(now.steady),
                // Asterisk rings on, and so do we until the ring time is over.
                Stage::Waiting | Stage::Ringing { .. } | Stage::Talking => {}
            }
        }
    }

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
            if self.join_due(caller).is_some_and(|due| due <= now.steady) {
                self.join(call, now, out);
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
}

/// The moment `age` before `now`, as far back as the clocks go.
fn earlier(now: Now, age: Duration) -> Now {
    Now { steady: now.steady.checked_sub(age).unwrap_or(now.steady), utc: now.utc.checked_sub(age).unwrap_or(now.utc) }
}
