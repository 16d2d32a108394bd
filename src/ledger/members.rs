//! Log-ons, log-offs and pauses, as other services ask for them.

use tokio::{sync::oneshot, time::timeout};

use crate::{
    db::Error,
    domain::{
        id::{Extension, QueueName},
        presence::Deed,
    },
    ledger::{Change, Command, Done, Handle, Resumed, Unavailable, Verb},
};

impl Verb {
    /// The word in the log.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::LogOn(_) => "log on",
            Self::LogOff(_) => "log off",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Presence(Deed::Pause { .. }) => "pause by presence",
            Self::Presence(Deed::Resume { .. }) => "resume by presence",
            Self::Presence(Deed::LogOff { .. }) => "log off by presence",
        }
    }

    pub(super) fn queue(&self) -> Option<&QueueName> {
        match self {
            Self::LogOn(queue) | Self::LogOff(queue) => Some(queue),
            Self::Pause { queue, .. } | Self::Resume { queue } => queue.as_ref(),
            Self::Presence(deed) => deed.queue(),
        }
    }
}

impl Done {
    /// The word in the log: of a pause nothing that people wrote.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Changed(Change::Done) | Self::Resumed(_) => "done",
            Self::Changed(Change::Refused) => "refused",
        }
    }
}

impl Handle {
    /// Logs a member on, once or again. [`Change::Refused`]: no such extension or queue.
    ///
    /// Returns after the [`crate::ledger::News`] that says so was handed to the receiver, within `database.timeout`. So the task that
    /// reads the receiver must not wait for this itself: it would wait for its own reading.
    ///
    /// # Errors
    /// [`Unavailable`] when the database is away; it may have been done all the same, and then the news will say so.
    pub async fn log_on(&self, queue: &QueueName, extension: &Extension) -> Result<Change, Unavailable> {
        self.change(Verb::LogOn(queue.clone()), extension).await
    }

    /// Logs an extension off, once or again, or if it never was a member. Else as [`Handle::log_on`].
    ///
    /// # Errors
    /// As [`Handle::log_on`].
    pub async fn log_off(&self, queue: &QueueName, extension: &Extension) -> Result<Change, Unavailable> {
        self.change(Verb::LogOff(queue.clone()), extension).await
    }

    /// Pauses an agent by hand, in one queue or (`None`) everywhere, or changes the reason of that pause. Else as [`Handle::log_on`].
    ///
    /// # Errors
    /// As [`Handle::log_on`].
    pub async fn pause(
        &self,
        extension: &Extension,
        queue: Option<&QueueName>,
        reason: &str,
    ) -> Result<Change, Unavailable> {
        self.change(Verb::Pause { queue: queue.cloned(), reason: reason.to_owned() }, extension).await
    }

    /// Ends an agent's pauses: all, or those in one queue. `None`: refused, since that extension was removed in this moment. Else as [`Handle::log_on`].
    ///
    /// # Errors
    /// As [`Handle::log_on`].
    pub async fn resume(
        &self,
        extension: &Extension,
        queue: Option<&QueueName>,
    ) -> Result<Option<Resumed>, Unavailable> {
        match self.ask(Verb::Resume { queue: queue.cloned() }, extension).await? {
            Done::Resumed(resumed) => Ok(Some(resumed)),
            Done::Changed(_) => Ok(None),
        }
    }

    /// Does what an agent's presence asks for, if it still does. [`Change::Refused`]: nothing was to be done. Else as [`Handle::log_on`].
    ///
    /// # Errors
    /// As [`Handle::log_on`].
    pub async fn by_presence(&self, extension: &Extension, deed: &Deed) -> Result<Change, Unavailable> {
        self.change(Verb::Presence(deed.clone()), extension).await
    }

    async fn change(&self, verb: Verb, extension: &Extension) -> Result<Change, Unavailable> {
        match self.ask(verb, extension).await? {
            Done::Changed(change) => Ok(change),
            Done::Resumed(_) => Ok(Change::Done),
        }
    }

    async fn ask(&self, verb: Verb, extension: &Extension) -> Result<Done, Unavailable> {
        self.shared.standing()?;
        let (reply, answer) = oneshot::channel();
        let command = Command { verb, extension: extension.clone(), reply };
        let stopped = || Unavailable::new("the service is stopping");
        let asked = async {
            self.commands.send(command).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        let within = self.shared.timeout;
        timeout(within, asked).await.map_err(|_| Unavailable::new(Error::Timeout(within).to_string()))?
    }
}
