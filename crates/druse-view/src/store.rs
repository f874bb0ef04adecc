//! The sets of structures, read and followed in the background.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use druse_crystal::{Composition, Structure};
use druse_data::{Absent, Item, ListOptions, list, list_json_line, properties};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::ViewError;
use crate::describe::Description;
use crate::known::Known;
use crate::lines::{Follower, Line, News, line_at};
use crate::places::{
    FAILURES_FILE, Place, Places, RANKED_FILE, RELAXED_FOLDER, SCREEN_FILE, STRUCTURES_FILE, Source, find,
};
use crate::runs::Runs;
use crate::table::{Row, Spot, Table};

/// How often the paths are looked through for new sets, at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Share of the time that looking through them may take, as a divisor.
const LOOK_SHARE: u32 = 20;
/// How long nothing is done when there is nothing to do.
const IDLE: Duration = Duration::from_millis(100);
/// How long descriptions wait after somebody has looked at rows.
const COURTESY: Duration = Duration::from_millis(200);
/// Rows that are described at a time.
const CHUNK: usize = 64;

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

    fn work(&self) {
        let mut next = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            if begun >= next {
                self.look();
                next = begun + LOOK_EVERY.max(begun.elapsed() * LOOK_SHARE);
            }
            let read = self.read_more();
            let followed = self.runs.follow();
            // Descriptions wait for the known structures, which are part of them.
            let waits = self.is_looked_at() || (self.train.is_some() && self.known.get().is_none());
            let described = !waits && self.describe_more();
            if !read && !followed && !described {
                std::thread::sleep(IDLE);
            }
        }
    }

    /// Notes that somebody looks at rows, which comes before what is done in the background.
    pub fn look_at(&self) {
        *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_looked_at(&self) -> bool {
        let last = *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < COURTESY)
    }

    /// Looks for sets and runs that are new or gone.
    fn look(&self) {
        let Places { sets, runs, cut, .. } = find(&self.paths);
        self.runs.set_folders(runs);
        let mut state = self.write();
        let gone = state.sets.iter().any(|set| !sets.contains(&set.place));
        if gone {
            state.void();
            state.sets.clear();
        }
        for place in sets {
            if !state.sets.iter().any(|set| set.place == place) {
                state.sets.push(Set::new(place));
            }
        }
        state.looked = true;
        state.cut = cut;
    }

    /// Reads a piece of every set; whether there was anything to read.
    fn read_more(&self) -> bool {
        let count = self.read().sets.len();
        let mut any = false;
        for at in 0..count {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            any |= self.read_set(at);
        }
        any
    }

    fn read_set(&self, at: usize) -> bool {
        let source = {
            let state = self.read();
            let Some(set) = state.sets.get(at) else { return false };
            if set.problem.is_some() || (set.read && set.followers.is_empty()) {
                return false;
            }
            set.place.source.clone()
        };
        match source {
            Source::Lines { .. } => self.read_lines(at),
            Source::Whole { path } => {
                let found = list(&path, &ListOptions { formulas: true, ..ListOptions::default() });
                let mut state = self.write();
                let set = u32::try_from(at).unwrap_or(u32::MAX);
                match found {
                    Ok(listing) => {
                        for (k, item) in (0u32..).zip(&listing.items) {
                            state.table.push(Row::of(set, item, Spot::Kept(k)), item.properties());
                        }
                        state.sets[at].rows = listing.items.len();
                        state.sets[at].kept = listing.items;
                    }
                    Err(e) => state.sets[at].problem = Some(e.to_string()),
                }
                state.sets[at].read = true;
                true
            }
            Source::Screen { folder } => self.read_screen(at, &folder),
        }
    }

    fn read_lines(&self, at: usize) -> bool {
        let mut any = false;
        let count = self.read().sets[at].followers.len();
        for k in 0..count {
            // The file is read without the lock; nobody else moves followers.
            let Some(mut follower) = self.read().sets[at].followers.get(k).cloned() else { continue };
            let news = follower.news();
            let path = follower.path().to_owned();
            let mut parsed = Vec::new();
            if let Ok(News::Lines(lines)) = &news {
                let before = self.read().sets[at].rows;
                parsed = lines
                    .par_iter()
                    .enumerate()
                    .map(|(i, line)| item_of(line, &path, before + i + 1))
                    .collect();
            }
            let mut state = self.write();
            state.sets[at].followers[k] = follower;
            match news {
                Ok(News::None) => {}
                Ok(News::Lines(lines)) => {
                    let set = u32::try_from(at).unwrap_or(u32::MAX);
                    let file = state.table.file(&path);
                    for (line, item) in lines.iter().zip(&parsed) {
                        let number =
                            |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
                        let (row, number) = (number(item.row), number(Some(line.number)));
                        let spot = Spot::Line { file, offset: line.offset, row, line: number };
                        state.table.push(Row::of(set, item, spot), item.properties());
                    }
                    state.sets[at].rows += lines.len();
                    any = true;
                }
                Ok(News::Replaced) => {
                    state.void();
                    return true;
                }
                Err(e) => state.sets[at].problem = Some(e.to_string()),
            }
        }
        self.write().sets[at].read = !any;
        any
    }

    /// Joins what a screening says of its candidates with the relaxed structures.
    fn read_screen(&self, at: usize, folder: &Path) -> bool {
        let mut follower = Follower::new(folder.join(SCREEN_FILE));
        let mut places: HashMap<String, (PathBuf, u64)> = HashMap::new();
        for file in [folder.join(RELAXED_FOLDER).join(STRUCTURES_FILE), folder.join(RANKED_FILE)] {
            let mut structures = Follower::new(file.clone());
            while let Ok(News::Lines(lines)) = structures.news() {
                for line in lines {
                    #[derive(serde::Deserialize)]
                    struct Named {
                        id: String,
                    }
                    if let Ok(Named { id }) = serde_json::from_str(&line.text) {
                        places.insert(id, (file.clone(), line.offset));
                    }
                }
            }
        }
        let mut rows = 0;
        let problem = loop {
            match follower.news() {
                Ok(News::Lines(lines)) => {
                    let joined: Vec<(Item, Option<&(PathBuf, u64)>)> =
                        lines.par_iter().map(|line| candidate(line, follower.path(), &places)).collect();
                    let mut state = self.write();
                    let set = u32::try_from(at).unwrap_or(u32::MAX);
                    for (item, place) in &joined {
                        let spot = match place {
                            Some((path, offset)) => {
                                Spot::Line { file: state.table.file(path), offset: *offset, row: 0, line: 0 }
                            }
                            None => Spot::None,
                        };
                        state.table.push(Row::of(set, item, spot), item.properties());
                    }
                    rows += joined.len();
                }
                Ok(_) => break None,
                Err(e) => break Some(e.to_string()),
            }
        };
        let mut state = self.write();
        state.sets[at].rows = rows;
        state.sets[at].read = true;
        state.sets[at].problem = problem;
        true
    }

    /// Describes some rows more; whether there were any.
    fn describe_more(&self) -> bool {
        let known = self.known().and_then(Result::ok);
        let (epoch, range) = {
            let state = self.read();
            let from = state.table.descriptions.len();
            (state.epoch, from..state.table.rows.len().min(from + CHUNK))
        };
        if range.is_empty() {
            return false;
        }
        let found: Vec<Description> = range
            .into_par_iter()
            .map(|at| match self.structure(at) {
                Some(structure) => Description::of(&structure, known),
                None => Description::default(),
            })
            .collect();
        let mut state = self.write();
        // Rows may have become void in between.
        if state.epoch == epoch {
            state.table.descriptions.extend(found);
        }
        true
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

/// A structure that failed, as a run writes it.
#[derive(serde::Deserialize)]
struct Failed {
    index: u64,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    formula: String,
    reason: String,
    #[serde(default)]
    properties: serde_json::Map<String, Value>,
}

/// A row of a file of lines: a structure, or one that failed.
fn item_of(line: &Line, path: &Path, row: usize) -> Item {
    let failures = path.file_name().is_some_and(|name| name == FAILURES_FILE);
    match failures.then(|| serde_json::from_str::<Failed>(&line.text)) {
        Some(Ok(failed)) => Item {
            id: failed.id.unwrap_or_else(|| failed.index.to_string()),
            counted: false,
            file: path.to_owned(),
            row: Some(row),
            line: Some(line.number),
            outcome: Err(Absent {
                reason: failed.reason,
                properties: scalars(
                    failed.properties.into_iter().chain([("index".into(), failed.index.into())]),
                ),
                composition: Composition::parse(&failed.formula).ok(),
            }),
            warnings: Vec::new(),
        },
        _ => list_json_line(&line.text, path, row, line.number),
    }
}

fn scalars(values: impl Iterator<Item = (String, Value)>) -> druse_crystal::Properties {
    values.filter_map(|(name, value)| Some((name, properties::scalar(&value)?))).collect()
}

/// A candidate of a screening, and where its relaxed structure is.
fn candidate<'a>(
    line: &Line,
    path: &Path,
    places: &'a HashMap<String, (PathBuf, u64)>,
) -> (Item, Option<&'a (PathBuf, u64)>) {
    let mut object: serde_json::Map<String, Value> = serde_json::from_str(&line.text).unwrap_or_default();
    let text = |value: Option<Value>| value.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let id = text(object.remove("id"));
    let formula = text(object.remove("formula"));
    let mut fell = None;
    if let Some(Value::Object(mut fall)) = object.remove("fell") {
        fell = fall.remove("reason").and_then(|r| r.as_str().map(str::to_owned));
        object.insert("gate".into(), fall.remove("gate").unwrap_or_default());
    }
    if let Some(Value::Array(shares)) = object.remove("decomposition") {
        let words = shares.iter().map(|share| {
            format!(
                "{:.3} {}",
                share["fraction"].as_f64().unwrap_or_default(),
                share["formula"].as_str().unwrap_or_default()
            )
        });
        object.insert("decomposition".into(), words.collect::<Vec<_>>().join(" + ").into());
    }
    let place = places.get(&id);
    let values = scalars(object.into_iter());
    let composition = Composition::parse(&formula).ok();
    let relaxed = place.and_then(|(file, offset)| {
        let item = list_json_line(&line_at(file, *offset).ok()?, file, 1, 1);
        item.outcome.ok()
    });
    let outcome = match (relaxed, fell) {
        (Some(mut structure), fell) => {
            structure.properties = values;
            if let Some(reason) = fell {
                structure.properties.insert("fell".into(), reason.into());
            }
            Ok(structure)
        }
        (None, fell) => Err(Absent {
            reason: fell.unwrap_or_else(|| "there is no relaxed structure".into()),
            properties: values,
            composition,
        }),
    };
    let place = place.filter(|_| outcome.is_ok());
    let item = Item {
        id,
        counted: false,
        file: path.to_owned(),
        row: Some(line.number),
        line: Some(line.number),
        outcome,
        warnings: Vec::new(),
    };
    (item, place)
}
