//! `make bench`: what Usher adds between a caller's entry and the ringing, measured from outside.
//!
//! Callers enter the application at a steady rate. From the moment at which Asterisk's `StasisStart` passes a proxy on the
//! ARI socket to the moment at which the INVITE for the member leaves Asterisk; the pop is published and confirmed in
//! between. One clock, and the proxy's own delay counts against us. Beside it, in the same run: how long the XMPP server
//! takes to confirm a publish of the same size by itself, which no service can be faster than.

use std::{
    collections::HashMap,
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::time::{MissedTickBehavior, interval};
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, PhoneEvent},
    proxy::{Direction, Tapped},
    rig::Rig,
    usher,
    xmpp::Client,
};
use xmpp_parsers::minidom::Element;

/// Where benchmark callers dial in: straight into the queue, without a menu.
const ENTRY: &str = "8000";
const MEMBERS: usize = 24;
/// Publishes of the peer measurement.
const PUBLISHES: usize = 200;

/// Measures what Usher adds between a caller's entry and the ringing.
#[derive(Debug, Parser)]
struct Arguments {
    /// Callers a second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    rate: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=300))]
    seconds: u32,
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tokio::select! {
        result = run(&arguments) => result,
        _ = tokio::signal::ctrl_c() => say("ending everything"),
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let members: Vec<String> = ["1000", "2000", "3000"].map(str::to_owned).into();
    let members: Vec<String> = members.into_iter().chain((1001..).map(|n: u32| n.to_string())).take(MEMBERS).collect();
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    let rig = Rig::builder()
        .name("bench")
        .members(MEMBERS)
        .logged_on(&names)
        .proxies()
        .usher(usher::find_binary()?)
        .start()
        .await?;
    for (priority, application) in [
        (1, "Answer()"),
        (2, "Set(USHER_QUEUE=support)"),
        (3, "Set(CUSTOMER_ID=1)"),
        (4, "Set(CUSTOMER_CODE=1111)"),
        (5, "Set(CUSTOMER_NAME=Company 1)"),
        (6, "Stasis(usher)"),
        (7, "Hangup()"),
    ] {
        rig.pbx.cli(&format!("dialplan add extension {ENTRY},{priority},{application} into usher-incoming")).await?;
    }
    for phone in rig.phones.all() {
        phone.set_ears(Ears::Closed);
        let (ringing, talking) = (Duration::from_millis(200), Duration::from_millis(600));
        phone.behave(Behaviour::AnswerThenHangUp { ringing, talking });
    }
    let mut bare = bare_publishes(&rig).await?;

    let proxies = rig.proxies.as_ref().context("a rig without proxies")?;
    proxies.ari.tap();
    let mut tick = interval(Duration::from_secs(1) / arguments.rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let calls = arguments.rate * arguments.seconds;
    for number in 0..calls {
        tick.tick().await;
        let spec = CallSpec { ears: Ears::Closed, ..CallSpec::new(&(7_000_000 + number).to_string(), ENTRY) };
        rig.phones.call(&spec).await?;
    }
    rig.pbx.wait_until_empty(Duration::from_secs(60)).await?;

    let entered = entries(&proxies.ari.tapped());
    let mut rung: HashMap<String, Instant> = HashMap::new();
    for invite in rig.phones.all().flat_map(|phone| phone.invites()) {
        let first = rung.entry(invite.from).or_insert(invite.at);
        *first = invite.at.min(*first);
    }
    let mut added: Vec<Duration> =
        entered.iter().filter_map(|(caller, at)| Some(rung.get(caller)?.duration_since(*at))).collect();
    let answered = rig
        .phones
        .all()
        .flat_map(|phone| phone.events())
        .filter(|event| matches!(event, PhoneEvent::Answered { .. }))
        .count();
    say(&format!("{} calls at {} a second; {answered} answered, {} measured", calls, arguments.rate, added.len()))?;
    ensure!(added.len() * 100 >= calls as usize * 99, "too few calls were seen to enter and to ring");
    row("bare publish, confirmed by the XMPP server", &mut bare)?;
    row("StasisStart to INVITE, pop confirmed in between", &mut added)
}

/// How long the server takes to confirm a publish, one after the other.
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

/// When each caller's `StasisStart` left Asterisk, by the caller's number.
fn entries(tapped: &[Tapped]) -> HashMap<String, Instant> {
    let mut found = HashMap::new();
    for chunk in tapped.iter().filter(|chunk| chunk.direction == Direction::ToClient) {
        let text = String::from_utf8_lossy(&chunk.bytes);
        for event in text.split("\"type\":\"StasisStart\"").skip(1) {
            let number = event.split("\"caller\":{").nth(1).and_then(|caller| caller.split("\"number\":\"").nth(1));
            let number = number.and_then(|number| number.split('"').next()).unwrap_or_default();
            if number.starts_with("70") {
                found.entry(number.to_owned()).or_insert(chunk.at);
            }
        }
    }
    found
}

fn row(what: &str, took: &mut [Duration]) -> Result<()> {
    took.sort_unstable();
    let at = |share: f64| {
        let index = (share * took.len() as f64) as usize;
        took.get(index.min(took.len().saturating_sub(1))).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    say(&format!("{what:<50} p50 {:6.2} ms   p99 {:6.2} ms   max {:6.2} ms", at(0.5), at(0.99), at(1.0)))
}
