//! What has become of callers of whom members were told: the one message about a caller is corrected by it (XEP-0308) until somebody
//! talks with them, or they are gone.

use std::collections::HashMap;

use crate::domain::{
    fact::{CallOutcome, Fact},
    id::{CallId, Extension, OfferNo, QueueName},
    queue::policy::Overflow,
};

/// How it stands with a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They wait for whoever has time.
    Waits,
    /// They wait to be called back.
    CallsBack,
    /// These phones ring for them.
    Rings(Vec<Extension>),
    /// This one talks with them.
    Taken(Extension),
    /// They wait in another queue.
    WentOn(QueueName),
    /// They were sent to this phone, which is no member's.
    SentTo(Extension),
    /// They hung up.
    HungUp,
    /// They do not want to be called back any more.
    Cancelled,
    /// They could not be reached.
    NotReached,
    /// They have called again.
    CalledAgain,
    /// They are not in the queue any more.
    Left,
}

impl Standing {
    /// With whom, for people to read: the phones that ring, who has taken them, the queue where they are now.
    pub fn with(&self, person: impl Fn(&Extension) -> String, queue: impl Fn(&QueueName) -> String) -> String {
        match self {
            Self::Rings(extensions) => extensions.iter().map(person).collect::<Vec<_>>().join(", "),
            Self::Taken(extension) | Self::SentTo(extension) => person(extension),
            Self::WentOn(name) => queue(name),
            Self::Waits
            | Self::CallsBack
            | Self::HungUp
            | Self::Cancelled
            | Self::NotReached
            | Self::CalledAgain
            | Self::Left => String::new(),
        }
    }
}

/// How a message goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// About this call:
    pub call: CallId,
    /// how it stands.
    pub standing: Standing,
    /// Whether this is the last word.
    pub is_last: bool,
}

#[derive(Debug)]
struct Followed {
    is_away: bool,
    rings: Vec<(OfferNo, Extension)>,
    said: Standing,
}

impl Followed {
    fn standing(&self) -> Standing {
        match (self.rings.is_empty(), self.is_away) {
            (false, _) => Standing::Rings(self.rings.iter().map(|(_, extension)| extension.clone()).collect()),
            (true, false) => Standing::Waits,
            (true, true) => Standing::CallsBack,
        }
    }
}

/// The callers of whom members were told.
#[derive(Debug, Default)]
pub struct Standings(HashMap<CallId, Followed>);

impl Standings {
    /// Members were told that this caller waits.
    pub fn announced(&mut self, call: CallId) {
        self.0.insert(call, Followed { is_away: false, rings: Vec::new(), said: Standing::Waits });
    }

    /// Takes in what has happened; what is to be said of it, if it is news.
    pub fn hear(&mut self, fact: &Fact) -> Option<Turn> {
        let call = fact.call();
        let followed = self.0.get_mut(&call)?;
        let last = match fact {
            Fact::CallRinging { offer, extension, .. } => {
                followed.rings.push((*offer, extension.clone()));
                None
            }
            Fact::OfferEnded { offer, .. } => {
                followed.rings.retain(|(ringing, _)| ringing != offer);
                None
            }
            Fact::CallbackAsked { .. } => {
                followed.is_away = true;
                None
            }
            Fact::CallAnswered { extension, .. } => Some(Standing::Taken(extension.clone())),
            Fact::CallOverflowed { to: Overflow::Queue(queue), .. } => Some(Standing::WentOn(queue.clone())),
            Fact::CallOverflowed { to: Overflow::Extension(extension), .. } => {
                Some(Standing::SentTo(extension.clone()))
            }
            Fact::CallEnded { extension, outcome, .. } => Some(ended(extension.as_ref(), *outcome)),
            Fact::CallEntered { .. }
            | Fact::CallOffered { .. }
            | Fact::CallDeclined { .. }
            | Fact::CallOverflowed { to: Overflow::Dialplan, .. }
            | Fact::CallbackCalled { .. }
            | Fact::CallbackMissed { .. }
            | Fact::CallTransferred { .. }
            | Fact::TransferFailed { .. }
            | Fact::Renumbered { .. }
            | Fact::CallHeld { .. }
            | Fact::Recording { .. }
            | Fact::WrapUp { .. }
            | Fact::AutoPaused { .. } => return None,
        };
        if let Some(standing) = last {
            self.0.remove(&call);
            return Some(Turn { call, standing, is_last: true });
        }
        let standing = followed.standing();
        (std::mem::replace(&mut followed.said, standing.clone()) != standing).then_some(Turn {
            call,
            standing,
            is_last: false,
        })
    }
}

fn ended(extension: Option<&Extension>, outcome: CallOutcome) -> Standing {
    match (outcome, extension) {
        (CallOutcome::Completed, Some(extension)) => Standing::Taken(extension.clone()),
        // Whoever was sent on to a queue had talked before, and hung up there.
        (CallOutcome::Abandoned, _) | (CallOutcome::Completed, None) => Standing::HungUp,
        (CallOutcome::Cancelled, _) => Standing::Cancelled,
        (CallOutcome::NotReached, _) => Standing::NotReached,
        (CallOutcome::CalledAgain, _) => Standing::CalledAgain,
        (
            CallOutcome::TimedOut
            | CallOutcome::NoMembers
            | CallOutcome::Full
            | CallOutcome::Empty
            | CallOutcome::Overflowed
            | CallOutcome::UnknownQueue
            | CallOutcome::Stopped
            | CallOutcome::Lost,
            _,
        ) => Standing::Left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{fact::OfferEnd, pop::PopOutcome};
    use uuid::Uuid;

    const CALL: CallId = CallId(Uuid::from_u128(1));

    fn ringing(offer: u32, extension: &str) -> Fact {
        let extension = Extension::new(extension);
        Fact::CallRinging { call: CALL, offer: OfferNo(offer), extension, pop: PopOutcome::Confirmed }
    }

    fn over(offer: u32, extension: &str) -> Fact {
        let extension = Extension::new(extension);
        Fact::OfferEnded { call: CALL, offer: OfferNo(offer), extension, why: OfferEnd::RingNoAnswer }
    }

    fn answered(extension: &str) -> Fact {
        Fact::CallAnswered { call: CALL, offer: OfferNo(2), extension: Extension::new(extension) }
    }

    fn ended(outcome: CallOutcome) -> Fact {
        Fact::CallEnded { call: CALL, extension: None, outcome }
    }

    fn after(facts: &[Fact]) -> Vec<(Standing, bool)> {
        let mut standings = Standings::default();
        standings.announced(CALL);
        facts.iter().filter_map(|fact| standings.hear(fact)).map(|turn| (turn.standing, turn.is_last)).collect()
    }

    fn rings(extensions: &[&str]) -> (Standing, bool) {
        (Standing::Rings(extensions.iter().copied().map(Extension::new).collect()), false)
    }

    #[test]
    fn a_caller_rings_here_and_there_until_somebody_talks_with_them_and_then_no_more_is_said() {
        let facts =
            [ringing(1, "1000"), over(1, "1000"), ringing(2, "2000"), answered("2000"), ended(CallOutcome::Completed)];
        let taken = (Standing::Taken(Extension::new("2000")), true);
        assert_eq!(after(&facts), [rings(&["1000"]), (Standing::Waits, false), rings(&["2000"]), taken]);
    }

    #[test]
    fn where_several_phones_ring_each_that_stops_is_news_and_an_offer_that_never_rang_is_none() {
        let facts = [ringing(1, "1000"), ringing(2, "2000"), over(1, "1000"), over(7, "3000")];
        assert_eq!(after(&facts), [rings(&["1000"]), rings(&["1000", "2000"]), rings(&["2000"])]);
    }

    #[test]
    fn how_a_caller_goes_is_said_once() {
        for (outcome, standing) in [
            (CallOutcome::Abandoned, Standing::HungUp),
            (CallOutcome::Completed, Standing::HungUp),
            (CallOutcome::TimedOut, Standing::Left),
            (CallOutcome::Cancelled, Standing::Cancelled),
            (CallOutcome::NotReached, Standing::NotReached),
            (CallOutcome::CalledAgain, Standing::CalledAgain),
        ] {
            assert_eq!(after(&[ended(outcome), ended(outcome)]), [(standing, true)]);
        }
    }

    #[test]
    fn of_a_caller_of_whom_nobody_was_told_nothing_is_said() {
        assert_eq!(Standings::default().hear(&ringing(1, "1000")), None);
    }
}
