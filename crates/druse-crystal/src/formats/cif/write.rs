//! Writes CIF.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::{Composition, Structure};

/// The structure as a P 1 CIF, all atoms listed, coordinates with ten decimals.
///
/// A CIF holds cell lengths and angles, not the orientation of the cell. `name` becomes the data block name, with
/// characters that CIF does not allow there replaced by `_`.
pub fn write(structure: &Structure, name: &str) -> String {
    let mut out = String::with_capacity(1024 + 64 * structure.len());
    let composition = Composition::from_species(&structure.species);
    header(&mut out, name, structure, &composition, "P 1", 1);
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

/// Data block name, cell, space group and formulas.
pub(super) fn header(
    out: &mut String,
    name: &str,
    structure: &Structure,
    composition: &Composition,
    symbol: &str,
    number: i32,
) {
    let [a, b, c, alpha, beta, gamma] = structure.lattice.parameters();
    let volume = structure.lattice.volume();
    let (_, z) = composition.reduced();
    let (reduced, sum) = (composition.reduced_formula(), composition.formula());
    push(
        out,
        format_args!(
            "data_{}\n\
             _symmetry_space_group_name_H-M   '{symbol}'\n\
             _cell_length_a   {a:.10}\n\
             _cell_length_b   {b:.10}\n\
             _cell_length_c   {c:.10}\n\
             _cell_angle_alpha   {alpha:.10}\n\
             _cell_angle_beta   {beta:.10}\n\
             _cell_angle_gamma   {gamma:.10}\n\
             _symmetry_Int_Tables_number   {number}\n\
             _chemical_formula_structural   {reduced}\n\
             _chemical_formula_sum   '{sum}'\n\
             _cell_volume   {volume:.8}\n\
             _cell_formula_units_Z   {z}\n",
            block_name(name, &reduced),
        ),
    );
}

pub(super) fn push(out: &mut String, text: std::fmt::Arguments) {
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
