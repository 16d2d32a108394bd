//! `usher customer import`: what it adds, and that it names each bad line.

use std::fmt::Write;

use super::Admin;
use crate::fixture::connect;

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
