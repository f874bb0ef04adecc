//! Magnetic moments and energies of sites.

use super::graph::Graph;
use super::kernels::{Row, normalize, normalize_backward};
use super::network::{Network, Readout};
use super::weights::WIDTH;
use crate::real::Real;

/// What is known of sites at the end of the forward pass.
pub(super) struct Sites<R> {
    /// Features after the last norm.
    pub features: Vec<Row<R>>,
    /// Energies without the reference (eV).
    pub energies: Vec<f64>,
    /// What activations read.
    hidden: [Vec<Row<R>>; 3],
}

impl<R: Real> Network<R> {
    /// Magnetic moments of sites (Bohr magnetons).
    pub fn moments(&self, atoms: &[Row<R>]) -> Vec<f64> {
        let sum = |row: &Row<R>| row.iter().zip(&self.moment).map(|(x, w)| x.wide() * w).sum::<f64>();
        atoms.iter().map(|row| (sum(row) + self.moment_bias).abs()).collect()
    }

    /// Reference energy of each site (eV).
    pub fn references(&self, graph: &Graph) -> Vec<f64> {
        graph.types.iter().map(|&element| self.reference[usize::from(element)]).collect()
    }
}

impl<R: Real> Readout<R> {
    pub fn forward(&self, atoms: &[Row<R>]) -> Sites<R> {
        let features: Vec<Row<R>> =
            atoms.iter().map(|row| normalize(row, &self.norm[0], &self.norm[1])).collect();
        let mut hidden = [const { Vec::new() }; 3];
        let mut x = features.clone();
        for ((map, bias), kept) in self.layers.iter().zip(&mut hidden) {
            let mut y: Vec<Row<R>> = vec![[R::default(); WIDTH]; x.len()];
            map.apply(&x, &mut y, false);
            for row in &mut y {
                row.iter_mut().zip(bias).for_each(|(y, &bias)| *y += bias);
            }
            x.clone_from(&y);
            R::silu(x.as_flattened_mut());
            *kept = y;
        }
        let sum = |row: &Row<R>| row.iter().zip(&self.last).map(|(x, w)| x.wide() * w).sum::<f64>();
        let energies = x.iter().map(|row| sum(row) + self.last_bias).collect();
        Sites { features, energies, hidden }
    }

    /// Gradients of the energy in the features of atoms.
    pub fn backward(&self, atoms: &[Row<R>], sites: &Sites<R>) -> Vec<Row<R>> {
        let mut last = [R::default(); WIDTH];
        last.iter_mut().zip(&self.last).for_each(|(x, &w)| *x = R::narrow(w));
        let mut g = vec![last; atoms.len()];
        for ((map, _), hidden) in self.layers.iter().zip(&sites.hidden).rev() {
            R::silu_backward(hidden.as_flattened(), g.as_flattened_mut());
            let y = g.clone();
            map.back(&y, &mut g, false);
        }
        let mut gradients = atoms.to_vec();
        for (row, g) in gradients.iter_mut().zip(&g) {
            normalize_backward(row, &self.norm[0], g);
        }
        gradients
    }
}
