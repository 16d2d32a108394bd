//! The counter on either server: what clients find, forms that are filled in, chat, and who is refused.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use usher::{
    config::{Database, DatabaseTls, Pops},
    counter, desk,
    domain::{
        queue::roster::{Register, Roster},
        room::lines::News,
        words::Language,
    },
    fence::Fence,
    floor, ledger,
    link::Link,
    presence, rooms,
    xmpp::{
        Account,
        incoming::{Incoming, WAITING, What},
        muc,
        session::{Ears, Event, RequestError, Session},
        sight,
    },
};
use usher_rig::postgres::Postgres;
use xmpp_parsers::{
    iq::IqPayload,
    jid::{BareJid, Jid},
    message::{Lang, Message},
    minidom::Element,
    ns,
    stanza_error::{DefinedCondition, StanzaError},
};

use crate::{
    fixture::config,
    patience::PATIENCE,
    prosody::{DOMAIN, Prosody},
};

const COMMANDS: &str = "http://jabber.org/protocol/commands";

/// The service without an Asterisk: desk, ledger, floor, counter and rooms.
pub struct House {
    pub prosody: Prosody,
    pub database: usher_rig::postgres::Database,
    pub counter: counter::Handle,
    _presence: presence::Handle,
    /// For those who stand beside the counter.
    pub visitors: mpsc::Sender<Incoming>,
    pub roster: watch::Receiver<Register>,
    pub floor: floor::Questions,
    /// What is counted of rooms, and where the floor tells what happens.
    pub rooms: Arc<rooms::Counts>,
    pub news: mpsc::Sender<News>,
    _rooms: Option<rooms::Handle>,
    _ledger: ledger::Handle,
    _stop: tokio_util::sync::DropGuard,
}

pub async fn house() -> House {
    house_with(None, "").await
}

/// The same with rooms in this service, if there is one, and with these rows.
pub async fn house_with(service: Option<&str>, rows: &str) -> House {
    let prosody = Prosody::start().await;
    let postgres = Postgres::shared().await.unwrap();
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/seed/demo.sql");
    let database = postgres.database("counter", Path::new(env!("CARGO_BIN_EXE_usher")), Some(&seed)).await.unwrap();
    let statement = format!(
        "UPDATE extensions SET jid = split_part(jid, '@', 1) || '@{DOMAIN}'; DELETE FROM extensions WHERE number = '3000'; \
         INSERT INTO queues (name, label) VALUES ('sales', 'Sales & <Co>'); {rows}"
    );
    database.connect().await.unwrap().batch_execute(&statement).await.unwrap();
    let stop = CancellationToken::new();
    let terms = Database {
        host: database.host.clone(),
        port: database.port,
        name: database.name.clone(),
        user: database.user.clone(),
        password_file: None,
        tls: DatabaseTls::Disable,
        ca_file: None,
        pool_size: 4,
        timeout: Duration::from_secs(8),
        outbox: 1000,
        password: Some(database.password.clone().into()),
    };
    let (ledger, mut news, _task) = ledger::spawn(&terms, ledger::Terms::alone(), stop.clone()).await.unwrap();
    let (visitors, incoming) = mpsc::channel(WAITING);
    let (shown, sights) = mpsc::channel(sight::WAITING);
    let xmpp = config(&prosody, prosody.address());
    let service: Option<BareJid> = service.map(|service| service.parse().unwrap());
    let (ear, ears) = service.clone().map(muc::channel).unzip();
    let ears_of_session = Ears { visitors: Some(visitors.clone()), sights: Some(shown), rooms: ear };
    let terms = desk::Terms { ears: ears_of_session, ..desk::Terms::default() };
    let (desk, _task) = desk::spawn_with(&xmpp, &Pops::default(), Fence::open(), terms, stop.clone());
    // Who writes before the service is there is refused by the server, and nobody answers.
    timeout(PATIENCE, desk.link().wait_for(Link::is_up)).await.expect("the service is logged on").unwrap();
    let first: Arc<Roster> = loop {
        match timeout(PATIENCE, news.recv()).await.unwrap().unwrap() {
            ledger::News::Whole(roster) => break roster,
            ledger::News::Change(_) | ledger::News::PastTalks(_) => {}
        }
    };
    let (known, roster) = watch::channel(Register::from(&*first));
    let (told, heard) = mpsc::channel(rooms::NEWS);
    let (rosters, calm) = (roster.clone(), desk.calm());
    let floor = floor::spawn(floor::Outlets {
        asterisks: vec![],
        desk: desk.clone(),
        ledger: ledger.clone(),
        first,
        news,
        known,
        publish_bound: Duration::from_millis(500),
        language: Language::English,
        codes: usher::config::Floor::default().codes(),
        rooms: Some(told.clone()),
    });
    let presence = presence::spawn(presence::Outlets {
        sights,
        own: format!("usher@{DOMAIN}").parse().unwrap(),
        roster: roster.clone(),
        supervisors: vec![format!("user3@{DOMAIN}")],
        ledger: ledger.clone(),
        desk: desk.clone(),
        floor: floor.questions(),
        language: Language::English,
        grace: Duration::from_secs(2),
    });
    let counter = counter::spawn(counter::Outlets {
        incoming,
        roster: roster.clone(),
        supervisors: vec![format!("USER3@{DOMAIN}")],
        ledger: ledger.clone(),
        desk,
        floor: floor.questions(),
        language: Language::English,
        fence: Fence::open(),
    });
    let counts = Arc::new(rooms::Counts::default());
    let rooms = service.zip(ears).map(|(service, ears)| {
        rooms::spawn(rooms::Outlets {
            service,
            own: format!("usher@{DOMAIN}").parse().unwrap(),
            supervisors: vec![format!("user3@{DOMAIN}")],
            language: Language::English,
            ears,
            news: heard,
            roster: rosters,
            calm,
            floor: floor.questions(),
            counter: counter.window(),
            fence: Fence::open(),
            counts: Arc::clone(&counts),
        })
    });
    // Its own token stops it; the handle alone does not hold it.
    let floor = floor.questions();
    House {
        prosody,
        database,
        counter,
        _presence: presence,
        visitors,
        roster,
        floor,
        rooms: counts,
        news: told,
        _rooms: rooms,
        _ledger: ledger,
        _stop: stop.drop_guard(),
    }
}

/// Somebody's client, and where the service is.
pub struct Client {
    pub session: Session,
    read: mpsc::Receiver<Incoming>,
    _events: mpsc::Receiver<Event>,
}

impl Client {
    pub async fn connect(prosody: &Prosody, user: &str) -> Self {
        let mut config = config(prosody, prosody.address());
        config.jid = format!("{user}@{DOMAIN}");
        config.password = Some(user.to_owned().into());
        let (visitors, read) = mpsc::channel(WAITING);
        let account = Account::new(&config).unwrap();
        let (session, mut events) = Session::start_for(
            account,
            Fence::open(),
            Ears { visitors: Some(visitors), ..Ears::default() },
            CancellationToken::new(),
        )
        .unwrap();
        // A try that failed before, on a busy machine, is no harm.
        while !matches!(timeout(PATIENCE, events.recv()).await.unwrap().unwrap(), Event::Online { .. }) {}
        Self { session, read, _events: events }
    }

    /// Writes to the service; yields its answer and where it comes from.
    pub async fn ask(&mut self, text: &str) -> (Jid, String) {
        let mut message = Message::chat(Some(format!("usher@{DOMAIN}").parse::<Jid>().unwrap()));
        message.bodies.insert(Lang::default(), text.into());
        self.session.send(message.into()).await;
        self.hears().await
    }

    /// What the service says next, and from where.
    pub async fn hears(&mut self) -> (Jid, String) {
        loop {
            let Incoming { from, what, .. } = self.reads().await;
            if let What::Message(message) = what {
                return (from, message.get_best_body(vec![]).unwrap().1.clone());
            }
        }
    }

    /// Whatever comes next.
    pub async fn reads(&mut self) -> Incoming {
        timeout(PATIENCE, self.read.recv()).await.unwrap().unwrap()
    }

    async fn get(&self, to: &Jid, query: &str) -> Result<Element, RequestError> {
        let answer = self.session.request(to.clone(), IqPayload::Get(query.parse().unwrap()), PATIENCE).await;
        answer.map(Option::unwrap)
    }

    /// Executes a step of a command.
    async fn step(&self, to: &Jid, attributes: &str, form: &str) -> Result<Element, Box<StanzaError>> {
        let form =
            if form.is_empty() { String::new() } else { format!("<x xmlns='jabber:x:data' type='submit'>{form}</x>") };
        let command = format!("<command xmlns='{COMMANDS}' {attributes}>{form}</command>");
        let answer = self.session.request(to.clone(), IqPayload::Set(command.parse().unwrap()), PATIENCE).await;
        match answer {
            Ok(answer) => Ok(answer.unwrap()),
            Err(RequestError::Refused(error)) => Err(error),
            Err(error @ (RequestError::NotSent | RequestError::NoAnswer)) => panic!("{error}"),
        }
    }
}

fn field(var: &str, values: &[&str]) -> String {
    let values: String = values.iter().map(|value| format!("<value>{value}</value>")).collect();
    format!("<field var='{var}'>{values}</field>")
}

fn named(verb: &str) -> String {
    format!("node='urn:usher:command:{verb}'")
}

fn status(answer: &Element) -> &str {
    answer.attr("status").unwrap()
}

fn note(answer: &Element) -> String {
    answer.get_child("note", COMMANDS).map(Element::text).unwrap_or_default()
}

fn session(answer: &Element) -> String {
    format!("sessionid='{}'", answer.attr("sessionid").unwrap())
}

fn variables(answer: &Element) -> Vec<&str> {
    let form = answer.get_child("x", ns::DATA_FORMS).unwrap();
    form.children().filter_map(|field| field.attr("var")).collect()
}

fn error_name(error: &StanzaError) -> &str {
    error.other.as_ref().map_or("", |element| element.name())
}

#[tokio::test]
async fn a_client_finds_the_commands_logs_on_by_a_form_and_is_told_what_it_does_wrong() {
    let house = house().await;
    let mut user = Client::connect(&house.prosody, "user1").await;
    let (to, _) = user.ask("help").await;
    // What the account is, and that it can be commanded.
    let info = user.get(&to, "<query xmlns='http://jabber.org/protocol/disco#info'/>").await.unwrap();
    assert!(info.children().any(|child| child.attr("var") == Some(COMMANDS)));
    let list = format!("<query xmlns='http://jabber.org/protocol/disco#items' node='{COMMANDS}'/>");
    let items = user.get(&to, &list).await.unwrap();
    let nodes: Vec<&str> = items.children().filter_map(|item| item.attr("node")).collect();
    let all = ["log-on", "log-off", "pause", "resume", "status", "calls", "why"];
    assert_eq!(
        nodes,
        all.map(|verb| format!("urn:usher:command:{verb}")),
        "nobody waits where one is a member of nothing"
    );
    assert!(items.children().all(|item| item.attr("jid") == Some(to.as_str())));
    let one = "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:usher:command:pause'/>";
    let info = user.get(&to, one).await.unwrap();
    let identity = info.get_child("identity", ns::DISCO_INFO).unwrap();
    assert_eq!((identity.attr("category"), identity.attr("type")), (Some("automation"), Some("command-node")));

    let first = user.step(&to, &named("log-on"), "").await.unwrap();
    assert_eq!((status(&first), variables(&first)), ("executing", vec!["queues"]));
    let next = format!("{} {} action='complete'", named("log-on"), session(&first));
    let error = user.step(&to, &next, &field("queues", &["nowhere"])).await.unwrap_err();
    assert_eq!(error.defined_condition, DefinedCondition::ItemNotFound);
    // What was filled in can be corrected: the dialogue goes on.
    let last = user.step(&to, &next, &field("queues", &["support", "sales"])).await.unwrap();
    assert_eq!(
        (status(&last), note(&last).as_str()),
        ("completed", "Extension 1000 is logged on to Support, Sales & <Co>.")
    );
    let error = user.step(&to, &next, &field("queues", &["support"])).await.unwrap_err();
    assert_eq!(error_name(&error), "bad-sessionid");

    for (attributes, expected) in [
        (format!("{} action='dance'", named("pause")), "malformed-action"),
        (format!("{} action='next'", named("pause")), "bad-action"),
        (format!("{} sessionid='nothing' action='complete'", named("pause")), "bad-sessionid"),
    ] {
        let error = user.step(&to, &attributes, "").await.unwrap_err();
        assert_eq!(error_name(&error), expected);
        assert!(!error.texts.is_empty());
    }
    let error = user.step(&to, "node='urn:usher:command:dance'", "").await.unwrap_err();
    assert_eq!(error.defined_condition, DefinedCondition::ItemNotFound);

    // A form that is filled in at once, in another language.
    let form = field("other", &["café &amp; té"]) + &field("queue", &["sales"]);
    let paused = user.step(&to, &format!("{} xml:lang='es'", named("pause")), &form).await.unwrap();
    assert_eq!(note(&paused), "La extensión 1000 está en pausa en Sales & <Co>: café & té.");
    // For clients that end at an empty option, or let nobody fill in a field without a type, there is neither.
    let cancelled = user.step(&to, &named("pause"), "").await.unwrap();
    let form = cancelled.get_child("x", ns::DATA_FORMS).unwrap();
    let fields = || form.children().filter(|child| child.is("field", ns::DATA_FORMS));
    let types: Vec<_> = fields().map(|field| field.attr("type")).collect();
    assert_eq!(types, [Some("list-single"), Some("text-single"), Some("list-single")]);
    let options = fields().flat_map(|field| field.children().filter(|child| child.is("option", ns::DATA_FORMS)));
    let values: Vec<String> = options.flat_map(Element::children).map(Element::text).collect();
    assert_eq!((values.first().unwrap().as_str(), values[values.len() - 3].as_str()), ("-", "*"), "{values:?}");
    let cancel = format!("{} {} action='cancel'", named("pause"), session(&cancelled));
    assert_eq!(status(&user.step(&to, &cancel, "").await.unwrap()), "canceled");
    // What such options mean.
    let form = field("reason", &["-"]) + &field("other", &[""]) + &field("queue", &["*"]);
    let paused = user.step(&to, &named("pause"), &form).await.unwrap();
    assert_eq!(note(&paused), "Extension 1000 is paused everywhere.");
    let resumed = user.step(&to, &named("resume"), &field("queue", &["*"])).await.unwrap();
    assert_eq!((status(&resumed), note(&resumed).as_str()), ("completed", "Extension 1000 is resumed."));
    let paused = user.step(&to, &named("pause"), &field("reason", &["lunch"])).await.unwrap();
    assert_eq!(note(&paused), "Extension 1000 is paused everywhere: lunch.");
    // One pause: nothing to choose.
    let resumed = user.step(&to, &named("resume"), "").await.unwrap();
    assert_eq!((status(&resumed), note(&resumed).as_str()), ("completed", "Extension 1000 is resumed."));
    let waiting = user.step(&to, &named("waiting"), "").await.unwrap();
    let table = waiting.get_child("x", ns::DATA_FORMS).unwrap();
    assert_eq!(table.get_child("reported", ns::DATA_FORMS).unwrap().children().count(), 5);
    // Nobody waits.
    let form = user.step(&to, &named("take"), "").await.unwrap();
    assert_eq!((status(&form), variables(&form)), ("executing", vec!["code"]));
    let take = format!("{} {} action='complete'", named("take"), session(&form));
    let error = user.step(&to, &take, &field("code", &["1111"])).await.unwrap_err();
    assert_eq!(error.defined_condition, DefinedCondition::NotAllowed);
    assert_eq!(error.texts["en"], "Nobody waits for you to take.");
    let error = user.step(&to, &named("decline"), &field("code", &["no code"])).await.unwrap_err();
    assert_eq!(error_name(&error), "bad-payload");
    let client = house.database.connect().await.unwrap();
    let row = client.query_one("SELECT count(*) FROM memberships WHERE logged_on", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    house.counter.stop().await;
}

#[tokio::test]
async fn a_supervisor_chooses_the_extension_first_and_may_go_back_and_nobody_else_gets_in() {
    let house = house().await;
    let mut agent = Client::connect(&house.prosody, "user1").await;
    let (to, text) = agent.ask("login 2000 support").await;
    assert_eq!(text, "Not done: extension 2000 is not yours, and only a supervisor may do that.");
    let form = field("extension", &["2000"]) + &field("queues", &["support"]);
    let error = agent.step(&to, &named("log-on"), &form).await.unwrap_err();
    assert_eq!(error.defined_condition, DefinedCondition::Forbidden);

    let boss = Client::connect(&house.prosody, "user3").await;
    let first = boss.step(&to, &named("log-on"), "").await.unwrap();
    assert_eq!(variables(&first), ["extension"]);
    let of = session(&first);
    let go = |action: &str| format!("{} {of} action='{action}'", named("log-on"));
    let second = boss.step(&to, &go("next"), &field("extension", &["2000"])).await.unwrap();
    assert_eq!(variables(&second), ["queues"]);
    let error = boss.step(&to, &go("next"), "").await.unwrap_err();
    assert_eq!(error_name(&error), "bad-action");
    // A dialogue is of the client that began it.
    let error = agent.step(&to, &go("complete"), &field("queues", &["support"])).await.unwrap_err();
    assert_eq!(error_name(&error), "bad-sessionid");
    let back = boss.step(&to, &go("prev"), "").await.unwrap();
    assert_eq!(variables(&back), ["extension"]);
    boss.step(&to, &go("execute"), &field("extension", &["1000"])).await.unwrap();
    let last = boss.step(&to, &go("execute"), &field("queues", &["support"])).await.unwrap();
    assert_eq!(note(&last), "Extension 1000 is logged on to Support.");

    let mut stranger = Client::connect(&house.prosody, "stranger").await;
    for query in [
        "<query xmlns='http://jabber.org/protocol/disco#items'/>".to_owned(),
        format!("<query xmlns='http://jabber.org/protocol/disco#items' node='{COMMANDS}'/>"),
    ] {
        let Err(RequestError::Refused(error)) = stranger.get(&to, &query).await else { panic!("{query}") };
        assert_eq!(error.defined_condition, DefinedCondition::Forbidden);
    }
    let error = stranger.step(&to, &named("status"), "").await.unwrap_err();
    assert_eq!(error.defined_condition, DefinedCondition::Forbidden);
    assert!(stranger.read.try_recv().is_err());
    house.counter.stop().await;
}
