//! `make demo`: the main job on real servers, told step by step as the people outside see it.

use std::{
    fs::File,
    io::{Read, Write},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;
use usher_rig::{
    crm::{self, Crm},
    phones::{Behaviour, CallSpec, Phone, PhoneEvent, Side},
    prosody::{DOMAIN, PUBSUB},
    rig::Rig,
    usher, wait,
    xmpp::Client,
};

/// The longest wait for any one step.
const STEP: Duration = Duration::from_secs(15);
/// The server has the pop, and has sent it on, before the phone is rung. The CRM is a process of its own, which reads it when
/// a busy machine gives it the time: so much later may it say so.
const SCHEDULING: Duration = Duration::from_millis(100);
/// How long the customer of a further call stays on the line.
const STAY: Duration = Duration::from_secs(15);
const AGENT: &str = "1000";
const CUSTOMER: &str = "5551001";

/// Starts real servers, makes a customer call, and tells what everybody outside sees.
#[derive(Debug, Parser)]
struct Arguments {
    /// End after one call, with status 0 only if every step was seen.
    #[arg(long)]
    once: bool,
}

/// What was seen, by whom and when.
struct Account {
    begin: SystemTime,
    steps: Vec<(SystemTime, &'static str, String)>,
}

impl Account {
    fn new() -> Self {
        Self { begin: SystemTime::now(), steps: Vec::new() }
    }

    fn saw(&mut self, when: SystemTime, who: &'static str, what: impl Into<String>) {
        self.steps.push((when, who, what.into()));
    }

    fn print(&mut self) -> Result<()> {
        self.steps.sort_by_key(|(when, ..)| *when);
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{:>9}  {:<24}what was seen", "seconds", "by")?;
        for (when, who, what) in &self.steps {
            let after = when.duration_since(self.begin).unwrap_or_default().as_secs_f64();
            writeln!(out, "{after:>9.3}  {who:<24}{what}")?;
        }
        Ok(out.flush()?)
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// The clock's time of a moment on the steady clock.
fn clock(at: Instant) -> SystemTime {
    SystemTime::now() - at.elapsed()
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut gone = signal(SignalKind::hangup())?;
    // Everything ends with the rig, which is dropped with the future of `run`.
    tokio::select! {
        result = run(&arguments) => return result,
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = gone.recv() => {}
    }
    // Nobody is left to tell when the terminal is gone.
    let _ = say("\nending everything");
    // Whoever asked for the proof of a call has none; whoever looked on has seen enough.
    ensure!(!arguments.once, "stopped before the call was over");
    Ok(())
}

async fn run(arguments: &Arguments) -> Result<()> {
    say("starting PostgreSQL, Prosody, two Asterisks and usher …")?;
    let begin = Instant::now();
    let rig = Rig::builder().name("demo").usher(usher::find_binary()?).own_postgres().start().await?;
    let agent = Client::connect(&rig.prosody, "user1").await?;
    let crm = Crm::start(&rig.instance, &rig.prosody, &crm::find_binary()?, AGENT).await?;
    let screen = crm::screen(&rig.instance, &rig.prosody, &crm::find_binary()?, AGENT)?;
    let _shown = AbortOnDropHandle::new(tokio::spawn(show(File::open(screen.log())?)));
    say(&format!("all of them answer, after {:.1} s\n", begin.elapsed().as_secs_f64()))?;

    let mut account = Account::new();
    let told = call(&rig, &agent, &crm, &mut account).await;
    account.print()?;
    told.context("a step was not seen")?;
    say("\nEvery step was seen from outside.")?;
    if arguments.once {
        return Ok(());
    }
    join_in(&rig)?;
    follow(&rig, agent).await
}

/// One call from log-on to the end, with every step awaited.
async fn call(rig: &Rig, agent: &Client, crm: &Crm, account: &mut Account) -> Result<()> {
    let prompts = rig.pbx.prompts("en")?;
    let phone = rig.phones.phone(AGENT)?;

    let feature = phone.dial("*56466*").await?;
    account.saw(SystemTime::now(), "phone 1000", "dials *56466*");
    feature.wait_for_prompt(&prompts, "logon", STEP).await?;
    account.saw(SystemTime::now(), "phone 1000", "hears that it is logged on");
    let note = agent.wait_for_message(STEP, |m| m.body.as_deref().is_some_and(|b| b.contains("logged on"))).await?;
    account.saw(clock(note.at), "user1's XMPP client", format!("reads: {}", note.body.unwrap_or_default()));
    feature.hung_up(STEP).await?;

    phone.behave(Behaviour::AnswerAfter(Duration::from_secs(1)));
    let caller = rig.phones.call(&CallSpec::new(CUSTOMER, "0000")).await?;
    account.saw(SystemTime::now(), "customer 5551001", "dials 0000");
    for (prompt, what) in [("welcome", "is welcomed"), ("ivr_option1", "hears the menu")] {
        caller.wait_for_prompt(&prompts, prompt, STEP).await?;
        account.saw(SystemTime::now(), "customer 5551001", what);
    }
    caller.press("1").await?;
    account.saw(SystemTime::now(), "customer 5551001", "presses 1 (support)");
    caller.wait_for_prompt(&prompts, "inform_code", STEP).await?;
    account.saw(SystemTime::now(), "customer 5551001", "is asked for the customer code");
    caller.press("1111").await?;
    account.saw(SystemTime::now(), "customer 5551001", "enters 1111");

    let note = agent.wait_for_message(STEP, |m| m.body.as_deref() == Some("Support: Customer Company 1")).await?;
    account.saw(clock(note.at), "user1's XMPP client", format!("reads: {}", note.body.unwrap_or_default()));
    let offered = crm.pop("offered", STEP).await?;
    let popped = Crm::time_of(&offered)?;
    let leg = phone.rung(1, STEP).await?;
    let (rang, shown) = ringing(phone).context("the phone did not tell of its ringing")?;
    let lead = published(&offered)
        .and_then(|published| rang.duration_since(published).ok())
        .context("the phone rang before the pop was published")?;
    // Read so late that it comes behind the ringing: when it was on its way says more.
    let late = if popped > rang { format!(", published {:.0?} before the phone rang", lead) } else { String::new() };
    account.saw(popped, "CRM", format!("pops {}{late}", customer(&offered)));
    account.saw(rang, "phone 1000", format!("rings: SIP INVITE, showing {shown}"));
    ensure!(popped <= rang + SCHEDULING, "the phone rang before the CRM had its pop");
    account.saw(Crm::time_of(&crm.pop("ringing", STEP).await?)?, "CRM", "the pop says: ringing");
    caller.wait_for_prompt(&prompts, "support_team", STEP).await?;
    account.saw(SystemTime::now(), "customer 5551001", "hears that the support team is called");

    account.saw(clock(leg.answered(STEP).await?), "phone 1000", "answers");
    account.saw(Crm::time_of(&crm.pop("answered", STEP).await?)?, "CRM", "the pop says: answered");
    caller.audio().say_tone(1100);
    leg.audio().say_tone(700);
    leg.wait_for_tone(1100, STEP).await?;
    account.saw(SystemTime::now(), "phone 1000", "hears the customer (1100 Hz)");
    caller.wait_for_tone(700, STEP).await?;
    account.saw(SystemTime::now(), "customer 5551001", "hears the agent (700 Hz)");

    leg.hang_up().await?;
    account.saw(SystemTime::now(), "phone 1000", "hangs up");
    let ended = caller.hung_up(STEP).await?;
    ensure!(ended.by == Side::Them, "the caller was left on the line");
    account.saw(clock(ended.at), "customer 5551001", "is hung up");
    account.saw(Crm::time_of(&crm.pop("ended", STEP).await?)?, "CRM", "the pop says: ended");
    let closed = crm.wait_for("the pop is retracted", STEP, |line| line["event"] == "closed").await?;
    account.saw(Crm::time_of(&closed)?, "CRM", "the pop is retracted");
    rig.pbx.wait_until_empty(STEP).await?;
    account.saw(SystemTime::now(), "Asterisk", "no channel and no bridge is left");
    Ok(())
}

/// When the service wrote the pop, as the pop says.
fn published(pop: &Value) -> Option<SystemTime> {
    pop["changed"].as_str()?.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// Name and code, as a pop has them.
fn customer(pop: &Value) -> String {
    let text = |key: &str| pop["customer"][key].as_str().unwrap_or_default().to_owned();
    format!("{} ({})", text("name"), text("code"))
}

/// When the last call left for the phone, and what the phone shows.
fn ringing(phone: &Phone) -> Option<(SystemTime, String)> {
    let invited = clock(phone.invites().last()?.at);
    phone.events().into_iter().rev().find_map(|event| match event {
        PhoneEvent::Ringing { number, name, .. } => Some((invited, format!("{name} <{number}>"))),
        PhoneEvent::Answered { .. } | PhoneEvent::Ended(_) => None,
    })
}

/// Tells what the CRM's screen shows, line by line as it grows.
async fn show(mut log: File) {
    let mut open = Vec::new();
    loop {
        // A read at the end of a file yields nothing, and may be repeated.
        let _ = log.read_to_end(&mut open);
        while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = open.drain(..=end).collect();
            let _ = say(&format!("  CRM's screen │ {}", String::from_utf8_lossy(&line).trim_end()));
        }
        tokio::time::sleep(wait::STEP).await;
    }
}

/// How a person takes part.
fn join_in(rig: &Rig) -> Result<()> {
    // Their own phone takes the place of ours.
    rig.phones.phone("2000")?.unplug();
    let sip = rig.pbx.phone_passwords().get("2000").context("a phone without a password")?;
    let database = rig.database.as_ref().context("a rig without a database")?;
    say(&format!(
        "
Join in, from this machine (everything listens on loopback only):

  SIP phone    127.0.0.1:{sip_port} (UDP), user 2000, password {sip}
               dial 0000, press 1, enter 1111, 2222, 3333 …; phone 1000 answers after 3 s
               dial *56466* to log on as a member yourself, *564633* to log off
  XMPP client  127.0.0.1:{xmpp}, domain {DOMAIN}, authority {ca}
               user1@{DOMAIN}, the agent of 1000: {user1}
               user2@{DOMAIN}, the agent of 2000: {user2}
               crm@{DOMAIN}, may subscribe to {node} on {PUBSUB}: {crm}
  CRM          SOFTWARE_SIM_PASSWORD={crm} {sim} \\
                   --jid crm@{DOMAIN} --address {crm_address} --ca-file {ca} --extension 2000
  PostgreSQL   psql 'host=127.0.0.1 port={port} dbname={dbname} user=usher password={dbpass}'
  usher        --config {config}; http://127.0.0.1:{health}/ready

Enter lets the customer call once more; Ctrl-C ends everything.
",
        sip_port = rig.pbx.sip_port(),
        xmpp = rig.prosody.address().rsplit(':').next().unwrap_or_default(),
        ca = rig.prosody.certificate().authority.display(),
        user1 = rig.prosody.password("user1")?,
        user2 = rig.prosody.password("user2")?,
        crm = rig.prosody.password("crm")?,
        node = "extension1000",
        port = database.port,
        dbname = database.name,
        dbpass = database.password,
        config = rig.usher()?.config().display(),
        health = rig.usher()?.health_port(),
        crm_address = rig.prosody.address(),
        sim = crm::find_binary()?.display(),
    ))
}

/// Goes on telling what the agent's XMPP client sees, and has the customer call whenever Enter is pressed; the CRM's screen
/// shows itself.
async fn follow(rig: &Rig, agent: Client) -> Result<()> {
    rig.phones.phone(AGENT)?.behave(Behaviour::AnswerAfter(Duration::from_secs(3)));
    tokio::select! {
        result = read_along(rig, agent) => result,
        result = call_on_enter(rig) => result,
    }
}

/// Where lines are typed in. A thread of its own, which nobody waits for at the end: a read of standard input cannot be ended.
fn typed() -> Result<mpsc::Receiver<()>> {
    let (pressed, lines) = mpsc::channel(1);
    thread::Builder::new().name("typed".into()).spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || pressed.blocking_send(()).is_err() {
                return;
            }
        }
    })?;
    Ok(lines)
}

async fn call_on_enter(rig: &Rig) -> Result<()> {
    let mut lines = typed()?;
    while lines.recv().await.is_some() {
        say("customer 5551001 dials 0000, presses 1 and enters 1111")?;
        match call_again(rig).await {
            Ok(Side::Us) => say("customer 5551001 hangs up")?,
            Ok(Side::Them) => say("customer 5551001 is hung up")?,
            Err(error) => say(&format!("customer 5551001 did not get through: {error:#}"))?,
        }
    }
    // There is no keyboard, or none any more.
    std::future::pending().await
}

/// One more call of the customer, who stays for a while.
async fn call_again(rig: &Rig) -> Result<Side> {
    let prompts = rig.pbx.prompts("en")?;
    let caller = rig.phones.call(&CallSpec::new(CUSTOMER, "0000")).await?;
    caller.wait_for_prompt(&prompts, "ivr_option1", STEP).await?;
    caller.press("1").await?;
    caller.wait_for_prompt(&prompts, "inform_code", STEP).await?;
    caller.press("1111").await?;
    if let Ok(ended) = caller.hung_up(STAY).await {
        return Ok(ended.by);
    }
    caller.hang_up().await?;
    Ok(Side::Us)
}

async fn read_along(rig: &Rig, mut agent: Client) -> Result<()> {
    let mut messages = agent.messages().len();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        // Asked before the messages are read, so that the last ones are read too.
        let is_connected = agent.is_connected();
        for message in agent.messages().into_iter().skip(messages) {
            messages += 1;
            say(&format!("user1's XMPP client reads: {}", message.body.unwrap_or_default()))?;
        }
        if !is_connected {
            say("user1's XMPP client has lost its connection to Prosody, and tries again")?;
            agent = connect_again(rig).await;
            messages = 0;
            say("user1's XMPP client is connected again")?;
        }
    }
}

/// Waits for the server to be back.
async fn connect_again(rig: &Rig) -> Client {
    loop {
        if let Ok(client) = Client::connect(&rig.prosody, "user1").await {
            return client;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
