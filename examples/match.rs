//! Compares structures: are they the same crystal, and how far apart are their sites?
//!
//! ```text
//! cargo run --release --example match
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use druse::crystal::{Element, Lattice, Structure};
use druse::evaluate::pairs::compare;
use druse::metrics::matcher::StructureMatcher;

/// Caesium chloride; `shift` moves the anion along the diagonal (fractional), `edge` is in Å.
fn cesium_chloride(edge: f64, shift: f64) -> Result<Structure, Box<dyn std::error::Error>> {
    let species = ["Cs", "Cl"].map(Element::from_symbol).into_iter().collect::<Result<_, _>>()?;
    Ok(Structure::new(Lattice::cubic(edge)?, species, vec![[0.0; 3], [0.5 + shift; 3]])?)
}

/// The same atoms in a cell doubled along its first vector.
fn doubled(s: &Structure) -> Result<Structure, Box<dyn std::error::Error>> {
    let [a, b, c] = s.lattice.rows();
    let lattice = Lattice::from_rows([a.map(|x| 2.0 * x), b, c])?;
    let at = |image: f64| s.frac_coords.iter().map(move |f| [0.5 * (f[0] + image), f[1], f[2]]);
    let species = s.species.iter().chain(&s.species).copied().collect();
    Ok(Structure::new(lattice, species, at(0.0).chain(at(1.0)).collect())?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crystal = cesium_chloride(4.12, 0.0)?;
    // The tolerances of pymatgen's StructureMatcher: 0.2 for lengths, 0.3 for sites, 5° for angles.
    let matcher = StructureMatcher::default();
    for (name, other) in [
        ("the same in a doubled cell", doubled(&crystal)?),
        ("another volume", cesium_chloride(4.5, 0.0)?),
        ("an ion displaced by 0.05 of the diagonal", cesium_chloride(4.12, 0.05)?),
        ("an ion displaced by 0.3 of the diagonal", cesium_chloride(4.12, 0.3)?),
    ] {
        let verdict = compare(&matcher, name.into(), &crystal, &other);
        let rms = verdict.rms.map_or("–".to_owned(), |rms| format!("{rms:.4}"));
        println!("{name:<42} match: {:<5}  RMS / (V/N)^(1/3): {rms}", verdict.fit);
    }
    Ok(())
}
