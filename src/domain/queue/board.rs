//! What is on which extension's node: decides the next thing to do there so that it shows the truth.
//!
//! A machine that holds, for each node, what should be shown and what the server is known to show, and does one thing
//! at a time on each node, so that the order of a call's revisions is kept. A revision that a newer one has overtaken
//! is never sent. Owns no connection and no clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::domain::{
    id::{CallId, Extension},
    pop::{Pop, PopOutcome},
};

/// Things under way at once, over all nodes: more make the server slower (measured), fewer leave it idle.
pub const IN_FLIGHT: usize = 32;
/// Failures in a row after which a node is left alone until something about it changes.
const ENOUGH: u32 = 3;

/// Names somebody who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the board is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// This is to be shown; a final state: shown, then taken away.
    Show {
        /// What.
        pop: Pop,
        /// Who waits for it to be confirmed.
        ticket: Option<Ticket>,
    },
    /// Who may see which node; nodes that are not there any more are closed to all but `everywhere`.
    Access {
        /// Readers of each agent's node.
        nodes: BTreeMap<Extension, BTreeSet<String>>,
        /// Readers of every node.
        everywhere: BTreeSet<String>,
    },
    /// Who may see this node besides those who may see every one; nobody when its agent is not there any more.
    AccessChanged {
        /// Whose.
        extension: Extension,
        /// Its readers.
        readers: BTreeSet<String>,
    },
    /// The node has to exist.
    Need {
        /// Whose.
        extension: Extension,
        /// Who waits.
        ticket: Ticket,
    },
    /// A fresh session: nothing is known of the server.
    Online,
    /// The session goes on where it broke.
    Resumed,
    /// There is no link.
    Down,
    /// What an effect asked for is over.
    Done {
        /// On whose node.
        extension: Extension,
        /// The link's number in the effect.
        epoch: u64,
        /// How it went.
        result: Done,
    },
    /// Some time has passed: nodes that were left alone are tried again.
    Tick,
}

/// How a task went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It worked.
    Well,
    /// The node holds these items: id, and revision where it can be read.
    Holds(Vec<(String, Option<u32>)>),
    /// There is no such node.
    NoNode,
    /// The server said no.
    Refused,
    /// Nobody knows whether it was carried out.
    Unknown,
    /// It was not sent.
    NotSent,
}

/// One thing to do on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Make sure it exists, open to these.
    Ensure(BTreeSet<String>),
    /// See what it holds.
    Look,
    /// Publish this.
    Publish(Box<Pop>),
    /// Take this item away.
    Retract(String),
}

/// What the board asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Do this, and report it as [`Event::Done`].
    Run {
        /// On whose node.
        extension: Extension,
        /// Goes back in the report.
        epoch: u64,
        /// What.
        task: Task,
    },
    /// Tell who waits for a publish.
    Answer(Ticket, PopOutcome),
    /// Tell who waits for a node whether it is there.
    NodeIs(Ticket, NodeState),
}

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It exists with the right access.
    There,
    /// It could not be made.
    Failed,
    /// There is no link.
    LinkDown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Has to be made sure of.
    Nothing,
    /// Exists; what it holds is to be looked up.
    Exists,
    /// Exists, and the slots say what it holds.
    All,
    /// Was tried enough; left alone until something changes.
    GaveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Revision(u32),
    Unknown,
}

#[derive(Debug)]
struct Slot {
    pop: Pop,
    order: u64,
    shown: Shown,
    refused: Option<u32>,
    tickets: Vec<(u32, Ticket)>,
}

impl Slot {
    fn is_settled(&self) -> bool {
        self.shown == Shown::Revision(self.pop.revision) || self.refused == Some(self.pop.revision)
    }

    fn answer(&mut self, up_to: u32, outcome: PopOutcome, effects: &mut Vec<Effect>) {
        self.tickets.retain(|(revision, ticket)| {
            let due = *revision <= up_to;
            if due {
                effects.push(Effect::Answer(*ticket, outcome));
            }
            !due
        });
    }
}

#[derive(Debug)]
struct Node {
    readers: BTreeSet<String>,
    known: Known,
    slots: BTreeMap<CallId, Slot>,
    strays: BTreeSet<String>,
    waiting: Vec<Ticket>,
    running: Option<Task>,
    failures: u32,
    queued: bool,
}

/// The machine. See the module.
#[derive(Debug)]
pub struct Board {
    nodes: BTreeMap<Extension, Node>,
    everywhere: BTreeSet<String>,
    link: Link,
    epoch: u64,
    order: u64,
    running: usize,
    urgent: VecDeque<Extension>,
    routine: VecDeque<Extension>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::new(),
            everywhere: BTreeSet::new(),
            link: Link::Down,
            epoch: 0,
            order: 0,
            running: 0,
            urgent: VecDeque::new(),
            routine: VecDeque::new(),
        }
    }
}

impl Board {
    /// Takes in one event and says what is to be done.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Show { pop, ticket } => self.show(pop, ticket, &mut effects),
            Event::Access { nodes, everywhere } => self.access(&nodes, everywhere),
            Event::AccessChanged { extension, readers } => self.open_to(&extension, readers),
            Event::Need { extension, ticket } => self.need(extension, ticket, &mut effects),
            Event::Online => self.online(),
            Event::Resumed => self.resumed(),
            Event::Down => self.down(&mut effects),
            Event::Done { extension, epoch, result } => self.done(&extension, epoch, result, &mut effects),
            Event::Tick => self.tick(),
        }
        self.start(&mut effects);
        effects
    }

    /// Things that are asked for and not reported yet.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether nothing is left to do, as far as the link allows.
    pub fn is_idle(&self) -> bool {
        self.running == 0 && (self.link == Link::Down || (self.urgent.is_empty() && self.routine.is_empty()))
    }

    fn node(&mut self, extension: &Extension) -> &mut Node {
        let everywhere = &self.everywhere;
        self.nodes.entry(extension.clone()).or_insert_with(|| Node {
            readers: everywhere.clone(),
            known: Known::Nothing,
            slots: BTreeMap::new(),
            strays: BTreeSet::new(),
            waiting: Vec::new(),
            running: None,
            failures: 0,
            queued: false,
        })
    }

    fn show(&mut self, pop: Pop, ticket: Option<Ticket>, effects: &mut Vec<Effect>) {
        self.order += 1;
        let (order, link) = (self.order, self.link);
        let extension = pop.extension.clone();
        let node = self.node(&extension);
        node.try_again();
        let (call, revision) = (pop.call, pop.revision);
        let is_final = pop.state.is_final();
        let slot = node.slots.entry(call).or_insert_with(|| Slot {
            pop: pop.clone(),
            order,
            shown: Shown::Nothing,
            refused: None,
            tickets: Vec::new(),
        });
        if pop.revision >= slot.pop.revision {
            slot.pop = pop;
        }
        if let Some(ticket) = ticket {
            slot.tickets.push((revision, ticket));
        }
        if link == Link::Down {
            slot.answer(u32::MAX, PopOutcome::LinkDown, effects);
            // Nobody saw how it went: after the gap it is taken away without a last word.
            if is_final && node.slots.remove(&call).is_some_and(|slot| slot.shown != Shown::Nothing) {
                node.strays.insert(call.to_string());
            }
        }
        self.queue(&extension, Urgency::Now);
    }

    fn access(&mut self, nodes: &BTreeMap<Extension, BTreeSet<String>>, everywhere: BTreeSet<String>) {
        self.everywhere = everywhere;
        let extensions: BTreeSet<Extension> = self.nodes.keys().chain(nodes.keys()).cloned().collect();
        for extension in extensions {
            self.open_to(&extension, nodes.get(&extension).cloned().unwrap_or_default());
        }
    }

    fn open_to(&mut self, extension: &Extension, mut readers: BTreeSet<String>) {
        readers.extend(self.everywhere.iter().cloned());
        let is_new = !self.nodes.contains_key(extension);
        let node = self.node(extension);
        if is_new || node.readers != readers {
            node.readers = readers;
            node.failures = 0;
            node.known = Known::Nothing;
            self.queue(extension, Urgency::Later);
        }
    }

    fn need(&mut self, extension: Extension, ticket: Ticket, effects: &mut Vec<Effect>) {
        if self.link == Link::Down {
            effects.push(Effect::NodeIs(ticket, NodeState::LinkDown));
            return;
        }
        let node = self.node(&extension);
        node.try_again();
        node.waiting.push(ticket);
        if node.running.is_none() {
            node.answer_waiting(effects);
        }
        self.queue(&extension, Urgency::Now);
    }

    fn online(&mut self) {
        self.link = Link::Up;
        self.epoch += 1;
        for node in self.nodes.values_mut() {
            node.known = Known::Nothing;
            node.failures = 0;
            for slot in node.slots.values_mut() {
                slot.shown = Shown::Unknown;
                slot.refused = None;
            }
        }
        self.queue_all();
    }

    fn resumed(&mut self) {
        self.link = Link::Up;
        self.epoch += 1;
        self.queue_all();
    }

    fn down(&mut self, effects: &mut Vec<Effect>) {
        self.link = Link::Down;
        self.epoch += 1;
        for node in self.nodes.values_mut() {
            for ticket in node.waiting.drain(..) {
                effects.push(Effect::NodeIs(ticket, NodeState::LinkDown));
            }
            for slot in node.slots.values_mut() {
                slot.answer(u32::MAX, PopOutcome::LinkDown, effects);
            }
            // As in `show`: what ends in a gap is taken away without a last word.
            let over: Vec<CallId> =
                node.slots.iter().filter(|(_, slot)| slot.pop.state.is_final()).map(|(call, _)| *call).collect();
            for call in over {
                if node.slots.remove(&call).is_some_and(|slot| slot.shown != Shown::Nothing) {
                    node.strays.insert(call.to_string());
                }
            }
        }
    }

    fn tick(&mut self) {
        for node in self.nodes.values_mut() {
            node.try_again();
        }
        self.queue_all();
    }

    fn done(&mut self, extension: &Extension, epoch: u64, result: Done, effects: &mut Vec<Effect>) {
        self.running = self.running.saturating_sub(1);
        let is_current = epoch == self.epoch;
        let Some(node) = self.nodes.get_mut(extension) else { return };
        let Some(task) = node.running.take() else { return };
        if is_current {
            node.report(task, result, effects);
        } else {
            node.forget(&task);
        }
        if node.running.is_none() && self.link == Link::Up {
            node.answer_waiting(effects);
        }
        self.queue(extension, Urgency::Now);
    }

    fn queue(&mut self, extension: &Extension, urgency: Urgency) {
        let Some(node) = self.nodes.get_mut(extension) else { return };
        match urgency {
            // An entry in the routine queue that is met later is harmless: the node is then found idle.
            Urgency::Now => self.urgent.push_back(extension.clone()),
            Urgency::Later if node.queued => {}
            Urgency::Later => {
                node.queued = true;
                self.routine.push_back(extension.clone());
            }
        }
    }

    fn queue_all(&mut self) {
        for (extension, node) in &mut self.nodes {
            if !node.slots.is_empty() {
                self.urgent.push_back(extension.clone());
            } else if !node.queued {
                node.queued = true;
                self.routine.push_back(extension.clone());
            }
        }
    }

    fn start(&mut self, effects: &mut Vec<Effect>) {
        if self.link == Link::Down {
            self.urgent.clear();
            self.routine.clear();
            self.nodes.values_mut().for_each(|node| node.queued = false);
            return;
        }
        while self.running < IN_FLIGHT {
            let urgent = self.urgent.pop_front();
            let is_routine = urgent.is_none();
            let Some(extension) = urgent.or_else(|| self.routine.pop_front()) else { return };
            let Some(node) = self.nodes.get_mut(&extension) else { continue };
            if is_routine {
                node.queued = false;
            }
            if node.running.is_some() {
                continue;
            }
            let Some(task) = node.next() else { continue };
            node.running = Some(task.clone());
            self.running += 1;
            effects.push(Effect::Run { extension, epoch: self.epoch, task });
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Urgency {
    Now,
    Later,
}

impl Node {
    /// The next thing to do here; also drops what needs nothing any more.
    fn next(&mut self) -> Option<Task> {
        match self.known {
            Known::GaveUp => return None,
            Known::Nothing => return Some(Task::Ensure(self.readers.clone())),
            Known::Exists => return Some(Task::Look),
            Known::All => {}
        }
        self.slots.retain(|_, slot| !(slot.pop.state.is_final() && slot.shown == Shown::Nothing));
        if let Some(stray) = self.strays.first() {
            return Some(Task::Retract(stray.clone()));
        }
        let due = self.slots.values().filter(|slot| !slot.is_settled() || slot.pop.state.is_final());
        let slot = due.min_by_key(|slot| slot.order)?;
        if slot.is_settled() {
            return Some(Task::Retract(slot.pop.call.to_string()));
        }
        Some(Task::Publish(Box::new(slot.pop.clone())))
    }

    fn report(&mut self, task: Task, result: Done, effects: &mut Vec<Effect>) {
        match (task, result) {
            (task, Done::Unknown | Done::NotSent) => {
                self.forget(&task);
                self.failed(effects);
            }
            (task @ (Task::Look | Task::Publish(_) | Task::Retract(_)), Done::NoNode) => {
                self.forget(&task);
                self.known = Known::Nothing;
                self.slots.values_mut().for_each(|slot| slot.shown = Shown::Nothing);
                self.strays.clear();
                self.failed(effects);
            }
            (Task::Ensure(readers), Done::Well) if readers != self.readers => self.known = Known::Nothing,
            // One that was made now is looked into as well: on a server that was killed it may hold what an earlier one did.
            (Task::Ensure(_), Done::Well | Done::Holds(_)) => self.known = Known::Exists,
            (Task::Ensure(_), Done::Refused | Done::NoNode) => {
                self.failures = ENOUGH;
                self.failed(effects);
            }
            (Task::Look, Done::Holds(items)) => {
                self.known = Known::All;
                self.failures = 0;
                self.holds(items);
            }
            (Task::Look, Done::Refused | Done::Well) => {
                // It cannot be looked into: what we put there is still put there.
                self.known = Known::All;
            }
            (Task::Publish(pop), Done::Well | Done::Holds(_)) => {
                self.failures = 0;
                if let Some(slot) = self.slots.get_mut(&pop.call) {
                    slot.shown = Shown::Revision(pop.revision);
                    slot.answer(pop.revision, PopOutcome::Confirmed, effects);
                }
            }
            (Task::Publish(pop), Done::Refused) => {
                if let Some(slot) = self.slots.get_mut(&pop.call) {
                    slot.refused = Some(pop.revision);
                    slot.answer(pop.revision, PopOutcome::Refused, effects);
                }
            }
            (Task::Retract(item), Done::Well | Done::Refused | Done::Holds(_)) => {
                self.strays.remove(&item);
                self.slots.retain(|call, slot| !(slot.pop.state.is_final() && call.to_string() == item));
            }
        }
    }

    /// Nothing is known any more of what this task was about.
    fn forget(&mut self, task: &Task) {
        match task {
            Task::Ensure(_) => self.known = Known::Nothing,
            Task::Publish(pop) => {
                if let Some(slot) = self.slots.get_mut(&pop.call) {
                    slot.shown = Shown::Unknown;
                } else {
                    // It ended in the gap, and its publish may have arrived.
                    self.strays.insert(pop.call.to_string());
                }
            }
            Task::Look | Task::Retract(_) => {}
        }
    }

    fn failed(&mut self, effects: &mut Vec<Effect>) {
        self.failures += 1;
        if self.failures < ENOUGH {
            return;
        }
        self.known = Known::GaveUp;
        for ticket in self.waiting.drain(..) {
            effects.push(Effect::NodeIs(ticket, NodeState::Failed));
        }
        for slot in self.slots.values_mut() {
            slot.answer(u32::MAX, PopOutcome::Refused, effects);
        }
        self.slots.retain(|_, slot| !slot.pop.state.is_final());
    }

    fn try_again(&mut self) {
        if self.known == Known::GaveUp {
            self.known = Known::Nothing;
            self.failures = 0;
        }
    }

    fn answer_waiting(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.known, Known::Exists | Known::All) {
            for ticket in self.waiting.drain(..) {
                effects.push(Effect::NodeIs(ticket, NodeState::There));
            }
        }
    }

    fn holds(&mut self, items: Vec<(String, Option<u32>)>) {
        let mut items: BTreeMap<String, Option<u32>> = items.into_iter().collect();
        for (call, slot) in &mut self.slots {
            slot.shown = match items.remove(&call.to_string()) {
                None => Shown::Nothing,
                Some(Some(revision)) => Shown::Revision(revision),
                Some(None) => Shown::Unknown,
            };
        }
        self.strays = items.into_keys().collect();
    }
}

#[cfg(test)]
mod tests;
