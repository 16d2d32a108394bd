//! The CRM restarts, the database is away, and names are hostile (failures F13 to F15 and F21).

use std::time::{Duration, Instant};

use software_sim::{
    client::{self, Settings, watch},
    login::{Account, Tls},
    pop::Pop,
};
use tokio::sync::mpsc;
use usher_rig::{
    phones::{CallSpec, Ears, PhoneEvent, Side},
    prosody::{DOMAIN, PUBSUB},
    proxy::Proxy,
    rig::Rig,
    wait,
    xmpp::Client,
};

use crate::aid::{
    RECONNECTED, SOON, answers, enter, enter_with, house, in_the_queue, key_in, ready_says, story, talk, times,
};

/// What the CRM stand-in has seen of 1000's desk.
struct Crm(mpsc::Receiver<Result<client::Event, String>>);

impl Crm {
    async fn start(rig: &Rig, address: String) -> Self {
        let mut crm = Self::begin(rig, address);
        crm.until(|event| matches!(event, client::Event::Subscribed)).await;
        crm
    }

    fn begin(rig: &Rig, address: String) -> Self {
        let account = Account {
            jid: format!("crm@{DOMAIN}").parse().unwrap(),
            password: rig.prosody.password("crm").unwrap(),
            address: Some(address),
            tls: Tls::Starttls,
            ca_file: Some(rig.prosody.certificate().authority.clone()),
        };
        let settings = Settings { account, pubsub: PUBSUB.parse().unwrap(), node: "extension1000".into() };
        Self(watch(settings))
    }

    async fn until(&mut self, is: impl Fn(&client::Event) -> bool) -> Vec<client::Event> {
        let mut seen = Vec::new();
        let last = tokio::time::timeout(SOON, async {
            while let Some(event) = self.0.recv().await {
                let event = event.unwrap();
                let found = is(&event);
                seen.push(event);
                if found {
                    return;
                }
            }
        });
        assert!(last.await.is_ok(), "it did not come; seen: {seen:?}");
        seen
    }

    /// What it shows until a pop is in that state.
    async fn pops_until(&mut self, state: &str) -> Vec<Pop> {
        pops(self.until(|event| matches!(event, client::Event::Pop(pop) if pop.state == state)).await)
    }
}

fn pops(events: Vec<client::Event>) -> Vec<Pop> {
    events
        .into_iter()
        .filter_map(|event| match event {
            client::Event::Pop(pop) => Some(pop),
            client::Event::LinkUp
            | client::Event::LinkDown { .. }
            | client::Event::Subscribed
            | client::Event::Waiting { .. }
            | client::Event::Closed { .. }
            | client::Event::Malformed { .. } => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_f14_a_crm_that_restarts_gets_the_current_pop_and_one_whose_link_breaks_sees_nothing_twice() {
    let rig = house("f13").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    member.set_ears(Ears::Closed);
    let proxy = Proxy::start(&rig.instance, &rig.prosody.address()).await.unwrap();
    let mut crm = Crm::start(&rig, proxy.address()).await;
    let caller = enter(&rig, "5550001").await;
    let leg = member.rung(1, SOON).await.unwrap();
    let mut shown = crm.pops_until("ringing").await;
    // Not before: that a phone rings is not shown when it was answered already.
    leg.answer().await.unwrap();
    shown.extend(crm.pops_until("answered").await);
    let states: Vec<_> = shown.iter().map(|pop| pop.state.as_str()).collect();
    assert_eq!(states, ["offered", "ringing", "answered"]);

    // Twice the link breaks, and what the node holds is fetched again: nothing of it is shown again.
    for _ in 0..2 {
        proxy.cut();
        assert_eq!(pops(crm.until(|event| matches!(event, client::Event::LinkUp)).await), []);
    }
    // A new program sees the call that is going on.
    let mut second = Crm::begin(&rig, rig.prosody.address());
    let current = second.pops_until("answered").await;
    assert_eq!(current, shown[2..]);
    caller.hang_up().await.unwrap();
    for crm in [&mut crm, &mut second] {
        let last = crm.pops_until("ended").await;
        assert_eq!(last.iter().map(|pop| pop.state.as_str()).collect::<Vec<_>>(), ["ended"]);
        let call = last[0].call.clone();
        crm.until(|event| matches!(event, client::Event::Closed { call: closed } if *closed == call)).await;
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_without_the_database_known_customers_are_served_others_reach_the_fallback_and_facts_are_written_once() {
    let rig = house("f15").logged_on(&["1000"]).sql(&times(15, 60)).proxies().start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let postgres = &rig.proxies.as_ref().unwrap().postgres;
    let (member, fallback) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("3000").unwrap());
    answers(member);
    answers(fallback);
    let caller = enter_with(&rig, "5550001", Ears::Open).await;
    let leg = member.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;

    // The worst way to be away: connections stand and nothing answers.
    postgres.blackhole();
    caller.hang_up().await.unwrap();
    let caller = enter_with(&rig, "5550002", Ears::Open).await;
    let leg = member.rung(2, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    leg.hung_up(SOON).await.unwrap();

    // Codes that nobody has keyed in before: the prompt comes within the deadline of the request.
    let begin = Instant::now();
    let calls = ["2222", "3333", "4444", "5555", "6666", "2222", "3333", "4444"];
    let calls = calls.iter().zip(10..).map(|(code, n)| {
        let (rig, from, ears) = (&rig, format!("55500{n}"), if n == 10 { Ears::Open } else { Ears::Closed });
        async move { key_in(rig, &from, code, ears).await }
    });
    let callers = futures_util::future::join_all(calls).await;
    callers[0].wait_for_prompt(&prompts, "unavailable", SOON).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    fallback.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    // The pool of 8, the listener, and one to try.
    assert!(postgres.connections() <= 10, "{} connections", postgres.connections());
    for caller in &callers {
        caller.hang_up().await.unwrap();
    }
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    assert_eq!(ready(&rig).await, 503);

    // Back, without a restart.
    postgres.heal();
    ready_says(&rig, 200, RECONNECTED).await;
    for from in ["5550001", "5550002"] {
        let story = story(&rig, from).await;
        assert_eq!(story.outcome, "completed");
        assert_eq!(story.events, ["entered", "offered", "ringing", "answered", "ended"]);
    }
    let caller = key_in(&rig, "5550003", "2222", Ears::Closed).await;
    in_the_queue(&rig, "5550003").await;
    member.rung(3, SOON).await.unwrap().answered(SOON).await.unwrap();
    caller.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

async fn ready(rig: &Rig) -> u16 {
    rig.usher().unwrap().ready().await.unwrap()
}

/// Customers whose names are code, markup and separators somewhere. A control character does not get past Asterisk.
const HOSTILE: [(&str, &str); 5] = [
    ("7001", "Robert'); DROP TABLE customers;-- "),
    ("7002", "a,b&c|d<e>\"f\"g'h]]>;\\n$1"),
    ("7003", "${SHELL(touch /tmp/x)} ${EXTEN} $[1+1]"),
    ("7004", "Šárka \u{202e}株式会社\t🎺"),
    ("7005", "<pop xmlns='urn:usher:pop:1'/> &amp; <!--"),
];

#[tokio::test(flavor = "multi_thread")]
async fn f21_hostile_names_come_through_sql_xml_and_sip_as_they_are_and_do_nothing() {
    let mut builder = house("f21").logged_on(&["1000"]).sql(&times(15, 60));
    for (code, name) in HOSTILE {
        builder = builder.sql(&format!("INSERT INTO customers (code, name) VALUES ('{code}', $usher${name}$usher$)"));
    }
    let rig = builder.start().await.unwrap();
    let member = rig.phones.phone("1000").unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let mut crm = Crm::start(&rig, rig.prosody.address()).await;
    for (count, (code, name)) in HOSTILE.into_iter().enumerate() {
        let name = name.replace('\t', "");
        // The caller's own name is hostile as well.
        let from = format!("\"<x>&, ;${{EXTEN}} '{code}\" <555{code}>");
        let spec = CallSpec { from: Some(from), to: "0000".into(), ears: Ears::Closed };
        let caller = rig.phones.call(&spec).await.unwrap();
        caller.answered(SOON).await.unwrap();
        caller.press(&format!("1{code}")).await.unwrap();
        let leg = member.rung(count + 1, SOON).await.unwrap();
        let pop = crm.pops_until("ringing").await.pop().unwrap();
        assert_eq!((pop.customer.code.as_str(), &pop.customer.name), (code, &name));
        assert_eq!(pop.caller.number, format!("555{code}"));
        assert!(pop.caller.name.contains("<x>&, ;${EXTEN}"), "{:?}", pop.caller.name);
        let words = format!("Support: Customer {name}");
        agent.wait_for_message(SOON, |message| message.body.as_deref() == Some(&words)).await.unwrap();
        let events = member.events();
        let rung = events.iter().rev().find_map(|event| match event {
            PhoneEvent::Ringing { number, name, .. } => Some((number.clone(), name.clone())),
            PhoneEvent::Answered { .. } | PhoneEvent::Ended(_) => None,
        });
        let (number, shown) = rung.unwrap();
        assert_eq!(number, format!("555{code}"));
        // What would end the name in Asterisk's form of a caller id is left out.
        let plain: String = name.chars().filter(|letter| !"\"<>\\".contains(*letter)).take(80).collect();
        assert_eq!(shown, plain);
        caller.hang_up().await.unwrap();
        assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
        crm.pops_until("withdrawn").await;
        rig.pbx.wait_until_empty(SOON).await.unwrap();
    }
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    wait::until("all calls are in the database with their names", SOON, || async {
        let rows = client
            .query("SELECT customer_code, customer_name FROM calls WHERE ended_at IS NOT NULL ORDER BY 1", &[])
            .await?;
        let kept: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let expected = HOSTILE.map(|(code, name)| (code.to_owned(), name.replace('\t', "")));
        anyhow::ensure!(kept == expected, "{kept:?}");
        Ok(())
    })
    .await
    .unwrap();
}
