//! What becomes of members who are away from their XMPP clients, as each queue wants it: paused, or warned and logged off.
//!
//! What people say counts more than what their clients show: a pause by hand is never ended here, who is paused by hand is not paused
//! once more, and who logs on or resumes is there from that moment on, whatever their client shows.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    time::{Duration, Instant},
};

use crate::domain::{
    id::{Extension, QueueName},
    now::Now,
    queue::roster::{Agent, Membership, PauseKind, Register},
};

/// From the warning to the log-off, usually.
pub const GRACE: Duration = Duration::from_secs(60);
/// The longest reason that a pause may have, in characters: that of the schema.
const LONGEST: usize = 200;
/// Resources of one person that are remembered; who has more of them shows nothing by the others.
const RESOURCES: usize = 32;

/// What a queue makes of its members' presence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PresencePolicy {
    /// After so long away, or not to be disturbed, they are paused there until they are available; zero: not at all.
    pub away: Duration,
    /// After so long at no client they are warned, and [`GRACE`] later logged off there; zero: not at all.
    pub offline: Duration,
}

impl PresencePolicy {
    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        !self.away.is_zero() || !self.offline.is_zero()
    }
}

/// What one client shows (RFC 6121 section 4.7.2.1); `chat` counts as available and `xa` as away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Show {
    /// They are there.
    Available,
    /// They are not to be disturbed.
    Dnd,
    /// They are not there.
    Away,
}

impl Show {
    /// The word for it in a reason.
    fn word(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Dnd => "dnd",
            Self::Away => "away",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something is changed about an agent.
    Change(Extension, Deed),
    /// They are told that they are going to be logged off from these queues.
    Warn(Extension, Vec<QueueName>),
}

/// A change by presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Paused
    Pause {
        /// in this queue,
        queue: QueueName,
        /// because of this: `dnd`, or `away: at the dentist`.
        reason: String,
    },
    /// The pause by presence ends.
    Resume {
        /// In this queue; `None`: that everywhere.
        queue: Option<QueueName>,
    },
    /// Logged off
    LogOff {
        /// from this queue.
        queue: QueueName,
    },
}

impl Deed {
    /// The queue that it is about.
    pub fn queue(&self) -> Option<&QueueName> {
        match self {
            Self::Pause { queue, .. } | Self::LogOff { queue } => Some(queue),
            Self::Resume { queue } => queue.as_ref(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Shows(Show),
    Offline,
}

#[derive(Debug)]
struct Person {
    resources: BTreeMap<String, (Show, String)>,
    state: State,
    /// Since when they are not available, or are.
    since: Instant,
    /// Which warnings were given, and when.
    warned: BTreeMap<QueueName, Instant>,
}

impl Person {
    fn new(since: Instant) -> Self {
        Self { resources: BTreeMap::new(), state: State::Offline, since, warned: BTreeMap::new() }
    }

    /// The best that any of their clients shows.
    fn settle(&mut self, since: Instant) {
        let best = self.resources.values().map(|(show, _)| *show).min();
        let state = best.map_or(State::Offline, State::Shows);
        let span = |state| match state {
            State::Shows(Show::Available) => 0,
            State::Shows(Show::Away | Show::Dnd) => 1,
            State::Offline => 2,
        };
        // Whoever goes from away to not-to-be-disturbed is not there for as long as before.
        if span(state) != span(self.state) {
            self.since = since;
        }
        self.state = state;
    }

    /// Forgets warnings after which they have come back, or have said to be there.
    fn tidy(&mut self, agent: &Agent, books: &Register, now: Now) {
        let (is_offline, since) = (self.state == State::Offline, self.since);
        self.warned.retain(|queue, _| {
            let member = books.queues_of(&agent.extension).find(|member| member.queue == *queue && member.logged_on);
            is_offline && member.is_some_and(|member| is_due(member, books, since, now, |policy| policy.offline))
        });
    }

    fn reason(&self, show: Show) -> String {
        let text = self.resources.values().find(|(shown, text)| *shown == show && !text.is_empty());
        let text = text.map(|(_, text)| text.split(|c: char| c.is_control() || c.is_whitespace()));
        let text: Vec<&str> = text.into_iter().flatten().filter(|word| !word.is_empty()).collect();
        let reason = if text.is_empty() { show.word().into() } else { format!("{}: {}", show.word(), text.join(" ")) };
        reason.chars().take(LONGEST).collect()
    }
}

/// What is known of people's presence. `K` is how they are addressed.
#[derive(Debug)]
pub struct Watch<K> {
    people: HashMap<K, Person>,
    /// Who has agreed to be seen. Of others nothing is known, whatever a server says of them.
    agreed: HashSet<K>,
    grace: Duration,
    is_blind: bool,
}

impl<K: Eq + Hash + Clone> Watch<K> {
    /// One that knows nothing yet; from a warning to the log-off it is `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { people: HashMap::new(), agreed: HashSet::new(), grace, is_blind: true }
    }

    /// Whether anything can be seen now: if not, nothing is to be done.
    pub fn sees(&mut self, sees: bool) {
        self.is_blind = !sees;
    }

    /// A client shows this, since then.
    pub fn shows(&mut self, who: &K, resource: &str, show: Show, text: &str, since: Instant) {
        let person = self.people.entry(who.clone()).or_insert_with(|| Person::new(since));
        if person.resources.len() >= RESOURCES && !person.resources.contains_key(resource) {
            return;
        }
        let is_new = person.resources.insert(resource.to_owned(), (show, text.to_owned())).is_none();
        person.settle(since);
        // Somebody came to this client then.
        if is_new {
            person.since = person.since.max(since);
        }
    }

    /// A client has gone, at that time; one of which nothing was known tells that the person can be seen.
    pub fn leaves(&mut self, who: &K, resource: &str, at: Instant) {
        let person = self.people.entry(who.clone()).or_insert_with(|| Person::new(at));
        person.resources.remove(resource);
        person.settle(at);
    }

    /// None of their clients is there, if nothing else is known.
    pub fn is_offline(&mut self, who: &K, since: Instant) {
        self.people.entry(who.clone()).or_insert_with(|| Person::new(since));
    }

    /// They have agreed to be seen: that they are not there was said too early (Prosody calls everybody unavailable who is asked).
    pub fn agrees(&mut self, who: &K) {
        let is_new = self.agreed.insert(who.clone());
        if is_new && self.people.get(who).is_some_and(|person| person.state == State::Offline) {
            self.people.remove(who);
        }
    }

    /// They cannot be seen any more.
    pub fn unseen(&mut self, who: &K) {
        self.agreed.remove(who);
        self.people.remove(who);
    }

    /// The connection is a new one: nothing is known.
    pub fn forget_all(&mut self) {
        self.people.clear();
        self.agreed.clear();
    }

    /// How many people can be seen.
    pub fn seen(&self) -> usize {
        self.people.keys().filter(|who| self.agreed.contains(who)).count()
    }

    /// What is to be done now. The same again until the books say that it was done, or a warning was [`Watch::warned`] of.
    pub fn steps(&mut self, books: &Register, address: impl Fn(&Agent) -> Option<K>, now: Now) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.is_blind {
            return steps;
        }
        for agent in books.agents() {
            let who = address(agent).filter(|who| self.agreed.contains(who));
            let person = who.and_then(|who| self.people.get_mut(&who));
            end_pauses(agent, person.as_deref(), books, &mut steps);
            if let Some(person) = person {
                person.tidy(agent, books, now);
                of_person(agent, person, books, (now, self.grace), &mut steps);
            }
        }
        steps
    }

    /// They were warned of being logged off from these queues.
    pub fn warned(&mut self, who: &K, queues: &[QueueName], at: Instant) {
        if let Some(person) = self.people.get_mut(who) {
            person.warned.extend(queues.iter().map(|queue| (queue.clone(), at)));
        }
    }
}

/// Which pauses by presence end.
fn end_pauses(agent: &Agent, person: Option<&Person>, books: &Register, steps: &mut Vec<Step>) {
    let is_back = person.is_some_and(|person| person.state == State::Shows(Show::Available));
    for pause in agent.pauses.iter().filter(|pause| pause.kind == PauseKind::Presence) {
        let is_wanted = pause.queue.as_ref().is_some_and(|queue| {
            let away = books.queue(queue).is_some_and(|queue| !queue.presence.away.is_zero());
            away && books.queues_of(&agent.extension).any(|member| member.queue == *queue && member.logged_on)
        });
        if is_back || !is_wanted {
            steps.push(Step::Change(agent.extension.clone(), Deed::Resume { queue: pause.queue.clone() }));
        }
    }
}

fn of_person(agent: &Agent, person: &Person, books: &Register, (now, grace): (Now, Duration), steps: &mut Vec<Step>) {
    let extension = || agent.extension.clone();
    let members = || books.queues_of(&agent.extension).filter(|member| member.logged_on);
    match person.state {
        State::Shows(Show::Available) => {}
        State::Shows(show) => {
            for member in members() {
                let is_paused = agent.pauses.iter().any(|pause| {
                    let applies = pause.queue.as_ref().is_none_or(|queue| *queue == member.queue);
                    applies && matches!(pause.kind, PauseKind::Manual | PauseKind::Presence)
                });
                if !is_paused && is_due(member, books, person.since, now, |policy| policy.away) {
                    let reason = person.reason(show);
                    steps.push(Step::Change(extension(), Deed::Pause { queue: member.queue.clone(), reason }));
                }
            }
        }
        State::Offline => {
            let due = members().filter(|member| is_due(member, books, person.since, now, |policy| policy.offline));
            let (warned, unwarned): (Vec<_>, Vec<_>) =
                due.map(|member| member.queue.clone()).partition(|queue| person.warned.contains_key(queue));
            if !unwarned.is_empty() {
                steps.push(Step::Warn(extension(), unwarned));
            }
            for queue in warned {
                let warned = person.warned.get(&queue);
                if warned.is_some_and(|at| now.steady.saturating_duration_since(*at) >= grace) {
                    steps.push(Step::Change(extension(), Deed::LogOff { queue }));
                }
            }
        }
    }
}

/// Whether somebody has been so for as long as the queue allows; who logged on or resumed was there then.
fn is_due(
    member: &Membership,
    books: &Register,
    since: Instant,
    now: Now,
    limit: impl Fn(&PresencePolicy) -> Duration,
) -> bool {
    let limit = books.queue(&member.queue).map(|queue| limit(&queue.presence)).unwrap_or_default();
    let shown = now.steady.saturating_duration_since(since);
    let back = member.back_at.map_or(member.joined_at, |back| back.max(member.joined_at));
    let said = Duration::try_from(now.utc.duration_since(back)).unwrap_or_default();
    !limit.is_zero() && shown >= limit && said >= limit
}

#[cfg(test)]
mod tests;
