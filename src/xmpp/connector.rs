//! From an address to an encrypted XML stream: TCP, then STARTTLS or TLS at once, with the certificate checked.
//!
//! Does not log in.

use std::{borrow::Cow, io, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sasl::common::ChannelBinding;
use tokio::{io::BufStream, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_xmpp::{
    connect::DnsConfig,
    error::Error,
    xmlstream::{
        PendingFeaturesRecv, ReadError, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream,
    },
};
use xmpp_parsers::{ns, starttls};
use xmpp_sieve::Sieved;

use crate::{
    config::{XmppTls, shown},
    xmpp::{Account, Fatal, login::Failure},
};

/// An encrypted connection with its XML stream opened and its features not yet read.
pub type Encrypted = PendingFeaturesRecv<BufStream<Sieved<TlsStream<TcpStream>>>>;

/// Knows where to connect to and whom to trust.
#[derive(Debug, Clone)]
pub struct Connector {
    domain: String,
    address: Option<String>,
    tls: XmppTls,
    trust: Arc<ClientConfig>,
    timeouts: Timeouts,
}

impl Connector {
    /// Reads the authorities to trust, once.
    ///
    /// # Errors
    /// When they cannot be read or there is none.
    pub fn new(account: &Account, timeouts: Timeouts) -> Result<Self, Fatal> {
        let place = account.ca_file.as_ref().map_or("the system's store".into(), |file| shown(file));
        let wrong = |problem: String| Fatal::Authorities { place: place.clone(), problem };
        let mut roots = RootCertStore::empty();
        match &account.ca_file {
            Some(file) => {
                for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))? {
                    let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                    roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate".into()));
        }
        let trust = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            domain: account.jid.domain().as_str().to_owned(),
            address: account.address.clone(),
            tls: account.tls,
            trust: Arc::new(trust),
            timeouts,
        })
    }

    /// Connects and encrypts. The channel binding is what TLS can give, whatever the server wants.
    ///
    /// # Errors
    /// Final ones for a certificate that does not verify and for a server without encryption, else passing ones.
    pub async fn connect(&self) -> Result<(Encrypted, ChannelBinding), Failure> {
        let tcp = self.reach().await?;
        tcp.set_nodelay(true)?;
        let tcp = match self.tls {
            XmppTls::Direct => tcp,
            XmppTls::Starttls => self.ask_for_tls(tcp).await?,
        };
        let (tls, binding) = self.encrypt(tcp).await?;
        let pending =
            initiate_stream(BufStream::new(Sieved::new(tls)), ns::JABBER_CLIENT, self.header(), self.timeouts).await?;
        Ok((pending, binding))
    }

    async fn reach(&self) -> Result<TcpStream, Failure> {
        if let Some(address) = &self.address {
            return Ok(TcpStream::connect(address).await?);
        }
        let found = match self.tls {
            XmppTls::Starttls => DnsConfig::srv_default_client(&self.domain),
            XmppTls::Direct => DnsConfig::srv_xmpps(&self.domain),
        };
        found.resolve().await.map_err(|error| {
            // What the resolver itself says takes three lines and names its own types.
            if matches!(error, Error::DnsNet(_) | Error::DnsProto(_)) {
                let domain = &self.domain;
                Failure::Passing(format!(
                    "the DNS names no XMPP server of {domain}: set xmpp.address, or enter SRV records"
                ))
            } else {
                error.into()
            }
        })
    }

    async fn ask_for_tls(&self, tcp: TcpStream) -> Result<TcpStream, Failure> {
        let begun = initiate_stream(BufStream::new(tcp), ns::JABBER_CLIENT, self.header(), self.timeouts).await;
        // A server that waits for TLS makes nothing of our first words, and hangs up.
        let hint = "before a word of XMPP: a port for direct TLS (usual 5223) needs xmpp.tls = \"direct\"";
        let pending = begun.map_err(|error| Failure::Passing(format!("{error}, {hint}")))?;
        let (features, mut stream): (_, XmppStream<BufStream<TcpStream>>) = pending.recv_features().await?;
        if !features.can_starttls() {
            return Err(Fatal::NoTls(self.domain.clone()).into());
        }
        stream.send(&XmppStreamElement::Starttls(starttls::Nonza::Request(starttls::Request))).await?;
        loop {
            match stream.next().await.map(|item| item.and_then(|item| item.into_read_error())) {
                Some(Ok(XmppStreamElement::Starttls(starttls::Nonza::Proceed(_)))) => break,
                Some(Ok(_) | Err(ReadError::SoftTimeout)) => {}
                Some(Err(ReadError::HardError(e))) => return Err(e.into()),
                Some(Err(ReadError::ParseError(e))) => return Err(Failure::Passing(format!("STARTTLS: {e}"))),
                Some(Err(ReadError::StreamFooterReceived)) | None => {
                    return Err(Failure::Passing("the server hung up during STARTTLS".into()));
                }
            }
        }
        Ok(stream.into_inner().into_inner())
    }

    async fn encrypt(&self, tcp: TcpStream) -> Result<(TlsStream<TcpStream>, ChannelBinding), Failure> {
        let name = ServerName::try_from(self.domain.clone())
            .map_err(|e| Fatal::Certificate { domain: self.domain.clone(), problem: e.to_string() })?;
        let tls = TlsConnector::from(self.trust.clone()).connect(name, tcp).await.map_err(|e| self.tls_failure(e))?;
        let (_, connection) = tls.get_ref();
        // RFC 9266: the exporter is the binding of TLS 1.3; rustls has no tls-unique for TLS 1.2.
        let binding = if connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
            let key = connection
                .export_keying_material(vec![0_u8; 32], b"EXPORTER-Channel-Binding", None)
                .map_err(io::Error::other)?;
            ChannelBinding::TlsExporter(key)
        } else {
            ChannelBinding::None
        };
        Ok((tls, binding))
    }

    fn tls_failure(&self, error: io::Error) -> Failure {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(problem)) => {
                Fatal::Certificate { domain: self.domain.clone(), problem: problem.to_string() }.into()
            }
            // Not one record of TLS: a server that waits for STARTTLS, or none of XMPP.
            Some(rustls::Error::InvalidMessage(_)) if self.tls == XmppTls::Direct => Failure::Passing(format!(
                "what answers does not speak TLS from the first byte, which xmpp.tls = \"direct\" asks for ({error}): set \
                 xmpp.tls = \"starttls\" (usual port 5222), or xmpp.address to the port for direct TLS (usual 5223)"
            )),
            Some(_) | None => Failure::Passing(format!("TLS: {error}")),
        }
    }

    fn header(&self) -> StreamHeader<'_> {
        StreamHeader { to: Some(Cow::Borrowed(&self.domain)), from: None, id: None }
    }
}
