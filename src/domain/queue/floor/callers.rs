//! Callers who come, go, and are sent away.

use std::time::Duration;

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, OfferNo, QueueName},
    now::Now,
    pop::PopState,
    queue::{
        callback::{Callback, Reach},
        caller::{Arrival, Caller, Offer, OfferState, Penalties, Stage},
        effect::{Effect, Farewell},
        floor::{Doors, Floor, Leg, alarms::Alarm, earlier, kept::at_steady, lines::Line},
        member::Work,
        policy::{Emptiness, Overflow},
        tries::{Try, TryEnd},
    },
};

/// How a caller comes to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    /// Through the door: the queue may be full or closed.
    In,
    /// They were in it before the service knew.
    Back,
}

impl Floor {
    pub(super) fn caller_entered(&mut self, arrival: Arrival, now: Now, out: &mut Vec<Effect>) {
        let call = arrival.call;
        if !self.callers.contains_key(&call) {
            self.admit(arrival, now, Duration::ZERO, out);
            self.enter(call, Coming::In, now, out);
        }
    }

    pub(super) fn caller_found(&mut self, arrival: Arrival, age: Duration, now: Now, out: &mut Vec<Effect>) {
        let call = arrival.call;
        if self.callers.contains_key(&call) {
            self.back_on_the_line(&arrival, now, out);
        } else {
            let returns_to = arrival.returns_to.clone().filter(|_| self.doors == Doors::Open);
            let since = arrival.since.map(|since| at_steady(now, since));
            self.admit(arrival, earlier(now, age), age, out);
            if let (Some(since), Some(caller)) = (since, self.callers.get_mut(&call)) {
                caller.since = caller.since.min(since);
            }
            if let Some(caller) = self.callers.get_mut(&call) {
                caller.is_answered = returns_to.is_some();
            }
            match returns_to {
                Some(agent) => self.transfer_found(call, agent, now, out),
                None => self.enter(call, Coming::Back, now, out),
            }
        }
    }

    fn admit(&mut self, arrival: Arrival, entered: Now, age: Duration, out: &mut Vec<Effect>) {
        self.tickets += 1;
        self.is_found(arrival.call);
        out.push(Effect::Record(has_entered(&arrival)));
        self.callers.insert(arrival.call, Caller::new(arrival, entered, age, self.tickets));
    }

    /// Puts a caller in line, or sends them away at once when the queue does not take them.
    fn enter(&mut self, call: CallId, coming: Coming, now: Now, out: &mut Vec<Effect>) {
        let refused = self.reason_to_turn_back(call, coming).or_else(|| self.reason_to_leave(call, now));
        self.line_up(call);
        // Also one who has taken it over from a run that could not write that.
        if refused.is_none() && self.take_over(call, now, out) {
            self.mark_place(call, now, out);
        }
        if let Some(outcome) = refused {
            return self.send_away(call, outcome, now, out);
        }
        self.begin_to_wait(call, now);
        let Some(caller) = self.callers.get(&call) else { return };
        match coming {
            Coming::In => {
                let Some(line) = self.lines.get(&caller.arrival.queue) else { return };
                let to = line.members.iter().cloned().collect();
                out.push(Effect::Announce { call, position: line.position(&caller.place()), to });
                self.greet(call, out);
            }
            Coming::Back => {
                out.push(Effect::Music { call });
                self.tell_of_recording(call, out);
            }
        }
    }

    /// Puts a caller who has no offer in line.
    pub(super) fn line_up(&mut self, call: CallId) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.stage = Stage::Waiting;
        let place = caller.place();
        let line = self.lines.entry(caller.arrival.queue.clone()).or_default();
        line.waiting.insert(place, call);
        if caller.arrival.penalties != Penalties::ALL {
            line.choosy.insert(place);
        }
        self.touched.insert(caller.arrival.queue.clone());
        self.reschedule(call);
    }

    /// Why this caller is not let in.
    fn reason_to_turn_back(&self, call: CallId, coming: Coming) -> Option<CallOutcome> {
        let caller = self.callers.get(&call).filter(|_| coming == Coming::In && self.doors == Doors::Open)?;
        // Who takes over a place makes the line no longer.
        let taken_over = self.callback_of(call).and_then(|before| self.callers.get(&before));
        let takes_over = taken_over.is_some_and(Caller::is_unanswered);
        self.reason_to_refuse(&caller.arrival.queue, caller.arrival.penalties, takes_over.into())
    }

    /// Why a queue does not let anybody in who may be given these members, `besides` those whose place they take.
    pub(super) fn reason_to_refuse(
        &self,
        queue: &QueueName,
        penalties: Penalties,
        besides: usize,
    ) -> Option<CallOutcome> {
        let line = self.lines.get(queue)?;
        let policy = &line.row.as_ref()?.policy;
        let length = line.length() - besides;
        if policy.max_waiting.is_some_and(|most| length >= usize::try_from(most).unwrap_or(usize::MAX)) {
            return Some(CallOutcome::Full);
        }
        self.emptiness(queue, &policy.join_empty, penalties)
    }

    /// Why it is of no use that this caller waits on.
    fn reason_to_leave(&self, call: CallId, now: Now) -> Option<CallOutcome> {
        let caller = self.callers.get(&call)?;
        self.reason_to_empty(&caller.arrival.queue, caller.arrival.penalties)
            .or_else(|| self.end_of_wait(caller).filter(|at| *at <= now.steady).map(|_| CallOutcome::TimedOut))
    }

    /// Why it is of no use that anybody waits in this queue who may be given these members.
    pub(super) fn reason_to_empty(&self, queue: &QueueName, penalties: Penalties) -> Option<CallOutcome> {
        if self.doors == Doors::Closed {
            return Some(CallOutcome::Stopped);
        }
        let Some(row) = self.queue(queue) else { return Some(CallOutcome::UnknownQueue) };
        self.emptiness(queue, &row.policy.leave_empty, penalties)
    }

    /// Whether the queue is empty in that sense, and how.
    fn emptiness(&self, queue: &QueueName, sense: &Emptiness, penalties: Penalties) -> Option<CallOutcome> {
        let line = self.lines.get(queue)?;
        match sense {
            Emptiness::Never => None,
            Emptiness::NoMembers | Emptiness::Unless(_) if line.members.is_empty() => Some(CallOutcome::NoMembers),
            Emptiness::NoMembers => None,
            Emptiness::Unless(absences) => {
                let is_there = |extension: &Extension| {
                    !absences.iter().any(|absence| self.is_absent(extension, queue, *absence, penalties))
                };
                (!line.members.iter().any(is_there)).then_some(CallOutcome::Empty)
            }
        }
    }

    /// Sends away the callers in line whom nobody can serve; without a link they wait for it.
    pub(super) fn send_away_the_hopeless(&mut self, queue: &QueueName, now: Now, out: &mut Vec<Effect>) {
        let Some(line) = self.lines.get(queue) else { return };
        let all = self.reason_to_empty(queue, Penalties::ALL);
        let places =
            if all.is_some() { line.waiting.keys() } else { return self.send_away_the_choosy(queue, now, out) };
        let calls: Vec<CallId> = places.filter_map(|place| line.waiting.get(place)).copied().collect();
        self.send_away_these(queue, calls, now, out);
    }

    fn send_away_the_choosy(&mut self, queue: &QueueName, now: Now, out: &mut Vec<Effect>) {
        let Some(line) = self.lines.get(queue).filter(|line| !line.choosy.is_empty()) else { return };
        let calls = line.choosy.iter().filter_map(|place| line.waiting.get(place)).copied().collect();
        self.send_away_these(queue, calls, now, out);
    }

    fn send_away_these(&mut self, queue: &QueueName, calls: Vec<CallId>, now: Now, out: &mut Vec<Effect>) {
        for call in calls {
            let Some(caller) = self.callers.get(&call).filter(|c| self.up.contains(&c.arrival.server)) else {
                continue;
            };
            if let Some(outcome) = self.reason_to_empty(queue, caller.arrival.penalties) {
                self.send_away(call, outcome, now, out);
            }
        }
    }

    pub(super) fn talk_found(
        &mut self,
        arrival: Arrival,
        age: Duration,
        offer: OfferNo,
        extension: Extension,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let call = arrival.call;
        let is_on_record =
            self.left.contains_key(&call) || self.callers.contains_key(&call) || self.doors == Doors::Closed;
        self.is_found(call);
        let told_of_recording = self.callers.get(&call).is_some_and(|known| known.told_of_recording);
        match self.callers.get(&call).map(|known| (known.stage, known.has_out(offer))) {
            // An earlier run could not write any more when they came.
            None if !is_on_record => {
                out.push(Effect::Record(has_entered(&arrival)));
                out.push(Effect::Record(Fact::CallAnswered { call, offer, extension: extension.clone() }));
            }
            None => {}
            Some((_, true) | (Stage::Talking, _)) => return,
            // Joined by somebody else while we were not looking: they talk, and wait for nobody any more.
            Some((_, false)) => {
                self.drop_transfer(call);
                self.end_offers(call, OfferEnd::Withdrawn, now, out);
                self.forget(call);
            }
        }
        self.withdraw_rivals(&extension, now, out);
        self.tickets += 1;
        let mut caller = Caller::new(arrival, earlier(now, age), age, self.tickets);
        caller.offers.insert(offer, Offer { number: offer, extension: extension.clone(), state: OfferState::Answered });
        caller.mark_rung();
        caller.is_answered = true;
        caller.stage = Stage::Talking;
        caller.hold = None;
        caller.told_of_recording = told_of_recording;
        out.extend(caller.pop(&extension, PopState::Answered, now).map(|pop| Effect::Update { pop }));
        self.callers.insert(call, caller);
        self.engage(&extension, call, offer);
    }

    /// A member was taken for free who talks: they had not been heard of yet.
    pub(super) fn withdraw_rivals(&mut self, extension: &Extension, now: Now, out: &mut Vec<Effect>) {
        let rivals: Vec<(CallId, OfferNo)> = self.engaged.get(extension).into_iter().flatten().copied().collect();
        for (rival, number) in rivals {
            let Some(caller) = self.callers.get(&rival) else { continue };
            if caller.consulted().is_some_and(|consulted| consulted.number == number && consulted.is_rung()) {
                self.back_to_caller(rival, now, out);
            } else if caller.is_unanswered() {
                self.end_offer(rival, number, OfferEnd::Withdrawn, Leg::ToBeDropped(Farewell::None), now, out);
            }
        }
    }

    /// Notes that a party talks already.
    pub(super) fn engage(&mut self, extension: &Extension, call: CallId, offer: OfferNo) {
        if extension.number_outside().is_some() {
            return;
        }
        self.engaged.entry(extension.clone()).or_default().insert((call, offer));
        // An agent who is not in the roster any more talks on: only the end of the call is ours to see to.
        match self.agents.get(extension).map(|agent| agent.work) {
            Some(Work::Free | Work::Clearing { .. }) => self.set_work(extension, Work::Busy { call, offer }),
            // Two talks at once: this one keeps them busy when the other is over.
            Some(Work::Busy { .. }) | None => {}
        }
    }

    /// Ends a call of which only the caller is left. Whatever else the member does now is not touched.
    pub(super) fn talk_over(
        &mut self,
        arrival: Arrival,
        age: Duration,
        extension: Extension,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let call = arrival.call;
        self.is_found(call);
        match self.callers.get(&call).map(|caller| caller.callback.as_ref().map(|callback| &callback.reach)) {
            None => {}
            // From the database: this is what has become of it.
            Some(Some(Reach::Unsure { .. })) => drop(self.forget(call)),
            Some(_) => return,
        }
        self.has_talked((call, arrival.customer.id), &extension, arrival.queue.clone(), now, out);
        let (server, channel) = (arrival.server.clone(), arrival.channel.clone());
        self.tickets += 1;
        let pop = Caller::new(arrival, earlier(now, age), age, self.tickets).pop(&extension, PopState::Ended, now);
        out.push(Effect::HangUpCaller { call, server: server.clone(), channel });
        out.extend(pop.map(|pop| Effect::Retire { pop }));
        out.push(Effect::DropBridge { call, server });
        let extension = Some(extension).filter(|extension| extension.number_outside().is_none());
        out.push(Effect::Record(Fact::CallEnded { call, extension, outcome: CallOutcome::Completed }));
    }

    pub(super) fn caller_gone(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get(&call) else { return };
        if caller.stage == Stage::Talking {
            return self.finish_talk(call, Leg::ToBeDropped(Farewell::None), now, out);
        }
        if caller.callback.is_some() {
            return self.left(call, now, out);
        }
        // Who has talked, and hangs up while they are being sent on, is not counted a second time.
        let outcome = if caller.is_answered { CallOutcome::Completed } else { CallOutcome::Abandoned };
        self.drop_transfer(call);
        self.end_offers(call, OfferEnd::CallerGone, now, out);
        self.remove(call, None, outcome, out);
    }

    /// Ends a caller's wait in their queue: they go where its policy says, if they can, and else on in the dialplan.
    pub(super) fn send_away(&mut self, call: CallId, outcome: CallOutcome, now: Now, out: &mut Vec<Effect>) {
        if self.callers.get(&call).is_some_and(|caller| caller.callback.is_some()) {
            return self.send_away_a_callback(call, outcome, now, out);
        }
        self.drop_transfer(call);
        self.end_offers(call, OfferEnd::Withdrawn, now, out);
        let Some(caller) = self.callers.get(&call) else { return };
        let queue = caller.arrival.queue.clone();
        let overflow = match outcome {
            CallOutcome::Full | CallOutcome::Empty | CallOutcome::NoMembers | CallOutcome::TimedOut => {
                self.queue(&queue).map_or(Overflow::Dialplan, |queue| queue.policy.overflow.clone())
            }
            CallOutcome::Completed
            | CallOutcome::Abandoned
            | CallOutcome::Overflowed
            | CallOutcome::UnknownQueue
            | CallOutcome::Stopped
            | CallOutcome::Lost
            | CallOutcome::NotReached
            | CallOutcome::CalledAgain
            | CallOutcome::Cancelled => Overflow::Dialplan,
        };
        match &overflow {
            Overflow::Dialplan => self.give_back(call, outcome, None, outcome, out),
            Overflow::Extension(extension) => {
                let extension = extension.clone();
                out.push(Effect::Record(Fact::CallOverflowed { call, queue, why: outcome, to: overflow }));
                self.give_back(call, outcome, Some(extension), CallOutcome::Overflowed, out);
            }
            Overflow::Queue(next) if self.may_go_on_to(call, next) => {
                let next = next.clone();
                if let Some(caller) = self.callers.get_mut(&call) {
                    caller.been.insert(queue.clone());
                }
                out.push(Effect::Record(Fact::CallOverflowed { call, queue, why: outcome, to: overflow }));
                self.go_on_to(call, next, now, out);
            }
            Overflow::Queue(_) => self.give_back(call, outcome, None, outcome, out),
        }
    }

    /// A callback waits for members, however long that takes: it ends with its time or its queue.
    fn send_away_a_callback(&mut self, call: CallId, outcome: CallOutcome, now: Now, out: &mut Vec<Effect>) {
        match outcome {
            CallOutcome::TimedOut => self.end_callback(call, CallOutcome::NotReached, now, out),
            CallOutcome::UnknownQueue if self.is_unsure(call) => {}
            CallOutcome::UnknownQueue => self.end_callback(call, outcome, now, out),
            CallOutcome::Stopped => self.let_go(call, now, out),
            CallOutcome::Completed
            | CallOutcome::Abandoned
            | CallOutcome::NoMembers
            | CallOutcome::Full
            | CallOutcome::Empty
            | CallOutcome::Overflowed
            | CallOutcome::Lost
            | CallOutcome::NotReached
            | CallOutcome::CalledAgain
            | CallOutcome::Cancelled => {}
        }
    }

    /// A caller goes through each queue at most once.
    fn may_go_on_to(&self, call: CallId, next: &QueueName) -> bool {
        self.queue(next).is_some()
            && self.callers.get(&call).is_some_and(|c| c.arrival.queue != *next && !c.been.contains(next))
    }

    /// A new entry there: at the end of the line, whoever refused the call in the queue before.
    pub(super) fn go_on_to(&mut self, call: CallId, next: QueueName, now: Now, out: &mut Vec<Effect>) {
        self.leave_line(call);
        self.transfer_done(call, out);
        self.tickets += 1;
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.arrival.queue = next.clone();
        caller.since = now.steady;
        caller.arrival.since = None;
        caller.timed_from = now.steady;
        caller.ticket = self.tickets;
        caller.skipped.clear();
        caller.retry_at = None;
        caller.claims_are_over = false;
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        out.push(Effect::ForgetAnnouncement { call });
        out.push(Effect::Moved { call, server, channel, queue: next });
        self.enter(call, Coming::In, now, out);
    }

    /// Lets the dialplan go on with a caller: it is told the one outcome, the other is recorded.
    fn give_back(
        &mut self,
        call: CallId,
        outcome: CallOutcome,
        to: Option<Extension>,
        recorded: CallOutcome,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.get(&call) else { return };
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        out.push(Effect::GiveBack { call, server, channel, outcome, to });
        self.remove(call, None, recorded, out);
    }

    /// Of a caller who cannot be reached at a stop nobody knows what becomes of them, or who is with them by now: whoever looks
    /// at their Asterisk next sees it, and until then no end is on record.
    pub(super) fn send_away_at_a_stop(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let out_of_reach = |caller: &Caller| caller.callback.is_none() && !self.up.contains(&caller.arrival.server);
        if !self.callers.get(&call).is_some_and(out_of_reach) {
            return self.send_away(call, CallOutcome::Stopped, now, out);
        }
        self.drop_transfer(call);
        self.end_offers(call, OfferEnd::Withdrawn, now, out);
        if self.forget(call).is_some() {
            out.push(Effect::ForgetAnnouncement { call });
        }
    }

    /// Takes a caller who waits out of the line.
    pub(super) fn leave_line(&mut self, call: CallId) {
        let Some(caller) = self.callers.get(&call) else { return };
        let queue = &caller.arrival.queue;
        let Some(line) = self.lines.get_mut(queue) else { return };
        let place = caller.place();
        line.waiting.remove(&place);
        line.choosy.remove(&place);
        let queue = queue.clone();
        self.forget_line(&queue);
    }

    /// Forgets a queue that the database has no more, as soon as nobody waits in it.
    pub(super) fn forget_line(&mut self, queue: &QueueName) {
        if self.lines.get(queue).is_some_and(Line::is_forgotten) {
            self.lines.remove(queue);
        }
    }

    /// Forgets a caller who has no offer out, and says how it ended.
    pub(super) fn remove(
        &mut self,
        call: CallId,
        extension: Option<Extension>,
        outcome: CallOutcome,
        out: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.forget(call) else { return };
        out.push(Effect::ForgetAnnouncement { call });
        if caller.has_rung() {
            out.push(Effect::DropBridge { call, server: caller.arrival.server.clone() });
        }
        out.push(Effect::Record(Fact::CallEnded { call, extension, outcome }));
        // Of a talk it remembers with whom it was.
        if let Some(Callback { attempt, .. }) = caller.callback
            && outcome != CallOutcome::Completed
        {
            let tried = Try { call, attempt, end: TryEnd::Over(outcome) };
            out.push(Effect::Remember { server: caller.arrival.server, tried });
        }
    }

    /// Forgets a caller who has no offer out.
    pub(super) fn forget(&mut self, call: CallId) -> Option<Caller> {
        self.leave_line(call);
        self.drop_transfer(call);
        for alarm in [
            Alarm::QueueTimeout(call),
            Alarm::Join(call),
            Alarm::Retry(call),
            Alarm::Callback(call),
            Alarm::Keys(call),
            Alarm::Consultation(call),
            Alarm::Say(call),
        ] {
            self.alarms.set(alarm, None);
        }
        let caller = self.callers.remove(&call)?;
        self.asks_no_more(&caller);
        Some(caller)
    }
}

pub(super) fn has_entered(arrival: &Arrival) -> Fact {
    Fact::CallEntered {
        call: arrival.call,
        server: arrival.server.clone(),
        channel: arrival.channel.clone(),
        queue: arrival.queue.clone(),
        customer: arrival.customer.clone(),
        caller: arrival.caller.clone(),
    }
}
