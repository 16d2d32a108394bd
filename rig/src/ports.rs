//! Free ports on loopback, claimed so that rigs side by side never take the same one.
//!
//! A claim is a lock file in a shared folder with a lock held on it: it ends with the process, however that ends. The
//! range lies below the ephemeral ports, so that no outgoing connection sits on one.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// Where single ports come from.
const SINGLE: std::ops::Range<u16> = 20_000..24_000;
/// Where blocks for RTP come from.
const BLOCKS: std::ops::Range<u16> = 24_000..32_000;
/// Ports in a block: two for each leg, so that one Asterisk carries 200 legs.
pub const BLOCK: u16 = 400;

/// A claimed port or block; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    first: u16,
    _lock: File,
}

impl Claim {
    /// The port, or the first of the block.
    pub fn port(&self) -> u16 {
        self.first
    }

    /// One port that is free for TCP and UDP on 127.0.0.1.
    ///
    /// # Errors
    /// When the folder of the locks cannot be written or no port is left.
    pub fn single() -> Result<Self> {
        let folder = folder()?;
        let count = SINGLE.end - SINGLE.start;
        let begin = (uuid::Uuid::new_v4().as_u128() % u128::from(count)) as u16;
        for step in 0..count {
            let port = SINGLE.start + (begin + step) % count;
            if let Some(lock) = lock(&folder.join(port.to_string()))
                && is_free(port)
            {
                return Ok(Self { first: port, _lock: lock });
            }
        }
        bail!("no free port in {SINGLE:?}: end other rigs, or look for what listens there with `ss -tulpn`");
    }

    /// [`BLOCK`] ports in a row for RTP. Asterisk itself steps over one that is taken.
    ///
    /// # Errors
    /// As [`Claim::single`].
    pub fn block() -> Result<Self> {
        let folder = folder()?;
        let count = (BLOCKS.end - BLOCKS.start) / BLOCK;
        for index in 0..count {
            let first = BLOCKS.start + index * BLOCK;
            if let Some(lock) = lock(&folder.join(format!("{first}-{}", first + BLOCK - 1))) {
                return Ok(Self { first, _lock: lock });
            }
        }
        bail!("no free block of ports in {BLOCKS:?}: {count} Asterisk instances run already; end other rigs");
    }
}

fn folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join("usher-rig-ports");
    if !folder.is_dir() {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777))?;
    }
    Ok(folder)
}

fn lock(path: &std::path::Path) -> Option<File> {
    // In a folder that everybody may write to, Linux lets nobody open another one's file as one to be made.
    let there = File::options().write(true).open(path);
    let file = there.or_else(|_| File::options().create(true).truncate(false).write(true).open(path)).ok()?;
    // Another account may run rigs as well; only the owner can say so.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o666));
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_never_share_a_port() {
        let claims: Vec<_> = (0..50).map(|_| Claim::single().unwrap()).collect();
        let ports: std::collections::HashSet<_> = claims.iter().map(Claim::port).collect();
        assert_eq!(ports.len(), claims.len());
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let port = Claim::single().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.port())).unwrap();
        assert!(!is_free(port.port()));
    }
}
