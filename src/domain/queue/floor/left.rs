//! Calls that an earlier run has left without an end. Each Asterisk is asked first: who is found there goes on, and the others
//! are gone, nobody knows since when.

use std::collections::BTreeSet;

use crate::domain::{
    fact::{CallOutcome, Fact},
    id::{CallId, ServerId},
    now::Now,
    queue::{caller::Caller, effect::Effect, floor::Floor, left::LeftOpen},
};

impl Floor {
    /// Takes up what is to be ended if it is not found; `servers`: all that are going to be asked.
    pub(super) fn left_open(&mut self, calls: Vec<LeftOpen>, servers: BTreeSet<ServerId>) {
        let unknown = calls.into_iter().filter(|left| !self.callers.contains_key(&left.call));
        self.left = unknown.map(|left| (left.call, left)).collect();
        self.call_back_by_another(&servers);
        self.unasked = servers;
    }

    /// Callbacks that were asked for on a server that there is no more go by another; all others wait for their own, where a leg
    /// of theirs may still be.
    fn call_back_by_another(&mut self, servers: &BTreeSet<ServerId>) {
        let Some(other) = servers.first() else { return };
        let homeless = |caller: &&mut Caller| caller.callback.is_some() && !servers.contains(&caller.arrival.server);
        for caller in self.callers.values_mut().filter(homeless) {
            caller.arrival.server = other.clone();
        }
    }

    /// A call of an earlier run goes on, or its end is told.
    pub(super) fn is_found(&mut self, call: CallId) {
        self.left.remove(&call);
    }

    /// An Asterisk has told all that it has. What was left there and was not found is over; what was left on a server that is
    /// asked no more, when all others have answered: one may have got another name.
    pub(super) fn end_the_lost(&mut self, server: &ServerId, now: Now, out: &mut Vec<Effect>) {
        self.unasked.remove(server);
        if self.left.is_empty() {
            return;
        }
        let all = self.unasked.is_empty();
        let lost: Vec<CallId> =
            self.left.values().filter(|left| all || left.server == *server).map(|left| left.call).collect();
        for call in lost {
            let Some(LeftOpen { customer, talked_with, queue, .. }) = self.left.remove(&call) else { continue };
            if let Some(extension) = &talked_with {
                self.has_talked((call, customer), extension, queue, now, out);
            }
            out.push(Effect::Record(Fact::CallEnded { call, extension: talked_with, outcome: CallOutcome::Lost }));
        }
    }
}
