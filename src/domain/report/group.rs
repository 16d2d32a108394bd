//! Puts calls together by queue or agent, and by hour or day of the local time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, tz::TimeZone};

use crate::domain::{
    id::{Extension, QueueName},
    report::{AgentTally, History, StepKind, Tally},
};

/// How long the periods are that a report is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// A line for each hour of the clock,
    Hour,
    /// or for each day.
    Day,
}

/// How calls are put together.
#[derive(Debug, Clone)]
pub struct Group {
    /// By these periods; `None`: all together.
    pub every: Option<Every>,
    /// Whose hours and days count.
    pub zone: TimeZone,
}

/// Which line a call belongs to: the period's beginning, then the name.
pub type Key<T> = (Option<Timestamp>, T);

impl Group {
    /// Beginning of the period in which this moment lies.
    pub fn period(&self, at: Timestamp) -> Option<Timestamp> {
        Some(match self.every? {
            Every::Day => {
                let local = at.to_zoned(self.zone.clone());
                local.start_of_day().map_or(at, |day| day.timestamp())
            }
            Every::Hour => {
                // By the offset, not by the clock's face: an hour that the clock shows twice is two hours.
                let offset = i64::from(self.zone.to_offset(at).seconds());
                let since = (at.as_second() + offset).rem_euclid(3600);
                Timestamp::from_second(at.as_second() - since).unwrap_or(at)
            }
        })
    }
}

/// The report by queue.
#[derive(Debug, Clone)]
pub struct Queues {
    group: Group,
    lines: BTreeMap<Key<QueueName>, Tally>,
}

impl Queues {
    /// Without a call.
    pub fn new(group: Group) -> Self {
        Self { group, lines: BTreeMap::new() }
    }

    /// One call more.
    pub fn add(&mut self, history: &History) {
        let key = (self.group.period(history.entered_at), history.queue.clone());
        self.lines.entry(key).or_default().add(history);
    }

    /// The lines, by period and name.
    pub fn lines(&self) -> impl Iterator<Item = (&Key<QueueName>, &Tally)> {
        self.lines.iter()
    }

    /// All lines together.
    pub fn total(&self) -> Tally {
        self.lines.values().fold(Tally::default(), |mut sum, tally| {
            sum += *tally;
            sum
        })
    }
}

/// The report by agent.
#[derive(Debug, Clone)]
pub struct Agents {
    group: Group,
    only: Option<Extension>,
    lines: BTreeMap<Key<Extension>, AgentTally>,
}

impl Agents {
    /// Without a call; of one agent, if one is named.
    pub fn new(group: Group, only: Option<Extension>) -> Self {
        Self { group, only, lines: BTreeMap::new() }
    }

    /// One call more. A step belongs to the period in which its call entered, so that lines agree with those of queues.
    pub fn add(&mut self, history: &History) {
        let period = self.group.period(history.entered_at);
        // An offer that was out when the service was killed has no end on record: whoever comes next withdraws it.
        let mut out: BTreeSet<&Extension> = BTreeSet::new();
        for step in &history.steps {
            let was_out = match step.kind {
                StepKind::Offered => !out.insert(&step.extension),
                StepKind::Missed | StepKind::Refused | StepKind::Withdrawn | StepKind::Answered(_) => {
                    out.remove(&step.extension);
                    false
                }
                StepKind::SentOn(_) | StepKind::WrappedUp(_) => false,
            };
            if let Some(line) = self.line(period, &step.extension) {
                line.withdrawn += u64::from(was_out);
                line.step(step);
            }
        }
        for extension in out.into_iter().filter(|_| history.ended_at.is_some()) {
            if let Some(line) = self.line(period, extension) {
                line.withdrawn += 1;
            }
        }
        for talk in history.talks() {
            if let Some(line) = self.line(period, &talk.extension) {
                line.talk(&talk, history);
            }
        }
    }

    fn line(&mut self, period: Option<Timestamp>, extension: &Extension) -> Option<&mut AgentTally> {
        if self.only.as_ref().is_some_and(|only| only != extension) {
            return None;
        }
        Some(self.lines.entry((period, extension.clone())).or_default())
    }

    /// The lines, by period and extension.
    pub fn lines(&self) -> impl Iterator<Item = (&Key<Extension>, &AgentTally)> {
        self.lines.iter()
    }

    /// All lines together.
    pub fn total(&self) -> AgentTally {
        self.lines.values().fold(AgentTally::default(), |mut sum, tally| {
            sum += *tally;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::domain::report::{
        Outcome,
        tests::{at, step, waiting},
    };

    fn group(every: Option<Every>, zone: &str) -> Group {
        Group { every, zone: TimeZone::posix(zone).unwrap() }
    }

    #[test]
    fn an_hour_that_the_clock_shows_twice_is_two_lines() {
        // Central Europe: on 29 October 2023 at 3:00 back to 2:00, which is 1:00 UTC.
        let hours = group(Some(Every::Hour), "CET-1CEST,M3.5.0,M10.5.0/3");
        let period = |text: &str| hours.period(text.parse().unwrap()).unwrap().to_string();
        assert_eq!(period("2023-10-29T00:30:00Z"), "2023-10-29T00:00:00Z");
        assert_eq!(period("2023-10-29T01:30:00Z"), "2023-10-29T01:00:00Z");
    }

    #[test]
    fn a_day_begins_at_local_midnight_and_an_hour_at_a_half_where_the_zone_does() {
        let days = group(Some(Every::Day), "CET-1CEST,M3.5.0,M10.5.0/3");
        assert_eq!(days.period("2023-07-01T22:30:00Z".parse().unwrap()).unwrap().to_string(), "2023-07-01T22:00:00Z");
        let hours = group(Some(Every::Hour), "IST-5:30");
        assert_eq!(hours.period("2023-07-01T10:29:59Z".parse().unwrap()).unwrap().to_string(), "2023-07-01T09:30:00Z");
        assert_eq!(group(None, "UTC0").period(at(0)), None);
    }

    #[test]
    fn an_offer_that_has_no_end_on_record_was_withdrawn_when_the_next_was_made_or_the_call_is_over() {
        let steps = vec![
            step("1000", StepKind::Offered),
            step("2000", StepKind::Offered),
            // Killed here.
            step("1000", StepKind::Offered),
            step("1000", StepKind::Missed),
            step("1000", StepKind::Offered),
            step("1000", StepKind::Answered(at(50))),
        ];
        for (ended_at, expected) in [(None, [1, 0]), (Some(at(99)), [1, 1])] {
            let mut agents = Agents::new(group(None, "UTC0"), None);
            agents.add(&History { ended_at, steps: steps.clone(), ..waiting() });
            let withdrawn: Vec<u64> = agents.lines().map(|(_, tally)| tally.withdrawn).collect();
            assert_eq!(withdrawn, expected);
            assert_eq!((agents.total().offers, agents.total().missed), (4, 1));
        }
    }

    fn history() -> impl Strategy<Value = History> {
        let kind = prop_oneof![
            Just(StepKind::Offered),
            Just(StepKind::Missed),
            Just(StepKind::Refused),
            Just(StepKind::Withdrawn),
            (0i64..200_500).prop_map(|time| StepKind::Answered(at(time))),
            (0i64..200_500).prop_map(|time| StepKind::SentOn(at(time))),
            (0u64..60_000).prop_map(|time| StepKind::WrappedUp(Duration::from_millis(time))),
        ];
        let extension = || select(vec!["1000", "2000", "3000"]);
        let steps = prop::collection::vec((extension(), kind), 0..5);
        let ended = prop::option::of((0i64..300, select(Outcome::ALL.to_vec())));
        let answered = prop::option::of((0i64..90, extension()));
        (select(vec!["sales", "support"]), 0i64..200_000, answered, ended, steps).prop_map(
            |(queue, entered, answered, ended, steps)| History {
                queue: QueueName::new(queue),
                entered_at: at(entered),
                answered_at: answered.map(|(after, _)| at(entered + after)),
                answered_by: answered.map(|(_, by)| Extension::new(by)),
                ended_at: ended.map(|(after, _)| at(entered + 90 + after)),
                outcome: ended.map(|(_, outcome)| outcome),
                steps: steps.into_iter().map(|(who, kind)| step(who, kind)).collect(),
                ..waiting()
            },
        )
    }

    proptest! {
        #[test]
        fn queues_agents_and_calls_agree_whatever_happened(
            histories in prop::collection::vec(history(), 0..40),
            every in select(vec![None, Some(Every::Hour), Some(Every::Day)]),
        ) {
            let group = group(every, "CET-1CEST,M3.5.0,M10.5.0/3");
            let (mut queues, mut agents) = (Queues::new(group.clone()), Agents::new(group, None));
            for history in &histories {
                queues.add(history);
                agents.add(history);
            }
            let (queue, agent) = (queues.total(), agents.total());
            prop_assert_eq!(queue.offered, histories.len() as u64);
            prop_assert_eq!(queue.offered, queue.outcomes.iter().sum::<u64>() + queue.open);
            prop_assert_eq!(queue.answered, histories.iter().filter(|h| h.answered_at.is_some()).count() as u64);
            prop_assert_eq!((queue.answered, queue.in_time), (agent.answered - agent.sent_on, agent.in_time));
            prop_assert_eq!((queue.wait >= agent.wait, queue.wrap_up), (true, agent.wrap_up));
            // Of calls that are not over, talks may be.
            prop_assert!(queue.talk <= agent.talk);
            prop_assert_eq!(agent.offers, histories.iter().map(|h| h.offers() as u64).sum::<u64>());
            for ((period, name), tally) in queues.lines() {
                let mine = histories.iter().filter(|h| h.queue == *name && queues.group.period(h.entered_at) == *period);
                let mut sum = Tally::default();
                mine.for_each(|history| sum.add(history));
                prop_assert_eq!(sum, *tally);
            }
            // Each agent alone is as among the others.
            for extension in ["1000", "2000", "3000"] {
                let mut alone = Agents::new(agents.group.clone(), Some(Extension::new(extension)));
                histories.iter().for_each(|history| alone.add(history));
                let among: Vec<_> = agents.lines().filter(|((_, who), _)| who.as_str() == extension).collect();
                prop_assert_eq!(alone.lines().collect::<Vec<_>>(), among);
            }
        }
    }
}
