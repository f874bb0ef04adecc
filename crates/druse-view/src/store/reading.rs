//! Reading and following, on a thread of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use druse_data::{Item, ListOptions, list};
use rayon::prelude::*;

use super::items::{candidate, item_of};
use super::{Set, Store};
use crate::describe::Description;
use crate::lines::{Follower, News};
use crate::places::{Places, RANKED_FILE, RELAXED_FOLDER, SCREEN_FILE, STRUCTURES_FILE, Source, find};
use crate::table::{Row, Spot};

/// How often the paths are looked through for new sets, at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Share of the time that looking through them may take, as a divisor.
const LOOK_SHARE: u32 = 20;
/// How long nothing is done when there is nothing to do.
const IDLE: Duration = Duration::from_millis(100);
/// Rows that are described at a time.
const CHUNK: usize = 64;

impl Store {
    pub(super) fn work(&self) {
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
}
