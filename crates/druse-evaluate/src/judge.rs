//! How predictions and baselines are judged.

use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::Protocol;
use druse_metrics::matcher::StructureMatcher;

/// How predictions and baselines are judged.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub matcher: &'a StructureMatcher,
    pub protocol: &'a Protocol,
    pub bootstrap: Option<&'a Bootstrap>,
    /// Whether there are metrics of the first 1, 5, 10 … candidates.
    pub candidates: bool,
    /// Distance tolerance (Å) of the space groups that templates are compared by; `None` leaves templates out.
    pub symprec: Option<f64>,
}
