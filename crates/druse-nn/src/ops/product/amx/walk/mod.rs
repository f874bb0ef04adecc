//! Products whose left operand is read where it lies: numbers of bf16 whose rows are at equal distances, in steps of 32
//! depths that begin anywhere. The pixels below a convolution's kernel are such rows, and so are the numbers of a channel.
//!
//! Neighbors in depth are the pairs here, as they lie in memory: 2l and 2l + 1 of every 32.

mod kernel;
mod pack;

use std::mem::MaybeUninit;

use super::{DEPTH, LINES, Line, Staging, unit};
use crate::ops::product::runs_reach;
use kernel::{Block, Left, run};
pub(in crate::ops::product) use pack::{Strips, round, round_columns, stride};

/// Columns of a strip of the right operand: two squares.
const STRIP: usize = 2 * LINES;

/// Rows of the left operand that meet one strip after the other.
const PASS: usize = 256;

/// A left operand as [`super::super::Runs`], of numbers in bf16.
#[derive(Clone, Copy)]
pub(in crate::ops::product) struct RoundedRuns<'a> {
    pub data: &'a [u16],
    pub base: &'a [u32],
    pub offsets: &'a [u32],
    pub length: usize,
}

/// `dst (m × n, row-major) = a · b` for rows of runs and a packed b; all of `dst` is written.
///
/// # Panics
/// When the operands do not fit, or a run, filled up to whole steps, lies outside of the numbers.
pub(in crate::ops::product) fn multiply(dst: &mut [MaybeUninit<f32>], a: RoundedRuns<'_>, b: &Strips) {
    let per_run = a.length.div_ceil(DEPTH);
    let steps = a.offsets.len() * per_run;
    assert!(b.steps == steps && dst.len() == a.base.len() * b.cols, "matrix product out of bounds");
    assert!(runs_reach(a.data.len(), a.base, a.offsets, per_run * DEPTH), "matrix product out of bounds");
    if steps == 0 {
        return dst.fill(MaybeUninit::new(0.0));
    }
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

/// Bytes of so many numbers.
///
/// # Panics
/// When a table cannot hold them.
fn bytes(numbers: usize) -> u32 {
    u32::try_from(numbers * size_of::<u16>()).expect("steps of a product lie within 4 GiB")
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
pub(in crate::ops::product) fn add_products(
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
    let places: Vec<u32> = (0..b.steps).map(|i| bytes(i * DEPTH)).collect();
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
