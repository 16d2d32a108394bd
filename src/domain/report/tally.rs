//! The sums of a line of a report.

use std::{ops::AddAssign, time::Duration};

use crate::domain::report::{History, Outcome, Step, StepKind, Talk};

/// The calls of a queue. `offered` is always the sum of `outcomes` and `open`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that entered.
    pub offered: u64,
    /// Those of them that a member answered,
    pub answered: u64,
    /// and within the service level.
    pub in_time: u64,
    /// How they ended, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Those that are not over.
    pub open: u64,
    /// Those that wait no more.
    pub waited: u64,
    /// How long these have waited together.
    pub wait: Duration,
    /// How long the one of these that waited longest.
    pub longest_wait: Duration,
    /// Those whose talk is over.
    pub talked: u64,
    /// How long members talked in these, all together.
    pub talk: Duration,
    /// How long members wrapped up.
    pub wrap_up: Duration,
}

impl Tally {
    /// One call more.
    pub fn add(&mut self, history: &History) {
        self.offered += 1;
        self.answered += u64::from(history.answered_at.is_some());
        self.in_time += u64::from(history.is_in_time());
        match history.outcome {
            Some(outcome) => self.outcomes[place(outcome)] += 1,
            None => self.open += 1,
        }
        if let Some(wait) = history.wait() {
            self.waited += 1;
            self.wait += wait;
            self.longest_wait = self.longest_wait.max(wait);
        }
        if let Some(talk) = history.talk() {
            self.talked += 1;
            self.talk += talk;
        }
        self.wrap_up += history.wrap_up();
    }

    /// How many ended so.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[place(outcome)]
    }

    /// Percentage of the calls offered that were answered in time; `None`: there was no call.
    pub fn service_level(&self) -> Option<f64> {
        percentage(self.in_time, self.offered)
    }

    /// Average wait of those that wait no more.
    pub fn average_wait(&self) -> Option<Duration> {
        average(self.wait, self.waited)
    }

    /// Average talk of those whose talk is over.
    pub fn average_talk(&self) -> Option<Duration> {
        average(self.talk, self.talked)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.offered += other.offered;
        self.answered += other.answered;
        self.in_time += other.in_time;
        for (sum, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *sum += more;
        }
        self.open += other.open;
        self.waited += other.waited;
        self.wait += other.wait;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.talked += other.talked;
        self.talk += other.talk;
        self.wrap_up += other.wrap_up;
    }
}

/// What an agent had to do with calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentTally {
    /// Offers to them; of one call there may be several.
    pub offers: u64,
    /// Offers that they let ring,
    pub missed: u64,
    /// declined,
    pub refused: u64,
    /// or that ended without their doing.
    pub withdrawn: u64,
    /// Callers whom they answered, of one call there may be several,
    pub answered: u64,
    /// those of them whom somebody had answered before,
    pub sent_on: u64,
    /// and those of the others who were answered within the service level.
    pub in_time: u64,
    /// How long the others had waited together,
    pub wait: Duration,
    /// and the one who waited longest.
    pub longest_wait: Duration,
    /// Talks that are over.
    pub talked: u64,
    /// How long these talked together.
    pub talk: Duration,
    /// How long they wrapped up.
    pub wrap_up: Duration,
}

impl AgentTally {
    /// One talk more of theirs, in this call.
    pub fn talk(&mut self, talk: &Talk, history: &History) {
        self.answered += 1;
        if talk.is_later {
            self.sent_on += 1;
        } else {
            self.in_time += u64::from(history.is_in_time());
            let wait = history.wait().unwrap_or_default();
            self.wait += wait;
            self.longest_wait = self.longest_wait.max(wait);
        }
        if let Some(time) = talk.time {
            self.talked += 1;
            self.talk += time;
        }
    }

    /// One step more of theirs.
    pub fn step(&mut self, step: &Step) {
        match step.kind {
            StepKind::Offered => self.offers += 1,
            StepKind::Missed => self.missed += 1,
            StepKind::Refused => self.refused += 1,
            StepKind::Withdrawn => self.withdrawn += 1,
            StepKind::WrappedUp(time) => self.wrap_up += time,
            // In the talks.
            StepKind::Answered(_) | StepKind::SentOn(_) => {}
        }
    }

    /// Average wait of the callers whom they answered first.
    pub fn average_wait(&self) -> Option<Duration> {
        average(self.wait, self.answered - self.sent_on)
    }

    /// Average of the talks that are over.
    pub fn average_talk(&self) -> Option<Duration> {
        average(self.talk, self.talked)
    }
}

impl AddAssign for AgentTally {
    fn add_assign(&mut self, other: Self) {
        self.offers += other.offers;
        self.missed += other.missed;
        self.refused += other.refused;
        self.withdrawn += other.withdrawn;
        self.answered += other.answered;
        self.sent_on += other.sent_on;
        self.in_time += other.in_time;
        self.wait += other.wait;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.talked += other.talked;
        self.talk += other.talk;
        self.wrap_up += other.wrap_up;
    }
}

fn place(outcome: Outcome) -> usize {
    outcome as usize
}

fn average(sum: Duration, count: u64) -> Option<Duration> {
    let milliseconds = sum.as_millis().checked_div(count.into())?;
    Some(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX)))
}

/// In tenths, rounded half up.
fn percentage(part: u64, whole: u64) -> Option<f64> {
    let tenths = (part * 2_000 + whole).checked_div(whole * 2)?;
    #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
    Some(tenths as f64 / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::Extension,
        report::tests::{at, step, waiting},
    };

    fn answered(after: i64) -> History {
        History {
            answered_at: Some(at(after)),
            answered_by: Some(Extension::new("1000")),
            ended_at: Some(at(after + 60)),
            outcome: Some(Outcome::Completed),
            steps: vec![step("1000", StepKind::WrappedUp(Duration::from_secs(10)))],
            ..waiting()
        }
    }

    #[test]
    fn the_service_level_is_of_all_calls_offered_and_not_of_those_answered() {
        let mut tally = Tally::default();
        assert_eq!(tally.service_level(), None);
        let abandoned = History { ended_at: Some(at(5)), outcome: Some(Outcome::Abandoned), ..waiting() };
        for history in [answered(10), answered(30), abandoned, waiting()] {
            tally.add(&history);
        }
        assert_eq!((tally.offered, tally.answered, tally.in_time, tally.open), (4, 2, 1, 1));
        assert_eq!((tally.ended(Outcome::Completed), tally.ended(Outcome::Abandoned)), (2, 1));
        assert_eq!(tally.service_level(), Some(25.0));
        assert_eq!(tally.average_wait(), Some(Duration::from_secs(15)));
        assert_eq!(tally.longest_wait, Duration::from_secs(30));
        assert_eq!((tally.average_talk(), tally.wrap_up), (Some(Duration::from_secs(60)), Duration::from_secs(20)));
    }

    #[test]
    fn a_percentage_is_rounded_to_a_tenth() {
        assert_eq!(percentage(1, 3), Some(33.3));
        assert_eq!(percentage(2, 3), Some(66.7));
        assert_eq!(percentage(7, 7), Some(100.0));
        assert_eq!(percentage(0, 0), None);
    }

    #[test]
    fn the_places_of_outcomes_are_those_of_the_list() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(place(outcome), index);
        }
    }
}
