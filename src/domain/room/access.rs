//! Who may enter a room, and what is changed so that it is so.

use std::collections::BTreeMap;

/// Standing of somebody in a room, there or not (XEP-0045, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affiliation {
    /// May do everything: the service.
    Owner,
    /// May keep order: a supervisor.
    Admin,
    /// May enter: a member of the queue.
    Member,
    /// Is kept out.
    Outcast,
    /// May not enter either, since the room is for its members.
    None,
}

impl Affiliation {
    /// All that a server lists.
    pub const LISTED: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Outcast];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Outcast => "outcast",
            Self::None => "none",
        }
    }
}

/// What is to be changed of what is found, so that it is as wanted; who loses something comes first. Owners stay what they are: they are the
/// service, or somebody whom the server's administrator has made one. Who was shut out and is wanted is let in again.
pub fn changes<P: Ord + Clone>(
    found: &BTreeMap<P, Affiliation>,
    wanted: &BTreeMap<P, Affiliation>,
) -> Vec<(P, Affiliation)> {
    let goes = |(person, affiliation): (&P, &Affiliation)| {
        let is_to_go = matches!(affiliation, Affiliation::Admin | Affiliation::Member) && !wanted.contains_key(person);
        is_to_go.then(|| (person.clone(), Affiliation::None))
    };
    let comes = |(person, affiliation): (&P, &Affiliation)| {
        let has = found.get(person);
        (has != Some(affiliation) && has != Some(&Affiliation::Owner)).then(|| (person.clone(), *affiliation))
    };
    found.iter().filter_map(goes).chain(wanted.iter().filter_map(comes)).collect()
}

#[cfg(test)]
mod tests {
    use super::Affiliation::{Admin, Member, None, Outcast, Owner};
    use super::*;

    #[test]
    fn each_has_what_is_wanted_afterwards_and_nobody_else_has_anything() {
        let wanted = BTreeMap::from([("ana", Member), ("boss", Admin)]);
        for (found, expected) in [
            (vec![], vec![("ana", Member), ("boss", Admin)]),
            (vec![("usher", Owner), ("ana", Member), ("boss", Admin)], vec![]),
            (vec![("ana", Member), ("boss", Admin), ("bea", Member)], vec![("bea", None)]),
            (vec![("ana", Admin), ("boss", Member)], vec![("ana", Member), ("boss", Admin)]),
            (vec![("carl", Admin), ("boss", Admin)], vec![("carl", None), ("ana", Member)]),
            (vec![("ana", Outcast), ("dora", Outcast), ("boss", Admin)], vec![("ana", Member)]),
            (vec![("boss", Owner), ("ana", Member), ("root", Owner)], vec![]),
        ] {
            let found = BTreeMap::from_iter(found);
            assert_eq!(changes(&found, &wanted), expected, "{found:?}");
        }
    }
}
