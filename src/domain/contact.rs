//! A queue as a contact in people's rosters: its address, who may see it, and what it shows of itself and of those who serve it.
//!
//! In `board`: what was sent to whom, and what is to be sent now.

pub mod board;

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    command::{Person, visible},
    id::QueueName,
    queue::{
        roster::{Queue, Register},
        summary::Summary,
        view::{LineView, MemberView},
    },
    words::{Language, clock, said},
};

/// The resource by which a contact shows its queue; beside it, each logged-on member has one.
pub const OWN: &str = "Usher";
/// Of a queue with more members, those who are not logged on are not named when a connection begins.
const NAMED: usize = 100;

/// How available somebody is, as RFC 6121 (4.7.2.1) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// No `show`.
    Available,
    /// `away`.
    Away,
    /// `dnd`.
    Busy,
    /// `xa`.
    LongAway,
}

/// What a resource shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// How available it is.
    pub show: Show,
    /// For people to read.
    pub text: String,
    /// The same with every clock at zero: what of it changes by more than that time passes.
    pub fixed: String,
}

impl Shown {
    /// `text` is asked for with the time, and without.
    fn new(show: Show, time: Duration, text: impl Fn(Duration) -> String) -> Self {
        Self { show, text: text(time), fixed: text(Duration::ZERO) }
    }
}

/// The part of a queue's address before the `@`: addresses know no capital letters, and whatever else a queue's name may have stands there
/// as it is. Of queues that differ by capital letters alone the one without any has the address, else the first by name; `None`: another has it.
pub fn name_of(queue: &QueueName, books: &Register) -> Option<String> {
    let name = place(queue);
    (&queue_at(name.as_str(), books)?.name == queue).then(|| name.to_string())
}

/// The address of a queue, by which it is known to those who see it: that of all queues that differ by capital letters alone.
pub fn place(queue: &QueueName) -> QueueName {
    QueueName::new(queue.as_str().to_lowercase())
}

/// The queue at an address, of which this is the part before the `@`.
pub fn queue_at<'a>(name: &str, books: &'a Register) -> Option<&'a Queue> {
    let place = QueueName::new(name);
    let is_there = |queue: &&Queue| self::place(&queue.name) == place;
    books.queue(&place).filter(is_there).or_else(|| books.queues().find(is_there))
}

/// Whether somebody may see a queue's contact: who may ask who waits there.
pub fn may_see(person: &Person, queue: &QueueName, books: &Register) -> bool {
    visible(person, books).contains(queue)
}

/// What a queue's contact shows, by resource: the queue, and its logged-on members.
pub fn resources(view: &LineView, books: &Register, language: Language) -> BTreeMap<String, Shown> {
    let members = view.members.iter().filter_map(|(extension, doing)| {
        let agent = books.agent(extension)?;
        Some((agent.shown(), member(doing, language)))
    });
    // Last: an extension may be called as it is.
    members.chain([(OWN.to_owned(), queue(&view.summary, language))]).collect()
}

/// Resources of members who are not logged on, and perhaps were when the contact was last seen.
pub fn resources_gone(queue: &QueueName, books: &Register) -> Vec<String> {
    if books.members(queue).nth(NAMED).is_some() {
        return vec![];
    }
    let off = books.members(queue).filter(|row| !row.logged_on);
    off.filter_map(|row| Some(books.agent(&row.extension)?.shown())).filter(|shown| shown != OWN).collect()
}

fn queue(summary: &Summary, language: Language) -> Shown {
    let show = match summary {
        Summary { members: 0, .. } => Show::LongAway,
        Summary { ready, .. } if *ready > 0 => Show::Available,
        Summary { waiting, .. } if *waiting > 0 => Show::Busy,
        Summary { .. } => Show::Away,
    };
    Shown::new(show, summary.longest, |longest| Summary { longest, ..*summary }.line(language))
}

fn member(doing: &MemberView, language: Language) -> Shown {
    let fixed = |show, text: String| Shown { show, text: text.clone(), fixed: text };
    match doing {
        MemberView::Ready => fixed(Show::Available, said!(language, "ready", "disponible", "disponível")),
        MemberView::Rung => {
            fixed(Show::Away, said!(language, "the phone rings", "el teléfono está sonando", "o telefone está tocando"))
        }
        MemberView::Talking => fixed(Show::Busy, said!(language, "in a call", "en una llamada", "em uma ligação")),
        MemberView::Paused { reason } if reason.is_empty() => {
            fixed(Show::LongAway, said!(language, "paused", "en pausa", "em pausa"))
        }
        MemberView::Paused { reason } => {
            fixed(Show::LongAway, said!(language, "paused: {reason}", "en pausa: {reason}", "em pausa: {reason}"))
        }
        MemberView::WrapUp(left) => Shown::new(Show::Away, *left, |left| {
            said!(
                language,
                "wrap-up, {left} left",
                "trabajo posterior, quedan {left}",
                "pós-atendimento, faltam {left}",
                left = clock(left),
            )
        }),
        MemberView::PhoneInUse => fixed(Show::Busy, said!(language, "on the phone", "al teléfono", "ao telefone")),
        MemberView::PhoneUnavailable => fixed(
            Show::LongAway,
            said!(language, "the phone cannot be reached", "el teléfono no responde", "o telefone não responde"),
        ),
    }
}

#[cfg(test)]
mod tests;
