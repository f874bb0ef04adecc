//! Tables for the terminal.

use std::fmt::Write as _;

use druse_metrics::label;

use super::comparison::{Comparison, ComparisonRow};
use super::text::{basis, chars, column, interval, number, pad, pad_left, value};
use crate::{Evaluation, RowReason};

/// Rows of a list that are printed.
const LISTED: usize = 8;

/// An evaluation: metrics with their protocols, remarks, and what was invalid.
pub fn evaluation(e: &Evaluation) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{args}");
    };
    line(format_args!("task       {}, protocol {}", e.task, e.protocol.name));
    line(format_args!(
        "generated  {}: {} rows, {} structures",
        e.generated.name, e.generated.rows, e.generated.structures
    ));
    line(format_args!(
        "reference  {}: {} rows, {} structures",
        e.reference.name, e.reference.rows, e.reference.structures
    ));
    if let Some(train) = &e.train {
        line(format_args!("training   {}: {} rows, {} structures", train.name, train.rows, train.structures));
    }
    line(format_args!(""));
    let rows: Vec<[String; 4]> =
        e.metrics.iter().map(|m| [label(&m.key), value(m), interval(m), basis(m)]).collect();
    let width =
        |k: usize, head: &str| rows.iter().map(|r| chars(&r[k])).chain([chars(head)]).max().unwrap_or(0);
    let level = e.metrics.iter().find_map(|m| m.interval).map_or(95.0, |i| 100.0 * i.level);
    let heads =
        ["metric".to_owned(), "value".to_owned(), format!("{level} % interval"), "measured on".to_owned()];
    let widths = [0, 1, 2].map(|k| width(k, &heads[k]));
    for row in std::iter::once(&heads).chain(&rows) {
        let cells = [pad(&row[0], widths[0]), pad_left(&row[1], widths[1]), pad(&row[2], widths[2])];
        line(format_args!("{}  {}  {}  {}", cells[0], cells[1], cells[2], row[3]));
    }
    for metric in &e.metrics {
        if let Some(problem) = &metric.problem {
            line(format_args!("{}: {problem}", label(&metric.key)));
        }
    }
    if !e.remarks.is_empty() {
        line(format_args!(""));
    }
    for remark in &e.remarks {
        line(format_args!("note: {remark}"));
    }
    list(
        &mut text,
        &format!("invalid generated structures: {} of {}", e.invalid.len(), e.generated.rows),
        &e.invalid,
    );
    list(
        &mut text,
        &format!("reference rows left out: {} of {}", e.left_out.len(), e.reference.rows),
        &e.left_out,
    );
    text
}

fn list(text: &mut String, title: &str, rows: &[RowReason]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    for row in rows.iter().take(LISTED) {
        text.push_str(&format!("  {}: {}\n", row.id, row.reason));
    }
    if rows.len() > LISTED {
        text.push_str(&format!("  … and {} more (--json lists all)\n", rows.len() - LISTED));
    }
}

/// Several evaluations: a column each, the best value marked with a star.
pub fn comparison(c: &Comparison) -> String {
    let mut text = String::new();
    for (k, (name, basis)) in c.names.iter().zip(&c.bases).enumerate() {
        text.push_str(&format!("{}  {name}: {basis}\n", column(k)));
    }
    text.push('\n');
    let cell = |row: &ComparisonRow, k: usize| {
        let star = if row.best.contains(&k) { "*" } else { " " };
        match row.metrics[k].as_ref().map(|m| m.value) {
            Some(Some(x)) => format!("{}{star}", number(x)),
            Some(None) => "– ".to_owned(),
            None => "  ".to_owned(),
        }
    };
    let first = c.rows.iter().map(|r| chars(&r.label)).chain([6]).max().unwrap_or(6);
    let widths: Vec<usize> = (0..c.names.len())
        .map(|k| c.rows.iter().map(|r| chars(&cell(r, k))).chain([8]).max().unwrap_or(8))
        .collect();
    text.push_str(&pad("metric", first));
    for (k, width) in widths.iter().enumerate() {
        text.push_str(&format!("  {}", pad_left(&format!("{} ", column(k)), *width)));
    }
    text.push('\n');
    for row in &c.rows {
        text.push_str(&pad(&row.label, first));
        for (k, width) in widths.iter().enumerate() {
            text.push_str(&format!("  {}", pad_left(&cell(row, k), *width)));
        }
        let note = row.note();
        if !note.is_empty() {
            text.push_str(&format!("  {note}"));
        }
        text.push('\n');
    }
    text.push_str("\n* best of the row\n");
    text
}
