//! Reads who works where, all of it or certain rows, as one consistent snapshot.
//!
//! The schema's checks keep out what the program cannot read. Should such a value appear all the same (a check was dropped, or
//! a newer program wrote it), the rest is still served: the value counts as its default, and what is wrong is said.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use deadpool_postgres::Object;
use futures_util::future::{try_join4, try_join5};
use jiff::Timestamp;
use tokio_postgres::{IsolationLevel, Row};
use tracing::error;

use crate::{
    db::{Error, moment::Moment, statements},
    domain::{
        id::{Extension, Interface, QueueName},
        pop::link::{InvalidTemplate, Template},
        presence::PresencePolicy,
        queue::{
            callback::CallbackPolicy,
            policy::Policy,
            roster::{Agent, Keys, Membership, MembershipKind, Pause, PauseKind, Queue, Roster, RosterChange},
            talk::TalkPolicy,
            waiting::Announcements,
        },
    },
};

/// A value that the program does not know, and what it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table}, row {row}, column {column}: {found:?} is unknown, expected {expected}; {instead} is used")]
pub struct Unreadable {
    /// Table.
    pub table: &'static str,
    /// Its row, by its key.
    pub row: String,
    /// Its column.
    pub column: &'static str,
    /// What is there.
    pub found: String,
    /// What could be there.
    pub expected: String,
    /// What it was taken for.
    pub instead: String,
}

/// Loads all of it, as it was at one moment. Values that cannot be read are logged.
///
/// # Errors
/// What the server said.
pub async fn load(client: &mut Object) -> Result<Roster, Error> {
    let (roster, unreadable) = read(client).await?;
    for value in unreadable {
        error!("{value}");
    }
    Ok(roster)
}

/// The same, with what could not be read.
///
/// # Errors
/// What the server said.
pub async fn read(client: &mut Object) -> Result<(Roster, Vec<Unreadable>), Error> {
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let agents = transaction.prepare_cached(statements::ROSTER_AGENTS).await?;
    let queues = transaction.prepare_cached(statements::ROSTER_QUEUES).await?;
    let memberships = transaction.prepare_cached(statements::ROSTER_MEMBERSHIPS).await?;
    let pauses = transaction.prepare_cached(statements::ROSTER_PAUSES).await?;
    let (agents, queues, memberships, pauses) = try_join4(
        transaction.query(&agents, &[]),
        transaction.query(&queues, &[]),
        transaction.query(&memberships, &[]),
        transaction.query(&pauses, &[]),
    )
    .await?;
    transaction.commit().await?;
    let mut reader = Reader::default();
    let mut paused = reader.paused(&pauses)?;
    let roster = Roster {
        agents: agents.iter().map(|row| agent(row, &mut paused)).collect::<Result<_, _>>()?,
        queues: queues.iter().map(|row| reader.queue(row)).collect::<Result<_, _>>()?,
        memberships: memberships.iter().map(|row| reader.membership(row)).collect::<Result<_, _>>()?,
    };
    Ok((roster, reader.unreadable))
}

/// Loads these rows alone, as they were at one moment, and has `mark` sent to who listens on `usher_loaded`: with it, every
/// change has been announced that these rows can hold. Values that cannot be read are logged.
///
/// # Errors
/// What the server said.
pub async fn load_rows(client: &mut Object, keys: Keys, mark: &str) -> Result<RosterChange, Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    let agents = transaction.prepare_cached(statements::CHANGED_AGENTS).await?;
    let queues = transaction.prepare_cached(statements::CHANGED_QUEUES).await?;
    let memberships = transaction.prepare_cached(statements::CHANGED_MEMBERSHIPS).await?;
    let pauses = transaction.prepare_cached(statements::CHANGED_PAUSES).await?;
    let notify = transaction.prepare_cached(statements::ROSTER_MARK).await?;
    let numbers: Vec<&str> = keys.agents.iter().map(Extension::as_str).collect();
    let names: Vec<&str> = keys.queues.iter().map(QueueName::as_str).collect();
    let (of, who): (Vec<&str>, Vec<&str>) = keys.memberships.iter().map(|(q, e)| (q.as_str(), e.as_str())).unzip();
    let (agents, queues, memberships, pauses, _) = try_join5(
        transaction.query(&agents, &[&numbers]),
        transaction.query(&queues, &[&names]),
        transaction.query(&memberships, &[&of, &who]),
        transaction.query(&pauses, &[&numbers]),
        transaction.query(&notify, &[&mark]),
    )
    .await?;
    transaction.commit().await?;
    let mut change = RosterChange::without(keys);
    let mut reader = Reader::default();
    let mut paused = reader.paused(&pauses)?;
    for row in &agents {
        let agent = agent(row, &mut paused)?;
        change.agents.insert(agent.extension.clone(), Some(agent));
    }
    for row in &queues {
        let queue = reader.queue(row)?;
        change.queues.insert(queue.name.clone(), Some(queue));
    }
    for row in &memberships {
        let membership = reader.membership(row)?;
        change.memberships.insert((membership.queue.clone(), membership.extension.clone()), Some(membership));
    }
    for value in reader.unreadable {
        error!("{value}");
    }
    Ok(change)
}

/// The pauses of one agent.
///
/// # Errors
/// What the server said.
pub async fn pauses_of(client: &Object, extension: &Extension) -> Result<Vec<Pause>, Error> {
    let pauses = client.prepare_cached(statements::CHANGED_PAUSES).await?;
    let rows = client.query(&pauses, &[&[extension.as_str()].as_slice()]).await?;
    Ok(Reader::default().paused(&rows)?.remove(extension).unwrap_or_default())
}

fn agent(row: &Row, paused: &mut BTreeMap<Extension, Vec<Pause>>) -> Result<Agent, tokio_postgres::Error> {
    let extension = Extension::new(row.try_get::<_, &str>("number")?);
    let pauses = paused.remove(&extension).unwrap_or_default();
    Ok(Agent {
        extension,
        name: row.try_get("name")?,
        jid: row.try_get("jid")?,
        interface: Interface::new(canonical(row.try_get("interface")?)),
        pauses,
    })
}

/// The name of a channel as Asterisk writes it: whatever the case of the technology, it is the same phone.
fn canonical(interface: &str) -> String {
    let Some((technology, rest)) = interface.split_once('/') else { return interface.to_owned() };
    let known = ["PJSIP", "SIP", "IAX2", "DAHDI"].into_iter().find(|known| known.eq_ignore_ascii_case(technology));
    format!("{}/{rest}", known.unwrap_or(technology))
}

/// Turns rows into values, and remembers what it could not read.
#[derive(Default)]
struct Reader {
    unreadable: Vec<Unreadable>,
}

impl Reader {
    fn queue(&mut self, row: &Row) -> Result<Queue, tokio_postgres::Error> {
        let name: &str = row.try_get("name")?;
        let mut at = Place { reader: self, table: "queues", key: name.to_owned(), row };
        Ok(Queue {
            name: QueueName::new(name),
            label: row.try_get("label")?,
            number: row.try_get("number")?,
            announcement: row.try_get("announcement")?,
            greeting: row.try_get("greeting")?,
            moh_class: row.try_get("moh_class")?,
            ring_time: at.seconds("ring_time_seconds")?,
            queue_timeout: at.seconds("queue_timeout_seconds")?,
            policy: Policy {
                strategy: at.word("strategy")?,
                retry: at.seconds("retry_seconds")?,
                max_waiting: at.optional_count("max_waiting")?,
                join_empty: at.word("join_empty")?,
                leave_empty: at.word("leave_empty")?,
                weight: at.count("weight")?,
                service_level: at.seconds("service_level_seconds")?,
                wrap_up: at.seconds("wrap_up_seconds")?,
                auto_pause_after: at.optional_count("auto_pause_after")?,
                sticky: at.seconds("sticky_seconds")?,
                claim: at.seconds("claim_seconds")?,
                overflow: at.word("overflow")?,
            },
            callback: CallbackPolicy {
                key: row.try_get::<_, &str>("callback_key")?.chars().next(),
                tries: at.count("callback_tries")?,
                retry: at.seconds("callback_retry_seconds")?,
                ring_time: at.seconds("callback_ring_seconds")?,
                keep: at.seconds("callback_keep_seconds")?,
            },
            announcements: Announcements {
                every: at.seconds("announce_frequency_seconds")?,
                position: row.try_get("announce_position")?,
                hold_time: row.try_get("announce_holdtime")?,
                periodic: row.try_get("periodic_announce")?,
                periodic_every: at.seconds("periodic_announce_frequency_seconds")?,
            },
            talk: TalkPolicy {
                member_greeting: row.try_get("member_greeting")?,
                recording: row.try_get("recording")?,
                recording_prompt: row.try_get("recording_prompt")?,
            },
            presence: PresencePolicy {
                away: at.seconds("presence_away_seconds")?,
                offline: at.seconds("presence_offline_seconds")?,
            },
            link: at.link()?,
        })
    }

    fn membership(&mut self, row: &Row) -> Result<Membership, tokio_postgres::Error> {
        let (queue, extension): (&str, &str) = (row.try_get("queue")?, row.try_get("extension")?);
        let mut at = Place { reader: self, table: "memberships", key: format!("{queue}/{extension}"), row };
        Ok(Membership {
            queue: QueueName::new(queue),
            extension: Extension::new(extension),
            logged_on: row.try_get("logged_on")?,
            last_call_at: at.moment("last_call_at")?,
            penalty: at.count("penalty")?,
            place: row.try_get("place")?,
            joined_at: at.moment("joined_at")?.unwrap_or_default(),
            back_at: at.moment("back_at")?,
            calls_taken: u64::try_from(row.try_get::<_, i64>("calls_taken")?).unwrap_or(0),
            wrap_up_until: at.moment("wrap_up_until")?,
            kind: at.one_of("kind", &[("dynamic", MembershipKind::Dynamic), ("static", MembershipKind::Static)])?,
        })
    }

    fn paused(&mut self, rows: &[Row]) -> Result<BTreeMap<Extension, Vec<Pause>>, tokio_postgres::Error> {
        let mut paused: BTreeMap<Extension, Vec<Pause>> = BTreeMap::new();
        for row in rows {
            let extension = Extension::new(row.try_get::<_, &str>("extension")?);
            paused.entry(extension).or_default().push(self.pause(row)?);
        }
        Ok(paused)
    }

    fn pause(&mut self, row: &Row) -> Result<Pause, tokio_postgres::Error> {
        let queue: Option<&str> = row.try_get("queue")?;
        let extension: &str = row.try_get("extension")?;
        let key = format!("{extension}/{}", queue.unwrap_or("everywhere"));
        let mut at = Place { reader: self, table: "pauses", key, row };
        // An unknown kind counts as the strongest: somebody wanted the agent paused.
        let kinds = [PauseKind::Manual, PauseKind::Auto, PauseKind::Presence].map(|kind| (kind.as_str(), kind));
        Ok(Pause {
            queue: queue.map(QueueName::new),
            kind: at.one_of("kind", &kinds)?,
            reason: row.try_get("reason")?,
            since: at.moment("since")?.unwrap_or_default(),
        })
    }
}

/// One row while it is read.
struct Place<'a> {
    reader: &'a mut Reader,
    table: &'static str,
    key: String,
    row: &'a Row,
}

impl Place<'_> {
    fn complain(&mut self, column: &'static str, found: &dyn fmt::Display, expected: String, instead: String) {
        let (table, row) = (self.table, self.key.clone());
        self.reader.unreadable.push(Unreadable { table, row, column, found: found.to_string(), expected, instead });
    }

    /// A word of the policy; its default if it is none.
    fn word<T>(&mut self, column: &'static str) -> Result<T, tokio_postgres::Error>
    where
        T: FromStr<Err = crate::domain::queue::policy::InvalidWord> + Default + fmt::Display,
    {
        let text: &str = self.row.try_get(column)?;
        Ok(text.parse().unwrap_or_else(|error: crate::domain::queue::policy::InvalidWord| {
            let instead = T::default();
            self.complain(column, &text, error.expected().to_owned(), instead.to_string());
            instead
        }))
    }

    /// One of these; the first if it is none of them.
    fn one_of<T: Copy>(
        &mut self,
        column: &'static str,
        known: &[(&'static str, T)],
    ) -> Result<T, tokio_postgres::Error> {
        let text: &str = self.row.try_get(column)?;
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let (instead, value) = known[0];
        self.complain(column, &text, words.join(", "), instead.to_owned());
        Ok(value)
    }

    /// A number from 0; 0 if it is none.
    fn count(&mut self, column: &'static str) -> Result<u32, tokio_postgres::Error> {
        let number: i32 = self.row.try_get(column)?;
        Ok(u32::try_from(number).unwrap_or_else(|_| {
            self.complain(column, &number, "a number from 0".to_owned(), "0".to_owned());
            0
        }))
    }

    /// A number from 1, or NULL.
    fn optional_count(&mut self, column: &'static str) -> Result<Option<u32>, tokio_postgres::Error> {
        let Some(number) = self.row.try_get::<_, Option<i32>>(column)? else { return Ok(None) };
        Ok(u32::try_from(number).ok().filter(|number| *number > 0).or_else(|| {
            self.complain(column, &number, "a number from 1, or NULL".to_owned(), "NULL".to_owned());
            None
        }))
    }

    /// A time, or NULL; NULL if it is none that can be read, which is the beginning of 1970 where there must be one.
    fn moment(&mut self, column: &'static str) -> Result<Option<Timestamp>, tokio_postgres::Error> {
        let Some(moment) = self.row.try_get::<_, Option<Moment>>(column)? else { return Ok(None) };
        self.reader.unreadable.extend(moment.complaint(self.table, &self.key, column, "no time"));
        Ok(moment.known())
    }

    /// The template of a link; none if it cannot be used.
    fn link(&mut self) -> Result<Option<Template>, tokio_postgres::Error> {
        let text: &str = self.row.try_get("link")?;
        if text.is_empty() {
            return Ok(None);
        }
        Ok(text
            .parse()
            .map_err(|error: InvalidTemplate| {
                self.complain("link", &text, format!("an address of a page ({error})"), "none".to_owned())
            })
            .ok())
    }

    fn seconds(&mut self, column: &'static str) -> Result<Duration, tokio_postgres::Error> {
        Ok(Duration::from_secs(self.count(column)?.into()))
    }
}
