//! What is meant in a queue's room, where the queue need not be named.

use super::{Command, Person, Refusal, Spoken, Verb, pause, queues, resume, understand, waiting, whose};
use crate::domain::{
    id::{Extension, QueueName},
    queue::roster::Register,
};

/// Takes what was said in the room of this queue for a command: it is meant where no queue is named.
///
/// # Errors
/// As [`understand`].
pub fn understand_in(
    said: Spoken<'_>,
    person: &Person,
    books: &Register,
    queue: &QueueName,
) -> Result<Command, Refusal> {
    match said.verb {
        Verb::LogOn => {
            let (who, queues) = whose_and_where(said.rest, person, books, queue)?;
            Ok(Command::LogOn { who, queues })
        }
        Verb::LogOff => {
            let (who, queues) = whose_and_where(said.rest, person, books, queue)?;
            Ok(Command::LogOff { who, queues })
        }
        Verb::Waiting if said.rest.is_empty() => waiting(Some(queue.clone()), person, books),
        Verb::Pause
        | Verb::Resume
        | Verb::Status
        | Verb::Waiting
        | Verb::Take
        | Verb::Decline
        | Verb::CallBack
        | Verb::Transfer
        | Verb::Calls
        | Verb::Why
        | Verb::Help
        | Verb::Language => {
            let command = understand(said, person, books)?;
            if let Command::Pause { who, queue: None, reason } = command {
                return pause(who, Some(queue.clone()), &reason, books);
            }
            if let Command::Resume { who, queue: None } = command {
                return resume(who, Some(queue.clone()), books);
            }
            Ok(command)
        }
    }
}

fn whose_and_where(
    rest: &str,
    person: &Person,
    books: &Register,
    queue: &QueueName,
) -> Result<(Extension, Vec<QueueName>), Refusal> {
    let (who, rest) = whose(rest, person, books)?;
    let queues = if rest.is_empty() { vec![queue.clone()] } else { queues(rest, books)? };
    Ok((who, queues))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        command::{Role, spoken},
        id::Interface,
        queue::roster::{Agent, Membership, Queue, Roster},
    };

    fn books() -> Register {
        let extension = Extension::new("1000");
        let agent = Agent {
            extension: extension.clone(),
            name: String::new(),
            jid: "user1@localhost".into(),
            interface: Interface::new("PJSIP/1000"),
            pauses: vec![],
        };
        let queue = |name: &str, label: &str| Queue { label: label.into(), ..Queue::new(QueueName::new(name)) };
        Register::from(&Roster {
            agents: vec![agent],
            queues: vec![queue("back", "Back office"), queue("sales", "Sales"), queue("support", "Support")],
            memberships: ["sales", "support"]
                .map(|name| Membership::new(QueueName::new(name), extension.clone()))
                .into(),
        })
    }

    fn said(text: &str, room: &str) -> Result<Command, Refusal> {
        let person = Person { extension: None, role: Role::Supervisor };
        understand_in(spoken(text).unwrap(), &person, &books(), &QueueName::new(room))
    }

    #[test]
    fn the_queue_of_the_room_is_meant_where_none_is_named_and_a_named_one_elsewhere() {
        let who = || Extension::new("1000");
        let (sales, support) = (QueueName::new("sales"), QueueName::new("support"));
        let reason = || "lunch".to_owned();
        for (text, expected) in [
            ("waiting", Command::Waiting { queues: vec![support.clone()] }),
            ("waiting sales", Command::Waiting { queues: vec![sales.clone()] }),
            ("pause 1000 lunch", Command::Pause { who: who(), queue: Some(support.clone()), reason: reason() }),
            ("pause 1000 lunch sales", Command::Pause { who: who(), queue: Some(sales.clone()), reason: reason() }),
            ("resume 1000", Command::Resume { who: who(), queue: Some(support.clone()) }),
            ("resume 1000 sales", Command::Resume { who: who(), queue: Some(sales.clone()) }),
            ("login 1000", Command::LogOn { who: who(), queues: vec![support.clone()] }),
            ("login 1000 back", Command::LogOn { who: who(), queues: vec![QueueName::new("back")] }),
            ("logout 1000", Command::LogOff { who: who(), queues: vec![support.clone()] }),
            ("status 1000", Command::Status { who: who() }),
            ("help", Command::Help),
        ] {
            assert_eq!(said(text, "support"), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_refused_elsewhere_is_refused_in_a_room_and_who_does_not_serve_its_queue_is_not_paused_in_it() {
        assert_eq!(said("pause", "support"), Err(Refusal::WhichExtension));
        assert_eq!(said("status 1000 lunch", "support"), Err(Refusal::Leftover("lunch".into())));
        for text in ["pause 1000 lunch", "resume 1000"] {
            assert!(matches!(said(text, "back"), Err(Refusal::NotAMember { .. })), "{text}");
        }
    }
}
