//! What people and queues are called, and why people are away, on screens and in lists: one rule, whichever way a text comes in.

use std::fmt;

/// What is wrong with a text that should be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or nothing but blanks.
    #[error("the {0} is empty")]
    Empty(Kind),
    /// More characters than the schema takes.
    #[error("the {0} is longer than {most} characters", most = .0.most())]
    TooLong(Kind),
    /// A character that moves the cursor or breaks the line, and would break what shows the text.
    #[error("the {0} contains a line break or another control character")]
    Control(Kind),
    /// A character that turns the writing round, and whatever stands behind it on the line with it.
    #[error("the {0} contains a character that changes the direction of writing (U+{code:04X})", code = u32::from(*.1))]
    Direction(Kind, char),
    /// Characters that take part in how others are written, and show nothing by themselves.
    #[error("the {0} shows nothing: it consists of invisible characters")]
    Invisible(Kind),
    /// A blank that nobody sees and by which nobody finds the text.
    #[error("the {0} begins or ends with a blank")]
    Blank(Kind),
}

/// What a text is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of a person.
    Name,
    /// The name of a queue as people read it.
    Label,
    /// Why somebody is paused.
    Reason,
}

impl Kind {
    /// The most characters, as in the schema.
    fn most(self) -> usize {
        match self {
            Self::Name | Self::Reason => 200,
            Self::Label => 100,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Label => "label",
            Self::Reason => "reason",
        })
    }
}

/// Takes over a customer's name: 1 to 200 characters, no control characters, no blank at either end.
///
/// # Errors
/// When it is not one.
pub fn customer(text: &str) -> Result<String, InvalidName> {
    filled(Kind::Name, text)
}

/// Takes over an agent's name: as a customer's, but it may be left empty.
///
/// # Errors
/// When it is not one.
pub fn agent(text: &str) -> Result<String, InvalidName> {
    checked(Kind::Name, text)
}

/// Takes over what people call a queue: as a customer's name, but up to 100 characters.
///
/// # Errors
/// When it is not one.
pub fn label(text: &str) -> Result<String, InvalidName> {
    filled(Kind::Label, text)
}

/// Takes over the reason of a pause: as an agent's name.
///
/// # Errors
/// When it is not one.
pub fn reason(text: &str) -> Result<String, InvalidName> {
    checked(Kind::Reason, text)
}

fn filled(kind: Kind, text: &str) -> Result<String, InvalidName> {
    if text.trim().is_empty() {
        return Err(InvalidName::Empty(kind));
    }
    checked(kind, text)
}

fn checked(kind: Kind, text: &str) -> Result<String, InvalidName> {
    // Unicode's own line and paragraph separators are no control characters, but break lines all the same. The last two are no
    // characters at all, and XML has no place for them.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
    if text.chars().count() > kind.most() {
        return Err(InvalidName::TooLong(kind));
    }
    if text.chars().any(breaks) {
        return Err(InvalidName::Control(kind));
    }
    // Embeddings, overrides and isolates (UAX 9): one that is not closed turns what follows the name in a line as well. The marks
    // U+200E, U+200F and U+061C end where they stand.
    if let Some(turn) = text.chars().find(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
        return Err(InvalidName::Direction(kind, turn));
    }
    if text.trim() != text {
        return Err(InvalidName::Blank(kind));
    }
    if !text.is_empty() && text.chars().all(|c| c.is_whitespace() || shows_nothing(c)) {
        return Err(InvalidName::Invisible(kind));
    }
    Ok(text.into())
}

/// Marks, joiners, fillers and what directs the writing: Unicode's `Default_Ignorable_Code_Point`, and the empty Braille pattern.
fn shows_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_any_script_and_with_marks_of_any_kind_stays_as_it_is() {
        for text in ["Company 1", "B \\ \"C\", <D> & 株", "Zoë", "x", &"é".repeat(200)] {
            assert_eq!(customer(text).as_deref(), Ok(text));
            assert_eq!(agent(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_name_of_nothing_is_an_agent_s_alone() {
        assert_eq!(agent("").as_deref(), Ok(""));
        for text in ["", " ", "\t", "\u{3000}"] {
            assert_eq!(customer(text), Err(InvalidName::Empty(Kind::Name)), "{text:?}");
        }
        assert_eq!(agent("  "), Err(InvalidName::Blank(Kind::Name)));
    }

    #[test]
    fn a_name_that_breaks_lines_hides_blanks_or_does_not_end_is_refused() {
        for (text, why) in [
            ("two\nlines".to_owned(), InvalidName::Control(Kind::Name)),
            ("a\u{0}b".into(), InvalidName::Control(Kind::Name)),
            ("a\u{1b}[31m".into(), InvalidName::Control(Kind::Name)),
            ("a\u{85}b".into(), InvalidName::Control(Kind::Name)),
            ("a\u{2028}b".into(), InvalidName::Control(Kind::Name)),
            ("tail\n".into(), InvalidName::Control(Kind::Name)),
            ("a\u{202e}b".into(), InvalidName::Direction(Kind::Name, '\u{202e}')),
            ("a\u{202a}b\u{202c}".into(), InvalidName::Direction(Kind::Name, '\u{202a}')),
            ("\u{2067}a\u{2069}".into(), InvalidName::Direction(Kind::Name, '\u{2067}')),
            (" Company".into(), InvalidName::Blank(Kind::Name)),
            ("Company ".into(), InvalidName::Blank(Kind::Name)),
            ("Company\u{a0}".into(), InvalidName::Blank(Kind::Name)),
            ("é".repeat(201), InvalidName::TooLong(Kind::Name)),
        ] {
            assert_eq!(customer(&text), Err(why), "{text:?}");
            assert_eq!(agent(&text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn a_name_that_nobody_can_see_is_refused_and_one_with_joiners_in_it_is_not() {
        for text in ["\u{200b}", "\u{feff}\u{200d}", "\u{3164}", "\u{2800}\u{2800}", "\u{ad}", "\u{200b} \u{200b}"] {
            assert_eq!(customer(text), Err(InvalidName::Invisible(Kind::Name)), "{text:?}");
            assert_eq!(agent(text), Err(InvalidName::Invisible(Kind::Name)), "{text:?}");
        }
        for text in ["\u{646}\u{645}\u{6cc}\u{200c}\u{62e}", "👩\u{200d}💻", "Co\u{ad}op", "\u{5d0}\u{200f}!"] {
            assert_eq!(customer(text).as_deref(), Ok(text));
        }
        assert_eq!(customer("a\u{fffe}"), Err(InvalidName::Control(Kind::Name)));
    }

    #[test]
    fn a_label_or_a_reason_that_breaks_lines_is_refused_by_its_own_name() {
        for text in ["two\nlines", "a\u{1b}[31m", "a\u{0}b"] {
            assert_eq!(
                label(text).unwrap_err().to_string(),
                "the label contains a line break or another control character"
            );
            assert_eq!(
                reason(text).unwrap_err().to_string(),
                "the reason contains a line break or another control character"
            );
        }
        assert_eq!((label(""), reason("").as_deref()), (Err(InvalidName::Empty(Kind::Label)), Ok("")));
        assert_eq!(label(&"é".repeat(100)), Ok("é".repeat(100)));
        assert_eq!(label(&"é".repeat(101)).unwrap_err().to_string(), "the label is longer than 100 characters");
        assert_eq!(reason(&"é".repeat(201)), Err(InvalidName::TooLong(Kind::Reason)));
    }
}
