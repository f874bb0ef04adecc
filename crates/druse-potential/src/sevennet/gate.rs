//! Gates: scalars are activated, channels of higher degrees multiplied by activated scalars.

use super::layout::Layout;
use crate::real::Real;

/// The nonlinearity of a block. Activations are x · sigmoid(x); the factor of the published ones lies in the next maps.
#[derive(Debug)]
pub(super) struct Gate {
    /// Scalars, behind them a gate for each channel of higher degree.
    from: Layout,
    to: Layout,
}

impl Gate {
    pub fn new(from: &Layout, to: &Layout) -> Self {
        Self { from: from.clone(), to: to.clone() }
    }

    /// The features of some atoms. `active` is for intermediate values.
    pub fn forward<R: Real>(&self, y: &[R], x: &mut [R], active: &mut Vec<R>) {
        let rows = y.chunks_exact(self.from.width()).zip(x.chunks_exact_mut(self.to.width()));
        for (y, x) in rows {
            active.clear();
            active.extend_from_slice(&y[self.from.range(0)]);
            R::silu(active);
            let scalars = self.to.channels()[0];
            x[..scalars].copy_from_slice(&active[..scalars]);
            let mut gates = &active[scalars..];
            for (l, &channels) in self.to.channels().iter().enumerate().skip(1) {
                let (own, others) = gates.split_at(channels);
                gates = others;
                let rows = y[self.from.range(l)]
                    .chunks_exact(channels)
                    .zip(x[self.to.range(l)].chunks_exact_mut(channels));
                for (y, x) in rows {
                    for ((x, &y), &gate) in x.iter_mut().zip(y).zip(own) {
                        *x = y * gate;
                    }
                }
            }
        }
    }

    /// Turns what the gate read, `y`, into the gradient of it, given the gradient of the features.
    pub fn backward<R: Real>(&self, y: &mut [R], x: &[R], active: &mut Vec<R>) {
        let mut slopes = Vec::new();
        let rows = y.chunks_exact_mut(self.from.width()).zip(x.chunks_exact(self.to.width()));
        for (y, x) in rows {
            active.clear();
            active.extend_from_slice(&y[self.from.range(0)]);
            R::silu(active);
            let scalars = self.to.channels()[0];
            slopes.clear();
            slopes.extend_from_slice(&x[..scalars]);
            slopes.resize(active.len(), R::default());
            let (mut gates, mut gradients) = (&active[scalars..], &mut slopes[scalars..]);
            for (l, &channels) in self.to.channels().iter().enumerate().skip(1) {
                let (own, others) = gates.split_at(channels);
                gates = others;
                let (sums, others) = gradients.split_at_mut(channels);
                gradients = others;
                let rows = y[self.from.range(l)]
                    .chunks_exact_mut(channels)
                    .zip(x[self.to.range(l)].chunks_exact(channels));
                for (y, x) in rows {
                    for (((y, &x), &gate), sum) in y.iter_mut().zip(x).zip(own).zip(sums.iter_mut()) {
                        *sum += x * *y;
                        *y = x * gate;
                    }
                }
            }
            R::silu_backward(&y[self.from.range(0)], &mut slopes);
            y[self.from.range(0)].copy_from_slice(&slopes);
        }
    }
}
