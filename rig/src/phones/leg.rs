//! One call as a phone or a caller sees it: when it rang, was answered and ended, what it heard, what it presses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::sync::watch;

use super::audio::Audio;
use crate::{
    ari::Ari,
    sound::{Heard, Prompts},
};

/// What is heard after the end of a call was on its way before.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a call stands.
#[derive(Debug, Clone, Default)]
pub struct LegState {
    /// The other side's phone rings.
    pub ringing: Option<Instant>,
    /// Answered.
    pub answered: Option<Instant>,
    /// Keys that the other side pressed (RFC 4733).
    pub digits: String,
    /// Over.
    pub ended: Option<Ended>,
}

/// The end of a call.
#[derive(Debug, Clone)]
pub struct Ended {
    /// When we saw it.
    pub at: Instant,
    /// Q.850 number; 16 is a normal end, 17 busy, 19 no answer, 21 rejected.
    pub cause: u64,
    /// Who ended it.
    pub by: Side,
}

/// A side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This phone or caller.
    Us,
    /// The switchboard.
    Them,
}

/// Whether the other side is on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// A call leg; cheap to clone.
#[derive(Debug, Clone)]
pub struct Leg(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    ari: Ari,
    audio: Arc<Audio>,
    state: watch::Sender<LegState>,
    let_go: AtomicBool,
}

impl Leg {
    pub(super) fn new(id: &str, ari: &Ari, audio: Arc<Audio>) -> Self {
        let (state, _) = watch::channel(LegState::default());
        Self(Arc::new(Inner { id: id.to_owned(), ari: ari.clone(), audio, state, let_go: AtomicBool::new(false) }))
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut LegState)) {
        self.0.state.send_modify(change);
    }

    pub(super) fn states(&self) -> watch::Receiver<LegState> {
        self.0.state.subscribe()
    }

    pub(super) fn shared_audio(&self) -> Arc<Audio> {
        Arc::clone(&self.0.audio)
    }

    pub(super) fn end(&self, cause: u64) {
        let by = if self.0.let_go.load(Ordering::Relaxed) { Side::Us } else { Side::Them };
        self.update(|state| {
            state.ended.get_or_insert(Ended { at: Instant::now(), cause, by });
        });
    }

    /// The channel's id on the phones' Asterisk.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// How it stands now.
    pub fn state(&self) -> LegState {
        self.0.state.borrow().clone()
    }

    /// What it hears and says.
    pub fn audio(&self) -> &Audio {
        &self.0.audio
    }

    /// Waits for a state.
    ///
    /// # Errors
    /// After `within`, with the state it is in.
    pub async fn wait_for(&self, what: &str, within: Duration, is: impl FnMut(&LegState) -> bool) -> Result<LegState> {
        let mut states = self.0.state.subscribe();
        let found = tokio::time::timeout(within, states.wait_for(is)).await;
        match found {
            Ok(state) => Ok(state.context("the phones are gone")?.clone()),
            Err(_) => anyhow::bail!("{what}: not within {within:?}; the call stands so: {:?}", self.state()),
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// After `within`.
    pub async fn answered(&self, within: Duration) -> Result<Instant> {
        let state = self.wait_for("answered", within, |state| state.answered.is_some()).await?;
        state.answered.context("answered")
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// After `within`.
    pub async fn hung_up(&self, within: Duration) -> Result<Ended> {
        let state = self.wait_for("hung up", within, |state| state.ended.is_some()).await?;
        state.ended.context("ended")
    }

    /// Waits until a prompt has been heard, after the one waited for last.
    ///
    /// # Errors
    /// After `within`, and at once when the call is over: with what was heard instead and how the call stands.
    pub async fn wait_for_prompt(&self, prompts: &Prompts, name: &str, within: Duration) -> Result<Heard> {
        match self.0.audio.wait_for_prompt(prompts, name, within, || self.is_silent_for_good()).await {
            Err(error) => Err(self.explained(error).await),
            heard => heard,
        }
    }

    /// Waits until a tone has been heard for 300 ms, beginning now.
    ///
    /// # Errors
    /// As [`Leg::wait_for_prompt`].
    pub async fn wait_for_tone(&self, hertz: u32, within: Duration) -> Result<()> {
        match self.0.audio.wait_for_tone(hertz, within, || self.is_silent_for_good()).await {
            Err(error) => Err(self.explained(error).await),
            heard => heard,
        }
    }

    /// The call is over, and what was on its way then has been heard.
    fn is_silent_for_good(&self) -> bool {
        self.0.state.borrow().ended.as_ref().is_some_and(|ended| ended.at.elapsed() > LAST_WORDS)
    }

    async fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        // An error of its own is an answer as well.
        let ask = async |path: String| match self.0.ari.get(&path).await {
            Ok(answer) => answer.to_string(),
            Err(error) => format!("{error:#}"),
        };
        let id = &self.0.id;
        let (bridge, carried) =
            (ask(format!("bridges/b-{id}")).await, ask(format!("channels/{id}/rtp_statistics")).await);
        error.context(format!("leg {id} stands so: {:?}; its bridge: {bridge}; its RTP: {carried}", self.state()))
    }

    /// Presses keys: 110 ms each, 100 ms between, by RFC 4733. Returns when Asterisk has taken the order.
    ///
    /// # Errors
    /// When the call is over.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let query = [("dtmf", keys), ("duration", "110"), ("between", "100"), ("before", "0"), ("after", "0")];
        self.0.ari.post(&format!("channels/{}/dtmf", self.0.id), &query).await.map(drop)
    }

    /// Hangs up.
    ///
    /// # Errors
    /// When Asterisk does not answer.
    pub async fn hang_up(&self) -> Result<()> {
        self.hang_up_with(16).await
    }

    pub(super) async fn hang_up_with(&self, cause: u32) -> Result<()> {
        self.0.let_go.store(true, Ordering::Relaxed);
        let cause = cause.to_string();
        self.0.ari.delete(&format!("channels/{}", self.0.id), &[("reason_code", &cause)]).await
    }

    /// Answers a phone that rings and was told to do nothing; whatever the phone does is up to the caller of this.
    ///
    /// # Errors
    /// When the call is over.
    pub async fn answer(&self) -> Result<()> {
        self.0.ari.post(&format!("channels/{}/answer", self.0.id), &[]).await.map(drop)
    }

    /// Presses the phone's own transfer key and dials: the switchboard is asked to send the other side there (REFER). With
    /// `replaces`, to the far end of another call of this phone, as [`Leg::dialog`] gives it.
    ///
    /// # Errors
    /// When the call is over.
    pub async fn transfer(&self, number: &str, replaces: Option<&str>) -> Result<()> {
        let replaces = replaces.map(|dialog| format!("?Replaces={dialog}")).unwrap_or_default();
        let to = format!("PJSIP/sip:{number}@127.0.0.1{replaces}");
        // Out of its ear's bridge, which would read the answer that the transfer waits for. One without ears is in none.
        let _ = self.0.ari.post(&format!("bridges/b-{}/removeChannel", self.0.id), &[("channel", &self.0.id)]).await;
        self.0.ari.post(&format!("channels/{}/redirect", self.0.id), &[("endpoint", &to)]).await.map(drop)
    }

    /// The SIP dialog of this call, in the form that a Refer-To header needs (RFC 3891, escaped).
    ///
    /// # Errors
    /// When the call is over.
    pub async fn dialog(&self) -> Result<String> {
        let mut values = Vec::new();
        for name in ["call-id", "remote_tag", "local_tag"] {
            let path = format!("channels/{}/variable?variable=CHANNEL(pjsip,{name})", self.0.id);
            let answer = self.0.ari.get(&path).await?;
            values.push(answer.get("value").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned());
        }
        Ok(format!("{}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", values[0].replace('@', "%40"), values[1], values[2]))
    }

    /// Puts the other side on hold, and takes it back (re-INVITE).
    ///
    /// # Errors
    /// When the call is over.
    pub async fn hold(&self, hold: Hold) -> Result<()> {
        let path = format!("channels/{}/hold", self.0.id);
        match hold {
            Hold::On => self.0.ari.post(&path, &[]).await.map(drop),
            Hold::Off => self.0.ari.delete(&path, &[]).await,
        }
    }

    pub(super) async fn ring(&self) -> Result<()> {
        self.0.ari.post(&format!("channels/{}/ring", self.0.id), &[]).await.map(drop)
    }
}
