//! Reports: what happened to calls, counted by queue, by agent and by hour or day.
//!
//! Everything is counted from one [`History`] for each call, so that the reports agree to the call:
//!
//! * A call belongs to the queue it entered and to the moment it entered, whatever happened to it later.
//! * It was answered if a caller and a member heard each other; its queue counts it once.
//! * Each member counts the talks that they had, also with a caller whom somebody else had answered before and sent on; the call
//!   has talked as long as all of them together: not while it rang at the next one, waited again, or talked with somebody outside.
//! * It ended in exactly one way, or has not ended yet.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;

use crate::domain::id::{CallId, Extension, QueueName};

pub use self::{
    group::{Agents, Every, Group, Key, Queues},
    tally::{AgentTally, Tally},
};

mod group;
mod tally;

/// What is known of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Which.
    pub call: CallId,
    /// Where it entered,
    pub queue: QueueName,
    /// and when.
    pub entered_at: Timestamp,
    /// When caller and member heard each other.
    pub answered_at: Option<Timestamp>,
    /// Who answered first.
    pub answered_by: Option<Extension>,
    /// When it was over; `None`: not yet.
    pub ended_at: Option<Timestamp>,
    /// How; `None`: not yet.
    pub outcome: Option<Outcome>,
    /// An answer within this time is in time.
    pub service_level: Duration,
    /// What members had to do with it, in the order of time.
    pub steps: Vec<Step>,
}

/// What a member had to do with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Who.
    pub extension: Extension,
    /// What.
    pub kind: StepKind,
}

/// A kind of [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// The call was offered to them.
    Offered,
    /// They let it ring until the ring time was over.
    Missed,
    /// Their phone declined or was busy.
    Refused,
    /// The offer ended without their doing: the caller was gone, another had answered, the phone could not be reached.
    Withdrawn,
    /// They answered, for the first time in this call or after it was sent on.
    Answered(Timestamp),
    /// They sent the caller on.
    SentOn(Timestamp),
    /// They wrapped up for so long.
    WrappedUp(Duration),
}

/// What one member talked with a caller, from their answer until they sent the caller on, gave them to another one, or the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// Who.
    pub extension: Extension,
    /// Whether somebody had answered the call before.
    pub is_later: bool,
    /// How long; `None`: still do, or nobody saw the end.
    pub time: Option<Duration>,
}

/// A word for the end of a call that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an outcome of a call")]
pub struct UnknownOutcome(String);

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// How a call left the floor: the words of `calls.outcome`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Outcome {
            $($(#[$doc])* $name,)*
        }

        impl Outcome {
            /// All of them, in the order of reports.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$name),*];

            /// The word in the database and in reports.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

outcomes! {
    /// Answered, talked, over.
    Completed = "completed";
    /// The caller hung up while waiting.
    Abandoned = "abandoned";
    /// The caller has waited for the queue timeout.
    TimedOut = "timed_out";
    /// Nobody was logged on.
    NoMembers = "no_members";
    /// As many waited as may.
    Full = "full";
    /// Nobody was there for the queue's condition of emptiness.
    Empty = "empty";
    /// Sent to another place.
    Overflowed = "overflowed";
    /// There is no such queue.
    UnknownQueue = "unknown_queue";
    /// The service was stopping.
    Stopped = "stopped";
    /// Found gone after a restart of the service; when they went is not known.
    Lost = "lost";
    /// Asked to be called back, and was not reached.
    NotReached = "not_reached";
    /// Asked to be called back, and called again before.
    CalledAgain = "called_again";
    /// Asked to be called back, which was cancelled.
    Cancelled = "cancelled";
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

impl History {
    /// How long the caller waited; `None`: still does, or nobody saw them go.
    pub fn wait(&self) -> Option<Duration> {
        self.answered_at.or(self.seen_to_end_at()).map(|until| between(self.entered_at, until))
    }

    /// How long members talked with the caller, all together; `None`: never did, or it is not over, or nobody saw the end.
    pub fn talk(&self) -> Option<Duration> {
        self.answered_at.and(self.seen_to_end_at())?;
        self.talks().into_iter().map(|talk| talk.time).sum()
    }

    /// How long this member talked with the caller; `None`: never did, or still does, or nobody saw the end.
    pub fn talk_of(&self, extension: &Extension) -> Option<Duration> {
        let mut theirs = self.talks().into_iter().filter(|talk| talk.extension == *extension).peekable();
        theirs.peek()?;
        theirs.map(|talk| talk.time).sum()
    }

    /// The talks that members had with the caller, in the order of time.
    pub fn talks(&self) -> Vec<Talk> {
        let (Some(first), Some(by)) = (self.answered_at, &self.answered_by) else { return Vec::new() };
        let mut talks = Vec::new();
        let mut now = Some((by, first));
        let mut over = |now: &mut Option<(&Extension, Timestamp)>, until: Option<Timestamp>| {
            if let Some((who, from)) = now.take() {
                let time = until.map(|until| between(from, until));
                talks.push(Talk { extension: who.clone(), is_later: from != first, time });
            }
        };
        for step in &self.steps {
            match step.kind {
                StepKind::Answered(at) if at > first => {
                    over(&mut now, Some(at));
                    now = Some((&step.extension, at));
                }
                StepKind::SentOn(at) if now.is_some_and(|(who, from)| *who == step.extension && from <= at) => {
                    over(&mut now, Some(at));
                }
                StepKind::Answered(_)
                | StepKind::SentOn(_)
                | StepKind::Offered
                | StepKind::Missed
                | StepKind::Refused
                | StepKind::Withdrawn
                | StepKind::WrappedUp(_) => {}
            }
        }
        over(&mut now, self.seen_to_end_at());
        talks
    }

    /// When it ended, unless that is only the moment in which it was found to be over.
    fn seen_to_end_at(&self) -> Option<Timestamp> {
        self.ended_at.filter(|_| self.outcome != Some(Outcome::Lost))
    }

    /// Whether it was answered within the service level.
    pub fn is_in_time(&self) -> bool {
        self.answered_at.is_some_and(|at| between(self.entered_at, at) <= self.service_level)
    }

    /// How long members wrapped up after it.
    pub fn wrap_up(&self) -> Duration {
        self.steps.iter().map(Step::wrap_up).sum()
    }

    /// How often it was offered to a member.
    pub fn offers(&self) -> usize {
        self.steps.iter().filter(|step| step.kind == StepKind::Offered).count()
    }
}

impl Step {
    fn wrap_up(&self) -> Duration {
        match self.kind {
            StepKind::WrappedUp(time) => time,
            StepKind::Offered
            | StepKind::Missed
            | StepKind::Refused
            | StepKind::Withdrawn
            | StepKind::Answered(_)
            | StepKind::SentOn(_) => Duration::ZERO,
        }
    }
}

/// In whole milliseconds, so that sums of what is shown are what is shown of sums; zero if the clock went back.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0))
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::fact::CallOutcome;

    /// A moment of a day with a whole hour.
    pub(crate) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_699_999_200 + seconds).unwrap()
    }

    /// A call that entered `support` at second 0 and is not over.
    pub(crate) fn waiting() -> History {
        History {
            call: CallId(Uuid::nil()),
            queue: QueueName::new("support"),
            entered_at: at(0),
            answered_at: None,
            answered_by: None,
            ended_at: None,
            outcome: None,
            service_level: Duration::from_secs(20),
            steps: Vec::new(),
        }
    }

    pub(crate) fn step(extension: &str, kind: StepKind) -> Step {
        Step { extension: Extension::new(extension), kind }
    }

    #[test]
    fn a_call_that_waits_has_no_waiting_time_yet() {
        assert_eq!((waiting().wait(), waiting().talk(), waiting().is_in_time()), (None, None, false));
        let abandoned = History { ended_at: Some(at(30)), outcome: Some(Outcome::Abandoned), ..waiting() };
        assert_eq!((abandoned.wait(), abandoned.talk()), (Some(Duration::from_secs(30)), None));
    }

    #[test]
    fn each_member_has_the_talk_that_they_had() {
        let steps = vec![
            step("1000", StepKind::Answered(at(10))),
            step("1000", StepKind::SentOn(at(40))),
            step("2000", StepKind::Answered(at(50))),
            // Handed over after a word: one after the other, or the other way round, at one time.
            step("3000", StepKind::Answered(at(70))),
            step("2000", StepKind::SentOn(at(70))),
        ];
        let history = History {
            answered_at: Some(at(10)),
            answered_by: Some(Extension::new("1000")),
            ended_at: Some(at(100)),
            outcome: Some(Outcome::Completed),
            steps,
            ..waiting()
        };
        let talk = |who: &str, is_later, time: u64| Talk {
            extension: Extension::new(who),
            is_later,
            time: Some(Duration::from_secs(time)),
        };
        assert_eq!(history.talks(), [talk("1000", false, 30), talk("2000", true, 20), talk("3000", true, 30)]);
        assert_eq!(history.talk(), Some(Duration::from_secs(80)));
        assert_eq!(history.talk_of(&Extension::new("2000")), Some(Duration::from_secs(20)));
        assert_eq!(history.talk_of(&Extension::new("4000")), None);
        // Rung again: nobody talks until somebody answers.
        let steps = history.steps[..2].to_vec();
        let sent_away = History { steps, outcome: Some(Outcome::TimedOut), ..history.clone() };
        assert_eq!(
            (sent_away.talks(), sent_away.talk()),
            (vec![talk("1000", false, 30)], Some(Duration::from_secs(30)))
        );
        let open = History { ended_at: None, outcome: None, ..history };
        assert_eq!(open.talks().last().unwrap().time, None);
        assert_eq!(waiting().talks(), []);
    }

    #[test]
    fn a_call_that_was_lost_for_a_week_is_no_week_of_waiting_or_of_talk() {
        let lost = History { ended_at: Some(at(604_800)), outcome: Some(Outcome::Lost), ..waiting() };
        assert_eq!((lost.wait(), lost.talk()), (None, None));
        let talked = History { answered_at: Some(at(5)), ..lost };
        assert_eq!((talked.wait(), talked.talk()), (Some(Duration::from_secs(5)), None));
    }

    #[test]
    fn an_answer_at_the_very_end_of_the_service_level_is_in_time() {
        for (seconds, expected) in [(19, true), (20, true), (21, false)] {
            let answered_by = Some(Extension::new("1000"));
            let answered =
                History { answered_at: Some(at(seconds)), answered_by, ended_at: Some(at(100)), ..waiting() };
            assert_eq!(answered.is_in_time(), expected, "{seconds}");
            assert_eq!(answered.talk(), u64::try_from(100 - seconds).ok().map(Duration::from_secs));
        }
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_time() {
        let answered_by = Some(Extension::new("1000"));
        let answered = History { answered_at: Some(at(-5)), answered_by, ended_at: Some(at(-9)), ..waiting() };
        assert_eq!((answered.wait(), answered.talk()), (Some(Duration::ZERO), Some(Duration::ZERO)));
    }

    #[test]
    fn every_outcome_that_the_floor_knows_can_be_read() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
        }
        for outcome in [
            CallOutcome::Completed,
            CallOutcome::Abandoned,
            CallOutcome::TimedOut,
            CallOutcome::NoMembers,
            CallOutcome::UnknownQueue,
            CallOutcome::Stopped,
            CallOutcome::Lost,
            CallOutcome::NotReached,
            CallOutcome::CalledAgain,
            CallOutcome::Cancelled,
        ] {
            assert_eq!(outcome.as_str().parse::<Outcome>().map(Outcome::as_str), Ok(outcome.as_str()));
        }
        assert!("answered".parse::<Outcome>().is_err());
    }
}
