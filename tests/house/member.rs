//! What a member lives through: logging on and off, and who is rung.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, CallSpec},
    prosody::DOMAIN,
    wait,
    xmpp::Client,
};

use crate::steps::{Crm, SOON, call_support, command, dial_and_hear, house, sql, value, wait_for_value};

const MEMBERSHIPS: &str =
    "SELECT string_agg(queue || ' ' || extension || ' ' || logged_on, ', ' ORDER BY extension) FROM memberships";

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_member_logs_on_has_a_row_a_node_and_a_message() {
    let rig = house("p7").start().await.unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    dial_and_hear(&rig, rig.phones.phone("1000").unwrap(), "*56466*", "logon").await;
    assert_eq!(value(&rig, MEMBERSHIPS).await.unwrap(), "support 1000 true");
    assert_eq!(agent.items("extension1000").await.unwrap(), []);
    let body = "You are logged on to Support with extension 1000.";
    agent.wait_for_message(SOON, |message| message.body.as_deref() == Some(body)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_house_that_speaks_spanish_are_written_to_in_spanish() {
    let rig = house("spanish").config("service", "language = \"es\"").start().await.unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    dial_and_hear(&rig, rig.phones.phone("1000").unwrap(), "*56466*", "logon").await;
    let body = "Su sesión está abierta en Support con la extensión 1000.";
    agent.wait_for_message(SOON, |message| message.body.as_deref() == Some(body)).await.unwrap();
    assert!(command(&rig, &["queue", "add", "ventas"]).await.status.success());
    let announcement = "SELECT announcement FROM queues WHERE name = 'ventas'";
    assert_eq!(value(&rig, announcement).await.unwrap(), "{queue}: Cliente {name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_not_called_as_its_extension_logs_that_extension_on_and_off() {
    let other = "UPDATE extensions SET number = '7000', interface = 'PJSIP/1000' WHERE number = '1000'";
    let rig = house("endpoint").sql(other).start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    dial_and_hear(&rig, phone, "*56466*", "logon").await;
    assert_eq!(value(&rig, MEMBERSHIPS).await.unwrap(), "support 7000 true");
    dial_and_hear(&rig, phone, "*564633*", "logoff").await;
    assert_eq!(value(&rig, MEMBERSHIPS).await.unwrap(), "support 7000 false");
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_an_unknown_extension_is_refused_and_leaves_neither_row_nor_node() {
    let rig = house("p8").members(4).start().await.unwrap();
    dial_and_hear(&rig, rig.phones.phone("1001").unwrap(), "*56466*", "logon_failed").await;
    assert_eq!(value(&rig, MEMBERSHIPS).await.unwrap(), "-");
    let owner = Client::connect(&rig.prosody, "usher").await.unwrap();
    let refused = owner.items("extension1001").await.unwrap_err().to_string();
    assert!(refused.contains("ItemNotFound"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_member_who_logs_on_twice_is_one_member() {
    let rig = house("p9").start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    dial_and_hear(&rig, phone, "*56466*", "logon").await;
    dial_and_hear(&rig, phone, "*56466*", "logon").await;
    assert_eq!(value(&rig, MEMBERSHIPS).await.unwrap(), "support 1000 true");
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_who_never_logged_on_and_logs_off_hears_that_it_is_done_and_a_stranger_is_refused() {
    let rig = house("p10").start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    dial_and_hear(&rig, phone, "*564633*", "logoff").await;
    assert_eq!(value(&rig, MEMBERSHIPS).await.unwrap(), "-");
    crate::steps::sql(&rig, "DELETE FROM extensions WHERE number = '1000'").await;
    dial_and_hear(&rig, phone, "*564633*", "logoff_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_log_off_keeps_the_node_its_subscribers_and_the_last_call_and_takes_the_current_pop_away() {
    let rig = house("p11").start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    dial_and_hear(&rig, phone, "*56466*", "logon").await;
    sql(&rig, "UPDATE memberships SET last_call_at = '2026-01-02 03:04:05Z'").await;
    let crm = Crm::watch(&rig, "1000").await;
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    let (_, pop) = crm.pop("ringing").await;

    dial_and_hear(&rig, phone, "*564633*", "logoff").await;
    leg.hung_up(SOON).await.unwrap();
    crm.pop("withdrawn").await;
    crm.closed(&pop.call).await;
    assert_eq!(agent.items("extension1000").await.unwrap(), []);
    let row = "SELECT logged_on || ' ' || (last_call_at = '2026-01-02 03:04:05Z') FROM memberships";
    assert_eq!(value(&rig, row).await.unwrap(), "false true");
    caller.hang_up().await.unwrap();

    // The short form, and again: what is done is done.
    dial_and_hear(&rig, phone, "*564633", "logoff").await;
    dial_and_hear(&rig, phone, "*56466*", "logon").await;
    let again = call_support(&rig, "5551002", "2222").await;
    let seen = crm.wait(
        "the next pop without a new subscription",
        |event| matches!(event, software_sim::client::Event::Pop(pop) if pop.customer.id == 2),
    );
    seen.await;
    again.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_the_message_goes_to_every_member_who_is_logged_on_and_to_nobody_else() {
    let rig = house("p12").logged_on(&["1000", "3000"]).start().await.unwrap();
    let mut agents = Vec::new();
    for account in ["user1", "user2", "user3"] {
        agents.push(Client::connect(&rig.prosody, account).await.unwrap());
    }
    let caller = call_support(&rig, "5551001", "1111").await;
    let body = "Support: Customer Company 1";
    for agent in [&agents[0], &agents[2]] {
        agent.wait_for_message(SOON, |message| message.body.as_deref() == Some(body)).await.unwrap();
    }
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    for (agent, expected) in agents.iter().zip([1, 0, 1]) {
        let count = agent.messages().iter().filter(|message| message.body.is_some()).count();
        assert_eq!(count, expected, "{}: {:?}", agent.jid(), agent.messages());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_a_member_who_never_took_a_call_is_rung_before_one_whose_last_call_is_long_ago() {
    let rig = house("p14")
        .logged_on(&["1000", "3000"])
        .sql("UPDATE memberships SET last_call_at = '2026-01-02 10:00Z' WHERE extension = '1000'")
        .start()
        .await
        .unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    assert_eq!(rig.phones.phone("1000").unwrap().rings_so_far(), 0);
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_does_not_answer_in_time_is_followed_by_the_next_and_not_rung_again() {
    let rig = house("next")
        .logged_on(&["1000", "2000"])
        .sql("UPDATE queues SET ring_time_seconds = 2, queue_timeout_seconds = 9")
        .start()
        .await
        .unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let (first, second) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = first.rung(1, SOON).await.unwrap();
    second.rung(1, SOON).await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "timed_out", SOON).await.unwrap();
    assert_eq!((first.rings_so_far(), second.rings_so_far()), (1, 1));
    caller.hang_up().await.unwrap();
    let ends = "SELECT string_agg(extension || ' ' || (detail->>'why'), ', ' ORDER BY at) FROM call_events \
                WHERE kind = 'offer_ended'";
    wait_for_value(&rig, ends, "1000 ring_no_answer, 2000 ring_no_answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_busy_rejects_or_is_unplugged_is_followed_by_the_next() {
    let rig = house("refuse").members(4).logged_on(&["1000", "2000", "3000", "1001"]).start().await.unwrap();
    // Never called, so in the order of their numbers: 1000, 1001, 2000, 3000.
    rig.phones.phone("1000").unwrap().behave(Behaviour::Busy);
    rig.phones.phone("1001").unwrap().behave(Behaviour::Reject);
    rig.phones.phone("2000").unwrap().unplug();
    let last = rig.phones.phone("3000").unwrap();
    last.behave(Behaviour::AnswerAfter(Duration::from_millis(100)));
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = last.rung(1, Duration::from_secs(25)).await.unwrap();
    leg.answered(SOON).await.unwrap();
    assert_eq!(rig.phones.phone("1000").unwrap().rings_so_far(), 1);
    assert_eq!(rig.phones.phone("1001").unwrap().rings_so_far(), 1);
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_in_a_call_of_their_own_is_not_rung_until_it_is_over() {
    let rig = house("own").logged_on(&["1000"]).start().await.unwrap();
    let (phone, colleague) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    colleague.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let own = phone.dial("2000").await.unwrap();
    own.answered(SOON).await.unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    // The caller is in the queue, and would have been offered by now.
    agent.wait_for_message(SOON, |message| message.body.is_some()).await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    caller.wait_for_prompt(&prompts, "support_team", SOON).await.unwrap();
    assert_eq!(value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'offered'").await.unwrap(), "0");
    assert_eq!(phone.rings_so_far(), 0);
    own.hang_up().await.unwrap();
    phone.rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_callers_the_one_member_gets_the_first_and_then_the_second() {
    let rig = house("two").logged_on(&["1000"]).start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::from_millis(100)));
    let first = call_support(&rig, "5551001", "1111").await;
    let talk = phone.rung(1, SOON).await.unwrap();
    let second = call_support(&rig, "5551002", "2222").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls", "2").await;
    assert_eq!(phone.rings_so_far(), 1);
    talk.hang_up().await.unwrap();
    first.hung_up(SOON).await.unwrap();
    let talk = phone.rung(2, SOON).await.unwrap();
    talk.answered(SOON).await.unwrap();
    assert_eq!(crate::steps::ringings(phone).pop().unwrap().1, "5551002");
    second.hang_up().await.unwrap();
    talk.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_is_added_by_command_is_rung_without_a_restart() {
    let rig = house("command").members(4).start().await.unwrap();
    let steps: [&[&str]; 2] = [
        &["extension", "add", "1001", "--name", "New One", "--jid", &format!("user1001@{DOMAIN}")],
        &["member", "log-on", "support", "1001"],
    ];
    for step in steps {
        let output = command(&rig, step).await;
        assert!(output.status.success(), "{step:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let phone = rig.phones.phone("1001").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let caller = call_support(&rig, "5551001", "1111").await;
    phone.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_call_its_rows_tell_the_story_and_the_end_is_the_members_last_call() {
    let rig = house("rows").logged_on(&["1000"]).start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::from_millis(100)));
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    wait_for_value(&rig, "SELECT now() > answered_at + interval '500 ms' FROM calls", "t").await;
    leg.hang_up().await.unwrap();
    caller.hung_up(SOON).await.unwrap();
    let row = "SELECT queue || '|' || customer_id || '|' || customer_code || '|' || customer_name || '|' || \
               caller_number || '|' || answered_by || '|' || outcome FROM calls";
    wait_for_value(&rig, row, "support|1|1111|Company 1|5551001|1000|completed").await;
    let times = "SELECT entered_at < answered_at AND answered_at + interval '500 ms' < ended_at \
                 AND now() - ended_at BETWEEN interval '0' AND interval '20 seconds' FROM calls";
    assert_eq!(value(&rig, times).await.unwrap(), "t");
    let story = "SELECT string_agg(kind, ' ' ORDER BY at, id) FROM call_events";
    wait_for_value(&rig, story, "entered offered ringing answered ended").await;
    wait_for_value(&rig, "SELECT last_call_at = ended_at FROM memberships, calls", "t").await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_in_the_menu_or_while_the_phone_rings_leaves_nothing_behind() {
    let rig = house("nothing").logged_on(&["1000"]).start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    let early = rig.phones.call(&CallSpec::new("5551001", "0000")).await.unwrap();
    early.answered(SOON).await.unwrap();
    early.hang_up().await.unwrap();
    let caller = call_support(&rig, "5551002", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    wait_for_value(&rig, "SELECT string_agg(outcome, ' ') FROM calls", "abandoned").await;
    // The member is free for the next one.
    let next = call_support(&rig, "5551003", "2222").await;
    phone.rung(2, SOON).await.unwrap();
    next.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gets_another_number_in_a_talk_has_had_the_call_by_it_also_when_the_service_dies_meanwhile() {
    let rig = house("renumbered").logged_on(&["1000", "2000"]).start().await.unwrap();
    let [first, second] = ["1000", "2000"].map(|number| rig.phones.phone(number).unwrap());
    let last_calls = "SELECT string_agg(extension || ' ' || (last_call_at > now() - interval '1 minute'), ', ' ORDER BY extension) \
        FROM memberships WHERE last_call_at IS NOT NULL";
    // Longest without a call; and so much longer that 1000, who has had one, is not the next.
    sql(&rig, "UPDATE memberships SET last_call_at = '2026-01-01' WHERE extension = '2000'").await;
    wait_for_value(&rig, last_calls, "2000 false").await;
    for (number, dies) in [("1009", false), ("1008", true)] {
        second.behave(Behaviour::Reject);
        first.behave(Behaviour::AnswerAfter(Duration::ZERO));
        let caller = call_support(&rig, "5551001", "1111").await;
        crate::aid::is_served(&rig, "5551001").await;
        sql(&rig, &format!("UPDATE extensions SET number = '{number}' WHERE interface = 'PJSIP/1000'")).await;
        let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
        let node = format!("extension{number}");
        wait::until("the pop has gone along", SOON, || async {
            let items = agent.items(&node).await?;
            anyhow::ensure!(items.len() == 1, "{items:?}");
            Ok(())
        })
        .await
        .unwrap();
        if dies {
            rig.usher().unwrap().kill().await.unwrap();
            rig.usher().unwrap().start_again().await.unwrap();
            crate::aid::log_says(&rig, "callers=1", SOON).await;
        }
        caller.hang_up().await.unwrap();
        let whose = format!("{number} true, 2000 false");
        wait_for_value(&rig, last_calls, &whose).await;
        let by = "SELECT answered_by || ' ' || outcome FROM calls ORDER BY entered_at DESC LIMIT 1";
        wait_for_value(&rig, by, &format!("{number} completed")).await;
        rig.pbx.wait_until_empty(SOON).await.unwrap();
        // Who has had a call for longer than the others is the next.
        second.behave(Behaviour::Ignore);
        let rings = second.rings_so_far();
        let caller = call_support(&rig, "5551002", "1111").await;
        second.rung(rings + 1, SOON).await.unwrap();
        caller.hang_up().await.unwrap();
        rig.pbx.wait_until_empty(SOON).await.unwrap();
        sql(&rig, "UPDATE memberships SET last_call_at = '2026-01-01' WHERE extension = '2000'").await;
    }
}
