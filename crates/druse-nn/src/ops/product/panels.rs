//! Packing of the right operand.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

pub(super) use super::dots::MOST_COLUMNS;
use super::kernel::panel_columns;
use super::{View, reaches};
use crate::Precision;
use crate::arch::{arch, has_bf16};

/// A matrix packed for the right side of a product.
#[derive(Debug, Clone)]
pub struct Panels {
    data: Vec<f32>,
    /// Rounded pairs, for the layout of that name.
    pairs: Vec<u32>,
    layout: Layout,
    rows: usize,
    cols: usize,
    arch: Arch,
}

/// Order of the numbers of packed panels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Layout {
    /// Strips of as many columns as a register tile has, each stored row by row without gaps; the last one is padded with
    /// zeros to whole vectors.
    Strips,
    /// Column by column, for very few columns.
    Columns,
    /// Rounded to bf16, see [`super::bf16`].
    Pairs,
}

impl Panels {
    /// Packs a (rows × cols) view. Products with it read their left operand row by row.
    ///
    /// # Panics
    /// When the view is too short for its shape.
    pub fn pack(b: View<'_>, [rows, cols]: [usize; 2]) -> Self {
        if cols > MOST_COLUMNS {
            return Self::strips(arch(), b, [rows, cols]);
        }
        check(&b, [rows, cols]);
        let at = |j: usize| (0..rows).map(move |i| b.data[i * b.row_stride + j * b.col_stride]);
        let data = (0..cols).flat_map(at).collect();
        Self { data, pairs: Vec::new(), layout: Layout::Columns, rows, cols, arch: arch() }
    }

    /// Packs a view for products of the given precision. Where there are very few columns it is 32 bits in any case: these
    /// products end in results of the network and take no time.
    ///
    /// # Panics
    /// When the view is too short for its shape, or the processor lacks the precision.
    pub(crate) fn pack_for(precision: Precision, b: View<'_>, [rows, cols]: [usize; 2]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::Bf16 && cols > MOST_COLUMNS {
            assert!(has_bf16(), "precision bf16 without its instructions");
            check(&b, [rows, cols]);
            let pairs = super::bf16::pack(&b, [rows, cols]);
            return Self { data: Vec::new(), pairs, layout: Layout::Pairs, rows, cols, arch: arch() };
        }
        #[cfg(not(target_arch = "x86_64"))]
        assert!(precision == Precision::F32, "precision bf16 without its instructions");
        Self::pack(b, [rows, cols])
    }

    /// Packs strips whatever the number of columns, in 32 bits: for products with [`super::Runs`].
    ///
    /// # Panics
    /// When the view is too short for its shape.
    pub(crate) fn in_strips(b: View<'_>, shape: [usize; 2]) -> Self {
        Self::strips(arch(), b, shape)
    }

    /// Packs strips whatever the number of columns.
    pub(super) fn strips(arch: Arch, b: View<'_>, [rows, cols]: [usize; 2]) -> Self {
        check(&b, [rows, cols]);
        let Sizes { panel, lanes } = arch.dispatch(SizesOf);
        let mut data = vec![0.0; rows * cols.next_multiple_of(lanes)];
        for first in (0..cols).step_by(panel) {
            let columns = panel.min(cols - first);
            let width = columns.next_multiple_of(lanes);
            let strip = &mut data[first * rows..][..rows * width];
            if b.col_stride == 1 {
                for (i, row) in strip.chunks_exact_mut(width).enumerate() {
                    row[..columns].copy_from_slice(&b.data[i * b.row_stride + first..][..columns]);
                }
            } else {
                transpose(strip, width, &b, first..first + columns, rows);
            }
        }
        Self { data, pairs: Vec::new(), layout: Layout::Strips, rows, cols, arch }
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn data(&self) -> &[f32] {
        &self.data
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn pairs(&self) -> &[u32] {
        &self.pairs
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn arch(&self) -> Arch {
        self.arch
    }
}

fn check(b: &View<'_>, shape: [usize; 2]) {
    assert!(reaches(b.data.len(), [b.row_stride, b.col_stride], shape), "panels out of bounds");
}

/// Fills a strip from a view whose rows lie closer together than its columns: in squares, so that neither side jumps
/// over more lines than the cache holds.
fn transpose(strip: &mut [f32], width: usize, b: &View<'_>, columns: Range<usize>, rows: usize) {
    const SQUARE: usize = 16;
    for i0 in (0..rows).step_by(SQUARE) {
        for j0 in columns.clone().step_by(SQUARE) {
            let (height, length) = (SQUARE.min(rows - i0), SQUARE.min(columns.end - j0));
            let from = &b.data[i0 * b.row_stride + j0 * b.col_stride..];
            let to = &mut strip[i0 * width + j0 - columns.start..];
            if height == SQUARE && length == SQUARE && b.row_stride == 1 {
                // Known sizes and no further check of bounds: four times as fast.
                let square: [&[f32; SQUARE]; SQUARE] = std::array::from_fn(|j| {
                    from[j * b.col_stride..].first_chunk().expect("the view reaches the end of the square")
                });
                for (i, row) in to.chunks_mut(width).take(SQUARE).enumerate() {
                    for (to, from) in row[..SQUARE].iter_mut().zip(square) {
                        *to = from[i];
                    }
                }
            } else {
                for (i, row) in to.chunks_mut(width).take(height).enumerate() {
                    for (j, to) in row[..length].iter_mut().enumerate() {
                        *to = from[i * b.row_stride + j * b.col_stride];
                    }
                }
            }
        }
    }
}

/// Numbers in a vector.
pub(super) fn lanes(arch: Arch) -> usize {
    arch.dispatch(SizesOf).lanes
}

struct Sizes {
    /// Columns of a strip.
    panel: usize,
    lanes: usize,
}

struct SizesOf;

impl WithSimd for SizesOf {
    type Output = Sizes;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Sizes {
        Sizes { panel: panel_columns::<S>(), lanes: S::F32_LANES }
    }
}
