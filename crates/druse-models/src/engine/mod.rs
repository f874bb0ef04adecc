//! What drives models of any kind through batches: cutting into micro-batches, the objective and its gradient.

mod micro_batch;
mod objective;

pub use micro_batch::MicroBatchLimit;
pub(crate) use micro_batch::{in_micro_batches, too_large};
pub use objective::{Batch, Gradient, Objective, differentiate, evaluate};
