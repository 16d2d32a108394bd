//! F15: the database restarted, frozen, cut off, or not there at all.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use usher::{
    domain::id::{CallId, Extension},
    ledger::Change,
    link::Link,
};
use uuid::Uuid;

use crate::{
    fixture::{Postgres, connect, shared, soon},
    ledger::{Running, code, ended, entered, stamp, support},
};

#[tokio::test(flavor = "multi_thread")]
async fn f15_what_is_recorded_while_the_server_is_down_is_written_once_when_it_is_back() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let (mut running, _) = Running::ready(&database).await;
    let handle = running.handle.clone();
    assert!(handle.customer(&code("1111")).await.unwrap().is_some());
    let before = CallId(Uuid::now_v7());
    handle.record(stamp(Timestamp::now(), entered(before, "2000")));
    assert_eq!(handle.flush(Duration::from_secs(20)).await, 0);

    postgres.down();
    running.link_is_down().await;
    let calls: Vec<CallId> = (0..500).map(|_| CallId(Uuid::now_v7())).collect();
    for call in &calls {
        handle.record(stamp(Timestamp::now(), entered(*call, "2000")));
        handle.record(stamp(Timestamp::now(), ended(*call, None)));
    }
    let asked = Instant::now();
    assert_eq!(handle.customer(&code("1111")).await.unwrap().unwrap().name, "Company 1", "called before: remembered");
    assert!(handle.customer(&code("2222")).await.is_err(), "never called: unknown whether there is one");
    assert!(handle.log_on(&support(), &Extension::new("1000")).await.is_err());
    assert!(asked.elapsed() < database.timeout, "a link that is known to be down is not waited for");
    assert_eq!(*handle.pending().borrow(), 1000);

    postgres.up();
    running.link_is_up().await;
    running.roster().await;
    assert_eq!(handle.flush(Duration::from_secs(20)).await, 0);
    assert_eq!(handle.log_on(&support(), &Extension::new("1000")).await, Ok(Change::Done));
    assert!(handle.customer(&code("2222")).await.unwrap().is_some());
    let single = connect(&database).await;
    let sql = "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM calls WHERE outcome = 'abandoned'), \
               (SELECT count(*) FROM call_events)";
    let row = single.client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (501, 500, 1001));
    assert_eq!(handle.counts().dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_a_frozen_server_is_noticed_within_the_timeouts_and_used_again_when_it_moves() {
    let postgres = Postgres::start().await;
    let mut database = postgres.database().await;
    // Long enough for an answer on a busy machine.
    database.timeout = Duration::from_secs(1);
    let (mut running, _) = Running::ready(&database).await;
    let handle = running.handle.clone();
    assert!(handle.customer(&code("1111")).await.unwrap().is_some());

    postgres.freeze();
    for n in 0..20 {
        handle.record(stamp(Timestamp::now(), entered(CallId(Uuid::now_v7()), &n.to_string())));
    }
    let (caller, stranger, queue, extension) = (code("1111"), code("2222"), support(), Extension::new("1000"));
    let asked = Instant::now();
    let (known, unknown, change) =
        tokio::join!(handle.customer(&caller), handle.customer(&stranger), handle.log_on(&queue, &extension));
    let took = asked.elapsed();
    assert!(known.unwrap().is_some());
    assert!(unknown.is_err() && change.is_err());
    assert!(took < database.timeout * 4, "{took:?}");
    running.link_is_down().await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "not noticed by the questions, only by the ping: {:?}",
        asked.elapsed()
    );

    postgres.thaw();
    running.link_is_up().await;
    running.roster().await;
    assert_eq!(handle.flush(Duration::from_secs(20)).await, 0);
    assert!(handle.customer(&code("2222")).await.unwrap().is_some());
    assert_eq!(handle.log_on(&support(), &Extension::new("1000")).await, Ok(Change::Done));
    let single = connect(&postgres.settings(&database.name)).await;
    let row = single.client.query_one("SELECT count(*), count(DISTINCT caller_number) FROM calls", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_cut_connections_are_replaced_and_never_more_than_the_pool_may_have() {
    let database = shared().await.database().await;
    let (mut running, _) = Running::ready(&database).await;
    let handle = running.handle.clone();
    let single = connect(&database).await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..3 {
        let questions = (0..40).map(|_| async { handle.customer(&code("1111")).await.unwrap() });
        futures_util::future::join_all(questions).await;
        let row = single.client.query_one(count, &[]).await.unwrap();
        // The listener's own is not of the pool.
        assert!(row.get::<_, i64>(0) <= i64::try_from(database.pool_size).unwrap() + 1, "round {round}");

        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        single.client.query(sql, &[]).await.unwrap();
        running.roster().await;
        running.link_is_up().await;
        handle.record(stamp(Timestamp::now(), entered(CallId(Uuid::now_v7()), "2000")));
        assert_eq!(handle.flush(Duration::from_secs(20)).await, 0, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_too_slow_for_many_records_at_a_time_is_given_fewer_until_all_are_written() {
    let mut database = shared().await.database().await;
    // So many at once would take 6 s.
    database.timeout = Duration::from_secs(1);
    let single = connect(&database).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION slow()";
    single.client.batch_execute(slow).await.unwrap();
    let (running, _) = Running::ready(&database).await;
    for n in 0..300 {
        running.handle.record(stamp(Timestamp::now(), entered(CallId(Uuid::now_v7()), &n.to_string())));
    }
    assert_eq!(running.handle.flush(Duration::from_secs(60)).await, 0);
    let row = single.client.query_one("SELECT count(*), count(DISTINCT caller_number) FROM calls", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (300, 300));
    assert_eq!(running.handle.counts().dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_at_the_start_is_waited_for() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    postgres.down();
    let mut running = Running::start(&database).await;
    let link = running.handle.link().borrow().clone();
    assert!(matches!(link, Link::Down { .. }), "{link:?}");
    running.handle.record(stamp(Timestamp::now(), entered(CallId(Uuid::now_v7()), "2000")));
    postgres.up();
    assert_eq!(running.roster().await.queues.len(), 1);
    assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_while_nobody_listened_is_seen_after_the_gap() {
    let database = shared().await.database().await;
    let (mut running, _) = Running::ready(&database).await;
    let single = connect(&database).await;
    // Without triggers, so that nobody is told of it, as if those who listen had been away. It is there before they are cut: who is
    // back in time for the first look must find it.
    let silent = "SET session_replication_role = replica; INSERT INTO queues (name, label) VALUES ('silent', 'Silent')";
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    single.client.batch_execute(silent).await.unwrap();
    single.client.batch_execute(cut).await.unwrap();
    running.roster_where(|roster| roster.queues.len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_was_renamed_or_removed_is_remembered_so_in_an_outage() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let (mut running, _) = Running::ready(&database).await;
    let handle = running.handle.clone();
    for keyed in ["1111", "2222"] {
        assert!(handle.customer(&code(keyed)).await.unwrap().is_some());
    }
    let single = connect(&database).await;
    let sql = "UPDATE customers SET name = 'Renamed' WHERE code = '1111'; DELETE FROM customers WHERE code = '2222'; \
               UPDATE queues SET label = 'After'";
    single.client.batch_execute(sql).await.unwrap();
    running.roster_where(|roster| roster.queues[0].label == "After").await;
    // The task asks for the customers again before it writes what is recorded from now on.
    handle.record(stamp(Timestamp::now(), ended(CallId(Uuid::now_v7()), None)));
    assert_eq!(handle.flush(Duration::from_secs(20)).await, 0);
    postgres.down();
    running.link_is_down().await;
    assert_eq!(soon("answer", handle.customer(&code("1111"))).await.unwrap().unwrap().name, "Renamed");
    assert!(handle.customer(&code("2222")).await.is_err());
}
