//! The only file that knows everything, and holds no rule: starts the services in order, wires them, and stops them.
//!
//! ```text
//!   config ─▶ health ─▶ duty (standby until elected, with standby's log-ins) ─▶ agi, ledger, desk ─▶ first roster ─▶ ari (Nx) ─▶ mirror, floor, presence, counter, contacts, rooms
//!   stop:     agi (no new requests) ─▶ counter ─▶ presence ─▶ contacts ─▶ floor (callers back to the dialplan) ─▶ rooms ─▶ mirror ─▶ ari ─▶ ledger (flush) ─▶ desk ─▶ lease given back
//!   relieved: ari, counter, presence, contacts, rooms, floor, mirror (where they stand) ─▶ ledger ─▶ desk ─▶ duty (standby again)
//! ```
//!
//! The Stasis application is not there before the first roster is: until then Asterisk takes its fail-open path.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    agi, ari,
    config::Config,
    contacts, counter, desk,
    domain::{
        lease::Token,
        queue::roster::{Register, Roster},
    },
    duty::{self, Office},
    fence::Fence,
    floor,
    health::{self, Duty, Links, Sources},
    ivr::Ivr,
    ledger, mirror, presence, rooms, standby, xmpp,
};

/// How long the start waits for the XMPP link before callers are taken, and for the database before they are looked up.
const FIRST_LINK: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT, or until something only an operator can mend.
///
/// # Errors
/// What cannot be mended by waiting, in words: a wrong password, a schema of another version, an address in use.
pub async fn run(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    run_until(config, asked).await
}

/// The same, stopped by `asked`, which says what it was.
///
/// # Errors
/// As [`run`].
pub async fn run_until(config: Config, asked: impl Future<Output = &'static str>) -> Result<()> {
    ledger::probe(&config.database).await?;
    let candidate = duty::Candidate::new(&config.database)?;
    let mut rehearsal = standby::Rehearsal::new(&config);
    let mut links = rehearsal.links();
    links.insert("database".into(), candidate.link());
    let standby = || Sources::standby(links.clone());
    let shown = watch::Sender::new(standby());
    let last_stop = CancellationToken::new();
    let health = health::bind(config.service.health_listen).await?;
    tokio::spawn(health::serve(health, shown.subscribe(), last_stop.clone()));
    notify(&[sd_notify::NotifyState::Ready]);

    tokio::pin!(asked);
    loop {
        shown.send_replace(standby());
        notify(&[sd_notify::NotifyState::Status("standing by")]);
        let resign = CancellationToken::new();
        let office = tokio::select! {
            office = candidate.elected(resign.clone()) => office,
            fatal = rehearsal.run(candidate.link()) => return Err(fatal.into()),
            why = &mut asked => { tracing::info!("{why}: stopping"); break }
        };
        let Office { token, mark, fence, mut task } = office;
        let ended = serve(&config, token, &mark, fence, &shown, &mut task, asked.as_mut()).await;
        resign.cancel();
        if !task.is_finished() && task.await.is_err() {
            tracing::error!("the keeper of the lease ended badly");
        }
        match ended? {
            Left::Asked => break,
            Left::Relieved => tracing::warn!("standing by: another process has the calls"),
        }
    }
    last_stop.cancel();
    tracing::info!("stopped");
    Ok(())
}

/// Why the active one is active no more.
enum Left {
    /// It was asked to stop.
    Asked,
    /// Another process has taken over.
    Relieved,
}

/// All services, from the lease to its end.
async fn serve(
    config: &Config,
    token: Token,
    mark: &str,
    fence: Fence,
    shown: &watch::Sender<Sources>,
    keeper: &mut JoinHandle<duty::End>,
    mut asked: Pin<&mut impl Future<Output = &'static str>>,
) -> Result<Left> {
    let agi_listener = TcpListener::bind(config.agi.listen)
        .await
        .with_context(|| format!("cannot listen on {} (agi.listen)", config.agi.listen))?;
    let ledger_stop = CancellationToken::new();
    let terms = ledger::Terms { token: Some(token), fence: fence.clone(), folder: Some(config.service.state.clone()) };
    let (ledger, mut news, ledger_task) = ledger::spawn(&config.database, terms, ledger_stop.clone()).await?;
    let desk_stop = CancellationToken::new();
    let (visitors, incoming) = mpsc::channel(xmpp::incoming::WAITING);
    let (shown_to_us, sights) = mpsc::channel(xmpp::sight::WAITING);
    let (ear, rooms_ears) = config.xmpp.rooms().map(xmpp::muc::channel).unzip();
    let ears = xmpp::session::Ears { visitors: Some(visitors.clone()), sights: Some(shown_to_us), rooms: ear };
    let terms = desk::Terms { ears, ..desk::Terms::default() };
    let (desk, mut desk_task) = desk::spawn_with(&config.xmpp, &config.pops, fence.clone(), terms, desk_stop.clone());
    let mut links = Links::new();
    links.insert("database".into(), ledger.link());
    links.insert("xmpp".into(), desk.link());
    let (asterisk_links, asterisk_receivers) = placeholders(config);
    links.extend(asterisk_receivers);
    let component = xmpp::component::Settings::new(&config.xmpp);
    let component_link = watch::Sender::new(untried());
    if component.is_some() {
        links.insert("component".into(), component_link.subscribe());
    }

    let door_stop = CancellationToken::new();
    let (known, roster) = watch::channel(Register::default());
    let language = config.service.language;
    let ivr = Arc::new(Ivr { ledger: ledger.clone(), desk: desk.clone(), roster, language });
    let limits = agi::Limits { deadline: config.agi.deadline, most: config.agi.most };
    let counters = Arc::new(agi::Counters::default());
    let counted = Counted {
        agi: counters.clone(),
        ledger: ledger.clone(),
        desk: desk.clone(),
        asterisks: Arc::default(),
        presence: Arc::default(),
        rooms: Arc::default(),
        has_rooms: rooms_ears.is_some(),
    };
    let serving = agi::serve(agi_listener, limits, config.agi.allow.clone(), ivr, counters, door_stop.clone());
    let mut database = ledger.link();
    let agi_task = tokio::spawn(async move {
        // Who asks in this moment is answered when the database can be: it has just given us the lease.
        let _ = timeout(FIRST_LINK, database.wait_for(crate::link::Link::is_up)).await;
        serving.await;
    });
    let report_stop = CancellationToken::new();
    let _report = report_stop.clone().drop_guard();
    let counters: health::Counters = {
        let counted = counted.clone();
        Arc::new(move || counted.read())
    };
    shown.send_replace(Sources { duty: Duty::Active, agi: Some(config.agi.listen), links: links.clone(), counters });
    tokio::spawn(report(links, report_stop));

    let mut running = None;
    let first = tokio::select! {
        first = first(&mut news) => Ok(first),
        why = &mut asked => { tracing::info!("{why}: stopping"); Err(Ok(Left::Asked)) }
        _ = &mut *keeper => Err(Ok(Left::Relieved)),
        ended = &mut desk_task => return fatal(ended),
    };
    let left = match first {
        Err(left) => left,
        Ok(None) => Ok(Left::Asked),
        Ok(Some(first)) => {
            // A caller who is found waiting is to have their pop as well; an XMPP server that is away holds nobody up.
            let _ = timeout(FIRST_LINK, desk.link().wait_for(crate::link::Link::is_up)).await;
            let ari_stop = CancellationToken::new();
            let asterisks = connect_asterisks(config, &fence, mark, asterisk_links, &ari_stop)?;
            // Set once: the floor is started once.
            let _ = counted.asterisks.set(asterisks.iter().map(|(ari, _)| ari.clone()).collect());
            known.send_modify(|known| known.replace(&first));
            let (asked_in, looked_in, shown_to) = (known.subscribe(), known.subscribe(), known.subscribe());
            let mirror = mirror::spawn(asterisks.iter().map(|(ari, _)| ari.clone()), &known.subscribe());
            let (desk, ledger, publish_bound) = (desk.clone(), ledger.clone(), config.xmpp.publish_bound);
            let codes = config.floor.codes();
            let (told, heard) = mpsc::channel(rooms::NEWS);
            let floor = floor::spawn(floor::Outlets {
                asterisks,
                desk: desk.clone(),
                ledger: ledger.clone(),
                first,
                news,
                known,
                publish_bound,
                language,
                codes,
                rooms: rooms_ears.is_some().then_some(told),
            });
            let account = xmpp::Account::new(&config.xmpp)?.jid;
            let presence = presence::spawn(presence::Outlets {
                sights,
                own: account.clone(),
                roster: looked_in,
                supervisors: config.xmpp.supervisors.clone(),
                ledger: ledger.clone(),
                desk: desk.clone(),
                floor: floor.questions(),
                language,
                grace: crate::domain::presence::GRACE,
            });
            // Set once: it is started once.
            let _ = counted.presence.set(presence.counts());
            let rosters = asked_in.clone();
            let calm = desk.calm();
            let counter = counter::spawn(counter::Outlets {
                incoming,
                roster: asked_in,
                supervisors: config.xmpp.supervisors.clone(),
                ledger,
                desk,
                floor: floor.questions(),
                language,
                fence: fence.clone(),
            });
            let contacts = component.map(|settings| {
                let contacts = contacts::spawn(contacts::Outlets {
                    settings,
                    roster: shown_to,
                    supervisors: config.xmpp.supervisors.clone(),
                    floor: floor.questions(),
                    visitors,
                    language,
                    fence: fence.clone(),
                });
                tokio::spawn(forward(contacts.link(), component_link));
                contacts
            });
            let rooms = config.xmpp.rooms().zip(rooms_ears).map(|(service, ears)| {
                rooms::spawn(rooms::Outlets {
                    service,
                    own: account,
                    supervisors: config.xmpp.supervisors.clone(),
                    language,
                    ears,
                    news: heard,
                    roster: rosters,
                    calm,
                    floor: floor.questions(),
                    counter: counter.window(),
                    fence: fence.clone(),
                    counts: counted.rooms.clone(),
                })
            });
            running = Some(Running { counter, presence, contacts, rooms, floor, mirror, ari_stop });
            tokio::select! {
                why = &mut asked => { tracing::info!("{why}: stopping"); Ok(Left::Asked) }
                _ = &mut *keeper => Ok(Left::Relieved),
                ended = &mut desk_task => fatal(ended),
            }
        }
    };

    let deadline = Instant::now() + config.service.stop_within;
    door_stop.cancel();
    if let Ok(Left::Relieved) = left {
        // Nothing is finished and nothing is said: all of it is another one's now.
        if let Some(running) = running {
            running.abandon(deadline).await;
        }
        agi_task.abort();
    } else {
        notify(&[sd_notify::NotifyState::Stopping]);
        if let Some(running) = running {
            running.stop(deadline).await;
        }
        in_time(deadline, "the FastAGI server", agi_task).await;
        let left = ledger.flush(deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(5))).await;
        if left > 0 {
            tracing::warn!(left, "records could not be written before the end: the database is away");
        }
    }
    ledger_stop.cancel();
    desk_stop.cancel();
    in_time(deadline, "the ledger", ledger_task).await;
    if left.is_ok() {
        in_time(deadline, "the desk", desk_task).await;
    }
    left
}

/// What runs from the first roster on.
struct Running {
    counter: counter::Handle,
    presence: presence::Handle,
    contacts: Option<contacts::Handle>,
    rooms: Option<rooms::Handle>,
    floor: floor::Handle,
    mirror: mirror::Handle,
    ari_stop: CancellationToken,
}

impl Running {
    /// Everybody stands still where they are: what they do is another process's now.
    async fn abandon(self, deadline: Instant) {
        self.ari_stop.cancel();
        self.counter.abandon().await;
        self.presence.abandon().await;
        if let Some(contacts) = self.contacts {
            contacts.abandon().await;
        }
        if let Some(rooms) = self.rooms {
            rooms.abandon().await;
        }
        self.floor.abandon().await;
        in_time(deadline, "the mirror", self.mirror.stop()).await;
    }

    /// Everybody finishes what they have begun, those first who have others do something.
    async fn stop(self, deadline: Instant) {
        in_time(deadline, "the counter", self.counter.stop()).await;
        in_time(deadline, "the service of presence", self.presence.stop()).await;
        if let Some(contacts) = self.contacts {
            in_time(deadline, "the contacts", contacts.stop()).await;
        }
        in_time(deadline, "the floor", self.floor.stop()).await;
        if let Some(rooms) = self.rooms {
            in_time(deadline, "the rooms", rooms.stop()).await;
        }
        in_time(deadline, "the mirror", self.mirror.stop()).await;
        self.ari_stop.cancel();
    }
}

/// The whole roster, which comes first.
async fn first(news: &mut mpsc::Receiver<ledger::News>) -> Option<Arc<Roster>> {
    loop {
        match news.recv().await? {
            ledger::News::Whole(roster) => return Some(roster),
            ledger::News::Change(_) | ledger::News::PastTalks(_) => {}
        }
    }
}

/// Who counts.
#[derive(Clone)]
struct Counted {
    agi: Arc<agi::Counters>,
    ledger: ledger::Handle,
    desk: desk::Handle,
    asterisks: Arc<OnceLock<Vec<ari::Ari>>>,
    presence: Arc<OnceLock<Arc<presence::Counts>>>,
    rooms: Arc<rooms::Counts>,
    has_rooms: bool,
}

impl Counted {
    fn read(&self) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let agi = &self.agi;
        let facts = self.ledger.counts();
        let mut all = BTreeMap::from([
            (
                "fastagi".to_owned(),
                BTreeMap::from([
                    ("served", get(&agi.served)),
                    ("too_slow", get(&agi.too_slow)),
                    ("hung_up", get(&agi.hung_up)),
                    ("not_allowed", get(&agi.not_allowed)),
                    ("too_many", get(&agi.too_many)),
                    ("malformed", get(&agi.malformed)),
                    ("broken", get(&agi.broken)),
                ]),
            ),
            (
                "facts".to_owned(),
                BTreeMap::from([
                    ("written", facts.written),
                    ("dropped", facts.dropped),
                    ("refused", facts.refused),
                    ("unkept", facts.unkept),
                ]),
            ),
        ]);
        let desk = self.desk.counts();
        all.insert(
            "xmpp".to_owned(),
            BTreeMap::from([
                ("messages", get(&desk.messages)),
                ("corrections", get(&desk.corrections)),
                ("confirmed", get(&desk.confirmed)),
                ("unconfirmed", get(&desk.unconfirmed)),
                ("returned", get(&desk.returned)),
                ("lost", get(&desk.lost)),
            ]),
        );
        if let Some(presence) = self.presence.get() {
            all.insert(
                "presence".to_owned(),
                BTreeMap::from([
                    ("seen", get(&presence.seen)),
                    ("paused", get(&presence.paused)),
                    ("resumed", get(&presence.resumed)),
                    ("logged_off", get(&presence.logged_off)),
                ]),
            );
        }
        if self.has_rooms {
            let rooms = &self.rooms;
            all.insert(
                "rooms".to_owned(),
                BTreeMap::from([
                    ("opened", get(&rooms.opened)),
                    ("refused", get(&rooms.refused)),
                    ("lines", get(&rooms.lines)),
                    ("dropped", get(&rooms.dropped)),
                    ("subjects", get(&rooms.subjects)),
                    ("answers", get(&rooms.answers)),
                ]),
            );
        }
        for ari in self.asterisks.get().into_iter().flatten() {
            let passed_over = BTreeMap::from([("events_passed_over", ari.events_passed_over())]);
            all.insert(format!("asterisk {}", ari.server()), passed_over);
        }
        all
    }
}

fn untried() -> crate::link::Link {
    crate::link::Link::Down { since: jiff::Timestamp::now(), why: "waiting for the database".into() }
}

type LinkSenders = Vec<watch::Sender<crate::link::Link>>;

/// The links to Asterisk are shown as down until they are tried.
fn placeholders(config: &Config) -> (LinkSenders, Links) {
    let pairs: Vec<_> = config.asterisk.iter().map(|server| (server, watch::channel(untried()))).collect();
    let mut senders = Vec::new();
    let mut receivers = Links::new();
    for (server, (sender, receiver)) in pairs {
        senders.push(sender);
        receivers.insert(format!("asterisk {}", server.name), receiver);
    }
    (senders, receivers)
}

type Asterisks = Vec<(ari::Ari, mpsc::Receiver<ari::Incoming>)>;

/// Starts to keep every Asterisk connected: from now on callers may enter the application.
fn connect_asterisks(
    config: &Config,
    fence: &Fence,
    mark: &str,
    links: LinkSenders,
    stop: &CancellationToken,
) -> Result<Asterisks> {
    let terms = ari::Terms {
        fence: fence.clone(),
        mark: mark.to_owned(),
        globals: config.agi.announce.iter().map(|address| ("USHER_AGI", address.clone())).collect(),
    };
    let mut asterisks = Vec::new();
    for (server, shown) in config.asterisk.iter().zip(links) {
        let (ari, incoming, _task) = ari::spawn(server.clone(), terms.clone(), stop.clone())
            .with_context(|| format!("cannot use the settings of asterisk {}", server.name))?;
        tokio::spawn(forward(ari.link(), shown));
        asterisks.push((ari, incoming));
    }
    Ok(asterisks)
}

/// Shows a link that did not exist yet when it was asked for.
async fn forward(mut from: watch::Receiver<crate::link::Link>, to: watch::Sender<crate::link::Link>) {
    loop {
        to.send_replace(from.borrow_and_update().clone());
        if from.changed().await.is_err() {
            return;
        }
    }
}

/// Says in the log and to systemd when a link comes or goes.
async fn report(links: Links, stop: CancellationToken) {
    let mut shown = String::new();
    let mut receivers: Vec<_> = links.values().cloned().collect();
    loop {
        // Before looking: a change that comes after this is told by `changed`.
        for link in &mut receivers {
            link.mark_unchanged();
        }
        let now = health::summary(&links);
        if now != shown {
            notify(&[sd_notify::NotifyState::Status(&now)]);
            tracing::info!("{now}");
            shown = now;
        }
        let changes: Vec<_> = receivers.iter_mut().map(|link| Box::pin(link.changed())).collect();
        tokio::select! {
            (change, ..) = futures_util::future::select_all(changes) => if change.is_err() {
                // Its service has ended: so will we.
                return;
            },
            () = stop.cancelled() => return,
        }
    }
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

async fn in_time<T>(deadline: Instant, what: &str, work: impl Future<Output = T>) {
    if timeout_at(deadline, work).await.is_err() {
        tracing::warn!("{what} did not end in time");
    }
}

/// The desk ends by itself only for what an operator must mend.
fn fatal(ended: std::result::Result<std::result::Result<(), xmpp::Fatal>, tokio::task::JoinError>) -> Result<Left> {
    match ended {
        Ok(Ok(())) => Err(anyhow::anyhow!("the desk ended without being asked to")),
        Ok(Err(fatal)) => Err(fatal.into()),
        Err(error) => Err(anyhow::anyhow!("the desk ended badly: {error}")),
    }
}
