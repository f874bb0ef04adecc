//! Periodic multigraphs and the angular geometry of their edges.

mod angles;
mod multigraph;

pub use angles::{Angles, TripletFields};
pub use multigraph::Multigraph;
