//! Times as PostgreSQL has them: it knows some that the program does not, `infinity` and years after 9999.
//!
//! The schema keeps them out. Should one be there all the same, the row is read as if its time were not known, and what is wrong
//! is said; nothing else stops for it.

use std::{error::Error, fmt};

use jiff::Timestamp;
use tokio_postgres::types::{FromSql, Type};

use crate::db::roster::Unreadable;

/// What could have been there.
const EXPECTED: &str = "a time up to the year 9998";

/// A `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// One that the program knows.
    Known(Timestamp),
    /// One that it does not, in PostgreSQL's own count: microseconds since the year 2000.
    Beyond(i64),
}

impl Moment {
    /// The time, if it can be read.
    pub fn known(self) -> Option<Timestamp> {
        match self {
            Self::Known(at) => Some(at),
            Self::Beyond(_) => None,
        }
    }

    /// What is wrong with it in this place, when `instead` is used; `None`: nothing.
    pub fn complaint(self, table: &'static str, row: &str, column: &'static str, instead: &str) -> Option<Unreadable> {
        self.known().is_none().then(|| Unreadable {
            table,
            row: row.to_owned(),
            column,
            found: self.to_string(),
            expected: EXPECTED.to_owned(),
            instead: instead.to_owned(),
        })
    }

    /// The time; one that cannot be read counts as `instead`, which is said in the log.
    pub fn or(self, instead: Timestamp, table: &'static str, row: &str, column: &'static str) -> Timestamp {
        if let Some(complaint) = self.complaint(table, row, column, &instead.to_string()) {
            tracing::error!("{complaint}");
        }
        self.known().unwrap_or(instead)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const YEAR: i64 = 31_556_952_000_000;
        match self {
            Self::Known(at) => at.fmt(f),
            Self::Beyond(i64::MAX) => f.write_str("infinity"),
            Self::Beyond(i64::MIN) => f.write_str("-infinity"),
            Self::Beyond(since) => write!(f, "the year {}", 2000 + since / YEAR),
        }
    }
}

impl<'a> FromSql<'a> for Moment {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match Timestamp::from_sql(kind, raw) {
            Ok(at) => Ok(Self::Known(at)),
            Err(_) => Ok(Self::Beyond(i64::from_be_bytes(raw.try_into()?))),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <Timestamp as FromSql>::accepts(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_the_program_does_not_know_is_told_by_its_word_or_its_year() {
        let read = |since: i64| Moment::from_sql(&Type::TIMESTAMPTZ, &since.to_be_bytes()).unwrap();
        assert_eq!(read(0), Moment::Known("2000-01-01T00:00:00Z".parse().unwrap()));
        let said = [i64::MAX, i64::MIN, i64::MAX - 1].map(|since| read(since).to_string());
        assert_eq!(said, ["infinity", "-infinity", "the year 294277"]);
        let complaint = read(i64::MAX).complaint("calls", "7", "ended_at", "nothing").unwrap().to_string();
        assert!(complaint.starts_with("table calls, row 7, column ended_at: \"infinity\" is unknown"), "{complaint}");
        assert_eq!(read(0).complaint("calls", "7", "ended_at", "nothing"), None);
    }
}
