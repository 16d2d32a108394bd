//! One room: how far we are in it, what we have said there last, and what there is to say.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use xmpp_parsers::{
    jid::BareJid,
    stanza::Stanza,
    stanza_error::{DefinedCondition, StanzaError},
};

use crate::{
    counter::Reply,
    desk::payload::sendable,
    domain::{
        command::spoken,
        id::QueueName,
        queue::summary::Summary,
        room::{
            self, Call, addressed,
            outbox::{Line, Outbox},
            subject::{Due, Subject},
        },
        words::Language,
    },
    xmpp::{
        muc::{self, Heard, Trouble, Wanted},
        session::describe,
    },
};

/// How long a room may take to let us in, or to give back what we have said.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause before a room is entered again; it doubles up to the cap.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Who was in a room for so long has not failed there.
const WELL: Duration = Duration::from_secs(60);
/// After a silence of this long the room is asked whether we are in it.
const SILENCE: Duration = Duration::from_secs(60);
/// Names that are tried.
const NAMES: u32 = 10;
/// Commands of a room that wait for an answer, and answers that wait to be said.
const ANSWERS: usize = 32;
/// How old an answer may get.
const ANSWER_LIFE: Duration = Duration::from_secs(30);
/// How often a room is told that only supervisors command.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How far we are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not there, and not before this.
    Outside { again: Instant },
    /// The room was asked to let us in.
    Entering { since: Instant },
    /// Being set up: nothing is said yet.
    Inside,
    /// As it is to be, since then.
    Open { since: Instant },
}

/// What we have said and the room has not given back yet.
#[derive(Debug)]
struct Sent {
    id: String,
    what: Speech,
    at: Instant,
}

#[derive(Debug)]
enum Speech {
    Lines(Vec<Line>),
    Answer,
    Subject(Summary, String),
}

/// What follows from something that the room has said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// So many lines were said.
    Said(u64),
    /// The subject was set.
    SubjectSet,
    /// So many lines were not taken.
    Dropped(u64),
    /// The room cannot be used.
    Shut(Trouble),
    /// We are not there any more.
    PutOut,
    /// Somebody commands.
    Command {
        /// Who.
        jid: BareJid,
        /// Their name there.
        nick: String,
        /// What.
        text: String,
    },
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) queue: QueueName,
    pub(super) address: BareJid,
    /// What it is to be,
    pub(super) wanted: Wanted,
    /// and what it was made last.
    settled: Option<Wanted>,
    /// How often it was entered.
    pub(super) entry: u64,
    pub(super) settling: bool,
    settle_again: Option<Instant>,
    /// The numbers of the queue, as they were seen last.
    pub(super) summary: Option<Summary>,
    state: State,
    nick: String,
    names_tried: u32,
    failures: u32,
    /// Who is there, by their names, as far as the room tells who they are.
    occupants: HashMap<String, Option<BareJid>>,
    shown: String,
    subject: Subject,
    lines: Outbox,
    answers: VecDeque<(Instant, String)>,
    /// Commands that are being carried out.
    asked: usize,
    sent: Option<Sent>,
    /// What was under way when we lost the room: history tells whether it was said.
    unsure: Option<(String, Vec<Line>)>,
    heard: Instant,
    pinging: bool,
    told_off: Option<Instant>,
}

impl Room {
    pub(super) fn new(queue: QueueName, address: BareJid, wanted: Wanted, now: Instant) -> Self {
        Self {
            queue,
            address,
            wanted,
            settled: None,
            entry: 0,
            settling: false,
            settle_again: None,
            summary: None,
            state: State::Outside { again: now },
            nick: room::name(0),
            names_tried: 0,
            failures: 0,
            occupants: HashMap::new(),
            shown: String::new(),
            subject: Subject::default(),
            lines: Outbox::default(),
            answers: VecDeque::new(),
            asked: 0,
            sent: None,
            unsure: None,
            heard: now,
            pinging: false,
            told_off: None,
        }
    }

    pub(super) fn is_to_be_entered(&self, now: Instant) -> bool {
        matches!(self.state, State::Outside { again } if again <= now)
    }

    pub(super) fn is_entering(&self) -> bool {
        matches!(self.state, State::Entering { .. })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn is_inside(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Inside)
    }

    pub(super) fn is_to_be_settled(&self, now: Instant) -> bool {
        let is_otherwise = self.settled.as_ref() != Some(&self.wanted);
        self.is_inside() && is_otherwise && !self.settling && self.settle_again.is_none_or(|again| again <= now)
    }

    pub(super) fn is_speaking(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether the room does not answer.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        let since = match (&self.state, &self.sent) {
            (State::Entering { since }, _) => *since,
            (State::Open { .. }, Some(sent)) => sent.at,
            (State::Open { .. } | State::Outside { .. } | State::Inside, _) => return false,
        };
        now.saturating_duration_since(since) >= PATIENCE
    }

    /// Whether nothing that is to be said can be said yet.
    pub(super) fn has_said_all(&self) -> bool {
        !self.is_open() || (self.lines.is_empty() && self.sent.is_none())
    }

    /// Asks to be let in.
    pub(super) fn enter(&mut self, now: Instant) -> Option<Stanza> {
        self.state = State::Entering { since: now };
        self.entry += 1;
        self.nick = room::name(self.names_tried);
        self.occupants.clear();
        self.shown.clear();
        muc::enter(&self.address, &self.nick)
    }

    /// We are in no room any more, by no fault of anybody there.
    pub(super) fn is_outside(&mut self, now: Instant) {
        self.lose(now);
        self.names_tried = 0;
    }

    /// The link was away for a while: nobody has been slow.
    pub(super) fn has_waited_for_the_link(&mut self, now: Instant) {
        if let State::Entering { since } = &mut self.state {
            *since = now;
        }
        if let Some(sent) = &mut self.sent {
            sent.at = now;
        }
    }

    fn lose(&mut self, again: Instant) {
        if let Some(Sent { id, what: Speech::Lines(lines), .. }) = self.sent.take() {
            self.unsure = Some((id, lines));
        }
        self.state = State::Outside { again };
        self.settled = None;
        (self.settling, self.settle_again) = (false, None);
        self.pinging = false;
        self.occupants.clear();
    }

    /// Takes in that the room cannot be used, or not now; with what is to be said to it before.
    pub(super) fn shut(&mut self, trouble: &Trouble, now: Instant) -> Option<Stanza> {
        self.settling = false;
        if self.is_open()
            && *trouble == Trouble::NoAnswer
            && self.sent.as_ref().is_none_or(|sent| sent.at + PATIENCE > now)
        {
            // It was as it was to be before; who may enter is looked at again.
            self.settle_again = Some(now + self.pause(now));
            return None;
        }
        let goodbye = self.goodbye();
        let again = match trouble {
            Trouble::NoAnswer => now + self.pause(now),
            // Somebody has to do something about it.
            Trouble::Refused(_) | Trouble::NotOurs | Trouble::Destroyed | Trouble::NotPrivate | Trouble::NoName => {
                now + LONGEST_PAUSE
            }
        };
        self.names_tried = 0;
        self.lose(again);
        goodbye
    }

    pub(super) fn goodbye(&self) -> Option<Stanza> {
        muc::leave(&self.address, &self.nick).filter(|_| self.is_inside())
    }

    fn pause(&mut self, now: Instant) -> Duration {
        if matches!(self.state, State::Open { since } if now.saturating_duration_since(since) > WELL) {
            self.failures = 0;
        }
        self.failures += 1;
        pause(self.failures)
    }

    pub(super) fn hear(&mut self, heard: Heard, now: Instant) -> Next {
        self.heard = now;
        match heard {
            Heard::Here { nick, jid, is_self, is_owner } => {
                self.occupants.insert(nick.clone(), jid);
                if !is_self {
                    return Next::Nothing;
                }
                self.nick = nick;
                if !is_owner && !matches!(self.state, State::Outside { .. }) {
                    // So that it is left.
                    self.state = State::Inside;
                    return Next::Shut(Trouble::NotOurs);
                }
                if self.is_entering() {
                    self.state = State::Inside;
                }
                Next::Nothing
            }
            Heard::Gone { nick, is_renamed } => {
                self.occupants.remove(&nick);
                // Not every server says that it is us.
                if nick != self.nick || is_renamed || matches!(self.state, State::Outside { .. }) {
                    return Next::Nothing;
                }
                let again = now + self.pause(now);
                self.lose(again);
                Next::PutOut
            }
            Heard::Refused(error) if self.is_entering() => self.refused(&error, now),
            Heard::Refused(_) => Next::Nothing,
            Heard::Subject { nick, text } => {
                self.shown = text;
                match &self.sent {
                    Some(Sent { what: Speech::Subject(_, line), .. }) if *line == self.shown && nick == self.nick => {
                        self.sent = None;
                        Next::SubjectSet
                    }
                    Some(_) | None => Next::Nothing,
                }
            }
            Heard::Said { nick, id, text, is_history, is_correction } => {
                if self.unsure.as_ref().is_some_and(|(unsure, _)| *unsure == id) {
                    return Next::Said(self.unsure.take().map_or(0, |(_, lines)| lines.len() as u64));
                }
                if nick == self.nick {
                    return self.given_back(&id);
                }
                if is_history || is_correction || !self.is_open() || self.asked >= ANSWERS {
                    return Next::Nothing;
                }
                self.command(nick, &text)
            }
            Heard::Bounced { id, error } => self.bounced(&id, &error, now),
        }
    }

    fn refused(&mut self, error: &StanzaError, now: Instant) -> Next {
        if error.defined_condition != DefinedCondition::Conflict {
            let is = |condition: &DefinedCondition| *condition == error.defined_condition;
            return Next::Shut(if is(&DefinedCondition::RegistrationRequired) || is(&DefinedCondition::Forbidden) {
                Trouble::NotOurs
            } else if matches!(error.defined_condition, DefinedCondition::Gone { .. }) {
                Trouble::Destroyed
            } else {
                Trouble::Refused(describe(error))
            });
        }
        self.names_tried += 1;
        if self.names_tried >= NAMES {
            return Next::Shut(Trouble::NoName);
        }
        self.state = State::Outside { again: now };
        Next::Nothing
    }

    fn given_back(&mut self, id: &str) -> Next {
        match self.sent.take_if(|sent| sent.id == id) {
            Some(Sent { what: Speech::Lines(lines), .. }) => Next::Said(lines.len() as u64),
            Some(_) | None => Next::Nothing,
        }
    }

    fn command(&mut self, nick: String, text: &str) -> Next {
        let Some((text, call)) = addressed(text, &self.nick) else { return Next::Nothing };
        // With the mark others may be meant, and who is nobody cannot command.
        let is_none = call == Call::Mark && spoken(text).is_none();
        match self.occupants.get(&nick).cloned().flatten() {
            Some(jid) if !is_none => {
                self.asked += 1;
                Next::Command { jid, nick, text: text.to_owned() }
            }
            Some(_) | None => Next::Nothing,
        }
    }

    /// Nobody carries out what was commanded.
    pub(super) fn needs_no_answer(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// What somebody is answered who has commanded.
    pub(super) fn answer(&mut self, nick: &str, reply: Option<Reply>, now: Instant) {
        self.needs_no_answer();
        let text = match reply {
            Some(Reply::Said(text)) => text,
            Some(Reply::NotForThem(text)) if self.told_off.is_none_or(|at| now >= at + TOLD_AGAIN) => {
                self.told_off = Some(now);
                text
            }
            Some(Reply::NotForThem(_)) | None => return,
        };
        if self.answers.len() < ANSWERS {
            self.answers.push_back((now, format!("{nick}: {text}")));
        }
    }

    fn bounced(&mut self, id: &str, error: &StanzaError, now: Instant) -> Next {
        let Some(sent) = self.sent.take_if(|sent| sent.id == id) else { return Next::Nothing };
        // We are not there, and nobody has told us.
        if matches!(error.defined_condition, DefinedCondition::NotAcceptable | DefinedCondition::ItemNotFound) {
            if let Speech::Lines(lines) = sent.what {
                self.lines.put_back(lines);
            }
            let again = now + self.pause(now);
            self.lose(again);
            return Next::PutOut;
        }
        tracing::debug!(queue.name = %self.queue, why = describe(error), "the room does not take what is said");
        match sent.what {
            Speech::Lines(lines) => Next::Dropped(lines.len() as u64),
            Speech::Subject(summary, _) => {
                self.subject.set(summary, now);
                Next::Nothing
            }
            Speech::Answer => Next::Nothing,
        }
    }

    /// The room is as it was wanted; whether it is open only now.
    pub(super) fn is_settled(&mut self, wanted: Wanted, now: Instant) -> bool {
        self.settling = false;
        self.settled = Some(wanted);
        if self.state != State::Inside {
            return false;
        }
        self.state = State::Open { since: now };
        // Next time the first name may be free.
        self.names_tried = 0;
        // All that was said before has been told by now.
        if let Some((_, lines)) = self.unsure.take() {
            self.lines.put_back(lines);
        }
        true
    }

    pub(super) fn is_to_be_pinged(&mut self, now: Instant) -> Option<String> {
        let is_quiet = self.is_open() && now.saturating_duration_since(self.heard) >= SILENCE && !self.pinging;
        self.pinging |= is_quiet;
        is_quiet.then(|| self.nick.clone())
    }

    pub(super) fn was_pinged(&mut self, is_there: bool, now: Instant) {
        self.pinging = false;
        self.heard = now;
        if !is_there && self.is_inside() {
            self.lose(now);
        }
    }

    /// Adds a line to what is to be said.
    pub(super) fn add(&mut self, text: String, now: Instant) {
        self.lines.push(Line { at: now, text });
    }

    /// Drops what got old; how many lines.
    pub(super) fn forget_the_old(&mut self, now: Instant) -> u64 {
        self.lines.forget_the_old(now);
        while self.answers.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > ANSWER_LIFE) {
            self.answers.pop_front();
        }
        self.lines.dropped()
    }

    /// When something can be said here, which may be in the past; `None`: nothing, or not before the room has given back what was said last.
    pub(super) fn due(&self, language: Language, now: Instant) -> Option<Instant> {
        if !self.is_open() || self.sent.is_some() {
            return None;
        }
        let subject = self.summary.and_then(|summary| match self.subject.due(&self.shown, &summary, language, now) {
            Due::Not => None,
            Due::Now => Some(now),
            // Looked at again when it is known how it stands then.
            Due::At(_) => None,
        });
        let answer = self.answers.front().map(|(at, _)| *at);
        [answer, self.lines.due(), subject].into_iter().flatten().min()
    }

    /// What is said now.
    pub(super) fn speak(&mut self, language: Language, now: Instant) -> Option<Stanza> {
        let (what, (id, stanza)) = if let Some((_, text)) = self.answers.pop_front() {
            (Speech::Answer, muc::say(&self.address, &sendable(&text)))
        } else {
            let lines = self.lines.take(now);
            if lines.is_empty() {
                let summary = self.summary?;
                if self.subject.due(&self.shown, &summary, language, now) != Due::Now {
                    return None;
                }
                let line = summary.line(language);
                self.subject.set(summary, now);
                let said = muc::set_subject(&self.address, &line);
                (Speech::Subject(summary, line), said)
            } else {
                let text = lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
                (Speech::Lines(lines), muc::say(&self.address, &sendable(&text)))
            }
        };
        self.sent = Some(Sent { id, what, at: now });
        Some(stanza)
    }
}

/// How long to wait after so many failures in a row, from 1.
fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
