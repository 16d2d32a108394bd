//! Connecting and logging in with STARTTLS or direct TLS; SCRAM, and PLAIN only where nothing better is offered.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sasl::common::Credentials;
use tokio::{io::BufStream, net::TcpStream};
use tokio_rustls::TlsConnector;
use tokio_xmpp::{
    client_login,
    connect::DnsConfig,
    error::{AuthError, Error},
    stanzastream::Connection,
    xmlstream::{ReadError, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream},
};
use xmpp_parsers::{
    jid::{BareJid, Jid},
    ns,
    sasl::DefinedCondition,
    starttls,
    stream_features::StreamFeatures,
};
use xmpp_sieve::Sieved;

const DEADLINE: Duration = Duration::from_secs(15);
const TIMEOUTS: Timeouts = Timeouts { read_timeout: Duration::from_secs(10), response_timeout: Duration::from_secs(5) };

/// Who to log in as, and where.
#[derive(Clone)]
pub struct Account {
    /// The account.
    pub jid: BareJid,
    /// Its password.
    pub password: String,
    /// `HOST:PORT`; `None`: found by SRV records.
    pub address: Option<String>,
    /// How TLS begins.
    pub tls: Tls,
    /// PEM file of the authorities to trust; `None`: the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("jid", &self.jid).field("address", &self.address).finish_non_exhaustive()
    }
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// In the clear first, then STARTTLS.
    Starttls,
    /// From the first byte.
    Direct,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Worth another try.
    #[error("{0}")]
    Passing(String),
    /// Not worth another try.
    #[error("{0}")]
    Final(String),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Passing(error.into().to_string())
    }
}

/// Parses the account to log in with.
///
/// # Errors
/// When there is no name before the domain, which no server logs in, or a resource behind it.
pub fn account_jid(text: &str) -> Result<BareJid, String> {
    match text.parse::<BareJid>() {
        Ok(jid) if jid.node().is_some() => Ok(jid),
        Ok(_) | Err(_) => Err("expected the form name@domain, such as crm@example.org".into()),
    }
}

/// An extension's number, as the name of its node ends.
///
/// # Errors
/// When it is empty or holds blanks.
pub fn extension(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("expected the number of an extension, such as 1000".into());
    }
    Ok(text.to_owned())
}

/// Parses the address of a server.
///
/// # Errors
/// When host or port is missing: no later try would find them.
pub fn host_port(text: &str) -> Result<String, String> {
    let is_host =
        |host: &str| !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    match text.rsplit_once(':') {
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(text.into()),
        Some(_) | None => Err("expected HOST:PORT, such as 127.0.0.1:5222 or [::1]:5222".into()),
    }
}

/// Reads the authorities to trust: those of a PEM file, or the system's.
///
/// # Errors
/// When there is none.
pub fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = ca_file {
        let wrong = |problem: String| Failure::Final(format!("cannot use {}: {problem}", file.display()));
        for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))? {
            let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
            roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("it holds no certificate: expected PEM, with BEGIN CERTIFICATE in a line".into()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(Failure::Final("there is no certificate authority to trust: give one with --ca-file".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::Final(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects and logs in within 15 s.
///
/// # Errors
/// See [`Failure`].
pub async fn log_in(account: &Account, trust: Arc<ClientConfig>) -> Result<Connection, Failure> {
    tokio::time::timeout(DEADLINE, attempt(account, trust))
        .await
        .unwrap_or_else(|_| Err(Failure::Passing("the server does not answer".into())))
}

/// What the resolver itself says of a domain without a server takes three lines, and names its own types.
fn lost(error: Error, domain: &str) -> Failure {
    if matches!(error, Error::DnsNet(_) | Error::DnsProto(_)) {
        return Failure::Passing(format!("the DNS names no XMPP server of {domain}: give --address HOST:PORT"));
    }
    error.into()
}

async fn attempt(account: &Account, trust: Arc<ClientConfig>) -> Result<Connection, Failure> {
    let domain = account.jid.domain().as_str();
    let header = || StreamHeader { to: Some(Cow::Borrowed(domain)), from: None, id: None };
    let mut tcp = match (&account.address, account.tls) {
        (Some(address), _) => TcpStream::connect(address).await?,
        (None, Tls::Starttls) => DnsConfig::srv_default_client(domain).resolve().await.map_err(|e| lost(e, domain))?,
        (None, Tls::Direct) => DnsConfig::srv_xmpps(domain).resolve().await.map_err(|e| lost(e, domain))?,
    };
    if account.tls == Tls::Starttls {
        let pending = initiate_stream(BufStream::new(tcp), ns::JABBER_CLIENT, header(), TIMEOUTS).await?;
        let (features, mut stream): (_, XmppStream<BufStream<TcpStream>>) =
            pending.recv_features().await.map_err(Error::from)?;
        if !features.can_starttls() {
            return Err(Failure::Final("the server does not offer encryption".into()));
        }
        stream.send(&XmppStreamElement::Starttls(starttls::Nonza::Request(starttls::Request))).await?;
        loop {
            match stream.next().await.map(|item| item.and_then(|item| item.into_read_error())) {
                Some(Ok(XmppStreamElement::Starttls(starttls::Nonza::Proceed(_)))) => break,
                Some(Ok(_) | Err(ReadError::SoftTimeout)) => {}
                Some(Err(_)) | None => return Err(Failure::Passing("STARTTLS failed".into())),
            }
        }
        tcp = stream.into_inner().into_inner();
    }
    let name = ServerName::try_from(domain.to_owned()).map_err(|e| Failure::Final(e.to_string()))?;
    let tls = TlsConnector::from(trust).connect(name, tcp).await.map_err(tls_failure)?;
    let pending = initiate_stream(BufStream::new(Sieved::new(tls)), ns::JABBER_CLIENT, header(), TIMEOUTS).await?;
    let (features, stream) = pending.recv_features().await.map_err(Error::from)?;
    let features: StreamFeatures = features;
    let scram: BTreeSet<String> =
        features.sasl_mechanisms.iter().filter(|name| name.starts_with("SCRAM-")).cloned().collect();
    let mechanisms = if scram.is_empty() { BTreeSet::from(["PLAIN".to_owned()]) } else { scram };
    let credentials = Credentials::default()
        .with_username(account.jid.node().map(|node| node.as_str()).unwrap_or_default())
        .with_password(account.password.as_str());
    let stream = client_login(stream, mechanisms, credentials).await.map_err(|e| refusal(e, &account.jid))?;
    let (features, stream) = stream.send_header(header()).await?.recv_features().await.map_err(Error::from)?;
    Ok(Connection { stream: stream.box_stream(), features, identity: Jid::from(account.jid.clone()) })
}

fn tls_failure(error: io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(problem)) => {
            Failure::Final(format!("the server's certificate does not verify: {problem}"))
        }
        Some(_) | None => Failure::Passing(format!("TLS: {error}")),
    }
}

fn refusal(error: Error, jid: &BareJid) -> Failure {
    let Error::Auth(error) = error else { return error.into() };
    if let AuthError::Fail(DefinedCondition::TemporaryAuthFailure) = error {
        return Failure::Passing("the server cannot check passwords at the moment".into());
    }
    if let AuthError::Fail(DefinedCondition::NotAuthorized) = error {
        return Failure::Final(format!("wrong password for {jid}, or no such account"));
    }
    Failure::Final(format!("log-in as {jid} refused: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_a_name_or_with_a_resource_is_refused_at_once() {
        assert_eq!(account_jid("crm@example.org").unwrap().as_str(), "crm@example.org");
        for text in ["crm", "example.org", "", "@example.org", "crm@", "crm@example.org/desk"] {
            assert!(account_jid(text).unwrap_err().contains("name@domain"), "{text:?}");
        }
    }

    #[test]
    fn an_extension_that_is_none_is_refused_at_once() {
        assert_eq!(extension("1000").unwrap(), "1000");
        for text in ["", " ", "10 00", "1000\n"] {
            assert!(extension(text).unwrap_err().contains("such as 1000"), "{text:?}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no PEM").unwrap();
        let Failure::Final(why) = trust(Some(file.path())).unwrap_err() else { panic!("to be tried again") };
        assert!(why.contains(&*file.path().to_string_lossy()) && why.contains("no certificate"), "{why}");
    }

    #[test]
    fn an_address_without_a_port_is_refused_at_once() {
        for text in ["127.0.0.1:5222", "xmpp.example.org:5222", "[::1]:5222"] {
            assert_eq!(host_port(text).unwrap(), text);
        }
        for text in ["127.0.0.1", "localhost", "", ":5222", "host:", "host:0", "host:99999", "::1", "::1:5222"] {
            assert!(host_port(text).unwrap_err().contains("HOST:PORT"), "{text:?}");
        }
    }
}
