//! Writes CIF.

use std::collections::HashSet;
use std::fmt::Write as _;

use moyo::data::hall_symbol_entry;

use crate::{Composition, Structure, SymmetryError, symmetry};

/// The structure as a P 1 CIF, all atoms listed, coordinates with ten decimals.
///
/// A CIF holds cell lengths and angles, not the orientation of the cell; a left-handed cell is written as the
/// right-handed one of the same crystal ([`Structure::right_handed`]). `name` becomes the data block name, with
/// characters that CIF does not allow there replaced by `_`.
pub fn write(structure: &Structure, name: &str) -> String {
    let structure = &*structure.right_handed();
    let mut out = String::with_capacity(1024 + 64 * structure.len());
    let composition = Composition::from_species(&structure.species);
    header(&mut out, name, structure, &composition, &Group { symbol: "P 1", number: 1, hall: "P 1" });
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
    let composition = Composition::from_species(&standard.species);
    // Short monoclinic symbols do not tell the axis; the full ones do.
    let monoclinic = (3..=15).contains(&dataset.number);
    let symbol = match hall_symbol_entry(i32::from(dataset.hall_number)) {
        Some(entry) if !monoclinic => entry.hm_short.replace('_', ""),
        _ => dataset.international_full.replace('_', ""),
    };
    let hall = dataset.hall_symbol.replace('^', "'").replace('=', "\"");
    let mut out = String::with_capacity(2048 + 32 * cell.operations.len());
    let group = Group { symbol: &symbol, number: dataset.number, hall: &hall };
    header(&mut out, name, standard, &composition, &group);
    out.push_str("loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n");
    for (i, operation) in cell.operations.iter().enumerate() {
        push(&mut out, format_args!("  {}  '{operation}'\n", i + 1));
    }
    out.push_str(
        "loop_\n _atom_site_type_symbol\n _atom_site_label\n _atom_site_symmetry_multiplicity\n \
         _atom_site_Wyckoff_symbol\n _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n \
         _atom_site_occupancy\n",
    );
    for (n, (i, multiplicity)) in cell.asymmetric_unit().into_iter().enumerate() {
        let (element, [x, y, z]) = (standard.species[i], standard.frac_coords[i]);
        let letter = cell.wyckoffs[i];
        push(
            &mut out,
            format_args!(
                "  {element}  {element}{n}  {multiplicity}  {letter}  {x:.10}  {y:.10}  {z:.10}  1\n"
            ),
        );
    }
    Ok(out)
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
fn header(out: &mut String, name: &str, structure: &Structure, composition: &Composition, group: &Group) {
    let [a, b, c, alpha, beta, gamma] = structure.lattice.parameters();
    let volume = structure.lattice.volume();
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
