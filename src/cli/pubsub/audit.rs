//! Asks the server about each node, and mends what differs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, anyhow};
use futures_util::{StreamExt, stream};
use xmpp_parsers::jid::BareJid;

use crate::{
    cli::{self, online::Online},
    config::Config,
    db::{
        pool::{Connector, Pool},
        roster,
    },
    domain::{
        pop::access::{self, Line},
        queue::roster::Roster,
    },
    xmpp::pubsub::{Error, Pubsub},
};

/// How long the server may take to be reached.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(8);
/// Nodes that are looked at at once: beside a running service, which has its own 32 requests.
const AT_ONCE: usize = 8;

/// What to do about a drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repair {
    Leave,
    Mend,
}

/// One line about one node.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) node: String,
    pub(super) line: Line,
    /// `None`: it was not tried.
    pub(super) mended: Option<bool>,
}

/// Everything about every node.
pub(super) async fn of(config: &Config, repair: Repair) -> Result<Vec<Finding>> {
    let roster = read(config).await?;
    let online =
        Online::start(&config.xmpp, PATIENCE).await.map_err(|why| anyhow!("xmpp {}: {why}", config.xmpp.jid))?;
    let pubsub = &online.pubsub;
    let crm = config.xmpp.crm.iter().filter_map(|jid| jid.parse().ok()).collect();
    let mut nodes: BTreeMap<String, Vec<String>> = roster
        .agents
        .iter()
        .map(|agent| (format!("{}{}", config.xmpp.node_prefix, agent.extension), vec![agent.jid.clone()]))
        .collect();
    let listed = pubsub.nodes().await.map_err(|error| anyhow!("pubsub {}: {error}", config.xmpp.pubsub_jid()))?;
    for node in listed.into_iter().filter(|node| node.starts_with(&config.xmpp.node_prefix)) {
        nodes.entry(node).or_default();
    }
    let audits = nodes.into_iter().map(|(node, own)| one(pubsub, node, own, &crm, repair));
    let findings = stream::iter(audits).buffered(AT_ONCE).collect::<Vec<_>>().await;
    online.close().await;
    Ok(findings.into_iter().flatten().collect())
}

/// Everybody with a phone, as the database says at this moment.
pub(in crate::cli) async fn read(config: &Config) -> Result<Roster> {
    drop(cli::ready(&config.database).await?);
    let loaded = async {
        let pool = Pool::new(&Connector::new(&config.database)?, 2)?;
        let mut lease = pool.lease().await?;
        let roster = roster::load(&mut lease).await?;
        lease.done();
        Ok(roster)
    };
    loaded.await.map_err(|error| cli::unusable(&config.database, &error))
}

async fn one(pubsub: &Pubsub, node: String, own: Vec<String>, crm: &BTreeSet<BareJid>, repair: Repair) -> Vec<Finding> {
    let (mut readers, mut lines) = (crm.clone(), Vec::new());
    for jid in own {
        match jid.parse::<BareJid>() {
            Ok(jid) => drop(readers.insert(jid)),
            Err(_) => lines.push(Line {
                subject: jid,
                wanted: "member".into(),
                found: "nothing".into(),
                drift: Some("not an XMPP address: see `usher extension change --help`".into()),
            }),
        }
    }
    let seen = look(pubsub, &node, &readers).await;
    let has_drift = seen.iter().any(|line| line.drift.is_some());
    let after = match repair {
        Repair::Mend if has_drift => {
            mend(pubsub, &node, &readers).await;
            Some(look(pubsub, &node, &readers).await)
        }
        Repair::Mend | Repair::Leave => None,
    };
    let mended = |line: &Line| {
        let is_same =
            |other: &Line| other.drift.is_some() && (other.subject == line.subject || other.subject == "node");
        line.drift.is_some().then(|| after.as_ref().map(|after| !after.iter().any(is_same))).flatten()
    };
    lines.into_iter().chain(seen).map(|line| Finding { node: node.clone(), mended: mended(&line), line }).collect()
}

async fn look(pubsub: &Pubsub, node: &str, readers: &BTreeSet<BareJid>) -> Vec<Line> {
    let (found, drift) = match pubsub.found(node).await {
        Ok(found) => return access::audit(&pubsub.wanted(readers), &found),
        Err(Error::NotFound) => ("not there".to_owned(), "there is no such node: the service has not been up since"),
        Err(error @ (Error::Refused(_) | Error::NotAsAsked)) => {
            (error.to_string(), "the service may not look into its node")
        }
        Err(error @ (Error::NotSent | Error::NoAnswer)) => (error.to_string(), "not known: try again"),
    };
    vec![Line { subject: "node".into(), wanted: "there".into(), found, drift: Some(drift.into()) }]
}

/// What cannot be mended shows in the look that follows.
async fn mend(pubsub: &Pubsub, node: &str, readers: &BTreeSet<BareJid>) {
    if let Err(error) = pubsub.ensure(node, readers).await {
        tracing::debug!(node.name = node, "not mended: {error}");
    }
}
