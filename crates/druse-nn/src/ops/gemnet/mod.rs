//! Operations of the GemNet family (J. Gasteiger et al., NeurIPS 2021): sums over pairs of edges, the bilinear layer,
//! residual layers with the scaled SiLU.

mod bilinear;
mod perceptron;
mod residual;
mod triplet;

#[cfg(test)]
pub(crate) use bilinear::Bilinear;
pub use bilinear::bilinear;
#[cfg(test)]
pub(crate) use perceptron::Perceptron;
#[cfg(any(test, feature = "gpu"))]
pub(crate) use perceptron::ResidualPair;
#[cfg(feature = "gpu")]
pub(crate) use perceptron::SCALE;
pub use perceptron::{perceptron, residual_pair};
#[cfg(test)]
pub(crate) use residual::ResidualSum;
pub use residual::{residual_gather, residual_sum};
pub(crate) use triplet::triplet_angles;
#[cfg(any(test, feature = "gpu"))]
pub(crate) use triplet::{AngularSum, ContractDegrees};
pub use triplet::{angular_sum, contract_degrees};
