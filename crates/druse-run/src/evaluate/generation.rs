//! A generated set against a reference set.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use druse_crystal::Element;
use druse_data::{Cache, Listing, properties};
use druse_metrics::coverage::Benchmark;
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use druse_metrics::distribution::{Bootstrap, TwoSamples};
use druse_metrics::generation::{Figure, GenerationMetrics, Options, Protocol, evaluate};
use druse_metrics::matcher::{Prepared, StructureMatcher};
use druse_metrics::novelty::{components, training_matches};
use druse_metrics::optimization::{Goal, Targets, success_rates};
use druse_metrics::validity::MIN_VOLUME;
use serde_json::Value;

use super::charts::charts;
use super::describe::{describe, in_chunks};
use super::evaluation::{Evaluation, FORMAT, Neighbor, RowReason, SetSummary, Task};
use super::{EvaluateError, Sets, figures};
use crate::{Event, Observer, RunError};

/// Structures in the lists of the closest and the farthest ones.
const LISTED: usize = 12;

/// How a generated set is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    /// The rules.
    pub protocol: Protocol,
    /// What is said of all figures, such as where the cut-offs come from.
    pub remarks: Vec<String>,
    /// Distance tolerance of the space group search (Å); `None` for no symmetry.
    pub symprec: Option<f64>,
    /// Seed of draws and bootstrap.
    pub seed: u64,
    /// Resamples of the bootstrap; `None` for no intervals.
    pub bootstrap: Option<Bootstrap>,
    /// Numeric properties that are compared.
    pub properties: Vec<String>,
    /// The matcher of uniqueness and novelty; `None` to leave them out.
    pub matcher: Option<StructureMatcher>,
    /// Success rates of a property optimisation.
    pub optimization: Option<Optimization>,
    /// Where features are kept.
    pub cache: Cache,
}

/// What success rates are computed of.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimization {
    /// Property that was optimised.
    pub property: String,
    /// Property that names the starting point of a row.
    pub start: String,
    /// Which way the property is to go.
    pub goal: Goal,
    /// Data set whose published percentiles count where the reference has no such property.
    pub benchmark: Benchmark,
}

/// Evaluates a generated against a reference set, and against a training set where there is one.
///
/// # Errors
/// [`RunError::Evaluate`] when the sets do not fit the settings, [`RunError::Interrupted`].
pub fn generation(
    sets: Sets<'_>,
    settings: &GenerationSettings,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Evaluation, RunError> {
    some_structures(sets.reference, "reference")?;
    let wanted = DescriptorSettings { fingerprint: true, symprec: settings.symprec };
    let generated =
        describe(sets.generated, &wanted, &settings.cache, "features of the generated set", watch, stop)?;
    let reference =
        describe(sets.reference, &wanted, &settings.cache, "features of the reference set", watch, stop)?;
    let generated = generated.descriptors;
    // A reference row without a structure is no crystal of the reference.
    let (places, reference): (Vec<usize>, Vec<Descriptors>) =
        reference.descriptors.into_iter().enumerate().filter(|(_, d)| d.geometry.is_ok()).unzip();
    watch.observe(Event::Progress { stage: "figures", done: 0, total: 0 });
    let options = Options { seed: settings.seed, bootstrap: settings.bootstrap };
    let metrics =
        evaluate(&generated, &reference, &settings.protocol, &options).map_err(EvaluateError::from)?;

    let mut left_out = RowReason::without_structure(sets.reference);
    let without = metrics.reference_left_out.iter();
    left_out.extend(
        without.map(|(i, reason)| {
            RowReason::of(sets.reference, places[*i], format!("no fingerprint: {reason}"))
        }),
    );
    let mut all = metrics.figures.clone();
    for name in &settings.properties {
        all.extend(property_figures(name, sets, &metrics, settings.bootstrap.as_ref())?);
    }
    if let Some(optimization) = &settings.optimization {
        all.extend(optimization_figures(optimization, sets, &metrics, settings.bootstrap.as_ref())?);
    }
    let mut remarks = settings.remarks.clone();
    if let Some(matcher) = &settings.matcher {
        let (more, remark) = novelty_figures(matcher, sets, &generated, &metrics, settings, watch, stop)?;
        all.extend(more);
        remarks.extend(remark);
    }
    remarks.extend(set_remarks(sets, &generated, &reference, &metrics, &left_out));
    let (best, worst) = neighbors(sets, &places, &generated, &reference, &metrics);
    let invalid = metrics.invalid.iter().enumerate();
    let evaluation = Evaluation {
        format: FORMAT,
        druse: env!("CARGO_PKG_VERSION").to_owned(),
        task: Task::Generation,
        generated: SetSummary::of(sets.generated),
        reference: SetSummary::of(sets.reference),
        train: sets.train.map(SetSummary::of),
        protocol: settings.protocol.clone(),
        remarks,
        metrics: Default::default(),
        figures: all,
        invalid: invalid
            .filter_map(|(i, reason)| Some(RowReason::of(sets.generated, i, reason.as_ref()?)))
            .collect(),
        left_out,
        best,
        worst,
        charts: charts(
            [&generated, &reference],
            metrics.symmetry.as_ref(),
            metrics.coverage.as_ref().map(|c| &c.coverage),
        ),
        symmetry: metrics.symmetry,
    };
    Ok(evaluation.with_metrics())
}

/// Refuses a set without any structure.
pub(super) fn some_structures(listing: &Listing, role: &'static str) -> Result<(), EvaluateError> {
    match listing.failures().next() {
        Some(first) if listing.items.iter().all(|i| i.outcome.is_err()) => Err(EvaluateError::NoStructures {
            role,
            name: listing.name.clone(),
            rows: listing.len(),
            first: first.to_string(),
        }),
        _ => Ok(()),
    }
}

/// What a reader of the figures should know.
fn set_remarks(
    sets: Sets<'_>,
    generated: &[Descriptors],
    reference: &[Descriptors],
    metrics: &GenerationMetrics,
    left_out: &[RowReason],
) -> Vec<String> {
    let mut remarks = Vec::new();
    let valid = metrics.invalid.iter().filter(|r| r.is_none()).count();
    if let Some(sample) = metrics.protocol.sample {
        remarks.push(match valid {
            v if v < sample => {
                format!("only {v} generated structures are valid: all of them are used where the protocol draws {sample}")
            }
            v => format!("{sample} of {v} valid structures are drawn where the protocol says so"),
        });
    }
    if !left_out.is_empty() {
        let (n, of) = (left_out.len(), sets.reference.len());
        remarks.push(format!("{n} of {of} reference rows take no part where they lack what a figure needs"));
    }
    let elements = |set: &[Descriptors]| -> std::collections::BTreeSet<Element> {
        set.iter().flat_map(|d| d.composition.elements()).collect()
    };
    if elements(generated).is_disjoint(&elements(reference)) {
        remarks.push("the generated and the reference set have no element in common".to_owned());
    }
    remarks
}

/// The numbers of a property at some rows.
fn numbers(listing: &Listing, name: &str, rows: impl Iterator<Item = usize>) -> Vec<f64> {
    rows.filter_map(|i| listing.items[i].properties().get(name).and_then(Value::as_f64)).collect()
}

/// Refuses a property that no row has as a number.
fn check_property(listing: &Listing, role: &'static str, name: &str) -> Result<(), EvaluateError> {
    if !numbers(listing, name, 0..listing.len()).is_empty() {
        return Ok(());
    }
    let mut available: Vec<&str> = Vec::new();
    for item in &listing.items {
        for (key, value) in item.properties() {
            if value.is_number() && !available.contains(&key.as_str()) {
                available.push(key);
            }
        }
    }
    let none = "no numbers".to_owned();
    Err(EvaluateError::NoProperty {
        role,
        name: listing.name.clone(),
        property: name.to_owned(),
        available: if available.is_empty() { none } else { available.join(", ") },
    })
}

fn property_figures(
    name: &str,
    sets: Sets<'_>,
    metrics: &GenerationMetrics,
    bootstrap: Option<&Bootstrap>,
) -> Result<[Figure; 2], EvaluateError> {
    check_property(sets.generated, "generated", name)?;
    check_property(sets.reference, "reference", name)?;
    let a = numbers(sets.generated, name, metrics.sample.iter().copied());
    let b = numbers(sets.reference, name, 0..sets.reference.len());
    let two = TwoSamples::new(&a, &b).map_err(|e| e.to_string());
    let figure = |key: String, value: &dyn Fn(&TwoSamples) -> f64, interval| Figure {
        key,
        value: two.as_ref().ok().map(value),
        problem: two.as_ref().err().cloned(),
        of: a.len(),
        against: Some(b.len()),
        protocol: format!("valid sample, property {name}, rows that have it"),
        interval,
    };
    let interval = two.as_ref().ok().zip(bootstrap).and_then(|(two, b)| two.wasserstein_interval(b));
    Ok([
        figure(format!("wdist_{name}"), &TwoSamples::wasserstein, interval),
        figure(format!("ks_{name}"), &TwoSamples::kolmogorov_smirnov, None),
    ])
}

fn optimization_figures(
    optimization: &Optimization,
    sets: Sets<'_>,
    metrics: &GenerationMetrics,
    bootstrap: Option<&Bootstrap>,
) -> Result<Vec<Figure>, EvaluateError> {
    let Optimization { property, start, goal, benchmark } = optimization;
    check_property(sets.generated, "generated", property)?;
    let mut starts: Vec<Vec<Option<f64>>> = Vec::new();
    let mut place: HashMap<String, usize> = HashMap::new();
    for (item, invalid) in sets.generated.items.iter().zip(&metrics.invalid) {
        let name = item.properties().get(start).map(properties::text).ok_or_else(|| {
            EvaluateError::Optimization(format!("the generated row `{}` has no property `{start}`", item.id))
        })?;
        let k = *place.entry(name).or_insert_with(|| {
            starts.push(Vec::new());
            starts.len() - 1
        });
        let value = item.properties().get(property).and_then(Value::as_f64);
        starts[k].push(value.filter(|_| invalid.is_none()));
    }
    let known = numbers(sets.reference, property, 0..sets.reference.len());
    let (targets, source) = if known.is_empty() {
        if *goal == Goal::Maximize {
            let text =
                format!("the reference has no property `{property}`, whose percentiles maximisation needs");
            return Err(EvaluateError::Optimization(text));
        }
        (Targets::cdvae(*benchmark), format!("CDVAE's constants for {}", benchmark_name(*benchmark)))
    } else {
        let targets = Targets::of_values(&known, *goal, &[5.0, 10.0, 15.0])
            .map_err(|e| EvaluateError::Optimization(e.to_string()))?;
        (targets, format!("percentiles of `{property}` over {} reference rows", known.len()))
    };
    // Snapshot by snapshot, as the function wants them; a start with fewer snapshots has invalid ones at the end.
    let longest = starts.iter().map(Vec::len).max().unwrap_or(0);
    let snapshots: Vec<Option<f64>> =
        (0..longest).flat_map(|k| starts.iter().map(move |s| s.get(k).copied().flatten())).collect();
    let rates = success_rates(&snapshots, starts.len(), &targets)
        .map_err(|e| EvaluateError::Optimization(e.to_string()))?;
    Ok(rates
        .rates
        .iter()
        .map(|rate| {
            let reached = |x: f64| match goal {
                Goal::Minimize => x <= rate.threshold,
                Goal::Maximize => x >= rate.threshold,
            };
            let values = figures::flags(rates.best.iter().map(|b| b.is_some_and(reached)));
            let protocol =
                format!("starts whose best valid {property} reaches {:.6}; {source}", rate.threshold);
            figures::mean(format!("sr{}", rate.percent), &values, None, bootstrap, protocol)
        })
        .collect())
}

/// The benchmark's name on the command line.
fn benchmark_name(benchmark: Benchmark) -> &'static str {
    match benchmark {
        Benchmark::Mp20 => "mp-20",
        Benchmark::Carbon24 => "carbon-24",
        Benchmark::Perov5 => "perov-5",
    }
}

/// Structures ready for the matcher, `None` for those that are no crystals.
pub(super) fn prepare(
    matcher: &StructureMatcher,
    listing: &Listing,
    stage: &str,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<(Vec<usize>, Vec<Prepared>), RunError> {
    let built: Vec<usize> = (0..listing.len())
        .filter(|&i| listing.items[i].structure().is_some_and(|s| s.lattice.volume() >= MIN_VOLUME))
        .collect();
    let structures: Vec<_> = built.iter().filter_map(|&i| listing.items[i].structure()).collect();
    let prepared = in_chunks(&structures, stage, watch, stop, |s| matcher.prepare(s))?;
    Ok((built, prepared))
}

/// Uniqueness, and novelty where there is a training set.
fn novelty_figures(
    matcher: &StructureMatcher,
    sets: Sets<'_>,
    generated: &[Descriptors],
    metrics: &GenerationMetrics,
    settings: &GenerationSettings,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<(Vec<Figure>, Option<String>), RunError> {
    let (built, prepared) = prepare(matcher, sets.generated, "reducing generated cells", watch, stop)?;
    watch.observe(Event::Progress { stage: "comparing generated structures", done: 0, total: 0 });
    let (component, mut unfinished) = components(matcher, &prepared);
    let count = component.iter().flatten().max().map_or(0, |c| c + 1);
    let of = generated.len();
    let rule = format!(
        "over all generated; matcher ltol {}, stol {}, angle {}°; structures joined by matches are one",
        matcher.ltol, matcher.stol, matcher.angle_tol
    );
    let bootstrap = settings.bootstrap.as_ref();
    let share = |key: &str, count: usize, against: Option<usize>, protocol: &str| Figure {
        key: key.into(),
        value: Some(count as f64 / of as f64),
        problem: None,
        of,
        against,
        protocol: protocol.into(),
        interval: None,
    };
    let mut all = vec![share("unique", count, None, &rule)];
    if let Some(train) = sets.train {
        let (rows, training) = prepare(matcher, train, "reducing training cells", watch, stop)?;
        watch.observe(Event::Progress { stage: "looking for training structures", done: 0, total: 0 });
        let (hits, more) = training_matches(matcher, &prepared, &training);
        unfinished.extend(more);
        let against = Some(rows.len());
        let novel: Vec<bool> =
            component.iter().zip(&hits).map(|(c, hit)| c.is_some() && hit.is_none()).collect();
        let mut flags = vec![false; of];
        for (&row, &novel) in built.iter().zip(&novel) {
            flags[row] = novel;
        }
        let against_train = format!("no match among {} training structures; {rule}", rows.len());
        all.push(figures::mean("novel", &figures::flags(flags), against, bootstrap, against_train.as_str()));
        let (mut known, mut valid) = (vec![false; count], vec![false; count]);
        for ((component, hit), &row) in component.iter().zip(&hits).zip(&built) {
            if let Some(c) = *component {
                known[c] |= hit.is_some();
                valid[c] |= metrics.invalid[row].is_none();
            }
        }
        let fresh = known.iter().filter(|k| !**k).count();
        let sound = known.iter().zip(&valid).filter(|(k, v)| !**k && **v).count();
        all.push(share("unique_novel", fresh, against, &against_train));
        let with_valid = format!("a member is valid; {against_train}");
        all.push(share("valid_unique_novel", sound, against, &with_valid));
    }
    unfinished.sort_unstable();
    unfinished.dedup();
    let remark = (!unfinished.is_empty()).then(|| {
        format!("{} structures have comparisons that were given up and count as different", unfinished.len())
    });
    Ok((all, remark))
}

/// The generated structures closest to the reference and farthest from it, by fingerprint.
fn neighbors(
    sets: Sets<'_>,
    places: &[usize],
    generated: &[Descriptors],
    reference: &[Descriptors],
    metrics: &GenerationMetrics,
) -> (Vec<Neighbor>, Vec<Neighbor>) {
    let Some(found) = &metrics.coverage else { return Default::default() };
    let mut all: Vec<Neighbor> = found
        .generated
        .iter()
        .zip(&found.coverage.precision_structure)
        .map(|(&i, nearest)| {
            let j = found.reference[nearest.index];
            Neighbor {
                index: i,
                id: sets.generated.items[i].id.clone(),
                formula: generated[i].composition.reduced_formula(),
                reference: sets.reference.items[places[j]].id.clone(),
                reference_formula: reference[j].composition.reduced_formula(),
                distance: nearest.distance,
                invalid: metrics.invalid[i].clone(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
    let worst = all.iter().rev().take(LISTED).cloned().collect();
    all.truncate(LISTED);
    (all, worst)
}
