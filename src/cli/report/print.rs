//! Prints lines of a report as a table for people, as CSV for spreadsheets or as JSON for programs.

use std::{
    io::{self, BufWriter, Stdout, Write},
    time::Duration,
};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table};
use csv::Terminator;
use jiff::{Timestamp, Zoned, tz::TimeZone};
use serde_json::{Map, Value};

use crate::cli::table;

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    Table,
    Csv,
    Json,
}

/// How a table is laid out.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Shape {
    /// As wide as its content: few lines.
    Table,
    /// Columns of these widths, each line printed as it comes: any number of lines.
    Lines(&'static [usize]),
}

/// One value of a line.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum Cell {
    Nothing,
    Text(String),
    Truth(bool),
    Count(u64),
    Percent(f64),
    Time(Duration),
    Moment(Timestamp),
}

/// Prints line by line.
pub(in crate::cli) struct Printer {
    headings: Vec<&'static str>,
    zone: TimeZone,
    out: Out,
    lines: usize,
}

enum Out {
    Table(Table),
    Lines(&'static [usize], BufWriter<Stdout>),
    Csv(Box<csv::Writer<Stdout>>),
    Json(BufWriter<Stdout>),
}

impl Printer {
    pub(in crate::cli) fn new(format: Format, shape: Shape, headings: &[&'static str]) -> Self {
        let out = match (format, shape) {
            (Format::Table, Shape::Table) => {
                let mut table = table::empty();
                table.set_header(headings.iter().map(|heading| title(heading)));
                Out::Table(table)
            }
            (Format::Table, Shape::Lines(widths)) => Out::Lines(widths, BufWriter::new(io::stdout())),
            (Format::Csv, _) => {
                let writer = csv::WriterBuilder::new().terminator(Terminator::CRLF).from_writer(io::stdout());
                Out::Csv(Box::new(writer))
            }
            (Format::Json, _) => Out::Json(BufWriter::new(io::stdout())),
        };
        Self { headings: headings.to_vec(), zone: TimeZone::system(), out, lines: 0 }
    }

    /// Prints a line.
    pub(in crate::cli) fn row(&mut self, cells: &[Cell]) -> Result<()> {
        self.begin()?;
        self.lines += 1;
        let zone = &self.zone;
        match &mut self.out {
            Out::Table(table) => {
                table.add_row(cells.iter().map(|cell| aligned(cell, zone)));
            }
            Out::Lines(widths, out) => fixed(out, widths, cells.iter().map(|cell| cell.plain(zone)))?,
            Out::Csv(writer) => {
                writer.write_record(cells.iter().map(|cell| cell.csv(zone))).map_err(io::Error::from)?
            }
            Out::Json(out) => {
                let keys = self.headings.iter().map(|heading| (*heading).to_owned());
                let object: Map<String, Value> = keys.zip(cells.iter().map(Cell::json)).collect();
                let comma = if self.lines == 1 { "" } else { "," };
                write!(out, "{comma}\n  {}", Value::Object(object))?;
            }
        }
        Ok(())
    }

    /// Prints what belongs to the end; the total only in a table with several lines.
    pub(in crate::cli) fn end(mut self, total: Option<&[Cell]>) -> Result<()> {
        self.begin()?;
        match (&mut self.out, total) {
            (Out::Table(table), total) => {
                if let Some(total) = total.filter(|_| self.lines > 1) {
                    table.add_row(total.iter().map(|cell| aligned(cell, &self.zone)));
                }
                let text = if self.lines == 0 { "no calls".to_owned() } else { table::shown(table) };
                writeln!(io::stdout(), "{text}")?;
            }
            (Out::Lines(_, out), _) => out.flush()?,
            (Out::Csv(writer), _) => writer.flush()?,
            (Out::Json(out), _) => {
                writeln!(out, "{}]", if self.lines == 0 { "" } else { "\n" })?;
                out.flush()?;
            }
        }
        Ok(())
    }

    /// What comes before the first line.
    fn begin(&mut self) -> Result<()> {
        if self.lines > 0 {
            return Ok(());
        }
        match &mut self.out {
            Out::Table(_) => {}
            Out::Lines(widths, out) => fixed(out, widths, self.headings.iter().map(|heading| title(heading)))?,
            Out::Csv(writer) => writer.write_record(&self.headings).map_err(io::Error::from)?,
            Out::Json(out) => write!(out, "[")?,
        }
        Ok(())
    }
}

/// A heading as people read it: a table's cells have their units.
fn title(heading: &str) -> String {
    heading.trim_end_matches("_seconds").trim_end_matches("_percent").replace('_', " ")
}

fn aligned(cell: &Cell, zone: &TimeZone) -> comfy_table::Cell {
    let shown = comfy_table::Cell::new(cell.plain(zone));
    match cell {
        Cell::Nothing | Cell::Count(_) | Cell::Percent(_) | Cell::Time(_) => shown.set_alignment(CellAlignment::Right),
        Cell::Text(_) | Cell::Truth(_) | Cell::Moment(_) => shown,
    }
}

fn fixed(out: &mut impl Write, widths: &[usize], cells: impl Iterator<Item = String>) -> Result<()> {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(&format!("{cell:width$}  "));
    }
    Ok(writeln!(out, "{}", line.trim_end())?)
}

impl Cell {
    pub(in crate::cli) fn time(time: Option<Duration>) -> Self {
        time.map_or(Self::Nothing, Self::Time)
    }

    fn plain(&self, zone: &TimeZone) -> String {
        match self {
            Self::Nothing => "-".into(),
            Self::Text(text) => table::cell(&text.as_str().into()),
            Self::Truth(truth) => table::cell(&(*truth).into()),
            Self::Count(count) => count.to_string(),
            Self::Percent(percent) => format!("{percent:.1} %"),
            Self::Time(time) => clock(*time),
            Self::Moment(at) => local(*at, zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        }
    }

    fn csv(&self, zone: &TimeZone) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(text) => harmless(text),
            Self::Truth(truth) => truth.to_string(),
            Self::Count(count) => count.to_string(),
            Self::Percent(percent) => format!("{percent:.1}"),
            Self::Time(time) => format!("{:.3}", time.as_secs_f64()),
            Self::Moment(at) => local(*at, zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Truth(truth) => (*truth).into(),
            Self::Count(count) => (*count).into(),
            Self::Percent(percent) => (*percent).into(),
            // Divided, not added up as `as_secs_f64` does it, so that what is whole milliseconds is written so.
            Self::Time(time) => (time.as_millis() as f64 / 1000.0).into(),
            Self::Moment(at) => at.to_string().into(),
        }
    }
}

fn local(at: Timestamp, zone: &TimeZone) -> Zoned {
    at.to_zoned(zone.clone())
}

/// Hours, minutes and seconds, rounded to the second.
fn clock(time: Duration) -> String {
    let seconds = time.as_millis().saturating_add(500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A text that no spreadsheet takes for a formula: what could begin one gets an apostrophe in front.
fn harmless(text: &str) -> String {
    let first = text.trim_start_matches(' ').chars().next();
    match first {
        Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') => format!("'{text}"),
        Some(c) if c.is_control() => format!("'{text}"),
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_could_be_a_formula_is_made_harmless_in_csv() {
        for text in ["=1+1", "+49301234", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["", "Company 1", "1000", "a=b", "'x"] {
            assert_eq!(harmless(text), text);
        }
    }

    #[test]
    fn a_duration_is_shown_as_a_clock_shows_it() {
        for (milliseconds, expected) in [
            (0, "0:00"),
            (499, "0:00"),
            (500, "0:01"),
            (59_600, "1:00"),
            (3_599_400, "59:59"),
            (36_061_000, "10:01:01"),
        ] {
            assert_eq!(clock(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn a_moment_is_local_with_its_offset_in_csv_and_utc_in_json() {
        let zone = TimeZone::posix("IST-5:30").unwrap();
        let moment = Cell::Moment("2026-11-01T20:00:00Z".parse().unwrap());
        assert_eq!(moment.plain(&zone), "2026-11-02 01:30:00");
        assert_eq!(moment.csv(&zone), "2026-11-02T01:30:00+05:30");
        assert_eq!(moment.json(), "2026-11-01T20:00:00Z");
        assert_eq!(Cell::Time(Duration::from_millis(1_234)).json(), 1.234);
        assert_eq!(Cell::Time(Duration::from_millis(1_200)).csv(&zone), "1.200");
    }

    #[test]
    fn a_time_in_json_has_no_more_digits_than_milliseconds() {
        for (milliseconds, written) in [(2_389, "2.389"), (0, "0.0"), (86_399_999, "86399.999"), (1, "0.001")] {
            assert_eq!(Cell::Time(Duration::from_millis(milliseconds)).json().to_string(), written);
        }
    }

    #[test]
    fn a_heading_in_a_table_has_no_unit_because_its_cells_have() {
        assert_eq!(title("average_wait_seconds"), "average wait");
        assert_eq!(title("service_level_percent"), "service level");
    }
}
