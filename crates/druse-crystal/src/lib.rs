//! Crystal structures: elements, lattices, compositions, file formats, periodic neighbors, cell reduction and symmetry.
//!
//! Conventions used by every druse crate: lattice vectors are the **rows** of a 3×3 matrix in Å,
//! `cartesian = fractional · L`; fractional coordinates lie in [0, 1); angles are in degrees.
//!
//! ```
//! use druse_crystal::formats::{self, Format};
//! use druse_crystal::{Composition, within_cutoff};
//!
//! // Rock salt, by the two sites of its asymmetric unit.
//! let text = "data_NaCl
//! _cell_length_a 5.64
//! _cell_length_b 5.64
//! _cell_length_c 5.64
//! _cell_angle_alpha 90
//! _cell_angle_beta 90
//! _cell_angle_gamma 90
//! _symmetry_space_group_name_H-M 'F m -3 m'
//! loop_
//! _atom_site_label
//! _atom_site_fract_x
//! _atom_site_fract_y
//! _atom_site_fract_z
//! Na1 0 0 0
//! Cl1 0.5 0.5 0.5
//! ";
//! let cell = formats::read_str(text, Format::Cif)?.remove(0).structure;
//! assert_eq!(cell.len(), 8);
//! assert_eq!(Composition::from_species(&cell.species).reduced_formula(), "NaCl");
//! assert!((cell.density() - 2.164).abs() < 2e-3, "g/cm³");
//!
//! // The primitive cell holds a quarter of the atoms; its Niggli form has three vectors of a/√2.
//! let primitive = cell.primitive(0.01)?.niggli_reduced()?;
//! assert_eq!(primitive.len(), 2);
//! assert!(primitive.lattice.lengths().iter().all(|x| (x - 5.64 / 2f64.sqrt()).abs() < 1e-9));
//!
//! let symmetry = druse_crystal::symmetry::analyze(&primitive, 0.01)?;
//! assert_eq!((symmetry.number, symmetry.international.as_str()), (225, "Fm-3m"));
//!
//! // Six chlorine atoms around each sodium atom and six sodium atoms around each chlorine atom, at a/2.
//! let list = within_cutoff(&primitive.lattice, &primitive.frac_coords, 3.0)?;
//! assert_eq!((list.of(0).len(), list.of(1).len()), (6, 6));
//! assert!(list.neighbors.iter().all(|n| (n.distance - 2.82).abs() < 1e-9));
//!
//! // The same crystal as a POSCAR file and back.
//! let poscar = formats::write(&primitive, Format::Poscar, "rock salt");
//! assert_eq!(formats::read_str(&poscar, Format::Poscar)?[0].structure.species, primitive.species);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod assignment;
mod basis;
mod composition;
pub mod content;
pub mod coordination;
mod element;
pub mod files;
pub mod formats;
mod lattice;
mod neighbors;
pub mod reduction;
mod sites;
mod space_group;
mod structure;
pub mod symmetry;

pub use composition::{Composition, FormulaError};
pub use element::{Element, ElementError};
pub use lattice::{Lattice, LatticeError};
pub use neighbors::{Neighbor, NeighborError, NeighborList, k_nearest, within_cutoff};
pub use reduction::{NiggliReduction, ReductionError, niggli};
pub use sites::{
    DistinctSite, EnumerateError, EnumerateOptions, Enumeration, ReduceError, SettleTolerances, SiteError,
    SymmetricStructure, Template, TemplateError, WyckoffSequence, count_templates, enumerate_templates,
};
pub use space_group::{
    Centring, LatticeSystem, Normalizer, PlacedPoint, SpaceGroup, SpaceGroupError, WyckoffPosition,
};
pub use structure::{Properties, Structure, StructureError, wrap_unit};
pub use symmetry::{SymmetryDataset, SymmetryError, SymmetryOperation};
