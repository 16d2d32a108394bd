//! Who works on the floor: what the database says of agents, queues and memberships, and what keeps each from being offered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::domain::{
    fact::{Fact, OfferEnd},
    id::{CallId, Extension, Interface, OfferNo, QueueName},
    now::Now,
    queue::{
        caller::{OfferState, Penalties},
        effect::{Effect, Farewell, Notice},
        floor::{Floor, Leg, alarms::Alarm},
        member::{Agent, Device, Listed, Seat, Work},
        policy::Absence,
        roster::{self, Membership, PastTalk, PauseKind, Roster, RosterChange},
    },
};

impl Floor {
    /// Everything anew.
    pub(super) fn roster(&mut self, roster: &Arc<Roster>, now: Now, out: &mut Vec<Effect>) {
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
        for (key, row) in &change.memberships {
            if row.is_none() {
                self.membership_unlisted(key);
            }
        }
        let mut retimed = BTreeSet::new();
        for (name, row) in &change.queues {
            let timeout = self.queue(name).map(|row| row.queue_timeout);
            self.lines.entry(name.clone()).or_default().row.clone_from(row);
            self.touched.insert(name.clone());
            if timeout != row.as_ref().map(|row| row.queue_timeout) {
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
        let mut before: BTreeMap<QueueName, Option<Duration>> = BTreeMap::new();
        for (name, line) in &mut self.lines {
            before.insert(name.clone(), line.row.take().map(|row| row.queue_timeout));
            line.members.clear();
            line.away.clear();
            line.free.clear();
        }
        for row in rows {
            self.lines.entry(row.name.clone()).or_default().row = Some(row.clone());
        }
        self.touched.extend(self.lines.keys().cloned());
        before.retain(|name, timeout| self.queue(name).map(|row| row.queue_timeout) != *timeout);
        self.reschedule_callers_of(&before.keys().collect());
    }

    fn reschedule_callers_of(&mut self, queues: &BTreeSet<&QueueName>) {
        if queues.is_empty() {
            return;
        }
        let theirs = self.callers.values().filter(|caller| queues.contains(&caller.arrival.queue));
        let calls: Vec<CallId> = theirs.map(|caller| caller.arrival.call).collect();
        for call in calls {
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
            calls_taken: 0,
            unanswered: 0,
        });
        seat.penalty = row.penalty;
        seat.place = row.place;
        seat.joined_at = row.joined_at;
        seat.calls_taken = seat.calls_taken.max(row.calls_taken);
    }

    /// A pause of ours that the database has is the database's from now on; one that is older than a log-on is over.
    fn confirm_auto_pauses(&mut self, extension: &Extension) {
        let Some(agent) = self.agents.get_mut(extension) else { return };
        // Seats of memberships that are not listed any more.
        agent.seats.retain(|queue, _| self.lines.get(queue).is_some_and(|line| line.members.contains(extension)));
        let (seats, row) = (&agent.seats, &agent.row);
        agent.auto_pauses.retain(|(queue, since)| {
            let known = |p: &roster::Pause| p.kind == PauseKind::Auto && p.queue.as_ref().is_none_or(|of| of == queue);
            seats.get(queue).is_some_and(|seat| seat.joined_at <= *since) && !row.pauses.iter().any(known)
        });
    }

    fn withdraw_from_the_logged_off(&mut self, concerned: &[Extension], now: Now, out: &mut Vec<Effect>) {
        let mut withdrawn: Vec<(CallId, OfferNo)> = Vec::new();
        for extension in concerned {
            let Some(offers) = self.engaged.get(extension) else { continue };
            let seats = self.agents.get(extension).map(|agent| &agent.seats);
            withdrawn.extend(offers.iter().filter(|(call, _)| {
                let caller = self.callers.get(call).filter(|caller| caller.is_unanswered());
                caller.is_some_and(|caller| seats.is_none_or(|seats| !seats.contains_key(&caller.arrival.queue)))
            }));
        }
        withdrawn.sort_unstable();
        for (call, offer) in withdrawn {
            self.end_offer(call, offer, OfferEnd::LoggedOff, Leg::ToBeDropped(Farewell::None), now, out);
        }
    }

    // ---- what a member does ----------------------------------------------------------------------------------------

    /// Gives an agent something to do, or nothing. One who is in a second talk is busy with that instead.
    pub(super) fn set_work(&mut self, extension: &Extension, work: Work) {
        let Some(agent) = self.agents.get_mut(extension) else { return };
        match agent.work {
            Work::Clearing { call, offer, .. } => {
                self.clearing.remove(&(call, offer));
                self.alarms.set(Alarm::Clearing(extension.clone()), None);
            }
            Work::Free | Work::Busy { .. } => {}
        }
        // After a restart a second talk of the same person may have been found.
        let other = self.engaged.get(extension).and_then(|out| out.first());
        agent.work = match (work, other) {
            (Work::Free | Work::Clearing { .. }, Some((call, offer))) => Work::Busy { call: *call, offer: *offer },
            (work, _) => work,
        };
        match agent.work {
            Work::Clearing { call, offer, until } => {
                self.clearing.insert((call, offer), extension.clone());
                self.alarms.set(Alarm::Clearing(extension.clone()), Some(until));
            }
            Work::Free | Work::Busy { .. } => {}
        }
        self.look_after(extension);
        self.forget_if_unlisted(extension);
    }

    /// Notes in which queues a member is free now. To be called whenever anything changes that this depends on.
    pub(super) fn look_after(&mut self, extension: &Extension) {
        let Some(agent) = self.agents.get(extension) else { return };
        let interface = &agent.row.interface;
        let is_ready = agent.work == Work::Free
            && agent.wrap_up.is_none()
            && self.up.iter().any(|server| self.is_idle(server, interface));
        for queue in agent.seats.keys() {
            let Some(line) = self.lines.get_mut(queue) else { continue };
            if is_ready && agent.pause(queue).is_none() {
                line.free.insert(extension.clone());
            } else {
                line.free.remove(extension);
            }
            self.touched.insert(queue.clone());
        }
    }

    pub(super) fn look_after_all(&mut self) {
        let agents: Vec<Extension> = self.agents.keys().cloned().collect();
        for extension in agents {
            self.look_after(&extension);
        }
    }

    /// Forgets an agent who is in the database no more, as soon as they have nothing to do.
    fn forget_if_unlisted(&mut self, extension: &Extension) {
        let gone = |agent: &Agent| agent.listed == Listed::No && agent.work == Work::Free;
        if self.agents.get(extension).is_some_and(gone) {
            self.agents.remove(extension);
            self.alarms.set(Alarm::WrapUp(extension.clone()), None);
        }
    }

    /// Whether this keeps a member from counting as there.
    pub(super) fn is_absent(
        &self,
        extension: &Extension,
        queue: &QueueName,
        absence: Absence,
        penalties: Penalties,
    ) -> bool {
        let Some(agent) = self.agents.get(extension) else { return true };
        let device = || self.device(&agent.row.interface);
        match absence {
            Absence::Paused => agent.pause(queue).is_some(),
            Absence::Penalty => agent.seats.get(queue).is_none_or(|seat| !penalties.contains(seat.penalty)),
            Absence::WrapUp => agent.wrap_up.is_some(),
            Absence::Unavailable => device() == Device::Unavailable,
            Absence::Ringing => matches!(agent.work, Work::Clearing { .. }) || self.is_rung(agent) == Some(true),
            Absence::InUse => match agent.work {
                Work::Free => device() == Device::Busy,
                Work::Busy { .. } => self.is_rung(agent) == Some(false),
                Work::Clearing { .. } => false,
            },
        }
    }

    /// Of one who is busy with a call of ours: whether it is not answered yet.
    fn is_rung(&self, agent: &Agent) -> Option<bool> {
        let Work::Busy { call, offer } = agent.work else { return None };
        let offer = self.callers.get(&call)?.offers.get(&offer)?;
        Some(match offer.state {
            OfferState::Popping { .. } | OfferState::Ringing { .. } => true,
            OfferState::Answered => false,
        })
    }

    // ---- after a talk, and after none ------------------------------------------------------------------------------

    /// Talks of the last time before the start. What was heard since counts for more.
    pub(super) fn past_talks(&mut self, talks: &[PastTalk]) {
        for talk in talks {
            self.partners.recall(talk);
        }
    }

    /// A member's talk in a queue has ended.
    pub(super) fn talk_ended(&mut self, call: CallId, extension: &Extension, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        let queue = caller.arrival.queue.clone();
        self.partners.spoke(caller.arrival.customer.id, extension, now.utc);
        let wrap_up = self.queue(&queue).map_or(Duration::ZERO, |row| row.policy.wrap_up);
        let Some(agent) = self.agents.get_mut(extension) else { return };
        agent.last_call = agent.last_call.max(Some(now.utc));
        if let Some(seat) = agent.seats.get_mut(&queue) {
            seat.calls_taken += 1;
        }
        if wrap_up.is_zero() {
            return;
        }
        let until: Instant = now.steady + wrap_up;
        agent.wrap_up = agent.wrap_up.max(Some(until));
        self.alarms.set(Alarm::WrapUp(extension.clone()), agent.wrap_up);
        let until: Timestamp = now.plus(wrap_up).utc;
        out.push(Effect::Record(Fact::WrapUp { call, extension: extension.clone(), queue, until }));
    }

    /// A member has answered.
    pub(super) fn has_answered(&mut self, extension: &Extension) {
        if let Some(agent) = self.agents.get_mut(extension) {
            agent.seats.values_mut().for_each(|seat| seat.unanswered = 0);
        }
    }

    /// A member has let an offer go by: too many in a row, and they are paused in that queue until they come back by themselves.
    pub(super) fn has_not_answered(&mut self, call: CallId, extension: &Extension, now: Now, out: &mut Vec<Effect>) {
        let Some(queue) = self.callers.get(&call).map(|caller| caller.arrival.queue.clone()) else { return };
        let most = self.queue(&queue).and_then(|row| row.policy.auto_pause_after);
        let Some(agent) = self.agents.get_mut(extension) else { return };
        let Some(seat) = agent.seats.get_mut(&queue) else { return };
        seat.unanswered = seat.unanswered.saturating_add(1);
        let unanswered = seat.unanswered;
        if most.is_none_or(|most| unanswered < most) || agent.pause(&queue).is_some() {
            return;
        }
        if let Some(seat) = agent.seats.get_mut(&queue) {
            seat.unanswered = 0;
        }
        agent.auto_pauses.insert((queue.clone(), now.utc));
        let extension = extension.clone();
        let notice = Notice::AutoPaused { queue: queue.clone(), unanswered };
        out.push(Effect::Record(Fact::AutoPaused { call, extension: extension.clone(), queue, unanswered }));
        out.push(Effect::TellMember { extension, notice });
    }
}
