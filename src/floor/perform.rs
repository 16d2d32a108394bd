//! Does what the machine says: a flat match over effects. Nothing here waits; answers come back as inputs.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    ari::{self, Error, Request},
    domain::{
        fact::{Fact, Stamped},
        id::{CallId, Extension, OfferNo, ServerId},
        queue::{
            callback::parse_back_channel,
            caller::{call_bridge, leg_channel},
            effect::{Effect, Farewell, Notice, Ring},
            event::{Event, LegEnd},
        },
        words::Words,
    },
    floor::{
        Service,
        listen::{ENTERED, EXTENSION, PRIORITY, QUEUE, SINCE},
        settled,
        transfers::RETURNS_TO,
    },
};

/// Given to Asterisk on top of the ring time, so that it is always us who ends the ringing unless we are dead.
pub(super) const RING_SLACK: u64 = 5;
/// How long a ring that could not be sent waits before the floor is told.
const NOT_SENT_PAUSE: Duration = Duration::from_millis(200);
/// Channel variable of a caller who was joined: `CALL EXTENSION`. If the member's leg is not there any more when a later
/// run of the service finds the caller, their talk is over. It names the call, because a channel may come in again.
pub(super) const ANSWERED: &str = "USHER_ANSWERED";
/// Channel variable that tells the dialplan why it has the caller back.
pub(super) const OUTCOME: &str = "USHER_OUTCOME";
/// The context for those whom the service has called back and cannot keep.
const CALLED_BACK: &str = "usher-called-back";
/// Channel variable with the phone that it is to ring for them.
const OVERFLOW: &str = "USHER_OVERFLOW";
/// What a member hears whose answer came second.
const TAKEN: &str = "usher/taken";
/// What a member hears who has waited for a caller who was to be called back.
const NOT_REACHED: &str = "usher/not_reached";

impl Service {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Announce { call, position, to } => self.announce(call, position, &to),
            Effect::ForgetAnnouncement { call } => self.desk.forget(call),
            Effect::Greet { call, number } => self.greet(call, number),
            Effect::Say { call, number, sounds } => {
                self.say(call, number, &sounds.iter().map(String::as_str).collect::<Vec<_>>());
            }
            Effect::Music { call } => self.music(call),
            Effect::Promise { call } => self.promise(call),
            Effect::Regret { call } => self.regret(call),
            Effect::CallBack(back) => self.call_back(&back),
            Effect::Remember { server, tried } => self.remember(&server, tried),
            Effect::DropBack { call, attempt, server } => self.drop_back(call, attempt, &server),
            Effect::Publish { offer, pop } => {
                let call = pop.call;
                let outcome = settled(self.desk.publish(pop));
                self.replies
                    .push(Box::pin(async move { Some(Event::PopSettled { call, offer, outcome: outcome.await }) }));
            }
            // Whether it is confirmed is of no consequence: the desk sees to it that the last state is shown.
            Effect::Update { pop } => drop(self.desk.publish(pop)),
            Effect::Retire { pop } => self.desk.retire(pop),
            Effect::Ring(ring) => self.ring(&ring),
            Effect::DropLeg { call, offer, server, farewell } => match farewell {
                Farewell::None => self.hang_up_leg(call, offer, &server),
                Farewell::Taken => self.say_farewell(call, offer, &server, TAKEN),
                Farewell::NotReached => {
                    self.end_calling(call, offer, &server);
                    self.say_farewell(call, offer, &server, NOT_REACHED);
                }
            },
            Effect::GreetMember { call, offer, server, sound } => self.greet_member(call, offer, &server, &sound),
            Effect::Join { call, offer } | Effect::JoinAgain { call, offer } => self.join(call, offer),
            Effect::Hold { call } => self.hold(call),
            Effect::RingTone { call, offer } => self.ring_tone(call, offer),
            Effect::Connect { call, offer: _, party } => self.connect(call, party),
            Effect::TellBack { call, offer } => self.tell_back(call, offer),
            Effect::Renamed { call, offer, extension, talks } => {
                let Some(caller) = self.floor.callers().get(&call) else { return };
                let Some(ari) = self.servers.get(&caller.arrival.server) else { return };
                let leg = self.channel_of(call, offer);
                drop(ari.send(Request::set_variable(&leg, EXTENSION, extension.as_str())));
                if talks && caller.offers.contains_key(&offer) {
                    let mark = format!("{call} {extension}");
                    drop(ari.send(Request::set_variable(&caller.arrival.channel, ANSWERED, &mark)));
                }
            }
            Effect::RecordTalk { call, server } => self.record_talk(call, &server),
            Effect::GiveBack { call, server, channel, outcome, to } => {
                self.callers.remove(&(server.clone(), channel.clone()));
                let is_made = self.made.remove(&(server.clone(), channel.clone()));
                self.end_regret(call);
                let said = self.saying.remove(&call).unwrap_or_default();
                let Some(ari) = self.servers.get(&server) else { return };
                for playback in said.playbacks {
                    drop(ari.send(Request::stop_playback(&playback)));
                }
                drop(ari.send(Request::stop_music(&channel)));
                drop(ari.send(Request::set_variable(&channel, OUTCOME, &outcome.as_str().to_ascii_uppercase())));
                if let Some(to) = to {
                    drop(ari.send(Request::set_variable(&channel, OVERFLOW, to.as_str())));
                }
                // Who was called back has not come through a queue of the dialplan's, and would go on where they were dialled.
                drop(ari.send(if is_made || parse_back_channel(&channel).is_some() {
                    Request::go_on_in(&channel, CALLED_BACK)
                } else {
                    Request::go_on(&channel)
                }));
            }
            Effect::Moved { call, server, channel, queue } => {
                self.hush(call);
                let Some(ari) = self.servers.get(&server) else { return };
                drop(ari.send(Request::set_variable(&channel, QUEUE, queue.as_str())));
                drop(ari.send(Request::set_variable(&channel, ENTERED, &Timestamp::now().to_string())));
                drop(ari.send(Request::set_variable(&channel, SINCE, "")));
            }
            Effect::TakesPlace { call, server, channel, since, priority } => {
                self.hush(call);
                let Some(ari) = self.servers.get(&server) else { return };
                drop(ari.send(Request::set_variable(&channel, SINCE, &format!("{call} {since}"))));
                drop(ari.send(Request::set_variable(&channel, PRIORITY, &priority.to_string())));
            }
            Effect::ReturnsTo { call, server, channel, agent } => {
                self.hush(call);
                let Some(ari) = self.servers.get(&server) else { return };
                let value = agent.map(|agent| format!("{call} {agent}")).unwrap_or_default();
                drop(ari.send(Request::set_variable(&channel, RETURNS_TO, &value)));
            }
            Effect::TellMember { extension, notice } => self.tell_member(&extension, &notice),
            Effect::HangUpCaller { call: _, server, channel } => {
                self.callers.remove(&(server.clone(), channel.clone()));
                self.dismissed.insert((server.clone(), channel.clone()));
                self.to_dismiss.push((server, channel));
            }
            Effect::DropBridge { call, server } => {
                self.paused.remove(&call);
                self.agent_hears.remove(&call);
                let Some(ari) = self.servers.get(&server) else { return };
                drop(ari.send(Request::drop_bridge(&call_bridge(call))));
            }
            Effect::Record(fact) => {
                tracing::info!(call.id = %fact.call(), "call {}", fact.summary());
                tracing::debug!(?fact);
                self.correct(&fact);
                self.tell_rooms(&fact);
                // Who is found by a later run is recorded once more, and has entered once.
                let id = if let Fact::CallEntered { call, .. } = &fact { call.0 } else { uuid::Uuid::now_v7() };
                self.ledger.record(Stamped { id, at: Timestamp::now(), fact });
            }
        }
    }

    fn greet(&mut self, call: CallId, number: u32) {
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let Some(queue) = self.floor.queue(&caller.arrival.queue) else { return };
        let sounds: Vec<String> = queue.greetings().into_iter().map(str::to_owned).collect();
        self.say(call, number, &sounds.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn music(&mut self, call: CallId) {
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let class = self.floor.queue(&caller.arrival.queue).map_or("default", |queue| queue.moh_class.as_str());
        let Some(ari) = self.servers.get(&caller.arrival.server) else { return };
        let music = Request::start_music(&caller.arrival.channel, class);
        if caller.may_be_bridged() {
            self.talks_no_more(ari, caller);
            // They may have been put into the bridge for a member who was gone.
            drop(ari.send(Request::leave(&call_bridge(call), &caller.arrival.channel)));
            drop(ari.send(Request::set_variable(&caller.arrival.channel, ANSWERED, "")));
            drop(ari.send(music));
            self.put_off(call);
        } else {
            drop(ari.send(music));
        }
    }

    fn ring(&self, ring: &Ring) {
        let Ring { call, offer, .. } = *ring;
        let Some(ari) = self.servers.get(&ring.server) else { return };
        let leg = leg_channel(call, offer);
        tracing::debug!(call.id = %call, channel.id = %leg, "rings {}", ring.interface.as_str());
        let name = self.floor.callers().get(&call).map_or("", |caller| caller.arrival.customer.name.as_str());
        let placed = ari.send(Request::originate(&ari::Originate {
            channel: &leg,
            endpoint: ring.interface.as_str(),
            app: ari.app(),
            originator: ring.originator.as_ref(),
            caller_name: if name.is_empty() { &ring.caller.name } else { name },
            caller_number: &ring.caller.number,
            timeout: ring.ring_time.as_secs() + RING_SLACK,
            variables: self.variables_of_leg(ring),
        }));
        drop(ari.send(Request::make_bridge(&call_bridge(call))));
        let gone = move |end| Event::LegGone { call, offer, end };
        self.replies.push(Box::pin(rings(placed, gone(LegEnd::NotPlaced), gone(LegEnd::Unavailable))));
    }

    /// Hangs up a member's leg, ringing or answered.
    pub(super) fn hang_up_leg(&self, call: CallId, offer: OfferNo, server: &ServerId) {
        let Some(ari) = self.servers.get(server) else { return };
        // Asked for at once: nobody waits for the answer any more when the service stops.
        let asked = ari.send(Request::hang_up(&self.channel_of(call, offer)));
        self.replies.push(Box::pin(async move { gone_already(asked.wait().await, call, offer) }));
    }

    /// Ends a member's leg whose call somebody else has taken, or whose caller was not reached. Only one that was answered as well can be spoken to, once it is
    /// in the application; it is hung up when the sound is over. Asterisk refuses to play on one that rings.
    fn say_farewell(&self, call: CallId, offer: OfferNo, server: &ServerId, sound: &str) {
        let Some(ari) = self.servers.get(server) else { return };
        let leg = leg_channel(call, offer);
        let said = ari.send(Request::play(&leg, &taken_id(call, offer), &[sound]));
        let ari = ari.clone();
        self.replies.push(Box::pin(async move {
            if said.wait().await.is_ok() {
                return None;
            }
            let found = ari.send(Request::channel(&leg)).wait().await;
            match found.and_then(|response| response.json::<ari::wire::Channel>()) {
                // It hears the sound already; or it is about to enter the application, and we are asked again.
                Ok(channel) if channel.state == "Up" => None,
                Ok(_) | Err(_) => gone_already(ari.send(Request::hang_up(&leg)).wait().await, call, offer),
            }
        }));
    }

    fn tell_member(&self, extension: &Extension, notice: &Notice) {
        let Some(agent) = self.floor.agents().get(extension) else { return };
        let body = match notice {
            Notice::AutoPaused { queue, unanswered } => {
                let queue = self.floor.queue(queue).map_or(queue.as_str(), |queue| queue.label.as_str());
                self.language.say(Words::AutoPaused { queue, unanswered: *unanswered })
            }
            Notice::TransferFailed { why } => self.language.say(Words::TransferFailed { why: *why }),
        };
        self.desk.tell(agent.row.jid.clone(), body);
    }

    /// Brings the two of a talk together, for the first time or again; one of them may be in the bridge already.
    fn join(&mut self, call: CallId, offer: OfferNo) {
        self.hush(call);
        self.end_regret(call);
        self.go_on_recording(call);
        let Some(ari) = self.agent_is_to_hear(call) else { return };
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let (channel, leg) = (&caller.arrival.channel, self.channel_of(call, offer));
        if caller.callback.is_some() {
            self.end_calling(call, offer, &caller.arrival.server);
        }
        drop(ari.send(Request::stop_music(channel)));
        self.free_to_talk(caller, offer);
        let joined = ari.send(Request::join(&call_bridge(call), &[channel, &leg]));
        if let Some(member) = caller.offers.get(&offer) {
            drop(ari.send(Request::set_variable(channel, ANSWERED, &format!("{call} {}", member.extension))));
        }
        self.replies.push(Box::pin(async move {
            match joined.wait().await {
                Ok(_) => Some(Event::Joined { call, offer }),
                // The next snapshot tells how it went.
                Err(Error::NotSent | Error::OutcomeUnknown) => None,
                // One of the two has gone. If it is the caller, their end is told by an event of its own; the leg has no bound any more.
                Err(Error::Gone(_) | Error::Conflict(_) | Error::Refused { .. }) => {
                    drop(ari.send(Request::hang_up(&leg)));
                    Some(Event::LegGone { call, offer, end: LegEnd::HungUp })
                }
            }
        }));
    }
}

impl Service {
    /// Has Asterisk record the bridge of a call. Whatever becomes of it, the call goes on.
    fn record_talk(&mut self, call: CallId, server: &ServerId) {
        let Some(ari) = self.servers.get(server) else { return };
        let name = call_bridge(call);
        let asked = ari.send(Request::record(&name, name.as_str()));
        let file = format!("{}.wav", name.as_str());
        self.replies.push(Box::pin(async move {
            match asked.wait().await {
                // A conflict: it goes on, and only the answer to an earlier order was lost.
                Ok(_) | Err(Error::Conflict(_)) => Some(Event::RecordingBegun { call, file }),
                Err(error @ (Error::NotSent | Error::OutcomeUnknown)) => {
                    tracing::warn!(call.id = %call, %error, "whether the talk is recorded is not known: the link fell; it is asked for again when it is back");
                    None
                }
                Err(error @ (Error::Gone(_) | Error::Refused { .. })) => {
                    tracing::error!(
                        call.id = %call, %error,
                        "the talk is not recorded: Asterisk refused; it needs the folder `recording` in its astspooldir, in which its \
                         account may write, space there, and modules: `usher check` looks, Asterisk's own log says more"
                    );
                    None
                }
            }
        }));
    }
}

/// What an order to ring tells: nothing when it rings, and else one of these.
pub(super) async fn rings(placed: ari::Answer, not_placed: Event, refused: Event) -> Option<Event> {
    match placed.wait().await {
        // It rings; or it did already, for an earlier try.
        Ok(_) | Err(Error::Conflict(_)) => None,
        // It may ring: what becomes of it is told by events, the ring time, or the next snapshot.
        Err(Error::OutcomeUnknown) => None,
        Err(Error::NotSent) => {
            // The floor has not heard yet that the link fell: without a pause it would ask again at once.
            tokio::time::sleep(NOT_SENT_PAUSE).await;
            Some(not_placed)
        }
        Err(Error::Gone(_) | Error::Refused { .. }) => Some(refused),
    }
}

/// What an order to hang a leg up tells: when there is no such leg, no event will come of it.
fn gone_already(answer: Result<ari::Response, Error>, call: CallId, offer: OfferNo) -> Option<Event> {
    match answer {
        Err(Error::Gone(_)) => Some(Event::LegGone { call, offer, end: LegEnd::HungUp }),
        Ok(_) | Err(Error::Conflict(_) | Error::Refused { .. } | Error::NotSent | Error::OutcomeUnknown) => None,
    }
}

/// What stands before the id of the sound that tells a member why the call is over.
const TAKEN_ID: &str = "usher-taken-";

fn taken_id(call: CallId, offer: OfferNo) -> String {
    format!("{TAKEN_ID}{call}-{}", offer.0)
}

/// The leg on which such a sound was played.
pub(super) fn parse_taken(playback: &str) -> Option<(CallId, OfferNo)> {
    let (call, offer) = playback.strip_prefix(TAKEN_ID)?.rsplit_once('-')?;
    Some((CallId(call.parse().ok()?), OfferNo(offer.parse().ok()?)))
}

/// What stands before the id of the greeting to a member.
const GREETED_ID: &str = "usher-greeted-";

pub(super) fn greeted_id(call: CallId, offer: OfferNo) -> String {
    format!("{GREETED_ID}{call}-{}", offer.0)
}

/// The leg on which a greeting was played.
pub(super) fn parse_greeted(playback: &str) -> Option<(CallId, OfferNo)> {
    let (call, offer) = playback.strip_prefix(GREETED_ID)?.rsplit_once('-')?;
    Some((CallId(call.parse().ok()?), OfferNo(offer.parse().ok()?)))
}

/// What stands before the id of what is said to a caller.
const SAID_ID: &str = "usher-said-";

/// So many ids take turns in a call: few enough that a later run of the service can end all that may be said there, and enough
/// that one is not used again while it is heard.
const SAID: u32 = 8;

pub(super) fn said_id(call: CallId, number: u32) -> String {
    format!("{SAID_ID}{call}-{}", number % SAID)
}

/// The ids of everything that may be said to a caller.
pub(super) fn all_said(call: CallId) -> impl Iterator<Item = String> {
    (0..SAID).map(move |number| said_id(call, number))
}

/// The call in which a playback says something.
pub(super) fn parse_said(playback: &str) -> Option<CallId> {
    let (call, _) = playback.strip_prefix(SAID_ID)?.rsplit_once('-')?;
    Some(CallId(call.parse().ok()?))
}
