//! The program as it is installed, between a real Prosody and a web server.

use std::{fs, path::PathBuf, time::Duration};

use rustix::process::Signal;
use usher_rig::{
    instance::Instance,
    pops::Pops,
    process::{Process, Program},
    prosody::{DOMAIN, Prosody},
    proxy::Proxy,
    wait,
};

use crate::{
    KEY,
    receiver::{Manner, Receiver},
};

const ONE: &str = "0192f3a1-7a4e-7c1b-9d55-000000000001";
const TWO: &str = "0192f3a1-7a4e-7c1b-9d55-000000000002";
const SOON: Duration = Duration::from_secs(20);

/// A bridge that can be started again.
struct Installed {
    instance: Instance,
    program: Program,
    runs: usize,
    log: PathBuf,
}

impl Installed {
    fn new(instance: &Instance, prosody: &Prosody, address: &str, receiver: &str) -> Self {
        let folder = instance.subfolder("bridge").unwrap();
        fs::write(folder.join("password"), prosody.password("crm").unwrap()).unwrap();
        let ca = prosody.certificate().authority.display().to_string();
        let text = format!(
            "state = 'state'\nextensions = ['1000', '2000']\n[xmpp]\njid = 'crm@{DOMAIN}'\npassword_file = 'password'\n\
             address = '{address}'\nca_file = '{ca}'\n[receiver]\nca_file = '{ca}'\n{receiver}\n"
        );
        fs::write(folder.join("key"), KEY).unwrap();
        fs::write(folder.join("bridge.toml"), text).unwrap();
        let program = Program::new(instance, "bridge", env!("CARGO_BIN_EXE_software-sim")).args([
            "bridge".as_ref(),
            "--config".as_ref(),
            folder.join("bridge.toml").as_os_str(),
        ]);
        Self { instance: instance.clone(), program, runs: 0, log: instance.folder().join("bridge.log") }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts it and waits until it is subscribed to the node that is there.
    async fn start(&mut self) -> Process {
        let process = self.program.start(&self.instance).unwrap();
        self.runs += 1;
        self.says("subscribed node=\"extension1000\"", self.runs).await;
        process
    }

    async fn says(&self, text: &str, times: usize) {
        wait::until(&format!("the log says {text} {times} times"), SOON, || async {
            let log = self.log();
            anyhow::ensure!(log.matches(text).count() >= times, "{log}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

/// What a receiver was told of each call: the ids without the calls' long names.
fn short(receiver: &Receiver) -> Vec<String> {
    receiver.ids().iter().map(|id| id.split_once("-0000000000").unwrap().1.to_owned()).collect()
}

#[tokio::test]
async fn calls_are_told_once_over_a_cut_link_a_killed_bridge_and_a_killed_server() {
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start(&instance).await.unwrap();
    let proxy = Proxy::start(&instance, &prosody.address()).await.unwrap();
    let receiver = Receiver::start(|_, _| Manner::Status(204)).await;
    let url = format!("url = 'http://127.0.0.1:{}/'\nkey_file = 'key'", receiver.port);
    let mut bridge = Installed::new(&instance, &prosody, &proxy.address(), &url);
    let pops = Pops::on(&prosody, "1000").await.unwrap();
    let process = bridge.start().await;
    assert!(bridge.log().contains("node extension2000 is not there"), "{}", bridge.log());

    pops.publish(ONE, 1, "offered").await.unwrap();
    pops.publish(ONE, 2, "ringing").await.unwrap();
    receiver.count(2).await;
    proxy.cut();
    pops.publish(ONE, 3, "answered").await.unwrap();
    receiver.count(3).await;
    let pop = receiver.requests().remove(2).json();
    assert_eq!((&pop["pop"]["state"], &pop["pop"]["customer"]["name"]), (&"answered".into(), &"Zoë <b>& Søn's".into()));

    bridge.says(" is delivered", 3).await;
    process.signal(Signal::KILL);
    process.end(SOON).await.unwrap();
    pops.publish(ONE, 4, "ended").await.unwrap();
    pops.retract(ONE).await.unwrap();
    pops.publish(TWO, 1, "offered").await.unwrap();
    let process = bridge.start().await;
    receiver.count(5).await;

    // The node is gone with the server, and the service makes it again a moment later, under the same revisions.
    prosody.kill().await.unwrap();
    prosody.start_again().await.unwrap();
    bridge.says("node extension1000 is not there", 1).await;
    let pops = Pops::on(&prosody, "1000").await.unwrap();
    pops.publish(TWO, 1, "offered").await.unwrap();
    bridge.says("subscribed node=\"extension1000\"", 3).await;
    pops.publish(TWO, 2, "withdrawn").await.unwrap();
    pops.retract(TWO).await.unwrap();
    receiver.count(6).await;

    let status = process.stop(Signal::TERM, SOON).await.unwrap();
    assert!(status.success(), "{status}");
    let mut told = short(&receiver);
    // The end of the first and the beginning of the second are of two calls, which do not wait for each other.
    told[3..5].sort();
    assert_eq!(told, ["01-1000-1", "01-1000-2", "01-1000-3", "01-1000-3-closed", "02-1000-1", "02-1000-2"]);
    let log = bridge.log();
    assert!(!log.contains(KEY) && !log.contains(&prosody.password("crm").unwrap()), "{log}");
}

#[tokio::test]
async fn zammad_is_told_in_its_own_words_and_its_token_stays_secret() {
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start(&instance).await.unwrap();
    // As Zammad does: it refuses a second newCall of one id. Here the answer to the first is lost.
    let zammad = Receiver::start(|request, before| match (request.field("event").as_deref(), before) {
        (Some("newCall"), 0) => Manner::CloseInTheMiddle,
        (Some("newCall"), _) => Manner::Status(500),
        _ => Manner::Status(200),
    })
    .await;
    let folder = instance.subfolder("bridge").unwrap();
    let url = format!("http://127.0.0.1:{}/api/v1/cti/THETOKEN", zammad.port);
    fs::write(folder.join("zammad.url"), url).unwrap();
    let mut bridge = Installed::new(
        &instance,
        &prosody,
        &prosody.address(),
        "format = 'zammad'\nurl_file = 'zammad.url'\n[receiver.agents.1000]\nname = 'Emma Taylor'\nnumber = 'emma'",
    );
    let pops = Pops::on(&prosody, "1000").await.unwrap();
    let process = bridge.start().await;
    for (revision, state) in [(1, "offered"), (2, "ringing"), (3, "answered"), (4, "ended")] {
        pops.publish(ONE, revision, state).await.unwrap();
    }
    let requests = zammad.count(4).await;
    let fields =
        |name: &str| requests.iter().map(|request| request.field(name).unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(fields("event"), ["newCall", "newCall", "answer", "hangup"]);
    assert_eq!(fields("cause"), ["", "", "", "normalClearing"]);
    assert_eq!(fields("answeringNumber"), ["", "", "emma", "emma"]);
    for (name, value) in [("from", "5551001"), ("to", "1000"), ("direction", "in"), ("queue", "support")] {
        assert_eq!(fields(name), [value; 4], "{name}");
    }
    assert_eq!(fields("user[]"), ["Emma Taylor"; 4]);
    assert_eq!(fields("callId"), [const { "0192f3a1-7a4e-7c1b-9d55-000000000001-1000-1" }; 4]);
    assert_eq!(requests[0].path, "/api/v1/cti/THETOKEN");
    bridge.says("hangup of call 0192f3a1-7a4e-7c1b-9d55-000000000001 at 1000 is delivered", 1).await;
    let status = process.stop(Signal::TERM, SOON).await.unwrap();
    let log = bridge.log();
    assert!(status.success() && log.contains("an earlier try must have arrived"), "{log}");
    assert!(!log.contains("THETOKEN") && !log.contains("Zoë"), "{log}");
}
