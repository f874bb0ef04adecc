//! What a potential is.

use druse_crystal::{Element, NeighborError, Structure};

/// Gigapascals in one eV/Å³.
pub const GIGAPASCAL: f64 = 160.217_662_08;

/// Energy of a crystal and its derivatives.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Energy of the whole cell (eV).
    pub energy: f64,
    /// Force on each site, Cartesian (eV/Å): minus the derivative of the energy.
    pub forces: Vec<[f64; 3]>,
    /// Derivative of the energy with respect to strain, over the volume (eV/Å³), symmetric. **Positive is tension**: the
    /// energy rises on expansion, the crystal wants to shrink. [`GIGAPASCAL`] converts.
    pub stress: [[f64; 3]; 3],
    /// Magnetic moment of each site (Bohr magnetons), from potentials that know them.
    pub magnetic_moments: Option<Vec<f64>>,
}

impl Evaluation {
    /// What of it is not a finite number, if anything.
    pub fn not_finite(&self) -> Option<&'static str> {
        if !self.energy.is_finite() {
            Some("energy")
        } else if self.forces.iter().flatten().any(|x| !x.is_finite()) {
            Some("forces")
        } else if self.stress.iter().flatten().any(|x| !x.is_finite()) {
            Some("stress")
        } else {
            None
        }
    }
}

/// Why a potential gives nothing for a crystal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PotentialError {
    /// An element that the potential was not made for.
    #[error("{potential} does not know the element {element}")]
    UnknownElement {
        /// Name of the potential.
        potential: String,
        /// The element.
        element: Element,
    },
    /// The neighbors of the sites cannot be listed.
    #[error(transparent)]
    Neighbors(#[from] NeighborError),
    /// A site without neighbors within the cutoff, where the potential needs one.
    #[error("site {site} has no neighbor within {cutoff} Å, which {potential} needs")]
    Isolated {
        /// Name of the potential.
        potential: String,
        /// The site, from 0.
        site: usize,
        /// The cutoff (Å).
        cutoff: f64,
    },
    /// The result is not a number.
    #[error("{potential} gives no finite {what}: atoms that overlap, or a cell that collapsed")]
    NotFinite {
        /// Name of the potential.
        potential: String,
        /// What is not finite.
        what: &'static str,
    },
}

/// What another potential says of a crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// Name of the potential.
    pub potential: String,
    /// Energy of the whole cell (eV), or why there is none.
    pub energy: Result<f64, PotentialError>,
}

/// Energy, forces and stress of crystals.
///
/// What it gives for a crystal depends on that crystal alone: not on its neighbors in the call, nor on threads.
pub trait Potential: Send + Sync {
    /// Name, as users give it.
    fn name(&self) -> &str;

    /// Distance (Å) beyond which sites do not see each other.
    fn cutoff(&self) -> f64;

    /// Whether the potential was made for an element.
    fn knows(&self, element: Element) -> bool;

    /// Evaluates each crystal; a crystal that cannot be evaluated does not disturb the others.
    fn evaluate(&self, crystals: &[Structure]) -> Vec<Result<Evaluation, PotentialError>>;

    /// What other potentials say of a crystal that was relaxed, where this one has others beside it
    /// ([`Ensemble`](crate::Ensemble)).
    fn opinions(&self, relaxed: &Structure) -> Vec<Opinion> {
        let _ = relaxed;
        Vec::new()
    }
}
