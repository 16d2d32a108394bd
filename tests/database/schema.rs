//! The schema, its migrations, and the statements that rely on it.

use std::time::Duration;

use usher::db::{
    Error,
    migrate::{self, Failure, Mismatch},
    pool::{Connector, Statements},
    statements,
};

use crate::fixture::{connect, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_database_can_prepare_every_statement_of_the_program() {
    let single = connect(&shared().await.database().await).await;
    for (name, sql) in statements::ALL {
        if let Err(error) = single.client.prepare(sql).await {
            panic!("{name}: {error}: {:?}", error.as_db_error());
        }
    }
    // Over connections on which the server compiles none of them: with many calls that takes far longer than they do.
    let jit: String = single.client.query_one("SHOW jit", &[]).await.unwrap().get(0);
    assert_eq!(jit, "off");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_column_says_what_it_is() {
    let single = connect(&shared().await.database().await).await;
    let silent = single
        .client
        .query(
            "SELECT format('%s.%s', c.relname, a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped \
             AND c.relname <> 'refinery_schema_history' \
             AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)",
            &[],
        )
        .await
        .unwrap();
    let silent: Vec<String> = silent.iter().map(|row| row.get(0)).collect();
    assert_eq!(silent, Vec::<String>::new());
}

/// The files in the folder, by their numbers.
fn every_migration() -> Vec<String> {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations")).unwrap();
    let name = |file: std::io::Result<std::fs::DirEntry>| file.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = files.map(|file| name(file).replace(".sql", "")).collect();
    names.sort_by_key(|name| name.strip_prefix('V').unwrap().split_once("__").unwrap().0.parse::<u32>().unwrap());
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn four_programs_that_migrate_an_empty_database_at_once_apply_each_migration_once() {
    let database = shared().await.empty().await;
    let runs = (0..4).map(|_| {
        let database = database.clone();
        tokio::spawn(async move { migrate::run(&mut connect(&database).await.client).await.unwrap() })
    });
    let applied: Vec<Vec<String>> = futures_util::future::try_join_all(runs).await.unwrap();
    assert_eq!(applied.concat(), every_migration());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_newer_than_the_program_is_left_alone() {
    let database = shared().await.database().await;
    let mut single = connect(&database).await;
    let newer =
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (999, 'later', '', '0')";
    single.client.batch_execute(newer).await.unwrap();
    let failure = migrate::run(&mut single.client).await.unwrap_err();
    assert!(matches!(failure, Failure::Database(Error::Schema(Mismatch::Newer { found: 999, .. }))), "{failure}");
    assert!(failure.to_string().contains("install the newer program"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_not_fit_what_is_in_the_database_is_refused_with_the_way_out() {
    // As after an older dump that was restored beside the tables of this program.
    let database = shared().await.database().await;
    let mut single = connect(&database).await;
    single.client.batch_execute("DELETE FROM refinery_schema_history WHERE version > 6").await.unwrap();
    let failure = migrate::run(&mut single.client).await.unwrap_err();
    assert!(matches!(failure, Failure::Mixed { found: Some(6), .. }), "{failure}");
    let text = failure.to_string();
    for part in ["already exists", "version 6", "dropdb", "createdb", "pg_restore", "\"Going back\""] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let foreign = shared().await.empty().await;
    let mut single = connect(&foreign).await;
    single.client.batch_execute("CREATE TABLE queues (id int)").await.unwrap();
    let failure = migrate::run(&mut single.client).await.unwrap_err();
    assert!(failure.to_string().contains("not usher's schema"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_never_migrated_names_what_it_lacks() {
    let single = connect(&shared().await.empty().await).await;
    assert_eq!(migrate::pending(&single.client).await.unwrap(), every_migration());
    let error = migrate::check(&single.client).await.unwrap_err();
    assert!(error.to_string().contains("usher migrate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_data_can_be_loaded_twice_and_company_1_stays_customer_1() {
    let single = connect(&shared().await.empty().await).await;
    let mut single = single;
    migrate::run(&mut single.client).await.unwrap();
    let seed = include_str!("../../sql/seed/demo.sql");
    single.client.batch_execute("SET usher.domain = 'example.org'").await.unwrap();
    for _ in 0..2 {
        single.client.batch_execute(seed).await.unwrap();
    }
    let rows = single.client.query("SELECT id, code, name FROM customers ORDER BY id", &[]).await.unwrap();
    let first: (i64, &str, &str) = (rows[0].get(0), rows[0].get(1), rows[0].get(2));
    assert_eq!(first, (1, "1111", "Company 1"));
    assert_eq!(rows.len(), 6);
    let row =
        single.client.query_one("SELECT jid, interface FROM extensions WHERE number = '1000'", &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("user1@example.org", "PJSIP/1000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended_by_the_server_itself() {
    let mut database = shared().await.database().await;
    database.timeout = Duration::from_secs(1);
    let single = Connector::new(&database).unwrap().single(Statements::Bounded).await.unwrap();
    let error = single.client.batch_execute("SELECT pg_sleep(20)").await.unwrap_err();
    assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_keeps_its_name_and_who_would_give_it_another_is_told_what_to_do() {
    let single = connect(&shared().await.database().await).await;
    let client = &single.client;
    client.batch_execute("INSERT INTO queues (name, label) VALUES ('sales', 'Sales')").await.unwrap();
    let error = client.batch_execute("UPDATE queues SET name = 'desk' WHERE name = 'sales'").await.unwrap_err();
    let refused = error.as_db_error().unwrap();
    assert_eq!(refused.message(), "queue \"sales\" keeps its name");
    assert!(refused.hint().unwrap().contains("queues.label"), "{:?}", refused.hint());
    client.batch_execute("UPDATE queues SET name = 'sales', label = 'The desk' WHERE name = 'sales'").await.unwrap();
    assert_eq!(client.query_one("SELECT name FROM queues WHERE label = 'The desk'", &[]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_lacks_a_right_the_service_needs_is_told_which() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let client = &single.client;
    assert_eq!(usher::db::rights::missing(client).await.unwrap(), Vec::<String>::new());
    client
        .batch_execute(
            "BEGIN; CREATE ROLE reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; \
             GRANT INSERT, UPDATE ON calls, memberships, callbacks, call_events TO reader; SET ROLE reader",
        )
        .await
        .unwrap();
    let missing = usher::db::rights::missing(client).await.unwrap();
    assert_eq!(missing, ["UPDATE on leases", "DELETE on pauses", "INSERT on pauses", "UPDATE on pauses"]);
    client.batch_execute("ROLLBACK").await.unwrap();
}
