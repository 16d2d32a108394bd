//! One look at an Asterisk over HTTP, for `usher check` and for who stands by: takes nothing over from a running service.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    ari::{
        Error, Request,
        http::Http,
        socket::READ_ONLY,
        wire::{Endpoint, Info, Variable},
    },
    config,
    domain::id::ChannelId,
};

/// The module that hands talks through from phone to phone.
const HANDS_THROUGH: &str = "bridge_native_rtp.so";

/// Modules without which the dialplan or the floor does not work, and what each is for. Others in `asterisk-conf/modules.conf`
/// have a substitute, or a site may do without them.
const NEEDED: [(&str, &str); 42] = [
    ("app_stasis.so", "Stasis()"),
    ("res_ari.so", "ARI"),
    ("res_ari_asterisk.so", "what this check asks for, and where FastAGI is"),
    ("res_ari_events.so", "events"),
    ("res_ari_channels.so", "calls"),
    ("res_ari_bridges.so", "joining two legs"),
    ("res_ari_playbacks.so", "prompts"),
    ("res_ari_endpoints.so", "the state of phones"),
    ("res_ari_applications.so", "subscriptions"),
    ("res_stasis.so", "ARI"),
    ("res_stasis_answer.so", "answering calls"),
    ("res_stasis_playback.so", "prompts"),
    ("res_http_websocket.so", "events"),
    ("res_agi.so", "AGI()"),
    ("res_musiconhold.so", "music for those who wait"),
    ("bridge_simple.so", "talks"),
    ("bridge_softmix.so", "talks that are recorded, or have a third party for a moment"),
    ("bridge_builtin_features.so", "transfers by the phone's own key"),
    ("pbx_config.so", "the dialplan"),
    ("app_channelredirect.so", "transfers by the phone's own key while the service is away"),
    ("app_dial.so", "Dial()"),
    ("app_exec.so", "ExecIf()"),
    ("app_playback.so", "Playback()"),
    ("app_read.so", "the keys that callers press in the menu"),
    ("app_softhangup.so", "the end of a call whose caller hangs up while the service is away"),
    ("app_stack.so", "Gosub()"),
    ("func_callerid.so", "CALLERID()"),
    ("func_channel.so", "CHANNEL(), by which members log on"),
    ("func_cut.so", "CUT()"),
    ("func_export.so", "callers whose member hangs up while the service is away"),
    ("func_global.so", "GLOBAL(), the keys of the menu"),
    ("func_logic.so", "IF()"),
    ("func_strings.so", "callers whose number or name holds line ends"),
    ("func_timeout.so", "bounds for a service that is away"),
    ("format_wav.so", "prompts"),
    ("res_rtp_asterisk.so", "voice"),
    ("chan_pjsip.so", "phones"),
    ("res_pjsip.so", "phones"),
    ("res_pjsip_session.so", "phones"),
    ("res_pjsip_sdp_rtp.so", "phones"),
    ("res_pjsip_registrar.so", "phones that register"),
    ("res_pjsip_refer.so", "transfers by the phone's own key"),
];

/// Those that recording needs besides.
const RECORDING: [(&str, &str); 3] = [
    ("res_ari_recordings.so", "recording"),
    ("res_stasis_recording.so", "recording"),
    ("chan_bridge_media.so", "recording"),
];

/// The one of them that lists recordings.
const RECORDINGS: &str = RECORDING[0].0;

/// Module that tells which sounds there are. The service does without it.
const SOUNDS: &str = "res_ari_sounds.so";

/// What an Asterisk is.
#[derive(Debug)]
pub struct Findings {
    /// `22.10.1`
    pub version: String,
    /// Whether it hands talks through from phone to phone, where it is to mix them.
    pub hands_through: bool,
    /// Its machine and when it was started: no other Asterisk has the same.
    pub identity: (String, String),
    /// Modules that are not running, and what each is for.
    pub missing: Vec<(&'static str, &'static str)>,
    /// Phones by interface, and whether each is online.
    pub phones: Vec<(String, bool)>,
    /// Those of the sounds asked for that it does not have; `None` when it cannot tell.
    pub missing_sounds: Option<BTreeSet<String>>,
    /// Why it does not list its recordings, if that was asked: then it takes none.
    pub unlisted: Option<Error>,
    /// Phones that may forward past the dialplan, and what their `redirect_method` is.
    pub forwarding: Vec<(String, String)>,
    /// Where its dialplan asks, the global `USHER_AGI`; empty when it is not set.
    pub agi: String,
    /// The application that its dialplan hands callers to, the global `USHER_APP`; empty when it is not set.
    pub app: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Module {
    name: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Setting {
    attribute: String,
    value: String,
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
            format!(
                "no ARI at {}: if Asterisk has just been started, wait until it is up; else check `enabled` and `prefix` in http.conf \
                 and ari.conf, and whether res_ari.so and all that it needs is loaded: with `autoload=no` the lines of \
                 asterisk-conf/modules.conf, of which this check names those that are missing once ARI answers",
                config.url
            )
        }
        Error::NotSent => {
            format!(
                "cannot connect to {}: is Asterisk running (or still starting), is its HTTP server enabled there, on an address that is reached from here (http.conf: enabled, bindaddr)?",
                config.url
            )
        }
        Error::OutcomeUnknown => {
            format!(
                "{} takes connections and does not answer: is it Asterisk's HTTP server that listens there (`http show status` in \
                 Asterisk's console names its port)? If the console does not answer either, Asterisk hangs: start it again",
                config.url
            )
        }
        Error::Refused { .. } | Error::Conflict(_) => error.to_string(),
    }
}

fn client(config: &config::Asterisk) -> Result<Http, Error> {
    Http::new(config).map_err(|error| Error::Refused { status: 0, message: error.to_string() })
}

/// Asks for version, modules (those for recording, and whether there is a folder for it, only if it is wanted), phones, and whether these sounds are there, each a
/// name as in `Playback()`.
///
/// Asterisk looks into the folders of its languages when it is asked. It does not list files named by an absolute path or a
/// URL: those count as there.
///
/// # Errors
/// [`Error::Refused`] with 401 for a wrong user or password, with 403 for a user who may only read, [`Error::Gone`] when there is no ARI at that address.
pub async fn probe(config: &config::Asterisk, sounds: BTreeSet<&str>, recording: bool) -> Result<Findings, Error> {
    let http = client(config)?;
    let info: Info = http.send(&Request::identity()).await?.json()?;
    may_change(&http).await?;
    let modules: Vec<Module> = http.send(&Request::modules()).await?.json()?;
    let endpoints: Vec<Endpoint> = http.send(&Request::endpoints()).await?.json()?;
    let agi: Variable = http.send(&Request::global("USHER_AGI")).await?.json()?;
    let app: Variable = http.send(&Request::global("USHER_APP")).await?.json()?;
    let forwarding = forwarding(&http, &endpoints).await?;
    let running = |name: &str| modules.iter().any(|module| module.name == name && module.status == "Running");
    let unlisted =
        if recording && running(RECORDINGS) { refusal(&http, &Request::stored_recordings()).await } else { None };
    let missing_sounds = if running(SOUNDS) { Some(missing(&http, sounds).await?) } else { None };
    Ok(Findings {
        version: info.system.version,
        hands_through: running(HANDS_THROUGH),
        identity: (info.system.entity_id, info.status.startup_time),
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
        unlisted,
        forwarding,
        agi: agi.value,
        app: app.value,
    })
}

/// Why Asterisk does not do it. No answer in time is no such reason: a list may be long.
async fn refusal(http: &Http, request: &Request) -> Option<Error> {
    match http.send(request).await {
        Err(error @ (Error::Refused { .. } | Error::Gone(_) | Error::Conflict(_))) => Some(error),
        Ok(_) | Err(Error::NotSent | Error::OutcomeUnknown) => None,
    }
}

/// Asterisk looks for the number that a phone forwards to in the dialplan, with the method `user` alone.
async fn forwarding(http: &Http, endpoints: &[Endpoint]) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    for phone in endpoints.iter().filter(|phone| phone.technology == "PJSIP") {
        let settings: Vec<Setting> = match http.send(&Request::pjsip_endpoint(&phone.resource)).await {
            Ok(response) => response.json()?,
            // A module of another kind has made it, which knows no settings.
            Err(Error::Gone(_)) => continue,
            Err(error) => return Err(error),
        };
        let method = settings.into_iter().find(|setting| setting.attribute == "redirect_method");
        if let Some(method) = method.filter(|method| method.value != "user") {
            found.push((format!("PJSIP/{}", phone.resource), method.value));
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../asterisk-conf/modules.conf");

    /// What is loaded and not asked for: there is another way, or it is a site's choice.
    const DONE_WITHOUT: [&str; 33] = [
        // Another module of the kind may serve.
        "res_timing_timerfd.so",
        "bridge_holding.so",
        "codec_ulaw.so",
        "codec_alaw.so",
        "codec_a_mu.so",
        "codec_resample.so",
        "format_pcm.so",
        "format_sln.so",
        // Asterisk refuses to load what needs them.
        "res_pjproject.so",
        "res_pjsip_pubsub.so",
        "res_speech.so",
        "res_sorcery_astdb.so",
        "res_sorcery_config.so",
        "res_sorcery_memory.so",
        "res_websocket_client.so",
        "res_ari_model.so",
        // How phones and trunks are known and let in is a site's own.
        "res_pjsip_acl.so",
        "res_pjsip_authenticator_digest.so",
        "res_pjsip_caller_id.so",
        "res_pjsip_dlg_options.so",
        "res_pjsip_dtmf_info.so",
        "res_pjsip_endpoint_identifier_ip.so",
        "res_pjsip_endpoint_identifier_user.so",
        "res_pjsip_nat.so",
        "res_pjsip_outbound_authenticator_digest.so",
        "res_pjsip_outbound_registration.so",
        "res_pjsip_rfc3326.so",
        // A site may do without.
        "app_queue.so",
        "func_rand.so",
        "res_ari_device_states.so",
        "res_ari_sounds.so",
        "res_stasis_device_state.so",
        "res_stasis_snoop.so",
    ];

    #[test]
    fn each_module_that_is_shipped_is_asked_for_or_knowingly_not_and_none_else() {
        let shipped: BTreeSet<&str> = SHIPPED.lines().filter_map(|line| line.strip_prefix("load => ")).collect();
        let asked = NEEDED.into_iter().chain(RECORDING).map(|(name, _)| name);
        let all: Vec<&str> = asked.chain(DONE_WITHOUT).collect();
        assert_eq!(shipped, all.iter().copied().collect());
        assert_eq!(shipped.len(), all.len(), "one stands twice");
    }
}
