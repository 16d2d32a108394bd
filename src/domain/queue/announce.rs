//! The text of the message to every logged-on member: a template with placeholders, parsed once and filled per call.
//!
//! Owns the placeholders and what is wrong with a template. Does not send.

use std::str::FromStr;

use crate::domain::queue::roster::{CallerId, Customer};

/// The template of a queue that has none of its own.
pub const DEFAULT: &str = "{queue}: Customer {name}";

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Blank(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Queue,
    Name,
    Code,
    Number,
    Position,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A name in braces that means nothing.
    #[error("{{{0}}} is not a placeholder: use {{queue}}, {{name}}, {{code}}, {{number}} or {{position}}")]
    Unknown(String),
    /// `{` without `}`.
    #[error("a placeholder is not closed: write {{{{ for a brace that is to be shown")]
    Open,
    /// `}` without `{`.
    #[error("there is a closing brace without an opening one: write }}}} for a brace that is to be shown")]
    Stray,
    /// What XML cannot carry, so that no message would arrive.
    #[error("there is a control character in the announcement: take it out")]
    Control,
    /// Nothing to say.
    #[error("the announcement is empty: leave it out for {DEFAULT:?}")]
    Empty,
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The queue as people read it: `Support`.
    pub queue: &'a str,
    /// Who waits.
    pub customer: &'a Customer,
    /// From which number.
    pub caller: &'a CallerId,
    /// Place in line, from 1.
    pub position: usize,
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    /// Parses `{queue}`, `{name}`, `{code}`, `{number}`, `{position}`; `{{` and `}}` stand for braces.
    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}');
        if text.contains(odd) {
            return Err(InvalidTemplate::Control);
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = tail.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = tail.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some(inside) = tail.strip_prefix('{') {
                let (name, after) = inside.split_once('}').ok_or(InvalidTemplate::Open)?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Blank(placeholder(name)?));
                rest = after;
            } else {
                return Err(InvalidTemplate::Stray);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if parts.is_empty() || text.trim().is_empty() {
            return Err(InvalidTemplate::Empty);
        }
        Ok(Self(parts))
    }
}

impl Default for Template {
    fn default() -> Self {
        Self(vec![Part::Blank(Placeholder::Queue), Part::Text(": Customer ".into()), Part::Blank(Placeholder::Name)])
    }
}

fn placeholder(name: &str) -> Result<Placeholder, InvalidTemplate> {
    match name {
        "queue" => Ok(Placeholder::Queue),
        "name" => Ok(Placeholder::Name),
        "code" => Ok(Placeholder::Code),
        "number" => Ok(Placeholder::Number),
        "position" => Ok(Placeholder::Position),
        other => Err(InvalidTemplate::Unknown(other.into())),
    }
}

impl Template {
    /// The message for one caller. What is filled in is never taken for a placeholder.
    pub fn fill(&self, with: Filling<'_>) -> String {
        let mut body = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => body.push_str(text),
                Part::Blank(Placeholder::Queue) => body.push_str(with.queue),
                Part::Blank(Placeholder::Name) => body.push_str(&with.customer.name),
                Part::Blank(Placeholder::Code) => body.push_str(with.customer.code.as_str()),
                Part::Blank(Placeholder::Number) => body.push_str(&with.caller.number),
                Part::Blank(Placeholder::Position) => body.push_str(&with.position.to_string()),
            }
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::CustomerCode;

    fn filled(template: &str, name: &str) -> String {
        let customer = Customer { id: 1, code: CustomerCode::new("0071"), name: name.into() };
        let caller = CallerId { number: "2000".into(), name: String::new() };
        let template: Template = template.parse().unwrap();
        template.fill(Filling { queue: "Support", customer: &customer, caller: &caller, position: 3 })
    }

    #[test]
    fn an_announcement_that_no_message_can_carry_is_refused_and_one_of_two_lines_is_not() {
        for text in ["a\u{1}", "\u{1b}[31m{name}", "a\u{0}", "a\u{fffe}", "a\r"] {
            assert_eq!(text.parse::<Template>(), Err(InvalidTemplate::Control), "{text:?}");
        }
        assert!("a\nb\t{name}".parse::<Template>().is_ok());
    }

    #[test]
    fn the_default_says_queue_and_customer() {
        assert_eq!(DEFAULT.parse(), Ok(Template::default()));
        assert_eq!(filled(DEFAULT, "Company 1"), "Support: Customer Company 1");
    }

    #[test]
    fn every_placeholder_is_filled_and_a_code_keeps_its_zeros() {
        assert_eq!(filled("{queue}|{name}|{code}|{number}|{position}", "C"), "Support|C|0071|2000|3");
    }

    #[test]
    fn a_customer_called_like_a_placeholder_stays_as_it_is() {
        assert_eq!(filled("{name}: {code}", "{code} & <Co> \"é\""), "{code} & <Co> \"é\": 0071");
    }

    #[test]
    fn doubled_braces_are_shown_once() {
        assert_eq!(filled("{{{queue}}}", "C"), "{Support}");
    }

    #[test]
    fn a_template_with_a_mistake_is_refused_with_what_to_do() {
        let wrong = |text: &str| text.parse::<Template>().unwrap_err();
        assert_eq!(wrong("Call for {nmae}"), InvalidTemplate::Unknown("nmae".into()));
        assert_eq!(wrong("Call for {name"), InvalidTemplate::Open);
        assert_eq!(wrong("Call for name}"), InvalidTemplate::Stray);
        assert_eq!(wrong(" "), InvalidTemplate::Empty);
        assert!(wrong("{x}").to_string().contains("{queue}, {name}, {code}, {number} or {position}"));
    }
}
