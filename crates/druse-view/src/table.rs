//! The table of all rows: a few values of each, and where the rest is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use druse_crystal::{Composition, Properties};
use druse_data::Item;
use serde_json::{Value, json};

use crate::describe::Description;

/// Columns of properties that are kept at most; sets with more have the first of them.
const MOST_COLUMNS: usize = 80;
/// Characters of a text in the table; the row itself has all of them.
const LONGEST_TEXT: usize = 160;

/// Where a row's structure is.
#[derive(Debug, Clone)]
pub(crate) enum Spot {
    /// A line of a file, by its first byte, number of the row and of the line.
    Line { file: u32, offset: u64, row: u32, line: u32 },
    /// An item that the set keeps.
    Kept(u32),
    /// Nowhere: a structure that failed.
    None,
}

/// What is known of a row without its structure.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub set: u32,
    pub id: String,
    pub spot: Spot,
    pub formula: String,
    /// Symbols, by atomic number.
    pub elements: String,
    pub atoms: u32,
    /// g/cm³ and Å³; `None` without structure.
    pub density: Option<f64>,
    pub volume_per_atom: Option<f64>,
    /// Why there is no structure.
    pub failure: Option<String>,
    /// What the reader had to interpret.
    pub warnings: u32,
}

/// All rows, and the columns of their properties.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub rows: Vec<Row>,
    /// Files that [`Spot::Line`] counts.
    pub files: Vec<PathBuf>,
    properties: BTreeMap<String, Vec<Value>>,
    /// Of the first rows: validity, space group, what is known.
    pub descriptions: Vec<Description>,
}

impl Row {
    /// The row of an item of a set, whose structure is at `spot`.
    pub fn of(set: u32, item: &Item, spot: Spot) -> Self {
        let composition = item.composition();
        let structure = item.structure();
        let symbols = |c: &Composition| c.elements().map(|e| e.symbol()).collect::<Vec<_>>().join(" ");
        Self {
            set,
            id: item.id.clone(),
            spot: if structure.is_some() { spot } else { Spot::None },
            formula: composition.as_ref().map_or(String::new(), Composition::reduced_formula),
            elements: composition.as_ref().map_or(String::new(), symbols),
            atoms: composition.as_ref().map_or(0, |c| u32::try_from(c.num_atoms()).unwrap_or(u32::MAX)),
            density: structure.map(|s| s.density()),
            volume_per_atom: structure.map(|s| s.lattice.volume() / s.len() as f64),
            failure: item.reason().map(str::to_owned),
            warnings: u32::try_from(item.warnings.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Table {
    /// Number of a file, which is added where it is new.
    pub fn file(&mut self, path: &std::path::Path) -> u32 {
        let at = self.files.iter().position(|p| p == path).unwrap_or_else(|| {
            self.files.push(path.to_owned());
            self.files.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Appends a row with its properties.
    pub fn push(&mut self, row: Row, properties: &Properties) {
        let at = self.rows.len();
        for (name, value) in properties {
            if !self.properties.contains_key(name) {
                if self.properties.len() >= MOST_COLUMNS {
                    continue;
                }
                self.properties.insert(name.clone(), Vec::new());
            }
            if let Some(column) = self.properties.get_mut(name) {
                column.resize(at, Value::Null);
                column.push(short(value));
            }
        }
        self.rows.push(row);
    }

    /// The value of a property.
    pub fn property(&self, name: &str, row: usize) -> &Value {
        self.properties.get(name).and_then(|column| column.get(row)).unwrap_or(&Value::Null)
    }

    /// Names of the properties.
    pub fn property_names(&self) -> Vec<&str> {
        self.properties.keys().map(String::as_str).collect()
    }

    /// Rows as columns: what is known as soon as they are read.
    pub fn columns(&self, range: Range<usize>) -> Value {
        let rows = &self.rows[range.clone()];
        let column = |of: &dyn Fn(&Row) -> Value| Value::Array(rows.iter().map(of).collect());
        let properties: BTreeMap<&String, Vec<&Value>> = self
            .properties
            .keys()
            .map(|name| (name, range.clone().map(|at| self.property(name, at)).collect()))
            .collect();
        json!({
            "from": range.start,
            "to": range.end,
            "columns": {
                "set": column(&|r| r.set.into()),
                "id": column(&|r| r.id.as_str().into()),
                "formula": column(&|r| r.formula.as_str().into()),
                "elements": column(&|r| r.elements.as_str().into()),
                "atoms": column(&|r| if r.atoms == 0 { Value::Null } else { r.atoms.into() }),
                "density": column(&|r| rounded(r.density)),
                "volume_per_atom": column(&|r| rounded(r.volume_per_atom)),
                "failure": column(&|r| r.failure.as_deref().into()),
                "warnings": column(&|r| r.warnings.into()),
            },
            "properties": properties,
        })
    }

    /// What has been found out of rows since they were read, as columns.
    pub fn described(&self, range: Range<usize>) -> Value {
        let all = &self.descriptions[range.clone()];
        let column = |of: &dyn Fn(&Description) -> Value| Value::Array(all.iter().map(of).collect());
        json!({
            "from": range.start,
            "to": range.end,
            "columns": {
                "valid": column(&|d| d.valid.into()),
                "reason": column(&|d| d.reason.as_deref().into()),
                "space_group": column(&|d| d.space_group.into()),
                "symbol": column(&|d| d.symbol.as_deref().into()),
                "known_as": column(&|d| d.known_as.as_deref().into()),
                "is_novel": column(&|d| d.novel.into()),
            },
        })
    }
}

/// Six digits are more than a table shows.
fn rounded(x: Option<f64>) -> Value {
    x.filter(|x| x.is_finite()).map_or(Value::Null, |x| ((x * 1e4).round() / 1e4).into())
}

fn short(value: &Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > LONGEST_TEXT => {
            format!("{}…", text.chars().take(LONGEST_TEXT).collect::<String>()).into()
        }
        Value::Array(_) | Value::Object(_) => short(&Value::String(value.to_string())),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use druse_data::list_json_line;

    use super::*;

    #[test]
    fn columns_that_come_later_are_empty_before() {
        let mut table = Table::default();
        let salt = r#"{"id": "a", "lattice": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "gap": 8.5}"#;
        for (k, text) in
            [salt, r#"{"id": "b", "energy": -1, "species": ["Na", "Cl"], "lattice": 0}"#].iter().enumerate()
        {
            let item = list_json_line(text, "x".as_ref(), k + 1, k + 1);
            table.push(Row::of(0, &item, Spot::Kept(0)), item.properties());
        }
        let columns = table.columns(0..2);
        assert_eq!(columns["columns"]["formula"], json!(["NaCl", "NaCl"]));
        assert_eq!(columns["columns"]["elements"], json!(["Na Cl", "Na Cl"]));
        assert_eq!(columns["columns"]["density"], json!([2.1637, null]));
        assert_eq!(columns["properties"], json!({"energy": [null, -1], "gap": [8.5, null]}));
        assert!(columns["columns"]["failure"][1].as_str().unwrap().contains("lattice"), "{columns}");
        assert!(matches!(table.rows[1].spot, Spot::None));
    }
}
