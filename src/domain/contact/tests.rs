use std::time::Instant;

use super::{
    board::{Board, MOVES, Now, What, Wish, Word},
    *,
};
use crate::domain::{
    command::Role,
    id::{Extension, Interface},
    queue::roster::{Agent, Membership, Roster},
};

fn summary(waiting: usize, ready: usize, members: usize) -> Summary {
    Summary { waiting, longest: Duration::from_secs(134), ready, members }
}

fn name(text: &str) -> QueueName {
    QueueName::new(text)
}

/// Agents `1000 (Ana)` and `2000 (Luis)`; both serve support, and Ana sales; Luis is logged off.
fn books(queues: &[&str]) -> Register {
    let agent = |extension: &str, name: &str| Agent {
        extension: Extension::new(extension),
        name: name.into(),
        jid: format!("{}@example.org", name.to_lowercase()),
        interface: Interface::new(format!("PJSIP/{extension}")),
        pauses: vec![],
    };
    let member = |queue: &str, extension: &str, logged_on| Membership {
        logged_on,
        ..Membership::new(name(queue), Extension::new(extension))
    };
    Register::from(&Roster {
        agents: vec![agent("1000", "Ana"), agent("2000", "Luis")],
        queues: queues.iter().map(|queue| Queue::new(name(queue))).collect(),
        memberships: vec![
            member("support", "1000", true),
            member("support", "2000", false),
            member("sales", "1000", true),
        ],
    })
}

#[test]
fn what_a_queue_shows_tells_whether_a_call_would_be_taken_now() {
    for (summary, show, text) in [
        (summary(0, 4, 6), Show::Available, "nobody waits, 4 of 6 ready"),
        (summary(3, 4, 6), Show::Available, "3 waiting, longest 02:14, 4 of 6 ready"),
        (summary(3, 0, 6), Show::Busy, "3 waiting, longest 02:14, 0 of 6 ready"),
        (summary(0, 0, 6), Show::Away, "nobody waits, 0 of 6 ready"),
        (summary(0, 0, 0), Show::LongAway, "nobody waits, 0 of 0 ready"),
        (summary(2, 0, 0), Show::LongAway, "2 waiting, longest 02:14, 0 of 0 ready"),
    ] {
        let shown = queue(&summary, Language::English);
        assert_eq!((shown.show, shown.text.as_str()), (show, text));
    }
    let later = Summary { longest: Duration::from_secs(200), ..summary(3, 4, 6) };
    let (one, other) = (queue(&summary(3, 4, 6), Language::Spanish), queue(&later, Language::Spanish));
    assert!(one.text != other.text && one.fixed == other.fixed, "time alone: {one:?} {other:?}");
}

#[test]
fn what_an_agent_does_is_shown_without_a_word_of_whom_they_talk_to() {
    for (doing, show, english, spanish, portuguese) in [
        (MemberView::Ready, Show::Available, "ready", "disponible", "disponível"),
        (MemberView::Rung, Show::Away, "the phone rings", "el teléfono está sonando", "o telefone está tocando"),
        (MemberView::Talking, Show::Busy, "in a call", "en una llamada", "em uma ligação"),
        (MemberView::Paused { reason: String::new() }, Show::LongAway, "paused", "en pausa", "em pausa"),
        (
            MemberView::Paused { reason: "lunch".into() },
            Show::LongAway,
            "paused: lunch",
            "en pausa: lunch",
            "em pausa: lunch",
        ),
        (
            MemberView::WrapUp(Duration::from_millis(25_900)),
            Show::Away,
            "wrap-up, 0:25 left",
            "trabajo posterior, quedan 0:25",
            "pós-atendimento, faltam 0:25",
        ),
        (MemberView::PhoneInUse, Show::Busy, "on the phone", "al teléfono", "ao telefone"),
        (
            MemberView::PhoneUnavailable,
            Show::LongAway,
            "the phone cannot be reached",
            "el teléfono no responde",
            "o telefone não responde",
        ),
    ] {
        for (language, text) in
            [(Language::English, english), (Language::Spanish, spanish), (Language::Portuguese, portuguese)]
        {
            let shown = member(&doing, language);
            assert_eq!((shown.show, shown.text.as_str()), (show, text));
        }
    }
}

#[test]
fn an_address_has_no_capital_letters_and_belongs_to_one_queue() {
    let books = books(&["Support", "support", "Sales-2", "x_y"]);
    let address = |queue: &str| name_of(&name(queue), &books);
    assert_eq!(address("support").as_deref(), Some("support"), "whose name it is, whatever is added later");
    assert_eq!(address("Support"), None, "the other one has it");
    assert_eq!((address("SALES-2"), address("other")), (None, None));
    assert_eq!((address("Sales-2").as_deref(), address("x_y").as_deref()), (Some("sales-2"), Some("x_y")));
    assert_eq!(queue_at("sales-2", &books).unwrap().name, name("Sales-2"));
    assert!(queue_at("Sales-2", &books).is_none() && queue_at("", &books).is_none());
}

#[test]
fn a_contact_is_seen_by_the_queues_members_and_by_supervisors() {
    let books = books(&["support", "sales"]);
    let agent = |extension: &str| Person { extension: Some(Extension::new(extension)), role: Role::Agent };
    let boss = Person { extension: None, role: Role::Supervisor };
    for (person, queue, expected) in [
        (agent("1000"), "support", true),
        (agent("1000"), "sales", true),
        (agent("2000"), "support", true),
        (agent("2000"), "sales", false),
        (boss.clone(), "sales", true),
        (boss, "nowhere", false),
        (agent("1000"), "nowhere", false),
    ] {
        assert_eq!(may_see(&person, &name(queue), &books), expected, "{person:?} {queue}");
    }
}

#[test]
fn a_contact_has_a_resource_for_its_queue_and_one_for_each_who_is_logged_on() {
    let books = books(&["support"]);
    let view = LineView {
        queue: name("support"),
        summary: summary(0, 1, 1),
        members: vec![(Extension::new("1000"), MemberView::Ready), (Extension::new("9"), MemberView::Ready)],
    };
    let resources = resources(&view, &books, Language::English);
    assert_eq!(resources.keys().collect::<Vec<_>>(), ["1000 (Ana)", OWN]);
    assert_eq!(resources_gone(&name("support"), &books), ["2000 (Luis)"]);
    assert!(resources_gone(&name("nowhere"), &books).is_empty());
}

// ---- the board ---------------------------------------------------------------------------------------------------

/// A board with its clock, and what it says as short lines.
struct Bench {
    board: Board<&'static str>,
    now: Instant,
}

fn words(words: Vec<Word<&'static str>>) -> Vec<String> {
    let line = |Word { queue, to, what }: Word<&str>| match what {
        What::Here { resource, shown } => format!("{queue}/{resource} to {to}: {}", shown.text),
        What::Away(Some(resource)) => format!("{queue}/{resource} to {to}: gone"),
        What::Away(None) => format!("{queue} to {to}: gone"),
        What::Let => format!("{queue} lets {to}"),
        What::Refuse => format!("{queue} refuses {to}"),
    };
    words.into_iter().map(line).collect()
}

#[expect(clippy::disallowed_methods, reason = "a moment to count from can be had nowhere else")]
fn bench() -> Bench {
    Bench { board: Board::default(), now: Instant::now() }
}

impl Bench {
    /// `support` shows the queue and perhaps Ana, each with a text whose end is a clock.
    fn look(&mut self, queue: (&str, &str), ana: Option<&str>) {
        let shown = |fixed: &str, clock: &str| Shown {
            show: Show::Available,
            text: format!("{fixed}{clock}"),
            fixed: fixed.into(),
        };
        let own = (OWN.to_owned(), shown(queue.0, queue.1));
        let ana = ana.map(|text| ("Ana".to_owned(), shown(text, "")));
        let now = Now { resources: ana.into_iter().chain([own]).collect(), gone: vec!["Luis".into()] };
        self.board.look(BTreeMap::from([(name("support"), now)]), self.now);
    }

    fn next(&mut self) -> Vec<String> {
        words(self.board.next(self.now))
    }

    fn all(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let next = self.next();
            if next.is_empty() {
                return all;
            }
            all.extend(next);
        }
    }

    fn wishes(&mut self, wish: Wish, person: &'static str, may: bool) -> Vec<String> {
        words(self.board.wishes(wish, &name("support"), person, may))
    }
}

#[test]
fn a_connection_begins_with_all_there_is_and_goes_on_with_what_is_new() {
    let mut bench = bench();
    bench.board.connected([(name("support"), "ana"), (name("support"), "boss")]);
    assert!(bench.all().is_empty(), "the floor was not looked at yet");
    bench.look(("1 waits ", "0:01"), Some("ready"));
    let begin = |person: &str| {
        [
            format!("support to {person}: gone"),
            format!("support/Luis to {person}: gone"),
            format!("support/Ana to {person}: ready"),
            format!("support/Usher to {person}: 1 waits 0:01"),
        ]
    };
    assert_eq!(bench.all(), [begin("ana"), begin("boss")].concat());
    bench.look(("1 waits ", "0:01"), Some("ready"));
    assert!(bench.all().is_empty(), "nothing is new");
    bench.look(("2 wait ", "0:02"), Some("in a call"));
    let news = |person: &str| {
        [format!("support/Ana to {person}: in a call"), format!("support/Usher to {person}: 2 wait 0:02")]
    };
    assert_eq!(bench.all(), [news("ana"), news("boss")].concat());
    bench.look(("2 wait ", "0:02"), None);
    assert_eq!(bench.all(), ["support/Ana to ana: gone", "support/Ana to boss: gone"]);
    // A new connection knows nothing of that.
    bench.board.connected([]);
    assert_eq!(
        bench.all()[..3],
        ["support to ana: gone", "support/Luis to ana: gone", "support/Usher to ana: 2 wait 0:02"]
    );
}

#[test]
fn a_clock_that_moves_alone_is_told_now_and_then() {
    let mut bench = bench();
    bench.board.connected([(name("support"), "ana")]);
    bench.look(("1 waits ", "0:01"), None);
    assert_eq!(bench.all().len(), 3);
    for second in 2..16 {
        bench.now += Duration::from_secs(1);
        bench.look(("1 waits ", &second.to_string()), None);
        assert!(bench.all().is_empty(), "after {second} s");
    }
    bench.now += Duration::from_secs(1);
    bench.look(("1 waits ", "0:16"), None);
    assert_eq!(bench.all(), ["support/Usher to ana: 1 waits 0:16"], "{MOVES:?} are over");
    bench.now += Duration::from_secs(1);
    bench.look(("2 wait ", "0:17"), None);
    assert_eq!(bench.all(), ["support/Usher to ana: 2 wait 0:17"], "more than the clock moved");
}

#[test]
fn who_asks_is_told_what_the_others_know_and_who_may_not_is_refused() {
    let mut bench = bench();
    bench.board.connected([]);
    assert_eq!(bench.wishes(Wish::Subscribe, "early", true), ["support lets early"], "nothing is known yet");
    bench.look(("0 wait", ""), None);
    assert_eq!(bench.all().len(), 3, "told with the others");
    assert_eq!(bench.wishes(Wish::Subscribe, "ana", true), ["support lets ana", "support/Usher to ana: 0 wait"]);
    assert_eq!(bench.wishes(Wish::Probe, "boss", true), ["support/Usher to boss: 0 wait"]);
    for wish in [Wish::Subscribe, Wish::Probe] {
        assert_eq!(bench.wishes(wish, "stranger", false), ["support refuses stranger"]);
    }
    bench.look(("1 waits", ""), None);
    let told = ["ana", "boss", "early"].map(|person| format!("support/Usher to {person}: 1 waits"));
    assert_eq!(bench.all(), told, "and the stranger nothing");
}

#[test]
fn who_leaves_cannot_be_reached_or_may_not_see_it_any_more_is_told_nothing_more() {
    let mut bench = bench();
    bench.board.connected(["ana", "luis", "eva", "boss"].map(|person| (name("support"), person)));
    bench.look(("0 wait", ""), None);
    bench.all();
    let support = name("support");
    assert_eq!(words(bench.board.leaves(&support, &"ana")), ["support/Usher to ana: gone"]);
    assert!(words(bench.board.leaves(&support, &"ana")).is_empty(), "said once");
    bench.board.unreachable(&support, &"luis");
    let left = words(bench.board.review(|person, _| *person == "boss"));
    assert_eq!(left, ["support/Usher to eva: gone", "support refuses eva"]);
    bench.look(("1 waits", ""), None);
    assert_eq!(bench.all(), ["support/Usher to boss: 1 waits"]);
}

#[test]
fn a_queue_that_is_gone_and_a_service_that_stops_say_so() {
    let mut bench = bench();
    bench.board.connected([(name("support"), "ana")]);
    bench.look(("0 wait", ""), Some("ready"));
    bench.all();
    bench.board.look(BTreeMap::new(), bench.now);
    assert_eq!(bench.all(), ["support/Ana to ana: gone", "support/Usher to ana: gone"]);
    bench.look(("0 wait", ""), Some("ready"));
    assert_eq!(bench.all(), ["support/Ana to ana: ready", "support/Usher to ana: 0 wait"]);
    assert_eq!(words(bench.board.goodbye()), ["support/Ana to ana: gone", "support/Usher to ana: gone"]);
    assert!(words(bench.board.goodbye()).is_empty());
}
