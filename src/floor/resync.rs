//! After a gap: ask Asterisk what is there, and feed what was missed to the same machine.
//!
//! Asterisk replays nothing and sends no second `StasisStart`. So on each connect: callers that we knew and that are gone
//! hung up, and those who are there and not in our application are the dialplan's by now; callers in the application that
//! we do not know are taken over, in their order, from the marks on their channels; one whose mark says that they were joined, and whose member's leg is gone, is hung up, because that talk is
//! over; a leg whose offer is over, and a bridge whose call is over, are orphans and go.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use crate::{
    ari::{Answer, Ari, Error, Request, wire},
    domain::{
        id::{BridgeId, CallId, ChannelId, Extension, Interface, OfferNo, ServerId},
        queue::{
            callback::{Missed, back_channel, parse_back_channel},
            caller::{Arrival, Caller, OfferState, Stage, leg_channel, parse_call_bridge, parse_leg_channel},
            effect::Effect,
            event::{Event, LegEnd},
            tries::Tries,
        },
    },
    floor::{
        Service, back,
        bounds::{SILENCE, parse_silence},
        device_of,
        listen::{EXTENSION, Found, Reading, SINCE},
        perform::ANSWERED,
        strays,
        transfers::{self, RETURNS_TO},
    },
};

/// What is on one Asterisk.
#[derive(Debug)]
pub(super) struct Snapshot {
    channels: HashSet<ChannelId>,
    /// Those of them that are in our application.
    ours: HashSet<ChannelId>,
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
    /// What it remembers of callers who were called back.
    tries: Tries,
    /// Callers' channels that Asterisk has made when a phone handed a call over.
    made: Vec<ChannelId>,
    /// Halves of channels that a phone's own transfer has made: id, and the number that was dialled.
    of_transfers: Vec<(ChannelId, String)>,
    /// Channels that led to whoever was handed a caller, who has sent them on.
    of_handed: Vec<wire::Channel>,
    /// Channels in the place of a leg for which a phone rings: a member's phone has given the caller to somebody who has not answered yet.
    rung: Vec<(CallId, ChannelId, Interface)>,
}

impl Snapshot {
    /// Calls of which the caller is there.
    pub(super) fn calls(&self) -> impl Iterator<Item = CallId> {
        self.callers.iter().map(|(found, _)| found.arrival.call)
    }

    /// Those of which a member's leg is there.
    pub(super) fn offers(&self) -> impl Iterator<Item = (CallId, OfferNo)> {
        self.legs.iter().map(|leg| (leg.call, leg.offer))
    }
}

#[derive(Debug)]
struct Leg {
    channel: ChannelId,
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
    let tries = ari.send(Request::global(back::TRIES));
    let endpoints: Vec<wire::Endpoint> = endpoints.wait().await?.json()?;
    let bridges: Vec<wire::Bridge> = bridges.wait().await?.json()?;
    let channels: Vec<wire::Channel> = channels.wait().await?.json()?;
    let bound = parse_silence(&bound.wait().await?.json::<wire::Variable>()?.value);

    let tries = Tries::parse(&tries.wait().await?.json::<wire::Variable>()?.value);

    let mut reading = Vec::new();
    let mut legs = Vec::new();
    let mut backs = Vec::new();
    let mut of_transfers = Vec::new();
    let mut of_handed = Vec::new();
    let mut rung = Vec::new();
    let mut made = Vec::new();
    for channel in &channels {
        let id = ChannelId::new(&channel.id);
        if let Some((call, offer)) = parse_leg_channel(&id) {
            let answered = if channel.is_in(ari.app()) { Answered::Yes } else { Answered::No };
            legs.push((
                id.clone(),
                call,
                offer,
                answered,
                channel.name.clone(),
                ari.send(Request::variable(&id, EXTENSION)),
            ));
        } else if channel.is_in(ari.app()) && transfers::is_of_transfer(channel) {
            of_transfers.push((id, channel.dialplan.exten.clone()));
        } else if channel.is_in(ari.app()) && transfers::is_of_handed(channel) {
            of_handed.push(channel.clone());
        } else if channel.is_in(ari.app()) {
            if transfers::may_stand_in(channel) {
                let mark = text(transfers::ask(ari, &id)).await?;
                if transfers::is_for_caller(&mark) {
                    made.push(id.clone());
                } else if let Some((call, offer)) = transfers::leg_for(ari, channel, &mark, &bridges) {
                    let extension = ari.send(Request::variable(&id, EXTENSION));
                    let phone = transfers::rings(ari, &id, &channel.name).await;
                    let answered = if phone.is_some() { Answered::No } else { Answered::Yes };
                    rung.extend(phone.map(|phone| (call, id.clone(), phone)));
                    legs.push((id, call, offer, answered, channel.name.clone(), extension));
                    continue;
                }
            }
            let marks = [ANSWERED, RETURNS_TO, SINCE].map(|mark| ari.send(Request::variable(&id, mark)));
            reading.push((channel, Reading::start(ari, &id), marks));
        } else if channel.dialplan.context == back::CONTEXT {
            // Elsewhere in the dialplan it was answered, and the service has given it back, or its agent's phone has sent it on.
            backs.extend(parse_back_channel(&id));
        }
    }
    let mut callers = Vec::new();
    for (channel, reading, [answered, returns_to, since]) in reading {
        let mut found = match reading.finish(ari, channel, CallId(uuid::Uuid::now_v7())).await {
            Ok(found) => found,
            Err(Error::Gone(_)) => continue,
            Err(error) => return Err(error),
        };
        let talked_with = marked(answered, found.arrival.call).await?;
        found.arrival.returns_to = marked(returns_to, found.arrival.call).await?;
        found.arrival.since = parse_since(&text(since).await?, found.arrival.call);
        callers.push((found, talked_with));
    }
    let mut known_legs = Vec::new();
    for (channel, call, offer, answered, name, extension) in legs {
        let extension = match extension.wait().await {
            Ok(response) => response.json::<wire::Variable>()?.value,
            Err(Error::Gone(_)) => continue,
            Err(error) => return Err(error),
        };
        known_legs.push(Leg { channel, call, offer, answered, extension: Extension::new(extension), name });
    }
    callers.sort_by_key(|(found, _)| found.entered.unwrap_or(Timestamp::MAX));
    Ok(Snapshot {
        ours: channels.iter().filter(|c| c.is_in(ari.app())).map(|channel| ChannelId::new(&channel.id)).collect(),
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
        tries,
        made,
        of_transfers,
        of_handed,
        rung,
    })
}

/// The member whom a mark on a caller's leg names for this call.
async fn marked(answer: Answer, call: CallId) -> Result<Option<Extension>, Error> {
    Ok(parse_mark(&text(answer).await?, call))
}

/// The value of a variable; empty if it was never set.
async fn text(answer: Answer) -> Result<String, Error> {
    match answer.wait().await {
        Ok(response) => Ok(response.json::<wire::Variable>()?.value),
        Err(Error::Gone(_)) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn parse_mark(mark: &str, call: CallId) -> Option<Extension> {
    let (of, extension) = mark.split_once(' ')?;
    (of == call.to_string() && !extension.is_empty()).then(|| Extension::new(extension))
}

/// Since when the caller of this call waits, as the mark says.
fn parse_since(mark: &str, call: CallId) -> Option<Timestamp> {
    let (of, since) = mark.split_once(' ')?;
    since.parse().ok().filter(|_| of == call.to_string())
}

/// Whether a phone's own transfer has taken the member's leg out of the bridge of this call.
fn is_sent_on(call: CallId, snapshot: &Snapshot) -> bool {
    let halves = || snapshot.of_transfers.iter().map(|(channel, _)| channel);
    snapshot.bridges.iter().any(|(of, channels)| *of == call && halves().any(|half| channels.contains(half)))
}

/// Who is to have a caller again who is not in the bridge of their call, although they have been joined with somebody: that
/// party, or whom they had asked and have left the caller to.
fn parted<'a>(call: CallId, snapshot: &'a Snapshot, talked_with: Option<&Extension>) -> Option<&'a Leg> {
    let member = talked_with.filter(|_| !is_sent_on(call, snapshot))?;
    let inside = |leg: &&Leg| {
        leg.answered == Answered::Yes
            && snapshot.bridges.iter().any(|(of, channels)| *of == call && channels.contains(&leg.channel))
    };
    let legs = || snapshot.legs.iter().filter(|leg| leg.call == call).filter(inside);
    // One whom the member's phone has called is let go, as when we see it happen.
    let is_asked = |leg: &&Leg| leg.channel == leg_channel(leg.call, leg.offer);
    legs().find(|leg| leg.extension == *member).or_else(|| legs().find(is_asked)).or_else(|| legs().next())
}

impl Service {
    /// Brings the machine up to date with what is on an Asterisk.
    pub(super) fn resync(&mut self, server: &ServerId, mut snapshot: Snapshot) {
        self.step(Event::ServerDown { server: server.clone() });
        match snapshot.bound {
            Some(bound) => self.bounds.insert(server.clone(), bound),
            None => self.bounds.remove(server),
        };
        self.leg_names.retain(|(call, _), _| self.floor.callers().contains_key(call));
        let named = snapshot.legs.iter().filter(|leg| leg.answered == Answered::Yes);
        self.leg_names.extend(named.map(|leg| ((leg.call, leg.offer), leg.name.clone())));
        self.hush_strangers(server, &snapshot);
        self.tell_of_the_handed_over(server, &mut snapshot);
        self.tell_of_the_gone(server, &snapshot);
        for endpoint in &snapshot.endpoints {
            let (interface, device) = device_of(endpoint);
            self.step(Event::DeviceChanged { server: server.clone(), interface, device });
        }
        self.tell_of_the_found(server, &snapshot);
        for tried in snapshot.tries.iter() {
            self.step(Event::BackRemembered { server: server.clone(), tried: tried.clone() });
        }
        self.tries.insert(server.clone(), std::mem::take(&mut snapshot.tries));
        self.drop_orphans(server, &snapshot);
        self.say_again(server, &snapshot);
        // Whether they still hear what they were told before the gap is not known.
        let waiting = self.callers.iter().filter(|((of, _), _)| of == server);
        let waiting: Vec<CallId> = waiting.map(|(_, call)| *call).collect();
        waiting.into_iter().for_each(|call| self.hush(call));
        tracing::info!(
            server.name = %server,
            channels = snapshot.channels.len(),
            callers = self.callers.keys().filter(|(of, _)| of == server).count(),
            "in step with Asterisk"
        );
        self.step(Event::ServerUp { server: server.clone() });
        self.put_off_all(server);
        self.send_on_again(server, &snapshot);
    }

    /// Transfers that phones have made in the gap, in talks that we know.
    fn send_on_again(&mut self, server: &ServerId, snapshot: &Snapshot) {
        for (channel, to) in &snapshot.of_transfers {
            let call = snapshot.bridges.iter().find(|(_, channels)| channels.contains(channel)).map(|(call, _)| *call);
            let talk = call.and_then(|call| Some((call, self.floor.callers().get(&call)?.taken()?.number)));
            match talk {
                Some(leg) => self.sent_on(server, leg, channel, to.clone()),
                None => self.hang_up(server, channel),
            }
        }
        for channel in &snapshot.of_handed {
            self.hand_on(server, channel);
        }
        for (call, channel, phone) in &snapshot.rung {
            let whom = self.known.borrow().agent_at(phone).cloned();
            let talk = self.floor.callers().get(call).and_then(|caller| Some((*call, caller.taken()?.number)));
            match (whom, talk) {
                (Some(whom), Some(leg)) => self.still_rings(server, leg, channel, &whom),
                (_, _) => self.hang_up(server, channel),
            }
        }
    }

    /// Talks that we know, and that a member's phone has given to somebody else in the gap: what stands in the bridge in the place of its
    /// leg is the other one's leg from now on.
    fn tell_of_the_handed_over(&mut self, server: &ServerId, Snapshot { legs, bridges, .. }: &mut Snapshot) {
        let mut let_go = Vec::new();
        for leg in legs.iter_mut().filter(|leg| leg.channel != leg_channel(leg.call, leg.offer)) {
            if leg.answered == Answered::No {
                continue;
            }
            let talk = |caller: &&Caller| caller.stage == Stage::Talking && !caller.has_out(leg.offer);
            let caller = self.floor.callers().get(&leg.call).filter(talk);
            let Some(member) = caller.and_then(|caller| caller.taken()).map(|offer| offer.number) else { continue };
            let before = self.channel_of(leg.call, member);
            let replaces = |(of, channels): &(CallId, Vec<ChannelId>)| {
                *of == leg.call && channels.contains(&leg.channel) && !channels.contains(&before)
            };
            if !bridges.iter().any(replaces) {
                continue;
            }
            let number = leg.extension.as_str().to_owned();
            let channel = wire::Channel {
                id: leg.channel.as_str().to_owned(),
                name: leg.name.clone(),
                caller: wire::Caller { number, ..wire::Caller::default() },
                ..wire::Channel::default()
            };
            self.handed_over(server, (leg.call, member), &channel);
            let new = self.floor.callers().get(&leg.call).and_then(|caller| caller.taken());
            match new.filter(|new| self.channel_of(leg.call, new.number) == leg.channel) {
                Some(new) => (leg.offer, leg.extension) = (new.number, new.extension.clone()),
                // The caller is somebody else's, such as a colleague's whom the member had asked.
                None => let_go.push(leg.channel.clone()),
            }
        }
        legs.retain(|leg| !let_go.contains(&leg.channel));
    }

    /// Callers and legs that we knew and that are not there any more, or not ours: whom the dialplan has taken back is left to it.
    fn tell_of_the_gone(&mut self, server: &ServerId, snapshot: &Snapshot) {
        let known: Vec<(ChannelId, CallId)> = self
            .callers
            .iter()
            .filter(|((of, channel), _)| of == server && !snapshot.ours.contains(channel))
            .map(|((_, channel), call)| (channel.clone(), *call))
            .collect();
        for (channel, call) in known {
            self.callers.remove(&(server.clone(), channel));
            self.saying.remove(&call);
            self.step(Event::CallerGone { call });
        }
        let legs: Vec<(CallId, OfferNo)> = self
            .floor
            .callers()
            .values()
            .filter(|caller| caller.arrival.server == *server)
            .flat_map(|caller| {
                let rung = caller.offers.values().filter(|offer| !matches!(offer.state, OfferState::Popping { .. }));
                // The consulted party first: an agent who is gone too has not given the caller to them.
                let consulted = caller.consulted().map(|consulted| consulted.number);
                consulted.into_iter().chain(rung.map(|offer| offer.number)).map(|number| (caller.arrival.call, number))
            })
            .filter(|(call, _)| !is_sent_on(*call, snapshot) && !snapshot.rung.iter().any(|(of, _, _)| of == call))
            .filter(|(call, offer)| !snapshot.channels.contains(&self.channel_of(*call, *offer)))
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
        self.stands_in.retain(|_, (of, channel)| of != server || snapshot.channels.contains(channel));
        self.made.retain(|(of, _)| of != server);
        self.made.extend(snapshot.made.iter().map(|channel| (server.clone(), channel.clone())));
        for leg in snapshot.legs.iter().filter(|leg| leg.channel != leg_channel(leg.call, leg.offer)) {
            self.stands_in.insert((leg.call, leg.offer), (server.clone(), leg.channel.clone()));
            // Handed over in the gap, perhaps.
            if let Some(ari) = self.servers.get(server) {
                self.hear_of_transfers(server, ari, &leg.channel, &leg.name);
            }
        }
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
            if strays::is_stray(arrival) {
                self.callers.remove(&key);
                self.send_on_stray(server, &arrival.channel);
                continue;
            }
            let call = arrival.call;
            // A leg of a callback does not show the number that was called.
            let known = self.floor.callers().get(&call).map(|caller| caller.arrival.caller.clone());
            let arrival = &Arrival { caller: known.unwrap_or_else(|| arrival.caller.clone()), ..arrival.clone() };
            // Several phones may have rung for the call; the one in its bridge has it.
            let talks_with = snapshot.legs.iter().filter(|leg| leg.call == call).find(|leg| {
                let is_in = |(of, channels): &(CallId, Vec<ChannelId>)| {
                    *of == call && channels.contains(&leg.channel) && channels.contains(&arrival.channel)
                };
                leg.answered == Answered::Yes && snapshot.bridges.iter().any(is_in)
            });
            // One whose variables were being read when the link fell is in `callers`, and not on the floor.
            let is_known = self.callers.get(&key).is_some_and(|call| self.floor.callers().contains_key(call));
            // Another program that had our application meanwhile may have joined somebody who waits here.
            if is_known && talks_with.is_none() {
                continue;
            }
            self.callers.insert(key, call);
            let Some(entered) = entered else {
                self.step(Event::CallerEntered(arrival.clone()));
                continue;
            };
            let age = Duration::try_from(Timestamp::now().duration_since(*entered)).unwrap_or_default();
            let has_leg = snapshot.legs.iter().any(|leg| leg.call == call);
            let mut arrival = arrival.clone();
            let talked_with = talked_with.as_ref();
            if let Some(leg) = parted(call, snapshot, talked_with).filter(|_| talks_with.is_none()) {
                let (offer, extension) = (leg.offer, leg.extension.clone());
                self.paused.insert(call);
                self.step(Event::PartedFound { arrival, age, offer, extension });
                continue;
            }
            if is_sent_on(call, snapshot) || snapshot.rung.iter().any(|(of, _, _)| *of == call) {
                // Their talk is over, and where they were to go is not asked again: back to who sent them.
                arrival.returns_to = arrival.returns_to.or_else(|| talked_with.cloned());
            }
            if let Some(leg) = talks_with {
                let (offer, extension, caller) = (leg.offer, leg.extension.clone(), arrival.channel.clone());
                self.step(Event::TalkFound { arrival, age, offer, extension });
                if let Some(from) = talked_with.filter(|_| !is_known).cloned() {
                    self.hand_over_found(server, leg, &caller, from);
                }
                continue;
            }
            let talked_with = talked_with.filter(|_| arrival.returns_to.is_none());
            self.step(match talked_with {
                Some(extension) if !has_leg => Event::TalkOver { arrival, age, extension: extension.clone() },
                _ => match parse_back_channel(&arrival.channel) {
                    // Their callback is over.
                    Some((_, attempt)) if !self.floor.callers().contains_key(&call) => {
                        self.drop_back(call, attempt, server);
                        continue;
                    }
                    Some(_) | None => Event::CallerFound(arrival, age),
                },
            });
        }
    }

    /// A found talk may be somebody else's than the mark on the caller says: handed over while no run was there to see it.
    fn hand_over_found(&mut self, server: &ServerId, leg: &Leg, caller: &ChannelId, from: Extension) {
        let talks = leg.extension.as_str();
        if talks.is_empty() || talks == from.as_str() {
            return;
        }
        if let Some(ari) = self.servers.get(server) {
            drop(ari.send(Request::set_variable(caller, ANSWERED, &format!("{} {talks}", leg.call))));
        }
        self.step(Event::HandOverFound { call: leg.call, offer: leg.offer, from });
    }

    /// Hangs up again whom the order to hang up did not reach.
    fn say_again(&mut self, server: &ServerId, snapshot: &Snapshot) {
        self.dismissed.retain(|(of, channel)| of != server || snapshot.channels.contains(channel));
        if let Some(ari) = self.servers.get(server) {
            for (_, channel) in self.dismissed.iter().filter(|(of, _)| of == server) {
                drop(ari.send(Request::hang_up(channel)));
            }
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
