//! One lease, several candidates; and what a service may write that has lost it.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use usher::{
    db::lease::{self, Renewed},
    domain::{
        id::{CallId, Extension},
        lease::{Holder, Seen, Term, Token},
    },
    fence::Fence,
    ledger::{self, Terms},
};
use uuid::Uuid;

use crate::{
    fixture::{connect, eventually, shared, soon},
    ledger::{entered, stamp, support},
};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_would_be_active_one_is_and_the_other_cannot_renew() {
    let database = shared().await.database().await;
    let (one, two) = (connect(&database).await, connect(&database).await);
    let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
    let free = lease::look(&one.client).await.unwrap();
    assert_eq!(free.seen, Seen::Free);
    let token = lease::take(&one.client, a, &free).await.unwrap().unwrap();
    assert_eq!(lease::take(&two.client, b, &free).await.unwrap(), None, "it was looked at before it was taken");
    assert!(matches!(
        lease::look(&two.client).await.unwrap().seen,
        Seen::Held { holder: Holder::Present, term: Term::Running, .. }
    ));
    assert_eq!(lease::renew(&one.client, a, token).await.unwrap(), Renewed::Yes);
    assert_eq!(lease::renew(&two.client, b, token).await.unwrap(), Renewed::Taken);

    // Dead: the server knows at once that its connection is gone.
    drop(one);
    eventually("the holder is gone", || async {
        matches!(lease::look(&two.client).await.unwrap().seen, Seen::Held { holder: Holder::Gone, .. })
    })
    .await;
    let row = lease::look(&two.client).await.unwrap();
    let newer = lease::take(&two.client, b, &row).await.unwrap().unwrap();
    assert!(newer > token);
    let three = connect(&database).await;
    assert_eq!(lease::renew(&three.client, a, token).await.unwrap(), Renewed::Taken, "one that woke up");
    lease::give_back(&three.client, a, token).await.unwrap();
    assert!(matches!(lease::look(&three.client).await.unwrap().seen, Seen::Held { .. }), "it is not its to give back");
    lease::give_back(&two.client, b, newer).await.unwrap();
    assert_eq!(lease::look(&three.client).await.unwrap().seen, Seen::Free);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_writes_whose_lease_another_one_has_taken_is_refused() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    single.client.batch_execute("UPDATE leases SET token = 7").await.unwrap();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let terms = Terms { token: Some(Token(7)), fence: Fence::open(), folder: None };
    let (handle, mut news, _task) = ledger::spawn(&database, terms, stop).await.unwrap();
    soon("a roster", news.recv()).await.unwrap();
    tokio::spawn(async move { while news.recv().await.is_some() {} });
    let (before, after) = (CallId(Uuid::now_v7()), CallId(Uuid::now_v7()));
    handle.record(stamp(Timestamp::now(), entered(before, "1")));
    eventually("the holder of the lease writes", || async { *handle.pending().borrow() == 0 }).await;

    single.client.batch_execute("UPDATE leases SET token = 8").await.unwrap();
    handle.record(stamp(Timestamp::now(), entered(after, "2")));
    // Refused for the lease, too: tried after the record, so that it has been tried as well.
    assert!(handle.log_on(&support(), &Extension::new("1000")).await.is_err());
    let counts = "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM memberships WHERE logged_on)";
    let row = single.client.query_one(counts, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 0));
    assert_eq!((handle.counts().written, handle.counts().refused), (1, 0), "it is not lost: its folder keeps it");

    // Each table for itself, whatever the statement.
    for table in ["calls", "call_events", "memberships", "pauses"] {
        let sql = format!("SET usher.token = '7'; DELETE FROM {table}");
        let refused = single.client.batch_execute(&sql).await.unwrap_err();
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("UF001"), "{table}: {refused}");
        single.client.batch_execute(&format!("SET usher.token = '8'; DELETE FROM {table}")).await.unwrap();
    }
}
