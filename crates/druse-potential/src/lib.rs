//! Universal potentials of crystals: networks that give energy, forces and stress of any crystal of the elements they
//! know.
//!
//! Each is a [`Potential`], written as operations by hand with their derivatives by hand, so that
//! forces and stress are the exact derivative of the energy that is computed.
//!
//! ```
//! use druse_crystal::{Lattice, Structure};
//! use druse_potential::SevenNet;
//! use druse_relax::{GIGAPASCAL, Potential};
//!
//! // The primitive cell of silicon, 1 % too large: it wants to shrink.
//! let a = 1.01 * 5.43 / 2.0;
//! let lattice = Lattice::from_rows([[0.0, a, a], [a, 0.0, a], [a, a, 0.0]])?;
//! let silicon = Structure::new(lattice, vec!["Si".parse()?; 2], vec![[0.0; 3], [0.25; 3]])?;
//!
//! let potential = SevenNet::shipped();
//! let evaluation = potential.evaluate(&[silicon]).remove(0)?;
//! assert!((evaluation.energy / 2.0 + 5.4).abs() < 0.1);
//! assert!(evaluation.forces.iter().flatten().all(|f| f.abs() < 1e-3));
//! assert!((0.5..10.0).contains(&(evaluation.stress[0][0] * GIGAPASCAL)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod basis;
pub mod chgnet;
mod digits;
mod edges;
mod files;
mod real;
pub mod sevennet;

pub use chgnet::CHGNet;
pub use digits::Digits;
pub use files::LoadError;
pub use sevennet::SevenNet;

use std::path::Path;

use druse_nn::weights::WeightFile;
use druse_relax::Potential;

/// The potential of a weight file, whichever network it holds, in 32 bits.
///
/// # Errors
/// [`LoadError`] when the file cannot be read or holds no potential.
pub fn load(path: &Path) -> Result<Box<dyn Potential>, LoadError> {
    let file = WeightFile::read(path)?;
    Ok(if files::kind(&file) == Some(chgnet::KIND) {
        Box::new(CHGNet::new(&chgnet::Weights::from_file(file)?, Digits::default()))
    } else {
        let weights = sevennet::Weights::from_file(file)?;
        Box::new(SevenNet::new(&weights, sevennet::Radial::default(), Digits::default()))
    })
}
