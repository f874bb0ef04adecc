//! Volumes of atoms by element.

use druse_crystal::{Composition, Element, Structure};
use nalgebra::{DMatrix, DVector};

/// Strength of the pull of each element's volume to that of all atoms, in structures that consist of the element alone.
const RIDGE: f64 = 0.5;

/// Smallest volume of an atom, as a part of the mean: a volume that the fit makes smaller says nothing.
const SMALLEST: f64 = 0.1;

/// Elements in the table: H to Og.
const ELEMENTS: usize = Element::MAX_Z as usize;

/// A volume (Å³) for an atom of each element, so that those of a crystal's atoms add up to the volume of its cell.
#[derive(Debug, Clone, PartialEq)]
pub struct ElementVolumes {
    volumes: Vec<f64>,
}

impl ElementVolumes {
    /// Fits the volumes to crystals: least squares of the volume per atom, each element pulled to the mean of all atoms
    /// (ridge regression), which is what an element that occurs in none gets.
    pub fn fit<'s>(structures: impl IntoIterator<Item = &'s Structure>) -> Self {
        let mut normal = DMatrix::<f64>::zeros(ELEMENTS, ELEMENTS);
        let mut right = DVector::<f64>::zeros(ELEMENTS);
        let mut rows: Vec<(Vec<(usize, f64)>, f64)> = Vec::new();
        for s in structures {
            let n = s.len() as f64;
            let shares = Composition::from_species(&s.species);
            let shares = shares.iter().map(|(e, k)| (usize::from(e.z()) - 1, f64::from(k) / n)).collect();
            rows.push((shares, s.lattice.volume() / n));
        }
        if rows.is_empty() {
            return Self { volumes: vec![1.0; ELEMENTS] };
        }
        let mean = rows.iter().map(|(_, v)| v).sum::<f64>() / rows.len() as f64;
        for (shares, volume) in &rows {
            for &(i, x) in shares {
                right[i] += x * (volume - mean);
                for &(j, y) in shares {
                    normal[(i, j)] += x * y;
                }
            }
        }
        (0..ELEMENTS).for_each(|i| normal[(i, i)] += RIDGE);
        // A sum of squares and a positive diagonal: positive definite.
        let deviations =
            normal.cholesky().map(|c| c.solve(&right)).unwrap_or_else(|| DVector::zeros(ELEMENTS));
        Self { volumes: deviations.iter().map(|d| (mean + d).max(SMALLEST * mean)).collect() }
    }

    /// The volume of an atom (Å³).
    pub fn of(&self, element: Element) -> f64 {
        self.volumes[usize::from(element.z()) - 1]
    }

    /// The volume of the atoms of a composition (Å³).
    pub fn sum(&self, composition: &Composition) -> f64 {
        composition.iter().map(|(e, n)| f64::from(n) * self.of(e)).sum()
    }
}
