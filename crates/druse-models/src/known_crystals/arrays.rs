//! A library as arrays of numbers, and back.
//!
//! | array | shape | content |
//! | --- | --- | --- |
//! | `atoms` | structures | atoms of the cell |
//! | `lattices` | structures × 9 | rows a, b, c in Å |
//! | `species` | atoms of all structures | atomic numbers |
//! | `coordinates` | atoms of all structures × 3 | fractional coordinates |
//! | `groups` | structures | space groups at 0.1 Å |
//! | `orbits` | structures | distinct sites |
//! | `sites` | distinct sites of all structures × 2 | atomic number, Wyckoff letter as its ASCII code |

use druse_crystal::{Element, Lattice, SpaceGroup, Structure, Template};
use druse_data::substitution::{Library, Parent};

use crate::ModelError;
use crate::traits::Arrays;

/// The arrays of a library.
pub(super) fn pack(library: &Library) -> Arrays {
    let parents = library.parents();
    let structures = || parents.iter().map(Parent::structure);
    let templates = || parents.iter().map(Parent::template);
    let atoms: Vec<f32> = structures().map(|s| s.len() as f32).collect();
    let lattices = structures().flat_map(|s| s.lattice.rows()).flatten().map(|x| x as f32).collect();
    let species = structures().flat_map(|s| &s.species).map(|e| f32::from(e.z())).collect();
    let coordinates = structures().flat_map(|s| &s.frac_coords).flatten().map(|x| *x as f32).collect();
    let groups = templates().map(|t| f32::from(t.group().number())).collect();
    let orbits = templates().map(|t| t.sites().len() as f32).collect();
    let site = |&(element, letter): &(Element, char)| [f32::from(element.z()), letter as u32 as f32];
    let sites = templates().flat_map(|t| t.sites()).flat_map(site).collect();
    let array = |name: &str, width: Option<usize>, values: Vec<f32>| {
        let shape = match width {
            None => vec![values.len()],
            Some(width) => vec![values.len() / width, width],
        };
        (name.to_owned(), (shape, values))
    };
    Arrays::from([
        array("atoms", None, atoms),
        array("lattices", Some(9), lattices),
        array("species", None, species),
        array("coordinates", Some(3), coordinates),
        array("groups", None, groups),
        array("orbits", None, orbits),
        array("sites", Some(2), sites),
    ])
}

fn wrong(what: impl std::fmt::Display) -> ModelError {
    ModelError::Config(format!("structures of the training set: {what}"))
}

/// Takes values off the front of an array.
struct Front<'a> {
    name: &'static str,
    rest: &'a [f32],
}

impl<'a> Front<'a> {
    fn of(arrays: &'a Arrays, name: &'static str) -> Result<Self, ModelError> {
        let (_, rest) = arrays.get(name).ok_or_else(|| wrong(format!("no array `{name}`")))?;
        Ok(Self { name, rest })
    }

    fn take(&mut self, n: usize) -> Result<&'a [f32], ModelError> {
        let (taken, rest) =
            self.rest.split_at_checked(n).ok_or_else(|| wrong(format!("`{}` is too short", self.name)))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of things.
    fn number(&mut self) -> Result<usize, ModelError> {
        let x = self.take(1)?[0];
        // Beyond this single precision does not count.
        let counts = (0.0..=16_777_216.0).contains(&x) && x.fract() == 0.0;
        if counts { Ok(x as usize) } else { Err(wrong(format!("{x} in `{}`", self.name))) }
    }
}

/// The structures that [`pack`] was given, under these identifiers.
///
/// # Errors
/// [`ModelError::Config`] when the arrays are not those of so many structures.
pub(super) fn unpack(ids: Vec<String>, arrays: &Arrays) -> Result<Vec<Parent>, ModelError> {
    let (mut atoms, mut lattices) = (Front::of(arrays, "atoms")?, Front::of(arrays, "lattices")?);
    let (mut species, mut coordinates) = (Front::of(arrays, "species")?, Front::of(arrays, "coordinates")?);
    let (mut groups, mut orbits) = (Front::of(arrays, "groups")?, Front::of(arrays, "orbits")?);
    let mut sites = Front::of(arrays, "sites")?;
    let element = |z: f32| Element::from_z(z as i64).map_err(wrong);
    let mut parents = Vec::with_capacity(ids.len());
    for id in ids {
        let n = atoms.number()?;
        let rows = lattices.take(9)?;
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(rows[3 * i + j])));
        let lattice = Lattice::from_rows(rows).map_err(|e| wrong(format!("{id}: {e}")))?;
        let elements = species.take(n)?.iter().map(|&z| element(z)).collect::<Result<_, _>>()?;
        let coordinates = coordinates.take(3 * n)?.as_chunks().0.iter();
        let frac_coords = coordinates.map(|f: &[f32; 3]| f.map(f64::from)).collect();
        let structure =
            Structure::new(lattice, elements, frac_coords).map_err(|e| wrong(format!("{id}: {e}")))?;
        let group = u16::try_from(groups.number()?).map_err(wrong)?;
        let group = SpaceGroup::new(group).map_err(wrong)?;
        let placed = sites.take(2 * orbits.number()?)?.as_chunks().0.iter();
        let placed = placed.map(|&[z, letter]: &[f32; 2]| Ok((element(z)?, char::from(letter as u8))));
        let placed = placed.collect::<Result<_, ModelError>>()?;
        let template = Template::new(group, placed).map_err(|e| wrong(format!("{id}: {e}")))?;
        parents.push(Parent::new(id, structure).with_template(template));
    }
    for front in [atoms, lattices, species, coordinates, groups, orbits, sites] {
        if !front.rest.is_empty() {
            return Err(wrong(format!("`{}` holds more than {} structures", front.name, parents.len())));
        }
    }
    Ok(parents)
}
