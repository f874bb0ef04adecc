//! Relaxes a crystal with the potential that ships: how far is an old textbook's cell from the potential's own?
//!
//! ```text
//! cargo run --release --example relax
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use druse::crystal::{Element, Lattice, Structure};
use druse::potential::SevenNet;
use druse::relax::{RelaxSettings, relax};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Rock salt in its primitive cell, 3 % too large, the anion off its place.
    let h = 1.03 * 5.64 / 2.0;
    let lattice = Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]])?;
    let species = ["Na", "Cl"].map(Element::from_symbol).into_iter().collect::<Result<_, _>>()?;
    let start = Structure::new(lattice, species, vec![[0.0; 3], [0.52, 0.5, 0.49]])?;

    let potential = SevenNet::shipped();
    let settings = RelaxSettings { fmax: 0.01, ..RelaxSettings::default() };
    let relaxed = relax(&potential, start, &settings);
    let figures = relaxed.figures.ok_or("the crystal could not be evaluated")?;
    let edge = (4.0 * relaxed.structure.lattice.volume()).cbrt();
    println!("{:?} after {} steps", relaxed.end, relaxed.steps);
    println!("{:.3} eV/atom, before {:.3}", figures.energy_per_atom(), figures.start_energy_per_atom());
    println!("edge of the cubic cell {edge:.3} Å");
    Ok(())
}
