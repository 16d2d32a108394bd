//! What others may ask the floor: looked up in the machine between two of its steps; and calls that members take, or leave to others.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    domain::{
        id::{CallId, Extension, QueueName},
        queue::{
            callback::Lost,
            claim::{Claim, NoCallBack, NoClaim, NoDecline, NoTransfer, Which},
            event::Event,
            transfer::TransferTarget,
            view::{LineView, QueueView, WorkView},
        },
    },
    floor::{Input, Service, now},
};

/// How long an answer may take. The floor takes microseconds for one; more means that it is busy with something that matters more.
const PATIENCE: Duration = Duration::from_secs(1);

/// A question.
#[derive(Debug)]
pub(super) enum Question {
    /// Who waits there.
    Queues { names: Vec<QueueName>, answer: oneshot::Sender<Vec<QueueView>> },
    /// How all queues stand, with who serves them.
    Lines { answer: oneshot::Sender<Vec<LineView>> },
    /// What somebody does.
    Work { extension: Extension, answer: oneshot::Sender<Option<WorkView>> },
    /// Somebody takes a caller.
    Take { extension: Extension, which: Which, answer: oneshot::Sender<Result<Claim, NoClaim>> },
    /// Somebody leaves a call to others.
    Decline { extension: Extension, which: Which, reason: String, answer: oneshot::Sender<Result<Claim, NoDecline>> },
    /// Somebody wants to call back who has called in vain.
    CallBack { extension: Extension, lost: Box<Lost>, answer: oneshot::Sender<Result<(), NoCallBack>> },
    /// Somebody who talks sends the caller on.
    Transfer { extension: Extension, to: TransferTarget, answer: oneshot::Sender<Result<Claim, NoTransfer>> },
}

/// The floor does not answer: it is stopping, or busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the floor does not answer")]
pub struct NoAnswer;

/// The way to ask. Cheap to clone; every answer has a bound of its own, and nobody is held up by a question.
#[derive(Debug, Clone)]
pub struct Questions(pub(super) mpsc::Sender<Input>);

impl Questions {
    /// Who waits in these queues; those that are not there are left out.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second.
    pub async fn queues(&self, names: Vec<QueueName>) -> Result<Vec<QueueView>, NoAnswer> {
        self.ask(|answer| Question::Queues { names, answer }).await
    }

    /// How all queues stand, and what their logged-on members do.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second.
    pub async fn lines(&self) -> Result<Vec<LineView>, NoAnswer> {
        self.ask(|answer| Question::Lines { answer }).await
    }

    /// What an agent does now; `None`: there is none of that number.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second.
    pub async fn work(&self, extension: Extension) -> Result<Option<WorkView>, NoAnswer> {
        self.ask(|answer| Question::Work { extension, answer }).await
    }

    /// Gives a caller who waits to who asks for them: their phone rings after the pop, as with any offer.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second: then it is not known whether it was done.
    pub async fn take(&self, extension: Extension, which: Which) -> Result<Result<Claim, NoClaim>, NoAnswer> {
        self.ask(|answer| Question::Take { extension, which, answer }).await
    }

    /// Has somebody not be offered a call, or not any more.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second: then it is not known whether it was done.
    pub async fn decline(
        &self,
        extension: Extension,
        which: Which,
        reason: String,
    ) -> Result<Result<Claim, NoDecline>, NoAnswer> {
        self.ask(|answer| Question::Decline { extension, which, reason, answer }).await
    }

    /// Has somebody called back who has called in vain: the phone of who asks for it rings first, after the pop.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second: then it is not known whether it was done.
    pub async fn call_back(&self, extension: Extension, lost: Lost) -> Result<Result<(), NoCallBack>, NoAnswer> {
        self.ask(|answer| Question::CallBack { extension, lost: Box::new(lost), answer }).await
    }

    /// Sends the caller on with whom somebody talks; their phone is out of the call then.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second: then it is not known whether it was done.
    pub async fn transfer(
        &self,
        extension: Extension,
        to: TransferTarget,
    ) -> Result<Result<Claim, NoTransfer>, NoAnswer> {
        self.ask(|answer| Question::Transfer { extension, to, answer }).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, NoAnswer> {
        let (answer, told) = oneshot::channel();
        let asked = async {
            self.0.send(Input::Asked(question(answer))).await.map_err(|_| NoAnswer)?;
            told.await.map_err(|_| NoAnswer)
        };
        timeout(PATIENCE, asked).await.map_err(|_| NoAnswer)?
    }
}

impl Service {
    pub(super) fn asked(&mut self, question: Question) {
        match question {
            Question::Queues { names, answer } if !answer.is_closed() => {
                let now = now();
                let views = names.iter().filter_map(|name| self.floor.view_queue(name, now)).collect();
                // Who asked may have lost patience.
                let _ = answer.send(views);
            }
            Question::Lines { answer } if !answer.is_closed() => {
                let _ = answer.send(self.floor.view_lines(now()));
            }
            Question::Work { extension, answer } if !answer.is_closed() => {
                let _ = answer.send(self.floor.view_work(&extension, now()));
            }
            Question::Take { extension, which, answer } if !answer.is_closed() => {
                let claim = self.floor.claimable(&extension, &which);
                if let Ok(Claim { call, .. }) = &claim {
                    let call = *call;
                    self.step(Event::Claimed { call, extension });
                }
                let _ = answer.send(claim);
            }
            Question::Decline { extension, which, reason, answer } if !answer.is_closed() => {
                let claim = self.floor.declinable(&extension, &which);
                if let Ok(Claim { call, .. }) = &claim {
                    let call = *call;
                    self.step(Event::Declined { call, extension, reason });
                }
                let _ = answer.send(claim);
            }
            Question::Transfer { extension, to, answer } if !answer.is_closed() => {
                let claim = self.floor.transferable(&extension, &to);
                if claim.is_ok() {
                    self.step(Event::SentOn { extension, to });
                }
                let _ = answer.send(claim);
            }
            Question::CallBack { extension, lost, answer } if !answer.is_closed() => {
                let arrival = lost.arrival(CallId(uuid::Uuid::now_v7()));
                let callable = self.floor.callable_back(&extension, &arrival);
                if callable.is_ok() {
                    self.step(Event::CalledInVain { arrival, extension });
                }
                let _ = answer.send(callable.map(drop));
            }
            Question::CallBack { .. }
            | Question::Queues { .. }
            | Question::Lines { .. }
            | Question::Work { .. }
            | Question::Take { .. }
            | Question::Decline { .. }
            | Question::Transfer { .. } => {}
        }
    }
}
