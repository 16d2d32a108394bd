//! A connection with as little as possible between the bytes and the server: log-in, and pieces of what comes.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use usher_rig::{
    prosody::{DOMAIN, Prosody},
    xmpp::encrypted,
};

use super::pieces::{Piece, Pieces};

/// For one answer; far more than one takes.
const ANSWER: Duration = Duration::from_secs(30);
/// A stream's beginning.
const HEADER: &str = "<?xml version='1.0'?><stream:stream to='usher.test' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// An encrypted stream of which the server knows whose it is.
#[derive(Debug)]
pub struct Wire {
    tls: TlsStream<TcpStream>,
    pieces: Pieces,
    buffer: Vec<u8>,
    /// Stanzas that came; counted from the beginning.
    pub received: u32,
}

impl Wire {
    /// Logs in and binds a resource that the server names.
    pub async fn log_in(prosody: &Prosody, account: &str) -> Result<Self> {
        let tls = encrypted(prosody).await?;
        let mut wire = Self { tls, pieces: Pieces::default(), buffer: vec![0; 16 * 1024], received: 0 };
        let secret = STANDARD.encode(format!("\0{account}\0{}", prosody.password(account)?));
        wire.ask(HEADER, "/stream:features").await?;
        let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>");
        wire.ask(&auth, "success").await.with_context(|| format!("{account}@{DOMAIN} is not let in"))?;
        wire.ask(HEADER, "/stream:features").await?;
        let bind = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        wire.ask(bind, "/iq").await?;
        Ok(wire)
    }

    /// Has stanzas counted from here on, either way (XEP-0198).
    pub async fn count(&mut self) -> Result<()> {
        self.ask("<enable xmlns='urn:xmpp:sm:3'/>", "enabled").await?;
        self.received = 0;
        Ok(())
    }

    /// Writes, and passes over all that comes before this tag.
    pub async fn ask(&mut self, text: &str, tag: &str) -> Result<Piece> {
        self.write(text.as_bytes()).await?;
        loop {
            let piece = self.next().await?;
            match piece.name() {
                name if name == tag => return Ok(piece),
                "failure" | "stream:error" | "failed" => bail!("{tag} is expected, and comes not: {piece:?}"),
                _ => {}
            }
        }
    }

    /// Writes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.tls.write_all(bytes).await?;
        Ok(self.tls.flush().await?)
    }

    /// The next piece; the server's own question, how much has come, is answered and passed over.
    pub async fn next(&mut self) -> Result<Piece> {
        tokio::time::timeout(ANSWER, self.next_ever()).await.context("the server says nothing")?
    }

    /// The same, without an end to the patience.
    pub async fn next_ever(&mut self) -> Result<Piece> {
        loop {
            if let Some(piece) = self.come().await? {
                return Ok(piece);
            }
            let count = self.tls.read(&mut self.buffer).await?;
            if count == 0 {
                bail!("the server has closed the connection");
            }
            self.pieces.push(self.buffer.get(..count).unwrap_or_default());
        }
    }

    /// The next piece of what has been read already.
    pub async fn come(&mut self) -> Result<Option<Piece>> {
        while let Some(piece) = self.pieces.take() {
            if piece.name() != "r" {
                self.received = self.received.wrapping_add(u32::from(piece.begins_stanza()));
                return Ok(Some(piece));
            }
            let answer = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.received);
            self.write(answer.as_bytes()).await?;
        }
        Ok(None)
    }
}
