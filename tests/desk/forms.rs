//! The forms of a payload, and who has access to a node, as the servers really keep them.

use std::{collections::BTreeSet, sync::Arc};

use software_sim::client::Event;
use usher::{
    config::Pops,
    desk::quiet::Spans,
    domain::{
        id::{CallId, CustomerCode},
        pop::{
            PopOutcome, PopState,
            access::{Affiliation, audit},
            token::{Claims, Key},
        },
    },
    fence::Fence,
    link::Link,
};
use uuid::Uuid;
use xmpp_parsers::{
    iq::IqPayload,
    jid::{BareJid, Jid},
    minidom::Element,
};

use crate::{
    fixture::{Desk, config, crm, ext, next, pop, queue, roster, session, start_with, story, until},
    patience::PATIENCE,
    prosody::{Brand, DOMAIN, Prosody},
};

const NAME: &str = "A, B & <C> \"D\" 'é' 日本 🙂";
const JSON: &str = "urn:xmpp:json:0";
const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";

async fn up(prosody: &Prosody, pops: &Pops) -> Desk {
    let desk = start_with(&config(prosody, prosody.address()), pops, Fence::open(), Spans::default());
    let mut roster = roster(&["1000", "2000"]);
    roster.queues.push(queue("https://crm.example/pop?t={token}"));
    desk.handle.roster(Arc::new(roster));
    desk.link_is(|link| matches!(link, Link::Up { .. })).await;
    desk.handle.ensure_node(ext("1000")).await.unwrap().unwrap();
    desk
}

#[tokio::test]
async fn the_json_comes_with_the_xml_and_who_reads_the_xml_sees_no_difference() {
    let prosody = Prosody::start().await;
    let desk = up(&prosody, &Pops { json: true, ..Pops::default() }).await;
    let mut crm = crm(&prosody, prosody.address(), "1000");
    until(&mut crm, |event| *event == Event::Subscribed).await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Ringing, NAME)).await, PopOutcome::Confirmed);
    let Event::Pop(seen) = next(&mut crm).await else { panic!() };
    assert_eq!((seen.customer.name.as_str(), seen.state.as_str()), (NAME, "ringing"));
    let (_, pubsub, _events) = session(&prosody, "crm").await;
    let (_, payload) = pubsub.items("extension1000").await.unwrap().remove(0);
    let text = payload.unwrap().get_child("json", JSON).unwrap().text();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["customer"]["name"], &json["customer"]["code"]), (&NAME.into(), &"1111".into()));
    assert_eq!((&json["schema"], &json["state"]), (&"urn:usher:pop:1".into(), &"ringing".into()));
    desk.handle.retire(pop(1, 2, PopState::Ended, NAME));
    assert_eq!(story(&mut crm, "closed").await, ["ended", "closed"]);
}

#[tokio::test]
async fn a_private_pop_leaves_the_person_out_of_everything_that_the_server_has() {
    let prosody = Prosody::start().await;
    let secret = "0123456789abcdef0123456789abcdef";
    let pops = Pops { json: true, private: true, link_secret: Some(secret.to_owned().into()), ..Pops::default() };
    let desk = up(&prosody, &pops).await;
    let mut crm = crm(&prosody, prosody.address(), "1000");
    until(&mut crm, |event| *event == Event::Subscribed).await;
    let mut shown = pop(1, 1, PopState::Ringing, "Zacharias");
    shown.customer.code = CustomerCode::new("90817");
    shown.caller.number = "5551234".into();
    assert_eq!(desk.publish(&shown).await, PopOutcome::Confirmed);
    // A reader that knows nothing of this reads empty texts, not an error.
    let Event::Pop(seen) = next(&mut crm).await else { panic!() };
    assert_eq!((seen.customer.id, seen.customer.code.as_str(), seen.caller.number.as_str()), (0, "", ""));
    let (_, pubsub, _events) = session(&prosody, "crm").await;
    let (_, payload) = pubsub.items("extension1000").await.unwrap().remove(0);
    let mut text = Vec::new();
    payload.as_ref().unwrap().write_to(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for told in ["Zacharias", "90817", "5551234"] {
        assert!(!text.contains(told), "{told}: {text}");
    }
    let link = payload.as_ref().unwrap().children().find_map(|child| child.attr("link")).unwrap();
    let token = link.strip_prefix("https://crm.example/pop?t=").unwrap();
    let key = Key::new(secret.to_owned().into());
    assert_eq!(key.verify(token, jiff::Timestamp::now()).unwrap().customer, 1);
}

#[tokio::test]
async fn what_differs_from_what_a_node_has_to_be_is_seen_and_can_be_mended() {
    let prosody = Prosody::start().await;
    let _desk = up(&prosody, &Pops::default()).await;
    let (owner, pubsub, _events) = session(&prosody, "usher").await;
    let readers: BTreeSet<BareJid> = ["user1", "crm"].map(|user| format!("{user}@{DOMAIN}").parse().unwrap()).into();
    let wanted = pubsub.wanted(&readers);
    let found = pubsub.found("extension1000").await.unwrap();
    let lines = audit(&wanted, &found);
    assert!(lines.iter().all(|line| line.drift.is_none()) && lines.len() == 4, "{lines:?}");
    assert_eq!(found.affiliations.get(&format!("usher@{DOMAIN}")), Some(&Affiliation::Owner));
    assert!(pubsub.nodes().await.unwrap().contains(&"extension1000".to_owned()));

    let set = async |payload: &str| {
        let payload: Element = format!("<pubsub xmlns='{OWNER}'>{payload}</pubsub>").parse().unwrap();
        owner.request(format!("pubsub.{DOMAIN}").parse().unwrap(), IqPayload::Set(payload), PATIENCE).await.unwrap();
    };
    set("<configure node='extension1000'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/pubsub#node_config</value></field><field var='pubsub#access_model'>\
         <value>open</value></field></x></configure>")
    .await;
    set(&format!(
        "<affiliations node='extension1000'><affiliation jid='crm@{DOMAIN}' affiliation='publisher'/></affiliations>"
    ))
    .await;
    // An open node lets anybody in.
    let (stranger, _, _strange) = session(&prosody, "stranger").await;
    let subscribe = format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='extension1000' jid='stranger@{DOMAIN}'/></pubsub>"
    );
    let subscribe = IqPayload::Set(subscribe.parse().unwrap());
    stranger.request(format!("pubsub.{DOMAIN}").parse().unwrap(), subscribe, PATIENCE).await.unwrap();

    let found = pubsub.found("extension1000").await.unwrap();
    let told = |found| {
        let lines = audit(&wanted, found);
        lines.into_iter().filter_map(|line| Some(format!("{}: {}", line.subject, line.drift?))).collect::<Vec<_>>()
    };
    let expected = [
        "pubsub#access_model: everybody may subscribe and fetch".to_owned(),
        format!("crm@{DOMAIN}: may publish"),
        format!("stranger@{DOMAIN}: is subscribed"),
    ];
    assert_eq!(told(&found), expected);

    pubsub.ensure("extension1000", &readers).await.unwrap();
    let found = pubsub.found("extension1000").await.unwrap();
    assert_eq!(told(&found), Vec::<String>::new());
    assert_eq!(found.settings.get("pubsub#access_model").map(String::as_str), Some("whitelist"));
}

#[tokio::test]
async fn a_pop_is_not_shown_on_a_node_that_everybody_may_read_and_the_node_is_set_right_first() {
    // It makes nodes by itself, so that nothing is asked of them with a publish.
    if Brand::wanted() == Brand::Ejabberd {
        return;
    }
    let prosody = Prosody::start().await;
    let desk = up(&prosody, &Pops::default()).await;
    assert_eq!(desk.publish(&pop(1, 1, PopState::Ringing, NAME)).await, PopOutcome::Confirmed);
    let (owner, pubsub, _events) = session(&prosody, "usher").await;
    let open = format!(
        "<pubsub xmlns='{OWNER}'><configure node='extension1000'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/pubsub#node_config</value></field><field var='pubsub#access_model'>\
         <value>open</value></field></x></configure></pubsub>"
    );
    let service: Jid = format!("pubsub.{DOMAIN}").parse().unwrap();
    let open = IqPayload::Set(open.parse().unwrap());
    owner.request(service, open, PATIENCE).await.unwrap();
    assert_eq!(desk.publish(&pop(1, 2, PopState::Answered, NAME)).await, PopOutcome::Confirmed);
    let found = pubsub.found("extension1000").await.unwrap();
    assert_eq!(found.settings.get("pubsub#access_model").map(String::as_str), Some("whitelist"));
    let (_, payload) = pubsub.items("extension1000").await.unwrap().remove(0);
    assert_eq!(payload.unwrap().attr("state"), Some("answered"));
}

/// What the documents show a CRM verifies what the service signs, and nothing else.
#[test]
fn a_crm_that_verifies_as_the_documents_say_takes_a_token_of_ours_alone() {
    if Brand::wanted() == Brand::Ejabberd {
        return;
    }
    let python = |arguments: &[&str]| std::process::Command::new("python3").args(arguments).output();
    if python(&["--version"]).is_err() {
        tracing::warn!("not tested: python3 is not installed here");
        return;
    }
    let document = include_str!("../../docs/screen-pop.md");
    let snippet = document.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let program = format!("{snippet}\nimport sys\nprint(verify(sys.argv[1], sys.argv[2].encode())['customer'])");
    let secret = "0123456789abcdef0123456789abcdef";
    let claims = |exp| Claims { call: CallId(Uuid::from_u128(1)), customer: 17, extension: ext("1000"), exp };
    let now = jiff::Timestamp::now().as_second();
    let token = |exp| Key::new(secret.to_owned().into()).sign(&claims(exp));
    let verified = |token: &str, secret: &str| {
        let output = python(&["-c", &program, token, secret]).unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(verified(&token(now + 600), secret).as_deref(), Some("17\n"));
    assert_eq!(verified(&token(now - 1), secret), None);
    assert_eq!(verified(&token(now + 600), "another secret"), None);
    let changed = token(now + 600).replacen("ey", "eZ", 1);
    assert_eq!(verified(&changed, secret), None);
}
