//! Products on the processor's matrix unit (AMX): of operands rounded to bf16, and of operands split into three parts whose
//! six largest products give what a product of 32 bits gives.
//!
//! The unit multiplies 16 rows of 32 numbers with 32 rows of 16 columns at a time, pairs of depths together. Which two
//! depths make a pair is free as long as both operands agree: here l and l + 16 of every 32, so that two vectors of
//! neighboring numbers become pairs without a shuffle. Depths and rows that are missing are zeros.
//!
//! Error of split products: a number is the sum of its three parts exactly; left out are products of two parts below 2⁻²⁵
//! of the whole, and sums are rounded once for 32 depths and term. Numbers below 1.2e-38 count as zero.

mod kernel;
mod stage;
mod unit;
pub(super) mod walk;

use std::cell::RefCell;

use super::{Target, View};
use crate::arch::has_unit;
use kernel::Block;

/// Lines of a register, squares' rows and columns, pairs of a line.
const LINES: usize = 16;

/// Depths of a register.
const DEPTH: usize = 2 * LINES;

/// Rows of the left operand that are staged before they are multiplied.
const PASS: usize = 6 * LINES;

/// A line of a register: 16 pairs of bf16.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u32; LINES]);

const EMPTY: Line = Line([0; LINES]);

/// A right operand: for every 16 columns, every 32 rows and every part one register.
#[derive(Debug, Clone)]
pub(super) struct Tiles {
    lines: Vec<Line>,
    parts: usize,
}

/// Lines of 16 rows of a left operand, or 16 columns of a right one, of that depth.
const fn strip(parts: usize, depth: usize) -> usize {
    depth.div_ceil(DEPTH) * parts * LINES
}

impl Tiles {
    /// Packs a (rows × cols) view, one of whose strides is one, in one part or three.
    ///
    /// # Panics
    /// When the unit is not available, or the view is too short or lies scattered.
    pub fn pack(b: View<'_>, [rows, cols]: [usize; 2], parts: usize) -> Self {
        assert!(has_unit(), "products for the matrix unit without it");
        assert!(parts == 1 || parts == 3, "numbers of {parts} parts");
        let mut lines = vec![EMPTY; cols.div_ceil(LINES) * strip(parts, rows)];
        // SAFETY: where the unit is there, so are the vector instructions of the staging.
        unsafe {
            if parts == 1 {
                stage_columns::<1>(&b, [rows, cols], &mut lines)
            } else {
                stage_columns::<3>(&b, [rows, cols], &mut lines)
            }
        }
        Self { lines, parts }
    }
}

/// Stages the columns of a right operand.
///
/// # Safety
/// As [`stage::stage`].
unsafe fn stage_columns<const PARTS: usize>(b: &View<'_>, [rows, cols]: [usize; 2], lines: &mut [Line]) {
    let strip = strip(PARTS, rows);
    for (i, to) in lines.chunks_exact_mut(strip.max(1)).enumerate() {
        let data = &b.data[(i * LINES * b.col_stride).min(b.data.len())..];
        let columns = View { data, row_stride: b.col_stride, col_stride: b.row_stride };
        // SAFETY: as the caller says.
        unsafe { stage::stage::<PARTS>(columns, [LINES.min(cols - i * LINES), rows], false, to) };
    }
}

/// Stages rows of a left operand.
///
/// # Safety
/// As [`stage::stage`].
unsafe fn stage_rows<const PARTS: usize>(a: &View<'_>, [rows, depth]: [usize; 2], lines: &mut [Line]) {
    let strip = strip(PARTS, depth);
    for (i, to) in lines.chunks_exact_mut(strip.max(1)).enumerate() {
        let data = &a.data[(i * LINES * a.row_stride).min(a.data.len())..];
        let rows = [LINES.min(rows - i * LINES), depth];
        // SAFETY: as the caller says.
        unsafe { stage::stage::<PARTS>(View { data, ..*a }, rows, true, to) };
    }
}

/// `a (m×k) · b` for a packed b with n columns; the shape is (m, n, k).
///
/// # Safety
/// `target` is valid for writes and holds numbers if it is accumulated to.
///
/// # Panics
/// When an operand or the target is too short for the shape.
pub(super) unsafe fn multiply(target: Target, shape: [usize; 3], a: View<'_>, b: &Tiles) {
    let [_, n, k] = shape;
    assert!(b.lines.len() == n.div_ceil(LINES) * strip(b.parts, k), "matrix product out of bounds");
    // SAFETY: tiles are packed only where the unit is; the caller answers for the target.
    unsafe {
        match b.parts {
            1 => passes::<1>(target, shape, a, &b.lines),
            _ => passes::<3>(target, shape, a, &b.lines),
        }
    }
}

/// `gᵀ x` for g (k×m) and x (k×n), both row-major, in one part or three; the shape is (m, n, k).
///
/// # Safety
/// As [`multiply`].
///
/// # Panics
/// As [`multiply`], and when the unit is not available.
pub(super) unsafe fn multiply_transposed(
    target: Target,
    shape @ [m, n, k]: [usize; 3],
    g: &[f32],
    x: &[f32],
    parts: usize,
) {
    let (g, x) = (View::transposed(g, m), View::rows(x, n));
    assert!(x.reaches(k, n), "matrix product out of bounds");
    thread_local! {
        static RIGHT: Staging = const { Staging::new() };
    }
    RIGHT.with(|staging| {
        staging.with(n.div_ceil(LINES) * strip(parts, k), |b| {
            // SAFETY: as the caller says.
            unsafe {
                if parts == 1 {
                    stage_columns::<1>(&x, [k, n], b);
                    passes::<1>(target, shape, g, b);
                } else {
                    stage_columns::<3>(&x, [k, n], b);
                    passes::<3>(target, shape, g, b);
                }
            }
        });
    });
}

/// Memory of a thread that operands are staged in. It stays in the caches from one product to the next.
struct Staging(RefCell<Vec<Line>>);

impl Staging {
    const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Runs `work` with so many lines. They hold what was left in them.
    fn with(&self, lines: usize, work: impl FnOnce(&mut [Line])) {
        let mut staged = self.0.borrow_mut();
        if staged.len() < lines {
            staged.resize(lines, EMPTY);
        }
        work(&mut staged[..lines]);
    }
}

/// # Safety
/// As [`multiply`], and the unit is available.
unsafe fn passes<const PARTS: usize>(target: Target, [m, n, k]: [usize; 3], a: View<'_>, b: &[Line]) {
    let Target { dst, len, stride, accumulate } = target;
    if m == 0 || n == 0 {
        return;
    }
    assert!(a.reaches(m, k), "matrix product out of bounds");
    assert!(stride >= n && (m - 1) * stride + n <= len, "matrix product out of bounds");
    if k == 0 {
        for row in (0..m).filter(|_| !accumulate) {
            // SAFETY: the row lies in the target, as asserted.
            unsafe { std::ptr::write_bytes(dst.add(row * stride), 0, n) };
        }
        return;
    }
    thread_local! {
        static LEFT: Staging = const { Staging::new() };
    }
    unit::configure();
    let rows = PASS.min(m);
    LEFT.with(|staging| {
        staging.with(rows.div_ceil(LINES) * strip(PARTS, k), |staged| {
            for begin in (0..m).step_by(PASS) {
                let rows = rows.min(m - begin);
                let staged = &mut staged[..rows.div_ceil(LINES) * strip(PARTS, k)];
                let data = &a.data[begin * a.row_stride..];
                // SAFETY: the caller answers for the unit and the target.
                unsafe {
                    stage_rows::<PARTS>(&View { data, ..a }, [rows, k], staged);
                    let steps = k.div_ceil(DEPTH);
                    let pass = Pass::<PARTS> { a: staged, b, steps, rows, cols: n, stride, accumulate };
                    pass.run(dst.add(begin * stride));
                }
            }
        });
    });
}

/// Some staged rows times all columns.
struct Pass<'a, const PARTS: usize> {
    a: &'a [Line],
    b: &'a [Line],
    steps: usize,
    rows: usize,
    cols: usize,
    stride: usize,
    accumulate: bool,
}

impl<const PARTS: usize> Pass<'_, PARTS> {
    /// # Safety
    /// The unit is configured, `dst` leads to the rows of the target, and the operands have as many lines as the shape says.
    unsafe fn run(&self, dst: *mut f32) {
        let strip = self.steps * PARTS * LINES;
        let [down, across] = [self.rows.div_ceil(LINES), self.cols.div_ceil(LINES)];
        let mut j = 0;
        while j < across {
            let mut i = 0;
            // All rows of the pass meet the same columns, which stay in the first-level cache.
            let wide = kernel::fitting([down.min(2), across - j])[1];
            while i < down {
                let size = kernel::fitting([down - i, wide]);
                let mut k = 0;
                while k < wide {
                    let size = kernel::fitting([size[0], wide - k]);
                    // SAFETY: squares lie within the operands, and `block` keeps to the result.
                    unsafe { self.block(dst, strip, [i, j + k], size) };
                    k += size[1];
                }
                i += size[0];
            }
            j += wide;
        }
    }

    /// A block of `size` squares from square `at` on.
    ///
    /// # Safety
    /// As [`Pass::run`]; the squares lie within the operands.
    unsafe fn block(&self, dst: *mut f32, strip: usize, at: [usize; 2], size: [usize; 2]) {
        let [row, col] = at.map(|x| x * LINES);
        let [height, width] =
            [(self.rows - row).min(size[0] * LINES), (self.cols - col).min(size[1] * LINES)];
        let to = dst.wrapping_add(row * self.stride + col);
        let mut block = Block {
            a: self.a[at[0] * strip..].as_ptr(),
            a_next: strip,
            b: self.b[at[1] * strip..].as_ptr(),
            b_next: strip,
            steps: self.steps,
            c: to,
            c_stride: self.stride,
            accumulate: self.accumulate,
        };
        if [height, width] == size.map(|x| x * LINES) {
            // SAFETY: the whole block lies in the result.
            unsafe { kernel::run::<PARTS>(size, &block) };
            return;
        }
        // The unit writes whole squares: those that reach beyond the result are computed apart.
        let mut whole = [EMPTY; 4 * LINES];
        let wide = size[1] * LINES;
        block = Block { c: whole.as_mut_ptr().cast(), c_stride: wide, ..block };
        // SAFETY: a block has four squares at most; rows and columns that are copied lie in the result.
        unsafe {
            let numbers: *mut f32 = block.c;
            if self.accumulate {
                for i in 0..height {
                    to.add(i * self.stride).copy_to_nonoverlapping(numbers.add(i * wide), width);
                }
            }
            kernel::run::<PARTS>(size, &block);
            for i in 0..height {
                to.add(i * self.stride).copy_from_nonoverlapping(numbers.add(i * wide), width);
            }
        }
    }
}
