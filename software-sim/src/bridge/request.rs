//! What is said to a receiver, and in which form. Pure.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    bridge::{
        calls::{Kind, Step},
        outbox::Delivery,
        retry::Repetition,
    },
    pop::Pop,
};

/// What one request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A revision, or that there is none any more.
    Json {
        /// What happened.
        kind: Kind,
    },
    /// One of Zammad's events.
    Zammad {
        /// Which.
        event: Cti,
        /// The revision that the call began with on this desk.
        first: u32,
    },
}

/// An event of Zammad's generic CTI interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cti {
    /// The desk is offered a call.
    NewCall,
    /// They talk.
    Answer,
    /// It is over.
    Hangup(Cause),
}

/// Why it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// They have talked.
    NormalClearing,
    /// The phone rang and was not answered here.
    NoAnswer,
    /// The call left before the phone rang.
    Cancel,
}

impl Content {
    /// Whether a receiver needs it to know that a call is over.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Json { kind: Kind::Ended | Kind::Closed } | Self::Zammad { event: Cti::Hangup(_), .. } => true,
            Self::Json { kind: Kind::Began | Kind::Went } | Self::Zammad { event: Cti::NewCall | Cti::Answer, .. } => {
                false
            }
        }
    }

    /// What the receiver does with a second one.
    pub fn repetition(&self) -> Repetition {
        match self {
            Self::Zammad { event: Cti::NewCall, .. } => Repetition::Refused,
            Self::Json { .. } | Self::Zammad { event: Cti::Answer | Cti::Hangup(_), .. } => Repetition::Taken,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json { kind: Kind::Began } => "the beginning",
            Self::Json { kind: Kind::Went } => "a revision",
            Self::Json { kind: Kind::Ended } => "the end",
            Self::Json { kind: Kind::Closed } => "the retraction",
            Self::Zammad { event: Cti::NewCall, .. } => "newCall",
            Self::Zammad { event: Cti::Answer, .. } => "answer",
            Self::Zammad { event: Cti::Hangup(_), .. } => "hangup",
        })
    }
}

/// The form in which a receiver wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Ours: a signed JSON object for each revision.
    Json,
    /// Zammad's generic CTI interface.
    Zammad {
        /// How Zammad knows who sits at an extension.
        agents: BTreeMap<String, Agent>,
    },
}

/// How Zammad knows an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Name, as it is shown in the caller log.
    pub name: Option<String>,
    /// What Zammad finds the user by: phone, login or id. The extension, where none is given.
    pub number: Option<String>,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    last: bool,
    pop: &'a Pop,
}

impl Format {
    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Zammad { .. } => "zammad",
        }
    }

    /// The requests that follow from what happened.
    pub fn deliveries(&self, step: &Step) -> Vec<Delivery> {
        let contents = match self {
            Self::Json => vec![Content::Json { kind: step.kind }],
            // Nobody calls, and a caller log has no mark for that.
            Self::Zammad { .. } if step.life.pop.test => Vec::new(),
            Self::Zammad { .. } => {
                cti(step).into_iter().map(|event| Content::Zammad { event, first: step.life.first }).collect()
            }
        };
        let pop = &step.life.pop;
        let to = |content: Content| {
            let what = match content {
                Content::Json { kind: Kind::Closed } => "-closed",
                Content::Json { kind: Kind::Began | Kind::Went | Kind::Ended } => "",
                Content::Zammad { event: Cti::NewCall, .. } => "-newCall",
                Content::Zammad { event: Cti::Answer, .. } => "-answer",
                Content::Zammad { event: Cti::Hangup(_), .. } => "-hangup",
            };
            let id = format!("{}-{}-{}{what}", pop.call, pop.extension, pop.revision);
            Delivery { id, key: step.key.clone(), content, pop: pop.clone() }
        };
        contents.into_iter().map(to).collect()
    }

    /// The body that says it.
    pub fn body(&self, delivery: &Delivery) -> Body {
        let pop = &delivery.pop;
        match delivery.content {
            Content::Json { kind } => {
                let last = delivery.content.is_end();
                let kind = if kind == Kind::Closed { "closed" } else { "pop" };
                let envelope = Envelope { id: &delivery.id, kind, last, pop };
                let bytes = serde_json::to_vec(&envelope).expect("these types always have a JSON form");
                Body { media_type: "application/json", bytes }
            }
            Content::Zammad { event, first } => {
                let agent = match self {
                    Self::Zammad { agents } => agents.get(&pop.extension).cloned().unwrap_or_default(),
                    Self::Json => Agent::default(),
                };
                let bytes = form(pop, event, first, &agent).into_bytes();
                Body { media_type: "application/x-www-form-urlencoded", bytes }
            }
        }
    }
}

/// What Zammad is told of it. A life that begins in a talk begins with two events; a ring after an offer is none.
fn cti(step: &Step) -> Vec<Cti> {
    let begins_to_talk = step.life.has_talked && !step.had_talked;
    let cause = if step.life.has_talked {
        Cause::NormalClearing
    } else if step.life.has_rung {
        Cause::NoAnswer
    } else {
        Cause::Cancel
    };
    let events = [
        (step.kind == Kind::Began).then_some(Cti::NewCall),
        begins_to_talk.then_some(Cti::Answer),
        matches!(step.kind, Kind::Ended | Kind::Closed).then_some(Cti::Hangup(cause)),
    ];
    events.into_iter().flatten().collect()
}

fn form(pop: &Pop, event: Cti, first: u32, agent: &Agent) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    let (name, cause) = match event {
        Cti::NewCall => ("newCall", None),
        Cti::Answer => ("answer", None),
        Cti::Hangup(Cause::NormalClearing) => ("hangup", Some("normalClearing")),
        Cti::Hangup(Cause::NoAnswer) => ("hangup", Some("noAnswer")),
        Cti::Hangup(Cause::Cancel) => ("hangup", Some("cancel")),
    };
    let from = if pop.caller.number.is_empty() { "anonymous" } else { &pop.caller.number };
    form.append_pair("event", name);
    form.append_pair("from", from);
    form.append_pair("to", &pop.extension);
    form.append_pair("direction", "in");
    form.append_pair("callId", &format!("{}-{}-{first}", pop.call, pop.extension));
    form.append_pair("queue", &pop.queue);
    if let Some(name) = &agent.name {
        form.append_pair("user[]", name);
    }
    if event != Cti::NewCall {
        form.append_pair("answeringNumber", agent.number.as_deref().unwrap_or(&pop.extension));
    }
    if let Some(cause) = cause {
        form.append_pair("cause", cause);
    }
    form.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::calls::{
        Calls, Key,
        tests::{at, pop},
    };

    fn zammad() -> Format {
        let emma = Agent { name: Some("Emma Taylor".into()), number: Some("emma@example.org".into()) };
        Format::Zammad { agents: [("1000".to_owned(), emma)].into() }
    }

    /// Bodies for these revisions, and for a retraction where `closed` stands.
    fn bodies(format: &Format, story: &[(u32, &str)]) -> Vec<String> {
        let mut calls = Calls::default();
        let key = Key { node: "n".into(), call: "c".into() };
        let mut steps = story.iter().filter_map(|(revision, state)| match *state {
            "closed" => calls.closed(&key, at(0)),
            state => calls.revision("n", pop(*revision, state), at(0)),
        });
        let mut all = Vec::new();
        for step in &mut steps {
            all.extend(format.deliveries(&step).iter().map(|it| String::from_utf8(format.body(it).bytes).unwrap()));
        }
        all
    }

    /// Event and cause of each.
    fn told(story: &[(u32, &str)]) -> Vec<String> {
        let field = |body: &String, name: &str| {
            let fields: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            fields.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let bodies = bodies(&zammad(), story);
        let word =
            |body| [field(body, "event"), field(body, "cause")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        bodies.iter().map(word).collect()
    }

    #[test]
    fn a_test_pop_is_marked_in_the_json_and_not_told_to_zammad() {
        let mut calls = Calls::default();
        let marked = Pop { test: true, ..pop(1, "offered") };
        let step = calls.revision("n", marked, at(0)).unwrap();
        assert_eq!(zammad().deliveries(&step), []);
        let json = Format::Json.deliveries(&step);
        let body: serde_json::Value = serde_json::from_slice(&Format::Json.body(&json[0]).bytes).unwrap();
        assert_eq!(body["pop"]["test"], true);
    }

    #[test]
    fn the_json_has_all_fields_of_the_pop_and_an_id_that_tries_share() {
        let body = bodies(&Format::Json, &[(2, "ringing")]).remove(0);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["id"], "c-1000-2");
        assert_eq!((value["type"].as_str(), value["last"].as_bool()), (Some("pop"), Some(false)));
        let written: Pop = serde_json::from_value(value["pop"].clone()).unwrap();
        assert_eq!(written, pop(2, "ringing"));
    }

    #[test]
    fn the_json_of_the_end_says_that_it_is_the_end() {
        let ends = |story: &[(u32, &str)]| {
            let value: serde_json::Value = serde_json::from_str(bodies(&Format::Json, story).last().unwrap()).unwrap();
            (value["id"].clone(), value["type"].clone(), value["last"].clone(), value["pop"]["state"].clone())
        };
        let of = |id: &str, kind: &str, state: &str| (id.into(), kind.into(), true.into(), state.into());
        assert_eq!(ends(&[(1, "offered"), (3, "withdrawn")]), of("c-1000-3", "pop", "withdrawn"));
        assert_eq!(
            ends(&[(1, "offered"), (2, "answered"), (0, "closed")]),
            of("c-1000-2-closed", "closed", "answered")
        );
    }

    #[test]
    fn the_states_of_a_pop_are_zammads_events() {
        let whole = [(1, "offered"), (2, "ringing"), (3, "answered"), (4, "ended")];
        assert_eq!(told(&whole), ["newCall", "answer", "hangup normalClearing"]);
        assert_eq!(told(&[(1, "offered"), (2, "withdrawn")]), ["newCall", "hangup cancel"]);
        assert_eq!(told(&[(1, "offered"), (2, "ringing"), (3, "withdrawn")]), ["newCall", "hangup noAnswer"]);
        assert_eq!(told(&[(5, "answered"), (6, "ended")]), ["newCall", "answer", "hangup normalClearing"]);
        assert_eq!(told(&[(1, "offered"), (6, "ended")]), ["newCall", "answer", "hangup normalClearing"]);
        assert_eq!(told(&[(1, "offered"), (2, "held"), (0, "closed")]), ["newCall", "hangup cancel"]);
        assert_eq!(told(&[(1, "ringing"), (0, "closed")]), ["newCall", "hangup noAnswer"]);
        assert_eq!(told(&[(1, "answered"), (0, "closed")]), ["newCall", "answer", "hangup normalClearing"]);
    }

    #[test]
    fn zammads_fields_are_form_encoded_and_a_life_keeps_its_id() {
        let bodies = bodies(&zammad(), &[(3, "offered"), (4, "answered")]);
        let start = "from=2000&to=1000&direction=in&callId=c-1000-3&queue=support&user%5B%5D=Emma+Taylor";
        assert_eq!(bodies[0], format!("event=newCall&{start}"));
        assert_eq!(bodies[1], format!("event=answer&{start}&answeringNumber=emma%40example.org"));
    }

    #[test]
    fn a_withheld_number_is_anonymous_and_an_unknown_agent_goes_by_the_extension() {
        let mut calls = Calls::default();
        let mut withheld = pop(1, "answered");
        withheld.caller.number = String::new();
        let format = Format::Zammad { agents: BTreeMap::new() };
        let deliveries = format.deliveries(&calls.revision("n", withheld, at(0)).unwrap());
        let body = String::from_utf8(format.body(&deliveries[1]).bytes).unwrap();
        assert_eq!(
            body,
            "event=answer&from=anonymous&to=1000&direction=in&callId=c-1000-1&queue=support&answeringNumber=1000"
        );
    }
}
