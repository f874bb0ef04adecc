//! From 32-bit numbers to lines of bf16 pairs: rounded, or split into parts whose sum is the number.

use std::arch::x86_64::*;

use super::{DEPTH, LINES, Line};
use crate::ops::product::View;

/// The parts of 32 numbers, each of them 16 pairs (`low[i]`, `high[i]`).
///
/// A number is rounded to the nearest bf16; of what remains the first eight bits are the second part and, since no more
/// than sixteen are left, the others the third: their sum is the number. Infinite numbers, and those that round to them (above 3.39e38), have no remainder
/// that is a number; neither has a product with them, then. (Of all that is not a number, one part keeps what arithmetic
/// makes: a payload of ones would be rounded to zero.)
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn parts<const PARTS: usize>(low: __m512, high: __m512) -> [__m512i; PARTS] {
    let upper = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
    let half = _mm512_set1_epi32(0x8000);
    let (mut low, mut high) = (low, high);
    let mut out = [_mm512_setzero_si512(); PARTS];
    for (part, out) in out.iter_mut().enumerate() {
        let [mut l, mut h] = [_mm512_castps_si512(low), _mm512_castps_si512(high)];
        if part == 0 {
            [l, h] = [_mm512_add_epi32(l, half), _mm512_add_epi32(h, half)];
        }
        // (h & upper) | (l >> 16)
        *out = _mm512_ternarylogic_epi32::<0xf8>(_mm512_srli_epi32::<16>(l), h, upper);
        if part + 1 < PARTS {
            low = _mm512_sub_ps(low, _mm512_castsi512_ps(_mm512_and_si512(l, upper)));
            high = _mm512_sub_ps(high, _mm512_castsi512_ps(_mm512_and_si512(h, upper)));
        }
    }
    out
}

/// Mask of the first `n` lanes, of all for more.
#[inline]
pub(super) fn first(n: usize) -> __mmask16 {
    if n >= LINES { !0 } else { (1 << n) - 1 }
}

/// `n` numbers from `at` on, at most 16, and zeros.
///
/// # Safety
/// `at` leads to as many numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn load(at: *const f32, n: usize) -> __m512 {
    // SAFETY: the mask covers numbers that the caller answers for alone.
    unsafe { _mm512_maskz_loadu_ps(first(n), at) }
}

/// 16 numbers from `at` on.
///
/// # Safety
/// `at` leads to as many numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn whole(at: *const f32) -> __m512 {
    // SAFETY: as the caller says.
    unsafe { _mm512_loadu_ps(at) }
}

/// A 16×16 square of pairs.
pub(super) type Square = [__m512i; LINES];

/// Rows become columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn transpose(r: &mut Square) {
    let mut t = [_mm512_setzero_si512(); LINES];
    for i in (0..LINES).step_by(2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for i in (0..LINES).step_by(4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // Within every lane of 128 bits column j of four rows is whole now; the lanes are put in order.
    for i in (0..LINES).step_by(8) {
        for j in 0..4 {
            t[i + j] = _mm512_shuffle_i32x4::<0x88>(r[i + j], r[i + j + 4]);
            t[i + j + 4] = _mm512_shuffle_i32x4::<0xdd>(r[i + j], r[i + j + 4]);
        }
    }
    for j in 0..8 {
        r[j] = _mm512_shuffle_i32x4::<0x88>(t[j], t[j + 8]);
        r[j + 8] = _mm512_shuffle_i32x4::<0xdd>(t[j], t[j + 8]);
    }
}

/// Writes all parts of 16 lines, of which line i holds the pairs of `numbers(i)`, a square after the other.
#[inline(always)]
fn write_lines<const PARTS: usize>(to: &mut [Line], parts: impl Fn(usize) -> [__m512i; PARTS]) {
    let to = &mut to[..PARTS * LINES];
    for i in 0..LINES {
        for (p, part) in parts(i).into_iter().enumerate() {
            // SAFETY: the slice has these lines, and one has the size and alignment of a vector.
            unsafe { to.as_mut_ptr().add(p * LINES + i).cast::<__m512i>().write(part) };
        }
    }
}

/// Transposes squares where they lie.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn transpose_all(to: &mut [Line]) {
    let (squares, _) = to.as_chunks_mut::<LINES>();
    for square in squares {
        // SAFETY: 16 lines have the size and alignment of 16 vectors.
        transpose(unsafe { &mut *(&raw mut *square).cast::<Square>() });
    }
}

/// Stages 16 rows of a left operand, or 16 columns of a right one, `lines` of them there: (lines × depth) numbers of which
/// one side lies together in memory.
///
/// `from` gives the numbers as a (lines × depth) matrix; a line of the result holds pairs of one of its rows if
/// `pairs_together`, which is how the unit reads a left operand, and of all rows at one depth otherwise.
///
/// # Safety
/// The processor has the instructions.
///
/// # Panics
/// When a view is too short, or neither of its strides is one.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn stage<const PARTS: usize>(
    from: View<'_>,
    [lines, depth]: [usize; 2],
    pairs_together: bool,
    out: &mut [Line],
) {
    assert!(from.reaches(lines, depth) && lines <= LINES, "matrix product out of bounds");
    let data = from.data.as_ptr();
    for (step, to) in out.chunks_exact_mut(PARTS * LINES).enumerate() {
        let begin = step * DEPTH;
        let here = depth.saturating_sub(begin);
        let transposed = (from.col_stride == 1) != pairs_together;
        if from.col_stride == 1 {
            // Neighbors in depth are neighbors in memory.
            let row = |i: usize| data.wrapping_add(i * from.row_stride + begin);
            if lines == LINES && here >= DEPTH {
                // SAFETY: all lines have a whole step in depth.
                write_lines(to, |i| unsafe { parts::<PARTS>(whole(row(i)), whole(row(i).add(LINES))) });
            } else {
                write_lines(to, |i| {
                    let here = if i < lines { here } else { 0 };
                    let high = row(i).wrapping_add(LINES);
                    // SAFETY: the masks keep to row i, if it is there.
                    unsafe { parts::<PARTS>(load(row(i), here), load(high, here.saturating_sub(LINES))) }
                });
            }
        } else {
            assert!(from.row_stride == 1, "matrix product of an operand that lies scattered");
            let row = |l: usize| data.wrapping_add((begin + l) * from.col_stride);
            let there = |l: usize| if l < here { lines } else { 0 };
            // SAFETY: the masks keep to numbers at depths that are there.
            write_lines(to, |l| unsafe {
                let high = l + LINES;
                parts::<PARTS>(load(row(l), there(l)), load(row(high), there(high)))
            });
        }
        if transposed {
            transpose_all(to);
        }
    }
}
