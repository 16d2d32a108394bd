//! Agents whose client is Profanity, at a terminal: what it shows them is what is asserted.

use usher_rig::{
    phones::{Behaviour, Ears, Phone},
    profanity::{Login, Profanity},
    prosody::{DOMAIN, PUBSUB},
    rig::Rig,
};

use crate::{
    aid::{SOON, answers, enter_with, house, is_served, talk, times},
    steps::value,
};

const USHER: &str = "usher@usher.test";
const SALES: &str = "INSERT INTO queues (name, label) VALUES ('sales', 'Sales & <Co>')";

async fn at(rig: &Rig, account: &str) -> Profanity {
    let login = Login::new(&rig.prosody, account).unwrap();
    Profanity::start(&rig.instance, &login).await.unwrap()
}

/// The same, facing the service's account.
async fn facing(rig: &Rig, account: &str) -> Profanity {
    let client = at(rig, account).await;
    client.face(USHER).await.unwrap();
    client
}

fn phone<'a>(rig: &'a Rig, number: &str) -> &'a Phone {
    let phone = rig.phones.phone(number).unwrap();
    answers(phone);
    phone.set_ears(Ears::Open);
    phone
}

#[tokio::test(flavor = "multi_thread")]
async fn profanity_shows_the_answer_to_each_word_that_an_agent_types() {
    let rig = house("profchat").start().await.unwrap();
    let agent = facing(&rig, "user1").await;
    for (words, answer) in [
        ("status", ": Extension 1000 is logged on to no queue.\nThe phone is free."),
        ("login", ": Extension 1000 is logged on to Support."),
        ("pause lunch", ": Extension 1000 is paused everywhere: lunch."),
        ("resume", ": Extension 1000 is resumed."),
        ("waiting", ": Support: 0 waiting, 1 of 1 members ready"),
        ("hello", ": I know these words: login, logout, pause, resume, status, waiting, take,"),
        ("pausa café & <ñ>", ": La extensión 1000 está en pausa en todas las colas: café & <ñ>."),
    ] {
        agent.is_shown(words, answer).await.unwrap();
    }
    assert_eq!(value(&rig, "SELECT reason FROM pauses").await.unwrap(), "café & <ñ>");
    agent.is_shown("/correct pausa reunión", ": Lo que corrige ya se hizo").await.unwrap();
    assert_eq!(value(&rig, "SELECT reason FROM pauses").await.unwrap(), "café & <ñ>");
    agent.is_shown("salir", ": La extensión 1000 tiene la sesión cerrada en Support.").await.unwrap();
    assert_eq!(value(&rig, "SELECT logged_on FROM memberships").await.unwrap(), "f");
}

#[tokio::test(flavor = "multi_thread")]
async fn profanity_shows_a_caller_takes_them_and_shows_in_the_same_message_what_becomes_of_them() {
    let claim = "UPDATE queues SET claim_seconds = 60";
    let rig = house("profcall").logged_on(&["1000", "2000"]).sql(&times(30, 300)).sql(claim).start().await.unwrap();
    let (one, two) = (phone(&rig, "1000"), phone(&rig, "2000"));
    two.behave(Behaviour::Ignore);
    let (first, second) = (facing(&rig, "user1").await, facing(&rig, "user2").await);
    let caller = enter_with(&rig, "5550001", Ears::Closed).await;
    for agent in [&first, &second] {
        agent.shows(": Support: Customer Company 1\nAnswer \"take 1111\" or \"decline 1111\".").await.unwrap();
    }
    assert_eq!((one.rings_so_far(), two.rings_so_far()), (0, 0), "rung before anybody has asked");
    second.is_shown("take 1111", ": Company 1 (1111) is yours: your phone rings.").await.unwrap();
    let leg = two.rung(1, SOON).await.unwrap();
    for agent in [&first, &second] {
        let screen = agent.shows(": Support: Customer Company 1\n→ rings at 2000 (Agent Two)").await.unwrap();
        // In its place: what was there is not.
        assert_eq!(screen.matches("Support: Customer").count(), 1, "{screen}");
        assert!(!screen.contains("Answer \"take"), "{screen}");
    }
    // Of the next one, who has taken them, 0.13 shows nothing: it looks for the message by the name of the last correction, against XEP-0308.
    leg.answer().await.unwrap();
    is_served(&rig, "5550001").await;
    first.is_shown("take 1111", ": Too late: 2000 has it.").await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(one.rings_so_far(), 0);

    let gone = enter_with(&rig, "5550002", Ears::Closed).await;
    first.shows(": Support: Customer Company 1\nAnswer").await.unwrap();
    gone.hang_up().await.unwrap();
    let screen = first.shows(": Support: Customer Company 1\n→ hung up").await.unwrap();
    assert_eq!(screen.matches("Support: Customer").count(), 2, "{screen}");
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn profanity_sees_that_the_account_is_there_lists_its_commands_and_fills_in_their_forms() {
    let rig = house("profcmd").sql(SALES).start().await.unwrap();
    let agent = at(&rig, "user1").await;
    let usher = agent.contact(USHER).await.unwrap();
    agent.is_shown(&format!("/sub show {USHER}"), "subscription status: to.").await.unwrap();
    let screen = agent.is_shown(&format!("/cmd list {usher}"), "urn:usher:command:why").await.unwrap();
    assert_eq!(screen.matches("urn:usher:command:").count(), 7, "{screen}");
    let execute = |verb: &str| format!("/cmd exec urn:usher:command:{verb} {usher}");
    agent.is_shown(&execute("status"), "! Extension 1000 is logged on to no queue.\nThe phone is free.").await.unwrap();

    let form = agent.is_shown(&execute("log-on"), "Use '/form submit'").await.unwrap();
    assert!(form.contains("Form title: Log on\n") && form.contains("[field1] Queues (required):"), "{form}");
    // It shows a list of several with what is chosen alone, and the rest when asked.
    let choice = agent.is_shown("/form help field1", "<value> is one of").await.unwrap();
    assert!(choice.contains(" sales\n") && choice.contains(" support\n"), "{choice}");
    agent.is_shown("/field1 add sales", "Field updated...").await.unwrap();
    agent.is_shown("/form submit", "! Extension 1000 is logged on to Sales & <Co>.").await.unwrap();
    let on = "SELECT string_agg(queue, ' ') FROM memberships WHERE logged_on";
    assert_eq!(value(&rig, on).await.unwrap(), "sales");

    let form = agent.is_shown(&execute("pause"), "Use '/form submit'").await.unwrap();
    for shown in ["[field1] Reason:", "[back office] back office", "[field2] Another reason:", "[sales] Sales & <Co>"] {
        assert!(form.contains(shown), "{shown}: {form}");
    }
    agent.is_shown("/field1 lunch", "Field updated...").await.unwrap();
    agent.enter("/field3 sales").unwrap();
    agent.is_shown("/form submit", "! Extension 1000 is paused in Sales & <Co>: lunch.").await.unwrap();
    assert_eq!(value(&rig, "SELECT reason FROM pauses").await.unwrap(), "lunch");
    agent.is_shown(&execute("resume"), "! Extension 1000 is resumed.").await.unwrap();

    agent.is_shown(&execute("pause"), "Use '/form submit'").await.unwrap();
    agent.is_shown("/field2 \"café & <ñ>\"", "[field2] Another reason: café & <ñ>").await.unwrap();
    agent.is_shown("/form submit", "! Extension 1000 is paused everywhere: café & <ñ>.").await.unwrap();
    agent.is_shown(&execute("dance"), "urn:usher:command:dance: there is no such command for you").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn profanity_shows_a_stranger_nothing_but_that_they_are_refused() {
    let rig = house("profstrange").start().await.unwrap();
    let agent = at(&rig, "user1").await;
    let usher = agent.contact(USHER).await.unwrap();
    let stranger = at(&rig, "crm").await;
    stranger.is_shown(&format!("/sub request {USHER}"), "Sent subscription request").await.unwrap();
    for text in ["status", "login 1000 support", "hello"] {
        stranger.enter(&format!("/msg {USHER} {text}")).unwrap();
    }
    stranger.shows("me: hello").await.unwrap();
    // What one person sends is heard in its order: once the last is refused, all before it has been passed over.
    stranger.enter("/win 1").unwrap();
    let refused = "urn:usher:command:status: only the JID of an extension, or a supervisor, may use these commands";
    stranger.is_shown(&format!("/cmd exec urn:usher:command:status {usher}"), refused).await.unwrap();
    let screen =
        stranger.is_shown(&format!("/cmd exec urn:usher:command:log-on {usher}"), "command:log-on: only").await;
    assert!(!screen.unwrap().contains("++ usher@"), "the account is seen");
    stranger.enter("/win 2").unwrap();
    let screen = stranger.is_shown("/sub show", "subscription status: none, request pending.").await.unwrap();
    assert!(screen.starts_with(&format!("{USHER} [offline]")), "{screen}");
    assert!(!screen.contains("Extension") && !screen.contains("words"), "{screen}");
    assert_eq!(value(&rig, "SELECT count(*) FROM memberships").await.unwrap(), "0");
}

/// It knows nothing of nodes, but sends what is typed into its console of XML.
#[tokio::test(flavor = "multi_thread")]
async fn profanity_shows_the_pop_of_a_node_that_it_has_subscribed_to_by_hand() {
    let rig = house("profpop").logged_on(&["1000"]).sql(&times(30, 300)).start().await.unwrap();
    let one = phone(&rig, "1000");
    let agent = at(&rig, "user1").await;
    agent.enter("/xmlconsole").unwrap();
    let subscribe = format!(
        "<iq type='set' id='by-hand' to='{PUBSUB}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <subscribe node='extension1000' jid='user1@{DOMAIN}'/></pubsub></iq>"
    );
    agent.is_shown(&subscribe, "subscription=\"subscribed\"").await.unwrap();
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let leg = one.rung(1, SOON).await.unwrap();
    talk(&caller, &leg).await;
    let customer = "<customer id=\"1\" code=\"1111\" name=\"Company 1\"/>";
    let is_shown = |screen: &str| {
        let states = ["offered", "ringing", "answered"].map(|state| screen.find(&format!("state=\"{state}\"")));
        states.iter().all(Option::is_some) && states.is_sorted() && screen.matches(customer).count() == 3
    };
    agent.looks("three revisions of the pop", is_shown).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    agent.shows("<retract id=").await.unwrap();
}
