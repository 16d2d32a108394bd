//! What the machine does while the bench measures: a virtual machine's host may stop its processors at any time.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

/// How late the thread that goes before all others may be; later, the processor stood still.
pub const STILL: Duration = Duration::from_millis(2);
/// How often it looks.
const EVERY: Duration = Duration::from_millis(1);

/// A time in which a processor did nothing for anybody.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// When the thread was to look.
    pub from: Instant,
    /// When it did.
    pub until: Instant,
}

/// A thread on each processor that goes before all others, every millisecond, and notes when it was late.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Result<Vec<Stop>>>>,
}

impl Watch {
    /// From now on.
    pub fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let one = |processor| {
            let over = Arc::clone(&over);
            thread::spawn(move || look(processor, &over))
        };
        let threads = (0..processors).map(one).collect();
        Self { over, threads }
    }

    /// What was seen. An error says why nothing could be: real-time priority is for root, or for who has `CAP_SYS_NICE`.
    pub fn end(self) -> Result<Vec<Stop>> {
        self.over.store(true, Ordering::Relaxed);
        let seen = self.threads.into_iter().map(|thread| thread.join().ok().context("a watching thread died")?);
        Ok(seen.collect::<Result<Vec<_>>>()?.concat())
    }
}

fn look(processor: usize, over: &AtomicBool) -> Result<Vec<Stop>> {
    let mut alone = CpuSet::new();
    alone.set(processor);
    sched_setaffinity(None, &alone)?;
    let this = gettid().as_raw_nonzero().to_string();
    let refused = Command::new("chrt").args(["--fifo", "--pid", "1", &this]).output().context("chrt")?;
    ensure!(refused.status.success(), "{}", String::from_utf8_lossy(&refused.stderr).trim());
    let mut stops = Vec::new();
    let mut next = Instant::now() + EVERY;
    while !over.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        if now.saturating_duration_since(next) > STILL {
            stops.push(Stop { from: next, until: now });
            next = now;
        }
        next += EVERY;
    }
    Ok(stops)
}

/// What the processors did until now, in ticks: all of it, and what a virtual machine's host kept for others (`steal`).
#[derive(Debug, Clone, Copy)]
pub struct Processors(Option<[u64; 2]>);

impl Processors {
    /// As `/proc/stat` says.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks = stat.lines().next().map(|line| {
            // proc(5): user nice system idle iowait irq softirq steal, then guests, which user and nice contain.
            let ticks: Vec<u64> =
                line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
            [ticks.iter().sum(), ticks.get(7).copied().unwrap_or_default()]
        });
        Self(ticks)
    }

    /// The share that the host took since then: with more than a hundredth of it, the slowest calls show the host.
    pub fn taken_since(self) -> Option<f64> {
        let ([all_now, taken_now], [all, taken]) = (Self::now().0?, self.0?);
        let all = u32::try_from(all_now.checked_sub(all)?).ok().filter(|all| *all > 0)?;
        Some(f64::from(u32::try_from(taken_now.checked_sub(taken)?).ok()?) / f64::from(all))
    }
}
