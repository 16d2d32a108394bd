//! Rooms of queues on either server: how they are made, who enters, what is said there, and who commands.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use usher::{
    config::Pops,
    desk::quiet::Spans,
    domain::{
        fact::{CallOutcome, Fact},
        id::{CallId, ChannelId, CustomerCode, Extension, OfferNo, QueueName, ServerId},
        pop::{PopOutcome, PopState},
        queue::roster::{CallerId, Customer},
        room::{access::Affiliation, lines::News},
    },
    fence::Fence,
    xmpp::{
        Account,
        muc::{self, Heard, Hearing},
        session::{Ears, Event, Session},
    },
};
use usher_rig::wait;
use uuid::Uuid;
use xmpp_parsers::{
    disco::{DiscoInfoQuery, DiscoInfoResult},
    iq::IqPayload,
    jid::BareJid,
    stanza_error::DefinedCondition,
};

use crate::{
    counter::{House, house_with},
    fixture::{config, pop, start_with},
    patience::PATIENCE,
    prosody::{DOMAIN, Prosody},
};

const CALL: CallId = CallId(Uuid::from_u128(7));
const MEMBER: &str = "INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '1000', true)";

fn service() -> String {
    format!("conference.{DOMAIN}")
}

fn room(queue: &str) -> BareJid {
    format!("{queue}@{}", service()).parse().unwrap()
}

async fn house(rows: &str) -> House {
    house_with(Some(&service()), rows).await
}

impl House {
    /// Waits until rooms were opened, or could not be, so often.
    async fn rooms_are(&self, opened: u64, refused: u64) {
        wait::until("the rooms are as they are to be", PATIENCE, || async {
            let now = (self.rooms.opened.load(Ordering::Relaxed), self.rooms.refused.load(Ordering::Relaxed));
            anyhow::ensure!(now.0 >= opened && now.1 >= refused, "{now:?}");
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn sql(&self, statement: &str) {
        self.database.connect().await.unwrap().batch_execute(statement).await.unwrap();
    }

    async fn tell(&self, fact: Fact) {
        self.news.send(News::Happened { fact, whose: None, is_old: false }).await.unwrap();
    }
}

/// Somebody's client.
struct Occupant {
    session: Session,
    ears: Hearing,
    nick: &'static str,
    _events: mpsc::Receiver<Event>,
}

impl Occupant {
    async fn connect(prosody: &Prosody, user: &'static str) -> Self {
        let mut config = config(prosody, prosody.address());
        config.jid = format!("{user}@{DOMAIN}");
        config.password = Some(user.to_owned().into());
        let (ear, ears) = muc::channel(service().parse().unwrap());
        let listening = Ears { rooms: Some(ear), ..Ears::default() };
        let account = Account::new(&config).unwrap();
        let (session, mut events) =
            Session::start_for(account, Fence::open(), listening, CancellationToken::new()).unwrap();
        while !matches!(timeout(PATIENCE, events.recv()).await.unwrap().unwrap(), Event::Online { .. }) {}
        Self { session, ears, nick: user, _events: events }
    }

    /// What comes next that is looked for; all before it is passed over.
    async fn hears<T>(&mut self, what: &str, is: impl Fn(&Heard) -> Option<T>) -> T {
        let mut passed = Vec::new();
        loop {
            let Ok(heard) = timeout(PATIENCE, self.ears.stanzas.recv()).await else {
                panic!("{} does not hear {what}, but {passed:?}", self.nick)
            };
            let (_, _, heard) = heard.unwrap();
            if let Some(found) = is(&heard) {
                return found;
            }
            passed.push(heard);
        }
    }

    /// Goes in, or not: the word of the server.
    async fn tries(&mut self, queue: &str) -> Result<(), DefinedCondition> {
        self.session.send(muc::enter(&room(queue), self.nick).unwrap()).await;
        let nick = self.nick;
        self.hears("an answer", |heard| {
            if let Heard::Refused(error) = heard {
                return Some(Err(error.defined_condition.clone()));
            }
            matches!(heard, Heard::Here { nick: who, is_self: true, .. } if who == nick).then_some(Ok(()))
        })
        .await
    }

    async fn subject(&mut self, expected: &str) {
        self.hears(expected, |heard| matches!(heard, Heard::Subject { text, .. } if text == expected).then_some(()))
            .await;
    }

    /// The next text of the service.
    async fn reads(&mut self) -> String {
        self.reads_of("Usher").await
    }

    /// The next text of whoever has this name.
    async fn reads_of(&mut self, name: &str) -> String {
        self.hears("a text", |heard| {
            let Heard::Said { nick, text, is_history: false, .. } = heard else { return None };
            (nick == name).then(|| text.clone())
        })
        .await
    }

    async fn says(&self, queue: &str, text: &str) {
        self.session.send(muc::say(&room(queue), text).1).await;
    }
}

fn entered(name: &str) -> Fact {
    Fact::CallEntered {
        call: CALL,
        server: ServerId::new("pbx"),
        channel: ChannelId::new("c"),
        queue: QueueName::new("support"),
        customer: Customer { id: 1, code: CustomerCode::new("0071"), name: name.into() },
        caller: CallerId { number: "5551001".into(), name: String::new() },
    }
}

fn rings() -> Fact {
    Fact::CallRinging { call: CALL, offer: OfferNo(1), extension: Extension::new("1000"), pop: PopOutcome::Confirmed }
}

fn ended() -> Fact {
    Fact::CallEnded { call: CALL, extension: None, outcome: CallOutcome::Abandoned }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_for_the_members_of_its_queue_who_read_each_event_in_it() {
    let house = house(MEMBER).await;
    house.rooms_are(2, 0).await;
    let mut member = Occupant::connect(&house.prosody, "user1").await;
    let info =
        member.session.request(room("support").into(), IqPayload::Get(DiscoInfoQuery { node: None }.into()), PATIENCE);
    let info = DiscoInfoResult::try_from(info.await.unwrap().unwrap()).unwrap();
    for feature in ["muc_membersonly", "muc_hidden", "muc_persistent", "muc_nonanonymous"] {
        assert!(info.features.contains(feature), "{feature}: {:?}", info.features);
    }
    assert_eq!(info.identities[0].name.as_deref(), Some("Support"));

    let mut stranger = Occupant::connect(&house.prosody, "stranger").await;
    assert_eq!(stranger.tries("support").await, Err(DefinedCondition::RegistrationRequired));
    assert_eq!(member.tries("sales").await, Err(DefinedCondition::RegistrationRequired), "another queue's");
    assert_eq!(member.tries("support").await, Ok(()));
    member.subject("nobody waits, 0 of 1 ready").await;
    house.tell(entered("Company, 1 & <Süß> \"é\" 日本")).await;
    house.tell(rings()).await;
    assert_eq!(
        member.reads().await,
        "Company, 1 & <Süß> \"é\" 日本 (0071): came in\nCompany, 1 & <Süß> \"é\" 日本 (0071): rings at 1000 (Agent One)"
    );
    house.tell(ended()).await;
    assert_eq!(member.reads().await, "Company, 1 & <Süß> \"é\" 日本 (0071): hung up");
    wait::until("three lines are counted", PATIENCE, || async {
        let lines = house.rooms.lines.load(Ordering::Relaxed);
        anyhow::ensure!(lines == 3, "{lines}");
        Ok(())
    })
    .await
    .unwrap();

    house.sql("UPDATE memberships SET logged_on = false").await;
    member.subject("nobody waits, 0 of 0 ready").await;
    house.sql("DELETE FROM memberships").await;
    member
        .hears("that they are put out", |heard| {
            matches!(heard, Heard::Gone { nick, .. } if nick == "user1").then_some(())
        })
        .await;
    assert_eq!(member.tries("support").await, Err(DefinedCondition::RegistrationRequired));
    house.sql(MEMBER).await;
    house.sql("UPDATE queues SET label = 'Help & <desk>' WHERE name = 'support'").await;
    wait::until("the room has its new name", PATIENCE, || async {
        let asked = IqPayload::Get(DiscoInfoQuery { node: None }.into());
        let info = member.session.request(room("support").into(), asked, PATIENCE).await?.unwrap();
        let name = DiscoInfoResult::try_from(info)?.identities[0].name.clone();
        anyhow::ensure!(name.as_deref() == Some("Help & <desk>"), "{name:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(member.tries("support").await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_command_in_a_room_and_members_are_told_once_that_they_do_not() {
    let house = house(MEMBER).await;
    house.rooms_are(2, 0).await;
    let mut boss = Occupant::connect(&house.prosody, "user3").await;
    assert_eq!(boss.tries("support").await, Ok(()));
    boss.says("support", "Usher is slow today, and !important").await;
    boss.says("support", "!nonsense").await;
    boss.says("support", "Usher: waiting").await;
    assert!(boss.reads().await.starts_with("user3: Support: 0 waiting, 0 of 1 members ready"));
    boss.says("support", "!pause 1000 lunch").await;
    assert_eq!(boss.reads().await, "user3: Extension 1000 is paused in Support: lunch.");
    let mut member = Occupant::connect(&house.prosody, "user1").await;
    assert_eq!(member.tries("support").await, Ok(()));
    for text in ["Usher: resume 1000", "!resume", "Usher, waiting"] {
        member.says("support", text).await;
    }
    assert_eq!(member.reads().await, "user1: Only supervisors can give me orders here; write to me in private.");
    boss.says("support", "usher, resume 1000").await;
    assert_eq!(member.reads().await, "user3: Extension 1000 is resumed in Support.", "and it was not before");

    assert_eq!(boss.tries("sales").await, Ok(()));
    house.sql("DELETE FROM queues WHERE name = 'sales'").await;
    boss.hears("that the service leaves", |heard| {
        matches!(heard, Heard::Gone { nick, .. } if nick == "Usher").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_calm_for_rooms_while_a_phone_waits_for_its_pop() {
    let prosody = Prosody::start().await;
    let spans = Spans { at_most: PATIENCE, after_pop: Duration::ZERO };
    let xmpp = config(&prosody, prosody.address());
    let desk = start_with(&xmpp, &Pops::default(), Fence::open(), spans).once_ready().await;
    let mut calm = desk.handle.calm();
    timeout(PATIENCE, calm.wait_for(|calm| *calm)).await.unwrap().unwrap();
    prosody.freeze();
    let outcome = desk.handle.publish(pop(1, 1, PopState::Offered, "one"));
    timeout(PATIENCE, calm.wait_for(|calm| !calm)).await.unwrap().unwrap();
    prosody.thaw();
    assert_eq!(outcome.await.unwrap(), PopOutcome::Confirmed);
    timeout(PATIENCE, calm.wait_for(|calm| *calm)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_somebody_else_is_left_alone_and_the_others_go_on() {
    let house = house(MEMBER).await;
    house.rooms_are(2, 0).await;
    let mut stranger = Occupant::connect(&house.prosody, "stranger").await;
    assert_eq!(stranger.tries("later").await, Ok(()));
    let wanted = muc::Wanted { label: "Mine".into(), ..muc::Wanted::default() };
    muc::settle(&stranger.session, &room("later"), &wanted).await.unwrap();
    // And one that anybody may enter: the service does, sees whose it is, and leaves.
    assert_eq!(stranger.tries("open").await, Ok(()));
    let as_it_is =
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
    let as_it_is = IqPayload::Set(as_it_is.parse().unwrap());
    stranger.session.request(room("open").into(), as_it_is, PATIENCE).await.unwrap();
    house.sql("INSERT INTO queues (name, label) VALUES ('later', 'Later'), ('open', 'Open')").await;
    house.rooms_are(2, 2).await;
    let usher_goes = |heard: &Heard| matches!(heard, Heard::Gone { nick, .. } if nick == "Usher").then_some(());
    stranger.hears("that the service leaves", usher_goes).await;
    let mut boss = Occupant::connect(&house.prosody, "user3").await;
    assert_eq!(boss.tries("support").await, Ok(()));
    house.tell(entered("Company 1")).await;
    assert_eq!(boss.reads().await, "Company 1 (0071): came in");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_comes_back_and_a_server_that_starts_again_has_the_rooms_again() {
    let mut house = house(MEMBER).await;
    house.rooms_are(2, 0).await;
    let mut member = Occupant::connect(&house.prosody, "user1").await;
    assert_eq!(member.tries("support").await, Ok(()));
    house.prosody.kill();
    house.prosody.run().await;
    house.rooms_are(4, 0).await;
    wait::until("the member's own session is back", PATIENCE, || async {
        anyhow::ensure!(member.ears.link.borrow().is_up);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(member.tries("support").await, Ok(()));
    house.tell(entered("Company 1")).await;
    assert_eq!(member.reads().await, "Company 1 (0071): came in");
    house.tell(ended()).await;
    assert_eq!(member.reads().await, "Company 1 (0071): hung up", "and nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_found_is_mended_and_one_that_is_destroyed_is_made_again() {
    let house = house(MEMBER).await;
    house.rooms_are(2, 0).await;
    // A hand that has the service's account has made a room, in which a stranger may be, and somebody has the service's name.
    let mut hand = Occupant::connect(&house.prosody, "usher").await;
    assert_eq!(hand.tries("later").await, Ok(()));
    let people = ["user1", "stranger"].map(|user| (format!("{user}@{DOMAIN}").parse().unwrap(), Affiliation::Member));
    let wanted = muc::Wanted { label: "Mine".into(), people: people.into() };
    muc::settle(&hand.session, &room("later"), &wanted).await.unwrap();
    let mut member = Occupant::connect(&house.prosody, "user1").await;
    member.nick = "Usher";
    assert_eq!(member.tries("later").await, Ok(()));
    let mut stranger = Occupant::connect(&house.prosody, "stranger").await;
    assert_eq!(stranger.tries("later").await, Ok(()));
    let rows = "INSERT INTO queues (name, label) VALUES ('later', 'Later'); \
                INSERT INTO memberships (queue, extension) VALUES ('later', '1000')";
    house.sql(rows).await;
    house.rooms_are(3, 0).await;
    stranger
        .hears("that they are put out", |heard| {
            matches!(heard, Heard::Gone { nick, .. } if nick == "stranger").then_some(())
        })
        .await;
    let Fact::CallEntered { call, server, channel, customer, caller, .. } = entered("Company 1") else {
        unreachable!()
    };
    let queue = QueueName::new("later");
    house.tell(Fact::CallEntered { call, server, channel, queue, customer, caller }).await;
    assert_eq!(member.reads_of("Usher-2").await, "Company 1 (0071): came in");

    let destroy = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>".parse().unwrap();
    hand.session.request(room("later").into(), IqPayload::Set(destroy), PATIENCE).await.unwrap();
    house.rooms_are(4, 1).await;
    assert_eq!(stranger.tries("later").await, Err(DefinedCondition::RegistrationRequired));
    assert_eq!(member.tries("later").await, Err(DefinedCondition::Conflict), "the first name is free again, and ours");
    member.nick = "user1";
    assert_eq!(member.tries("later").await, Ok(()));
    house.tell(ended()).await;
    assert_eq!(member.reads().await, "Company 1 (0071): hung up");
}
