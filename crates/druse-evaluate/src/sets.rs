//! The sets of an evaluation.

use druse_data::Listing;
use druse_metrics::generation::{ResolvedRules, Rules};

/// The sets of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Sets<'a> {
    /// What is judged.
    pub generated: &'a Listing,
    /// What it is compared with.
    pub reference: &'a Listing,
    /// What the model was trained on, for novelty.
    pub train: Option<&'a Listing>,
}

impl Sets<'_> {
    /// What rules come to for the reference: its path or name may tell a benchmark.
    pub fn resolve(&self, rules: &Rules) -> ResolvedRules {
        rules.resolve(&format!("{}/{}", self.reference.path.display(), self.reference.name))
    }
}
