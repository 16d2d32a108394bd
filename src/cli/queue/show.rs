//! One queue with all its settings, as the options that would set them.

use serde_json::Value;

use crate::cli::table::{self, cell};

/// Option, column, what it says when there is no value, and the meaning.
const SETTINGS: [(&str, &str, &str, &str); 35] = [
    ("--label", "label", "", "name as people read it"),
    ("--number", "number", "''", "what an agent dials to transfer a caller here"),
    ("--announcement", "announcement", "", "message to every logged-on member"),
    ("--greeting", "greeting", "", "sound that a caller hears on entering"),
    ("--moh-class", "moh_class", "", "class of music on hold"),
    ("--strategy", "strategy", "", "who of the free members is rung"),
    ("--ring-time", "ring_time_seconds", "", "how long one member's phone rings"),
    ("--retry", "retry_seconds", "", "until members who let a call go by are tried for it again; 0s: not at all"),
    ("--wrap-up", "wrap_up_seconds", "", "how long a member is offered nothing after a talk"),
    ("--auto-pause-after", "auto_pause_after", "never", "unanswered offers in a row until a member is paused"),
    ("--weight", "weight", "", "whose callers get a member of several queues: the higher first"),
    ("--sticky", "sticky_seconds", "", "how long the member whom a customer spoke with last is preferred"),
    ("--claim", "claim_seconds", "", "how long a caller is given to nobody but the member who takes them"),
    ("--presence-away", "presence_away_seconds", "", "after how long away at their clients members are paused"),
    ("--presence-offline", "presence_offline_seconds", "", "after how long at no client members are logged off"),
    ("--queue-timeout", "queue_timeout_seconds", "", "how long a caller waits before the overflow"),
    ("--max-waiting", "max_waiting", "none", "how many may wait"),
    ("--join-empty", "join_empty", "", "when nobody may enter"),
    ("--leave-empty", "leave_empty", "", "when those who wait are sent on"),
    ("--overflow", "overflow", "", "where callers go whom the queue does not take or keep"),
    ("--callback-key", "callback_key", "", "what a waiting caller presses to be called back; '': nothing"),
    ("--callback-tries", "callback_tries", "", "how often a caller is tried"),
    ("--callback-retry", "callback_retry_seconds", "", "how long after a try that did not reach them"),
    ("--callback-ring-time", "callback_ring_seconds", "", "how long their phone rings"),
    ("--callback-keep", "callback_keep_seconds", "", "how long a callback is kept"),
    (
        "--announce-frequency",
        "announce_frequency_seconds",
        "",
        "how often callers are told their place or wait; 0s: never",
    ),
    ("--announce-position", "announce_position", "", "whether that says their place in line"),
    ("--announce-holdtime", "announce_holdtime", "", "whether it says how long it is going to take"),
    ("--periodic-announce", "periodic_announce", "", "sounds that callers hear time and again"),
    (
        "--periodic-announce-frequency",
        "periodic_announce_frequency_seconds",
        "",
        "how often they do, if there are any; 0s: never",
    ),
    ("--member-greeting", "member_greeting", "", "sound that a member hears before the caller"),
    ("--recording", "recording", "", "whether the talks of callers who enter are recorded"),
    ("--recording-prompt", "recording_prompt", "", "sound that tells callers so on entering"),
    ("--link", "link", "", "address of a customer's page, sent with each screen pop"),
    ("--service-level", "service_level_seconds", "", "an answer within this time counts as in time"),
];

/// The settings of a row of `queues`.
pub(super) fn table(queue: &Value) -> String {
    let mut table = table::empty();
    table.set_header([&format!("queue {}", cell(&queue["name"])), "value", "meaning"]);
    for (option, column, none, meaning) in SETTINGS {
        table.add_row([option, &value(column, &queue[column], none), meaning]);
    }
    table.to_string()
}

/// The value as its option takes it.
fn value(column: &str, value: &Value, none: &str) -> String {
    match value {
        Value::Null => none.to_owned(),
        Value::String(text) if text.is_empty() => "''".to_owned(),
        Value::Number(number) if column.ends_with("_seconds") => spell(number.as_i64().unwrap_or_default()),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => cell(value),
    }
}

/// In the largest unit that it is a whole number of.
fn spell(seconds: i64) -> String {
    match seconds {
        1.. if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        1.. if seconds % 60 == 0 => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::queue::settings::WORDS;

    #[test]
    fn every_option_that_sets_something_is_shown() {
        let shown: Vec<String> =
            SETTINGS.iter().map(|(option, ..)| option.trim_start_matches("--").replace('-', "_")).collect();
        assert_eq!(shown, WORDS);
    }

    #[test]
    fn a_duration_that_is_shown_can_be_typed_in() {
        for seconds in [0, 1, 59, 60, 61, 90, 3600, 5400, 86_400, 31_536_000] {
            let time = crate::config::parse_duration(&spell(seconds)).unwrap();
            assert_eq!(i64::try_from(time.as_secs()), Ok(seconds), "{}", spell(seconds));
        }
        assert_eq!((spell(15), spell(120), spell(7200)), ("15s".into(), "2m".into(), "2h".into()));
    }
}
