//! What every reader does with the sites it found: species names, numbers, coincident sites.

use std::collections::HashMap;

use super::error::{FormatError, FormatErrorKind};
use super::{CoincidentSites, Warning, WarningKind};
use crate::{Element, Lattice, Structure};

/// Two atoms closer than this (Å) coincide.
pub const COINCIDENCE_DISTANCE: f64 = 0.01;

/// Most atoms one structure may have; guards against files that announce absurd numbers.
pub const MAX_SITES: usize = 1_000_000;

/// Departure from 1 below which an occupancy counts as full.
const OCCUPANCY_TOLERANCE: f64 = 1e-3;

/// Most ambiguous labels a warning names.
const GUESSES_SHOWN: usize = 8;

/// Reads species names and counts the hydrogen isotopes among them.
#[derive(Debug, Default)]
pub(super) struct SpeciesReader {
    deuterium: usize,
    tritium: usize,
    guesses: usize,
    guessed: Vec<String>,
}

impl SpeciesReader {
    /// Element of a species name with an optional charge: `Fe`, `Fe3+`, `O2-`, `D`, `FE`.
    /// `site` names the site in the error.
    pub fn species(&mut self, text: &str, site: &str) -> Result<Element, FormatErrorKind> {
        let letters = letters(text);
        let charge = &text[letters.len()..];
        let plain = charge.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'));
        plain.then(|| self.element(letters)).flatten().ok_or_else(|| FormatErrorKind::UnknownElement {
            symbol: text.chars().take(40).collect(),
            site: site.chars().take(40).collect(),
        })
    }

    /// Element of a site label without a species beside it: `Fe1`, `O1W`, `Hw2`, `CL3`.
    pub fn label(&mut self, label: &str) -> Result<Element, FormatErrorKind> {
        let letters = letters(label);
        let element = match letters.as_bytes() {
            [first, second, ..] => {
                let two = self.element(&letters[..2]);
                match two {
                    Some(e) if second.is_ascii_uppercase() => {
                        // `CO1` may be cobalt or a carbon named CO1.
                        let ambiguous = Element::from_symbol(&letters[..1]).is_ok();
                        if ambiguous {
                            if self.guessed.len() < GUESSES_SHOWN {
                                self.guessed.push(label.to_owned());
                            }
                            self.guesses += 1;
                        }
                        Some(e)
                    }
                    Some(e) => Some(e),
                    // Water, as in `Hw1`, `OW`; other unknown pairs are not cut down to one letter silently.
                    None if second.is_ascii_uppercase() || matches!(&letters[..2], "Hw" | "Ow") => {
                        self.element(&letters[..first.is_ascii() as usize])
                    }
                    None => None,
                }
            }
            [_] => self.element(letters),
            [] => None,
        };
        element.ok_or_else(|| FormatErrorKind::UnknownElement {
            symbol: label.chars().take(40).collect(),
            site: String::new(),
        })
    }

    fn element(&mut self, letters: &str) -> Option<Element> {
        if let Ok(e) = Element::from_symbol(letters) {
            return Some(e);
        }
        let mut bytes = letters.bytes();
        let title: String = bytes
            .next()
            .map(|b| char::from(b.to_ascii_uppercase()))
            .into_iter()
            .chain(bytes.map(|b| char::from(b.to_ascii_lowercase())))
            .collect();
        match title.as_str() {
            "D" => self.deuterium += 1,
            "T" => self.tritium += 1,
            symbol => return Element::from_symbol(symbol).ok(),
        }
        Element::from_z(1).ok()
    }

    /// What the user should know about the names read so far.
    pub fn warnings(&self, warnings: &mut Vec<Warning>) {
        for (name, count) in [("deuterium (D)", self.deuterium), ("tritium (T)", self.tritium)] {
            if count > 0 {
                let s = if count == 1 { "" } else { "s" };
                let text = format!("{name} at {count} site{s} read as hydrogen");
                warnings.push(Warning::new(WarningKind::Isotope, text));
            }
        }
        if !self.guessed.is_empty() {
            let labels = self.guessed.join(", ");
            let more = if self.guesses > self.guessed.len() { " …" } else { "" };
            let text = format!("no species given; labels read as two-letter element symbols: {labels}{more}");
            warnings.push(Warning::new(WarningKind::GuessedElement, text));
        }
    }
}

/// The ASCII letters a text begins with.
fn letters(text: &str) -> &str {
    let end = text.bytes().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
    &text[..end]
}

/// Refuses occupancies other than 1.
pub(super) fn check_occupancy(occupancy: f64, element: Element, site: &str) -> Result<(), FormatErrorKind> {
    if (occupancy - 1.0).abs() <= OCCUPANCY_TOLERANCE {
        return Ok(());
    }
    Err(FormatErrorKind::PartialOccupancy {
        site: site.chars().take(40).collect(),
        element: element.to_string(),
        occupancy,
    })
}

/// A finite number; `what` names it in the error.
pub(super) fn number(text: &str, what: &str) -> Result<f64, FormatErrorKind> {
    let shown = || text.chars().take(40).collect::<String>();
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(_) => Err(FormatErrorKind::NotFinite { what: what.to_owned(), text: shown() }),
        Err(_) => Err(FormatErrorKind::Number { what: what.to_owned(), text: shown() }),
    }
}

/// Refuses structures with two coincident sites, unless they are to be kept. `label(i)` names site i, `line(i)` is
/// where it stands.
pub(super) fn check_coincident(
    structure: &Structure,
    coincident: CoincidentSites,
    label: impl Fn(usize) -> String,
    line: impl Fn(usize) -> Option<usize>,
) -> Result<(), FormatError> {
    if coincident == CoincidentSites::Keep {
        return Ok(());
    }
    match coincident_sites(structure) {
        None => Ok(()),
        Some((i, j, distance)) => Err(FormatError {
            line: line(j),
            kind: FormatErrorKind::Coincident { first: label(i), second: label(j), distance },
        }),
    }
}

/// The first two sites that coincide (are nearer than [`COINCIDENCE_DISTANCE`]), by their indices, and their distance
/// in Å.
pub fn coincident_sites(structure: &Structure) -> Option<(usize, usize, f64)> {
    coincident_pair(&structure.lattice, &structure.frac_coords)
}

/// Name of a site that has no label: symbol and number from 1.
pub(super) fn default_label(structure: &Structure, i: usize) -> String {
    format!("{}{}", structure.species[i], i + 1)
}

/// Distance (Å) of two points if it is below `tolerance`, which must be small against the cell:
/// the nearest image of a nearly coincident point is found by rounding, however skewed the cell.
#[inline]
pub(super) fn distance_below(
    lattice: &Lattice,
    tolerance_frac: [f64; 3],
    tolerance: f64,
    p: [f64; 3],
    q: [f64; 3],
) -> Option<f64> {
    let mut d = [0.0; 3];
    for i in 0..3 {
        d[i] = p[i] - q[i];
        d[i] -= d[i].round();
        if d[i].abs() > tolerance_frac[i] {
            return None;
        }
    }
    let distance = lattice.to_cartesian(d).iter().map(|x| x * x).sum::<f64>().sqrt();
    (distance < tolerance).then_some(distance)
}

/// The largest difference of each fractional coordinate two points within `tolerance` (Å) can have.
pub(super) fn tolerance_frac(lattice: &Lattice, tolerance: f64) -> [f64; 3] {
    lattice.face_distances().map(|h| tolerance / h)
}

fn coincident_pair(lattice: &Lattice, coords: &[[f64; 3]]) -> Option<(usize, usize, f64)> {
    const BRUTE_FORCE: usize = 64;
    let tol = tolerance_frac(lattice, COINCIDENCE_DISTANCE);
    let check = |i: usize, j: usize| {
        distance_below(lattice, tol, COINCIDENCE_DISTANCE, coords[i], coords[j]).map(|d| (i, j, d))
    };
    if coords.len() <= BRUTE_FORCE {
        return (0..coords.len()).flat_map(|j| (0..j).map(move |i| (i, j))).find_map(|(i, j)| check(i, j));
    }
    // Bins at least as wide as the tolerance: partners are in the same or an adjacent one.
    let bins = tol.map(|t| (1.0 / t).floor().clamp(1.0, f64::from(1 << 20)) as i64);
    let bin = |f: [f64; 3]| -> [i64; 3] {
        std::array::from_fn(|k| ((f[k] * bins[k] as f64) as i64).clamp(0, bins[k] - 1))
    };
    let mut occupied: HashMap<[i64; 3], Vec<usize>> = HashMap::with_capacity(coords.len());
    for (j, &f) in coords.iter().enumerate() {
        let center = bin(f);
        for step in 0..27i64 {
            let offset = [step % 3 - 1, step / 3 % 3 - 1, step / 9 - 1];
            let key = std::array::from_fn(|k| (center[k] + offset[k]).rem_euclid(bins[k]));
            if let Some(hit) = occupied.get(&key).and_then(|b| b.iter().find_map(|&i| check(i, j))) {
                return Some(hit);
            }
        }
        occupied.entry(center).or_default().push(j);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn species_names_and_labels() {
        let mut r = SpeciesReader::default();
        let species = |r: &mut SpeciesReader, t: &str| r.species(t, "").map(|e| e.symbol());
        for (text, symbol) in
            [("Fe", "Fe"), ("Fe3+", "Fe"), ("O2-", "O"), ("FE", "Fe"), ("Cl1-", "Cl"), ("h", "H")]
        {
            assert_eq!(species(&mut r, text), Ok(symbol));
        }
        for text in ["", "Xx", "Fex", "1Fe", "Fe_x", "é"] {
            assert!(species(&mut r, text).is_err(), "{text}");
        }
        for (label, symbol) in [
            ("Fe1", "Fe"),
            ("O1W", "O"),
            ("Hw2", "H"),
            ("OW", "O"),
            ("Na(1)", "Na"),
            ("C12A", "C"),
            ("FeA", "Fe"),
        ] {
            assert_eq!(r.label(label).map(|e| e.symbol()), Ok(symbol), "{label}");
        }
        for label in ["Wat", "X1", "", "1"] {
            assert!(r.label(label).is_err(), "{label}");
        }
        let mut warnings = Vec::new();
        r.warnings(&mut warnings);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(r.label("CO1").unwrap().symbol(), "Co");
        assert_eq!(r.label("D4").unwrap().symbol(), "H");
        assert_eq!(species(&mut r, "D"), Ok("H"));
        r.warnings(&mut warnings);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].text.contains("2 sites") && warnings[1].text.contains("CO1"));
    }

    proptest! {
        /// The binned search finds a pair exactly where the plain double loop does.
        #[test]
        fn coincident_atoms_are_found_in_any_cell(
            seed in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 70..120),
            shear in -3.0..3.0f64, copy in prop::option::of((0usize..70, prop::array::uniform3(-1.5e-3..1.5e-3f64))),
        ) {
            let lattice = Lattice::from_rows([[4.0, 0.0, 0.0], [shear, 5.0, 0.0], [0.3, shear, 6.0]]).unwrap();
            let mut coords = seed;
            if let Some((i, d)) = copy {
                coords.push(std::array::from_fn(|k| crate::wrap_unit(coords[i][k] + d[k])));
            }
            let tol = tolerance_frac(&lattice, COINCIDENCE_DISTANCE);
            let plain = (0..coords.len()).any(|j| (0..j).any(|i| {
                distance_below(&lattice, tol, COINCIDENCE_DISTANCE, coords[i], coords[j]).is_some()
            }));
            prop_assert_eq!(coincident_pair(&lattice, &coords).is_some(), plain);
        }
    }
}
