//! Agents who speak with somebody else first, by a feature code, while the caller hears music.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Leg, Phone},
    rig::{Builder, Rig},
    sound::Prompts,
};

use crate::{
    aid::{SEEN, SOON, answers, ends, house, log_says, ready_says, story, talk, talking, times},
    steps::{Crm, value, wait_for_value},
};

/// An agent in `support`, and colleagues who serve nobody.
fn floor(name: &str) -> Builder {
    house(name).logged_on(&["1000"]).sql(&times(15, 60))
}

/// The agent presses the code and the number of 2000, whose phone rings.
async fn asks(leg: &Leg, colleague: &Phone) -> Leg {
    let rings = colleague.rings_so_far();
    leg.press("*22000#").await.unwrap();
    colleague.rung(rings + 1, SOON).await.unwrap()
}

async fn hears_music(caller: &Leg) {
    let music = Prompts::load(&usher_rig::pbx::shipped_conf().join("sounds/usher-music")).unwrap();
    caller.wait_for_prompt(&music, "tune", SOON).await.unwrap();
}

/// Agent and colleague hear each other, and the caller neither.
async fn consult(caller: &Leg, leg: &Leg, other: &Leg) {
    caller.audio().say_tone(1500);
    other.answered(SOON).await.unwrap();
    talk(leg, other).await;
    hears_music(caller).await;
}

/// The agent of a caller speaks with 2000: the legs of caller, agent and 2000.
async fn consulting(rig: &Rig) -> (Leg, Leg, Leg) {
    let colleague = rig.phones.phone("2000").unwrap();
    answers(colleague);
    let (caller, leg) = talking(rig, "5550001", "1000").await;
    let other = asks(&leg, colleague).await;
    consult(&caller, &leg, &other).await;
    (caller, leg, other)
}

/// The agent is told, and hears the caller.
async fn is_back(rig: &Rig, caller: &Leg, leg: &Leg) {
    leg.audio().say_tone(0);
    caller.audio().say_tone(0);
    leg.wait_for_prompt(&rig.pbx.prompts("en").unwrap(), "back_with_caller", SOON).await.unwrap();
    talk(caller, leg).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_speaks_with_a_colleague_first_gives_them_the_caller_by_hanging_up() {
    let rig = floor("consult").start().await.unwrap();
    let (from, to) = (Crm::watch(&rig, "1000").await, Crm::watch(&rig, "2000").await);
    let colleague = rig.phones.phone("2000").unwrap();
    colleague.behave(Behaviour::AnswerAfter(Duration::from_secs(4)));
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let (_, first) = from.pop("answered").await;
    caller.audio().say_tone(1500);
    leg.audio().say_tone(0);
    let other = asks(&leg, colleague).await;
    let before = leg.audio().recording().len();
    usher_rig::wait::until("the agent hears ringing", SOON, || async {
        let loud = leg.audio().recording()[before..].iter().filter(|sample| sample.abs() > 1_000).count();
        anyhow::ensure!(loud > 2_000, "{loud} loud samples");
        Ok(())
    })
    .await
    .unwrap();
    hears_music(&caller).await;
    consult(&caller, &leg, &other).await;
    assert!(to.pops().is_empty(), "a pop for one who was only asked");
    leg.hang_up().await.unwrap();
    talk(&caller, &other).await;
    let (_, pop) = to.pop("answered").await;
    assert_eq!((pop.call.as_str(), pop.customer.code.as_str()), (first.call.as_str(), "1111"));
    from.closed(&first.call).await;
    ends(&rig, &caller, &other).await;
    to.closed(&first.call).await;
    let story = story(&rig, "5550001").await;
    assert_eq!((story.outcome.as_str(), story.answered_by.as_str()), ("completed", "1000"));
    let events = ["entered", "offered", "ringing", "answered", "held", "transferred", "answered", "ended"];
    assert_eq!(story.events, events);
    let how = "SELECT detail ->> 'how' || ' ' || (detail ->> 'to') FROM call_events WHERE kind = 'transferred'";
    assert_eq!(value(&rig, how).await.unwrap(), "attended extension/2000");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_colleague_is_not_to_be_had_is_back_with_the_caller_and_told_so() {
    let rig = floor("consultfails").sql("UPDATE queues SET ring_time_seconds = 3").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    for behaviour in [Behaviour::Busy, Behaviour::Reject, Behaviour::Ignore] {
        colleague.behave(behaviour);
        asks(&leg, colleague).await;
        is_back(&rig, &caller, &leg).await;
    }
    // A number that is nobody's.
    leg.press("*24711#").await.unwrap();
    is_back(&rig, &caller, &leg).await;
    // One who declines in words.
    answers(colleague);
    let other = asks(&leg, colleague).await;
    consult(&caller, &leg, &other).await;
    other.hang_up().await.unwrap();
    is_back(&rig, &caller, &leg).await;
    ends(&rig, &caller, &leg).await;
    let whys = "SELECT string_agg(detail ->> 'why', ' ' ORDER BY at) FROM call_events WHERE kind = 'transfer_failed'";
    wait_for_value(&rig, whys, "rejected rejected no_answer unavailable").await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_presses_the_code_again_is_back_with_the_caller() {
    let rig = floor("consultback").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    colleague.behave(Behaviour::Ignore);
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let other = asks(&leg, colleague).await;
    leg.press("*2").await.unwrap();
    other.hung_up(SOON).await.unwrap();
    is_back(&rig, &caller, &leg).await;
    answers(colleague);
    let other = asks(&leg, colleague).await;
    consult(&caller, &leg, &other).await;
    leg.press("*2").await.unwrap();
    other.hung_up(SOON).await.unwrap();
    is_back(&rig, &caller, &leg).await;
    ends(&rig, &caller, &leg).await;
    let story = story(&rig, "5550001").await;
    let events = ["entered", "offered", "ringing", "answered", "held", "resumed", "held", "resumed", "ended"];
    assert_eq!(story.events, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_while_the_agent_asks_somebody_ends_the_call_for_all() {
    let rig = floor("consultgone").start().await.unwrap();
    let from = Crm::watch(&rig, "1000").await;
    let colleague = rig.phones.phone("2000").unwrap();
    answers(colleague);
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let (_, first) = from.pop("answered").await;
    let other = asks(&leg, colleague).await;
    consult(&caller, &leg, &other).await;
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    other.hung_up(SOON).await.unwrap();
    from.closed(&first.call).await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_whose_phone_still_rings_when_the_agent_hangs_up_gets_the_caller_with_their_answer() {
    let rig = floor("consultrings").start().await.unwrap();
    let to = Crm::watch(&rig, "2000").await;
    let colleague = rig.phones.phone("2000").unwrap();
    colleague.behave(Behaviour::AnswerAfter(Duration::from_secs(4)));
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let other = asks(&leg, colleague).await;
    leg.hang_up().await.unwrap();
    to.pop("ringing").await;
    other.answered(SOON).await.unwrap();
    talk(&caller, &other).await;
    to.pop("answered").await;
    assert_eq!(colleague.rings_so_far(), 1);
    ends(&rig, &caller, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_speaks_with_a_colleague_when_the_service_is_killed_is_with_the_caller_again() {
    let rig = floor("consultkilled").start().await.unwrap();
    let (caller, leg, other) = consulting(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    talk(&leg, &other).await;
    rig.usher().unwrap().start_again().await.unwrap();
    other.hung_up(SOON).await.unwrap();
    is_back(&rig, &caller, &leg).await;
    wait_for_value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'resumed' AND extension = '1000'", "1").await;
    ends(&rig, &caller, &leg).await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_agent_hangs_up_while_the_service_is_away_is_the_colleagues_when_it_is_back() {
    let rig = floor("consultleft").start().await.unwrap();
    let to = Crm::watch(&rig, "2000").await;
    let (caller, leg, other) = consulting(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    leg.hang_up().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    talk(&caller, &other).await;
    to.pop("answered").await;
    ends(&rig, &caller, &other).await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_everybody_has_left_while_the_service_was_away_is_the_agents_again() {
    let rig = floor("consultlost").start().await.unwrap();
    let agent = rig.phones.phone("1000").unwrap();
    let (caller, leg, other) = consulting(&rig).await;
    rig.usher().unwrap().kill().await.unwrap();
    leg.hang_up().await.unwrap();
    other.hang_up().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    let leg = agent.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    ends(&rig, &caller, &leg).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_on_hold_for_a_service_that_stays_away_goes_on_and_nobody_is_left_in_the_bridge() {
    const SILENCE: Duration = Duration::from_secs(6);
    let rig = floor("consultaway")
        .global("USHER_SILENCE_SECONDS=6")
        .global("USHER_QUEUE_WHEN_AWAY=no")
        .start()
        .await
        .unwrap();
    let (colleague, fallback) = (rig.phones.phone("2000").unwrap(), rig.phones.phone("3000").unwrap());
    answers(colleague);
    answers(fallback);
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let other = asks(&leg, colleague).await;
    consult(&caller, &leg, &other).await;
    rig.usher().unwrap().kill().await.unwrap();
    let last = fallback.rung(1, SILENCE + SOON).await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    other.hung_up(SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    talk(&caller, &last).await;
    caller.hang_up().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    log_says(&rig, "in step with Asterisk", SOON).await;
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_who_was_given_the_caller_asks_somebody_and_sends_them_on_in_turn() {
    let rig = floor("consultchain").start().await.unwrap();
    let (colleague, third) = (rig.phones.phone("2000").unwrap(), rig.phones.phone("3000").unwrap());
    answers(colleague);
    answers(third);
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    let other = asks(&leg, colleague).await;
    consult(&caller, &leg, &other).await;
    leg.hang_up().await.unwrap();
    talk(&caller, &other).await;
    other.press("*23000#").await.unwrap();
    let last = third.rung(1, SOON).await.unwrap();
    consult(&caller, &other, &last).await;
    other.hang_up().await.unwrap();
    talk(&caller, &last).await;
    last.transfer("2000", None).await.unwrap();
    let other = colleague.rung(2, SOON).await.unwrap();
    other.answered(SOON).await.unwrap();
    talk(&caller, &other).await;
    ends(&rig, &caller, &other).await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_colleague_still_rings_when_the_service_is_killed_is_with_the_caller_again() {
    let rig = floor("consultringkill").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (caller, leg) = talking(&rig, "5550001", "1000").await;
    colleague.behave(Behaviour::Ignore);
    let other = asks(&leg, colleague).await;
    hears_music(&caller).await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    other.hung_up(SOON).await.unwrap();
    is_back(&rig, &caller, &leg).await;
    ends(&rig, &caller, &leg).await;
    assert!(!rig.usher().unwrap().log().unwrap().contains("nothing was heard"), "Asterisk answered nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_who_was_asked_gets_the_caller_by_the_other_code_and_is_let_go_when_they_transfer_themselves() {
    let rig = floor("consultsend").start().await.unwrap();
    let colleague = rig.phones.phone("2000").unwrap();
    let (caller, leg, other) = consulting(&rig).await;
    // The caller is not theirs to send on. The phone itself waits for more to come.
    other.transfer("3000", None).await.unwrap();
    usher_rig::wait::until("their leg is gone", SOON, || async {
        let channels = rig.pbx.channels().await?;
        anyhow::ensure!(channels.len() == 2, "{channels:?}");
        Ok(())
    })
    .await
    .unwrap();
    other.hang_up().await.unwrap();
    is_back(&rig, &caller, &leg).await;
    let other = asks(&leg, colleague).await;
    consult(&caller, &leg, &other).await;
    leg.press("##2000#").await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    talk(&caller, &other).await;
    ends(&rig, &caller, &other).await;
    assert_eq!((colleague.rings_so_far(), story(&rig, "5550001").await.outcome.as_str()), (2, "completed"));
}

/// The agent who speaks with 2000 calls 3000 on a second line: the legs of caller, agent, 2000, and the second call with its end.
async fn consulting_and_calling(rig: &Rig) -> (Leg, Leg, Leg, Leg, Leg) {
    let (agent, third) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("3000").unwrap());
    answers(third);
    let (caller, leg, other) = consulting(rig).await;
    let second = agent.dial("3000").await.unwrap();
    let last = third.rung(1, SOON).await.unwrap();
    last.answered(SOON).await.unwrap();
    talk(&second, &last).await;
    (caller, leg, other, second, last)
}

/// The agent's phone has left the consultation: the caller is the colleague's, and whom the phone had called is let go.
async fn is_the_colleagues(rig: &Rig, caller: &Leg, other: &Leg, last: &Leg) {
    talk(caller, other).await;
    last.hung_up(SOON).await.unwrap();
    ends(rig, caller, other).await;
    assert_eq!(story(rig, "5550001").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consultation_that_the_agents_phone_hands_over_to_a_third_one_in_a_silence_of_the_link_leaves_the_caller_to_the_colleague()
 {
    let rig = floor("consultgap").proxies().start().await.unwrap();
    let (caller, leg, other, second, last) = consulting_and_calling(&rig).await;
    let ari = &rig.proxies.as_ref().unwrap().ari;
    ari.blackhole();
    let phone = rig.phones.phone("1000").unwrap();
    assert_eq!(phone.hand_over(&leg, "3000", &second, SOON).await.unwrap(), 200);
    drop(leg.hang_up().await);
    drop(second.hang_up().await);
    ari.refuse();
    ari.cut();
    ready_says(&rig, 503, SEEN).await;
    ari.heal();
    is_the_colleagues(&rig, &caller, &other, &last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consultation_that_the_agents_phone_hands_over_to_a_third_one_before_kill_9_leaves_the_caller_to_the_colleague()
 {
    let rig = floor("consultgapkill").start().await.unwrap();
    let (caller, leg, other, second, last) = consulting_and_calling(&rig).await;
    rig.usher().unwrap().freeze().unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    assert_eq!(phone.hand_over(&leg, "3000", &second, SOON).await.unwrap(), 200);
    drop(leg.hang_up().await);
    drop(second.hang_up().await);
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    is_the_colleagues(&rig, &caller, &other, &last).await;
}

/// The colleague who is asked presses their phone's own transfer key: the caller is not theirs to send on.
#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_who_is_asked_and_sends_on_by_phone_is_out_and_the_agent_is_back_with_the_caller() {
    let rig = floor("consultsent").start().await.unwrap();
    let third = rig.phones.phone("3000").unwrap();
    let (caller, leg, other) = consulting(&rig).await;
    other.transfer("3000", None).await.unwrap();
    is_back(&rig, &caller, &leg).await;
    // Until then the phone waits to hear what has become of its transfer.
    drop(other.hang_up().await);
    ends(&rig, &caller, &leg).await;
    assert_eq!((third.rings_so_far(), story(&rig, "5550001").await.outcome.as_str()), (0, "completed"));
}
