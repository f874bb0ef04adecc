//! What is in a data set, in numbers.

mod counts;
mod distinct_sites;
mod quantiles;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use druse_crystal::files::{Action, FileError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use counts::pairs;
pub use distinct_sites::DistinctSiteStats;
pub use quantiles::Quantiles;
use tally::{Tally, Values, summaries};

use crate::reader::BLOCK;
use crate::store::{Store, Writer};
use crate::{DataError, Dataset, Entries, SetReader, Split};

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

    /// The same of splits that stay in files, as [`DatasetStats::read`].
    ///
    /// # Errors
    /// As [`DatasetStats::read`].
    pub fn read(
        name: &str,
        sets: &BTreeMap<Split, SetReader>,
        options: StatsOptions,
    ) -> Result<Option<Self>, DataError> {
        let mut whole = Whole { content: Some(Writer::new(None)), ..Whole::default() };
        let (mut all, mut splits) = (Tally::new(options), BTreeMap::new());
        for (split, set) in sets {
            let stats = DatasetStats::read_into(set, options, Some(&mut all), &mut whole)?;
            splits.extend(stats.map(|stats| (*split, stats)));
        }
        let hash = whole.content.unwrap_or_else(|| Writer::new(None)).content_hash().map_err(temporary)?;
        let together: Vec<(&SetReader, &[bool])> =
            sets.values().zip(whole.kept.iter().map(Vec::as_slice)).collect();
        let whole = all.finish(name, hash, whole.skipped, property_stats(&together)?);
        Ok(whole.map(|whole| Self { splits, whole }))
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

impl DatasetStats {
    /// Computes the statistics, in parallel over structures; `None` for a data set without structures.
    pub fn compute(dataset: &Dataset, options: StatsOptions) -> Option<Self> {
        let mut tally = Tally::new(options);
        for block in dataset.entries.chunks(BLOCK) {
            summaries(block, options).iter().for_each(|summary| tally.add(summary));
        }
        let mut columns: BTreeMap<&str, Values> = BTreeMap::new();
        for (name, value) in dataset.structures().flat_map(|s| &s.properties) {
            columns.entry(name).or_default().add(value);
        }
        let properties =
            columns.into_iter().map(|(name, values)| (name.to_owned(), values.finish())).collect();
        tally.finish(&dataset.name, dataset.content_hash.clone(), dataset.skipped.len(), properties)
    }

    /// The same of a set that stays in files, in memory of some hundred bytes a structure: entries and properties are read
    /// one after another, one property at a time.
    ///
    /// # Errors
    /// [`DataError`] when the set cannot be read, or its filters leave nothing.
    pub fn read(set: &SetReader, options: StatsOptions) -> Result<Option<Self>, DataError> {
        let mut whole = Whole::default();
        Self::read_into(set, options, None, &mut whole)
    }

    /// As [`DatasetStats::read`]; what is read is added to those of all sets, too.
    fn read_into(
        set: &SetReader,
        options: StatsOptions,
        mut all: Option<&mut Tally>,
        whole: &mut Whole,
    ) -> Result<Option<Self>, DataError> {
        let mut tally = Tally::new(options);
        let hash = set.known_hash().map(str::to_owned);
        let mut own = hash.is_none().then(|| Writer::new(None));
        let mut kept = Vec::new();
        set.for_each_kept(&mut |keep| kept.push(keep), &mut |block| {
            for summary in summaries(block, options) {
                tally.add(&summary);
                if let Some(all) = &mut all {
                    all.add(&summary);
                }
            }
            for writer in own.iter_mut().chain(&mut whole.content) {
                block.iter().try_for_each(|entry| writer.push(entry)).map_err(temporary)?;
            }
            Ok(())
        })?;
        let hash = match (hash, own) {
            (Some(hash), _) => hash,
            (None, writer) => {
                writer.unwrap_or_else(|| Writer::new(None)).content_hash().map_err(temporary)?
            }
        };
        whole.skipped += set.skipped.len();
        let properties = property_stats(&[(set, &kept)])?;
        whole.kept.push(kept);
        Ok(tally.finish(set.name(), hash, set.skipped.len(), properties))
    }
}

/// What is known of several sets together after each was read.
#[derive(Default)]
struct Whole {
    /// To find the content hash of all.
    content: Option<Writer>,
    skipped: usize,
    /// Of each set, which of its entries passed its filters.
    kept: Vec<Vec<bool>>,
}

fn temporary(e: std::io::Error) -> DataError {
    FileError::wrap(Action::Write, &std::env::temp_dir())(e).into()
}

/// The properties of sets together; of each set with its entries that count, unless all do.
fn property_stats(sets: &[(&SetReader, &[bool])]) -> Result<BTreeMap<String, PropertyStats>, DataError> {
    let stores = sets.iter().flat_map(|(set, _)| set.parts());
    let names: BTreeSet<&str> = stores.flat_map(Store::columns).map(|c| c.name.as_str()).collect();
    let of_name = |name: &str| {
        let mut values = Values::default();
        for &(set, kept) in sets {
            let mut kept = kept.iter();
            for store in set.parts() {
                let column = store.columns().iter().find(|c| c.name == name);
                let mut reader = column.map(|column| store.column(column));
                for _ in 0..store.len() {
                    let value = reader.as_mut().map(|r| r.next()).transpose();
                    let value = value.map_err(DataError::of_store(store.path()))?.flatten();
                    let counts = set.is_whole() || kept.next() == Some(&true);
                    if let Some(value) = value.filter(|_| counts) {
                        values.add(&value);
                    }
                }
            }
        }
        Ok((name.to_owned(), values.finish()))
    };
    let all: Vec<(String, PropertyStats)> =
        names.into_iter().map(of_name).collect::<Result<_, DataError>>()?;
    Ok(all.into_iter().filter(|(_, stats)| stats.count > 0).collect())
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
