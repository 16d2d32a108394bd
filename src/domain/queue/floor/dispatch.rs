//! Who gets whom: matches the callers and the free members of the queues that were touched.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use crate::domain::{
    id::{CallId, Extension, QueueName},
    now::Now,
    queue::{
        caller::{Caller, Place, Stage},
        choice::{Choice, Considered, Figures, LISTED},
        effect::Effect,
        floor::{Floor, lines::Line},
        member::{Agent, Device, Work},
        policy::Strategy,
        roster::Queue,
        strategy::{Candidate, LastRung, choose},
    },
};

/// Whom a caller is offered to, and by which rule.
pub(super) struct Chosen {
    pub(super) rule: &'static str,
    pub(super) members: Vec<Extension>,
    pub(super) round: Option<LastRung>,
}

impl Floor {
    /// Sends away the callers in line whom nobody can serve, and gives each free member the first caller they may have.
    pub(super) fn dispatch(&mut self, now: Now, out: &mut Vec<Effect>) {
        // Before all others: their agent's phone has just become free.
        self.serve_the_transferred(now, out);
        while !self.touched.is_empty() {
            let mut touched = BTreeSet::new();
            // Who is sent away may go on to another queue, and is in line there before anybody is given a member.
            while !self.touched.is_empty() {
                let these = std::mem::take(&mut self.touched);
                for queue in &these {
                    self.send_away_the_hopeless(queue, now, out);
                }
                touched.extend(these);
            }
            self.match_up(&touched, now, out);
        }
    }

    /// Callers of all these queues in one order: of the heavier queue first, then by their places.
    fn match_up(&mut self, touched: &BTreeSet<QueueName>, now: Now, out: &mut Vec<Effect>) {
        let mut heads: BTreeMap<(Reverse<u32>, Place), QueueName> = BTreeMap::new();
        for queue in touched {
            if let Some(head) = self.next_in_line(queue, None) {
                heads.insert(head, queue.clone());
            }
        }
        while let Some(((_, place), queue)) = heads.pop_first() {
            if let Some(call) = self.lines.get(&queue).and_then(|line| line.waiting.get(&place)).copied() {
                self.serve(call, now, out);
            }
            if let Some(head) = self.next_in_line(&queue, Some(place)) {
                heads.insert(head, queue);
            }
        }
    }

    /// The next caller of a queue in which somebody is free.
    fn next_in_line(&self, queue: &QueueName, after: Option<Place>) -> Option<(Reverse<u32>, Place)> {
        let line = self.lines.get(queue).filter(|line| !line.free.is_empty())?;
        let weight = line.row.as_ref()?.policy.weight;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        line.waiting.range((from, Bound::Unbounded)).next().map(|(place, _)| (Reverse(weight), *place))
    }

    /// Offers a caller to whom they may be offered now.
    fn serve(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        if let Some((chosen, choices)) = self.choose(call, now) {
            self.offer_to_chosen(call, chosen, choices, now, out);
        }
    }

    pub(super) fn offer_to_chosen(
        &mut self,
        call: CallId,
        chosen: Chosen,
        choices: Vec<Choice>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.leave_line(call);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.stage = Stage::Offered;
        if let Some(line) = self.lines.get_mut(&caller.arrival.queue) {
            line.offered.insert(caller.place());
            line.last_rung = chosen.round.or(line.last_rung.take());
        }
        self.reschedule(call);
        for (extension, choice) in chosen.members.into_iter().zip(choices) {
            self.make_offer(call, extension, choice, now, out);
        }
    }

    fn choose(&mut self, call: CallId, now: Now) -> Option<(Chosen, Vec<Choice>)> {
        let mut dice = self.dice.clone();
        let caller = self.callers.get(&call)?;
        let is_kept = self.kept_for_claims(caller).is_some();
        if is_kept || !self.up.contains(&caller.arrival.server) || !caller.is_servable() {
            return None;
        }
        let line = self.lines.get(&caller.arrival.queue)?;
        let row = line.row.as_ref()?;
        let candidates: Vec<Candidate<'_>> = line
            .free
            .iter()
            .filter_map(|extension| {
                let agent = self.agents.get(extension).filter(|agent| self.may_have(caller, agent))?;
                candidate(agent, &row.name)
            })
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let sticky =
            self.partner(caller, row, now).filter(|partner| candidates.iter().any(|c| c.extension == *partner));
        let chosen = if let Some(partner) = sticky {
            Chosen { rule: "sticky", members: vec![partner.clone()], round: None }
        } else {
            let strategy = row.policy.strategy;
            let picked = choose(strategy, &candidates, line.last_rung.as_ref(), &mut dice);
            let picked: Vec<&Candidate<'_>> = picked.into_iter().filter_map(|place| candidates.get(place)).collect();
            let round = match strategy {
                Strategy::RrMemory | Strategy::RrOrdered => picked.last().map(|last| LastRung::from(*last)),
                Strategy::RingAll
                | Strategy::LeastRecent
                | Strategy::FewestCalls
                | Strategy::Random
                | Strategy::Linear
                | Strategy::WRandom => None,
            };
            let members = picked.iter().map(|candidate| candidate.extension.clone()).collect();
            Chosen { rule: strategy.as_str(), members, round }
        };
        let choices = self.explain(caller, line, row, &chosen);
        self.dice = dice;
        Some((chosen, choices))
    }

    /// Whether a free member can be given to this caller.
    fn may_have(&self, caller: &Caller, agent: &Agent) -> bool {
        !caller.skipped.contains(&agent.row.extension)
            && agent.seats.get(&caller.arrival.queue).is_some_and(|s| caller.arrival.penalties.contains(s.penalty))
            && self.is_idle(&caller.arrival.server, &agent.row.interface)
    }

    /// Whom the caller spoke with last, if the queue goes by that.
    fn partner(&self, caller: &Caller, row: &Queue, now: Now) -> Option<&Extension> {
        let (partner, ended) = self.partners.of(caller.arrival.customer.id)?;
        let ago = std::time::Duration::try_from(now.utc.duration_since(ended)).unwrap_or_default();
        (!row.policy.sticky.is_zero() && ago <= row.policy.sticky).then_some(partner)
    }

    /// For each of the chosen why it was them. What is said of the others is the same for all, and said with the first.
    pub(super) fn explain(&self, caller: &Caller, line: &Line, row: &Queue, chosen: &Chosen) -> Vec<Choice> {
        let everybody = line.members.iter().chain(&line.away);
        let listed: Vec<&Extension> = chosen
            .members
            .iter()
            .chain(everybody.filter(|extension| !chosen.members.contains(extension)))
            .take(LISTED)
            .collect();
        let mut candidates: Vec<Considered> = listed
            .iter()
            .map(|extension| {
                let agent = self.agents.get(*extension);
                Considered {
                    extension: (*extension).clone(),
                    verdict: if chosen.members.contains(extension) {
                        "chosen".into()
                    } else {
                        agent.map_or("not listed".into(), |agent| self.verdict(caller, agent))
                    },
                    figures: agent.and_then(|agent| figures(agent, &row.name)),
                }
            })
            .collect();
        candidates.sort_by(|a, b| a.extension.cmp(&b.extension));
        let more = (line.members.len() + line.away.len()).saturating_sub(candidates.len());
        let choice = |extension: &Extension, candidates| Choice {
            rule: chosen.rule.into(),
            chosen: extension.clone(),
            candidates,
            more,
        };
        let mut members = chosen.members.iter();
        let first = members.next().map(|extension| choice(extension, candidates));
        first.into_iter().chain(members.map(|extension| choice(extension, Vec::new()))).collect()
    }

    /// What keeps a member from this caller, or that it is not their turn.
    fn verdict(&self, caller: &Caller, agent: &Agent) -> std::borrow::Cow<'static, str> {
        let queue = &caller.arrival.queue;
        let Some(seat) = agent.seats.get(queue) else { return "not logged on".into() };
        match (agent.pause(queue), agent.work) {
            (Some((kind, "")), _) => return format!("paused ({})", kind.as_str()).into(),
            (Some((kind, reason)), _) => return format!("paused ({}): {reason}", kind.as_str()).into(),
            (None, Work::Busy { call, .. }) => return format!("busy with call {call}").into(),
            (None, Work::Clearing { call, .. }) => return format!("phone still clearing from call {call}").into(),
            (None, Work::Free) => {}
        }
        if agent.wrap_up.is_some() {
            return "in wrap-up".into();
        }
        if !self.is_idle(&caller.arrival.server, &agent.row.interface) {
            return match self.device(&agent.row.interface) {
                Device::Busy => "phone in use",
                Device::Idle => "phone not reachable from the caller's server",
                Device::Unavailable => "phone unavailable",
            }
            .into();
        }
        if caller.skipped.contains(&agent.row.extension) {
            return "missed or refused this call".into();
        }
        if !caller.arrival.penalties.contains(seat.penalty) {
            return "outside of the caller's penalties".into();
        }
        "not their turn".into()
    }
}

fn candidate<'a>(agent: &'a Agent, queue: &QueueName) -> Option<Candidate<'a>> {
    let seat = agent.seats.get(queue)?;
    Some(Candidate {
        extension: &agent.row.extension,
        penalty: seat.penalty,
        last_turn: agent.last_turn(),
        calls_taken: seat.calls_taken,
        place: seat.place,
        joined_at: seat.joined_at,
    })
}

fn figures(agent: &Agent, queue: &QueueName) -> Option<Figures> {
    let seat = agent.seats.get(queue)?;
    Some(Figures {
        penalty: seat.penalty,
        last_turn: agent.last_turn(),
        calls_taken: seat.calls_taken,
        place: seat.place,
        joined_at: seat.joined_at,
    })
}
