//! What a pop says beyond the call itself: where the customer's page is, in which form, and what it leaves out.

use serde_json::Value;
use software_sim::client::Event;
use usher_rig::{prosody::PUBSUB, rig::Rig, xmpp::Client};
use xmpp_parsers::{iq::IqPayload, minidom::Element};

use crate::steps::{Crm, SOON, call_support, command, house, sql, wait_for_value};

/// The payload of the only item on the desk of 1000.
async fn payload(client: &Client) -> Element {
    let items = client.items("extension1000").await.unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    items[0].children().next().unwrap().clone()
}

fn link(pop: &Element) -> Option<&str> {
    pop.children().find(|child| child.name() == "customer").unwrap().attr("link")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_has_the_link_of_its_queue_as_it_is_at_that_moment() {
    let template = "UPDATE queues SET join_empty = 'never', leave_empty = 'never', link = 'https://old.example/{code}'";
    let rig = house("link").sql(template).start().await.unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls", "1").await;
    // One change: who is rung has the new link.
    sql(
        &rig,
        "BEGIN; UPDATE queues SET link = 'https://crm.example/customers/{code}?by={number}&is={name}'; \
         INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '1000', true) \
         ON CONFLICT (queue, extension) DO UPDATE SET logged_on = true; COMMIT",
    )
    .await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    let pop = payload(&agent).await;
    assert_eq!(link(&pop), Some("https://crm.example/customers/1111?by=5551001&is=Company%201"));
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_pop_tells_a_crm_the_call_and_a_link_that_the_command_line_verifies() {
    let rig = house("private")
        .logged_on(&["1000"])
        .sql("UPDATE queues SET link = 'https://crm.example/pop?t={token}'")
        .config("pops", "json = true\nprivate = true\nlink_secret_file = \"database.password\"")
        .start()
        .await
        .unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    let pop = payload(&agent).await;
    let text = format!("{pop:?}");
    for told in ["5551001", "1111", "Company 1"] {
        assert!(!text.contains(told), "{told}: {text}");
    }
    let token = link(&pop).unwrap().strip_prefix("https://crm.example/pop?t=").unwrap();
    let output = command(&rig, &["pubsub", "verify", token]).await;
    let claims: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&claims["call"], &claims["customer"]), (&pop.attr("call").unwrap().into(), &1.into()));
    let output = command(&rig, &["pubsub", "verify", &format!("{token}x")]).await;
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("not valid: "), "{complaint}");
    // Members are told all the same, and the operator is told that.
    let check = String::from_utf8(command(&rig, &["check"]).await.stdout).unwrap();
    assert!(check.contains("its announcement has {name}"), "{check}");
    caller.hang_up().await.unwrap();
}

/// The drifts that the audit names, and its exit status.
async fn audit(rig: &Rig, options: &[&str]) -> (i32, Vec<Value>) {
    let output = command(rig, &[&["pubsub", "audit", "--format", "json"], options].concat()).await;
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert!(
        lines.iter().any(|line| line["node"] == "extension1000" && line["subject"] == "crm@usher.test"),
        "{lines:?}"
    );
    (output.status.code().unwrap(), lines.into_iter().filter(|line| !line["drift"].is_null()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_names_who_may_see_what_and_mends_it_beside_the_running_service() {
    let rig = house("audit").logged_on(&["1000"]).start().await.unwrap();
    rig.prosody.add_account("stranger").unwrap();
    assert_eq!(audit(&rig, &[]).await, (0, vec![]));
    let owner = Client::connect(&rig.prosody, "usher").await.unwrap();
    let set = async |payload: &str| {
        let payload = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>{payload}</pubsub>");
        owner.request(PUBSUB, IqPayload::Set(payload.parse().unwrap())).await.unwrap();
    };
    set("<affiliations node='extension1000'><affiliation jid='stranger@usher.test' affiliation='member'/>\
         <affiliation jid='crm@usher.test' affiliation='none'/></affiliations>")
    .await;
    let stranger = Client::connect(&rig.prosody, "stranger").await.unwrap();
    stranger.subscribe("extension1000").await.unwrap();
    set("<delete node='extension3000'/>").await;
    let (status, drifts) = audit(&rig, &[]).await;
    let told: Vec<_> =
        drifts.iter().map(|line| (line["subject"].as_str().unwrap(), line["drift"].as_str().unwrap())).collect();
    assert_eq!(status, 1);
    let expected = [
        ("crm@usher.test", "may neither subscribe nor fetch"),
        ("stranger@usher.test", "may subscribe and fetch"),
        ("node", "there is no such node: the service has not been up since"),
    ];
    assert_eq!(told, expected);
    let (status, drifts) = audit(&rig, &["--fix"]).await;
    assert_eq!(status, 0);
    assert!(drifts.len() == 3 && drifts.iter().all(|line| line["mended"] == true), "{drifts:?}");
    assert_eq!(audit(&rig, &[]).await, (0, vec![]));
    assert!(stranger.items("extension1000").await.is_err());
    let table = String::from_utf8(command(&rig, &["pubsub", "audit"]).await.stdout).unwrap();
    assert!(table.contains("member") && table.contains("owner") && !table.contains("stranger"), "{table}");
    // The service was not disturbed.
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    assert!(payload(&owner).await.attr("test").is_none());
    assert!(!rig.usher().unwrap().log().unwrap().contains("the XMPP link is down"));
    caller.hang_up().await.unwrap();
}

const QUICK: [&str; 6] = ["--offered", "100ms", "--ringing", "100ms", "--answered", "100ms"];

async fn demo(rig: &Rig, arguments: &[&str]) -> (i32, String) {
    let output = command(rig, &[&["demo-pop"], arguments].concat()).await;
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_pop_lives_a_whole_life_is_marked_and_makes_way_for_a_real_one() {
    let rig = house("demopop").logged_on(&["1000"]).start().await.unwrap();
    sql(&rig, "UPDATE queues SET link = 'https://crm.example/customers/{code}'").await;
    let crm = Crm::watch(&rig, "1000").await;
    assert_eq!(demo(&rig, &[&["1000", "1111"], &QUICK[..]].concat()).await, (0, String::new()));
    crm.wait_count("its end", 1, |event| matches!(event, Event::Closed { .. })).await;
    let pops = crm.pops();
    let states: Vec<_> = pops.iter().map(|pop| pop.state.as_str()).collect();
    assert_eq!(states, ["offered", "ringing", "answered", "ended"]);
    assert_eq!((pops[0].customer.name.as_str(), pops[0].queue.as_str()), ("Company 1", "support"));

    for (arguments, expected) in [
        (["7777", "1111"], "there is no extension 7777: see `usher extension list`"),
        (["1000", "0000"], "there is no customer with the code 0000: see `usher customer list`"),
    ] {
        let (status, complaint) = demo(&rig, &arguments).await;
        assert!(status == 1 && complaint.contains(expected), "{complaint}");
    }
    let (status, complaint) = demo(&rig, &["1000", "1111", "--queue", "nowhere"]).await;
    assert!(status == 1 && complaint.contains("no queue nowhere"), "{complaint}");

    // One that is told to stop takes its pop away.
    let config = rig.usher().unwrap().config();
    let mut stopped = tokio::process::Command::new(env!("CARGO_BIN_EXE_usher"));
    stopped.args(["demo-pop", "1000", "1111", "--offered", "10m", "--config"]).arg(config).kill_on_drop(true);
    let mut stopped = stopped.stderr(std::process::Stdio::piped()).spawn().unwrap();
    crm.wait_count("the second one", 2, |event| matches!(event, Event::Pop(pop) if pop.state == "offered")).await;
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let pop = payload(&agent).await;
    assert_eq!((pop.attr("test"), link(&pop)), (Some("true"), Some("https://crm.example/customers/1111")));
    let pid = stopped.id().unwrap().to_string();
    assert!(tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let status = stopped.wait().await.unwrap();
    assert_eq!(status.code(), Some(1));
    crm.wait_count("its end", 2, |event| matches!(event, Event::Closed { .. })).await;
    assert_eq!(crm.pops().last().unwrap().state, "withdrawn");

    // One that was killed is taken away by the next, and that one by a caller.
    let mut killed = tokio::process::Command::new(env!("CARGO_BIN_EXE_usher"));
    let mut killed =
        killed.args(["demo-pop", "1000", "1111", "--offered", "10m", "--config"]).arg(config).spawn().unwrap();
    crm.wait_count("the third one", 3, |event| matches!(event, Event::Pop(pop) if pop.state == "offered")).await;
    killed.kill().await.unwrap();
    let mut next = tokio::process::Command::new(env!("CARGO_BIN_EXE_usher"));
    next.args(["demo-pop", "1000", "1111", "--offered", "10m", "--config"]).arg(config).kill_on_drop(true);
    let next = next.stderr(std::process::Stdio::piped()).spawn().unwrap();
    crm.wait_count("the fourth one", 4, |event| matches!(event, Event::Pop(pop) if pop.state == "offered")).await;
    crm.wait_count("the end of the one that was killed", 3, |event| matches!(event, Event::Closed { .. })).await;
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    let output = next.wait_with_output().await.unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("somebody really calls 1000: the test pop was withdrawn"), "{complaint}");
    let real = payload(&agent).await;
    assert!(real.attr("test").is_none(), "{real:?}");

    let (status, complaint) = demo(&rig, &["1000", "1111"]).await;
    assert!(status == 1 && complaint.contains("is a live pop, of the call"), "{complaint}");
    caller.hang_up().await.unwrap();
}
