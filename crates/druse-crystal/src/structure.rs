//! A periodic crystal structure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Element, Lattice};

/// 1 u/Å³ in g/cm³ (CODATA 2022).
const U_PER_CUBIC_ANGSTROM: f64 = 1.660_539_068_92;

/// Why a structure could not be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StructureError {
    /// There is no site.
    #[error("structure has no atoms")]
    Empty,
    /// Species and coordinates differ in number.
    #[error("structure has {species} species but {coords} coordinates")]
    Length {
        /// Number of species.
        species: usize,
        /// Number of coordinate triples.
        coords: usize,
    },
    /// A coordinate is NaN or infinite.
    #[error("coordinate of site {site} is not a finite number")]
    NotFinite {
        /// Index of the site, from 0.
        site: usize,
    },
}

/// Named values that belong to a structure as a whole: identifier, energies, the columns of a data set …
///
/// They live in [`Structure::properties`] and nowhere else, whatever file or table they came from.
pub type Properties = BTreeMap<String, serde_json::Value>;

/// A crystal: a lattice and the sites of one cell. Every site is fully occupied by one element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    /// The cell.
    pub lattice: Lattice,
    /// Element of each site.
    pub species: Vec<Element>,
    /// Fractional coordinates of each site, in [0, 1).
    pub frac_coords: Vec<[f64; 3]>,
    /// Label of each site as the file gave it (`Fe1`); empty when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Named values that belong to the structure as a whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: Properties,
}

/// Wraps one fractional coordinate into [0, 1).
#[inline]
pub fn wrap_unit(x: f64) -> f64 {
    let w = x - x.floor();
    // -1e-20 floors to -1 and the difference rounds to 1.
    if w >= 1.0 { 0.0 } else { w }
}

impl Structure {
    /// A structure from lattice, species and fractional coordinates, which are wrapped into [0, 1).
    ///
    /// # Errors
    /// [`StructureError`] for no sites, unequal counts or non-finite coordinates.
    pub fn new(
        lattice: Lattice,
        species: Vec<Element>,
        frac_coords: Vec<[f64; 3]>,
    ) -> Result<Self, StructureError> {
        if species.is_empty() && frac_coords.is_empty() {
            return Err(StructureError::Empty);
        }
        if species.len() != frac_coords.len() {
            return Err(StructureError::Length { species: species.len(), coords: frac_coords.len() });
        }
        if let Some(site) = frac_coords.iter().position(|f| f.iter().any(|x| !x.is_finite())) {
            return Err(StructureError::NotFinite { site });
        }
        let frac_coords = frac_coords.into_iter().map(|f| f.map(wrap_unit)).collect();
        Ok(Self { lattice, species, frac_coords, labels: Vec::new(), properties: BTreeMap::new() })
    }

    /// Number of sites in the cell.
    pub fn len(&self) -> usize {
        self.species.len()
    }

    /// Whether there are no sites (never true for a structure made by [`Structure::new`]).
    pub fn is_empty(&self) -> bool {
        self.species.is_empty()
    }

    /// The same crystal in a right-handed cell: vectors **a**, **b**, **c** of a left-handed one become −**a**, −**b**,
    /// −**c** and coordinates *f* become −*f*, so that every atom stays where it is.
    ///
    /// Lengths and angles do not tell the hand of a cell. Whatever keeps a cell as its six parameters has to begin with
    /// this, or a left-handed cell becomes the mirror image: right-handed quartz would be written as left-handed quartz.
    pub fn right_handed(&self) -> Cow<'_, Self> {
        if self.lattice.is_right_handed() {
            return Cow::Borrowed(self);
        }
        let mut turned = self.clone();
        turned.lattice = self.lattice.inverted();
        turned.frac_coords.iter_mut().flatten().for_each(|x| *x = wrap_unit(-*x));
        Cow::Owned(turned)
    }

    /// Cartesian coordinates of each site (Å).
    pub fn cart_coords(&self) -> Vec<[f64; 3]> {
        self.frac_coords.iter().map(|&f| self.lattice.to_cartesian(f)).collect()
    }

    /// Mass density in g/cm³.
    pub fn density(&self) -> f64 {
        let mass: f64 = self.species.iter().map(|e| e.mass()).sum();
        mass * U_PER_CUBIC_ANGSTROM / self.lattice.volume()
    }

    /// Atomic numbers of the sites.
    pub fn atomic_numbers(&self) -> Vec<u8> {
        self.species.iter().map(|e| e.z()).collect()
    }

    /// Shortest distance (Å) between two *different* sites, over all periodic images; `None` with a single site.
    pub fn min_distance(&self) -> Option<f64> {
        let f = &self.frac_coords;
        (0..f.len())
            .flat_map(|i| (i + 1..f.len()).map(move |j| (i, j)))
            .map(|(i, j)| self.lattice.min_image(f[i], f[j]).0.iter().map(|x| x * x).sum::<f64>().sqrt())
            .min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rock_salt_has_its_textbook_density() {
        let el = |s| Element::from_symbol(s).unwrap();
        let fcc = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
        let coords = fcc.iter().copied().chain(fcc.iter().map(|f| [f[0] + 0.5, f[1], f[2]])).collect();
        let species = [vec![el("Na"); 4], vec![el("Cl"); 4]].concat();
        let s = Structure::new(Lattice::cubic(5.64).unwrap(), species, coords).unwrap();
        assert!((s.density() - 2.164).abs() < 2e-3, "{}", s.density());
        assert!((s.min_distance().unwrap() - 2.82).abs() < 1e-9);
    }

    #[test]
    fn coordinates_are_wrapped_and_checked() {
        let h = Element::from_z(1).unwrap();
        let l = Lattice::cubic(3.0).unwrap();
        let s = Structure::new(l, vec![h], vec![[-0.25, 1.0, -1e-20]]).unwrap();
        assert_eq!(s.frac_coords, vec![[0.75, 0.0, 0.0]]);
        assert_eq!(Structure::new(l, vec![], vec![]), Err(StructureError::Empty));
        assert!(Structure::new(l, vec![h], vec![]).is_err());
        assert!(Structure::new(l, vec![h], vec![[f64::NAN, 0.0, 0.0]]).is_err());
    }
}
