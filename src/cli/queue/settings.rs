//! The options that set a queue's settings.

use anyhow::{Result, anyhow};
use clap::Args;
use jiff::SignedDuration as Duration;
use serde_json::{Map, Value};

use crate::domain::{
    name,
    pop::link::{self, InvalidTemplate},
    queue::{
        announce::Template,
        policy::{Emptiness, Overflow, Strategy},
    },
};

/// The names of all options.
pub(super) const WORDS: [&str; 35] = [
    "label",
    "number",
    "announcement",
    "greeting",
    "moh_class",
    "strategy",
    "ring_time",
    "retry",
    "wrap_up",
    "auto_pause_after",
    "weight",
    "sticky",
    "claim",
    "presence_away",
    "presence_offline",
    "queue_timeout",
    "max_waiting",
    "join_empty",
    "leave_empty",
    "overflow",
    "callback_key",
    "callback_tries",
    "callback_retry",
    "callback_ring_time",
    "callback_keep",
    "announce_frequency",
    "announce_position",
    "announce_holdtime",
    "periodic_announce",
    "periodic_announce_frequency",
    "member_greeting",
    "recording",
    "recording_prompt",
    "link",
    "service_level",
];

#[derive(Debug, Args)]
pub(in crate::cli) struct Settings {
    /// Name as people read it [default of a new queue: its name].
    #[arg(long, value_parser = name::label)]
    pub(super) label: Option<String>,
    /// What an agent dials to transfer a caller here, 1 to 20 of 0-9 * #; '' for no number [default of a new queue: ''].
    #[arg(long)]
    pub(super) number: Option<String>,
    /// Message to every logged-on member: {queue}, {code}, {name}, {number}, {position} are filled in; '' for none [default
    /// of a new queue: in English, '{queue}: Customer {name}'].
    #[arg(long)]
    pub(super) announcement: Option<String>,
    /// Sound that a caller hears on entering, without extension, at most half as long as the dialplan's USHER_SILENCE_SECONDS
    /// (60); '' for none [default of a new queue: usher/support_team].
    #[arg(long, value_parser = sounds)]
    greeting: Option<String>,
    /// Class of music on hold [default of a new queue: default].
    #[arg(long, value_name = "CLASS")]
    moh_class: Option<String>,

    /// Who of the free members is rung: ringall (everybody), leastrecent, fewestcalls, random, rrmemory, rrordered, linear or
    /// wrandom, each as in queues.conf [default of a new queue: leastrecent].
    #[arg(long, help_heading = "Members", value_name = "WORD")]
    strategy: Option<Strategy>,
    /// How long one member's phone rings, such as 15s [default of a new queue: 15s].
    #[arg(long, help_heading = "Members", value_name = "DURATION", value_parser = parse_duration)]
    ring_time: Option<Duration>,
    /// How long until members who let a call go by are tried for it again; 0s: not before another call [default of a new
    /// queue: 0s].
    #[arg(long, help_heading = "Members", value_name = "DURATION", value_parser = parse_duration)]
    retry: Option<Duration>,
    /// How long a member is offered nothing after a talk; 0s: not at all [default of a new queue: 0s].
    #[arg(long, help_heading = "Members", value_name = "DURATION", value_parser = parse_duration)]
    wrap_up: Option<Duration>,
    /// After how many unanswered offers in a row a member is paused; never: not at all [default of a new queue: never].
    #[arg(long, help_heading = "Members", value_name = "NUMBER", value_parser = or_never)]
    auto_pause_after: Option<Limit>,
    /// A member of several queues gets the callers of the one with the higher weight first; from 0 [default of a new queue:
    /// 0].
    #[arg(long, help_heading = "Members", value_name = "NUMBER")]
    weight: Option<i32>,
    /// How long the member whom a customer spoke with last is preferred for them, such as 24h; 0s: not at all [default of a
    /// new queue: 0s].
    #[arg(long, help_heading = "Members", value_name = "DURATION", value_parser = parse_duration)]
    sticky: Option<Duration>,

    /// How long a caller is given to nobody but the member who says `take`, before the strategy has them, such as 15s; 0s: not at
    /// all [default of a new queue: 0s].
    #[arg(long, help_heading = "Members", value_name = "DURATION", value_parser = parse_duration)]
    claim: Option<Duration>,
    /// After how long members who are away, or not to be disturbed, at their XMPP clients are paused until they are available again, such as
    /// 5m; 0s: not at all [default of a new queue: 0s].
    #[arg(long, help_heading = "Members", value_name = "DURATION", value_parser = parse_duration)]
    presence_away: Option<Duration>,
    /// After how long members who are at no XMPP client are warned, and a minute later logged off, such as 10m; 0s: not at all
    /// [default of a new queue: 0s].
    #[arg(long, help_heading = "Members", value_name = "DURATION", value_parser = parse_duration)]
    presence_offline: Option<Duration>,

    /// How long a caller waits before the overflow, such as 60s or 5m [default of a new queue: 1m].
    #[arg(long, help_heading = "Callers", value_name = "DURATION", value_parser = parse_duration)]
    queue_timeout: Option<Duration>,
    /// How many may wait; none: any number [default of a new queue: none].
    #[arg(long, help_heading = "Callers", value_name = "NUMBER", value_parser = or_none)]
    max_waiting: Option<Limit>,
    /// When nobody may enter: nobody (is logged on), or words of paused, penalty, inuse, ringing, unavailable, wrapup joined
    /// by commas: when one of them is true of each member who is logged on; never: anybody may [default of a new queue:
    /// nobody].
    #[arg(long, help_heading = "Callers", value_name = "WORDS")]
    join_empty: Option<Emptiness>,
    /// When those who wait are sent on; the same words [default of a new queue: nobody].
    #[arg(long, help_heading = "Callers", value_name = "WORDS")]
    leave_empty: Option<Emptiness>,
    /// Where callers go whom the queue does not take or keep: queue/NAME, extension/NUMBER, or dialplan: back to it [default
    /// of a new queue: dialplan].
    #[arg(long, help_heading = "Callers", value_name = "TARGET")]
    pub(super) overflow: Option<Overflow>,

    /// What a waiting caller presses to be called back and keep the place, one of 0-9, '*', '#'; '' for nothing: no callback
    /// [default of a new queue: ''].
    #[arg(long, help_heading = "Callback", value_name = "KEY")]
    callback_key: Option<String>,
    /// How often a caller is tried [default of a new queue: 3].
    #[arg(long, help_heading = "Callback", value_name = "NUMBER")]
    callback_tries: Option<i32>,
    /// How long after a try that did not reach them, such as 5m [default of a new queue: 5m].
    #[arg(long, help_heading = "Callback", value_name = "DURATION", value_parser = parse_duration)]
    callback_retry: Option<Duration>,
    /// How long their phone rings: shorter than a voice mailbox waits [default of a new queue: 30s].
    #[arg(long, help_heading = "Callback", value_name = "DURATION", value_parser = parse_duration)]
    callback_ring_time: Option<Duration>,
    /// How long a callback is kept, from the key on, such as 8h [default of a new queue: 8h].
    #[arg(long, help_heading = "Callback", value_name = "DURATION", value_parser = parse_duration)]
    callback_keep: Option<Duration>,
    /// How often callers are told their place or wait, such as 30s; the first time after as long; 0s: never [default of a new
    /// queue: 0s].
    #[arg(long, help_heading = "While they wait", value_name = "DURATION", value_parser = parse_duration)]
    announce_frequency: Option<Duration>,
    /// Whether that says their place in line: yes or no [default of a new queue: yes].
    #[arg(long, help_heading = "While they wait", value_name = "YES|NO", value_parser = yes_or_no)]
    announce_position: Option<bool>,
    /// Whether it says how long it is going to take, as far as the last calls tell: yes or no [default of a new queue: no].
    #[arg(long, help_heading = "While they wait", value_name = "YES|NO", value_parser = yes_or_no)]
    announce_holdtime: Option<bool>,
    /// Sounds that callers hear time and again, without extension, joined by '&', together at most half as long as the
    /// dialplan's USHER_SILENCE_SECONDS (60); '' for none [default of a new queue: ''].
    #[arg(long, help_heading = "While they wait", value_name = "SOUNDS", value_parser = sounds)]
    periodic_announce: Option<String>,
    /// How often they do, such as 60s; the first time after as long; 0s: never [default of a new queue: 1m].
    #[arg(long, help_heading = "While they wait", value_name = "DURATION", value_parser = parse_duration)]
    periodic_announce_frequency: Option<Duration>,

    /// Sound that a member hears before the caller, ten seconds of it at most, without extension; '' for none [default of a
    /// new queue: ''].
    #[arg(long, help_heading = "Talks", value_name = "SOUND", value_parser = sounds)]
    member_greeting: Option<String>,
    /// Whether the talks of callers who enter from now on are recorded: yes or no [default of a new queue: no].
    #[arg(long, help_heading = "Talks", value_name = "YES|NO", value_parser = yes_or_no)]
    recording: Option<bool>,
    /// Sound that tells callers so on entering, before the greeting, without extension; '' for none: tell them otherwise
    /// [default of a new queue: usher/recorded].
    #[arg(long, help_heading = "Talks", value_name = "SOUND", value_parser = sounds)]
    recording_prompt: Option<String>,

    /// Address of a customer's page, sent with each screen pop: {code}, {id}, {name} and {number} are filled in, as in
    /// https://crm.example/customers/{code}, or {token} alone, which with pops.private stands for all of them; '' for none
    /// [default of a new queue: ''].
    #[arg(long, help_heading = "Screen pops", value_name = "URL", value_parser = link)]
    link: Option<String>,

    /// An answer within this time counts as in time in reports [default of a new queue: 20s].
    #[arg(long, help_heading = "Record", value_name = "DURATION", value_parser = parse_duration)]
    service_level: Option<Duration>,
}

/// Reads a duration, a negative one too: which are allowed is the schema's to say, column by column.
fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a duration: expected a number with a unit, such as \"15s\" or \"2m\""))
}

/// A number, or none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<i32>);

fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("expected yes or no"),
    }
}

fn or_none(text: &str) -> Result<Limit, String> {
    limit(text, "none")
}

fn or_never(text: &str) -> Result<Limit, String> {
    limit(text, "never")
}

fn limit(text: &str, none: &str) -> Result<Limit, String> {
    if text == none {
        return Ok(Limit(None));
    }
    text.parse().map(|number| Limit(Some(number))).map_err(|_| format!("expected a number, or {none}"))
}

impl Settings {
    /// What is given, by the names of the columns.
    pub(super) fn object(self) -> Result<Value> {
        if let Some(text) = self.announcement.as_deref().filter(|text| !text.is_empty()) {
            text.parse::<Template>().map_err(|error| anyhow!("--announcement {text:?}: {error}"))?;
        }
        let mut object = Map::new();
        let mut put = |column: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(column.to_owned(), value);
            }
        };
        put("label", self.label.map(Value::from));
        put("number", self.number.map(|number| if number.is_empty() { Value::Null } else { number.into() }));
        put("announcement", self.announcement.map(Value::from));
        put("greeting", self.greeting.map(Value::from));
        put("moh_class", self.moh_class.map(Value::from));
        put("strategy", self.strategy.map(|word| word.as_str().into()));
        put("ring_time_seconds", seconds("--ring-time", self.ring_time)?);
        put("retry_seconds", seconds("--retry", self.retry)?);
        put("wrap_up_seconds", seconds("--wrap-up", self.wrap_up)?);
        put("auto_pause_after", self.auto_pause_after.map(|Limit(number)| number.into()));
        put("weight", self.weight.map(Value::from));
        put("sticky_seconds", seconds("--sticky", self.sticky)?);
        put("claim_seconds", seconds("--claim", self.claim)?);
        put("presence_away_seconds", seconds("--presence-away", self.presence_away)?);
        put("presence_offline_seconds", seconds("--presence-offline", self.presence_offline)?);
        put("queue_timeout_seconds", seconds("--queue-timeout", self.queue_timeout)?);
        put("max_waiting", self.max_waiting.map(|Limit(number)| number.into()));
        put("join_empty", self.join_empty.map(|words| words.to_string().into()));
        put("leave_empty", self.leave_empty.map(|words| words.to_string().into()));
        put("overflow", self.overflow.map(|target| target.to_string().into()));
        put("callback_key", self.callback_key.map(Value::from));
        put("callback_tries", self.callback_tries.map(Value::from));
        put("callback_retry_seconds", seconds("--callback-retry", self.callback_retry)?);
        put("callback_ring_seconds", seconds("--callback-ring-time", self.callback_ring_time)?);
        put("callback_keep_seconds", seconds("--callback-keep", self.callback_keep)?);
        put("announce_frequency_seconds", seconds("--announce-frequency", self.announce_frequency)?);
        put("announce_position", self.announce_position.map(Value::from));
        put("announce_holdtime", self.announce_holdtime.map(Value::from));
        put("periodic_announce", self.periodic_announce.map(Value::from));
        let frequency = seconds("--periodic-announce-frequency", self.periodic_announce_frequency)?;
        put("periodic_announce_frequency_seconds", frequency);
        put("member_greeting", self.member_greeting.map(Value::from));
        put("recording", self.recording.map(Value::from));
        put("recording_prompt", self.recording_prompt.map(Value::from));
        put("link", self.link.map(Value::from));
        put("service_level_seconds", seconds("--service-level", self.service_level)?);
        Ok(Value::Object(object))
    }
}

/// Names of sounds, below the folder of sounds or from the root on.
fn sounds(text: &str) -> Result<String, String> {
    match text.split('&').find(|name| name.split('/').any(|part| part == "..")) {
        Some(name) => Err(format!("{name:?} leads out of the folder of sounds: expected a name without '..'")),
        None => Ok(text.into()),
    }
}

/// A template of links, or nothing.
fn link(text: &str) -> Result<String, InvalidTemplate> {
    if !text.is_empty() {
        text.parse::<link::Template>()?;
    }
    Ok(text.into())
}

fn seconds(option: &str, time: Option<Duration>) -> Result<Option<Value>> {
    let Some(time) = time else { return Ok(None) };
    if time.subsec_nanos() != 0 {
        return Err(anyhow!("{option}: expected whole seconds, such as 15s"));
    }
    i32::try_from(time.as_secs()).map(|seconds| Some(seconds.into())).map_err(|_| anyhow!("{option}: too long"))
}
