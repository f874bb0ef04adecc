//! The sets of structures, read and followed in the background.

mod items;
mod reading;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use druse_crystal::{Composition, Structure};
use druse_data::{Absent, Item, ListOptions, list, list_json_line};
use serde_json::{Value, json};

use crate::ViewError;
use crate::describe::Description;
use crate::known::Known;
use crate::lines::{Follower, line_at};
use crate::places::{Place, Source};
use crate::runs::Runs;
use crate::table::{Spot, Table};

/// How long descriptions wait after somebody has looked at rows.
const COURTESY: Duration = Duration::from_millis(200);

/// A set as the page sees it.
#[derive(Debug)]
struct Set {
    place: Place,
    followers: Vec<Follower>,
    /// Items of a set that is read at once.
    kept: Vec<Item>,
    rows: usize,
    /// Whether everything that is there has been read.
    read: bool,
    problem: Option<String>,
}

#[derive(Default)]
struct State {
    /// Counted up when rows that were there are void: pages read everything again.
    epoch: u64,
    sets: Vec<Set>,
    table: Table,
    looked: bool,
    /// Whether the paths hold more than is looked at.
    cut: bool,
}

/// All that is shown.
pub(crate) struct Store {
    paths: Vec<PathBuf>,
    train: Option<PathBuf>,
    state: RwLock<State>,
    pub runs: Runs,
    known: OnceLock<Result<Known, String>>,
    stop: AtomicBool,
    /// When somebody last looked at rows.
    looked_at: Mutex<Option<Instant>>,
}

/// A row with its structure, read from where it is.
pub(crate) struct FullRow {
    pub item: Item,
    pub set: String,
    pub description: Option<Description>,
}

impl Store {
    pub fn new(paths: Vec<PathBuf>, train: Option<PathBuf>) -> Self {
        Self {
            paths,
            train,
            state: RwLock::default(),
            runs: Runs::default(),
            known: OnceLock::new(),
            stop: AtomicBool::new(false),
            looked_at: Mutex::default(),
        }
    }

    /// Begins to read, on a thread of its own that ends with [`Store::stop`].
    pub fn start(self: &Arc<Self>) {
        let store = Arc::clone(self);
        std::thread::spawn(move || store.work());
        if let Some(train) = self.train.clone() {
            let store = Arc::clone(self);
            std::thread::spawn(move || {
                let known = list(&train, &ListOptions::default()).map(|listing| {
                    Known::new(
                        listing
                            .items
                            .into_iter()
                            .filter_map(|i| i.outcome.ok().map(|structure| (i.id, structure))),
                    )
                });
                let _ = store.known.set(known.map_err(|e| e.to_string()));
            });
        }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The known structures, once they are read.
    pub fn known(&self) -> Option<Result<&Known, &str>> {
        self.known.get().map(|known| known.as_ref().map_err(String::as_str))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
    /// Notes that somebody looks at rows, which comes before what is done in the background.
    pub fn look_at(&self) {
        *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_looked_at(&self) -> bool {
        let last = *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < COURTESY)
    }

    /// Where a row's structure is, or the item itself.
    fn spot(&self, at: usize) -> Option<Result<Item, (PathBuf, u64, usize, usize)>> {
        let state = self.read();
        let row = state.table.rows.get(at)?;
        match &row.spot {
            Spot::Kept(k) => state.sets.get(row.set as usize)?.kept.get(*k as usize).cloned().map(Ok),
            Spot::Line { file, offset, row, line } => {
                let path = state.table.files.get(*file as usize)?.clone();
                Some(Err((path, *offset, *row as usize, *line as usize)))
            }
            Spot::None => None,
        }
    }

    /// A row's item, read from where it is; `None` for one that failed or is not there any more.
    fn item(&self, at: usize) -> Option<Item> {
        match self.spot(at)? {
            Ok(item) => Some(item),
            Err((path, offset, row, line)) => {
                Some(list_json_line(&line_at(&path, offset).ok()?, &path, row.max(1), line))
            }
        }
    }

    /// A row's structure.
    pub fn structure(&self, at: usize) -> Option<Structure> {
        self.item(at)?.outcome.ok()
    }

    /// Everything about a row.
    ///
    /// # Errors
    /// [`ViewError::Missing`] when there is no such row.
    pub fn full(&self, at: usize) -> Result<FullRow, ViewError> {
        let item = self.item(at);
        let state = self.read();
        let row =
            state.table.rows.get(at).ok_or_else(|| ViewError::Missing(format!("there is no row {at}")))?;
        let values = state.table.property_names().into_iter().filter_map(|name| {
            let value = state.table.property(name, at);
            (!value.is_null()).then(|| (name.to_owned(), value.clone()))
        });
        let of_table: druse_crystal::Properties = values.collect();
        let item = match item {
            // A screening's row has its values in one file and its structure in another.
            Some(mut item) => {
                item.id.clone_from(&row.id);
                if let Ok(structure) = &mut item.outcome {
                    for (name, value) in of_table {
                        structure.properties.entry(name).or_insert(value);
                    }
                }
                item
            }
            None => Item {
                id: row.id.clone(),
                counted: false,
                file: PathBuf::new(),
                row: None,
                line: None,
                outcome: Err(Absent {
                    reason: row.failure.clone().unwrap_or_else(|| "its file is not there any more".into()),
                    properties: of_table,
                    composition: Composition::parse(&row.formula).ok(),
                }),
                warnings: Vec::new(),
            },
        };
        let set = state.sets.get(row.set as usize).map_or(String::new(), |set| self.name(&set.place.path));
        Ok(FullRow { item, set, description: state.table.descriptions.get(at).cloned() })
    }

    /// The state of everything, for a page that asks every second.
    pub fn summary(&self) -> Value {
        let state = self.read();
        let sets: Vec<Value> = state
            .sets
            .iter()
            .map(|set| {
                let (done, of) = set
                    .followers
                    .iter()
                    .map(Follower::progress)
                    .fold((0, 0), |(a, b), (done, of)| (a + done, b + of));
                json!({
                    "name": self.name(&set.place.path),
                    "kind": set.kind(),
                    "rows": set.rows,
                    "read": set.read,
                    "progress": if of == 0 { Value::Null } else { (done as f64 / of as f64).into() },
                    "problem": set.problem,
                })
            })
            .collect();
        let known = match (&self.train, self.known()) {
            (None, _) => Value::Null,
            (Some(path), None) => json!({ "path": path.display().to_string(), "read": false }),
            (Some(path), Some(Ok(known))) => {
                json!({ "path": path.display().to_string(), "read": true, "rows": known.len() })
            }
            (Some(path), Some(Err(problem))) => {
                json!({ "path": path.display().to_string(), "read": true, "problem": problem })
            }
        };
        json!({
            "epoch": state.epoch,
            "looked": state.looked,
            "cut": state.cut,
            "rows": state.table.rows.len(),
            "described": state.table.descriptions.len(),
            "sets": sets,
            "known": known,
        })
    }

    /// Rows as columns.
    pub fn columns(&self, range: Range<usize>, described: bool) -> Value {
        let state = self.read();
        let most = if described { state.table.descriptions.len() } else { state.table.rows.len() };
        let range = range.start.min(most)..range.end.min(most).max(range.start.min(most));
        let mut columns = if described { state.table.described(range) } else { state.table.columns(range) };
        columns["epoch"] = state.epoch.into();
        columns
    }

    /// Rows of the set at a path, if there is one.
    pub fn rows_of(&self, path: &Path) -> Option<usize> {
        self.read().sets.iter().find(|set| set.place.path == path).map(|set| set.rows)
    }

    /// A path as it is shown: below the path that was given, with that one's own name.
    fn name(&self, path: &Path) -> String {
        for given in &self.paths {
            if let Ok(below) = path.strip_prefix(given) {
                let own = given
                    .file_name()
                    .map_or_else(|| given.display().to_string(), |n| n.to_string_lossy().into());
                return match below.as_os_str().is_empty() {
                    true => own,
                    false if self.paths.len() == 1 => below.display().to_string(),
                    false => format!("{own}/{}", below.display()),
                };
            }
        }
        path.display().to_string()
    }
}

impl State {
    /// Forgets all rows, which are read again.
    fn void(&mut self) {
        self.epoch += 1;
        self.table = Table::default();
        let places: Vec<Place> = self.sets.drain(..).map(|set| set.place).collect();
        self.sets = places.into_iter().map(Set::new).collect();
    }
}

impl Set {
    fn new(place: Place) -> Self {
        let followers = match &place.source {
            Source::Lines { structures, failures } => [Some(structures), failures.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .map(Follower::new)
                .collect(),
            _ => Vec::new(),
        };
        Self { place, followers, kept: Vec::new(), rows: 0, read: false, problem: None }
    }

    fn kind(&self) -> &'static str {
        match &self.place.source {
            Source::Lines { failures: Some(_), .. } => "run",
            Source::Lines { failures: None, .. } | Source::Whole { .. } => "data",
            Source::Screen { .. } => "screen",
        }
    }
}
