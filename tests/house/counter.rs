//! Agents who work from their XMPP clients: what they type is done, and calls follow it.

use std::time::Duration;

use usher_rig::{
    phones::{Ears, Phone},
    prosody::DOMAIN,
    rig::Rig,
    wait,
    xmpp::{Client, Received},
};
use xmpp_parsers::{
    jid::{BareJid, Jid},
    message::{Id, Lang, Message},
    message_correct::Replace,
    minidom::Element,
    presence::{Presence, Type as PresenceType},
    receipts,
};

use crate::{
    aid::{SOON, answers, enter, enter_with, house, is_served, talk, times},
    steps::{value, wait_for_value},
};

/// Somebody at their client.
pub struct Person {
    pub client: Client,
    read: usize,
}

/// The account of the service.
pub fn usher() -> BareJid {
    format!("usher@{DOMAIN}").parse().unwrap()
}

impl Person {
    pub async fn connect(rig: &Rig, account: &str) -> Self {
        Self { client: Client::connect(&rig.prosody, account).await.unwrap(), read: 0 }
    }

    /// Writes a message, and waits for what the service says next.
    pub async fn ask(&mut self, text: &str) -> String {
        self.send(chat(text)).await;
        self.hears().await.body.unwrap()
    }

    /// The same, and it says this.
    pub async fn is_told(&mut self, text: &str, expected: &str) {
        assert_eq!(self.ask(text).await, expected, "{text:?}");
    }

    /// The same, of something that follows from what happened just now.
    pub async fn is_told_at_last(&mut self, text: &str, expected: &str) {
        // Below the thirty in a row that the service hears.
        let mut asks = tokio::time::interval(SOON / 25);
        for _ in 0..25 {
            asks.tick().await;
            if self.ask(text).await.contains(expected) {
                return;
            }
        }
        panic!("{text:?} is never answered {expected:?}");
    }

    pub async fn send(&self, message: Message) {
        self.client.send(message.into()).await.unwrap();
    }

    /// The next message of the service that has a text and announces no caller.
    pub async fn hears(&mut self) -> Received {
        let is_answer = |received: &Received| {
            let is_ours = received.from.as_ref().is_some_and(|from| from.to_bare() == usher());
            is_ours && received.body.as_ref().is_some_and(|body| !body.starts_with("Support: Customer"))
        };
        let read = self.read;
        wait::until(&format!("answer {}", read + 1), SOON, || async {
            let said: Vec<Received> = self.client.messages().into_iter().filter(is_answer).collect();
            anyhow::ensure!(said.len() > read, "{said:?}");
            Ok(())
        })
        .await
        .unwrap();
        self.read += 1;
        self.client.messages().into_iter().filter(is_answer).nth(read).unwrap()
    }

    /// Where the service writes from.
    pub fn address(&self) -> Jid {
        let mut from = self.client.messages().into_iter().filter_map(|message| message.from);
        from.rfind(|from| from.to_bare() == usher()).unwrap()
    }
}

pub fn chat(text: &str) -> Message {
    let mut message = Message::chat(Some(Jid::from(usher())));
    message.bodies.insert(Lang::default(), text.into());
    message
}

fn numbered(id: &str, text: &str, payload: Option<Element>) -> Message {
    let mut message = chat(text);
    message.id = Some(Id(id.into()));
    message.payloads.extend(payload);
    message
}

fn phone<'a>(rig: &'a Rig, number: &str) -> &'a Phone {
    let phone = rig.phones.phone(number).unwrap();
    answers(phone);
    phone.set_ears(Ears::Open);
    phone
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_logs_on_by_chat_takes_a_call_pauses_and_takes_none_until_they_resume() {
    let rig = house("chat").sql(&times(15, 60)).start().await.unwrap();
    let agent = phone(&rig, "1000");
    let mut user = Person::connect(&rig, "user1").await;
    user.is_told("Login SUPPORT", "Extension 1000 is logged on to Support.").await;
    let caller = enter_with(&rig, "5551001", Ears::Open).await;
    let leg = agent.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    let status = user.ask("status").await;
    assert_eq!(status, "Extension 1000 is logged on to Support.\nIn a call with Company 1 (1111) of Support.");
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    // A word of Portuguese alone: what follows is of two languages.
    user.ask("ligações").await;
    user.is_told("pausa almoço", "O ramal 1000 está em pausa em todas as filas: almoço.").await;
    let second = enter(&rig, "5551002").await;
    let waiting = user.ask("waiting").await;
    assert!(waiting.starts_with("Support: 1 waiting, 0 of 1 members ready\n1. Company 1 (1111), 0:0"), "{waiting}");
    assert_eq!(agent.rings_so_far(), 1);
    assert_eq!(value(&rig, "SELECT kind || ' ' || reason FROM pauses").await.unwrap(), "manual almoço");
    user.is_told("reanudar", "La extensión 1000 ya no está en pausa.").await;
    agent.rung(2, SOON).await.unwrap();
    is_served(&rig, "5551002").await;
    second.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();

    user.is_told("logout", "La extensión 1000 tiene la sesión cerrada en Support.").await;
    assert_eq!(value(&rig, "SELECT logged_on FROM memberships").await.unwrap(), "f");
    wait_for_value(&rig, "SELECT count(*) FROM calls WHERE ended_at IS NOT NULL", "2").await;
    let calls = user.ask("calls").await;
    assert!(calls.starts_with("Calls of extension 1000 today: 2.\n"), "{calls}");
    assert_eq!(calls.matches("Support: Company 1 (1111), talk 0:0").count(), 2, "{calls}");
    let story = user.ask("why").await;
    assert!(story.contains("offer 1 to 1000 (leastrecent)\n1000 answered\ncompleted"), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_word_and_changes_nothing_and_a_supervisor_acts_for_others() {
    let supervisors = format!("supervisors = [\"user3@{DOMAIN}\"]");
    let rig = house("chatrights").sql("DELETE FROM extensions WHERE number = '3000'");
    let rig = rig.config("xmpp", &supervisors).start().await.unwrap();
    let mut agent = Person::connect(&rig, "user1").await;
    let stranger = Person::connect(&rig, "crm").await;
    agent
        .is_told("entrar 2000 support", "No se hizo: la extensión 2000 no es suya, y solo un supervisor puede hacerlo.")
        .await;
    for text in ["login support", "login 1000 support", "help", "hello"] {
        stranger.send(chat(text)).await;
    }
    // A person's stanzas are heard in their order: once the request is refused, the messages have been passed over.
    let to = agent.address().to_string();
    let items = Element::bare("query", xmpp_parsers::ns::DISCO_ITEMS);
    let refused = stranger.client.request(&to, xmpp_parsers::iq::IqPayload::Get(items)).await;
    assert!(refused.unwrap_err().to_string().contains("Forbidden"));
    assert!(stranger.client.messages().is_empty(), "{:?}", stranger.client.messages());
    // Nor do they see that the account is there, as an agent who asks for it does.
    for (person, expected) in [(&stranger, "none"), (&agent, "to")] {
        let mut subscribe = Presence::new(PresenceType::Subscribe);
        subscribe.to = Some(usher().into());
        person.client.set_presence(subscribe).await.unwrap();
        wait::until("the contact is there", SOON, || async {
            let roster = xmpp_parsers::iq::IqPayload::Get(Element::bare("query", xmpp_parsers::ns::ROSTER));
            let own = person.client.jid().to_string();
            let list = person.client.request(&own, roster).await?.ok_or_else(|| anyhow::anyhow!("no roster"))?;
            let states: Vec<_> = list.children().filter_map(|item| item.attr("subscription")).collect();
            anyhow::ensure!(states == [expected], "{states:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
    assert_eq!(value(&rig, "SELECT count(*) FROM memberships").await.unwrap(), "0");

    let mut supervisor = Person::connect(&rig, "user3").await;
    supervisor.is_told("login 1000 support", "Extension 1000 is logged on to Support.").await;
    assert_eq!(agent.hears().await.body.unwrap(), "Extension 1000 is logged on to Support.");
    supervisor.is_told("pause 1000 training", "Extension 1000 is paused everywhere: training.").await;
    assert_eq!(agent.hears().await.body.unwrap(), "Extension 1000 is paused everywhere: training.");
    supervisor.is_told("pause", "For which extension? Put it after the word: status 1000").await;
    let status = supervisor.ask("status 1000").await;
    assert!(status.contains("It is paused everywhere for 0:0"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_corrections_and_unknown_words_are_answered_as_clients_expect() {
    let rig = house("chatwords").logged_on(&["1000"]).start().await.unwrap();
    let mut user = Person::connect(&rig, "user1").await;
    let short = user.ask("hello").await;
    assert!(short.starts_with("I know these words: login, logout, pause"), "{short}");
    user.ask("estado").await;
    let short = user.ask("hola").await;
    assert!(short.starts_with("Conozco estas palabras: entrar"), "{short}");
    user.is_told("idioma pt", "A partir de agora respondo em português.").await;
    assert!(user.ask("hola").await.starts_with("Conheço"));
    // It was asked for, so it stays, whatever words are used.
    for word in ["help", "ayuda", "hello"] {
        let told = user.ask(word).await;
        assert!(told.contains("pausa [motivo] [fila]") || told.starts_with("Conheço"), "{word}: {told}");
    }
    user.is_told("language en", "I answer in English from now on.").await;

    user.send(numbered("a", "pause lunch", Some(receipts::Request.into()))).await;
    assert_eq!(user.hears().await.body.unwrap(), "Extension 1000 is paused everywhere: lunch.");
    let received = |message: &Received| {
        message
            .message
            .payloads
            .iter()
            .any(|payload| payload.is("received", "urn:xmpp:receipts") && payload.attr("id") == Some("a"))
    };
    user.client.wait_for_message(SOON, received).await.unwrap();
    let correct = |id: &str| Some(Replace { id: Id(id.into()) }.into());
    user.send(numbered("b", "pause meeting", correct("a"))).await;
    let told = user.hears().await.body.unwrap();
    assert!(told.starts_with("What you correct was done already"), "{told}");
    assert_eq!(value(&rig, "SELECT reason FROM pauses").await.unwrap(), "lunch");
    // What was no command yet can be corrected into one, once.
    user.send(numbered("c", "resmue", None)).await;
    assert!(user.hears().await.body.unwrap().starts_with("I know these words"));
    user.send(numbered("d", "resume", correct("c"))).await;
    assert_eq!(user.hears().await.body.unwrap(), "Extension 1000 is resumed.");
    user.send(numbered("e", "logout", correct("c"))).await;
    assert!(user.hears().await.body.unwrap().starts_with("What you correct was done already"));
    user.send(numbered("f", "status", correct("nothing-known"))).await;
    assert!(user.hears().await.body.unwrap().starts_with("Extension 1000 is logged on to Support."));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_an_agent_reads_that_nothing_was_done_and_who_waits_all_the_same() {
    let rig = house("chataway").logged_on(&["1000"]).proxies().start().await.unwrap();
    let mut user = Person::connect(&rig, "user1").await;
    user.is_told("login", "Extension 1000 is logged on to Support.").await;
    let proxy = &rig.proxies.as_ref().unwrap().postgres;
    proxy.refuse();
    proxy.cut();
    crate::aid::log_says(&rig, "down: database", Duration::from_secs(10)).await;
    user.is_told("pause", "The database is away: your pause was not set. Try again in a moment.").await;
    user.is_told(
        "salir",
        "La base de datos no está disponible: su sesión no se cerró. Inténtelo otra vez en un momento.",
    )
    .await;
    let status = user.ask("status").await;
    assert_eq!(status, "Extension 1000 is logged on to Support.\nThe phone is free.");
    assert!(user.ask("waiting").await.starts_with("Support: 0 waiting, 1 of 1 members ready"));
    proxy.heal();
    crate::aid::ready_says(&rig, 200, crate::aid::RECONNECTED).await;
    assert_eq!(value(&rig, "SELECT count(*) FROM pauses").await.unwrap(), "0", "nothing is done afterwards");
    user.is_told("pause", "Extension 1000 is paused everywhere.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_that_answer_each_other_stop_after_some_messages() {
    let rig = house("chatloop").start().await.unwrap();
    let mut user = Person::connect(&rig, "user1").await;
    for _ in 0..80 {
        user.send(chat("I am a program")).await;
    }
    user.send(numbered("last", "help", None)).await;
    // Thirty are answered, one more each second, and one says that it is too fast.
    wait::until("it says so", SOON, || async {
        let all = user.client.messages();
        let told = |message: &Received| message.body.as_ref().is_some_and(|body| body.starts_with("Too many messages"));
        anyhow::ensure!(all.iter().any(told), "{}", all.len());
        Ok(())
    })
    .await
    .unwrap();
    let count = user.client.messages().len();
    assert!(count <= 45, "{count}");
    user.hears().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_pauses_by_an_ad_hoc_command_and_gets_no_call_until_they_resume_by_another() {
    let rig = house("adhoc").sql(&times(15, 60)).logged_on(&["1000"]).start().await.unwrap();
    let agent = phone(&rig, "1000");
    let mut user = Person::connect(&rig, "user1").await;
    user.ask("status").await;
    let paused = execute(&user, "pause", "<field var='reason'><value>lunch</value></field>").await;
    assert_eq!(paused, "Extension 1000 is paused everywhere: lunch.");
    let caller = enter(&rig, "5551001").await;
    let waiting = execute(&user, "waiting", "").await;
    assert!(waiting.starts_with("Support: 1 waiting, 0 of 1 members ready"), "{waiting}");
    assert_eq!(agent.rings_so_far(), 0);
    assert_eq!(execute(&user, "resume", "").await, "Extension 1000 is resumed.");
    agent.rung(1, SOON).await.unwrap();
    is_served(&rig, "5551001").await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

/// Executes a command in one step; yields the note.
async fn execute(user: &Person, verb: &str, form: &str) -> String {
    let commands = "http://jabber.org/protocol/commands";
    let form =
        if form.is_empty() { String::new() } else { format!("<x xmlns='jabber:x:data' type='submit'>{form}</x>") };
    let command = format!("<command xmlns='{commands}' node='urn:usher:command:{verb}'>{form}</command>");
    let asked = xmpp_parsers::iq::IqPayload::Set(command.parse().unwrap());
    let answer = user.client.request(user.address().as_str(), asked).await.unwrap().unwrap();
    assert_eq!(answer.attr("status"), Some("completed"), "{answer:?}");
    answer.get_child("note", commands).unwrap().text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_nobody_here_wrote_logs_on_by_command_and_pauses_by_chat() {
    let rig = house("slixmpp").start().await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/house/agent.py");
    let port = rig.prosody.address().rsplit_once(':').unwrap().1.to_owned();
    // Debian's own Python, for which Debian's package of slixmpp is.
    let output = tokio::process::Command::new("/usr/bin/python3")
        .arg(script)
        .args([&format!("user1@{DOMAIN}"), &rig.prosody.password("user1").unwrap(), &port])
        .arg(&rig.prosody.certificate().authority)
        .arg(usher().to_string())
        .kill_on_drop(true)
        .output()
        .await
        .expect("/usr/bin/python3 runs; scripts/setup installs it with python3-slixmpp");
    let (said, problems) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{problems}");
    let expected = [
        "feature True",
        "commands 7",
        "form executing list-multi ['support']",
        "done completed [('info', 'Extension 1000 is logged on to Support.')]",
        "again bad-request",
        "chat La extensión 1000 está en pausa en todas las colas: Almuerzo.",
        "receipt",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{problems}");
    assert_eq!(value(&rig, "SELECT logged_on FROM memberships").await.unwrap(), "t");
    assert_eq!(value(&rig, "SELECT reason FROM pauses").await.unwrap(), "Almuerzo");
}
