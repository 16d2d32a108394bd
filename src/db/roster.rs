//! Reads who works where, as one consistent snapshot.

use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::try_join3;
use jiff::Timestamp;
use tokio_postgres::{IsolationLevel, Row};

use crate::{
    db::{Error, statements},
    domain::{
        id::{Extension, Interface, QueueName},
        queue::{
            policy::Policy,
            roster::{Agent, Membership, MembershipKind, Queue, Roster},
        },
    },
};

/// Loads all of it, as it was at one moment.
///
/// # Errors
/// What the server said.
pub async fn load(client: &mut Object) -> Result<Roster, Error> {
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let agents = transaction.prepare_cached(statements::ROSTER_AGENTS).await?;
    let queues = transaction.prepare_cached(statements::ROSTER_QUEUES).await?;
    let memberships = transaction.prepare_cached(statements::ROSTER_MEMBERSHIPS).await?;
    let (agents, queues, memberships) = try_join3(
        transaction.query(&agents, &[]),
        transaction.query(&queues, &[]),
        transaction.query(&memberships, &[]),
    )
    .await?;
    transaction.commit().await?;
    Ok(Roster {
        agents: agents.iter().map(agent).collect::<Result<_, _>>()?,
        queues: queues.iter().map(queue).collect::<Result<_, _>>()?,
        memberships: memberships.iter().map(membership).collect::<Result<_, _>>()?,
    })
}

fn agent(row: &Row) -> Result<Agent, tokio_postgres::Error> {
    Ok(Agent {
        extension: Extension::new(row.try_get::<_, &str>("number")?),
        name: row.try_get("name")?,
        jid: row.try_get("jid")?,
        interface: Interface::new(row.try_get::<_, &str>("interface")?),
        pauses: Vec::new(),
    })
}

fn queue(row: &Row) -> Result<Queue, tokio_postgres::Error> {
    Ok(Queue {
        name: QueueName::new(row.try_get::<_, &str>("name")?),
        label: row.try_get("label")?,
        announcement: row.try_get("announcement")?,
        greeting: row.try_get("greeting")?,
        moh_class: row.try_get("moh_class")?,
        ring_time: seconds(row.try_get("ring_time_seconds")?),
        queue_timeout: seconds(row.try_get("queue_timeout_seconds")?),
        policy: Policy::default(),
    })
}

fn membership(row: &Row) -> Result<Membership, tokio_postgres::Error> {
    Ok(Membership {
        queue: QueueName::new(row.try_get::<_, &str>("queue")?),
        extension: Extension::new(row.try_get::<_, &str>("extension")?),
        logged_on: row.try_get("logged_on")?,
        last_call_at: row.try_get("last_call_at")?,
        penalty: 0,
        place: 0,
        joined_at: Timestamp::UNIX_EPOCH,
        calls_taken: 0,
        wrap_up_until: None,
        kind: MembershipKind::Dynamic,
    })
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}
