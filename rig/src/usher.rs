//! The real `usher` program as a child, with a configuration written for this rig.

use std::{
    fs,
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::{
    ari::http,
    daemon::{Daemon, Endings},
    instance::Instance,
    postgres::Database,
    process::{Farewell, Program},
    prosody::{COMPONENT, DOMAIN, Prosody},
};

const START: Duration = Duration::from_secs(20);
/// The time is longer than `service.stop_within`.
const ENDINGS: Endings = Endings { orderly: Signal::TERM, sudden: Signal::KILL, within: Duration::from_secs(15) };

/// Where `usher` finds one Asterisk server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Name in the configuration.
    pub name: String,
    /// `HOST:PORT` of its HTTP server, or of a proxy before it.
    pub address: String,
    /// Password of the ARI user `usher`.
    pub password: String,
}

/// What `usher` is told.
#[derive(Debug, Clone)]
pub struct UsherSpec {
    /// The program.
    pub binary: PathBuf,
    /// Its database.
    pub database: Database,
    /// `HOST:PORT` of the XMPP server, or of a proxy before it.
    pub xmpp: String,
    /// Password of `usher@usher.test`.
    pub xmpp_password: String,
    /// The authority to trust.
    pub authority: PathBuf,
    /// The Asterisk servers.
    pub servers: Vec<Server>,
    /// FastAGI port.
    pub agi_port: u16,
    /// Where it connects as a component beside its account, and with which secret.
    pub component: Option<(String, String)>,
    /// Further lines by table, such as `("xmpp", "publish_bound = \"100ms\"")`.
    pub extra: Vec<(String, String)>,
}

impl UsherSpec {
    /// The usual one for a rig's servers.
    ///
    /// # Errors
    /// When Prosody has no account for the service.
    pub fn new(
        binary: &Path,
        database: Database,
        prosody: &Prosody,
        servers: Vec<Server>,
        agi_port: u16,
    ) -> Result<Self> {
        Ok(Self {
            binary: binary.to_owned(),
            database,
            xmpp: prosody.address(),
            xmpp_password: prosody.password("usher")?,
            authority: prosody.certificate().authority.clone(),
            servers,
            agi_port,
            component: None,
            extra: Vec::new(),
        })
    }
}

/// `USHER_BIN`, else `usher` beside or above the running program.
///
/// # Errors
/// When there is none.
pub fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("USHER_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("usher")).find(|path| path.is_file());
    found.with_context(|| format!("no program `usher` beside {}: build it, or set USHER_BIN", own.display()))
}

/// The service, to be stopped, killed, frozen and started again as a [`Daemon`].
#[derive(Debug)]
pub struct Usher {
    daemon: Daemon,
    config: PathBuf,
    log: PathBuf,
    health: u16,
    http: reqwest::Client,
}

impl Deref for Usher {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Usher {
    /// Writes the configuration and starts the service.
    ///
    /// # Errors
    /// When it does not become ready, with the end of its log.
    pub async fn start(instance: &Instance, spec: &UsherSpec) -> Result<Self> {
        let usher = Self::prepare(instance, spec)?;
        usher.start_again().await?;
        Ok(usher)
    }

    /// Starts one beside another that is active, with a folder, a log and a health port of its own, and waits until it stands by.
    ///
    /// # Errors
    /// When it does not, with the end of its log.
    pub async fn stand_by(instance: &Instance, spec: &UsherSpec) -> Result<Self> {
        let usher = Self::prepare_as(instance, spec, "standby")?;
        let process = usher.spawn()?;
        process.ready("/ready says standby", START, || usher.is("standby")).await?;
        Ok(usher)
    }

    /// The same without waiting: whether it stands by or takes over is for the two to settle.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn rival(instance: &Instance, spec: &UsherSpec) -> Result<Self> {
        let usher = Self::prepare_as(instance, spec, "standby")?;
        usher.spawn()?;
        Ok(usher)
    }

    /// Whether it says that it is `active` or on `standby`.
    ///
    /// # Errors
    /// When it does not.
    pub async fn is(&self, duty: &str) -> Result<()> {
        let body = self.ready_body().await?;
        if body["duty"] != duty {
            bail!("/ready says {body}");
        }
        Ok(())
    }

    /// Writes the configuration without starting anything.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(instance: &Instance, spec: &UsherSpec) -> Result<Self> {
        Self::prepare_as(instance, spec, "usher")
    }

    fn prepare_as(instance: &Instance, spec: &UsherSpec, name: &str) -> Result<Self> {
        let folder = instance.subfolder(name)?;
        let health = instance.port()?;
        let config = folder.join("usher.toml");
        secret(&folder.join("database.password"), &spec.database.password)?;
        secret(&folder.join("xmpp.password"), &spec.xmpp_password)?;
        if let Some((_, text)) = &spec.component {
            secret(&folder.join("component.secret"), text)?;
        }
        for server in &spec.servers {
            secret(&folder.join(format!("{}.password", server.name)), &server.password)?;
        }
        fs::write(&config, render(spec, health))?;
        let program = Program::new(instance, name, &spec.binary)
            .args(["serve", "--config"])
            .args([&config])
            .env("RUST_BACKTRACE", "1")
            .farewell(Farewell::Term);
        let log = instance.folder().join(format!("{name}.log"));
        // Each request over a connection of its own: one that is kept would outlive the service that answered on it.
        let http = http().pool_max_idle_per_host(0).build()?;
        Ok(Self { daemon: Daemon::new(instance, program, ENDINGS), config, log, health, http })
    }

    /// Starts it and waits for `/ready`.
    ///
    /// # Errors
    /// When it does not become ready, with the end of its log.
    pub async fn start_again(&self) -> Result<()> {
        self.spawn()?
            .ready("/ready says 200", START, || async {
                match self.ready().await? {
                    200 => Ok(()),
                    status => bail!("/ready says {status}"),
                }
            })
            .await
    }

    /// Status of `/ready`.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn ready(&self) -> Result<u16> {
        Ok(self.ask().await?.status().as_u16())
    }

    /// Body of `/ready`.
    ///
    /// # Errors
    /// When nothing answers, or not with JSON.
    pub async fn ready_body(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.ask().await?.bytes().await?)?)
    }

    async fn ask(&self) -> Result<reqwest::Response> {
        Ok(self.http.get(format!("http://127.0.0.1:{}/ready", self.health)).send().await?)
    }

    /// The configuration file, to be changed before a start or given to other commands.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Everything it has logged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Port of `/live` and `/ready`.
    pub fn health_port(&self) -> u16 {
        self.health
    }
}

impl Drop for Usher {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tail = crate::process::tail(&self.log, 60);
            tracing::error!("usher's log ends with:\n{tail}");
            // The test's own report is what a person reads first.
            let mut report = std::io::stderr().lock();
            let _ = std::io::Write::write_all(&mut report, format!("usher's log ends with:\n{tail}\n").as_bytes());
        }
    }
}

fn secret(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("{text}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

fn render(spec: &UsherSpec, health: u16) -> String {
    let extra = |table: &str| -> String {
        spec.extra.iter().filter(|(of, _)| of == table).map(|(_, line)| format!("{line}\n")).collect()
    };
    let component = spec.component.as_ref().map_or_else(String::new, |(address, _)| {
        format!(
            "component = \"{COMPONENT}\"\ncomponent_address = \"{address}\"\ncomponent_secret_file = \"component.secret\"\n"
        )
    });
    let database = &spec.database;
    let mut text = format!(
        "[service]\nlog = \"info,usher=debug\"\nhealth_listen = \"127.0.0.1:{health}\"\nstate = \"state\"\n{service}\n\
         [database]\nhost = \"{host}\"\nport = {port}\nname = \"{name}\"\nuser = \"{user}\"\n\
         password_file = \"database.password\"\n{of_database}\n\
         [xmpp]\njid = \"usher@{DOMAIN}\"\npassword_file = \"xmpp.password\"\naddress = \"{xmpp}\"\nca_file = \"{ca}\"\n\
         crm = [\"crm@{DOMAIN}\"]\n{component}{of_xmpp}\n\
         [pops]\n{of_pops}\n[agi]\nlisten = \"127.0.0.1:{agi}\"\n{of_agi}\n",
        service = extra("service"),
        host = database.host,
        port = database.port,
        name = database.name,
        user = database.user,
        of_database = extra("database"),
        xmpp = spec.xmpp,
        ca = spec.authority.display(),
        of_xmpp = extra("xmpp"),
        of_pops = extra("pops"),
        agi = spec.agi_port,
        of_agi = extra("agi"),
    );
    for server in &spec.servers {
        text += &format!(
            "[[asterisk]]\nname = \"{name}\"\nurl = \"http://{address}\"\npassword_file = \"{name}.password\"\n{}\n",
            extra("asterisk"),
            name = server.name,
            address = server.address,
        );
    }
    text
}
