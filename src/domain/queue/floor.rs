//! The floor: all queues, members and callers in one deterministic machine with one writer.
//!
//! A member is one person. A second offer to them is impossible by construction: [`Work`] holds one call.
//! Every event ends in `dispatch`, so that no free member and eligible caller are ever left side by side. It looks only at
//! the queues that the event touched: `lines` keeps, for each queue, who waits and who is free.
//!
//! Here: the state, the events, and time. In `callers`: who comes, goes and is sent away. In `dispatch`: who gets whom. In
//! `offers`: the life of an offer. In `transfers`: whom an agent sends on; in `consultations`: whom an agent asks first. In `callbacks`: who hangs up and is called when it is
//! their turn; in `kept`: those of an earlier run; in `left`: calls of which that has told no end. In `say`: what callers hear while they wait. In `roster`: what the database says.
//! In `members`: what keeps a member from being offered. In `view`: what people are shown of it. In `links`: what becomes of all that when a link falls.

mod alarms;
mod callbacks;
mod callers;
mod claims;
mod consultations;
mod dispatch;
#[cfg(test)]
mod fixture;
mod kept;
mod left;
mod lines;
mod links;
mod members;
mod offers;
mod partners;
mod renames;
mod roster;
mod say;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod transfers;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

pub use self::{alarms::Deadline, partners::REMEMBERED};
use self::{
    alarms::{Alarm, Alarms},
    callbacks::Asker,
    lines::Line,
    partners::Partners,
};
use crate::domain::{
    fact::CallOutcome,
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::PopOutcome,
    queue::{
        callback::{Callback, Reach},
        caller::{Caller, Consulted, Stage},
        effect::{Effect, Farewell},
        event::Event,
        keys::Codes,
        left::LeftOpen,
        member::{Agent, Device, Work},
        roster::Queue,
        strategy::Dice,
    },
};

/// Whether callers are still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doors {
    Open,
    Closed,
}

/// Whether a member's leg may still exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Gone,
    ToBeDropped(Farewell),
}

/// The floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Floor {
    publish_bound: Duration,
    /// What agents press in a talk before a number.
    codes: Codes,
    lines: BTreeMap<QueueName, Line>,
    agents: BTreeMap<Extension, Agent>,
    callers: BTreeMap<CallId, Caller>,
    /// Whose callback is open.
    asked: BTreeMap<Asker, CallId>,
    /// Calls of an earlier run that have no end and were not found yet.
    left: BTreeMap<CallId, LeftOpen>,
    /// Asterisk servers that were not asked for them yet.
    unasked: BTreeSet<ServerId>,
    devices: BTreeMap<Interface, BTreeMap<ServerId, Device>>,
    /// Whose phone an interface is.
    owners: BTreeMap<Interface, BTreeSet<Extension>>,
    /// The offers that are out to each person, those who are not in the roster any more among them.
    engaged: BTreeMap<Extension, BTreeSet<(CallId, OfferNo)>>,
    /// Whose leg is being taken down.
    clearing: BTreeMap<(CallId, OfferNo), Extension>,
    /// Phones that have transferred by themselves: until when they are taken to be in their old call, whatever Asterisk says.
    hanging_up: BTreeMap<Extension, Instant>,
    up: BTreeSet<ServerId>,
    /// Callers who are for one party only, see [`Stage::Transferred`]; those who are being joined among them.
    transferred: BTreeSet<CallId>,
    alarms: Alarms,
    partners: Partners,
    dice: Dice,
    /// Queues in which somebody may have become free, come or gone since the last dispatch.
    touched: BTreeSet<QueueName>,
    tickets: u64,
    doors: Doors,
}

impl Floor {
    /// An empty floor. `publish_bound`: how long a phone waits for its pop to be confirmed; `seed`: for the strategies that
    /// go by chance.
    pub fn new(publish_bound: Duration, seed: u64) -> Self {
        Self {
            publish_bound,
            codes: Codes::default(),
            lines: BTreeMap::new(),
            agents: BTreeMap::new(),
            callers: BTreeMap::new(),
            asked: BTreeMap::new(),
            left: BTreeMap::new(),
            unasked: BTreeSet::new(),
            devices: BTreeMap::new(),
            owners: BTreeMap::new(),
            engaged: BTreeMap::new(),
            clearing: BTreeMap::new(),
            hanging_up: BTreeMap::new(),
            up: BTreeSet::new(),
            transferred: BTreeSet::new(),
            alarms: Alarms::default(),
            partners: Partners::default(),
            dice: Dice::new(seed),
            touched: BTreeSet::new(),
            tickets: 0,
            doors: Doors::Open,
        }
    }

    /// The same with feature codes for agents.
    #[must_use]
    pub fn with_codes(self, codes: Codes) -> Self {
        Self { codes, ..self }
    }

    /// Takes in what happened; returns what is to be done, in order.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Roster(roster) => self.roster(&roster, now, &mut out),
            Event::RosterChanged(change) => self.roster_changed(&change, now, &mut out),
            Event::PastTalks(talks) => self.past_talks(&talks),
            Event::CallerEntered(arrival) => self.caller_entered(arrival, now, &mut out),
            Event::CallerFound(arrival, age) => self.caller_found(arrival, age, now, &mut out),
            Event::TalkFound { arrival, age, offer, extension } => {
                self.talk_found(arrival, age, offer, extension, now, &mut out);
            }
            Event::PartedFound { arrival, age, offer, extension } => {
                self.parted_found(arrival, age, (offer, extension), now, &mut out);
            }
            Event::Connected { call, party } => self.connected(call, party),
            Event::TalkOver { arrival, age, extension } => self.talk_over(arrival, age, extension, now, &mut out),
            Event::CallerGone { call } => self.caller_gone(call, now, &mut out),
            Event::PopSettled { call, offer, outcome } => self.pop_settled(call, offer, outcome, now, &mut out),
            Event::LegAnswered { server, call, offer } => self.leg_answered(server, call, offer, now, &mut out),
            Event::LegGone { call, offer, end } => self.leg_gone(call, offer, end, now, &mut out),
            Event::Claimed { call, extension } => self.claimed(call, &extension, now, &mut out),
            Event::Declined { call, extension, reason } => self.declined(call, &extension, reason, now, &mut out),
            Event::CalledInVain { arrival, extension } => self.called_in_vain(arrival, &extension, now, &mut out),
            Event::SentOn { extension, to } => self.sent_on(&extension, to, now, &mut out),
            Event::CallerPressed { call, key } => self.caller_pressed(call, key, now, &mut out),
            Event::Promised { call } => self.promised(call, &mut out),
            Event::Kept(kept) => self.kept(kept, now, &mut out),
            Event::LeftOpen { calls, servers } => self.left_open(calls, servers),
            Event::Cancelled { call } => self.cancelled(call, now, &mut out),
            Event::BackAnswered { server, call, attempt } => {
                self.back_answered(server, call, attempt, now, &mut out);
            }
            Event::BackGone { call, attempt, end } => self.back_gone(call, attempt, end, now, &mut out),
            Event::BackFound { server, call, attempt, member } => {
                self.back_found(server, (call, attempt), member, now, &mut out);
            }
            Event::BackRemembered { server, tried } => self.back_remembered(&server, tried, now, &mut out),
            Event::Joined { call, offer } => self.joined(call, offer, now, &mut out),
            Event::TransferAsked { call, offer, to, how } => {
                self.transfer_asked((call, offer), &to, how, now, &mut out);
            }
            Event::CallerReplaced { call, channel } => self.caller_replaced(call, channel, &mut out),
            Event::CallerParted { call } => self.caller_parted(call, &mut out),
            Event::HandedOver { call, offer, to } => self.handed_over((call, offer), to, now, &mut out),
            Event::HandOverFound { call, offer, from } => self.hand_over_found(call, offer, from, &mut out),
            Event::KeyPressed { call, offer, key } => self.key_pressed((call, offer), key, now, &mut out),
            Event::HoldChanged { call, offer, hold } => self.hold_changed((call, offer), hold, &mut out),
            Event::RecordingBegun { call, file } => self.recording_begun(call, file, &mut out),
            Event::MemberGreeted { call, offer } => self.member_greeted(call, offer, now, &mut out),
            Event::Said { call, number } => self.said(call, number, &mut out),
            Event::DeviceChanged { server, interface, device } => self.device_changed(server, interface, device),
            Event::ServerUp { server } => self.server_up(server, now, &mut out),
            Event::ServerDown { server } => self.server_down(&server, now, &mut out),
            Event::Tick => {}
            Event::Stop => self.stop(now, &mut out),
        }
        while let Some(alarm) = self.alarms.take_due(now.steady) {
            self.ring_alarm(alarm, now, &mut out);
        }
        self.dispatch(now, &mut out);
        out
    }

    /// The next moment at which [`Event::Tick`] is due, and what for.
    pub fn deadline(&self) -> Option<(Instant, Deadline)> {
        self.alarms.next()
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
        self.lines.get(name)?.row.as_ref()
    }

    /// The queue that a caller waits in or was served by.
    fn queue_of(&self, call: CallId) -> Option<&Queue> {
        self.queue(&self.callers.get(&call)?.arrival.queue)
    }

    fn ring_alarm(&mut self, alarm: Alarm, now: Now, out: &mut Vec<Effect>) {
        match alarm {
            Alarm::Pop(call, offer) => self.pop_settled(call, offer, PopOutcome::TimedOut, now, out),
            Alarm::RingTime(call, offer) => self.ring_time_over(call, offer, now, out),
            Alarm::QueueTimeout(call) => self.send_away(call, CallOutcome::TimedOut, now, out),
            Alarm::Clearing(extension) => {
                self.hanging_up.remove(&extension);
                self.set_work(&extension, Work::Free);
            }
            Alarm::Join(call) => self.join(call, now, out),
            Alarm::Retry(call) => self.next_round(call),
            Alarm::Callback(call) => self.callback_due(call, now, out),
            // Dispatch sees that its time is over.
            Alarm::Transfer(_) => {}
            Alarm::Keys(call) => self.keys_paused(call, now, &mut *out),
            Alarm::Consultation(call) => self.consultation_due(call, now, out),
            Alarm::Say(call) => self.say_what_is_due(call, now, out),
            Alarm::Claim(call) => self.claims_are_over(call),
            Alarm::WrapUp(extension) => {
                if let Some(agent) = self.agents.get_mut(&extension) {
                    agent.wrap_up = None;
                }
                self.look_after(&extension);
                self.forget_if_unlisted(&extension);
            }
        }
    }

    /// Sets what a caller waits for to when it is due now.
    fn reschedule(&mut self, call: CallId) {
        let Some(caller) = self.callers.get(&call) else { return };
        // Without a link nothing can be done: it is done when the link is back.
        let linked = self.up.contains(&caller.arrival.server);
        let end = self.end_of_wait(caller).filter(|_| (linked || caller.callback.is_some()) && caller.is_unanswered());
        let end = end.filter(|_| caller.stage != Stage::Transferred);
        let callback = caller.callback.as_ref().and_then(Callback::due);
        let join = caller.join_due().filter(|_| linked);
        let retry = caller.retry_at.filter(|_| caller.stage == Stage::Waiting);
        let say = self.say_due(caller).filter(|_| linked);
        // Phones ring on without a link; nobody can be joined.
        let is_rung = caller.consulted().is_some_and(Consulted::is_rung);
        let consultation = caller.consultation_due().filter(|_| linked || is_rung);
        let claim = self.kept_for_claims(caller).filter(|_| caller.stage == Stage::Waiting);
        self.alarms.set(Alarm::QueueTimeout(call), end);
        self.alarms.set(Alarm::Claim(call), claim);
        self.alarms.set(Alarm::Join(call), join);
        self.alarms.set(Alarm::Retry(call), retry);
        self.alarms.set(Alarm::Callback(call), callback);
        self.alarms.set(Alarm::Say(call), say);
        self.alarms.set(Alarm::Consultation(call), consultation);
    }

    /// When the caller has waited as long as the queue allows, or keeps a callback.
    fn end_of_wait(&self, caller: &Caller) -> Option<Instant> {
        match &caller.callback {
            // Before Asterisk has said whether they talk, nothing is known that could end.
            Some(Callback { reach: Reach::Unsure { .. }, .. }) => None,
            Some(callback) => Some(callback.keep_until),
            None => self.queue(&caller.arrival.queue).map(|queue| caller.timed_from + queue.queue_timeout),
        }
    }

    /// Whoever missed or refused the call may be offered it again.
    fn next_round(&mut self, call: CallId) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.retry_at = None;
        caller.skipped.clear();
        self.touched.insert(caller.arrival.queue.clone());
    }

    fn stop(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.doors = Doors::Closed;
        // Who talks or is about to talks on without us; the next run finds them. No greeting can be waited for.
        let greeting: Vec<CallId> =
            self.callers.iter().filter(|(_, caller)| caller.greets_member()).map(|(call, _)| *call).collect();
        for call in greeting {
            self.join(call, now, out);
        }
        let consulting = self.callers.values().filter(|c| c.consulted().is_some()).map(|c| c.arrival.call);
        for call in consulting.collect::<Vec<_>>() {
            self.back_to_caller(call, now, out);
        }
        let calls: Vec<CallId> =
            self.callers.iter().filter(|(_, caller)| caller.is_unanswered()).map(|(call, _)| *call).collect();
        for call in calls {
            self.send_away_at_a_stop(call, now, out);
        }
        let called = self.callers.iter().filter(|(_, caller)| caller.stage == Stage::Calling).map(|(call, _)| *call);
        for call in called.collect::<Vec<_>>() {
            self.let_go(call, now, out);
        }
    }
}

/// The moment `age` before `now`, as far back as the clocks go.
fn earlier(now: Now, age: Duration) -> Now {
    Now { steady: now.steady.checked_sub(age).unwrap_or(now.steady), utc: now.utc.checked_sub(age).unwrap_or(now.utc) }
}
