//! A caller on the floor: who they are, what they wait for, and how far their offer has come.
//!
//! Long, because a caller is one record: each part of it (offers, announcements, transfer, consultation, callback, recording) is only to be
//! understood beside the others, whose states it excludes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    fact::Hold,
    id::{BridgeId, CallId, ChannelId, Extension, OfferNo, QueueName, ServerId},
    now::Now,
    pop::{Pop, PopState},
    queue::{
        callback::{Callback, Reach},
        keys::Keys,
        roster::{CallerId, Customer},
    },
};

/// A caller as they come to the floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Id of the call, chosen by us.
    pub call: CallId,
    /// Asterisk that has the caller.
    pub server: ServerId,
    /// The caller's leg.
    pub channel: ChannelId,
    /// Queue that the dialplan names.
    pub queue: QueueName,
    /// Whose code was entered.
    pub customer: Customer,
    /// Who calls.
    pub caller: CallerId,
    /// Higher is served before lower.
    pub priority: i32,
    /// Whom they may be given.
    pub penalties: Penalties,
    /// Who was transferring them when an earlier run of the service ended, and was not heard of again.
    pub returns_to: Option<Extension>,
    /// Since when they wait, for one who has the place of an earlier call; `None`: since they entered.
    pub since: Option<Timestamp>,
}

/// The penalties of members whom a caller may be given, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalties {
    /// None with a lower one.
    pub least: u32,
    /// None with a higher one.
    pub most: u32,
}

impl Penalties {
    /// Any member.
    pub const ALL: Self = Self { least: 0, most: u32::MAX };

    /// Whether a member with that penalty is among them.
    pub fn contains(self, penalty: u32) -> bool {
        (self.least..=self.most).contains(&penalty)
    }
}

/// A place in line; the lower is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Who talked already and was lost in a transfer comes first,
    pub turn: Turn,
    /// higher priority before lower,
    pub priority: Reverse<i32>,
    /// then who has waited longer in this queue,
    pub since: Instant,
    /// then who came first; unique.
    pub ticket: u64,
}

/// How a caller came into their line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// Back from a transfer that failed: before all others.
    Returned,
    /// At its end.
    Usual,
}

/// A transfer that is under way: the caller is for one party only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The agent who asked for it.
    pub from: Extension,
    /// How far it has come.
    pub step: TransferStep,
    /// Before this moment the agent's own phone is not rung, see [`TransferStep::Back`]; while it is, since when.
    pub free_from: Instant,
}

/// How far a transfer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferStep {
    /// To this party, who is rung at once or not at all.
    To(Extension),
    /// It failed: back to the agent, as soon as their phone can ring, or not at all after this moment. A phone that is still in its old
    /// call refuses at once, and is rung again some moments later.
    Back {
        /// End of the bound.
        until: Instant,
    },
}

impl Transfer {
    /// Who is to have the caller now.
    pub fn party(&self) -> &Extension {
        match &self.step {
            TransferStep::To(party) => party,
            TransferStep::Back { .. } => &self.from,
        }
    }

    /// Until when nothing is to be done, although nobody is rung: the agent's phone is not free yet, as far as Asterisk knows (`ready`) or
    /// by its own account.
    pub fn waits_until(&self, ready: bool, now: Instant) -> Option<Instant> {
        match self.step {
            TransferStep::To(_) => None,
            TransferStep::Back { .. } if self.free_from > now => Some(self.free_from),
            TransferStep::Back { until } => (!ready && until > now).then_some(until),
        }
    }
}

/// An agent who talks with the caller asks somebody else: the caller hears music meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Consultation {
    /// No.
    #[default]
    None,
    /// The agent hears that somebody is rung, or talks with them.
    With(Consulted),
    /// It is over: the caller and whoever has the talk are being joined again.
    Over {
        /// Who was consulted, as far as this run of the service knows.
        with: Option<Extension>,
        /// When to ask for it again.
        due: Instant,
    },
}

/// Who is consulted. They are no offer: they have no pop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consulted {
    /// Their leg, numbered like those of offers.
    pub number: OfferNo,
    /// Who they are.
    pub extension: Extension,
    /// How far it has come.
    pub step: ConsultStep,
}

impl Consulted {
    /// Whether their phone rings.
    pub fn is_rung(&self) -> bool {
        matches!(self.step, ConsultStep::Ringing { .. })
    }
}

/// How far a consultation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsultStep {
    /// Their phone rings until then.
    Ringing {
        /// End of the ring time.
        until: Instant,
    },
    /// They have answered, and are being joined with the agent.
    Joining {
        /// When to ask for it again.
        due: Instant,
    },
    /// They talk.
    Talking,
}

/// Where the caller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In line.
    Waiting,
    /// Members are reserved: their pops are on the way, or their phones ring.
    Offered,
    /// A member has answered, and the caller is being called back.
    Calling,
    /// For one party, and in no line: see [`Caller::transfer`]. With an offer to them, or waiting until there can be one.
    Transferred,
    /// A member has answered; the two are being joined.
    Joining,
    /// They talk; or the agent asks somebody else, see [`Caller::consultation`].
    Talking,
}

/// How far an offer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferState {
    /// The pop must be confirmed before the phone rings, or this moment be over.
    Popping {
        /// End of the bound.
        until: Instant,
    },
    /// The member's phone rings until then.
    Ringing {
        /// End of the ring time.
        until: Instant,
    },
    /// The member has answered.
    Answered,
}

/// An offer a caller has out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which one of the call.
    pub number: OfferNo,
    /// To whom.
    pub extension: Extension,
    /// How far it has come.
    pub state: OfferState,
}

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// As they came.
    pub arrival: Arrival,
    /// When they came.
    pub entered: Now,
    /// When they came into the queue that they wait in now.
    pub since: Instant,
    /// From when the queue timeout counts: later than `since` for one who took over an earlier place.
    pub timed_from: Instant,
    /// Place in the order of arrival, over all queues.
    pub ticket: u64,
    /// What they asked for by a key; `None`: nothing.
    pub callback: Option<Callback>,
    /// Where they stand.
    pub stage: Stage,
    /// Offers that are out: none while [`Stage::Waiting`], one or more while [`Stage::Offered`], at most one while
    /// [`Stage::Transferred`], one from then on.
    pub offers: BTreeMap<OfferNo, Offer>,
    /// Who missed or refused this call and is skipped for it, or until the next round.
    pub skipped: BTreeSet<Extension>,
    /// Queues that they were in before: they do not come back to one.
    pub been: BTreeSet<QueueName>,
    /// When the next round begins, in which nobody is skipped; `None`: never.
    pub retry_at: Option<Instant>,
    /// The time is over for which they were given to nobody but who asked for them.
    pub claims_are_over: bool,
    /// The transfer that brought them here, until somebody has them.
    pub transfer: Option<Transfer>,
    /// How they came into their line.
    pub turn: Turn,
    /// What the member presses in the talk.
    pub keys: Keys,
    /// Whether they are on hold in the talk; `None`: a talk of an earlier run, in which nobody knows.
    pub hold: Option<Hold>,
    /// Whom the member asks in the talk.
    pub consultation: Consultation,
    last_offer: u32,
    revision: u32,
    rang: Rang,
    join_due: Option<Instant>,
    before_join: BeforeJoin,
    bridged: Bridged,
    sound: Sound,
    /// What they are told while they wait.
    pub told: Told,
    /// Whether they were told on entering their queue that it records.
    pub told_of_recording: bool,
    /// How far the recording of this talk has come.
    pub recording: Recording,
    /// Whether anybody has answered the call: whoever is the first has taken one more of their queue's, as the database counts.
    pub is_answered: bool,
}

/// What a caller is told while they wait, and how far that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// When they began to wait in their queue, as far as we saw it,
    pub since: Instant,
    /// and at which place, from 1.
    pub from: usize,
    /// When they were last told their place, or began to wait.
    pub place: Instant,
    /// When they last heard the periodic announcement, or began to wait.
    pub sounds: Instant,
    /// What is being said to them.
    pub now: Option<u32>,
    last: u32,
}

impl Told {
    /// They begin to wait in a queue, at this place.
    pub fn begin(&mut self, from: usize, now: Instant) {
        (self.since, self.from, self.place, self.sounds) = (now, from, now, now);
    }

    pub fn say(&mut self) -> u32 {
        self.last += 1;
        self.now = Some(self.last);
        self.last
    }
}

/// How far the recording of a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Nobody has asked for it.
    Not,
    /// It was asked for.
    Asked,
    /// Asterisk says that it has begun.
    Begun,
}

/// Whether a caller who waits was put into the bridge and not taken out again, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bridged {
    No,
    Perhaps,
}

/// What comes before caller and member are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeJoin {
    Nothing,
    /// The member hears a greeting, and the caller music.
    Greeting,
}

/// What is known of what the caller hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    AsAsked,
    /// The link fell: what was asked for last may never have been played.
    Doubtful,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rang {
    Never,
    Somewhere,
}

impl Caller {
    /// A caller who came at `entered`; `age` is more than zero for one that is taken over from an earlier run of the
    /// service: its numbers go on above any that run can have used (it made less than one in a millisecond). They count
    /// from when the call came, which is before `entered` for one who was in another queue.
    pub fn new(arrival: Arrival, entered: Now, age: Duration, ticket: u64) -> Self {
        let before = arrival.call.made_at().map(|at| entered.utc.duration_since(at)).unwrap_or_default();
        let all = if age.is_zero() { age } else { age.saturating_add(Duration::try_from(before).unwrap_or_default()) };
        let base = u32::try_from(all.as_millis()).unwrap_or(u32::MAX).min(u32::MAX / 2);
        Self {
            arrival,
            entered,
            since: entered.steady,
            timed_from: entered.steady,
            ticket,
            callback: None,
            stage: Stage::Waiting,
            offers: BTreeMap::new(),
            skipped: BTreeSet::new(),
            been: BTreeSet::new(),
            retry_at: None,
            claims_are_over: false,
            transfer: None,
            turn: Turn::Usual,
            keys: Keys::None,
            hold: Some(Hold::Resumed),
            consultation: Consultation::None,
            last_offer: base,
            revision: base,
            rang: Rang::Never,
            join_due: None,
            before_join: BeforeJoin::Nothing,
            // An earlier run may have joined them with a member who is gone.
            bridged: if age.is_zero() { Bridged::No } else { Bridged::Perhaps },
            sound: Sound::AsAsked,
            told: Told {
                since: entered.steady,
                from: 1,
                place: entered.steady,
                sounds: entered.steady,
                now: None,
                last: base,
            },
            told_of_recording: false,
            recording: Recording::Not,
            is_answered: false,
        }
    }

    /// Where they stand in line, compared with others.
    pub fn place(&self) -> Place {
        Place { turn: self.turn, priority: Reverse(self.arrival.priority), since: self.since, ticket: self.ticket }
    }

    /// The number of the next offer.
    pub fn next_offer(&mut self) -> OfferNo {
        self.last_offer += 1;
        OfferNo(self.last_offer)
    }

    /// Whether `number` is an offer that is out now, or the leg of who is consulted.
    pub fn has_out(&self, number: OfferNo) -> bool {
        self.offers.contains_key(&number) || self.consulted().is_some_and(|consulted| consulted.number == number)
    }

    /// Who is consulted.
    pub fn consulted(&self) -> Option<&Consulted> {
        match &self.consultation {
            Consultation::With(consulted) => Some(consulted),
            Consultation::None | Consultation::Over { .. } => None,
        }
    }

    /// The link fell: what was to be joined in a consultation is asked for again as soon as it is back.
    pub fn doubt_consultation(&mut self, now: Instant) {
        match &mut self.consultation {
            Consultation::Over { due, .. }
            | Consultation::With(Consulted { step: ConsultStep::Joining { due }, .. }) => *due = now,
            Consultation::None
            | Consultation::With(Consulted { step: ConsultStep::Ringing { .. } | ConsultStep::Talking, .. }) => {}
        }
    }

    /// When to ask again for what is being joined in a consultation, or its ringing is over.
    pub fn consultation_due(&self) -> Option<Instant> {
        match &self.consultation {
            Consultation::None => None,
            Consultation::Over { due, .. } => Some(*due),
            Consultation::With(Consulted { step, .. }) => match step {
                ConsultStep::Ringing { until: due } | ConsultStep::Joining { due } => Some(*due),
                ConsultStep::Talking => None,
            },
        }
    }

    /// Whether one of the offers that are out is to that member.
    pub fn has_offer_to(&self, extension: &Extension) -> bool {
        self.offers.values().any(|offer| offer.extension == *extension)
    }

    /// The offer that was answered, from then on.
    pub fn taken(&self) -> Option<&Offer> {
        match self.stage {
            Stage::Calling | Stage::Joining | Stage::Talking => self.offers.values().next(),
            Stage::Waiting | Stage::Offered | Stage::Transferred => None,
        }
    }

    /// Whether the caller still waits for somebody to answer.
    pub fn is_unanswered(&self) -> bool {
        match self.stage {
            Stage::Waiting | Stage::Offered | Stage::Transferred => true,
            Stage::Calling | Stage::Joining | Stage::Talking => false,
        }
    }

    /// Notes that a phone was asked to ring, so that there is a bridge to take down in the end.
    pub fn mark_rung(&mut self) {
        self.rang = Rang::Somewhere;
    }

    /// Whether they hear what a waiting caller hears: they are on a leg, and not about to be hung up.
    pub fn is_listening(&self) -> bool {
        self.is_unanswered() && self.callback.as_ref().is_none_or(|callback| callback.reach == Reach::Back)
    }

    /// Whether they are on a leg: one who is to be called back hangs up.
    pub fn is_on_a_leg(&self) -> bool {
        match self.callback.as_ref().map(|callback| &callback.reach) {
            None | Some(Reach::Leaving { .. } | Reach::Back) => true,
            Some(Reach::Away | Reach::Called { .. } | Reach::Clearing | Reach::Unsure { .. }) => false,
        }
    }

    /// Whether a member may be given to them, as far as they are concerned.
    pub fn is_servable(&self) -> bool {
        self.callback.as_ref().is_none_or(Callback::is_servable)
    }

    /// Whether they have to be called before they can be joined with anybody.
    pub fn is_away(&self) -> bool {
        self.callback.as_ref().is_some_and(|callback| callback.reach != Reach::Back)
    }

    /// Whether any phone was asked to ring for this call.
    pub fn has_rung(&self) -> bool {
        self.rang == Rang::Somewhere
    }

    /// Notes that the member who has answered hears a greeting, and that the two are to be joined then at the latest.
    pub fn greet_member_until(&mut self, due: Instant) {
        self.stage = Stage::Joining;
        self.join_due = Some(due);
        self.before_join = BeforeJoin::Greeting;
    }

    /// Whether the member hears a greeting.
    pub fn greets_member(&self) -> bool {
        self.stage == Stage::Joining && self.before_join == BeforeJoin::Greeting
    }

    /// Whether the caller is to hear music, or what the queue has to say.
    pub fn hears_music(&self) -> bool {
        self.is_listening() || self.greets_member() || self.consulted().is_some()
    }

    /// Notes that the two are being joined, and that it is to be asked for again if nothing is heard of it until then.
    pub fn join_until(&mut self, due: Instant) {
        self.stage = Stage::Joining;
        self.join_due = Some(due);
        self.before_join = BeforeJoin::Nothing;
        self.bridged = Bridged::Perhaps;
        self.told.now = None;
    }

    /// Whether a caller who waits may be in the bridge still, for a member who was gone.
    pub fn may_be_bridged(&self) -> bool {
        self.bridged == Bridged::Perhaps
    }

    /// What was said by this number is over; whether it is what is being said. Whoever was spoken to while they waited has
    /// been taken out of the bridge.
    pub fn has_heard(&mut self, number: u32) -> bool {
        let is_now = self.told.now == Some(number);
        if is_now {
            self.told.now = None;
            self.bridged = Bridged::No;
        }
        is_now
    }

    /// Notes that the link fell, and with it perhaps what the caller was to hear.
    pub fn doubt_sound(&mut self) {
        self.sound = Sound::Doubtful;
    }

    /// Whether the caller, who is to hear music, may be in silence since the link fell; asked once for each gap.
    pub fn may_hear_nothing(&mut self) -> bool {
        let before = std::mem::replace(&mut self.sound, Sound::AsAsked);
        if before == Sound::Doubtful {
            self.told.now = None;
        }
        self.hears_music() && before == Sound::Doubtful
    }

    /// In [`Stage::Joining`]: when to ask for it again.
    pub fn join_due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Joining => self.join_due,
            Stage::Waiting | Stage::Offered | Stage::Transferred | Stage::Calling | Stage::Talking => None,
        }
    }

    /// The next revision of the pop; `None` for a party outside, who has no node.
    pub fn pop(&mut self, extension: &Extension, state: PopState, now: Now) -> Option<Pop> {
        if extension.number_outside().is_some() {
            return None;
        }
        self.revision += 1;
        Some(Pop {
            call: self.arrival.call,
            revision: self.revision,
            state,
            extension: extension.clone(),
            queue: self.arrival.queue.clone(),
            customer: self.arrival.customer.clone(),
            caller: self.arrival.caller.clone(),
            entered_at: self.entered.utc,
            changed_at: now.utc,
        })
    }
}

/// What stands before every channel and bridge id of ours.
pub(super) const PREFIX: &str = "usher-";

/// Id of the member's leg: chosen by us, so that no event about it can be early and a retry cannot ring twice.
pub fn leg_channel(call: CallId, offer: OfferNo) -> ChannelId {
    ChannelId::new(format!("{PREFIX}{call}-{}", offer.0))
}

/// The call and offer that a channel id of ours belongs to.
pub fn parse_leg_channel(channel: &ChannelId) -> Option<(CallId, OfferNo)> {
    let (call, offer) = channel.as_str().strip_prefix(PREFIX)?.rsplit_once('-')?;
    Some((CallId(call.parse().ok()?), OfferNo(offer.parse().ok()?)))
}

/// Id of the bridge that joins caller and member.
pub fn call_bridge(call: CallId) -> BridgeId {
    BridgeId::new(format!("{PREFIX}{call}"))
}

/// The call that a bridge id of ours belongs to.
pub fn parse_call_bridge(bridge: &BridgeId) -> Option<CallId> {
    Some(CallId(bridge.as_str().strip_prefix(PREFIX)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn ids_of_legs_and_bridges_can_be_read_back() {
        let call = CallId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(parse_leg_channel(&leg_channel(call, OfferNo(7))), Some((call, OfferNo(7))));
        assert_eq!(parse_call_bridge(&call_bridge(call)), Some(call));
        assert_eq!(parse_leg_channel(&ChannelId::new("1763694000.12")), None);
        assert_eq!(parse_call_bridge(&BridgeId::new("usher-nonsense")), None);
    }

    proptest! {
        #[test]
        fn whatever_the_call_and_the_offer_their_ids_can_be_read_back(call: u128, offer: u32) {
            let (call, offer) = (CallId(Uuid::from_u128(call)), OfferNo(offer));
            prop_assert_eq!(parse_leg_channel(&leg_channel(call, offer)), Some((call, offer)));
            prop_assert_eq!(parse_call_bridge(&call_bridge(call)), Some(call));
            // The one is never taken for the other.
            prop_assert_eq!(parse_call_bridge(&BridgeId::new(leg_channel(call, offer).as_str())), None);
            prop_assert_eq!(parse_leg_channel(&ChannelId::new(call_bridge(call).as_str())), None);
        }

        #[test]
        fn a_foreign_id_is_read_without_a_panic(text in "(usher-)?[-0-9a-f]{0,50}.*") {
            let _ = parse_leg_channel(&ChannelId::new(&text));
            let _ = parse_call_bridge(&BridgeId::new(&text));
        }
    }
}
