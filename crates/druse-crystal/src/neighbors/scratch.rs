//! The choice of neighbors among images.

/// Buffers reused from atom to atom.
#[derive(Default)]
pub(super) struct Scratch {
    /// Squared distance of every image in the window.
    pub(super) squared: Vec<f64>,
    /// Squared distance and place of the images kept; only the first `len` count.
    kept: Vec<(f64, u32)>,
    len: usize,
    /// Work space of the selection.
    bits: Vec<u64>,
}

impl Scratch {
    pub(super) fn kept(&self) -> &[(f64, u32)] {
        &self.kept[..self.len]
    }

    /// Keeps the images that satisfy the predicate. Every image is written and the length advanced by the outcome,
    /// which spares a badly predicted branch.
    pub(super) fn keep(&mut self, predicate: impl Fn(f64, usize) -> bool) {
        if self.kept.len() < self.squared.len() {
            self.kept.resize(self.squared.len(), (0.0, 0));
        }
        let mut len = 0;
        for (c, &d2) in self.squared.iter().enumerate() {
            self.kept[len] = (d2, c as u32);
            len += usize::from(predicate(d2, c));
        }
        self.len = len;
    }

    /// The `k`-th smallest squared distance kept (k from 1).
    pub(super) fn kth_smallest(&mut self, k: usize) -> Option<f64> {
        if self.len < k {
            return None;
        }
        // Non-negative floats order as their bit patterns do.
        self.bits.clear();
        self.bits.extend(self.kept[..self.len].iter().map(|p| p.0.to_bits()));
        Some(f64::from_bits(*self.bits.select_nth_unstable(k - 1).1))
    }

    /// Drops what lies beyond the squared distance `limit`.
    pub(super) fn shrink(&mut self, limit: f64) {
        let mut len = 0;
        for r in 0..self.len {
            self.kept[len] = self.kept[r];
            len += usize::from(self.kept[r].0 <= limit);
        }
        self.len = len;
    }
}
