//! The GemNet-dT family (J. Gasteiger, F. Becker and S. Günnemann, "GemNet: Universal directional graph neural networks
//! for molecules", NeurIPS 2021; arXiv:2106.08903), as the decoder of CDVAE and the network of GemsDiff use it: triplet
//! interaction, interaction block, atom update and edge head.
//!
//! Widths: A atoms and edges (`hidden`), R radial functions, S angular degrees, C projected basis, T triplet width.

mod basis;
mod interaction;
mod scale;
mod trunk;

use std::sync::Arc;

use burn::tensor::Tensor;

use super::linear::Dense;
use crate::ParamBuilder;
use crate::graph::{Angles, Index, Multigraph};
use crate::ops::{self, Activation};

pub use basis::{ProjectedBasis, SharedBasis};
pub use interaction::{AtomUpdate, EdgeHead, InteractionBlock, TripletInteraction};
pub use scale::{BlockScales, ScaleFactors, ScaleFactorsError};
pub use trunk::{Trunk, TrunkState};

/// Sizes of a network of this family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GemNetSizes {
    /// Width of atom and edge embeddings.
    pub hidden: usize,
    /// Width of the edge embedding inside the triplet interaction.
    pub triplet: usize,
    /// Width of the projected radial and angular bases.
    pub basis: usize,
    /// Output width of the bilinear layer.
    pub bilinear: usize,
    /// Number of radial functions.
    pub num_radial: usize,
    /// Number of angular degrees.
    pub num_spherical: usize,
}

fn activated(builder: &mut ParamBuilder, name: &str, shape: [usize; 2]) -> Dense {
    Dense::new(builder, name, shape, Activation::ScaledSilu)
}

fn linear(builder: &mut ParamBuilder, name: &str, shape: [usize; 2]) -> Dense {
    Dense::new(builder, name, shape, Activation::Identity)
}

/// The end of an edge at which its message is summed. Pairs of edges share their source in either case, which the sorted
/// multigraph makes one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The atom that the edge leaves.
    Source,
    /// The atom that the edge reaches.
    Destination,
}

/// The geometry a network of this family looks at.
#[derive(Clone)]
pub struct Geometry {
    /// Edges.
    pub graph: Arc<Multigraph>,
    /// Angular functions of pairs of edges.
    pub angles: Arc<Angles>,
    /// Where messages are summed.
    pub receiver: Receiver,
    /// Angular functions that carry gradients to the vectors of the edges ([`ops::pair_harmonics`]); they take the place
    /// of `angles`.
    harmonics: Option<Tensor<2>>,
}

impl Geometry {
    /// The geometry of a graph with angular functions of `degrees` degrees.
    pub fn new(graph: Multigraph, degrees: usize, receiver: Receiver) -> Self {
        let graph = Arc::new(graph);
        let angles = Arc::new(Angles::new(&graph, degrees));
        Self { graph, angles, receiver, harmonics: None }
    }

    /// The same graph with angles from the given directions of its edges (E, 3), to which gradients then flow.
    pub fn with_directions(self, directions: Tensor<2>) -> Self {
        let harmonics = ops::pair_harmonics(directions, &self.graph, self.angles.degrees);
        Self { harmonics: Some(harmonics), ..self }
    }

    /// [`ops::angular_sum`] over the edges of the graph.
    fn angular_sum(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.harmonics {
            None => ops::angular_sum(x, &self.graph, &self.angles),
            Some(y) => ops::angular_sum_with(x, y.clone(), &self.graph, self.angles.degrees),
        }
    }

    /// The atoms that receive the messages of the edges.
    pub fn receivers(&self) -> &Index {
        match self.receiver {
            Receiver::Source => &self.graph.source,
            Receiver::Destination => &self.graph.destination,
        }
    }

    /// The atoms at the other ends. Layers read `[h_sender ‖ h_receiver ‖ m]`.
    pub fn senders(&self) -> &Index {
        match self.receiver {
            Receiver::Source => &self.graph.destination,
            Receiver::Destination => &self.graph.source,
        }
    }
}
