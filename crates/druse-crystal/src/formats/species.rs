//! Elements from the names that files give to species and sites.

use super::error::FormatErrorKind;
use super::warning::Labels;
use super::{Warning, WarningKind};
use crate::Element;

/// Heaviest element that a name in capitals may mean where it can be read otherwise, too: `NH` is nitrogen with hydrogen and
/// not nihonium.
const HEAVIEST_OF_CAPITALS: u8 = 103;

/// The element of a species name: `Fe`, `Fe3+`, `Fe2.5+`, `O2-`, `FE`, `D`, `57Fe`, `Fe3+,spin=5`, and the central element of
/// a group whose hydrogen has no sites (`OH`, `OH2`, `NH4+`).
///
/// # Errors
/// [`FormatErrorKind::UnknownElement`].
pub fn species(text: &str) -> Result<Element, FormatErrorKind> {
    SpeciesReader::default().species(text, "")
}

/// The elements of several species names, and what the user should know about them.
///
/// # Errors
/// [`FormatErrorKind::UnknownElement`] for the first that is no element.
pub fn species_list<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(Vec<Element>, Vec<Warning>), FormatErrorKind> {
    let mut reader = SpeciesReader::default();
    let elements = names.into_iter().map(|name| reader.species(name, "")).collect::<Result<_, _>>()?;
    let mut warnings = Vec::new();
    reader.warnings(&mut warnings);
    Ok((elements, warnings))
}

/// The part of a species name that tells element and charge: without blanks around it and without properties such as
/// `,spin=5`.
pub(super) fn symbol(text: &str) -> &str {
    match text.find(',') {
        Some(comma) => text[..comma].trim(),
        None => text.trim(),
    }
}

/// What is said where several species of one element share a site.
pub(super) fn merged(site: &str, element: Element) -> Warning {
    let text = format!("site {site} holds {element} in several states, which are read as one");
    Warning::new(WarningKind::Merged, text)
}

/// Reads the names of species and sites of one structure, and remembers what is to be said about them.
#[derive(Debug, Default)]
pub(super) struct SpeciesReader<'a> {
    /// Elements of the stated formula, which decide what an ambiguous name means.
    formula: Option<&'a [Element]>,
    deuterium: usize,
    tritium: usize,
    hydrogen: usize,
    guessed: Labels,
    cut: Labels,
    groups: Labels,
}

/// What a name may stand for.
#[derive(Debug, Clone, Copy)]
struct Reading {
    element: Element,
    /// Whether hydrogen without sites of its own belongs to it.
    hydrogen: bool,
    isotope: Option<Isotope>,
}

#[derive(Debug, Clone, Copy)]
enum Isotope {
    Deuterium,
    Tritium,
}

impl<'a> SpeciesReader<'a> {
    /// A reader that resolves ambiguous names by the elements of the stated formula.
    pub fn with_formula(formula: Option<&'a [Element]>) -> Self {
        Self { formula, ..Self::default() }
    }

    /// Element of a species name, see [`species`]. `site` names the site in the error.
    pub fn species(&mut self, text: &str, site: &str) -> Result<Element, FormatErrorKind> {
        let reading = self.species_reading(symbol(text)).ok_or_else(|| FormatErrorKind::UnknownElement {
            symbol: text.chars().take(40).collect(),
            site: site.chars().take(40).collect(),
        })?;
        if reading.hydrogen {
            self.groups.push(if site.is_empty() { text } else { site });
        }
        Ok(self.counted(reading))
    }

    fn species_reading(&self, name: &str) -> Option<Reading> {
        let bare = name.strip_prefix('(').and_then(|n| n.strip_suffix(')')).unwrap_or(name);
        let (mass_number, bare) = bare.split_at(bare.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(0));
        let letters = letters(bare);
        let charge = &bare[letters.len()..];
        let plain = charge.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'));
        let exact = element_or_isotope(letters).filter(|_| plain);
        if !mass_number.is_empty() {
            // An isotope weighs between one and three times its atomic number.
            let possible = |e: &Reading| {
                let z = u32::from(e.element.z());
                mass_number.parse::<u32>().is_ok_and(|a| (z..=3 * z).contains(&a))
            };
            return exact.filter(possible);
        }
        if exact.is_some() {
            return exact;
        }
        let capitals =
            (letters.len() <= 2 && plain).then(|| element_or_isotope(&title_case(letters))).flatten();
        match (group(bare), capitals) {
            (Some(central), Some(element)) => {
                let by_formula = self.decide(element.element, central);
                // `ND4` and `CD3` count atoms, for a charge has a sign; no metal is negative.
                let counts = charge.bytes().any(|b| b.is_ascii_digit()) && !charge.contains(['+', '-']);
                let like_a_group =
                    element.element.z() > HEAVIEST_OF_CAPITALS || counts || charge.ends_with('-');
                let default = if like_a_group { central } else { element.element };
                Some(if by_formula.unwrap_or(default) == central {
                    Reading { element: central, hydrogen: true, isotope: None }
                } else {
                    element
                })
            }
            (Some(element), None) => Some(Reading { element, hydrogen: true, isotope: None }),
            (None, capitals) => {
                capitals.or_else(|| hydroxyl_or_water(bare).or(water(letters).filter(|_| plain)))
            }
        }
    }

    /// Element of a site label without a species beside it: `Fe1`, `O1W`, `Hw2`, `CL3`, `Oa1`, `OH1`, `Wat1`.
    pub fn label(&mut self, label: &str) -> Result<Element, FormatErrorKind> {
        let letters = letters(label);
        let reading = match letters.as_bytes() {
            [b'W', ..] if self.has_water_for_tungsten() => water("Wat"),
            [_] => element_or_isotope(&title_case(letters))
                .filter(|r| r.isotope.is_none() || self.may_be_hydrogen(letters)),
            [_, second, ..] => self.label_reading(label, letters, second.is_ascii_uppercase()),
            [] => None,
        };
        let reading = reading.ok_or_else(|| FormatErrorKind::UnknownElement {
            symbol: label.chars().take(40).collect(),
            site: String::new(),
        })?;
        if reading.hydrogen {
            self.groups.push(label);
        }
        Ok(self.counted(reading))
    }

    /// A label of two letters and more.
    fn label_reading(&mut self, label: &str, letters: &str, capitals: bool) -> Option<Reading> {
        let element = |text: &str| element_or_isotope(&title_case(text)).filter(|r| r.isotope.is_none());
        if let Some(water) = water(letters) {
            return Some(water);
        }
        let first = element(&letters[..1]);
        let hydroxyl = matches!(letters, "OH" | "Oh" | "OD" | "HOH" | "DOD");
        if hydroxyl {
            let oxygen = Element::from_z(8).ok()?;
            return Some(Reading { element: oxygen, hydrogen: true, isotope: None });
        }
        match (element(&letters[..2]), first) {
            (Some(two), Some(one)) => match self.decide(two.element, one.element) {
                Some(decided) if decided == one.element => Some(one),
                Some(_) => Some(two),
                None => {
                    // `CO1` may be cobalt or a carbon named CO1; `Co1` is cobalt.
                    if capitals {
                        self.guessed.push(label);
                    }
                    Some(two)
                }
            },
            (Some(two), None) => Some(two),
            // As in `OW`, `FA1`.
            (None, Some(one)) if capitals => Some(one),
            (None, Some(one)) if is_other_word(letters) && !self.states(one.element) => None,
            // As in `Oa1`, `Obm`: no element begins so, but another word may.
            (None, Some(one)) => {
                if !matches!(&letters[..2], "Ow" | "Hw") && !self.states(one.element) {
                    self.cut.push(label);
                }
                Some(one)
            }
            (None, None) => None,
        }
    }

    /// Whether the stated formula has an element.
    fn states(&self, element: Element) -> bool {
        self.formula.is_some_and(|f| f.contains(&element))
    }

    /// Whether a label `W` is water: the formula has oxygen and hydrogen, and no tungsten.
    fn has_water_for_tungsten(&self) -> bool {
        let has = |z: u8| self.formula.is_some_and(|f| f.iter().any(|e| e.z() == z));
        has(8) && has(1) && !has(74)
    }

    /// The only one of two elements that the formula has.
    fn decide(&self, a: Element, b: Element) -> Option<Element> {
        let formula = self.formula?;
        match (formula.contains(&a), formula.contains(&b)) {
            (true, false) => Some(a),
            (false, true) => Some(b),
            _ => None,
        }
    }

    /// Whether a label `D` or `T` may be an isotope: a tetrahedral site is called `T`, too, so there the formula must have
    /// hydrogen.
    fn may_be_hydrogen(&self, letters: &str) -> bool {
        let stated = self.formula.map(|f| f.iter().any(|e| e.z() == 1));
        stated.unwrap_or(!letters.eq_ignore_ascii_case("t"))
    }

    fn counted(&mut self, reading: Reading) -> Element {
        match reading.isotope {
            Some(Isotope::Deuterium) => self.deuterium += 1,
            Some(Isotope::Tritium) => self.tritium += 1,
            None => {}
        }
        self.hydrogen += usize::from(reading.element.z() == 1);
        reading.element
    }

    /// Sites of groups whose hydrogen has no sites (`OH`, `NH4`, water), named for a message.
    pub fn groups_with_hydrogen(&self) -> Option<String> {
        self.groups.text()
    }

    /// Whether no name read so far had to be guessed.
    pub fn is_certain(&self) -> bool {
        self.guessed.is_empty() && self.cut.is_empty() && self.groups.is_empty()
    }

    /// What the user should know about the names read so far.
    pub fn warnings(&self, warnings: &mut Vec<Warning>) {
        self.name_warnings(warnings);
        // Where hydrogen has sites of its own, `OH` is but a name.
        if let Some(sites) = self.groups.text().filter(|_| self.hydrogen == 0) {
            let text = format!("the hydrogen of {sites} has no positions and is left out");
            warnings.push(Warning::new(WarningKind::MissingHydrogen, text));
        }
    }

    /// As [`Self::warnings`], without those about hydrogen that has no sites.
    pub fn name_warnings(&self, warnings: &mut Vec<Warning>) {
        for (name, count) in [("deuterium (D)", self.deuterium), ("tritium (T)", self.tritium)] {
            if count > 0 {
                let s = if count == 1 { "" } else { "s" };
                let text = format!("{name} at {count} site{s} read as hydrogen");
                warnings.push(Warning::new(WarningKind::Isotope, text));
            }
        }
        if let Some(labels) = self.guessed.text() {
            let text = format!("no species given; labels read as two-letter element symbols: {labels}");
            warnings.push(Warning::new(WarningKind::GuessedElement, text));
        }
        if let Some(labels) = self.cut.text() {
            let text =
                format!("no species given; elements read from the first letters of the labels {labels}");
            warnings.push(Warning::new(WarningKind::GuessedElement, text));
        }
    }
}

/// The element or isotope of a symbol in its usual letters.
fn element_or_isotope(text: &str) -> Option<Reading> {
    let isotope = match text {
        "D" => Some(Isotope::Deuterium),
        "T" => Some(Isotope::Tritium),
        _ => None,
    };
    let element =
        if isotope.is_some() { Element::from_z(1).ok()? } else { Element::from_symbol(text).ok()? };
    Some(Reading { element, hydrogen: false, isotope })
}

fn title_case(letters: &str) -> String {
    let mut bytes = letters.bytes();
    let first = bytes.next().map(|b| char::from(b.to_ascii_uppercase()));
    first.into_iter().chain(bytes.map(|b| char::from(b.to_ascii_lowercase()))).collect()
}

/// Names of the atoms of water: its oxygen with hydrogen that has no sites, or one of the two with sites of their own.
fn water(letters: &str) -> Option<Reading> {
    let (z, hydrogen) = match letters {
        "Wat" | "WAT" | "Hoh" => (8, true),
        "Ow" | "OW" => (8, false),
        "Hw" | "HW" => (1, false),
        _ => return None,
    };
    Some(Reading { element: Element::from_z(z).ok()?, hydrogen, isotope: None })
}

/// Hydroxyl and water in whatever letters, with a charge or not.
fn hydroxyl_or_water(text: &str) -> Option<Reading> {
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    let name = if name.is_empty() { text } else { name };
    let known =
        ["oh", "od", "hoh", "h2o", "d2o", "wat", "water"].iter().any(|n| name.eq_ignore_ascii_case(n));
    known.then(|| water("Wat")).flatten()
}

/// Beginnings of labels that are no sites of their first letter: vacancies, centroids, cations and anions in general.
fn is_other_word(letters: &str) -> bool {
    ["Va", "Vc", "Cg", "Ct", "Un"].iter().any(|word| letters.starts_with(word))
}

/// The central element of a group `OH`, `OH2`, `H2O`, `NH4+`: one atom of another element with atoms of hydrogen.
fn group(text: &str) -> Option<Element> {
    let bytes = text.as_bytes();
    let charge = bytes.iter().position(|b| matches!(b, b'+' | b'-')).unwrap_or(bytes.len());
    if !bytes[charge..].iter().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-')) {
        return None;
    }
    let (mut central, mut hydrogen, mut i) = (None, false, 0);
    while i < charge {
        let letter_end = i + 1 + usize::from(bytes.get(i + 1).is_some_and(u8::is_ascii_lowercase));
        let name = text.get(i..letter_end.min(charge))?;
        let digits = bytes[letter_end..charge].iter().take_while(|b| b.is_ascii_digit()).count();
        let count = &text[letter_end..letter_end + digits];
        if matches!(name, "H" | "D") {
            hydrogen = true;
        } else {
            let element = Element::from_symbol(name).ok()?;
            if central.is_some() || !matches!(count, "" | "1") {
                return None;
            }
            central = Some(element);
        }
        i = letter_end + digits;
    }
    central.filter(|_| hydrogen)
}

/// The ASCII letters a text begins with.
fn letters(text: &str) -> &str {
    let end = text.bytes().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn species_names() {
        for (text, symbol) in [
            ("Fe", "Fe"),
            ("Fe3+", "Fe"),
            ("Fe+3", "Fe"),
            ("Fe2.5+", "Fe"),
            ("Fe0+", "Fe"),
            ("Fe3+,spin=5", "Fe"),
            ("O2-", "O"),
            ("FE", "Fe"),
            ("Cl1-", "Cl"),
            ("h", "H"),
            ("D", "H"),
            ("D+", "H"),
            ("57Fe", "Fe"),
            ("2H", "H"),
            ("OH", "O"),
            ("OH1-", "O"),
            ("OH2", "O"),
            ("OH3", "O"),
            ("OD", "O"),
            ("H2O", "O"),
            ("(H2O)", "O"),
            ("PH", "P"),
            ("NH4+", "N"),
            ("NH4", "N"),
            ("NH", "N"),
            ("ND", "Nd"),
            ("HO", "Ho"),
            ("Wat", "O"),
            ("Ow", "O"),
            ("Oh", "O"),
            ("oh-", "O"),
            ("wat", "O"),
            ("ND4", "N"),
            ("CD3", "C"),
            ("HO-", "O"),
            ("Nd3+", "Nd"),
        ] {
            assert_eq!(species(text).map(|e| e.symbol()), Ok(symbol), "{text}");
        }
        let (elements, warnings) = species_list(["D", " Na+ "]).unwrap();
        assert_eq!((elements.len(), warnings.len()), (2, 1));
        assert_eq!(warnings[0].kind, WarningKind::Isotope);
        for text in [
            "+", ",spin=5", "Na Cl", "", "Xx", "Fex", "1Fe", "999Fe", "Fe_x", "é", "X0+", "Vac", "NaCl",
            "C2H5", "H", "OH+é",
        ] {
            assert_eq!(species(text).is_ok(), text == "H", "{text}");
        }
    }

    #[test]
    fn labels() {
        let mut r = SpeciesReader::default();
        for (label, symbol) in [
            ("Fe1", "Fe"),
            ("O1W", "O"),
            ("OW", "O"),
            ("Na(1)", "Na"),
            ("Na+", "Na"),
            ("C12A", "C"),
            ("FeA", "Fe"),
            ("AlT1o", "Al"),
        ] {
            assert_eq!(r.label(label).map(|e| e.symbol()), Ok(symbol), "{label}");
        }
        for label in ["X1", "", "1", "T1", "Vac1", "Cg1", "M1"] {
            assert!(r.label(label).is_err(), "{label}");
        }
        let mut warnings = Vec::new();
        r.warnings(&mut warnings);
        assert!(warnings.is_empty(), "{warnings:?}");
        for (label, symbol) in
            [("CO1", "Co"), ("Oa1", "O"), ("Obm", "O"), ("Oco", "O"), ("OH1", "O"), ("Wat1", "O")]
        {
            assert_eq!(r.label(label).map(|e| e.symbol()), Ok(symbol), "{label}");
        }
        r.warnings(&mut warnings);
        let texts: Vec<&str> = warnings.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].contains("CO1") && texts[1].contains("Oa1, Obm, Oco"));
        assert!(texts[2].contains("hydrogen of OH1, Wat1"));
        warnings.clear();
        for label in ["D4", "Hw1"] {
            assert_eq!(r.label(label).map(|e| e.symbol()), Ok("H"));
        }
        r.warnings(&mut warnings);
        assert_eq!(warnings.len(), 3, "the hydrogen has sites, and one is deuterium: {warnings:?}");
        assert!(warnings[0].text.contains("1 site"), "{warnings:?}");
    }

    #[test]
    fn the_formula_decides() {
        let elements =
            |symbols: &[&str]| symbols.iter().map(|s| s.parse().unwrap()).collect::<Vec<Element>>();
        for (formula, label, symbol) in [
            (["C", "O"], "CO1", Some("C")),
            (["Co", "O"], "CO1", Some("Co")),
            (["C", "H"], "T1", Some("H")),
            (["Si", "O"], "T1", None),
            (["C", "O"], "Ca1", Some("C")),
            (["C", "H"], "Ha1", Some("H")),
            (["V", "O"], "Va1", Some("V")),
            (["O", "H"], "W1", Some("O")),
            (["W", "O"], "W1", Some("W")),
        ] {
            let elements = elements(&formula);
            let mut r = SpeciesReader::with_formula(Some(&elements));
            assert_eq!(r.label(label).ok().map(|e| e.symbol()), symbol, "{label} of {formula:?}");
            let mut warnings = Vec::new();
            r.warnings(&mut warnings);
            assert!(warnings.iter().all(|w| w.kind != WarningKind::GuessedElement), "{warnings:?}");
        }
        let (carbon, cadmium) = (elements(&["C", "H"]), elements(&["Cd", "H"]));
        let read = |f: &[Element]| SpeciesReader::with_formula(Some(f)).species("CD", "").unwrap().symbol();
        assert_eq!((read(&carbon), read(&cadmium)), ("C", "Cd"));
    }
}
