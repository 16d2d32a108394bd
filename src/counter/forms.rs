//! The forms of ad-hoc commands: what is asked, and what was filled in.

use xmpp_parsers::{
    data_forms::{DataForm, DataFormType, Field, FieldType, Option_},
    minidom::Element,
};

use crate::{
    desk::payload::sendable,
    domain::{
        command::{
            Command, Person, Refusal, Role, Verb,
            answer::{Answer, Shape, hour},
            call_back, decline,
            dialog::is_for_ones_own_phone,
            label,
            labels::{Label, usual_reasons},
            logged_on, on_behalf, pause, resume, take, to_log_off, transfer, visible, waiting, why,
        },
        id::{CallId, Extension, QueueName},
        queue::roster::Register,
        words::{Language, clock},
    },
    xmpp::commands::table,
};

/// Extensions that are offered as a list; with more of them the number is typed.
const LISTED: usize = 200;
/// Options that mean "none" and "all". Not empty, though a value may be: profanity 0.13 ends when it reads such an option. Neither is a
/// reason of ours or the name of a queue.
const NO_REASON: &str = "-";
const EVERYWHERE: &str = "*";

/// Asks for whom.
pub(super) fn who(verb: Verb, person: &Person, books: &Register, language: Language) -> DataForm {
    let all: Vec<&Extension> = books.agents().map(|agent| &agent.extension).take(LISTED + 1).collect();
    let mut field = Field::new("extension", FieldType::TextSingle);
    if all.len() <= LISTED {
        field.type_ = FieldType::ListSingle;
        field.options = books
            .agents()
            .map(|agent| option(agent.extension.as_str(), &format!("{} {}", agent.extension, agent.name)))
            .collect();
    }
    field.values = person.extension.iter().map(ToString::to_string).collect();
    field.required = true;
    form(verb, language, vec![labelled(field, Label::Extension, language)])
}

/// Asks what the verb needs; `here` is the queue whose contact is asked. `None`: there is nothing to choose.
pub(super) fn what(
    verb: Verb,
    who: Option<&Extension>,
    here: Option<&QueueName>,
    books: &Register,
    language: Language,
) -> Option<DataForm> {
    let fields = match (verb, who) {
        (Verb::LogOn, Some(who)) => {
            let all = books.queues().map(|queue| queue.name.clone()).collect();
            let own = books.queues_of(who).map(|row| row.queue.clone());
            let chosen = here.map_or_else(|| own.collect(), |here| vec![here.clone()]);
            vec![queues(all, chosen, books, language)]
        }
        (Verb::LogOff, Some(who)) => {
            let on = logged_on(who, books);
            if on.is_empty() {
                return None;
            }
            vec![queues(on, to_log_off(who, here, books), books, language)]
        }
        (Verb::Pause, Some(who)) => {
            let mut usual = Field::new("reason", FieldType::ListSingle);
            usual.options = std::iter::once(option(NO_REASON, "-"))
                .chain(usual_reasons(language).map(|reason| option(reason, reason)))
                .collect();
            let other = Field::new("other", FieldType::TextSingle);
            vec![
                labelled(usual.with_value(NO_REASON), Label::Reason, language),
                labelled(other, Label::OtherReason, language),
                queue(who, here, books, language),
            ]
        }
        (Verb::Resume, Some(who)) => {
            // With one pause there is nothing to choose.
            let pauses = books.agent(who).map_or(0, |agent| agent.pauses.len());
            if pauses <= 1 {
                return None;
            }
            vec![queue(who, here, books, language)]
        }
        (Verb::Take, _) => {
            vec![labelled(Field::new("code", FieldType::TextSingle), Label::WhichCustomer, language)]
        }
        (Verb::Decline, _) => vec![
            labelled(Field::new("code", FieldType::TextSingle), Label::WhichCustomer, language),
            labelled(Field::new("reason", FieldType::TextSingle), Label::Reason, language),
        ],
        (Verb::CallBack, _) => {
            vec![labelled(Field::new("whom", FieldType::TextSingle), Label::WhoWasLost, language)]
        }
        (Verb::Transfer, _) => {
            let mut to = Field::new("to", FieldType::TextSingle);
            to.required = true;
            vec![labelled(to, Label::Target, language)]
        }
        (Verb::Why, _) => vec![labelled(Field::new("call", FieldType::TextSingle), Label::Call, language)],
        (Verb::LogOn | Verb::LogOff | Verb::Pause | Verb::Resume, None)
        | (Verb::Status | Verb::Waiting | Verb::Calls | Verb::Help | Verb::Language, _) => return None,
    };
    Some(form(verb, language, fields))
}

/// The extension that a form names, or the person's own.
pub(super) fn named(form: Option<&DataForm>, person: &Person, books: &Register) -> Result<Extension, Refusal> {
    on_behalf(one(form, "extension"), person, books)
}

/// The command that a filled-in form means; without a form, at the contact of the queue `here`.
pub(super) fn command(
    verb: Verb,
    who: Option<Extension>,
    form: Option<&DataForm>,
    person: &Person,
    here: Option<&QueueName>,
    books: &Register,
) -> Result<Command, Refusal> {
    let who = who.ok_or(Refusal::WhichExtension);
    if is_for_ones_own_phone(verb)
        && let Some(named) = one(form, "extension")
        && person.extension.as_ref().is_none_or(|own| own.as_str() != named)
    {
        return Err(Refusal::OwnPhone);
    }
    // A field that is there and empty means everywhere, and so does the choice of that name.
    let here = here.filter(|_| !has(form, "queue")).cloned();
    let named = || one(form, "queue").filter(|name| *name != EVERYWHERE);
    let queue = || Ok(named().map(|name| known(name, books)).transpose()?.or(here.clone()));
    match verb {
        Verb::LogOn => {
            let mut queues = several(form, "queues", books)?;
            if !has(form, "queues") {
                queues.extend(here);
            }
            if queues.is_empty() {
                Err(Refusal::WhichQueue(all(books)))
            } else {
                Ok(Command::LogOn { who: who?, queues })
            }
        }
        Verb::LogOff => {
            let who = who?;
            let queues = several(form, "queues", books)?;
            let on = logged_on(&who, books);
            if queues.is_empty() && !on.is_empty() {
                return Err(Refusal::WhichQueue(on.iter().map(|queue| label(queue, books)).collect()));
            }
            Ok(Command::LogOff { who, queues })
        }
        Verb::Pause => {
            let usual = || one(form, "reason").filter(|reason| *reason != NO_REASON);
            pause(who?, queue()?, one(form, "other").or_else(usual).unwrap_or_default(), books)
        }
        Verb::Resume => resume(who?, queue()?, books),
        Verb::Status => Ok(Command::Status { who: who? }),
        Verb::Calls => Ok(Command::Calls { who: who? }),
        Verb::Waiting => waiting(queue()?, person, books),
        Verb::Take => take(one(form, "code").unwrap_or_default(), person),
        Verb::Decline => {
            decline(one(form, "code").unwrap_or_default(), one(form, "reason").unwrap_or_default(), person)
        }
        Verb::CallBack => call_back(one(form, "whom").unwrap_or_default(), person, books),
        Verb::Transfer => transfer(one(form, "to").unwrap_or_default(), person, books),
        Verb::Why => {
            let id = |text: &str| text.parse().map(CallId).map_err(|_| Refusal::NoCall(text.to_owned()));
            why(one(form, "call").map(id).transpose()?, person)
        }
        Verb::Help => Ok(Command::Help),
        Verb::Language => Ok(Command::Language(None)),
    }
}

/// Answers that are tables, as tables.
pub(super) fn tables(answer: &Answer, language: Language) -> Vec<Element> {
    let say = |label: Label| label.say(language);
    match answer.shape() {
        Shape::Waiting(lines) => {
            let columns = [
                ("queue", say(Label::Queue)),
                ("place", say(Label::Place)),
                ("customer", say(Label::Customer)),
                ("code", say(Label::Code)),
                ("waited", say(Label::Waited)),
            ];
            let rows = lines.iter().flat_map(|line| {
                (1..).zip(&line.waiting).map(|(place, (code, name, waited)): (u32, _)| {
                    vec![sendable(&line.queue), place.to_string(), sendable(name), sendable(code), clock(*waited)]
                })
            });
            vec![table(say(Label::Title(Verb::Waiting)), &columns, rows.collect())]
        }
        Shape::Calls(calls) => {
            let columns = [
                ("time", say(Label::Time)),
                ("queue", say(Label::Queue)),
                ("customer", say(Label::Customer)),
                ("code", say(Label::Code)),
                ("talk", say(Label::Talk)),
                ("call", say(Label::CallId)),
            ];
            let rows = calls.iter().map(|call| {
                let talk = call.talk.map(clock).unwrap_or_default();
                vec![
                    hour(call.at),
                    sendable(&call.queue),
                    sendable(&call.name),
                    sendable(&call.code),
                    talk,
                    call.call.to_string(),
                ]
            });
            vec![table(say(Label::Title(Verb::Calls)), &columns, rows.collect())]
        }
        Shape::Several(answers) => answers.iter().flat_map(|answer| tables(answer, language)).collect(),
        Shape::Refused(_) | Shape::Trouble(_) | Shape::NoStory | Shape::NotNow | Shape::Text => vec![],
    }
}

/// Commands that a person is shown.
pub(super) fn offered(person: &Person, books: &Register) -> Vec<Verb> {
    let may = |verb: &Verb| match verb {
        Verb::Help | Verb::Language => false,
        Verb::Why => person.extension.is_some() || person.role == Role::Supervisor,
        Verb::Take | Verb::Decline | Verb::CallBack | Verb::Transfer => {
            person.extension.as_ref().is_some_and(|own| books.queues_of(own).next().is_some())
        }
        Verb::Waiting => person.role == Role::Supervisor || !visible(person, books).is_empty(),
        Verb::LogOn | Verb::LogOff | Verb::Pause | Verb::Resume | Verb::Status | Verb::Calls => true,
    };
    Verb::ALL.into_iter().filter(may).collect()
}

fn form(verb: Verb, language: Language, fields: Vec<Field>) -> DataForm {
    DataForm {
        type_: DataFormType::Form,
        title: Some(Label::Title(verb).say(language).into()),
        instructions: None,
        fields,
    }
}

fn labelled(field: Field, label: Label, language: Language) -> Field {
    Field { label: Some(label.say(language).into()), ..field }
}

fn option(value: &str, label: &str) -> Option_ {
    Option_ { label: Some(sendable(label)), value: value.into() }
}

fn queues(all: Vec<QueueName>, chosen: Vec<QueueName>, books: &Register, language: Language) -> Field {
    let mut field = Field::new("queues", FieldType::ListMulti);
    field.options = all.iter().map(|queue| option(queue.as_str(), &label(queue, books))).collect();
    let only = if all.len() == 1 { all } else { vec![] };
    let chosen = if chosen.is_empty() { only } else { chosen };
    field.values = chosen.iter().map(ToString::to_string).collect();
    field.required = true;
    labelled(field, Label::Queues, language)
}

fn queue(who: &Extension, here: Option<&QueueName>, books: &Register, language: Language) -> Field {
    let chosen = here.filter(|here| books.queues_of(who).any(|row| row.queue == **here));
    let mut field = Field::new("queue", FieldType::ListSingle).with_value(chosen.map_or(EVERYWHERE, QueueName::as_str));
    let own = books.queues_of(who).map(|row| option(row.queue.as_str(), &label(&row.queue, books)));
    field.options = std::iter::once(option(EVERYWHERE, Label::Everywhere.say(language))).chain(own).collect();
    labelled(field, Label::Queue, language)
}

/// The value of a field; `None`: it is empty or not there.
fn one<'a>(form: Option<&'a DataForm>, var: &str) -> Option<&'a str> {
    let field = form?.fields.iter().find(|field| field.var.as_deref() == Some(var))?;
    field.values.first().map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn has(form: Option<&DataForm>, var: &str) -> bool {
    form.is_some_and(|form| form.fields.iter().any(|field| field.var.as_deref() == Some(var)))
}

fn several(form: Option<&DataForm>, var: &str, books: &Register) -> Result<Vec<QueueName>, Refusal> {
    let mut found = Vec::new();
    let fields = form.into_iter().flat_map(|form| &form.fields).filter(|field| field.var.as_deref() == Some(var));
    for value in fields.flat_map(|field| &field.values).map(|value| value.trim()).filter(|value| !value.is_empty()) {
        let name = known(value, books)?;
        if !found.contains(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

fn known(name: &str, books: &Register) -> Result<QueueName, Refusal> {
    let found = books.queues().find(|queue| queue.name.as_str() == name).map(|queue| queue.name.clone());
    found.ok_or_else(|| Refusal::NoSuchQueue { named: name.to_owned(), known: all(books) })
}

fn all(books: &Register) -> Vec<String> {
    crate::domain::command::labels(books)
}
