//! The service is killed at random moments, again and again, with callers waiting, ringing and talking.
//!
//! `USHER_KILLS` says how often, `USHER_SEED` which moments.

use std::time::Duration;

use usher_rig::{
    phones::{Behaviour, Ears, Leg},
    rig::Rig,
    wait,
    xmpp::Client,
};

use crate::{
    aid::{enter, house, times},
    standby::never_rung_twice,
};

/// For what takes a moment on a machine that is busy with other rigs as well.
const SETTLED: Duration = Duration::from_secs(30);
const MEMBERS: [&str; 2] = ["1000", "2000"];
/// Two may ring or talk, two wait.
const CALLERS: usize = 4;

/// A small generator: the same seed is the same run.
struct Dice(u64);

impl Dice {
    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (self.0 >> 33) % (most - least + 1)
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_the_service_loses_no_call_rings_nobody_twice_and_leaves_nothing_behind() {
    let (kills, mut dice) = (number("USHER_KILLS", 4), Dice(number("USHER_SEED", 1)));
    let rig = house("kills").logged_on(&MEMBERS).sql(&times(30, 600)).start().await.unwrap();
    let phones = MEMBERS.map(|number| rig.phones.phone(number).unwrap());
    phones.iter().for_each(|phone| phone.set_ears(Ears::Closed));
    let mut callers: Vec<Leg> = Vec::new();
    for _ in 0..kills {
        let there = callers.iter().filter(|caller| caller.state().ended.is_none()).count();
        for _ in there..CALLERS {
            callers.push(enter(&rig, &format!("555{:04}", callers.len())).await);
        }
        for phone in phones {
            let ringing = Duration::from_millis(dice.between(0, 1500));
            let talking = Duration::from_millis(dice.between(500, 4000));
            phone.behave(Behaviour::AnswerThenHangUp { ringing, talking });
        }
        // Not to wait for anything: the moment itself is what is tried.
        tokio::time::sleep(Duration::from_millis(dice.between(0, 3000))).await;
        rig.usher().unwrap().kill().await.unwrap();
        rig.usher().unwrap().start_again().await.unwrap();
    }
    // Everybody is served in the end, by a member: nobody fell through to the fallback phone, nobody was hung up on.
    for caller in &callers {
        caller.hung_up(SETTLED * 2).await.unwrap();
    }
    assert_eq!(rig.phones.phone("3000").unwrap().rings_so_far(), 0, "somebody was sent to the fallback");
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    let (client, expected) = (&client, callers.len());
    wait::until("every caller has one call, and it was completed", SETTLED, || async move {
        let rows = client.query("SELECT caller_number, outcome, answered_by FROM calls ORDER BY 1", &[]).await?;
        let completed = rows.iter().filter(|row| row.get::<_, Option<&str>>(1) == Some("completed")).count();
        anyhow::ensure!(rows.len() == expected && completed == expected, "{expected} callers: {rows:?}");
        Ok(())
    })
    .await
    .unwrap();
    nothing_is_left(&rig).await;
    phones.into_iter().for_each(never_rung_twice);
}

async fn nothing_is_left(rig: &Rig) {
    rig.pbx.wait_until_empty(SETTLED).await.unwrap();
    wait::until("no bridge is left", SETTLED, || async {
        let bridges = rig.pbx.bridges().await?;
        anyhow::ensure!(bridges.is_empty(), "{bridges:?}");
        Ok(())
    })
    .await
    .unwrap();
    let crm = Client::connect(&rig.prosody, "crm").await.unwrap();
    let crm = &crm;
    for number in MEMBERS {
        wait::until("no pop is left", SETTLED, || async move {
            let items = crm.items(&format!("extension{number}")).await?;
            anyhow::ensure!(items.is_empty(), "{items:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}
