//! SevenNet: an equivariant message-passing network (Park, Kim, Hwang, Han, J. Chem. Theory Comput. 20, 4857 (2024),
//! after NequIP, Batzner et al., Nat. Commun. 13, 2453 (2022)).
//!
//! Features of an atom are scalars, vectors and tensors of higher degree. In each of five blocks an atom receives, from
//! every neighbor within 5 Å, tensor products of the neighbor's features with the spherical harmonics of the direction,
//! weighted by functions of the distance; linear maps and gates follow. The energy is the sum of a linear function of each
//! atom's scalars; forces and stress are its exact derivatives, by a backward pass written by hand.

mod config;
mod convolution;
mod coupling;
mod gate;
mod graph;
mod harmonics;
mod layout;
mod linear;
mod network;
mod operations;
mod pass;
pub mod published;
mod radial;
mod weights;

use std::path::Path;

use druse_crystal::{Element, Structure};
use druse_relax::{Evaluation, Potential, PotentialError};
use rayon::prelude::*;

pub use crate::basis::CutoffFunction;
pub use crate::digits::Digits;
pub use crate::files::LoadError;
pub use config::{Config, MAX_DEGREE};
pub use radial::Radial;

pub use weights::Weights;

use crate::real::Real;
use graph::{Batch, Graph};
use network::Network;
use pass::Scratch;

/// Weights that come with the crate.
const SHIPPED: &[u8] = include_bytes!("../../weights/sevennet-0.safetensors");

/// A SevenNet potential.
#[derive(Debug)]
pub struct SevenNet(Either);

#[derive(Debug)]
enum Either {
    Single(Box<Network<f32>>),
    Double(Box<Network<f64>>),
}

impl SevenNet {
    /// The potential of given weights.
    pub fn new(weights: &Weights, radial: Radial, digits: Digits) -> Self {
        Self(match digits {
            Digits::Single => Either::Single(Box::new(Network::new(weights, radial))),
            Digits::Double => Either::Double(Box::new(Network::new(weights, radial))),
        })
    }

    /// SevenNet-0 (11 July 2024), which comes with this crate: 89 elements, trained on the relaxations of the Materials
    /// Project (MPtrj, PBE and PBE+U, uncorrected energies). Its weights are under the MIT license, Copyright (c) 2024 Yutack
    /// Park (`weights/LICENSE-SevenNet.txt`).
    pub fn shipped() -> Self {
        Self::new(&Self::shipped_weights(), Radial::default(), Digits::default())
    }

    /// The weights of [`SevenNet::shipped`].
    pub fn shipped_weights() -> Weights {
        Weights::from_bytes(SHIPPED, "SevenNet-0, which comes with the program")
            .expect("a test reads the file that is compiled in")
    }

    /// The potential of a weight file, with tables of radial weights, in 32 bits.
    ///
    /// # Errors
    /// [`LoadError`] when the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Ok(Self::new(&Weights::read(path)?, Radial::default(), Digits::default()))
    }

    /// Sizes, cutoff and elements.
    pub fn config(&self) -> &Config {
        match &self.0 {
            Either::Single(network) => &network.config,
            Either::Double(network) => &network.config,
        }
    }
}

impl Potential for SevenNet {
    fn name(&self) -> &str {
        &self.config().name
    }

    fn cutoff(&self) -> f64 {
        self.config().cutoff
    }

    fn knows(&self, element: Element) -> bool {
        self.config().elements.contains(&element)
    }

    fn evaluate(&self, crystals: &[Structure]) -> Vec<Result<Evaluation, PotentialError>> {
        match &self.0 {
            Either::Single(network) => evaluate(network, crystals),
            Either::Double(network) => evaluate(network, crystals),
        }
    }
}

/// Atoms that are evaluated at a time, on all threads together: half a gigabyte in 32 bits at usual densities. A larger
/// crystal is evaluated alone.
const ATOMS_AT_A_TIME: usize = 8192;

/// Evaluates each crystal, so many at a time as memory should hold.
fn evaluate<R: Real>(
    network: &Network<R>,
    crystals: &[Structure],
) -> Vec<Result<Evaluation, PotentialError>> {
    let (mut results, mut rest) = (Vec::with_capacity(crystals.len()), crystals);
    while !rest.is_empty() {
        let mut atoms = 0;
        let fits = |crystal: &&Structure| {
            atoms += crystal.len();
            atoms <= ATOMS_AT_A_TIME
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        results.extend(evaluate_at_once(network, now));
        rest = later;
    }
    results
}

/// Evaluates each crystal: small ones some together, large ones in portions.
fn evaluate_at_once<R: Real>(
    network: &Network<R>,
    crystals: &[Structure],
) -> Vec<Result<Evaluation, PotentialError>> {
    let graph = |crystal| Graph::new(&network.config, &network.types, crystal);
    let graphs: Vec<Result<Graph, PotentialError>> = crystals.par_iter().map(graph).collect();
    let batches = together(&graphs);
    let degree = network.config.max_degree();
    let work = |scratch: &mut Scratch<R>, members: &Vec<&Graph>| {
        network.run(&Batch::new(members, degree), members, scratch)
    };
    let evaluations: Vec<Vec<Evaluation>> = batches.par_iter().map_init(Scratch::default, work).collect();
    let mut evaluations = evaluations.into_iter().flatten();
    let checked = |graph: &Result<Graph, PotentialError>| {
        let graph = graph.as_ref().map_err(Clone::clone)?;
        debug_assert!(graph.len() > 0);
        let evaluation = evaluations.next().expect("each graph is in one batch");
        check(&network.config.name, evaluation)
    };
    graphs.iter().map(checked).collect()
}

/// The crystals in batches, in their order: as many small ones together as make a portion, a large one alone.
fn together(graphs: &[Result<Graph, PotentialError>]) -> Vec<Vec<&Graph>> {
    let mut batches: Vec<Vec<&Graph>> = Vec::new();
    for graph in graphs.iter().flatten() {
        match batches.last_mut() {
            Some(last) if graph.fits(last) => last.push(graph),
            _ => batches.push(vec![graph]),
        }
    }
    batches
}

fn check(name: &str, evaluation: Evaluation) -> Result<Evaluation, PotentialError> {
    let what = if !evaluation.energy.is_finite() {
        "energy"
    } else if evaluation.forces.iter().flatten().any(|x| !x.is_finite()) {
        "forces"
    } else if evaluation.stress.iter().flatten().any(|x| !x.is_finite()) {
        "stress"
    } else {
        return Ok(evaluation);
    };
    Err(PotentialError::NotFinite { potential: name.to_owned(), what })
}
