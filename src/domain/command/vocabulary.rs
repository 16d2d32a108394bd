//! The words by which people command: what each means, in which languages.
//!
//! A message is a command only if it *begins* with such a word. Words with consequences are never guessed: the word is there in full,
//! up to case and accents, and whatever follows has to make sense as well (see [`super::understand`]).

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::domain::words::Language;

/// The most characters of a message that is a command: more is a story.
pub const LONGEST: usize = 200;

/// What is asked for, whoever asks and whatever for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Take calls of queues.
    LogOn,
    /// No more.
    LogOff,
    /// None for now.
    Pause,
    /// Again.
    Resume,
    /// How somebody stands.
    Status,
    /// Who waits.
    Waiting,
    /// Have a caller who waits.
    Take,
    /// Leave a call to others.
    Decline,
    /// Call back who has called in vain.
    CallBack,
    /// Send the caller on.
    Transfer,
    /// Today's calls.
    Calls,
    /// Why a call went where it went.
    Why,
    /// What can be asked for.
    Help,
    /// In which language.
    Language,
}

impl Verb {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::LogOn,
        Self::LogOff,
        Self::Pause,
        Self::Resume,
        Self::Status,
        Self::Waiting,
        Self::Take,
        Self::Decline,
        Self::CallBack,
        Self::Transfer,
        Self::Calls,
        Self::Why,
        Self::Help,
        Self::Language,
    ];

    /// Whether something is otherwise after it: calls go to somebody to whom they did not before, or do not any more.
    pub fn has_consequences(self) -> bool {
        match self {
            Self::LogOn
            | Self::LogOff
            | Self::Pause
            | Self::Resume
            | Self::Take
            | Self::Decline
            | Self::CallBack
            | Self::Transfer => true,
            Self::Status | Self::Waiting | Self::Calls | Self::Why | Self::Help | Self::Language => false,
        }
    }

    /// The word for it that the help gives.
    pub fn word(self, language: Language) -> &'static str {
        language.pick(match self {
            Self::LogOn => ["login", "entrar", "entrar"],
            Self::LogOff => ["logout", "salir", "sair"],
            Self::Pause => ["pause", "pausa", "pausa"],
            Self::Resume => ["resume", "reanudar", "retomar"],
            Self::Status => ["status", "estado", "estado"],
            Self::Waiting => ["waiting", "espera", "espera"],
            Self::Take => ["take", "tomar", "pegar"],
            Self::Decline => ["decline", "rechazar", "recusar"],
            Self::CallBack => ["callback", "devolver", "retornar"],
            Self::Transfer => ["transfer", "transferir", "transferir"],
            Self::Calls => ["calls", "llamadas", "ligações"],
            Self::Why => ["why", "por qué", "por quê"],
            Self::Help => ["help", "ayuda", "ajuda"],
            Self::Language => ["language", "idioma", "idioma"],
        })
    }

    /// All words for it, folded. Several words are one phrase.
    fn synonyms(self) -> &'static [(&'static str, &'static [Language])] {
        use Language::{English as En, Portuguese as Pt, Spanish as Es};
        match self {
            Self::LogOn => &[
                ("login", &[En, Es, Pt]),
                ("logon", &[En]),
                ("log in", &[En]),
                ("log on", &[En]),
                ("entrar", &[Es, Pt]),
                ("conectar", &[Es, Pt]),
                ("iniciar sesion", &[Es]),
            ],
            Self::LogOff => &[
                ("logout", &[En, Es, Pt]),
                ("logoff", &[En]),
                ("log out", &[En]),
                ("log off", &[En]),
                ("salir", &[Es]),
                ("cerrar sesion", &[Es]),
                ("desconectar", &[Es, Pt]),
                ("sair", &[Pt]),
            ],
            Self::Pause => &[("pause", &[En]), ("pausa", &[Es, Pt]), ("pausar", &[Es, Pt])],
            Self::Resume => &[
                ("resume", &[En]),
                ("unpause", &[En]),
                ("reanudar", &[Es]),
                ("continuar", &[Es, Pt]),
                ("retomar", &[Pt]),
            ],
            Self::Status => &[("status", &[En, Pt]), ("estado", &[Es, Pt])],
            Self::Waiting => &[
                ("waiting", &[En]),
                ("espera", &[Es, Pt]),
                ("en espera", &[Es]),
                ("em espera", &[Pt]),
                ("cola", &[Es]),
                ("fila", &[Pt]),
            ],
            Self::Take => &[
                ("take", &[En]),
                ("accept", &[En]),
                ("tomar", &[Es]),
                ("aceptar", &[Es]),
                ("atender", &[Es, Pt]),
                ("pegar", &[Pt]),
                ("aceitar", &[Pt]),
            ],
            Self::Decline => &[
                ("decline", &[En]),
                ("reject", &[En]),
                ("rechazar", &[Es]),
                ("declinar", &[Es, Pt]),
                ("recusar", &[Pt]),
                ("rejeitar", &[Pt]),
            ],
            Self::CallBack => &[
                ("callback", &[En]),
                ("call back", &[En]),
                ("devolver", &[Es]),
                ("devolver llamada", &[Es]),
                ("retornar", &[Pt]),
                ("ligar de volta", &[Pt]),
            ],
            Self::Transfer => &[("transfer", &[En]), ("transferir", &[Es, Pt]), ("pasar", &[Es]), ("passar", &[Pt])],
            Self::Calls => &[
                ("calls", &[En]),
                ("my calls", &[En]),
                ("llamadas", &[Es]),
                ("mis llamadas", &[Es]),
                ("ligacoes", &[Pt]),
                ("minhas ligacoes", &[Pt]),
                ("chamadas", &[Pt]),
            ],
            Self::Why => &[("why", &[En]), ("por que", &[Es, Pt]), ("porque", &[Es, Pt])],
            Self::Help => &[("help", &[En]), ("?", &[En, Es, Pt]), ("ayuda", &[Es]), ("ajuda", &[Pt])],
            Self::Language => &[("language", &[En]), ("idioma", &[Es, Pt]), ("lengua", &[Es]), ("lingua", &[Pt])],
        }
    }
}

/// A message that begins like a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken<'a> {
    /// What for.
    pub verb: Verb,
    /// The languages in which it is said so.
    pub languages: &'static [Language],
    /// What follows, as it was written; no blanks at the ends.
    pub rest: &'a str,
}

/// Takes a message for a command, or for none: one that is longer than [`LONGEST`], has several lines, or begins with no word of ours.
pub fn spoken(text: &str) -> Option<Spoken<'_>> {
    let text = text.trim();
    if text.chars().count() > LONGEST || text.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    // The longer phrase first: "log in" is not "log".
    [2, 1].into_iter().find_map(|count| {
        let (words, rest) = split(text, count)?;
        // Punctuation says something: "logout?" is a question about it.
        let exact = fold(words);
        let bare = exact.trim_matches(['?', '!', '.', ',', ':', '¿', '¡', '"', '\'']);
        find(&exact)
            .or_else(|| find(bare).filter(|(verb, _)| !verb.has_consequences()))
            .map(|(verb, languages)| Spoken { verb, languages, rest })
    })
}

fn find(words: &str) -> Option<(Verb, &'static [Language])> {
    Verb::ALL.into_iter().find_map(|verb| {
        let mut all = verb.synonyms().iter();
        all.find(|(synonym, _)| *synonym == words).map(|(_, languages)| (verb, *languages))
    })
}

/// The first `count` words of a text, and the rest; `None`: it has fewer.
fn split(text: &str, count: usize) -> Option<(&str, &str)> {
    let mut end = 0;
    for _ in 0..count {
        let begin = end + text.get(end..)?.find(|c: char| !c.is_whitespace())?;
        end = text.get(begin..)?.find(char::is_whitespace).map_or(text.len(), |length| begin + length);
    }
    Some((text.get(..end)?, text.get(end..)?.trim()))
}

/// A text by which words are compared: without case, accents, or more than one blank in a row.
pub fn fold(text: &str) -> String {
    let plain: String = text.nfkd().flat_map(char::to_lowercase).nfkd().filter(|c| !is_combining_mark(*c)).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The language that a word means.
pub fn language(text: &str) -> Option<Language> {
    match fold(text).as_str() {
        "en" | "english" | "ingles" => Some(Language::English),
        "es" | "spanish" | "espanol" | "castellano" | "espanhol" => Some(Language::Spanish),
        "pt" | "pt-br" | "pt_br" | "portuguese" | "portugues" => Some(Language::Portuguese),
        _ => None,
    }
}

/// The language of an `xml:lang` (RFC 5646), if it is one of ours.
pub fn tagged(tag: &str) -> Option<Language> {
    match tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "en" => Some(Language::English),
        "es" => Some(Language::Spanish),
        "pt" => Some(Language::Portuguese),
        _ => None,
    }
}

/// In which language to answer a word that is said so in these: as last time if it can be, else as the stanza says, as the house
/// speaks, or in the first of them.
pub fn answered_in(languages: &[Language], last: Option<Language>, tag: Option<Language>, house: Language) -> Language {
    let preferred = [last, tag, Some(house)].into_iter().flatten();
    let mut fitting = preferred.chain(languages.first().copied()).filter(|language| languages.contains(language));
    fitting.next().or(last).or(tag).unwrap_or(house)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verb(text: &str) -> Option<Verb> {
        spoken(text).map(|spoken| spoken.verb)
    }

    #[test]
    fn each_verb_has_words_in_each_language_and_no_word_means_two_things() {
        let mut all: Vec<&str> = Vec::new();
        for verb in Verb::ALL {
            for (word, languages) in verb.synonyms() {
                assert_eq!(fold(word), *word);
                assert!(!languages.is_empty() && !all.contains(word), "{word}");
                all.push(word);
            }
            for language in [Language::English, Language::Spanish, Language::Portuguese] {
                let said = spoken(verb.word(language)).unwrap();
                assert_eq!(said.verb, verb);
                assert!(said.languages.contains(&language), "{verb:?} {language}");
            }
        }
    }

    #[test]
    fn words_are_known_whatever_their_case_accents_and_blanks() {
        for (text, expected) in [
            ("login", Verb::LogOn),
            ("  LogIn  ", Verb::LogOn),
            ("log   in", Verb::LogOn),
            ("\u{ff2c}\u{ff2f}\u{ff27}\u{ff29}\u{ff2e}", Verb::LogOn),
            ("Iniciar sesión", Verb::LogOn),
            ("SALIR", Verb::LogOff),
            ("sair\u{a0}Suporte", Verb::LogOff),
            ("pausa almuerzo", Verb::Pause),
            ("Pausa almoço", Verb::Pause),
            ("por qué", Verb::Why),
            ("¿Por qué?", Verb::Why),
            ("por que\u{302}", Verb::Why),
            ("ligações", Verb::Calls),
            ("ligac\u{327}o\u{303}es", Verb::Calls),
            ("help!", Verb::Help),
            ("?", Verb::Help),
            ("\tEstado\t", Verb::Status),
        ] {
            assert_eq!(verb(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_only_resembles_a_command_is_none() {
        for text in [
            "",
            " ",
            "logi n",
            "logins",
            "please login",
            "logout?",
            "\"pause\"",
            "pause.",
            "resume!",
            "log",
            "login\nlogout",
            "login\u{0}",
            "lo\u{200b}gin",
            "takes",
            "take!",
            "ok",
        ] {
            assert_eq!(verb(text), None, "{text:?}");
        }
        assert_eq!(verb(&format!("pause {}", "x".repeat(LONGEST))), None);
    }

    #[test]
    fn what_follows_the_verb_is_kept_as_it_was_written() {
        assert_eq!(spoken(" Pausa   Almoço  às 12 ").unwrap().rest, "Almoço  às 12");
        assert_eq!(spoken("log in Support").unwrap().rest, "Support");
        assert_eq!(spoken("login").unwrap().rest, "");
    }

    #[test]
    fn the_answer_comes_in_the_language_of_the_word_or_else_as_last_time() {
        use Language::{English as En, Portuguese as Pt, Spanish as Es};
        for (languages, last, tag, house, expected) in [
            (&[En][..], Some(Es), Some(Pt), Pt, En),
            (&[Es, Pt], Some(Pt), Some(Es), En, Pt),
            (&[Es, Pt], Some(En), Some(Pt), En, Pt),
            (&[Es, Pt], None, None, Pt, Pt),
            (&[Es, Pt], None, None, En, Es),
            (&[], Some(Es), Some(Pt), En, Es),
            (&[], None, Some(Pt), En, Pt),
            (&[], None, None, Es, Es),
        ] {
            assert_eq!(answered_in(languages, last, tag, house), expected, "{languages:?} {last:?} {tag:?} {house:?}");
        }
    }

    #[test]
    fn languages_are_known_by_their_names_and_tags() {
        assert_eq!(language("Español"), Some(Language::Spanish));
        assert_eq!(language("PT-br"), Some(Language::Portuguese));
        assert_eq!(language("klingon"), None);
        assert_eq!(tagged("es-MX"), Some(Language::Spanish));
        assert_eq!(tagged("fr"), None);
        assert_eq!(tagged(""), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_has_consequences_that_does_not_begin_with_their_word(
            text in prop_oneof![
                any::<String>(),
                "[a-z]{1,6}[,.?!]? (login|log out|pause|resume|salir|sair)[.?!]?( [a-z]{1,5})?",
                "(login|logout|pause|pausa|resume|sair)[^a-z]{0,3}[a-z]{0,3}",
            ],
        ) {
            if let Some(said) = spoken(&text) && said.verb.has_consequences() {
                let folded = fold(&text);
                let begins = |(word, _): &(&str, _)| {
                    folded.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                };
                prop_assert!(said.verb.synonyms().iter().any(begins), "{text:?}");
            }
        }
    }
}
