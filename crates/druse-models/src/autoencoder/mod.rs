//! What variational autoencoders of crystals share: posteriors of latents, perceptrons on them, the cell as six
//! standardized numbers, categories, properties, and atoms that Langevin dynamics move in a cell that is known.

mod categories;
mod cell;
mod head;
mod latent_space;
mod losses;
mod moving_atoms;
mod posterior;
mod property;
mod training_set;

use property::property_gradient;

pub(crate) use categories::{draw_composition, element, largest};
pub(crate) use cell::{cell_parameters, decoded_lattice, normalized_cell};
pub(crate) use head::Head;
pub(crate) use latent_space::LatentSpace;
pub(crate) use losses::{binary_cross_entropy, cross_entropy, squared_error};
pub(crate) use moving_atoms::{Gathered, MovingAtoms, advance_each, latent_of};
pub(crate) use posterior::Gaussian;
pub(crate) use property::property_targets;
pub(crate) use training_set::{fit_scalers, inspect, restored, wrong_statistics};
