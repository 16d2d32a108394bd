//! What people are shown: looked up, and nothing changed by it.

use crate::domain::{
    id::{CallId, Extension, QueueName},
    now::Now,
    queue::{
        floor::Floor,
        member::{Device, Work},
        view::{CallView, QueueView, SHOWN, WaiterView, WorkView},
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
}
