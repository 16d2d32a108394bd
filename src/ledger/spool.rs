//! What waits for the database, kept in a folder so that it outlives the process.
//!
//! Each record is a line of its own in a file `outbox-ID.jsonl`: a checksum, a space, the fact in JSON. A thread appends them within
//! moments of being recorded, whatever the database does, and empties the file when the database has them. Appended is enough to
//! survive the death of the process; what has waited for a second is synced, and survives the machine's. Nobody waits for the disk:
//! what it does not take in time is in memory alone. All files in the folder are read at the start, whoever wrote them: facts have
//! ids, so what is written to the database twice counts once.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::domain::fact::Stamped;

/// Orders for a disk that takes nothing for a moment; beyond it, records are in memory alone.
const ORDERS: usize = 65_536;
/// A file that is longer is not appended to any more, so that it can go when its records are written.
const LONGEST: usize = 4 << 20;
/// How long a record may wait for the database before it is synced to the disk.
const SYNC_AFTER: Duration = Duration::from_secs(1);
const PREFIX: &str = "outbox-";
const SUFFIX: &str = ".jsonl";

/// Numbers records from the start of the process on, in their order.
pub type Number = u64;

enum Order {
    Append(Number, Vec<u8>),
    /// All below this number are of no interest any more.
    Done(Number),
    /// Say when all earlier orders are carried out.
    Tell(oneshot::Sender<()>),
    /// The same, and synced to the disk.
    Finish(SyncSender<()>),
}

/// The way to the thread.
#[derive(Debug)]
pub struct Spool {
    orders: SyncSender<Order>,
}

/// A file, and the last record in it.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    last: Number,
}

impl Spool {
    /// Opens the folder; also what an earlier process left there, oldest first, numbered from 0.
    ///
    /// # Errors
    /// When the folder cannot be made, read or written.
    pub fn open(folder: &Path) -> io::Result<(Self, Vec<Stamped>)> {
        fs::create_dir_all(folder)?;
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
                files.push(path);
            }
        }
        files.sort();
        let mut found: Vec<(usize, Stamped)> = Vec::new();
        for (index, path) in files.iter().enumerate() {
            found.extend(read(path)?.into_iter().map(|fact| (index, fact)));
        }
        // Ids ascend in time, also over several processes.
        found.sort_by_key(|(_, fact)| fact.id);
        found.dedup_by_key(|(_, fact)| fact.id);
        let mut earlier: Vec<Segment> = files.into_iter().map(|path| Segment { path, last: 0 }).collect();
        for (number, (index, _)) in (0..).zip(&found) {
            if let Some(segment) = earlier.get_mut(*index) {
                segment.last = number;
            }
        }
        let (orders, inbox) = sync_channel(ORDERS);
        // Made now, so that a folder that cannot be written is known at the start.
        let (path, file) = create(folder)?;
        let file = Some(Open { path, file, length: 0, last: None });
        let folder = folder.to_owned();
        let keeper = Keeper { folder, file, earlier, done: 0, unsynced: None, trouble: Trouble::None };
        thread::Builder::new().name("usher-spool".into()).spawn(move || keeper.run(&inbox))?;
        Ok((Self { orders }, found.into_iter().map(|(_, fact)| fact).collect()))
    }

    /// Keeps a record; `false` if the disk is so far behind that it is not kept.
    pub fn append(&self, number: Number, fact: &Stamped) -> bool {
        self.orders.try_send(Order::Append(number, line(fact))).is_ok()
    }

    /// Told when all records so far are in the folder, and so outlive the process.
    pub fn kept(&self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        // If it does not get through the disk is far behind: then the other side is told so at once.
        let _ = self.orders.try_send(Order::Tell(tell));
        told
    }

    /// All records below this number need not be kept any more.
    pub fn done(&self, below: Number) {
        // If it does not get through, the next one says it as well.
        let _ = self.orders.try_send(Order::Done(below));
    }

    /// Waits, at most so long, until all of it is in the folder.
    pub fn finish(&self, within: Duration) {
        let (finished, wait) = sync_channel(1);
        if self.orders.try_send(Order::Finish(finished)).is_err() || wait.recv_timeout(within).is_err() {
            warn!("the disk did not take all records in time");
        }
    }
}

/// Whether the folder can be written.
///
/// # Errors
/// When it cannot.
pub fn check(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let probe = folder.join(format!("check-{}", Uuid::new_v4().simple()));
    fs::write(&probe, b"check\n")?;
    fs::remove_file(&probe)
}

fn create(folder: &Path) -> io::Result<(PathBuf, File)> {
    let path = folder.join(format!("{PREFIX}{}{SUFFIX}", Uuid::now_v7().simple()));
    let file = File::options().create_new(true).append(true).open(&path)?;
    Ok((path, file))
}

/// FNV-1a: enough to tell a torn line from a whole one.
fn checksum(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn line(fact: &Stamped) -> Vec<u8> {
    // Maps with keys that are no texts are what JSON cannot say; facts have none.
    let json = serde_json::to_vec(fact).unwrap_or_default();
    let mut line = format!("{:016x} ", checksum(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    line
}

/// All whole records of a file. What is torn is said and left out.
fn read(path: &Path) -> io::Result<Vec<Stamped>> {
    let text = match fs::read(path) {
        // A process that is stopping has removed its file, which was empty.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let mut facts = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
        match parse(line) {
            Some(fact) => facts.push(fact),
            None => {
                let number: u32 = number;
                warn!(file = %path.display(), line = number, bytes = line.len(), "a torn record is left out; the rest is used");
            }
        }
    }
    Ok(facts)
}

fn parse(line: &[u8]) -> Option<Stamped> {
    let (sum, json) = (line.get(..16)?, line.get(17..)?);
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    if sum != checksum(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Said,
}

struct Open {
    path: PathBuf,
    file: File,
    length: usize,
    last: Option<Number>,
}

struct Keeper {
    folder: PathBuf,
    file: Option<Open>,
    earlier: Vec<Segment>,
    done: Number,
    /// Since when something is in the file and not synced.
    unsynced: Option<Instant>,
    trouble: Trouble,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut batch = Vec::new();
        loop {
            let wait = self.unsynced.map_or(Duration::from_secs(3600), |since| {
                (since + SYNC_AFTER).saturating_duration_since(Instant::now())
            });
            let first = match inbox.recv_timeout(wait) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (mut told, mut finished) = (Vec::new(), Vec::new());
            for order in first.into_iter().chain(inbox.try_iter()) {
                match order {
                    Order::Append(number, line) => batch.push((number, line)),
                    Order::Done(below) => self.done = self.done.max(below),
                    Order::Tell(tell) => told.push(tell),
                    Order::Finish(reply) => finished.push(reply),
                }
            }
            self.carry_out(&mut batch);
            for tell in told {
                // Its patience may have ended.
                let _ = tell.send(());
            }
            if !finished.is_empty() {
                self.sync();
            }
            for reply in finished {
                // Its patience may have ended.
                let _ = reply.send(());
            }
        }
        // Nobody is left to record: an empty file is of no use.
        if let Some(open) = self.file.take_if(|open| open.length == 0) {
            let _ = fs::remove_file(open.path);
        }
    }

    fn carry_out(&mut self, batch: &mut Vec<(Number, Vec<u8>)>) {
        let done = self.done;
        self.earlier.retain(|segment| {
            let over = segment.last < done;
            if over && let Err(error) = fs::remove_file(&segment.path) {
                debug!(%error, file = %segment.path.display(), "a file of the outbox could not be removed");
            }
            !over
        });
        // What the database took meanwhile needs no line.
        batch.retain(|(number, _)| *number >= done);
        if let Err(error) = self.write(batch) {
            if self.trouble == Trouble::None {
                error!(%error, folder = %self.folder.display(), "records are kept in memory alone: the folder cannot be written");
                self.trouble = Trouble::Said;
            }
        } else {
            self.trouble = Trouble::None;
        }
        batch.clear();
        if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_AFTER) {
            self.sync();
        }
    }

    fn write(&mut self, batch: &[(Number, Vec<u8>)]) -> io::Result<()> {
        let done = self.done;
        if let Some(open) = &mut self.file
            && open.last.is_some_and(|last| last < done)
        {
            open.file.set_len(0)?;
            (open.length, open.last, self.unsynced) = (0, None, None);
        }
        let Some((last, _)) = batch.last() else { return Ok(()) };
        if let Some(full) = self.file.take_if(|open| open.length > LONGEST) {
            let _ = full.file.sync_data();
            self.earlier.push(Segment { path: full.path, last: full.last.unwrap_or(0) });
        }
        if self.file.is_none() {
            let (path, file) = create(&self.folder)?;
            self.file = Some(Open { path, file, length: 0, last: None });
        }
        let Some(open) = &mut self.file else { return Ok(()) };
        let mut text: Vec<u8> = Vec::new();
        if self.trouble == Trouble::Said {
            // The last line may be half there.
            text.push(b'\n');
        }
        batch.iter().for_each(|(_, line)| text.extend_from_slice(line));
        open.file.write_all(&text)?;
        open.length += text.len();
        open.last = Some(*last);
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn sync(&mut self) {
        if let Some(open) = &self.file
            && let Err(error) = open.file.sync_data()
        {
            warn!(%error, file = %open.path.display(), "the outbox could not be synced");
        }
        self.unsynced = None;
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::{
        fact::{CallOutcome, Fact},
        id::CallId,
    };

    const PATIENCE: Duration = Duration::from_secs(20);

    fn fact(n: u128) -> Stamped {
        let fact = Fact::CallEnded { call: CallId(Uuid::nil()), extension: None, outcome: CallOutcome::Lost };
        Stamped { id: Uuid::from_u128(n), at: Timestamp::UNIX_EPOCH, fact }
    }

    fn numbers(facts: &[Stamped]) -> Vec<u128> {
        facts.iter().map(|fact| fact.id.as_u128()).collect()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[tokio::test]
    async fn what_is_said_to_be_kept_outlives_a_process_that_is_killed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path()).unwrap();
        assert!((0..10).all(|n| spool.append(n, &fact(u128::from(n)))));
        spool.kept().await.unwrap();
        // As the next process finds it: nothing was finished.
        let (_, found) = Spool::open(folder.path()).unwrap();
        assert_eq!(numbers(&found), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn what_the_database_has_not_taken_is_there_after_a_restart_in_order_and_what_it_has_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, before) = Spool::open(folder.path()).unwrap();
        assert_eq!(before, []);
        (0..10).for_each(|n| assert!(spool.append(n, &fact(u128::from(n) + 100))));
        spool.finish(PATIENCE);
        drop(spool);

        let (spool, before) = Spool::open(folder.path()).unwrap();
        assert_eq!(numbers(&before), (100..110).collect::<Vec<_>>());
        assert!(spool.append(10, &fact(200)));
        spool.done(10);
        spool.finish(PATIENCE);
        assert_eq!(files(folder.path()).len(), 1, "the old file is done");
        drop(spool);
        let (spool, before) = Spool::open(folder.path()).unwrap();
        assert_eq!(numbers(&before), [200]);
        spool.done(1);
        spool.finish(PATIENCE);
        let left = files(folder.path());
        assert!(left.iter().all(|file| fs::read(file).unwrap().is_empty()), "{left:?}");
    }

    #[test]
    fn a_file_that_is_empty_again_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path()).unwrap();
        for n in 0..5 {
            assert!(spool.append(n, &fact(u128::from(n))));
            spool.finish(PATIENCE);
            spool.done(n + 1);
            spool.finish(PATIENCE);
        }
        assert!(spool.append(5, &fact(5)));
        spool.finish(PATIENCE);
        assert_eq!(files(folder.path()).len(), 1);
        assert_eq!(numbers(&read(&files(folder.path())[0]).unwrap()), [5]);
    }

    #[test]
    fn a_torn_tail_or_a_damaged_line_costs_its_own_record_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut text: Vec<u8> = (1..=3).flat_map(|n| line(&fact(n))).collect();
        let whole = text.len();
        text.extend(line(&fact(4)));
        for cut in whole..text.len() - 1 {
            fs::write(folder.path().join("outbox-0.jsonl"), &text[..cut]).unwrap();
            assert_eq!(numbers(&read(&folder.path().join("outbox-0.jsonl")).unwrap()), [1, 2, 3], "cut at {cut}");
        }
        let second = line(&fact(1)).len() + 30;
        text[second] ^= 1;
        fs::write(folder.path().join("outbox-0.jsonl"), &text).unwrap();
        let (_spool, before) = Spool::open(folder.path()).unwrap();
        assert_eq!(numbers(&before), [1, 3, 4]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Spool::open(&file.join("below")).is_err());
        assert!(check(&file.join("below")).is_err());
        check(folder.path()).unwrap();
        assert_eq!(files(folder.path()), [file]);
    }
}
