//! What variational autoencoders of crystals share: posteriors of latents, perceptrons on them, the cell as six
//! standardized numbers, categories, properties.

mod categories;
mod cell;
mod head;
mod losses;
mod posterior;
mod property;
mod training_set;

pub(crate) use categories::{draw_composition, element, largest};
pub(crate) use cell::{cell_parameters, normalized_cell};
pub(crate) use head::Head;
pub(crate) use losses::{binary_cross_entropy, cross_entropy, squared_error};
pub(crate) use posterior::Gaussian;
pub(crate) use property::{property_gradient, property_targets};
pub(crate) use training_set::{fit_scalers, inspect, restored, wrong_statistics};
