//! The CSV layout of the field: one row a structure, the CIF as text in the column `cif`.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use druse_crystal::files::{Action, FileError};
use druse_crystal::formats::{Format, Warning, read_str_with};
use druse_crystal::{Composition, Properties, Structure};
use rayon::prelude::*;
use serde_json::Value;

use super::text::{TextReader, unwrap_io};
use super::{FORMULAS, Found, Reading, Row, Rows};
use crate::entry::fingerprint;
use crate::{DataError, properties};

/// Rows parsed at a time where a table is read in blocks.
const BLOCK: usize = 2048;

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

/// How a table is laid out.
struct Table {
    delimiter: u8,
    crystal: Crystal,
    header: Vec<String>,
}

/// How the rows of a table are read, which all of its rows decide.
struct Plan {
    table: Table,
    columns: Vec<Column>,
    /// Column of the identifier.
    id: Option<usize>,
    /// Row, from 0, that the file ends in the middle of.
    cut_off: Option<usize>,
}

impl Table {
    /// The layout that the header tells.
    fn of(path: &Path, text: &str, formulas: bool) -> Result<Self, DataError> {
        let table = |column: fn(&[String]) -> Option<usize>, crystal: fn(usize) -> Crystal| {
            DELIMITERS.iter().find_map(|&delimiter| {
                let header = header(text, delimiter)?;
                Some(Self { delimiter, crystal: crystal(column(&header)?), header })
            })
        };
        let with_formulas = || formulas.then(|| table(formula_column, Crystal::Formula)).flatten();
        table(cif_column, Crystal::Cif).or_else(with_formulas).ok_or_else(|| {
            let columns = header(text, DELIMITERS[0]).unwrap_or_default();
            let path = path.to_owned();
            match formulas {
                true => DataError::NoFormulaColumn { path, columns },
                false => DataError::NoCifColumn { path, columns },
            }
        })
    }

    /// Rows of the wrong length are reported one by one, hence flexible.
    fn reader<R: Read>(&self, input: R) -> csv::Reader<R> {
        ReaderBuilder::new().delimiter(self.delimiter).flexible(true).from_reader(input)
    }

    /// An empty tally for each column that may be a property.
    fn tallies(&self) -> Vec<Tally> {
        let is_property = |&(index, name): &(usize, &String)| {
            // pandas writes its index without a name, and reads that back as `Unnamed: 0`.
            !matches!(self.crystal, Crystal::Cif(cif) if cif == index)
                && !name.is_empty()
                && !name.starts_with("Unnamed:")
        };
        let columns = self.header.iter().enumerate().filter(is_property);
        columns.map(|(index, name)| Tally { index, name: name.clone(), ..Tally::default() }).collect()
    }

    /// The plan that tallies of all rows lead to. `distinct` tells the first of some columns whose cells all differ.
    fn plan(
        self,
        tallies: &[Tally],
        distinct: impl FnOnce(&[usize]) -> Result<Option<usize>, DataError>,
        cut_off: Option<usize>,
    ) -> Result<(Plan, Vec<String>), DataError> {
        let (mut columns, mut warnings) = (Vec::new(), Vec::new());
        for tally in tallies {
            let (kind, warning) = tally.kind();
            warnings.extend(warning);
            columns.push(Column { index: tally.index, name: tally.name.clone(), kind });
        }
        let named_id =
            ID_COLUMNS.iter().find_map(|id| columns.iter().position(|c| c.name.eq_ignore_ascii_case(id)));
        let id = match named_id {
            Some(k) => Some(columns.remove(k).index),
            None => {
                let texts = columns.iter().filter(|c| c.kind == ColumnType::Text).map(|c| c.index);
                distinct(&texts.collect::<Vec<_>>())?
            }
        };
        Ok((Plan { table: self, columns, id, cut_off }, warnings))
    }
}

/// Reads a table whole.
pub(super) fn read(path: &Path, text: &str, reading: Reading) -> Result<Rows, DataError> {
    let table = Table::of(path, text, reading.formulas)?;
    let broken = |e: csv::Error| FileError::wrap(Action::Read, path)(e.into());
    let records: Vec<StringRecord> =
        table.reader(text.as_bytes()).records().collect::<Result<_, _>>().map_err(broken)?;
    let mut tallies = table.tallies();
    records.iter().enumerate().for_each(|(k, record)| tallies.iter_mut().for_each(|t| t.count(k, record)));
    // A quotation mark inside a field is doubled, so an odd number means that the last field never ends.
    let odd = text.bytes().filter(|&b| b == b'"').count() % 2 == 1;
    let distinct = |columns: &[usize]| first_distinct(columns, records.iter().map(Ok));
    let (plan, warnings) = table.plan(&tallies, distinct, odd.then(|| records.len().saturating_sub(1)))?;
    Ok(Rows { rows: plan.rows(&records, 0, reading), warnings })
}

/// Reads a table block by block, `open` giving its text from the beginning each time: what its columns are is known
/// when all of its rows have been seen.
pub(super) fn read_blocks(
    path: &Path,
    open: &dyn Fn() -> Result<TextReader, DataError>,
    reading: Reading,
    take: &mut dyn FnMut(Rows) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let broken = |e: csv::Error| unwrap_io(e.into(), path);
    let mut head = open()?;
    // The header of any sane table; a longer one is read as far as this.
    let mut first = String::new();
    BufReader::new(&mut head).take(1 << 20).read_line(&mut first).map_err(|e| unwrap_io(e, path))?;
    let table = Table::of(path, &first, reading.formulas)?;
    let mut tallies = table.tallies();
    let mut reader = table.reader(open()?);
    let (mut record, mut count) = (StringRecord::new(), 0);
    while reader.read_record(&mut record).map_err(broken)? {
        tallies.iter_mut().for_each(|t| t.count(count, &record));
        count += 1;
    }
    let odd = reader.into_inner().quotes % 2 == 1;
    let again = table.reader(open()?);
    let distinct = |columns: &[usize]| match columns {
        [] => Ok(None),
        _ => first_distinct(columns, again.into_records().map(|r| r.map_err(broken))),
    };
    let (plan, warnings) = table.plan(&tallies, distinct, odd.then(|| count.saturating_sub(1)))?;
    take(Rows { rows: Vec::new(), warnings })?;
    let mut records = plan.table.reader(open()?).into_records();
    let mut first = 0;
    loop {
        let block: Vec<StringRecord> =
            records.by_ref().take(BLOCK).collect::<Result<_, _>>().map_err(broken)?;
        if block.is_empty() {
            return Ok(());
        }
        take(Rows { rows: plan.rows(&block, first, reading), warnings: Vec::new() })?;
        first += block.len();
    }
}

impl Plan {
    /// The rows of records, the first of which is row `first` from 0.
    fn rows(&self, records: &[StringRecord], first: usize, reading: Reading) -> Vec<Row> {
        let row = |(k, record): (usize, &StringRecord)| self.row(record, first + k, reading);
        records.par_iter().enumerate().map(row).collect()
    }

    fn row(&self, record: &StringRecord, k: usize, reading: Reading) -> Row {
        let id = self.id.and_then(|i| record.get(i)).map(|id| id.trim().to_owned());
        let mut properties = Properties::new();
        let outcome = if self.cut_off == Some(k) {
            Err("the file ends inside a quoted field (it may be cut off)".to_owned())
        } else {
            let Table { header, crystal, .. } = &self.table;
            row(record, header.len(), *crystal, &self.columns, reading, &mut properties)
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
    }
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

/// What the cells of a column look like.
#[derive(Default)]
struct Tally {
    index: usize,
    name: String,
    total: usize,
    finite: usize,
    numbers: usize,
    bools: usize,
    /// The first cell that is no number, and its row from 0.
    odd: Option<(usize, String)>,
}

impl Tally {
    fn count(&mut self, row: usize, record: &StringRecord) {
        let Some(text) = record.get(self.index).map(str::trim).filter(|t| !t.is_empty()) else { return };
        self.total += 1;
        self.bools += usize::from(boolean(text).is_some());
        match text.parse::<f64>() {
            Ok(x) => {
                self.numbers += 1;
                self.finite += usize::from(x.is_finite());
            }
            Err(_) if self.odd.is_none() => self.odd = Some((row, text.to_owned())),
            Err(_) => {}
        }
    }

    /// One type for the whole column, so that a formula column with `NaN` or `InF` in it stays text;
    /// with a warning when a few cells keep a column from being numbers.
    fn kind(&self) -> (ColumnType, Option<String>) {
        let Self { name, total, finite, numbers, bools, odd, .. } = self;
        if numbers == total && *finite > 0 {
            (ColumnType::Number, None)
        } else if bools == total && *total > 0 {
            (ColumnType::Bool, None)
        } else {
            let odd = odd.as_ref().filter(|_| 2 * finite > *total);
            let warning = odd.map(|(k, t)| {
                format!("column `{name}` is read as text: {} of {total} fields are no numbers, such as `{t}` in row {}", total - numbers, k + 1)
            });
            (ColumnType::Text, warning)
        }
    }
}

/// The first of some columns whose cells all differ. Of each cell half of its BLAKE3 sum is remembered.
fn first_distinct<R: Borrow<StringRecord>>(
    columns: &[usize],
    records: impl Iterator<Item = Result<R, DataError>>,
) -> Result<Option<usize>, DataError> {
    let mut seen: Vec<(usize, HashSet<u128>)> = columns.iter().map(|&c| (c, HashSet::new())).collect();
    for record in records {
        let record = record?;
        seen.retain_mut(|(column, cells)| {
            record.borrow().get(*column).is_none_or(|cell| cells.insert(fingerprint(cell.as_bytes())))
        });
        if seen.is_empty() {
            break;
        }
    }
    Ok(seen.first().map(|(column, _)| *column))
}
