//! Sampled sites become exact ones.

use super::{DistinctSite, SiteError, SymmetricStructure};
use crate::space_group::ImageTolerance;
use crate::{Element, Lattice, SpaceGroup};

/// Tolerances of [`SymmetricStructure::settle`]; the defaults are those of the published post-processing of adaptive
/// cells (Sultanov et al.).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettleTolerances {
    /// Images of one site closer than this (Å, default 0.4) are one.
    pub merge: f64,
    /// A site and its image that differ by no more than this in each fractional coordinate of the primitive cell
    /// (default 0.04) are one.
    pub special: f64,
    /// Sites whose images differ by no more than this in each fractional coordinate of the primitive cell (default
    /// 0.02) are one, which is an error.
    pub consistency: f64,
}

impl Default for SettleTolerances {
    fn default() -> Self {
        Self { merge: 0.4, special: 0.04, consistency: 0.02 }
    }
}

impl SymmetricStructure {
    /// The structure that sampled distinct sites (fractional, conventional cell) mean: each site that lies close to
    /// its own images moves onto the most special Wyckoff position whose whole site symmetry keeps it within the
    /// tolerances, so that these images become one atom. The cell becomes one of the group's lattice system.
    ///
    /// A site and its image by an operation are close when they are within `merge` or within `special`. The published
    /// procedure merges images and intersects the fixed spaces of operations one at a time; here the operations of a
    /// site symmetry group count together, so that the result has the symmetry of the group whatever their order.
    ///
    /// # Errors
    /// [`SiteError`]: as [`Self::new`], and [`SiteError::Overlap`] for sites within `consistency` of each other's
    /// images, and for one whose images stay within `merge` of each other although no position unites them.
    pub fn settle(
        group: &'static SpaceGroup,
        lattice: &Lattice,
        sites: &[(Element, [f64; 3])],
        tolerances: SettleTolerances,
    ) -> Result<Self, SiteError> {
        let lattice = super::constrained(group, lattice)?;
        let images = ImageTolerance { fractional: tolerances.special, distance: tolerances.merge };
        let mut settled = Vec::with_capacity(sites.len());
        for (site, &(element, frac)) in sites.iter().enumerate() {
            if let Some(&value) = frac.iter().find(|x| !x.is_finite()) {
                return Err(SiteError::NotFinite { site, value });
            }
            let placed = group.position_by_images(&lattice, frac, images);
            let letter = placed.position.letter();
            settled.push(DistinctSite { element, letter, frac: placed.site });
        }
        let structure = Self::new(group, &lattice, settled)?;
        structure.check_apart(tolerances)?;
        Ok(structure)
    }

    /// No two sites overlap, nor images of one.
    fn check_apart(&self, tolerances: SettleTolerances) -> Result<(), SiteError> {
        let primitive = self.primitive();
        let lattice = &primitive.lattice;
        let sizes: Vec<usize> = self.positions().map(|w| w.primitive_multiplicity()).collect();
        let starts: Vec<usize> = sizes
            .iter()
            .scan(0, |start, size| {
                *start += size;
                Some(*start - size)
            })
            .collect();
        // By symmetry one atom of the first site stands for all of them.
        for (first, &atom) in starts.iter().enumerate() {
            let f = primitive.frac_coords[atom];
            for second in first..sizes.len() {
                for other in starts[second]..starts[second] + sizes[second] {
                    if other == atom {
                        continue;
                    }
                    let g = primitive.frac_coords[other];
                    let (d, _) = lattice.min_image(f, g);
                    let distance = d.iter().map(|x| x * x).sum::<f64>().sqrt();
                    let same = (0..3).all(|i| {
                        let x = f[i] - g[i];
                        (x - x.round()).abs() <= tolerances.consistency
                    });
                    let too_close = if first == second { distance <= tolerances.merge } else { same };
                    if too_close {
                        return Err(SiteError::Overlap { first, second, distance });
                    }
                }
            }
        }
        Ok(())
    }
}
