//! After a gap: ask Asterisk what is there, and feed what was missed to the same machine.
//!
//! Asterisk replays nothing and sends no second `StasisStart`. So on each connect: callers that we knew and that are gone
//! hung up; callers in the application that we do not know are taken over, in their order, from the marks on their
//! channels; one whose mark says that they were joined, and whose member's leg is gone, is hung up, because that talk is
//! over; a leg whose offer is over, and a bridge whose call is over, are orphans and go.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use crate::{
    ari::{Ari, Error, Request, wire},
    domain::{
        id::{BridgeId, CallId, ChannelId, Extension, OfferNo, ServerId},
        queue::{
            callback::{Missed, back_channel, parse_back_channel},
            caller::{Arrival, OfferState, leg_channel, parse_call_bridge, parse_leg_channel},
            effect::{Effect, Event, LegEnd},
        },
    },
    floor::{
        Service,
        bounds::{SILENCE, parse_silence},
        device_of,
        listen::{EXTENSION, Found, Reading},
        perform::ANSWERED,
    },
};

/// What is on one Asterisk.
#[derive(Debug)]
pub(super) struct Snapshot {
    channels: HashSet<ChannelId>,
    endpoints: Vec<wire::Endpoint>,
    /// Bridges with an id of ours.
    bridges: Vec<(CallId, Vec<ChannelId>)>,
    /// Channels in the application that are callers, and whom the mark on them says that they were joined with.
    callers: Vec<(Found, Option<Extension>)>,
    /// Members' legs, and whether they have been answered.
    legs: Vec<Leg>,
    /// The bound that the dialplan sets for those who wait, in seconds.
    bound: Option<u64>,
    /// Legs of callers who are called back and have not answered: call and try.
    backs: Vec<(CallId, u32)>,
}

#[derive(Debug)]
struct Leg {
    call: CallId,
    offer: OfferNo,
    answered: Answered,
    extension: Extension,
    /// Asterisk's name of its channel.
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Yes,
    No,
}

/// Asks for everything. Requests keep their order and all travel at once.
pub(super) async fn take(ari: &Ari) -> Result<Snapshot, Error> {
    let asked = [Request::endpoints(), Request::bridges(), Request::channels()].map(|request| ari.send(request));
    let [endpoints, bridges, channels] = asked;
    let bound = ari.send(Request::global(SILENCE));
    let endpoints: Vec<wire::Endpoint> = endpoints.wait().await?.json()?;
    let bridges: Vec<wire::Bridge> = bridges.wait().await?.json()?;
    let channels: Vec<wire::Channel> = channels.wait().await?.json()?;
    let bound = parse_silence(&bound.wait().await?.json::<wire::Variable>()?.value);

    let mut reading = Vec::new();
    let mut legs = Vec::new();
    let mut backs = Vec::new();
    for channel in &channels {
        let id = ChannelId::new(&channel.id);
        if let Some((call, offer)) = parse_leg_channel(&id) {
            let answered = if channel.is_in(ari.app()) { Answered::Yes } else { Answered::No };
            legs.push((call, offer, answered, channel.name.clone(), ari.send(Request::variable(&id, EXTENSION))));
        } else if channel.is_in(ari.app()) {
            reading.push((channel, Reading::start(ari, &id), ari.send(Request::variable(&id, ANSWERED))));
        } else {
            backs.extend(parse_back_channel(&id));
        }
    }
    let mut callers = Vec::new();
    for (channel, reading, answered) in reading {
        let found = match reading.finish(ari, channel, CallId(uuid::Uuid::now_v7())).await {
            Ok(found) => found,
            Err(Error::Gone(_)) => continue,
            Err(error) => return Err(error),
        };
        let talked_with = match answered.wait().await {
            Ok(response) => parse_answered(&response.json::<wire::Variable>()?.value, found.arrival.call),
            // It was never set.
            Err(Error::Gone(_)) => None,
            Err(error) => return Err(error),
        };
        callers.push((found, talked_with));
    }
    let mut known_legs = Vec::new();
    for (call, offer, answered, name, extension) in legs {
        let extension = match extension.wait().await {
            Ok(response) => response.json::<wire::Variable>()?.value,
            Err(Error::Gone(_)) => continue,
            Err(error) => return Err(error),
        };
        known_legs.push(Leg { call, offer, answered, extension: Extension::new(extension), name });
    }
    callers.sort_by_key(|(found, _)| found.entered.unwrap_or(Timestamp::MAX));
    Ok(Snapshot {
        channels: channels.iter().map(|channel| ChannelId::new(&channel.id)).collect(),
        endpoints,
        bridges: bridges
            .into_iter()
            .filter_map(|bridge| {
                let call = parse_call_bridge(&BridgeId::new(&bridge.id))?;
                Some((call, bridge.channels.iter().map(ChannelId::new).collect()))
            })
            .collect(),
        callers,
        legs: known_legs,
        bound,
        backs,
    })
}

/// The member with whom the mark says that this call was joined.
fn parse_answered(mark: &str, call: CallId) -> Option<Extension> {
    let (of, extension) = mark.split_once(' ')?;
    (of == call.to_string() && !extension.is_empty()).then(|| Extension::new(extension))
}

impl Service {
    /// Brings the machine up to date with what is on an Asterisk.
    pub(super) fn resync(&mut self, server: &ServerId, snapshot: Snapshot) {
        self.step(Event::ServerDown { server: server.clone() });
        match snapshot.bound {
            Some(bound) => self.bounds.insert(server.clone(), bound),
            None => self.bounds.remove(server),
        };
        self.leg_names.retain(|(call, _), _| self.floor.callers().contains_key(call));
        let named = snapshot.legs.iter().filter(|leg| leg.answered == Answered::Yes);
        self.leg_names.extend(named.map(|leg| ((leg.call, leg.offer), leg.name.clone())));
        self.tell_of_the_gone(server, &snapshot);
        for endpoint in &snapshot.endpoints {
            let (interface, device) = device_of(endpoint);
            self.step(Event::DeviceChanged { server: server.clone(), interface, device });
        }
        self.tell_of_the_found(server, &snapshot);
        self.drop_orphans(server, &snapshot);
        self.say_again(server, &snapshot);
        tracing::info!(
            server.name = %server,
            channels = snapshot.channels.len(),
            callers = self.callers.keys().filter(|(of, _)| of == server).count(),
            "in step with Asterisk"
        );
        self.step(Event::ServerUp { server: server.clone() });
        self.put_off_all(server);
    }

    /// Callers and legs that we knew and that are not there any more.
    fn tell_of_the_gone(&mut self, server: &ServerId, snapshot: &Snapshot) {
        let known: Vec<(ChannelId, CallId)> = self
            .callers
            .iter()
            .filter(|((of, channel), _)| of == server && !snapshot.channels.contains(channel))
            .map(|((_, channel), call)| (channel.clone(), *call))
            .collect();
        for (channel, call) in known {
            self.callers.remove(&(server.clone(), channel));
            self.step(Event::CallerGone { call });
        }
        let legs: Vec<(CallId, OfferNo)> = self
            .floor
            .callers()
            .values()
            .filter(|caller| caller.arrival.server == *server)
            .flat_map(|caller| caller.offers.values().map(|offer| (caller.arrival.call, offer)))
            .filter(|(_, offer)| !matches!(offer.state, OfferState::Popping { .. }))
            .map(|(call, offer)| (call, offer.number))
            .filter(|(call, offer)| !snapshot.channels.contains(&leg_channel(*call, *offer)))
            .collect();
        for (call, offer) in legs {
            self.step(Event::LegGone { call, offer, end: LegEnd::Lost });
        }
        let backs: Vec<(CallId, u32)> = self
            .floor
            .callers()
            .values()
            .filter(|caller| caller.arrival.server == *server)
            .filter_map(|caller| Some((caller.arrival.call, caller.callback.as_ref()?.attempt)))
            .filter(|(call, attempt)| !snapshot.channels.contains(&back_channel(*call, *attempt)))
            .collect();
        for (call, attempt) in backs {
            self.step(Event::BackGone { call, attempt, end: Missed::Lost });
        }
    }

    /// Callers, answers and talks that we do not know of yet.
    fn tell_of_the_found(&mut self, server: &ServerId, snapshot: &Snapshot) {
        for leg in &snapshot.legs {
            if leg.answered == Answered::No {
                self.unsure.insert((leg.call, leg.offer));
            } else if self.floor.callers().get(&leg.call).is_some_and(|caller| caller.has_out(leg.offer)) {
                self.step(Event::LegAnswered { server: server.clone(), call: leg.call, offer: leg.offer });
            }
        }
        // Before the callers: a member who waits for somebody is not free for another one.
        for (call, attempt) in &snapshot.backs {
            let waits = snapshot.legs.iter().find(|leg| leg.call == *call && leg.answered == Answered::Yes);
            let member = waits.map(|leg| (leg.offer, leg.extension.clone()));
            self.step(Event::BackFound { server: server.clone(), call: *call, attempt: *attempt, member });
        }
        for (Found { arrival, entered }, talked_with) in &snapshot.callers {
            let key = (server.clone(), arrival.channel.clone());
            if self.dismissed.contains(&key) {
                continue;
            }
            let call = arrival.call;
            // A leg of a callback does not show the number that was called.
            let known = self.floor.callers().get(&call).map(|caller| caller.arrival.caller.clone());
            let arrival = &Arrival { caller: known.unwrap_or_else(|| arrival.caller.clone()), ..arrival.clone() };
            // Several phones may have rung for the call; the one in its bridge has it.
            let talks_with = snapshot.legs.iter().filter(|leg| leg.call == call).find(|leg| {
                let leg = leg_channel(call, leg.offer);
                snapshot
                    .bridges
                    .iter()
                    .any(|(of, channels)| *of == call && channels.contains(&leg) && channels.contains(&arrival.channel))
            });
            // One whose variables were being read when the link fell is in `callers`, and not on the floor.
            let is_known = self.callers.get(&key).is_some_and(|call| self.floor.callers().contains_key(call));
            // Another program that had our application meanwhile may have joined somebody who waits here.
            let is_joined = talks_with.is_some_and(|leg| leg.answered == Answered::Yes);
            if is_known && !is_joined {
                continue;
            }
            self.callers.insert(key, call);
            let Some(entered) = entered else {
                self.step(Event::CallerEntered(arrival.clone()));
                continue;
            };
            let age = Duration::try_from(Timestamp::now().duration_since(*entered)).unwrap_or_default();
            let has_leg = snapshot.legs.iter().any(|leg| leg.call == call);
            self.step(match (talks_with, talked_with) {
                (Some(leg), _) => Event::TalkFound {
                    arrival: arrival.clone(),
                    age,
                    offer: leg.offer,
                    extension: leg.extension.clone(),
                },
                (None, Some(extension)) if !has_leg => {
                    Event::TalkOver { arrival: arrival.clone(), age, extension: extension.clone() }
                }
                (None, _) => match parse_back_channel(&arrival.channel) {
                    // Their callback is over.
                    Some((_, attempt)) if !self.floor.callers().contains_key(&call) => {
                        self.drop_back(call, attempt, server);
                        continue;
                    }
                    Some(_) | None => Event::CallerFound(arrival.clone(), age),
                },
            });
        }
    }

    /// Hangs up again whom the order to hang up did not reach, and plays on to those whose greeting's end was missed.
    fn say_again(&mut self, server: &ServerId, snapshot: &Snapshot) {
        self.dismissed.retain(|(of, channel)| of != server || snapshot.channels.contains(channel));
        if let Some(ari) = self.servers.get(server) {
            for (_, channel) in self.dismissed.iter().filter(|(of, _)| of == server) {
                drop(ari.send(Request::hang_up(channel)));
            }
        }
        let on_floor = self.floor.callers();
        let greeted: Vec<CallId> = self
            .greeting
            .iter()
            .filter(|call| on_floor.get(call).is_none_or(|caller| caller.arrival.server == *server))
            .copied()
            .collect();
        for call in greeted {
            self.greeting.remove(&call);
            self.music_if_waiting(call);
        }
    }

    /// Legs and bridges whose offer or call is over.
    fn drop_orphans(&mut self, server: &ServerId, snapshot: &Snapshot) {
        self.unsure.retain(|(call, offer)| self.floor.callers().get(call).is_some_and(|caller| caller.has_out(*offer)));
        for leg in &snapshot.legs {
            if !self.floor.callers().get(&leg.call).is_some_and(|caller| caller.has_out(leg.offer)) {
                self.hang_up_leg(leg.call, leg.offer, server);
            }
        }
        for (call, _) in &snapshot.bridges {
            let wanted = self.floor.callers().get(call).is_some_and(|caller| !caller.offers.is_empty());
            if !wanted {
                self.perform(Effect::DropBridge { call: *call, server: server.clone() });
            }
        }
    }
}
