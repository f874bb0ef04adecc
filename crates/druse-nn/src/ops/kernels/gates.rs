//! Gates of crystal graph networks: softplus, and sums of edges weighted by the logistic function.

use std::mem::MaybeUninit;

use super::{exp, fuses, multiply_add, sigmoid};
use crate::arch::vectorized;

/// `ln(1 + t)` for t in [0, 1], with a relative error below 3e-7: twice the inverse hyperbolic tangent of `t / (2 + t)`, which is
/// at most 1/3, by its series.
#[inline(always)]
fn ln_1p<const FUSED: bool>(t: f32) -> f32 {
    let s = t / (2.0 + t);
    let q = s * s;
    let p = multiply_add::<FUSED>(2.0 / 13.0, q, 2.0 / 11.0);
    let p = multiply_add::<FUSED>(p, q, 2.0 / 9.0);
    let p = multiply_add::<FUSED>(p, q, 2.0 / 7.0);
    let p = multiply_add::<FUSED>(p, q, 2.0 / 5.0);
    let p = multiply_add::<FUSED>(p, q, 2.0 / 3.0);
    let p = multiply_add::<FUSED>(p, q, 2.0);
    s * p
}

/// `ln(1 + e^x)`, in the form that neither overflows nor loses digits.
#[inline(always)]
fn softplus<const FUSED: bool>(x: f32) -> f32 {
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + ln_1p::<FUSED>(exp::<FUSED>(-x.abs()))
}

/// Runs a loop with the functions of fused or separate multiplication.
macro_rules! fused_or_not {
    ($name:ident($($argument:expr),*)) => {
        if fuses() { vectorized!($name::<true>($($argument),*)) } else { vectorized!($name::<false>($($argument),*)) }
    };
}

/// `y = ln(1 + e^x)`; writes as many numbers as x has.
pub(crate) fn softplus_into(x: &[f32], y: &mut [MaybeUninit<f32>]) {
    fused_or_not!(softplus_loop(x, &mut y[..x.len()]));
}

#[inline(always)]
fn softplus_loop<const FUSED: bool>(x: &[f32], y: &mut [MaybeUninit<f32>]) {
    for (y, &x) in y.iter_mut().zip(x) {
        y.write(softplus::<FUSED>(x));
    }
}

/// `g ← g · d/dx ln(1 + e^x)`.
pub(crate) fn softplus_backward(x: &[f32], g: &mut [f32]) {
    fused_or_not!(softplus_backward_loop(x, g));
}

#[inline(always)]
fn softplus_backward_loop<const FUSED: bool>(x: &[f32], g: &mut [f32]) {
    for (g, &x) in g.iter_mut().zip(x) {
        *g *= sigmoid::<FUSED>(x);
    }
}

/// `y[index[e]] += weight[e] · σ(gate[e]) · softplus(core[e])`: the rows of z are gate and core, of `width` numbers each.
pub(crate) fn add_gated(z: &[f32], width: usize, index: &[u32], weight: Option<&[f32]>, y: &mut [f32]) {
    fused_or_not!(add_gated_loop(z, width, index, weight, y));
}

#[inline(always)]
fn add_gated_loop<const FUSED: bool>(
    z: &[f32],
    width: usize,
    index: &[u32],
    weight: Option<&[f32]>,
    y: &mut [f32],
) {
    for (e, (z, &i)) in z.chunks_exact(2 * width).zip(index).enumerate() {
        let (gate, core) = z.split_at(width);
        let w = weight.map_or(1.0, |weight| weight[e]);
        let y = &mut y[i as usize * width..][..width];
        for ((y, &a), &b) in y.iter_mut().zip(gate).zip(core) {
            *y += w * sigmoid::<FUSED>(a) * softplus::<FUSED>(b);
        }
    }
}

/// The gradient of [`add_gated`] with respect to z, where `g` is that of y; writes as many numbers as z has.
pub(crate) fn gated_backward(
    z: &[f32],
    width: usize,
    index: &[u32],
    weight: Option<&[f32]>,
    g: &[f32],
    dz: &mut [MaybeUninit<f32>],
) {
    fused_or_not!(gated_backward_loop(z, width, index, weight, g, &mut dz[..z.len()]));
}

#[inline(always)]
fn gated_backward_loop<const FUSED: bool>(
    z: &[f32],
    width: usize,
    index: &[u32],
    weight: Option<&[f32]>,
    g: &[f32],
    dz: &mut [MaybeUninit<f32>],
) {
    let rows = z.chunks_exact(2 * width).zip(dz.chunks_exact_mut(2 * width)).zip(index);
    for (e, ((z, dz), &i)) in rows.enumerate() {
        let (gate, core) = z.split_at(width);
        let (d_gate, d_core) = dz.split_at_mut(width);
        let w = weight.map_or(1.0, |weight| weight[e]);
        let g = &g[i as usize * width..][..width];
        let columns = d_gate.iter_mut().zip(d_core).zip(gate.iter().zip(core)).zip(g);
        for (((d_gate, d_core), (&a, &b)), &g) in columns {
            let (s, g) = (sigmoid::<FUSED>(a), w * g);
            d_gate.write(g * s * (1.0 - s) * softplus::<FUSED>(b));
            d_core.write(g * s * sigmoid::<FUSED>(b));
        }
    }
}

/// `sums[target[e]] += σ(m[e])` and `values[target[e]] += σ(m[e]) · v[source[e]]`, rows of `width` numbers.
pub(crate) fn add_sigmoid_weighted(
    m: &[f32],
    v: &[f32],
    width: usize,
    [source, target]: [&[u32]; 2],
    values: &mut [f32],
    sums: &mut [f32],
) {
    fused_or_not!(add_sigmoid_weighted_loop(m, v, width, [source, target], values, sums));
}

#[inline(always)]
fn add_sigmoid_weighted_loop<const FUSED: bool>(
    m: &[f32],
    v: &[f32],
    width: usize,
    [source, target]: [&[u32]; 2],
    values: &mut [f32],
    sums: &mut [f32],
) {
    for (m, (&i, &j)) in m.chunks_exact(width).zip(source.iter().zip(target)) {
        let v = &v[i as usize * width..][..width];
        let (value, sum) =
            (&mut values[j as usize * width..][..width], &mut sums[j as usize * width..][..width]);
        for ((value, sum), (&m, &v)) in value.iter_mut().zip(sum).zip(m.iter().zip(v)) {
            let s = sigmoid::<FUSED>(m);
            *value += s * v;
            *sum += s;
        }
    }
}

/// The gradients of a mean weighted by the logistic function: with `h = values / (sums + ε)` of [`add_sigmoid_weighted`] and its
/// gradient over `sums + ε` in `g`, writes that of m, as many numbers as m has, and adds that of v to `dv`.
pub(crate) fn sigmoid_weighted_backward(
    [m, v, h, g]: [&[f32]; 4],
    width: usize,
    [source, target]: [&[u32]; 2],
    dm: &mut [MaybeUninit<f32>],
    dv: &mut [f32],
) {
    fused_or_not!(sigmoid_weighted_backward_loop(
        [m, v, h, g],
        width,
        [source, target],
        &mut dm[..m.len()],
        dv
    ));
}

#[inline(always)]
fn sigmoid_weighted_backward_loop<const FUSED: bool>(
    [m, v, h, g]: [&[f32]; 4],
    width: usize,
    [source, target]: [&[u32]; 2],
    dm: &mut [MaybeUninit<f32>],
    dv: &mut [f32],
) {
    let rows = m.chunks_exact(width).zip(dm.chunks_exact_mut(width));
    for ((m, dm), (&i, &j)) in rows.zip(source.iter().zip(target)) {
        let (from, to) = (i as usize * width, j as usize * width);
        let (v, dv) = (&v[from..][..width], &mut dv[from..][..width]);
        let (h, g) = (&h[to..][..width], &g[to..][..width]);
        for (((dm, &m), (&v, dv)), (&h, &g)) in
            dm.iter_mut().zip(m).zip(v.iter().zip(dv)).zip(h.iter().zip(g))
        {
            let s = sigmoid::<FUSED>(m);
            dm.write(g * (v - h) * s * (1.0 - s));
            *dv += s * g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::testing::on_every_arch;
    use crate::ops::product::new_vec;

    #[test]
    fn softplus_agrees_with_double_precision() {
        let xs: Vec<f32> = (-400..=400).map(|i| 0.2 * i as f32).collect();
        on_every_arch(|| {
            // SAFETY: the function writes every number.
            let y = unsafe { new_vec(xs.len(), |y| softplus_into(&xs, y)) };
            let mut slope = vec![1.0; xs.len()];
            softplus_backward(&xs, &mut slope);
            for (i, &x) in xs.iter().enumerate() {
                let x = f64::from(x);
                let exact = x.max(0.0) + (-x.abs()).exp().ln_1p();
                let error = 1e-6 * exact * (1.0 + x.abs() * 0.1);
                assert!((f64::from(y[i]) - exact).abs() < error, "{x}: {} {exact}", y[i]);
                assert!((f64::from(slope[i]) - 1.0 / (1.0 + (-x).exp())).abs() < 1e-6, "{x}: {}", slope[i]);
            }
            let mut none = [f32::NAN];
            // SAFETY: as above.
            let y = unsafe { new_vec(1, |y| softplus_into(&none, y)) };
            assert!(y[0].is_nan());
            softplus_backward(&[f32::INFINITY], &mut none);
            assert!(none[0].is_nan());
        });
    }
}
