//! What must be true whatever happens: watches each effect, and looks over the floor after each step.
//!
//! Longer than 600 lines: the promises share one memory of what was seen; those about sounds and talks stand in `told` and `talk`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

mod talk;
mod told;

use jiff::Timestamp;

use crate::domain::{
    fact::{CallOutcome, Fact, OfferEnd},
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::{Pop, PopOutcome, PopState},
    queue::{
        callback::{CallbackPolicy, Kept, Missed, Reach},
        caller::{Arrival, Caller, OfferState, Stage, Turn},
        effect::Ring,
        floor::{Doors, Floor},
        member::{Agent, Device, Listed, Work},
        policy::{Emptiness, Overflow, Policy},
        roster::{self, PastTalk, Pause, PauseKind, Roster},
        transfer::{TransferMeans, TransferTarget},
        waiting::Announcements,
    },
};

/// How often what happened, over many shifts: proves that the shifts are not dull.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally(pub(super) BTreeMap<&'static str, u64>);

impl Tally {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}

/// An offer that was made in this step.
#[derive(Debug)]
struct Offered {
    call: CallId,
    extension: Extension,
    rule: String,
    /// Of those who came from another queue in this step: how many were there before.
    moved_before: usize,
}

#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) tally: Tally,
    /// Phones as this run of the service was told.
    devices: BTreeMap<(ServerId, Interface), Device>,
    up: BTreeSet<ServerId>,
    /// Items on nodes now.
    items: BTreeMap<(CallId, Extension), Pop>,
    revisions: BTreeMap<CallId, u32>,
    offer_numbers: BTreeMap<CallId, OfferNo>,
    /// Offers that have not ended.
    open: BTreeMap<(CallId, OfferNo), Extension>,
    /// Offers whose pop is under way: phones must not ring yet before this moment.
    unsettled: BTreeMap<(CallId, OfferNo), u64>,
    on_the_floor: BTreeSet<CallId>,
    offered_now: Vec<Offered>,
    moved_now: Vec<CallId>,
    /// When each caller who is on the floor came.
    entered: BTreeMap<CallId, Instant>,
    /// Who let a call go by, and is not to be offered it again before the next round, if there is one.
    skipped: BTreeSet<(CallId, Extension)>,
    next_round: BTreeMap<CallId, Instant>,
    /// The queues as the floor was told of them.
    policies: BTreeMap<QueueName, Policy>,
    announcements: BTreeMap<QueueName, Announcements>,
    told: told::Told,
    talks: talk::Talks,
    /// In which queue each caller waits.
    queue_of: BTreeMap<CallId, QueueName>,
    /// Where each caller stands: they keep that as long as they are in that queue.
    places: BTreeMap<CallId, (QueueName, Instant, u64)>,
    /// Who sent on the callers who were not answered since.
    sent_on: BTreeMap<CallId, Extension>,
    /// The call that was handed over in this step.
    handed_over: Option<CallId>,
    /// Offers to one party: to the agent who had sent the caller on, or to whom they did.
    directed: BTreeMap<(CallId, OfferNo), bool>,
    /// Queues that each caller has been in.
    been: BTreeMap<CallId, BTreeSet<QueueName>>,
    /// Pauses as the floor was told of them.
    paused: BTreeMap<Extension, Vec<Pause>>,
    unanswered: BTreeMap<(Extension, QueueName), u32>,
    wrap_up: BTreeMap<Extension, Timestamp>,
    /// Which customer calls.
    customers: BTreeMap<CallId, i64>,
    /// With whom each customer spoke last, and when that ended, as it is in the database.
    partners: BTreeMap<i64, (Extension, Timestamp)>,
    /// When it last was each member's turn.
    turns: BTreeMap<Extension, Timestamp>,
    /// Who asked to be called back: since when they wait, and the tries that came to nothing. Not forgotten at a restart.
    asked: BTreeMap<CallId, (Instant, u32)>,
    /// The last try of each.
    attempts: BTreeMap<CallId, u32>,
    /// Who talked.
    talked: BTreeSet<CallId>,
    /// Whether somebody has taken over a place in this step.
    taken_over_now: bool,
    /// Whose leg was found in this step.
    found_now: BTreeSet<CallId>,
    callbacks: BTreeMap<QueueName, CallbackPolicy>,
}

impl Witness {
    /// The service died: what only it knew is gone. The desk takes items nobody owns off the nodes when it starts.
    pub(super) fn restart(&mut self) {
        self.devices.clear();
        self.up.clear();
        self.items.clear();
        self.open.clear();
        self.unsettled.clear();
        self.on_the_floor.clear();
        self.entered.clear();
        self.skipped.clear();
        self.next_round.clear();
        self.queue_of.clear();
        self.been.clear();
        self.places.clear();
        self.sent_on.clear();
        self.directed.clear();
        self.unanswered.clear();
        self.wrap_up.clear();
        self.turns.clear();
        self.told.restart();
        self.talks = talk::Talks::default();
    }

    /// A caller comes to the floor who is not on it.
    pub(super) fn comes(&mut self, call: CallId, entered: Instant) {
        if !self.on_the_floor.contains(&call) {
            self.entered.insert(call, entered);
        }
    }

    /// A callback from before the restart comes to the floor.
    pub(super) fn kept(&mut self, kept: &Kept, now: Now) {
        let ago = |at: Timestamp| Duration::try_from(now.utc.duration_since(at)).unwrap();
        self.comes(kept.call, now.steady.checked_sub(ago(kept.entered)).unwrap());
        assert_eq!(self.asked[&kept.call].0, now.steady.checked_sub(ago(kept.since)).unwrap(), "the place is not kept");
        self.on_the_floor.insert(kept.call);
        self.queue_of.insert(kept.call, kept.queue.clone());
        self.tally.count("callbacks taken up after a restart");
    }

    /// A leg of a callback was found ringing, and the member who waits for it.
    pub(super) fn back_found(&mut self, call: CallId, offer: OfferNo, extension: &Extension) {
        self.tally.count("calls back found ringing");
        self.open.insert((call, offer), extension.clone());
        self.found_now.insert(call);
    }

    pub(super) fn is_up(&self, server: &ServerId) -> bool {
        self.up.contains(server)
    }

    pub(super) fn link_up(&mut self, server: &ServerId) {
        self.up.insert(server.clone());
    }

    pub(super) fn link_down(&mut self, server: &ServerId) {
        self.up.remove(server);
        // Which of them it was is no matter: the end of a greeting may be lost with any link.
        self.talks.greeting.clear();
        self.devices.retain(|(of, _), _| of != server);
    }

    pub(super) fn device(&mut self, server: &ServerId, interface: &Interface, device: Device) {
        self.devices.insert((server.clone(), interface.clone()), device);
    }

    pub(super) fn settled(&mut self, call: CallId, offer: OfferNo) {
        self.unsettled.remove(&(call, offer));
    }

    pub(super) fn rules(&mut self, roster: &Roster) {
        self.paused = roster.agents.iter().map(|agent| (agent.extension.clone(), agent.pauses.clone())).collect();
        let seated = |extension: &Extension, queue: &QueueName| {
            roster.memberships.iter().any(|row| row.logged_on && row.extension == *extension && row.queue == *queue)
        };
        self.unanswered.retain(|(extension, queue), _| seated(extension, queue));
        // What the roster has been told is the ledger's to remember; the end of a wrap-up that was lost at a restart is not.
        let known: BTreeMap<_, _> =
            roster.memberships.iter().filter_map(|row| Some((row.extension.clone(), row.wrap_up_until?))).collect();
        for (extension, until) in known {
            self.wrap_up.insert(extension.clone(), until.max(self.wrap_up.get(&extension).copied().unwrap_or(until)));
        }
        self.callbacks = roster.queues.iter().map(|queue| (queue.name.clone(), queue.callback.clone())).collect();
        let told = |queue: &roster::Queue| (queue.name.clone(), queue.announcements.clone());
        let announcements: BTreeMap<_, _> = roster.queues.iter().map(told).collect();
        let changed = announcements.iter().filter(|(queue, rules)| self.announcements.get(*queue) != Some(*rules));
        self.told.changed(changed.map(|(queue, _)| queue.clone()).collect());
        self.announcements = announcements;
        self.talks.rules = roster.queues.iter().map(|queue| (queue.name.clone(), queue.talk.clone())).collect();
        self.policies = roster.queues.iter().map(|queue| (queue.name.clone(), queue.policy.clone())).collect();
    }

    pub(super) fn talk_found(&mut self, arrival: &Arrival, offer: OfferNo, extension: &Extension) {
        let call = arrival.call;
        self.customers.insert(call, arrival.customer.id);
        self.queue_of.insert(call, arrival.queue.clone());
        self.tally.count("talks found");
        self.on_the_floor.insert(call);
        self.sent_on.remove(&call);
        self.open.insert((call, offer), extension.clone());
    }

    pub(super) fn talks(&self) -> Vec<PastTalk> {
        let talk = |(customer, (extension, ended)): (&i64, &(Extension, Timestamp))| PastTalk {
            customer: *customer,
            extension: extension.clone(),
            ended: *ended,
        };
        self.partners.iter().filter(|(customer, _)| **customer != 0).map(talk).collect()
    }

    // ---- effects -----------------------------------------------------------------------------------------------

    fn revised(&mut self, pop: &Pop) {
        let last = self.revisions.insert(pop.call, pop.revision).unwrap_or(0);
        assert!(pop.revision > last, "revision {} after {last}", pop.revision);
    }

    pub(super) fn published(&mut self, offer: OfferNo, pop: &Pop, bound: u64) {
        self.revised(pop);
        assert_eq!(pop.state, PopState::Offered);
        let before = self.items.insert((pop.call, pop.extension.clone()), pop.clone());
        assert!(before.is_none(), "published over an item that is not retired: {before:?}");
        self.unsettled.insert((pop.call, offer), bound);
    }

    pub(super) fn updated(&mut self, pop: &Pop) {
        self.revised(pop);
        assert!(!pop.state.is_final());
        let found = self.open.iter().any(|((call, _), e)| *call == pop.call && *e == pop.extension);
        assert!(found, "an update on {} without an offer there", pop.extension);
        if let Some(before) = self.items.insert((pop.call, pop.extension.clone()), pop.clone()) {
            assert!(before.state < pop.state, "{:?} after {:?}", pop.state, before.state);
        } else {
            let found = pop.state == PopState::Ringing && self.found_now.remove(&pop.call);
            assert!(found || pop.state == PopState::Answered, "an update of nothing");
        }
    }

    pub(super) fn retired(&mut self, pop: &Pop) {
        self.revised(pop);
        assert!(pop.state.is_final());
        let before = self.items.remove(&(pop.call, pop.extension.clone())).expect("retired twice or never published");
        assert_eq!(pop.state == PopState::Ended, before.state == PopState::Answered, "an untrue end");
    }

    pub(super) fn rang(&mut self, ring: &Ring, now: u64) {
        let Ring { call, offer, server, interface, extension, .. } = ring;
        assert!(self.up.contains(server), "rung over a link that is down");
        if extension.number_outside().is_some() {
            return;
        }
        assert!(self.items.contains_key(&(*call, extension.clone())), "rung before its pop was published");
        assert!(self.is_idle(server, interface), "rung although not idle");
        if let Some(bound) = self.unsettled.remove(&(*call, *offer)) {
            assert!(now >= bound, "rung before its pop was settled");
            self.tally.count("pops not settled in time");
        }
    }

    pub(super) fn recorded(&mut self, fact: &Fact, now: Now) {
        self.told.recorded(fact, now.steady);
        self.talks.recorded(fact);
        match fact {
            Fact::CallEntered { call, queue, customer, .. } => {
                self.customers.insert(*call, customer.id);
                assert!(self.on_the_floor.insert(*call), "entered twice");
                self.queue_of.insert(*call, queue.clone());
            }
            Fact::CallOverflowed { call, queue, to, .. } => self.overflowed(*call, queue, to),
            Fact::CallTransferred { call, from, to, how } => {
                self.transferred(*call, from, to, now);
                self.handed_over = (*how == TransferMeans::Attended).then_some(*call);
            }
            Fact::TransferFailed { call, from, .. } => {
                self.tally.count("transfers that failed");
                assert_eq!(self.sent_on.get(call), Some(from), "a transfer that nobody asked for");
                assert!(!self.open.keys().any(|(of, _)| of == call), "failed with an offer out");
            }
            Fact::CallHeld { .. } => self.tally.count("callers put on hold"),
            Fact::CallOffered { call, offer, extension, choice } => {
                self.tally.count("offers");
                assert!(self.on_the_floor.contains(call));
                let last = self.offer_numbers.insert(*call, *offer);
                assert!(last.is_none_or(|last| last < *offer), "offer {offer:?} after {last:?}");
                let others = self.open.keys().filter(|(of, _)| of == call).count();
                let now_too = self.offered_now.iter().filter(|offered| offered.call == *call).count();
                assert_eq!(others, now_too, "an offer of a call that has one out already");
                assert_eq!(choice.chosen, *extension);
                let rule = choice.rule.to_string();
                if let "transfer" | "returned" = rule.as_str() {
                    self.tally.count(if rule == "transfer" {
                        "transfers rung"
                    } else {
                        "callers returned to their agent"
                    });
                    let agent = self.sent_on.get(call).expect("a transfer that nobody asked for");
                    assert!(rule == "transfer" || agent == extension, "returned to another one");
                    self.open.insert((*call, *offer), extension.clone());
                    self.directed.insert((*call, *offer), rule == "returned");
                    return;
                }
                // The next round begins while they wait, not during the offers of this one.
                if self.next_round.get(call).is_some_and(|at| *at <= now.steady) {
                    self.next_round.remove(call);
                    self.skipped.retain(|(of, _)| of != call);
                }
                assert!(!self.is_skipped(*call, extension, now.steady), "offered to one who let it go by");
                let queue = &self.queue_of[call];
                let bars = |pause: &Pause| {
                    pause.kind == PauseKind::Manual && pause.queue.as_ref().is_none_or(|of| of == queue)
                };
                assert!(!self.paused.get(extension).into_iter().flatten().any(bars), "offered to one who is paused");
                let wraps_up = self.wrap_up.get(extension).is_some_and(|until| *until > now.utc);
                assert!(!wraps_up, "offered to one who is in wrap-up");
                if rule == "sticky" {
                    self.tally.count("offers to the last partner");
                    assert_eq!(
                        self.partners.get(&self.customers[call]).map(|(partner, _)| partner),
                        Some(extension),
                        "another one spoke with them last"
                    );
                }
                if others == 0 {
                    let verdict = choice.candidates.iter().find(|c| c.extension == *extension).map(|c| &*c.verdict);
                    assert_eq!(verdict, Some("chosen"));
                }
                self.open.insert((*call, *offer), extension.clone());
                let offered =
                    Offered { call: *call, extension: extension.clone(), rule, moved_before: self.moved_now.len() };
                self.offered_now.push(offered);
            }
            Fact::Recording { .. } => self.tally.count("recordings"),
            Fact::CallRinging { call, offer, extension, .. } => {
                assert_eq!(self.open.get(&(*call, *offer)), Some(extension), "ringing without an offer");
            }
            Fact::CallAnswered { call, offer, extension } => {
                self.tally.count("answers");
                if self.handed_over.take() == Some(*call) {
                    self.offer_numbers.insert(*call, *offer);
                    self.open.insert((*call, *offer), extension.clone());
                }
                assert_eq!(self.open.get(&(*call, *offer)), Some(extension), "answered without an offer");
                if self.sent_on.remove(call).is_some() {
                    self.tally.count("transfers answered");
                }
                self.unanswered.retain(|(of, _), _| of != extension);
                self.talked.insert(*call);
            }
            Fact::CallbackAsked { call, since, .. } => {
                self.tally.count("callbacks asked for");
                let ago = Duration::try_from(now.utc.duration_since(*since)).unwrap();
                let before = self.asked.insert(*call, (now.steady.checked_sub(ago).unwrap(), 0));
                assert!(before.is_none(), "asked twice");
                // Found on their leg after a talk whose end nobody saw, they may ask.
                self.talked.remove(call);
            }
            Fact::CallbackCalled { call, attempt, extension, .. } => {
                self.unanswered.retain(|(of, _), _| of != extension);
                assert!(!self.talked.contains(call), "called back after a talk");
                let last = self.attempts.insert(*call, *attempt);
                assert!(last.is_none_or(|last| last < *attempt), "try {attempt} after {last:?}");
                if let Some(policy) = self.callbacks.get(&self.queue_of[call]) {
                    assert!(self.asked[call].1 < policy.tries, "called back too often");
                }
            }
            Fact::CallbackMissed { call, tries, why, .. } => {
                self.tally.count(miss(*why));
                let counted = &mut self.asked.get_mut(call).unwrap().1;
                *counted += u32::from(*why != Missed::NotPlaced);
                assert_eq!(counted, tries, "counts tries badly");
            }
            Fact::OfferEnded { call, offer, extension, why } => {
                self.tally.count(end_of_offer(*why));
                let directed = self.directed.remove(&(*call, *offer));
                match why {
                    OfferEnd::RingNoAnswer | OfferEnd::Rejected | OfferEnd::Unavailable | OfferEnd::MemberGone => {
                        self.let_go_by(*call, extension, now, *why, directed);
                    }
                    OfferEnd::CallerGone
                    | OfferEnd::LoggedOff
                    | OfferEnd::Withdrawn
                    | OfferEnd::Taken
                    | OfferEnd::NotReached => {}
                }
                assert_eq!(self.open.remove(&(*call, *offer)).as_ref(), Some(extension), "an offer that ended twice");
            }
            Fact::AutoPaused { extension, queue, unanswered, .. } => {
                self.tally.count("members paused by the floor");
                let count = self.unanswered.remove(&(extension.clone(), queue.clone()));
                assert_eq!(count, Some(*unanswered), "paused after another number of calls");
            }
            Fact::WrapUp { extension, until, .. } => {
                self.tally.count("wrap-ups");
                let known = self.wrap_up.entry(extension.clone()).or_insert(*until);
                *known = (*known).max(*until);
            }
            Fact::CallEnded { call, extension, outcome } => {
                self.tally.count(end_of_call(*outcome));
                self.taken_over_now |= *outcome == CallOutcome::CalledAgain;
                assert!(self.on_the_floor.remove(call), "ended twice");
                self.forget(*call);
                if let (Some(extension), Some(customer)) = (extension, self.customers.get(call)) {
                    self.partners.insert(*customer, (extension.clone(), now.utc));
                }
                self.turns.extend(extension.iter().map(|extension| (extension.clone(), now.utc)));
                let open: Vec<_> = self.open.keys().filter(|(of, _)| of == call).copied().collect();
                let open: Vec<_> = open.into_iter().filter_map(|key| self.open.remove(&key)).collect();
                // One who was called back may have talked to the end while the service was dead.
                let unseen = open.is_empty() && self.asked.contains_key(call) && self.talked.contains(call);
                let member = open.first().filter(|extension| extension.number_outside().is_none());
                assert!(unseen || member == extension.as_ref(), "the offer of a call that ended");
                assert!(open.len() < 2, "offers that never end");
                assert_eq!(*outcome == CallOutcome::Completed, !open.is_empty() || extension.is_some());
            }
        }
    }

    /// Nobody is held to have let it ring whom the floor could not hear.
    pub(super) fn offer_ends(&mut self, server: &ServerId, why: OfferEnd) {
        let heard = self.up.contains(server);
        assert!(heard || why != OfferEnd::RingNoAnswer, "blamed for a ring over a link that is down");
        if !heard && why == OfferEnd::Withdrawn {
            self.tally.count("offers withdrawn without a link");
        }
    }

    fn transferred(&mut self, call: CallId, from: &Extension, to: &TransferTarget, now: Now) {
        self.tally.count(match to {
            TransferTarget::Extension(_) => "transfers to an extension",
            TransferTarget::Queue(_) => "transfers to a queue",
            TransferTarget::Outside(_) => "transfers outside",
        });
        let open: Vec<_> = self.open.keys().filter(|(of, _)| *of == call).copied().collect();
        let open: Vec<_> = open.into_iter().filter_map(|key| self.open.remove(&key)).collect();
        assert_eq!(open, std::slice::from_ref(from), "sent on by somebody else");
        if let Some(customer) = self.customers.get(&call) {
            self.partners.insert(*customer, (from.clone(), now.utc));
        }
        self.turns.insert(from.clone(), now.utc);
        if let Some(customer) = self.customers.get(&call) {
            self.partners.insert(*customer, (from.clone(), now.utc));
        }
        self.skipped.retain(|(of, _)| *of != call);
        self.next_round.remove(&call);
        self.been.remove(&call);
        self.sent_on.insert(call, from.clone());
    }

    /// A caller is in another queue from now on.
    pub(super) fn moved(&mut self, call: CallId, queue: &QueueName) {
        self.talks.enters(call, queue);
        if self.sent_on.remove(&call).is_some() && self.queue_of.get(&call) != Some(queue) {
            self.moved_now.push(call);
        }
        if let Some(before) = self.queue_of.insert(call, queue.clone()) {
            self.been.entry(call).or_default().insert(before);
        }
        self.places.remove(&call);
    }

    /// A caller was being transferred when the service died.
    pub(super) fn returns(&mut self, call: CallId, agent: &Extension) {
        if !self.on_the_floor.contains(&call) {
            self.sent_on.insert(call, agent.clone());
        }
    }

    fn let_go_by(&mut self, call: CallId, extension: &Extension, now: Now, why: OfferEnd, directed: Option<bool>) {
        if directed == Some(false) {
            return;
        }
        self.skipped.insert((call, extension.clone()));
        self.turns.insert(extension.clone(), now.utc);
        let Some(queue) = self.queue_of.get(&call) else { return };
        if why == OfferEnd::RingNoAnswer && directed.is_none() {
            *self.unanswered.entry((extension.clone(), queue.clone())).or_default() += 1;
        }
        match self.policies.get(queue).map(|policy| policy.retry).filter(|retry| !retry.is_zero()) {
            Some(retry) => self.next_round.insert(call, now.steady + retry),
            None => self.next_round.remove(&call),
        };
    }

    fn is_skipped(&self, call: CallId, extension: &Extension, now: Instant) -> bool {
        self.skipped.contains(&(call, extension.clone())) && self.next_round.get(&call).is_none_or(|at| *at > now)
    }

    fn overflowed(&mut self, call: CallId, queue: &QueueName, to: &Overflow) {
        self.tally.count("calls that overflowed");
        assert_eq!(self.queue_of.get(&call), Some(queue), "overflowed out of another queue");
        assert!(!self.open.keys().any(|(of, _)| *of == call), "overflowed with an offer out");
        match to {
            Overflow::Dialplan => panic!("that is no overflow"),
            Overflow::Queue(next) => {
                let been = self.been.entry(call).or_default();
                been.insert(queue.clone());
                assert!(!been.contains(next), "in a circle");
                self.moved_now.push(call);
                self.queue_of.insert(call, next.clone());
                self.skipped.retain(|(of, _)| *of != call);
                self.next_round.remove(&call);
            }
            Overflow::Extension(_) => {}
        }
    }

    fn forget(&mut self, call: CallId) {
        self.skipped.retain(|(of, _)| *of != call);
        self.next_round.remove(&call);
        self.queue_of.remove(&call);
        self.been.remove(&call);
        self.places.remove(&call);
        self.sent_on.remove(&call);
    }

    pub(super) fn pop_outcome(&mut self, outcome: PopOutcome) {
        self.tally.count(match outcome {
            PopOutcome::Confirmed => "pops confirmed",
            PopOutcome::Refused => "pops refused",
            PopOutcome::LinkDown => "pops without a link",
            PopOutcome::TimedOut => "pops timed out by the desk",
        });
    }

    // ---- the floor ---------------------------------------------------------------------------------------------

    /// After every step.
    pub(super) fn look(&mut self, floor: &Floor, now: Now) {
        if floor.doors == Doors::Closed {
            // The next run has them from the database.
            self.on_the_floor.retain(|call| floor.callers.contains_key(call) || !self.asked.contains_key(call));
        }
        self.found_now.clear();
        assert_eq!(self.on_the_floor, floor.callers.keys().copied().collect(), "facts and floor differ");
        self.callers_stand_in_one_place(floor);
        self.callbacks_are_one_each(floor);
        self.members_do_one_thing(floor);
        self.nobody_waits_in_vain(floor, now);
        self.offers_are_fair(floor, now);
        self.everybody_is_told(floor, now);
        assert!(self.talks.to_be_recorded.is_empty(), "not recorded: {:?}", self.talks.to_be_recorded);
        self.turns.retain(|extension, _| floor.agents.contains_key(extension));
        assert!(
            floor.agents.values().all(|agent| agent.listed == Listed::Yes || agent.work != Work::Free),
            "an agent who is gone and free is kept"
        );
    }

    fn callers_stand_in_one_place(&mut self, floor: &Floor) {
        let mut waiting = 0;
        for (call, caller) in &floor.callers {
            let line = floor.lines.get(&caller.arrival.queue);
            let in_line = line.is_some_and(|line| line.waiting.get(&caller.place()) == Some(call));
            assert_eq!(self.entered.get(call), Some(&caller.entered.steady), "another time of entering: {caller:?}");
            let place = (caller.arrival.queue.clone(), caller.since, caller.ticket);
            // Who was sent on has no place until they are somebody's, or the first of their line.
            let before = self.places.insert(*call, place.clone()).filter(|_| !self.sent_on.contains_key(call));
            let stays = before.is_none_or(|before| before.0 != place.0 || before == place);
            assert!(stays || self.taken_over_now || caller.stage == Stage::Talking, "another place: {caller:?}");
            assert_eq!(in_line, caller.stage == Stage::Waiting, "in line and elsewhere: {caller:?}");
            let alone = caller.stage == Stage::Transferred || caller.stage == Stage::Waiting;
            assert!(if caller.offers.is_empty() { alone } else { caller.stage != Stage::Waiting }, "{caller:?}");
            assert_eq!(floor.transferred.contains(call), caller.transfer.is_some(), "{caller:?}");
            let sent_on = self.sent_on.get(call);
            assert!(caller.transfer.as_ref().is_none_or(|transfer| sent_on == Some(&transfer.from)), "{caller:?}");
            assert!(caller.turn == Turn::Usual || sent_on.is_some(), "first in line for nothing: {caller:?}");
            waiting += usize::from(in_line);
            let answered = caller.offers.values().filter(|offer| offer.state == OfferState::Answered).count();
            match caller.stage {
                Stage::Waiting | Stage::Offered => assert_eq!(answered, 0, "{caller:?}"),
                Stage::Transferred => {
                    assert!(answered == 0 && caller.offers.len() < 2 && caller.transfer.is_some(), "{caller:?}");
                }
                Stage::Calling | Stage::Joining | Stage::Talking => {
                    assert_eq!((answered, caller.offers.len()), (1, 1), "{caller:?}")
                }
            }
            for offer in caller.offers.values().filter(|offer| offer.extension.number_outside().is_none()) {
                let expected = match (caller.stage, offer.state) {
                    (Stage::Talking, _) => PopState::Answered,
                    (_, OfferState::Popping { .. }) => PopState::Offered,
                    (_, OfferState::Ringing { .. } | OfferState::Answered) => PopState::Ringing,
                };
                let item = self.items.get(&(*call, offer.extension.clone()));
                assert_eq!(item.map(|pop| pop.state), Some(expected), "the pop of {caller:?}");
            }
        }
        self.taken_over_now = false;
        assert_eq!(floor.lines.values().map(|line| line.waiting.len()).sum::<usize>(), waiting, "in line and gone");
        let offers = floor.callers.values().flat_map(|c| c.offers.values());
        let offers = offers.filter(|offer| offer.extension.number_outside().is_none()).count();
        assert_eq!(self.items.len(), offers, "a pop without a call");
        for (queue, line) in &floor.lines {
            let offered = |c: &&Caller| c.stage == Stage::Offered && c.arrival.queue == *queue;
            assert_eq!(line.offered.len(), floor.callers.values().filter(offered).count(), "{queue} counts badly");
            assert!(line.choosy.iter().all(|place| line.waiting.contains_key(place)));
        }
    }

    /// One customer has one callback in a queue, in the place that they had when they asked, and a leg only as it is said.
    fn callbacks_are_one_each(&self, floor: &Floor) {
        let mut askers = BTreeSet::new();
        for caller in floor.callers.values() {
            let Some(callback) = &caller.callback else { continue };
            let arrival = &caller.arrival;
            assert_eq!(self.asked[&arrival.call].0, caller.since, "another place: {caller:?}");
            match (&callback.reach, caller.stage) {
                (Reach::Called { .. }, Stage::Calling)
                | (Reach::Back, Stage::Waiting | Stage::Offered | Stage::Joining | Stage::Talking)
                | (Reach::Away, Stage::Waiting | Stage::Offered)
                | (Reach::Leaving { .. } | Reach::Clearing | Reach::Unsure { .. }, Stage::Waiting) => {}
                _ => panic!("a callback in no state: {caller:?}"),
            }
            if !matches!(callback.reach, Reach::Back | Reach::Unsure { .. }) {
                let asker = (&arrival.queue, arrival.customer.id, &arrival.caller.number);
                assert!(askers.insert(asker), "two callbacks of one customer: {caller:?}");
            }
        }
    }

    fn members_do_one_thing(&self, floor: &Floor) {
        let mut offers: BTreeMap<&Extension, (usize, usize)> = BTreeMap::new();
        for caller in floor.callers.values() {
            for offer in caller.offers.values().filter(|offer| offer.extension.number_outside().is_none()) {
                let (talks, others) = offers.entry(&offer.extension).or_default();
                match offer.state {
                    // Two talks of one person can be found after a restart, and one that was being joined.
                    OfferState::Answered => *talks += 1,
                    OfferState::Popping { .. } | OfferState::Ringing { .. } => *others += 1,
                }
                if let Some(agent) = floor.agents.get(&offer.extension) {
                    assert!(matches!(agent.work, Work::Busy { .. }), "an offer to one who is {:?}", agent.work);
                }
                let booked = floor.engaged.get(&offer.extension);
                assert!(
                    booked.is_some_and(|out| out.contains(&(caller.arrival.call, offer.number))),
                    "not in the books"
                );
            }
        }
        assert_eq!(
            floor.engaged.values().map(BTreeSet::len).sum::<usize>(),
            offers.values().map(|(t, o)| t + o).sum::<usize>()
        );
        for (extension, (talks, others)) in offers {
            assert!(others == 0 || talks + others == 1, "two reservations of {extension}");
        }
        for (extension, agent) in &floor.agents {
            let Work::Busy { call, offer } = agent.work else { continue };
            let caller = floor.callers.get(&call).expect("busy with a call that is gone");
            let offer = caller.offers.get(&offer).expect("busy with an offer that is gone");
            assert_eq!(offer.extension, *extension);
        }
    }

    fn is_idle(&self, server: &ServerId, interface: &Interface) -> bool {
        let seen = |server: &ServerId| self.devices.get(&(server.clone(), interface.clone()));
        let reachable = match seen(server) {
            Some(device) => *device == Device::Idle,
            None => interface.as_str().starts_with("Local/"),
        };
        reachable && !self.up.iter().any(|server| seen(server) == Some(&Device::Busy))
    }

    /// Whether the member could be given to the caller, were they free.
    fn may_have(&self, caller: &Caller, extension: &Extension, agent: &Agent, now: Now) -> bool {
        let queue = &caller.arrival.queue;
        caller.is_servable()
            && self.up.contains(&caller.arrival.server)
            && agent.seats.get(queue).is_some_and(|seat| caller.arrival.penalties.contains(seat.penalty))
            && agent.pause(queue).is_none()
            && self.wrap_up.get(extension).is_none_or(|until| *until <= now.utc)
            && !self.is_skipped(caller.arrival.call, extension, now.steady)
            && self.is_idle(&caller.arrival.server, &agent.row.interface)
    }

    /// No wake-up is lost: nobody waits while somebody who may have them is free.
    fn nobody_waits_in_vain(&self, floor: &Floor, now: Now) {
        for (queue, line) in &floor.lines {
            for caller in line.waiting.values().map(|call| &floor.callers[call]) {
                for (extension, agent) in floor.agents.iter().filter(|(_, agent)| agent.work == Work::Free) {
                    assert!(
                        !self.may_have(caller, extension, agent, now),
                        "{extension} is free while {caller:?} waits"
                    );
                }
                if let Some(callback) = &caller.callback {
                    assert!(callback.keep_until > now.steady, "kept too long: {caller:?}");
                    assert!(callback.due().is_none_or(|at| at > now.steady), "overdue: {caller:?}");
                    assert_eq!(floor.doors, Doors::Open, "waiting at closed doors");
                } else if self.up.contains(&caller.arrival.server) {
                    let row = line.row.as_ref().expect("waiting for a queue that is gone");
                    assert!(caller.timed_from + row.queue_timeout > now.steady, "waiting too long: {caller:?}");
                    assert_eq!(floor.doors, Doors::Open, "waiting at closed doors");
                    let anybody = floor.agents.values().any(|a| a.seats.contains_key(queue));
                    let penalties = caller.arrival.penalties;
                    match &row.policy.leave_empty {
                        Emptiness::Never => {}
                        Emptiness::NoMembers => assert!(anybody, "waiting for nobody"),
                        Emptiness::Unless(absences) => {
                            let there =
                                |e: &Extension| !absences.iter().any(|a| floor.is_absent(e, queue, *a, penalties));
                            assert!(line.members.iter().any(there), "waiting in an empty queue");
                        }
                    }
                }
            }
        }
    }

    /// First come, first served: nobody who comes before the served one, and could have had the member, still waits. Before
    /// comes who waits in a heavier queue, else has the higher priority, else waits longer. And of all members whom the
    /// caller could have, it was the turn of the one who was chosen.
    fn offers_are_fair(&mut self, floor: &Floor, now: Now) {
        let weight = |queue: &QueueName| floor.queue(queue).map_or(0, |queue| queue.policy.weight);
        let moved = std::mem::take(&mut self.moved_now);
        for Offered { call, extension, rule, moved_before } in std::mem::take(&mut self.offered_now) {
            let (Some(served), Some(agent)) = (floor.callers.get(&call), floor.agents.get(&extension)) else {
                continue;
            };
            if !served.has_offer_to(&extension) {
                continue;
            }
            assert!(self.may_have(served, &extension, agent, now), "{extension} is not free for {served:?}");
            let key = |caller: &Caller| {
                let (weight, priority) = (weight(&caller.arrival.queue), caller.arrival.priority);
                (Reverse(weight), caller.turn, Reverse(priority), caller.since, caller.ticket)
            };
            for waiting in floor.lines.values().flat_map(|line| line.waiting.values()).map(|c| &floor.callers[c]) {
                let before = key(waiting) < key(served) && self.may_have(waiting, &extension, agent, now);
                let came_later = moved[moved_before..].contains(&waiting.arrival.call);
                assert!(!before || came_later, "{call} was served before {waiting:?}");
            }
            let queue = &served.arrival.queue;
            let penalty = |agent: &Agent| agent.seats.get(queue).map_or(0, |seat| seat.penalty);
            let turn = (self.turns.get(&extension), &extension);
            for (other, rival) in floor.agents.iter().filter(|(_, agent)| agent.work == Work::Free) {
                if !self.may_have(served, other, rival, now) || rule == "sticky" || rule == "wrandom" {
                    continue;
                }
                assert!(penalty(rival) >= penalty(agent), "{extension} rang before {other} of a lower penalty");
                if penalty(rival) == penalty(agent) {
                    assert_ne!(rule, "ringall", "{other} was left out");
                    let before = rule == "leastrecent" && (self.turns.get(other), other) < turn;
                    assert!(!before, "{extension} rang before {other}");
                }
            }
        }
    }

    /// When everyone is gone.
    pub(super) fn at_rest(&self, floor: &Floor) {
        assert!(floor.callers.is_empty(), "callers are left: {:?}", floor.callers);
        assert!(floor.lines.values().all(|line| line.length() == 0), "lines are left");
        assert!(floor.agents.values().all(|agent| agent.work == Work::Free), "members are left: {:?}", floor.agents);
        assert!(self.items.is_empty(), "pops are left: {:?}", self.items);
        assert!(self.open.is_empty(), "offers are left: {:?}", self.open);
    }
}

fn end_of_offer(why: OfferEnd) -> &'static str {
    match why {
        OfferEnd::RingNoAnswer => "offers not answered",
        OfferEnd::Rejected => "offers rejected",
        OfferEnd::Unavailable => "offers to phones not there",
        OfferEnd::CallerGone => "offers whose caller went",
        OfferEnd::MemberGone => "offers whose member went",
        OfferEnd::LoggedOff => "offers to members logged off",
        OfferEnd::Taken => "offers taken by another member",
        OfferEnd::Withdrawn => "offers withdrawn",
        OfferEnd::NotReached => "offers whose caller was not reached",
    }
}

fn end_of_call(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Completed => "calls completed",
        CallOutcome::Abandoned => "calls abandoned",
        CallOutcome::TimedOut => "calls timed out",
        CallOutcome::NoMembers => "calls without members",
        CallOutcome::Full => "calls to a full queue",
        CallOutcome::Empty => "calls to an empty queue",
        CallOutcome::Overflowed => "calls sent to a phone",
        CallOutcome::UnknownQueue => "calls to no queue",
        CallOutcome::Stopped => "calls given back at a stop",
        CallOutcome::Lost => "calls lost",
        CallOutcome::NotReached => "calls not reached",
        CallOutcome::CalledAgain => "calls that came again",
        CallOutcome::Cancelled => "calls cancelled",
    }
}

fn miss(why: Missed) -> &'static str {
    match why {
        Missed::NoAnswer => "calls back not answered",
        Missed::Rejected => "calls back rejected",
        Missed::Unavailable => "calls back to nobody",
        Missed::MemberGone => "calls back whose member went",
        Missed::HungUp => "calls back answered and hung up",
        Missed::NotPlaced => "calls back not placed",
        Missed::Lost => "calls back lost",
        Missed::Stopped => "calls back at a stop",
    }
}
