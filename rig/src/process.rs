//! One child process: started so that it cannot outlive its rig, with its output in a file, and signalled by its number.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{instance::Instance, wait};

/// How long a program may take to stand still; far more than it takes.
const STANDS: Duration = Duration::from_secs(10);

/// Registers itself with the reaper, makes sure that the reaper is not at work yet, and becomes the program.
const WRAPPER: &str = r#"
own=$1 signal=$2; shift 2
echo "$$ $(cut -d' ' -f22 "/proc/$$/stat") $signal" >"$own/pids/$$" || exit 125
[ -e "$own/alive" ] || exit 125
exec "$@"
"#;

/// Environment variable of all children and theirs: the rig's folder. By it the reaper finds those who have left their parents.
pub const MARK: &str = "USHER_RIG";

/// What the reaper sends first.
#[derive(Debug, Clone, Copy)]
pub enum Farewell {
    /// SIGTERM.
    Term,
    /// SIGQUIT: PostgreSQL's immediate end.
    Quit,
    /// SIGKILL: for what keeps nothing worth an orderly end.
    Kill,
}

/// How often `Drop` looks whether the farewell was heard, and after how many looks it kills: 1 s.
const DROP_STEP: Duration = Duration::from_millis(5);
const DROP_ROUNDS: u32 = 200;

impl Farewell {
    fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Quit => Signal::QUIT,
            Self::Kill => Signal::KILL,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
        }
    }
}

/// A child to be started; may be started again after its end.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    log: PathBuf,
    farewell: Farewell,
    line: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

impl Program {
    /// `name` is what errors call it and what its log file is called.
    pub fn new(instance: &Instance, name: &str, program: impl AsRef<OsStr>) -> Self {
        let log = instance.folder().join(format!("{name}.log"));
        let line = vec![program.as_ref().to_owned()];
        Self { name: name.to_owned(), log, farewell: Farewell::Term, line, variables: Vec::new() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.line.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What ends it.
    #[must_use]
    pub fn farewell(mut self, farewell: Farewell) -> Self {
        self.farewell = farewell;
        self
    }

    /// Runs it as an unprivileged user when we are root.
    #[must_use]
    pub fn as_user(mut self, user: &str) -> Self {
        if is_root() {
            let line = std::mem::take(&mut self.line);
            self.line = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"].map(OsString::from).into();
            self.line.extend(line);
        }
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When `setsid` and `sh` cannot be run; a program that is missing shows as an early end.
    pub fn start(&self, instance: &Instance) -> Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new("setsid")
            .args(["sh", "-c", WRAPPER, "usher-rig-child"])
            .arg(instance.folder())
            .arg(self.farewell.name())
            .args(&self.line)
            .env(MARK, instance.folder())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(instance.folder())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process number")?;
        Ok(Process {
            name: self.name.clone(),
            log: self.log.clone(),
            pid,
            farewell: self.farewell,
            child: Mutex::new(child),
            _instance: instance.clone(),
        })
    }
}

/// A running (or ended) child.
pub struct Process {
    name: String,
    log: PathBuf,
    pid: Pid,
    farewell: Farewell,
    child: Mutex<Child>,
    _instance: Instance,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its standard output and error.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal; no error if it is gone.
    pub fn signal(&self, signal: Signal) {
        // Under the lock: once waited for, the number may be somebody else's.
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Sends a signal to it and to all its descendants.
    pub fn signal_tree(&self, signal: Signal) {
        self.signal(signal);
        for pid in descendants(self.pid()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Stops it and all its descendants where they stand: connections stay open and nothing answers.
    ///
    /// # Errors
    /// As [`stopped`].
    pub fn freeze(&self) -> Result<()> {
        // Whoever has started somebody in the meantime has done so before it stood.
        let mut before = Vec::new();
        loop {
            self.signal_tree(Signal::STOP);
            let now: Vec<_> = std::iter::once(self.pid()).chain(descendants(self.pid())).collect();
            now.iter().try_for_each(|pid| stopped(*pid))?;
            if now == before {
                return Ok(());
            }
            before = now;
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal_tree(Signal::CONT);
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// After `within`.
    pub async fn end(&self, within: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if begin.elapsed() > within {
                bail!("{} did not end within {within:?}; its log ends with:\n{}", self.name, self.log_tail());
            }
            tokio::time::sleep(wait::STEP).await;
        }
    }

    /// Ends it with a signal and waits.
    ///
    /// # Errors
    /// When it is still there after `within`.
    pub async fn stop(&self, signal: Signal, within: Duration) -> Result<ExitStatus> {
        self.signal(signal);
        self.end(within).await
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log, 30)
    }

    /// Asks until `look` is content; ends early when the process does, and shows its log when it is not.
    ///
    /// # Errors
    /// After `within` or at the end of the process, with the log's last lines.
    pub async fn ready<T, F, Fut>(&self, what: &str, within: Duration, mut look: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let begin = Instant::now();
        loop {
            let refusal = match wait::once(within, look()).await {
                Ok(value) => return Ok(value),
                Err(refusal) => refusal,
            };
            if let Some(status) = self.ended() {
                let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
                bail!("{} ended ({how}) before: {what}; its log ends with:\n{}", self.name, self.log_tail());
            }
            if begin.elapsed() >= within {
                bail!(
                    "{}: {what}: not within {within:?}; last: {refusal}; its log ends with:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            tokio::time::sleep(wait::STEP).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut round = 0;
        while matches!(child.try_wait(), Ok(None)) {
            match round {
                0 => {
                    let _ = kill_process(self.pid, self.farewell.signal());
                    let _ = kill_process(self.pid, Signal::CONT);
                }
                DROP_ROUNDS => {
                    let _ = kill_process(self.pid, Signal::KILL);
                }
                _ => std::thread::sleep(DROP_STEP),
            }
            round += 1;
        }
    }
}

/// The last `count` lines of a file.
pub fn tail(path: &Path, count: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

/// Whether this process may act as other users.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until a process to which SIGSTOP was sent stands. On a busy machine it goes on for a while after the signal, until one of its
/// threads gets to see it.
///
/// # Errors
/// When a thread still runs after ten seconds.
pub fn stopped(pid: u32) -> Result<()> {
    let begin = Instant::now();
    while !stands(pid) {
        ensure!(begin.elapsed() < STANDS, "process {pid} still runs {STANDS:?} after SIGSTOP");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether no thread of a process runs (proc(5), the third field of `stat`): it is stopped, or has ended.
fn stands(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    tasks.flatten().all(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_none_or(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
    })
}

fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}
