//! How much is computed at a time.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;
use druse_nn::device::is_host;

/// Atoms in one micro-batch on the CPU: their activations fit the caches. A micro-batch has costs of its own (it reads all weights and
/// makes a gradient for each), so for few atoms it is slower: for 48 by 5 to 20 %.
const HOST_ATOMS: usize = 96;

/// Micro-batches that a batch is cut into on the CPU, so that its threads have something to do, as long as that leaves
/// [`HOST_ATOMS_AT_LEAST`] for each. Not the number of threads: results must not depend on it.
const HOST_MICRO_BATCHES: usize = 8;

/// Atoms that a micro-batch is not made smaller than for the sake of their number.
const HOST_ATOMS_AT_LEAST: usize = 48;

/// Atoms in one micro-batch on an accelerator, to begin with. Training GemsDiff at the sizes of the paper keeps some
/// megabytes of activations for each atom; where this is too much for a device, the limit is lowered.
const ACCELERATOR_ATOMS: usize = 8192;

/// The largest number of atoms that are computed at a time. It is lowered when a device runs out of memory, and shared
/// by all that work on the device.
#[derive(Debug)]
pub struct MicroBatchLimit {
    atoms: AtomicUsize,
    /// Whether small batches are cut into smaller micro-batches, for the threads.
    spread: bool,
}

impl MicroBatchLimit {
    /// At most so many atoms, or one structure.
    pub fn atoms_at_most(atoms: usize) -> Self {
        Self { atoms: AtomicUsize::new(atoms.max(1)), spread: false }
    }

    /// What suits a device: little on the CPU, where it keeps activations in the caches and small batches feed several
    /// threads; much on an accelerator, which needs large operations.
    pub fn for_device(device: &Device) -> Self {
        match is_host(device) {
            true => Self { spread: true, ..Self::atoms_at_most(HOST_ATOMS) },
            false => Self::atoms_at_most(ACCELERATOR_ATOMS),
        }
    }

    /// The given limit, or what suits the device.
    pub fn new(atoms: Option<usize>, device: &Device) -> Self {
        atoms.map_or_else(|| Self::for_device(device), Self::atoms_at_most)
    }

    /// The limit now.
    pub fn atoms(&self) -> usize {
        self.atoms.load(Ordering::Relaxed)
    }

    /// Cuts a batch of items of so many atoms into micro-batches.
    pub(crate) fn cut(&self, sizes: impl Iterator<Item = usize> + Clone) -> Vec<Range<usize>> {
        let atoms = self.atoms();
        let share =
            if self.spread { sizes.clone().sum::<usize>().div_ceil(HOST_MICRO_BATCHES) } else { atoms };
        cut(sizes, share.max(HOST_ATOMS_AT_LEAST).min(atoms))
    }

    /// Half of what did not fit is the limit from now on.
    pub(crate) fn halve(&self, atoms_that_did_not_fit: usize) {
        self.atoms.fetch_min((atoms_that_did_not_fit / 2).max(1), Ordering::Relaxed);
    }
}

/// Cuts a batch into consecutive micro-batches of at most `limit` atoms (or one structure).
pub(crate) fn cut(sizes: impl IntoIterator<Item = usize>, limit: usize) -> Vec<Range<usize>> {
    let mut micro_batches: Vec<Range<usize>> = Vec::new();
    let mut filled = 0;
    for (i, atoms) in sizes.into_iter().enumerate() {
        match micro_batches.last_mut() {
            Some(micro_batch) if filled + atoms <= limit => micro_batch.end = i + 1,
            _ => {
                micro_batches.push(i..i + 1);
                filled = 0;
            }
        }
        filled += atoms;
    }
    micro_batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_batches_cover_the_batch_in_order() {
        assert_eq!(cut([20, 20, 20, 60, 1], 48), vec![0..2, 2..3, 3..4, 4..5]);
        assert_eq!(cut([20, 20, 20, 60, 1], usize::MAX), vec![0..5]);
        assert!(cut([], 48).is_empty());
    }

    #[test]
    fn small_batches_feed_several_threads() {
        let limit = MicroBatchLimit::for_device(&druse_nn::device::cpu());
        let micro_batches = |structures| limit.cut(std::iter::repeat_n(10, structures)).len();
        assert_eq!([1, 8, 32, 64, 128].map(micro_batches), [1, 2, 8, 8, 15]);
        assert_eq!(MicroBatchLimit::atoms_at_most(96).cut(std::iter::repeat_n(10, 32)).len(), 4);
    }
}
