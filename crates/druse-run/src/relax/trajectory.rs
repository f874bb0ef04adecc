//! Paths of relaxations as frames.

use std::fmt::Write as _;

use druse_relax::Frame;

/// Folder of the trajectories, one file a structure.
pub const TRAJECTORIES_FOLDER: &str = "trajectories";

/// The frames of a path as extended XYZ: cell and positions (Å), forces (eV/Å); in the comment `step`, `energy` (eV), `fmax` (eV/Å)
/// and `stress` (eV/Å³, nine numbers, positive in tension), in the names and units of the Atomic Simulation Environment.
pub fn frames_text(id: &str, frames: &[Frame]) -> String {
    let mut out = String::new();
    let list = |rows: &[[f64; 3]]| {
        rows.as_flattened().iter().map(|x| format!("{x:.12}")).collect::<Vec<_>>().join(" ")
    };
    let name: String =
        id.chars().map(|c| if c.is_control() || "\"\\".contains(c) { '_' } else { c }).collect();
    let mut push = |text: std::fmt::Arguments| out.write_fmt(text).expect("writing to a string cannot fail");
    for frame in frames {
        let (structure, evaluation) = (&frame.structure, &frame.evaluation);
        push(format_args!(
            "{}\nLattice=\"{}\" Properties=species:S:1:pos:R:3:forces:R:3 pbc=\"T T T\" name=\"{name}\" step={} energy={} \
             fmax={} stress=\"{}\"\n",
            structure.len(),
            list(&structure.lattice.rows()),
            frame.step,
            evaluation.energy,
            frame.fmax,
            list(&evaluation.stress),
        ));
        let sites = structure.species.iter().zip(structure.cart_coords()).zip(&evaluation.forces);
        for ((element, [x, y, z]), [fx, fy, fz]) in sites {
            let symbol = element.symbol();
            push(format_args!(
                "{symbol:<2} {x:18.10} {y:18.10} {z:18.10} {fx:18.10} {fy:18.10} {fz:18.10}\n"
            ));
        }
    }
    out
}
