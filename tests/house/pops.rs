//! What the CRM and the agents' programs see, in which order, and who sees nothing.

use std::time::{Duration, Instant};

use software_sim::client::Event;
use usher_rig::{phones::Behaviour, xmpp::Client};
use xmpp_parsers::{message::Message, minidom::Element};

use crate::{
    aid::log_says,
    steps::{Crm, SOON, ask_for_code, call_support, house, ringings, wait_for_value},
};

/// The phone waits for the pop, however fast the XMPP server of this machine is.
const PATIENT: &str = "publish_bound = \"10s\"";
/// How long a client may take to read what the server has sent it, on a machine with other work.
const READ: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn p17_message_greeting_and_pop_come_before_the_phone_rings() {
    let rig = house("p17").logged_on(&["1000"]).config("xmpp", PATIENT).start().await.unwrap();
    let prompts = rig.pbx.prompts("en").unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::from_millis(1500)));
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    let message = agent.wait_for_message(SOON, |message| message.body.is_some()).await.unwrap();
    let (offered, _) = crm.pop("offered").await;
    let greeting = caller.wait_for_prompt(&prompts, "support_team", SOON).await.unwrap();
    let greeted = caller.audio().came(greeting.start).unwrap();
    let (invite, number, name) = ringings(phone).remove(0);
    let answered = leg.answered(SOON).await.unwrap();
    // The server has sent both before it said so, and the phone was not rung before that.
    assert!(rig.usher().unwrap().log().unwrap().contains("rings at 1000, its pop confirmed"));
    assert!(message.at < invite + READ, "the message came {:?} after the INVITE", message.at - invite);
    assert!(offered < invite + READ, "the pop came {:?} after the INVITE", offered - invite);
    assert!(greeted < answered, "the greeting began {:?} after the answer", greeted - answered);
    assert_eq!((number.as_str(), name.as_str()), ("5551001", "Company 1"));
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_is_offered_rings_is_answered_ends_and_is_taken_away_under_one_id() {
    let rig = house("life").logged_on(&["1000"]).start().await.unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    // Not before: that a phone rings is not shown when it was answered already.
    crm.pop("ringing").await;
    leg.answer().await.unwrap();
    let (_, answered) = crm.pop("answered").await;
    let items = agent.items("extension1000").await.unwrap();
    assert_eq!(items.iter().map(|item| item.attr("id").unwrap()).collect::<Vec<_>>(), [answered.call.as_str()]);
    caller.hang_up().await.unwrap();
    crm.closed(&answered.call).await;
    let pops = crm.pops();
    let states: Vec<_> = pops.iter().map(|pop| pop.state.as_str()).collect();
    assert_eq!(states, ["offered", "ringing", "answered", "ended"]);
    assert!(pops.windows(2).all(|two| two[0].revision < two[1].revision), "{pops:?}");
    assert!(pops.iter().all(|pop| pop.call == answered.call && pop.extension == "1000" && pop.queue == "support"));
    assert!(pops.iter().all(|pop| pop.customer.code == "1111" && pop.caller.number == "5551001"));
    assert_eq!(agent.items("extension1000").await.unwrap(), []);
    wait_for_value(&rig, "SELECT id FROM calls", &answered.call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_is_withdrawn_when_the_caller_hangs_up() {
    let rig = house("withdrawn").logged_on(&["1000"]).start().await.unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    let (_, pop) = crm.pop("ringing").await;
    caller.hang_up().await.unwrap();
    crm.pop("withdrawn").await;
    crm.closed(&pop.call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_moves_to_the_next_member_with_a_higher_revision_when_the_first_does_not_answer() {
    let rig = house("moves")
        .logged_on(&["1000", "2000"])
        .sql("UPDATE queues SET ring_time_seconds = 2")
        .start()
        .await
        .unwrap();
    let (first, second) = (Crm::watch(&rig, "1000").await, Crm::watch(&rig, "2000").await);
    let caller = call_support(&rig, "5551001", "1111").await;
    let (_, gone) = first.pop("withdrawn").await;
    first.closed(&gone.call).await;
    let (_, next) = second.pop("offered").await;
    assert_eq!(next.call, gone.call);
    assert!(next.revision > first.pops()[0].revision, "{next:?}");
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_stranger_nor_another_agent_can_subscribe_fetch_or_publish() {
    let rig = house("stranger").logged_on(&["1000"]).start().await.unwrap();
    rig.prosody.add_account("stranger").unwrap();
    let own = Client::connect(&rig.prosody, "user1").await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    let payload: Element = "<pop xmlns='urn:usher:pop:1'/>".parse().unwrap();
    for account in ["stranger", "user2"] {
        let client = Client::connect(&rig.prosody, account).await.unwrap();
        assert!(client.subscribe("extension1000").await.is_err(), "{account} subscribed");
        assert!(client.items("extension1000").await.is_err(), "{account} fetched");
        assert!(client.publish("extension1000", "x", payload.clone()).await.is_err(), "{account} published");
    }
    own.subscribe("extension1000").await.unwrap();
    assert_eq!(own.items("extension1000").await.unwrap().len(), 1);
    assert!(own.publish("extension1000", "x", payload).await.is_err(), "a reader published");
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_comes_late_gets_the_current_pop() {
    let rig = house("late").logged_on(&["1000"]).start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let caller = call_support(&rig, "5551001", "1111").await;
    phone.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    assert_eq!(crm.pop("answered").await.1.customer.name, "Company 1");
    caller.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p20_without_an_xmpp_server_the_call_is_delivered_all_the_same() {
    let rig = house("p20").logged_on(&["1000"]).config("xmpp", PATIENT).start().await.unwrap();
    rig.prosody.kill().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    // It does not wait for a server that is known to be away, which would be ten seconds.
    let within = "SELECT max(at) FILTER (WHERE kind = 'ringing') - min(at) < interval '5 s' FROM call_events";
    wait_for_value(&rig, within, "t").await;
    leg.audio().say_tone(700);
    caller.wait_for_tone(700, SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p20_with_an_xmpp_server_that_hangs_the_phone_rings_when_the_bound_is_over() {
    let rig = house("p20hang").logged_on(&["1000"]).config("xmpp", "publish_bound = \"800ms\"").start().await.unwrap();
    let phone = rig.phones.phone("1000").unwrap();
    phone.behave(Behaviour::AnswerAfter(Duration::ZERO));
    let spec = usher_rig::phones::CallSpec::new("5551001", "0000");
    let caller = ask_for_code(&rig, &spec).await;
    rig.prosody.freeze().unwrap();
    let begin = Instant::now();
    caller.press("1111").await.unwrap();
    phone.rung(1, SOON).await.unwrap().answered(SOON).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // Not before its bound, and because of it.
    let bound = "SELECT bool_and(detail ->> 'pop' = 'timed_out' AND at - offered >= interval '790 ms') FROM call_events, \
                 (SELECT min(at) AS offered FROM call_events WHERE kind = 'offered') AS first WHERE kind = 'ringing'";
    wait_for_value(&rig, bound, "t").await;
    rig.prosody.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn p21_a_crm_that_loses_its_link_shows_each_revision_once() {
    let rig = house("p21").logged_on(&["1000"]).start().await.unwrap();
    let proxy = usher_rig::proxy::Proxy::start(&rig.instance, &rig.prosody.address()).await.unwrap();
    let crm = Crm::watch_at(&rig, "crm", "1000", &proxy.address()).await;
    let phone = rig.phones.phone("1000").unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    let leg = phone.rung(1, SOON).await.unwrap();
    crm.pop("ringing").await;
    leg.answer().await.unwrap();
    let (_, pop) = crm.pop("answered").await;
    // After each break the CRM fetches what the node holds: the same revision once more. What comes at the end of the
    // call comes after the answer to that.
    for breaks in 1..=2 {
        proxy.cut();
        crm.wait_count("the link once more", 1 + breaks, |event| *event == Event::LinkUp).await;
    }
    caller.hang_up().await.unwrap();
    crm.closed(&pop.call).await;
    let revisions: Vec<_> = crm.pops().iter().map(|pop| pop.revision).collect();
    let mut once = revisions.clone();
    once.dedup();
    assert_eq!(revisions, once);
    assert_eq!(crm.pops().len(), 4, "{:?}", crm.pops());
}

/// A message with a payload of that depth and, in the innermost element, an attribute of that length.
fn hostile(to: &str, depth: usize, length: usize) -> Message {
    let innermost = Element::builder("a", "urn:usher:test").attr("x".try_into().unwrap(), "y".repeat(length)).build();
    let payload = (1..depth).fold(innermost, |inner, _| Element::builder("a", "urn:usher:test").append(inner).build());
    let mut message = Message::new(Some(to.parse().unwrap()));
    message.payloads.push(payload);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_may_send_ends_neither_the_service_nor_its_link_nor_the_other_software() {
    let rig = house("hostile").logged_on(&["1000"]).config("xmpp", PATIENT).start().await.unwrap();
    let crm = Crm::watch(&rig, "1000").await;
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    for to in ["usher@usher.test", "crm@usher.test"] {
        // Deep enough for the sieve and harmless to whoever has none; a longer attribute than the parser takes.
        for (depth, length) in [(200, 1), (1, 20_000)] {
            agent.send(hostile(to, depth, length).into()).await.unwrap();
        }
    }
    log_says(&rig, "left out: its elements are nested too deep", SOON).await;
    log_says(&rig, "left out: a name or an attribute in it is too long", SOON).await;
    let caller = call_support(&rig, "5551001", "1111").await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    crm.pop("ringing").await;
    let log = rig.usher().unwrap().log().unwrap();
    assert!(!log.contains("the XMPP link is down") && log.contains("its pop confirmed"), "{log}");
    assert_eq!(crm.count(|event| matches!(event, Event::LinkDown { .. })), 0);
    caller.hang_up().await.unwrap();
}
