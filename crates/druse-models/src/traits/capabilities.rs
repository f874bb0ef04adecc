//! What a model can be asked for.

use druse_crystal::Composition;

use crate::error::check_elements;
use crate::{ConditionSet, Conditions, ModelError};

/// What a model can be asked for.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The conditions that it takes together, every combination in full.
    pub combinations: Vec<ConditionSet>,
    /// Largest atomic number that it knows.
    pub largest_z: u8,
    /// Atoms of the largest cell, where there is a limit.
    pub max_atoms: Option<usize>,
    /// Atoms of the largest cell of its training set, for a model that may make larger ones.
    pub largest_seen: Option<usize>,
    /// Dimensions of its latent space, for a model with one.
    pub latent_width: Option<usize>,
    /// Names of the properties that it can be conditioned on.
    pub properties: Vec<String>,
}

impl Capabilities {
    /// A model that serves these combinations, for elements up to an atomic number.
    pub fn new(combinations: impl Into<Vec<ConditionSet>>, largest_z: u8) -> Self {
        Self { combinations: combinations.into(), largest_z, ..Self::default() }
    }

    /// With cells of at most so many atoms.
    #[must_use]
    pub fn with_max_atoms(self, max_atoms: Option<usize>) -> Self {
        Self { max_atoms, ..self }
    }

    /// Trained on cells of at most so many atoms, without being limited to them.
    #[must_use]
    pub fn with_largest_seen(self, largest_seen: Option<usize>) -> Self {
        Self { largest_seen, ..self }
    }

    /// With a latent space of so many dimensions.
    #[must_use]
    pub fn with_latent(self, width: usize) -> Self {
        Self { latent_width: Some(width), ..self }
    }

    /// Whether it can be asked for these kinds of conditions together.
    pub fn serves(&self, kinds: ConditionSet) -> bool {
        self.combinations.contains(&kinds)
    }

    /// Whether a model of this kind can serve conditions.
    ///
    /// # Errors
    /// [`ModelError`] naming what it cannot serve and what it can.
    pub fn check(&self, kind: &'static str, conditions: &Conditions) -> Result<(), ModelError> {
        let given = conditions.kinds();
        if !self.serves(given) {
            let served = self.combinations.clone();
            return Err(ModelError::Unsupported { model: kind, given, served });
        }
        let wrong = |what: String| Err(ModelError::Condition(what));
        if let Some(number) = conditions.space_group.filter(|n| !(1..=230).contains(n)) {
            return wrong(format!("space group {number}, expected a number from 1 to 230"));
        }
        if let Some(name) = conditions.properties.keys().find(|name| !self.properties.contains(name)) {
            let known = if self.properties.is_empty() { "none".into() } else { self.properties.join(", ") };
            return wrong(format!("the property `{name}`, which the model does not know; it knows: {known}"));
        }
        if let Some((name, value)) = conditions.properties.iter().find(|(_, value)| !value.is_finite()) {
            return wrong(format!("{name} = {value}, expected a finite number"));
        }
        if let Some(latent) = &conditions.latent {
            let (found, expected) = (latent.len(), self.latent_width.unwrap_or_default());
            if found != expected {
                return Err(ModelError::Latent { found, expected });
            }
            if latent.iter().any(|x| !x.is_finite()) {
                return wrong("a latent with a number that is not finite".into());
            }
        }
        let atoms = conditions.atoms();
        if atoms == Some(0) {
            return wrong("a cell without atoms".into());
        }
        if let (Some(atoms), Some(limit)) = (atoms, self.max_atoms)
            && atoms > limit
        {
            let species = conditions.species().unwrap_or_default();
            let what = match species.is_empty() {
                true => "the cell".into(),
                false => Composition::from_species(&species).formula(),
            };
            return Err(ModelError::TooManyAtoms { what, atoms, limit });
        }
        check_elements(&conditions.elements(), self.largest_z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Condition;

    const SERVED: [ConditionSet; 2] = [
        ConditionSet::of(&[Condition::Composition]),
        ConditionSet::of(&[Condition::Composition, Condition::SpaceGroup]),
    ];

    fn composition(formula: &str) -> Conditions {
        Composition::parse(formula).unwrap().into()
    }

    #[test]
    fn what_a_model_cannot_serve_is_refused_by_name() {
        let can = Capabilities::new(SERVED, 94).with_max_atoms(Some(20));
        can.check("toy", &composition("SrTiO3").and_space_group(221)).unwrap();
        let message = can.check("toy", &composition("SrTiO3").and_num_atoms(5)).unwrap_err().to_string();
        for word in ["toy", "composition + number of atoms", "composition + space group"] {
            assert!(message.contains(word), "{message}");
        }
        let refused = |c: Conditions| can.check("toy", &c).unwrap_err();
        assert!(matches!(refused(composition("Na11Cl11")), ModelError::TooManyAtoms { atoms: 22, .. }));
        assert!(matches!(refused(composition("Lr")), ModelError::UnknownElement { .. }));
        assert!(matches!(refused(composition("Fe").and_space_group(231)), ModelError::Condition(_)));
    }
}
