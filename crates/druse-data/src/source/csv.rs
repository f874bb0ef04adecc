//! The CSV layout of the field: one row a structure, the CIF as text in the column `cif`.

use std::collections::HashSet;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use druse_crystal::files::{Action, FileError};
use druse_crystal::formats::{Format, Warning, read_str_with};
use druse_crystal::{Composition, Properties, Structure};
use rayon::prelude::*;
use serde_json::Value;

use super::{FORMULAS, Found, Reading, Row, Rows};
use crate::{DataError, properties};

/// Columns that hold the identifier, in order of preference.
const ID_COLUMNS: [&str; 2] = ["material_id", "id"];

/// What separates the cells of a row: the first that makes the header have a column `cif`.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ColumnType {
    Number,
    Bool,
    Text,
}

struct Column {
    index: usize,
    name: String,
    kind: ColumnType,
}

/// Whether a line is the header of a table with a column `cif`.
pub(super) fn has_cif_column(line: &str) -> bool {
    // A table of one column has no delimiter, and a word is no table.
    DELIMITERS
        .iter()
        .any(|&d| line.contains(char::from(d)) && header(line, d).is_some_and(|h| cif_column(&h).is_some()))
}

/// The names of the columns.
fn header(text: &str, delimiter: u8) -> Option<Vec<String>> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().ok()?;
    Some(header.iter().map(|name| name.trim().to_owned()).collect())
}

fn cif_column(header: &[String]) -> Option<usize> {
    header.iter().position(|n| n.eq_ignore_ascii_case("cif"))
}

fn formula_column(header: &[String]) -> Option<usize> {
    FORMULAS.iter().find_map(|name| header.iter().position(|n| n.eq_ignore_ascii_case(name)))
}

/// What a row tells its crystal by.
#[derive(Debug, Clone, Copy)]
enum Crystal {
    /// The column of the CIF.
    Cif(usize),
    /// The column of the formula, where there is no structure.
    Formula(usize),
}

pub(super) fn read(path: &Path, text: &str, reading: Reading) -> Result<Rows, DataError> {
    let table = |column: fn(&[String]) -> Option<usize>, crystal: fn(usize) -> Crystal| {
        DELIMITERS.iter().find_map(|&delimiter| {
            let header = header(text, delimiter)?;
            Some((delimiter, crystal(column(&header)?), header))
        })
    };
    let formulas = || reading.formulas.then(|| table(formula_column, Crystal::Formula)).flatten();
    let Some((delimiter, crystal, header)) = table(cif_column, Crystal::Cif).or_else(formulas) else {
        let columns = header(text, DELIMITERS[0]).unwrap_or_default();
        let path = path.to_owned();
        return Err(match reading.formulas {
            true => DataError::NoFormulaColumn { path, columns },
            false => DataError::NoCifColumn { path, columns },
        });
    };
    // Rows of the wrong length are reported one by one, hence flexible.
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let broken = |e: csv::Error| FileError::wrap(Action::Read, path)(e.into());
    let records: Vec<StringRecord> = reader.records().collect::<Result<_, _>>().map_err(broken)?;

    let mut warnings = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    for (index, name) in header.iter().enumerate() {
        // pandas writes its index without a name, and reads that back as `Unnamed: 0`.
        if !matches!(crystal, Crystal::Cif(cif) if cif == index)
            && !name.is_empty()
            && !name.starts_with("Unnamed:")
        {
            let (kind, warning) = column_type(&records, index, name);
            warnings.extend(warning);
            columns.push(Column { index, name: name.clone(), kind });
        }
    }
    let named_id =
        ID_COLUMNS.iter().find_map(|id| columns.iter().position(|c| c.name.eq_ignore_ascii_case(id)));
    let id = match named_id {
        Some(k) => Some(columns.remove(k).index),
        None => columns
            .iter()
            .find(|c| c.kind == ColumnType::Text && is_distinct(&records, c.index))
            .map(|c| c.index),
    };
    // A quotation mark inside a field is doubled, so an odd number means that the last field never ends.
    let cut_off = text.bytes().filter(|&b| b == b'"').count() % 2 == 1;
    let last = records.len();
    let rows = records
        .par_iter()
        .enumerate()
        .map(|(k, record)| {
            let id = id.and_then(|i| record.get(i)).map(|id| id.trim().to_owned());
            let mut properties = Properties::new();
            let outcome = if cut_off && k + 1 == last {
                Err("the file ends inside a quoted field (it may be cut off)".to_owned())
            } else {
                row(record, header.len(), crystal, &columns, reading, &mut properties)
            };
            let (composition, outcome) = match outcome {
                Ok(Crystallized::Structure(found)) => (None, Ok(*found)),
                Ok(Crystallized::Composition(composition)) => {
                    (Some(composition), Err("the table has formulas, but no structures".to_owned()))
                }
                Err(reason) => (None, Err(reason)),
            };
            Row {
                row: Some(k + 1),
                line: record.position().map(|p| p.line() as usize),
                id: id.filter(|i| !i.is_empty()),
                counted: false,
                properties,
                composition,
                outcome,
            }
        })
        .collect();
    Ok(Rows { rows, warnings })
}

/// What a row tells.
enum Crystallized {
    Structure(Box<Found>),
    Composition(Composition),
}

/// Reads properties and structure of a row; the properties first, so that a broken structure still has them.
fn row(
    record: &StringRecord,
    width: usize,
    crystal: Crystal,
    columns: &[Column],
    reading: Reading,
    properties: &mut Properties,
) -> Result<Crystallized, String> {
    if record.len() != width {
        return Err(format!("the row has {} fields, the header {width}", record.len()));
    }
    for column in columns {
        if let Some(value) = cell(&record[column.index], column.kind) {
            properties.insert(column.name.clone(), value);
        }
    }
    match crystal {
        Crystal::Cif(cif) => {
            let (structure, warnings) = structure(&record[cif], reading)?;
            Ok(Crystallized::Structure(Box::new(Found { structure, warnings })))
        }
        Crystal::Formula(formula) => {
            let text = record[formula].trim();
            let wrong = |e| format!("the formula `{text}` cannot be read: {e}");
            Composition::parse(text).map(Crystallized::Composition).map_err(wrong)
        }
    }
}

fn structure(text: &str, reading: Reading) -> Result<(Structure, Vec<Warning>), String> {
    if text.contains('\0') {
        return Err("the `cif` field holds the byte 0 and is no text".to_owned());
    }
    if text.trim().is_empty() {
        return Err("the `cif` field is empty".to_owned());
    }
    let mut parsed = read_str_with(text, Format::Cif, reading.coincident).map_err(|e| e.to_string())?;
    let (Some(one), None) = (parsed.pop(), parsed.pop()) else {
        return Err("the `cif` field does not hold exactly one structure".to_owned());
    };
    Ok((one.structure, one.warnings))
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "True" | "true" | "TRUE" => Some(true),
        "False" | "false" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A cell of a column of this type; `None` for an empty one and for NaN and infinities.
fn cell(text: &str, kind: ColumnType) -> Option<Value> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    match kind {
        ColumnType::Number => text.parse().ok().and_then(properties::number),
        ColumnType::Bool => boolean(text).map(Value::from),
        ColumnType::Text => Some(text.into()),
    }
}

/// One type for the whole column, so that a formula column with `NaN` or `InF` in it stays text;
/// with a warning when a few cells keep a column from being numbers.
fn column_type<'a>(records: &'a [StringRecord], index: usize, name: &str) -> (ColumnType, Option<String>) {
    let cells = || {
        let cell = |(k, r): (usize, &'a StringRecord)| r.get(index).map(|t| (k, t.trim()));
        records.iter().enumerate().filter_map(cell).filter(|(_, t)| !t.is_empty())
    };
    let (mut total, mut finite, mut numbers, mut bools) = (0, 0, 0, 0);
    for (_, t) in cells() {
        total += 1;
        bools += usize::from(boolean(t).is_some());
        if let Ok(x) = t.parse::<f64>() {
            numbers += 1;
            finite += usize::from(x.is_finite());
        }
    }
    if numbers == total && finite > 0 {
        (ColumnType::Number, None)
    } else if bools == total && total > 0 {
        (ColumnType::Bool, None)
    } else {
        let odd = cells().find(|(_, t)| t.parse::<f64>().is_err());
        let warning = odd.filter(|_| 2 * finite > total).map(|(k, t)| {
            format!("column `{name}` is read as text: {} of {total} fields are no numbers, such as `{t}` in row {}", total - numbers, k + 1)
        });
        (ColumnType::Text, warning)
    }
}

fn is_distinct(records: &[StringRecord], index: usize) -> bool {
    let mut seen = HashSet::new();
    records.iter().filter_map(|r| r.get(index)).all(|cell| seen.insert(cell))
}
