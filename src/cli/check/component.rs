//! Whether the XMPP server has the service as a component, if it is to be one.

use super::{PATIENCE, Report, Verdict};
use crate::{
    config::{Config, Database},
    db::{
        lease,
        pool::{Connector, Statements},
    },
    domain::lease::{Holder, Seen, Term},
    xmpp::component::{Extent, Settings, rehearse},
};

/// Tries the secret only when no service is active: one that is would lose its place to us, or we would be refused for its sake.
pub(super) async fn looked_at(config: &Config, report: &mut Report) {
    let Some(settings) = Settings::new(&config.xmpp) else { return };
    let what = format!("component {} at {}", settings.domain, settings.address);
    let extent = if is_nobody_active(&config.database).await { Extent::Place } else { Extent::Header };
    match (rehearse(&settings, extent, PATIENCE).await, extent) {
        (Ok(()), Extent::Place) => report.good(what, "let in"),
        (Ok(()), Extent::Header) => {
            let note = "reached; the secret was not tried, since a service may be active and would lose its place: its /ready says how it is";
            report.add(what, Verdict::Good, note);
        }
        (Err(failure), _) => report.wrong(what, failure.to_string()),
    }
}

/// Whether the database says so.
async fn is_nobody_active(config: &Database) -> bool {
    let looked = async {
        let single = Connector::new(config)?.single(Statements::Bounded).await?;
        lease::look(&single.client).await
    };
    match looked.await.map(|row| row.seen) {
        Ok(Seen::Free) => true,
        Ok(Seen::Held { holder, term, .. }) => holder == Holder::Gone && term == Term::Over,
        Err(_) => false,
    }
}
