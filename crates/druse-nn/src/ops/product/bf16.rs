//! Products of operands that are rounded to bf16 and summed in 32 bits (AVX512-BF16).
//!
//! The processor multiplies pairs: two neighbors of a row of the left operand, which are one 32-bit number to broadcast,
//! with the same two rows of the right one, interleaved column by column. The left operand is rounded on the way, 48 rows
//! at a time; the right one when it is packed.

#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;
use std::mem::transmute;
use std::ops::Range;

use super::{Target, View};

/// Numbers in a vector of sums; pairs in a vector of operands.
const LANES: usize = 16;

/// Rows of a register tile: with four vectors it fills the registers.
const TILE_ROWS: usize = 6;

/// Vectors of a register tile.
const TILE_VECTORS: usize = 4;

/// Columns of a strip of the packed operand.
const STRIP: usize = TILE_VECTORS * LANES;

/// Rows of the left operand that are rounded before they are multiplied: they stay in the first-level cache.
const PASS: usize = 48;

/// Rounds to the nearest bf16, ties to even; what the processor's conversion does with normal numbers.
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    match x.is_nan() {
        true => (bits >> 16) | 0x40,
        false => (bits + 0x7fff + ((bits >> 16) & 1)) >> 16,
    }
}

fn pair(low: f32, high: f32) -> u32 {
    round(low) | (round(high) << 16)
}

/// Packs a (rows × cols) view: strips of up to 64 columns, padded to whole vectors, each stored pair of rows by pair of
/// rows.
pub(super) fn pack(b: &View<'_>, [rows, cols]: [usize; 2]) -> Vec<u32> {
    let depth = rows.div_ceil(2);
    let mut data = Vec::with_capacity(depth * cols.next_multiple_of(LANES));
    let at = |i: usize, j: usize| match i < rows && j < cols {
        true => b.data[i * b.row_stride + j * b.col_stride],
        false => 0.0,
    };
    for first in (0..cols).step_by(STRIP) {
        let width = STRIP.min(cols - first).next_multiple_of(LANES);
        for l in 0..depth {
            data.extend((first..first + width).map(|j| pair(at(2 * l, j), at(2 * l + 1, j))));
        }
    }
    data
}

/// `a (m×k) · b` for a packed b with n columns; the shape is (m, n, k).
///
/// # Safety
/// The processor has the instructions; `target` is valid for writes and holds numbers if it is accumulated to.
///
/// # Panics
/// When an operand or the target is too short for the shape.
pub(super) unsafe fn multiply(target: Target, [m, n, k]: [usize; 3], a: View<'_>, b: &[u32]) {
    let depth = k.div_ceil(2);
    assert!(a.reaches(m, k) && b.len() >= depth * n.next_multiple_of(LANES), "matrix product out of bounds");
    let mut rounded = Vec::with_capacity(PASS * depth);
    for first in (0..m).step_by(PASS) {
        let rows = first..(first + PASS).min(m);
        rounded.clear();
        // SAFETY: the caller answers for the instructions; the rows lie in a, as asserted.
        unsafe { round_rows(&a, rows.clone(), k, &mut rounded) };
        let left = Left { data: &rounded, row_stride: depth, col_stride: 1 };
        // SAFETY: the caller answers for the instructions and the target.
        unsafe { tiles(target, rows, [n, depth], left, Right::Strips(b)) };
    }
}

/// `gᵀ x` for g (k×m) and x (k×n), both row-major; the shape is (m, n, k).
///
/// # Safety
/// As [`multiply`].
///
/// # Panics
/// As [`multiply`].
pub(super) unsafe fn multiply_transposed(target: Target, [m, n, k]: [usize; 3], g: View<'_>, x: View<'_>) {
    assert!(
        g.reaches(k, m) && x.reaches(k, n) && g.col_stride == 1 && x.col_stride == 1,
        "matrix product out of bounds"
    );
    // SAFETY: the caller answers for the instructions; both views reach as far as the shape says.
    let (left, right) = unsafe { (pair_rows(&g, k, m), pair_rows(&x, k, n)) };
    let (width, stride) = (m.next_multiple_of(LANES), n.next_multiple_of(LANES));
    let left = Left { data: &left, row_stride: 1, col_stride: width };
    // SAFETY: the caller answers for the instructions and the target.
    unsafe { tiles(target, 0..m, [n, k.div_ceil(2)], left, Right::Rows { data: &right, stride }) };
}

/// Rounds rows of a view with k columns: pairs of neighbors, a row after the other, an odd last one with a zero.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn round_rows(a: &View<'_>, rows: Range<usize>, k: usize, out: &mut Vec<u32>) {
    let depth = k.div_ceil(2);
    for i in rows {
        if a.col_stride != 1 {
            let at = |j: usize| if j < k { a.data[i * a.row_stride + j * a.col_stride] } else { 0.0 };
            out.extend((0..depth).map(|l| pair(at(2 * l), at(2 * l + 1))));
            continue;
        }
        let row = &a.data[i * a.row_stride..][..k];
        out.reserve(depth);
        // SAFETY: masked loads read the numbers of the row alone, masked stores write into the reserved space.
        unsafe {
            let to = out.as_mut_ptr().add(out.len());
            for j in (0..k).step_by(2 * LANES) {
                let from = row.as_ptr().add(j);
                let left = k - j;
                let low = _mm512_maskz_loadu_ps(first(left), from);
                let high = _mm512_maskz_loadu_ps(first(left.saturating_sub(LANES)), from.wrapping_add(LANES));
                let pairs: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
                _mm512_mask_storeu_epi32(to.add(j / 2).cast(), first(left.div_ceil(2)), pairs);
            }
            out.set_len(out.len() + depth);
        }
    }
}

/// Rounds a row-major (k × cols) view: pairs of neighboring rows, interleaved column by column, padded to whole vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pair_rows(x: &View<'_>, k: usize, cols: usize) -> Vec<u32> {
    let (depth, width) = (k.div_ceil(2), cols.next_multiple_of(LANES));
    let mut out: Vec<u32> = Vec::with_capacity(depth * width);
    for l in 0..depth {
        for j in (0..cols).step_by(LANES) {
            let load = |i: usize| {
                // A row beyond the last one is empty.
                let left = if i < k { cols - j } else { 0 };
                let at = (i * x.row_stride + j).min(x.data.len());
                // SAFETY: the mask covers numbers of row i alone.
                unsafe { _mm512_maskz_loadu_ps(first(left), x.data.as_ptr().add(at)) }
            };
            // SAFETY: the vector has room for `depth` rows of whole vectors.
            unsafe {
                let half =
                    |v: __m512| _mm512_cvtepu16_epi32(transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v)));
                let pairs =
                    _mm512_or_si512(half(load(2 * l)), _mm512_slli_epi32::<16>(half(load(2 * l + 1))));
                _mm512_storeu_si512(out.as_mut_ptr().add(l * width + j).cast(), pairs);
            }
        }
    }
    // SAFETY: the loops have written every vector of every row.
    unsafe { out.set_len(depth * width) };
    out
}

/// Mask of the first `n` lanes, of all for more.
fn first(n: usize) -> __mmask16 {
    if n >= LANES { !0 } else { (1 << n) - 1 }
}

/// Rounded left operand: pair l of row i is at `i * row_stride + l * col_stride`, i from the first row of the pass.
#[derive(Clone, Copy)]
struct Left<'a> {
    data: &'a [u32],
    row_stride: usize,
    col_stride: usize,
}

/// Rounded right operand.
#[derive(Clone, Copy)]
enum Right<'a> {
    /// As [`pack`] lays it out.
    Strips(&'a [u32]),
    /// As [`pair_rows`] lays it out.
    Rows { data: &'a [u32], stride: usize },
}

/// Rows of the result from its n columns and pairs in depth.
///
/// # Safety
/// As [`multiply`].
unsafe fn tiles(
    target: Target,
    rows: Range<usize>,
    [n, depth]: [usize; 2],
    left: Left<'_>,
    right: Right<'_>,
) {
    let Target { dst, len, stride, accumulate } = target;
    if rows.is_empty() || n == 0 {
        return;
    }
    assert!(stride >= n && (rows.end - 1) * stride + n <= len, "matrix product out of bounds");
    let reach = |i: usize| i * left.row_stride + depth.saturating_sub(1) * left.col_stride;
    assert!(depth == 0 || reach(rows.len() - 1) < left.data.len(), "matrix product out of bounds");
    for column in (0..n).step_by(STRIP) {
        let columns = STRIP.min(n - column);
        let width = columns.next_multiple_of(LANES);
        let (b, step) = match right {
            Right::Strips(data) => (&data[column * depth..][..width * depth], width),
            Right::Rows { data, stride } => (data.get(column..).unwrap_or_default(), stride),
        };
        assert!(depth == 0 || (depth - 1) * step + width <= b.len(), "matrix product out of bounds");
        let strip = Strip {
            a: left.data.as_ptr(),
            a_strides: [left.row_stride, left.col_stride],
            b: b.as_ptr(),
            step,
            depth,
            dst: dst.wrapping_add(rows.start * stride + column),
            stride,
            columns,
            accumulate,
        };
        // SAFETY: the assertions bound every address; the caller answers for the instructions and the target.
        unsafe {
            match width / LANES {
                1 => strip.run::<1>(rows.len()),
                2 => strip.run::<2>(rows.len()),
                3 => strip.run::<3>(rows.len()),
                _ => strip.run::<TILE_VECTORS>(rows.len()),
            }
        }
    }
}

/// A vertical strip of the result, at most a register tile wide.
struct Strip {
    a: *const u32,
    a_strides: [usize; 2],
    b: *const u32,
    /// Pairs from one pair of rows of b to the next.
    step: usize,
    /// Pairs in depth.
    depth: usize,
    dst: *mut f32,
    stride: usize,
    columns: usize,
    accumulate: bool,
}

impl Strip {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn run<const NV: usize>(&self, rows: usize) {
        let mut row = 0;
        // SAFETY: the rows of the tiles add up to `rows`.
        unsafe {
            while rows - row >= TILE_ROWS {
                self.tile::<TILE_ROWS, NV>(row);
                row += TILE_ROWS;
            }
            if rows - row >= 4 {
                self.tile::<4, NV>(row);
                row += 4;
            }
            if rows - row >= 2 {
                self.tile::<2, NV>(row);
                row += 2;
            }
            if rows > row {
                self.tile::<1, NV>(row);
            }
        }
    }

    /// MR rows from `row` on. Every entry is summed over the depth in one chain, whatever MR and NV.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn tile<const MR: usize, const NV: usize>(&self, row: usize) {
        let [row_stride, col_stride] = self.a_strides;
        let mut acc = [[_mm512_setzero_ps(); NV]; MR];
        let mut a = self.a.wrapping_add(row * row_stride);
        let mut b = self.b;
        // SAFETY: `tiles` has checked the reach of a, b and dst; the mask keeps to the columns of the result.
        unsafe {
            for _ in 0..self.depth {
                let mut columns = [_mm512_setzero_si512(); NV];
                for (j, column) in columns.iter_mut().enumerate() {
                    *column = _mm512_loadu_si512(b.add(j * LANES).cast());
                }
                for (i, acc) in acc.iter_mut().enumerate() {
                    let x: __m512bh = transmute(_mm512_set1_epi32(*a.add(i * row_stride) as i32));
                    for (sum, &column) in acc.iter_mut().zip(&columns) {
                        *sum = _mm512_dpbf16_ps(*sum, x, transmute::<__m512i, __m512bh>(column));
                    }
                }
                // The last step leaves the operands, which only `wrapping_add` allows.
                a = a.wrapping_add(col_stride);
                b = b.wrapping_add(self.step);
            }
            for (i, acc) in acc.iter().enumerate() {
                for (j, &sum) in acc.iter().enumerate() {
                    let to = self.dst.add((row + i) * self.stride + j * LANES);
                    let mask = first(self.columns - j * LANES);
                    let sum = if self.accumulate {
                        _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum)
                    } else {
                        sum
                    };
                    _mm512_mask_storeu_ps(to, mask, sum);
                }
            }
        }
    }
}
