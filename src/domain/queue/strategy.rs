//! Which of the free members get the next caller: the rules of `queues.conf`, as pure functions.
//!
//! A lower penalty always goes before a higher one, except with `wrandom`, which only prefers it.

mod dice;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use self::dice::Dice;
use crate::domain::{id::Extension, queue::policy::Strategy};

/// A member who could take the call now.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Who.
    pub extension: &'a Extension,
    /// Lower first.
    pub penalty: u32,
    /// When their last call ended, or they last let one go by; `None`: never had one.
    pub last_turn: Option<Timestamp>,
    /// Calls of this queue that they took.
    pub calls_taken: u64,
    /// In the order of the configuration.
    pub place: i32,
    /// When they logged on.
    pub joined_at: Timestamp,
}

/// Where the round of `rrmemory` or `rrordered` has come to: the member of a queue who was rung last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRung {
    extension: Extension,
    place: i32,
    joined_at: Timestamp,
}

impl From<&Candidate<'_>> for LastRung {
    fn from(candidate: &Candidate<'_>) -> Self {
        Self { extension: candidate.extension.clone(), place: candidate.place, joined_at: candidate.joined_at }
    }
}

/// The places in `candidates` of those who are rung: one, or with `ringall` all of the lowest penalty; none of nobody.
///
/// Equals are taken in the order of their extensions, so that the choice is stable.
pub fn choose(
    strategy: Strategy,
    candidates: &[Candidate<'_>],
    last: Option<&LastRung>,
    dice: &mut Dice,
) -> Vec<usize> {
    let Some(tier) = candidates.iter().map(|c| c.penalty).min() else { return Vec::new() };
    let first = candidates.iter().enumerate().filter(|(_, c)| c.penalty == tier);
    let one = match strategy {
        Strategy::RingAll => return first.map(|(place, _)| place).collect(),
        // Never-called members first. A refusal counts as a turn, so that a silent phone is not rung first by every caller.
        Strategy::LeastRecent => first.min_by_key(|(_, c)| (c.last_turn, c.extension)),
        Strategy::FewestCalls => first.min_by_key(|(_, c)| (c.calls_taken, c.extension)),
        Strategy::Random => {
            let count = first.clone().count();
            let mut first = first;
            first.nth(dice.below(count))
        }
        Strategy::RrMemory => first.min_by_key(|(_, c)| {
            let key = (c.joined_at, c.extension);
            (last.is_some_and(|last| key <= (last.joined_at, &last.extension)), key)
        }),
        Strategy::RrOrdered => first.min_by_key(|(_, c)| {
            let key = (c.place, c.extension);
            (last.is_some_and(|last| key <= (last.place, &last.extension)), key)
        }),
        // Whom this caller has tried is no candidate any more: so it is the next one for each try, from the first anew
        // for each caller.
        Strategy::Linear => first.min_by_key(|(_, c)| (c.place, c.extension)),
        // A throw of one die with more faces the higher the penalty; the lowest wins.
        Strategy::WRandom => candidates
            .iter()
            .enumerate()
            .map(|(place, c)| {
                ((dice.below((c.penalty as usize).saturating_add(1).saturating_mul(1_000)), c.extension), (place, c))
            })
            .min_by_key(|(thrown, _)| *thrown)
            .map(|(_, c)| c),
    };
    one.map(|(place, _)| place).into_iter().collect()
}
