//! What is found out of a structure after it was read: whether it is valid, its space group, whether it is known.

use druse_crystal::{Composition, Structure, symmetry};
use druse_metrics::validity::{self, CompositionRule, StructureRule};

use crate::known::Known;

/// Tolerance (Å) at which symmetry is looked for: that of the evaluation.
const SYMPREC: f64 = 0.1;
/// Structures with more atoms are not looked through for symmetry, which would take minutes.
const MOST_ATOMS: usize = 1000;

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Description {
    /// `None` without structure.
    pub valid: Option<bool>,
    /// Why it is invalid, or why its symmetry is not known.
    pub reason: Option<String>,
    pub space_group: Option<u16>,
    pub symbol: Option<String>,
    /// The known structure that is the same.
    pub known_as: Option<String>,
    /// Whether no known structure is the same; `None` where nothing is known.
    pub novel: Option<bool>,
}

impl Description {
    /// Describes a structure: by CDVAE's rules of validity, as the evaluation does by default.
    pub fn of(structure: &Structure, known: Option<&Known>) -> Self {
        let found = validity::structure(structure);
        let fault = found.fault(StructureRule::default()).map(|fault| fault.to_string());
        let composition = Composition::from_species(&structure.species);
        let verdict = validity::composition_verdict(&composition, CompositionRule::default());
        let unbalanced = (!verdict.is_valid()).then(|| verdict.to_string());
        let sound = fault.is_none();
        let invalid = fault.or(unbalanced);
        let valid = Some(invalid.is_none());
        // Atoms on one spot have no symmetry that means anything, and may have billions of images within a tolerance.
        let symmetry = (sound && structure.len() <= MOST_ATOMS)
            .then(|| symmetry::analyze(structure, SYMPREC).map_err(|e| e.to_string()));
        let (symmetry, no_symmetry) = match symmetry {
            Some(Ok(found)) => (Some(found), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let same = known.filter(|_| sound).map(|known| known.same_as(structure));
        Self {
            valid,
            reason: invalid.or(no_symmetry),
            space_group: symmetry.as_ref().map(|s| s.number),
            symbol: symmetry.map(|s| s.international),
            novel: same.as_ref().map(|same| same.is_none()),
            known_as: same.flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use druse_testkit::prototypes::{perovskite, prototype, rock_salt};

    use super::*;

    #[test]
    fn valid_structures_have_a_space_group() {
        let found = Description::of(&rock_salt("Na", "Cl", 5.64), None);
        assert_eq!(
            (found.valid, found.space_group, found.symbol.as_deref()),
            (Some(true), Some(225), Some("Fm-3m"))
        );
        assert_eq!((found.reason, found.novel), (None, None));
    }

    #[test]
    fn invalid_structures_have_a_reason() {
        let found = Description::of(&rock_salt("Na", "Cl", 0.8), None);
        assert_eq!(found.valid, Some(false));
        assert!(found.reason.unwrap().contains("apart"));
        let unbalanced = Description::of(&perovskite("K", "K", "F", 4.0), None);
        assert_eq!(unbalanced.valid, Some(false));
        assert!(unbalanced.reason.unwrap().contains("neutral") && unbalanced.space_group.is_some());
    }

    #[test]
    fn known_structures_are_recognized() {
        let known = Known::new([("salt".to_owned(), rock_salt("Na", "Cl", 5.7))]);
        let found = Description::of(&rock_salt("Na", "Cl", 5.64), Some(&known));
        assert_eq!((found.novel, found.known_as.as_deref()), (Some(false), Some("salt")));
        let found = Description::of(&prototype("CsCl"), Some(&known));
        assert_eq!((found.novel, found.known_as), (Some(true), None));
    }
}
