//! What is said in a queue's room of each event of a call: from the facts that are recorded.

use std::collections::HashMap;

use crate::domain::{
    fact::{CallOutcome, Fact, Hold, OfferEnd},
    id::{CallId, Extension, QueueName},
    queue::{
        policy::Overflow,
        roster::{Customer, Register},
        standing::Standing,
        transfer::{TransferFailure, TransferTarget},
    },
    words::{Language, Words, failed, said},
};

/// Calls that are followed at once: more than a floor has. Beyond it all are forgotten; the floor says with most facts whose they are.
const FOLLOWED: usize = 10_000;

/// News of the floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A call of an earlier run was found, which has told of it so far.
    Found {
        /// Which,
        call: CallId,
        /// in which queue,
        queue: QueueName,
        /// and of whom.
        customer: Customer,
    },
    /// Something has happened.
    Happened {
        /// What.
        fact: Fact,
        /// In which queue the caller is after it, and who they are, if they are on the floor yet.
        whose: Option<(QueueName, Customer)>,
        /// Whether it is only taken up from an earlier run, which has said it.
        is_old: bool,
    },
}

/// A line in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Of which queue.
    pub queue: QueueName,
    /// Who calls.
    pub customer: Customer,
    /// What of them.
    pub what: What,
}

/// What has become of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// They came in.
    Entered,
    /// They come from another queue.
    CameFrom(QueueName),
    /// This one has sent them here.
    SentBy(Extension),
    /// How it stands with them, in the words of the announcements.
    Stands(Standing),
    /// This one did not take them.
    Missed(Extension, OfferEnd),
    /// This one has left them to others.
    Declined(Extension),
    /// They are called back for this one.
    CalledBack(Extension),
    /// They were not reached in this try.
    BackMissed(u32),
    /// One has sent them on.
    SentOn(Extension, TransferTarget),
    /// And has them back.
    ComesBack(Extension, TransferFailure),
    /// On hold, or not any more.
    Held(Extension, Hold),
    /// This one is paused after so many calls that they did not answer.
    Paused(Extension, u32),
    /// The talk with this one is over.
    Over(Extension),
    /// It ended so.
    Ended(CallOutcome),
}

/// The calls of which facts are heard.
#[derive(Debug, Default)]
pub struct Calls(HashMap<CallId, (QueueName, Customer)>);

impl Calls {
    /// Takes in what has happened; what is to be said of it, and where.
    pub fn hear(&mut self, news: News) -> Vec<Line> {
        let (fact, whose, is_old) = match news {
            News::Found { call, queue, customer } => {
                self.follow(call, (queue, customer));
                return vec![];
            }
            News::Happened { fact, whose, is_old } => (fact, whose, is_old),
        };
        let call = fact.call();
        if let Fact::CallEntered { queue, customer, .. } | Fact::CallbackAsked { queue, customer, .. } = &fact {
            self.follow(call, (queue.clone(), customer.clone()));
        }
        let moves = matches!(fact, Fact::CallOverflowed { .. } | Fact::CallTransferred { .. });
        let known = self.0.get(&call).cloned();
        let Some((queue, customer)) = (if moves { known.or(whose) } else { whose.or(known) }) else { return vec![] };
        self.follow(call, (queue.clone(), customer.clone()));
        let line = |queue: &QueueName, what| Line { queue: queue.clone(), customer: customer.clone(), what };
        let moved = moved(&fact, &queue);
        let lines = match &moved {
            Some((from, to, goes, comes)) => vec![line(from, goes.clone()), line(to, comes.clone())],
            None => of(&fact).map(|what| line(&queue, what)).into_iter().collect(),
        };
        if let Fact::CallEnded { .. } = fact {
            self.0.remove(&call);
        } else if let Some((_, to, ..)) = moved {
            self.follow(call, (to, customer));
        }
        if is_old { vec![] } else { lines }
    }

    fn follow(&mut self, call: CallId, whose: (QueueName, Customer)) {
        if self.0.len() >= FOLLOWED && !self.0.contains_key(&call) {
            self.0.clear();
        }
        self.0.insert(call, whose);
    }
}

/// From which queue to which a caller has gone, and what is said of it there and here.
fn moved(fact: &Fact, queue: &QueueName) -> Option<(QueueName, QueueName, What, What)> {
    if let Fact::CallOverflowed { queue: from, to: Overflow::Queue(to), .. } = fact {
        let goes = What::Stands(Standing::WentOn(to.clone()));
        return Some((from.clone(), to.clone(), goes, What::CameFrom(from.clone())));
    }
    if let Fact::CallTransferred { from, to: target @ TransferTarget::Queue(to), .. } = fact
        && to != queue
    {
        let goes = What::SentOn(from.clone(), target.clone());
        return Some((queue.clone(), to.clone(), goes, What::SentBy(from.clone())));
    }
    None
}

/// What one fact says in the room of the queue in which it happened.
fn of(fact: &Fact) -> Option<What> {
    match fact {
        Fact::CallEntered { .. } => Some(What::Entered),
        Fact::CallRinging { extension, .. } => Some(What::Stands(Standing::Rings(vec![extension.clone()]))),
        Fact::OfferEnded { extension, why, .. } => match why {
            OfferEnd::RingNoAnswer
            | OfferEnd::Rejected
            | OfferEnd::Unavailable
            | OfferEnd::MemberGone
            | OfferEnd::LoggedOff => Some(What::Missed(extension.clone(), *why)),
            OfferEnd::CallerGone | OfferEnd::Taken | OfferEnd::NotReached | OfferEnd::Withdrawn => None,
        },
        Fact::CallDeclined { extension, .. } => Some(What::Declined(extension.clone())),
        Fact::CallAnswered { extension, .. } => Some(What::Stands(Standing::Taken(extension.clone()))),
        Fact::CallOverflowed { to, .. } => match to {
            Overflow::Queue(queue) => Some(What::Stands(Standing::WentOn(queue.clone()))),
            Overflow::Extension(extension) => Some(What::Stands(Standing::SentTo(extension.clone()))),
            Overflow::Dialplan => None,
        },
        Fact::CallbackAsked { .. } => Some(What::Stands(Standing::CallsBack)),
        Fact::CallbackCalled { extension, .. } => Some(What::CalledBack(extension.clone())),
        Fact::CallbackMissed { attempt, .. } => Some(What::BackMissed(*attempt)),
        Fact::CallTransferred { from, to, .. } => Some(What::SentOn(from.clone(), to.clone())),
        Fact::TransferFailed { from, why, .. } => Some(What::ComesBack(from.clone(), *why)),
        Fact::CallHeld { extension, hold, .. } => Some(What::Held(extension.clone(), *hold)),
        Fact::AutoPaused { extension, unanswered, .. } => Some(What::Paused(extension.clone(), *unanswered)),
        Fact::CallEnded { extension, outcome, .. } => match (outcome, extension) {
            (CallOutcome::Completed, Some(extension)) => Some(What::Over(extension.clone())),
            (CallOutcome::Completed, None) | (CallOutcome::Abandoned, _) => Some(What::Stands(Standing::HungUp)),
            (CallOutcome::NotReached, _) => Some(What::Stands(Standing::NotReached)),
            (CallOutcome::CalledAgain, _) => Some(What::Stands(Standing::CalledAgain)),
            (CallOutcome::Cancelled, _) => Some(What::Stands(Standing::Cancelled)),
            // Whoever was sent to a phone has their line already.
            (CallOutcome::Overflowed | CallOutcome::UnknownQueue, _) => None,
            (
                CallOutcome::TimedOut
                | CallOutcome::NoMembers
                | CallOutcome::Full
                | CallOutcome::Empty
                | CallOutcome::Stopped
                | CallOutcome::Lost,
                _,
            ) => Some(What::Ended(*outcome)),
        },
        // The ring follows, or its end; and of what is kept and of wrap-up nobody is to be told.
        Fact::CallOffered { .. } | Fact::Recording { .. } | Fact::Renumbered { .. } | Fact::WrapUp { .. } => None,
    }
}

impl Line {
    /// The line as people read it: `Company 1 (1111): rings at 1000 (Ana)`.
    pub fn say(&self, language: Language, books: &Register) -> String {
        let Customer { code, name, .. } = &self.customer;
        let name = name.split(char::is_control).collect::<Vec<_>>().join(" ");
        let what = self.what.say(language, books);
        match (name.trim(), code.as_str()) {
            ("", code) => format!("{code}: {what}"),
            (name, "") => format!("{name}: {what}"),
            (name, code) => format!("{name} ({code}): {what}"),
        }
    }
}

impl What {
    fn say(&self, language: Language, books: &Register) -> String {
        let person = |extension: &Extension| match books.agent(extension) {
            Some(agent) => agent.shown(),
            None => extension.number_outside().unwrap_or(extension.as_str()).to_owned(),
        };
        let queue = |name: &QueueName| books.queue(name).map_or_else(|| name.to_string(), |row| row.label.clone());
        match self {
            Self::Entered => said!(language, "came in", "entró en la cola", "entrou na fila"),
            Self::CameFrom(from) => {
                said!(language, "came from {from}", "viene de {from}", "veio de {from}", from = queue(from))
            }
            Self::SentBy(who) => {
                said!(
                    language,
                    "sent here by {who}",
                    "la pasó aquí {who}",
                    "passada para cá por {who}",
                    who = person(who)
                )
            }
            Self::Stands(standing) => {
                let with = standing.with(person, queue);
                language.say(Words::Standing { standing, with: &with })
            }
            Self::Missed(who, why) => missed(&person(who), *why, language),
            Self::Declined(who) => {
                said!(
                    language,
                    "{who} leaves it to others",
                    "{who} la deja a otros",
                    "{who} deixa para os outros",
                    who = person(who)
                )
            }
            Self::CalledBack(who) => said!(
                language,
                "is called back for {who}",
                "se le devuelve la llamada para {who}",
                "ligando de volta para {who} atender",
                who = person(who),
            ),
            Self::BackMissed(attempt) => said!(
                language,
                "was not reached in try {attempt}",
                "no se le localizó en el intento {attempt}",
                "não atendeu na tentativa {attempt}",
            ),
            Self::SentOn(from, to) => {
                let to = match to {
                    TransferTarget::Extension(extension) => person(extension),
                    TransferTarget::Queue(name) => queue(name),
                    TransferTarget::Outside(number) => number.clone(),
                };
                said!(
                    language,
                    "{from} sends them on to {to}",
                    "{from} pasa la llamada a {to}",
                    "{from} passa a ligação para {to}",
                    from = person(from),
                )
            }
            Self::ComesBack(from, why) => said!(
                language,
                "comes back to {from}: {why}",
                "vuelve a {from}: {why}",
                "volta para {from}: {why}",
                from = person(from),
                why = language.pick(failed(*why)),
            ),
            Self::Held(who, Hold::Held) => {
                said!(
                    language,
                    "on hold by {who}",
                    "{who} la pone en espera",
                    "{who} coloca em espera",
                    who = person(who)
                )
            }
            Self::Held(who, Hold::Resumed) => said!(
                language,
                "{who} is back in the talk",
                "{who} vuelve a la llamada",
                "{who} volta à ligação",
                who = person(who),
            ),
            Self::Paused(who, unanswered) => said!(
                language,
                "{who} is paused, calls not answered: {unanswered}",
                "{who} queda en pausa, llamadas sin contestar: {unanswered}",
                "{who} está em pausa, ligações sem atender: {unanswered}",
                who = person(who),
            ),
            Self::Over(who) => said!(
                language,
                "the talk with {who} is over",
                "terminó la llamada con {who}",
                "terminou a ligação com {who}",
                who = person(who),
            ),
            Self::Ended(outcome) => ended(*outcome, language),
        }
    }
}

fn missed(who: &str, why: OfferEnd, language: Language) -> String {
    match why {
        OfferEnd::RingNoAnswer => said!(language, "{who} does not answer", "{who} no contesta", "{who} não atende"),
        OfferEnd::Rejected => said!(language, "{who} rejects it", "{who} rechaza la llamada", "{who} recusa a ligação"),
        OfferEnd::Unavailable => {
            said!(language, "{who} cannot be reached", "no se puede llegar a {who}", "não foi possível chegar a {who}",)
        }
        OfferEnd::LoggedOff => said!(language, "{who} has logged off", "{who} cerró su sesión", "{who} saiu da fila"),
        OfferEnd::MemberGone | OfferEnd::CallerGone | OfferEnd::Taken | OfferEnd::NotReached | OfferEnd::Withdrawn => {
            said!(language, "{who} hung up", "{who} colgó", "{who} desligou")
        }
    }
}

fn ended(outcome: CallOutcome, language: Language) -> String {
    match outcome {
        CallOutcome::TimedOut => said!(
            language,
            "has waited too long and leaves the queue",
            "esperó demasiado y sale de la cola",
            "esperou demais e sai da fila",
        ),
        CallOutcome::NoMembers => said!(
            language,
            "leaves the queue: nobody is logged on",
            "sale de la cola: nadie tiene la sesión abierta",
            "sai da fila: ninguém entrou nela",
        ),
        CallOutcome::Full => said!(
            language,
            "is not let in: the queue is full",
            "no entra: la cola está llena",
            "não entra: a fila está cheia",
        ),
        CallOutcome::Empty => said!(
            language,
            "leaves the queue: nobody is there",
            "sale de la cola: no hay nadie",
            "sai da fila: não há ninguém",
        ),
        CallOutcome::Lost => said!(language, "the call was lost", "se perdió la llamada", "a ligação se perdeu"),
        CallOutcome::Completed
        | CallOutcome::Abandoned
        | CallOutcome::Overflowed
        | CallOutcome::UnknownQueue
        | CallOutcome::Stopped
        | CallOutcome::NotReached
        | CallOutcome::CalledAgain
        | CallOutcome::Cancelled => said!(language, "left the queue", "salió de la cola", "saiu da fila"),
    }
}

#[cfg(test)]
mod tests;
