//! Convolutions against the engine's own, and their gradients against differences.

use super::batch_norm::{BatchNorm, ColumnMoments};
use super::conv::{BiasedConv, Conv};
use super::leaky_relu::LeakyRelu;
use super::{ConvGeometry, passes};
use crate::Precision;
use crate::arch::has_unit;
use crate::arch::testing::on_every_arch;
use burn::tensor::Tensor;

use crate::device::cpu;
use crate::ops::host::{HostOp, Mat, Matrix};
use crate::ops::tests::{check, host, random};
use crate::ops::with_idle_threads;
use crate::precision::with_precision;

fn geometries() -> Vec<ConvGeometry> {
    let valid = ConvGeometry::valid;
    let padded = |size, channels, kernel, stride, padding| ConvGeometry {
        padding,
        ..valid(2, size, channels, kernel, stride)
    };
    vec![
        // A plane with zeros around it, narrower and wider than the kernel.
        ConvGeometry::same(2, [5, 6], [3, 17], 3),
        ConvGeometry::same(1, [4, 3], [1, 4], 7),
        ConvGeometry::same(9, [3, 3], [5, 2], 3),
        // One pixel at a time.
        valid(2, [3, 2, 2], [5, 9], [1; 3], [1; 3]),
        // Kernels of one direction, of all of one direction, and of all of the volume.
        valid(2, [5, 4, 3], [2, 3], [3, 2, 1], [1; 3]),
        valid(2, [3, 3, 10], [4, 1], [1, 1, 10], [1, 1, 10]),
        valid(1, [4, 3, 2], [3, 8], [2, 3, 2], [1; 3]),
        valid(3, [2, 3, 2], [2, 5], [2, 3, 2], [1; 3]),
        // Positions that lie apart, that touch each other, and that leave pixels out.
        valid(2, [7, 8, 3], [3, 4], [3, 3, 2], [2, 2, 1]),
        valid(2, [4, 4, 2], [3, 4], [2, 2, 2], [2, 2, 2]),
        valid(1, [8, 7, 3], [2, 3], [2, 2, 1], [3, 3, 2]),
        padded([4, 5, 3], [2, 3], [3, 3, 3], [1; 3], [1; 3]),
        padded([5, 5, 4], [2, 3], [3, 2, 3], [2, 1, 2], [1, 1, 0]),
        padded([4, 4, 2], [1, 2], [1, 1, 1], [2, 2, 1], [0; 3]),
        // Few channels, of which several results fill a vector together.
        valid(3, [3, 4, 18], [4, 8], [3, 3, 3], [1; 3]),
        valid(1, [2, 3, 17], [2, 4], [1, 2, 3], [1, 1, 2]),
        ConvGeometry::same(2, [6, 8], [4, 4], 3),
        // Nothing at all.
        valid(0, [4, 4, 1], [2, 3], [3, 3, 1], [1; 3]),
    ]
}

#[test]
fn convolutions_and_their_transposes() {
    for geometry in geometries() {
        let (weight, [i, o]) = (geometry.weight_shape(), [geometry.in_channels, geometry.out_channels]);
        let ends = [[geometry.in_rows(), i], [geometry.out_rows(), o]];
        for transposed in [false, true] {
            let [input, output] = if transposed { [ends[1], ends[0]] } else { ends };
            let shapes = [input, weight, [1, output[1]]];
            let op = Conv { geometry, transposed };
            on_every_arch(|| {
                let data = random(shapes, 1.0);
                check(&op, [input, weight], &[data[0].clone(), data[1].clone()], 5e-3);
                // Sums of weights that cancel leave a bias next to no gradient, and differences of sums their rounding.
                check(&BiasedConv(op.clone()), shapes, &data, 1e-2);
            });
        }
    }
}

/// Convolutions in bf16 are those of rounded numbers, in all three passes; where no matrix unit is, they are exact.
#[test]
fn rounded_convolutions() {
    let valid = ConvGeometry::valid;
    let geometries = [
        ConvGeometry::same(2, [5, 6], [16, 17], 3),
        ConvGeometry::same(1, [20, 33], [24, 40], 3),
        ConvGeometry::same(3, [8, 8], [33, 70], 3),
        ConvGeometry::same(1, [3, 40], [4, 24], 7),
        // Few results that are folded, few channels, one pixel.
        ConvGeometry::same(2, [6, 16], [16, 4], 3),
        ConvGeometry::same(2, [6, 16], [3, 16], 3),
        valid(2, [5, 7, 3], [40, 50], [1; 3], [1; 3]),
        // Volumes, with and without zeros around them, and positions that lie apart.
        valid(2, [4, 5, 6], [17, 18], [2, 2, 3], [1; 3]),
        ConvGeometry { padding: [1; 3], ..valid(2, [4, 3, 5], [16, 16], [3; 3], [1; 3]) },
        valid(3, [9, 8, 4], [16, 20], [3, 2, 1], [2, 2, 1]),
        valid(0, [4, 4, 1], [16, 16], [3, 3, 1], [1; 3]),
    ];
    let rounded = |data: &[f32]| -> Vec<f32> {
        data.iter().map(|x| f32::from_bits((x.to_bits() + 0x8000) & 0xffff_0000)).collect()
    };
    for g in geometries {
        let shapes = [[g.in_rows(), g.in_channels], [g.out_rows(), g.out_channels], g.weight_shape()];
        let data = random(shapes, 1.0);
        let near = data.each_ref().map(|data| rounded(data));
        let passes = |data: &[Vec<f32>; 3]| {
            let [x, y, w] = [0, 1, 2].map(|i| Mat {
                data: &data[i],
                rows: shapes[i][0],
                cols: shapes[i][1],
                owner: None,
            });
            let (over, under) = (passes::over(&g, x, w, None), passes::under(&g, y, w, None));
            [over.data, under.data, passes::by_weight(&g, x, y).data]
        };
        let [exact, of_rounded] = [passes(&data), passes(&near)];
        let found = with_precision(Precision::Bf16, || with_idle_threads(|| passes(&data)));
        for (i, found) in found.into_iter().enumerate() {
            let pass = ["over", "under", "by weight"][i];
            let off = |expected: &[f32]| {
                let scale = expected.iter().map(|x| x.abs()).fold(1e-30, f32::max);
                found.iter().zip(expected).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max)
            };
            assert_eq!(found.len(), exact[i].len());
            // Narrow convolutions, and the transposes of those to few channels, are exact.
            let (rounded, exact) = (off(&of_rounded[i]), off(&exact[i]));
            assert!(rounded.min(exact) < 2e-6, "{pass} of {g:?}: {rounded}, {exact}");
            let wide = i == 0 && g.batch > 0 && g.out_channels >= 16 && g.weight_shape()[0] >= 32;
            assert!(!(wide && has_unit()) || exact > 1e-4, "{pass} of {g:?} is not rounded");
        }
    }
}

/// What runs on devices, on the CPU.
#[test]
fn gathered_pixels_give_the_same() {
    use super::gathered;
    for g in geometries().into_iter().filter(|g| g.batch > 0) {
        let shapes = [[g.in_rows(), g.in_channels], [g.out_rows(), g.out_channels], g.weight_shape()];
        let [x, y, w] = random(shapes, 1.0);
        let tensor = |data: &Vec<f32>, cols| crate::ops::matrix(data.clone(), cols, &cpu());
        let [x, y, w] = [tensor(&x, g.in_channels), tensor(&y, g.out_channels), tensor(&w, g.out_channels)];
        let pairs = [
            (super::conv(x.clone(), w.clone(), None, &g), gathered::over(&g, x, w.clone())),
            (super::conv_transposed(y.clone(), w.clone(), None, &g), gathered::under(&g, y, w)),
        ];
        for (own, gathered) in pairs {
            let (own, gathered) = (host(&own), host(&gathered));
            assert!(own.iter().zip(&gathered).all(|(a, b)| (a - b).abs() < 1e-4), "{g:?}");
        }
    }
}

/// `⟨y, x * W⟩ = ⟨Wᵀ * y, x⟩`.
#[test]
fn the_transpose_is_one() {
    let geometry = ConvGeometry::valid(2, [6, 5, 3], [3, 4], [3, 2, 2], [2, 1, 1]);
    let shapes = [[geometry.in_rows(), 3], [geometry.out_rows(), 4], geometry.weight_shape()];
    let [x, y, w] = random(shapes, 1.0);
    let tensor = |data: &Vec<f32>, cols| crate::ops::matrix(data.clone(), cols, &cpu());
    let over = host(&super::conv(tensor(&x, 3), tensor(&w, 4), None, &geometry));
    let under = host(&super::conv_transposed(tensor(&y, 4), tensor(&w, 4), None, &geometry));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    assert!((dot(&over, &y) - dot(&under, &x)).abs() < 1e-4);
}

#[test]
fn normalized_columns() {
    for [rows, cols] in [[2, 1], [7, 3], [65, 33]] {
        let x = [[rows, cols]];
        on_every_arch(|| {
            let columns = random(x, 1.5);
            let data = columns[0].clone();
            check(&ColumnMoments, x, &columns, 3e-3);
            check(&LeakyRelu { slope: 0.2 }, x, &columns, 3e-3);
            let moments = host(&super::column_moments(crate::ops::matrix(data.clone(), cols, &cpu())));
            let shapes = [x[0], [1, cols], [1, cols]];
            let [_, gain, bias] = random(shapes, 1.5);
            for slope in [1.0, 0.2, 0.0] {
                for constant in [false, true] {
                    let op = BatchNorm { epsilon: 1e-1, slope, constant };
                    check(
                        &Normalized { op, moments: moments.clone() },
                        shapes,
                        &[data.clone(), gain.clone(), bias.clone()],
                        2e-2,
                    );
                }
            }
        });
    }
}

/// Normalization whose moments are no input: those of x, unless they are constant.
#[derive(Debug, Clone)]
struct Normalized {
    op: BatchNorm,
    moments: Vec<f32>,
}

impl Normalized {
    fn with<T>(&self, inputs: [Mat<'_>; 3], f: impl FnOnce([Mat<'_>; 4]) -> T) -> T {
        let [x, gain, bias] = inputs;
        let of_x = ColumnMoments.forward([x], false).0.data;
        let data = if self.op.constant { &self.moments } else { &of_x };
        f([x, Mat { data, rows: 2, cols: x.cols, owner: None }, gain, bias])
    }
}

impl HostOp<3> for Normalized {
    fn forward(&self, inputs: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        self.with(inputs, |inputs| self.op.forward(inputs, keep))
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let wanted = [wanted[0], false, wanted[1], wanted[2]];
        let [dx, _, d_gain, d_bias] =
            self.with(inputs, |inputs| self.op.backward(inputs, kept, grad, wanted));
        [dx, d_gain, d_bias]
    }

    fn compose(&self, [x, gain, bias]: [Tensor<2>; 3]) -> Tensor<2> {
        let moments = crate::ops::matrix(self.moments.clone(), x.dims()[1], &x.device());
        self.op.compose([x, moments, gain, bias])
    }
}

#[test]
fn threads_change_nothing() {
    let geometry = ConvGeometry::same(3, [20, 17], [6, 19], 3);
    let shapes = [[geometry.in_rows(), 6], geometry.weight_shape(), [geometry.out_rows(), 19]];
    let data = random(shapes, 1.0);
    let mats: [_; 3] =
        std::array::from_fn(|i| Mat { data: &data[i], rows: shapes[i][0], cols: shapes[i][1], owner: None });
    for transposed in [false, true] {
        let op = Conv { geometry, transposed };
        let [input, result] = if transposed { [mats[2], mats[0]] } else { [mats[0], mats[2]] };
        let run = || {
            let (value, _) = op.forward([input, mats[1]], false);
            let grads = op.backward([input, mats[1]], &[], result, [true; 2]).map(|m| m.unwrap().data);
            (value.data, grads)
        };
        assert_eq!(run(), with_idle_threads(run));
    }
}

#[test]
fn sizes_are_those_of_the_definition() {
    let g = ConvGeometry::valid(4, [32, 32, 4], [64, 128], [5, 5, 2], [5, 5, 1]);
    assert_eq!((g.out_size(), g.out_rows(), g.weight_shape()), ([6, 6, 3], 432, [3200, 128]));
    let g = ConvGeometry::transposed(1, [32, 32, 20], [32, 16], [2; 3], [2; 3]);
    assert_eq!(
        (g.size, g.out_size(), [g.in_channels, g.out_channels]),
        ([64, 64, 40], [32, 32, 20], [16, 32])
    );
    assert_eq!(ConvGeometry::same(1, [7, 9], [1, 1], 5).out_size(), [7, 9, 1]);
}

#[test]
#[should_panic(expected = "a kernel of [3, 3, 1]")]
fn a_kernel_that_does_not_fit_is_refused() {
    ConvGeometry::valid(1, [2, 5, 1], [1, 1], [3, 3, 1], [1; 3]).out_size();
}
