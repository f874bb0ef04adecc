//! What drives models of any kind through batches: cutting into micro-batches, the objective and its gradient, crystals in
//! flight.

mod micro_batch;
mod objective;
mod part;
mod reduce;
mod reverse;
mod tree;

pub(crate) use micro_batch::{for_each_micro_batch, map_micro_batches, too_large};
pub use objective::{Batch, Gradient, differentiate, evaluate};
pub use part::{Part, PartNumbers};
pub use reduce::{Alone, Reduce, Share};
pub use reverse::{InFlight, InFlightSampler, Reverse};
