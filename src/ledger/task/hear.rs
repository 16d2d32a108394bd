//! What the task tells the floor of the roster: all of it once and after a gap, else the rows that have changed.
//!
//! Rows of one transaction never come apart. What is loaded carries a mark that the listener hears, and announcements come in the
//! order of their transactions: so whatever these rows can hold has been announced before the mark, and is loaded with them.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::{
    db::{Error, heard::Due, roster, talks},
    domain::{
        id::{Extension, QueueName},
        queue::{
            floor::REMEMBERED,
            roster::{Keys, RosterChange},
        },
    },
    ledger::{
        News, Unavailable,
        task::{Begun, Task},
    },
};

/// How long the first of several changed rows waits for others.
const MOMENT: Duration = Duration::from_millis(3);
/// How often rows are loaded with more of them before it is simpler to load all.
const ROUNDS: usize = 8;

impl Task {
    /// Loads what is due.
    pub(super) async fn hear(&mut self) -> Option<News> {
        let everything = self.begun == Begun::NotYet || *self.heard.borrow().roster() == Due::Everything;
        if everything {
            // What waits first, so that the snapshot knows the calls that ended; one batch, so that it is not put off.
            self.write().await;
            return self.load().await;
        }
        // The rows of one command come within moments.
        sleep(MOMENT).await;
        match self.take_roster() {
            Due::These(keys) => self.load_rows(keys).await,
            Due::Everything => self.load().await,
        }
    }

    fn take_roster(&self) -> Due<Keys> {
        let mut taken = Due::default();
        self.shared.heard.send_if_modified(|heard| {
            taken = heard.take_roster();
            false
        });
        taken
    }

    /// These rows must be loaded yet, or all.
    fn put_back(&self, due: &Due<Keys>) {
        self.shared.heard.send_modify(|heard| match due {
            Due::These(keys) => heard.rows_changed(keys),
            Due::Everything => heard.all_rows_changed(),
        });
    }

    /// Loads everything.
    async fn load(&mut self) -> Option<News> {
        if !self.what_was_left_is_known().await {
            self.put_back(&Due::Everything);
            return None;
        }
        // Before asking: a change that is announced while the answer is on its way is loaded again.
        drop(self.take_roster());
        let pool = &self.shared.pool;
        let work = async {
            let mut lease = pool.lease().await?;
            let roster = roster::load(&mut lease).await?;
            lease.done();
            Ok(roster)
        };
        match pool.bounded(work).await {
            Ok(roster) => {
                self.well();
                debug!(agents = roster.agents.len(), queues = roster.queues.len(), "roster loaded");
                Some(News::Whole(Arc::new(roster)))
            }
            Err(failure) => {
                self.put_back(&Due::Everything);
                self.failed(&failure);
                None
            }
        }
    }

    /// Loads these rows, and with them those that are announced before it can be known that they do not belong together; if there
    /// is no end to these, everything.
    async fn load_rows(&mut self, mut keys: Keys) -> Option<News> {
        for _ in 0..ROUNDS {
            if self.begun == Begun::NotYet {
                break;
            }
            match self.load_marked(keys.clone()).await {
                Ok(change) => {
                    let more = match self.heard.borrow().roster() {
                        Due::Everything => break,
                        // They may have been announced before they were loaded, or since: in that case they are loaded again.
                        Due::These(more) if more.is_within(&keys) => None,
                        Due::These(more) => Some(more.clone()),
                    };
                    let Some(more) = more else {
                        self.well();
                        debug!(rows = keys.len(), "roster loaded, the rows that changed");
                        return Some(News::Change(Arc::new(change)));
                    };
                    drop(self.take_roster());
                    keys.extend(&more);
                }
                Err(failure) => {
                    self.put_back(&Due::These(keys));
                    self.failed(&failure);
                    return None;
                }
            }
        }
        self.load().await
    }

    /// Loads these rows, and waits until everything was heard that was announced before.
    async fn load_marked(&mut self, keys: Keys) -> Result<RosterChange, Error> {
        self.marks += 1;
        let (mark, pool, mut heard) = (self.marks, &self.shared.pool, self.heard.clone());
        let work = async {
            let mut lease = pool.lease().await?;
            let change = roster::load_rows(&mut lease, keys, &format!("{} {mark}", self.shared.listener)).await?;
            lease.done();
            // The sender is in our own hands.
            let _ = heard.wait_for(|heard| heard.mark() >= mark).await;
            Ok(change)
        };
        pool.bounded(work).await
    }

    /// After the first roster: tells with whom customers spoke last.
    pub(super) async fn recall(&mut self) {
        if self.begun == Begun::Yes {
            return;
        }
        self.begun = Begun::Yes;
        let pool = &self.shared.pool;
        let work = async {
            let lease = pool.lease().await?;
            let talks = talks::last(&lease, REMEMBERED).await?;
            lease.done();
            Ok(talks)
        };
        let talks = match pool.bounded(work).await {
            Ok(talks) => talks,
            Err(error) => {
                warn!(%error, "the last talks could not be read: no customer is given the same agent again, until their next talk");
                return;
            }
        };
        debug!(talks = talks.len(), "last talks loaded");
        // Nobody reads any more when the service stops.
        let _ = self.news.send(News::PastTalks(Arc::new(talks))).await;
    }

    /// Loads the member's rows and hands them over now; if that fails they stay due.
    pub(super) async fn hand_over(
        &mut self,
        queue: Option<QueueName>,
        extension: Extension,
    ) -> Result<(), Unavailable> {
        let news = match self.take_roster() {
            Due::These(mut keys) => {
                keys.extend(&Keys::of_agent(extension.clone()));
                if let Some(queue) = queue {
                    keys.extend(&Keys::of_membership(queue, extension));
                }
                self.load_rows(keys).await
            }
            Due::Everything => self.load().await,
        };
        let Some(news) = news else {
            return Err(Unavailable::new("the change is made, but could not be read back"));
        };
        let sent = timeout(self.shared.timeout, self.news.send(news)).await;
        match sent {
            Ok(Ok(())) => {
                self.recall().await;
                Ok(())
            }
            Ok(Err(_)) => Err(Unavailable::new("the service is stopping")),
            Err(_) => {
                // It was taken for handed over: have all of it loaded again.
                self.put_back(&Due::Everything);
                Err(Unavailable::new("the floor is busy"))
            }
        }
    }
}
