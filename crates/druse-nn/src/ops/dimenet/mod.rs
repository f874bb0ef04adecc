//! Operations of the DimeNet family (J. Gasteiger et al., ICLR 2020; "Fast and uncertainty-aware directional message
//! passing", 2020): filters of radial bases, sums over triplets, the layers of an interaction block, the radial basis.

mod filter;
mod message_sum;
mod messages;
mod pair_filter;
mod sines;
mod zonal_sum;

#[cfg(test)]
pub(crate) use filter::{Filter, FilteredOutput, FilteredSum};
pub use filter::{filter, filtered_output, filtered_sum};
#[cfg(test)]
pub(crate) use message_sum::MessageSum;
pub use message_sum::message_sum;
#[cfg(test)]
pub(crate) use messages::{MessageDown, MessageUpdate};
pub use messages::{MessageUpdateWeights, message_down, message_update};
#[cfg(test)]
pub(crate) use sines::EnvelopedSines;
pub use sines::enveloped_sines;
#[cfg(test)]
pub(crate) use zonal_sum::ZonalSum;
pub use zonal_sum::zonal_sum;
