//! Who works on the floor: what each does, and what keeps them from being offered.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::domain::{
    fact::Fact,
    id::{CallId, Extension, QueueName},
    now::Now,
    queue::{
        caller::{OfferState, Penalties},
        effect::{Effect, Notice},
        floor::{Floor, alarms::Alarm},
        member::{Agent, Device, Listed, Work},
        policy::Absence,
        roster::PastTalk,
    },
};

impl Floor {
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

    /// Forgets an agent who is in the database no more, as soon as they have nothing to do. One who is listed again in their wrap-up
    /// still has it.
    pub(super) fn forget_if_unlisted(&mut self, extension: &Extension) {
        let gone = |agent: &Agent| agent.listed == Listed::No && agent.work == Work::Free && agent.wrap_up.is_none();
        if self.agents.get(extension).is_some_and(gone) {
            self.agents.remove(extension);
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
    pub(super) fn is_rung(&self, agent: &Agent) -> Option<bool> {
        let Work::Busy { call, offer } = agent.work else { return None };
        let caller = self.callers.get(&call)?;
        if let Some(consulted) = caller.consulted().filter(|consulted| consulted.number == offer) {
            return Some(consulted.is_rung());
        }
        let offer = caller.offers.get(&offer)?;
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
        let (queue, customer) = (caller.arrival.queue.clone(), caller.arrival.customer.id);
        self.has_talked((call, customer), extension, queue, now, out);
    }

    /// The same of a talk that nobody saw end: it counts as if it ended now.
    pub(super) fn has_talked(
        &mut self,
        (call, customer): (CallId, i64),
        extension: &Extension,
        queue: QueueName,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if extension.number_outside().is_some() {
            return;
        }
        self.partners.spoke(customer, extension, now.utc);
        let wrap_up = self.queue(&queue).map_or(Duration::ZERO, |row| row.policy.wrap_up);
        let Some(agent) = self.agents.get_mut(extension) else { return };
        agent.last_call = agent.last_call.max(Some(now.utc));
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

    /// A member has been joined with a caller: who is the first has taken one more of the queue's calls. The database counts at the
    /// same moment, so that a row that is read during the talk has it or has it not, and never twice.
    pub(super) fn has_taken(&mut self, call: CallId, extension: &Extension) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let is_first = !std::mem::replace(&mut caller.is_answered, true);
        let seat = self.agents.get_mut(extension).and_then(|agent| agent.seats.get_mut(&caller.arrival.queue));
        if let Some(seat) = seat.filter(|_| is_first) {
            seat.calls_taken += 1;
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
