//! The rig as a whole: it comes up, stands beside another, shows what phones and clients do, and leaves nothing.
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use usher_rig::{
    instance::Instance,
    pbx::PhoneState,
    phones::{Behaviour, CallSpec, Ears, PhoneEvent},
    process::Program,
    prosody::PUBSUB,
    proxy::Proxy,
    rig::Rig,
    wait,
    xmpp::Client,
};
use xmpp_parsers::{iq::IqPayload, message::Message, minidom::Element};

const SOON: Duration = Duration::from_secs(10);
/// Set in the process that is killed.
const HOLDER: &str = "USHER_RIG_TEST_HOLDER";

#[tokio::test]
async fn two_rigs_stand_side_by_side_and_each_has_its_own() {
    let begin = Instant::now();
    let (one, two) = tokio::join!(Rig::builder().start(), Rig::builder().members(6).start());
    let (one, two) = (one.unwrap(), two.unwrap());
    println!("two rigs up after {:?}", begin.elapsed());
    assert_eq!(two.phones.all().count(), 6);
    assert!(two.pbx.registered("1003").await.unwrap());
    assert!(one.pbx.registered("1003").await.is_err(), "the other rig's phone is not ours");
}

#[tokio::test]
async fn phones_reject_ignore_and_lose_their_cable() {
    let rig = Rig::builder().global("USHER_NO_KEY_SECONDS=1").start().await.unwrap();
    let caller = rig.phones.phone("1000").unwrap();
    let called = rig.phones.phone("2000").unwrap();

    for (behaviour, cause) in [(Behaviour::Reject, 21), (Behaviour::Busy, 17)] {
        called.behave(behaviour);
        let rings = called.rings_so_far();
        let leg = caller.dial("2000").await.unwrap();
        called.rung(rings + 1, SOON).await.unwrap();
        assert_eq!(leg.hung_up(SOON).await.unwrap().cause, cause, "{behaviour:?}");
    }

    called.behave(Behaviour::Ignore);
    let leg = caller.dial("2000").await.unwrap();
    let rung = called.rung(3, SOON).await.unwrap();
    leg.wait_for("ringing", SOON, |state| state.ringing.is_some()).await.unwrap();
    leg.hang_up().await.unwrap();
    rung.hung_up(SOON).await.unwrap();
    assert!(matches!(called.events().first(), Some(PhoneEvent::Ringing { number, .. }) if number == "1000"));

    called.unplug();
    rig.pbx.wait_for_phone("2000", PhoneState::Offline, SOON).await.unwrap();
    called.plug();
    rig.pbx.wait_for_phone("2000", PhoneState::Online, SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test]
async fn a_caller_without_a_number_shows_none() {
    let rig = Rig::builder().start().await.unwrap();
    let spec = CallSpec { from: None, to: "0000".into(), ears: Ears::Closed };
    let caller = rig.phones.call(&spec).await.unwrap();
    caller.answered(SOON).await.unwrap();
    let channels = rig.pbx.channels().await.unwrap();
    let number = channels[0].pointer("/caller/number").and_then(|number| number.as_str()).unwrap_or_default();
    assert!(["", "anonymous"].contains(&number), "{number:?}");
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test]
async fn an_agents_client_gets_messages_and_only_the_service_makes_nodes() {
    let rig = Rig::builder().start().await.unwrap();
    let usher = Client::connect(&rig.prosody, "usher").await.unwrap();
    let user = Client::connect(&rig.prosody, "user1").await.unwrap();
    let text = "Support: Müller & Söhne".to_owned();
    let to = user.jid().clone().into();
    usher.send(Message::chat(Some(to)).with_body(String::new().into(), text.clone()).into()).await.unwrap();
    user.wait_for_message(SOON, |message| message.body.as_deref() == Some(&text)).await.unwrap();

    let node = |name: &str| -> IqPayload {
        let xml = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='{name}'/></pubsub>");
        IqPayload::Set(xml.parse::<Element>().unwrap())
    };
    usher.request(PUBSUB, node("extension1000")).await.unwrap();
    assert!(user.request(PUBSUB, node("mine")).await.is_err(), "a user may not make nodes");
    usher.publish("extension1000", "a", "<pop xmlns='urn:usher:pop:1'/>".parse().unwrap()).await.unwrap();
    assert_eq!(usher.items("extension1000").await.unwrap().len(), 1);
    user.subscribe("extension1000").await.unwrap();
    let denied = user.publish("extension1000", "b", "<pop xmlns='urn:usher:pop:1'/>".parse().unwrap()).await;
    assert!(denied.is_err(), "a user may not publish");
}

#[tokio::test]
async fn a_proxy_passes_swallows_and_cuts() {
    let rig = Rig::builder().start().await.unwrap();
    let proxy = Proxy::start(&rig.instance, &format!("127.0.0.1:{}", rig.pg.port())).await.unwrap();
    let mut database = rig.pg.empty_database("proxy").await.unwrap();
    database.port = proxy.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let client = database.connect().await.unwrap();
    proxy.tap();
    client.simple_query("SELECT 4711").await.unwrap();
    assert!(proxy.tapped().iter().any(|tapped| tapped.bytes.windows(4).any(|bytes| bytes == b"4711")));
    proxy.blackhole();
    assert!(tokio::time::timeout(Duration::from_millis(300), client.simple_query("SELECT 1")).await.is_err());
    assert_eq!(proxy.connections(), 1);
    proxy.cut();
    wait::until("the client sees the cut", SOON, || async {
        if client.is_closed() { Ok(()) } else { anyhow::bail!("still open") }
    })
    .await
    .unwrap();
    proxy.heal();
    database.connect().await.unwrap().simple_query("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn after_kill_9_nothing_of_a_rig_is_left_within_5_seconds() {
    if std::env::var_os(HOLDER).is_some() {
        return hold().await.unwrap();
    }
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "after_kill_9_nothing_of_a_rig_is_left_within_5_seconds", "--nocapture"])
        .env(HOLDER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let folders: Vec<PathBuf> = lines
        .map(|line| line.unwrap())
        .find_map(|line| Some(line.strip_prefix("HOLDING ")?.split(' ').map(PathBuf::from).collect()))
        .expect("the holder has a rig");
    let pids: Vec<String> = folders.iter().flat_map(|folder| names(&folder.join("pids"))).collect();
    let outside: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| {
            fs::read_to_string(folder.join("folders"))
                .unwrap_or_default()
                .lines()
                .map(PathBuf::from)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(outside.len(), 2, "two Asterisk servers");
    assert!(pids.len() >= 4, "{pids:?}");
    assert!(pids.iter().all(|pid| Path::new("/proc").join(pid).exists()), "all run");
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait::until("nothing is left", Duration::from_secs(5), || async {
        let processes = pids.iter().map(|pid| Path::new("/proc").join(pid));
        let left: Vec<_> =
            processes.chain(folders.clone()).chain(outside.clone()).filter(|path| path.exists()).collect();
        if left.is_empty() { Ok(()) } else { anyhow::bail!("{left:?}") }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_a_child_has_started_and_left_behind_ends_with_the_rig() {
    ends_with_the_rig("exec sleep 600").await.unwrap();
}

/// A process that becomes another program has no environment for a moment, and so no mark.
#[tokio::test]
async fn what_always_becomes_another_program_ends_with_the_rig() {
    let again = r#"again='[ $(($(date +%s) - $1)) -lt 60 ] && exec sh -c "$2" stray "$1" "$2"'; exec sh -c "$again" stray "$(date +%s)" "$again""#;
    ends_with_the_rig(again).await.unwrap();
}

async fn ends_with_the_rig(what: &str) -> anyhow::Result<()> {
    let instance = Instance::new()?;
    let (note, stray) = (instance.folder().join("note"), instance.folder().join("stray"));
    fs::write(&stray, format!("echo $$ >{0}.new; mv {0}.new {0}; {what}", note.display()))?;
    // In a session of its own, as a browser is that its driver has started; and the one that started it has ended.
    let program = format!("setsid sh {} &", stray.display());
    let parent = Program::new(&instance, "parent", "sh").args(["-c", &program]).start(&instance)?;
    parent.end(SOON).await?;
    let pid = wait::until("it runs", SOON, || async { Ok(fs::read_to_string(&note)?) }).await?;
    let process = Path::new("/proc").join(pid.trim());
    anyhow::ensure!(process.join("exe").exists(), "it has ended by itself");
    drop((parent, instance));
    // Nothing to be executed once it has ended, also while nobody has asked for its exit status.
    anyhow::ensure!(!process.join("exe").exists(), "{:?} lives on", fs::read_to_string(process.join("cmdline")));
    Ok(())
}

async fn hold() -> anyhow::Result<()> {
    let rig = Rig::builder().own_postgres().start().await?;
    // The hardest case: a server that stands still hears no signal but SIGKILL.
    rig.pg.freeze()?;
    writeln!(std::io::stdout(), "HOLDING {}", rig.instance.folder().display())?;
    std::future::pending().await
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
