//! The three passes of a convolution on the CPU: over the volume, transposed, and the gradient of the weight.
//!
//! What lies below the kernel is never copied together: the products read it, or add to it, where it lies, as runs of
//! neighboring numbers ([`Runs`]). Where there are zeros around a volume, a group of volumes at a time is copied between
//! zeros. Products are of 32 bits.

use super::ConvGeometry;
use super::windows::Windows;
use crate::ops::blocks::for_each;
use crate::ops::dense::add_row;
use crate::ops::host::{Mat, Matrix};
use crate::ops::product::{Panels, Runs, Use, View, add_runs_gradient, multiply_runs, scatter_runs};

/// Rows of a block of a product: a multiple of those of a register tile.
const ROWS: usize = 240;

/// Positions that the gradient of a weight sums at a time.
const DEPTH: usize = 384;

/// Rows of a weight's gradient that are summed together.
const PIECE: usize = 96;

/// `y = x * W + b`: x (in rows, in) → (out rows, out).
pub(super) fn over(g: &ConvGeometry, x: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
    let windows = Windows::new(g);
    let (n, panels) = (g.out_channels, w.weight().packed(Use::Strips));
    let mut y = Matrix::zeros(g.out_rows(), n);
    let [inner, outer] = windows.numbers;
    let mut padded = vec![0.0; if windows.are_padded() { windows.group * outer } else { 0 }];
    let volumes = x.data.chunks((windows.group * inner).max(1));
    for (x, y) in volumes.zip(y.data.chunks_mut((windows.group * windows.positions * n).max(1))) {
        let data = if windows.are_padded() {
            windows.pad(x, &mut padded);
            padded.as_slice()
        } else {
            x
        };
        let blocks = y.chunks_mut(ROWS * n).zip(windows.base.chunks(ROWS));
        for_each(2 * y_operations(g, x.len() / inner), blocks, |(y, base)| {
            let base = &base[..y.len() / n];
            multiply_runs(y, Runs { data, base, offsets: &windows.offsets, length: windows.length }, &panels);
            if let Some(bias) = bias {
                add_row(y, bias);
            }
        });
    }
    y
}

/// Multiplications of so many volumes.
fn y_operations(g: &ConvGeometry, volumes: usize) -> usize {
    let [k, n] = g.weight_shape();
    volumes * g.out_rows() / g.batch.max(1) * k * n
}

/// `x = Wᵀ * y + b`, the transpose of [`over`]: y (out rows, out) → (in rows, in).
pub(super) fn under(g: &ConvGeometry, y: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
    let windows = Windows::new(g);
    let n = g.out_channels;
    let mut x = Matrix::zeros(g.in_rows(), g.in_channels);
    let [inner, outer] = windows.numbers;
    let size = (windows.length * n).max(1);
    let panels: Vec<Panels> = w
        .data
        .chunks_exact(size)
        .map(|run| Panels::in_strips(View::transposed(run, n), [n, windows.length]))
        .collect();
    let groups = x.data.chunks_mut((windows.group * inner).max(1));
    let groups = groups.zip(y.data.chunks((windows.group * windows.positions * n).max(1)));
    for_each(2 * y_operations(g, g.batch), groups, |(x, y)| {
        let scatter = |to: &mut [f32]| {
            for (y, base) in y.chunks(ROWS * n).zip(windows.base.chunks(ROWS)) {
                let base = &base[..y.len() / n];
                for (&offset, panels) in windows.offsets.iter().zip(&panels) {
                    scatter_runs(to, base, offset as usize, View::rows(y, n), panels);
                }
            }
        };
        if windows.are_padded() {
            let mut padded = vec![0.0; x.len() / inner * outer];
            scatter(&mut padded);
            windows.crop(&padded, x);
        } else {
            scatter(x);
        }
        if let Some(bias) = bias {
            add_row(x, bias);
        }
    });
    x
}

/// The derivative by the weight of `⟨y, x * W⟩`: x (in rows, in), y (out rows, out) → (taps · in, out). Every number is
/// summed over the positions in their order.
pub(super) fn by_weight(g: &ConvGeometry, x: Mat<'_>, y: Mat<'_>) -> Matrix {
    let windows = Windows::new(g);
    let [rows, n] = g.weight_shape();
    let mut dw = Matrix::zeros(rows, n);
    let [inner, outer] = windows.numbers;
    let mut padded = vec![0.0; if windows.are_padded() { windows.group * outer } else { 0 }];
    let volumes = x.data.chunks((windows.group * inner).max(1));
    for (x, y) in volumes.zip(y.data.chunks((windows.group * windows.positions * n).max(1))) {
        let data = if windows.are_padded() {
            windows.pad(x, &mut padded);
            padded.as_slice()
        } else {
            x
        };
        let panels: Vec<Panels> =
            y.chunks(DEPTH * n).map(|y| Panels::in_strips(View::rows(y, n), [y.len() / n, n])).collect();
        let runs = dw.data.chunks_mut(windows.length * n).zip(&windows.offsets);
        let pieces = runs.flat_map(|(dw, &offset)| {
            let pieces = dw.chunks_mut(PIECE * n).enumerate();
            pieces.map(move |(i, dw)| (dw, offset as usize + i * PIECE))
        });
        for_each(2 * y_operations(g, x.len() / inner), pieces, |(dw, offset)| {
            for (panels, base) in panels.iter().zip(windows.base.chunks(DEPTH)) {
                let base = &base[..panels.rows()];
                add_runs_gradient(dw, data, base, [offset, dw.len() / n], panels);
            }
        });
    }
    dw
}
