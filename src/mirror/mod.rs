//! Service: keeps the members of Asterisk's own app_queue in step with the roster, so that the dialplan finds the same
//! members there while the service is away.
//!
//! ```text
//!   floor ─Register─▶ keeper (1x a server) ──"what have you got?"──▶ ari
//!                        │    ▲                                       │
//!                        │    └──members, penalties, pauses───────────┤
//!                        └──add, change, remove: context usher-mirror─┘
//! ```
//!
//! After each connect all queues are compared, later those that were touched by a change; now and then all again. A queue is
//! compared with all its members, since app_queue tells them only together. Nothing is
//! taken for done because it was sent: app_queue is asked again until it is in step.

mod queues;

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ari::{self, Ari},
    domain::{
        id::QueueName,
        queue::{
            mirror::{self, Queues},
            roster::Register,
        },
    },
    link::Link,
    mirror::queues::{AppQueue, Compared, Trouble},
};

/// How often everything is compared although nothing has changed: somebody may have changed app_queue by hand.
const SWEEP: Duration = Duration::from_secs(300);
/// How long to wait before everything is asked anew when an answer was missing although the link stands.
const RETRY: Duration = Duration::from_secs(1);
/// Between a change and the look whether it was made. Asterisk needs milliseconds; who is not in step after all of them
/// will not be by waiting, and the log says so.
const LOOKS: [Duration; 6] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// The mirror, to others.
#[derive(Debug)]
pub struct Handle {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Has the last changes carried out where there is a link, and ends. The members stay where they are.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the mirror ended badly");
            }
        }
    }
}

/// Starts with what `roster` holds, and follows it.
pub fn spawn(asterisks: impl Iterator<Item = Ari>, roster: &watch::Receiver<Register>) -> Handle {
    let stop = CancellationToken::new();
    let keeper = |ari: Ari| Keeper {
        link: ari.link(),
        asterisk: AppQueue::new(ari),
        roster: roster.clone(),
        seen: 0,
        wanted: Queues::new(),
        told: Queues::new(),
        complaints: BTreeSet::new(),
        stop: stop.clone(),
    };
    let tasks = asterisks.map(|ari| tokio::spawn(keeper(ari).run())).collect();
    Handle { stop, tasks }
}

/// One server's.
struct Keeper {
    asterisk: AppQueue,
    link: watch::Receiver<Link>,
    roster: watch::Receiver<Register>,
    /// The revision of the roster that is wanted.
    seen: u64,
    wanted: Queues,
    /// What was asked for on this connection.
    told: Queues,
    /// What the log has said and is still true.
    complaints: BTreeSet<Complaint>,
    stop: CancellationToken,
}

/// What an operator should know; said once while it lasts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Complaint {
    /// No queue at all can be kept, and why.
    Nothing(&'static str),
    /// The queue is not in queues.conf, and somebody is logged on to it.
    Missing(QueueName),
    /// It does not become what it should be.
    Stubborn(QueueName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    On,
    Stopped,
}

impl Keeper {
    async fn run(mut self) {
        let mut going = Going::On;
        while going == Going::On {
            let stop = self.stop.clone();
            let up = tokio::select! {
                up = self.link.wait_for(Link::is_up) => up.is_ok(),
                () = stop.cancelled() => false,
            };
            if !up {
                return;
            }
            // Asterisk may be another one than before.
            self.told.clear();
            going = self.connected().await;
        }
    }

    /// From a connect to the end of that connection.
    async fn connected(&mut self) -> Going {
        let mut sweep = Instant::now();
        let mut due = self.take_in();
        loop {
            if sweep <= Instant::now() {
                sweep = Instant::now() + SWEEP;
                due.extend(self.wanted.keys().chain(self.told.keys()).cloned());
            }
            if !due.is_empty()
                && let Err(error) = self.bring_in_step(std::mem::take(&mut due)).await
            {
                tracing::debug!(server.name = %self.asterisk.server(), %error, "app_queue could not be asked");
                sweep = Instant::now() + RETRY;
            }
            let stop = self.stop.clone();
            tokio::select! {
                biased;
                fell = self.link.changed() => return if fell.is_ok() { Going::On } else { Going::Stopped },
                Ok(()) = self.roster.changed() => due = self.take_in(),
                () = stop.cancelled() => return Going::Stopped,
                () = sleep_until(sweep) => {}
            }
        }
    }

    /// Looks at the queues that were touched; yields those that are wanted otherwise than they were asked for.
    fn take_in(&mut self) -> BTreeSet<QueueName> {
        let roster = self.roster.borrow_and_update();
        let touched: Vec<QueueName> = roster.touched_since(self.seen).cloned().collect();
        self.seen = roster.revision();
        for queue in &touched {
            match mirror::wanted(&roster, queue) {
                Some(members) => drop(self.wanted.insert(queue.clone(), members)),
                None => drop(self.wanted.remove(queue)),
            }
        }
        touched.into_iter().filter(|name| self.wanted.get(name) != self.told.get(name)).collect()
    }

    /// Changes and looks again until these queues are in step, or as often as [`LOOKS`] says.
    async fn bring_in_step(&mut self, mut due: BTreeSet<QueueName>) -> Result<(), ari::Error> {
        for pause in LOOKS {
            let compared = self.asterisk.compare(&due, &self.wanted, &self.told).await;
            for queue in &due {
                match self.wanted.get(queue) {
                    Some(members) => drop(self.told.insert(queue.clone(), members.clone())),
                    None => drop(self.told.remove(queue)),
                }
            }
            match compared {
                Ok(compared) => due = self.note(&due, compared),
                Err(Trouble::Link(error)) => {
                    self.told.clear();
                    return Err(error);
                }
                Err(Trouble::Nothing(why)) => {
                    if self.complaints.insert(Complaint::Nothing(why)) {
                        tracing::warn!(
                            server.name = %self.asterisk.server(),
                            "app_queue has no members for the time when this service is away: {why}"
                        );
                    }
                    return Ok(());
                }
            }
            if due.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
        }
        for queue in due {
            if self.complaints.insert(Complaint::Stubborn(queue.clone())) {
                tracing::warn!(
                    server.name = %self.asterisk.server(), queue.name = %queue,
                    "app_queue does not take over the members of this queue: is the context usher-mirror in the dialplan, \
                     and are there members in queues.conf, which cannot be removed?"
                );
            }
        }
        Ok(())
    }

    /// Says what is new about these queues; yields those that must be looked at again.
    fn note(&mut self, asked: &BTreeSet<QueueName>, compared: Compared) -> BTreeSet<QueueName> {
        let server = self.asterisk.server().clone();
        self.complaints.retain(|complaint| match complaint {
            Complaint::Nothing(_) => false,
            Complaint::Missing(queue) => !asked.contains(queue) || compared.missing.contains(queue),
            Complaint::Stubborn(queue) => !asked.contains(queue) || compared.changing.contains(queue),
        });
        for queue in compared.missing {
            if self.wanted.get(&queue).is_some_and(|members| !members.is_empty())
                && self.complaints.insert(Complaint::Missing(queue.clone()))
            {
                tracing::warn!(
                    server.name = %server, queue.name = %queue,
                    "this queue is not in queues.conf: while the service is away its callers reach the fallback phone only"
                );
            }
        }
        if compared.changes > 0 {
            tracing::info!(server.name = %server, changes = compared.changes, "members of app_queue changed");
        }
        compared.changing
    }
}
