//! What a later run has to know, in one file: the calls that are open, the last revisions of those that are over, and the
//! requests that wait. Each change is on the disk when it returns.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use redb::{Database, DatabaseError, ReadableTable, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};

use crate::bridge::{
    calls::{Key, Life, Over, Step},
    outbox::Delivery,
};

/// Name of the file in the folder.
const FILE: &str = "bridge.redb";
const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
const OPEN: TableDefinition<&[u8], &[u8]> = TableDefinition::new("open");
const OVER: TableDefinition<&[u8], &[u8]> = TableDefinition::new("over");
const WAITING: TableDefinition<u64, &[u8]> = TableDefinition::new("waiting");

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder.
    #[error("cannot make {}", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("{} is in use: a bridge runs there already; each needs a `state` folder of its own", .0.display())]
    InUse(PathBuf),
    /// It was made for another kind of receiver.
    #[error(
        "{} belongs to a receiver of format {found:?}, this one is {wanted:?}: give each a `state` folder of its own",
        .path.display()
    )]
    Format {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: String,
    },
    /// The file.
    #[error("cannot use {}: {problem}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// For a person to read.
        problem: String,
    },
}

/// What went wrong with the file, for a person to read.
struct Problem(String);

impl<E: Into<redb::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into().to_string())
    }
}

/// What an earlier run has left.
#[derive(Debug, Default)]
pub struct Kept {
    /// Calls that are open.
    pub open: BTreeMap<Key, Life>,
    /// Calls that are over.
    pub over: BTreeMap<Key, Over>,
    /// Requests, by their numbers.
    pub waiting: BTreeMap<u64, Delivery>,
}

/// What happened, and what follows from it.
#[derive(Debug)]
pub struct Change {
    /// What happened.
    pub step: Step,
    /// Calls that are not to be remembered any longer.
    pub forgotten: Vec<Key>,
    /// What follows from it, in order.
    pub deliveries: Vec<Delivery>,
}

/// The file.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens the file in a folder, or makes both, and reads what is there.
    ///
    /// # Errors
    /// When it cannot be written or read, is in use, or belongs to a receiver of another format.
    pub fn open(folder: &Path, format: &str) -> Result<(Self, Kept), Error> {
        fs::create_dir_all(folder).map_err(|source| Error::Folder { path: folder.into(), source })?;
        let path = folder.join(FILE);
        let database = Database::create(&path).map_err(|error| {
            if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
                Error::InUse(path.clone())
            } else {
                Error::File { path: path.clone(), problem: error.to_string() }
            }
        })?;
        let store = Self { database, path };
        let found = store.file(store.claim(format))?;
        if found != format {
            return Err(Error::Format { path: store.path, found, wanted: format.into() });
        }
        let kept = store.file(store.read())?;
        Ok((store, kept))
    }

    /// Keeps what happened. Yields the number of the first request, from which the others count up.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn happened(&self, change: &Change) -> Result<u64, Error> {
        self.file(self.write(change))
    }

    /// Forgets a request.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn settled(&self, number: u64) -> Result<(), Error> {
        self.file((|| {
            let transaction = self.database.begin_write()?;
            transaction.open_table(WAITING)?.remove(number)?;
            Ok(transaction.commit()?)
        })())
    }

    fn file<T>(&self, result: Result<T, Problem>) -> Result<T, Error> {
        result.map_err(|Problem(problem)| Error::File { path: self.path.clone(), problem })
    }

    /// Whose it is: ours, if it was nobody's.
    fn claim(&self, format: &str) -> Result<String, Problem> {
        let transaction = self.database.begin_write()?;
        let found = {
            let mut about = transaction.open_table(ABOUT)?;
            let found = about.get("format")?.map(|found| found.value().to_owned());
            if found.is_none() {
                about.insert("format", format)?;
            }
            transaction.open_table(OPEN)?;
            transaction.open_table(OVER)?;
            transaction.open_table(WAITING)?;
            found
        };
        transaction.commit()?;
        Ok(found.unwrap_or_else(|| format.to_owned()))
    }

    fn read(&self) -> Result<Kept, Problem> {
        let transaction = self.database.begin_read()?;
        let mut kept = Kept::default();
        for row in transaction.open_table(OPEN)?.iter()? {
            let (key, life) = row?;
            kept.open.insert(read(key.value())?, read(life.value())?);
        }
        for row in transaction.open_table(OVER)?.iter()? {
            let (key, over) = row?;
            kept.over.insert(read(key.value())?, read(over.value())?);
        }
        for row in transaction.open_table(WAITING)?.iter()? {
            let (number, delivery) = row?;
            kept.waiting.insert(number.value(), read(delivery.value())?);
        }
        Ok(kept)
    }

    fn write(&self, change: &Change) -> Result<u64, Problem> {
        let transaction = self.database.begin_write()?;
        let key = written(&change.step.key);
        let first = {
            let mut open = transaction.open_table(OPEN)?;
            let mut over = transaction.open_table(OVER)?;
            let mut waiting = transaction.open_table(WAITING)?;
            for forgotten in &change.forgotten {
                over.remove(written(forgotten).as_slice())?;
            }
            if let Some(end) = &change.step.over {
                open.remove(key.as_slice())?;
                over.insert(key.as_slice(), written(end).as_slice())?;
            } else {
                open.insert(key.as_slice(), written(&change.step.life).as_slice())?;
            }
            let first = waiting.last()?.map_or(0, |(number, _)| number.value() + 1);
            for (number, delivery) in (first..).zip(&change.deliveries) {
                waiting.insert(number, written(delivery).as_slice())?;
            }
            first
        };
        transaction.commit()?;
        Ok(first)
    }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types always have a JSON form")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem(format!("it holds what this version cannot read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::{
        calls::{
            Calls,
            tests::{at, pop},
        },
        request::Format,
    };

    fn change(step: Step) -> Change {
        Change { deliveries: Format::Json.deliveries(&step), step, forgotten: vec![] }
    }

    #[test]
    fn a_later_run_finds_what_is_open_what_is_over_and_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let mut calls = Calls::default();
        {
            let (store, kept) = Store::open(&folder.path().join("new"), "json").unwrap();
            assert!(kept.open.is_empty() && kept.over.is_empty() && kept.waiting.is_empty());
            for step in [calls.revision("n", pop(1, "offered"), at(0)), calls.revision("n", pop(2, "ringing"), at(1))] {
                store.happened(&change(step.unwrap())).unwrap();
            }
            store.settled(0).unwrap();
        }
        let (store, kept) = Store::open(&folder.path().join("new"), "json").unwrap();
        assert_eq!(kept.open, calls.open().map(|(key, life)| (key.clone(), life.clone())).collect());
        assert_eq!(kept.waiting.iter().map(|(at, it)| (*at, it.id.as_str())).collect::<Vec<_>>(), [(1, "c-1000-2")]);
        let step = calls.revision("n", pop(3, "withdrawn"), at(2)).unwrap();
        let key = step.key.clone();
        assert_eq!(store.happened(&change(step)).unwrap(), 2);
        drop(store);
        let (store, kept) = Store::open(&folder.path().join("new"), "json").unwrap();
        assert_eq!((kept.open.len(), kept.over.get(&key).map(|over| over.last)), (0, Some(3)));
        let mut again = change(calls.revision("n", pop(4, "offered"), at(3)).unwrap());
        again.forgotten.push(key);
        store.happened(&again).unwrap();
        drop(store);
        assert_eq!(Store::open(&folder.path().join("new"), "json").unwrap().1.over.len(), 0);
    }

    #[test]
    fn a_folder_serves_one_bridge_and_one_format() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), "json").unwrap();
        let second = Store::open(folder.path(), "json").unwrap_err().to_string();
        assert!(second.contains("a bridge runs there already"), "{second}");
        drop(store);
        let other = Store::open(folder.path(), "zammad").unwrap_err().to_string();
        assert!(other.contains("\"json\"") && other.contains("folder of its own"), "{other}");
    }
}
