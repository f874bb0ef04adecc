//! Operations on images and volumes whose channels come last.
//!
//! An image is a matrix with a row for each pixel, in row-major order of the pixels, one image after the other. Pixels
//! have three coordinates; a plane is a volume of depth 1.

mod batch_norm;
mod conv;
mod engine;
mod fold;
mod gathered;
mod geometry;
mod leaky_relu;
mod passes;
#[cfg(test)]
mod tests;
mod windows;

pub use batch_norm::{batch_norm_leaky, column_moments};
pub use conv::{conv, conv_transposed};
pub use geometry::ConvGeometry;
pub use leaky_relu::leaky_relu;
