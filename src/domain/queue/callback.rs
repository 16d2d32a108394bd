//! Callback: a waiting caller presses a key, hangs up, keeps the place, and is called when it is their turn.
//!
//! Owns the settings, how far a callback has come, and what the database keeps of one. What is done with them:
//! [`crate::domain::queue::floor`].

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    fact::Fact,
    id::{CallId, ChannelId, Extension, QueueName, ServerId},
    queue::{
        caller::{Arrival, PREFIX, Penalties},
        roster::{CallerId, Customer},
    },
};

/// How a queue calls back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackPolicy {
    /// What a waiting caller presses to be called back, one of `0-9`, `*`, `#`; `None`: nobody is called back.
    pub key: Option<char>,
    /// How often a caller is tried.
    pub tries: u32,
    /// How long after a try that did not reach them.
    pub retry: Duration,
    /// How long their phone rings.
    pub ring_time: Duration,
    /// How long one is kept, from the key on.
    pub keep: Duration,
}

impl Default for CallbackPolicy {
    fn default() -> Self {
        Self {
            key: None,
            tries: 3,
            retry: Duration::from_secs(300),
            ring_time: Duration::from_secs(30),
            keep: Duration::from_secs(8 * 3600),
        }
    }
}

/// A callback that a caller on the floor has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// How the caller can be reached.
    pub reach: Reach,
    /// The number of the last try, from 1; 0: none yet. Each has one of its own, so that no leg is taken for another.
    pub attempt: u32,
    /// Tries that came to nothing.
    pub tries: u32,
    /// Until when they are not tried again; `None`: whenever it is their turn.
    pub pause: Option<Instant>,
    /// Until when it is kept.
    pub keep_until: Instant,
}

/// How a caller who asked to be called back can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// On the leg on which they asked: they are being told, and are hung up then.
    Leaving {
        /// At the latest.
        until: Instant,
    },
    /// By a call that is not made yet.
    Away,
    /// By the call of the last try, which rings.
    Called {
        /// No longer than this.
        until: Instant,
    },
    /// The call of the last try is being taken down.
    Clearing,
    /// They have answered the last try, and are on its leg.
    Back,
    /// An earlier run of the service has called them, and what became of it is not known yet.
    Unsure {
        /// With whom they talked then, if they did.
        talked_with: Option<Extension>,
    },
}

impl Callback {
    /// Whether it may be given to a member now.
    pub fn is_servable(&self) -> bool {
        match self.reach {
            Reach::Away => self.pause.is_none(),
            Reach::Back => true,
            Reach::Leaving { .. } | Reach::Called { .. } | Reach::Clearing | Reach::Unsure { .. } => false,
        }
    }

    /// What is due next: the end of the prompt, of the ringing, or of the pause.
    pub fn due(&self) -> Option<Instant> {
        match self.reach {
            Reach::Leaving { until } | Reach::Called { until } => Some(until),
            Reach::Away => self.pause,
            Reach::Clearing | Reach::Back | Reach::Unsure { .. } => None,
        }
    }
}

/// A call that nobody has answered, and after which nobody has talked with that customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// On this Asterisk,
    pub server: ServerId,
    /// for this queue.
    pub queue: QueueName,
    /// Who it was.
    pub customer: Customer,
    /// Their number.
    pub caller: CallerId,
}

impl Lost {
    /// The same person in a new call: without a leg as yet.
    pub fn arrival(&self, call: CallId) -> Arrival {
        Arrival {
            call,
            server: self.server.clone(),
            channel: back_channel(call, 0),
            queue: self.queue.clone(),
            customer: self.customer.clone(),
            caller: self.caller.clone(),
            priority: 0,
            penalties: Penalties::ALL,
            returns_to: None,
            since: None,
        }
    }
}

/// A callback that is open in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The call that asked,
    pub call: CallId,
    /// on this Asterisk, which calls back as well,
    pub server: ServerId,
    /// in this queue.
    pub queue: QueueName,
    /// Who they are.
    pub customer: Customer,
    /// Their number.
    pub caller: CallerId,
    /// Their place: priority,
    pub priority: i32,
    /// and since when they wait in this queue.
    pub since: Timestamp,
    /// Whom they may be given.
    pub penalties: Penalties,
    /// When they entered.
    pub entered: Timestamp,
    /// Until when it is kept.
    pub keep_until: Timestamp,
    /// They heard that the talk is recorded.
    pub told_of_recording: bool,
    /// The number of the last try.
    pub attempt: u32,
    /// Tries that came to nothing.
    pub tries: u32,
    /// Not to be tried before.
    pub again_at: Option<Timestamp>,
    /// How it stood when it was last written.
    pub state: KeptState,
}

impl Kept {
    /// What is recorded of it when it begins.
    pub fn asked(&self) -> Fact {
        Fact::CallbackAsked {
            call: self.call,
            server: self.server.clone(),
            queue: self.queue.clone(),
            customer: self.customer.clone(),
            caller: self.caller.clone(),
            priority: self.priority,
            since: self.since,
            entered: self.entered,
            penalties: self.penalties,
            keep_until: self.keep_until,
            told_of_recording: self.told_of_recording,
        }
    }
}

/// How a callback in the database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptState {
    /// Nobody is being called.
    Waiting,
    /// The last try was begun, and nothing is known of its end.
    Called,
    /// They were reached, and talked with this member.
    Talking(Extension),
    /// Somebody does not want it any more.
    Cancelled,
}

/// Why a try came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Their phone rang until the ring time was over.
    NoAnswer,
    /// Their phone said busy or declined.
    Rejected,
    /// The number could not be reached, or Asterisk would not place the call.
    Unavailable,
    /// The member hung up before they answered.
    MemberGone,
    /// They answered and hung up before they spoke with anybody.
    HungUp,
    /// It was never placed: the link to Asterisk fell first. The only one that does not count as a try.
    NotPlaced,
    /// It was found gone after a time in which nothing could be seen.
    Lost,
    /// The service was stopping.
    Stopped,
}

impl Missed {
    /// The word in logs and call events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::MemberGone => "member_gone",
            Self::HungUp => "hung_up",
            Self::NotPlaced => "not_placed",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

/// Whether somebody who shows this number can be called: 3 to 20 digits, perhaps after a `+`.
pub fn is_callable(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (3..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What stands before the id of a leg by which a caller is called back.
const BACK: &str = "back-";

/// Id of the leg by which a caller is called back: chosen by us, so that a try that is repeated cannot ring twice.
pub fn back_channel(call: CallId, attempt: u32) -> ChannelId {
    ChannelId::new(format!("{PREFIX}{BACK}{call}-{attempt}"))
}

/// The call and try that a channel id of ours belongs to.
pub fn parse_back_channel(channel: &ChannelId) -> Option<(CallId, u32)> {
    let (call, attempt) = channel.as_str().strip_prefix(PREFIX)?.strip_prefix(BACK)?.rsplit_once('-')?;
    Some((CallId(call.parse().ok()?), attempt.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        id::{BridgeId, OfferNo},
        queue::caller::{leg_channel, parse_call_bridge, parse_leg_channel},
    };

    proptest! {
        #[test]
        fn the_leg_of_a_callback_is_never_taken_for_another_leg(call: u128, attempt: u32) {
            let call = CallId(Uuid::from_u128(call));
            let channel = back_channel(call, attempt);
            prop_assert_eq!(parse_back_channel(&channel), Some((call, attempt)));
            prop_assert_eq!(parse_leg_channel(&channel), None);
            prop_assert_eq!(parse_call_bridge(&BridgeId::new(channel.as_str())), None);
            prop_assert_eq!(parse_back_channel(&leg_channel(call, OfferNo(attempt))), None);
        }
    }

    #[test]
    fn a_number_that_nobody_can_dial_is_not_called() {
        for number in ["2000", "+15550100", "123"] {
            assert!(is_callable(number), "{number}");
        }
        for number in ["", "12", "anonymous", "+", "1000@x", "12&34", "123456789012345678901", "1 000"] {
            assert!(!is_callable(number), "{number}");
        }
    }
}
