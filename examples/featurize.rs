//! Features of structures in memory: coordination, composition, symmetry.
//!
//! ```text
//! cargo run --release --example featurize
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::sync::atomic::AtomicBool;

use druse::crystal::{Element, Lattice, Structure};
use druse::data::Listing;
use druse::evaluate::Silent;
use druse::evaluate::featurize::{Feature, featurize};

/// A structure of symbols and fractional coordinates in a cubic cell (Å).
fn cubic(edge: f64, sites: &[(&str, [f64; 3])]) -> Result<Structure, Box<dyn std::error::Error>> {
    let species = sites.iter().map(|site| Element::from_symbol(site.0)).collect::<Result<_, _>>()?;
    Ok(Structure::new(Lattice::cubic(edge)?, species, sites.iter().map(|site| site.1).collect())?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let perovskite = cubic(
        3.905,
        &[
            ("Sr", [0.0; 3]),
            ("Ti", [0.5; 3]),
            ("O", [0.5, 0.5, 0.0]),
            ("O", [0.5, 0.0, 0.5]),
            ("O", [0.0, 0.5, 0.5]),
        ],
    )?;
    let iron = cubic(2.87, &[("Fe", [0.0; 3]), ("Fe", [0.5; 3])])?;
    let set = Listing::from_structures("two crystals", [perovskite, iron]);

    let wanted = [Feature::CrystalNn, Feature::Magpie, Feature::Symmetry, Feature::Validity];
    for row in featurize(&set, &wanted, false, &mut Silent, &AtomicBool::new(false))? {
        let numbers: Vec<_> = row["crystalnn"]["sites"].as_array().into_iter().flatten().collect();
        let coordination: Vec<_> = numbers.iter().map(|site| site["cn"].to_string()).collect();
        println!("{}", row["composition"]);
        println!("  space group           {}", row["symmetry"]["symprec_0.01"]["international"]);
        println!("  coordination numbers  {}", coordination.join(" "));
        println!("  Magpie features       {}", row["magpie"].as_array().map_or(0, Vec::len));
        println!("  valid                 {}", row["validity"]["valid"]);
    }
    Ok(())
}
