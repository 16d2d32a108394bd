//! From times to rates, ratios and verdicts.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use crate::report;

/// At least so many times slixmpp's rate,
const TIMES_SLIXMPP: f64 = 3.0;
/// and at least this part of what the server itself can take.
const OF_THE_SERVER: f64 = 0.9;
/// A pop is confirmed within so many times the server's own round trip.
const TIMES_BARE: f64 = 1.5;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Ours,
    Slixmpp,
    Bare,
}

impl Side {
    /// In the order of the table.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Slixmpp, Self::Bare];

    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "Usher",
            Self::Slixmpp => "slixmpp",
            Self::Bare => "bare",
        }
    }
}

/// One thing for each side.
#[derive(Debug, Default)]
pub struct Each<T>([T; 3]);

impl<T> Each<T> {
    fn of(&self, side: Side) -> &T {
        let [ours, slixmpp, bare] = &self.0;
        match side {
            Side::Ours => ours,
            Side::Slixmpp => slixmpp,
            Side::Bare => bare,
        }
    }

    fn of_mut(&mut self, side: Side) -> &mut T {
        let [ours, slixmpp, bare] = &mut self.0;
        match side {
            Side::Ours => ours,
            Side::Slixmpp => slixmpp,
            Side::Bare => bare,
        }
    }
}

/// One side's turn in a round.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// So many were sent
    pub count: usize,
    /// in this time,
    pub took: Duration,
    /// in which the server was at work for so long,
    pub served: Duration,
    /// and the sender.
    pub own: Duration,
}

impl Turn {
    fn rate(&self) -> f64 {
        number(self.count) / self.took.as_secs_f64()
    }
}

impl Each<Vec<Turn>> {
    /// A turn more.
    pub fn add(&mut self, side: Side, turn: Turn) {
        self.of_mut(side).push(turn);
    }

    fn rate(&self, side: Side) -> f64 {
        median(self.of(side).iter().map(Turn::rate))
    }

    /// How the rates are to each other: the median of what the rounds show.
    fn ratio(&self, side: Side, other: Side) -> f64 {
        let rounds = self.of(side).iter().zip(self.of(other));
        median(rounds.map(|(one, other)| one.rate() / other.rate()))
    }

    /// Microseconds of a processor for each that was sent; rates say less where others are at work on the machine.
    fn cost(&self, side: Side, of: fn(&Turn) -> Duration) -> f64 {
        let turns = self.of(side);
        let spent: Duration = turns.iter().map(of).sum();
        spent.as_secs_f64() * 1e6 / number(turns.iter().map(|turn| turn.count).sum())
    }

    fn text(&self, what: &str) -> String {
        let mut text =
            format!("\n{what:<34} {:>9} {:>9} {:>9} {:>10} {:>10}\n", "a second", "least", "most", "server", "sender");
        for side in Side::ALL {
            let rates = || self.of(side).iter().map(Turn::rate);
            let least = rates().fold(f64::INFINITY, f64::min);
            let most = rates().fold(0.0, f64::max);
            let _fine = writeln!(
                text,
                "  {:<32} {:>9.0} {least:>9.0} {most:>9.0} {:>7.0} µs {:>7}",
                side.name(),
                self.rate(side),
                self.cost(side, |turn| turn.served),
                if side == Side::Bare { "-".into() } else { format!("{:.0} µs", self.cost(side, |turn| turn.own)) },
            );
        }
        let (beside, whole) = (self.ratio(Side::Ours, Side::Slixmpp), self.ratio(Side::Ours, Side::Bare));
        let most = self.ratio(Side::Bare, Side::Slixmpp);
        let _fine = writeln!(
            text,
            "The aim, {TIMES_SLIXMPP} times slixmpp's rate: {} ({beside:.2}).{}",
            verdict(beside >= TIMES_SLIXMPP),
            if most < TIMES_SLIXMPP {
                format!(" The server itself takes no more than {most:.2} times slixmpp's.")
            } else {
                String::new()
            },
        );
        let _fine = writeln!(
            text,
            "The aim, {OF_THE_SERVER} of what the server itself can take: {} ({whole:.2}).",
            verdict(whole >= OF_THE_SERVER)
        );
        text
    }
}

impl Each<Vec<Duration>> {
    /// More of one side.
    pub fn add(&mut self, side: Side, times: Vec<Duration>) {
        self.of_mut(side).extend(times);
    }
}

/// All that was measured.
#[derive(Debug, Default)]
pub struct Figures {
    /// One to each member.
    pub messages: Each<Vec<Turn>>,
    /// One on each node.
    pub publishes: Each<Vec<Turn>>,
    /// Each by itself.
    pub pops: Each<Vec<Duration>>,
    /// The desk's, while messages go out.
    pub amid: Vec<Duration>,
}

impl Figures {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = self.messages.text("messages, acknowledged");
        text.push_str(&self.publishes.text("publishes, confirmed"));
        text.push_str(&report::head());
        let sorted = |side| report::sorted(self.pops.of(side).iter().copied());
        for side in Side::ALL {
            text.push_str(&report::row(&format!("one pop at a time, confirmed: {}", side.name()), &sorted(side)));
        }
        let amid = report::sorted(self.amid.iter().copied());
        text.push_str(&report::row("  Usher, while 1,000 messages go out", &amid));
        for part in [50, 99] {
            let of = |side| report::percentile(&sorted(side), part).unwrap_or_default().as_secs_f64();
            let ratio = of(Side::Ours) / of(Side::Bare);
            let _fine = writeln!(
                text,
                "The aim, p{part} at most {TIMES_BARE} times the bare round trip's: {} ({ratio:.2}).",
                verdict(ratio <= TIMES_BARE)
            );
        }
        text
    }
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}

/// What was tried, as rates.
pub fn tries(what: &str, count: usize, tried: &[(usize, Duration)]) -> String {
    let settings: BTreeSet<usize> = tried.iter().map(|(setting, _)| *setting).collect();
    let rates =
        settings.into_iter().map(|setting| format!("{setting}: {:.0}", number(count) / of_setting(tried, setting)));
    format!("{what} a second, tried with {}", rates.collect::<Vec<_>>().join(", "))
}

/// The setting with the shortest median.
pub fn fastest(tried: &[(usize, Duration)]) -> usize {
    let settings = tried.iter().map(|(setting, _)| *setting);
    let shortest = settings.min_by(|a, b| of_setting(tried, *a).total_cmp(&of_setting(tried, *b)));
    shortest.unwrap_or_default()
}

fn of_setting(tried: &[(usize, Duration)], setting: usize) -> f64 {
    median(tried.iter().filter(|(tried, _)| *tried == setting).map(|(_, took)| took.as_secs_f64()))
}

/// The one in the middle; of two, the mean. 0 of nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(count: usize, millis: u64) -> Turn {
        Turn {
            count,
            took: Duration::from_millis(millis),
            served: Duration::from_millis(millis / 2),
            own: Duration::ZERO,
        }
    }

    fn rates(ours: u64, slixmpp: u64, bare: u64) -> Each<Vec<Turn>> {
        let mut each = Each::<Vec<Turn>>::default();
        for (side, millis) in [(Side::Ours, ours), (Side::Slixmpp, slixmpp), (Side::Bare, bare)] {
            // A round in which the machine stood still, for all of them.
            each.add(side, turn(1_000, millis * 50));
            each.add(side, turn(1_000, millis));
            each.add(side, turn(1_000, millis));
        }
        each
    }

    #[test]
    fn rates_are_compared_by_round_and_one_slow_round_does_not_count() {
        let each = rates(100, 350, 95);
        assert!((each.rate(Side::Ours) - 10_000.0).abs() < 1e-6);
        assert!((each.ratio(Side::Ours, Side::Slixmpp) - 3.5).abs() < 1e-6);
        assert!((each.cost(Side::Ours, |turn| turn.served) - 50.0 * 52.0 / 3.0).abs() < 1e-6);
        let text = each.text("messages");
        assert_eq!((text.matches("kept").count(), text.contains("MISSED")), (2, false), "{text}");
    }

    #[test]
    fn an_aim_that_the_server_does_not_allow_is_missed_and_that_is_said() {
        let text = rates(100, 200, 95).text("messages");
        assert!(
            text.contains("3 times slixmpp's rate: MISSED (2.00). The server itself takes no more than 2.11"),
            "{text}"
        );
        let text = rates(100, 400, 80).text("messages");
        assert!(text.contains("0.9 of what the server itself can take: MISSED (0.80)"), "{text}");
        assert!(text.contains("rate: kept (4.00).\n"), "{text}");
    }

    #[test]
    fn pops_are_judged_at_the_median_and_at_p99() {
        let mut figures = Figures { messages: rates(1, 1, 1), publishes: rates(1, 1, 1), ..Figures::default() };
        let pops = |slow: u64| (0..100).map(|n| Duration::from_micros(if n < 90 { 1_000 } else { slow })).collect();
        figures.pops.add(Side::Ours, pops(2_000));
        figures.pops.add(Side::Bare, pops(1_200));
        let text = figures.text();
        assert!(text.contains("p50 at most 1.5 times the bare round trip's: kept (1.00)"), "{text}");
        assert!(text.contains("p99 at most 1.5 times the bare round trip's: MISSED (1.67)"), "{text}");
    }

    #[test]
    fn the_setting_with_the_shortest_median_is_taken_and_not_the_luckiest() {
        let tried = [(8, 5), (16, 4), (8, 1), (16, 4), (8, 6), (16, 3)];
        assert_eq!(fastest(&tried.map(|(setting, millis)| (setting, Duration::from_millis(millis)))), 16);
    }

    #[test]
    fn the_median_of_an_even_count_is_between_the_two_in_the_middle() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
        assert!(median(std::iter::empty()).abs() < 1e-9);
    }
}
