//! Names of species, in whatever file they stand.

use super::error::FormatErrorKind;
use super::site::SpeciesReader;
use super::{Warning, WarningKind};
use crate::Element;

/// The element of a species name: a symbol with or without charge and spin, as pymatgen writes species (`Na+`,
/// `Fe2.5+`, `Fe0+`, `Fe3+,spin=5`), or an isotope of hydrogen (`D`, `D+`, `T`).
///
/// # Errors
/// [`FormatErrorKind::UnknownElement`].
pub fn species(text: &str) -> Result<Element, FormatErrorKind> {
    SpeciesReader::default().species(symbol(text), "")
}

/// The elements of several species names, and what the user should know about them.
///
/// # Errors
/// [`FormatErrorKind::UnknownElement`] for the first that is no element.
pub fn species_list<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(Vec<Element>, Vec<Warning>), FormatErrorKind> {
    let mut reader = SpeciesReader::default();
    let elements =
        names.into_iter().map(|name| reader.species(symbol(name), "")).collect::<Result<_, _>>()?;
    let mut warnings = Vec::new();
    reader.warnings(&mut warnings);
    Ok((elements, warnings))
}

/// The part of a species name that tells element and charge: without blanks around it and without properties such as
/// `,spin=5`.
pub(super) fn symbol(text: &str) -> &str {
    text.split(',').next().unwrap_or(text).trim()
}

/// What is said where several species of one element share a site.
pub(super) fn merged(site: &str, element: Element) -> Warning {
    let text = format!("site {site} holds {element} in several states, which are read as one");
    Warning::new(WarningKind::Merged, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_species_with_charge_and_spin() {
        for (text, expected) in [
            ("Na+", "Na"),
            ("Cl-", "Cl"),
            ("Fe2.5+", "Fe"),
            ("Fe0+", "Fe"),
            ("Fe3+,spin=5", "Fe"),
            ("Fe,spin=-5", "Fe"),
            (" O2- ", "O"),
            ("D", "H"),
            ("D+", "H"),
        ] {
            assert_eq!(species(text).map(|e| e.symbol()), Ok(expected), "{text}");
        }
        for text in ["", "+", "Xx", "X0+", ",spin=5", "Na Cl"] {
            assert!(species(text).is_err(), "{text}");
        }
        let (elements, warnings) = species_list(["D", "Na+"]).unwrap();
        assert_eq!((elements.len(), warnings.len()), (2, 1));
        assert_eq!(warnings[0].kind, WarningKind::Isotope);
    }
}
