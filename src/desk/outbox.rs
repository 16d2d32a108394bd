//! Messages that still have to go out, and which of them nobody needs any more.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    time::{Duration, Instant},
};

use uuid::Uuid;

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
/// How long a correction waits for the next one: who answers at once is not first said to be rung.
pub const REST: Duration = Duration::from_secs(1);
/// How old a correction may get: whoever reads it then has the message that it corrects in sight no more.
pub const CORRECTION_LIFE: Duration = Duration::from_secs(600);
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
    /// The id of the message that it corrects (XEP-0308).
    pub replaces: Option<String>,
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
        Self { to, body, id, responses: Vec::new(), life, replaces: None, tries: 0 }
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
    /// Who was sent a message about a call, under which id: there may be more to say.
    told: HashMap<CallId, Vec<(BareJid, String)>>,
    /// Corrections by the id of what they correct, and in which order they are sent, each from then on.
    corrections: HashMap<String, Note>,
    due: VecDeque<(Instant, String)>,
    is_last_hour: bool,
    says_once: bool,
}

impl Outbox {
    /// One for those whose clients know no corrections: what was said is not said again.
    pub fn without_corrections() -> Self {
        Self { says_once: true, ..Self::default() }
    }

    /// The service stops: no correction waits for the next one any more.
    pub fn hurry(&mut self, now: Instant) {
        self.is_last_hour = true;
        self.due.iter_mut().for_each(|(at, _)| *at = now);
    }

    /// Adds a message at the end.
    pub fn push(&mut self, note: Note) {
        if let Life::Call(call) = note.life {
            self.calls.insert(call);
        }
        if self.waiting.len() >= KEPT {
            let oldest = self.waiting.pop_front();
            self.drop_corrections(oldest);
            tracing::warn!(kept = KEPT, "too many messages wait for the XMPP link: the oldest is dropped");
        }
        self.waiting.push_back(note);
    }

    /// The caller does not wait any more.
    pub fn forget(&mut self, call: CallId) {
        if self.calls.remove(&call) {
            let (stale, waiting): (VecDeque<Note>, _) =
                self.waiting.drain(..).partition(|note| note.life == Life::Call(call));
            self.waiting = waiting;
            self.drop_corrections(stale);
        }
    }

    /// What was never sent is not corrected. One that was sent and is to be sent again may have been read.
    fn drop_corrections(&mut self, of: impl IntoIterator<Item = Note>) {
        for note in of.into_iter().filter(|note| note.tries == 0) {
            self.corrections.remove(&note.id);
        }
    }

    /// What was said about a call reads like this now. Of the `last` word nobody hears who was not told before.
    pub fn correct(&mut self, call: CallId, body: &str, last: bool, now: Instant) {
        if self.says_once {
            return;
        }
        let at = if self.is_last_hour { now } else { now + REST };
        if last {
            self.forget(call);
        }
        let told = if last { self.told.remove(&call) } else { self.told.get(&call).cloned() };
        let mut told = told.unwrap_or_default();
        // What it corrects goes out before it.
        let unsent = self.waiting.iter().filter(|note| note.life == Life::Call(call));
        told.extend(unsent.map(|note| (note.to.clone(), note.id.clone())));
        for (to, id) in told {
            let life = Life::Until(now + CORRECTION_LIFE);
            let note = Note::new(to, body.to_owned(), Uuid::new_v4().to_string(), life);
            let note = Note { replaces: Some(id.clone()), ..note };
            if self.corrections.insert(id.clone(), note).is_none() {
                self.due.push_back((at, id));
            }
        }
        while self.due.len() > KEPT {
            if let Some((_, id)) = self.due.pop_front() {
                self.corrections.remove(&id);
            }
        }
    }

    /// The next message to send now, if one may be.
    pub fn next(&mut self, now: Instant) -> Option<Note> {
        if self.under_way >= UNDER_WAY {
            return None;
        }
        while let Some(note) = self.waiting.pop_front() {
            if self.is_wanted(&note, now) {
                return Some(self.goes(note));
            }
        }
        while self.due.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.due.pop_front() else { break };
            if let Some(note) = self.corrections.remove(&id).filter(|note| self.is_wanted(note, now)) {
                return Some(self.goes(note));
            }
        }
        None
    }

    /// When the next correction is due, if one waits and may be sent then.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at).filter(|_| self.under_way < UNDER_WAY)
    }

    fn goes(&mut self, mut note: Note) -> Note {
        if let Life::Call(call) = note.life
            && note.tries == 0
            && !self.says_once
        {
            self.told.entry(call).or_default().push((note.to.clone(), note.id.clone()));
        }
        note.tries += 1;
        self.under_way += 1;
        note
    }

    /// The message about this call to this person, out of turn, if it was not sent yet.
    pub fn pick(&mut self, call: CallId, to: &BareJid) -> Option<Note> {
        let place = self.waiting.iter().position(|note| note.life == Life::Call(call) && note.to == *to)?;
        let note = self.waiting.remove(place)?;
        Some(self.goes(note))
    }

    /// The server has a message that [`Outbox::next`] or [`Outbox::pick`] gave.
    pub fn sent(&mut self) {
        self.under_way -= 1;
    }

    /// A message that [`Outbox::next`] or [`Outbox::pick`] gave got lost: it goes to the front again if it still means something.
    pub fn lost(&mut self, note: Note, now: Instant) {
        self.under_way -= 1;
        if note.tries >= TRIES || !self.is_wanted(&note, now) {
            return;
        }
        match note.replaces.clone() {
            None => self.waiting.push_front(note),
            // Unless there is a later one.
            Some(id) => {
                if let Entry::Vacant(place) = self.corrections.entry(id.clone()) {
                    place.insert(note);
                    self.due.push_front((now, id));
                }
            }
        }
    }

    /// How many wait to be sent.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.due.is_empty() && self.under_way == 0
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

    /// One of whom somebody was told.
    fn told(now: Instant) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.push(note("one", Life::Call(call(1))));
        outbox.next(now).unwrap();
        outbox.sent();
        outbox
    }

    fn correct(outbox: &mut Outbox, text: &str, last: bool, now: Instant) {
        outbox.correct(call(1), text, last, now);
    }

    #[test]
    fn what_was_sent_is_corrected_once_for_all_that_happened_within_the_rest() {
        let now = Instant::now();
        let mut outbox = told(now);
        correct(&mut outbox, "one rings", false, now);
        correct(&mut outbox, "one is taken", true, now + REST / 2);
        assert_eq!((outbox.next(now + REST / 2), outbox.next_due()), (None, Some(now + REST)));
        let sent = outbox.next(now + REST).unwrap();
        assert_eq!((sent.body.as_str(), sent.replaces.as_deref()), ("one is taken", Some("one")));
        assert_ne!(sent.id, "one");
        outbox.sent();
        correct(&mut outbox, "one is over", true, now + REST);
        assert_eq!((outbox.next(now + 9 * REST), outbox.is_idle()), (None, true), "after the last word");
    }

    #[test]
    fn who_was_not_told_yet_is_told_first_and_nothing_of_one_who_is_gone() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        outbox.push(note("one", Life::Call(call(1))));
        correct(&mut outbox, "one rings", false, now);
        let sent = outbox.next(now + REST).unwrap();
        assert_eq!((sent.body.as_str(), sent.replaces), ("one", None));
        outbox.push(note("two", Life::Call(call(1))));
        correct(&mut outbox, "one waits", false, now);
        outbox.forget(call(1));
        correct(&mut outbox, "one hung up", true, now);
        let sent = outbox.next(now + REST).unwrap();
        assert_eq!((sent.body.as_str(), sent.replaces.as_deref()), ("one hung up", Some("one")));
        assert_eq!(outbox.next(now + REST), None);
    }

    #[test]
    fn a_correction_that_got_lost_is_sent_again_unless_there_is_a_later_one() {
        let now = Instant::now();
        let mut outbox = told(now);
        correct(&mut outbox, "one rings", false, now);
        let sent = outbox.next(now + REST).unwrap();
        outbox.lost(sent.clone(), now + REST);
        let again = outbox.next(now + REST).unwrap();
        assert_eq!(again.id, sent.id);
        correct(&mut outbox, "one is taken", true, now + REST);
        outbox.lost(again, now + REST);
        assert_eq!(outbox.next(now + REST), None);
        assert_eq!(outbox.next(now + 2 * REST).unwrap().body, "one is taken");
        assert_eq!(outbox.next(now + 2 * REST), None);
    }

    #[test]
    fn at_the_end_no_correction_waits_and_without_corrections_there_is_none() {
        let now = Instant::now();
        for (mut outbox, said) in [(Outbox::default(), true), (Outbox::without_corrections(), false)] {
            outbox.push(note("one", Life::Call(call(1))));
            outbox.next(now).unwrap();
            correct(&mut outbox, "one rings", false, now);
            outbox.hurry(now);
            assert_eq!(outbox.next(now).is_some(), said);
            correct(&mut outbox, "one hung up", true, now);
            assert_eq!(outbox.next(now).is_some(), said);
        }
    }

    #[test]
    fn a_correction_that_nobody_could_be_sent_for_long_is_dropped() {
        let now = Instant::now();
        let mut outbox = told(now);
        correct(&mut outbox, "one rings", false, now);
        assert_eq!(outbox.next(now + CORRECTION_LIFE), None);
    }
}
