//! The task of a service, as others hold it: it is asked to finish, or ended where it stands.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running task.
#[derive(Debug)]
pub struct Worker {
    what: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    /// `what` it is, for the log; it finishes when `stop` is cancelled.
    pub fn new(what: &'static str, stop: CancellationToken, task: JoinHandle<()>) -> Self {
        Self { what, stop, task }
    }

    /// Asks it to finish, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "{} ended badly", self.what);
        }
    }

    /// Ends it where it stands.
    pub async fn abandon(self) {
        self.task.abort();
        // Cancelled is what was asked for.
        let _ = self.task.await;
    }
}
