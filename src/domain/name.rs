//! What people are called, on screens and in lists: one rule, whichever way a name comes in.

/// Longest name in characters, as in the schema.
const MOST: usize = 200;

/// What is wrong with a text that should be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or nothing but blanks.
    #[error("the name is empty")]
    Empty,
    /// More than 200 characters.
    #[error("the name is longer than {MOST} characters")]
    TooLong,
    /// A character that moves the cursor or breaks the line, and would break what shows the name.
    #[error("the name contains a line break or another control character")]
    Control,
    /// A blank that nobody sees and by which nobody finds the name.
    #[error("the name begins or ends with a blank")]
    Blank,
}

/// Takes over a customer's name: 1 to 200 characters, no control characters, no blank at either end.
///
/// # Errors
/// When it is not one.
pub fn customer(text: &str) -> Result<String, InvalidName> {
    if text.trim().is_empty() {
        return Err(InvalidName::Empty);
    }
    agent(text)
}

/// Takes over an agent's name: as a customer's, but it may be left empty.
///
/// # Errors
/// When it is not one.
pub fn agent(text: &str) -> Result<String, InvalidName> {
    // Unicode's own line and paragraph separators are no control characters, but break lines all the same.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if text.chars().count() > MOST {
        return Err(InvalidName::TooLong);
    }
    if text.chars().any(breaks) {
        return Err(InvalidName::Control);
    }
    if text.trim() != text {
        return Err(InvalidName::Blank);
    }
    Ok(text.into())
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
            assert_eq!(customer(text), Err(InvalidName::Empty), "{text:?}");
        }
        assert_eq!(agent("  "), Err(InvalidName::Blank));
    }

    #[test]
    fn a_name_that_breaks_lines_hides_blanks_or_does_not_end_is_refused() {
        for (text, why) in [
            ("two\nlines".to_owned(), InvalidName::Control),
            ("a\u{0}b".into(), InvalidName::Control),
            ("a\u{1b}[31m".into(), InvalidName::Control),
            ("a\u{85}b".into(), InvalidName::Control),
            ("a\u{2028}b".into(), InvalidName::Control),
            ("tail\n".into(), InvalidName::Control),
            (" Company".into(), InvalidName::Blank),
            ("Company ".into(), InvalidName::Blank),
            ("Company\u{a0}".into(), InvalidName::Blank),
            ("é".repeat(201), InvalidName::TooLong),
        ] {
            assert_eq!(customer(&text), Err(why), "{text:?}");
            assert_eq!(agent(&text), Err(why), "{text:?}");
        }
    }
}
