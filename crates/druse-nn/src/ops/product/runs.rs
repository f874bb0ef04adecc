//! Products with a matrix that is not built: its rows are put together of runs of neighboring numbers of a larger array, as
//! the pixels below a convolution's kernel are. They are counted by whoever knows how many of the multiplications are needed.

use super::kernel::{Columns, Left, Product, Rows};
use super::{Panels, View};

/// A matrix whose row i is `data[base[i] + offset..][..length]` for every offset, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    pub data: &'a [f32],
    pub base: &'a [u32],
    pub offsets: &'a [u32],
    pub length: usize,
}

impl Runs<'_> {
    fn cols(&self) -> usize {
        self.offsets.len() * self.length
    }

    fn check(&self) {
        assert!(
            reaches(self.data.len(), self.base, self.offsets, self.length),
            "matrix product out of bounds"
        );
    }
}

/// Whether all runs lie within `len` numbers.
fn reaches(len: usize, base: &[u32], offsets: &[u32], length: usize) -> bool {
    let largest = |list: &[u32]| list.iter().max().map(|&x| x as usize);
    match (largest(base), largest(offsets)) {
        (Some(base), Some(offset)) => base + offset + length <= len,
        _ => true,
    }
}

/// `dst (m×n, row-major) = a · b` for packed strips b.
///
/// # Panics
/// When a slice is too short for its shape, or b is packed otherwise.
pub(crate) fn multiply_runs(dst: &mut [f32], a: Runs<'_>, b: &Panels) {
    let shape @ [m, n, k] = [a.base.len(), b.cols(), a.cols()];
    assert!(b.rows() == k && dst.len() >= m * n, "matrix product out of bounds");
    a.check();
    if m == 0 || n == 0 {
        return;
    }
    let left = Left::Runs { data: a.data, base: a.base, offsets: a.offsets, length: a.length };
    let b_columns = Columns::Panels(b.strip_numbers());
    // SAFETY: the assertions bound every address that the tables can form; the panels are strips of the same processor.
    unsafe {
        let rows = Rows::Apart(n);
        Product { dst: dst.as_mut_ptr(), rows, shape, a: left, b: b_columns, accumulate: false }
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
    assert!(reaches(dst.len(), base, &[0], n), "matrix product out of bounds");
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
    assert!(reaches(data.len(), base, &[0], length), "matrix product out of bounds");
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
