//! Rooms of queues with real calls: what members read there, what supervisors do there, and a service that dies.

use usher_rig::{
    phones::Ears,
    prosody::{DOMAIN, ROOMS},
    rig::Rig,
    wait,
    xmpp::Client,
};
use xmpp_parsers::{
    jid::Jid,
    message::{Lang, Message, MessageType},
    muc::Muc,
    presence::Presence,
};

use crate::{
    aid::{SOON, answers, enter, house, times},
    steps::value,
};

/// What the customer of the tests is called.
const NAME: &str = "Müller, \"A\" & <Söhne>";

async fn rig(name: &str) -> Rig {
    let rig = house(name).logged_on(&["1000"]).sql(&times(15, 60));
    let rig = rig.config("xmpp", &format!("rooms = \"{ROOMS}\"\nsupervisors = [\"user3@{DOMAIN}\"]"));
    let rename = format!("UPDATE customers SET name = '{NAME}' WHERE code = '1111'");
    let rig = rig.sql(&rename).start().await.unwrap();
    rooms_are_open(&rig, 1).await;
    rig
}

async fn rooms_are_open(rig: &Rig, count: u64) {
    wait::until("the rooms are open", SOON, || async {
        let opened = rig.usher()?.ready_body().await?["counters"]["rooms"]["opened"].as_u64();
        anyhow::ensure!(opened >= Some(count), "{opened:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Somebody in the room of `support`.
struct Occupant(Client);

impl Occupant {
    async fn enter(rig: &Rig, account: &str) -> Self {
        let client = Client::connect(&rig.prosody, account).await.unwrap();
        let place: Jid = format!("support@{ROOMS}/{account}").parse().unwrap();
        client.set_presence(Presence::available().with_to(place).with_payload(Muc::new())).await.unwrap();
        let occupant = Self(client);
        wait::until("the room says its subject", SOON, || async {
            anyhow::ensure!(!occupant.subjects().is_empty());
            Ok(())
        })
        .await
        .unwrap();
        occupant
    }

    async fn says(&self, text: &str) {
        let mut message = Message::groupchat(Some(format!("support@{ROOMS}").parse::<Jid>().unwrap()));
        message.bodies.insert(Lang::default(), text.into());
        self.0.send(message.into()).await.unwrap();
    }

    fn of_room(&self) -> impl Iterator<Item = Message> {
        let all = self.0.messages().into_iter().map(|received| received.message);
        all.filter(|message| message.type_ == MessageType::Groupchat)
    }

    fn subjects(&self) -> Vec<String> {
        let subjects = self.of_room().filter(|message| message.bodies.is_empty());
        subjects.filter_map(|message| Some(message.get_best_subject(vec![])?.1.clone())).collect()
    }

    /// What the service has said of calls, line by line.
    fn lines(&self) -> Vec<String> {
        let of_service = |message: &Message| {
            let nick = message.from.as_ref().and_then(|from| from.resource().map(ToString::to_string));
            nick.is_some_and(|nick| nick.starts_with("Usher"))
        };
        let bodies = self.of_room().filter(of_service);
        let bodies = bodies.filter_map(|message| Some(message.get_best_body(vec![])?.1.clone()));
        let lines: Vec<String> = bodies.flat_map(|body| body.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.into_iter().filter_map(|line| Some(line.strip_prefix(&format!("{NAME} (1111): "))?.to_owned())).collect()
    }

    async fn reads_lines(&self, expected: &[&str]) {
        wait::until("the room has told of the call", SOON, || async {
            let lines = self.lines();
            anyhow::ensure!(lines == expected, "{lines:?}");
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn reads(&self, what: &str, is: impl Fn(&str) -> bool) {
        let found = |message: &usher_rig::xmpp::Received| message.body.as_deref().is_some_and(&is);
        let read = self.0.wait_for_message(SOON, found).await;
        assert!(read.is_ok(), "{what}: {read:?}");
    }

    async fn shows(&self, is: impl Fn(&str) -> bool) {
        wait::until("the subject is another one", SOON, || async {
            let subjects = self.subjects();
            anyhow::ensure!(subjects.last().is_some_and(|subject| is(subject)), "{subjects:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_reads_of_a_call_in_the_room_while_a_supervisor_pauses_and_resumes_somebody_there() {
    let rig = rig("rooms").await;
    let agent = rig.phones.phone("1000").unwrap();
    answers(agent);
    let member = Occupant::enter(&rig, "user1").await;
    let boss = Occupant::enter(&rig, "user3").await;
    member.shows(|subject| subject == "nobody waits, 1 of 1 ready").await;
    boss.says("Usher: pause 1000 lunch").await;
    member.reads("the pause", |body| body == "user3: Extension 1000 is paused in Support: lunch.").await;
    assert_eq!(value(&rig, "SELECT queue || ' ' || reason FROM pauses").await.unwrap(), "support lunch");
    let caller = enter(&rig, "5551001").await;
    member.reads_lines(&["came in"]).await;
    member.shows(|subject| subject.starts_with("1 waiting, longest 00:0") && subject.ends_with(", 0 of 1 ready")).await;
    member.says("Usher: resume 1000").await;
    member.reads("the refusal", |body| body.starts_with("user1: Only supervisors")).await;
    boss.says("!waiting").await;
    let listed = format!("\n1. {NAME} (1111), 0:");
    member.reads("who waits", |body| body.starts_with("user3: Support: 1 waiting") && body.contains(&listed)).await;
    assert_eq!(agent.rings_so_far(), 0);
    boss.says("Usher, resume 1000").await;
    let leg = agent.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    let with = |what: &str| what.replace("{}", "1000 (Agent One)");
    let (rings, taken, over) = (with("rings at {}"), with("taken by {}"), with("the talk with {} is over"));
    member.reads_lines(&["came in", &rings, &taken]).await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    member.reads_lines(&["came in", &rings, &taken, &over]).await;
    member.shows(|subject| subject == "nobody waits, 1 of 1 ready").await;
    wait::until("four lines are counted", SOON, || async {
        let counted = &rig.usher()?.ready_body().await?["counters"]["rooms"];
        anyhow::ensure!((counted["lines"].as_u64(), counted["dropped"].as_u64()) == (Some(4), Some(0)), "{counted}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again_the_service_says_nothing_twice_in_the_room() {
    let rig = rig("roomskill").await;
    let agent = rig.phones.phone("1000").unwrap();
    agent.set_ears(Ears::Closed);
    answers(agent);
    let member = Occupant::enter(&rig, "user1").await;
    let boss = Occupant::enter(&rig, "user3").await;
    boss.says("Usher: pause 1000").await;
    member.reads("the pause", |body| body.starts_with("user3: Extension 1000 is paused")).await;
    let caller = enter(&rig, "5551001").await;
    member.reads_lines(&["came in"]).await;
    let again = async || {
        rig.usher().unwrap().kill().await.unwrap();
        rig.usher().unwrap().start_again().await.unwrap();
        rooms_are_open(&rig, 1).await;
    };
    again().await;
    boss.says("Usher: resume 1000").await;
    let leg = agent.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    let with = |what: &str| what.replace("{}", "1000 (Agent One)");
    let (rings, taken, over) = (with("rings at {}"), with("taken by {}"), with("the talk with {} is over"));
    member.reads_lines(&["came in", &rings, &taken]).await;
    again().await;
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    member.reads_lines(&["came in", &rings, &taken, &over]).await;
    let subjects = member.subjects();
    assert!(subjects.windows(2).all(|two| two[0] != two[1]), "{subjects:?}");
}
