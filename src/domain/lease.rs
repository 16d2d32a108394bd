//! Which of two services is active: the rules of the lease, on both sides.
//!
//! [`Hold`] is the active one's: whether it may still act. [`Watch`] is the standby's: whether it may take over. Both know only
//! what they saw and when, by their own steady clock; ARCHITECTURE.md ("Two processes") has the reasoning.

use std::time::{Duration, Instant};

/// How long one renewal is good for, counted by the active one from the moment before it asked.
pub const LEASE: Duration = Duration::from_secs(3);
/// How often it is renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How far the active one goes ahead on its own while the database is away: a process that was stopped for longer has to prove itself.
pub const ALONE: Duration = Duration::from_millis(1500);
/// How long after the active one has lost the database another one may take its place: a lease, the time that it is watched, and the
/// looks and connections in between.
pub const TAKEN_OVER: Duration = Duration::from_secs(5);
/// How long the holder's connection must have been gone before its death is believed: a live one is back sooner.
pub const GONE: Duration = Duration::from_millis(750);
/// How long a lease that is over must have been watched: after a restart of the database its holder comes first.
pub const UNCHANGED: Duration = Duration::from_secs(1);

/// Grows with each change of hands. What carries an older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub i64);

/// What the holder hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The database has renewed the lease; it was asked at that moment.
    Renewed {
        /// Before the question was sent.
        asked: Instant,
    },
    /// The database could not be asked.
    Unreachable,
    /// The database says that the lease is another one's.
    Taken,
    /// An Asterisk says that another program has taken our place there.
    Replaced,
    /// Every Asterisk connection was still ours at that moment.
    Proven {
        /// When the question was sent that was answered.
        asked: Instant,
    },
    /// Nothing: time goes by.
    Tick,
}

/// Whether the holder may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Until then.
    Sure {
        /// By the steady clock.
        until: Instant,
        /// Why.
        ground: Ground,
    },
    /// Not before it is confirmed that nobody else does.
    Doubtful,
    /// No more: somebody else is active.
    Lost,
}

/// What the holder's confidence rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// The database has said so.
    Lease,
    /// The database is away, and nobody has been heard to take our place. Where we would not hear it, we have to look.
    Alone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contact {
    Database,
    /// The last question was not answered.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sure {
        until: Instant,
    },
    Doubtful {
        since: Instant,
    },
    /// Somebody has our place on an Asterisk: the database will say whether they have the lease as well.
    Replaced,
    Lost,
}

/// The active one's side.
#[derive(Debug)]
pub struct Hold {
    state: State,
    contact: Contact,
}

impl Hold {
    /// Begins with a lease that was asked for at that moment.
    pub fn new(asked: Instant) -> Self {
        Self { state: State::Sure { until: asked + LEASE }, contact: Contact::Database }
    }

    /// Takes in what was heard, and says where we stand now.
    pub fn step(&mut self, heard: Heard, now: Instant) -> Standing {
        // Before anything else: has it run out unnoticed?
        if let State::Sure { until } = self.state
            && now >= until
        {
            self.state = State::Doubtful { since: now };
        }
        match (heard, self.state) {
            (_, State::Lost) => {}
            (Heard::Taken, _) => self.state = State::Lost,
            (Heard::Renewed { asked }, _) => {
                self.contact = Contact::Database;
                let until = asked + LEASE;
                self.state = if now < until { State::Sure { until } } else { State::Doubtful { since: now } };
            }
            (Heard::Unreachable, State::Replaced) => self.state = State::Lost,
            (Heard::Unreachable, State::Sure { .. } | State::Doubtful { .. }) => {
                self.contact = Contact::None;
                self.go_on_alone(now);
            }
            (Heard::Replaced, _) => {
                self.state = match self.contact {
                    Contact::Database => State::Replaced,
                    Contact::None => State::Lost,
                };
            }
            (Heard::Proven { asked }, State::Doubtful { since }) => {
                if self.contact == Contact::None && asked >= since {
                    self.state = State::Sure { until: now + ALONE };
                }
            }
            (Heard::Tick, _) => self.go_on_alone(now),
            (Heard::Proven { .. }, State::Sure { .. } | State::Replaced) => {}
        }
        self.standing()
    }

    /// While nobody can ask the database, whoever was awake all the time goes on.
    fn go_on_alone(&mut self, now: Instant) {
        if let State::Sure { until } = self.state
            && self.contact == Contact::None
        {
            self.state = State::Sure { until: until.max(now + ALONE) };
        }
    }

    fn standing(&self) -> Standing {
        match self.state {
            State::Sure { until } => {
                let ground = match self.contact {
                    Contact::Database => Ground::Lease,
                    Contact::None => Ground::Alone,
                };
                Standing::Sure { until, ground }
            }
            State::Doubtful { .. } | State::Replaced => Standing::Doubtful,
            State::Lost => Standing::Lost,
        }
    }
}

/// The lease as the standby sees it. `M` identifies one renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<M> {
    /// Nobody holds it: never held, or given back.
    Free,
    /// Somebody does.
    Held {
        /// Changes with every renewal.
        renewal: M,
        /// Whether the holder's connection to the database is there.
        holder: Holder,
        /// Whether it is over, by the database's clock.
        term: Term,
    },
}

/// Whether the holder's connection is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// It is.
    Present,
    /// It is not.
    Gone,
}

/// Whether a lease runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// It does.
    Running,
    /// It is over.
    Over,
}

/// What the standby does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take over.
    Take,
    /// Look again.
    Wait,
}

/// The standby's side.
#[derive(Debug)]
pub struct Watch<M> {
    last: Option<Sight<M>>,
}

#[derive(Debug)]
struct Sight<M> {
    renewal: M,
    since: Instant,
    gone: Option<Instant>,
}

impl<M> Default for Watch<M> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<M: PartialEq> Watch<M> {
    /// Takes in what was seen.
    pub fn step(&mut self, seen: Seen<M>, now: Instant) -> Verdict {
        let Seen::Held { renewal, holder, term } = seen else { return Verdict::Take };
        let sight = match self.last.take() {
            Some(sight) if sight.renewal == renewal => sight,
            Some(_) | None => Sight { renewal, since: now, gone: None },
        };
        let gone = match holder {
            Holder::Present => None,
            Holder::Gone => Some(sight.gone.unwrap_or(now)),
        };
        let dead = gone.is_some_and(|gone| now.duration_since(gone) >= GONE);
        let silent = term == Term::Over && now.duration_since(sight.since) >= UNCHANGED;
        self.last = Some(Sight { gone, ..sight });
        if dead || silent { Verdict::Take } else { Verdict::Wait }
    }

    /// Nothing could be seen: what was seen before counts no more.
    pub fn blind(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "any moment to count from")]

    use super::*;

    const STEP: Duration = Duration::from_millis(250);

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn is_sure(standing: Standing) -> bool {
        matches!(standing, Standing::Sure { .. })
    }

    #[test]
    fn a_renewal_is_good_from_the_moment_before_it_was_asked_for() {
        let start = Instant::now();
        let mut hold = Hold::new(start);
        let standing = hold.step(Heard::Renewed { asked: start + ms(1000) }, start + ms(2500));
        assert_eq!(standing, Standing::Sure { until: start + ms(1000) + LEASE, ground: Ground::Lease });
        // An answer that took longer than the lease is worth nothing.
        let late = hold.step(Heard::Renewed { asked: start + ms(2000) }, start + ms(2000) + LEASE);
        assert_eq!(late, Standing::Doubtful);
    }

    #[test]
    fn one_that_was_stopped_does_nothing_before_the_database_says_that_it_may() {
        let start = Instant::now();
        let mut hold = Hold::new(start);
        let woke = start + LEASE + ms(4000);
        assert_eq!(hold.step(Heard::Tick, woke), Standing::Doubtful);
        // A proof is nothing while the database can be asked.
        assert_eq!(hold.step(Heard::Proven { asked: woke }, woke), Standing::Doubtful);
        assert_eq!(hold.step(Heard::Taken, woke), Standing::Lost);
        assert_eq!(hold.step(Heard::Renewed { asked: woke }, woke), Standing::Lost, "lost is lost");
    }

    #[test]
    fn while_the_database_is_away_whoever_is_awake_goes_on_for_hours() {
        let start = Instant::now();
        let mut hold = Hold::new(start);
        assert!(is_sure(hold.step(Heard::Unreachable, start + ms(2000))));
        let mut now = start + ms(2000);
        for _ in 0..10_000 {
            now += STEP;
            let standing = hold.step(Heard::Tick, now);
            assert!(matches!(standing, Standing::Sure { ground: Ground::Alone, .. }), "{standing:?}");
        }
        assert!(is_sure(hold.step(Heard::Renewed { asked: now }, now + ms(5))));
    }

    #[test]
    fn one_that_was_stopped_while_the_database_is_away_goes_on_only_if_asterisk_still_knows_it() {
        let start = Instant::now();
        let mut hold = Hold::new(start);
        hold.step(Heard::Unreachable, start + ms(2900));
        let woke = start + ms(10_000);
        assert_eq!(hold.step(Heard::Tick, woke), Standing::Doubtful);
        assert_eq!(hold.step(Heard::Unreachable, woke + ms(100)), Standing::Doubtful);
        assert_eq!(hold.step(Heard::Proven { asked: woke - ms(1) }, woke + ms(100)), Standing::Doubtful, "old news");
        assert!(is_sure(hold.step(Heard::Proven { asked: woke + ms(1) }, woke + ms(100))));
    }

    #[test]
    fn one_that_is_replaced_asks_the_database_and_without_it_gives_way() {
        let start = Instant::now();
        let mut hold = Hold::new(start);
        assert_eq!(hold.step(Heard::Replaced, start + ms(100)), Standing::Doubtful);
        assert_eq!(hold.step(Heard::Tick, start + ms(200)), Standing::Doubtful);
        let foreign = hold.step(Heard::Renewed { asked: start + ms(200) }, start + ms(210));
        assert!(is_sure(foreign), "a program that shares no lease");
        assert_eq!(hold.step(Heard::Replaced, start + ms(300)), Standing::Doubtful);
        assert_eq!(hold.step(Heard::Unreachable, start + ms(400)), Standing::Lost);

        let mut alone = Hold::new(start);
        alone.step(Heard::Unreachable, start + ms(100));
        assert_eq!(alone.step(Heard::Replaced, start + ms(200)), Standing::Lost);
    }

    fn held(renewal: u32, holder: Holder, term: Term) -> Seen<u32> {
        Seen::Held { renewal, holder, term }
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        assert_eq!(Watch::<u32>::default().step(Seen::Free, Instant::now()), Verdict::Take);
    }

    #[test]
    fn a_holder_that_renews_is_left_alone_for_ever() {
        let start = Instant::now();
        let mut watch = Watch::default();
        for round in 0..1000_u32 {
            let seen = held(round / 4, Holder::Present, Term::Running);
            assert_eq!(watch.step(seen, start + STEP * round), Verdict::Wait);
        }
    }

    #[test]
    fn a_dead_holder_is_followed_within_a_second_and_a_silent_one_when_its_lease_is_over() {
        let start = Instant::now();
        let mut dead = Watch::default();
        assert_eq!(dead.step(held(1, Holder::Gone, Term::Running), start), Verdict::Wait);
        assert_eq!(dead.step(held(1, Holder::Gone, Term::Running), start + GONE), Verdict::Take);
        let mut silent = Watch::default();
        assert_eq!(silent.step(held(1, Holder::Present, Term::Running), start), Verdict::Wait);
        assert_eq!(silent.step(held(1, Holder::Present, Term::Running), start + ms(2900)), Verdict::Wait);
        assert_eq!(silent.step(held(1, Holder::Present, Term::Over), start + LEASE), Verdict::Take);
    }

    #[test]
    fn after_a_restart_of_the_database_its_holder_has_time_to_come_back() {
        let start = Instant::now();
        let mut watch = Watch::default();
        watch.step(held(1, Holder::Present, Term::Running), start);
        watch.blind();
        let back = start + ms(60_000);
        assert_eq!(watch.step(held(1, Holder::Gone, Term::Over), back), Verdict::Wait);
        assert_eq!(watch.step(held(2, Holder::Present, Term::Running), back + ms(400)), Verdict::Wait);
        assert_eq!(
            watch.step(held(2, Holder::Gone, Term::Running), back + GONE),
            Verdict::Wait,
            "absent only just now"
        );
    }
}
