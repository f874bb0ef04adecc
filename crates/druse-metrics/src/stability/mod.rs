//! Stable, unique and novel: which share of generated structures is worth a closer look, by definitions that differ from tool to
//! tool in threshold, matcher, order and denominator.
//!
//! A [`StabilityDefinition`] says all of it, [`StabilityDefinition::masks`] applies it to rows, and
//! [`StabilityDefinition::metrics`] makes figures of the masks, each with its protocol. Energies above hull come from a
//! [`PhaseDiagram`](crate::phase_diagram::PhaseDiagram) without the generated structures.

mod definition;
mod masks;
mod metrics;

pub use definition::{DefinitionName, StabilityDefinition, Tested, Uniqueness, UnknownDefinition};
pub use masks::{StabilityMasks, StabilityRows};
pub use metrics::StabilitySources;
