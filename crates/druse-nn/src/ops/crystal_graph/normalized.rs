//! Batch normalization with a SiLU behind it.

use burn::tensor::{Tensor, activation};

use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{normalized_silu_backward, normalized_silu_into};
use crate::ops::product::new_vec;

/// Rows whose sums are gathered in single precision, before they are added in double.
const BLOCK: usize = 128;

/// `z σ(z)` with `z = γ (x - μ) / √(σ² + ε) + β` for the moments μ and σ² of [`column_moments`](crate::ops::column_moments) of x: x
/// is (rows, C), the others are (2, C) and (1, C). The gradient takes into account that the moments are those of x; with
/// `constant` moments (running ones) it does not.
pub fn batch_norm_silu(
    x: Tensor<2>,
    moments: Tensor<2>,
    gain: Tensor<2>,
    bias: Tensor<2>,
    epsilon: f32,
    constant: bool,
) -> Tensor<2> {
    apply(&BatchNormSilu { epsilon, constant }, [x, moments.detach(), gain, bias])
}

#[derive(Debug, Clone)]
pub(crate) struct BatchNormSilu {
    pub epsilon: f32,
    pub constant: bool,
}

impl BatchNormSilu {
    /// Of each column 1 / √(σ² + ε), and that times γ.
    fn scales(&self, moments: Mat<'_>, gain: Mat<'_>) -> [Vec<f32>; 2] {
        let variance = &moments.data[moments.cols..];
        let scale: Vec<f32> = variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect();
        let factor = scale.iter().zip(gain.data).map(|(s, g)| s * g).collect();
        [scale, factor]
    }
}

impl HostOp<4> for BatchNormSilu {
    fn forward(&self, [x, moments, gain, bias]: [Mat<'_>; 4], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [_, factor] = self.scales(moments, gain);
        let columns = [&moments.data[..x.cols], &factor, bias.data];
        // SAFETY: as many numbers are written as x has.
        let data = unsafe { new_vec(x.data.len(), |y| normalized_silu_into(x.data, columns, y)) };
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x, moments, gain, bias]: [Mat<'_>; 4],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 4],
    ) -> [Option<Matrix>; 4] {
        let cols = x.cols.max(1);
        let mean = &moments.data[..x.cols];
        let [scale, factor] = self.scales(moments, gain);
        let mut g = grad.data.to_vec();
        let (mut d_bias, mut tilt) = (vec![0f64; x.cols], vec![0f64; x.cols]);
        for (x, g) in x.data.chunks(BLOCK * cols).zip(g.chunks_mut(BLOCK * cols)) {
            let (mut sums, mut tilts) = (vec![0f32; cols], vec![0f32; cols]);
            normalized_silu_backward(x, [mean, &factor, bias.data], g, &mut sums, &mut tilts);
            let add = |to: &mut [f64], from: &[f32]| {
                to.iter_mut().zip(from).for_each(|(to, &from)| *to += f64::from(from));
            };
            add(&mut d_bias, &sums);
            add(&mut tilt, &tilts);
        }
        if wanted[0] {
            let n = x.rows.max(1) as f64;
            let part = |sums: &[f64], factor: &dyn Fn(usize) -> f64| -> Vec<f32> {
                let of_batch =
                    |(j, d): (usize, &f64)| if self.constant { 0.0 } else { (d * factor(j) / n) as f32 };
                sums.iter().enumerate().map(of_batch).collect()
            };
            let level = part(&d_bias, &|_| 1.0);
            let slope = part(&tilt, &|j| f64::from(scale[j]).powi(2));
            crate::arch::vectorized!(for (x, g) in x.data.chunks_exact(cols).zip(g.chunks_exact_mut(cols)) {
                let columns = level.iter().zip(&slope).zip(factor.iter().zip(mean));
                for ((g, &x), ((&level, &slope), (&factor, &mean))) in g.iter_mut().zip(x).zip(columns) {
                    *g = factor * (*g - level - (x - mean) * slope);
                }
            });
        }
        let row =
            |d: Vec<f64>| Matrix { data: d.into_iter().map(|d| d as f32).collect(), rows: 1, cols: x.cols };
        let d_gain = tilt.iter().zip(&scale).map(|(t, &s)| t * f64::from(s)).collect();
        let dx = wanted[0].then_some(Matrix { data: g, rows: x.rows, cols: x.cols });
        [dx, None, wanted[2].then(|| row(d_gain)), wanted[3].then(|| row(d_bias))]
    }

    fn compose(&self, [x, moments, gain, bias]: [Tensor<2>; 4]) -> Tensor<2> {
        let moments = if self.constant {
            moments
        } else {
            let mean = x.clone().mean_dim(0);
            let centered = x.clone() - mean.clone();
            Tensor::cat(vec![mean, (centered.clone() * centered).mean_dim(0)], 0)
        };
        let deviation = (moments.clone().narrow(0, 1, 1) + self.epsilon).sqrt();
        activation::silu((x - moments.narrow(0, 0, 1)) / deviation * gain + bias)
    }
}
