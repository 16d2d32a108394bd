//! Sends what the desk sends, for the bench: told what to do in lines of JSON, answers each with its times.
//!
//! `target/release/bench --only desk` starts it, as part of `make bench`. It is the service's own desk on its own session,
//! without the rest of the service.

use std::{
    io::{BufRead, Write},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use usher::{
    config::{Pops, Xmpp, XmppTls},
    desk::{self, Handle, Terms},
    domain::{
        id::{CallId, CustomerCode, Extension, Interface, QueueName},
        pop::{Pop, PopOutcome, PopState},
        queue::roster::{Agent, CallerId, Customer, Roster},
    },
    fence::Fence,
};
use uuid::Uuid;

/// How fast the server is, is what is measured: nothing is given up.
const BOUND: Duration = Duration::from_secs(30);
/// How often is looked whether all messages are acknowledged.
const LOOK: Duration = Duration::from_millis(1);

#[derive(Deserialize)]
struct Setting {
    address: String,
    ca: PathBuf,
    jid: String,
    password: String,
    crm: String,
    announcement: String,
    members: Vec<String>,
    extensions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
enum Job {
    /// One to each member. What may be under way at once, the desk decides.
    Messages { mark: String },
    /// A revision of a call's pop for each extension.
    Publishes { revision: u32 },
    /// One after the other.
    Pops { revision: u32, count: usize },
    /// One after the other, as long as messages to all members go out.
    Amid { mark: String, revision: u32 },
}

struct Sender {
    handle: Handle,
    setting: Setting,
}

#[tokio::main]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut lines = std::io::stdin().lock().lines();
    let setting: Setting = serde_json::from_str(&lines.next().context("no setting")??)?;
    let stop = CancellationToken::new();
    let terms = Terms::default();
    let (handle, task) = desk::spawn_with(&setting.config(), &Pops::default(), Fence::open(), terms, stop.clone());
    let sender = Sender { handle, setting };
    sender.open().await?;
    answer(&[])?;
    for line in lines {
        answer(&sender.work(serde_json::from_str(&line?)?).await?)?;
    }
    stop.cancel();
    Ok(task.await??)
}

fn answer(took: &[Duration]) -> Result<()> {
    let took: Vec<f64> = took.iter().map(Duration::as_secs_f64).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "took": took }))?;
    Ok(out.flush()?)
}

impl Setting {
    fn config(&self) -> Xmpp {
        Xmpp {
            jid: self.jid.clone(),
            password_file: None,
            address: Some(self.address.clone()),
            tls: XmppTls::Starttls,
            ca_file: Some(self.ca.clone()),
            pubsub: None,
            node_prefix: "extension".into(),
            crm: vec![self.crm.clone()],
            supervisors: vec![],
            publish_bound: BOUND,
            corrections: true,
            rooms: None,
            component: None,
            component_secret_file: None,
            component_address: String::new(),
            component_secret: None,
            password: Some(self.password.clone().into()),
        }
    }

    /// One member for each extension.
    fn roster(&self) -> Roster {
        let agent = |(extension, jid): (&String, &String)| Agent {
            extension: Extension::new(extension),
            name: format!("Agent {extension}"),
            jid: jid.clone(),
            interface: Interface::new(format!("PJSIP/{extension}")),
            pauses: vec![],
        };
        let agents = self.extensions.iter().zip(&self.members).map(agent).collect();
        Roster { agents, queues: vec![], memberships: vec![] }
    }
}

impl Sender {
    /// The link is up, and all nodes are there.
    async fn open(&self) -> Result<()> {
        self.handle.roster(Arc::new(self.setting.roster()));
        self.handle.link().wait_for(usher::link::Link::is_up).await?;
        let nodes = self.setting.extensions.iter().map(|number| self.handle.ensure_node(Extension::new(number)));
        for node in try_join_all(nodes).await? {
            node?;
        }
        Ok(())
    }

    async fn work(&self, job: Job) -> Result<Vec<Duration>> {
        let begin = Instant::now();
        match job {
            Job::Messages { mark } => {
                let wanted = self.announce(&mark);
                self.until_taken(wanted).await?;
                Ok(vec![begin.elapsed()])
            }
            Job::Publishes { revision } => {
                let all = (0..self.setting.extensions.len()).map(|node| self.handle.publish(self.pop(node, revision)));
                let outcomes = join_all(all).await;
                let took = begin.elapsed();
                outcomes.into_iter().try_for_each(confirmed)?;
                Ok(vec![took])
            }
            Job::Pops { revision, count } => {
                let mut times = Vec::new();
                for number in 0..count {
                    times.push(self.publish(number, revision).await?);
                }
                Ok(times)
            }
            Job::Amid { mark, revision } => {
                let wanted = self.announce(&mark);
                let mut times = Vec::new();
                // A revision is published once on a node.
                while self.taken() < wanted && times.len() < self.setting.extensions.len() {
                    times.push(self.publish(times.len(), revision).await?);
                }
                self.until_taken(wanted).await?;
                Ok(times)
            }
        }
    }

    /// One pop, and what it took.
    async fn publish(&self, number: usize, revision: u32) -> Result<Duration> {
        let pop = self.pop(number % self.setting.extensions.len(), revision);
        let begin = Instant::now();
        let outcome = self.handle.publish(pop).await;
        let took = begin.elapsed();
        confirmed(outcome)?;
        Ok(took)
    }

    /// Announces a caller to all members; with how many messages taken, all are.
    fn announce(&self, mark: &str) -> u64 {
        let wanted = self.taken() + u64::try_from(self.setting.members.len()).unwrap_or(u64::MAX);
        let body = self.setting.announcement.replace("MARK", mark);
        self.handle.announce(CallId(Uuid::now_v7()), self.setting.members.clone(), body, vec![]);
        wanted
    }

    async fn until_taken(&self, wanted: u64) -> Result<()> {
        while self.taken() < wanted {
            tokio::time::sleep(LOOK).await;
        }
        ensure!(self.taken() == wanted, "more messages than were asked for");
        Ok(())
    }

    fn taken(&self) -> u64 {
        self.handle.counts().messages.load(Ordering::Relaxed)
    }

    fn pop(&self, node: usize, revision: u32) -> Pop {
        let extension = self.setting.extensions.get(node).map(String::as_str).unwrap_or_default();
        Pop {
            call: CallId(Uuid::from_u128(u128::MAX - u128::try_from(node).unwrap_or_default())),
            revision,
            state: PopState::Offered,
            extension: Extension::new(extension),
            queue: QueueName::new("support"),
            customer: Customer { id: 1, code: CustomerCode::new("1111"), name: "Company 1".into() },
            caller: CallerId { number: "5551001".into(), name: String::new() },
            entered_at: Timestamp::now(),
            changed_at: Timestamp::now(),
        }
    }
}

fn confirmed(outcome: Result<PopOutcome, oneshot::error::RecvError>) -> Result<()> {
    match outcome? {
        PopOutcome::Confirmed => Ok(()),
        other @ (PopOutcome::Refused | PopOutcome::LinkDown | PopOutcome::TimedOut) => {
            bail!("a pop was not confirmed: {other:?}")
        }
    }
}
