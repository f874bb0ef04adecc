//! SiLU, alone and with a sum around it, and its derivatives.

use std::mem::MaybeUninit;

use super::{fuses, sigmoid};
use crate::arch::{arch, vectorized};

/// Runs a pass of [`super::wide`] and returns, on a processor with such vectors.
macro_rules! wide {
    ($name:ident($($argument:expr),*)) => {
        #[cfg(target_arch = "x86_64")]
        if matches!(arch(), pulp::Arch::V4(_)) {
            // SAFETY: the processor has the instructions; all slices were brought to one length.
            unsafe { super::wide::$name($($argument),*) };
            return;
        }
    };
}

/// A slice as the place of numbers that a pass writes.
fn place(y: &mut [MaybeUninit<f32>]) -> *mut f32 {
    y.as_mut_ptr().cast()
}

/// `y = scale · x · sigmoid(x)`; writes as many numbers as x has.
pub(crate) fn silu_into(x: &[f32], scale: f32, y: &mut [MaybeUninit<f32>]) {
    let y = &mut y[..x.len()];
    wide!(silu_into(x, scale, y));
    with_sigmoid!(sigmoid => for (y, &x) in y.iter_mut().zip(x) {
        y.write(x * (scale * sigmoid(x)));
    });
}

/// `x ← scale · x · sigmoid(x)`.
pub fn silu_in_place(x: &mut [f32], scale: f32) {
    wide!(silu_in_place(x, scale));
    with_sigmoid!(sigmoid => for x in x.iter_mut() {
        *x = *x * (scale * sigmoid(*x));
    });
}

/// `y ← factor · (y + scale · x · sigmoid(x))`.
pub(crate) fn residual_silu(x: &[f32], scale: f32, factor: f32, y: &mut [f32]) {
    let y = &mut y[..x.len()];
    wide!(residual_silu(x, scale, factor, y.as_ptr(), y.as_mut_ptr()));
    with_sigmoid!(sigmoid => for (y, &x) in y.iter_mut().zip(x) {
        *y = factor * (*y + x * (scale * sigmoid(x)));
    });
}

/// `y = factor · (u + scale · x · sigmoid(x))`; writes as many numbers as x has.
pub(crate) fn residual_silu_into(x: &[f32], scale: f32, factor: f32, u: &[f32], y: &mut [MaybeUninit<f32>]) {
    let (u, y) = (&u[..x.len()], &mut y[..x.len()]);
    wide!(residual_silu(x, scale, factor, u.as_ptr(), place(y)));
    with_sigmoid!(sigmoid => for ((y, &u), &x) in y.iter_mut().zip(u).zip(x) {
        y.write(factor * (u + x * (scale * sigmoid(x))));
    });
}

/// `g ← g · d/dx [scale · x · sigmoid(x)]`.
pub fn silu_backward(x: &[f32], scale: f32, g: &mut [f32]) {
    let g = &mut g[..x.len()];
    wide!(silu_backward(x, scale, g.as_ptr(), g.as_mut_ptr()));
    with_sigmoid!(sigmoid => for (g, &x) in g.iter_mut().zip(x) {
        let s = sigmoid(x);
        *g *= scale * s * (1.0 + x * (1.0 - s));
    });
}

/// `d = g · d/dx [scale · x · sigmoid(x)]`; writes as many numbers as x has.
pub(crate) fn silu_backward_into(x: &[f32], scale: f32, g: &[f32], d: &mut [MaybeUninit<f32>]) {
    let (g, d) = (&g[..x.len()], &mut d[..x.len()]);
    wide!(silu_backward(x, scale, g.as_ptr(), place(d)));
    with_sigmoid!(sigmoid => for ((d, &g), &x) in d.iter_mut().zip(g).zip(x) {
        let s = sigmoid(x);
        d.write(g * (scale * s * (1.0 + x * (1.0 - s))));
    });
}

/// The backward pass of [`residual_silu`]: `g ← factor · g`, the gradient of y, and `d = g · d/dx [scale · x · sigmoid(x)]` with
/// the new g, that of x; writes as many numbers as x has.
pub(crate) fn residual_backward(
    x: &[f32],
    scale: f32,
    factor: f32,
    g: &mut [f32],
    d: &mut [MaybeUninit<f32>],
) {
    let (g, d) = (&mut g[..x.len()], &mut d[..x.len()]);
    wide!(residual_backward(x, scale, factor, g.as_ptr(), g.as_mut_ptr(), place(d)));
    with_sigmoid!(sigmoid => for ((g, d), &x) in g.iter_mut().zip(d).zip(x) {
        let s = sigmoid(x);
        *g *= factor;
        d.write(*g * (scale * s * (1.0 + x * (1.0 - s))));
    });
}

/// [`residual_backward`] with `factor · g` in a place of its own.
pub(crate) fn residual_backward_into(
    x: &[f32],
    scale: f32,
    factor: f32,
    g: &[f32],
    scaled: &mut [MaybeUninit<f32>],
    d: &mut [MaybeUninit<f32>],
) {
    let (g, scaled, d) = (&g[..x.len()], &mut scaled[..x.len()], &mut d[..x.len()]);
    wide!(residual_backward(x, scale, factor, g.as_ptr(), place(scaled), place(d)));
    with_sigmoid!(sigmoid => for (((scaled, d), &g), &x) in scaled.iter_mut().zip(d).zip(g).zip(x) {
        let s = sigmoid(x);
        let g = *scaled.write(g * factor);
        d.write(g * (scale * s * (1.0 + x * (1.0 - s))));
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
    let g = &mut g[..x.len()];
    wide!(silu_and_backward(x.as_ptr(), scale, x.as_mut_ptr(), g));
    with_sigmoid!(sigmoid => for (g, x) in g.iter_mut().zip(x) {
        let s = sigmoid(*x);
        *g *= scale * s * (1.0 + *x * (1.0 - s));
        *x *= scale * s;
    });
}

/// `y = scale · x · sigmoid(x)` and `g ← g · d/dx [scale · x · sigmoid(x)]`; writes as many numbers as x has.
pub(crate) fn silu_and_backward_into(x: &[f32], scale: f32, y: &mut [MaybeUninit<f32>], g: &mut [f32]) {
    let (y, g) = (&mut y[..x.len()], &mut g[..x.len()]);
    wide!(silu_and_backward(x.as_ptr(), scale, place(y), g));
    with_sigmoid!(sigmoid => for ((y, g), &x) in y.iter_mut().zip(g).zip(x) {
        let s = sigmoid(x);
        *g *= scale * s * (1.0 + x * (1.0 - s));
        y.write(x * (scale * s));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::testing::on_every_arch;
    use crate::ops::kernels::as_uninit;

    /// Value and slope in double precision.
    fn exact(x: f32, scale: f32) -> [f64; 2] {
        let (x, scale) = (f64::from(x), f64::from(scale));
        let s = 1.0 / (1.0 + (-x).exp());
        [scale * x * s, scale * s * (1.0 + x * (1.0 - s))]
    }

    #[test]
    fn silu_and_its_slope_agree_with_double_precision() {
        let xs: Vec<f32> = (-4300..=4300).map(|i| 0.02 * i as f32).collect();
        for scale in [1.0, 1.5, 1.0 / 0.6] {
            on_every_arch(|| {
                let (mut y, mut g) = (xs.clone(), vec![1.0; xs.len()]);
                silu_and_backward(&mut y, scale, &mut g);
                for ((&x, &y), &g) in xs.iter().zip(&y).zip(&g) {
                    let [value, slope] = exact(x, scale);
                    let tolerance = 4e-7 + 8e-8 * f64::from(x.abs());
                    assert!(
                        (f64::from(y) - value).abs() <= tolerance * value.abs() + 4e-16,
                        "{x}: {y} {value}"
                    );
                    // What 1 - σ loses by rounding counts x times where it is a difference.
                    let tolerance = 4e-7 + 1.2e-7 * f64::from(x.abs());
                    assert!((f64::from(g) - slope).abs() < tolerance, "{x}: {g} {slope}");
                }
            });
        }
    }

    /// A few units in the last place where activations lie.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn wide_vectors_lose_no_more_than_a_few_bits() {
        if !matches!(arch(), pulp::Arch::V4(_)) {
            return;
        }
        let xs: Vec<f32> = (-80_000..80_000).map(|i| 1e-4 * i as f32).collect();
        for scale in [1.0, 1.0 / 0.6] {
            let (mut y, mut g) = (xs.clone(), vec![1.0; xs.len()]);
            silu_in_place(&mut y, scale);
            silu_backward(&xs, scale, &mut g);
            for ((&x, &y), &g) in xs.iter().zip(&y).zip(&g) {
                let [value, slope] = exact(x, scale);
                assert!((f64::from(y) - value).abs() <= 3.6e-7 * value.abs(), "{x}: {y} {value}");
                assert!((f64::from(g) - slope).abs() < 2.5e-7 * f64::from(scale), "{x}: {g} {slope}");
            }
        }
    }

    #[test]
    fn passes_with_a_place_of_their_own_give_what_those_in_place_do() {
        let numbers = |n: usize, scale: f32| (0..n).map(|i| scale * (0.7 * i as f32 + scale).sin()).collect();
        let close =
            |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-6 * (1.0 + b.abs()));
        for n in [0, 1, 7, 16, 17, 63, 64, 65, 100, 128] {
            let [x, g, u]: [Vec<f32>; 3] = [5.0, 2.0, 3.0].map(|scale| numbers(n, scale));
            on_every_arch(|| {
                let (scale, factor) = (1.3, 0.6);
                let slopes: Vec<f32> = x.iter().map(|&x| exact(x, scale)[1] as f32).collect();
                let values: Vec<f32> = x.iter().map(|&x| exact(x, scale)[0] as f32).collect();
                let by = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f32>>();
                let [mut a, mut b] = [vec![f32::NAN; n], vec![f32::NAN; n]];
                silu_into(&x, scale, as_uninit(&mut a));
                let mut again = x.clone();
                silu_in_place(&mut again, scale);
                assert!(a == again && close(&a, &values));
                residual_silu_into(&x, scale, factor, &u, as_uninit(&mut a));
                let mut again = u.clone();
                residual_silu(&x, scale, factor, &mut again);
                let sums: Vec<f32> = u.iter().zip(&values).map(|(u, v)| factor * (u + v)).collect();
                assert!(a == again && close(&a, &sums));
                silu_backward_into(&x, scale, &g, as_uninit(&mut a));
                let mut again = g.clone();
                silu_backward(&x, scale, &mut again);
                assert!(a == again && close(&a, &by(&g, &slopes)));
                residual_backward_into(&x, scale, factor, &g, as_uninit(&mut a), as_uninit(&mut b));
                let (mut scaled, mut d) = (g.clone(), vec![f32::NAN; n]);
                residual_backward(&x, scale, factor, &mut scaled, as_uninit(&mut d));
                assert!(a == scaled && b == d && close(&d, &by(&scaled, &slopes)));
                assert!(close(&scaled, &g.iter().map(|g| factor * g).collect::<Vec<f32>>()));
                let (mut y, mut d) = (x.clone(), g.clone());
                silu_and_backward(&mut y, scale, &mut d);
                b.copy_from_slice(&g);
                silu_and_backward_into(&x, scale, as_uninit(&mut a), &mut b);
                assert!(a == y && b == d && close(&y, &values) && close(&d, &by(&g, &slopes)));
            });
        }
    }

    /// Products with numbers too small to be normal take many times as long.
    #[test]
    fn what_vanishes_is_zero() {
        let xs: Vec<f32> = (-2000..=0).map(|i| 0.1 * i as f32).collect();
        on_every_arch(|| {
            let (mut y, mut g) = (xs.clone(), vec![1e-10; xs.len()]);
            silu_and_backward(&mut y, 1.0 / 0.6, &mut g);
            let (mut t, mut second) = (vec![1e-5; xs.len()], vec![1e-5; xs.len()]);
            silu_slope_backward(&xs, 1.0, &mut t, &mut second);
            for numbers in [y, g, t, second] {
                assert!(numbers.iter().all(|x| !x.is_subnormal()));
                assert!(numbers[..1000].iter().all(|&x| x == 0.0));
                assert!(numbers[1601..2000].iter().any(|&x| x != 0.0));
            }
        });
    }

    #[test]
    fn far_from_zero_nothing_is_lost() {
        on_every_arch(|| {
            let x = [-1e30, -1e10, -1e5, -90.0, 90.0, 1e5, 1e10, 1e30];
            let (mut y, mut g) = (x, [1.0; 8]);
            silu_and_backward(&mut y, 1.0, &mut g);
            for i in 0..8 {
                let limit = if x[i] < 0.0 { 0.0 } else { 1.0 };
                assert!((y[i] - limit * x[i]).abs() <= 1e-7 * x[i].abs().max(1.0), "{}: {}", x[i], y[i]);
                assert!((g[i] - limit).abs() <= 1e-7, "{}: {}", x[i], g[i]);
            }
            let mut odd = [f32::NAN, f32::INFINITY];
            silu_in_place(&mut odd, 1.0);
            assert!(odd[0].is_nan() && odd[1] == f32::INFINITY);
        });
    }
}
