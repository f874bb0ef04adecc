//! Statistics that grow structure by structure.

use std::collections::BTreeMap;

use druse_crystal::{Structure, symmetry};
use rayon::prelude::*;

use super::{ALIKE_VOLUME, DECIMALS, DatasetStats, Duplicates, PropertyStats, SpaceGroupCount, StatsOptions};
use super::{distinct_sites, quantiles::Quantiles};
use crate::Entry;
use crate::entry::fingerprint;
use crate::source::reduced_formula;

/// What the statistics keep of each structure: 80 bytes.
#[derive(Clone, Copy)]
struct Row {
    id: u128,
    formula: u128,
    identity: u128,
    volume_per_atom: f64,
    density: f64,
    /// 0 where there is none.
    group: u16,
}

/// What is found of one structure.
pub(super) struct Summary {
    row: Row,
    atoms: usize,
    elements: Vec<&'static str>,
    space_group: Option<(u16, String)>,
    sites: Option<distinct_sites::Outcome>,
}

/// Statistics so far, but for those of properties.
#[derive(Default)]
pub(super) struct Tally {
    symprec: Option<f64>,
    rows: Vec<Row>,
    atoms: BTreeMap<usize, usize>,
    element_counts: BTreeMap<usize, usize>,
    elements: BTreeMap<&'static str, usize>,
    groups: BTreeMap<(u16, String), usize>,
    sites: distinct_sites::Tally,
}

/// The summaries of some entries.
pub(super) fn summaries(block: &[Entry], options: StatsOptions) -> Vec<Summary> {
    block.par_iter().map(|entry| Summary::of(entry, options.symprec)).collect()
}

impl Summary {
    fn of(entry: &Entry, symprec: Option<f64>) -> Self {
        let structure = &entry.structure;
        let symmetry = symprec.map(|tolerance| symmetry::analyze(structure, tolerance));
        let sites = symmetry.as_ref().map(distinct_sites::outcome);
        let space_group = symmetry.and_then(Result::ok).map(|s| (s.number, s.international));
        let mut species = structure.species.clone();
        species.sort_unstable();
        species.dedup();
        Self {
            row: Row {
                id: fingerprint(entry.id.as_bytes()),
                formula: fingerprint(reduced_formula(structure).as_bytes()),
                identity: identity(structure),
                volume_per_atom: structure.lattice.volume() / structure.len() as f64,
                density: structure.density(),
                group: space_group.as_ref().map_or(0, |(number, _)| *number),
            },
            atoms: structure.len(),
            elements: species.into_iter().map(|e| e.symbol()).collect(),
            space_group,
            sites,
        }
    }
}

impl Tally {
    pub(super) fn new(options: StatsOptions) -> Self {
        Self { symprec: options.symprec, ..Self::default() }
    }

    pub(super) fn add(&mut self, summary: &Summary) {
        self.rows.push(summary.row);
        *self.atoms.entry(summary.atoms).or_insert(0) += 1;
        *self.element_counts.entry(summary.elements.len()).or_insert(0) += 1;
        for element in &summary.elements {
            *self.elements.entry(element).or_insert(0) += 1;
        }
        if let Some(group) = &summary.space_group {
            match self.groups.get_mut(group) {
                Some(n) => *n += 1,
                None => drop(self.groups.insert(group.clone(), 1)),
            }
        }
        if let Some(sites) = &summary.sites {
            self.sites.add(sites);
        }
    }

    /// The statistics; `None` without structures.
    pub(super) fn finish(
        self,
        name: &str,
        content_hash: String,
        skipped: usize,
        properties: BTreeMap<String, PropertyStats>,
    ) -> Option<DatasetStats> {
        let Self { symprec, rows, atoms, element_counts, elements, groups, sites } = self;
        let with_group: usize = groups.values().sum();
        let groups = groups.into_iter();
        let mut space_groups: Vec<SpaceGroupCount> =
            groups.map(|((number, symbol), count)| SpaceGroupCount { number, symbol, count }).collect();
        space_groups.sort_by_key(|g| (std::cmp::Reverse(g.count), g.number));
        let numbers = |of: fn(&Row) -> f64| Quantiles::of(rows.iter().map(of).collect());
        let distinct = |of: fn(&Row) -> u128| distinct(rows.iter().map(of).collect());
        Some(DatasetStats {
            name: name.to_owned(),
            content_hash,
            count: rows.len(),
            skipped,
            density: numbers(|r| r.density)?,
            volume_per_atom: numbers(|r| r.volume_per_atom)?,
            formulas: distinct(|r| r.formula),
            symprec,
            space_groups,
            space_group_failures: if symprec.is_some() { rows.len() - with_group } else { 0 },
            distinct_sites: symprec.map(|_| sites.finish()),
            duplicates: Duplicates {
                ids: rows.len() - distinct(|r| r.id),
                identical: rows.len() - distinct(|r| r.identity),
                alike: symprec.map(|_| alike(&rows)),
            },
            atoms: Quantiles::of_counts(&atoms)?,
            atoms_histogram: atoms,
            element_counts,
            elements: elements.into_iter().map(|(symbol, n)| (symbol.to_owned(), n)).collect(),
            properties,
        })
    }
}

/// How many different keys there are.
fn distinct(mut keys: Vec<u128>) -> usize {
    keys.par_sort_unstable();
    keys.dedup();
    keys.len()
}

/// Hash of the cell rounded as [`Duplicates::identical`] says, sites sorted.
fn identity(structure: &Structure) -> u128 {
    // Six numbers do not tell a cell from its mirror image.
    let structure = &*structure.right_handed();
    let round = |x: f64| (x * DECIMALS).round() as i64;
    // 0.9999 and 0 are the same place.
    let wrap = |x: f64| round(x).rem_euclid(DECIMALS as i64);
    let mut sites: Vec<(u8, [i64; 3])> =
        structure.species.iter().zip(&structure.frac_coords).map(|(s, f)| (s.z(), f.map(wrap))).collect();
    sites.sort_unstable();
    let mut bytes = Vec::with_capacity(48 + 25 * sites.len());
    for p in structure.lattice.parameters() {
        bytes.extend(round(p).to_le_bytes());
    }
    for (z, coords) in sites {
        bytes.push(z);
        bytes.extend(coords.into_iter().flat_map(i64::to_le_bytes));
    }
    fingerprint(&bytes)
}

/// Structures that agree with an earlier one as [`Duplicates::alike`] says.
fn alike(rows: &[Row]) -> usize {
    let mut kinds: Vec<(u128, u16, f64)> =
        rows.iter().filter(|r| r.group > 0).map(|r| (r.formula, r.group, r.volume_per_atom)).collect();
    kinds.par_sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    let of_kind = |kind: &[(u128, u16, f64)]| {
        // Compared with the first of the kind, so that a series of small steps does not become one kind.
        let (mut first, mut count) = (f64::NEG_INFINITY, 0);
        for &(_, _, volume) in kind {
            if volume <= first * (1.0 + ALIKE_VOLUME) {
                count += 1;
            } else {
                first = volume;
            }
        }
        count
    };
    kinds.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(of_kind).sum()
}

/// The values of one property.
#[derive(Default)]
pub(super) struct Values {
    count: usize,
    numbers: Vec<f64>,
    /// Sums of the values as text.
    texts: Vec<u128>,
}

impl Values {
    pub(super) fn add(&mut self, value: &serde_json::Value) {
        self.count += 1;
        self.numbers.extend(value.as_f64());
        self.texts.push(fingerprint(crate::properties::text(value).as_bytes()));
    }

    pub(super) fn finish(self) -> PropertyStats {
        let Self { count, numbers, texts } = self;
        PropertyStats { count, numbers: Quantiles::of(numbers), distinct: distinct(texts) }
    }
}
