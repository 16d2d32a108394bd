//! Which changes of the database are announced, and what the service makes of them.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use tokio_postgres::{AsyncMessage, Client};
use usher::{
    config::Database,
    db::{
        pool::{Connector, Pool, Statements},
        roster,
    },
    domain::{
        id::{Extension, QueueName},
        queue::roster::{Keys, PastTalk, Roster},
    },
    ledger::News,
};

use crate::{
    fixture::{connect, shared, soon},
    ledger::Running,
};

async fn run(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!("{sql}: {:?}", error.as_db_error());
    }
}

/// What each of these transactions announces.
async fn announced(database: &Database, transactions: &[&str]) -> Vec<Vec<String>> {
    let (client, mut messages) = Connector::new(database).unwrap().open(Statements::Bounded).await.unwrap();
    let (heard, mut notices) = tokio::sync::mpsc::unbounded_channel();
    let driver = tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notice) = message {
                let _ = heard.send(notice.payload().to_owned());
            }
        }
    });
    client.batch_execute("LISTEN usher_changed").await.unwrap();
    let single = connect(database).await;
    let mut all = Vec::new();
    for sql in transactions {
        run(&single.client, sql).await;
        run(&single.client, "NOTIFY usher_changed, 'end'").await;
        let mut said = Vec::new();
        loop {
            match soon("a notice", notices.recv()).await.unwrap() {
                end if end == "end" => break,
                notice => said.push(notice),
            }
        }
        all.push(said);
    }
    driver.abort();
    all
}

const TWO_QUEUES: &str = "INSERT INTO queues (name, label) VALUES ('sales', 'Sales'); \
    INSERT INTO memberships (queue, extension, logged_on) VALUES \
    ('support', '1000', true), ('support', '2000', true), ('sales', '1000', true)";

#[tokio::test(flavor = "multi_thread")]
async fn each_changed_row_is_announced_by_its_key_and_what_comes_with_each_call_is_not() {
    let database = shared().await.database().await;
    run(&connect(&database).await.client, TWO_QUEUES).await;
    let said = announced(
        &database,
        &[
            "UPDATE memberships SET last_call_at = now(), calls_taken = 1, wrap_up_until = now()",
            "UPDATE queues SET label = label; UPDATE memberships SET logged_on = logged_on; UPDATE extensions SET name = name",
            "UPDATE queues SET label = 'Help' WHERE name = 'support'",
            "UPDATE memberships SET penalty = 3 WHERE extension = '1000'",
            "INSERT INTO pauses (extension, reason) VALUES ('1000', 'lunch'), ('1000', 'coffee') ON CONFLICT DO NOTHING",
            "UPDATE pauses SET reason = 'coffee'",
            "DELETE FROM memberships WHERE queue = 'sales'; INSERT INTO extensions (number, jid) VALUES ('4000', 'd@x')",
            "UPDATE customers SET name = 'Renamed' WHERE code IN ('1111', '2222'); \
             INSERT INTO customers (code, name) VALUES ('99', 'New')",
            "UPDATE customers SET code = '98' WHERE code = '99'; DELETE FROM customers WHERE code = '98'",
        ],
    )
    .await;
    let expected: [&[&str]; 9] = [
        &[],
        &[],
        &["queues support"],
        &["memberships support 1000", "memberships sales 1000"],
        &["pauses 1000"],
        &["pauses 1000"],
        &["memberships sales 1000", "extensions 4000"],
        &["customers 1111", "customers 2222"],
        &["customers 99", "customers 98"],
    ];
    for (said, expected) in said.iter().zip(expected) {
        let sorted = |words: &mut Vec<String>| words.sort();
        let (mut said, mut expected) = (said.clone(), expected.iter().map(ToString::to_string).collect::<Vec<_>>());
        sorted(&mut said);
        sorted(&mut expected);
        assert_eq!(said, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_number_is_announced_with_the_old_one_on_every_row_that_follows_it() {
    let database = shared().await.database().await;
    run(&connect(&database).await.client, TWO_QUEUES).await;
    run(&connect(&database).await.client, "INSERT INTO pauses (extension, queue) VALUES ('1000', 'sales')").await;
    let said = announced(&database, &["UPDATE extensions SET number = '1001' WHERE number = '1000'"]).await;
    let sets: Vec<BTreeSet<&str>> = said.iter().map(|said| said.iter().map(String::as_str).collect()).collect();
    let number = [
        "extensions 1000",
        "extensions 1001",
        "memberships sales 1000",
        "memberships sales 1001",
        "memberships support 1000",
        "memberships support 1001",
        "pauses 1000",
        "pauses 1001",
    ];
    assert_eq!(sets, [BTreeSet::from(number)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changed_rows_are_announced_as_a_few_and_a_word_for_all() {
    let database = shared().await.database().await;
    let said = announced(
        &database,
        &[
            "INSERT INTO extensions (number, jid) SELECT 50000 + n, n || '@x' FROM generate_series(1, 1000) AS n",
            "INSERT INTO customers (code, name) SELECT 50000 + n, 'c' FROM generate_series(1, 1000) AS n; \
             UPDATE customers SET name = 'd'",
            "TRUNCATE pauses",
        ],
    )
    .await;
    assert_eq!(said[0].len(), 201);
    assert!(said[0].contains(&"extensions".to_owned()));
    assert_eq!(said[1..], [["customers"], ["pauses"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_costs_the_service_one_row() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    run(&single.client, TWO_QUEUES).await;
    let (mut running, _) = Running::ready(&database).await;
    run(&single.client, "INSERT INTO pauses (extension, reason) VALUES ('1000', 'lunch')").await;
    loop {
        match soon("news", running.news.recv()).await.unwrap() {
            News::PastTalks(_) => {}
            News::Whole(_) => panic!("everything was loaded"),
            News::Change(change) => {
                assert_eq!((change.agents.len(), change.queues.len(), change.memberships.len()), (1, 0, 0));
                assert_eq!(change.agents[&Extension::new("1000")].as_ref().unwrap().pauses[0].reason, "lunch");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_gone_are_said_to_be_gone() {
    let database = shared().await.database().await;
    run(&connect(&database).await.client, TWO_QUEUES).await;
    let pool = Pool::new(&Connector::new(&database).unwrap(), 1).unwrap();
    let mut lease = pool.lease().await.unwrap();
    let mut keys = Keys::of_agent(Extension::new("9999"));
    keys.extend(&Keys::of_queue(QueueName::new("gone")));
    keys.extend(&Keys::of_membership(QueueName::new("support"), Extension::new("1000")));
    keys.extend(&Keys::of_membership(QueueName::new("sales"), Extension::new("2000")));
    let change = roster::load_rows(&mut lease, keys, "mark").await.unwrap();
    lease.done();
    assert_eq!(change.agents, [(Extension::new("9999"), None)].into());
    assert_eq!(change.queues, [(QueueName::new("gone"), None)].into());
    let there: Vec<bool> = change.memberships.values().map(Option::is_some).collect();
    assert_eq!(there, [false, true], "sales/2000 is no membership, support/1000 is one");
}

/// What comes next, by a generator of its own (xorshift): the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, faces: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % faces
    }

    /// A statement that changes something, or finds nothing to change, or is refused for what refers to the row.
    fn statement(&mut self) -> String {
        let (queue, other) = (self.below(4), self.below(4));
        let (agent, n) = (self.below(6), self.below(1_000_000));
        let member = format!("queue = 'q{queue}' AND extension = '{agent}'");
        match self.below(15) {
            0 => format!("INSERT INTO queues (name, label) VALUES ('q{queue}', '{n}') ON CONFLICT DO NOTHING"),
            1 => format!("UPDATE queues SET label = '{n}', weight = {other} WHERE name = 'q{queue}'"),
            2 => {
                format!("DELETE FROM memberships WHERE queue = 'q{queue}'; DELETE FROM queues WHERE name = 'q{queue}'")
            }
            // As an editor writes back all columns of a row.
            3 => format!("UPDATE queues SET name = name, label = '{n}' WHERE name IN ('q{queue}', 'q{other}')"),
            4 => format!("INSERT INTO extensions (number, jid) VALUES ('{agent}', '{n}@x') ON CONFLICT DO NOTHING"),
            5 => format!("UPDATE extensions SET name = '{n}' WHERE number = '{agent}'"),
            6 => format!(
                "DELETE FROM memberships WHERE extension = '{agent}'; DELETE FROM extensions WHERE number = '{agent}'"
            ),
            7 => format!(
                "UPDATE extensions SET number = '{other}' WHERE number = '{agent}' AND NOT EXISTS (SELECT FROM extensions WHERE number = '{other}')"
            ),
            8 | 9 => format!(
                "INSERT INTO memberships (queue, extension, penalty) SELECT queues.name, extensions.number, {other} FROM queues, extensions WHERE queues.name = 'q{queue}' AND extensions.number = '{agent}' ON CONFLICT DO NOTHING"
            ),
            10 => format!("UPDATE memberships SET penalty = {n}, logged_on = NOT logged_on WHERE {member}"),
            11 => format!(
                "UPDATE memberships SET queue = 'q{other}' WHERE {member} AND EXISTS (SELECT FROM queues WHERE name = 'q{other}') AND NOT EXISTS (SELECT FROM memberships WHERE queue = 'q{other}' AND extension = '{agent}')"
            ),
            12 => format!("DELETE FROM memberships WHERE {member}"),
            13 => format!(
                "INSERT INTO pauses (extension, queue, reason) SELECT extension, queue, '{n}' FROM memberships WHERE {member} ON CONFLICT (extension, coalesce(queue, ''), kind) DO UPDATE SET reason = excluded.reason"
            ),
            _ => format!("DELETE FROM pauses WHERE extension = '{agent}'"),
        }
    }
}

/// One after another at full speed; the roster after each.
async fn changes_by_many(database: Database, seed: u64, transactions: usize) -> Vec<Roster> {
    let pool = Pool::new(&Connector::new(&database).unwrap(), 1).unwrap();
    let mut lease = pool.lease().await.unwrap();
    let mut chance = Chance(seed);
    let mut states = Vec::new();
    for n in 0..transactions {
        let statements: Vec<String> = (0..=chance.below(4)).map(|_| chance.statement()).collect();
        // Now and then so much at once that it is not told row by row.
        let more = if n % 40 == 39 { "; TRUNCATE pauses" } else { "" };
        run(&lease, &format!("BEGIN; {}{more}; COMMIT", statements.join("; "))).await;
        states.push(roster::read(&mut lease).await.unwrap().0);
    }
    lease.done();
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_the_service_sees_states_that_there_were_in_their_order_and_ends_with_the_last() {
    for seed in [7, 99, 20_260_101] {
        let database = shared().await.database().await;
        let (mut running, first) = Running::ready(&database).await;
        let mut writer = tokio::spawn(changes_by_many(database.clone(), seed, 300));
        let mut states = vec![(*first).clone()];
        let mut seen = vec![first];
        loop {
            tokio::select! {
                written = &mut writer => {
                    states.extend(written.unwrap());
                    break;
                }
                roster = running.roster() => seen.push(roster),
            }
        }
        while seen.last().map(|roster| &**roster) != states.last() {
            seen.push(running.roster().await);
        }
        let mut at = 0;
        for (n, roster) in seen.iter().enumerate() {
            let found = states[at..].iter().position(|state| *state == **roster);
            at += found.unwrap_or_else(|| {
                panic!("seed {seed}: the {n}th roster never was, or before the one before it: {roster:#?}")
            });
        }
        assert!(seen.len() > 20, "{} rosters for {} states", seen.len(), states.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_talk_of_each_customer_is_known_after_a_restart_where_a_queue_goes_by_it() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let talks = async |database: &Database| {
        let (mut running, _) = Running::ready(database).await;
        match soon("talks", running.news.recv()).await.unwrap() {
            News::PastTalks(talks) => (*talks).clone(),
            other @ (News::Whole(_) | News::Change(_)) => panic!("{other:?}"),
        }
    };
    let call = |customer: i64, minutes: i64, by: &str| {
        format!(
            "INSERT INTO calls (id, server, channel, queue, customer_id, customer_code, customer_name, caller_number, caller_name, \
             entered_at, answered_at, answered_by, ended_at, outcome) VALUES (gen_random_uuid(), 'pbx', 'c', 'support', {customer}, \
             '1', 'x', '', '', now() - interval '{minutes} minutes', now(), {by}, now() - interval '{minutes} minutes', 'completed')"
        )
    };
    for (customer, minutes, by) in
        [(1, 30, "'2000'"), (1, 20, "'1000'"), (2, 10, "'2000'"), (2, 5, "NULL"), (3, 90, "'1000'"), (0, 1, "'1000'")]
    {
        run(&single.client, &call(customer, minutes, by)).await;
    }
    // The later call of customer 1 was sent on to a colleague, and by them to somebody outside.
    let sent_on = "INSERT INTO call_events (id, call_id, at, kind, extension, offer) \
                   SELECT gen_random_uuid(), id, now() - make_interval(mins => ago), 'answered', who, offer \
                   FROM calls, (VALUES (25, '1000', 1), (23, '3000', 2), (21, 'outside/777', 3)) AS talks (ago, who, offer) \
                   WHERE customer_id = 1 AND answered_by = '1000'";
    run(&single.client, sent_on).await;
    assert_eq!(talks(&database).await, [], "no queue goes by it");
    run(&single.client, "UPDATE queues SET sticky_seconds = 3600").await;
    let known: Vec<(i64, String)> = talks(&database)
        .await
        .into_iter()
        .map(|PastTalk { customer, extension, .. }| (customer, extension.to_string()))
        .collect();
    assert_eq!(known, [(1, "3000".to_owned()), (2, "2000".to_owned())]);
}
