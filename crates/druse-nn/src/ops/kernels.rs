//! Vectorized element-wise functions on slices.

use std::mem::MaybeUninit;

use crate::arch::{arch, vectorized};

/// `a · b + c`, in one instruction when `FUSED`.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// e^x with a relative error below `3e-7 + |x| 8e-8` (a quarter of the second part when `FUSED`), the argument clamped to
/// where the result is a normal number. Straight-line code, so that loops over it vectorize: the nearest power of two
/// times a polynomial of degree five for `2^r`, |r| <= 1/2, whose coefficients minimize the largest relative error.
#[inline(always)]
fn exp<const FUSED: bool>(x: f32) -> f32 {
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

/// The logistic function.
#[inline(always)]
fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FUSED>(-x))
}

/// Whether `vectorized!` code may fuse multiplication and addition. The baseline of x86-64 cannot: there `mul_add`
/// would be a library call.
fn fuses() -> bool {
    !matches!(arch(), pulp::Arch::Scalar)
}

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

/// `y = scale · x · sigmoid(x)`; writes as many numbers as x has.
pub(crate) fn silu_into(x: &[f32], scale: f32, y: &mut [MaybeUninit<f32>]) {
    let y = &mut y[..x.len()];
    with_sigmoid!(sigmoid => for (y, &x) in y.iter_mut().zip(x) {
        y.write(x * (scale * sigmoid(x)));
    });
}

/// `x ← scale · x · sigmoid(x)`.
pub(crate) fn silu_in_place(x: &mut [f32], scale: f32) {
    with_sigmoid!(sigmoid => for x in x.iter_mut() {
        *x = *x * (scale * sigmoid(*x));
    });
}

/// `y ← factor · (y + scale · x · sigmoid(x))`.
pub(crate) fn residual_silu(x: &[f32], scale: f32, factor: f32, y: &mut [f32]) {
    with_sigmoid!(sigmoid => for (y, &x) in y.iter_mut().zip(x) {
        *y = factor * (*y + x * (scale * sigmoid(x)));
    });
}

/// `g ← g · d/dx [scale · x · sigmoid(x)]`.
pub(crate) fn silu_backward(x: &[f32], scale: f32, g: &mut [f32]) {
    with_sigmoid!(sigmoid => for (g, &x) in g.iter_mut().zip(x) {
        let s = sigmoid(x);
        *g *= scale * s * (1.0 + x * (1.0 - s));
    });
}

/// `t ← g · t · d²/dx² [scale · x · sigmoid(x)]` and `g ← g · d/dx [scale · x · sigmoid(x)]`: the backward pass of
/// `t · d/dx [scale · x · sigmoid(x)]`.
pub(crate) fn silu_slope_backward(x: &[f32], scale: f32, t: &mut [f32], g: &mut [f32]) {
    with_sigmoid!(sigmoid => for ((g, t), &x) in g.iter_mut().zip(t).zip(x) {
        let s = sigmoid(x);
        let rest = 1.0 - s;
        *t *= *g * scale * s * rest * (2.0 + x * (rest - s));
        *g *= scale * s * (1.0 + x * rest);
    });
}

/// `x ← scale · x · sigmoid(x)` and `g ← g · d/dx [scale · x · sigmoid(x)]` at the old x.
pub(crate) fn silu_and_backward(x: &mut [f32], scale: f32, g: &mut [f32]) {
    with_sigmoid!(sigmoid => for (g, x) in g.iter_mut().zip(x) {
        let s = sigmoid(*x);
        *g *= scale * s * (1.0 + *x * (1.0 - s));
        *x *= scale * s;
    });
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
    fn silu_and_its_slope_agree_with_double_precision() {
        let xs: Vec<f32> = (-300..=300).map(|i| 0.07 * i as f32).collect();
        on_every_arch(|| {
            let (mut y, mut g) = (xs.clone(), vec![1.0; xs.len()]);
            silu_and_backward(&mut y, 1.5, &mut g);
            let mut again = xs.clone();
            silu_in_place(&mut again, 1.5);
            assert_eq!(again, y);
            for ((&x, &y), &g) in xs.iter().zip(&y).zip(&g) {
                let x = f64::from(x);
                let s = 1.0 / (1.0 + (-x).exp());
                let (value, slope) = (1.5 * x * s, 1.5 * s * (1.0 + x * (1.0 - s)));
                assert!((f64::from(y) - value).abs() < 1e-6 * value.abs() + 1e-9, "{x}: {y} {value}");
                assert!((f64::from(g) - slope).abs() < 2e-6, "{x}: {g} {slope}");
            }
        });
    }
}
