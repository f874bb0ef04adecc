//! The three passes of a convolution on the CPU: over the volume, transposed, and the gradient of the weight.
//!
//! What lies below the kernel is never copied together: the products read it, or add to it, where it lies, as runs of
//! neighboring numbers ([`Runs`]). Where there are zeros around a volume, a group of volumes at a time is copied between
//! zeros. Products are of 32 bits.

use super::ConvGeometry;
use super::fold::Folded;
use super::windows::Windows;
use crate::ops::blocks::for_each;
use crate::ops::dense::add_row;
use crate::ops::host::{Mat, Matrix};
use crate::ops::product::{
    Panels, Runs, Use, View, add_runs_gradient, count_operations, multiply_runs, scatter_runs,
};

/// Rows of a block of a product: a multiple of those of a register tile.
const ROWS: usize = 240;

/// Positions that the gradient of a weight sums at a time.
const DEPTH: usize = 384;

/// Rows of a weight's gradient that are summed together.
const PIECE: usize = 96;

/// `y = x * W + b`: x (in rows, in) → (out rows, out).
pub(super) fn over(g: &ConvGeometry, x: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
    count_operations(operations(g, g.batch));
    match Folded::new(g) {
        Some(folded) => convolve_folded(&folded, g, x, w.data, bias),
        None => convolve(g, x, &w.weight().packed(Use::Strips), bias),
    }
}

fn convolve_folded(
    folded: &Folded,
    g: &ConvGeometry,
    x: Mat<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Matrix {
    let weight = folded.weight(weight);
    let panels = Panels::in_strips(View::rows(&weight, folded.wide.out_channels), folded.wide.weight_shape());
    let bias = bias.map(|bias| folded.bias(bias));
    let y = convolve(&folded.wide, x, &panels, bias.as_deref());
    Matrix { data: y.data, rows: g.out_rows(), cols: g.out_channels }
}

/// [`over`] with a packed weight.
fn convolve(g: &ConvGeometry, x: Mat<'_>, panels: &Panels, bias: Option<&[f32]>) -> Matrix {
    let windows = Windows::new(g);
    let n = g.out_channels;
    let [inner, outer] = windows.numbers;
    let mut y = Matrix::zeros(g.out_rows(), n);
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
        for_each(operations(g, x.len() / inner), blocks, |(y, base)| {
            let base = &base[..y.len() / n];
            multiply_runs(y, Runs { data, base, offsets: &windows.offsets, length: windows.length }, panels);
            if let Some(bias) = bias {
                add_row(y, bias);
            }
        });
    }
    y
}

/// Operations of so many volumes: two for each multiplication with addition.
fn operations(g: &ConvGeometry, volumes: usize) -> usize {
    let [k, n] = g.weight_shape();
    2 * volumes * (g.out_rows() / g.batch.max(1)) * k * n
}

/// `x = Wᵀ * y + b`, the transpose of [`over`]: y (out rows, out) → (in rows, in).
pub(super) fn under(g: &ConvGeometry, y: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
    count_operations(operations(g, g.batch));
    let Some(mirrored) = g.mirrored().filter(|mirrored| gathers(g, mirrored)) else {
        return scattered(g, y, w, bias);
    };
    let weight = mirrored_weight(g, w);
    match Folded::new(&mirrored) {
        Some(folded) => convolve_folded(&folded, &mirrored, y, &weight, bias),
        None => {
            let panels = Panels::in_strips(View::rows(&weight, g.in_channels), mirrored.weight_shape());
            convolve(&mirrored, y, &panels, bias)
        }
    }
}

/// Whether a transposed convolution is better computed as a convolution between zeros. A sum that is scattered costs, for
/// every vector of what a position adds, its load, its store and the wait for the neighbor's store below it, some 16
/// multiplications' time; the zeros cost multiplications.
fn gathers(g: &ConvGeometry, mirrored: &ConvGeometry) -> bool {
    let [scattered, gathered] = [g.out_rows(), mirrored.out_rows()];
    gathered * g.out_channels <= scattered * (g.out_channels + 32)
}

/// The weight of [`ConvGeometry::mirrored`]: taps in the opposite order, each transposed.
fn mirrored_weight(g: &ConvGeometry, w: Mat<'_>) -> Vec<f32> {
    let (i, o) = (g.in_channels, g.out_channels);
    let mut weight = Vec::with_capacity(w.data.len());
    for tap in w.data.chunks_exact((i * o).max(1)).rev() {
        weight.extend((0..o).flat_map(|o_| (0..i).map(move |i_| tap[i_ * o + o_])));
    }
    weight
}

/// [`under`] by adding what every position gives to the pixels below the kernel.
fn scattered(g: &ConvGeometry, y: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
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
    for_each(operations(g, g.batch), groups, |(x, y)| {
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
    count_operations(operations(g, g.batch));
    let Some(folded) = Folded::new(g) else { return correlate(g, x, y) };
    let [rows, cols] = g.weight_shape();
    Matrix { data: folded.gradient(&correlate(&folded.wide, x, y).data), rows, cols }
}

/// [`by_weight`] as it is; of y, the numbers alone are read.
fn correlate(g: &ConvGeometry, x: Mat<'_>, y: Mat<'_>) -> Matrix {
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
        for_each(operations(g, x.len() / inner), pieces, |(dw, offset)| {
            for (panels, base) in panels.iter().zip(windows.base.chunks(DEPTH)) {
                let base = &base[..panels.rows()];
                add_runs_gradient(dw, data, base, [offset, dw.len() / n], panels);
            }
        });
    }
    dw
}
