//! Hears of changes made by others, and knows whether the server is there.
//!
//! Holds one connection of its own with `LISTEN usher_changed`, asks on it now and then whether the server still answers, and
//! makes a new one when it does not. After every (re)connect everything counts as changed: what happened in the gap was not
//! heard. What was announced is gathered by key, so that a burst of changes is one piece of news to whoever looks later.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::AsyncMessage;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    db::{
        Error, describe,
        heard::Heard,
        migrate,
        pool::{Connector, Messages, Statements},
        statements,
    },
    link::Link,
};

/// How often the server is asked whether it is there. A frozen one is noticed within this and `database.timeout`.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Wait before the second attempt to connect; doubled with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between attempts: short, because a local server is back within seconds and a refused attempt is cheap.
const BACKOFF_MOST: Duration = Duration::from_secs(5);

/// What the listener tells.
#[derive(Debug)]
pub struct Listener {
    /// What was announced; whoever acts upon it takes it out.
    pub heard: watch::Sender<Heard>,
    /// Of this listener, in the marks that it hears: `ID NUMBER` on `usher_loaded`.
    pub id: Uuid,
    /// Whether the server is there.
    pub link: watch::Receiver<Link>,
    /// Where others say that an answer was overdue, so that the listener looks at once.
    pub suspect: Arc<Notify>,
    /// The task.
    pub task: JoinHandle<()>,
}

/// Starts listening; never gives up until told to stop.
pub fn spawn(connector: Connector, stop: CancellationToken) -> Listener {
    let (heard, id) = (watch::Sender::new(Heard::default()), Uuid::new_v4());
    let (link, link_rx) = watch::channel(Link::Down { since: Timestamp::now(), why: "not connected yet".into() });
    let suspect = Arc::new(Notify::new());
    let task = Task { connector, heard: heard.clone(), id, link, suspect: Arc::clone(&suspect), stop };
    Listener { heard, id, link: link_rx, suspect, task: tokio::spawn(task.run()) }
}

struct Task {
    connector: Connector,
    heard: watch::Sender<Heard>,
    id: Uuid,
    link: watch::Sender<Link>,
    suspect: Arc<Notify>,
    stop: CancellationToken,
}

/// Why a session ended.
enum Lost {
    NeverUp(Error),
    Broken(Error),
}

impl Task {
    async fn run(self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.sessions()).await;
    }

    async fn sessions(self) {
        let mut attempt = 0;
        loop {
            let error = match self.session().await {
                Lost::NeverUp(error) => error,
                Lost::Broken(error) => {
                    attempt = 0;
                    error
                }
            };
            self.down(&error);
            sleep(backoff(attempt)).await;
            attempt += 1;
        }
    }

    /// One connection, from its beginning to its end.
    async fn session(&self) -> Lost {
        let (client, messages) = match self.connector.open(Statements::Bounded).await {
            Ok(opened) => opened,
            Err(error) => return Lost::NeverUp(error),
        };
        let (ended, mut end) = oneshot::channel();
        let driver = hear(messages, self.heard.clone(), self.id, ended);
        let _driver = AbortOnDropHandle::new(tokio::spawn(driver));

        let bound = self.connector.timeout();
        let ready = async {
            client.batch_execute(statements::LISTEN).await?;
            client.batch_execute(statements::LISTEN_FOR_MARKS).await?;
            migrate::check(&client).await
        };
        match timeout(bound, ready).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Lost::NeverUp(error),
            Err(_) => return Lost::NeverUp(Error::Timeout(bound)),
        }
        // Up first: whoever hears of the change may ask at once.
        self.up();
        self.heard.send_modify(Heard::missed);
        loop {
            tokio::select! {
                error = &mut end => return Lost::Broken(error.unwrap_or_else(|_| closed())),
                () = sleep(PING_EVERY) => {}
                () = self.suspect.notified() => {}
            }
            match timeout(bound, client.simple_query("")).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Lost::Broken(error.into()),
                Err(_) => return Lost::Broken(Error::Timeout(bound)),
            }
        }
    }

    fn up(&self) {
        info!("database connected");
        self.link.send_replace(Link::Up { since: Timestamp::now() });
    }

    /// `since` stays that of the first failure of a row.
    fn down(&self, error: &Error) {
        let why = error.to_string();
        self.link.send_modify(|link| match link {
            Link::Up { .. } => {
                warn!(%why, "database lost; calls go on, records wait in memory");
                *link = Link::Down { since: Timestamp::now(), why };
            }
            Link::Down { why: before, .. } if *before == why => debug!(%why, "database still away"),
            Link::Down { why: before, .. } => {
                warn!(%why, "no database");
                *before = why;
            }
        });
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

/// Moves the connection, and takes in what it tells, until it ends.
async fn hear(mut messages: Messages, heard: watch::Sender<Heard>, id: Uuid, ended: oneshot::Sender<Error>) {
    let error = loop {
        match messages.next().await {
            Some(Ok(AsyncMessage::Notification(notice))) if notice.channel() == "usher_loaded" => {
                let mark = notice.payload().split_once(' ').filter(|(of, _)| *of == id.to_string());
                if let Some(mark) = mark.and_then(|(_, number)| number.parse().ok()) {
                    heard.send_modify(|heard| heard.marked(mark));
                }
            }
            Some(Ok(AsyncMessage::Notification(notice))) => {
                heard.send_modify(|heard| heard.announced(notice.payload()));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => break Error::Connection(describe(&error)),
            None => break closed(),
        }
    };
    // Nobody waits any more when the session ended first.
    let _ = ended.send(error);
}

fn closed() -> Error {
    Error::Connection("the server closed the connection".into())
}

/// Doubles from the first to the most, and takes at random between half and all of it, so that many do not come back at once.
fn backoff(attempt: u32) -> Duration {
    let full = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(attempt)).min(BACKOFF_MOST);
    let chance = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    full.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_between_attempts_grows_to_its_cap_and_is_never_the_same_for_everyone() {
        for attempt in [0, 1, 5, 40, u32::MAX] {
            let full = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(attempt)).min(BACKOFF_MOST);
            let waits: Vec<Duration> = (0..50).map(|_| backoff(attempt)).collect();
            assert!(waits.iter().all(|wait| *wait >= full / 2 && *wait <= full), "{attempt}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{attempt}: no jitter");
        }
    }
}
