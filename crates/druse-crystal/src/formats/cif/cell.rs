//! The cell of a data block.

use super::block::{Block, number};
use crate::Lattice;
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::formats::{Warning, WarningKind};

const LENGTHS: [&str; 3] = ["_cell_length_a", "_cell_length_b", "_cell_length_c"];
const ANGLES: [&str; 3] = ["_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma"];

/// Relative difference of the stated volume from that of a cell with assumed angles above which they are wrong.
const VOLUME_TOLERANCE: f64 = 0.01;

/// The lattice; `None` when the block gives neither lengths nor angles. Angles that it does not give are 90° (the default of
/// the core dictionary), unless the volume that it states is another one.
///
/// # Errors
/// A length that is missing, a number that is none, an impossible cell.
pub(super) fn lattice(block: &Block, warnings: &mut Vec<Warning>) -> Result<Option<Lattice>, FormatError> {
    let mut parameters = [0.0, 0.0, 0.0, 90.0, 90.0, 90.0];
    let mut absent = Vec::new();
    for (parameter, tag) in parameters.iter_mut().zip(LENGTHS.into_iter().chain(ANGLES)) {
        match block.item(&[tag]) {
            Some(datum) => *parameter = number(datum, tag)?,
            None => absent.push(tag),
        }
    }
    if absent.len() == parameters.len() {
        return Ok(None);
    }
    if let Some(tag) = absent.iter().find(|tag| LENGTHS.contains(tag)) {
        return Err(block.missing(&format!("`{tag}`")));
    }
    let volume = match block.item(&["_cell_volume"]) {
        None => None,
        Some(datum) => Some((number(datum, "_cell_volume")?, datum.1)),
    };
    if let Some((volume, line)) = volume.filter(|&(v, _)| v <= 0.0) {
        let kind = FormatErrorKind::Syntax(format!("cell volume {volume} Å³ must be positive"));
        return Err(FormatError::at(line, kind));
    }
    let lattice = Lattice::from_parameters(parameters).map_err(|e| {
        let line = block.item(&[LENGTHS[0]]).map_or(block.line, |(_, line)| line);
        FormatError::at(line, e)
    })?;
    if !absent.is_empty() {
        let names = absent.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(", ");
        let contradicted = |&(v, _): &(f64, usize)| (v / lattice.volume() - 1.0).abs() > VOLUME_TOLERANCE;
        if let Some((volume, _)) = volume.filter(contradicted) {
            let what =
                format!("{names} (with 90° the volume would be {:.2} Å³, not {volume})", lattice.volume());
            return Err(block.missing(&what));
        }
        let text = format!("{names} not given and taken for 90°");
        warnings.push(Warning::new(WarningKind::GuessedCell, text));
    }
    Ok(Some(lattice))
}
