//! One rig's own folder, ports and children, and the promise that nothing of them outlives it.
//!
//! The promise is kept by a reaper: a shell in a session of its own that reads a pipe from us. When the pipe closes, by
//! `Drop`, a panic, Ctrl-C or SIGKILL alike, it ends every registered child by its number and start time and removes the
//! folders. A child registers *itself* before it becomes the program, and does not start when the reaper is already at
//! work: so none lives unseen. What children start, and what then leaves them, carries a mark in its environment.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};

use crate::ports::Claim;

/// Set to keep the folders of ended rigs, to look at their logs.
pub const KEEP: &str = "USHER_RIG_KEEP";

/// A rig's folder, ports and reaper. Cheap to clone; the last clone that is dropped ends everything and waits for it.
#[derive(Debug, Clone)]
pub struct Instance(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    claims: Mutex<Vec<Claim>>,
    reaper: Mutex<Child>,
}

impl Instance {
    /// Makes the folder and starts the reaper.
    ///
    /// # Errors
    /// When the temporary folder cannot be written or `setsid` and `sh` cannot be run.
    pub fn new() -> Result<Self> {
        // Others may have chosen already; all of us choose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = std::env::temp_dir().join(format!("usher-rig-{}", short_id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Servers under other accounts must reach their own folders below.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        fs::create_dir(folder.join("pids"))?;
        fs::write(folder.join("alive"), "")?;
        if std::env::var_os(KEEP).is_some() {
            fs::write(folder.join("keep"), "")?;
        }
        let reaper = Command::new("setsid")
            .args(["sh", "-c", include_str!("reaper.sh"), "usher-rig-reaper"])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the reaper: `setsid` (package util-linux) and `sh` are needed")?;
        Ok(Self(Arc::new(Inner { folder, claims: Mutex::default(), reaper: Mutex::new(reaper) })))
    }

    /// The folder, removed at the end.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// A new folder inside the instance's own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.folder.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A new folder below `parent` (somewhere else than the instance's own), removed at the end as well.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder_below(&self, parent: &Path) -> Result<PathBuf> {
        let path = parent.join(format!("usher-rig-{}", short_id()));
        let mut list = fs::File::options().create(true).append(true).open(self.0.folder.join("folders"))?;
        writeln!(list, "{}", path.display())?;
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// A free port, ours until the end.
    ///
    /// # Errors
    /// When none is left.
    pub fn port(&self) -> Result<u16> {
        self.keep(Claim::single()?)
    }

    /// The first of [`crate::ports::BLOCK`] ports for RTP, ours until the end.
    ///
    /// # Errors
    /// When none is left.
    pub fn port_block(&self) -> Result<u16> {
        self.keep(Claim::block()?)
    }

    fn keep(&self, claim: Claim) -> Result<u16> {
        let port = claim.port();
        self.0.claims.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(claim);
        Ok(port)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let reaper = self.reaper.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(reaper.stdin.take());
        // It bounds its own time; there is nobody to tell if it failed.
        let _ = reaper.wait();
    }
}

/// Twelve hexadecimal digits that nobody else draws.
pub fn short_id() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    id.get(..12).unwrap_or_default().to_owned()
}

/// A password that nobody can guess.
pub fn password() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
