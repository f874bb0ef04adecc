//! Gaussians of lengths under an envelope, and their slopes.

use burn::tensor::Tensor;

use super::dual::Dual;
use crate::basis::GaussianBasis;
use crate::ops::{HostOp, Mat, Matrix, apply, matrix};

/// [`GaussianBasis`] of lengths, `b_k(d) = exp(-x_k²/2) w(u)` with `u = d / cutoff`, `x_k = u (count - 1) - k` and the envelope w
/// ([`crate::basis::envelope_gemnet`]), with tangent `b_k'(d) d'`: (E, 1) → (E, count).
pub fn gaussians(lengths: Dual, basis: GaussianBasis) -> Dual {
    let op = |order| GaussianDerivative { basis, order };
    let slopes = lengths.tangent.map(|t| {
        let slopes = apply(&op(1), [lengths.value.clone()]);
        Dual::constant(slopes) * Dual::constant(t)
    });
    Dual { value: apply(&op(0), [lengths.value]), tangent: slopes.map(|s| s.value) }
}

/// Derivative of the basis by the length, of order 0 or 1; the backward pass reads the next order.
#[derive(Debug, Clone)]
pub(super) struct GaussianDerivative {
    pub basis: GaussianBasis,
    pub order: usize,
}

/// `1 - 21 u⁵ + 35 u⁶ - 15 u⁷` and its first two derivatives, zero from u = 1 on.
fn envelope(u: f64) -> [f64; 3] {
    if u >= 1.0 {
        return [0.0; 3];
    }
    let rest = 1.0 - u;
    let slope = -105.0 * (u * u * rest).powi(2);
    let second = -210.0 * u.powi(3) * rest * (2.0 - 3.0 * u);
    [1.0 + u.powi(5) * (-21.0 + u * (35.0 - 15.0 * u)), slope, second]
}

impl GaussianDerivative {
    /// Calls `f(k, y)` with the derivatives of order 0, 1 or 2 of all functions that do not vanish at a length.
    fn for_each(&self, order: usize, length: f64, mut f: impl FnMut(usize, f64)) {
        const REACH: usize = GaussianBasis::REACH;
        let GaussianBasis { count, cutoff } = self.basis;
        let last = (count - 1) as f64;
        let u = length / cutoff;
        let [w, slope, second] = envelope(u);
        if u >= 1.0 {
            return;
        }
        let x = u * last;
        let nearest = (x.round() as usize).min(count - 1);
        let derivative = |rest: f64, gaussian: f64| {
            let by_u = match order {
                0 => w,
                1 => slope - w * rest * last,
                _ => second - 2.0 * slope * rest * last + w * (rest * rest - 1.0) * last * last,
            };
            gaussian * by_u
        };
        let unit = cutoff.powi(order as i32).recip();
        let rest = x - nearest as f64;
        let peak = (-0.5 * rest * rest).exp() * unit;
        // The quotient of neighboring Gaussians is a geometric sequence.
        let (mut gaussian, mut quotient) = (peak, (rest - 0.5).exp());
        for k in nearest..(nearest + REACH + 1).min(count) {
            f(k, derivative(x - k as f64, gaussian));
            gaussian *= quotient;
            quotient *= (-1f64).exp();
        }
        let (mut gaussian, mut quotient) = (peak, (-rest - 0.5).exp());
        for k in (nearest.saturating_sub(REACH)..nearest).rev() {
            gaussian *= quotient;
            quotient *= (-1f64).exp();
            f(k, derivative(x - k as f64, gaussian));
        }
    }
}

impl HostOp<1> for GaussianDerivative {
    fn forward(&self, [d]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut out = Matrix::zeros(d.rows, self.basis.count);
        for (row, &d) in out.data.chunks_exact_mut(self.basis.count).zip(d.data) {
            self.for_each(self.order, f64::from(d), |k, y| row[k] = y as f32);
        }
        (out, Vec::new())
    }

    fn backward(
        &self,
        [d]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let rows = d.data.iter().zip(grad.data.chunks_exact(self.basis.count));
        let data = rows.map(|(&d, g)| {
            let mut sum = 0.0;
            self.for_each(self.order + 1, f64::from(d), |k, y| sum += f64::from(g[k]) * y);
            sum as f32
        });
        [Some(Matrix { data: data.collect(), rows: d.rows, cols: 1 })]
    }

    fn compose(&self, [d]: [Tensor<2>; 1]) -> Tensor<2> {
        let GaussianBasis { count, cutoff } = self.basis;
        let last = (count - 1) as f64;
        // Zero from u = 1 on, with slopes zero on either side.
        let u = d.div_scalar(cutoff).clamp_max(1.0);
        let centers = matrix((0..count).map(|k| k as f32).collect(), count, &u.device());
        let rest = u.clone().mul_scalar(last) - centers;
        let gaussians = (rest.clone() * rest.clone()).mul_scalar(-0.5).exp();
        let square = u.clone() * u.clone();
        let fifth = square.clone() * square.clone() * u.clone();
        let polynomial = u.clone() * u.clone().mul_scalar(-15.0).add_scalar(35.0) - 21.0;
        let envelope = (fifth * polynomial).add_scalar(1.0);
        if self.order == 0 {
            return gaussians * envelope;
        }
        let bend = square * u.neg().add_scalar(1.0);
        let slope = (bend.clone() * bend).mul_scalar(-105.0);
        (gaussians * (slope - envelope * rest.mul_scalar(last))).div_scalar(cutoff)
    }
}
