//! Coordination of sites: Voronoi cells and the near-neighbor rule CrystalNN.
//!
//! CrystalNN (H. Pan et al., Inorg. Chem. 60, 1590 (2021)) weighs the Voronoi neighbors of a site by the solid angles
//! of their facets, by electronegativities and by distances, and turns the weights into a probability for each
//! coordination number. The rule here is the one of pymatgen 2020.12 to 2026.10 for structures without oxidation
//! states, details included.

mod crystalnn;
mod polyhedron;
mod voronoi;

pub use crystalnn::{CoordinatedAtom, CrystalNn, SiteCoordination};
pub use voronoi::{Facet, Tessellation, VoronoiCell};

use crate::Element;

/// Why the coordination of a site cannot be told.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CoordinationError {
    /// The structure has fewer sites.
    #[error("there is no site {site}: the structure has {sites}")]
    NoSuchSite {
        /// Index asked for.
        site: usize,
        /// Number of sites.
        sites: usize,
    },
    /// A coordinate is NaN or infinite.
    #[error("coordinate of site {site} is not a finite number")]
    NotFinite {
        /// Index of the site.
        site: usize,
    },
    /// Two atoms are on the same spot, which leaves the Voronoi cell of neither defined.
    #[error("sites {site} and {other} are on the same spot ({distance:.1e} Å apart)")]
    Coincident {
        /// Index of the site.
        site: usize,
        /// Index of the other.
        other: usize,
        /// Their distance in Å.
        distance: f64,
    },
    /// The atoms within the search radius leave the site at an open end, and the reference gives up there.
    #[error("site {site} has too few atoms within {radius} Å to enclose it")]
    TooOpen {
        /// Index of the site.
        site: usize,
        /// Search radius in Å.
        radius: f64,
    },
    /// The cell is open even with all atoms within the body diagonal.
    #[error("the Voronoi cell of site {site} is not closed by the atoms within {radius} Å")]
    Unbounded {
        /// Index of the site.
        site: usize,
        /// Largest search radius in Å.
        radius: f64,
    },
    /// The cell is so small or flat that the search radius holds too many images of its atoms.
    #[error(
        "about {images:.1e} images of the {sites} atoms lie within {radius:.2} Å, more than the {limit:.0e} that are \
         searched for neighbors: the cell is collapsed, or far too flat"
    )]
    TooManyImages {
        /// How many, about.
        images: f64,
        /// Number of sites in the cell.
        sites: usize,
        /// Most that are listed.
        limit: f64,
        /// Search radius in Å.
        radius: f64,
    },
    /// Bisecting planes agree to within rounding.
    #[error("the Voronoi cell of site {site} is numerically ambiguous")]
    Ambiguous {
        /// Index of the site.
        site: usize,
    },
    /// Neither a covalent nor an atomic radius is known.
    #[error("no covalent or atomic radius of {0} is tabulated")]
    NoRadius(Element),
}
