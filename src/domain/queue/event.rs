//! What goes into the floor: what happened. What it asks for: [`crate::domain::queue::effect`].

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::domain::{
    fact::Hold,
    id::{CallId, ChannelId, Extension, Interface, OfferNo, ServerId},
    pop::PopOutcome,
    queue::{
        callback::{Kept, Missed},
        caller::Arrival,
        left::LeftOpen,
        member::Device,
        roster::{PastTalk, Roster, RosterChange},
        transfer::{HandedTo, TransferMeans, TransferTarget},
        tries::Try,
    },
};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The database has a new state of agents, queues and memberships.
    Roster(Arc<Roster>),
    /// Some rows of it have changed.
    RosterChanged(Arc<RosterChange>),
    /// Talks of the last time before the start, for queues that give customers the same member again.
    PastTalks(Arc<Vec<PastTalk>>),
    /// A caller entered the application.
    CallerEntered(Arrival),
    /// A waiting caller from before a restart or a gap was found, this long after they entered.
    CallerFound(Arrival, Duration),
    /// A caller and a member from before a restart were found talking.
    TalkFound {
        /// The caller,
        arrival: Arrival,
        /// who entered this long ago,
        age: Duration,
        /// by this offer
        offer: OfferNo,
        /// talks with this member.
        extension: Extension,
    },
    /// A caller from before a restart was found whose talk ended meanwhile: the member has hung up.
    TalkOver {
        /// The caller,
        arrival: Arrival,
        /// who entered this long ago,
        age: Duration,
        /// talked with this member.
        extension: Extension,
    },
    /// The caller's leg is gone.
    CallerGone {
        /// Of this call.
        call: CallId,
    },
    /// The pop of an offer was confirmed, refused or cannot be sent.
    PopSettled {
        /// Of this call
        call: CallId,
        /// and offer.
        offer: OfferNo,
        /// How it went.
        outcome: PopOutcome,
    },
    /// The member answered: their leg has entered the application.
    LegAnswered {
        /// On this Asterisk,
        server: ServerId,
        /// of this call
        call: CallId,
        /// and offer.
        offer: OfferNo,
    },
    /// The member's leg is gone, or could not be made.
    LegGone {
        /// Of this call
        call: CallId,
        /// and offer.
        offer: OfferNo,
        /// How.
        end: LegEnd,
    },
    /// A member takes a caller who waits, see [`Floor::claimable`](super::floor::Floor::claimable).
    Claimed {
        /// This one
        call: CallId,
        /// by their own word.
        extension: Extension,
    },
    /// A member wants to call back somebody who has called in vain, see [`Floor::callable_back`](super::floor::Floor::callable_back).
    CalledInVain {
        /// Who, with the number of the new call, where and for which queue they had called;
        arrival: Arrival,
        /// for this member.
        extension: Extension,
    },
    /// A member leaves a call to others, see [`Floor::declinable`](super::floor::Floor::declinable).
    Declined {
        /// This one
        call: CallId,
        /// by their own word,
        extension: Extension,
        /// for this reason; may be empty.
        reason: String,
    },
    /// A waiting caller pressed a key.
    CallerPressed {
        /// In this call
        call: CallId,
        /// this one: `0-9`, `*`, `#`.
        key: char,
    },
    /// The caller has heard that they will be called back.
    Promised {
        /// Of this call.
        call: CallId,
    },
    /// Callbacks that are open in the database; told once, after the first roster and before any Asterisk.
    Kept(Vec<Kept>),
    /// Calls of an earlier run that have no end in the database; told once, right after the callbacks.
    LeftOpen {
        /// Which,
        calls: Vec<LeftOpen>,
        /// and the servers that are going to be asked what they have.
        servers: BTreeSet<ServerId>,
    },
    /// Somebody does not want this callback any more.
    Cancelled {
        /// Of this call.
        call: CallId,
    },
    /// The caller has answered the call back: its leg has entered the application.
    BackAnswered {
        /// On this Asterisk,
        server: ServerId,
        /// of this call
        call: CallId,
        /// and try.
        attempt: u32,
    },
    /// The leg of a call back is gone, or could not be made.
    BackGone {
        /// Of this call
        call: CallId,
        /// and try.
        attempt: u32,
        /// How.
        end: Missed,
    },
    /// The leg of a call back that the floor has not asked for was found ringing.
    BackFound {
        /// On this Asterisk,
        server: ServerId,
        /// of this call
        call: CallId,
        /// and try;
        attempt: u32,
        /// by which offer who waits for it on a leg that is there.
        member: Option<(OfferNo, Extension)>,
    },
    /// Asterisk remembers a try, and no leg of it was found there: what was told of legs before goes first.
    BackRemembered {
        /// On this Asterisk
        server: ServerId,
        /// somebody was called back.
        tried: Try,
    },
    /// Both legs are in the bridge.
    Joined {
        /// Of this call
        call: CallId,
        /// and offer.
        offer: OfferNo,
    },
    /// The talk is being recorded.
    RecordingBegun {
        /// Of this call,
        call: CallId,
        /// in this file.
        file: String,
    },
    /// The greeting to a member is over, or cannot be played.
    MemberGreeted {
        /// Of this call
        call: CallId,
        /// and offer.
        offer: OfferNo,
    },
    /// What a caller was told is said, or was cut short.
    Said {
        /// In this call,
        call: CallId,
        /// by this [`Effect::Greet`](super::effect::Effect::Greet) or [`Effect::Say`](super::effect::Effect::Say).
        number: u32,
    },
    /// A member who talks sends the caller on, see [`Floor::transferable`](super::floor::Floor::transferable).
    SentOn {
        /// This one
        extension: Extension,
        /// by their own word, there.
        to: TransferTarget,
    },
    /// A member who talks sends the caller on.
    TransferAsked {
        /// Of this call
        call: CallId,
        /// and offer.
        offer: OfferNo,
        /// What they dialled.
        to: String,
        /// By which means.
        how: TransferMeans,
    },
    /// A caller from before a restart was found whose talk was interrupted: the member had asked somebody else.
    PartedFound {
        /// The caller,
        arrival: Arrival,
        /// who entered this long ago,
        age: Duration,
        /// is to be joined again with the leg of this offer,
        offer: OfferNo,
        /// which is this party's.
        extension: Extension,
    },
    /// Agent and consulted party are in the bridge.
    Connected {
        /// In this call,
        call: CallId,
        /// the party with this leg.
        party: OfferNo,
    },
    /// A member who talks has handed the caller over by their phone, to somebody whom they had called before: those two talk.
    HandedOver {
        /// In this call
        call: CallId,
        /// the party of this offer
        offer: OfferNo,
        /// gave the caller to whom this stands for.
        to: HandedTo,
    },
    /// The talk that was found was this member's when an earlier run last had a hand in it: they have handed the caller over since.
    HandOverFound {
        /// In this call
        call: CallId,
        /// the party of this offer
        offer: OfferNo,
        /// was given the caller by them.
        from: Extension,
    },
    /// Asterisk has taken a caller out of a talk, because their own phone has asked for a transfer.
    CallerParted {
        /// Of this call.
        call: CallId,
    },
    /// Another channel stands in the caller's place: a phone has handed their call over, such as an agent's that has asked for the
    /// queue on behalf of a customer.
    CallerReplaced {
        /// Of this call.
        call: CallId,
        /// The caller's leg from now on.
        channel: ChannelId,
    },
    /// A member has pressed a key.
    KeyPressed {
        /// In this call,
        call: CallId,
        /// by this offer.
        offer: OfferNo,
        /// Which: `0` to `9`, `*`, `#`, `A` to `D`.
        key: char,
    },
    /// A member put the caller on hold, or took them back.
    HoldChanged {
        /// In this call,
        call: CallId,
        /// by this offer.
        offer: OfferNo,
        /// What is now.
        hold: Hold,
    },
    /// A phone changed.
    DeviceChanged {
        /// As seen by this Asterisk
        server: ServerId,
        /// this phone
        interface: Interface,
        /// is now so.
        device: Device,
    },
    /// The link to an Asterisk is up, and everything missed has been told.
    ServerUp {
        /// Which.
        server: ServerId,
    },
    /// The link to an Asterisk is down.
    ServerDown {
        /// Which.
        server: ServerId,
    },
    /// A deadline is over.
    Tick,
    /// The service is stopping: let go.
    Stop,
}

/// How a member's leg ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegEnd {
    /// Hung up, by whomever.
    HungUp,
    /// Busy or declined.
    Rejected,
    /// Not answered in the time given to Asterisk.
    NoAnswer,
    /// Not reachable, or Asterisk would not place the call.
    Unavailable,
    /// It was never asked for: the link to Asterisk fell first.
    NotPlaced,
    /// Found gone after a gap: why is not known, nor that the member is to blame. Asterisk itself hangs up whoever answers
    /// while the application is away.
    Lost,
}
