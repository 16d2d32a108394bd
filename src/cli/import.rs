//! `usher customer import`: a CSV file with the header `code,name`, all or nothing, by code.
//!
//! The whole file is checked first, and each bad line named. Only a file without one is stored, in one transaction. Imports
//! store one after another, and each tells what it did itself; other commands, SQL and the service need not wait for them.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs,
    io::{self, Cursor, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use csv::ByteRecord;
use futures_util::{SinkExt, pin_mut};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use crate::{
    cli::{explain, say},
    config::shown,
    db::statements::import as sql,
    domain::{id::CustomerCode, name},
};

/// Bytes handed to the server at a time.
const CHUNK: usize = 64 * 1024;
/// Key of the advisory lock that one import at a time holds: "customer" in ASCII.
const TURN: i64 = 0x6375_7374_6f6d_6572;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file: UTF-8, first line `code,name`, then one customer a line.
    file: PathBuf,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What an import does to the customers.
#[derive(Debug, Clone, Copy)]
struct Counts {
    added: u64,
    renamed: u64,
}

impl Counts {
    /// In words, for a file of so many lines.
    fn tell(self, lines: usize) -> String {
        let Self { added, renamed } = self;
        let unchanged = (lines as u64).saturating_sub(added + renamed);
        format!("{added} added, {renamed} renamed, {unchanged} unchanged")
    }
}

pub(super) async fn run(arguments: &Arguments, client: &mut Client) -> Result<()> {
    let file = &arguments.file;
    let rows = check(file)?;
    // Each statement must see what an import before it has done while this one waited.
    let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start();
    let transaction = begin.await.map_err(explain)?;
    transaction.batch_execute(sql::UNBOUNDED).await.map_err(explain)?;
    fill(&transaction, &rows).await?;
    if arguments.dry_run {
        let counts = foresee(&transaction).await?.tell(rows.len());
        transaction.rollback().await.map_err(explain)?;
        return say(&format!("{}: would be {counts}; nothing was changed", shown(file)));
    }
    let wait = ProgressBar::new_spinner().with_message("storing");
    wait.enable_steady_tick(Duration::from_millis(100));
    let counts = store(&transaction).await?.tell(rows.len());
    transaction.commit().await.map_err(explain)?;
    wait.finish_and_clear();
    say(&format!("{}: {counts}", shown(file)))
}

/// What would be done now.
async fn foresee(transaction: &Transaction<'_>) -> Result<Counts> {
    let row = transaction.query_one(sql::COUNT, &[]).await.map_err(explain)?;
    Ok(Counts { added: number(&row, 0)?, renamed: number(&row, 1)? })
}

/// Renames and adds; what was really done.
async fn store(transaction: &Transaction<'_>) -> Result<Counts> {
    let free: bool = transaction.query_one(sql::TAKE_TURN, &[&TURN]).await.map_err(explain)?.get(0);
    if !free {
        writeln!(io::stderr(), "another import is running: waiting for its end")?;
        transaction.execute(sql::WAIT_FOR_TURN, &[&TURN]).await.map_err(explain)?;
    }
    let renamed = transaction.execute(sql::RENAME, &[]).await.map_err(explain)?;
    let row = transaction.query_one(sql::ADD, &[]).await.map_err(explain)?;
    Ok(Counts { added: number(&row, 0)?, renamed: renamed + number(&row, 1)? })
}

fn number(row: &Row, column: usize) -> Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column))?)
}

/// Reads and checks the whole file; names each bad line on standard error.
fn check(path: &Path) -> Result<Vec<(CustomerCode, String)>> {
    let open = || format!("cannot read {}", shown(path));
    let data = fs::read(path).with_context(open)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(data.as_slice());
    let mut record = ByteRecord::new();
    let header = reader.read_byte_record(&mut record).with_context(open)?;
    if let Err(why) = quotes(piece(&data, 0, reader.position().byte())) {
        bail!("{}:1: {why}", shown(path));
    }
    let first = record.get(0).map(|field| field.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(field));
    if !header || record.len() != 2 || first != Some(b"code") || record.get(1) != Some(b"name") {
        let blank = ["code", "name"].into_iter().zip(first.into_iter().chain(record.iter().skip(1)));
        let blank = record.len() == 2 && blank.into_iter().all(|(word, field)| field.trim_ascii() == word.as_bytes());
        let why = if blank { ": there is a blank beside a word, take it out" } else { "" };
        bail!("{}:1: the first line is not `code,name`{why}", shown(path));
    }

    let bar = bar(data.len() as u64, "checking");
    let mut lines = Lines { data: &data, offset: 0, line: 1 };
    let mut rows = Vec::new();
    let mut lines_of_codes: HashMap<CustomerCode, u64> = HashMap::new();
    let mut bad: usize = 0;
    let mut begin = reader.position().byte();
    while reader.read_byte_record(&mut record).with_context(open)? {
        let line = lines.of(&record);
        let end = reader.position().byte();
        let sound = quotes(piece(&data, begin, end)).map_err(str::to_owned);
        begin = end;
        let checked =
            sound.and_then(|()| row(&record)).and_then(|(code, name)| match lines_of_codes.entry(code.clone()) {
                Entry::Occupied(earlier) => Err(format!("code {code} is on line {} already", earlier.get())),
                Entry::Vacant(free) => {
                    free.insert(line);
                    Ok((code, name))
                }
            });
        match checked {
            Ok(row) => rows.push(row),
            Err(why) => {
                bad += 1;
                bar.suspend(|| writeln!(io::stderr(), "{}:{line}: {why}", shown(path)))?;
            }
        }
        bar.set_position(end);
    }
    bar.finish_and_clear();
    if bad > 0 {
        bail!("nothing was imported: {bad} of {} lines are bad", bad + rows.len());
    }
    Ok(rows)
}

/// Counts lines as editors do. The reader's own count stands before the empty lines that it skips.
struct Lines<'a> {
    data: &'a [u8],
    offset: usize,
    line: u64,
}

impl Lines<'_> {
    /// On which line the record begins; records come in the order of the file.
    fn of(&mut self, record: &ByteRecord) -> u64 {
        let begin = record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        while let Some(byte) = self.data.get(self.offset) {
            if self.offset >= begin && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            self.offset += 1;
            let ends = *byte == b'\n' || (*byte == b'\r' && self.data.get(self.offset) != Some(&b'\n'));
            self.line += u64::from(ends);
        }
        self.line
    }
}

/// The bytes of the file from one place to another.
fn piece(data: &[u8], begin: u64, end: u64) -> &[u8] {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(data.len());
    data.get(at(begin)..at(end)).unwrap_or_default()
}

/// Whether the quotes of a record are whole (RFC 4180, section 2); the reader makes something of any others.
fn quotes(record: &[u8]) -> Result<(), &'static str> {
    #[derive(Clone, Copy)]
    enum At {
        Begin,
        Bare,
        Quoted,
        /// Behind a quote in a quoted field: its end, or the first half of one that is meant.
        Closed,
    }
    let mut at = At::Begin;
    for byte in record.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(record) {
        at = match (at, byte) {
            (At::Begin | At::Bare | At::Closed, b',' | b'\r' | b'\n') => At::Begin,
            (At::Begin | At::Closed, b'"') => At::Quoted,
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::Bare, b'"') => {
                return Err("a quote within a field: put the whole field in quotes, and each quote in it twice");
            }
            (At::Closed, _) => return Err("text behind a field in quotes: within it each quote stands twice"),
            (At::Begin | At::Bare, _) => At::Bare,
        };
    }
    match at {
        At::Quoted => Err("a quote is opened and never closed; is the file cut off?"),
        At::Begin | At::Bare | At::Closed => Ok(()),
    }
}

fn row(record: &ByteRecord) -> Result<(CustomerCode, String), String> {
    if record.len() != 2 {
        return Err(format!("{} fields: expected 2, code and name (a name with a comma needs quotes)", record.len()));
    }
    let text = |index: usize| {
        let bytes = record.get(index).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| "not UTF-8: save the file as UTF-8".to_owned())
    };
    let code = CustomerCode::parse(text(0)?).map_err(|error| error.to_string())?;
    let name = name::customer(text(1)?).map_err(|error| error.to_string())?;
    Ok((code, name))
}

/// Puts the rows into a temporary table.
async fn fill(transaction: &Transaction<'_>, rows: &[(CustomerCode, String)]) -> Result<()> {
    transaction.batch_execute(sql::TABLE).await.map_err(explain)?;
    let sink = transaction.copy_in::<_, Cursor<Vec<u8>>>(sql::COPY).await.map_err(explain)?;
    pin_mut!(sink);
    let bar = bar(rows.len() as u64, "sending");
    let mut chunk = Vec::with_capacity(CHUNK);
    for (code, name) in rows {
        // The server's text format: no control characters are left in a name, so only the backslash means something.
        writeln!(chunk, "{code}\t{}", name.replace('\\', "\\\\"))?;
        if chunk.len() >= CHUNK {
            sink.feed(Cursor::new(std::mem::take(&mut chunk))).await.map_err(explain)?;
        }
        bar.inc(1);
    }
    sink.feed(Cursor::new(chunk)).await.map_err(explain)?;
    sink.finish().await.map_err(explain)?;
    bar.finish_and_clear();
    transaction.batch_execute(sql::ANALYZE).await.map_err(explain)
}

/// On standard error, and only if that is a terminal.
fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_message(what)
}
