//! What comes of some micro-batches of a batch: gradients, values of the objective, updates of buffers.

use burn::tensor::{Tensor, TensorData};
use druse_nn::memory::{ComputeError, to_host};
use druse_nn::ops::matrix;
use druse_nn::optim::{Grads, add_grads};
use druse_nn::{BufferUpdate, BufferUpdates, ParamGroup, Params};
use serde::{Deserialize, Serialize};

use super::tree::{Place, TreeSum};
use crate::{LossTerm, ModelError, Objective};

/// What comes of consecutive micro-batches of a batch.
#[derive(Default)]
pub struct Part {
    /// Sums of gradients, over the largest nodes of the tree that lie within the micro-batches.
    pub(super) grads: Vec<(Place, Grads)>,
    /// Sums of the parts of the objective over each micro-batch, in order.
    pub(super) sums: Sums,
    /// How the forward passes change buffers, in the order of the micro-batches.
    pub(super) buffers: BufferUpdates,
}

/// Sums of the parts of the objective over micro-batches, still on the device.
#[derive(Default)]
pub(super) struct Sums {
    /// Name and weight of each part; empty where another process has computed.
    terms: Vec<(&'static str, f64)>,
    /// Number of items of each part of each micro-batch.
    counts: Vec<f64>,
    sums: Vec<Tensor<1>>,
}

impl Sums {
    /// Those of one micro-batch.
    ///
    /// # Errors
    /// [`ModelError::Config`] without parts.
    pub(super) fn of(terms: &[LossTerm]) -> Result<Self, ModelError> {
        if terms.is_empty() {
            return Err(no_terms());
        }
        Ok(Self {
            terms: terms.iter().map(|t| (t.name, t.weight)).collect(),
            counts: terms.iter().map(|t| t.count).collect(),
            sums: vec![Tensor::cat(terms.iter().map(|t| t.sum.clone()).collect(), 0)],
        })
    }

    /// Appends those of later micro-batches.
    pub(super) fn append(&mut self, later: Self) {
        if self.terms.is_empty() {
            self.terms = later.terms;
        }
        self.counts.extend(later.counts);
        self.sums.extend(later.sums);
    }

    /// The objective, read at once.
    fn objective(self) -> Result<Objective, ModelError> {
        let Self { terms, counts, sums } = self;
        if sums.is_empty() {
            return Ok(Objective { total: 0.0, parts: Vec::new() });
        }
        if terms.is_empty() {
            return Err(no_terms());
        }
        let mut means = vec![(0.0, 0.0); terms.len()];
        for (i, (sum, count)) in to_host(Tensor::cat(sums, 0))?.into_iter().zip(counts).enumerate() {
            let (total, items) = &mut means[i % terms.len()];
            *total += f64::from(sum);
            *items += count;
        }
        let part =
            |(&(name, _), (sum, items)): (&(&'static str, f64), (f64, f64))| (name, sum / items.max(1.0));
        let parts: Vec<_> = terms.iter().zip(means).map(part).collect();
        let total = parts.iter().zip(&terms).map(|((_, mean), (_, weight))| weight * mean).sum();
        Ok(Objective { total, parts })
    }
}

/// Why nothing can be computed of a model without parts of an objective.
pub(super) fn no_terms() -> ModelError {
    ModelError::Config("a model without loss terms".into())
}

/// The objective, gradients and updates of buffers that parts of a batch of `of` micro-batches come to, in their order.
///
/// # Errors
/// [`ModelError`] when the device fails, or the parts are not those of the whole batch.
pub(super) fn join(
    parts: Vec<Part>,
    of: usize,
) -> Result<(Objective, Option<Grads>, BufferUpdates), ModelError> {
    let (mut sums, mut buffers) = (Sums::default(), BufferUpdates::default());
    let total = TreeSum::new(0..of, of, add_grads);
    let mut covered = 0;
    for part in parts {
        sums.append(part.sums);
        buffers.extend(part.buffers);
        for (place, grads) in part.grads {
            covered += place.span(of).len();
            total.add(place, grads);
        }
    }
    let mut nodes = total.finish().into_iter();
    let root = nodes.next().map(|(_, grads)| grads);
    if nodes.next().is_some() || (root.is_some() && covered != of) {
        return Err(ModelError::Config("the parts of a batch are not those of the whole".into()));
    }
    Ok((sums.objective()?, root, buffers))
}

/// A [`Part`] as numbers on the host, on its way between processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartNumbers {
    /// Level and index of the nodes of the tree that have gradients.
    pub nodes: Vec<(u32, usize)>,
    /// Number of items of each part of the objective of each micro-batch.
    pub counts: Vec<f64>,
    /// Positions of the tensors that are changed, with the momentum where one is averaged.
    pub buffers: Vec<(usize, Option<f64>)>,
    /// Gradients of all nodes, sums of the objective's parts, values for the buffers.
    #[serde(skip)]
    pub numbers: Vec<f32>,
}

impl Part {
    /// The numbers, read from the device.
    ///
    /// # Errors
    /// [`ComputeError`] when the device has failed.
    pub fn to_host(self) -> Result<PartNumbers, ComputeError> {
        let mut numbers = Vec::new();
        for grad in self.grads.iter().flat_map(|(_, grads)| grads) {
            numbers.extend(to_host(grad.clone())?);
        }
        for sums in self.sums.sums {
            numbers.extend(to_host(sums)?);
        }
        let mut buffers = Vec::new();
        for (i, update) in self.buffers.iter() {
            let (momentum, value) = match update {
                BufferUpdate::Set(value) => (None, value),
                BufferUpdate::Average { momentum, value } => (Some(*momentum), value),
            };
            buffers.push((i, momentum));
            numbers.extend(to_host(value.clone())?);
        }
        let nodes = self.grads.iter().map(|(place, _)| (place.level, place.index)).collect();
        Ok(PartNumbers { nodes, counts: self.sums.counts, buffers, numbers })
    }

    /// The part that another process has computed: gradients by the tensors of `group`.
    ///
    /// # Errors
    /// What is wrong, where the numbers are none of these parameters.
    pub fn from_host(part: PartNumbers, params: &Params, group: &ParamGroup) -> Result<Self, String> {
        let device = params.device();
        let PartNumbers { nodes, counts, buffers, numbers } = part;
        let mut rest = numbers.as_slice();
        let mut take = |n: usize| {
            let (taken, others) =
                rest.split_at_checked(n).ok_or_else(|| format!("{n} numbers are missing"))?;
            rest = others;
            Ok::<_, String>(taken.to_vec())
        };
        let mut grads = Vec::with_capacity(nodes.len());
        for (level, index) in nodes {
            let tensor = |&i: &usize| {
                let shape @ [rows, columns] = params.specs()[i].matrix_shape();
                Ok(Tensor::from_data(TensorData::new(take(rows * columns)?, shape), device))
            };
            let node = group.indices().iter().map(tensor).collect::<Result<Grads, String>>()?;
            grads.push((Place { level, index }, node));
        }
        let values = take(counts.len())?;
        let sums = match values.len() {
            0 => Vec::new(),
            n => vec![Tensor::from_data(TensorData::new(values, [n]), device)],
        };
        let mut updates = Vec::with_capacity(buffers.len());
        for (i, momentum) in buffers {
            let spec = params.specs().get(i).ok_or_else(|| format!("there is no tensor {i}"))?;
            let value = matrix(take(spec.len())?, spec.matrix_shape()[1], device);
            updates.push((
                i,
                match momentum {
                    None => BufferUpdate::Set(value),
                    Some(momentum) => BufferUpdate::Average { momentum, value },
                },
            ));
        }
        if !rest.is_empty() {
            return Err(format!("{} numbers are too many", rest.len()));
        }
        let buffers = BufferUpdates::collect(updates, params).ok_or("an update of a frozen tensor")?;
        Ok(Self { grads, sums: Sums { terms: Vec::new(), counts, sums }, buffers })
    }
}
