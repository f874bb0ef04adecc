//! What a relaxation comes to.

use druse_crystal::{Structure, SymmetryError};

use crate::{Evaluation, GIGAPASCAL, Opinion, Potential, PotentialError};

/// Why a relaxation ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum End {
    /// No generalized force is longer than asked for.
    #[error("converged")]
    Converged,
    /// All steps were made.
    #[error("not converged after {0} steps")]
    StepLimit(usize),
    /// The line search finds nothing lower: the forces are no slope of the energy, or their noise is larger than asked for.
    #[error("stalled: no lower energy along the forces")]
    Stalled,
    /// The crystal comes apart.
    #[error("the volume grew to {0:.2} times that of the start")]
    Exploded(f64),
    /// The cell vanishes.
    #[error("the cell collapsed: {0}")]
    Collapsed(String),
    /// Two atoms are on top of each other.
    #[error("atoms overlap: sites {first} and {second} are {distance:.3} Å apart")]
    Overlap {
        /// One site, from 0.
        first: usize,
        /// The other; the same where it is an own image.
        second: usize,
        /// Their distance (Å).
        distance: f64,
    },
    /// The potential gives nothing for the crystal.
    #[error(transparent)]
    Potential(#[from] PotentialError),
    /// The potential gave something that is not a number.
    #[error("the potential gave no finite {0}")]
    NotFinite(&'static str),
    /// The space group that should be kept was not found.
    #[error(transparent)]
    Symmetry(#[from] SymmetryError),
}

impl End {
    /// Its name in tables: `converged`, `step_limit`, `stalled`, `exploded`, `collapsed`, `overlap`, `unknown_element`,
    /// `isolated`, `neighbors`, `not_finite`, `symmetry`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::StepLimit(_) => "step_limit",
            Self::Stalled => "stalled",
            Self::Exploded(_) => "exploded",
            Self::Collapsed(_) => "collapsed",
            Self::Overlap { .. } => "overlap",
            Self::Potential(PotentialError::UnknownElement { .. }) => "unknown_element",
            Self::Potential(PotentialError::Isolated { .. }) => "isolated",
            Self::Potential(PotentialError::Neighbors(_)) => "neighbors",
            Self::Potential(PotentialError::NotFinite { .. }) | Self::NotFinite(_) => "not_finite",
            Self::Symmetry(_) => "symmetry",
        }
    }

    /// Whether the relaxation ended with a crystal, though perhaps with larger forces than asked for.
    pub fn gives_structure(&self) -> bool {
        matches!(self, Self::Converged | Self::StepLimit(_) | Self::Stalled)
    }
}

/// A relaxation that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Relaxed {
    /// Why it ended.
    pub end: End,
    /// Steps that were made: moves of the crystal, the trials of a line search included.
    pub steps: usize,
    /// The last crystal that could be evaluated: the relaxed one where [`End::gives_structure`]; the start where none could.
    pub structure: Structure,
    /// What is known of that crystal; `None` where none could be evaluated.
    pub figures: Option<Figures>,
    /// Number of the space group that was kept, where one was.
    pub space_group: Option<u16>,
    /// Every evaluated crystal in order, where that was asked for.
    pub trajectory: Vec<Frame>,
    /// What other potentials say of [`Relaxed::structure`], where there are others and it is relaxed.
    pub opinions: Vec<Opinion>,
}

impl Relaxed {
    /// With what a potential's neighbors say of it ([`Potential::opinions`]).
    pub(crate) fn with_opinions(mut self, potential: &dyn Potential) -> Self {
        if self.end.gives_structure() {
            self.opinions = potential.opinions(&self.structure);
        }
        self
    }
}

/// What is known of a relaxed crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Energy of the cell (eV).
    pub energy: f64,
    /// Energy of the start (eV); with the space group kept, of the start with that group exactly.
    pub start_energy: f64,
    /// Number of atoms.
    pub atoms: usize,
    /// Length of the longest row of the generalized forces (eV/Å), which convergence looks at.
    pub fmax: f64,
    /// Length of the longest force on an atom (eV/Å), not symmetrized.
    pub max_force: f64,
    /// Stress (GPa), positive in tension.
    pub stress: [[f64; 3]; 3],
    /// Volume of the start (Å³).
    pub start_volume: f64,
    /// Volume (Å³).
    pub volume: f64,
    /// How far the atoms moved.
    pub displacement: Displacement,
    /// Magnetic moment of each site (Bohr magnetons), from potentials that know them.
    pub magnetic_moments: Option<Vec<f64>>,
}

impl Figures {
    /// Energy an atom (eV).
    pub fn energy_per_atom(&self) -> f64 {
        self.energy / self.atoms as f64
    }

    /// Energy an atom of the start (eV).
    pub fn start_energy_per_atom(&self) -> f64 {
        self.start_energy / self.atoms as f64
    }

    /// Relative change of the volume: V/V₀ − 1.
    pub fn volume_change(&self) -> f64 {
        self.volume / self.start_volume - 1.0
    }

    /// Internal pressure −tr σ/3 (GPa): positive in a crystal that wants to expand.
    pub fn internal_pressure(&self) -> f64 {
        -(self.stress[0][0] + self.stress[1][1] + self.stress[2][2]) / 3.0
    }
}

/// How far atoms moved, the change of the cell taken out.
///
/// A site at the fractional coordinates f in the start and f′ at the end has the displacement u = (f′ − f + n) L₀ in the
/// starting cell L₀, with the translation n for which it is shortest. The mean of u over all sites is subtracted: the crystal
/// as a whole may drift.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Displacement {
    /// Root of the mean squared length of the displacements (Å).
    pub rms: f64,
    /// The longest displacement (Å).
    pub max: f64,
}

impl Displacement {
    /// From a start to an end with the same sites in the same order.
    pub fn between(start: &Structure, end: &Structure) -> Self {
        let moves: Vec<[f64; 3]> = start
            .frac_coords
            .iter()
            .zip(&end.frac_coords)
            .map(|(&from, &to)| start.lattice.min_image(from, to).0)
            .collect();
        let count = moves.len().max(1) as f64;
        let mean: [f64; 3] = std::array::from_fn(|c| moves.iter().map(|u| u[c]).sum::<f64>() / count);
        let squares = moves.iter().map(|u| (0..3).map(|c| (u[c] - mean[c]).powi(2)).sum::<f64>());
        let (sum, largest) = squares.fold((0.0, 0.0f64), |(sum, largest), s| (sum + s, largest.max(s)));
        Self { rms: (sum / count).sqrt(), max: largest.sqrt() }
    }
}

/// A crystal on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Steps made before it.
    pub step: usize,
    /// The crystal.
    pub structure: Structure,
    /// What the potential says of it.
    pub evaluation: Evaluation,
    /// Length of the longest row of the generalized forces (eV/Å).
    pub fmax: f64,
}

impl Frame {
    /// Stress (GPa).
    pub fn stress(&self) -> [[f64; 3]; 3] {
        gigapascals(&self.evaluation)
    }
}

/// The stress of an evaluation in GPa.
pub(crate) fn gigapascals(evaluation: &Evaluation) -> [[f64; 3]; 3] {
    evaluation.stress.map(|row| row.map(|x| x * GIGAPASCAL))
}

#[cfg(test)]
mod tests {
    use druse_crystal::Lattice;
    use druse_testkit::prototypes::quartz;

    use super::*;

    #[test]
    fn neither_drift_nor_strain_nor_translations_are_displacements() {
        let start = quartz();
        let mut end = start.clone();
        end.lattice = Lattice::from_matrix(start.lattice.matrix() * 1.3).unwrap();
        for f in &mut end.frac_coords {
            *f = [f[0] + 0.1, f[1] - 0.05, f[2] + 1.02].map(druse_crystal::wrap_unit);
        }
        let still = Displacement::between(&start, &end);
        assert!(still.rms < 1e-12 && still.max < 1e-12, "{still:?}");
        // One of nine atoms moves by d: the mean takes a ninth of it away.
        end.frac_coords[3][2] += 0.09 / start.lattice.lengths()[2];
        let moved = Displacement::between(&start, &end);
        assert!((moved.max - 0.08).abs() < 1e-9, "{moved:?}");
        let expected = ((0.08f64.powi(2) + 8.0 * 0.01f64.powi(2)) / 9.0).sqrt();
        assert!((moved.rms - expected).abs() < 1e-9);
    }

    #[test]
    fn reasons_are_told_apart() {
        assert!(End::StepLimit(5).gives_structure() && !End::Exploded(4.1).gives_structure());
        assert_eq!(End::Overlap { first: 0, second: 2, distance: 0.21 }.name(), "overlap");
        assert_eq!(End::Exploded(4.123).to_string(), "the volume grew to 4.12 times that of the start");
    }
}
