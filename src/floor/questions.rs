//! What others may ask the floor: looked up in the machine between two of its steps, and nothing changed by it.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    domain::{
        id::{Extension, QueueName},
        queue::view::{QueueView, WorkView},
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
    /// What somebody does.
    Work { extension: Extension, answer: oneshot::Sender<Option<WorkView>> },
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

    /// What an agent does now; `None`: there is none of that number.
    ///
    /// # Errors
    /// [`NoAnswer`] after a second.
    pub async fn work(&self, extension: Extension) -> Result<Option<WorkView>, NoAnswer> {
        self.ask(|answer| Question::Work { extension, answer }).await
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
    pub(super) fn asked(&self, question: Question) {
        match question {
            Question::Queues { names, answer } if !answer.is_closed() => {
                let now = now();
                let views = names.iter().filter_map(|name| self.floor.view_queue(name, now)).collect();
                // Who asked may have lost patience.
                let _ = answer.send(views);
            }
            Question::Work { extension, answer } if !answer.is_closed() => {
                let _ = answer.send(self.floor.view_work(&extension, now()));
            }
            Question::Queues { .. } | Question::Work { .. } => {}
        }
    }
}
