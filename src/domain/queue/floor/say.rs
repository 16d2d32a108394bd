//! What callers hear while they wait: the greeting, music, and from time to time their place, their wait and what else the
//! queue has to say. One thing is said at a time; what becomes due meanwhile is said right after it.

use std::time::Instant;

use crate::domain::{
    id::CallId,
    now::Now,
    queue::{
        caller::{Caller, Stage},
        effect::Effect,
        floor::Floor,
    },
};

impl Floor {
    /// A caller is in line now, as far as we saw; their first announcement comes after the first pause.
    pub(super) fn begin_to_wait(&mut self, call: CallId, now: Now) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let line = self.lines.get(&caller.arrival.queue);
        let place = line.map_or(1, |line| line.place_in_line(&caller.place()));
        caller.told.begin(place, now.steady);
        self.reschedule(call);
    }

    /// Says what the queue has to say to those who enter.
    pub(super) fn greet(&mut self, call: CallId, out: &mut Vec<Effect>) {
        let silent = self.queue_of(call).is_none_or(|queue| queue.greetings().is_empty());
        let recording = self.queue_of(call).is_some_and(|queue| queue.talk.recording);
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.told_of_recording = recording;
        if silent {
            out.push(Effect::Music { call });
        } else {
            out.push(Effect::Greet { call, number: caller.told.say() });
        }
        self.reschedule(call);
    }

    /// Tells a caller who was found that they are recorded: whether an earlier run did is not known.
    pub(super) fn tell_of_recording(&mut self, call: CallId, out: &mut Vec<Effect>) {
        let Some(talk) = self.queue_of(call).map(|queue| queue.talk.clone()) else { return };
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.told_of_recording = talk.recording;
        if let Some(prompt) = talk.says_recorded() {
            out.push(Effect::Say { call, number: caller.told.say(), sounds: vec![prompt.to_owned()] });
        }
        self.reschedule(call);
    }

    /// Music goes on after what was said, and then what has become due meanwhile.
    pub(super) fn said(&mut self, call: CallId, number: u32, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if !caller.has_heard(number) {
            return;
        }
        if caller.hears_music() {
            out.push(Effect::Music { call });
        }
        self.reschedule(call);
    }

    /// When the caller is to be told something next.
    pub(super) fn say_due(&self, caller: &Caller) -> Option<Instant> {
        // Who asked to be called back has hung up, or is with a member; who was sent on to one party is in no line.
        let apart = caller.stage == Stage::Transferred || caller.callback.is_some();
        if !caller.is_unanswered() || apart || caller.told.now.is_some() {
            return None;
        }
        let announcements = &self.queue(&caller.arrival.queue)?.announcements;
        let place = announcements.place_every().map(|pause| caller.told.place + pause);
        let sounds = announcements.sounds_every().map(|pause| caller.told.sounds + pause);
        place.into_iter().chain(sounds).min()
    }

    /// Tells a caller their place, their wait, the periodic announcement, or all of it.
    pub(super) fn say_what_is_due(&mut self, call: CallId, now: Now, out: &mut Vec<Effect>) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(line) = self.lines.get(&caller.arrival.queue) else { return };
        let Some(announcements) = line.row.as_ref().map(|row| &row.announcements) else { return };
        let mut sounds = Vec::new();
        if announcements.place_every().is_some_and(|pause| caller.told.place + pause <= now.steady) {
            caller.told.place = now.steady;
            let place = line.place_in_line(&caller.place());
            sounds.extend(announcements.place(place, line.waits.expected(place, now.steady)));
        }
        if announcements.sounds_every().is_some_and(|pause| caller.told.sounds + pause <= now.steady) {
            caller.told.sounds = now.steady;
            sounds.extend(announcements.sounds());
        }
        if !sounds.is_empty() {
            out.push(Effect::Say { call, number: caller.told.say(), sounds });
        }
        self.reschedule(call);
    }

    /// A caller was answered: what they waited tells the others what to expect.
    pub(super) fn has_waited(&mut self, call: CallId, now: Now) {
        // Who was called back did not wait on the line, and who was sent on to one party not in it.
        let waited = |caller: &&Caller| caller.callback.is_none() && caller.transfer.is_none();
        let Some(caller) = self.callers.get(&call).filter(waited) else { return };
        let Some(line) = self.lines.get_mut(&caller.arrival.queue) else { return };
        let waited = now.steady.saturating_duration_since(caller.told.since);
        line.waits.served(caller.told.from, waited, now.steady);
    }
}
