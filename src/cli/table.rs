//! Prints what a query finds, as a table for people or as JSON for programs.

use anyhow::Result;
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use serde_json::{Map, Value};
use tokio_postgres::{Client, types::Type};

use crate::{
    cli::{ListOptions, explain, say},
    db::moment::Moment,
};

/// Runs a query and prints every row; the columns' names are the headings.
pub(super) async fn print(client: &Client, sql: &str, options: &ListOptions) -> Result<()> {
    let statement = client.prepare(sql).await.map_err(explain)?;
    let rows = client.query(&statement, &[]).await.map_err(explain)?;
    let headings: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
    let rows: Vec<Vec<Value>> = rows.iter().map(values).collect::<Result<_, _>>()?;
    say(&if options.json { json(&headings, rows) } else { table(&headings, &rows) })
}

fn values(row: &tokio_postgres::Row) -> Result<Vec<Value>, tokio_postgres::Error> {
    row.columns()
        .iter()
        .enumerate()
        .map(|(index, column)| {
            Ok(match *column.type_() {
                Type::BOOL => row.try_get::<_, Option<bool>>(index)?.into(),
                Type::INT4 => row.try_get::<_, Option<i32>>(index)?.into(),
                Type::INT8 => row.try_get::<_, Option<i64>>(index)?.into(),
                Type::TIMESTAMPTZ => row.try_get::<_, Option<Moment>>(index)?.map(|at| at.to_string()).into(),
                _ => row.try_get::<_, Option<String>>(index)?.into(),
            })
        })
        .collect()
}

fn json(headings: &[&str], rows: Vec<Vec<Value>>) -> String {
    let keys = || headings.iter().map(|heading| (*heading).to_owned());
    let rows = rows.into_iter().map(|row| Value::Object(keys().zip(row).collect::<Map<_, _>>())).collect();
    format!("{:#}", Value::Array(rows))
}

/// A table without a line: as wide as the terminal, or as its content where nobody knows how wide that is.
pub(super) fn empty() -> Table {
    let mut table = Table::new();
    // Serial lines and programs that play a terminal say that it has no columns.
    let known = table.width().is_some_and(|columns| columns > 0);
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(if known { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
    table
}

/// A table as text. Where the terminal is too narrow for its words, each of its lines becomes a paragraph: a heading and its value a line.
pub(super) fn shown(table: &mut Table) -> String {
    let is_bound = matches!(table.content_arrangement(), ContentArrangement::Dynamic);
    let Some(room) = table.width().filter(|_| is_bound).map(usize::from) else { return table.to_string() };
    let words = widest_words(table);
    // At both sides of a column a blank, and a line; one line more in all.
    if words.iter().map(|width| width + 3).sum::<usize>() < room {
        for (column, width) in table.column_iter_mut().zip(words) {
            let width = u16::try_from(width + 2).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
        return table.to_string();
    }
    let headings: Vec<String> = table.header().into_iter().flat_map(Row::cell_iter).map(Cell::content).collect();
    let longest = headings.iter().map(|heading| heading.chars().count()).max().unwrap_or_default();
    let paragraph = |row: &Row| {
        let cells = headings.iter().zip(row.cell_iter());
        cells.map(|(heading, cell)| format!("{heading:longest$}  {}\n", cell.content())).collect::<String>()
    };
    table.row_iter().map(paragraph).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The longest word of each column, in characters.
fn widest_words(table: &Table) -> Vec<usize> {
    let mut widest = Vec::new();
    for row in table.header().into_iter().chain(table.row_iter()) {
        for (column, cell) in row.cell_iter().enumerate() {
            let word = cell.content().split_whitespace().map(|word| word.chars().count()).max().unwrap_or_default();
            widest.resize(widest.len().max(column + 1), 0);
            widest[column] = word.max(widest[column]);
        }
    }
    widest
}

fn table(headings: &[&str], rows: &[Vec<Value>]) -> String {
    let mut table = empty();
    table.set_header(headings.iter().map(|heading| heading.replace('_', " ")));
    for row in rows {
        table.add_row(row.iter().map(cell));
    }
    shown(&mut table)
}

pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(width: u16) -> Table {
        let mut table = empty();
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        table.set_header(["extension", "why they are away"]).add_row(["1000", "at lunch"]).add_row(["2000", "-"]);
        table
    }

    #[test]
    fn a_table_whose_words_do_not_fit_becomes_paragraphs() {
        // Its words take 9 and 5 columns, blanks and lines 7.
        for width in [21, 24, 40] {
            assert!(shown(&mut of(width)).starts_with('┌'), "{}", shown(&mut of(width)));
            assert!(shown(&mut of(width)).contains(" extension "), "{}", shown(&mut of(width)));
        }
        let narrow =
            "extension          1000\nwhy they are away  at lunch\n\nextension          2000\nwhy they are away  -";
        assert_eq!(shown(&mut of(20)), narrow);
    }

    #[test]
    fn where_nobody_knows_how_wide_it_may_be_a_table_is_as_wide_as_its_content() {
        let mut table = of(10);
        table.set_content_arrangement(ContentArrangement::Disabled);
        assert!(shown(&mut table).contains("why they are away"));
    }
}
