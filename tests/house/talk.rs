//! Around the talk: what a member hears before they are joined with the caller, and the recording.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use usher_rig::{
    phones::{Behaviour, Ears, Leg, Phone, Side},
    rig::{Builder, Rig},
    sound::{heard, read_wav, tone},
    wait,
};

use crate::{
    aid::{SOON, house, key_in, log_says, log_says_times, story, talk},
    steps::{command, sql, value, wait_for_value},
    waiting::music,
};

/// How soon a leg is dropped whose caller is gone.
const AT_ONCE: Duration = Duration::from_millis(900);

/// A house whose queue greets its members with this sound.
fn greeting(name: &str, sound: &str) -> Builder {
    house(name).sql(&format!("UPDATE queues SET greeting = '', ring_time_seconds = 60, member_greeting = '{sound}'"))
}

/// A member who answers at once.
fn member<'a>(rig: &'a Rig, number: &str) -> &'a Phone {
    let phone = rig.phones.phone(number).unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    phone
}

/// A caller who keys in their way to the queue.
async fn calls(rig: &Rig, from: &str) -> Leg {
    key_in(rig, from, "1111", Ears::Open).await
}

/// Waits until a leg has heard a prompt, which may go on after that.
async fn hears(rig: &Rig, leg: &Leg, prompt: &str) {
    leg.wait_for_prompt(&rig.pbx.prompts("en").unwrap(), prompt, SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_hears_the_greeting_before_the_caller_who_hears_music_until_then() {
    let rig = greeting("membergreeting", "usher/timed_out").logged_on(&["1000"]).start().await.unwrap();
    let phone = member(&rig, "1000");
    let caller = calls(&rig, "5551001").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    let answered = leg.answered(SOON).await.unwrap();
    hears(&rig, &leg, "timed_out").await;
    assert_eq!(value(&rig, "SELECT count(*) FROM call_events WHERE kind = 'answered'").await.unwrap(), "0");
    talk(&caller, &leg).await;
    // Nobody plays music to those who talk: it was heard between the answer and the join.
    let from = caller.audio().length_at(answered);
    let pieces = heard(&caller.audio().recording(), &music());
    assert!(pieces.iter().any(|piece| piece.start >= from), "no music after {from:?}: {pieces:?}");
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5551001").await.events, ["entered", "offered", "ringing", "answered", "ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_ends_at_once_with_the_caller_and_after_the_member_hangs_up_the_next_one_gets_the_call() {
    let rig = greeting("greetingends", "usher/timed_out").logged_on(&["1000", "2000"]).start().await.unwrap();
    let (one, two) = (member(&rig, "1000"), member(&rig, "2000"));
    let caller = calls(&rig, "5551001").await;
    let leg = one.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    hears(&rig, &leg, "timed_out").await;
    let gone = Instant::now();
    caller.hang_up().await.unwrap();
    let ended = leg.hung_up(SOON).await.unwrap();
    assert_eq!(ended.by, Side::Them);
    let took = ended.at.saturating_duration_since(gone);
    assert!(took < AT_ONCE, "the member was kept for {took:?}");
    assert_eq!(story(&rig, "5551001").await.outcome, "abandoned");
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    let caller = calls(&rig, "5551002").await;
    let leg = one.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    hears(&rig, &leg, "timed_out").await;
    leg.hang_up().await.unwrap();
    let leg = two.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5551002").await.answered_by, "2000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_that_is_not_there_holds_nobody_up_and_kill_9_during_the_greeting_loses_no_call() {
    let rig = greeting("greetinglost", "usher/nowhere").logged_on(&["1000"]).start().await.unwrap();
    let phone = member(&rig, "1000");
    let caller = calls(&rig, "5551001").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE answered_by IS NOT NULL", "1").await;
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    let loaded = rig.usher().unwrap().log().unwrap().matches("roster loaded").count();
    sql(&rig, "UPDATE queues SET member_greeting = 'usher/timed_out'").await;
    log_says_times(&rig, "roster loaded", loaded + 1).await;
    let caller = calls(&rig, "5551002").await;
    let leg = phone.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    hears(&rig, &leg, "timed_out").await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    let leg = phone.rung(3, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    hears(&rig, &leg, "timed_out").await;
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5551002").await.outcome, "completed");
}

/// Where Asterisk keeps recordings.
fn recordings(rig: &Rig) -> Vec<PathBuf> {
    let folder = rig.pbx.folder().join("spool/recording");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Waits until one side hears the other, who says a tone until then: twice as long as is looked for in the recording.
async fn say(from: &Leg, to: &Leg, hertz: u32) {
    from.audio().say_tone(hertz);
    to.wait_for_tone(hertz, SOON).await.unwrap();
    to.wait_for_tone(hertz, SOON).await.unwrap();
    from.audio().say_tone(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_is_recorded_from_the_join_to_its_end_also_across_kill_9_and_its_caller_is_told_before() {
    let rig = house("recording").logged_on(&["1000"]).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let phone = member(&rig, "1000");
    // Off: no file.
    let caller = calls(&rig, "5551001").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    story(&rig, "5551001").await;
    assert_eq!(recordings(&rig), Vec::<PathBuf>::new());
    assert_eq!(value(&rig, "SELECT recording FROM calls").await.unwrap(), "-");

    let changed = command(&rig, &["queue", "change", "support", "--recording", "yes"]).await;
    assert!(changed.status.success(), "{}", String::from_utf8_lossy(&changed.stderr));
    sql(&rig, "INSERT INTO pauses (extension) VALUES ('1000')").await;
    let caller = calls(&rig, "5551002").await;
    caller.wait_for_prompt(&prompts, "recorded", SOON).await.unwrap();
    caller.wait_for_prompt(&prompts, "support_team", SOON).await.unwrap();
    sql(&rig, "DELETE FROM pauses").await;
    let leg = phone.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    say(&caller, &leg, 1100).await;
    say(&leg, &caller, 700).await;
    let of_the_second = "SELECT recording = 'usher-' || id || '.wav' FROM calls WHERE caller_number = '5551002'";
    wait_for_value(&rig, of_the_second, "t").await;
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    say(&caller, &leg, 900).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    story(&rig, "5551002").await;
    let files = recordings(&rig);
    let name = value(&rig, "SELECT recording FROM calls WHERE caller_number = '5551002'").await.unwrap();
    assert_eq!(files, [rig.pbx.folder().join("spool/recording").join(&name)]);
    let recorded = read_wav(&files[0]).unwrap();
    for hertz in [1100.0, 700.0, 900.0] {
        let long = tone(&recorded, hertz);
        assert!(long >= Duration::from_millis(300), "{hertz} Hz for {long:?}");
    }
    let report = command(&rig, &["report", "calls", "--format", "csv"]).await;
    assert!(String::from_utf8_lossy(&report.stdout).contains(&name), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_asterisk_refuses_is_said_in_the_log_and_does_not_hurt_the_call() {
    let rig = house("refused").logged_on(&["1000"]).sql("UPDATE queues SET recording = true").start().await.unwrap();
    // Without this module a bridge cannot be recorded.
    rig.pbx.cli("module unload chan_bridge_media.so").await.unwrap();
    let phone = member(&rig, "1000");
    let caller = calls(&rig, "5551001").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    log_says(&rig, "the talk is not recorded", SOON).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(story(&rig, "5551001").await.outcome, "completed");
    assert_eq!(value(&rig, "SELECT recording FROM calls").await.unwrap(), "-");
    wait::until("usher check names the module", SOON, || async {
        let check = command(&rig, &["check"]).await;
        let table = String::from_utf8_lossy(&check.stdout).into_owned();
        anyhow::ensure!(table.contains("chan_bridge_media.so"), "{table}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_for_recordings_that_is_not_there_is_named_by_the_check_and_in_the_log() {
    let rig = house("nofolder").logged_on(&["1000"]).sql("UPDATE queues SET recording = true").start().await.unwrap();
    let folder = rig.pbx.folder().join("spool/recording");
    let mut tables = Vec::new();
    for is_there in [true, false] {
        if !is_there {
            std::fs::remove_dir(&folder).unwrap();
        }
        tables.push(String::from_utf8(command(&rig, &["check"]).await.stdout).unwrap());
    }
    assert!(!tables[0].contains("astspooldir") && tables[1].contains("astspooldir"), "{}{}", tables[0], tables[1]);
    let phone = member(&rig, "1000");
    let caller = calls(&rig, "5551001").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    log_says(&rig, "it needs the folder `recording` in its astspooldir", SOON).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

/// The tone of the first talk, and that of the second.
fn both_talks_are_in_one_file(rig: &Rig) {
    let [file] = recordings(rig).try_into().unwrap();
    let recorded = read_wav(&file).unwrap();
    for hertz in [1100.0, 700.0] {
        let long = tone(&recorded, hertz);
        assert!(long >= Duration::from_millis(300), "{hertz} Hz for {long:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_talks_again_after_kill_9_is_recorded_in_the_same_file_behind_their_first_talk() {
    let rig =
        house("recordedtwice").logged_on(&["1000"]).sql("UPDATE queues SET recording = true").start().await.unwrap();
    let (phone, colleague) = (member(&rig, "1000"), rig.phones.phone("2000").unwrap());
    colleague.behave(Behaviour::Ignore);
    let caller = calls(&rig, "5551001").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    say(&caller, &leg, 1100).await;
    let named = "SELECT recording = 'usher-' || id || '.wav' FROM calls";
    wait_for_value(&rig, named, "t").await;
    leg.press("##2000#").await.unwrap();
    colleague.rung(1, SOON).await.unwrap();
    rig.usher().unwrap().kill().await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    // Back to who was transferring them.
    let leg = phone.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    say(&caller, &leg, 700).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    story(&rig, "5551001").await;
    both_talks_are_in_one_file(&rig);
    assert!(!rig.usher().unwrap().log().unwrap().contains("the talk is not recorded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_sent_on_is_recorded_in_the_same_file_behind_their_first_talk() {
    let rig = house("recordedon").logged_on(&["1000"]).sql("UPDATE queues SET recording = true").start().await.unwrap();
    let (phone, colleague) = (member(&rig, "1000"), member(&rig, "2000"));
    let caller = calls(&rig, "5551001").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    say(&caller, &leg, 1100).await;
    wait_for_value(&rig, "SELECT recording = 'usher-' || id || '.wav' FROM calls", "t").await;
    leg.press("##2000#").await.unwrap();
    let leg = colleague.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    say(&caller, &leg, 700).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    story(&rig, "5551001").await;
    both_talks_are_in_one_file(&rig);
}
