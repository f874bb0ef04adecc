//! Structure files and folders of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use druse_crystal::Properties;
use druse_crystal::files::{self as disk, Action, FileError};
use druse_crystal::formats::{Format, FormatError, Parsed, read_str_with};
use rayon::prelude::*;

use super::{Found, Reading, Row, Rows, json_documents, json_lines};
use crate::DataError;
use crate::formats::{SetFormat, structure_formats};

/// Tables named in the message about a folder that holds only tables.
const MAX_TABLES: usize = 8;

/// The structure files of a folder and of the folders in it, relative to it, sorted by path.
/// Hidden files and linked folders (which may form circles) are passed over.
pub(super) fn in_folder(root: &Path) -> Result<(Vec<PathBuf>, Vec<String>), DataError> {
    let (mut files, mut tables, mut others) = (Vec::new(), Vec::new(), 0);
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let full = root.join(&folder);
        for item in disk::list(&full)? {
            if item.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let relative = folder.join(item.file_name());
            let kind = item.file_type().map_err(FileError::wrap(Action::Read, &item.path()))?;
            if kind.is_dir() {
                open.push(relative);
            } else if kind.is_symlink() && item.path().is_dir() {
                others += 1;
            } else {
                match SetFormat::from_path(&relative) {
                    Some(SetFormat::Structures(_)) => files.push(relative),
                    Some(_) => tables.push(relative.display().to_string()),
                    None => others += 1,
                }
            }
        }
    }
    tables.sort_unstable();
    if files.is_empty() {
        tables.truncate(MAX_TABLES);
        let path = root.to_owned();
        return Err(if tables.is_empty() {
            DataError::Empty { path, reason: format!("the folder holds no {} file", structure_formats()) }
        } else {
            DataError::FolderOfTables { path, tables }
        });
    }
    files.sort_unstable();
    others += tables.len();
    let warnings = match others {
        0 => Vec::new(),
        n => vec![format!("{n} files of the folder are no structure files and passed over")],
    };
    Ok((files, warnings))
}

/// Reads a structure file. If one of several structures is broken, the others are still read.
pub(super) fn read(path: &Path, text: &str, format: Format, reading: Reading) -> Rows {
    let error = match read_str_with(text, format, reading.coincident) {
        Ok(parsed) => return named(path, parsed),
        Err(e) => e,
    };
    if format == Format::PymatgenJson {
        if let Some(rows) = json_documents::read(text, reading) {
            return rows;
        }
        // JSON Lines under another name: a second document follows the first.
        if text.lines().map(str::trim).find(|l| !l.is_empty()).is_some_and(json_lines::is_object) {
            return json_lines::read(text, reading);
        }
    }
    let blocks = format.split(text);
    if blocks.len() < 2 {
        return Rows::broken_file(error.to_string());
    }
    let parts: Vec<Rows> = blocks
        .par_iter()
        .map(|block| match read_str_with(block.text, format, reading.coincident) {
            Ok(parsed) => named(path, parsed),
            Err(e) => {
                let in_file = FormatError { line: e.line.map(|l| l + block.line - 1), ..e };
                let id = block.name.map(str::to_owned);
                Rows { rows: vec![Row::broken(id, in_file.to_string())], warnings: Vec::new() }
            }
        })
        .collect();
    let mut rows = Rows::default();
    for (part, block) in parts.into_iter().zip(blocks) {
        rows.rows.extend(part.rows.into_iter().map(|r| Row { line: Some(block.line), ..r }));
    }
    for (k, row) in rows.rows.iter_mut().enumerate() {
        row.row = Some(k + 1);
    }
    rows
}

/// Rows of parsed structures. A single one is named after its file; several after an `id` or `material_id` of
/// theirs, else after their names, made unique, else by number.
fn named(path: &Path, parsed: Vec<Parsed>) -> Rows {
    let single = parsed.len() == 1;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let rows = parsed
        .into_iter()
        .enumerate()
        .map(|(k, Parsed { mut structure, name, warnings })| {
            let mut counted = false;
            let own = ["material_id", "id"].iter().find_map(|key| match structure.properties.get(*key) {
                Some(serde_json::Value::String(id)) => Some(((*key).to_owned(), id.clone())),
                Some(serde_json::Value::Number(id)) => Some(((*key).to_owned(), id.to_string())),
                _ => None,
            });
            let id = match own {
                Some((key, id)) => {
                    structure.properties.remove(&key);
                    id
                }
                None if single => {
                    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                    super::stem(&file).to_owned()
                }
                None => {
                    counted = name.trim().is_empty();
                    let name = if counted { (k + 1).to_string() } else { name.trim().to_owned() };
                    let count = seen.entry(name.clone()).or_insert(0);
                    *count += 1;
                    if *count == 1 { name } else { format!("{name}#{count}") }
                }
            };
            let found = Found { structure, warnings };
            Row {
                row: Some(k + 1),
                line: None,
                id: Some(id),
                counted,
                properties: Properties::new(),
                composition: None,
                outcome: Ok(found),
            }
        })
        .collect();
    Rows { rows, warnings: Vec::new() }
}
