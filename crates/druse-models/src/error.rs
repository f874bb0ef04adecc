//! Why a model refuses or fails.

use druse_crystal::{Composition, Element, NeighborError, Structure};
use druse_nn::graph::GraphError;
use druse_nn::memory::ComputeError;

use crate::{BondError, ConditionSet};

/// What a model refuses to do, in words for its user.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The request combines conditions that this model cannot serve together.
    #[error("a {model} model cannot be given {given}; it can be given {}", list(served))]
    Unsupported {
        /// Kind of the model.
        model: &'static str,
        /// The conditions.
        given: ConditionSet,
        /// The combinations that it serves.
        served: Vec<ConditionSet>,
    },
    /// A condition has a value that no crystal of this model can satisfy.
    #[error("the condition cannot be met: {0}")]
    Condition(String),
    /// The model lacks what is asked of it.
    #[error("a {model} model {lacks}: it is {}", has.join(" and "))]
    Lacks {
        /// Kind of the model.
        model: &'static str,
        /// What it does not do: `does not generate structures (no Generator)`.
        lacks: &'static str,
        /// The traits that it has.
        has: Vec<&'static str>,
    },
    /// A structure or composition has more atoms than the model was trained or made for.
    #[error("{what} has {atoms} atoms, but the model knows cells of at most {limit}")]
    TooManyAtoms {
        /// The formula or identifier.
        what: String,
        /// Its number of atoms.
        atoms: usize,
        /// The largest cell of the training set, or that the model can count.
        limit: usize,
    },
    /// An element lies outside the model's embedding table.
    #[error("{element} (Z = {z}) is beyond the {limit} elements that the model knows")]
    UnknownElement {
        /// Symbol.
        element: String,
        /// Atomic number.
        z: u8,
        /// Largest atomic number that has an embedding.
        limit: u8,
    },
    /// A structure is beyond what the model can represent.
    #[error("the model cannot represent {what}: {reason}")]
    Unusable {
        /// Its formula.
        what: String,
        /// Why not.
        reason: String,
    },
    /// The bonds of a structure cannot be told.
    #[error(transparent)]
    Bonds(#[from] BondError),
    /// The neighbors of a structure cannot be searched.
    #[error("the graph of {what} ({atoms} atoms) cannot be built: {source}")]
    Graph {
        /// Its formula.
        what: String,
        /// Its number of atoms.
        atoms: usize,
        /// The reason.
        source: Box<NeighborError>,
    },
    /// A latent is not a point of the model's latent space.
    #[error(
        "a latent has {found} numbers, but the latent space of the model has {expected} dimensions; was it made with another model?"
    )]
    Latent {
        /// Numbers that came.
        found: usize,
        /// Dimensions of the latent space.
        expected: usize,
    },
    /// A structure lacks a property that the model learns.
    #[error("property `{name}`: {problem}")]
    Property {
        /// Name of the property.
        name: String,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// The network returned something that is no crystal (NaN coordinates, a cell without volume).
    #[error("the network returned no valid crystal: {0}")]
    Output(String),
    /// In training, a generator makes one thing of everything: nothing will be learned from here.
    #[error("the generator has collapsed: {0}")]
    Collapsed(String),
    /// The configuration or the stored statistics do not describe a model.
    #[error("invalid model configuration: {0}")]
    Config(String),
    /// A single structure needs more memory than the device has.
    #[error("{what} ({atoms} atoms) alone does not fit into the memory of the device")]
    TooLarge {
        /// Its formula.
        what: String,
        /// Its number of atoms.
        atoms: usize,
    },
    /// A batch whose statistics are those of the whole does not fit into memory.
    #[error(
        "a batch of {atoms} atoms does not fit into the memory of the device, and {model} takes statistics of the whole batch, which therefore cannot be cut into micro-batches; lower train.batch_size"
    )]
    WholeBatch {
        /// Kind of the model.
        model: &'static str,
        /// Atoms of the batch.
        atoms: usize,
    },
    /// A micro-batch that has statistics of its own does not fit into memory.
    #[error(
        "a micro-batch of {atoms} atoms does not fit into the memory of the device, and {model} takes statistics of each micro-batch, so that smaller ones would change the training; set train.micro_batch_atoms to less than {atoms}"
    )]
    FixedCut {
        /// Kind of the model.
        model: &'static str,
        /// Atoms of the micro-batch.
        atoms: usize,
    },
    /// The device failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// Another process of a training did not do its share.
    #[error("rank {rank} {failure}")]
    Rank {
        /// Its number.
        rank: usize,
        /// What became of it.
        failure: RankFailure,
    },
}

/// What became of a process that trains a model together with others.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RankFailure {
    /// Its connection is closed or broken.
    #[error("is gone: {0}")]
    Lost(String),
    /// Nothing has come from it.
    #[error("has been silent for {seconds:.0} s: its machine or the network is down, or it is stopped")]
    Silent {
        /// For so long.
        seconds: f64,
    },
    /// It is alive, but has not done its share.
    #[error(
        "did not finish its share within {seconds:.0} s after rank 0; a longer time is given by --rank-timeout"
    )]
    Late {
        /// What it was given.
        seconds: f64,
    },
    /// It has said why it cannot go on.
    #[error("failed: {0}")]
    Failed(String),
    /// Its answer cannot be understood.
    #[error("gave an answer that is none: {0}")]
    Malformed(String),
}

fn list(served: &[ConditionSet]) -> String {
    served.iter().map(ToString::to_string).collect::<Vec<_>>().join(", or ")
}

/// Says which structure of a batch has no graph.
pub(crate) fn no_graph(batch: &[&Structure], error: GraphError) -> ModelError {
    let species = &batch[error.crystal].species;
    ModelError::Graph {
        what: Composition::from_species(species).formula(),
        atoms: species.len(),
        source: Box::new(error.source),
    }
}

/// Refuses elements beyond an embedding table.
pub(crate) fn check_elements<'a>(
    species: impl IntoIterator<Item = &'a Element>,
    limit: u8,
) -> Result<(), ModelError> {
    match species.into_iter().find(|e| e.z() > limit) {
        None => Ok(()),
        Some(e) => Err(ModelError::UnknownElement { element: e.symbol().to_owned(), z: e.z(), limit }),
    }
}
