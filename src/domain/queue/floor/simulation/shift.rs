//! One shift: the floor and its world, run in virtual time until both are at rest.

mod claims;
mod database;
mod rest;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    chance::Chance,
    rules,
    witness::Witness,
    world::{Link, Server, Told, World},
};
use crate::domain::{
    fact::Fact,
    id::{CallId, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    queue::{
        callback::{Kept, Missed},
        caller::{Arrival, Stage},
        event::{Event, LegEnd},
        floor::{Floor, fixture},
        left::LeftOpen,
        roster::{self, Roster},
    },
};

/// How long a phone waits for its pop, in milliseconds.
const PUBLISH_BOUND: u64 = 500;
/// How long a caller may hear nothing while all links stand: the bound on joins, and the time that requests take.
const SILENCE: u64 = 2_500;
/// How long a member hears a greeting at most, in milliseconds.
const GREETING: u64 = 10_000;
/// The longest that a phone rings, in milliseconds.
const RING_TIME: u64 = 15_000;
/// The longest that a party outside is rung.
pub(super) const RING_OUTSIDE: u64 = 40_000;
/// Far more than any shift needs.
const TOO_MANY: usize = 20_000;

/// What is going to happen.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    CallerComes,
    CallerLeaves(CallId),
    CallerPresses(CallId),
    PromiseSpoken(CallId),
    BackActs {
        call: CallId,
        attempt: u32,
        deed: BackDeed,
    },
    /// Somebody cancels a callback.
    Cancels,
    RequestArrives {
        server: usize,
        epoch: u32,
    },
    WordArrives {
        server: usize,
        epoch: u32,
    },
    ReplyArrives {
        run: u32,
        event: Event,
    },
    /// What a caller was told is said.
    Said {
        call: CallId,
        number: u32,
    },
    /// A greeting to a member is over.
    MemberGreeted {
        call: CallId,
        offer: OfferNo,
    },
    PhoneActs {
        call: CallId,
        offer: OfferNo,
        deed: Deed,
    },
    /// Whoever is at that phone sends the caller on.
    SendsOn {
        call: CallId,
        offer: OfferNo,
    },
    RosterChanges,
    /// What the floor has decided is in the database.
    Written(Timestamp, Fact),
    /// An agent who was paused by the floor is back.
    Resumes(Extension),
    OutsideCall(Extension),
    OutsideCallEnds(Extension),
    Unplugged(Extension),
    /// A member takes a call, or leaves it to others, by their own word.
    Speaks(Extension),
    Plugged(Extension),
    LinkDies(usize),
    LinkDeathIsNoticed {
        server: usize,
        epoch: u32,
    },
    LinkReturns {
        server: usize,
        epoch: u32,
    },
    Killed,
    Stopped,
}

/// What becomes of a leg.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    Answer,
    HangUp,
    Fail(LegEnd),
}

/// What becomes of the leg of a caller who is called back.
#[derive(Debug, Clone, Copy)]
pub(super) enum BackDeed {
    Answer,
    HangUp,
    Fail(Missed),
}

/// Rows of memberships and extensions.
#[derive(Debug)]
struct Member {
    row: roster::Agent,
    listed: bool,
    /// Since when they are logged on.
    queues: BTreeMap<QueueName, Timestamp>,
    penalty: u32,
    place: i32,
    /// As the ledger has written it.
    wrap_up_until: Option<Timestamp>,
    /// When they last resumed.
    back_at: Option<Timestamp>,
}

pub(super) struct Shift {
    pub(super) chance: Chance,
    start: Now,
    /// Milliseconds since the start.
    pub(super) clock: u64,
    pub(super) floor: Floor,
    pub(super) world: World,
    pub(super) witness: Witness,
    agenda: BTreeMap<(u64, u64), Plan>,
    planned: u64,
    pub(super) run: u32,
    /// Callers whose channel the service knows.
    pub(super) known: BTreeSet<CallId>,
    /// Callers who were hung up and are not known to be gone.
    pub(super) dismissed: BTreeSet<CallId>,
    /// Who asked to be called back, as they came, and when they entered.
    pub(super) asked: BTreeMap<CallId, (Arrival, u64)>,
    /// The rows of callbacks that are open, as the ledger has written them.
    kept: BTreeMap<CallId, Kept>,
    /// The rows of calls that have no end.
    open: BTreeMap<CallId, LeftOpen>,
    /// Since when the leg of a callback is being taken down.
    clearing: BTreeMap<CallId, u64>,
    members: Vec<Member>,
    queues: Vec<(roster::Queue, bool)>,
    /// What the service has read of these last.
    told: Roster,
    came: u64,
    pub(super) log: Option<Vec<String>>,
}

impl Shift {
    pub(super) fn new(seed: u64, log: Option<Vec<String>>) -> Self {
        let mut chance = Chance::from(seed);
        let mut world = World::default();
        for number in 1..=chance.between(1, 2) {
            world.servers.push(Server::new(&format!("pbx{number}")));
        }
        let mut queues = Vec::new();
        for name in ["support", "sales"].into_iter().take(chance.place(2) + 1) {
            let ring_time = Duration::from_millis(chance.between(3_000, RING_TIME));
            let queue_timeout = Duration::from_secs(chance.between(10, 60));
            let policy = rules::any_policy(&mut chance);
            let callback = rules::any_callback(&mut chance);
            let announcements = rules::any_announcements(&mut chance);
            let greeting = if chance.percent(20) { String::new() } else { "usher/support_team".into() };
            let talk = rules::any_talk(&mut chance);
            let row = fixture::queue(name);
            queues.push((
                roster::Queue { ring_time, queue_timeout, policy, callback, announcements, greeting, talk, ..row },
                true,
            ));
        }
        let start = fixture::midnight();
        let mut members = Vec::new();
        for number in 1..=chance.between(1, 5) {
            let mut row = fixture::agent(&format!("{number}000"));
            if chance.percent(10) {
                row.interface = Interface::new(format!("Local/{number}000"));
            }
            world.add_phone(&row);
            let queues =
                queues.iter().filter(|_| chance.percent(80)).map(|(q, _)| (q.name.clone(), start.utc)).collect();
            let penalty = if chance.percent(70) { 0 } else { rules::small(&mut chance, 2) };
            let place = i32::try_from(chance.between(0, 3)).unwrap();
            members.push(Member { row, listed: true, queues, penalty, place, wrap_up_until: None, back_at: None });
        }
        let mut shift = Self {
            chance,
            start,
            clock: 0,
            floor: Floor::new(Duration::from_millis(PUBLISH_BOUND), seed).with_codes(fixture::codes()),
            world,
            witness: Witness::default(),
            agenda: BTreeMap::new(),
            planned: 0,
            run: 0,
            known: BTreeSet::new(),
            dismissed: BTreeSet::new(),
            asked: BTreeMap::new(),
            kept: BTreeMap::new(),
            open: BTreeMap::new(),
            clearing: BTreeMap::new(),
            members,
            queues,
            told: Roster::default(),
            came: 0,
            log,
        };
        shift.plan_the_day();
        shift
    }

    fn plan_the_day(&mut self) {
        self.load_all();
        for server in 0..self.world.servers.len() {
            let within = self.chance.between(0, 50);
            self.later(within, Plan::LinkReturns { server, epoch: 0 });
        }
        let length = self.chance.between(5_000, 90_000);
        for _ in 0..self.chance.between(1, 8) {
            let at = self.chance.between(0, length);
            self.later(at, Plan::CallerComes);
        }
        for _ in 0..self.chance.between(0, 6) {
            let at = self.chance.between(0, length);
            let member = self.chance.place(self.members.len());
            self.later(at, Plan::Speaks(self.members[member].row.extension.clone()));
        }
        // Some shifts are quiet: what only trouble hides would hide in all of them otherwise.
        if self.chance.percent(30) {
            return;
        }
        for _ in 0..self.chance.between(0, 4) {
            let at = self.chance.between(0, length);
            let member = self.chance.place(self.members.len());
            let extension = self.members[member].row.extension.clone();
            let plan = match self.chance.between(0, 9) {
                9 => Plan::Cancels,
                0 | 1 => Plan::RosterChanges,
                8 => Plan::Resumes(extension),
                2 => Plan::OutsideCall(extension),
                3 => Plan::Unplugged(extension),
                4 | 5 => Plan::LinkDies(self.chance.place(self.world.servers.len())),
                6 => Plan::Killed,
                _ => Plan::Stopped,
            };
            self.later(at, plan);
        }
    }

    pub(super) fn later(&mut self, after: u64, plan: Plan) {
        self.planned += 1;
        self.agenda.insert((self.clock + after, self.planned), plan);
    }

    /// A reply to a request, for the run of the service that asked.
    pub(super) fn reply(&mut self, after: u64, event: Event) {
        self.later(after, Plan::ReplyArrives { run: self.run, event });
    }

    pub(super) fn now(&self) -> Now {
        self.start.plus(Duration::from_millis(self.clock))
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>7} {}", self.clock, line()));
        }
    }

    // ---- running -----------------------------------------------------------------------------------------------

    pub(super) fn run(&mut self) {
        for _ in 0..TOO_MANY {
            let due = self.floor.deadline().map(|(at, _)| self.millis(at));
            let next = self.agenda.keys().next().copied();
            match (due, next) {
                (None, None) => return self.rest(),
                (Some(due), next) if next.is_none_or(|(at, _)| due <= at) => {
                    self.clock = self.clock.max(due);
                    self.step(Event::Tick);
                    let now = self.now().steady;
                    assert!(self.floor.deadline().is_none_or(|(at, _)| at > now), "a deadline that is never met");
                }
                (_, Some(key)) => {
                    let Some(plan) = self.agenda.remove(&key) else { continue };
                    self.clock = key.0;
                    self.note(|| format!("-- {plan:?}"));
                    self.happens(plan);
                }
                (Some(_), None) => {}
            }
            self.nobody_is_left_in_silence();
            self.no_leg_is_waited_for_in_vain();
        }
        panic!("never at rest");
    }

    fn millis(&self, at: std::time::Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start.steady).as_millis()).unwrap()
    }

    // ---- what happens ------------------------------------------------------------------------------------------

    fn happens(&mut self, plan: Plan) {
        match plan {
            Plan::CallerComes => {
                self.came += 1;
                let server = self.chance.place(self.world.servers.len());
                let queue = self.chance.place(self.queues.len());
                let queue = self.queues[queue].0.name.clone();
                if let Some(patience) = self.caller_comes(self.came, server, &queue) {
                    self.later(patience, Plan::CallerLeaves(fixture::call(self.came)));
                }
            }
            Plan::CallerLeaves(call) => self.caller_leaves(call),
            Plan::CallerPresses(call) => self.caller_presses(call),
            Plan::PromiseSpoken(call) => self.promise_spoken(call),
            Plan::BackActs { call, attempt, deed } => self.back_acts(call, attempt, deed),
            Plan::Cancels => {
                let calls: Vec<CallId> = self.kept.keys().copied().collect();
                if !calls.is_empty() {
                    let call = calls[self.chance.place(calls.len())];
                    self.step(Event::Cancelled { call });
                }
            }
            Plan::RequestArrives { server, epoch } => {
                if self.world.servers[server].epoch == epoch
                    && let Some(request) = self.world.servers[server].requests.pop_front()
                {
                    self.carry_out(server, request);
                }
            }
            Plan::WordArrives { server, epoch } => {
                if self.world.servers[server].epoch == epoch
                    && let Some(told) = self.world.servers[server].wire.pop_front()
                {
                    self.hear(told);
                }
            }
            Plan::ReplyArrives { run, event } => {
                if run == self.run {
                    self.step(event);
                }
            }
            Plan::Said { call, number } => self.said(call, number),
            Plan::MemberGreeted { call, offer } => self.member_greeted(call, offer),
            Plan::PhoneActs { call, offer, deed } => self.phone_acts(call, offer, deed),
            Plan::SendsOn { call, offer } => self.sends_on(call, offer),
            Plan::RosterChanges => self.roster_changes(),
            Plan::Written(at, fact) => self.written(at, &fact),
            Plan::Resumes(extension) => {
                let now = self.now().utc;
                let member = self.members.iter_mut().find(|member| member.row.extension == extension).unwrap();
                member.row.pauses.clear();
                member.back_at = Some(now);
                self.tell_roster();
            }
            Plan::OutsideCall(extension) => {
                if !self.world.is_taken(&extension) {
                    let server = self.chance.place(self.world.servers.len());
                    let after = self.chance.between(500, 30_000);
                    self.set_outside(&extension, Some(server));
                    self.later(after, Plan::OutsideCallEnds(extension));
                }
            }
            Plan::OutsideCallEnds(extension) => self.set_outside(&extension, None),
            Plan::Unplugged(extension) => {
                let after = self.chance.between(500, 30_000);
                self.set_plugged(&extension, false);
                self.later(after, Plan::Plugged(extension));
            }
            Plan::Plugged(extension) => self.set_plugged(&extension, true),
            Plan::Speaks(extension) => self.speaks(&extension),
            Plan::LinkDies(server) => self.link_dies(server),
            Plan::LinkDeathIsNoticed { server, epoch } => {
                if self.world.servers[server].epoch == epoch {
                    self.world.servers[server].link = Link::Down;
                    let id = self.world.servers[server].id.clone();
                    self.step(Event::ServerDown { server: id });
                    let after = self.chance.between(100, 20_000);
                    self.later(after, Plan::LinkReturns { server, epoch });
                }
            }
            Plan::LinkReturns { server, epoch } => {
                if self.world.servers[server].epoch == epoch {
                    self.link_returns(server);
                }
            }
            Plan::Killed => self.restarts(),
            Plan::Stopped => {
                self.witness.tally.count("stops");
                self.step(Event::Stop);
                let left = self.floor.callers().values();
                assert!(left.into_iter().all(|c| matches!(c.stage, Stage::Joining | Stage::Talking)));
                // Who was out of reach was left to the next run.
                self.known.retain(|call| self.floor.callers().contains_key(call));
                for server in 0..self.world.servers.len() {
                    while self.world.servers[server].link == Link::Up
                        && let Some(request) = self.world.servers[server].requests.pop_front()
                    {
                        self.carry_out(server, request);
                    }
                }
                // What comes until then must not be taken on.
                let after = self.chance.between(1, 3_000);
                self.later(after, Plan::Killed);
            }
        }
    }

    /// The service is gone, and comes again.
    fn restarts(&mut self) {
        self.witness.tally.count("restarts");
        self.run += 1;
        self.known.clear();
        self.dismissed.clear();
        self.clearing.clear();
        self.witness.restart();
        let seed = self.chance.between(0, u64::MAX - 1);
        self.floor = Floor::new(Duration::from_millis(PUBLISH_BOUND), seed).with_codes(fixture::codes());
        for server in 0..self.world.servers.len() {
            self.cut(server);
            self.world.servers[server].link = Link::Down;
            let after = self.chance.between(200, 8_000);
            let epoch = self.world.servers[server].epoch;
            self.later(after, Plan::LinkReturns { server, epoch });
        }
        self.write_what_waits();
        self.load_all();
        self.step(Event::Kept(self.kept.values().cloned().collect()));
        let calls = self.open.values().filter(|left| !self.kept.contains_key(&left.call)).cloned().collect();
        let servers = self.world.servers.iter().map(|server| server.id.clone()).collect();
        self.step(Event::LeftOpen { calls, servers });
        self.step(Event::PastTalks(Arc::new(self.witness.talks())));
    }

    /// Tells all servers that listen what has become of a phone.
    pub(super) fn phone_changed(&mut self, extension: &Extension) {
        let Some(phone) = self.world.phones.get(extension) else { return };
        let interface = phone.interface.clone();
        if !interface.is_watched() {
            return;
        }
        for server in 0..self.world.servers.len() {
            let device = self.world.device(extension, server);
            let id: ServerId = self.world.servers[server].id.clone();
            let event = Event::DeviceChanged { server: id, interface: interface.clone(), device };
            self.tell(server, Told::Event(event));
        }
    }
}
