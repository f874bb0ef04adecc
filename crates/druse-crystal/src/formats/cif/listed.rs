//! The symmetry operations that a data block lists, ordinary or magnetic.

use super::block::Block;
use super::lexer::shorten;
use super::symmetry::{self, MAX_OPERATIONS};
use crate::formats::Warning;
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::symmetry::group::{IDENTITY, product, same_group};
use crate::{Lattice, SymmetryOperation};

const ORDINARY: [&str; 3] =
    ["_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation"];
const MAGNETIC: [&str; 2] = ["_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_operation"];
const MAGNETIC_CENTRING: [&str; 2] =
    ["_space_group_symop_magn_centering_xyz", "_space_group_symop_magn_centering"];

/// Beginnings of the tags that name a magnetic space group, or the superspace group of a modulated structure.
const MAGNETIC_NAMES: [&str; 3] = ["_space_group_magn", "_space_group_symop_magn", "_magnetic_space_group"];
const MODULATED_NAMES: [&str; 3] = ["_space_group_ssg", "_space_group_symop_ssg", "_space_group_magn_ssg"];

/// The operations of a list.
pub(super) struct Listed {
    /// The identity first, each fitting the cell.
    pub operations: Vec<SymmetryOperation>,
    /// Whether they come from a list of magnetic operations, so that other names of a space group in the block (the parent
    /// group's) say nothing about them.
    pub magnetic: bool,
}

/// The operations that a block lists; `None` when it lists none. Those of a magnetic space group are taken without their time
/// reversal: what is left maps the atoms, not their moments, onto each other.
///
/// # Errors
/// An operation that cannot be read or does not fit the cell; a magnetic or modulated structure without operations that can
/// be used.
pub(super) fn operations(
    block: &Block,
    lattice: &Lattice,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Listed>, FormatError> {
    let magnetic = block.values(&MAGNETIC);
    if !magnetic.is_empty() {
        let line = magnetic[0].1;
        let representatives = read(&magnetic, without_time_reversal)?;
        let centring = read(&block.values(&MAGNETIC_CENTRING), without_time_reversal)?;
        let operations = combined(representatives, &centring, line)?;
        let operations = symmetry::check_listed(operations, lattice, line, warnings)?;
        return Ok(Some(Listed { operations, magnetic: true }));
    }
    let ordinary = block.values(&ORDINARY);
    if !ordinary.is_empty() && ordinary.iter().all(|(text, _)| text.matches(',').count() == 3) {
        // Magnetic operations under the names of ordinary ones.
        let representatives = read(&ordinary, without_time_reversal)?;
        let line = ordinary[0].1;
        let operations =
            symmetry::check_listed(combined(representatives, &[], line)?, lattice, line, warnings)?;
        return Ok(Some(Listed { operations, magnetic: true }));
    }
    if !ordinary.is_empty() {
        let line = ordinary[0].1;
        let operations = read(&ordinary, Some)?;
        let operations = symmetry::check_listed(operations, lattice, line, warnings)?;
        return Ok(Some(Listed { operations, magnetic: false }));
    }
    for (names, what) in [
        (&MODULATED_NAMES[..], "a modulated structure in superspace, which is no crystal of one cell"),
        (
            &MAGNETIC_NAMES[..],
            "a magnetic space group without its operations (`_space_group_symop_magn_operation.xyz`)",
        ),
    ] {
        if let Some((tag, line)) = block.tag_that_begins(names) {
            let message = format!("`{}` tells of {what}; add the operations of the atoms", shorten(tag));
            return Err(FormatError::at(line, FormatErrorKind::Symmetry(message)));
        }
    }
    Ok(None)
}

/// Reads the operations that are left of each text.
fn read<'a>(
    listed: &[(&'a str, usize)],
    part: impl Fn(&'a str) -> Option<&'a str>,
) -> Result<Vec<SymmetryOperation>, FormatError> {
    let mut operations: Vec<SymmetryOperation> = Vec::with_capacity(listed.len());
    for &(text, line) in listed {
        if operations.len() == MAX_OPERATIONS {
            return Err(too_many(line));
        }
        let parsed = part(text).ok_or_else(|| {
            let message = format!("`{}` is no magnetic operation such as `-x,-y,z,+1`", shorten(text));
            FormatError::at(line, FormatErrorKind::Symmetry(message))
        })?;
        let operation = parsed.parse().map_err(|e: symmetry::SymmetryOperationError| {
            FormatError::at(line, FormatErrorKind::Symmetry(e.to_string()))
        })?;
        operations.push(operation);
    }
    Ok(operations)
}

/// `-x,-y,z` of `-x,-y,z,+1`.
fn without_time_reversal(text: &str) -> Option<&str> {
    match text.rsplit_once(',') {
        Some((operation, sign)) if matches!(sign.trim(), "+1" | "1" | "-1" | "+" | "-") => Some(operation),
        // Some programs leave the sign away where it is +1.
        Some(_) if text.matches(',').count() == 2 => Some(text),
        _ => None,
    }
}

/// Each operation with each centring, each once: without time reversal some coincide.
fn combined(
    operations: Vec<SymmetryOperation>,
    centring: &[SymmetryOperation],
    line: usize,
) -> Result<Vec<SymmetryOperation>, FormatError> {
    let centring = if centring.is_empty() { &[IDENTITY][..] } else { centring };
    let mut all: Vec<SymmetryOperation> = Vec::new();
    for translation in centring {
        for operation in &operations {
            let combined = product(translation, operation);
            if !all.iter().any(|known| same_group(&[*known], &[combined])) {
                if all.len() == MAX_OPERATIONS {
                    return Err(too_many(line));
                }
                all.push(combined);
            }
        }
    }
    Ok(all)
}

fn too_many(line: usize) -> FormatError {
    FormatError::at(line, FormatErrorKind::Symmetry(format!("more than {MAX_OPERATIONS} operations")))
}
