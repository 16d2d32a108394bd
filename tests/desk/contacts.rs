//! The contacts on either server, seen by a client that nobody here wrote.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use usher::{
    contacts,
    domain::words::Language,
    fence::Fence,
    link::Link,
    xmpp::{
        component::{Extent, Failure, Settings, rehearse},
        session::{self, SILENCE},
    },
};

use crate::{
    counter::{House, house},
    patience::{PATIENCE, before},
    prosody::{Brand, COMPONENT, COMPONENT_SECRET, DOMAIN, Prosody},
};

const SUPPORT: &str = "support@contacts.localhost";

fn settings(prosody: &Prosody) -> Settings {
    Settings {
        domain: COMPONENT.into(),
        address: prosody.component_address(),
        secret: COMPONENT_SECRET.to_owned().into(),
    }
}

fn start(house: &House, settings: Settings) -> contacts::Handle {
    contacts::spawn(contacts::Outlets {
        settings,
        roster: house.roster.clone(),
        supervisors: vec![format!("user3@{DOMAIN}")],
        floor: house.floor.clone(),
        visitors: house.visitors.clone(),
        language: Language::English,
        fence: Fence::open(),
    })
}

async fn up(contacts: &contacts::Handle) {
    timeout(PATIENCE, contacts.link().wait_for(Link::is_up)).await.expect("the component is up").unwrap();
}

async fn down(contacts: &contacts::Handle) -> String {
    let mut link = contacts.link();
    let is_down = |link: &Link| matches!(link, Link::Down { why, .. } if why != "connecting");
    match &*timeout(PATIENCE, link.wait_for(is_down)).await.expect("the component is down").unwrap() {
        Link::Down { why, .. } => why.clone(),
        Link::Up { .. } => unreachable!(),
    }
}

/// A colleague at a client of slixmpp's.
struct Watcher {
    _child: Child,
    tells: ChildStdin,
    shows: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    async fn connect(prosody: &Prosody, user: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/desk/watcher.py");
        let port = prosody.address().rsplit_once(':').unwrap().1.to_owned();
        // Debian's own Python, for which Debian's package of slixmpp is.
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([&format!("{user}@{DOMAIN}"), user, &port])
            .arg(prosody.ca_file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("/usr/bin/python3 runs; scripts/setup installs it with python3-slixmpp");
        let tells = child.stdin.take().unwrap();
        let shows = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut watcher = Self { _child: child, tells, shows };
        watcher.shows("online").await;
        watcher
    }

    async fn does(&mut self, line: &str) {
        self.tells.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Waits for this line; yields those before it.
    async fn shows(&mut self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let Ok(shown) = timeout(PATIENCE, self.shows.next_line()).await else {
                panic!("{line:?} does not come, but {before:?}")
            };
            let shown = shown.unwrap().unwrap_or_else(|| panic!("it ended before {line:?}: {before:?}"));
            if shown == line {
                return before;
            }
            before.push(shown);
        }
    }

    /// Waits for a presence of the contact's.
    async fn sees(&mut self, resource: &str, kind: &str, text: &str) -> Vec<String> {
        let slash = if resource.is_empty() { "" } else { "/" };
        self.shows(&format!("presence|{SUPPORT}{slash}{resource}|{kind}|{text}")).await
    }

    async fn is_told(&mut self, to: &str, text: &str, answer: &str) {
        self.does(&format!("say {to} {text}")).await;
        self.shows(&format!("message|{to}/Usher|chat|{answer}")).await;
    }
}

#[tokio::test]
async fn a_contact_is_subscribed_to_spoken_to_and_seen_again_after_each_that_was_away() {
    let mut house = house().await;
    let contacts = start(&house, settings(&house.prosody));
    up(&contacts).await;
    let (mut ana, mut stranger) =
        (Watcher::connect(&house.prosody, "user1").await, Watcher::connect(&house.prosody, "stranger").await);
    // A member of nothing sees nothing.
    for one in [&mut ana, &mut stranger] {
        one.does(&format!("subscribe {SUPPORT}")).await;
        one.sees("", "unsubscribed", "").await;
    }
    // Whoever may command may do so at a contact that they do not see yet.
    ana.is_told(SUPPORT, "login", "Extension 1000 is logged on to Support.").await;
    ana.does(&format!("subscribe {SUPPORT}")).await;
    ana.sees("", "subscribed", "").await;
    ana.sees("1000 (Agent One)", "xa", "the phone cannot be reached").await;
    ana.is_told(SUPPORT, "pause lunch", "Extension 1000 is paused in Support: lunch.").await;
    ana.sees("1000 (Agent One)", "xa", "paused: lunch").await;
    for at in [SUPPORT, "support@contacts.localhost/Usher", COMPONENT] {
        ana.does(&format!("commands {at}")).await;
        ana.shows("commands|12").await;
    }

    // The service starts anew, while the client stays where it is.
    contacts.stop().await;
    ana.sees("1000 (Agent One)", "unavailable", "").await;
    ana.sees("Usher", "unavailable", "").await;
    let contacts = start(&house, settings(&house.prosody));
    ana.sees("1000 (Agent One)", "xa", "paused: lunch").await;
    ana.sees("Usher", "away", "nobody waits, 0 of 1 ready").await;

    // The client starts anew: its server asks for it.
    drop(ana);
    let mut ana = Watcher::connect(&house.prosody, "user1").await;
    ana.sees("1000 (Agent One)", "xa", "paused: lunch").await;

    // The server is killed. Prosody's rosters are in memory here, and what ejabberd has last written to its own may be lost.
    house.prosody.kill();
    down(&contacts).await;
    drop(ana);
    house.prosody.run().await;
    up(&contacts).await;
    let mut ana = Watcher::connect(&house.prosody, "user1").await;
    ana.does(&format!("subscribe {SUPPORT}")).await;
    ana.sees("1000 (Agent One)", "xa", "paused: lunch").await;
    ana.is_told(SUPPORT, "logout", "Extension 1000 is logged off from Support.").await;
    ana.sees("1000 (Agent One)", "unavailable", "").await;

    // The server freezes, and what happens meanwhile is seen afterwards.
    house.prosody.freeze();
    down(&contacts).await;
    let client = house.database.connect().await.unwrap();
    client.batch_execute("UPDATE memberships SET logged_on = true").await.unwrap();
    house.prosody.thaw();
    up(&contacts).await;
    ana.sees("1000 (Agent One)", "xa", "paused: lunch").await;

    // Who does not want to see it any more does not.
    ana.does(&format!("unsubscribe {SUPPORT}")).await;
    ana.sees("1000 (Agent One)", "unavailable", "").await;
    ana.is_told(SUPPORT, "resume", "Extension 1000 is resumed in Support.").await;
    ana.does(&format!("subscribe {SUPPORT}")).await;
    let before = ana.sees("", "subscribed", "").await;
    assert!(!before.iter().any(|line| line.contains("(Agent One)")), "{before:?}");
    ana.sees("1000 (Agent One)", "xa", "the phone cannot be reached").await;
    client.batch_execute("DELETE FROM memberships").await.unwrap();
    ana.sees("", "unsubscribed", "").await;
    contacts.stop().await;
}

#[tokio::test]
async fn what_the_server_refuses_is_said_in_words_and_another_connection_is_no_harm() {
    let house = house().await;
    let right = settings(&house.prosody);
    let contacts = start(&house, Settings { secret: "another".to_owned().into(), ..right.clone() });
    let refused = |domain: &str| {
        format!(
            "the XMPP server refuses the component {domain}: the secret is wrong, or it has no such component; give the server and \
             xmpp.component_secret_file the same"
        )
    };
    assert_eq!(down(&contacts).await, refused(COMPONENT));
    contacts.abandon().await;
    let within = Duration::from_secs(10);
    let elsewhere = Settings { domain: "nowhere.localhost".into(), ..right.clone() };
    let unknown = match Brand::wanted() {
        Brand::Prosody => format!(
            "the XMPP server at {} has no component nowhere.localhost: enter it there, or correct xmpp.component",
            right.address
        ),
        // ejabberd tells nobody which it has.
        Brand::Ejabberd => refused("nowhere.localhost"),
    };
    assert_eq!(rehearse(&elsewhere, Extent::Place, PATIENCE).await.unwrap_err(), Failure::Refused(unknown));
    let clients = Settings { address: house.prosody.address(), ..right.clone() };
    let not_for_components = rehearse(&clients, Extent::Place, within).await.unwrap_err().to_string();
    assert!(not_for_components.contains("component"), "{not_for_components}");
    let nobody = Settings { address: "127.0.0.1:1".into(), ..right.clone() };
    let nobody = rehearse(&nobody, Extent::Header, within).await.unwrap_err().to_string();
    assert!(nobody.starts_with("127.0.0.1:1: "), "{nobody}");

    let contacts = start(&house, right.clone());
    up(&contacts).await;
    // The header alone takes nobody's place away.
    rehearse(&right, Extent::Header, PATIENCE).await.unwrap();
    let mut link = contacts.link();
    link.mark_unchanged();
    let mut ana = Watcher::connect(&house.prosody, "user1").await;
    ana.is_told(SUPPORT, "login", "Extension 1000 is logged on to Support.").await;
    assert!(!link.has_changed().unwrap());
    // Nobody says anything for longer than silence may last: the connection stands, since it is asked whether it does.
    drop(ana);
    let broken = before(SILENCE + session::PATIENCE + Duration::from_secs(2), link.changed()).await;
    assert!(broken.is_none(), "{:?}", contacts.link().borrow());
    contacts.stop().await;
    rehearse(&right, Extent::Place, PATIENCE).await.unwrap();
}
