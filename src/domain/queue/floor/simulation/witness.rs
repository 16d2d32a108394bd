//! What must be true whatever happens: watches each effect, and looks over the floor after each step.

mod facts;
mod look;
mod talk;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::domain::{
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::{Pop, PopOutcome, PopState},
    queue::{
        callback::{CallbackPolicy, Kept},
        caller::Arrival,
        effect::Ring,
        member::Device,
        policy::Policy,
        roster::{self, PastTalk, Pause, Roster},
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

    pub(super) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
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

/// To whom a caller who was sent on is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directed {
    /// To the new party.
    On,
    /// To the agent who sent them on, since then.
    Back(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Goes,
    Remembered,
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
    /// Since when those wait who were found with the place of an earlier call; looked at once.
    pub(super) kept_places: BTreeMap<CallId, Instant>,
    /// Who sent on the callers who were not answered since.
    sent_on: BTreeMap<CallId, Extension>,
    /// The call that was handed over in this step.
    handed_over: Option<CallId>,
    /// A talk that Asterisk tells of in this step: one that goes on, of a caller who is not on the floor, or one of a callback that it
    /// only remembers. It may be on no record.
    told_of: Option<(CallId, Told)>,
    /// Offers to one party.
    directed: BTreeMap<(CallId, OfferNo), Directed>,
    /// Until when callers whose transfer failed are for the agent alone.
    back_until: BTreeMap<CallId, Instant>,
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
    /// Calls whose agent may complete a consultation in this step, and who is asked.
    pub(super) rings_on: BTreeMap<CallId, Extension>,
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
        self.talks.restart();
    }

    /// A caller comes to the floor who is not on it.
    pub(super) fn comes(&mut self, call: CallId, entered: Instant) {
        if !self.on_the_floor.contains(&call) {
            self.entered.insert(call, entered);
        }
    }

    /// A caller comes to the floor who has waited since then, since they have the place of an earlier call.
    pub(super) fn has_place(&mut self, call: CallId, since: Instant) {
        self.tally.count("places taken over that were kept");
        self.kept_places.insert(call, since);
    }

    /// A callback from before the restart comes to the floor.
    pub(super) fn kept(&mut self, kept: &Kept, now: Now) {
        let ago = |at: Timestamp| Duration::try_from(now.utc.duration_since(at)).unwrap();
        self.comes(kept.call, now.steady.checked_sub(ago(kept.entered)).unwrap());
        assert_eq!(self.asked[&kept.call].0, now.steady.checked_sub(ago(kept.since)).unwrap(), "the place is not kept");
        self.on_the_floor.insert(kept.call);
        self.queue_of.insert(kept.call, kept.queue.clone());
        self.talks.kept(kept.call, &kept.queue);
        self.tally.count("callbacks taken up after a restart");
    }

    /// Asterisk remembers a talk with somebody who was called back. No word of it is said before the floor has looked at all.
    pub(super) fn talk_remembered(&mut self, call: CallId) {
        self.told_of = Some((call, Told::Remembered));
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

    /// `entered`: for one who is not known to talk, whatever else is known of them. Their channel tells when they came into the
    /// queue that they are in.
    pub(super) fn talk_found(
        &mut self,
        arrival: &Arrival,
        entered: Option<Instant>,
        offer: OfferNo,
        extension: &Extension,
    ) {
        let call = arrival.call;
        self.told_of = (!self.on_the_floor.contains(&call)).then_some((call, Told::Goes));
        if self.told_of.is_some() {
            self.talks.is_not_known(call);
        }
        self.entered.extend(entered.map(|entered| (call, entered)));
        self.customers.insert(call, arrival.customer.id);
        self.queue_of.insert(call, arrival.queue.clone());
        self.tally.count("talks found");
        self.on_the_floor.insert(call);
        self.talked.insert(call);
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
            let rings_on = pop.state == PopState::Ringing && self.rings_on.get(&pop.call) == Some(&pop.extension);
            assert!(found || rings_on || pop.state == PopState::Answered, "an update of nothing");
        }
    }

    pub(super) fn retired(&mut self, pop: &Pop) {
        self.revised(pop);
        assert!(pop.state.is_final());
        let before = self.items.remove(&(pop.call, pop.extension.clone())).expect("retired twice or never published");
        assert_eq!(pop.state == PopState::Ended, before.state == PopState::Answered, "an untrue end");
    }

    /// An agent asks somebody else, whose phone rings without a pop.
    pub(super) fn asks(&mut self, ring: &Ring) {
        self.tally.count("consultations");
        assert!(self.up.contains(&ring.server), "rung over a link that is down");
        assert!(!self.open.contains_key(&(ring.call, ring.offer)), "an offer without a pop");
        let inside = ring.extension.number_outside().is_none();
        assert!(!inside || self.is_idle(&ring.server, &ring.interface), "rung although not idle");
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

    pub(super) fn pop_outcome(&mut self, outcome: PopOutcome) {
        self.tally.count(match outcome {
            PopOutcome::Confirmed => "pops confirmed",
            PopOutcome::Refused => "pops refused",
            PopOutcome::LinkDown => "pops without a link",
            PopOutcome::TimedOut => "pops timed out by the desk",
        });
    }
}
