//! Imports of customers that run at once.

use std::fmt::Write;

use crate::{
    cli::Admin,
    fixture::{connect, eventually},
};

/// Enough for the server to look up the customers of a short file one by one, in the order of the file.
const CUSTOMERS: u32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_imports_at_once_each_tells_what_it_did_itself() {
    at_once(b"code,name\n10000001,Two\n10000002,Two\n10000003,Two\n20000001,Two\n20000002,Two\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_imports_of_the_same_customers_in_opposite_orders_do_not_wait_for_each_other_for_ever() {
    at_once(b"code,name\n20000002,Two\n20000001,Two\n10000003,Two\n10000002,Two\n10000001,Two\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_quotes_are_broken_is_refused_line_by_line_and_nothing_of_it_is_stored() {
    let admin = Admin::new().await;
    let before = admin.customers();
    let text = "code,name\n8000,\"Good, \"\"whole\"\" Ltd\"\n8002,\"x\"y\n\"8001\"9,z\n8003,5\" Pipes\n8004, \"Blank\"\n8005,Good\n8006,\"Trunca";
    admin.file("broken.csv", text.as_bytes());
    let complaint = admin.failed(1, &["customer", "import", "broken.csv"]);
    let expected = [
        "broken.csv:3: text behind a field in quotes",
        "broken.csv:4: text behind a field in quotes",
        "broken.csv:5: a quote within a field",
        "broken.csv:6: a quote within a field",
        "broken.csv:8: a quote is opened and never closed",
        "usher: nothing was imported: 5 of 7 lines are bad",
    ];
    let lines: Vec<&str> = complaint.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{complaint}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{expected}\n{line}");
    }
    assert_eq!(admin.customers(), before);
    // Lines that end as they did on a Mac of old.
    admin.file("old.csv", b"code,name\r8001,A\r80x2,B\r8003,\r");
    let complaint = admin.failed(1, &["customer", "import", "old.csv"]);
    assert!(complaint.contains("old.csv:3: ") && complaint.contains("old.csv:4: "), "{complaint}");
    admin.file("header.csv", b"\"code\"x,name\n8001,One\n");
    assert!(
        admin.failed(1, &["customer", "import", "header.csv"]).contains("header.csv:1: text behind a field in quotes")
    );

    let whole = "\u{feff}\"code\",\"name\"\r\n\r\n\"8001\",\"A \"\"B\"\", C\"\r\n8002,O'Neil\r\n8003,\"\"\"\"";
    admin.file("whole.csv", whole.as_bytes());
    assert!(admin.done(&["customer", "import", "whole.csv"]).contains("3 added"));
    let stored = admin.customers();
    for (code, name) in [("8001", "A \"B\", C"), ("8002", "O'Neil"), ("8003", "\"")] {
        assert!(stored.contains(&(code.into(), name.into())), "{stored:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_a_terminal_that_does_not_know_its_width_is_not_broken_into_pieces() {
    let admin = Admin::new().await;
    let plain = admin.done(&["customer", "list"]);
    let of_no_columns = admin.on_a_terminal("stty cols 0 rows 0", &["customer", "list"]);
    assert_eq!(of_no_columns.replace('\r', "").trim(), plain.trim());
    let narrow = admin.on_a_terminal("stty cols 40", &["customer", "list"]);
    assert!(narrow.lines().all(|line| line.trim_end().chars().count() <= 40), "{narrow}");
}

/// Runs `two` together with a file of the same customers, three old ones and two new ones.
async fn at_once(two: &[u8]) {
    let admin = Admin::new().await;
    let mut text = String::from("code,name\n");
    for n in 0..CUSTOMERS {
        writeln!(text, "{},Company {n}", 10_000_000 + n).unwrap();
    }
    admin.file("all.csv", text.as_bytes());
    admin.done(&["customer", "import", "all.csv"]);
    admin.file("one.csv", b"code,name\n10000001,One\n10000002,One\n10000003,One\n20000001,One\n20000002,One\n");
    admin.file("two.csv", two);

    let mut holder = connect(&admin.database).await;
    let client = &connect(&admin.database).await.client;
    client.batch_execute("ANALYZE customers").await.unwrap();
    let holding = holder.client.transaction().await.unwrap();
    // Both come as far as they can before either may end: each has renamed its first customer, if it may.
    holding.execute("SELECT FROM customers WHERE code = '10000002' FOR UPDATE", &[]).await.unwrap();
    let imports = ["one.csv", "two.csv"].map(|file| admin.start(&["customer", "import", file]));
    eventually("both imports wait", || async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 2
    })
    .await;
    holding.rollback().await.unwrap();

    let mut told = imports.map(|import| {
        let output = import.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        said.trim_end().split_once(": ").unwrap().1.to_owned()
    });
    told.sort();
    assert_eq!(told, ["0 added, 5 renamed, 0 unchanged", "2 added, 3 renamed, 0 unchanged"]);
    let customers = admin.customers();
    let names = |name: &str| customers.iter().filter(|(_, found)| found == name).count();
    assert!(matches!((names("One"), names("Two")), (5, 0) | (0, 5)), "one file as a whole came last");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_no_other_command_and_none_for_it() {
    let admin = Admin::new().await;
    admin.file("one.csv", b"code,name\n1111,One\n2222,One\n");
    let mut holder = connect(&admin.database).await;
    let client = &connect(&admin.database).await.client;
    let holding = holder.client.transaction().await.unwrap();
    holding.execute("SELECT FROM customers WHERE code = '1111' FOR UPDATE", &[]).await.unwrap();
    let import = admin.start(&["customer", "import", "one.csv"]);
    eventually("the import waits", || async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    // In the midst of it.
    admin.done(&["customer", "change", "3333", "--name", "Other"]);
    admin.done(&["customer", "add", "9001", "New"]);
    let said = admin.done(&["customer", "import", "--dry-run", "one.csv"]);
    assert!(said.contains("0 added, 2 renamed"), "{said}");
    holding.rollback().await.unwrap();
    assert!(import.wait_with_output().unwrap().status.success());
}
