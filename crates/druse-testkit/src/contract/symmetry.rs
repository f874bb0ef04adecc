//! Checks of what a symmetry leaves alone: the objective with equal noise, and outputs that stand for a structure.

use druse_crystal::Structure;
use druse_models::Model;

use super::crystals::{doubled, formula, other_cell, permuted, rotated, translated};
use super::{Check, Finding, Fitted, keys, on_threads, refs, text};

pub(super) fn keeps(fitted: &Fitted<'_>, symmetry: Check) -> Finding {
    let transform = match symmetry {
        Check::Rotation => rotated,
        Check::Translation => translated,
        Check::Permutation => permuted,
        Check::CellChoice => other_cell,
        Check::Supercell => doubled,
        other => return Err(format!("{other:?} is no symmetry")),
    };
    let limit = fitted.model.as_generator().ok().and_then(|g| g.capabilities().max_atoms);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let all: Vec<(&Structure, Structure)> = fitted.generic.iter().map(|s| (s, transform(s))).collect();
    for (s, transformed) in &all {
        // A supercell may have more atoms than the model can represent.
        if limit.is_none_or(|limit| transformed.len() <= limit) {
            before.push(*s);
            after.push(transformed);
        }
    }
    if before.len() < 2 {
        return Err(format!("the model is limited to {limit:?} atoms: too few for this check"));
    }
    let mut looked_at = Vec::new();
    let contract = fitted.contract;
    let always = matches!(symmetry, Check::Rotation | Check::Translation);
    if always || contract.objective_keeps.contains(&symmetry) {
        let parts =
            contract.parts.iter().find(|(check, _)| *check == symmetry).map(|(_, parts)| parts.as_slice());
        // Large batches, so that the cut is the same before and after.
        let (keys, limit) = (keys(before.len(), 0), fitted.loose());
        let [a, b] = [&before, &after].map(|structures| fitted.objectives(structures, &keys, &limit));
        fitted.same_objectives(&a?, &b?, parts)?;
        looked_at.push(match parts {
            Some(parts) => format!("{} of the objective", parts.join(", ")),
            None => "the objective".into(),
        });
    }
    if let Some(a) = outputs(&fitted.model, fitted, &before)? {
        tell_apart(&a)?;
        let b = outputs(&fitted.model, fitted, &after)?.unwrap_or_default();
        for ((s, a), b) in before.iter().zip(&a).zip(&b) {
            if let Some((a, b)) = a.iter().zip(b).find(|(a, b)| !fitted.close(**a, **b)) {
                return Err(format!("an output for {} is {a} and {b}", formula(s)));
            }
        }
        looked_at.push(format!("outputs of {} structures", a.len()));
    }
    Ok(looked_at.join(", "))
}

/// Predictions with their vectors, or means and logarithms of variances of latents; nothing for a model without such outputs.
///
/// Outside the symmetries they are compared to the last bit, so nothing is rounded here.
pub(super) fn outputs(
    model: &Model,
    fitted: &Fitted<'_>,
    structures: &[&Structure],
) -> Result<Option<Vec<Vec<f64>>>, String> {
    if let Ok(predictor) = model.as_predictor() {
        let values = predictor.predict(&fitted.params, structures).map_err(text)?;
        let vectors = predictor.embed(&fitted.params, structures).map_err(text)?;
        if vectors.len() != values.len() {
            return Err(format!("{} predictions, but {} vectors", values.len(), vectors.len()));
        }
        let rows = values.into_iter().zip(vectors);
        return Ok(Some(rows.map(|(value, vector)| [vec![value], vector].concat()).collect()));
    }
    if let Ok(autoencoder) = model.as_autoencoder() {
        let posteriors = autoencoder.encode(&fitted.params, structures).map_err(text)?;
        let numbers =
            |p: druse_models::Posterior| p.mean.into_iter().chain(p.log_variance).map(f64::from).collect();
        return Ok(Some(posteriors.into_iter().map(numbers).collect()));
    }
    Ok(None)
}

/// An output that is the same for all structures keeps everything and says nothing.
fn tell_apart(outputs: &[Vec<f64>]) -> Result<(), String> {
    match outputs.iter().all(|o| o == &outputs[0]) {
        true => Err("the outputs of all structures are the same: nothing was checked".into()),
        false => Ok(()),
    }
}

pub(super) fn outputs_in_company(fitted: &Fitted<'_>) -> Result<Option<String>, String> {
    let structures = refs(&fitted.generic);
    let Some(together) = outputs(&fitted.model, fitted, &structures)? else { return Ok(None) };
    tell_apart(&together)?;
    for (s, expected) in structures.iter().zip(&together) {
        if outputs(&fitted.model, fitted, &[s])?.as_deref() != Some(std::slice::from_ref(expected)) {
            return Err(format!("the output for {} alone is another than beside others", formula(s)));
        }
    }
    let reversed: Vec<&Structure> = structures.iter().rev().copied().collect();
    let mut other = outputs(&fitted.model, fitted, &reversed)?.unwrap_or_default();
    other.reverse();
    if other != together {
        return Err("outputs depend on the order of the structures".into());
    }
    if outputs(&fitted.model, fitted, &[])?.is_none_or(|none| !none.is_empty()) {
        return Err("no structures have outputs".into());
    }
    Ok(Some(format!("outputs of {} structures", together.len())))
}

pub(super) fn outputs_on_threads(fitted: &Fitted<'_>) -> Result<Option<String>, String> {
    // Enough for several micro-batches on a processor.
    let many: Vec<&Structure> = fitted.generic.iter().cycle().take(60).collect();
    let found = on_threads("outputs", || outputs(&fitted.model, fitted, &many))?;
    Ok(found.map(|outputs| format!("{} outputs", outputs.len())))
}
