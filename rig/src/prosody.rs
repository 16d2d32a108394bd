//! A private Prosody: accounts, pubsub, rooms, TLS by the rig's own authority.

use std::{collections::BTreeMap, fs, ops::Deref, path::PathBuf, sync::Mutex, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    certificate::Certificate,
    daemon::{Daemon, Endings},
    instance::{Instance, password},
    postgres::give,
    process::{Farewell, Program},
};

/// The XMPP domain of every rig.
pub const DOMAIN: &str = "usher.test";
/// The pubsub service.
pub const PUBSUB: &str = "pubsub.usher.test";
/// The rooms.
pub const ROOMS: &str = "conference.usher.test";
/// What the service may be beside its account, if it is told so: see [`Prosody::component`].
pub const COMPONENT: &str = "contacts.usher.test";
/// Account that runs the server when we are root: Prosody refuses root.
const ACCOUNT: &str = "prosody";
const START: Duration = Duration::from_secs(15);
/// In order: streams are closed.
const ENDINGS: Endings = Endings { orderly: Signal::TERM, sudden: Signal::KILL, within: Duration::from_secs(10) };

/// An XMPP server, to be stopped, killed, frozen and started again as a [`Daemon`].
#[derive(Debug)]
pub struct Prosody {
    daemon: Daemon,
    data: PathBuf,
    accounts: Mutex<BTreeMap<String, String>>,
    certificate: Certificate,
    port: u16,
    direct_port: u16,
    websocket_port: Option<u16>,
    component_port: u16,
    component_secret: String,
}

/// The line of dist/prosody that sets `name`, in force there or a comment: what is shipped is what is tested and measured.
fn shipped(name: &str) -> &'static str {
    let sets = |line: &&str| {
        line.trim_start_matches(['-', ' ']).strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "))
    };
    let found = include_str!("../../dist/prosody/usher.cfg.lua").lines().find(sets).unwrap_or_default();
    found.trim_start_matches(['-', ' '])
}

impl Deref for Prosody {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Prosody {
    /// Starts it with the accounts `usher`, `crm` and `user1` to `user3`.
    ///
    /// # Errors
    /// When the package is missing or the server does not answer.
    pub async fn start(instance: &Instance) -> Result<Self> {
        Self::start_with(instance, None).await
    }

    /// The same, and browsers reach it as well: unencrypted, which this machine's own are trusted to use.
    ///
    /// # Errors
    /// As [`Prosody::start`].
    pub async fn start_for_browsers(instance: &Instance) -> Result<Self> {
        Self::start_with(instance, Some(instance.port()?)).await
    }

    async fn start_with(instance: &Instance, websocket_port: Option<u16>) -> Result<Self> {
        let folder = instance.subfolder("prosody")?;
        let data = instance.subfolder("prosody/data")?;
        let certificate = Certificate::make(&folder, &[DOMAIN, PUBSUB, ROOMS])?;
        let (port, direct_port, component_port) = (instance.port()?, instance.port()?, instance.port()?);
        let component_secret = password();
        let config = folder.join("prosody.cfg.lua");
        fs::write(
            &config,
            format!(
                r#"-- The rig's. Memory for what nobody reads after the end, no limits: both cap a measurement long before Prosody does.
-- network_settings and gc are those of dist/prosody.
admins = {{}}
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{data}"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {direct_port} }}
s2s_ports = {{}}
component_ports = {{ {component_port} }}
modules_enabled = {{ "disco", "roster", "saslauth", "tls", "smacks", "ping", "pep", "carbons", "adhoc", "posix"{websocket_module} }}
modules_disabled = {{ "s2s", "limits", "offline" }}
authentication = "internal_plain"
allow_unencrypted_plain_auth = false
{websocket}
c2s_require_encryption = true
storage = {{ accounts = "internal"; roster = "memory"; pep = "memory"; pep_data = "memory"; smacks_h = "memory" }}
default_storage = "internal"
log = {{ info = "*console" }}
{network}
{gc}
ssl = {{ certificate = "{certificate}"; key = "{key}" }}
VirtualHost "{DOMAIN}"
Component "{PUBSUB}" "pubsub"
    name = "Screen pops"
    admins = {{ "usher@{DOMAIN}" }}
    storage = "memory"
    pubsub_max_items = 10000
Component "{ROOMS}" "muc"
    storage = "memory"
    restrict_room_creation = false
Component "{COMPONENT}"
    component_secret = "{component_secret}"
    {conflict}
"#,
                folder = folder.display(),
                data = data.display(),
                certificate = certificate.certificate.display(),
                key = certificate.key.display(),
                websocket_module = websocket_port.map_or("", |_| ", \"websocket\""),
                websocket = websocket_port.map(websocket).unwrap_or_default(),
                network = shipped("network_settings"),
                gc = shipped("gc"),
                conflict = shipped("component_conflict_resolve"),
            ),
        )?;
        let program = Program::new(instance, "prosody", "prosody")
            .args(["-F".as_ref(), "--config".as_ref(), config.as_os_str()])
            .as_user(ACCOUNT)
            .farewell(Farewell::Kill);
        let prosody = Self {
            daemon: Daemon::new(instance, program, ENDINGS),
            data,
            accounts: Mutex::default(),
            certificate,
            port,
            direct_port,
            websocket_port,
            component_port,
            component_secret,
        };
        for name in ["usher", "crm", "user1", "user2", "user3"] {
            prosody.write_account(name)?;
        }
        give(&folder, ACCOUNT)?;
        prosody.start_again().await?;
        Ok(prosody)
    }

    /// Adds an account while the server runs, and yields its password.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_account(&self, name: &str) -> Result<String> {
        self.write_account(name)?;
        give(&self.data, ACCOUNT)?;
        self.password(name)
    }

    /// Adds many at once.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn add_accounts(&self, names: &[String]) -> Result<()> {
        names.iter().try_for_each(|name| self.write_account(name))?;
        give(&self.data, ACCOUNT)
    }

    fn write_account(&self, name: &str) -> Result<()> {
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            bail!("{name:?} is not an account of the rig: expected small letters and digits");
        }
        let password = password();
        let folder = self.data.join(DOMAIN.replace('.', "%2e")).join("accounts");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.dat")), format!("return {{ [\"password\"] = \"{password}\" }};\n"))?;
        self.accounts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.to_owned(), password);
        Ok(())
    }

    /// The password of an account.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn password(&self, name: &str) -> Result<String> {
        let accounts = self.accounts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        accounts.get(name).cloned().with_context(|| format!("no account {name:?}"))
    }

    /// `127.0.0.1:PORT`, where TLS begins by STARTTLS.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT`, where TLS begins with the first byte.
    pub fn direct_address(&self) -> String {
        format!("127.0.0.1:{}", self.direct_port)
    }

    /// Where browsers connect to, if they may: `ws://…`.
    pub fn websocket(&self) -> Option<String> {
        self.websocket_port.map(|port| format!("ws://127.0.0.1:{port}/xmpp-websocket"))
    }

    /// `127.0.0.1:PORT`, where the component [`COMPONENT`] connects, and its secret.
    pub fn component(&self) -> (String, &str) {
        (format!("127.0.0.1:{}", self.component_port), &self.component_secret)
    }

    /// The authority and the server's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Starts it after [`Daemon::stop`] or [`Daemon::kill`]. What it kept in memory is gone: nodes, items, rooms.
    ///
    /// # Errors
    /// When it does not answer a stream header.
    pub async fn start_again(&self) -> Result<()> {
        self.spawn()?.ready("answers a stream header", START, || greet(self.port)).await
    }
}

/// Lines of the configuration that open the port for browsers.
fn websocket(port: u16) -> String {
    format!(
        "http_ports = {{ {port} }}\nhttps_ports = {{}}\nhttp_default_host = \"{DOMAIN}\"\n\
         consider_websocket_secure = true"
    )
}

async fn greet(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let header = format!(
        "<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    stream.write_all(header.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&answer).contains("</stream:features>") {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            bail!("it closed the stream: {}", String::from_utf8_lossy(&answer));
        }
        answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    if !String::from_utf8_lossy(&answer).contains("urn:ietf:params:xml:ns:xmpp-tls") {
        bail!("it offers no STARTTLS: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
