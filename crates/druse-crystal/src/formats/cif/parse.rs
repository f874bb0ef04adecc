//! From CIF tokens to structures.

use super::lexer::{Lexer, TokenKind, Value, shorten};
use super::space_group::{self, SpaceGroupSetting};
use super::symmetry::{self, IDENTITY};
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::formats::site::{self, MAX_SITES, SpeciesReader};
use crate::formats::{CoincidentSites, Parsed, Warning, WarningKind};
use crate::{Composition, Element, Lattice, Structure, SymmetryOperation, wrap_unit};

/// Images of one site under symmetry closer than this (Å) are one atom on a special position,
/// whose coordinates were rounded in the file.
const SAME_ATOM_DISTANCE: f64 = 0.05;

/// Relative departure from 1/3 and 2/3 that is taken for rounding (pymatgen's `frac_tolerance`).
const THIRDS_TOLERANCE: f64 = 1e-4;

/// A value with its line.
#[derive(Debug, Clone, Copy)]
struct Datum<'a> {
    value: Value<'a>,
    line: usize,
}

#[derive(Debug, Default)]
struct Loop<'a> {
    line: usize,
    tags: Vec<&'a str>,
    values: Vec<Datum<'a>>,
}

impl<'a> Loop<'a> {
    fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.tags.iter().position(|tag| same_tag(tag, name)))
    }

    fn rows(&self) -> impl Iterator<Item = &[Datum<'a>]> {
        self.values.chunks_exact(self.tags.len().max(1))
    }
}

#[derive(Debug)]
struct Block<'a> {
    name: &'a str,
    line: usize,
    items: Vec<(&'a str, Datum<'a>)>,
    loops: Vec<Loop<'a>>,
}

/// Tags are case-insensitive; `_cell.length_a` of newer dictionaries is `_cell_length_a`.
fn same_tag(tag: &str, lower: &str) -> bool {
    tag.len() == lower.len()
        && tag
            .bytes()
            .zip(lower.bytes())
            .all(|(a, b)| a.to_ascii_lowercase() == b || (a == b'.' && b == b'_'))
}

impl<'a> Block<'a> {
    /// The value of the first of these tags that has one.
    fn item(&self, names: &[&str]) -> Option<(&'a str, usize)> {
        names.iter().find_map(|name| {
            let (_, datum) = self.items.iter().find(|(tag, _)| same_tag(tag, name))?;
            Some((datum.value.known()?, datum.line))
        })
    }

    fn loop_with(&self, names: &[&str]) -> Option<(&Loop<'a>, usize)> {
        self.loops.iter().find_map(|l| Some((l, l.column(names)?)))
    }
}

/// Reads every data block that describes a structure; blocks with neither cell nor atoms are skipped.
///
/// # Errors
/// [`FormatError`] with the line: broken grammar, missing entries, numbers that are none or not finite, unknown
/// elements, partial occupancy, coincident sites, impossible cells, unusable symmetry, or no structure at all.
pub fn read(text: &str) -> Result<Vec<Parsed>, FormatError> {
    read_with(text, CoincidentSites::Refuse)
}

/// As [`read`], with a choice of what becomes of two coincident sites.
pub(in crate::formats) fn read_with(
    text: &str,
    coincident: CoincidentSites,
) -> Result<Vec<Parsed>, FormatError> {
    let mut structures = Vec::new();
    let mut current: Option<Block> = None;
    let mut lexer = Lexer::new(text);
    let mut next = lexer.next_token()?;
    while let Some(token) = next {
        next = lexer.next_token()?;
        let line = token.line;
        let Some(block) = current.as_mut() else {
            let TokenKind::Data(name) = token.kind else {
                return Err(syntax(line, "expected `data_NAME` before anything else; is this a CIF?".into()));
            };
            current = Some(Block { name, line, items: Vec::with_capacity(16), loops: Vec::with_capacity(2) });
            continue;
        };
        match token.kind {
            TokenKind::Data(name) => {
                structures.extend(block.structure(coincident)?);
                *block = Block { name, line, items: Vec::new(), loops: Vec::new() };
            }
            TokenKind::Tag(tag) => {
                let Some(TokenKind::Value(value)) = next.map(|t| t.kind) else {
                    return Err(syntax(line, format!("`{}` has no value", shorten(tag))));
                };
                let line = next.map_or(line, |t| t.line);
                next = lexer.next_token()?;
                block.items.push((tag, Datum { value, line }));
            }
            TokenKind::Loop => {
                let mut table = Loop { line, ..Loop::default() };
                while let Some(TokenKind::Tag(tag)) = next.map(|t| t.kind) {
                    table.tags.push(tag);
                    next = lexer.next_token()?;
                }
                let mut last = line;
                while let Some((TokenKind::Value(value), line)) = next.map(|t| (t.kind, t.line)) {
                    table.values.push(Datum { value, line });
                    last = line;
                    next = lexer.next_token()?;
                }
                if table.tags.is_empty() {
                    return Err(syntax(line, "`loop_` names no columns".into()));
                }
                if !table.values.len().is_multiple_of(table.tags.len()) {
                    let message = format!(
                        "the loop that begins on line {line} has {} columns but {} values: its last row is incomplete",
                        table.tags.len(),
                        table.values.len()
                    );
                    return Err(FormatError::at(last, FormatErrorKind::Truncated(message)));
                }
                block.loops.push(table);
            }
            TokenKind::Value(value) => {
                return Err(syntax(line, format!("value `{}` belongs to no tag", shorten(value.text))));
            }
        }
    }
    let Some(block) = current else {
        return Err(FormatError::whole(FormatErrorKind::NoStructure("the file is empty".into())));
    };
    structures.extend(block.structure(coincident)?);
    if structures.is_empty() {
        let message = "no data block has a cell and atoms".into();
        return Err(FormatError::whole(FormatErrorKind::NoStructure(message)));
    }
    Ok(structures)
}

fn syntax(line: usize, message: String) -> FormatError {
    FormatError::at(line, FormatErrorKind::Syntax(message))
}

/// A CIF number: `5.43`, `5.43(2)`.
fn number(datum: (&str, usize), what: &str) -> Result<f64, FormatError> {
    let (text, line) = datum;
    let digits = match text.split_once('(') {
        Some((digits, su)) if su.strip_suffix(')').is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit())) => {
            digits
        }
        _ => text,
    };
    site::number(digits, what).map_err(|kind| FormatError::at(line, kind))
}

struct Site<'a> {
    label: &'a str,
    line: usize,
    element: Element,
    frac: [f64; 3],
}

/// What a file says its cell holds.
enum Stated {
    /// Atoms each listed site stands for.
    Multiplicities(Vec<usize>),
    /// Atoms of the cell.
    Content(Composition),
}

impl Stated {
    fn agrees(&self, (structure, origin): &(Structure, Vec<usize>)) -> bool {
        match self {
            Self::Multiplicities(stated) => {
                let mut counts = vec![0; stated.len()];
                origin.iter().for_each(|&i| counts[i] += 1);
                counts == *stated
            }
            Self::Content(stated) => Composition::from_species(&structure.species) == *stated,
        }
    }
}

impl<'a> Block<'a> {
    fn structure(&self, coincident: CoincidentSites) -> Result<Option<Parsed>, FormatError> {
        let single;
        let atoms = match self.loop_with(&["_atom_site_fract_x"]) {
            Some((table, _)) => Some(table),
            None => {
                single = self.single_atom();
                single.column(&["_atom_site_fract_x"]).map(|_| &single)
            }
        };
        let parameters = self.cell()?;
        let (parameters, atoms) = match (parameters, atoms) {
            (None, None) => return Ok(None),
            (Some(p), Some(a)) => (p, a),
            (None, Some(_)) => return Err(self.missing("the cell (`_cell_length_a` and so on)")),
            (Some(_), None) => {
                let cartesian = self.loop_with(&["_atom_site_cartn_x"]).is_some();
                return Err(if cartesian {
                    let message = "only Cartesian atom coordinates are given; fractional ones are needed";
                    FormatError::at(self.line, FormatErrorKind::Unsupported(message.into()))
                } else {
                    self.missing("the atom list (`_atom_site_fract_x` and so on)")
                });
            }
        };
        let lattice = Lattice::from_parameters(parameters).map_err(|e| {
            let line = self.item(&["_cell_length_a"]).map_or(self.line, |(_, line)| line);
            FormatError::at(line, e)
        })?;

        let mut warnings = Vec::new();
        let sites = sites(atoms, &mut warnings)?;
        if sites.is_empty() {
            return Err(FormatError::at(
                atoms.line,
                FormatErrorKind::NoStructure("the atom list has no rows".into()),
            ));
        }
        let settings = self.settings(&lattice, &mut warnings)?;
        let (structure, origin) = self
            .expand_in_setting(lattice, atoms, &sites, &settings, &mut warnings)
            .map_err(|e| match e.line {
                None => FormatError { line: Some(atoms.line), ..e },
                Some(_) => e,
            })?;
        site::check_coincident(
            &structure,
            coincident,
            |i| sites[origin[i]].label.to_owned(),
            |i| Some(sites[origin[i]].line),
        )?;
        Ok(Some(Parsed { structure, name: self.name.to_owned(), warnings }))
    }

    /// The atom of a block that gives its only site as plain items instead of a loop.
    fn single_atom(&self) -> Loop<'a> {
        let mut table = Loop { line: self.line, ..Loop::default() };
        for &(tag, datum) in &self.items {
            if tag.get(..10).is_some_and(|t| t.eq_ignore_ascii_case("_atom_site")) {
                table.tags.push(tag);
                table.values.push(datum);
            }
        }
        table
    }

    fn missing(&self, what: &str) -> FormatError {
        let what = format!("data block `{}`: {what}", shorten(self.name));
        FormatError::at(self.line, FormatErrorKind::Missing(what))
    }

    /// Cell parameters in Å and degrees; `None` when the block gives none of them.
    fn cell(&self) -> Result<Option<[f64; 6]>, FormatError> {
        const TAGS: [&str; 6] = [
            "_cell_length_a",
            "_cell_length_b",
            "_cell_length_c",
            "_cell_angle_alpha",
            "_cell_angle_beta",
            "_cell_angle_gamma",
        ];
        let mut parameters = [0.0; 6];
        let mut absent = None;
        let mut found = false;
        for (parameter, tag) in parameters.iter_mut().zip(TAGS) {
            match self.item(&[tag]) {
                Some(datum) => {
                    *parameter = number(datum, tag)?;
                    found = true;
                }
                None => absent = absent.or(Some(tag)),
            }
        }
        match absent {
            Some(tag) if found => Err(self.missing(&format!("`{tag}`"))),
            Some(_) => Ok(None),
            None => {
                if let Some(datum) = self.item(&["_cell_volume"]) {
                    let volume = number(datum, "_cell_volume")?;
                    if volume <= 0.0 {
                        let kind =
                            FormatErrorKind::Syntax(format!("cell volume {volume} Å³ must be positive"));
                        return Err(FormatError::at(datum.1, kind));
                    }
                }
                Ok(Some(parameters))
            }
        }
    }

    /// Applies the symmetry. Where the file leaves the setting open, the first one that gives the multiplicities or
    /// the cell content it states is taken, else the first.
    fn expand_in_setting(
        &self,
        lattice: Lattice,
        atoms: &Loop<'a>,
        sites: &[Site],
        settings: &[SpaceGroupSetting],
        warnings: &mut Vec<Warning>,
    ) -> Result<(Structure, Vec<usize>), FormatError> {
        let [first, rest @ ..] = settings else {
            return Err(self.missing("the symmetry"));
        };
        let expanded = expand(lattice, sites, &first.operations)?;
        if rest.is_empty() {
            return Ok(expanded);
        }
        let stated = self.stated_content(atoms, sites);
        let (mut chosen, mut name, mut why) = (expanded, &first.name, "the usual one");
        let mut kind = WarningKind::GuessedSetting;
        if let Some(stated) = stated {
            if stated.agrees(&chosen) {
                why = "which gives the stated cell content";
                kind = WarningKind::Interpreted;
            } else {
                for setting in rest {
                    let expanded = expand(lattice, sites, &setting.operations)?;
                    if stated.agrees(&expanded) {
                        (chosen, name, why) =
                            (expanded, &setting.name, "which gives the stated cell content");
                        kind = WarningKind::Interpreted;
                        break;
                    }
                }
            }
        }
        let text = format!(
            "the space group is given without its setting, of which {} fit the cell; read in {name}, {why}",
            settings.len()
        );
        warnings.push(Warning::new(kind, text));
        Ok(chosen)
    }

    /// Multiplicities of the sites, or else formula times formula units, where the file gives them.
    fn stated_content(&self, atoms: &Loop<'a>, sites: &[Site]) -> Option<Stated> {
        if let Some(column) =
            atoms.column(&["_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity"])
        {
            let counts: Option<Vec<usize>> =
                atoms.rows().map(|row| row[column].value.known()?.parse().ok()).collect();
            if let Some(counts) = counts.filter(|c| c.len() == sites.len()) {
                return Some(Stated::Multiplicities(counts));
            }
        }
        let formula = Composition::parse(self.item(&["_chemical_formula_sum"])?.0).ok()?;
        let units = self.item(&["_cell_formula_units_z"])?.0.parse().ok()?;
        formula.multiplied(units).map(Stated::Content)
    }

    /// Symmetry operations, from the operations themselves or else from the space group, which may leave the choice
    /// between several settings.
    fn settings(
        &self,
        lattice: &Lattice,
        warnings: &mut Vec<Warning>,
    ) -> Result<Vec<SpaceGroupSetting>, FormatError> {
        const XYZ: [&str; 3] = [
            "_space_group_symop_operation_xyz",
            "_symmetry_equiv_pos_as_xyz",
            "_space_group_symop_operation",
        ];
        let mut operations = Vec::new();
        let mut push = |text: &str, line: usize| -> Result<(), FormatError> {
            if operations.len() == symmetry::MAX_OPERATIONS {
                let message = format!("more than {} operations", symmetry::MAX_OPERATIONS);
                return Err(FormatError::at(line, FormatErrorKind::Symmetry(message)));
            }
            let op = text.parse().map_err(|e: symmetry::SymmetryOperationError| {
                FormatError::at(line, FormatErrorKind::Symmetry(e.to_string()))
            })?;
            operations.push(op);
            Ok(())
        };
        let mut list_line = self.line;
        if let Some((table, column)) = self.loop_with(&XYZ) {
            list_line = table.line;
            for datum in table.rows().map(|row| row[column]) {
                if let Some(text) = datum.value.known() {
                    push(text, datum.line)?;
                }
            }
        } else if let Some((text, line)) = self.item(&XYZ) {
            list_line = line;
            push(text, line)?;
        }
        if !operations.is_empty() {
            let operations = symmetry::check_listed(operations, lattice, list_line, warnings)?;
            return Ok(vec![SpaceGroupSetting { operations, name: String::new() }]);
        }
        let hall = self.item(&["_space_group_name_hall", "_symmetry_space_group_name_hall"]);
        let hermann_mauguin = self.item(&[
            "_space_group_name_h-m_alt",
            "_symmetry_space_group_name_h-m",
            "_space_group_name_h-m_full",
            "_space_group_name_h-m_ref",
        ]);
        let number = self.item(&["_space_group_it_number", "_symmetry_int_tables_number"]);
        let mut texts = Vec::new();
        let settings = space_group::settings(hall, hermann_mauguin, number, lattice, &mut texts)?;
        warnings.extend(texts.into_iter().map(|text| Warning::new(WarningKind::Interpreted, text)));
        Ok(settings)
    }
}

/// The sites of the atom list, thirds corrected, coordinates not yet wrapped.
fn sites<'a>(table: &Loop<'a>, warnings: &mut Vec<Warning>) -> Result<Vec<Site<'a>>, FormatError> {
    const FRACT: [&str; 3] = ["_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z"];
    let missing =
        |tag: &str| FormatError::at(table.line, FormatErrorKind::Missing(format!("column `{tag}`")));
    let label_column = table.column(&["_atom_site_label"]);
    let type_column = table.column(&["_atom_site_type_symbol"]);
    let occupancy_column = table.column(&["_atom_site_occupancy"]);
    let flag_column = table.column(&["_atom_site_calc_flag"]);
    let mut fract = [0; 3];
    for (column, tag) in fract.iter_mut().zip(FRACT) {
        *column = table.column(&[tag]).ok_or_else(|| missing(tag))?;
    }
    if label_column.is_none() && type_column.is_none() {
        return Err(missing("_atom_site_label"));
    }

    let mut reader = SpeciesReader::default();
    let mut dummies = 0;
    let mut sites = Vec::with_capacity(table.values.len() / table.tags.len().max(1));
    for row in table.rows() {
        let line = row[fract[0]].line;
        let known = |column: Option<usize>| column.and_then(|c| row[c].value.known());
        if known(flag_column).is_some_and(|flag| flag.eq_ignore_ascii_case("dum")) {
            dummies += 1;
            continue;
        }
        let species = known(type_column);
        let label = known(label_column).or(species).unwrap_or("?");
        let element = match species {
            Some(text) => reader.species(text, label),
            None => reader.label(label),
        }
        .map_err(|kind| FormatError::at(line, kind))?;
        if let Some(column) = occupancy_column
            && let Some(text) = row[column].value.known()
        {
            let occupancy = number((text, row[column].line), "_atom_site_occupancy")?;
            site::check_occupancy(occupancy, element, label).map_err(|kind| FormatError::at(line, kind))?;
        }
        let mut frac = [0.0; 3];
        for ((x, column), tag) in frac.iter_mut().zip(fract).zip(FRACT) {
            let datum = row[column];
            let Some(text) = datum.value.known() else {
                let what = format!("`{tag}` of site {}", shorten(label));
                return Err(FormatError::at(datum.line, FormatErrorKind::Missing(what)));
            };
            *x = correct_thirds(number((text, datum.line), tag)?);
        }
        if sites.len() == MAX_SITES {
            return Err(FormatError::at(line, FormatErrorKind::TooManySites));
        }
        sites.push(Site { label, line, element, frac });
    }
    if dummies > 0 {
        warnings.push(Warning::new(WarningKind::NotKept, format!("{dummies} dummy site(s) left out")));
    }
    reader.warnings(warnings);
    Ok(sites)
}

fn correct_thirds(x: f64) -> f64 {
    for third in [1.0 / 3.0, 2.0 / 3.0] {
        if (x / third - 1.0).abs() <= THIRDS_TOLERANCE {
            return third;
        }
    }
    x
}

/// Applies the operations to the sites and orders the atoms. Also returns the site each atom came from.
fn expand(
    lattice: Lattice,
    sites: &[Site],
    operations: &[SymmetryOperation],
) -> Result<(Structure, Vec<usize>), FormatError> {
    let mut atoms: Vec<(usize, [f64; 3])> = Vec::with_capacity(sites.len());
    if let [only] = operations
        && *only == IDENTITY
    {
        atoms.extend(sites.iter().enumerate().map(|(i, s)| (i, s.frac)));
    } else {
        let tolerance = site::tolerance_frac(&lattice, SAME_ATOM_DISTANCE);
        for (i, s) in sites.iter().enumerate() {
            let first = atoms.len();
            for operation in operations {
                let image = operation.apply(s.frac).map(wrap_unit);
                let known = atoms[first..].iter().any(|&(_, other)| {
                    site::distance_below(&lattice, tolerance, SAME_ATOM_DISTANCE, image, other).is_some()
                });
                if !known {
                    atoms.push((i, image));
                }
            }
            if atoms.len() > MAX_SITES {
                return Err(FormatError::at(s.line, FormatErrorKind::TooManySites));
            }
        }
    }
    atoms.sort_by(|a, b| sites[a.0].element.cmp_electronegativity(sites[b.0].element));
    let species = atoms.iter().map(|&(i, _)| sites[i].element).collect();
    let coords = atoms.iter().map(|&(_, f)| f).collect();
    let mut structure =
        Structure::new(lattice, species, coords).map_err(|e| FormatError::whole(FormatErrorKind::from(e)))?;
    structure.labels = atoms.iter().map(|&(i, _)| sites[i].label.to_owned()).collect();
    Ok((structure, atoms.into_iter().map(|(i, _)| i).collect()))
}
