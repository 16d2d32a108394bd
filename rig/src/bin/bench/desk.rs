//! How fast the desk announces and publishes, beside slixmpp and beside what the server itself can take.
//!
//! Three senders with one account on one Prosody, in turn and in many rounds, so that what else the machine does hits all of
//! them: the service's own desk (`examples/desk.rs`), slixmpp (`desk/beside.py`), and bare stanzas (`desk/bare.rs`). 1,000
//! members are online, and each says which announcements it got; after each round of publishes the nodes are read.

mod bare;
mod figures;
mod members;
mod pieces;
mod program;
mod wire;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use tokio::process::Command;
use usher_rig::{
    instance::Instance,
    prosody::{DOMAIN, PUBSUB, Prosody},
    xmpp::Client,
};

use self::{
    bare::Bare,
    figures::{Figures, Side, Turn},
    members::{Members, announcement},
    program::Program,
};
use crate::{host, say};

/// Who is announced.
const MEMBERS: usize = 1_000;
/// Whose nodes are published.
const NODES: usize = 500;
/// Pops of each side in a round, one at a time, in two turns.
const POPS: usize = 25;
/// Of these the bare sender, and slixmpp, take what is best for them: under way at once.
const MESSAGES_AT_ONCE: [usize; 4] = [16, 64, 250, MEMBERS];
const PUBLISHES_AT_ONCE: [usize; 5] = [8, 16, 32, 64, 128];
/// slixmpp asks what the server has after so many messages; the first is its own setting.
const MESSAGES_A_QUESTION: [usize; 4] = [5, 50, 200, MEMBERS];
/// How often each of these is tried.
const TRIES: usize = 3;
/// Nodes that are read at once.
const READS: usize = 16;
/// Revision in the template of a pop.
const REVISION: &str = "REVISION";

/// What a sender is told before all else.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    address: String,
    ca: PathBuf,
    jid: String,
    password: String,
    crm: String,
    pubsub: String,
    /// With MARK in the place of the mark.
    announcement: String,
    /// With REVISION in the place of the revision. The desk writes its own.
    pop: String,
    members: Vec<String>,
    extensions: Vec<String>,
    /// The id of the item on each node, which all senders replace: Prosody 0.12.3 with its nodes in memory loses items of a node
    /// that holds several.
    items: Vec<String>,
}

/// What a sender is told to do.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "job", rename_all = "lowercase")]
pub enum Job {
    /// One message to each member.
    Messages { mark: String, window: usize },
    /// One item to each node.
    Publishes { revision: u32, window: usize },
    /// One item after the other.
    Pops { revision: u32, count: usize },
    /// The same while messages go out to all members: the desk alone.
    Amid { mark: String, revision: u32 },
}

struct Senders {
    ours: Program,
    slixmpp: Program,
    bare: Bare,
}

impl Senders {
    async fn work(&mut self, side: Side, job: &Job) -> Result<Vec<Duration>> {
        match side {
            Side::Ours => self.ours.work(job).await,
            Side::Slixmpp => self.slixmpp.work(job).await,
            Side::Bare => self.bare.work(job).await,
        }
        .with_context(|| format!("{side:?}: {job:?}"))
    }
}

impl Senders {
    /// How long a sender has been at work; of the bare one, which is a thread of the bench, that is not looked at.
    fn busy(&self, side: Side) -> Result<Duration> {
        match side {
            Side::Ours => self.ours.busy(),
            Side::Slixmpp => self.slixmpp.busy(),
            Side::Bare => Ok(Duration::ZERO),
        }
    }
}

struct Bench {
    prosody: Arc<Prosody>,
    setting: Setting,
    senders: Senders,
    members: Members,
    crm: Client,
    /// Counts up with every job.
    revision: u32,
}

/// Measures so many rounds, and says what came of it.
pub async fn run(rounds: usize) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("1,000 members need as many open files")?;
    let instance = Instance::new()?;
    let mut bench = Bench::open(&instance).await?;
    let best = bench.best().await?;
    say(&format!("{} {rounds} rounds …", best.text()));
    let mut figures = Figures::default();
    let before = host::Processors::now();
    for round in 0..rounds {
        bench.round(round, &best, &mut figures).await?;
    }
    say(&figures.text());
    if let Some(share) = before.taken_since() {
        say(&format!("The host of this machine took {:.1} % of its processors' time meanwhile.", share * 100.0));
    }
    Ok(())
}

/// How many under way at once suit whom.
#[derive(Debug, Default)]
struct Best {
    bare_messages: usize,
    bare_publishes: usize,
    slixmpp_messages: usize,
    slixmpp_publishes: usize,
}

impl Best {
    fn text(&self) -> String {
        format!(
            "Best for the server: {} messages at once, {} publishes; for slixmpp: a question after {} messages, {} publishes at once.",
            self.bare_messages, self.bare_publishes, self.slixmpp_messages, self.slixmpp_publishes
        )
    }

    /// The desk has bounds of its own.
    fn messages(&self, side: Side) -> usize {
        match side {
            Side::Ours => 0,
            Side::Slixmpp => self.slixmpp_messages,
            Side::Bare => self.bare_messages,
        }
    }

    fn publishes(&self, side: Side) -> usize {
        match side {
            Side::Ours => 0,
            Side::Slixmpp => self.slixmpp_publishes,
            Side::Bare => self.bare_publishes,
        }
    }
}

impl Bench {
    async fn open(instance: &Instance) -> Result<Self> {
        let prosody = Arc::new(Prosody::start(instance).await?);
        let accounts: Vec<String> = (0..MEMBERS).map(|n| format!("member{n}")).collect();
        prosody.add_accounts(&accounts)?;
        say(&format!("{MEMBERS} members log in …"));
        let members = Members::log_in(&prosody, &accounts).await?;
        let mut setting = Setting {
            address: prosody.address(),
            ca: prosody.certificate().authority.clone(),
            jid: format!("usher@{DOMAIN}"),
            password: prosody.password("usher")?,
            crm: format!("crm@{DOMAIN}"),
            pubsub: PUBSUB.into(),
            announcement: announcement("MARK"),
            pop: String::new(),
            members: accounts.iter().map(|account| format!("{account}@{DOMAIN}")).collect(),
            extensions: (1000..).take(NODES).map(|number: u32| number.to_string()).collect(),
            items: vec![],
        };
        let mut ours = Program::start(instance, &mut Command::new(own_sender()?), &setting).await?;
        let crm = Client::connect(&prosody, "crm").await?;
        // What the desk writes, the others send as well.
        ours.work(&Job::Publishes { revision: 1, window: 0 }).await?;
        for extension in &setting.extensions {
            let (item, pop) = written(&crm, extension).await?;
            setting.items.push(item);
            setting.pop = pop;
        }
        let script = instance.folder().join("beside.py");
        fs::write(&script, include_str!("desk/beside.py"))?;
        // Debian's own Python, for which Debian's package of slixmpp is.
        let slixmpp = Program::start(instance, Command::new("/usr/bin/python3").arg(script), &setting)
            .await
            .context("slixmpp: is python3-slixmpp installed? scripts/setup --tests installs it")?;
        let bare = Bare::start(&prosody, &setting).await?;
        let senders = Senders { ours, slixmpp, bare };
        Ok(Self { prosody, setting, senders, members, crm, revision: 1 })
    }

    /// Tries what is best for whom, which warms up as well.
    async fn best(&mut self) -> Result<Best> {
        let mut best = Best::default();
        for side in [Side::Bare, Side::Slixmpp] {
            let windows = if side == Side::Bare { MESSAGES_AT_ONCE } else { MESSAGES_A_QUESTION };
            let mut tried = Vec::new();
            for window in windows.into_iter().cycle().take(windows.len() * TRIES) {
                tried.push((window, self.messages(side, window).await?.took));
            }
            let messages = figures::fastest(&tried);
            say(&figures::tries(&format!("{}, messages", side.name()), MEMBERS, &tried));
            tried.clear();
            for window in PUBLISHES_AT_ONCE.into_iter().cycle().take(PUBLISHES_AT_ONCE.len() * TRIES) {
                tried.push((window, self.publishes(side, window).await?.took));
            }
            let publishes = figures::fastest(&tried);
            say(&figures::tries(&format!("{}, publishes", side.name()), NODES, &tried));
            match side {
                Side::Bare => (best.bare_messages, best.bare_publishes) = (messages, publishes),
                Side::Slixmpp => (best.slixmpp_messages, best.slixmpp_publishes) = (messages, publishes),
                Side::Ours => {}
            }
        }
        for _ in 0..TRIES {
            self.messages(Side::Ours, 0).await?;
            self.publishes(Side::Ours, 0).await?;
        }
        Ok(best)
    }

    /// Each side in turn, another one first in each round.
    async fn round(&mut self, round: usize, best: &Best, figures: &mut Figures) -> Result<()> {
        let mut sides = Side::ALL;
        sides.rotate_left(round % Side::ALL.len());
        for side in sides {
            let turn = self.messages(side, best.messages(side)).await?;
            figures.messages.add(side, turn);
        }
        for side in sides {
            let turn = self.publishes(side, best.publishes(side)).await?;
            figures.publishes.add(side, turn);
        }
        for side in sides.into_iter().chain(sides) {
            let job = Job::Pops { revision: self.next(), count: POPS };
            let times = self.senders.work(side, &job).await?;
            figures.pops.add(side, times);
        }
        let mark = format!("amid-{}", self.revision);
        let job = Job::Amid { mark: mark.clone(), revision: self.next() };
        figures.amid.extend(self.senders.work(Side::Ours, &job).await?);
        self.members.all_had(&mark).await
    }

    async fn messages(&mut self, side: Side, window: usize) -> Result<Turn> {
        let mark = format!("{}-{}", side.name(), self.next());
        let turn = self.turn(side, &Job::Messages { mark: mark.clone(), window }, MEMBERS).await?;
        self.members.all_had(&mark).await?;
        Ok(turn)
    }

    async fn publishes(&mut self, side: Side, window: usize) -> Result<Turn> {
        let revision = self.next();
        let turn = self.turn(side, &Job::Publishes { revision, window }, NODES).await?;
        let crm = &self.crm;
        let expected = revision.to_string();
        let read = async |extension: &String| {
            let items = crm.items(&format!("extension{extension}")).await?;
            let found: Vec<_> = items.iter().map(|item| item.children().next()?.attr("revision")).collect();
            ensure!(found == [Some(expected.as_str())], "{side:?}: {extension} has {found:?}, not {expected}");
            Ok(())
        };
        stream::iter(&self.setting.extensions).map(read).buffer_unordered(READS).try_collect::<()>().await?;
        Ok(turn)
    }

    async fn turn(&mut self, side: Side, job: &Job, count: usize) -> Result<Turn> {
        let server = self.prosody.pid().context("Prosody has ended")?;
        let (served, own) = (host::busy(server)?, self.senders.busy(side)?);
        let took = self.senders.work(side, job).await?.into_iter().sum();
        let served = host::busy(server)?.saturating_sub(served);
        Ok(Turn { count, took, served, own: self.senders.busy(side)?.saturating_sub(own) })
    }

    fn next(&mut self) -> u32 {
        self.revision += 1;
        self.revision
    }
}

/// The item that the desk has put on a node: its id, and the pop with REVISION in the place of its revision.
async fn written(crm: &Client, extension: &str) -> Result<(String, String)> {
    let items = crm.items(&format!("extension{extension}")).await?;
    let item = items.first().context("the desk has published nothing")?;
    let (id, pop) = (item.attr("id").context("an item without id")?, item.children().next().context("an empty item")?);
    let template = ['\'', '"'].into_iter().fold(String::from(pop), |text, quote| {
        text.replace(&format!("revision={quote}1{quote}"), &format!("revision={quote}{REVISION}{quote}"))
    });
    ensure!(template.contains(REVISION), "no revision in {template}");
    Ok((id.to_owned(), template))
}

/// `examples/desk` beside the running program.
fn own_sender() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.with_file_name("examples").join("desk");
    ensure!(path.is_file(), "no program {}: cargo build --release --example desk", path.display());
    Ok(path)
}
