//! The columns of each report, and how a line fills them.

use crate::{
    cli::report::print::Cell,
    db::report::Call,
    domain::report::{AgentTally, Outcome, Tally},
};

/// Beginning of the hour or day.
pub(super) const PERIOD: &str = "from";

/// By queue: fixed columns around one for each outcome.
pub(super) const QUEUE: [&str; 11 + OUTCOMES] = [
    "queue",
    "offered",
    "answered",
    "in_time",
    "service_level_percent",
    "completed",
    "abandoned",
    "timed_out",
    "no_members",
    "full",
    "empty",
    "overflowed",
    "unknown_queue",
    "stopped",
    "lost",
    "not_reached",
    "called_again",
    "cancelled",
    "open",
    "average_wait_seconds",
    "longest_wait_seconds",
    "average_talk_seconds",
    "talk_seconds",
    "wrap_up_seconds",
];
const OUTCOMES: usize = Outcome::ALL.len();

/// By agent.
pub(super) const AGENT: [&str; 13] = [
    "extension",
    "offers",
    "missed",
    "refused",
    "withdrawn",
    "answered",
    "sent_on_to_them",
    "in_time",
    "average_wait_seconds",
    "longest_wait_seconds",
    "average_talk_seconds",
    "talk_seconds",
    "wrap_up_seconds",
];

/// Call by call.
pub(super) const CALL: [&str; 16] = [
    "call",
    "queue",
    "entered_at",
    "outcome",
    "wait_seconds",
    "answered_by",
    "in_time",
    "talk_seconds",
    "wrap_up_seconds",
    "offers",
    "answered_at",
    "ended_at",
    "customer_code",
    "customer_name",
    "caller_number",
    "recording",
];
/// How wide they are in a table that is printed as it is read.
pub(super) const CALL_WIDTHS: [usize; 16] = [36, 10, 19, 13, 7, 11, 7, 7, 7, 6, 19, 19, 13, 20, 15, 46];

pub(super) fn queue(name: &str, tally: &Tally) -> Vec<Cell> {
    let before = [
        Cell::Text(name.to_owned()),
        Cell::Count(tally.offered),
        Cell::Count(tally.answered),
        Cell::Count(tally.in_time),
        tally.service_level().map_or(Cell::Nothing, Cell::Percent),
    ];
    let outcomes = Outcome::ALL.into_iter().map(|outcome| Cell::Count(tally.ended(outcome)));
    let after = [
        Cell::Count(tally.open),
        Cell::time(tally.average_wait()),
        Cell::Time(tally.longest_wait),
        Cell::time(tally.average_talk()),
        Cell::Time(tally.talk),
        Cell::Time(tally.wrap_up),
    ];
    before.into_iter().chain(outcomes).chain(after).collect()
}

pub(super) fn agent(extension: &str, tally: &AgentTally) -> Vec<Cell> {
    vec![
        Cell::Text(extension.to_owned()),
        Cell::Count(tally.offers),
        Cell::Count(tally.missed),
        Cell::Count(tally.refused),
        Cell::Count(tally.withdrawn),
        Cell::Count(tally.answered),
        Cell::Count(tally.sent_on),
        Cell::Count(tally.in_time),
        Cell::time(tally.average_wait()),
        Cell::Time(tally.longest_wait),
        Cell::time(tally.average_talk()),
        Cell::Time(tally.talk),
        Cell::Time(tally.wrap_up),
    ]
}

pub(super) fn call(Call { history, customer_code, customer_name, caller_number, recording }: &Call) -> Vec<Cell> {
    vec![
        Cell::Text(history.call.to_string()),
        Cell::Text(history.queue.to_string()),
        Cell::Moment(history.entered_at),
        history.outcome.map_or(Cell::Nothing, |outcome| Cell::Text(outcome.to_string())),
        Cell::time(history.wait()),
        history.answered_by.as_ref().map_or(Cell::Nothing, |extension| Cell::Text(extension.to_string())),
        Cell::Truth(history.is_in_time()),
        Cell::time(history.talk()),
        Cell::Time(history.wrap_up()),
        Cell::Count(history.offers() as u64),
        history.answered_at.map_or(Cell::Nothing, Cell::Moment),
        history.ended_at.map_or(Cell::Nothing, Cell::Moment),
        Cell::Text(customer_code.clone()),
        Cell::Text(customer_name.clone()),
        Cell::Text(caller_number.clone()),
        recording.clone().map_or(Cell::Nothing, Cell::Text),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_of_an_outcome_bears_its_word() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(QUEUE[5 + index], outcome.as_str());
        }
        assert_eq!(queue("support", &Tally::default()).len(), QUEUE.len());
        assert_eq!(agent("1000", &AgentTally::default()).len(), AGENT.len());
    }
}
