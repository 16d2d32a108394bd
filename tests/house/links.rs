//! The link to Asterisk breaks, lags or is flooded; the service dies (failures F1 to F4, F16 and F17).

use std::time::{Duration, Instant};

use usher_rig::{
    pbx::{Pbx, PbxSpec, PhoneState},
    phones::{Behaviour, CallSpec, Ears, Phones, Side},
    proxy::Proxy,
    rig::Rig,
    usher::{Server, Usher},
    wait,
};

use crate::aid::{
    RECONNECTED, SOON, answers, enter, enter_with, first_to_ring, house, in_the_queue, key_in, log_says, ready_body,
    ready_says, story, talk, times,
};

/// A link that dies in silence is seen as dead within this time: 5 s without a word, and the time to look.
const DETECTED: Duration = Duration::from_secs(6);
/// One that is closed or reset is seen at once.
const SEEN: Duration = Duration::from_millis(500);

async fn lost_and_found(name: &str, lose: impl Fn(&Proxy), within: Duration) {
    let rig = house(name).logged_on(&["1000"]).sql(&times(15, 60)).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    lose(ari);
    let took = ready_says(&rig, 503, within).await;
    assert!(took <= within, "the loss was shown after {took:?}");
    let link = &ready_body(&rig).await["links"]["asterisk pbx"];
    assert!(link["up"] == false && link["why"].is_string(), "{link}");
    ari.heal();
    ready_says(&rig, 200, RECONNECTED).await;
    a_call_works(&rig, "5550001").await;
}

/// 1000 or 2000 gets it, and both hear each other.
async fn a_call_works(rig: &Rig, from: &str) {
    let members = ["1000", "2000"].map(|number| {
        let phone = rig.phones.phone(number).unwrap();
        answers(phone);
        phone.set_ears(Ears::Open);
        (phone, phone.rings_so_far())
    });
    let caller = enter_with(rig, from, Ears::Open).await;
    let (member, _) = first_to_ring(members[0], members[1]).await;
    let leg = member.leg().unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_link_to_asterisk_that_was_closed_cleanly_comes_back() {
    let lose = |ari: &Proxy| {
        ari.refuse();
        ari.close_cleanly();
    };
    lost_and_found("f1clean", lose, SEEN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_link_to_asterisk_that_was_reset_comes_back() {
    let lose = |ari: &Proxy| {
        ari.refuse();
        ari.cut();
    };
    lost_and_found("f1reset", lose, SEEN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_link_to_asterisk_that_died_in_silence_is_noticed_and_comes_back() {
    lost_and_found("f1silent", Proxy::blackhole, DETECTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_asterisk_is_killed_in_the_middle_of_calls_and_calls_work_after_its_restart() {
    let rig = house("f1kill").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    let _talking = enter(&rig, "5550001").await;
    member.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    let _waiting = enter(&rig, "5550002").await;
    rig.pbx.kill().await.unwrap();
    ready_says(&rig, 503, SEEN).await;
    rig.pbx.start_again().await.unwrap();
    ready_says(&rig, 200, RECONNECTED).await;
    rig.pbx.wait_for_phone("1000", PhoneState::Online, RECONNECTED).await.unwrap();
    // The old calls are over for the database, too.
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    assert_eq!(story(&rig, "5550002").await.outcome, "abandoned");
    // The phones' side of the old calls ends for want of an answer; a phone has but one line.
    if let Some(leg) = member.leg() {
        leg.hang_up().await.unwrap();
    }
    a_call_works(&rig, "5550003").await;
}

/// One talks with 1000, one rings at 2000, two wait, of whom one hangs up in the gap. 2000 answers in the gap, or rings on.
async fn a_gap(rig: &Rig, in_the_gap: Behaviour, lose: impl AsyncFnOnce(), find: impl AsyncFnOnce()) {
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(one);
    let talking = enter_with(rig, "5550001", Ears::Open).await;
    let leg = one.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&talking, &leg).await;
    one.set_ears(Ears::Closed);
    two.behave(in_the_gap);
    let ringing = enter(rig, "5550002").await;
    let first_leg = two.rung(1, SOON).await.unwrap();
    let waiting = enter(rig, "5550003").await;
    let leaving = enter(rig, "5550004").await;

    lose().await;
    assert!(first_leg.state().answered.is_none(), "2000 was to answer in the gap");
    talk(&talking, &leg).await;
    leaving.hang_up().await.unwrap();
    leaving.hung_up(SOON).await.unwrap();
    match in_the_gap {
        Behaviour::AnswerAfter(_) => drop(first_leg.answered(SOON).await.unwrap()),
        Behaviour::Ignore | Behaviour::Reject | Behaviour::Busy | Behaviour::AnswerThenHangUp { .. } => {}
    }
    answers(two);
    find().await;

    talk(&talking, &leg).await;
    // By the first leg, or by another one after that was hung up as an orphan: the first in line is served first.
    wait::until("2000 has answered the first in line", Duration::from_secs(20), || async {
        let served = joined(rig).await?;
        anyhow::ensure!(served.contains(&"5550002".to_owned()), "joined: {served:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert!(waiting.state().ended.is_none());
    assert!(first_leg.id() == two.leg().unwrap().id() || first_leg.state().ended.is_some(), "an orphan was left");
    // The end of the old talk is still the end for both, and frees the member.
    leg.hang_up().await.unwrap();
    assert_eq!(talking.hung_up(SOON).await.unwrap().by, Side::Them);
    one.rung(2, SOON).await.unwrap().answered(SOON).await.unwrap();
    wait::until("the second in line is served", SOON, || async {
        let served = joined(rig).await?;
        anyhow::ensure!(served.contains(&"5550003".to_owned()), "joined: {served:?}");
        Ok(())
    })
    .await
    .unwrap();
    ringing.hang_up().await.unwrap();
    waiting.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(one.rings_so_far(), 2);
}

/// Numbers of the callers who are in a bridge with somebody.
async fn joined(rig: &Rig) -> anyhow::Result<Vec<String>> {
    let (channels, bridges) = (rig.pbx.channels().await?, rig.pbx.bridges().await?);
    let mut numbers = Vec::new();
    for bridge in bridges.iter().filter_map(|bridge| bridge["channels"].as_array()).filter(|inside| inside.len() > 1) {
        for channel in &channels {
            let number = channel["caller"]["number"].as_str().unwrap_or_default();
            if bridge.contains(&channel["id"]) && number.starts_with("555") {
                numbers.push(number.to_owned());
            }
        }
    }
    Ok(numbers)
}

/// Long enough for the tests to have lost what they lose before.
const ANSWERS_LATE: Behaviour = Behaviour::AnswerAfter(Duration::from_millis(3500));

#[tokio::test(flavor = "multi_thread")]
async fn f2_in_a_gap_of_the_link_talks_go_on_nobody_is_blamed_and_the_waiting_are_served_in_order() {
    let rig = house("f2gap").logged_on(&["1000", "2000"]).sql(&times(30, 60)).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    let lose = async || {
        ari.refuse();
        ari.cut();
        ready_says(&rig, 503, SEEN).await;
    };
    let find = async || {
        ari.heal();
        ready_says(&rig, 200, RECONNECTED).await;
    };
    a_gap(&rig, ANSWERS_LATE, lose, find).await;
    for (from, outcome) in
        [("5550001", "completed"), ("5550002", "completed"), ("5550003", "completed"), ("5550004", "abandoned")]
    {
        assert_eq!(story(&rig, from).await.outcome, outcome, "{from}");
    }
    // Asterisk hung up on 2000, who answered while the application was away: that is not held against them.
    assert_eq!(rig.phones.phone("2000").unwrap().rings_so_far(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_after_the_service_was_killed_a_phone_that_still_rings_stops_and_the_waiting_keep_their_order() {
    let rig = house("f2kill").logged_on(&["1000", "2000"]).sql(&times(30, 60)).start().await.unwrap();
    let usher = rig.usher().unwrap();
    let (lose, find) = (async || usher.kill().await.unwrap(), async || usher.start_again().await.unwrap());
    a_gap(&rig, Behaviour::Ignore, lose, find).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_member_who_answered_while_the_service_was_dead_is_not_left_in_silence() {
    let rig = house("f2dead").logged_on(&["1000", "2000"]).sql(&times(30, 60)).start().await.unwrap();
    let usher = rig.usher().unwrap();
    let (lose, find) = (async || usher.kill().await.unwrap(), async || usher.start_again().await.unwrap());
    a_gap(&rig, ANSWERS_LATE, lose, find).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_caller_whose_data_were_on_their_way_when_the_link_fell_is_served() {
    let rig = house("f2read").logged_on(&["1000"]).sql(&times(15, 60)).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    ari.delay(Duration::from_millis(300));
    // Asterisk has the service's mark and its questions; the answers take 300 ms.
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    ari.cut();
    assert_eq!(member.rings_so_far(), 0, "the link was to fall before");
    ari.heal();
    let leg = member.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_f4_over_a_slow_link_where_events_come_before_answers_no_leg_is_lost() {
    let rig = house("f3").logged_on(&["1000"]).sql(&times(15, 60)).proxies().start().await.unwrap();
    rig.proxies.as_ref().unwrap().ari.delay(Duration::from_millis(150));
    let member = rig.phones.phone("1000").unwrap();
    // It answers before the answer to the order to ring it, and to that for the bridge, can have come.
    for round in 1..=2 {
        member.behave(Behaviour::AnswerAfter(Duration::ZERO));
        let caller = enter_with(&rig, &format!("555000{round}"), Ears::Open).await;
        let leg = member.rung(round, SOON).await.unwrap();
        leg.answered(SOON).await.unwrap();
        talk(&caller, &leg).await;
        leg.hang_up().await.unwrap();
        assert_eq!(caller.hung_up(SOON).await.unwrap().by, Side::Them);
        rig.pbx.wait_until_empty(SOON).await.unwrap();
        assert_eq!(story(&rig, &format!("555000{round}")).await.outcome, "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_without_the_service_callers_are_told_so_and_reach_the_fallback() {
    let rig = house("f16").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let fallback = rig.phones.phone("3000").unwrap();
    answers(fallback);
    rig.usher().unwrap().kill().await.unwrap();
    let begin = Instant::now();
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    let leg = fallback.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(12), "it took {:?}", begin.elapsed());
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_a_service_that_hangs_keeps_no_caller_in_silence() {
    let rig = house("f16hang").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let fallback = rig.phones.phone("3000").unwrap();
    answers(fallback);
    rig.usher().unwrap().freeze();
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    // USHER_AGI_SECONDS is 5.
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    fallback.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.usher().unwrap().thaw();
    ready_says(&rig, 200, RECONNECTED).await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_a_service_that_reads_nothing_for_three_seconds_of_flood_loses_no_call() {
    let rig = house("f17").logged_on(&["1000", "2000"]).sql(&times(10, 60)).start().await.unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    answers(one);
    one.set_ears(Ears::Closed);
    let talking = enter(&rig, "5550001").await;
    let talk = one.rung(1, SOON).await.unwrap();
    talk.answered(SOON).await.unwrap();
    two.behave(Behaviour::Ignore);
    let ringing = enter(&rig, "5550002").await;
    let rung = two.rung(1, SOON).await.unwrap();
    let leaving = enter(&rig, "5550003").await;

    // Everything is sent, and more than any buffer between the two holds.
    let ari = rig.pbx.ari();
    let all = serde_json::json!({ "allowed": [], "disallowed": [] });
    let answer = ari.request(reqwest::Method::PUT, "applications/usher/eventFilter", &[], Some(all)).await.unwrap();
    assert!(answer.status < 300, "{} {}", answer.status, answer.body);
    let begin = Instant::now();
    rig.usher().unwrap().freeze();
    talk.hang_up().await.unwrap();
    leaving.hang_up().await.unwrap();
    let noise = "n".repeat(8000);
    let mut flood = 0;
    while flood < 1500 || begin.elapsed() < Duration::from_secs(3) {
        let body = serde_json::json!({ "variables": { "noise": noise } });
        let path = "events/user/noise";
        let answer = ari.request(reqwest::Method::POST, path, &[("application", "usher")], Some(body)).await.unwrap();
        assert!(answer.status < 500, "{} {}", answer.status, answer.body);
        flood += 1;
    }
    rig.usher().unwrap().thaw();

    // What happened meanwhile is known: the talk is over, one has left, the third still rings and is answered.
    assert_eq!(talking.hung_up(SOON).await.unwrap().by, Side::Them);
    ready_says(&rig, 200, RECONNECTED).await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    assert_eq!(story(&rig, "5550003").await.outcome, "abandoned");
    assert!(ringing.state().ended.is_none());
    assert!(rung.state().ended.is_none(), "the phone of the caller who waits rings on");
    ringing.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550004").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_whose_password_is_wrong_is_named_and_callers_there_reach_the_fallback() {
    let rig = house("aripass").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let usher = rig.usher().unwrap();
    assert!(usher.stop().await.unwrap().success());
    let secret = usher.config().with_file_name("pbx.password");
    let right = std::fs::read(&secret).unwrap();
    std::fs::write(&secret, "wrong\n").unwrap();
    let process = usher.spawn().unwrap();
    log_says(&rig, "the user or the password of ari.conf is wrong", SOON).await;
    wait::until("only that link is down", SOON, || async {
        let body = ready_body(&rig).await;
        let links = &body["links"];
        let others = links["database"]["up"] == true && links["xmpp"]["up"] == true;
        anyhow::ensure!(others && links["asterisk pbx"]["up"] == false, "{body}");
        Ok(())
    })
    .await
    .unwrap();
    assert!(process.ended().is_none(), "it does not give up over one server");
    let prompts = rig.pbx.prompts("en").unwrap();
    let fallback = rig.phones.phone("3000").unwrap();
    answers(fallback);
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    fallback.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    std::fs::write(&secret, right).unwrap();
    usher.stop().await.unwrap();
    usher.start_again().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_for_xmpp_ends_the_service_with_a_clear_line() {
    let rig = house("xmpppass").start().await.unwrap();
    let usher = rig.usher().unwrap();
    usher.stop().await.unwrap();
    let before = usher.log().unwrap().len();
    std::fs::write(usher.config().with_file_name("xmpp.password"), "wrong\n").unwrap();
    let status = usher.spawn().unwrap().end(SOON).await.unwrap();
    assert!(!status.success(), "{status}");
    let log = usher.log().unwrap();
    let said = log.get(before..).unwrap();
    assert!(said.contains("password") && said.contains("usher@usher.test"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_requests_over_http_a_call_works_as_well() {
    let rig = house("http")
        .logged_on(&["1000"])
        .sql(&times(15, 60))
        .config("asterisk", "requests = \"http\"")
        .start()
        .await
        .unwrap();
    log_says(&rig, "requests=Http", SOON).await;
    a_call_works(&rig, "5550001").await;
    // A member who lets it ring, a caller who gives up.
    let member = rig.phones.phone("1000").unwrap();
    member.behave(Behaviour::Ignore);
    let caller = enter(&rig, "5550002").await;
    in_the_queue(&rig, "5550002").await;
    let leg = member.rung(2, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_asterisks_share_one_floor_and_the_death_of_one_leaves_the_other_alone() {
    let rig = house("two").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    rig.usher().unwrap().stop().await.unwrap();
    let mut spec = rig.spec.clone().unwrap();
    let second = Pbx::start(&rig.instance, &PbxSpec::shipped(spec.agi_port)).await.unwrap();
    let phones = Phones::start(&rig.instance, &second).await.unwrap();
    second.wait_for_phone("1000", PhoneState::Online, SOON).await.unwrap();
    spec.servers.push(Server {
        name: "second".into(),
        address: format!("127.0.0.1:{}", second.http_port()),
        password: second.ari_password().to_owned(),
    });
    let usher = Usher::start(&rig.instance, &spec).await.unwrap();

    // A member is one person, whatever number of phones ring for them: whoever comes second waits.
    let (here, there) = (rig.phones.phone("1000").unwrap(), phones.phone("1000").unwrap());
    let first = enter(&rig, "5550001").await;
    here.rung(1, SOON).await.unwrap();
    let other = phones.call(&CallSpec::new("5550002", "0000")).await.unwrap();
    other.answered(SOON).await.unwrap();
    other.press("11111").await.unwrap();
    wait::until("the second caller is in the queue", SOON, || async {
        let channels = second.channels().await?;
        anyhow::ensure!(channels.iter().any(|channel| channel["dialplan"]["app_name"] == "Stasis"), "{channels:?}");
        Ok(())
    })
    .await
    .unwrap();
    answers(there);
    assert_eq!(there.rings_so_far(), 0);
    first.hang_up().await.unwrap();
    let leg = there.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&other, &leg).await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    // The first one dies and comes back: the talk on the second one does not notice.
    rig.pbx.kill().await.unwrap();
    log_says(&rig, "the link to Asterisk is down", SOON).await;
    talk(&other, &leg).await;
    rig.pbx.start_again().await.unwrap();
    wait::until("both links are up", RECONNECTED, || async {
        let status = usher.ready().await?;
        anyhow::ensure!(status == 200, "/ready says {status}");
        Ok(())
    })
    .await
    .unwrap();
    rig.pbx.wait_for_phone("1000", PhoneState::Online, RECONNECTED).await.unwrap();
    answers(here);
    let third = enter_with(&rig, "5550003", Ears::Open).await;
    assert_eq!(here.rings_so_far(), 1, "1000 talks on the other server");
    leg.hang_up().await.unwrap();
    assert_eq!(other.hung_up(SOON).await.unwrap().by, Side::Them);
    let leg = here.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&third, &leg).await;
    third.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    second.wait_until_empty(SOON).await.unwrap();
}
