//! Callers and members: who rings, who waits, and what becomes of those who do not answer or go (failures F5 to F9).

use std::time::{Duration, Instant};

use usher_rig::phones::{Behaviour, Ears, Phone, Side};

use crate::aid::{SOON, answers, enter, enter_with, first_to_ring, house, story, talk, times};

/// A member's phone stops ringing within this time after the caller has hung up.
const STOPS_RINGING: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn f5_of_two_callers_for_one_member_one_rings_and_the_other_waits_and_is_next() {
    let rig = house("f5").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    let first = enter(&rig, "5550001").await;
    let leg = member.rung(1, SOON).await.unwrap();
    let second = enter_with(&rig, "5550002", Ears::Open).await;
    assert_eq!(member.rings_so_far(), 1, "a second INVITE while the first one rings");
    assert!(leg.state().ended.is_none());
    // How it takes its next call, which comes at once.
    answers(member);
    first.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&second, &leg).await;
    second.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    assert_eq!(member.rings_so_far(), 2);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "abandoned");
    assert_eq!(story(&rig, "5550002").await.outcome, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_member_who_does_not_answer_is_skipped_for_this_call_and_goes_behind_the_others() {
    let rig = house("f6")
        .logged_on(&["1000", "2000"])
        .sql(&times(1, 5))
        .sql("UPDATE memberships SET last_call_at = now() WHERE extension = '2000'")
        .start()
        .await
        .unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    let fallback = rig.phones.phone("3000").unwrap();
    answers(fallback);

    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    one.rung(1, SOON).await.unwrap();
    two.rung(1, SOON).await.unwrap();
    // Both have missed: nobody is rung again until the wait is over.
    caller.wait_for_prompt(&prompts, "timed_out", SOON).await.unwrap();
    fallback.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert_eq!((one.rings_so_far(), two.rings_so_far()), (1, 1));
    caller.hang_up().await.unwrap();
    let story = story(&rig, "5550001").await;
    assert_eq!(story.outcome, "timed_out");
    assert_eq!(story.events.iter().filter(|kind| *kind == "offer_ended").count(), 2, "{story:?}");

    // The next caller may have them again, the one who missed first comes first.
    answers(one);
    let caller = enter(&rig, "5550002").await;
    one.rung(2, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert_eq!(two.rings_so_far(), 1);
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f7_when_the_caller_hangs_up_the_ringing_stops_and_nothing_is_left() {
    let rig = house("f7").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    for round in 1..=3 {
        let caller = enter(&rig, &format!("555000{round}")).await;
        let leg = member.rung(round, SOON).await.unwrap();
        let begin = Instant::now();
        caller.hang_up().await.unwrap();
        let ended = leg.hung_up(SOON).await.unwrap();
        let took = ended.at.saturating_duration_since(begin);
        assert!(took < STOPS_RINGING, "it rang on for {took:?}");
        assert_eq!(ended.by, Side::Them);
        rig.pbx.wait_until_empty(SOON).await.unwrap();
        assert_eq!(story(&rig, &format!("555000{round}")).await.outcome, "abandoned");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f8_a_member_who_answers_and_hangs_up_at_once_costs_the_caller_nothing() {
    let rig = house("f8")
        .logged_on(&["1000", "2000"])
        .sql(&times(15, 60))
        .sql("UPDATE memberships SET last_call_at = now() WHERE extension = '2000'")
        .proxies()
        .start()
        .await
        .unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    one.set_ears(Ears::Closed);
    one.behave(Behaviour::AnswerThenHangUp { ringing: Duration::from_millis(300), talking: Duration::ZERO });
    two.behave(Behaviour::AnswerAfter(Duration::from_millis(1500)));
    // Slow enough that the member is gone before the order to join the two is there.
    rig.proxies.as_ref().unwrap().ari.delay(Duration::from_millis(200));
    let first = enter_with(&rig, "5550001", Ears::Open).await;
    let second = enter(&rig, "5550002").await;
    one.rung(1, SOON).await.unwrap().hung_up(SOON).await.unwrap();
    one.behave(Behaviour::Ignore);
    // The caller who lost the member has kept the place before the second one.
    let leg = two.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&first, &leg).await;
    assert!(one.rings_so_far() <= 2, "a storm: {} INVITEs", one.rings_so_far());
    assert!(second.state().ended.is_none());
    rig.proxies.as_ref().unwrap().ari.heal();
    second.hang_up().await.unwrap();
    first.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    let story = story(&rig, "5550001").await;
    assert_eq!((story.outcome.as_str(), story.answered_by.as_str()), ("completed", "2000"), "{story:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f9_an_answer_at_the_very_end_of_the_ring_time_leaves_nobody_in_silence() {
    let rig = house("f9").logged_on(&["1000", "2000"]).sql(&times(1, 30)).start().await.unwrap();
    let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
    // The moment is looked for: how long an answer is under way differs from machine to machine.
    let (mut early, mut late) = (0, 0);
    let (mut answer, mut step) = (Duration::from_secs(1), Duration::from_millis(320));
    let mut round = 0;
    while round < 6 || early == 0 || late == 0 {
        round += 1;
        let before = [one, two].map(|phone| {
            phone.set_ears(Ears::Closed);
            phone.behave(Behaviour::AnswerAfter(answer));
            phone.rings_so_far()
        });
        let from = format!("55500{round:02}");
        let caller = enter(&rig, &from).await;
        let (first, other) = first_to_ring((one, before[0]), (two, before[1])).await;
        answers(other);
        // Whoever it is: the caller is in one bridge with exactly one member, and no other leg is up.
        usher_rig::wait::until("caller and one member are joined, and nobody else", SOON, || async {
            let (channels, bridges) = (rig.pbx.channels().await?, rig.pbx.bridges().await?);
            let joined = bridges.iter().map(|bridge| bridge["channels"].as_array().map_or(0, Vec::len));
            let joined: Vec<_> = joined.collect();
            anyhow::ensure!(joined == [2] && channels.len() == 2, "bridges {joined:?}, {} channels", channels.len());
            Ok(())
        })
        .await
        .unwrap();
        assert!(caller.state().ended.is_none());
        // The end of a leg reaches its phone a moment after it left the switchboard.
        let talking = usher_rig::wait::until("one phone thinks that it talks", SOON, || async {
            let talks = |phone: &&Phone| {
                phone.leg().is_some_and(|leg| leg.state().answered.is_some() && leg.state().ended.is_none())
            };
            let talking: Vec<_> = [first, other].into_iter().filter(talks).map(|phone| phone.number()).collect();
            anyhow::ensure!(talking.len() == 1, "{talking:?} think that they talk");
            Ok(talking)
        })
        .await
        .unwrap();
        if talking == [first.number()] {
            early += 1;
            answer += step;
        } else {
            late += 1;
            answer = answer.checked_sub(step).expect("an answer at once comes before the end of the ring time");
        }
        if early > 0 && late > 0 {
            step /= 2;
        }
        assert!(answer < Duration::from_secs(5), "an answer after {answer:?} was in time: the ring time is 1 s");
        caller.hang_up().await.unwrap();
        rig.pbx.wait_until_empty(SOON).await.unwrap();
        let story = story(&rig, &from).await;
        assert_eq!((story.outcome.as_str(), story.answered_by.as_str()), ("completed", talking[0]), "{story:?}");
    }
}
