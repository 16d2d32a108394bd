//! One private Asterisk, whichever configuration it runs.
//!
//! The program is the installed one if it is version 20 or newer, else the one that was unpacked into the cache; the
//! latter runs by chroot, so its folders lie below its root.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::{
    ari::Ari,
    daemon::{Daemon, Endings},
    documentation,
    instance::Instance,
    postgres::{cache, run},
    process::{Farewell, Program, is_root},
};

const START: Duration = Duration::from_secs(20);
/// In order: calls are ended. Sudden: they end without a word.
const ENDINGS: Endings = Endings { orderly: Signal::TERM, sudden: Signal::KILL, within: Duration::from_secs(10) };
/// The oldest version that can do what we use.
const OLDEST: u32 = 20;

/// Where the program is.
#[derive(Debug, Clone)]
pub struct Installation {
    /// `/`, or the folder to chroot into.
    root: PathBuf,
}

impl Installation {
    /// Finds it.
    ///
    /// # Errors
    /// When there is none, saying how to get it.
    pub fn find() -> Result<Self> {
        let version = Command::new("asterisk").arg("-V").output().ok();
        let major = version.and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.trim_start_matches("Asterisk ").split('.').next()?.parse::<u32>().ok()
        });
        if major.is_some_and(|major| major >= OLDEST) {
            return Ok(Self { root: "/".into() });
        }
        let root = cache()?.join("asterisk");
        if !root.join("usr/sbin/asterisk").exists() {
            bail!("no Asterisk {OLDEST} or newer, neither installed nor in {}: run `make setup`", root.display());
        }
        if !is_root() {
            bail!("{} can be run by chroot only, and that takes root; or install Asterisk {OLDEST}", root.display());
        }
        Ok(Self { root })
    }

    fn is_chroot(&self) -> bool {
        self.root != Path::new("/")
    }

    /// A path as the program sees it.
    fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
    }

    /// The folder as seen from here.
    fn outside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn line(&self) -> Vec<String> {
        if self.is_chroot() {
            return vec!["chroot".into(), self.root.display().to_string(), "/usr/sbin/asterisk".into()];
        }
        vec!["asterisk".into()]
    }
}

/// An Asterisk, to be stopped, killed, frozen and started again as a [`Daemon`].
#[derive(Debug)]
pub struct Asterisk {
    installation: Installation,
    daemon: Daemon,
    folder: PathBuf,
    ari: Ari,
}

impl Deref for Asterisk {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Asterisk {
    /// Starts one. `prepare` fills the folder it is given: `etc/` with the configuration, `data/` with `sounds/`.
    ///
    /// # Errors
    /// When there is no program or ARI does not answer.
    pub async fn start(
        instance: &Instance,
        name: &str,
        ari: Ari,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let installation = Installation::find()?;
        let parent = if installation.is_chroot() { installation.outside("/var/tmp") } else { std::env::temp_dir() };
        let folder = instance.folder_below(&parent)?;
        for name in ["etc", "var", "data/sounds", "spool/recording", "run", "log"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let shipped = Path::new("/usr/share/asterisk");
        for name in ["rest-api", "static-http"] {
            if installation.root.join("usr/share/asterisk").join(name).exists() {
                std::os::unix::fs::symlink(shipped.join(name), folder.join("data").join(name))?;
            }
        }
        documentation::shorten(
            &installation.outside("/usr/share/asterisk/documentation"),
            &folder.join("data/documentation"),
        )?;
        let inside = installation.inside(&folder);
        let conf = folder.join("asterisk.conf");
        fs::write(&conf, main_conf(&inside, &modules(&installation)?))?;
        prepare(&folder)?;
        let line = installation.line();
        let (first, rest) = line.split_first().context("no program")?;
        let program = Program::new(instance, name, first)
            .args(rest)
            .args(["-f".as_ref(), "-C".as_ref(), installation.inside(&conf).as_os_str()])
            .farewell(Farewell::Kill);
        let asterisk = Self { installation, daemon: Daemon::new(instance, program, ENDINGS), folder, ari };
        asterisk.start_again().await?;
        Ok(asterisk)
    }

    /// Starts it after its end.
    ///
    /// # Errors
    /// When ARI does not answer.
    pub async fn start_again(&self) -> Result<()> {
        self.spawn()?
            .ready("answers ARI", START, || async {
                let info = self.ari.get("asterisk/info?only=status").await?;
                if info.pointer("/status/startup_time").is_none() {
                    bail!("it has not finished: {info}");
                }
                Ok(())
            })
            .await
    }

    /// The rig's own ARI user.
    pub fn ari(&self) -> &Ari {
        &self.ari
    }

    /// Its folder: `etc`, `data`, `spool`, `log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command of Asterisk's console and yields what it prints.
    ///
    /// # Errors
    /// When the console does not answer.
    pub async fn cli(&self, command: &str) -> Result<String> {
        let line = self.installation.line();
        let (first, rest) = line.split_first().context("no program")?;
        let conf = self.installation.inside(&self.folder.join("asterisk.conf"));
        let mut process = Command::new(first);
        process.args(rest).arg("-C").arg(conf).args(["-rx", command]);
        tokio::task::spawn_blocking(move || run(&mut process)).await?
    }
}

/// The folder with the modules, as the program sees it.
fn modules(installation: &Installation) -> Result<PathBuf> {
    let parent = installation.outside("/usr/lib");
    let mut candidates = vec![parent.join("asterisk/modules")];
    candidates.extend(fs::read_dir(&parent)?.flatten().map(|entry| entry.path().join("asterisk/modules")));
    let found = candidates.into_iter().find(|folder| folder.join("res_ari.so").exists());
    Ok(installation.inside(&found.with_context(|| format!("no asterisk/modules below {}", parent.display()))?))
}

fn main_conf(inside: &Path, modules: &Path) -> String {
    let inside = inside.display();
    format!(
        "[directories]\nastcachedir => {inside}/var\nastetcdir => {inside}/etc\nastmoddir => {modules}\n\
         astvarlibdir => {inside}/var\nastdbdir => {inside}/var\nastkeydir => {inside}/var\nastdatadir => {inside}/data\n\
         astagidir => {inside}/data\nastspooldir => {inside}/spool\nastrundir => {inside}/run\nastlogdir => {inside}/log\n\
         [options]\nverbose = 0\ndefaultlanguage = en\n",
        modules = modules.display()
    )
}
