//! Hulls of data sets: entries from files, energies above hull of other structures, and how far such a hull can be trusted.
//!
//! A set holds few of the phases that exist, so its hull lies on or above the true one: energies above it are lower bounds.
//! What is unstable against it is unstable; what is stable against it is stable at best ([`OPTIMISTIC`]).

mod check;
mod column;
mod entries;
mod error;
mod output;
mod phases;
mod scale;
mod summary;

pub use check::{Agreement, Check};
pub use column::{EnergyAmount, EnergyChoice, EnergyColumn};
pub use entries::{Contradictions, HullEntries};
pub use error::HullInputError;
pub use output::{write_csv, write_jsonl};
pub use phases::{PhaseRow, Share};
pub use scale::{EnergyKind, EnergyScale};
pub use summary::{FewReferences, HullSummary, SystemSummary};

pub(crate) use entries::composition;

use std::collections::BTreeSet;

use druse_crystal::Element;
use druse_metrics::phase_diagram::{PhaseDiagram, PhaseEntry};

/// What everyone should know who reads an energy above the hull of a data set. The figures are
/// those of the binary and ternary compounds of MP-20 (12,258) against the energies above hull that the Materials Project
/// publishes; docs/stability.md has more.
pub const OPTIMISTIC: &str = "phases that are not among the entries are missing from the hull, so energies above it are lower bounds: \
`unstable` is safe, `stable` is optimistic. Against the hull of MP-20's formation energies, energies are 8 meV/atom below the \
published ones on average and never above them; 64 % of what lies on it is on the published hull, 85 % of what lies within \
25 meV/atom is so there";

/// The hull of some entries, with what is to be known of them.
#[derive(Debug, Clone)]
pub struct Hull {
    /// The phase diagram.
    pub diagram: PhaseDiagram,
    /// What its energies count from.
    pub scale: EnergyScale,
    /// Where the entries are from, in words.
    pub source: String,
    /// [`HullEntries::hash`].
    pub hash: String,
}

impl Hull {
    /// The hull of entries. Where their energies count from the elements, these are added at 0, those in `elements`, too.
    ///
    /// # Errors
    /// [`HullInputError::Entries`].
    pub fn new(
        entries: HullEntries,
        elements: impl IntoIterator<Item = Element>,
    ) -> Result<Self, HullInputError> {
        let hash = entries.hash();
        let HullEntries { mut entries, scale, source, .. } = entries;
        if scale.kind == EnergyKind::Formation {
            let own = entries.iter().flat_map(|e| e.composition.elements());
            let all: BTreeSet<Element> = own.chain(elements).collect();
            entries.extend(all.into_iter().map(PhaseEntry::element));
        }
        Ok(Self { diagram: PhaseDiagram::new(entries)?, scale, source, hash })
    }

    /// Name, size and the beginning of the hash, for protocols.
    pub fn describe(&self) -> String {
        let entries = self.diagram.entries().len();
        format!("hull of {} ({entries} entries, {}, {})", self.source, self.scale, &self.hash[..8])
    }
}
