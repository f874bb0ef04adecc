//! Elements as vectors of classes: the atom features of CGCNN and ALIGNN.

use std::sync::LazyLock;

use druse_crystal::{Element, Structure};

use crate::ModelError;
use crate::error::check_elements;

const TABLE: &str = include_str!("../../data/element_vectors.csv");

/// Numbers of a vector.
pub const ELEMENT_CLASSES: usize = 92;

/// Largest atomic number that has a vector.
pub const LARGEST_ELEMENT: u8 = 100;

/// One row of zeros and ones for each element, by atomic number from 1.
static VECTORS: LazyLock<Vec<[f32; ELEMENT_CLASSES]>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.starts_with(['#', 'z']));
    let vectors: Vec<_> = lines
        .map(|line| {
            let classes = line.rsplit(',').next().unwrap_or_default().as_bytes();
            assert_eq!(classes.len(), ELEMENT_CLASSES, "the table has a vector in each line");
            std::array::from_fn(|k| f32::from(classes[k] == b'1'))
        })
        .collect();
    assert_eq!(vectors.len(), usize::from(LARGEST_ELEMENT), "the table has all elements");
    vectors
});

/// The vector of an element up to [`LARGEST_ELEMENT`], as published with CGCNN (Xie and Grossman 2018): which classes of group,
/// period, electronegativity, radius, … it belongs to.
///
/// # Panics
/// For an element beyond that.
pub fn element_vector(element: Element) -> &'static [f32; ELEMENT_CLASSES] {
    &VECTORS[usize::from(element.z()) - 1]
}

/// The vectors of all atoms, row by row: (atoms, 92).
///
/// # Errors
/// [`ModelError::UnknownElement`].
pub(crate) fn atom_rows(structures: &[&Structure]) -> Result<Vec<f32>, ModelError> {
    let species = || structures.iter().flat_map(|s| &s.species);
    check_elements(species(), LARGEST_ELEMENT)?;
    Ok(species().flat_map(|&element| element_vector(element)).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_differ_and_groups_agree() {
        let vector = |symbol: &str| element_vector(Element::from_symbol(symbol).unwrap());
        assert!(vector("Na").iter().all(|&x| x == 0.0 || x == 1.0));
        assert_ne!(vector("Na"), vector("K"));
        // The first classes are the groups.
        assert_eq!(vector("Na")[..10], vector("K")[..10]);
        let distinct: std::collections::HashSet<Vec<u32>> =
            VECTORS.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect();
        assert!(distinct.len() > 90, "{}", distinct.len());
    }
}
