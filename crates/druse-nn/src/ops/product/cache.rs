//! Packed weights, kept as long as the tensor they were packed from.
//!
//! A weight takes part in many products: one for each micro-batch of a batch, each crystal and each sampling step. Packing it
//! every time costs as much as the product itself for some ten rows.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, LazyLock, PoisonError, RwLock, Weak};

use burn::tensor::Bytes;
use burn_flex::FlexTensor;
use pulp::Arch;

use super::{Panels, View};
use crate::arch::arch;
use crate::precision::{Method, current};

/// A part of a weight (out, in) as the right operand of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    /// Transposed, for `x Wᵀ`.
    Forward,
    /// As it is, for `g W`.
    Backward,
    /// As it is, for products with [`super::Runs`] of this length.
    Runs { length: usize },
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    storage: usize,
    data: usize,
    shape: [usize; 3],
    purpose: Use,
    method: Method,
    arch: Discriminant<Arch>,
}

struct Entry {
    /// Keeps the address of the tensor's storage from being used again. Storage that others point to, even weakly, is
    /// never written to: the engine moves the numbers elsewhere first. So equal addresses mean equal numbers.
    storage: Weak<Bytes>,
    panels: Arc<Panels>,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<Key, Entry>,
    /// Number of entries at which those of dead tensors are dropped.
    limit: usize,
}

static CACHE: LazyLock<RwLock<Cache>> = LazyLock::new(RwLock::default);

/// Columns of a weight that are packed: `rows` rows of `cols` numbers, `stride` apart, from the start of `data`.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    /// The tensor that the numbers belong to.
    pub owner: Option<&'a FlexTensor>,
}

impl Weight<'_> {
    /// The packed weight in the precision of the thread: packed now, or earlier from the same tensor if that is shared, as
    /// parameters are.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn packed(&self, purpose: Use) -> Arc<Panels> {
        self.packed_for(self.method(purpose), purpose)
    }

    /// [`Weight::packed`] in 32 bits, for operands that rounding would harm.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn packed_exactly(&self, purpose: Use) -> Arc<Panels> {
        self.packed_for(Method::Vectors, purpose)
    }

    /// How products of the thread's precision are computed with the weight for this use.
    fn method(&self, purpose: Use) -> Method {
        match purpose {
            Use::Forward => Method::of(current(), [self.cols, self.rows]),
            Use::Backward => Method::of(current(), [self.rows, self.cols]),
            Use::Runs { .. } => Method::of_runs(current(), [self.rows, self.cols]),
        }
    }

    fn packed_for(&self, method: Method, purpose: Use) -> Arc<Panels> {
        let Some(storage) = self.owner.map(FlexTensor::data_arc).filter(|s| Arc::strong_count(s) > 2) else {
            return Arc::new(self.pack(method, purpose));
        };
        let key = Key {
            storage: Arc::as_ptr(&storage) as usize,
            data: self.data.as_ptr() as usize,
            shape: [self.rows, self.cols, self.stride],
            purpose,
            method,
            arch: discriminant(&arch()),
        };
        if let Some(entry) = CACHE.read().unwrap_or_else(PoisonError::into_inner).entries.get(&key) {
            return entry.panels.clone();
        }
        let panels = Arc::new(self.pack(method, purpose));
        let mut cache = CACHE.write().unwrap_or_else(PoisonError::into_inner);
        if cache.entries.len() >= cache.limit {
            cache.entries.retain(|_, entry| entry.storage.strong_count() > 0);
            cache.limit = 2 * cache.entries.len() + 64;
        }
        cache.entries.insert(key, Entry { storage: Arc::downgrade(&storage), panels: panels.clone() });
        panels
    }

    fn pack(&self, method: Method, purpose: Use) -> Panels {
        let (view, shape) = match purpose {
            Use::Forward => (View::transposed(self.data, self.stride), [self.cols, self.rows]),
            Use::Backward => (View::rows(self.data, self.stride), [self.rows, self.cols]),
            Use::Runs { length } => {
                let view = View::rows(self.data, self.stride);
                return Panels::for_runs(method, view, [self.rows, self.cols], length);
            }
        };
        Panels::pack_for(method, view, shape)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::super::panels::Numbers;
    use super::*;

    fn tensor(fill: f32) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(vec![fill; 20], [4, 5]))
    }

    fn packed(t: &FlexTensor) -> Arc<Panels> {
        let data = t.as_slice::<f32>().unwrap();
        Weight { data, rows: 4, cols: 5, stride: 5, owner: Some(t) }.packed_exactly(Use::Forward)
    }

    #[test]
    fn shared_tensors_are_packed_once_and_never_mistaken() {
        let first = tensor(1.0);
        assert!(!Arc::ptr_eq(&packed(&first), &packed(&first)), "a tensor of one owner may change");
        let clone = first.clone();
        assert!(Arc::ptr_eq(&packed(&first), &packed(&clone)));
        drop((first, clone));
        // Memory of dropped tensors is used again; their panels must not be.
        for i in 0..1000 {
            let t = tensor(i as f32);
            let _clone = t.clone();
            let packed = packed(&t);
            let Numbers::Strips(numbers) = packed.numbers() else { panic!("strips of {packed:?}") };
            assert_eq!(numbers[0], i as f32);
        }
    }
}
