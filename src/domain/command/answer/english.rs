//! Answers in English.

use crate::domain::{
    command::{
        Refusal, Verb,
        answer::{
            Answer, CallLine, PauseLine, QueueLine, Status, Story, StoryStep, Trouble, all_verbs, because, clock,
            customer, hour, verdict,
        },
    },
    queue::{roster::PauseKind, view::WorkView},
    words::Language,
};

const HELP: &str = "\
login [queue]: take calls, of all your queues if you name none
logout [queue]: take no more
pause [reason] [queue]: none for now, for example \"pause lunch\"
resume [queue]: again
status: how you stand
waiting [queue]: who waits
calls: your calls of today
why [call]: who could have had your last call, and what decided
language en, es or pt: the language of the answers
A supervisor puts an extension after the word: pause 1000 lunch";

pub(super) fn say(answer: &Answer) -> String {
    match answer {
        Answer::ShortHelp => {
            format!("I know these words: {}. \"help\" says more.", all_verbs(Language::English))
        }
        Answer::Help => HELP.into(),
        Answer::Languages => {
            "I speak English (en), Spanish (es) and Portuguese (pt): for example, \"language es\".".into()
        }
        Answer::LanguageIs => "I answer in English from now on.".into(),
        Answer::LoggedOn { extension, queues } => {
            format!("Extension {extension} is logged on to {}.", queues.join(", "))
        }
        Answer::LoggedOff { extension, queues } if queues.is_empty() => {
            format!("Extension {extension} was not logged on to any queue.")
        }
        Answer::LoggedOff { extension, queues } => {
            format!("Extension {extension} is logged off from {}.", queues.join(", "))
        }
        Answer::Paused { extension, queue, reason } => {
            format!("Extension {extension} is paused {}{}.", place(queue.as_deref()), because(reason))
        }
        Answer::Resumed { extension, queue, ended, left } => {
            let done = if *ended == 0 { "had no pause to end" } else { "is resumed" };
            let place = queue.as_ref().map_or(String::new(), |queue| format!(" in {queue}"));
            let mut text = format!("Extension {extension} {done}{place}.");
            for pause in left {
                text += &format!("\nIt stays {}.", paused(pause));
            }
            text
        }
        Answer::Status(status) => self::status(status),
        Answer::Waiting(lines) if lines.is_empty() => "You are a member of no queue.".into(),
        Answer::Waiting(lines) => lines.iter().map(line).collect::<Vec<_>>().join("\n"),
        Answer::Calls { extension, calls, .. } if calls.is_empty() => {
            format!("Extension {extension} has answered no call today.")
        }
        Answer::Calls { extension, calls, more } => {
            let mut text = format!("Calls of extension {extension} today: {}.", calls.len() + more);
            if *more > 0 {
                text += &format!(" The last {}:", calls.len());
            }
            calls.iter().for_each(|call| text += &format!("\n{}", self::call(call)));
            text
        }
        Answer::Story(story) => self::story(story),
        Answer::NoStory => "There is no such call of yours.".into(),
        Answer::Refused(refusal) => refused(refusal),
        Answer::Trouble(trouble) => self::trouble(*trouble),
        Answer::AlreadyDone => {
            "What you correct was done already and is not undone by it. Send what you want now as a new message.".into()
        }
        Answer::Several(_) => String::new(),
    }
}

fn place(queue: Option<&str>) -> String {
    queue.map_or_else(|| "everywhere".into(), |queue| format!("in {queue}"))
}

fn paused(PauseLine { kind, queue, reason, since }: &PauseLine) -> String {
    let kind = match kind {
        PauseKind::Manual => "",
        PauseKind::Auto => " after unanswered calls",
        PauseKind::Presence => " by presence",
    };
    format!("paused{kind} {} for {}{}", place(queue.as_deref()), clock(*since), because(reason))
}

fn status(Status { extension, on, off, pauses, work }: &Status) -> String {
    let mut text = match on.as_slice() {
        [] => format!("Extension {extension} is logged on to no queue"),
        [..] => format!("Extension {extension} is logged on to {}", on.join(", ")),
    };
    if !off.is_empty() {
        text += &format!(", and logged off from {}", off.join(", "));
    }
    text.push('.');
    pauses.iter().for_each(|pause| text += &format!("\nIt is {}.", paused(pause)));
    let Some(work) = work else { return text + "\nWhat it does now cannot be said: the floor does not answer." };
    let of = |code: &str, name: &str| format!("{} of {}", customer(code, name), work.queue);
    text += &match &work.view {
        WorkView::Free => "\nThe phone is free.".into(),
        WorkView::Offered(call) => format!("\nThe phone rings: {}.", of(&call.code, &call.name)),
        WorkView::Talking(call) => format!("\nIn a call with {}.", of(&call.code, &call.name)),
        WorkView::WrapUp(left) => format!("\nIn wrap-up for {} more.", clock(*left)),
        WorkView::PhoneInUse => "\nThe phone is in use.".into(),
        WorkView::PhoneUnavailable => "\nThe phone cannot be reached.".into(),
    };
    text
}

fn line(QueueLine { queue, waiting, more, members, ready }: &QueueLine) -> String {
    let mut text = format!("{queue}: {} waiting, {ready} of {members} members ready", waiting.len() + more);
    for (place, (code, name, waited)) in (1..).zip(waiting) {
        text += &format!("\n{place}. {}, {}", customer(code, name), clock(*waited));
    }
    if *more > 0 {
        text += &format!("\nand {more} more");
    }
    text
}

fn call(CallLine { at, queue, code, name, talk, .. }: &CallLine) -> String {
    let talk = talk.map_or_else(|| "not over".into(), |talk| format!("talk {}", clock(talk)));
    format!("{} {queue}: {}, {talk}", hour(*at), customer(code, name))
}

fn story(Story { call, at, queue, code, name, steps, outcome }: &Story) -> String {
    let mut text = format!("{} {queue}: {}, call {call}", hour(*at), customer(code, name));
    for step in steps {
        text.push('\n');
        text += &match step {
            StoryStep::Offered { offer, to, rule, yours } => {
                let rule = if rule.is_empty() { String::new() } else { format!(" ({rule})") };
                let yours = yours.as_ref().map(|yours| format!(". You: {}", kept(yours))).unwrap_or_default();
                format!("offer {offer} to {to}{rule}{yours}")
            }
            StoryStep::Missed { offer, by, why } => format!("offer {offer} to {by} ended: {}", why.replace('_', " ")),
            StoryStep::Answered { by } => format!("{by} answered"),
        };
    }
    text + "\n" + &outcome.map_or_else(|| "not over".into(), |outcome| outcome.as_str().replace('_', " "))
}

/// What kept a member from a call.
fn kept(text: &str) -> String {
    match verdict(text) {
        ("paused", reason) => format!("paused{}", because(reason)),
        ("busy", _) => "busy with another call".into(),
        ("clearing", _) => "the phone had not ended the last call yet".into(),
        (other, _) => other.replace('_', " "),
    }
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotYours(extension) => {
            format!("Not done: extension {extension} is not yours, and only a supervisor may do that.")
        }
        Refusal::WhichExtension => "For which extension? Put it after the word: status 1000".into(),
        Refusal::NoSuchExtension(named) => format!("Not done: there is no extension {named}."),
        Refusal::WhichQueue(known) if known.is_empty() => "Not done: there is no queue.".into(),
        Refusal::WhichQueue(known) => format!("Which queue? {}", known.join(", ")),
        Refusal::NoSuchQueue { named, known } => {
            format!("Not done: there is no queue \"{named}\". There are: {}.", known.join(", "))
        }
        Refusal::NotAMember { extension, queue } => {
            format!("Not done: extension {extension} is not a member of {queue}.")
        }
        Refusal::BadReason => "Not done: the reason has to be one line of at most 200 characters.".into(),
        Refusal::Leftover(rest) => format!("Not done: \"{rest}\" means nothing here. \"help\" says what can be said."),
        Refusal::NoCall(named) => format!("\"{named}\" is not the id of a call."),
        Refusal::NoLanguage(named) => format!("I do not speak \"{named}\": en, es or pt."),
    }
}

fn trouble(trouble: Trouble) -> String {
    match trouble {
        Trouble::DatabaseAway(verb) => format!("The database is away: {}. Try again in a moment.", not_done(verb)),
        Trouble::Unknown(verb) => {
            format!(
                "The database did not answer in time: it is not known whether it was done (\"{}\"). Ask for your status.",
                verb.word(Language::English)
            )
        }
        Trouble::Gone => "Not done: that extension or queue is not there any more.".into(),
        Trouble::FloorAway => "The floor does not answer. Try again in a moment.".into(),
        Trouble::TooLate => {
            "Your message came too late to be carried out, and was not. Send it again if you still want it.".into()
        }
        Trouble::TooFast => {
            "Too many messages in too short a time: the last ones were not carried out. Wait a few seconds.".into()
        }
    }
}

fn not_done(verb: Verb) -> &'static str {
    match verb {
        Verb::LogOn => "your log-on was not done",
        Verb::LogOff => "your log-off was not done",
        Verb::Pause => "your pause was not set",
        Verb::Resume => "your pause was not ended",
        Verb::Status | Verb::Waiting | Verb::Calls | Verb::Why | Verb::Help | Verb::Language => {
            "it cannot be looked up"
        }
    }
}
