use proptest::prelude::*;

use super::*;
use crate::domain::{id::Interface, queue::roster::Keys};

fn agent(number: u32, version: u32) -> Agent {
    Agent {
        extension: Extension::new(number.to_string()),
        name: format!("version {version}"),
        jid: String::new(),
        interface: Interface::new(format!("PJSIP/{number}")),
        pauses: Vec::new(),
    }
}

fn queue(number: u32, version: u32) -> Queue {
    Queue { label: format!("version {version}"), ..Queue::new(QueueName::new(format!("q{number}"))) }
}

fn membership(queue: u32, agent: u32, penalty: u32) -> Membership {
    let (queue, extension) = (QueueName::new(format!("q{queue}")), Extension::new(agent.to_string()));
    Membership { penalty, ..Membership::new(queue, extension) }
}

/// A few rows of few keys, so that they meet again.
fn changes() -> impl Strategy<Value = Vec<RosterChange>> {
    let rows = prop::collection::vec((0..3_u32, 0..4_u32, 0..4_u32, prop::option::of(0..3_u32)), 1..4);
    let change = rows.prop_map(|rows| {
        let mut change = RosterChange::default();
        for (what, one, other, version) in rows {
            match what {
                0 => drop(change.agents.insert(agent(one, 0).extension, version.map(|v| agent(one, v)))),
                1 => drop(change.queues.insert(queue(one, 0).name, version.map(|v| queue(one, v)))),
                _ => {
                    let key = (queue(one, 0).name, agent(other, 0).extension);
                    drop(change.memberships.insert(key, version.map(|v| membership(one, other, v))));
                }
            }
        }
        change
    });
    prop::collection::vec(change, 0..30)
}

/// The same, done in the plainest way.
fn plainly(roster: &mut Roster, change: &RosterChange) {
    roster.agents.retain(|row| !change.agents.contains_key(&row.extension));
    roster.queues.retain(|row| !change.queues.contains_key(&row.name));
    roster.memberships.retain(|row| !change.memberships.contains_key(&(row.queue.clone(), row.extension.clone())));
    roster.agents.extend(change.agents.values().flatten().cloned());
    roster.queues.extend(change.queues.values().flatten().cloned());
    roster.memberships.extend(change.memberships.values().flatten().cloned());
    roster.agents.sort_by(|a, b| a.extension.cmp(&b.extension));
    roster.queues.sort_by(|a, b| a.name.cmp(&b.name));
    roster.memberships.sort_by(|a, b| (&a.queue, &a.extension).cmp(&(&b.queue, &b.extension)));
}

/// All that somebody who follows a queue looks at.
fn seen(register: &Register, name: &QueueName) -> (Option<Queue>, Vec<(Membership, Option<Agent>)>) {
    let members = register.members(name).map(|row| (row.clone(), register.agent(&row.extension).cloned()));
    (register.queue(name).cloned(), members.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_changes_by_key_the_register_is_as_if_it_had_been_loaded_whole(changes in changes()) {
        let (mut roster, mut register) = (Roster::default(), Register::default());
        for change in &changes {
            plainly(&mut roster, change);
            register.apply(change);
            prop_assert_eq!(&register.to_roster(), &roster);
            let loaded = Register::from(&roster);
            prop_assert_eq!(&register.serves, &loaded.serves);
        }
    }

    #[test]
    fn whoever_looks_at_the_touched_queues_now_and_then_has_missed_nothing(changes in changes(), looks in 1..6_usize) {
        let names: Vec<QueueName> = (0..4).map(|n| queue(n, 0).name).collect();
        let mut register = Register::default();
        let mut known: BTreeMap<QueueName, _> = names.iter().map(|name| (name.clone(), seen(&register, name))).collect();
        let mut revision = register.revision();
        for (n, change) in changes.iter().enumerate() {
            // Now and then everything is loaded anew.
            if n % 7 == 6 {
                let mut roster = register.to_roster();
                plainly(&mut roster, change);
                register.replace(&roster);
            } else {
                register.apply(change);
            }
            if n % looks == 0 {
                for name in register.touched_since(revision) {
                    known.insert(name.clone(), seen(&register, name));
                }
                revision = register.revision();
                for name in &names {
                    prop_assert_eq!(&known[name], &seen(&register, name));
                }
            }
        }
    }
}

#[test]
fn a_change_touches_the_queues_that_it_concerns_and_no_other() {
    let (agents, queues) = ((0..3).map(|n| agent(n, 0)).collect(), (0..3).map(|n| queue(n, 0)).collect());
    let memberships = vec![membership(0, 0, 0), membership(1, 1, 0), membership(2, 0, 0)];
    let mut register = Register::from(&Roster { agents, queues, memberships });
    let mut touched = |change: RosterChange| {
        let before = register.revision();
        register.apply(&change);
        register.touched_since(before).map(ToString::to_string).collect::<Vec<_>>()
    };
    let of_agent =
        |n| RosterChange { agents: [(agent(n, 1).extension, Some(agent(n, 1)))].into(), ..Default::default() };
    assert_eq!(touched(of_agent(0)), ["q0", "q2"]);
    assert_eq!(touched(of_agent(2)), [] as [&str; 0]);
    let keys = Keys::of_membership(queue(1, 0).name, agent(1, 0).extension);
    assert_eq!(touched(RosterChange::without(keys)), ["q1"]);
    assert_eq!(touched(RosterChange::without(Keys::of_queue(queue(2, 0).name))), ["q2"]);
}
