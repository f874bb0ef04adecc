//! From all atoms to the distinct ones.

use super::{DistinctSite, ReduceError, SymmetricStructure};
use crate::symmetry::{self, StandardCell};
use crate::{SpaceGroup, Structure};

/// Distance (Å) within which the generated sites have to be those of the standardized cell, which is averaged over the
/// same operations.
const SAME_SITE: f64 = 1e-2;

impl SymmetricStructure {
    /// The structure by its space group within the distance tolerance `symprec` (Å): the distinct sites of the
    /// standardized conventional cell of [`symmetry::analyze`], the cell made exact, the sites moved exactly onto
    /// their Wyckoff positions. The sites that they generate are those of the standardized cell.
    ///
    /// # Errors
    /// [`ReduceError`] when no space group is found, and when group, positions and sites contradict each other.
    pub fn from_structure(structure: &Structure, symprec: f64) -> Result<Self, ReduceError> {
        let dataset = symmetry::analyze(structure, symprec)?;
        Self::from_standard(dataset.number, &dataset.conventional)
    }

    /// As [`Self::from_structure`], from the conventional cell of a symmetry search and the number of its group.
    ///
    /// # Errors
    /// [`ReduceError`] when group, positions and sites contradict each other.
    pub fn from_standard(number: u16, cell: &StandardCell) -> Result<Self, ReduceError> {
        let inconsistent = |reason| ReduceError::Inconsistent { group: number, reason };
        let group = SpaceGroup::new(number).map_err(|e| inconsistent(e.into()))?;
        let standard = &cell.structure;
        let mut sites = Vec::new();
        for (site, found) in cell.asymmetric_unit() {
            let (element, letter) = (standard.species[site], cell.wyckoffs[site]);
            let expected = group.wyckoff(letter).map_err(|e| inconsistent(e.into()))?.multiplicity();
            if found != expected {
                return Err(ReduceError::Multiplicity {
                    group: number,
                    site,
                    element,
                    letter,
                    found,
                    expected,
                });
            }
            sites.push(DistinctSite { element, letter, frac: standard.frac_coords[site] });
        }
        let reduced = Self::new(group, &standard.lattice, sites).map_err(inconsistent)?;
        reduced.check_generates(cell)?;
        Ok(reduced)
    }

    /// Every site of the cell is one of those generated from its orbit.
    fn check_generates(&self, cell: &StandardCell) -> Result<(), ReduceError> {
        let standard = &cell.structure;
        for ((first, _), (site, position)) in
            cell.asymmetric_unit().into_iter().zip(self.sites.iter().zip(self.positions()))
        {
            let generated = self.group.orbit(position, site.frac);
            let mut taken = vec![false; generated.len()];
            for index in (0..standard.len()).filter(|&i| cell.orbits[i] == first) {
                let distances = generated.iter().enumerate().filter(|(k, _)| !taken[*k]).map(|(k, g)| {
                    let (d, _) = self.lattice.min_image(standard.frac_coords[index], *g);
                    (d.iter().map(|x| x * x).sum::<f64>().sqrt(), k)
                });
                let nearest = distances.min_by(|a, b| a.0.total_cmp(&b.0));
                match nearest {
                    Some((distance, k)) if distance <= SAME_SITE => taken[k] = true,
                    other => {
                        return Err(ReduceError::NotGenerated {
                            site: index,
                            element: site.element,
                            distance: other.map_or(f64::INFINITY, |(d, _)| d),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}
