//! Periodic multigraphs and the angular geometry of their edges.

mod angles;
mod index;
mod multigraph;

pub use angles::{AngleTable, Angles, FieldTable, TripletFields};
pub use index::Index;
pub use multigraph::{EdgeEnds, Multigraph};
