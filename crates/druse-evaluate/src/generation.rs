//! A generated set against a reference set.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use druse_crystal::Element;
use druse_data::crystens::STATED_SPACE_GROUP;
use druse_data::{Cache, Item};
use druse_metrics::Metric;
use druse_metrics::crystens::{Consistency, consistency_metrics, stated_space_groups};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::{
    GenerationMetrics, Options, ResolvedRules, embedding_metric, evaluate, members, property_metrics,
};
use druse_metrics::matcher::StructureMatcher;
use druse_metrics::novelty::NoveltyRows;
use druse_metrics::optimization::{Goal, Targets, success_metrics};

use crate::charts::charts;
use crate::columns::{number, numbers, text};
use crate::evaluation::{ClosestReference, Evaluation, FORMAT, RowReason, SetSummary, Task};
use crate::novelty::{Found, PART, novelty};
use crate::rows::{check_property, some_structures};
use crate::{EvaluateError, Observer, Progress, Sets, describe};

/// Structures in the lists of the closest and the farthest ones.
const LISTED: usize = 12;

/// How a generated set is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    /// The rules: [`Sets::resolve`] makes them of names.
    pub rules: ResolvedRules,
    /// Distance tolerance of the space group search (Å); `None` for no symmetry.
    pub symprec: Option<f64>,
    /// Seed of the draw of valid crystals.
    pub seed: u64,
    /// Resamples of the bootstrap; `None` for no intervals.
    pub bootstrap: Option<Bootstrap>,
    /// Numeric properties that are compared.
    pub properties: Vec<String>,
    /// The matcher of uniqueness and novelty; `None` to leave them out.
    pub matcher: Option<StructureMatcher>,
    /// Consistency of the images that the generated structures were decoded from; `None` where there are none.
    pub images: Option<Consistency>,
    /// Success rates of a property optimization.
    pub optimization: Option<Optimization>,
    /// Vectors that networks made of the crystals, of one network a kind.
    pub embeddings: Vec<Embedding>,
    /// Where features are kept.
    pub cache: Cache,
}

impl GenerationSettings {
    /// All metrics by these rules, space groups at 0.1 Å, 95 % intervals of 1,000 resamples, pymatgen's tolerances for
    /// uniqueness, the default cache.
    pub fn new(rules: ResolvedRules) -> Self {
        Self {
            rules,
            symprec: Some(0.1),
            seed: 0,
            bootstrap: Some(Bootstrap::default()),
            properties: Vec::new(),
            matcher: Some(StructureMatcher::default()),
            images: None,
            optimization: None,
            embeddings: Vec::new(),
            cache: Cache::Default,
        }
    }
}

/// Vectors that a network made of all rows of both sets: what a Fréchet distance is taken of. No networks are known here; whoever
/// has one brings them.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Kind of the network, as in `frechet_cgcnn`.
    pub kind: String,
    /// What the vectors are, of which weights and which training data, in words: other weights give another figure.
    pub about: String,
    /// A vector of each generated row, or why there is none.
    pub generated: Vec<Result<Vec<f64>, String>>,
    /// The same of the reference.
    pub reference: Vec<Result<Vec<f64>, String>>,
}

/// What success rates are computed of.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimization {
    /// Property that was optimized.
    pub property: String,
    /// Property that names the starting point of a row.
    pub start: String,
    /// Which way the property is to go.
    pub goal: Goal,
}

/// Evaluates a generated against a reference set, and against a training set where there is one.
///
/// # Errors
/// [`EvaluateError`] when the sets do not fit the settings, [`EvaluateError::Interrupted`].
pub fn generation(
    sets: Sets<'_>,
    settings: &GenerationSettings,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Evaluation, EvaluateError> {
    some_structures(sets.reference, "reference")?;
    let wanted = DescriptorSettings { fingerprint: true, symprec: settings.symprec };
    let generated =
        describe(sets.generated, &wanted, &settings.cache, "features of the generated set", watch, stop)?;
    let reference =
        describe(sets.reference, &wanted, &settings.cache, "features of the reference set", watch, stop)?;
    let generated = generated.descriptors;
    // A reference row without a structure is no crystal of the reference.
    let (rows, reference): (Vec<usize>, Vec<Descriptors>) =
        reference.descriptors.into_iter().enumerate().filter(|(_, d)| d.geometry.is_ok()).unzip();
    watch.observe(Progress { stage: "metrics", done: 0, total: 0 });
    let options = Options { seed: settings.seed, bootstrap: settings.bootstrap };
    let found = evaluate(&generated, &reference, &settings.rules.protocol, &options)?;

    let mut left_out = RowReason::without_structure(sets.reference);
    left_out.extend(
        found
            .reference_left_out
            .iter()
            .map(|(i, reason)| RowReason::of(sets.reference, rows[*i], format!("no fingerprint: {reason}"))),
    );
    let bootstrap = settings.bootstrap.as_ref();
    let mut all = found.metrics.clone();
    for name in &settings.properties {
        all.extend(compare_property(name, sets, &found, bootstrap)?);
    }
    let population = settings.rules.protocol.frechet_on;
    let chosen = members(population, &generated, &found.sample);
    for Embedding { kind, about, generated, reference } in &settings.embeddings {
        let metric = embedding_metric(kind, about, (generated, population, &chosen), reference);
        // Beside the one of fingerprints.
        let place =
            all.iter().position(|m| m.key == "frechet_crystalnn").map_or(all.len(), |place| place + 1);
        all.insert(place, metric);
    }
    if let Some(images) = &settings.images {
        all.extend(consistency_metrics(images));
        if let Some([_, reference]) = &found.symmetry {
            let stated = numbers(sets.generated, STATED_SPACE_GROUP, 0..sets.generated.len());
            all.push(stated_space_groups(&stated, &reference.numbers()));
        }
    }
    if let Some(optimization) = &settings.optimization {
        all.extend(success(optimization, sets, &found, settings)?);
    }
    let mut remarks: Vec<String> = settings.rules.remark.iter().cloned().collect();
    if let Some(matcher) = &settings.matcher {
        let Found { novelty, compared, training } = novelty(matcher, sets, PART, watch, stop)?;
        let rows = NoveltyRows { invalid: &found.invalid, compared: &compared, training };
        all.extend(novelty.metrics(matcher, rows, bootstrap));
        let unfinished = novelty.unfinished.len();
        if unfinished > 0 {
            remarks.push(format!(
                "{unfinished} structures have comparisons that were given up and count as different"
            ));
        }
    }
    remarks.extend(set_remarks(sets, &generated, &reference, &found, &left_out));
    let (best, worst) = neighbors(sets, &rows, &generated, &reference, &found);
    let invalid = found.invalid.iter().enumerate();
    let evaluation = Evaluation {
        format: FORMAT,
        druse: env!("CARGO_PKG_VERSION").to_owned(),
        task: Task::Generation,
        generated: SetSummary::of(sets.generated),
        reference: SetSummary::of(sets.reference),
        train: sets.train.map(SetSummary::of),
        protocol: settings.rules.protocol.clone(),
        remarks,
        values: Default::default(),
        metrics: all,
        invalid: invalid
            .filter_map(|(i, reason)| Some(RowReason::of(sets.generated, i, reason.as_ref()?)))
            .collect(),
        left_out,
        best,
        worst,
        charts: charts(
            [&generated, &reference],
            found.symmetry.as_ref(),
            found.coverage.as_ref().map(|c| &c.coverage),
        ),
        symmetry: found.symmetry,
        stability: None,
    };
    Ok(evaluation.with_values())
}

/// What a reader of the metrics should know.
fn set_remarks(
    sets: Sets<'_>,
    generated: &[Descriptors],
    reference: &[Descriptors],
    found: &GenerationMetrics,
    left_out: &[RowReason],
) -> Vec<String> {
    let mut remarks = Vec::new();
    let valid = found.invalid.iter().filter(|r| r.is_none()).count();
    if let Some(sample) = found.protocol.sample {
        remarks.push(match valid {
            v if v < sample => {
                format!("only {v} generated structures are valid: all of them are used where the protocol draws {sample}")
            }
            v => format!("{sample} of {v} valid structures are drawn where the protocol says so"),
        });
    }
    if !left_out.is_empty() {
        let (n, of) = (left_out.len(), sets.reference.len());
        remarks.push(format!("{n} of {of} reference rows take no part where they lack what a metric needs"));
    }
    let elements = |set: &[Descriptors]| -> BTreeSet<Element> {
        set.iter().flat_map(|d| d.composition.elements()).collect()
    };
    if elements(generated).is_disjoint(&elements(reference)) {
        remarks.push("the generated and the reference set have no element in common".to_owned());
    }
    remarks
}

fn compare_property(
    name: &str,
    sets: Sets<'_>,
    found: &GenerationMetrics,
    bootstrap: Option<&Bootstrap>,
) -> Result<[Metric; 2], EvaluateError> {
    check_property(sets.generated, "generated", name)?;
    check_property(sets.reference, "reference", name)?;
    let generated = numbers(sets.generated, name, found.sample.iter().copied());
    let reference = numbers(sets.reference, name, 0..sets.reference.len());
    Ok(property_metrics(name, &generated, &reference, bootstrap))
}

fn success(
    optimization: &Optimization,
    sets: Sets<'_>,
    found: &GenerationMetrics,
    settings: &GenerationSettings,
) -> Result<Vec<Metric>, EvaluateError> {
    let Optimization { property, start, goal } = optimization;
    check_property(sets.generated, "generated", property)?;
    let snapshot = |(item, invalid): (&Item, &Option<String>)| match text(item, start) {
        Some(name) => Ok((name, number(item, property).filter(|_| invalid.is_none()))),
        None => Err(EvaluateError::NoStart { id: item.id.clone(), property: start.clone() }),
    };
    let snapshots: Vec<_> =
        sets.generated.items.iter().zip(&found.invalid).map(snapshot).collect::<Result<_, _>>()?;
    let known = numbers(sets.reference, property, 0..sets.reference.len());
    let (targets, source) = Targets::of_reference(property, &known, *goal, settings.rules.benchmark)?;
    Ok(success_metrics(property, &snapshots, &targets, &source, settings.bootstrap.as_ref())?)
}

/// The generated structures closest to the reference and farthest from it, by fingerprint.
fn neighbors(
    sets: Sets<'_>,
    rows: &[usize],
    generated: &[Descriptors],
    reference: &[Descriptors],
    found: &GenerationMetrics,
) -> (Vec<ClosestReference>, Vec<ClosestReference>) {
    let Some(placed) = &found.coverage else { return Default::default() };
    let mut all: Vec<ClosestReference> = placed
        .generated
        .iter()
        .zip(&placed.coverage.precision_structure)
        .map(|(&i, nearest)| {
            let j = placed.reference[nearest.index];
            ClosestReference {
                index: i,
                id: sets.generated.items[i].id.clone(),
                formula: generated[i].composition.reduced_formula(),
                reference: sets.reference.items[rows[j]].id.clone(),
                reference_formula: reference[j].composition.reduced_formula(),
                distance: nearest.distance,
                invalid: found.invalid[i].clone(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
    let worst = all.iter().rev().take(LISTED).cloned().collect();
    all.truncate(LISTED);
    (all, worst)
}
