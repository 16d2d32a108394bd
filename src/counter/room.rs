//! Commands that supervisors give in a queue's room: heard as those by chat, and answered to whoever keeps the rooms.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use xmpp_parsers::jid::BareJid;

use crate::{
    counter::{Counter, Errand, Finished, STALE, Work},
    domain::{
        command::{
            Command, Person, Role,
            answer::{Answer, Trouble},
            door::Heard,
            in_room::understand_in,
            spoken,
            vocabulary::answered_in,
        },
        id::QueueName,
        words::said,
    },
};

/// Commands from rooms that wait to be taken in, which takes microseconds.
pub(super) const WAITING: usize = 64;
/// How long an answer may take: the database, the floor and others of the same person before it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that was given in a room.
#[derive(Debug)]
pub(super) struct Asked {
    at: Instant,
    pub(super) person: BareJid,
    queue: QueueName,
    text: String,
    answer: oneshot::Sender<Reply>,
}

/// What is said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This, for the person to read.
    Said(String),
    /// This, since they are no supervisor: nothing was done.
    NotForThem(String),
}

/// Where rooms hand in what was said to the service in them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Window(pub(super) mpsc::Sender<Asked>);

impl Window {
    /// Has a command of this person carried out, who gave it in the room of this queue. `None`: there is nothing to say to it, since
    /// they give too many, or nobody answers in time.
    pub async fn ask(&self, person: BareJid, queue: QueueName, text: String) -> Option<Reply> {
        let (answer, told) = oneshot::channel();
        self.0.try_send(Asked { at: Instant::now(), person, queue, text, answer }).ok()?;
        timeout(PATIENCE, told).await.ok()?.ok()
    }
}

impl Counter {
    /// Lets in supervisors, as often as they may.
    pub(super) fn receive_from_room(&mut self, asked: Asked) {
        self.people.learn(&self.roster.borrow());
        let who = self.people.find(&asked.person);
        if who.is_none_or(|who| who.role != Role::Supervisor) {
            let text = said!(
                self.language,
                "Only supervisors can give me orders here; write to me in private.",
                "Aquí solo los supervisores pueden darme órdenes; escríbame en privado.",
                "Aqui só supervisores podem me dar ordens; escreva para mim em particular.",
            );
            return drop(asked.answer.send(Reply::NotForThem(text)));
        }
        match self.door.knock(&asked.person, std::time::Instant::now()) {
            Heard::Yes => {
                let person = asked.person.clone();
                self.line_up(person, Work::InRoom(asked));
            }
            Heard::TellThem => {
                let language = self.door.language(&asked.person).unwrap_or(self.language);
                drop(asked.answer.send(Reply::Said(Answer::Trouble(Trouble::TooFast).say(language))));
            }
            Heard::No => {}
        }
    }

    /// What is to be done with it.
    pub(super) fn in_room(&mut self, who: Person, Asked { at, person, queue, text, answer }: Asked) -> Errand {
        let last = self.door.language(&person);
        let said = spoken(&text);
        let used = answered_in(said.map_or(&[], |said| said.languages), last, None, self.language);
        let now = std::time::Instant::now();
        if said.is_some() {
            self.door.speaks(&person, used, now);
        }
        let mut language = self.door.chosen(&person).unwrap_or(used);
        let command = if at.elapsed() > STALE {
            Err(Answer::Trouble(Trouble::TooLate))
        } else {
            let understood = said.map(|said| understand_in(said, &who, &self.roster.borrow(), &queue));
            understood.ok_or(Answer::ShortHelp).and_then(|command| command.map_err(Answer::Refused))
        };
        if let Ok(Command::Language(Some(wanted))) = &command {
            self.door.chooses(&person, *wanted, now);
            language = *wanted;
        }
        tracing::debug!(verb = ?said.map(|said| said.verb), understood = command.is_ok(), "a command in a room");
        let desks = self.desks.clone();
        Box::pin(async move {
            let said = match command {
                Ok(command) => desks.carry_out(command, &who).await,
                Err(answer) => answer,
            };
            // Whoever keeps the rooms may have lost patience.
            let _ = answer.send(Reply::Said(said.say(language)));
            Finished { person, did: vec![] }
        })
    }
}
