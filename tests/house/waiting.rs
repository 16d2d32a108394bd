//! What callers hear while they wait: their place, what the queue says time and again, and music in between.

use std::time::Duration;

use usher_rig::{
    pbx::shipped_conf,
    phones::{Behaviour, Ears, Leg},
    sound::{Heard, Prompts, RATE, heard, read_wav},
    wait,
};

use crate::{
    aid::{SOON, enter, enter_with, house},
    steps::{sql, value, wait_for_value},
};

/// For several announcements, each some seconds after the other.
const LATER: Duration = Duration::from_secs(40);

/// The tune that is played while callers wait, in pieces of a second: it goes on wherever it was stopped.
pub fn music() -> Prompts {
    let tune = read_wav(&shipped_conf().join("sounds/usher-music/tune.wav")).unwrap();
    Prompts::from_samples(tune.chunks_exact(RATE).map(|piece| ("music", piece)))
}

/// Waits until a leg has heard what is asked for; yields all of these prompts that it heard.
async fn heard_until(leg: &Leg, prompts: &Prompts, what: &str, is: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
    wait::until(what, LATER, || async {
        let all = heard(&leg.audio().recording(), prompts);
        anyhow::ensure!(is(&all), "heard: {all:?}");
        Ok(all)
    })
    .await
    .unwrap()
}

fn names(heard: &[Heard]) -> Vec<&str> {
    heard.iter().map(|heard| heard.prompt.as_str()).collect()
}

/// Waits until music is heard after that moment of the recording.
async fn music_after(leg: &Leg, start: Duration) {
    let is = |all: &[Heard]| all.iter().any(|piece| piece.start > start);
    heard_until(leg, &music(), &format!("music after {start:?}"), is).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_hear_their_place_time_and_again_with_music_in_between_and_move_up_when_the_one_before_is_served() {
    let queue = "UPDATE queues SET greeting = '', ring_time_seconds = 120, queue_timeout_seconds = 300, \
                 announce_frequency_seconds = 5, announce_holdtime = true";
    let rig = house("place").logged_on(&["1000"]).sql(queue).start().await.unwrap();
    let folder = shipped_conf().join("sounds/en/usher");
    let said = ["position_1", "position_2", "position_3", "wait_short", "wait_1"];
    let said = Prompts::load_whole(&folder).unwrap().among(&said).unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    let first = enter(&rig, "5551001").await;
    let talk = phone.rung(1, SOON).await.unwrap();
    let second = enter_with(&rig, "5551002", Ears::Open).await;
    let third = enter_with(&rig, "5551003", Ears::Open).await;
    // The first one is only being offered: still before the others. Nothing is known yet of how long it takes.
    heard_until(&second, &said, "the second is told", |all| !all.is_empty()).await;
    let all = heard_until(&third, &said, "the third is told", |all| !all.is_empty()).await;
    assert_eq!(names(&all)[..1], ["position_3"]);
    music_after(&third, all[0].start).await;
    let all = heard_until(&second, &said, "the second is told twice", |all| all.len() > 1).await;
    assert!(names(&all).iter().all(|name| *name == "position_2"), "{all:?}");
    let [first_told, second_told] = [&all[0], &all[1]].map(|told| second.audio().came(told.start).unwrap());
    let pause = second_told - first_told;
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&pause), "told after {pause:?}");

    // They move up, and now it is known how long it takes: some seconds.
    talk.answer().await.unwrap();
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE answered_by IS NOT NULL", "1").await;
    let so_far = heard(&second.audio().recording(), &said).len();
    let is = |all: &[Heard]| names(all).iter().skip(so_far).any(|name| name.starts_with("wait_"));
    let all = heard_until(&second, &said, "the second is told how long it takes", is).await;
    let at = all.iter().position(|heard| heard.prompt.starts_with("wait_")).unwrap();
    assert_eq!(names(&all)[at - 1..=at], ["position_1", "wait_short"], "{all:?}");
    let all = heard_until(&third, &said, "the third has moved up", |all| names(all).contains(&"position_2")).await;
    assert_eq!(names(&all)[..1], ["position_3"], "{all:?}");
    for caller in [first, second, third] {
        caller.hang_up().await.unwrap();
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_queue_says_time_and_again_is_said_to_its_end_music_follows_and_an_answer_cuts_it() {
    let queue = "UPDATE queues SET greeting = '', ring_time_seconds = 120, queue_timeout_seconds = 300, \
                 periodic_announce = 'usher/timed_out&usher/no_members', periodic_announce_frequency_seconds = 11";
    let paused = "INSERT INTO pauses (extension) VALUES ('1000')";
    let rig = house("periodic").logged_on(&["1000"]).sql(queue).sql(paused).start().await.unwrap();
    let said = rig.pbx.prompts("en").unwrap().among(&["timed_out", "no_members"]).unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let caller = enter_with(&rig, "5551001", Ears::Open).await;
    let all = heard_until(&caller, &said, "both sounds", |all| all.len() > 1).await;
    assert_eq!(names(&all), ["timed_out", "no_members"]);
    music_after(&caller, all[1].start + Duration::from_secs(3)).await;
    heard_until(&caller, &said, "the first sound again", |all| all.len() > 2).await;
    sql(&rig, "DELETE FROM pauses").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    leg.audio().say_tone(700);
    caller.wait_for_tone(700, Duration::from_secs(3)).await.unwrap();
    assert_eq!(names(&heard(&caller.audio().recording(), &said)), ["timed_out", "no_members", "timed_out"]);
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

/// Asterisk answers nothing else on the connection while it keeps an order to a channel that hears something.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_the_end_of_what_a_caller_hears_when_the_callers_bound_is_put_off_meanwhile() {
    // The tune lasts 12 s, and the turn comes every 6 s.
    let queue = "UPDATE queues SET greeting = 'usher-music/tune', ring_time_seconds = 120, queue_timeout_seconds = 300";
    let paused = "INSERT INTO pauses (extension) VALUES ('1000')";
    let rig = house("putoff").global("USHER_SILENCE_SECONDS=18").logged_on(&["1000"]).sql(queue).sql(paused);
    let rig = rig.start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    let caller = enter(&rig, "5551001").await;
    // Not a wait for anything: the turn has come.
    tokio::time::sleep(Duration::from_secs(7)).await;
    sql(&rig, "DELETE FROM pauses").await;
    phone.rung(1, SOON).await.unwrap();
    let call = value(&rig, "SELECT id::text FROM calls").await.unwrap();
    let tune = rig.pbx.ari().get(&format!("playbacks/usher-said-{call}-1")).await.unwrap();
    assert_eq!(tune["state"], "playing", "{tune}");
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_caller_hears_something_long_the_next_run_serves_everybody_at_once() {
    let queue = "UPDATE queues SET greeting = 'usher-music/tune', ring_time_seconds = 120, queue_timeout_seconds = 300";
    let paused = "INSERT INTO pauses (extension) VALUES ('1000')";
    let rig = house("tunekilled").logged_on(&["1000"]).sql(queue).sql(paused).start().await.unwrap();
    let caller = enter(&rig, "5551001").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls", "1").await;
    let call = value(&rig, "SELECT id::text FROM calls").await.unwrap();
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    let playback = format!("playbacks/usher-said-{call}-1");
    wait::until("the tune is stopped", Duration::from_secs(4), || async {
        anyhow::ensure!(rig.pbx.ari().get(&playback).await.is_err(), "it is played");
        Ok(())
    })
    .await
    .unwrap();
    sql(&rig, "DELETE FROM pauses").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}
