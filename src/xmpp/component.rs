//! A domain of our own on the XMPP server (XEP-0114), beside the account: whatever is written to an address of it comes here, and we may
//! write from each of them.
//!
//! Owns its one connection: made again and again, noticed when it is dead, and nothing that comes over it ends it. There is no resuming
//! and no acknowledging as the account has: what is sent while it breaks is lost, and what is to be sent while it is down is dropped.
//! The connection is not encrypted, since XEP-0114 knows no way to: it belongs on loopback or into a tunnel.

mod head;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use secrecy::SecretString;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tokio_xmpp::xmlstream::{ReadError, Timeouts};
use xmpp_parsers::{
    iq::Iq,
    jid::{BareJid, Jid},
    minidom::Element,
    ns,
    stanza::Stanza,
};

pub use self::head::Failure;
use self::head::{Sent, Stream};
use crate::{
    config::Xmpp,
    fence::Fence,
    xmpp::{
        incoming::{self, Incoming, Way},
        reconnect::{BACKOFF_CAP, backoff},
        session::{PATIENCE, SILENCE},
    },
};

/// Stanzas waiting to be sent; who sends presence by the thousand waits for room.
const OUTGOING: usize = 256;
/// What came and waits to be looked at, in microseconds each. Beyond it nothing is read.
const EVENTS: usize = 256;
/// How long a connection may take, from its first byte to the server's consent.
const LOGIN: Duration = Duration::from_secs(15);
/// How long what is left to be sent, and the goodbye, may take at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// What it takes to connect.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our domain.
    pub domain: String,
    /// `HOST:PORT` of the server.
    pub address: String,
    /// What the server and we know.
    pub secret: SecretString,
}

impl Settings {
    /// Takes them out of the configuration; `None`: there is to be no component.
    pub fn new(config: &Xmpp) -> Option<Self> {
        let domain = config.component.as_ref()?.parse::<BareJid>().ok()?.to_string();
        Some(Self { domain, address: config.component_address.clone(), secret: config.component_secret.clone()? })
    }
}

/// What happened to the component.
#[derive(Debug)]
pub enum Event {
    /// It is connected. Nobody knows anything of what it said before.
    Online,
    /// It is not, any more or still.
    Offline(Failure),
    /// Somebody wrote to one of its addresses.
    Came(Box<Stanza>),
}

/// The way to send. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Component {
    outgoing: mpsc::Sender<Box<Stanza>>,
}

impl Component {
    /// Starts connecting. Ends, after what was handed over is sent, when `stop` is cancelled. While the fence is closed nothing is sent,
    /// and no connection is made.
    pub fn start(
        settings: Settings,
        fence: Fence,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Event>, JoinHandle<()>) {
        let (outgoing, inbox) = mpsc::channel(OUTGOING);
        let (events, came) = mpsc::channel(EVENTS);
        let actor = Actor { settings, fence, inbox, events, stop, held: None };
        (Self { outgoing }, came, tokio::spawn(actor.run()))
    }

    /// Sends a stanza, which names its own address in `from`. Dropped while there is no link.
    pub async fn send(&self, stanza: Stanza) {
        // The component has ended.
        let _gone = self.outgoing.send(Box::new(stanza)).await;
    }

    /// The same without waiting: dropped as well when there is no room.
    pub fn try_send(&self, stanza: Stanza) {
        if self.outgoing.try_send(Box::new(stanza)).is_err() {
            tracing::debug!("an answer is dropped: the component's connection does not keep up");
        }
    }

    /// What a stanza brings that is to be answered by a service, in the name of this address of ours; the stanza itself if it is not.
    ///
    /// # Errors
    /// The stanza.
    pub fn take(&self, stanza: Stanza, own: Jid) -> Result<Incoming, Box<Stanza>> {
        let domain = BareJid::from_parts(None, own.domain());
        let (from, what) = incoming::take(stanza, &domain)?;
        let way = Way::Contact { component: self.clone(), own };
        Ok(Incoming { at: Instant::now(), from, what, way })
    }

    /// Waits for room.
    pub async fn room(&self) -> Option<Room> {
        self.outgoing.clone().reserve_owned().await.ok().map(Room)
    }
}

/// Room for one stanza.
#[derive(Debug)]
pub struct Room(mpsc::OwnedPermit<Box<Stanza>>);

impl Room {
    /// Sends it.
    pub fn send(self, stanza: Stanza) {
        self.0.send(Box::new(stanza));
    }
}

/// Whether the server would let us in with these settings. With `Extent::Place` our place is taken for a moment, from whoever has it.
///
/// # Errors
/// Why not, for a person to read.
pub async fn rehearse(settings: &Settings, extent: Extent, within: Duration) -> Result<(), Failure> {
    let tried = async {
        let greeted = head::greet(settings).await?;
        if extent == Extent::Place {
            let mut stream = head::take_place(greeted, settings, TIMEOUTS).await?;
            let _gone = SinkExt::<&Stanza>::close(&mut stream).await;
        }
        Ok(())
    };
    timeout(within, tried).await.unwrap_or_else(|_| Err(no_answer(settings)))
}

/// How far a rehearsal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// That the server is there and knows the component.
    Header,
    /// That the secret is right as well.
    Place,
}

const TIMEOUTS: Timeouts = Timeouts { read_timeout: SILENCE, response_timeout: PATIENCE };

fn no_answer(settings: &Settings) -> Failure {
    Failure::Passing(format!("nothing answers at {}, or too late", settings.address))
}

struct Actor {
    settings: Settings,
    fence: Fence,
    inbox: mpsc::Receiver<Box<Stanza>>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    /// Was about to be sent when the fence was found closed.
    held: Option<Box<Stanza>>,
}

/// Why a connection is over.
enum Over {
    Broken(Failure),
    /// We were asked to, or nobody is interested any more.
    Asked,
}

impl Actor {
    async fn run(mut self) {
        let mut failures = 0;
        let mut last = None;
        loop {
            let refused = matches!(last, Some(Failure::Refused(_)));
            let pause = if refused { BACKOFF_CAP } else { backoff(failures) };
            let why = match self.connect(pause).await {
                Some(Ok(stream)) => {
                    failures = 0;
                    last = None;
                    if self.events.send(Event::Online).await.is_err() {
                        return;
                    }
                    match self.attend(stream).await {
                        Over::Broken(why) => why,
                        Over::Asked => return,
                    }
                }
                Some(Err(why)) => why,
                None => return,
            };
            failures += 1;
            if last.as_ref() != Some(&why) && self.events.send(Event::Offline(why.clone())).await.is_err() {
                return;
            }
            last = Some(why);
        }
    }

    /// The next connection, after a pause; `None`: it is not wanted any more. What is to be sent meanwhile is dropped.
    async fn connect(&mut self, pause: Duration) -> Option<Result<Stream, Failure>> {
        let at = Instant::now() + pause;
        let (settings, mut fence) = (&self.settings, self.fence.clone());
        let connecting = async move {
            sleep_until(at).await;
            fence.opened().await;
            let taken = async { head::take_place(head::greet(settings).await?, settings, TIMEOUTS).await };
            timeout(LOGIN, taken).await.unwrap_or_else(|_| Err(no_answer(settings)))
        };
        tokio::pin!(connecting);
        self.held = None;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = self.events.closed() => return None,
                connected = &mut connecting => return Some(connected),
                dropped = self.inbox.recv() => drop(dropped?),
            }
        }
    }

    async fn attend(&mut self, mut stream: Stream) -> Over {
        let mut room = None;
        loop {
            let mut fence = self.fence.clone();
            let open = fence.holds();
            tokio::select! {
                () = self.stop.cancelled() => break,
                reserved = self.events.clone().reserve_owned(), if room.is_none() => match reserved {
                    Ok(reserved) => room = Some(reserved),
                    Err(_) => break,
                },
                read = stream.next(), if room.is_some() => match self.read(read, &mut stream).await {
                    Ok(None) => {}
                    Ok(Some(stanza)) => if let Some(room) = room.take() { drop(room.send(Event::Came(stanza))) },
                    Err(why) => return Over::Broken(why),
                },
                () = fence.opened(), if !open => {}
                stanza = next(&mut self.held, &mut self.inbox), if open => match stanza {
                    // Looked at again: between the last look and this line the process may have been stopped.
                    Some(stanza) if !self.fence.holds() => self.held = Some(stanza),
                    Some(stanza) => if let Err(why) = write(&mut stream, &stanza).await { return Over::Broken(why) },
                    None => break,
                },
            }
        }
        let farewell = async {
            while let Ok(stanza) = self.inbox.try_recv() {
                if !self.fence.holds() || write(&mut stream, &stanza).await.is_err() {
                    break;
                }
            }
            let _gone = stream.shutdown().await;
        };
        let _late = timeout(GOODBYE, farewell).await;
        Over::Asked
    }

    /// What is to be handed on of what was read.
    async fn read(
        &self,
        read: Option<Result<Result<Sent, xso::error::Error>, ReadError>>,
        stream: &mut Stream,
    ) -> Result<Option<Box<Stanza>>, Failure> {
        match read {
            Some(Ok(Ok(Sent::Stanza(Stanza::Iq(Iq::Get { from: Some(from), payload, .. })))))
                if payload.is("ping", ns::PING) && *from.as_str() == *self.settings.domain =>
            {
                Ok(None)
            }
            Some(Ok(Ok(Sent::Stanza(stanza)))) => Ok(Some(Box::new(stanza))),
            Some(Ok(Ok(Sent::Error(error)))) => Err(head::said(&error, &self.settings)),
            Some(Ok(Ok(Sent::Accepted(_)))) => Ok(None),
            Some(Ok(Err(error)) | Err(ReadError::ParseError(error))) => {
                tracing::debug!(%error, "a stanza to the component cannot be understood");
                Ok(None)
            }
            Some(Err(ReadError::SoftTimeout)) => {
                // To ourselves: it comes back by way of the server if that takes us for the component, and needs no other address.
                if self.fence.holds() {
                    write(stream, &self.ping()?).await?;
                }
                Ok(None)
            }
            Some(Err(ReadError::HardError(error))) => Err(Failure::Passing(format!(
                "the connection of the component {} broke: {error}",
                self.settings.domain
            ))),
            Some(Err(ReadError::StreamFooterReceived)) | None => {
                Err(Failure::Passing(format!("the XMPP server hung up on the component {}", self.settings.domain)))
            }
        }
    }

    fn ping(&self) -> Result<Stanza, Failure> {
        let own: Jid = self.settings.domain.parse().map_err(|_| no_answer(&self.settings))?;
        let payload = Element::bare("ping", ns::PING);
        Ok(Iq::Get { from: Some(own.clone()), to: Some(own), id: "alive".into(), payload }.into())
    }
}

/// The next thing to send.
async fn next(held: &mut Option<Box<Stanza>>, inbox: &mut mpsc::Receiver<Box<Stanza>>) -> Option<Box<Stanza>> {
    match held.take() {
        Some(stanza) => Some(stanza),
        None => inbox.recv().await,
    }
}

/// A server that takes nothing is dead.
async fn write(stream: &mut Stream, stanza: &Stanza) -> Result<(), Failure> {
    match timeout(PATIENCE, stream.send(stanza)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::Passing("the XMPP server takes nothing from the component".into())),
    }
}
