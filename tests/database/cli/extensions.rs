//! `usher extension`, and what is refused of numbers, phones, JIDs and names.

use super::Admin;

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
