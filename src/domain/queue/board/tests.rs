//! The board against a model of the server, by chosen and by random stories.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    id::{CustomerCode, QueueName},
    pop::PopState,
    queue::roster::{CallerId, Customer},
};

fn ext(n: u8) -> Extension {
    Extension::new(format!("{n}000"))
}

fn pop(node: u8, call: u8, revision: u32, state: PopState) -> Pop {
    Pop {
        call: CallId(Uuid::from_u128(call.into())),
        revision,
        state,
        extension: ext(node),
        queue: QueueName::new("support"),
        customer: Customer { id: 1, code: CustomerCode::new("1"), name: "C".into() },
        caller: CallerId::default(),
        entered_at: Timestamp::UNIX_EPOCH,
        changed_at: Timestamp::UNIX_EPOCH,
    }
}

/// A server that carries out each task when it is told to, and keeps what it was sent.
#[derive(Default)]
struct Server {
    nodes: BTreeMap<Extension, BTreeMap<String, u32>>,
    sent: Vec<(Extension, u64, Task)>,
    published: Vec<(Extension, CallId, u32)>,
    answers: Vec<(Ticket, PopOutcome)>,
    ready: Vec<(Ticket, NodeState)>,
}

impl Server {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Run { extension, epoch, task } => {
                    assert!(!self.sent.iter().any(|(other, _, _)| *other == extension), "two at once on {extension}");
                    self.sent.push((extension, epoch, task));
                }
                Effect::Answer(ticket, outcome) => self.answers.push((ticket, outcome)),
                Effect::NodeIs(ticket, state) => self.ready.push((ticket, state)),
            }
        }
        assert!(self.sent.len() <= IN_FLIGHT);
    }

    /// Carries out the n-th task that was sent and gives its report.
    fn work(&mut self, index: usize) -> Event {
        let (extension, epoch, task) = self.sent.remove(index);
        let result = match task {
            Task::Ensure(_) => {
                self.nodes.entry(extension.clone()).or_default();
                Done::Well
            }
            Task::Look => self.nodes.get(&extension).map_or(Done::NoNode, |items| {
                Done::Holds(items.iter().map(|(id, revision)| (id.clone(), Some(*revision))).collect())
            }),
            Task::Publish(pop) => match self.nodes.get_mut(&extension) {
                Some(items) => {
                    items.insert(pop.call.to_string(), pop.revision);
                    self.published.push((extension.clone(), pop.call, pop.revision));
                    Done::Well
                }
                None => Done::NoNode,
            },
            Task::Retract(item) => match self.nodes.get_mut(&extension) {
                Some(items) => {
                    items.remove(&item);
                    Done::Well
                }
                None => Done::NoNode,
            },
        };
        Event::Done { extension, epoch, result }
    }
}

struct Pair {
    board: Board,
    server: Server,
}

impl Pair {
    fn online() -> Self {
        let mut pair = Self { board: Board::default(), server: Server::default() };
        pair.step(Event::Online);
        pair
    }

    fn step(&mut self, event: Event) {
        let effects = self.board.step(event);
        self.server.take(effects);
    }

    fn show(&mut self, pop: Pop, ticket: u64) {
        self.step(Event::Show { pop, ticket: Some(Ticket(ticket)) });
    }

    fn work(&mut self, index: usize) {
        let event = self.server.work(index);
        self.step(event);
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.server.sent.is_empty() {
                return;
            }
            self.work(0);
        }
        panic!("it never comes to rest: {:?}", self.server.sent);
    }
}

#[test]
fn a_pop_goes_up_and_is_confirmed_and_its_end_is_shown_before_it_is_taken_away() {
    let mut pair = Pair::online();
    pair.show(pop(1, 1, 1, PopState::Offered), 1);
    pair.settle();
    assert_eq!(pair.server.answers, [(Ticket(1), PopOutcome::Confirmed)]);
    pair.step(Event::Show { pop: pop(1, 1, 2, PopState::Withdrawn), ticket: None });
    pair.settle();
    assert_eq!(pair.server.published.iter().map(|(_, _, revision)| *revision).collect::<Vec<_>>(), [1, 2]);
    assert!(pair.server.nodes[&ext(1)].is_empty());
}

#[test]
fn a_revision_that_is_overtaken_before_it_was_sent_is_not_sent() {
    let mut pair = Pair::online();
    pair.show(pop(1, 1, 1, PopState::Offered), 1);
    pair.show(pop(1, 1, 2, PopState::Ringing), 2);
    pair.show(pop(1, 1, 3, PopState::Answered), 3);
    pair.settle();
    assert_eq!(pair.server.published.len(), 1);
    assert_eq!(pair.server.answers.len(), 3);
}

#[test]
fn a_caller_who_hangs_up_before_the_pop_was_sent_leaves_no_trace() {
    let mut pair = Pair::online();
    pair.show(pop(1, 1, 1, PopState::Offered), 1);
    pair.step(Event::Show { pop: pop(1, 1, 2, PopState::Withdrawn), ticket: None });
    pair.settle();
    assert_eq!(pair.server.published, []);
}

#[test]
fn without_a_link_a_publish_is_answered_at_once_and_nothing_is_sent() {
    let mut pair = Pair { board: Board::default(), server: Server::default() };
    pair.show(pop(1, 1, 1, PopState::Offered), 1);
    pair.step(Event::Need { extension: ext(1), ticket: Ticket(2) });
    assert_eq!(pair.server.answers, [(Ticket(1), PopOutcome::LinkDown)]);
    assert_eq!(pair.server.ready, [(Ticket(2), NodeState::LinkDown)]);
    assert!(pair.server.sent.is_empty());
}

#[test]
fn a_node_that_the_server_refuses_is_not_asked_for_again_and_again() {
    let mut pair = Pair::online();
    pair.show(pop(1, 1, 1, PopState::Offered), 1);
    for _ in 0..10 {
        let Some((extension, epoch, _)) = pair.server.sent.pop() else { break };
        pair.step(Event::Done { extension, epoch, result: Done::Refused });
    }
    assert!(pair.server.sent.is_empty());
    assert_eq!(pair.server.answers, [(Ticket(1), PopOutcome::Refused)]);
    pair.step(Event::Tick);
    assert_eq!(pair.server.sent.len(), 1);
}

#[test]
fn an_item_of_a_call_that_nobody_knows_is_taken_away_after_a_start() {
    let mut pair = Pair { board: Board::default(), server: Server::default() };
    pair.server.nodes.insert(ext(1), BTreeMap::from([("left over".into(), 7)]));
    pair.step(Event::Access { nodes: BTreeMap::from([(ext(1), BTreeSet::new())]), everywhere: BTreeSet::new() });
    pair.step(Event::Online);
    pair.settle();
    assert!(pair.server.nodes[&ext(1)].is_empty());
}

#[test]
fn a_change_of_one_agent_concerns_their_node_alone_and_one_who_is_gone_sees_nothing() {
    let readers = |who: &str| BTreeSet::from([who.to_owned()]);
    let mut pair = Pair { board: Board::default(), server: Server::default() };
    let nodes = (1..4).map(|n| (ext(n), readers("one"))).collect();
    pair.step(Event::Access { nodes, everywhere: readers("crm") });
    pair.step(Event::Online);
    pair.settle();
    pair.step(Event::AccessChanged { extension: ext(1), readers: readers("one") });
    assert!(pair.server.sent.is_empty(), "nothing has changed");
    for (extension, now) in [(ext(1), readers("two")), (ext(2), BTreeSet::new()), (ext(9), readers("nine"))] {
        pair.step(Event::AccessChanged { extension: extension.clone(), readers: now.clone() });
        let all = now.into_iter().chain(readers("crm")).collect();
        assert!(matches!(&pair.server.sent[..], [(of, _, Task::Ensure(to))] if *of == extension && *to == all));
        pair.settle();
    }
}

#[test]
fn a_live_pop_is_confirmed_before_five_hundred_nodes_are_made() {
    let mut pair = Pair { board: Board::default(), server: Server::default() };
    let nodes = (0..500).map(|n| (Extension::new(n.to_string()), BTreeSet::new())).collect();
    pair.step(Event::Access { nodes, everywhere: BTreeSet::new() });
    pair.step(Event::Online);
    pair.show(pop(1, 1, 1, PopState::Offered), 1);
    let mut done = 0;
    while pair.server.answers.is_empty() {
        pair.work(0);
        done += 1;
    }
    // Each of its own three tasks waits for those that were sent before it.
    assert!(done < 4 * IN_FLIGHT, "{done}");
}

#[derive(Debug, Clone)]
enum Act {
    Next { node: u8, call: u8, is_final: bool },
    Work(usize),
    Lose(usize),
    Vanish(u8),
    Down,
    Online,
    Resumed,
    Tick,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..3_u8, 0..6_u8, prop::bool::weighted(0.3)).prop_map(|(node, call, is_final)| Act::Next { node, call, is_final }),
        8 => (0..8_usize).prop_map(Act::Work),
        1 => (0..8_usize).prop_map(Act::Lose),
        1 => (0..3_u8).prop_map(Act::Vanish),
        1 => Just(Act::Down),
        1 => Just(Act::Online),
        1 => Just(Act::Resumed),
        1 => Just(Act::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever gets lost, vanishes or comes late: once the link stands and all work is done, the server shows exactly
    /// the live pops, each node had one task at a time, revisions never went back, and everyone who waited was answered.
    #[test]
    fn in_the_end_the_nodes_show_the_truth(acts in prop::collection::vec(act(), 0..120)) {
        let mut pair = Pair { board: Board::default(), server: Server::default() };
        let mut live: BTreeMap<(u8, u8), u32> = BTreeMap::new();
        let mut revision = 0;
        let mut tickets = 0;
        for act in acts {
            match act {
                Act::Next { node, call, is_final } => {
                    // A call is on one desk at a time.
                    if live.keys().any(|(other, same)| *same == call && *other != node) {
                        continue;
                    }
                    revision += 1;
                    if is_final {
                        if live.remove(&(node, call)).is_some() {
                            pair.step(Event::Show { pop: pop(node, call, revision, PopState::Ended), ticket: None });
                        }
                    } else {
                        live.insert((node, call), revision);
                        tickets += 1;
                        pair.show(pop(node, call, revision, PopState::Ringing), tickets);
                    }
                }
                Act::Work(index) if index < pair.server.sent.len() => pair.work(index),
                Act::Lose(index) if index < pair.server.sent.len() => {
                    let (extension, epoch, _) = pair.server.sent.remove(index);
                    pair.step(Event::Done { extension, epoch, result: Done::Unknown });
                }
                Act::Work(_) | Act::Lose(_) => {}
                Act::Vanish(node) => {
                    pair.server.nodes.remove(&ext(node));
                }
                Act::Down => pair.step(Event::Down),
                Act::Online => pair.step(Event::Online),
                Act::Resumed => pair.step(Event::Resumed),
                Act::Tick => pair.step(Event::Tick),
            }
        }
        // The link breaks once more: what is under way is lost, carried out or not.
        pair.step(Event::Down);
        while !pair.server.sent.is_empty() {
            pair.work(0);
        }
        pair.step(Event::Online);
        pair.settle();
        prop_assert!(pair.board.is_idle());
        let shown: BTreeMap<(Extension, String), u32> = pair.server.nodes.iter()
            .flat_map(|(node, items)| items.iter().map(move |(id, revision)| ((node.clone(), id.clone()), *revision)))
            .collect();
        let wanted: BTreeMap<(Extension, String), u32> = live.iter()
            .map(|((node, call), revision)| ((ext(*node), CallId(Uuid::from_u128((*call).into())).to_string()), *revision))
            .collect();
        prop_assert_eq!(shown, wanted);
        let mut last = BTreeMap::new();
        for (node, call, revision) in &pair.server.published {
            prop_assert!(last.insert((node, *call), *revision).is_none_or(|before| before <= *revision));
        }
        let answered: BTreeSet<Ticket> = pair.server.answers.iter().map(|(ticket, _)| *ticket).collect();
        prop_assert_eq!(answered.len(), pair.server.answers.len(), "answered twice");
    }
}
