//! What is in a data set, in numbers.

mod counts;
mod distinct_sites;
mod quantiles;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use druse_crystal::{Structure, symmetry};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use counts::{histogram, pairs};
pub use distinct_sites::DistinctSiteStats;
pub use quantiles::Quantiles;

use crate::source::reduced_formula;
use crate::{Dataset, Split, properties};

/// Decimals to which lattice parameters (Å, degrees) and fractional coordinates agree in identical cells.
const DECIMALS: f64 = 1e3;
/// Largest relative difference of the volume per atom of two alike structures.
const ALIKE_VOLUME: f64 = 0.01;
/// Space groups in the table.
const SHOWN_GROUPS: usize = 8;
/// Elements in the table.
const SHOWN_ELEMENTS: usize = 12;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatsOptions {
    /// Distance tolerance of the space group search (Å, default 0.1); `None` leaves space groups and the count of
    /// alike structures out, which take most of the time.
    pub symprec: Option<f64>,
}

impl Default for StatsOptions {
    fn default() -> Self {
        Self { symprec: Some(0.1) }
    }
}

/// A space group and how many structures have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpaceGroupCount {
    /// Number in the International Tables, 1 to 230.
    pub number: u16,
    /// Short Hermann–Mauguin symbol: `Fm-3m`.
    pub symbol: String,
    /// Structures.
    pub count: usize,
}

/// One property over the data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PropertyStats {
    /// Structures that have it.
    pub count: usize,
    /// Statistics of its numbers; `None` for a property without any.
    pub numbers: Option<Quantiles>,
    /// Different values.
    pub distinct: usize,
}

/// Structures that occur more than once. Each number counts the structures beyond the first of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Duplicates {
    /// Identifiers that repeat an earlier one.
    pub ids: usize,
    /// Identical cells: the same species, lattice parameters equal after rounding to 0.001 Å and 0.001°, fractional
    /// coordinates after rounding to 0.001, whatever the order of the sites. A shifted origin or other axes make another cell here.
    pub identical: usize,
    /// Alike: the same reduced formula and space group, and volumes per atom within 1 %. Polymorphs
    /// that agree in all three count too, so this is an upper bound on true duplicates of unperturbed crystals.
    /// `None` when space groups were not looked for.
    pub alike: Option<usize>,
}

/// Statistics of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetStats {
    /// Name of the data set.
    pub name: String,
    /// Its content hash.
    pub content_hash: String,
    /// Structures.
    pub count: usize,
    /// Structures of the source that could not be used.
    pub skipped: usize,
    /// Atoms a cell.
    pub atoms: Quantiles,
    /// Number of structures by atoms a cell.
    pub atoms_histogram: BTreeMap<usize, usize>,
    /// Number of structures by number of different elements.
    pub element_counts: BTreeMap<usize, usize>,
    /// Number of structures that contain each element.
    pub elements: BTreeMap<String, usize>,
    /// Mass density (g/cm³).
    pub density: Quantiles,
    /// Volume per atom (Å³).
    pub volume_per_atom: Quantiles,
    /// Number of different reduced formulas.
    pub formulas: usize,
    /// Distance tolerance of the space groups (Å).
    pub symprec: Option<f64>,
    /// Space groups, most frequent first.
    pub space_groups: Vec<SpaceGroupCount>,
    /// Structures whose space group could not be determined.
    pub space_group_failures: usize,
    /// Structures by their distinct sites; `None` when space groups were not looked for.
    #[serde(default)]
    pub distinct_sites: Option<DistinctSiteStats>,
    /// Structures that occur more than once.
    pub duplicates: Duplicates,
    /// The properties by name.
    pub properties: BTreeMap<String, PropertyStats>,
}

/// Statistics of a data set with splits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SplitStats {
    /// Of each split.
    pub splits: BTreeMap<Split, DatasetStats>,
    /// Of all of them together; structures that occur in two splits are duplicates here.
    pub whole: DatasetStats,
}

impl SplitStats {
    /// Computes the statistics; `None` without structures.
    pub fn compute(
        name: impl Into<String>,
        sets: BTreeMap<Split, Dataset>,
        options: StatsOptions,
    ) -> Option<Self> {
        let splits = sets
            .iter()
            .filter_map(|(split, set)| Some((*split, DatasetStats::compute(set, options)?)))
            .collect();
        let whole = DatasetStats::compute(&Dataset::joined(name, sets.into_values()), options)?;
        Some(Self { splits, whole })
    }
}

impl fmt::Display for SplitStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stats in self.splits.values() {
            writeln!(f, "{stats}")?;
        }
        write!(f, "{}", self.whole)
    }
}

/// What the statistics need of one structure.
struct Summary {
    formula: String,
    identity: blake3::Hash,
    volume_per_atom: f64,
    density: f64,
    space_group: Option<(u16, String)>,
    sites: Option<distinct_sites::Outcome>,
}

impl DatasetStats {
    /// Computes the statistics, in parallel over structures; `None` for a data set without structures.
    pub fn compute(dataset: &Dataset, options: StatsOptions) -> Option<Self> {
        let summaries: Vec<Summary> =
            dataset.entries.par_iter().map(|e| Summary::of(&e.structure, options.symprec)).collect();
        let sizes = || dataset.structures().map(Structure::len);
        let mut elements = BTreeMap::new();
        let mut element_counts = BTreeMap::new();
        for structure in dataset.structures() {
            let mut species = structure.species.clone();
            species.sort_unstable();
            species.dedup();
            *element_counts.entry(species.len()).or_insert(0) += 1;
            for e in species {
                *elements.entry(e.symbol().to_owned()).or_insert(0) += 1;
            }
        }
        let groups = histogram(summaries.iter().filter_map(|s| s.space_group.clone()));
        let mut space_groups: Vec<SpaceGroupCount> = groups
            .into_iter()
            .map(|((number, symbol), count)| SpaceGroupCount { number, symbol, count })
            .collect();
        space_groups.sort_by_key(|g| (std::cmp::Reverse(g.count), g.number));
        let failures = summaries.iter().filter(|s| s.space_group.is_none()).count();
        Some(Self {
            name: dataset.name.clone(),
            content_hash: dataset.content_hash.clone(),
            count: dataset.len(),
            skipped: dataset.skipped.len(),
            atoms: Quantiles::of(sizes().map(|n| n as f64).collect())?,
            atoms_histogram: histogram(sizes()),
            element_counts,
            elements,
            density: Quantiles::of(summaries.iter().map(|s| s.density).collect())?,
            volume_per_atom: Quantiles::of(summaries.iter().map(|s| s.volume_per_atom).collect())?,
            formulas: histogram(summaries.iter().map(|s| s.formula.as_str())).len(),
            symprec: options.symprec,
            space_groups,
            space_group_failures: if options.symprec.is_some() { failures } else { 0 },
            distinct_sites: options
                .symprec
                .map(|_| DistinctSiteStats::of(summaries.iter().filter_map(|s| s.sites.as_ref()))),
            duplicates: Duplicates {
                ids: repeats(dataset.entries.iter().map(|e| e.id.as_str())),
                identical: repeats(summaries.iter().map(|s| s.identity.as_bytes())),
                alike: options.symprec.map(|_| alike(&summaries)),
            },
            properties: property_stats(dataset),
        })
    }
}

impl Summary {
    fn of(structure: &Structure, symprec: Option<f64>) -> Self {
        let symmetry = symprec.map(|tolerance| symmetry::analyze(structure, tolerance));
        Self {
            formula: reduced_formula(structure),
            identity: identity(structure),
            volume_per_atom: structure.lattice.volume() / structure.len() as f64,
            density: structure.density(),
            sites: symmetry.as_ref().map(distinct_sites::outcome),
            space_group: symmetry.and_then(Result::ok).map(|s| (s.number, s.international)),
        }
    }
}

/// How many keys repeat an earlier one.
fn repeats<K: Ord>(keys: impl Iterator<Item = K>) -> usize {
    histogram(keys).values().map(|n| n - 1).sum()
}

/// Hash of the cell rounded as [`Duplicates::identical`] says, sites sorted.
fn identity(structure: &Structure) -> blake3::Hash {
    // Six numbers do not tell a cell from its mirror image.
    let structure = &*structure.right_handed();
    let round = |x: f64| (x * DECIMALS).round() as i64;
    // 0.9999 and 0 are the same place.
    let wrap = |x: f64| round(x).rem_euclid(DECIMALS as i64);
    let mut sites: Vec<(u8, [i64; 3])> =
        structure.species.iter().zip(&structure.frac_coords).map(|(s, f)| (s.z(), f.map(wrap))).collect();
    sites.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for p in structure.lattice.parameters() {
        hasher.update(&round(p).to_le_bytes());
    }
    for (z, coords) in sites {
        hasher.update(&[z]);
        for x in coords {
            hasher.update(&x.to_le_bytes());
        }
    }
    hasher.finalize()
}

/// Structures that agree with an earlier one as [`Duplicates::alike`] says.
fn alike(summaries: &[Summary]) -> usize {
    let mut groups: HashMap<(&str, u16), Vec<f64>> = HashMap::new();
    for s in summaries {
        if let Some((group, _)) = s.space_group {
            groups.entry((&s.formula, group)).or_default().push(s.volume_per_atom);
        }
    }
    groups
        .into_values()
        .map(|mut volumes| {
            volumes.sort_unstable_by(f64::total_cmp);
            // Compared with the first of the kind, so that a series of small steps does not become one kind.
            let (mut first, mut count) = (f64::NEG_INFINITY, 0);
            for v in volumes {
                if v <= first * (1.0 + ALIKE_VOLUME) {
                    count += 1;
                } else {
                    first = v;
                }
            }
            count
        })
        .sum()
}

fn property_stats(dataset: &Dataset) -> BTreeMap<String, PropertyStats> {
    let mut columns: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (name, value) in dataset.structures().flat_map(|s| &s.properties) {
        columns.entry(name).or_default().push(value);
    }
    columns
        .into_iter()
        .map(|(name, values)| {
            let stats = PropertyStats {
                count: values.len(),
                numbers: Quantiles::of(values.iter().filter_map(|v| v.as_f64()).collect()),
                distinct: histogram(values.iter().map(|v| properties::text(v))).len(),
            };
            (name.to_owned(), stats)
        })
        .collect()
}

impl fmt::Display for DatasetStats {
    /// A table for people; what it leaves out is in the JSON form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data set        {}", self.name)?;
        writeln!(f, "content hash    {}", self.content_hash)?;
        writeln!(f, "structures      {} ({} skipped)", self.count, self.skipped)?;
        writeln!(f, "formulas        {} different (reduced)", self.formulas)?;
        let a = &self.atoms;
        writeln!(f, "atoms a cell    {} to {}, mean {:.2}, median {}", a.min, a.max, a.mean, a.median)?;
        writeln!(f, "elements a cell {}", pairs(self.element_counts.iter()))?;
        let mut frequent: Vec<_> = self.elements.iter().collect();
        frequent.sort_by_key(|&(symbol, count)| (std::cmp::Reverse(*count), symbol));
        let shown = pairs(frequent.iter().take(SHOWN_ELEMENTS).copied());
        writeln!(f, "elements        {} different; most frequent {shown}", frequent.len())?;
        writeln!(f)?;
        let head = ["min", "5 %", "25 %", "median", "mean", "75 %", "95 %", "max"];
        let width = self.properties.keys().map(String::len).max().unwrap_or(0).max(24);
        write!(f, "{:width$}", "")?;
        for h in head {
            write!(f, " {h:>10}")?;
        }
        writeln!(f)?;
        row(f, width, "density (g/cm³)", &self.density)?;
        row(f, width, "volume per atom (Å³)", &self.volume_per_atom)?;
        for (name, p) in &self.properties {
            match &p.numbers {
                Some(q) => row(f, width, name, q)?,
                None => writeln!(f, "{name:width$} {} values, {} different", p.count, p.distinct)?,
            }
        }
        writeln!(f)?;
        if let Some(symprec) = self.symprec {
            let top = self
                .space_groups
                .iter()
                .take(SHOWN_GROUPS)
                .map(|g| (format!("{} {}", g.number, g.symbol), g.count));
            let kinds = self.space_groups.len();
            write!(
                f,
                "space groups    {kinds} different at symprec {symprec} Å; most frequent {}",
                pairs(top)
            )?;
            match self.space_group_failures {
                0 => writeln!(f)?,
                n => writeln!(f, "; {n} not determined")?,
            }
        }
        if let Some(sites) = &self.distinct_sites {
            write!(f, "{sites}")?;
        }
        let d = &self.duplicates;
        writeln!(f, "duplicates      {} repeated identifiers", d.ids)?;
        writeln!(
            f,
            "                {} identical cells (to 0.001 in Å, degrees and fractions)",
            d.identical
        )?;
        if let Some(alike) = d.alike {
            writeln!(
                f,
                "                {alike} alike (reduced formula, space group, volume per atom within 1 %)"
            )?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, width: usize, name: &str, q: &Quantiles) -> fmt::Result {
    write!(f, "{name:width$}")?;
    for x in [q.min, q.q05, q.q25, q.median, q.mean, q.q75, q.q95, q.max] {
        write!(f, " {x:>10.3}")?;
    }
    writeln!(f)
}
