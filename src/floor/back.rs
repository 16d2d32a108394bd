//! Callers who are called back: their legs, and what they and the members hear of it.

use crate::{
    ari::{self, Error, Request},
    domain::{
        id::{CallId, ChannelId, OfferNo, ServerId},
        queue::{
            callback::{Missed, Reach, back_channel},
            caller::leg_channel,
            effect::CallBack,
            event::Event,
            tries::Try,
        },
    },
    floor::{
        Input, Service,
        listen::marks,
        perform::{RING_SLACK, rings},
    },
};

/// Context of the dialplan that calls a customer: by a number of the site's own phones, or by its trunk.
pub(super) const CONTEXT: &str = "usher-callback";
/// Global variable of an Asterisk with the tries that it remembers.
pub(super) const TRIES: &str = "USHER_CALLED_BACK";
/// What a caller hears who will be called back,
const PROMISE: &str = "usher/call_back";
/// or who cannot be.
const REGRET: &str = "usher/no_call_back";
/// What a member hears who has answered for a caller who is away; then it rings.
const CALLING: &str = "usher/calling_back";

impl Service {
    /// What the command line says of callbacks.
    pub(super) fn cancel(&mut self) {
        let cancelled = self.callbacks.borrow_and_update().cancelled.clone();
        for call in cancelled.iter() {
            self.step(Event::Cancelled { call: *call });
        }
    }

    /// Promises nothing that a death or a takeover could break: until then they hear on what they heard.
    pub(super) fn promise(&mut self, call: CallId) {
        let (ledger, inputs) = (self.ledger.clone(), self.inputs.clone());
        self.passing_on.spawn(async move {
            ledger.passed_on().await;
            // The floor is gone only when the service is.
            let _ = inputs.send(Input::WillBeCalled { call }).await;
        });
    }

    pub(super) fn tell_promise(&mut self, call: CallId) {
        while self.passing_on.try_join_next().is_some() {}
        let callback = self.floor.callers().get(&call).and_then(|caller| caller.callback.as_ref());
        if callback.is_some_and(|callback| matches!(callback.reach, Reach::Leaving { .. })) {
            self.say_instead(call, &promise_id(call), PROMISE);
        }
    }

    /// Has Asterisk remember a try, and what has become of it.
    pub(super) fn remember(&mut self, server: &ServerId, tried: Try) {
        let Some(ari) = self.servers.get(server) else { return };
        let tries = self.tries.entry(server.clone()).or_default();
        tries.note(tried);
        drop(ari.send(Request::set_global(TRIES, &tries.to_string())));
    }

    pub(super) fn regret(&mut self, call: CallId) {
        // One who presses the key again hears it to the end.
        if self.regretting.insert(call) {
            self.say_instead(call, &regret_id(call), REGRET);
        }
    }

    /// Says something to a caller instead of whatever they hear.
    fn say_instead(&mut self, call: CallId, playback: &str, sound: &str) {
        self.hush(call);
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let Some(ari) = self.servers.get(&caller.arrival.server) else { return };
        drop(ari.send(Request::stop_music(&caller.arrival.channel)));
        let (server, channel) = (caller.arrival.server.clone(), caller.arrival.channel.clone());
        self.play(call, &server, &channel, playback.to_owned(), &[sound]);
    }

    /// What a playback that is over was, if it was one of these.
    pub(super) fn told_of_callback(&mut self, playback: &str) -> bool {
        if let Some(call) = parse(PROMISE_ID, playback) {
            self.said(call, playback);
            self.step(Event::Promised { call });
            return true;
        }
        let Some(call) = parse(REGRET_ID, playback) else { return false };
        self.said(call, playback);
        if self.regretting.remove(&call) {
            self.music_if_waiting(call);
        }
        true
    }

    /// Ends that a caller is told that they cannot be called back.
    pub(super) fn end_regret(&mut self, call: CallId) {
        if self.regretting.remove(&call)
            && let Some(caller) = self.floor.callers().get(&call)
            && let Some(ari) = self.servers.get(&caller.arrival.server)
        {
            drop(ari.send(Request::stop_playback(&regret_id(call))));
        }
    }

    pub(super) fn call_back(&self, back: &CallBack) {
        let CallBack { call, attempt, offer, .. } = *back;
        let Some(ari) = self.servers.get(&back.server) else { return };
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let mut variables = marks(caller);
        self.bound_of_back(back, &mut variables);
        let placed = ari.send(Request::originate(&ari::Originate {
            channel: &back_channel(call, attempt),
            endpoint: &format!("Local/{}@{CONTEXT}/n", back.number),
            app: ari.app(),
            // The caller has hung up. The codec is the member's, so that Asterisk recodes nothing between the two halves of this
            // leg: there it would take the voice of a second member for late packets of the first, and throw them away (seen
            // with 22.10).
            originator: Some(&leg_channel(call, offer)),
            // What the customer sees is the dialplan's to say.
            caller_name: "",
            caller_number: "",
            timeout: back.ring_time.as_secs() + RING_SLACK,
            variables,
        }));
        self.put_off_leg(back);
        // Nobody who has picked up waits for its end.
        let sounds: Vec<&str> =
            [back.greeting.as_str(), CALLING].into_iter().filter(|sound| !sound.is_empty()).collect();
        drop(ari.send(Request::play_and_ring(&leg_channel(call, offer), &calling_id(call, offer), &sounds)));
        let gone = move |end| Event::BackGone { call, attempt, end };
        self.replies.push(Box::pin(rings(placed, gone(Missed::NotPlaced), gone(Missed::Unavailable))));
    }

    /// Ends what a member hears while the caller is called.
    pub(super) fn end_calling(&self, call: CallId, offer: OfferNo, server: &ServerId) {
        let Some(ari) = self.servers.get(server) else { return };
        drop(ari.send(Request::stop_playback(&calling_id(call, offer))));
    }

    pub(super) fn drop_back(&self, call: CallId, attempt: u32, server: &ServerId) {
        let Some(ari) = self.servers.get(server) else { return };
        let asked = ari.send(Request::hang_up(&back_channel(call, attempt)));
        self.replies.push(Box::pin(async move {
            match asked.wait().await {
                // No event will come of it.
                Err(Error::Gone(_)) => Some(Event::BackGone { call, attempt, end: Missed::Lost }),
                Ok(_) | Err(Error::Conflict(_) | Error::Refused { .. } | Error::NotSent | Error::OutcomeUnknown) => {
                    None
                }
            }
        }));
    }

    pub(super) fn back_answered(&mut self, server: &ServerId, channel: ChannelId, call: CallId, attempt: u32) {
        self.callers.insert((server.clone(), channel), call);
        self.step(Event::BackAnswered { server: server.clone(), call, attempt });
    }

    pub(super) fn back_gone(&mut self, server: &ServerId, channel: ChannelId, back: (CallId, u32), cause: i32) {
        let end = match self.callers.remove(&(server.clone(), channel)) {
            Some(_) => Missed::HungUp,
            None => missed(cause),
        };
        self.step(Event::BackGone { call: back.0, attempt: back.1, end });
    }
}

/// What a hang-up cause (Q.850) says of a try.
fn missed(cause: i32) -> Missed {
    match cause {
        17 | 21 => Missed::Rejected,
        0 | 16 | 18 | 19 => Missed::NoAnswer,
        _ => Missed::Unavailable,
    }
}

/// What stands before the ids of the sounds.
const PROMISE_ID: &str = "usher-promise-";
const REGRET_ID: &str = "usher-regret-";

fn promise_id(call: CallId) -> String {
    format!("{PROMISE_ID}{call}")
}

fn regret_id(call: CallId) -> String {
    format!("{REGRET_ID}{call}")
}

fn calling_id(call: CallId, offer: OfferNo) -> String {
    format!("usher-calling-{call}-{}", offer.0)
}

fn parse(prefix: &str, playback: &str) -> Option<CallId> {
    Some(CallId(playback.strip_prefix(prefix)?.parse().ok()?))
}
