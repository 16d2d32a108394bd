//! Prints what a query finds, as a table for people or as JSON for programs.

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};
use tokio_postgres::{Client, Row, types::Type};

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

fn values(row: &Row) -> Result<Vec<Value>, tokio_postgres::Error> {
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

fn table(headings: &[&str], rows: &[Vec<Value>]) -> String {
    let mut table = empty();
    table.set_header(headings.iter().map(|heading| heading.replace('_', " ")));
    for row in rows {
        table.add_row(row.iter().map(cell));
    }
    table.to_string()
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
