//! One desk phone: what it does when it rings, and what it saw.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail};
use tokio::sync::watch;

use super::{
    Ears, Ended, Leg, Shared,
    relay::{Invite, Plug, Relay},
};

/// What a phone does when it rings.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// Rings so long, then answers.
    AnswerAfter(Duration),
    /// Answers after `ringing` and hangs up after `talking`.
    AnswerThenHangUp {
        /// How long it rings.
        ringing: Duration,
        /// How long it talks.
        talking: Duration,
    },
    /// Rings for ever.
    Ignore,
    /// Rejects (cause 21).
    Reject,
    /// Is busy (cause 17).
    Busy,
    /// Forwards to a number, as its owner has set it (SIP 302).
    Forward(&'static str),
}

/// What a phone saw.
#[derive(Debug, Clone)]
pub enum PhoneEvent {
    /// The INVITE came.
    Ringing {
        /// When, monotonic.
        at: Instant,
        /// When, by the clock.
        time: SystemTime,
        /// Number shown.
        number: String,
        /// Name shown.
        name: String,
    },
    /// It answered.
    Answered {
        /// When.
        at: Instant,
    },
    /// The call is over.
    Ended(Ended),
}

/// A desk phone; cheap to clone.
#[derive(Debug, Clone)]
pub struct Phone(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: String,
    relay: Relay,
    shared: Arc<Shared>,
    settings: Mutex<Settings>,
    events: watch::Sender<Vec<PhoneEvent>>,
    current: Mutex<Option<Leg>>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    behaviour: Behaviour,
    ears: Ears,
}

impl Phone {
    pub(super) fn new(number: &str, relay: Relay, shared: Arc<Shared>) -> Self {
        let settings = Mutex::new(Settings { behaviour: Behaviour::Ignore, ears: Ears::Open });
        let (events, _) = watch::channel(Vec::new());
        Self(Arc::new(Inner { number: number.to_owned(), relay, shared, settings, events, current: Mutex::default() }))
    }

    /// Its extension.
    pub fn number(&self) -> &str {
        &self.0.number
    }

    /// What it does with the next call; at first it ignores.
    pub fn behave(&self, behaviour: Behaviour) {
        self.settings().behaviour = behaviour;
    }

    /// Whether it listens to its next calls; at first it does.
    pub fn set_ears(&self, ears: Ears) {
        self.settings().ears = ears;
    }

    /// Pulls the cable: no SIP goes in or out, and nobody is told.
    pub fn unplug(&self) {
        self.0.relay.set_plugged(Plug::Out);
    }

    /// Puts the cable back.
    pub fn plug(&self) {
        self.0.relay.set_plugged(Plug::In);
    }

    /// Dials, as one who lifts this phone: another extension, a feature code.
    ///
    /// # Errors
    /// When Asterisk refuses.
    pub async fn dial(&self, number: &str) -> Result<Leg> {
        let endpoint = format!("PJSIP/{number}@desk-{}", self.0.number);
        self.0.shared.place(&endpoint, &self.0.number, Ears::Open).await
    }

    /// Hands the other side of one of its calls over to the other side of another one, as its key for that does, and waits until
    /// the switchboard says what has become of it: a status of SIP's, 200 when it is done. `to` is the number shown in the Refer-To.
    /// The phone still has both calls then.
    ///
    /// # Errors
    /// When a call is over, or nothing is said within `within`.
    pub async fn hand_over(&self, call: &Leg, to: &str, other: &Leg, within: Duration) -> Result<u16> {
        let mut outcomes = self.0.relay.outcomes();
        let before = outcomes.borrow().len();
        call.transfer(to, Some(&other.dialog().await?)).await?;
        let told = tokio::time::timeout(within, outcomes.wait_for(|outcomes| outcomes.len() > before)).await;
        let told =
            told.with_context(|| format!("phone {} was not told of its transfer within {within:?}", self.0.number))?;
        Ok(told?.get(before).context("there is one more")?.status)
    }

    /// Everything it has seen, in order.
    pub fn events(&self) -> Vec<PhoneEvent> {
        self.0.events.borrow().clone()
    }

    /// Every call that left the switchboard for it, with the moment in which its first INVITE did.
    pub fn invites(&self) -> Vec<Invite> {
        self.0.relay.invites()
    }

    /// When each BYE left it for the switchboard, repeats included.
    pub fn byes(&self) -> Vec<Instant> {
        self.0.relay.byes()
    }

    /// How often it has rung.
    pub fn rings_so_far(&self) -> usize {
        self.0.events.borrow().iter().filter(|event| matches!(event, PhoneEvent::Ringing { .. })).count()
    }

    /// Waits until it has rung `count` times since the start, and yields the last call.
    ///
    /// # Errors
    /// After `within`.
    pub async fn rung(&self, count: usize, within: Duration) -> Result<Leg> {
        let mut events = self.0.events.subscribe();
        let is_there = |events: &Vec<PhoneEvent>| {
            events.iter().filter(|event| matches!(event, PhoneEvent::Ringing { .. })).count() >= count
        };
        if tokio::time::timeout(within, events.wait_for(is_there)).await.is_err() {
            bail!("phone {} did not ring {count} times within {within:?}; it saw: {:?}", self.0.number, self.events());
        }
        self.leg().context("it rang, so there is a call")
    }

    /// Its last incoming call.
    pub fn leg(&self) -> Option<Leg> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Called by the dispatcher, which must not wait.
    pub(super) fn rings(&self, id: &str, number: &str, name: &str) {
        let settings = *self.settings();
        let (at, time) = (Instant::now(), SystemTime::now());
        let (number, name) = (number.to_owned(), name.to_owned());
        let (phone, id) = (self.clone(), id.to_owned());
        let leg = Leg::new(&id, &self.0.shared.ari, Arc::default());
        self.0.shared.legs().insert(id.clone(), leg.clone());
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(leg.clone());
        self.0.events.send_modify(|events| events.push(PhoneEvent::Ringing { at, time, number, name }));
        let watcher = (self.clone(), leg.clone());
        tokio::spawn(async move {
            let (phone, leg) = watcher;
            let mut states = leg.states();
            let first =
                states.wait_for(|state| state.answered.is_some() || state.ended.is_some()).await.map(|s| s.clone());
            if let Some(at) = first.ok().and_then(|state| state.answered) {
                phone.0.events.send_modify(|events| events.push(PhoneEvent::Answered { at }));
            }
            let last = states.wait_for(|state| state.ended.is_some()).await.map(|s| s.clone());
            if let Some(ended) = last.ok().and_then(|state| state.ended) {
                phone.0.events.send_modify(|events| events.push(PhoneEvent::Ended(ended)));
            }
        });
        tokio::spawn(async move {
            // A request fails when the caller has just gone, which shows as the end of the leg.
            let _ = phone.attend(&leg, settings).await;
        });
    }

    async fn attend(&self, leg: &Leg, settings: Settings) -> Result<()> {
        let (ringing, talking) = match settings.behaviour {
            Behaviour::Reject => return leg.hang_up_with(21).await,
            Behaviour::Busy => return leg.hang_up_with(17).await,
            Behaviour::Forward(to) => return leg.transfer(to, None).await,
            Behaviour::Ignore => (None, None),
            Behaviour::AnswerAfter(ringing) => (Some(ringing), None),
            Behaviour::AnswerThenHangUp { ringing, talking } => (Some(ringing), Some(talking)),
        };
        let begin = tokio::time::Instant::now();
        leg.ring().await?;
        let Some(ringing) = ringing else { return Ok(()) };
        if settings.ears == Ears::Open {
            self.0.shared.open_ear(leg).await?;
        }
        tokio::time::sleep_until(begin + ringing).await;
        leg.answer().await?;
        leg.answered(super::CONNECT).await?;
        if settings.ears == Ears::Open {
            let bridge = format!("bridges/b-{}/addChannel", leg.id());
            self.0.shared.ari.post(&bridge, &[("channel", leg.id())]).await?;
        }
        let Some(talking) = talking else { return Ok(()) };
        tokio::time::sleep(talking).await;
        leg.hang_up().await
    }

    fn settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.0.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
