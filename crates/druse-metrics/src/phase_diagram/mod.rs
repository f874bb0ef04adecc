//! Phase diagrams: the lower convex hull of formation energies in any number of elements.
//!
//! A phase is stable at zero temperature when no mixture of other phases with its composition has a lower energy. The
//! mixtures of lowest energy are the lower hull of the points (composition, formation energy per atom); the **energy above
//! hull** of a phase is its distance from it, its **decomposition** the phases of the facet below it
//! (S. P. Ong et al., Chem. Mater. 20, 1798 (2008)). Conventions are those of pymatgen's `PhaseDiagram`:
//!
//! * Formation energies are counted from the lowest entry of each element, which has to be there.
//! * Of a reduced composition only the lowest entry can be on the hull, and of the compounds only those of negative
//!   formation energy.
//! * A composition that is no entry may lie below the hull of the entries: then its energy above hull is negative.
//!
//! The hull energy at a composition is a small linear programme over the phases whose elements all are in the
//! composition ([`simplex`](mod@self) says how it is solved), which needs no facets in high dimension and is exact to
//! rounding for degenerate points. A phase that is not on the hull of its own elements is on no hull, so the stable phases of
//! every chemical system are found once, small systems first; a query reads those of its subsets alone.
//!
//! ```
//! use druse_crystal::Composition;
//! use druse_metrics::phase_diagram::{PhaseDiagram, PhaseEntry};
//!
//! let formula = |text: &str| Composition::parse(text);
//! // Formation energies in eV/atom; the elements are at 0.
//! let diagram = PhaseDiagram::new(vec![
//!     PhaseEntry::per_atom("lithium", formula("Li")?, 0.0),
//!     PhaseEntry::per_atom("oxygen", formula("O2")?, 0.0),
//!     PhaseEntry::per_atom("oxide", formula("Li2O")?, -2.0),
//!     PhaseEntry::per_atom("peroxide", formula("Li2O2")?, -1.6),
//! ])?;
//! // LiO2 is Li2O2 and oxygen: 2/3 and 1/3 of the atoms.
//! let below = diagram.hull(&formula("LiO2")?)?;
//! assert!((below.energy_per_atom - -1.6 * 2.0 / 3.0).abs() < 1e-12);
//! let names: Vec<_> = below.phases.iter().map(|p| (diagram.entries()[p.entry].id.as_str(), p.fraction)).collect();
//! assert_eq!(names.len(), 2);
//! let above = diagram.energy_above_hull(&formula("LiO2")?, -1.0)?;
//! assert!((above - (1.6 * 2.0 / 3.0 - 1.0)).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod diagram;
mod entry;
mod simplex;
mod system;

pub use diagram::{HullPoint, PhaseDiagram, PhaseShare};
pub use entry::{EntriesError, HullError, PhaseEntry};
pub use system::{ChemicalSystem, NoChemicalSystem};

/// Energies that differ by less are one energy (eV/atom): a phase this little above the hull is on it.
pub const SAME_ENERGY: f64 = 1e-10;
/// Shares of a decomposition below this are left out.
pub const LEAST_SHARE: f64 = 1e-8;
