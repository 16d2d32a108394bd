//! The configuration file: one TOML file, parsed into values that cannot be wrong.
//!
//! Unknown keys are refused. Durations are texts with a unit (`"500ms"`, `"15s"`, `"2m"`). Secrets are never in the
//! file: they come from a file of their own (`password_file`) or from the environment. Every key, its default and its
//! unit stand in `usher.example.toml`, which a test loads.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::domain::{id::ServerId, queue::keys::Codes, words::Language};

mod mistake;
mod pops;
mod secret;
mod value;
mod xmpp;

pub use pops::Pops;
pub use value::{parse_duration, shown};
pub use xmpp::{Xmpp, XmppTls};

use secret::{Secret, Secrets, resolve};
use value::{
    a_file, apart, bare_jid, duration, feature_code, filled, host_port, http_base, listen, log_filter, outlasts,
    own_domain, plain, printable, short, socket_address, spans, within,
};

/// Why a configuration was refused. Says the file, the key and what is expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}; give the path with --config", path = shown(path))]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not UTF-8.
    #[error(
        "{path}: line {line} holds bytes that are not UTF-8: save the file as UTF-8, or write the letter there anew",
        path = shown(path)
    )]
    NotText {
        /// Which file.
        path: PathBuf,
        /// The first such line, from 1.
        line: usize,
    },
    /// Not TOML, an unknown key, a missing key or a value of the wrong form; the text names line, key and expectation. Never what
    /// stands in the file: it might be a secret that does not belong there.
    #[error("{path}: {problem}", path = shown(path))]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        problem: String,
    },
    /// A value of the right form that cannot be used.
    #[error("{path}: {key}: {problem}", path = shown(path), problem = short(problem))]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key, dotted.
        key: String,
        /// What is wrong and what is expected.
        problem: String,
    },
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the process behaves.
    #[serde(default)]
    pub service: Service,
    /// PostgreSQL.
    pub database: Database,
    /// The XMPP account and the pubsub service.
    pub xmpp: Xmpp,
    /// In which form pops are published.
    #[serde(default)]
    pub pops: Pops,
    /// The FastAGI server.
    #[serde(default)]
    pub agi: Agi,
    /// What agents can do in a talk.
    #[serde(default)]
    pub floor: Floor,
    /// The Asterisk servers, one table each.
    pub asterisk: Vec<Asterisk>,
}

/// `[service]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// What to log, in the form of `tracing-subscriber`'s filters; `USHER_LOG` in the environment wins over it.
    pub log: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// Where `/live` and `/ready` answer.
    #[serde(deserialize_with = "socket_address")]
    pub health_listen: SocketAddr,
    /// The longest time between SIGTERM and the end of the process.
    #[serde(deserialize_with = "duration")]
    pub stop_within: Duration,
    /// Folder for what must outlive the process.
    pub state: PathBuf,
    /// Of messages to members.
    pub language: Language,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            log: "info".into(),
            log_format: LogFormat::Text,
            health_listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9190),
            stop_within: Duration::from_secs(10),
            state: "/var/lib/usher".into(),
            language: Language::default(),
        }
    }
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people and journald.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Host name, address, or the folder of the UNIX socket when it begins with `/`.
    #[serde(default = "default_database_host")]
    pub host: String,
    /// TCP port, also part of the UNIX socket's name.
    #[serde(default = "default_database_port")]
    pub port: u16,
    /// Database name.
    #[serde(default = "default_database_name")]
    pub name: String,
    /// Role.
    #[serde(default = "default_database_name")]
    pub user: String,
    /// File whose first line is the password; else `USHER_DATABASE_PASSWORD`; else none is sent.
    pub password_file: Option<PathBuf>,
    /// Whether the link is encrypted.
    #[serde(default)]
    pub tls: DatabaseTls,
    /// PEM file of the authorities to trust with `tls = "require"`; absent: the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections at most.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest wait for one answer.
    #[serde(default = "default_database_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How many records wait in memory while the database is away; beyond it the oldest events are dropped and counted.
    #[serde(default = "default_outbox")]
    pub outbox: usize,
    /// Filled by [`Config::load`].
    #[serde(skip)]
    pub password: Option<SecretString>,
}

impl Database {
    /// Where it is, for messages: database, server and role.
    pub fn target(&self) -> String {
        format!("{} at {}:{} as {}", self.name, self.host, self.port, self.user)
    }
}

/// `database.tls`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseTls {
    /// In the clear: for a UNIX socket or loopback.
    #[default]
    Disable,
    /// TLS with the certificate checked, name included.
    Require,
}

/// `[agi]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agi {
    /// Where Asterisk finds the FastAGI server.
    #[serde(deserialize_with = "socket_address")]
    pub listen: SocketAddr,
    /// How Asterisk reaches it, as the dialplan's `USHER_AGI` says it: told to every Asterisk by the active one. Absent: not told.
    pub announce: Option<String>,
    /// Addresses that may connect.
    pub allow: Vec<IpAddr>,
    /// The longest time a request may take, from connection to the last answer.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// Requests at once; further ones are closed at once, and the dialplan sees `AGISTATUS=FAILURE`.
    pub most: usize,
}

impl Default for Agi {
    fn default() -> Self {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listen: SocketAddr::new(localhost, 4573),
            announce: None,
            allow: vec![localhost],
            deadline: Duration::from_secs(3),
            most: 256,
        }
    }
}

/// `[floor]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Floor {
    /// What an agent presses in a talk before the number that the caller is to be sent to; empty: nothing.
    #[serde(deserialize_with = "feature_code")]
    pub transfer_code: String,
    /// What an agent presses in a talk before the number of somebody with whom they want to speak first; empty: nothing. Neither
    /// code begins with the other.
    #[serde(deserialize_with = "feature_code")]
    pub consult_code: String,
}

impl Floor {
    /// The codes as the floor takes them.
    pub fn codes(&self) -> Codes {
        Codes { transfer: self.transfer_code.clone(), consult: self.consult_code.clone() }
    }
}

impl Default for Floor {
    fn default() -> Self {
        Self { transfer_code: "##".into(), consult_code: "*2".into() }
    }
}

/// `[[asterisk]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asterisk {
    /// What this server is called in logs, tables and on the screen.
    pub name: String,
    /// Base of its HTTP server: `http://127.0.0.1:8088`, with the prefix if http.conf has one.
    pub url: String,
    /// Name of the Stasis application, as in the dialplan's `Stasis(usher)`.
    #[serde(default = "default_app")]
    pub app: String,
    /// User of ari.conf.
    #[serde(default = "default_app")]
    pub user: String,
    /// File whose first line is the password; else `USHER_ASTERISK_PASSWORD_` and the name in capitals; else `USHER_ASTERISK_PASSWORD`.
    pub password_file: Option<PathBuf>,
    /// Requests over the event WebSocket, over HTTP, or whichever the server can.
    #[serde(default)]
    pub requests: Requests,
    /// Filled by [`Config::load`].
    #[serde(skip)]
    pub password: Option<SecretString>,
}

impl Asterisk {
    /// The name as an identifier.
    pub fn server(&self) -> ServerId {
        ServerId::new(&self.name)
    }
}

/// `asterisk.requests`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requests {
    /// Ask once over the WebSocket, and use HTTP if there is no answer.
    #[default]
    Auto,
    /// Over the event WebSocket (Asterisk 20.14, 21.9, 22.4 or newer).
    Websocket,
    /// Over HTTP.
    Http,
}

fn default_database_host() -> String {
    "/run/postgresql".into()
}
fn default_database_port() -> u16 {
    5432
}
fn default_database_name() -> String {
    "usher".into()
}
fn default_pool_size() -> usize {
    8
}
fn default_database_timeout() -> Duration {
    Duration::from_secs(2)
}
fn default_outbox() -> usize {
    100_000
}
fn default_app() -> String {
    "usher".into()
}

impl Config {
    /// Reads the file, its secrets and the environment, and checks every value.
    ///
    /// # Errors
    /// See [`Error`]: each says the file, the key and what is expected.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::parse(&read(path)?, path, &|name| std::env::var(name).ok())
    }

    /// The same for commands that use the database alone: the other secrets are neither needed nor read.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for_database(path: &Path) -> Result<Self, Error> {
        Self::parse_with(&read(path)?, path, &|name| std::env::var(name).ok(), Secrets::OfDatabase)
    }

    /// The same from a text; `env` looks up the environment. Relative paths are relative to the file's folder.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        Self::parse_with(text, path, env, Secrets::All)
    }

    fn parse_with(
        text: &str,
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        let mut config = mistake::read(text).map_err(|problem| Error::Parse { path: path.into(), problem })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let wrong = |key: &str, problem: String| Error::Value { path: path.into(), key: key.into(), problem };

        a_file(&config.service.state).map_err(|p| wrong("service.state", p))?;
        if config.service.state.is_relative() {
            config.service.state = folder.join(&config.service.state);
        }

        for (key, text) in
            [("host", &config.database.host), ("name", &config.database.name), ("user", &config.database.user)]
        {
            filled(text).map_err(|p| wrong(&format!("database.{key}"), p))?;
        }
        within(config.database.port, 1, u16::MAX).map_err(|p| wrong("database.port", p))?;
        if !config.floor.codes().can_be_told_apart() {
            let (one, other) = (&config.floor.transfer_code, &config.floor.consult_code);
            let problem = format!("{other:?} and floor.transfer_code {one:?}: neither may begin with the other");
            return Err(wrong("floor.consult_code", problem));
        }

        let database = &mut config.database;
        let secret = Secret { key: "database.password_file", variables: vec!["USHER_DATABASE_PASSWORD".into()] };
        database.password = secret.find(folder, &mut database.password_file, env).map_err(|p| wrong(secret.key, p))?;
        resolve(folder, &mut database.ca_file).map_err(|p| wrong("database.ca_file", p))?;
        within(database.pool_size, 2, 64).map_err(|p| wrong("database.pool_size", p))?;
        within(database.outbox, 100, 10_000_000).map_err(|p| wrong("database.outbox", p))?;
        spans(database.timeout, "50ms", "60s").map_err(|p| wrong("database.timeout", p))?;

        let xmpp = &mut config.xmpp;
        let secret = Secret { key: "xmpp.password_file", variables: vec!["USHER_XMPP_PASSWORD".into()] };
        if secrets == Secrets::All {
            xmpp.password = secret.find(folder, &mut xmpp.password_file, env).map_err(|p| wrong(secret.key, p))?;
            if xmpp.password.is_none() {
                return Err(wrong(secret.key, "no password: name a file here or set USHER_XMPP_PASSWORD".into()));
            }
        }
        let secret =
            Secret { key: "xmpp.component_secret_file", variables: vec!["USHER_XMPP_COMPONENT_SECRET".into()] };
        if secrets == Secrets::All && xmpp.component.is_some() {
            xmpp.component_secret =
                secret.find(folder, &mut xmpp.component_secret_file, env).map_err(|p| wrong(secret.key, p))?;
            if xmpp.component_secret.is_none() {
                let problem = "no secret: name a file here or set USHER_XMPP_COMPONENT_SECRET";
                return Err(wrong(secret.key, problem.into()));
            }
        }
        resolve(folder, &mut xmpp.ca_file).map_err(|p| wrong("xmpp.ca_file", p))?;
        bare_jid(&xmpp.jid, true).map_err(|p| wrong("xmpp.jid", p))?;
        if let Some(pubsub) = &xmpp.pubsub {
            bare_jid(pubsub, false).map_err(|p| wrong("xmpp.pubsub", p))?;
        }
        if let Some(rooms) = &xmpp.rooms {
            bare_jid(rooms, false).map_err(|p| wrong("xmpp.rooms", p))?;
        }
        for jid in &xmpp.crm {
            bare_jid(jid, true).map_err(|p| wrong("xmpp.crm", p))?;
        }
        for jid in &xmpp.supervisors {
            bare_jid(jid, true).map_err(|p| wrong("xmpp.supervisors", p))?;
        }
        if let Some(address) = &xmpp.address {
            host_port(address).map_err(|p| wrong("xmpp.address", p))?;
        }
        if let Some(component) = &xmpp.component {
            own_domain(component, &xmpp.jid, &xmpp.pubsub_jid()).map_err(|p| wrong("xmpp.component", p))?;
        }
        host_port(&xmpp.component_address).map_err(|p| wrong("xmpp.component_address", p))?;
        printable(&xmpp.node_prefix).map_err(|p| wrong("xmpp.node_prefix", p))?;
        spans(xmpp.publish_bound, "10ms", "10s").map_err(|p| wrong("xmpp.publish_bound", p))?;

        config.pops.settle(folder, env, secrets).map_err(|(key, p)| wrong(key, p))?;

        listen(config.agi.listen).map_err(|p| wrong("agi.listen", p))?;
        spans(config.agi.deadline, "100ms", "60s").map_err(|p| wrong("agi.deadline", p))?;
        outlasts(config.agi.deadline, config.database.timeout).map_err(|p| wrong("agi.deadline", p))?;
        if let Some(announce) = &config.agi.announce
            && !announce
                .strip_prefix("agi://")
                .is_some_and(|rest| host_port(rest).is_ok() && !rest.contains([',', '/', '&']))
        {
            let problem = format!("{announce:?} is not such an address: expected the form agi://HOST:PORT");
            return Err(wrong("agi.announce", problem));
        }
        if config.agi.allow.is_empty() {
            let problem = "nobody is allowed: expected the addresses of the Asterisk servers, such as [\"127.0.0.1\"]";
            return Err(wrong("agi.allow", problem.into()));
        }
        within(config.agi.most, 1, 100_000).map_err(|p| wrong("agi.most", p))?;
        let log = match env("USHER_LOG") {
            Some(text) => {
                config.service.log = text;
                "service.log, as USHER_LOG in the environment gives it"
            }
            None => "service.log",
        };
        log_filter(&config.service.log).map_err(|p| wrong(log, p))?;
        listen(config.service.health_listen).map_err(|p| wrong("service.health_listen", p))?;
        apart(config.service.health_listen, config.agi.listen).map_err(|p| wrong("service.health_listen", p))?;
        spans(config.service.stop_within, "1s", "10m").map_err(|p| wrong("service.stop_within", p))?;

        if config.asterisk.is_empty() {
            return Err(wrong("asterisk", "no server: give at least one [[asterisk]] table".into()));
        }
        for index in 0..config.asterisk.len() {
            let (before, rest) = config.asterisk.split_at_mut(index);
            let Some(server) = rest.first_mut() else { continue };
            let key = |name: &str| format!("asterisk[{index}].{name}");
            plain(&server.name).map_err(|p| wrong(&key("name"), p))?;
            plain(&server.app).map_err(|p| wrong(&key("app"), p))?;
            filled(&server.user).map_err(|p| wrong(&key("user"), p))?;
            if server.user.contains(':') {
                let problem = "holds a colon, where the password would begin (RFC 7617): expected the name of a section of ari.conf";
                return Err(wrong(&key("user"), problem.to_owned()));
            }
            if before.iter().any(|other| other.name == server.name) {
                return Err(wrong(
                    &key("name"),
                    format!("{:?} is there twice: each server needs a name of its own", server.name),
                ));
            }
            server.url = http_base(&server.url).map_err(|p| wrong(&key("url"), p))?;
            if let Some(other) = before.iter().find(|other| other.url.eq_ignore_ascii_case(&server.url)) {
                let problem =
                    format!("{} is there already, as {:?}: each Asterisk belongs there once", server.url, other.name);
                return Err(wrong(&key("url"), problem));
            }
            if secrets == Secrets::OfDatabase {
                continue;
            }
            let own = format!("USHER_ASTERISK_PASSWORD_{}", server.name.to_uppercase().replace('-', "_"));
            let secret =
                Secret { key: "password_file", variables: vec![own.clone(), "USHER_ASTERISK_PASSWORD".into()] };
            server.password =
                secret.find(folder, &mut server.password_file, env).map_err(|p| wrong(&key("password_file"), p))?;
            if server.password.is_none() {
                let problem = format!("no password: name a file here or set {own} or USHER_ASTERISK_PASSWORD");
                return Err(wrong(&key("password_file"), problem));
            }
        }
        Ok(config)
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        Error::NotText { path: path.into(), line: 1 + good.filter(|byte| **byte == b'\n').count() }
    })
}

impl Config {
    /// What is allowed and rarely meant: for the log, and for who looks for a mistake.
    pub fn doubts(&self) -> Vec<String> {
        let servers =
            self.asterisk.iter().map(|server| (format!("the password of asterisk {}", server.name), &server.password));
        let others = [
            ("the password of database", &self.database.password),
            ("the password of xmpp", &self.xmpp.password),
            ("the secret of xmpp.component", &self.xmpp.component_secret),
            ("pops.link_secret_file", &self.pops.link_secret),
        ]
        .map(|(of, secret)| (of.to_owned(), secret));
        let blank = |secret: &SecretString| secret.expose_secret().trim() != secret.expose_secret();
        let all = others.into_iter().chain(servers).filter(|(_, secret)| secret.as_ref().is_some_and(blank));
        all.map(|(of, _)| format!("{of} begins or ends with a blank, which counts: take it out if it is not meant"))
            .collect()
    }
}

#[cfg(test)]
mod tests;
