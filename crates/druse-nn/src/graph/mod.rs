//! Periodic multigraphs and the angular geometry of their edges.

mod angles;
mod crystals;
mod cutoff;
mod directed;
mod ends;
mod index;
mod multigraph;
mod symmetric;
mod torsions;

pub use angles::{AngleTable, Angles, FieldTable, MessageAngles, MessagePairs, TripletFields};
pub use crystals::of_crystals;
pub use cutoff::{CutoffRule, CutoffSearch, Symmetrization};
pub use directed::DirectedGraph;
pub use ends::EdgeEnds;
pub use index::Index;
pub use multigraph::{GraphError, Multigraph};
pub use symmetric::{
    AngleRule, CopyRule, GroupOperations, NoGroup, PairedHarmonics, SymmetricEdge, SymmetricEdges,
    SymmetricGraph,
};
pub use torsions::{HarmonicTable, MessageHarmonics, TorsionRule, TripletPlaces};
