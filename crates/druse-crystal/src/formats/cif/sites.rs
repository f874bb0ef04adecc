//! The atom list of a data block: the sites of the asymmetric unit.

use super::block::{Loop, number, without_uncertainty};
use super::lexer::{Value, shorten};
use crate::Element;
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::formats::site::{self, MAX_SITES};
use crate::formats::species::SpeciesReader;
use crate::formats::warning::Labels;
use crate::formats::{Warning, WarningKind, enumerate};

const FRACT: [&str; 3] = ["_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z"];
const MULTIPLICITY: [&str; 2] = ["_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity"];

/// Relative departure from 1/3 and 2/3 that is taken for rounding (pymatgen's `frac_tolerance`).
const THIRDS_TOLERANCE: f64 = 1e-4;

/// Rows of one element whose coordinates differ by no more than this are on one spot.
const SAME_SPOT: f64 = 1e-4;

/// Departure from 1 of the occupancies of one spot together: thirds are written 0.33.
const SHARED_OCCUPANCY_TOLERANCE: f64 = 0.0101;

/// Most decimals that say something about rounding.
const MAX_DECIMALS: u8 = 15;

/// A site of the asymmetric unit, its coordinates not yet wrapped.
#[derive(Debug, Clone)]
pub(super) struct Site<'a> {
    pub label: &'a str,
    pub line: usize,
    pub element: Element,
    pub frac: [f64; 3],
    /// The coordinates as written; empty where the file gives none.
    written: [&'a str; 3],
    /// Images in the cell, itself included, that the file states.
    pub multiplicity: Option<usize>,
    occupancy: f64,
}

/// The sites of an atom list.
#[derive(Debug)]
pub(super) struct Sites<'a> {
    pub sites: Vec<Site<'a>>,
    /// Hydrogen atoms that are attached to the sites and have no sites of their own.
    pub attached_hydrogen: f64,
    /// Labels of hydrogen whose position is not known.
    unknown_hydrogen: Labels,
    /// Sites that stand for a group with hydrogen that may have no sites.
    groups_with_hydrogen: Option<String>,
}

/// Columns of the table.
struct Columns {
    label: Option<usize>,
    species: Option<usize>,
    occupancy: Option<usize>,
    flag: Option<usize>,
    multiplicity: Option<usize>,
    hydrogen: Option<usize>,
    fract: [usize; 3],
}

impl Columns {
    fn of(table: &Loop) -> Result<Self, FormatError> {
        let missing =
            |tag: &str| FormatError::at(table.line, FormatErrorKind::Missing(format!("column `{tag}`")));
        let mut fract = [0; 3];
        for (column, tag) in fract.iter_mut().zip(FRACT) {
            *column = table.column(&[tag]).ok_or_else(|| missing(tag))?;
        }
        let (label, species) =
            (table.column(&["_atom_site_label"]), table.column(&["_atom_site_type_symbol"]));
        if label.is_none() && species.is_none() {
            return Err(missing("_atom_site_label"));
        }
        Ok(Self {
            label,
            species,
            occupancy: table.column(&["_atom_site_occupancy"]),
            flag: table.column(&["_atom_site_calc_flag"]),
            multiplicity: table.column(&MULTIPLICITY),
            hydrogen: table.column(&["_atom_site_attached_hydrogens"]),
            fract,
        })
    }
}

/// Whether a table has a row with a coordinate: a list of sites of which nothing is known describes no structure.
pub(super) fn has_positions(table: &Loop) -> bool {
    let columns: Vec<usize> = FRACT.iter().filter_map(|tag| table.column(&[tag])).collect();
    let names = [table.column(&["_atom_site_label"]), table.column(&["_atom_site_type_symbol"])];
    table.rows().any(|row| {
        // `.` is a coordinate of an element, but not of a row without any.
        let named = names.iter().flatten().any(|&c| known(row[c].value).is_some());
        let stated = |c: &usize| known(row[*c].value).is_some() || (named && row[*c].value.text == ".");
        columns.iter().any(stated)
    })
}

/// A value of the atom list that says something: some programs quote their `?`, too.
fn known(value: Value<'_>) -> Option<&str> {
    value.known().filter(|text| !matches!(*text, "?" | "."))
}

/// Reads the atom list: thirds corrected, rows of one element on one spot joined. `formula`: the elements of the stated
/// formula, by which ambiguous labels are read.
pub(super) fn read<'a>(
    table: &Loop<'a>,
    formula: Option<&[Element]>,
    warnings: &mut Vec<Warning>,
) -> Result<Sites<'a>, FormatError> {
    let columns = Columns::of(table)?;
    let mut reader = SpeciesReader::with_formula(formula);
    let mut dummies = 0;
    let (mut zeros, mut vacant) = (Labels::default(), Labels::default());
    let mut found = Sites {
        sites: Vec::with_capacity(table.values.len() / table.tags.len().max(1)),
        attached_hydrogen: 0.0,
        unknown_hydrogen: Labels::default(),
        groups_with_hydrogen: None,
    };
    for row in table.rows() {
        let line = row[columns.fract[0]].line;
        let known_of = |column: Option<usize>| column.and_then(|c| known(row[c].value));
        if known_of(columns.flag).is_some_and(|flag| flag.eq_ignore_ascii_case("dum")) {
            dummies += 1;
            continue;
        }
        let species = known_of(columns.species);
        let label = known_of(columns.label).or(species).unwrap_or("?");
        let position = columns.fract.map(|c| row[c]);
        let no_position = position.iter().all(|d| known(d.value).is_none());
        if no_position && known_of(columns.label).is_none() && species.is_none() {
            continue;
        }
        let element = match species {
            Some(text) => reader.species(text, label).or_else(|e| {
                // A label in the place of the species, as in `O1A`: read where it leaves no doubt.
                let mut of_label = SpeciesReader::with_formula(formula);
                let element = of_label.label(text).map_err(|_| e.clone())?;
                if of_label.is_certain() { Ok(element) } else { Err(e) }
            }),
            None => reader.label(label),
        }
        .map_err(|kind| FormatError::at(line, kind))?;
        let unknown = position.iter().any(|d| d.value.text == "?");
        if element.z() == 1 && (no_position || unknown) {
            found.unknown_hydrogen.push(label);
            continue;
        }
        if let Some(text) = known_of(columns.hydrogen)
            && let Ok(attached) = without_uncertainty(text).parse::<f64>()
        {
            found.attached_hydrogen += attached.clamp(0.0, 100.0);
        }
        let occupancy = match columns.occupancy.map(|c| row[c]) {
            Some(datum) => match known(datum.value) {
                Some(text) => number((text, datum.line), "_atom_site_occupancy")?,
                None => 1.0,
            },
            None => 1.0,
        };
        if occupancy == 0.0 {
            vacant.push(label);
            continue;
        }
        let (mut frac, mut written) = ([0.0; 3], [""; 3]);
        for (k, datum) in position.into_iter().enumerate() {
            match known(datum.value) {
                Some(text) => {
                    frac[k] = correct_thirds(number((text, datum.line), FRACT[k])?);
                    written[k] = text;
                }
                // The dictionary's default is 0, which ICSD writes so.
                None if datum.value.text == "." => zeros.push(label),
                None => {
                    let what = format!("the position of site {} (`{}` is `?`)", shorten(label), FRACT[k]);
                    return Err(FormatError::at(datum.line, FormatErrorKind::Missing(what)));
                }
            }
        }
        if found.sites.len() == MAX_SITES {
            return Err(FormatError::at(line, FormatErrorKind::TooManySites));
        }
        let multiplicity =
            known_of(columns.multiplicity).and_then(|text| text.parse().ok()).filter(|&m: &usize| m > 0);
        found.sites.push(Site { label, line, element, frac, written, multiplicity, occupancy });
    }
    if dummies > 0 {
        warnings.push(Warning::new(WarningKind::NotKept, format!("{dummies} dummy site(s) left out")));
    }
    if let Some(labels) = vacant.text() {
        let text = format!("sites of occupancy 0 left out: {labels}");
        warnings.push(Warning::new(WarningKind::NotKept, text));
    }
    if let Some(labels) = zeros.text() {
        let text = format!("coordinates `.` of {labels} read as 0");
        warnings.push(Warning::new(WarningKind::Interpreted, text));
    }
    found.join_shared(warnings)?;
    let has_hydrogen = found.sites.iter().any(|s| s.element.z() == 1);
    found.groups_with_hydrogen = reader.groups_with_hydrogen().filter(|_| !has_hydrogen);
    reader.name_warnings(warnings);
    Ok(found)
}

impl Site<'_> {
    /// Decimals with which the coordinates are written.
    pub fn decimals(&self) -> [u8; 3] {
        self.written.map(decimals_of)
    }
}

impl<'a> Sites<'a> {
    /// Joins rows of one element on one spot whose occupancies together are 1 (two charges of an element, or hydrogen and
    /// deuterium) and refuses what is not fully occupied then.
    fn join_shared(&mut self, warnings: &mut Vec<Warning>) -> Result<(), FormatError> {
        /// Rows after the first one among which the others of its spot are looked for.
        const NEARBY: usize = 256;
        let partial = |s: &Site| (s.occupancy - 1.0).abs() > site::OCCUPANCY_TOLERANCE;
        let mut joined = Labels::default();
        let mut left_out = vec![false; self.sites.len()];
        for first in 0..self.sites.len() {
            if left_out[first] {
                continue;
            }
            let here = &self.sites[first];
            let (mut total, mut others) = (here.occupancy, Vec::new());
            if partial(here) {
                for k in (first + 1..self.sites.len()).take(NEARBY).filter(|&k| !left_out[k]) {
                    let other = &self.sites[k];
                    let same_axis = |axis: usize| {
                        let d = other.frac[axis] - here.frac[axis];
                        (d - d.round()).abs() <= SAME_SPOT
                    };
                    if other.element == here.element && partial(other) && (0..3).all(same_axis) {
                        total += other.occupancy;
                        others.push(k);
                    }
                }
            }
            let Site { occupancy, element, label, line, .. } = *here;
            if !others.is_empty() && (total - 1.0).abs() <= SHARED_OCCUPANCY_TOLERANCE {
                joined.push(label);
                others.into_iter().for_each(|k| left_out[k] = true);
            } else {
                site::check_occupancy(occupancy, element, label)
                    .map_err(|kind| FormatError::at(line, kind))?;
            }
        }
        let mut keep = left_out.iter().map(|&out| !out);
        self.sites.retain(|_| keep.next().unwrap_or(true));
        if let Some(labels) = joined.text() {
            let text = format!("rows of one element that share a site are one site: {labels}");
            warnings.push(Warning::new(WarningKind::Merged, text));
        }
        Ok(())
    }

    /// What the atom list itself says about hydrogen without sites.
    pub fn missing_hydrogen(&self) -> Option<String> {
        let attached = (self.attached_hydrogen > 0.0)
            .then(|| format!("{} attached hydrogen atoms of the listed sites", self.attached_hydrogen));
        let unknown = self.unknown_hydrogen.text().map(|l| format!("hydrogen {l}"));
        let groups = self.groups_with_hydrogen.as_ref().map(|g| format!("the hydrogen of {g}"));
        let parts: Vec<String> = [attached, unknown, groups].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| enumerate(parts, "and"))
    }
}

fn correct_thirds(x: f64) -> f64 {
    for third in [1.0 / 3.0, 2.0 / 3.0] {
        if (x / third - 1.0).abs() <= THIRDS_TOLERANCE {
            return third;
        }
    }
    x
}

/// Decimals of a number, uncertainty aside; of one with an exponent as many as can be.
fn decimals_of(text: &str) -> u8 {
    let digits = without_uncertainty(text);
    if digits.is_empty() || digits.contains(['e', 'E']) {
        return MAX_DECIMALS;
    }
    digits.split_once('.').map_or(0, |(_, d)| u8::try_from(d.len()).unwrap_or(MAX_DECIMALS).min(MAX_DECIMALS))
}
