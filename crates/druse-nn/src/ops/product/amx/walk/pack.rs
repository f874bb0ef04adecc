//! Right operands, and numbers rounded to bf16.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::stage::{first, load, parts, transpose};
use super::super::{DEPTH, EMPTY, LINES, Line};
use super::STRIP;
use crate::arch::has_unit;
use crate::ops::product::View;

/// A right operand: strips of two squares of columns (one, at the end of some), each with its steps in depth one after the
/// other.
#[derive(Debug, Clone)]
pub(in crate::ops::product) struct Strips {
    lines: Vec<Line>,
    pub(super) steps: usize,
    pub(super) cols: usize,
}

/// Squares of columns of the strip that begins with column `first`.
fn squares(cols: usize, first: usize) -> usize {
    (cols - first).div_ceil(LINES).min(2)
}

impl Strips {
    /// Packs row-major numbers with `cols` columns for rows that are runs of `length` numbers. The last step of a run is
    /// filled with zeros.
    ///
    /// # Panics
    /// When the unit is not available, or the view is too short or not row-major.
    pub fn of_runs(b: View<'_>, [rows, cols]: [usize; 2], length: usize) -> Self {
        assert!(b.reaches(rows, cols) && b.col_stride == 1, "matrix product out of bounds");
        let per_run = length.div_ceil(DEPTH);
        let ranges = (0..rows).step_by(length.max(1)).flat_map(|run| {
            let end = (run + length).min(rows);
            (0..per_run).map(move |step| (run + step * DEPTH).min(end)..(run + (step + 1) * DEPTH).min(end))
        });
        let ranges: Vec<_> = ranges.collect();
        let mut lines = Vec::new();
        // SAFETY: the view has these rows and columns.
        unsafe { pack(&b, cols, &ranges, &mut lines) };
        Self { lines, steps: ranges.len(), cols }
    }

    /// The strip that begins with column `first`.
    pub(super) fn strip(&self, first: usize) -> &[Line] {
        &self.lines[first / LINES * self.steps * LINES..][..squares(self.cols, first) * self.steps * LINES]
    }
}

/// Packs rows of each range as a step.
///
/// # Safety
/// The view is row-major and has the rows and columns.
///
/// # Panics
/// When the unit is not available.
unsafe fn pack(b: &View<'_>, cols: usize, steps: &[Range<usize>], lines: &mut Vec<Line>) {
    assert!(has_unit(), "products for the matrix unit without it");
    lines.clear();
    lines.resize(cols.div_ceil(LINES) * steps.len() * LINES, EMPTY);
    let mut to = lines.chunks_exact_mut(LINES);
    for strip in (0..cols).step_by(STRIP) {
        for rows in steps {
            for square in 0..squares(cols, strip) {
                let column = strip + square * LINES;
                let to = to.next().expect("a square for each step and 16 columns");
                // SAFETY: as the caller says; where the unit is, so are the instructions.
                unsafe { pack_square(b, rows.clone(), [column, cols], to) };
            }
        }
    }
}

/// One square of pairs of rows.
///
/// # Safety
/// As [`pack`]; the processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn pack_square(b: &View<'_>, rows: Range<usize>, [column, cols]: [usize; 2], to: &mut [Line]) {
    let row = |i: usize| {
        // A row that is not there is empty.
        let n = if i < rows.end { cols - column } else { 0 };
        // SAFETY: the mask keeps to the numbers of the row.
        unsafe { load(b.data.as_ptr().wrapping_add(i * b.row_stride + column), n) }
    };
    for (l, to) in to.iter_mut().enumerate() {
        let [pairs] = parts::<1>(row(rows.start + 2 * l), row(rows.start + 2 * l + 1));
        // SAFETY: a line has the size and alignment of a vector.
        unsafe { (&raw mut *to).cast::<__m512i>().write(pairs) };
    }
}

/// Rounds numbers to bf16.
///
/// # Panics
/// When the lengths differ or the unit is not available.
pub(in crate::ops::product) fn round(from: &[f32], to: &mut [u16]) {
    assert!(has_unit() && from.len() == to.len(), "rounding for the matrix unit");
    // SAFETY: where the unit is, so are the instructions.
    unsafe { round_vectors(from, to) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn round_vectors(from: &[f32], to: &mut [u16]) {
    for (from, to) in from.chunks(LINES).zip(to.chunks_mut(LINES)) {
        // SAFETY: the masks keep to the slices, which have one length.
        unsafe {
            let bits = _mm512_castps_si512(load(from.as_ptr(), from.len()));
            let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)));
            _mm512_mask_cvtepi32_storeu_epi16(to.as_mut_ptr().cast(), first(from.len()), rounded);
        }
    }
}

/// Numbers from one column of so many rows to the next, for [`round_columns`] and sums over whole steps.
pub(in crate::ops::product) fn stride(rows: usize) -> usize {
    // An odd number of lines: columns would meet in the same places of a cache.
    ((rows.div_ceil(DEPTH) + 1) | 1) * DEPTH
}

/// Rounds a row-major matrix and writes it column by column, columns `stride` numbers apart; `stride` is a multiple of 32 and
/// what lies behind the rows of a column is zero.
///
/// # Panics
/// When a slice is too short or the unit is not available.
pub(in crate::ops::product) fn round_columns(from: &[f32], cols: usize, to: &mut [u16], stride: usize) {
    let rows = from.len() / cols.max(1);
    assert!(
        has_unit() && stride.is_multiple_of(DEPTH) && stride >= rows && to.len() >= cols * stride,
        "rounding for the matrix unit"
    );
    // SAFETY: where the unit is, so are the instructions; the lengths are asserted.
    unsafe { round_squares(View::rows(from, cols), [rows, cols], to, stride) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn round_squares(from: View<'_>, [rows, cols]: [usize; 2], to: &mut [u16], stride: usize) {
    for column in (0..cols).step_by(LINES) {
        for begin in (0..stride).step_by(DEPTH) {
            let mut square = [EMPTY; LINES];
            // SAFETY: as the caller says.
            unsafe { pack_square(&from, begin..rows.min(begin + DEPTH), [column, cols], &mut square) };
            // SAFETY: 16 lines have the size and alignment of 16 vectors.
            transpose(unsafe { &mut *(&raw mut square).cast() });
            for (i, line) in square.iter().enumerate().take(cols - column) {
                // SAFETY: the column has `stride` numbers from its start on.
                unsafe {
                    let to = to.as_mut_ptr().add((column + i) * stride + begin);
                    to.cast::<Line>().write_unaligned(*line);
                }
            }
        }
    }
}
