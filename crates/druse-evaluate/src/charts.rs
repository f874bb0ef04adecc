//! Distributions of the generated set beside those of the reference.

use std::collections::BTreeMap;

use druse_crystal::Element;
use druse_metrics::coverage::Coverage;
use druse_metrics::descriptors::{Descriptors, Geometry};
use druse_metrics::distribution::Histogram;
use druse_metrics::nearest::Nearest;
use druse_metrics::symmetry::{CrystalSystem, SymmetryStatistics};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bars of space groups and elements that are shown.
const MAX_BARS: usize = 24;

/// Counts of both sets in the same bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chart {
    /// `density`, `space_group` …
    pub key: String,
    /// What is counted, with its unit.
    pub title: String,
    /// Borders of the bins, one more than there are bins; empty for bars with labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<f64>,
    /// Names of the bars; empty for a histogram.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Count in each bin of the generated set.
    pub generated: Vec<usize>,
    /// Count in each bin of the reference.
    pub reference: Vec<usize>,
    /// What counts are shares of: crystals of the generated and of the reference set.
    pub totals: [usize; 2],
    /// Generated and reference values that lie outside the bins or are not among the bars.
    pub outside: [usize; 2],
}

/// Energies above hull (eV/atom) of structures and of the entries of the hull, from −0.2 to 0.6 eV/atom.
pub fn above_hull_chart(structures: &[f64], entries: &[f64]) -> Chart {
    const LOWEST: f64 = -0.2;
    const WIDTH: f64 = 0.025;
    const BINS: usize = 32;
    let edges: Vec<f64> = (0..=BINS).map(|k| LOWEST + WIDTH * k as f64).collect();
    let count = |values: &[f64]| {
        let mut counts = vec![0; BINS];
        for value in values {
            // The hull itself is the lower border of its bin, whatever the rounding.
            let bin = ((value - LOWEST) / WIDTH + 1e-6).floor();
            if bin >= 0.0 && bin < BINS as f64 {
                counts[bin as usize] += 1;
            }
        }
        counts
    };
    let (generated, reference) = (count(structures), count(entries));
    let outside = |counts: &[usize], values: &[f64]| values.len() - counts.iter().sum::<usize>();
    Chart {
        key: "e_above_hull".to_owned(),
        title: "Energy above hull (eV/atom)".to_owned(),
        edges,
        labels: Vec::new(),
        outside: [outside(&generated, structures), outside(&reference, entries)],
        totals: [structures.len(), entries.len()],
        generated,
        reference,
    }
}

/// The charts of two sets.
pub fn charts(
    sets: [&[Descriptors]; 2],
    symmetry: Option<&[SymmetryStatistics; 2]>,
    coverage: Option<&Coverage>,
) -> Vec<Chart> {
    let of_cell = |value: &dyn Fn(&Geometry) -> f64| {
        sets.map(|set| set.iter().filter_map(|d| d.geometry.as_ref().ok().map(value)).collect::<Vec<f64>>())
    };
    let of_composition = |value: &dyn Fn(&Descriptors) -> usize| {
        sets.map(|set| {
            set.iter().filter(|d| !d.composition.is_empty()).map(|d| value(d) as f64).collect::<Vec<f64>>()
        })
    };
    let mut charts = vec![
        histogram("density", "Density (g/cm³)", &of_cell(&|g| g.density)),
        histogram("volume_per_atom", "Volume per atom (Å³)", &of_cell(&|g| g.volume_per_atom)),
        integers("num_elements", "Number of elements", &of_composition(&|d| d.num_elements())),
        integers("num_atoms", "Atoms in the cell", &of_composition(&|d| d.composition.num_atoms())),
    ];
    for (i, (key, title)) in [
        ("a", "Cell length a (Å)"),
        ("b", "Cell length b (Å)"),
        ("c", "Cell length c (Å)"),
        ("alpha", "Cell angle α (°)"),
        ("beta", "Cell angle β (°)"),
        ("gamma", "Cell angle γ (°)"),
    ]
    .into_iter()
    .enumerate()
    {
        charts.push(histogram(key, title, &of_cell(&|g| g.lattice[i])));
    }
    if let Some(coverage) = coverage {
        let distances = |all: &[Nearest]| all.iter().map(|n| n.distance).collect::<Vec<f64>>();
        let both = [distances(&coverage.precision_structure), distances(&coverage.recall_structure)];
        charts.push(histogram("nearest", "Distance to the nearest of the other set", &both));
    }
    if let Some(symmetry) = symmetry {
        let counts = [&symmetry[0], &symmetry[1]];
        charts.push(systems(counts));
        let name = |n: &u16| n.to_string();
        charts.push(bars(
            "space_group",
            "Space group",
            counts.map(|s| s.space_groups.clone()),
            counts.map(SymmetryStatistics::found),
            &name,
        ));
        charts.push(bars(
            "site_symmetry",
            "Site symmetry of the orbits",
            counts.map(|s| s.site_symmetries.clone()),
            counts.map(|s| s.site_symmetries.values().sum()),
            &|s: &String| s.clone(),
        ));
    }
    let elements = sets.map(|set| {
        let mut counts: BTreeMap<Element, usize> = BTreeMap::new();
        for e in set.iter().flat_map(|d| d.composition.elements()) {
            *counts.entry(e).or_insert(0) += 1;
        }
        counts
    });
    let title = "Structures that contain the element";
    charts
        .push(bars("elements", title, elements, sets.map(<[Descriptors]>::len), &|e| e.symbol().to_owned()));
    charts.into_iter().flatten().collect()
}

fn histogram(key: &str, title: &str, samples: &[Vec<f64>; 2]) -> Option<Chart> {
    Some(binned(key, title, samples, Histogram::shared(&[&samples[0], &samples[1]])?))
}

fn integers(key: &str, title: &str, samples: &[Vec<f64>; 2]) -> Option<Chart> {
    Some(binned(key, title, samples, Histogram::of_integers(&[&samples[0], &samples[1]])?))
}

fn binned(key: &str, title: &str, samples: &[Vec<f64>; 2], h: Histogram) -> Chart {
    let outside = [0, 1].map(|i| h.outside.get(i).map_or(0, |o| o[0] + o[1]));
    let mut counts = h.counts.into_iter();
    Chart {
        key: key.to_owned(),
        title: title.to_owned(),
        edges: h.edges,
        labels: Vec::new(),
        generated: counts.next().unwrap_or_default(),
        reference: counts.next().unwrap_or_default(),
        totals: [samples[0].len(), samples[1].len()],
        outside,
    }
}

/// Shares of the crystal systems, from the lowest symmetry to the highest.
fn systems(sets: [&SymmetryStatistics; 2]) -> Option<Chart> {
    use CrystalSystem::{Cubic, Hexagonal, Monoclinic, Orthorhombic, Tetragonal, Triclinic, Trigonal};
    let all = [
        (Triclinic, "tric."),
        (Monoclinic, "mono."),
        (Orthorhombic, "orth."),
        (Tetragonal, "tetr."),
        (Trigonal, "trig."),
        (Hexagonal, "hex."),
        (Cubic, "cubic"),
    ];
    let count = |i: usize| all.iter().map(|(s, _)| sets[i].systems.get(s).copied().unwrap_or(0)).collect();
    Some(Chart {
        key: "crystal_system".to_owned(),
        title: "Crystal system".to_owned(),
        edges: Vec::new(),
        labels: all.iter().map(|(_, name)| (*name).to_owned()).collect(),
        generated: count(0),
        reference: count(1),
        totals: sets.map(SymmetryStatistics::found),
        outside: [0, 0],
    })
}

/// The most frequent keys of both sets, by their larger share.
fn bars<K: Ord + Clone>(
    key: &str,
    title: &str,
    counts: [BTreeMap<K, usize>; 2],
    totals: [usize; 2],
    name: &dyn Fn(&K) -> String,
) -> Option<Chart> {
    let share = |k: &K| [0, 1].map(|i| counts[i].get(k).map_or(0.0, |&n| n as f64 / totals[i].max(1) as f64));
    let mut keys: Vec<&K> = counts[0].keys().chain(counts[1].keys()).collect();
    keys.sort();
    keys.dedup();
    let larger = |k: &K| share(k).into_iter().fold(0.0, f64::max);
    keys.sort_by(|a, b| larger(b).total_cmp(&larger(a)));
    keys.truncate(MAX_BARS);
    if keys.is_empty() {
        return None;
    }
    let column = |i: usize| keys.iter().map(|k| counts[i].get(*k).copied().unwrap_or(0)).collect::<Vec<_>>();
    let (generated, reference) = (column(0), column(1));
    let outside = [
        counts[0].values().sum::<usize>() - generated.iter().sum::<usize>(),
        counts[1].values().sum::<usize>() - reference.iter().sum::<usize>(),
    ];
    Some(Chart {
        key: key.to_owned(),
        title: title.to_owned(),
        edges: Vec::new(),
        labels: keys.into_iter().map(name).collect(),
        generated,
        reference,
        totals,
        outside,
    })
}
