//! The JSON forms of Asterisk that we read. Unknown fields are ignored, missing ones are empty.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A channel as events and lists show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// Its id, chosen by us for legs of ours.
    pub id: String,
    /// `PJSIP/1000-00000001`
    pub name: String,
    /// `Down`, `Ring`, `Ringing`, `Up` …
    pub state: String,
    /// Who is at the other end.
    pub caller: Caller,
    /// What it does in the dialplan.
    pub dialplan: Box<Dialplan>,
    /// Its variables, as far as `channelvars` in `ari.conf` names them; those that are not set are empty. True when a
    /// channel enters an application; in lists it may be behind.
    pub channelvars: HashMap<String, String>,
}

/// Where a channel is in the dialplan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dialplan {
    /// Context,
    pub context: String,
    /// and extension.
    pub exten: String,
    /// `Stasis` while the channel is in an application.
    pub app_name: String,
    /// The application's name and arguments.
    pub app_data: String,
}

impl Channel {
    /// Whether the channel is inside this Stasis application.
    pub fn is_in(&self, app: &str) -> bool {
        self.dialplan.app_name == "Stasis" && self.dialplan.app_data.split(',').next() == Some(app)
    }
}

/// Caller id of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Caller {
    /// Name.
    pub name: String,
    /// Number.
    pub number: String,
}

/// A bridge as lists show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Bridge {
    /// Its id, chosen by us for bridges of ours.
    pub id: String,
    /// Ids of the channels in it.
    pub channels: Vec<String>,
}

/// A phone as Asterisk sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// `PJSIP`
    pub technology: String,
    /// `1000`
    pub resource: String,
    /// `online`, `offline` or `unknown`
    pub state: String,
    /// Its channels, whoever made them.
    pub channel_ids: Vec<String>,
}

/// The value of a channel variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Variable {
    /// The text; empty when it is not set.
    pub value: String,
}

/// `GET /asterisk/info`, as far as we ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Info {
    /// `only=system`
    pub system: System,
    /// `only=status`
    pub status: Status,
}

/// Part of [`Info`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `2026-11-21T15:48:43.647+0000`
    pub startup_time: String,
}

/// Part of [`Info`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct System {
    /// `22.10.1`
    pub version: String,
    /// Of the machine: `02:fc:00:00:00:05`
    pub entity_id: String,
}

/// Any event, as far as we read them: the type says which fields count.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AnyEvent {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) channel: Channel,
    pub(super) replace_channel: Option<Channel>,
    pub(super) endpoint: Endpoint,
    pub(super) playback: Playback,
    pub(super) cause: i32,
    pub(super) digit: String,
    pub(super) duration_ms: u32,
    pub(super) timestamp: String,
    // A response to a request that travelled over the same socket.
    pub(super) request_id: String,
    pub(super) status_code: u16,
    pub(super) message_body: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Playback {
    pub(super) id: String,
}

/// A request over the event WebSocket.
#[derive(Debug, Serialize)]
pub(super) struct RestRequest<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) transaction_id: &'a str,
    pub(super) request_id: &'a str,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_body: Option<String>,
}
