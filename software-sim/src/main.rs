//! The other software, on the command line.

use std::{
    io::{ErrorKind, IsTerminal, Write, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use jiff::{Timestamp, tz::TimeZone};
use software_sim::{
    bridge::{self, config::Config},
    client::{Event, Settings, watch},
    json,
    login::{self, Account, Tls},
    screen::{Colours, Screen},
    secret,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use xmpp_parsers::jid::{BareJid, Jid};

/// Shows the screen pops of one extension, as a CRM would.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    watch: Option<Watch>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends the screen pops of many extensions to a web address, for software without XMPP (see docs/webhooks.md)
    Bridge {
        /// The configuration; software-sim/examples/bridge.toml shows all of it
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Watch {
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
    #[arg(long, value_parser = login::extension)]
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
    let arguments = Arguments::parse();
    let result = match (arguments.command, arguments.watch) {
        (Some(Command::Bridge { config }), _) => run_bridge(&config).await,
        (None, Some(watch)) => show(watch).await,
        (None, None) => Err(anyhow::anyhow!("nothing to do: see --help")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when this fails.
            let _unwritable = writeln!(stderr(), "software-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_bridge(config: &std::path::Path) -> anyhow::Result<()> {
    let config = Config::load(config).map_err(anyhow::Error::msg)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,software_sim=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    let stop = CancellationToken::new();
    let mut terminated = signal(SignalKind::terminate())?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        stopping.cancel();
    });
    Ok(bridge::run(config, stop).await?)
}

async fn show(arguments: Watch) -> anyhow::Result<()> {
    let pubsub = match arguments.pubsub {
        Some(pubsub) => pubsub,
        None => format!("pubsub.{}", arguments.jid.domain()).parse().context("the account's domain")?,
    };
    let account = Account {
        password: secret::password(arguments.password_file.as_deref()).map_err(anyhow::Error::msg)?,
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
                Some(Ok(event)) => match show(&event) {
                    // Whoever read it has seen enough, as `head` has.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    shown => shown?,
                },
                Some(Err(why)) => bail!(why),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
        }
    }
}
