//! `usher check` says what is wrong, and what to do.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Output,
    time::Duration,
};

use usher_rig::{
    phones::Behaviour,
    prosody::{PUBSUB, ROOMS},
    rig::Rig,
};

use crate::steps::{SOON, call_support, command, house};

async fn check(rig: &Rig) -> (Output, String) {
    let output = command(rig, &["check"]).await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, table)
}

/// The same, with another configuration.
async fn check_with(rig: &Rig, from: &str, to: &str) -> (Output, String) {
    let config = rig.usher().unwrap().config().to_owned();
    let text = fs::read_to_string(&config).unwrap();
    let other = text.replacen(from, to, 1);
    assert_ne!(text, other);
    fs::write(&config, other).unwrap();
    let found = check(rig).await;
    fs::write(&config, text).unwrap();
    found
}

/// The line of the table about a subject, with its continuation lines joined.
fn row(table: &str, subject: &str) -> String {
    let mut lines = table.lines().skip_while(|line| !line.contains(subject));
    let first = lines.next().unwrap_or_else(|| panic!("nothing about {subject:?} in\n{table}"));
    let more =
        lines.take_while(|line| line.starts_with('│') && line.split('┆').nth(1).is_some_and(|c| c.trim().is_empty()));
    std::iter::once(first).chain(more).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_to_do_about_an_asterisk_that_does_not_answer() {
    let rig = house("checkhangs").start().await.unwrap();
    rig.pbx.freeze().unwrap();
    let (output, table) = check(&rig).await;
    assert!(!output.status.success() && row(&table, "asterisk pbx").contains("does not answer"), "{table}");
    assert!(table.contains("http show status"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_an_application_that_is_not_the_dialplan_s() {
    let rig = house("checkapp").global("USHER_APP=other").start().await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(!output.status.success() && table.contains("(USHER_APP)"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_is_content_with_a_healthy_house_and_disturbs_no_call() {
    let rig = house("checkgood").logged_on(&["1000"]).start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!table.contains("WRONG"), "{table}");
    leg.audio().say_tone(700);
    caller.wait_for_tone(700, SOON).await.unwrap();
    assert!(caller.state().ended.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_the_service_for_rooms_and_names_one_that_has_none() {
    let rooms = format!("rooms = \"{ROOMS}\"");
    let rig = house("checkrooms").config("xmpp", &rooms).start().await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(output.status.success() && row(&table, &format!("rooms {ROOMS}")).contains("ok"), "{table}");
    for (other, expected) in [(PUBSUB, "has no rooms"), ("nowhere.usher.test", "refused")] {
        let (output, table) = check_with(&rig, &rooms, &format!("rooms = \"{other}\"")).await;
        assert_eq!((output.status.code(), table.matches("WRONG").count()), (Some(1), 1), "{table}");
        assert!(row(&table, &format!("rooms {other}")).contains(expected), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_a_wrong_password_of_each_server_and_nothing_else() {
    let rig = house("checkpassword").start().await.unwrap();
    let folder = rig.usher().unwrap().config().parent().unwrap().to_owned();
    for (file, subject) in
        [("database.password", "database"), ("xmpp.password", "xmpp"), ("pbx.password", "asterisk pbx")]
    {
        let right = fs::read(folder.join(file)).unwrap();
        fs::write(folder.join(file), "wrong\n").unwrap();
        let (output, table) = check(&rig).await;
        assert_eq!(output.status.code(), Some(1), "{table}");
        assert_eq!(table.matches("WRONG").count(), 1, "{table}");
        let row = row(&table, subject);
        assert!(row.contains("WRONG") && row.contains("password"), "{row}\n{table}");
        fs::write(folder.join(file), right).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_queue_whose_greeting_asterisk_does_not_have_and_is_content_when_it_has_it() {
    let queues = "INSERT INTO queues (name, label, greeting) VALUES ('sales', 'Sales', 'usher/sales_team'), \
        ('own', 'Own', 'custom/hello'), ('file', 'File', '/srv/hello'), ('silent', 'Silent', '')";
    let rig = house("checkgreeting")
        .sql(queues)
        .config("database", "timeout = \"8s\"")
        .config("agi", "deadline = \"9s\"")
        .start()
        .await
        .unwrap();
    let sounds = rig.pbx.folder().join("data/sounds");
    let add = |file: &str| {
        fs::create_dir_all(sounds.join(file).parent().unwrap()).unwrap();
        fs::copy(sounds.join("en/usher/welcome.wav"), sounds.join(file)).unwrap();
    };
    add("custom/hello.wav");
    let (output, table) = check(&rig).await;
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert_eq!(table.matches("WRONG").count(), 1, "{table}");
    let row = row(&table, "queue sales");
    for part in ["WRONG", "usher/sales_team", "pbx", "sounds/en/usher/sales_team.wav"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    // What it says to do helps.
    add("en/usher/sales_team.wav");
    let (output, table) = check(&rig).await;
    assert!(output.status.success(), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_modules_that_transfers_miss_and_what_to_do_about_each() {
    let rig = house("checkmodules").start().await.unwrap();
    let modules = ["res_pjsip_refer.so", "app_channelredirect.so"];
    let site = rig.pbx.folder().join("etc/site/modules.conf");
    fs::write(&site, modules.map(|module| format!("noload => {module}\n")).concat()).unwrap();
    rig.pbx.kill().await.unwrap();
    rig.pbx.start_again().await.unwrap();
    let (output, table) = check(&rig).await;
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert_eq!(table.matches("WRONG").count(), 2, "{table}");
    for module in modules {
        assert!(table.contains(&format!("load => {module}")), "{module}: {table}");
        rig.pbx.cli(&format!("module load {module}")).await.unwrap();
    }
    // What it says to do helps.
    let (output, table) = check(&rig).await;
    assert!(output.status.success() && !table.contains("bridge_native_rtp"), "{table}");
    // And one that is not to run.
    rig.pbx.cli("module load bridge_native_rtp.so").await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(output.status.success() && row(&table, "bridge_native_rtp.so").contains(" look "), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_phone_that_may_forward_past_the_dialplan() {
    let rig = house("checkforward").start().await.unwrap();
    let file = rig.pbx.folder().join("etc/site/pjsip.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[2000](+)\nredirect_method=uri_core\n")).unwrap();
    rig.pbx.cli("module reload res_pjsip.so").await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(output.status.success(), "{table}");
    let row = row(&table, "redirect_method=uri_core");
    assert!(row.contains("PJSIP/2000") && row.contains(" look "), "{row}");
    assert_eq!(table.matches("redirect_method=uri").count(), 1, "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_a_server_that_is_there_twice_by_two_addresses() {
    let rig = house("checktwin").start().await.unwrap();
    let server = format!("[[asterisk]]\nname = \"pbx\"\nurl = \"http://127.0.0.1:{}\"\n", rig.pbx.http_port());
    let twin = server.replace("pbx", "twin").replace("127.0.0.1", "localhost");
    let config = fs::read_to_string(rig.usher().unwrap().config()).unwrap();
    let password = config[config.find(&server).unwrap()..].lines().nth(3).unwrap();
    let both = format!("{twin}{password}\n{server}");
    let (output, table) = check_with(&rig, &server, &both).await;
    assert!(!output.status.success() && row(&table, "is the same Asterisk as \"twin\"").contains("pbx"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_what_is_allowed_and_cannot_work() {
    let rig = house("checkodd").start().await.unwrap();
    rig.pbx
        .ari()
        .post("asterisk/variable", &[("variable", "USHER_AGI"), ("value", "agi://192.0.2.9:1")])
        .await
        .unwrap();
    let (output, table) = check_with(&rig, "crm@usher.test", "crm@elsewhere.test").await;
    assert!(output.status.success(), "{table}");
    for part in ["USHER_AGI", "crm@elsewhere.test"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert_eq!(table.matches(" look ").count() - table.matches("in use: by a running usher").count(), 2, "{table}");
    // Past the command, which refuses it.
    crate::steps::sql(&rig, "UPDATE extensions SET interface = 'pjsip/1000' WHERE number = '2000'").await;
    let (output, table) = check(&rig).await;
    assert_eq!((output.status.code(), table.matches("WRONG").count()), (Some(1), 1), "{table}");
    assert!(row(&table, "1000 and 2000 are both rung").contains("WRONG"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_server_that_is_down_and_a_schema_that_is_missing() {
    let rig = house("checkdown").own_postgres().start().await.unwrap();
    rig.usher().unwrap().stop().await.unwrap();
    rig.prosody.stop().await.unwrap();
    let (_, table) = check(&rig).await;
    assert!(row(&table, "xmpp").contains("WRONG"), "{table}");
    assert_eq!(table.matches("WRONG").count(), 1, "{table}");
    rig.prosody.start_again().await.unwrap();

    rig.pbx.kill().await.unwrap();
    let (_, table) = check(&rig).await;
    assert!(row(&table, "asterisk pbx").contains("WRONG"), "{table}");
    assert_eq!(table.matches("WRONG").count(), 1, "{table}");
    rig.pbx.start_again().await.unwrap();

    let database = rig.database.as_ref().unwrap();
    let admin = rig.pg.admin(&database.name).await.unwrap();
    admin.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION usher").await.unwrap();
    let (_, table) = check(&rig).await;
    let schema = row(&table, "database");
    assert!(schema.contains("WRONG") && table.contains("migrate"), "{table}");

    rig.pg.stop().await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(row(&table, "database").contains("WRONG"), "{table}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_key_when_the_port_is_for_the_other_kind_of_tls_or_the_domain_is_not_served() {
    let rig = house("checktls").start().await.unwrap();
    let (starttls, direct) = (rig.prosody.address(), rig.prosody.direct_address());
    let (output, table) = check_with(&rig, "[xmpp]\n", "[xmpp]\ntls = \"direct\"\n").await;
    let said = row(&table, "xmpp usher");
    assert!(!output.status.success() && said.contains("WRONG") && said.contains("xmpp.tls"), "{table}");
    let (output, table) = check_with(&rig, &starttls, &direct).await;
    let said = row(&table, "xmpp usher");
    assert!(!output.status.success() && said.contains("WRONG") && said.contains("xmpp.tls"), "{table}");
    let (output, table) = check_with(&rig, "usher@usher.test", "usher@elsewhere.test").await;
    assert!(!output.status.success() && row(&table, "xmpp usher").contains("xmpp.jid"), "{table}");
    let both = format!("address = \"{direct}\"\ntls = \"direct\"");
    let (output, table) = check_with(&rig, &format!("address = \"{starttls}\""), &both).await;
    assert!(output.status.success(), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_questions_that_would_not_come_here_or_be_refused() {
    let rig = house("checkasks").start().await.unwrap();
    for (line, part) in [
        ("allow = [\"192.0.2.9\"]", "agi.allow"),
        ("announce = \"agi://192.0.2.9:4573\"", "agi.announce"),
        ("announce = \"agi://nobody.invalid:4573\"", "agi.announce"),
    ] {
        let (output, table) = check_with(&rig, "[agi]\n", &format!("[agi]\n{line}\n")).await;
        assert!(output.status.success(), "{table}");
        let doubts = table.matches(" look ").count() - table.matches("in use: by a running usher").count();
        assert_eq!(doubts, 1, "{line}: {table}");
        assert!(table.contains(part), "{line}: {table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_a_running_usher_from_another_program_on_its_ports() {
    let rig = house("checkports").start().await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(output.status.success(), "{table}");
    assert_eq!(table.matches("in use: by a running usher").count(), 2, "{table}");
    let usher = rig.usher().unwrap();
    let agi: SocketAddr = usher.ready_body().await.unwrap()["agi"].as_str().unwrap().parse().unwrap();
    let health = SocketAddr::from((Ipv4Addr::LOCALHOST, usher.health_port()));
    usher.stop().await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(output.status.success() && !table.contains("in use"), "{table}");
    let mut others = Vec::new();
    for (count, address) in [(1, agi), (2, health)] {
        others.push(TcpListener::bind(address).unwrap());
        let (output, table) = check(&rig).await;
        assert!(!output.status.success(), "{table}");
        assert_eq!(table.matches("in use by another program").count(), count, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_the_component_and_takes_nobodys_place() {
    let rig = house("checkcomponent").component().start().await.unwrap();
    let (output, table) = check(&rig).await;
    assert!(output.status.success(), "{table}");
    let found = row(&table, "component contacts.usher.test");
    assert!(found.contains("the secret was not tried"), "{found}");
    let usher = rig.usher().unwrap();
    assert_eq!(usher.log().unwrap().matches("queues are contacts").count(), 1, "it was thrown out");
    let (_, table) = check_with(&rig, "component = \"contacts.usher.test\"", "component = \"no.usher.test\"").await;
    assert!(row(&table, "component no.usher.test").contains("has no component no.usher.test"), "{table}");
    usher.stop().await.unwrap();
    let (_, table) = check(&rig).await;
    let found = row(&table, "component contacts.usher.test");
    assert!(found.contains("ok") && found.contains("let in"), "{found}");
    let secret = usher.config().parent().unwrap().join("component.secret");
    fs::write(&secret, "wrong\n").unwrap();
    let (output, table) = check(&rig).await;
    let found = row(&table, "component contacts.usher.test");
    assert!(!output.status.success() && found.contains("WRONG") && found.contains("the secret"), "{found}");
}
