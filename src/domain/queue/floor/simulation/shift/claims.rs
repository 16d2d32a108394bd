//! Members who take calls, or leave them to others, by their own word: as the service does it, which looks first.

use super::{super::rules, Shift};
use crate::domain::{
    id::Extension,
    queue::{
        callback::Lost,
        caller::{Caller, Stage},
        claim::{NoClaim, Which},
        event::Event,
        floor::fixture,
        transfer::TransferTarget,
    },
};

impl Shift {
    pub(super) fn speaks(&mut self, extension: &Extension) {
        match self.chance.between(0, 9) {
            0 | 1 => return self.sends_on_by_word(extension),
            2 => return self.calls_back_by_word(extension),
            _ => {}
        }
        let which = match self.chance.percent(70) {
            true => Which::First,
            false => {
                let codes: Vec<_> = self.floor.callers().values().map(|c| c.arrival.customer.code.clone()).collect();
                if codes.is_empty() {
                    return;
                }
                Which::Customer(codes[self.chance.place(codes.len())].clone())
            }
        };
        if self.chance.percent(60) { self.takes(extension, &which) } else { self.declines(extension, &which) }
    }

    fn calls_back_by_word(&mut self, extension: &Extension) {
        self.came += 1;
        let server = self.chance.place(self.world.servers.len());
        let queue = self.queues[self.chance.place(self.queues.len())].0.name.clone();
        let number = self.came;
        let mut arrival = fixture::arrival(number, &self.world.servers[server].id, &queue);
        rules::any_claim(&mut self.chance, &mut arrival);
        let lost = Lost {
            server: arrival.server.clone(),
            queue,
            customer: arrival.customer.clone(),
            caller: arrival.caller.clone(),
        };
        let arrival = lost.arrival(arrival.call);
        match self.floor.callable_back(extension, &arrival) {
            Ok(call) => {
                let what =
                    if call == arrival.call { "callbacks by word" } else { "callbacks by word that were asked for" };
                self.witness.tally.count(what);
                self.world.server_of.insert(arrival.call, server);
                self.step(Event::CalledInVain { arrival, extension: extension.clone() });
                let caller = &self.floor.callers()[&call];
                assert!(caller.stage == Stage::Offered && caller.has_offer_to(extension), "promised: {caller:?}");
            }
            Err(_) => self.witness.tally.count("callbacks by word in vain"),
        }
    }

    fn sends_on_by_word(&mut self, extension: &Extension) {
        let to = match self.chance.between(0, 3) {
            0 | 1 => TransferTarget::Extension(Extension::new(format!("{}000", self.chance.between(1, 5)))),
            2 => TransferTarget::Outside("00123".into()),
            _ => TransferTarget::Queue(self.queues[self.chance.place(self.queues.len())].0.name.clone()),
        };
        let Ok(claim) = self.floor.transferable(extension, &to) else {
            return self.witness.tally.count("callers not sent on by word");
        };
        self.witness.tally.count("callers sent on by word");
        self.step(Event::SentOn { extension: extension.clone(), to });
        let caller = self.floor.callers().get(&claim.call);
        assert!(caller.is_none_or(|caller| !caller.has_offer_to(extension)), "sent on and kept: {caller:?}");
    }

    fn takes(&mut self, extension: &Extension, which: &Which) {
        match self.floor.claimable(extension, which) {
            Ok(claim) => {
                let call = claim.call;
                let before = self.witness.tally.of("calls that came again");
                self.step(Event::Claimed { call, extension: extension.clone() });
                let Some(caller) = self.floor.callers().get(&call) else {
                    // With this member busy, another queue is empty, and who comes here from it is whom they were to call.
                    self.witness.tally.count("claims of callers who came again");
                    return assert!(self.witness.tally.of("calls that came again") > before, "promised, and gone");
                };
                assert!(caller.stage == Stage::Offered && caller.has_offer_to(extension), "promised: {caller:?}");
            }
            Err(NoClaim::NobodyWaits) => {
                self.witness.tally.count("claims in vain");
                let agent = &self.floor.agents()[extension];
                let theirs = |caller: &&Caller| agent.seats.contains_key(&caller.arrival.queue);
                let waits = |caller: &Caller| caller.stage == Stage::Waiting && *which == Which::First;
                assert!(!self.floor.callers().values().filter(theirs).any(waits), "somebody waits");
            }
            Err(NoClaim::Taken { by }) => {
                self.witness.tally.count("claims that came second");
                assert!(self.floor.callers().values().any(|caller| caller.has_offer_to(&by)), "taken by nobody");
            }
            Err(
                NoClaim::NotLoggedOn
                | NoClaim::Yours
                | NoClaim::Busy
                | NoClaim::Paused
                | NoClaim::WrapUp
                | NoClaim::PhoneInUse
                | NoClaim::PhoneUnavailable
                | NoClaim::NotForYou,
            ) => {}
        }
    }

    fn declines(&mut self, extension: &Extension, which: &Which) {
        let Ok(claim) = self.floor.declinable(extension, which) else { return };
        let call = claim.call;
        let queue = self.floor.callers()[&call].arrival.queue.clone();
        self.step(Event::Declined { call, extension: extension.clone(), reason: String::new() });
        // Without them the queue may be empty, and the caller elsewhere.
        let stays = self.floor.callers().get(&call).filter(|caller| caller.arrival.queue == queue);
        let Some(caller) = stays else { return };
        assert!(!caller.has_offer_to(extension) && caller.skipped.contains(extension), "declined: {caller:?}");
    }
}
