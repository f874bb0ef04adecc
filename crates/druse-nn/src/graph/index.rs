//! Lists of row numbers.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

#[cfg(feature = "gpu")]
use crate::device::PerDevice;

/// Row numbers to read rows by or to sum rows into. Clones share the list and, on a GPU, its upload: a list travels to a
/// device once.
#[derive(Clone)]
pub struct Index(Arc<Shared>);

struct Shared {
    rows: Box<[u32]>,
    #[cfg(feature = "gpu")]
    uploads: PerDevice,
}

#[cfg(feature = "gpu")]
impl Index {
    /// What GPUs have received of the list.
    pub(crate) fn uploads(&self) -> &PerDevice {
        &self.0.uploads
    }
}

impl Deref for Index {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.0.rows
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rows.fmt(f)
    }
}

impl From<Vec<u32>> for Index {
    fn from(rows: Vec<u32>) -> Self {
        Self(Arc::new(Shared {
            rows: rows.into(),
            #[cfg(feature = "gpu")]
            uploads: PerDevice::default(),
        }))
    }
}

impl<const N: usize> From<[u32; N]> for Index {
    fn from(rows: [u32; N]) -> Self {
        Self::from(rows.to_vec())
    }
}

impl FromIterator<u32> for Index {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        Self::from(rows.into_iter().collect::<Vec<_>>())
    }
}
