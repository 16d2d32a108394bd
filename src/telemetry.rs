//! Logs: one subscriber for the whole process.

use std::io::{IsTerminal, stderr};

use tracing::{Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, Service};

/// Starts logging to standard error, as the configuration says.
///
/// # Errors
/// When something logs already.
pub fn start(config: &Service) -> anyhow::Result<()> {
    // Colours are for a terminal: in journald and in files they would stand between the words.
    subscriber(config, stderr().is_terminal(), stderr)?
        .try_init()
        .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}

/// What writes the lines that are wanted.
///
/// Of other people's code nothing below the level info is ever written, whatever is asked for: some libraries print what they
/// send, log-ins and passwords among it.
fn subscriber<W>(config: &Service, colours: bool, writer: W) -> anyhow::Result<Box<dyn Subscriber + Send + Sync>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let ours = Targets::new().with_default(Level::INFO).with_target("usher", Level::TRACE);
    let registry = tracing_subscriber::registry().with(EnvFilter::try_new(&config.log)?).with(ours);
    Ok(match config.log_format {
        LogFormat::Text => Box::new(registry.with(fmt::layer().with_ansi(colours).with_writer(writer))),
        LogFormat::Json => Box::new(registry.with(fmt::layer().json().with_writer(writer))),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_libraries_say_below_info_is_never_written_even_if_it_is_asked_for_by_name() {
        for log in [
            "trace",
            "info,tungstenite=trace,tungstenite::handshake::client=trace,hyper=debug",
            "off,tungstenite=trace",
        ] {
            for log_format in [LogFormat::Text, LogFormat::Json] {
                let paper = Paper::default();
                let copy = paper.clone();
                let config = Service { log: log.into(), log_format, ..Service::default() };
                tracing::subscriber::with_default(subscriber(&config, false, move || copy.clone()).unwrap(), || {
                    tracing::trace!(target: "tungstenite::handshake::client", "authorization: Basic secret");
                    tracing::debug!(target: "hyper::proto", "secret");
                    tracing::debug!(target: "tokio_postgres::query", "secret");
                    tracing::trace!(target: "usher::floor", "a step");
                    tracing::info!(target: "refinery", "a word");
                });
                let written = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
                assert!(!written.contains("secret"), "{log}: {written}");
                assert_eq!(written.contains("a step"), log == "trace", "{log}: {written}");
                assert_eq!(written.contains("a word"), !log.starts_with("off"), "{log}: {written}");
            }
        }
    }
}
