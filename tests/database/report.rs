//! Reports and the story of a call, from what the service has written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::Value;
use usher::{
    config::Database,
    db::{
        pool::{Connector, Pool},
        records,
    },
    domain::{
        fact::{CallOutcome, Fact, OfferEnd, Stamped},
        id::{CallId, ChannelId, Extension, OfferNo, QueueName, ServerId},
        pop::PopOutcome,
        queue::{
            choice::{Choice, Considered},
            roster::{CallerId, Customer},
        },
    },
};
use uuid::Uuid;

use crate::{
    cli::Admin,
    fixture::connect,
    ledger::{code, stamp},
};

/// 1 November 2026, 0:00 UTC, in milliseconds.
const START: i64 = 1_761_955_200_000;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(START + milliseconds).unwrap()
}

/// What happens to a call; times in milliseconds, each after the one before.
#[derive(Debug, Clone)]
struct Script {
    id: Uuid,
    queue: &'static str,
    entered: i64,
    lost_offers: Vec<(&'static str, OfferEnd, i64)>,
    answered: Option<(&'static str, i64)>,
    ended: Option<(CallOutcome, i64)>,
    wrap_up: i64,
}

fn chosen(extension: &Extension) -> Box<Choice> {
    let considered = Considered { extension: extension.clone(), verdict: "chosen".into(), figures: None };
    Box::new(Choice { rule: "leastrecent".into(), chosen: extension.clone(), candidates: vec![considered], more: 0 })
}

fn script() -> impl Strategy<Value = Script> {
    let extension = || select(vec!["1000", "2000", "3000"]);
    let why = select(vec![OfferEnd::RingNoAnswer, OfferEnd::Rejected, OfferEnd::CallerGone, OfferEnd::Withdrawn]);
    let lost_offers = prop::collection::vec((extension(), why, 0i64..12_000), 0..4);
    let unanswered = select(vec![
        CallOutcome::Abandoned,
        CallOutcome::TimedOut,
        CallOutcome::NoMembers,
        CallOutcome::Stopped,
        CallOutcome::Lost,
    ]);
    let answered_end = select(vec![CallOutcome::Completed, CallOutcome::Completed, CallOutcome::Lost]);
    let end = (prop::bool::weighted(0.9), unanswered, answered_end, 0i64..200_000);
    let answered = prop::option::of((extension(), 0i64..15_000));
    // Around the range that is asked for, on both sides.
    let entered = -3_600_000i64..5 * 3_600_000;
    (select(vec!["support", "sales"]), entered, lost_offers, answered, end, 0i64..30_000).prop_map(
        |(queue, entered, lost_offers, answered, (is_over, unanswered, answered_end, after), wrap_up)| Script {
            id: Uuid::new_v4(),
            queue,
            entered,
            lost_offers,
            answered,
            ended: is_over.then_some((if answered.is_some() { answered_end } else { unanswered }, after)),
            wrap_up,
        },
    )
}

impl Script {
    fn facts(&self) -> Vec<Stamped> {
        let (call, mut now, mut offer) = (CallId(self.id), self.entered, 0);
        let mut facts = vec![stamp(
            at(now),
            Fact::CallEntered {
                call,
                server: ServerId::new("pbx"),
                channel: ChannelId::new("1.1"),
                queue: QueueName::new(self.queue),
                customer: Customer { id: 1, code: code("1111"), name: "Company 1".into() },
                caller: CallerId { number: "2000".into(), name: String::new() },
            },
        )];
        for (extension, why, after) in &self.lost_offers {
            offer += 1;
            let (offer, extension) = (OfferNo(offer), Extension::new(extension));
            facts.push(stamp(
                at(now),
                Fact::CallOffered { call, offer, choice: chosen(&extension), extension: extension.clone() },
            ));
            now += after;
            facts.push(stamp(at(now), Fact::OfferEnded { call, offer, extension, why: *why }));
        }
        if let Some((extension, after)) = self.answered {
            let (offer, extension) = (OfferNo(offer + 1), Extension::new(extension));
            let pop = PopOutcome::Confirmed;
            facts.push(stamp(
                at(now),
                Fact::CallOffered { call, offer, choice: chosen(&extension), extension: extension.clone() },
            ));
            facts.push(stamp(at(now), Fact::CallRinging { call, offer, extension: extension.clone(), pop }));
            now += after;
            facts.push(stamp(at(now), Fact::CallAnswered { call, offer, extension }));
        }
        if let Some((outcome, after)) = self.ended {
            let extension = self.answered.map(|(extension, _)| Extension::new(extension));
            facts.push(stamp(at(now + after), Fact::CallEnded { call, extension, outcome }));
        }
        facts
    }

    fn waits(&self) -> i64 {
        self.lost_offers.iter().map(|(_, _, after)| after).sum()
    }

    /// How long after the last step it ended, if that was seen.
    fn seen_to_end(&self) -> Option<i64> {
        self.ended.filter(|(outcome, _)| *outcome != CallOutcome::Lost).map(|(_, after)| after)
    }

    fn wait(&self) -> Option<i64> {
        self.answered.map(|(_, after)| after).or(self.seen_to_end()).map(|after| self.waits() + after)
    }

    fn talk(&self) -> Option<i64> {
        self.answered.and(self.seen_to_end())
    }

    /// When it was answered, and when its wrap-up began.
    fn works(&self) -> impl Iterator<Item = i64> {
        let answered = self.answered.map(|(_, after)| self.entered + self.waits() + after);
        answered.into_iter().chain(answered.zip(self.talk()).map(|(at, talk)| at + talk))
    }

    /// As planned, and not beyond what they did next.
    fn wrap_up(&self, all: &[Self]) -> i64 {
        let (Some((who, _)), Some(_), Some(began)) = (self.answered, self.talk(), self.works().last()) else {
            return 0;
        };
        let theirs = all.iter().filter(|script| script.answered.is_some_and(|(by, _)| by == who));
        let next = theirs.flat_map(Self::works).filter(|at| *at > began).min();
        next.map_or(self.wrap_up, |next| self.wrap_up.min(next - began))
    }

    fn is_in_time(&self, level: i64) -> bool {
        self.answered.is_some() && self.wait().is_some_and(|wait| wait <= level * 1000)
    }
}

async fn write(database: &Database, scripts: &[Script]) {
    let pool = Pool::new(&Connector::new(database).unwrap(), 1).unwrap();
    let mut lease = pool.lease().await.unwrap();
    // Calls interleaved, in batches, and each batch twice: it must count once.
    let mut facts: Vec<Stamped> = scripts.iter().flat_map(Script::facts).collect();
    facts.sort_by_key(|fact| fact.at);
    for batch in facts.chunks(7) {
        for _ in 0..2 {
            records::write(&mut lease, batch).await.unwrap();
        }
    }
    lease.done();
    let single = connect(database).await;
    for script in scripts {
        let (Some((extension, _)), Some(after)) = (script.answered, script.talk()) else { continue };
        let began = at(script.entered + script.waits() + script.answered.map_or(0, |(_, after)| after) + after);
        let until = began + jiff::SignedDuration::from_millis(script.wrap_up);
        let sql = "INSERT INTO call_events (id, call_id, at, kind, extension, detail) \
            VALUES ($1, $2, $3, 'wrap_up', $4, jsonb_build_object('until', $5::text))";
        let until = until.to_string();
        single.client.execute(sql, &[&Uuid::new_v4(), &script.id, &began, &extension, &until]).await.unwrap();
    }
}

fn number(row: &Value, column: &str) -> i64 {
    row[column].as_i64().unwrap_or_else(|| panic!("{column}: {row}"))
}

/// Seconds in milliseconds.
fn time(row: &Value, column: &str) -> Option<i64> {
    row[column].as_f64().map(|seconds| {
        #[expect(clippy::cast_possible_truncation, reason = "a few hours")]
        let milliseconds = (seconds * 1000.0).round() as i64;
        milliseconds
    })
}

fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>, column: &str) -> i64 {
    rows.into_iter()
        .map(|row| if column.ends_with("seconds") { time(row, column).unwrap_or(0) } else { number(row, column) })
        .sum()
}

/// By queue and extension, as the list has them.
const MEMBERS: [(&str, &str); 6] = [
    ("sales", "1000"),
    ("sales", "2000"),
    ("sales", "3000"),
    ("support", "1000"),
    ("support", "2000"),
    ("support", "3000"),
];
const FROM: &str = "2025-11-01T00:00Z";
const TO: &str = "2025-11-01T04:00Z";

fn report(admin: &Admin, what: &str, more: &[&str]) -> Vec<Value> {
    let arguments = [&["report", what, "--from", FROM, "--to", TO, "--format", "json"], more].concat();
    serde_json::from_str(&admin.done(&arguments)).unwrap()
}

/// Whether the reports say of these calls what a naive count says.
fn check(admin: &Admin, scripts: &[Script], levels: &BTreeMap<&str, i64>) {
    let inside: Vec<&Script> = scripts.iter().filter(|s| (0..4 * 3_600_000).contains(&s.entered)).collect();
    let calls = report(admin, "calls", &[]);
    assert_eq!(calls.len(), inside.len());
    for row in &calls {
        let script = inside.iter().find(|s| row["call"] == s.id.to_string()).unwrap();
        assert_eq!(row["queue"], script.queue);
        assert_eq!(row["outcome"].as_str(), script.ended.map(|(outcome, _)| outcome.as_str()));
        assert_eq!(row["answered_by"].as_str(), script.answered.map(|(extension, _)| extension));
        assert_eq!(time(row, "wait_seconds"), script.wait());
        assert_eq!(time(row, "talk_seconds"), script.talk());
        assert_eq!(time(row, "wrap_up_seconds"), Some(script.wrap_up(scripts)));
        let offers = script.lost_offers.len() + usize::from(script.answered.is_some());
        assert_eq!(number(row, "offers"), i64::try_from(offers).unwrap());
        assert_eq!(row["in_time"], script.is_in_time(levels[script.queue]));
        assert_eq!(row["entered_at"], at(script.entered).to_string());
    }

    let queues = report(admin, "queue", &[]);
    for name in ["sales", "support"] {
        let mine: Vec<&&Script> = inside.iter().filter(|s| s.queue == name).collect();
        let Some(row) = queues.iter().find(|row| row["queue"] == name) else {
            assert_eq!(mine.len(), 0, "{name} is missing");
            continue;
        };
        let count = |is: &dyn Fn(&Script) -> bool| i64::try_from(mine.iter().filter(|s| is(s)).count()).unwrap();
        assert_eq!(number(row, "offered"), count(&|_| true));
        assert_eq!(number(row, "answered"), count(&|s| s.answered.is_some()));
        assert_eq!(number(row, "in_time"), count(&|s| s.is_in_time(levels[name])));
        assert_eq!(number(row, "open"), count(&|s| s.ended.is_none()));
        for outcome in ["completed", "abandoned", "timed_out", "no_members", "stopped", "lost"] {
            let expected = count(&|s| s.ended.is_some_and(|(it, _)| it.as_str() == outcome));
            assert_eq!(number(row, outcome), expected, "{outcome}");
        }
        for outcome in ["full", "empty", "overflowed", "unknown_queue"] {
            assert_eq!(number(row, outcome), 0, "{outcome}");
        }
        let percent = (number(row, "in_time") as f64 * 1000.0 / mine.len() as f64).round() / 10.0;
        assert!((row["service_level_percent"].as_f64().unwrap() - percent).abs() < 0.11, "{row}");
        let waits: Vec<i64> = mine.iter().filter_map(|s| s.wait()).collect();
        assert_eq!(time(row, "longest_wait_seconds"), Some(waits.iter().copied().max().unwrap_or(0)));
        let average = waits.iter().sum::<i64>().checked_div(i64::try_from(waits.len()).unwrap());
        assert_eq!(time(row, "average_wait_seconds"), average);
        assert_eq!(time(row, "talk_seconds"), Some(mine.iter().filter_map(|s| s.talk()).sum()));
        assert_eq!(time(row, "wrap_up_seconds"), Some(mine.iter().map(|s| s.wrap_up(scripts)).sum()));
        let alone = report(admin, "queue", &["--queue", name]);
        assert_eq!(alone, std::slice::from_ref(row));
    }

    let agents = report(admin, "agent", &[]);
    for row in &agents {
        let name = row["extension"].as_str().unwrap();
        let mine: Vec<&&Script> = inside.iter().filter(|s| s.answered.is_some_and(|(by, _)| by == name)).collect();
        assert_eq!(number(row, "answered"), i64::try_from(mine.len()).unwrap());
        assert_eq!(time(row, "talk_seconds"), Some(mine.iter().filter_map(|s| s.talk()).sum()));
        let lost = |is: &dyn Fn(OfferEnd) -> bool| {
            let offers = inside.iter().flat_map(|s| &s.lost_offers).filter(|(who, why, _)| *who == name && is(*why));
            i64::try_from(offers.count()).unwrap()
        };
        assert_eq!(number(row, "missed"), lost(&|why| why == OfferEnd::RingNoAnswer));
        assert_eq!(number(row, "refused"), lost(&|why| why == OfferEnd::Rejected));
        assert_eq!(number(row, "offers"), lost(&|_| true) + number(row, "answered"));
        assert_eq!(report(admin, "agent", &["--extension", name]), std::slice::from_ref(row));
        assert_eq!(report(admin, "calls", &["--extension", name]).len(), mine.len());
    }

    // Each report against the others, and each divided against itself.
    for column in ["answered", "in_time", "talk_seconds", "wrap_up_seconds"] {
        assert_eq!(sum(&queues, column), sum(&agents, column), "{column}");
    }
    for column in ["talk_seconds", "wrap_up_seconds"] {
        assert_eq!(sum(&queues, column), sum(&calls, column), "{column}");
    }
    assert_eq!(sum(&agents, "offers"), sum(&calls, "offers"));
    for by in ["hour", "day"] {
        let divided = report(admin, "queue", &["--by", by]);
        for whole in &queues {
            let parts: Vec<&Value> = divided.iter().filter(|row| row["queue"] == whole["queue"]).collect();
            for column in
                ["offered", "answered", "in_time", "completed", "abandoned", "open", "talk_seconds", "wrap_up_seconds"]
            {
                let expected = sum([whole], column);
                assert_eq!(sum(parts.iter().copied(), column), expected, "{by} {column}");
            }
        }
        let divided = report(admin, "agent", &["--by", by]);
        for column in ["offers", "missed", "answered", "talk_seconds", "wrap_up_seconds"] {
            assert_eq!(sum(&divided, column), sum(&agents, column), "{by} {column}");
        }
    }
    for row in report(admin, "queue", &["--by", "hour"]) {
        let from: Timestamp = row["from"].as_str().unwrap().parse().unwrap();
        let hour = from.as_millisecond() - START;
        let mine = inside.iter().filter(|s| row["queue"] == s.queue && (hour..hour + 3_600_000).contains(&s.entered));
        assert_eq!(number(&row, "offered"), i64::try_from(mine.count()).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_agree_with_one_another_and_with_a_naive_count_to_the_call() {
    // Each case is a database of its own and some thirty commands, so that few must do; each holds many calls.
    let config = Config { cases: 4, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    let run = |scripts: Vec<Script>| {
        runtime.block_on(async {
            let admin = Admin::new().await;
            admin.done(&["queue", "add", "sales", "--service-level", "8s"]);
            for (queue, extension) in MEMBERS {
                admin.done(&["member", "add", queue, extension]);
            }
            write(&admin.database, &scripts).await;
            let taken: Vec<i64> = admin.list("member").iter().map(|row| number(row, "calls_taken")).collect();
            let expected = MEMBERS.map(|member| {
                let mine = scripts.iter().filter(|s| s.answered.is_some_and(|(by, _)| (s.queue, by) == member));
                i64::try_from(mine.count()).unwrap()
            });
            assert_eq!(taken, expected, "written twice, counted once");
            // A level that is changed later does not change what was.
            admin.done(&["queue", "change", "support", "--service-level", "1s"]);
            check(&admin, &scripts, &[("sales", 8), ("support", 20)].into());
        });
        Ok(())
    };
    let all = || TestRunner::new(config).run(&prop::collection::vec(script(), 0..60), run).unwrap();
    tokio::task::block_in_place(all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_csv_can_be_read_back_and_holds_no_formula() {
    let admin = Admin::new().await;
    let names = ["=cmd|'/C calc'!A0", "A, \"B\"\r\nC", "+49 30", "株式会社"];
    let pool = Pool::new(&Connector::new(&admin.database).unwrap(), 1).unwrap();
    let mut lease = pool.lease().await.unwrap();
    for (second, name) in names.iter().enumerate() {
        let call = CallId(Uuid::new_v4());
        let fact = Fact::CallEntered {
            call,
            server: ServerId::new("pbx"),
            channel: ChannelId::new("1.1"),
            queue: QueueName::new("support"),
            customer: Customer { id: 1, code: code("0071"), name: (*name).into() },
            caller: CallerId { number: "+4930".into(), name: String::new() },
        };
        records::write(&mut lease, &[stamp(at(i64::try_from(second).unwrap() * 1000), fact)]).await.unwrap();
    }
    let text = admin.done(&["report", "calls", "--from", "2025-11-01T01:00", "--format", "csv"]);
    assert!(text.ends_with("\r\n"), "{text:?}");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    let read: Vec<&str> = rows.iter().map(|row| row["customer_name"].as_str()).collect();
    assert_eq!(read, ["'=cmd|'/C calc'!A0", "A, \"B\"\r\nC", "'+49 30", "株式会社"]);
    assert_eq!((rows[0]["customer_code"].as_str(), rows[0]["caller_number"].as_str()), ("0071", "'+4930"));
    assert_eq!(rows[1]["entered_at"], "2025-11-01T01:00:01+01:00");
    let table = admin.done(&["report", "calls", "--from", "2025-11-01T01:00"]);
    assert!(table.contains("2025-11-01 01:00:01") && table.contains("株式会社"), "{table}");
    assert_eq!(table.lines().count(), 5, "a line break in a name breaks no line: {table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_made_says_why_and_an_empty_one_is_empty() {
    let admin = Admin::new().await;
    assert_eq!(report(&admin, "queue", &[]), Vec::<Value>::new());
    assert_eq!(admin.done(&["report", "agent"]), "no calls\n");
    for (status, arguments, expected) in [
        (1, &["queue", "--queue", "nowhere"][..], "there is no queue nowhere"),
        (1, &["calls", "--extension", "7777"], "there is no extension 7777"),
        (1, &["calls", "--from", "2025-11-02", "--to", "2025-11-01"], "--to is not after --from"),
        (2, &["calls", "--from", "yesterday"], "2026-11-01T08:00"),
        (2, &["calls", "--by", "hour"], "--by"),
        (2, &["queue", "--by", "week"], "hour"),
        (2, &["queue", "--format", "xml"], "csv"),
    ] {
        let complaint = admin.failed(status, &[&["report"], arguments].concat());
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
    let help = admin.done(&["report", "queue", "--help"]);
    for expected in ["ServicelevelPerf", "time zone", "apostrophe"] {
        assert!(help.contains(expected), "{expected}: {help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_up_counts_as_far_as_it_has_come_and_no_further_than_the_next_talk() {
    let admin = Admin::new().await;
    let call = |entered, ended, wrap_up| Script {
        id: Uuid::new_v4(),
        queue: "support",
        entered,
        lost_offers: vec![],
        answered: Some(("1000", 1_000)),
        ended: Some((CallOutcome::Completed, ended)),
        wrap_up,
    };
    // The second is answered two seconds after the first has ended: it had come back, or had been given to them by a colleague.
    let calls = [call(0, 10_000, 60_000), call(12_000, 5_000, 7_000)];
    write(&admin.database, &calls).await;
    let agents = report(&admin, "agent", &[]);
    assert_eq!(time(&agents[0], "wrap_up_seconds"), Some(2_000 + 7_000));
    // One that has only begun.
    let sql = "UPDATE call_events SET at = now() - interval '3 s', detail = jsonb_build_object('until', (now() + interval '1 hour')::text) \
        WHERE kind = 'wrap_up' AND call_id = $1";
    connect(&admin.database).await.client.execute(sql, &[&calls[1].id]).await.unwrap();
    let so_far = time(&report(&admin, "agent", &[])[0], "wrap_up_seconds").unwrap();
    assert!((5_000..120_000).contains(&so_far), "{so_far}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_the_story_of_a_call_and_what_decided_each_offer() {
    let admin = Admin::new().await;
    let call = Script {
        id: Uuid::new_v4(),
        queue: "support",
        entered: 0,
        lost_offers: vec![("1000", OfferEnd::RingNoAnswer, 15_000)],
        answered: Some(("2000", 4_000)),
        ended: Some((CallOutcome::Completed, 60_000)),
        wrap_up: 10_000,
    };
    write(&admin.database, std::slice::from_ref(&call)).await;
    let sql = "UPDATE call_events SET detail = detail || $1 WHERE kind = 'offered' AND offer = 1";
    let why = serde_json::json!({ "why": {
        "rule": "least_recent", "chosen": "1000", "more": 7,
        "candidates": [
            { "extension": "1000", "verdict": "chosen", "figures": { "calls_taken": 3 } },
            { "extension": "3000", "verdict": { "paused": "lunch" }, "figures": {} },
        ],
    }});
    connect(&admin.database).await.client.execute(sql, &[&why]).await.unwrap();
    let id = call.id.to_string();
    let story = admin.done(&["why", &id]);
    let mut rest = story.as_str();
    for expected in [
        "queue support, customer 1111 Company 1, from 2000, on pbx: answered by 2000, completed",
        "2025-11-01 01:00:00.000    +0.000 s  entered support",
        "offer 1 goes to 1000: least recent",
        "▶ 1000",
        "calls taken: 3",
        "paused: lunch",
        "and 7 more",
        "+15.000 s  offer 1 to 1000 ended: ring no answer",
        "offer 2 goes to 2000",
        "2000 rings, pop confirmed",
        "+19.000 s  2000 answered",
        "+79.000 s  ended: completed",
    ] {
        let found = rest.find(expected).unwrap_or_else(|| panic!("{expected}: {story}"));
        rest = &rest[found..];
    }
    let json: Value = serde_json::from_str(&admin.done(&["why", &id, "--json"])).unwrap();
    assert_eq!(json["events"][1]["detail"]["why"]["chosen"], "1000");
    let stranger = Uuid::new_v4().to_string();
    assert!(admin.failed(1, &["why", &stranger]).contains(&format!("there is no call {stranger}")));
    assert!(admin.failed(2, &["why", "17"]).contains("usher report calls"));
}
