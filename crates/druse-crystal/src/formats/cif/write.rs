//! Writes CIF.

use std::collections::HashSet;
use std::fmt::Write as _;

use moyo::data::hall_symbol_entry;

use crate::{
    Composition, Element, Lattice, Structure, SymmetricStructure, SymmetryError, SymmetryOperation, symmetry,
    wrap_unit,
};

/// The structure as a P 1 CIF, all atoms listed, coordinates with ten decimals.
///
/// A CIF holds cell lengths and angles, not the orientation of the cell; a left-handed cell is written as the
/// right-handed one of the same crystal ([`Structure::right_handed`]). `name` becomes the data block name, with
/// characters that CIF does not allow there replaced by `_`.
pub fn write(structure: &Structure, name: &str) -> String {
    let structure = &*structure.right_handed();
    let mut out = String::with_capacity(1024 + 64 * structure.len());
    let composition = Composition::from_species(&structure.species);
    header(
        &mut out,
        name,
        &structure.lattice,
        &composition,
        &Group { symbol: "P 1", number: 1, hall: "P 1" },
    );
    out.push_str("loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n  1  'x, y, z'\n");
    out.push_str(
        "loop_\n _atom_site_type_symbol\n _atom_site_label\n _atom_site_symmetry_multiplicity\n \
         _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n _atom_site_occupancy\n",
    );
    let labels = labels(structure);
    for ((element, label), f) in structure.species.iter().zip(labels).zip(&structure.frac_coords) {
        push(
            &mut out,
            format_args!("  {element}  {label}  1  {:.10}  {:.10}  {:.10}  1\n", f[0], f[1], f[2]),
        );
    }
    out
}

/// The conventional standardized cell as a CIF with its space group, all symmetry operations, and the sites of the
/// asymmetric unit with their multiplicities and Wyckoff letters.
///
/// The space group is found within the distance tolerance `symprec` (Å); cell and positions are averaged over its
/// operations, so they move by up to that much.
///
/// # Errors
/// [`SymmetryError`] when no space group is found, see [`symmetry::analyze`].
pub fn write_symmetrized(structure: &Structure, name: &str, symprec: f64) -> Result<String, SymmetryError> {
    let dataset = symmetry::analyze(structure, symprec)?;
    let cell = &dataset.conventional;
    // The operations suit the cell as it is: standard cells are right-handed.
    debug_assert!(cell.structure.lattice.is_right_handed());
    let standard = &cell.structure;
    let sites = cell.asymmetric_unit().into_iter().map(|(i, multiplicity)| Site {
        element: standard.species[i],
        multiplicity,
        letter: cell.wyckoffs[i],
        frac: standard.frac_coords[i],
    });
    let composition = Composition::from_species(&standard.species);
    let text =
        with_symmetry(name, &standard.lattice, &composition, dataset.hall_number, &cell.operations, sites);
    text.ok_or_else(|| SymmetryError::NotFound {
        symprec,
        reason: format!("there is no setting {} of a space group", dataset.hall_number),
    })
}

/// The conventional cell as a CIF with its space group, all symmetry operations, and the distinct sites with their
/// multiplicities and Wyckoff letters.
pub fn write_symmetric(structure: &SymmetricStructure, name: &str) -> String {
    let group = structure.group();
    let sites = structure.sites().iter().zip(structure.positions()).map(|(site, position)| Site {
        element: site.element,
        multiplicity: position.multiplicity(),
        letter: site.letter,
        frac: site.frac.map(wrap_unit),
    });
    let atoms = structure.sites().iter().zip(structure.positions());
    let composition = Composition::from_counts(atoms.map(|(s, w)| (s.element, w.multiplicity() as u32)));
    with_symmetry(name, structure.lattice(), &composition, group.hall_number(), group.operations(), sites)
        .expect("the settings of space groups are tabulated")
}

/// A site of an asymmetric unit.
struct Site {
    element: Element,
    multiplicity: usize,
    letter: char,
    frac: [f64; 3],
}

/// A CIF with the space group of a tabulated setting; `None` where there is no such setting.
fn with_symmetry(
    name: &str,
    lattice: &Lattice,
    composition: &Composition,
    hall_number: u16,
    operations: &[SymmetryOperation],
    sites: impl Iterator<Item = Site>,
) -> Option<String> {
    let entry = hall_symbol_entry(i32::from(hall_number))?;
    let number = u16::try_from(entry.number).ok()?;
    // Short monoclinic symbols do not tell the axis; the full ones do.
    let symbol = if (3..=15).contains(&number) { entry.hm_full } else { entry.hm_short }.replace('_', "");
    let hall = entry.hall_symbol.replace('^', "'").replace('=', "\"");
    let mut out = String::with_capacity(2048 + 32 * operations.len());
    header(&mut out, name, lattice, composition, &Group { symbol: &symbol, number, hall: &hall });
    out.push_str("loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n");
    for (i, operation) in operations.iter().enumerate() {
        push(&mut out, format_args!("  {}  '{operation}'\n", i + 1));
    }
    out.push_str(
        "loop_\n _atom_site_type_symbol\n _atom_site_label\n _atom_site_symmetry_multiplicity\n \
         _atom_site_Wyckoff_symbol\n _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n \
         _atom_site_occupancy\n",
    );
    for (n, site) in sites.enumerate() {
        let Site { element, multiplicity, letter, frac: [x, y, z] } = site;
        push(
            &mut out,
            format_args!(
                "  {element}  {element}{n}  {multiplicity}  {letter}  {x:.10}  {y:.10}  {z:.10}  1\n"
            ),
        );
    }
    Some(out)
}

/// The space group a header names.
struct Group<'a> {
    /// Hermann–Mauguin symbol.
    symbol: &'a str,
    /// Number in the International Tables.
    number: u16,
    /// Hall symbol.
    hall: &'a str,
}

/// Data block name, cell, space group and formulas.
fn header(out: &mut String, name: &str, lattice: &Lattice, composition: &Composition, group: &Group) {
    let [a, b, c, alpha, beta, gamma] = lattice.parameters();
    let volume = lattice.volume();
    let (_, z) = composition.reduced();
    let (reduced, sum) = (composition.reduced_formula(), composition.formula());
    let Group { symbol, number, hall } = group;
    // Hall symbols use one kind of quotation mark or the other as an axis mark, never both.
    let quote = if hall.contains('\'') { '"' } else { '\'' };
    push(
        out,
        format_args!(
            "data_{}\n\
             _symmetry_space_group_name_H-M   '{symbol}'\n\
             _symmetry_space_group_name_Hall   {quote}{hall}{quote}\n\
             _symmetry_Int_Tables_number   {number}\n\
             _cell_length_a   {a:.10}\n\
             _cell_length_b   {b:.10}\n\
             _cell_length_c   {c:.10}\n\
             _cell_angle_alpha   {alpha:.10}\n\
             _cell_angle_beta   {beta:.10}\n\
             _cell_angle_gamma   {gamma:.10}\n\
             _cell_volume   {volume:.8}\n\
             _cell_formula_units_Z   {z}\n\
             _chemical_formula_structural   {reduced}\n\
             _chemical_formula_sum   '{sum}'\n",
            block_name(name, &reduced),
        ),
    );
}

fn push(out: &mut String, text: std::fmt::Arguments) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}

/// At most 75 printable ASCII characters without blanks; the formula when nothing is left.
fn block_name(name: &str, formula: &str) -> String {
    let name: String =
        name.trim().chars().take(75).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    if name.is_empty() { formula.to_owned() } else { name }
}

/// The structure's labels if every site has its own and CIF can hold them bare, else symbol and running number.
fn labels(structure: &Structure) -> Vec<String> {
    let mut seen = HashSet::new();
    let usable = structure.labels.len() == structure.len()
        && structure.labels.iter().all(|l| {
            let plain = l
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'\'' | b'*'));
            plain && l.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && seen.insert(l.as_str())
        });
    if usable {
        return structure.labels.clone();
    }
    structure.species.iter().enumerate().map(|(i, e)| format!("{e}{i}")).collect()
}
