//! Structure files and folders of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use druse_crystal::Properties;
use druse_crystal::content::ContentError;
use druse_crystal::files::{self as disk, Action, FileError};
use druse_crystal::formats::{Block, Format, FormatError, Parsed, read_str_with};
use rayon::prelude::*;

use super::text::TextBlocks;
use super::{Found, Reading, Row, Rows, json_documents, json_lines};
use crate::DataError;
use crate::formats::{SetFormat, structure_formats};

/// Tables named in the message about a folder that holds only tables.
const MAX_TABLES: usize = 8;

/// The structure files of a folder and of the folders in it, relative to it, sorted by path.
/// Hidden files and linked folders (which may form circles) are passed over.
///
/// A folder without any whose tables are all of a format that sets are kept in by parts ([`SetFormat::is_sharded`]) is a
/// set of that many parts.
pub(super) fn in_folder(root: &Path) -> Result<(Vec<PathBuf>, Vec<String>), DataError> {
    let (mut files, mut tables, mut others) = (Vec::new(), Vec::new(), 0);
    let mut parts: Vec<(SetFormat, PathBuf)> = Vec::new();
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
                    Some(format) => {
                        tables.push(relative.display().to_string());
                        parts.push((format, relative));
                    }
                    None => others += 1,
                }
            }
        }
    }
    tables.sort_unstable();
    if files.is_empty()
        && let Some(&(first, _)) = parts.first()
        && first.is_sharded()
        && parts.iter().all(|(format, _)| *format == first)
    {
        files.extend(parts.into_iter().map(|(_, path)| path));
        tables.clear();
    }
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
        Ok(parsed) => {
            let mut names = Names::new(path, parsed.len() > 1);
            return rows(parsed.into_iter().map(|one| names.row(one)).collect());
        }
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
    rows(one_by_one(&blocks, format, reading, 0, &mut Names::new(path, true)))
}

/// Bytes in which a structure has to end.
const MAX_STRUCTURE: usize = 1 << 30;

/// Reads a file of many structures block by block; what is between two structures goes with the first of them.
pub(super) fn read_blocks(
    path: &Path,
    format: Format,
    mut blocks: TextBlocks,
    reading: Reading,
    take: &mut dyn FnMut(Rows) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut names = Names::new(path, true);
    let (mut text, mut line) = (String::new(), 0);
    loop {
        let more = blocks.next()?;
        let last = more.is_none();
        text.push_str(&more.unwrap_or_default());
        if let Some(k) = text.bytes().position(|b| b == 0) {
            let line = line + 1 + text[..k].matches('\n').count();
            return Err(DataError::Content { path: path.to_owned(), source: ContentError::Binary { line } });
        }
        let parts = format.split(&text);
        if last && names.count == 0 && parts.len() < 2 {
            return take(read(path, &text, format, reading));
        }
        // The last structure may go on in the next block.
        let complete = if last { text.len() } else { parts.last().map_or(0, |b| offset(&text, b.text)) };
        let parts = if last { &parts[..] } else { &parts[..parts.len().saturating_sub(1)] };
        if !parts.is_empty() {
            let found = match read_str_with(&text[..complete], format, reading.coincident) {
                Ok(parsed) => parsed.into_iter().map(|one| names.row(one)).collect(),
                Err(_) => one_by_one(parts, format, reading, line, &mut names),
            };
            take(rows(found))?;
        }
        if last {
            return Ok(());
        }
        if parts.is_empty() && text.len() > MAX_STRUCTURE {
            let reason = format!("no structure ends within {MAX_STRUCTURE} bytes from line {} on", line + 1);
            return take(rows(vec![Row { row: Some(names.count + 1), ..Row::broken(None, reason) }]));
        }
        if !parts.is_empty() {
            line += text[..complete].matches('\n').count();
            text.drain(..complete);
        }
    }
}

/// Where a part of a text begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

fn rows(rows: Vec<Row>) -> Rows {
    Rows { rows, warnings: Vec::new() }
}

/// Reads each part of a file by itself; `line` lines are before the first of them.
fn one_by_one(
    parts: &[Block<'_>],
    format: Format,
    reading: Reading,
    line: usize,
    names: &mut Names<'_>,
) -> Vec<Row> {
    let read: Vec<Result<Vec<Parsed>, FormatError>> =
        parts.par_iter().map(|part| read_str_with(part.text, format, reading.coincident)).collect();
    let mut rows = Vec::with_capacity(parts.len());
    for (part, read) in parts.iter().zip(read) {
        let first = line + part.line;
        match read {
            Ok(parsed) => {
                rows.extend(parsed.into_iter().map(|one| Row { line: Some(first), ..names.row(one) }));
            }
            Err(e) => {
                let in_file = FormatError { line: e.line.map(|l| l + first - 1), ..e };
                let broken = Row::broken(part.name.map(str::to_owned), in_file.to_string());
                names.count += 1;
                rows.push(Row { row: Some(names.count), line: Some(first), ..broken });
            }
        }
    }
    rows
}

/// Names the structures of a file: a single one after its file; several after an `id` or `material_id` of theirs, else
/// after their names, made unique, else by number.
struct Names<'a> {
    path: &'a Path,
    several: bool,
    /// Structures so far.
    count: usize,
    seen: HashMap<String, usize>,
}

impl<'a> Names<'a> {
    fn new(path: &'a Path, several: bool) -> Self {
        Self { path, several, count: 0, seen: HashMap::new() }
    }

    fn row(&mut self, Parsed { mut structure, name, warnings }: Parsed) -> Row {
        self.count += 1;
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
            None if !self.several => {
                let file =
                    self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                super::stem(&file).to_owned()
            }
            None => {
                counted = name.trim().is_empty();
                let name = if counted { self.count.to_string() } else { name.trim().to_owned() };
                let times = self.seen.entry(name.clone()).or_insert(0);
                *times += 1;
                if *times == 1 { name } else { format!("{name}#{times}") }
            }
        };
        Row {
            row: Some(self.count),
            line: None,
            id: Some(id),
            counted,
            properties: Properties::new(),
            composition: None,
            outcome: Ok(Found { structure, warnings }),
        }
    }
}
