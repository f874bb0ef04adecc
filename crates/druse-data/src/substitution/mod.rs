//! Crystals of a composition by substitution: take a known crystal with as many atoms of each element, exchange the elements,
//! scale the cell.
//!
//! For a requested composition the structures of a [`Library`] with the same numbers of atoms are ordered by the distance of
//! the compositions ([`element_distance`], summed over the best assignment of the elements with equal counts). The idea is
//! old (Hautier et al., Inorg. Chem. 50, 656, 2011; Kusaba et al., Comput. Mater. Sci. 211, 111496, 2022); what a generative
//! model of structures is worth shows beside it.
//!
//! ```
//! use druse_crystal::{Composition, Element, Lattice, Structure};
//! use druse_data::substitution::{Library, Parent};
//!
//! // Rock salt and caesium chloride; which is nearer to KBr?
//! let element = |symbol| Element::from_symbol(symbol).unwrap();
//! let h = 2.82;
//! let cell = Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]])?;
//! let rock_salt = Structure::new(cell, vec![element("Na"), element("Cl")], vec![[0.0; 3], [0.5; 3]])?;
//! let species = vec![element("Cs"), element("I")];
//! let caesium_iodide = Structure::new(Lattice::cubic(4.57)?, species, vec![[0.0; 3], [0.5; 3]])?;
//! let library = Library::new([Parent::new("halite", rock_salt), Parent::new("CsI", caesium_iodide)]);
//!
//! let wanted = Composition::parse("KBr")?;
//! let found: Vec<_> = library.candidates(&wanted, None)?.collect();
//! assert_eq!((found[0].parent.id(), found[1].parent.id()), ("halite", "CsI"));
//! let structure = found[0].structure()?;
//! assert_eq!(Composition::from_species(&structure.species), wanted);
//! assert_eq!(found[0].template().to_string(), "225 (Fm-3m): K:4a,Br:4b");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arrangement;
mod candidates;
mod elements;
mod exchange;
mod library;
mod parent;
mod volumes;

pub use arrangement::Arrangement;
pub use candidates::{Candidate, Candidates, Near};
pub use elements::element_distance;
pub use library::{Library, NoParent};
pub use parent::{Parent, SYMPREC};
pub use volumes::ElementVolumes;
