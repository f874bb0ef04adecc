//! Structure and composition validity, each under named rules.
//!
//! The rules with a publication's name give that publication's verdicts, quirks included; the `Strict` ones repair
//! them. Every verdict comes with the numbers or the reason it rests on.

mod charge_sums;
mod composition;
mod composition_rule;
mod oxidation_table;
mod structure;

pub use composition::{CompositionVerdict, composition, composition_verdict};
pub use composition_rule::CompositionRule;
pub use structure::{MIN_DISTANCE, MIN_VOLUME, StructureFault, StructureRule, StructureValidity, structure};
