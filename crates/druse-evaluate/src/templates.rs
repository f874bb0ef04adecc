//! Whether predictions have the space group and the Wyckoff sites of their references.

use std::sync::atomic::AtomicBool;

use druse_crystal::Structure;
use druse_data::Item;
use druse_data::substitution::Arrangement;
use druse_metrics::Metric;
use druse_metrics::reconstruction::template_metrics;

use crate::judge::Judge;
use crate::parallel::in_chunks;
use crate::{EvaluateError, Observer, Sets};

/// The rule of the comparison, for protocols.
pub(crate) fn rule(symprec: f64) -> String {
    format!("space group at {symprec} Å, multiplicities and site symmetries of each element")
}

/// The templates of the references.
///
/// # Errors
/// [`EvaluateError::Interrupted`].
pub(crate) fn of_references(
    references: &[&Structure],
    symprec: f64,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Vec<Arrangement>, EvaluateError> {
    in_chunks(references, "templates of the references", watch, stop, |s| {
        Arrangement::of_structure(s, symprec)
    })
}

/// `template_match` of the predictions: `rows[i]` are those of the reference with the template `references[i]`.
///
/// # Errors
/// [`EvaluateError::Interrupted`].
pub(crate) fn metrics(
    sets: Sets<'_>,
    judge: &Judge<'_>,
    (references, symprec): (&[Arrangement], f64),
    rows: &[Vec<usize>],
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Vec<Metric>, EvaluateError> {
    let of = |item: &Item| item.structure().map(|s| Arrangement::of_structure(s, symprec));
    let predicted = in_chunks(&sets.generated.items, "templates of the predictions", watch, stop, of)?;
    let same = |(reference, rows): (&Arrangement, &Vec<usize>)| {
        rows.iter().map(|&row| predicted[row].as_ref() == Some(reference)).collect()
    };
    let same: Vec<Vec<bool>> = references.iter().zip(rows).map(same).collect();
    Ok(template_metrics(&same, judge.candidates, judge.bootstrap, &rule(symprec)))
}
