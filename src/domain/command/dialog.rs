//! Dialogues of ad-hoc commands (XEP-0050): which step comes after which, and which of them are still open.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use crate::domain::{command::Verb, id::Extension};

/// How long a person may think about a form.
pub const LIFE: Duration = Duration::from_secs(300);
/// Dialogues of one client at once; with one more its oldest ends.
pub const EACH: usize = 4;
/// Dialogues in all, those that are over and remembered among them; with one more the oldest is forgotten.
pub const ALL: usize = 1024;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Begin, or go on by the usual way.
    Execute,
    /// Go on.
    Next,
    /// Back to the step before.
    Prev,
    /// Do it.
    Complete,
    /// Never mind.
    Cancel,
}

/// What is asked of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// For whom: of a supervisor.
    Who,
    /// What the verb needs, see [`asks_more`]; for this extension, if it is for one.
    What {
        /// For whom.
        who: Option<Extension>,
        /// Whether the person said so in this dialogue.
        asked: WhoWasAsked,
    },
}

/// Whether there is a step to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhoWasAsked {
    /// Yes.
    Yes,
    /// It is the person's own extension, or for none.
    No,
}

/// What follows from an action at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// What the form says is taken in, and the next step is shown or the command done.
    TakeIn,
    /// The step before is shown again.
    Back,
    /// It is over, and nothing was done.
    Cancelled,
    /// That cannot be done here.
    BadAction,
}

/// Whether a form is shown before this is done, once it is known for whom.
pub fn asks_more(verb: Verb) -> bool {
    match verb {
        Verb::LogOn
        | Verb::LogOff
        | Verb::Pause
        | Verb::Resume
        | Verb::Take
        | Verb::Decline
        | Verb::CallBack
        | Verb::Transfer
        | Verb::Why => true,
        Verb::Status | Verb::Waiting | Verb::Calls | Verb::Help | Verb::Language => false,
    }
}

/// Whether this is for an extension, so that a supervisor has to say for which.
pub fn is_for_somebody(verb: Verb) -> bool {
    match verb {
        Verb::LogOn | Verb::LogOff | Verb::Pause | Verb::Resume | Verb::Status | Verb::Calls => true,
        Verb::Waiting
        | Verb::Take
        | Verb::Decline
        | Verb::CallBack
        | Verb::Transfer
        | Verb::Why
        | Verb::Help
        | Verb::Language => false,
    }
}

/// Whether this is for the phone of who asks, whoever they are.
pub fn is_for_ones_own_phone(verb: Verb) -> bool {
    match verb {
        Verb::Take | Verb::Decline | Verb::CallBack | Verb::Transfer => true,
        Verb::LogOn
        | Verb::LogOff
        | Verb::Pause
        | Verb::Resume
        | Verb::Status
        | Verb::Waiting
        | Verb::Calls
        | Verb::Why
        | Verb::Help
        | Verb::Language => false,
    }
}

/// What an action does at a step.
pub fn turn(verb: Verb, step: &Step, action: Action) -> Turn {
    let is_last = !asks_more(verb);
    match (step, action) {
        (_, Action::Cancel) => Turn::Cancelled,
        (_, Action::Execute) => Turn::TakeIn,
        (Step::Who, Action::Next) if !is_last => Turn::TakeIn,
        (Step::Who, Action::Complete) if is_last => Turn::TakeIn,
        (Step::Who, Action::Next | Action::Complete | Action::Prev) => Turn::BadAction,
        (Step::What { .. }, Action::Complete) => Turn::TakeIn,
        (Step::What { asked: WhoWasAsked::Yes, .. }, Action::Prev) => Turn::Back,
        (Step::What { .. }, Action::Next | Action::Prev) => Turn::BadAction,
    }
}

/// A dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    /// What about.
    pub verb: Verb,
    /// What was asked last.
    pub step: Step,
}

/// Why there is no dialogue to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDialogue {
    /// There never was one, or it is over.
    Unknown,
    /// It took too long.
    Expired,
}

#[derive(Debug, Clone)]
struct Kept<P> {
    person: P,
    until: Instant,
    dialogue: Option<Dialogue>,
}

/// All dialogues, by their ids.
#[derive(Debug)]
pub struct Dialogues<P> {
    kept: HashMap<String, Kept<P>>,
}

impl<P> Default for Dialogues<P> {
    fn default() -> Self {
        Self { kept: HashMap::new() }
    }
}

impl<P: Clone + Eq + Hash> Dialogues<P> {
    /// Keeps a dialogue of this client under an id, or what has become of it.
    pub fn keep(&mut self, id: &str, person: &P, dialogue: Dialogue, now: Instant) {
        if !self.kept.contains_key(id) {
            let is_own = |kept: &Kept<P>| kept.person == *person && kept.dialogue.is_some();
            if self.kept.values().filter(|kept| is_own(kept)).count() >= EACH
                && let Some(oldest) = self.oldest(is_own)
            {
                self.kept.remove(&oldest);
            }
            if self.kept.len() >= ALL
                && let Some(oldest) = self.oldest(|_| true)
            {
                self.kept.remove(&oldest);
            }
        }
        self.kept.insert(id.to_owned(), Kept { person: person.clone(), until: now + LIFE, dialogue: Some(dialogue) });
    }

    /// Takes a dialogue out, to go on with it. It must be this client's own.
    ///
    /// # Errors
    /// [`NoDialogue`].
    pub fn take(&mut self, id: &str, person: &P, now: Instant) -> Result<Dialogue, NoDialogue> {
        let kept = self.kept.get_mut(id).filter(|kept| kept.person == *person).ok_or(NoDialogue::Unknown)?;
        if kept.until <= now {
            kept.dialogue = None;
            return Err(NoDialogue::Expired);
        }
        let dialogue = kept.dialogue.take().ok_or(NoDialogue::Unknown);
        self.kept.remove(id);
        dialogue
    }

    fn oldest(&self, among: impl Fn(&Kept<P>) -> bool) -> Option<String> {
        let these = self.kept.iter().filter(|(_, kept)| among(kept));
        these.min_by_key(|(_, kept)| kept.until).map(|(id, _)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a moment to count from can be had nowhere else")]
    fn begin() -> Instant {
        Instant::now()
    }

    fn dialogue() -> Dialogue {
        Dialogue { verb: Verb::Pause, step: Step::Who }
    }

    #[test]
    fn every_action_at_every_step_does_this() {
        let what = |asked| Step::What { who: None, asked };
        for (verb, step, expected) in [
            (Verb::Pause, Step::Who, ["in", "in", "bad", "bad", "cancel"]),
            (Verb::Status, Step::Who, ["in", "bad", "bad", "in", "cancel"]),
            (Verb::Pause, what(WhoWasAsked::Yes), ["in", "bad", "back", "in", "cancel"]),
            (Verb::Pause, what(WhoWasAsked::No), ["in", "bad", "bad", "in", "cancel"]),
        ] {
            let actions = [Action::Execute, Action::Next, Action::Prev, Action::Complete, Action::Cancel];
            let found = actions.map(|action| match turn(verb, &step, action) {
                Turn::TakeIn => "in",
                Turn::Back => "back",
                Turn::Cancelled => "cancel",
                Turn::BadAction => "bad",
            });
            assert_eq!(found, expected, "{verb:?} {step:?}");
        }
    }

    #[test]
    fn a_dialogue_is_its_clients_alone_and_goes_on_once() {
        let (mut all, now) = (Dialogues::default(), begin());
        all.keep("a", &1, dialogue(), now);
        assert_eq!(all.take("a", &2, now), Err(NoDialogue::Unknown));
        assert_eq!(all.take("b", &1, now), Err(NoDialogue::Unknown));
        assert_eq!(all.take("a", &1, now), Ok(dialogue()));
        assert_eq!(all.take("a", &1, now), Err(NoDialogue::Unknown));
    }

    #[test]
    fn a_dialogue_that_took_too_long_says_so_however_often_it_is_asked_for() {
        let (mut all, now) = (Dialogues::default(), begin());
        all.keep("a", &1, dialogue(), now);
        assert_eq!(all.take("a", &1, now + LIFE), Err(NoDialogue::Expired));
        assert_eq!(all.take("a", &1, now + LIFE), Err(NoDialogue::Expired));
    }

    #[test]
    fn no_client_and_not_all_together_can_fill_the_memory() {
        let (mut all, now) = (Dialogues::default(), begin());
        let later = |n: usize| now + Duration::from_millis(n as u64);
        for n in 0..=EACH {
            all.keep(&n.to_string(), &0, dialogue(), later(n));
        }
        assert_eq!(all.take("0", &0, now), Err(NoDialogue::Unknown), "the oldest has ended");
        assert_eq!(all.take("1", &0, now), Ok(dialogue()));
        for n in 0..ALL + 10 {
            all.keep(&format!("x{n}"), &n, dialogue(), later(n));
        }
        assert_eq!(all.kept.len(), ALL);
    }
}
