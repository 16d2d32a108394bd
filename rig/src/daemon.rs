//! A program that a test stops, kills, freezes and starts again.
//!
//! The servers of a rig are this and what is their own: a configuration, and a way to see that they are up.

use std::{
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{
    instance::Instance,
    process::{Process, Program},
};

/// How a program is told to end.
#[derive(Debug, Clone, Copy)]
pub struct Endings {
    /// For [`Daemon::stop`]: what makes it end in order.
    pub orderly: Signal,
    /// For [`Daemon::kill`]: what ends it without a word to anybody.
    pub sudden: Signal,
    /// How long either may take.
    pub within: Duration,
}

/// One program, running or not.
#[derive(Debug)]
pub struct Daemon {
    instance: Instance,
    program: Program,
    endings: Endings,
    process: Mutex<Option<Arc<Process>>>,
}

impl Daemon {
    /// One that does not run yet.
    pub fn new(instance: &Instance, program: Program, endings: Endings) -> Self {
        Self { instance: instance.clone(), program, endings, process: Mutex::new(None) }
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self) -> Result<Arc<Process>> {
        let process = Arc::new(self.program.start(&self.instance)?);
        *self.slot() = Some(Arc::clone(&process));
        Ok(process)
    }

    /// An orderly end, and how it ended.
    ///
    /// # Errors
    /// When it does not run, or does not end in time.
    pub async fn stop(&self) -> Result<ExitStatus> {
        self.take()?.stop(self.endings.orderly, self.endings.within).await
    }

    /// A sudden end: connections break without a word.
    ///
    /// # Errors
    /// When it does not run, or does not end in time.
    pub async fn kill(&self) -> Result<()> {
        self.take()?.stop(self.endings.sudden, self.endings.within).await.map(drop)
    }

    /// Nothing answers any more, and connections stay open.
    ///
    /// # Errors
    /// As [`Process::freeze`], and when it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.slot().as_ref().context("it does not run")?.freeze()
    }

    /// Ends [`Daemon::freeze`].
    pub fn thaw(&self) {
        if let Some(process) = self.slot().as_ref() {
            process.thaw();
        }
    }

    /// How it ended, if it has by itself.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.slot().as_ref().and_then(|process| process.ended())
    }

    /// Its number, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.slot().as_ref().map(|process| process.pid())
    }

    /// The last lines of what it said.
    pub fn log_tail(&self) -> String {
        self.slot().as_ref().map(|process| process.log_tail()).unwrap_or_default()
    }

    fn take(&self) -> Result<Arc<Process>> {
        self.slot().take().context("it does not run")
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Process>>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
