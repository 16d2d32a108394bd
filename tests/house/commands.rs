//! What an operator does: checks, stops, and what callers meet while the service is away.

use std::{fs, process::Output, time::Duration};

use usher_rig::{
    phones::{Behaviour, CallSpec},
    rig::Rig,
};

use crate::steps::{SOON, call_support, command, house, wait_for_value};

const WITHIN: Duration = Duration::from_secs(12);

async fn check(rig: &Rig) -> (Output, String) {
    let output = command(rig, &["check"]).await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, table)
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
    assert!(output.status.success(), "{table}");
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
async fn check_names_what_is_allowed_and_cannot_work() {
    let rig = house("checkodd").start().await.unwrap();
    rig.pbx
        .ari()
        .post("asterisk/variable", &[("variable", "USHER_AGI"), ("value", "agi://192.0.2.9:1")])
        .await
        .unwrap();
    let config = rig.usher().unwrap().config().to_owned();
    let text = fs::read_to_string(&config).unwrap();
    let other = text.replacen("crm@usher.test", "crm@elsewhere.test", 1);
    assert_ne!(text, other);
    fs::write(&config, other).unwrap();
    let (output, table) = check(&rig).await;
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
async fn sigterm_gives_waiting_callers_to_app_queue_leaves_talks_alone_and_ends_well() {
    let rig = house("sigterm").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let talking = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    let waiting = call_support(&rig, "5551002", "2222").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls", "2").await;

    let begin = std::time::Instant::now();
    let status = rig.usher().unwrap().stop().await.unwrap();
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < WITHIN, "{:?}", begin.elapsed());
    waiting.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    leg.audio().say_tone(700);
    talking.wait_for_tone(700, SOON).await.unwrap();
    assert_eq!(phone.rings_so_far(), 1);
    talking.hang_up().await.unwrap();
    leg.hang_up().await.unwrap();
    phone.rung(2, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert_eq!(crate::steps::ringings(phone).pop().unwrap().1, "5551002");
    wait_for_value(&rig, "SELECT outcome FROM calls WHERE caller_number = '5551002'", "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_service_is_away_callers_are_told_and_3000_rings_and_members_are_told_too() {
    let rig = house("away").start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    rig.usher().unwrap().kill().await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    let member = rig.phones.phone("1000").unwrap().dial("*56466*").await.unwrap();
    member.wait_for_prompt(&prompts, "not_available", SOON).await.unwrap();
    member.hung_up(SOON).await.unwrap();
    let sales = rig.phones.call(&CallSpec::new("5551002", "0000")).await.unwrap();
    sales.wait_for_prompt(&prompts, "welcome", SOON).await.unwrap();
    sales.press("2").await.unwrap();
    rig.phones.phone("2000").unwrap().rung(1, SOON).await.unwrap();
}
