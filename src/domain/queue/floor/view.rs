//! What people are shown: looked up, and nothing changed by it.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    id::{CallId, Extension, QueueName},
    now::Now,
    queue::{
        floor::{Floor, lines::Line},
        member::{Agent, Device, Work},
        summary::Summary,
        view::{CallView, LineView, MemberView, QueueView, SHOWN, SHOWN_MEMBERS, WaiterView, WorkView},
    },
};

impl Floor {
    /// A queue at this moment; `None`: there is none of that name.
    pub fn view_queue(&self, name: &QueueName, now: Now) -> Option<QueueView> {
        let line = self.lines.get(name)?;
        line.row.as_ref()?;
        let mut calls: Vec<_> = self
            .callers
            .values()
            .filter(|caller| {
                let place = caller.place();
                caller.arrival.queue == *name && (line.waiting.contains_key(&place) || line.offered.contains(&place))
            })
            .collect();
        calls.sort_by_key(|caller| caller.place());
        let waiting: Vec<WaiterView> = calls
            .iter()
            .take(SHOWN)
            .map(|caller| WaiterView {
                call: caller.arrival.call,
                code: caller.arrival.customer.code.to_string(),
                name: caller.arrival.customer.name.clone(),
                waited: now.steady.saturating_duration_since(caller.since),
            })
            .collect();
        let more = calls.len() - waiting.len();
        Some(QueueView { queue: name.clone(), waiting, more, members: line.members.len(), ready: line.free.len() })
    }

    /// What an agent does at this moment; `None`: there is none of that number.
    pub fn view_work(&self, extension: &Extension, now: Now) -> Option<WorkView> {
        let agent = self.agents.get(extension)?;
        let call = |call: CallId| {
            let arrival = &self.callers.get(&call)?.arrival;
            let customer = &arrival.customer;
            let (code, name) = (customer.code.to_string(), customer.name.clone());
            Some(CallView { call, queue: arrival.queue.clone(), code, name })
        };
        if let Work::Busy { call: id, .. } = agent.work
            && let Some(view) = call(id)
        {
            let is_rung = self.is_rung(agent) == Some(true);
            return Some(if is_rung { WorkView::Offered(view) } else { WorkView::Talking(view) });
        }
        if let Some(until) = agent.wrap_up {
            return Some(WorkView::WrapUp(until.saturating_duration_since(now.steady)));
        }
        Some(match self.device(&agent.row.interface) {
            Device::Idle => WorkView::Free,
            Device::Busy => WorkView::PhoneInUse,
            Device::Unavailable => WorkView::PhoneUnavailable,
        })
    }

    /// All queues at this moment, by name. Costs one look at each caller and at each logged-on member of a queue that is not too large.
    pub fn view_lines(&self, now: Now) -> Vec<LineView> {
        let mut longest: BTreeMap<&QueueName, Duration> = BTreeMap::new();
        for caller in self.callers.values() {
            let (queue, place) = (&caller.arrival.queue, caller.place());
            let waits = |line: &Line| line.waiting.contains_key(&place) || line.offered.contains(&place);
            if self.lines.get(queue).is_some_and(waits) {
                let waited = now.steady.saturating_duration_since(caller.since);
                let longest = longest.entry(queue).or_default();
                *longest = waited.max(*longest);
            }
        }
        let there = self.lines.iter().filter(|(_, line)| line.row.is_some());
        there
            .map(|(queue, line)| {
                let (ready, members) = (line.free.len(), line.members.len());
                let longest = longest.get(queue).copied().unwrap_or_default();
                let summary = Summary { waiting: line.length(), longest, ready, members };
                let shown = if members <= SHOWN_MEMBERS { self.view_members(queue, line, now) } else { vec![] };
                LineView { queue: queue.clone(), summary, members: shown }
            })
            .collect()
    }

    fn view_members(&self, queue: &QueueName, line: &Line, now: Now) -> Vec<(Extension, MemberView)> {
        let view = |agent: &Agent| {
            if line.free.contains(&agent.row.extension) {
                return MemberView::Ready;
            }
            match (self.is_rung(agent), agent.pause(queue), agent.wrap_up) {
                (Some(true), _, _) => MemberView::Rung,
                (Some(false), _, _) => MemberView::Talking,
                (None, Some((_, reason)), _) => MemberView::Paused { reason: reason.to_owned() },
                (None, None, Some(until)) => MemberView::WrapUp(until.saturating_duration_since(now.steady)),
                (None, None, None) => match self.device(&agent.row.interface) {
                    // Idle, and not free: the leg of the last call is being taken down, or the phone is in its old call still.
                    Device::Idle | Device::Busy => MemberView::PhoneInUse,
                    Device::Unavailable => MemberView::PhoneUnavailable,
                },
            }
        };
        let agents = line.members.iter().filter_map(|extension| Some((extension, self.agents.get(extension)?)));
        agents.map(|(extension, agent)| (extension.clone(), view(agent))).collect()
    }
}
