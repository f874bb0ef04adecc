//! What large sets cost: synthetic crystals, made of real ones, through store, statistics, uniqueness, novelty and nearest
//! neighbors. The figures of `docs/scale.md` come from here.
//!
//! ```text
//! cargo run --release -p druse-evaluate --example scale -- 100000 [SOURCE…] [--only-nearest] [--keep FOLDER]
//! ```
//!
//! Crystals are made of those of the sources (any set of structures; without one, of textbook crystals): of a hundred, 60
//! have other elements, drawn at random for each of a parent's, 25 are strained by up to 1 % with sites moved by up to
//! 0.05 Å, and 15 are scaled by up to 15 % in volume. Each is drawn by a generator keyed by its index, so that a set of
//! 10⁶ begins with the one of 10⁵. The known set has another seed than the generated one.
#![allow(clippy::print_stdout, reason = "a program's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_data::{
    Cache, DataError, DatasetStats, Entries, Entry, HowRead, Kinds, LoadOptions, OutputFormat, SetReader,
    StatsOptions, load, write_dataset,
};
use druse_metrics::features::Features;
use druse_metrics::fingerprint::magpie;
use druse_metrics::matcher::{PreparedStructure, StructureMatcher};
use druse_metrics::nearest::nearest_both_ways;
use druse_metrics::novelty::{components, training_matches};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Crystals made at a time.
const BLOCK: usize = 4096;

/// Crystals made of parents.
struct Synthetic<'a> {
    name: &'a str,
    parents: &'a [Structure],
    seed: u64,
    count: usize,
}

impl Synthetic<'_> {
    fn entry(&self, k: usize) -> Entry {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(k as u64);
        let parent = &self.parents[rng.random_range(0..self.parents.len())];
        let mut structure = match rng.random_range(0..100) {
            0..60 => {
                let exchanged = exchanged(parent, &mut rng);
                perturbed(&exchanged, 1.0 + rng.random_range(-0.05..0.05), 0.002, 0.01, &mut rng)
            }
            60..85 => perturbed(parent, 1.0, 0.01, 0.05, &mut rng),
            _ => {
                let scale = f64::cbrt(1.0 + rng.random_range(-0.15..0.15));
                perturbed(parent, scale, 0.002, 0.01, &mut rng)
            }
        };
        structure.properties.insert("energy".into(), rng.random_range(-9.0..1.0f64).into());
        structure.properties.insert("gap".into(), rng.random_range(0.0..9.0f64).into());
        structure.properties.insert("origin".into(), format!("calculation {}", k % 1000).into());
        Entry { id: format!("{}-{k}", self.name), structure }
    }
}

impl Entries for Synthetic<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn for_each_block(
        &self,
        take: &mut dyn FnMut(&[Entry]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        for first in (0..self.count).step_by(BLOCK) {
            let block: Vec<Entry> =
                (first..(first + BLOCK).min(self.count)).into_par_iter().map(|k| self.entry(k)).collect();
            take(&block)?;
        }
        Ok(())
    }

    /// Their cells are not, but whoever reads them here does not want them reduced.
    fn how_read(&self) -> HowRead {
        HowRead { niggli: true, strict: true }
    }

    fn properties(&self) -> Result<BTreeMap<String, Kinds>, DataError> {
        let number = Kinds { numbers: self.count, ..Kinds::default() };
        let text = Kinds { texts: self.count, ..Kinds::default() };
        Ok([("energy", number), ("gap", number), ("origin", text)].map(|(n, k)| (n.to_owned(), k)).into())
    }
}

/// The crystal with another element for each of its own.
fn exchanged(s: &Structure, rng: &mut ChaCha8Rng) -> Structure {
    let mut others: BTreeMap<Element, Element> = BTreeMap::new();
    for element in &s.species {
        while !others.contains_key(element) {
            let z: u8 = rng.random_range(3..84);
            let noble = [10, 18, 36, 54].contains(&z);
            match Element::from_z(z) {
                Ok(other) if !noble && !others.values().any(|o| *o == other) => {
                    others.insert(*element, other);
                }
                _ => {}
            }
        }
    }
    Structure { species: s.species.iter().map(|e| others[e]).collect(), ..s.clone() }
}

/// The crystal scaled in length, strained and with its sites moved (Å) by random amounts up to these.
fn perturbed(s: &Structure, scale: f64, strain: f64, shift: f64, rng: &mut ChaCha8Rng) -> Structure {
    let rows = s.lattice.rows();
    let deformation: [[f64; 3]; 3] = std::array::from_fn(|i| {
        std::array::from_fn(|k| f64::from(u8::from(i == k)) + rng.random_range(-strain..strain))
    });
    let new = std::array::from_fn(|i| {
        std::array::from_fn(|k| scale * (0..3).map(|m| rows[i][m] * deformation[m][k]).sum::<f64>())
    });
    let Ok(lattice) = Lattice::from_rows(new) else { return s.clone() };
    let mut moved = |f: [f64; 3]| {
        let by = lattice.to_fractional(std::array::from_fn(|_| rng.random_range(-shift..shift)));
        std::array::from_fn(|k| f[k] + by[k])
    };
    let coords = s.frac_coords.iter().map(|f| moved(*f)).collect();
    Structure::new(lattice, s.species.clone(), coords).unwrap_or_else(|_| s.clone())
}

/// Largest memory of the process since the last call, in GB; `None` where the system does not tell.
fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    // The system then begins to count anew.
    let _ = fs::write("/proc/self/clear_refs", "5");
    Some(kilobytes / 1e6)
}

/// Processor time of the process so far in s, of all threads; `None` where the system does not tell.
fn processor_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold blanks: state is the first field, times in ticks the twelfth and thirteenth.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |k: usize| fields.get(k)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Runs a stage and prints what it cost.
fn stage<T>(name: &str, count: usize, work: impl FnOnce() -> T) -> T {
    peak_memory();
    let (start, processor) = (Instant::now(), processor_time());
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    let memory = peak_memory().map_or("–".to_owned(), |gb| format!("{gb:.2}"));
    let processor = processor.zip(processor_time()).map(|(before, after)| after - before);
    let [total, each] = match processor {
        Some(s) => [format!("{s:.1}"), format!("{:.1}", s / count as f64 * 1e6)],
        None => ["–", "–"].map(str::to_owned),
    };
    println!("| {name} | {count} | {seconds:.1} | {total} | {each} | {memory} |");
    result
}

fn prepared(set: &SetReader, matcher: &StructureMatcher) -> Result<Vec<PreparedStructure>, DataError> {
    let mut all = Vec::with_capacity(set.total());
    set.for_each_block(&mut |block| {
        all.par_extend(block.par_iter().map(|e| matcher.prepare(&e.structure)));
        Ok(())
    })?;
    Ok(all)
}

fn compositions(set: &SetReader) -> Result<Vec<Vec<f64>>, DataError> {
    let mut all = Vec::with_capacity(set.total());
    set.for_each_block(&mut |block| {
        let features = |e: &Entry| {
            magpie::scaled(&magpie::features(&Composition::from_species(&e.structure.species))).to_vec()
        };
        all.par_extend(block.par_iter().map(features));
        Ok(())
    })?;
    Ok(all)
}

fn parents(sources: &[PathBuf]) -> Result<Vec<Structure>, DataError> {
    if sources.is_empty() {
        return Ok(druse_testkit::prototypes().into_iter().map(|(_, s)| s).collect());
    }
    let options =
        LoadOptions { niggli: false, max_skipped_share: 1.0, cache: Cache::Off, ..LoadOptions::default() };
    let mut all = Vec::new();
    for source in sources {
        all.extend(load(source, &options)?.entries.into_iter().map(|e| e.structure));
    }
    Ok(all)
}

fn run(count: usize, sources: &[PathBuf], folder: &Path, only_nearest: bool) -> Result<(), Box<dyn Error>> {
    let parents = parents(sources)?;
    println!("{} parents, {} threads\n", parents.len(), rayon::current_num_threads());
    println!("| stage | crystals | s | processor, s | µs each | GB |\n| --- | --- | --- | --- | --- | --- |");
    let set = |name: &'static str, seed| Synthetic { name, parents: &parents, seed, count };
    let path = |name: &str| folder.join(format!("{name}-{count}.druse"));
    for set in [set("generated", 1), set("known", 2)] {
        let path = path(set.name);
        if !path.exists() {
            let format = OutputFormat::from_path(&path).ok_or("no store")?;
            stage(&format!("making and writing `{}`", set.name), count, || {
                write_dataset(&set, &path, format, false)
            })?;
        }
    }
    drop(parents);
    let options = LoadOptions { cache: Cache::Off, ..LoadOptions::default() };
    let open = |name: &str| SetReader::open(&path(name), &options);
    let generated = stage("opening the store (checksum)", count, || open("generated"))?;
    let known = open("known")?;
    if !only_nearest {
        stage("reading it", count, || {
            generated.for_each_block(&mut |block| {
                black_box(block);
                Ok(())
            })
        })?;
        let stats = stage("statistics, without symmetry", count, || {
            DatasetStats::read(&generated, StatsOptions { symprec: None })
        })?;
        let stats = stats.ok_or("no structures")?;
        let matcher = StructureMatcher::default();
        let all = stage("reducing generated cells", count, || prepared(&generated, &matcher))?;
        let (component, given_up) = stage("uniqueness", count, || components(&matcher, &all));
        let reference = stage("reducing known cells", count, || prepared(&known, &matcher))?;
        let (found, more) = stage("novelty", count, || training_matches(&matcher, &all, &reference));
        let different = component.iter().flatten().max().map_or(0, |c| c + 1);
        let novel = found.iter().filter(|f| f.is_none()).count();
        println!(
            "\n{} formulas, {} atoms a cell; {different} different, {novel} novel, {} comparisons given up\n",
            stats.formulas,
            stats.atoms.mean,
            given_up.len() + more.len()
        );
    }
    let a = stage("features of compositions", count, || compositions(&generated))?;
    let b = compositions(&known)?;
    let (a, b) = (Features::from_rows(a)?, Features::from_rows(b)?);
    let (near, _) = stage("nearest compositions, both ways", count, || nearest_both_ways(&a, &b))?;
    println!("\nmean distance {}", near.iter().map(|n| n.distance).sum::<f64>() / count as f64);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let (mut count, mut sources, mut only_nearest, mut keep) = (10_000, Vec::new(), false, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only-nearest" => only_nearest = true,
            "--keep" => keep = Some(PathBuf::from(arguments.next().ok_or("--keep needs a folder")?)),
            text => match text.parse() {
                Ok(number) => count = number,
                Err(_) => sources.push(PathBuf::from(text)),
            },
        }
    }
    let temporary = tempfile::tempdir()?;
    run(count, &sources, keep.as_deref().unwrap_or(temporary.path()), only_nearest)
}
