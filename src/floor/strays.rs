//! What enters the application and comes from no queue: a dialplan that runs `Stasis()` without naming one, or a channel that
//! Asterisk itself has made, such as for a phone that forwards. Nobody waits there, so it is no caller and no call.

use crate::{
    ari::Request,
    domain::{
        fact::CallOutcome,
        id::{ChannelId, ServerId},
        queue::{caller::Arrival, event::Event},
    },
    floor::{Service, perform::OUTCOME},
};

/// Whether nothing says for which queue the channel has come.
pub(super) fn is_stray(arrival: &Arrival) -> bool {
    arrival.queue.as_str().is_empty()
}

impl Service {
    /// What a channel that has come in is for is known.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        if is_stray(&arrival) {
            self.callers.remove(&(arrival.server.clone(), arrival.channel.clone()));
            self.send_on_stray(&arrival.server, &arrival.channel);
        } else {
            self.step(Event::CallerEntered(arrival));
        }
    }

    /// Lets the dialplan go on with it as with a caller of a queue that there is not. One that has no dialplan ends with that.
    pub(super) fn send_on_stray(&self, server: &ServerId, channel: &ChannelId) {
        let Some(ari) = self.servers.get(server) else { return };
        tracing::warn!(
            server.name = %server, channel.id = %channel,
            "a channel has come without a queue: set USHER_QUEUE before Stasis(); its dialplan goes on"
        );
        let outcome = CallOutcome::UnknownQueue.as_str().to_ascii_uppercase();
        drop(ari.send(Request::set_variable(channel, OUTCOME, &outcome)));
        drop(ari.send(Request::go_on(channel)));
    }
}
