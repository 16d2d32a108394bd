//! Times that PostgreSQL knows and the program does not.

use jiff::Timestamp;
use tokio_postgres::Client;
use usher::db::{
    callbacks, migrate,
    pool::{Connector, Pool},
};

use crate::{
    cli::Admin,
    fixture::{connect, shared},
    ledger::Running,
    roster::read,
};

/// Takes away what keeps such times out.
async fn let_in(client: &Client) {
    let sql = "DO $$ DECLARE it record; BEGIN \
        FOR it IN SELECT conrelid::regclass AS of, conname FROM pg_constraint \
            WHERE contype = 'c' AND pg_get_constraintdef(oid) LIKE '%9999%' LOOP \
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', it.of, it.conname); \
        END LOOP; END $$";
    client.batch_execute(sql).await.unwrap();
}

/// One call with a step and a callback, all of them at times that cannot be read.
const BEYOND: &str = "\
    INSERT INTO memberships (queue, extension, logged_on, last_call_at, joined_at, wrap_up_until, back_at) VALUES \
        ('support', '1000', true, NULL, DEFAULT, NULL, NULL), \
        ('support', '2000', true, 'infinity', '-infinity', '20000-01-01', 'infinity'); \
    INSERT INTO pauses (extension, since) VALUES ('3000', 'infinity'); \
    INSERT INTO calls (id, server, channel, queue, customer_id, customer_code, customer_name, caller_number, caller_name, \
        entered_at, answered_at, answered_by, ended_at, outcome) VALUES \
        ('00000000-0000-0000-0000-000000000001', 'pbx', '1.1', 'support', 1, '1111', 'Company 1', '555', '', \
            '2026-03-01', '2026-03-01', '2000', 'infinity', 'completed'), \
        ('00000000-0000-0000-0000-000000000002', 'pbx', '1.2', 'support', 1, '1111', 'Company 1', '555', '', \
            '2026-03-02', NULL, NULL, '2026-03-02', 'abandoned'); \
    INSERT INTO call_events (id, call_id, at, kind, extension) VALUES \
        (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', '2026-03-01', 'entered', NULL), \
        (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'infinity', 'answered', '2000'); \
    INSERT INTO callbacks (call, queue, server, customer_id, customer_code, customer_name, caller_number, caller_name, priority, \
        since, entered_at, asked_at, keep_until, again_at, step) VALUES \
        ('00000000-0000-0000-0000-000000000003', 'support', 'pbx', 1, '1111', 'Company 1', '555', '', 0, \
            'infinity', '-infinity', 'infinity', 'infinity', 'infinity', gen_random_uuid())";

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_the_program_cannot_read_is_refused_in_every_column() {
    let single = connect(&shared().await.database().await).await;
    let columns = "SELECT format('%I', c.relname), format('%I', a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.atttypid = 'timestamptz'::regtype \
        AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' \
            AND a.attnum = ANY (k.conkey) AND pg_get_constraintdef(k.oid) LIKE '%9999%')";
    let open: Vec<(String, String)> =
        single.client.query(columns, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(open, []);
    single.client.batch_execute("INSERT INTO memberships (queue, extension) VALUES ('support', '1000')").await.unwrap();
    for time in ["infinity", "-infinity", "20000-01-01"] {
        let sql = format!("UPDATE memberships SET last_call_at = '{time}'");
        let refused = single.client.batch_execute(&sql).await.unwrap_err();
        let constraint = refused.as_db_error().and_then(|error| error.constraint()).map(str::to_owned);
        assert_eq!(constraint.as_deref(), Some("memberships_last_call_at_check"), "{time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_cannot_be_read_are_mended_by_the_migration_that_refuses_them() {
    let mut single = connect(&shared().await.database().await).await;
    let_in(&single.client).await;
    single.client.batch_execute(BEYOND).await.unwrap();
    let later = "ALTER TABLE callbacks DROP COLUMN told_of_recording; DROP FUNCTION usher_queue_keeps_its_name CASCADE; \
        ALTER TABLE queues DROP COLUMN claim_seconds, DROP COLUMN presence_away_seconds, DROP COLUMN presence_offline_seconds; \
        DROP INDEX call_events_work_idx";
    single.client.batch_execute(later).await.unwrap();
    single.client.batch_execute("DELETE FROM refinery_schema_history WHERE version >= 11").await.unwrap();
    assert_eq!(
        migrate::run(&mut single.client).await.unwrap(),
        ["V11__times", "V12__recorded", "V13__queue_names", "V14__claims", "V15__work", "V16__presence"]
    );
    let members = "SELECT extension || ' ' || (last_call_at IS NULL AND wrap_up_until IS NULL AND back_at IS NULL) || ' ' \
        || (joined_at > now() - interval '1 minute') FROM memberships ORDER BY extension";
    let said = async |sql: &str| -> Vec<String> {
        single.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(said(members).await, ["1000 true true", "2000 true true"]);
    let calls = "SELECT to_char(ended_at AT TIME ZONE 'UTC', 'MM-DD') FROM calls ORDER BY id";
    assert_eq!(said(calls).await, ["03-01", "03-02"]);
    let times = "SELECT to_char(at AT TIME ZONE 'UTC', 'MM-DD') FROM call_events";
    assert_eq!(said(times).await, ["03-01", "03-01"]);
    let callbacks = "SELECT (keep_until > now() + interval '7 hours' AND again_at IS NULL)::text FROM callbacks";
    assert_eq!(said(callbacks).await, ["true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_a_time_that_cannot_be_read_is_named_and_the_service_goes_on_with_the_rest() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let_in(&single.client).await;
    single.client.batch_execute(BEYOND).await.unwrap();
    let (roster, unreadable) = read(&database).await;
    let said: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    let expected = [
        ("pauses", "3000/everywhere", "since", "infinity"),
        ("memberships", "support/2000", "last_call_at", "infinity"),
        ("memberships", "support/2000", "joined_at", "-infinity"),
        ("memberships", "support/2000", "back_at", "infinity"),
        ("memberships", "support/2000", "wrap_up_until", "the year 20000"),
    ]
    .map(|(table, row, column, found)| {
        format!(
            "table {table}, row {row}, column {column}: {found:?} is unknown, expected a time up to the year 9998; no time is used"
        )
    });
    assert_eq!(said, expected);
    let member = &roster.memberships[1];
    assert_eq!((member.logged_on, member.last_call_at, member.wrap_up_until), (true, None, None));

    let (mut running, _) = Running::ready(&database).await;
    single.client.batch_execute("UPDATE memberships SET logged_on = false WHERE extension = '2000'").await.unwrap();
    running.roster_where(|roster| !roster.memberships[1].logged_on).await;

    let pool = Pool::new(&Connector::new(&database).unwrap(), 1).unwrap();
    let lease = pool.lease().await.unwrap();
    let kept = callbacks::open(&lease).await.unwrap();
    assert!(kept[0].keep_until > Timestamp::now() && kept[0].since <= Timestamp::now(), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_reports_and_the_story_of_a_call_go_on_past_a_time_that_cannot_be_read() {
    let admin = Admin::new().await;
    let single = connect(&admin.database).await;
    let_in(&single.client).await;
    single.client.batch_execute(BEYOND).await.unwrap();
    let members = admin.list("member");
    assert_eq!(members[1]["last_call_at"], "infinity");
    assert_eq!(admin.list("callback").len(), 1);
    for report in ["queue", "agent", "calls"] {
        let range = ["--from", "2026-02-01", "--to", "2026-04-01", "--format", "csv"];
        let output = admin.run(&[["report", report].as_slice(), &range].concat());
        assert!(output.status.success(), "{report}: {output:?}");
        let [rows, complaint] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let line =
            "a call is left out: table calls, row 00000000-0000-0000-0000-000000000001, column ended_at: \"infinity\"";
        assert!(complaint.contains(line), "{report}: {complaint}");
        assert!(report != "calls" || rows.contains("00000000-0000-0000-0000-000000000002"), "{rows}");
    }
    let story = admin.done(&["why", "00000000-0000-0000-0000-000000000001"]);
    assert!(story.lines().any(|line| line.starts_with("infinity ") && line.ends_with(" 2000 answered")), "{story}");
}
