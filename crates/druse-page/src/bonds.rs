//! Which atoms a picture joins.

use druse_crystal::{Element, Structure, within_cutoff};

/// Atoms are joined up to this multiple of the sum of their covalent radii.
const STRETCH: f64 = 1.15;
/// Two atoms that are less electronegative than the structure's most electronegative element by more than this are not
/// joined: in an oxide, metals are joined to oxygen, not to each other.
const CATION: f64 = 0.9;
/// Radius (Å) of elements without a covalent radius in the table.
const RADIUS: f64 = 1.5;
/// Atoms nearer than this (Å) lie on one spot; there is nothing to draw between them.
const SAME_SPOT: f64 = 0.1;
/// Structures denser than this, in atoms per Å³, are no crystals; their bonds would fill the picture and memory.
const DENSEST: f64 = 1.0;
/// Structures with more sites are drawn without bonds.
const MOST_SITES: usize = 2000;

/// Covalent radius in Å, for pictures.
pub(crate) fn radius(element: Element) -> f64 {
    element.covalent_radius().unwrap_or(RADIUS)
}

/// The bonds of the cell, each once: from site `i` to the image of site `j` in the cell `(a, b, c)`, as `[i, j, a, b, c]`.
///
/// A matter of pictures, no analysis: two atoms are joined when their distance is at most 1.15 times the sum of their
/// covalent radii, unless both are cations. None for structures that are too large or too dense to be drawn with bonds.
pub(crate) fn bonds(structure: &Structure) -> Vec<[i32; 5]> {
    let species = &structure.species;
    let density = structure.len() as f64 / structure.lattice.volume();
    if structure.len() > MOST_SITES || density > DENSEST {
        return Vec::new();
    }
    let largest = species.iter().map(|&e| radius(e)).fold(0.0, f64::max);
    let Ok(list) = within_cutoff(&structure.lattice, &structure.frac_coords, 2.0 * largest * STRETCH) else {
        return Vec::new();
    };
    let strongest = species.iter().filter_map(|e| e.electronegativity()).fold(0.0, f64::max);
    let cation = |e: Element| e.electronegativity().unwrap_or(0.0) + CATION < strongest;
    let mut all = Vec::new();
    for i in 0..structure.len() {
        for n in list.of(i) {
            let j = n.site as usize;
            // Each pair is in the list from both of its ends.
            if (j, n.image) < (i, [0; 3]) {
                continue;
            }
            let reach = STRETCH * (radius(species[i]) + radius(species[j]));
            if n.distance < SAME_SPOT || n.distance > reach || (cation(species[i]) && cation(species[j])) {
                continue;
            }
            let [a, b, c] = n.image;
            // Indices are below MOST_SITES.
            all.push([i as i32, j as i32, a, b, c]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use druse_testkit::prototypes::{perovskite, prototype, rock_salt};

    /// How many bonds end at each site.
    fn coordination(structure: &Structure) -> Vec<usize> {
        let mut count = vec![0; structure.len()];
        for [i, j, ..] in bonds(structure) {
            count[i as usize] += 1;
            count[j as usize] += 1;
        }
        count
    }

    #[test]
    fn rock_salt_has_octahedra() {
        assert!(coordination(&rock_salt("Na", "Cl", 5.64)).iter().all(|&n| n == 6));
    }

    #[test]
    fn metals_of_an_oxide_are_not_joined() {
        let s = perovskite("Ba", "Ti", "O", 4.0);
        for [i, j, ..] in bonds(&s) {
            let pair = [s.species[i as usize].symbol(), s.species[j as usize].symbol()];
            assert!(pair.contains(&"O"), "{pair:?}");
        }
        let titanium = s.species.iter().position(|e| e.symbol() == "Ti").unwrap();
        assert_eq!(coordination(&s)[titanium], 6);
    }

    #[test]
    fn metals_are_joined_where_there_is_nothing_else() {
        let copper = prototype("Cu");
        assert!(coordination(&copper).iter().all(|&n| n == 12), "{:?}", coordination(&copper));
    }

    #[test]
    fn a_collapsed_cell_has_no_bonds() {
        let s = rock_salt("Na", "Cl", 0.2);
        assert!(bonds(&s).is_empty());
    }
}
