//! Agents who get another number in the middle of something: whoever talks goes on, as the one they are called now.
//!
//! The database knows people by their numbers alone. Who is gone under one and there under another, with the same account, is the
//! same person: an account is one person's.

use crate::domain::{
    fact::Fact,
    id::{CallId, Extension, OfferNo},
    now::Now,
    pop::PopState,
    queue::{
        caller::{Caller, Consultation, OfferState, Stage, TransferStep},
        effect::Effect,
        floor::{Floor, alarms::Alarm},
        member::{Agent, Listed, Work},
        roster,
    },
};

impl Floor {
    /// Takes in who of these was known by another number that is gone now. Before the rows are taken in.
    pub(super) fn renamed<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a roster::Agent>,
        is_gone: impl Fn(&Extension) -> bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        for row in rows.filter(|row| !self.agents.contains_key(&row.extension)).collect::<Vec<_>>() {
            let is_same = |(number, agent): &(&Extension, &Agent)| {
                agent.listed == Listed::Yes && agent.row.jid == row.jid && is_gone(number)
            };
            if let Some(old) = self.agents.iter().find(is_same).map(|(number, _)| number.clone()) {
                self.rename(&old, row, now, out);
            }
        }
    }

    fn rename(&mut self, old: &Extension, row: &roster::Agent, now: Now, out: &mut Vec<Effect>) {
        let new = &row.extension;
        for leg in self.engaged.get(old).cloned().unwrap_or_default() {
            self.rename_leg(leg, old, new, now, out);
        }
        for caller in self.callers.values_mut() {
            if let Some(transfer) = caller.transfer.as_mut().filter(|transfer| transfer.from == *old) {
                transfer.from = new.clone();
            }
        }
        let Some(agent) = self.agents.get_mut(old) else { return };
        let mut renamed = agent.clone();
        agent.wrap_up = None;
        self.alarms.set(Alarm::WrapUp(old.clone()), None);
        self.alarms.set(Alarm::WrapUp(new.clone()), renamed.wrap_up);
        let talk = self.engaged.get(new).and_then(|out| out.first());
        // A leg of theirs that is being taken down stays with the number of before until it is gone.
        renamed.work = talk.map_or(Work::Free, |(call, offer)| Work::Busy { call: *call, offer: *offer });
        renamed.row = row.clone();
        renamed.seats.clear();
        self.agents.insert(new.clone(), renamed);
        let is_engaged = self.engaged.contains_key(old);
        if self.agents.get(old).is_some_and(|agent| matches!(agent.work, Work::Busy { .. })) && !is_engaged {
            self.set_work(old, Work::Free);
        }
    }

    /// What the person of this leg does goes on by the new number. Who only rings is let go, as if they had logged off, and may be
    /// rung again.
    fn rename_leg(
        &mut self,
        (call, number): (CallId, OfferNo),
        old: &Extension,
        new: &Extension,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let goes_on = |caller: &&mut Caller| !caller.is_unanswered() || caller.transfer.is_some();
        let Some(caller) = self.callers.get_mut(&call).filter(goes_on) else { return };
        match &mut caller.consultation {
            Consultation::With(with) if with.number == number => with.extension = new.clone(),
            Consultation::With(_) | Consultation::None | Consultation::Over { .. } => {}
        }
        match caller.transfer.as_mut().map(|transfer| &mut transfer.step) {
            Some(TransferStep::To(party)) if party == old => *party = new.clone(),
            Some(TransferStep::To(_) | TransferStep::Back { .. }) | None => {}
        }
        let is_talking = caller.stage == Stage::Talking;
        if let Some(offer) = caller.offers.get_mut(&number) {
            offer.extension = new.clone();
            let state = match offer.state {
                OfferState::Popping { .. } => PopState::Offered,
                OfferState::Answered if is_talking => PopState::Answered,
                OfferState::Ringing { .. } | OfferState::Answered => PopState::Ringing,
            };
            out.extend(caller.pop(old, PopState::Withdrawn, now).map(|pop| Effect::Retire { pop }));
            out.extend(caller.pop(new, state, now).map(|pop| Effect::Update { pop }));
        }
        out.push(Effect::Record(Fact::Renumbered { call, from: old.clone(), to: new.clone() }));
        out.push(Effect::Renamed { call, offer: number, extension: new.clone(), talks: is_talking });
        self.disengage(old, (call, number));
        self.engaged.entry(new.clone()).or_default().insert((call, number));
    }
}
