//! `usher why`: the story of a call, and for each offer who could have had it and what decided.

use anyhow::{Result, bail};
use clap::Args;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    cli::{
        ListOptions, explain, ready, say,
        table::{self, cell},
    },
    config,
    db::{moment::Moment, statements},
    domain::id::Extension,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Id of the call, as `usher report calls` and the log show it.
    #[arg(value_name = "CALL", value_parser = call_id)]
    call: Uuid,
    #[command(flatten)]
    options: ListOptions,
}

fn call_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "expected the id of a call: `usher report calls` shows them".to_owned())
}

/// How the member of an offer was chosen. Read tolerantly: what is not there is left out, what is more is not minded.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    rule: Value,
    chosen: Value,
    candidates: Vec<Candidate>,
    /// Candidates that are not listed.
    more: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Candidate {
    extension: String,
    verdict: Value,
    figures: Value,
}

/// One row of `call_events`.
struct Event {
    at: Moment,
    kind: String,
    extension: Option<String>,
    offer: Option<i32>,
    detail: Value,
}

pub(super) async fn run(Arguments { call, options }: &Arguments, database: &config::Database) -> Result<()> {
    let single = ready(database).await?;
    let client = &single.client;
    let row = client.query_opt(statements::WHY_CALL, &[call]).await.map_err(explain)?;
    let known: Option<Value> = row.map(|row| row.get(0));
    let rows = client.query(statements::WHY_EVENTS, &[call]).await.map_err(explain)?;
    let events: Vec<Event> = rows.iter().map(event).collect::<Result<_, _>>().map_err(explain)?;
    if known.is_none() && events.is_empty() {
        bail!("there is no call {call}: see `usher report calls --from DAY`");
    }
    if options.json {
        let events: Vec<Value> = events.iter().map(Event::json).collect();
        return say(&format!("{:#}", json!({ "call": known, "events": events })));
    }
    say(&heading(*call, known.as_ref()))?;
    let zone = TimeZone::system();
    let first = events.iter().find_map(|event| event.at.known());
    for event in &events {
        let when = match event.at {
            Moment::Known(at) => {
                let since = at.duration_since(first.unwrap_or(at)).as_secs_f64();
                format!("{} {since:+9.3} s", at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f"))
            }
            // As wide as a time.
            Moment::Beyond(_) => format!("{:<35}", event.at.to_string()),
        };
        say(&format!("{when}  {}", event.words()))?;
        if let Some(table) = event.choice().and_then(|choice| choice.table()) {
            say(&table)?;
        }
    }
    Ok(())
}

fn event(row: &Row) -> Result<Event, tokio_postgres::Error> {
    Ok(Event {
        at: row.try_get("at")?,
        kind: row.try_get("kind")?,
        extension: row.try_get("extension")?,
        offer: row.try_get("offer")?,
        detail: row.try_get("detail")?,
    })
}

fn heading(call: Uuid, known: Option<&Value>) -> String {
    let Some(known) = known else { return format!("call {call}, of which only these steps are known") };
    let word = |column: &str| cell(&known[column]);
    let has = |column: &str| known[column].as_str().is_some_and(|text| !text.is_empty());
    let number = if has("caller_number") { word("caller_number") } else { "a withheld number".to_owned() };
    let end = match (&known["outcome"], &known["answered_by"]) {
        (Value::Null, _) => "not over".to_owned(),
        (_, Value::Null) => format!("not answered, {}", words(&known["outcome"])),
        (_, _) => format!("answered by {}, {}", word("answered_by"), words(&known["outcome"])),
    };
    let recording = if has("recording") { format!("\nrecorded as {}", word("recording")) } else { String::new() };
    format!(
        "call {call}\nqueue {}, customer {} {}, from {number}, on {}: {end}",
        word("queue"),
        word("customer_code"),
        word("customer_name"),
        word("server")
    ) + &recording
}

impl Event {
    fn json(&self) -> Value {
        json!({
            "at": self.at.to_string(), "kind": self.kind, "extension": self.extension, "offer": self.offer, "detail": self.detail,
        })
    }

    fn choice(&self) -> Option<Choice> {
        if self.kind != "offered" || !self.detail["why"].is_object() {
            return None;
        }
        // In another form than this program knows it is shown as it is, see `words`.
        Choice::deserialize(&self.detail["why"]).ok()
    }

    /// What happened, in a line.
    fn words(&self) -> String {
        let who = self.extension.as_deref().map(|extension| cell(&extension.into())).unwrap_or_default();
        let offer = self.offer.unwrap_or_default();
        let of = |key: &str| words(&self.detail[key]);
        // Parties outside are no extension; the offer to one names the number.
        let number = self.detail["why"]["chosen"].as_str().map(Extension::new);
        let number = number.as_ref().and_then(|party| party.number_outside()).unwrap_or("somebody");
        let party = if who.is_empty() { format!("{} outside", cell(&number.into())) } else { who.clone() };
        match self.kind.as_str() {
            "entered" => format!("entered {}", of("queue")),
            "offered" => {
                let why = match (self.choice(), &self.detail["why"]) {
                    (Some(choice), _) if !choice.rule.is_null() => format!(": {}", words(&choice.rule)),
                    (Some(_), _) | (None, Value::Null) => String::new(),
                    (None, other) => format!(": {}", words(other)),
                };
                format!("offer {offer} goes to {party}{why}")
            }
            "ringing" => format!("{party} rings, pop {}", of("pop")),
            "offer_ended" => format!("offer {offer} to {party} ended: {}", of("why")),
            "declined" if of("reason").is_empty() => format!("{who} declined it"),
            // As it was written.
            "declined" => format!("{who} declined it: {}", cell(&self.detail["reason"])),
            "answered" => format!("{party} answered"),
            "callback_asked" => format!("asked to be called back, and keeps the place in {}", of("queue")),
            "callback_called" => format!("{who} answered, the caller is called back: try {}", of("try")),
            "callback_missed" => format!("try {} did not reach the caller: {}", of("try"), of("why")),
            "ended" => format!("ended: {}", of("outcome")),
            other => {
                let parts = [words(&other.into()), who, words(&self.detail)];
                parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

impl Choice {
    fn table(&self) -> Option<String> {
        if self.candidates.is_empty() {
            return None;
        }
        let mut table = table::empty();
        table.set_header(["candidate", "verdict", "figures"]);
        for Candidate { extension, verdict, figures } in &self.candidates {
            let extension = cell(&extension.as_str().into());
            let is_chosen = self.chosen.as_str() == Some(&extension);
            let mark = if is_chosen { format!("▶ {extension}") } else { extension };
            table.add_row([mark, words(verdict), words(figures)]);
        }
        let more = if self.more > 0 { format!("\nand {} more who are not listed", self.more) } else { String::new() };
        Some(format!("{table}{more}"))
    }
}

/// A value in words: `{"paused": "lunch"}` is `paused: lunch`, `not_logged_on` is `not logged on`.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains(' ') => cell(value),
        Value::String(_) => cell(value).replace('_', " "),
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(object) => pairs(object),
        Value::Bool(_) | Value::Number(_) => cell(value),
    }
}

fn pairs(object: &Map<String, Value>) -> String {
    let pair = |(key, value): (&String, &Value)| match words(value) {
        empty if empty.is_empty() => format!("{}: -", key.replace('_', " ")),
        words => format!("{}: {words}", key.replace('_', " ")),
    };
    object.iter().map(pair).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(why: Value) -> Event {
        Event {
            at: Moment::Known(jiff::Timestamp::UNIX_EPOCH),
            kind: "offered".into(),
            extension: Some("1000".into()),
            offer: Some(1),
            detail: json!({ "why": why }),
        }
    }

    #[test]
    fn a_choice_is_shown_with_its_rule_its_candidates_and_what_excluded_them() {
        let event = offered(json!({
            "rule": "least_recent", "chosen": "1000", "more": 3, "since": "a newer program",
            "candidates": [
                { "extension": "1000", "verdict": "chosen", "figures": { "last_turn": null, "calls_taken": 7 } },
                { "extension": "2000", "verdict": { "paused": "lunch" } },
            ],
        }));
        assert_eq!(event.words(), "offer 1 goes to 1000: least recent");
        let table = event.choice().unwrap().table().unwrap();
        for expected in ["▶ 1000", "last turn: -", "calls taken: 7", "paused: lunch", "and 3 more"] {
            assert!(table.contains(expected), "{expected}: {table}");
        }
    }

    #[test]
    fn a_choice_in_an_unknown_form_is_shown_as_it_is_and_none_at_all_is_left_out() {
        assert_eq!(offered(Value::Null).words(), "offer 1 goes to 1000");
        assert_eq!(offered("by_hand".into()).words(), "offer 1 goes to 1000: by hand");
        let odd = offered(json!({ "candidates": 7 }));
        assert!(odd.choice().is_none());
        assert_eq!(odd.words(), "offer 1 goes to 1000: candidates: 7");
    }

    #[test]
    fn a_call_that_was_not_recorded_names_no_file_and_one_without_a_number_says_so() {
        for none in [Value::Null, "".into()] {
            let bare = heading(Uuid::nil(), Some(&json!({ "recording": none, "caller_number": none })));
            assert!(!bare.contains("recorded") && bare.contains("from a withheld number"), "{bare}");
        }
        let full = heading(Uuid::nil(), Some(&json!({ "recording": "usher-1.wav", "caller_number": "5551001" })));
        assert!(full.ends_with("\nrecorded as usher-1.wav") && full.contains("from 5551001"), "{full}");
    }

    #[test]
    fn a_name_that_would_steer_the_terminal_is_made_harmless() {
        assert_eq!(words(&"x\u{1b}[2J".into()), "x\u{FFFD}[2J");
        assert!(!heading(Uuid::nil(), Some(&json!({ "customer_name": "\u{1b}[2J" }))).contains('\u{1b}'));
    }
}
