//! What has happened, in the past tense: what services tell one another, and what the database keeps.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    id::{CallId, ChannelId, Extension, OfferNo, QueueName, ServerId},
    pop::PopOutcome,
    queue::{
        callback::Missed,
        caller::Penalties,
        choice::Choice,
        policy::Overflow,
        roster::{CallerId, Customer},
        transfer::{TransferFailure, TransferMeans, TransferTarget},
    },
};

/// A fact with its time and an id of its own, so that it can be written twice and count once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// Unique, ascending in time (UUID version 7).
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub fact: Fact,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A caller entered a queue.
    CallEntered {
        /// The new call
        call: CallId,
        /// on this Asterisk,
        server: ServerId,
        /// by this leg,
        channel: ChannelId,
        /// waiting here.
        queue: QueueName,
        /// Who they are.
        customer: Customer,
        /// From which number.
        caller: CallerId,
    },
    /// A member was reserved for the call, and its pop is on the way.
    CallOffered {
        /// The call
        call: CallId,
        /// for the n-th time
        offer: OfferNo,
        /// goes to this member,
        extension: Extension,
        /// chosen so.
        choice: Box<Choice>,
    },
    /// The member's phone was asked to ring.
    CallRinging {
        /// The call
        call: CallId,
        /// by this offer
        offer: OfferNo,
        /// rings here,
        extension: Extension,
        /// after its pop went so.
        pop: PopOutcome,
    },
    /// An offer ended without an answer.
    OfferEnded {
        /// The call
        call: CallId,
        /// lost this offer
        offer: OfferNo,
        /// to this member
        extension: Extension,
        /// because of this.
        why: OfferEnd,
    },
    /// A member has left the call to others by their own word: an offer to them, or before any.
    CallDeclined {
        /// The call
        call: CallId,
        /// is not wanted by this member,
        extension: Extension,
        /// for this reason; may be empty.
        reason: String,
    },
    /// Caller and member hear each other.
    CallAnswered {
        /// The call
        call: CallId,
        /// by this offer
        offer: OfferNo,
        /// was answered here.
        extension: Extension,
    },
    /// The talk is recorded.
    Recording {
        /// The call
        call: CallId,
        /// is recorded in this file.
        file: String,
    },
    /// A queue did not take or keep the call.
    CallOverflowed {
        /// The call
        call: CallId,
        /// was sent away from this queue,
        queue: QueueName,
        /// because of this,
        why: CallOutcome,
        /// to there; never [`Overflow::Dialplan`].
        to: Overflow,
    },
    /// A waiting caller has asked to be called back, and keeps the place.
    CallbackAsked {
        /// The call
        call: CallId,
        /// on this Asterisk
        server: ServerId,
        /// waits on in this queue.
        queue: QueueName,
        /// Who they are.
        customer: Customer,
        /// The number to call.
        caller: CallerId,
        /// Their place: priority,
        priority: i32,
        /// and since when they wait in this queue.
        since: Timestamp,
        /// When they entered.
        entered: Timestamp,
        /// Whom they may be given.
        penalties: Penalties,
        /// Until when it is kept.
        keep_until: Timestamp,
        /// They heard that the talk is recorded; not in records of a program that did not ask.
        #[serde(default)]
        told_of_recording: bool,
    },
    /// A member has answered, and the caller is being called back.
    CallbackCalled {
        /// The call
        call: CallId,
        /// for the n-th time
        attempt: u32,
        /// by this offer
        offer: OfferNo,
        /// for this member.
        extension: Extension,
    },
    /// A try to call a caller back came to nothing.
    CallbackMissed {
        /// The call
        call: CallId,
        /// in the n-th try,
        attempt: u32,
        /// the n-th that counts,
        tries: u32,
        /// because of this.
        why: Missed,
        /// They are not tried before.
        again_at: Option<Timestamp>,
    },
    /// A member sent the caller on: their talk is over, and the call goes on.
    CallTransferred {
        /// The call
        call: CallId,
        /// was sent on by this member,
        from: Extension,
        /// to there,
        to: TransferTarget,
        /// by this means.
        how: TransferMeans,
    },
    /// A transfer came to nothing: the caller goes back to who asked for it, or else to the front of the queue.
    TransferFailed {
        /// The call
        call: CallId,
        /// of this member
        from: Extension,
        /// because of this.
        why: TransferFailure,
    },
    /// A member who has the caller got another number.
    Renumbered {
        /// The call
        call: CallId,
        /// was that of this one,
        from: Extension,
        /// who is called so from now on.
        to: Extension,
    },
    /// A member put the caller on hold, or took them back.
    CallHeld {
        /// The call
        call: CallId,
        /// by this member.
        extension: Extension,
        /// Whether the talk goes on.
        hold: Hold,
    },
    /// A member is offered nothing after a talk.
    WrapUp {
        /// After this call
        call: CallId,
        /// this member
        extension: Extension,
        /// of this queue
        queue: QueueName,
        /// until then.
        until: Timestamp,
    },
    /// The floor has paused a member.
    AutoPaused {
        /// After this call
        call: CallId,
        /// this member
        extension: Extension,
        /// in this queue,
        queue: QueueName,
        /// who has let so many of its offers in a row go by.
        unanswered: u32,
    },
    /// The call left the floor. The last fact of a call.
    CallEnded {
        /// The call
        call: CallId,
        /// ended with the member who had answered, if one had,
        extension: Option<Extension>,
        /// in this way.
        outcome: CallOutcome,
    },
}

impl Fact {
    /// The call it is about.
    pub fn call(&self) -> CallId {
        match self {
            Self::CallEntered { call, .. }
            | Self::CallOffered { call, .. }
            | Self::CallRinging { call, .. }
            | Self::OfferEnded { call, .. }
            | Self::CallDeclined { call, .. }
            | Self::CallAnswered { call, .. }
            | Self::Recording { call, .. }
            | Self::CallOverflowed { call, .. }
            | Self::CallbackAsked { call, .. }
            | Self::CallbackCalled { call, .. }
            | Self::CallbackMissed { call, .. }
            | Self::CallTransferred { call, .. }
            | Self::TransferFailed { call, .. }
            | Self::Renumbered { call, .. }
            | Self::CallHeld { call, .. }
            | Self::WrapUp { call, .. }
            | Self::AutoPaused { call, .. }
            | Self::CallEnded { call, .. } => *call,
        }
    }

    /// One line for a log that anybody may read: no name, no number, no code.
    pub fn summary(&self) -> String {
        match self {
            Self::CallEntered { queue, server, .. } => format!("entered {queue} on {server}"),
            Self::CallOffered { offer, extension, .. } => format!("offer {} goes to {}", offer.0, party(extension)),
            Self::CallRinging { extension, pop, .. } => {
                format!("rings at {}, its pop {}", party(extension), pop.as_str())
            }
            Self::OfferEnded { extension, why, .. } => {
                format!("{} did not take it: {}", party(extension), why.as_str())
            }
            Self::CallDeclined { extension, .. } => format!("{extension} has declined it"),
            Self::CallAnswered { extension, .. } => format!("answered by {}", party(extension)),
            Self::Recording { file, .. } => format!("recorded as {file}"),
            Self::CallOverflowed { queue, why, to, .. } => format!("leaves {queue} for {to}: {}", why.as_str()),
            Self::CallbackAsked { queue, .. } => format!("is to be called back, and keeps the place in {queue}"),
            Self::CallbackCalled { attempt, extension, .. } => format!("is called back for {extension}, try {attempt}"),
            Self::CallbackMissed { attempt, why, .. } => format!("was not reached in try {attempt}: {}", why.as_str()),
            Self::CallTransferred { from, to, how, .. } => {
                let to = match to {
                    TransferTarget::Outside(_) => "a number outside".to_owned(),
                    TransferTarget::Extension(_) | TransferTarget::Queue(_) => to.to_string(),
                };
                format!("sent on by {from} to {to} ({})", how.as_str())
            }
            Self::TransferFailed { from, why, .. } => format!("comes back to {from}: {}", why.as_str()),
            Self::Renumbered { from, to, .. } => format!("{from} has it and is called {to} now"),
            Self::CallHeld { extension, hold, .. } => format!("{} by {extension}", hold.as_str()),
            Self::WrapUp { extension, until, .. } => format!("{extension} is in wrap-up until {until}"),
            Self::AutoPaused { extension, queue, unanswered, .. } => {
                format!("{extension} is paused in {queue} after {unanswered} unanswered offers")
            }
            Self::CallEnded { outcome, .. } => format!("ended: {}", outcome.as_str()),
        }
    }
}

/// Whom an offer goes to, without the number of a party outside.
fn party(extension: &Extension) -> &str {
    if extension.number_outside().is_some() { "a party outside" } else { extension.as_str() }
}

/// What became of a talk in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// The caller hears music.
    Held,
    /// The two talk again.
    Resumed,
}

impl Hold {
    /// The word in logs and call events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Resumed => "resumed",
        }
    }
}

/// Why an offer came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferEnd {
    /// Ring time was over.
    RingNoAnswer,
    /// The phone said busy or declined.
    Rejected,
    /// The phone could not be reached.
    Unavailable,
    /// The caller was gone first.
    CallerGone,
    /// The member answered and hung up before the two were joined.
    MemberGone,
    /// The member logged off meanwhile.
    LoggedOff,
    /// Another member to whom the call was offered at the same time was faster.
    Taken,
    /// The caller, who had asked to be called back, was not reached.
    NotReached,
    /// No fault of the member's: the link to Asterisk broke, the phone was taken before it could ring, the caller has
    /// waited too long, or the service is stopping.
    Withdrawn,
}

impl OfferEnd {
    /// The word in logs and call events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RingNoAnswer => "ring_no_answer",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::CallerGone => "caller_gone",
            Self::MemberGone => "member_gone",
            Self::LoggedOff => "logged_off",
            Self::Taken => "taken",
            Self::NotReached => "not_reached",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How a call left the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// Answered, talked, over.
    Completed,
    /// The caller hung up while waiting, and had talked with nobody.
    Abandoned,
    /// The queue timeout was over: sent to the fallback.
    TimedOut,
    /// No member was logged on: sent to the fallback.
    NoMembers,
    /// The queue was full: sent to the fallback.
    Full,
    /// None of the members who were logged on counted as there: sent to the fallback.
    Empty,
    /// Sent to a phone, as the queue's policy says.
    Overflowed,
    /// The queue does not exist (any more): sent to the fallback.
    UnknownQueue,
    /// The service was stopping: sent to the fallback.
    Stopped,
    /// The service died during the call, and its next run found the caller gone. When they went is not known: the end is told as of
    /// the moment in which that was found.
    Lost,
    /// The caller, who had asked to be called back, was not reached.
    NotReached,
    /// The caller, who had asked to be called back, called again: that call has the place.
    CalledAgain,
    /// The callback was cancelled.
    Cancelled,
}

impl CallOutcome {
    const ALL: [Self; 13] = [
        Self::Completed,
        Self::Abandoned,
        Self::TimedOut,
        Self::NoMembers,
        Self::Full,
        Self::Empty,
        Self::Overflowed,
        Self::UnknownQueue,
        Self::Stopped,
        Self::Lost,
        Self::NotReached,
        Self::CalledAgain,
        Self::Cancelled,
    ];

    /// The one of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// The word in the database, in logs, and in upper case in the channel variable `USHER_OUTCOME`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Abandoned => "abandoned",
            Self::TimedOut => "timed_out",
            Self::NoMembers => "no_members",
            Self::Full => "full",
            Self::Empty => "empty",
            Self::Overflowed => "overflowed",
            Self::UnknownQueue => "unknown_queue",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
            Self::NotReached => "not_reached",
            Self::CalledAgain => "called_again",
            Self::Cancelled => "cancelled",
        }
    }
}
