//! `usher member`: who is in which queue, logged on, or paused.

use serde_json::Value;

use super::Admin;
use crate::fixture::connect;

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
async fn an_agent_is_paused_for_several_reasons_and_resumes_from_all_of_them() {
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
    // Who says so is there, whatever their client shows.
    assert_eq!(said, "extension 1000 is resumed\n");
    assert_eq!(paused(&admin), [Value::Null, Value::Null]);
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
