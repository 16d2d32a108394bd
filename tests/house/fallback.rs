//! The service is away: Asterisk's own queue answers with the same members, and gives way when the service is back.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;
use usher_rig::{
    pbx::PhoneState,
    phones::{Behaviour, Ears, Phone, PhoneEvent, Side},
    rig::Rig,
    wait,
};

use crate::{
    aid::{
        RECONNECTED, SOON, a_call_works, answers, app_queue_has, enter, house, in_the_queue, key_in, log_says,
        ready_says, talk, times,
    },
    steps::{command, dial_and_hear, heard, ringings, sql, wait_for_value},
};

/// Waits until so many callers are held by app_queue.
async fn app_queue_holds(rig: &Rig, count: usize) {
    wait::until(&format!("app_queue holds {count} callers"), SOON, || async {
        let channels = rig.pbx.channels().await?;
        let held = channels.iter().filter(|channel| channel["dialplan"]["app_name"] == "Queue").count();
        anyhow::ensure!(held == count, "it holds {held}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Sees every channel to a phone come and go, as the switchboard itself tells it: a phone may hear of the end of a call
/// after the next one.
pub struct Witness {
    events: tokio::sync::mpsc::Receiver<Value>,
    _reader: AbortOnDropHandle<()>,
}

impl Witness {
    pub async fn start(rig: &Rig) -> Self {
        let (events, reader) = rig.pbx.ari().events("witness").await.unwrap();
        Self { events, _reader: AbortOnDropHandle::new(reader) }
    }

    /// No phone rang or was answered while it rang or talked. A channel counts from the moment when its phone rings:
    /// app_queue makes some that it gives up before they call anybody.
    pub fn saw_nobody_rung_twice(&mut self) {
        let mut story = Vec::new();
        let mut calling: BTreeSet<String> = BTreeSet::new();
        let mut twice = 0;
        while let Ok(event) = self.events.try_recv() {
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (kind, name, state) = (text("/type"), text("/channel/name"), text("/channel/state"));
            let Some((phone, _)) = name.rsplit_once('-').filter(|(phone, _)| is_desk(phone)) else { continue };
            match (kind.as_str(), state.as_str()) {
                ("ChannelStateChange", "Ringing" | "Up") => {
                    twice += i32::from(calling.iter().any(|other| *other != name && other.starts_with(phone)));
                    calling.insert(name.clone());
                }
                ("ChannelDestroyed", _) => drop(calling.remove(&name)),
                ("ChannelCreated", _) => {}
                _ => continue,
            }
            story.push(format!("{} {kind} {name} {state} {}", text("/timestamp"), text("/channel/connected/number")));
        }
        assert!(!story.is_empty(), "it saw nothing");
        assert_eq!(twice, 0, "a phone had two calls at a time: {story:#?}");
    }
}

fn is_desk(phone: &str) -> bool {
    phone.strip_prefix("PJSIP/").is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
}

fn rejects(phone: &Phone) {
    phone.behave(Behaviour::Reject);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_service_is_dead_those_who_logged_on_by_code_command_or_sql_are_rung_and_nobody_else() {
    let rig = house("away").members(4).start().await.unwrap();
    let mut witness = Witness::start(&rig).await;
    let prompts = rig.pbx.prompts("en").unwrap();
    let [one, two, three, four] = ["1000", "2000", "3000", "1001"].map(|number| rig.phones.phone(number).unwrap());
    dial_and_hear(&rig, one, "*56466*", "logon").await;
    assert!(command(&rig, &["member", "log-on", "support", "2000"]).await.status.success());
    sql(
        &rig,
        "INSERT INTO extensions (number, name, jid) VALUES ('1001', 'New One', 'user1001@usher.test'); \
         INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '1001', true)",
    )
    .await;
    app_queue_has(&rig, &["1000", "1001", "2000"]).await;
    dial_and_hear(&rig, two, "*564633*", "logoff").await;
    app_queue_has(&rig, &["1000", "1001"]).await;

    rig.usher().unwrap().kill().await.unwrap();
    for (from, takes, refuses) in [("5550001", one, four), ("5550002", four, one)] {
        answers(takes);
        rejects(refuses);
        let rings = takes.rings_so_far();
        let caller = key_in(&rig, from, "1111", Ears::Open).await;
        caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
        let leg = takes.rung(rings + 1, SOON).await.unwrap();
        leg.answered(SOON).await.unwrap();
        talk(&caller, &leg).await;
        leg.hang_up().await.unwrap();
        assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
        rig.pbx.wait_until_empty(SOON).await.unwrap();
    }
    assert_eq!((two.rings_so_far(), three.rings_so_far()), (0, 0));
    witness.saw_nobody_rung_twice();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_service_is_dead_callers_whom_nobody_answers_hear_so_and_reach_3000() {
    let rig = house("awayout").global("USHER_QUEUE_SECONDS=3").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let (member, fallback) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("3000").unwrap());
    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().kill().await.unwrap();
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    let leg = member.rung(1, SOON).await.unwrap();
    let music = usher_rig::sound::Prompts::load(&usher_rig::pbx::shipped_conf().join("sounds/usher-music")).unwrap();
    caller.wait_for_prompt(&music, "tune", SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "timed_out", SOON).await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    fallback.rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    // Who cannot be reached is not waited for.
    member.unplug();
    rig.pbx.wait_for_phone("1000", PhoneState::Offline, SOON).await.unwrap();
    let caller = key_in(&rig, "5550002", "1111", Ears::Open).await;
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    fallback.rung(2, SOON).await.unwrap();
    assert!(!heard(&rig, &caller).contains(&"timed_out".to_owned()));
    assert_eq!(member.rings_so_far(), 1);
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_wants_no_app_queue_has_the_fallback_phone_alone() {
    let rig = house("awayno").global("USHER_QUEUE_WHEN_AWAY=no").logged_on(&["1000"]).start().await.unwrap();
    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().kill().await.unwrap();
    let caller = key_in(&rig, "5550001", "1111", Ears::Closed).await;
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    assert_eq!(rig.phones.phone("1000").unwrap().rings_so_far(), 0);
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_module_app_queue_the_log_says_so_and_callers_reach_the_fallback_phone() {
    let rig = house("awaymodule").logged_on(&["1000"]).start().await.unwrap();
    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().stop().await.unwrap();
    rig.pbx.cli("module unload app_queue.so").await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    log_says(&rig, "app_queue.so is not loaded", SOON).await;
    rig.usher().unwrap().kill().await.unwrap();
    let caller = key_in(&rig, "5550001", "1111", Ears::Closed).await;
    rig.phones.phone("3000").unwrap().rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_when_the_service_is_stopped_are_rung_for_by_app_queue() {
    let rig = house("awaystop").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    app_queue_has(&rig, &["1000"]).await;
    let caller = enter(&rig, "5550001").await;
    let first = member.rung(1, SOON).await.unwrap();
    assert!(rig.usher().unwrap().stop().await.unwrap().success());
    first.hung_up(SOON).await.unwrap();
    member.rung(2, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_restarted_while_the_service_is_away_still_knows_the_members_and_is_in_step_once_it_is_back() {
    let rig = house("awayrestart").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.pbx.stop().await.unwrap();
    rig.pbx.start_again().await.unwrap();
    rig.pbx.wait_for_phone("1000", PhoneState::Online, RECONNECTED).await.unwrap();
    app_queue_has(&rig, &["1000"]).await;
    answers(one);
    let caller = key_in(&rig, "5550001", "1111", Ears::Closed).await;
    one.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    // By hand on both sides: the database is right.
    sql(
        &rig,
        "UPDATE memberships SET logged_on = false WHERE extension = '1000'; \
         INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '2000', true)",
    )
    .await;
    rig.pbx.cli("queue add member PJSIP/2000 to support penalty 5").await.unwrap();
    rig.pbx.cli("queue pause member PJSIP/2000 queue support").await.unwrap();
    rig.pbx.cli("queue add member PJSIP/3000 to support").await.unwrap();
    app_queue_has(&rig, &["1000", "2000 penalty 5 paused", "3000"]).await;
    rig.usher().unwrap().start_again().await.unwrap();
    app_queue_has(&rig, &["2000"]).await;

    // And the other way round: Asterisk comes back with what it knew, and hears what has changed.
    rig.pbx.stop().await.unwrap();
    sql(&rig, "UPDATE memberships SET logged_on = (extension = '1000')").await;
    rig.pbx.start_again().await.unwrap();
    ready_says(&rig, 200, RECONNECTED).await;
    app_queue_has(&rig, &["1000"]).await;
    rig.pbx.wait_for_phone("2000", PhoneState::Online, RECONNECTED).await.unwrap();
    assert_eq!(two.rings_so_far(), 0);
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_service_is_back_new_callers_come_to_it_and_app_queue_serves_those_it_holds_without_a_double_ring() {
    let rig = house("awayback").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let mut witness = Witness::start(&rig).await;
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().kill().await.unwrap();
    let first = key_in(&rig, "5550001", "1111", Ears::Closed).await;
    let ringing = one.rung(1, SOON).await.unwrap();
    let second = key_in(&rig, "5550002", "1111", Ears::Closed).await;
    app_queue_holds(&rig, 2).await;

    rig.usher().unwrap().start_again().await.unwrap();
    let third = enter(&rig, "5550003").await;
    assert!(ringing.state().ended.is_none(), "app_queue rings on");
    assert_eq!(one.rings_so_far(), 1);
    app_queue_holds(&rig, 2).await;

    // Now there are two, and whoever is free is wanted by both queues.
    for phone in [one, two] {
        answers(phone);
    }
    sql(&rig, "INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '2000', true)").await;
    ringing.hang_up().await.unwrap();
    let all_served = async {
        for caller in [&first, &second, &third] {
            assert_eq!(caller.hung_up(Duration::from_secs(30)).await.unwrap().by, Side::Them);
        }
    };
    tokio::select! {
        () = all_served => {}
        () = hang_up_when_joined(&rig, [one, two]) => {}
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(rig.phones.phone("3000").unwrap().rings_so_far(), 0);
    let answered =
        |phone: &Phone| phone.events().iter().filter(|event| matches!(event, PhoneEvent::Answered { .. })).count();
    assert_eq!(answered(one) + answered(two), 3, "each caller was answered once");
    witness.saw_nobody_rung_twice();
    // The third caller was the service's, the others were not.
    let calls = "SELECT string_agg(caller_number || ' ' || outcome, ', ') FROM calls";
    wait_for_value(&rig, calls, "5550003 completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_callers_in_both_queues_no_phone_is_rung_while_it_rings_or_talks_and_each_caller_is_served() {
    let rig =
        house("awayboth").members(5).logged_on(&["1000", "1001", "1002"]).sql(&times(15, 60)).start().await.unwrap();
    let mut witness = Witness::start(&rig).await;
    app_queue_has(&rig, &["1000", "1001", "1002"]).await;
    for number in ["1000", "1001", "1002"] {
        let phone = rig.phones.phone(number).unwrap();
        phone.set_ears(Ears::Closed);
        let talking = Duration::from_millis(900);
        phone.behave(Behaviour::AnswerThenHangUp { ringing: Duration::from_millis(100), talking });
    }
    rig.usher().unwrap().kill().await.unwrap();
    let numbers: Vec<String> = (5_550_001..5_550_017).map(|number: u32| number.to_string()).collect();
    let (held, fresh) = numbers.split_at(8);
    let held = futures_util::future::join_all(held.iter().map(|from| key_in(&rig, from, "1111", Ears::Closed))).await;
    app_queue_is_busy(&rig).await;
    rig.usher().unwrap().start_again().await.unwrap();
    let fresh = futures_util::future::join_all(fresh.iter().map(|from| key_in(&rig, from, "2222", Ears::Closed))).await;
    for caller in held.iter().chain(&fresh) {
        assert_eq!(caller.hung_up(Duration::from_secs(60)).await.unwrap().by, Side::Them);
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    witness.saw_nobody_rung_twice();
    // Nobody fell through to the fallback. (A member who hangs up before the two are joined makes a second offer.)
    assert_eq!(rig.phones.phone("3000").unwrap().rings_so_far(), 0);
    let rung: std::collections::BTreeSet<_> =
        rig.phones.all().flat_map(ringings).map(|(_, number, _)| number).collect();
    assert_eq!(rung.len(), 16, "{rung:?}");
    let served = "SELECT count(*) > 0 AND bool_and(outcome = 'completed') FROM calls";
    wait_for_value(&rig, served, "t").await;
}

/// Hangs these phones up as soon as they talk. One that does it by the clock may do it before it is joined with anybody, and the
/// caller is then another one's, too.
async fn hang_up_when_joined(rig: &Rig, phones: [&Phone; 2]) {
    loop {
        // Before the look at the switchboard: a call that comes after it is none that it shows.
        let legs: Vec<_> = phones.iter().map(|phone| phone.leg().filter(|leg| leg.state().ended.is_none())).collect();
        let (channels, bridges) = (rig.pbx.channels().await.unwrap(), rig.pbx.bridges().await.unwrap());
        let joined = |channel: &&Value| {
            let inside = bridges.iter().filter_map(|bridge| bridge["channels"].as_array()).filter(|all| all.len() > 1);
            inside.flatten().any(|id| *id == channel["id"])
        };
        let names: Vec<&str> = channels.iter().filter(joined).filter_map(|channel| channel["name"].as_str()).collect();
        for (phone, leg) in phones.iter().zip(legs) {
            let talks = names.iter().any(|name| name.starts_with(&format!("PJSIP/{}-", phone.number())));
            if let Some(leg) = leg.filter(|_| talks) {
                leg.hang_up().await.unwrap();
            }
        }
        tokio::time::sleep(wait::STEP).await;
    }
}

/// Waits until the first callers talk and others wait.
async fn app_queue_is_busy(rig: &Rig) {
    wait::until("app_queue has callers in talks and in line", SOON, || async {
        let shown = rig.pbx.cli("queue show support").await?;
        anyhow::ensure!(shown.contains("In use") || shown.contains("Busy"), "{shown}");
        anyhow::ensure!(shown.contains("Callers:"), "{shown}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_missing_in_queues_conf_is_named_in_the_log_and_the_others_are_in_step() {
    let rig = house("awaymissing")
        .logged_on(&["1000"])
        .sql("INSERT INTO queues (name, label) VALUES ('billing', 'Billing')")
        .sql("INSERT INTO memberships (queue, extension, logged_on) VALUES ('billing', '1000', true)")
        .start()
        .await
        .unwrap();
    log_says(&rig, "this queue is not in queues.conf", SOON).await;
    app_queue_has(&rig, &["1000"]).await;
    let usher = rig.usher().unwrap();
    assert!(usher.log().unwrap().contains("queue.name=billing"));
    let caller = key_in(&rig, "5550001", "1111", Ears::Closed).await;
    in_the_queue(&rig, "5550001").await;
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whom_queues_conf_names_cannot_be_taken_out_and_the_log_says_so() {
    let rig = house("awaystatic").logged_on(&["1000"]).start().await.unwrap();
    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().stop().await.unwrap();
    let site = rig.pbx.folder().join("etc/site/queues.conf");
    std::fs::write(site, "[support](+)\nmember => PJSIP/3000\n").unwrap();
    rig.pbx.cli("queue reload all").await.unwrap();
    app_queue_has(&rig, &["1000", "3000"]).await;
    rig.usher().unwrap().start_again().await.unwrap();
    log_says(&rig, "app_queue does not take over the members of this queue", SOON).await;
    // The others are kept in step all the same.
    sql(&rig, "UPDATE memberships SET logged_on = false").await;
    app_queue_has(&rig, &["3000"]).await;
}
