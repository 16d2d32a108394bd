//! Calls that members take, or leave to others, by their own word.
//!
//! A queue may keep its callers for such claims at first: for a time they are given to whoever says so, and to nobody else. Then its
//! strategy has them. Two who want the same caller are two events, one after the other: the first has them.

use std::time::Instant;

use crate::domain::{
    fact::{Fact, OfferEnd},
    id::{CallId, Extension},
    now::Now,
    queue::{
        callback::{Kept, KeptState, is_callable},
        caller::{Arrival, Caller, OfferState, Stage},
        choice::Choice,
        claim::{Claim, NoCallBack, NoClaim, NoDecline, NoTransfer, Which},
        effect::{Effect, Farewell},
        floor::{Doors, Floor, Leg, callers::has_entered, dispatch::Chosen},
        member::{Agent, Device, Work},
        transfer::{TransferFailure, TransferMeans, TransferTarget},
    },
};

impl Floor {
    /// Until when this caller is given to nobody who does not ask for them.
    pub(super) fn kept_for_claims(&self, caller: &Caller) -> Option<Instant> {
        let claim = self.queue(&caller.arrival.queue)?.policy.claim;
        let is_kept = !claim.is_zero() && !caller.claims_are_over && !caller.is_answered && caller.callback.is_none();
        is_kept.then(|| caller.since + claim)
    }

    pub(super) fn claims_are_over(&mut self, call: CallId) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.claims_are_over = true;
        self.touched.insert(caller.arrival.queue.clone());
    }

    /// Whom a member would get who asks for a caller now: nothing is changed.
    ///
    /// # Errors
    /// Why nobody.
    pub fn claimable(&self, extension: &Extension, which: &Which) -> Result<Claim, NoClaim> {
        let agent = self.agents.get(extension).filter(|agent| !agent.seats.is_empty()).ok_or(NoClaim::NotLoggedOn)?;
        let mut meant: Vec<&Caller> = self
            .callers
            .values()
            .filter(|caller| caller.is_unanswered() && self.is_meant(caller, agent, which))
            .collect();
        meant.sort_by_key(|caller| (caller.stage != Stage::Waiting, caller.place()));
        let Some(first) = meant.first() else { return Err(self.why_nobody(agent, which)) };
        if first.stage != Stage::Waiting {
            let offer = first.offers.values().next().ok_or(NoClaim::NobodyWaits)?;
            return Err(match offer.extension == *extension {
                true => NoClaim::Yours,
                false => NoClaim::Taken { by: offer.extension.clone() },
            });
        }
        self.is_ready_for(&first.arrival, agent)?;
        // Of those who wait, the first who may be given to them.
        let free =
            meant.iter().filter(|caller| caller.stage == Stage::Waiting).find(|caller| self.may_claim(caller, agent));
        let caller = free.ok_or(NoClaim::NotForYou)?;
        let customer = &caller.arrival.customer;
        Ok(Claim { call: caller.arrival.call, code: customer.code.clone(), name: customer.name.clone() })
    }

    fn is_meant(&self, caller: &Caller, agent: &Agent, which: &Which) -> bool {
        let is_theirs = agent.seats.contains_key(&caller.arrival.queue) && caller.transfer.is_none();
        is_theirs
            && match which {
                Which::First => true,
                Which::Customer(code) => caller.arrival.customer.code == *code,
            }
    }

    /// Whether somebody else talks with the caller whom they mean.
    fn why_nobody(&self, agent: &Agent, which: &Which) -> NoClaim {
        let Which::Customer(_) = which else { return NoClaim::NobodyWaits };
        let mut talks = self.callers.values().filter(|caller| self.is_meant(caller, agent, which));
        match talks.find_map(Caller::taken) {
            Some(offer) if offer.extension == agent.row.extension => NoClaim::Yours,
            Some(offer) => NoClaim::Taken { by: offer.extension.clone() },
            None => NoClaim::NobodyWaits,
        }
    }

    /// What keeps a member from any call of this caller's queue.
    fn is_ready_for(&self, arrival: &Arrival, agent: &Agent) -> Result<(), NoClaim> {
        if !matches!(agent.work, Work::Free) {
            return Err(NoClaim::Busy);
        }
        if agent.pause(&arrival.queue).is_some() {
            return Err(NoClaim::Paused);
        }
        if agent.wrap_up.is_some() {
            return Err(NoClaim::WrapUp);
        }
        if !self.is_idle(&arrival.server, &agent.row.interface) {
            return Err(match self.device(&agent.row.interface) {
                Device::Busy => NoClaim::PhoneInUse,
                Device::Idle | Device::Unavailable => NoClaim::PhoneUnavailable,
            });
        }
        Ok(())
    }

    /// Whether a member may have this caller who waits; also one whom they have missed or declined.
    fn may_claim(&self, caller: &Caller, agent: &Agent) -> bool {
        let seat = agent.seats.get(&caller.arrival.queue);
        caller.is_servable()
            && self.up.contains(&caller.arrival.server)
            && seat.is_some_and(|seat| caller.arrival.penalties.contains(seat.penalty))
            && self.is_ready_for(&caller.arrival, agent).is_ok()
    }

    /// A member takes a caller who waits.
    pub(super) fn claimed(&mut self, call: CallId, extension: &Extension, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call).filter(|caller| caller.stage == Stage::Waiting) else { return };
        let Some(agent) = self.agents.get(extension).filter(|agent| self.may_claim(caller, agent)) else { return };
        let Some(line) = self.lines.get(&caller.arrival.queue) else { return };
        let Some(row) = line.row.as_ref() else { return };
        let chosen = Chosen { rule: "claimed", members: vec![agent.row.extension.clone()], round: None };
        let choices: Vec<Choice> = self.explain(caller, line, row, &chosen);
        self.offer_to_chosen(call, chosen, choices, now, out);
    }

    /// Whom a member would call back now: nothing is changed. If they wait to be called back anyway, it is that call that is meant.
    ///
    /// # Errors
    /// Why nobody.
    pub fn callable_back(&self, extension: &Extension, arrival: &Arrival) -> Result<CallId, NoCallBack> {
        if !is_callable(&arrival.caller.number) {
            return Err(NoCallBack::NoNumber);
        }
        let not_now = |why: NoClaim| NoCallBack::NotNow(why);
        let agent = self.agents.get(extension).filter(|agent| agent.seats.contains_key(&arrival.queue));
        let agent = agent.ok_or(NoCallBack::NotNow(NoClaim::NotLoggedOn))?;
        if !self.up.contains(&arrival.server) || self.doors == Doors::Closed {
            return Err(NoCallBack::ServerAway);
        }
        // Whom nobody knows is somebody by their number alone.
        let same = |caller: &&Caller| {
            let there = &caller.arrival;
            let is_known = arrival.customer.id != 0 && there.customer.id == arrival.customer.id;
            is_known || there.caller.number == arrival.caller.number
        };
        let there: Vec<&Caller> = self.callers.values().filter(same).collect();
        if let Some(caller) = there.first() {
            let waits = there.iter().find(|there| there.callback.is_some() && there.stage == Stage::Waiting);
            let by = caller.offers.values().next().map(|offer| offer.extension.clone());
            let waits = waits.ok_or(NoCallBack::There(by))?;
            self.is_ready_for(&waits.arrival, agent).map_err(not_now)?;
            let may = self.may_claim(&without_pause(waits), agent);
            return if may { Ok(waits.arrival.call) } else { Err(not_now(NoClaim::NotForYou)) };
        }
        self.is_ready_for(arrival, agent).map_err(not_now)?;
        Ok(arrival.call)
    }

    /// A member wants to call back somebody who has called in vain: it is as if they had asked for it, and this member is the first to whom
    /// it is offered.
    pub(super) fn called_in_vain(&mut self, arrival: Arrival, extension: &Extension, now: Now, out: &mut Vec<Effect>) {
        let Ok(call) = self.callable_back(extension, &arrival) else { return };
        let Some(keep) = self.queue(&arrival.queue).map(|queue| queue.callback.keep) else { return };
        if call == arrival.call {
            out.push(Effect::Record(has_entered(&arrival)));
            let kept = Kept {
                call,
                server: arrival.server,
                queue: arrival.queue,
                customer: arrival.customer,
                caller: arrival.caller,
                priority: arrival.priority,
                since: now.utc,
                penalties: arrival.penalties,
                entered: now.utc,
                keep_until: now.plus(keep).utc,
                told_of_recording: false,
                attempt: 0,
                tries: 0,
                again_at: None,
                state: KeptState::Waiting,
            };
            out.push(Effect::Record(kept.asked()));
            self.keep(kept, now, out);
        }
        if let Some(caller) = self.callers.get_mut(&call) {
            *caller = without_pause(caller);
            self.reschedule(call);
        }
        self.claimed(call, extension, now, out);
    }

    /// Whom a member who talks would send on now: nothing is changed. Unlike one who dials, they have the caller still when it cannot be done.
    ///
    /// # Errors
    /// Why nobody.
    pub fn transferable(&self, extension: &Extension, to: &TransferTarget) -> Result<Claim, NoTransfer> {
        let agent = self.agents.get(extension).ok_or(NoTransfer::NotTalking)?;
        let Work::Busy { call, offer } = agent.work else { return Err(NoTransfer::NotTalking) };
        let talks = self.callers.get(&call).filter(|caller| caller.stage == Stage::Talking);
        let caller = talks.filter(|caller| caller.offers.contains_key(&offer)).ok_or(NoTransfer::NotTalking)?;
        let party = match to {
            TransferTarget::Extension(party) if party == extension => return Err(NoTransfer::Yourself),
            TransferTarget::Extension(party) => Some(party.clone()),
            TransferTarget::Outside(number) => Some(Extension::outside(number)),
            TransferTarget::Queue(_) => None,
        };
        let is_consulted = caller.consulted().is_some_and(|consulted| Some(&consulted.extension) == party.as_ref());
        let ready = match (&party, to) {
            _ if is_consulted => Ok(()),
            (None, TransferTarget::Queue(queue)) if !self.is_open_to(call, queue) => Err(TransferFailure::QueueClosed),
            (None, _) if !self.up.contains(&caller.arrival.server) => Err(TransferFailure::Unavailable),
            (None, _) => Ok(()),
            (Some(party), _) => self.is_ready(call, party),
        };
        ready.map_err(NoTransfer::Failed)?;
        let customer = &caller.arrival.customer;
        Ok(Claim { call, code: customer.code.clone(), name: customer.name.clone() })
    }

    /// A member who talks sends the caller on.
    pub(super) fn sent_on(&mut self, extension: &Extension, to: TransferTarget, now: Now, out: &mut Vec<Effect>) {
        if self.transferable(extension, &to).is_err() {
            return;
        }
        let Some(Work::Busy { call, offer }) = self.agents.get(extension).map(|agent| agent.work) else { return };
        self.transfer_to((call, offer), to, TransferMeans::Command, now, out);
    }

    /// The call that a member would leave to others now: nothing is changed.
    ///
    /// # Errors
    /// Why none.
    pub fn declinable(&self, extension: &Extension, which: &Which) -> Result<Claim, NoDecline> {
        let agent = self.agents.get(extension).ok_or(NoDecline::NothingOffered)?;
        let claim = |caller: &Caller| {
            let customer = &caller.arrival.customer;
            Claim { call: caller.arrival.call, code: customer.code.clone(), name: customer.name.clone() }
        };
        if let Work::Busy { call, offer } = agent.work
            && let Some(caller) = self.callers.get(&call)
            && self.is_meant(caller, agent, which)
            && let Some(offer) = caller.offers.get(&offer)
        {
            return match offer.state {
                OfferState::Popping { .. } | OfferState::Ringing { .. } => Ok(claim(caller)),
                OfferState::Answered => Err(NoDecline::Answered),
            };
        }
        // One that is kept for whoever asks, and that they have not declined already.
        let kept = self.callers.values().filter(|caller| {
            caller.stage == Stage::Waiting
                && self.kept_for_claims(caller).is_some()
                && !caller.skipped.contains(extension)
                && self.is_meant(caller, agent, which)
        });
        kept.min_by_key(|caller| caller.place()).map(claim).ok_or(NoDecline::NothingOffered)
    }

    /// A member leaves a call to others: one that rings, or is about to, or that is kept for whoever asks.
    pub(super) fn declined(
        &mut self,
        call: CallId,
        extension: &Extension,
        reason: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.get(&call).filter(|caller| caller.is_unanswered()) else { return };
        if caller.transfer.is_some() || !self.agents.contains_key(extension) {
            return;
        }
        let declined = Fact::CallDeclined { call, extension: extension.clone(), reason };
        let offer = caller.offers.values().find(|offer| offer.extension == *extension);
        match offer.map(|offer| (offer.number, offer.state)) {
            Some((number, OfferState::Popping { .. } | OfferState::Ringing { .. })) => {
                out.push(Effect::Record(declined));
                self.end_offer(call, number, OfferEnd::Rejected, Leg::ToBeDropped(Farewell::None), now, out);
            }
            None if caller.stage == Stage::Waiting && self.kept_for_claims(caller).is_some() => {
                out.push(Effect::Record(declined));
                self.blame(call, extension, now);
                self.reschedule(call);
            }
            Some((_, OfferState::Answered)) | None => {}
        }
    }
}

/// The same caller without the pause between two tries to call them back: a member has asked for them.
fn without_pause(caller: &Caller) -> Caller {
    let mut caller = caller.clone();
    if let Some(callback) = &mut caller.callback {
        callback.pause = None;
    }
    caller
}
