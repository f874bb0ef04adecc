//! From a structure to its image.

use druse_crystal::{Structure, symmetry};

use super::error::EncodeError;
use super::image::{A, ATTRIBUTES, CHANNELS, FIRST_SLOT, Image, NUMBER, SLOTS, SPACE_GROUP, X};
use super::scale::length;

/// Tolerance of the space-group search in Å.
pub const SYMPREC: f64 = 0.01;

/// Space-group number of a structure at [`SYMPREC`], the attribute that has to be searched for.
///
/// # Errors
/// [`EncodeError::TooManyAtoms`] before the search, [`EncodeError::Symmetry`].
pub fn space_group(structure: &Structure) -> Result<u16, EncodeError> {
    if structure.len() > SLOTS {
        return Err(EncodeError::TooManyAtoms(structure.len()));
    }
    Ok(symmetry::analyze(structure, SYMPREC)?.number)
}

/// The image of a structure in crystallographic numbers, not normalized: Å, degrees. Atoms keep their order.
///
/// The cell goes in as its six parameters, so a left-handed one is turned first ([`Structure::right_handed`]).
///
/// # Errors
/// [`EncodeError::TooManyAtoms`].
pub fn encode(structure: &Structure, space_group: u16) -> Result<Image, EncodeError> {
    let atoms = structure.len();
    if atoms > SLOTS {
        return Err(EncodeError::TooManyAtoms(atoms));
    }
    let structure = structure.right_handed();
    let numbers: Vec<f64> = structure.species.iter().map(|element| f64::from(element.z())).collect();
    Ok(drawn(&numbers, &structure.frac_coords, structure.lattice.parameters(), f64::from(space_group)))
}

/// The image of atomic numbers and fractional coordinates, of the parameters of the cell and a space-group number.
///
/// # Panics
/// For more than [`SLOTS`] atoms.
pub(super) fn drawn(numbers: &[f64], coords: &[[f64; 3]], cell: [f64; 6], space_group: f64) -> Image {
    let mut image = Image::zeros();
    let mut attributes = [0.0; ATTRIBUTES.len()];
    attributes[A..SPACE_GROUP].copy_from_slice(&cell);
    attributes[SPACE_GROUP] = space_group;
    for (s, (&number, f)) in numbers.iter().zip(coords).enumerate() {
        let place = FIRST_SLOT + s;
        attributes[NUMBER] = number;
        attributes[X..A].copy_from_slice(f);
        for (a, &value) in attributes.iter().enumerate() {
            *image.pixel_mut(a, place) = [value; CHANNELS];
            *image.pixel_mut(place, a) = [value; CHANNELS];
        }
        for (q, g) in coords.iter().enumerate() {
            let d: [f64; 3] = std::array::from_fn(|axis| f[axis] - g[axis]);
            *image.pixel_mut(place, FIRST_SLOT + q) = [length(d), d[0], d[1], d[2]];
        }
    }
    image
}
