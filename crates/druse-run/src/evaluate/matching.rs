//! Predictions against the structures they are meant to be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use druse_crystal::Structure;
use druse_data::{Cache, Item, properties};
use druse_metrics::descriptors::DescriptorSettings;
use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::{Figure, Protocol};
use druse_metrics::matcher::{Displacement, StructureMatcher};
use druse_metrics::reconstruction::{match_everyone, reconstruct};

use super::describe::describe;
use super::evaluation::{Evaluation, FORMAT, Neighbor, RowReason, SetSummary, Task};
use super::generation::{prepare, some_structures};
use super::{EvaluateError, Sets, figures};
use crate::{Event, Observer, RunError};

/// References compared between two looks at the stop flag.
const CHUNK: usize = 64;
/// Numbers of candidates that figures are given for, below the largest number of candidates.
const STEPS: [usize; 6] = [1, 5, 10, 20, 50, 100];
/// Structures in the lists of the closest and the farthest ones.
const LISTED: usize = 12;

/// Which predictions belong to which reference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pairing {
    /// By identifier where every prediction's is that of a reference, else by order.
    #[default]
    Auto,
    /// The i-th prediction belongs to the i-th reference.
    Order,
    /// Predictions carry the identifier of their reference.
    Id,
    /// Predictions carry the identifier of their reference in this property.
    Property(String),
}

/// How predictions are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchingSettings {
    /// [`Task::Reconstruction`] or [`Task::Prediction`].
    pub task: Task,
    /// The rules of validity: an invalid prediction matches nothing.
    pub protocol: Protocol,
    /// What is said of all figures.
    pub remarks: Vec<String>,
    /// The matcher.
    pub matcher: StructureMatcher,
    /// Which predictions belong to which reference.
    pub pairing: Pairing,
    /// Resamples of the bootstrap over references; `None` for no intervals.
    pub bootstrap: Option<Bootstrap>,
    /// Where features are kept.
    pub cache: Cache,
}

/// Evaluates predictions against their references.
///
/// # Errors
/// [`RunError::Evaluate`] when they cannot be paired, [`RunError::Interrupted`].
pub fn matching(
    sets: Sets<'_>,
    settings: &MatchingSettings,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Evaluation, RunError> {
    some_structures(sets.reference, "reference")?;
    let (candidates, how) = pair(sets, settings)?;
    let wanted = DescriptorSettings { fingerprint: settings.protocol.fingerprint, symprec: None };
    let described =
        describe(sets.generated, &wanted, &settings.cache, "validity of the predictions", watch, stop)?;
    let protocol = &settings.protocol;
    let invalid: Vec<Option<String>> = described
        .descriptors
        .iter()
        .map(|d| d.invalid_because(protocol.composition, protocol.structure, protocol.fingerprint))
        .collect();
    let mut remarks = settings.remarks.clone();
    remarks.push(how);

    // References without a structure cannot be found by anyone.
    let left_out = RowReason::without_structure(sets.reference);
    let places: Vec<usize> =
        (0..sets.reference.len()).filter(|&i| sets.reference.items[i].outcome.is_ok()).collect();
    let references: Vec<&Structure> =
        places.iter().filter_map(|&i| sets.reference.items[i].structure()).collect();
    let rows: Vec<Vec<usize>> = places.iter().map(|&i| candidates[i].clone()).collect();
    let mut displacements: Vec<Vec<Option<Displacement>>> = Vec::with_capacity(references.len());
    let mut unfinished = 0;
    for (chunk, rows) in references.chunks(CHUNK).zip(rows.chunks(CHUNK)) {
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted);
        }
        let own: Vec<Vec<Option<&Structure>>> = rows
            .iter()
            .map(|rows| rows.iter().map(|&row| sets.generated.items[row].structure()).collect())
            .collect();
        let compared = reconstruct(&settings.matcher, chunk, &own);
        unfinished += compared.unfinished.len();
        displacements.extend(compared.displacements);
        let (done, total) = (displacements.len(), references.len());
        watch.observe(Event::Progress { stage: "matching", done, total });
    }
    if unfinished > 0 {
        remarks.push(format!(
            "{unfinished} comparisons were given up; they count with what was found until then"
        ));
    }
    let run = Run { settings, rows: &rows, displacements: &displacements, invalid: &invalid };
    let mut all = run.figures();
    all.extend(everyone(sets, settings, &invalid, watch, stop)?);
    let (best, worst) = run.neighbors(sets, &places);
    let evaluation = Evaluation {
        format: FORMAT,
        druse: env!("CARGO_PKG_VERSION").to_owned(),
        task: settings.task,
        generated: SetSummary::of(sets.generated),
        reference: SetSummary::of(sets.reference),
        train: None,
        protocol: protocol.clone(),
        remarks,
        metrics: Default::default(),
        figures: all,
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
    };
    Ok(evaluation.with_metrics())
}

/// The prediction rows of each reference row, and in words how they were found.
fn pair(sets: Sets<'_>, settings: &MatchingSettings) -> Result<(Vec<Vec<usize>>, String), EvaluateError> {
    let (predictions, references) = (&sets.generated.items, &sets.reference.items);
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    let mut repeated = None;
    for (i, item) in references.iter().enumerate() {
        if by_id.insert(&item.id, i).is_some() {
            repeated.get_or_insert(&item.id);
        }
    }
    let grouped = |name: &dyn Fn(&Item) -> Option<String>, what: &str| {
        if let Some(id) = repeated {
            return Err(EvaluateError::Pairing(format!("the reference identifier `{id}` occurs twice")));
        }
        let mut rows = vec![Vec::new(); references.len()];
        for (row, item) in predictions.iter().enumerate() {
            let id = name(item).ok_or_else(|| {
                EvaluateError::Pairing(format!(
                    "the prediction `{}` (row {}) has no {what}",
                    item.id,
                    row + 1
                ))
            })?;
            let place = by_id.get(id.as_str()).ok_or_else(|| {
                EvaluateError::Pairing(format!(
                    "the {what} `{id}` of prediction {} is that of no reference",
                    row + 1
                ))
            })?;
            rows[*place].push(row);
        }
        Ok(rows)
    };
    let own_id = |item: &Item| Some(item.id.clone());
    let in_order = || {
        if predictions.len() == references.len() {
            return Ok((0..references.len()).map(|i| vec![i]).collect());
        }
        Err(EvaluateError::Pairing(format!(
            "{} predictions and {} references cannot be paired in order, and their identifiers do not agree",
            predictions.len(),
            references.len()
        )))
    };
    let (rows, how): (Vec<Vec<usize>>, &str) = match &settings.pairing {
        Pairing::Order => (in_order()?, "paired in order"),
        Pairing::Id => (grouped(&own_id, "identifier")?, "paired by identifier"),
        Pairing::Property(name) => {
            let of = |item: &Item| item.properties().get(name).map(properties::text);
            (grouped(&of, name)?, "paired by property")
        }
        Pairing::Auto => match grouped(&own_id, "identifier") {
            Ok(rows) => (rows, "paired by identifier"),
            Err(_) => (in_order()?, "paired in order"),
        },
    };
    let largest = rows.iter().map(Vec::len).max().unwrap_or(0);
    if settings.task == Task::Reconstruction && largest > 1 {
        return Err(EvaluateError::Pairing(format!(
            "a reference has {largest} predictions; that is the task `prediction`"
        )));
    }
    let missing = rows.iter().filter(|r| r.is_empty()).count();
    let missing = match missing {
        0 => String::new(),
        n => format!("; {n} references have no prediction and count as not matched"),
    };
    Ok((rows, format!("predictions and references are {how}{missing}")))
}

/// What the figures of own candidates come from.
struct Run<'a> {
    settings: &'a MatchingSettings,
    rows: &'a [Vec<usize>],
    displacements: &'a [Vec<Option<Displacement>>],
    invalid: &'a [Option<String>],
}

impl Run<'_> {
    /// Smallest RMS distance of the first `k` candidates of each reference.
    fn best(&self, k: usize, valid_only: bool) -> Vec<Option<f64>> {
        let counts = |row: usize| !valid_only || self.invalid[row].is_none();
        self.rows
            .iter()
            .zip(self.displacements)
            .map(|(rows, found)| {
                let first = rows.iter().zip(found).take(k);
                first.filter(|(row, _)| counts(**row)).filter_map(|(_, d)| Some((*d)?.rms)).reduce(f64::min)
            })
            .collect()
    }

    fn figures(&self) -> Vec<Figure> {
        let largest = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let m = &self.settings.matcher;
        let rule = format!("matcher ltol {}, stol {}, angle {}°", m.ltol, m.stol, m.angle_tol);
        let mut all = Vec::new();
        let mut three = |suffix: &str, best: Vec<Option<f64>>, which: &str| {
            let bootstrap = self.settings.bootstrap.as_ref();
            let flags = figures::flags(best.iter().map(Option::is_some));
            let matched: Vec<f64> = best.iter().copied().flatten().collect();
            let all_counted: Vec<f64> = best.iter().map(|d| d.unwrap_or(m.stol)).collect();
            let of_all = format!("all references; {which}; {rule}");
            let rate = figures::mean(format!("match_rate{suffix}"), &flags, None, bootstrap, of_all.as_str());
            let of_matched = format!("matched references; {which}; {rule}");
            let rms = figures::mean(format!("rms_dist{suffix}"), &matched, None, bootstrap, of_matched);
            let counted = format!("{of_all}; unmatched ones count {}", m.stol);
            let crmse = figures::mean(format!("crmse{suffix}"), &all_counted, None, bootstrap, counted);
            all.extend([rate, rms, crmse]);
        };
        let which = match largest {
            0 | 1 => "the valid prediction".to_owned(),
            k => format!("best of up to {k} candidates, valid ones"),
        };
        three("", self.best(usize::MAX, true), &which);
        if self.settings.task == Task::Prediction {
            for k in STEPS.into_iter().filter(|&k| k < largest).chain([largest.max(1)]) {
                let which = format!("best of the first {k} candidates, valid ones");
                three(&format!("_k{k}"), self.best(k, true), &which);
            }
        }
        three("_without_validity", self.best(usize::MAX, false), "valid or not");
        all
    }

    /// The closest matches, and the references that were missed or matched worst.
    fn neighbors(&self, sets: Sets<'_>, places: &[usize]) -> (Vec<Neighbor>, Vec<Neighbor>) {
        let formula = |item: &Item| item.composition().map(|c| c.reduced_formula()).unwrap_or_default();
        let mut all = Vec::new();
        for ((&place, rows), found) in places.iter().zip(self.rows).zip(self.displacements) {
            let best = rows
                .iter()
                .zip(found)
                .filter_map(|(&row, d)| Some((row, (*d)?.rms)))
                .min_by(|a, b| a.1.total_cmp(&b.1));
            let Some((row, distance)) = best else { continue };
            let (item, reference) = (&sets.generated.items[row], &sets.reference.items[place]);
            all.push(Neighbor {
                index: row,
                id: item.id.clone(),
                formula: formula(item),
                reference: reference.id.clone(),
                reference_formula: formula(reference),
                distance,
                invalid: self.invalid[row].clone(),
            });
        }
        all.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
        let worst = all.iter().rev().take(LISTED).cloned().collect();
        all.truncate(LISTED);
        (all, worst)
    }
}

/// METRe: each reference against all valid predictions.
fn everyone(
    sets: Sets<'_>,
    settings: &MatchingSettings,
    invalid: &[Option<String>],
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<[Figure; 3], RunError> {
    let matcher = &settings.matcher;
    let (rows, prepared) = prepare(matcher, sets.generated, "reducing predictions", watch, stop)?;
    let generated: Vec<_> =
        rows.iter().zip(prepared).filter(|(row, _)| invalid[**row].is_none()).map(|(_, p)| p).collect();
    let (_, references) = prepare(matcher, sets.reference, "reducing references", watch, stop)?;
    let mut closest = Vec::with_capacity(references.len());
    for chunk in references.chunks(CHUNK) {
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted);
        }
        let found = match_everyone(matcher, chunk, &generated);
        closest.extend(found.closest.into_iter().map(|c| c.map(|(_, d)| d.rms)));
        let (done, total) = (closest.len(), references.len());
        watch.observe(Event::Progress { stage: "matching everyone", done, total });
    }
    let rule = format!(
        "any valid prediction may match; matcher ltol {}, stol {}, angle {}°",
        matcher.ltol, matcher.stol, matcher.angle_tol
    );
    let (bootstrap, against) = (settings.bootstrap.as_ref(), Some(generated.len()));
    let matched: Vec<f64> = closest.iter().copied().flatten().collect();
    let counted: Vec<f64> = closest.iter().map(|d| d.unwrap_or(matcher.stol)).collect();
    let flags = figures::flags(closest.iter().map(Option::is_some));
    Ok([
        figures::mean("metre", &flags, against, bootstrap, format!("all references; {rule}")),
        figures::mean("metre_rms_dist", &matched, against, bootstrap, format!("matched references; {rule}")),
        figures::mean(
            "metre_crmse",
            &counted,
            against,
            bootstrap,
            format!("all references; {rule}; unmatched ones count {}", matcher.stol),
        ),
    ])
}
