//! Profanity, a client for the terminal, from Debian's packages: an agent's console.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    instance::Instance,
    process::Process,
    prosody::{DOMAIN, Prosody},
    terminal::Terminal,
};

/// Where Debian puts it.
const PROGRAM: &str = "/usr/bin/profanity";
const RESOURCE: &str = "console";
/// For what takes a moment.
const SOON: Duration = Duration::from_secs(12);

/// Who logs in, and where.
#[derive(Debug, Clone)]
pub struct Login {
    /// Bare address.
    pub jid: String,
    /// Password.
    pub password: String,
    /// `ADDRESS:PORT`.
    pub address: String,
    /// The authority that it trusts, and no other.
    pub authority: PathBuf,
}

impl Login {
    /// One of a rig's accounts.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn new(prosody: &Prosody, account: &str) -> Result<Self> {
        Ok(Self {
            jid: format!("{account}@{DOMAIN}"),
            password: prosody.password(account)?,
            address: prosody.address(),
            authority: prosody.certificate().authority.clone(),
        })
    }
}

/// Somebody who is logged in and looks at it.
#[derive(Debug)]
pub struct Profanity {
    terminal: Terminal,
}

impl Profanity {
    /// Starts it; it logs in over TLS.
    ///
    /// # Errors
    /// When it is not installed, or does not log in.
    pub async fn start(instance: &Instance, login: &Login) -> Result<Self> {
        let this = Self::open(instance, login)?;
        this.shows(&format!("{}/{RESOURCE} logged in successfully", login.jid)).await?;
        let title = this.screen();
        ensure!(title.lines().next().is_some_and(|title| title.contains("[TLS] [online]")), "{title}");
        // It asks what the server offers after the log-in, and refuses commands until that is answered. Answers come in order.
        let domain = login.jid.split_once('@').context("an account has a domain")?.1;
        this.is_shown(&format!("/disco info {domain}"), &format!("Service discovery info for {domain}")).await?;
        this.enter("/clear")?;
        this.looks("nothing of that", |screen| !screen.contains("Service discovery")).await?;
        Ok(this)
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn open(instance: &Instance, login: &Login) -> Result<Self> {
        ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is not there: scripts/setup --tests installs the package");
        let name = format!("profanity-{}", login.jid.split_once('@').context("an account has a name")?.0);
        let home = instance.subfolder(&name)?;
        let own = instance.subfolder(&format!("{name}/profanity"))?;
        let trusted = instance.subfolder(&format!("{name}/trusted"))?;
        trust(&login.authority, &trusted)?;
        fs::write(own.join("profrc"), settings(&trusted))?;
        fs::write(own.join("accounts"), account(login)?)?;
        let terminal = Terminal::start(instance, &name, &home, &[PROGRAM, "--account", &login.jid])?;
        Ok(Self { terminal })
    }

    /// Types a line and enters it: a command of its own, or what is said to whom the window is of.
    ///
    /// # Errors
    /// When it is gone.
    pub fn enter(&self, line: &str) -> Result<()> {
        self.terminal.enter(line)
    }

    /// Enters a line, and waits until something new is on the screen for it.
    ///
    /// # Errors
    /// When that was there before, or is not there in time.
    pub async fn is_shown(&self, line: &str, text: &str) -> Result<String> {
        let before = self.screen();
        ensure!(!before.contains(text), "{text:?} is there already:\n{before}");
        self.enter(line)?;
        self.shows(text).await
    }

    /// Opens the window of a bare address: what is entered from then on is said to whom it belongs.
    ///
    /// # Errors
    /// When it is not there in time.
    pub async fn face(&self, jid: &str) -> Result<()> {
        self.enter(&format!("/msg {jid}"))?;
        self.looks(&format!("the window of {jid}"), |screen| screen.starts_with(jid)).await.map(drop)
    }

    /// Asks a bare address to be among the contacts, and waits until it is seen to be there; yields its full address.
    ///
    /// # Errors
    /// When that is not shown.
    pub async fn contact(&self, jid: &str) -> Result<String> {
        let online = format!("++ {jid} (");
        let screen = self.is_shown(&format!("/sub request {jid}"), &online).await?;
        let resource = screen.split_once(&online).and_then(|(_, after)| after.split_once(") is online"));
        Ok(format!("{jid}/{}", resource.context("it is not online")?.0))
    }

    /// Waits until a text is on the screen, and yields the screen.
    ///
    /// # Errors
    /// When it is not there in time, with what is.
    pub async fn shows(&self, text: &str) -> Result<String> {
        self.looks(&format!("{text:?}"), |screen| screen.contains(text)).await
    }

    /// Waits until the screen is as wanted, and yields it.
    ///
    /// # Errors
    /// When it is not in time, with what it is.
    pub async fn looks(&self, what: &str, is: impl Fn(&str) -> bool) -> Result<String> {
        let seen = self.terminal.shows(what, SOON, |screen| is(&text(screen))).await?;
        Ok(text(&seen))
    }

    /// The program.
    pub fn process(&self) -> &Process {
        self.terminal.process()
    }

    /// What is on the screen, a line each, without blanks at their beginnings and ends: lines of one message stand in a column.
    pub fn screen(&self) -> String {
        text(&self.terminal.screen())
    }
}

fn text(screen: &str) -> String {
    screen.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

/// Makes the folder of trusted authorities as OpenSSL looks for them: each by the hash of its name.
fn trust(authority: &Path, folder: &Path) -> Result<()> {
    fs::copy(authority, folder.join("authority.pem"))?;
    let made = Command::new("openssl").arg("rehash").arg(folder).output().context("cannot run openssl")?;
    ensure!(made.status.success(), "openssl rehash: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// Nothing that reaches beyond the terminal, or that changes with the time of day.
fn settings(trusted: &Path) -> String {
    format!(
        "[connection]\ntls.certpath={}\n\
         [ui]\nsplash=false\nbeep=false\nflash=false\nroster=false\nvercheck=false\n\
         [notifications]\nmessage=false\n",
        trusted.display()
    )
}

fn account(login: &Login) -> Result<String> {
    let (address, port) = login.address.rsplit_once(':').context("an address has a port")?;
    Ok(format!(
        "[{jid}]\nenabled=true\njid={jid}\nserver={address}\nport={port}\nresource={RESOURCE}\npassword={password}\n\
         tls.policy=force\npresence.login=online\n",
        jid = login.jid,
        password = login.password
    ))
}
