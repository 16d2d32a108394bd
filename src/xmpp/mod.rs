//! The XMPP shell: one client session over TLS, tracked requests, and the pubsub verbs.
//!
//! Owns how to connect, log in, stay connected and ask. Knows nothing of queues, members or calls. Built on the stanza
//! stream of `tokio_xmpp` with a reconnector of our own, because its ready-made client hangs, falls back to PLAIN and
//! retries a wrong password for ever.
//!
//! A dead connection is noticed after at most [`session::SILENCE`] + [`session::PATIENCE`].

pub mod commands;
pub mod component;
pub mod connector;
pub mod disco;
pub mod incoming;
pub mod login;
pub mod muc;
pub mod pubsub;
mod reconnect;
pub mod session;
pub mod sight;

use std::{path::PathBuf, str::FromStr};

use secrecy::SecretString;
use xmpp_parsers::jid::BareJid;

use crate::config::{Xmpp, XmppTls};

/// Trouble that no retry cures: somebody has to change a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The account's address cannot be used.
    #[error("xmpp.jid {0:?} is not a bare address with a name, such as usher@example.org")]
    Jid(String),
    /// There is no password.
    #[error("no password for {0}: name a file in xmpp.password_file or set USHER_XMPP_PASSWORD")]
    NoPassword(String),
    /// The pubsub service's address cannot be used.
    #[error("xmpp.pubsub {0:?} is not an address, such as pubsub.example.org")]
    PubsubJid(String),
    /// The authorities to trust cannot be read.
    #[error("cannot use the certificate authorities in {place}: {problem}; correct xmpp.ca_file")]
    Authorities {
        /// Which file, or the system's store.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server's certificate is not to be trusted.
    #[error(
        "the certificate of the XMPP server for {domain} does not verify: {problem}; correct the server's certificate or xmpp.ca_file"
    )]
    Certificate {
        /// The domain that the certificate should be for.
        domain: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server offers no encryption.
    #[error("the XMPP server for {0} does not offer STARTTLS: set it up there, or set xmpp.tls = \"direct\"")]
    NoTls(String),
    /// The server refused the log-in.
    #[error("the XMPP server refused the log-in of {jid}: {problem}; correct the password or the account")]
    Login {
        /// Whose log-in.
        jid: String,
        /// The server's word.
        problem: String,
    },
    /// The server offers no way to log in that we accept.
    #[error(
        "the XMPP server offers no log-in mechanism that can be used ({offered}): enable SCRAM-SHA-1 or SCRAM-SHA-256 there"
    )]
    NoMechanism {
        /// What it offers.
        offered: String,
    },
    /// The session ended in a way that the library cannot recover from.
    #[error("the XMPP session broke down: restart the service")]
    Broken,
}

/// What it takes to connect.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account.
    pub jid: BareJid,
    /// Its password.
    pub password: SecretString,
    /// `HOST:PORT`; `None`: by SRV records, else the domain and the usual port.
    pub address: Option<String>,
    /// How TLS begins.
    pub tls: XmppTls,
    /// PEM file of the authorities to trust; `None`: the system's.
    pub ca_file: Option<PathBuf>,
}

impl Account {
    /// Takes the account out of the configuration.
    ///
    /// # Errors
    /// When the address or the password is missing or cannot be used.
    pub fn new(config: &Xmpp) -> Result<Self, Fatal> {
        let jid = BareJid::from_str(&config.jid).map_err(|_| Fatal::Jid(config.jid.clone()))?;
        if jid.node().is_none() {
            return Err(Fatal::Jid(config.jid.clone()));
        }
        let password = config.password.clone().ok_or_else(|| Fatal::NoPassword(config.jid.clone()))?;
        Ok(Self { jid, password, address: config.address.clone(), tls: config.tls, ca_file: config.ca_file.clone() })
    }
}

impl Xmpp {
    /// The service that has the rooms of the queues, if they have any.
    pub fn rooms(&self) -> Option<BareJid> {
        self.rooms.as_ref().and_then(|rooms| BareJid::from_str(rooms).ok())
    }
}
