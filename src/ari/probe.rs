//! One look at an Asterisk over HTTP, for `usher check` and for who stands by: takes nothing over from a running service.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    ari::{
        Error, Request,
        http::Http,
        socket::READ_ONLY,
        wire::{Endpoint, Info},
    },
    config,
    domain::id::ChannelId,
};

/// Modules without which the dialplan or the floor does not work, and what each is for.
const NEEDED: [(&str, &str); 11] = [
    ("app_stasis.so", "Stasis()"),
    ("res_ari_events.so", "events"),
    ("res_ari_channels.so", "calls"),
    ("res_ari_bridges.so", "joining two legs"),
    ("res_ari_playbacks.so", "prompts"),
    ("res_ari_endpoints.so", "the state of phones"),
    ("res_ari_applications.so", "subscriptions"),
    ("res_agi.so", "AGI()"),
    ("func_strings.so", "callers whose number or name holds line ends"),
    ("func_timeout.so", "bounds for a service that is away"),
    ("app_softhangup.so", "the end of a call whose caller hangs up while the service is away"),
];

/// Those that recording needs besides.
const RECORDING: [(&str, &str); 4] = [
    ("res_ari_recordings.so", "recording"),
    ("res_stasis_recording.so", "recording"),
    ("chan_bridge_media.so", "recording"),
    ("format_wav.so", "recording"),
];

/// Module that tells which sounds there are. The service does without it.
const SOUNDS: &str = "res_ari_sounds.so";

/// What an Asterisk is.
#[derive(Debug)]
pub struct Findings {
    /// `22.10.1`
    pub version: String,
    /// Modules that are not running, and what each is for.
    pub missing: Vec<(&'static str, &'static str)>,
    /// Phones by interface, and whether each is online.
    pub phones: Vec<(String, bool)>,
    /// Those of the sounds asked for that it does not have; `None` when it cannot tell.
    pub missing_sounds: Option<BTreeSet<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Module {
    name: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sound {
    formats: Vec<Format>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Format {
    language: String,
}

/// A channel that nobody has: to hang it up changes nothing, and is refused to a user who may only read.
const NOBODYS: &str = "usher-check";

/// Tries user and password, and whether that user may change anything, over HTTP: whoever is connected is not disturbed.
///
/// # Errors
/// As [`probe`].
pub async fn log_in(config: &config::Asterisk) -> Result<(), Error> {
    let http = client(config)?;
    http.send(&Request::info()).await?;
    may_change(&http).await
}

async fn may_change(http: &Http) -> Result<(), Error> {
    match http.send(&Request::hang_up(&ChannelId::new(NOBODYS))).await {
        Ok(_) | Err(Error::Gone(_) | Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What a person is to do about an error of [`probe`] or [`log_in`].
pub fn explain(error: &Error, config: &config::Asterisk) -> String {
    match error {
        Error::Refused { status: 403, .. } => READ_ONLY.into(),
        Error::Refused { status: 401, .. } => {
            "the user or the password is wrong: compare asterisk.user and its password file with ari.conf".into()
        }
        Error::Gone(_) => {
            format!("no ARI at {}: check `enabled` and `prefix` in http.conf and ari.conf", config.url)
        }
        Error::NotSent => {
            format!(
                "cannot connect to {}: is Asterisk running (or still starting), is its HTTP server enabled there?",
                config.url
            )
        }
        Error::Refused { .. } | Error::Conflict(_) | Error::OutcomeUnknown => error.to_string(),
    }
}

fn client(config: &config::Asterisk) -> Result<Http, Error> {
    Http::new(config).map_err(|error| Error::Refused { status: 0, message: error.to_string() })
}

/// Asks for version, modules (those for recording only if it is wanted), phones, and whether these sounds are there, each a
/// name as in `Playback()`.
///
/// Asterisk looks into the folders of its languages when it is asked. It does not list files named by an absolute path or a
/// URL: those count as there.
///
/// # Errors
/// [`Error::Refused`] with 401 for a wrong user or password, with 403 for a user who may only read, [`Error::Gone`] when there is no ARI at that address.
pub async fn probe(config: &config::Asterisk, sounds: BTreeSet<&str>, recording: bool) -> Result<Findings, Error> {
    let http = client(config)?;
    let info: Info = http.send(&Request::info()).await?.json()?;
    may_change(&http).await?;
    let modules: Vec<Module> = http.send(&Request::modules()).await?.json()?;
    let endpoints: Vec<Endpoint> = http.send(&Request::endpoints()).await?.json()?;
    let running = |name: &str| modules.iter().any(|module| module.name == name && module.status == "Running");
    let missing_sounds = if running(SOUNDS) { Some(missing(&http, sounds).await?) } else { None };
    Ok(Findings {
        version: info.system.version,
        missing: NEEDED
            .into_iter()
            .chain(RECORDING.into_iter().filter(|_| recording))
            .filter(|(name, _)| !running(name))
            .collect(),
        phones: endpoints
            .into_iter()
            .map(|phone| (format!("{}/{}", phone.technology, phone.resource), phone.state == "online"))
            .collect(),
        missing_sounds,
    })
}

async fn missing(http: &Http, sounds: BTreeSet<&str>) -> Result<BTreeSet<String>, Error> {
    let mut missing = BTreeSet::new();
    for name in sounds.into_iter().filter(|name| !name.starts_with('/') && !name.contains("://")) {
        if find(http, name).await?.is_some() {
            continue;
        }
        // `custom/hello` in no language: to Asterisk's list, the sound `hello` in a language called `custom`.
        let plain = match name.split_once('/') {
            Some((folder, rest)) => find(http, rest)
                .await?
                .is_some_and(|sound| sound.formats.iter().any(|format| format.language == folder)),
            None => false,
        };
        if !plain {
            missing.insert(name.to_owned());
        }
    }
    Ok(missing)
}

async fn find(http: &Http, name: &str) -> Result<Option<Sound>, Error> {
    match http.send(&Request::sound(name)).await {
        Ok(response) => Ok(Some(response.json()?)),
        Err(Error::Gone(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
