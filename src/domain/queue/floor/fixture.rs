//! What the tests of the floor have in common: a moment to count from, a roster, callers, and effects put into words.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::{
    fact::Fact,
    id::{CallId, ChannelId, CustomerCode, Extension, Interface, QueueName, ServerId},
    now::Now,
    queue::{
        caller::{Arrival, Penalties},
        effect::{Effect, Farewell, Notice},
        keys::Codes,
        roster::{Agent, CallerId, Customer, Membership, Queue, Roster, RosterChange},
    },
};

/// The feature codes of agents.
pub(super) fn codes() -> Codes {
    Codes { transfer: "##".into(), consult: "*2".into() }
}

/// Some moment.
#[expect(clippy::disallowed_methods, reason = "a moment to count from can be had nowhere else; all others follow it")]
pub(super) fn midnight() -> Now {
    Now { steady: Instant::now() + Duration::from_secs(86_400), utc: Timestamp::from_second(1_763_683_200).unwrap() }
}

pub(super) fn queue(name: &str) -> Queue {
    Queue {
        label: name.to_uppercase(),
        number: Some(format!("7{}", name.len())),
        announcement: "{queue}: {name}".into(),
        greeting: "usher/support_team".into(),
        moh_class: "default".into(),
        ring_time: Duration::from_secs(15),
        queue_timeout: Duration::from_secs(60),
        ..Queue::new(QueueName::new(name))
    }
}

pub(super) fn agent(extension: &str) -> Agent {
    Agent {
        extension: Extension::new(extension),
        name: format!("agent {extension}"),
        jid: format!("user{extension}@localhost"),
        interface: Interface::new(format!("PJSIP/{extension}")),
        pauses: Vec::new(),
    }
}

pub(super) fn member(queue: &str, extension: &str) -> Membership {
    Membership::new(QueueName::new(queue), Extension::new(extension))
}

/// A queue `support` with all of these logged on.
pub(super) fn support(extensions: &[&str]) -> Roster {
    Roster {
        agents: extensions.iter().map(|e| agent(e)).collect(),
        queues: vec![queue("support")],
        memberships: extensions.iter().map(|e| member("support", e)).collect(),
    }
}

pub(super) fn call(number: u64) -> CallId {
    // Made at midnight, as its first part tells.
    CallId(Uuid::from_u128(0x019a_a3b5_ec00_7000_8000_0000_0000_0000 + u128::from(number)))
}

pub(super) fn arrival(number: u64, server: &ServerId, queue: &QueueName) -> Arrival {
    Arrival {
        call: call(number),
        server: server.clone(),
        channel: ChannelId::new(format!("caller-{number}")),
        queue: queue.clone(),
        customer: Customer { id: 1, code: CustomerCode::new("1111"), name: "Company 1".into() },
        caller: CallerId { number: "2000".into(), name: String::new() },
        priority: 0,
        penalties: Penalties::ALL,
        returns_to: None,
        since: None,
    }
}

fn short(call: CallId) -> u128 {
    call.0.as_u128() & 0xffff
}

/// An effect as one short line.
pub(super) fn words(effect: &Effect) -> String {
    match effect {
        Effect::Announce { call, position, to } => format!("announce {} at {position} to {to:?}", short(*call)),
        Effect::ForgetAnnouncement { call } => format!("forget {}", short(*call)),
        Effect::Remember { tried, .. } => format!("remember {} #{}: {:?}", short(tried.call), tried.attempt, tried.end),
        Effect::Greet { call, .. } => format!("greet {}", short(*call)),
        Effect::Say { call, sounds, .. } => format!("say {}: {}", short(*call), sounds.join(" ")),
        Effect::Music { call } => format!("music {}", short(*call)),
        Effect::Promise { call } => format!("promise {}", short(*call)),
        Effect::Regret { call } => format!("regret {}", short(*call)),
        Effect::CallBack(back) if back.greeting.is_empty() => {
            format!("call back {} #{}", short(back.call), back.attempt)
        }
        Effect::CallBack(back) => format!("call back {} #{}: {}", short(back.call), back.attempt, back.greeting),
        Effect::DropBack { call, attempt, .. } => format!("drop back {} #{attempt}", short(*call)),
        Effect::Publish { pop, .. } => format!("publish {} for {}", pop.extension.as_str(), short(pop.call)),
        Effect::Update { pop } | Effect::Retire { pop } => {
            format!("{} {} for {}", pop.state.as_str(), pop.extension.as_str(), short(pop.call))
        }
        Effect::Ring(ring) => format!("ring {} for {}", ring.extension.as_str(), short(ring.call)),
        Effect::DropLeg { call, offer, farewell, .. } => match farewell {
            Farewell::None => format!("drop leg {} of {}", offer.0, short(*call)),
            Farewell::Taken => format!("drop leg {} of {}: taken", offer.0, short(*call)),
            Farewell::NotReached => format!("drop leg {} of {}: not reached", offer.0, short(*call)),
        },
        Effect::GreetMember { call, offer, sound, .. } => {
            format!("greet member {} of {}: {sound}", offer.0, short(*call))
        }
        Effect::Hold { call } => format!("hold {}", short(*call)),
        Effect::RingTone { call, offer } => format!("ring tone to {} of {}", offer.0, short(*call)),
        Effect::Connect { call, offer, party } => format!("connect {} with {} of {}", offer.0, party.0, short(*call)),
        Effect::JoinAgain { call, offer } => format!("join {} of {} again", offer.0, short(*call)),
        Effect::Renamed { call, offer, extension, .. } => {
            format!("{} of {} is {} now", offer.0, short(*call), extension.as_str())
        }
        Effect::TellBack { call, offer } => format!("tell {} of {} they are back", offer.0, short(*call)),
        Effect::RecordTalk { call, .. } => format!("record {}", short(*call)),
        Effect::Join { call, .. } => format!("join {}", short(*call)),
        Effect::GiveBack { call, outcome, to: None, .. } => format!("give back {}: {}", short(*call), outcome.as_str()),
        Effect::GiveBack { call, outcome, to: Some(to), .. } => {
            format!("give back {} to {}: {}", short(*call), to.as_str(), outcome.as_str())
        }
        Effect::TakesPlace { call, .. } => format!("mark the place of {}", short(*call)),
        Effect::Moved { call, queue, .. } => format!("move {} to {}", short(*call), queue.as_str()),
        Effect::ReturnsTo { call, agent: Some(agent), .. } => format!("note {} of {}", short(*call), agent.as_str()),
        Effect::ReturnsTo { call, agent: None, .. } => format!("note {} of nobody", short(*call)),
        Effect::TellMember { extension, notice: Notice::TransferFailed { why } } => {
            format!("tell {} of a transfer: {}", extension.as_str(), why.as_str())
        }
        Effect::TellMember { extension, notice: Notice::AutoPaused { queue, unanswered } } => {
            format!("tell {} paused in {} after {unanswered}", extension.as_str(), queue.as_str())
        }
        Effect::HangUpCaller { call, .. } => format!("hang up {}", short(*call)),
        Effect::DropBridge { call, .. } => format!("drop bridge {}", short(*call)),
        Effect::Record(fact) => match fact {
            Fact::CallEntered { call, .. } => format!("[entered {}]", short(*call)),
            Fact::CallOffered { call, offer, .. } => format!("[offered {} #{}]", short(*call), offer.0),
            Fact::CallRinging { call, pop, .. } => format!("[ringing {}: pop {}]", short(*call), pop.as_str()),
            Fact::OfferEnded { call, why, .. } => format!("[offer ended {}: {}]", short(*call), why.as_str()),
            Fact::CallDeclined { call, extension, .. } => {
                format!("[declined {} by {}]", short(*call), extension.as_str())
            }
            Fact::CallAnswered { call, .. } => format!("[answered {}]", short(*call)),
            Fact::Recording { call, file } => format!("[recording {} in {file}]", short(*call)),
            Fact::CallOverflowed { call, why, to, .. } => {
                format!("[overflow {} to {to}: {}]", short(*call), why.as_str())
            }
            Fact::CallbackAsked { call, .. } => format!("[callback asked {}]", short(*call)),
            Fact::CallbackCalled { call, attempt, .. } => format!("[called back {} #{attempt}]", short(*call)),
            Fact::CallbackMissed { call, attempt, tries, why, .. } => {
                format!("[missed {} #{attempt} ({tries}): {}]", short(*call), why.as_str())
            }
            Fact::CallTransferred { call, from, to, .. } => {
                format!("[{} sends {} to {to}]", from.as_str(), short(*call))
            }
            Fact::TransferFailed { call, from, why } => {
                format!("[back {} to {}: {}]", short(*call), from.as_str(), why.as_str())
            }
            Fact::Renumbered { call, from, to } => {
                format!("[{} of {} is {}]", from.as_str(), short(*call), to.as_str())
            }
            Fact::CallHeld { call, hold, .. } => format!("[{} {}]", hold.as_str(), short(*call)),
            Fact::WrapUp { extension, .. } => format!("[wrap-up {}]", extension.as_str()),
            Fact::AutoPaused { extension, unanswered, .. } => {
                format!("[paused {} after {unanswered}]", extension.as_str())
            }
            Fact::CallEnded { call, outcome, .. } => format!("[ended {}: {}]", short(*call), outcome.as_str()),
        },
    }
}

/// What leads from one roster to another, as the database announces it: not by what the service itself writes with each call.
pub(super) fn difference(before: &Roster, after: &Roster) -> RosterChange {
    let announced =
        |row: &Membership| Membership { last_call_at: None, calls_taken: 0, wrap_up_until: None, ..row.clone() };
    let memberships = |roster: &Roster| {
        let key = |row: &Membership| (row.queue.clone(), row.extension.clone());
        roster.memberships.iter().map(|row| (key(row), row.clone())).collect::<BTreeMap<_, _>>()
    };
    RosterChange {
        agents: changed(
            &before.agents.iter().map(|row| (row.extension.clone(), row.clone())).collect(),
            &after.agents.iter().map(|row| (row.extension.clone(), row.clone())).collect(),
            Clone::clone,
        ),
        queues: changed(
            &before.queues.iter().map(|row| (row.name.clone(), row.clone())).collect(),
            &after.queues.iter().map(|row| (row.name.clone(), row.clone())).collect(),
            Clone::clone,
        ),
        memberships: changed(&memberships(before), &memberships(after), announced),
    }
}

fn changed<K: Ord + Clone, R: Clone + PartialEq>(
    before: &BTreeMap<K, R>,
    after: &BTreeMap<K, R>,
    shown: impl Fn(&R) -> R,
) -> BTreeMap<K, Option<R>> {
    let keys = before.keys().chain(after.keys());
    let differs = |key: &&K| before.get(*key).map(&shown) != after.get(*key).map(&shown);
    keys.filter(differs).map(|key| (key.clone(), after.get(key).cloned())).collect()
}

pub(super) fn shared(roster: Roster) -> Arc<Roster> {
    Arc::new(roster)
}
