//! Several potentials: one that relaxes, others that are asked for the energy of what came of it.

use druse_crystal::{Element, Structure};

use crate::{Evaluation, Opinion, Potential, PotentialError};

/// A potential with others beside it: energies, forces and stress are those of the first one.
pub struct Ensemble {
    first: Box<dyn Potential>,
    others: Vec<Box<dyn Potential>>,
}

impl Ensemble {
    /// The potential that crystals are relaxed with, and those that are asked afterwards.
    pub fn new(first: Box<dyn Potential>, others: Vec<Box<dyn Potential>>) -> Self {
        Self { first, others }
    }
}

impl Potential for Ensemble {
    fn name(&self) -> &str {
        self.first.name()
    }

    fn cutoff(&self) -> f64 {
        self.first.cutoff()
    }

    fn knows(&self, element: Element) -> bool {
        self.first.knows(element)
    }

    fn evaluate(&self, crystals: &[Structure]) -> Vec<Result<Evaluation, PotentialError>> {
        self.first.evaluate(crystals)
    }

    fn opinions(&self, relaxed: &Structure) -> Vec<Opinion> {
        let ask = |other: &dyn Potential| {
            let evaluation = other.evaluate(std::slice::from_ref(relaxed)).pop();
            let energy = evaluation.expect("one evaluation for one crystal").map(|e| e.energy);
            Opinion { potential: other.name().to_owned(), energy }
        };
        self.others.iter().map(|other| ask(&**other)).collect()
    }
}

#[cfg(test)]
mod tests {
    use druse_testkit::prototypes::prototype;

    use super::*;
    use crate::pair::{LennardJones, PairPotential};
    use crate::{End, RelaxSettings, relax};

    fn salt(name: &str, epsilon: f64, elements: [&str; 2]) -> Box<dyn Potential> {
        let [a, b] = elements.map(|symbol| symbol.parse().unwrap());
        let pair = LennardJones { epsilon, sigma: 2.5 };
        Box::new(PairPotential::new(name, 6.0).with(a, a, pair).with(a, b, pair).with(b, b, pair))
    }

    #[test]
    fn the_first_relaxes_and_the_others_are_asked_at_the_end() {
        let (start, settings) = (prototype("NaCl"), RelaxSettings::default());
        let alone = relax(&*salt("first", 0.05, ["Na", "Cl"]), start.clone(), &settings);
        assert_eq!((alone.end.clone(), alone.opinions.len()), (End::Converged, 0));
        let others = vec![salt("twice", 0.1, ["Na", "Cl"]), salt("stranger", 0.1, ["K", "Cl"])];
        let together = Ensemble::new(salt("first", 0.05, ["Na", "Cl"]), others);
        assert_eq!(together.name(), "first");
        let relaxed = relax(&together, start, &settings);
        assert_eq!(relaxed.structure, alone.structure);
        let energy = relaxed.figures.as_ref().unwrap().energy;
        assert_eq!(energy, alone.figures.unwrap().energy);
        let [twice, stranger] = &relaxed.opinions[..] else { panic!("two opinions") };
        assert_eq!(twice.potential, "twice");
        assert!((twice.energy.clone().unwrap() / energy - 2.0).abs() < 1e-12);
        assert!(matches!(stranger.energy, Err(PotentialError::UnknownElement { .. })));
    }
}
