//! The ledger while the database is there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use usher::{
    config::Database,
    db::pool::Single,
    domain::{
        fact::{CallOutcome, Fact, OfferEnd, Stamped},
        id::{CallId, ChannelId, CustomerCode, Extension, OfferNo, QueueName, ServerId},
        pop::PopOutcome,
        queue::{
            choice::Choice,
            roster::{CallerId, Customer, Register, Roster},
        },
    },
    ledger::{self, Change, Handle, News},
    link::Link,
};
use uuid::Uuid;

use crate::fixture::{connect, eventually, shared, soon};

/// A running ledger, stopped when dropped.
pub struct Running {
    pub handle: Handle,
    pub news: mpsc::Receiver<News>,
    /// What the news so far come to.
    pub register: Register,
    pub task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    pub async fn start(database: &Database) -> Self {
        let stop = CancellationToken::new();
        let (handle, news, task) = ledger::spawn(database, ledger::Terms::alone(), stop.clone()).await.unwrap();
        Self { handle, news, register: Register::default(), task, stop }
    }

    /// Started and connected, with its first snapshot.
    pub async fn ready(database: &Database) -> (Self, Arc<Roster>) {
        let mut this = Self::start(database).await;
        let roster = this.roster().await;
        (this, roster)
    }

    /// The roster after the next piece of news of it.
    pub async fn roster(&mut self) -> Arc<Roster> {
        loop {
            let news = soon("news of the roster", self.news.recv()).await.expect("the ledger runs");
            if self.hear(news) {
                return Arc::new(self.register.to_roster());
            }
        }
    }

    /// Whether it is news of the roster.
    pub fn hear(&mut self, news: News) -> bool {
        match news {
            News::Whole(roster) => self.register.replace(&roster),
            News::Change(change) => self.register.apply(&change),
            News::PastTalks(_) => return false,
        }
        true
    }

    /// The first snapshot of which this is true.
    pub async fn roster_where(&mut self, is: impl Fn(&Roster) -> bool) -> Arc<Roster> {
        loop {
            let roster = self.roster().await;
            if is(&roster) {
                return roster;
            }
        }
    }

    /// Throws the snapshots away, so that they never wait for a reader.
    fn read_by_nobody(mut self) -> (Handle, JoinHandle<()>) {
        let handle = self.handle.clone();
        (handle, tokio::spawn(async move { while self.news.recv().await.is_some() {} }))
    }

    pub async fn link_is_up(&self) {
        soon("link up", self.handle.link().wait_for(|link| matches!(link, Link::Up { .. }))).await.unwrap();
    }

    pub async fn link_is_down(&self) {
        soon("link down", self.handle.link().wait_for(|link| matches!(link, Link::Down { .. }))).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn support() -> QueueName {
    QueueName::new("support")
}

pub fn code(text: &str) -> CustomerCode {
    CustomerCode::new(text)
}

pub fn stamp(at: Timestamp, fact: Fact) -> Stamped {
    Stamped { id: Uuid::now_v7(), at, fact }
}

pub fn entered(call: CallId, caller: &str) -> Fact {
    Fact::CallEntered {
        call,
        server: ServerId::new("pbx"),
        channel: ChannelId::new("1700000000.1"),
        queue: support(),
        customer: Customer { id: 1, code: code("1111"), name: "Company 1".into() },
        caller: CallerId { number: caller.into(), name: String::new() },
    }
}

pub fn ended(call: CallId, extension: Option<&str>) -> Fact {
    let outcome = if extension.is_some() { CallOutcome::Completed } else { CallOutcome::Abandoned };
    Fact::CallEnded { call, extension: extension.map(Extension::new), outcome }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn choice(extension: &Extension) -> Box<Choice> {
    Box::new(Choice { rule: "leastrecent".into(), chosen: extension.clone(), candidates: Vec::new(), more: 0 })
}

fn logged_on(roster: &Roster, extension: &str) -> Option<bool> {
    roster.memberships.iter().find(|member| member.extension.as_str() == extension).map(|member| member.logged_on)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_call_can_be_read_in_the_database_afterwards() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let handle = &running.handle;
    for extension in ["1000", "3000"] {
        assert_eq!(handle.log_on(&support(), &Extension::new(extension)).await, Ok(Change::Done));
    }
    let call = CallId(Uuid::now_v7());
    let (offer, again) = (OfferNo(1), OfferNo(2));
    let (first, second) = (Extension::new("3000"), Extension::new("1000"));
    let why = OfferEnd::RingNoAnswer;
    let facts = [
        entered(call, "2000"),
        Fact::CallOffered { call, offer, extension: first.clone(), choice: choice(&first) },
        Fact::CallRinging { call, offer, extension: first.clone(), pop: PopOutcome::Confirmed },
        Fact::OfferEnded { call, offer, extension: first, why },
        Fact::CallOffered { call, offer: again, extension: second.clone(), choice: choice(&second) },
        Fact::CallRinging { call, offer: again, extension: second.clone(), pop: PopOutcome::TimedOut },
        Fact::CallAnswered { call, offer: again, extension: second },
        ended(call, Some("1000")),
    ];
    for (second, fact) in facts.into_iter().enumerate() {
        handle.record(stamp(at(i64::try_from(second).unwrap()), fact));
    }
    assert_eq!(handle.flush(Duration::from_secs(20)).await, 0);

    let single = connect(&database).await;
    let row = single.client.query_one("SELECT * FROM calls WHERE id = $1", &[&call.0]).await.unwrap();
    assert_eq!(row.get::<_, &str>("customer_name"), "Company 1");
    assert_eq!(row.get::<_, &str>("caller_number"), "2000");
    assert_eq!(row.get::<_, Timestamp>("entered_at"), at(0));
    assert_eq!(row.get::<_, Option<Timestamp>>("answered_at"), Some(at(6)));
    assert_eq!(row.get::<_, Option<&str>>("answered_by"), Some("1000"));
    assert_eq!(row.get::<_, Option<Timestamp>>("ended_at"), Some(at(7)));
    assert_eq!(row.get::<_, Option<&str>>("outcome"), Some("completed"));
    let sql = "SELECT concat_ws(' ', kind, extension, offer, detail - 'channel' - 'server' #- '{why,candidates}') \
         FROM call_events ORDER BY at";
    let events: Vec<String> = single.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(
        events,
        [
            r#"entered {"queue": "support"}"#,
            r#"offered 3000 1 {"why": {"more": 0, "rule": "leastrecent", "chosen": "3000"}}"#,
            r#"ringing 3000 1 {"pop": "confirmed"}"#,
            r#"offer_ended 3000 1 {"why": "ring_no_answer"}"#,
            r#"offered 1000 2 {"why": {"more": 0, "rule": "leastrecent", "chosen": "1000"}}"#,
            r#"ringing 1000 2 {"pop": "timed_out"}"#,
            "answered 1000 2 {}",
            r#"ended 1000 {"outcome": "completed"}"#,
        ]
    );
    let sql = "SELECT extension, last_call_at, calls_taken FROM memberships ORDER BY extension";
    let rows = single.client.query(sql, &[]).await.unwrap();
    let last: Vec<(&str, Option<Timestamp>, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(last, [("1000", Some(at(7)), 1), ("3000", None, 0)]);
}

/// A database with a second queue, and what is to be in it beside.
async fn with_sales(sql: &str) -> (Database, Single) {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let queue = "INSERT INTO queues (name, label) VALUES ('sales', 'Sales')";
    single.client.batch_execute(&format!("{queue}; {sql}")).await.unwrap();
    (database, single)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_last_call_never_moves_back_and_counts_in_every_queue() {
    let (database, single) =
        with_sales("INSERT INTO memberships (queue, extension) VALUES ('sales', '1000'), ('support', '1000')").await;
    let (running, _) = Running::ready(&database).await;
    for seconds in [50, 90, 10] {
        running.handle.record(stamp(at(seconds), ended(CallId(Uuid::now_v7()), Some("1000"))));
        assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    }
    let rows = single.client.query("SELECT last_call_at FROM memberships", &[]).await.unwrap();
    let last: Vec<Timestamp> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(last, [at(90), at(90)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_joins_a_second_queue_keeps_the_end_of_the_last_call() {
    let member =
        "INSERT INTO memberships (queue, extension, last_call_at) VALUES ('sales', '1000', '2026-01-01 10:00Z')";
    let (database, _single) = with_sales(member).await;
    let (mut running, _) = Running::ready(&database).await;
    assert_eq!(running.handle.log_on(&support(), &Extension::new("1000")).await, Ok(Change::Done));
    let roster = running.roster_where(|roster| roster.memberships.len() == 2).await;
    assert!(
        roster.memberships.iter().all(|member| member.last_call_at == "2026-01-01T10:00Z".parse().ok()),
        "{roster:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_is_recorded_twice_is_written_once() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let fact = stamp(at(0), entered(CallId(Uuid::now_v7()), "2000"));
    running.handle.record(fact.clone());
    assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    running.handle.record(fact);
    assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    let single = connect(&database).await;
    let sql = "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM call_events)";
    let row = single.client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_the_database_refuses_does_not_hold_up_the_others() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    single
        .client
        .batch_execute("ALTER TABLE calls ADD CONSTRAINT test CHECK (caller_number <> 'poison')")
        .await
        .unwrap();
    let (running, _) = Running::ready(&database).await;
    for n in 0..301 {
        let caller = if n == 137 { "poison" } else { "2000" };
        running.handle.record(stamp(at(n), entered(CallId(Uuid::now_v7()), caller)));
    }
    assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    let counts = running.handle.counts();
    assert_eq!((counts.written, counts.refused), (300, 1));
    let row = single.client.query_one("SELECT count(*) FROM calls", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_caller_id_is_written_as_it_is_and_a_nul_in_it_is_replaced() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let hostile = "'; DROP TABLE calls; -- \\ \" , & <x> 株 \0 {}";
    running.handle.record(stamp(at(0), entered(CallId(Uuid::now_v7()), hostile)));
    assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    let single = connect(&database).await;
    let row = single.client.query_one("SELECT caller_number FROM calls", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), hostile.replace('\0', "\u{FFFD}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_code_finds_its_customer_whatever_is_in_the_name() {
    let (running, _) = Running::ready(&shared().await.database().await).await;
    for (keyed, name) in [
        ("1111", Some("Company 1")),
        ("3333", Some("A & B <C>")),
        ("4444", Some("X,Y")),
        ("5555", Some("X|Y")),
        ("6666", Some("Šárka \"Ünïcode\" 株式会社")),
        ("9999", None),
        ("01111", None),
    ] {
        let found = running.handle.customer(&code(keyed)).await.unwrap();
        assert_eq!(found.as_ref().map(|customer| customer.name.as_str()), name, "{keyed}");
    }
    assert_eq!(running.handle.customer(&code("1111")).await.unwrap().unwrap().id, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_to_p11_who_logs_on_and_off_is_told_so_once_or_again_and_a_stranger_is_refused() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let (handle, _reader) = running.read_by_nobody();
    let (known, stranger) = (Extension::new("1000"), Extension::new("7777"));
    assert_eq!(handle.log_off(&support(), &known).await, Ok(Change::Done), "never logged on: it is off");
    assert_eq!(handle.log_off(&support(), &stranger).await, Ok(Change::Refused), "unknown extension");
    assert_eq!(handle.log_off(&QueueName::new("nowhere"), &known).await, Ok(Change::Refused), "unknown queue");
    assert_eq!(handle.log_on(&support(), &stranger).await, Ok(Change::Refused), "unknown extension");
    assert_eq!(handle.log_on(&QueueName::new("nowhere"), &known).await, Ok(Change::Refused), "unknown queue");
    let single = connect(&database).await;
    let row = single.client.query_one("SELECT count(*) FROM memberships", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);

    assert_eq!(handle.log_on(&support(), &known).await, Ok(Change::Done));
    assert_eq!(handle.log_on(&support(), &known).await, Ok(Change::Done), "again");
    assert_eq!(handle.log_off(&support(), &known).await, Ok(Change::Done));
    assert_eq!(handle.log_off(&support(), &known).await, Ok(Change::Done), "again");
    let row = single.client.query_one("SELECT count(*), bool_or(logged_on) FROM memberships", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, false));
}

/// The answer, while the news are read as the floor reads them: whoever asks without reading waits for their own reading.
async fn reading<T>(running: &mut Running, asked: impl Future<Output = T>) -> T {
    tokio::pin!(asked);
    loop {
        tokio::select! {
            biased;
            answer = &mut asked => return answer,
            Some(news) = running.news.recv() => {
                running.hear(news);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_pause_returns_the_floor_has_been_told_and_a_resumption_says_what_is_left() {
    let database = shared().await.database().await;
    let (mut running, _) = Running::ready(&database).await;
    let (handle, agent) = (running.handle.clone(), Extension::new("1000"));
    let told = |running: &mut Running| {
        while let Ok(news) = running.news.try_recv() {
            running.hear(news);
        }
        let pauses = running.register.agent(&agent).unwrap().pauses.clone();
        pauses.into_iter().map(|pause| (pause.queue, pause.reason)).collect::<Vec<_>>()
    };
    let lunch = (None, "lunch".to_owned());
    let training = (Some(support()), "training".to_owned());
    assert_eq!(reading(&mut running, handle.pause(&agent, None, "lunch")).await, Ok(Change::Done));
    assert_eq!(told(&mut running), std::slice::from_ref(&lunch));
    assert_eq!(
        reading(&mut running, handle.pause(&agent, Some(&support()), "")).await,
        Ok(Change::Refused),
        "not a member of it"
    );
    assert_eq!(reading(&mut running, handle.log_on(&support(), &agent)).await, Ok(Change::Done));
    assert_eq!(reading(&mut running, handle.pause(&agent, Some(&support()), "meeting")).await, Ok(Change::Done));
    assert_eq!(
        reading(&mut running, handle.pause(&agent, Some(&support()), "training")).await,
        Ok(Change::Done),
        "another reason"
    );
    assert_eq!(told(&mut running), [lunch.clone(), training]);
    let resumed = reading(&mut running, handle.resume(&agent, Some(&support()))).await.unwrap().unwrap();
    assert_eq!((resumed.ended, resumed.left.len()), (1, 1), "the other one is everywhere");
    assert_eq!(told(&mut running), [lunch]);
    let resumed = reading(&mut running, handle.resume(&agent, None)).await.unwrap().unwrap();
    assert_eq!((resumed.ended, resumed.left), (1, vec![]));
    assert!(told(&mut running).is_empty());
    assert_eq!(reading(&mut running, handle.resume(&agent, None)).await.unwrap().unwrap().ended, 0);
    let nobody = Extension::new("9999");
    assert_eq!(reading(&mut running, handle.pause(&nobody, None, "")).await, Ok(Change::Refused));
    assert_eq!(
        reading(&mut running, handle.pause(&agent, Some(&QueueName::new("nowhere")), "")).await,
        Ok(Change::Refused)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_log_on_returns_the_floor_has_been_told_and_no_older_roster_follows() {
    let database = shared().await.database().await;
    let (mut running, _) = Running::ready(&database).await;
    let extension = Extension::new("1000");
    for round in 0..20 {
        let on = round % 2 == 0;
        let change = if on {
            running.handle.log_on(&support(), &extension).await
        } else {
            running.handle.log_off(&support(), &extension).await
        };
        assert_eq!(change, Ok(Change::Done));
        let mut last = None;
        while let Ok(news) = running.news.try_recv() {
            if running.hear(news) {
                last = logged_on(&running.register.to_roster(), "1000");
            }
        }
        assert_eq!(last, Some(on), "round {round}");
    }
    // Whatever still follows says the same.
    let single = connect(&database).await;
    single.client.batch_execute("UPDATE queues SET label = 'Last'").await.unwrap();
    loop {
        let roster = running.roster().await;
        assert_eq!(logged_on(&roster, "1000"), Some(false));
        if roster.queues[0].label == "Last" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_by_hand_in_sql_reaches_the_running_service() {
    let database = shared().await.database().await;
    let (mut running, roster) = Running::ready(&database).await;
    assert_eq!(roster.agents.len(), 3);
    assert_eq!(roster.queues[0].ring_time, Duration::from_secs(15));
    assert_eq!(roster.queues[0].queue_timeout, Duration::from_secs(60));
    assert_eq!(roster.queues[0].announcement, "{queue}: Customer {name}");
    let single = connect(&database).await;
    let sql = "INSERT INTO extensions (number, name, jid) VALUES ('4000', 'Agent Four', 'user4@usher.test')";
    single.client.batch_execute(sql).await.unwrap();
    let roster = running.roster_where(|roster| roster.agents.len() == 4).await;
    assert_eq!(roster.agents[3].interface.as_str(), "PJSIP/4000");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_records_at_once_are_written_many_at_a_time() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    // How long one takes by itself, on this machine and now.
    let begin = Instant::now();
    for n in 0..100 {
        running.handle.record(stamp(at(n), ended(CallId(Uuid::now_v7()), None)));
        assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    }
    let one = begin.elapsed() / 100;
    for n in 0..2_500 {
        let call = CallId(Uuid::now_v7());
        running.handle.record(stamp(at(n), entered(call, "2000")));
        running.handle.record(stamp(at(n + 1), ended(call, Some("1000"))));
    }
    let left = running.handle.flush(one * 5_000).await;
    assert_eq!(left, 0, "not faster than one after the other, {one:?} each");
    let single = connect(&database).await;
    let row = single.client.query_one("SELECT count(*) FROM calls WHERE outcome = 'completed'", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_still_in_the_history_of_calls() {
    let database = shared().await.database().await;
    let (running, _) = Running::ready(&database).await;
    let call = CallId(Uuid::now_v7());
    running.handle.record(stamp(at(0), entered(call, "2000")));
    let answered = Fact::CallAnswered { call, offer: OfferNo(1), extension: Extension::new("1000") };
    running.handle.record(stamp(at(1), answered));
    assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    let single = connect(&database).await;
    let sql = "DELETE FROM extensions; DELETE FROM customers; DELETE FROM queues";
    single.client.batch_execute(sql).await.unwrap();
    running.handle.record(stamp(at(2), ended(call, Some("1000"))));
    assert_eq!(running.handle.flush(Duration::from_secs(20)).await, 0);
    let row = single.client.query_one("SELECT customer_name, answered_by, outcome FROM calls", &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("Company 1", "1000", "completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_a_missing_database_and_a_strange_schema_stop_the_start_with_what_to_do() {
    let postgres = shared().await;
    let database = postgres.database().await;
    let admin = connect(&database).await;
    admin.client.batch_execute("CREATE ROLE guarded LOGIN PASSWORD 'right'").await.unwrap();

    let wrong_password =
        Database { user: "guarded".into(), password: Some(SecretString::from("wrong")), ..database.clone() };
    let no_password = Database { user: "guarded".into(), ..database.clone() };
    let no_rights =
        Database { user: "guarded".into(), password: Some(SecretString::from("right")), ..database.clone() };
    // No account of this machine is called so.
    let stranger = Database { user: "housed".into(), ..database.clone() };
    let missing = Database { name: "nowhere".into(), ..database.clone() };
    let empty = postgres.empty().await;
    let newer = postgres.database().await;
    let sql =
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (999, 'later', '', '0')";
    connect(&newer).await.client.batch_execute(sql).await.unwrap();

    for (database, expected) in [
        (wrong_password, "check database.user, the password"),
        (no_password, "USHER_DATABASE_PASSWORD"),
        (no_rights, "permission denied"),
        (stranger, "run it as that, with `runuser -u housed -- usher …`"),
        (missing, "create the database, or check database.name"),
        (empty, "run `usher migrate`"),
        (newer, "install the newer program"),
    ] {
        let error = ledger::spawn(&database, ledger::Terms::alone(), CancellationToken::new())
            .await
            .err()
            .unwrap_or_else(|| panic!("{expected}"));
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(!format!("{error:?} {error}").contains("wrong"), "the password is shown: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_told_to_stop_ends_and_says_what_it_could_not_write() {
    let database = shared().await.database().await;
    let (mut running, _) = Running::ready(&database).await;
    running.stop.cancel();
    soon("end of the task", &mut running.task).await.unwrap();
    running.handle.record(stamp(at(0), entered(CallId(Uuid::now_v7()), "2000")));
    assert_eq!(running.handle.flush(Duration::from_millis(1)).await, 1);
    assert!(running.handle.log_on(&support(), &Extension::new("1000")).await.is_err());
    eventually("no more news", async || running.news.is_closed()).await;
}
