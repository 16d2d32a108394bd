use proptest::prelude::*;

use super::*;
use crate::domain::queue::roster::{Agent, Membership, Roster};

fn queue(name: &str, label: &str) -> Queue {
    Queue { label: label.into(), ..Queue::new(QueueName::new(name)) }
}

fn member(queue: &str, extension: &str, logged_on: bool) -> Membership {
    Membership { logged_on, ..Membership::new(QueueName::new(queue), Extension::new(extension)) }
}

/// 1000 is on in `support` and off in `sales`, 2000 a member of nothing; there is a third queue.
fn books() -> Register {
    let agent = |extension: &str| Agent {
        extension: Extension::new(extension),
        name: String::new(),
        jid: format!("user{extension}@localhost"),
        interface: crate::domain::id::Interface::new(format!("PJSIP/{extension}")),
        pauses: vec![],
    };
    Register::from(&Roster {
        agents: vec![agent("1000"), agent("2000")],
        queues: vec![queue("back", "Back office"), queue("sales", "Vendas São Paulo"), queue("support", "Support")],
        memberships: vec![member("sales", "1000", false), member("support", "1000", true)],
    })
}

fn agent(extension: &str) -> Person {
    Person { extension: Some(Extension::new(extension)), role: Role::Agent }
}

fn supervisor() -> Person {
    Person { extension: None, role: Role::Supervisor }
}

fn said(text: &str, person: &Person) -> String {
    said_at(text, person, None)
}

/// The same, to the contact of a queue.
fn said_at(text: &str, person: &Person, here: Option<&str>) -> String {
    let here = here.map(QueueName::new);
    let Some(spoken) = spoken(text) else { return "unknown".into() };
    let names = |queues: &[QueueName]| queues.iter().map(QueueName::as_str).collect::<Vec<_>>().join("+");
    let one = |queue: &Option<QueueName>| queue.as_ref().map_or("all".into(), ToString::to_string);
    let meant = |which: &Which| match which {
        Which::First => "first".into(),
        Which::Customer(code) => code.to_string(),
    };
    match understand_at(spoken, person, here.as_ref(), &books()) {
        Ok(Command::LogOn { who, queues }) => format!("on {who} {}", names(&queues)),
        Ok(Command::LogOff { who, queues }) => format!("off {who} {}", names(&queues)),
        Ok(Command::Pause { who, queue, reason }) => format!("pause {who} {} [{reason}]", one(&queue)),
        Ok(Command::Resume { who, queue }) => format!("resume {who} {}", one(&queue)),
        Ok(Command::Status { who }) => format!("status {who}"),
        Ok(Command::Waiting { queues }) => format!("waiting {}", names(&queues)),
        Ok(Command::Take { who, which }) => format!("take {who} {}", meant(&which)),
        Ok(Command::Decline { who, which, reason }) => format!("decline {who} {} [{reason}]", meant(&which)),
        Ok(Command::CallBack { who, whom, queues }) => {
            format!("callback {who} {} {}", whom.unwrap_or("last".into()), names(&queues))
        }
        Ok(Command::Transfer { who, to }) => format!("transfer {who} {to}"),
        Ok(Command::Calls { who }) => format!("calls {who}"),
        Ok(Command::Why { call, who }) => {
            let who = who.map_or("anybody".into(), |who| who.to_string());
            format!("why {} {who}", if call.is_some() { "call" } else { "last" })
        }
        Ok(Command::Help) => "help".into(),
        Ok(Command::Language(language)) => format!("language {language:?}"),
        Err(Refusal::NotYours(extension)) => format!("not yours {extension}"),
        Err(Refusal::WhichExtension) => "which extension".into(),
        Err(Refusal::NoSuchExtension(named)) => format!("no extension {named}"),
        Err(Refusal::WhichQueue(known)) => format!("which queue of {}", known.len()),
        Err(Refusal::NoSuchQueue { named, .. }) => format!("no queue {named}"),
        Err(Refusal::NotAMember { extension, queue }) => format!("{extension} not in {queue}"),
        Err(Refusal::NoPhone) => "no phone".into(),
        Err(Refusal::OwnPhone) => "own phone".into(),
        Err(Refusal::BadReason) => "bad reason".into(),
        Err(Refusal::Leftover(rest)) => format!("leftover {rest}"),
        Err(Refusal::NoTarget(named)) => format!("no target {named}"),
        Err(Refusal::NoCall(named)) => format!("no call {named}"),
        Err(Refusal::NoLanguage(named)) => format!("no language {named}"),
    }
}

#[test]
fn who_called_in_vain_is_named_by_code_or_by_number_as_people_write_it_or_is_the_last() {
    for (text, expected) in [
        ("callback", "callback 1000 last support"),
        ("Call back 1111", "callback 1000 1111 support"),
        ("devolver llamada (555) 00-01", "callback 1000 5550001 support"),
        ("retornar +34 91 1", "callback 1000 +34911 support"),
        ("callback Ana, now", "leftover Ana, now"),
    ] {
        assert_eq!(said(text, &agent("1000")), expected, "{text:?}");
    }
    assert_eq!(said("callback", &supervisor()), "no phone");
}

#[test]
fn a_caller_goes_to_an_extension_a_queue_or_a_number_as_people_write_it() {
    for (text, expected) in [
        ("transfer 2000", "transfer 1000 extension/2000"),
        ("Transferir a 2000", "transfer 1000 extension/2000"),
        ("passar para vendas sao paulo", "no target para vendas sao paulo"),
        ("passar a vendas sao paulo", "transfer 1000 queue/sales"),
        ("transfer to Back office", "transfer 1000 queue/back"),
        ("transfer +34 (91) 123-45.67", "transfer 1000 outside/+34911234567"),
        ("transfer 3000", "transfer 1000 outside/3000"),
        ("transfer 2000.", "transfer 1000 extension/2000"),
        ("transfer 10-00", "transfer 1000 extension/1000"),
        ("transfer *56466*", "no target *56466*"),
        ("transfer +", "no target +"),
        ("transfer 1", "no target 1"),
        ("transfer", "no target "),
        ("transfer Ana", "no target Ana"),
        ("transfer 2000 please", "no target 2000 please"),
        ("transfer 2000;hangup", "no target 2000;hangup"),
        ("transfer 2000,s,1", "no target 2000,s,1"),
    ] {
        assert_eq!(said(text, &agent("1000")), expected, "{text:?}");
    }
    assert_eq!(said("transfer 2000", &supervisor()), "no phone");
}

#[test]
fn what_an_agent_says_means_this() {
    for (text, expected) in [
        ("login", "on 1000 sales+support"),
        ("Login Support", "on 1000 support"),
        ("log in to support", "on 1000 support"),
        ("entrar en soporte", "no queue soporte"),
        ("entrar vendas sao paulo", "on 1000 sales"),
        ("entrar em Vendas São Paulo, back office", "on 1000 sales+back"),
        ("login support sales support", "on 1000 support+sales"),
        ("login support please", "no queue support please"),
        ("login 1000 support", "on 1000 support"),
        ("login 2000 support", "not yours 2000"),
        ("login ,", "no queue ,"),
        ("logout", "off 1000 support"),
        ("salir ventas", "no queue ventas"),
        ("sair de sales", "off 1000 sales"),
        ("pause", "pause 1000 all []"),
        ("pause lunch", "pause 1000 all [lunch]"),
        ("Pausa Almoço  às 12", "pause 1000 all [Almoço  às 12]"),
        ("pause lunch support", "pause 1000 support [lunch]"),
        ("pause lunch in support", "pause 1000 support [lunch]"),
        ("pause support", "pause 1000 support []"),
        ("pausa em vendas são paulo", "pause 1000 sales []"),
        ("pausa almoço em vendas são paulo", "pause 1000 sales [almoço]"),
        ("pause lunch back office", "1000 not in Back office"),
        ("pause 15 minutes", "pause 1000 all [15 minutes]"),
        ("pause 2000", "not yours 2000"),
        ("pause \u{200b}", "bad reason"),
        ("resume", "resume 1000 all"),
        ("reanudar en support", "resume 1000 support"),
        ("resume the report", "no queue the report"),
        ("resume back", "1000 not in Back office"),
        ("status", "status 1000"),
        ("estado 2000", "not yours 2000"),
        ("status of the universe", "leftover of the universe"),
        ("waiting", "waiting sales+support"),
        ("waiting support", "waiting support"),
        ("espera back office", "1000 not in Back office"),
        ("calls", "calls 1000"),
        ("why", "why last 1000"),
        ("why 00000000-0000-0000-0000-000000000007?", "why call 1000"),
        ("why not", "no call not"),
        ("help me", "help"),
        ("language", "language None"),
        ("idioma español", "language Some(Spanish)"),
        ("language tlh", "no language tlh"),
        ("take", "take 1000 first"),
        ("Tomar 0071", "take 1000 0071"),
        // A code, and no extension.
        ("take 2000", "take 1000 2000"),
        ("take it", "leftover it"),
        ("take 12345678901234567", "leftover 12345678901234567"),
        ("accept", "take 1000 first"),
        ("decline", "decline 1000 first []"),
        ("decline 1111", "decline 1000 1111 []"),
        ("recusar 1111 em reunião", "decline 1000 1111 [em reunião]"),
        ("decline in a meeting", "decline 1000 first [in a meeting]"),
        ("decline \u{200b}", "bad reason"),
        ("hello", "unknown"),
    ] {
        assert_eq!(said(text, &agent("1000")), expected, "{text:?}");
    }
}

#[test]
fn what_is_said_to_the_contact_of_a_queue_means_that_queue_unless_it_names_one() {
    for (text, here, expected) in [
        ("login", "back", "on 1000 back"),
        ("login sales", "back", "on 1000 sales"),
        ("logout", "support", "off 1000 support"),
        ("logout", "sales", "off 1000 "),
        ("logout sales", "support", "off 1000 sales"),
        ("pause lunch", "sales", "pause 1000 sales [lunch]"),
        ("pause lunch support", "sales", "pause 1000 support [lunch]"),
        ("resume", "sales", "resume 1000 sales"),
        ("resume support", "sales", "resume 1000 support"),
        ("waiting", "sales", "waiting sales"),
        ("waiting support", "sales", "waiting support"),
        ("status", "sales", "status 1000"),
        ("calls", "sales", "calls 1000"),
        ("take", "sales", "take 1000 first"),
    ] {
        assert_eq!(said_at(text, &agent("1000"), Some(here)), expected, "{text:?} to {here}");
    }
    assert_eq!(said_at("pause 1000 lunch", &supervisor(), Some("support")), "pause 1000 support [lunch]");
    for text in ["pause lunch", "resume", "waiting"] {
        assert_eq!(
            said_at(text, &agent("1000"), Some("back")),
            said(&format!("{text} back"), &agent("1000")),
            "{text}"
        );
    }
}

#[test]
fn who_is_a_member_of_nothing_has_to_say_where_unless_there_is_one_queue_alone() {
    assert_eq!(said("login", &agent("2000")), "which queue of 3");
    assert_eq!(said("logout", &agent("2000")), "off 2000 ");
    assert_eq!(said("waiting", &agent("2000")), "waiting ");
    let one = Register::from(&Roster {
        agents: books().to_roster().agents,
        queues: vec![queue("support", "Support")],
        memberships: vec![],
    });
    let command = understand(spoken("login").unwrap(), &agent("2000"), &one);
    assert_eq!(command, Ok(Command::LogOn { who: Extension::new("2000"), queues: vec![QueueName::new("support")] }));
}

#[test]
fn a_supervisor_names_the_extension_and_sees_every_queue() {
    for (text, expected) in [
        ("login 1000 back", "on 1000 back"),
        ("login back", "which extension"),
        ("pause 1000 lunch", "pause 1000 all [lunch]"),
        ("pause 9999 lunch", "no extension 9999"),
        ("pause lunch", "which extension"),
        ("resume 1000", "resume 1000 all"),
        ("status 2000", "status 2000"),
        ("status 9999", "no extension 9999"),
        ("calls 2000", "calls 2000"),
        ("waiting", "waiting back+sales+support"),
        ("waiting back", "waiting back"),
        ("why 00000000-0000-0000-0000-000000000007", "why call anybody"),
        ("why", "which extension"),
        ("take", "no phone"),
        ("decline 1111", "no phone"),
    ] {
        assert_eq!(said(text, &supervisor()), expected, "{text:?}");
    }
    let both = Person { extension: Some(Extension::new("1000")), role: Role::Supervisor };
    assert_eq!(said("pause 9999 lunch", &both), "no extension 9999", "not a reason for a pause of their own");
    assert_eq!(said("pause 2000 lunch", &both), "pause 2000 all [lunch]");
    assert_eq!(said("pause lunch", &both), "pause 1000 all [lunch]");
}

#[test]
fn on_behalf_of_others_act_supervisors_alone() {
    let books = books();
    assert_eq!(on_behalf(None, &agent("1000"), &books), Ok(Extension::new("1000")));
    assert_eq!(on_behalf(Some("1000"), &agent("1000"), &books), Ok(Extension::new("1000")));
    assert_eq!(on_behalf(Some("2000"), &agent("1000"), &books), Err(Refusal::NotYours(Extension::new("2000"))));
    assert_eq!(on_behalf(Some("2000"), &supervisor(), &books), Ok(Extension::new("2000")));
    assert_eq!(on_behalf(Some("9"), &supervisor(), &books), Err(Refusal::NoSuchExtension("9".into())));
    assert_eq!(on_behalf(Some("'"), &supervisor(), &books), Err(Refusal::NoSuchExtension("'".into())));
    assert_eq!(on_behalf(None, &supervisor(), &books), Err(Refusal::WhichExtension));
}

fn whatever() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "login", "log", "in", "to", "logout", "pause", "pausa", "resume", "status", "why", "1000", "2000", "9999",
        "support", "Vendas", "São", "Paulo", "back", "office", ",", "\u{301}", "?", "lunch", "é",
    ]);
    let verb = prop::sample::select(vec![
        "login", "logout", "pause", "resume", "status", "calls", "waiting", "why", "take", "decline",
    ]);
    let number = prop::sample::select(vec!["", "1000", "2000", "9999"]);
    let said = (verb, number, prop::collection::vec(word, 0..4))
        .prop_map(|(verb, number, words)| format!("{verb} {number} {}", words.join(" ")));
    prop_oneof![any::<String>(), said]
}

proptest! {
    #[test]
    fn whatever_an_agent_writes_nothing_panics_and_nobody_else_is_touched(text in whatever()) {
        let books = books();
        let me = agent("1000");
        if let Some(spoken) = spoken(&text)
            && let Ok(command) = understand(spoken, &me, &books)
        {
            prop_assert_eq!(command.verb(), spoken.verb);
            match command {
                Command::LogOn { who, queues } | Command::LogOff { who, queues } => {
                    prop_assert_eq!(who.as_str(), "1000");
                    prop_assert!(queues.iter().all(|queue| books.queue(queue).is_some()));
                }
                Command::Pause { who, queue, reason } => {
                    prop_assert_eq!(who.as_str(), "1000");
                    prop_assert!(name::reason(&reason).is_ok());
                    prop_assert!(queue.is_none_or(|queue| queue.as_str() != "back"));
                }
                Command::Resume { who, queue } => {
                    prop_assert_eq!(who.as_str(), "1000");
                    prop_assert!(queue.is_none_or(|queue| queue.as_str() != "back"));
                }
                Command::Status { who } | Command::Calls { who } => prop_assert_eq!(who.as_str(), "1000"),
                Command::Waiting { queues } => {
                    prop_assert!(queues.iter().all(|queue| queue.as_str() != "back"));
                }
                Command::CallBack { who, queues, .. } => {
                    prop_assert_eq!(who.as_str(), "1000");
                    prop_assert!(queues.iter().all(|queue| queue.as_str() == "support"));
                }
                Command::Transfer { who, .. } => prop_assert_eq!(who.as_str(), "1000"),
                Command::Take { who, .. } => prop_assert_eq!(who.as_str(), "1000"),
                Command::Decline { who, reason, .. } => {
                    prop_assert_eq!(who.as_str(), "1000");
                    prop_assert!(name::reason(&reason).is_ok());
                }
                Command::Why { who, .. } => prop_assert_eq!(who, Some(Extension::new("1000"))),
                Command::Help | Command::Language(_) => {}
            }
        }
    }
}
