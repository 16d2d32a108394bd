//! One JSON object a line for each event: for scripts and tests.

use jiff::Timestamp;
use serde::Serialize;

use crate::{client::Event, pop::Pop};

#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    #[serde(flatten)]
    event: Body<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Body<'a> {
    Link {
        up: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'a str>,
    },
    Subscribed,
    Waiting {
        why: &'a str,
    },
    Pop(&'a Pop),
    Closed {
        call: &'a str,
    },
    Malformed {
        item: &'a str,
        why: &'a str,
    },
}

/// The line for an event, without its end.
pub fn line(at: Timestamp, event: &Event) -> String {
    let event = match event {
        Event::LinkUp => Body::Link { up: true, why: None },
        Event::LinkDown { why } => Body::Link { up: false, why: Some(why) },
        Event::Subscribed => Body::Subscribed,
        Event::Waiting { why } => Body::Waiting { why },
        Event::Pop(pop) => Body::Pop(pop),
        Event::Closed { call } => Body::Closed { call },
        Event::Malformed { item, why } => Body::Malformed { item, why },
    };
    serde_json::to_string(&Line { at, event }).expect("these types always have a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pop::{Caller, Customer};

    #[test]
    fn a_pop_is_one_flat_line() {
        let at: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let pop = Pop {
            state: "offered".into(),
            call: "c".into(),
            revision: 1,
            extension: "1000".into(),
            queue: "support".into(),
            customer: Customer { id: 1, code: "1111".into(), name: "A, \"B\"".into(), link: None },
            caller: Caller { number: "2000".into(), name: String::new() },
            entered: at,
            changed: at,
            private: false,
            test: false,
        };
        assert_eq!(
            line(at, &Event::Pop(pop)),
            r#"{"at":"2026-11-21T03:00:00Z","event":"pop","state":"offered","call":"c","revision":1,"extension":"1000","queue":"support","customer":{"id":1,"code":"1111","name":"A, \"B\""},"caller":{"number":"2000","name":""},"entered":"2026-11-21T03:00:00Z","changed":"2026-11-21T03:00:00Z"}"#
        );
        assert_eq!(line(at, &Event::LinkUp), r#"{"at":"2026-11-21T03:00:00Z","event":"link","up":true}"#);
    }
}
