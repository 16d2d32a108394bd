use uuid::Uuid;

use super::*;
use crate::domain::{
    id::QueueName,
    queue::{transfer::TransferFailure, view::CallView},
    words::{Language, clock},
};

const ALL: [Language; 3] = [Language::English, Language::Spanish, Language::Portuguese];

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes + 5)
}

fn pause_line() -> PauseLine {
    PauseLine { kind: PauseKind::Manual, queue: Some("Support".into()), reason: "lunch".into(), since: minutes(3) }
}

fn status(view: Option<WorkView>) -> Answer {
    Answer::Status(Box::new(Status {
        extension: Extension::new("1000"),
        on: vec!["Support".into()],
        off: vec!["Sales".into()],
        pauses: vec![pause_line()],
        work: view.map(|view| Work { view, queue: "Support".into() }),
    }))
}

fn call_view() -> CallView {
    CallView {
        call: CallId(Uuid::from_u128(7)),
        queue: QueueName::new("support"),
        code: "1111".into(),
        name: "Company 1".into(),
    }
}

/// One of each, and what has to be in it whatever the language.
fn answers() -> Vec<(Answer, &'static [&'static str])> {
    let extension = Extension::new("1000");
    let refused = |refusal| Answer::Refused(refusal);
    let call = CallLine {
        call: CallId(Uuid::from_u128(7)),
        at: jiff::civil::time(9, 5, 0, 0),
        queue: "Support".into(),
        code: "1111".into(),
        name: "Company 1".into(),
        talk: Some(minutes(2)),
    };
    let story = Story {
        call: CallId(Uuid::from_u128(7)),
        at: jiff::civil::time(9, 5, 0, 0),
        queue: "Support".into(),
        code: "1111".into(),
        name: "Company 1".into(),
        steps: vec![
            StoryStep::Offered {
                offer: 1,
                to: "2000".into(),
                rule: "linear".into(),
                yours: Some("not their turn".into()),
            },
            StoryStep::Missed { offer: 1, by: "2000".into(), why: "ring_no_answer".into() },
            StoryStep::Offered {
                offer: 2,
                to: "3000".into(),
                rule: String::new(),
                yours: Some("paused (manual): lunch".into()),
            },
            StoryStep::Answered { by: "3000".into() },
        ],
        outcome: Some(Outcome::Completed),
    };
    let mut all = vec![
        (Answer::ShortHelp, &["\""][..]),
        (Answer::Help, &["[", "1000"]),
        (Answer::Languages, &["en", "es", "pt"]),
        (Answer::LanguageIs, &[]),
        (
            Answer::LoggedOn { extension: extension.clone(), queues: vec!["Support".into(), "Sales".into()] },
            &["1000", "Support, Sales"],
        ),
        (Answer::LoggedOff { extension: extension.clone(), queues: vec!["Support".into()] }, &["1000", "Support"]),
        (Answer::LoggedOff { extension: extension.clone(), queues: vec![] }, &["1000"]),
        (
            Answer::Paused { extension: extension.clone(), queue: Some("Support".into()), reason: "lunch".into() },
            &["1000", "Support", ": lunch"],
        ),
        (Answer::Paused { extension: extension.clone(), queue: None, reason: String::new() }, &["1000"]),
        (
            Answer::Resumed { extension: extension.clone(), queue: None, ended: 1, left: vec![pause_line()] },
            &["1000", "Support", "3:05", ": lunch"],
        ),
        (
            Answer::Resumed { extension: extension.clone(), queue: Some("Support".into()), ended: 0, left: vec![] },
            &["1000", "Support"],
        ),
        (status(None), &["1000", "Support", "Sales", "lunch"]),
        (
            Answer::Waiting(vec![QueueLine {
                queue: "Support".into(),
                waiting: vec![("1111".into(), "Company 1".into(), minutes(2))],
                more: 4,
                members: 6,
                ready: 3,
            }]),
            &["Support", "5 ", "3 ", "6 ", "1. Company 1 (1111), 2:05", "4"],
        ),
        (Answer::Waiting(vec![]), &[]),
        (
            Answer::Calls { extension: extension.clone(), calls: vec![call], more: 2 },
            &["1000", "3.", "09:05 Support: Company 1 (1111)", "2:05"],
        ),
        (Answer::Calls { extension: extension.clone(), calls: vec![], more: 0 }, &["1000"]),
        (
            Answer::Story(Box::new(story)),
            &["09:05 Support", "Company 1 (1111)", "2000 (linear)", "3000", "lunch", "-000000000007"],
        ),
        (Answer::Taken { code: "1111".into(), name: "Company 1".into() }, &["Company 1 (1111)"]),
        (Answer::Declined { code: "1111".into(), name: "Company 1".into() }, &["Company 1 (1111)"]),
        (
            Answer::Transferred { code: "1111".into(), name: "Company 1".into(), to: "2000".into() },
            &["Company 1 (1111)", "2000"],
        ),
        (
            Answer::CallsBack { code: "1111".into(), name: "Company 1".into(), number: "555".into() },
            &["Company 1 (1111)", "555"],
        ),
        (Answer::NotCalledBack(None), &[]),
        (Answer::NotCalledBack(Some(NoCallBack::NoNumber)), &[]),
        (Answer::NotCalledBack(Some(NoCallBack::There(None))), &[]),
        (Answer::NotCalledBack(Some(NoCallBack::There(Some(Extension::new("3000"))))), &["3000"]),
        (Answer::NotCalledBack(Some(NoCallBack::ServerAway)), &[]),
        (Answer::NotTransferred(NoTransfer::NotTalking), &[]),
        (Answer::NotTransferred(NoTransfer::Yourself), &[]),
        (Answer::NotTransferred(NoTransfer::Failed(TransferFailure::Busy)), &[]),
        (Answer::NotTransferred(NoTransfer::Failed(TransferFailure::QueueClosed)), &[]),
        (refused(Refusal::NoTarget("Ana".into())), &["\"Ana\""]),
        (Answer::NotTaken(NoClaim::Taken { by: Extension::new("2000") }), &["2000"]),
        (Answer::NotTaken(NoClaim::Taken { by: Extension::outside("5550001") }), &[]),
        (Answer::NoStory, &[]),
        (Answer::AlreadyDone, &[]),
        (refused(Refusal::NotYours(extension.clone())), &["1000"]),
        (refused(Refusal::WhichExtension), &["1000"]),
        (refused(Refusal::NoSuchExtension("9".into())), &["9"]),
        (refused(Refusal::WhichQueue(vec!["Support".into(), "Sales".into()])), &["Support, Sales", "?"]),
        (refused(Refusal::WhichQueue(vec![])), &[]),
        (refused(Refusal::NoSuchQueue { named: "x".into(), known: vec!["Support".into()] }), &["\"x\"", "Support"]),
        (refused(Refusal::NotAMember { extension: extension.clone(), queue: "Sales".into() }), &["1000", "Sales"]),
        (refused(Refusal::NoPhone), &[]),
        (refused(Refusal::OwnPhone), &[]),
        (refused(Refusal::BadReason), &["200"]),
        (refused(Refusal::Leftover("rest".into())), &["\"rest\""]),
        (refused(Refusal::NoCall("x".into())), &["\"x\""]),
        (refused(Refusal::NoLanguage("x".into())), &["\"x\"", "en, es"]),
    ];
    for view in [
        WorkView::Free,
        WorkView::Offered(call_view()),
        WorkView::Talking(call_view()),
        WorkView::WrapUp(minutes(1)),
        WorkView::PhoneInUse,
        WorkView::PhoneUnavailable,
    ] {
        all.push((status(Some(view)), &["1000", "Support"]));
    }
    for why in [
        NoClaim::NotLoggedOn,
        NoClaim::NobodyWaits,
        NoClaim::Yours,
        NoClaim::Busy,
        NoClaim::Paused,
        NoClaim::WrapUp,
        NoClaim::PhoneInUse,
        NoClaim::PhoneUnavailable,
        NoClaim::NotForYou,
    ] {
        all.push((Answer::NotTaken(why), &[]));
    }
    for why in [NoDecline::NothingOffered, NoDecline::Answered] {
        all.push((Answer::NotDeclined(why), &[]));
    }
    for trouble in
        [Trouble::Gone, Trouble::FloorAway, Trouble::TooLate, Trouble::TooFast, Trouble::Unknown(Verb::Pause)]
    {
        all.push((Answer::Trouble(trouble), &[]));
    }
    for verb in [Verb::LogOn, Verb::LogOff, Verb::Pause, Verb::Resume, Verb::Take, Verb::Decline, Verb::Status] {
        all.push((Answer::Trouble(Trouble::DatabaseAway(verb)), &[]));
    }
    all
}

#[test]
fn each_answer_says_what_it_is_about_in_each_language_and_no_two_are_the_same() {
    let mut seen = Vec::new();
    for (answer, parts) in answers() {
        for language in ALL {
            let text = answer.say(language);
            assert!(!text.is_empty() && !text.contains("  "), "{text:?}");
            for part in parts {
                assert!(text.contains(part), "{part:?} in {language}: {text}");
            }
            assert!(!seen.contains(&text), "{text}");
            seen.push(text);
        }
    }
}

#[test]
fn the_help_of_each_language_names_each_of_its_words() {
    for language in ALL {
        for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Help) {
            let help = Answer::Help.say(language);
            assert!(help.lines().any(|line| line.starts_with(verb.word(language))), "{verb:?}: {help}");
        }
        assert!(Answer::ShortHelp.say(language).contains(Verb::LogOn.word(language)));
    }
}

#[test]
fn these_are_the_words() {
    let paused = Answer::Paused { extension: Extension::new("1000"), queue: None, reason: "almoço".into() };
    for (answer, language, expected) in [
        (paused.clone(), Language::English, "Extension 1000 is paused everywhere: almoço."),
        (paused.clone(), Language::Portuguese, "O ramal 1000 está em pausa em todas as filas: almoço."),
        (paused, Language::Spanish, "La extensión 1000 está en pausa en todas las colas: almoço."),
        (
            Answer::Trouble(Trouble::DatabaseAway(Verb::LogOn)),
            Language::English,
            "The database is away: your log-on was not done. Try again in a moment.",
        ),
        (
            status(Some(WorkView::Talking(call_view()))),
            Language::English,
            "Extension 1000 is logged on to Support, and logged off from Sales.\nIt is paused in Support for 3:05: lunch.\n\
             In a call with Company 1 (1111) of Support.",
        ),
    ] {
        assert_eq!(answer.say(language), expected);
    }
    assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
}

#[test]
fn a_failure_is_one_wherever_it_stands() {
    let well = Answer::LanguageIs;
    assert!(!well.is_failure());
    let gone = Answer::Trouble(Trouble::Gone);
    assert!(Answer::Several(vec![well, gone]).is_failure());
}
