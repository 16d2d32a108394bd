//! What caller, agent and consulted party hear while the agent asks somebody else.
//!
//! The agent's leg stays in the bridge of the call. The caller is taken out of it and hears music; who is consulted comes in. So
//! whatever is killed, the bridge and its legs tell who talks with whom.
//!
//! The agent hears one sound of ours at a time, and nothing is set on their channel before it is stopped (see
//! [`crate::floor::say::Saying`]).

use crate::{
    ari::{Ari, Error, Request},
    domain::{
        id::{CallId, OfferNo, ServerId},
        queue::{
            caller::{call_bridge, leg_channel},
            event::{Event, LegEnd},
        },
    },
    floor::Service,
};

/// What an agent hears who is with the caller again.
const BACK: &str = "usher/back_with_caller";

impl Service {
    pub(super) fn hold(&mut self, call: CallId) {
        let Some(caller) = self.floor.callers().get(&call) else { return };
        if let Some(ari) = self.servers.get(&caller.arrival.server) {
            self.talks_no_more(ari, caller);
        }
        self.put_off(call);
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let class = self.floor.queue(&caller.arrival.queue).map_or("default", |queue| queue.moh_class.as_str());
        let Some(ari) = self.servers.get(&caller.arrival.server) else { return };
        drop(ari.send(Request::leave(&call_bridge(call), &caller.arrival.channel)));
        drop(ari.send(Request::start_music(&caller.arrival.channel, class)));
        // Whether or not it is recorded: a later run of the service does not know.
        drop(ari.send(Request::pause_recording(call_bridge(call).as_str())));
        self.paused.insert(call);
    }

    pub(super) fn ring_tone(&mut self, call: CallId, offer: OfferNo) {
        let Some(ari) = self.agent_is_to_hear(call) else { return };
        let playback = tone_id(call);
        drop(ari.send(Request::ring_tone(&self.channel_of(call, offer), &playback)));
        self.agent_hears.insert(call, playback);
    }

    pub(super) fn tell_back(&mut self, call: CallId, offer: OfferNo) {
        let Some(ari) = self.agent_is_to_hear(call) else { return };
        let playback = format!("usher-told-{}", uuid::Uuid::now_v7());
        drop(ari.send(Request::play(&self.channel_of(call, offer), &playback, &[BACK])));
        self.agent_hears.insert(call, playback);
    }

    /// Ends the tone that an earlier run of the service may have left an agent with: it has no end of its own.
    pub(super) fn end_tone(&self, call: CallId, server: &ServerId) {
        let Some(ari) = self.servers.get(server) else { return };
        drop(ari.send(Request::stop_playback(&tone_id(call))));
    }

    /// Ends what the agent hears, and says where they are.
    pub(super) fn agent_is_to_hear(&mut self, call: CallId) -> Option<Ari> {
        let ari = self.servers.get(&self.floor.callers().get(&call)?.arrival.server)?.clone();
        if let Some(before) = self.agent_hears.remove(&call) {
            drop(ari.send(Request::stop_playback(&before)));
        }
        Some(ari)
    }

    pub(super) fn connect(&mut self, call: CallId, party: OfferNo) {
        let Some(ari) = self.agent_is_to_hear(call) else { return };
        // What their leg was born with includes the ring time.
        self.put_off(call);
        let joined = ari.send(Request::join(&call_bridge(call), &[&leg_channel(call, party)]));
        self.replies.push(Box::pin(async move {
            match joined.wait().await {
                Ok(_) => Some(Event::Connected { call, party }),
                // The next snapshot tells how it went.
                Err(Error::NotSent | Error::OutcomeUnknown) => None,
                Err(Error::Gone(_) | Error::Conflict(_) | Error::Refused { .. }) => {
                    Some(Event::LegGone { call, offer: party, end: LegEnd::HungUp })
                }
            }
        }));
    }

    /// What is recorded of a call goes on, whether it paused or not.
    pub(super) fn go_on_recording(&mut self, call: CallId) {
        if !self.paused.remove(&call) {
            return;
        }
        let Some(caller) = self.floor.callers().get(&call) else { return };
        if let Some(ari) = self.servers.get(&caller.arrival.server) {
            drop(ari.send(Request::resume_recording(call_bridge(call).as_str())));
        }
    }
}

/// The tone of ringing that an agent hears.
fn tone_id(call: CallId) -> String {
    format!("usher-tone-{call}")
}
