//! From an address to a component's XML stream (XEP-0114): TCP, header, handshake.
//!
//! The library reads and writes stanzas of `jabber:client` alone, unless a feature of it changes that for the whole program, after which no
//! client comes online. So the headers are exchanged here, in `jabber:component:accept`, and the library is shown such a header as it
//! knows. Stanzas inherit their namespace from the header, so both sides then read the same bytes, each in its own namespace.

use std::{
    borrow::Cow,
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{SinkExt, StreamExt};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, ReadBuf},
    net::TcpStream,
};
use tokio_xmpp::xmlstream::{ReadError, StreamHeader, Timeouts, XmlStream, initiate_stream};
use xmpp_parsers::{
    component::Handshake,
    minidom::Element,
    ns,
    stanza::Stanza,
    stream_error::{DefinedCondition, ReceivedStreamError},
};
use xmpp_sieve::Sieved;
use xso::{AsXml, FromXml};

use super::Settings;

/// More than any server's header has.
const HEADER: u64 = 8 * 1024;
/// Namespace of `stream:stream`.
const STREAMS: &str = "http://etherx.jabber.org/streams";

/// `<handshake/>`, in the namespace that the library takes the stream to have.
#[derive(FromXml, AsXml, Debug)]
#[xml(namespace = ns::JABBER_CLIENT, name = "handshake")]
pub(super) struct Accepted;

/// What the server sends.
#[derive(FromXml, AsXml, Debug)]
#[xml()]
#[expect(clippy::large_enum_variant, reason = "nearly all are stanzas, and each is read and handed on at once")]
pub(super) enum Sent {
    #[xml(transparent)]
    Stanza(Stanza),
    #[xml(transparent)]
    Error(ReceivedStreamError),
    #[xml(transparent)]
    Accepted(Accepted),
}

/// A stream on which stanzas come and go. A malformed one is an item and not the end: anybody may send such to a component.
pub(super) type Stream = XmlStream<Opened, Result<Sent, xso::error::Error>>;

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server does not want this component. Somebody has to change a setting, here or there.
    #[error("{0}")]
    Refused(String),
    /// Another one has its place, or nothing answers: may pass.
    #[error("{0}")]
    Passing(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Passing(error.to_string())
    }
}

/// A connection on which the server has said that it knows the component, and nobody has proved to be it.
#[derive(Debug)]
pub(super) struct Greeted {
    io: BufStream<Sieved<TcpStream>>,
    id: String,
}

/// Connects and exchanges headers. Nobody's place is taken by that.
///
/// # Errors
/// [`Failure::Refused`] when the server knows no such component.
pub(super) async fn greet(settings: &Settings) -> Result<Greeted, Failure> {
    let at = |error: io::Error| Failure::Passing(format!("{}: {error}", settings.address));
    let tcp = TcpStream::connect(&settings.address).await.map_err(at)?;
    tcp.set_nodelay(true).map_err(at)?;
    let mut io = BufStream::new(Sieved::new(tcp));
    let header = format!(
        "<?xml version='1.0'?><stream:stream xmlns='{component}' xmlns:stream='{STREAMS}' to='{domain}'>",
        component = ns::COMPONENT,
        domain = settings.domain,
    );
    io.write_all(header.as_bytes()).await?;
    io.flush().await?;
    let text = read_header(&mut io).await?;
    let what =
        || Failure::Passing(format!("what answers at {} is no XMPP server's port for components", settings.address));
    let header: Element = format!("{text}</stream:stream>").parse().map_err(|_| what())?;
    let id = header.attr("id").ok_or_else(what)?.to_owned();
    // A server that knows no such component says so at once, with a header that has no id.
    if id.is_empty() { refused_before(io, settings).await } else { Ok(Greeted { io, id }) }
}

/// The server's `<stream:stream …>`, without what may stand before it.
async fn read_header(io: &mut BufStream<Sieved<TcpStream>>) -> Result<String, Failure> {
    let mut io = io.take(HEADER);
    loop {
        let mut tag = Vec::new();
        io.read_until(b'>', &mut tag).await?;
        let tag = String::from_utf8_lossy(&tag);
        match tag.trim_start() {
            found if found.starts_with("<?") && found.ends_with("?>") => {}
            found if found.starts_with("<stream:stream") && found.ends_with('>') => return Ok(found.to_owned()),
            _ => return Err(Failure::Passing("the server hung up, or does not speak XMPP".into())),
        }
    }
}

async fn refused_before(io: BufStream<Sieved<TcpStream>>, settings: &Settings) -> Result<Greeted, Failure> {
    let timeouts = Timeouts { read_timeout: super::PATIENCE, response_timeout: super::PATIENCE };
    let mut stream = opened(Greeted { io, id: "none".into() }, settings, timeouts).await?;
    Err(until(&mut stream, settings, |_| None::<()>).await.err().unwrap_or(Failure::Passing("no word".into())))
}

/// Proves to be the component, and takes its place.
///
/// # Errors
/// [`Failure::Refused`] for a wrong secret.
pub(super) async fn take_place(greeted: Greeted, settings: &Settings, timeouts: Timeouts) -> Result<Stream, Failure> {
    let handshake = Handshake::from_stream_id_and_password(greeted.id.clone(), settings.secret.expose_secret());
    let mut stream = opened(greeted, settings, timeouts).await?;
    stream.send(&handshake).await?;
    until(&mut stream, settings, |sent| matches!(sent, Sent::Accepted(_)).then_some(())).await?;
    Ok(stream)
}

/// The library's stream, in the middle of ours.
async fn opened(Greeted { io, .. }: Greeted, settings: &Settings, timeouts: Timeouts) -> Result<Stream, Failure> {
    let header = format!(
        "<stream:stream xmlns='{client}' xmlns:stream='{STREAMS}' id='shown' version='1.0'>",
        client = ns::JABBER_CLIENT
    );
    let muted = Arc::new(AtomicBool::new(true));
    let io = Opened { io, shown: header.into_bytes(), read: 0, muted: muted.clone() };
    let own = StreamHeader { to: Some(Cow::Borrowed(&settings.domain)), from: None, id: None };
    let pending = initiate_stream(io, ns::JABBER_CLIENT, own, timeouts).await?;
    muted.store(false, Ordering::Relaxed);
    Ok(pending.skip_features())
}

/// Reads until what is wanted comes.
async fn until<T>(stream: &mut Stream, settings: &Settings, wanted: impl Fn(&Sent) -> Option<T>) -> Result<T, Failure> {
    loop {
        match stream.next().await {
            Some(Ok(Ok(sent))) => match (wanted(&sent), sent) {
                (Some(found), _) => return Ok(found),
                (None, Sent::Error(error)) => return Err(said(&error, settings)),
                (None, Sent::Stanza(_) | Sent::Accepted(_)) => {}
            },
            Some(Ok(Err(_)) | Err(ReadError::SoftTimeout | ReadError::ParseError(_))) => {}
            Some(Err(ReadError::HardError(error))) => return Err(error.into()),
            Some(Err(ReadError::StreamFooterReceived)) | None => {
                return Err(Failure::Passing("the server hung up without a word".into()));
            }
        }
    }
}

/// What a server means that ends the stream.
pub(super) fn said(error: &ReceivedStreamError, Settings { domain, address, .. }: &Settings) -> Failure {
    let ReceivedStreamError(error) = error;
    if error.condition == DefinedCondition::NotAuthorized {
        Failure::Refused(format!(
            "the XMPP server refuses the component {domain}: the secret is wrong, or it has no such component; give the server and \
             xmpp.component_secret_file the same"
        ))
    } else if error.condition == DefinedCondition::HostUnknown {
        Failure::Refused(format!(
            "the XMPP server at {address} has no component {domain}: enter it there, or correct xmpp.component"
        ))
    } else if error.condition == DefinedCondition::Conflict {
        Failure::Passing(format!("another program is connected to the XMPP server as the component {domain}"))
    } else {
        Failure::Passing(format!("the XMPP server ended the stream of the component {domain}: {}", error.condition))
    }
}

/// A connection whose headers were exchanged, for a library that has not seen them.
pub(super) struct Opened {
    io: BufStream<Sieved<TcpStream>>,
    /// The header that the library is shown.
    shown: Vec<u8>,
    /// Bytes of it that were read.
    read: usize,
    /// As long as the library writes its own.
    muted: Arc<AtomicBool>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl AsyncBufRead for Opened {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        match this.shown.get(this.read..) {
            Some(rest) if !rest.is_empty() => Poll::Ready(Ok(rest)),
            Some(_) | None => Pin::new(&mut this.io).poll_fill_buf(cx),
        }
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        if this.read < this.shown.len() {
            this.read += amount;
        } else {
            Pin::new(&mut this.io).consume(amount);
        }
    }
}

impl AsyncRead for Opened {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let some = std::task::ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = some.len().min(buf.remaining());
        buf.put_slice(some.get(..count).unwrap_or_default());
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.muted.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
