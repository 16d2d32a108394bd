use super::*;
use crate::domain::{
    id::{ChannelId, CustomerCode, Interface, OfferNo, ServerId},
    pop::PopOutcome,
    queue::{
        callback::Missed,
        roster::{Agent, CallerId, Queue, Roster},
        transfer::TransferMeans,
    },
};
use uuid::Uuid;

const CALL: CallId = CallId(Uuid::from_u128(1));

fn customer(name: &str) -> Customer {
    Customer { id: 1, code: CustomerCode::new("0071"), name: name.into() }
}

fn books() -> Register {
    let agent = |extension: &str, name: &str| Agent {
        extension: Extension::new(extension),
        name: name.into(),
        jid: format!("user{extension}@example.org"),
        interface: Interface::new(format!("PJSIP/{extension}")),
        pauses: vec![],
    };
    let queue = |name: &str, label: &str| Queue { label: label.into(), ..Queue::new(QueueName::new(name)) };
    Register::from(&Roster {
        agents: vec![agent("1000", "Ana"), agent("2000", "")],
        queues: vec![queue("sales", "Sales & <Co>"), queue("support", "Support")],
        memberships: vec![],
    })
}

fn entered(name: &str) -> Fact {
    Fact::CallEntered {
        call: CALL,
        server: ServerId::new("pbx"),
        channel: ChannelId::new("c"),
        queue: QueueName::new("support"),
        customer: customer(name),
        caller: CallerId { number: "5551001".into(), name: String::new() },
    }
}

fn ext(text: &str) -> Extension {
    Extension::new(text)
}

fn rings(extension: &str) -> Fact {
    Fact::CallRinging { call: CALL, offer: OfferNo(1), extension: ext(extension), pop: PopOutcome::Confirmed }
}

fn missed_by(extension: &str, why: OfferEnd) -> Fact {
    Fact::OfferEnded { call: CALL, offer: OfferNo(1), extension: ext(extension), why }
}

fn answered(extension: &str) -> Fact {
    Fact::CallAnswered { call: CALL, offer: OfferNo(1), extension: ext(extension) }
}

fn ends(extension: Option<&str>, outcome: CallOutcome) -> Fact {
    Fact::CallEnded { call: CALL, extension: extension.map(ext), outcome }
}

fn sent_on(to: TransferTarget) -> Fact {
    Fact::CallTransferred { call: CALL, from: ext("1000"), to, how: TransferMeans::Phone }
}

fn hear(calls: &mut Calls, fact: Fact) -> Vec<String> {
    let lines = calls.hear(News::Happened { fact, whose: None, is_old: false });
    lines.iter().map(|line| format!("{}| {}", line.queue, line.say(Language::English, &books()))).collect()
}

/// What is said of each of these facts of a call that has come in.
fn told(facts: impl IntoIterator<Item = Fact>) -> Vec<String> {
    let mut calls = Calls::default();
    hear(&mut calls, entered("Company 1"));
    facts.into_iter().flat_map(|fact| hear(&mut calls, fact)).collect()
}

#[test]
fn each_event_of_a_call_is_one_line_with_code_and_name() {
    let mut calls = Calls::default();
    let facts = [
        (entered("Company, 1 & <Süß> \"é\""), "came in"),
        (rings("1000"), "rings at 1000 (Ana)"),
        (missed_by("1000", OfferEnd::RingNoAnswer), "1000 (Ana) does not answer"),
        (rings("2000"), "rings at 2000"),
        (answered("2000"), "taken by 2000"),
        (Fact::CallHeld { call: CALL, extension: ext("2000"), hold: Hold::Held }, "on hold by 2000"),
        (Fact::CallHeld { call: CALL, extension: ext("2000"), hold: Hold::Resumed }, "2000 is back in the talk"),
        (ends(Some("2000"), CallOutcome::Completed), "the talk with 2000 is over"),
    ];
    for (fact, expected) in facts {
        let expected = format!("support| Company, 1 & <Süß> \"é\" (0071): {expected}");
        assert_eq!(hear(&mut calls, fact), [expected]);
    }
    assert_eq!(hear(&mut calls, rings("1000")), Vec::<String>::new(), "of a call that is over nothing is known");
}

#[test]
fn who_goes_from_one_queue_to_another_is_told_of_in_both_and_then_in_the_new_one_alone() {
    let sales = QueueName::new("sales");
    let overflows = Fact::CallOverflowed {
        call: CALL,
        queue: QueueName::new("support"),
        why: CallOutcome::TimedOut,
        to: Overflow::Queue(sales.clone()),
    };
    assert_eq!(
        told([overflows, ends(None, CallOutcome::Abandoned)]),
        [
            "support| Company 1 (0071): went on to Sales & <Co>",
            "sales| Company 1 (0071): came from Support",
            "sales| Company 1 (0071): hung up",
        ]
    );
    assert_eq!(
        told([sent_on(TransferTarget::Queue(sales)), answered("2000")]),
        [
            "support| Company 1 (0071): 1000 (Ana) sends them on to Sales & <Co>",
            "sales| Company 1 (0071): sent here by 1000 (Ana)",
            "sales| Company 1 (0071): taken by 2000",
        ]
    );
}

#[test]
fn transfers_callbacks_pauses_and_all_ends_have_words_of_their_own() {
    let of_call = |what: &str| format!("support| Company 1 (0071): {what}");
    for (fact, expected) in [
        (sent_on(TransferTarget::Extension(ext("2000"))), "1000 (Ana) sends them on to 2000"),
        (sent_on(TransferTarget::Outside("0041123".into())), "1000 (Ana) sends them on to 0041123"),
        (
            Fact::TransferFailed { call: CALL, from: ext("1000"), why: TransferFailure::Busy },
            "comes back to 1000 (Ana): the other phone is busy",
        ),
        (
            Fact::CallbackCalled { call: CALL, attempt: 1, offer: OfferNo(1), extension: ext("1000") },
            "is called back for 1000 (Ana)",
        ),
        (
            Fact::CallbackMissed { call: CALL, attempt: 2, tries: 1, why: Missed::Lost, again_at: None },
            "was not reached in try 2",
        ),
        (
            Fact::CallDeclined { call: CALL, extension: ext("1000"), reason: "ill".into() },
            "1000 (Ana) leaves it to others",
        ),
        (
            Fact::AutoPaused { call: CALL, extension: ext("1000"), queue: QueueName::new("support"), unanswered: 3 },
            "1000 (Ana) is paused, calls not answered: 3",
        ),
        (
            Fact::CallOverflowed {
                call: CALL,
                queue: QueueName::new("support"),
                why: CallOutcome::TimedOut,
                to: Overflow::Extension(ext("2000")),
            },
            "went on to 2000",
        ),
        (missed_by("1000", OfferEnd::Rejected), "1000 (Ana) rejects it"),
        (missed_by("1000", OfferEnd::Unavailable), "1000 (Ana) cannot be reached"),
        (missed_by("1000", OfferEnd::LoggedOff), "1000 (Ana) has logged off"),
        (missed_by("1000", OfferEnd::MemberGone), "1000 (Ana) hung up"),
        (ends(None, CallOutcome::Abandoned), "hung up"),
        (ends(None, CallOutcome::Completed), "hung up"),
        (ends(None, CallOutcome::TimedOut), "has waited too long and leaves the queue"),
        (ends(None, CallOutcome::NoMembers), "leaves the queue: nobody is logged on"),
        (ends(None, CallOutcome::Full), "is not let in: the queue is full"),
        (ends(None, CallOutcome::Empty), "leaves the queue: nobody is there"),
        (ends(None, CallOutcome::Stopped), "left the queue"),
        (ends(None, CallOutcome::Lost), "the call was lost"),
        (ends(None, CallOutcome::NotReached), "could not be reached"),
        (ends(None, CallOutcome::CalledAgain), "has called again"),
        (ends(None, CallOutcome::Cancelled), "need not be called back"),
    ] {
        assert_eq!(told([fact.clone()]), [of_call(expected)], "{fact:?}");
    }
    for fact in [
        ends(None, CallOutcome::Overflowed),
        ends(None, CallOutcome::UnknownQueue),
        missed_by("1000", OfferEnd::Taken),
        missed_by("1000", OfferEnd::CallerGone),
        Fact::Recording { call: CALL, file: "x.wav".into() },
    ] {
        assert_eq!(told([fact.clone()]), Vec::<String>::new(), "{fact:?}");
    }
}

#[test]
fn what_an_earlier_run_has_said_is_remembered_and_not_said_again() {
    let mut calls = Calls::default();
    assert_eq!(calls.hear(News::Happened { fact: entered("Company 1"), whose: None, is_old: true }), vec![]);
    assert_eq!(hear(&mut calls, rings("1000")), ["support| Company 1 (0071): rings at 1000 (Ana)"]);
    let mut calls = Calls::default();
    let found = News::Found { call: CALL, queue: QueueName::new("support"), customer: customer("Company 1") };
    assert_eq!(calls.hear(found), vec![]);
    let over = ends(Some("2000"), CallOutcome::Completed);
    assert_eq!(hear(&mut calls, over), ["support| Company 1 (0071): the talk with 2000 is over"]);
}

#[test]
fn of_a_caller_whose_beginning_was_not_heard_the_floor_says_who_they_are() {
    let mut calls = Calls::default();
    assert_eq!(hear(&mut calls, rings("1000")), Vec::<String>::new());
    let whose = Some((QueueName::new("sales"), customer("Company 2")));
    let lines = calls.hear(News::Happened { fact: rings("1000"), whose, is_old: false });
    assert_eq!(lines[0].say(Language::Spanish, &books()), "Company 2 (0071): suena en 1000 (Ana)");
    assert_eq!(hear(&mut calls, ends(None, CallOutcome::Abandoned)), ["sales| Company 2 (0071): hung up"]);
}

#[test]
fn a_line_stays_one_line_and_one_without_a_name_or_a_code_is_said_as_well() {
    let say = |name: &str, code: &str| {
        let customer = Customer { id: 1, code: CustomerCode::new(code), name: name.into() };
        let line = Line { queue: QueueName::new("support"), customer, what: What::Entered };
        line.say(Language::Portuguese, &books())
    };
    assert_eq!(say("A\nB", "0071"), "A B (0071): entrou na fila");
    assert_eq!(say("", "0071"), "0071: entrou na fila");
    assert_eq!(say("A", ""), "A: entrou na fila");
}

#[test]
fn no_more_calls_are_followed_than_there_is_room_for() {
    let mut calls = Calls::default();
    for n in 0..=FOLLOWED as u128 {
        let whose = Some((QueueName::new("support"), customer("C")));
        let fact = Fact::CallAnswered { call: CallId(Uuid::from_u128(n)), offer: OfferNo(1), extension: ext("1000") };
        calls.hear(News::Happened { fact, whose, is_old: false });
    }
    assert!(calls.0.len() <= FOLLOWED);
}
