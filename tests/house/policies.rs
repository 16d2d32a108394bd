//! What a queue's policy says, with real phones: ringall, pauses, wrap-up, autopause, penalties, overflow, a full and an empty
//! queue, the last member again, priority; and what `usher why` and `usher report` say of it afterwards.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Leg, Phone, Side},
    rig::{Builder, Rig},
    xmpp::Client,
};

use crate::{
    aid::{SOON, answers, app_queue_has, house, in_the_queue, log_says_times, story, talk},
    steps::{command, dial_and_hear, ringings, sql, value, wait_for_value},
};

/// A phone that lost stops within this time after another one was answered, and one whose turn has come rings.
const AT_ONCE: Duration = Duration::from_millis(700);

/// `8QPC`: enters the queue `support` (Q is 0) or `q1` to `q9` with priority P as customer C, as the shipped menu does it.
const DIALPLAN: &str = "\
[usher-incoming](+)
exten => _8XXX,1,Gosub(usher-answer,s,1)
 same => n,Set(USHER_TARGET=queue/${IF($[${EXTEN:1:1} = 0]?support:q${EXTEN:1:1})})
 same => n,Set(USHER_PRIORITY=${EXTEN:2:1})
 same => n,Set(CUSTOMER_ID=${EXTEN:3:1})
 same => n,Set(CUSTOMER_CODE=${EXTEN:3:1})
 same => n,Goto(usher-queue,s,1)
";

/// A queue: what its columns are set to, and its members with their penalties, in the order of their places.
type Queue<'a> = (&'a str, &'a [(&'a str, u32)]);

/// A house with these queues: `support`, `q1` and so on. Phones ring for long, where the queue does not say otherwise.
fn floor(name: &str, queues: &[Queue<'_>]) -> Builder {
    // Commands run beside the service on a busy machine.
    let mut builder = house(name).members(6).config("database", "timeout = \"8s\"").config("agi", "deadline = \"9s\"");
    for extension in ["1001", "1002", "1003"] {
        builder = builder.sql(&format!(
            "INSERT INTO extensions (number, name, jid) \
             VALUES ('{extension}', 'Agent {extension}', 'user{extension}@usher.test')"
        ));
    }
    let names = std::iter::once("support".to_owned()).chain((1..).map(|number| format!("q{number}")));
    for ((columns, members), name) in queues.iter().zip(names) {
        builder = builder.sql(&format!(
            "INSERT INTO queues (name, label) VALUES ('{name}', 'Queue {name}') ON CONFLICT DO NOTHING; \
             UPDATE queues SET greeting = '', ring_time_seconds = 30 WHERE name = '{name}'; \
             UPDATE queues SET {columns} WHERE name = '{name}'"
        ));
        for (place, (extension, penalty)) in members.iter().enumerate() {
            builder = builder.sql(&format!(
                "INSERT INTO memberships (queue, extension, logged_on, penalty, place) \
                 VALUES ('{name}', '{extension}', true, {penalty}, {place})"
            ));
        }
    }
    builder
}

async fn open(builder: Builder) -> Rig {
    let rig = builder.start().await.unwrap();
    fs::write(rig.pbx.folder().join("etc/site/extensions.conf"), DIALPLAN).unwrap();
    rig.pbx.cli("dialplan reload").await.unwrap();
    rig
}

fn phones<const N: usize>(rig: &Rig, numbers: [&str; N]) -> [Phone; N] {
    numbers.map(|number| rig.phones.phone(number).unwrap().clone())
}

async fn dial(rig: &Rig, from: &str, to: &str, ears: Ears) -> Leg {
    rig.phones.call(&CallSpec { from: Some(from.into()), to: to.into(), ears }).await.unwrap()
}

/// Dials straight into a queue, see [`DIALPLAN`], and is in it.
async fn enter(rig: &Rig, from: &str, to: &str) -> Leg {
    let caller = dial(rig, from, to, Ears::Closed).await;
    in_the_queue(rig, from).await;
    caller
}

/// Who rang for a caller, in order.
fn rung_for(rig: &Rig, from: &str) -> Vec<String> {
    let mut rung: Vec<(Instant, String)> = Vec::new();
    for phone in rig.phones.all() {
        let theirs = ringings(phone).into_iter().filter(|(_, number, _)| number == from);
        rung.extend(theirs.map(|(at, ..)| (at, phone.number().to_owned())));
    }
    rung.sort();
    rung.into_iter().map(|(_, number)| number).collect()
}

/// Waits until a caller and a member are joined, which is a moment after the phone was answered.
async fn joined(rig: &Rig, from: &str) {
    let answered = format!("SELECT answered_by IS NOT NULL FROM calls WHERE caller_number = '{from}'");
    wait_for_value(rig, &answered, "t").await;
}

/// Calls a queue, is answered and hangs up; yields who rang, the one who answered last.
async fn served(rig: &Rig, from: &str, to: &str) -> Vec<String> {
    let caller = dial(rig, from, to, Ears::Closed).await;
    joined(rig, from).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    rung_for(rig, from)
}

/// Changes the database by hand, and waits until the service has loaded it.
async fn change(rig: &Rig, statement: &str) {
    let loaded = rig.usher().unwrap().log().unwrap().matches("roster loaded").count();
    sql(rig, statement).await;
    log_says_times(rig, "roster loaded", loaded + 1).await;
}

/// What `usher …` prints as JSON.
pub async fn json(rig: &Rig, arguments: &[&str]) -> Value {
    let output = command(rig, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The line of a report whose column has that value.
pub fn line<'a>(report: &'a Value, column: &str, is: &str) -> &'a Value {
    let lines = report.as_array().unwrap_or_else(|| panic!("no lines: {report}"));
    lines.iter().find(|line| line[column] == is).unwrap_or_else(|| panic!("no {column} {is}: {report}"))
}

/// What `usher why` says of a caller's call.
async fn why(rig: &Rig, from: &str) -> String {
    let id = value(rig, &format!("SELECT id FROM calls WHERE caller_number = '{from}'")).await.unwrap();
    let output = command(rig, &["why", &id]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_ringall_every_phone_rings_the_first_answer_wins_and_the_others_stop_or_hear_that_it_was_taken() {
    let members: &[(&str, u32)] = &[("1000", 0), ("2000", 0), ("1001", 0)];
    let rig = open(floor("ringall", &[("strategy = 'ringall'", members)]).proxies()).await;
    let prompts = rig.pbx.prompts("en").unwrap();
    let all = phones(&rig, ["1000", "2000", "1001"]);
    let [one, two, three] = &all;
    let caller = enter(&rig, "5550001", "8000").await;
    let mut legs = Vec::new();
    for phone in &all {
        legs.push(phone.rung(1, SOON).await.unwrap());
    }
    legs[1].answer().await.unwrap();
    let answered = legs[1].answered(SOON).await.unwrap();
    for other in [&legs[0], &legs[2]] {
        let ended = other.hung_up(SOON).await.unwrap();
        let took = ended.at.saturating_duration_since(answered);
        assert!(took < AT_ONCE, "it rang on for {took:?}");
        assert_eq!((ended.by, other.state().answered), (Side::Them, None));
    }
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.answered_by, "2000");
    assert_eq!(all.each_ref().map(Phone::rings_so_far), [1, 1, 1]);

    // Two answer before either can be told of the other.
    one.behave(Behaviour::AnswerAfter(Duration::from_millis(300)));
    three.behave(Behaviour::AnswerAfter(Duration::from_millis(400)));
    rig.proxies.as_ref().unwrap().ari.delay(Duration::from_millis(300));
    let caller = dial(&rig, "5550002", "8000", Ears::Open).await;
    let [first, ringing, second] = [one.rung(2, SOON), two.rung(2, SOON), three.rung(2, SOON)].map(Box::pin);
    let (first, ringing, second) = (first.await.unwrap(), ringing.await.unwrap(), second.await.unwrap());
    first.answered(SOON).await.unwrap();
    second.answered(SOON).await.unwrap();
    rig.proxies.as_ref().unwrap().ari.heal();
    joined(&rig, "5550002").await;
    let by = value(&rig, "SELECT answered_by FROM calls WHERE caller_number = '5550002'").await.unwrap();
    let (winner, loser) = if by == "1000" { (&first, &second) } else { (&second, &first) };
    loser.wait_for_prompt(&prompts, "taken", SOON).await.unwrap();
    assert_eq!(loser.hung_up(SOON).await.unwrap().by, Side::Them);
    assert_eq!(ringing.hung_up(SOON).await.unwrap().by, Side::Them);
    talk(&caller, winner).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(all.each_ref().map(Phone::rings_so_far), [2, 2, 2]);
    let story = story(&rig, "5550002").await;
    assert_eq!((story.outcome.as_str(), &story.answered_by), ("completed", &by));
    assert!(why(&rig, "5550002").await.contains("ringall"));
    let report = json(&rig, &["report", "agent", "--format", "json"]).await;
    assert_eq!(line(&report, "extension", "2000")["offers"], 2, "{report}");
    assert_eq!(line(&report, "extension", "2000")["answered"], 1, "{report}");
    assert_eq!(line(&report, "extension", &by)["answered"], 1, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_paused_by_sql_is_not_rung_until_the_last_pause_is_gone_also_not_by_app_queue_after_kill_9() {
    let rig = open(floor("pauses", &[("strategy = 'linear'", &[("1000", 0), ("2000", 0)])])).await;
    let [one, two] = phones(&rig, ["1000", "2000"]);
    for phone in [&one, &two] {
        answers(phone);
    }
    sql(&rig, "INSERT INTO pauses (extension, reason) VALUES ('1000', 'lunch')").await;
    app_queue_has(&rig, &["1000 paused", "2000"]).await;
    assert_eq!(served(&rig, "5550001", "8000").await, ["2000"]);
    let why = why(&rig, "5550001").await;
    assert!(why.contains("paused (manual): lunch"), "{why}");
    // Two pauses: the end of one is not enough.
    change(&rig, "INSERT INTO pauses (extension, queue) VALUES ('1000', 'support')").await;
    change(&rig, "DELETE FROM pauses WHERE queue IS NULL").await;
    assert_eq!(served(&rig, "5550002", "8000").await, ["2000"]);
    sql(&rig, "DELETE FROM pauses").await;
    app_queue_has(&rig, &["1000", "2000"]).await;
    assert_eq!(served(&rig, "5550003", "8000").await, ["1000"]);

    sql(&rig, "INSERT INTO pauses (extension) VALUES ('1000')").await;
    app_queue_has(&rig, &["1000 paused", "2000"]).await;
    rig.usher().unwrap().kill().await.unwrap();
    two.behave(Behaviour::Reject);
    let (before, rings) = (one.rings_so_far(), two.rings_so_far());
    let caller = dial(&rig, "5550004", "8000", Ears::Closed).await;
    // It has tried everybody whom it may when it begins anew.
    two.rung(rings + 2, SOON).await.unwrap();
    assert_eq!(one.rings_so_far(), before, "app_queue rang the paused member");
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    answers(&two);
    rig.usher().unwrap().start_again().await.unwrap();
    assert_eq!(served(&rig, "5550005", "8000").await, ["2000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_not_rung_during_the_wrap_up_and_is_after_it_also_across_kill_9() {
    const WRAP_UP: Duration = Duration::from_secs(4);
    let rig = open(floor("wrapup", &[("wrap_up_seconds = 4", &[("1000", 0)])])).await;
    let [one] = phones(&rig, ["1000"]);
    answers(&one);
    let mut caller = enter(&rig, "5550001", "8000").await;
    one.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    for round in [2, 3] {
        let next = enter(&rig, &format!("555000{round}"), "8000").await;
        let answered = "SELECT count(*) FROM calls WHERE answered_by IS NOT NULL";
        wait_for_value(&rig, answered, &(round - 1).to_string()).await;
        let over = Instant::now();
        caller.hang_up().await.unwrap();
        let wrapped = "SELECT count(*) FROM call_events WHERE kind = 'wrap_up'";
        wait_for_value(&rig, wrapped, &(round - 1).to_string()).await;
        if round == 3 {
            rig.usher().unwrap().kill().await.unwrap();
            rig.usher().unwrap().start_again().await.unwrap();
        }
        one.rung(round, SOON).await.unwrap().answered(SOON).await.unwrap();
        let (rang, number, _) = ringings(&one).pop().unwrap();
        let waited = rang.saturating_duration_since(over);
        assert_eq!(number, format!("555000{round}"));
        assert!(waited >= WRAP_UP, "round {round}: rung after {waited:?}");
        assert!(waited < WRAP_UP + Duration::from_secs(4), "round {round}: rung after {waited:?} only");
        caller = next;
    }
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE answered_by IS NOT NULL", "3").await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    story(&rig, "5550003").await;
    // It counts as far as it has come.
    let over = "SELECT max((detail->>'until')::timestamptz) < now() FROM call_events WHERE kind = 'wrap_up'";
    wait_for_value(&rig, over, "t").await;
    let report = json(&rig, &["report", "agent", "--format", "json"]).await;
    let wrapped = line(&report, "extension", "1000")["wrap_up_seconds"].as_f64().unwrap();
    assert!((11.5..12.5).contains(&wrapped), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_two_unanswered_offers_a_member_is_paused_is_told_and_is_rung_again_after_logging_on_again() {
    let columns = "strategy = 'linear', ring_time_seconds = 1, auto_pause_after = 2";
    let rig = open(floor("autopause", &[(columns, &[("1000", 0), ("2000", 0)])])).await;
    let [one, two] = phones(&rig, ["1000", "2000"]);
    let client = Client::connect(&rig.prosody, "user1").await.unwrap();
    answers(&two);
    assert_eq!(served(&rig, "5550001", "8000").await, ["1000", "2000"]);
    let is_told =
        |body: &str| body.contains("2 calls in a row") && body.contains("paused") && body.contains("Log on again");
    assert!(!client.messages().iter().any(|message| message.body.as_deref().is_some_and(is_told)));
    assert_eq!(served(&rig, "5550002", "8000").await, ["1000", "2000"]);
    client.wait_for_message(SOON, |message| message.body.as_deref().is_some_and(is_told)).await.unwrap();
    app_queue_has(&rig, &["1000 paused", "2000"]).await;
    assert_eq!(served(&rig, "5550003", "8000").await, ["2000"]);
    dial_and_hear(&rig, &one, "*56466*", "logon").await;
    app_queue_has(&rig, &["1000", "2000"]).await;
    answers(&one);
    assert_eq!(served(&rig, "5550004", "8000").await, ["1000"]);

    let why = why(&rig, "5550003").await;
    for expected in ["linear", "▶ 2000", "paused (auto): 2 unanswered in a row", "2000 answered", "completed"] {
        assert!(why.contains(expected), "{expected:?} is not in {why}");
    }
    story(&rig, "5550004").await;
    let agents = json(&rig, &["report", "agent", "--format", "json"]).await;
    for (extension, offers, missed, answered) in [("1000", 3, 2, 1), ("2000", 3, 0, 3)] {
        let line = line(&agents, "extension", extension);
        assert_eq!(
            (&line["offers"], &line["missed"], &line["answered"]),
            (&offers.into(), &missed.into(), &answered.into()),
            "{line}"
        );
    }
    let queues = json(&rig, &["report", "queue", "--format", "json"]).await;
    let support = line(&queues, "queue", "support");
    for (column, count) in
        [("offered", 4), ("answered", 4), ("in_time", 4), ("completed", 4), ("abandoned", 0), ("open", 0)]
    {
        assert_eq!(support[column], count, "{column}: {support}");
    }
    let calls = json(&rig, &["report", "calls", "--format", "json"]).await;
    let second = line(&calls, "caller_number", "5550002");
    assert_eq!((&second["answered_by"], &second["offers"]), (&"2000".into(), &2.into()), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_penalised_are_rung_when_nobody_else_is_free_the_last_member_again_and_the_urgent_caller_first() {
    let queues: [Queue<'_>; 4] = [
        ("strategy = 'leastrecent'", &[("1000", 0), ("2000", 5)]),
        ("strategy = 'linear', sticky_seconds = 600", &[("1001", 0), ("1002", 0)]),
        ("weight = 0", &[("1003", 0)]),
        ("weight = 5", &[("1003", 0)]),
    ];
    let rig = open(floor("order", &queues)).await;
    let [one, two, three, four, five] = phones(&rig, ["1000", "2000", "1001", "1002", "1003"]);
    for phone in [&one, &two, &four] {
        answers(phone);
    }

    let first = enter(&rig, "5550001", "8000").await;
    one.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    let second = enter(&rig, "5550002", "8000").await;
    two.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert_eq!((rung_for(&rig, "5550001"), rung_for(&rig, "5550002")), (vec!["1000".into()], vec!["2000".into()]));
    joined(&rig, "5550002").await;
    second.hang_up().await.unwrap();
    assert_eq!(story(&rig, "5550002").await.answered_by, "2000");
    first.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    // 2000 has been idle for longer.
    assert_eq!(served(&rig, "5550003", "8000").await, ["1000"]);

    // Customer 1 has spoken with 1002, because 1001 refused; customer 2 with nobody.
    three.behave(Behaviour::Reject);
    assert_eq!(served(&rig, "5551001", "8101").await, ["1001", "1002"]);
    answers(&three);
    assert_eq!(served(&rig, "5551002", "8101").await, ["1002"]);
    assert_eq!(served(&rig, "5551003", "8102").await, ["1001"]);
    let why = why(&rig, "5551002").await;
    assert!(why.contains("sticky"), "{why}");
    // Who is not free is not waited for.
    let first = enter(&rig, "5551004", "8101").await;
    four.rung(3, SOON).await.unwrap().answered(SOON).await.unwrap();
    let second = enter(&rig, "5551005", "8101").await;
    three.rung(3, SOON).await.unwrap().answered(SOON).await.unwrap();
    first.hang_up().await.unwrap();
    second.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(rung_for(&rig, "5551005"), ["1001"]);

    // One phone for two queues: the heavier queue, then the priority, then who waits longer.
    let mut ringing = enter(&rig, "5552001", "8200").await;
    five.rung(1, SOON).await.unwrap();
    let long = enter(&rig, "5552002", "8200").await;
    let urgent = enter(&rig, "5552003", "8290").await;
    let heavy = enter(&rig, "5552004", "8300").await;
    for (rings, caller, from) in [(2, heavy, "5552004"), (3, urgent, "5552003"), (4, long, "5552002")] {
        ringing.hang_up().await.unwrap();
        five.rung(rings, SOON).await.unwrap();
        assert_eq!(ringings(&five).pop().unwrap().1, from);
        ringing = caller;
    }
    ringing.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_too_long_or_finds_the_queue_full_or_empty_goes_where_the_queue_says_and_the_right_phone_rings() {
    let queues: [Queue<'_>; 5] = [
        ("queue_timeout_seconds = 2, overflow = 'queue/q1'", &[("1000", 0)]),
        ("strategy = 'linear'", &[("2000", 0), ("1000", 0)]),
        ("max_waiting = 1, overflow = 'extension/1001'", &[("1002", 0)]),
        ("max_waiting = 1", &[("1003", 0)]),
        ("join_empty = 'paused', leave_empty = 'paused'", &[("1002", 0)]),
    ];
    let rig = open(floor("overflow", &queues)).await;
    let prompts = rig.pbx.prompts("en").unwrap();
    let [one, two, target, four, five, fallback] = phones(&rig, ["1000", "2000", "1001", "1002", "1003", "3000"]);
    for phone in [&two, &target, &fallback] {
        answers(phone);
    }

    // Too long: into another queue.
    let caller = enter(&rig, "5550001", "8000").await;
    let begin = Instant::now();
    let leg = one.rung(1, SOON).await.unwrap();
    let next = two.rung(1, SOON).await.unwrap();
    next.answered(SOON).await.unwrap();
    assert!(begin.elapsed() > Duration::from_secs(1), "after {:?}", begin.elapsed());
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    let by = "SELECT answered_by FROM calls WHERE caller_number = '5550001'";
    wait_for_value(&rig, by, "2000").await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let told = story(&rig, "5550001").await;
    assert_eq!((told.outcome.as_str(), rung_for(&rig, "5550001")), ("completed", vec!["1000".into(), "2000".into()]));
    let why = why(&rig, "5550001").await;
    for expected in ["overflowed", "q1", "timed out"] {
        assert!(why.contains(expected), "{expected:?} is not in {why}");
    }

    // Full: to a phone; without such a target to the fallback of the dialplan.
    let mut holding = Vec::new();
    for (from, number, phone) in [("5550002", "8200", &four), ("5550003", "8300", &five)] {
        holding.push(enter(&rig, from, number).await);
        phone.rung(1, SOON).await.unwrap();
    }
    for (from, number, rings) in [("5550004", "8200", &target), ("5550005", "8300", &fallback)] {
        let caller = dial(&rig, from, number, Ears::Open).await;
        caller.wait_for_prompt(&prompts, "timed_out", SOON).await.unwrap();
        rings.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
        assert_eq!(rung_for(&rig, from), [rings.number()]);
        caller.hang_up().await.unwrap();
    }
    assert_eq!(story(&rig, "5550004").await.outcome, "overflowed");
    assert_eq!(story(&rig, "5550005").await.outcome, "full");

    // Empty: 1002 rings for another queue, which is no reason to leave; the pause is. And then nobody may enter.
    let waits = dial(&rig, "5550006", "8400", Ears::Open).await;
    in_the_queue(&rig, "5550006").await;
    change(&rig, "INSERT INTO pauses (extension, queue) VALUES ('1002', 'q4')").await;
    waits.wait_for_prompt(&prompts, "no_members", SOON).await.unwrap();
    fallback.rung(2, SOON).await.unwrap().answered(SOON).await.unwrap();
    waits.hang_up().await.unwrap();
    let refused = dial(&rig, "5550007", "8400", Ears::Closed).await;
    fallback.rung(3, SOON).await.unwrap();
    refused.hang_up().await.unwrap();
    for from in ["5550006", "5550007"] {
        assert_eq!(story(&rig, from).await.outcome, "empty");
        assert_eq!(rung_for(&rig, from), ["3000"]);
    }
    for caller in holding {
        caller.hang_up().await.unwrap();
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    story(&rig, "5550002").await;
    story(&rig, "5550003").await;
    let report = json(&rig, &["report", "queue", "--format", "json"]).await;
    for (queue, counts) in [
        ("support", [("offered", 1), ("completed", 1)]),
        ("q2", [("abandoned", 1), ("overflowed", 1)]),
        ("q3", [("abandoned", 1), ("full", 1)]),
        ("q4", [("offered", 2), ("empty", 2)]),
    ] {
        for (column, count) in counts {
            assert_eq!(line(&report, "queue", queue)[column], count, "{queue}, {column}: {report}");
        }
    }
}
