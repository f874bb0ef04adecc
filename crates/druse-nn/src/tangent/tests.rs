//! Every operation against its composition of tensor operations and against finite differences.

use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::activation::{Silu, SiluTangent};
use super::geometry::{Length, LengthTangent, Transform};
use super::image::LayerNormTangent;
use super::radial::GaussianDerivative;
use super::*;
use crate::basis::GaussianBasis;
use crate::device::cpu;
use crate::graph::Index;
use crate::ops::{HostOp, Mat, apply};

fn random<const N: usize>(shapes: [[usize; 2]; N], range: std::ops::Range<f32>) -> [Vec<f32>; N] {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    shapes.map(|[rows, cols]| (0..rows * cols).map(|_| rng.random_range(range.clone())).collect())
}

fn tensor(data: &[f32], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape), &cpu())
}

fn host(t: &Tensor<2>) -> Vec<f32> {
    t.to_data().try_into_vec().unwrap()
}

fn weights(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 % 17) as f32 - 8.0) / 8.0).collect()
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= tolerance * scale, "{what}[{i}]: {x} against {y} (scale {scale})");
    }
}

/// Value of an operation and the gradients of `Σ w · y`.
fn differentiate<const N: usize>(
    data: &[Vec<f32>; N],
    shapes: [[usize; 2]; N],
    f: impl Fn([Tensor<2>; N]) -> Tensor<2>,
) -> (Vec<f32>, [Vec<f32>; N]) {
    let inputs: [Tensor<2>; N] =
        std::array::from_fn(|i| tensor(&data[i], shapes[i]).autodiff().require_grad());
    let out = f(inputs.clone());
    let [rows, cols] = out.dims();
    let mut found = (out.clone() * tensor(&weights(rows * cols), [rows, cols])).sum().backward();
    (host(&out), inputs.map(|x| host(&x.grad_remove(&mut found).expect("every input has a gradient"))))
}

/// Compares an operation with its composition (rounding, in another order) and its gradients with central differences of
/// step h, whose error is of order h² and of the rounding of results over h.
fn check<O: HostOp<N>, const N: usize>(op: &O, shapes: [[usize; 2]; N], data: &[Vec<f32>; N]) {
    let (value, gradients) = differentiate(data, shapes, |x| apply(op, x));
    let (expected, expected_gradients) = differentiate(data, shapes, |x| op.compose(x));
    assert_close(&value, &expected, 1e-5, "value");
    let objective = |data: &[Vec<f32>; N]| -> f64 {
        let inputs = std::array::from_fn(|i| {
            let [rows, cols] = shapes[i];
            Mat { data: &data[i], rows, cols, owner: None }
        });
        let out = op.forward(inputs, false).0.data;
        out.iter().zip(weights(out.len())).map(|(&y, w)| f64::from(y) * f64::from(w)).sum()
    };
    for i in 0..N {
        assert_close(&gradients[i], &expected_gradients[i], 2e-5, &format!("gradient {i}"));
        let differences: Vec<f32> = (0..data[i].len())
            .map(|k| {
                let at = |h: f32| {
                    let mut moved = data.clone();
                    moved[i][k] += h;
                    objective(&moved)
                };
                let h = 4e-3;
                ((at(h) - at(-h)) / f64::from(2.0 * h)) as f32
            })
            .collect();
        assert_close(&gradients[i], &differences, 3e-3, &format!("differences {i}"));
    }
}

#[test]
fn activations_and_their_slopes() {
    for scale in [1.0, 1.0 / 0.6] {
        for shape in [[4, 7], [1, 33]] {
            check(&Silu { scale }, [shape], &random([shape], -4.0..4.0));
            check(&SiluTangent { scale }, [shape; 2], &random([shape; 2], -4.0..4.0));
        }
    }
}

#[test]
fn slopes_of_the_activation_far_from_zero() {
    let x = [-200.0, -90.0, -30.0, 30.0, 90.0, 200.0];
    let data = [x.to_vec(), vec![1.0; 6]];
    let (value, gradients) = differentiate(&data, [[1, 6]; 2], |x| apply(&SiluTangent { scale: 1.0 }, x));
    assert_close(&value, &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0], 1e-6, "slope");
    assert!(gradients.iter().flatten().all(|g| g.is_finite()));
    assert_close(&gradients[0], &[0.0; 6], 1e-6, "second derivative");
}

#[test]
fn normalized_rows_and_their_tangents() {
    for [rows, cols] in [[5, 7], [1, 3], [3, 33], [18, 4], [5, 8], [16, 12], [19, 16]] {
        for slope in [1.0, 0.2] {
            let shapes = [[rows, cols], [rows, cols], [1, cols], [1, cols]];
            let mut data = random(shapes, -1.5..1.5);
            data[2] = random([[1, cols]], 0.5..1.5)[0].clone();
            if slope != 1.0 {
                // Differences cannot be taken across the bend at zero.
                data[3].iter_mut().enumerate().for_each(|(j, b)| *b += [20.0, -20.0][j % 2]);
            }
            check(&LayerNormTangent { epsilon: 1e-1, slope }, shapes, &data);
        }
    }
}

#[test]
fn lengths_and_their_tangents() {
    check(&Length, [[6, 3]], &random([[6, 3]], 0.4..2.0));
    check(&LengthTangent, [[6, 3]; 2], &random([[6, 3]; 2], 0.4..2.0));
    let matrix_of_row: Index = [0, 0, 1, 1, 1].into();
    let shapes = [[5, 3], [2, 9]];
    check(&Transform { matrix_of_row }, shapes, &random(shapes, -1.5..1.5));
}

#[test]
fn gaussians_and_their_slopes() {
    // Some lengths lie beyond the cut-off.
    let basis = GaussianBasis { count: 9, cutoff: 2.5 };
    for order in [0, 1] {
        check(&GaussianDerivative { basis, order }, [[24, 1]], &random([[24, 1]], 0.05..3.0));
    }
    let lengths: Vec<f64> = (1..60).map(|k| 0.05 * f64::from(k)).collect();
    let column: Vec<f32> = lengths.iter().map(|&d| d as f32).collect();
    for basis in [basis, GaussianBasis { count: 64, cutoff: 2.5 }] {
        let found = gaussians(Dual::constant(tensor(&column, [59, 1])), basis);
        assert!(found.tangent.is_none());
        assert_close(&host(&found.value), &basis.evaluate(&lengths), 2e-6, "the basis of data");
    }
}

#[test]
fn products_and_sums_of_duals() {
    let [a, b, da, db] = random([[3, 4]; 4], -1.0..1.0);
    let dual = |x: &[f32], t: &[f32]| Dual::new(tensor(x, [3, 4]), tensor(t, [3, 4]));
    let (x, y) = (dual(&a, &da), dual(&b, &db));
    let expect = |f: &dyn Fn(usize) -> f32| (0..12).map(f).collect::<Vec<f32>>();
    let tangent = |x: Dual| host(&x.tangent.unwrap());
    let product = tangent(x.clone() * y.clone());
    assert_close(&product, &expect(&|k| da[k] * b[k] + a[k] * db[k]), 1e-6, "product");
    let half = tangent(x.clone() * Dual::constant(y.value.clone()));
    assert_close(&half, &expect(&|k| da[k] * b[k]), 1e-6, "product with a constant");
    let difference = tangent((x.clone() - y.clone()).scale(3.0));
    assert_close(&difference, &expect(&|k| 3.0 * (da[k] - db[k])), 1e-6, "difference");
    let other = tangent(Dual::constant(x.value.clone()) - y.clone());
    assert_close(&other, &expect(&|k| -db[k]), 1e-6, "difference from a constant");
    let none = Dual::constant(x.value) * Dual::constant(y.value);
    assert!(none.tangent.is_none());
}
