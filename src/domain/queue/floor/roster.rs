//! What the database says of agents, queues and memberships, taken in whole or by what has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::domain::{
    fact::OfferEnd,
    id::{CallId, Extension, Interface, OfferNo, QueueName},
    now::Now,
    queue::{
        effect::{Effect, Farewell},
        floor::{Floor, Leg, alarms::Alarm},
        member::{Agent, Listed, Seat, Work},
        roster::{self, Membership, PauseKind, Roster, RosterChange},
        waiting::Announcements,
    },
};

/// What of a queue the moments of its callers hang on.
fn moments(row: &roster::Queue) -> (Duration, Duration, Announcements) {
    (row.queue_timeout, row.policy.claim, row.announcements.clone())
}

impl Floor {
    /// Everything anew.
    pub(super) fn roster(&mut self, roster: &Arc<Roster>, now: Now, out: &mut Vec<Effect>) {
        let numbers: BTreeSet<&Extension> = roster.agents.iter().map(|row| &row.extension).collect();
        self.renamed(roster.agents.iter(), |number| !numbers.contains(number), now, out);
        self.queues_listed(&roster.queues);
        self.agents_listed(&roster.agents);
        for membership in &roster.memberships {
            self.membership_listed(membership, now);
        }
        let engaged = self.engaged.keys().filter(|extension| !self.agents.contains_key(*extension));
        let concerned: Vec<Extension> = self.agents.keys().chain(engaged).cloned().collect();
        self.settle(&concerned, now, out);
        self.lines.retain(|_, line| !line.is_forgotten());
    }

    /// What differs, and no more: whoever is not named stays as they are. Only a queue that comes, goes or gets another
    /// timeout costs a look at all callers, since each of its own is given another end.
    pub(super) fn roster_changed(&mut self, change: &RosterChange, now: Now, out: &mut Vec<Effect>) {
        let is_gone = |number: &Extension| change.agents.get(number).is_some_and(Option::is_none);
        self.renamed(change.agents.values().flatten(), is_gone, now, out);
        for (key, row) in &change.memberships {
            if row.is_none() {
                self.membership_unlisted(key);
            }
        }
        let mut retimed = BTreeSet::new();
        for (name, row) in &change.queues {
            let before = self.queue(name).map(moments);
            self.lines.entry(name.clone()).or_default().row.clone_from(row);
            self.touched.insert(name.clone());
            if before != row.as_ref().map(moments) {
                retimed.insert(name);
            }
        }
        self.reschedule_callers_of(&retimed);
        for (extension, row) in &change.agents {
            match row {
                Some(row) => self.agent_listed(row),
                None => self.agent_unlisted(extension),
            }
        }
        for row in change.memberships.values().flatten() {
            self.membership_listed(row, now);
        }
        self.touched.extend(change.memberships.keys().map(|(queue, _)| queue.clone()));
        let concerned: Vec<Extension> = change.concerned().into_iter().cloned().collect();
        self.settle(&concerned, now, out);
        for name in change.queues.keys() {
            self.forget_line(name);
        }
    }

    /// Draws the conclusions from new rows of these people.
    fn settle(&mut self, concerned: &[Extension], now: Now, out: &mut Vec<Effect>) {
        for extension in concerned {
            self.confirm_auto_pauses(extension);
        }
        self.withdraw_from_the_logged_off(concerned, now, out);
        for extension in concerned {
            self.look_after(extension);
        }
        for extension in concerned {
            self.forget_if_unlisted(extension);
        }
    }

    fn queues_listed(&mut self, rows: &[roster::Queue]) {
        let mut before: BTreeMap<QueueName, Option<(Duration, Duration, Announcements)>> = BTreeMap::new();
        for (name, line) in &mut self.lines {
            before.insert(name.clone(), line.row.take().as_ref().map(moments));
            line.members.clear();
            line.away.clear();
            line.free.clear();
        }
        for row in rows {
            self.lines.entry(row.name.clone()).or_default().row = Some(row.clone());
        }
        self.touched.extend(self.lines.keys().cloned());
        before.retain(|name, before| self.queue(name).map(moments) != *before);
        self.reschedule_callers_of(&before.keys().collect());
    }

    fn reschedule_callers_of(&mut self, queues: &BTreeSet<&QueueName>) {
        if queues.is_empty() {
            return;
        }
        let theirs = self.callers.values().filter(|caller| queues.contains(&caller.arrival.queue));
        let calls: Vec<CallId> = theirs.map(|caller| caller.arrival.call).collect();
        for call in calls {
            // Another time than the one that was over, perhaps.
            if let Some(caller) = self.callers.get_mut(&call) {
                caller.claims_are_over = false;
            }
            self.reschedule(call);
        }
    }

    fn agents_listed(&mut self, rows: &[roster::Agent]) {
        for agent in self.agents.values_mut() {
            agent.listed = Listed::No;
        }
        self.owners.clear();
        for row in rows {
            self.agent_listed(row);
        }
        for agent in self.agents.values_mut().filter(|agent| agent.listed == Listed::No) {
            agent.seats.clear();
        }
    }

    fn agent_listed(&mut self, row: &roster::Agent) {
        let before = self.agents.get(&row.extension).map(|agent| agent.row.interface.clone());
        if let Some(before) = before.filter(|before| *before != row.interface) {
            self.disown(&before, &row.extension);
        }
        self.owners.entry(row.interface.clone()).or_default().insert(row.extension.clone());
        if let Some(agent) = self.agents.get_mut(&row.extension) {
            agent.row = row.clone();
            agent.listed = Listed::Yes;
            return;
        }
        // They may be in a talk that was found while they were not listed.
        let talk = self.engaged.get(&row.extension).and_then(|out| out.first());
        let agent = Agent {
            row: row.clone(),
            seats: BTreeMap::new(),
            auto_pauses: Default::default(),
            wrap_up: None,
            last_call: None,
            last_refusal: None,
            work: talk.map_or(Work::Free, |(call, offer)| Work::Busy { call: *call, offer: *offer }),
            listed: Listed::Yes,
        };
        self.agents.insert(row.extension.clone(), agent);
    }

    /// Their memberships are gone as well.
    fn agent_unlisted(&mut self, extension: &Extension) {
        let Some(agent) = self.agents.get_mut(extension) else { return };
        agent.listed = Listed::No;
        agent.seats.clear();
        let interface = agent.row.interface.clone();
        self.disown(&interface, extension);
    }

    fn disown(&mut self, interface: &Interface, extension: &Extension) {
        if let Some(owners) = self.owners.get_mut(interface) {
            owners.remove(extension);
            if owners.is_empty() {
                self.owners.remove(interface);
            }
        }
    }

    fn membership_unlisted(&mut self, (queue, extension): &(QueueName, Extension)) {
        if let Some(line) = self.lines.get_mut(queue) {
            line.members.remove(extension);
            line.away.remove(extension);
            line.free.remove(extension);
        }
        if let Some(agent) = self.agents.get_mut(extension) {
            agent.seats.remove(queue);
        }
    }

    fn membership_listed(&mut self, row: &Membership, now: Now) {
        let Some(line) = self.lines.get_mut(&row.queue).filter(|line| line.row.is_some()) else { return };
        let Some(agent) = self.agents.get_mut(&row.extension).filter(|agent| agent.listed == Listed::Yes) else {
            return;
        };
        agent.last_call = agent.last_call.max(row.last_call_at);
        // From before a restart, or of another run of the service; ours is not cut short by it.
        if let Some(left) = row.wrap_up_until.and_then(|until| Duration::try_from(until.duration_since(now.utc)).ok())
            && !left.is_zero()
        {
            agent.wrap_up = agent.wrap_up.max(Some(now.steady + left));
            self.alarms.set(Alarm::WrapUp(row.extension.clone()), agent.wrap_up);
        }
        if !row.logged_on {
            agent.seats.remove(&row.queue);
            line.members.remove(&row.extension);
            line.free.remove(&row.extension);
            line.away.insert(row.extension.clone());
            return;
        }
        line.away.remove(&row.extension);
        line.members.insert(row.extension.clone());
        let seat = agent.seats.entry(row.queue.clone()).or_insert_with(|| Seat {
            penalty: 0,
            place: 0,
            joined_at: row.joined_at,
            back_at: row.joined_at,
            calls_taken: 0,
            unanswered: 0,
        });
        seat.penalty = row.penalty;
        seat.place = row.place;
        seat.joined_at = row.joined_at;
        seat.back_at = row.back_at.map_or(row.joined_at, |back| back.max(row.joined_at));
        seat.calls_taken = seat.calls_taken.max(row.calls_taken);
    }

    /// A pause of ours that the database has is the database's from now on; one that is older than a log-on or the end of pauses is over.
    fn confirm_auto_pauses(&mut self, extension: &Extension) {
        let Some(agent) = self.agents.get_mut(extension) else { return };
        // Seats of memberships that are not listed any more.
        agent.seats.retain(|queue, _| self.lines.get(queue).is_some_and(|line| line.members.contains(extension)));
        let (seats, row) = (&agent.seats, &agent.row);
        agent.auto_pauses.retain(|(queue, since)| {
            let known = |p: &roster::Pause| p.kind == PauseKind::Auto && p.queue.as_ref().is_none_or(|of| of == queue);
            seats.get(queue).is_some_and(|seat| seat.back_at <= *since) && !row.pauses.iter().any(known)
        });
    }

    fn withdraw_from_the_logged_off(&mut self, concerned: &[Extension], now: Now, out: &mut Vec<Effect>) {
        let mut withdrawn: Vec<(CallId, OfferNo)> = Vec::new();
        for extension in concerned {
            let Some(offers) = self.engaged.get(extension) else { continue };
            let seats = self.agents.get(extension).map(|agent| &agent.seats);
            withdrawn.extend(offers.iter().filter(|(call, _)| {
                let caller = self.callers.get(call).filter(|c| c.is_unanswered() && c.transfer.is_none());
                caller.is_some_and(|caller| seats.is_none_or(|seats| !seats.contains_key(&caller.arrival.queue)))
            }));
        }
        withdrawn.sort_unstable();
        for (call, offer) in withdrawn {
            self.end_offer(call, offer, OfferEnd::LoggedOff, Leg::ToBeDropped(Farewell::None), now, out);
        }
    }
}
