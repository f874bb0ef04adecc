//! Judges a set of crystals against a reference set, both in memory, and prints the table of metrics.
//!
//! ```text
//! cargo run --release --no-default-features --example evaluate
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::sync::atomic::AtomicBool;

use druse::crystal::{Element, Lattice, Structure};
use druse::data::{Cache, Listing};
use druse::evaluate::{GenerationSettings, Sets, Silent, generation, report};
use druse::metrics::generation::{ProtocolName, Rules};

/// Rock salt in its primitive cell: cation, anion, edge of the conventional cell (Å).
fn rock_salt(symbols: [&str; 2], edge: f64) -> Result<Structure, Box<dyn std::error::Error>> {
    let h = 0.5 * edge;
    let lattice = Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]])?;
    let species = symbols.map(Element::from_symbol).into_iter().collect::<Result<_, _>>()?;
    Ok(Structure::new(lattice, species, vec![[0.0; 3], [0.5; 3]])?)
}

/// Salts and their edges (Å).
const SALTS: [([&str; 2], f64); 6] = [
    (["Li", "F"], 4.03),
    (["Na", "Cl"], 5.64),
    (["K", "Br"], 6.60),
    (["Mg", "O"], 4.21),
    (["Ca", "S"], 5.69),
    (["Ag", "Cl"], 5.55),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reference = SALTS.iter().map(|&(s, a)| rock_salt(s, a)).collect::<Result<Vec<_>, _>>()?;
    // What a model might have given: three of the salts with wrong edges, one of them twice, and a collapsed crystal.
    let mut generated =
        SALTS[..3].iter().map(|&(s, a)| rock_salt(s, 1.04 * a)).collect::<Result<Vec<_>, _>>()?;
    generated.push(rock_salt(["Na", "Cl"], 5.7)?);
    generated.push(rock_salt(["Mg", "O"], 0.8)?);

    let generated = Listing::from_structures("generated", generated);
    let reference = Listing::from_structures("reference", reference);
    let sets = Sets { generated: &generated, reference: &reference, train: Some(&reference) };
    let settings = GenerationSettings {
        cache: Cache::Off,
        ..GenerationSettings::new(sets.resolve(&Rules::of(ProtocolName::Cdvae)))
    };
    let evaluation = generation(sets, &settings, &mut Silent, &AtomicBool::new(false))?;
    print!("{}", report::table::evaluation(&evaluation));
    for row in &evaluation.invalid {
        println!("{} is invalid: {}", row.id, row.reason);
    }
    Ok(())
}
