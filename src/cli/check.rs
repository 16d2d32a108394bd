//! `usher check`: tries every connection and setting, and prints what is wrong and what to do.
//!
//! Safe beside a running service: it takes no Stasis application, publishes on a node of its own, and changes nothing.
//!
//! A queue's class of music on hold is not looked at: ARI does not tell which classes there are, and Asterisk accepts any.

mod component;
mod ports;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use anyhow::{Result, anyhow};
use tokio::time::timeout;
use xmpp_parsers::minidom::Element;

use crate::{
    ari,
    cli::{self, online::Online, say, table},
    config::{self, Config, Xmpp},
    db::{
        migrate,
        pool::{Connector, Pool, Statements},
        rights, roster,
    },
    domain::{
        pop::link::{Tells, Template},
        queue::{
            announce,
            roster::{Queue, Roster},
        },
    },
    ledger,
    xmpp::{muc, pubsub::Pubsub, session::Session},
};

/// How long one server may take to be reached and to answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Node that the check makes and deletes.
const NODE: &str = "usher-check";

/// One row of the table.
struct Row {
    what: String,
    verdict: Verdict,
    note: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Warning,
    Wrong,
}

#[derive(Default)]
struct Report(Vec<Row>);

impl Report {
    fn add(&mut self, what: impl Into<String>, verdict: Verdict, note: impl Into<String>) {
        self.0.push(Row { what: what.into(), verdict, note: note.into() });
    }

    fn good(&mut self, what: impl Into<String>, note: impl Into<String>) {
        self.add(what, Verdict::Good, note);
    }

    fn wrong(&mut self, what: impl Into<String>, note: impl Into<String>) {
        self.add(what, Verdict::Wrong, note);
    }
}

pub(super) fn run(path: &Path) -> Result<()> {
    // A configuration that cannot be read is the first finding, and there is nothing to try without it.
    let config = Config::load(path)?;
    let report = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(all(path, &config));
    let mut table = table::empty();
    table.set_header(["what", "", "what was found, and what to do"]);
    for row in &report.0 {
        let verdict = match row.verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "look",
            Verdict::Wrong => "WRONG",
        };
        table.add_row([row.what.as_str(), verdict, row.note.as_str()]);
    }
    say(&table.to_string())?;
    match report.0.iter().filter(|row| row.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        1 => Err(anyhow!("one thing is wrong: see the table")),
        count => Err(anyhow!("{count} things are wrong: see the table")),
    }
}

async fn all(path: &Path, config: &Config) -> Report {
    let mut report = Report::default();
    report.good("configuration", config::shown(path));
    for doubt in config.doubts() {
        report.add("configuration", Verdict::Warning, doubt);
    }
    let roster = database(config, &mut report).await;
    if let Some(roster) = &roster {
        pages(&config.pops, roster, &mut report);
    }
    xmpp(&config.xmpp, &mut report).await;
    component::looked_at(config, &mut report).await;
    let mut seen = BTreeMap::new();
    for server in &config.asterisk {
        let roster = roster.as_ref();
        let Some(findings) = probe(server, roster, &mut report).await else { continue };
        if let Some(other) = seen.insert(findings.identity.clone(), &server.name) {
            let note =
                format!("is the same Asterisk as {other:?}, by another address: take one of the two out of the file");
            report.wrong(format!("asterisk {}", server.name), note);
        }
        asterisk(server, &config.agi, roster, findings, &mut report).await;
    }
    let state = format!("service.state {}", config::shown(&config.service.state));
    match ledger::check_folder(&config.service.state) {
        Ok(()) => report.good(state, "can be written"),
        Err(error) => {
            let note = format!(
                "cannot be written: {error}; records that wait for the database would not outlive the service. Make it, owned by \
                 the service's account, which must run this check as well"
            );
            report.add(state, Verdict::Warning, note);
        }
    }
    ports::listened_on(config, &mut report).await;
    report
}

async fn database(config: &Config, report: &mut Report) -> Option<Roster> {
    let what = format!("database {}", config.database.target());
    let wrong = |report: &mut Report, error: &crate::db::Error| {
        report.wrong(what.clone(), cli::unusable(&config.database, error).to_string());
    };
    let connector = match Connector::new(&config.database) {
        Ok(connector) => connector,
        Err(error) => {
            wrong(report, &error);
            return None;
        }
    };
    let single = match connector.single(Statements::Bounded).await {
        Ok(single) => single,
        Err(error) => {
            wrong(report, &error);
            return None;
        }
    };
    match migrate::pending(&single.client).await {
        Ok(pending) if pending.is_empty() => {}
        Ok(pending) => {
            report.wrong(what.clone(), format!("the schema lacks {}: run `usher migrate`", pending.join(", ")));
            return None;
        }
        Err(error) => {
            wrong(report, &error);
            return None;
        }
    }
    match rights::missing(&single.client).await {
        Ok(missing) if missing.is_empty() => report.good(what.clone(), "reached, schema up to date"),
        Ok(missing) => {
            let note = format!(
                "the role {} lacks {}: GRANT them, or have that role run `usher migrate` on an empty database, which makes it the \
                 owner",
                config.database.user,
                missing.join(", "),
            );
            report.wrong(what.clone(), note);
            return None;
        }
        Err(error) => {
            wrong(report, &error);
            return None;
        }
    }
    let loaded = async {
        let pool = Pool::new(&connector, 2)?;
        let mut lease = pool.lease().await?;
        let roster = roster::load(&mut lease).await?;
        lease.done();
        Ok(roster)
    };
    let roster = match loaded.await {
        Ok(roster) => roster,
        Err(error) => {
            wrong(report, &error);
            return None;
        }
    };
    people(&roster, report);
    Some(roster)
}

fn people(roster: &Roster, report: &mut Report) {
    let members = roster.memberships.len();
    let logged_on = roster.memberships.iter().filter(|membership| membership.logged_on).count();
    let counts = format!(
        "{}, {}, {}, {logged_on} of them logged on",
        count(roster.agents.len(), "extension"),
        count(roster.queues.len(), "queue"),
        count(members, "membership"),
    );
    if roster.agents.is_empty() || roster.queues.is_empty() {
        let advice = "nobody can be called: see `usher extension add` and `usher queue add`";
        report.add("people", Verdict::Warning, format!("{counts}; {advice}"));
    } else {
        report.good("people", counts);
    }
    for (index, agent) in roster.agents.iter().enumerate() {
        let mut before = roster.agents.iter().take(index);
        if let Some(other) = before.find(|other| other.interface.is_same_phone(&agent.interface)) {
            let note = format!(
                "extensions {} and {} are both rung at {}, and a phone is one person's: see `usher extension change --help`",
                other.extension, agent.extension, agent.interface
            );
            report.wrong("people", note);
        }
    }
    for queue in &roster.queues {
        if let Err(error) = queue.announcement.parse::<announce::Template>() {
            report.wrong(format!("queue {}", queue.name), format!("announcement: {error}"));
        }
    }
}

/// What queues say of people where pops are not to, and links that cannot be made.
fn pages(pops: &config::Pops, roster: &Roster, report: &mut Report) {
    for queue in &roster.queues {
        let mut look = |note: String| report.add(format!("queue {}", queue.name), Verdict::Warning, note);
        match queue.link.as_ref().map(Template::tells) {
            Some(Tells::Token) if pops.link_secret.is_none() => {
                look("its link has a {token}, and without pops.link_secret_file none is made: its pops have no link".into());
            }
            Some(Tells::Person) if pops.private => look(
                "its link tells the person, so with pops.private its pops have none: put {token} in the place of the others, see \
                 `usher queue change --help`"
                    .into(),
            ),
            None if pops.private => look(
                "it has no link, so with pops.private its pops tell nobody who calls: see `usher queue change --help`".into(),
            ),
            Some(Tells::Nothing | Tells::Person | Tells::Token) | None => {}
        }
        let told = ["{name}", "{code}", "{number}"].into_iter().find(|blank| queue.announcement.contains(blank));
        if let Some(blank) = told.filter(|_| pops.private) {
            look(format!(
                "its announcement has {blank}, and goes to every logged-on member: pops.private is for pops alone; see \
                 `usher queue change {} --announcement`",
                queue.name
            ));
        }
    }
}

fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

async fn xmpp(config: &Xmpp, report: &mut Report) {
    let what = format!("xmpp {}", config.jid);
    let online = match Online::start(config, PATIENCE).await {
        Ok(online) => online,
        Err(why) => return report.wrong(what, why),
    };
    report.good(what, format!("logged in as {}", online.jid));
    strangers(config, report);
    pubsub(config, &online.pubsub, report).await;
    rooms(config, &online.session, report).await;
    online.close().await;
}

/// Who reads pops from another server than the account's.
fn strangers(config: &Xmpp, report: &mut Report) {
    let domain = |jid: &str| jid.rsplit_once('@').map_or(jid, |(_, domain)| domain).to_lowercase();
    for jid in config.crm.iter().filter(|jid| domain(jid) != domain(&config.jid)) {
        let note = format!(
            "{jid} is of another domain than {}: the two servers must be linked (s2s) for it to see pops. A slip of the pen?",
            config.jid
        );
        report.add("xmpp.crm", Verdict::Warning, note);
    }
}

async fn pubsub(config: &Xmpp, pubsub: &Pubsub, report: &mut Report) {
    let service = config.pubsub_jid();
    let what = format!("pubsub {service}");
    let payload = Element::builder("check", "urn:usher:check:1").build();
    let tried = async {
        pubsub.ensure(NODE, &BTreeSet::new()).await?;
        let begun = std::time::Instant::now();
        pubsub.publish(NODE, "check", payload).await?;
        let took = begun.elapsed();
        pubsub.delete(NODE).await?;
        Ok::<_, crate::xmpp::pubsub::Error>(took)
    };
    match timeout(PATIENCE, tried).await {
        Ok(Ok(took)) if took > config.publish_bound => {
            let note = format!(
                "a publish took {took:.1?}, longer than xmpp.publish_bound ({:?}): phones will ring before the pop; see \
                 INSTALL.md on the server's storage and limits",
                config.publish_bound
            );
            report.add(what, Verdict::Warning, note);
        }
        Ok(Ok(took)) => report.good(what, format!("a node was made, published on in {took:.1?} and deleted")),
        Ok(Err(error)) => {
            report.wrong(what, format!("{error}; is there a pubsub component, and may {} create nodes?", config.jid));
        }
        Err(_) => report.wrong(what, format!("no answer within {PATIENCE:?}; is xmpp.pubsub right?")),
    }
}

/// Whether there is a service for rooms where the configuration says so.
async fn rooms(config: &Xmpp, session: &Session, report: &mut Report) {
    let Some(service) = config.rooms() else { return };
    let what = format!("rooms {service}");
    match timeout(PATIENCE, muc::has_rooms(session, &service)).await {
        Ok(Ok(true)) => report
            .good(what, "there is a service for rooms; whether the account may make some shows when the service runs"),
        Ok(Ok(false)) => report.wrong(what, "answers, and has no rooms (XEP-0045): correct xmpp.rooms"),
        Ok(Err(trouble)) => report.wrong(what, trouble.to_string()),
        Err(_) => report.wrong(what, format!("no answer within {PATIENCE:?}; is xmpp.rooms right?")),
    }
}

/// Each sound that a queue plays, and as what.
fn spoken(roster: Option<&Roster>) -> Vec<(&Queue, &'static str, Vec<String>)> {
    let queues = roster.iter().flat_map(|roster| &roster.queues);
    queues.flat_map(|queue| sounds(queue).into_iter().map(move |(what, sounds)| (queue, what, sounds))).collect()
}

async fn probe(server: &config::Asterisk, roster: Option<&Roster>, report: &mut Report) -> Option<ari::Findings> {
    let spoken = spoken(roster);
    let wanted: BTreeSet<&str> = spoken.iter().flat_map(|(_, _, sounds)| sounds).map(String::as_str).collect();
    let recording = roster.iter().flat_map(|roster| &roster.queues).any(|queue| queue.talk.recording);
    let found = timeout(PATIENCE, ari::probe(server, wanted, recording)).await;
    match found.unwrap_or(Err(ari::Error::OutcomeUnknown)) {
        Ok(findings) => Some(findings),
        Err(error) => {
            report.wrong(format!("asterisk {}", server.name), ari::explain(&error, server));
            None
        }
    }
}

async fn asterisk(
    server: &config::Asterisk,
    agi: &config::Agi,
    roster: Option<&Roster>,
    findings: ari::Findings,
    report: &mut Report,
) {
    let what = format!("asterisk {}", server.name);
    let phones = findings.phones.len();
    let online = findings.phones.iter().filter(|(_, online)| *online).count();
    report.good(what.clone(), format!("version {}, {online} of {} online", findings.version, count(phones, "phone")));
    for (module, purpose) in findings.missing {
        let note = format!(
            "module {module} is not running ({purpose}): add `load => {module}` to modules.conf, and run `asterisk -rx 'module \
             load {module}'` (`asterisk_rx` of INSTALL.md where it runs in a folder). If it is there already, it needs another one: \
             Asterisk's log names that, and asterisk-conf/modules.conf has them all"
        );
        report.wrong(what.clone(), note);
    }
    if findings.hands_through {
        let note = "module bridge_native_rtp.so is running: the voice that a caller hears then comes from another stream from one moment to the \
                    next, and what checks that strictly stays silent. `noload => bridge_native_rtp.so` in modules.conf, and a restart";
        report.add(what.clone(), Verdict::Warning, note);
    }
    if let Some(why) = findings.unlisted {
        let note = format!(
            "talks are to be recorded, and it does not list its recordings ({why}): is there a folder `recording` in its \
             astspooldir, its own? `install -d -m 750 -o asterisk -g asterisk /var/spool/asterisk/recording` makes it (by chroot \
             where Asterisk has a folder of its own)"
        );
        report.wrong(what.clone(), note);
    }
    for (phone, method) in findings.forwarding {
        let is_agents = roster.iter().flat_map(|roster| &roster.agents).any(|agent| agent.interface.as_str() == phone);
        if is_agents {
            let note = format!(
                "{phone} has redirect_method={method}: a call that this phone forwards rings past the dialplan, at a phone that nobody \
                 ends. Set redirect_method=user for it in pjsip.conf"
            );
            report.add(what.clone(), Verdict::Warning, note);
        }
    }
    if !findings.app.is_empty() && findings.app != server.app {
        let note = format!(
            "its dialplan hands callers to the application {:?} (USHER_APP), and asterisk.app is {:?}: none would come here. Set one like \
             the other: USHER_APP in site/globals.conf",
            findings.app, server.app
        );
        report.wrong(what.clone(), note);
    }
    if let Some(doubt) = ports::questions(server, agi, &findings.agi).await {
        report.add(what.clone(), Verdict::Warning, doubt);
    }
    let unknown: Vec<&str> = roster
        .iter()
        .flat_map(|roster| &roster.agents)
        .filter(|agent| agent.interface.is_watched())
        .filter(|agent| !findings.phones.iter().any(|(name, _)| name == agent.interface.as_str()))
        .map(|agent| agent.interface.as_str())
        .collect();
    if !unknown.is_empty() {
        let note = format!("{} not configured here: their calls must come from another server", unknown.join(", "));
        report.add(what.clone(), Verdict::Warning, note);
    }
    let Some(missing) = findings.missing_sounds else {
        let note = "the queues' sounds were not looked at: module res_ari_sounds.so is not running";
        return report.add(what, Verdict::Warning, note);
    };
    for (queue, what, sounds) in spoken(roster) {
        let absent: Vec<String> = sounds.into_iter().filter(|sound| missing.contains(sound)).collect();
        let Some(first) = absent.first() else { continue };
        let (named, more) = match absent.len() {
            1 => (first.clone(), String::new()),
            count => (format!("{first} and {} more", count - 1), format!(", and likewise {}", absent[1..].join(", "))),
        };
        let note = format!(
            "its {what}, the sound {named}, is not on {server}: put the file into the folder of a language there, as \
             sounds/en/{first}.wav{more}; or choose another, see `usher queue change --help`",
            server = server.name,
        );
        report.wrong(format!("queue {}", queue.name), note);
    }
}

/// The sounds that a queue plays, and as what.
fn sounds(queue: &Queue) -> Vec<(&'static str, Vec<String>)> {
    let one = |sound: &String| if sound.is_empty() { Vec::new() } else { vec![sound.clone()] };
    vec![
        ("greeting", one(&queue.greeting)),
        ("recording prompt", queue.talk.says_recorded().map(str::to_owned).into_iter().collect()),
        ("greeting to members", one(&queue.talk.member_greeting)),
        ("announcement to those who wait", queue.announcements.all_sounds()),
    ]
}
