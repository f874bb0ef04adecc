//! Products with one to three columns: an entry is the dot product of two contiguous rows.

use pulp::{Arch, Simd, WithSimd};

/// Most columns for which dot products beat a register tile, most of whose lanes would be padding.
pub(super) const MOST_COLUMNS: usize = 3;

/// `dst[i, j] = a[i] · b[j]`, or `+=` with `accumulate`, for m rows and n columns of depth k.
pub(super) struct Dots<'a> {
    pub dst: *mut f32,
    pub stride: usize,
    pub shape: [usize; 3],
    /// Rows of k numbers, `row_stride` apart.
    pub a: &'a [f32],
    pub row_stride: usize,
    /// n rows of k numbers.
    pub b: &'a [f32],
    pub accumulate: bool,
}

impl Dots<'_> {
    /// # Safety
    /// `dst` must be valid for m rows of n numbers, `stride` apart, and hold numbers with `accumulate`.
    pub unsafe fn run(self, arch: Arch) {
        arch.dispatch(Checked(self));
    }
}

/// A product whose caller has answered for `dst`.
struct Checked<'a>(Dots<'a>);

impl WithSimd for Checked<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Dots { dst, stride, shape: [m, n, k], a, row_stride, b, accumulate } = self.0;
        for i in 0..m {
            let (a, a_rest) = S::as_simd_f32s(&a[i * row_stride..][..k]);
            for j in 0..n {
                let (b, b_rest) = S::as_simd_f32s(&b[j * k..][..k]);
                let mut sum = simd.mul_f32s(simd.partial_load_f32s(a_rest), simd.partial_load_f32s(b_rest));
                for (&a, &b) in a.iter().zip(b) {
                    sum = simd.mul_add_e_f32s(a, b, sum);
                }
                let sum = simd.reduce_sum_f32s(sum);
                // SAFETY: i < m and j < n, and the caller of `Dots::run` answers for `dst`.
                unsafe {
                    let to = dst.add(i * stride + j);
                    *to = if accumulate { *to + sum } else { sum };
                }
            }
        }
    }
}
