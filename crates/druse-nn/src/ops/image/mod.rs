//! Operations on images and volumes whose channels come last.
//!
//! An image is a matrix with a row for each pixel, in row-major order of the pixels, one image after the other. Pixels
//! have three coordinates; a plane is a volume of depth 1.

mod conv;
mod engine;
mod geometry;
mod passes;
#[cfg(test)]
mod tests;
mod windows;

pub use conv::{conv, conv_transposed};
pub use geometry::ConvGeometry;
