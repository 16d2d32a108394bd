//! Who may see and write a desk's node, and how what the server has differs from it.
//!
//! Decides what is a drift; asks nobody and mends nothing. Addresses are bare, in the form in which servers compare them.

use std::collections::{BTreeMap, BTreeSet};

/// What an account is to a node (XEP-0060 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affiliation {
    /// Does everything.
    Owner,
    /// Writes and reads.
    Publisher,
    /// Writes.
    PublishOnly,
    /// Reads.
    Member,
    /// Does what everybody does.
    None,
    /// Is shut out.
    Outcast,
}

impl Affiliation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Publisher => "publisher",
            Self::PublishOnly => "publish-only",
            Self::Member => "member",
            Self::None => "nothing",
            Self::Outcast => "outcast",
        }
    }
}

/// How a node has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The service's account.
    pub owner: String,
    /// Who subscribes and fetches.
    pub readers: BTreeSet<String>,
    /// Its configuration, by the names of XEP-0060.
    pub settings: Vec<(&'static str, String)>,
}

/// How the server says that it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Its configuration; what is not there is not known to the server.
    pub settings: BTreeMap<String, String>,
    /// Affiliations.
    pub affiliations: BTreeMap<String, Affiliation>,
    /// Who is subscribed.
    pub subscribers: BTreeSet<String>,
}

/// One line of the audit of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who, or which setting, or `settings` for all of them, or `node` for the node itself.
    pub subject: String,
    /// What it is to be.
    pub wanted: String,
    /// What it is.
    pub found: String,
    /// What is wrong with that, if it is.
    pub drift: Option<String>,
}

/// Compares: first the settings, then everybody who has to do with the node.
pub fn audit(wanted: &Wanted, found: &Found) -> Vec<Line> {
    let mut lines = settings(wanted, found);
    let everybody: BTreeSet<&String> = std::iter::once(&wanted.owner)
        .chain(&wanted.readers)
        .chain(found.affiliations.keys())
        .chain(&found.subscribers)
        .collect();
    lines.extend(everybody.into_iter().filter_map(|who| person(who, wanted, found)));
    lines
}

/// Whether two values of a setting are the same: servers write yes in two ways.
pub fn same_value(one: &str, other: &str) -> bool {
    let plain = |value: &str| match value {
        "true" => "1".to_owned(),
        "false" => "0".to_owned(),
        other => other.to_owned(),
    };
    plain(one) == plain(other)
}

fn settings(wanted: &Wanted, found: &Found) -> Vec<Line> {
    let known = wanted.settings.iter().filter_map(|(name, value)| Some((*name, value, found.settings.get(*name)?)));
    let differing: Vec<Line> = known
        .filter(|(_, value, is)| !same_value(value, is))
        .map(|(name, value, is)| Line {
            subject: name.into(),
            wanted: value.clone(),
            found: is.clone(),
            drift: Some(meaning(name, is)),
        })
        .collect();
    if !differing.is_empty() {
        return differing;
    }
    let as_set = "as the service sets them".to_owned();
    vec![Line { subject: "settings".into(), wanted: as_set.clone(), found: as_set, drift: None }]
}

fn meaning(name: &str, value: &str) -> String {
    match (name, value) {
        ("pubsub#access_model", "open") => "everybody may subscribe and fetch".into(),
        ("pubsub#access_model", _) => format!("others than the listed may subscribe and fetch: {value}"),
        ("pubsub#publish_model", "open") => "everybody may publish".into(),
        ("pubsub#publish_model", _) => format!("others than the service may publish: {value}"),
        _ => "pops are not kept or told as docs/screen-pop.md says".into(),
    }
}

fn person(who: &str, wanted: &Wanted, found: &Found) -> Option<Line> {
    let affiliation = found.affiliations.get(who).copied().unwrap_or(Affiliation::None);
    let is_subscribed = found.subscribers.contains(who);
    let (due, drift) = if who == wanted.owner {
        ("owner", (affiliation != Affiliation::Owner).then_some("the service does not own the node"))
    } else if wanted.readers.contains(who) {
        let drift = match affiliation {
            Affiliation::Member => None,
            Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly => Some("may publish"),
            Affiliation::None | Affiliation::Outcast => Some("may neither subscribe nor fetch"),
        };
        ("member", drift)
    } else {
        let drift = match affiliation {
            Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly => Some("may publish"),
            Affiliation::Member => Some("may subscribe and fetch"),
            Affiliation::None | Affiliation::Outcast if is_subscribed => Some("is subscribed"),
            // Nobody special: not worth a line.
            Affiliation::None => return None,
            Affiliation::Outcast => None,
        };
        ("nothing", drift)
    };
    let subscribed = if is_subscribed { ", subscribed" } else { "" };
    Some(Line {
        subject: who.into(),
        wanted: due.into(),
        found: format!("{}{subscribed}", affiliation.as_str()),
        drift: drift.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            owner: "usher@x".into(),
            readers: ["crm@x", "user1@x"].map(str::to_owned).into(),
            settings: vec![("pubsub#access_model", "whitelist".into()), ("pubsub#persist_items", "1".into())],
        }
    }

    fn right() -> Found {
        Found {
            settings: [("pubsub#access_model", "whitelist"), ("pubsub#persist_items", "true"), ("pubsub#title", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            affiliations: [
                ("usher@x", Affiliation::Owner),
                ("crm@x", Affiliation::Member),
                ("user1@x", Affiliation::Member),
            ]
            .map(|(who, affiliation)| (who.to_owned(), affiliation))
            .into(),
            subscribers: ["crm@x".to_owned()].into(),
        }
    }

    fn drifts(found: &Found) -> Vec<(String, String)> {
        audit(&wanted(), found).into_iter().filter_map(|line| Some((line.subject, line.drift?))).collect()
    }

    #[test]
    fn a_node_that_is_as_it_has_to_be_shows_everybody_and_no_drift() {
        let lines = audit(&wanted(), &right());
        let told: Vec<_> = lines.iter().map(|line| (line.subject.as_str(), line.found.as_str())).collect();
        let expected = [
            ("settings", "as the service sets them"),
            ("crm@x", "member, subscribed"),
            ("user1@x", "member"),
            ("usher@x", "owner"),
        ];
        assert_eq!(told, expected);
        assert_eq!(drifts(&right()), []);
    }

    #[test]
    fn a_setting_that_the_server_does_not_know_is_no_drift_and_one_that_it_has_otherwise_is() {
        let mut found = right();
        found.settings.remove("pubsub#persist_items");
        assert_eq!(drifts(&found), []);
        found.settings.insert("pubsub#access_model".into(), "open".into());
        let told = drifts(&found);
        assert_eq!(told, [("pubsub#access_model".to_owned(), "everybody may subscribe and fetch".to_owned())]);
    }

    #[test]
    fn each_way_in_which_access_can_be_wrong_is_named() {
        use Affiliation::{Member, None, Outcast, Owner, PublishOnly, Publisher};
        let of = |who: &str, affiliation: Affiliation, subscribed: bool| {
            let mut found = right();
            found.affiliations.insert(who.into(), affiliation);
            if subscribed {
                found.subscribers.insert(who.into());
            }
            drifts(&found).into_iter().map(|(_, drift)| drift).collect::<Vec<_>>()
        };
        for affiliation in [Owner, Publisher, PublishOnly, Member, None, Outcast] {
            let of_owner = if affiliation == Owner { vec![] } else { vec!["the service does not own the node"] };
            assert_eq!(of("usher@x", affiliation, false), of_owner, "{affiliation:?}");
            let of_reader = match affiliation {
                Owner | Publisher | PublishOnly => vec!["may publish"],
                Member => vec![],
                None | Outcast => vec!["may neither subscribe nor fetch"],
            };
            assert_eq!(of("crm@x", affiliation, false), of_reader, "{affiliation:?}");
            for subscribed in [false, true] {
                let of_stranger = match affiliation {
                    Owner | Publisher | PublishOnly => vec!["may publish"],
                    Member => vec!["may subscribe and fetch"],
                    None | Outcast if subscribed => vec!["is subscribed"],
                    None | Outcast => vec![],
                };
                assert_eq!(of("stranger@x", affiliation, subscribed), of_stranger, "{affiliation:?} {subscribed}");
            }
        }
    }
}
