//! A sender that is a process of its own: told what to do in lines of JSON, answers each with its times.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use usher_rig::{instance::Instance, process::MARK};

use super::{Job, Setting};
use crate::host;

/// For one job, or the log-in and 500 nodes; far more than either takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The child.
#[derive(Debug)]
pub struct Program {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    /// What each took, in seconds.
    took: Vec<f64>,
}

impl Program {
    /// Starts it, and waits until it is logged in.
    pub async fn start(instance: &Instance, command: &mut Command, setting: &Setting) -> Result<Self> {
        let mut child = command
            .env(MARK, instance.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let orders = child.stdin.take().context("piped")?;
        let answers = BufReader::new(child.stdout.take().context("piped")?).lines();
        let mut program = Self { child, orders, answers };
        program.ask(&serde_json::to_string(setting)?).await?;
        Ok(program)
    }

    /// How long it has been at work on the processors.
    pub fn busy(&self) -> Result<Duration> {
        host::busy(self.child.id().context("a sender has ended")?)
    }

    /// Does one job.
    pub async fn work(&mut self, job: &Job) -> Result<Vec<Duration>> {
        self.ask(&serde_json::to_string(job)?).await
    }

    async fn ask(&mut self, line: &str) -> Result<Vec<Duration>> {
        self.orders.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = tokio::time::timeout(PATIENCE, self.answers.next_line()).await;
        let Some(answer) = answer.context("a sender does not answer")?? else {
            bail!("a sender has ended: {:?}; see above why", self.child.wait().await?);
        };
        let answer: Answer = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        answer.took.into_iter().map(|took| Ok(Duration::try_from_secs_f64(took)?)).collect()
    }
}
