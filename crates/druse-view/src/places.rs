//! What a path holds: sets of structures and training runs.

use std::path::{Path, PathBuf};

use druse_crystal::files;
use druse_crystal::formats::{Format, without_gz};

/// Structures of a run, one a line, as they are finished.
pub(crate) const STRUCTURES_FILE: &str = "structures.jsonl";
/// Those of the run that failed.
pub(crate) const FAILURES_FILE: &str = "failures.jsonl";
/// What a finished screening says of each candidate.
pub(crate) const SCREEN_FILE: &str = "screen.jsonl";
/// The ranked structures of a screening.
pub(crate) const RANKED_FILE: &str = "ranked.jsonl";
/// The folder with the relaxed structures of a screening.
pub(crate) const RELAXED_FOLDER: &str = "relaxed";
/// The log of a training run.
pub(crate) const METRICS_FILE: &str = "metrics.jsonl";
/// The manifest of a run that samples, which tells its number of structures.
pub(crate) const SAMPLING_FILE: &str = "sampling.json";

/// Folders below a path that are looked into.
const DEPTH: usize = 4;
/// Sets and runs that are shown at most.
const MOST: usize = 500;
/// Folders that are looked into at most.
const MOST_FOLDERS: usize = 5000;

/// How a set is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Lines that may grow, and those of structures that failed.
    Lines { structures: PathBuf, failures: Option<PathBuf> },
    /// A finished screening.
    Screen { folder: PathBuf },
    /// A file or folder in any other format, read at once.
    Whole { path: PathBuf },
}

/// A set of structures below one of the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path as the person knows it.
    pub path: PathBuf,
    pub source: Source,
}

/// What was found below the paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub sets: Vec<Place>,
    /// Folders of training runs.
    pub runs: Vec<PathBuf>,
    /// Folders that were looked into.
    folders: usize,
    /// Whether there is more than is looked at.
    pub cut: bool,
}

/// Looks through the paths. What cannot be listed has nothing in it.
pub(crate) fn find(paths: &[PathBuf]) -> Places {
    let mut found = Places::default();
    for path in paths {
        look(path, DEPTH, &mut found);
    }
    found.sets.dedup();
    found
}

/// The extension without `.gz`, in small letters.
fn extension(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    Path::new(without_gz(&name)).extension().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"))
}

fn is_lines(path: &Path) -> bool {
    matches!(extension(path).as_str(), "jsonl" | "ndjson") && !is_gz(path)
}

fn of_file(path: &Path) -> Place {
    let path = path.to_owned();
    let source = match is_lines(&path) {
        true => Source::Lines { structures: path.clone(), failures: None },
        false => Source::Whole { path: path.clone() },
    };
    Place { path, source }
}

fn look(path: &Path, depth: usize, found: &mut Places) {
    if found.sets.len() + found.runs.len() >= MOST || found.folders >= MOST_FOLDERS {
        found.cut = true;
        return;
    }
    found.folders += 1;
    if !path.is_dir() {
        found.sets.push(of_file(path));
        return;
    }
    let has = |name: &str| path.join(name).is_file();
    if has(METRICS_FILE) {
        found.runs.push(path.to_owned());
    }
    if has(SCREEN_FILE) {
        found.sets.push(Place { path: path.to_owned(), source: Source::Screen { folder: path.to_owned() } });
        return;
    }
    let is_run = has(STRUCTURES_FILE) || has(FAILURES_FILE);
    if is_run {
        let source = Source::Lines {
            structures: path.join(STRUCTURES_FILE),
            failures: Some(path.join(FAILURES_FILE)),
        };
        found.sets.push(Place { path: path.to_owned(), source });
    }
    let mut entries: Vec<PathBuf> = files::list(path)
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    let before = found.sets.len();
    if !is_run && !has(METRICS_FILE) {
        let tables = entries.iter().filter(|p| p.is_file());
        let tables = tables.filter(|p| matches!(extension(p).as_str(), "csv" | "jsonl" | "ndjson"));
        found.sets.extend(tables.map(|p| of_file(p)));
    }
    if depth > 0 {
        for folder in entries.iter().filter(|p| p.is_dir() && !p.is_symlink()) {
            let inner_has = |name: &str| folder.join(name).is_file();
            let special = [METRICS_FILE, SCREEN_FILE, STRUCTURES_FILE, FAILURES_FILE];
            // Inside a run lie files of the same structures again; only runs within it count.
            if !is_run || special.iter().any(|name| inner_has(name)) {
                look(folder, depth - 1, found);
            }
        }
    }
    let structure_files =
        entries.iter().any(|p| p.is_file() && Format::from_path(p).is_some() && extension(p) != "json");
    if !is_run && structure_files && found.sets.len() == before {
        found.sets.push(Place { path: path.to_owned(), source: Source::Whole { path: path.to_owned() } });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn runs_screens_tables_and_folders_of_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for name in [
            "sampled/structures.jsonl",
            "sampled/sampling.json",
            "sampled/cif/1.cif",
            "training/metrics.jsonl",
            "training/samples/structures.jsonl",
            "screened/screen.jsonl",
            "screened/relaxed/structures.jsonl",
            "data/test.csv.gz",
            "data/train.jsonl",
            "cifs/a.cif",
            "cifs/b.cif",
            ".hidden/structures.jsonl",
            "notes.txt",
        ] {
            file(name);
        }
        let found = find(&[dir.path().to_owned()]);
        let names: Vec<String> = found
            .sets
            .iter()
            .map(|p| p.path.strip_prefix(dir.path()).unwrap().display().to_string().replace('\\', "/"))
            .collect();
        assert_eq!(
            names,
            ["cifs", "data/test.csv.gz", "data/train.jsonl", "sampled", "screened", "training/samples"]
        );
        assert_eq!(found.runs, [dir.path().join("training")]);
        let kinds: Vec<bool> = found.sets.iter().map(|p| matches!(p.source, Source::Lines { .. })).collect();
        assert_eq!(kinds, [false, false, true, true, false, true]);
    }

    #[test]
    fn an_empty_folder_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let found = find(&[dir.path().to_owned()]);
        assert_eq!((found.sets, found.runs, found.cut), (Vec::new(), Vec::new(), false));
    }
}
