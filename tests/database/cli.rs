//! The management commands, run as an administrator runs them. Long, because it has a test for each command, over one set of helpers.

use std::{
    fmt::Write,
    fs,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use usher::config::Database;

use crate::fixture::{connect, shared};

/// A configuration file that leads to one database, and the program.
pub struct Admin {
    folder: TempDir,
    pub database: Database,
}

impl Admin {
    pub async fn new() -> Self {
        Self::of(shared().await.database().await)
    }

    pub fn of(database: Database) -> Self {
        let folder = TempDir::new().unwrap();
        let text = format!(
            // How long it takes on this machine is not what is tested.
            "[database]\nhost = \"{}\"\nname = \"{}\"\nuser = \"{}\"\ntimeout = \"30s\"\n[agi]\ndeadline = \"31s\"\n\
             [xmpp]\njid = \"usher@usher.test\"\n\
             [[asterisk]]\nname = \"pbx\"\nurl = \"http://127.0.0.1:8088\"\n",
            database.host, database.name, database.user
        );
        fs::write(folder.path().join("usher.toml"), text).unwrap();
        Self { folder, database }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        // A zone with a summer time, and another one than UTC.
        command
            .env_clear()
            .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
            .arg("--config")
            .arg(self.folder.path().join("usher.toml"))
            .args(arguments);
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Begins and does not wait for the end.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What it printed; it must have succeeded.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complained of; it must have failed so.
    pub fn failed(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
        complaint
    }

    pub fn list(&self, what: &str) -> Vec<Value> {
        serde_json::from_str(&self.done(&[what, "list", "--json"])).unwrap()
    }

    pub fn file(&self, name: &str, text: &[u8]) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub fn customers(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.list("customer").iter().map(|customer| (text(&customer["code"]), text(&customer["name"]))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_what_it_applied_and_then_that_there_is_nothing_to_do() {
    let admin = Admin::of(shared().await.empty().await);
    assert!(admin.failed(1, &["queue", "list"]).contains("usher migrate"));
    let said = admin.done(&["migrate"]);
    let there = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations")).unwrap().count();
    assert!(said.starts_with("applied V1__initial\napplied V"), "{said}");
    assert_eq!(said.lines().count(), there, "{said}");
    assert_eq!(admin.done(&["migrate"]), "the schema is up to date\n");
    assert_eq!(admin.list("queue"), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_can_be_added_listed_changed_and_removed() {
    let admin = Admin::new().await;
    admin.done(&["extension", "add", "4000", "--name", "Zoë", "--jid", "zoe@usher.test"]);
    admin.done(&["extension", "change", "4000", "--interface", "PJSIP/4000-desk"]);
    let added = admin.list("extension").pop().unwrap();
    let expected = serde_json::json!({
        "number": "4000", "name": "Zoë", "jid": "zoe@usher.test", "interface": "PJSIP/4000-desk",
    });
    assert_eq!(added, expected);
    let table = admin.done(&["extension", "list"]);
    assert!(table.contains("PJSIP/1000") && table.contains("Zoë"), "{table}");
    admin.done(&["extension", "remove", "4000"]);
    assert_eq!(admin.list("extension").len(), 3);

    for (arguments, expected) in [
        (&["extension", "add", "1000", "--jid", "x@usher.test"][..], "already an extension"),
        (&["extension", "add", "4000", "--jid", "user1@usher.test"], "another extension has this JID"),
        (&["extension", "change", "4000", "--name", "x"], "no extension 4000"),
        (&["extension", "remove", "4000"], "no extension 4000"),
    ] {
        let complaint = admin.failed(1, arguments);
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
    assert!(admin.failed(2, &["extension", "add", "40/00", "--jid", "x@y"]).contains("1 to 20 letters"));
    assert!(admin.failed(2, &["extension", "change", "1000"]).contains("--jid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_somebody_else_s_is_refused_and_one_s_own_is_not() {
    let admin = Admin::new().await;
    let jid = ["--jid", "user4@usher.test"];
    for interface in ["PJSIP/1000", "pjsip/1000"] {
        let complaint = admin.failed(1, &[&["extension", "add", "4000", "--interface", interface][..], &jid].concat());
        assert!(complaint.contains("extension 1000 is rung at"), "{complaint}");
        let complaint = admin.failed(1, &["extension", "change", "2000", "--interface", interface]);
        assert!(complaint.contains("extension 1000 is rung at"), "{complaint}");
    }
    admin.done(&["extension", "change", "2000", "--interface", "PJSIP/4000"]);
    assert!(admin.failed(1, &[&["extension", "add", "4000"][..], &jid].concat()).contains("extension 2000 is rung at"));
    assert_eq!(admin.list("extension").len(), 3);
    admin.done(&["extension", "change", "2000", "--interface", "PJSIP/4000"]);
    admin.done(&[&["extension", "add", "4000", "--interface", "PJSIP/400"][..], &jid].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_a_queue_s_and_an_extension_s_is_refused_either_way() {
    let admin = Admin::new().await;
    let complaint = admin.failed(1, &["queue", "change", "support", "--number", "1000"]);
    assert!(complaint.contains("extension 1000 is dialled so"), "{complaint}");
    admin.failed(1, &["queue", "add", "sales", "--number", "1000"]);
    admin.done(&["queue", "change", "support", "--number", "4000"]);
    let complaint = admin.failed(1, &["extension", "add", "4000", "--jid", "user4@usher.test"]);
    assert!(complaint.contains("4000 is the number of queue support"), "{complaint}");
    admin.done(&["queue", "change", "support", "--number", ""]);
    admin.done(&["extension", "add", "4000", "--jid", "user4@usher.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_outside_the_folder_of_sounds_is_refused() {
    let admin = Admin::new().await;
    for option in ["--greeting", "--member-greeting", "--recording-prompt", "--periodic-announce"] {
        for sound in ["../secret", "usher/../../x", "usher/a&..", ".."] {
            let complaint = admin.failed(2, &["queue", "change", "support", option, sound]);
            assert!(complaint.contains("leads out of the folder"), "{option} {sound}: {complaint}");
        }
        admin.done(&["queue", "change", "support", option, "custom/a..b"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jid_that_no_server_would_take_is_refused_and_capital_letters_make_no_second_person() {
    let admin = Admin::new().await;
    let before = admin.list("extension");
    for jid in [
        "user4@usher..test",
        "user1",
        "@usher.test",
        "user4@",
        "user4@usher.test/desk",
        "a@b@c",
        "user 4@usher.test",
        "",
    ] {
        for arguments in [["extension", "add", "4000", "--jid", jid], ["extension", "change", "1000", "--jid", jid]] {
            let complaint = admin.failed(2, &arguments);
            assert!(complaint.contains("--jid") && complaint.contains("name@domain"), "{jid:?}: {complaint}");
        }
    }
    assert_eq!(admin.list("extension"), before);
    admin.done(&["extension", "add", "4000", "--jid", "Zoe@Usher.Test"]);
    assert_eq!(admin.list("extension").pop().unwrap()["jid"], "zoe@usher.test");
    let complaint = admin.failed(1, &["extension", "add", "4001", "--jid", "ZOE@usher.test"]);
    assert!(complaint.contains("another extension has this JID"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_an_import_refuses_is_refused_by_every_command_in_the_same_words() {
    let admin = Admin::new().await;
    let before = (admin.list("customer"), admin.list("extension"));
    let long = "x".repeat(201);
    for (name, why) in [
        ("two\nlines", "the name contains a line break or another control character"),
        ("bell\u{7}", "the name contains a line break or another control character"),
        (" Company", "the name begins or ends with a blank"),
        ("Company\u{a0}", "the name begins or ends with a blank"),
        (&long, "the name is longer than 200 characters"),
    ] {
        admin.file("name.csv", format!("code,name\n7001,\"{name}\"\n").as_bytes());
        let complaint = admin.failed(1, &["customer", "import", "name.csv"]);
        assert!(complaint.starts_with(&format!("name.csv:2: {why}\n")), "{name:?}: {complaint}");
        for arguments in [
            &["customer", "add", "7001", name][..],
            &["customer", "change", "1111", "--name", name],
            &["extension", "add", "4000", "--jid", "x@usher.test", "--name", name],
            &["extension", "change", "1000", "--name", name],
        ] {
            let complaint = admin.failed(2, arguments);
            assert!(complaint.contains(why), "{arguments:?}: {complaint}");
        }
    }
    for name in ["", "  "] {
        for arguments in [["customer", "add", "7001", name].as_slice(), &["customer", "change", "1111", "--name", name]]
        {
            let complaint = admin.failed(2, arguments);
            assert!(complaint.contains("the name is empty"), "{arguments:?}: {complaint}");
        }
    }
    for (arguments, what) in [
        (&["queue", "add", "sales", "--label"][..], "label"),
        (&["queue", "change", "support", "--label"], "label"),
        (&["member", "pause", "1000", "--reason"], "reason"),
    ] {
        for text in ["two\nlines", "\u{1b}[31mred"] {
            let complaint = admin.failed(2, &[arguments, &[text]].concat());
            let why = format!("the {what} contains a line break or another control character");
            assert!(complaint.contains(&why), "{arguments:?}: {complaint}");
        }
    }
    assert_eq!((admin.list("customer"), admin.list("extension")), before);
    // An agent without a name is fine, as the default is.
    admin.done(&["extension", "change", "1000", "--name", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_takes_durations_with_a_unit_and_is_not_half_made_by_wrong_ones() {
    let admin = Admin::new().await;
    admin.done(&["queue", "add", "sales", "--label", "Sales", "--ring-time", "20s", "--queue-timeout", "2m"]);
    admin.done(&["queue", "change", "sales", "--greeting", "", "--moh-class", "jazz"]);
    let sales = admin.list("queue").remove(0);
    assert_eq!((&sales["ring_time_seconds"], &sales["queue_timeout_seconds"]), (&20.into(), &120.into()));
    assert_eq!((&sales["greeting"], &sales["moh_class"]), (&"".into(), &"jazz".into()));
    assert!(admin.failed(2, &["queue", "change", "sales", "--ring-time", "15"]).contains("unit"));
    assert!(admin.failed(1, &["queue", "change", "sales", "--ring-time", "1500ms"]).contains("whole seconds"));
    assert!(admin.failed(1, &["queue", "add", "late", "--ring-time", "11m"]).contains("expected 1s to 10m"));
    assert!(admin.failed(2, &["queue", "change", "sales"]).contains("--ring-time"));
    assert!(admin.failed(1, &["queue", "change", "late", "--ring-time", "1m"]).contains("no queue late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_that_cannot_be_filled_is_refused_and_makes_or_changes_no_queue() {
    let admin = Admin::new().await;
    let before = admin.list("queue");
    for (text, why) in [
        ("Call for {nmae}", "{nmae} is not a placeholder: use {queue}, {name}, {code}, {number} or {position}"),
        ("Call for {name", "a placeholder is not closed"),
        ("Call for name}", "a closing brace without an opening one"),
        ("  ", "the announcement is empty"),
    ] {
        for arguments in
            [["queue", "add", "sales", "--announcement", text], ["queue", "change", "support", "--announcement", text]]
        {
            let complaint = admin.failed(1, &arguments);
            assert!(complaint.contains("--announcement") && complaint.contains(why), "{arguments:?}: {complaint}");
        }
    }
    assert_eq!(admin.list("queue"), before);
    for text in ["", "{{{queue}}}: {name} ({code}) from {number}, place {position}"] {
        admin.done(&["queue", "change", "support", "--announcement", text]);
        assert_eq!(admin.list("queue")[0]["announcement"], text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_of_a_queue_can_be_set_shown_and_taken_back() {
    let admin = Admin::new().await;
    admin.done(&["queue", "add", "sales"]);
    let fresh = admin.done(&["queue", "show", "sales"]);
    for expected in ["never", "none", "leastrecent", "20s", "dialplan"] {
        assert!(fresh.contains(expected), "{expected}: {fresh}");
    }
    let set = "queue change support --label Help --announcement {queue} --greeting beep --moh-class jazz --strategy ringall \
        --ring-time 20s --retry 5s --wrap-up 90s --auto-pause-after 3 --weight 2 --sticky 24h \
        --queue-timeout 5m --max-waiting 10 --join-empty paused,wrapup --leave-empty never --overflow queue/sales \
        --announce-frequency 30s --announce-position no --announce-holdtime yes --periodic-announce usher/a&usher/b \
        --periodic-announce-frequency 2m --member-greeting usher/c --recording yes --recording-prompt usher/d --link https://crm.example/{code} --service-level 10s";
    admin.done(&set.split_whitespace().collect::<Vec<_>>());
    let shown = admin.done(&["queue", "show", "support"]);
    for (option, value) in [
        ("--label", "Help"),
        ("--strategy", "ringall"),
        ("--retry", "5s"),
        ("--wrap-up", "90s"),
        ("--auto-pause-after", "3"),
        ("--sticky", "24h"),
        ("--queue-timeout", "5m"),
        ("--max-waiting", "10"),
        ("--join-empty", "paused,wrapup"),
        ("--leave-empty", "never"),
        ("--overflow", "queue/sales"),
        ("--announce-frequency", "30s"),
        ("--announce-position", "no"),
        ("--announce-holdtime", "yes"),
        ("--periodic-announce", "usher/a&usher/b"),
        ("--periodic-announce-frequency", "2m"),
        ("--member-greeting", "usher/c"),
        ("--recording", "yes"),
        ("--recording-prompt", "usher/d"),
        ("--link", "https://crm.example/{code}"),
    ] {
        let line =
            shown.lines().find(|line| line.contains(&format!(" {option} "))).unwrap_or_else(|| panic!("{shown}"));
        assert!(line.contains(&format!(" {value} ")), "{option} {value}: {line}");
    }
    let back = "queue change support --auto-pause-after never --max-waiting none --overflow dialplan";
    admin.done(&back.split_whitespace().collect::<Vec<_>>());
    let queue: Value = serde_json::from_str(&admin.done(&["queue", "show", "support", "--json"])).unwrap();
    for column in ["auto_pause_after", "max_waiting"] {
        assert_eq!(queue[column], Value::Null, "{column}");
    }
    assert_eq!((&queue["overflow"], &queue["wrap_up_seconds"]), (&"dialplan".into(), &90.into()));
    assert_eq!(admin.list("queue")[1], queue, "the list has everything as well");
    assert!(admin.done(&["queue", "list"]).contains("ringall"));
    assert!(admin.failed(1, &["queue", "show", "nowhere"]).contains("no queue nowhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_of_a_new_queue_tells_the_default_that_it_gets() {
    let admin = Admin::new().await;
    admin.done(&["queue", "add", "fresh"]);
    let shown = admin.done(&["queue", "show", "fresh"]);
    // Each option's paragraph, on one line.
    let help = admin.done(&["queue", "add", "--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut options = 0;
    for line in shown.lines().filter(|line| line.contains(" --")) {
        let mut cells = line.split(['│', '┆']).map(str::trim).filter(|cell| !cell.is_empty());
        let (option, value) = (cells.next().unwrap(), cells.next().unwrap());
        let said = help.split_once(&format!("{option} <")).unwrap_or_else(|| panic!("{option}: {help}")).1;
        let said = said.split_once("[default of a new queue: ").unwrap_or_else(|| panic!("{option}: {help}")).1;
        let said = said.split_once("]").unwrap().0;
        let expected = match option {
            "--label" => "its name".to_owned(),
            "--announcement" => format!("in English, '{value}'"),
            _ => value.to_owned(),
        };
        assert_eq!(said, expected, "{option}");
        options += 1;
    }
    assert!(options > 30, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_among_good_ones_changes_nothing_and_says_what_is_expected() {
    let admin = Admin::new().await;
    let before = admin.list("queue");
    for (status, arguments, expected) in [
        (2, &["--strategy", "newest"][..], "rrmemory"),
        (2, &["--join-empty", "paused,asleep"], "wrapup"),
        (2, &["--overflow", "sales"], "queue/NAME"),
        (2, &["--max-waiting", "many"], "none"),
        (1, &["--overflow", "queue/none"], "there is no queue none: see `usher queue list`\n"),
        (1, &["--overflow", "extension/7777"], "there is no extension 7777: see `usher extension list`\n"),
        (1, &["--overflow", "queue/support"], "another queue"),
        (1, &["--max-waiting", "0"], "1 to 1000000"),
        (1, &["--service-level", "0s"], "1s to 24h"),
        (1, &["--retry", "11m"], "0s to 10m"),
        (1, &["--wrap-up", "1500ms"], "whole seconds"),
        (1, &["--greeting", "a b"], "without extension"),
        (1, &["--weight", "-1"], "the weight is out of range: expected 0 to 1000000"),
        (1, &["--auto-pause-after", "-1"], "expected 1 to 1000, or never"),
        (1, &["--max-waiting", "-1"], "expected 1 to 1000000, or none"),
        (1, &["--ring-time", "-5s"], "the ring time is out of range: expected 1s to 10m"),
        (1, &["--wrap-up", "-1m"], "the wrap-up is out of range: expected 0s to 24h"),
        (1, &["--member-greeting", "a&b"], "to members"),
        (1, &["--recording-prompt", "a&b"], "usher/recorded"),
        (1, &["--announce-frequency", "4s"], "5s to 24h"),
        (2, &["--announce-position", "maybe"], "yes or no"),
        (1, &["--periodic-announce", "a&"], "joined by '&'"),
        (1, &["--periodic-announce-frequency", "25h"], "5s to 24h"),
        (2, &["--link", "https://crm.example/{customer}"], "use {code}, {id}"),
        (2, &["--link", "javascript:alert({code})"], "begins with https:// or http://"),
    ] {
        let complaint =
            admin.failed(status, &[&["queue", "change", "support", "--label", "Other"], arguments].concat());
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
    assert_eq!(admin.list("queue"), before);
    assert!(admin.failed(1, &["queue", "add", "new", "--retry", "11m"]).contains("0s to 10m"));
    assert_eq!(admin.list("queue"), before);
    admin.done(&["queue", "add", "new"]);
    admin.done(&["queue", "change", "support", "--overflow", "queue/new"]);
    assert!(admin.failed(1, &["queue", "remove", "new"]).contains("queue change support --overflow dialplan"));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_have_penalties_places_and_kinds() {
    let admin = Admin::new().await;
    admin.done(&["member", "add", "support", "1000", "--static", "--penalty", "3", "--place", "-2"]);
    admin.done(&["member", "add", "support", "2000"]);
    let members = admin.list("member");
    let of =
        |member: &Value| ["kind", "logged_on", "penalty", "place"].map(|column| member[column].to_string()).join(" ");
    assert_eq!(of(&members[0]), "\"static\" true 3 -2");
    assert_eq!(of(&members[1]), "\"dynamic\" false 0 0");
    admin.done(&["member", "change", "support", "1000", "--penalty", "0"]);
    admin.done(&["member", "change", "support", "2000", "--place", "7", "--kind", "static"]);
    admin.done(&["member", "log-off", "support", "1000"]);
    let members = admin.list("member");
    assert_eq!(of(&members[0]), "\"static\" false 0 -2");
    assert_eq!(of(&members[1]), "\"static\" false 0 7");
    assert!(admin.failed(1, &["member", "change", "support", "1000", "--penalty", "-1"]).contains("0 to 1000000"));
    let complaint = admin.failed(1, &["member", "add", "support", "3000", "--penalty", "-1"]);
    assert!(complaint.contains("the penalty is out of range: expected 0 to 1000000"), "{complaint}");
    assert!(admin.failed(1, &["member", "change", "support", "3000", "--penalty", "1"]).contains("not a member"));
    assert!(admin.failed(2, &["member", "change", "support", "1000"]).contains("--penalty"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_paused_for_several_reasons_and_resumes_from_all_but_their_presence() {
    let admin = Admin::new().await;
    admin.done(&["queue", "add", "sales"]);
    for queue in ["sales", "support"] {
        admin.done(&["member", "add", queue, "1000", "--static"]);
    }
    let paused = |admin: &Admin| admin.list("member").iter().map(|member| member["paused"].clone()).collect::<Vec<_>>();
    assert_eq!(paused(&admin), [Value::Null, Value::Null]);
    admin.done(&["member", "pause", "1000", "--reason", "coffee"]);
    admin.done(&["member", "pause", "1000", "--reason", "lunch"]);
    admin.done(&["member", "pause", "1000", "--queue", "support", "--reason", "training"]);
    assert_eq!(paused(&admin), ["manual everywhere: lunch", "manual everywhere: lunch; manual: training"]);
    let sql = "INSERT INTO pauses (extension, queue, kind, reason) VALUES ('1000', 'support', 'auto', '3 unanswered'), \
        ('1000', NULL, 'presence', 'away')";
    connect(&admin.database).await.client.batch_execute(sql).await.unwrap();
    let said = admin.done(&["member", "resume", "1000", "--queue", "support"]);
    assert!(
        said.contains("is resumed in support") && said.contains("stays paused: manual everywhere: lunch"),
        "{said}"
    );
    let said = admin.done(&["member", "resume", "1000"]);
    assert_eq!(said, "extension 1000 is resumed\nit stays paused: presence everywhere: away\n");
    assert_eq!(paused(&admin), ["presence everywhere: away", "presence everywhere: away"]);
    assert!(admin.done(&["member", "resume", "2000"]).contains("had no pause to end"));
    for (arguments, expected) in [
        (&["pause", "7777"][..], "no such extension"),
        (&["pause", "2000", "--queue", "support"], "not a member of this queue"),
        (&["resume", "7777"], "no extension 7777"),
        (&["resume", "2000", "--queue", "support"], "not a member of support"),
    ] {
        let complaint = admin.failed(1, &[&["member"], arguments].concat());
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_depend_on_is_not_removed_and_the_complaint_names_them() {
    let admin = Admin::new().await;
    admin.done(&["member", "add", "support", "1000"]);
    admin.done(&["member", "log-on", "support", "3000"]);
    let complaint = admin.failed(1, &["extension", "remove", "1000"]);
    assert!(complaint.contains("usher member remove support 1000"), "{complaint}");
    let complaint = admin.failed(1, &["queue", "remove", "support"]);
    assert!(complaint.contains("1000, 3000"), "{complaint}");
    admin.done(&["member", "remove", "support", "1000"]);
    admin.done(&["extension", "remove", "1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_logged_on_and_off_and_removed() {
    let admin = Admin::new().await;
    let on = |admin: &Admin| admin.list("member").iter().map(|m| m["logged_on"].as_bool().unwrap()).collect::<Vec<_>>();
    admin.done(&["member", "add", "support", "1000"]);
    assert_eq!(on(&admin), [false]);
    admin.done(&["member", "log-on", "support", "1000"]);
    assert_eq!(on(&admin), [true]);
    admin.done(&["member", "log-off", "support", "1000"]);
    assert_eq!(on(&admin), [false]);
    for (arguments, expected) in [
        (["member", "add", "support", "1000"], "already"),
        (["member", "add", "support", "7777"], "no such extension"),
        (["member", "add", "nowhere", "1000"], "no such queue"),
        (["member", "log-on", "support", "7777"], "no extension 7777"),
        (["member", "log-off", "support", "2000"], "not a member"),
        (["member", "remove", "support", "2000"], "not a member"),
    ] {
        let complaint = admin.failed(1, &arguments);
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
    admin.done(&["member", "remove", "support", "1000"]);
    assert_eq!(on(&admin), Vec::<bool>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_adds_and_renames_by_code_and_can_be_tried_dry() {
    let admin = Admin::new().await;
    let text = "\u{FEFF}code,name\r\n1111,Renamed\r\n2222,Company 2\r\n0071,\"B \\ \"\"C\"\", <D> & 株\"\r\n";
    admin.file("new.csv", text.as_bytes());
    let before = admin.customers();
    let said = admin.done(&["customer", "import", "--dry-run", "new.csv"]);
    assert!(said.contains("1 added, 1 renamed, 1 unchanged; nothing was changed"), "{said}");
    assert_eq!(admin.customers(), before);
    let said = admin.done(&["customer", "import", "new.csv"]);
    assert!(said.contains("1 added, 1 renamed, 1 unchanged"), "{said}");
    let after = admin.customers();
    assert!(after.contains(&("0071".into(), "B \\ \"C\", <D> & 株".into())), "{after:?}");
    assert!(after.contains(&("1111".into(), "Renamed".into())));
    assert_eq!(after.len(), before.len() + 1);
    let single = connect(&admin.database).await;
    let row = single.client.query_one("SELECT id FROM customers WHERE code = '1111'", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "a renamed customer keeps the id");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_names_each_bad_line_and_changes_nothing() {
    let admin = Admin::new().await;
    let before = admin.customers();
    let mut text = b"code,name\n7001,Good\n70x1,Letters\n7002\n7003,A,B\n\n7001,Again\n7004,  \n7005,\xFF\n".to_vec();
    text.extend(format!("7006,{}\n7007,\"two\nlines\"\n12345678901234567,Long\n7008,Good\n", "x".repeat(201)).bytes());
    admin.file("bad.csv", &text);
    let complaint = admin.failed(1, &["customer", "import", "bad.csv"]);
    let lines: Vec<&str> = complaint.lines().collect();
    let expected = [
        "bad.csv:3: customer code \"70x1\" is not valid",
        "bad.csv:4: 1 fields",
        "bad.csv:5: 3 fields",
        "bad.csv:7: code 7001 is on line 2 already",
        "bad.csv:8: the name is empty",
        "bad.csv:9: not UTF-8",
        "bad.csv:10: the name is longer",
        "bad.csv:11: the name contains a line break",
        "bad.csv:13: customer code \"12345678901234567\" is not valid",
        "usher: nothing was imported: 9 of 11 lines are bad",
    ];
    assert_eq!(lines.len(), expected.len(), "{complaint}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{expected}\n{line}");
    }
    assert_eq!(admin.customers(), before);
    admin.file("windows.csv", b"code,name\r\n7001,Good\r\n\r\nx,Bad\r\n");
    assert!(admin.failed(1, &["customer", "import", "windows.csv"]).starts_with("windows.csv:4: "));
    admin.file("header.csv", b"name,code\nx,1\n");
    assert!(
        admin
            .failed(1, &["customer", "import", "header.csv"])
            .contains("header.csv:1: the first line is not `code,name`")
    );
    for header in [&b"code, name\nx,1\n"[..], b"code ,name\nx,1\n", b"\xEF\xBB\xBFcode,name \nx,1\n"] {
        admin.file("blank.csv", header);
        let complaint = admin.failed(1, &["customer", "import", "blank.csv"]);
        assert!(complaint.contains("blank.csv:1: ") && complaint.contains("there is a blank beside"), "{complaint}");
    }
    admin.file("empty.csv", b"");
    assert!(admin.failed(1, &["customer", "import", "empty.csv"]).contains("empty.csv:1"));
    assert!(admin.failed(1, &["customer", "import", "none.csv"]).contains("none.csv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_customers_are_imported_at_once() {
    let admin = Admin::new().await;
    let mut text = String::from("code,name\n");
    for n in 0..100_000 {
        writeln!(text, "{},Company {n}", 10_000_000 + n).unwrap();
    }
    admin.file("many.csv", text.as_bytes());
    assert!(admin.done(&["customer", "import", "many.csv"]).contains("100000 added, 0 renamed, 0 unchanged"));
    assert!(admin.done(&["customer", "import", "many.csv"]).contains("0 added, 0 renamed, 100000 unchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_used_ends_with_status_2_and_a_database_that_cannot_with_1() {
    let admin = Admin::new().await;
    let gone = Admin::of(shared().await.settings("nowhere"));
    assert!(gone.failed(1, &["queue", "list"]).contains("create the database, or check database.name"));
    let complaint =
        gone.command(&["serve"]).env("USHER_XMPP_PASSWORD", "x").env("USHER_ASTERISK_PASSWORD", "x").output().unwrap();
    let complaint = String::from_utf8(complaint.stderr).unwrap();
    assert_eq!(complaint.matches("does not exist").count(), 1, "the cause is said once: {complaint}");
    assert!(complaint.contains("create the database, or check database.name"), "{complaint}");
    admin.file("usher.toml", b"[database]\nnme = 1\n");
    let complaint = admin.failed(2, &["queue", "list"]);
    assert!(complaint.contains("line 2") && complaint.contains("nme"), "{complaint}");
    fs::remove_file(admin.folder.path().join("usher.toml")).unwrap();
    let complaint = admin.failed(2, &["queue", "list"]);
    assert!(complaint.contains("--config") && complaint.matches("os error").count() == 1, "{complaint}");
    assert!(admin.failed(2, &["queue", "lst"]).contains("list"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_filter_that_is_none_ends_check_and_serve_with_status_2_and_names_file_and_key() {
    let admin = Admin::new().await;
    let text = fs::read_to_string(admin.folder.path().join("usher.toml")).unwrap();
    let text = text
        .replace("[xmpp]\n", "[xmpp]\npassword_file = \"p\"\n")
        .replace("[[asterisk]]\n", "[[asterisk]]\npassword_file = \"p\"\n");
    admin.file("p", b"secret\n");
    admin.file("usher.toml", format!("[service]\nlog = \"loud\"\n{text}").as_bytes());
    for command in ["check", "serve"] {
        let complaint = admin.failed(2, &[command]);
        assert!(complaint.contains("usher.toml: service.log: \"loud\" is not a filter"), "{complaint}");
    }
    // From the environment as well.
    admin.file("usher.toml", text.as_bytes());
    let output = admin.command(&["serve"]).env("USHER_LOG", "usher=loud").output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("USHER_LOG") && complaint.contains("usher=loud"), "{complaint}");
}
