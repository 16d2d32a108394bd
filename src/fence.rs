//! Whether this process may act on the outer world at this very moment.
//!
//! Of two services with one configuration only one may ring phones. Whoever holds the office has a [`Gate`]; the shells hold a
//! [`Fence`] each and look at it right before they send. It closes by itself when nobody moves it on: a process that was stopped and
//! wakes up in the middle of anything finds it closed. It decides nothing: when the gate moves is decided elsewhere.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::sleep_until,
};

/// The side that opens and closes.
#[derive(Debug)]
pub struct Gate {
    until: watch::Sender<Until>,
    signals: Arc<Signals>,
}

/// The side that looks.
#[derive(Debug, Clone)]
pub struct Fence {
    until: watch::Receiver<Until>,
    signals: Arc<Signals>,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    Ever,
    Moment(Instant),
    /// As long as nobody else is seen to act.
    Alone {
        since: Instant,
        until: Instant,
    },
}

/// What the shells report back.
#[derive(Debug, Default)]
struct Signals {
    replaced: Notify,
    /// For each exclusive connection: what is known of whose it is.
    places: Mutex<BTreeMap<String, Place>>,
}

/// What is known of an exclusive connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing since its last end.
    Unknown,
    /// Ours: it has answered what was asked then.
    Ours { asked: Instant },
    /// The other side could not be reached when it was asked then.
    Unreachable { asked: Instant },
}

impl Gate {
    /// Open until then.
    pub fn new(until: Instant) -> (Self, Fence) {
        let signals = Arc::new(Signals::default());
        let (until, looked_at) = watch::channel(Until::Moment(until));
        (Self { until, signals: Arc::clone(&signals) }, Fence { until: looked_at, signals })
    }

    /// Moves it: open until then, closed if that is past.
    pub fn set(&self, until: Instant) {
        self.until.send_replace(Until::Moment(until));
    }

    /// The same, as long as nobody else is seen to act: whoever would not be told of another one looks first.
    pub fn set_alone(&self, until: Instant) {
        let since = match *self.until.borrow() {
            Until::Alone { since, .. } => since,
            Until::Ever | Until::Moment(_) => Instant::now(),
        };
        self.until.send_replace(Until::Alone { since, until });
    }

    /// Returns when a shell has been told that somebody else has taken its place.
    pub async fn replaced(&self) {
        self.signals.replaced.notified().await;
    }

    /// The moment at which every exclusive connection was ours still, but for those whose other side could not be reached then.
    /// `None` while nothing is known of one, and when none is ours.
    pub fn proven(&self) -> Option<Instant> {
        let places = self.signals.places();
        let ours = places.values().any(|place| matches!(place, Place::Ours { .. }));
        let asked = places.values().map(|place| match *place {
            Place::Unknown => None,
            Place::Ours { asked } | Place::Unreachable { asked } => Some(asked),
        });
        asked.min().flatten().filter(|_| ours)
    }
}

impl Fence {
    /// One that never closes, for a program that shares nothing.
    pub fn open() -> Self {
        // The value outlives its sender.
        let (_, until) = watch::channel(Until::Ever);
        Self { until, signals: Arc::default() }
    }

    /// Whether this process may act now.
    pub fn holds(&self) -> bool {
        match *self.until.borrow() {
            Until::Ever => true,
            Until::Moment(until) | Until::Alone { until, .. } => Instant::now() < until,
        }
    }

    /// Whether this process may act now, and nobody else may.
    pub fn is_exclusive(&self) -> bool {
        !matches!(*self.until.borrow(), Until::Alone { .. }) && self.holds()
    }

    /// Returns when it may; at once if so, never if it never will.
    pub async fn opened(&mut self) {
        while !self.holds() {
            if self.until.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    }

    /// Since when this process is on its own, if it is.
    fn alone_since(&self) -> Option<Instant> {
        match *self.until.borrow() {
            Until::Alone { since, .. } => Some(since),
            Until::Ever | Until::Moment(_) => None,
        }
    }

    /// Returns when this process has been on its own for so long, and nobody else has been seen to act; at once if there never is
    /// anybody else.
    pub async fn alone_for(&mut self, long: Duration) {
        loop {
            if matches!(*self.until.borrow_and_update(), Until::Ever) {
                return;
            }
            let since = self.alone_since();
            let is_over = async {
                match since {
                    Some(since) => sleep_until((since + long).into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = is_over => return,
                moved = self.until.changed() => if moved.is_err() {
                    pending::<()>().await;
                },
            }
        }
    }

    /// A shell was told that its exclusive place was taken by another program.
    pub fn report_replaced(&self) {
        self.signals.replaced.notify_one();
    }

    /// An exclusive connection is ours: it has answered what was asked at that moment.
    pub fn report_proof(&self, connection: &str, asked: Instant) {
        self.report(connection, Place::Ours { asked });
    }

    /// Whose an exclusive connection is could not be asked at that moment: the other side cannot be reached.
    pub fn report_unreachable(&self, connection: &str, asked: Instant) {
        self.report(connection, Place::Unreachable { asked });
    }

    /// There is an exclusive connection of which nothing is known: not made yet, or no more.
    pub fn report_unknown(&self, connection: &str) {
        self.report(connection, Place::Unknown);
    }

    fn report(&self, connection: &str, place: Place) {
        self.signals.places().insert(connection.to_owned(), place);
    }
}

impl Signals {
    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_fence_closes_by_itself_and_opens_only_when_the_gate_is_moved() {
        let (gate, mut fence) = Gate::new(Instant::now() + Duration::from_secs(3600));
        assert!(fence.holds());
        let now = Instant::now();
        gate.set(now + Duration::from_millis(30));
        while fence.holds() {
            tokio::task::yield_now().await;
        }
        assert!(now.elapsed() >= Duration::from_millis(30));
        let mut other = fence.clone();
        let opened = tokio::spawn(async move { other.opened().await });
        gate.set(Instant::now());
        tokio::task::yield_now().await;
        assert!(!opened.is_finished() && !fence.holds());
        gate.set(Instant::now() + Duration::from_secs(3600));
        opened.await.unwrap();
        fence.opened().await;
        assert!(fence.is_exclusive());
        gate.set_alone(Instant::now() + Duration::from_secs(3600));
        assert!(fence.holds() && !fence.is_exclusive());
        assert!(Fence::open().holds() && Fence::open().is_exclusive());
    }

    #[tokio::test]
    async fn who_is_alone_counts_from_the_first_moment_of_it_and_anew_after_it_was_not() {
        let far = Instant::now() + Duration::from_secs(3600);
        let (gate, mut fence) = Gate::new(far);
        {
            let mut waits = pin!(fence.alone_for(Duration::ZERO));
            assert!(poll!(&mut waits).is_pending(), "the database is there");
            gate.set_alone(far);
            waits.await;
        }
        let first = fence.alone_since();
        assert!(first.is_some());
        // The clock has gone on.
        while first >= Some(Instant::now()) {}
        gate.set_alone(far);
        assert_eq!(fence.alone_since(), first);
        assert!(poll!(pin!(fence.alone_for(Duration::from_secs(3600)))).is_pending());
        gate.set(far);
        assert_eq!(fence.alone_since(), None);
        gate.set_alone(far);
        assert!(fence.alone_since() > first);
        Fence::open().alone_for(Duration::from_secs(3600)).await;
    }

    #[test]
    fn connections_prove_as_much_as_the_one_that_was_heard_last_of_all() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let (gate, fence) = Gate::new(now);
        assert_eq!(gate.proven(), None);
        fence.report_proof("one", later(2));
        fence.report_proof("two", now);
        assert_eq!(gate.proven(), Some(now));
        fence.report_unknown("two");
        assert_eq!(gate.proven(), None, "another one may be at work there");
        fence.report_unreachable("two", later(1));
        assert_eq!(gate.proven(), Some(later(1)), "nobody is at work where nobody can be reached");
        fence.report_unreachable("one", later(3));
        assert_eq!(gate.proven(), None, "nobody has said that we are still the one");
    }
}
