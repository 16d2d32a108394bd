//! Events of Asterisk as the services see them.

use std::time::Duration;

use crate::ari::wire::{AnyEvent, Channel, Endpoint};

/// What a link tells.
#[derive(Debug)]
pub enum Incoming {
    /// The link is up. Asterisk replays nothing: whatever happened before must be asked for now.
    Up,
    /// The link is down; requests fail until the next [`Incoming::Up`].
    Down {
        /// Why, for people.
        why: String,
    },
    /// An event.
    Event(Event),
}

/// An event that somebody here acts on. Asterisk has many more: they are counted and passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A channel has entered the application.
    StasisStart {
        /// Which.
        channel: Channel,
        /// The channel whose place it takes, when a phone transfers.
        replaces: Option<Box<Channel>>,
    },
    /// A key was pressed on a channel.
    ChannelDtmfReceived {
        /// Where.
        channel: Channel,
        /// Which; `None`: none that we know.
        digit: Option<char>,
        /// How long it was held.
        held: Duration,
        /// When, in Asterisk's words. Of a member's leg each key is told twice, once for the phone: the same moment.
        at: String,
    },
    /// A phone put the other side on hold.
    ChannelHold(Channel),
    /// A phone took the other side back.
    ChannelUnhold(Channel),
    /// A channel leads to somebody else than before.
    ChannelConnectedLine(Channel),
    /// A channel has left the application.
    StasisEnd(Channel),
    /// A channel is gone.
    ChannelDestroyed {
        /// Which.
        channel: Channel,
        /// Q.850 cause.
        cause: i32,
    },
    /// A playback is over, by itself or stopped.
    PlaybackFinished {
        /// Its id.
        playback: String,
    },
    /// A phone came, went, or has other channels than before. Holds the whole truth about it.
    EndpointStateChange(Endpoint),
}

/// All that Asterisk is asked to send: the types of [`Event`], and two that the link itself needs. Answers to requests
/// over the WebSocket pass the same filter: without `RESTResponse` none would come (seen with 22.10).
pub(super) const WANTED: [&str; 11] = [
    "StasisStart",
    "StasisEnd",
    "ChannelDtmfReceived",
    "ChannelHold",
    "ChannelUnhold",
    "ChannelConnectedLine",
    "ChannelDestroyed",
    "PlaybackFinished",
    "EndpointStateChange",
    "ApplicationReplaced",
    "RESTResponse",
];

impl Event {
    /// The event, if it is one of those somebody acts on.
    pub(super) fn from_wire(any: AnyEvent) -> Option<Self> {
        Some(match any.kind.as_str() {
            "StasisStart" => Self::StasisStart { channel: any.channel, replaces: any.replace_channel.map(Box::new) },
            "ChannelDtmfReceived" => {
                let (digit, held) = (any.digit.chars().next(), Duration::from_millis(any.duration_ms.into()));
                Self::ChannelDtmfReceived { channel: any.channel, digit, held, at: any.timestamp }
            }
            "ChannelHold" => Self::ChannelHold(any.channel),
            "ChannelUnhold" => Self::ChannelUnhold(any.channel),
            "ChannelConnectedLine" => Self::ChannelConnectedLine(any.channel),
            "StasisEnd" => Self::StasisEnd(any.channel),
            "ChannelDestroyed" => Self::ChannelDestroyed { channel: any.channel, cause: any.cause },
            "PlaybackFinished" => Self::PlaybackFinished { playback: any.playback.id },
            "EndpointStateChange" => Self::EndpointStateChange(any.endpoint),
            _ => return None,
        })
    }
}
