//! What happened while the database was away, when the service dies before it is back.

use std::{fs, path::PathBuf};

use usher_rig::{phones::Ears, rig::Rig, wait};

use crate::aid::{
    RECONNECTED, SOON, a_call_works, answers, enter_with, house, log_says, ready_says, story, talk, times,
};

fn folder(rig: &Rig) -> PathBuf {
    rig.usher().unwrap().config().with_file_name("state")
}

/// What is in the folder.
fn kept(rig: &Rig) -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(folder(rig)).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

async fn wait_for_kept(rig: &Rig, what: &str, is: impl Fn(&str) -> bool) {
    wait::until(what, SOON, || async {
        let text: String = kept(rig).into_iter().map(|(_, text)| text).collect();
        anyhow::ensure!(is(&text), "{text:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_what_happened_while_the_database_was_away_is_written_once_though_the_service_was_killed() {
    let rig = house("obkill").logged_on(&["1000"]).sql(&times(15, 60)).proxies().start().await.unwrap();
    let postgres = &rig.proxies.as_ref().unwrap().postgres;
    let member = rig.phones.phone("1000").unwrap();
    answers(member);
    member.set_ears(Ears::Open);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    talk(&caller, &member.rung(1, SOON).await.unwrap()).await;
    caller.hang_up().await.unwrap();
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
    wait_for_kept(&rig, "nothing is kept that the database has", str::is_empty).await;

    postgres.blackhole();
    let caller = enter_with(&rig, "5550002", Ears::Open).await;
    talk(&caller, &member.rung(2, SOON).await.unwrap()).await;
    caller.hang_up().await.unwrap();
    wait_for_kept(&rig, "the end of the call is kept", |text| text.contains("CallEnded")).await;
    rig.usher().unwrap().kill().await.unwrap();
    // It was killed in the middle of a line, too.
    let (path, text) = kept(&rig).into_iter().find(|(_, text)| !text.is_empty()).unwrap();
    fs::write(&path, format!("{text}0123456789abcdef {{\"id\":\"01")).unwrap();

    // Started while it is away: callers take the fail-open path, and nothing is lost.
    let process = rig.usher().unwrap().spawn().unwrap();
    log_says(&rig, "waiting for the database", RECONNECTED).await;
    assert!(process.ended().is_none());
    postgres.heal();
    ready_says(&rig, 200, RECONNECTED * 2).await;
    log_says(&rig, "a torn record is left out", SOON).await;
    let told = story(&rig, "5550002").await;
    assert_eq!(told.outcome, "completed");
    assert_eq!(told.events, ["entered", "offered", "ringing", "answered", "ended"]);
    wait_for_kept(&rig, "nothing is kept any more", str::is_empty).await;
    a_call_works(&rig, "5550003").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_said_and_calls_go_on() {
    let rig = house("obfolder").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let usher = rig.usher().unwrap();
    assert!(usher.stop().await.unwrap().success());
    fs::remove_dir_all(folder(&rig)).unwrap();
    fs::write(folder(&rig), "in the way").unwrap();
    usher.start_again().await.unwrap();
    log_says(&rig, "records wait in memory alone", SOON).await;
    a_call_works(&rig, "5550001").await;
    assert_eq!(story(&rig, "5550001").await.outcome, "completed");
}
