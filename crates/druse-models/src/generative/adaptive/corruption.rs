//! Noise on positions and cells (Sultanov et al. 2023, Figure 1; details as in the published code).

use druse_crystal::{Lattice, SymmetricStructure};
use druse_nn::graph::SymmetricEdges;
use nalgebra::{Matrix3, Vector3};

use super::config::{NoiseConfig, PositionTarget};
use super::crystals::{Joined, NoEdges, edges, operations};
use crate::process::{Noise, NoiseLevels, cell_coordinates};

/// Volume (Å³) for each distinct site below which a cell counts as collapsed.
pub(super) const LEAST_VOLUME: f64 = 1.0;

/// Projects Cartesian displacements (columns) of each site onto its Wyckoff position.
pub(super) fn projections(
    cell: &Lattice,
    positions: impl Iterator<Item = Option<&'static druse_crystal::WyckoffPosition>>,
) -> Vec<Matrix3<f64>> {
    let (to_cartesian, to_fractional) = (cell.matrix().transpose(), cell.inverse().transpose());
    positions
        .map(|position| match position {
            Some(position) => to_cartesian * position.projector() * to_fractional,
            None => Matrix3::identity(),
        })
        .collect()
}

/// Noise levels of training and sampling, the smallest first.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    /// Deviations of positions (Å).
    pub positions: NoiseLevels,
    /// Deviations of cell coordinates.
    pub cells: NoiseLevels,
}

impl Levels {
    pub fn new(config: &NoiseConfig) -> Self {
        let geometric = |variances: [f64; 2]| NoiseLevels::geometric(variances.map(f64::sqrt), config.levels);
        Self { positions: geometric(config.position_variances), cells: geometric(config.cell_variances) }
    }
}

/// A crystal whose sites were moved.
pub(super) struct MovedSites {
    /// Fractional coordinates in the conventional cell.
    pub frac: Vec<[f64; 3]>,
    /// Noise of each site, Cartesian, by the deviation of the level.
    noise: Vec<Vector3<f64>>,
    /// Onto the Wyckoff position of each site, where sites stay on them.
    pub projections: Option<Vec<Matrix3<f64>>>,
    /// Directions in which the sites can move, all together.
    pub freedom: usize,
}

impl MovedSites {
    /// Moves the sites of a crystal in its cell, or, in the share of the crystals that the settings say, along their Wyckoff
    /// positions.
    pub fn new(crystal: &SymmetricStructure, sigma: f64, on_positions: f64, noise: &mut Noise) -> Self {
        let cell = crystal.lattice();
        let projections =
            (noise.uniform() < on_positions).then(|| projections(cell, crystal.positions().map(Some)));
        let freedom = match &projections {
            Some(_) => crystal.positions().map(|position| position.freedom()).sum(),
            None => 3 * crystal.sites().len(),
        };
        let mut drawn = Vec::with_capacity(crystal.sites().len());
        let mut frac = Vec::with_capacity(crystal.sites().len());
        for (i, site) in crystal.sites().iter().enumerate() {
            let mut eps = Vector3::from_fn(|_, _| noise.normal());
            if let Some(projections) = &projections {
                eps = projections[i] * eps;
            }
            let shift = cell.to_fractional((sigma * eps).into());
            frac.push(std::array::from_fn(|k| site.frac[k] + shift[k]));
            drawn.push(eps);
        }
        Self { frac, noise: drawn, projections, freedom }
    }

    /// What the predicted noise is compared with, Cartesian, by the deviation of the level.
    pub fn target(
        &self,
        crystal: &SymmetricStructure,
        sigma: f64,
        target: PositionTarget,
    ) -> Vec<Vector3<f64>> {
        match target {
            PositionTarget::Raw => self.noise.clone(),
            PositionTarget::MinimumImage => {
                (0..self.frac.len()).map(|i| self.nearest(crystal, i) / sigma).collect()
            }
        }
    }

    /// The displacement of a site (Å) from the nearest image of where it was; where it stays on its position, from the
    /// nearest one that it can come from.
    fn nearest(&self, crystal: &SymmetricStructure, site: usize) -> Vector3<f64> {
        let (group, centring) = (crystal.group(), crystal.group().centring());
        let Ok(cell) = centring.primitive_lattice(crystal.lattice()) else { return Vector3::zeros() };
        let clean = centring.to_primitive(crystal.sites()[site].frac);
        let moved = centring.to_primitive(self.frac[site]);
        let displacements = operations(group).operations().iter().filter_map(|op| {
            let d = Vector3::from(cell.min_image(op.apply(clean), moved).0);
            let reached = self.projections.as_ref().is_none_or(|p| (p[site] * d - d).norm() < 1e-6);
            reached.then_some(d)
        });
        // The identity is among the operations, but on a position its nearest image may not be the reached one.
        let direct = Vector3::from(
            crystal
                .lattice()
                .to_cartesian(std::array::from_fn(|k| self.frac[site][k] - crystal.sites()[site].frac[k])),
        );
        displacements
            .fold(direct, |best, d| if d.norm_squared() < best.norm_squared() - 1e-12 { d } else { best })
    }
}

/// A crystal whose cell was deformed, fractional coordinates kept.
pub(super) struct MovedCell {
    /// Free cell coordinates.
    pub free: Vec<f64>,
    /// Their noise, by the deviation of the level.
    pub noise: Vec<f64>,
    pub edges: SymmetricEdges,
}

impl MovedCell {
    /// Deforms the cell of a crystal with these sites.
    ///
    /// # Errors
    /// [`NoEdges`] when that leaves no cell, one that has collapsed, or one whose edges cannot be searched.
    pub fn new(
        crystal: &SymmetricStructure,
        frac: &[[f64; 3]],
        sigma: f64,
        joined: Joined,
        noise: &mut Noise,
    ) -> Result<Self, NoEdges> {
        let system = crystal.group().lattice_system();
        let mut free = cell_coordinates::free_coordinates(system, crystal.lattice());
        let drawn: Vec<f64> = free.iter().map(|_| noise.normal()).collect();
        free.iter_mut().zip(&drawn).for_each(|(u, eps)| *u += sigma * eps);
        let cell = cell_coordinates::cell(system, &free).map_err(|e| NoEdges(e.to_string()))?;
        let edges = checked_edges(crystal.group(), &cell, frac, joined)?;
        Ok(Self { free, noise: drawn, edges })
    }
}

/// The edges of sites in a cell that has not collapsed.
///
/// # Errors
/// [`NoEdges`] when it has, or they cannot be searched.
pub(super) fn checked_edges(
    group: &druse_crystal::SpaceGroup,
    cell: &Lattice,
    frac: &[[f64; 3]],
    joined: Joined,
) -> Result<SymmetricEdges, NoEdges> {
    let (volume, least) = (cell.volume(), LEAST_VOLUME * frac.len() as f64);
    if !(volume >= least) {
        return Err(NoEdges(format!("a cell of {volume:.2e} Å³ for {} distinct sites", frac.len())));
    }
    edges(group, cell, frac, joined)
}

#[cfg(test)]
mod tests {
    use druse_nn::graph::CopyRule;
    use druse_testkit::prototype;

    use super::*;

    fn quartz() -> SymmetricStructure {
        SymmetricStructure::from_structure(&prototype("quartz"), 0.01).unwrap()
    }

    #[test]
    fn levels_have_known_values() {
        let levels = Levels::new(&NoiseConfig::default());
        for (i, x, u) in [(0, 0.0316, 0.3162), (4, 0.3255, 1.1697), (8, 3.3498, 4.3265), (9, 6.0, 6.0)] {
            assert!((levels.positions.sigma(i) - x).abs() < 1e-4 && (levels.cells.sigma(i) - u).abs() < 1e-4);
        }
    }

    #[test]
    fn sites_on_positions_stay_there() {
        let crystal = quartz();
        let moved = MovedSites::new(&crystal, 0.7, 1.0, &mut Noise::new(1, 2));
        for ((site, position), f) in crystal.sites().iter().zip(crystal.positions()).zip(&moved.frac) {
            let back = position.project(*f);
            assert!(back.iter().zip(f).all(|(a, b)| (a - b).abs() < 1e-12), "{}", site.letter);
        }
        assert_eq!(moved.freedom, crystal.positions().map(|p| p.freedom()).sum::<usize>());
        let free = MovedSites::new(&crystal, 0.7, 0.0, &mut Noise::new(1, 2));
        assert!(free.projections.is_none() && free.freedom == 3 * crystal.sites().len());
    }

    #[test]
    fn small_noise_is_its_own_minimum_image_and_large_noise_is_not() {
        let crystal = quartz();
        // On a position of two-fold symmetry the image by the axis is as near; the general site has none nearby.
        let general = crystal.positions().position(|p| p.freedom() == 3).unwrap();
        for (sigma, equal) in [(0.02, true), (6.0, false)] {
            let moved = MovedSites::new(&crystal, sigma, 0.0, &mut Noise::new(3, 2));
            let raw = moved.target(&crystal, sigma, PositionTarget::Raw)[general];
            let nearest = moved.target(&crystal, sigma, PositionTarget::MinimumImage)[general];
            assert_eq!((raw - nearest).norm() < 1e-9, equal, "{raw} {nearest}");
            assert!(nearest.norm() <= raw.norm() + 1e-9);
        }
    }

    #[test]
    fn collapsed_cells_are_refused() {
        let crystal = quartz();
        let frac: Vec<[f64; 3]> = crystal.sites().iter().map(|s| s.frac).collect();
        let group = crystal.group();
        let flat = cell_coordinates::cell(group.lattice_system(), &[-60.0, 3.0]).unwrap();
        assert!(checked_edges(group, &flat, &frac, (20, CopyRule::Each)).unwrap_err().0.contains("Å³"));
        assert!(checked_edges(group, crystal.lattice(), &frac, (20, CopyRule::Each)).is_ok());
        let mut refused = 0;
        for i in 0..40 {
            refused += usize::from(
                MovedCell::new(&crystal, &frac, 12.0, (20, CopyRule::Each), &mut Noise::new(7, i)).is_err(),
            );
        }
        assert!((1..40).contains(&refused), "{refused}");
    }
}
