//! Files of phases and where they lie.

use std::io::{self, Write};

use super::{EnergyAmount, EnergyColumn, PhaseRow};

/// Columns behind identifier, formula and energy.
const COLUMNS: [&str; 6] = [
    "formation_energy_per_atom",
    "e_above_hull",
    "equilibrium_reaction_energy",
    "decomposition",
    "compounds",
    "error",
];

/// Name of the energy among the columns: that of the source where it is of an atom, so that the file is a set of entries again.
fn energy_name(energy: &EnergyColumn) -> &str {
    match energy.amount {
        EnergyAmount::PerAtom => &energy.name,
        EnergyAmount::Cell => "energy_per_atom",
    }
}

/// Writes rows as CSV: `id`, `formula` (reduced), the energy under its own name, formation energy, energy above hull and
/// equilibrium reaction energy (eV/atom), decomposition as `id:fraction` separated by semicolons, number of compounds of the
/// system, error.
///
/// # Errors
/// The writer's.
pub fn write_csv(rows: &[PhaseRow], energy: &EnergyColumn, out: &mut dyn Write) -> io::Result<()> {
    let name = energy_name(energy);
    let more: Vec<&str> = COLUMNS.into_iter().filter(|c| *c != name).collect();
    let mut table = csv::Writer::from_writer(out);
    table.write_record(["id", "formula", name].into_iter().chain(more.iter().copied()))?;
    let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
    for row in rows {
        let shares: Vec<String> =
            row.decomposition.iter().map(|s| format!("{}:{}", s.id, s.fraction)).collect();
        let cell = |column: &&str| match *column {
            "formation_energy_per_atom" => number(row.formation_energy_per_atom),
            "e_above_hull" => number(row.e_above_hull),
            "equilibrium_reaction_energy" => number(row.equilibrium_reaction_energy),
            "decomposition" => shares.join(";"),
            "compounds" => row.compounds.to_string(),
            _ => row.error.clone().unwrap_or_default(),
        };
        let first = [row.id.clone(), row.formula.clone(), number(row.energy_per_atom)];
        table.write_record(first.into_iter().chain(more.iter().map(cell)))?;
    }
    table.flush()
}

/// Writes rows as JSON Lines.
///
/// # Errors
/// The writer's.
pub fn write_jsonl(rows: &[PhaseRow], out: &mut dyn Write) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *out, row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
