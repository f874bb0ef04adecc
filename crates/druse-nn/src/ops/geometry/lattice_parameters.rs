//! Lengths and angles of symmetric cells, differentiable.

use burn::tensor::Tensor;

use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::matrix::matrix;

/// `[a, b, c, alpha, beta, gamma]` (units of the input, degrees) of cells given as symmetric matrices
/// (xx, yy, zz, xy, xz, yz): (B, 6) → (B, 6). Angles of a left-handed cell are negative, so that a loss pushes the
/// cell back through zero volume.
pub fn lattice_parameters(cells: Tensor<2>) -> Tensor<2> {
    apply(&LatticeParameters, [cells])
}

#[derive(Debug, Clone)]
pub(crate) struct LatticeParameters;

const DEGREES: f64 = 180.0 / std::f64::consts::PI;

/// Rows of the symmetric matrix: where entry (i, j) is stored.
const ENTRY: [[usize; 3]; 3] = [[0, 3, 4], [3, 1, 5], [4, 5, 2]];

fn rows(cell: &[f32]) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| f64::from(cell[ENTRY[i][j]])))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn handedness([a, b, c]: [[f64; 3]; 3]) -> f64 {
    let bc = [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
    if dot(a, bc) < 0.0 { -1.0 } else { 1.0 }
}

/// Sine of the angle between two rows, kept away from zero where the angle has no derivative.
fn sine(cosine: f64) -> f64 {
    (1.0 - cosine * cosine).max(1e-12).sqrt()
}

impl HostOp<1> for LatticeParameters {
    fn forward(&self, [cells]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut out = Matrix::zeros(cells.rows, 6);
        for (cell, out) in cells.data.chunks_exact(6).zip(out.data.chunks_exact_mut(6)) {
            let r = rows(cell);
            let sign = handedness(r);
            for i in 0..3 {
                let (j, k) = ((i + 1) % 3, (i + 2) % 3);
                out[i] = dot(r[i], r[i]).sqrt() as f32;
                let lengths = (dot(r[j], r[j]) * dot(r[k], r[k])).sqrt();
                let cosine = (dot(r[j], r[k]) / lengths).clamp(-1.0, 1.0);
                out[3 + i] = (sign * sine(cosine).atan2(cosine) * DEGREES) as f32;
            }
        }
        (out, Vec::new())
    }

    fn backward(
        &self,
        [cells]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let mut out = Matrix::zeros(cells.rows, 6);
        for ((cell, g), out) in
            cells.data.chunks_exact(6).zip(grad.data.chunks_exact(6)).zip(out.data.chunks_exact_mut(6))
        {
            let r = rows(cell);
            let sign = handedness(r);
            let mut d = [[0f64; 3]; 3];
            for i in 0..3 {
                let (j, k) = ((i + 1) % 3, (i + 2) % 3);
                let norm = |v: [f64; 3]| dot(v, v).sqrt();
                let (ni, nj, nk) = (norm(r[i]), norm(r[j]), norm(r[k]));
                let cosine = (dot(r[j], r[k]) / (nj * nk)).clamp(-1.0, 1.0);
                // dθ/dcos = -1/sin θ
                let by_cosine = -sign * DEGREES * f64::from(g[3 + i]) / sine(cosine);
                for x in 0..3 {
                    d[i][x] += f64::from(g[i]) * r[i][x] / ni;
                    d[j][x] += by_cosine * (r[k][x] / (nj * nk) - cosine * r[j][x] / (nj * nj));
                    d[k][x] += by_cosine * (r[j][x] / (nj * nk) - cosine * r[k][x] / (nk * nk));
                }
            }
            for i in 0..3 {
                for j in 0..3 {
                    out[ENTRY[i][j]] += d[i][j] as f32;
                }
            }
        }
        [Some(out)]
    }

    fn compose(&self, [cells]: [Tensor<2>; 1]) -> Tensor<2> {
        let entry = |i: usize, j: usize| cells.clone().narrow(1, ENTRY[i][j], 1);
        let dot = |i: usize, j: usize| (0..3).map(|x| entry(i, x) * entry(j, x)).reduce(|a, b| a + b);
        let dot = |i, j| dot(i, j).expect("three terms");
        let lengths: Vec<_> = (0..3).map(|i| dot(i, i).sqrt()).collect();
        let values = cells.to_data().try_into_vec::<f32>().expect("cells are 32-bit floats");
        let signs: Vec<f32> = values.chunks_exact(6).map(|c| handedness(rows(c)) as f32).collect();
        let signs = matrix(signs, 1, &cells.device());
        let angles = (0..3).map(|i| {
            let (j, k) = ((i + 1) % 3, (i + 2) % 3);
            let cosine = (dot(j, k) / (lengths[j].clone() * lengths[k].clone())).clamp(-1.0, 1.0);
            let sine = (cosine.clone() * cosine.clone()).neg().add_scalar(1.0).clamp_min(1e-12).sqrt();
            sine.atan2(cosine).mul_scalar(DEGREES) * signs.clone()
        });
        let columns = lengths.clone().into_iter().chain(angles).collect();
        Tensor::cat(columns, 1)
    }
}
