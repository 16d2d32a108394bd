//! The CRM: software-sim as a process of its own, seen by the JSON lines that it prints.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    instance::Instance,
    process::{Process, Program},
    prosody::{DOMAIN, Prosody},
    wait,
};

/// Time to log in and to subscribe.
const SUBSCRIBE: Duration = Duration::from_secs(15);

/// A running software-sim.
#[derive(Debug)]
pub struct Crm {
    process: Process,
}

/// `USHER_SOFTWARE_SIM`, else `software-sim` beside or above the running program.
///
/// # Errors
/// When there is none.
pub fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("USHER_SOFTWARE_SIM") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let mut beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("software-sim"));
    beside.find(|path| path.is_file()).context("no program `software-sim` here: cargo build --workspace")
}

/// The same as a person sees it: starts a software-sim that draws, and yields its process; the log is the screen.
///
/// # Errors
/// When it cannot be started.
pub fn screen(instance: &Instance, prosody: &Prosody, binary: &Path, extension: &str) -> Result<Process> {
    start(instance, prosody, binary, extension, &[])
}

fn start(instance: &Instance, prosody: &Prosody, binary: &Path, extension: &str, further: &[&str]) -> Result<Process> {
    let name = format!("software-sim-{}", crate::instance::short_id());
    let secret = instance.folder().join(format!("{name}.secret"));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&secret)?;
    writeln!(file, "{}", prosody.password("crm")?)?;
    Program::new(instance, &name, binary)
        .args(["--jid", &format!("crm@{DOMAIN}"), "--address", &prosody.address(), "--extension", extension])
        .args(["--password-file".as_ref(), secret.as_os_str()])
        .args(["--ca-file".as_ref(), prosody.certificate().authority.as_os_str()])
        .args(further)
        .start(instance)
}

impl Crm {
    /// Starts it for an extension, as the account `crm`, and returns when it is subscribed.
    ///
    /// # Errors
    /// When it ends or cannot subscribe in time.
    pub async fn start(instance: &Instance, prosody: &Prosody, binary: &Path, extension: &str) -> Result<Self> {
        let process = start(instance, prosody, binary, extension, &["--json"])?;
        let crm = Self { process };
        crm.wait_for("subscribed", SUBSCRIBE, |line| line["event"] == "subscribed").await?;
        Ok(crm)
    }

    /// Every line so far. The last one may be half written, in the middle of a letter.
    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read(self.process.log()).unwrap_or_default();
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Waits for a line, those that have been printed already included.
    ///
    /// # Errors
    /// After `within`, or when the program has ended, with what it printed.
    pub async fn wait_for(&self, what: &str, within: Duration, is: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(&format!("the CRM sees: {what}"), within, || async {
            match self.lines().into_iter().find(|line| is(line)) {
                Some(line) => Ok(line),
                None => bail!("{}", fs::read_to_string(self.process.log()).unwrap_or_default()),
            }
        })
        .await
    }

    /// Waits for a pop in this state.
    ///
    /// # Errors
    /// As [`Crm::wait_for`].
    pub async fn pop(&self, state: &str, within: Duration) -> Result<Value> {
        self.wait_for(state, within, |line| line["event"] == "pop" && line["state"] == state).await
    }

    /// When the program printed a line, by the clock.
    ///
    /// # Errors
    /// When the line has no time.
    pub fn time_of(line: &Value) -> Result<SystemTime> {
        let at: jiff::Timestamp = line["at"].as_str().context("a line without a time")?.parse()?;
        Ok(at.into())
    }
}
