//! `usher customer import`: a CSV file with the header `code,name`, all or nothing, by code.
//!
//! The whole file is checked first, and each bad line named. Only a file without one is stored, in one transaction.

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
use tokio_postgres::{Client, Transaction};

use crate::{
    cli::{explain, say},
    db::statements::import as sql,
    domain::id::CustomerCode,
};

/// Bytes handed to the server at a time.
const CHUNK: usize = 64 * 1024;
/// Longest name, as in the schema.
const NAME_MOST: usize = 200;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file: UTF-8, first line `code,name`, then one customer a line.
    file: PathBuf,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(arguments: &Arguments, client: &mut Client) -> Result<()> {
    let file = &arguments.file;
    let rows = check(file)?;
    let transaction = client.transaction().await.map_err(explain)?;
    transaction.batch_execute(sql::UNBOUNDED).await.map_err(explain)?;
    fill(&transaction, &rows).await?;
    let counts = transaction.query_one(sql::COUNT, &[]).await.map_err(explain)?;
    let (added, renamed): (i64, i64) = (counts.get(0), counts.get(1));
    let unchanged = i64::try_from(rows.len())? - added - renamed;
    let counts = format!("{added} added, {renamed} renamed, {unchanged} unchanged");
    if arguments.dry_run {
        transaction.rollback().await.map_err(explain)?;
        return say(&format!("{}: would be {counts}; nothing was changed", file.display()));
    }
    let wait = ProgressBar::new_spinner().with_message("storing");
    wait.enable_steady_tick(Duration::from_millis(100));
    transaction.execute(sql::RENAME, &[]).await.map_err(explain)?;
    transaction.execute(sql::ADD, &[]).await.map_err(explain)?;
    transaction.commit().await.map_err(explain)?;
    wait.finish_and_clear();
    say(&format!("{}: {counts}", file.display()))
}

/// Reads and checks the whole file; names each bad line on standard error.
fn check(path: &Path) -> Result<Vec<(CustomerCode, String)>> {
    let open = || format!("cannot read {}", path.display());
    let data = fs::read(path).with_context(open)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(data.as_slice());
    let mut record = ByteRecord::new();
    let header = reader.read_byte_record(&mut record).with_context(open)?;
    let first = record.get(0).map(|field| field.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(field));
    if !header || record.len() != 2 || first != Some(b"code") || record.get(1) != Some(b"name") {
        bail!("{}:1: the first line is not `code,name`", path.display());
    }

    let bar = bar(data.len() as u64, "checking");
    let mut lines = Lines { data: &data, offset: 0, line: 1 };
    let mut rows = Vec::new();
    let mut lines_of_codes: HashMap<CustomerCode, u64> = HashMap::new();
    let mut bad: usize = 0;
    while reader.read_byte_record(&mut record).with_context(open)? {
        let line = lines.of(&record);
        let checked = row(&record).and_then(|(code, name)| match lines_of_codes.entry(code.clone()) {
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
                bar.suspend(|| writeln!(io::stderr(), "{}:{line}: {why}", path.display()))?;
            }
        }
        bar.set_position(reader.position().byte());
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
            self.line += u64::from(*byte == b'\n');
            self.offset += 1;
        }
        self.line
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
    let name = text(1)?;
    if name.trim().is_empty() {
        return Err("the name is empty".into());
    }
    if name.chars().count() > NAME_MOST {
        return Err(format!("the name is longer than {NAME_MOST} characters"));
    }
    if name.chars().any(char::is_control) {
        return Err("the name contains a line break or another control character".into());
    }
    Ok((code, name.into()))
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
