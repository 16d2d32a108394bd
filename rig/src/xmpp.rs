//! A small XMPP client of the rig's own: what an agent's program or a stranger's sees and may do.
//!
//! It connects once over STARTTLS, checks the certificate against the rig's authority, and does not reconnect: its end
//! is something a test wants to see.

use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sasl::common::Credentials;
use tokio::{
    io::BufStream,
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_xmpp::{
    Stanza, client_login,
    stanzastream::{Connection, Event, StanzaStream, StreamEvent},
    xmlstream::{ReadError, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream},
};
use xmpp_parsers::{
    iq::{Iq, IqHeader, IqPayload},
    jid::{BareJid, Jid},
    message::Message,
    minidom::Element,
    ns,
    presence::{Presence, Type as PresenceType},
    starttls,
};

use crate::prosody::{DOMAIN, PUBSUB, Prosody};

/// Stanzas on their way; a test client never has many.
const DEPTH: usize = 64;
const LOGIN: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);

/// A message as received.
#[derive(Debug, Clone)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// Who sent it.
    pub from: Option<Jid>,
    /// Its text, if it has one.
    pub body: Option<String>,
    /// All of it.
    pub message: Message,
}

/// What a client knows of others' presence: every one as received.
type Presences = watch::Sender<Vec<Presence>>;

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Iq>>>>;

/// A logged-in client.
#[derive(Debug)]
pub struct Client {
    jid: BareJid,
    outgoing: mpsc::Sender<Stanza>,
    waiting: Waiting,
    messages: watch::Sender<Vec<Received>>,
    presences: Presences,
    task: JoinHandle<()>,
}

impl Client {
    /// Logs in one of the rig's accounts and becomes available.
    ///
    /// # Errors
    /// When there is no such account or the server refuses.
    pub async fn connect(prosody: &Prosody, account: &str) -> Result<Self> {
        let jid: BareJid = format!("{account}@{DOMAIN}").parse()?;
        let password = prosody.password(account)?;
        let connection = tokio::time::timeout(LOGIN, login(prosody, &jid, &password)).await.context("no login")??;
        let mut first = Some(connection);
        let mut stream = StanzaStream::new(
            Box::new(move |_, mut slot| match first.take() {
                // The stream is there and waits for it.
                Some(connection) => drop(slot.send(connection)),
                // The library takes a dropped slot for a defect, and panics.
                None => drop(tokio::spawn(async move { slot.closed().await })),
            }),
            DEPTH,
        );
        let online = stream.next().await;
        if !matches!(online, Some(Event::Stream(_))) {
            bail!("{jid} did not come online: {online:?}");
        }
        let (outgoing, queue) = mpsc::channel(DEPTH);
        let waiting = Waiting::default();
        let (messages, _) = watch::channel(Vec::new());
        let (presences, _) = watch::channel(Vec::new());
        let (available, told) = oneshot::channel();
        let task =
            tokio::spawn(run(stream, queue, Arc::clone(&waiting), messages.clone(), presences.clone(), available));
        let client = Self { jid, outgoing, waiting, messages, presences, task };
        client.set_presence(Presence::new(PresenceType::None)).await?;
        // A server sends one's own presence back (RFC 6121, 4.2.2): from then on messages come here. One that came a
        // moment earlier would have bounced.
        tokio::time::timeout(LOGIN, told).await.context("the server did not take the presence")??;
        Ok(client)
    }

    /// Its bare JID.
    pub fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// Whether its stream still stands. It is not made again.
    pub fn is_connected(&self) -> bool {
        !self.task.is_finished()
    }

    /// Every message so far.
    pub fn messages(&self) -> Vec<Received> {
        self.messages.borrow().clone()
    }

    /// Waits for a message, those that have come already included.
    ///
    /// # Errors
    /// After `within`, with what came instead.
    pub async fn wait_for_message(&self, within: Duration, is: impl Fn(&Received) -> bool) -> Result<Received> {
        let mut messages = self.messages.subscribe();
        let found = tokio::time::timeout(within, messages.wait_for(|all| all.iter().any(&is))).await;
        match found {
            Ok(all) => all?.iter().find(|message| is(message)).cloned().context("it was there"),
            Err(_) => {
                let bodies: Vec<_> = self.messages().into_iter().map(|message| message.body).collect();
                bail!("{} did not get the message within {within:?}; it got: {bodies:?}", self.jid)
            }
        }
    }

    /// Every presence so far, its own among them.
    pub fn presences(&self) -> Vec<Presence> {
        self.presences.borrow().clone()
    }

    /// Waits for a presence, those after the first `seen` that have come already included; yields it and how many were seen with it.
    ///
    /// # Errors
    /// After `within`, with what came instead.
    pub async fn wait_for_presence(
        &self,
        within: Duration,
        seen: usize,
        is: impl Fn(&Presence) -> bool,
    ) -> Result<(Presence, usize)> {
        let mut presences = self.presences.subscribe();
        let place = |all: &Vec<Presence>| all.iter().skip(seen).position(&is);
        match tokio::time::timeout(within, presences.wait_for(|all| place(all).is_some())).await {
            Ok(all) => {
                let all = all?;
                let at = seen + place(&all).context("it was there")?;
                Ok((all.get(at).cloned().context("it was there")?, at + 1))
            }
            Err(_) => {
                let came: Vec<_> = self.presences().into_iter().skip(seen).collect();
                bail!("{} did not get the presence within {within:?}; it got: {came:?}", self.jid)
            }
        }
    }

    /// Says how available it is.
    ///
    /// # Errors
    /// When the stream has ended.
    pub async fn set_presence(&self, presence: Presence) -> Result<()> {
        self.send(presence.into()).await
    }

    /// Sends any stanza.
    ///
    /// # Errors
    /// When the stream has ended.
    pub async fn send(&self, stanza: Stanza) -> Result<()> {
        self.outgoing.send(stanza).await.context("the stream has ended")
    }

    /// Asks, and yields the answer: a result's payload, or an error that names the condition.
    ///
    /// # Errors
    /// When the answer is an error or does not come.
    pub async fn request(&self, to: &str, payload: IqPayload) -> Result<Option<Element>> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
        let to: Jid = to.parse()?;
        let header = IqHeader { from: None, to: Some(to.clone()), id };
        self.send(Iq::assemble(header, payload).into()).await?;
        let answer = tokio::time::timeout(ANSWER, answer).await.context("no answer")??;
        // Of one's own account a server may leave it out.
        if let Some(from) = answer.from().filter(|from| **from != to) {
            bail!("{from} answers what {to} was asked");
        }
        match answer {
            Iq::Result { payload, .. } => Ok(payload),
            Iq::Error { error, .. } => bail!("refused: {:?}", error.defined_condition),
            Iq::Get { .. } | Iq::Set { .. } => bail!("not an answer"),
        }
    }

    /// Subscribes to a node of the pubsub service.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn subscribe(&self, node: &str) -> Result<()> {
        let subscribe = element("subscribe").attr(name("node"), node).attr(name("jid"), self.jid.as_str()).build();
        self.request(PUBSUB, IqPayload::Set(pubsub(subscribe))).await.map(drop)
    }

    /// The items of a node, each as it is on the wire.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn items(&self, node: &str) -> Result<Vec<Element>> {
        let items = element("items").attr(name("node"), node).build();
        let answer = self.request(PUBSUB, IqPayload::Get(pubsub(items))).await?.context("an empty answer")?;
        let items = answer.get_child("items", ns::PUBSUB).context("an answer without items")?;
        Ok(items.children().filter(|child| child.is("item", ns::PUBSUB)).cloned().collect())
    }

    /// Makes a node that keeps its items and that everybody may read; only administrators of the service may.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, node: &str) -> Result<()> {
        let create = element("create").attr(name("node"), node).build();
        let form = "<configure xmlns='http://jabber.org/protocol/pubsub'><x xmlns='jabber:x:data' type='submit'>\
            <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#node_config</value></field>\
            <field var='pubsub#persist_items'><value>1</value></field></x></configure>";
        let request = element("pubsub").append(create).append(form.parse::<Element>()?).build();
        self.request(PUBSUB, IqPayload::Set(request)).await.map(drop)
    }

    /// Takes an item away, and those who subscribed are told.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn retract(&self, node: &str, id: &str) -> Result<()> {
        let item = element("item").attr(name("id"), id).build();
        let retract = element("retract").attr(name("node"), node).attr(name("notify"), "1").append(item).build();
        self.request(PUBSUB, IqPayload::Set(pubsub(retract))).await.map(drop)
    }

    /// Tries to publish an item.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn publish(&self, node: &str, id: &str, payload: Element) -> Result<()> {
        let item = element("item").attr(name("id"), id).append(payload).build();
        let publish = element("publish").attr(name("node"), node).append(item).build();
        self.request(PUBSUB, IqPayload::Set(pubsub(publish))).await.map(drop)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn name(text: &str) -> xmpp_parsers::minidom::rxml::NcName {
    text.to_owned().try_into().expect("a plain word")
}

fn element(name: &str) -> xmpp_parsers::minidom::element::ElementBuilder {
    Element::builder(name, ns::PUBSUB)
}

fn pubsub(child: Element) -> Element {
    element("pubsub").append(child).build()
}

async fn run(
    mut stream: StanzaStream,
    mut queue: mpsc::Receiver<Stanza>,
    waiting: Waiting,
    messages: watch::Sender<Vec<Received>>,
    presences: Presences,
    available: oneshot::Sender<()>,
) {
    let mut available = Some(available);
    loop {
        tokio::select! {
            event = stream.next() => match event {
                Some(Event::Stanza(Stanza::Message(message))) => {
                    let body = message.get_best_body(vec![]).map(|(_, body)| body.clone());
                    let from = message.from.clone();
                    messages.send_modify(|all| all.push(Received { at: Instant::now(), from, body, message }));
                }
                Some(Event::Stanza(Stanza::Presence(presence))) => {
                    presences.send_modify(|all| all.push(presence));
                    if let Some(available) = available.take() {
                        // Who waits for it may have given up.
                        let _ = available.send(());
                    }
                }
                Some(Event::Stanza(Stanza::Iq(iq @ (Iq::Result { .. } | Iq::Error { .. })))) => {
                    let asked = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(iq.id());
                    if let Some(asked) = asked {
                        // Who asked may have given up.
                        let _ = asked.send(iq);
                    }
                }
                Some(Event::Stream(StreamEvent::Suspended)) | None => return,
                Some(_) => {}
            },
            stanza = queue.recv() => match stanza {
                Some(stanza) => drop(stream.send(Box::new(stanza)).await),
                None => return,
            },
        }
    }
}

fn header() -> StreamHeader<'static> {
    StreamHeader { to: Some(Cow::Borrowed(DOMAIN)), from: None, id: None }
}

/// A connection that is encrypted, and on which nothing was said since.
///
/// # Errors
/// When the server refuses it.
pub async fn encrypted(prosody: &Prosody) -> Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(prosody.address()).await?;
    tcp.set_nodelay(true)?;
    let plain = initiate_stream(BufStream::new(tcp), ns::JABBER_CLIENT, header(), Timeouts::default()).await?;
    let (_, mut plain): (_, XmppStream<_>) = plain.recv_features().await?;
    plain.send(&XmppStreamElement::Starttls(starttls::Nonza::Request(starttls::Request))).await?;
    loop {
        match plain.next().await.map(|read| read.and_then(|element| element.into_read_error())) {
            Some(Ok(XmppStreamElement::Starttls(starttls::Nonza::Proceed(_)))) => break,
            Some(Ok(_) | Err(ReadError::SoftTimeout)) => {}
            Some(Err(ReadError::HardError(error))) => return Err(error.into()),
            Some(Err(error)) => bail!("before TLS: {error:?}"),
            None => bail!("the server closed the stream before TLS"),
        }
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&prosody.certificate().authority)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let server = ServerName::try_from(DOMAIN).map_err(io::Error::other)?;
    Ok(TlsConnector::from(Arc::new(config)).connect(server, plain.into_inner().into_inner()).await?)
}

async fn login(prosody: &Prosody, jid: &BareJid, password: &str) -> Result<Connection> {
    let tls = encrypted(prosody).await?;
    let pending = initiate_stream(BufStream::new(tls), ns::JABBER_CLIENT, header(), Timeouts::default()).await?;
    let (features, stream) = pending.recv_features().await?;
    let user = jid.node().context("an account has a name")?.as_str();
    let credentials = Credentials::default().with_username(user).with_password(password);
    let stream = client_login(stream, features.sasl_mechanisms, credentials).await?;
    let (features, stream) = stream.send_header(header()).await?.recv_features().await?;
    Ok(Connection { stream: stream.box_stream(), features, identity: jid.clone().into() })
}
