//! The objective of a batch and its gradient, piece by piece.
//!
//! On the CPU a batch is cut into pieces of a few atoms each: their activations fit the caches, memory does not grow
//! with the batch, and pieces run on all threads. The cut depends on the batch alone and gradients are added in the
//! order of the pieces, so the result is the same for any number of threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::device::is_host;
use druse_nn::optim::{Grads, sum_grads};
use rayon::prelude::*;

use crate::{Generator, LossTerm, ModelError, NoiseKey};

/// Atoms in one piece of a batch on the CPU.
const PIECE_ATOMS: usize = 48;

/// Value of an objective: total and named parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// What is minimised.
    pub total: f64,
    /// Means of the parts.
    pub parts: Vec<(&'static str, f64)>,
}

/// Cuts a batch into pieces of at most `limit` atoms (or one structure).
fn pieces(batch: &[&Structure], limit: usize) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let (mut start, mut atoms) = (0, 0);
    for (i, s) in batch.iter().enumerate() {
        if i > start && atoms + s.len() > limit {
            cuts.push(start..i);
            (start, atoms) = (i, 0);
        }
        atoms += s.len();
    }
    if start < batch.len() {
        cuts.push(start..batch.len());
    }
    cuts
}

fn pieces_for(params: &Params, batch: &[&Structure]) -> Vec<Range<usize>> {
    pieces(batch, if is_host(params.device()) { PIECE_ATOMS } else { usize::MAX })
}

struct Piece {
    sums: Vec<(&'static str, f64, f64)>,
}

fn scalar(t: &Tensor<1>) -> f64 {
    let values = t.to_data().try_into_vec::<f32>().expect("losses are 32-bit floats");
    f64::from(values[0])
}

fn collect(pieces: &[Piece]) -> Objective {
    let mut totals: Vec<(&'static str, f64, f64)> = Vec::new();
    for piece in pieces {
        if totals.is_empty() {
            totals.clone_from(&piece.sums);
        } else {
            for (total, part) in totals.iter_mut().zip(&piece.sums) {
                total.1 += part.1;
                total.2 += part.2;
            }
        }
    }
    let parts: Vec<_> = totals.into_iter().map(|(name, sum, count)| (name, sum / count.max(1.0))).collect();
    Objective { total: parts.iter().map(|p| p.1).sum(), parts }
}

fn sums(terms: &[LossTerm]) -> Vec<(&'static str, f64, f64)> {
    terms.iter().map(|t| (t.name, scalar(&t.sum), t.count)).collect()
}

/// The objective on a batch, without gradients.
///
/// # Errors
/// [`ModelError`] when a structure cannot be represented.
pub fn evaluate(
    model: &dyn Generator,
    params: &Params,
    batch: &[&Structure],
    noise: &[NoiseKey],
) -> Result<Objective, ModelError> {
    let pieces: Result<Vec<Piece>, ModelError> = pieces_for(params, batch)
        .into_par_iter()
        .map(|r| {
            let terms = model.loss(params, &batch[r.clone()], &noise[r])?;
            Ok(Piece { sums: sums(&terms) })
        })
        .collect();
    Ok(collect(&pieces?))
}

/// The objective on a batch and its gradient with respect to every parameter.
///
/// # Errors
/// [`ModelError`] when a structure cannot be represented or the batch is empty.
pub fn differentiate(
    model: &dyn Generator,
    params: &Params,
    batch: &[&Structure],
    noise: &[NoiseKey],
) -> Result<(Objective, Grads), ModelError> {
    let counts = model.loss_counts(batch);
    let total = Mutex::new(OrderedSum::default());
    let pieces: Vec<Piece> = pieces_for(params, batch)
        .into_par_iter()
        .enumerate()
        .map(|(i, r)| {
            let tracked = params.tracked();
            let terms = model.loss(&tracked, &batch[r.clone()], &noise[r])?;
            let grads = tracked.gradients(&combine(&terms, &counts)?);
            total.lock().unwrap_or_else(PoisonError::into_inner).add(i, grads);
            Ok(Piece { sums: sums(&terms) })
        })
        .collect::<Result<_, ModelError>>()?;
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    let grads = total.sum.ok_or_else(|| ModelError::Config("an empty batch has no gradient".into()))?;
    Ok((collect(&pieces), grads))
}

/// Adds gradients in the order of the pieces while they arrive in any order: the result does not depend on which was
/// ready first, and few are held at a time.
#[derive(Default)]
struct OrderedSum {
    sum: Option<Grads>,
    next: usize,
    waiting: BTreeMap<usize, Grads>,
}

impl OrderedSum {
    fn add(&mut self, index: usize, grads: Grads) {
        self.waiting.insert(index, grads);
        while let Some(grads) = self.waiting.remove(&self.next) {
            self.sum = sum_grads(self.sum.take().into_iter().chain([grads]));
            self.next += 1;
        }
    }
}

/// Sum of the terms of one piece, each divided by its number of items in the whole batch.
fn combine(terms: &[LossTerm], counts: &[f64]) -> Result<Tensor<1>, ModelError> {
    terms
        .iter()
        .zip(counts)
        .map(|(t, count)| t.sum.clone().div_scalar(count.max(1.0)))
        .reduce(|a, b| a + b)
        .ok_or_else(|| ModelError::Config("a model without loss terms".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use druse_crystal::{Element, Lattice};

    #[test]
    fn pieces_cover_the_batch_in_order() {
        let of = |n: usize| {
            let species = vec![Element::from_z(6).unwrap(); n];
            Structure::new(Lattice::cubic(5.0).unwrap(), species, vec![[0.0; 3]; n]).unwrap()
        };
        let all = [of(20), of(20), of(20), of(60), of(1)];
        let batch: Vec<_> = all.iter().collect();
        assert_eq!(pieces(&batch, 48), vec![0..2, 2..3, 3..4, 4..5]);
        assert_eq!(pieces(&batch, usize::MAX), vec![0..5]);
        assert!(pieces(&[], 48).is_empty());
    }
}
