//! Predictions against the structures they are meant to be.

use std::sync::atomic::AtomicBool;

use druse_crystal::Structure;
use druse_data::{Cache, Item};
use druse_metrics::Metric;
use druse_metrics::descriptors::DescriptorSettings;
use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::Protocol;
use druse_metrics::matcher::{Displacement, StructureMatcher};
use druse_metrics::reconstruction::{Compared, match_everyone, metre_metrics, reconstruct};

use crate::baseline::{Baseline, Wanted, substitution};
use crate::describe::describe;
use crate::evaluation::{ClosestReference, Evaluation, FORMAT, RowReason, SetSummary, Task};
use crate::judge::Judge;
use crate::pairing::{Paired, Pairing, pair};
use crate::parallel::check;
use crate::prepared::prepare;
use crate::rows::some_structures;
use crate::{EvaluateError, Observer, Progress, Sets, templates};

/// References compared between two looks at the stop flag.
const CHUNK: usize = 64;
/// Structures in the lists of the closest and the farthest ones.
const LISTED: usize = 12;

/// How predictions are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchingSettings {
    /// [`Task::Reconstruction`] or [`Task::Prediction`].
    pub task: Task,
    /// The rules of validity: an invalid prediction matches nothing.
    pub protocol: Protocol,
    /// The matcher.
    pub matcher: StructureMatcher,
    /// Which predictions belong to which reference.
    pub pairing: Pairing,
    /// Distance tolerance (Å) of the space groups that templates are compared by; `None` leaves templates out.
    pub symprec: Option<f64>,
    /// What is to be measured beside the predictions; it needs the training set ([`Sets::train`]).
    pub baseline: Option<Baseline>,
    /// Resamples of the bootstrap over references; `None` for no intervals.
    pub bootstrap: Option<Bootstrap>,
    /// Where features are kept.
    pub cache: Cache,
}

impl MatchingSettings {
    /// Matching with CDVAE's tolerances, templates at 0.1 Å, no baseline, 95 % intervals of 1,000 resamples, the default cache.
    pub fn new(task: Task, protocol: Protocol, pairing: Pairing) -> Self {
        Self {
            task,
            protocol,
            matcher: StructureMatcher::CDVAE,
            pairing,
            symprec: Some(0.1),
            baseline: None,
            bootstrap: Some(Bootstrap::default()),
            cache: Cache::Default,
        }
    }
}

/// Evaluates predictions against their references.
///
/// # Errors
/// [`EvaluateError::Pairing`] when they cannot be paired, [`EvaluateError::NoTraining`] for a baseline without a training
/// set, [`EvaluateError::Interrupted`].
pub fn matching(
    sets: Sets<'_>,
    settings: &MatchingSettings,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Evaluation, EvaluateError> {
    some_structures(sets.reference, "reference")?;
    if settings.baseline.is_some() && sets.train.is_none() {
        return Err(EvaluateError::NoTraining);
    }
    let Paired { rows: candidates, remark } = pair(sets, settings.task, &settings.pairing)?;
    let wanted = DescriptorSettings { fingerprint: settings.protocol.fingerprint, symprec: None };
    let described =
        describe(sets.generated, &wanted, &settings.cache, "validity of the predictions", watch, stop)?;
    let protocol = &settings.protocol;
    let invalid: Vec<Option<String>> = described
        .descriptors
        .iter()
        .map(|d| d.invalid_because(protocol.composition, protocol.structure, protocol.fingerprint))
        .collect();
    let mut remarks = vec![remark];

    // References without a structure cannot be found by anyone.
    let left_out = RowReason::without_structure(sets.reference);
    let kept: Vec<usize> =
        (0..sets.reference.len()).filter(|&i| sets.reference.items[i].structure().is_some()).collect();
    let references: Vec<&Structure> =
        kept.iter().filter_map(|&i| sets.reference.items[i].structure()).collect();
    let rows: Vec<Vec<usize>> = kept.iter().map(|&i| candidates[i].clone()).collect();
    let mut displacements: Vec<Vec<Option<Displacement>>> = Vec::with_capacity(references.len());
    let mut unfinished = 0;
    for (chunk, rows) in references.chunks(CHUNK).zip(rows.chunks(CHUNK)) {
        check(stop)?;
        let own: Vec<Vec<Option<&Structure>>> = rows
            .iter()
            .map(|rows| rows.iter().map(|&row| sets.generated.items[row].structure()).collect())
            .collect();
        let compared = reconstruct(&settings.matcher, chunk, &own);
        unfinished += compared.unfinished.len();
        displacements.extend(compared.displacements);
        let (done, total) = (displacements.len(), references.len());
        watch.observe(Progress { stage: "matching", done, total });
    }
    if unfinished > 0 {
        remarks.push(format!(
            "{unfinished} comparisons were given up; they count with what was found until then"
        ));
    }
    let valid: Vec<Vec<bool>> =
        rows.iter().map(|rows| rows.iter().map(|&row| invalid[row].is_none()).collect()).collect();
    let judge = Judge {
        matcher: &settings.matcher,
        protocol,
        bootstrap: settings.bootstrap.as_ref(),
        candidates: settings.task == Task::Prediction,
        symprec: settings.symprec,
    };
    let compared = Compared { matcher: judge.matcher, displacements: &displacements, valid: &valid };
    let mut all = compared.metrics(judge.candidates, judge.bootstrap);
    let mut of_references = None;
    if let Some(symprec) = settings.symprec {
        let found = templates::of_references(&references, symprec, watch, stop)?;
        all.extend(templates::metrics(sets, &judge, (&found, symprec), &rows, watch, stop)?);
        of_references = Some(found);
    }
    all.extend(everyone(sets, settings, &invalid, watch, stop)?);
    let mut train = None;
    if let (Some(Baseline::Substitute), Some(set)) = (settings.baseline, sets.train) {
        let count = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let wanted = Wanted { structures: &references, templates: of_references.as_deref() };
        let (metrics, remark) = substitution(set, wanted, count, &judge, watch, stop)?;
        all.extend(metrics);
        remarks.push(remark);
        train = Some(SetSummary::of(set));
    }
    let (best, worst) = neighbors(sets, &kept, &rows, &displacements, &invalid);
    let evaluation = Evaluation {
        format: FORMAT,
        druse: env!("CARGO_PKG_VERSION").to_owned(),
        task: settings.task,
        generated: SetSummary::of(sets.generated),
        reference: SetSummary::of(sets.reference),
        train,
        protocol: protocol.clone(),
        remarks,
        values: Default::default(),
        metrics: all,
        invalid: invalid
            .iter()
            .enumerate()
            .filter_map(|(i, reason)| Some(RowReason::of(sets.generated, i, reason.as_ref()?)))
            .collect(),
        left_out,
        best,
        worst,
        symmetry: None,
        charts: Vec::new(),
        stability: None,
    };
    Ok(evaluation.with_values())
}

/// The closest matches, and the references that were matched worst. Reference `kept[i]` has the predictions `rows[i]`.
fn neighbors(
    sets: Sets<'_>,
    kept: &[usize],
    rows: &[Vec<usize>],
    displacements: &[Vec<Option<Displacement>>],
    invalid: &[Option<String>],
) -> (Vec<ClosestReference>, Vec<ClosestReference>) {
    let formula = |item: &Item| item.composition().map(|c| c.reduced_formula()).unwrap_or_default();
    let mut all = Vec::new();
    for ((&at, rows), found) in kept.iter().zip(rows).zip(displacements) {
        let best = rows
            .iter()
            .zip(found)
            .filter_map(|(&row, d)| Some((row, (*d)?.rms)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((row, distance)) = best else { continue };
        let (item, reference) = (&sets.generated.items[row], &sets.reference.items[at]);
        all.push(ClosestReference {
            index: row,
            id: item.id.clone(),
            formula: formula(item),
            reference: reference.id.clone(),
            reference_formula: formula(reference),
            distance,
            invalid: invalid[row].clone(),
        });
    }
    all.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
    let worst = all.iter().rev().take(LISTED).cloned().collect();
    all.truncate(LISTED);
    (all, worst)
}

/// METRe: each reference against all valid predictions.
fn everyone(
    sets: Sets<'_>,
    settings: &MatchingSettings,
    invalid: &[Option<String>],
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<[Metric; 3], EvaluateError> {
    let matcher = &settings.matcher;
    let (rows, prepared) = prepare(matcher, sets.generated, "reducing predictions", watch, stop)?;
    let generated: Vec<_> =
        rows.iter().zip(prepared).filter(|(row, _)| invalid[**row].is_none()).map(|(_, p)| p).collect();
    let (_, references) = prepare(matcher, sets.reference, "reducing references", watch, stop)?;
    let mut closest = Vec::with_capacity(references.len());
    for chunk in references.chunks(CHUNK) {
        check(stop)?;
        let found = match_everyone(matcher, chunk, &generated);
        closest.extend(found.closest.into_iter().map(|c| c.map(|(_, d)| d.rms)));
        let (done, total) = (closest.len(), references.len());
        watch.observe(Progress { stage: "matching everyone", done, total });
    }
    Ok(metre_metrics(matcher, &closest, generated.len(), settings.bootstrap.as_ref()))
}
