//! `usher serve`: the service itself.

use anyhow::Result;

use crate::{app, config::Config, telemetry};

pub(super) fn run(config: Config) -> Result<()> {
    telemetry::start(&config.service)?;
    for doubt in config.doubts() {
        tracing::warn!("{doubt}");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(app::run(config))
}
