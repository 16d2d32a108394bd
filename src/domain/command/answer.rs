//! What people read back, in their language: made from what is known, without looking anything up. The texts are in `say`.

mod say;

pub use say::hour;

use std::time::Duration;

use jiff::civil::Time;

use crate::domain::{
    command::{Refusal, Verb},
    id::{CallId, Extension},
    queue::{
        claim::{NoCallBack, NoClaim, NoDecline, NoTransfer},
        roster::PauseKind,
        view::WorkView,
    },
    report::Outcome,
};

/// An answer. Queues are given as people read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What can be asked for, in a line or two.
    ShortHelp,
    /// The same with what each is for.
    Help,
    /// Which languages there are.
    Languages,
    /// This one is spoken from now on.
    LanguageIs,
    /// It is done: an extension is logged on to these queues.
    LoggedOn {
        /// Who.
        extension: Extension,
        /// Where.
        queues: Vec<String>,
    },
    /// It is done: an extension is logged off from these queues.
    LoggedOff {
        /// Who.
        extension: Extension,
        /// Where; none: was not logged on.
        queues: Vec<String>,
    },
    /// It is done: an extension is paused.
    Paused {
        /// Who.
        extension: Extension,
        /// Where; `None`: everywhere.
        queue: Option<String>,
        /// Why; may be empty.
        reason: String,
    },
    /// It is done: an extension is not paused any more, but for these.
    Resumed {
        /// Who.
        extension: Extension,
        /// Where; `None`: everywhere.
        queue: Option<String>,
        /// Pauses that ended.
        ended: u64,
        /// Pauses that are left.
        left: Vec<PauseLine>,
    },
    /// How somebody stands.
    Status(Box<Status>),
    /// Who waits.
    Waiting(Vec<QueueLine>),
    /// A caller is theirs, and their phone rings.
    Taken {
        /// Code of the customer.
        code: String,
        /// Name of the customer.
        name: String,
    },
    /// Nobody is given to them.
    NotTaken(NoClaim),
    /// A call goes to others.
    Declined {
        /// Code of the customer.
        code: String,
        /// Name of the customer.
        name: String,
    },
    /// Nothing is declined.
    NotDeclined(NoDecline),
    /// Somebody is called back, when who asked has picked up.
    CallsBack {
        /// Code of the customer.
        code: String,
        /// Name of the customer.
        name: String,
        /// Their number.
        number: String,
    },
    /// Nobody is called back; `None`: there is nobody who has called in vain.
    NotCalledBack(Option<NoCallBack>),
    /// A caller is sent on.
    Transferred {
        /// Code of the customer.
        code: String,
        /// Name of the customer.
        name: String,
        /// Where, as people read it.
        to: String,
    },
    /// Nobody is sent on.
    NotTransferred(NoTransfer),
    /// Today's calls of somebody.
    Calls {
        /// Who.
        extension: Extension,
        /// The last ones, oldest first.
        calls: Vec<CallLine>,
        /// Earlier ones.
        more: usize,
    },
    /// What decided who had a call.
    Story(Box<Story>),
    /// There is no such call, or not for this person.
    NoStory,
    /// Not done.
    Refused(Refusal),
    /// Not done.
    Trouble(Trouble),
    /// The command that is corrected was carried out, and is not taken back.
    AlreadyDone,
    /// One after the other.
    Several(Vec<Answer>),
}

/// Why something could not be done that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The database is away: this was not done.
    DatabaseAway(Verb),
    /// The database did not answer in time: it may have been done or not.
    Unknown(Verb),
    /// The database knows no such extension or queue any more.
    Gone,
    /// The floor does not answer.
    FloorAway,
    /// It waited too long to be what is still wanted.
    TooLate,
    /// Too many in too short a time.
    TooFast,
}

/// A pause of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseLine {
    /// Who set it.
    pub kind: PauseKind,
    /// Where; `None`: everywhere.
    pub queue: Option<String>,
    /// Why; may be empty.
    pub reason: String,
    /// For how long.
    pub since: Duration,
}

/// How somebody stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who.
    pub extension: Extension,
    /// Queues that they are logged on to.
    pub on: Vec<String>,
    /// Queues that they are a member of and logged off from.
    pub off: Vec<String>,
    /// What keeps them from being offered calls.
    pub pauses: Vec<PauseLine>,
    /// What they do; `None`: the floor does not answer.
    pub work: Option<Work>,
}

/// What they do, with the queue of the call as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What.
    pub view: WorkView,
    /// The queue of its call; empty without one.
    pub queue: String,
}

/// A queue and who waits in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLine {
    /// Which.
    pub queue: String,
    /// Who waits: code and name of the customer, and for how long.
    pub waiting: Vec<(String, String, Duration)>,
    /// Who waits beside them.
    pub more: usize,
    /// Members who are logged on.
    pub members: usize,
    /// Those of them who would be offered a call now.
    pub ready: usize,
}

/// A call of today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLine {
    /// Which.
    pub call: CallId,
    /// When it entered, on the clock of the house.
    pub at: Time,
    /// Queue.
    pub queue: String,
    /// Code of the customer.
    pub code: String,
    /// Name of the customer.
    pub name: String,
    /// How long the talk was; `None`: it is not over.
    pub talk: Option<Duration>,
}

/// What decided who had a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// Which.
    pub call: CallId,
    /// When it entered, on the clock of the house.
    pub at: Time,
    /// Queue.
    pub queue: String,
    /// Code of the customer.
    pub code: String,
    /// Name of the customer.
    pub name: String,
    /// What happened, in order.
    pub steps: Vec<StoryStep>,
    /// How it ended; `None`: it has not.
    pub outcome: Option<Outcome>,
}

/// A step of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoryStep {
    /// It was offered.
    Offered {
        /// Which offer.
        offer: i32,
        /// To whom.
        to: String,
        /// By which rule, in Asterisk's word for it; may be empty.
        rule: String,
        /// Of who asks, if it was another's: what kept them from it, as `usher why` has it.
        yours: Option<String>,
    },
    /// It was not taken.
    Missed {
        /// Which offer.
        offer: i32,
        /// By whom.
        by: String,
        /// Why, as `usher why` has it.
        why: String,
    },
    /// It was answered.
    Answered {
        /// By whom.
        by: String,
    },
}

/// What an answer is for those who show it as more than its text.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// Not done.
    Refused(&'a Refusal),
    /// Not done.
    Trouble(Trouble),
    /// There is no such call, or not for this person.
    NoStory,
    /// It cannot be done as things stand.
    NotNow,
    /// Who waits.
    Waiting(&'a [QueueLine]),
    /// Calls of somebody.
    Calls(&'a [CallLine]),
    /// One after the other.
    Several(&'a [Answer]),
    /// The text is all there is.
    Text,
}

impl Answer {
    /// What it is beside its text.
    pub fn shape(&self) -> Shape<'_> {
        match self {
            Self::Refused(refusal) => Shape::Refused(refusal),
            Self::Trouble(trouble) => Shape::Trouble(*trouble),
            Self::NoStory => Shape::NoStory,
            Self::NotTaken(_) | Self::NotDeclined(_) | Self::NotCalledBack(_) | Self::NotTransferred(_) => {
                Shape::NotNow
            }
            Self::Waiting(lines) => Shape::Waiting(lines),
            Self::Calls { calls, .. } => Shape::Calls(calls),
            Self::Several(answers) => Shape::Several(answers),
            Self::ShortHelp
            | Self::Help
            | Self::Languages
            | Self::LanguageIs
            | Self::LoggedOn { .. }
            | Self::LoggedOff { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Taken { .. }
            | Self::Declined { .. }
            | Self::CallsBack { .. }
            | Self::Transferred { .. }
            | Self::Status(_)
            | Self::Story(_)
            | Self::AlreadyDone => Shape::Text,
        }
    }

    /// Whether it says that something was not done.
    pub fn is_failure(&self) -> bool {
        match self.shape() {
            Shape::Refused(_) | Shape::Trouble(_) | Shape::NoStory | Shape::NotNow => true,
            Shape::Several(answers) => answers.iter().any(Self::is_failure),
            Shape::Waiting(_) | Shape::Calls(_) | Shape::Text => false,
        }
    }
}

#[cfg(test)]
mod tests;
