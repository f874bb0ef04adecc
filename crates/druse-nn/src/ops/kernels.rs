//! Slices in, slices out: matrix products and vectorised element-wise functions.

use gemm::Parallelism;

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
    assert!(dst.len() >= m * n && a.reaches(m, k) && b.reaches(k, n), "matrix product out of bounds");
    if k == 0 {
        if !accumulate {
            dst[..m * n].fill(0.0);
        }
        return;
    }
    // SAFETY: the assertion above bounds every address that the strides and counts can form, and `dst` is borrowed
    // mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
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

/// e^x with a relative error of about 2e-7; the argument is clamped to where the result is a normal number.
/// (Cephes polynomial; straight-line code, so that loops over it vectorise.)
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    y * f32::from_bits(((shifted.to_bits() << 23) as i32).wrapping_add(0x3f80_0000) as u32)
}

/// The logistic function.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `y = scale · x · sigmoid(x)`.
pub(crate) fn silu(x: &[f32], scale: f32, y: &mut [f32]) {
    vectorized!({
        for (y, &x) in y.iter_mut().zip(x) {
            *y = scale * x * sigmoid(x);
        }
    });
}

/// `g ← g · d/dx [scale · x · sigmoid(x)]`.
pub(crate) fn silu_backward(x: &[f32], scale: f32, g: &mut [f32]) {
    vectorized!({
        for (g, &x) in g.iter_mut().zip(x) {
            let s = sigmoid(x);
            *g *= scale * s * (1.0 + x * (1.0 - s));
        }
    });
}

/// `y += x`.
#[inline(always)]
pub(crate) fn add_assign(y: &mut [f32], x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x;
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
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}: {} {exact}", exp(x));
        }
        assert!(sigmoid(-1e9) >= 0.0 && sigmoid(1e9) == 1.0);
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
