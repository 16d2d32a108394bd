//! The room of a queue (XEP-0045): what is said there of each call, what its subject is, who may enter, and what in it is meant for the
//! service.
//!
//! In `lines`: the words of each event. In `outbox`: what waits to be said. In `subject`: when the subject is set again. In `access`: whose
//! access is changed.

pub mod access;
pub mod lines;
pub mod outbox;
pub mod subject;

/// How somebody speaks to the service in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// By its name there: `Usher: waiting`.
    Name,
    /// By the mark: `!waiting`, which may be meant for another program.
    Mark,
}

/// What is said to the service, without its name; `None`: the text is for others. A name that is not followed by `:` or `,` is one that is
/// only spoken of.
pub fn addressed<'a>(text: &'a str, name: &str) -> Option<(&'a str, Call)> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('!') {
        return Some((rest.trim_start(), Call::Mark)).filter(|(rest, _)| !rest.is_empty());
    }
    let text = text.strip_prefix('@').unwrap_or(text);
    let (begin, rest) = text.split_at_checked(name.len())?;
    let rest = rest.strip_prefix([':', ','])?;
    (begin.to_lowercase() == name.to_lowercase()).then_some((rest.trim_start(), Call::Name))
}

/// The n-th name to try in a room: the first one may be somebody else's.
pub fn name(n: u32) -> String {
    if n == 0 { "Usher".to_owned() } else { format!("Usher-{}", n + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_the_name_or_the_mark_is_for_the_service_and_nothing_else_is() {
        for (text, expected) in [
            ("Usher: waiting", Some(("waiting", Call::Name))),
            ("usher, pause 1000 lunch ", Some(("pause 1000 lunch", Call::Name))),
            (" @USHER:waiting", Some(("waiting", Call::Name))),
            ("Usher:", Some(("", Call::Name))),
            ("!waiting", Some(("waiting", Call::Mark))),
            ("! waiting", Some(("waiting", Call::Mark))),
            ("!", None),
            ("Usher is down", None),
            ("Usher-2: waiting", None),
            ("Ushers: waiting", None),
            ("pause 1000", None),
            ("ask Usher: waiting", None),
            ("ü", None),
            ("", None),
        ] {
            assert_eq!(addressed(text, "Usher"), expected, "{text:?}");
        }
        assert_eq!(addressed("Usher-2: waiting", "Usher-2"), Some(("waiting", Call::Name)));
    }

    #[test]
    fn names_to_try_are_all_different() {
        assert_eq!([name(0), name(1), name(2)], ["Usher", "Usher-2", "Usher-3"]);
    }
}
