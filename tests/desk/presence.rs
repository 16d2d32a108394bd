//! What becomes of members who are away from their clients.

use std::time::Duration;

use usher::xmpp::{incoming::What, sight};
use usher_rig::wait;
use xmpp_parsers::{
    message::Lang,
    presence::{Presence, Show, Type},
};

use crate::{
    counter::{Client, House, house},
    patience::PATIENCE,
    prosody::DOMAIN,
};

/// The pauses of 1000, and where they are logged on.
const STANDS: &str = "SELECT coalesce((SELECT string_agg(concat_ws(' ', kind, queue, reason), ', ' ORDER BY kind) FROM pauses WHERE extension = '1000'), '') \
    || ' / ' || coalesce((SELECT string_agg(queue, ' ' ORDER BY queue) FROM memberships WHERE extension = '1000' AND logged_on), '')";

async fn policy(house: &House, away: u32, offline: u32) {
    let statement = format!(
        "UPDATE queues SET presence_away_seconds = {away}, presence_offline_seconds = {offline} WHERE name = 'support'; \
         INSERT INTO memberships (queue, extension, logged_on, joined_at) SELECT name, '1000', true, now() - interval '1 hour' FROM queues \
         ON CONFLICT DO NOTHING"
    );
    house.database.connect().await.unwrap().batch_execute(&statement).await.unwrap();
}

/// Waits until the database says so.
async fn stands(house: &House, expected: &str) {
    let client = house.database.connect().await.unwrap();
    wait::until(expected, PATIENCE, || async {
        let said: String = client.query_one(STANDS, &[]).await?.get(0);
        anyhow::ensure!(said == expected, "{said:?} instead of {expected:?}");
        Ok(())
    })
    .await
    .unwrap();
}

impl Client {
    async fn shows(&self, show: Option<Show>, status: &str) {
        let mut presence = Presence::new(Type::None);
        presence.show = show;
        if !status.is_empty() {
            presence.set_status(Lang::default(), status.to_owned());
        }
        self.session.send(presence.into()).await;
    }

    /// Waits until the service asks to see them.
    async fn is_asked(&mut self) -> usher::xmpp::incoming::Incoming {
        loop {
            let incoming = self.reads().await;
            if matches!(incoming.what, What::Subscribe) {
                assert_eq!(incoming.from.to_string(), format!("usher@{DOMAIN}"));
                return incoming;
            }
        }
    }
}

#[tokio::test]
async fn who_lets_the_service_see_them_is_paused_while_away_and_a_pause_by_hand_stays() {
    let house = house().await;
    let mut ana = Client::connect(&house.prosody, "user1").await;
    policy(&house, 1, 0).await;
    ana.is_asked().await.let_see().await;
    // Whom an account may see says its server, in whichever way it names itself.
    let own = format!("user1@{DOMAIN}").parse().unwrap();
    let contacts = sight::contacts(&ana.session, own, PATIENCE).await.unwrap();
    let of: Vec<_> = contacts.iter().map(|contact| contact.who.as_str()).collect();
    assert_eq!(of, [format!("usher@{DOMAIN}")]);
    ana.shows(Some(Show::Away), "tea & <cake>").await;
    stands(&house, "presence support away: tea & <cake> / sales support").await;
    let (_, said) = ana.hears().await;
    let expected = "You are paused in Support (away: tea & <cake>) until your client shows you as available, or you write \"resume\".";
    assert_eq!(said, expected);
    ana.ask("pause sales lunch").await;
    ana.shows(None, "").await;
    stands(&house, "manual sales lunch / sales support").await;
    assert_eq!(ana.hears().await.1, "You take calls of Support again.");
    // Not to be disturbed, and paused by hand: nothing is added.
    ana.ask("pause").await;
    ana.shows(Some(Show::Dnd), "").await;
    assert_eq!(ana.ask("resume").await.1, "Extension 1000 is resumed.");
    stands(&house, "presence support dnd / sales support").await;
}

#[tokio::test]
async fn who_is_at_no_client_is_warned_and_logged_off_and_a_supervisor_reads_of_it() {
    let house = house().await;
    let mut ana = Client::connect(&house.prosody, "user1").await;
    let mut boss = Client::connect(&house.prosody, "user3").await;
    policy(&house, 0, 1).await;
    ana.is_asked().await.let_see().await;
    ana.shows(None, "").await;
    ana.session.send(Presence::new(Type::Unavailable).into()).await;
    let (_, said) = boss.hears().await;
    assert_eq!(
        said,
        "Extension 1000 (Agent One) is at no XMPP client and will be logged off from Support in a minute."
    );
    stands(&house, " / sales").await;
}

#[tokio::test]
async fn who_has_not_answered_whether_they_may_be_seen_is_not_taken_for_absent() {
    let house = house().await;
    let mut ana = Client::connect(&house.prosody, "user1").await;
    let mut bea = Client::connect(&house.prosody, "user2").await;
    policy(&house, 0, 1).await;
    let statement = "INSERT INTO memberships (queue, extension, logged_on, joined_at) \
         VALUES ('support', '2000', true, now() - interval '1 hour')";
    let client = house.database.connect().await.unwrap();
    client.batch_execute(statement).await.unwrap();
    // Asked first, and with her client all the time; the other one is logged off, which takes as long.
    let _asked = ana.is_asked().await;
    bea.is_asked().await.let_see().await;
    bea.shows(None, "").await;
    bea.session.send(Presence::new(Type::Unavailable).into()).await;
    wait::until("2000 is logged off", PATIENCE, || async {
        let on = "SELECT logged_on FROM memberships WHERE extension = '2000'";
        anyhow::ensure!(!client.query_one(on, &[]).await?.get::<_, bool>(0), "not yet");
        Ok(())
    })
    .await
    .unwrap();
    stands(&house, " / sales support").await;
}

#[tokio::test]
async fn who_does_not_want_to_be_seen_is_asked_once_and_left_alone() {
    let house = house().await;
    let mut ana = Client::connect(&house.prosody, "user1").await;
    policy(&house, 1, 1).await;
    let asked = ana.is_asked().await;
    let mut no = Presence::new(Type::Unsubscribed);
    no.to = Some(asked.from.clone());
    ana.session.send(no.into()).await;
    ana.shows(Some(Show::Away), "").await;
    // Whatever is asked of the service later is answered later than that would have been done.
    let mut bea = Client::connect(&house.prosody, "user2").await;
    let statement = "INSERT INTO memberships (queue, extension, logged_on, joined_at) VALUES ('support', '2000', true, now() - interval '1 hour')";
    house.database.connect().await.unwrap().batch_execute(statement).await.unwrap();
    bea.is_asked().await.let_see().await;
    bea.shows(Some(Show::Away), "").await;
    assert!(bea.hears().await.1.starts_with("You are paused in Support"));
    stands(&house, " / sales support").await;
    let next = tokio::time::timeout(Duration::from_millis(1), ana.reads()).await;
    assert!(next.is_err(), "{next:?}");
}
