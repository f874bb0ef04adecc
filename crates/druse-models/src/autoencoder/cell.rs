//! Cells as six numbers that do not depend on the number of atoms.

use druse_crystal::{Lattice, Structure};

use crate::ModelError;
use crate::standardizer::Standardizer;

/// `[lengths / N^(1/3), angles]` (Å, degrees) of a cell of N atoms.
fn scaled_parameters(lattice: &Lattice, atoms: usize) -> [f64; 6] {
    let scale = (atoms as f64).cbrt();
    let mut p = lattice.parameters();
    p[..3].iter_mut().for_each(|x| *x /= scale);
    p
}

/// The scaler of [`scaled_parameters`] over a training set.
///
/// # Errors
/// [`ModelError::Config`] for fewer than two structures.
pub(super) fn fit_cells(training: &[&Structure]) -> Result<Standardizer, ModelError> {
    let n = training.len();
    if n < 2 {
        return Err(ModelError::Config(format!(
            "{n} training structures; the model standardizes lattices over the training set and needs at least 2"
        )));
    }
    let cells: Vec<[f64; 6]> = training.iter().map(|s| scaled_parameters(&s.lattice, s.len())).collect();
    Ok(Standardizer::fit(&cells))
}

/// [`scaled_parameters`], standardized.
pub(crate) fn normalized_cell(scaler: &Standardizer, lattice: &Lattice, atoms: usize) -> [f64; 6] {
    let p = scaled_parameters(lattice, atoms);
    std::array::from_fn(|k| scaler.normalize(k, p[k]))
}

/// Lengths (Å) and angles (degrees) that standardized numbers stand for, for a cell of `atoms` atoms.
pub(crate) fn cell_parameters(scaler: &Standardizer, normalized: &[f32], atoms: usize) -> [f64; 6] {
    let scale = (atoms as f64).cbrt();
    std::array::from_fn(|k| {
        let x = scaler.restore(k, f64::from(normalized[k]));
        if k < 3 { scale * x } else { x }
    })
}

/// Volume per atom (Å³) below which nothing is a cell: hydrogen under the pressure of planets has more than ten times as much.
const NO_VOLUME: f64 = 0.05;

/// The cell that decoded lengths (Å) and angles (degrees) are, for a crystal of `atoms` atoms.
///
/// # Errors
/// [`ModelError::Output`] for numbers that are no cell, and for one without room for the atoms.
pub(crate) fn decoded_lattice(parameters: [f64; 6], atoms: usize) -> Result<Lattice, ModelError> {
    let lattice = Lattice::from_parameters(parameters).map_err(|e| ModelError::Output(e.to_string()))?;
    let volume = lattice.volume();
    if volume < NO_VOLUME * atoms as f64 {
        let reason =
            format!("the latent stands for a cell without volume: {volume:.1e} Å³ for {atoms} atoms");
        return Err(ModelError::Output(reason));
    }
    Ok(lattice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back() {
        let parameters = [4.0, 5.0, 6.0, 80.0, 95.0, 105.0];
        let lattice = Lattice::from_parameters(parameters).unwrap();
        let scaler = Standardizer { mean: vec![2.0; 6], std: vec![0.5, 0.5, 0.5, 10.0, 10.0, 10.0] };
        let normalized = normalized_cell(&scaler, &lattice, 8).map(|x| x as f32);
        assert_eq!(normalized[0], 0.0, "4 Å are 2 Å for each of two atoms along an edge");
        for (a, b) in cell_parameters(&scaler, &normalized, 8).iter().zip(parameters) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
