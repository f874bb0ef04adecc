//! Products whose left operand is read where it lies: numbers of bf16 whose rows are at equal distances, in steps of 32
//! depths that begin anywhere. The pixels below a convolution's kernel are such rows, and so are the numbers of a channel.
//!
//! Neighbors in depth are the pairs here, as they lie in memory: 2l and 2l + 1 of every 32.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::stage::{first, load, parts, transpose};
use super::{DEPTH, EMPTY, LINES, Line, Staging, unit};
use crate::arch::has_unit;
use crate::ops::product::View;

/// Columns of a strip of the right operand: two squares.
const STRIP: usize = 2 * LINES;

/// Rows of the left operand that meet one strip after the other.
const PASS: usize = 256;

/// A right operand: strips of two squares of columns (one, at the end of some), each with its steps in depth one after the
/// other.
#[derive(Debug, Clone)]
pub(in super::super) struct Strips {
    lines: Vec<Line>,
    steps: usize,
    cols: usize,
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

    fn strip(&self, first: usize) -> &[Line] {
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
unsafe fn pack(b: &View<'_>, cols: usize, steps: &[std::ops::Range<usize>], lines: &mut Vec<Line>) {
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
unsafe fn pack_square(
    b: &View<'_>,
    rows: std::ops::Range<usize>,
    [column, cols]: [usize; 2],
    to: &mut [Line],
) {
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
pub(in super::super) fn round(from: &[f32], to: &mut [u16]) {
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
pub(in super::super) fn stride(rows: usize) -> usize {
    // An odd number of lines: columns would meet in the same places of a cache.
    ((rows.div_ceil(DEPTH) + 1) | 1) * DEPTH
}

/// Rounds a row-major matrix and writes it column by column, columns `stride` numbers apart; `stride` is a multiple of 32 and
/// what lies behind the rows of a column is zero.
///
/// # Panics
/// When a slice is too short or the unit is not available.
pub(in super::super) fn round_columns(from: &[f32], cols: usize, to: &mut [u16], stride: usize) {
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

/// Up to 32 rows of a left operand: where both squares of them begin, and the bytes from one row to the next.
#[derive(Clone, Copy)]
struct Left {
    rows: usize,
    starts: [*const u16; 2],
    stride: usize,
}

/// A block of the result and what it is the product of.
struct Block {
    a: Left,
    /// For every step in depth the bytes from the start of a row.
    places: *const u32,
    steps: usize,
    b: *const Line,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
}

/// Loads the rows of a step, the second square first.
macro_rules! left {
    (2) => {
        concat!(
            "add {place}, {a1}\n",
            "tileloadd tmm5, [{place} + {a_stride}]\n",
            "sub {place}, {a1}\n",
            left!(1)
        )
    };
    (1) => {
        concat!("add {place}, {a0}\n", "tileloadd tmm4, [{place} + {a_stride}]\n")
    };
}
macro_rules! right {
    (2) => {
        concat!(right!(1), "tileloadd tmm7, [{b} + {line} + 1024]\n")
    };
    (1) => {
        "tileloadd tmm6, [{b} + {line}]\n"
    };
}
macro_rules! term {
    (2 x 2) => {
        concat!(term!(1 x 2), "tdpbf16ps tmm2, tmm5, tmm6\n", "tdpbf16ps tmm3, tmm5, tmm7\n")
    };
    (2 x 1) => {
        concat!(term!(1 x 1), "tdpbf16ps tmm2, tmm5, tmm6\n")
    };
    (1 x 2) => {
        concat!(term!(1 x 1), "tdpbf16ps tmm1, tmm4, tmm7\n")
    };
    (1 x 1) => {
        "tdpbf16ps tmm0, tmm4, tmm6\n"
    };
}
/// One instruction for each square of the result.
macro_rules! squares {
    (2 x 2, $one:ident) => {
        concat!(squares!(1 x 2, $one), $one!(2, "c1", ""), $one!(3, "c1", " + 64"))
    };
    (2 x 1, $one:ident) => {
        concat!(squares!(1 x 1, $one), $one!(2, "c1", ""))
    };
    (1 x 2, $one:ident) => {
        concat!(squares!(1 x 1, $one), $one!(1, "c0", " + 64"))
    };
    (1 x 1, $one:ident) => {
        $one!(0, "c0", "")
    };
}
macro_rules! read {
    ($tile:literal, $at:literal, $offset:literal) => {
        concat!("tileloadd tmm", $tile, ", [{", $at, "} + {c_stride}", $offset, "]\n")
    };
}
macro_rules! clear {
    ($tile:literal, $at:literal, $offset:literal) => {
        concat!("tilezero tmm", $tile, "\n")
    };
}
macro_rules! write {
    ($tile:literal, $at:literal, $offset:literal) => {
        concat!("tilestored [{", $at, "} + {c_stride}", $offset, "], tmm", $tile, "\n")
    };
}

macro_rules! kernel {
    ($name:ident, $rows:tt x $cols:tt, [$($a1:ident)?], [$($c1:ident)?]) => {
        /// # Safety
        /// The unit is configured for this thread; all addresses that the block leads to are valid.
        unsafe fn $name(block: &Block) {
            // SAFETY: the caller answers for the unit and the addresses; every register that is written is named.
            unsafe {
                asm!(
                    "test {accumulate:e}, {accumulate:e}",
                    "jz 2f",
                    squares!($rows x $cols, read),
                    "jmp 3f",
                    "2:",
                    squares!($rows x $cols, clear),
                    "3:",
                    "mov {place:e}, dword ptr [{places}]",
                    left!($rows),
                    right!($cols),
                    term!($rows x $cols),
                    "add {places}, 4",
                    "add {b}, {step}",
                    "dec {steps}",
                    "jnz 3b",
                    squares!($rows x $cols, write),
                    accumulate = in(reg) u32::from(block.accumulate),
                    a0 = in(reg) block.a.starts[0],
                    $($a1 = in(reg) block.a.starts[1],)?
                    c0 = in(reg) block.c,
                    $($c1 = in(reg) block.c.wrapping_add(LINES * block.c_stride),)?
                    a_stride = in(reg) block.a.stride,
                    c_stride = in(reg) block.c_stride * size_of::<f32>(),
                    line = in(reg) size_of::<Line>(),
                    place = out(reg) _,
                    places = inout(reg) block.places => _,
                    b = inout(reg) block.b => _,
                    steps = inout(reg) block.steps => _,
                    step = const $cols * LINES * size_of::<Line>(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(walk_2x2, 2 x 2, [a1], [c1]);
kernel!(walk_2x1, 2 x 1, [a1], [c1]);
kernel!(walk_1x2, 1 x 2, [], []);
kernel!(walk_1x1, 1 x 1, [], []);

/// Computes a block with so many columns.
///
/// # Safety
/// The unit is configured; all addresses that the block leads to are valid, those of the result for its rows and columns.
unsafe fn run(block: &Block, columns: usize) {
    let rows = block.a.rows;
    let size = [rows.div_ceil(LINES), columns.div_ceil(LINES)];
    let whole = |block: &Block| {
        // SAFETY: as the caller of `run` says, or a block of its own.
        unsafe {
            match size {
                [2, 2] => walk_2x2(block),
                [2, _] => walk_2x1(block),
                [_, 2] => walk_1x2(block),
                _ => walk_1x1(block),
            }
        }
    };
    if [rows, columns] == size.map(|x| x * LINES) {
        return whole(block);
    }
    // The unit writes whole squares: those that reach beyond the result are computed apart.
    let mut apart = [EMPTY; 4 * LINES];
    let wide = size[1] * LINES;
    let numbers: *mut f32 = apart.as_mut_ptr().cast();
    // SAFETY: a block has four squares at most; what is copied lies in the result.
    unsafe {
        if block.accumulate {
            for i in 0..rows {
                block.c.add(i * block.c_stride).copy_to_nonoverlapping(numbers.add(i * wide), columns);
            }
        }
        whole(&Block { c: numbers, c_stride: wide, ..*block });
        for i in 0..rows {
            block.c.add(i * block.c_stride).copy_from_nonoverlapping(numbers.add(i * wide), columns);
        }
    }
}

/// A left operand as [`super::super::Runs`], of numbers in bf16.
#[derive(Clone, Copy)]
pub(in super::super) struct RoundedRuns<'a> {
    pub data: &'a [u16],
    pub base: &'a [u32],
    pub offsets: &'a [u32],
    pub length: usize,
}

/// `dst (m × n, row-major) = a · b` for rows of runs and a packed b; all of `dst` is written.
///
/// # Panics
/// When the operands do not fit, or a run, filled up to whole steps, lies outside of the numbers.
pub(in super::super) fn multiply(dst: &mut [MaybeUninit<f32>], a: RoundedRuns<'_>, b: &Strips) {
    let per_run = a.length.div_ceil(DEPTH);
    let steps = a.offsets.len() * per_run;
    assert!(b.steps == steps && dst.len() == a.base.len() * b.cols, "matrix product out of bounds");
    assert!(
        super::super::runs::reach(a.data.len(), a.base, a.offsets, per_run * DEPTH),
        "matrix product out of bounds"
    );
    if steps == 0 {
        return dst.fill(MaybeUninit::new(0.0));
    }
    let bytes = |numbers: usize| (numbers * size_of::<u16>()) as u32;
    // Where steps lie in what is read where it is, and in rows that are copied together.
    let here: Vec<u32> = a
        .offsets
        .iter()
        .flat_map(|&offset| (0..per_run).map(move |i| bytes(offset as usize + i * DEPTH)))
        .collect();
    let copied: Vec<u32> = (0..steps).map(|i| bytes(i * DEPTH)).collect();
    thread_local! {
        static ROWS: Staging = const { Staging::new() };
    }
    unit::configure();
    for (pass, base) in a.base.chunks(PASS).enumerate() {
        let apart = base.chunks(2 * LINES).filter(|rows| distance(rows).is_none()).count();
        ROWS.with(|staging| {
            staging.with(apart * 2 * LINES * steps, |lines| {
                let mut free = lines.chunks_exact_mut(2 * LINES * steps);
                let blocks: Vec<(Left, &[u32])> = base
                    .chunks(2 * LINES)
                    .map(|rows| match distance(rows) {
                        Some(distance) => {
                            let start = |i: usize| match rows.get(i) {
                                Some(&base) => a.data[base as usize..].as_ptr(),
                                None => a.data.as_ptr(),
                            };
                            let stride = distance as usize * size_of::<u16>();
                            (Left { rows: rows.len(), starts: [start(0), start(LINES)], stride }, &here[..])
                        }
                        None => {
                            let lines = free.next().expect("room for all rows that lie apart");
                            copy(&a, rows, per_run, lines);
                            let start = |i: usize| lines[i * steps..].as_ptr().cast();
                            let stride = steps * size_of::<Line>();
                            (Left { rows: rows.len(), starts: [start(0), start(LINES)], stride }, &copied[..])
                        }
                    })
                    .collect();
                for column in (0..b.cols).step_by(STRIP) {
                    let strip = b.strip(column);
                    for (i, (a, places)) in blocks.iter().enumerate() {
                        let row = pass * PASS + i * 2 * LINES;
                        let block = Block {
                            a: *a,
                            places: places.as_ptr(),
                            steps,
                            b: strip.as_ptr(),
                            c: dst.as_mut_ptr().cast::<f32>().wrapping_add(row * b.cols + column),
                            c_stride: b.cols,
                            accumulate: false,
                        };
                        // SAFETY: the assertions bound what is read and written; rows that are not there are those of
                        // the first place, or what is left in the lines.
                        unsafe { run(&block, (b.cols - column).min(STRIP)) };
                    }
                }
            });
        });
    }
}

/// The distance of rows, if it is one for each of their squares, they lie in order and none is missing.
fn distance(base: &[u32]) -> Option<u32> {
    let distance = base.get(1)?.checked_sub(base[0])?;
    let even = |square: &[u32]| square.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(distance));
    (base.len().is_multiple_of(LINES) && base.chunks(LINES).all(even)).then_some(distance)
}

/// Copies rows together.
fn copy(a: &RoundedRuns<'_>, base: &[u32], per_run: usize, lines: &mut [Line]) {
    let steps = a.offsets.len() * per_run;
    for (row, &base) in lines.chunks_exact_mut(steps).zip(base) {
        for (run, &offset) in row.chunks_exact_mut(per_run).zip(a.offsets) {
            let from = &a.data[base as usize + offset as usize..][..per_run * DEPTH];
            // SAFETY: both sides have as many bytes.
            unsafe { from.as_ptr().copy_to_nonoverlapping(run.as_mut_ptr().cast(), from.len()) };
        }
    }
}

/// `dst (rows × n, row-major) += a · b`, where row i of a is what `data` holds from `first + i · stride` on: one number for each
/// row of b, and whatever may be multiplied by zero up to the end of the last step.
///
/// # Panics
/// When the operands do not fit: `data` has to hold rows up to a multiple of 16.
pub(in super::super) fn add_products(
    dst: &mut [f32],
    data: &[u16],
    [first, rows, stride]: [usize; 3],
    b: &Strips,
) {
    let reach = first + (rows.next_multiple_of(LINES).max(1) - 1) * stride + b.steps * DEPTH;
    assert!(reach <= data.len() && dst.len() >= rows * b.cols, "matrix product out of bounds");
    if b.steps == 0 {
        return;
    }
    let places: Vec<u32> = (0..b.steps).map(|i| (i * DEPTH * size_of::<u16>()) as u32).collect();
    unit::configure();
    for column in (0..b.cols).step_by(STRIP) {
        let strip = b.strip(column);
        for row in (0..rows).step_by(2 * LINES) {
            let start = |i: usize| data.as_ptr().wrapping_add(first + (row + i) * stride);
            let a = Left {
                rows: (rows - row).min(2 * LINES),
                starts: [start(0), start(LINES)],
                stride: stride * size_of::<u16>(),
            };
            let block = Block {
                a,
                places: places.as_ptr(),
                steps: b.steps,
                b: strip.as_ptr(),
                c: dst.as_mut_ptr().wrapping_add(row * b.cols + column),
                c_stride: b.cols,
                accumulate: true,
            };
            // SAFETY: the assertions bound what is read and written.
            unsafe { run(&block, (b.cols - column).min(STRIP)) };
        }
    }
}
