//! Matrices of few columns, sixteen rows at a time and column by column: what is summed within a row are then sums of
//! vectors, and no lane of a vector is empty.

use std::mem::MaybeUninit;

/// Rows of a block.
pub(crate) const ROWS: usize = 16;

/// Sixteen rows of C numbers, by columns.
pub(crate) type Block<const C: usize> = [[f32; ROWS]; C];

/// Runs `$narrow` for matrices of few columns, with their number as the constant `$c`, and `$wide` for others.
macro_rules! by_width {
    ($cols:expr, $c:ident => $narrow:expr, $wide:expr) => {
        match $cols {
            4 => {
                const $c: usize = 4;
                $narrow
            }
            8 => {
                const $c: usize = 8;
                $narrow
            }
            12 => {
                const $c: usize = 12;
                $narrow
            }
            16 => {
                const $c: usize = 16;
                $narrow
            }
            _ => $wide,
        }
    };
}
pub(crate) use by_width;

/// Calls `work` with every sixteen rows of all inputs, and writes what it leaves in the first blocks to the outputs. Of the last
/// block, rows that are not there are zero.
///
/// # Panics
/// When inputs and outputs are not of one length, or this is no number of rows.
#[inline(always)]
pub(crate) fn for_blocks<const C: usize, const I: usize, const O: usize>(
    inputs: [&[f32]; I],
    mut outputs: [&mut [MaybeUninit<f32>]; O],
    mut work: impl FnMut(&mut [Block<C>; I]),
) {
    let len = inputs.first().map_or(0, |x| x.len());
    assert!(
        len.is_multiple_of(C)
            && inputs.iter().all(|x| x.len() == len)
            && outputs.iter().all(|y| y.len() == len)
    );
    for start in (0..len).step_by(ROWS * C) {
        let range = start..len.min(start + ROWS * C);
        let mut blocks = inputs.map(|x| turned(&x[range.clone()]));
        work(&mut blocks);
        for (output, block) in outputs.iter_mut().zip(&blocks) {
            turn_back(block, &mut output[range.clone()]);
        }
    }
}

#[inline(always)]
fn turned<const C: usize>(rows: &[f32]) -> Block<C> {
    let mut block = [[0.0; ROWS]; C];
    if rows.len() == ROWS * C {
        for r in 0..ROWS {
            for c in 0..C {
                block[c][r] = rows[r * C + c];
            }
        }
    } else {
        for (r, row) in rows.chunks_exact(C).enumerate().take(ROWS) {
            for c in 0..C {
                block[c][r] = row[c];
            }
        }
    }
    block
}

#[inline(always)]
fn turn_back<const C: usize>(block: &Block<C>, rows: &mut [MaybeUninit<f32>]) {
    if rows.len() == ROWS * C {
        for r in 0..ROWS {
            for c in 0..C {
                rows[r * C + c].write(block[c][r]);
            }
        }
    } else {
        for (r, row) in rows.chunks_exact_mut(C).enumerate().take(ROWS) {
            for c in 0..C {
                row[c].write(block[c][r]);
            }
        }
    }
}

/// Makes every row one of mean 0 and variance 1 (nearly: see `epsilon` of the layer norm); its inverse deviations.
#[inline(always)]
pub(crate) fn normalize<const C: usize>(x: &mut Block<C>, epsilon: f32) -> [f32; ROWS] {
    let n = C as f32;
    let (mut mean, mut scale) = ([0f32; ROWS], [0f32; ROWS]);
    for x in &*x {
        for r in 0..ROWS {
            mean[r] += x[r];
        }
    }
    for mean in &mut mean {
        *mean /= n;
    }
    for x in &mut *x {
        for r in 0..ROWS {
            x[r] -= mean[r];
            scale[r] += x[r] * x[r];
        }
    }
    for scale in &mut scale {
        *scale = 1.0 / (*scale / n + epsilon).sqrt();
    }
    for x in x {
        for r in 0..ROWS {
            x[r] *= scale[r];
        }
    }
    scale
}

/// Means over each row of `f(x, y)`.
#[inline(always)]
pub(crate) fn means<const C: usize>(x: &Block<C>, y: &Block<C>, f: impl Fn(f32, f32) -> f32) -> [f32; ROWS] {
    let mut sums = [0f32; ROWS];
    for (x, y) in x.iter().zip(y) {
        for r in 0..ROWS {
            sums[r] += f(x[r], y[r]);
        }
    }
    sums.map(|sum| sum / C as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::product::new_vec;

    #[test]
    fn rows_come_as_they_went() {
        for rows in [0usize, 1, 15, 16, 17, 50] {
            let x: Vec<f32> = (0..rows * 12).map(|i| i as f32).collect();
            let y: Vec<f32> = x.iter().map(|x| -x).collect();
            let mut seen = 0;
            // SAFETY: every number is written.
            let sums = unsafe {
                new_vec(x.len(), |to| {
                    for_blocks::<12, 2, 1>([&x, &y], [to], |[x, y]| {
                        seen += 1;
                        for (x, y) in x.iter_mut().zip(y) {
                            for r in 0..ROWS {
                                x[r] += 3.0 * y[r];
                            }
                        }
                    });
                })
            };
            assert_eq!(seen, rows.div_ceil(ROWS));
            assert_eq!(sums, x.iter().map(|x| -2.0 * x).collect::<Vec<_>>());
        }
    }
}
