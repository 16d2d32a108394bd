//! A queue in one line, as its contact and its room show it: `3 waiting, longest 02:14, 4 of 6 ready`.

use std::time::Duration;

use crate::domain::{
    queue::view::QueueView,
    words::{Language, clock, said},
};

/// The numbers of a queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Callers who wait, and those whose offers ring.
    pub waiting: usize,
    /// How long the first of them has waited; zero if there is none.
    pub longest: Duration,
    /// Members who would be offered a call now,
    pub ready: usize,
    /// of those who are logged on.
    pub members: usize,
}

impl From<&QueueView> for Summary {
    fn from(view: &QueueView) -> Self {
        let longest = view.waiting.iter().map(|waiter| waiter.waited).max().unwrap_or_default();
        Self { waiting: view.waiting.len() + view.more, longest, ready: view.ready, members: view.members }
    }
}

impl Summary {
    /// The line.
    pub fn line(&self, language: Language) -> String {
        let Self { waiting, ready, members, .. } = self;
        match waiting {
            0 => said!(
                language,
                "nobody waits, {ready} of {members} ready",
                "nadie espera, {ready} de {members} disponibles",
                "ninguém espera, {ready} de {members} disponíveis",
            ),
            _ => said!(
                language,
                "{waiting} waiting, longest {longest:0>5}, {ready} of {members} ready",
                "{waiting} en espera, el más largo {longest:0>5}, {ready} de {members} disponibles",
                "{waiting} em espera, o mais longo {longest:0>5}, {ready} de {members} disponíveis",
                longest = clock(self.longest),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_said_in_one_line_and_each_language() {
        let summary = Summary { waiting: 3, longest: Duration::from_millis(134_900), ready: 4, members: 6 };
        assert_eq!(summary.line(Language::English), "3 waiting, longest 02:14, 4 of 6 ready");
        assert_eq!(summary.line(Language::Spanish), "3 en espera, el más largo 02:14, 4 de 6 disponibles");
        assert_eq!(summary.line(Language::Portuguese), "3 em espera, o mais longo 02:14, 4 de 6 disponíveis");
        let long = Summary { longest: Duration::from_secs(3734), ..summary };
        assert_eq!(long.line(Language::English), "3 waiting, longest 1:02:14, 4 of 6 ready");
        assert_eq!(Summary::default().line(Language::English), "nobody waits, 0 of 0 ready");
    }
}
