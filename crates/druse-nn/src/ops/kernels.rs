//! Slices in, slices out: matrix products and vectorised element-wise functions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gemm::Parallelism;

/// Whether [`product`] counts. Off except while a benchmark counts one step: threads would share the counter.
static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNTED: AtomicU64 = AtomicU64::new(0);

/// Runs `work` and returns its result with the floating-point operations (two for each multiplication with addition)
/// of all matrix products that were run by hand meanwhile, on any thread.
pub(crate) fn count_products<T>(work: impl FnOnce() -> T) -> (T, u64) {
    COUNTED.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::Relaxed);
    let result = work();
    COUNTING.store(false, Ordering::Relaxed);
    (result, COUNTED.load(Ordering::Relaxed))
}

/// A strided view of a matrix for [`product`]: entry (i, j) is at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix with `cols` columns.
    pub fn rows(data: &'a [f32], cols: usize) -> Self {
        Self { data, row_stride: cols, col_stride: 1 }
    }

    /// The transpose of a row-major matrix with `cols` columns.
    pub fn transposed(data: &'a [f32], cols: usize) -> Self {
        Self { data, row_stride: 1, col_stride: cols }
    }

    fn reaches(&self, rows: usize, cols: usize) -> bool {
        rows == 0
            || cols == 0
            || (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.data.len()
    }
}

/// `dst (m×n, row-major) = a (m×k) · b (k×n)`, or `+=` with `accumulate`.
///
/// # Panics
/// When a view is too short for its shape.
pub(crate) fn product(dst: &mut [f32], [m, n, k]: [usize; 3], a: View<'_>, b: View<'_>, accumulate: bool) {
    assert!(dst.len() >= m * n, "matrix product out of bounds");
    if k == 0 && !accumulate {
        dst[..m * n].fill(0.0);
    }
    // SAFETY: `dst` has room for the result, and is borrowed mutably, so it overlaps neither operand.
    unsafe { multiply(dst.as_mut_ptr(), [m, n, k], a, b, accumulate) }
}

/// `a (m×k) · b (k×n)` in memory that nobody filled with zeros before.
///
/// # Panics
/// When a view is too short for its shape.
pub(crate) fn new_product([m, n, k]: [usize; 3], a: View<'_>, b: View<'_>) -> Vec<f32> {
    if k == 0 {
        return vec![0.0; m * n];
    }
    let mut out = Vec::with_capacity(m * n);
    // SAFETY: the vector has room for m·n numbers; without accumulation the product reads none of them and writes all.
    unsafe {
        multiply(out.as_mut_ptr(), [m, n, k], a, b, false);
        out.set_len(m * n);
    }
    out
}

/// The product of [`product`]; leaves `dst` alone when k = 0.
///
/// # Safety
/// `dst` must be valid for m·n writes, with `accumulate` hold m·n numbers, and overlap neither view.
unsafe fn multiply(dst: *mut f32, [m, n, k]: [usize; 3], a: View<'_>, b: View<'_>, accumulate: bool) {
    assert!(a.reaches(m, k) && b.reaches(k, n), "matrix product out of bounds");
    if k == 0 {
        return;
    }
    if COUNTING.load(Ordering::Relaxed) {
        COUNTED.fetch_add(2 * (m * n * k) as u64, Ordering::Relaxed);
    }
    // SAFETY: the assertion above bounds every address of the operands that strides and counts can form; the caller
    // answers for `dst`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            1,
            n as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `out (m×n) = a (m×k) · bᵀ` with b (n×k), all row-major, on the calling thread: the product inside a linear layer.
///
/// # Panics
/// When a slice is too short for its shape.
pub(crate) fn matrix_product(out: &mut [f32], shape: [usize; 3], a: &[f32], b: &[f32]) {
    let k = shape[2];
    product(out, shape, View::rows(a, k), View::transposed(b, k), false);
}

/// Runs the closure compiled for the widest vector instructions of this processor.
macro_rules! vectorized {
    ($body:expr) => {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || $body,
        )
    };
}
pub(crate) use vectorized;

/// `a · b + c`, in one instruction when `FUSED`.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// e^x with a relative error of about 2e-7; the argument is clamped to where the result is a normal number.
/// (Cephes polynomial; straight-line code, so that loops over it vectorise.)
#[inline(always)]
fn exp<const FUSED: bool>(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, 12_582_912.0);
    let n = shifted - 12_582_912.0;
    let r = multiply_add::<FUSED>(n, 2.121_944_4e-4, multiply_add::<FUSED>(n, -0.693_359_4, x));
    let p = 1.987_569_1e-4;
    let p = multiply_add::<FUSED>(p, r, 1.398_199_9e-3);
    let p = multiply_add::<FUSED>(p, r, 8.333_452e-3);
    let p = multiply_add::<FUSED>(p, r, 4.166_579_6e-2);
    let p = multiply_add::<FUSED>(p, r, 1.666_666_5e-1);
    let p = multiply_add::<FUSED>(p, r, 0.5);
    let y = multiply_add::<FUSED>(p, r * r, r) + 1.0;
    y * f32::from_bits(((shifted.to_bits() << 23) as i32).wrapping_add(0x3f80_0000) as u32)
}

/// The logistic function.
#[inline(always)]
fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FUSED>(-x))
}

/// Whether `vectorized!` code may fuse multiplication and addition. The baseline of x86-64 cannot: there `mul_add`
/// would be a library call.
fn fuses() -> bool {
    !matches!(pulp::Arch::new(), pulp::Arch::Scalar)
}

/// Runs a closure-like loop over the SiLU with or without fused multiplication.
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

/// `y = scale · x · sigmoid(x)`.
pub(crate) fn silu(x: &[f32], scale: f32, y: &mut [f32]) {
    with_sigmoid!(sigmoid => for (y, &x) in y.iter_mut().zip(x) {
        *y = scale * x * sigmoid(x);
    });
}

/// `scale · x · sigmoid(x)` in memory that nobody filled with zeros before.
pub(crate) fn new_silu(x: &[f32], scale: f32) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    let spare = &mut y.spare_capacity_mut()[..x.len()];
    with_sigmoid!(sigmoid => for (y, &x) in spare.iter_mut().zip(x) {
        y.write(scale * x * sigmoid(x));
    });
    // SAFETY: the loop has written as many entries as x has.
    unsafe { y.set_len(x.len()) };
    y
}

/// `x ← scale · x · sigmoid(x)`.
pub(crate) fn silu_in_place(x: &mut [f32], scale: f32) {
    with_sigmoid!(sigmoid => for x in x.iter_mut() {
        *x = scale * *x * sigmoid(*x);
    });
}

/// `y ← factor · (y + scale · x · sigmoid(x))`.
pub(crate) fn residual_silu(x: &[f32], scale: f32, factor: f32, y: &mut [f32]) {
    with_sigmoid!(sigmoid => for (y, &x) in y.iter_mut().zip(x) {
        *y = factor * (*y + scale * x * sigmoid(x));
    });
}

/// `g ← g · d/dx [scale · x · sigmoid(x)]`.
pub(crate) fn silu_backward(x: &[f32], scale: f32, g: &mut [f32]) {
    with_sigmoid!(sigmoid => for (g, &x) in g.iter_mut().zip(x) {
        let s = sigmoid(x);
        *g *= scale * s * (1.0 + x * (1.0 - s));
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

    #[test]
    fn exp_is_accurate() {
        for i in -8700..=8700 {
            let x = i as f32 * 0.01;
            let exact = f64::from(x).exp();
            for y in [exp::<false>(x), exp::<true>(x)] {
                assert!((f64::from(y) / exact - 1.0).abs() < 3e-7, "{x}: {y} {exact}");
            }
        }
        assert!(sigmoid::<true>(-1e9) >= 0.0 && sigmoid::<true>(1e9) == 1.0);
        assert!(sigmoid::<false>(-1e9) >= 0.0 && sigmoid::<false>(1e9) == 1.0);
    }

    #[test]
    fn products_follow_strides() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut out = [0.0; 4];
        product(&mut out, [2, 2, 3], View::rows(&a, 3), View::transposed(&a, 3), false);
        assert_eq!(out, [14.0, 32.0, 32.0, 77.0]);
        product(&mut out, [2, 2, 3], View::rows(&a, 3), View::transposed(&a, 3), true);
        assert_eq!(out, [28.0, 64.0, 64.0, 154.0]);
    }
}
