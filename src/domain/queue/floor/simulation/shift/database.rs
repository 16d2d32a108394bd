//! What is in the database: the rows that people change, those that the ledger writes, and what the service reads of them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{super::rules, Plan, Shift};
use crate::domain::{
    fact::{CallOutcome, Fact},
    id::QueueName,
    queue::{
        callback::{Kept, KeptState},
        effect::Effect,
        event::Event,
        floor::fixture,
        left::LeftOpen,
        roster::{self, Roster},
    },
};

impl Shift {
    fn roster(&self) -> Roster {
        let listed = |queue: &QueueName| self.queues.iter().any(|(q, listed)| q.name == *queue && *listed);
        Roster {
            agents: self.members.iter().filter(|m| m.listed).map(|m| m.row.clone()).collect(),
            queues: self.queues.iter().filter(|(_, listed)| *listed).map(|(queue, _)| queue.clone()).collect(),
            memberships: self
                .members
                .iter()
                .filter(|m| m.listed)
                .flat_map(|m| {
                    m.queues.iter().filter(|(q, _)| listed(q)).map(|(q, since)| roster::Membership {
                        penalty: m.penalty,
                        place: m.place,
                        joined_at: *since,
                        back_at: m.back_at,
                        wrap_up_until: m.wrap_up_until,
                        ..fixture::member(q.as_str(), m.row.extension.as_str())
                    })
                })
                .collect(),
        }
    }

    pub(super) fn load_all(&mut self) {
        self.told = self.roster();
        self.step(Event::Roster(fixture::shared(self.told.clone())));
    }

    /// The rows that were changed are loaded, or for once all of them. Both ways lead to the same floor, by the same effects.
    pub(super) fn tell_roster(&mut self) {
        let roster = self.roster();
        let change = Event::RosterChanged(Arc::new(fixture::difference(&self.told, &roster)));
        let whole = Event::Roster(fixture::shared(roster.clone()));
        self.told = roster;
        let [(by_change, first), (by_all, second)] = [change.clone(), whole.clone()].map(|event| {
            let mut floor = self.floor.clone();
            let effects = floor.step(event, self.now());
            (floor, effects)
        });
        let lines = |effects: &[Effect]| effects.iter().map(fixture::words).collect::<Vec<_>>();
        assert_eq!(lines(&first), lines(&second), "done otherwise for {change:?}");
        assert!(by_change == by_all, "{change:?} leads to\n{by_change:?}\nand everything to\n{by_all:?}");
        let event = if self.chance.percent(20) { whole } else { change };
        self.step(event);
    }

    pub(super) fn roster_changes(&mut self) {
        let member = self.chance.place(self.members.len());
        let queue = self.chance.place(self.queues.len());
        let name = self.queues[queue].0.name.clone();
        let now = self.now().utc;
        match self.chance.between(0, 15) {
            0..5 => {
                let queues = &mut self.members[member].queues;
                if queues.remove(&name).is_none() {
                    queues.insert(name, now);
                }
            }
            10 => self.queues[queue].0.policy = rules::any_policy(&mut self.chance),
            14 => self.queues[queue].0.announcements = rules::any_announcements(&mut self.chance),
            15 => self.queues[queue].0.talk = rules::any_talk(&mut self.chance),
            11 => self.members[member].penalty = rules::small(&mut self.chance, 2),
            12 | 13 => {
                let queue = self.chance.percent(50).then_some(name);
                let pauses = &mut self.members[member].row.pauses;
                if pauses.pop().is_none() {
                    let kind = roster::PauseKind::Manual;
                    pauses.push(roster::Pause { queue, kind, reason: "lunch".into(), since: now });
                }
            }
            5..8 => self.members[member].listed = !self.members[member].listed,
            8 => self.queues[queue].1 = !self.queues[queue].1,
            _ => self.queues[queue].0.queue_timeout = Duration::from_secs(self.chance.between(5, 60)),
        }
        self.witness.tally.count("changes of the roster");
        self.tell_roster();
        if self.chance.percent(60) {
            let after = self.chance.between(10, 20_000);
            self.later(after, Plan::RosterChanges);
        }
    }

    /// What an earlier run has recorded is written before anything is read.
    pub(super) fn write_what_waits(&mut self) {
        let waits = |plan: &Plan| matches!(plan, Plan::Written(_, Fact::WrapUp { .. }));
        let due: Vec<_> = self.agenda.iter().filter(|(_, plan)| waits(plan)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(Plan::Written(at, fact)) = self.agenda.remove(&key) {
                self.write(at, &fact);
            }
        }
    }

    /// The ledger writes. What the service knows already is not announced, and so not read again.
    pub(super) fn written(&mut self, at: Timestamp, fact: &Fact) {
        self.write(at, fact);
        if matches!(fact, Fact::AutoPaused { .. }) {
            self.tell_roster();
        }
    }

    fn write(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::AutoPaused { extension, queue, .. } => {
                let member = self.members.iter_mut().find(|member| member.row.extension == *extension).unwrap();
                if member.queues.get(queue).copied().max(member.back_at) > Some(at) {
                    return self.witness.tally.count("pauses of ours that came too late");
                }
                let since = at;
                let (queue, kind) = (Some(queue.clone()), roster::PauseKind::Auto);
                member.row.pauses.push(roster::Pause { queue, kind, reason: String::new(), since });
                let after = self.chance.between(1, 20_000);
                self.later(after, Plan::Resumes(extension.clone()));
            }
            Fact::WrapUp { extension, until, .. } => {
                let member = self.members.iter_mut().find(|member| member.row.extension == *extension).unwrap();
                member.wrap_up_until = member.wrap_up_until.max(Some(*until));
            }
            Fact::CallEntered { .. }
            | Fact::CallOffered { .. }
            | Fact::CallRinging { .. }
            | Fact::OfferEnded { .. }
            | Fact::CallDeclined { .. }
            | Fact::CallAnswered { .. }
            | Fact::CallOverflowed { .. }
            | Fact::CallbackAsked { .. }
            | Fact::CallbackCalled { .. }
            | Fact::CallbackMissed { .. }
            | Fact::CallTransferred { .. }
            | Fact::TransferFailed { .. }
            | Fact::Renumbered { .. }
            | Fact::CallHeld { .. }
            | Fact::Recording { .. }
            | Fact::CallEnded { .. } => {}
        }
    }

    /// What the ledger writes of callbacks.
    pub(super) fn write_callback(&mut self, fact: &Fact) {
        match fact {
            Fact::CallbackAsked {
                call,
                server,
                queue,
                customer,
                caller,
                priority,
                since,
                entered,
                penalties,
                keep_until,
                told_of_recording,
            } => {
                let kept = Kept {
                    call: *call,
                    server: server.clone(),
                    queue: queue.clone(),
                    customer: customer.clone(),
                    caller: caller.clone(),
                    priority: *priority,
                    since: *since,
                    penalties: *penalties,
                    entered: *entered,
                    keep_until: *keep_until,
                    told_of_recording: *told_of_recording,
                    attempt: 0,
                    tries: 0,
                    again_at: None,
                    state: KeptState::Waiting,
                };
                self.kept.insert(*call, kept);
                let asker = &self.floor.callers()[call];
                let entered = self.millis(asker.entered.steady);
                self.asked.insert(*call, (asker.arrival.clone(), entered));
            }
            Fact::CallbackCalled { call, attempt, .. } => {
                let kept = self.kept.get_mut(call).unwrap();
                (kept.attempt, kept.state, kept.again_at) = (*attempt, KeptState::Called, None);
            }
            Fact::CallbackMissed { call, tries, again_at, .. } => {
                let kept = self.kept.get_mut(call).unwrap();
                (kept.tries, kept.again_at, kept.state) = (*tries, *again_at, KeptState::Waiting);
            }
            Fact::CallAnswered { call, extension, .. } => {
                if let Some(kept) = self.kept.get_mut(call) {
                    kept.state = KeptState::Talking(extension.clone());
                }
            }
            Fact::CallEnded { call, .. } => drop(self.kept.remove(call)),
            Fact::CallEntered { .. }
            | Fact::Recording { .. }
            | Fact::CallOffered { .. }
            | Fact::CallRinging { .. }
            | Fact::OfferEnded { .. }
            | Fact::CallDeclined { .. }
            | Fact::CallOverflowed { .. }
            | Fact::CallTransferred { .. }
            | Fact::TransferFailed { .. }
            | Fact::Renumbered { .. }
            | Fact::CallHeld { .. }
            | Fact::WrapUp { .. }
            | Fact::AutoPaused { .. } => {}
        }
    }

    /// What the ledger writes of calls that are not over.
    pub(super) fn write_call(&mut self, fact: &Fact) {
        match fact {
            Fact::CallEntered { call, server, customer, queue, .. } => {
                let (server, queue) = (server.clone(), queue.clone());
                let left = LeftOpen { call: *call, server, queue, customer: customer.id, talked_with: None };
                // Entered again in a later run: the row is there.
                self.open.entry(*call).or_insert(left);
            }
            Fact::CallAnswered { call, extension, .. } => {
                let member = Some(extension).filter(|extension| extension.number_outside().is_none());
                self.open.get_mut(call).unwrap().talked_with = member.cloned();
            }
            Fact::CallTransferred { call, .. } => self.open.get_mut(call).unwrap().talked_with = None,
            Fact::CallEnded { call, outcome, .. } => {
                if *outcome == CallOutcome::Lost {
                    assert!(!self.world.callers.contains_key(call), "lost and still there: {call}");
                }
                assert!(self.open.remove(call).is_some(), "ended twice in the record: {call}");
            }
            Fact::Recording { .. }
            | Fact::CallOffered { .. }
            | Fact::CallRinging { .. }
            | Fact::OfferEnded { .. }
            | Fact::CallDeclined { .. }
            | Fact::CallOverflowed { .. }
            | Fact::CallbackAsked { .. }
            | Fact::CallbackCalled { .. }
            | Fact::CallbackMissed { .. }
            | Fact::TransferFailed { .. }
            | Fact::Renumbered { .. }
            | Fact::CallHeld { .. }
            | Fact::WrapUp { .. }
            | Fact::AutoPaused { .. } => {}
        }
    }
}
