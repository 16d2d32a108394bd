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

/// How long a process has been at work on the processors, to a hundredth of a second (proc(5): utime and stime, in ticks).
pub fn busy(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    worked(&stat).with_context(|| format!("not what proc(5) says: {stat}"))
}

fn worked(stat: &str) -> Option<Duration> {
    // The name, in brackets, may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let sum = ticks.next()?.ok()? + ticks.next()?.ok()?;
    Some(Duration::from_millis(sum * 1000 / rustix::param::clock_ticks_per_second()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_worked_is_read_behind_a_name_with_a_bracket() {
        let stat = "4711 (lua) 5.4) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0";
        let ticks = 200_000 / rustix::param::clock_ticks_per_second();
        assert_eq!(worked(stat), Some(Duration::from_millis(ticks)));
        assert_eq!(worked("4711 (lua) S 1"), None);
    }
}
