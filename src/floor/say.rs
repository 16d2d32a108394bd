//! What is said to the two of a call: announcements to who waits, the greeting to the member.

use std::collections::HashSet;

use crate::{
    ari::{self, Error, Request},
    domain::{
        id::{CallId, ChannelId, OfferNo, ServerId},
        queue::caller::leg_channel,
    },
    floor::{
        Input, Service,
        perform::{all_said, greeted_id, said_id},
        resync::Snapshot,
    },
};

/// What is being said to the two of a call.
///
/// Asterisk sets a channel's variables only between two playbacks, answers only then, and keeps whatever else was asked over
/// the same connection waiting so long (seen with 22.10). So nothing is set on a channel that hears something.
#[derive(Default)]
pub(super) struct Saying {
    pub(super) playbacks: HashSet<String>,
    /// The caller's bound is to be put off when it is over.
    pub(super) overdue: bool,
}

impl Service {
    /// Plays sounds to a caller, instead of music.
    pub(super) fn say(&mut self, call: CallId, number: u32, sounds: &[&str]) {
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let Some(ari) = self.servers.get(&caller.arrival.server) else { return };
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        drop(ari.send(Request::stop_music(&channel)));
        self.play(call, &server, &channel, said_id(call, number), sounds);
    }

    pub(super) fn greet_member(&mut self, call: CallId, offer: OfferNo, server: &ServerId, sound: &str) {
        self.play(call, server, &leg_channel(call, offer), greeted_id(call, offer), &[sound]);
    }

    /// Plays sounds to one of the two of a call. One that does not begin is over at once.
    pub(super) fn play(
        &mut self,
        call: CallId,
        server: &ServerId,
        channel: &ChannelId,
        playback: String,
        sounds: &[&str],
    ) {
        let Some(ari) = self.servers.get(server) else { return };
        let asked = ari.send(Request::play(channel, &playback, sounds));
        self.saying.entry(call).or_default().playbacks.insert(playback.clone());
        let (server, inputs) = (server.clone(), self.inputs.clone());
        tokio::spawn(async move {
            match asked.wait().await {
                // Its end is told by an event, or nobody knows what is heard when the link is back.
                Ok(_) | Err(Error::NotSent | Error::OutcomeUnknown) => {}
                Err(Error::Gone(_) | Error::Conflict(_) | Error::Refused { .. }) => {
                    let event = ari::Event::PlaybackFinished { playback };
                    drop(inputs.send(Input::Ari { server, event }).await);
                }
            }
        });
    }

    /// Ends what is being said to the two of a call.
    pub(super) fn hush(&mut self, call: CallId) {
        let Some(said) = self.saying.remove(&call) else { return };
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let Some(ari) = self.servers.get(&caller.arrival.server) else { return };
        for playback in said.playbacks {
            drop(ari.send(Request::stop_playback(&playback)));
        }
        if said.overdue {
            self.put_off(call);
        }
    }

    /// Ends what an earlier run of the service may have been saying to the two of a call, before anything is set there.
    pub(super) fn hush_strangers(&self, server: &ServerId, snapshot: &Snapshot) {
        let Some(ari) = self.servers.get(server) else { return };
        let known: HashSet<CallId> = self.callers.values().copied().collect();
        for playback in snapshot.calls().filter(|call| !known.contains(call)).flat_map(all_said) {
            drop(ari.send(Request::stop_playback(&playback)));
        }
        for (call, offer) in snapshot.offers().filter(|(call, _)| !known.contains(call)) {
            drop(ari.send(Request::stop_playback(&greeted_id(call, offer))));
            self.end_tone(call, server);
        }
    }

    /// Something that was said to the two of a call is over.
    pub(super) fn said(&mut self, call: CallId, playback: &str) {
        let Some(saying) = self.saying.get_mut(&call) else { return };
        saying.playbacks.remove(playback);
        if saying.playbacks.is_empty() && self.saying.remove(&call).is_some_and(|saying| saying.overdue) {
            self.put_off(call);
        }
    }
}
