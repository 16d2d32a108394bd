//! Bounds that Asterisk keeps for a service that has fallen silent for good. Each stands there before it is needed, so that
//! they hold at whatever moment the service is killed.
//!
//! * A caller who waits has an absolute timeout, set by the dialplan before it hands them over. As long as the service lives it
//!   puts that off, and it takes it off before a talk. When it is over the dialplan has the caller back (its extension `T`).
//! * A member's leg has one from its beginning, until it is joined.
//! * So has one who hears music while their agent asks somebody else, and so has whom the agent asks.
//! * A talk has none. When its caller hangs up, the dialplan ends the member's leg (its extension `h`), whose name it knows from
//!   a variable; a caller who was called back runs the dialplan on the other half of their channel, which reads it there.
//! * When the member hangs up, what Asterisk runs at the end of their leg (context `usher-left`) gives the caller a short bound.
//!   A service that lives has ended the call or gone on with the caller long before that is over. It does so in this order:
//!   first it says that the talk with that leg is over ([`TALK`]), then it sets or takes off the bound. The dialplan looks,
//!   sets, and looks again: so whichever comes first, the service has the last word.
//!
//! Between the order to take a bound off and the order to join lie microseconds. If the service dies right there, the two
//! hear nothing and have no bound: when the caller hangs up the leg goes as well.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    ari::{Ari, Request},
    domain::{
        id::{CallId, ChannelId, OfferNo, ServerId},
        queue::{
            caller::{Caller, leg_channel},
            effect::{CallBack, Ring},
        },
    },
    floor::{
        Service,
        listen::EXTENSION,
        perform::RING_SLACK,
        transfers::{CONTEXT, CONTEXT_VARIABLE},
    },
};

/// Global variable of the dialplan: how long a caller who waits stays with a service that has fallen silent, in seconds.
pub(super) const SILENCE: &str = "USHER_SILENCE_SECONDS";
/// Function of the dialplan: after so many seconds the channel leaves whatever it is in; 0: never.
const ABSOLUTE: &str = "TIMEOUT(absolute)";
/// Channel variable of a caller: the name of the member's channel that ends with them.
pub(super) const LEG: &str = "USHER_LEG";
/// Channel variable of a caller and of whoever they talk with: the id of the member's leg, as [`leg_channel`] has it. Empty: the caller
/// talks with nobody. Where the two differ, the end of the leg says nothing of the caller.
pub(super) const TALK: &str = "USHER_TALK";
/// Channel variable of a member's leg: the id of the caller's channel.
const CALLER: &str = "USHER_CALLER";
/// Function of the dialplan that has Asterisk run something when a channel ends,
const AT_THE_END: &str = "CHANNEL(hangup_handler_push)";
/// and what it runs when a member's leg does,
const LEFT: &str = "usher-left,s,1";
/// or our half of the leg of a caller who was called back, which runs no dialplan that would have the extension `T`.
const BACK_LEFT: &str = "usher-back-left,s,1";
/// How often the heart beats. At each beat some of the waiting have their bound put off, so that it never takes long.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// How often a bound is put off until it is over.
const TIMES: u64 = 3;

/// What the dialplan's variable says, in seconds; `None`: it sets no bound.
pub(super) fn parse_silence(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|seconds| *seconds > 0)
}

/// Whether it is this call's turn at this beat.
fn is_due(call: CallId, beat: u64, bound: u64) -> bool {
    let every = u128::from((bound / TIMES).max(1));
    call.0.as_u128() % every == u128::from(beat) % every
}

impl Service {
    /// Puts off the bounds of those whose turn it is.
    pub(super) fn beat(&mut self, beat: u64) {
        let is_due = |caller: &Caller| {
            self.bounds.get(&caller.arrival.server).is_some_and(|bound| is_due(caller.arrival.call, beat, *bound))
        };
        let due: Vec<CallId> =
            self.floor.callers().values().filter(|caller| is_due(caller)).map(|caller| caller.arrival.call).collect();
        due.into_iter().for_each(|call| self.put_off(call));
    }

    /// Puts off the bounds of all who wait on a server: it is not known when that was done last.
    pub(super) fn put_off_all(&mut self, server: &ServerId) {
        let callers = self.floor.callers().values().filter(|caller| caller.arrival.server == *server);
        let callers: Vec<CallId> = callers.map(|caller| caller.arrival.call).collect();
        callers.into_iter().for_each(|call| self.put_off(call));
    }

    /// Puts off the bound of a caller, or sets it again after a talk that came to nothing. Who hears something has it put off
    /// when that is over (see [`crate::floor::say::Saying`]); a sound that is longer than the bound is therefore cut by it.
    pub(super) fn put_off(&mut self, call: CallId) {
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let server = &caller.arrival.server;
        let (Some(ari), Some(bound)) = (self.servers.get(server), self.bounds.get(server)) else { return };
        let put_off =
            |channel: &ChannelId| drop(ari.send(Request::set_variable(channel, ABSOLUTE, &bound.to_string())));
        // Who is away has no leg.
        if caller.is_unanswered() && caller.is_on_a_leg() {
            match self.saying.get_mut(&call) {
                Some(saying) => saying.overdue = true,
                None => put_off(&caller.arrival.channel),
            }
        }
        // The caller hears music as one who waits does. When nobody brings them back, they go on, and the agent's leg ends with that.
        if let Some(consulted) = caller.consulted() {
            put_off(&caller.arrival.channel);
            if !consulted.is_rung() {
                put_off(&leg_channel(call, consulted.number));
            }
        }
    }

    /// What a member's leg is born with.
    pub(super) fn variables_of_leg(&self, ring: &Ring) -> Value {
        let mut variables = json!({ EXTENSION: ring.extension.as_str(), CONTEXT_VARIABLE: CONTEXT, AT_THE_END: LEFT });
        if let (Some(bound), Some(all)) = (self.bounds.get(&ring.server), variables.as_object_mut()) {
            // Whoever answers in the last moment has as long as a caller who waits.
            let seconds = ring.ring_time.as_secs() + RING_SLACK + bound;
            all.insert(ABSOLUTE.to_owned(), json!(seconds.to_string()));
        }
        variables
    }

    /// What the leg of a caller who is called back is born with, beside the marks.
    pub(super) fn bound_of_back(&self, back: &CallBack, variables: &mut Value) {
        let Some(all) = variables.as_object_mut() else { return };
        all.insert(AT_THE_END.to_owned(), json!(BACK_LEFT));
        if let Some(bound) = self.bounds.get(&back.server) {
            let seconds = back.ring_time.as_secs() + RING_SLACK + bound;
            all.insert(ABSOLUTE.to_owned(), json!(seconds.to_string()));
        }
    }

    /// A member's leg waits for a caller who is called back: its bound is put off until that is over.
    pub(super) fn put_off_leg(&self, back: &CallBack) {
        let (Some(ari), Some(bound)) = (self.servers.get(&back.server), self.bounds.get(&back.server)) else { return };
        let seconds = (back.ring_time.as_secs() + RING_SLACK + bound).to_string();
        drop(ari.send(Request::set_variable(&leg_channel(back.call, back.offer), ABSOLUTE, &seconds)));
    }

    /// Before the two are joined: their talk has no bound, and ends for both when the caller hangs up.
    pub(super) fn free_to_talk(&self, caller: &Caller, offer: OfferNo) {
        let (call, server) = (caller.arrival.call, &caller.arrival.server);
        let Some(ari) = self.servers.get(server) else { return };
        if let Some(name) = self.leg_names.get(&(call, offer)) {
            drop(ari.send(Request::set_variable(&caller.arrival.channel, LEG, name)));
        }
        self.tell_of_talk(ari, caller, offer);
        if self.bounds.contains_key(server) {
            drop(ari.send(Request::set_variable(&self.channel_of(call, offer), ABSOLUTE, "0")));
        }
        drop(ari.send(Request::set_variable(&caller.arrival.channel, ABSOLUTE, "0")));
    }

    /// Lets the dialplan know who talks with whom, for when one of the two hangs up on a service that is away.
    fn tell_of_talk(&self, ari: &Ari, caller: &Caller, offer: OfferNo) {
        let (channel, leg) = (&caller.arrival.channel, self.channel_of(caller.arrival.call, offer));
        let talk = leg_channel(caller.arrival.call, offer);
        drop(ari.send(Request::set_variable(&leg, CALLER, channel.as_str())));
        drop(ari.send(Request::set_variable(channel, TALK, talk.as_str())));
        drop(ari.send(Request::set_variable(&leg, TALK, talk.as_str())));
    }

    /// Another channel stands in the place of the member's leg, whose end has perhaps given the caller a bound by now.
    pub(super) fn talks_on(&self, ari: &Ari, caller: &Caller, offer: OfferNo) {
        drop(ari.send(Request::set_variable(&self.channel_of(caller.arrival.call, offer), AT_THE_END, LEFT)));
        self.tell_of_talk(ari, caller, offer);
        drop(ari.send(Request::set_variable(&caller.arrival.channel, ABSOLUTE, "0")));
    }

    /// The caller talks with nobody any more, and waits: what the end of the member's leg may have set is replaced.
    pub(super) fn talks_no_more(&self, ari: &Ari, caller: &Caller) {
        let (server, channel) = (&caller.arrival.server, &caller.arrival.channel);
        let bound = self.bounds.get(server).copied().unwrap_or_default();
        drop(ari.send(Request::set_variable(channel, TALK, "")));
        drop(ari.send(Request::set_variable(channel, ABSOLUTE, &bound.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_waiting_caller_has_their_turn_three_times_before_their_bound_is_over() {
        for bound in [1, 2, 3, 10, 60, 3600] {
            for id in [0, 7, u128::MAX] {
                let call = CallId(Uuid::from_u128(id));
                let turns = (0..bound.max(3)).filter(|beat| is_due(call, *beat, bound)).count();
                assert!(turns >= 3, "{bound} s: {turns} times");
            }
        }
    }

    #[test]
    fn a_dialplan_without_a_bound_is_left_alone() {
        assert_eq!(parse_silence("60"), Some(60));
        for text in ["", "0", "-1", "a minute"] {
            assert_eq!(parse_silence(text), None, "{text:?}");
        }
    }
}
