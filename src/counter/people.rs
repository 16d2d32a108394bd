//! Who may ask: by their bare JIDs, as the server normalises them.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use xmpp_parsers::jid::BareJid;

use crate::domain::{
    command::{Person, Role},
    id::Extension,
    queue::roster::Register,
};

/// Whom each JID belongs to.
#[derive(Debug)]
pub(crate) struct People {
    supervisors: HashSet<BareJid>,
    extensions: HashMap<BareJid, Extension>,
    revision: Option<u64>,
}

impl People {
    /// Knows the supervisors alone.
    pub(crate) fn new(supervisors: &[String]) -> Self {
        let supervisors = supervisors.iter().filter_map(|jid| BareJid::from_str(jid).ok()).collect();
        Self { supervisors, extensions: HashMap::new(), revision: None }
    }

    /// Takes over whose extensions there are, if that has changed. A JID that is written for two extensions is the first one's.
    pub(crate) fn learn(&mut self, register: &Register) {
        if self.revision == Some(register.revision()) {
            return;
        }
        self.revision = Some(register.revision());
        self.extensions.clear();
        for agent in register.agents() {
            if let Ok(jid) = BareJid::from_str(&agent.jid) {
                self.extensions.entry(jid).or_insert_with(|| agent.extension.clone());
            }
        }
    }

    /// Who that is; `None`: nobody here.
    pub(crate) fn find(&self, jid: &BareJid) -> Option<Person> {
        let extension = self.extensions.get(jid).cloned();
        match (self.supervisors.contains(jid), extension) {
            (true, extension) => Some(Person { extension, role: Role::Supervisor }),
            (false, Some(extension)) => Some(Person { extension: Some(extension), role: Role::Agent }),
            (false, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::Interface,
        queue::roster::{Agent, Roster},
    };

    fn register(agents: &[(&str, &str)]) -> Register {
        let agent = |(extension, jid): &(&str, &str)| Agent {
            extension: Extension::new(extension),
            name: String::new(),
            jid: (*jid).into(),
            interface: Interface::new(format!("PJSIP/{extension}")),
            pauses: vec![],
        };
        Register::from(&Roster { agents: agents.iter().map(agent).collect(), ..Roster::default() })
    }

    fn who(people: &People, jid: &str) -> Option<(Option<String>, Role)> {
        let person = people.find(&jid.parse().unwrap())?;
        Some((person.extension.map(|extension| extension.to_string()), person.role))
    }

    #[test]
    fn a_person_is_their_jid_as_the_server_writes_it_and_nobody_else_is() {
        let mut people = People::new(&["Boss@Example.org".into()]);
        people.learn(&register(&[
            ("1000", "User1@EXAMPLE.org"),
            ("2000", "boss@example.org"),
            ("3000", "not a jid @"),
        ]));
        assert_eq!(who(&people, "user1@example.org"), Some((Some("1000".into()), Role::Agent)));
        assert_eq!(who(&people, "boss@example.org"), Some((Some("2000".into()), Role::Supervisor)));
        for jid in ["user1@example.org.evil", "user10@example.org", "user1@evil.org", "example.org"] {
            assert_eq!(who(&people, jid), None, "{jid}");
        }
    }

    #[test]
    fn who_is_taken_out_of_the_roster_is_nobody_and_a_supervisor_stays_one() {
        let mut people = People::new(&["boss@example.org".into()]);
        let mut books = register(&[("1000", "user1@example.org")]);
        people.learn(&books);
        assert!(who(&people, "user1@example.org").is_some());
        books.replace(&Roster::default());
        people.learn(&books);
        assert_eq!(who(&people, "user1@example.org"), None);
        assert_eq!(who(&people, "boss@example.org"), Some((None, Role::Supervisor)));
    }
}
