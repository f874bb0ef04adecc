//! Numbers that a network runs in: 32 bits for use, 64 bits to check them.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use druse_nn::arch::arch;
use druse_nn::ops::{Panels, View, exp, multiply_into, silu_backward, silu_in_place};
use pulp::Simd;

/// A floating-point number with the matrix products and activations of a network.
pub(crate) trait Real:
    Copy
    + Default
    + Send
    + Sync
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    /// A matrix made ready for the right side of products.
    type Matrix: Send + Sync + std::fmt::Debug;

    const ONE: Self;

    fn narrow(x: f64) -> Self;
    fn wide(self) -> f64;
    fn root(self) -> Self;

    /// e^x, clamped to where it is a normal number. `FUSED` is for code that runs on processors which multiply and add in one
    /// instruction.
    fn exp<const FUSED: bool>(self) -> Self;

    /// Neighboring numbers that one instruction works on.
    type Vector<S: Simd>: Copy;

    /// Numbers as vectors, without those at the end that make no vector.
    fn vectors<S: Simd>(x: &[Self]) -> &[Self::Vector<S>];
    /// As [`Real::vectors`].
    fn vectors_mut<S: Simd>(x: &mut [Self]) -> &mut [Self::Vector<S>];
    /// A vector of equal numbers.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a · b`.
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a · b + c`, rounded once where the processor can.
    fn times_plus<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// The sum of the numbers of a vector.
    fn sum<S: Simd>(simd: S, x: Self::Vector<S>) -> Self;

    /// A row-major matrix of this shape.
    fn pack(values: &[f64], shape: [usize; 2]) -> Self::Matrix;

    /// `dst = a · b`, or `+=` with `accumulate`, for `rows` rows that lie the given strides apart. The result of a row does
    /// not depend on the other rows.
    fn multiply(
        dst: &mut [Self],
        dst_stride: usize,
        rows: usize,
        a: &[Self],
        a_stride: usize,
        b: &Self::Matrix,
        accumulate: bool,
    );

    /// `x ← x · sigmoid(x)`.
    fn silu(x: &mut [Self]);

    /// `g ← g · d/dx [x · sigmoid(x)]`.
    fn silu_backward(x: &[Self], g: &mut [Self]);
}

/// Numbers in a vector.
pub(crate) const fn lanes<R: Real, S: Simd>() -> usize {
    size_of::<R::Vector<S>>() / size_of::<R>()
}

impl Real for f32 {
    type Matrix = Panels;

    const ONE: Self = 1.0;

    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x as Self
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn exp<const FUSED: bool>(self) -> Self {
        exp::<FUSED>(self)
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }

    type Vector<S: Simd> = S::f32s;

    #[inline(always)]
    fn vectors<S: Simd>(x: &[f32]) -> &[S::f32s] {
        S::as_simd_f32s(x).0
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(x: &mut [f32]) -> &mut [S::f32s] {
        S::as_mut_simd_f32s(x).0
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f32) -> S::f32s {
        simd.splat_f32s(x)
    }

    #[inline(always)]
    fn times<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.mul_f32s(a, b)
    }

    #[inline(always)]
    fn times_plus<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, c)
    }

    #[inline(always)]
    fn sum<S: Simd>(simd: S, x: S::f32s) -> f32 {
        simd.reduce_sum_f32s(x)
    }

    fn pack(values: &[f64], shape: [usize; 2]) -> Panels {
        let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        Panels::pack(View::rows(&values, shape[1]), shape)
    }

    fn multiply(
        dst: &mut [f32],
        dst_stride: usize,
        rows: usize,
        a: &[f32],
        a_stride: usize,
        b: &Panels,
        accumulate: bool,
    ) {
        multiply_into(dst, dst_stride, rows, View::rows(a, a_stride), b, accumulate);
    }

    fn silu(x: &mut [f32]) {
        silu_in_place(x, 1.0);
    }

    fn silu_backward(x: &[f32], g: &mut [f32]) {
        silu_backward(x, 1.0, g);
    }
}

/// A row-major matrix of 64-bit numbers.
#[derive(Debug)]
pub(crate) struct WideMatrix {
    values: Vec<f64>,
    cols: usize,
}

impl Real for f64 {
    type Matrix = WideMatrix;

    const ONE: Self = 1.0;

    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn exp<const FUSED: bool>(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }

    type Vector<S: Simd> = S::f64s;

    #[inline(always)]
    fn vectors<S: Simd>(x: &[f64]) -> &[S::f64s] {
        S::as_simd_f64s(x).0
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(x: &mut [f64]) -> &mut [S::f64s] {
        S::as_mut_simd_f64s(x).0
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f64) -> S::f64s {
        simd.splat_f64s(x)
    }

    #[inline(always)]
    fn times<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.mul_f64s(a, b)
    }

    #[inline(always)]
    fn times_plus<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        simd.mul_add_e_f64s(a, b, c)
    }

    #[inline(always)]
    fn sum<S: Simd>(simd: S, x: S::f64s) -> f64 {
        simd.reduce_sum_f64s(x)
    }

    fn pack(values: &[f64], [rows, cols]: [usize; 2]) -> WideMatrix {
        debug_assert_eq!(values.len(), rows * cols);
        WideMatrix { values: values.to_vec(), cols }
    }

    fn multiply(
        dst: &mut [f64],
        dst_stride: usize,
        rows: usize,
        a: &[f64],
        a_stride: usize,
        b: &WideMatrix,
        accumulate: bool,
    ) {
        let depth = b.values.len() / b.cols;
        for row in 0..rows {
            let to = &mut dst[row * dst_stride..][..b.cols];
            let from = &a[row * a_stride..][..depth];
            arch().dispatch(|| {
                if !accumulate {
                    to.fill(0.0);
                }
                for (&a, b) in from.iter().zip(b.values.chunks_exact(b.cols)) {
                    for (to, &b) in to.iter_mut().zip(b) {
                        *to += a * b;
                    }
                }
            });
        }
    }

    fn silu(x: &mut [f64]) {
        x.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp());
    }

    fn silu_backward(x: &[f64], g: &mut [f64]) {
        for (g, &x) in g.iter_mut().zip(x) {
            let s = 1.0 / (1.0 + (-x).exp());
            *g *= s * (1.0 + x * (1.0 - s));
        }
    }
}
