//! `usher pubsub`

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::{
    cli::{
        report::print::{Cell, Format, Printer, Shape},
        say,
    },
    config::Config,
    domain::pop::token::Key,
};

pub(super) mod audit;

/// Of the audit, for the end of its long help.
const MEANING: &str = "\
For each node: its settings, and everybody who may do something with it or does. `owner` publishes and decides, `member` \
subscribes and fetches, `nothing` does neither. The service's account has to be the owner, the extension's own JID and the JIDs \
in xmpp.crm have to be members, and nobody else anything. Nodes that begin with xmpp.node_prefix and belong to no extension \
(any more) are for xmpp.crm alone. Safe beside a running service.

Exit status: 0 no drift, or with --fix none that is left; 1 there is drift, or it could not be looked for; 2 wrong usage or \
configuration.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who may see and write each extension's node, and what the server has otherwise.
    #[command(after_long_help = MEANING)]
    Audit(Audit),
    /// Check the token of a private pop's link, and show what it says.
    ///
    /// Exit status: 0 it counts, 1 it does not.
    Verify {
        /// What stands in the place of {token} in the link.
        token: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Mend what differs, and say what could be mended.
    #[arg(long)]
    fix: bool,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub(super) fn run(command: Command, path: &Path) -> Result<()> {
    let config = Config::load(path)?;
    match command {
        Command::Audit(options) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run_audit(&options, &config))
        }
        Command::Verify { token } => verify(&config, &token),
    }
}

async fn run_audit(options: &Audit, config: &Config) -> Result<()> {
    let repair = if options.fix { audit::Repair::Mend } else { audit::Repair::Leave };
    let findings = audit::of(config, repair).await?;
    if findings.is_empty() && options.format == Format::Table {
        return say("no extensions, and no nodes of any");
    }
    let headings = ["node", "subject", "wanted", "found", "drift", "mended"];
    let headings = if options.fix { &headings[..] } else { &headings[..5] };
    let mut printer = Printer::new(options.format, Shape::Table, headings);
    for finding in &findings {
        let line = &finding.line;
        let mended = match finding.mended {
            Some(mended) => Cell::Truth(mended),
            None => Cell::Nothing,
        };
        let drift = line.drift.clone().map_or(Cell::Nothing, Cell::Text);
        let text = |text: &String| Cell::Text(text.clone());
        let cells = [text(&finding.node), text(&line.subject), text(&line.wanted), text(&line.found), drift, mended];
        printer.row(&cells[..headings.len()])?;
    }
    printer.end(None)?;
    let left = findings.iter().filter(|finding| finding.line.drift.is_some() && finding.mended != Some(true)).count();
    match (left, repair) {
        (0, _) => Ok(()),
        (_, audit::Repair::Leave) => {
            bail!("drift in {left} of the lines above: `usher pubsub audit --fix` mends it")
        }
        (_, audit::Repair::Mend) => {
            bail!("drift in {left} of the lines above could not be mended: does the service's account own the nodes?")
        }
    }
}

fn verify(config: &Config, token: &str) -> Result<()> {
    let secret = config.pops.link_secret.clone().ok_or_else(|| {
        anyhow!("there is no secret to verify it with: name a file in pops.link_secret_file or set USHER_LINK_SECRET")
    })?;
    let claims = Key::new(secret).verify(token, Timestamp::now()).map_err(|error| anyhow!("not valid: {error}"))?;
    say(&format!("{:#}", serde_json::to_value(claims)?))
}
