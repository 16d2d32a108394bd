//! The link to Asterisk breaks, lags or is refused; the service dies (failures F1, F3, F4 and F16).

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use usher_rig::{
    instance::Instance,
    pbx::{Pbx, PbxSpec, PhoneState},
    phones::{Behaviour, CallSpec, Ears, Phones, Side},
    prosody::Prosody,
    proxy::Proxy,
    usher::{Server, Usher},
    wait,
    xmpp::{Client, encrypted},
};

use crate::{
    aid::{
        RECONNECTED, SEEN, SOON, a_call_works, answers, app_queue_has, enter, enter_with, house, in_the_queue, key_in,
        log_says, ready_body, ready_says, says, story, talk, times,
    },
    storm::in_the_queue_at,
};

/// A link that dies in silence is seen as dead within this time: 5 s without a word, and the time to look.
const DETECTED: Duration = Duration::from_secs(6);

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
async fn f16_without_the_service_callers_are_told_so_and_reach_a_member_or_else_the_fallback() {
    for (name, logged_on, reached) in [("f16", vec!["1000"], "1000"), ("f16nobody", vec![], "3000")] {
        let rig = house(name).logged_on(&logged_on).sql(&times(15, 60)).start().await.unwrap();
        app_queue_has(&rig, &logged_on).await;
        let prompts = rig.pbx.prompts("en").unwrap();
        let phone = rig.phones.phone(reached).unwrap();
        answers(phone);
        rig.usher().unwrap().kill().await.unwrap();
        let begin = Instant::now();
        let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
        caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
        let leg = phone.rung(1, SOON).await.unwrap();
        leg.answered(SOON).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(12), "it took {:?}", begin.elapsed());
        talk(&caller, &leg).await;
        caller.hang_up().await.unwrap();
        rig.pbx.wait_until_empty(SOON).await.unwrap();
        rig.usher().unwrap().start_again().await.unwrap();
        if reached == "1000" {
            a_call_works(&rig, "5550002").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_a_service_that_hangs_keeps_no_caller_in_silence() {
    let rig = house("f16hang").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    app_queue_has(&rig, &["1000"]).await;
    rig.usher().unwrap().freeze().unwrap();
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    // USHER_AGI_SECONDS is 5.
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    member.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.usher().unwrap().thaw();
    ready_says(&rig, 200, RECONNECTED).await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    a_call_works(&rig, "5550002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_whose_user_may_only_read_is_named_and_counts_as_down_until_that_is_mended() {
    let rig = house("readonly").start().await.unwrap();
    let usher = rig.usher().unwrap();
    assert!(usher.stop().await.unwrap().success());
    let file = rig.pbx.folder().join("etc/site/ari.conf");
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, right.replacen("[usher](+)\n", "[usher](+)\nread_only=yes\n", 1)).unwrap();
    rig.pbx.cli("module reload res_ari.so").await.unwrap();
    let _process = usher.spawn().unwrap();
    log_says(&rig, "the user of ari.conf may only read", SOON).await;
    wait::until("that link is down and the others are up", SOON, || async {
        let body = ready_body(&rig).await;
        let links = &body["links"];
        let others = links["database"]["up"] == true && links["xmpp"]["up"] == true;
        anyhow::ensure!(others && links["asterisk pbx"]["up"] == false, "{body}");
        anyhow::ensure!(links["asterisk pbx"]["why"].to_string().contains("read_only=no"), "{body}");
        Ok(())
    })
    .await
    .unwrap();
    let log = usher.log().unwrap();
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("read_only=no")), "{log}");
    let check = crate::steps::command(&rig, &["check"]).await;
    let table = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        !check.status.success() && table.matches("WRONG").count() == 1 && table.contains("read_only=no"),
        "{table}"
    );
    // What it says to do helps.
    std::fs::write(&file, right).unwrap();
    rig.pbx.cli("module reload res_ari.so").await.unwrap();
    ready_says(&rig, 200, RECONNECTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_whose_password_is_wrong_is_named_and_callers_there_reach_the_members_all_the_same() {
    let rig = house("aripass").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    app_queue_has(&rig, &["1000"]).await;
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
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    let caller = key_in(&rig, "5550001", "1111", Ears::Open).await;
    caller.wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    member.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
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
    in_the_queue_at(&second).await;
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
    // Both links are up.
    says(&usher, 200, RECONNECTED).await;
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

/// The shipped settings of Prosody, which the rig takes from `dist/prosody`: one of them once stopped the server for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dies_in_the_middle_does_not_stop_the_shipped_xmpp_server() {
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start(&instance).await.unwrap();
    for _ in 0..3 {
        let mut dies = encrypted(&prosody).await.unwrap();
        // The server finds its last words and its end at one time, and has an answer to give.
        prosody.freeze().unwrap();
        dies.write_all(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='usher.test' version='1.0'>")
            .await
            .unwrap();
        dies.flush().await.unwrap();
        drop(dies);
        prosody.thaw();
        Client::connect(&prosody, "user1").await.unwrap();
    }
}
