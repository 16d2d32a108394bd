//! Logs: one subscriber for the whole process.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogFormat, Service};

/// Starts logging to standard error, as the configuration says.
///
/// # Errors
/// When something logs already.
pub fn start(config: &Service) -> anyhow::Result<()> {
    // The XMPP library prints raw stanzas, passwords among them, below this level.
    let filter = EnvFilter::try_new(format!("{},tokio_xmpp=info,xmpp_parsers=info", config.log))?;
    let registry = tracing_subscriber::registry().with(filter);
    match config.log_format {
        LogFormat::Text => {
            // Colours are for a terminal: in journald and in files they would stand between the words.
            registry.with(fmt::layer().with_ansi(stderr().is_terminal()).with_writer(stderr)).try_init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(stderr)).try_init(),
    }
    .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}
