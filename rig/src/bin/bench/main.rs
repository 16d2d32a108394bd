//! What the service adds to a call: `make bench`.
//!
//! From a caller's `StasisStart` leaving Asterisk, through the announcement, the choice of a member and the confirmed pop,
//! to the INVITE leaving Asterisk. Everything is read from the wire by this one process, with one clock: the ARI socket by
//! a proxy, the INVITE by the cable of the desk phone, the pop as a CRM's client receives it.

mod desk;
mod frames;
mod free;
mod host;
mod report;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::MissedTickBehavior;
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears},
    rig::Rig,
    usher::find_binary,
    xmpp::Client,
};

use xmpp_parsers::minidom::Element;

use crate::report::{Call, Report};

/// Measures what the service adds to a call
#[derive(Debug, Parser)]
struct Arguments {
    /// Calls a second
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// How long, in seconds
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Members logged on; each is announced every caller
    #[arg(long, default_value_t = 20)]
    members: usize,
    /// Ends of talks on each side that are measured
    #[arg(long, default_value_t = 200)]
    talks: usize,
    /// Rounds of the desk's announcements and publishes
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// Measure this alone
    #[arg(long)]
    only: Option<Part>,
    /// Also writes a line for each call: microseconds
    #[arg(long)]
    verbose: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// From a caller's arrival to the INVITE
    Arrival,
    /// From the end of a talk to the INVITE for the next caller, beside app_queue's
    Free,
    /// Announcements and publishes a second, beside slixmpp's and the server's own
    Desk,
}

/// Calls before the measurement: connections, prepared statements and caches are there in a service that is at work.
const WARM_UP: u32 = 20;
/// With these, callers who come every 100 ms do not come at the very moment at which others are answered and hang up.
const RINGING: Duration = Duration::from_millis(230);
const TALKING: Duration = Duration::from_millis(320);
/// Publishes that are measured by themselves.
const PUBLISHES: usize = 200;
/// For the last call to end.
const END: Duration = Duration::from_secs(20);
/// The first number; each caller has one of their own.
const FIRST: u32 = 7_000_000;
/// Where callers dial in: straight into the queue, because the menu is not measured, and takes seconds.
const ENTRY: &str = "8000";
/// Without spaces: they would end an argument of the command. A caller who has gone through the menu was answered long before.
const DIALPLAN: [&str; 8] = [
    "Answer()",
    "Wait(0.05)",
    "Set(USHER_QUEUE=support)",
    "Set(CUSTOMER_ID=1)",
    "Set(CUSTOMER_CODE=1111)",
    "Set(CUSTOMER_NAME=Company-1)",
    "Stasis(usher)",
    "Hangup()",
];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tokio::select! {
        outcome = all(&arguments) => outcome,
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}

async fn all(arguments: &Arguments) -> Result<()> {
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    if wanted(Part::Arrival) {
        run(arguments).await?;
    }
    if wanted(Part::Free) {
        free::run(arguments.talks).await?;
    }
    if wanted(Part::Desk) {
        desk::run(arguments.rounds).await?;
    }
    Ok(())
}

async fn run(arguments: &Arguments) -> Result<()> {
    let shipped = ["1000".to_owned(), "2000".to_owned(), "3000".to_owned()];
    let further = (1001..2000).map(|number: u32| number.to_string());
    let numbers: Vec<String> = shipped.into_iter().chain(further).take(arguments.members.max(3)).collect();
    let logged_on: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let rig = Rig::builder()
        .name("bench")
        .usher(find_binary()?)
        .own_postgres()
        .members(numbers.len())
        .logged_on(&logged_on)
        .tap()
        .start()
        .await?;
    for (number, application) in (1..).zip(DIALPLAN) {
        rig.pbx.cli(&format!("dialplan add extension {ENTRY},{number},{application} into usher-incoming")).await?;
    }
    let bare = bare_publishes(&rig).await?;
    // Every member has a client that is online, as in a real house.
    let mut clients = Vec::new();
    for number in &numbers {
        let account = match number.as_str() {
            "1000" | "2000" | "3000" => format!("user{}", &number[..1]),
            _ => format!("user{number}"),
        };
        if rig.prosody.password(&account).is_err() {
            rig.prosody.add_account(&account)?;
        }
        clients.push(Client::connect(&rig.prosody, &account).await?);
    }
    let crm = Client::connect(&rig.prosody, "crm").await?;
    for number in &numbers {
        crm.subscribe(&format!("extension{number}")).await.with_context(|| format!("the node of {number}"))?;
        let phone = rig.phones.phone(number)?;
        phone.set_ears(Ears::Closed);
        phone.behave(Behaviour::AnswerThenHangUp { ringing: RINGING, talking: TALKING });
    }
    let ari = rig.tap.as_ref().context("built with a tap")?;
    ari.tap();

    let count = arguments.rate * arguments.seconds;
    say(&format!(
        "{} members; {WARM_UP} calls to warm up, then {count} at {} a second …",
        numbers.len(),
        arguments.rate
    ));
    let before = host::Processors::now();
    let watch = host::Watch::begin();
    place(&rig, FIRST..FIRST + WARM_UP + count, arguments.rate).await?;
    let stops = watch.end();
    let taken = before.taken_since();
    rig.pbx.wait_until_empty(END).await?;
    drop(clients);

    let tapped = frames::read(&ari.tapped())?;
    let invites: Vec<_> = rig.phones.all().flat_map(usher_rig::phones::Phone::invites).collect();
    let pops = crm.messages();
    let calls: Vec<Call> = (FIRST + WARM_UP..FIRST + WARM_UP + count)
        .map(|n| Call::find(&n.to_string(), &tapped, &invites, &pops))
        .collect();
    if arguments.verbose {
        calls.iter().for_each(|call| say(&call.line()));
    }
    let report = Report::new(&calls, bare);
    say(&report.text());
    if let Some(share) = taken {
        say(&format!("The host of this machine took {:.1} % of its processors' time meanwhile.", share * 100.0));
    }
    match stops {
        Ok(stops) => say(&report.machine(&stops)),
        Err(reason) => say(&format!("Whether its processors stood still is not known: {reason:#}.")),
    }
    ensure!(
        report.is_whole(),
        "not every call was seen from its beginning to the INVITE: the figures are of the others"
    );
    Ok(())
}

/// Places calls, evenly spaced, whatever becomes of the earlier ones.
async fn place(rig: &Rig, numbers: std::ops::Range<u32>, rate: u32) -> Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = FuturesUnordered::new();
    let begin = Instant::now();
    let count = numbers.len();
    for number in numbers {
        // While it waits for the next one, those that are being placed go on.
        loop {
            tokio::select! {
                _ = tick.tick() => break,
                Some(placed) = open.next() => drop::<usher_rig::phones::Leg>(placed?),
            }
        }
        open.push(async move {
            let spec = CallSpec { from: Some(number.to_string()), to: ENTRY.into(), ears: Ears::Closed };
            rig.phones.call(&spec).await
        });
    }
    while let Some(placed) = open.next().await {
        placed?;
    }
    say(&format!("{count} calls placed in {:.1} s.", begin.elapsed().as_secs_f64()));
    Ok(())
}

/// How long the XMPP server takes to confirm a publish of the same size by itself: no service can be faster.
async fn bare_publishes(rig: &Rig) -> Result<Vec<Duration>> {
    let client = Client::connect(&rig.prosody, "usher").await?;
    let payload: Element = "<pop xmlns='urn:usher:pop:1' call='0190' revision='1' state='offered' extension='1000' \
                            queue='support' entered='2026-11-21T03:00:00.123Z' changed='2026-11-21T03:00:00.456Z'>\
                            <customer id='1' code='1111' name='Company 1'/><caller number='5551001' name=''/></pop>"
        .parse()?;
    let mut took = Vec::new();
    for _ in 0..PUBLISHES {
        let begin = Instant::now();
        client.publish("extension1000", "bench", payload.clone()).await?;
        took.push(begin.elapsed());
    }
    Ok(took)
}

/// Speaks to the person; nobody is left to tell when the output is gone.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
}
