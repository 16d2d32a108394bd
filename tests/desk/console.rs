//! Agents at Profanity, on either server: what it shows them is what is asserted. Calls with it are in `tests/house/console.rs`.

use usher::domain::id::CallId;
use usher_rig::{
    instance::Instance,
    profanity::{Login, Profanity},
};
use uuid::Uuid;

use crate::{
    counter::house,
    fixture::Desk,
    prosody::{DOMAIN, Prosody},
};

const USHER: &str = "usher@localhost";

async fn at(instance: &Instance, prosody: &Prosody, user: &str) -> Profanity {
    let login = Login {
        jid: format!("{user}@{DOMAIN}"),
        password: user.into(),
        address: prosody.address(),
        authority: prosody.ca_file(),
    };
    Profanity::start(instance, &login).await.unwrap()
}

#[tokio::test]
async fn profanity_works_by_chat_and_by_command_and_a_stranger_at_it_is_refused() {
    let (house, instance) = (house().await, Instance::new().unwrap());
    let agent = at(&instance, &house.prosody, "user1").await;
    let usher = agent.contact(USHER).await.unwrap();
    agent.is_shown(&format!("/sub show {USHER}"), "subscription status: to").await.unwrap();
    let list = agent.is_shown(&format!("/cmd list {usher}"), "urn:usher:command:why").await.unwrap();
    assert_eq!(list.matches("urn:usher:command:").count(), 7, "{list}");
    let execute = |verb: &str| format!("/cmd exec urn:usher:command:{verb} {usher}");
    agent.is_shown(&execute("status"), "! Extension 1000 is logged on to no queue.").await.unwrap();
    agent.is_shown(&execute("log-on"), "Form title: Log on").await.unwrap();
    agent.is_shown("/field1 add sales", "Field updated...").await.unwrap();
    agent.is_shown("/form submit", "! Extension 1000 is logged on to Sales & <Co>.").await.unwrap();
    agent.is_shown(&execute("pause"), "Form title: Pause").await.unwrap();
    agent.is_shown("/field2 \"café & <ñ>\"", "[field2] Another reason: café & <ñ>").await.unwrap();
    agent.is_shown("/form submit", "! Extension 1000 is paused everywhere: café & <ñ>.").await.unwrap();

    agent.face(USHER).await.unwrap();
    for (words, answer) in [
        ("resume", ": Extension 1000 is resumed."),
        ("login support", ": Extension 1000 is logged on to Support."),
        ("pause lunch", ": Extension 1000 is paused everywhere: lunch."),
        ("/correct pause meeting", ": What you correct was done already"),
        ("hello", ": I know these words: login, logout, pause, resume, status, waiting, take,"),
        ("logout sales", ": Extension 1000 is logged off from Sales & <Co>."),
    ] {
        agent.is_shown(words, answer).await.unwrap();
    }
    let client = house.database.connect().await.unwrap();
    let row = client
        .query_one("SELECT memberships.queue, reason FROM memberships, pauses WHERE logged_on", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("support", "lunch"));

    let stranger = at(&instance, &house.prosody, "stranger").await;
    stranger.enter(&format!("/sub request {USHER}")).unwrap();
    stranger.enter(&format!("/msg {USHER} login 1000 sales")).unwrap();
    stranger.is_shown("hello", "me: hello").await.unwrap();
    stranger.enter("/win 1").unwrap();
    let refused = "urn:usher:command:status: only the JID of an extension, or a supervisor, may use these commands";
    stranger.is_shown(&execute("status"), refused).await.unwrap();
    assert!(!stranger.screen().contains(&format!("++ {USHER}")), "{}", stranger.screen());
    stranger.enter("/win 2").unwrap();
    let screen = stranger.is_shown("/sub show", "subscription status: none").await.unwrap();
    assert!(!screen.contains("Extension") && !screen.contains("words"), "{screen}");
    let row = client.query_one("SELECT count(*) FROM memberships WHERE logged_on", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    house.counter.stop().await;
}

#[tokio::test]
async fn profanity_shows_what_corrects_a_message_in_its_place() {
    let (prosody, instance) = (Prosody::start().await, Instance::new().unwrap());
    let desk = Desk::up(&prosody, prosody.address()).await;
    let agent = at(&instance, &prosody, "user1").await;
    agent.face(USHER).await.unwrap();
    let call = CallId(Uuid::from_u128(1));
    desk.handle.announce(call, vec![format!("user1@{DOMAIN}")], "Support: Customer A & <B>".into(), vec![]);
    agent.shows(": Support: Customer A & <B>").await.unwrap();
    // Of several it shows the first alone; these two, within a second, are one.
    desk.handle.correct(call, "Support: Customer A & <B>\n→ rings at 1000".into(), false);
    desk.handle.correct(call, "Support: Customer A & <B>\n→ taken by 1000 (Ana \"ñ\")".into(), true);
    let screen = agent.shows(": Support: Customer A & <B>\n→ taken by 1000 (Ana \"ñ\")").await.unwrap();
    assert_eq!(screen.matches("Customer").count(), 1, "{screen}");
}
