//! What the floor asks for. What goes into it: [`crate::domain::queue::event`].

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{
    fact::{CallOutcome, Fact},
    id::{CallId, ChannelId, Extension, Interface, OfferNo, QueueName, ServerId},
    pop::Pop,
    queue::{roster::CallerId, transfer::TransferFailure, tries::Try},
};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send each of these the message of the queue.
    Announce {
        /// About this call.
        call: CallId,
        /// Place in line, from 1.
        position: usize,
        /// Members logged on to the queue.
        to: Vec<Extension>,
    },
    /// The caller waits no more: announcements not yet sent are stale.
    ForgetAnnouncement {
        /// Of this call.
        call: CallId,
    },
    /// Play the queue's greeting to the caller; tell [`Event::Said`](super::event::Event::Said).
    Greet {
        /// In this call,
        call: CallId,
        /// as this one of all that is said in it.
        number: u32,
    },
    /// Play these sounds to the caller, one after the other, instead of music; tell [`Event::Said`](super::event::Event::Said).
    Say {
        /// In this call,
        call: CallId,
        /// as this one of all that is said in it,
        number: u32,
        /// each in Asterisk's form without extension.
        sounds: Vec<String>,
    },
    /// Play the queue's music to the caller.
    Music {
        /// In this call.
        call: CallId,
    },
    /// Tell the caller that they will be called back, instead of whatever they hear; tell [`Event::Promised`](super::event::Event::Promised) after it.
    Promise {
        /// In this call.
        call: CallId,
    },
    /// Tell the caller that they cannot be called back; then music.
    Regret {
        /// In this call.
        call: CallId,
    },
    /// Call the caller back, and let the member, who has answered, hear that: tell [`Event::BackAnswered`](super::event::Event::BackAnswered) or
    /// [`Event::BackGone`](super::event::Event::BackGone).
    CallBack(CallBack),
    /// Have Asterisk remember what the database may never be told, see [`tries`](super::tries).
    Remember {
        /// Which one
        server: ServerId,
        /// remembers this.
        tried: Try,
    },
    /// Hang up the leg of a call back, if there is one; tell [`Event::BackGone`](super::event::Event::BackGone).
    DropBack {
        /// Of this call
        call: CallId,
        /// and try,
        attempt: u32,
        /// on this Asterisk.
        server: ServerId,
    },
    /// Publish the first revision of an offer, and tell [`Event::PopSettled`](super::event::Event::PopSettled).
    Publish {
        /// By this offer.
        offer: OfferNo,
        /// What.
        pop: Pop,
    },
    /// Publish a further revision.
    Update {
        /// What.
        pop: Pop,
    },
    /// Publish the last revision and retract the item.
    Retire {
        /// What.
        pop: Pop,
    },
    /// Ring the member's phone.
    Ring(Ring),
    /// Hang up the member's leg, if there is one.
    DropLeg {
        /// Of this call
        call: CallId,
        /// and offer,
        offer: OfferNo,
        /// on this Asterisk,
        server: ServerId,
        /// after this.
        farewell: Farewell,
    },
    /// Play a sound to the member who has answered, while the caller hears music on; tell [`Event::MemberGreeted`](super::event::Event::MemberGreeted).
    GreetMember {
        /// In this call
        call: CallId,
        /// by this offer,
        offer: OfferNo,
        /// on this Asterisk,
        server: ServerId,
        /// in Asterisk's form without extension.
        sound: String,
    },
    /// End what is said and music, and bring both legs into one bridge; tell [`Event::Joined`](super::event::Event::Joined) or [`Event::LegGone`](super::event::Event::LegGone). Asked
    /// for again as long as neither is told, so a second time must do no harm.
    Join {
        /// In this call
        call: CallId,
        /// by this offer.
        offer: OfferNo,
    },
    /// The agent asks somebody else: take the caller out of the bridge, and play the queue's music to them. What is recorded
    /// pauses. Asked for again after a gap.
    Hold {
        /// In this call.
        call: CallId,
    },
    /// Let the agent, who is in the bridge, hear that the phone rings that they have asked for.
    RingTone {
        /// In this call
        call: CallId,
        /// the member of this offer.
        offer: OfferNo,
    },
    /// End that tone, and bring the consulted party into the bridge; tell [`Event::Connected`](super::event::Event::Connected) or [`Event::LegGone`](super::event::Event::LegGone) of the party.
    /// Asked for again as long as neither is told.
    Connect {
        /// In this call
        call: CallId,
        /// the member of this offer
        offer: OfferNo,
        /// with this leg.
        party: OfferNo,
    },
    /// Note, for a later run of the service, by which number the person of a leg is called from now on.
    Renamed {
        /// In this call
        call: CallId,
        /// this offer, or who is consulted,
        offer: OfferNo,
        /// is called so,
        extension: Extension,
        /// and talks with the caller.
        talks: bool,
    },
    /// Tell the agent that they are with the caller again; the caller does not hear it.
    TellBack {
        /// In this call
        call: CallId,
        /// the member of this offer.
        offer: OfferNo,
    },
    /// The consultation is over: what is recorded goes on, and the tone of ringing ends. Bring caller and member into one bridge
    /// as [`Effect::Join`] does, and tell the same.
    JoinAgain {
        /// In this call
        call: CallId,
        /// by this offer.
        offer: OfferNo,
    },
    /// Record the bridge of the call from now on; tell [`Event::RecordingBegun`](super::event::Event::RecordingBegun).
    RecordTalk {
        /// Which call,
        call: CallId,
        /// on this Asterisk.
        server: ServerId,
    },
    /// Let the dialplan go on with the caller.
    GiveBack {
        /// Which call,
        call: CallId,
        /// on this Asterisk,
        server: ServerId,
        /// this leg,
        channel: ChannelId,
        /// why.
        outcome: CallOutcome,
        /// A phone that the dialplan is to ring for them instead of its fallback.
        to: Option<Extension>,
    },
    /// Note on the caller's leg, for a later run of the service, that they wait in another queue from now on.
    Moved {
        /// Which call,
        call: CallId,
        /// on this Asterisk,
        server: ServerId,
        /// this leg,
        channel: ChannelId,
        /// is in this queue.
        queue: QueueName,
    },
    /// Note on the caller's leg that they have the place of an earlier call of theirs.
    TakesPlace {
        /// The call,
        call: CallId,
        /// on this Asterisk,
        server: ServerId,
        /// by this leg,
        channel: ChannelId,
        /// waits since then,
        since: Timestamp,
        /// with this priority.
        priority: i32,
    },
    /// Note on the caller's leg, for a later run of the service, who is transferring them, or that nobody is.
    ReturnsTo {
        /// Which call,
        call: CallId,
        /// on this Asterisk,
        server: ServerId,
        /// this leg.
        channel: ChannelId,
        /// The agent.
        agent: Option<Extension>,
    },
    /// Send a member a message.
    TellMember {
        /// To whom.
        extension: Extension,
        /// What it says.
        notice: Notice,
    },
    /// Hang up the caller.
    HangUpCaller {
        /// Which call,
        call: CallId,
        /// on this Asterisk,
        server: ServerId,
        /// this leg.
        channel: ChannelId,
    },
    /// Take the bridge of the call down. The last effect of a call that rang somewhere.
    DropBridge {
        /// Which call,
        call: CallId,
        /// on this Asterisk.
        server: ServerId,
    },
    /// Tell everyone and write it down.
    Record(Fact),
}

/// What a member whose leg is dropped hears first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Nothing: the phone stops ringing.
    None,
    /// That somebody else has taken the call, if they answered it as well.
    Taken,
    /// That the caller, who was to be called back, was not reached.
    NotReached,
}

/// What a member is told in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// They are paused in a queue.
    AutoPaused {
        /// In this one,
        queue: QueueName,
        /// after so many unanswered calls in a row.
        unanswered: u32,
    },
    /// The transfer that they asked for came to nothing; the caller comes back to them.
    TransferFailed {
        /// Why.
        why: TransferFailure,
    },
}

/// How to ring a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// For this call
    pub call: CallId,
    /// by this offer
    pub offer: OfferNo,
    /// ring this member
    pub extension: Extension,
    /// on this phone
    pub interface: Interface,
    /// of this Asterisk,
    pub server: ServerId,
    /// on behalf of the caller's leg, if they have one,
    pub originator: Option<ChannelId>,
    /// showing this number
    pub caller: CallerId,
    /// for the queue,
    pub queue: QueueName,
    /// so long.
    pub ring_time: Duration,
}

/// How to call a caller back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallBack {
    /// For this call
    pub call: CallId,
    /// in this try
    pub attempt: u32,
    /// call this number
    pub number: String,
    /// from this Asterisk,
    pub server: ServerId,
    /// for the member who answered this offer;
    pub offer: OfferNo,
    /// their phone rings so long.
    pub ring_time: Duration,
    /// The queue's greeting to members, which the one who answered hears meanwhile, as far as it comes; empty: none.
    pub greeting: String,
}
