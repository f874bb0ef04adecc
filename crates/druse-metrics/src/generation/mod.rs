//! Metrics of generation under the protocols of the field.

mod embedding;
mod evaluate;
mod name;
mod property;
mod protocol;
mod rules;

pub use embedding::{Vectors, embedding_metric};
pub use evaluate::{GenerationError, GenerationMetrics, IndexedCoverage, Options, evaluate, members};
pub use name::{ProtocolName, UnknownProtocol};
pub use property::property_metrics;
pub use protocol::{Population, Protocol};
pub use rules::{CutoffChoice, NoCutoffs, ResolvedRules, Rules};
