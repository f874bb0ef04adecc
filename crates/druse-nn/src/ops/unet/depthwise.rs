//! Convolution of each channel by itself.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::ImageGrid;
use crate::arch::vectorized;
use crate::ops::blocks::for_each;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::product::new_vec;

/// Every channel of every image convolved with a square kernel of its own (cross-correlation, zeros around the image, as
/// many pixels as before): x is (pixels, C), the weight (C, edge²) row by row with an odd edge, the result (pixels, C).
///
/// # Panics
/// When the edge of the kernel is not odd.
pub fn depthwise(x: Tensor<2>, weight: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
    apply(&Depthwise { grid }, [x, weight])
}

#[derive(Debug, Clone)]
pub(crate) struct Depthwise {
    pub grid: ImageGrid,
}

/// A tap of the kernel and where it reads, as steps from the pixel.
type Tap = (usize, [isize; 2]);

/// Taps of a kernel with so many numbers.
fn taps(kernel: usize) -> Vec<Tap> {
    let edge = kernel.isqrt();
    assert!(edge * edge == kernel && edge % 2 == 1, "a kernel of {kernel} numbers is no odd square");
    let half = (edge / 2) as isize;
    (0..kernel).map(|t| (t, [(t / edge) as isize - half, (t % edge) as isize - half])).collect()
}

/// The weight with a row for each tap.
fn by_tap(w: Mat<'_>) -> Vec<f32> {
    (0..w.cols).flat_map(|t| (0..w.rows).map(move |c| w.data[c * w.cols + t])).collect()
}

/// Columns of pixels for which a step sideways stays within the image.
fn inside(step: isize, width: usize) -> std::ops::Range<usize> {
    let first = (-step).max(0) as usize;
    let last = (width as isize - step.max(0)).max(0) as usize;
    first.min(last)..last
}

impl Depthwise {
    /// Adds `Σ_taps weight[tap] · x[pixel + sign · step]` to every pixel of a row of an image.
    fn add_row(&self, x: &[f32], row: usize, weight: &[f32], taps: &[Tap], sign: isize, out: &mut [f32]) {
        let (width, cols) = (self.grid.width, out.len() / self.grid.width.max(1));
        vectorized!(for &(tap, [down, right]) in taps {
            let (down, right) = (sign * down, sign * right);
            let Some(from) = row.checked_add_signed(down).filter(|&r| r < self.grid.height) else { continue };
            let w = &weight[tap * cols..][..cols];
            for column in inside(right, width) {
                let at = (from * width).wrapping_add_signed(column as isize + right) * cols;
                let y = out[column * cols..][..cols].iter_mut();
                for ((y, &x), &w) in y.zip(&x[at..][..cols]).zip(w) {
                    *y += w * x;
                }
            }
        });
    }

    /// The convolution with a weight given by taps, or its transpose where `sign` is -1.
    fn run(&self, x: Mat<'_>, weight: &[f32], taps: &[Tap], sign: isize) -> Matrix {
        let (cols, line) = (x.cols, self.grid.width * x.cols);
        let image = line * self.grid.height;
        // SAFETY: every row of every image is written.
        let data = unsafe {
            new_vec(x.data.len(), |out| {
                let lines = out.chunks_exact_mut(line.max(1)).enumerate();
                for_each(2 * x.data.len() * taps.len(), lines, |(i, out)| {
                    out.iter_mut().for_each(|y| {
                        y.write(0.0);
                    });
                    let (at, row) = (i / self.grid.height, i % self.grid.height);
                    let x = &x.data[at * image..][..image];
                    self.add_row(x, row, weight, taps, sign, out.assume_init_mut());
                });
            })
        };
        Matrix { data, rows: x.rows, cols }
    }
}

impl HostOp<2> for Depthwise {
    fn forward(&self, [x, w]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        assert_eq!(
            [x.rows, x.cols],
            [self.grid.rows(), w.rows],
            "a row for each pixel, a kernel for each channel"
        );
        (self.run(x, &by_tap(w), &taps(w.cols), 1), Vec::new())
    }

    fn backward(
        &self,
        [x, w]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let taps = taps(w.cols);
        let dx = wanted[0].then(|| self.run(grad, &by_tap(w), &taps, -1));
        let dw = wanted[1].then(|| {
            let (cols, ImageGrid { height, width, .. }) = (x.cols, self.grid);
            let mut sums = vec![0f32; w.cols * cols];
            vectorized!(for line in 0..self.grid.images * height {
                let row = line % height;
                for &(tap, [down, right]) in &taps {
                    if row.checked_add_signed(down).is_none_or(|r| r >= height) {
                        continue;
                    }
                    let sum = &mut sums[tap * cols..][..cols];
                    for column in inside(right, width) {
                        let to = (line * width + column) * cols;
                        let from = line.wrapping_add_signed(down) * width;
                        let from = from.wrapping_add_signed(column as isize + right) * cols;
                        let pairs = grad.data[to..][..cols].iter().zip(&x.data[from..][..cols]);
                        for (sum, (&g, &x)) in sum.iter_mut().zip(pairs) {
                            *sum += g * x;
                        }
                    }
                }
            });
            let data = (0..cols).flat_map(|c| sums.iter().skip(c).step_by(cols.max(1)).copied()).collect();
            Matrix { data, rows: w.rows, cols: w.cols }
        });
        [dx, dw]
    }

    fn compose(&self, [x, w]: [Tensor<2>; 2]) -> Tensor<2> {
        let ImageGrid { images, height, width } = self.grid;
        let ([rows, cols], edge) = (x.dims(), w.dims()[1].isqrt());
        let x = x.reshape([images, height, width, cols]).permute([0, 3, 1, 2]);
        let options = ConvOptions::new([1, 1], [edge / 2, edge / 2], [1, 1], cols);
        let y: Tensor<4> = conv2d(x, w.reshape([cols, 1, edge, edge]), None, options);
        y.permute([0, 2, 3, 1]).reshape([rows, cols])
    }
}
