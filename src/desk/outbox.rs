//! Messages that still have to go out, and which of them nobody needs any more.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use xmpp_parsers::jid::BareJid;
use xso::{AsXml, FromXml};

use crate::domain::id::CallId;

/// Messages at once without the server's word that it has them: few, because a pop that comes after them waits for them,
/// and a phone for the pop.
pub const UNDER_WAY: usize = 4;
/// Messages kept while the link is down: 500 members and 20 waiting callers. The oldest give way.
pub const KEPT: usize = 10_000;
/// How old a notice may get that belongs to no call.
pub const NOTICE_LIFE: Duration = Duration::from_secs(30);
/// How often a message is sent that gets lost on the way.
const TRIES: u8 = 3;

/// One message to one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// To whom.
    pub to: BareJid,
    /// The text.
    pub body: String,
    /// The stanza's id: the same on every try, so that a reader can tell.
    pub id: String,
    /// What it may be answered with.
    pub responses: Vec<QuickResponse>,
    /// How long it means something.
    pub life: Life,
    tries: u8,
}

/// An answer to choose, where a client shows such (XEP-0439).
#[derive(Debug, Clone, PartialEq, Eq, FromXml, AsXml)]
#[xml(namespace = "urn:xmpp:tmp:quick-response", name = "response")]
pub struct QuickResponse {
    /// What is sent for it.
    #[xml(attribute)]
    pub value: String,
    /// What is shown.
    #[xml(attribute)]
    pub label: String,
}

/// How long a message means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// As long as this call's caller waits.
    Call(CallId),
    /// Until then.
    Until(Instant),
}

impl Note {
    /// A message that was never sent.
    pub fn new(to: BareJid, body: String, id: String, life: Life) -> Self {
        Self { to, body, id, responses: Vec::new(), life, tries: 0 }
    }

    /// The same with answers to choose from.
    pub fn with(self, responses: Vec<QuickResponse>) -> Self {
        Self { responses, ..self }
    }
}

/// What waits to be sent, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Note>,
    calls: HashSet<CallId>,
    under_way: usize,
}

impl Outbox {
    /// Adds a message at the end.
    pub fn push(&mut self, note: Note) {
        if let Life::Call(call) = note.life {
            self.calls.insert(call);
        }
        if self.waiting.len() >= KEPT {
            self.waiting.pop_front();
            tracing::warn!(kept = KEPT, "too many messages wait for the XMPP link: the oldest is dropped");
        }
        self.waiting.push_back(note);
    }

    /// The caller does not wait any more.
    pub fn forget(&mut self, call: CallId) {
        if self.calls.remove(&call) {
            self.waiting.retain(|note| note.life != Life::Call(call));
        }
    }

    /// The next message to send now, if one may be.
    pub fn next(&mut self, now: Instant) -> Option<Note> {
        if self.under_way >= UNDER_WAY {
            return None;
        }
        while let Some(mut note) = self.waiting.pop_front() {
            if self.is_wanted(&note, now) {
                note.tries += 1;
                self.under_way += 1;
                return Some(note);
            }
        }
        None
    }

    /// The message about this call to this person, out of turn, if it was not sent yet.
    pub fn pick(&mut self, call: CallId, to: &BareJid) -> Option<Note> {
        let place = self.waiting.iter().position(|note| note.life == Life::Call(call) && note.to == *to)?;
        let mut note = self.waiting.remove(place)?;
        note.tries += 1;
        self.under_way += 1;
        Some(note)
    }

    /// The server has a message that [`Outbox::next`] or [`Outbox::pick`] gave.
    pub fn sent(&mut self) {
        self.under_way -= 1;
    }

    /// A message that [`Outbox::next`] or [`Outbox::pick`] gave got lost: it goes to the front again if it still means something.
    pub fn lost(&mut self, note: Note, now: Instant) {
        self.under_way -= 1;
        if note.tries < TRIES && self.is_wanted(&note, now) {
            self.waiting.push_front(note);
        }
    }

    /// How many wait to be sent.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }

    fn is_wanted(&self, note: &Note, now: Instant) -> bool {
        match note.life {
            Life::Call(call) => self.calls.contains(&call),
            Life::Until(end) => now < end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn call(n: u128) -> CallId {
        CallId(Uuid::from_u128(n))
    }

    fn note(text: &str, life: Life) -> Note {
        Note::new("a@b".parse().unwrap(), text.into(), text.into(), life)
    }

    #[test]
    fn the_announcement_of_a_caller_who_has_gone_is_never_sent() {
        let mut outbox = Outbox::default();
        outbox.push(note("one", Life::Call(call(1))));
        outbox.push(note("two", Life::Call(call(2))));
        outbox.forget(call(1));
        let now = Instant::now();
        assert_eq!(outbox.next(now).unwrap().body, "two");
        assert_eq!(outbox.next(now), None);
    }

    #[test]
    fn whoever_is_offered_the_call_is_told_before_those_who_came_first() {
        let mut outbox = Outbox::default();
        outbox.push(note("older", Life::Call(call(1))));
        outbox.push(note("theirs", Life::Call(call(2))));
        let to = "a@b".parse().unwrap();
        assert_eq!(outbox.pick(call(2), &to).unwrap().body, "theirs");
        assert_eq!(outbox.pick(call(2), &to), None);
        assert_eq!(outbox.pick(call(1), &"c@d".parse().unwrap()), None);
        assert_eq!(outbox.next(Instant::now()).unwrap().body, "older");
        outbox.sent();
        assert!(!outbox.is_idle());
        outbox.sent();
        assert!(outbox.is_idle());
    }

    #[test]
    fn a_lost_message_is_sent_again_under_its_id_unless_the_caller_has_gone() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        outbox.push(note("one", Life::Call(call(1))));
        let sent = outbox.next(now).unwrap();
        outbox.lost(sent, now);
        let again = outbox.next(now).unwrap();
        assert_eq!(again.id, "one");
        outbox.forget(call(1));
        outbox.lost(again, now);
        assert_eq!(outbox.next(now), None);
        assert!(outbox.is_idle());
    }

    #[test]
    fn a_notice_that_got_old_while_the_link_was_down_is_dropped() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        outbox.push(note("logged on", Life::Until(now + NOTICE_LIFE)));
        assert_eq!(outbox.next(now + NOTICE_LIFE), None);
    }

    #[test]
    fn no_more_than_the_limit_are_under_way() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        for _ in 0..=UNDER_WAY {
            outbox.push(note("x", Life::Call(call(1))));
        }
        assert_eq!(std::iter::from_fn(|| outbox.next(now)).count(), UNDER_WAY);
        outbox.sent();
        assert!(outbox.next(now).is_some());
    }
}
