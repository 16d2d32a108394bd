//! Global variables of the dialplan that are ours, on one Asterisk: set, looked after, and read by one who is in doubt.
//!
//! A reload of the dialplan sets globals back to what the files say. So they are looked at again and again.

use std::pin::Pin;

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::ari::{Error, Request, Response, wire::Variable};

/// Which process serves this Asterisk: the mark of the one that took the application last.
pub(super) const MARK: &str = "USHER_ACTIVE";

/// Name and value of a global variable of the dialplan.
pub type Global = (&'static str, String);

/// Those that are ours on one Asterisk.
#[derive(Debug)]
pub(super) struct Globals(Vec<Global>);

impl Globals {
    /// Some, and the mark of this process.
    pub(super) fn new(mark: String, others: Vec<Global>) -> Self {
        Self(std::iter::once((MARK, mark)).chain(others).collect())
    }

    /// What sets them all.
    pub(super) fn set(&self) -> Vec<Request> {
        self.0.iter().map(|(name, value)| Request::set_global(name, value)).collect()
    }

    /// What sets the mark alone.
    pub(super) fn set_mark(&self) -> Option<Request> {
        self.0.first().map(|(name, mark)| Request::set_global(name, mark))
    }

    /// What reads them, each with its place in the list.
    pub(super) fn look(&self) -> Vec<(usize, Request)> {
        self.0.iter().enumerate().map(|(place, (name, _))| (place, Request::global(name))).collect()
    }

    /// When what was found in that place is not as it should be: its name, and what sets it right.
    fn mend(&self, place: usize, found: &Variable) -> Option<(&'static str, Request)> {
        let (name, value) = self.0.get(place)?;
        // The mark of another one is not touched: that one is about to take over, and says so before it does.
        let wrong = found.value != *value && (*name != MARK || found.value.is_empty());
        wrong.then(|| (*name, Request::set_global(name, value)))
    }

    /// Whether a mark is that of an earlier term. Marks end in the number of their term.
    fn is_before_us(&self, mark: &str) -> bool {
        let term = |mark: &str| mark.rsplit_once('-').and_then(|(_, term)| term.parse::<i64>().ok());
        let ours = self.0.first().and_then(|(_, mark)| term(mark));
        term(mark).zip(ours).is_some_and(|(theirs, ours)| theirs < ours)
    }

    /// Whose mark this is.
    pub(super) fn whose(&self, answer: Result<Response, Error>) -> Whose {
        match answer.and_then(|response| response.json::<Variable>()) {
            Ok(found) if found.value.is_empty() => Whose::Nobodys,
            Ok(found) if self.0.first().is_some_and(|(_, mark)| *mark == found.value) => Whose::Ours,
            Ok(found) if self.is_before_us(&found.value) => Whose::Nobodys,
            Ok(_) => Whose::Anothers,
            Err(Error::NotSent | Error::OutcomeUnknown) => Whose::Unreachable,
            Err(Error::Gone(_) | Error::Conflict(_) | Error::Refused { .. }) => Whose::Nobodys,
        }
    }
}

/// An answer that is on its way.
pub(super) type Asked = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// Looks at them that are not answered yet, over one connection.
#[derive(Default)]
pub(super) struct Looks(FuturesUnordered<Pin<Box<dyn Future<Output = Looked> + Send>>>);

/// Which one was read, if one was, and what was found.
type Looked = (Option<usize>, Result<Response, Error>);

impl Looks {
    /// Takes in that the one in this place has been asked for, or that something was asked whose answer is of no consequence.
    pub(super) fn add(&mut self, place: Option<usize>, asked: Asked) {
        self.0.push(Box::pin(async move { (place, asked.await) }));
    }

    /// The next answer, if one is on its way: what it says is to be set right.
    pub(super) async fn next(&mut self, globals: &Globals) -> Option<Option<(&'static str, Request)>> {
        let (place, answer) = self.0.next().await?;
        // What is not answered is told by the next look.
        let found = answer.and_then(|response| response.json::<Variable>()).ok();
        Some(place.zip(found).and_then(|(place, found)| globals.mend(place, &found)))
    }
}

/// Whose mark an Asterisk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// This process's: nobody has taken the application since.
    Ours,
    /// Another's.
    Anothers,
    /// None, because Asterisk was started anew or its dialplan reloaded, or that of one before us. Nothing is known.
    Nobodys,
    /// Asterisk does not answer.
    Unreachable,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(value: &str) -> Result<Response, Error> {
        Ok(Response { body: serde_json::json!({ "value": value }).to_string() })
    }

    fn globals() -> Globals {
        Globals::new("me".into(), vec![("USHER_AGI", "agi://here:1".into())])
    }

    #[tokio::test]
    async fn what_a_reload_has_set_back_is_set_again_and_the_mark_of_another_one_is_left_alone() {
        let (globals, mut looks) = (globals(), Looks::default());
        for (place, found, set_again) in
            [(0, "me", false), (0, "", true), (0, "you", false), (1, "agi://here:1", false), (1, "agi://there:1", true)]
        {
            looks.add(Some(place), Box::pin(std::future::ready(answer(found))));
            assert_eq!(looks.next(&globals).await.unwrap().is_some(), set_again, "{place}: {found:?}");
        }
        assert!(looks.next(&globals).await.is_none());
    }

    #[test]
    fn only_our_own_mark_says_that_nobody_has_taken_our_place() {
        let globals = globals();
        assert_eq!(globals.whose(answer("me")), Whose::Ours);
        assert_eq!(globals.whose(answer("you")), Whose::Anothers);
        assert_eq!(globals.whose(answer("")), Whose::Nobodys);
        assert_eq!(globals.whose(Err(Error::NotSent)), Whose::Unreachable);
        let globals = Globals::new("018f-aa-5".into(), Vec::new());
        for (mark, whose) in [("77-4", Whose::Nobodys), ("77-6", Whose::Anothers), ("77-5", Whose::Anothers)] {
            assert_eq!(globals.whose(answer(mark)), whose, "{mark}");
        }
        assert_eq!(globals.whose(Err(Error::Refused { status: 401, message: String::new() })), Whose::Nobodys);
    }
}
