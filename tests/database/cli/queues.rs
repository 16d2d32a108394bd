//! `usher queue`: every setting, and what is refused of each.

use serde_json::Value;

use super::Admin;

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
        --ring-time 20s --retry 5s --wrap-up 90s --auto-pause-after 3 --weight 2 --sticky 24h --claim 15s --presence-away 5m --presence-offline 10m \
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
        ("--claim", "15s"),
        ("--presence-away", "5m"),
        ("--presence-offline", "10m"),
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
