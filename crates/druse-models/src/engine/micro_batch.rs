//! Work on micro-batches.

use burn::tensor::Device;
use druse_crystal::{Composition, Element, Structure};
use druse_nn::device::is_host;
use druse_nn::memory::{ComputeError, guarded};
use druse_nn::ops::with_idle_threads;
use rayon::prelude::*;

use crate::traits::cut;
use crate::{MicroBatchLimit, ModelError};

/// The error of a structure that does not fit into memory by itself.
pub(crate) fn too_large(species: &[Element]) -> ModelError {
    ModelError::TooLarge { what: Composition::from_species(species).formula(), atoms: species.len() }
}

/// Applies `work` to consecutive micro-batches of `items`: on the CPU side by side on all threads, cut as suits its caches; on
/// an accelerator one after the other, of at most as many atoms as the limit allows (or one item). One that does not fit into
/// the accelerator's memory is halved, and so is the limit. An item for which there is no result, because it does not fit by
/// itself or because its micro-batch failed, is handed to `refuse`.
pub(crate) fn for_each_micro_batch<T: Send>(
    items: &mut [T],
    device: &Device,
    limit: &MicroBatchLimit,
    atoms: impl Fn(&T) -> usize,
    work: impl Fn(&mut [T]) -> Result<(), ModelError> + Sync,
    refuse: impl Fn(&mut T, ModelError) + Sync,
) {
    if !is_host(device) {
        return in_order(items, limit, atoms, work, refuse);
    }
    let sizes: Vec<usize> = items.iter().map(&atoms).collect();
    let (mut rest, mut micro_batches) = (items, Vec::new());
    for range in limit.cut(sizes.into_iter()) {
        let (micro_batch, others) = rest.split_at_mut(range.len());
        micro_batches.push(micro_batch);
        rest = others;
    }
    let one = |micro_batch: &mut [T]| {
        if let Err(error) = with_idle_threads(|| work(micro_batch)) {
            micro_batch.iter_mut().for_each(|item| refuse(item, error.clone()));
        }
    };
    // A single one stays on this thread: handing it to the pool and waiting costs a good part of a small model's step.
    match micro_batches.pop() {
        Some(only) if micro_batches.is_empty() => one(only),
        last => {
            micro_batches.extend(last);
            micro_batches.into_par_iter().for_each(one);
        }
    }
}

/// The results of `work` on consecutive micro-batches of structures, one for each structure and in their order, as
/// [`for_each_micro_batch`] runs it.
///
/// # Errors
/// The first error in the order of the structures.
pub(crate) fn map_micro_batches<R: Send>(
    structures: &[&Structure],
    device: &Device,
    work: impl Fn(&[&Structure]) -> Result<Vec<R>, ModelError> + Sync,
) -> Result<Vec<R>, ModelError> {
    let limit = MicroBatchLimit::for_device(device);
    let unanswered = || Err(ModelError::Output("a structure was left out".into()));
    let mut items: Vec<(&Structure, Result<R, ModelError>)> =
        structures.iter().map(|s| (*s, unanswered())).collect();
    for_each_micro_batch(
        &mut items,
        device,
        &limit,
        |(s, _)| s.len(),
        |items| {
            let structures: Vec<&Structure> = items.iter().map(|(s, _)| *s).collect();
            let results = work(&structures)?;
            items.iter_mut().zip(results).for_each(|((_, result), value)| *result = Ok(value));
            Ok(())
        },
        |(s, result), error| {
            let alone = matches!(error, ModelError::Compute(ComputeError::OutOfMemory(_)));
            *result = Err(if alone { too_large(&s.species) } else { error });
        },
    );
    items.into_iter().map(|(_, result)| result).collect()
}

/// [`for_each_micro_batch`] on an accelerator.
fn in_order<T>(
    items: &mut [T],
    limit: &MicroBatchLimit,
    atoms: impl Fn(&T) -> usize,
    work: impl Fn(&mut [T]) -> Result<(), ModelError>,
    refuse: impl Fn(&mut T, ModelError),
) {
    let mut first = 0;
    while first < items.len() {
        let rest = &mut items[first..];
        let end = cut(rest.iter().map(&atoms), limit.atoms())[0].end;
        let micro_batch = &mut rest[..end];
        match guarded(|| work(micro_batch)) {
            Ok(()) => first += end,
            Err(ModelError::Compute(ComputeError::OutOfMemory(_))) if end > 1 => {
                limit.halve(micro_batch.iter().map(&atoms).sum());
            }
            Err(e) => {
                micro_batch.iter_mut().for_each(|item| refuse(item, e.clone()));
                first += end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A device that holds `capacity` atoms; returns the micro-batches it worked on and the items that were refused.
    fn on_device(sizes: &[usize], limit: &MicroBatchLimit, capacity: usize) -> (Vec<Vec<usize>>, Vec<usize>) {
        let (done, refused) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let mut items = sizes.to_vec();
        let full = || ModelError::Compute(ComputeError::OutOfMemory("full".into()));
        in_order(
            &mut items,
            limit,
            |&atoms| atoms,
            |micro_batch| {
                if micro_batch.iter().sum::<usize>() > capacity {
                    return Err(full());
                }
                done.borrow_mut().push(micro_batch.to_vec());
                Ok(())
            },
            |&mut atoms, e| {
                assert_eq!(e, full());
                refused.borrow_mut().push(atoms);
            },
        );
        (done.into_inner(), refused.into_inner())
    }

    #[test]
    fn micro_batches_that_do_not_fit_are_halved_and_the_limit_is_kept() {
        let limit = MicroBatchLimit::atoms_at_most(100);
        let (done, refused) = on_device(&[10, 10, 10, 10, 30, 10, 10], &limit, 35);
        assert_eq!(done, [vec![10, 10], vec![10, 10], vec![30], vec![10, 10]]);
        assert!(refused.is_empty());
        assert_eq!(limit.atoms(), 20);
        let (done, refused) = on_device(&[10, 40, 10], &limit, 35);
        assert_eq!((done, refused), (vec![vec![10], vec![10]], vec![40]));
    }
}
