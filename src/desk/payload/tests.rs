use super::*;
use crate::{
    config,
    domain::{
        id::{CallId, CustomerCode, Extension, QueueName},
        pop::{Pop, link::Template, token::Key},
        queue::roster::{CallerId, Customer},
    },
};
use serde_json::Value;
use uuid::Uuid;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NAME: &str = "X, Y & <Z> \"q\" 'a' é 日本 🙂\n\t";

fn now() -> Timestamp {
    "2026-11-21T04:00:00Z".parse().unwrap()
}

fn pop(name: &str) -> Pop {
    Pop {
        call: CallId(Uuid::from_u128(7)),
        revision: 2,
        state: PopState::Ringing,
        extension: Extension::new("1000"),
        queue: QueueName::new("support"),
        customer: Customer { id: 17, code: CustomerCode::new("0071"), name: name.into() },
        caller: CallerId { number: "2000".into(), name: "\u{b}x".into() },
        entered_at: "2026-11-21T03:00:00.123456Z".parse().unwrap(),
        changed_at: "2026-11-21T03:00:00Z".parse().unwrap(),
    }
}

fn template(text: &str) -> Option<Template> {
    Some(text.parse().unwrap())
}

fn plain() -> config::Pops {
    config::Pops::default()
}

fn with_json() -> config::Pops {
    config::Pops { json: true, ..plain() }
}

fn private() -> config::Pops {
    config::Pops { private: true, link_secret: Some(SECRET.to_owned().into()), ..with_json() }
}

/// As it goes over the line.
fn text(pop: &Pop, config: &config::Pops, template: Option<&Template>) -> String {
    let mut text = Vec::new();
    Style::new(config).element(pop, Kind::Real, template, now()).write_to(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn written(pop: &Pop, config: &config::Pops, template: Option<&Template>) -> Element {
    text(pop, config, template).parse().unwrap()
}

fn of_customer<'a>(element: &'a Element, name: &'a str) -> Option<&'a str> {
    element.get_child("customer", NAMESPACE).unwrap().attr(name)
}

fn json(element: &Element) -> Value {
    serde_json::from_str(&element.get_child("json", "urn:xmpp:json:0").unwrap().text()).unwrap()
}

#[test]
fn the_payload_has_the_promised_form() {
    let text = text(&pop("Customer & Co"), &plain(), None).replace('"', "'");
    for part in [
        "urn:usher:pop:1",
        "call='00000000-0000-0000-0000-000000000007'",
        "revision='2'",
        "state='ringing'",
        "entered='2026-11-21T03:00:00.123Z'",
        "changed='2026-11-21T03:00:00.000Z'",
        "code='0071'",
        "Customer &amp; Co",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for part in ["link", "json", "private", "test"] {
        assert!(!text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_name_with_commas_ampersands_quotes_and_utf8_comes_back_as_it_was() {
    let back = written(&pop(NAME), &plain(), None);
    assert_eq!(of_customer(&back, "name"), Some(NAME));
    assert_eq!(revision(&back), Some(2));
}

#[test]
fn a_caller_id_with_a_control_character_cannot_end_the_stream() {
    let back = written(&pop("C"), &with_json(), None);
    assert_eq!(back.get_child("caller", NAMESPACE).unwrap().attr("name"), Some("\u{fffd}x"));
    assert_eq!(json(&back)["caller"]["name"], "\u{fffd}x");
}

#[test]
fn a_link_stands_with_the_customer_where_the_queue_has_one() {
    let link = template("https://crm.example/{code}?n={name}");
    let back = written(&pop("A & \"B\""), &plain(), link.as_ref());
    assert_eq!(of_customer(&back, "link"), Some("https://crm.example/0071?n=A%20%26%20%22B%22"));
}

#[test]
fn the_json_says_the_same_as_the_xml() {
    let link = template("https://crm.example/{code}");
    let back = written(&pop(NAME), &with_json(), link.as_ref());
    let expected = serde_json::json!({
        "schema": "urn:usher:pop:1", "call": "00000000-0000-0000-0000-000000000007", "revision": 2, "state": "ringing",
        "extension": "1000", "queue": "support",
        "entered": "2026-11-21T03:00:00.123Z", "changed": "2026-11-21T03:00:00.000Z",
        "customer": {"id": 17, "code": "0071", "name": NAME, "link": "https://crm.example/0071"},
        "caller": {"number": "2000", "name": "\u{fffd}x"},
    });
    assert_eq!(json(&back), expected);
    assert_eq!(of_customer(&back, "name"), Some(NAME), "the XML is there all the same");
}

#[test]
fn a_private_pop_has_nothing_of_the_person_and_a_link_that_is_ours() {
    let mut pop = pop("Zacharias");
    pop.customer.code = CustomerCode::new("90817");
    pop.caller = CallerId { number: "5551234".into(), name: "Zoë".into() };
    let link = template("https://crm.example/pop?t={token}");
    let text = text(&pop, &private(), link.as_ref());
    for told in ["Zacharias", "90817", "5551234", "Zoë"] {
        assert!(!text.contains(told), "{told} in {text}");
    }
    let back: Element = text.parse().unwrap();
    assert_eq!(
        (back.attr("private"), of_customer(&back, "id"), of_customer(&back, "code")),
        (Some("true"), Some("0"), Some(""))
    );
    let json = json(&back);
    assert_eq!((&json["private"], &json["customer"]["name"]), (&true.into(), &"".into()));
    let address = of_customer(&back, "link").unwrap();
    assert_eq!(json["customer"]["link"], address);
    let token = address.strip_prefix("https://crm.example/pop?t=").unwrap();
    let key = Key::new(SECRET.to_owned().into());
    let claims = key.verify(token, now()).unwrap();
    assert_eq!((claims.call, claims.customer, claims.extension.as_str()), (pop.call, 17, "1000"));
    let end = now() + std::time::Duration::from_secs(900);
    assert_eq!(claims.exp, end.as_second());
    assert!(key.verify(token, end).is_err(), "it does not count for ever");
}

#[test]
fn a_link_that_would_tell_the_person_is_left_out_of_a_private_pop() {
    for telling in ["{code}", "{id}", "{name}", "{number}"] {
        let link = template(&format!("https://crm.example/{telling}"));
        assert_eq!(of_customer(&written(&pop("C"), &private(), link.as_ref()), "link"), None, "{telling}");
    }
    let link = template("https://crm.example/start");
    assert_eq!(of_customer(&written(&pop("C"), &private(), link.as_ref()), "link"), Some("https://crm.example/start"));
}

#[test]
fn without_a_secret_there_is_no_link_with_a_token_and_with_one_it_may_stand_in_any_pop() {
    let link = template("https://crm.example/{token}");
    assert_eq!(of_customer(&written(&pop("C"), &plain(), link.as_ref()), "link"), None);
    let config = config::Pops { private: false, ..private() };
    let back = written(&pop("C"), &config, link.as_ref());
    assert!(of_customer(&back, "link").unwrap().contains('.'));
    assert_eq!(of_customer(&back, "name"), Some("C"));
}

#[test]
fn a_test_is_marked_in_either_form() {
    let element = Style::new(&with_json()).element(&pop("C"), Kind::Test, None, now());
    assert_eq!((element.attr("test"), &json(&element)["test"]), (Some("true"), &true.into()));
    let seen = Glance { revision: 2, state: Some(PopState::Ringing), kind: Kind::Test };
    assert_eq!(glance(&element), Some(seen));
    let real = written(&pop("C"), &with_json(), None);
    assert_eq!(glance(&real), Some(Glance { kind: Kind::Real, ..seen }));
}

#[test]
fn an_item_that_stays_becomes_withdrawn_once_and_keeps_everything_else() {
    let link = template("https://crm.example/{code}?{name}");
    for config in [plain(), with_json()] {
        let last = withdrawn(written(&pop("C"), &config, link.as_ref()), now()).unwrap();
        let expected = Pop { revision: 3, state: PopState::Withdrawn, changed_at: now(), ..pop("C") };
        assert_eq!(last, Style::new(&config).element(&expected, Kind::Real, link.as_ref(), now()));
        assert_eq!(withdrawn(last, now()), None);
    }
    let last = withdrawn(written(&pop("C"), &private(), None), now()).unwrap();
    assert_eq!((last.attr("private"), last.attr("state")), (Some("true"), Some("withdrawn")));
    assert_eq!(withdrawn("<pop xmlns='urn:usher:pop:2' revision='3'/>".parse().unwrap(), now()), None);
}

#[test]
fn the_payload_of_another_version_has_no_revision_for_us() {
    let other: Element = "<pop xmlns='urn:usher:pop:2' revision='3'/>".parse().unwrap();
    assert_eq!(revision(&other), None);
}
