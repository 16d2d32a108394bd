//! One look at an Asterisk over HTTP, for `usher check`: takes nothing over from a running service.

use serde::Deserialize;

use crate::{
    ari::{
        Error, Request,
        http::Http,
        wire::{Endpoint, Info},
    },
    config,
};

/// Modules without which the dialplan or the floor does not work, and what each is for.
const NEEDED: [(&str, &str); 8] = [
    ("app_stasis.so", "Stasis()"),
    ("res_ari_events.so", "events"),
    ("res_ari_channels.so", "calls"),
    ("res_ari_bridges.so", "joining two legs"),
    ("res_ari_playbacks.so", "prompts"),
    ("res_ari_endpoints.so", "the state of phones"),
    ("res_ari_applications.so", "subscriptions"),
    ("res_agi.so", "AGI()"),
];

/// What an Asterisk is.
#[derive(Debug)]
pub struct Findings {
    /// `22.10.1`
    pub version: String,
    /// Modules that are not running, and what each is for.
    pub missing: Vec<(&'static str, &'static str)>,
    /// Phones by interface, and whether each is online.
    pub phones: Vec<(String, bool)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Module {
    name: String,
    status: String,
}

/// Asks for version, modules and phones.
///
/// # Errors
/// [`Error::Refused`] with 401 for a wrong user or password, [`Error::Gone`] when there is no ARI at that address.
pub async fn probe(config: &config::Asterisk) -> Result<Findings, Error> {
    let http = Http::new(config).map_err(|e| Error::Refused { status: 0, message: e.to_string() })?;
    let info: Info = http.send(&Request::info()).await?.json()?;
    let modules: Vec<Module> = http.send(&Request::modules()).await?.json()?;
    let endpoints: Vec<Endpoint> = http.send(&Request::endpoints()).await?.json()?;
    let running = |name: &str| modules.iter().any(|module| module.name == name && module.status == "Running");
    Ok(Findings {
        version: info.system.version,
        missing: NEEDED.into_iter().filter(|(name, _)| !running(name)).collect(),
        phones: endpoints
            .into_iter()
            .map(|phone| (format!("{}/{}", phone.technology, phone.resource), phone.state == "online"))
            .collect(),
    })
}
