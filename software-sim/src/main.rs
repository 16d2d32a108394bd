//! The other software, on the command line.

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Parser;
use jiff::{Timestamp, tz::TimeZone};
use software_sim::{
    client::{Event, Settings, watch},
    json,
    login::{self, Account, Tls},
    screen::{Colours, Screen},
};
use tokio::signal::unix::{SignalKind, signal};
use xmpp_parsers::jid::{BareJid, Jid};

/// Shows the screen pops of one extension, as a CRM would.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Account to log in with: name@domain
    #[arg(long, value_parser = login::account_jid)]
    jid: BareJid,
    /// File whose first line is the password; else SOFTWARE_SIM_PASSWORD
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// HOST:PORT of the server; else it is found by the account's domain
    #[arg(long, value_parser = login::host_port)]
    address: Option<String>,
    /// How TLS begins
    #[arg(long, value_enum, default_value = "starttls")]
    tls: Tls,
    /// PEM file of the certificate authorities to trust; else the system's
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Address of the pubsub service; else `pubsub.` and the account's domain
    #[arg(long)]
    pubsub: Option<Jid>,
    /// Extension to watch
    #[arg(long)]
    extension: String,
    /// What stands before the extension in the name of its node
    #[arg(long, default_value = "extension")]
    node_prefix: String,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when this fails.
            let _unwritable = writeln!(stderr(), "software-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let pubsub = match arguments.pubsub {
        Some(pubsub) => pubsub,
        None => format!("pubsub.{}", arguments.jid.domain()).parse()?,
    };
    let account = Account {
        password: password(arguments.password_file.as_deref())?,
        jid: arguments.jid,
        address: arguments.address,
        tls: arguments.tls,
        ca_file: arguments.ca_file,
    };
    let node = format!("{}{}", arguments.node_prefix, arguments.extension);
    let colours =
        if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() { Colours::On } else { Colours::Off };
    let mut screen = Screen::new(colours, TimeZone::system());
    let mut show = |event: &Event| {
        let now = Timestamp::now();
        let text = if arguments.json { json::line(now, event) + "\n" } else { screen.text(now, event) };
        let mut out = stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    let mut events = watch(Settings { account, pubsub, node });
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Ok(event)) => show(&event)?,
                Some(Err(why)) => bail!(why),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
        }
    }
}

fn password(file: Option<&Path>) -> anyhow::Result<String> {
    let Some(file) = file else {
        return std::env::var("SOFTWARE_SIM_PASSWORD")
            .context("no password: give --password-file or set SOFTWARE_SIM_PASSWORD");
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let first = text.lines().next().unwrap_or_default();
    if first.is_empty() {
        bail!("{} is empty: its first line is the password", file.display());
    }
    Ok(first.into())
}
