//! From data blocks to structures.

use super::block::{Block, for_each_block};
use super::cell;
use super::content::Stated;
use super::expand::{Expanded, expand};
use super::lexer::shorten;
use super::listed::{self, Listed};
use super::sites::{self, Site};
use super::space_group::{self, SpaceGroupSetting};
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::formats::{CoincidentSites, Parsed, Warning, WarningKind, site};
use crate::symmetry::group::{close, same_group};
use crate::symmetry::identify::space_group_number;
use crate::{Lattice, SymmetryOperation};

/// Most operations of a group that a list which is none may generate.
const MAX_GENERATED: usize = 384;

/// What a data block gives.
enum Content {
    Structure(Box<Parsed>),
    /// It describes no crystal.
    Nothing,
    /// It describes one without saying where its atoms are.
    NoSites(FormatError),
}

/// Reads every data block that describes a structure; blocks with neither cell nor atoms are skipped, and beside other
/// structures those without positions.
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
    let (mut structures, mut without_sites) = (Vec::new(), None);
    for_each_block(text, |block| {
        match structure(block, coincident)? {
            Content::Structure(parsed) => structures.push(*parsed),
            Content::NoSites(reason) => without_sites = without_sites.take().or(Some(reason)),
            Content::Nothing => {}
        }
        Ok(())
    })?;
    if structures.is_empty() {
        return Err(without_sites.unwrap_or_else(|| {
            FormatError::whole(FormatErrorKind::NoStructure("no data block has a cell and atoms".into()))
        }));
    }
    Ok(structures)
}

fn structure(block: &Block, coincident: CoincidentSites) -> Result<Content, FormatError> {
    let mut warnings = Vec::new();
    let single;
    let atoms = match block.loop_with(&["_atom_site_fract_x"]) {
        Some((table, _)) => Some(table),
        None => {
            single = block.single_atom();
            single.column(&["_atom_site_fract_x"]).map(|_| &single)
        }
    };
    let Some(atoms) = atoms else {
        if !cell::is_given(block) {
            return Ok(Content::Nothing);
        }
        if let Some((table, _)) = block.loop_with(&["_atom_site_cartn_x"]) {
            let message = "only Cartesian atom coordinates are given; fractional ones are needed";
            return Err(FormatError::at(table.line, FormatErrorKind::Unsupported(message.into())));
        }
        return Ok(Content::NoSites(block.missing("the atom list (`_atom_site_fract_x` and so on)")));
    };
    // Before anything else: of a list without positions it does not matter whether there is a cell.
    let no_sites = |reason: &str| {
        let error = FormatError::at(atoms.line, FormatErrorKind::NoStructure(reason.into()));
        Ok(Content::NoSites(error))
    };
    if atoms.values.is_empty() {
        return no_sites("the atom list has no rows");
    }
    if !sites::has_positions(atoms) {
        return no_sites("no row of the atom list has coordinates");
    }
    let Some(lattice) = cell::lattice(block, &mut warnings)? else {
        return Err(block.missing("the cell (`_cell_length_a` and so on)"));
    };
    let stated = Stated::of(block);
    let elements = stated.elements();
    let found = sites::read(atoms, elements.as_deref(), &mut warnings)?;
    if found.sites.is_empty() {
        return no_sites("the atom list has no site that is an atom with a position");
    }
    let expanded = in_setting(block, lattice, &found.sites, &stated, &mut warnings)
        .map_err(|e| FormatError { line: e.line.or(Some(atoms.line)), ..e })?;
    expanded.warnings(&found.sites, &mut warnings);
    stated.check(&expanded.structure, &found, &mut warnings);
    if let (Some(false), None) = (expanded.by_multiplicity, expanded.by_content) {
        warnings.push(other_multiplicity(&found.sites, &expanded));
    }
    let (structure, origin) = (expanded.structure, expanded.origin);
    site::check_coincident(
        &structure,
        coincident,
        |i| found.sites[origin[i]].label.to_owned(),
        |i| Some(found.sites[origin[i]].line),
    )?;
    Ok(Content::Structure(Box::new(Parsed { structure, name: block.name.to_owned(), warnings })))
}

fn other_multiplicity(sites: &[Site], expanded: &Expanded) -> Warning {
    let mut counts = vec![0; sites.len()];
    expanded.origin.iter().for_each(|&i| counts[i] += 1);
    let differing = sites.iter().zip(counts).find(|(s, n)| s.multiplicity.is_some_and(|m| m != *n));
    let text = match differing {
        Some((Site { label, multiplicity: Some(m), .. }, n)) => {
            format!("site {} stands for {n} atoms, not for {m} as stated", shorten(label))
        }
        _ => "the sites do not stand for as many atoms as stated".into(),
    };
    Warning::new(WarningKind::ContradictedContent, text)
}

/// Applies the symmetry: the operations that the block lists, or those of the space group that it names. Where these contradict
/// each other, and where the file leaves the setting open, what multiplicities and content agree with is taken.
fn in_setting(
    block: &Block,
    lattice: Lattice,
    sites: &[Site],
    stated: &Stated,
    warnings: &mut Vec<Warning>,
) -> Result<Expanded, FormatError> {
    // The first tag with a name: some programs write `?` in quotes.
    let name = |tags: &[&str]| {
        let given = |tag: &&str| block.item(&[*tag]).filter(|(text, _)| !space_group::is_placeholder(text));
        tags.iter().find_map(given)
    };
    let hall = name(&["_space_group_name_hall", "_symmetry_space_group_name_hall"]);
    let hermann_mauguin = name(&[
        "_space_group_name_h-m_alt",
        "_symmetry_space_group_name_h-m",
        "_space_group_name_h-m_full",
        "_space_group_name_h-m_ref",
        "_space_group_name_h-m",
    ]);
    let number = name(&["_space_group_it_number", "_symmetry_int_tables_number"]);
    let listed = listed::operations(block, &lattice, warnings)?;
    let mut texts = Vec::new();
    let Some(listed) = listed else {
        let settings = space_group::settings(hall, hermann_mauguin, number, &lattice, &mut texts)?;
        warnings.extend(texts.into_iter().map(|text| Warning::new(WarningKind::Interpreted, text)));
        return in_named_setting(lattice, sites, &settings, stated, warnings);
    };
    let named = match (hall, hermann_mauguin, number) {
        (None, None, None) => Vec::new(),
        _ if listed.magnetic || is_p1(&listed, hall, hermann_mauguin, number) => Vec::new(),
        // A name that is not understood says nothing against the operations.
        _ => space_group::settings(hall, hermann_mauguin, number, &lattice, &mut texts).unwrap_or_default(),
    };
    let expanded = expand(lattice, sites, &listed.operations, stated)?;
    let Some(contradiction) = contradiction(&listed, &named) else { return Ok(expanded) };
    if expanded.agrees() == Some(true) && expanded.by_content != Some(false) {
        let text = format!("{contradiction}; the list gives the stated content and was used");
        warnings.push(Warning::new(WarningKind::Interpreted, text));
        return Ok(expanded);
    }
    let others = named.iter().map(|s| s.operations.clone()).chain(close(&listed.operations, MAX_GENERATED));
    for operations in others {
        let other = expand(lattice, sites, &operations, stated)?;
        if other.agrees() == Some(true) && other.by_content != Some(false) {
            let what = if named.is_empty() { "the group that they generate" } else { "the space group" };
            let text = format!("{contradiction}; {what} gives the stated content and was used");
            warnings.push(Warning::new(WarningKind::ContradictedSymmetry, text));
            return Ok(other);
        }
    }
    let text = format!("{contradiction}; the list was used");
    warnings.push(Warning::new(WarningKind::ContradictedSymmetry, text));
    Ok(expanded)
}

/// Whether list and names say P 1 alike, which need not be looked up: nearly all files of data sets do.
fn is_p1(
    listed: &Listed,
    hall: Option<(&str, usize)>,
    hermann_mauguin: Option<(&str, usize)>,
    number: Option<(&str, usize)>,
) -> bool {
    let p1 = |name: Option<(&str, usize)>| name.is_none_or(|(text, _)| matches!(text, "P 1" | "P1"));
    listed.operations.len() == 1 && p1(hall) && p1(hermann_mauguin) && number.is_none_or(|(n, _)| n == "1")
}

/// What is wrong with a list of operations: they are of another space group than the one named, in whatever setting, or of
/// none.
fn contradiction(listed: &Listed, named: &[SpaceGroupSetting]) -> Option<String> {
    let operations = &listed.operations;
    if named.is_empty() && operations.len() == 1 {
        return None;
    }
    let count = |n: usize| if n == 1 { "1 operation".to_owned() } else { format!("{n} operations") };
    if named.iter().any(|s| same_operations(&s.operations, operations)) {
        return None;
    }
    let Some(first) = named.first() else {
        let group = close(operations, MAX_GENERATED);
        let whole = group.is_some_and(|group| same_operations(&group, operations));
        return (!whole).then(|| format!("the list of {} makes no group", count(operations.len())));
    };
    let same_type =
        space_group_number(operations).is_some_and(|n| Some(n) == space_group_number(&first.operations));
    (!same_type).then(|| {
        let (listed, named) = (count(operations.len()), first.operations.len());
        format!("the list of {listed} is not that of the space group {}, which has {named}", first.name)
    })
}

/// Whether two lists hold the same operations; quick for those of equal order.
fn same_operations(a: &[SymmetryOperation], b: &[SymmetryOperation]) -> bool {
    a == b || same_group(a, b)
}

/// The first setting that gives the multiplicities or the cell content that the file states, else the first one.
fn in_named_setting(
    lattice: Lattice,
    sites: &[Site],
    settings: &[SpaceGroupSetting],
    stated: &Stated,
    warnings: &mut Vec<Warning>,
) -> Result<Expanded, FormatError> {
    let [first, rest @ ..] = settings else {
        return Err(FormatError::whole(FormatErrorKind::Missing("the symmetry".into())));
    };
    let mut chosen = expand(lattice, sites, &first.operations, stated)?;
    if rest.is_empty() {
        return Ok(chosen);
    }
    let (mut name, mut decided) = (&first.name, chosen.agrees() == Some(true));
    if chosen.agrees() == Some(false) {
        for setting in rest {
            let expanded = expand(lattice, sites, &setting.operations, stated)?;
            if expanded.agrees() == Some(true) {
                (chosen, name, decided) = (expanded, &setting.name, true);
                break;
            }
        }
    }
    let (kind, why) = match decided {
        true => (WarningKind::Interpreted, "which gives the stated cell content"),
        false => (WarningKind::GuessedSetting, "the usual one"),
    };
    let text = format!(
        "the space group is given without its setting, of which {} fit the cell; read in {name}, {why}",
        settings.len()
    );
    warnings.push(Warning::new(kind, text));
    Ok(chosen)
}
