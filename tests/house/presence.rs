//! Members who are away from their XMPP clients, and a service that is killed meanwhile.

use usher_rig::phones::Ears;
use xmpp_parsers::{
    jid::BareJid,
    presence::{Presence, Show, Type},
};

use crate::{
    aid::{SOON, app_queue_has, house, log_says, talking},
    counter::{Person, usher},
    steps::{sql, wait_for_value},
};

const PAUSES: &str = "SELECT coalesce(string_agg(kind || ' ' || queue || ' ' || reason, ', '), 'none') FROM pauses";

fn away() -> Presence {
    Presence::new(Type::None).with_show(Show::Away)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_is_not_rung_and_one_who_came_back_while_the_service_was_dead_is() {
    let policy = "UPDATE queues SET presence_away_seconds = 1, ring_time_seconds = 15, greeting = ''";
    let rig = house("presence").sql(policy).logged_on(&["1000", "2000"]).start().await.unwrap();
    sql(&rig, "UPDATE memberships SET joined_at = now() - interval '1 hour', back_at = NULL").await;
    let [ana, bea] = ["1000", "2000"].map(|number| rig.phones.phone(number).unwrap());
    for phone in [ana, bea] {
        phone.set_ears(Ears::Open);
    }
    let user = Person::connect(&rig, "user1").await;
    log_says(&rig, "the presence of this agent cannot be seen", SOON).await;
    let service: BareJid = usher();
    user.client.send(Presence::subscribed().with_to(service).into()).await.unwrap();
    user.client.set_presence(away()).await.unwrap();
    wait_for_value(&rig, PAUSES, "presence support away").await;
    app_queue_has(&rig, &["1000 paused", "2000"]).await;
    let _first = talking(&rig, "5551001", "2000").await;
    assert!(ana.events().is_empty(), "who is away is rung: {:?}", ana.events());

    rig.usher().unwrap().kill().await.unwrap();
    user.client.set_presence(Presence::new(Type::None)).await.unwrap();
    rig.usher().unwrap().start_again().await.unwrap();
    wait_for_value(&rig, PAUSES, "none").await;
    let _second = talking(&rig, "5551002", "1000").await;
}
