//! Service: the floor. Owns the machine of [`crate::domain::queue::floor`] and does what it says.
//!
//! ```text
//!   Asterisk ──Incoming──▶ listen (1x a server) ──Input──┐
//!   ledger ────News────────────────────────────────────▶├─▶ floor (1x) ──requests──▶ ari
//!   answers, pop outcomes (Nx) ──Event──────────────────┘        │ ├──pops, announcements──▶ desk
//!   counter, rooms ──questions───────────────────────────┘        │ └──facts──▶ ledger, rooms
//!                                                         deadline()
//! ```

mod announce;
mod back;
mod bounds;
mod consultations;
mod listen;
mod perform;
mod questions;
mod resync;
mod say;
mod strays;
mod transfers;

pub use self::questions::{NoAnswer, Questions};

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{MissedTickBehavior, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ari::{self, Ari},
    desk,
    domain::{
        fact::Hold,
        id::{CallId, ChannelId, Interface, OfferNo, ServerId},
        now::Now,
        queue::{
            callback::parse_back_channel,
            caller::{Arrival, parse_leg_channel},
            event::{Event, LegEnd},
            floor::Floor,
            keys::{Codes, Told},
            member::Device,
            roster::Agent,
            roster::{Register, Roster},
            standing::Standings,
            tries::Tries,
        },
        room::lines,
        words::Language,
    },
    ledger,
    worker::Worker,
};

/// Inputs that may wait for the floor: as many as events of one Asterisk may wait, so that neither starves the other.
const INPUTS: usize = ari::EVENT_BACKLOG;
/// How long the last requests of a stopping floor may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the floor task takes in.
#[derive(Debug)]
enum Input {
    /// An event of Asterisk.
    Ari { server: ServerId, event: ari::Event },
    /// The link to an Asterisk is up: this is what is there.
    Snapshot { server: ServerId, snapshot: resync::Snapshot },
    /// The link to an Asterisk is down.
    Down { server: ServerId },
    /// Who was given a caller by a member's phone is known now, or will not be.
    HandedOver { server: ServerId, leg: (CallId, OfferNo), channel: ari::wire::Channel },
    /// A member's phone has given a caller to a second line of its own, in whose place this channel stands.
    LeadsToLine { server: ServerId, leg: (CallId, OfferNo), channel: ari::wire::Channel, line: ChannelId },
    /// Who was given a caller by a member's phone has not answered yet: their phone rings for what stands in the place of the leg.
    StillRings { server: ServerId, channel: ChannelId, whom: Agent },
    /// Whom the channel in the place of a leg leads to now: their extension, or else their number.
    LeadsTo { server: ServerId, channel: ChannelId, to: String },
    /// Whoever was handed a caller has sent them on, and the channel that led to them waits for us.
    SentOn { server: ServerId, channel: ari::wire::Channel },
    /// A caller's variables were read.
    Arrived { arrival: Arrival },
    /// That a caller is to be called back is known to whichever process is active then.
    WillBeCalled { call: CallId },
    /// Somebody wants to know something.
    Asked(questions::Question),
}

/// The floor, to others.
#[derive(Debug)]
pub struct Handle {
    worker: Worker,
    questions: Questions,
}

impl Handle {
    /// The way to ask what is on the floor.
    pub fn questions(&self) -> Questions {
        self.questions.clone()
    }

    /// Takes no further calls, gives waiting callers back to the dialplan, and ends. Talks go on in Asterisk.
    pub async fn stop(self) {
        self.worker.stop().await;
    }

    /// Ends where it stands, saying nothing to anybody: another process has taken over its callers.
    pub async fn abandon(self) {
        self.worker.abandon().await;
    }
}

/// What the floor speaks to.
#[derive(Debug)]
pub struct Outlets {
    /// The Asterisk servers and what they tell.
    pub asterisks: Vec<(Ari, mpsc::Receiver<ari::Incoming>)>,
    /// Announcements and pops.
    pub desk: desk::Handle,
    /// What is kept.
    pub ledger: ledger::Handle,
    /// The state of agents, queues and memberships to begin with: callers are refused for want of it otherwise.
    pub first: Arc<Roster>,
    /// What has changed of it since.
    pub news: mpsc::Receiver<ledger::News>,
    /// Where others look up the state that the floor has taken in; holds the first one already.
    pub known: watch::Sender<Register>,
    /// How long a phone waits for its pop to be confirmed.
    pub publish_bound: Duration,
    /// Of notices to members.
    pub language: Language,
    /// What agents press in a talk before a number.
    pub codes: Codes,
    /// Where that goes which is said in the rooms of the queues; `None`: there are none.
    pub rooms: Option<mpsc::Sender<lines::News>>,
}

/// Starts the floor.
pub fn spawn(outlets: Outlets) -> Handle {
    let stop = CancellationToken::new();
    let (inputs, inbox) = mpsc::channel(INPUTS);
    let questions = Questions(inputs.clone());
    let mut servers = HashMap::new();
    let mut watchers = Vec::new();
    for (ari, incoming) in outlets.asterisks {
        servers.insert(ari.server().clone(), ari.clone());
        watchers.push((ari, incoming));
    }
    let service = Service {
        floor: Floor::new(outlets.publish_bound, rand::random()).with_codes(outlets.codes),
        servers,
        callers: HashMap::new(),
        dismissed: HashSet::new(),
        to_dismiss: Vec::new(),
        dismissing: JoinSet::new(),
        regretting: HashSet::new(),
        saying: HashMap::new(),
        unsure: HashSet::new(),
        standings: Standings::default(),
        announced: HashMap::new(),
        bounds: HashMap::new(),
        leg_names: HashMap::new(),
        keys_told: HashMap::new(),
        paused: HashSet::new(),
        agent_hears: HashMap::new(),
        stands_in: HashMap::new(),
        handing_over: HashMap::new(),
        made: HashSet::new(),
        passing_on: JoinSet::new(),
        tries: HashMap::new(),
        replies: FuturesUnordered::new(),
        desk: outlets.desk,
        callbacks: outlets.ledger.callbacks(),
        ledger: outlets.ledger,
        inputs,
        inbox,
        news: outlets.news,
        known: outlets.known,
        language: outlets.language,
        rooms: outlets.rooms,
        takes_up: false,
    };
    let task = tokio::spawn(service.run(outlets.first, watchers, stop.clone()));
    Handle { worker: Worker::new("the floor", stop, task), questions }
}

/// Answers that are waited for, and what to tell the machine then. They are asked before the inbox: an answer that came
/// before an event over the same connection is told before it, so a caller who was joined and hung up at once has talked.
type Replies = FuturesUnordered<Pin<Box<dyn Future<Output = Option<Event>> + Send>>>;

struct Service {
    floor: Floor,
    servers: HashMap<ServerId, Ari>,
    /// Callers in the application, those whose variables are still being read among them.
    callers: HashMap<(ServerId, ChannelId), CallId>,
    /// Callers who were hung up and are not known to be gone: the order may be lost with its link.
    dismissed: HashSet<(ServerId, ChannelId)>,
    /// Those among them whose order is not given yet, and is waiting for the ledger.
    to_dismiss: Vec<(ServerId, ChannelId)>,
    dismissing: JoinSet<()>,
    /// Calls that hear that they cannot be called back.
    regretting: HashSet<CallId>,
    /// What is being said to the two of a call. Whoever is joined or given back waits for none of it.
    saying: HashMap<CallId, say::Saying>,
    /// Legs that were there after a gap and not in the application: whoever answered in the gap was hung up by Asterisk.
    unsure: HashSet<(CallId, OfferNo)>,
    /// The callers of whom members were told, and what they were told.
    standings: Standings,
    announced: HashMap<CallId, String>,
    /// For each server whose dialplan sets one: the bound of those who wait, in seconds.
    bounds: HashMap<ServerId, u64>,
    /// Asterisk's names of the legs that were answered.
    leg_names: HashMap<(CallId, OfferNo), String>,
    /// The keys that were told of a leg.
    keys_told: HashMap<(CallId, OfferNo), Told>,
    /// Calls whose recording pauses for a consultation.
    paused: HashSet<CallId>,
    /// The playback that an agent hears, or heard last, who asks somebody else.
    agent_hears: HashMap<CallId, String>,
    /// Legs in whose place Asterisk has put another channel, since the caller was handed over.
    stands_in: HashMap<(CallId, OfferNo), (ServerId, ChannelId)>,
    /// Legs in whose place Asterisk has put another channel, and it is not known yet whom that leads to.
    handing_over: HashMap<(CallId, OfferNo), (ServerId, ChannelId)>,
    /// Callers' channels that Asterisk has made when a phone handed a call over: they have not come through the dialplan.
    made: HashSet<(ServerId, ChannelId)>,
    /// Callers who are told that they will be called back as soon as that is certain.
    passing_on: JoinSet<()>,
    /// What each Asterisk remembers of callers who were called back.
    tries: HashMap<ServerId, Tries>,
    replies: Replies,
    desk: desk::Handle,
    ledger: ledger::Handle,
    callbacks: watch::Receiver<ledger::Callbacks>,
    inputs: mpsc::Sender<Input>,
    inbox: mpsc::Receiver<Input>,
    news: mpsc::Receiver<ledger::News>,
    known: watch::Sender<Register>,
    language: Language,
    rooms: Option<mpsc::Sender<lines::News>>,
    /// What is found of an earlier run is being taken in.
    takes_up: bool,
}

impl Service {
    async fn run(
        mut self,
        first: Arc<Roster>,
        watchers: Vec<(Ari, mpsc::Receiver<ari::Incoming>)>,
        stop: CancellationToken,
    ) {
        self.desk.roster(Arc::clone(&first));
        self.step(Event::Roster(first));
        // Known before the first roster was.
        let (kept, left) = {
            let callbacks = self.callbacks.borrow();
            (callbacks.open.clone().unwrap_or_default(), Arc::clone(&callbacks.left))
        };
        self.step(Event::Kept(kept.to_vec()));
        let servers = self.servers.keys().cloned().collect();
        self.step(Event::LeftOpen { calls: left.to_vec(), servers });
        let mut watching = JoinSet::new();
        for (ari, incoming) in watchers {
            watching.spawn(listen::run(ari, incoming, self.inputs.clone()));
        }
        let mut heart = tokio::time::interval(bounds::BEAT);
        heart.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beats: u64 = 0;
        loop {
            let wake = self.floor.deadline().map(|(at, _)| tokio::time::Instant::from_std(at));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(news) = self.news.recv() => self.hear(news),
                Ok(()) = self.callbacks.changed() => self.cancel(),
                Some(reply) = self.replies.next() => reply.into_iter().for_each(|event| self.step(event)),
                Some(input) = self.inbox.recv() => self.handle(input),
                () = sleep_until(wake.unwrap_or_else(far)), if wake.is_some() => self.step(Event::Tick),
                _ = heart.tick() => {
                    self.beat(beats);
                    beats += 1;
                }
            }
        }
        self.step(Event::Stop);
        self.last_words().await;
    }

    /// Waits until what was asked of every Asterisk has been carried out, in bounded time.
    async fn last_words(&mut self) {
        while self.dismissing.join_next().await.is_some() {}
        let asked: Vec<_> = self.servers.values().map(|ari| ari.send(ari::Request::info())).collect();
        for answer in asked {
            let _ = tokio::time::timeout(LAST_WORDS, answer.wait()).await;
        }
    }

    /// The desk first: it must know whose nodes there are before it is handed pops.
    fn hear(&mut self, news: ledger::News) {
        match news {
            ledger::News::Whole(roster) => {
                self.known.send_modify(|known| known.replace(&roster));
                self.desk.roster(Arc::clone(&roster));
                self.step(Event::Roster(roster));
            }
            ledger::News::Change(change) => {
                self.known.send_modify(|known| known.apply(&change));
                if self.desk.has_missed_the_roster() {
                    self.desk.roster(Arc::new(self.known.borrow().to_roster()));
                } else {
                    self.desk.roster_changed(Arc::clone(&change));
                }
                self.step(Event::RosterChanged(change));
            }
            ledger::News::PastTalks(talks) => self.step(Event::PastTalks(talks)),
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Ari { server, event } => self.heard(&server, event),
            Input::Snapshot { server, snapshot } => self.resync(&server, snapshot),
            Input::HandedOver { server, leg, channel } => self.named(&server, leg, &channel),
            Input::LeadsToLine { server, leg, channel, line } => self.leads_to_line(&server, leg, &channel, &line),
            Input::StillRings { server, channel, whom } => {
                let theirs = (server, channel);
                let is_it = |(leg, of): (&(CallId, OfferNo), &(ServerId, ChannelId))| (*of == theirs).then_some(*leg);
                let leg = self.handing_over.iter().chain(&self.stands_in).find_map(is_it);
                if let Some(leg) = leg {
                    self.handing_over.remove(&leg);
                    self.still_rings(&theirs.0, leg, &theirs.1, &whom);
                }
            }
            Input::LeadsTo { server, channel, to } => self.leads_to(&server, &channel, &to),
            Input::SentOn { server, channel } => self.sent_on_by_handed(&server, &channel),
            Input::Down { server } => self.step(Event::ServerDown { server }),
            Input::Asked(question) => self.asked(question),
            Input::WillBeCalled { call } => self.tell_promise(call),
            Input::Arrived { arrival } => {
                let key = (arrival.server.clone(), arrival.channel.clone());
                // Not there any more: they hung up while their variables were being read.
                if self.callers.get(&key) == Some(&arrival.call) {
                    self.arrived(arrival);
                }
            }
        }
    }

    /// One step of the machine, and what it asks for.
    fn step(&mut self, event: Event) {
        self.take_up(&event);
        let effects = self.floor.step(event, now());
        for effect in effects {
            self.perform(effect);
        }
        self.dismiss();
    }

    /// Hangs up callers whose call is over, once that is kept. Whoever is killed between the two finds the caller again; that a
    /// call ended which nobody finds any more would be told by nobody.
    fn dismiss(&mut self) {
        while self.dismissing.try_join_next().is_some() {}
        for (server, channel) in self.to_dismiss.drain(..) {
            let Some(ari) = self.servers.get(&server).cloned() else { continue };
            let ledger = self.ledger.clone();
            self.dismissing.spawn(async move {
                ledger.kept().await;
                drop(ari.send(ari::Request::hang_up(&channel)));
            });
        }
    }

    /// Translates an event of Asterisk.
    fn heard(&mut self, server: &ServerId, event: ari::Event) {
        match event {
            ari::Event::StasisStart { channel, replaces } => self.channel_came(server, &channel, replaces.as_deref()),
            ari::Event::ChannelDtmfReceived { channel, digit, held, at } => {
                let Some(key) = digit else { return };
                let id = ChannelId::new(&channel.id);
                if let Some(leg) = self.leg_of(server, &id) {
                    self.key_pressed(leg, (key, held), &at);
                } else if let Some(call) = self.callers.get(&(server.clone(), id)) {
                    self.step(Event::CallerPressed { call: *call, key });
                }
            }
            ari::Event::ChannelHold(channel) => self.hold_changed(server, &channel, Hold::Held),
            ari::Event::ChannelUnhold(channel) => self.hold_changed(server, &channel, Hold::Resumed),
            ari::Event::ChannelConnectedLine(channel) => self.leads_elsewhere(server, &channel.name),
            ari::Event::StasisEnd(channel) => self.channel_gone(server, &channel.id, 16),
            ari::Event::ChannelDestroyed { channel, cause } => self.channel_gone(server, &channel.id, cause),
            ari::Event::PlaybackFinished { playback } => {
                if let Some(leg) = perform::parse_taken(&playback) {
                    return self.hang_up_leg(leg.0, leg.1, server);
                }
                if self.told_of_callback(&playback) {
                    return;
                }
                if let Some(call) = perform::parse_said(&playback) {
                    self.said(call, &playback);
                    let now = self.floor.callers().get(&call).and_then(|caller| caller.told.now);
                    if let Some(number) = now.filter(|number| perform::said_id(call, *number) == playback) {
                        self.step(Event::Said { call, number });
                    }
                } else if let Some((call, offer)) = perform::parse_greeted(&playback) {
                    self.said(call, &playback);
                    self.step(Event::MemberGreeted { call, offer });
                }
            }
            ari::Event::EndpointStateChange(endpoint) => {
                let (interface, device) = device_of(&endpoint);
                self.step(Event::DeviceChanged { server: server.clone(), interface, device });
            }
        }
    }

    fn channel_came(&mut self, server: &ServerId, channel: &ari::wire::Channel, replaces: Option<&ari::wire::Channel>) {
        let id = ChannelId::new(&channel.id);
        if let Some((call, attempt)) = parse_back_channel(&id) {
            return self.back_answered(server, id, call, attempt);
        }
        if let Some((call, offer)) = parse_leg_channel(&id) {
            self.unsure.remove(&(call, offer));
            self.leg_names.insert((call, offer), channel.name.clone());
            return self.step(Event::LegAnswered { server: server.clone(), call, offer });
        }
        let leg = replaces.and_then(|replaced| self.leg_of(server, &ChannelId::new(&replaced.id)));
        match replaces.map(|replaced| (replaced, leg)) {
            Some((_, Some(leg))) if transfers::is_of_transfer(channel) => {
                self.sent_on(server, leg, &id, channel.dialplan.exten.clone());
            }
            Some((_, Some(leg))) => self.replaced(server, leg, channel),
            Some((caller, None)) => self.caller_replaced(server, channel, caller),
            // The other half waits until the first one is hung up.
            None if transfers::is_of_transfer(channel) => {}
            None if transfers::is_of_handed(channel) => {
                self.hand_on(server, channel);
            }
            None => self.caller_came(server, channel),
        }
    }

    fn caller_came(&mut self, server: &ServerId, channel: &ari::wire::Channel) {
        let key = (server.clone(), ChannelId::new(&channel.id));
        let Some(ari) = self.servers.get(server) else { return };
        if self.callers.contains_key(&key) {
            return;
        }
        let call = CallId(uuid::Uuid::now_v7());
        self.callers.insert(key, call);
        if let Some(arrival) = listen::arrival(ari, channel, call) {
            if !strays::is_stray(&arrival) {
                listen::mark(ari, channel, call);
            }
            return self.arrived(arrival);
        }
        tokio::spawn(listen::welcome(ari.clone(), channel.clone(), call, self.inputs.clone()));
    }

    fn channel_gone(&mut self, server: &ServerId, channel: &str, cause: i32) {
        let id = ChannelId::new(channel);
        self.dismissed.remove(&(server.clone(), id.clone()));
        if self.ends_in_hand_over(server, &id) {
            return;
        }
        if let Some((call, offer)) = self.leg_of(server, &id) {
            self.leg_names.remove(&(call, offer));
            self.stands_in.remove(&(call, offer));
            self.keys_told.remove(&(call, offer));
            tracing::debug!(call.id = %call, channel.id = %id, cause, "the member's leg is gone");
            let end = match self.unsure.remove(&(call, offer)) {
                true if matches!(cause, NO_CAUSE | 16) => LegEnd::Lost,
                _ => leg_end(cause),
            };
            self.step(Event::LegGone { call, offer, end });
        } else if let Some((call, attempt)) = parse_back_channel(&id) {
            self.back_gone(server, id, (call, attempt), cause);
        } else if let Some(call) = self.callers.remove(&(server.clone(), id.clone())) {
            self.made.remove(&(server.clone(), id));
            self.saying.remove(&call);
            self.step(Event::CallerGone { call });
        }
    }

    fn music_if_waiting(&mut self, call: CallId) {
        let Some(caller) = self.floor.callers().get(&call) else { return };
        if caller.is_listening() {
            self.perform(crate::domain::queue::effect::Effect::Music { call });
        }
    }
}

/// What a phone does, as Asterisk puts it.
fn device_of(endpoint: &ari::wire::Endpoint) -> (Interface, Device) {
    let interface = Interface::new(format!("{}/{}", endpoint.technology, endpoint.resource));
    let device = match (endpoint.state.as_str(), endpoint.channel_ids.is_empty()) {
        (_, false) => Device::Busy,
        ("online", true) => Device::Idle,
        (_, true) => Device::Unavailable,
    };
    (interface, device)
}

/// Asterisk ended a channel by itself, and no far side said why.
const NO_CAUSE: i32 = 0;

/// What a hang-up cause (Q.850) says of an offer. A phone that forwards ends with 23, or without a cause when Asterisk drops it before it has
/// taken note of the answer: nobody has rejected anything then.
fn leg_end(cause: i32) -> LegEnd {
    match cause {
        17 | 21 => LegEnd::Rejected,
        18 | 19 => LegEnd::NoAnswer,
        16 => LegEnd::HungUp,
        _ => LegEnd::Unavailable,
    }
}

fn now() -> Now {
    Now { steady: Instant::now(), utc: Timestamp::now() }
}

/// Any moment: it is not waited for.
fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(86_400)
}

/// The outcome of a publish, or that it can no longer be told.
async fn settled(outcome: oneshot::Receiver<crate::domain::pop::PopOutcome>) -> crate::domain::pop::PopOutcome {
    outcome.await.unwrap_or(crate::domain::pop::PopOutcome::LinkDown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_phone_that_said_so_has_rejected() {
        for (cause, end) in [
            (17, LegEnd::Rejected),
            (21, LegEnd::Rejected),
            (18, LegEnd::NoAnswer),
            (19, LegEnd::NoAnswer),
            (16, LegEnd::HungUp),
            (23, LegEnd::Unavailable),
            (NO_CAUSE, LegEnd::Unavailable),
            (20, LegEnd::Unavailable),
            (127, LegEnd::Unavailable),
        ] {
            assert_eq!(leg_end(cause), end, "{cause}");
        }
    }
}
