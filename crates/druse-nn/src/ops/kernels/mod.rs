//! Vectorized element-wise functions on slices.

use std::mem::MaybeUninit;

use crate::arch::{arch, vectorized};

/// Runs a loop over the logistic function with or without fused multiplication.
macro_rules! with_sigmoid {
    ($sigmoid:ident => $body:expr) => {
        if fuses() {
            vectorized!({
                let $sigmoid = |x: f32| sigmoid::<true>(x);
                $body
            })
        } else {
            vectorized!({
                let $sigmoid = |x: f32| sigmoid::<false>(x);
                $body
            })
        }
    };
}

mod gates;
mod silu;
#[cfg(target_arch = "x86_64")]
mod wide;

pub(crate) use gates::{
    add_gated, add_sigmoid_weighted, gated_backward, sigmoid_weighted_backward, softplus_backward,
    softplus_into,
};
pub(crate) use silu::{
    residual_backward, residual_backward_into, residual_silu, residual_silu_into, silu_and_backward,
    silu_and_backward_into, silu_backward_into, silu_into, silu_slope_backward,
};
pub use silu::{silu_backward, silu_in_place};

/// `a · b + c`, in one instruction when `FUSED`.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// e^x with a relative error below `3e-7 + |x| 8e-8` (a quarter of the second part when `FUSED`), the argument clamped to
/// where the result is a normal number. Straight-line code, so that loops over it vectorize: the nearest power of two
/// times a polynomial of degree five for `2^r`, |r| <= 1/2, whose coefficients minimize the largest relative error.
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    let x = x.clamp(-86.0, 87.0);
    // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    let shifted = multiply_add::<FUSED>(x, LOG2_E, 12_582_912.0);
    let r = multiply_add::<FUSED>(x, LOG2_E, -(shifted - 12_582_912.0));
    let p = multiply_add::<FUSED>(1.331_010_1e-3, r, 9.670_957e-3);
    let p = multiply_add::<FUSED>(p, r, 5.550_586e-2);
    let p = multiply_add::<FUSED>(p, r, 2.402_226_3e-1);
    let p = multiply_add::<FUSED>(p, r, 6.931_470_6e-1);
    let p = multiply_add::<FUSED>(p, r, 1.0);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Below this argument the logistic function is zero: it is smaller than 5e-18, which no sum of activations feels in 32 bits.
/// Multiplied on through layers and gradients, such factors end as numbers too small to be normal, and processors
/// compute products with those many times slower.
const VANISHING: f32 = -40.0;

/// The logistic function, zero below [`VANISHING`].
#[inline(always)]
fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    let s = 1.0 / (1.0 + exp::<FUSED>(-x));
    // What is no number stays none.
    if x < VANISHING { 0.0 } else { s }
}

/// Whether `vectorized!` code may fuse multiplication and addition. The baseline of x86-64 cannot: there `mul_add`
/// would be a library call.
fn fuses() -> bool {
    !matches!(arch(), pulp::Arch::Scalar)
}

/// `y = z · sigmoid(z)` with `z = (x - mean) · factor + offset`, where each column has its mean, factor and offset; writes
/// as many numbers as x has.
pub(crate) fn normalized_silu_into(
    x: &[f32],
    [mean, factor, offset]: [&[f32]; 3],
    y: &mut [MaybeUninit<f32>],
) {
    let (cols, y) = (mean.len().max(1), &mut y[..x.len()]);
    with_sigmoid!(sigmoid => for (y, x) in y.chunks_exact_mut(cols).zip(x.chunks_exact(cols)) {
        for ((((y, &x), &m), &f), &o) in y.iter_mut().zip(x).zip(mean).zip(factor).zip(offset) {
            let z = (x - m) * f + o;
            y.write(z * sigmoid(z));
        }
    });
}

/// `g ← g · d/dz [z · sigmoid(z)]` with z as in [`normalized_silu_into`]; adds the columns of g and of `g · (x - mean)` to
/// `sums` and `tilts`.
pub(crate) fn normalized_silu_backward(
    x: &[f32],
    [mean, factor, offset]: [&[f32]; 3],
    g: &mut [f32],
    sums: &mut [f32],
    tilts: &mut [f32],
) {
    let cols = mean.len().max(1);
    with_sigmoid!(sigmoid => for (g, x) in g.chunks_exact_mut(cols).zip(x.chunks_exact(cols)) {
        let columns = mean.iter().zip(factor).zip(offset).zip(sums.iter_mut()).zip(tilts.iter_mut());
        for ((g, &x), ((((&m, &f), &o), sum), tilt)) in g.iter_mut().zip(x).zip(columns) {
            let centered = x - m;
            let z = centered * f + o;
            let s = sigmoid(z);
            *g *= s * (1.0 + z * (1.0 - s));
            *sum += *g;
            *tilt += *g * centered;
        }
    });
}

/// Partial results, so that a row is reduced in vectors.
const LANES: usize = 16;

/// The softmax of `scale · x`: `x ← exp(scale · x) / Σ exp(scale · x)`.
pub(crate) fn softmax_in_place(x: &mut [f32], scale: f32) {
    if fuses() {
        vectorized!(softmax::<true>(x, scale));
    } else {
        vectorized!(softmax::<false>(x, scale));
    }
}

#[inline(always)]
fn softmax<const FUSED: bool>(x: &mut [f32], scale: f32) {
    let mut tops = [f32::NEG_INFINITY; LANES];
    for part in x.chunks(LANES) {
        for (top, &x) in tops.iter_mut().zip(part) {
            *top = top.max(scale * x);
        }
    }
    let top = tops.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0f32; LANES];
    for part in x.chunks_mut(LANES) {
        for (sum, x) in sums.iter_mut().zip(part) {
            *x = exp::<FUSED>(multiply_add::<FUSED>(scale, *x, -top));
            *sum += *x;
        }
    }
    let factor = 1.0 / sums.iter().sum::<f32>();
    for x in x.iter_mut() {
        *x *= factor;
    }
}

/// The backward pass of a softmax of `scale · x` with the result p: `g ← scale · p · (g - Σ p g)`.
pub(crate) fn softmax_backward(p: &[f32], scale: f32, g: &mut [f32]) {
    vectorized!({
        let mut sums = [0f32; LANES];
        for (p, g) in p.chunks(LANES).zip(g.chunks(LANES)) {
            for ((sum, &p), &g) in sums.iter_mut().zip(p).zip(g) {
                *sum += p * g;
            }
        }
        let level = sums.iter().sum::<f32>();
        for (g, &p) in g.iter_mut().zip(p) {
            *g = scale * p * (*g - level);
        }
    });
}

/// Density of the normal distribution and its integral up to x, with an absolute error below 2e-7 (Abramowitz and Stegun
/// 1964, 7.1.26).
#[inline(always)]
fn normal<const FUSED: bool>(x: f32) -> [f32; 2] {
    const INVERSE_ROOT: f32 = 0.398_942_3;
    let y = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let e = exp::<FUSED>(-y * y);
    let t = 1.0 / (1.0 + 0.327_591_1 * y);
    let p = multiply_add::<FUSED>(1.061_405_4, t, -1.453_152);
    let p = multiply_add::<FUSED>(p, t, 1.421_413_7);
    let p = multiply_add::<FUSED>(p, t, -0.284_496_74);
    let p = multiply_add::<FUSED>(p, t, 0.254_829_6) * t;
    let tail = 0.5 * p * e;
    [INVERSE_ROOT * e, if x < 0.0 { tail } else { 1.0 - tail }]
}

/// `x ← x Φ(x)` with the integral Φ of the normal distribution (GELU).
pub(crate) fn gelu_in_place(x: &mut [f32]) {
    if fuses() {
        vectorized!(for x in x.iter_mut() {
            *x *= normal::<true>(*x)[1];
        });
    } else {
        vectorized!(for x in x.iter_mut() {
            *x *= normal::<false>(*x)[1];
        });
    }
}

/// `g ← g · d/dx [x Φ(x)]`.
pub(crate) fn gelu_backward(x: &[f32], g: &mut [f32]) {
    let slope = |x: f32, [density, integral]: [f32; 2]| integral + x * density;
    if fuses() {
        vectorized!(for (g, &x) in g.iter_mut().zip(x) {
            *g *= slope(x, normal::<true>(x));
        });
    } else {
        vectorized!(for (g, &x) in g.iter_mut().zip(x) {
            *g *= slope(x, normal::<false>(x));
        });
    }
}

/// Writes the transpose of a row-major matrix with `cols` columns.
///
/// # Panics
/// When the numbers do not fill rows, or `to` has fewer.
pub(crate) fn transpose(from: &[f32], cols: usize, to: &mut [f32]) {
    let (rows, to) = (from.len() / cols.max(1), &mut to[..from.len()]);
    assert_eq!(rows * cols, from.len(), "a matrix has whole rows");
    #[cfg(target_arch = "x86_64")]
    if matches!(arch(), pulp::Arch::V4(_)) && rows.is_multiple_of(16) && cols.is_multiple_of(16) {
        // SAFETY: the processor has the instructions, and both slices hold a matrix of whole tiles.
        return unsafe { wide::transpose(from, [rows, cols], to) };
    }
    for (i, row) in from.chunks_exact(cols.max(1)).enumerate() {
        for (&x, to) in row.iter().zip(to[i..].iter_mut().step_by(rows)) {
            *to = x;
        }
    }
}

/// Memory to be written to. Passes write numbers alone, so that the slice holds numbers afterwards, too.
pub(crate) fn as_uninit(x: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: numbers have the layout of numbers that need not be there, and what writes to them writes numbers.
    unsafe { &mut *(std::ptr::from_mut(x) as *mut [MaybeUninit<f32>]) }
}

/// `y += x`.
#[inline(always)]
pub(crate) fn add_assign(y: &mut [f32], x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `y += factor · x`.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], x: &[f32], factor: f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::testing::on_every_arch;

    #[test]
    fn exp_is_accurate() {
        for i in -8600..=8700 {
            let x = i as f32 * 0.01;
            let exact = f64::from(x).exp();
            for (y, slope) in [(exp::<false>(x), 8e-8), (exp::<true>(x), 2e-8)] {
                let error = (f64::from(y) / exact - 1.0).abs();
                assert!(error < 3e-7 + f64::from(x.abs()) * slope, "{x}: {y} {exact}");
            }
        }
        assert!(sigmoid::<true>(-1e9) >= 0.0 && sigmoid::<true>(1e9) == 1.0);
        assert!(sigmoid::<false>(-1e9) >= 0.0 && sigmoid::<false>(1e9) == 1.0);
    }

    #[test]
    fn transposes_of_whole_tiles_and_others() {
        for [rows, cols] in [[16, 16], [64, 16], [16, 48], [5, 3], [1, 7], [32, 17]] {
            let from: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            on_every_arch(|| {
                let mut to = vec![f32::NAN; rows * cols];
                transpose(&from, cols, &mut to);
                for (at, &x) in to.iter().enumerate() {
                    assert_eq!(x, from[at % rows * cols + at / rows], "{rows} x {cols}");
                }
            });
        }
    }

    #[test]
    fn softmax_and_gelu_agree_with_double_precision() {
        let xs: Vec<f32> = (-150..=150).map(|i| 0.05 * i as f32).collect();
        on_every_arch(|| {
            let mut p = xs.clone();
            softmax_in_place(&mut p, 0.7);
            let weight = |x: f32| (0.7 * f64::from(x)).exp();
            let sum: f64 = xs.iter().map(|&x| weight(x)).sum();
            let (mut y, mut slope) = (xs.clone(), vec![1.0; xs.len()]);
            gelu_in_place(&mut y);
            gelu_backward(&xs, &mut slope);
            // The integral by Simpson's rule from 0, in double precision.
            let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
            for (i, &x) in xs.iter().enumerate() {
                assert!((f64::from(p[i]) - weight(x) / sum).abs() < 1e-6 * weight(x) / sum + 1e-12, "{x}");
                let x = f64::from(x);
                let h = x / 1000.0;
                let sum: f64 = (0..500)
                    .map(|k| h * 2.0 * f64::from(k))
                    .map(|t| density(t) + 4.0 * density(t + h) + density(t + 2.0 * h))
                    .sum();
                let integral = 0.5 + sum * h / 3.0;
                assert!((f64::from(y[i]) - x * integral).abs() < 2e-6, "{x}: {}", y[i]);
                assert!((f64::from(slope[i]) - integral - x * density(x)).abs() < 2e-6, "{x}: {}", slope[i]);
            }
        });
    }
}
