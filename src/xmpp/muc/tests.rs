use super::*;

fn heard(xml: &str) -> Option<Heard> {
    let xml = xml.replacen(' ', " xmlns='jabber:client' from='support@rooms.test/Ana' ", 1);
    read(Stanza::try_from(xml.parse::<Element>().unwrap()).unwrap())
}

fn here(item: &str, more: &str) -> Option<Heard> {
    heard(&format!(
        "<presence id='1'><x xmlns='http://jabber.org/protocol/muc#user'><item {item}/>{more}</x></presence>"
    ))
}

#[test]
fn occupants_come_with_who_they_are_and_a_status_that_nobody_knows_is_no_harm() {
    let jid = Some("ana@example.org".parse().unwrap());
    assert_eq!(
        here("affiliation='member' role='participant' jid='ana@example.org/x'", "<status code='9999'/>"),
        Some(Heard::Here { nick: "Ana".into(), jid, is_self: false, is_owner: false })
    );
    assert_eq!(
        here("affiliation='owner' role='moderator'", "<status code='110'/><status code='201'/>"),
        Some(Heard::Here { nick: "Ana".into(), jid: None, is_self: true, is_owner: true })
    );
    assert_eq!(heard("<presence id='1'/>"), None, "no presence of a room");
}

#[test]
fn who_is_put_out_is_gone_and_who_changes_their_name_is_told_from_them() {
    let gone = |status: &str| {
        heard(&format!(
            "<presence type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' \
             role='none'/>{status}</x></presence>"
        ))
    };
    let is = |is_renamed| Some(Heard::Gone { nick: "Ana".into(), is_renamed });
    assert_eq!(gone(""), is(false));
    assert_eq!(gone("<status code='110'/><status code='307'/>"), is(false));
    assert_eq!(gone("<status code='110'/><status code='303'/>"), is(true));
}

#[test]
fn what_is_said_is_told_from_history_subjects_and_what_comes_back() {
    let said = |text: &str, is_history, is_correction| {
        let (nick, id, text) = ("Ana".to_owned(), "a".to_owned(), text.to_owned());
        Some(Heard::Said { nick, id, text, is_history, is_correction })
    };
    let message = |inside: &str| heard(&format!("<message id='a' type='groupchat'>{inside}</message>"));
    let delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-11-21T00:00:00Z'/>";
    assert_eq!(message("<body>x</body>"), said("x", false, false));
    assert_eq!(message(&format!("<body>x</body>{delay}")), said("x", true, false));
    assert_eq!(message("<body>x</body><replace xmlns='urn:xmpp:message-correct:0' id='b'/>"), said("x", false, true));
    assert_eq!(message(""), said("", false, false));
    let subject = |text: &str| Some(Heard::Subject { nick: "Ana".into(), text: text.into() });
    assert_eq!(message("<subject>x</subject>"), subject("x"));
    assert_eq!(message("<subject/>"), subject(""));
    assert_eq!(message("<subject>x</subject><body>y</body>"), said("y", false, false), "a text with a heading");
    let error = "<error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let bounced = heard(&format!("<message id='a' type='error'><body>x</body>{error}</message>"));
    assert!(matches!(bounced, Some(Heard::Bounced { id, .. }) if id == "a"));
    assert!(matches!(heard(&format!("<presence type='error'>{error}</presence>")), Some(Heard::Refused(_))));
    assert_eq!(heard("<message type='chat'><body>x</body></message>"), None);
}
