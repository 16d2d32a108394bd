//! Ad-hoc commands (XEP-0050): the list of them, their dialogues, and the errors that clients understand.

use std::time::Instant;

use uuid::Uuid;
use xmpp_parsers::{
    data_forms::DataForm,
    disco::{DiscoInfoResult, DiscoItemsResult, Identity, Item},
    iq::IqPayload,
    jid::{BareJid, Jid},
    minidom::Element,
    ns,
    stanza_error::{DefinedCondition, ErrorType, StanzaError},
};

use crate::{
    counter::{Counter, Errand, Finished, STALE, forms, here},
    desk::payload::sendable,
    domain::{
        command::{
            Command, Person, Refusal, Role, Verb,
            answer::{Answer, Shape, Trouble},
            dialog::{Action, Dialogue, NoDialogue, Step, Turn, WhoWasAsked, asks_more, is_for_somebody, turn},
            labels::Label,
            vocabulary::tagged,
        },
        id::{Extension, QueueName},
        words::Language,
    },
    xmpp::{
        commands::{self as wire, Actions, Fault, Request, Status, Tone, answer, note, request},
        disco::{COMMAND_PREFIX, COMMANDS, unavailable},
        incoming::{Incoming, What},
    },
};

/// What a request comes to.
enum Reply {
    /// This is the answer.
    Now(IqPayload),
    /// This is to be done first.
    Do { command: Command, node: String, session: String, language: Language },
}

/// Who asks, from which client, and at the contact of which queue.
#[derive(Clone, Copy)]
struct Asking<'a> {
    who: &'a Person,
    client: &'a Jid,
    here: Option<&'a QueueName>,
}

/// The node of a command, by which clients ask for it.
fn node(verb: Verb) -> String {
    let word = match verb {
        Verb::LogOn => "log-on",
        Verb::LogOff => "log-off",
        Verb::Pause => "pause",
        Verb::Resume => "resume",
        Verb::Status => "status",
        Verb::Waiting => "waiting",
        Verb::Take => "take",
        Verb::Decline => "decline",
        Verb::CallBack => "callback",
        Verb::Transfer => "transfer",
        Verb::Calls => "calls",
        Verb::Why => "why",
        Verb::Help => "help",
        Verb::Language => "language",
    };
    format!("{COMMAND_PREFIX}{word}")
}

impl Counter {
    /// What is to be done with a request of somebody who may ask.
    pub(super) fn request(&mut self, person: BareJid, who: Person, incoming: Incoming) -> Errand {
        let late = incoming.at.elapsed() > STALE;
        let reply =
            self.reply(&person, &who, &incoming, late).unwrap_or_else(|error| Reply::Now(IqPayload::Error(*error)));
        let desks = self.desks.clone();
        Box::pin(async move {
            let payload = match reply {
                Reply::Now(payload) => payload,
                Reply::Do { command, node, session, language } => {
                    done(&desks.carry_out(command, &who).await, &node, &session, language)
                }
            };
            incoming.answer(payload).await;
            Finished { person, did: vec![] }
        })
    }

    fn reply(
        &mut self,
        person: &BareJid,
        who: &Person,
        incoming: &Incoming,
        late: bool,
    ) -> Result<Reply, Box<StanzaError>> {
        let What::Request { element, to, .. } = &incoming.what else { return Err(unavailable().into()) };
        let house = self.door.language(person).unwrap_or(self.language);
        if element.is("command", COMMANDS) {
            let request = request(element.clone()).map_err(|fault| fault.error("this is no request for a command"))?;
            let language = tagged(&request.lang).unwrap_or(house);
            if late {
                return Err(trouble(Trouble::TooLate, language).into());
            }
            let here = here(incoming, &self.roster.borrow());
            let asking = Asking { who, client: &incoming.from, here: here.as_ref() };
            return self.command(asking, request, language);
        }
        let books = self.roster.borrow();
        let offered = forms::offered(who, &books);
        let asked = element.attr("node").unwrap_or_default();
        let found = offered.iter().copied().find(|verb| node(*verb) == asked);
        let own = to.clone().ok_or_else(unavailable)?;
        let item = |node: String, name: &str| Item { jid: own.clone(), node: Some(node), name: Some(name.to_owned()) };
        let payload: Element = match (element.is("query", ns::DISCO_ITEMS), asked, found) {
            (true, "", _) => items(None, vec![item(COMMANDS.into(), Label::Commands.say(house))]),
            (true, COMMANDS, _) => {
                let all = offered.iter().map(|verb| item(node(*verb), Label::Title(*verb).say(house))).collect();
                items(Some(COMMANDS.into()), all)
            }
            (true, _, Some(verb)) => items(Some(node(verb)), vec![]),
            (false, COMMANDS, _) => info(COMMANDS, "command-list", Label::Commands.say(house)),
            (false, _, Some(verb)) => info(&node(verb), "command-node", Label::Title(verb).say(house)),
            (_, _, None) => return Err(not_found("there is no such node").into()),
        };
        Ok(Reply::Now(IqPayload::Result(Some(payload))))
    }

    /// A step of a dialogue.
    fn command(&mut self, asking: Asking<'_>, request: Request, language: Language) -> Result<Reply, Box<StanzaError>> {
        let Asking { who, client, here } = asking;
        let books = self.roster.borrow();
        let offered = forms::offered(who, &books);
        let Some(verb) = offered.into_iter().find(|verb| node(*verb) == request.node) else {
            return Err(not_found("there is no such command for you").into());
        };
        let now = Instant::now();
        let (session, dialogue) = match &request.session {
            Some(session) => match self.dialogues.take(session, client, now) {
                Ok(dialogue) if dialogue.verb == verb => (session.clone(), dialogue),
                Ok(_) | Err(NoDialogue::Unknown) => {
                    return Err(Fault::BadSession.error("there is no such dialogue: begin again").into());
                }
                Err(NoDialogue::Expired) => {
                    return Err(Fault::SessionExpired.error("that took too long: begin again").into());
                }
            },
            None if request.action == Action::Execute => {
                let session = Uuid::new_v4().to_string();
                let step = match (first_step(verb, who), &request.form) {
                    // A program that knows the form fills it in at once.
                    (_, Some(form)) => filled_at_once(verb, form, who, &books),
                    (step, None) => {
                        let shown = self.show(verb, &step, asking, &session, language, &books);
                        drop(books);
                        return self.keep_or_do(verb, step, shown, asking, session, language);
                    }
                };
                (session, Dialogue { verb, step: step.map_err(|refusal| refused(&refusal, language))? })
            }
            None => return Err(Fault::BadAction.error("there is no dialogue: begin with execute").into()),
        };
        let (step, form) = match turn(verb, &dialogue.step, request.action) {
            Turn::Cancelled => {
                let cancelled = answer(&request.node, &session, Status::Cancelled, vec![]);
                return Ok(Reply::Now(IqPayload::Result(Some(cancelled))));
            }
            Turn::BadAction => {
                // The dialogue goes on where it was.
                self.dialogues.keep(&session, client, dialogue, now);
                return Err(Fault::BadAction.error("that is not possible here").into());
            }
            Turn::Back => (Step::Who, None),
            Turn::TakeIn => match &dialogue.step {
                Step::Who => match forms::named(request.form.as_ref(), who, &books) {
                    Ok(extension) => (Step::What { who: Some(extension), asked: WhoWasAsked::Yes }, None),
                    Err(refusal) => {
                        self.dialogues.keep(&session, client, dialogue, now);
                        return Err(refused(&refusal, language).into());
                    }
                },
                Step::What { .. } => (dialogue.step.clone(), request.form),
            },
        };
        let is_to_be_done = matches!((&dialogue.step, &step), (Step::What { .. }, Step::What { .. }));
        if !is_to_be_done {
            let shown = self.show(verb, &step, asking, &session, language, &books);
            drop(books);
            return self.keep_or_do(verb, step, shown, asking, session, language);
        }
        let extension = match &step {
            Step::What { who, .. } => who.clone(),
            Step::Who => None,
        };
        match forms::command(verb, extension, form.as_ref(), who, here, &books) {
            Ok(command) => Ok(Reply::Do { command, node: request.node, session, language }),
            Err(refusal) => {
                // What was filled in can be corrected.
                self.dialogues.keep(&session, client, dialogue, now);
                Err(refused(&refusal, language).into())
            }
        }
    }

    /// The form of a step; `None`: there is nothing to ask any more.
    fn show(
        &self,
        verb: Verb,
        step: &Step,
        asking: Asking<'_>,
        session: &str,
        language: Language,
        books: &crate::domain::queue::roster::Register,
    ) -> Option<Element> {
        let (form, actions): (DataForm, Actions) = match step {
            Step::Who => {
                let actions = if asks_more(verb) { Actions::more() } else { Actions::last() };
                (forms::who(verb, asking.who, books, language), actions)
            }
            Step::What { who, asked } => {
                let actions = match asked {
                    WhoWasAsked::Yes => Actions::last_of_several(),
                    WhoWasAsked::No => Actions::last(),
                };
                (forms::what(verb, who.as_ref(), asking.here, books, language)?, actions)
            }
        };
        Some(answer(&node(verb), session, Status::Executing, vec![actions.into(), wire::form(form)]))
    }

    /// Shows a form and waits for what is filled in, or does what needs none.
    fn keep_or_do(
        &mut self,
        verb: Verb,
        step: Step,
        shown: Option<Element>,
        Asking { who: person, client, here }: Asking<'_>,
        session: String,
        language: Language,
    ) -> Result<Reply, Box<StanzaError>> {
        if let Some(shown) = shown {
            self.dialogues.keep(&session, client, Dialogue { verb, step }, Instant::now());
            return Ok(Reply::Now(IqPayload::Result(Some(shown))));
        }
        let extension = match step {
            Step::What { who, .. } => who,
            Step::Who => None,
        };
        let command = forms::command(verb, extension, None, person, here, &self.roster.borrow());
        let command = command.map_err(|refusal| refused(&refusal, language))?;
        Ok(Reply::Do { command, node: node(verb), session, language })
    }
}

/// What a dialogue begins with.
fn first_step(verb: Verb, person: &Person) -> Step {
    match person.role {
        Role::Supervisor if is_for_somebody(verb) => Step::Who,
        Role::Supervisor | Role::Agent => {
            let who = person.extension.clone().filter(|_| is_for_somebody(verb));
            Step::What { who, asked: WhoWasAsked::No }
        }
    }
}

/// The step at which a form is taken that came with the first request.
fn filled_at_once(
    verb: Verb,
    form: &DataForm,
    person: &Person,
    books: &crate::domain::queue::roster::Register,
) -> Result<Step, Refusal> {
    let who: Option<Extension> =
        if is_for_somebody(verb) { Some(forms::named(Some(form), person, books)?) } else { None };
    Ok(Step::What { who, asked: WhoWasAsked::No })
}

/// What a client is told when it is done, or was not.
fn done(said: &Answer, node: &str, session: &str, language: Language) -> IqPayload {
    match said.shape() {
        Shape::Refused(refusal) => return IqPayload::Error(refused(refusal, language)),
        Shape::Trouble(why) => return IqPayload::Error(trouble(why, language)),
        Shape::NotNow => {
            let text = sendable(&said.say(language));
            let error = StanzaError::new(ErrorType::Cancel, DefinedCondition::NotAllowed, language.tag(), text);
            return IqPayload::Error(error);
        }
        Shape::NoStory => return IqPayload::Error(not_found(&said.say(language))),
        Shape::Waiting(_) | Shape::Calls(_) | Shape::Several(_) | Shape::Text => {}
    }
    let tone = if said.is_failure() { Tone::Warn } else { Tone::Info };
    let mut payloads = vec![note(tone, &sendable(&said.say(language)))];
    payloads.extend(forms::tables(said, language));
    IqPayload::Result(Some(answer(node, session, Status::Completed, payloads)))
}

fn refused(refusal: &Refusal, language: Language) -> StanzaError {
    let text = sendable(&Answer::Refused(refusal.clone()).say(language));
    let plain = |kind, condition| StanzaError::new(kind, condition, language.tag(), text.clone());
    match refusal {
        Refusal::NotYours(_) | Refusal::OwnPhone => plain(ErrorType::Auth, DefinedCondition::Forbidden),
        Refusal::NoSuchExtension(_) | Refusal::NoSuchQueue { .. } => {
            plain(ErrorType::Modify, DefinedCondition::ItemNotFound)
        }
        Refusal::NotAMember { .. } | Refusal::NoPhone => plain(ErrorType::Cancel, DefinedCondition::NotAllowed),
        Refusal::WhichExtension
        | Refusal::WhichQueue(_)
        | Refusal::BadReason
        | Refusal::Leftover(_)
        | Refusal::NoTarget(_)
        | Refusal::NoCall(_)
        | Refusal::NoLanguage(_) => Fault::BadPayload.error(&text),
    }
}

fn trouble(trouble: Trouble, language: Language) -> StanzaError {
    let (kind, condition) = match trouble {
        Trouble::Gone => (ErrorType::Cancel, DefinedCondition::ItemNotFound),
        Trouble::TooFast => (ErrorType::Wait, DefinedCondition::PolicyViolation),
        Trouble::DatabaseAway(_) | Trouble::FloorAway | Trouble::TooLate => {
            (ErrorType::Wait, DefinedCondition::ResourceConstraint)
        }
        Trouble::Unknown(_) => (ErrorType::Wait, DefinedCondition::RemoteServerTimeout),
    };
    StanzaError::new(kind, condition, language.tag(), Answer::Trouble(trouble).say(language))
}

fn not_found(text: &str) -> StanzaError {
    StanzaError::new(ErrorType::Cancel, DefinedCondition::ItemNotFound, "en", text)
}

fn items(node: Option<String>, items: Vec<Item>) -> Element {
    DiscoItemsResult { node, items, rsm: None }.into()
}

fn info(node: &str, kind: &str, name: &str) -> Element {
    DiscoInfoResult {
        node: Some(node.into()),
        identities: vec![Identity {
            category: "automation".into(),
            type_: kind.into(),
            lang: None,
            name: Some(name.into()),
        }],
        features: [COMMANDS, ns::DATA_FORMS, ns::DISCO_INFO, ns::DISCO_ITEMS].map(str::to_owned).into(),
        extensions: vec![],
    }
    .into()
}
