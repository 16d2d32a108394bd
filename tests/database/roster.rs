//! The roster as it is read from the database, and what of it the service hears of.

use tokio_postgres::Client;
use usher::{
    config::Database,
    db::{
        members::{self, Change},
        pool::{Connector, Pool},
        records,
        roster::{self, Unreadable},
        statements,
    },
    domain::{
        fact::Fact,
        id::{CallId, Extension, QueueName},
        queue::{
            policy::{Policy, Strategy},
            roster::{MembershipKind, PauseKind, Roster},
        },
    },
};
use uuid::Uuid;

use crate::{
    fixture::{connect, shared},
    ledger::{Running, stamp, support},
};

pub async fn read(database: &Database) -> (Roster, Vec<Unreadable>) {
    let pool = Pool::new(&Connector::new(database).unwrap(), 1).unwrap();
    let mut lease = pool.lease().await.unwrap();
    roster::read(&mut lease).await.unwrap()
}

/// Where, by whom and why the n-th agent is paused.
fn pauses(roster: &Roster, agent: usize) -> Vec<(Option<&str>, PauseKind, &str)> {
    let pauses = roster.agents[agent].pauses.iter();
    pauses.map(|pause| (pause.queue.as_ref().map(QueueName::as_str), pause.kind, pause.reason.as_str())).collect()
}

async fn run(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!("{sql}: {:?}", error.as_db_error());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_queue_has_the_default_policy_of_the_program() {
    let (roster, unreadable) = read(&shared().await.database().await).await;
    assert_eq!(roster.queues[0].policy, Policy::default());
    assert_eq!(unreadable, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_the_same_one_whatever_the_case_of_its_technology() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    run(&single.client, "UPDATE extensions SET interface = 'pjsip/Desk' WHERE number = '1000'").await;
    run(&single.client, "UPDATE extensions SET interface = 'Custom/Desk' WHERE number = '2000'").await;
    let (roster, _) = read(&database).await;
    let interfaces: Vec<_> = roster.agents.iter().map(|agent| agent.interface.as_str()).collect();
    assert_eq!(interfaces, ["PJSIP/Desk", "Custom/Desk", "PJSIP/3000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_set_up_is_read_back() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let sql = "UPDATE queues SET strategy = 'wrandom', retry_seconds = 5, max_waiting = 7, join_empty = 'paused,wrapup', \
        leave_empty = 'never', weight = 3, service_level_seconds = 30, wrap_up_seconds = 10, auto_pause_after = 2, \
        sticky_seconds = 3600, claim_seconds = 15, presence_away_seconds = 300, presence_offline_seconds = 600, overflow = 'extension/3000', announce_frequency_seconds = 30, announce_position = false, \
        announce_holdtime = true, periodic_announce = 'usher/a&usher/b', periodic_announce_frequency_seconds = 0, member_greeting = 'usher/c', recording = true, \
        recording_prompt = 'usher/d'; \
        INSERT INTO memberships (queue, extension, logged_on, penalty, place, joined_at, calls_taken, wrap_up_until, kind) \
        VALUES ('support', '1000', true, 2, -1, '2026-01-01 10:00Z', 9, '2026-01-01 11:00Z', 'static'); \
        INSERT INTO pauses (extension, queue, kind, reason, since) VALUES \
        ('1000', NULL, 'manual', 'lunch', '2026-01-01 12:00Z'), ('1000', 'support', 'auto', '', '2026-01-01 12:30Z')";
    run(&single.client, sql).await;
    let (roster, unreadable) = read(&database).await;
    assert_eq!(unreadable, []);
    let expected = "Policy { strategy: WRandom, retry: 5s, max_waiting: Some(7), join_empty: Unless({Paused, WrapUp}), \
        leave_empty: Never, weight: 3, service_level: 30s, wrap_up: 10s, auto_pause_after: Some(2), sticky: 3600s, \
        claim: 15s, overflow: Extension(extension 3000) }";
    assert_eq!(format!("{:?}", roster.queues[0].policy), expected);
    let expected = "Announcements { every: 30s, position: false, hold_time: true, periodic: \"usher/a&usher/b\", periodic_every: 0ns }";
    assert_eq!(format!("{:?}", roster.queues[0].announcements), expected);
    assert_eq!(
        format!("{:?}", roster.queues[0].talk),
        "TalkPolicy { member_greeting: \"usher/c\", recording: true, recording_prompt: \"usher/d\" }"
    );
    assert_eq!(format!("{:?}", roster.queues[0].presence), "PresencePolicy { away: 300s, offline: 600s }");
    let member = &roster.memberships[0];
    assert_eq!((member.penalty, member.place, member.calls_taken, member.kind), (2, -1, 9, MembershipKind::Static));
    assert_eq!(member.joined_at, "2026-01-01T10:00Z".parse().unwrap());
    assert_eq!(member.wrap_up_until, "2026-01-01T11:00Z".parse().ok());
    assert_eq!(pauses(&roster, 0), [(None, PauseKind::Manual, "lunch"), (Some("support"), PauseKind::Auto, "")]);
    assert_eq!(roster.agents[1].pauses, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_the_program_does_not_know_is_refused_by_the_database() {
    let single = connect(&shared().await.database().await).await;
    run(&single.client, "INSERT INTO memberships (queue, extension) VALUES ('support', '1000')").await;
    for sql in [
        "UPDATE queues SET greeting = 'a,b'",
        "UPDATE queues SET strategy = 'roundrobin'",
        "UPDATE queues SET retry_seconds = -1",
        "UPDATE queues SET max_waiting = 0",
        "UPDATE queues SET join_empty = 'yes'",
        "UPDATE queues SET leave_empty = 'paused,'",
        "UPDATE queues SET weight = -1",
        "UPDATE queues SET service_level_seconds = 0",
        "UPDATE queues SET wrap_up_seconds = -1",
        "UPDATE queues SET auto_pause_after = 0",
        "UPDATE queues SET sticky_seconds = -1",
        "UPDATE queues SET claim_seconds = 3601",
        "UPDATE queues SET presence_away_seconds = 86401",
        "UPDATE queues SET presence_offline_seconds = -1",
        "UPDATE queues SET overflow = 'sales'",
        "UPDATE queues SET overflow = 'queue/support'",
        "UPDATE queues SET announce_frequency_seconds = 4",
        "UPDATE queues SET periodic_announce = 'a b'",
        "UPDATE queues SET periodic_announce = 'a&&b'",
        "UPDATE queues SET periodic_announce_frequency_seconds = -1",
        "UPDATE queues SET member_greeting = 'a b'",
        "UPDATE queues SET recording_prompt = 'a b'",
        "UPDATE memberships SET penalty = -1",
        "UPDATE memberships SET kind = 'agent'",
        "INSERT INTO pauses (extension, kind) VALUES ('1000', 'coffee')",
        "INSERT INTO pauses (extension, queue) VALUES ('2000', 'support')",
        "INSERT INTO pauses (extension) VALUES ('1000'), ('1000')",
    ] {
        let error = single.client.batch_execute(sql).await.err().unwrap_or_else(|| panic!("taken: {sql}"));
        assert!(error.code().is_some_and(|code| code.code().starts_with("23")), "{sql}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_word_that_got_in_is_named_and_the_service_goes_on_with_the_rest() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let sql = "ALTER TABLE queues DROP CONSTRAINT queues_strategy_check, DROP CONSTRAINT queues_max_waiting_check; \
        ALTER TABLE pauses DROP CONSTRAINT pauses_kind_check; \
        UPDATE queues SET strategy = 'newest', max_waiting = -3, weight = 4; \
        INSERT INTO pauses (extension, kind) VALUES ('2000', 'coffee')";
    run(&single.client, sql).await;
    let (_, unreadable) = read(&database).await;
    let said: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "table pauses, row 2000/everywhere, column kind: \"coffee\" is unknown, expected manual, auto, presence; \
             manual is used",
            "table queues, row support, column strategy: \"newest\" is unknown, expected ringall, leastrecent, \
             fewestcalls, random, rrmemory, rrordered, linear or wrandom; leastrecent is used",
            "table queues, row support, column max_waiting: \"-3\" is unknown, expected a number from 1, or NULL; NULL is used",
        ]
    );
    let (_running, roster) = Running::ready(&database).await;
    assert_eq!((roster.queues[0].policy.strategy, roster.queues[0].policy.weight), (Strategy::LeastRecent, 4));
    assert_eq!(roster.agents[1].pauses[0].kind, PauseKind::Manual);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_a_penalty_or_a_pause_changed_in_sql_reaches_the_running_service() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    run(&single.client, "INSERT INTO memberships (queue, extension) VALUES ('support', '1000')").await;
    let (mut running, _) = Running::ready(&database).await;
    run(&single.client, "UPDATE queues SET strategy = 'ringall'").await;
    running.roster_where(|roster| roster.queues[0].policy.strategy == Strategy::RingAll).await;
    run(&single.client, "UPDATE memberships SET penalty = 5").await;
    running.roster_where(|roster| roster.memberships[0].penalty == 5).await;
    run(&single.client, "INSERT INTO pauses (extension, queue, reason) VALUES ('1000', 'support', 'lunch')").await;
    running.roster_where(|roster| roster.agents[0].pauses.len() == 1).await;
    run(&single.client, "DELETE FROM memberships").await;
    let roster = running.roster_where(|roster| roster.memberships.is_empty()).await;
    assert_eq!(roster.agents[0].pauses, [], "a pause in a queue ends with the membership");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_up_only_moves_forward_and_an_auto_pause_that_was_ended_does_not_come_back() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let client = &single.client;
    run(client, "INSERT INTO memberships (queue, extension, joined_at) VALUES ('support', '1000', '2023-01-01'), ('support', '2000', '2023-01-01')").await;
    let wrap_up = |until: &'static str| async move {
        let until: Vec<jiff::Timestamp> = vec![until.parse().unwrap()];
        client.execute(statements::RECORD_WRAP_UPS, &[&vec!["support"], &vec!["1000"], &until]).await.unwrap();
    };
    for until in ["2026-01-01T10:00:30Z", "2026-01-01T10:00:10Z"] {
        wrap_up(until).await;
    }
    let (roster, _) = read(&database).await;
    assert_eq!(roster.memberships[0].wrap_up_until, "2026-01-01T10:00:30Z".parse().ok());
    assert_eq!(roster.memberships[1].wrap_up_until, None);

    let (event, at) = (Uuid::now_v7(), jiff::Timestamp::from_second(1_700_000_000).unwrap());
    let pause = || async {
        let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&vec![event], &vec!["support"], &vec!["1000"], &vec!["3 unanswered"], &vec![at]];
        client.execute(statements::RECORD_AUTO_PAUSES, &columns).await.unwrap()
    };
    assert_eq!(pause().await, 1);
    assert_eq!(pause().await, 0, "it is there");
    let written = "INSERT INTO call_events (id, call_id, at, kind) VALUES ($1, $1, now(), 'auto_paused')";
    client.execute(written, &[&event]).await.unwrap();
    run(client, "DELETE FROM pauses").await;
    assert_eq!(pause().await, 0, "written before, and resumed since");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auto_pause_that_waited_for_the_database_is_not_put_on_who_has_come_back_meanwhile() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let sql = "INSERT INTO memberships (queue, extension, logged_on, joined_at) VALUES ('support', '1000', true, '2026-01-01 10:00Z'), \
        ('support', '2000', true, '2026-01-01 10:00Z'), ('support', '3000', true, '2026-01-01 10:02Z')";
    run(&single.client, sql).await;
    let pool = Pool::new(&Connector::new(&database).unwrap(), 1).unwrap();
    let mut lease = pool.lease().await.unwrap();
    let resumed = single.client.execute(statements::RESUME, &[&"1000", &None::<&str>]).await.unwrap();
    assert_eq!(resumed, 0, "there was no pause to end yet");
    let at: jiff::Timestamp = "2026-01-01T10:01Z".parse().unwrap();
    let facts = ["1000", "2000", "3000"].map(|extension| {
        let (call, extension, unanswered) = (CallId(Uuid::now_v7()), Extension::new(extension), 2);
        stamp(at, Fact::AutoPaused { call, extension, queue: support(), unanswered })
    });
    records::write(&mut lease, &facts).await.unwrap();
    let (roster, _) = read(&database).await;
    assert_eq!(pauses(&roster, 0), [], "has resumed since");
    assert_eq!(pauses(&roster, 1), [(Some("support"), PauseKind::Auto, "2 unanswered in a row")]);
    assert_eq!(pauses(&roster, 2), [], "has logged on since");
    assert!(roster.memberships[0].back_at > Some(at), "which the floor is told, since it knows the pause");

    assert_eq!(members::log_on(&lease, &support(), &Extension::new("2000")).await.unwrap(), Change::Done);
    let (roster, _) = read(&database).await;
    assert!(roster.memberships[1].back_at > Some(at), "logged on all the time, and back");
    assert_eq!(roster.memberships[1].joined_at, "2026-01-01T10:00Z".parse().unwrap());
    let written = facts.map(|fact| stamp(at, fact.fact));
    records::write(&mut lease, &written).await.unwrap();
    assert_eq!(pauses(&read(&database).await.0, 1), [], "under another id, as another run of the service may have it");
    lease.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whom_the_service_has_paused_is_offered_calls_again_by_logging_on_although_they_never_logged_off() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let sql = "INSERT INTO queues (name, label) VALUES ('sales', 'Sales'); \
        INSERT INTO memberships (queue, extension, logged_on, joined_at) VALUES \
        ('sales', '1000', true, '2026-01-01 09:00Z'), ('support', '1000', true, '2026-01-01 09:00Z'), \
        ('support', '2000', true, '2026-01-01 09:00Z'); \
        INSERT INTO pauses (extension, queue, kind, reason) VALUES \
        ('1000', NULL, 'manual', 'lunch'), ('1000', 'support', 'manual', 'training')";
    run(&single.client, sql).await;
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let (call, unanswered) = (CallId(Uuid::now_v7()), 3);
    let paused = |queue: &str, extension: &str| {
        let (queue, extension) = (QueueName::new(queue), Extension::new(extension));
        stamp(at("2026-01-01T10:00Z"), Fact::AutoPaused { call, extension, queue, unanswered })
    };
    let (extension, queue, until) = (Extension::new("1000"), support(), at("2026-01-01T10:05Z"));
    let wrap_up = Fact::WrapUp { call, extension: extension.clone(), queue: queue.clone(), until };
    let facts = [
        paused("support", "1000"),
        paused("sales", "1000"),
        paused("support", "2000"),
        stamp(at("2026-01-01T10:04Z"), wrap_up),
    ];
    let pool = Pool::new(&Connector::new(&database).unwrap(), 1).unwrap();
    let mut lease = pool.lease().await.unwrap();
    records::write(&mut lease, &facts).await.unwrap();

    let (roster, _) = read(&database).await;
    let auto = "3 unanswered in a row";
    let by_hand = [(None, PauseKind::Manual, "lunch"), (Some("support"), PauseKind::Manual, "training")];
    let sales = (Some("sales"), PauseKind::Auto, auto);
    assert_eq!(pauses(&roster, 0), [by_hand[0], sales, (Some("support"), PauseKind::Auto, auto), by_hand[1]]);
    assert_eq!(roster.agents[0].pauses[1].since, at("2026-01-01T10:00Z"));
    assert_eq!(pauses(&roster, 1), [(Some("support"), PauseKind::Auto, auto)]);
    let wrap_ups: Vec<_> = roster.memberships.iter().map(|member| member.wrap_up_until).collect();
    assert_eq!(wrap_ups, [None, Some(until), None], "of this member in this queue");

    assert_eq!(members::log_on(&lease, &queue, &extension).await.unwrap(), Change::Done);
    let (after, _) = read(&database).await;
    assert_eq!(
        pauses(&after, 0),
        [by_hand[0], sales, by_hand[1]],
        "over in this queue, and what was set by hand stays"
    );
    assert_eq!(pauses(&after, 1), pauses(&roster, 1), "another member stays paused");
    let since =
        |roster: &Roster| roster.memberships.iter().map(|row| (row.logged_on, row.joined_at)).collect::<Vec<_>>();
    assert_eq!(since(&after), since(&roster), "was logged on all the time, since the same moment");
    // What was written before does not come back when it is written again, as after a lost answer of the server.
    records::write(&mut lease, &facts).await.unwrap();
    assert_eq!(pauses(&read(&database).await.0, 0), pauses(&after, 0));
    lease.done();
}
