//! What an agent or a supervisor asks for by chat or by ad-hoc command: who may ask what, and what a text means.
//!
//! In `vocabulary`: the words. In `answer`: what they read back, in three languages. In `door`: who is heard at all, and how often. In `dialog` and `labels`:
//! the steps of ad-hoc commands, and what stands on their forms.
//!
//! The next command is a variant of [`Verb`] and one of [`Command`]; each `match` on them says where it has to be thought of.

pub mod answer;
pub mod dialog;
pub mod door;
pub mod in_room;
pub mod labels;
pub mod vocabulary;

pub use self::vocabulary::{Spoken, Verb, spoken};
use self::vocabulary::{fold, language};
use crate::domain::{
    id::{CallId, CustomerCode, Extension, QueueName},
    name,
    queue::{
        claim::Which,
        roster::{Queue, Register},
        transfer::{TransferTarget, is_number},
    },
    words::Language,
};

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their own extension; a supervisor may have none.
    pub extension: Option<Extension>,
    /// What they may.
    pub role: Role,
}

/// What somebody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ask for themselves, and of the queues that they are a member of.
    Agent,
    /// Ask for every extension, and of every queue.
    Supervisor,
}

/// What is to be done, for whom. Everybody named in it is there, and the person may ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Log an extension on to these queues.
    LogOn {
        /// Who.
        who: Extension,
        /// Where: one or more.
        queues: Vec<QueueName>,
    },
    /// Log an extension off from these queues.
    LogOff {
        /// Who.
        who: Extension,
        /// Where; none: they are logged on nowhere.
        queues: Vec<QueueName>,
    },
    /// Offer them nothing.
    Pause {
        /// Who.
        who: Extension,
        /// Where; `None`: everywhere.
        queue: Option<QueueName>,
        /// Why; may be empty.
        reason: String,
    },
    /// End their pauses, as `usher member resume` does.
    Resume {
        /// Who.
        who: Extension,
        /// Where; `None`: all of them.
        queue: Option<QueueName>,
    },
    /// Say how they stand.
    Status {
        /// Who.
        who: Extension,
    },
    /// Say who waits.
    Waiting {
        /// Where.
        queues: Vec<QueueName>,
    },
    /// Give them a caller who waits.
    Take {
        /// To whom.
        who: Extension,
        /// Whom.
        which: Which,
    },
    /// Leave a call that is offered to them to others.
    Decline {
        /// Who.
        who: Extension,
        /// Whose call.
        which: Which,
        /// Why; may be empty.
        reason: String,
    },
    /// Call back somebody who has called in vain.
    CallBack {
        /// For whom.
        who: Extension,
        /// Code of the customer, or their number; `None`: the last one.
        whom: Option<String>,
        /// Who called one of these.
        queues: Vec<QueueName>,
    },
    /// Send on the caller with whom they talk.
    Transfer {
        /// Who.
        who: Extension,
        /// Where.
        to: TransferTarget,
    },
    /// List their calls of today.
    Calls {
        /// Who.
        who: Extension,
    },
    /// Say who could have had a call, and what decided.
    Why {
        /// Which; `None`: the last one that `who` was offered.
        call: Option<CallId>,
        /// Who asks: they see calls alone that were offered to them. `None`: sees all.
        who: Option<Extension>,
    },
    /// Say what can be asked for.
    Help,
    /// Answer in this language from now on; `None`: say which there are.
    Language(Option<Language>),
}

impl Command {
    /// What is asked for.
    pub fn verb(&self) -> Verb {
        match self {
            Self::LogOn { .. } => Verb::LogOn,
            Self::LogOff { .. } => Verb::LogOff,
            Self::Pause { .. } => Verb::Pause,
            Self::Resume { .. } => Verb::Resume,
            Self::Status { .. } => Verb::Status,
            Self::Waiting { .. } => Verb::Waiting,
            Self::Take { .. } => Verb::Take,
            Self::Decline { .. } => Verb::Decline,
            Self::CallBack { .. } => Verb::CallBack,
            Self::Transfer { .. } => Verb::Transfer,
            Self::Calls { .. } => Verb::Calls,
            Self::Why { .. } => Verb::Why,
            Self::Help => Verb::Help,
            Self::Language(_) => Verb::Language,
        }
    }
}

/// Why nothing is done. Nobody is told more of others than that they are not theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An agent asks for another one.
    NotYours(Extension),
    /// A supervisor without an extension does not say whose.
    WhichExtension,
    /// There is none.
    NoSuchExtension(String),
    /// There are several, and none is named: these, as people read them.
    WhichQueue(Vec<String>),
    /// There is none of that name, but these.
    NoSuchQueue {
        /// What was said.
        named: String,
        /// What there is.
        known: Vec<String>,
    },
    /// They do not serve it.
    NotAMember {
        /// Who.
        extension: Extension,
        /// The queue as people read it.
        queue: String,
    },
    /// They have no phone of their own.
    NoPhone,
    /// It is for one's own phone, and they name another extension.
    OwnPhone,
    /// A reason has something that it may not have.
    BadReason,
    /// Not understood: what follows the word.
    Leftover(String),
    /// No extension, no queue and no number.
    NoTarget(String),
    /// No call's id.
    NoCall(String),
    /// Not spoken here.
    NoLanguage(String),
}

/// Takes what was said for a command of this person.
///
/// # Errors
/// Why it is none that they may give. Nothing with consequences is guessed: what is not understood is refused.
pub fn understand(said: Spoken<'_>, person: &Person, books: &Register) -> Result<Command, Refusal> {
    understand_at(said, person, None, books)
}

/// The same, said to the contact of a queue: that queue is meant where a command takes one and names none.
///
/// # Errors
/// As [`understand`].
pub fn understand_at(
    said: Spoken<'_>,
    person: &Person,
    here: Option<&QueueName>,
    books: &Register,
) -> Result<Command, Refusal> {
    let rest = said.rest;
    match said.verb {
        Verb::LogOn => {
            let (who, rest) = whose(rest, person, books)?;
            let queues = match here {
                _ if !rest.is_empty() => queues(rest, books)?,
                Some(here) => vec![here.clone()],
                None => to_log_on(&who, books)?,
            };
            Ok(Command::LogOn { who, queues })
        }
        Verb::LogOff => {
            let (who, rest) = whose(rest, person, books)?;
            let queues = if rest.is_empty() { to_log_off(&who, here, books) } else { queues(rest, books)? };
            Ok(Command::LogOff { who, queues })
        }
        Verb::Pause => {
            let (who, rest) = whose(rest, person, books)?;
            let (reason, queue) = reason_and_queue(rest, books);
            pause(who, queue.or(here.cloned()), reason, books)
        }
        Verb::Resume => {
            let (who, rest) = whose(rest, person, books)?;
            let queue = one_queue(rest, books)?;
            resume(who, queue.or(here.cloned()), books)
        }
        Verb::Status => nothing_more(whose(rest, person, books)?).map(|who| Command::Status { who }),
        Verb::Calls => nothing_more(whose(rest, person, books)?).map(|who| Command::Calls { who }),
        Verb::Take => take(rest, person),
        Verb::Decline => {
            let (code, reason) = code_and_rest(rest);
            decline(code, reason, person)
        }
        Verb::CallBack => call_back(rest, person, books),
        Verb::Transfer => transfer(rest, person, books),
        Verb::Waiting => waiting(one_queue(rest, books)?.or(here.cloned()), person, books),
        Verb::Why => {
            let call = match rest.trim_end_matches(['?', '!', '.']) {
                "" => None,
                id => Some(CallId(id.parse().map_err(|_| Refusal::NoCall(id.to_owned()))?)),
            };
            why(call, person)
        }
        Verb::Help => Ok(Command::Help),
        Verb::Language if rest.is_empty() => Ok(Command::Language(None)),
        Verb::Language => match language(rest) {
            Some(language) => Ok(Command::Language(Some(language))),
            None => Err(Refusal::NoLanguage(rest.to_owned())),
        },
    }
}

/// A pause of somebody who serves that queue, for a reason that can be kept.
///
/// # Errors
/// [`Refusal::NotAMember`], [`Refusal::BadReason`].
pub fn pause(who: Extension, queue: Option<QueueName>, reason: &str, books: &Register) -> Result<Command, Refusal> {
    is_member(&who, queue.as_ref(), books)?;
    let reason = name::reason(reason.trim()).map_err(|_| Refusal::BadReason)?;
    Ok(Command::Pause { who, queue, reason })
}

/// The end of pauses of somebody who serves that queue.
///
/// # Errors
/// [`Refusal::NotAMember`].
pub fn resume(who: Extension, queue: Option<QueueName>, books: &Register) -> Result<Command, Refusal> {
    is_member(&who, queue.as_ref(), books)?;
    Ok(Command::Resume { who, queue })
}

/// A caller for this person's own phone: of this customer, or whoever is the first in line.
///
/// # Errors
/// [`Refusal::NoPhone`], [`Refusal::Leftover`] of what is no code.
pub fn take(code: &str, person: &Person) -> Result<Command, Refusal> {
    let who = person.extension.clone().ok_or(Refusal::NoPhone)?;
    Ok(Command::Take { who, which: which(code)? })
}

/// A call that is offered to this person is left to others.
///
/// # Errors
/// [`Refusal::NoPhone`], [`Refusal::BadReason`], [`Refusal::Leftover`] of what is no code.
pub fn decline(code: &str, reason: &str, person: &Person) -> Result<Command, Refusal> {
    let who = person.extension.clone().ok_or(Refusal::NoPhone)?;
    let reason = name::reason(reason.trim()).map_err(|_| Refusal::BadReason)?;
    Ok(Command::Decline { who, which: which(code)?, reason })
}

/// Somebody who has called one of this person's queues in vain is called back: of this code or number, or the last one.
///
/// # Errors
/// [`Refusal::NoPhone`], [`Refusal::Leftover`] of what is neither code nor number.
pub fn call_back(whom: &str, person: &Person, books: &Register) -> Result<Command, Refusal> {
    let who = person.extension.clone().ok_or(Refusal::NoPhone)?;
    let whom = match whom.trim() {
        "" => None,
        code if CustomerCode::parse(code).is_ok() => Some(code.to_owned()),
        number => match as_number(number) {
            number if is_number(&number) => Some(number),
            _ => return Err(Refusal::Leftover(number.to_owned())),
        },
    };
    let queues = logged_on(&who, books);
    Ok(Command::CallBack { who, whom, queues })
}

/// A number as it is dialled, of one as people write it.
fn as_number(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !"-./()".contains(*c)).collect()
}

/// The caller with whom this person talks is sent on: to an extension, to a queue by its name or number, or to a number outside.
///
/// # Errors
/// [`Refusal::NoPhone`], [`Refusal::NoTarget`].
pub fn transfer(text: &str, person: &Person, books: &Register) -> Result<Command, Refusal> {
    let who = person.extension.clone().ok_or(Refusal::NoPhone)?;
    let to = target(text, books).or_else(|| target(after_small_word(text), books));
    Ok(Command::Transfer { who, to: to.ok_or_else(|| Refusal::NoTarget(text.to_owned()))? })
}

/// As in a transfer by code: extensions come first, then queues, and what is left are numbers outside, as people write them.
fn target(text: &str, books: &Register) -> Option<TransferTarget> {
    let number = as_number(text);
    let agent = |text: &str| Extension::parse(text).ok().and_then(|extension| books.agent(&extension));
    if let Some(agent) = agent(text).or_else(|| agent(&number)) {
        return Some(TransferTarget::Extension(agent.extension.clone()));
    }
    let by_number = || books.queues().find(|queue| queue.number.as_ref() == Some(&number));
    if let Some(queue) = queue_named(text, books).or_else(by_number) {
        return Some(TransferTarget::Queue(queue.name.clone()));
    }
    // Feature codes are for phones.
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let is_one = is_number(&number) && digits.len() > 1 && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_one.then_some(TransferTarget::Outside(number))
}

fn which(code: &str) -> Result<Which, Refusal> {
    match code.trim() {
        "" => Ok(Which::First),
        code => CustomerCode::parse(code).map(Which::Customer).map_err(|_| Refusal::Leftover(code.to_owned())),
    }
}

/// `1111 in a meeting`: the code of a customer, if the text begins with one, and the rest.
fn code_and_rest(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if CustomerCode::parse(first).is_ok() { (first, rest) } else { ("", text) }
}

/// Who waits in a queue, or in all that the person may see.
///
/// # Errors
/// [`Refusal::NotAMember`].
pub fn waiting(queue: Option<QueueName>, person: &Person, books: &Register) -> Result<Command, Refusal> {
    let seen = visible(person, books);
    let queues = match queue {
        None => seen,
        Some(queue) if seen.contains(&queue) => vec![queue],
        Some(queue) => match &person.extension {
            Some(extension) => {
                return Err(Refusal::NotAMember { extension: extension.clone(), queue: label(&queue, books) });
            }
            None => return Err(Refusal::WhichExtension),
        },
    };
    Ok(Command::Waiting { queues })
}

/// Why a call went where it went, or the person's last one.
///
/// # Errors
/// [`Refusal::WhichExtension`].
pub fn why(call: Option<CallId>, person: &Person) -> Result<Command, Refusal> {
    match (person.role, call, &person.extension) {
        (Role::Supervisor, Some(_), _) => Ok(Command::Why { call, who: None }),
        (Role::Supervisor | Role::Agent, _, Some(who)) => Ok(Command::Why { call, who: Some(who.clone()) }),
        (Role::Supervisor | Role::Agent, _, None) => Err(Refusal::WhichExtension),
    }
}

/// The extension that a person means: the one they name, or their own.
///
/// # Errors
/// [`Refusal::NotYours`], [`Refusal::NoSuchExtension`], [`Refusal::WhichExtension`].
pub fn on_behalf(named: Option<&str>, person: &Person, books: &Register) -> Result<Extension, Refusal> {
    let Some(named) = named else { return person.extension.clone().ok_or(Refusal::WhichExtension) };
    let unknown = || Refusal::NoSuchExtension(named.to_owned());
    let extension = Extension::parse(named).map_err(|_| unknown())?;
    match person.role {
        _ if person.extension.as_ref() == Some(&extension) => Ok(extension),
        Role::Agent => Err(Refusal::NotYours(extension)),
        Role::Supervisor => books.agent(&extension).map(|agent| agent.extension.clone()).ok_or_else(unknown),
    }
}

/// Queues that a person may look at: their own, or all.
pub fn visible(person: &Person, books: &Register) -> Vec<QueueName> {
    match (person.role, &person.extension) {
        (Role::Supervisor, _) => books.queues().map(|queue| queue.name.clone()).collect(),
        (Role::Agent, Some(extension)) => books.queues_of(extension).map(|row| row.queue.clone()).collect(),
        (Role::Agent, None) => Vec::new(),
    }
}

/// Queues that an extension is logged on to.
pub fn logged_on(who: &Extension, books: &Register) -> Vec<QueueName> {
    books.queues_of(who).filter(|row| row.logged_on).map(|row| row.queue.clone()).collect()
}

/// A queue as people read it.
pub fn label(queue: &QueueName, books: &Register) -> String {
    books.queue(queue).map_or_else(|| queue.to_string(), |row| row.label.clone())
}

/// All queues as people read them.
pub fn labels(books: &Register) -> Vec<String> {
    books.queues().map(|queue| queue.label.clone()).collect()
}

/// Where somebody logs on who names no queue: where they are a member, or in the only queue.
fn to_log_on(who: &Extension, books: &Register) -> Result<Vec<QueueName>, Refusal> {
    let own: Vec<QueueName> = books.queues_of(who).map(|row| row.queue.clone()).collect();
    if !own.is_empty() {
        return Ok(own);
    }
    let all: Vec<&Queue> = books.queues().take(2).collect();
    match all.as_slice() {
        [only] => Ok(vec![only.name.clone()]),
        [] | [..] => Err(Refusal::WhichQueue(labels(books))),
    }
}

/// Where somebody logs off who names no queue: where they are logged on, of the contact's queue if they speak to one.
pub fn to_log_off(who: &Extension, here: Option<&QueueName>, books: &Register) -> Vec<QueueName> {
    logged_on(who, books).into_iter().filter(|queue| here.is_none_or(|here| here == queue)).collect()
}

fn is_member(who: &Extension, queue: Option<&QueueName>, books: &Register) -> Result<(), Refusal> {
    match queue {
        Some(queue) if !books.queues_of(who).any(|row| row.queue == *queue) => {
            Err(Refusal::NotAMember { extension: who.clone(), queue: label(queue, books) })
        }
        Some(_) | None => Ok(()),
    }
}

/// The extension at the beginning, if there is one, or the person's own; and the rest.
fn whose<'a>(rest: &'a str, person: &Person, books: &Register) -> Result<(Extension, &'a str), Refusal> {
    let (first, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let names_one = Extension::parse(first).is_ok_and(|extension| books.agent(&extension).is_some());
    let is_number = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
    // A supervisor who mistypes an extension does not mean themselves.
    let names_one = names_one || (person.role == Role::Supervisor && is_number && queue_named(first, books).is_none());
    let (named, rest) = if names_one { (Some(first), after.trim()) } else { (None, rest) };
    Ok((on_behalf(named, person, books)?, rest))
}

fn nothing_more((who, rest): (Extension, &str)) -> Result<Extension, Refusal> {
    if rest.is_empty() { Ok(who) } else { Err(Refusal::Leftover(rest.to_owned())) }
}

fn queue_named<'a>(text: &str, books: &'a Register) -> Option<&'a Queue> {
    let folded = fold(text);
    books.queues().find(|queue| fold(queue.name.as_str()) == folded || fold(&queue.label) == folded)
}

fn unknown_queue(named: &str, books: &Register) -> Refusal {
    Refusal::NoSuchQueue { named: named.to_owned(), known: labels(books) }
}

fn is_small_word(word: &str) -> bool {
    ["to", "in", "from", "en", "a", "de", "em", "na", "no", "da", "do"].contains(&fold(word).as_str())
}

/// The text without a small word at its beginning: "log in to support".
fn after_small_word(text: &str) -> &str {
    match text.split_once(char::is_whitespace) {
        Some((first, rest)) if is_small_word(first) => rest.trim(),
        Some(_) | None => text,
    }
}

/// One or more queues, by name or label, separated by commas, or by blanks where that is enough.
fn queues(text: &str, books: &Register) -> Result<Vec<QueueName>, Refusal> {
    let text = if queue_named(text, books).is_some() { text } else { after_small_word(text) };
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let words: Vec<&str> =
            if queue_named(part, books).is_some() { vec![part] } else { part.split_whitespace().collect() };
        for word in words {
            let name = queue_named(word, books).map(|queue| &queue.name).ok_or_else(|| unknown_queue(part, books))?;
            if !found.contains(name) {
                found.push(name.clone());
            }
        }
    }
    if found.is_empty() { Err(unknown_queue(text, books)) } else { Ok(found) }
}

/// The queue that the text names as a whole; `None`: it is empty.
fn one_queue(text: &str, books: &Register) -> Result<Option<QueueName>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = queue_named(text, books).or_else(|| queue_named(after_small_word(text), books));
    found.map(|queue| Some(queue.name.clone())).ok_or_else(|| unknown_queue(text, books))
}

/// `lunch support`, `lunch in support`: the queue is what stands at the end, if it is one.
fn reason_and_queue<'a>(text: &'a str, books: &Register) -> (&'a str, Option<QueueName>) {
    let begins = std::iter::once(0).chain(
        text.char_indices()
            .zip(text.chars().skip(1).chain([' ']))
            .filter_map(|((at, c), next)| (c.is_whitespace() && !next.is_whitespace()).then_some(at + c.len_utf8())),
    );
    for begin in begins {
        let (Some(before), Some(end)) = (text.get(..begin), text.get(begin..)) else { continue };
        let Some(queue) = queue_named(end, books).filter(|_| !end.trim().is_empty()) else { continue };
        let before = before.trim();
        let reason = match before.rsplit_once(char::is_whitespace) {
            Some((reason, last)) if is_small_word(last) => reason.trim(),
            None if is_small_word(before) => "",
            Some(_) | None => before,
        };
        return (reason, Some(queue.name.clone()));
    }
    (text, None)
}

#[cfg(test)]
mod tests;
