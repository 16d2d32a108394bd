//! Does what was asked, by the ways that FastAGI and the command line take, and puts together what is answered.

use std::time::Duration;

use jiff::{Timestamp, Zoned, civil::Time, tz::TimeZone};
use tokio::{sync::watch, time::timeout};

use crate::{
    desk,
    domain::{
        command::{
            Command, Person, Verb,
            answer::{Answer, CallLine, PauseLine, QueueLine, Status, Story, StoryStep, Trouble, Work},
            label, logged_on, visible,
        },
        id::{CallId, Extension, QueueName},
        queue::{
            claim::{NoCallBack, NoClaim},
            roster::{Pause, Register},
            transfer::TransferTarget,
            view::WorkView,
        },
        words::Language,
    },
    floor, ledger,
};

/// Calls of a list.
const CALLS: usize = 20;
/// How long a log-on waits for the extension's node, as one by telephone does.
const NODE: Duration = Duration::from_millis(500);

/// Whom an errand goes to.
#[derive(Debug)]
pub(super) struct Desks {
    pub(super) ledger: ledger::Handle,
    pub(super) desk: desk::Handle,
    pub(super) floor: floor::Questions,
    pub(super) roster: watch::Receiver<Register>,
    /// Of the house: for those who did not ask themselves.
    pub(super) language: Language,
}

/// Which way a membership changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    On,
    Off,
}

impl Turn {
    fn verb(self) -> Verb {
        match self {
            Self::On => Verb::LogOn,
            Self::Off => Verb::LogOff,
        }
    }
}

impl Desks {
    /// Does it. Every wait in it has a bound of its own: `database.timeout` for the database, a second for the floor.
    pub(super) async fn carry_out(&self, command: Command, by: &Person) -> Answer {
        match command {
            Command::LogOn { who, queues } => self.log_on_or_off(Turn::On, who, queues, by).await,
            Command::LogOff { who, queues } => self.log_on_or_off(Turn::Off, who, queues, by).await,
            Command::Pause { who, queue, reason } => {
                let done = self.ledger.pause(&who, queue.as_ref(), &reason).await;
                let queue = queue.map(|queue| self.label(&queue));
                let answer = Answer::Paused { extension: who.clone(), queue, reason };
                self.told(Verb::Pause, done.map(|change| (change == ledger::Change::Done).then_some(answer)), &who, by)
            }
            Command::Resume { who, queue } => {
                let done = self.ledger.resume(&who, queue.as_ref()).await;
                let answer = |resumed: ledger::Resumed| Answer::Resumed {
                    extension: who.clone(),
                    queue: queue.as_ref().map(|queue| self.label(queue)),
                    ended: resumed.ended,
                    left: self.pauses(&resumed.left),
                };
                self.told(Verb::Resume, done.map(|resumed| resumed.map(answer)), &who, by)
            }
            Command::Status { who } => self.status(who).await,
            Command::Waiting { queues } => match self.floor.queues(queues).await {
                Ok(views) => Answer::Waiting(views.into_iter().map(|view| self.line(view)).collect()),
                Err(floor::NoAnswer) => Answer::Trouble(Trouble::FloorAway),
            },
            Command::Take { who, which } => match self.floor.take(who, which).await {
                Ok(Ok(claim)) => Answer::Taken { code: claim.code.to_string(), name: claim.name },
                Ok(Err(why)) => Answer::NotTaken(why),
                Err(floor::NoAnswer) => Answer::Trouble(Trouble::FloorAway),
            },
            Command::Decline { who, which, reason } => match self.floor.decline(who, which, reason).await {
                Ok(Ok(claim)) => Answer::Declined { code: claim.code.to_string(), name: claim.name },
                Ok(Err(why)) => Answer::NotDeclined(why),
                Err(floor::NoAnswer) => Answer::Trouble(Trouble::FloorAway),
            },
            Command::CallBack { who, whom, queues } => self.call_back(who, whom.as_deref(), &queues).await,
            Command::Transfer { who, to } => match self.floor.transfer(who, to.clone()).await {
                Ok(Ok(claim)) => {
                    let to = self.place(&to);
                    Answer::Transferred { code: claim.code.to_string(), name: claim.name, to }
                }
                Ok(Err(why)) => Answer::NotTransferred(why),
                Err(floor::NoAnswer) => Answer::Trouble(Trouble::FloorAway),
            },
            Command::Calls { who } => self.calls(who).await,
            Command::Why { call, who } => self.story(call, who, by).await,
            Command::Help => Answer::Help,
            Command::Language(Some(_)) => Answer::LanguageIs,
            Command::Language(None) => Answer::Languages,
        }
    }

    /// Queue by queue: what was done before the database went away is said as well.
    async fn log_on_or_off(&self, turn: Turn, who: Extension, queues: Vec<QueueName>, by: &Person) -> Answer {
        let (mut done, mut trouble) = (Vec::new(), None);
        for queue in &queues {
            let changed = match turn {
                Turn::On => self.ledger.log_on(queue, &who).await,
                Turn::Off => self.ledger.log_off(queue, &who).await,
            };
            match changed {
                Ok(ledger::Change::Done) => done.push(self.label(queue)),
                Ok(ledger::Change::Refused) => trouble = Some(Trouble::Gone),
                Err(error) => {
                    trouble = Some(away(turn.verb(), &error));
                    break;
                }
            }
        }
        if turn == Turn::On && !done.is_empty() && timeout(NODE, self.desk.ensure_node(who.clone())).await.is_err() {
            tracing::warn!(extension = %who, "the node was not there in time; it follows when the XMPP server answers");
        }
        let is_done = !done.is_empty();
        let answer = match turn {
            Turn::On => Answer::LoggedOn { extension: who.clone(), queues: done },
            Turn::Off => Answer::LoggedOff { extension: who.clone(), queues: done },
        };
        match trouble {
            None => {
                self.tell(&answer, &who, by);
                answer
            }
            Some(trouble) if !is_done => Answer::Trouble(trouble),
            Some(trouble) => {
                self.tell(&answer, &who, by);
                Answer::Several(vec![answer, Answer::Trouble(trouble)])
            }
        }
    }

    /// The answer to a change of somebody, who is told as well if another asked for it. `None`: there is nobody and nothing to change.
    fn told(
        &self,
        verb: Verb,
        done: Result<Option<Answer>, ledger::Unavailable>,
        who: &Extension,
        by: &Person,
    ) -> Answer {
        match done {
            Ok(Some(answer)) => {
                self.tell(&answer, who, by);
                answer
            }
            Ok(None) => Answer::Trouble(Trouble::Gone),
            Err(error) => Answer::Trouble(away(verb, &error)),
        }
    }

    fn tell(&self, answer: &Answer, who: &Extension, by: &Person) {
        if by.extension.as_ref() == Some(who) {
            return;
        }
        let jid = self.roster.borrow().agent(who).map(|agent| agent.jid.clone());
        if let Some(jid) = jid {
            self.desk.tell(jid, answer.say(self.language));
        }
    }

    fn label(&self, queue: &QueueName) -> String {
        label(queue, &self.roster.borrow())
    }

    fn pauses(&self, pauses: &[Pause]) -> Vec<PauseLine> {
        let now = Timestamp::now();
        let line = |pause: &Pause| PauseLine {
            kind: pause.kind,
            queue: pause.queue.as_ref().map(|queue| self.label(queue)),
            reason: pause.reason.clone(),
            since: Duration::try_from(now.duration_since(pause.since)).unwrap_or_default(),
        };
        pauses.iter().map(line).collect()
    }

    async fn call_back(&self, who: Extension, whom: Option<&str>, queues: &[QueueName]) -> Answer {
        if queues.is_empty() {
            return Answer::NotCalledBack(Some(NoCallBack::NotNow(NoClaim::NotLoggedOn)));
        }
        let lost = match self.ledger.lost(queues, whom).await {
            Ok(Some(lost)) => lost,
            Ok(None) => return Answer::NotCalledBack(None),
            // Nothing is done by looking.
            Err(error) => {
                tracing::warn!(%error, "who has called in vain cannot be looked up");
                return Answer::Trouble(Trouble::DatabaseAway(Verb::CallBack));
            }
        };
        let (customer, number) = (lost.customer.clone(), lost.caller.number.clone());
        match self.floor.call_back(who, lost).await {
            Ok(Ok(())) => Answer::CallsBack { code: customer.code.to_string(), name: customer.name, number },
            Ok(Err(why)) => Answer::NotCalledBack(Some(why)),
            Err(floor::NoAnswer) => Answer::Trouble(Trouble::FloorAway),
        }
    }

    /// Where somebody is sent, as people read it.
    fn place(&self, to: &TransferTarget) -> String {
        match to {
            TransferTarget::Extension(extension) => {
                self.roster.borrow().agent(extension).map_or_else(|| extension.to_string(), |agent| agent.shown())
            }
            TransferTarget::Queue(queue) => self.label(queue),
            TransferTarget::Outside(number) => number.clone(),
        }
    }

    async fn status(&self, who: Extension) -> Answer {
        let (on, off, pauses) = {
            let books = self.roster.borrow();
            let on = logged_on(&who, &books);
            let off = books.queues_of(&who).filter(|row| !row.logged_on).map(|row| label(&row.queue, &books)).collect();
            let pauses = books.agent(&who).map(|agent| agent.pauses.clone()).unwrap_or_default();
            (on.iter().map(|queue| label(queue, &books)).collect(), off, pauses)
        };
        let pauses = self.pauses(&pauses);
        let work = match self.floor.work(who.clone()).await {
            Ok(Some(view)) => {
                let queue = match &view {
                    WorkView::Offered(call) | WorkView::Talking(call) => self.label(&call.queue),
                    WorkView::Free | WorkView::WrapUp(_) | WorkView::PhoneInUse | WorkView::PhoneUnavailable => {
                        String::new()
                    }
                };
                Some(Work { view, queue })
            }
            Ok(None) | Err(floor::NoAnswer) => None,
        };
        Answer::Status(Box::new(Status { extension: who, on, off, pauses, work }))
    }

    fn line(&self, view: crate::domain::queue::view::QueueView) -> QueueLine {
        QueueLine {
            queue: self.label(&view.queue),
            waiting: view.waiting.into_iter().map(|waiter| (waiter.code, waiter.name, waiter.waited)).collect(),
            more: view.more,
            members: view.members,
            ready: view.ready,
        }
    }

    async fn calls(&self, who: Extension) -> Answer {
        let midnight = Zoned::now().start_of_day().map_or_else(|_| Timestamp::now(), |day| day.timestamp());
        match self.ledger.calls_of(&who, midnight, CALLS).await {
            Ok((calls, more)) => {
                let line = |call: ledger::PastCall| CallLine {
                    call: call.history.call,
                    at: on_the_clock(call.history.entered_at),
                    queue: self.label(&call.history.queue),
                    talk: call.history.talk_of(&who),
                    code: call.customer_code,
                    name: call.customer_name,
                };
                let calls = calls.into_iter().map(line).collect();
                Answer::Calls { extension: who, calls, more }
            }
            Err(error) => Answer::Trouble(away(Verb::Calls, &error)),
        }
    }

    async fn story(&self, call: Option<CallId>, who: Option<Extension>, by: &Person) -> Answer {
        let past = match self.ledger.story(call, who.as_ref()).await {
            Ok(Some(past)) => past,
            Ok(None) => return Answer::NoStory,
            Err(error) => return Answer::Trouble(away(Verb::Why, &error)),
        };
        let text = |column: &str| past.row[column].as_str().unwrap_or_default().to_owned();
        let queue = QueueName::new(text("queue"));
        if let Some(who) = &who {
            // Whoever serves a queue is told of its callers anyway.
            let is_theirs = past.events.iter().any(|event| event.extension.as_deref() == Some(who.as_str()));
            if !is_theirs && !visible(by, &self.roster.borrow()).contains(&queue) {
                return Answer::NoStory;
            }
        }
        let at = past.events.first().map_or_else(Timestamp::now, |event| event.at);
        Answer::Story(Box::new(Story {
            call: past.call,
            at: on_the_clock(text("entered_at").parse().unwrap_or(at)),
            queue: self.label(&queue),
            code: text("customer_code"),
            name: text("customer_name"),
            outcome: past.row["outcome"].as_str().and_then(|outcome| outcome.parse().ok()),
            steps: steps(&past.events, who.as_ref()),
        }))
    }
}

fn steps(events: &[ledger::PastEvent], who: Option<&Extension>) -> Vec<StoryStep> {
    // Parties outside are no extension; only the offer to one names the number.
    let chosen = |event: &ledger::PastEvent| event.detail["why"]["chosen"].as_str().map(Extension::new);
    let outside = |offer: Option<i32>| {
        let party = events.iter().find(|event| event.offer == offer && event.kind == "offered").and_then(chosen)?;
        party.number_outside().map(str::to_owned)
    };
    let party = |event: &ledger::PastEvent| event.extension.clone().or_else(|| outside(event.offer));
    events.iter().filter_map(|event| step(event, party(event).unwrap_or_default(), who)).collect()
}

fn step(event: &ledger::PastEvent, member: String, who: Option<&Extension>) -> Option<StoryStep> {
    let offer = event.offer.unwrap_or_default();
    let why = &event.detail["why"];
    match event.kind.as_str() {
        "offered" => {
            let verdict = who.filter(|who| who.as_str() != member).and_then(|who| {
                let mut candidates = why["candidates"].as_array().into_iter().flatten();
                candidates.find(|candidate| candidate["extension"] == who.as_str())
            });
            let yours = verdict.and_then(|candidate| candidate["verdict"].as_str()).map(str::to_owned);
            let rule = why["rule"].as_str().unwrap_or_default().to_owned();
            Some(StoryStep::Offered { offer, to: member, rule, yours })
        }
        "offer_ended" => {
            Some(StoryStep::Missed { offer, by: member, why: why.as_str().unwrap_or_default().to_owned() })
        }
        "answered" => Some(StoryStep::Answered { by: member }),
        _ => None,
    }
}

fn away(verb: Verb, error: &ledger::Unavailable) -> Trouble {
    tracing::warn!(%error, "what somebody asked for at the counter could not be done");
    if error.is_certain() || !verb.has_consequences() { Trouble::DatabaseAway(verb) } else { Trouble::Unknown(verb) }
}

/// The time of day where this machine is.
fn on_the_clock(at: Timestamp) -> Time {
    at.to_zoned(TimeZone::system()).time()
}
