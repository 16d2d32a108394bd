//! The service under test: the real program, as a child, with a configuration of the rig's.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    instance::Instance,
    process::{Process, Program},
    wait,
};

/// How long the program may take to be ready: it connects to everything.
const READY: Duration = Duration::from_secs(20);

/// Where the service finds everything.
#[derive(Debug, Clone)]
pub struct Places {
    /// Port of PostgreSQL on 127.0.0.1.
    pub database_port: u16,
    /// Name of the database.
    pub database_name: String,
    /// The role's password.
    pub database_password: String,
    /// `HOST:PORT` of the XMPP server.
    pub xmpp_address: String,
    /// The account's password.
    pub xmpp_password: String,
    /// PEM file of the rig's authority.
    pub ca_file: PathBuf,
    /// Name, port of the HTTP server and ARI password of each Asterisk.
    pub asterisks: Vec<(String, u16, String)>,
    /// Port for FastAGI.
    pub agi_port: u16,
    /// Port for `/ready`.
    pub health_port: u16,
    /// Further lines of TOML, by the name of the table that they go to: `("xmpp", "publish_bound = \"1s\"")`.
    pub extra: Vec<(String, String)>,
}

/// The service.
#[derive(Debug)]
pub struct Usher {
    instance: Instance,
    program: PathBuf,
    config: PathBuf,
    health_port: u16,
    process: Mutex<Option<Arc<Process>>>,
}

impl Usher {
    /// Writes the configuration; does not start the program.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn prepare(instance: &Instance, program: &Path, places: &Places) -> Result<Self> {
        let folder = instance.subfolder("usher")?;
        let secret = |name: &str, text: &str| -> Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(folder.join(name))?;
            Ok(writeln!(file, "{text}")?)
        };
        secret("database.secret", &places.database_password)?;
        secret("xmpp.secret", &places.xmpp_password)?;
        for (name, _, password) in &places.asterisks {
            secret(&format!("asterisk-{name}.secret"), password)?;
        }
        let config = folder.join("usher.toml");
        fs::write(&config, places.toml())?;
        let (health_port, program) = (places.health_port, program.to_owned());
        Ok(Self { instance: instance.clone(), program, config, health_port, process: Mutex::new(None) })
    }

    /// Starts the program, and returns when every link is up.
    ///
    /// # Errors
    /// When it ends or is not ready in time, with the end of its log.
    pub async fn start(&self) -> Result<()> {
        self.spawn()?;
        self.wait_until_ready(READY).await
    }

    /// Starts the program and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self) -> Result<()> {
        let process = self.program("usher", &["serve"]).start(&self.instance)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(process));
        Ok(())
    }

    fn program(&self, name: &str, args: &[&str]) -> Program {
        Program::new(&self.instance, name, &self.program)
            .args(args)
            .args(["--config".as_ref(), self.config.as_os_str()])
            .env("USHER_LOG", std::env::var("USHER_RIG_LOG").unwrap_or_else(|_| "info,usher=debug".into()))
    }

    /// Runs another command of the program; yields its exit code and what it printed.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn run(&self, args: &[&str]) -> Result<(i32, String)> {
        let output = tokio::process::Command::new(&self.program)
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What `/ready` says, whatever its status.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ready(&self) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/ready", self.health_port);
        Ok(reqwest::get(url).await?.json().await?)
    }

    /// Waits until every link is up.
    ///
    /// # Errors
    /// When it takes too long or the program ends, with the end of its log.
    pub async fn wait_until_ready(&self, within: Duration) -> Result<()> {
        let waited = wait::until("usher is ready", within, || async {
            let state = self.ready().await?;
            if state["ready"] == true { Ok(()) } else { bail!("{state}") }
        });
        waited.await.with_context(|| self.log_tail())
    }

    /// Waits until a link is up (`true`) or down: `database`, `xmpp` or `asterisk NAME`.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn wait_for_link(&self, name: &str, up: bool, within: Duration) -> Result<()> {
        wait::until(&format!("the link {name} is up={up}"), within, || async {
            let state = self.ready().await?;
            if state["links"][name]["up"] == up { Ok(()) } else { bail!("{state}") }
        })
        .await
    }

    /// Asks it to stop and waits for its end; yields its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&self, within: Duration) -> Result<i32> {
        let process = self.take()?;
        process.signal(Signal::TERM);
        Ok(process.end(within).await?.code().unwrap_or(-1))
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&self) -> Result<()> {
        let process = self.take()?;
        process.signal(Signal::KILL);
        process.end(Duration::from_secs(5)).await?;
        Ok(())
    }

    /// Waits for it to end by itself; yields its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(&self, within: Duration) -> Result<i32> {
        let process = self.take()?;
        Ok(process.end(within).await?.code().unwrap_or(-1))
    }

    fn take(&self) -> Result<Arc<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take().context("usher does not run")
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.instance.folder().join("usher.log")).unwrap_or_default()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(60)).copied().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Usher {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The log of a failed test is what one looks for first.
            let _ = writeln!(std::io::stderr(), "---- the end of usher's log ----\n{}", self.log_tail());
        }
    }
}

impl Places {
    fn toml(&self) -> String {
        let mut tables = vec![
            ("service".to_owned(), format!("health_listen = \"127.0.0.1:{}\"\n", self.health_port)),
            (
                "database".to_owned(),
                format!(
                    "host = \"127.0.0.1\"\nport = {}\nname = \"{}\"\nuser = \"usher\"\npassword_file = \"database.secret\"\n",
                    self.database_port, self.database_name
                ),
            ),
            (
                "xmpp".to_owned(),
                format!(
                    "jid = \"usher@{domain}\"\npassword_file = \"xmpp.secret\"\naddress = \"{}\"\nca_file = \"{}\"\n\
                     crm = [\"crm@{domain}\"]\n",
                    self.xmpp_address,
                    self.ca_file.display(),
                    domain = crate::prosody::DOMAIN
                ),
            ),
            ("agi".to_owned(), format!("listen = \"127.0.0.1:{}\"\n", self.agi_port)),
        ];
        for (table, line) in &self.extra {
            match tables.iter_mut().find(|(name, _)| name == table) {
                Some((_, lines)) => *lines += &format!("{line}\n"),
                None => tables.push((table.clone(), format!("{line}\n"))),
            }
        }
        let mut text: String = tables
            .iter()
            .filter(|(name, _)| name != "asterisk")
            .map(|(name, lines)| format!("[{name}]\n{lines}\n"))
            .collect();
        let more = tables.iter().find(|(name, _)| name == "asterisk").map_or("", |(_, lines)| lines.as_str());
        for (name, port, _) in &self.asterisks {
            text += &format!(
                "[[asterisk]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}\"\npassword_file = \"asterisk-{name}.secret\"\n{more}\n"
            );
        }
        text
    }
}
