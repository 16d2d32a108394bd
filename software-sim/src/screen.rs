//! The picture for a person: a card for each pop that grows downwards, so that nothing flickers and a log can hold it.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::{client::Event, pop::Pop};

const WIDTH: usize = 64;

/// Whether the output can show colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// A terminal.
    On,
    /// A file or a pipe.
    Off,
}

/// Turns events into text.
#[derive(Debug)]
pub struct Screen {
    colours: Colours,
    zone: TimeZone,
    /// The pop whose card is open at the bottom, with its last state.
    current: Option<Pop>,
    others: Vec<Pop>,
}

impl Screen {
    /// Times are shown in `zone`.
    pub fn new(colours: Colours, zone: TimeZone) -> Self {
        Self { colours, zone, current: None, others: Vec::new() }
    }

    /// The text to add for an event.
    pub fn text(&mut self, at: Timestamp, event: &Event) -> String {
        match event {
            Event::LinkUp => self.note(at, "connected", Tone::Good),
            Event::LinkDown { why } => self.note(at, &format!("not connected: {why}"), Tone::Bad),
            Event::Subscribed => self.note(at, "subscribed, waiting for calls", Tone::Good),
            Event::Waiting { why } => self.note(at, why, Tone::Quiet),
            Event::Malformed { item, why } => self.note(at, &format!("item {item} skipped: {why}"), Tone::Bad),
            Event::Pop(pop) => self.pop(pop),
            Event::Closed { call } => self.closed(at, call),
        }
    }

    fn pop(&mut self, pop: &Pop) -> String {
        let mut out = String::new();
        if self.current.as_ref().is_none_or(|current| current.call != pop.call) {
            out += &self.set_aside();
            let is_known = self.others.iter().any(|other| other.call == pop.call);
            self.others.retain(|other| other.call != pop.call);
            out += &self.head(pop);
            if !is_known {
                out += &self.row(
                    "customer",
                    &if pop.private {
                        "not told".to_owned()
                    } else {
                        format!("{}  (code {}, id {})", pop.customer.name, pop.customer.code, pop.customer.id)
                    },
                );
                if pop.test {
                    out += &self.row("test", "nobody calls: somebody tries their software");
                }
                if let Some(link) = &pop.customer.link {
                    out += &self.row("page", link);
                }
                out += &self.row("caller", &caller(pop));
                out += &self.row("waiting in", &format!("{} since {}", pop.queue, self.time(pop.entered)));
            }
        }
        let tone = match pop.state.as_str() {
            "offered" | "ringing" => Tone::Busy,
            "answered" => Tone::Good,
            _ => Tone::Quiet,
        };
        let _fine = writeln!(out, "│ {}  {}", self.time(pop.changed), self.paint(&plain(&pop.state), tone));
        self.current = Some(pop.clone());
        out
    }

    fn closed(&mut self, at: Timestamp, call: &str) -> String {
        let mut out = String::new();
        if self.current.as_ref().is_none_or(|current| current.call != call) {
            let Some(index) = self.others.iter().position(|other| other.call == call) else { return out };
            out += &self.set_aside();
            let pop = self.others.remove(index);
            out += &self.head(&pop);
        }
        self.current = None;
        let _fine = writeln!(out, "└── {} {}", self.time(at), self.paint("closed", Tone::Quiet));
        out
    }

    /// Another card comes to the bottom while this one lives on.
    fn set_aside(&mut self) -> String {
        let Some(current) = self.current.take() else { return String::new() };
        self.others.push(current);
        "╵\n".into()
    }

    fn head(&self, pop: &Pop) -> String {
        let title = format!("{} → {}", plain(&pop.customer.name), plain(&pop.extension));
        let rest = WIDTH.saturating_sub(title.chars().count() + 5);
        format!("┌── {} {}\n", self.paint(&title, Tone::Title), "─".repeat(rest))
    }

    fn row(&self, name: &str, value: &str) -> String {
        format!("│ {}  {}\n", self.paint(&format!("{name:>12}"), Tone::Quiet), plain(value))
    }

    fn note(&mut self, at: Timestamp, text: &str, tone: Tone) -> String {
        let mut out = self.set_aside();
        let _fine = writeln!(out, "{}  {}", self.time(at), self.paint(&plain(text), tone));
        out
    }

    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string()
    }

    fn paint(&self, text: &str, tone: Tone) -> String {
        match self.colours {
            Colours::Off => text.into(),
            Colours::On => format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code()),
        }
    }
}

#[derive(Clone, Copy)]
enum Tone {
    Title,
    Good,
    Busy,
    Bad,
    Quiet,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Title => "1",
            Self::Good => "32",
            Self::Busy => "33",
            Self::Bad => "31",
            Self::Quiet => "2",
        }
    }
}

fn caller(pop: &Pop) -> String {
    match (pop.caller.number.as_str(), pop.caller.name.as_str()) {
        ("", "") if pop.private => "not told".into(),
        ("", "") => "withheld".into(),
        (number, "") => number.into(),
        (number, name) => format!("{number}  {name}"),
    }
}

/// A caller's name must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pop::{Caller, Customer};

    fn pop(call: &str, state: &str) -> Event {
        let at: Timestamp = "2026-11-21T03:00:00.5Z".parse().unwrap();
        Event::Pop(Pop {
            state: state.into(),
            call: call.into(),
            revision: 1,
            extension: "1000".into(),
            queue: "support".into(),
            customer: Customer { id: 1, code: "0071".into(), name: format!("Company {call}"), link: None },
            caller: Caller { number: "2000".into(), name: "\u{1b}[2J".into() },
            entered: at,
            changed: at,
            private: false,
            test: false,
        })
    }

    fn picture(events: &[Event]) -> String {
        let mut screen = Screen::new(Colours::Off, TimeZone::UTC);
        events.iter().map(|event| screen.text("2026-11-21T03:00:01Z".parse().unwrap(), event)).collect()
    }

    #[test]
    fn a_pop_is_one_card_from_the_offer_to_its_end() {
        let text = picture(&[pop("1", "offered"), pop("1", "ringing"), Event::Closed { call: "1".into() }]);
        assert_eq!(text.matches('┌').count(), 1, "{text}");
        for part in ["Company 1 → 1000", "code 0071", "03:00:00.5", "offered", "ringing", "closed"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(text.lines().count(), 7, "{text}");
    }

    #[test]
    fn who_calls_is_not_told_by_a_private_pop_and_withheld_by_a_caller() {
        for (private, shown, other) in [(true, "not told", "withheld"), (false, "withheld", "not told")] {
            let Event::Pop(mut pop) = pop("1", "offered") else { panic!("a pop") };
            (pop.private, pop.caller) = (private, Caller { number: String::new(), name: String::new() });
            let text = picture(&[Event::Pop(pop)]);
            assert!(text.contains(shown) && !text.contains(other), "{text}");
        }
    }

    #[test]
    fn two_calls_at_once_are_told_apart() {
        let text = picture(&[pop("1", "answered"), pop("2", "offered"), Event::Closed { call: "1".into() }]);
        assert_eq!(text.matches("Company 1 → 1000").count(), 2, "{text}");
    }

    #[test]
    fn a_caller_cannot_steer_the_terminal_with_their_name() {
        assert!(!picture(&[pop("1", "offered")]).contains('\u{1b}'));
    }
}
