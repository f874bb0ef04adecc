//! Passes in explicit 512-bit vectors. SiLU and its derivatives: the exponential from a table of 32 powers of two and a polynomial of
//! degree two, the quotient from the processor's estimate and one step of Newton's method. Half the instructions of the
//! generic code, and no division, which blocks a unit of the processor for 16 cycles.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::VANISHING;

/// Numbers of a vector.
const LANES: usize = 16;

/// Vectors that are computed side by side.
const UNROLLED: usize = 4;

/// `2^(i/32)`, rounded.
#[repr(C, align(64))]
struct Powers([f32; 32]);

static POWERS: Powers = Powers([
    1.0,
    1.021_897_2,
    1.044_273_7,
    1.067_140_5,
    1.090_507_7,
    1.114_386_8,
    1.138_788_6,
    1.163_724_9,
    1.189_207_1,
    1.215_247_4,
    1.241_857_8,
    1.269_051,
    1.296_839_6,
    1.325_236_7,
    1.354_255_6,
    1.383_91,
    std::f32::consts::SQRT_2,
    1.445_180_8,
    1.476_826_2,
    1.509_164_5,
    1.542_210_8,
    1.575_980_9,
    1.610_490_3,
    1.645_755_5,
    1.681_792_9,
    1.718_619_3,
    1.756_252_2,
    1.794_709_1,
    1.834_008_1,
    1.874_167_7,
    1.915_206_6,
    1.957_144_1,
]);

/// `scale · σ(x)` with a relative error below `3e-7 + |x| 2e-8`, the argument limited to ±87, zero below [`VANISHING`]; scales
/// from 0.2 on.
#[derive(Clone, Copy)]
struct Logistic {
    /// Powers of two by the scale. From the bits of entry i, i · 2^18 is subtracted: the power of two that belongs to `n / 32` is
    /// then entry n mod 32 with n · 2^18 added to its bits.
    powers: [__m512; 2],
    /// 1 / scale.
    inverse: __m512,
}

impl Logistic {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn new(scale: f32) -> Self {
        debug_assert!(scale >= 0.2, "a scale of {scale} lets the exponential overflow");
        let inverse = _mm512_set1_ps(1.0 / scale);
        let places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let mut powers = [inverse; 2];
        for (half, entry) in powers.iter_mut().enumerate() {
            // SAFETY: the table is aligned and has two vectors.
            let table = unsafe { _mm512_load_ps(POWERS.0.as_ptr().add(half * LANES)) };
            let bits = _mm512_castps_si512(_mm512_mul_ps(table, inverse));
            let places = _mm512_add_epi32(places, _mm512_set1_epi32((half * LANES) as i32));
            *entry = _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32::<18>(places)));
        }
        Self { powers, inverse }
    }

    /// `scale · σ(x)`. What is no number may give any number.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn at(&self, x: __m512) -> __m512 {
        let [s, _] = self.with_exponential(x);
        s
    }

    /// `scale · σ(x)` and `e^-x / scale`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn with_exponential(&self, x: __m512) -> [__m512; 2] {
        /// Adding it rounds to the nearest integer and leaves that in the low bits.
        const ROUNDING: f32 = 12_582_912.0;
        // True of what is no number, too.
        let counts = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(VANISHING));
        // The smaller magnitude, with the sign of x.
        let x = _mm512_range_ps::<0b0010>(x, _mm512_set1_ps(87.0));
        let steps = _mm512_set1_ps(-32.0 * std::f32::consts::LOG2_E);
        let rounding = _mm512_set1_ps(ROUNDING);
        let shifted = _mm512_fmadd_ps(x, steps, rounding);
        let r = _mm512_fmsub_ps(x, steps, _mm512_sub_ps(shifted, rounding));
        let n = _mm512_castps_si512(shifted);
        let power = _mm512_castps_si512(_mm512_permutex2var_ps(self.powers[0], n, self.powers[1]));
        let power = _mm512_castsi512_ps(_mm512_add_epi32(power, _mm512_slli_epi32::<18>(n)));
        // 2^(r/32) - 1 for |r| <= 1/2: the largest error is 5.3e-8.
        let p = _mm512_fmadd_ps(_mm512_set1_ps(2.345_912_3e-4), r, _mm512_set1_ps(2.166_116_8e-2));
        let exponential = _mm512_fmadd_ps(power, _mm512_mul_ps(p, r), power);
        let denominator = _mm512_add_ps(self.inverse, exponential);
        let estimate = _mm512_rcp14_ps(denominator);
        let rest = _mm512_fnmadd_ps(denominator, estimate, _mm512_set1_ps(1.0));
        [_mm512_maskz_fmadd_ps(counts, estimate, rest, estimate), exponential]
    }

    /// `scale · x · σ(x)` and its derivative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn value_and_slope(&self, x: __m512) -> [__m512; 2] {
        let [s, exponential] = self.with_exponential(x);
        let value = _mm512_mul_ps(x, s);
        // 1 - σ(x), without the rounding of a difference.
        let rest = _mm512_mul_ps(exponential, s);
        [value, _mm512_fmadd_ps(value, rest, s)]
    }
}

/// Numbers that a pass reads and writes, at the same place of each array at a time; an array may be read and written.
struct Arrays<const R: usize, const W: usize> {
    len: usize,
    read: [*const f32; R],
    written: [*mut f32; W],
}

impl<const R: usize, const W: usize> Arrays<R, W> {
    /// Applies `f` to all numbers.
    ///
    /// # Safety
    /// All arrays have `len` numbers, and those that are written are borrowed for that or not yet initialized.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    unsafe fn each(self, f: impl Fn([__m512; R]) -> [__m512; W]) {
        let Self { len, read, written } = self;
        let mut i = 0;
        while i + UNROLLED * LANES <= len {
            // SAFETY: so many numbers are left from `i` on.
            unsafe {
                for u in 0..UNROLLED {
                    let mut x = [_mm512_setzero_ps(); R];
                    for r in 0..R {
                        x[r] = _mm512_loadu_ps(read[r].add(i + u * LANES));
                    }
                    let y = f(x);
                    for w in 0..W {
                        _mm512_storeu_ps(written[w].add(i + u * LANES), y[w]);
                    }
                }
            }
            i += UNROLLED * LANES;
        }
        while i < len {
            let mask = match len - i {
                left @ ..LANES => (1 << left) - 1,
                _ => u16::MAX,
            };
            // SAFETY: the mask holds back what lies beyond the end.
            unsafe {
                let mut x = [_mm512_setzero_ps(); R];
                for r in 0..R {
                    x[r] = _mm512_maskz_loadu_ps(mask, read[r].add(i));
                }
                let y = f(x);
                for w in 0..W {
                    _mm512_mask_storeu_ps(written[w].add(i), mask, y[w]);
                }
            }
            i += LANES;
        }
    }
}

fn same(a: usize, b: usize) -> usize {
    assert_eq!(a, b, "arrays of one length");
    a
}

/// See [`super::silu_into`].
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn silu_into(x: &[f32], scale: f32, y: &mut [MaybeUninit<f32>]) {
    let logistic = Logistic::new(scale);
    let len = same(x.len(), y.len());
    let arrays = Arrays { len, read: [x.as_ptr()], written: [y.as_mut_ptr().cast()] };
    // SAFETY: borrowed arrays of that length.
    unsafe { arrays.each(|[x]| [_mm512_mul_ps(x, logistic.at(x))]) };
}

/// See [`super::silu_in_place`].
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn silu_in_place(x: &mut [f32], scale: f32) {
    let logistic = Logistic::new(scale);
    let data = x.as_mut_ptr();
    let arrays = Arrays { len: x.len(), read: [data.cast_const()], written: [data] };
    // SAFETY: a borrowed array of that length.
    unsafe { arrays.each(|[x]| [_mm512_mul_ps(x, logistic.at(x))]) };
}

/// See [`super::residual_silu_into`]; `y` may be `u` itself.
///
/// # Safety
/// As many numbers of `u` are borrowed for reading, and of `y` for writing, as x has.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn residual_silu(x: &[f32], scale: f32, factor: f32, u: *const f32, y: *mut f32) {
    let (logistic, factor) = (Logistic::new(scale), _mm512_set1_ps(factor));
    let arrays = Arrays { len: x.len(), read: [x.as_ptr(), u], written: [y] };
    // SAFETY: the caller's, and a borrowed array.
    unsafe { arrays.each(|[x, u]| [_mm512_mul_ps(factor, _mm512_fmadd_ps(x, logistic.at(x), u))]) };
}

/// See [`super::silu_backward_into`]; `d` may be `g` itself.
///
/// # Safety
/// As many numbers of `g` are borrowed for reading, and of `d` for writing, as x has.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn silu_backward(x: &[f32], scale: f32, g: *const f32, d: *mut f32) {
    let logistic = Logistic::new(scale);
    let arrays = Arrays { len: x.len(), read: [x.as_ptr(), g], written: [d] };
    // SAFETY: the caller's, and a borrowed array.
    unsafe {
        arrays.each(|[x, g]| {
            let [_, slope] = logistic.value_and_slope(x);
            [_mm512_mul_ps(g, slope)]
        });
    }
}

/// See [`super::residual_backward_into`]; `scaled` may be `g` itself.
///
/// # Safety
/// As many numbers of `g` are borrowed for reading, and of `scaled` and `d` for writing, as x has.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn residual_backward(
    x: &[f32],
    scale: f32,
    factor: f32,
    g: *const f32,
    scaled: *mut f32,
    d: *mut f32,
) {
    let (logistic, factor) = (Logistic::new(scale), _mm512_set1_ps(factor));
    let arrays = Arrays { len: x.len(), read: [x.as_ptr(), g], written: [scaled, d] };
    // SAFETY: the caller's, and a borrowed array.
    unsafe {
        arrays.each(|[x, g]| {
            let [_, slope] = logistic.value_and_slope(x);
            let g = _mm512_mul_ps(factor, g);
            [g, _mm512_mul_ps(g, slope)]
        });
    }
}

/// See [`super::silu_and_backward_into`]; `y` may be x itself.
///
/// # Safety
/// As many numbers of `x` are borrowed for reading, and of `y` for writing, as g has.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn silu_and_backward(x: *const f32, scale: f32, y: *mut f32, g: &mut [f32]) {
    let logistic = Logistic::new(scale);
    let data = g.as_mut_ptr();
    let arrays = Arrays { len: g.len(), read: [x, data.cast_const()], written: [y, data] };
    // SAFETY: the caller's, and a borrowed array.
    unsafe {
        arrays.each(|[x, g]| {
            let [value, slope] = logistic.value_and_slope(x);
            [value, _mm512_mul_ps(g, slope)]
        });
    }
}

/// See [`super::transpose`].
///
/// # Safety
/// Both slices hold a matrix of this shape; rows and columns are multiples of 16.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn transpose(from: &[f32], [rows, cols]: [usize; 2], to: &mut [f32]) {
    for i in (0..rows).step_by(LANES) {
        for j in (0..cols).step_by(LANES) {
            // SAFETY: a tile from (i, j) on lies within the matrix, and its transpose within the other.
            unsafe {
                transpose_tile(
                    from.as_ptr().add(i * cols + j),
                    cols,
                    to.as_mut_ptr().add(j * rows + i),
                    rows,
                );
            }
        }
    }
}

/// Transposes 16 rows of 16 numbers; rows are so many numbers apart.
///
/// # Safety
/// The rows can be read and written.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn transpose_tile(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    let zero = _mm512_setzero_ps();
    // Parts of 4 rows and, in every quarter of a vector, 4 columns: quarter q of entry j of a part has column 4 q + j.
    let mut parts = [[zero; 4]; 4];
    for (g, part) in parts.iter_mut().enumerate() {
        let mut rows = [zero; 4];
        for (r, row) in rows.iter_mut().enumerate() {
            // SAFETY: a row of the caller's.
            *row = unsafe { _mm512_loadu_ps(from.add((4 * g + r) * from_stride)) };
        }
        let low = |a, b| _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
        let high = |a, b| _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
        let [a, b] = [low(rows[0], rows[1]), low(rows[2], rows[3])];
        let [c, d] = [high(rows[0], rows[1]), high(rows[2], rows[3])];
        *part = [
            _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(c, d)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)),
        ];
    }
    let [first, second, third, fourth] = parts;
    let groups = first.into_iter().zip(second).zip(third).zip(fourth);
    for (j, (((a, b), c), d)) in groups.enumerate() {
        let [even, odd] = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)];
        let [even_below, odd_below] =
            [_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d)];
        let columns = [
            _mm512_shuffle_f32x4::<0x88>(even, even_below),
            _mm512_shuffle_f32x4::<0x88>(odd, odd_below),
            _mm512_shuffle_f32x4::<0xdd>(even, even_below),
            _mm512_shuffle_f32x4::<0xdd>(odd, odd_below),
        ];
        for (q, column) in columns.into_iter().enumerate() {
            // SAFETY: a row of the caller's.
            unsafe { _mm512_storeu_ps(to.add((4 * q + j) * to_stride), column) };
        }
    }
}
