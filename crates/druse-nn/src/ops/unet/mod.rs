//! What U-Nets for images do besides matrix products and convolutions.
//!
//! An image is a matrix with a row for each pixel, row by row, and a column for each channel; the images of a batch follow
//! one another.

mod attention;
mod depthwise;
mod gate;
mod gelu;
mod group_norm;
mod join;
mod linear_attention;
mod shuffle;
mod waves;

#[cfg(test)]
mod tests;

pub use attention::{AttentionHeads, attention};
pub use depthwise::depthwise;
pub use gate::{gated_sum, softmax_pool};
pub use gelu::gelu;
pub use group_norm::{group_norm_silu, modulated_group_norm_silu};
pub use join::join;
pub use linear_attention::linear_attention;
pub use shuffle::{pixel_shuffle, pixel_unshuffle};
pub use waves::waves;

/// The images of a batch: how many, and their pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageGrid {
    /// Number of images.
    pub images: usize,
    /// Rows of pixels of each.
    pub height: usize,
    /// Columns of pixels of each.
    pub width: usize,
}

impl ImageGrid {
    /// Square images with so many pixels along an edge.
    pub fn square(images: usize, edge: usize) -> Self {
        Self { images, height: edge, width: edge }
    }

    /// Pixels of an image.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Pixels of all images: the rows of a matrix.
    pub fn rows(self) -> usize {
        self.images * self.pixels()
    }

    /// With a quarter of the pixels.
    pub fn halved(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, ..self }
    }

    /// With four times the pixels.
    pub fn doubled(self) -> Self {
        Self { height: self.height * 2, width: self.width * 2, ..self }
    }
}
