//! CHGNet 0.3.0: a graph network with angles and magnetic moments (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)).
//!
//! Features of atoms, of undirected bonds (6 Å) and of the angles between short bonds (3 Å) are updated in turn, three
//! times, by gated networks that read an atom with a bond and its other end, or an angle with its two bonds and its atom.
//! The energy is a sum of functions of each atom's features over a linear fit of the composition; forces and stress are its
//! exact derivatives, by a backward pass written by hand.

mod angles;
mod atoms;
mod bases;
mod details;
mod graph;
mod kernels;
mod memory;
mod network;
mod pass;
mod portions;
mod readout;
mod weights;

use std::path::Path;

use druse_crystal::{Element, Structure};
use druse_relax::{Evaluation, Potential, PotentialError};
use rayon::prelude::*;

pub use details::{Blocks, Details};
pub(crate) use weights::KIND;
pub use weights::Weights;

use crate::files::LoadError;
use crate::{Digits, real::Real};
use graph::Graph;
use network::Network;
use weights::{CUTOFF, ELEMENTS, NAME};

/// Weights that come with the crate.
const SHIPPED: &[u8] = include_bytes!("../../weights/chgnet-0.3.0.safetensors");

/// A CHGNet potential.
#[derive(Debug)]
pub struct CHGNet(Either);

#[derive(Debug)]
enum Either {
    Single(Box<Network<f32>>),
    Double(Box<Network<f64>>),
}

impl CHGNet {
    /// The potential of given weights.
    pub fn new(weights: &Weights, digits: Digits) -> Self {
        Self(match digits {
            Digits::Single => Either::Single(Box::new(Network::new(weights))),
            Digits::Double => Either::Double(Box::new(Network::new(weights))),
        })
    }

    /// CHGNet 0.3.0, which comes with this crate: 94 elements, trained on the relaxations of the Materials Project (MPtrj;
    /// energies with the corrections MP2020). Its weights are under a modified BSD license, Copyright (c) 2023 The Regents of
    /// the University of California (`weights/LICENSE-CHGNet.txt`).
    pub fn shipped() -> Self {
        Self::new(&Self::shipped_weights(), Digits::default())
    }

    /// The weights of [`CHGNet::shipped`].
    pub fn shipped_weights() -> Weights {
        Weights::from_bytes(SHIPPED, "CHGNet 0.3.0, which comes with the program")
            .expect("a test reads the file that is compiled in")
    }

    /// The potential of a weight file, in 32 bits.
    ///
    /// # Errors
    /// [`LoadError`] when the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Ok(Self::new(&Weights::read(path)?, Digits::default()))
    }

    /// What the network makes of a crystal besides energy, forces and stress.
    ///
    /// # Errors
    /// [`PotentialError`] as in [`Potential::evaluate`].
    pub fn details(&self, crystal: &Structure) -> Result<Details, PotentialError> {
        let graph = Graph::new(crystal)?;
        Ok(match &self.0 {
            Either::Single(network) => Details::new(network, &graph),
            Either::Double(network) => Details::new(network, &graph),
        })
    }
}

impl Potential for CHGNet {
    fn name(&self) -> &str {
        NAME
    }

    fn cutoff(&self) -> f64 {
        CUTOFF
    }

    fn knows(&self, element: Element) -> bool {
        (1..=ELEMENTS).contains(&usize::from(element.z()))
    }

    fn evaluate(&self, crystals: &[Structure]) -> Vec<Result<Evaluation, PotentialError>> {
        match &self.0 {
            Either::Single(network) => evaluate(network, crystals),
            Either::Double(network) => evaluate(network, crystals),
        }
    }
}

/// Evaluates each crystal: small ones side by side, large ones in portions.
fn evaluate<R: Real>(
    network: &Network<R>,
    crystals: &[Structure],
) -> Vec<Result<Evaluation, PotentialError>> {
    let one = |crystal: &Structure| {
        let evaluation = network.run(&Graph::new(crystal)?);
        match evaluation.not_finite() {
            None => Ok(evaluation),
            Some(what) => Err(PotentialError::NotFinite { potential: NAME.into(), what }),
        }
    };
    match crystals {
        [crystal] => vec![one(crystal)],
        all => all.par_iter().map(one).collect(),
    }
}
