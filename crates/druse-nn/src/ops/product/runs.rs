//! Products with a matrix that is not built: its rows are put together of runs of neighboring numbers of a larger array, as
//! the pixels below a convolution's kernel are. They are counted by whoever knows how many of the multiplications are needed.

use std::mem::MaybeUninit;

#[cfg(target_arch = "x86_64")]
use super::amx::walk;
use super::kernel::{Columns, Left, Product, Rows};
use super::panels::Numbers;
use super::{Panels, View, runs_reach};
use crate::precision::{Method, current};

/// Numbers that runs are made of, as [`Panels::for_runs`] needs them.
#[derive(Clone, Copy)]
pub(crate) enum RunNumbers<'a> {
    Exact(&'a [f32]),
    /// In bf16, as [`round`] writes them.
    Rounded(&'a [u16]),
}

/// Numbers that are read behind the end of a run of rounded numbers, at most. What they are does not matter, as long as they
/// are finite.
pub(crate) const BEHIND_RUNS: usize = 31;

/// Whether products with runs and a right operand of this shape are computed with rounded numbers, in the precision of the
/// thread.
pub(crate) fn runs_are_rounded(shape: [usize; 2]) -> bool {
    Method::of_runs(current(), shape) != Method::Vectors
}

/// Rounds numbers for runs.
///
/// # Panics
/// When the lengths differ, or [`runs_are_rounded`] says no on this processor.
pub(crate) fn round(from: &[f32], to: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    walk::round(from, to);
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("{} numbers to be rounded to {} on this processor", from.len(), to.len());
}

/// A matrix whose row i is `data[base[i] + offset..][..length]` for every offset, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    pub data: RunNumbers<'a>,
    pub base: &'a [u32],
    pub offsets: &'a [u32],
    pub length: usize,
}

impl Runs<'_> {
    fn cols(&self) -> usize {
        self.offsets.len() * self.length
    }
}

/// `dst (m×n, row-major) = a · b` for b of [`Panels::for_runs`], in memory that need not hold numbers before; returns it as
/// numbers.
///
/// # Panics
/// When a slice is too short for its shape, or numbers and panels are not of the same kind.
pub(crate) fn multiply_runs_new<'d>(
    dst: &'d mut [MaybeUninit<f32>],
    a: Runs<'_>,
    b: &Panels,
) -> &'d mut [f32] {
    let dst = &mut dst[..a.base.len() * b.cols()];
    multiply_runs(dst, a, b);
    // SAFETY: the product writes all of `dst`.
    unsafe { dst.assume_init_mut() }
}

/// Writes all of `dst`.
fn multiply_runs(dst: &mut [MaybeUninit<f32>], a: Runs<'_>, b: &Panels) {
    let shape @ [m, n, k] = [a.base.len(), b.cols(), a.cols()];
    assert!(b.rows() == k && dst.len() == m * n, "matrix product out of bounds");
    if m == 0 || n == 0 {
        return;
    }
    let Runs { base, offsets, length, .. } = a;
    let data = match (a.data, b.numbers()) {
        #[cfg(target_arch = "x86_64")]
        (RunNumbers::Rounded(data), Numbers::Runs(strips)) => {
            return walk::multiply(dst, walk::RoundedRuns { data, base, offsets, length }, strips);
        }
        (RunNumbers::Exact(data), Numbers::Strips(_)) => data,
        _ => panic!("matrix product of numbers and panels that are not for each other"),
    };
    assert!(runs_reach(data.len(), base, offsets, length), "matrix product out of bounds");
    let left = Left::Runs { data, base, offsets, length };
    let b_columns = Columns::Panels(b.strip_numbers());
    // SAFETY: the assertions bound every address that the tables can form; the panels are strips of the same processor.
    unsafe {
        let rows = Rows::Apart(n);
        Product { dst: dst.as_mut_ptr().cast(), rows, shape, a: left, b: b_columns, accumulate: false }
            .run(b.arch());
    }
}

/// Adds row i of `a · b` to `dst[base[i] + offset..]`, for packed strips b; one row after the other, so these may overlap.
///
/// # Panics
/// When a slice is too short for its shape, or b is packed otherwise.
pub(crate) fn scatter_runs(dst: &mut [f32], base: &[u32], offset: usize, a: View<'_>, b: &Panels) {
    let shape @ [m, n, k] = [base.len(), b.cols(), b.rows()];
    assert!(a.reaches(m, k), "matrix product out of bounds");
    let dst = &mut dst[offset..];
    assert!(runs_reach(dst.len(), base, &[0], n), "matrix product out of bounds");
    if m == 0 || n == 0 {
        return;
    }
    let b_columns = Columns::Panels(b.strip_numbers());
    // SAFETY: as in `multiply_runs`.
    unsafe {
        let (rows, left) = (Rows::At(base), Left::Strided(a));
        Product { dst: dst.as_mut_ptr(), rows, shape, a: left, b: b_columns, accumulate: true }.run(b.arch());
    }
}

/// `dst (length×n) += aᵀ g` for one run of a, which begins at `offset`, and packed strips g (m×n).
///
/// # Panics
/// When a slice is too short for its shape, or g is packed otherwise.
pub(crate) fn add_runs_gradient(
    dst: &mut [f32],
    data: &[f32],
    base: &[u32],
    [offset, length]: [usize; 2],
    g: &Panels,
) {
    let shape @ [m, n, k] = [length, g.cols(), base.len()];
    assert!(g.rows() == k && dst.len() >= m * n, "matrix product out of bounds");
    let data = &data[offset..];
    assert!(runs_reach(data.len(), base, &[0], length), "matrix product out of bounds");
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let b_columns = Columns::Panels(g.strip_numbers());
    // SAFETY: as in `multiply_runs`.
    unsafe {
        let (rows, left) = (Rows::Apart(n), Left::Columns { data, base });
        Product { dst: dst.as_mut_ptr(), rows, shape, a: left, b: b_columns, accumulate: true }.run(g.arch());
    }
}

/// The columns of a matrix in bf16, each of them together in memory.
#[derive(Debug, Default)]
pub(crate) struct RoundedColumns {
    numbers: Vec<u16>,
    /// From one column to the next. Behind the numbers of each there are zeros.
    stride: usize,
}

impl RoundedColumns {
    /// Takes the columns of a row-major matrix that is summed with itself moved by up to `shift` rows.
    ///
    /// # Panics
    /// When [`runs_are_rounded`] says no on this processor.
    pub fn fill(&mut self, data: &[f32], cols: usize, shift: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            self.stride = walk::stride(data.len() / cols.max(1) + shift);
            // Sixteen columns are read at a time.
            let len = cols.next_multiple_of(16) * self.stride;
            if self.numbers.len() != len {
                self.numbers.clear();
                self.numbers.resize(len, 0);
            }
            walk::round_columns(data, cols, &mut self.numbers, self.stride);
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{} numbers, {cols} columns, {shift} rows to be rounded on this processor", data.len());
    }
}

/// Adds `Σ_p a[p + shift, first + i] g[p, j]` to entry (i, j) of `dst` (rows × columns of g, row-major), for g of
/// [`Panels::for_sums`].
///
/// # Panics
/// When the operands do not fit.
pub(crate) fn add_columns_gradient(
    dst: &mut [f32],
    a: &RoundedColumns,
    [first, shift]: [usize; 2],
    g: &Panels,
) {
    match g.numbers() {
        #[cfg(target_arch = "x86_64")]
        Numbers::Runs(strips) => {
            let rows = dst.len() / g.cols().max(1);
            walk::add_products(dst, &a.numbers, [first * a.stride + shift, rows, a.stride], strips);
        }
        _ => panic!("sum of {} numbers at {first}, {shift} with panels of another kind", a.numbers.len()),
    }
}
