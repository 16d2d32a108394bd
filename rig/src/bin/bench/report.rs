//! From what passed to figures.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::Value;
use usher_rig::{phones::Invite, proxy::Direction, xmpp::Received};

use crate::{
    frames::Frame,
    host::{self, Stop},
};

/// What the service may add, by the project's own aim.
const AIM: Duration = Duration::from_millis(10);

/// The moments of one call, each as it was first seen.
#[derive(Debug)]
pub struct Call {
    number: String,
    entered: Option<Instant>,
    ordered: Option<Instant>,
    invited: Option<Instant>,
    popped: Option<Instant>,
}

/// A part of a call.
type Span = fn(&Call) -> Option<Duration>;

impl Call {
    /// By the caller's number.
    pub fn find(number: &str, frames: &[Frame], invites: &[Invite], messages: &[Received]) -> Self {
        let text = |frame: &Frame, pointer: &str| {
            frame.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let first = |is: &dyn Fn(&Frame) -> bool| frames.iter().filter(|frame| is(frame)).map(|frame| frame.at).min();
        let entered = first(&|frame| {
            frame.direction == Direction::ToClient
                && text(frame, "/type") == "StasisStart"
                && text(frame, "/channel/caller/number") == number
        });
        let ordered = first(&|frame| {
            let uri = text(frame, "/uri");
            frame.direction == Direction::ToServer && uri.contains("endpoint=PJSIP") && uri.contains(number)
        });
        let invited = invites.iter().filter(|invite| invite.from == number).map(|i| i.at).min();
        let popped = messages.iter().filter(|message| offers(message, number)).map(|message| message.at).min();
        Self { number: number.to_owned(), entered, ordered, invited, popped }
    }

    fn span(from: Option<Instant>, to: Option<Instant>) -> Option<Duration> {
        to?.checked_duration_since(from?)
    }

    /// From the caller's arrival to the order to ring: the service, the pop confirmed.
    fn decided(&self) -> Option<Duration> {
        Self::span(self.entered, self.ordered)
    }

    /// From the order to the INVITE: Asterisk.
    fn obeyed(&self) -> Option<Duration> {
        Self::span(self.ordered, self.invited)
    }

    fn whole(&self) -> Option<Duration> {
        Self::span(self.entered, self.invited)
    }

    /// Whether a processor stood still while it was under way.
    fn met(&self, stops: &[Stop]) -> bool {
        let (Some(entered), Some(invited)) = (self.entered, self.invited) else { return false };
        stops.iter().any(|stop| stop.from < invited && entered < stop.until)
    }

    /// By how much the CRM was earlier than the phone.
    fn lead(&self) -> Option<Duration> {
        Self::span(self.popped, self.invited)
    }

    /// Number and microseconds: service, Asterisk, whole, lead of the CRM.
    pub fn line(&self) -> String {
        let [a, b, c, d] = [self.decided(), self.obeyed(), self.whole(), self.lead()]
            .map(|span| span.map_or_else(|| "-".to_owned(), |span| span.as_micros().to_string()));
        format!("{} {a} {b} {c} {d}", self.number)
    }
}

/// Whether a notification is the offer of this caller.
fn offers(message: &Received, number: &str) -> bool {
    const EVENT: &str = "http://jabber.org/protocol/pubsub#event";
    const POP: &str = "urn:usher:pop:1";
    let events = message.message.payloads.iter().filter(|payload| payload.is("event", EVENT));
    let items = events.filter_map(|event| event.get_child("items", EVENT));
    let pops = items.flat_map(|items| items.children()).filter_map(|item| item.get_child("pop", POP));
    pops.filter(|pop| pop.attr("state") == Some("offered"))
        .any(|pop| pop.get_child("caller", POP).is_some_and(|caller| caller.attr("number") == Some(number)))
}

/// Figures over all calls.
#[derive(Debug)]
pub struct Report<'a> {
    calls: &'a [Call],
    bare: Vec<Duration>,
}

impl<'a> Report<'a> {
    /// Of these calls, beside publishes without a call.
    pub fn new(calls: &'a [Call], bare: Vec<Duration>) -> Self {
        Self { calls, bare }
    }

    /// Whether every call was seen at every point.
    pub fn is_whole(&self) -> bool {
        self.calls.iter().all(|call| call.decided().is_some() && call.whole().is_some())
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut text = head();
        let rows: [(&str, Span); 4] = [
            ("StasisStart → order to ring (pop confirmed)", Call::decided),
            ("order to ring → INVITE (Asterisk)", Call::obeyed),
            ("StasisStart → INVITE, the whole", Call::whole),
            ("pop at the CRM → INVITE", Call::lead),
        ];
        let spans = rows.into_iter().map(|(name, span)| (name, sorted(self.calls.iter().filter_map(span))));
        let bare = ("a publish by itself, confirmed", sorted(self.bare.iter().copied()));
        for (name, spans) in spans.chain([bare]) {
            text.push_str(&row(name, &spans));
        }
        let count = |is: fn(&Call) -> bool| self.calls.iter().filter(|call| is(call)).count();
        let all = self.calls.len();
        let _fine = writeln!(
            text,
            "\n{} of {all} calls reached a phone; the CRM had the pop before the INVITE in {} of them.",
            count(|call| call.invited.is_some()),
            count(|call| call.lead().is_some()),
        );
        let worst = percentile(&sorted(self.calls.iter().filter_map(Call::whole)), 99);
        let verdict = if worst.is_some_and(|worst| worst <= AIM) { "kept" } else { "MISSED" };
        let _fine = writeln!(text, "The aim, p99 of the whole at most {} ms: {verdict}.", AIM.as_millis());
        text
    }

    /// What the machine itself did to the figures.
    pub fn machine(&self, stops: &[Stop]) -> String {
        let untouched = sorted(self.calls.iter().filter(|call| !call.met(stops)).filter_map(Call::whole));
        format!(
            "A processor of it stood still for more than {} ms {} times, for {} ms at most; p99 of the {} calls meanwhile in which none did: {} ms.",
            host::STILL.as_millis(),
            stops.len(),
            millis(stops.iter().map(|stop| stop.until - stop.from).max()),
            untouched.len(),
            millis(percentile(&untouched, 99)),
        )
    }
}

/// The line above the rows.
pub fn head() -> String {
    format!("\n{:<44}  {:>8} {:>8} {:>8} {:>8}   ms\n", "", "p50", "p90", "p99", "max")
}

/// One line of figures: of spans, the shortest first.
pub fn row(name: &str, sorted: &[Duration]) -> String {
    let [a, b, c, d] = [50, 90, 99, 100].map(|part| millis(percentile(sorted, part)));
    format!("{name:<44}  {a:>8} {b:>8} {c:>8} {d:>8}\n")
}

/// The shortest first.
pub fn sorted(spans: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_unstable();
    spans
}

/// Nearest rank: the smallest value that `part` in a hundred do not exceed.
pub fn percentile(sorted: &[Duration], part: usize) -> Option<Duration> {
    let rank = (sorted.len() * part).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

fn millis(span: Option<Duration>) -> String {
    span.map_or_else(|| "-".to_owned(), |span| format!("{:.2}", span.as_secs_f64() * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_a_hundred_is_not_the_worst() {
        let spans: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&spans, 50), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&spans, 99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&spans, 100), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&[], 99), None);
    }
}
