//! Four pixels as four channels of one, and back.

use burn::tensor::Tensor;

use super::ImageGrid;
use crate::ops::host::{HostOp, Mat, Matrix, apply};

/// Squares of four pixels as one pixel with four times the channels: channel c of the pixel in row i, column j of a square
/// becomes channel `4 c + 2 i + j`. x is (pixels, C) on `grid`, the result (pixels / 4, 4 C).
///
/// # Panics
/// When an edge of the images is odd.
pub fn pixel_unshuffle(x: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
    apply(&Shuffle { fine: grid, to_fine: false }, [x])
}

/// The inverse of [`pixel_unshuffle`]: x is (pixels, 4 C) on `grid`, the result (4 · pixels, C).
///
/// # Panics
/// When the number of channels is no multiple of four.
pub fn pixel_shuffle(x: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
    apply(&Shuffle { fine: grid.doubled(), to_fine: true }, [x])
}

#[derive(Debug, Clone)]
pub(crate) struct Shuffle {
    /// The images with more pixels.
    pub fine: ImageGrid,
    pub to_fine: bool,
}

impl Shuffle {
    /// Calls `copy` with the number of a value among the many pixels and its number among the few ones.
    fn each(&self, channels: usize, mut copy: impl FnMut(usize, usize)) {
        let ImageGrid { images, height, width } = self.fine;
        assert!(height % 2 == 0 && width % 2 == 0, "images of an odd edge cannot be halved");
        for row in 0..images * height {
            for column in 0..width {
                let fine = (row * width + column) * channels;
                let coarse = (row / 2 * (width / 2) + column / 2) * 4 * channels;
                let place = coarse + 2 * (row % 2) + column % 2;
                (0..channels).for_each(|c| copy(fine + c, place + 4 * c));
            }
        }
    }

    fn run(&self, x: Mat<'_>, to_fine: bool) -> Matrix {
        let rows = if to_fine { self.fine.rows() / 4 } else { self.fine.rows() };
        assert_eq!(x.rows, rows, "a row for each pixel");
        let mut data = vec![0f32; x.data.len()];
        match to_fine {
            true => {
                assert!(x.cols.is_multiple_of(4), "{} channels are no four times as many", x.cols);
                self.each(x.cols / 4, |fine, coarse| data[fine] = x.data[coarse]);
                Matrix { data, rows: 4 * x.rows, cols: x.cols / 4 }
            }
            false => {
                self.each(x.cols, |fine, coarse| data[coarse] = x.data[fine]);
                Matrix { data, rows: x.rows / 4, cols: 4 * x.cols }
            }
        }
    }
}

impl HostOp<1> for Shuffle {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        (self.run(x, self.to_fine), Vec::new())
    }

    fn backward(&self, _: [Mat<'_>; 1], _: &[Vec<f32>], grad: Mat<'_>, _: [bool; 1]) -> [Option<Matrix>; 1] {
        [Some(self.run(grad, !self.to_fine))]
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        let ImageGrid { images, height, width } = self.fine;
        let [rows, cols] = x.dims();
        match self.to_fine {
            true => {
                let c = cols / 4;
                let x: Tensor<6> = x.reshape([images, height / 2, width / 2, c, 2, 2]);
                x.permute([0, 1, 4, 2, 5, 3]).reshape([4 * rows, c])
            }
            false => {
                let x: Tensor<6> = x.reshape([images, height / 2, 2, width / 2, 2, cols]);
                x.permute([0, 1, 3, 5, 2, 4]).reshape([rows / 4, 4 * cols])
            }
        }
    }
}
