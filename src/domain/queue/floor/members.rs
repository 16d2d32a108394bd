//! Who works on the floor: what the database says of agents, queues and memberships, and what becomes of those it drops.

use std::{collections::BTreeSet, sync::Arc};

use crate::domain::{
    fact::OfferEnd,
    id::{CallId, Extension, OfferNo, QueueName},
    now::Now,
    queue::{
        caller::Stage,
        effect::Effect,
        floor::{Floor, Leg},
        member::{Agent, Listed, Work},
        roster::Roster,
    },
};

impl Floor {
    /// Members logged on to a queue, by extension.
    pub(super) fn logged_on<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a Extension> {
        self.agents.iter().filter(move |(_, agent)| agent.logged_on.contains(queue)).map(|(extension, _)| extension)
    }

    /// A call that has an offer out to this person.
    pub(super) fn engagement(&self, extension: &Extension) -> Option<(CallId, OfferNo)> {
        self.callers.values().find_map(|caller| {
            let offer = caller.offer.as_ref().filter(|offer| offer.extension == *extension)?;
            Some((caller.arrival.call, offer.number))
        })
    }

    pub(super) fn roster(&mut self, roster: &Arc<Roster>, now: Now, out: &mut Vec<Effect>) {
        self.queues = roster.queues.iter().map(|queue| (queue.name.clone(), queue.clone())).collect();
        for agent in self.agents.values_mut() {
            agent.listed = Listed::No;
            agent.logged_on.clear();
        }
        for row in &roster.agents {
            if let Some(agent) = self.agents.get_mut(&row.extension) {
                agent.row = row.clone();
                agent.listed = Listed::Yes;
                continue;
            }
            // They may be in a talk that was found while they were not listed.
            let work = self.engagement(&row.extension).map_or(Work::Free, |(call, offer)| Work::Busy { call, offer });
            let agent = Agent {
                row: row.clone(),
                logged_on: BTreeSet::new(),
                last_call: None,
                last_refusal: None,
                work,
                listed: Listed::Yes,
            };
            self.agents.insert(row.extension.clone(), agent);
        }
        for membership in &roster.memberships {
            let Some(agent) = self.agents.get_mut(&membership.extension) else { continue };
            agent.last_call = agent.last_call.max(membership.last_call_at);
            if membership.logged_on && self.queues.contains_key(&membership.queue) {
                agent.logged_on.insert(membership.queue.clone());
            }
        }
        self.withdraw_from_the_logged_off(now, out);
        self.forget_unlisted();
    }

    fn withdraw_from_the_logged_off(&mut self, now: Now, out: &mut Vec<Effect>) {
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
    }

    /// Forgets agents who are in the database no more, as soon as they have nothing to do.
    pub(super) fn forget_unlisted(&mut self) {
        self.agents.retain(|_, agent| agent.listed == Listed::Yes || agent.work != Work::Free);
    }
}
