//! An agent asks somebody else while the caller hears music, and then gives the caller to them or comes back.
//!
//! The caller stays the agent's: the talk, its pop and its offer are not touched before the agent hangs up. Who is consulted is
//! reserved like anybody who is rung, but they are no offer: no pop, and nothing is held against them.

use std::time::Duration;

use crate::domain::{
    fact::{Fact, Hold},
    id::{CallId, Extension, OfferNo},
    now::Now,
    pop::PopState,
    queue::{
        caller::{Arrival, Caller, ConsultStep, Consultation, Consulted, Offer, OfferState, Stage, TransferStep},
        choice::{Choice, Considered},
        effect::{Effect, Farewell, Notice, Ring},
        event::LegEnd,
        floor::{
            Floor, Leg,
            alarms::Alarm,
            offers::{CLEARING, JOIN_BOUND},
            transfers::RING_OUTSIDE,
        },
        keys::Keys,
        member::Work,
        roster::CallerId,
        transfer::{TransferFailure, TransferMeans, TransferTarget},
    },
};

impl Floor {
    /// A member who talks asks somebody else, if they can be rung now; else they stay with the caller.
    pub(super) fn consult_asked(
        &mut self,
        (call, number): (CallId, OfferNo),
        to: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let party = match self.target(to) {
            TransferTarget::Extension(party) => Ok(party),
            TransferTarget::Outside(number) => Ok(Extension::outside(&number)),
            // A queue is no one to speak with.
            TransferTarget::Queue(_) => Err(TransferFailure::Unavailable),
        };
        let Some(caller) = self.callers.get(&call).filter(|caller| caller.stage == Stage::Talking) else { return };
        let Some(agent) = caller.offers.get(&number).map(|offer| offer.extension.clone()) else { return };
        match party.and_then(|party| self.is_ready(call, &party).map(|()| party)) {
            Ok(party) => self.consult((call, number), agent, party, now, out),
            Err(why) => {
                self.tell_of_failure(call, &agent, why, out);
                out.push(Effect::TellBack { call, offer: number });
            }
        }
    }

    fn consult(
        &mut self,
        (call, offer): (CallId, OfferNo),
        agent: Extension,
        party: Extension,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let number = caller.next_offer();
        let outside = party.number_outside().is_some();
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        // A colleague sees who asks; who is outside sees the caller, as in a transfer.
        let shown = CallerId { number: agent.as_str().to_owned(), name: String::new() };
        let shown = if outside { caller.arrival.caller.clone() } else { shown };
        let Some(ring) = self.ring_for(call, number, &party) else { return };
        let ring_time = if outside { RING_OUTSIDE } else { ring.ring_time };
        let until = now.steady + ring_time;
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let step = ConsultStep::Ringing { until };
        caller.consultation = Consultation::With(Consulted { number, extension: party.clone(), step });
        caller.arrival.returns_to = Some(agent.clone());
        caller.keys = Keys::None;
        caller.hold = Some(Hold::Held);
        self.alarms.set(Alarm::Keys(call), None);
        if !outside {
            self.engaged.entry(party.clone()).or_default().insert((call, number));
            self.set_work(&party, Work::Busy { call, offer: number });
        }
        // The mark first: whoever finds the caller with music knows whose they are.
        out.push(Effect::ReturnsTo { call, server, channel, agent: Some(agent.clone()) });
        out.push(Effect::Hold { call });
        out.push(Effect::RingTone { call, offer });
        out.push(Effect::Ring(Ring { ring_time, caller: shown, ..ring }));
        out.push(Effect::Record(Fact::CallHeld { call, extension: agent, hold: Hold::Held }));
        self.reschedule(call);
    }

    /// The consulted party has answered.
    pub(super) fn consulted_answered(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(Consulted { step, extension, .. }) = self.callers.get(&call).and_then(|caller| caller.consulted())
        else {
            return;
        };
        match step {
            ConsultStep::Ringing { .. } => {
                // Whoever is in a call does not ring any more: a queue may count as empty for that.
                let queues = self.agents.get(extension).into_iter().flat_map(|agent| agent.seats.keys().cloned());
                self.touched.extend(queues);
                self.connect(call, now, out);
            }
            // Told twice.
            ConsultStep::Joining { .. } | ConsultStep::Talking => {}
        }
    }

    /// Has agent and consulted party joined, for the first time or again.
    fn connect(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let offer = caller.taken().map(|offer| offer.number);
        let (Consultation::With(consulted), Some(offer)) = (&mut caller.consultation, offer) else { return };
        consulted.step = ConsultStep::Joining { due: now.steady + JOIN_BOUND };
        out.push(Effect::Connect { call, offer, party: consulted.number });
        self.reschedule(call);
    }

    pub(super) fn connected(&mut self, call: CallId, party: OfferNo) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Consultation::With(consulted) = &mut caller.consultation else { return };
        if consulted.number == party && matches!(consulted.step, ConsultStep::Joining { .. }) {
            consulted.step = ConsultStep::Talking;
            self.reschedule(call);
        }
    }

    /// The ringing is over, or it was never said who is joined.
    pub(super) fn consultation_due(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        match &caller.consultation {
            Consultation::None => {}
            Consultation::Over { with, .. } => self.join_again(call, with.clone(), now, out),
            Consultation::With(Consulted { step, .. }) => match step {
                ConsultStep::Ringing { .. } => self.consultation_failed(call, TransferFailure::NoAnswer, now, out),
                ConsultStep::Joining { .. } => self.connect(call, now, out),
                ConsultStep::Talking => {}
            },
        }
    }

    /// The consulted party's leg is gone. `end`: how.
    pub(super) fn consulted_gone(&mut self, call: CallId, end: LegEnd, now: Now, out: &mut Vec<Effect>) {
        let Some(consulted) = self.callers.get(&call).and_then(|caller| caller.consulted()).cloned() else { return };
        let why = match (consulted.step, end) {
            (ConsultStep::Joining { .. } | ConsultStep::Talking, _) => None,
            (ConsultStep::Ringing { .. }, LegEnd::NoAnswer) => Some(TransferFailure::NoAnswer),
            (ConsultStep::Ringing { .. }, LegEnd::Rejected) => Some(TransferFailure::Rejected),
            // A number that the dialplan does not know ends like any call.
            (ConsultStep::Ringing { .. }, LegEnd::HungUp) if consulted.extension.number_outside().is_none() => {
                Some(TransferFailure::Rejected)
            }
            (ConsultStep::Ringing { .. }, LegEnd::HungUp | LegEnd::Unavailable | LegEnd::NotPlaced | LegEnd::Lost) => {
                Some(TransferFailure::Unavailable)
            }
        };
        if let Some(party) = self.let_consulted_go(call, Leg::Gone, now, out) {
            self.comes_back(call, party, why, now, out);
        }
    }

    fn consultation_failed(&mut self, call: CallId, why: TransferFailure, now: Now, out: &mut Vec<Effect>) {
        if let Some(party) = self.let_consulted_go(call, Leg::ToBeDropped(Farewell::None), now, out) {
            self.comes_back(call, party, Some(why), now, out);
        }
    }

    /// The agent, or the end of the service, ends the consultation.
    pub(super) fn back_to_caller(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        if let Some(party) = self.let_consulted_go(call, Leg::ToBeDropped(Farewell::None), now, out) {
            self.comes_back(call, party, None, now, out);
        }
    }

    /// Ends the reservation of who is consulted, and says who it was; caller and agent are still apart.
    pub(super) fn let_consulted_go(
        &mut self,
        call: CallId,
        leg: Leg,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Option<Extension> {
        let consulted = self.take_consulted(call)?;
        let caller = self.callers.get(&call)?;
        // It cannot be dropped without a link, but rings no longer than Asterisk was told.
        let until = match consulted.step {
            ConsultStep::Ringing { until } if !self.up.contains(&caller.arrival.server) => until.max(now.steady),
            ConsultStep::Ringing { .. } | ConsultStep::Joining { .. } | ConsultStep::Talking => now.steady,
        };
        let offer =
            Offer { number: consulted.number, extension: consulted.extension.clone(), state: OfferState::Answered };
        self.release(call, &offer, leg, until + CLEARING, out);
        Some(consulted.extension)
    }

    /// Takes who is consulted out of all books.
    fn take_consulted(&mut self, call: CallId) -> Option<Consulted> {
        let caller = self.callers.get_mut(&call)?;
        let consulted = caller.consulted()?.clone();
        caller.consultation = Consultation::None;
        self.disengage(&consulted.extension, (call, consulted.number));
        self.alarms.set(Alarm::Consultation(call), None);
        Some(consulted)
    }

    /// The agent is with the caller again, and told so; told in words as well if the consultation failed.
    fn comes_back(
        &mut self,
        call: CallId,
        from: Extension,
        why: Option<TransferFailure>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(offer) = self.callers.get(&call).and_then(|caller| caller.taken()).cloned() else { return };
        if let Some(caller) = self.callers.get_mut(&call) {
            caller.hold = Some(Hold::Resumed);
        }
        if let Some(why) = why {
            self.tell_of_failure(call, &offer.extension, why, out);
        }
        let hold = Hold::Resumed;
        out.push(Effect::Record(Fact::CallHeld { call, extension: offer.extension, hold }));
        self.join_again(call, Some(from), now, out);
        out.push(Effect::TellBack { call, offer: offer.number });
    }

    fn tell_of_failure(&mut self, call: CallId, agent: &Extension, why: TransferFailure, out: &mut Vec<Effect>) {
        out.push(Effect::Record(Fact::TransferFailed { call, from: agent.clone(), why }));
        out.push(Effect::TellMember { extension: agent.clone(), notice: Notice::TransferFailed { why } });
    }

    /// Has the caller joined with whoever has the talk, for the first time or again.
    fn join_again(&mut self, call: CallId, with: Option<Extension>, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(offer) = caller.taken().map(|offer| offer.number) else { return };
        caller.consultation = Consultation::Over { with, due: now.steady + JOIN_BOUND };
        out.push(Effect::JoinAgain { call, offer });
        self.reschedule(call);
    }

    /// The caller is with whoever has the talk. Whether this was what was waited for.
    pub(super) fn joined_again(&mut self, call: CallId, offer: OfferNo, out: &mut Vec<Effect>) -> bool {
        let Some(caller) = self.callers.get_mut(&call) else { return false };
        let is_over = matches!(caller.consultation, Consultation::Over { .. });
        if !is_over || !caller.offers.contains_key(&offer) {
            return false;
        }
        caller.consultation = Consultation::None;
        self.transfer_done(call, out);
        self.reschedule(call);
        true
    }

    /// The agent has hung up, or sends the caller on to whom they have asked: the caller is the consulted party's. One who still
    /// rings has the caller when they answer, as in a transfer without a word.
    pub(super) fn complete_consultation(
        &mut self,
        (call, offer): (CallId, OfferNo),
        leg: Leg,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(consulted) = self.take_consulted(call) else { return };
        let Consulted { number, extension: party, step } = consulted;
        let to = TransferTarget::of(&party);
        let how = match step {
            ConsultStep::Ringing { .. } => TransferMeans::Code,
            ConsultStep::Joining { .. } | ConsultStep::Talking => TransferMeans::Attended,
        };
        let Some(from) = self.leave_talk((call, offer), leg, to, how, now, out) else { return };
        match step {
            ConsultStep::Ringing { until } => self.rings_for_the_caller(call, (number, party, until), from, now, out),
            ConsultStep::Joining { .. } | ConsultStep::Talking => {
                self.has_the_talk(call, number, &party, now, out);
                self.join_again(call, None, now, out);
            }
        }
    }

    /// Whoever has the talk has hung up before the caller was with them again, as far as we know: the caller goes to the agent as
    /// after a transfer that failed. A party outside is not called a second time: that is the end of the call.
    pub(super) fn gone_before_joined(&mut self, leg: (CallId, OfferNo), now: Now, out: &mut Vec<Effect>) {
        let call = leg.0;
        let Some(caller) = self.callers.get(&call) else { return };
        let Some(extension) = caller.taken().map(|offer| offer.extension.clone()) else { return };
        if extension.number_outside().is_some() {
            return self.finish_talk(call, Leg::Gone, now, out);
        }
        let with = match &caller.consultation {
            Consultation::Over { with, .. } => with.clone(),
            Consultation::None | Consultation::With(_) => None,
        };
        let party = with.unwrap_or(extension);
        let to = TransferTarget::Extension(party.clone());
        let Some(from) = self.leave_talk(leg, Leg::Gone, to, TransferMeans::Code, now, out) else { return };
        self.begin_transfer(call, from, TransferStep::To(party), now, out);
        self.transfer_failed(call, TransferFailure::Unavailable, now, out);
    }

    /// A caller who was apart from an agent, or from a consulted party to whom they were given, when an earlier run ended.
    pub(super) fn parted_found(
        &mut self,
        arrival: Arrival,
        age: Duration,
        (offer, extension): (OfferNo, Extension),
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let call = arrival.call;
        let talks = |caller: &Caller| caller.stage == Stage::Talking || caller.has_out(offer);
        if !self.callers.get(&call).is_some_and(talks) {
            self.talk_found(arrival, age, offer, extension.clone(), now, out);
            self.hold_changed((call, offer), Hold::Resumed, out);
            self.join_again(call, None, now, out);
            out.push(Effect::TellBack { call, offer });
        }
    }

    /// The phone of who was to be consulted rings on, for the caller now.
    fn rings_for_the_caller(
        &mut self,
        call: CallId,
        (number, party, until): (OfferNo, Extension, std::time::Instant),
        from: Extension,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.begin_transfer(call, from, TransferStep::To(party.clone()), now, out);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.offers.insert(number, Offer { number, extension: party.clone(), state: OfferState::Ringing { until } });
        let pop = caller.pop(&party, PopState::Ringing, now);
        if party.number_outside().is_none() {
            self.engaged.entry(party.clone()).or_default().insert((call, number));
        }
        self.alarms.set(Alarm::RingTime(call, number), Some(until));
        let considered = Considered { extension: party.clone(), verdict: "chosen".into(), figures: None };
        let choice = Choice { rule: "transfer".into(), chosen: party.clone(), candidates: vec![considered], more: 0 };
        out.push(Effect::Record(Fact::CallOffered {
            call,
            offer: number,
            extension: party.clone(),
            choice: Box::new(choice),
        }));
        out.extend(pop.map(|pop| Effect::Update { pop }));
    }
}
