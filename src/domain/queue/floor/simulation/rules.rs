//! Any policy that a queue can have, and any claim that a caller can make.

use std::{collections::BTreeSet, time::Duration};

use super::chance::Chance;
use crate::domain::{
    id::{Extension, QueueName},
    queue::{
        callback::CallbackPolicy,
        caller::{Arrival, Penalties},
        policy::{Absence, Emptiness, Overflow, Policy, Strategy},
        talk::TalkPolicy,
        waiting::Announcements,
    },
};

pub(super) fn small(chance: &mut Chance, most: u64) -> u32 {
    u32::try_from(chance.between(0, most)).unwrap()
}

fn seconds(chance: &mut Chance, share: u64, most: u64) -> Duration {
    if chance.percent(share) { Duration::from_secs(chance.between(1, most)) } else { Duration::ZERO }
}

fn any_emptiness(chance: &mut Chance) -> Emptiness {
    match chance.between(0, 9) {
        0..7 => Emptiness::NoMembers,
        7 => Emptiness::Never,
        _ => Emptiness::Unless(Absence::ALL.into_iter().filter(|_| chance.percent(50)).collect::<BTreeSet<_>>()),
    }
}

/// Half of them as plain as they come.
pub(super) fn any_policy(chance: &mut Chance) -> Policy {
    if chance.percent(50) {
        let strategy = if chance.percent(70) { Strategy::LeastRecent } else { Strategy::RingAll };
        return Policy { strategy, ..Policy::default() };
    }
    Policy {
        strategy: Strategy::ALL[chance.place(Strategy::ALL.len())],
        retry: seconds(chance, 50, 8),
        max_waiting: chance.percent(15).then(|| small(chance, 2)),
        join_empty: any_emptiness(chance),
        leave_empty: any_emptiness(chance),
        weight: small(chance, 2),
        wrap_up: seconds(chance, 50, 15),
        auto_pause_after: chance.percent(40).then(|| 1 + small(chance, 1)),
        sticky: seconds(chance, 30, 60),
        claim: seconds(chance, 30, 20),
        overflow: match chance.between(0, 3) {
            0 => Overflow::Queue(QueueName::new("support")),
            1 => Overflow::Queue(QueueName::new("sales")),
            2 => Overflow::Extension(Extension::new("9000")),
            _ => Overflow::Dialplan,
        },
        ..Policy::default()
    }
}

/// In most queues, callers can ask to be called back.
pub(super) fn any_callback(chance: &mut Chance) -> CallbackPolicy {
    CallbackPolicy {
        key: chance.percent(70).then_some('*'),
        tries: 1 + small(chance, 2),
        retry: Duration::from_secs(chance.between(1, 12)),
        ring_time: Duration::from_millis(chance.between(3_000, CALLED)),
        keep: Duration::from_secs(chance.between(30, 200)),
    }
}

/// The longest that the phone of a caller rings who is called back, in milliseconds.
pub(super) const CALLED: u64 = 10_000;
/// What callers are told, often enough to be told several times.
pub(super) fn any_announcements(chance: &mut Chance) -> Announcements {
    let pause = |chance: &mut Chance| match chance.between(0, 2) {
        0 => Duration::ZERO,
        _ => Duration::from_millis(chance.between(5_000, 20_000)),
    };
    Announcements {
        every: pause(chance),
        position: chance.percent(80),
        hold_time: chance.percent(50),
        periodic: if chance.percent(50) { "usher/periodic".into() } else { String::new() },
        periodic_every: pause(chance),
    }
}

/// What belongs to talks.
pub(super) fn any_talk(chance: &mut Chance) -> TalkPolicy {
    let sound = |heard, sound: &str| if heard { sound.to_owned() } else { String::new() };
    TalkPolicy {
        member_greeting: sound(chance.percent(40), "usher/member"),
        recording: chance.percent(40),
        recording_prompt: sound(chance.percent(70), "usher/recorded"),
    }
}

/// Some callers come before others, and some may not be given everybody.
pub(super) fn any_claim(chance: &mut Chance, arrival: &mut Arrival) {
    if chance.percent(20) {
        arrival.priority = i32::try_from(chance.between(0, 2)).unwrap() - 1;
    }
    if chance.percent(10) {
        let least = small(chance, 1);
        arrival.penalties = Penalties { least, most: least + small(chance, 1) };
    }
    arrival.customer.id = i64::try_from(chance.between(0, 3)).unwrap();
    arrival.caller.number = if chance.percent(8) { String::new() } else { format!("555000{}", arrival.customer.id) };
}
