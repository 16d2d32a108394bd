//! Callers whom an agent sends on: to a colleague, to another queue, to a number outside; and back when that fails.
//!
//! Who is transferred to one party stands in no line until somebody has them. When the party cannot be rung or does not answer,
//! the agent is rung, as soon as their phone is free again; when that fails too, the caller is the first of their line.

use std::time::{Duration, Instant};

use crate::domain::{
    fact::{Fact, Hold, OfferEnd},
    id::{CallId, ChannelId, Extension, OfferNo, QueueName},
    now::Now,
    pop::PopState,
    queue::{
        caller::{Caller, Consultation, Offer, OfferState, Penalties, Recording, Stage, Transfer, TransferStep, Turn},
        choice::{Choice, Considered},
        effect::{Effect, Farewell, Notice, Ring},
        floor::{
            Doors, Floor, Leg,
            alarms::Alarm,
            offers::{CLEARING, JOIN_BOUND},
        },
        keys::{Feature, Keys, PAUSE},
        member::{Device, Work},
        roster::Queue,
        transfer::{HandedTo, TransferFailure, TransferMeans, TransferTarget, is_number},
    },
};

/// How long a caller whose transfer failed waits for the agent's phone to be free.
const RETURN_BOUND: Duration = Duration::from_secs(5);
/// How long a phone takes to hang up by itself after its own transfer (SIP REFER): Asterisk shows it as free at once.
const HANGS_UP: Duration = Duration::from_secs(1);
/// A phone that refuses within this time was heard by nobody: it is still in its old call.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a party outside is rung: it takes some seconds until a call through carriers rings at all.
pub(super) const RING_OUTSIDE: Duration = Duration::from_secs(40);

impl Floor {
    /// A member sends the caller on with whom they talk. Their talk is over, whatever becomes of the caller.
    pub(super) fn transfer_asked(
        &mut self,
        (call, number): (CallId, OfferNo),
        to: &str,
        how: TransferMeans,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let consulted = self.callers.get(&call).and_then(|caller| caller.consulted());
        if consulted.is_some_and(|consulted| consulted.number == number) {
            // Who is only asked has nobody to send on; their phone is out of the talk.
            return self.back_to_caller(call, now, out);
        }
        self.transfer_to((call, number), self.target(to), how, now, out);
    }

    /// The same, when it is known what was meant.
    pub(super) fn transfer_to(
        &mut self,
        (call, number): (CallId, OfferNo),
        target: TransferTarget,
        how: TransferMeans,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let leg = Leg::ToBeDropped(Farewell::None);
        if self.talk((call, number)).is_some() {
            let asked = self.callers.get(&call).and_then(|caller| caller.consulted());
            if asked.is_some_and(|asked| target == TransferTarget::of(&asked.extension)) {
                return self.complete_consultation((call, number), leg, now, out);
            }
            // Whoever was asked first is not the one who gets the caller.
            self.let_consulted_go(call, Leg::ToBeDropped(Farewell::None), now, out);
        }
        let Some(from) = self.leave_talk((call, number), leg, target.clone(), how, now, out) else { return };
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.stage = Stage::Transferred;
        if self.doors == Doors::Closed {
            return self.send_away_at_a_stop(call, now, out);
        }
        match target {
            TransferTarget::Extension(party) => {
                self.begin_transfer(call, from, TransferStep::To(party), now, out);
            }
            TransferTarget::Outside(number) => {
                let party = Extension::outside(&number);
                self.begin_transfer(call, from, TransferStep::To(party), now, out);
            }
            TransferTarget::Queue(queue) if self.is_open_to(call, &queue) => self.go_on_to(call, queue, now, out),
            TransferTarget::Queue(queue) => {
                // The step is the next one at once.
                let nobody = TransferStep::To(Extension::new(queue.as_str()));
                self.begin_transfer(call, from, nobody, now, out);
                self.transfer_failed(call, TransferFailure::QueueClosed, now, out);
            }
        }
    }

    /// A member has handed the caller over by their phone's own means: the caller talks with somebody else already.
    pub(super) fn handed_over(
        &mut self,
        (call, number): (CallId, OfferNo),
        to: HandedTo,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let (target, party) = match to {
            // It has a pop and an agent of its own.
            HandedTo::Line(queue) => (TransferTarget::Queue(queue), Extension::outside("")),
            HandedTo::Number(to) => match self.target(&to) {
                TransferTarget::Extension(extension) => (TransferTarget::Extension(extension.clone()), extension),
                TransferTarget::Queue(_) | TransferTarget::Outside(_) => {
                    let party = Extension::outside(&to);
                    (TransferTarget::Outside(to), party)
                }
            },
        };
        // An agent whose phone leaves a consultation has given the caller to who was consulted.
        let consultation = self.callers.get(&call).map(|caller| caller.consultation.clone()).unwrap_or_default();
        if matches!(consultation, Consultation::With(_)) {
            return;
        }
        let leg = Leg::ToBeDropped(Farewell::None);
        if self.leave_talk((call, number), leg, target, TransferMeans::Attended, now, out).is_none() {
            return;
        }
        self.withdraw_rivals(&party, now, out);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let offer = caller.next_offer();
        self.has_the_talk(call, offer, &party, now, out);
        if let (Consultation::Over { with, .. }, Some(caller)) = (consultation, self.callers.get_mut(&call)) {
            // They may not have been joined yet.
            caller.consultation = Consultation::Over { with, due: now.steady + JOIN_BOUND };
            self.reschedule(call);
        }
    }

    /// Nobody saw the hand-over that a found talk is of: it is put on record, as of now.
    pub(super) fn hand_over_found(&self, call: CallId, offer: OfferNo, from: Extension, out: &mut Vec<Effect>) {
        let talks = |caller: &&Caller| caller.stage == Stage::Talking && caller.has_out(offer);
        let caller = self.callers.get(&call).filter(talks);
        let Some(party) = caller.and_then(|caller| caller.taken()).map(|offer| offer.extension.clone()) else { return };
        let (to, how) = (TransferTarget::of(&party), TransferMeans::Attended);
        out.push(Effect::Record(Fact::CallTransferred { call, from, to, how }));
        out.push(Effect::Record(Fact::CallAnswered { call, offer, extension: party }));
    }

    /// A party who was not offered the caller has the talk with them.
    pub(super) fn has_the_talk(
        &mut self,
        call: CallId,
        offer: OfferNo,
        party: &Extension,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.offers.insert(offer, Offer { number: offer, extension: party.clone(), state: OfferState::Answered });
        caller.is_answered = true;
        let pop = caller.pop(party, PopState::Answered, now);
        self.has_answered(party);
        out.push(Effect::Record(Fact::CallAnswered { call, offer, extension: party.clone() }));
        out.extend(pop.map(|pop| Effect::Update { pop }));
        self.engage(party, call, offer);
        self.record_talk(call, out);
    }

    /// Ends the talk of a member with a caller who stays; says who it was.
    pub(super) fn leave_talk(
        &mut self,
        (call, number): (CallId, OfferNo),
        leg: Leg,
        to: TransferTarget,
        how: TransferMeans,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Option<Extension> {
        let caller = self.callers.get(&call).filter(|caller| caller.stage == Stage::Talking)?;
        // Whoever was called outside has the phone of somebody else.
        caller.offers.get(&number).filter(|offer| offer.extension.number_outside().is_none())?;
        let offer = self.take_offer(call, Some(number))?;
        let from = offer.extension.clone();
        self.is_called_no_more(call);
        let mut facts = Vec::new();
        self.talk_ended(call, &from, now, &mut facts);
        self.alarms.set(Alarm::Keys(call), None);
        let caller = self.callers.get_mut(&call)?;
        caller.skipped.clear();
        caller.retry_at = None;
        caller.been.clear();
        caller.keys = Keys::None;
        caller.hold = Some(Hold::Resumed);
        caller.consultation = Consultation::None;
        // Asterisk's recorder ends with the talk of these two; whoever has the caller next is recorded behind it.
        caller.recording = Recording::Not;
        let pop = caller.pop(&from, PopState::Ended, now);
        // The caller first: they hear music while the other leg is still being taken down.
        match how {
            TransferMeans::Phone | TransferMeans::Code | TransferMeans::Command => out.push(Effect::Music { call }),
            TransferMeans::Attended => {}
        }
        if how == TransferMeans::Phone {
            self.hanging_up.insert(from.clone(), now.steady + HANGS_UP);
        }
        self.release(call, &offer, leg, now.steady + CLEARING, out);
        out.extend(pop.map(|pop| Effect::Retire { pop }));
        out.push(Effect::Record(Fact::CallTransferred { call, from: from.clone(), to, how }));
        out.append(&mut facts);
        Some(from)
    }

    /// Callers transfer nobody: the two talk on. In a consultation the caller is out of the talk as it is.
    pub(super) fn caller_parted(&self, call: CallId, out: &mut Vec<Effect>) {
        let talks = |caller: &&Caller| caller.stage == Stage::Talking && caller.consulted().is_none();
        let member = self.callers.get(&call).filter(talks).and_then(Caller::taken);
        out.extend(member.map(|offer| Effect::JoinAgain { call, offer: offer.number }));
    }

    /// Another channel stands in the caller's place. It has heard nothing yet; in a talk Asterisk has put it into the bridge itself.
    pub(super) fn caller_replaced(&mut self, call: CallId, channel: ChannelId, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call).filter(|caller| caller.callback.is_none()) else { return };
        caller.arrival.channel = channel;
        out.extend(match (caller.consulted(), caller.taken()) {
            (Some(_), _) => Some(Effect::Hold { call }),
            (None, Some(_)) if caller.stage == Stage::Talking => None,
            (None, Some(offer)) => Some(Effect::JoinAgain { call, offer: offer.number }),
            (None, None) => Some(Effect::Music { call }),
        });
    }

    // ---- keys and hold ---------------------------------------------------------------------------------------------

    /// The talk of this offer, if a member has it.
    fn talk(&mut self, (call, number): (CallId, OfferNo)) -> Option<&mut Caller> {
        let caller = self.callers.get_mut(&call).filter(|caller| caller.stage == Stage::Talking)?;
        let is_theirs = caller.offers.get(&number).is_some_and(|offer| offer.extension.number_outside().is_none());
        Some(caller).filter(|_| is_theirs)
    }

    pub(super) fn key_pressed(&mut self, leg: (CallId, OfferNo), key: char, now: Now, out: &mut Vec<Effect>) {
        let codes = self.codes.clone();
        let Some(caller) = self.talk(leg) else { return };
        let dialled = caller.keys.press(key, &codes);
        // Who is speaking with somebody already comes back by the same code.
        let comes_back = caller.consulted().is_some() && caller.keys == Keys::Number(Feature::Consult, String::new());
        if comes_back {
            caller.keys = Keys::None;
        }
        let due = (caller.keys != Keys::None).then(|| now.steady + PAUSE);
        self.alarms.set(Alarm::Keys(leg.0), due);
        if comes_back {
            self.back_to_caller(leg.0, now, out);
        }
        if let Some(dialled) = dialled {
            self.dialled(leg, &dialled, now, out);
        }
    }

    pub(super) fn keys_paused(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if let (Some(dialled), Some(offer)) = (caller.keys.pause(), caller.taken().map(|offer| offer.number)) {
            self.dialled((call, offer), &dialled, now, out);
        }
    }

    fn dialled(
        &mut self,
        leg: (CallId, OfferNo),
        (feature, number): &(Feature, String),
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        match feature {
            Feature::Transfer => self.transfer_asked(leg, number, TransferMeans::Code, now, out),
            Feature::Consult => self.consult_asked(leg, number, now, out),
        }
    }

    pub(super) fn hold_changed(&mut self, leg: (CallId, OfferNo), hold: Hold, out: &mut Vec<Effect>) {
        // In a consultation the caller is on hold, and it is the other party whom the phone puts on hold.
        let is_theirs = |caller: &&mut Caller| caller.hold != Some(hold) && caller.consulted().is_none();
        let Some(caller) = self.talk(leg).filter(is_theirs) else { return };
        caller.hold = Some(hold);
        let extension = caller.taken().map(|offer| offer.extension.clone());
        out.extend(extension.map(|extension| Effect::Record(Fact::CallHeld { call: leg.0, extension, hold })));
    }

    // ---- to one party ----------------------------------------------------------------------------------------------

    /// What a number that an agent dialled stands for.
    pub(super) fn target(&self, number: &str) -> TransferTarget {
        let extension = Extension::new(number);
        if self.agents.contains_key(&extension) {
            return TransferTarget::Extension(extension);
        }
        let is_queue = |row: &Queue| row.number.as_deref() == Some(number);
        let queue = self.lines.values().filter_map(|line| line.row.as_ref()).find(|row| is_queue(row));
        queue.map_or_else(|| TransferTarget::Outside(number.to_owned()), |row| TransferTarget::Queue(row.name.clone()))
    }

    /// Whether a queue takes this caller now.
    pub(super) fn is_open_to(&self, call: CallId, queue: &QueueName) -> bool {
        let penalties = self.callers.get(&call).map_or(Penalties::ALL, |caller| caller.arrival.penalties);
        self.reason_to_refuse(queue, penalties, 0).or_else(|| self.reason_to_empty(queue, penalties)).is_none()
    }

    /// From here on the caller is for one party: dispatch rings them.
    pub(super) fn begin_transfer(
        &mut self,
        call: CallId,
        from: Extension,
        step: TransferStep,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.stage = Stage::Transferred;
        caller.transfer = Some(Transfer { from: from.clone(), step, free_from: now.steady });
        caller.arrival.returns_to = Some(from.clone());
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        out.push(Effect::ReturnsTo { call, server, channel, agent: Some(from) });
        self.transferred.insert(call);
        self.reschedule(call);
    }

    /// A caller who was being transferred when an earlier run of the service ended.
    pub(super) fn transfer_found(&mut self, call: CallId, from: Extension, now: Now, out: &mut Vec<Effect>) {
        let until = now.steady + RETURN_BOUND;
        out.push(Effect::Music { call });
        self.tell_of_recording(call, out);
        self.begin_transfer(call, from, TransferStep::Back { until }, now, out);
        self.alarms.set(Alarm::Transfer(call), Some(until));
    }

    /// The transfer of this caller is over, whatever comes now.
    pub(super) fn drop_transfer(&mut self, call: CallId) {
        if self.transferred.remove(&call) {
            self.alarms.set(Alarm::Transfer(call), None);
            if let Some(caller) = self.callers.get_mut(&call) {
                caller.transfer = None;
            }
        }
    }

    /// Somebody has the caller: no later run of the service is to send them back.
    pub(super) fn transfer_done(&mut self, call: CallId, out: &mut Vec<Effect>) {
        self.drop_transfer(call);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.turn = Turn::Usual;
        if caller.arrival.returns_to.take().is_some() {
            let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
            out.push(Effect::ReturnsTo { call, server, channel, agent: None });
        }
    }

    /// Rings for the transferred callers who are not being offered, or takes the next step with them.
    pub(super) fn serve_the_transferred(&mut self, now: Now, out: &mut Vec<Effect>) {
        for call in self.transferred.clone() {
            // Twice at most: the party, then the agent.
            while let Some(transfer) = self.idle_transfer(call) {
                let party = transfer.party().clone();
                let ready = self.is_ready(call, &party);
                if let Some(until) = transfer.waits_until(ready.is_ok(), now.steady) {
                    self.alarms.set(Alarm::Transfer(call), Some(until));
                    break;
                }
                match (ready, transfer.step) {
                    (Ok(()), TransferStep::To(_)) => self.offer_to(call, party, "transfer", now, out),
                    (Err(why), TransferStep::To(_)) => self.transfer_failed(call, why, now, out),
                    (Ok(()), TransferStep::Back { .. }) => {
                        // From here on it counts how soon the phone refuses.
                        self.agent_is_free_from(call, now.steady);
                        self.offer_to(call, party, "returned", now, out);
                    }
                    (Err(_), TransferStep::Back { .. }) => self.lead_the_line(call, now),
                }
            }
        }
    }

    fn agent_is_free_from(&mut self, call: CallId, moment: Instant) {
        if let Some(transfer) = self.callers.get_mut(&call).and_then(|caller| caller.transfer.as_mut()) {
            transfer.free_from = moment;
        }
    }

    /// The transfer of a caller for whom nobody is being rung.
    fn idle_transfer(&self, call: CallId) -> Option<Transfer> {
        let caller = self.callers.get(&call)?;
        let is_idle = caller.stage == Stage::Transferred && caller.offers.is_empty();
        caller.transfer.clone().filter(|_| is_idle)
    }

    /// Whether this party can be rung for the caller now, in whatever pause or wrap-up they are.
    pub(super) fn is_ready(&self, call: CallId, party: &Extension) -> Result<(), TransferFailure> {
        let unavailable = Err(TransferFailure::Unavailable);
        let Some(caller) = self.callers.get(&call).filter(|caller| self.up.contains(&caller.arrival.server)) else {
            return unavailable;
        };
        if let Some(number) = party.number_outside() {
            return if is_number(number) { Ok(()) } else { unavailable };
        }
        let Some(agent) = self.agents.get(party) else { return unavailable };
        match agent.work {
            Work::Busy { .. } | Work::Clearing { .. } => Err(TransferFailure::Busy),
            Work::Free if self.is_idle(&caller.arrival.server, &agent.row.interface) => Ok(()),
            Work::Free if self.device(&agent.row.interface) == Device::Busy => Err(TransferFailure::Busy),
            Work::Free => unavailable,
        }
    }

    fn offer_to(&mut self, call: CallId, party: Extension, rule: &'static str, now: Now, out: &mut Vec<Effect>) {
        let considered = Considered { extension: party.clone(), verdict: "chosen".into(), figures: None };
        let choice = Choice { rule: rule.into(), chosen: party.clone(), candidates: vec![considered], more: 0 };
        if party.number_outside().is_some() {
            self.ring_outside(call, party, choice, now, out);
        } else {
            self.make_offer(call, party, choice, now, out);
        }
    }

    /// A party outside has no pop that the ringing would wait for.
    fn ring_outside(&mut self, call: CallId, party: Extension, choice: Choice, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let number = caller.next_offer();
        let until = now.steady + RING_OUTSIDE;
        let state = OfferState::Ringing { until };
        caller.offers.insert(number, Offer { number, extension: party.clone(), state });
        caller.mark_rung();
        self.alarms.set(Alarm::RingTime(call, number), Some(until));
        out.push(Effect::Record(Fact::CallOffered { call, offer: number, extension: party, choice: Box::new(choice) }));
        let ring = self.ring(call, number).map(|ring| Ring { ring_time: RING_OUTSIDE, ..ring });
        out.extend(ring.map(Effect::Ring));
    }

    /// The one party whom a transferred caller was offered to did not take them.
    pub(super) fn came_to_nothing(&mut self, call: CallId, why: OfferEnd, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.stage = Stage::Transferred;
        let Some(transfer) = caller.transfer.clone() else { return };
        self.reschedule(call);
        match transfer.step {
            TransferStep::To(_) => self.transfer_failed(call, why.into(), now, out),
            TransferStep::Back { until }
                if why == OfferEnd::Rejected && now.steady < until && now.steady < transfer.free_from + AT_ONCE =>
            {
                self.agent_is_free_from(call, now.steady + HANGS_UP);
            }
            TransferStep::Back { .. } => {
                match why {
                    OfferEnd::RingNoAnswer | OfferEnd::Rejected | OfferEnd::Unavailable | OfferEnd::MemberGone => {
                        self.blame(call, &transfer.from, now);
                    }
                    OfferEnd::CallerGone
                    | OfferEnd::LoggedOff
                    | OfferEnd::Withdrawn
                    | OfferEnd::Taken
                    | OfferEnd::NotReached => {}
                }
                self.lead_the_line(call, now);
            }
        }
    }

    /// The caller is the agent's again.
    pub(super) fn transfer_failed(&mut self, call: CallId, why: TransferFailure, now: Now, out: &mut Vec<Effect>) {
        let until = now.steady + RETURN_BOUND;
        let Some(transfer) = self.callers.get_mut(&call).and_then(|caller| caller.transfer.as_mut()) else { return };
        transfer.step = TransferStep::Back { until };
        let from = transfer.from.clone();
        self.alarms.set(Alarm::Transfer(call), Some(until));
        out.push(Effect::Record(Fact::TransferFailed { call, from: from.clone(), why }));
        out.push(Effect::TellMember { extension: from, notice: Notice::TransferFailed { why } });
    }

    /// The caller is the first of their line. Their time in it begins anew: they have been served before.
    fn lead_the_line(&mut self, call: CallId, now: Now) {
        self.drop_transfer(call);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.turn = Turn::Returned;
        (caller.since, caller.timed_from) = (now.steady, now.steady);
        self.line_up(call);
        self.begin_to_wait(call, now);
    }
}
