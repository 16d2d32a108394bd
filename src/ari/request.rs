//! Requests to Asterisk, as values: the same over the WebSocket and over HTTP.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    ari::Error,
    domain::id::{BridgeId, ChannelId},
};

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub(super) method: Method,
    /// Below `/ari/`, each segment encoded.
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The JSON text; empty for 204.
    pub body: String,
}

impl Response {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Error::Refused`] with status 200 when it has another form than expected.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.body)
            .map_err(|e| Error::Refused { status: 200, message: format!("unexpected answer: {e}") })
    }
}

/// How an originated leg shows its caller: `"name" <number>`; Asterisk parses it, so quotes and control characters go.
fn caller_id(name: &str, number: &str) -> String {
    let clean = |text: &str, drop: &[char]| -> String {
        text.chars().filter(|c| !c.is_control() && !drop.contains(c)).take(80).collect()
    };
    let name = clean(name, &['"', '\\', '<', '>']);
    let number = clean(number, &['"', '\\', '<', '>', ' ']);
    match (name.is_empty(), number.is_empty()) {
        (false, _) => format!("\"{name}\" <{number}>"),
        (true, _) => format!("<{number}>"),
    }
}

/// Where Asterisk, which follows a phone that forwards (SIP 302), looks for the number that the phone names: nowhere, so that the
/// call ends instead. What comes of a forward has an id of Asterisk's own and would be nobody's.
const FORWARDED_TO: (&str, &str) = ("FORWARD_CONTEXT", "usher-nowhere");

/// What is needed to place a call.
#[derive(Debug, Clone)]
pub struct Originate<'a> {
    /// Id of the new channel.
    pub channel: &'a ChannelId,
    /// `PJSIP/1000`
    pub endpoint: &'a str,
    /// Application it enters when answered.
    pub app: &'a str,
    /// On whose behalf, if anybody's: must exist, else Asterisk refuses.
    pub originator: Option<&'a ChannelId>,
    /// Name shown on the phone.
    pub caller_name: &'a str,
    /// Number shown on the phone.
    pub caller_number: &'a str,
    /// Seconds until Asterisk gives up by itself.
    pub timeout: u64,
    /// Channel variables of the new leg.
    pub variables: Value,
}

impl Request {
    fn new(method: Method, path: String) -> Self {
        Self { method, path, query: Vec::new(), body: None }
    }

    fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Its method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Its path below `/ari/`, encoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The names of its query parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.query.iter().map(|(name, _)| *name)
    }

    /// Path and query, as they stand behind `/ari/`.
    pub(super) fn uri(&self) -> String {
        let mut uri = self.path.clone();
        for (index, (key, value)) in self.query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            uri.push_str(key);
            uri.push('=');
            uri.push_str(&encode(value));
        }
        uri
    }

    /// Version of Asterisk.
    pub fn info() -> Self {
        Self::new(Method::Get, "asterisk/info".into()).with("only", "system")
    }

    /// Which Asterisk it is: the machine, and when it was started.
    pub fn identity() -> Self {
        Self::new(Method::Get, "asterisk/info".into()).with("only", "system,status")
    }

    /// All modules of the server.
    pub fn modules() -> Self {
        Self::new(Method::Get, "asterisk/modules".into())
    }

    /// All channels of the server.
    pub fn channels() -> Self {
        Self::new(Method::Get, "channels".into())
    }

    /// One channel.
    pub fn channel(channel: &ChannelId) -> Self {
        Self::new(Method::Get, format!("channels/{}", encode(channel.as_str())))
    }

    /// All bridges of the server.
    pub fn bridges() -> Self {
        Self::new(Method::Get, "bridges".into())
    }

    /// All phones of the server.
    pub fn endpoints() -> Self {
        Self::new(Method::Get, "endpoints".into())
    }

    /// One phone as the configuration has it: what each of its settings is.
    pub fn pjsip_endpoint(name: &str) -> Self {
        Self::new(Method::Get, format!("asterisk/config/dynamic/res_pjsip/endpoint/{}", encode(name)))
    }

    /// One sound, by its name in Asterisk's form: its formats and languages.
    pub fn sound(name: &str) -> Self {
        Self::new(Method::Get, format!("sounds/{}", encode(name)))
    }

    /// Subscribes the application to something: `endpoint:PJSIP`.
    pub fn subscribe(app: &str, source: &str) -> Self {
        Self::new(Method::Post, format!("applications/{}/subscription", encode(app))).with("eventSource", source)
    }

    /// Asks for these types of events only.
    pub fn filter_events(app: &str, types: &[&str]) -> Self {
        let allowed: Vec<Value> = types.iter().map(|name| serde_json::json!({ "type": name })).collect();
        Self::new(Method::Put, format!("applications/{}/eventFilter", encode(app)))
            .with_body(serde_json::json!({ "allowed": allowed }))
    }

    /// Reads a channel variable.
    pub fn variable(channel: &ChannelId, name: &str) -> Self {
        Self::new(Method::Get, format!("channels/{}/variable", encode(channel.as_str()))).with("variable", name)
    }

    /// Sets a channel variable.
    pub fn set_variable(channel: &ChannelId, name: &str, value: &str) -> Self {
        Self::new(Method::Post, format!("channels/{}/variable", encode(channel.as_str())))
            .with_body(serde_json::json!({ "variable": name, "value": value }))
    }

    /// Reads a global variable of the dialplan; empty when it is not set.
    pub fn global(name: &str) -> Self {
        Self::new(Method::Get, "asterisk/variable".into()).with("variable", name)
    }

    /// Sets a global variable of the dialplan.
    pub fn set_global(name: &str, value: &str) -> Self {
        Self::new(Method::Post, "asterisk/variable".into()).with("variable", name).with("value", value)
    }

    /// Answers a channel.
    pub fn answer(channel: &ChannelId) -> Self {
        Self::new(Method::Post, format!("channels/{}/answer", encode(channel.as_str())))
    }

    /// Hangs a channel up.
    pub fn hang_up(channel: &ChannelId) -> Self {
        Self::new(Method::Delete, format!("channels/{}", encode(channel.as_str())))
    }

    /// Lets a channel go on in the dialplan with the next priority.
    pub fn go_on(channel: &ChannelId) -> Self {
        Self::new(Method::Post, format!("channels/{}/continue", encode(channel.as_str())))
    }

    /// Lets a channel go on in another context of the dialplan, at its extension `s`.
    pub fn go_on_in(channel: &ChannelId, context: &str) -> Self {
        Self::new(Method::Post, format!("channels/{}/continue", encode(channel.as_str())))
            .with("context", context)
            .with("extension", "s")
            .with("priority", "1")
    }

    /// Plays sounds one after the other, under an id of ours.
    pub fn play(channel: &ChannelId, playback: &str, sounds: &[&str]) -> Self {
        let media: Vec<String> = sounds.iter().map(|sound| format!("sound:{sound}")).collect();
        Self::new(Method::Post, format!("channels/{}/play/{}", encode(channel.as_str()), encode(playback)))
            .with("media", media.join(","))
    }

    /// Plays the tone of a phone that rings, until it is stopped.
    pub fn ring_tone(channel: &ChannelId, playback: &str) -> Self {
        Self::new(Method::Post, format!("channels/{}/play/{}", encode(channel.as_str()), encode(playback)))
            .with("media", "tone:ring")
    }

    /// Plays sounds one after the other and then, until it is stopped, the tone of a phone that rings.
    pub fn play_and_ring(channel: &ChannelId, playback: &str, sounds: &[&str]) -> Self {
        let sounds = sounds.iter().map(|sound| format!("sound:{sound}"));
        let media: Vec<String> = sounds.chain(["tone:ring".to_owned()]).collect();
        Self::new(Method::Post, format!("channels/{}/play/{}", encode(channel.as_str()), encode(playback)))
            .with("media", media.join(","))
    }

    /// Stops a playback.
    pub fn stop_playback(playback: &str) -> Self {
        Self::new(Method::Delete, format!("playbacks/{}", encode(playback)))
    }

    /// Changes nothing at a channel to which we play no ringing: it is refused when the channel does not wait in the application.
    pub fn waits(channel: &ChannelId) -> Self {
        Self::new(Method::Delete, format!("channels/{}/ring", encode(channel.as_str())))
    }

    /// Starts music.
    pub fn start_music(channel: &ChannelId, class: &str) -> Self {
        Self::new(Method::Post, format!("channels/{}/moh", encode(channel.as_str()))).with("mohClass", class)
    }

    /// Stops music.
    pub fn stop_music(channel: &ChannelId) -> Self {
        Self::new(Method::Delete, format!("channels/{}/moh", encode(channel.as_str())))
    }

    /// Places a call. A phone that forwards it counts as one that is not there.
    pub fn originate(call: &Originate<'_>) -> Self {
        let request = Self::new(Method::Post, format!("channels/{}", encode(call.channel.as_str())))
            .with("endpoint", call.endpoint)
            .with("app", call.app);
        let request = match call.originator {
            Some(originator) => request.with("originator", originator.as_str()),
            None => request,
        };
        let mut variables = call.variables.clone();
        variables[FORWARDED_TO.0] = FORWARDED_TO.1.into();
        request
            .with("timeout", call.timeout.to_string())
            .with("callerId", caller_id(call.caller_name, call.caller_number))
            .with_body(serde_json::json!({ "variables": variables }))
    }

    /// Runs an extension of the dialplan, on a Local channel: the half with this id waits, unanswered, and is gone with
    /// the other half, which has these variables and runs it.
    pub fn run(channel: &ChannelId, context: &str, extension: &str, variables: Value) -> Self {
        Self::new(Method::Post, format!("channels/{}", encode(channel.as_str())))
            .with("endpoint", format!("Local/{extension}@{context}/n"))
            // Where the waiting half would go if the other one answered.
            .with("context", context)
            .with("extension", "answered")
            .with("priority", "1")
            .with_body(serde_json::json!({ "variables": variables }))
    }

    /// Makes a bridge that mixes.
    pub fn make_bridge(bridge: &BridgeId) -> Self {
        Self::new(Method::Post, format!("bridges/{}", encode(bridge.as_str())))
            .with("type", "mixing")
            .with("name", bridge.as_str())
    }

    /// Puts channels into a bridge.
    pub fn join(bridge: &BridgeId, channels: &[&ChannelId]) -> Self {
        let channels: Vec<&str> = channels.iter().map(|c| c.as_str()).collect();
        Self::new(Method::Post, format!("bridges/{}/addChannel", encode(bridge.as_str())))
            .with("channel", channels.join(","))
    }

    /// Takes a channel out of a bridge.
    pub fn leave(bridge: &BridgeId, channel: &ChannelId) -> Self {
        Self::new(Method::Post, format!("bridges/{}/removeChannel", encode(bridge.as_str())))
            .with("channel", channel.as_str())
    }

    /// Records what is said in a bridge into the file `NAME.wav`, until the bridge is gone; goes on at the end of a file that is
    /// there. A conflict if that is being done already.
    pub fn record(bridge: &BridgeId, name: &str) -> Self {
        Self::new(Method::Post, format!("bridges/{}/record", encode(bridge.as_str())))
            .with("name", name)
            .with("format", "wav")
            .with("ifExists", "append")
    }

    /// The recordings that are kept: refused where Asterisk has no folder for them.
    pub fn stored_recordings() -> Self {
        Self::new(Method::Get, "recordings/stored".into())
    }

    /// Leaves out of a recording what comes until it goes on.
    pub fn pause_recording(name: &str) -> Self {
        Self::new(Method::Post, format!("recordings/live/{}/pause", encode(name)))
    }

    /// Has a recording go on that pauses.
    pub fn resume_recording(name: &str) -> Self {
        Self::new(Method::Delete, format!("recordings/live/{}/pause", encode(name)))
    }

    /// Takes a bridge down.
    pub fn drop_bridge(bridge: &BridgeId) -> Self {
        Self::new(Method::Delete, format!("bridges/{}", encode(bridge.as_str())))
    }
}

/// Percent-encodes everything but letters, digits and `-._~` (RFC 3986 section 2.3).
pub(super) fn encode(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_separators_and_utf_8_stays_one_value() {
        let request = Request::variable(&ChannelId::new("1.2"), "A&B=C,é %");
        assert_eq!(request.uri(), "channels/1.2/variable?variable=A%26B%3DC%2C%C3%A9%20%25");
    }

    #[test]
    fn a_hostile_caller_id_cannot_leave_its_quotes() {
        assert_eq!(caller_id("Bob\" <911>\n", "5551\"001"), "\"Bob 911\" <5551001>");
        assert_eq!(caller_id("", "2000"), "<2000>");
        assert_eq!(caller_id("", ""), "<>");
    }
}
