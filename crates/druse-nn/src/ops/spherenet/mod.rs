//! Operations of SphereNet (Y. Liu et al., "Spherical Message Passing for 3D Molecular Graphs", ICLR 2022) and of its
//! variant that reads distances alone: sums over the messages that reach the source of a message.

mod incoming_sum;
mod torsion_sum;

#[cfg(test)]
pub(crate) use incoming_sum::IncomingSum;
pub use incoming_sum::incoming_sum;
#[cfg(test)]
pub(crate) use torsion_sum::TorsionSum;
pub use torsion_sum::torsion_sum;
