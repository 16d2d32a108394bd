//! How fast the floor decides, and what a waiting caller costs: 1,000 members who talk, 100 queues, 10,000 callers in line.
//!
//! `cargo run --release --example floor`, as part of `make bench`. One thread; the machine alone, without Asterisk.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use usher::domain::{
    id::{CallId, ChannelId, CustomerCode, Extension, Interface, OfferNo, QueueName, ServerId},
    now::Now,
    pop::PopOutcome,
    queue::{
        caller::{Arrival, Penalties},
        effect::Effect,
        event::{Event, LegEnd},
        floor::Floor,
        member::Device,
        policy::{Policy, Strategy},
        roster::{Agent, CallerId, Customer, Membership, Queue, Roster},
    },
};
use uuid::Uuid;

const QUEUES: usize = 100;
const MEMBERS: usize = 1_000;
/// Queues that each member serves.
const SEATS: usize = 3;
const WAITING: u128 = 10_000;
/// Talks that end, each with a next one begun.
const TALKS: usize = 50_000;

struct Bench {
    floor: Floor,
    now: Now,
    server: ServerId,
    callers: u128,
    steps: u64,
    /// Who talks, by which offer.
    talks: Vec<(CallId, OfferNo)>,
}

impl Bench {
    /// One step, and what Asterisk and the XMPP server answer to it until nothing is left to answer.
    fn step(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.steps += 1;
            self.now = self.now.plus(Duration::from_micros(10));
            for effect in self.floor.step(event, self.now) {
                match effect {
                    Effect::Publish { offer, pop } => {
                        events.push(Event::PopSettled { call: pop.call, offer, outcome: PopOutcome::Confirmed });
                    }
                    Effect::Ring(ring) => {
                        let server = self.server.clone();
                        events.push(Event::LegAnswered { server, call: ring.call, offer: ring.offer });
                    }
                    Effect::Join { call, offer } => {
                        self.talks.push((call, offer));
                        events.push(Event::Joined { call, offer });
                    }
                    Effect::Announce { .. }
                    | Effect::ForgetAnnouncement { .. }
                    | Effect::Greet { .. }
                    | Effect::Say { .. }
                    | Effect::GreetMember { .. }
                    | Effect::RecordTalk { .. }
                    | Effect::Music { .. }
                    | Effect::Hold { .. }
                    | Effect::RingTone { .. }
                    | Effect::Connect { .. }
                    | Effect::JoinAgain { .. }
                    | Effect::TellBack { .. }
                    | Effect::Renamed { .. }
                    | Effect::Promise { .. }
                    | Effect::Regret { .. }
                    | Effect::CallBack(_)
                    | Effect::Remember { .. }
                    | Effect::DropBack { .. }
                    | Effect::Update { .. }
                    | Effect::Retire { .. }
                    | Effect::DropLeg { .. }
                    | Effect::GiveBack { .. }
                    | Effect::Moved { .. }
                    | Effect::ReturnsTo { .. }
                    | Effect::TakesPlace { .. }
                    | Effect::TellMember { .. }
                    | Effect::HangUpCaller { .. }
                    | Effect::DropBridge { .. }
                    | Effect::Record(_) => {}
                }
            }
        }
    }

    fn caller(&mut self) {
        self.callers += 1;
        let number = self.callers;
        let queue = usize::try_from(number).unwrap_or(0) % QUEUES;
        self.step(Event::CallerEntered(Arrival {
            call: CallId(Uuid::from_u128(number)),
            server: self.server.clone(),
            channel: ChannelId::new(format!("1763694000.{number}")),
            queue: QueueName::new(format!("queue{queue}")),
            customer: Customer { id: 1, code: CustomerCode::new("1111"), name: format!("Company {number}") },
            caller: CallerId { number: format!("555{number:07}"), name: String::new() },
            priority: 0,
            penalties: Penalties::ALL,
            returns_to: None,
            since: None,
        }));
    }
}

fn roster() -> Roster {
    let queue = |n: usize| Queue {
        label: format!("Queue {n}"),
        moh_class: "default".into(),
        ring_time: Duration::from_secs(15),
        queue_timeout: Duration::from_secs(86_400),
        policy: Policy { strategy: Strategy::LeastRecent, ..Policy::default() },
        ..Queue::new(QueueName::new(format!("queue{n}")))
    };
    let agent = |n: usize| Agent {
        extension: Extension::new(format!("{}", 10_000 + n)),
        name: String::new(),
        jid: format!("user{n}@localhost"),
        interface: Interface::new(format!("PJSIP/{}", 10_000 + n)),
        pauses: Vec::new(),
    };
    let member = |n: usize, seat: usize| {
        let queue = QueueName::new(format!("queue{}", (n + seat * 7) % QUEUES));
        Membership::new(queue, Extension::new(format!("{}", 10_000 + n)))
    };
    Roster {
        agents: (0..MEMBERS).map(agent).collect(),
        queues: (0..QUEUES).map(queue).collect(),
        memberships: (0..MEMBERS).flat_map(|n| (0..SEATS).map(move |seat| member(n, seat))).collect(),
    }
}

/// Memory of this process in bytes, as the kernel counts it.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn main() -> std::io::Result<()> {
    let server = ServerId::new("pbx");
    let now = Now { steady: Instant::now(), utc: Timestamp::now() };
    let floor = Floor::new(Duration::from_millis(500), 1);
    let mut bench = Bench { floor, now, server: server.clone(), callers: 0, steps: 0, talks: Vec::new() };
    let roster = roster();
    let interfaces: Vec<Interface> = roster.agents.iter().map(|agent| agent.interface.clone()).collect();
    bench.step(Event::Roster(Arc::new(roster)));
    for interface in interfaces {
        bench.step(Event::DeviceChanged { server: server.clone(), interface, device: Device::Idle });
    }
    bench.step(Event::ServerUp { server });
    while bench.talks.len() < MEMBERS {
        bench.caller();
    }
    let before = memory();
    let in_line = u128::try_from(bench.floor.callers().len()).unwrap_or(0) - 1_000;
    for _ in in_line..WAITING {
        bench.caller();
    }
    let bytes = memory().saturating_sub(before) / u64::try_from(WAITING - in_line).unwrap_or(1);
    bench.steps = 0;
    let began = Instant::now();
    for turn in 0..TALKS {
        let talk = (turn * 7_919) % bench.talks.len();
        let (call, offer) = bench.talks.swap_remove(talk);
        bench.step(Event::LegGone { call, offer, end: LegEnd::HungUp });
        bench.caller();
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = bench.steps as f64 / seconds;
    writeln!(out, "{MEMBERS} members, {QUEUES} queues, {} callers on the floor", bench.floor.callers().len())?;
    writeln!(out, "{rate:.0} decisions/s ({} steps in {seconds:.2} s)", bench.steps)?;
    writeln!(out, "{bytes} bytes for each waiting caller")
}
