//! What Asterisk's own app_queue must hold, so that it can answer with the same members while the service is away.
//!
//! Owns the comparison of the roster with what app_queue says it has. Whom a queue of ours does not know is taken out of
//! it: the roster is the only truth about a queue that it names. Wrap-up is not mirrored: it is over sooner than it matters.

use std::collections::BTreeMap;

use crate::domain::{
    id::{Extension, Interface, QueueName},
    queue::roster::{Agent, Register},
};

/// What app_queue knows of a member, as far as it is ours to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Lower first.
    pub penalty: u32,
    /// Whether they are to be rung.
    pub paused: Paused,
}

/// Whether a member may be rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// Not now.
    Yes,
    /// Yes.
    No,
}

/// A member as the roster wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Shown by Asterisk as the member's name.
    pub extension: Extension,
    /// The rest.
    pub entry: Entry,
}

/// The members of one queue, by what rings for them.
pub type Members = BTreeMap<Interface, Member>;

/// Those of all queues; a queue without a member is there as well.
pub type Queues = BTreeMap<QueueName, Members>;

/// What app_queue says of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whom it named.
    pub members: BTreeMap<Interface, Entry>,
    /// Whether it named all.
    pub listing: Listing,
}

/// Whether a list is complete: Asterisk hands out some 4,000 characters of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// It is.
    Whole,
    /// Who is not on it may be there all the same.
    Cut,
}

/// What brings a queue of app_queue in step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Puts a member in; harmless when they are.
    Add(Interface, Member),
    /// Sets penalty and pause of one who is there.
    Change(Interface, Member),
    /// Takes a member out; harmless when they are not there.
    Remove(Interface),
}

/// What app_queue is to hold in that queue: those who are logged on. Where two agents share a phone, the first one counts.
/// `None`: the queue is not ours.
pub fn wanted(roster: &Register, queue: &QueueName) -> Option<Members> {
    roster.queue(queue)?;
    let mut members = Members::new();
    for membership in roster.members(queue).filter(|membership| membership.logged_on) {
        let Some(agent) = roster.agent(&membership.extension) else { continue };
        let paused = if pauses(agent, queue) { Paused::Yes } else { Paused::No };
        let entry = Entry { penalty: membership.penalty, paused };
        let member = Member { extension: agent.extension.clone(), entry };
        members.entry(agent.interface.clone()).or_insert(member);
    }
    Some(members)
}

fn pauses(agent: &Agent, queue: &QueueName) -> bool {
    agent.pauses.iter().any(|pause| pause.queue.as_ref().is_none_or(|only| only == queue))
}

/// What makes `found` into `wanted`, for one queue. `told` is what was said to app_queue before on this connection: it
/// stands for what a list that was cut does not show.
pub fn steps(wanted: &Members, told: &Members, found: &Found) -> Vec<Step> {
    let hidden = |interface: &Interface| found.listing == Listing::Cut && !found.members.contains_key(interface);
    let listed = found.members.keys().filter(|interface| !wanted.contains_key(*interface));
    let unlisted = told.keys().filter(|interface| !wanted.contains_key(*interface) && hidden(interface));
    let mut steps: Vec<Step> = listed.chain(unlisted).cloned().map(Step::Remove).collect();
    for (interface, member) in wanted {
        match found.members.get(interface) {
            Some(entry) if *entry == member.entry => {}
            Some(_) => steps.push(Step::Change(interface.clone(), member.clone())),
            None if hidden(interface) && told.get(interface) == Some(member) => {}
            None => steps.push(Step::Add(interface.clone(), member.clone())),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::queue::roster::{Membership, Pause, PauseKind, Queue, Roster};

    fn agent(extension: &str, pauses: &[Option<&str>]) -> Agent {
        let pause = |queue: &Option<&str>| Pause {
            queue: queue.map(QueueName::new),
            kind: PauseKind::Manual,
            reason: String::new(),
            since: Timestamp::UNIX_EPOCH,
        };
        Agent {
            extension: Extension::new(extension),
            name: String::new(),
            jid: String::new(),
            interface: Interface::new(format!("PJSIP/{extension}")),
            pauses: pauses.iter().map(pause).collect(),
        }
    }

    fn queue(name: &str) -> Queue {
        Queue::new(QueueName::new(name))
    }

    fn membership(queue: &str, extension: &str, logged_on: bool, penalty: u32) -> Membership {
        Membership { logged_on, penalty, ..Membership::new(QueueName::new(queue), Extension::new(extension)) }
    }

    #[test]
    fn only_who_is_logged_on_is_wanted_with_penalty_and_the_pauses_of_that_queue() {
        let roster = Roster {
            agents: vec![agent("1000", &[Some("sales")]), agent("2000", &[None]), agent("3000", &[])],
            queues: vec![queue("sales"), queue("support")],
            memberships: vec![
                membership("sales", "1000", true, 0),
                membership("support", "1000", true, 2),
                membership("support", "2000", true, 0),
                membership("support", "3000", false, 0),
                membership("gone", "1000", true, 0),
            ],
        };
        let register = Register::from(&roster);
        assert_eq!(wanted(&register, &QueueName::new("gone")), None);
        let wanted: Queues =
            register.queues().map(|queue| (queue.name.clone(), wanted(&register, &queue.name).unwrap())).collect();
        let shown: Vec<_> = wanted
            .iter()
            .flat_map(|(queue, members)| members.iter().map(move |(i, m)| (queue, i, m.entry)))
            .map(|(queue, interface, entry)| format!("{queue} {interface} {} {:?}", entry.penalty, entry.paused))
            .collect();
        assert_eq!(shown, ["sales PJSIP/1000 0 Yes", "support PJSIP/1000 2 No", "support PJSIP/2000 0 Yes"]);
    }

    #[test]
    fn a_queue_whose_last_member_logged_off_is_emptied() {
        let register = Register::from(&Roster { queues: vec![queue("support")], ..Roster::default() });
        let left = Found {
            members: BTreeMap::from([(Interface::new("PJSIP/1000"), Entry { penalty: 0, paused: Paused::No })]),
            listing: Listing::Whole,
        };
        let steps = steps(&wanted(&register, &QueueName::new("support")).unwrap(), &Members::new(), &left);
        assert_eq!(steps, [Step::Remove(Interface::new("PJSIP/1000"))]);
    }

    fn entries() -> impl Strategy<Value = Entry> {
        (0..3_u32, prop_oneof![Just(Paused::Yes), Just(Paused::No)])
            .prop_map(|(penalty, paused)| Entry { penalty, paused })
    }

    fn members() -> impl Strategy<Value = Members> {
        prop::collection::btree_map(0..8_u32, entries(), 0..8).prop_map(|map| {
            let member = |(number, entry)| {
                (Interface::new(format!("PJSIP/{number}")), Member { extension: Extension::new("x"), entry })
            };
            map.into_iter().map(member).collect()
        })
    }

    fn after(mut real: BTreeMap<Interface, Entry>, steps: Vec<Step>) -> BTreeMap<Interface, Entry> {
        for step in steps {
            match step {
                Step::Add(interface, member) => drop(real.insert(interface, member.entry)),
                Step::Change(interface, member) => *real.get_mut(&interface).unwrap() = member.entry,
                Step::Remove(interface) => drop(real.remove(&interface)),
            }
        }
        real
    }

    fn plain(members: &Members) -> BTreeMap<Interface, Entry> {
        members.iter().map(|(interface, member)| (interface.clone(), member.entry)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_app_queue_has_it_has_what_is_wanted_after_the_steps(wanted in members(), told in members(), real in members()) {
            let found = Found { members: plain(&real), listing: Listing::Whole };
            let steps = steps(&wanted, &told, &found);
            prop_assert_eq!(after(found.members, steps), plain(&wanted));
        }

        #[test]
        fn a_list_that_was_cut_is_made_up_for_by_what_was_told(wanted in members(), told in members(), shown in 0..8_usize) {
            let real = plain(&told);
            let found = Found { members: real.clone().into_iter().take(shown).collect(), listing: Listing::Cut };
            prop_assert_eq!(after(real, steps(&wanted, &told, &found)), plain(&wanted));
        }

        #[test]
        fn who_is_as_wanted_is_left_alone(wanted in members(), told in members()) {
            let found = Found { members: plain(&wanted), listing: Listing::Whole };
            prop_assert_eq!(steps(&wanted, &told, &found), []);
        }
    }
}
