//! Blocks of the result in the unit's registers.

use std::arch::asm;

use super::super::{EMPTY, LINES, Line};

/// Up to 32 rows of a left operand: where both squares of them begin, and the bytes from one row to the next.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub rows: usize,
    pub starts: [*const u16; 2],
    pub stride: usize,
}

/// A block of the result and what it is the product of.
pub(super) struct Block {
    pub a: Left,
    /// For every step in depth, at least one, the bytes from the start of a row.
    pub places: *const u32,
    pub steps: usize,
    /// A strip of the right operand.
    pub b: *const Line,
    pub c: *mut f32,
    /// Numbers from one row of the result to the next.
    pub c_stride: usize,
    /// Whether the product is added to what `c` holds.
    pub accumulate: bool,
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
pub(super) unsafe fn run(block: &Block, columns: usize) {
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
