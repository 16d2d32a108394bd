//! What the tests of the house have in common: the usual rig, a caller's way to the queue, and what others see of it.

#![expect(clippy::unwrap_used, reason = "steps of tests: a step that fails is the test's failure")]

use std::{
    process::Output,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use software_sim::{
    client::{Event, Settings, watch},
    login::{Account, Tls},
    pop::Pop,
};
use tokio::{sync::watch, task::JoinHandle};
use usher_rig::{
    phones::{CallSpec, Leg, Phone, PhoneEvent},
    prosody::{DOMAIN, PUBSUB},
    rig::{Builder, Rig},
    wait,
};

/// For what takes a moment: a prompt to come up, a phone to ring.
pub const SOON: Duration = Duration::from_secs(12);

/// A rig with the service.
pub fn house(name: &str) -> Builder {
    Rig::builder().name(name).usher(env!("CARGO_BIN_EXE_usher"))
}

/// Calls the number of the house, presses 1 and keys in a code.
pub async fn call_support(rig: &Rig, from: &str, code: &str) -> Leg {
    key_in(rig, &CallSpec::new(from, "0000"), code).await
}

/// The same, for any caller.
pub async fn key_in(rig: &Rig, spec: &CallSpec, code: &str) -> Leg {
    let caller = ask_for_code(rig, spec).await;
    caller.press(code).await.unwrap();
    caller
}

/// Calls the number of the house and presses 1.
pub async fn ask_for_code(rig: &Rig, spec: &CallSpec) -> Leg {
    let prompts = rig.pbx.prompts("en").unwrap();
    let caller = rig.phones.call(spec).await.unwrap();
    caller.wait_for_prompt(&prompts, "welcome", SOON).await.unwrap();
    caller.press("1").await.unwrap();
    caller.wait_for_prompt(&prompts, "inform_code", SOON).await.unwrap();
    caller
}

/// Dials a feature code and hears out what is said.
pub async fn dial_and_hear(rig: &Rig, phone: &Phone, code: &str, prompt: &str) {
    let prompts = rig.pbx.prompts("en").unwrap();
    let leg = phone.dial(code).await.unwrap();
    leg.wait_for_prompt(&prompts, "wait_a_moment", SOON).await.unwrap();
    leg.wait_for_prompt(&prompts, prompt, SOON).await.unwrap();
    leg.hung_up(SOON).await.unwrap();
}

/// When a phone's calls came, and which number and name it showed.
pub fn ringings(phone: &Phone) -> Vec<(Instant, String, String)> {
    let ringing = |event| match event {
        PhoneEvent::Ringing { at, number, name, .. } => Some((at, number, name)),
        PhoneEvent::Answered { .. } | PhoneEvent::Ended(_) => None,
    };
    phone.events().into_iter().filter_map(ringing).collect()
}

/// The names of the prompts that were heard, from the beginning.
pub fn heard(rig: &Rig, leg: &Leg) -> Vec<String> {
    let prompts = rig.pbx.prompts("en").unwrap();
    usher_rig::sound::heard(&leg.audio().recording(), &prompts).into_iter().map(|heard| heard.prompt).collect()
}

/// Waits until a query's first value, as text, is the expected one.
pub async fn wait_for_value(rig: &Rig, sql: &str, expected: &str) {
    wait::until(sql, SOON, || async {
        match value(rig, sql).await? {
            found if found == expected => Ok(()),
            found => bail!("{found:?} instead of {expected:?}"),
        }
    })
    .await
    .unwrap();
}

/// A query's first value as text; `-` for NULL and for no row.
pub async fn value(rig: &Rig, sql: &str) -> Result<String> {
    let client = rig.database.as_ref().context("a database")?.connect().await?;
    for message in client.simple_query(sql).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            return Ok(row.get(0).unwrap_or("-").to_owned());
        }
    }
    Ok("-".into())
}

/// Changes the database as somebody with `psql` does.
pub async fn sql(rig: &Rig, statement: &str) {
    rig.database.as_ref().unwrap().connect().await.unwrap().batch_execute(statement).await.unwrap();
}

/// Runs `usher …` with the configuration of the running service.
pub async fn command(rig: &Rig, arguments: &[&str]) -> Output {
    let config = rig.usher().unwrap().config();
    tokio::process::Command::new(env!("CARGO_BIN_EXE_usher"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// A channel variable of a caller, or of one of our phones, on the switchboard.
pub async fn variable(rig: &Rig, number: &str, name: &str) -> Result<String> {
    let channels = rig.pbx.channels().await?;
    let phone = format!("PJSIP/{number}-");
    let is_a_phones = |name: &str| name.starts_with("PJSIP/outside-") || name.starts_with(&phone);
    let is_theirs = |channel: &&Value| {
        channel.pointer("/caller/number").and_then(Value::as_str) == Some(number)
            && channel.get("name").and_then(Value::as_str).is_some_and(is_a_phones)
    };
    let channel = channels.iter().find(is_theirs).with_context(|| format!("no caller {number} among {channels:?}"))?;
    let id = channel.get("id").and_then(Value::as_str).context("an id")?;
    let answer = rig.pbx.ari().get(&format!("channels/{id}/variable?variable={name}")).await?;
    Ok(answer.get("value").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// A CRM that watches one extension.
#[derive(Debug)]
pub struct Crm {
    events: watch::Receiver<Vec<(Instant, Event)>>,
    task: JoinHandle<()>,
}

impl Crm {
    /// Logs in as the account `crm`, subscribes, and has fetched what the node holds.
    pub async fn watch(rig: &Rig, extension: &str) -> Self {
        Self::watch_at(rig, "crm", extension, &rig.prosody.address()).await
    }

    /// The same as any account, through a proxy if wished.
    pub async fn watch_at(rig: &Rig, account: &str, extension: &str, address: &str) -> Self {
        let account = Account {
            jid: format!("{account}@{DOMAIN}").parse().unwrap(),
            password: rig.prosody.password(account).unwrap(),
            address: Some(address.to_owned()),
            tls: Tls::Starttls,
            ca_file: Some(rig.prosody.certificate().authority.clone()),
        };
        let node = format!("extension{extension}");
        let mut source = watch(Settings { account, pubsub: PUBSUB.parse().unwrap(), node });
        let (sender, events) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            while let Some(Ok(event)) = source.recv().await {
                sender.send_modify(|all: &mut Vec<_>| all.push((Instant::now(), event)));
            }
        });
        let crm = Self { events, task };
        crm.wait("a subscription", |event| *event == Event::Subscribed).await;
        crm
    }

    /// Waits for something, what has happened already included.
    pub async fn wait(&self, what: &str, is: impl Fn(&Event) -> bool) -> (Instant, Event) {
        self.wait_count(what, 1, is).await
    }

    /// Waits for the n-th time, from 1.
    pub async fn wait_count(&self, what: &str, n: usize, is: impl Fn(&Event) -> bool) -> (Instant, Event) {
        let mut events = self.events.clone();
        let nth = |all: &Vec<(Instant, Event)>| all.iter().filter(|(_, event)| is(event)).nth(n - 1).cloned();
        let found = tokio::time::timeout(SOON, events.wait_for(|all| nth(all).is_some())).await;
        match found {
            Ok(all) => nth(&all.unwrap()).unwrap(),
            Err(_) => panic!("the CRM did not see {what} within {SOON:?}; it saw: {:#?}", self.events.borrow()),
        }
    }

    /// Waits for a pop in this state.
    pub async fn pop(&self, state: &str) -> (Instant, Pop) {
        let (at, event) = self.wait(state, |event| matches!(event, Event::Pop(pop) if pop.state == state)).await;
        let Event::Pop(pop) = event else { panic!("it is a pop") };
        (at, pop)
    }

    /// How many events so far are such.
    pub fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events.borrow().iter().filter(|(_, event)| is(event)).count()
    }

    /// Waits until a pop was taken away.
    pub async fn closed(&self, call: &str) {
        self.wait("the end of the pop", |event| matches!(event, Event::Closed { call: closed } if closed == call))
            .await;
    }

    /// Every pop so far.
    pub fn pops(&self) -> Vec<Pop> {
        let pop = |(_, event): &(Instant, Event)| match event {
            Event::Pop(pop) => Some(pop.clone()),
            Event::LinkUp | Event::LinkDown { .. } | Event::Subscribed | Event::Waiting { .. } => None,
            Event::Closed { .. } | Event::Malformed { .. } => None,
        };
        self.events.borrow().iter().filter_map(pop).collect()
    }
}

impl Drop for Crm {
    fn drop(&mut self) {
        self.task.abort();
    }
}
