//! Packing of the right operand.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

pub(super) use super::dots::MOST_COLUMNS;
use super::kernel::panel_columns;
use super::{View, new_vec, reaches};
use crate::arch::arch;
use crate::precision::{Method, current};

/// A matrix packed for the right side of a product.
#[derive(Debug, Clone)]
pub struct Panels {
    numbers: Numbers,
    rows: usize,
    cols: usize,
    arch: Arch,
}

/// The numbers of packed panels, in the order that a method reads them in.
#[derive(Debug, Clone)]
pub(super) enum Numbers {
    /// Strips of as many columns as a register tile has, each stored row by row without gaps; the last one is padded with
    /// zeros to whole vectors.
    Strips(Vec<f32>),
    /// Column by column, for very few columns.
    Columns(Vec<f32>),
    /// Rounded to bf16, see [`super::bf16`].
    #[cfg(target_arch = "x86_64")]
    Pairs(Vec<u32>),
    /// For the matrix unit, see [`super::amx`].
    #[cfg(target_arch = "x86_64")]
    Tiles(super::amx::Tiles),
    /// For the matrix unit and rows that are made of runs, see [`super::amx::walk`].
    #[cfg(target_arch = "x86_64")]
    Runs(super::amx::walk::Strips),
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
        let numbers = Numbers::Columns((0..cols).flat_map(at).collect());
        Self { numbers, rows, cols, arch: arch() }
    }

    /// Packs a view for products in the precision of the thread.
    ///
    /// # Panics
    /// When the view is too short for its shape.
    pub(crate) fn current(b: View<'_>, shape: [usize; 2]) -> Self {
        Self::pack_for(Method::of(current(), shape), b, shape)
    }

    /// Packs a view for products by the given method. Where there are very few columns it is 32 bits in any case: these
    /// products end in results of the network and take no time.
    ///
    /// # Panics
    /// When the view is too short for its shape, or the processor lacks the method.
    pub(super) fn pack_for(method: Method, b: View<'_>, [rows, cols]: [usize; 2]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if cols > MOST_COLUMNS {
            check(&b, [rows, cols]);
            let numbers = match method {
                Method::Vectors => return Self::pack(b, [rows, cols]),
                Method::Pairs => Numbers::Pairs(super::bf16::pack(&b, [rows, cols])),
                Method::Tiles { parts } => Numbers::Tiles(super::amx::Tiles::pack(b, [rows, cols], parts)),
            };
            return Self { numbers, rows, cols, arch: arch() };
        }
        let _ = method;
        Self::pack(b, [rows, cols])
    }

    /// Packs a row-major view for products with [`super::Runs`] of that length by the given method.
    ///
    /// # Panics
    /// When the view is too short for its shape or not row-major, or the processor lacks the method.
    pub(super) fn for_runs(method: Method, b: View<'_>, [rows, cols]: [usize; 2], length: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if method != Method::Vectors {
            let strips = super::amx::walk::Strips::of_runs(b, [rows, cols], length);
            return Self { numbers: Numbers::Runs(strips), rows, cols, arch: arch() };
        }
        let _ = (method, length);
        Self::in_strips(b, [rows, cols])
    }

    /// Packs the rows of a row-major view for sums with [`super::RoundedColumns`].
    ///
    /// # Panics
    /// When the view is too short for its shape or not row-major, or there is no matrix unit.
    pub(crate) fn for_sums(b: View<'_>, shape: [usize; 2]) -> Self {
        let method = Method::of_runs(crate::Precision::Bf16, [usize::MAX; 2]);
        Self::for_runs(method, b, shape, shape[0])
    }

    /// Packs strips whatever the number of columns, in 32 bits: for sums over [`super::Runs`].
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
        let fill = |data: &mut [MaybeUninit<f32>]| {
            for first in (0..cols).step_by(panel) {
                let columns = panel.min(cols - first);
                let width = columns.next_multiple_of(lanes);
                let strip = &mut data[first * rows..][..rows * width];
                if columns < width {
                    for row in strip.chunks_exact_mut(width) {
                        row[columns..].fill(MaybeUninit::new(0.0));
                    }
                }
                if b.col_stride == 1 {
                    for (i, row) in strip.chunks_exact_mut(width).enumerate() {
                        let from = &b.data[i * b.row_stride + first..][..columns];
                        row[..columns].write_copy_of_slice(from);
                    }
                } else {
                    transpose(strip, width, &b, first..first + columns, rows);
                }
            }
        };
        // SAFETY: every row of every strip is written up to its width.
        let data = unsafe { new_vec(rows * cols.next_multiple_of(lanes), fill) };
        Self { numbers: Numbers::Strips(data), rows, cols, arch }
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The numbers in strips.
    ///
    /// # Panics
    /// When they were packed otherwise.
    pub(super) fn strip_numbers(&self) -> &[f32] {
        match &self.numbers {
            Numbers::Strips(data) => data,
            _ => panic!("matrix product of panels that are not strips"),
        }
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
fn transpose(strip: &mut [MaybeUninit<f32>], width: usize, b: &View<'_>, columns: Range<usize>, rows: usize) {
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
                        to.write(from[i]);
                    }
                }
            } else {
                for (i, row) in to.chunks_mut(width).take(height).enumerate() {
                    for (j, to) in row[..length].iter_mut().enumerate() {
                        to.write(from[i * b.row_stride + j * b.col_stride]);
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
