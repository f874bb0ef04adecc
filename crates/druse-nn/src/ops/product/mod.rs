//! Matrix products of the network's shapes: some hundred to some thousand rows times a weight of 16 to 256 columns.
//!
//! The left operand is read where it lies, number by number, so it needs no packing; the right one is read in whole
//! vectors of neighboring columns: from [`Panels`], which a weight is packed into once per call, or straight from
//! row-major memory. A tile of the result stays in registers over the whole depth. Activations are not part of a
//! product: operations work on blocks of rows that are still in the first-level cache when the activation comes, which
//! costs a load and a store beside a hundred multiplications.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod cache;
mod dots;
mod kernel;
mod panels;
mod runs;

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use cache::{Use, Weight};
pub use panels::Panels;
pub(crate) use runs::{
    BEHIND_RUNS, RoundedColumns, RunNumbers, Runs, add_columns_gradient, add_runs_gradient,
    multiply_runs_new, round, runs_are_rounded, scatter_runs,
};

use crate::arch::arch;
use crate::precision::{Method, current};
use dots::Dots;
use kernel::{Columns, Left, Product, Rows};
use panels::Numbers;

/// Rows that are worked off together when a product is followed by something else: their results fit the first-level
/// cache at the usual widths. A multiple of the rows of a register tile on every processor.
pub(crate) const BLOCK: usize = 48;

/// Whether products are counted. Off except while a benchmark counts one step: threads would share the counter.
static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNTED: AtomicU64 = AtomicU64::new(0);

/// Runs `work` and returns its result with the floating-point operations (two for each multiplication with addition)
/// of all matrix products that were run by hand meanwhile, on any thread.
pub(crate) fn count_products<T>(work: impl FnOnce() -> T) -> (T, u64) {
    COUNTED.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::Relaxed);
    let result = work();
    COUNTING.store(false, Ordering::Relaxed);
    (result, COUNTED.load(Ordering::Relaxed))
}

/// Counts operations of products with [`Runs`].
pub(crate) fn count_operations(operations: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        COUNTED.fetch_add(operations as u64, Ordering::Relaxed);
    }
}

fn count([m, n, k]: [usize; 3]) {
    count_operations(2 * m * n * k);
}

/// Numbers in a vector of this processor.
pub(crate) fn vector_lanes() -> usize {
    panels::lanes(arch())
}

/// A strided view of a matrix: entry (i, j) is at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The numbers, from entry (0, 0) on.
    pub data: &'a [f32],
    /// From a row to the next one.
    pub row_stride: usize,
    /// From a column to the next one.
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
        reaches(self.data.len(), [self.row_stride, self.col_stride], [rows, cols])
    }
}

/// Whether a matrix of this shape and strides lies within `len` numbers.
fn reaches(len: usize, [row_stride, col_stride]: [usize; 2], [rows, cols]: [usize; 2]) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + (cols - 1) * col_stride < len
}

/// Whether all [`Runs`] lie within `len` numbers.
fn runs_reach(len: usize, base: &[u32], offsets: &[u32], length: usize) -> bool {
    let largest = |list: &[u32]| list.iter().max().map(|&x| x as usize);
    match (largest(base), largest(offsets)) {
        (Some(base), Some(offset)) => base + offset + length <= len,
        _ => true,
    }
}

/// `dst (m×n, row-major) = a (m×k) · b (k×n)`, or `+=` with `accumulate`.
///
/// # Panics
/// When a view is too short for its shape.
pub(crate) fn product(dst: &mut [f32], [m, n, k]: [usize; 3], a: View<'_>, b: View<'_>, accumulate: bool) {
    product_into(dst, n, [m, n, k], a, b, accumulate);
}

/// [`product`] into memory that need not hold numbers before; returns it as numbers.
///
/// # Panics
/// When a view is too short for its shape.
pub(crate) fn product_new<'d>(
    dst: &'d mut [MaybeUninit<f32>],
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
) -> &'d mut [f32] {
    let dst = &mut dst[..m * n];
    run_views(dst.as_mut_ptr().cast(), dst.len(), n, [m, n, k], a, b, false);
    // SAFETY: a product without accumulation writes all of `dst`.
    unsafe { dst.assume_init_mut() }
}

/// [`product`] into a part of a matrix whose rows are `stride` numbers apart.
///
/// # Panics
/// When a view is too short for its shape or `stride < n`.
pub(crate) fn product_into(
    dst: &mut [f32],
    stride: usize,
    shape: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    accumulate: bool,
) {
    run_views(dst.as_mut_ptr(), dst.len(), stride, shape, a, b, accumulate);
}

/// Runs a product of two views into `len` numbers at `dst`, as [`run`].
fn run_views(
    dst: *mut f32,
    len: usize,
    stride: usize,
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    accumulate: bool,
) {
    assert!(b.reaches(k, n), "matrix product out of bounds");
    let arch = arch();
    if b.col_stride == 1 && n % panels::lanes(arch) == 0 {
        let columns = Columns::Rows { data: b.data, stride: b.row_stride };
        run(arch, dst, len, stride, [m, n, k], a, columns, accumulate);
    } else {
        run_packed(dst, len, stride, m, a, &Panels::strips(arch, b, [k, n]), accumulate);
    }
}

/// `dst (m×n, row-major) = a (m×k) · b`, or `+=` with `accumulate`.
///
/// # Panics
/// When a slice is too short for its shape.
pub(crate) fn multiply(dst: &mut [f32], m: usize, a: View<'_>, b: &Panels, accumulate: bool) {
    multiply_into(dst, b.cols(), m, a, b, accumulate);
}

/// `dst (m×n) = a (m×k) · b` on this thread, or `+=` with `accumulate`, where rows of `dst` are `stride` numbers apart. The
/// result of a row does not depend on the other rows.
///
/// # Panics
/// When a slice is too short for its shape or `stride < n`.
pub fn multiply_into(dst: &mut [f32], stride: usize, m: usize, a: View<'_>, b: &Panels, accumulate: bool) {
    run_packed(dst.as_mut_ptr(), dst.len(), stride, m, a, b, accumulate);
}

/// `dst (m×n) += gᵀ x` for g (k×m) and x (k×n) in the precision of the thread: the gradient of a weight. Rows of `dst` are
/// `stride` numbers apart.
///
/// # Panics
/// When a slice is too short for its shape or `stride < n`.
pub(crate) fn add_gradient(dst: &mut [f32], stride: usize, [m, n, k]: [usize; 3], g: &[f32], x: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if m.min(n) > panels::MOST_COLUMNS {
        let target = Target { dst: dst.as_mut_ptr(), len: dst.len(), stride, accumulate: true };
        // SAFETY: the target is a borrowed slice; a method is one that this processor has.
        unsafe {
            match Method::of_gradient(current(), [m, n]) {
                Method::Vectors => {}
                Method::Pairs => {
                    count([m, n, k]);
                    return bf16::multiply_transposed(target, [m, n, k], View::rows(g, m), View::rows(x, n));
                }
                Method::Tiles { parts } => {
                    count([m, n, k]);
                    return amx::multiply_transposed(target, [m, n, k], g, x, parts);
                }
            }
        }
    }
    product_into(dst, stride, [m, n, k], View::transposed(g, m), View::rows(x, n), true);
}

/// Runs a product into `len` numbers at `dst`, which are written but not read unless `accumulate` is set.
#[allow(
    clippy::too_many_arguments,
    reason = "a product has this many parts; the public functions bundle them"
)]
fn run(
    arch: pulp::Arch,
    dst: *mut f32,
    len: usize,
    stride: usize,
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: Columns<'_>,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    count([m, n, k]);
    assert!(a.reaches(m, k), "matrix product out of bounds");
    assert!(stride >= n && reaches(len, [stride, 1], [m, n]), "matrix product out of bounds");
    // SAFETY: the assertions here and at the callers bound every address that strides and counts can form; panels hold
    // what the same processor's packing wrote.
    unsafe {
        let (rows, a) = (Rows::Apart(stride), Left::Strided(a));
        Product { dst, rows, shape: [m, n, k], a, b, accumulate }.run(arch)
    };
}

/// Where a result goes: `len` numbers from `dst` on, rows `stride` apart.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Target {
    dst: *mut f32,
    len: usize,
    stride: usize,
    accumulate: bool,
}

/// [`run`] with a packed operand.
fn run_packed(dst: *mut f32, len: usize, stride: usize, m: usize, a: View<'_>, b: &Panels, accumulate: bool) {
    let shape = [m, b.cols(), b.rows()];
    match b.numbers() {
        #[cfg(target_arch = "x86_64")]
        Numbers::Pairs(pairs) => {
            count(shape);
            let target = Target { dst, len, stride, accumulate };
            // SAFETY: pairs are packed only where the instructions are; the callers answer for `dst`.
            unsafe { bf16::multiply(target, shape, a, pairs) };
        }
        #[cfg(target_arch = "x86_64")]
        Numbers::Tiles(tiles) => {
            count(shape);
            let target = Target { dst, len, stride, accumulate };
            // SAFETY: the callers answer for `dst`.
            unsafe { amx::multiply(target, shape, a, tiles) };
        }
        #[cfg(target_arch = "x86_64")]
        Numbers::Runs(_) => panic!("matrix product of panels for runs"),
        Numbers::Strips(data) => {
            run(b.arch(), dst, len, stride, shape, a, Columns::Panels(data), accumulate);
        }
        Numbers::Columns(data) => {
            if m == 0 || b.cols() == 0 {
                return;
            }
            count(shape);
            assert!(a.col_stride == 1 && a.reaches(m, b.rows()), "matrix product out of bounds");
            assert!(
                stride >= b.cols() && reaches(len, [stride, 1], [m, b.cols()]),
                "matrix product out of bounds"
            );
            let (a, row_stride, arch) = (a.data, a.row_stride, b.arch());
            // SAFETY: the assertion above bounds every address in `dst`.
            unsafe { Dots { dst, stride, shape, a, row_stride, b: data, accumulate }.run(arch) };
        }
    }
}

/// A vector of `len` numbers in memory that is not cleared first.
///
/// # Safety
/// `fill` must write all of them.
pub(crate) unsafe fn new_vec(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut out = Vec::with_capacity(len);
    fill(&mut out.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is `len` at least, and the caller has filled it.
    unsafe { out.set_len(len) };
    out
}

/// `dst (m×n, row-major) = a (m×k) · b` in memory that need not hold numbers before; returns it as numbers.
///
/// # Panics
/// When a slice is too short for its shape.
pub(crate) fn multiply_new<'d>(
    dst: &'d mut [MaybeUninit<f32>],
    m: usize,
    a: View<'_>,
    b: &Panels,
) -> &'d mut [f32] {
    let dst = &mut dst[..m * b.cols()];
    run_packed(dst.as_mut_ptr().cast(), dst.len(), b.cols(), m, a, b, false);
    // SAFETY: a product without accumulation writes all of `dst`.
    unsafe { dst.assume_init_mut() }
}

/// `out (m×n) = a (m×k) · bᵀ` with b (n×k), all row-major, on the calling thread and in its precision: the product inside
/// a linear layer.
///
/// # Panics
/// When a slice is too short for its shape.
pub(crate) fn matrix_product(out: &mut [f32], shape: [usize; 3], a: &[f32], b: &[f32]) {
    let [m, n, k] = shape;
    let panels = Panels::current(View::transposed(b, k), [k, n]);
    multiply(out, m, View::rows(a, k), &panels, false);
}

#[cfg(test)]
mod tests;
