//! Blocks of the result in the unit's registers.
//!
//! The unit has eight registers of 16 rows of 64 bytes. One instruction adds to a 16×16 square of sums the product of 16
//! rows of 32 bf16 numbers with 32 rows of 16: the square of every kernel here takes the parts of one step in depth after
//! the other in the same order, so an entry does not depend on the kernel that computed it.

use std::arch::asm;

use super::{LINES, Line};

/// A block of the result and what it is the product of.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// Left operand: for every step in depth its parts, a register each.
    pub a: *const Line,
    /// Lines from 16 rows of the left operand to the next 16.
    pub a_next: usize,
    /// Right operand, as the left one.
    pub b: *const Line,
    /// Lines from 16 columns of the right operand to the next 16.
    pub b_next: usize,
    /// Steps in depth, at least one.
    pub steps: usize,
    /// First number of the result.
    pub c: *mut f32,
    /// Numbers from one row of the result to the next.
    pub c_stride: usize,
    /// Whether the product is added to what `c` holds.
    pub accumulate: bool,
}

/// Loads the left operand's part `$part` from pointer `$at` into register `$to`.
macro_rules! load {
    ($to:literal, $at:literal, 0) => {
        concat!("tileloadd tmm", $to, ", [{", $at, "} + {line}]\n")
    };
    ($to:literal, $at:literal, 1) => {
        concat!("tileloadd tmm", $to, ", [{", $at, "} + {line} + 1024]\n")
    };
    ($to:literal, $at:literal, 2) => {
        concat!("tileloadd tmm", $to, ", [{", $at, "} + {line} + 2048]\n")
    };
}

/// `sums += left · right`, registers by their numbers.
macro_rules! multiply {
    ($sums:literal, $left:literal, $right:literal) => {
        concat!("tdpbf16ps tmm", $sums, ", tmm", $left, ", tmm", $right, "\n")
    };
}

/// Loads part `$part` of the left operand's rows.
macro_rules! left {
    (2 x $cols:tt, $part:tt) => {
        concat!(load!(4, "a0", $part), load!(5, "a1", $part))
    };
    (1 x $cols:tt, $part:tt) => {
        load!(4, "a0", $part)
    };
}

/// Loads part `$part` of the right operand's columns.
macro_rules! right {
    ($rows:tt x 2, $part:tt) => {
        concat!(load!(6, "b0", $part), load!(7, "b1", $part))
    };
    ($rows:tt x 1, $part:tt) => {
        load!(6, "b0", $part)
    };
}

/// Adds the product of what is loaded to all squares.
macro_rules! term {
    (2 x 2) => {
        concat!(multiply!(0, 4, 6), multiply!(1, 4, 7), multiply!(2, 5, 6), multiply!(3, 5, 7))
    };
    (2 x 1) => {
        concat!(multiply!(0, 4, 6), multiply!(1, 5, 6))
    };
    (1 x 2) => {
        concat!(multiply!(0, 4, 6), multiply!(1, 4, 7))
    };
    (1 x 1) => {
        multiply!(0, 4, 6)
    };
}

/// All terms of one step in depth. Of numbers in three parts the six products that reach beyond the last bit of a 32-bit
/// product, in an order that loads as little as possible.
macro_rules! terms {
    ($rows:tt x $cols:tt, 1) => {
        concat!(left!($rows x $cols, 0), right!($rows x $cols, 0), term!($rows x $cols))
    };
    ($rows:tt x $cols:tt, 3) => {
        concat!(
            left!($rows x $cols, 2),
            right!($rows x $cols, 0),
            term!($rows x $cols),
            left!($rows x $cols, 1),
            term!($rows x $cols),
            right!($rows x $cols, 1),
            term!($rows x $cols),
            left!($rows x $cols, 0),
            term!($rows x $cols),
            right!($rows x $cols, 2),
            term!($rows x $cols),
            right!($rows x $cols, 0),
            term!($rows x $cols)
        )
    };
}

/// One instruction for each square of the result: its register, its address.
macro_rules! squares {
    (2 x 2, $load:ident) => {
        concat!($load!(0, "c0", ""), $load!(1, "c0", " + 64"), $load!(2, "c1", ""), $load!(3, "c1", " + 64"))
    };
    (2 x 1, $load:ident) => {
        concat!($load!(0, "c0", ""), $load!(1, "c1", ""))
    };
    (1 x 2, $load:ident) => {
        concat!($load!(0, "c0", ""), $load!(1, "c0", " + 64"))
    };
    (1 x 1, $load:ident) => {
        concat!($load!(0, "c0", ""))
    };
}
macro_rules! read_square {
    ($tile:literal, $at:literal, $offset:literal) => {
        concat!("tileloadd tmm", $tile, ", [{", $at, "} + {stride}", $offset, "]\n")
    };
}
macro_rules! clear_square {
    ($tile:literal, $at:literal, $offset:literal) => {
        concat!("tilezero tmm", $tile, "\n")
    };
}
macro_rules! write_square {
    ($tile:literal, $at:literal, $offset:literal) => {
        concat!("tilestored [{", $at, "} + {stride}", $offset, "], tmm", $tile, "\n")
    };
}

/// A kernel for so many squares of rows and columns and so many parts of a number: the pointers that advance through the
/// operands, those to the result.
macro_rules! kernel {
    ($name:ident, $rows:tt x $cols:tt, $parts:tt,
     [$($p:ident: $side:ident $next:ident $index:literal),*], [$($c:ident $square:literal),*]) => {
        /// # Safety
        /// The unit is configured for this thread; all addresses that `block` leads to are valid.
        unsafe fn $name(block: &Block) {
            // SAFETY: the caller answers for the unit and the addresses; every register that is written is named.
            unsafe {
                asm!(
                    "test {accumulate:e}, {accumulate:e}",
                    "jz 2f",
                    squares!($rows x $cols, read_square),
                    "jmp 3f",
                    "2:",
                    squares!($rows x $cols, clear_square),
                    "3:",
                    terms!($rows x $cols, $parts),
                    $(concat!("add {", stringify!($p), "}, {step}"),)*
                    "dec {steps}",
                    "jnz 3b",
                    squares!($rows x $cols, write_square),
                    accumulate = in(reg) u32::from(block.accumulate),
                    $($p = inout(reg) block.$side.add($index * block.$next) => _,)*
                    $($c = in(reg) block.c.add($square * LINES * block.c_stride),)*
                    stride = in(reg) block.c_stride * size_of::<f32>(),
                    line = in(reg) size_of::<Line>(),
                    steps = inout(reg) block.steps => _,
                    step = const $parts * LINES * size_of::<Line>(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(rounded_2x2, 2 x 2, 1, [a0: a a_next 0, a1: a a_next 1, b0: b b_next 0, b1: b b_next 1], [c0 0, c1 1]);
kernel!(rounded_2x1, 2 x 1, 1, [a0: a a_next 0, a1: a a_next 1, b0: b b_next 0], [c0 0, c1 1]);
kernel!(rounded_1x2, 1 x 2, 1, [a0: a a_next 0, b0: b b_next 0, b1: b b_next 1], [c0 0]);
kernel!(rounded_1x1, 1 x 1, 1, [a0: a a_next 0, b0: b b_next 0], [c0 0]);
kernel!(split_2x2, 2 x 2, 3, [a0: a a_next 0, a1: a a_next 1, b0: b b_next 0, b1: b b_next 1], [c0 0, c1 1]);
kernel!(split_2x1, 2 x 1, 3, [a0: a a_next 0, a1: a a_next 1, b0: b b_next 0], [c0 0, c1 1]);
kernel!(split_1x2, 1 x 2, 3, [a0: a a_next 0, b0: b b_next 0, b1: b b_next 1], [c0 0]);
kernel!(split_1x1, 1 x 1, 3, [a0: a a_next 0, b0: b b_next 0], [c0 0]);

/// Squares (down, across) of the largest kernel that fits so many.
pub(super) fn fitting([down, across]: [usize; 2]) -> [usize; 2] {
    match (down, across) {
        (2.., 2..) => [2, 2],
        (2.., _) => [2, 1],
        (_, 2..) => [1, 2],
        _ => [1, 1],
    }
}

/// Computes a block of so many squares (down, across), one of [`fitting`], of numbers in `PARTS` parts.
///
/// # Safety
/// The unit is configured for this thread; all addresses that `block` leads to are valid.
pub(super) unsafe fn run<const PARTS: usize>(size: [usize; 2], block: &Block) {
    const { assert!(PARTS == 1 || PARTS == 3) };
    // SAFETY: as the caller says.
    unsafe {
        match (size, PARTS) {
            ([2, 2], 1) => rounded_2x2(block),
            ([2, 1], 1) => rounded_2x1(block),
            ([1, 2], 1) => rounded_1x2(block),
            (_, 1) => rounded_1x1(block),
            ([2, 2], _) => split_2x2(block),
            ([2, 1], _) => split_2x1(block),
            ([1, 2], _) => split_1x2(block),
            _ => split_1x1(block),
        }
    }
}
