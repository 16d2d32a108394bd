//! The bridge against web servers that fail, hang, redirect and die, and behind a real XMPP server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod receiver;
mod whole;

use std::{fs, path::Path, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use receiver::{Manner, Receiver};
use sha2::Sha256;
use software_sim::{
    bridge::{Bridge, config::Config, store::Store},
    client::{Event, Told},
    pop::{Caller, Customer, Pop},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use usher_rig::{certificate::Certificate, instance::Instance, wait};

const KEY: &str = "a key that nobody can guess, 123";
const NODE: &str = "extension1000";

/// A bridge whose events the test makes.
struct Running {
    events: mpsc::Sender<Result<Told, String>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The configuration of a test, in a folder.
fn config(folder: &Path, url: &str, further: &str) -> Config {
    fs::write(folder.join("password"), "secret\n").unwrap();
    fs::write(folder.join("key"), KEY).unwrap();
    let text = format!(
        "state = 'state'\nextensions = ['1000']\n[xmpp]\njid = 'crm@example.org'\npassword_file = 'password'\n\
         [receiver]\nurl = '{url}'\nkey_file = 'key'\n{further}\n"
    );
    fs::write(folder.join("bridge.toml"), text).unwrap();
    Config::load(&folder.join("bridge.toml")).unwrap()
}

impl Running {
    async fn start(folder: &Path, receiver: &Receiver, further: &str) -> Self {
        let url = format!("http://127.0.0.1:{}/usher?site=1", receiver.port);
        Self::run(config(folder, &url, further), NODE).await
    }

    async fn run(config: Config, node: &str) -> Self {
        let (events, told) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let mut bridge = Bridge::open(&config, &[node.to_owned()]).await.unwrap();
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            bridge.work(told, &stopping).await.unwrap();
            bridge.finish().await.unwrap();
        });
        Self { events, stop, task }
    }

    async fn pop(&self, call: &str, revision: u32, state: &str) {
        self.tell(Event::Pop(pop(call, revision, state))).await;
    }

    async fn tell(&self, event: Event) {
        self.events.send(Ok(Told { node: Some(NODE.into()), event })).await.unwrap();
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As if the process were killed. What it was writing at that moment, on another thread, is let through: a killed
    /// process has no such thread, and the file is nobody's at once.
    async fn kill(self, folder: &Path) {
        self.task.abort();
        let _cancelled = self.task.await;
        let is_free = || async { Ok(Store::open(&folder.join("state"), "json").map(drop)?) };
        wait::until("the file is nobody's", Duration::from_secs(20), is_free).await.unwrap();
    }
}

fn pop(call: &str, revision: u32, state: &str) -> Pop {
    let at: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
    Pop {
        state: state.into(),
        call: call.into(),
        revision,
        extension: "1000".into(),
        queue: "support".into(),
        customer: Customer { id: 1, code: "0071".into(), name: "Ção & \"Co\"".into(), link: None },
        caller: Caller { number: "2000".into(), name: String::new() },
        entered: at,
        changed: at,
        private: false,
        test: false,
    }
}

#[tokio::test]
async fn a_pop_is_told_signed_in_order_and_a_failure_is_tried_again_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|request, before| {
        Manner::Status(if before == 0 && request.id() == "a-1000-2" { 500 } else { 200 })
    })
    .await;
    let bridge = Running::start(folder.path(), &receiver, "").await;
    for (revision, state) in [(1, "offered"), (2, "ringing"), (2, "ringing"), (3, "answered"), (4, "ended")] {
        bridge.pop("a", revision, state).await;
    }
    bridge.tell(Event::Closed { call: "a".into() }).await;
    let requests = receiver.count(5).await;
    assert_eq!(receiver.ids(), ["a-1000-1", "a-1000-2", "a-1000-2", "a-1000-3", "a-1000-4"]);
    for request in &requests {
        assert_eq!(
            (request.path.as_str(), request.headers["content-type"].as_str()),
            ("/usher?site=1", "application/json")
        );
        let (time, signature) = request.headers["x-usher-signature"].split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        assert!((Timestamp::now().as_second() - time.parse::<i64>().unwrap()).abs() < 60);
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
        mac.update(format!("{time}.{}", request.body).as_bytes());
        let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature, expected);
    }
    let last = requests.last().unwrap().json();
    assert_eq!(
        (&last["last"], &last["pop"]["state"], &last["pop"]["customer"]["name"]),
        (&true.into(), &"ended".into(), &"Ção & \"Co\"".into())
    );
    bridge.end().await;
    assert_eq!(receiver.requests().len(), 5, "the retraction after the end is no second end");
}

#[tokio::test]
async fn a_call_whose_receiver_hangs_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|request, before| match request.id().as_str() {
        "a-1000-1" if before < 2 => Manner::Hang,
        _ => Manner::Status(200),
    })
    .await;
    let bridge = Running::start(folder.path(), &receiver, "timeout = '300ms'").await;
    bridge.pop("a", 1, "offered").await;
    receiver.count(1).await;
    bridge.pop("a", 2, "withdrawn").await;
    bridge.pop("b", 1, "offered").await;
    receiver.until("the other call", |all| all.iter().any(|request| request.id() == "b-1000-1")).await;
    assert!(!receiver.ids().contains(&"a-1000-2".into()), "{:?}", receiver.ids());
    receiver.until("the end of the first", |all| all.iter().any(|request| request.id() == "a-1000-2")).await;
    let of_a: Vec<_> = receiver.ids().into_iter().filter(|id| id.starts_with('a')).collect();
    assert_eq!(of_a, ["a-1000-1", "a-1000-1", "a-1000-1", "a-1000-2"]);
    bridge.end().await;
}

#[tokio::test]
async fn what_is_refused_or_redirected_is_dropped_at_once_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Receiver::start(|_, _| Manner::Status(200)).await;
    let port = elsewhere.port;
    let receiver = Receiver::start(move |request, _| match request.id().as_str() {
        "a-1000-1" => Manner::Redirect(port),
        "a-1000-2" => Manner::Status(404),
        _ => Manner::Status(200),
    })
    .await;
    let bridge = Running::start(folder.path(), &receiver, "").await;
    for (revision, state) in [(1, "offered"), (2, "ringing"), (3, "withdrawn")] {
        bridge.pop("a", revision, state).await;
    }
    receiver.count(3).await;
    bridge.end().await;
    assert_eq!(receiver.ids(), ["a-1000-1", "a-1000-2", "a-1000-3"]);
    assert_eq!(elsewhere.requests().len(), 0, "a redirection is not followed");
}

#[tokio::test]
async fn a_connection_that_is_closed_in_the_middle_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_, before| match before {
        0 => Manner::CloseInTheMiddle,
        _ => Manner::Status(200),
    })
    .await;
    let bridge = Running::start(folder.path(), &receiver, "").await;
    bridge.pop("a", 1, "offered").await;
    receiver.count(2).await;
    bridge.end().await;
    assert_eq!(receiver.ids(), ["a-1000-1", "a-1000-1"]);
}

#[tokio::test]
async fn a_receiver_that_fails_too_long_misses_that_and_is_told_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|request, before| match request.id().as_str() {
        "a-1000-1" => Manner::Status(503),
        _ if before == 0 => Manner::Status(503),
        _ => Manner::Status(200),
    })
    .await;
    let bridge = Running::start(folder.path(), &receiver, "tries = 2").await;
    bridge.pop("a", 1, "offered").await;
    bridge.pop("a", 2, "withdrawn").await;
    receiver.count(4).await;
    bridge.end().await;
    assert_eq!(receiver.ids(), ["a-1000-1", "a-1000-1", "a-1000-2", "a-1000-2"]);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_yet_is_told_when_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let instance = Instance::new().unwrap();
    let port = instance.port().unwrap();
    let bridge = Running::run(config(folder.path(), &format!("http://127.0.0.1:{port}/"), ""), NODE).await;
    for (revision, state) in [(1, "offered"), (2, "ringing"), (3, "withdrawn")] {
        bridge.pop("a", revision, state).await;
    }
    let receiver = Receiver::start_at(port).await;
    receiver.count(3).await;
    bridge.end().await;
    assert_eq!(receiver.ids(), ["a-1000-1", "a-1000-2", "a-1000-3"]);
}

#[tokio::test]
async fn after_a_kill_what_was_not_answered_is_sent_and_what_was_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|request, before| match request.id().as_str() {
        "b-1000-2" if before == 0 => Manner::Hang,
        _ => Manner::Status(200),
    })
    .await;
    let bridge = Running::start(folder.path(), &receiver, "").await;
    for (call, revision, state) in
        [("a", 1, "offered"), ("a", 2, "withdrawn"), ("a", 3, "offered"), ("b", 1, "offered"), ("b", 2, "withdrawn")]
    {
        bridge.pop(call, revision, state).await;
    }
    // Of a call, the next goes out when the last is answered and that is kept.
    receiver.count(5).await;
    bridge.kill(folder.path()).await;
    let bridge = Running::start(folder.path(), &receiver, "").await;
    // A server repeats what it has.
    bridge.pop("a", 2, "withdrawn").await;
    bridge.pop("a", 3, "offered").await;
    bridge.tell(Event::Closed { call: "b".into() }).await;
    bridge.tell(Event::Closed { call: "a".into() }).await;
    receiver
        .until("both ends", |all| {
            let has = |id: &str, count| all.iter().filter(|request| request.id() == id).count() == count;
            has("a-1000-3-closed", 1) && has("b-1000-2", 2)
        })
        .await;
    bridge.end().await;
    let ids = receiver.ids();
    assert_eq!(ids.iter().filter(|id| *id == "a-1000-2").count(), 1, "{ids:?}");
    assert!(!ids.contains(&"b-1000-2-closed".into()), "{ids:?}");
}

#[tokio::test]
async fn a_desk_that_is_not_watched_any_more_leaves_no_call_without_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_, _| Manner::Status(200)).await;
    let bridge = Running::start(folder.path(), &receiver, "").await;
    bridge.pop("a", 1, "ringing").await;
    receiver.count(1).await;
    bridge.end().await;
    let url = format!("http://127.0.0.1:{}/", receiver.port);
    let bridge = Running::run(config(folder.path(), &url, ""), "extension2000").await;
    let requests = receiver.count(2).await;
    assert_eq!((requests[1].id().as_str(), &requests[1].json()["last"]), ("a-1000-1-closed", &true.into()));
    bridge.end().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
    for folder in [&ours, &other] {
        fs::create_dir(folder).unwrap();
    }
    let certificate = Certificate::make(&ours, &["localhost"]).unwrap();
    let stranger = Certificate::make(&other, &["localhost"]).unwrap();
    let receiver = Receiver::start_tls(acceptor(&certificate)).await;
    let impostor = Receiver::start_tls(acceptor(&stranger)).await;
    let ca = format!("ca_file = '{}'\ntries = 1", certificate.authority.display());
    for (receiver, told) in [(&impostor, 0), (&receiver, 1)] {
        let url = format!("https://localhost:{}/usher", receiver.port);
        let state = tempfile::tempdir().unwrap();
        let bridge = Running::run(config(state.path(), &url, &ca), NODE).await;
        bridge.pop("a", 1, "offered").await;
        bridge.pop("a", 2, "withdrawn").await;
        if told > 0 {
            receiver.count(2).await;
        } else {
            receiver.connected(2).await;
        }
        bridge.end().await;
        assert_eq!(receiver.requests().len(), 2 * told);
    }
}

fn acceptor(certificate: &Certificate) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = CertificateDer::pem_file_iter(&certificate.certificate).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    std::sync::Arc::new(config).into()
}
