//! From descriptors of a generated and a reference set to the metrics of a protocol.

use serde::{Deserialize, Serialize};

use super::{Population, Protocol};
use crate::{
    coverage::{Coverage, diversity},
    descriptors::{Descriptors, Geometry},
    distribution::{Bootstrap, Interval, TwoSamples, draw_without_replacement, frechet_distance},
    features::Features,
    metric::Metric,
    nearest::nearest_both_ways,
    symmetry::SymmetryStatistics,
    validity::MIN_VOLUME,
};

/// Why nothing can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerationError {
    /// There is no generated crystal.
    #[error("the generated set is empty")]
    NoGenerated,
    /// There is no reference crystal.
    #[error("the reference set is empty")]
    NoReference,
}

/// Randomness and intervals of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Options {
    /// Seed of the draw of valid crystals.
    pub seed: u64,
    /// How intervals are made; `None` for none.
    pub bootstrap: Option<Bootstrap>,
}

/// Coverage with the indices of its crystals in the two sets.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedCoverage {
    /// Nearest neighbors; their indices are into the lists below.
    pub coverage: Coverage,
    /// Index in the generated set of each generated crystal that took part.
    pub generated: Vec<usize>,
    /// Index in the reference set of each reference crystal that took part.
    pub reference: Vec<usize>,
}

/// Everything measured under one protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationMetrics {
    /// The protocol.
    pub protocol: Protocol,
    /// Number of generated crystals.
    pub generated: usize,
    /// Number of reference crystals.
    pub reference: usize,
    /// For each generated crystal why it is invalid; `None` for the valid ones.
    pub invalid: Vec<Option<String>>,
    /// Indices of the valid crystals that were used, rising.
    pub sample: Vec<usize>,
    /// Reference crystals that could take no part in the coverage, with the reason.
    pub reference_left_out: Vec<(usize, String)>,
    /// The metrics, in the order of reports.
    pub metrics: Vec<Metric>,
    /// Nearest neighbors; `None` when the protocol has no coverage or a set has no crystal with features.
    pub coverage: Option<IndexedCoverage>,
    /// Symmetry of the built generated and of the reference crystals, where it was looked for.
    pub symmetry: Option<[SymmetryStatistics; 2]>,
}

impl GenerationMetrics {
    /// The metric with this key.
    pub fn metric(&self, key: &str) -> Option<&Metric> {
        self.metrics.iter().find(|m| m.key == key)
    }

    /// The value of the metric with this key.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.metric(key).and_then(|m| m.value)
    }
}

/// Measures a generated against a reference set.
///
/// A crystal without fingerprint takes no part in coverage and Fréchet distance; where that concerns the generated set
/// it still counts in the denominators. A metric that cannot be computed has its reason in place of the value.
///
/// # Errors
/// [`GenerationError`] for an empty set.
pub fn evaluate(
    generated: &[Descriptors],
    reference: &[Descriptors],
    protocol: &Protocol,
    options: &Options,
) -> Result<GenerationMetrics, GenerationError> {
    if generated.is_empty() {
        return Err(GenerationError::NoGenerated);
    }
    if reference.is_empty() {
        return Err(GenerationError::NoReference);
    }
    let invalid: Vec<Option<String>> = generated
        .iter()
        .map(|d| d.invalid_because(protocol.composition, protocol.structure, protocol.fingerprint))
        .collect();
    let valid: Vec<usize> = (0..generated.len()).filter(|&i| invalid[i].is_none()).collect();
    let drawn = draw_without_replacement(valid.len(), protocol.sample.unwrap_or(usize::MAX), options.seed);
    let sample = drawn.into_iter().map(|k| valid[k]).collect();
    let mut run = Run {
        generated,
        reference,
        options,
        result: GenerationMetrics {
            protocol: protocol.clone(),
            generated: generated.len(),
            reference: reference.len(),
            invalid,
            sample,
            reference_left_out: Vec::new(),
            metrics: Vec::new(),
            coverage: None,
            symmetry: None,
        },
    };
    run.validity();
    run.coverage();
    run.diversity();
    run.distances();
    run.shapes();
    run.symmetry();
    Ok(run.result)
}

/// Indices of the generated crystals of a population, rising; `sample` is that of [`GenerationMetrics`].
pub fn members(population: Population, generated: &[Descriptors], sample: &[usize]) -> Vec<usize> {
    let built = |d: &Descriptors| d.geometry.as_ref().is_ok_and(|g| g.validity.volume >= MIN_VOLUME);
    match population {
        Population::All => (0..generated.len()).collect(),
        Population::Built => (0..generated.len()).filter(|&i| built(&generated[i])).collect(),
        Population::ValidSample => sample.to_vec(),
    }
}

/// An evaluation under way.
struct Run<'a> {
    generated: &'a [Descriptors],
    reference: &'a [Descriptors],
    options: &'a Options,
    result: GenerationMetrics,
}

impl Run<'_> {
    /// Indices of the generated crystals of a population.
    fn indices(&self, population: Population) -> Vec<usize> {
        members(population, self.generated, &self.result.sample)
    }

    fn push(
        &mut self,
        key: &str,
        value: Result<f64, String>,
        [of, against]: [usize; 2],
        interval: Option<Interval>,
        protocol: String,
    ) {
        let metric = Metric::new(key, value, of, (against > 0).then_some(against), protocol);
        self.result.metrics.push(metric.with_interval(interval));
    }

    /// A mean over crystals with its bootstrap interval.
    fn push_mean(&mut self, key: &str, values: &[f64], against: usize, protocol: String) {
        let against = (against > 0).then_some(against);
        self.result.metrics.push(Metric::mean(
            key,
            values,
            against,
            self.options.bootstrap.as_ref(),
            protocol,
        ));
    }

    fn validity(&mut self) {
        let (composition, structure) = (self.result.protocol.composition, self.result.protocol.structure);
        let share = |flag: &dyn Fn(&Descriptors) -> bool| -> Vec<f64> {
            self.generated.iter().map(|d| f64::from(u8::from(flag(d)))).collect()
        };
        let compositions = composition.map(|rule| share(&|d| d.composition_verdict(rule).is_valid()));
        let structures = share(&|d| d.structure_valid(structure));
        let all: Vec<f64> =
            self.result.invalid.iter().map(|reason| f64::from(u8::from(reason.is_none()))).collect();
        if let (Some(values), Some(rule)) = (compositions, composition) {
            self.push_mean("comp_valid", &values, 0, format!("composition rule {rule}, all generated"));
        }
        self.push_mean("struct_valid", &structures, 0, format!("structure rule {structure}, all generated"));
        let parts = [
            composition.map(|rule| format!("composition rule {rule}")),
            Some(format!("structure rule {structure}")),
            self.result.protocol.fingerprint.then(|| "fingerprint".to_owned()),
        ];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        self.push_mean("valid", &all, 0, format!("{parts}, all generated"));
    }

    fn coverage(&mut self) {
        let Some(cutoffs) = self.result.protocol.cutoffs else { return };
        let population = self.result.protocol.coverage_on;
        let indices = self.indices(population);
        let denominator = indices.len();
        let (generated, _) = with_fingerprint(self.generated, indices);
        let (reference, left_out) = with_fingerprint(self.reference, (0..self.reference.len()).collect());
        self.result.reference_left_out = left_out;
        let within = format!(
            "{population}, structure within {} and composition within {}",
            cutoffs.structure, cutoffs.composition
        );
        let keys =
            ["cov_recall", "cov_precision", "amsd_recall", "amsd_precision", "amcd_recall", "amcd_precision"];
        let nearest = |kind| {
            let own = features(kind, self.generated, &generated)?;
            nearest_both_ways(&own, &features(kind, self.reference, &reference)?).map_err(|e| e.to_string())
        };
        let found = nearest(Kind::Structure).and_then(|s| Ok((s, nearest(Kind::Composition)?)));
        let found = match found {
            Ok((structure, composition)) => Coverage::new(structure, composition, denominator, cutoffs),
            Err(problem) => {
                for key in keys {
                    self.push(
                        key,
                        Err(problem.clone()),
                        [denominator, reference.len()],
                        None,
                        within.clone(),
                    );
                }
                return;
            }
        };
        let flags = |f: Vec<bool>, n: usize| -> Vec<f64> {
            let mut values: Vec<f64> = f.into_iter().map(|x| f64::from(u8::from(x))).collect();
            values.resize(n, 0.0);
            values
        };
        let distances =
            |n: &[crate::nearest::Nearest]| -> Vec<f64> { n.iter().map(|n| n.distance).collect() };
        let values = [
            flags(found.covered(), reference.len()),
            flags(found.precise(), denominator),
            distances(&found.recall_structure),
            distances(&found.precision_structure),
            distances(&found.recall_composition),
            distances(&found.precision_composition),
        ];
        for (i, (key, values)) in keys.into_iter().zip(values).enumerate() {
            let against = if i % 2 == 0 { generated.len() } else { reference.len() };
            let what = match i / 2 {
                0 => within.clone(),
                1 => format!("{population}, nearest CrystalNN fingerprint"),
                _ => format!("{population}, nearest normalised Magpie features"),
            };
            self.push_mean(key, &values, against, what);
        }
        self.result.coverage = Some(IndexedCoverage { coverage: found, generated, reference });
    }

    fn diversity(&mut self) {
        if self.result.protocol.cutoffs.is_none() {
            return;
        }
        let indices = self.result.sample.clone();
        let (indices, _) = with_fingerprint(self.generated, indices);
        let protocol = format!("{}, mean distance of pairs", Population::ValidSample);
        for (key, kind) in [("comp_div", Kind::Composition), ("struct_div", Kind::Structure)] {
            let value = features(kind, self.generated, &indices)
                .and_then(|f| diversity(&f).ok_or_else(|| "fewer than two crystals".into()));
            self.push(key, value, [indices.len(), 0], None, protocol.clone());
        }
    }

    fn distances(&mut self) {
        let protocol = self.result.protocol.clone();
        let density = |d: &Descriptors| d.density().filter(|x| x.is_finite());
        let elements = |d: &Descriptors| Some(d.num_elements() as f64);
        self.push_wasserstein("wdist_density", protocol.density_on, "density (g/cm³)", &density);
        self.push_wasserstein("wdist_num_elems", protocol.elements_on, "number of elements", &elements);

        let (indices, _) = with_fingerprint(self.generated, self.indices(protocol.frechet_on));
        let (reference, _) = with_fingerprint(self.reference, (0..self.reference.len()).collect());
        let value = features(Kind::Structure, self.generated, &indices).and_then(|g| {
            let r = features(Kind::Structure, self.reference, &reference)?;
            frechet_distance(&g, &r).map_err(|e| e.to_string())
        });
        let what = format!("{}, Gaussians of CrystalNN fingerprints", protocol.frechet_on);
        self.push("frechet_crystalnn", value, [indices.len(), reference.len()], None, what);
    }

    /// Values of the generated crystals of a population and of the reference; what a crystal lacks is left out.
    fn samples(&self, population: Population, value: &dyn Fn(&Descriptors) -> Option<f64>) -> [Vec<f64>; 2] {
        [
            self.indices(population).into_iter().filter_map(|i| value(&self.generated[i])).collect(),
            self.reference.iter().filter_map(value).collect(),
        ]
    }

    fn push_wasserstein(
        &mut self,
        key: &str,
        population: Population,
        what: &str,
        value: &dyn Fn(&Descriptors) -> Option<f64>,
    ) {
        let [a, b] = self.samples(population, value);
        let two = TwoSamples::new(&a, &b).map_err(|e| e.to_string());
        let interval = match (&two, self.options.bootstrap) {
            (Ok(two), Some(bootstrap)) => two.wasserstein_interval(&bootstrap),
            _ => None,
        };
        let protocol = format!("{population}, {what}");
        self.push(key, two.map(|t| t.wasserstein()), [a.len(), b.len()], interval, protocol);
    }

    fn push_ks(&mut self, key: &str, what: &str, [a, b]: [Vec<f64>; 2]) {
        let value = TwoSamples::new(&a, &b).map(|t| t.kolmogorov_smirnov()).map_err(|e| e.to_string());
        self.push(key, value, [a.len(), b.len()], None, format!("{}, {what}", Population::Built));
    }

    /// Kolmogorov–Smirnov statistics of cells and compositions.
    fn shapes(&mut self) {
        let geometry = |value: &dyn Fn(&Geometry) -> Option<f64>| {
            self.samples(Population::Built, &|d| {
                d.geometry.as_ref().ok().and_then(value).filter(|x| x.is_finite())
            })
        };
        const PARAMETERS: [&str; 6] = ["a", "b", "c", "alpha", "beta", "gamma"];
        let mut all: Vec<(String, String, [Vec<f64>; 2])> = Vec::new();
        for (i, name) in PARAMETERS.into_iter().enumerate() {
            all.push((
                format!("ks_{name}"),
                format!("{name} of the cell as given"),
                geometry(&|g| Some(resolved(g.lattice[i]))),
            ));
        }
        for (i, name) in PARAMETERS.into_iter().enumerate() {
            let samples = geometry(&|g| g.niggli.map(|n| resolved(n[i])));
            all.push((format!("ks_niggli_{name}"), format!("{name} of the Niggli cell"), samples));
        }
        all.push((
            "ks_volume_per_atom".into(),
            "volume per atom".into(),
            geometry(&|g| Some(g.volume_per_atom)),
        ));
        all.push(("ks_density".into(), "density".into(), geometry(&|g| Some(g.density))));
        let elements = self.samples(Population::Built, &|d| Some(d.num_elements() as f64));
        all.push(("ks_num_elems".into(), "number of elements".into(), elements));
        let atoms = |d: &Descriptors| -> Vec<f64> {
            d.composition.atoms().into_iter().map(|e| f64::from(e.z())).collect()
        };
        let numbers = [
            self.indices(Population::Built).into_iter().flat_map(|i| atoms(&self.generated[i])).collect(),
            self.reference.iter().flat_map(atoms).collect(),
        ];
        all.push(("ks_atomic_number".into(), "atomic number, one value an atom".into(), numbers));
        for (key, what, samples) in all {
            self.push_ks(&key, &what, samples);
        }
    }

    fn symmetry(&mut self) {
        let collect = |all: Vec<&Descriptors>| {
            let found: Option<Vec<_>> = all.iter().map(|d| Some(d.symmetry.as_ref()?.as_ref())).collect();
            found.map(SymmetryStatistics::collect)
        };
        let generated = self.indices(Population::Built).into_iter().map(|i| &self.generated[i]).collect();
        let (Some(generated), Some(reference)) =
            (collect(generated), collect(self.reference.iter().collect()))
        else {
            return;
        };
        self.push_ks("ks_space_group", "space-group number", [generated.numbers(), reference.numbers()]);
        for (key, statistics) in [("share_p1", &generated), ("reference_share_p1", &reference)] {
            let value = statistics.share_p1().ok_or_else(|| "no space group was found".into());
            self.push(
                key,
                value,
                [statistics.found(), 0],
                None,
                "share of P1 where a group was found".into(),
            );
        }
        self.result.symmetry = Some([generated, reference]);
    }
}

/// A cell parameter to 0.001 Å or degrees. Many cells have the same one, 90° above all, and a file that keeps fewer digits
/// would tell them apart.
fn resolved(parameter: f64) -> f64 {
    (parameter * 1e3).round() / 1e3
}

/// Of the crystals at `indices` those that have a fingerprint, and the others with the reason.
fn with_fingerprint(all: &[Descriptors], indices: Vec<usize>) -> (Vec<usize>, Vec<(usize, String)>) {
    let mut left_out = Vec::new();
    let mut left = indices;
    left.retain(|&i| {
        let reason = match &all[i].fingerprint {
            Some(Ok(f)) if f.iter().all(|x| x.is_finite()) => return true,
            Some(Ok(_)) => "the fingerprint is not finite".to_owned(),
            Some(Err(reason)) => reason.clone(),
            None => "the fingerprint was not computed".to_owned(),
        };
        left_out.push((i, reason));
        false
    });
    (left, left_out)
}

/// A kind of features. Those of large sets are made when they are needed, one kind after the other.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Structure,
    Composition,
}

/// Features of the crystals at `indices`, all of which have a fingerprint.
fn features(kind: Kind, all: &[Descriptors], indices: &[usize]) -> Result<Features, String> {
    if indices.is_empty() {
        return Err("no crystal has a fingerprint".into());
    }
    match kind {
        Kind::Structure => {
            Features::from_rows(indices.iter().map(|&i| all[i].structure_features().unwrap_or_default()))
        }
        Kind::Composition => Features::from_rows(indices.iter().map(|&i| all[i].composition_features())),
    }
    .map_err(|e| e.to_string())
}
