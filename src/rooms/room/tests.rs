use super::*;

const EN: Language = Language::English;
const SECOND: Duration = Duration::from_secs(1);

fn here(nick: &str, jid: Option<&str>, is_self: bool) -> Heard {
    Heard::Here { nick: nick.into(), jid: jid.map(|jid| jid.parse().unwrap()), is_self, is_owner: is_self }
}

fn said(nick: &str, id: &str, text: &str) -> Heard {
    let (nick, id, text) = (nick.into(), id.into(), text.into());
    Heard::Said { nick, id, text, is_history: false, is_correction: false }
}

fn refused(condition: &str) -> Box<StanzaError> {
    let xml = format!(
        "<error xmlns='jabber:client' type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    );
    Box::new(StanzaError::try_from(xml.parse::<xmpp_parsers::minidom::Element>().unwrap()).unwrap())
}

fn outside(now: Instant) -> Room {
    Room::new(QueueName::new("support"), "support@rooms.test".parse().unwrap(), Wanted::default(), now)
}

/// Entered, set up, with Ana of whom it is known who she is, and Bea of whom it is not.
fn open(now: Instant) -> Room {
    let mut room = outside(now);
    enters(&mut room, now);
    room.hear(here("Ana", Some("ana@example.org"), false), now);
    room.hear(here("Bea", None, false), now);
    room
}

fn enters(room: &mut Room, now: Instant) {
    assert!(room.is_to_be_entered(now) && room.enter(now).is_some());
    assert_eq!(room.hear(here(&room::name(room.names_tried), None, true), now), Next::Nothing);
    assert!(room.is_to_be_settled(now));
    assert!(room.is_settled(Wanted::default(), now) && room.is_open());
}

/// What is said now: the id of the message, and its text.
fn speaks(room: &mut Room, now: Instant) -> (String, String) {
    let Some(Stanza::Message(message)) = room.speak(EN, now) else { panic!("nothing is said") };
    let text = message.get_best_body(vec![]).map(|(_, body)| body.clone()).unwrap_or_default();
    (message.id.unwrap().0, text)
}

#[test]
fn nothing_is_said_before_the_room_is_set_up_and_one_thing_at_a_time_then() {
    let now = Instant::now();
    let mut room = outside(now);
    room.add("one".into(), now);
    room.enter(now);
    room.hear(here("Usher", None, true), now);
    assert_eq!(room.due(EN, now + SECOND), None, "strangers may be there");
    room.is_settled(Wanted::default(), now);
    assert!(room.due(EN, now).is_some_and(|due| due > now));
    let (first, _) = speaks(&mut room, now + SECOND);
    room.add("two".into(), now + SECOND);
    assert_eq!(room.due(EN, now + 9 * SECOND), None, "the first one is under way");
    assert_eq!(room.hear(said("Usher", &first, "one"), now + SECOND), Next::Said(1));
    assert_eq!(speaks(&mut room, now + 2 * SECOND).1, "two");
}

#[test]
fn a_room_that_is_somebody_elses_is_left_and_tried_again_much_later() {
    let now = Instant::now();
    let mut room = outside(now);
    room.enter(now);
    let stranger = Heard::Here { nick: "Usher".into(), jid: None, is_self: true, is_owner: false };
    assert_eq!(room.hear(stranger, now), Next::Shut(Trouble::NotOurs));
    assert!(room.shut(&Trouble::NotOurs, now).is_some(), "it is left");
    assert!(!room.is_to_be_entered(now + LONGEST_PAUSE - SECOND) && room.is_to_be_entered(now + LONGEST_PAUSE));
    for (condition, trouble) in [
        ("registration-required", Trouble::NotOurs),
        ("forbidden", Trouble::NotOurs),
        ("gone", Trouble::Destroyed),
        ("not-allowed", Trouble::Refused("NotAllowed".into())),
    ] {
        let mut room = outside(now);
        room.enter(now);
        assert_eq!(room.hear(Heard::Refused(refused(condition)), now), Next::Shut(trouble.clone()));
        assert_eq!(room.shut(&trouble, now), None, "it was never entered");
    }
}

#[test]
fn a_name_that_somebody_has_is_left_to_them_and_not_all_names_are_tried() {
    let now = Instant::now();
    let mut room = outside(now);
    for n in 1..NAMES {
        room.enter(now);
        assert_eq!(room.nick, room::name(n - 1));
        assert_eq!(room.hear(Heard::Refused(refused("conflict")), now), Next::Nothing);
    }
    room.enter(now);
    assert_eq!(room.hear(Heard::Refused(refused("conflict")), now), Next::Shut(Trouble::NoName));
}

#[test]
fn who_is_put_out_waits_longer_each_time_and_says_what_nobody_has_heard() {
    let mut now = Instant::now();
    let mut room = open(now);
    let gone = || Heard::Gone { nick: "Usher".into(), is_renamed: false };
    let mut pauses = Vec::new();
    for _ in 0..3 {
        assert_eq!(room.hear(gone(), now), Next::PutOut);
        assert_eq!(room.hear(gone(), now), Next::Nothing, "told twice");
        let from = now;
        while !room.is_to_be_entered(now) {
            now += SECOND;
        }
        pauses.push(now - from);
        enters(&mut room, now);
    }
    assert_eq!(pauses, [2 * SECOND, 4 * SECOND, 8 * SECOND]);
    now += WELL + SECOND;
    assert_eq!(room.hear(gone(), now), Next::PutOut);
    assert!(room.is_to_be_entered(now + PAUSE), "it was well for long");

    let mut room = open(now);
    room.add("one".into(), now);
    let (lost, _) = speaks(&mut room, now + SECOND);
    room.is_outside(now + SECOND);
    let mut heard = room;
    heard.enter(now + SECOND);
    let history =
        Heard::Said { nick: "Usher".into(), id: lost, text: "one".into(), is_history: true, is_correction: false };
    assert_eq!(heard.hear(history, now + SECOND), Next::Said(1));
    heard.hear(here("Usher", None, true), now + SECOND);
    heard.is_settled(Wanted::default(), now + SECOND);
    assert_eq!(heard.due(EN, now + SECOND), None, "history has it");

    let mut unheard = open(now);
    unheard.add("one".into(), now);
    unheard.speak(EN, now + SECOND);
    unheard.is_outside(now + SECOND);
    enters(&mut unheard, now + 2 * SECOND);
    assert_eq!(speaks(&mut unheard, now + 3 * SECOND).1, "one");
}

#[test]
fn a_room_that_does_not_take_what_is_said_is_entered_anew_if_we_are_not_in_it() {
    let now = Instant::now();
    for (condition, expected, said_again) in
        [("not-acceptable", Next::PutOut, true), ("policy-violation", Next::Dropped(1), false)]
    {
        let mut room = open(now);
        room.add("one".into(), now);
        let (id, _) = speaks(&mut room, now + SECOND);
        let bounced = Heard::Bounced { id, error: refused(condition) };
        assert_eq!(room.hear(bounced, now + SECOND), expected);
        assert_eq!(!room.lines.is_empty(), said_again, "{condition}");
    }
    let mut room = open(now);
    room.add("one".into(), now);
    room.speak(EN, now + SECOND);
    assert!(!room.is_late(now + PATIENCE) && room.is_late(now + SECOND + PATIENCE));
    room.shut(&Trouble::NoAnswer, now + SECOND + PATIENCE);
    assert!(!room.is_open() && room.unsure.is_some());
}

#[test]
fn commands_are_those_of_occupants_who_are_known_and_nothing_that_was_said_before_or_by_us() {
    let now = Instant::now();
    let mut room = open(now);
    let command = |nick: &str, text: &str| Next::Command {
        jid: "ana@example.org".parse().unwrap(),
        nick: nick.into(),
        text: text.into(),
    };
    for (nick, text, expected) in [
        ("Ana", "Usher: waiting", command("Ana", "waiting")),
        ("Ana", "Usher: nonsense", command("Ana", "nonsense")),
        ("Ana", "!waiting", command("Ana", "waiting")),
        ("Ana", "!nonsense", Next::Nothing),
        ("Ana", "waiting", Next::Nothing),
        ("Bea", "Usher: waiting", Next::Nothing),
        ("Nobody", "Usher: waiting", Next::Nothing),
        ("", "Usher: waiting", Next::Nothing),
        ("Usher", "Usher: waiting", Next::Nothing),
    ] {
        assert_eq!(room.hear(said(nick, "x", text), now), expected, "{nick}: {text}");
    }
    for (is_history, is_correction) in [(true, false), (false, true)] {
        let (nick, id, text) = ("Ana".into(), "x".into(), "Usher: waiting".into());
        assert_eq!(room.hear(Heard::Said { nick, id, text, is_history, is_correction }, now), Next::Nothing);
    }
    room.hear(Heard::Gone { nick: "Ana".into(), is_renamed: false }, now);
    assert_eq!(room.hear(said("Ana", "x", "Usher: waiting"), now), Next::Nothing);
    room.hear(here("Ana", Some("ana@example.org"), false), now);
    let many = (0..99).filter(|_| room.hear(said("Ana", "x", "!help"), now) != Next::Nothing).count();
    assert_eq!(many + 3, ANSWERS, "as many as may wait for an answer");
}

#[test]
fn answers_come_before_lines_and_who_may_not_command_is_told_so_once_a_minute() {
    let now = Instant::now();
    let mut room = open(now);
    room.add("one".into(), now);
    room.answer("Ana", Some(Reply::Said("done".into())), now);
    for _ in 0..3 {
        room.answer("Bea", Some(Reply::NotForThem("no".into())), now);
    }
    room.answer("Ana", None, now);
    let mut texts = Vec::new();
    for n in 1..=3 {
        let (id, text) = speaks(&mut room, now + n * SECOND);
        texts.push(text);
        room.hear(said("Usher", &id, ""), now + n * SECOND);
    }
    assert_eq!(texts, ["Ana: done", "Bea: no", "one"]);
    room.answer("Bea", Some(Reply::NotForThem("no".into())), now + TOLD_AGAIN);
    assert_eq!(speaks(&mut room, now + TOLD_AGAIN).1, "Bea: no");
    room.answer("Ana", Some(Reply::Said("late".into())), now);
    room.forget_the_old(now + ANSWER_LIFE + SECOND);
    assert!(room.answers.is_empty());
}

#[test]
fn the_subject_is_set_if_the_room_shows_another_one_and_counts_when_it_comes_back() {
    let now = Instant::now();
    let mut room = open(now);
    let summary = Summary { ready: 1, members: 2, ..Summary::default() };
    room.hear(Heard::Subject { nick: "Usher".into(), text: summary.line(EN) }, now);
    room.summary = Some(summary);
    assert_eq!(room.due(EN, now), None, "a later run finds it");
    let summary = Summary { ready: 2, ..summary };
    room.summary = Some(summary);
    assert!(room.due(EN, now).is_some() && room.speak(EN, now).is_some() && room.is_speaking());
    room.hear(Heard::Subject { nick: "Ana".into(), text: "Lunch!".into() }, now);
    assert!(room.is_speaking());
    let heard = room.hear(Heard::Subject { nick: "Usher".into(), text: summary.line(EN) }, now);
    assert_eq!((heard, room.is_speaking()), (Next::SubjectSet, false));
}

#[test]
fn a_quiet_room_is_asked_whether_we_are_in_it_and_entered_again_if_not() {
    let now = Instant::now();
    let mut room = open(now);
    assert_eq!(room.is_to_be_pinged(now + SILENCE - SECOND), None);
    assert_eq!(room.is_to_be_pinged(now + SILENCE), Some("Usher".into()));
    assert_eq!(room.is_to_be_pinged(now + SILENCE), None, "once");
    room.was_pinged(true, now + SILENCE);
    assert!(room.is_open() && room.is_to_be_pinged(now + SILENCE + SECOND).is_none());
    room.is_to_be_pinged(now + 2 * SILENCE);
    room.was_pinged(false, now + 2 * SILENCE);
    assert!(room.is_to_be_entered(now + 2 * SILENCE));
}

#[test]
fn pauses_grow_to_a_cap() {
    assert_eq!([1, 2, 3].map(pause), [PAUSE, 2 * PAUSE, 4 * PAUSE]);
    for failures in 1..40 {
        assert!(pause(failures) <= LONGEST_PAUSE);
    }
    assert_eq!(pause(40), LONGEST_PAUSE);
}
