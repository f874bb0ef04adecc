//! Chosen rows as files to download.

use std::collections::BTreeSet;
use std::fmt::Write;

use druse_crystal::formats::{self, Format};
use druse_crystal::{Composition, Properties};
use druse_data::properties;
use serde::Deserialize;

use crate::ViewError;
use crate::store::{FullRow, Store};
use crate::zip::Archive;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportFormat {
    Cif,
    Poscar,
    Extxyz,
    Csv,
}

/// A file.
#[derive(Debug)]
pub(crate) struct Download {
    pub name: String,
    pub kind: &'static str,
    pub content: Vec<u8>,
    /// Rows that have no structure and are not in it.
    pub left_out: usize,
}

/// The name of a structure in a file: its identifier, if it can be one, and its formula.
fn name_of(row: &FullRow) -> String {
    let formula = row.item.composition().map_or(String::new(), |c: Composition| c.reduced_formula());
    let plain: String = row
        .item
        .id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    let plain: String = plain.trim_start_matches('.').chars().take(80).collect();
    if plain.contains(&formula) { plain } else { format!("{plain}-{formula}") }
}

/// A field of a table, quoted where that is needed. Texts that a spreadsheet would take for a formula stay texts.
fn field(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '@', '\t'])
        || (text.starts_with('-') && text.parse::<f64>().is_err())
    {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// The rows of the table in a format; rows without structure are in tables alone.
///
/// # Errors
/// [`ViewError::Missing`] for a row that is not there, [`ViewError::Refused`] when nothing is left or it is too much.
pub(crate) fn export(store: &Store, rows: &[usize], format: ExportFormat) -> Result<Download, ViewError> {
    if rows.is_empty() {
        return Err(ViewError::Refused("no structure is chosen".into()));
    }
    let all: Vec<FullRow> = rows.iter().map(|&row| store.full(row)).collect::<Result<_, _>>()?;
    if format == ExportFormat::Csv {
        let content = table(&all).into_bytes();
        return Ok(Download {
            name: "structures.csv".into(),
            kind: "text/csv; charset=utf-8",
            content,
            left_out: 0,
        });
    }
    let found: Vec<_> = all
        .iter()
        .filter_map(|row| {
            let mut structure = row.item.structure()?.clone();
            if format != ExportFormat::Extxyz {
                structure.properties = Properties::new();
            }
            Some((name_of(row), structure))
        })
        .collect();
    let left_out = all.len() - found.len();
    let (kind, extension, of) = match format {
        ExportFormat::Cif => ("chemical/x-cif", "cif", Format::Cif),
        ExportFormat::Poscar => ("text/plain; charset=utf-8", "vasp", Format::Poscar),
        _ => ("text/plain; charset=utf-8", "extxyz", Format::ExtXyz),
    };
    let texts: Vec<(String, String)> =
        found.iter().map(|(name, structure)| (name.clone(), formats::write(structure, of, name))).collect();
    match texts.as_slice() {
        [] => Err(ViewError::Refused("none of the chosen rows has a structure".into())),
        [(name, text)] => Ok(Download {
            name: format!("{name}.{extension}"),
            kind,
            content: text.clone().into_bytes(),
            left_out,
        }),
        // A file of this format holds one structure.
        all if format == ExportFormat::Poscar => {
            let mut archive = Archive::default();
            let mut names = BTreeSet::new();
            let full =
                || ViewError::Refused(format!("more than an archive of {} files holds", Archive::MOST_FILES));
            for (name, text) in all {
                let mut unique = name.clone();
                for k in 2.. {
                    if names.insert(unique.clone()) {
                        break;
                    }
                    unique = format!("{name}-{k}");
                }
                if !archive.add(&format!("{unique}.vasp"), text.as_bytes()) {
                    return Err(full());
                }
            }
            let content = archive.finish().ok_or_else(full)?;
            Ok(Download { name: "structures.zip".into(), kind: "application/zip", content, left_out })
        }
        all => {
            let content = all.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().concat().into_bytes();
            Ok(Download { name: format!("structures.{extension}"), kind, content, left_out })
        }
    }
}

/// A table with what is known of the rows and a column `cif`, which every command reads as a data set.
fn table(all: &[FullRow]) -> String {
    let names: BTreeSet<&String> = all.iter().flat_map(|row| row.item.properties().keys()).collect();
    let own = ["id", "set", "formula", "valid", "reason", "space_group", "cif"];
    let names: Vec<&String> = names.into_iter().filter(|name| !own.contains(&name.as_str())).collect();
    let mut text = String::from("id,set,formula,valid,reason,space_group");
    for name in &names {
        let _ = write!(text, ",{}", field(name));
    }
    text += ",cif\n";
    for row in all {
        let description = row.description.clone().unwrap_or_default();
        let formula = row.item.composition().map_or(String::new(), |c| c.reduced_formula());
        let reason = row.item.reason().map(str::to_owned).or(description.reason).unwrap_or_default();
        let group = description.space_group.map_or(String::new(), |n| n.to_string());
        let valid = description.valid.map_or(String::new(), |v| v.to_string());
        let mut fields =
            vec![field(&row.item.id), field(&row.set), field(&formula), valid, field(&reason), group];
        for name in &names {
            fields.push(
                row.item.properties().get(*name).map_or(String::new(), |v| field(&properties::text(v))),
            );
        }
        let cif = row.item.structure().map_or(String::new(), |structure| {
            let mut plain = structure.clone();
            plain.properties = Properties::new();
            formats::write(&plain, Format::Cif, &name_of(row))
        });
        fields.push(field(&cif));
        text += &fields.join(",");
        text.push('\n');
    }
    text
}
