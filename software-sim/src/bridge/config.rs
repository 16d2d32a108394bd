//! The configuration of a bridge: a TOML file. Relative paths are relative to its folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use reqwest::Url;
use serde::Deserialize;
use xmpp_parsers::jid::Jid;

use crate::{
    bridge::{
        request::{Agent, Format},
        retry::Policy,
        sign::Key,
    },
    login::{self, Account, Tls},
    secret,
};

/// What to watch, and whom to tell.
#[derive(Debug)]
pub struct Config {
    /// Where is kept what waits.
    pub state: PathBuf,
    /// Whose desks.
    pub extensions: Vec<String>,
    /// As whom.
    pub account: Account,
    /// Address of the pubsub service.
    pub pubsub: Jid,
    /// What stands before an extension in the name of its node.
    pub node_prefix: String,
    /// Whom.
    pub receiver: Receiver,
}

/// Whom to tell.
#[derive(Debug)]
pub struct Receiver {
    /// Where; may hold a secret.
    pub url: Url,
    /// In which form.
    pub format: Format,
    /// What requests are signed with.
    pub key: Option<Key>,
    /// PEM file of the authorities to trust; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long it is asked.
    pub policy: Policy,
    /// How many requests may be on their way.
    pub at_once: usize,
    /// How many requests may wait.
    pub room: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    state: PathBuf,
    extensions: Vec<String>,
    xmpp: XmppSection,
    receiver: ReceiverSection,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct XmppSection {
    jid: String,
    password_file: Option<PathBuf>,
    address: Option<String>,
    #[serde(default = "starttls")]
    tls: Tls,
    ca_file: Option<PathBuf>,
    pubsub: Option<String>,
    #[serde(default = "node_prefix")]
    node_prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiverSection {
    #[serde(default)]
    format: FormatName,
    url: Option<String>,
    url_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    #[serde(default = "timeout")]
    timeout: SignedDuration,
    #[serde(default = "tries")]
    tries: u32,
    #[serde(default = "give_up_after")]
    give_up_after: SignedDuration,
    #[serde(default = "at_once")]
    at_once: usize,
    #[serde(default = "room")]
    room: usize,
    agents: Option<BTreeMap<String, Agent>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    #[default]
    Json,
    Zammad,
}

fn starttls() -> Tls {
    Tls::Starttls
}

fn node_prefix() -> String {
    "extension".into()
}

fn timeout() -> SignedDuration {
    SignedDuration::from_secs(10)
}

fn tries() -> u32 {
    12
}

fn give_up_after() -> SignedDuration {
    SignedDuration::from_mins(10)
}

fn at_once() -> usize {
    16
}

fn room() -> usize {
    10_000
}

impl Config {
    /// Reads a file, and the secrets that it names.
    ///
    /// # Errors
    /// Says what is wrong, and what is expected; never a secret.
    pub fn load(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let read: File = toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        read.resolve(folder).map_err(|why| format!("{}: {why}", file.display()))
    }
}

impl File {
    fn resolve(self, folder: &Path) -> Result<Config, String> {
        let distinct: BTreeSet<&String> = self.extensions.iter().collect();
        if distinct.is_empty() || distinct.len() < self.extensions.len() || distinct.iter().any(|name| name.is_empty())
        {
            return Err("`extensions`: expected a list of extensions, each once, such as [\"1000\"]".into());
        }
        let xmpp = self.xmpp;
        let jid = login::account_jid(&xmpp.jid).map_err(|why| format!("`xmpp.jid`: {why}"))?;
        let address = xmpp.address.map(|text| login::host_port(&text)).transpose();
        let pubsub = xmpp.pubsub.unwrap_or_else(|| format!("pubsub.{}", jid.domain()));
        let password_file = xmpp.password_file.map(|file| folder.join(file));
        let account = Account {
            password: secret::password(password_file.as_deref())?,
            jid,
            address: address.map_err(|why| format!("`xmpp.address`: {why}"))?,
            tls: xmpp.tls,
            ca_file: xmpp.ca_file.map(|file| folder.join(file)),
        };
        Ok(Config {
            state: folder.join(self.state),
            extensions: self.extensions,
            account,
            pubsub: pubsub.parse().map_err(|_| "`xmpp.pubsub`: expected an address such as pubsub.example.org")?,
            node_prefix: xmpp.node_prefix,
            receiver: self.receiver.resolve(folder)?,
        })
    }
}

impl ReceiverSection {
    fn resolve(self, folder: &Path) -> Result<Receiver, String> {
        let url = match (self.url, self.url_file) {
            (Some(url), None) => url,
            (None, Some(file)) => secret::first_line(&folder.join(file))?,
            (Some(_), Some(_)) | (None, None) => {
                return Err("`receiver`: expected either `url` or `url_file`".into());
            }
        };
        let (format, key) = match (self.format, self.key_file, self.agents) {
            (FormatName::Json, Some(file), None) => {
                let file = folder.join(file);
                let key = Key::new(&secret::first_line(&file)?);
                (Format::Json, Some(key.map_err(|why| format!("{}: {why}", file.display()))?))
            }
            (FormatName::Json, None, _) => {
                return Err("`receiver.key_file` is missing: requests of format \"json\" are signed".into());
            }
            (FormatName::Json, Some(_), Some(_)) => {
                return Err("`receiver.agents` belongs to format \"zammad\"".into());
            }
            (FormatName::Zammad, None, agents) => (Format::Zammad { agents: agents.unwrap_or_default() }, None),
            (FormatName::Zammad, Some(_), _) => {
                return Err(
                    "`receiver.key_file` belongs to format \"json\": Zammad goes by the token in its URL".into()
                );
            }
        };
        let positive = |name: &str, duration: SignedDuration| {
            let duration = Duration::try_from(duration).ok().filter(|duration| !duration.is_zero());
            duration.ok_or_else(|| format!("`receiver.{name}`: expected more than nothing, such as \"10s\""))
        };
        if self.tries == 0 || self.at_once == 0 || self.room == 0 {
            return Err("`receiver.tries`, `at_once` and `room`: expected 1 or more".into());
        }
        Ok(Receiver {
            url: receiver_url(&url)?,
            format,
            key,
            ca_file: self.ca_file.map(|file| folder.join(file)),
            timeout: positive("timeout", self.timeout)?,
            policy: Policy { tries: self.tries, lasting: positive("give_up_after", self.give_up_after)? },
            at_once: self.at_once,
            room: self.room,
        })
    }
}

/// What is sent is about people: it goes out encrypted, or stays on this machine.
fn receiver_url(text: &str) -> Result<Url, String> {
    let wrong = "the receiver's URL: expected https://HOST/PATH, or http:// for this machine itself (127.0.0.1, [::1], localhost)";
    let url = Url::parse(text).map_err(|_| wrong.to_owned())?;
    let is_here = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(wrong.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "state = 'state'\nextensions = ['1000']\n[xmpp]\njid = 'crm@example.org'\n\
                         password_file = 'password'\n[receiver]\nurl = 'https://crm.example/usher'\nkey_file = 'key'\n";

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("password", "pass\n");
        write("key", &format!("{}\n", "k".repeat(32)));
        write("short", "k\n");
        write("zammad.url", "https://zammad.example/api/v1/cti/token\n");
        write("bridge.toml", text);
        Config::load(&folder.path().join("bridge.toml"))
    }

    #[test]
    fn what_is_not_given_has_a_default_and_paths_are_relative_to_the_file() {
        let config = load(LEAST).unwrap();
        let receiver = config.receiver;
        assert_eq!((config.pubsub.as_str(), config.node_prefix.as_str()), ("pubsub.example.org", "extension"));
        assert!(config.state.is_absolute() && config.state.ends_with("state"));
        assert_eq!(receiver.policy, Policy { tries: 12, lasting: Duration::from_secs(600) });
        assert_eq!((receiver.timeout, receiver.at_once, receiver.room), (Duration::from_secs(10), 16, 10_000));
        assert!(receiver.format == Format::Json && receiver.key.is_some());
    }

    #[test]
    fn zammad_has_no_key_and_may_have_its_address_in_a_file() {
        let text = LEAST.replace(
            "url = 'https://crm.example/usher'\nkey_file = 'key'",
            "format = 'zammad'\nurl_file = 'zammad.url'",
        ) + "give_up_after = '90s'\n[receiver.agents.1000]\nname = 'Emma'\n";
        let receiver = load(&text).unwrap().receiver;
        assert_eq!(receiver.url.path(), "/api/v1/cti/token");
        assert_eq!(receiver.policy.lasting, Duration::from_secs(90));
        let emma = Agent { name: Some("Emma".into()), number: None };
        assert_eq!(receiver.format, Format::Zammad { agents: [("1000".to_owned(), emma)].into() });
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_expected() {
        for (from, to, says) in [
            ("['1000']", "[]", "`extensions`"),
            ("['1000']", "['1000', '1000']", "each once"),
            ("crm@example.org", "crm", "`xmpp.jid`: expected the form name@domain"),
            ("https://crm", "http://crm", "expected https://"),
            ("https://crm.example/usher", "crm.example", "expected https://"),
            ("key_file = 'key'", "", "`receiver.key_file` is missing"),
            ("key_file = 'key'", "key_file = 'short'", "the key has 1 characters"),
            ("key_file = 'key'", "key_file = 'gone'", "cannot read"),
            ("key_file = 'key'", "key_file = 'key'\nformat = 'zammad'", "belongs to format \"json\""),
            ("key_file = 'key'", "key_file = 'key'\nagents = {}", "belongs to format \"zammad\""),
            ("key_file = 'key'", "key_file = 'key'\nurl_file = 'zammad.url'", "either `url` or `url_file`"),
            ("key_file = 'key'", "key_file = 'key'\ntimeout = '0s'", "`receiver.timeout`"),
            ("key_file = 'key'", "key_file = 'key'\ntries = 0", "expected 1 or more"),
            ("key_file = 'key'", "key_file = 'key'\ncolour = 1", "unknown field `colour`"),
        ] {
            let error = load(&LEAST.replace(from, to)).unwrap_err();
            assert!(error.contains(says) && error.contains("bridge.toml"), "{to}: {error}");
        }
    }

    #[test]
    fn http_is_for_this_machine_alone() {
        for url in ["http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost:3000/api", "https://crm.example/"] {
            assert!(receiver_url(url).is_ok(), "{url}");
        }
        for url in
            ["http://10.0.0.1/", "http://127.0.0.1.example.org/", "ftp://localhost/", "http://localhost.example/"]
        {
            assert!(receiver_url(url).is_err(), "{url}");
        }
    }
}
