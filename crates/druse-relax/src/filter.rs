//! Positions and cell as one set of coordinates.

use druse_crystal::{Lattice, LatticeError, Structure, StructureError};
use nalgebra::{Matrix3, RowVector3};
use serde::{Deserialize, Serialize};

use crate::matrix::{exp, exp_derivative};
use crate::{Evaluation, GIGAPASCAL};

/// A row of coordinates, forces or displacements: one of an atom, or one of the three of the cell.
pub type Row = [f64; 3];

/// What of the cell is relaxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellMode {
    /// Nothing: positions alone.
    Fixed,
    /// Its shape, at constant volume.
    Shape,
    /// Its volume, at constant shape: lengths by one factor, angles unchanged.
    Volume,
    /// Shape and volume.
    #[default]
    Full,
}

/// Why coordinates give no structure: the cell has collapsed, or the step was not finite.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// The cell has no volume.
    #[error(transparent)]
    Lattice(#[from] LatticeError),
    /// A coordinate is not finite.
    #[error(transparent)]
    Structure(#[from] StructureError),
}

/// A crystal as rows of coordinates for an optimizer, and its derivatives as generalized forces on them.
///
/// The deformation of the starting cell is F = exp(Λ): cell = cell₀ Fᵀ, positions = q Fᵀ. The coordinates are the N rows of
/// q (Å: positions in the frame of the starting cell) and the three rows of N Λ, where the factor N gives atoms and cell
/// comparable curvature. With E the energy, or the enthalpy E + p V under a pressure p, the generalized forces are
///
/// - of an atom, −∂E/∂q = f F for the force f, as a row;
/// - of the cell, −∂E/∂(N Λ) = (1/N) D*\[G\], G = −V (σ + p) F⁻ᵀ, where D* is the adjoint of the Fréchet derivative of exp at
///   Λ: D*\[G\]ᵦᵧ = Σ D\[Eᵦᵧ\] ∘ G for the unit matrices Eᵦᵧ.
///
/// These are the coordinates of the Fréchet cell filter of the Atomic Simulation Environment. With [`CellMode::Shape`] the trace
/// of D*\[G\] is taken out, with [`CellMode::Volume`] only its trace is kept: Λ stays traceless (det F = exp tr Λ = 1), or a
/// multiple of the identity. With [`CellMode::Fixed`] there are no rows of the cell.
#[derive(Debug, Clone)]
pub struct CellFilter {
    start: Structure,
    mode: CellMode,
    /// eV/Å³.
    pressure: f64,
    positions: Vec<Row>,
    /// Λ.
    log: Matrix3<f64>,
    /// F.
    deformation: Matrix3<f64>,
}

impl CellFilter {
    /// The coordinates of a structure, under an external pressure in GPa.
    pub fn new(start: Structure, mode: CellMode, pressure: f64) -> Self {
        let positions = start.cart_coords();
        let (log, deformation) = (Matrix3::zeros(), Matrix3::identity());
        Self { start, mode, pressure: pressure / GIGAPASCAL, positions, log, deformation }
    }

    /// The structure that the coordinates began with.
    pub fn start(&self) -> &Structure {
        &self.start
    }

    /// Number of rows: N, and three of the cell unless it is fixed.
    pub fn rows(&self) -> usize {
        self.positions.len() + if self.mode == CellMode::Fixed { 0 } else { 3 }
    }

    /// The structure at the coordinates; its fractional coordinates are wrapped.
    ///
    /// # Errors
    /// [`FilterError`] when they give no cell, or none that is finite.
    pub fn structure(&self) -> Result<Structure, FilterError> {
        let lattice = Lattice::from_matrix(self.start.lattice.matrix() * self.deformation.transpose())?;
        let frac = self.positions.iter().map(|&q| self.start.lattice.to_fractional(q)).collect();
        let made = Structure::new(lattice, self.start.species.clone(), frac)?;
        let (labels, properties) = (self.start.labels.clone(), self.start.properties.clone());
        Ok(Structure { labels, properties, ..made })
    }

    /// What is minimized (eV): energy, or enthalpy under pressure, of a crystal of this volume (Å³).
    pub fn value(&self, evaluation: &Evaluation, volume: f64) -> f64 {
        evaluation.energy + self.pressure * volume
    }

    /// Generalized forces, for the evaluation of [`Self::structure`] with this volume (Å³).
    pub fn forces(&self, evaluation: &Evaluation, volume: f64) -> Vec<Row> {
        let f = &self.deformation;
        let mut rows: Vec<Row> = Vec::with_capacity(self.rows());
        rows.extend(evaluation.forces.iter().map(|&force| Row::from(row(force) * f)));
        if self.mode == CellMode::Fixed {
            return rows;
        }
        let stress = Matrix3::from_fn(|a, b| evaluation.stress[a][b]);
        let virial = (stress + Matrix3::from_diagonal_element(self.pressure)) * -volume;
        // F is an exponential and has the inverse exp(−Λ).
        let gradient = virial * exp(&-self.log).transpose();
        let mut cell = exp_derivative(&self.log.transpose(), &gradient).1 / self.positions.len() as f64;
        let mean = cell.trace() / 3.0;
        match self.mode {
            CellMode::Fixed | CellMode::Full => {}
            CellMode::Shape => cell -= Matrix3::from_diagonal_element(mean),
            CellMode::Volume => cell = Matrix3::from_diagonal_element(mean),
        }
        rows.extend((0..3).map(|a| [cell[(a, 0)], cell[(a, 1)], cell[(a, 2)]]));
        rows
    }

    /// Moves along displacements, one for each row.
    ///
    /// # Panics
    /// When there are not [`Self::rows`] of them.
    pub fn advance(&mut self, displacements: &[Row]) {
        assert_eq!(displacements.len(), self.rows(), "one displacement a row");
        let (atoms, cell) = displacements.split_at(self.positions.len());
        for (q, d) in self.positions.iter_mut().zip(atoms) {
            (0..3).for_each(|c| q[c] += d[c]);
        }
        if let [_, _, _] = cell {
            let n = self.positions.len() as f64;
            self.log += Matrix3::from_fn(|a, b| cell[a][b] / n);
            self.deformation = exp(&self.log);
        }
    }
}

fn row(v: Row) -> RowVector3<f64> {
    RowVector3::from(v)
}

/// The largest length of a row.
pub(crate) fn largest(rows: &[Row]) -> f64 {
    // NaN is larger than anything: `f64::max` would drop it.
    let norms = rows.iter().map(|r| r.iter().map(|x| x * x).sum::<f64>().sqrt());
    norms.fold(0.0, |a, b| if a >= b { a } else { b })
}

/// The inner product over all rows.
pub(crate) fn dot(a: &[Row], b: &[Row]) -> f64 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| x * y).sum()
}
