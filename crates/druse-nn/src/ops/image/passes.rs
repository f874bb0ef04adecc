//! The three passes of a convolution on the CPU: over the volume, transposed, and the gradient of the weight.
//!
//! What lies below the kernel is never copied together: the products read it, or add to it, where it lies, as runs of
//! neighboring numbers ([`Runs`]). Where there are zeros around a volume, or its numbers are rounded, a group of volumes at
//! a time is copied between zeros.

use std::mem::MaybeUninit;

use super::ConvGeometry;
use super::fold::Folded;
use super::windows::Windows;
use crate::ops::blocks::{for_each, sharing};
use crate::ops::dense::add_row;
use crate::ops::host::{Mat, Matrix};
use crate::ops::product::{
    BEHIND_RUNS, Panels, RoundedColumns, RunNumbers, Runs, Use, View, Weight, add_columns_gradient,
    add_runs_gradient, count_operations, multiply_runs_new, new_vec, round, runs_are_rounded, scatter_runs,
};

/// Rows of a block of a product: a multiple of those of a register tile.
const ROWS: usize = 240;

/// Rows of the smallest block, of which a few that are left are made when threads share them.
const FEW_ROWS: usize = 32;

/// Channels from which on the gradient of a weight is summed by the matrix unit.
const CHANNELS: usize = 16;

/// Positions that the gradient of a weight sums at a time.
const DEPTH: usize = 384;

/// Rows of a weight's gradient that are summed together.
const PIECE: usize = 96;

/// `y = x * W + b`: x (in rows, in) → (out rows, out).
pub(super) fn over(g: &ConvGeometry, x: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
    count_operations(operations(g, g.batch));
    convolve(g, x, w.weight(), bias)
}

/// [`over`], not counted.
fn convolve(g: &ConvGeometry, x: Mat<'_>, weight: Weight<'_>, bias: Option<&[f32]>) -> Matrix {
    let Some(folded) = Folded::new(g) else { return windowed(g, x, weight, bias) };
    let data = folded.weight(weight.data);
    let weight = own_weight(&folded.wide, &data);
    let bias = bias.map(|bias| folded.bias(bias));
    let y = windowed(&folded.wide, x, weight, bias.as_deref());
    Matrix { data: y.data, rows: g.out_rows(), cols: g.out_channels }
}

/// [`convolve`] as it is.
fn windowed(g: &ConvGeometry, x: Mat<'_>, weight: Weight<'_>, bias: Option<&[f32]>) -> Matrix {
    let rounded = runs_are_rounded(g.weight_shape());
    let windows = Windows::new(g, if rounded { BEHIND_RUNS } else { 0 });
    let panels = weight.packed(Use::Runs { length: windows.length });
    let n = g.out_channels;
    let [inner, outer] = windows.numbers;
    let mut exact = vec![0.0; if !rounded && windows.are_apart() { windows.group * outer } else { 0 }];
    let mut in_bf16 = vec![0; if rounded { windows.group * outer } else { 0 }];
    let volumes = x.data.chunks((windows.group * inner).max(1));
    let fill = |y: &mut [MaybeUninit<f32>]| {
        if x.data.is_empty() {
            // Without channels there is nothing to sum.
            y.fill(MaybeUninit::new(0.0));
        }
        for (x, y) in volumes.zip(y.chunks_mut((windows.group * windows.positions * n).max(1))) {
            let data = if rounded {
                windows.pad(x, &mut in_bf16, round);
                RunNumbers::Rounded(&in_bf16)
            } else if windows.are_apart() {
                windows.pad(x, &mut exact, |from, to| to.copy_from_slice(from));
                RunNumbers::Exact(&exact)
            } else {
                RunNumbers::Exact(x)
            };
            let operations = operations(g, x.len() / inner);
            let share = (y.len() / n).div_ceil(sharing(operations));
            let rows = share.next_multiple_of(FEW_ROWS).min(ROWS);
            let blocks = y.chunks_mut(rows * n).zip(windows.base.chunks(rows));
            for_each(operations, blocks, |(y, base)| {
                let base = &base[..y.len() / n];
                let runs = Runs { data, base, offsets: &windows.offsets, length: windows.length };
                let y = multiply_runs_new(y, runs, &panels);
                if let Some(bias) = bias {
                    add_row(y, bias);
                }
            });
        }
    };
    // SAFETY: the blocks of all volumes are all of y; without volumes or channels it has been filled.
    let data = unsafe { new_vec(g.out_rows() * n, fill) };
    Matrix { data, rows: g.out_rows(), cols: n }
}

/// The weight of a convolution that is no tensor.
fn own_weight<'a>(g: &ConvGeometry, data: &'a [f32]) -> Weight<'a> {
    let [rows, cols] = g.weight_shape();
    Weight { data, rows, cols, stride: cols, owner: None }
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
    convolve(&mirrored, y, own_weight(&mirrored, &weight), bias)
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
    let mut weight = vec![0.0; w.data.len()];
    let size = (i * o).max(1);
    for (to, tap) in weight.chunks_exact_mut(size).zip(w.data.chunks_exact(size).rev()) {
        for (row, from) in tap.chunks_exact(o).enumerate() {
            for (column, &x) in from.iter().enumerate() {
                to[column * i + row] = x;
            }
        }
    }
    weight
}

/// [`under`] by adding what every position gives to the pixels below the kernel.
fn scattered(g: &ConvGeometry, y: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
    let windows = Windows::new(g, 0);
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
        if windows.are_apart() {
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
    let [rows, cols] = g.weight_shape();
    if runs_are_rounded([rows, cols]) && g.stride == [1; 3] && g.in_channels >= CHANNELS {
        return correlate_rounded(g, x, y);
    }
    let Some(folded) = Folded::new(g) else { return correlate(g, x, y) };
    Matrix { data: folded.gradient(&correlate(&folded.wide, x, y).data), rows, cols }
}

/// [`by_weight`] as it is; of y, the numbers alone are read.
fn correlate(g: &ConvGeometry, x: Mat<'_>, y: Mat<'_>) -> Matrix {
    let windows = Windows::new(g, 0);
    let [rows, n] = g.weight_shape();
    let mut dw = Matrix::zeros(rows, n);
    let [inner, outer] = windows.numbers;
    let mut padded = vec![0.0; if windows.are_apart() { windows.group * outer } else { 0 }];
    let volumes = x.data.chunks((windows.group * inner).max(1));
    for (x, y) in volumes.zip(y.data.chunks((windows.group * windows.positions * n).max(1))) {
        let data = if windows.are_apart() {
            windows.pad(x, &mut padded, |from, to| to.copy_from_slice(from));
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

/// [`correlate`] of rounded numbers, for kernels that move by one pixel: the numbers of a channel below a tap are then
/// neighbors, if positions beside the volume are counted, too, where y is zero.
fn correlate_rounded(g: &ConvGeometry, x: Mat<'_>, y: Mat<'_>) -> Matrix {
    let windows = Windows::new(g, 0);
    let [rows, n] = g.weight_shape();
    let channels = g.in_channels;
    let taps = windows.taps(g.kernel);
    let mut dw = Matrix::zeros(rows, n);
    let [inner, outer] = windows.numbers;
    let mut exact = vec![0.0; if windows.are_apart() { windows.group * outer } else { 0 }];
    let mut columns = RoundedColumns::default();
    let mut apart = vec![0.0; windows.group * outer / channels.max(1) * n];
    let volumes = x.data.chunks((windows.group * inner).max(1));
    for (x, y) in volumes.zip(y.data.chunks((windows.group * windows.positions * n).max(1))) {
        let data = if windows.are_apart() {
            windows.pad(x, &mut exact, |from, to| to.copy_from_slice(from));
            &exact[..x.len() / inner * outer]
        } else {
            x
        };
        columns.fill(data, channels, taps.last().copied().unwrap_or(0));
        let mut rest = y;
        for line in windows.base.chunk_by(|a, b| b - a == channels as u32) {
            let (y, next) = rest.split_at((line.len() * n).min(rest.len()));
            apart[line[0] as usize / channels * n..][..y.len()].copy_from_slice(y);
            rest = next;
        }
        let shape = [data.len() / channels, n];
        let panels = Panels::for_sums(View::rows(&apart, n), shape);
        let of_taps = dw.data.chunks_mut(channels * n).zip(&taps);
        let pieces = of_taps.flat_map(|(dw, &tap)| {
            let pieces = dw.chunks_mut(PIECE * n).enumerate();
            pieces.map(move |(i, dw)| (dw, [i * PIECE, tap]))
        });
        for_each(operations(g, x.len() / inner), pieces, |(dw, at)| {
            add_columns_gradient(dw, &columns, at, &panels);
        });
    }
    dw
}
