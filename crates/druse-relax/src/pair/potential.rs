//! Crystals of atoms that act in pairs.

use std::collections::{BTreeMap, BTreeSet};

use druse_crystal::{Element, Structure, within_cutoff};
use rayon::prelude::*;

use super::PairForm;
use crate::{Evaluation, Potential, PotentialError};

/// A potential that is a sum over pairs of atoms, E = ½ Σᵢⱼ u(rᵢⱼ), with a force that vanishes at the cutoff r_c:
/// u(r) = φ(r) − φ(r_c) − (r − r_c) φ′(r_c) (shifted force: Allen and Tildesley, Computer Simulation of Liquids, 2nd edition,
/// equation 5.24).
pub struct PairPotential {
    name: String,
    cutoff: f64,
    elements: BTreeSet<Element>,
    pairs: BTreeMap<(Element, Element), Shifted>,
}

/// A form with its value and slope at the cutoff.
struct Shifted {
    form: Box<dyn PairForm>,
    value: f64,
    slope: f64,
}

impl PairPotential {
    /// A potential of no elements yet, with a cutoff in Å.
    pub fn new(name: impl Into<String>, cutoff: f64) -> Self {
        Self { name: name.into(), cutoff, elements: BTreeSet::new(), pairs: BTreeMap::new() }
    }

    /// With the energy of a pair of elements. A potential of several elements needs each pair of them; without one, crystals
    /// that hold both elements are refused.
    #[must_use]
    pub fn with(mut self, a: Element, b: Element, form: impl PairForm + 'static) -> Self {
        let (value, slope) = form.at(self.cutoff);
        self.elements.extend([a, b]);
        self.pairs.insert((a.min(b), a.max(b)), Shifted { form: Box::new(form), value, slope });
        self
    }

    /// The elements.
    pub fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        self.elements.iter().copied()
    }

    /// The first pair of its elements that has no energy.
    pub fn missing_pair(&self) -> Option<(Element, Element)> {
        let all = || self.elements.iter().copied();
        all()
            .flat_map(|a| all().map(move |b| (a, b)))
            .find(|&(a, b)| a <= b && !self.pairs.contains_key(&(a, b)))
    }

    fn pair(&self, a: Element, b: Element) -> Result<&Shifted, PotentialError> {
        self.pairs
            .get(&(a.min(b), a.max(b)))
            .ok_or_else(|| PotentialError::UnknownElement { potential: self.name.clone(), element: b })
    }

    fn evaluate_one(&self, crystal: &Structure) -> Result<Evaluation, PotentialError> {
        if let Some(&element) = crystal.species.iter().find(|e| !self.elements.contains(e)) {
            return Err(PotentialError::UnknownElement { potential: self.name.clone(), element });
        }
        let list = within_cutoff(&crystal.lattice, &crystal.frac_coords, self.cutoff)?;
        let (mut energy, mut virial) = (0.0, [[0.0; 3]; 3]);
        let mut forces = vec![[0.0; 3]; crystal.len()];
        for (i, force) in forces.iter_mut().enumerate() {
            let start = crystal.frac_coords[i];
            for neighbor in list.of(i) {
                let j = neighbor.site as usize;
                let end = crystal.frac_coords[j];
                let to = crystal
                    .lattice
                    .to_cartesian(std::array::from_fn(|c| end[c] - start[c] + f64::from(neighbor.image[c])));
                let distance = neighbor.distance;
                let pair = self.pair(crystal.species[i], crystal.species[j])?;
                let (value, derivative) = pair.form.at(distance);
                // Half a pair: the other half is met from the other atom.
                energy += 0.5 * (value - pair.value - (distance - self.cutoff) * pair.slope);
                let pull = (derivative - pair.slope) / distance;
                for a in 0..3 {
                    force[a] += pull * to[a];
                    for b in 0..3 {
                        virial[a][b] += 0.5 * pull * to[a] * to[b];
                    }
                }
            }
        }
        let volume = crystal.lattice.volume();
        let stress = virial.map(|row| row.map(|x| x / volume));
        let evaluation = Evaluation { energy, forces, stress, magnetic_moments: None };
        match evaluation.not_finite() {
            Some(what) => Err(PotentialError::NotFinite { potential: self.name.clone(), what }),
            None => Ok(evaluation),
        }
    }
}

impl Potential for PairPotential {
    fn name(&self) -> &str {
        &self.name
    }

    fn cutoff(&self) -> f64 {
        self.cutoff
    }

    fn knows(&self, element: Element) -> bool {
        self.elements.contains(&element)
    }

    fn evaluate(&self, crystals: &[Structure]) -> Vec<Result<Evaluation, PotentialError>> {
        crystals.par_iter().map(|crystal| self.evaluate_one(crystal)).collect()
    }
}

#[cfg(test)]
mod tests {
    use druse_crystal::Lattice;
    use druse_testkit::prototypes::{element, quartz};
    use nalgebra::Matrix3;
    use proptest::prelude::*;

    use super::super::{LennardJones, Morse};
    use super::*;

    fn silica() -> PairPotential {
        let [si, o] = ["Si", "O"].map(element);
        PairPotential::new("silica", 5.0)
            .with(si, o, Morse { depth: 1.2, alpha: 1.8, distance: 1.65 })
            .with(o, o, LennardJones { epsilon: 0.01, sigma: 2.4 })
            .with(si, si, LennardJones { epsilon: 0.02, sigma: 2.8 })
    }

    fn energy(crystal: &Structure) -> f64 {
        silica().evaluate(std::slice::from_ref(crystal)).remove(0).unwrap().energy
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn forces_and_stress_are_derivatives(noise in prop::collection::vec(-0.03..0.03f64, 27)) {
            let mut crystal = quartz();
            for (x, d) in crystal.frac_coords.iter_mut().flatten().zip(&noise) {
                *x = druse_crystal::wrap_unit(*x + d);
            }
            let found = silica().evaluate(std::slice::from_ref(&crystal)).remove(0).unwrap();
            let h = 1e-5;
            for (site, c) in [(0, 0), (3, 1), (8, 2)] {
                let moved = |by: f64| {
                    let mut r = crystal.lattice.to_cartesian(crystal.frac_coords[site]);
                    r[c] += by;
                    let mut moved = crystal.clone();
                    moved.frac_coords[site] = moved.lattice.to_fractional(r);
                    energy(&moved)
                };
                let force = (moved(-h) - moved(h)) / (2.0 * h);
                prop_assert!((found.forces[site][c] - force).abs() < 1e-6 * force.abs().max(1.0));
            }
            for (a, b) in [(0, 0), (1, 2), (2, 0)] {
                let strained = |by: f64| {
                    let mut f = Matrix3::identity();
                    f[(a, b)] += 0.5 * by;
                    f[(b, a)] += 0.5 * by;
                    let lattice = Lattice::from_matrix(crystal.lattice.matrix() * f).unwrap();
                    energy(&Structure { lattice, ..crystal.clone() })
                };
                let stress = (strained(h) - strained(-h)) / (2.0 * h) / crystal.lattice.volume();
                prop_assert!((found.stress[a][b] - stress).abs() < 1e-6 * stress.abs().max(1.0));
            }
            let total: f64 = (0..3).map(|c| found.forces.iter().map(|f| f[c]).sum::<f64>().abs()).sum();
            prop_assert!(total < 1e-10);
        }
    }

    #[test]
    fn what_cannot_be_evaluated_says_why_and_disturbs_nobody() {
        let mut foreign = quartz();
        foreign.species[4] = element("Fe");
        let mut coincident = quartz();
        coincident.frac_coords[1] = coincident.frac_coords[0];
        let mut found = silica().evaluate(&[foreign, quartz(), coincident]).into_iter();
        assert!(
            matches!(found.next(), Some(Err(PotentialError::UnknownElement { element: e, .. })) if e == element("Fe"))
        );
        assert_eq!(found.next().unwrap().unwrap().energy, energy(&quartz()));
        assert!(matches!(found.next(), Some(Err(PotentialError::NotFinite { .. }))));
        let [si, o] = ["Si", "O"].map(element);
        let incomplete =
            PairPotential::new("half", 4.0).with(si, o, LennardJones { epsilon: 1.0, sigma: 1.0 });
        assert_eq!(incomplete.missing_pair(), Some((o, o)));
        assert!(matches!(
            incomplete.evaluate(&[quartz()]).remove(0),
            Err(PotentialError::UnknownElement { .. })
        ));
        assert_eq!(silica().missing_pair(), None);
    }
}
