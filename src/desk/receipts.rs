//! Receipts of announcements (XEP-0184): whose clients confirm what they are sent, and have stopped doing so.
//!
//! The server's word for a message says that it has it, not that anybody reads it. Many clients confirm nothing; one that did so before, and
//! does not now, may be dead without its server knowing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use xmpp_parsers::jid::BareJid;

/// How long a receipt may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that wait for one; the oldest are let go.
const KEPT: usize = 20_000;

/// What was confirmed, and what was not.
#[derive(Debug, Default)]
pub struct Receipts {
    /// By the id of a message: from whom, and until when.
    awaited: HashMap<String, (BareJid, Instant)>,
    due: VecDeque<(Instant, String)>,
    /// Who confirms.
    confirm: HashSet<BareJid>,
}

impl Receipts {
    /// A message that asks for a receipt is sent: that may come before the server's own word.
    pub fn sent(&mut self, id: String, to: BareJid, now: Instant) {
        if self.due.len() >= KEPT
            && let Some((_, oldest)) = self.due.pop_front()
        {
            self.awaited.remove(&oldest);
        }
        self.due.push_back((now + PATIENCE, id.clone()));
        self.awaited.insert(id, (to, now + PATIENCE));
    }

    /// It got lost on the way.
    pub fn lost(&mut self, id: &str) {
        self.awaited.remove(id);
    }

    /// A receipt came; whether it is one for a message that was sent to them.
    pub fn came(&mut self, id: &str, from: &BareJid) -> bool {
        if self.awaited.get(id).is_none_or(|(to, _)| to != from) {
            return false;
        }
        self.awaited.remove(id);
        self.confirm.insert(from.clone());
        true
    }

    /// Who has not confirmed a message in time, and did so before; each once for each message. From then on nothing is expected of them
    /// until they confirm again.
    pub fn overdue(&mut self, now: Instant) -> Vec<BareJid> {
        let mut silent = Vec::new();
        while self.due.front().is_some_and(|(at, _)| *at <= now) {
            let Some((at, id)) = self.due.pop_front() else { break };
            // Unless it was sent once more since.
            if self.awaited.get(&id).is_some_and(|(_, until)| *until == at)
                && let Some((to, _)) = self.awaited.remove(&id)
                && self.confirm.remove(&to)
            {
                silent.push(to);
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> BareJid {
        text.parse().unwrap()
    }

    #[test]
    fn who_confirmed_before_and_does_not_now_is_named_once_and_who_never_did_is_not() {
        let (mut receipts, start) = (Receipts::default(), Instant::now());
        let (ana, bea) = (jid("ana@example.org"), jid("bea@example.org"));
        for (id, to) in [("1", &ana), ("2", &bea), ("3", &ana), ("4", &ana)] {
            receipts.sent(id.into(), to.clone(), start);
        }
        assert!(receipts.came("1", &ana));
        assert!(!receipts.came("1", &ana), "twice");
        assert!(!receipts.came("2", &ana), "for another one's message");
        assert!(!receipts.came("9", &bea), "for none");
        assert!(receipts.overdue(start + PATIENCE - Duration::from_millis(1)).is_empty());
        assert_eq!(receipts.overdue(start + PATIENCE), std::slice::from_ref(&ana));
        assert!(receipts.overdue(start + 2 * PATIENCE).is_empty());
        // One that comes late is none; the next one in time counts again.
        assert!(!receipts.came("3", &ana));
        receipts.sent("5".into(), ana.clone(), start);
        assert!(receipts.came("5", &ana));
        receipts.sent("6".into(), ana.clone(), start);
        assert_eq!(receipts.overdue(start + PATIENCE), std::slice::from_ref(&ana));
        // What got lost is not awaited, and is when it is sent again.
        receipts.sent("7".into(), ana.clone(), start);
        assert!(receipts.came("7", &ana));
        receipts.sent("8".into(), ana.clone(), start);
        receipts.lost("8");
        assert!(receipts.overdue(start + PATIENCE).is_empty());
        receipts.sent("9".into(), ana.clone(), start);
        receipts.lost("9");
        receipts.sent("9".into(), ana.clone(), start + PATIENCE / 2);
        assert!(receipts.overdue(start + PATIENCE).is_empty());
        assert_eq!(receipts.overdue(start + 2 * PATIENCE), [ana]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut receipts, start) = (Receipts::default(), Instant::now());
        let ana = jid("ana@example.org");
        for id in 0..=KEPT {
            receipts.sent(id.to_string(), ana.clone(), start);
        }
        assert_eq!((receipts.due.len(), receipts.awaited.len()), (KEPT, KEPT));
        assert!(!receipts.came("0", &ana));
        assert!(receipts.came("1", &ana));
    }
}
