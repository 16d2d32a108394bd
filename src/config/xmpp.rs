//! `[xmpp]`: the service's account, who may see what, and what else it is on the XMPP server.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

use super::value::duration;

/// `[xmpp]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xmpp {
    /// Bare JID of the service's account.
    pub jid: String,
    /// File whose first line is the password; else `USHER_XMPP_PASSWORD`.
    pub password_file: Option<PathBuf>,
    /// `HOST:PORT` to connect to; absent: found by SRV records of the JID's domain, else the domain and port 5222.
    pub address: Option<String>,
    /// How TLS begins.
    #[serde(default)]
    pub tls: XmppTls,
    /// PEM file of the authorities to trust; absent: the system's.
    pub ca_file: Option<PathBuf>,
    /// JID of the pubsub service; absent: `pubsub.` and the domain.
    pub pubsub: Option<String>,
    /// What stands before the extension in the name of its node.
    #[serde(default = "default_node_prefix")]
    pub node_prefix: String,
    /// Bare JIDs that may see every extension's node, beside the extension's own.
    #[serde(default)]
    pub crm: Vec<String>,
    /// Bare JIDs of supervisors: they command for every extension, by chat and by ad-hoc command.
    #[serde(default)]
    pub supervisors: Vec<String>,
    /// JID of the service in which each queue has a room; absent: queues have none.
    pub rooms: Option<String>,
    /// How long a phone waits for its pop to be confirmed before it rings all the same.
    #[serde(default = "default_publish_bound", deserialize_with = "duration")]
    pub publish_bound: Duration,
    /// Whether the message about a caller is corrected (XEP-0308) when a phone rings for them, and when they are taken or gone.
    #[serde(default = "yes")]
    pub corrections: bool,
    /// The service's own domain on the XMPP server (XEP-0114), where each queue is a contact; absent: none.
    pub component: Option<String>,
    /// File whose first line is the secret that the server has for that domain; else `USHER_XMPP_COMPONENT_SECRET`.
    pub component_secret_file: Option<PathBuf>,
    /// `HOST:PORT` where the server takes components. Nothing is encrypted there: loopback, or a tunnel.
    #[serde(default = "default_component_address")]
    pub component_address: String,
    /// Filled by [`super::Config::load`].
    #[serde(skip)]
    pub password: Option<SecretString>,
    /// Filled by [`super::Config::load`]; there is one whenever there is a component.
    #[serde(skip)]
    pub component_secret: Option<SecretString>,
}

/// `xmpp.tls`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XmppTls {
    /// Port 5222, then STARTTLS (RFC 6120 section 5); refused if the server does not offer it.
    #[default]
    Starttls,
    /// TLS from the first byte (XEP-0368).
    Direct,
}

fn default_node_prefix() -> String {
    "extension".into()
}

fn default_component_address() -> String {
    "127.0.0.1:5347".into()
}

fn default_publish_bound() -> Duration {
    Duration::from_millis(500)
}

fn yes() -> bool {
    true
}

impl Xmpp {
    /// JID of the pubsub service, given or by custom.
    pub fn pubsub_jid(&self) -> String {
        self.pubsub.clone().unwrap_or_else(|| {
            let domain = self.jid.rsplit_once('@').map_or(self.jid.as_str(), |(_, domain)| domain);
            format!("pubsub.{domain}")
        })
    }
}
