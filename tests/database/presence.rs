//! What presence changes, looked at once more by the statement that changes it.

use usher::{
    domain::{
        id::Extension,
        presence::Deed,
        queue::roster::{PauseKind, Roster},
    },
    ledger::Change,
};

use crate::{
    fixture::{connect, shared},
    ledger::{Running, support},
};

impl Running {
    /// What the news that have come make of the roster.
    fn told(&mut self) -> Roster {
        while let Ok(news) = self.news.try_recv() {
            self.hear(news);
        }
        self.register.to_roster()
    }
}

/// The member's pauses, and whether they are logged on.
fn stands(roster: &Roster) -> (Vec<(PauseKind, String)>, bool) {
    let pauses = &roster.agents[0].pauses;
    (pauses.iter().map(|pause| (pause.kind, pause.reason.clone())).collect(), roster.memberships[0].logged_on)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_just_said_to_be_there_or_was_paused_by_hand_is_left_alone() {
    let database = shared().await.database().await;
    let single = connect(&database).await;
    let agent = Extension::new("1000");
    let setup = "UPDATE queues SET presence_away_seconds = 60, presence_offline_seconds = 60; \
        INSERT INTO memberships (queue, extension, logged_on, joined_at) VALUES ('support', '1000', true, now() - interval '1 hour')";
    single.client.batch_execute(setup).await.unwrap();
    let (mut running, _) = Running::ready(&database).await;
    let pause = Deed::Pause { queue: support(), reason: "away, \"so\" & <so> š".into() };
    let log_off = Deed::LogOff { queue: support() };
    let resume = Deed::Resume { queue: Some(support()) };
    for (because, before, after, refused) in [
        (
            "a pause by hand everywhere",
            "INSERT INTO pauses (extension) VALUES ('1000')",
            "DELETE FROM pauses",
            &[&pause][..],
        ),
        (
            "a pause by hand here",
            "INSERT INTO pauses (extension, queue) VALUES ('1000', 'support')",
            "DELETE FROM pauses",
            &[&pause],
        ),
        (
            "they resumed",
            "UPDATE memberships SET back_at = now()",
            "UPDATE memberships SET back_at = NULL",
            &[&pause, &log_off],
        ),
        (
            "they logged on",
            "UPDATE memberships SET joined_at = now()",
            "UPDATE memberships SET joined_at = now() - interval '1 hour'",
            &[&pause, &log_off],
        ),
        (
            "they are logged off",
            "UPDATE memberships SET logged_on = false",
            "UPDATE memberships SET logged_on = true",
            &[&pause, &log_off],
        ),
        (
            "the policy is off",
            "UPDATE queues SET presence_away_seconds = 0, presence_offline_seconds = 0",
            "UPDATE queues SET presence_away_seconds = 60, presence_offline_seconds = 60",
            &[&pause, &log_off],
        ),
        ("there is none", "", "", &[&resume]),
    ] {
        single.client.batch_execute(before).await.unwrap();
        for deed in refused {
            assert_eq!(running.handle.by_presence(&agent, deed).await, Ok(Change::Refused), "{because}: {deed:?}");
        }
        single.client.batch_execute(after).await.unwrap();
        // Nobody waits for who does not read.
        running.told();
    }
    // One that the floor has set is another matter, and stays.
    single
        .client
        .batch_execute("INSERT INTO pauses (extension, queue, kind) VALUES ('1000', 'support', 'auto')")
        .await
        .unwrap();
    let by_presence = (PauseKind::Presence, "away, \"so\" & <so> š".to_owned());
    assert_eq!(running.handle.by_presence(&agent, &pause).await, Ok(Change::Done));
    assert_eq!(stands(&running.told()), (vec![(PauseKind::Auto, String::new()), by_presence], true));
    assert_eq!(running.handle.by_presence(&agent, &pause).await, Ok(Change::Refused), "once");
    assert_eq!(running.handle.by_presence(&agent, &resume).await, Ok(Change::Done));
    assert_eq!(stands(&running.told()), (vec![(PauseKind::Auto, String::new())], true));
    assert_eq!(running.handle.by_presence(&agent, &log_off).await, Ok(Change::Done));
    assert_eq!(stands(&running.told()), (vec![(PauseKind::Auto, String::new())], false));
}
