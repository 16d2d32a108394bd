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
