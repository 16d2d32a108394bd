//! What is in examples/ works, on a real server: with libraries and a browser that nobody here wrote.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{Router, routing::get};
use serde_json::json;
use software_sim::bridge::{config::Config, sign::Key};
use usher_rig::{
    browser::{self, Browser},
    instance::Instance,
    pops::Pops,
    process::{Process, Program},
    prosody::{DOMAIN, Prosody},
};

const ONE: &str = "0192f3a1-7a4e-7c1b-9d55-000000000001";
const TWO: &str = "0192f3a1-7a4e-7c1b-9d55-000000000002";
const THREE: &str = "0192f3a1-7a4e-7c1b-9d55-000000000003";
const SOON: Duration = Duration::from_secs(30);
/// From Debian's package `libjs-strophe`.
const STROPHE: &str = "/usr/share/javascript/strophe/strophe.min.js";
const PYTHON: &str = "/usr/bin/python3";
const SLIXMPP: &str = "/usr/lib/python3/dist-packages/slixmpp";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// An example on the command line, watching extension 1000.
struct Subscriber(Process);

impl Subscriber {
    async fn start(instance: &Instance, prosody: &Prosody, line: &[&OsStr], address: &[&str]) -> Self {
        let program = Program::new(instance, "subscriber", line[0])
            .args(&line[1..])
            .args([&format!("crm@{DOMAIN}"), "1000"])
            .args(address)
            .env("PASSWORD", prosody.password("crm").unwrap())
            .env("CA_FILE", &prosody.certificate().authority);
        let this = Self(program.start(instance).unwrap());
        this.says("subscribed").await;
        this
    }

    fn lines(&self) -> Vec<String> {
        let log = fs::read_to_string(self.0.log()).unwrap();
        let is_ours = |line: &&str| {
            ["offered", "ringing", "answered", "ended", "withdrawn", "closed"]
                .iter()
                .any(|word| line.starts_with(&format!("{word}: ")))
        };
        log.lines().filter(is_ours).map(str::to_owned).collect()
    }

    async fn says(&self, text: &str) {
        self.counts(text, 1).await;
    }

    async fn counts(&self, text: &str, count: usize) {
        self.0
            .ready(&format!("it says {text:?}"), SOON, || async {
                let log = fs::read_to_string(self.0.log())?;
                anyhow::ensure!(log.lines().filter(|line| line.starts_with(text)).count() >= count, "{log}");
                Ok(())
            })
            .await
            .unwrap();
    }
}

/// Two calls: one is there before the subscriber and is withdrawn, one is taken away without a last revision.
async fn is_told_once(line: &[&OsStr], address: impl Fn(&Prosody) -> Vec<String>) {
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start(&instance).await.unwrap();
    let pops = Pops::on(&prosody, "1000").await.unwrap();
    pops.publish(ONE, 1, "offered").await.unwrap();
    let address = address(&prosody);
    let address: Vec<&str> = address.iter().map(String::as_str).collect();
    let subscriber = Subscriber::start(&instance, &prosody, line, &address).await;
    pops.publish(ONE, 2, "ringing").await.unwrap();
    pops.publish(ONE, 2, "ringing").await.unwrap();
    pops.publish(ONE, 3, "withdrawn").await.unwrap();
    pops.retract(ONE).await.unwrap();
    pops.publish(TWO, 1, "answered").await.unwrap();
    pops.retract(TWO).await.unwrap();
    subscriber.says(&format!("closed: {TWO}")).await;
    let rest = "Zoë <b>& Søn's, code 0071, calls from 5551001, in support since 2026-11-21T03:00:00.123Z";
    let told = ["offered", "ringing", "withdrawn", "answered"].map(|state| format!("{state}: {rest}"));
    // Some say of the first, which was over, that it is closed as well.
    let lines: Vec<_> = subscriber.lines().into_iter().filter(|line| *line != format!("closed: {ONE}")).collect();
    assert_eq!(lines[..4], told);
    assert_eq!(lines[4..], [format!("closed: {TWO}")]);

    // The server dies and comes back: so does the subscriber.
    prosody.kill().await.unwrap();
    prosody.start_again().await.unwrap();
    let pops = Pops::on(&prosody, "1000").await.unwrap();
    pops.publish(THREE, 1, "offered").await.unwrap();
    subscriber.counts("offered: ", 2).await;
}

#[tokio::test]
async fn the_subscriber_in_python() {
    if !Path::new(SLIXMPP).exists() {
        tracing::warn!("not tested: python3-slixmpp is not installed here");
        return;
    }
    let script = example("subscriber.py");
    is_told_once(&[PYTHON.as_ref(), script.as_os_str()], |prosody| {
        prosody.address().split(':').map(str::to_owned).collect()
    })
    .await;
}

#[tokio::test]
async fn the_subscriber_in_rust() {
    let program = Path::new(env!("CARGO_BIN_EXE_software-sim")).with_file_name("examples").join("subscriber");
    assert!(program.is_file(), "{} is not there: cargo build -p software-sim --examples", program.display());
    is_told_once(&[program.as_os_str()], |prosody| vec![prosody.address()]).await;
}

#[tokio::test]
async fn the_screen_pop_in_the_browser() {
    if !browser::is_installed() || !Path::new(STROPHE).exists() {
        tracing::warn!("not tested: chromium, chromium-driver or libjs-strophe is not installed here");
        return;
    }
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start_for_browsers(&instance).await.unwrap();
    let pops = Pops::on(&prosody, "1000").await.unwrap();
    pops.publish(ONE, 1, "offered").await.unwrap();
    let (browser, page) = (Browser::start(&instance).await.unwrap(), serve().await);
    browser.open(&page).await.unwrap();
    let fill = "const [values] = arguments; const form = document.getElementById('login');
                for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
                form.requestSubmit();";
    let values = json!({ "jid": format!("crm@{DOMAIN}"), "password": prosody.password("crm").unwrap(),
                         "extension": "1000", "server": prosody.websocket().unwrap() });
    browser.run(fill, &[values]).await.unwrap();
    let has = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        move |page: &str| texts.iter().all(|text| page.contains(text))
    };
    let all =
        ["watching extension 1000", "About to ring", "Zoë <b>& Søn's", "0071", "5551001", "support", "Waiting since"];
    browser.shows("who is about to call", SOON, has(&all)).await.unwrap();
    let since = browser.run("return document.querySelector('time').dateTime", &[]).await.unwrap();
    assert_eq!(since, "2026-11-21T03:00:00.123Z");
    pops.publish(ONE, 2, "ringing").await.unwrap();
    browser.shows("that it rings", SOON, has(&["Ringing"])).await.unwrap();
    let picture = browser.picture().await.unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    fs::write(instance.folder().join("page.png"), picture).unwrap();

    // The server dies and comes back, and so does the page: with what the call is by then.
    prosody.kill().await.unwrap();
    browser.shows("that it is not connected", SOON, has(&["not connected"])).await.unwrap();
    prosody.start_again().await.unwrap();
    let pops = Pops::on(&prosody, "1000").await.unwrap();
    pops.publish(ONE, 3, "answered").await.unwrap();
    browser.shows("the talk", SOON, has(&["watching extension 1000", "Talking"])).await.unwrap();
    let cards = browser.run("return document.querySelectorAll('article').length", &[]).await.unwrap();
    assert_eq!(cards, 1);
    pops.publish(ONE, 4, "ended").await.unwrap();
    pops.retract(ONE).await.unwrap();
    browser.shows("the end", SOON, has(&["Call over"])).await.unwrap();
    let over = browser.run("return document.querySelectorAll('article[data-over]').length", &[]).await.unwrap();
    assert_eq!(over, 1);
}

/// The folder of the page on a web server, with Strophe beside it.
async fn serve() -> String {
    let file = |kind: &'static str, path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        get(move || async move { ([("content-type", kind)], text) })
    };
    let router = Router::new()
        .route("/", file("text/html", example("browser/index.html")))
        .route("/pop.css", file("text/css", example("browser/pop.css")))
        .route("/pop.js", file("text/javascript", example("browser/pop.js")))
        .route("/strophe.js", file("text/javascript", STROPHE.into()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

#[test]
fn the_check_of_a_signature_in_the_documentation_takes_ours_and_nothing_else() {
    if !Path::new(PYTHON).exists() {
        tracing::warn!("not tested: python3 is not installed here");
        return;
    }
    let page = include_str!("../../docs/webhooks.md");
    let code = page.split("```python").nth(1).unwrap().split("```").next().unwrap();
    let script = format!("import sys\n{code}\nprint(is_genuine(sys.argv[1], sys.argv[2].encode(), sys.argv[3]))");
    let genuine = |header: &str, body: &str, key: &str| {
        let out = std::process::Command::new(PYTHON).args(["-c", &script, header, body, key]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim() == "True"
    };
    let (key, body, now) =
        ("a key that nobody can guess, 123", "{\"name\":\"Zoë\"}", jiff::Timestamp::now().as_second());
    let header = Key::new(key).unwrap().sign(now, body.as_bytes());
    assert!(genuine(&header, body, key), "{header}");
    assert!(!genuine(&header, "{\"name\":\"Zoe\"}", key));
    assert!(!genuine(&header, body, "another key that nobody can guess"));
    assert!(!genuine(&Key::new(key).unwrap().sign(now - 400, body.as_bytes()), body, key));
}

#[test]
fn the_configuration_of_a_bridge_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("bridge.toml")).unwrap();
    fs::write(folder.path().join("crm.password"), "secret").unwrap();
    fs::write(folder.path().join("webhook.key"), "k".repeat(64)).unwrap();
    let load = |text: &str| {
        fs::write(folder.path().join("bridge.toml"), text).unwrap();
        Config::load(&folder.path().join("bridge.toml"))
    };
    let config = load(&text).unwrap();
    assert_eq!(config.extensions, ["1000", "2000"]);
    // What is commented out is right as well.
    let zammad = text
        .replace("# format = \"json\"", "format = \"zammad\"")
        .replace("\nkey_file", "\n# key_file")
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.split(' ').nth(1) == Some("=") => rest.to_owned(),
            Some(_) | None => line.to_owned(),
        })
        .filter(|line| !line.starts_with("key_file"))
        .collect::<Vec<_>>()
        .join("\n");
    let receiver = load(&zammad).unwrap().receiver;
    assert_eq!((receiver.policy, receiver.timeout, receiver.room), {
        let default = config.receiver;
        (default.policy, default.timeout, default.room)
    });
}
