//! Loss and gradient of a batch that is worked off in parts.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_models::{Generator, Loss, ModelError, NoiseKey};
use druse_nn::Params;
use druse_nn::optim::Grads;
use rayon::prelude::*;

/// A structure and the noise it receives.
type Item<'a> = (&'a Structure, NoiseKey);

/// A loss and its named parts as numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// The loss.
    pub loss: f64,
    /// Named parts.
    pub parts: BTreeMap<String, f64>,
}

impl Evaluation {
    fn read(loss: &Loss) -> Self {
        let parts = loss.parts.iter().map(|(name, value)| ((*name).to_owned(), number(value))).collect();
        Self { loss: number(&loss.total), parts }
    }

    /// Every number times a weight.
    pub fn scaled(mut self, weight: f64) -> Self {
        self.loss *= weight;
        self.parts.values_mut().for_each(|v| *v *= weight);
        self
    }

    /// The sum of two evaluations.
    pub fn plus(mut self, other: Self) -> Self {
        self.loss += other.loss;
        for (name, value) in other.parts {
            *self.parts.entry(name).or_insert(0.0) += value;
        }
        self
    }
}

fn number(t: &Tensor<1>) -> f64 {
    f64::from(t.clone().into_scalar::<f32>())
}

/// Cuts a batch into `n` parts of nearly equal length and gives each its share of the structures.
fn parts<'i, 'a>(items: &'i [Item<'a>], n: usize) -> Vec<(&'i [Item<'a>], f64)> {
    let n = n.clamp(1, items.len());
    (0..n)
        .map(|k| &items[k * items.len() / n..(k + 1) * items.len() / n])
        .map(|part| (part, part.len() as f64 / items.len() as f64))
        .collect()
}

fn loss(generator: &dyn Generator, params: &Params, items: &[Item<'_>]) -> Result<Loss, ModelError> {
    let (structures, keys): (Vec<_>, Vec<_>) = items.iter().copied().unzip();
    generator.loss(params, &structures, &keys)
}

/// Mean loss of a batch and its gradient. The batch is cut into `accumulate` × `slices` parts; `slices` of them are
/// differentiated side by side, the groups one after the other. Parts are summed in their order, so the result does
/// not depend on the number of threads.
///
/// # Errors
/// [`ModelError`] of the model.
pub fn gradient(
    generator: &dyn Generator,
    params: &Params,
    items: &[Item<'_>],
    accumulate: usize,
    slices: usize,
) -> Result<(Evaluation, Grads), ModelError> {
    let mut total: Option<(Evaluation, Grads)> = None;
    for group in parts(items, accumulate * slices).chunks(slices) {
        let done: Vec<_> = group
            .par_iter()
            .map(|&(part, weight)| {
                let tracked = params.tracked();
                let loss = loss(generator, &tracked, part)?;
                let evaluation = Evaluation::read(&loss).scaled(weight);
                let mut grads = tracked.gradients(&loss.total);
                if weight < 1.0 {
                    grads = grads.into_iter().map(|g| g.mul_scalar(weight)).collect();
                }
                Ok((evaluation, grads))
            })
            .collect::<Result<_, ModelError>>()?;
        for (evaluation, grads) in done {
            total = Some(match total {
                None => (evaluation, grads),
                Some((e, g)) => (e.plus(evaluation), g.into_iter().zip(grads).map(|(a, b)| a + b).collect()),
            });
        }
    }
    Ok(total.expect("a batch has at least one part"))
}

/// Mean loss of a batch without its gradient, cut into parts as [`gradient`] does.
///
/// # Errors
/// [`ModelError`] of the model.
pub fn evaluate(
    generator: &dyn Generator,
    params: &Params,
    items: &[Item<'_>],
    accumulate: usize,
    slices: usize,
) -> Result<Evaluation, ModelError> {
    let mut total = Evaluation::default();
    for group in parts(items, accumulate * slices).chunks(slices) {
        let done: Vec<_> = group
            .par_iter()
            .map(|&(part, weight)| Ok(Evaluation::read(&loss(generator, params, part)?).scaled(weight)))
            .collect::<Result<_, ModelError>>()?;
        total = done.into_iter().fold(total, Evaluation::plus);
    }
    Ok(total)
}
