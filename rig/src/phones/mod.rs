//! The desk phones and the callers: a second Asterisk that registers, answers, dials and presses keys over real SIP.
//!
//! It owns what phones and callers do and see. It knows nothing of the service.

mod audio;
mod conf;
mod desk;
mod leg;
mod relay;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{
    net::UdpSocket,
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

pub use audio::Audio;
pub use desk::{Behaviour, Phone, PhoneEvent};
pub use leg::{Ended, Hold, Leg, LegState, Side};

use crate::{
    ari::Ari,
    asterisk::Asterisk,
    instance::{Instance, password},
    pbx::Pbx,
};
pub use relay::Invite;
use relay::Relay;

const APP: &str = "phones";
/// Time for Asterisk to connect an ear; far more than it takes.
const CONNECT: Duration = Duration::from_secs(5);

/// A call to be placed from outside.
#[derive(Debug, Clone)]
pub struct CallSpec {
    /// The caller's number; `None` is withheld.
    pub from: Option<String>,
    /// What is dialled.
    pub to: String,
    /// Whether what the caller hears is listened to.
    pub ears: Ears,
}

impl CallSpec {
    /// A caller who listens.
    pub fn new(from: &str, to: &str) -> Self {
        Self { from: Some(from.to_owned()), to: to.to_owned(), ears: Ears::Open }
    }
}

/// Whether a leg has ears; without, it costs less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ears {
    /// It hears and can speak.
    Open,
    /// It neither hears nor speaks.
    Closed,
}

/// All phones and callers.
#[derive(Debug)]
pub struct Phones {
    asterisk: Asterisk,
    shared: Arc<Shared>,
    phones: BTreeMap<String, Phone>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    ari: Ari,
    legs: Mutex<HashMap<String, Leg>>,
    /// By the channel that carries a leg's audio.
    ears: Mutex<HashMap<String, Ear>>,
}

#[derive(Debug, Default)]
struct Ear {
    /// Told when Asterisk has the channel.
    there: Arc<Notify>,
    /// Carries the audio until it is dropped.
    carrier: Option<AbortOnDropHandle<()>>,
}

impl Deref for Phones {
    type Target = Asterisk;

    fn deref(&self) -> &Asterisk {
        &self.asterisk
    }
}

impl Phones {
    /// Starts them, one desk phone for each extension of `pbx`; they register by themselves.
    ///
    /// # Errors
    /// When Asterisk does not start.
    pub async fn start(instance: &Instance, pbx: &Pbx) -> Result<Self> {
        let (sip, outside, http) = (instance.port()?, instance.port()?, instance.port()?);
        let rtp = instance.port_block()?;
        let secret = password();
        let mut numbers = BTreeMap::new();
        let mut relays = BTreeMap::new();
        for (number, password) in pbx.phone_passwords() {
            let port = instance.port()?;
            let relay =
                Relay::start(port, ([127, 0, 0, 1], sip).into(), ([127, 0, 0, 1], pbx.sip_port()).into()).await?;
            relays.insert(number.clone(), relay);
            numbers.insert(number.clone(), (password.clone(), port));
        }
        let ari = Ari::new(http, "rig", &secret)?;
        let asterisk = Asterisk::start(instance, "phones", ari.clone(), |folder| {
            let pbx_sip = pbx.sip_port();
            let places = conf::Places { sip, outside, http, rtp, pbx_sip, password: &secret, phones: &numbers };
            conf::write(&folder.join("etc"), &places)
        })
        .await?;
        // By itself Asterisk registers a second after its start.
        asterisk.cli("pjsip send register *all").await?;
        let (events, reader) = ari.events(APP).await?;
        let shared = Arc::new(Shared { ari, legs: Mutex::default(), ears: Mutex::default() });
        let phones: BTreeMap<_, _> = relays
            .into_iter()
            .map(|(number, relay)| (number.clone(), Phone::new(&number, relay, Arc::clone(&shared))))
            .collect();
        let task = tokio::spawn(dispatch(events, Arc::clone(&shared), phones.clone(), reader));
        Ok(Self { asterisk, shared, phones, task })
    }

    /// A desk phone.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn phone(&self, number: &str) -> Result<&Phone> {
        self.phones.get(number).with_context(|| format!("no phone {number:?}: name it when the rig is built"))
    }

    /// All desk phones.
    pub fn all(&self) -> impl Iterator<Item = &Phone> {
        self.phones.values()
    }

    /// Places a call from outside; returns when it is on its way.
    ///
    /// # Errors
    /// When Asterisk refuses.
    pub async fn call(&self, spec: &CallSpec) -> Result<Leg> {
        match &spec.from {
            Some(number) => self.shared.place(&format!("PJSIP/{}@outside", spec.to), number, spec.ears).await,
            None => self.shared.place(&format!("PJSIP/{}@withheld", spec.to), "anonymous", spec.ears).await,
        }
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn place(self: &Arc<Self>, endpoint: &str, number: &str, ears: Ears) -> Result<Leg> {
        let id = format!("leg-{}", Uuid::new_v4().simple());
        let leg = self.new_leg(&id, ears).await?;
        let query =
            [("endpoint", endpoint), ("app", APP), ("appArgs", "leg"), ("timeout", "120"), ("callerId", number)];
        let answer = self.ari.request(reqwest::Method::POST, &format!("channels/{id}"), &query, None).await?;
        if answer.status >= 300 {
            self.forget(&leg).await;
            anyhow::bail!("the call to {endpoint} was refused: {} {}", answer.status, answer.body);
        }
        Ok(leg)
    }

    /// Registers a leg before Asterisk hears of it, its ear and bridge made beforehand so that nothing said is missed.
    async fn new_leg(self: &Arc<Self>, id: &str, ears: Ears) -> Result<Leg> {
        let leg = Leg::new(id, &self.ari, Arc::default());
        self.legs().insert(id.to_owned(), leg.clone());
        if ears == Ears::Open {
            self.open_ear(&leg).await?;
            let (shared, own) = (Arc::clone(self), leg.clone());
            tokio::spawn(async move {
                let mut states = own.states();
                let settled = states.wait_for(|state| state.answered.is_some() || state.ended.is_some()).await;
                let talks = settled.is_ok_and(|state| state.ended.is_none());
                if talks {
                    // It fails when the call has just ended, which shows as its end.
                    let _ =
                        shared.ari.post(&format!("bridges/b-{}/addChannel", own.id()), &[("channel", own.id())]).await;
                }
            });
        }
        Ok(leg)
    }

    async fn open_ear(&self, leg: &Leg) -> Result<()> {
        let ear = format!("ear-{}", leg.id());
        let there = Arc::new(Notify::new());
        self.ears().insert(ear.clone(), Ear { there: Arc::clone(&there), carrier: None });
        let bridge = format!("bridges/b-{}", leg.id());
        self.ari.post(&bridge, &[("type", "mixing")]).await?;
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let host = socket.local_addr()?.to_string();
        let query = [("channelId", ear.as_str()), ("app", APP), ("external_host", &host), ("format", "ulaw")];
        self.ari.post("channels/externalMedia", &query).await?;
        tokio::time::timeout(CONNECT, there.notified()).await.context("Asterisk did not connect the ear of a leg")?;
        let port = self.ari.get(&format!("channels/{ear}/variable?variable=UNICASTRTP_LOCAL_PORT")).await?;
        let port = port.get("value").and_then(Value::as_str).context("no UNICASTRTP_LOCAL_PORT")?.parse::<u16>()?;
        let carrier = audio::carry(socket, ([127, 0, 0, 1], port).into(), leg.shared_audio());
        if let Some(entry) = self.ears().get_mut(&ear) {
            entry.carrier = Some(carrier);
        }
        self.ari.post(&format!("{bridge}/addChannel"), &[("channel", &ear)]).await.map(drop)
    }

    async fn forget(&self, leg: &Leg) {
        self.legs().remove(leg.id());
        let ear = format!("ear-{}", leg.id());
        let had_one = self.ears().remove(&ear).is_some();
        if had_one {
            // What cannot be removed goes with the rig.
            let _ = self.ari.delete(&format!("channels/{ear}"), &[]).await;
            let _ = self.ari.delete(&format!("bridges/b-{}", leg.id()), &[]).await;
        }
    }

    fn ears(&self) -> std::sync::MutexGuard<'_, HashMap<String, Ear>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn legs(&self) -> std::sync::MutexGuard<'_, HashMap<String, Leg>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn dispatch(
    mut events: mpsc::Receiver<Value>,
    shared: Arc<Shared>,
    phones: BTreeMap<String, Phone>,
    _reader: JoinHandle<()>,
) {
    while let Some(event) = events.recv().await {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let id = text("/channel/id");
        let leg = shared.legs().get(id).cloned();
        match text("/type") {
            "StasisStart" if id.starts_with("ear-") => {
                if let Some(ear) = shared.ears().get(id) {
                    ear.there.notify_one();
                }
            }
            "StasisStart" if text("/args/0") == "desk" => {
                if let Some(phone) = phones.get(text("/args/1")) {
                    phone.rings(id, text("/channel/caller/number"), text("/channel/caller/name"));
                }
            }
            "StasisStart" => {
                if let Some(leg) = leg {
                    leg.update(|state| {
                        state.answered.get_or_insert_with(Instant::now);
                    });
                }
            }
            "ChannelStateChange" => match (leg, text("/channel/state")) {
                (Some(leg), "Ringing") => leg.update(|state| {
                    state.ringing.get_or_insert_with(Instant::now);
                }),
                (Some(leg), "Up") if !id.starts_with("leg-") => leg.update(|state| {
                    state.answered.get_or_insert_with(Instant::now);
                }),
                _ => {}
            },
            "ChannelDtmfReceived" => {
                if let Some(leg) = leg {
                    leg.update(|state| state.digits.push_str(text("/digit")));
                }
            }
            "ChannelDestroyed" => {
                if let Some(leg) = leg {
                    leg.end(event.get("cause").and_then(Value::as_u64).unwrap_or(0));
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move { shared.forget(&leg).await });
                }
            }
            _ => {}
        }
    }
}
