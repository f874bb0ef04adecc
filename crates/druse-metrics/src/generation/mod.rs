//! Metrics of generation under the protocols of the field.

mod evaluate;
mod name;
mod property;
mod protocol;
mod rules;

pub use evaluate::{GenerationError, GenerationMetrics, IndexedCoverage, Options, evaluate};
pub use name::{ProtocolName, UnknownProtocol};
pub use property::property_metrics;
pub use protocol::{Population, Protocol};
pub use rules::{CutoffChoice, NoCutoffs, ResolvedRules, Rules};
