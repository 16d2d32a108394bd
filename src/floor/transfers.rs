//! Phones that transfer by themselves (SIP REFER), as Asterisk carries it out in a bridge of ours.
//!
//! The caller stays in the bridge, and the leg of the phone is replaced by one half of a Local channel. Its other half runs the
//! context below with the number that was dialled; there it enters the application and waits, or, when the service is away, goes
//! on and puts the caller through by itself. All that is to be known is said when the first half enters the application.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    ari::{Answer, Ari, Request, wire},
    domain::{
        fact::Hold,
        id::{BridgeId, CallId, ChannelId, Extension, Interface, OfferNo, ServerId},
        queue::{
            caller::{Caller, Offer, call_bridge, leg_channel, parse_call_bridge, parse_leg_channel},
            event::{Event, LegEnd},
            member::Device,
            roster::Agent,
            transfer::{HandedTo, TransferMeans},
        },
    },
    floor::{
        Input, Service,
        bounds::LEG,
        listen::{self, EXTENSION, marks},
        perform::ANSWERED,
    },
};

/// How Asterisk writes when an event was.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.f%z";

/// The context of the dialplan that members' legs transfer into.
pub(super) const CONTEXT: &str = "usher-transfer";
/// Asterisk's name for the variable with that context.
pub(super) const CONTEXT_VARIABLE: &str = "TRANSFER_CONTEXT";
/// Variable of a caller's leg while an agent transfers them: `CALL EXTENSION`, the agent. It names the call, because a channel
/// may come in again.
pub(super) const RETURNS_TO: &str = "USHER_RETURNS_TO";

/// Whether the channel is one half of a Local channel that a transfer has made.
pub(super) fn is_of_transfer(channel: &wire::Channel) -> bool {
    channel.dialplan.context == CONTEXT && channel.name.starts_with("Local/")
}

/// The context of the dialplan that whoever was handed a caller transfers into.
const HANDED: &str = "usher-handed";
/// Dialplan function that names who is in a bridge with a channel.
const PEER: &str = "BRIDGEPEER";
/// Variables of a channel: its id, and the number of whom it leads to.
const ID: &str = "UNIQUEID";
const LEADS_TO: &str = "CONNECTEDLINE(num)";

/// Whether whoever was handed a caller has sent them on with their own phone: this half, which led to them, is to go where they said.
pub(super) fn is_of_handed(channel: &wire::Channel) -> bool {
    channel.dialplan.context == HANDED && other_half(&channel.name).is_some()
}

/// The name of the other half of a Local channel.
fn other_half(name: &str) -> Option<String> {
    let local = name.strip_prefix("Local/")?;
    let (both, other) =
        local.strip_suffix(";1").map(|both| (both, 2)).or(local.strip_suffix(";2").map(|both| (both, 1)))?;
    Some(format!("Local/{both};{other}"))
}

/// Asterisk's name for what it puts in the place of a leg when a caller is handed over.
const ATTENDED: &str = "_attended";
/// An offer that nobody has made: one more than any that was (the numbers of a call end before).
const UNKNOWN_OFFER: OfferNo = OfferNo(1 << 30);
/// Variable of a channel that stands in the place of a member's leg: the id that the leg would have.
const STANDS_IN: &str = "USHER_STANDS_IN_FOR";

/// What that variable says of one that stands in a caller's place.
const FOR_CALLER: &str = "caller";

/// Whether a mark says that the channel stands in a caller's place.
pub(super) fn is_for_caller(mark: &str) -> bool {
    mark == FOR_CALLER
}

/// Whether the channel may stand in the place of a member's leg: it is to be asked.
pub(super) fn may_stand_in(channel: &wire::Channel) -> bool {
    channel.name.starts_with("Local/")
}

/// Asks a channel for which leg it stands.
pub(super) fn ask(ari: &Ari, channel: &ChannelId) -> Answer {
    ari.send(Request::variable(channel, STANDS_IN))
}

/// For which leg a channel stands: as its mark says, or, when the service died before it could mark it, for one of the call in
/// whose bridge it is.
pub(super) fn leg_for(
    ari: &Ari,
    channel: &wire::Channel,
    mark: &str,
    bridges: &[wire::Bridge],
) -> Option<(CallId, OfferNo)> {
    if let Some(leg) = parse_leg_channel(&ChannelId::new(mark)) {
        return Some(leg);
    }
    let bridge =
        bridges.iter().filter(|_| channel.dialplan.exten == ATTENDED).find(|b| b.channels.contains(&channel.id))?;
    let (id, call) = (ChannelId::new(&channel.id), parse_call_bridge(&BridgeId::new(&bridge.id))?);
    drop(ari.send(Request::set_variable(&id, STANDS_IN, leg_channel(call, UNKNOWN_OFFER).as_str())));
    drop(ari.send(Request::set_variable(&id, EXTENSION, &channel.caller.number)));
    Some((call, UNKNOWN_OFFER))
}

/// How long Asterisk is asked whom a channel leads to, and how long apart. It tells the channel so from one of its threads to the
/// next: within milliseconds, but on a busy machine after a second or more. One that needs longer than this for an answer is taken
/// for dead; a party that is still not named then shows no number.
const ASKED: Duration = Duration::from_secs(5);
const APART: Duration = Duration::from_millis(50);

/// Asterisk's name for the number of whom a channel leads to. Asked for by itself: what Asterisk says of the whole channel is a picture
/// that it made when something else changed, and may stay older than the number for as long as the talk lasts.
const NUMBER: &str = "CALLERID(num)";

/// What Asterisk is asked for, as soon as it knows it; `None`: it does not, or the channel is gone, as the question then says.
async fn known_soon<T, F: Future<Output = Option<Option<T>>>>(ask: impl Fn() -> F) -> Option<T> {
    let until = tokio::time::Instant::now() + ASKED;
    while tokio::time::Instant::now() < until {
        tokio::time::sleep(APART).await;
        if let Some(known) = ask().await? {
            return Some(known);
        }
    }
    None
}

/// Whom a channel leads to.
enum Behind {
    /// Somebody whose phone rings still.
    Rings(Agent),
    /// Somebody who talks, with this number.
    Talks(String),
    /// The place of a caller of ours, where this channel stands.
    Line(ChannelId),
}

/// A variable of the other half of this channel; `None` when one of them is gone.
async fn of_half(ari: &Ari, channel: &ChannelId, other: &str, what: &str) -> Option<String> {
    let asked = ari.send(Request::variable(channel, &format!("IMPORT({other},{what})")));
    listen::value_of(asked.wait().await).ok()
}

/// The other half of this channel, if that stands in the place of a caller of ours.
async fn line(ari: &Ari, channel: &ChannelId, name: &str) -> Option<ChannelId> {
    let other = other_half(name)?;
    let mark = of_half(ari, channel, &other, STANDS_IN).await?;
    let id = of_half(ari, channel, &other, ID).await.filter(|_| is_for_caller(&mark))?;
    Some(ChannelId::new(id))
}

/// The dialplan's application that rings a phone.
const DIAL: &str = "Dial";

/// The phone that rings for the other half of this channel, of this name: who has handed a caller over had only called it.
pub(super) async fn rings(ari: &Ari, channel: &ChannelId, name: &str) -> Option<Interface> {
    let other = other_half(name)?;
    let of_other = async |what: &str| of_half(ari, channel, &other, what).await;
    let id = ChannelId::new(of_other(ID).await.filter(|id| !id.is_empty())?);
    let found = ari.send(Request::channel(&id)).wait().await.ok()?.json::<wire::Channel>().ok()?;
    // Whoever has answered is in a bridge with it, in the same application.
    let is_alone = found.dialplan.app_name == DIAL && of_other(PEER).await?.is_empty();
    let phone = found.dialplan.app_data.split([',', '&']).next().unwrap_or_default();
    (is_alone && !phone.is_empty()).then(|| Interface::new(phone))
}

/// A channel in the place of a member's leg, and whom it leads to.
pub(super) struct StandIn {
    id: ChannelId,
    name: String,
    to: HandedTo,
}

/// The phone that a channel of this name belongs to.
fn phone_of(name: &str) -> Interface {
    Interface::new(name.rsplit_once('-').map_or(name, |(phone, _)| phone))
}

impl Service {
    /// The leg that a channel is, or in whose place it stands.
    pub(super) fn leg_of(&self, server: &ServerId, channel: &ChannelId) -> Option<(CallId, OfferNo)> {
        let stands_in = || self.stands_in.iter().find(|(_, (of, id))| of == server && id == channel);
        parse_leg_channel(channel).or_else(|| stands_in().map(|(leg, _)| *leg))
    }

    /// The channel of a leg.
    pub(super) fn channel_of(&self, call: CallId, offer: OfferNo) -> ChannelId {
        self.stands_in.get(&(call, offer)).map_or_else(|| leg_channel(call, offer), |(_, channel)| channel.clone())
    }

    /// A member's phone has given the caller to somebody whom it had called. Asterisk may not know yet whom this channel leads
    /// to: then it is asked until it does, and until then the end of the leg means nothing.
    pub(super) fn replaced(&mut self, server: &ServerId, leg: (CallId, OfferNo), channel: &wire::Channel) {
        // With the agent's own number it may be a second line of theirs.
        let number = channel.caller.number.as_str();
        if !number.is_empty() && self.agent_of(leg).is_none_or(|agent| agent.as_str() != number) {
            return self.handed_over(server, leg, channel);
        }
        let Some(ari) = self.servers.get(server).cloned() else { return };
        let id = ChannelId::new(&channel.id);
        self.handing_over.insert(leg, (server.clone(), id.clone()));
        let (server, inputs, mut channel) = (server.clone(), self.inputs.clone(), channel.clone());
        let known = self.known.clone();
        tokio::spawn(async move {
            let ask = async || {
                if let Some(phone) = rings(&ari, &id, &channel.name).await {
                    return Some(known.borrow().agent_at(&phone).cloned().map(Behind::Rings));
                }
                if let Some(line) = line(&ari, &id, &channel.name).await {
                    return Some(Some(Behind::Line(line)));
                }
                let number = listen::value_of(ari.send(Request::variable(&id, NUMBER)).wait().await).ok()?;
                Some((!number.is_empty()).then_some(Behind::Talks(number)))
            };
            let input = match known_soon(ask).await {
                Some(Behind::Rings(whom)) => Input::StillRings { server, channel: id, whom },
                Some(Behind::Talks(number)) => {
                    channel.caller.number = number;
                    Input::HandedOver { server, leg, channel }
                }
                Some(Behind::Line(line)) => Input::LeadsToLine { server, leg, channel, line },
                None => Input::HandedOver { server, leg, channel },
            };
            // Nobody is left to tell when the floor has ended.
            let _gone = inputs.send(input).await;
        });
    }

    /// A member's phone has given the caller to somebody whom it had called and who has not answered yet. Asterisk would ring on for what
    /// stands in the place of the leg, and hang the caller up when nobody answers. So it is a transfer like any other: that phone is let go,
    /// and rung again by us, after the pop; and who does not answer gives the caller back.
    pub(super) fn still_rings(&mut self, server: &ServerId, leg: (CallId, OfferNo), channel: &ChannelId, whom: &Agent) {
        // It is as good as idle: what rings there is gone before we ring.
        let interface = whom.interface.clone();
        self.step(Event::DeviceChanged { server: server.clone(), interface, device: Device::Idle });
        self.sent_on(server, leg, channel, whom.extension.as_str().to_owned());
    }

    /// A phone has handed over the call of a caller of ours, and this channel stands in their place. Who waits may have been anybody,
    /// such as an agent's second line that has asked for the queue on behalf of their customer. In a talk it was an agent's phone,
    /// which gives its own customer to the colleague whom it got through the queue: callers transfer nobody.
    pub(super) fn caller_replaced(&mut self, server: &ServerId, channel: &wire::Channel, replaced: &wire::Channel) {
        let (id, old) = (ChannelId::new(&channel.id), ChannelId::new(&replaced.id));
        let phone = phone_of(&replaced.name);
        let call = self.callers.get(&(server.clone(), old.clone())).copied();
        let caller = call.and_then(|call| self.floor.callers().get(&call)).filter(|caller| caller.callback.is_none());
        let is_allowed = |caller: &&Caller| caller.taken().is_none() || self.known.borrow().is_of_agent(&phone);
        let (Some(caller), Some(ari)) = (caller.filter(is_allowed), self.servers.get(server)) else {
            self.hang_up(server, &id);
            if let Some(call) = call {
                tracing::info!(call.id = %call, "the caller's phone wants to transfer, which callers may not");
                self.step(Event::CallerParted { call });
            }
            return;
        };
        let call = caller.arrival.call;
        // When the phone hangs up, the talk goes on.
        drop(ari.send(Request::set_variable(&old, LEG, "")));
        drop(ari.send(Request::set_variable(&id, STANDS_IN, FOR_CALLER)));
        for (name, value) in marks(caller).as_object().into_iter().flatten() {
            drop(ari.send(Request::set_variable(&id, name, value.as_str().unwrap_or_default())));
        }
        if let Some(member) = caller.taken() {
            drop(ari.send(Request::set_variable(&id, ANSWERED, &format!("{call} {}", member.extension))));
        }
        tracing::info!(call.id = %call, phone = %phone, "a phone has handed its place in the queue over");
        self.hush(call);
        self.callers.remove(&(server.clone(), old));
        self.callers.insert((server.clone(), id.clone()), call);
        self.made.insert((server.clone(), id.clone()));
        self.step(Event::CallerReplaced { call, channel: id });
        self.put_off(call);
    }

    /// Whom the channel leads to is known, or will not be.
    pub(super) fn named(&mut self, server: &ServerId, leg: (CallId, OfferNo), channel: &wire::Channel) {
        if self.handing_over.remove(&leg).is_some() {
            self.handed_over(server, leg, channel);
        }
    }

    /// Whether the end of this channel says nothing of a member: their leg, in whose place another channel stands already. When
    /// it is that other channel that ends, the caller goes back to the member.
    pub(super) fn ends_in_hand_over(&mut self, server: &ServerId, channel: &ChannelId) -> bool {
        let theirs = (server.clone(), channel.clone());
        if let Some(leg) = self.handing_over.iter().find(|(_, new)| **new == theirs).map(|(leg, _)| *leg) {
            self.handing_over.remove(&leg);
            // Whoever it was, they did not have the caller for long, if at all: a phone that rang has refused, perhaps.
            self.sent_on(server, leg, channel, String::new());
            return true;
        }
        parse_leg_channel(channel).is_some_and(|leg| self.handing_over.contains_key(&leg))
    }

    /// A member's phone has given the caller to somebody whom it had called: this channel leads to them, and is in the bridge in
    /// the place of the member's leg.
    pub(super) fn handed_over(&mut self, server: &ServerId, leg: (CallId, OfferNo), channel: &wire::Channel) {
        // Without a number, or with the agent's own: Asterisk does not know whom it leads to.
        let number = channel.caller.number.as_str();
        let is_own = self.agent_of(leg).is_some_and(|agent| agent.as_str() == number);
        let to = if is_own { HandedTo::nobody() } else { HandedTo::Number(number.to_owned()) };
        self.given_to(server, leg, &StandIn { id: ChannelId::new(&channel.id), name: channel.name.clone(), to });
    }

    /// A channel in the place of a leg leads to the place of a caller of ours: an agent has asked for a queue on a second line.
    pub(super) fn leads_to_line(
        &mut self,
        server: &ServerId,
        leg: (CallId, OfferNo),
        channel: &wire::Channel,
        line: &ChannelId,
    ) {
        if self.handing_over.remove(&leg).is_none() {
            return;
        }
        let line = self.callers.get(&(server.clone(), line.clone())).and_then(|call| self.floor.callers().get(call));
        let to = line.map_or_else(HandedTo::nobody, |line| HandedTo::Line(line.arrival.queue.clone()));
        let stands_in = StandIn { id: ChannelId::new(&channel.id), name: channel.name.clone(), to };
        self.given_to(server, leg, &stands_in);
    }

    /// Whose talk a leg is.
    fn agent_of(&self, (call, offer): (CallId, OfferNo)) -> Option<&Extension> {
        self.floor.callers().get(&call)?.offers.get(&offer).map(|offer| &offer.extension)
    }

    fn given_to(&mut self, server: &ServerId, (call, offer): (CallId, OfferNo), stands_in: &StandIn) {
        let StandIn { id, name, to } = stands_in;
        self.step(Event::HandedOver { call, offer, to: to.clone() });
        let new = self.floor.callers().get(&call).and_then(|caller| caller.taken().cloned());
        match (new.filter(|new| new.number != offer), self.servers.get(server)) {
            (Some(new), Some(ari)) => {
                let caller = self.floor.callers().get(&call).map(|caller| caller.arrival.channel.clone());
                drop(ari.send(Request::set_variable(id, STANDS_IN, leg_channel(call, new.number).as_str())));
                drop(ari.send(Request::set_variable(id, EXTENSION, new.extension.as_str())));
                if let Some(caller) = caller {
                    drop(ari.send(Request::set_variable(&caller, LEG, name)));
                    drop(ari.send(Request::set_variable(&caller, ANSWERED, &format!("{call} {}", new.extension))));
                }
                self.leg_names.insert((call, new.number), name.clone());
                self.stands_in.insert((call, new.number), (server.clone(), id.clone()));
                // Who is in a line's call is a caller's talk, and transfers like anybody.
                match to {
                    HandedTo::Number(_) => self.hear_of_transfers(server, ari, id, name),
                    HandedTo::Line(_) => {}
                }
                if let (Some(ari), Some(caller)) = (self.servers.get(server), self.floor.callers().get(&call)) {
                    self.talks_on(ari, caller, new.number);
                }
            }
            // They were not talking yet: the phone is out of the bridge, and whom it called is let go.
            (_, _) => {
                self.hang_up(server, id);
                self.step(Event::LegGone { call, offer, end: LegEnd::HungUp });
            }
        }
    }

    /// Behind what stands in the place of a leg there is a phone, with a channel that is none of ours: when it sends the caller on, we are
    /// to hear of it as of any transfer. Otherwise the dialplan would take what stands there for the caller, and the phone for busy.
    /// And when it hands the caller over to a third one, nothing of ours enters anything: the other half tells that it leads elsewhere.
    pub(super) fn hear_of_transfers(&self, server: &ServerId, ari: &Ari, channel: &ChannelId, name: &str) {
        let Some(other) = other_half(name) else { return };
        let (server, ari, channel, inputs) = (server.clone(), ari.clone(), channel.clone(), self.inputs.clone());
        let (known, name) = (self.known.clone(), name.to_owned());
        tokio::spawn(async move {
            let of_other = async |what: &str| of_half(&ari, &channel, &other, what).await;
            // Before it is asked, so that no change is missed.
            let Some(id) = of_other(ID).await else { return };
            drop(ari.send(Request::subscribe(ari.app(), &format!("channel:{id}"))));
            if let Some(phone) = rings(&ari, &channel, &name).await {
                let whom = known.borrow().agent_at(&phone).cloned();
                if let Some(whom) = whom {
                    let _gone = inputs.send(Input::StillRings { server, channel, whom }).await;
                }
                return;
            }
            let Some(number) = of_other(LEADS_TO).await else { return };
            let theirs = known.borrow().agent(&Extension::new(&number)).map(|agent| agent.interface.clone());
            // The number changes before Asterisk has named the phone that is there now.
            let fits = |peer: &String| theirs.as_ref().is_none_or(|theirs| phone_of(peer).is_same_phone(theirs));
            let ask =
                async || of_other(PEER).await.map(|peer| Some(peer).filter(|peer| !peer.is_empty() && fits(peer)));
            let peer = match known_soon(ask).await {
                Some(peer) => peer,
                None => of_other(PEER).await.unwrap_or_default(),
            };
            let agent = known.borrow().agent_at(&phone_of(&peer)).map(|agent| agent.extension.clone());
            // Those outside transfer nobody.
            if agent.is_some() {
                let variable = format!("EXPORT({peer},{CONTEXT_VARIABLE})");
                drop(ari.send(Request::set_variable(&channel, &variable, HANDED)));
            }
            let to = agent.map_or(number, |agent| agent.as_str().to_owned());
            // Nobody is left to tell when the floor has ended.
            let _gone = inputs.send(Input::LeadsTo { server, channel, to }).await;
        });
    }

    /// This half of what stands in the place of a leg leads to somebody else: whoever was handed the caller has handed them over.
    pub(super) fn leads_elsewhere(&self, server: &ServerId, name: &str) {
        if let (Some(leg), Some(ari)) = (self.stand_in(server, name), self.servers.get(server))
            && let (Some((_, channel)), Some(name)) = (self.stands_in.get(&leg), self.leg_names.get(&leg))
        {
            self.hear_of_transfers(server, ari, channel, name);
        }
    }

    /// The leg in whose place a channel stands, by the name of its other half.
    fn stand_in(&self, server: &ServerId, name: &str) -> Option<(CallId, OfferNo)> {
        let other = other_half(name)?;
        let is_it = |leg: &(CallId, OfferNo)| self.leg_names.get(leg) == Some(&other);
        self.stands_in.iter().find(|(leg, (of, _))| of == server && is_it(leg)).map(|(leg, _)| *leg)
    }

    /// Whom a channel in the place of a leg leads to. When that is not the one whose talk it is, they have handed the caller over.
    pub(super) fn leads_to(&mut self, server: &ServerId, channel: &ChannelId, to: &str) {
        let Some(leg) = self.leg_of(server, channel) else { return };
        let taken =
            self.floor.callers().get(&leg.0).and_then(|caller| caller.taken()).filter(|offer| offer.number == leg.1);
        let has_handed_over = taken.is_some_and(|offer| {
            offer.extension.number_outside().is_none() && offer.extension.as_str() != to && !to.is_empty()
        });
        if has_handed_over {
            // It is the next leg's from here on: what ends the last one does not end it.
            self.stands_in.remove(&leg);
            if let Some(name) = self.leg_names.remove(&leg) {
                self.given_to(server, leg, &StandIn { id: channel.clone(), name, to: HandedTo::Number(to.to_owned()) });
            }
        }
        let is_theirs = |offer: &&Offer| self.channel_of(leg.0, offer.number) == *channel;
        if self.floor.callers().get(&leg.0).and_then(|caller| caller.taken()).filter(is_theirs).is_none() {
            return;
        }
        // Taken out of the bridge and put back, so that Asterisk begins anew to translate what comes in on it. Its translators hold voice
        // for late whose RTP sequence number is behind the last one that they had, and throw it away; and this may be another phone's
        // voice, whose numbers began anywhere. Every second one was not heard in a recorded talk, for up to eleven minutes (seen with 22.10).
        if let Some(ari) = self.servers.get(server) {
            drop(ari.send(Request::join(&call_bridge(leg.0), &[channel])));
        }
    }

    /// Whoever was handed a caller has sent them on with their own phone, and this channel led to them. It does not wait for long: when we
    /// were the ones who stood still, it may have rung the other phone by now, and the caller is left to it.
    pub(super) fn hand_on(&self, server: &ServerId, channel: &wire::Channel) {
        let Some(ari) = self.servers.get(server) else { return };
        let waits = ari.send(Request::waits(&ChannelId::new(&channel.id)));
        let (server, channel, inputs) = (server.clone(), channel.clone(), self.inputs.clone());
        tokio::spawn(async move {
            match waits.wait().await {
                // Nobody is left to tell when the floor has ended.
                Ok(_) => drop(inputs.send(Input::SentOn { server, channel }).await),
                Err(why) => tracing::info!(channel.id = channel.id, %why, "a transfer is left to the dialplan"),
            }
        });
    }

    /// It waits. What is in the place of no leg goes on in the dialplan, which puts it through.
    pub(super) fn sent_on_by_handed(&mut self, server: &ServerId, channel: &wire::Channel) {
        let id = ChannelId::new(&channel.id);
        match (self.stand_in(server, &channel.name), self.servers.get(server)) {
            (Some(leg), _) => self.sent_on(server, leg, &id, channel.dialplan.exten.clone()),
            (None, Some(ari)) => drop(ari.send(Request::go_on(&id))),
            (None, None) => {}
        }
    }

    pub(super) fn key_pressed(&mut self, leg: (CallId, OfferNo), (key, held): (char, Duration), at: &str) {
        let at = jiff::fmt::strtime::parse(TIME, at).and_then(|time| time.to_timestamp());
        let at = at.unwrap_or_else(|_| Timestamp::now());
        if self.keys_told.entry(leg).or_default().is_new(at, key, held) {
            self.step(Event::KeyPressed { call: leg.0, offer: leg.1, key });
        }
    }

    pub(super) fn hold_changed(&mut self, server: &ServerId, channel: &wire::Channel, hold: Hold) {
        if let Some((call, offer)) = self.leg_of(server, &ChannelId::new(&channel.id)) {
            self.step(Event::HoldChanged { call, offer, hold });
        }
    }

    /// A member's phone has sent the caller on: this channel stands in the place of its leg.
    pub(super) fn sent_on(
        &mut self,
        server: &ServerId,
        (call, offer): (CallId, OfferNo),
        channel: &ChannelId,
        to: String,
    ) {
        self.step(Event::TransferAsked { call, offer, to, how: TransferMeans::Phone });
        // It has said what it was for; the other half goes with it.
        self.hang_up(server, channel);
        // The phone is out of the bridge, and has no more to do with the call.
        self.hang_up(server, &self.channel_of(call, offer));
        if self.floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer)) {
            // They were not talking with the caller.
            self.step(Event::LegGone { call, offer, end: LegEnd::HungUp });
        }
    }

    pub(super) fn hang_up(&self, server: &ServerId, channel: &ChannelId) {
        let Some(ari) = self.servers.get(server) else { return };
        drop(ari.send(Request::hang_up(channel)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_event_is_read_as_asterisk_writes_it() {
        let at = jiff::fmt::strtime::parse(TIME, "2026-11-21T15:48:43.647+0000").and_then(|time| time.to_timestamp());
        assert_eq!(at.unwrap(), "2026-11-21T15:48:43.647Z".parse::<Timestamp>().unwrap());
    }

    #[test]
    fn a_channel_that_leads_to_another_one_has_its_name() {
        assert_eq!(other_half("Local/_attended@usher/s-0a;1"), Some("Local/_attended@usher/s-0a;2".into()));
        assert_eq!(other_half("Local/2000@x-0a;2"), Some("Local/2000@x-0a;1".into()));
        assert_eq!((other_half("PJSIP/1000-0a;1"), other_half("Local/2000@x-0a")), (None, None));
    }

    #[tokio::test]
    async fn whoever_was_handed_a_caller_is_known_also_when_asterisk_takes_more_than_a_second_to_say_so() {
        let asked = std::cell::Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            let knows = APART * asked.get() > Duration::from_millis(1500);
            std::future::ready(Some(knows.then_some("2000")))
        };
        assert_eq!(known_soon(ask).await, Some("2000"));
        assert_eq!(
            known_soon(|| std::future::ready(None::<Option<()>>)).await,
            None,
            "a channel that is gone leads to nobody"
        );
    }
}
